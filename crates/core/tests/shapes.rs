//! Shapes are what counting gives: every operator's shape rule against a model that counts window positions one by
//! one, against the shape of what its reference computes, and against itself with symbols in place of numbers.

#![allow(clippy::unwrap_used, reason = "the helpers of tests fail by panic too")]

mod counting;

use counting::{Slide, slide, spread, spread_count};
use k2o_core::ops::{
    self, BinaryKind, CompareKind, FullDim, Infer, NormalizeKind, PoolKind, Recurrence, ReduceKind,
    ReshapeDim, Spread, Unary,
};
use k2o_core::{
    Bindings, DType, Data, Dim, ErrorKind, Graph, GraphBuilder, Op, Padding, Result, Shape, Tensor,
    TensorType, run_reference,
};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

fn config() -> ProptestConfig {
    ProptestConfig { cases: 8192, failure_persistence: None, ..ProptestConfig::default() }
}

/// The sizes of two tensors together, where an axis that is missing or of size 1 repeats.
fn broadcast(a: &[i64], b: &[i64]) -> Option<Vec<i64>> {
    let rank = a.len().max(b.len());
    let long = |x: &[i64]| [vec![1; rank - x.len()], x.to_vec()].concat();
    let pairs = long(a).into_iter().zip(long(b));
    pairs
        .map(|(a, b)| [(a, b), (b, a)].into_iter().find(|(a, b)| a == b || *b == 1).map(|(a, _)| a))
        .collect()
}

/// The sizes of a recurrent operator's first output, if its inputs are what they must be.
fn recurrent(
    recurrence: Recurrence,
    (gates, states): (i64, usize),
    bias: &[i64],
    inputs: &[&[i64]],
) -> Option<Vec<i64>> {
    let [[batch, steps, channels], _, [units, _], ..] = inputs else { return None };
    let columns = gates * units;
    let mut expected = vec![vec![*batch, *steps, *channels], vec![*channels, columns], vec![*units, columns]];
    expected.extend(recurrence.has_bias.then(|| [bias, &[columns]].concat()));
    if recurrence.has_states {
        expected.extend(vec![vec![*batch, *units]; states]);
    }
    expected.extend(recurrence.has_mask.then(|| vec![*batch, *steps]));
    (expected == inputs).then(|| vec![*batch, *steps, *units])
}

/// States `[batch, units]`, a sequence `[batch, steps, channels]` and weights; what is computed of a step is its state
/// without the first unit.
static BODY: LazyLock<Arc<Graph>> = LazyLock::new(|| {
    let mut body = GraphBuilder::new();
    let [h, x, weights] = [["batch", "units"], ["batch", "channels"], ["channels", "units"]].map(|names| {
        body.input(names.concat(), (DType::F32, names.map(Dim::symbol).to_vec()).into()).unwrap()
    });
    let product = body.add(ops::Dense, [x, weights]).unwrap();
    let next = body.add(ops::Binary { kind: BinaryKind::Add }, [h, product]).unwrap();
    let y = body.add(ops::Slice { axis: 1, before: 1, after: 0 }, [next]).unwrap();
    body.output("h", next);
    body.output("y", y);
    Arc::new(body.finish())
});

/// An operator on inputs of these sizes, which need not fit.
#[derive(Clone, Debug)]
struct Problem {
    op: Op,
    /// The windows of a convolution or pooling, as asked for.
    slides: Vec<Slide>,
    inputs: Vec<Vec<i64>>,
}

impl Problem {
    fn new(op: impl Into<Op>, inputs: impl Into<Vec<Vec<i64>>>) -> Problem {
        Problem { op: op.into(), slides: Vec::new(), inputs: inputs.into() }
    }

    /// The sizes of the output by counting; `None` where the inputs do not fit.
    fn count(&self) -> Option<Vec<i64>> {
        let inputs: Vec<&[i64]> = self.inputs.iter().map(Vec::as_slice).collect();
        let increasing = |axes: &[usize], rank: usize| {
            axes.iter().all(|&axis| axis < rank) && axes.windows(2).all(|pair| pair[0] < pair[1])
        };
        match (&self.op, inputs.as_slice()) {
            (Op::Cast(_) | Op::Identity(_) | Op::Unary(_), [x]) => Some(x.to_vec()),
            (Op::Affine(op), [x, scale, shift]) => {
                let channels = [*x.get(op.axis)?];
                (*scale == channels && *shift == channels).then(|| x.to_vec())
            }
            (Op::Binary(_) | Op::Compare(_), [a, b]) => broadcast(a, b),
            (Op::Full(op), [x]) => {
                let dims = op.dims.iter().map(|dim| match *dim {
                    FullDim::Fixed(n) => Some(n),
                    FullDim::Of(axis) => x.get(axis).copied(),
                });
                dims.collect()
            }
            (Op::Gru(op), inputs) => {
                let bias: &[i64] = if op.reset_after { &[2] } else { &[] };
                recurrent(op.recurrence, (3, 1), bias, inputs)
            }
            (Op::Lstm(op), inputs) => recurrent(op.recurrence, (4, 2), &[], inputs),
            (Op::Reverse(op), [x]) => (op.axis < x.len()).then(|| x.to_vec()),
            (Op::Rnn(op), inputs) => recurrent(op.recurrence, (1, 1), &[], inputs),
            (Op::Scan(_), [h, x, weights]) => {
                let ([rows, units], [batch, _, channels], [from, to]) = (h, x, weights) else { return None };
                (rows == batch && channels == from && units == to && *units > 0).then(|| h.to_vec())
            }
            (Op::Select(_), [condition, a, b]) => broadcast(condition, &broadcast(a, b)?),
            (Op::Concat(op), [first, ..]) => {
                let mut joined = first.to_vec();
                *joined.get_mut(op.axis)? = 0;
                for x in &inputs {
                    let mut others = x.to_vec();
                    joined[op.axis] += std::mem::replace(others.get_mut(op.axis)?, first[op.axis]);
                    (others == *first).then_some(())?;
                }
                Some(joined)
            }
            (Op::Dense(_), [x, kernel, bias @ ..]) if bias.len() < 2 => {
                let ([rows, units], [outer @ .., last]) = (kernel, x) else { return None };
                let fits = rows == last && !outer.is_empty() && bias.iter().all(|bias| *bias == [*units]);
                fits.then(|| [outer, &[*units]].concat())
            }
            (Op::Conv(op), [x, kernel, bias @ ..]) if bias.len() < 2 => {
                let ([batch, steps @ .., channels], [taps @ .., rows, filters]) = (x, kernel) else {
                    return None;
                };
                let groups = op.groups as i64;
                let fits = steps.len() == self.slides.len()
                    && taps.iter().copied().eq(self.slides.iter().map(|slide| slide.size))
                    && *channels == rows * groups
                    && filters % groups == 0
                    && bias.iter().all(|bias| *bias == [*filters]);
                let positions = self.slides.iter().zip(steps).map(|(slide, &n)| slide.count(n));
                fits.then_some(
                    [&[*batch], positions.collect::<Option<Vec<_>>>()?.as_slice(), &[*filters]].concat(),
                )
            }
            (Op::ConvTranspose(op), [x, kernel, bias @ ..]) if bias.len() < 2 => {
                let ([batch, steps @ .., channels], [taps @ .., rows, filters]) = (x, kernel) else {
                    return None;
                };
                let fits = steps.len() == op.windows.len()
                    && taps.iter().copied().eq(op.windows.iter().map(Spread::size))
                    && channels == rows
                    && bias.iter().all(|bias| *bias == [*filters]);
                let spread = op.windows.iter().zip(steps).map(|(window, &n)| spread_count(window, n));
                let spread = spread.collect::<Option<Vec<_>>>()?;
                fits.then(|| [&[*batch], spread.as_slice(), &[*filters]].concat())
            }
            (Op::Gather(op), [x, indices]) => {
                let (before, rest) = x.split_at_checked(op.axis)?;
                let (&picked_from, behind) = rest.split_first()?;
                (picked_from > 0).then(|| [before, indices, behind].concat())
            }
            (Op::MatMul(_), [a, b]) => {
                let ([outer_a @ .., rows, k], [outer_b @ .., l, columns]) = (a, b) else { return None };
                let outer = broadcast(outer_a, outer_b)?;
                (k == l).then(|| [outer.as_slice(), &[*rows, *columns]].concat())
            }
            (Op::Normalize(op), [x, parameters @ ..]) if parameters.len() < 3 => {
                if op.axes.is_empty() || !increasing(&op.axes, x.len()) {
                    return None;
                }
                let sizes: Vec<i64> = op.axes.iter().map(|&axis| x[axis]).collect();
                let fits = !sizes.contains(&0) && parameters.iter().all(|parameter| *parameter == sizes);
                fits.then(|| x.to_vec())
            }
            (Op::Pool(_), [x]) => {
                let [batch, steps @ .., channels] = x else { return None };
                let positions = self.slides.iter().zip(steps).map(|(slide, &n)| {
                    let span = slide.dilation * (slide.size - 1) + 1;
                    // Taps further apart than the input is long could step over it.
                    let (before, after) = slide.pads(n);
                    let padded = slide.window().padding() != Padding::Explicit(0, 0);
                    let meets = !padded || n >= if slide.size > 1 { slide.dilation } else { 1 };
                    slide.count(n).filter(|_| meets && before < span && after < span)
                });
                let positions = positions.collect::<Option<Vec<_>>>()?;
                (steps.len() == self.slides.len())
                    .then(|| [&[*batch], positions.as_slice(), &[*channels]].concat())
            }
            (Op::Pad(op), [x]) if op.amounts.len() == x.len() => {
                Some(x.iter().zip(&op.amounts).map(|(n, (before, after))| before + n + after).collect())
            }
            (Op::Reduce(op), [x]) => {
                let empty = op.axes.iter().any(|&axis| x.get(axis) == Some(&0));
                if !increasing(&op.axes, x.len()) || (empty && op.kind != ReduceKind::Sum) {
                    return None;
                }
                let dims = x.iter().enumerate().map(|(axis, &n)| if op.axes.contains(&axis) { 1 } else { n });
                let kept = dims.enumerate().filter(|(axis, _)| op.keep_dims || !op.axes.contains(axis));
                Some(kept.map(|(_, n)| n).collect())
            }
            (Op::Repeat(op), [x]) => {
                let mut longer = x.to_vec();
                let n = longer.get_mut(op.axis)?;
                *n = (0..*n).flat_map(|_| 0..op.times).count() as i64;
                (op.times > 0).then_some(longer)
            }
            (Op::Reshape(op), [x, like @ ..]) => {
                let reads_like = op.target.iter().any(|dim| matches!(dim, ReshapeDim::Like(_)));
                if like.len() != usize::from(reads_like) {
                    return None;
                }
                // Where each dimension is an axis of the input, that axis; else its number, if it has one.
                let dims = op.target.iter().enumerate().map(|(at, dim)| match *dim {
                    ReshapeDim::Keep => x.get(at).map(|&n| (Some(at), Some(n))),
                    ReshapeDim::Of(axis) => x.get(axis).map(|&n| (Some(axis), Some(n))),
                    ReshapeDim::Like(axis) => like[0].get(axis).map(|&n| (None, Some(n))),
                    ReshapeDim::Fixed(n) => Some((None, Some(n))),
                    ReshapeDim::Infer => Some((None, None)),
                });
                let dims = dims.collect::<Option<Vec<_>>>()?;
                let uses = |axis| dims.iter().filter(|(of, _)| *of == Some(axis)).count();
                if (0..x.len()).any(|axis| uses(axis) > 1) {
                    return None;
                }
                let total: i64 = (0..x.len()).filter(|&axis| uses(axis) == 0).map(|axis| x[axis]).product();
                let rest: i64 = dims.iter().filter(|(of, _)| of.is_none()).filter_map(|(_, n)| *n).product();
                let quotient = match dims.iter().filter(|(_, n)| n.is_none()).count() {
                    0 => (rest == total).then_some(0)?,
                    1 if rest > 0 => (0..=total).find(|n| n * rest == total)?,
                    _ => return None,
                };
                Some(dims.into_iter().map(|(_, n)| n.unwrap_or(quotient)).collect())
            }
            (Op::Slice(op), [x]) => {
                let mut shorter = x.to_vec();
                let n = shorter.get_mut(op.axis)?;
                if op.before < 0 || op.after < 0 || op.before + op.after > *n {
                    return None;
                }
                *n = (op.before..*n - op.after).count() as i64;
                Some(shorter)
            }
            (Op::Softmax(op), [x]) => {
                (!op.axes.is_empty() && increasing(&op.axes, x.len())).then(|| x.to_vec())
            }
            (Op::Sparsemax(op), [x]) => (*x.get(op.axis)? > 0).then(|| x.to_vec()),
            (Op::Transpose(op), [x]) => {
                let once =
                    (0..x.len()).all(|axis| op.permutation.iter().filter(|&&p| p == axis).count() == 1);
                (once && op.permutation.len() == x.len())
                    .then(|| op.permutation.iter().map(|&axis| x[axis]).collect())
            }
            _ => None,
        }
    }

    /// Whether the sizes may fit in a way that symbols do not allow for.
    fn fits_by_chance(&self) -> bool {
        match &self.op {
            // Because one of them happens to be 1.
            Op::Binary(_) | Op::Compare(_) | Op::MatMul(_) | Op::Select(_) => {
                self.inputs.iter().flatten().any(|&n| n == 1)
            }
            // By a division by something that is no number.
            Op::Reshape(op) => {
                let reads_like = op.target.iter().any(|dim| matches!(dim, ReshapeDim::Like(_)));
                reads_like && op.target.contains(&ReshapeDim::Infer)
            }
            _ => false,
        }
    }

    /// The element type of an input.
    fn dtype(&self, input: usize) -> DType {
        match &self.op {
            Op::Gather(_) if input == 1 => DType::I32,
            Op::Select(_) if input == 0 => DType::Bool,
            Op::Gru(ops::Gru { recurrence, .. })
            | Op::Lstm(ops::Lstm { recurrence, .. })
            | Op::Rnn(ops::Rnn { recurrence, .. })
                if recurrence.has_mask && input == self.inputs.len() - 1 =>
            {
                DType::Bool
            }
            _ => DType::F32,
        }
    }

    /// Elements for an input; those of indices are inside.
    fn tensor(&self, input: usize) -> Tensor {
        let sizes: Vec<usize> = self.inputs[input].iter().map(|&n| n as usize).collect();
        let numbers = (0..sizes.iter().product::<usize>()).map(|i| (i * 7 % 11) as i64);
        let data = match &self.op {
            Op::Gather(op) if input == 1 => {
                let size = self.inputs[0].get(op.axis).map_or(1, |&n| n.max(1));
                Data::I64(numbers.map(|n| n % size).collect())
            }
            _ if self.dtype(input) == DType::Bool => Data::Bool(numbers.map(|n| n % 2 == 0).collect()),
            _ => Data::F64(numbers.map(|n| n as f64 - 4.0).collect()),
        };
        Tensor::new(sizes, data).unwrap()
    }
}

fn size() -> impl Strategy<Value = i64> {
    prop_oneof![1 => Just(0i64), 3 => Just(1i64), 8 => 2..7i64]
}

fn sizes(rank: std::ops::Range<usize>) -> impl Strategy<Value = Vec<i64>> {
    vec(size(), rank)
}

fn conv() -> impl Strategy<Value = Problem> {
    let slides = vec((slide(), prop_oneof![1 => Just(0i64), 9 => 1..16i64]), 0..3);
    (slides, 0..3i64, 1..4i64, 0..3i64, 0..3i64, any::<bool>()).prop_map(
        |(slides, batch, groups, rows, per_group, with_bias)| {
            let (slides, steps): (Vec<Slide>, Vec<i64>) = slides.into_iter().unzip();
            let taps: Vec<i64> = slides.iter().map(|slide| slide.size).collect();
            let filters = groups * per_group;
            let x = [&[batch], steps.as_slice(), &[groups * rows]].concat();
            let mut inputs = vec![x, [taps.as_slice(), &[rows, filters]].concat()];
            inputs.extend(with_bias.then(|| vec![filters]));
            let windows = slides.iter().map(Slide::window).collect();
            let op = ops::Conv { windows, groups: groups as usize }.into();
            Problem { op, slides, inputs }
        },
    )
}

fn conv_transpose() -> impl Strategy<Value = Problem> {
    let windows = vec((spread(), prop_oneof![1 => Just(0i64), 9 => 1..8i64]), 0..3);
    (windows, 0..3i64, 0..3i64, 0..4i64, any::<bool>()).prop_map(
        |(windows, batch, channels, filters, with_bias)| {
            let (windows, steps): (Vec<Spread>, Vec<i64>) = windows.into_iter().unzip();
            let taps: Vec<i64> = windows.iter().map(Spread::size).collect();
            let x = [&[batch], steps.as_slice(), &[channels]].concat();
            let mut inputs = vec![x, [taps.as_slice(), &[channels, filters]].concat()];
            inputs.extend(with_bias.then(|| vec![filters]));
            Problem::new(ops::ConvTranspose { windows }, inputs)
        },
    )
}

fn pool() -> impl Strategy<Value = Problem> {
    let slides = vec((slide(), 0..16i64), 0..3);
    (slides, 0..3i64, 0..3i64, any::<bool>()).prop_map(|(slides, batch, channels, max)| {
        let (slides, steps): (Vec<Slide>, Vec<i64>) = slides.into_iter().unzip();
        let windows = slides.iter().map(Slide::window).collect();
        let kind = if max { PoolKind::Max } else { PoolKind::Average };
        let inputs = vec![[&[batch], steps.as_slice(), &[channels]].concat()];
        Problem { op: ops::Pool { kind, windows }.into(), slides, inputs }
    })
}

fn reshape() -> impl Strategy<Value = Problem> {
    // A target that fits: some leading axes kept, the rest split anew among factors of their product.
    let factors = vec(1..5i64, 0..4);
    let fitting = (sizes(0..3), factors, any::<prop::sample::Index>(), 0..3usize, any::<bool>()).prop_map(
        |(kept, factors, at, unknown, joined)| {
            let mut target = vec![ReshapeDim::Keep; kept.len()];
            target.extend(factors.iter().map(|&n| ReshapeDim::Fixed(n)));
            if unknown > 0 && !factors.is_empty() {
                target[kept.len() + at.index(factors.len())] = ReshapeDim::Infer;
            }
            let rest =
                if joined { vec![factors.iter().product()] } else { factors.into_iter().rev().collect() };
            Problem::new(ops::Reshape { target }, [[kept, rest].concat()])
        },
    );
    // Some axes in another order, and the rest of them joined, as numbers, or as another tensor has them.
    let order =
        sizes(0..5).prop_flat_map(|x| (Just((0..x.len()).collect::<Vec<_>>()).prop_shuffle(), Just(x)));
    let moved =
        (order, any::<[prop::sample::Index; 2]>(), 0..5u8).prop_map(|((order, x), [cut, turn], way)| {
            let (kept, rest) = order.split_at(cut.index(order.len() + 1));
            let rest: Vec<i64> = rest.iter().map(|&axis| x[axis]).collect();
            let like = (0..rest.len()).map(ReshapeDim::Like);
            let mut target: Vec<ReshapeDim> = kept.iter().map(|&axis| ReshapeDim::Of(axis)).collect();
            match way {
                0 => target.push(ReshapeDim::Infer),
                1 => target.extend(rest.iter().map(|&n| ReshapeDim::Fixed(n))),
                2 => target.extend(like.rev()),
                3 => target.extend(like.take(1).chain([ReshapeDim::Infer])),
                _ => target.extend(like.skip(1).chain([ReshapeDim::Fixed(1), ReshapeDim::Infer])),
            }
            if !target.is_empty() {
                let turn = turn.index(target.len());
                target.rotate_left(turn);
            }
            let reads_like = target.iter().any(|dim| matches!(dim, ReshapeDim::Like(_)));
            let inputs: Vec<Vec<i64>> = [x].into_iter().chain(reads_like.then_some(rest)).collect();
            Problem::new(ops::Reshape { target }, inputs)
        });
    let dim = prop_oneof![
        3 => Just(ReshapeDim::Keep),
        2 => (0..13i64).prop_map(ReshapeDim::Fixed),
        2 => Just(ReshapeDim::Infer),
        1 => (0..4usize).prop_map(ReshapeDim::Of),
        1 => (0..3usize).prop_map(ReshapeDim::Like),
    ];
    let any = (vec(dim, 0..4), sizes(0..4), prop::option::of(sizes(0..3))).prop_map(|(target, x, like)| {
        Problem::new(ops::Reshape { target }, [vec![x], Vec::from_iter(like)].concat())
    });
    prop_oneof![3 => fitting, 3 => moved, 1 => any]
}

fn recurrent_problem() -> impl Strategy<Value = Problem> {
    (vec(size(), 4), any::<[bool; 4]>(), 0..4u8).prop_map(
        |(sizes, [reverse, has_bias, has_states, has_mask], cell)| {
            let [batch, steps, channels, units] = [sizes[0], sizes[1], sizes[2], sizes[3]];
            let recurrence = Recurrence { reverse, has_bias, has_states, has_mask };
            let (activation, recurrent_activation) = (Some(Unary::Tanh), Some(Unary::Sigmoid));
            let reset_after = cell == 1;
            let (op, gates, states): (Op, i64, usize) = match cell {
                0 | 1 => {
                    (ops::Gru { activation, recurrent_activation, reset_after, recurrence }.into(), 3, 1)
                }
                2 => (ops::Lstm { activation, recurrent_activation, recurrence }.into(), 4, 2),
                _ => (ops::Rnn { activation, recurrence }.into(), 1, 1),
            };
            let columns = gates * units;
            let mut inputs =
                vec![vec![batch, steps, channels], vec![channels, columns], vec![units, columns]];
            inputs.extend(has_bias.then(|| if reset_after { vec![2, columns] } else { vec![columns] }));
            inputs.extend(vec![vec![batch, units]; if has_states { states } else { 0 }]);
            inputs.extend(has_mask.then(|| vec![batch, steps]));
            Problem::new(op, inputs)
        },
    )
}

fn axes() -> impl Strategy<Value = Vec<usize>> {
    let sorted = vec(0..4usize, 0..4).prop_map(|mut axes| {
        axes.sort_unstable();
        axes.dedup();
        axes
    });
    prop_oneof![4 => sorted, 1 => vec(0..4usize, 0..4)]
}

fn problem() -> impl Strategy<Value = Problem> {
    let affine = (sizes(1..4), any::<prop::sample::Index>()).prop_map(|(x, axis)| {
        let axis = axis.index(x.len());
        let channels = vec![x[axis]];
        Problem::new(ops::Affine { axis }, [x, channels.clone(), channels])
    });
    let binary = (sizes(0..4), vec((any::<bool>(), 0..3usize), 4), 0..3usize).prop_map(|(x, ones, cut)| {
        let part = |which: usize| {
            let repeated =
                x.iter().zip(&ones).map(move |(&n, (one, of))| if *one && *of == which { 1 } else { n });
            repeated.collect::<Vec<i64>>()
        };
        let short = part(1).split_off(cut.min(x.len()));
        Problem::new(ops::Binary { kind: BinaryKind::Add }, [part(0), short])
    });
    let binary = binary.boxed();
    let concat =
        (sizes(1..4), any::<prop::sample::Index>(), vec(size(), 0..3)).prop_map(|(first, axis, more)| {
            let axis = axis.index(first.len());
            let mut inputs = vec![first.clone()];
            inputs.extend(more.into_iter().map(|n| {
                let mut other = first.clone();
                other[axis] = n;
                other
            }));
            Problem::new(ops::Concat { axis }, inputs)
        });
    let dense = (sizes(1..4), size(), size(), any::<bool>()).prop_map(|(outer, rows, units, with_bias)| {
        let mut inputs = vec![[outer, vec![rows]].concat(), vec![rows, units]];
        inputs.extend(with_bias.then(|| vec![units]));
        Problem::new(ops::Dense, inputs)
    });
    let compare = (binary.clone(), prop::sample::select(CompareKind::ALL.to_vec()))
        .prop_map(|(binary, kind)| Problem::new(ops::Compare { kind }, binary.inputs));
    let select = (binary.clone(), any::<prop::sample::Index>(), 0..3usize).prop_map(|(binary, at, cut)| {
        let [a, b] = [0, 1].map(|i| binary.inputs[i].clone());
        let condition = if at.index(2) == 0 { &a } else { &b };
        let condition = condition[cut.min(condition.len())..].to_vec();
        Problem::new(ops::Select, [condition, a, b])
    });
    let dim = prop_oneof![(0..4i64).prop_map(FullDim::Fixed), (0..4usize).prop_map(FullDim::Of)];
    let dtype = prop::sample::select(vec![DType::F32, DType::I64, DType::Bool]);
    let full = (sizes(0..4), vec(dim, 0..4), dtype)
        .prop_map(|(x, dims, dtype)| Problem::new(ops::Full { dims, value: 2.0, dtype }, [x]));
    let reverse = (sizes(1..4), 0..3usize).prop_map(|(x, axis)| Problem::new(ops::Reverse { axis }, [x]));
    let scan = (vec(size(), 4), any::<bool>()).prop_map(|(sizes, reverse)| {
        let [batch, steps, channels, units] = [sizes[0], sizes[1], sizes[2], sizes[3]];
        let op = ops::Scan { body: BODY.clone(), states: 1, sequences: 1, reverse };
        Problem::new(op, [vec![batch, units], vec![batch, steps, channels], vec![channels, units]])
    });
    let pad = (sizes(0..4), vec((0..4i64, 0..4i64), 4)).prop_map(|(x, mut amounts)| {
        amounts.truncate(x.len());
        Problem::new(ops::Pad { amounts, value: 0.5 }, [x])
    });
    let kind =
        prop::sample::select(vec![ReduceKind::Max, ReduceKind::Min, ReduceKind::Sum, ReduceKind::Mean]);
    let reduce = (sizes(0..5), kind, axes(), any::<bool>())
        .prop_map(|(x, kind, axes, keep_dims)| Problem::new(ops::Reduce { kind, axes, keep_dims }, [x]));
    let softmax = (sizes(1..5), axes(), any::<bool>())
        .prop_map(|(x, axes, log)| Problem::new(ops::Softmax { axes, log }, [x]));
    let transpose = sizes(0..5).prop_flat_map(|x| {
        let permutation = Just((0..x.len()).collect::<Vec<_>>()).prop_shuffle();
        permutation.prop_map(move |permutation| Problem::new(ops::Transpose { permutation }, [x.clone()]))
    });
    let types = prop::sample::select(vec![DType::F32, DType::I32, DType::I64, DType::Bool]);
    let same = (sizes(0..4), 0..3u8, types).prop_map(|(x, which, to)| match which {
        0 => Problem::new(Unary::Relu, [x]),
        1 => Problem::new(ops::Cast { to }, [x]),
        _ => Problem::new(ops::Identity, [x]),
    });
    let along = || (sizes(1..4), 0..3usize);
    let gather = (along(), sizes(0..3))
        .prop_map(|((x, axis), indices)| Problem::new(ops::Gather { axis }, [x, indices]));
    let kinds = [NormalizeKind::Standard, NormalizeKind::RootMeanSquare, NormalizeKind::Deviation];
    let normalize = (sizes(1..5), axes(), prop::sample::select(kinds.to_vec()), 0..4usize).prop_map(
        |(x, axes, kind, parameters)| {
            let sizes: Vec<i64> = axes.iter().filter_map(|&axis| x.get(axis).copied()).collect();
            let inputs = [vec![x], vec![sizes; parameters]].concat();
            Problem::new(ops::Normalize { kind, axes, epsilon: 1e-3 }, inputs)
        },
    );
    let repeat =
        (along(), 0..5usize).prop_map(|((x, axis), times)| Problem::new(ops::Repeat { axis, times }, [x]));
    let slice = (along(), -1..4i64, -1..4i64)
        .prop_map(|((x, axis), before, after)| Problem::new(ops::Slice { axis, before, after }, [x]));
    let sparsemax = along().prop_map(|(x, axis)| Problem::new(ops::Sparsemax { axis }, [x]));
    let mat_mul = (binary.clone(), vec(size(), 3)).prop_map(|(outer, ends)| {
        let [a, b] = [[ends[0], ends[1]], [ends[1], ends[2]]];
        let inputs = outer.inputs.iter().zip([a, b]).map(|(outer, ends)| [outer.as_slice(), &ends].concat());
        Problem::new(ops::MatMul, inputs.collect::<Vec<_>>())
    });
    prop_oneof![
        4 => conv(), 4 => conv_transpose(), 4 => pool(), 6 => reshape(), 2 => reduce, 2 => binary, 2 => concat,
        2 => gather, 2 => mat_mul, 2 => normalize, 2 => slice,
        1 => dense, 1 => affine, 1 => pad, 1 => repeat, 1 => softmax, 1 => sparsemax, 1 => transpose, 2 => same,
        2 => compare, 1 => full, 6 => recurrent_problem(), 1 => reverse, 2 => scan, 2 => select,
    ]
}

/// Something that makes inputs that fit fit no more, most of the time.
#[derive(Clone, Debug)]
enum Change {
    Nothing,
    Size(i64),
    MoreAxes,
    FewerAxes,
    MoreInputs,
    FewerInputs,
}

fn changed_problem() -> impl Strategy<Value = Problem> {
    let change = prop_oneof![
        12 => Just(Change::Nothing),
        4 => size().prop_map(Change::Size),
        1 => Just(Change::MoreAxes),
        1 => Just(Change::FewerAxes),
        1 => Just(Change::MoreInputs),
        1 => Just(Change::FewerInputs),
    ];
    let at = any::<[prop::sample::Index; 2]>();
    (problem(), change, at).prop_map(|(mut problem, change, [which, axis])| {
        let count = problem.inputs.len();
        let input = &mut problem.inputs[which.index(count)];
        match change {
            Change::Size(n) if !input.is_empty() => {
                let axis = axis.index(input.len());
                input[axis] = n;
            }
            Change::MoreAxes => input.insert(axis.index(input.len() + 1), 1),
            Change::FewerAxes if !input.is_empty() => drop(input.remove(axis.index(input.len()))),
            Change::MoreInputs => {
                let again = input.clone();
                problem.inputs.push(again);
            }
            Change::FewerInputs => drop(problem.inputs.pop()),
            _ => {}
        }
        problem
    })
}

/// How a size is written with a symbol.
#[derive(Clone, Copy, Debug)]
enum Form {
    Number,
    /// One symbol for all dimensions of this size.
    Shared,
    Own,
    Multiple(i64),
    Half,
    Less,
}

fn form() -> impl Strategy<Value = Form> {
    prop_oneof![
        3 => Just(Form::Number),
        3 => Just(Form::Shared),
        3 => Just(Form::Own),
        1 => (2..5i64).prop_map(Form::Multiple),
        1 => Just(Form::Half),
        1 => Just(Form::Less),
    ]
}

impl Form {
    /// The dimension that is `n` once the symbol, called `own` unless it is shared, is bound as noted in `bindings`.
    fn dim(self, n: i64, own: &str, bindings: &mut Bindings) -> Dim {
        let mut symbol = |name: &str, n: i64| {
            bindings.insert(name.into(), n);
            Dim::symbol(name)
        };
        match self {
            Form::Number => Dim::fixed(n),
            Form::Shared => symbol(&format!("n{n}"), n),
            Form::Own => symbol(own, n),
            Form::Multiple(k) => symbol(own, n / k).mul_const(k).unwrap().add_const(n % k).unwrap(),
            Form::Half => symbol(own, 2 * n + 1).floor_div(2).unwrap(),
            Form::Less => symbol(own, n + 2).add_const(-2).unwrap(),
        }
    }
}

/// A graph of one node. Its inputs are one vector for each symbol, as long as the symbol says, and the operands.
fn graph(problem: &Problem, inputs: &[Vec<Dim>], symbols: &Bindings) -> Result<Graph> {
    let mut builder = GraphBuilder::new();
    for name in symbols.keys() {
        builder.input(&**name, (DType::F32, vec![Dim::symbol(name)]).into())?;
    }
    let types = inputs.iter().enumerate().map(|(i, dims)| (problem.dtype(i), dims.clone()).into());
    let operands = types.map(|r#type| builder.input("x", r#type)).collect::<Result<Vec<_>>>()?;
    for y in builder.add_all(problem.op.clone(), operands.into_iter().map(Into::into).collect())? {
        builder.output("y", y);
    }
    Ok(builder.finish())
}

fn outputs(graph: &Graph) -> Vec<&TensorType> {
    graph.outputs().iter().map(|port| &graph.value(port.value).r#type).collect()
}

fn shapes(graph: &Graph) -> Vec<Shape> {
    outputs(graph).into_iter().map(|r#type| r#type.shape.clone()).collect()
}

fn check(problem: &Problem, forms: &[Form]) {
    let expected = problem.count();
    let numbers: Vec<Vec<Dim>> =
        problem.inputs.iter().map(|x| x.iter().map(|&n| n.into()).collect()).collect();
    let fixed = graph(problem, &numbers, &Bindings::new());
    let given = fixed.as_ref().ok().map(shapes);
    let first = given.as_ref().map(|shapes| shapes[0].clone());
    assert_eq!(first, expected.map(|dims| dims.into_iter().map(Dim::fixed).collect()), "{fixed:?}");
    if let Ok(graph) = &fixed {
        assert_eq!(graph.constraints(), [], "numbers leave nothing to demand");
        let tensors: Vec<Tensor> = (0..problem.inputs.len()).map(|i| problem.tensor(i)).collect();
        let run = run_reference(graph, &tensors, &[]).unwrap();
        let dtype = match &problem.op {
            Op::Cast(cast) => cast.to,
            Op::Compare(_) => DType::Bool,
            Op::Full(full) => full.dtype,
            _ => DType::F32,
        };
        for (r#type, tensor) in outputs(graph).into_iter().zip(&run.outputs) {
            assert_eq!(r#type.shape.as_fixed().as_deref(), Some(tensor.shape()), "the reference");
            assert_eq!(r#type.dtype, dtype);
            match tensor.data() {
                Data::F64(data) => {
                    assert!(dtype.is_float() && data.iter().all(|x| x.is_finite()), "{data:?}")
                }
                Data::I64(_) => assert!(dtype.is_integer()),
                Data::Bool(_) => assert_eq!(dtype, DType::Bool),
            }
        }
    }

    let mut symbols = Bindings::new();
    let mut forms = forms.iter().cycle();
    let mut dim = |i: usize, axis: usize, n: i64| {
        forms.next().copied().unwrap_or(Form::Number).dim(n, &format!("x{i}_{axis}"), &mut symbols)
    };
    let inputs: Vec<Vec<Dim>> = (problem.inputs.iter().enumerate())
        .map(|(i, x)| x.iter().enumerate().map(|(axis, &n)| dim(i, axis, n)).collect())
        .collect();
    let symbolic = match graph(problem, &inputs, &symbols) {
        Ok(symbolic) => symbolic,
        Err(error) => return assert!(fixed.is_err() || problem.fits_by_chance(), "{inputs:?}: {error}"),
    };
    let operands = problem.inputs.iter().map(|x| x.iter().map(|&n| n as usize).collect());
    let sizes: Vec<Vec<usize>> = symbols.values().map(|&n| vec![n as usize]).chain(operands).collect();
    match symbolic.bind(&sizes.iter().map(Vec::as_slice).collect::<Vec<_>>()) {
        Ok(bindings) => {
            assert_eq!(bindings, symbols);
            let bound = shapes(&symbolic).iter().map(|shape| shape.substitute(&bindings).unwrap()).collect();
            assert_eq!(Some(bound), given, "{inputs:?} under {:?}", symbolic.constraints());
            if let Op::Reshape(op) = &problem.op {
                let mut types: Vec<TensorType> =
                    inputs.into_iter().map(|dims| (DType::F32, dims).into()).collect();
                let like = types.get(1).map(|like| &like.shape);
                let told = ops::Reshape::with_numbers(op.target.clone(), &types[0].shape, like);
                types.truncate(
                    1 + told.target.iter().filter(|dim| matches!(dim, ReshapeDim::Like(_))).count(),
                );
                let same = ops::Operator::infer(&told, &types, &mut Infer::default()).unwrap();
                assert_eq!(same[0].shape.substitute(&bindings).ok(), first, "{told:?}");
            }
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Shape, "{error}");
            assert!(fixed.is_err() || problem.fits_by_chance(), "{inputs:?}: {error}");
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn windows_are_where_counting_finds_them(slide in slide(), input in 0..40usize) {
        let (window, positions) = (slide.window(), slide.positions(input as i64));
        let extent = window.extent(input);
        prop_assert_eq!(extent.is_ok(), !positions.is_empty(), "{:?}", extent);
        let n = Dim::symbol("n");
        let mut infer = Infer::default();
        let symbolic = window.positions(&n, &mut infer).unwrap();
        let bindings = Bindings::from_iter([("n".into(), input as i64)]);
        let allowed = infer.into_constraints().iter().all(|rule| rule.holds(&bindings).unwrap().unwrap());
        prop_assert_eq!(allowed, !positions.is_empty());
        if let Ok(extent) = extent {
            let (before, after) = slide.pads(input as i64);
            prop_assert_eq!((extent.input, extent.output), (input, positions.len()));
            prop_assert_eq!((extent.before as i64, extent.after as i64), (before, after));
            prop_assert_eq!(symbolic.eval(&bindings).unwrap(), positions.len() as i64);
            for (at, taps) in positions.iter().enumerate() {
                prop_assert_eq!(&window.taps(&extent, at).collect::<Vec<_>>(), taps);
            }
        }
    }

    #[test]
    fn spreads_reach_as_far_as_counting_finds(spread in spread(), input in 0..20i64) {
        let expected = spread_count(&spread, input);
        let fixed = spread.positions(&input.into(), &mut Infer::default());
        prop_assert_eq!(fixed.ok().map(|n| n.as_fixed()), expected.map(Some));
        let mut infer = Infer::default();
        let symbolic = spread.positions(&Dim::symbol("n"), &mut infer).unwrap();
        let bindings = Bindings::from_iter([("n".into(), input)]);
        let constraints = infer.into_constraints();
        prop_assert_eq!(constraints.len(), 1);
        prop_assert_eq!(constraints[0].holds(&bindings).unwrap(), Some(expected.is_some()));
        if let Some(expected) = expected {
            prop_assert_eq!(symbolic.eval(&bindings).unwrap(), expected);
        }
    }

    #[test]
    fn shapes_are_counted_computed_and_substituted_alike(problem in changed_problem(), forms in vec(form(), 1..12)) {
        check(&problem, &forms);
    }
}

/// Without this the property could hold for want of cases.
#[test]
fn problems_fit_and_misfit_in_fair_parts() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for _ in 0..6000 {
        let problem = changed_problem().new_tree(&mut runner).unwrap().current();
        let name = match &problem.op {
            Op::Compare(_) => "compare",
            Op::Normalize(_) => "normalize",
            Op::Pool(_) => "pool",
            Op::Reduce(_) => "reduce",
            Op::Softmax(_) => "softmax",
            op => ops::Operator::name(op),
        };
        seen.entry(name).or_default()[usize::from(problem.count().is_some())] += 1;
    }
    assert_eq!(seen.len(), 29, "{seen:?}");
    for (name, [misfits, fits]) in seen {
        assert!(fits > 20 && misfits > 1, "{name}: {fits} fit, {misfits} do not");
    }
}
