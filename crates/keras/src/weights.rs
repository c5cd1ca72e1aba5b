//! Weights as layers ask for them, and the rules that find them in a file.

use crate::archive::{Layout, NamedLayer, WeightStore};
use crate::keras1::{Found, in_todays_layout, join_gates, name_in_keras1};
use crate::layers::in_layout_of_the_class;
use crate::ranks::by_rank;
use crate::{Error, ErrorKind, Result};
use k2o_core::{CallId, ConstantExpr, DType, Dim, Outline, Shape, StoredTensor};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

/// A weight that a layer creates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightSpec {
    /// Keras's name for it, such as `kernel`.
    pub name: &'static str,
    /// Its sizes.
    pub shape: Vec<usize>,
    /// Whether it is created trainable; what is frozen later is still that.
    pub trainable: bool,
    /// Whether it is another layer's weight, which `.keras` files save here once more and `.h5` files do not.
    pub repeated: bool,
}

impl WeightSpec {
    /// A weight that training changes.
    pub fn trainable(name: &'static str, shape: &[usize]) -> WeightSpec {
        WeightSpec { name, shape: shape.to_vec(), trainable: true, repeated: false }
    }

    /// A weight that training does not change by gradient.
    pub fn fixed(name: &'static str, shape: &[usize]) -> WeightSpec {
        WeightSpec { name, shape: shape.to_vec(), trainable: false, repeated: false }
    }

    /// A weight of the layer that this one wraps.
    pub fn repeated(name: &'static str, shape: &[usize]) -> WeightSpec {
        WeightSpec { repeated: true, ..WeightSpec::trainable(name, shape) }
    }
}

/// A layer's weight, to be computed with or to be made an operand.
#[derive(Clone, Debug)]
pub struct Weight {
    /// The layer's path and the weight's name, such as `conv1d/kernel`.
    pub name: String,
    /// Its elements.
    pub expr: ConstantExpr,
}

impl Weight {
    /// Something computed from weights, named like this one but for the last part.
    pub fn derived(&self, name: &str, expr: ConstantExpr) -> Weight {
        let layer = self.name.rsplit_once('/').map_or("", |(layer, _)| layer);
        Weight { name: format!("{layer}/{name}"), expr }
    }

    /// Whether both are the same weight of the same layer.
    pub(crate) fn is_same(&self, other: &Weight) -> bool {
        self.name == other.name && self.expr.shape() == other.expr.shape()
    }
}

/// A weight whose place in the file is found when all layers have asked for theirs.
#[derive(Debug)]
pub(crate) struct LateBound {
    shape: Vec<usize>,
    stored: OnceLock<Arc<dyn StoredTensor>>,
}

impl LateBound {
    pub fn new(shape: Vec<usize>) -> LateBound {
        LateBound { shape, stored: OnceLock::new() }
    }

    fn bound(&self) -> k2o_core::Result<&dyn StoredTensor> {
        let unbound =
            || k2o_core::Error::new(k2o_core::ErrorKind::Input, "the model was opened without weights");
        self.stored.get().map(Arc::as_ref).ok_or_else(unbound)
    }
}

impl StoredTensor for LateBound {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn dtype(&self) -> DType {
        self.stored.get().map_or(DType::F32, |stored| stored.dtype())
    }

    fn is_bound(&self) -> bool {
        self.stored.get().is_some()
    }

    fn read(&self) -> k2o_core::Result<Vec<u8>> {
        self.bound()?.read()
    }

    fn read_range(&self, start: usize, out: &mut [u8]) -> k2o_core::Result<bool> {
        self.bound()?.read_range(start, out)
    }
}

/// All weights of one layer object.
#[derive(Debug)]
pub(crate) struct Request {
    /// The object's first call.
    pub call: CallId,
    pub place: String,
    /// The names of the models around the layer, outermost first, then its own.
    pub names: Vec<String>,
    /// Its own name and those of the layers that wrap it, innermost first.
    pub scopes: Vec<String>,
    /// Where a tree of groups keeps them, such as `/layers/conv1d`.
    pub store: String,
    /// The shape of the first input.
    pub input: Option<Shape>,
    pub specs: Vec<WeightSpec>,
    pub slots: Vec<Arc<LateBound>>,
}

impl Request {
    /// The indices of the weights in the order in which Keras saves them: trainable ones first.
    fn saved_order(&self) -> Vec<usize> {
        let of = |trainable: bool| {
            self.specs.iter().enumerate().filter(move |(_, spec)| spec.trainable == trainable).map(|(i, _)| i)
        };
        of(true).chain(of(false)).collect()
    }

    /// Binds weight `index`, whose shape must be right.
    fn bind(&self, index: usize, stored: Arc<dyn StoredTensor>) -> Result<()> {
        let (Some(spec), Some(slot)) = (self.specs.get(index), self.slots.get(index)) else { return Ok(()) };
        if stored.shape() != spec.shape {
            let (expected, given) = (&spec.shape, stored.shape());
            let input = self.input.as_ref().map_or(String::new(), |shape| format!(" and its input {shape}"));
            let message = format!(
                "weight {:?} has shape {given:?} in the file, but the layer's config{input} imply {expected:?}",
                spec.name
            );
            let error = Error::new(ErrorKind::ShapeMismatch, message).within(&self.place);
            return Err(match self.missing_flatten(given) {
                Some(help) => error.help(help),
                None => error,
            });
        }
        // Each slot is bound once; a second time would be the same weight.
        let _ = slot.stored.set(stored);
        Ok(())
    }

    /// The commonest cause of a kernel with too many rows.
    fn missing_flatten(&self, given: &[usize]) -> Option<String> {
        let shape = self.input.as_ref().filter(|shape| shape.rank() > 2)?;
        let flat = shape.iter().skip(1).try_fold(1usize, |n, dim| n.checked_mul(dim.as_usize()?))?;
        let batch: &Dim = shape.first()?;
        let is_dense = self.specs.first().is_some_and(|spec| spec.name == "kernel" && spec.shape.len() == 2);
        (is_dense && given.first() == Some(&flat) && given.len() == 2).then(|| {
            format!("a Flatten before this layer would turn {shape} into [{batch}, {flat}], which fits these weights")
        })
    }

    fn missing(&self, index: usize, place: &str) -> Error {
        let name = self.specs.get(index).map_or("", |spec| spec.name);
        Error::malformed(format!("weight {name:?} is missing: the file has no {place}")).within(&self.place)
    }
}

/// Finds every requested weight, and everything that is wrong with the file's. `order` names the outermost model's
/// layers.
pub(crate) fn bind(
    requests: &[Request],
    order: &[&str],
    store: &WeightStore,
    outline: &mut Outline,
) -> Vec<Error> {
    let errors = match store.layout() {
        Layout::Tree => bind_tree(requests, store),
        Layout::Named => bind_named(requests, order, &Legacy { store, outline }),
    };
    for request in requests {
        if let Some(call) = outline.calls.get_mut(request.call.0) {
            let own = request.specs.iter().zip(&request.slots).filter(|(spec, _)| !spec.repeated);
            for (info, (_, slot)) in call.weights.iter_mut().zip(own) {
                info.bound = slot.is_bound();
            }
        }
    }
    errors
}

/// Keras 3's rule: the group is known from the layer's place in the model, the index from the order of creation. Files of
/// Keras 2.12 and 2.13 number groups otherwise, in the same order.
fn bind_tree(requests: &[Request], store: &WeightStore) -> Vec<Error> {
    let mut errors = Vec::new();
    let mut used: BTreeMap<&str, usize> = BTreeMap::new();
    let asking = || {
        let asking = requests.iter().filter(|request| !request.specs.is_empty());
        asking.map(|request| (request, request.store.trim_start_matches('/')))
    };
    let mut places: BTreeMap<&str, &str> = BTreeMap::new();
    if store.counts_twice() {
        let found = by_rank(store.tree().keys().map(String::as_str).filter(|path| !is_seed_generator(path)));
        let found: BTreeMap<String, &str> = found.into_iter().map(|(path, rank)| (rank, path)).collect();
        let wanted = by_rank(asking().map(|(_, path)| path));
        places.extend(wanted.into_iter().filter_map(|(path, rank)| Some((path, *found.get(&rank)?))));
    }
    for (request, path) in asking() {
        let path = places.get(path).copied().unwrap_or(path);
        let group = store.tree().get(path);
        let order = request.saved_order();
        used.insert(path, order.len());
        for (position, index) in order.into_iter().enumerate() {
            let stored = group.and_then(|group| group.iter().find(|(i, _)| *i == position));
            let outcome = match stored {
                Some((_, stored)) => request.bind(index, Arc::new(stored.clone())),
                None => Err(request.missing(index, &format!("{path}/vars/{position}"))),
            };
            errors.extend(outcome.err());
        }
    }
    for (path, group) in store.tree().iter().filter(|(path, _)| !is_seed_generator(path)) {
        let taken = used.get(path.as_str()).copied().unwrap_or(0);
        let left = group.iter().filter(|(i, _)| *i >= taken);
        errors.extend(left.map(|(i, weight)| left_over(&format!("{path}/vars/{i}"), weight.shape())));
    }
    errors
}

/// Whether a group keeps the state of a layer's random numbers, which inference does not draw.
fn is_seed_generator(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| name == "seed_generator")
}

fn left_over(path: &str, shape: &[usize]) -> Error {
    Error::malformed(format!("the file has a weight {path} of shape {shape:?} that no layer asks for"))
}

/// A file in the legacy layout, and who asks for its weights.
struct Legacy<'a> {
    store: &'a WeightStore,
    outline: &'a Outline,
}

impl Legacy<'_> {
    /// Binds the weights that were found, each with its index.
    fn bind(&self, request: &Request, found: &[(usize, &Found<'_>)]) -> Vec<Error> {
        let mut errors = Vec::new();
        let mut weights = Vec::new();
        for &(index, found) in found {
            match self.in_todays_layout(request, index, found) {
                Ok(stored) => weights.push((index, stored)),
                Err(error) => errors.push(error.within(&request.place)),
            }
        }
        weights.sort_by_key(|&(index, _)| index);
        if self.is_known_to_cudnn(request) {
            in_layout_of_the_class(&request.specs, &mut weights);
        }
        errors.extend(weights.into_iter().filter_map(|(index, stored)| request.bind(index, stored).err()));
        errors
    }

    /// A weight, which old versions of Keras stored otherwise.
    fn in_todays_layout(
        &self,
        request: &Request,
        index: usize,
        found: &Found<'_>,
    ) -> Result<Arc<dyn StoredTensor>> {
        let stored = match found {
            Found::Stored(stored) => *stored,
            Found::Joined(joined) => return Ok(joined.clone()),
        };
        let (name, shape) = request.specs.get(index).map_or(("", &[][..]), |spec| (spec.name, &spec.shape));
        let class = self.outline.get(request.call).map_or("", |call| &call.class);
        in_todays_layout(stored, class, name, shape, self.store.backend().as_deref())
    }

    /// Whether the weights are those of a layer that cuDNN has too.
    fn is_known_to_cudnn(&self, request: &Request) -> bool {
        let parent = self.outline.get(request.call).and_then(|call| self.outline.get(call.parent?));
        parent.is_some_and(|layer| ["LSTM", "GRU", "CuDNNLSTM", "CuDNNGRU"].contains(&layer.class.as_str()))
    }
}

/// The legacy rule: a group for each layer of the outermost model, weights in order within it.
///
/// Keras pairs groups and layers by their order. Where every group with weights bears a layer's name, names say the
/// same more safely; where not, as with a config and weights of two models built alike, whose numbered names may
/// overlap, the order decides.
fn bind_named(requests: &[Request], order: &[&str], file: &Legacy<'_>) -> Vec<Error> {
    let mut errors = Vec::new();
    let mut inside: BTreeMap<&str, Vec<&Request>> = BTreeMap::new();
    for request in requests.iter().filter(|request| !request.specs.is_empty()) {
        inside.entry(request.names.first().map_or("", String::as_str)).or_default().push(request);
    }
    let layers: Vec<&str> = order.iter().copied().filter(|name| inside.contains_key(name)).collect();
    let groups: Vec<&NamedLayer> =
        file.store.named().iter().filter(|group| !group.weights.is_empty()).collect();
    let has_names = groups.iter().all(|group| inside.contains_key(group.name.as_str()));
    let by_order = !has_names && groups.len() == layers.len();
    let mut taken = BTreeSet::new();
    for (position, name) in layers.iter().enumerate() {
        let found =
            if by_order { Some(position) } else { groups.iter().position(|group| group.name == *name) };
        let group = found.and_then(|at| groups.get(at)).map_or(&[][..], |group| &group.weights);
        let group = join_gates(group);
        taken.extend(found);
        match inside.get(name).map(Vec::as_slice) {
            Some([request]) => errors.extend(bind_in_order(request, &group, file)),
            Some(requests) => errors.extend(bind_by_name(requests, &group, file)),
            None => {}
        }
    }
    for (_, group) in groups.iter().enumerate().filter(|(at, _)| !taken.contains(at)) {
        errors.extend(group.weights.iter().map(|(path, weight)| left_over(path, weight.shape())));
    }
    errors
}

fn bind_in_order(request: &Request, group: &[(String, Found<'_>)], file: &Legacy<'_>) -> Vec<Error> {
    let order = request.saved_order();
    let mut errors = Vec::new();
    let mut found = Vec::new();
    for (position, &index) in order.iter().enumerate() {
        match group.get(position) {
            Some((_, stored)) => found.push((index, stored)),
            None => {
                let name = request.names.first().map_or("", String::as_str);
                errors.push(request.missing(index, &format!("weight {position} in the group {name:?}")));
            }
        }
    }
    errors.extend(file.bind(request, &found));
    errors.extend(group.iter().skip(order.len()).map(|(path, weight)| left_over(path, weight.shape())));
    errors
}

/// Freezing reorders the weights of nested models, so they are found by name: of the weights that are called as the layer
/// calls its own, the first of those whose path has most of the names around the layer. Keras 2 leaves out the names of
/// wrapped layers, counts cells of recurrent layers over all models, and Keras 1 says `<layer>_W`. Early versions of Keras 3
/// write no more than the weight's name.
fn bind_by_name(requests: &[&Request], group: &[(String, Found<'_>)], file: &Legacy<'_>) -> Vec<Error> {
    let mut errors = Vec::new();
    let mut taken = BTreeSet::new();
    for request in requests {
        let mut found = Vec::new();
        for (index, spec) in request.specs.iter().enumerate().filter(|(_, spec)| !spec.repeated) {
            let candidates = group.iter().enumerate().filter(|(at, _)| !taken.contains(at));
            let rated =
                candidates.filter_map(|(at, (path, _))| Some((at, rating(request, spec.name, path)?)));
            let best = rated.min_by_key(|&(at, rating)| (Reverse(rating), at)).map(|(at, _)| at);
            match best.and_then(|at| Some((at, group.get(at)?))) {
                Some((at, (_, stored))) => {
                    taken.insert(at);
                    found.push((index, stored));
                }
                None => {
                    let layer = request.names.last().map_or("", String::as_str);
                    errors.push(request.missing(index, &format!("weight named \"{layer}/{}\"", spec.name)));
                }
            }
        }
        errors.extend(file.bind(request, &found));
    }
    let left = group.iter().enumerate().filter(|(at, _)| !taken.contains(at));
    errors.extend(left.map(|(_, (path, weight))| left_over(path, weight.shape())));
    errors
}

/// How much speaks for it that the weight at `path` is the one that the layer calls `name`; `None` if it cannot be. Outer
/// names count more than inner ones, which other layers may have too.
fn rating(request: &Request, name: &str, path: &str) -> Option<usize> {
    let path = path.split(':').next().unwrap_or_default();
    if let Some(name) = name_in_keras1(name)
        && let Some(scope) = request.scopes.iter().rposition(|scope| path == format!("{scope}_{name}"))
    {
        return Some(1 << scope.min(60));
    }
    let around = if path == name { "" } else { path.strip_suffix(name)?.strip_suffix('/')? };
    let bounded = format!("/{around}/");
    let has = |scope: &&(usize, &String)| bounded.contains(&format!("/{}/", scope.1));
    let scopes: Vec<(usize, &String)> = request.scopes.iter().enumerate().collect();
    let rating: usize = scopes.iter().filter(has).map(|(depth, _)| 1 << (*depth).min(60)).sum();
    (rating > 0 || around.is_empty()).then_some(rating)
}
