//! Vectors of 16 numbers: AVX-512.

use super::{Line, Simd, Task};
use std::arch::x86_64::*;

/// Proof that the processor has the instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// The proof, if the processor has them.
    pub fn new() -> Option<Avx512> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        has.then_some(Avx512(()))
    }
}

/// Runs a task in a function that is compiled with the instructions.
///
/// # Safety
/// The processor must have them.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
unsafe fn run<T: Task>(simd: Avx512, task: T) -> T::Output {
    Line::align_frame();
    task.run(simd)
}

/// The lanes before `count`.
#[inline(always)]
fn first(count: usize) -> __mmask16 {
    if count < 16 { (1 << count) - 1 } else { !0 }
}

impl Simd for Avx512 {
    type F = __m512;
    type I = __m512i;
    type M = __mmask16;
    type D = (__m512d, __m512d);

    const LANES: usize = 16;
    const PANEL_VECTORS: usize = 4;
    const TILE_ROWS: [usize; 5] = [0, 8, 8, 8, 6];
    const FUSED: bool = true;

    #[inline(always)]
    fn run<T: Task>(self, task: T) -> T::Output {
        // SAFETY: `self` proves it.
        unsafe { run(self, task) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        // SAFETY: the caller's, and `self` proves that the processor has the instruction.
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> __m512 {
        // SAFETY: the caller's, and `self` proves that the processor has the instruction.
        unsafe { _mm512_maskz_loadu_ps(first(count), from) }
    }
    #[inline(always)]
    unsafe fn load_first_or(self, from: *const f32, count: usize, rest: __m512) -> __m512 {
        // SAFETY: the caller's, and `self` proves that the processor has the instruction.
        unsafe { _mm512_mask_loadu_ps(rest, first(count), from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, x: __m512) {
        // SAFETY: the caller's, and `self` proves that the processor has the instruction.
        unsafe { _mm512_storeu_ps(to, x) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, x: __m512, count: usize) {
        // SAFETY: the caller's, and `self` proves that the processor has the instruction.
        unsafe { _mm512_mask_storeu_ps(to, first(count), x) }
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
    unsafe fn load_f16(self, from: *const u16) -> __m512 {
        // SAFETY: the caller's, and `self` proves that the processor has the instruction.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
    }
    #[inline(always)]
    unsafe fn load_bf16(self, from: *const u16) -> __m512 {
        // SAFETY: the caller's, and `self` proves that the processor has the instruction.
        unsafe {
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(
                from.cast(),
            ))))
        }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn neg_mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm512_fnmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm512_min_ps(a, b) }
    }
    #[inline(always)]
    fn sqrt(self, a: __m512) -> __m512 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm512_sqrt_ps(a) }
    }

    #[inline(always)]
    fn less(self, a: __m512, b: __m512) -> __mmask16 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b) }
    }
    #[inline(always)]
    fn less_equal(self, a: __m512, b: __m512) -> __mmask16 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm512_cmp_ps_mask::<_CMP_LE_OQ>(a, b) }
    }
    #[inline(always)]
    fn is_nan(self, a: __m512) -> __mmask16 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a) }
    }
    #[inline(always)]
    fn any(self, mask: __mmask16) -> bool {
        mask != 0
    }
    #[inline(always)]
    fn select(self, mask: __mmask16, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm512_mask_blend_ps(mask, b, a) }
    }

    #[inline(always)]
    fn splat_int(self, x: i32) -> __m512i {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm512_set1_epi32(x) }
    }
    #[inline(always)]
    fn bits(self, a: __m512) -> __m512i {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm512_castps_si512(a) }
    }
    #[inline(always)]
    fn from_bits(self, a: __m512i) -> __m512 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm512_castsi512_ps(a) }
    }
    #[inline(always)]
    fn to_int(self, a: __m512) -> __m512i {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm512_cvtps_epi32(a) }
    }
    #[inline(always)]
    fn from_int(self, a: __m512i) -> __m512 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm512_cvtepi32_ps(a) }
    }
    #[inline(always)]
    fn add_int(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm512_add_epi32(a, b) }
    }
    #[inline(always)]
    fn sub_int(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm512_sub_epi32(a, b) }
    }
    #[inline(always)]
    fn and(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm512_and_si512(a, b) }
    }
    #[inline(always)]
    fn or(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm512_or_si512(a, b) }
    }
    #[inline(always)]
    fn xor(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm512_xor_si512(a, b) }
    }
    #[inline(always)]
    fn shift_left<const BITS: u32>(self, a: __m512i) -> __m512i {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm512_sll_epi32(a, _mm_cvtsi32_si128(BITS as i32)) }
    }
    #[inline(always)]
    fn shift_right<const BITS: u32>(self, a: __m512i) -> __m512i {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm512_sra_epi32(a, _mm_cvtsi32_si128(BITS as i32)) }
    }

    #[inline(always)]
    fn splat_wide(self, x: f64) -> Self::D {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { (_mm512_set1_pd(x), _mm512_set1_pd(x)) }
    }
    #[inline(always)]
    unsafe fn load_wide(self, from: *const f64) -> Self::D {
        // SAFETY: the caller's, and `self` proves that the processor has the instruction.
        unsafe { (_mm512_loadu_pd(from), _mm512_loadu_pd(from.add(8))) }
    }
    #[inline(always)]
    unsafe fn load_widened(self, from: *const f32) -> Self::D {
        // SAFETY: the caller's, and `self` proves that the processor has the instruction.
        unsafe {
            let [low, high] = [_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))];
            (_mm512_cvtps_pd(low), _mm512_cvtps_pd(high))
        }
    }
    #[inline(always)]
    unsafe fn store_wide(self, to: *mut f64, x: Self::D) {
        // SAFETY: the caller's, and `self` proves that the processor has the instruction.
        unsafe {
            _mm512_storeu_pd(to, x.0);
            _mm512_storeu_pd(to.add(8), x.1);
        }
    }
    #[inline(always)]
    fn widen(self, a: __m512) -> Self::D {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe {
            (_mm512_cvtps_pd(_mm512_castps512_ps256(a)), _mm512_cvtps_pd(_mm512_extractf32x8_ps::<1>(a)))
        }
    }
    #[inline(always)]
    fn narrow(self, a: Self::D) -> __m512 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe {
            let low = _mm512_castps256_ps512(_mm512_cvtpd_ps(a.0));
            _mm512_insertf32x8::<1>(low, _mm512_cvtpd_ps(a.1))
        }
    }
    #[inline(always)]
    fn first_wide(self, a: Self::D, count: usize) -> Self::D {
        let mask = first(count);
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { (_mm512_maskz_mov_pd(mask as u8, a.0), _mm512_maskz_mov_pd((mask >> 8) as u8, a.1)) }
    }
    #[inline(always)]
    fn add_wide(self, a: Self::D, b: Self::D) -> Self::D {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { (_mm512_add_pd(a.0, b.0), _mm512_add_pd(a.1, b.1)) }
    }
    #[inline(always)]
    fn sub_wide(self, a: Self::D, b: Self::D) -> Self::D {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { (_mm512_sub_pd(a.0, b.0), _mm512_sub_pd(a.1, b.1)) }
    }
    #[inline(always)]
    fn mul_wide(self, a: Self::D, b: Self::D) -> Self::D {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { (_mm512_mul_pd(a.0, b.0), _mm512_mul_pd(a.1, b.1)) }
    }
    #[inline(always)]
    fn mul_add_wide(self, a: Self::D, b: Self::D, c: Self::D) -> Self::D {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { (_mm512_fmadd_pd(a.0, b.0, c.0), _mm512_fmadd_pd(a.1, b.1, c.1)) }
    }
    #[inline(always)]
    fn sum_wide(self, a: Self::D) -> f64 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe {
            let eight = _mm512_add_pd(a.0, a.1);
            let four = _mm256_add_pd(_mm512_castpd512_pd256(eight), _mm512_extractf64x4_pd::<1>(eight));
            let two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd::<1>(four));
            _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)))
        }
    }
    #[inline(always)]
    fn swap<const DISTANCE: usize>(self, a: __m512) -> __m512 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe {
            match DISTANCE {
                1 => _mm512_permute_ps::<0b10_11_00_01>(a),
                2 => _mm512_permute_ps::<0b01_00_11_10>(a),
                4 => _mm512_shuffle_f32x4::<0b10_11_00_01>(a, a),
                _ => _mm512_shuffle_f32x4::<0b01_00_11_10>(a, a),
            }
        }
    }
    #[inline(always)]
    fn permute(self, a: __m512, lanes: __m512i) -> __m512 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm512_permutexvar_ps(lanes, a) }
    }
    #[inline(always)]
    fn first_lane(self, a: __m512) -> f32 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm512_cvtss_f32(a) }
    }
}
