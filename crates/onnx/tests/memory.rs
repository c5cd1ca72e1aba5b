//! The memory that writing a file takes does not grow with the number of its weights. Alone in its file, because what
//! other tests allocate would count.

#![allow(clippy::unwrap_used, reason = "the helpers of tests fail by panic too")]

use k2o_core::ops::{Affine, Conv, ConvTranspose, Dense, Lstm, Recurrence, Reshape, Spread, Unary};
use k2o_core::{
    Constant, ConstantExpr, DType, Dim, Graph, GraphBuilder, Op, Operand, Outline, Padding, Shape,
    StoredTensor, TensorType, ValueId, Window, rewrite,
};
use k2o_onnx::{ExportOptions, export};
use peak_alloc::PeakAlloc;
use std::io::{self, Write};
use std::sync::Arc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

const MIB: usize = 1 << 20;

/// A weight whose elements are made when they are read.
#[derive(Debug)]
struct Made(Vec<usize>);

impl StoredTensor for Made {
    fn shape(&self) -> &[usize] {
        &self.0
    }

    fn dtype(&self) -> DType {
        DType::F32
    }

    fn read(&self) -> k2o_core::Result<Vec<u8>> {
        Ok(0.5f32.to_le_bytes().repeat(self.0.iter().product()))
    }
}

/// A model in the making, of layers one after the other.
struct Network {
    builder: GraphBuilder,
    last: ValueId,
    /// The bytes of all weights, and of the largest.
    total: usize,
    largest: usize,
}

impl Network {
    fn new(steps: i64, channels: i64) -> Network {
        let mut builder = GraphBuilder::new();
        let shape = Shape::new([Dim::symbol("batch"), Dim::fixed(steps), Dim::fixed(channels)]);
        let last = builder.input("x", TensorType::new(shape, DType::F32)).unwrap();
        Network { builder, last, total: 0, largest: 0 }
    }

    /// The sizes of what comes last, the batch aside.
    fn sizes(&self) -> Vec<usize> {
        let shape = &self.builder.type_of(self.last).shape;
        (1..shape.rank()).map(|axis| shape[axis].as_usize().unwrap()).collect()
    }

    fn channels(&self) -> usize {
        *self.sizes().last().unwrap()
    }

    /// Adds an operator with weights of these shapes.
    fn add(&mut self, op: impl Into<Op>, weights: &[&[usize]]) -> &mut Network {
        let mut operands = vec![Operand::from(self.last)];
        for shape in weights {
            let bytes = shape.iter().product::<usize>() * 4;
            (self.total, self.largest) = (self.total + bytes, self.largest.max(bytes));
            let expr = ConstantExpr::stored(Arc::new(Made(shape.to_vec())));
            let constant = Constant { name: format!("{}/w", self.total), dtype: DType::F32, expr };
            operands.push(self.builder.constant(constant).unwrap().into());
        }
        self.last = self.builder.add_all(op.into(), operands).unwrap()[0];
        self
    }

    fn conv(&mut self, taps: usize, filters: usize, groups: usize) -> &mut Network {
        let windows = vec![Window::new(taps as i64, 1, 1, Padding::Explicit(0, 0)).unwrap()];
        let channels = self.channels() / groups;
        self.add(Conv { windows, groups }, &[&[taps, channels, filters], &[filters]])
    }

    fn conv_transpose(&mut self, taps: usize, filters: usize) -> &mut Network {
        let windows = vec![Spread::new(taps as i64, 1, 1, (0, 0), 0).unwrap()];
        let channels = self.channels();
        self.add(ConvTranspose { windows }, &[&[taps, channels, filters], &[filters]])
    }

    /// As in Keras: scale and shift are computed.
    fn batch_norm(&mut self) -> &mut Network {
        let n = self.channels();
        let stored = || ConstantExpr::stored(Arc::new(Made(vec![n])));
        let scale =
            stored().div(&stored().add(&ConstantExpr::filled(&[], 1e-3).unwrap()).unwrap().sqrt()).unwrap();
        let shift = stored().sub(&stored().mul(&scale).unwrap()).unwrap();
        let mut operands = vec![Operand::from(self.last)];
        for expr in [scale, shift] {
            let constant = Constant { name: "norm/w".into(), dtype: DType::F32, expr };
            operands.push(self.builder.constant(constant).unwrap().into());
        }
        let axis = self.sizes().len();
        self.last = self.builder.add(Affine { axis }, operands).unwrap();
        self
    }

    fn relu(&mut self) -> &mut Network {
        self.add(Unary::Relu, &[])
    }

    fn lstm(&mut self, units: usize) -> &mut Network {
        let inputs = self.channels();
        let recurrence = Recurrence { has_bias: true, ..Recurrence::default() };
        let (activation, recurrent_activation) = (Some(Unary::Tanh), Some(Unary::Sigmoid));
        let op = Lstm { activation, recurrent_activation, recurrence };
        self.add(op, &[&[inputs, 4 * units], &[units, 4 * units], &[4 * units]])
    }

    fn dense(&mut self, units: usize) -> &mut Network {
        let rows = self.channels();
        self.add(Dense, &[&[rows, units], &[units]])
    }

    fn done(mut self) -> Graph {
        self.builder.output("y", self.last);
        rewrite(&self.builder.finish()).unwrap()
    }
}

/// Counts what is written.
struct Sink(u64);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn memory_is_that_of_the_largest_weight_and_its_result() {
    let mut network = Network::new(64, 1024);
    // Folded backwards and forwards, with groups, and into a transposed kernel.
    network.conv(5, 4096, 1).batch_norm().relu().batch_norm().conv(5, 1024, 1).relu();
    network.conv_transpose(5, 4096).batch_norm().relu().batch_norm().conv(5, 4096, 4).relu();
    network.lstm(1024);
    for _ in 0..12 {
        network.conv(2, 1024, 1).batch_norm().relu();
    }
    // Rows of the kernel in another order, since the steps come last in the file, and scaled.
    network.batch_norm().add(Reshape::flatten(), &[]).dense(464).relu().dense(8);
    let (total, largest) = (network.total, network.largest);
    // So large that one weight more in memory would exceed the bound.
    assert!(largest > 64 * MIB && total > 6 * largest);
    let graph = network.done();
    assert!(!graph.nodes().iter().any(|node| matches!(node.op, Op::Affine(_))), "all are folded");

    let before = ALLOCATED.current_usage();
    ALLOCATED.reset_peak_usage();
    let exported = export(&graph, &Outline::default(), &ExportOptions::default()).unwrap();
    let peak = ALLOCATED.peak_usage() - before;
    assert!(peak < MIB, "{peak} bytes to export");
    let mut sink = Sink(0);
    assert_eq!(exported.write_to(&mut sink).unwrap(), sink.0);
    assert!(sink.0 > total as u64);
    let peak = ALLOCATED.peak_usage() - before;
    assert!(peak <= 64 * MIB + 2 * largest, "{peak} bytes to write weights of at most {largest}");
}
