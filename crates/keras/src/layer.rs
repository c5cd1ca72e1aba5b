//! What a Keras layer is here: a config that was read, and a lowering.

use crate::archive::shown;
use crate::layers::{Cell, Recurrent};
use crate::lowering::{Call, Lowering, Tensor};
use crate::model::Model;
use crate::{Fields, KerasVersion, Result};
use std::fmt;

/// A Keras layer: reads its config, then adds what it computes to the graph, as often as it is called.
pub trait Layer: fmt::Debug + Send + Sync {
    /// Reads the config. Every key is taken, ignored or refused through `fields`.
    fn from_config(fields: &mut Fields<'_, '_>) -> Result<Self>
    where
        Self: Sized;

    /// Adds the operators that compute one call, and returns its outputs.
    fn lower(&self, cx: &mut Lowering, call: &Call) -> Result<Vec<Tensor>>;

    /// Whether a call computes each vector along the last axis from the input's vector at the same place alone, so
    /// that further axes in front change nothing.
    fn is_per_vector(&self) -> bool {
        false
    }

    /// What becomes of the input's mask, in models of this version of Keras.
    fn masks(&self, _version: KerasVersion) -> Masks {
        Masks::Dropped
    }

    /// The layer as what a recurrent layer does in one step, if it is that.
    fn as_cell(&self) -> Option<&dyn Cell> {
        None
    }

    /// Keras's own recurrent layer, if it is one.
    #[doc(hidden)]
    fn as_recurrent(&self) -> Option<&Recurrent> {
        None
    }
}

/// What becomes of the mask of a layer's first input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Masks {
    /// The outputs have none.
    Dropped,
    /// It is the mask of every output.
    Passed,
    /// [`Layer::lower`] gives the outputs their masks.
    Handled,
}

/// One layer of a model: shared if it is called more than once.
#[derive(Debug)]
pub struct LayerObject {
    pub(crate) name: String,
    pub(crate) class: String,
    /// Where its weights lie in a tree of groups, such as `/layers/conv1d`.
    pub(crate) store: String,
    pub(crate) trainable: bool,
    pub(crate) id: usize,
    pub(crate) kind: Kind,
}

/// What a layer does when it is called.
#[derive(Debug)]
pub(crate) enum Kind {
    Leaf(Box<dyn Layer>),
    Model(Model),
    /// Its config could not be read: the error is already noted, its outputs are unknown.
    Broken,
}

impl LayerObject {
    /// Whether it is a layer for which [`Layer::is_per_vector`] holds.
    pub(crate) fn is_per_vector(&self) -> bool {
        matches!(&self.kind, Kind::Leaf(layer) if layer.is_per_vector())
    }

    /// The layer as what a recurrent layer does in one step, if it is that.
    pub(crate) fn as_cell(&self) -> Option<&dyn Cell> {
        match &self.kind {
            Kind::Leaf(layer) => layer.as_cell(),
            Kind::Model(_) | Kind::Broken => None,
        }
    }

    /// The recurrent layer, if it is one.
    pub(crate) fn as_recurrent(&self) -> Option<&Recurrent> {
        match &self.kind {
            Kind::Leaf(layer) => layer.as_recurrent(),
            Kind::Model(_) | Kind::Broken => None,
        }
    }

    /// Whether its config could not be read.
    pub(crate) fn is_broken(&self) -> bool {
        matches!(self.kind, Kind::Broken)
    }

    /// Another layer of the same name that cannot be read.
    pub(crate) fn broken(&self) -> LayerObject {
        LayerObject {
            name: self.name.clone(),
            class: self.class.clone(),
            store: self.store.clone(),
            kind: Kind::Broken,
            ..*self
        }
    }

    /// `layer "dense_1" (Dense)`.
    pub(crate) fn place(&self) -> String {
        format!("layer {} ({})", shown(&self.name), self.class)
    }
}
