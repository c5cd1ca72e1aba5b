//! Vectors of 8 numbers: AVX2 with FMA and F16C.

use super::{Line, Simd, Task};
use std::arch::x86_64::*;

/// Proof that the processor has the instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// The proof, if the processor has them.
    pub fn new() -> Option<Avx2> {
        let has = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        has.then_some(Avx2(()))
    }
}

/// Runs a task in a function that is compiled with the instructions.
///
/// # Safety
/// The processor must have them.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn run<T: Task>(simd: Avx2, task: T) -> T::Output {
    Line::align_frame();
    task.run(simd)
}

/// All bits set in the lanes before `count`.
#[inline(always)]
fn first(_: Avx2, count: usize) -> __m256i {
    // SAFETY: the argument proves that the processor has the instructions.
    unsafe {
        let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        _mm256_cmpgt_epi32(_mm256_set1_epi32(count.min(8) as i32), lanes)
    }
}

impl Simd for Avx2 {
    type F = __m256;
    type I = __m256i;
    type M = __m256;
    type D = (__m256d, __m256d);

    const LANES: usize = 8;
    const PANEL_VECTORS: usize = 2;
    const TILE_ROWS: [usize; 5] = [0, 8, 6, 0, 0];
    const FUSED: bool = true;

    #[inline(always)]
    fn run<T: Task>(self, task: T) -> T::Output {
        // SAFETY: `self` proves it.
        unsafe { run(self, task) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm256_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        // SAFETY: the caller's, and `self` proves that the processor has the instruction.
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> __m256 {
        // SAFETY: the caller's, and `self` proves that the processor has the instruction.
        unsafe { _mm256_maskload_ps(from, first(self, count)) }
    }
    #[inline(always)]
    unsafe fn load_first_or(self, from: *const f32, count: usize, rest: __m256) -> __m256 {
        let mask = first(self, count);
        // SAFETY: the caller's, and `self` proves that the processor has the instruction.
        unsafe { _mm256_blendv_ps(rest, _mm256_maskload_ps(from, mask), _mm256_castsi256_ps(mask)) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, x: __m256) {
        // SAFETY: the caller's, and `self` proves that the processor has the instruction.
        unsafe { _mm256_storeu_ps(to, x) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, x: __m256, count: usize) {
        // SAFETY: the caller's, and `self` proves that the processor has the instruction.
        unsafe { _mm256_maskstore_ps(to, first(self, count), x) }
    }
    #[inline(always)]
    fn prefetch(self, from: *const u8) {
        // SAFETY: a hint about any address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) }
    }
    #[inline(always)]
    fn prefetch_farther(self, from: *const u8) {
        // SAFETY: a hint about any address.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(from.cast()) }
    }
    #[inline(always)]
    unsafe fn load_f16(self, from: *const u16) -> __m256 {
        // SAFETY: the caller's, and `self` proves that the processor has the instruction.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) }
    }
    #[inline(always)]
    unsafe fn load_bf16(self, from: *const u16) -> __m256 {
        // SAFETY: the caller's, and `self` proves that the processor has the instruction.
        unsafe {
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()))))
        }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm256_div_ps(a, b) }
    }
    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn neg_mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm256_fnmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm256_max_ps(a, b) }
    }
    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm256_min_ps(a, b) }
    }
    #[inline(always)]
    fn sqrt(self, a: __m256) -> __m256 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm256_sqrt_ps(a) }
    }

    #[inline(always)]
    fn less(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm256_cmp_ps::<_CMP_LT_OQ>(a, b) }
    }
    #[inline(always)]
    fn less_equal(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm256_cmp_ps::<_CMP_LE_OQ>(a, b) }
    }
    #[inline(always)]
    fn is_nan(self, a: __m256) -> __m256 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm256_cmp_ps::<_CMP_UNORD_Q>(a, a) }
    }
    #[inline(always)]
    fn any(self, mask: __m256) -> bool {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm256_movemask_ps(mask) != 0 }
    }
    #[inline(always)]
    fn select(self, mask: __m256, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm256_blendv_ps(b, a, mask) }
    }

    #[inline(always)]
    fn splat_int(self, x: i32) -> __m256i {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm256_set1_epi32(x) }
    }
    #[inline(always)]
    fn bits(self, a: __m256) -> __m256i {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm256_castps_si256(a) }
    }
    #[inline(always)]
    fn from_bits(self, a: __m256i) -> __m256 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm256_castsi256_ps(a) }
    }
    #[inline(always)]
    fn to_int(self, a: __m256) -> __m256i {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm256_cvtps_epi32(a) }
    }
    #[inline(always)]
    fn from_int(self, a: __m256i) -> __m256 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm256_cvtepi32_ps(a) }
    }
    #[inline(always)]
    fn add_int(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm256_add_epi32(a, b) }
    }
    #[inline(always)]
    fn sub_int(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm256_sub_epi32(a, b) }
    }
    #[inline(always)]
    fn and(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm256_and_si256(a, b) }
    }
    #[inline(always)]
    fn or(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm256_or_si256(a, b) }
    }
    #[inline(always)]
    fn xor(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm256_xor_si256(a, b) }
    }
    #[inline(always)]
    fn shift_left<const BITS: u32>(self, a: __m256i) -> __m256i {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm256_sll_epi32(a, _mm_cvtsi32_si128(BITS as i32)) }
    }
    #[inline(always)]
    fn shift_right<const BITS: u32>(self, a: __m256i) -> __m256i {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm256_sra_epi32(a, _mm_cvtsi32_si128(BITS as i32)) }
    }

    #[inline(always)]
    fn splat_wide(self, x: f64) -> Self::D {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { (_mm256_set1_pd(x), _mm256_set1_pd(x)) }
    }
    #[inline(always)]
    unsafe fn load_wide(self, from: *const f64) -> Self::D {
        // SAFETY: the caller's, and `self` proves that the processor has the instruction.
        unsafe { (_mm256_loadu_pd(from), _mm256_loadu_pd(from.add(4))) }
    }
    #[inline(always)]
    unsafe fn load_widened(self, from: *const f32) -> Self::D {
        // SAFETY: the caller's, and `self` proves that the processor has the instruction.
        unsafe {
            let [low, high] = [_mm_loadu_ps(from), _mm_loadu_ps(from.add(4))];
            (_mm256_cvtps_pd(low), _mm256_cvtps_pd(high))
        }
    }
    #[inline(always)]
    unsafe fn store_wide(self, to: *mut f64, x: Self::D) {
        // SAFETY: the caller's, and `self` proves that the processor has the instruction.
        unsafe {
            _mm256_storeu_pd(to, x.0);
            _mm256_storeu_pd(to.add(4), x.1);
        }
    }
    #[inline(always)]
    fn widen(self, a: __m256) -> Self::D {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe {
            (_mm256_cvtps_pd(_mm256_castps256_ps128(a)), _mm256_cvtps_pd(_mm256_extractf128_ps::<1>(a)))
        }
    }
    #[inline(always)]
    fn narrow(self, a: Self::D) -> __m256 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm256_set_m128(_mm256_cvtpd_ps(a.1), _mm256_cvtpd_ps(a.0)) }
    }
    #[inline(always)]
    fn first_wide(self, a: Self::D, count: usize) -> Self::D {
        let mask = first(self, count);
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe {
            let low = _mm256_cvtepi32_epi64(_mm256_castsi256_si128(mask));
            let high = _mm256_cvtepi32_epi64(_mm256_extracti128_si256::<1>(mask));
            (_mm256_and_pd(_mm256_castsi256_pd(low), a.0), _mm256_and_pd(_mm256_castsi256_pd(high), a.1))
        }
    }
    #[inline(always)]
    fn add_wide(self, a: Self::D, b: Self::D) -> Self::D {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { (_mm256_add_pd(a.0, b.0), _mm256_add_pd(a.1, b.1)) }
    }
    #[inline(always)]
    fn sub_wide(self, a: Self::D, b: Self::D) -> Self::D {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { (_mm256_sub_pd(a.0, b.0), _mm256_sub_pd(a.1, b.1)) }
    }
    #[inline(always)]
    fn mul_wide(self, a: Self::D, b: Self::D) -> Self::D {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { (_mm256_mul_pd(a.0, b.0), _mm256_mul_pd(a.1, b.1)) }
    }
    #[inline(always)]
    fn mul_add_wide(self, a: Self::D, b: Self::D, c: Self::D) -> Self::D {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { (_mm256_fmadd_pd(a.0, b.0, c.0), _mm256_fmadd_pd(a.1, b.1, c.1)) }
    }
    #[inline(always)]
    fn sum_wide(self, a: Self::D) -> f64 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe {
            let four = _mm256_add_pd(a.0, a.1);
            let two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd::<1>(four));
            _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)))
        }
    }
    #[inline(always)]
    fn swap<const DISTANCE: usize>(self, a: __m256) -> __m256 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe {
            match DISTANCE {
                1 => _mm256_permute_ps::<0b10_11_00_01>(a),
                2 => _mm256_permute_ps::<0b01_00_11_10>(a),
                _ => _mm256_permute2f128_ps::<1>(a, a),
            }
        }
    }
    #[inline(always)]
    fn permute(self, a: __m256, lanes: __m256i) -> __m256 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm256_permutevar8x32_ps(a, lanes) }
    }
    #[inline(always)]
    fn first_lane(self, a: __m256) -> f32 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm256_cvtss_f32(a) }
    }
}
