//! The functions of gates, computed in registers.

use crate::kernels::unary::Function;
use crate::simd::{Simd, Task};

/// A function of a vector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Activation {
    Linear,
    Tanh,
    Sigmoid,
    HardSigmoid {
        slope: f32,
        offset: f32,
    },
    Relu,
    /// Computed in memory.
    Other(Function),
}

/// A numerator and a denominator, which is positive and at most 1, as is that of a function with values up to 1.
///
/// Gates are multiplied with each other: so there is one division for a few of them.
#[derive(Clone, Copy)]
pub(super) struct Quotient<S: Simd> {
    pub n: S::F,
    pub d: S::F,
}

impl Activation {
    /// The function, or none.
    pub fn new(function: Option<Function>) -> Activation {
        match function {
            None => Activation::Linear,
            Some(Function::Tanh { .. }) => Activation::Tanh,
            Some(Function::Sigmoid { .. }) => Activation::Sigmoid,
            Some(Function::HardSigmoid { slope, offset }) => Activation::HardSigmoid { slope, offset },
            Some(Function::Relu { .. }) => Activation::Relu,
            Some(function) => Activation::Other(function),
        }
    }

    /// The function's values.
    #[inline(always)]
    pub(super) fn quotient<S: Simd>(self, s: S, x: S::F) -> Quotient<S> {
        let n = match self {
            Activation::Tanh => return tanh(s, x),
            Activation::Sigmoid => return sigmoid(s, x),
            Activation::Linear => x,
            Activation::HardSigmoid { slope, offset } => {
                let line = s.mul_add(s.splat(slope), x, s.splat(offset));
                s.min(s.splat(1.0), s.max(s.splat(0.0), line))
            }
            Activation::Relu => s.max(s.splat(0.0), x),
            Activation::Other(function) => in_memory(s, function, x),
        };
        Quotient { n, d: s.splat(1.0) }
    }
}

/// From here on, the hyperbolic tangent is 1 to single precision: the rational function is that where it is computed
/// with a product and a sum rounded once and where they are rounded twice, so that gates of infinity are 0 or 1.
const FAR: f32 = 9.01;
/// The coefficients of `p` and `q` where `x p(x²) / q(x²)` is the hyperbolic tangent up to [`FAR`], to 2^-25.5 of it if
/// they were not rounded, and `q` is at most 1.
const TANH: [[f32; 5]; 2] = [
    [0.001_953_124_9, 0.000_261_322_6, 6.824_281_6e-6, 4.020_205_3e-8, 2.601_372_6e-11],
    [0.001_953_124_9, 0.000_912_363_9, 5.052_942_7e-5, 6.412_283e-7, 1.516_016_9e-9],
];
/// Those of half the tangent of half the argument.
const HALF_TANH: [[f32; 5]; 2] = [halved(TANH[0], 0.25), halved(TANH[1], 1.0)];

/// The coefficients for half the argument, multiplied by a power of 2.
const fn halved(mut c: [f32; 5], mut factor: f32) -> [f32; 5] {
    let mut at = 0;
    while at < c.len() {
        c[at] *= factor;
        factor *= 0.25;
        at += 1;
    }
    c
}

/// `x p(x²)` and `q(x²)`, no further out than `far`.
#[inline(always)]
fn rational<S: Simd>(s: S, x: S::F, far: f32, [p, q]: [[f32; 5]; 2]) -> Quotient<S> {
    let x = s.min(s.splat(far), s.max(s.splat(-far), x));
    let square = s.mul(x, x);
    let [mut n, mut d] = [s.splat(p[4]), s.splat(q[4])];
    for at in (0..4).rev() {
        n = s.mul_add(n, square, s.splat(p[at]));
        d = s.mul_add(d, square, s.splat(q[at]));
    }
    Quotient { n: s.mul(x, n), d }
}

/// `1 / (1 + exp(-x))`: half of 1 and the tangent of half the argument.
#[inline(always)]
fn sigmoid<S: Simd>(s: S, x: S::F) -> Quotient<S> {
    let Quotient { n, d } = rational(s, x, 2.0 * FAR, HALF_TANH);
    Quotient { n: s.mul_add(d, s.splat(0.5), n), d }
}

/// The hyperbolic tangent.
#[inline(always)]
fn tanh<S: Simd>(s: S, x: S::F) -> Quotient<S> {
    rational(s, x, FAR, TANH)
}

/// The most lanes of a vector.
const MOST_LANES: usize = 16;

#[inline(always)]
fn in_memory<S: Simd>(s: S, function: Function, x: S::F) -> S::F {
    const { assert!(S::LANES <= MOST_LANES) };
    let mut lanes = [0.0; MOST_LANES];
    // SAFETY: there are as many elements as lanes, at least.
    unsafe { s.store(lanes.as_mut_ptr(), x) };
    s.run(InMemory(function, &mut lanes));
    // SAFETY: as above.
    unsafe { s.load(lanes.as_ptr()) }
}

/// A function of a vector in memory, so that the code of all functions is there once.
struct InMemory<'a>(Function, &'a mut [f32; MOST_LANES]);

impl Task for InMemory<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: there are as many elements as lanes, at least.
        unsafe { s.store(self.1.as_mut_ptr(), self.0.eval(s, s.load(self.1.as_ptr()))) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Isa;
    use crate::testing::sets;

    /// The value for an argument, in every lane.
    struct Value(Activation, f32);

    impl Task for Value {
        type Output = f32;

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> f32 {
            let Quotient { n, d } = self.0.quotient(s, s.splat(self.1));
            let mut lanes = [0.0; MOST_LANES];
            // SAFETY: there are as many elements as lanes, at least.
            unsafe { s.store(lanes.as_mut_ptr(), s.div(n, d)) };
            lanes[0]
        }
    }

    fn value(isa: Isa, function: Activation, x: f32) -> f32 {
        isa.run(Value(function, x))
    }

    #[test]
    fn gates_are_off_by_few_units_of_their_largest_value() {
        let arguments = (0..=400_000).map(|i| i as f32 * 5e-5).chain((1..1000).map(|i| 1e-6 * i as f32));
        for x in arguments.flat_map(|x| [x, -x]) {
            for isa in sets() {
                let tanh = (value(isa, Activation::Tanh, x) as f64, f64::from(x).tanh());
                let sigmoid =
                    (value(isa, Activation::Sigmoid, x) as f64, 1.0 / (1.0 + (-f64::from(x)).exp()));
                // The tangent is as exact near 0, the logistic function near 1/2.
                let unit = f64::from(f32::EPSILON) / 2.0;
                for ((given, exact), largest) in [(tanh, tanh.1.abs()), (sigmoid, 1.0)] {
                    let off = (given - exact).abs() / (unit * largest.max(1e-30));
                    assert!(off <= 8.0, "{given} for {x}, exactly {exact}: off by {off} units");
                }
            }
        }
    }

    #[test]
    fn gates_far_out_are_closed_or_open() {
        for isa in sets() {
            for far in [f32::INFINITY, f32::MAX, 100.0, 2.0 * FAR] {
                let ends =
                    [-far, far].map(|x| [Activation::Sigmoid, Activation::Tanh].map(|f| value(isa, f, x)));
                assert_eq!(ends, [[0.0, -1.0], [1.0, 1.0]], "{isa:?}, {far}");
            }
            for function in [Activation::Sigmoid, Activation::Tanh] {
                assert!(value(isa, function, f32::NAN).is_nan());
            }
        }
    }
}
