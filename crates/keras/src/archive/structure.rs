//! What an HDF5 file may consist of: groups and datasets, each linked to once, by a hard link, as Keras makes them.
//!
//! Every object is looked at before any is used, also those that nothing asks for: a link that leads elsewhere is never
//! followed and never left out. Otherwise a small file could stand for an endless or an enormous one, and what is
//! read would depend on what other files there are.

use super::element_type::describe;
use super::hdf5::Hdf5;
use super::links::Link;
use crate::archive::{Limits, shown};
use crate::{Error, Result};
use hdf5_reader::messages::HdfMessage;
use hdf5_reader::messages::layout::DataLayout;
use hdf5_reader::messages::link::LinkTarget;
use hdf5_reader::{Datatype, VarLenKind};
use std::collections::HashMap;
use std::ops::Range;

const MAX_DEPTH: usize = 64;
/// How many groups and datasets one layer is allowed to have, on average.
const OBJECTS_PER_LAYER: usize = 16;

const SAVE_ANEW: &str = "load the model in Keras and save it anew: model.save(\"model.keras\")";

/// Refuses a file that holds anything else than groups and datasets of its own.
pub(crate) fn check(file: &Hdf5, limits: &Limits) -> Result<()> {
    let root = file.root()?.address();
    let mut objects_left = limits.max_layers.saturating_mul(OBJECTS_PER_LAYER);
    // Where each object is linked, by its address.
    let mut paths = HashMap::from([(root, String::new())]);
    let mut waiting = vec![(root, 0)];
    let mut extents: Vec<(Range<u64>, u64)> = Vec::new();
    while let Some((group, depth)) = waiting.pop() {
        let path = paths.get(&group).cloned().unwrap_or_default();
        for Link { name, target } in file.links(group).map_err(|error| error.within(place(&path)))? {
            objects_left = objects_left
                .checked_sub(1)
                .ok_or_else(|| Error::limit("the file has more groups and datasets than are allowed"))?;
            let inner = if path.is_empty() { name } else { format!("{path}/{name}") };
            file.spend_text(inner.len())?;
            let within = |error: Error| error.within(shown(&inner));
            let address = address(target).map_err(within)?;
            if let Some(other) = paths.get(&address) {
                return Err(within(second_link(other, &inner)));
            }
            match object(file, address).map_err(within)? {
                Object::Group if depth == MAX_DEPTH => {
                    let message = format!("the groups are nested more than {MAX_DEPTH} levels deep");
                    return Err(within(Error::limit(message)));
                }
                Object::Group => waiting.push((address, depth + 1)),
                Object::Dataset(elements) => extents.extend(elements.map(|extent| (extent, address))),
            }
            paths.insert(address, inner);
        }
    }
    check_overlaps(&mut extents, &paths)
}

fn place(path: &str) -> String {
    if path.is_empty() { "the root group".to_owned() } else { shown(path) }
}

/// The address of the object that a hard link leads to.
fn address(target: LinkTarget) -> Result<u64> {
    let message = match target {
        LinkTarget::Hard { address } => return Ok(address),
        LinkTarget::Soft { path } => format!("a soft link, to {}; Keras makes none", shown(&path)),
        LinkTarget::External { filename, path } => {
            format!("an external link leads to another file, {}: {}", shown(&filename), shown(&path))
        }
    };
    Err(Error::unsupported(message).help(SAVE_ANEW))
}

fn second_link(first: &str, second: &str) -> Error {
    let is_around = first.is_empty() || second.strip_prefix(first).is_some_and(|rest| rest.starts_with('/'));
    let message = match is_around {
        true => format!("a link back to the group around it, {}", place(first)),
        false => format!("the same object as {}; Keras makes one link to each", shown(first)),
    };
    Error::unsupported(message).help(SAVE_ANEW)
}

/// What a link leads to.
enum Object {
    Group,
    /// Its elements lie in this range of the file, if they lie one after another.
    Dataset(Option<Range<u64>>),
}

fn object(file: &Hdf5, address: u64) -> Result<Object> {
    let header = file.header_at(address)?;
    let messages = &header.messages;
    let is_group = |message: &HdfMessage| {
        matches!(
            message,
            HdfMessage::SymbolTable(_)
                | HdfMessage::Link(_)
                | HdfMessage::LinkInfo(_)
                | HdfMessage::GroupInfo(_)
        )
    };
    if messages.iter().any(is_group) {
        return Ok(Object::Group);
    }
    let datatype = messages.iter().find_map(|message| match message {
        HdfMessage::Datatype(message) => Some(&message.datatype),
        _ => None,
    });
    let datatype = datatype.ok_or_else(|| Error::unsupported("neither a group nor a dataset"))?;
    if !messages.iter().any(|message| matches!(message, HdfMessage::Dataspace(_))) {
        return Err(Error::unsupported("a datatype with a name of its own; Keras makes none").help(SAVE_ANEW));
    }
    if !is_plain(datatype) {
        let given = describe(datatype);
        return Err(Error::unsupported(format!("a dataset of numbers or text was expected, not of {given}")));
    }
    let mut extent = None;
    for message in messages {
        match message {
            HdfMessage::ExternalFiles(_) => {
                return Err(Error::unsupported("the elements lie in another file").help(SAVE_ANEW));
            }
            HdfMessage::DataLayout(layout) => {
                if let DataLayout::Contiguous { address, size } = layout.layout {
                    extent = address.checked_add(size).map(|end| address..end);
                }
            }
            _ => {}
        }
    }
    Ok(Object::Dataset(extent.filter(|extent| !extent.is_empty())))
}

/// Whether elements of the type are numbers or text, which point nowhere.
fn is_plain(datatype: &Datatype) -> bool {
    match datatype {
        Datatype::FixedPoint { .. } | Datatype::FloatingPoint { .. } | Datatype::String { .. } => true,
        Datatype::Enum { base, .. } => is_plain(base),
        Datatype::VarLen { kind, .. } => matches!(kind, VarLenKind::String),
        // NumPy's types that HDF5 lacks, such as bfloat16.
        Datatype::Opaque { .. } => true,
        _ => false,
    }
}

/// Refuses datasets that share elements: many of them could stand for more than the file is long.
fn check_overlaps(extents: &mut [(Range<u64>, u64)], paths: &HashMap<u64, String>) -> Result<()> {
    extents.sort_by_key(|(extent, _)| (extent.start, extent.end));
    for pair in extents.windows(2) {
        if let [(before, first), (after, second)] = pair
            && after.start < before.end
        {
            let path = |address| shown(paths.get(address).map_or("", String::as_str));
            let message = format!("the elements lie where those of {} lie", path(first));
            return Err(Error::malformed(message).within(path(second)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::archive::Source;
    use crate::archive::hdf5_writer::{self, Dataset};

    fn empty() -> hdf5_writer::Group {
        hdf5_writer::Group::default()
    }

    fn check_with(root: &hdf5_writer::Group, limits: &Limits) -> Result<()> {
        let file = Hdf5::open(&Source::from_bytes("file", root.file()), limits)?;
        check(&file, limits)
    }

    #[track_caller]
    fn check_error(root: &hdf5_writer::Group, kind: ErrorKind, expected: &str) {
        let error = check_with(root, &Limits::default()).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }

    fn numbers() -> Dataset {
        Dataset::f32(&[2], &[1.0, 2.0])
    }

    #[test]
    fn groups_and_datasets_of_numbers_and_text_are_a_file() {
        let text = Dataset::new(vec![0x13, 1, 0, 0, 2, 0, 0, 0], &[1], b"ab");
        let inner = empty().dataset("a", numbers()).dataset("b", numbers()).dataset("t", text);
        let root = empty().group("x", inner.clone()).group("y", empty().group("x", inner));
        check_with(&root, &Limits::default()).unwrap();
    }

    #[test]
    fn links_that_are_not_hard_are_named_at_every_depth() {
        for depth in 0..4 {
            let path: String = (0..depth).map(|_| "g/").collect();
            let around = |group| (0..depth).fold(group, |group, _| empty().group("g", group));
            for (target, what) in [("/g", "to \"/g\""), ("nowhere", "to \"nowhere\""), ("/x", "to \"/x\"")] {
                let expected = format!("\"{path}x\": a soft link, {what}");
                check_error(&around(empty().soft_link("x", target)), ErrorKind::Unsupported, &expected);
            }
            let expected = format!("\"{path}x\": an external link leads to another file, \"o.h5\": \"/x\"");
            let root = around(empty().dataset("a", numbers()).external_link("x", "o.h5"));
            check_error(&root, ErrorKind::Unsupported, &expected);
            let expected = format!("\"{path}b\": the same object as \"{path}a\"");
            check_error(
                &around(empty().dataset("a", numbers()).alias("b")),
                ErrorKind::Unsupported,
                &expected,
            );
            check_error(&around(empty().group("a", empty()).alias("b")), ErrorKind::Unsupported, &expected);
        }
    }

    #[test]
    fn names_occur_once_and_are_names() {
        let twice = empty().group("a", empty()).group("a", empty());
        check_error(&empty().group("g", twice), ErrorKind::Malformed, "\"g\": two links are called \"a\"");
        for name in ["", ".", "a/b", "a\0b"] {
            let expected = format!("{name:?} is no name of a link");
            check_error(&empty().group(name, empty()), ErrorKind::Malformed, &expected);
        }
    }

    #[test]
    fn elements_that_point_elsewhere_are_refused() {
        let reference = vec![0x17, 0, 0, 0, 8, 0, 0, 0];
        let root = empty().group("g", empty().dataset("r", Dataset::new(reference, &[1], &[0; 8])));
        check_error(&root, ErrorKind::Unsupported, "\"g/r\": a dataset of numbers or text was expected");
        let virtual_layout = Dataset { layout: Some([&[4, 3][..], &[0; 12]].concat()), ..numbers() };
        check_error(
            &empty().dataset("v", virtual_layout),
            ErrorKind::Unsupported,
            "\"v\": a virtual dataset",
        );
    }

    #[test]
    fn datasets_do_not_share_elements() {
        let at = |address: u64| Dataset {
            layout: Some([&[3, 1][..], &address.to_le_bytes(), &8u64.to_le_bytes()].concat()),
            ..numbers()
        };
        check_with(&empty().dataset("a", at(48)).dataset("b", at(56)), &Limits::default()).unwrap();
        check_error(
            &empty().dataset("a", at(48)).dataset("b", at(52)),
            ErrorKind::Malformed,
            "\"b\": the elements lie where those of \"a\" lie",
        );
    }

    #[test]
    fn depth_number_and_names_are_bounded() {
        let deep = (0..=MAX_DEPTH).fold(empty(), |group, _| empty().group("x", group));
        check_error(&deep, ErrorKind::Limit, "more than 64 levels");
        let many = (0..20).fold(empty(), |group, at| group.group(&at.to_string(), empty()));
        let limits = Limits { max_layers: 1, ..Limits::default() };
        let error = check_with(&many, &limits).unwrap_err();
        assert!(error.to_string().contains("more groups and datasets"), "{error}");
        let limits = Limits { max_config_bytes: 10, ..Limits::default() };
        assert_eq!(check_with(&many, &limits).unwrap_err().kind(), ErrorKind::Limit);
    }
}
