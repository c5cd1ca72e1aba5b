//! The receptive field: which steps of the input a step of a layer's output is computed of.

use k2o_core::ops::Spread;
use k2o_core::{Graph, Motion, Node, Op, Operand, TensorType, ValueId, Window, motion, padding_before};

/// Which steps of the model's input one step of a layer's output depends on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReceptiveField {
    /// The first step that step 0 depends on, which is below 0 in the padding; minus infinity where a step depends on
    /// all before it. Where the file leaves the length open, padding may begin one step earlier or later.
    pub first: f64,
    /// The last step that step 0 depends on; infinity where a step depends on all after it.
    pub last: f64,
    /// How many steps of the input one step of the output moves on; below 1 behind upsampling.
    pub stride: f64,
}

impl ReceptiveField {
    const INPUT: ReceptiveField = ReceptiveField { first: 0.0, last: 0.0, stride: 1.0 };

    /// The number of steps; infinity where there is no bound.
    pub fn steps(&self) -> f64 {
        (self.last - self.first).ceil() + 1.0
    }

    /// What depends on all steps before.
    fn carried(self) -> ReceptiveField {
        ReceptiveField { first: f64::NEG_INFINITY, ..self }
    }

    /// What depends on all steps.
    fn everything(self) -> ReceptiveField {
        ReceptiveField { last: f64::INFINITY, ..self.carried() }
    }

    /// Seen through a window that begins `before` steps earlier.
    fn through(self, span: i64, stride: i64, before: i64) -> ReceptiveField {
        ReceptiveField {
            first: self.first - before as f64 * self.stride,
            last: self.last + (span - 1 - before) as f64 * self.stride,
            stride: self.stride * stride as f64,
        }
    }

    /// Spread by a transposed convolution: step `t` before cropping is reached from steps `(t - span + 1) / stride` to
    /// `t / stride`.
    fn spread(self, spread: &Spread) -> ReceptiveField {
        let stride = self.stride / spread.stride() as f64;
        let (cropped, _) = spread.crop();
        ReceptiveField {
            first: self.first + (cropped - (spread.span() - 1)) as f64 * stride,
            last: self.last + cropped as f64 * stride,
            stride,
        }
    }

    /// `n` steps later.
    fn moved(self, n: i64) -> ReceptiveField {
        let far = n as f64 * self.stride;
        ReceptiveField { first: self.first + far, last: self.last + far, ..self }
    }

    fn union(self, other: ReceptiveField) -> ReceptiveField {
        ReceptiveField {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
            stride: self.stride.max(other.stride),
        }
    }
}

/// What a value has to do with the steps of the input.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Reach {
    /// Nothing: it is the same whatever the steps are.
    Nothing,
    /// It has no steps, and depends on all of them.
    All,
    /// It has steps along this axis.
    Steps(usize, ReceptiveField),
}

/// The receptive fields of a graph's values; `None` for what has no steps along axis 1.
pub(super) fn receptive_fields(graph: &Graph) -> Vec<Option<ReceptiveField>> {
    let mut reach = vec![Reach::Nothing; graph.values().len()];
    for port in graph.inputs() {
        let r#type = &graph.value(port.value).r#type;
        // Steps of integers are those of words.
        let has_steps = r#type.shape.rank() == 3 || r#type.shape.rank() == 2 && !r#type.dtype.is_float();
        set(
            &mut reach,
            port.value,
            if has_steps { Reach::Steps(1, ReceptiveField::INPUT) } else { Reach::Nothing },
        );
    }
    for node in graph.nodes() {
        let operands: Vec<Reach> = node.inputs.iter().map(|&operand| of(&reach, operand)).collect();
        let outputs = outputs(graph, node, &operands);
        for (output, value) in node.outputs.iter().zip(outputs) {
            set(&mut reach, *output, value);
        }
    }
    let field = |reach: Reach| match reach {
        Reach::Steps(1, field) => Some(field),
        _ => None,
    };
    reach.into_iter().map(field).collect()
}

fn set(reach: &mut [Reach], id: ValueId, new: Reach) {
    if let Some(slot) = reach.get_mut(id.0 as usize) {
        *slot = new;
    }
}

fn of(reach: &[Reach], operand: Operand) -> Reach {
    let known = operand.value().and_then(|id| reach.get(id.0 as usize));
    known.copied().unwrap_or(Reach::Nothing)
}

/// What each output of a node has to do with the steps.
fn outputs(graph: &Graph, node: &Node, operands: &[Reach]) -> Vec<Reach> {
    let count = node.outputs.len();
    let fields = operands.iter().filter_map(|reach| match reach {
        Reach::Steps(_, field) => Some(*field),
        _ => None,
    });
    let axes: Vec<usize> = operands
        .iter()
        .filter_map(|reach| if let Reach::Steps(axis, _) = reach { Some(*axis) } else { None })
        .collect();
    let depends_on_all = operands.contains(&Reach::All);
    let Some(field) = fields.reduce(ReceptiveField::union) else {
        return vec![if depends_on_all { Reach::All } else { Reach::Nothing }; count];
    };
    let field = if depends_on_all { field.everything() } else { field };
    let is = |axis: usize| axes.iter().all(|other| *other == axis);
    let one = |reach: Reach| vec![reach; count];
    let steps_of_first = || graph.type_of(*node.inputs.first()?).shape.get(1)?.as_usize();
    match &node.op {
        Op::Transpose(op) => {
            let to = axes.first().and_then(|axis| op.permutation.iter().position(|from| from == axis));
            return one(to.map_or(Reach::All, |axis| Reach::Steps(axis, field)));
        }
        Op::Cast(_) | Op::Identity(_) | Op::Unary(_) | Op::Affine(_) => {
            return one(axes.first().map_or(Reach::All, |&axis| Reach::Steps(axis, field)));
        }
        _ if !is(1) => return one(Reach::All),
        Op::Conv(op) => return one(window(op.windows.first(), steps_of_first(), field)),
        Op::Pool(op) => return one(window(op.windows.first(), steps_of_first(), field)),
        Op::ConvTranspose(op) => {
            let Some(spread) = op.windows.first() else { return one(Reach::All) };
            return one(Reach::Steps(1, field.spread(spread)));
        }
        Op::Gather(op) if op.axis == 0 => return one(Reach::Steps(1, field)),
        _ => {}
    }
    let types: Vec<TensorType> = node.inputs.iter().map(|&operand| graph.type_of(operand)).collect();
    let steps: Vec<bool> = operands.iter().map(|reach| matches!(reach, Reach::Steps(..))).collect();
    let recurrent = |field: ReceptiveField| {
        // Of a scan the last states come first, of the other recurrences behind the steps.
        let states = if let Op::Scan(scan) = &node.op { 0..scan.states } else { 1..count };
        let of = |at: usize| if states.contains(&at) { Reach::All } else { Reach::Steps(1, field) };
        (0..count).map(of).collect()
    };
    match motion(&node.op, &types, &steps) {
        Ok(Motion::PerStep) => one(Reach::Steps(1, field)),
        Ok(Motion::Window { window: found, .. }) => one(window(Some(&found), steps_of_first(), field)),
        Ok(Motion::Pad { before, .. }) => one(Reach::Steps(1, field.moved(-(before as i64)))),
        Ok(Motion::Crop { before, .. }) => one(Reach::Steps(1, field.moved(before as i64))),
        Ok(Motion::Repeat(times)) => {
            one(Reach::Steps(1, ReceptiveField { stride: field.stride / times.max(1) as f64, ..field }))
        }
        Ok(Motion::Recurrent) => recurrent(field.carried()),
        Ok(Motion::Fixed) => one(Reach::Nothing),
        Err(_) => match node.op {
            Op::Gru(_) | Op::Lstm(_) | Op::Rnn(_) | Op::Scan(_) => recurrent(field.everything()),
            Op::Normalize(_) | Op::Softmax(_) | Op::Sparsemax(_) | Op::Reverse(_) => {
                one(Reach::Steps(1, field.everything()))
            }
            _ => one(Reach::All),
        },
    }
}

/// Through a window on an input of so many steps, if that is known.
fn window(window: Option<&Window>, steps: Option<usize>, field: ReceptiveField) -> Reach {
    let Some(window) = window else { return Reach::All };
    let known = steps.and_then(|steps| window.extent(steps).ok());
    let before = known.and_then(|extent| i64::try_from(extent.before).ok());
    let before = before.unwrap_or_else(|| padding_before(window));
    Reach::Steps(1, field.through(window.span(), window.stride(), before))
}
