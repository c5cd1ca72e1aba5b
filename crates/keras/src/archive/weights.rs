//! The weights in an HDF5 file, in either of the two ways in which Keras lays them out.

use super::attributes::Attributes;
use super::hdf5::Hdf5;
use super::stored::{StoredWeight, element_count};
use super::structure;
use crate::archive::{Limits, shown};
use crate::{Error, Result};
use hdf5_reader::Dataset;
use hdf5_reader::group::Group;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// The group that Keras 2.12 and 2.13 have in place of `layers`.
const OLD_LAYERS: &str = "_layer_checkpoint_dependencies";

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
    counts_twice: bool,
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

    /// Whether the numbers of groups count layers with weights twice, as Keras 2.12 and 2.13 do.
    pub(crate) fn counts_twice(&self) -> bool {
        self.0.counts_twice
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
        let root = file.root()?;
        let names = file.names(&root)?;
        let is_whole = names.iter().any(|name| name == "model_weights");
        let is_named = is_whole || Attributes::of_group(file, &root)?.strings("layer_names")?.is_some();
        if !is_named && !is_tree(file, &root, &names)? {
            return Ok(None);
        }
        structure::check(file, limits)?;
        let reader = Reader { file };
        if !is_named {
            return reader.tree(&root).map(Some);
        }
        if !is_whole {
            return reader.named(&root, &root, limits).map(Some);
        }
        let group = file.group(&root, "model_weights")?;
        let group = group.ok_or_else(|| Error::malformed("this is no group").within("model_weights"))?;
        reader.named(&root, &group, limits).map_err(|error| error.within("model_weights")).map(Some)
    }
}

fn is_tree(file: &Hdf5, root: &Group, names: &[String]) -> Result<bool> {
    if names.iter().any(|name| ["layers", OLD_LAYERS, "vars"].contains(&name.as_str())) {
        return Ok(true);
    }
    // A model class of one's own: a group for each attribute that is a layer.
    for name in names.iter().take(100) {
        if file.group(root, &format!("{name}/vars"))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reads a file whose structure was checked.
struct Reader<'a> {
    file: &'a Hdf5,
}

impl Reader<'_> {
    /// Every dataset below `top` that `visit` is given, with the path of its group. Groups named in `skip` are
    /// left out at the top.
    fn walk(
        &self,
        top: &Group,
        skip: &[&str],
        visit: &mut dyn FnMut(&str, Dataset) -> Result<()>,
    ) -> Result<()> {
        let mut waiting = vec![(top.clone(), String::new())];
        while let Some((group, path)) = waiting.pop() {
            let place = || if path.is_empty() { "the root group".to_owned() } else { shown(&path) };
            let (groups, datasets) = self.file.members(&group).map_err(|error| error.within(place()))?;
            for dataset in datasets {
                visit(&path, dataset)?;
            }
            for inner in groups {
                if path.is_empty() && skip.contains(&inner.name()) {
                    continue;
                }
                let inner_path = join(&path, inner.name());
                waiting.push((inner, inner_path));
            }
        }
        Ok(())
    }

    fn tree(&self, root: &Group) -> Result<WeightStore> {
        let file = self.file;
        let mut tree: BTreeMap<String, Vec<(usize, StoredWeight)>> = BTreeMap::new();
        let mut old: BTreeMap<String, Vec<(usize, StoredWeight)>> = BTreeMap::new();
        self.walk(root, &["optimizer", "metrics"], &mut |group, dataset| {
            let (path, last) = group.rsplit_once('/').unwrap_or(("", group));
            if last != "vars" {
                return Ok(());
            }
            let name = dataset.name().to_owned();
            let index = name.parse().ok().filter(|index: &usize| index.to_string() == name);
            let index = index.ok_or_else(|| {
                let message =
                    format!("the datasets of a layer are numbered, this one is named {}", shown(&name));
                Error::unsupported(message).within(shown(group))
            })?;
            let weight = StoredWeight::open(file, dataset, join(group, &name))?;
            let parts: Vec<&str> = path.split('/').collect();
            let (tree, parts) = match parts.contains(&OLD_LAYERS) {
                true => (
                    &mut old,
                    parts.iter().map(|&part| if part == OLD_LAYERS { "layers" } else { part }).collect(),
                ),
                false => (&mut tree, parts),
            };
            tree.entry(parts.join("/")).or_default().push((index, weight));
            Ok(())
        })?;
        let counts_twice = !old.is_empty() && tree.is_empty();
        // Keras looks under the old name where the new one has nothing.
        for (path, weights) in old {
            tree.entry(path).or_insert(weights);
        }
        for weights in tree.values_mut() {
            weights.sort_by_key(|(index, _)| *index);
        }
        let optimizer_elements = match file.group(root, "optimizer")? {
            Some(optimizer) => self.elements(&optimizer).map_err(|error| error.within("optimizer"))?,
            None => 0,
        };
        Ok(WeightStore(Arc::new(Inner {
            layout: Layout::Tree,
            keras_version: None,
            backend: None,
            tree,
            counts_twice,
            named: Vec::new(),
            top_level: Vec::new(),
            optimizer_elements,
        })))
    }

    /// The number of elements in all datasets below `group`.
    fn elements(&self, group: &Group) -> Result<u64> {
        let mut elements = 0u64;
        self.walk(group, &[], &mut |_, dataset| {
            elements = elements.saturating_add(element_count(&dataset)?);
            Ok(())
        })?;
        Ok(elements)
    }

    fn named(&self, root: &Group, group: &Group, limits: &Limits) -> Result<WeightStore> {
        let attributes = Attributes::of_group(self.file, group)?;
        let names = attributes.strings("layer_names")?;
        let names = names.ok_or_else(|| Error::malformed("the attribute layer_names is missing"))?;
        if names.len() > limits.max_layers {
            let (given, allowed) = (names.len(), limits.max_layers);
            return Err(Error::limit(format!("the file has {given} layers; {allowed} are allowed")));
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
                return Err(Error::malformed(format!("the attribute layer_names names {place} twice")));
            }
            let weights = self.weights(&layer, &name)?;
            named.push(NamedLayer { name, weights });
        }
        let top_level = match self.file.group(group, "top_level_model_weights")? {
            Some(top) if !seen.contains(&top.address()) => self.weights(&top, "top_level_model_weights")?,
            _ => Vec::new(),
        };
        let optimizer_elements = match self.file.group(root, "optimizer_weights")? {
            Some(optimizer) => {
                self.elements(&optimizer).map_err(|error| error.within("optimizer_weights"))?
            }
            None => 0,
        };
        Ok(WeightStore(Arc::new(Inner {
            layout: Layout::Named,
            keras_version: attributes.string("keras_version")?,
            backend: attributes.string("backend")?,
            tree: BTreeMap::new(),
            counts_twice: false,
            named,
            top_level,
            optimizer_elements,
        })))
    }

    /// The weights that the attribute `weight_names` of a layer's group names.
    fn weights(&self, layer: &Group, path: &str) -> Result<Vec<(String, StoredWeight)>> {
        let names =
            Attributes::of_group(self.file, layer).and_then(|attributes| attributes.strings("weight_names"));
        let names = names.map_err(|error| error.within(shown(path)))?.unwrap_or_default();
        let mut seen = HashSet::new();
        let mut weights = Vec::new();
        for name in names {
            let wrong = |what: &str| {
                let message = format!("the attribute weight_names names {}{what}", shown(&name));
                Error::malformed(message).within(shown(path))
            };
            let dataset = self.file.dataset(layer, &name).map_err(|error| error.within(shown(path)))?;
            let dataset = dataset.ok_or_else(|| wrong(", but there is no such dataset"))?;
            if !seen.insert(dataset.address()) {
                return Err(wrong(" twice"));
            }
            let weight = StoredWeight::open(self.file, dataset, join(path, &name))?;
            weights.push((name, weight));
        }
        Ok(weights)
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::archive::Source;
    use crate::archive::hdf5_writer::{self, Dataset, integer};
    use k2o_core::StoredTensor;

    fn empty() -> hdf5_writer::Group {
        hdf5_writer::Group::default()
    }

    /// A group `vars` with these datasets, each as long as its index plus one.
    fn vars(indices: &[&str]) -> hdf5_writer::Group {
        let add = |group: hdf5_writer::Group, name: &&str| {
            let len = name.parse().unwrap_or(0) + 1;
            group.dataset(name, Dataset::f32(&[len as u64], &vec![1.0; len]))
        };
        empty().group("vars", indices.iter().fold(empty(), add))
    }

    fn read_with(root: &hdf5_writer::Group, limits: &Limits) -> Result<Option<WeightStore>> {
        let file = Hdf5::open(&Source::from_bytes("file", root.file()), limits)?;
        WeightStore::read(&file, limits)
    }

    fn read(root: &hdf5_writer::Group) -> Result<Option<WeightStore>> {
        read_with(root, &Limits::default())
    }

    #[track_caller]
    fn check_error(result: Result<Option<WeightStore>>, kind: ErrorKind, expected: &str) {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[track_caller]
    fn check_tree(root: &hdf5_writer::Group, expected: &[(&str, &[usize])]) -> WeightStore {
        let store = read(root).unwrap().unwrap();
        assert_eq!(store.layout(), Layout::Tree);
        let indices =
            |weights: &Vec<(usize, StoredWeight)>| weights.iter().map(|(index, _)| *index).collect();
        let found: Vec<(&str, Vec<usize>)> =
            store.tree().iter().map(|(path, weights)| (path.as_str(), indices(weights))).collect();
        let expected: Vec<(&str, Vec<usize>)> =
            expected.iter().map(|(path, indices)| (*path, indices.to_vec())).collect();
        assert_eq!(found, expected);
        store
    }

    #[test]
    fn a_tree_is_sorted_by_number_and_leaves_out_what_is_not_the_model() {
        let inner = empty().group("layers", empty().group("dense", vars(&["0"])));
        let layers = empty().group("conv1d", vars(&["10", "2", "0", "1", "9"])).group("model", inner);
        let root = vars(&["0"])
            .group("layers", layers.group("flatten", vars(&[])))
            .group("optimizer", vars(&["0", "3"]).group("inner", vars(&["1"])))
            .group("metrics", empty().group("mean", vars(&["0"])))
            .dataset("stray", Dataset::new(integer(8), &[1], &[0]));
        let expected: &[(&str, &[usize])] =
            &[("", &[0]), ("layers/conv1d", &[0, 1, 2, 9, 10]), ("layers/model/layers/dense", &[0])];
        let store = check_tree(&root, expected);
        assert_eq!(store.optimizer_elements(), 1 + 4 + 2);
        let (_, weight) = &store.tree()["layers/conv1d"][3];
        assert_eq!((weight.path(), weight.shape()), ("layers/conv1d/vars/9", &[10][..]));
    }

    #[test]
    fn the_old_name_of_layers_counts_where_the_new_one_has_nothing() {
        let old = empty()
            .group("dense", vars(&["0"]))
            .group("model", empty().group(OLD_LAYERS, empty().group("dense", vars(&["1"]))));
        let root = empty().group(OLD_LAYERS, old.clone());
        check_tree(&root, &[("layers/dense", &[0]), ("layers/model/layers/dense", &[1])]);
        let root = root.group("layers", empty().group("dense", vars(&["2"])).group("model", vars(&[])));
        check_tree(&root, &[("layers/dense", &[2]), ("layers/model/layers/dense", &[1])]);
    }

    #[test]
    fn a_model_class_of_ones_own_is_a_tree_without_layers() {
        check_tree(&empty().group("encoder", vars(&["0"])), &[("encoder", &[0])]);
        assert!(read(&empty().group("encoder", empty())).unwrap().is_none());
    }

    #[test]
    fn a_tree_that_is_none_is_an_error() {
        let layers = |group: hdf5_writer::Group| empty().group("layers", group);
        check_error(read(&layers(vars(&["kernel"]))), ErrorKind::Unsupported, "named \"kernel\"");
        check_error(read(&layers(vars(&["00"]))), ErrorKind::Unsupported, "named \"00\"");
        check_error(
            read(&layers(empty().group("a", vars(&["0"])).alias("b"))),
            ErrorKind::Unsupported,
            "\"layers/b\": the same object as \"layers/a\"",
        );
        check_error(
            read(&layers(empty().external_link("a", "o.h5"))),
            ErrorKind::Unsupported,
            "\"layers/a\": an external link leads",
        );
        let deep = (0..=64).fold(vars(&["0"]), |group, _| empty().group("x", group));
        check_error(read(&layers(deep)), ErrorKind::Limit, "more than 64 levels");
        let limits = Limits { max_layers: 1, ..Limits::default() };
        let names: Vec<String> = (0..20).map(|index| index.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        check_error(read_with(&layers(vars(&names)), &limits), ErrorKind::Limit, "more groups and datasets");
    }

    fn dense(names: &[&str]) -> hdf5_writer::Group {
        let kernel = Dataset::f32(&[1, 2], &[1.0, 2.0]);
        let inner = empty().dataset("kernel:0", kernel).dataset("bias:0", Dataset::f32(&[2], &[0.0; 2]));
        empty().strings("weight_names", names).group("dense", inner)
    }

    #[test]
    fn named_layers_and_weights_keep_the_order_of_the_attributes() {
        let weights = empty()
            .strings("layer_names", &["z", "flatten", "a"])
            .strings("keras_version", &["2.4.0"])
            .group("a", dense(&["dense/bias:0"]))
            .group("flatten", empty().no_strings("weight_names"))
            .group("top_level_model_weights", dense(&["dense/kernel:0"]))
            .group("z", dense(&["dense/kernel:0", "dense/bias:0"]));
        let optimizer = dense(&["dense/kernel:0"]);
        let whole = empty().group("model_weights", weights.clone()).group("optimizer_weights", optimizer);
        for root in [&weights, &whole] {
            let store = read(root).unwrap().unwrap();
            assert_eq!(store.layout(), Layout::Named);
            let names: Vec<&str> = store.named().iter().map(|layer| layer.name.as_str()).collect();
            assert_eq!(names, ["z", "flatten", "a"]);
            let names: Vec<&str> = store.named()[0].weights.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["dense/kernel:0", "dense/bias:0"]);
            assert_eq!(store.named()[2].weights[0].1.path(), "a/dense/bias:0");
            assert_eq!(store.top_level().len(), 1);
            assert_eq!(store.keras_version().as_deref(), Some("2.4.0"));
        }
        assert_eq!(read(&whole).unwrap().unwrap().optimizer_elements(), 4);
        assert_eq!(read(&weights).unwrap().unwrap().optimizer_elements(), 0);
    }

    #[test]
    fn names_that_lead_nowhere_or_twice_to_the_same_are_errors() {
        let with =
            |names: &[&str]| empty().strings("layer_names", names).group("a", dense(&["dense/kernel:0"]));
        check_error(
            read(&with(&["a", "b"])),
            ErrorKind::Malformed,
            "names \"b\", but there is no such group",
        );
        check_error(read(&with(&["a", "a"])), ErrorKind::Malformed, "names \"a\" twice");
        let with = |names: &[&str]| empty().strings("layer_names", &["a"]).group("a", dense(names));
        check_error(
            read(&with(&["dense/x"])),
            ErrorKind::Malformed,
            "\"a\": the attribute weight_names names \"dense/x\"",
        );
        check_error(read(&with(&["dense"])), ErrorKind::Malformed, "no such dataset");
        check_error(read(&with(&["dense/bias:0", "/dense/bias:0"])), ErrorKind::Malformed, "twice");
        check_error(
            read(&empty().group("model_weights", empty())),
            ErrorKind::Malformed,
            "layer_names is missing",
        );
        let limits = Limits { max_layers: 2, ..Limits::default() };
        let many = empty().strings("layer_names", &["a", "b", "c"]);
        check_error(read_with(&many, &limits), ErrorKind::Limit, "3 layers; 2 are allowed");
    }
}
