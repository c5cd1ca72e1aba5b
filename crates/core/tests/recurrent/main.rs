//! The recurrent operators compute what Keras computes, what the scans that they are compute, and the same whether a
//! sequence is run whole or in parts; inputs that do not fit them are refused by name.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "the helpers of tests fail by panic too")]

mod keras;
mod properties;
mod refusals;
mod scans;

use k2o_core::ops::{Gru, Lstm, Recurrence, Rnn, Unary};
use k2o_core::{
    Constant, ConstantExpr, DType, Data, Dim, Graph, GraphBuilder, Op, Operand, Tensor, TensorType,
    run_reference,
};

/// The recurrent operators.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cell {
    Lstm,
    /// With the reset gate before the product.
    GruBefore,
    /// With the reset gate after the product.
    GruAfter,
    Rnn,
}

impl Cell {
    const ALL: [Cell; 4] = [Cell::Lstm, Cell::GruBefore, Cell::GruAfter, Cell::Rnn];

    fn gates(self) -> usize {
        match self {
            Cell::Lstm => 4,
            Cell::GruBefore | Cell::GruAfter => 3,
            Cell::Rnn => 1,
        }
    }

    fn states(self) -> usize {
        if self == Cell::Lstm { 2 } else { 1 }
    }

    fn bias(self, units: usize) -> Vec<usize> {
        let columns = self.gates() * units;
        if self == Cell::GruAfter { vec![2, columns] } else { vec![columns] }
    }

    /// The operator with an activation and a recurrent activation.
    fn op(self, [activation, recurrent_activation]: [Option<Unary>; 2], recurrence: Recurrence) -> Op {
        match self {
            Cell::Lstm => Lstm { activation, recurrent_activation, recurrence }.into(),
            Cell::Rnn => Rnn { activation, recurrence }.into(),
            Cell::GruBefore | Cell::GruAfter => {
                let reset_after = self == Cell::GruAfter;
                Gru { activation, recurrent_activation, reset_after, recurrence }.into()
            }
        }
    }

    /// The shapes of the operands in the operator's order.
    fn shapes(self, recurrence: Recurrence, [batch, steps, channels, units]: [usize; 4]) -> Vec<Vec<usize>> {
        let columns = self.gates() * units;
        let mut shapes = vec![vec![batch, steps, channels], vec![channels, columns], vec![units, columns]];
        shapes.extend(recurrence.has_bias.then(|| self.bias(units)));
        if recurrence.has_states {
            shapes.extend(vec![vec![batch, units]; self.states()]);
        }
        shapes.extend(recurrence.has_mask.then(|| vec![batch, steps]));
        shapes
    }
}

/// Every direction and choice of optional operands.
fn recurrences() -> Vec<Recurrence> {
    let bit = |n: u8, at: u8| n >> at & 1 == 1;
    (0..16)
        .map(|n| Recurrence {
            reverse: bit(n, 0),
            has_bias: bit(n, 1),
            has_states: bit(n, 2),
            has_mask: bit(n, 3),
        })
        .collect()
}

/// Operands of `cell`: numbers from -0.75 to 0.75 and truth values that hold three times out of four.
fn operands(cell: Cell, recurrence: Recurrence, sizes: [usize; 4], seed: u64) -> Vec<Tensor> {
    let mut random = seed;
    let mut next = || {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (random >> 33) as f64 / (1u64 << 31) as f64
    };
    let shapes = cell.shapes(recurrence, sizes);
    let last = shapes.len() - 1;
    let tensor = |(at, shape): (usize, Vec<usize>)| {
        let numbers = (0..shape.iter().product::<usize>()).map(|_| next());
        let data = match recurrence.has_mask && at == last {
            true => Data::Bool(numbers.map(|x| x < 0.75).collect()),
            false => Data::F64(numbers.map(|x| 1.5 * x - 0.75).collect()),
        };
        Tensor::new(shape, data).unwrap()
    };
    shapes.into_iter().enumerate().map(tensor).collect()
}

fn dtype(tensor: &Tensor) -> DType {
    if matches!(tensor.data(), Data::Bool(_)) { DType::Bool } else { DType::F32 }
}

/// A graph of one recurrent operator, with its weights as constants or as inputs, and the tensors of its inputs. The
/// batch and the number of steps are symbols.
fn graph(op: Op, recurrence: Recurrence, operands: &[Tensor], with_constants: bool) -> (Graph, Vec<Tensor>) {
    let mut builder = GraphBuilder::new();
    let (mut values, mut inputs): (Vec<Operand>, Vec<Tensor>) = (Vec::new(), Vec::new());
    let weights = 1..3 + usize::from(recurrence.has_bias);
    for (at, tensor) in operands.iter().enumerate() {
        let is_weight = weights.contains(&at);
        if is_weight && with_constants {
            let (name, expr) = (format!("layer/weight_{at}"), ConstantExpr::literal(tensor.clone()));
            values.push(builder.constant(Constant { name, dtype: DType::F32, expr }).unwrap().into());
            continue;
        }
        let mut dims: Vec<Dim> = tensor.shape().iter().map(|&n| Dim::fixed(n as i64)).collect();
        if !is_weight {
            dims[0] = Dim::symbol("batch");
        }
        if at == 0 || (recurrence.has_mask && at == operands.len() - 1) {
            dims[1] = Dim::symbol("steps");
        }
        let r#type = TensorType::from((dtype(tensor), dims));
        values.push(builder.input(format!("operand_{at}"), r#type).unwrap().into());
        inputs.push(tensor.clone());
    }
    for (name, value) in ["y", "h", "c"].into_iter().zip(builder.add_all(op, values).unwrap()) {
        builder.output(name, value);
    }
    (builder.finish(), inputs)
}

/// All that the operator computes.
fn run(op: Op, recurrence: Recurrence, operands: &[Tensor]) -> Vec<Tensor> {
    let (graph, inputs) = graph(op, recurrence, operands, false);
    run_reference(&graph, &inputs, &[]).unwrap().outputs
}
