//! Attributes of HDF5 objects that hold strings, in every way that has been used to store them.

use super::element_type::describe;
use super::hdf5::{Hdf5, convert};
use crate::archive::shown;
use crate::{Error, Result};
use hdf5_reader::error::Result as Hdf5Result;
use hdf5_reader::group::Group;
use hdf5_reader::{Dataset, Datatype, RawAttribute, StringPadding, StringSize, VarLenKind};

use std::collections::HashMap;

type Resolve<'a> = Box<dyn Fn(&[u8]) -> Hdf5Result<Vec<u8>> + 'a>;

/// The attributes of one object, of which those that are asked for are decoded.
pub(crate) struct Attributes<'a> {
    raw: HashMap<String, RawAttribute>,
    resolve: Resolve<'a>,
    file: &'a Hdf5,
}

impl<'a> Attributes<'a> {
    pub fn of_group(file: &'a Hdf5, group: &'a Group) -> Result<Attributes<'a>> {
        let raw = by_name(group.raw_attributes().map_err(convert)?)?;
        let resolve = |reference: &[u8]| group.resolve_vlen_reference_bytes(reference, 1);
        Ok(Attributes { raw, resolve: Box::new(resolve), file })
    }

    pub fn of_dataset(file: &'a Hdf5, dataset: &'a Dataset) -> Result<Attributes<'a>> {
        let raw = by_name(dataset.raw_attributes().map_err(convert)?)?;
        let resolve = |reference: &[u8]| dataset.resolve_vlen_reference_bytes(reference, 1);
        Ok(Attributes { raw, resolve: Box::new(resolve), file })
    }

    /// The one string in the attribute `name`; `None` if there is no such attribute.
    pub fn string(&self, name: &str) -> Result<Option<String>> {
        let Some(strings) = self.decode(name)? else {
            return Ok(None);
        };
        match <[String; 1]>::try_from(strings) {
            Ok([string]) => Ok(Some(string)),
            Err(strings) => {
                let message = format!("one string was expected, {} are there", strings.len());
                Err(Error::malformed(message).within(format!("attribute {name}")))
            }
        }
    }

    /// The strings in the attribute `name`, which Keras splits into `name0`, `name1`, .. if they are many;
    /// `None` if there is no such attribute.
    pub fn strings(&self, name: &str) -> Result<Option<Vec<String>>> {
        if let Some(strings) = self.decode(name)? {
            return Ok(Some(strings));
        }
        let mut all = Vec::new();
        for part in 0usize.. {
            match self.decode(&format!("{name}{part}"))? {
                Some(strings) => all.extend(strings),
                None if part == 0 => return Ok(None),
                None => break,
            }
        }
        Ok(Some(all))
    }

    fn decode(&self, name: &str) -> Result<Option<Vec<String>>> {
        let Some(attribute) = self.raw.get(name) else {
            return Ok(None);
        };
        self.decode_strings(attribute).map(Some).map_err(|error| error.within(format!("attribute {name}")))
    }

    fn decode_strings(&self, attribute: &RawAttribute) -> Result<Vec<String>> {
        let message = attribute.message();
        let count = message.dataspace.num_elements().map_err(|error| convert(error.into()))?;
        let (width, padding, is_reference) = match &message.datatype {
            // NumPy makes an empty list one of floats.
            _ if count == 0 => return Ok(Vec::new()),
            Datatype::String { size: StringSize::Fixed(width), padding, .. } => {
                (*width as usize, *padding, false)
            }
            Datatype::VarLen { base, kind: VarLenKind::String, padding, .. }
                if base.is_vlen_string_base() =>
            {
                (8 + usize::from(self.file.offset_size()), *padding, true)
            }
            other => {
                return Err(Error::malformed(format!("strings were expected, not {}", describe(other))));
            }
        };
        let mut strings = Vec::new();
        for element in message.raw_data.chunks_exact(width.max(1)) {
            if strings.len() as u64 == count {
                break;
            }
            let resolved = if is_reference { Some((self.resolve)(element).map_err(convert)?) } else { None };
            let bytes = trim(resolved.as_deref().unwrap_or(element), padding);
            self.file.spend_text(bytes.len())?;
            let text = str::from_utf8(bytes).map_err(|error| {
                Error::malformed(format!(
                    "text is UTF-8, but byte {} begins no character",
                    error.valid_up_to()
                ))
            })?;
            strings.push(text.to_owned());
        }
        if strings.len() as u64 != count {
            return Err(Error::malformed(format!(
                "{count} strings were expected, {} are there",
                strings.len()
            )));
        }
        Ok(strings)
    }
}

fn by_name(attributes: Vec<RawAttribute>) -> Result<HashMap<String, RawAttribute>> {
    let mut raw = HashMap::new();
    for attribute in attributes {
        let name = attribute.name().to_owned();
        if let Some(first) = raw.insert(name, attribute) {
            let message = format!("two attributes are called {}", shown(first.name()));
            return Err(Error::malformed(message));
        }
    }
    Ok(raw)
}

/// The text without what fills it up.
fn trim(bytes: &[u8], padding: StringPadding) -> &[u8] {
    let end = match padding {
        StringPadding::NullTerminate => bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len()),
        StringPadding::NullPad => bytes.iter().rposition(|&byte| byte != 0).map_or(0, |at| at + 1),
        StringPadding::SpacePad => bytes.iter().rposition(|&byte| byte != b' ').map_or(0, |at| at + 1),
    };
    bytes.get(..end).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::archive::hdf5_writer::{self, attribute, integer};
    use crate::archive::{Limits, Source};

    fn open(root: &hdf5_writer::Group) -> Hdf5 {
        Hdf5::open(&Source::from_bytes("file", root.file()), &Limits::default()).unwrap()
    }

    #[track_caller]
    fn check_error<T>(result: Result<T>, kind: ErrorKind, expected: &str) {
        let error = result.err().unwrap();
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[test]
    fn strings_come_whole_or_in_parts() {
        let root = hdf5_writer::Group::default()
            .strings("one", &["text"])
            .strings("names", &["a", "bcd"])
            .strings("many0", &["x"])
            .strings("many1", &["y", "z"])
            .strings("many3", &["no"])
            .no_strings("none");
        let file = open(&root);
        let root = file.root().unwrap();
        let attributes = Attributes::of_group(&file, &root).unwrap();
        assert_eq!(attributes.string("one").unwrap().unwrap(), "text");
        assert_eq!(attributes.strings("names").unwrap().unwrap(), ["a", "bcd"]);
        assert_eq!(attributes.strings("many").unwrap().unwrap(), ["x", "y", "z"]);
        assert!(attributes.strings("none").unwrap().unwrap().is_empty());
        assert_eq!(attributes.strings("absent").unwrap(), None);
        check_error(attributes.string("names"), ErrorKind::Malformed, "one string was expected, 2 are there");
    }

    #[test]
    fn attributes_that_are_no_strings_are_errors() {
        let mut root = hdf5_writer::Group::default();
        root.push_attribute(attribute("number", &integer(32), &[1], &[0; 4]));
        root.push_attribute(attribute("bytes", &[0x13, 1, 0, 0, 2, 0, 0, 0], &[1], b"\xff\xff"));
        let file = open(&root);
        let root = file.root().unwrap();
        let attributes = Attributes::of_group(&file, &root).unwrap();
        check_error(attributes.string("number"), ErrorKind::Malformed, "not signed integers of 4 bytes");
        check_error(attributes.string("bytes"), ErrorKind::Malformed, "text is UTF-8");
    }

    #[test]
    fn text_is_limited() {
        let root = hdf5_writer::Group::default().strings("a", &["12345678"]).strings("b", &["12345678"]);
        let limits = Limits { max_config_bytes: 15, ..Limits::default() };
        let file = Hdf5::open(&Source::from_bytes("file", root.file()), &limits).unwrap();
        let root = file.root().unwrap();
        let attributes = Attributes::of_group(&file, &root).unwrap();
        assert!(attributes.string("a").is_ok());
        check_error(attributes.string("b"), ErrorKind::Limit, "more text than is allowed");
    }

    #[test]
    fn padding_is_taken_off() {
        assert_eq!(trim(b"ab\0c\0\0", StringPadding::NullTerminate), b"ab");
        assert_eq!(trim(b"ab\0c\0\0", StringPadding::NullPad), b"ab\0c");
        assert_eq!(trim(b"ab  ", StringPadding::SpacePad), b"ab");
        assert_eq!(trim(b"\0\0", StringPadding::NullPad), b"");
        assert_eq!(trim(b"full", StringPadding::NullTerminate), b"full");
    }
}
