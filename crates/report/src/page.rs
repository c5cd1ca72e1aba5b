//! What a page about a model says, as data.

use crate::{Diagram, Statistics};
use k2o_core::CallId;

/// Everything that a page shows.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The model's name.
    pub title: String,
    /// Where the model came from, each with what it is.
    pub provenance: Vec<(String, String)>,
    /// The numbers of the whole, each with what it counts.
    pub totals: Vec<(String, String)>,
    /// What could be better, a sentence each; may be empty.
    pub advice: Vec<String>,
    /// What is drawn.
    pub diagram: Diagram,
    /// The layer calls in order of execution, each followed by those in it.
    pub layers: Vec<LayerRow>,
    /// What the multiply-adds are counted for, such as `one example of 100 steps`.
    pub counted_for: String,
    /// The weights; none if the model has none.
    pub weights: Vec<WeightRow>,
    /// How far each layer is from the reference, if that was looked at.
    pub verification: Vec<VerifiedRow>,
}

/// One layer call, without those in it.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerRow {
    /// Which call.
    pub call: CallId,
    /// How many calls it lies in.
    pub depth: usize,
    /// Names from the outermost layer to this one.
    pub path: String,
    /// The layer's class.
    pub class: String,
    /// The output's shape as Keras prints it.
    pub shape: String,
    /// The number of elements in its own weights.
    pub parameters: u64,
    /// Its own multiplications that are each followed by an addition.
    pub multiply_adds: u64,
    /// How long it was measured to take, if it was.
    pub microseconds: Option<f64>,
}

/// One weight.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightRow {
    /// The layer's path and the weight's name.
    pub name: String,
    /// Its sizes.
    pub shape: Vec<usize>,
    /// What is in it.
    pub statistics: Statistics,
}

/// One layer's output beside the reference.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedRow {
    /// The layer's path.
    pub name: String,
    /// The worst difference; `None` where the layer's output was folded into its neighbours.
    pub worst: Option<f64>,
    /// What it may be.
    pub allowed: f64,
}
