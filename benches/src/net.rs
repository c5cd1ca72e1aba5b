//! Graphs of one layer, with made-up weights.

use k2o::core::{
    Constant, ConstantExpr, DType, Dim, Graph, GraphBuilder, Op, Operand, Padding, Shape, Tensor, TensorType,
    Window, ops,
};

/// What becomes of a layer's input.
pub type Made = k2o::core::Result<Operand>;

/// A graph of one layer on an input of these sizes.
///
/// # Errors
/// Where the layer cannot be on such an input.
pub fn graph(
    sizes: impl Into<Vec<Dim>>,
    layer: impl FnOnce(&mut Net, Operand) -> Made,
) -> k2o::core::Result<Graph> {
    let mut net = Net(GraphBuilder::new());
    let x = net.0.input("x", TensorType::new(Shape::new(sizes), DType::F32))?;
    let y = layer(&mut net, x.into())?;
    if let Some(y) = y.value() {
        net.0.output("y", y);
    }
    Ok(net.0.finish())
}

/// A graph of one layer as it is built.
pub struct Net(GraphBuilder);

impl Net {
    /// The first output of an operator.
    pub fn add(&mut self, op: impl Into<Op>, operands: Vec<Operand>) -> Made {
        Ok(self.0.add_all(op.into(), operands)?[0].into())
    }

    /// Weights that keep what they are applied to as large as it was: so many terms are in a sum.
    pub fn weights(&mut self, shape: &[usize], terms: usize) -> Made {
        let mut random = fastrand::Rng::with_seed(7);
        let largest = (3.0 / terms as f64).sqrt();
        let data = (0..shape.iter().product()).map(|_| (2.0 * random.f64() - 1.0) * largest).collect();
        let expr = ConstantExpr::literal(Tensor::f64(shape, data)?);
        Ok(self.0.constant(Constant { name: "w".into(), dtype: DType::F32, expr })?.into())
    }

    /// A convolution from `channels` to `filters` in `groups`, with bias.
    pub fn conv(
        &mut self,
        x: Operand,
        window: Window,
        [channels, filters]: [usize; 2],
        groups: usize,
    ) -> Made {
        let taps = window.size() as usize;
        let kernel = self.weights(&[taps, channels / groups, filters], taps * channels / groups)?;
        let bias = self.weights(&[filters], 1)?;
        self.add(ops::Conv { windows: vec![window], groups }, vec![x, kernel, bias])
    }

    /// A product with a matrix, and bias.
    pub fn dense(&mut self, x: Operand, [inputs, units]: [usize; 2]) -> Made {
        let (kernel, bias) = (self.weights(&[inputs, units], inputs)?, self.weights(&[units], 1)?);
        self.add(ops::Dense, vec![x, kernel, bias])
    }

    /// The largest of windows of `size` steps that do not overlap.
    pub fn max_pool(&mut self, x: Operand, size: i64) -> Made {
        let window = Window::new(size, size, 1, Padding::Explicit(0, 0))?;
        self.add(ops::Pool { kind: ops::PoolKind::Max, windows: vec![window] }, vec![x])
    }

    /// Keras's default LSTM, all steps.
    pub fn lstm(&mut self, x: Operand, [channels, units]: [usize; 2]) -> Made {
        let (activation, recurrent_activation) = (Some(ops::Unary::Tanh), Some(ops::Unary::Sigmoid));
        let operands = self.recurrent(x, [channels, units], 4)?;
        self.add(ops::Lstm { activation, recurrent_activation, recurrence: recurrence() }, operands)
    }

    /// The GRU of two biases, all steps.
    pub fn gru(&mut self, x: Operand, [channels, units]: [usize; 2]) -> Made {
        let (activation, recurrent_activation) = (Some(ops::Unary::Tanh), Some(ops::Unary::Sigmoid));
        let mut operands = self.recurrent(x, [channels, units], 3)?;
        operands[3] = self.weights(&[2, 3 * units], 1)?;
        let recurrence = recurrence();
        self.add(ops::Gru { activation, recurrent_activation, reset_after: true, recurrence }, operands)
    }

    fn recurrent(
        &mut self,
        x: Operand,
        [channels, units]: [usize; 2],
        gates: usize,
    ) -> k2o::core::Result<Vec<Operand>> {
        let kernel = self.weights(&[channels, gates * units], channels)?;
        let recurrent = self.weights(&[units, gates * units], units)?;
        Ok(vec![x, kernel, recurrent, self.weights(&[gates * units], 1)?])
    }
}

fn recurrence() -> ops::Recurrence {
    ops::Recurrence { has_bias: true, ..ops::Recurrence::default() }
}
