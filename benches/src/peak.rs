//! What one core can do at most: multiply-adds in registers, and bytes read from beyond its own caches.
//!
//! The only unsafe code of this crate: calls of functions for instructions that were found at run time, and vector loads.

#![allow(unsafe_code, reason = "instructions that are found at run time")]

use std::hint::black_box;
use std::time::{Duration, Instant};

/// Enough that the latency of none is waited for, and all stay in registers.
const CHAINS: usize = 12;

/// The array that is read: more than a core's own caches hold, and less than most machines' shared ones.
const BYTES: usize = 12_000_000;

/// The repetitions, of which the fastest counts.
const ROUNDS: usize = 20;

/// What one core can do.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Peak {
    /// Billions of floating-point operations a second, where a multiply-add is two.
    pub fma_gflops: f64,
    /// Billions of bytes a second, read and added up.
    pub read_gbps: f64,
}

impl Peak {
    /// Measures this core, for about half a second.
    pub fn measure() -> Peak {
        let kernels = Kernels::of_this_machine();
        let turns = 500_000;
        let operations = (2 * turns * CHAINS * kernels.lanes) as f64;
        let numbers: Vec<f32> = (0..BYTES / 4).map(|i| (i % 7) as f32).collect();
        Peak {
            fma_gflops: operations / seconds(|| (kernels.multiply_add)(turns)) / 1e9,
            read_gbps: BYTES as f64 / seconds(|| (kernels.sum)(&numbers)) / 1e9,
        }
    }

    /// The larger of both, for each figure.
    pub fn max(self, other: Peak) -> Peak {
        Peak {
            fma_gflops: self.fma_gflops.max(other.fma_gflops),
            read_gbps: self.read_gbps.max(other.read_gbps),
        }
    }
}

/// The instructions that the fastest kernels here use.
pub fn instruction_set() -> &'static str {
    Kernels::of_this_machine().name
}

/// Marks the upper parts of the vector registers as unused. tract 0.23.9 returns with them in use, and code in narrower
/// vectors was seen to take ten times as long after it.
pub fn clear_registers() {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx") {
        // SAFETY: the processor has AVX.
        unsafe { std::arch::x86_64::_mm256_zeroupper() };
    }
}

/// The seconds of the fastest of some runs.
fn seconds(mut run: impl FnMut() -> f32) -> f64 {
    let mut least = Duration::MAX;
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        black_box(run());
        least = least.min(begin.elapsed());
    }
    least.as_secs_f64()
}

/// Two loops, in one kind of instructions.
struct Kernels {
    name: &'static str,
    /// The numbers in a vector.
    lanes: usize,
    /// So many rounds of one multiply-add in each chain.
    multiply_add: fn(usize) -> f32,
    /// The sum of an array.
    sum: fn(&[f32]) -> f32,
}

impl Kernels {
    fn of_this_machine() -> Kernels {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                // SAFETY: the processor has AVX-512F.
                let (multiply_add, sum) = (
                    |turns| unsafe { avx512::multiply_add(turns) },
                    |data: &[f32]| unsafe { avx512::sum(data) },
                );
                return Kernels { name: "AVX-512", lanes: 16, multiply_add, sum };
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                // SAFETY: the processor has AVX2 and FMA.
                let (multiply_add, sum) =
                    (|turns| unsafe { avx2::multiply_add(turns) }, |data: &[f32]| unsafe { avx2::sum(data) });
                return Kernels { name: "AVX2+FMA", lanes: 8, multiply_add, sum };
            }
        }
        Kernels { name: "portable", lanes: 8, multiply_add: portable::multiply_add, sum: portable::sum }
    }
}

#[cfg(target_arch = "x86_64")]
macro_rules! kernels {
    ($module:ident, $features:literal, $vector:ident, $set:ident, $fma:ident, $add:ident, $load:ident, $store:ident) => {
        mod $module {
            use super::{CHAINS, black_box};
            use std::arch::x86_64::*;

            const LANES: usize = size_of::<$vector>() / 4;

            #[target_feature(enable = $features)]
            pub(super) fn multiply_add(turns: usize) -> f32 {
                let (factor, term) = ($set(black_box(0.999)), $set(black_box(0.001)));
                let mut chains = [$set(black_box(0.5)); CHAINS];
                for _ in 0..turns {
                    for chain in &mut chains {
                        *chain = $fma(*chain, factor, term);
                    }
                }
                total(&chains)
            }

            #[target_feature(enable = $features)]
            pub(super) fn sum(data: &[f32]) -> f32 {
                let mut sums = [$set(0.0); 8];
                let blocks = data.chunks_exact(8 * LANES);
                let rest: f32 = blocks.remainder().iter().sum();
                for block in blocks {
                    for (sum, vector) in sums.iter_mut().zip(block.chunks_exact(LANES)) {
                        // SAFETY: the chunk has as many numbers as a vector.
                        *sum = $add(*sum, unsafe { $load(vector.as_ptr()) });
                    }
                }
                total(&sums) + rest
            }

            #[target_feature(enable = $features)]
            fn total(vectors: &[$vector]) -> f32 {
                let mut lanes = [0f32; LANES];
                let mut sum = 0.0;
                for vector in vectors {
                    // SAFETY: the array has as many numbers as a vector.
                    unsafe { $store(lanes.as_mut_ptr(), *vector) };
                    sum += lanes.iter().sum::<f32>();
                }
                sum
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
kernels!(
    avx512,
    "avx512f",
    __m512,
    _mm512_set1_ps,
    _mm512_fmadd_ps,
    _mm512_add_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps
);

#[cfg(target_arch = "x86_64")]
kernels!(
    avx2,
    "avx2,fma",
    __m256,
    _mm256_set1_ps,
    _mm256_fmadd_ps,
    _mm256_add_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps
);

/// For the compiler to make vectors of.
mod portable {
    use super::{CHAINS, black_box};

    /// In one instruction where every processor of this kind has it.
    fn fused(x: f32, factor: f32, term: f32) -> f32 {
        match cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
            true => x.mul_add(factor, term),
            false => x * factor + term,
        }
    }

    pub(super) fn multiply_add(turns: usize) -> f32 {
        let (factor, term) = (black_box(0.999), black_box(0.001));
        let mut chains = [[black_box(0.5f32); 8]; CHAINS];
        for _ in 0..turns {
            chains.iter_mut().flatten().for_each(|x| *x = fused(*x, factor, term));
        }
        chains.iter().flatten().sum()
    }

    pub(super) fn sum(data: &[f32]) -> f32 {
        let mut sums = [0f32; 64];
        let blocks = data.chunks_exact(64);
        let rest: f32 = blocks.remainder().iter().sum();
        for block in blocks {
            sums.iter_mut().zip(block).for_each(|(sum, x)| *sum += x);
        }
        sums.iter().sum::<f32>() + rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_kernel_computes_the_same() {
        let kernels = Kernels::of_this_machine();
        let data: Vec<f32> = (0..1001).map(|i| (i % 5) as f32).collect();
        assert_eq!((kernels.sum)(&data), 2000.0);
        assert_eq!(portable::sum(&data), 2000.0);
        // x -> 0.999 x + 0.001 goes from 0.5 to 1.
        let after = |turns: usize| 1.0 - 0.5 * 0.999f32.powi(turns as i32);
        for turns in [1, 1000] {
            let each = after(turns) * CHAINS as f32;
            let near = |sum: f32, lanes: usize| (sum / lanes as f32 - each).abs() < 1e-3 * each;
            assert!(near((kernels.multiply_add)(turns), kernels.lanes), "{turns}");
            assert!(near(portable::multiply_add(turns), 8), "{turns}");
        }
    }
}
