//! Makes graphs the way a Keras importer does: layer by layer, with taps, and weights that are small random numbers.

use k2o_core::ops::{
    Affine, Binary, BinaryKind, Conv, Dense, Pool, PoolKind, Reduce, ReduceKind, Reshape, Unary,
};
use k2o_core::{
    CallId, Constant, ConstantExpr, ConstantId, DType, Dim, Graph, GraphBuilder, LayerCall, Op, Operand,
    Outline, Padding, Shape, Tensor, TensorType, ValueId, Window, rewrite,
};

/// A graph with everything that is needed to run it.
pub struct Case {
    pub name: &'static str,
    pub graph: Graph,
    pub outline: Outline,
    /// Sizes of the inputs to run it with.
    pub sizes: Vec<Vec<usize>>,
}

/// A model in the making.
#[derive(Default)]
pub struct Net {
    pub builder: GraphBuilder,
    pub outline: Outline,
    random: u64,
}

/// Numbers in [-1, 1) that are the same on every machine; each is a single-precision float.
pub fn random(state: &mut u64, n: usize) -> Vec<f64> {
    let mut next = || {
        *state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((*state >> 40) as f32 / (1u32 << 23) as f32 - 1.0) as f64
    };
    (0..n).map(|_| next()).collect()
}

/// `size`, `stride`, `dilation`.
pub fn window(size: i64, stride: i64, dilation: i64, padding: Padding) -> Window {
    Window::new(size, stride, dilation, padding).unwrap()
}

pub const VALID: Padding = Padding::Explicit(0, 0);

impl Net {
    pub fn new() -> Net {
        Net::default()
    }

    /// An input; dimensions are numbers or symbols.
    pub fn typed_input(&mut self, name: &str, dims: &str, dtype: DType) -> ValueId {
        let dim = |word: &str| word.parse().map_or_else(|_| Dim::symbol(word), Dim::fixed);
        let shape = Shape::new(dims.split_whitespace().map(dim).collect::<Vec<_>>());
        let value = self.builder.input(name, TensorType::new(shape, dtype)).unwrap();
        self.call(name, "InputLayer", 0, value);
        value
    }

    pub fn input(&mut self, name: &str, dims: &str) -> ValueId {
        self.typed_input(name, dims, DType::F32)
    }

    fn call(&mut self, path: &str, class: &str, repetition: usize, value: ValueId) {
        let call = CallId(self.outline.calls.len());
        self.begin(path, class, repetition);
        self.builder.tap(call, 0, Some(value));
    }

    /// Starts a layer's call: what is added now is within it.
    pub fn begin(&mut self, path: &str, class: &str, repetition: usize) -> CallId {
        let call = CallId(self.outline.calls.len());
        let name = path.rsplit('/').next().unwrap_or(path).to_string();
        self.outline.calls.push(LayerCall {
            path: path.into(),
            name,
            class: class.into(),
            parent: None,
            object: call.0,
            repetition,
            outputs: Vec::new(),
            inputs: Vec::new(),
            weights: Vec::new(),
        });
        self.builder.within(Some(call));
        call
    }

    /// A layer of the nodes that `body` adds.
    pub fn layer(&mut self, path: &str, class: &str, body: impl FnOnce(&mut Net) -> ValueId) -> ValueId {
        let call = self.begin(path, class, 0);
        let value = body(self);
        self.builder.tap(call, 0, Some(value));
        value
    }

    /// A layer of one node.
    pub fn op(
        &mut self,
        path: &str,
        class: &str,
        op: impl Into<Op>,
        inputs: impl IntoIterator<Item = impl Into<Operand>>,
    ) -> ValueId {
        self.layer(path, class, |net| net.builder.add(op, inputs).unwrap())
    }

    pub fn literal(&mut self, name: &str, shape: &[usize], data: Vec<f64>) -> ConstantId {
        let expr = ConstantExpr::literal(Tensor::f64(shape, data).unwrap());
        self.builder.constant(Constant { name: name.into(), dtype: DType::F32, expr }).unwrap()
    }

    pub fn weight(&mut self, name: &str, shape: &[usize]) -> ConstantId {
        let data = random(&mut self.random, shape.iter().product());
        self.literal(name, shape, data)
    }

    /// The last dimension.
    fn channels(&self, x: ValueId) -> usize {
        self.builder.type_of(x).shape.last().unwrap().as_usize().unwrap()
    }

    pub fn conv(
        &mut self,
        path: &str,
        x: ValueId,
        filters: usize,
        windows: &[Window],
        act: Option<Unary>,
    ) -> ValueId {
        self.grouped_conv(path, x, filters, windows, 1, act)
    }

    pub fn grouped_conv(
        &mut self,
        path: &str,
        x: ValueId,
        filters: usize,
        windows: &[Window],
        groups: usize,
        activation: Option<Unary>,
    ) -> ValueId {
        let channels = self.channels(x) / groups;
        let shape: Vec<usize> =
            windows.iter().map(|w| w.size() as usize).chain([channels, filters]).collect();
        let kernel = self.weight(&format!("{path}/kernel"), &shape);
        let bias = self.weight(&format!("{path}/bias"), &[filters]);
        let class = format!("Conv{}D", windows.len());
        self.layer(path, &class, |net| {
            let op = Conv { windows: windows.to_vec(), groups };
            let y = net.builder.add(op, [x.into(), Operand::from(kernel), bias.into()]).unwrap();
            net.activate(y, activation)
        })
    }

    pub fn dense(&mut self, path: &str, x: ValueId, units: usize, activation: Option<Unary>) -> ValueId {
        let rows = self.channels(x);
        let kernel = self.weight(&format!("{path}/kernel"), &[rows, units]);
        let bias = self.weight(&format!("{path}/bias"), &[units]);
        self.layer(path, "Dense", |net| {
            let y = net.builder.add(Dense, [x.into(), Operand::from(kernel), bias.into()]).unwrap();
            net.activate(y, activation)
        })
    }

    fn activate(&mut self, x: ValueId, activation: Option<Unary>) -> ValueId {
        activation.map_or(x, |activation| self.builder.add(activation, [x]).unwrap())
    }

    /// A scale, of which some are negative, and a shift.
    pub fn batch_norm(&mut self, path: &str, x: ValueId) -> ValueId {
        let channels = self.channels(x);
        let scale = self.weight(&format!("{path}/scale"), &[channels]);
        let shift = self.weight(&format!("{path}/shift"), &[channels]);
        let axis = self.builder.type_of(x).shape.rank() - 1;
        self.op(path, "BatchNormalization", Affine { axis }, [x.into(), Operand::from(scale), shift.into()])
    }

    pub fn max_pool(&mut self, path: &str, x: ValueId, windows: &[Window]) -> ValueId {
        let class = format!("MaxPooling{}D", windows.len());
        self.op(path, &class, Pool { kind: PoolKind::Max, windows: windows.to_vec() }, [x])
    }

    pub fn average_pool(&mut self, path: &str, x: ValueId, windows: &[Window]) -> ValueId {
        let class = format!("AveragePooling{}D", windows.len());
        self.op(path, &class, Pool { kind: PoolKind::Average, windows: windows.to_vec() }, [x])
    }

    /// Over all axes between batch and channels.
    pub fn global(&mut self, path: &str, x: ValueId, kind: ReduceKind, keep_dims: bool) -> ValueId {
        let axes = (1..self.builder.type_of(x).shape.rank() - 1).collect();
        self.op(path, "GlobalPooling", Reduce { kind, axes, keep_dims }, [x])
    }

    pub fn flatten(&mut self, path: &str, x: ValueId) -> ValueId {
        self.op(path, "Flatten", Reshape::flatten(), [x])
    }

    pub fn binary(
        &mut self,
        path: &str,
        kind: BinaryKind,
        a: impl Into<Operand>,
        b: impl Into<Operand>,
    ) -> ValueId {
        self.op(path, "Merge", Binary { kind }, [a.into(), b.into()])
    }

    pub fn output(&mut self, name: &str, x: ValueId) {
        self.builder.output(name, x);
    }

    /// The finished case, rewritten.
    pub fn done(self, name: &'static str, sizes: &[&[usize]]) -> Case {
        let case = self.unrewritten(name, sizes);
        Case { graph: rewrite(&case.graph).unwrap(), ..case }
    }

    /// The finished case, not rewritten.
    pub fn unrewritten(self, name: &'static str, sizes: &[&[usize]]) -> Case {
        let sizes = sizes.iter().map(|sizes| sizes.to_vec()).collect();
        Case { name, graph: self.builder.finish(), outline: self.outline, sizes }
    }
}
