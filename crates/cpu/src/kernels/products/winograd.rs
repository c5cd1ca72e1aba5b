//! Convolution over windows of three taps with two thirds of the multiplications: Winograd's `F(2, 3)`.
//!
//! Two neighbouring outputs of a window `g` over the steps `d` are
//!
//! ```text
//! y0 = m0 + m1 + m2        m0 = (d0 - d2) g0        m1 = (d1 + d2) (g0 + g1 + g2) / 2
//! y1 = m1 - m2 - m3        m3 = (d1 - d3) g2        m2 = (d2 - d1) (g0 - g1 + g2) / 2
//! ```
//!
//! where a product is one of matrices, over channels and filters. Its error is that of the direct method: sums are
//! three times shorter, and what is added before and after has the magnitude of steps and outputs. Pairs start at even
//! positions of the whole sequence, so that the bits of an output depend on neither its length nor the parts in which it
//! comes. A result which is not finite is computed directly: infinities would cancel, and padding would be multiplied
//! with weights.
//!
//! A. Lavin, S. Gray: Fast Algorithms for Convolutional Neural Networks. CVPR 2016.

use super::apart::Largest;
use super::finish::{self, Epilogue, larger};
use super::tile::{self, F32, Strip, load_columns, store_columns};
use super::{Layout, Product, RowRun, Share, Stack, Target, Terms, stacks};
use crate::arena::Buffer;
use crate::simd::{Isa, Simd, Task};
use crate::{Error, Result};
use std::mem::MaybeUninit;

/// Taps of the window.
const TAPS: usize = 3;
/// Products, and steps that a pair of outputs reads.
const PRODUCTS: usize = 4;
/// Elements of transformed steps that are made at once, and at most: as many as stay in the nearest cache, and as a tile
/// of many channels needs.
const NEARBY: usize = 6 << 10;
const MOST: usize = 16 << 10;
/// Pairs that are made at once at most.
const PAIRS: usize = 48;

/// Transformed weights.
pub(crate) struct Winograd {
    layout: Layout,
    packed: Buffer<f32>,
}

impl Winograd {
    /// The weights of a kernel `[3, channels, filters]` that is packed as `layout` says; `None` where the method would not
    /// pay, or weights or what they become are not finite.
    pub fn new(isa: Isa, shape: &[usize], layout: &Layout, direct: &[f32]) -> Result<Option<Winograd>> {
        let &[TAPS, channels, filters] = shape else { return Ok(None) };
        let tallest = isa.tile_rows(isa.panel_vectors());
        if channels < 16 || filters < 16 || channels * PRODUCTS * tallest > MOST {
            return Ok(None);
        }
        let columns =
            filters.checked_mul(PRODUCTS).ok_or_else(|| Error::limit("weights do not fit memory"))?;
        let transformed = Layout::new(isa, &[channels, columns], PRODUCTS)?;
        let mut packed = Buffer::zeros(transformed.packed_len()?)?;
        let mut parts = packed.chunks_exact_mut(transformed.group(0).len().max(1));
        let mut products: [&mut [f32]; PRODUCTS] = std::array::from_fn(|_| parts.next().unwrap_or_default());
        // Both have panels of the same columns, the one with a row for each channel of every tap.
        for panel in 0..layout.panels() {
            let (from, to) = (layout.panel(panel), transformed.panel(panel));
            let len = channels * to.vectors * transformed.lanes;
            let taps = &direct[from.start..][..TAPS * len];
            let products = products.each_mut().map(|product| &mut product[to.start..][..len]);
            isa.run(TransformWeights { taps, products });
        }
        // Without an early end it is done by vectors.
        let is_finite = packed.iter().fold(true, |all, weight| all & weight.is_finite());
        Ok(is_finite.then_some(Winograd { layout: transformed, packed }))
    }
}

/// Weights of one tap after the other, and room for as many of each product.
struct TransformWeights<'a> {
    taps: &'a [f32],
    products: [&'a mut [f32]; PRODUCTS],
}

impl Task for TransformWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let [m0, m1, m2, m3] = self.products;
        let len = m0.len();
        let (a, others) = self.taps.split_at(len);
        let (b, c) = others.split_at(len);
        m0.copy_from_slice(a);
        m3.copy_from_slice(c);
        for ((((m1, m2), &a), &b), &c) in m1.iter_mut().zip(m2).zip(a).zip(b).zip(c) {
            let [a, b, c] = [a, b, c].map(f64::from);
            *m1 = ((a + b + c) / 2.0) as f32;
            *m2 = ((a - b + c) / 2.0) as f32;
        }
    }
}

/// A convolution of known sizes whose windows are three steps, `dilation` apart.
pub(crate) struct Steps {
    pub batch: usize,
    pub input: usize,
    pub output: usize,
    /// Padding before the first step.
    pub before: usize,
    pub dilation: usize,
    pub channels: usize,
    /// Whether the largest of each pair's outputs is all that is wanted.
    pub pools: bool,
    /// The terms of the channels of one step.
    each: Terms,
    /// The terms of windows whose first tap is padding, and of how many taps that are not.
    partial: [[Terms; TAPS]; TAPS],
}

/// Two outputs, `dilation` apart, one of which may not be wanted.
#[derive(Clone, Copy, Default)]
struct Pair {
    sample: usize,
    /// Of the first, before the first output if that is the second.
    position: isize,
    is_wanted: [bool; 2],
}

impl Steps {
    pub fn new(
        batch: usize,
        [input, output]: [usize; 2],
        [before, dilation]: [usize; 2],
        channels: usize,
    ) -> Steps {
        let (pools, each) = (false, Terms::contiguous(channels));
        let partial = std::array::from_fn(|first| {
            std::array::from_fn(|more| {
                let mut terms = Terms::default();
                for tap in first..TAPS.min(first + more + 1) {
                    terms.push((tap - first) * dilation * channels, tap * channels, channels);
                }
                terms
            })
        });
        Steps { batch, input, output, before, dilation, channels, pools, each, partial }
    }

    /// The same, of whose outputs every two become one of `results` if `pool` is 2.
    pub fn pooled(self, pool: usize, results: usize) -> Steps {
        match pool {
            1 => self,
            _ => Steps { pools: true, output: self.output.min(pool.saturating_mul(results)), ..self },
        }
    }

    /// Of the outputs that are a multiple of the dilation after output `phase`: how many pairs there are, and whether the
    /// first of them has its second output only, as there are `before` earlier outputs of the sequence.
    fn pairs_of(&self, phase: usize, before: usize) -> (usize, bool) {
        let outputs = self.output.saturating_sub(phase).div_ceil(self.dilation);
        let is_odd = (before + phase) / self.dilation % 2 == 1;
        ((outputs + usize::from(is_odd)).div_ceil(2), is_odd)
    }

    fn pairs_of_sample(&self, before: usize) -> usize {
        (0..self.dilation.min(self.output)).map(|phase| self.pairs_of(phase, before).0).sum()
    }

    /// Calls `visit` with the pairs of a range, in their order.
    fn visit(&self, before: usize, range: std::ops::Range<usize>, mut visit: impl FnMut(Pair)) {
        let each = self.pairs_of_sample(before).max(1);
        let (mut sample, mut at) = (range.start / each, range.start % each);
        let mut left = range.len();
        while left > 0 && sample < self.batch {
            for phase in 0..self.dilation.min(self.output) {
                let (pairs, is_odd) = self.pairs_of(phase, before);
                for pair in at.min(pairs)..pairs {
                    if left == 0 {
                        return;
                    }
                    let position = (phase + 2 * pair * self.dilation) as isize;
                    let position = if is_odd { position - self.dilation as isize } else { position };
                    let has_second = position + (self.dilation as isize) < self.output as isize;
                    visit(Pair { sample, position, is_wanted: [position >= 0, has_second] });
                    left -= 1;
                }
                at = at.saturating_sub(pairs);
            }
            (sample, at) = (sample + 1, 0);
        }
    }

    /// Where step `at` of the padded sequence starts in the sample, if it is there and no padding.
    #[inline(always)]
    fn step(&self, at: isize) -> Option<usize> {
        let step = usize::try_from(at).ok()?.checked_sub(self.before)?;
        (step < self.input).then(|| step * self.channels)
    }

    /// The first or the second of a pair's outputs, if it is wanted.
    #[inline(always)]
    fn output_of(&self, pair: Pair, second: usize) -> Option<usize> {
        pair.is_wanted[second].then(|| self.place_of(pair, second))
    }

    /// The first or the second of a pair's outputs, which is wanted; their one result, if they are pooled.
    #[inline(always)]
    fn place_of(&self, pair: Pair, second: usize) -> usize {
        match self.pools {
            true => pair.sample * self.results() + pair.position as usize / 2,
            false => pair.sample * self.output + (pair.position + (second * self.dilation) as isize) as usize,
        }
    }

    /// The results of a sample.
    #[inline(always)]
    fn results(&self) -> usize {
        if self.pools { self.output.div_ceil(2) } else { self.output }
    }

    /// The terms of one output, and where they start on the left.
    fn terms_of(&self, pair: Pair, second: usize) -> (&Terms, usize) {
        const NOTHING: &Terms = &Terms::NOTHING;
        let place = |tap: usize| self.step(pair.position + ((second + tap) * self.dilation) as isize);
        let Some(first) = (0..TAPS).find(|&tap| place(tap).is_some()) else { return (NOTHING, 0) };
        let count = (0..TAPS).filter(|&tap| place(tap).is_some()).count();
        let x = pair.sample * self.input * self.channels + place(first).unwrap_or(0);
        (&self.partial[first][count - 1], x)
    }
}

impl Product<'_> {
    /// The convolution of `steps`, whose direct weights are this product's; stores the finished sums in `y`. There are
    /// `before` earlier outputs of each sequence.
    ///
    /// # Panics
    /// Where the sizes are not those of the left side and of `y`.
    pub fn convolve_pairs(&self, winograd: &Winograd, steps: &Steps, before: usize, y: &mut [f32]) {
        let columns = self.layout.columns;
        assert_eq!(self.x.len(), steps.batch * steps.input * steps.channels, "the sizes of the left side");
        assert_eq!(y.len(), steps.batch * steps.results() * columns, "the sizes of the results");
        assert!(!steps.pools || before == 0 && steps.dilation == 1, "pairs that are no windows");
        let target = Target { start: y.as_mut_ptr(), len: y.len() };
        let pairs = steps.batch * steps.pairs_of_sample(before);
        let parts = match super::is_large(2 * pairs, self.layout.depth, columns) {
            true => self.team.count().min(pairs.div_ceil(PAIRS)).max(1),
            false => 1,
        };
        self.team.each(parts, &|part| {
            let range = pairs * part / parts..pairs * (part + 1) / parts;
            let ahead = self.ahead.part(part, parts);
            self.convolve_some(winograd, steps, (before, range), ahead, target);
        });
    }

    fn convolve_some(
        &self,
        winograd: &Winograd,
        steps: &Steps,
        (before, range): (usize, std::ops::Range<usize>),
        mut ahead: &[u8],
        y: Target,
    ) {
        let tallest = self.isa.tile_rows(winograd.layout.panel(0).vectors);
        let most = (NEARBY / (PRODUCTS * steps.channels) / tallest).max(1) * tallest;
        let most = most.min(PAIRS);
        let mut memory = Nearby([const { MaybeUninit::uninit() }; MOST]);
        let transformed = memory.0.as_mut_ptr().cast::<f32>();
        let (mut pairs, mut count) = ([Pair::default(); PAIRS], 0);
        let mut flush = |pairs: &[Pair]| {
            let x = self.x;
            self.isa.run(Transform { steps, x, pairs, to: transformed });
            // SAFETY: as many were written.
            let transformed =
                unsafe { std::slice::from_raw_parts(transformed, PRODUCTS * pairs.len() * steps.channels) };
            ahead = self.convolve_transformed(winograd, steps, transformed, pairs, ahead, y);
        };
        steps.visit(before, range, |pair| {
            pairs[count] = pair;
            count += 1;
            if count == most {
                flush(&pairs[..count]);
                count = 0;
            }
        });
        if count > 0 {
            flush(&pairs[..count]);
        }
    }

    /// Computes the outputs of pairs whose steps are transformed, and returns what memory has still to be asked for.
    fn convolve_transformed<'b>(
        &self,
        winograd: &Winograd,
        steps: &Steps,
        transformed: &[f32],
        pairs: &[Pair],
        mut ahead: &'b [u8],
        y: Target,
    ) -> &'b [u8] {
        let layout = &winograd.layout;
        let epilogue = Epilogue::new(&self.finish, layout.columns, y.len);
        for index in 0..layout.panels() {
            let panel = layout.panel(index);
            let weights =
                std::array::from_fn(|product| winograd.packed[layout.group(product)][panel.start..].as_ptr());
            let mut bad = [[false; 2]; PAIRS];
            for Stack { skip, height, tiles } in stacks(pairs.len(), self.isa.tile_rows(panel.vectors)) {
                let (first, end) = (skip, skip + height * tiles);
                let strip = Strip {
                    x: transformed[first * steps.channels..].as_ptr(),
                    y: y.start,
                    first: 0,
                    x_step: steps.channels,
                    y_step: 0,
                    pool: 1,
                    tiles,
                    first_row: 0,
                    runs: steps.each.runs(),
                    columns: panel.columns,
                    channel: panel.first,
                    adds: false,
                    epilogue: Some(&epilogue),
                    ahead,
                };
                ahead = tile::rest_of(ahead, steps.each.runs(), PRODUCTS * tiles);
                let rows = Rows {
                    strip,
                    pairs: &pairs[first..end],
                    all: pairs.len() * steps.channels,
                    steps,
                    weights,
                    filters: layout.columns,
                    bad: &mut bad[first..end],
                };
                // SAFETY: `convolve_pairs` has made sure of the sizes; the pairs are outputs of the convolution.
                unsafe { rows.run(self.isa, [height, panel.vectors]) };
            }
            let all_in_registers = epilogue.links() == self.finish.chain.links.len();
            for (pair, bad) in pairs.iter().zip(bad) {
                match steps.pools {
                    _ if all_in_registers && bad == [false; 2] => {}
                    true => self.pool_directly(steps, *pair, bad, index, y),
                    false => self.complete(&epilogue, steps, *pair, bad, index, y),
                }
            }
        }
        ahead
    }

    /// Replaces what is not finite of a pair's outputs of one panel by what the direct method gives, and applies the
    /// functions that are not computed in registers to the others.
    fn complete(
        &self,
        epilogue: &Epilogue<'_>,
        steps: &Steps,
        pair: Pair,
        bad: [bool; 2],
        panel: usize,
        y: Target,
    ) {
        let y_step = self.layout.columns;
        for second in 0..2 {
            let Some(output) = steps.output_of(pair, second) else { continue };
            let (terms, x) = if bad[second] { steps.terms_of(pair, second) } else { (&steps.each, 0) };
            let rows = RowRun { x, y: output * y_step, count: 1, x_step: 0, y_step, pool: 1 };
            let share = Share { group: 0, terms, rows, panels: panel..panel + 1, ahead: &[] };
            match bad[second] {
                true => self.run(share, y),
                false => self.rest(epilogue, &share, rows, y),
            }
        }
    }

    /// Replaces the one result of a pair whose outputs are not all finite; if one is, that is there already.
    fn pool_directly(&self, steps: &Steps, pair: Pair, bad: [bool; 2], panel: usize, y: Target) {
        let is_wanted = |second: usize| bad[second] && pair.is_wanted[second];
        let rows = [0, 1].map(|second| steps.terms_of(pair, second));
        let rows = match [is_wanted(0), is_wanted(1)] {
            [true, true] => &rows[..],
            [true, false] => &rows[..1],
            [false, true] => &rows[1..],
            [false, false] => return,
        };
        let adds = pair.is_wanted[1] && rows.len() == 1;
        let at = steps.place_of(pair, 0) * self.layout.columns;
        self.store_largest(&Largest { rows, at, panels: panel..panel + 1, adds }, y);
    }
}

/// Room for transformed steps.
#[repr(align(64))]
struct Nearby([MaybeUninit<f32>; MOST]);

/// Makes of the steps that pairs read the left sides of the products: `[product][pair][channel]`.
struct Transform<'a> {
    steps: &'a Steps,
    x: &'a [f32],
    pairs: &'a [Pair],
    to: *mut f32,
}

impl Task for Transform<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Transform { steps, x, pairs, to } = self;
        let channels = steps.channels;
        let between = pairs.len() * channels;
        for (at, pair) in pairs.iter().enumerate() {
            let sample = &x[pair.sample * steps.input * channels..][..steps.input * channels];
            let mut read: [Option<&[f32]>; PRODUCTS] = [None; PRODUCTS];
            for (i, read) in read.iter_mut().enumerate() {
                if let Some(step) = steps.step(pair.position + (i * steps.dilation) as isize) {
                    *read = Some(&sample[step..step + channels]);
                }
            }
            let mut v = 0;
            while v * S::LANES < channels {
                let mut d = [s.splat(0.0); PRODUCTS];
                // SAFETY: steps have as many elements as there are channels, and the pair's rows are in `to`.
                unsafe {
                    for i in 0..PRODUCTS {
                        if let Some(step) = read[i] {
                            d[i] = load_columns(s, step.as_ptr(), v, channels);
                        }
                    }
                    let to = to.add(at * channels);
                    store_columns(s, to, v, channels, s.sub(d[0], d[2]));
                    store_columns(s, to.add(between), v, channels, s.add(d[1], d[2]));
                    store_columns(s, to.add(2 * between), v, channels, s.sub(d[2], d[1]));
                    store_columns(s, to.add(3 * between), v, channels, s.sub(d[1], d[3]));
                }
                v += 1;
            }
        }
    }
}

/// Tiles of some pairs by one panel each, one below the other.
struct Rows<'a> {
    /// The first product's rows of the first tile; pairs say where results go.
    strip: Strip<'a>,
    pairs: &'a [Pair],
    /// Elements from a pair's row of one product to that of the next.
    all: usize,
    steps: &'a Steps,
    weights: [*const f32; PRODUCTS],
    filters: usize,
    /// Where it is noted that something is not finite.
    bad: &'a mut [[bool; 2]],
}

impl Rows<'_> {
    /// # Safety
    /// The left rows, the weights and the results must be there.
    unsafe fn run(self, isa: Isa, shape: [usize; 2]) {
        macro_rules! run {
            ($($m:literal $v:literal)*) => {
                match shape {
                    $([$m, $v] => isa.run(PairTiles::<$m, $v>(self)),)*
                    _ => debug_assert!(false, "no tile of such a shape"),
                }
            };
        }
        run! {
            1 1 2 1 3 1 4 1 5 1 6 1 7 1 8 1
            1 2 2 2 3 2 4 2 5 2 6 2 7 2 8 2
            1 3 2 3 3 3 4 3 5 3 6 3 7 3 8 3
            1 4 2 4 3 4 4 4 5 4 6 4
        }
    }
}

struct PairTiles<'a, const M: usize, const V: usize>(Rows<'a>);

impl<const M: usize, const V: usize> Task for PairTiles<'_, M, V> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if V > S::PANEL_VECTORS || M > S::TILE_ROWS[V] {
            return;
        }
        let Rows { strip, pairs, all, steps, weights, filters, bad } = self.0;
        for tile in 0..strip.tiles {
            let ahead = strip.ahead_of(PRODUCTS * tile);
            let tile = PairTile::<M, V> {
                strip: &Strip { ahead, ..strip },
                x: strip.x.wrapping_add(tile * M * strip.x_step),
                pairs: &pairs[tile * M..][..M],
                all,
                steps,
                weights: &weights,
                filters,
                bad: &mut bad[tile * M..][..M],
            };
            // SAFETY: the caller of `Rows::run` vouches for everything that is read and written.
            unsafe { tile.run(s) };
        }
    }
}

/// `M` pairs by `V` vectors.
struct PairTile<'a, const M: usize, const V: usize> {
    strip: &'a Strip<'a>,
    x: *const f32,
    pairs: &'a [Pair],
    all: usize,
    steps: &'a Steps,
    weights: &'a [*const f32; PRODUCTS],
    filters: usize,
    bad: &'a mut [[bool; 2]],
}

impl<const M: usize, const V: usize> PairTile<'_, M, V> {
    #[inline(always)]
    unsafe fn run<S: Simd>(mut self, s: S) {
        // SAFETY: the caller's.
        unsafe {
            let (mut both, mut difference) = (self.product(s, 1), self.product(s, 2));
            for m in 0..M {
                for v in 0..V {
                    let (m1, m2) = (both[m][v], difference[m][v]);
                    both[m][v] = s.add(m1, m2);
                    difference[m][v] = s.sub(m1, m2);
                }
            }
            let mut first = both;
            if self.is_wanted(0) {
                first = self.product(s, 0);
                for m in 0..M {
                    for v in 0..V {
                        first[m][v] = s.add(first[m][v], both[m][v]);
                    }
                }
                let rows = self.finish(s, &mut first, 0);
                if !self.steps.pools {
                    self.store(s, &first, &rows, 0);
                }
            }
            if self.is_wanted(1) {
                let mut second = self.product(s, 3);
                for m in 0..M {
                    for v in 0..V {
                        second[m][v] = s.sub(difference[m][v], second[m][v]);
                    }
                }
                let rows = self.finish(s, &mut second, 1);
                if !self.steps.pools {
                    self.store(s, &second, &rows, 1);
                } else {
                    self.join(s, &mut first, &second);
                }
            }
            if self.steps.pools {
                self.store_pooled(s, &mut first);
            }
        }
    }

    /// Makes of the first outputs the largest of both, of those that are wanted and finite.
    #[inline(always)]
    fn join<S: Simd>(&self, s: S, first: &mut [[S::F; V]; M], second: &[[S::F; V]; M]) {
        for m in 0..M {
            match (self.pairs[m].is_wanted[1], self.bad[m]) {
                (true, [false, false]) => larger(s, &mut first[m], &second[m]),
                (true, [true, _]) => first[m] = second[m],
                _ => {}
            }
        }
    }

    /// Stores what the pairs' outputs are pooled to; where some are not finite, those that are.
    #[inline(always)]
    unsafe fn store_pooled<S: Simd>(&self, s: S, largest: &mut [[S::F; V]; M]) {
        let (strip, rows) = (self.strip, self.rows_of(0));
        let part = *largest;
        // SAFETY: the caller's.
        unsafe {
            if let Some(epilogue) = strip.epilogue {
                epilogue.follow(s, largest, [strip.channel, strip.columns], &rows);
            }
            for m in 0..M {
                if self.bad[m] != [false; 2] {
                    largest[m] = part[m];
                }
            }
            finish::store(s, largest, strip.columns, (strip.y, &rows));
        }
    }

    /// Whether any pair's first or second output is wanted.
    #[inline(always)]
    fn is_wanted(&self, second: usize) -> bool {
        let mut any = false;
        for m in 0..M {
            any |= self.pairs[m].is_wanted[second];
        }
        any
    }

    /// The sums of product `at`.
    #[inline(always)]
    unsafe fn product<S: Simd>(&self, s: S, at: usize) -> [[S::F; V]; M] {
        // SAFETY: the caller's.
        unsafe {
            let x = self.x.wrapping_add(at * self.all);
            let strip = Strip { ahead: self.strip.ahead_of(at), ..*self.strip };
            tile::sums::<S, F32, M, V>(s, &strip, x, self.weights[at], None)
        }
    }

    /// Replaces the first or the second of each pair's outputs by what they are before they are pooled, and returns their
    /// places.
    #[inline(always)]
    unsafe fn finish<S: Simd>(&mut self, s: S, sums: &mut [[S::F; V]; M], second: usize) -> [usize; M] {
        let rows = self.rows_of(second);
        let PairTile { strip, bad, .. } = self;
        for m in 0..M {
            let mut invalid = s.splat(0.0);
            for v in 0..V {
                // NaN where the sum is not finite.
                invalid = s.mul_add(sums[m][v], s.splat(0.0), invalid);
            }
            bad[m][second] |= s.any(s.is_nan(invalid));
        }
        if let Some(epilogue) = strip.epilogue {
            // SAFETY: the caller's.
            unsafe { epilogue.apply(s, sums, [strip.channel, strip.columns], &rows) };
        }
        rows
    }

    /// Where the first or the second of each pair's outputs go. What is not wanted has the place of what is.
    #[inline(always)]
    fn rows_of(&self, second: usize) -> [usize; M] {
        let PairTile { strip, pairs, steps, filters, .. } = self;
        let mut rows = [0; M];
        for m in 0..M {
            let (own, other) = (pairs[m].is_wanted[second], usize::from(pairs[m].is_wanted[1]));
            let which = if own { second } else { other };
            rows[m] = steps.place_of(pairs[m], which) * filters + strip.channel;
        }
        rows
    }

    /// Stores the first or the second of each pair's outputs, if it is wanted.
    #[inline(always)]
    unsafe fn store<S: Simd>(&self, s: S, sums: &[[S::F; V]; M], rows: &[usize; M], second: usize) {
        for m in 0..M {
            if self.pairs[m].is_wanted[second] {
                for v in 0..V {
                    // SAFETY: the caller's.
                    unsafe { store_columns(s, self.strip.y.add(rows[m]), v, self.strip.columns, sums[m][v]) };
                }
            }
        }
    }
}
