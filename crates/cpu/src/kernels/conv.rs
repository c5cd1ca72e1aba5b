//! Convolution over the axes between batch and channels.
//!
//! Without groups and dilation, the taps of a window that stand next to each other along the last axis are one run
//! of elements, so in one dimension the convolution is a matrix product whose left rows overlap. Otherwise every tap
//! is a run of its own. Padding is not copied: windows near the ends have fewer runs.

use super::products::{Finish, Layout, MOST_POOLED, Product, Rows, Steps, Terms, Winograd};
use super::weights::Weights;
use super::windows::Sliding;
use super::{Kernel, Operands, products};
use crate::kernels::chain::Chain;
use crate::simd::Isa;
use crate::{Error, Result};
use k2o_core::ops::PoolKind;
use k2o_core::{Padding, Window, ops};

/// The layout of the weights of a convolution of `groups` groups. They are packed as one group where every channel is a
/// group of its own, because filters then share no input and can be neighbouring lanes.
pub(crate) fn layout(isa: Isa, kernel: &[usize], groups: usize) -> Result<Layout> {
    match kernel {
        [.., 1, _] => Layout::new(isa, kernel, 1),
        _ => Layout::new(isa, kernel, groups),
    }
}

/// A convolution of operand 0 with what is joined to it.
///
/// A pooling that is joined takes the largest of `pool` neighbouring positions while they are in registers.
pub(crate) struct Conv {
    pub op: ops::Conv,
    pub isa: Isa,
    pub weights: Weights,
    pub bias: Option<usize>,
    pub chain: Chain,
    /// How many positions along the only axis become one, without padding; 1 where nothing is pooled.
    pub pool: usize,
    /// The weights for computing two positions at once, where that pays.
    pub winograd: Option<Winograd>,
}

pub(crate) struct ConvBound {
    layout: Layout,
    pieces: Vec<Piece>,
    /// Results of one sample that are pooled of windows of several pieces.
    pooled: Vec<Pooled>,
    /// Samples, and the elements of each on the left and of its results.
    samples: (usize, [usize; 2]),
    /// Positions of all samples.
    positions: usize,
    /// Input channels of each group.
    per_group: usize,
    /// Filters of each channel, if every channel is a group of its own.
    multiplier: Option<usize>,
    steps: Option<Steps>,
}

/// Windows that read the same taps.
struct Piece {
    terms: Terms,
    /// All of them, or those that are pooled with windows of this piece only.
    rows: Option<Rows>,
}

/// Windows that are pooled.
struct Pooled {
    /// The piece of each, and where it starts.
    windows: Vec<(usize, usize)>,
    /// Where the result is.
    y: usize,
}

impl Kernel for Conv {
    type Out = f32;
    type Bound = ConvBound;

    fn bind(&self, operands: &[&[usize]], output: &[usize]) -> Result<ConvBound> {
        let groups = self.op.groups;
        let x = operands[0];
        let channels = x.last().copied().ok_or_else(|| Error::shape("a convolution of a single number"))?;
        let layout = self.weights.layout(operands, |kernel| layout(self.isa, kernel, groups))?;
        let filters = layout.groups * layout.columns;
        let per_group = channels / groups;
        let sliding = Sliding::new(&self.op.windows, x, filters)?;
        let (pieces, pooled) = match self.pool {
            1 => (pieces(&sliding, per_group), Vec::new()),
            pool => pooled_pieces(&sliding, pool, [output[1], filters], per_group),
        };
        let multiplier = (layout.groups != groups).then(|| filters / groups);
        let samples = (x[0], [x, output].map(|sizes| sizes[1..].iter().product()));
        let positions = output.iter().product::<usize>() / filters.max(1) * self.pool;
        let steps = self.winograd.as_ref().and_then(|_| steps(self.op.windows.first()?, x));
        let steps = steps.map(|steps| steps.pooled(self.pool, output[1]));
        Ok(ConvBound { layout, pieces, pooled, samples, positions, per_group, multiplier, steps })
    }

    fn scratch(&self, bound: &ConvBound) -> usize {
        self.weights.scratch(&bound.layout)
    }

    fn is_large(&self, bound: &Self::Bound) -> bool {
        bound.multiplier.is_none()
            && super::products::is_large(bound.positions, bound.layout.depth, bound.layout.columns)
    }

    fn run(&self, bound: &ConvBound, operands: &Operands<'_>, scratch: &mut [f32], out: &mut [f32]) {
        let ConvBound { layout, per_group, .. } = bound;
        let packed = self.weights.get(layout, operands, scratch);
        let finish = Finish { bias: self.bias.map(|bias| operands.get(bias)), chain: &self.chain, operands };
        let ahead = operands.ahead();
        let product = Product {
            isa: self.isa,
            team: operands.team(),
            x: operands.get(0),
            layout,
            packed,
            finish,
            ahead,
        };
        if let (Some(winograd), Some(steps)) = (&self.winograd, &bound.steps) {
            return product.convolve_pairs(winograd, steps, operands.steps_before(), out);
        }
        for Piece { terms, rows } in &bound.pieces {
            let Some(rows) = rows else { continue };
            if let Some(multiplier) = bound.multiplier {
                rows.visit(|rows| product.multiply_depthwise(multiplier, terms, rows, out));
                continue;
            }
            for group in 0..layout.groups {
                rows.visit(|mut rows| {
                    rows.x += group * per_group;
                    rows.y += group * layout.columns;
                    product.multiply(group, terms, rows, out);
                });
            }
        }
        const NOTHING: &Terms = &Terms::NOTHING;
        let (samples, [x_len, y_len]) = bound.samples;
        for Pooled { windows, y } in &bound.pooled {
            for sample in 0..samples {
                let mut rows = [(NOTHING, 0); MOST_POOLED];
                for (row, (piece, x)) in rows.iter_mut().zip(windows) {
                    *row = (&bound.pieces[*piece].terms, sample * x_len + x);
                }
                product.multiply_apart(&rows[..windows.len()], sample * y_len + y, out);
            }
        }
    }
}

/// The windows that read the same taps, together.
fn pieces(sliding: &Sliding, per_group: usize) -> Vec<Piece> {
    let mut pieces = Vec::new();
    sliding.cells(|cell| {
        pieces.push(Piece { terms: cell.terms(per_group), rows: Some(cell.row_runs()) });
    });
    pieces
}

/// As [`pieces`], of windows along one axis of which `pool` neighbours become one of as many `results`; and the results
/// that come of windows of several pieces.
fn pooled_pieces(
    sliding: &Sliding,
    pool: usize,
    [results, filters]: [usize; 2],
    channels: usize,
) -> (Vec<Piece>, Vec<Pooled>) {
    let mut pieces = Vec::new();
    let mut pooled: Vec<Pooled> =
        (0..results).map(|at| Pooled { windows: Vec::new(), y: at * filters }).collect();
    sliding.cells(|cell| {
        let (own, rows) = cell.pooled_runs(pool, [results, filters]).unzip();
        let own = own.unwrap_or(0..0);
        for position in cell.positions() {
            let result = position / pool;
            if let (Some(window), Some(pooled)) = (cell.window(position), pooled.get_mut(result))
                && !own.contains(&result)
            {
                pooled.windows.push((pieces.len(), window.x));
            }
        }
        pieces.push(Piece { terms: cell.terms(channels), rows });
    });
    pooled.retain(|pooled| !pooled.windows.is_empty());
    (pieces, pooled)
}

/// The steps of `x` that windows of three read, one step further each.
fn steps(window: &Window, x: &[usize]) -> Option<Steps> {
    let &[batch, input, channels] = x else { return None };
    let extent = window.extent(input).ok()?;
    let dilation = usize::try_from(window.dilation()).ok()?;
    Some(Steps::new(batch, [input, extent.output], [extent.before, dilation], channels))
}

/// How many neighbouring positions of a convolution a pooling that follows takes the largest of, if that is nothing else,
/// and can be done while they are in registers. `kernel` are the sizes of the weights.
pub(crate) fn pooled(op: &ops::Conv, kernel: &[usize], pool: &ops::Pool) -> Option<usize> {
    let ([conv], [window], [taps, channels, _]) = (&op.windows[..], &pool.windows[..], kernel) else {
        return None;
    };
    let size = usize::try_from(window.size()).ok()?;
    let is_plain = pool.kind == PoolKind::Max
        && window.stride() == window.size()
        && window.dilation() == 1
        // Of two, padding only comes last.
        && (window.padding() == Padding::Explicit(0, 0) || window.padding() == Padding::Same && size == 2);
    let is_one = op.groups == 1 && conv.dilation() == 1;
    let can_pool = products::can_pool(size, taps.saturating_mul(*channels));
    let fits = can_pool && (size == 2 || !has_pairs(op));
    (is_plain && is_one && fits).then_some(size)
}

/// Whether a convolution reads windows of three steps, one step further each, of all channels.
pub(crate) fn has_pairs(op: &ops::Conv) -> bool {
    matches!(&op.windows[..], [window] if window.size() == 3 && window.stride() == 1) && op.groups == 1
}

#[cfg(test)]
mod tests {
    use crate::testing::{Problem, check_products, on_every_set, padding, run, tensor, values, with_pairs};
    use crate::{Plan, PlanOptions};
    use k2o_core::{
        Constant, ConstantExpr, DType, Graph, GraphBuilder, Operand, Padding, Shape, Tensor, TensorType,
        ValueId, Window, ops,
    };
    use proptest::prelude::*;

    /// A convolution of any rank; `per_group` channels and `filters` filters in each group.
    #[derive(Clone, Debug)]
    struct Case {
        batch: usize,
        axes: Vec<(usize, i64, i64, i64, Padding)>,
        groups: usize,
        per_group: usize,
        filters: usize,
        bias: bool,
        seed: u64,
    }

    impl Case {
        fn problem(&self) -> Option<Problem> {
            let windows = self.axes.iter().map(|&(_, size, stride, dilation, padding)| {
                Window::new(size, stride, dilation, padding).unwrap()
            });
            let windows: Vec<Window> = windows.collect();
            let fits = windows.iter().zip(&self.axes).all(|(window, axis)| window.extent(axis.0).is_ok());
            let mut x = vec![self.batch];
            x.extend(self.axes.iter().map(|axis| axis.0));
            x.push(self.groups * self.per_group);
            let mut kernel: Vec<usize> = self.axes.iter().map(|axis| axis.1 as usize).collect();
            kernel.extend([self.per_group, self.groups * self.filters]);
            let mut operands = vec![values(&x, self.seed), values(&kernel, self.seed + 1)];
            if self.bias {
                operands.push(values(&[self.groups * self.filters], self.seed + 2));
            }
            let op = ops::Conv { windows, groups: self.groups };
            fits.then(|| Problem::new(op, operands))
        }
    }

    fn axis(input: usize) -> impl Strategy<Value = (usize, i64, i64, i64, Padding)> {
        (1..=input, 1i64..5, 1i64..4, 1i64..4).prop_flat_map(|(input, size, stride, dilation)| {
            padding().prop_map(move |padding| (input, size, stride, dilation, padding))
        })
    }

    fn cases(
        ranks: std::ops::Range<usize>,
        input: usize,
        groups: std::ops::Range<usize>,
        per_group: std::ops::Range<usize>,
    ) -> impl Strategy<Value = Case> {
        let axes = prop::collection::vec(axis(input), ranks);
        (0usize..3, axes, groups, per_group, 1usize..40, any::<bool>(), any::<u64>()).prop_map(
            |(batch, axes, groups, per_group, filters, bias, seed)| {
                let filters = if groups > 1 { filters.div_ceil(3) } else { filters };
                Case { batch, axes, groups, per_group, filters, bias, seed: seed >> 2 }
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn one_dimension_is_the_reference(case in cases(1..2, 40, 1..2, 1..70)) {
            if let Some(problem) = case.problem() {
                check_products(&problem);
            }
        }

        #[test]
        fn more_dimensions_are_the_reference(case in cases(0..4, 7, 1..2, 1..6)) {
            if let Some(problem) = case.problem() {
                check_products(&problem);
            }
        }

        #[test]
        fn groups_are_the_reference(case in cases(1..3, 9, 2..5, 2..5)) {
            if let Some(problem) = case.problem() {
                check_products(&problem);
            }
        }

        #[test]
        fn long_depthwise_is_the_reference(case in cases(1..2, 60, 16..40, 1..2)) {
            if let Some(problem) = case.problem() {
                check_products(&problem);
            }
        }

        #[test]
        fn depthwise_is_the_reference(case in cases(1..3, 9, 1..40, 1..2)) {
            if let Some(problem) = case.problem() {
                check_products(&problem);
            }
        }
    }

    #[test]
    fn long_sums_are_made_of_blocks() {
        for (size, per_group, groups) in [(3, 300, 1), (200, 3, 1), (300, 1, 20), (150, 2, 2)] {
            let axes = vec![(size as usize + 5, size, 2, 1, Padding::Explicit(3, 1))];
            let case = Case { batch: 2, axes, groups, per_group, filters: 3, bias: true, seed: 9 };
            check_products(&case.problem().unwrap());
        }
    }

    /// Windows of three steps that are computed in pairs.
    fn pairs() -> impl Strategy<Value = Case> {
        let axis = (1usize..40, 1i64..8).prop_flat_map(|(input, dilation)| {
            padding().prop_map(move |padding| vec![(input, 3, 1, dilation, padding)])
        });
        (1usize..4, axis, 16usize..140, 16usize..90, any::<bool>(), any::<u64>()).prop_map(
            |(batch, axes, per_group, filters, bias, seed)| Case {
                batch,
                axes,
                groups: 1,
                per_group,
                filters,
                bias,
                seed: seed >> 2,
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        #[test]
        fn pairs_are_the_reference(case in pairs()) {
            if let Some(problem) = case.problem() {
                with_pairs(|| check_products(&problem));
            }
        }
    }

    #[test]
    fn taps_of_every_second_row_of_the_weights_are_no_neighbours() {
        // Of both taps along the second axis one is padding everywhere.
        let axes = vec![(20, 3, 1, 1, Padding::Explicit(0, 0)), (1, 2, 1, 1, Padding::Explicit(0, 1))];
        let case = Case { batch: 1, axes, groups: 32, per_group: 1, filters: 1, bias: false, seed: 5 };
        check_products(&case.problem().unwrap());
    }

    /// A convolution, functions of its elements, a pooling, and functions of what that gives.
    #[derive(Clone, Debug)]
    struct Pooled {
        conv: Case,
        before: Vec<bool>,
        pool: (i64, Padding),
        after: Vec<bool>,
        /// An element that is replaced.
        bad: Option<(usize, f32)>,
    }

    impl Pooled {
        /// The graph, of which all values are outputs where none may be joined, and its input.
        fn graph(&self, apart: bool) -> Option<(Graph, Tensor)> {
            let Case { batch, axes, per_group, filters, bias, seed, .. } = &self.conv;
            let &[(input, size, stride, dilation, padding)] = &axes[..] else { return None };
            let mut builder = GraphBuilder::new();
            let shape = [*batch, input, *per_group];
            let r#type = TensorType::new(Shape::of(&shape).unwrap(), DType::F32);
            let x = builder.input("x", r#type).unwrap();
            let mut seed = *seed;
            let mut constant = |builder: &mut GraphBuilder, shape: &[usize]| {
                seed += 1;
                let expr = ConstantExpr::literal(tensor(&values(shape, seed)));
                Operand::from(
                    builder.constant(Constant { name: "w".into(), dtype: DType::F32, expr }).unwrap(),
                )
            };
            let mut operands = vec![x.into(), constant(&mut builder, &[size as usize, *per_group, *filters])];
            if *bias {
                operands.push(constant(&mut builder, &[*filters]));
            }
            let mut function = |builder: &mut GraphBuilder, y: ValueId, is_affine: bool| match is_affine {
                true => {
                    let [scale, shift] = [(); 2].map(|()| constant(builder, &[*filters]));
                    builder.add(ops::Affine { axis: 2 }, [y.into(), scale, shift]).unwrap()
                }
                false => builder.add(ops::Unary::Relu, [y]).unwrap(),
            };
            let window = Window::new(size, stride, dilation, padding).unwrap();
            let mut y = builder.add(ops::Conv { windows: vec![window], groups: 1 }, operands).ok()?;
            let mut steps = vec![y];
            for &is_affine in &self.before {
                y = function(&mut builder, y, is_affine);
                steps.push(y);
            }
            let window = Window::new(self.pool.0, self.pool.0, 1, self.pool.1).unwrap();
            y = builder.add(ops::Pool { kind: ops::PoolKind::Max, windows: vec![window] }, [y]).ok()?;
            for &is_affine in &self.after {
                steps.push(y);
                y = function(&mut builder, y, is_affine);
            }
            builder.output("y", y);
            steps.into_iter().filter(|_| apart).for_each(|step| builder.output("step", step));
            let mut x = values(&shape, seed);
            if let Some((at, bad)) = self.bad {
                let at = at % x.1.len();
                x.1[at] = bad;
            }
            Some((builder.finish(), tensor(&x)))
        }

        /// As one that is computed and pooled in pairs.
        fn of_pairs(mut self) -> Pooled {
            (self.conv.axes[0].1, self.conv.axes[0].2, self.pool.0) = (3, 1, 2);
            (self.conv.per_group, self.conv.filters) = (self.conv.per_group + 16, self.conv.filters + 16);
            self
        }

        /// Checks that what is joined gives the bits of one operator after the other.
        fn check(&self) {
            let (Some((joined, x)), Some((apart, _))) = (self.graph(false), self.graph(true)) else {
                return;
            };
            on_every_set(|| {
                let [joined, apart] =
                    [&joined, &apart].map(|graph| run(graph, std::slice::from_ref(&x)).unwrap().remove(0));
                let bits = |y: &Tensor| y.as_f64().unwrap().iter().map(|y| y.to_bits()).collect::<Vec<_>>();
                let same = bits(&joined) == bits(&apart);
                assert!(same || joined == apart, "joined {joined:?}\napart {apart:?}");
            });
        }
    }

    fn pooled() -> impl Strategy<Value = Pooled> {
        let conv = (1usize..50, 1i64..6, 1i64..3, padding())
            .prop_flat_map(|(input, size, stride, padding)| {
                let axes = vec![(input, size, stride, 1, padding)];
                (1usize..4, Just(axes), 1usize..50, 1usize..90, any::<bool>(), any::<u64>())
            })
            .prop_map(|(batch, axes, per_group, filters, bias, seed)| Case {
                batch,
                axes,
                groups: 1,
                per_group,
                filters,
                bias,
                seed: seed >> 2,
            });
        let links = || prop::collection::vec(any::<bool>(), 0..3);
        let padding = prop_oneof![Just(Padding::Explicit(0, 0)), Just(Padding::Same)];
        let bad = prop_oneof![Just(f32::INFINITY), Just(f32::NEG_INFINITY), Just(f32::NAN), Just(3e38)];
        let bad = prop::option::of((any::<usize>(), bad));
        (conv, links(), (2i64..6, padding), links(), bad)
            .prop_map(|(conv, before, pool, after, bad)| Pooled { conv, before, pool, after, bad })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn a_pooling_in_registers_changes_no_bit(case in pooled()) {
            case.check();
            with_pairs(|| case.of_pairs().check());
        }
    }

    #[test]
    fn a_pooling_of_two_joins_convolutions() {
        for (size, padding, is_joined) in [
            (2, Padding::Explicit(0, 0), true),
            (2, Padding::Same, true),
            (4, Padding::Explicit(0, 0), true),
            (3, Padding::Same, false),
            (5, Padding::Explicit(0, 0), false),
        ] {
            let axes = vec![(20, 5, 1, 1, Padding::Same)];
            let conv = Case { batch: 2, axes, groups: 1, per_group: 3, filters: 20, bias: true, seed: 1 };
            let (before, after) = (vec![false, true], vec![true]);
            let (graph, _) =
                Pooled { conv, before, pool: (size, padding), after, bad: None }.graph(false).unwrap();
            let plan = Plan::new(&graph, &PlanOptions::default()).unwrap();
            assert_eq!(plan.steps().len(), if is_joined { 1 } else { 2 }, "{size} {padding:?}");
        }
    }

    #[test]
    fn what_is_not_finite_spoils_only_what_reads_it() {
        let window = |dilation| Window::new(3, 1, dilation, Padding::Same).unwrap();
        let (steps, channels, filters) = (21, 17, 70);
        for (dilation, bad) in [(1, f32::INFINITY), (1, f32::NAN), (2, f32::NEG_INFINITY), (3, 3e38)] {
            for at in 0..steps {
                let op = ops::Conv { windows: vec![window(dilation)], groups: 1 };
                let mut x = values(&[2, steps, channels], 5);
                x.1[(steps + at) * channels + 3] = bad;
                let problem = Problem::new(op, [x, values(&[3, channels, filters], 6)]);
                let reference = problem.reference();
                let check = || {
                    for (y, expected) in problem.run().iter().zip(reference.as_f64().unwrap()) {
                        let error = (f64::from(*y) - expected).abs();
                        let same = f64::from(*y) == *expected || y.is_nan() && expected.is_nan();
                        let bound = if bad == 3e38 { f64::INFINITY } else { 1e-4 };
                        assert!(same || error <= bound, "{bad} at {at}: {y} {expected}");
                    }
                };
                with_pairs(|| on_every_set(check));
            }
        }
    }

    #[test]
    fn padding_is_left_out_even_where_weights_are_infinite() {
        let window = Window::new(3, 1, 1, Padding::Same).unwrap();
        let op = ops::Conv { windows: vec![window], groups: 1 };
        let problem = Problem::new(
            op,
            [
                (vec![1, 4, 1], vec![1.0, f32::NAN, 3.0, 4.0]),
                (vec![3, 1, 2], vec![f32::INFINITY, 1.0, 1.0, 1.0, 1.0, f32::INFINITY]),
            ],
        );
        let y = problem.run();
        let reference = problem.reference();
        for (y, expected) in y.iter().zip(reference.as_f64().unwrap()) {
            assert!(f64::from(*y) == *expected || y.is_nan() && expected.is_nan(), "{y} {expected}");
        }
    }
}
