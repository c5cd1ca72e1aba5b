//! Keras's `model.summary()` as data.

use k2o_core::{CallId, Dim, LayerCall, Outline, Shape};
use std::collections::BTreeMap;

/// What a model consists of, layer by layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The model's name.
    pub name: String,
    /// The layers of the outermost model, in its order, and behind a nested model, if they are wanted, those inside it.
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
    /// In how many nested models it lies.
    pub depth: usize,
    /// The shape of each output, `None` where a dimension is not known before run time.
    pub output_shapes: Vec<Vec<Option<i64>>>,
    /// The number of elements in its weights and those of the layers inside it.
    pub parameters: u64,
    /// The number of those that training changes.
    pub trainable_parameters: u64,
    /// What its calls read, as Keras writes it: `conv1d[0][0]`, the layer, the number of its call, and which of its outputs.
    pub connected_to: Vec<String>,
    /// The layer's calls in this model.
    pub own_calls: Vec<CallId>,
    /// The layer's calls and those of all layers inside it.
    pub calls: Vec<CallId>,
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

    /// Whether training changes any of the weights; `None` if there are none.
    pub fn is_trainable(&self) -> Option<bool> {
        (self.parameters > 0).then_some(self.trainable_parameters > 0)
    }
}

impl Summary {
    /// The summary of a model whose layers are called as `outline` says; with the layers inside others if they are to be
    /// expanded.
    pub(crate) fn new(outline: &Outline, optimizer_parameters: u64, expand: bool) -> Summary {
        let children = Children::new(outline);
        let mut rows = Vec::new();
        children.add_rows(&children.outermost, 0, expand, &mut rows);
        let sum = |count: fn(&LayerCall) -> u64| outline.calls.iter().map(count).fold(0, u64::saturating_add);
        let trainable = sum(LayerCall::trainable_parameters);
        let non_trainable = sum(LayerCall::non_trainable_parameters);
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

/// The classes whose layers Keras shows if it is to expand them; those inside wrappers it never shows.
const MODELS: [&str; 3] = ["Functional", "Model", "Sequential"];

/// The calls directly inside each call.
struct Children<'a> {
    outline: &'a Outline,
    outermost: Vec<usize>,
    of: Vec<Vec<usize>>,
}

impl<'a> Children<'a> {
    fn new(outline: &'a Outline) -> Children<'a> {
        let mut children =
            Children { outline, outermost: Vec::new(), of: vec![Vec::new(); outline.calls.len()] };
        for (id, call) in outline.calls.iter().enumerate() {
            match call.parent.and_then(|CallId(parent)| children.of.get_mut(parent)) {
                Some(siblings) => siblings.push(id),
                None => children.outermost.push(id),
            }
        }
        children
    }

    /// A call and every call inside it, the outer one first.
    fn inside(&self, id: usize) -> Vec<usize> {
        let mut inside = vec![id];
        let mut at = 0;
        while let Some(&next) = inside.get(at) {
            inside.extend(self.of.get(next).into_iter().flatten());
            at += 1;
        }
        inside
    }

    /// Adds a row for every layer that is called, in the order in which the file describes them.
    fn add_rows(&self, calls: &[usize], depth: usize, expand: bool, rows: &mut Vec<SummaryRow>) {
        let mut layers: BTreeMap<usize, Vec<(usize, &'a LayerCall)>> = BTreeMap::new();
        for &id in calls {
            if let Some(call) = self.outline.calls.get(id) {
                layers.entry(call.object).or_default().push((id, call));
            }
        }
        for calls in layers.into_values() {
            let Some((first, layer)) = calls.first().copied() else { continue };
            let mut row = SummaryRow {
                name: layer.name.clone(),
                class: layer.class.clone(),
                depth,
                output_shapes: Vec::new(),
                parameters: 0,
                trainable_parameters: 0,
                connected_to: Vec::new(),
                own_calls: Vec::new(),
                calls: Vec::new(),
            };
            calls.into_iter().for_each(|(id, call)| self.add_call(&mut row, id, call));
            rows.push(row);
            if expand && MODELS.contains(&layer.class.as_str()) {
                let inside = self.of.get(first).map(Vec::as_slice).unwrap_or_default();
                self.add_rows(inside, depth + 1, expand, rows);
            }
        }
    }

    fn add_call(&self, row: &mut SummaryRow, id: usize, call: &LayerCall) {
        let sizes = |shape: &Shape| shape.iter().map(Dim::as_fixed).collect();
        // Keras shows a shared layer once, with the shape that its last call gave.
        row.output_shapes = call.outputs.iter().flatten().map(sizes).collect();
        let inside = self.inside(id);
        for call in inside.iter().filter_map(|&id| self.outline.calls.get(id)) {
            row.parameters = row.parameters.saturating_add(call.parameters());
            row.trainable_parameters = row.trainable_parameters.saturating_add(call.trainable_parameters());
        }
        // What a nested model's input layer is given comes from outside.
        if call.class != "InputLayer" {
            let source = |(id, output): &(CallId, usize)| {
                let call = self.outline.get(*id)?;
                Some(format!("{}[{}][{output}]", call.name, call.repetition))
            };
            row.connected_to.extend(call.inputs.iter().filter_map(source));
        }
        row.own_calls.push(CallId(id));
        row.calls.extend(inside.into_iter().map(CallId));
    }
}
