//! The operators: one file each, with its shape rule, its cost and its reference semantics.
//!
//! [`Op`] is a closed set: what a network can do, whatever its layers are called. To add one, write a file here
//! and follow the compiler through the `match`es of `k2o-cpu` and `k2o-onnx`.

mod affine;
mod binary;
mod cast;
mod compare;
mod concat;
mod conv;
mod conv_transpose;
mod dense;
mod full;
mod gather;
mod gru;
mod identity;
mod lstm;
mod mat_mul;
mod normalize;
mod pad;
mod pool;
mod recurrence;
mod reduce;
mod repeat;
mod reshape;
mod reverse;
mod rnn;
mod scan;
mod select;
mod slice;
mod softmax;
mod sparsemax;
mod transpose;
mod unary;

pub use crate::constant::Arithmetic;
pub use affine::Affine;
pub use binary::{Binary, BinaryKind};
pub use cast::Cast;
pub use compare::{Compare, CompareKind};
pub use concat::Concat;
pub use conv::Conv;
pub use conv_transpose::{ConvTranspose, Spread};
pub use dense::Dense;
pub use full::{Full, FullDim};
pub use gather::Gather;
pub use gru::Gru;
pub use identity::Identity;
pub use lstm::Lstm;
pub use mat_mul::MatMul;
pub use normalize::{Normalize, NormalizeKind};
pub use pad::Pad;
pub use pool::{Pool, PoolKind};
pub use recurrence::{Recurrence, RecurrentOperands};
pub use reduce::{Reduce, ReduceKind};
pub use repeat::Repeat;
pub use reshape::{Reshape, ReshapeDim};
pub use reverse::Reverse;
pub use rnn::Rnn;
pub use scan::Scan;
pub use select::Select;
pub use slice::Slice;
pub use softmax::Softmax;
pub use sparsemax::Sparsemax;
pub use transpose::Transpose;
pub use unary::{SELU_ALPHA, SELU_SCALE, Unary};

use crate::{Bindings, Constraint, Cost, Dim, Error, Relation, Result, Tensor, TensorType};

/// What every operator states of itself.
pub trait Operator {
    /// The operator's name in lower case, such as `conv`.
    fn name(&self) -> &'static str;

    /// The types of the outputs, or why the inputs do not fit. Conditions on symbols go to `infer`.
    fn infer(&self, inputs: &[TensorType], infer: &mut Infer) -> Result<Vec<TensorType>>;

    /// The work done for outputs of these types.
    fn cost(&self, inputs: &[TensorType], outputs: &[TensorType]) -> Result<Cost>;

    /// The outputs, computed by the operator's formula in `f64`, slowly: the meaning of the operator.
    fn reference(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>>;
}

macro_rules! ops {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// One operator with its attributes.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Op {
            $($(#[$doc])* $name($name),)*
        }

        impl Operator for Op {
            fn name(&self) -> &'static str {
                match self { $(Op::$name(op) => op.name(),)* }
            }
            fn infer(&self, inputs: &[TensorType], infer: &mut Infer) -> Result<Vec<TensorType>> {
                match self { $(Op::$name(op) => op.infer(inputs, infer),)* }
            }
            fn cost(&self, inputs: &[TensorType], outputs: &[TensorType]) -> Result<Cost> {
                match self { $(Op::$name(op) => op.cost(inputs, outputs),)* }
            }
            fn reference(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
                match self { $(Op::$name(op) => op.reference(inputs),)* }
            }
        }

        $(impl From<$name> for Op {
            fn from(op: $name) -> Op {
                Op::$name(op)
            }
        })*
    };
}

ops! {
    /// Scale and shift per channel.
    Affine,
    /// Two tensors, element by element.
    Binary,
    /// The same numbers as another element type.
    Cast,
    /// Whether two elements stand in a relation.
    Compare,
    /// Tensors one after the other along an axis.
    Concat,
    /// Convolution over the middle axes.
    Conv,
    /// Transposed convolution over the middle axes.
    ConvTranspose,
    /// Matrix product over the last axis.
    Dense,
    /// One value everywhere.
    Full,
    /// Elements picked by their indices.
    Gather,
    /// Gated recurrent units.
    Gru,
    /// Nothing.
    Identity,
    /// Long short-term memory.
    Lstm,
    /// Product of computed matrices.
    MatMul,
    /// Division by a tensor's own statistics.
    Normalize,
    /// Constant values around a tensor.
    Pad,
    /// Maximum or average over windows.
    Pool,
    /// Maximum, sum or mean over whole axes.
    Reduce,
    /// Every element several times in a row.
    Repeat,
    /// The same elements in another shape.
    Reshape,
    /// A tensor from the last element of an axis to the first.
    Reverse,
    /// A simple recurrent network.
    Rnn,
    /// A graph run once for every step.
    Scan,
    /// Elements of one tensor or another.
    Select,
    /// A tensor without its ends.
    Slice,
    /// Exponentials that sum to 1.
    Softmax,
    /// Differences from a threshold, most of them 0.
    Sparsemax,
    /// The same elements with axes in another order.
    Transpose,
    /// One function on every element.
    Unary,
}

/// Collects the conditions that shape rules put on symbols.
#[derive(Debug, Default)]
pub struct Infer {
    constraints: Vec<Constraint>,
}

impl Infer {
    /// Demands that `left` stands in `relation`.
    ///
    /// Where that is known now it is checked now, and `rule` is the error's text; where it depends on symbols it
    /// becomes a [`Constraint`].
    pub fn require(&mut self, left: &Dim, relation: Relation, rule: impl FnOnce() -> String) -> Result<()> {
        let mut constraint = Constraint { left: left.clone(), relation, rule: String::new(), origin: None };
        match constraint.holds(&Bindings::new())? {
            Some(true) => Ok(()),
            Some(false) => Err(Error::shape(rule())),
            None => {
                constraint.rule = rule();
                self.constraints.push(constraint);
                Ok(())
            }
        }
    }

    /// Demands that two dimensions are equal.
    pub fn require_equal(&mut self, left: &Dim, right: &Dim, rule: impl FnOnce() -> String) -> Result<()> {
        match left == right {
            true => Ok(()),
            false => self.require(left, Relation::EqualTo(right.clone()), rule),
        }
    }

    /// The conditions collected.
    pub fn into_constraints(self) -> Vec<Constraint> {
        self.constraints
    }
}

/// The inputs as an array, or an error that says how many `name` takes.
fn exactly<'a, T, const N: usize>(name: &str, inputs: &'a [T]) -> Result<&'a [T; N]> {
    inputs
        .try_into()
        .map_err(|_| Error::shape(format!("{name} takes {N} inputs; {} were given", inputs.len())))
}

/// Demands that `axis` is one of the axes of a tensor of `rank`.
fn check_axis(name: &str, axis: usize, rank: usize) -> Result<()> {
    if axis < rank {
        return Ok(());
    }
    Err(Error::shape(format!("{name} along axis {axis} of a tensor of rank {rank}")))
}

/// Demands that `axes` are increasing and among the axes of a tensor of `rank`.
fn check_axes(name: &str, axes: &[usize], rank: usize) -> Result<()> {
    if !axes.is_sorted_by(|a, b| a < b) {
        return Err(Error::shape(format!("{name}: the axes {axes:?} are not in increasing order")));
    }
    axes.iter().try_for_each(|&axis| check_axis(name, axis, rank))
}
