//! One operator on arrays, by its kernel and by its reference.

use crate::{Plan, PlanOptions, TensorView};
use k2o_core::ops::Operator;
use k2o_core::{
    Constant, ConstantExpr, DType, GraphBuilder, Op, Operand, Padding, Shape, Tensor, TensorType, ValueId,
};
use proptest::prelude::*;

/// Sizes and elements.
pub(crate) type Array = (Vec<usize>, Vec<f32>);

/// An operator and its operands.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    op: Op,
    operands: Vec<Array>,
}

/// The unit of relative error of a single-precision operation.
pub(crate) const UNIT: f64 = f32::EPSILON as f64 / 2.0;

/// Numbers between -2 and 2, some of them 0, that depend on `seed` only.
pub(crate) fn values(shape: &[usize], seed: u64) -> Array {
    let mut state = seed.wrapping_mul(2).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state ^= state >> 29;
        state = state.wrapping_mul(0xbf58_476d_1ce4_e5b9).wrapping_add(0x2545_f491_4f6c_dd1d);
        match state >> 59 {
            0 => 0.0,
            _ => ((state >> 32) as u32 as f32 / 2f32.powi(30)) - 2.0,
        }
    };
    (shape.to_vec(), (0..shape.iter().product::<usize>()).map(|_| next()).collect())
}

/// Any kind of padding, small.
pub(crate) fn padding() -> impl Strategy<Value = Padding> {
    prop_oneof![
        Just(Padding::Same),
        Just(Padding::Explicit(0, 0)),
        (0i64..5, 0i64..5).prop_map(|(before, after)| Padding::Explicit(before, after)),
    ]
}

impl Problem {
    pub fn new(op: impl Into<Op>, operands: impl IntoIterator<Item = Array>) -> Problem {
        Problem { op: op.into(), operands: operands.into_iter().collect() }
    }

    /// The result of the kernel, which must be the same whether operands are inputs or constants.
    pub fn run(&self) -> Vec<f32> {
        let y = self.run_with(0);
        let bits = |y: &[f32]| y.iter().map(|y| y.to_bits()).collect::<Vec<_>>();
        for constants in 1..=self.operands.len() {
            assert_eq!(bits(&y), bits(&self.run_with(constants)), "with {constants} constants");
        }
        y
    }

    /// The result with the last operands as constants.
    fn run_with(&self, constants: usize) -> Vec<f32> {
        let mut builder = GraphBuilder::new();
        let mut views = Vec::new();
        let mut operands: Vec<Operand> = Vec::new();
        for (at, (shape, data)) in self.operands.iter().enumerate() {
            if at + constants < self.operands.len() {
                let r#type = TensorType::new(Shape::of(shape).unwrap(), DType::F32);
                operands.push(builder.input("x", r#type).unwrap().into());
                views.push(TensorView::f32(shape, data).unwrap());
                continue;
            }
            let data = data.iter().map(|&x| f64::from(x)).collect();
            let expr = ConstantExpr::literal(Tensor::f64(shape.clone(), data).unwrap());
            let constant = Constant { name: "w".into(), dtype: DType::F32, expr };
            operands.push(builder.constant(constant).unwrap().into());
        }
        let outputs: Vec<ValueId> = builder.add_all(self.op.clone(), operands).unwrap();
        builder.output("y", outputs[0]);
        let plan = Plan::new(&builder.finish(), &PlanOptions::default()).unwrap();
        let mut session = plan.session();
        let expected = plan.outputs().next().unwrap().1.shape.as_fixed().unwrap();
        let view = session.run(&views).unwrap().get(0).unwrap();
        assert_eq!(view.shape(), expected);
        view.as_f32().unwrap().to_vec()
    }

    /// The result of the reference.
    pub fn reference(&self) -> Tensor {
        self.reference_of(f64::from)
    }

    fn reference_of(&self, f: impl Fn(f32) -> f64) -> Tensor {
        let tensor = |(shape, data): &Array| Tensor::f64(shape.clone(), data.iter().map(|&x| f(x)).collect());
        let operands: Vec<Tensor> = self.operands.iter().map(|array| tensor(array).unwrap()).collect();
        self.op.reference(&operands.iter().collect::<Vec<_>>()).unwrap().remove(0)
    }
}

/// Checks a sum of products: each element is off by at most `min(16, 2 sqrt(n)) + 1` units of the sum of the
/// products' magnitudes, where `n` is the number of products in a sum.
#[track_caller]
pub(crate) fn check_products(problem: &Problem) {
    let (y, exact) = (problem.run(), problem.reference());
    let magnitudes = problem.reference_of(|x| f64::from(x).abs());
    let kernel = &problem.operands[1].0;
    let terms: usize = kernel[..kernel.len() - 1].iter().product();
    let units = (2.0 * (terms as f64).sqrt()).min(16.0) + 1.0;
    for (i, (y, exact)) in y.iter().zip(exact.as_f64().unwrap()).enumerate() {
        let bound = units * UNIT * magnitudes.as_f64().unwrap()[i];
        let error = (f64::from(*y) - exact).abs();
        assert!(error <= bound, "element {i} is {y}, exactly {exact}: off by {error:e}, more than {bound:e}");
    }
}

/// Checks that each element is off by at most `units` of its own magnitude plus `magnitude` times the largest
/// operand's.
#[track_caller]
pub(crate) fn check_close(problem: &Problem, units: f64, magnitude: f64) {
    let (y, exact) = (problem.run(), problem.reference());
    let data = problem.operands.iter().flat_map(|(_, data)| data);
    let largest = data.fold(0.0, |max: f64, x| max.max(f64::from(*x).abs()));
    for (i, (y, exact)) in y.iter().zip(exact.as_f64().unwrap()).enumerate() {
        let (y, exact) = (f64::from(*y), *exact);
        let bound = units * UNIT * (exact.abs() + magnitude * largest);
        let same = y == exact || y.is_nan() && exact.is_nan();
        let error = (y - exact).abs();
        assert!(
            same || error <= bound,
            "element {i} is {y}, exactly {exact}: off by {error:e}, more than {bound:e}"
        );
    }
}
