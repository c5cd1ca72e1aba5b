//! The functions of gates, computed in registers.

use crate::kernels::unary::Function;
use crate::simd::{Simd, Task, math};

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

    /// The function's value.
    #[inline(always)]
    pub fn apply<S: Simd>(self, s: S, x: S::F) -> S::F {
        match self {
            Activation::Linear => x,
            Activation::Tanh => math::tanh(s, x),
            Activation::Sigmoid => math::sigmoid(s, x),
            Activation::HardSigmoid { slope, offset } => {
                let line = s.mul_add(s.splat(slope), x, s.splat(offset));
                s.min(s.splat(1.0), s.max(s.splat(0.0), line))
            }
            Activation::Relu => s.max(s.splat(0.0), x),
            Activation::Other(function) => {
                const { assert!(S::LANES <= MOST_LANES) };
                let mut lanes = [0.0; MOST_LANES];
                // SAFETY: there are as many elements as lanes, at least.
                unsafe { s.store(lanes.as_mut_ptr(), x) };
                s.run(InMemory(function, &mut lanes));
                // SAFETY: as above.
                unsafe { s.load(lanes.as_ptr()) }
            }
        }
    }
}

/// The most lanes of a vector.
const MOST_LANES: usize = 16;

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
