//! `Functional`: layers connected by tensors. <https://keras.io/api/models/model/>
//!
//! Each layer lists its calls as `inbound_nodes`. Keras 2 writes a call as `[[layer, node, tensor, kwargs], ..]`,
//! Keras 3 as `{"args": [..], "kwargs": {..}}` with `__keras_tensor__` objects; which one is decided per call, since
//! `.h5` files of Keras 3 mix old and new.

use super::{Symbols, layer_list, layer_objects};
use crate::archive::shown;
use crate::build::Build;
use crate::fields::{brief, in_config};
use crate::layer::{Kind, LayerObject};
use crate::lowering::{Arg, Call, Lowering, Outputs, Tensor};
use crate::{Error, Result};
use k2o_core::TensorType;
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// A graph of layer calls.
#[derive(Debug)]
pub(crate) struct Functional {
    layers: Vec<LayerObject>,
    calls: Vec<Planned>,
    inputs: Vec<Input>,
    outputs: Vec<Reference>,
}

#[derive(Debug)]
struct Input {
    layer: usize,
    name: String,
    config: Value,
}

/// One call of a layer, before the tensors are known.
#[derive(Debug)]
struct Planned {
    layer: usize,
    node: usize,
    args: Vec<Template>,
    kwargs: BTreeMap<String, Template>,
}

/// An argument, before the tensors are known.
#[derive(Debug)]
enum Template {
    Tensor(Reference),
    List(Vec<Template>),
    Constant(Value),
}

/// `[layer, node, tensor]`: an output of one call of a layer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Reference {
    layer: usize,
    node: usize,
    tensor: usize,
}

impl Functional {
    pub fn from_config(config: &Value, build: &mut Build, store: &str) -> Result<Functional> {
        let descriptions = layer_list(config)?;
        let layers = layer_objects(descriptions, build, store, |_| true)?;
        let mut names = Names::new(descriptions, &layers)?;
        let mut calls = Vec::new();
        for (layer, description) in descriptions.iter().enumerate() {
            let nodes = description.get("inbound_nodes").and_then(Value::as_array);
            for (node, inbound) in nodes.into_iter().flatten().enumerate() {
                let place = format!("layer {:?}: `inbound_nodes[{node}]`", names.name(layer));
                let (args, kwargs) = names.call(inbound).map_err(|error| error.within(place))?;
                calls.push(Planned { layer, node, args, kwargs });
            }
        }
        let inputs = names.references(config.get("input_layers"), "input_layers")?;
        let outputs = names.references(config.get("output_layers"), "output_layers")?;
        names.renumber(&mut calls, &layers);
        let outputs = outputs.into_iter().map(|reference| names.renumbered(reference)).collect();
        let input = |reference: Reference| {
            let description = descriptions.get(reference.layer).unwrap_or(&Value::Null);
            let config = description.get("config").cloned().unwrap_or_default();
            Input { layer: reference.layer, name: names.name(reference.layer).to_string(), config }
        };
        let inputs = inputs.into_iter().map(input).collect();
        Ok(Functional { layers, calls, inputs, outputs })
    }

    /// The layers, in the config's order.
    pub fn layers(&self) -> &[LayerObject] {
        &self.layers
    }

    /// The names of the inputs, in the model's order.
    pub fn input_names(&self) -> Vec<&str> {
        self.inputs.iter().map(|input| input.name.as_str()).collect()
    }

    /// Names and types of the inputs, in the model's order.
    pub fn inputs(&self, symbols: &mut Symbols) -> Result<Vec<(String, TensorType)>> {
        let mut inputs = Vec::new();
        for input in &self.inputs {
            let r#type = symbols.input_type(&input.name, &input.config);
            let r#type =
                r#type.and_then(|r#type| r#type.ok_or_else(|| Error::malformed("its config says no shape")));
            let within = |error: Error| error.within(format!("the input {}", shown(&input.name)));
            let r#type = r#type.map_err(within)?;
            inputs.push((input.name.clone(), r#type));
        }
        Ok(inputs)
    }

    /// Calls every layer as soon as its arguments are there, in the config's order where that leaves a choice.
    /// Returns the outputs in the model's order, each named by its layer.
    pub fn lower(&self, cx: &mut Lowering, inputs: &[Tensor]) -> Result<Vec<(String, Tensor)>> {
        if inputs.len() != self.inputs.len() {
            let (given, expected) = (inputs.len(), self.inputs.len());
            return Err(Error::malformed(format!(
                "{given} inputs were given to a model that takes {expected}"
            )));
        }
        let mut done: BTreeMap<(usize, usize), Outputs> = BTreeMap::new();
        for (input, tensor) in self.inputs.iter().zip(inputs) {
            let tensor = match self.layers.get(input.layer) {
                Some(object) => cx.input_call(object, *tensor),
                None => *tensor,
            };
            done.insert((input.layer, 0), Outputs { tensors: vec![tensor], complete: true });
        }
        let mut schedule = Schedule::new(&self.calls, done.keys().copied());
        while let Some(at) = schedule.next() {
            let Some(planned) = self.calls.get(at) else { break };
            let Some(object) = self.layers.get(planned.layer) else { break };
            let args = planned.args.iter().map(|arg| arg.resolve(&done)).collect::<Result<_>>();
            let kwargs = planned.kwargs.iter().map(|(name, arg)| Ok((name.clone(), arg.resolve(&done)?)));
            let kwargs = kwargs.collect::<Result<_>>();
            let outputs = match (args, kwargs) {
                (Ok(args), Ok(kwargs)) => cx.call(object, &Call { args, kwargs }),
                (Err(error), _) | (_, Err(error)) => return Err(error.within(object.place())),
            };
            done.insert((planned.layer, planned.node), outputs);
            schedule.finished((planned.layer, planned.node));
        }
        if let Some(stuck) = schedule.stuck() {
            let name =
                self.calls.get(stuck).and_then(|call| self.layers.get(call.layer)).map(LayerObject::place);
            let awaited = schedule.waiting.get(stuck).and_then(|waiting| waiting.first());
            let (layer, node) = awaited.copied().unwrap_or_default();
            let layer = self.layers.get(layer).map(LayerObject::place).unwrap_or_default();
            let message = format!(
                "its input is never computed, call {node} of {layer}: the layers form a cycle, or there is no such call"
            );
            return Err(Error::malformed(message).within(name.unwrap_or_default()));
        }
        let mut outputs = Vec::new();
        for reference in &self.outputs {
            let name = self.layers.get(reference.layer).map_or("", |layer| &layer.name);
            let found = done.get(&(reference.layer, reference.node));
            let shown = shown(name);
            let found =
                found.ok_or_else(|| Error::malformed(format!("the output {shown} is never computed")))?;
            let tensor = found.get(reference.tensor);
            outputs.push((
                name.to_string(),
                tensor.map_err(|error| error.within(format!("the output {shown}")))?,
            ));
        }
        Ok(outputs)
    }
}

impl Template {
    fn resolve(&self, done: &BTreeMap<(usize, usize), Outputs>) -> Result<Arg> {
        Ok(match self {
            Template::Constant(value) => Arg::Constant(value.clone()),
            Template::List(items) => {
                Arg::List(items.iter().map(|item| item.resolve(done)).collect::<Result<_>>()?)
            }
            Template::Tensor(reference) => match done.get(&(reference.layer, reference.node)) {
                Some(outputs) => Arg::Tensor(outputs.get(reference.tensor)?),
                None => Arg::Tensor(Tensor::UNKNOWN),
            },
        })
    }

    fn visit(&mut self, visit: &mut dyn FnMut(&mut Reference)) {
        match self {
            Template::Tensor(reference) => visit(reference),
            Template::List(items) => items.iter_mut().for_each(|item| item.visit(visit)),
            Template::Constant(_) => {}
        }
    }

    fn needs(&self, needs: &mut BTreeSet<(usize, usize)>) {
        match self {
            Template::Tensor(reference) => {
                needs.insert((reference.layer, reference.node));
            }
            Template::List(items) => items.iter().for_each(|item| item.needs(needs)),
            Template::Constant(_) => {}
        }
    }
}

/// Which layer a name is, and the parsing of everything that refers to layers by name.
struct Names<'a> {
    names: Vec<&'a str>,
    index: BTreeMap<&'a str, usize>,
    /// How many calls the config lists for each layer, and the highest one that is referred to.
    nodes: Vec<usize>,
    highest: Vec<usize>,
    first: Vec<usize>,
}

impl<'a> Names<'a> {
    fn new(descriptions: &'a [Value], layers: &[LayerObject]) -> Result<Names<'a>> {
        let mut names = Vec::new();
        let mut index = BTreeMap::new();
        let mut nodes = Vec::new();
        for (at, description) in descriptions.iter().enumerate() {
            let own = [description.get("name"), in_config(description, "name")];
            let name = own.into_iter().flatten().find_map(Value::as_str).unwrap_or_default();
            if index.insert(name, at).is_some() {
                return Err(Error::malformed(format!("two layers are called {}", shown(name))));
            }
            names.push(name);
            let calls = description.get("inbound_nodes").and_then(Value::as_array);
            nodes.push(calls.map_or(0, Vec::len));
        }
        Ok(Names { names, index, nodes, highest: vec![0; layers.len()], first: vec![0; layers.len()] })
    }

    fn name(&self, layer: usize) -> &'a str {
        self.names.get(layer).copied().unwrap_or_default()
    }

    fn reference(&mut self, triple: &Value) -> Result<Reference> {
        let bad = || Error::malformed(format!("{} is not [layer, node, tensor]", brief(triple)));
        let items = triple.as_array().ok_or_else(bad)?;
        let number = |at: usize| items.get(at).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
        let name = items.first().and_then(Value::as_str).ok_or_else(bad)?;
        let (node, tensor) = (number(1).ok_or_else(bad)?, number(2).ok_or_else(bad)?);
        let layer = self.index.get(name).copied();
        let layer = layer.ok_or_else(|| Error::malformed(format!("no layer is called {}", shown(name))))?;
        if let Some(highest) = self.highest.get_mut(layer) {
            *highest = node.max(*highest);
        }
        Ok(Reference { layer, node, tensor })
    }

    /// `input_layers` or `output_layers`: one triple, a list of them, or a dict of them.
    fn references(&mut self, value: Option<&Value>, key: &str) -> Result<Vec<Reference>> {
        let within = |error: Error| error.within(format!("`{key}`"));
        let mut references = Vec::new();
        match value {
            Some(Value::Array(items)) if items.first().is_some_and(Value::is_string) => {
                references.push(self.reference(&Value::Array(items.clone())).map_err(within)?);
            }
            Some(Value::Array(items)) => {
                for item in items {
                    references.extend(self.references(Some(item), key)?);
                }
            }
            // Keras flattens dicts in the order of their sorted keys.
            Some(Value::Object(map)) => {
                for item in map.iter().collect::<BTreeMap<_, _>>().into_values() {
                    references.extend(self.references(Some(item), key)?);
                }
            }
            _ => return Err(Error::malformed(format!("the model's config has no `{key}`"))),
        }
        Ok(references)
    }

    /// One entry of `inbound_nodes`.
    fn call(&mut self, inbound: &Value) -> Result<(Vec<Template>, BTreeMap<String, Template>)> {
        if let Some(map) = inbound.as_object() {
            let args = map.get("args").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let args = args.iter().map(|arg| self.template(arg)).collect::<Result<_>>()?;
            let mut kwargs = BTreeMap::new();
            for (name, arg) in map.get("kwargs").and_then(Value::as_object).into_iter().flatten() {
                kwargs.insert(name.clone(), self.template(arg)?);
            }
            return Ok((args, kwargs));
        }
        let bad = || Error::malformed(format!("{} is no layer call", brief(inbound)));
        let items = inbound.as_array().ok_or_else(bad)?;
        let mut tensors = Vec::new();
        let mut kwargs = BTreeMap::new();
        for item in items {
            tensors.push(Template::Tensor(self.reference(item)?));
            for (name, value) in item.get(3).and_then(Value::as_object).into_iter().flatten() {
                kwargs.insert(name.clone(), self.legacy_kwarg(value)?);
            }
        }
        let first = match tensors.len() {
            1 => tensors.remove(0),
            _ => Template::List(tensors),
        };
        Ok((vec![first], kwargs))
    }

    /// An argument as Keras 3 writes it.
    fn template(&mut self, arg: &Value) -> Result<Template> {
        if arg.get("class_name").and_then(Value::as_str) == Some("__keras_tensor__") {
            let history = in_config(arg, "keras_history");
            let history = history.ok_or_else(|| Error::malformed("a tensor without `keras_history`"))?;
            return Ok(Template::Tensor(self.reference(history)?));
        }
        match arg {
            Value::Array(items) => {
                Ok(Template::List(items.iter().map(|item| self.template(item)).collect::<Result<_>>()?))
            }
            other => Ok(Template::Constant(other.clone())),
        }
    }

    /// A keyword argument as Keras 2 writes it: tensors as `[layer, node, tensor]`.
    fn legacy_kwarg(&mut self, value: &Value) -> Result<Template> {
        match value.as_array() {
            Some(items) if items.len() == 3 && items.first().is_some_and(Value::is_string) => {
                Ok(Template::Tensor(self.reference(value)?))
            }
            _ => Ok(Template::Constant(value.clone())),
        }
    }

    /// Finds where the numbering of each nested model's calls starts: at 1 where the model, having been built with
    /// inputs, counts its own making as call 0.
    fn renumber(&mut self, calls: &mut [Planned], layers: &[LayerObject]) {
        for (layer, object) in layers.iter().enumerate() {
            let is_model = matches!(object.kind, Kind::Model(_) | Kind::Broken);
            let past_the_end =
                self.nodes.get(layer).is_some_and(|&n| n > 0 && self.highest.get(layer) == Some(&n));
            if let Some(first) = self.first.get_mut(layer).filter(|_| is_model && past_the_end) {
                *first = 1;
            }
        }
        for call in calls {
            for arg in call.args.iter_mut().chain(call.kwargs.values_mut()) {
                arg.visit(&mut |reference| *reference = self.renumbered(reference.clone()));
            }
        }
    }

    fn renumbered(&self, reference: Reference) -> Reference {
        let first = self.first.get(reference.layer).copied().unwrap_or(0);
        Reference { node: reference.node.saturating_sub(first), ..reference }
    }
}

/// Which calls can be made.
struct Schedule {
    /// What each call still waits for.
    waiting: Vec<BTreeSet<(usize, usize)>>,
    /// The calls that wait for an output.
    readers: BTreeMap<(usize, usize), Vec<usize>>,
    ready: BinaryHeap<Reverse<usize>>,
    started: Vec<bool>,
}

impl Schedule {
    fn new(calls: &[Planned], done: impl Iterator<Item = (usize, usize)>) -> Schedule {
        let done: BTreeSet<(usize, usize)> = done.collect();
        let mut schedule = Schedule {
            waiting: Vec::new(),
            readers: BTreeMap::new(),
            ready: BinaryHeap::new(),
            started: vec![false; calls.len()],
        };
        for (at, call) in calls.iter().enumerate() {
            let mut needs = BTreeSet::new();
            call.args.iter().chain(call.kwargs.values()).for_each(|arg| arg.needs(&mut needs));
            needs.retain(|key| !done.contains(key));
            if needs.is_empty() {
                schedule.ready.push(Reverse(at));
            }
            needs.iter().for_each(|key| schedule.readers.entry(*key).or_default().push(at));
            schedule.waiting.push(needs);
        }
        schedule
    }

    fn next(&mut self) -> Option<usize> {
        let Reverse(at) = self.ready.pop()?;
        if let Some(started) = self.started.get_mut(at) {
            *started = true;
        }
        Some(at)
    }

    fn finished(&mut self, key: (usize, usize)) {
        for reader in self.readers.remove(&key).unwrap_or_default() {
            if let Some(needs) = self.waiting.get_mut(reader)
                && needs.remove(&key)
                && needs.is_empty()
            {
                self.ready.push(Reverse(reader));
            }
        }
    }

    /// The first call that was never made.
    fn stuck(&self) -> Option<usize> {
        self.started.iter().position(|started| !started)
    }
}
