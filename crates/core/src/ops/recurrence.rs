//! What the recurrent operators have in common: operands, shapes, the order of steps and masks.

use super::Infer;
use crate::tensor::element_count;
use crate::{DType, Dim, Error, Result, Shape, Tensor, TensorType};

/// The direction of a recurrent operator, and which of its optional operands it has.
///
/// Operands, in this order: `x` `[batch, steps, inputs]`, `kernel` `[inputs, gates * units]`, `recurrent_kernel`
/// `[units, gates * units]`, then those that there are of: `bias`, the first states `[batch, units]` each (zeros where
/// there are none), and `mask` `[batch, steps]`, truth values. A step whose mask does not hold leaves the states as they
/// are. Outputs: the first state after every step, `[batch, steps, units]`, then the last states, `[batch, units]` each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Recurrence {
    /// Whether steps are run from the last to the first. What is computed of a step stays at its place.
    pub reverse: bool,
    /// Whether there is a bias.
    pub has_bias: bool,
    /// Whether the first states are given.
    pub has_states: bool,
    /// Whether there is a mask.
    pub has_mask: bool,
}

/// The operands of a recurrent operator.
#[derive(Clone, Copy, Debug)]
pub struct RecurrentOperands<'a, T> {
    /// What is read step by step.
    pub x: &'a T,
    /// The weights of `x`.
    pub kernel: &'a T,
    /// The weights of the first state.
    pub recurrent_kernel: &'a T,
    /// What is added to the products.
    pub bias: Option<&'a T>,
    /// The first states; empty where they are zeros.
    pub states: &'a [T],
    /// Which steps count.
    pub mask: Option<&'a T>,
}

impl Recurrence {
    /// The operands of the operator `name`, which has so many states.
    pub fn operands<'a, T>(
        &self,
        name: &str,
        states: usize,
        operands: &'a [T],
    ) -> Result<RecurrentOperands<'a, T>> {
        let states = if self.has_states { states } else { 0 };
        let optional = [usize::from(self.has_bias), states, usize::from(self.has_mask)];
        // No operator has as many operands as the limit.
        let count = optional.into_iter().fold(3, usize::saturating_add);
        let ([x, kernel, recurrent_kernel, rest @ ..], true) = (operands, operands.len() == count) else {
            let given = operands.len();
            return Err(Error::shape(format!("this {name} takes {count} inputs; {given} were given")));
        };
        let (bias, rest) = rest.split_at(usize::from(self.has_bias));
        let (states, mask) = rest.split_at(states);
        Ok(RecurrentOperands { x, kernel, recurrent_kernel, bias: bias.first(), states, mask: mask.first() })
    }

    /// Where the first states stand among the operands of an operator that has so many states; empty, where they would
    /// come, if there are none.
    pub fn state_places(&self, states: usize) -> std::ops::Range<usize> {
        let first = if self.has_bias { 4usize } else { 3 };
        first..first.saturating_add(if self.has_states { states } else { 0 })
    }

    /// The outputs of the operator `name` with so many gates and states, whose bias is `[units]` of all gates after the
    /// sizes `bias`.
    pub(super) fn infer(
        &self,
        (name, gates, states): (&str, i64, usize),
        bias: &[i64],
        inputs: &[TensorType],
        infer: &mut Infer,
    ) -> Result<Vec<TensorType>> {
        let given = self.operands(name, states, inputs)?;
        let ([batch, steps, channels], [rows, columns], [units, all]) =
            (&given.x.shape[..], &given.kernel.shape[..], &given.recurrent_kernel.shape[..])
        else {
            let shapes = [given.x, given.kernel, given.recurrent_kernel].map(|r#type| &r#type.shape);
            return Err(Error::shape(format!(
                "{name} of {} with kernels {} and {}",
                shapes[0], shapes[1], shapes[2]
            )));
        };
        let weights = [given.kernel, given.recurrent_kernel].map(|r#type| r#type.dtype);
        if [given.x.dtype, weights[0], weights[1]].iter().any(|dtype| !dtype.is_float()) {
            let (x, [kernel, recurrent_kernel]) = (given.x.dtype, weights);
            return Err(Error::shape(format!(
                "{name} of {x} with kernels of {kernel} and {recurrent_kernel}"
            )));
        }
        if let Some(bias) = given.bias.filter(|bias| !bias.dtype.is_float()) {
            return Err(Error::shape(format!("{name} with a bias of {}", bias.dtype)));
        }
        if let Some(state) = given.states.iter().find(|state| state.dtype != given.x.dtype) {
            return Err(Error::shape(format!("{name} of {} with a state of {}", given.x.dtype, state.dtype)));
        }
        infer.require_equal(channels, rows, || {
            format!(
                "an input {} for a kernel {}: {channels} and {rows} differ",
                given.x.shape, given.kernel.shape
            )
        })?;
        let gates_of_units = units.mul_const(gates)?;
        for columns in [columns, all] {
            infer.require_equal(columns, &gates_of_units, || {
                format!("{columns} columns of weights for {gates} gates of {units} units")
            })?;
        }
        if let Some(given) = given.bias {
            let expected: Shape = bias.iter().map(|&n| Dim::fixed(n)).chain([gates_of_units]).collect();
            let misfit = || format!("{name} with a bias {}; {expected} fits", given.shape);
            if given.shape.rank() != expected.rank() {
                return Err(Error::shape(misfit()));
            }
            for (a, b) in given.shape.iter().zip(expected.iter()) {
                infer.require_equal(a, b, misfit)?;
            }
        }
        let state = TensorType::new(Shape::new([batch.clone(), units.clone()]), given.x.dtype);
        for first in given.states {
            let [rows, columns] = &first.shape[..] else {
                return Err(Error::shape(format!(
                    "{name} with a state {}; {} fits",
                    first.shape, state.shape
                )));
            };
            for (a, b) in [(rows, batch), (columns, units)] {
                infer.require_equal(a, b, || {
                    format!("{name} with a state {}; {} fits", first.shape, state.shape)
                })?;
            }
        }
        if let Some(mask) = given.mask {
            let [rows, columns] = &mask.shape[..] else {
                return Err(Error::shape(format!("{name} with a mask {}", mask.shape)));
            };
            if mask.dtype != DType::Bool {
                return Err(Error::shape(format!("{name} with a mask of {}", mask.dtype)));
            }
            for (a, b) in [(rows, batch), (columns, steps)] {
                infer.require_equal(a, b, || {
                    format!("{name} of {} with a mask {}", given.x.shape, mask.shape)
                })?;
            }
        }
        let all = Shape::new([batch.clone(), steps.clone(), units.clone()]);
        let mut outputs = vec![TensorType::new(all, given.x.dtype)];
        outputs.extend(std::iter::repeat_n(state, states));
        Ok(outputs)
    }

    /// Runs `step` for every row of the batch and step that counts. It is given the sums of `x` and `kernel`, and the
    /// states, which it replaces.
    #[expect(clippy::arithmetic_side_effects, reason = "places of elements that are in memory")]
    #[expect(clippy::indexing_slicing, reason = "loops as in the formula; the shape rule fixed the sizes")]
    pub(super) fn reference(
        &self,
        (name, states): (&str, usize),
        inputs: &[&Tensor],
        step: impl Fn(&[f64], &mut [Vec<f64>]) -> Result<()>,
    ) -> Result<Vec<Tensor>> {
        let given = self.operands(name, states, inputs)?;
        let [batch, steps, channels] = *given.x.shape() else {
            return Err(Error::shape("a sequence of another rank"));
        };
        let (units, columns) = (given.recurrent_kernel.shape()[0], given.kernel.shape()[1]);
        let (x, kernel) = (given.x.as_f64()?, given.kernel.as_f64()?);
        let mask = given.mask.map(|mask| match mask.data() {
            crate::Data::Bool(mask) => Ok(mask),
            _ => Err(Error::shape("a mask of numbers")),
        });
        let mask = mask.transpose()?;
        let first = given.states.iter().map(|state| state.as_f64()).collect::<Result<Vec<&[f64]>>>()?;
        let mut y = vec![0.0; element_count(&[batch, steps, units])?];
        let mut last = vec![Vec::with_capacity(batch * units); states];
        for b in 0..batch {
            let row =
                |at: usize| first.get(at).map_or(vec![0.0; units], |all| all[b * units..][..units].to_vec());
            let mut now: Vec<Vec<f64>> = (0..states).map(row).collect();
            for i in 0..steps {
                let t = b * steps + if self.reverse { steps - 1 - i } else { i };
                if mask.is_none_or(|mask| mask[t]) {
                    let x = &x[t * channels..][..channels];
                    let product =
                        |o: usize| x.iter().enumerate().map(|(i, x)| x * kernel[i * columns + o]).sum();
                    let sums: Vec<f64> = (0..columns).map(product).collect();
                    step(&sums, &mut now)?;
                }
                y[t * units..][..units].copy_from_slice(&now[0]);
            }
            last.iter_mut().zip(now).for_each(|(all, own)| all.extend(own));
        }
        let mut outputs = vec![Tensor::f64([batch, steps, units], y)?];
        for state in last {
            outputs.push(Tensor::f64([batch, units], state)?);
        }
        Ok(outputs)
    }
}

/// The product of a state with columns of weights.
#[expect(clippy::arithmetic_side_effects, reason = "places of elements that are in memory")]
#[expect(clippy::indexing_slicing, reason = "the shape rule fixed the sizes")]
pub(super) fn product(state: &[f64], weights: &[f64], columns: usize, column: usize) -> f64 {
    state.iter().enumerate().map(|(i, h)| h * weights[i * columns + column]).sum()
}
