//! Keras's `model.summary()` as data.

use k2o_core::{CallId, Dim, Outline, Shape};

/// What a model consists of, layer by layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The model's name.
    pub name: String,
    /// The layers of the outermost model, in its order.
    pub rows: Vec<SummaryRow>,
    /// The number of elements in all weights.
    pub total_parameters: u64,
    /// The number of those that training changes.
    pub trainable_parameters: u64,
    /// The number of those that it does not.
    pub non_trainable_parameters: u64,
    /// The number of elements in the optimizer's variables, if the file has any; not part of the total.
    pub optimizer_parameters: u64,
}

/// One layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SummaryRow {
    /// The layer's name.
    pub name: String,
    /// Its class.
    pub class: String,
    /// The shape of each output, `None` where a dimension is not known before run time.
    pub output_shapes: Vec<Vec<Option<i64>>>,
    /// The number of elements in its weights and those of the layers inside it.
    pub parameters: u64,
}

impl SummaryRow {
    /// The output shape as Keras prints it: `(None, 98, 32)`.
    pub fn shape_text(&self) -> String {
        let dim = |dim: &Option<i64>| dim.map_or_else(|| "None".to_string(), |n| n.to_string());
        let shape = |shape: &Vec<Option<i64>>| match shape.as_slice() {
            [only] => format!("({},)", dim(only)),
            dims => format!("({})", dims.iter().map(dim).collect::<Vec<_>>().join(", ")),
        };
        self.output_shapes.iter().map(shape).collect::<Vec<_>>().join(", ")
    }
}

impl Summary {
    pub(crate) fn new(outline: &Outline, optimizer_parameters: u64) -> Summary {
        let sum = |ids: &[usize], count: fn(&k2o_core::LayerCall) -> u64| {
            ids.iter().map(|&id| count(&outline.calls[id])).fold(0, u64::saturating_add)
        };
        let inside = descendants(outline);
        let all: Vec<usize> = (0..outline.calls.len()).collect();
        let mut rows: Vec<SummaryRow> = Vec::new();
        for (id, call) in outline.calls.iter().enumerate().filter(|(_, call)| call.parent.is_none()) {
            let sizes = |shape: &Shape| shape.iter().map(Dim::as_fixed).collect();
            let output_shapes = call.outputs.iter().flatten().map(sizes).collect();
            match rows.iter_mut().find(|row| call.repetition > 0 && row.name == call.name) {
                // Keras shows a shared layer once, with the shape that its last call gave.
                Some(row) => row.output_shapes = output_shapes,
                None => rows.push(SummaryRow {
                    name: call.name.clone(),
                    class: call.class.clone(),
                    output_shapes,
                    parameters: sum(&inside[id], k2o_core::LayerCall::parameters),
                }),
            }
        }
        let trainable = sum(&all, k2o_core::LayerCall::trainable_parameters);
        let non_trainable = sum(&all, k2o_core::LayerCall::non_trainable_parameters);
        Summary {
            name: outline.name.clone(),
            rows,
            total_parameters: trainable.saturating_add(non_trainable),
            trainable_parameters: trainable,
            non_trainable_parameters: non_trainable,
            optimizer_parameters,
        }
    }
}

/// For each outermost call, itself and every call inside it.
fn descendants(outline: &Outline) -> Vec<Vec<usize>> {
    let mut inside = vec![Vec::new(); outline.calls.len()];
    // Parents stand before their children, so each call's outermost ancestor is known when it is reached.
    let mut outermost = Vec::with_capacity(outline.calls.len());
    for (id, call) in outline.calls.iter().enumerate() {
        let root = call.parent.map_or(id, |CallId(parent)| outermost[parent]);
        outermost.push(root);
        inside[root].push(id);
    }
    inside
}
