//! The weights in an HDF5 file, in either of the two ways in which Keras lays them out.

use super::hdf5::{Attributes, Hdf5};
use super::stored::{StoredWeight, element_count};
use crate::archive::{Limits, shown};
use crate::{Error, Result};
use hdf5_reader::Dataset;
use hdf5_reader::group::Group;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// The group that Keras 2.12 and 2.13 have in place of `layers`.
const OLD_LAYERS: &str = "_layer_checkpoint_dependencies";
const MAX_DEPTH: usize = 64;
/// How many groups and datasets one layer is allowed to have, on average.
const OBJECTS_PER_LAYER: usize = 16;

/// How the weights of a file are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Keras 3's `.weights.h5`, also that of Keras 2.12 and later: groups that follow the structure of the
    /// model, with numbered datasets in `vars`.
    Tree,
    /// The legacy `.h5`: a group for each layer, with named datasets.
    Named,
}

/// The weights of one layer in the legacy layout.
#[derive(Clone, Debug)]
pub struct NamedLayer {
    /// The layer's name.
    pub name: String,
    /// Full names such as `conv1d/kernel:0`, in the order of `weight_names`.
    pub weights: Vec<(String, StoredWeight)>,
}

/// The weights in a file, none of them read yet; cheap to clone.
#[derive(Clone, Debug)]
pub struct WeightStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    layout: Layout,
    keras_version: Option<String>,
    backend: Option<String>,
    tree: BTreeMap<String, Vec<(usize, StoredWeight)>>,
    named: Vec<NamedLayer>,
    top_level: Vec<(String, StoredWeight)>,
    optimizer_elements: u64,
}

impl WeightStore {
    /// How the weights are found.
    pub fn layout(&self) -> Layout {
        self.0.layout
    }

    /// The datasets `<path>/vars/<index>` by path, sorted by index; empty in the layout [`Layout::Named`].
    ///
    /// A path is such as `layers/conv1d`, also where the file says `_layer_checkpoint_dependencies` for
    /// `layers`; that of the model itself is empty. What belongs to the optimizer and to metrics is left out.
    pub fn tree(&self) -> &BTreeMap<String, Vec<(usize, StoredWeight)>> {
        &self.0.tree
    }

    /// The layers in the order of `layer_names`; empty in the layout [`Layout::Tree`].
    pub fn named(&self) -> &[NamedLayer] {
        &self.0.named
    }

    /// The weights that belong to no layer, under their full names; only in the layout [`Layout::Named`].
    pub fn top_level(&self) -> &[(String, StoredWeight)] {
        &self.0.top_level
    }

    /// The number of elements in the variables of the optimizer, 0 if none were saved.
    pub fn optimizer_elements(&self) -> u64 {
        self.0.optimizer_elements
    }

    /// The version of Keras that the weights name.
    pub(crate) fn keras_version(&self) -> Option<String> {
        self.0.keras_version.clone()
    }

    /// The backend that the weights name.
    pub(crate) fn backend(&self) -> Option<String> {
        self.0.backend.clone()
    }

    /// The weights in `file`; `None` if Keras did not write it.
    pub(crate) fn read(file: &Hdf5, limits: &Limits) -> Result<Option<WeightStore>> {
        let mut reader = Reader {
            file,
            objects_left: limits.max_layers.saturating_mul(OBJECTS_PER_LAYER),
        };
        let root = file.root()?;
        if let Some(group) = file.group(&root, "model_weights")? {
            return reader
                .named(&root, &group, limits)
                .map_err(|error| error.within("model_weights"))
                .map(Some);
        }
        if file.attributes(&root)?.strings("layer_names")?.is_some() {
            return reader.named(&root, &root, limits).map(Some);
        }
        if is_tree(file, &root)? {
            reader.tree(&root).map(Some)
        } else {
            Ok(None)
        }
    }
}

fn is_tree(file: &Hdf5, root: &Group) -> Result<bool> {
    for name in ["layers", OLD_LAYERS, "vars"] {
        if file.group(root, name)?.is_some() {
            return Ok(true);
        }
    }
    // A model class of one's own: a group for each attribute that is a layer.
    let names = file.names(root)?;
    for name in names.iter().take(100) {
        if file.group(root, &format!("{name}/vars"))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

struct Reader<'a> {
    file: &'a Hdf5,
    objects_left: usize,
}

impl Reader<'_> {
    fn count(&mut self, objects: usize) -> Result<()> {
        let left = self.objects_left.checked_sub(objects);
        self.objects_left =
            left.ok_or_else(|| Error::limit("the file has more groups and datasets than are allowed"))?;
        Ok(())
    }

    /// Every dataset below `top` that `visit` is given, with the path of its group. Groups named in `skip` are
    /// left out at the top.
    fn walk(
        &mut self,
        top: &Group,
        skip: &[&str],
        visit: &mut dyn FnMut(&str, Dataset) -> Result<()>,
    ) -> Result<()> {
        let mut seen = HashSet::from([top.address()]);
        let mut waiting = vec![(top.clone(), String::new(), 0)];
        while let Some((group, path, depth)) = waiting.pop() {
            let place = if path.is_empty() {
                "the root group".to_owned()
            } else {
                shown(&path)
            };
            let (groups, datasets) = self.file.members(&group).map_err(|error| error.within(&place))?;
            self.count(groups.len() + datasets.len())?;
            for dataset in datasets {
                visit(&path, dataset)?;
            }
            for inner in groups {
                if depth == 0 && skip.contains(&inner.name()) {
                    continue;
                }
                if depth == MAX_DEPTH {
                    let message = format!("the groups are nested more than {MAX_DEPTH} levels deep");
                    return Err(Error::limit(message).within(&place));
                }
                if !seen.insert(inner.address()) {
                    let name = shown(inner.name());
                    return Err(
                        Error::unsupported(format!("the group {name} is linked to twice")).within(&place)
                    );
                }
                let inner_path = join(&path, inner.name());
                waiting.push((inner, inner_path, depth + 1));
            }
        }
        Ok(())
    }

    fn tree(&mut self, root: &Group) -> Result<WeightStore> {
        let file = self.file;
        let mut tree: BTreeMap<String, Vec<(usize, StoredWeight)>> = BTreeMap::new();
        let mut old: BTreeMap<String, Vec<(usize, StoredWeight)>> = BTreeMap::new();
        self.walk(root, &["optimizer", "metrics"], &mut |group, dataset| {
            let (path, last) = group.rsplit_once('/').unwrap_or(("", group));
            if last != "vars" {
                return Ok(());
            }
            let name = dataset.name().to_owned();
            let index = name
                .parse()
                .ok()
                .filter(|index: &usize| index.to_string() == name);
            let index = index.ok_or_else(|| {
                let message = format!(
                    "the datasets of a layer are numbered, this one is named {}",
                    shown(&name)
                );
                Error::unsupported(message).within(shown(group))
            })?;
            let weight = StoredWeight::open(file, dataset, join(group, &name))?;
            let parts: Vec<&str> = path.split('/').collect();
            let (tree, parts) = match parts.contains(&OLD_LAYERS) {
                true => (
                    &mut old,
                    parts
                        .iter()
                        .map(|&part| if part == OLD_LAYERS { "layers" } else { part })
                        .collect(),
                ),
                false => (&mut tree, parts),
            };
            tree.entry(parts.join("/")).or_default().push((index, weight));
            Ok(())
        })?;
        // Keras looks under the old name where the new one has nothing.
        for (path, weights) in old {
            tree.entry(path).or_insert(weights);
        }
        for weights in tree.values_mut() {
            weights.sort_by_key(|(index, _)| *index);
        }
        let optimizer_elements = match file.group(root, "optimizer")? {
            Some(optimizer) => self
                .elements(&optimizer)
                .map_err(|error| error.within("optimizer"))?,
            None => 0,
        };
        Ok(WeightStore(Arc::new(Inner {
            layout: Layout::Tree,
            keras_version: None,
            backend: None,
            tree,
            named: Vec::new(),
            top_level: Vec::new(),
            optimizer_elements,
        })))
    }

    /// The number of elements in all datasets below `group`.
    fn elements(&mut self, group: &Group) -> Result<u64> {
        let mut elements = 0u64;
        self.walk(group, &[], &mut |_, dataset| {
            elements = elements.saturating_add(element_count(&dataset)?);
            Ok(())
        })?;
        Ok(elements)
    }

    fn named(&mut self, root: &Group, group: &Group, limits: &Limits) -> Result<WeightStore> {
        let attributes = self.file.attributes(group)?;
        let names = attributes.strings("layer_names")?;
        let names = names.ok_or_else(|| Error::malformed("the attribute layer_names is missing"))?;
        if names.len() > limits.max_layers {
            let (given, allowed) = (names.len(), limits.max_layers);
            return Err(Error::limit(format!(
                "the file has {given} layers; {allowed} are allowed"
            )));
        }
        let mut seen = HashSet::new();
        let mut named = Vec::new();
        for name in names {
            let place = shown(&name);
            let Some(layer) = self.file.group(group, &name)? else {
                return Err(Error::malformed(format!(
                    "the attribute layer_names names {place}, but there is no such group"
                )));
            };
            if !seen.insert(layer.address()) {
                return Err(Error::malformed(format!(
                    "the attribute layer_names names {place} twice"
                )));
            }
            let weights = self.weights(&layer, &name).map_err(|error| error.within(place))?;
            named.push(NamedLayer { name, weights });
        }
        let top_level = match self.file.group(group, "top_level_model_weights")? {
            Some(top) if !seen.contains(&top.address()) => self.weights(&top, "top_level_model_weights")?,
            _ => Vec::new(),
        };
        let optimizer_elements = match self.file.group(root, "optimizer_weights")? {
            Some(optimizer) => self
                .elements(&optimizer)
                .map_err(|error| error.within("optimizer_weights"))?,
            None => 0,
        };
        let text = |attributes: &Attributes<'_>, name: &str| attributes.string(name);
        Ok(WeightStore(Arc::new(Inner {
            layout: Layout::Named,
            keras_version: text(&attributes, "keras_version")?,
            backend: text(&attributes, "backend")?,
            tree: BTreeMap::new(),
            named,
            top_level,
            optimizer_elements,
        })))
    }

    /// The weights that the attribute `weight_names` of a layer's group names.
    fn weights(&mut self, layer: &Group, path: &str) -> Result<Vec<(String, StoredWeight)>> {
        let names = self
            .file
            .attributes(layer)?
            .strings("weight_names")?
            .unwrap_or_default();
        self.count(names.len())?;
        let mut seen = HashSet::new();
        let mut weights = Vec::new();
        for name in names {
            let Some(dataset) = self.file.dataset(layer, &name)? else {
                let place = shown(&name);
                return Err(Error::malformed(format!(
                    "the attribute weight_names names {place}, but there is no such dataset"
                )));
            };
            if !seen.insert(dataset.address()) {
                return Err(Error::malformed(format!(
                    "the attribute weight_names names {} twice",
                    shown(&name)
                )));
            }
            let weight = StoredWeight::open(self.file, dataset, join(path, &name))?;
            weights.push((name, weight));
        }
        Ok(weights)
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}/{name}")
    }
}
