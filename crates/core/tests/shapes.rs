//! Shapes are what counting gives: every operator's shape rule against a model that counts window positions one by
//! one, against the shape of what its reference computes, and against itself with symbols in place of numbers.

#![allow(clippy::unwrap_used, reason = "the helpers of tests fail by panic too")]

use k2o_core::ops::{self, BinaryKind, Infer, PoolKind, ReduceKind, ReshapeDim, Unary};
use k2o_core::{
    Bindings, DType, Dim, ErrorKind, Graph, GraphBuilder, Op, Padding, Result, Shape, Tensor, Window,
    run_reference,
};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn config() -> ProptestConfig {
    ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() }
}

/// A window as it is asked for.
#[derive(Clone, Copy, Debug)]
struct Slide {
    size: i64,
    stride: i64,
    dilation: i64,
    padding: Padding,
}

impl Slide {
    fn window(&self) -> Window {
        Window::new(self.size, self.stride, self.dilation, self.padding).unwrap()
    }

    /// How many steps are padded before and after an input, by TensorFlow's definition of `SAME`.
    fn pads(&self, input: i64) -> (i64, i64) {
        let span = self.dilation * (self.size - 1) + 1;
        match self.padding {
            Padding::Explicit(before, after) => (before, after),
            Padding::Same => {
                let beyond = if input % self.stride == 0 { self.stride } else { input % self.stride };
                let total = (span - beyond).max(0);
                (total / 2, total - total / 2)
            }
        }
    }

    /// For every position, found start by start over the padded input, what each tap reads: a step of the input, or
    /// `None` in the padding. No positions where the window does not fit.
    fn positions(&self, input: i64) -> Vec<Vec<Option<usize>>> {
        if input < 0 || (input == 0 && self.padding == Padding::Same) {
            return Vec::new();
        }
        let (before, after) = self.pads(input);
        let starts = (0..before + input + after).filter(|start| start % self.stride == 0);
        let taps = starts.map(|start| (0..self.size).map(move |tap| start + tap * self.dilation));
        let inside = taps.filter(|taps| taps.clone().all(|at| at < before + input + after));
        let read = |at: i64| (before..before + input).contains(&at).then(|| (at - before) as usize);
        inside.map(|taps| taps.map(read).collect()).collect()
    }

    fn count(&self, input: i64) -> Option<i64> {
        Some(self.positions(input).len() as i64).filter(|&n| n > 0)
    }
}

fn slide() -> impl Strategy<Value = Slide> {
    let padding = prop_oneof![
        3 => Just(Padding::Same),
        2 => Just(Padding::Explicit(0, 0)),
        2 => (0..5i64, 0..5i64).prop_map(|(before, after)| Padding::Explicit(before, after)),
    ];
    (1..6i64, 1..5i64, prop_oneof![2 => Just(1i64), 1 => 2..5i64], padding)
        .prop_map(|(size, stride, dilation, padding)| Slide { size, stride, dilation, padding })
}

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
            (Op::Identity(_) | Op::Unary(_), [x]) => Some(x.to_vec()),
            (Op::Affine(op), [x, scale, shift]) => {
                let channels = [*x.get(op.axis)?];
                (*scale == channels && *shift == channels).then(|| x.to_vec())
            }
            (Op::Binary(_), [a, b]) => {
                let rank = a.len().max(b.len());
                let long = |x: &[i64]| [vec![1; rank - x.len()], x.to_vec()].concat();
                let pairs = long(a).into_iter().zip(long(b));
                pairs
                    .map(|(a, b)| {
                        [(a, b), (b, a)].into_iter().find(|(a, b)| a == b || *b == 1).map(|(a, _)| a)
                    })
                    .collect()
            }
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
            (Op::Reshape(op), [x]) => {
                let keeps = |axis| op.target.get(axis) == Some(&ReshapeDim::Keep);
                let total: i64 = (0..x.len()).filter(|&axis| !keeps(axis)).map(|axis| x[axis]).product();
                let fixed = op.target.iter().map(|dim| if let ReshapeDim::Fixed(n) = dim { *n } else { 1 });
                let unknown = op.target.iter().filter(|dim| **dim == ReshapeDim::Infer).count();
                let rest: i64 = fixed.product();
                let quotient = match unknown {
                    0 => (rest == total).then_some(0)?,
                    1 if rest > 0 => (0..=total).find(|n| n * rest == total)?,
                    _ => return None,
                };
                let dims = op.target.iter().enumerate().map(|(axis, dim)| match dim {
                    ReshapeDim::Keep => x.get(axis).copied(),
                    ReshapeDim::Fixed(n) => Some(*n),
                    ReshapeDim::Infer => Some(quotient),
                });
                dims.collect()
            }
            (Op::Softmax(op), [x]) => {
                (!op.axes.is_empty() && increasing(&op.axes, x.len())).then(|| x.to_vec())
            }
            (Op::Transpose(op), [x]) => {
                let once =
                    (0..x.len()).all(|axis| op.permutation.iter().filter(|&&p| p == axis).count() == 1);
                (once && op.permutation.len() == x.len())
                    .then(|| op.permutation.iter().map(|&axis| x[axis]).collect())
            }
            _ => None,
        }
    }

    /// Whether two sizes may fit only because one of them happens to be 1, which symbols do not allow for.
    fn repeats(&self) -> bool {
        matches!(self.op, Op::Binary(_)) && self.inputs.iter().flatten().any(|&n| n == 1)
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
    let dim = prop_oneof![
        3 => Just(ReshapeDim::Keep),
        2 => (-1..13i64).prop_map(ReshapeDim::Fixed),
        2 => Just(ReshapeDim::Infer),
    ];
    let any =
        (vec(dim, 0..4), sizes(0..4)).prop_map(|(target, x)| Problem::new(ops::Reshape { target }, [x]));
    prop_oneof![3 => fitting, 1 => any.prop_filter("negative targets never fit", |problem| match &problem.op {
        Op::Reshape(op) => !op.target.contains(&ReshapeDim::Fixed(-1)),
        _ => true,
    })]
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
    let pad = (sizes(0..4), vec((0..4i64, 0..4i64), 4)).prop_map(|(x, mut amounts)| {
        amounts.truncate(x.len());
        Problem::new(ops::Pad { amounts, value: 0.5 }, [x])
    });
    let kind =
        prop::sample::select(vec![ReduceKind::Max, ReduceKind::Min, ReduceKind::Sum, ReduceKind::Mean]);
    let reduce = (sizes(0..5), kind, axes(), any::<bool>())
        .prop_map(|(x, kind, axes, keep_dims)| Problem::new(ops::Reduce { kind, axes, keep_dims }, [x]));
    let softmax = (sizes(1..5), axes()).prop_map(|(x, axes)| Problem::new(ops::Softmax { axes }, [x]));
    let transpose = sizes(0..5).prop_flat_map(|x| {
        let permutation = Just((0..x.len()).collect::<Vec<_>>()).prop_shuffle();
        permutation.prop_map(move |permutation| Problem::new(ops::Transpose { permutation }, [x.clone()]))
    });
    let same = (sizes(0..4), any::<bool>()).prop_map(|(x, relu)| match relu {
        true => Problem::new(Unary::Relu, [x]),
        false => Problem::new(ops::Identity, [x]),
    });
    prop_oneof![
        4 => conv(), 4 => pool(), 4 => reshape(), 2 => reduce, 2 => binary, 2 => concat,
        1 => dense, 1 => affine, 1 => pad, 1 => softmax, 1 => transpose, 1 => same,
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
fn graph(op: &Op, inputs: &[Vec<Dim>], symbols: &Bindings) -> Result<Graph> {
    let mut builder = GraphBuilder::new();
    for name in symbols.keys() {
        builder.input(&**name, (DType::F32, vec![Dim::symbol(name)]).into())?;
    }
    let operands = inputs.iter().map(|dims| builder.input("x", (DType::F32, dims.clone()).into()));
    let operands = operands.collect::<Result<Vec<_>>>()?;
    let y = builder.add(op.clone(), operands)?;
    builder.output("y", y);
    Ok(builder.finish())
}

fn output_shape(graph: &Graph) -> &Shape {
    &graph.value(graph.outputs()[0].value).r#type.shape
}

fn tensor(sizes: &[i64]) -> Tensor {
    let sizes: Vec<usize> = sizes.iter().map(|&n| n as usize).collect();
    let n: usize = sizes.iter().product();
    Tensor::f64(sizes, (0..n).map(|i| (i * 7 % 11) as f64 - 4.0).collect()).unwrap()
}

fn check(problem: &Problem, forms: &[Form]) {
    let expected = problem.count();
    let numbers: Vec<Vec<Dim>> =
        problem.inputs.iter().map(|x| x.iter().map(|&n| n.into()).collect()).collect();
    let fixed = graph(&problem.op, &numbers, &Bindings::new());
    let given = fixed.as_ref().ok().map(|graph| Shape::new(output_shape(graph).to_vec()));
    assert_eq!(given, expected.clone().map(|dims| dims.into_iter().map(Dim::fixed).collect()), "{fixed:?}");
    let sizes = expected.map(|dims| dims.iter().map(|&n| n as usize).collect::<Vec<_>>());
    if let Ok(graph) = &fixed {
        assert_eq!(graph.constraints(), [], "numbers leave nothing to demand");
        let tensors: Vec<Tensor> = problem.inputs.iter().map(|x| tensor(x)).collect();
        let run = run_reference(graph, &tensors, &[]).unwrap();
        assert_eq!(Some(run.outputs[0].shape()), sizes.as_deref(), "the reference");
        assert!(run.outputs[0].as_f64().unwrap().iter().all(|x| x.is_finite()), "{:?}", run.outputs);
    }

    let mut symbols = Bindings::new();
    let mut forms = forms.iter().cycle();
    let mut dim = |i: usize, axis: usize, n: i64| {
        forms.next().copied().unwrap_or(Form::Number).dim(n, &format!("x{i}_{axis}"), &mut symbols)
    };
    let inputs: Vec<Vec<Dim>> = (problem.inputs.iter().enumerate())
        .map(|(i, x)| x.iter().enumerate().map(|(axis, &n)| dim(i, axis, n)).collect())
        .collect();
    let symbolic = match graph(&problem.op, &inputs, &symbols) {
        Ok(symbolic) => symbolic,
        Err(error) => return assert!(fixed.is_err() || problem.repeats(), "{inputs:?}: {error}"),
    };
    let operands = problem.inputs.iter().map(|x| x.iter().map(|&n| n as usize).collect());
    let sizes: Vec<Vec<usize>> = symbols.values().map(|&n| vec![n as usize]).chain(operands).collect();
    match symbolic.bind(&sizes.iter().map(Vec::as_slice).collect::<Vec<_>>()) {
        Ok(bindings) => {
            assert_eq!(bindings, symbols);
            let shape = output_shape(&symbolic).substitute(&bindings).unwrap();
            assert_eq!(Some(shape), given, "{inputs:?} under {:?}", symbolic.constraints());
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Shape, "{error}");
            assert!(fixed.is_err() || problem.repeats(), "{inputs:?}: {error}");
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
    for _ in 0..2000 {
        let problem = changed_problem().new_tree(&mut runner).unwrap().current();
        let name = match &problem.op {
            Op::Pool(_) => "pool",
            Op::Reduce(_) => "reduce",
            op => ops::Operator::name(op),
        };
        seen.entry(name).or_default()[usize::from(problem.count().is_some())] += 1;
    }
    assert_eq!(seen.len(), 13, "{seen:?}");
    for (name, [misfits, fits]) in seen {
        assert!(fits > 20 && misfits > 1, "{name}: {fits} fit, {misfits} do not");
    }
}
