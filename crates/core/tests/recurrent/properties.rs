//! What a sequence's order, its parts and its mask do.

use crate::{Cell, operands, recurrences, run};
use k2o_core::ops::{Concat, Gather, Operator, Recurrence, Reverse, Slice, Unary};
use k2o_core::{Data, Tensor};
use proptest::prelude::*;
use std::ops::Range;

const TANH_SIGMOID: [Option<Unary>; 2] = [Some(Unary::Tanh), Some(Unary::Sigmoid)];

fn backwards(x: &Tensor) -> Tensor {
    Reverse { axis: 1 }.reference(&[x]).unwrap().remove(0)
}

fn part(x: &Tensor, steps: Range<usize>) -> Tensor {
    let slice = Slice { axis: 1, before: steps.start as i64, after: (x.shape()[1] - steps.end) as i64 };
    slice.reference(&[x]).unwrap().remove(0)
}

fn pick(x: &Tensor, axis: usize, at: &[usize]) -> Tensor {
    let at = Tensor::new([at.len()], Data::I64(at.iter().map(|&i| i as i64).collect())).unwrap();
    Gather { axis }.reference(&[x, &at]).unwrap().remove(0)
}

/// Where the first states and the mask are among the operands.
fn places(recurrence: Recurrence, operands: &[Tensor]) -> (Range<usize>, Option<usize>) {
    let mask = recurrence.has_mask.then(|| operands.len() - 1);
    (3 + usize::from(recurrence.has_bias)..mask.unwrap_or(operands.len()), mask)
}

/// The operands with only some steps of the sequence and its mask, and with `states` as the first states.
fn with_part(
    recurrence: Recurrence,
    operands: &[Tensor],
    steps: Range<usize>,
    states: &[Tensor],
) -> Vec<Tensor> {
    let (own, mask) = places(recurrence, operands);
    let mut new = vec![part(&operands[0], steps.clone())];
    new.extend_from_slice(&operands[1..own.start]);
    new.extend_from_slice(states);
    new.extend(mask.map(|mask| part(&operands[mask], steps)));
    new
}

fn sizes() -> impl Strategy<Value = [usize; 4]> {
    (0..4usize, 0..7usize, 1..4usize, 1..5usize).prop_map(|(b, t, c, u)| [b, t, c, u])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_sequence_in_two_parts_with_the_states_carried_is_the_whole(
        sizes in sizes(), cut: prop::sample::Index, seed: u64,
    ) {
        for (cell, recurrence) in all() {
            let operands = operands(cell, recurrence, sizes, seed);
            let whole = run(cell.op(TANH_SIGMOID, recurrence), recurrence, &operands);
            let cut = cut.index(sizes[1] + 1);
            let (mut early, mut late) = (0..cut, cut..sizes[1]);
            if recurrence.reverse {
                std::mem::swap(&mut early, &mut late);
            }
            let (own, _) = places(recurrence, &operands);
            let states = &operands[own];
            let early = with_part(recurrence, &operands, early, states);
            let early = run(cell.op(TANH_SIGMOID, recurrence), recurrence, &early);
            let carried = Recurrence { has_states: true, ..recurrence };
            let late = with_part(recurrence, &operands, late, &early[1..]);
            let late = run(cell.op(TANH_SIGMOID, carried), carried, &late);
            let mut parts = [&early[0], &late[0]];
            if recurrence.reverse {
                parts.reverse();
            }
            let y = Concat { axis: 1 }.reference(&parts).unwrap().remove(0);
            prop_assert_eq!(&y, &whole[0], "{:?} {:?}", cell, recurrence);
            prop_assert_eq!(&late[1..], &whole[1..], "{:?} {:?}", cell, recurrence);
        }
    }

    #[test]
    fn reverse_is_forward_on_the_sequence_turned_round(sizes in sizes(), seed: u64) {
        for (cell, recurrence) in all().into_iter().filter(|(_, recurrence)| recurrence.reverse) {
            let mut operands = operands(cell, recurrence, sizes, seed);
            let reversed = run(cell.op(TANH_SIGMOID, recurrence), recurrence, &operands);
            operands[0] = backwards(&operands[0]);
            if let (_, Some(mask)) = places(recurrence, &operands) {
                operands[mask] = backwards(&operands[mask]);
            }
            let forward = Recurrence { reverse: false, ..recurrence };
            let mut forward = run(cell.op(TANH_SIGMOID, forward), forward, &operands);
            forward[0] = backwards(&forward[0]);
            prop_assert_eq!(forward, reversed, "{:?} {:?}", cell, recurrence);
        }
    }

    #[test]
    fn a_masked_step_changes_nothing(sizes in sizes(), seed: u64, none: bool) {
        for (cell, recurrence) in all().into_iter().filter(|(_, recurrence)| recurrence.has_mask) {
            let mut operands = operands(cell, recurrence, sizes, seed);
            if none {
                let shape = operands[operands.len() - 1].shape().to_vec();
                let nothing = Data::Bool(vec![false; shape.iter().product()]);
                *operands.last_mut().unwrap() = Tensor::new(shape, nothing).unwrap();
            }
            let outputs = run(cell.op(TANH_SIGMOID, recurrence), recurrence, &operands);
            check_rows_without_masked_steps(cell, recurrence, &operands, &outputs);
        }
    }
}

fn all() -> Vec<(Cell, Recurrence)> {
    let pairs = Cell::ALL.into_iter().flat_map(|cell| recurrences().into_iter().map(move |r| (cell, r)));
    pairs.collect()
}

/// Each row of the batch is run without a mask on the steps that count. The steps between have the state before them.
fn check_rows_without_masked_steps(
    cell: Cell,
    recurrence: Recurrence,
    operands: &[Tensor],
    outputs: &[Tensor],
) {
    let (own, mask) = places(recurrence, operands);
    let Data::Bool(mask) = operands[mask.unwrap()].data() else { unreachable!("a mask of numbers") };
    let [batch, steps, units] = *outputs[0].shape() else { unreachable!("y of another rank") };
    for b in 0..batch {
        let counted: Vec<usize> = (0..steps).filter(|t| mask[b * steps + t]).collect();
        let mut row = vec![pick(&pick(&operands[0], 0, &[b]), 1, &counted)];
        row.extend_from_slice(&operands[1..own.start]);
        row.extend(operands[own.clone()].iter().map(|state| pick(state, 0, &[b])));
        let unmasked = Recurrence { has_mask: false, ..recurrence };
        let expected = run(cell.op(TANH_SIGMOID, unmasked), unmasked, &row);
        for (last, expected) in outputs[1..].iter().zip(&expected[1..]) {
            assert_eq!(&pick(last, 0, &[b]), expected, "{cell:?} {recurrence:?}");
        }
        let first = operands[own.clone()].first().map(|state| pick(state, 0, &[b]));
        let mut now = first.map_or(vec![0.0; units], |state| state.as_f64().unwrap().to_vec());
        let mut order: Vec<usize> = (0..steps).collect();
        if recurrence.reverse {
            order.reverse();
        }
        for t in order {
            if let Some(at) = counted.iter().position(|&counts| counts == t) {
                now = expected[0].as_f64().unwrap()[at * units..][..units].to_vec();
            }
            let given = &outputs[0].as_f64().unwrap()[(b * steps + t) * units..][..units];
            assert_eq!(given, now, "step {t} of {cell:?} {recurrence:?}");
        }
    }
}
