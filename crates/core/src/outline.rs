//! The tree of layer calls that a graph was made from.

use crate::{ConstantExpr, Shape};

/// An index into [`Outline::calls`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub usize);

/// Every call of every layer, in the order of execution, with enough of each to print it.
///
/// The graph does not know layers; its nodes and taps point here.
#[derive(Clone, Debug, Default)]
pub struct Outline {
    /// The model's name.
    pub name: String,
    /// The layer calls; parents stand before their children.
    pub calls: Vec<LayerCall>,
}

/// One call of one layer.
#[derive(Clone, Debug)]
pub struct LayerCall {
    /// Names from the outermost model's layer to this one, joined by `/`.
    pub path: String,
    /// The layer's own name.
    pub name: String,
    /// Keras's class name, such as `Conv1D`.
    pub class: String,
    /// The call of the model or wrapper that this call lies in.
    pub parent: Option<CallId>,
    /// The layer object that is called: a number that is the same for all its calls, and grows in the order in which the
    /// file describes layers.
    pub object: usize,
    /// Which call of the layer object it is; above 0 the weights are shared with the first.
    pub repetition: usize,
    /// The shape of each output; `None` where an error left it unknown.
    pub outputs: Vec<Option<Shape>>,
    /// The layer calls (and which output of each) that the inputs come from.
    pub inputs: Vec<(CallId, usize)>,
    /// The layer's own weights, not those of its children.
    pub weights: Vec<WeightInfo>,
}

/// What is known of one weight.
#[derive(Clone, Debug)]
pub struct WeightInfo {
    /// The name that the layer gives it, such as `kernel`.
    pub name: String,
    /// Its sizes.
    pub shape: Vec<usize>,
    /// Whether training changes it by gradient.
    pub trainable: bool,
    /// Whether elements were found for it.
    pub bound: bool,
    /// Its elements, which can be had where they were found.
    pub expr: ConstantExpr,
}

impl Outline {
    /// The call with this id, if it is one of this outline's.
    pub fn get(&self, id: CallId) -> Option<&LayerCall> {
        self.calls.get(id.0)
    }
}

impl LayerCall {
    /// The number of elements in the layer's own weights; 0 for a repeated call, whose weights count once.
    pub fn parameters(&self) -> u64 {
        self.trainable_parameters().saturating_add(self.non_trainable_parameters())
    }

    /// The number of elements in weights that training changes.
    pub fn trainable_parameters(&self) -> u64 {
        self.count(true)
    }

    /// The number of elements in weights that training does not change by gradient.
    pub fn non_trainable_parameters(&self) -> u64 {
        self.count(false)
    }

    fn count(&self, trainable: bool) -> u64 {
        if self.repetition > 0 {
            return 0;
        }
        let size = |weight: &WeightInfo| weight.shape.iter().fold(1u64, |n, &m| n.saturating_mul(m as u64));
        let counted = self.weights.iter().filter(|weight| weight.trainable == trainable);
        counted.map(size).fold(0, u64::saturating_add)
    }
}
