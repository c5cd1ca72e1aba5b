//! One operator on arrays, by its kernel and by its reference.

use crate::simd::Isa;
use crate::{DataView, InstructionSet, Plan, PlanOptions, Result, TensorView};
use k2o_core::ops::Operator;
use k2o_core::{
    Constant, ConstantExpr, DType, Data, Graph, GraphBuilder, Op, Operand, Padding, Shape, Tensor,
    TensorType, ValueId,
};
use proptest::prelude::*;
use std::cell::Cell;

/// Sizes and elements.
pub(crate) type Array = (Vec<usize>, Vec<f32>);

/// An operator and its operands: integers, truth values, or numbers of single precision.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    op: Op,
    operands: Vec<Tensor>,
}

thread_local! {
    /// The instruction set of the plans made by [`run`].
    static SET: Cell<Option<InstructionSet>> = const { Cell::new(None) };
    /// Whether these plans may compute two positions of a convolution at once.
    static PAIRS: Cell<bool> = const { Cell::new(false) };
}

/// The instruction sets of this processor.
pub(crate) fn sets() -> impl Iterator<Item = Isa> {
    InstructionSet::ALL.into_iter().filter_map(Isa::new)
}

/// Runs `check` with plans for each instruction set that this processor has, and at last as usual.
#[track_caller]
pub(crate) fn on_every_set(mut check: impl FnMut()) {
    for set in InstructionSet::ALL.into_iter().filter(|set| set.is_available()) {
        SET.set(Some(set));
        check();
    }
    SET.set(None);
}

/// Runs `check` with plans that compute two positions of a convolution at once where they can.
#[track_caller]
pub(crate) fn with_pairs(check: impl FnOnce()) {
    PAIRS.set(true);
    check();
    PAIRS.set(false);
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

/// Shapes that broadcast to each other: an axis of one size has that size or 1; leading axes of 1 may be missing.
pub(crate) fn shapes_that_meet<const N: usize>() -> impl Strategy<Value = [Vec<usize>; N]> {
    let axes = prop::collection::vec((0usize..20, prop::array::uniform::<_, N>(0u8..3)), 0..5);
    let small = |axes: &Vec<(usize, [u8; N])>| axes.iter().map(|axis| axis.0).product::<usize>() <= 1 << 14;
    (axes.prop_filter("small", small), prop::array::uniform::<_, N>(0usize..5)).prop_map(|(axes, drop)| {
        std::array::from_fn(|i| {
            let droppable = axes.iter().take_while(|axis| axis.1[i] == 0).count();
            let sizes = axes.iter().map(|&(size, ones)| if ones[i] == 0 { 1 } else { size });
            sizes.skip(drop[i].min(droppable)).collect()
        })
    })
}

impl Problem {
    pub fn new(op: impl Into<Op>, operands: impl IntoIterator<Item = Array>) -> Problem {
        Problem::of(op, operands.into_iter().map(|array| tensor(&array)))
    }

    pub fn of(op: impl Into<Op>, operands: impl IntoIterator<Item = Tensor>) -> Problem {
        Problem { op: op.into(), operands: operands.into_iter().collect() }
    }

    /// The result of the kernel, which must be the same whether operands are inputs or constants.
    pub fn run(&self) -> Vec<f32> {
        // Pairs need weights that are constants.
        let least = if PAIRS.get() { self.operands.len() - 1 } else { 0 };
        let y = self.run_with(least).unwrap();
        let bits = |y: &Tensor| y.as_f64().unwrap().iter().map(|y| y.to_bits()).collect::<Vec<_>>();
        for constants in least + 1..=self.operands.len() {
            assert_eq!(bits(&y), bits(&self.run_with(constants).unwrap()), "with {constants} constants");
        }
        y.as_f64().unwrap().iter().map(|&y| y as f32).collect()
    }

    /// The first result with the last operands as constants.
    pub fn run_with(&self, constants: usize) -> Result<Tensor> {
        Ok(self.run_some(constants, &[0])?.remove(0))
    }

    /// The results `wanted` with the last operands as constants.
    pub fn run_some(&self, constants: usize, wanted: &[usize]) -> Result<Vec<Tensor>> {
        let (graph, inputs) = self.graph(constants, wanted);
        run(&graph, &inputs)
    }

    /// The operator with the last operands as constants, and what the others are.
    pub fn graph(&self, constants: usize, wanted: &[usize]) -> (Graph, Vec<Tensor>) {
        let mut builder = GraphBuilder::new();
        let mut inputs: Vec<Tensor> = Vec::new();
        let mut operands: Vec<Operand> = Vec::new();
        for (at, operand) in self.operands.iter().enumerate() {
            let dtype = match operand.data() {
                Data::F64(_) => DType::F32,
                Data::I64(_) => DType::I64,
                Data::Bool(_) => DType::Bool,
            };
            if at + constants < self.operands.len() {
                let r#type = TensorType::new(Shape::of(operand.shape()).unwrap(), dtype);
                operands.push(builder.input("x", r#type).unwrap().into());
                inputs.push(operand.clone());
                continue;
            }
            let expr = ConstantExpr::literal(operand.clone());
            let constant = Constant { name: "w".into(), dtype, expr };
            operands.push(builder.constant(constant).unwrap().into());
        }
        let outputs: Vec<ValueId> = builder.add_all(self.op.clone(), operands).unwrap();
        wanted.iter().for_each(|&at| builder.output("y", outputs[at]));
        (builder.finish(), inputs)
    }

    /// The first result of the reference.
    pub fn reference(&self) -> Tensor {
        self.reference_of(|x| x)
    }

    /// The results of the reference.
    pub fn references(&self) -> Vec<Tensor> {
        self.op.reference(&self.operands.iter().collect::<Vec<_>>()).unwrap()
    }

    fn reference_of(&self, f: impl Fn(f64) -> f64) -> Tensor {
        let map = |operand: &Tensor| match operand.data() {
            Data::F64(data) => Tensor::f64(operand.shape(), data.iter().map(|&x| f(x)).collect()).unwrap(),
            _ => operand.clone(),
        };
        let operands = self.operands.iter().map(map).collect();
        Problem { op: self.op.clone(), operands }.references().remove(0)
    }
}

/// The outputs of a graph by its plan.
pub(crate) fn run(graph: &Graph, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
    let options = PlanOptions {
        instruction_set: SET.get(),
        minimal_multiplications: PAIRS.get(),
        ..PlanOptions::default()
    };
    let plan = Plan::new(graph, &options)?;
    let mut session = plan.session();
    let floats: Vec<Vec<f32>> = inputs
        .iter()
        .map(|input| input.as_f64().map_or(Vec::new(), |data| data.iter().map(|&x| x as f32).collect()))
        .collect();
    let views = inputs.iter().zip(&floats).map(|(input, floats)| match input.data() {
        Data::F64(_) => TensorView::f32(input.shape(), floats).unwrap(),
        Data::I64(data) => TensorView::i64(input.shape(), data).unwrap(),
        Data::Bool(data) => TensorView::bool(input.shape(), data).unwrap(),
    });
    let outputs = session.run(&views.collect::<Vec<_>>())?;
    let tensors = plan.outputs().zip(outputs.iter()).map(|((_, r#type), (_, view))| {
        if let Some(expected) = r#type.shape.as_fixed() {
            assert_eq!(view.shape(), expected);
        }
        let data = match (view.data(), r#type.dtype) {
            (DataView::F32(data), _) => Data::F64(data.iter().map(|&y| f64::from(y)).collect()),
            (DataView::I64(data), DType::Bool) => {
                assert!(data.iter().all(|truth| [0, 1].contains(truth)));
                Data::Bool(data.iter().map(|&truth| truth == 1).collect())
            }
            (DataView::I64(data), _) => Data::I64(data.to_vec()),
            _ => panic!("a session gives 32-bit floating-point numbers and 64-bit integers only"),
        };
        Tensor::new(view.shape(), data).unwrap()
    });
    Ok(tensors.collect())
}

/// Single-precision numbers as a tensor.
pub(crate) fn tensor((shape, data): &Array) -> Tensor {
    Tensor::f64(shape.clone(), data.iter().map(|&x| f64::from(x)).collect()).unwrap()
}

/// Checks an operator that moves the elements of its first operand: numbers, and as many integers and
/// truth values.
#[track_caller]
pub(crate) fn check_moves(op: impl Into<Op>, x: &Array, others: &[Tensor]) {
    let op = op.into();
    for x in kinds(x) {
        check_exact(&Problem::of(op.clone(), std::iter::once(x).chain(others.iter().cloned())));
    }
}

/// As many integers and truth values as the numbers of `x`, after those.
pub(crate) fn kinds(x: &Array) -> [Tensor; 3] {
    let integers = (0..x.1.len() as i64).map(|i| i.wrapping_mul(-0x61c8_8646_80b5_83eb)).collect();
    let truths = x.1.iter().map(|&x| x > 0.0).collect();
    let of = |data| Tensor::new(x.0.clone(), data).unwrap();
    [tensor(x), of(Data::I64(integers)), of(Data::Bool(truths))]
}

/// Checks an operator whose results are exact.
#[track_caller]
pub(crate) fn check_exact(problem: &Problem) {
    let expected = problem.reference();
    on_every_set(|| {
        for constants in 0..=problem.operands.len() {
            assert_eq!(problem.run_with(constants).unwrap(), expected, "with {constants} constants");
        }
    });
}

/// Checks a sum of products: each element is off by at most `min(16, 2 sqrt(n)) + 1` units of the sum of the
/// products' magnitudes, where `n` is the number of products in a sum.
#[track_caller]
pub(crate) fn check_products_of(problem: &Problem, n: usize) {
    let (exact, magnitudes) = (problem.reference(), problem.reference_of(f64::abs));
    let units = (2.0 * (n as f64).sqrt()).min(16.0) + 1.0;
    on_every_set(|| {
        for (i, (y, exact)) in problem.run().iter().zip(exact.as_f64().unwrap()).enumerate() {
            let bound = units * UNIT * magnitudes.as_f64().unwrap()[i];
            let error = (f64::from(*y) - exact).abs();
            let set = SET.get();
            assert!(
                error <= bound,
                "{set:?}: element {i} is {y}, exactly {exact}: off by {error:e}, more than {bound:e}"
            );
        }
    });
}

/// Checks sums of products with a kernel `[.., filters]`, whose other sizes say how many products are in a sum.
#[track_caller]
pub(crate) fn check_products(problem: &Problem) {
    let kernel = problem.operands[1].shape();
    check_products_of(problem, kernel[..kernel.len() - 1].iter().product());
}

/// Checks that each element is off by at most `units` of its own magnitude plus `magnitude` times the largest
/// operand's.
#[track_caller]
pub(crate) fn check_close(problem: &Problem, units: f64, magnitude: f64) {
    let exact = problem.reference();
    let data = problem.operands.iter().flat_map(|operand| operand.as_f64().unwrap());
    let largest = data.fold(0.0, |max: f64, x| max.max(x.abs()));
    on_every_set(|| {
        for (i, (y, exact)) in problem.run().iter().zip(exact.as_f64().unwrap()).enumerate() {
            let (y, exact) = (f64::from(*y), *exact);
            let bound = units * UNIT * (exact.abs() + magnitude * largest);
            let same = y == exact || y.is_nan() && exact.is_nan();
            let (error, set) = ((y - exact).abs(), SET.get());
            assert!(
                same || error <= bound,
                "{set:?}: element {i} is {y}, exactly {exact}: off by {error:e}, more than {bound:e}"
            );
        }
    });
}
