//! What every processor has: small arrays, which the compiler turns into the vectors of the target.

use super::{Simd, Task};

const LANES: usize = 4;

/// The instructions of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Portable;

#[inline(always)]
fn map<A: Copy, B>(a: [A; LANES], f: impl Fn(A) -> B) -> [B; LANES] {
    a.map(f)
}

#[inline(always)]
fn zip<A: Copy, B: Copy, C>(a: [A; LANES], b: [B; LANES], f: impl Fn(A, B) -> C) -> [C; LANES] {
    std::array::from_fn(|lane| f(a[lane], b[lane]))
}

impl Simd for Portable {
    type F = [f32; LANES];
    type I = [i32; LANES];
    type M = [bool; LANES];
    type D = [f64; LANES];

    const LANES: usize = LANES;
    const PANEL_VECTORS: usize = 2;
    const TILE_ROWS: [usize; 5] = [0, 4, 4, 0, 0];
    // Where there is no such instruction, a call of a function would be far slower.
    const FUSED: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));

    #[inline(always)]
    fn run<T: Task>(self, task: T) -> T::Output {
        task.run(self)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> [f32; LANES] {
        [x; LANES]
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> [f32; LANES] {
        // SAFETY: the caller's; arrays may be read unaligned this way.
        unsafe { from.cast::<[f32; LANES]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> [f32; LANES] {
        // SAFETY: the caller's; no lane past `count` is read.
        std::array::from_fn(|lane| if lane < count { unsafe { *from.add(lane) } } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn load_first_or(self, from: *const f32, count: usize, rest: [f32; LANES]) -> [f32; LANES] {
        // SAFETY: the caller's; no lane past `count` is read.
        std::array::from_fn(|lane| if lane < count { unsafe { *from.add(lane) } } else { rest[lane] })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, x: [f32; LANES]) {
        // SAFETY: the caller's; arrays may be written unaligned this way.
        unsafe { to.cast::<[f32; LANES]>().write_unaligned(x) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, x: [f32; LANES], count: usize) {
        for (lane, x) in x.into_iter().enumerate().take(count) {
            // SAFETY: the caller's; no lane past `count` is written.
            unsafe { *to.add(lane) = x };
        }
    }
    #[inline(always)]
    fn prefetch(self, _: *const u8) {}
    #[inline(always)]
    fn prefetch_farther(self, _: *const u8) {}
    #[inline(always)]
    unsafe fn load_f16(self, from: *const u16) -> [f32; LANES] {
        // SAFETY: the caller's.
        std::array::from_fn(|lane| half::f16::from_bits(unsafe { *from.add(lane) }).to_f32_const())
    }
    #[inline(always)]
    unsafe fn load_bf16(self, from: *const u16) -> [f32; LANES] {
        // SAFETY: the caller's.
        std::array::from_fn(|lane| f32::from_bits(u32::from(unsafe { *from.add(lane) }) << 16))
    }

    #[inline(always)]
    fn add(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        zip(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        zip(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        zip(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        zip(a, b, |a, b| a / b)
    }
    #[inline(always)]
    fn mul_add(self, a: [f32; LANES], b: [f32; LANES], c: [f32; LANES]) -> [f32; LANES] {
        match Self::FUSED {
            true => std::array::from_fn(|lane| a[lane].mul_add(b[lane], c[lane])),
            false => std::array::from_fn(|lane| a[lane] * b[lane] + c[lane]),
        }
    }
    #[inline(always)]
    fn neg_mul_add(self, a: [f32; LANES], b: [f32; LANES], c: [f32; LANES]) -> [f32; LANES] {
        match Self::FUSED {
            true => std::array::from_fn(|lane| (-a[lane]).mul_add(b[lane], c[lane])),
            false => std::array::from_fn(|lane| c[lane] - a[lane] * b[lane]),
        }
    }
    #[inline(always)]
    fn max(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        zip(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn min(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        zip(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn sqrt(self, a: [f32; LANES]) -> [f32; LANES] {
        map(a, f32::sqrt)
    }

    #[inline(always)]
    fn less(self, a: [f32; LANES], b: [f32; LANES]) -> [bool; LANES] {
        zip(a, b, |a, b| a < b)
    }
    #[inline(always)]
    fn less_equal(self, a: [f32; LANES], b: [f32; LANES]) -> [bool; LANES] {
        zip(a, b, |a, b| a <= b)
    }
    #[inline(always)]
    fn is_nan(self, a: [f32; LANES]) -> [bool; LANES] {
        map(a, f32::is_nan)
    }
    #[inline(always)]
    fn any(self, mask: [bool; LANES]) -> bool {
        mask.contains(&true)
    }
    #[inline(always)]
    fn select(self, mask: [bool; LANES], a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        std::array::from_fn(|lane| if mask[lane] { a[lane] } else { b[lane] })
    }

    #[inline(always)]
    fn splat_int(self, x: i32) -> [i32; LANES] {
        [x; LANES]
    }
    #[inline(always)]
    fn bits(self, a: [f32; LANES]) -> [i32; LANES] {
        map(a, |a| a.to_bits() as i32)
    }
    #[inline(always)]
    fn from_bits(self, a: [i32; LANES]) -> [f32; LANES] {
        map(a, |a| f32::from_bits(a as u32))
    }
    #[inline(always)]
    fn to_int(self, a: [f32; LANES]) -> [i32; LANES] {
        map(a, |a| a.round_ties_even() as i32)
    }
    #[inline(always)]
    fn from_int(self, a: [i32; LANES]) -> [f32; LANES] {
        map(a, |a| a as f32)
    }
    #[inline(always)]
    fn add_int(self, a: [i32; LANES], b: [i32; LANES]) -> [i32; LANES] {
        zip(a, b, i32::wrapping_add)
    }
    #[inline(always)]
    fn sub_int(self, a: [i32; LANES], b: [i32; LANES]) -> [i32; LANES] {
        zip(a, b, i32::wrapping_sub)
    }
    #[inline(always)]
    fn and(self, a: [i32; LANES], b: [i32; LANES]) -> [i32; LANES] {
        zip(a, b, |a, b| a & b)
    }
    #[inline(always)]
    fn or(self, a: [i32; LANES], b: [i32; LANES]) -> [i32; LANES] {
        zip(a, b, |a, b| a | b)
    }
    #[inline(always)]
    fn xor(self, a: [i32; LANES], b: [i32; LANES]) -> [i32; LANES] {
        zip(a, b, |a, b| a ^ b)
    }
    #[inline(always)]
    fn shift_left<const BITS: u32>(self, a: [i32; LANES]) -> [i32; LANES] {
        map(a, |a| a << BITS)
    }
    #[inline(always)]
    fn shift_right<const BITS: u32>(self, a: [i32; LANES]) -> [i32; LANES] {
        map(a, |a| a >> BITS)
    }

    #[inline(always)]
    fn splat_wide(self, x: f64) -> [f64; LANES] {
        [x; LANES]
    }
    #[inline(always)]
    unsafe fn load_wide(self, from: *const f64) -> [f64; LANES] {
        // SAFETY: the caller's; arrays may be read unaligned this way.
        unsafe { from.cast::<[f64; LANES]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_widened(self, from: *const f32) -> [f64; LANES] {
        // SAFETY: the caller's.
        self.widen(unsafe { self.load(from) })
    }
    #[inline(always)]
    unsafe fn store_wide(self, to: *mut f64, x: [f64; LANES]) {
        // SAFETY: the caller's; arrays may be written unaligned this way.
        unsafe { to.cast::<[f64; LANES]>().write_unaligned(x) }
    }
    #[inline(always)]
    fn widen(self, a: [f32; LANES]) -> [f64; LANES] {
        map(a, f64::from)
    }
    #[inline(always)]
    fn narrow(self, a: [f64; LANES]) -> [f32; LANES] {
        map(a, |a| a as f32)
    }
    #[inline(always)]
    fn first_wide(self, a: [f64; LANES], count: usize) -> [f64; LANES] {
        std::array::from_fn(|lane| if lane < count { a[lane] } else { 0.0 })
    }
    #[inline(always)]
    fn add_wide(self, a: [f64; LANES], b: [f64; LANES]) -> [f64; LANES] {
        zip(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub_wide(self, a: [f64; LANES], b: [f64; LANES]) -> [f64; LANES] {
        zip(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul_wide(self, a: [f64; LANES], b: [f64; LANES]) -> [f64; LANES] {
        zip(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn mul_add_wide(self, a: [f64; LANES], b: [f64; LANES], c: [f64; LANES]) -> [f64; LANES] {
        match Self::FUSED {
            true => std::array::from_fn(|lane| a[lane].mul_add(b[lane], c[lane])),
            false => std::array::from_fn(|lane| a[lane] * b[lane] + c[lane]),
        }
    }
    #[inline(always)]
    fn sum_wide(self, a: [f64; LANES]) -> f64 {
        (a[0] + a[2]) + (a[1] + a[3])
    }
    #[inline(always)]
    fn swap<const DISTANCE: usize>(self, a: [f32; LANES]) -> [f32; LANES] {
        std::array::from_fn(|lane| a[lane ^ DISTANCE])
    }
    #[inline(always)]
    fn permute(self, a: [f32; LANES], lanes: [i32; LANES]) -> [f32; LANES] {
        map(lanes, |lane| a[lane as usize % LANES])
    }
    #[inline(always)]
    fn first_lane(self, a: [f32; LANES]) -> f32 {
        a[0]
    }
}
