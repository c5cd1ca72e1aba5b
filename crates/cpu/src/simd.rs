//! Vectors of single-precision numbers, and the instruction sets that compute with them.
//!
//! Code is written once over [`Simd`] and compiled for each [`Isa`]: a [`Task`] is run by [`Isa::run`], which enters
//! a function that is compiled for the instruction set and into which the task is inlined. A value of a [`Simd`] type is
//! the proof that the processor has the instructions, so that the operations between vectors are safe; loads and
//! stores through pointers are not.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(crate) mod math;
mod portable;

use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
use avx512::Avx512;
use portable::Portable;
use std::fmt;
#[cfg(target_arch = "x86_64")]
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::str::FromStr;

/// A family of instructions that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum InstructionSet {
    /// What every processor of the target has.
    Portable,
    /// AVX2, FMA and F16C of x86-64.
    Avx2,
    /// The foundation, BW, DQ and VL parts of AVX-512, beside AVX2.
    Avx512,
}

impl InstructionSet {
    /// All of them, the widest last.
    pub const ALL: [InstructionSet; 3] =
        [InstructionSet::Portable, InstructionSet::Avx2, InstructionSet::Avx512];

    /// The widest that this processor has.
    pub fn detect() -> InstructionSet {
        let mut available = InstructionSet::ALL.into_iter().filter(|set| set.is_available());
        available.next_back().unwrap_or(InstructionSet::Portable)
    }

    /// Whether this processor has it.
    pub fn is_available(self) -> bool {
        Isa::new(self).is_some()
    }

    /// Its name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            InstructionSet::Portable => "portable",
            InstructionSet::Avx2 => "avx2",
            InstructionSet::Avx512 => "avx512",
        }
    }
}

impl fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for InstructionSet {
    type Err = crate::Error;

    fn from_str(name: &str) -> crate::Result<InstructionSet> {
        InstructionSet::ALL.into_iter().find(|set| set.name() == name).ok_or_else(|| {
            let names = InstructionSet::ALL.map(InstructionSet::name).join(", ");
            crate::Error::unsupported(format!("an instruction set called {name:?}; there are {names}"))
        })
    }
}

/// An instruction set that this processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isa {
    Portable(Portable),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

impl Isa {
    /// The instruction set, if this processor has it.
    pub fn new(set: InstructionSet) -> Option<Isa> {
        match set {
            InstructionSet::Portable => Some(Isa::Portable(Portable)),
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => Avx2::new().map(Isa::Avx2),
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => Avx512::new().map(Isa::Avx512),
            #[cfg(not(target_arch = "x86_64"))]
            _ => None,
        }
    }

    /// The widest that this processor has.
    pub fn detect() -> Isa {
        Isa::new(InstructionSet::detect()).unwrap_or(Isa::Portable(Portable))
    }

    /// Runs `task` compiled for this instruction set.
    #[inline]
    pub fn run<T: Task>(self, task: T) -> T::Output {
        match self {
            Isa::Portable(simd) => simd.run(task),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(simd) => simd.run(task),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(simd) => simd.run(task),
        }
    }

    /// Numbers in a vector.
    pub fn lanes(self) -> usize {
        self.run(Shapes).0
    }

    /// Whether a product and a sum are rounded once.
    #[cfg(test)]
    pub fn fused(self) -> bool {
        match self {
            Isa::Portable(_) => Portable::FUSED,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => Avx2::FUSED,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) => Avx512::FUSED,
        }
    }

    /// The most vectors of columns in a tile of a product.
    pub fn panel_vectors(self) -> usize {
        self.run(Shapes).1
    }

    /// The most rows of a tile of so many vectors.
    pub fn tile_rows(self, vectors: usize) -> usize {
        self.run(Shapes).2[vectors]
    }
}

/// The constants of an instruction set.
struct Shapes;

impl Task for Shapes {
    type Output = (usize, usize, [usize; 5]);

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> Self::Output {
        (S::LANES, S::PANEL_VECTORS, S::TILE_ROWS)
    }
}

/// Work that is written over any instruction set.
pub(crate) trait Task {
    /// What it gives.
    type Output;

    /// Does the work. Implementations and what they call in loops are `#[inline(always)]`, else they are compiled
    /// without the instructions.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// A function of each element of a vector.
///
/// Not an `Fn`: closures cannot be `#[inline(always)]`, and a large one would be compiled without the instructions.
pub(crate) trait Elementwise: Copy {
    /// The function's values. Implementations are `#[inline(always)]`.
    fn eval<S: Simd>(self, s: S, x: S::F) -> S::F;
}

/// A cache line on the stack.
#[repr(align(64))]
struct Line {
    _room: MaybeUninit<[u8; 64]>,
}

impl Line {
    /// Makes the compiler align the frame of the function that this is inlined into, as it does for what is in memory.
    /// Vectors for which registers do not suffice would otherwise lie across two lines, or not, by chance.
    #[inline(always)]
    fn align_frame() {
        black_box(&Line { _room: MaybeUninit::uninit() });
    }
}

/// Vectors of `LANES` numbers and what an instruction set computes with them.
///
/// Comparisons are false where an operand is NaN.
#[allow(clippy::wrong_self_convention, reason = "`self` is the proof, not what is converted")]
#[allow(dead_code, reason = "a vector's operations are complete, whether a kernel needs each of them or not")]
pub(crate) trait Simd: Copy + fmt::Debug + Send + Sync + 'static {
    /// Single-precision numbers.
    type F: Copy;
    /// 32-bit integers.
    type I: Copy;
    /// Truth values.
    type M: Copy;
    /// Double-precision numbers, as many.
    type D: Copy;

    /// Numbers in a vector.
    const LANES: usize;
    /// The most vectors of columns in a tile of a product.
    const PANEL_VECTORS: usize;
    /// The most rows of such a tile, by its vectors: with the weights, as many as the registers hold.
    const TILE_ROWS: [usize; 5];
    /// Whether [`mul_add`](Simd::mul_add) and [`neg_mul_add`](Simd::neg_mul_add) round once.
    const FUSED: bool;

    /// Runs `task` compiled for this instruction set.
    fn run<T: Task>(self, task: T) -> T::Output;

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::F;
    /// The numbers at `from`.
    ///
    /// # Safety
    /// `LANES` elements must be readable there.
    unsafe fn load(self, from: *const f32) -> Self::F;
    /// The first `count` numbers at `from`, then zeros.
    ///
    /// # Safety
    /// `min(count, LANES)` elements must be readable there.
    unsafe fn load_first(self, from: *const f32, count: usize) -> Self::F;
    /// The first `count` numbers at `from`, then those of `rest`.
    ///
    /// # Safety
    /// `min(count, LANES)` elements must be readable there.
    unsafe fn load_first_or(self, from: *const f32, count: usize, rest: Self::F) -> Self::F;
    /// Writes the numbers to `to`.
    ///
    /// # Safety
    /// `LANES` elements must be writable there.
    unsafe fn store(self, to: *mut f32, x: Self::F);
    /// Writes the first `count` numbers to `to`.
    ///
    /// # Safety
    /// `min(count, LANES)` elements must be writable there.
    unsafe fn store_first(self, to: *mut f32, x: Self::F, count: usize);
    /// Asks for the cache line at `from`, which need not be readable.
    fn prefetch(self, from: *const u8);
    /// As [`prefetch`](Simd::prefetch), but not into the nearest cache.
    fn prefetch_farther(self, from: *const u8);
    /// The half-precision numbers (IEEE 754 binary16) at `from`.
    ///
    /// # Safety
    /// `LANES` elements must be readable there.
    unsafe fn load_f16(self, from: *const u16) -> Self::F;
    /// The `bfloat16` numbers at `from`.
    ///
    /// # Safety
    /// `LANES` elements must be readable there.
    unsafe fn load_bf16(self, from: *const u16) -> Self::F;

    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, rounded once where the instruction set can.
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `c - a * b`, rounded once where the instruction set can.
    fn neg_mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// The larger; `b` where one is NaN or both are zeros.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// The smaller; `b` where one is NaN or both are zeros.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    fn sqrt(self, a: Self::F) -> Self::F;

    fn less(self, a: Self::F, b: Self::F) -> Self::M;
    fn less_equal(self, a: Self::F, b: Self::F) -> Self::M;
    fn is_nan(self, a: Self::F) -> Self::M;
    /// Whether any lane is true.
    fn any(self, mask: Self::M) -> bool;
    /// `a` where `mask`, else `b`.
    fn select(self, mask: Self::M, a: Self::F, b: Self::F) -> Self::F;

    /// `x` in every lane.
    fn splat_int(self, x: i32) -> Self::I;
    /// The bits of the numbers.
    fn bits(self, a: Self::F) -> Self::I;
    /// The numbers with these bits.
    fn from_bits(self, a: Self::I) -> Self::F;
    /// The nearest integers, for numbers whose nearest integers fit; even ones where two are as near.
    fn to_int(self, a: Self::F) -> Self::I;
    /// The numbers nearest to integers.
    fn from_int(self, a: Self::I) -> Self::F;
    /// The sum, wrapping.
    fn add_int(self, a: Self::I, b: Self::I) -> Self::I;
    /// The difference, wrapping.
    fn sub_int(self, a: Self::I, b: Self::I) -> Self::I;
    fn and(self, a: Self::I, b: Self::I) -> Self::I;
    fn or(self, a: Self::I, b: Self::I) -> Self::I;
    fn xor(self, a: Self::I, b: Self::I) -> Self::I;
    /// Shifted left, zeros coming in.
    fn shift_left<const BITS: u32>(self, a: Self::I) -> Self::I;
    /// Shifted right, copies of the sign coming in.
    fn shift_right<const BITS: u32>(self, a: Self::I) -> Self::I;

    /// The numbers with those swapped that are `DISTANCE` lanes apart: 1, 2, 4 or 8, and less than `LANES`.
    fn swap<const DISTANCE: usize>(self, a: Self::F) -> Self::F;
    /// In each lane, the number of `a` in the lane that `lanes` says, which is below `LANES`.
    fn permute(self, a: Self::F, lanes: Self::I) -> Self::F;
    /// The number in the first lane.
    fn first_lane(self, a: Self::F) -> f32;

    /// `x` in every lane.
    fn splat_wide(self, x: f64) -> Self::D;
    /// The numbers at `from`.
    ///
    /// # Safety
    /// `LANES` elements must be readable there.
    unsafe fn load_wide(self, from: *const f64) -> Self::D;
    /// The single-precision numbers at `from`.
    ///
    /// # Safety
    /// `LANES` elements must be readable there.
    unsafe fn load_widened(self, from: *const f32) -> Self::D;
    /// Writes the numbers to `to`.
    ///
    /// # Safety
    /// `LANES` elements must be writable there.
    unsafe fn store_wide(self, to: *mut f64, x: Self::D);
    /// The same numbers.
    fn widen(self, a: Self::F) -> Self::D;
    /// The nearest single-precision numbers.
    fn narrow(self, a: Self::D) -> Self::F;
    /// The first `count` numbers, then zeros.
    fn first_wide(self, a: Self::D, count: usize) -> Self::D;
    fn add_wide(self, a: Self::D, b: Self::D) -> Self::D;
    fn sub_wide(self, a: Self::D, b: Self::D) -> Self::D;
    fn mul_wide(self, a: Self::D, b: Self::D) -> Self::D;
    /// The sum of all lanes.
    fn sum_wide(self, a: Self::D) -> f64;
    /// `a * b + c`, rounded once where the instruction set can.
    fn mul_add_wide(self, a: Self::D, b: Self::D, c: Self::D) -> Self::D;

    /// The larger; NaN if either is. Takes least time from `b` to the result.
    #[inline(always)]
    fn larger(self, a: Self::F, b: Self::F) -> Self::F {
        self.select(self.is_nan(a), a, self.max(a, b))
    }

    /// The smaller; NaN if either is. Takes least time from `b` to the result.
    #[inline(always)]
    fn smaller(self, a: Self::F, b: Self::F) -> Self::F {
        self.select(self.is_nan(a), a, self.min(a, b))
    }

    /// Replaces every element by what `f` makes of it; `f` sees zeros past the end.
    #[inline(always)]
    fn map(self, values: &mut [f32], f: impl Elementwise) {
        let start = values.as_mut_ptr();
        // SAFETY: all elements are in `values`.
        unsafe { map_between(self, start, start, values.len(), f) };
    }

    /// Makes every element of `to` what `f` makes of the one of `from`, which is as long; `f` sees zeros past the end.
    #[inline(always)]
    fn map_to(self, from: &[f32], to: &mut [f32], f: impl Elementwise) {
        assert_eq!(from.len(), to.len());
        // SAFETY: all elements are in `from` and `to`.
        unsafe { map_between(self, from.as_ptr(), to.as_mut_ptr(), to.len(), f) };
    }
}

/// Makes `len` elements at `to` what `f` makes of those at `from`.
///
/// # Safety
/// `len` elements must be readable at `from` and writable at `to`, which are the same or apart.
#[inline(always)]
unsafe fn map_between<S: Simd>(s: S, from: *const f32, to: *mut f32, len: usize, f: impl Elementwise) {
    let mut at = 0;
    while at + 2 * S::LANES <= len {
        // SAFETY: elements `at..at + 2 * LANES` are among the caller's.
        unsafe {
            let [a, b] = [s.load(from.add(at)), s.load(from.add(at + S::LANES))];
            let [a, b] = [f.eval(s, a), f.eval(s, b)];
            s.store(to.add(at), a);
            s.store(to.add(at + S::LANES), b);
        }
        at += 2 * S::LANES;
    }
    while at + S::LANES <= len {
        // SAFETY: elements `at..at + LANES` are among the caller's.
        unsafe { s.store(to.add(at), f.eval(s, s.load(from.add(at)))) };
        at += S::LANES;
    }
    if at < len {
        // SAFETY: elements `at..len` are among the caller's.
        unsafe { s.store_first(to.add(at), f.eval(s, s.load_first(from.add(at), len - at)), len - at) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sets;

    #[test]
    fn names_are_read_back_and_others_refused() {
        for set in InstructionSet::ALL {
            assert_eq!(set.name().parse::<InstructionSet>().unwrap(), set);
        }
        let text = "avx1".parse::<InstructionSet>().unwrap_err().to_string();
        assert!(text.contains("avx1") && text.contains("portable, avx2, avx512"), "{text}");
    }

    #[test]
    fn the_widest_available_set_is_detected() {
        assert!(InstructionSet::Portable.is_available());
        assert_eq!(Some(Isa::detect()), sets().last());
    }

    /// Every operation on `a` and `b`, one vector at a time, as bits.
    struct Everything<'a>(&'a [f32], &'a [f32]);

    impl Task for Everything<'_> {
        type Output = Vec<Vec<u32>>;

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Vec<Vec<u32>> {
            let mut results: Vec<Vec<u32>> = Vec::new();
            for (a, b) in self.0.chunks(S::LANES).zip(self.1.chunks(S::LANES)) {
                // SAFETY: as many elements are read as the slices have.
                let [a, b] = [a, b].map(|x| unsafe { s.load_first(x.as_ptr(), x.len()) });
                let one = s.splat(1.0);
                let truth = |mask| s.select(mask, one, s.splat(0.0));
                let small =
                    s.to_int(s.select(s.less(s.max(a, s.sub(s.splat(0.0), a)), s.splat(1e6)), a, one));
                let int = s.bits(a);
                // Small enough that no set rounds.
                let (whole, three) = (s.from_int(small), s.splat(3.0));
                let all = [
                    s.mul_add(whole, three, one),
                    s.neg_mul_add(whole, three, one),
                    s.add(a, b),
                    s.sub(a, b),
                    s.mul(a, b),
                    s.div(a, b),
                    s.max(a, b),
                    s.min(a, b),
                    s.larger(a, b),
                    s.smaller(a, b),
                    s.sqrt(a),
                    truth(s.less(a, b)),
                    truth(s.less_equal(a, b)),
                    truth(s.is_nan(a)),
                    s.from_bits(small),
                    s.from_int(small),
                    s.from_bits(s.add_int(int, s.bits(b))),
                    s.from_bits(s.sub_int(int, s.bits(b))),
                    s.from_bits(s.and(int, s.bits(b))),
                    s.from_bits(s.or(int, s.bits(b))),
                    s.from_bits(s.xor(int, s.splat_int(-5))),
                    s.from_bits(s.shift_left::<23>(small)),
                    s.from_bits(s.shift_right::<23>(int)),
                    s.narrow(s.add_wide(s.widen(a), s.splat_wide(1e-9))),
                    s.narrow(s.sub_wide(s.widen(a), s.widen(b))),
                    s.narrow(s.mul_wide(s.widen(a), s.widen(b))),
                    s.narrow(s.mul_add_wide(s.widen(whole), s.widen(three), s.splat_wide(0.1))),
                ];
                results.resize(all.len(), Vec::new());
                for (results, x) in results.iter_mut().zip(all) {
                    let mut lanes = vec![0.0; S::LANES];
                    // SAFETY: there are as many elements as lanes.
                    unsafe { s.store(lanes.as_mut_ptr(), x) };
                    results.extend(lanes.iter().map(|x| if x.is_nan() { f32::NAN } else { *x }.to_bits()));
                }
            }
            results
        }
    }

    #[test]
    fn every_set_computes_the_same_bits() {
        let some = [0.0, -0.0, 1.0, -1.0, 2.5, 3.5, -2.5, 1e-40, -3e38, 7.25, 1e9];
        let some = some.into_iter().chain([f32::NAN, f32::INFINITY, f32::NEG_INFINITY]);
        let some: Vec<f32> = some.collect();
        let pairs = some.iter().flat_map(|a| some.iter().map(move |b| (*a, *b)));
        let (mut a, mut b): (Vec<f32>, Vec<f32>) = pairs.unzip();
        a.resize(208, 0.5);
        b.resize(208, 0.25);
        let expected = Isa::Portable(Portable).run(Everything(&a, &b));
        for isa in sets() {
            for (at, (given, expected)) in isa.run(Everything(&a, &b)).iter().zip(&expected).enumerate() {
                for (i, (given, expected)) in given.iter().zip(expected).enumerate() {
                    let text = || format!("{isa:?}: operation {at} of {} and {}", a[i], b[i]);
                    assert_eq!(given, expected, "{}", text());
                }
            }
        }
    }

    struct Narrow<'a>(&'a [u16]);

    impl Task for Narrow<'_> {
        type Output = [Vec<f32>; 2];

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> [Vec<f32>; 2] {
            let mut both = [vec![0.0; self.0.len()], vec![0.0; self.0.len()]];
            for at in (0..self.0.len()).step_by(S::LANES) {
                // SAFETY: the number of elements is a multiple of the lanes.
                unsafe {
                    s.store(both[0][at..].as_mut_ptr(), s.load_f16(self.0[at..].as_ptr()));
                    s.store(both[1][at..].as_mut_ptr(), s.load_bf16(self.0[at..].as_ptr()));
                }
            }
            both
        }
    }

    #[test]
    fn narrow_numbers_become_what_they_are() {
        let all: Vec<u16> = (0..=u16::MAX).collect();
        for isa in sets() {
            let [f16, bf16] = isa.run(Narrow(&all));
            for (i, &bits) in all.iter().enumerate() {
                let same = |given: f32, expected: f32| {
                    given.to_bits() == expected.to_bits() || given.is_nan() && expected.is_nan()
                };
                assert!(same(f16[i], half::f16::from_bits(bits).to_f32()), "{isa:?}: binary16 {bits:#x}");
                assert!(same(bf16[i], half::bf16::from_bits(bits).to_f32()), "{isa:?}: bfloat16 {bits:#x}");
            }
        }
    }

    struct Copies<'a>(&'a [f32], usize);

    impl Task for Copies<'_> {
        type Output = [Vec<f32>; 3];

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> [Vec<f32>; 3] {
            let [mut copy, mut filled] = [vec![-1.0; S::LANES], vec![0.0; S::LANES]];
            let mut wide = vec![0.0; S::LANES];
            let (from, count) = (self.0.as_ptr(), self.1.min(S::LANES));
            // SAFETY: `count` elements are read of the argument, and there is room for all lanes.
            unsafe {
                let x = s.load_first(from, count);
                s.store_first(copy.as_mut_ptr(), x, count);
                s.store(filled.as_mut_ptr(), s.load_first_or(from, count, s.splat(-1.0)));
                s.store_wide(wide.as_mut_ptr(), s.first_wide(s.widen(s.load(filled.as_ptr())), count));
            }
            [copy, filled, wide.into_iter().map(|x| x as f32).collect()]
        }
    }

    struct Widened<'a>(&'a [f32]);

    impl Task for Widened<'_> {
        type Output = (Vec<f64>, f64);

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> (Vec<f64>, f64) {
            let mut sums = vec![1.0; S::LANES];
            // SAFETY: all have as many elements as lanes or more.
            unsafe {
                let sum = s.add_wide(s.load_wide(sums.as_ptr()), s.load_widened(self.0.as_ptr()));
                s.store_wide(sums.as_mut_ptr(), sum);
                (sums, s.sum_wide(sum))
            }
        }
    }

    #[test]
    fn lanes_stay_in_their_places_when_widened() {
        let numbers: Vec<f32> = (1..=16).map(|i| i as f32).collect();
        for isa in sets() {
            let expected: Vec<f64> = (1..=isa.lanes()).map(|i| i as f64 + 1.0).collect();
            let sum = expected.iter().sum();
            assert_eq!(isa.run(Widened(&numbers)), (expected, sum), "{isa:?}");
        }
    }

    struct Swapped<'a>(&'a [f32]);

    impl Task for Swapped<'_> {
        type Output = Vec<(usize, Vec<f32>)>;

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Vec<(usize, Vec<f32>)> {
            // SAFETY: there are as many elements as lanes or more.
            let x = unsafe { s.load(self.0.as_ptr()) };
            let mut all = vec![(1, s.swap::<1>(x)), (2, s.swap::<2>(x))];
            if S::LANES > 4 {
                all.push((4, s.swap::<4>(x)));
            }
            if S::LANES > 8 {
                all.push((8, s.swap::<8>(x)));
            }
            let lanes = |x| {
                let mut lanes = vec![0.0; S::LANES];
                // SAFETY: there is room for all lanes.
                unsafe { s.store(lanes.as_mut_ptr(), x) };
                assert_eq!(s.first_lane(x), lanes[0]);
                lanes
            };
            all.into_iter().map(|(distance, x)| (distance, lanes(x))).collect()
        }
    }

    #[test]
    fn lanes_at_a_distance_are_swapped() {
        let numbers: Vec<f32> = (0..16).map(|i| i as f32).collect();
        for isa in sets() {
            for (distance, lanes) in isa.run(Swapped(&numbers)) {
                let expected: Vec<f32> = (0..isa.lanes()).map(|lane| (lane ^ distance) as f32).collect();
                assert_eq!(lanes, expected, "{isa:?}: {distance}");
            }
        }
    }

    #[test]
    fn parts_of_vectors_leave_the_rest_alone() {
        let numbers: Vec<f32> = (1..=16).map(|i| i as f32).collect();
        for isa in sets() {
            for count in 0..=isa.lanes() {
                for (copy, rest) in isa.run(Copies(&numbers[..count], count)).iter().zip([-1.0, -1.0, 0.0]) {
                    assert_eq!(copy[..count], numbers[..count]);
                    assert!(copy[count..].iter().all(|&x| x == rest), "{isa:?}: {count} elements");
                }
            }
        }
    }
}
