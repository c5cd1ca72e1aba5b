//! The state of an import while layers are called: the graph and outline so far, and the weights asked for.

mod body;
mod masks;
mod states;

pub(crate) use body::Body;
pub(crate) use masks::Meeting;
pub(crate) use states::ExposedStates;

use crate::diagnosis::{Given, History, explained};
use crate::layer::{Kind, LayerObject};
use crate::weights::{LateBound, Request, Weight, WeightSpec};
use crate::{Error, KerasVersion, Result};
use k2o_core::ops::ReshapeDim;
use k2o_core::{
    CallId, Constant, ConstantExpr, DType, Data, Dim, GraphBuilder, LayerCall, Op, Operand, Outline, Shape,
    Tensor as Array, TensorType, ValueId, WeightInfo, ops,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most axes of a tensor, as in NumPy.
pub(crate) const MAX_RANK: usize = 64;

pub(crate) fn too_many_axes(rank: usize) -> Error {
    Error::limit(format!("a tensor of {rank} axes; {MAX_RANK} are allowed"))
}

/// What a layer gives and takes: a value of the graph and, where Keras has one, its mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tensor {
    value: Option<ValueId>,
    mask: Option<ValueId>,
    from: Option<(CallId, usize)>,
}

impl Tensor {
    /// The output of something that failed.
    pub(crate) const UNKNOWN: Tensor = Tensor { value: None, mask: None, from: None };

    /// Whether it came from something that failed.
    pub(crate) fn is_unknown(&self) -> bool {
        self.value.is_none()
    }

    pub(crate) fn value(&self) -> Option<ValueId> {
        self.value
    }

    /// Which steps count, `[batch, steps]`, where the tensor has a mask.
    pub fn mask(&self) -> Option<Tensor> {
        self.mask.map(Tensor::from)
    }

    /// The same tensor with another mask, or none.
    #[must_use]
    pub fn with_mask(self, mask: Option<Tensor>) -> Tensor {
        Tensor { mask: mask.and_then(|mask| mask.value), ..self }
    }
}

impl From<ValueId> for Tensor {
    fn from(value: ValueId) -> Tensor {
        Tensor { value: Some(value), mask: None, from: None }
    }
}

/// One argument of a layer call.
#[derive(Clone, Debug)]
pub enum Arg {
    /// Another layer's output.
    Tensor(Tensor),
    /// Several arguments in one.
    List(Vec<Arg>),
    /// Something written in the config.
    Constant(Value),
}

impl Arg {
    /// Whether it is Python's `None`, or a list of nothing else: no mask for any of several inputs.
    pub(crate) fn is_none(&self) -> bool {
        match self {
            Arg::Constant(value) => value.is_null(),
            Arg::List(args) => args.iter().all(Arg::is_none),
            Arg::Tensor(_) => false,
        }
    }
}

/// The arguments of one layer call.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// Arguments by position.
    pub args: Vec<Arg>,
    /// Arguments by name.
    pub kwargs: BTreeMap<String, Arg>,
}

impl Call {
    /// A call with one tensor.
    pub fn of(tensor: Tensor) -> Call {
        Call { args: vec![Arg::Tensor(tensor)], kwargs: BTreeMap::new() }
    }

    /// Every tensor among the arguments, in order.
    pub(crate) fn tensors(&self) -> Vec<Tensor> {
        fn collect(arg: &Arg, out: &mut Vec<Tensor>) {
            match arg {
                Arg::Tensor(tensor) => out.push(*tensor),
                Arg::List(args) => args.iter().for_each(|arg| collect(arg, out)),
                Arg::Constant(_) => {}
            }
        }
        let mut tensors = Vec::new();
        self.args.iter().chain(self.kwargs.values()).for_each(|arg| collect(arg, &mut tensors));
        tensors
    }

    /// The tensors of the first argument; an error where there are other arguments than those that do not matter
    /// at inference.
    pub fn inputs(&self) -> Result<Vec<Tensor>> {
        for (name, arg) in &self.kwargs {
            let harmless = arg.is_none() || name == "training";
            if !harmless && name != "inputs" && name != "inputs_or_list" {
                return Err(Error::unsupported(format!("the call argument `{name}` is not supported")));
            }
        }
        let others = self.args.get(1..).unwrap_or_default();
        if others.iter().any(|arg| !matches!(arg, Arg::Constant(Value::Null | Value::Bool(_)))) {
            return Err(Error::unsupported("a second positional argument is not supported"));
        }
        Ok(self.tensors())
    }

    /// The only tensor.
    pub fn input(&self) -> Result<Tensor> {
        match self.inputs()?.as_slice() {
            [tensor] => Ok(*tensor),
            tensors => Err(Error::malformed(format!("one input was expected; {} were given", tensors.len()))),
        }
    }
}

/// What a call gave: its tensors, and whether there may be more that are unknown.
#[derive(Clone, Debug)]
pub(crate) struct Outputs {
    pub tensors: Vec<Tensor>,
    pub complete: bool,
}

impl Outputs {
    /// Output `index`: unknown where the call failed, an error where it has no such output.
    pub fn get(&self, index: usize) -> Result<Tensor> {
        match self.tensors.get(index) {
            Some(tensor) => Ok(*tensor),
            None if !self.complete => Ok(Tensor::UNKNOWN),
            None => {
                Err(Error::malformed(format!("output {index} of a layer that has {}", self.tensors.len())))
            }
        }
    }
}

/// The import in progress; layers add to it in [`Layer::lower`](crate::Layer::lower).
pub struct Lowering {
    version: KerasVersion,
    pub(crate) meeting: Meeting,
    pub(crate) builder: GraphBuilder,
    pub(crate) outline: Outline,
    pub(crate) requests: Vec<Request>,
    pub(crate) errors: Vec<Error>,
    /// What each layer object has been through, by its id.
    objects: BTreeMap<usize, ObjectState>,
    stack: Vec<Frame>,
    /// The graphs around the one that is being added to, outermost first.
    bodies: Vec<Body>,
    pub(crate) states: ExposedStates,
    /// How many more layer calls there may be, and how many bytes of their paths.
    pub(crate) calls_left: usize,
    pub(crate) text_left: u64,
    is_exhausted: bool,
}

#[derive(Debug, Default)]
struct ObjectState {
    calls: usize,
    weights: Option<Vec<Weight>>,
    constants: Vec<(Weight, Operand)>,
}

/// One layer call in progress.
#[derive(Debug)]
struct Frame {
    call: CallId,
    object: usize,
    name: String,
    path: String,
    place: String,
    store: String,
    trainable: bool,
    is_model: bool,
    input: Option<Shape>,
}

impl Lowering {
    pub(crate) fn new(version: KerasVersion, name: &str) -> Lowering {
        Lowering {
            version,
            meeting: Meeting::of(version, None),
            builder: GraphBuilder::new(),
            outline: Outline { name: name.to_string(), calls: Vec::new() },
            requests: Vec::new(),
            errors: Vec::new(),
            objects: BTreeMap::new(),
            stack: Vec::new(),
            bodies: Vec::new(),
            states: ExposedStates::default(),
            calls_left: usize::MAX,
            text_left: u64::MAX,
            is_exhausted: false,
        }
    }

    /// The version of Keras that wrote the model.
    pub fn version(&self) -> KerasVersion {
        self.version
    }

    /// Calls a layer. Errors are noted; the outputs are unknown then, and where an input is.
    pub(crate) fn call(&mut self, object: &LayerObject, call: &Call) -> Outputs {
        if !self.may_call(object) {
            return Outputs { tensors: Vec::new(), complete: false };
        }
        let inputs = call.tensors();
        let id = self.begin(object, &inputs);
        let outcome = match &object.kind {
            Kind::Broken => Ok(Outputs { tensors: Vec::new(), complete: false }),
            Kind::Model(model) => model.lower(self, call),
            Kind::Leaf(_) if inputs.iter().any(Tensor::is_unknown) => {
                Ok(Outputs { tensors: Vec::new(), complete: false })
            }
            Kind::Leaf(layer) => self.lower_leaf(layer.as_ref(), call),
        };
        let outputs = outcome.and_then(|outputs| self.check_ranks(outputs)).unwrap_or_else(|error| {
            let place = self.place();
            let error = self.explained(error, &object.class, &inputs);
            self.errors.push(error.within(place));
            Outputs { tensors: Vec::new(), complete: false }
        });
        self.end(id, outputs)
    }

    /// Counts a call: a model inside another that calls it twice, and so on, has calls without end.
    fn may_call(&mut self, object: &LayerObject) -> bool {
        let around = self.stack.last().map_or(0, |frame| frame.path.len() + 1);
        let text = (around + object.name.len()) as u64;
        let left = self.calls_left.checked_sub(1).zip(self.text_left.checked_sub(text));
        match left {
            Some((calls, text)) => (self.calls_left, self.text_left) = (calls, text),
            None if self.is_exhausted => {}
            None => {
                self.is_exhausted = true;
                let message = "the model has more layer calls than are allowed, those of models inside it counted \
                               each time";
                self.errors.push(Error::limit(message).within(self.place_of(object)));
            }
        }
        left.is_some()
    }

    fn place_of(&self, object: &LayerObject) -> String {
        match self.stack.last() {
            Some(frame) => format!("{}: {}", frame.place, object.place()),
            None => object.place(),
        }
    }

    /// The outputs of a child layer, which must be known.
    pub fn call_child(&mut self, object: &LayerObject, call: &Call) -> Result<Vec<Tensor>> {
        let outputs = self.call(object, call);
        Ok(outputs.tensors)
    }

    /// What `lower` adds as part of a call of the child layer `object`: its weights are the child's.
    pub(crate) fn within_child<T>(
        &mut self,
        object: &LayerObject,
        input: Tensor,
        lower: impl FnOnce(&mut Lowering) -> Result<T>,
    ) -> Result<T> {
        let id = self.begin(object, &[input]);
        let outcome = lower(self);
        self.end(id, Outputs { tensors: Vec::new(), complete: false });
        outcome
    }

    fn check_ranks(&self, outputs: Outputs) -> Result<Outputs> {
        for value in outputs.tensors.iter().filter_map(|tensor| tensor.value) {
            let rank = self.builder.type_of(value).shape.rank();
            if rank > MAX_RANK {
                return Err(too_many_axes(rank));
            }
        }
        Ok(outputs)
    }

    fn begin(&mut self, object: &LayerObject, inputs: &[Tensor]) -> CallId {
        let id = CallId(self.outline.calls.len());
        let parent = self.stack.last();
        let path = match parent {
            Some(frame) => format!("{}/{}", frame.path, object.name),
            None => object.name.clone(),
        };
        let state = self.objects.entry(object.id).or_default();
        let repetition = state.calls;
        state.calls += 1;
        // Keras 3 freezes these two before they have the layers that it would freeze with them.
        let has_own =
            self.version < KerasVersion::V3 || !matches!(object.class.as_str(), "Bidirectional" | "RNN");
        let trainable = (object.trainable || !has_own) && parent.is_none_or(|frame| frame.trainable);
        let parent_call = parent.map(|frame| frame.call);
        self.outline.calls.push(LayerCall {
            path: path.clone(),
            name: object.name.clone(),
            class: object.class.clone(),
            parent: parent_call,
            object: object.id,
            repetition,
            outputs: Vec::new(),
            inputs: inputs.iter().filter_map(|tensor| tensor.from).collect(),
            weights: Vec::new(),
        });
        let input =
            inputs.first().and_then(|tensor| tensor.value).map(|value| self.builder.type_of(value).shape);
        self.stack.push(Frame {
            call: id,
            object: object.id,
            name: object.name.clone(),
            path,
            place: object.place(),
            store: object.store.clone(),
            trainable,
            is_model: matches!(object.kind, Kind::Model(_)),
            input,
        });
        self.builder.within(Some(id));
        id
    }

    fn end(&mut self, id: CallId, mut outputs: Outputs) -> Outputs {
        self.stack.pop();
        self.builder.within(self.stack.last().map(|frame| frame.call));
        let mut shapes = Vec::new();
        for (index, tensor) in outputs.tensors.iter_mut().enumerate() {
            if let Some(value) = tensor.value {
                self.builder.tap(id, index, Some(value));
                shapes.push(Some(self.builder.type_of(value).shape));
                tensor.from = Some((id, index));
            } else {
                shapes.push(None);
            }
        }
        if let Some(call) = self.outline.calls.get_mut(id.0) {
            call.outputs = shapes;
        }
        outputs
    }

    /// Records an input layer's call, whose output is an input of the graph or an argument of a nested model.
    pub(crate) fn input_call(&mut self, object: &LayerObject, tensor: Tensor) -> Tensor {
        let id = self.begin(object, &[tensor]);
        let outputs = self.end(id, Outputs { tensors: vec![tensor], complete: true });
        outputs.tensors.first().copied().unwrap_or(Tensor::UNKNOWN)
    }

    /// `layer "block/dense" (Dense)`: the place of the call in progress.
    fn place(&self) -> String {
        match self.stack.last() {
            Some(frame) if frame.path != frame.name => frame.place.replacen(&frame.name, &frame.path, 1),
            Some(frame) => frame.place.clone(),
            None => "the model".to_string(),
        }
    }

    /// A shape error with the shapes that led to it, and what would mend it.
    fn explained(&self, error: Error, class: &str, inputs: &[Tensor]) -> Error {
        if error.kind() != crate::ErrorKind::ShapeMismatch {
            return error;
        }
        let given = |tensor: &Tensor| {
            let shape = self.builder.type_of(tensor.value?).shape;
            Some(Given { shape, from: tensor.from.map(|(call, _)| call) })
        };
        let inputs: Vec<Given> = inputs.iter().filter_map(given).collect();
        let first = self.builder.graph().inputs().first();
        let start = first.map(|port| self.builder.type_of(port.value).shape);
        explained(error, &History { outline: &self.outline, start }, class, &inputs)
    }

    /// Shape and element type of a tensor.
    pub fn type_of(&self, tensor: Tensor) -> Result<TensorType> {
        let value = tensor.value.ok_or_else(|| Error::malformed("an unknown tensor"))?;
        Ok(self.builder.type_of(value))
    }

    /// The shape of a tensor.
    pub fn shape(&self, tensor: Tensor) -> Result<Shape> {
        Ok(self.type_of(tensor)?.shape)
    }

    /// The number of elements along the last axis, which must be known.
    pub fn channels(&self, tensor: Tensor) -> Result<usize> {
        let shape = self.shape(tensor)?;
        self.size(tensor, shape.rank().saturating_sub(1))
    }

    /// The number of elements along `axis`, which must be known.
    pub fn size(&self, tensor: Tensor, axis: usize) -> Result<usize> {
        let shape = self.shape(tensor)?;
        shape.get(axis).and_then(Dim::as_usize).ok_or_else(|| {
            let message = format!("axis {axis} of the input {shape} must have a known size");
            Error::from(k2o_core::Error::shape(message))
        })
    }

    /// Adds an operator with one output that reads tensors and constants.
    pub fn add(&mut self, op: impl Into<Op>, inputs: &[Operand]) -> Result<Tensor> {
        Ok(self.builder.add(op.into(), inputs.iter().copied())?.into())
    }

    /// Adds an operator and returns its outputs.
    pub fn add_all(&mut self, op: impl Into<Op>, inputs: &[Operand]) -> Result<Vec<Tensor>> {
        let outputs = self.builder.add_all(op.into(), inputs.to_vec())?;
        Ok(outputs.into_iter().map(Tensor::from).collect())
    }

    /// Adds an operator on one floating-point tensor.
    pub fn apply(&mut self, op: impl Into<Op>, input: Tensor) -> Result<Tensor> {
        let operand = self.operand(input)?;
        self.add(op, &[operand])
    }

    /// Adds an operator that only moves elements of one tensor, whatever they are.
    pub fn rearrange(&mut self, op: impl Into<Op>, input: Tensor) -> Result<Tensor> {
        let operand = self.any_operand(input)?;
        self.add(op, &[operand])
    }

    /// Adds a reshape; `like` is what [`ReshapeDim::Like`] dimensions are taken from.
    ///
    /// Dimensions that are numbers are written as such, and one that is left becomes [`ReshapeDim::Infer`].
    pub fn reshape(
        &mut self,
        target: Vec<ReshapeDim>,
        input: Tensor,
        like: Option<Tensor>,
    ) -> Result<Tensor> {
        let shape = self.shape(input)?;
        let like_shape = like.map(|like| self.shape(like)).transpose()?;
        let mut reshape = ops::Reshape::with_numbers(target, &shape, like_shape.as_ref());
        let is_open = |dim: &&mut ReshapeDim| !matches!(dim, ReshapeDim::Fixed(_) | ReshapeDim::Keep);
        if let [open] = reshape.target.iter_mut().filter(is_open).collect::<Vec<_>>().as_mut_slice() {
            **open = ReshapeDim::Infer;
        }
        let mut operands = vec![self.any_operand(input)?];
        if let Some(like) = like
            && reshape.target.iter().any(|dim| matches!(dim, ReshapeDim::Like(_)))
        {
            operands.push(self.any_operand(like)?);
        }
        self.add(reshape, &operands)
    }

    /// The tensor with its first `axes` axes as one.
    pub fn merge_leading(&mut self, axes: usize, input: Tensor) -> Result<Tensor> {
        let rank = self.shape(input)?.rank();
        let target = std::iter::once(ReshapeDim::Infer).chain((axes..rank).map(ReshapeDim::Of));
        self.reshape(target.collect(), input, None)
    }

    /// The tensor with its first axis split into the first `axes` axes of `like`.
    pub fn split_leading(&mut self, axes: usize, input: Tensor, like: Tensor) -> Result<Tensor> {
        let rank = self.shape(input)?.rank();
        let target = (0..axes).map(ReshapeDim::Like).chain((1..rank).map(ReshapeDim::Of));
        self.reshape(target.collect(), input, Some(like))
    }

    /// The tensor with integers and truth values as floating-point numbers.
    pub fn to_float(&mut self, tensor: Tensor) -> Result<Tensor> {
        match self.type_of(tensor)?.dtype.is_float() {
            true => Ok(tensor),
            false => self.rearrange(ops::Cast { to: DType::F32 }, tensor),
        }
    }

    /// The tensor as an operand; it must hold floating-point numbers.
    pub fn operand(&self, tensor: Tensor) -> Result<Operand> {
        let r#type = self.type_of(tensor)?;
        if !r#type.dtype.is_float() {
            let message = format!("an input of {} is not supported here", r#type.dtype);
            return Err(Error::unsupported(message));
        }
        self.any_operand(tensor)
    }

    /// The tensor as an operand, whatever its elements.
    pub fn any_operand(&self, tensor: Tensor) -> Result<Operand> {
        tensor.value.map(Operand::Value).ok_or_else(|| Error::malformed("an unknown tensor"))
    }

    /// Fixed numbers that the layer computes with, named after it, as an operand.
    pub fn literal(&mut self, name: &str, numbers: Array) -> Result<Operand> {
        let dtype = if matches!(numbers.data(), Data::I64(_)) { DType::I64 } else { DType::F32 };
        self.literal_of(name, dtype, numbers)
    }

    /// Fixed numbers of a certain type.
    pub(crate) fn literal_of(&mut self, name: &str, dtype: DType, numbers: Array) -> Result<Operand> {
        let path = self.stack.last().map_or("", |frame| frame.path.as_str());
        let constant =
            Constant { name: format!("{path}/{name}"), dtype, expr: ConstantExpr::literal(numbers) };
        self.add_constant(constant)
    }

    /// The layer's weights, declared all at once in Keras's creation order. A second call of the same layer gets
    /// the same weights; they must have the same shapes then.
    pub fn weights(&mut self, specs: &[WeightSpec]) -> Result<Vec<Weight>> {
        let place = self.place();
        let Some(frame) = self.stack.last() else { return Err(Error::malformed("weights outside a layer")) };
        let state = self.objects.entry(frame.object).or_default();
        let slots: Vec<Arc<LateBound>> =
            specs.iter().map(|spec| Arc::new(LateBound::new(spec.shape.clone()))).collect();
        let weight = |(spec, slot): (&WeightSpec, &Arc<LateBound>)| Weight {
            name: format!("{}/{}", frame.path, spec.name),
            expr: ConstantExpr::stored(slot.clone()),
        };
        let is_known = state.weights.is_some();
        let weights =
            state.weights.get_or_insert_with(|| specs.iter().zip(&slots).map(weight).collect()).clone();
        let own = specs.iter().zip(&weights).filter(|(spec, _)| !spec.repeated);
        let infos = own.map(|(spec, weight)| WeightInfo {
            name: spec.name.to_string(),
            shape: spec.shape.clone(),
            trainable: spec.trainable && frame.trainable,
            bound: false,
            expr: weight.expr.clone(),
        });
        if let Some(call) = self.outline.calls.get_mut(frame.call.0) {
            call.weights = infos.collect();
        }
        if is_known {
            let same = weights.len() == specs.len()
                && weights.iter().zip(specs).all(|(weight, spec)| weight.expr.shape() == spec.shape);
            return match same {
                true => Ok(weights),
                false => Err(Error::from(k2o_core::Error::shape(
                    "the layer is shared, but its calls imply weights of different shapes",
                ))),
            };
        }
        self.requests.push(Request {
            call: frame.call,
            place,
            names: self.stack.iter().map(|frame| frame.name.clone()).collect(),
            scopes: self
                .stack
                .iter()
                .rev()
                .take_while(|frame| !frame.is_model)
                .map(|f| f.name.clone())
                .collect(),
            store: frame.store.clone(),
            input: frame.input.clone(),
            specs: specs.to_vec(),
            slots,
        });
        Ok(weights)
    }

    /// A weight, or something computed from weights, as an operand; the same one for the same weight.
    pub fn constant(&mut self, weight: &Weight) -> Result<Operand> {
        let object = self.stack.last().map_or(usize::MAX, |frame| frame.object);
        let known = self.objects.get(&object).into_iter().flat_map(|state| &state.constants);
        if let Some((_, operand)) = known.clone().find(|(known, _)| known.is_same(weight)) {
            return self.bring_in(*operand, 0);
        }
        let constant = Constant { name: weight.name.clone(), dtype: DType::F32, expr: weight.expr.clone() };
        let operand = Operand::from(self.outermost().constant(constant)?);
        self.objects.entry(object).or_default().constants.push((weight.clone(), operand));
        self.bring_in(operand, 0)
    }

    /// Something computed from numbers in the config, named after the layer in progress.
    pub fn named(&self, name: &str, expr: ConstantExpr) -> Weight {
        let path = self.stack.last().map_or("", |frame| frame.path.as_str());
        Weight { name: format!("{path}/{name}"), expr }
    }

    /// The shape of a child layer's weight, once the child was called.
    pub(crate) fn weight_shape(&self, object: &LayerObject, name: &str) -> Option<Vec<usize>> {
        let weights = self.objects.get(&object.id)?.weights.as_ref()?;
        let weight = weights.iter().find(|weight| weight.name.rsplit('/').next() == Some(name))?;
        Some(weight.expr.shape().to_vec())
    }

    /// The tensor with its channels, which stand at axis 1, moved to the last axis.
    pub fn channels_last(&mut self, tensor: Tensor) -> Result<Tensor> {
        let rank = self.shape(tensor)?.rank();
        let permutation = std::iter::once(0).chain(2..rank).chain([1]).take(rank).collect();
        self.rearrange(ops::Transpose { permutation }, tensor)
    }

    /// The tensor with its channels, which stand last, moved to axis 1.
    pub fn channels_first(&mut self, tensor: Tensor) -> Result<Tensor> {
        let rank = self.shape(tensor)?.rank();
        let permutation = [0, rank.saturating_sub(1)].into_iter().chain(1..rank.saturating_sub(1)).collect();
        self.rearrange(ops::Transpose { permutation }, tensor)
    }
}
