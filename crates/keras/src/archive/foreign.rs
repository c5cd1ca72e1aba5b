//! Files that are no Keras models, told by their first bytes.

use super::source::Source;
use crate::{Error, Result};

const SAVE: &str = "save the model itself with Keras: model.save(\"model.keras\")";
const UNPACK: &str = "unpack it and give the .keras or .h5 file inside";
const DOWNLOAD: &str =
    "the download gave this instead of the file: sign in, or use the link to the file itself";
const NO_EXPORT: &str = "what was exported from Keras cannot be turned back: save the model that it was made from, \
                         model.save(\"model.keras\")";
const TENSORFLOW: &str = "save the Keras model that it was made from: model.save(\"model.keras\")";

/// Offset, bytes that stand there, what the file is, what to do.
const SIGNATURES: &[(usize, &[u8], &str, &str)] = &[
    (
        0,
        b"version https://git-lfs.github.com/spec/",
        "a git-LFS pointer",
        "run `git lfs pull` to fetch the file",
    ),
    (4, b"TFL3", "a TensorFlow Lite model", NO_EXPORT),
    (4, b"ORTM", "an ONNX Runtime model", NO_EXPORT),
    (0, b"\x93NUMPY", "a NumPy array", SAVE),
    (
        0,
        b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.",
        "a PyTorch checkpoint",
        "PyTorch models cannot be read",
    ),
    (0, b"\x80\x02", "a Python pickle", SAVE),
    (0, b"\x80\x03", "a Python pickle", SAVE),
    (0, b"\x80\x04", "a Python pickle", SAVE),
    (0, b"\x80\x05", "a Python pickle", SAVE),
    (0, b"model_checkpoint_path:", "the index of a TensorFlow checkpoint", TENSORFLOW),
    (0, b"GGUF", "a GGUF model", SAVE),
    (0, b"\x1f\x8b", "a gzip archive", UNPACK),
    (257, b"ustar", "a tar archive", UNPACK),
    (0, b"BZh", "a bzip2 archive", UNPACK),
    (0, b"\xfd7zXZ\0", "an xz archive", UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "a zstd archive", UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (0, b"Rar!\x1a\x07", "a RAR archive", UNPACK),
    (0, b"\xff\xfe", "text in UTF-16", "write it in UTF-8, as JSON is"),
    (0, b"\x89PNG\r\n", "a PNG image", SAVE),
    (0, b"\xff\xd8\xff", "a JPEG image", SAVE),
    (0, b"GIF8", "a GIF image", SAVE),
    (0, b"%PDF-", "a PDF document", SAVE),
];

/// The last bytes of LevelDB tables, which indices of TensorFlow checkpoints are.
const TABLE_END: &[u8] = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb";

/// An error for a file of another well-known format.
pub(crate) fn refusal(what: &str, help: &str) -> Error {
    Error::unsupported(format!("this is {what}, not a Keras model")).help(help)
}

/// What the file is instead of a Keras model, given its first bytes.
pub(crate) fn identify(source: &Source, prefix: &[u8]) -> Result<Error> {
    let at = |offset: usize, bytes: &[u8]| prefix.get(offset..).is_some_and(|rest| rest.starts_with(bytes));
    let len = source.len()?;
    if let Some((_, _, what, help)) = SIGNATURES.iter().find(|(offset, bytes, _, _)| at(*offset, bytes)) {
        return Ok(refusal(what, help));
    }
    if is_markup(prefix) {
        return Ok(refusal("a web page (HTML or XML)", DOWNLOAD));
    }
    if is_safetensors(prefix, len) {
        return Ok(refusal("a safetensors file, which holds weights only", SAVE));
    }
    if source.read(len.saturating_sub(8), len.min(8))? == TABLE_END {
        return Ok(refusal("the index of a TensorFlow checkpoint", TENSORFLOW));
    }
    if let Some(error) = identify_protobuf(source, prefix)? {
        return Ok(error);
    }
    let start: Vec<String> = prefix.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let message = format!("this is no Keras model: it begins with the bytes {}", start.join(" "));
    Ok(Error::unsupported(message)
        .help("a .keras archive, a whole-model .h5 file, or the JSON of model.to_json() can be read"))
}

/// HTML, or the XML in which storage services put their errors.
fn is_markup(prefix: &[u8]) -> bool {
    let start: Vec<u8> = prefix.trim_ascii_start().iter().take(16).map(u8::to_ascii_lowercase).collect();
    [b"<!doctype".as_slice(), b"<html", b"<head", b"<body", b"<?xml", b"<!--"]
        .iter()
        .any(|tag| start.starts_with(tag))
}

fn is_safetensors(prefix: &[u8], len: u64) -> bool {
    let header = prefix.first_chunk().copied().map(u64::from_le_bytes);
    header.is_some_and(|header| header > 1 && header <= len.saturating_sub(8)) && prefix.get(8) == Some(&b'{')
}

/// A field of a protobuf message.
struct Field {
    number: u64,
    /// Where its bytes are, for a field that has a length.
    bytes: Option<(u64, u64)>,
}

/// ONNX's ModelProto, TensorFlow's SavedModel and GraphDef: protobuf messages have no signature of their own.
fn identify_protobuf(source: &Source, prefix: &[u8]) -> Result<Option<Error>> {
    let Some(fields) = protobuf_fields(source)? else {
        return Ok(None);
    };
    let has = |number: u64| fields.iter().any(|field| field.number == number);
    let starts_with_number = fields.first().is_some_and(|field| field.number == 1 && field.bytes.is_none());
    if starts_with_number && fields.iter().any(|field| field.number == 7 && field.bytes.is_some()) {
        let help = "this is what K2O writes; save the Keras model that it was made from to convert it again";
        return Ok(Some(refusal("an ONNX model", help)));
    }
    if starts_with_number && has(2) && fields.iter().all(|field| field.number <= 2) {
        return Ok(Some(saved_model()));
    }
    let is_graph = fields.iter().all(|field| field.number <= 5) && is_node(source, &fields)?;
    Ok((is_graph && prefix.first() == Some(&0x0a)).then(|| refusal("a frozen TensorFlow graph", TENSORFLOW)))
}

pub(crate) fn saved_model() -> Error {
    let help = "load it in the Keras that wrote it and save it anew: \
                tf.keras.models.load_model(folder).save(\"model.keras\")";
    refusal("a TensorFlow SavedModel", help)
}

pub(crate) fn checkpoint() -> Error {
    refusal("a TensorFlow checkpoint, which holds weights only", TENSORFLOW)
}

/// Whether the first field is a NodeDef: a name and an operator.
fn is_node(source: &Source, fields: &[Field]) -> Result<bool> {
    let Some((offset, len)) = fields.first().and_then(|field| field.bytes) else {
        return Ok(false);
    };
    let node = source.window("node", offset, len);
    let Some(inner) = protobuf_fields(&node)? else {
        return Ok(false);
    };
    let mut texts = Vec::new();
    for (offset, len) in inner.iter().take(2).filter_map(|field| field.bytes) {
        texts.push(node.read(offset, len.min(256))?);
    }
    let is_name = |text: &Vec<u8>| !text.is_empty() && text.iter().all(u8::is_ascii_graphic);
    let numbers: Vec<u64> = inner.iter().take(2).map(|field| field.number).collect();
    Ok(numbers == [1, 2] && texts.len() == 2 && texts.iter().all(is_name))
}

/// The outermost fields of a protobuf message, at most 64 of them; `None` if it is no such message.
fn protobuf_fields(source: &Source) -> Result<Option<Vec<Field>>> {
    let len = source.len()?;
    let mut fields = Vec::new();
    let mut position = 0;
    while position < len && fields.len() < 64 {
        let head = source.read(position, (len - position).min(20))?;
        let Some((tag, rest)) = varint(&head) else {
            return Ok(None);
        };
        let Some((value, after)) = (match tag & 7 {
            0 | 2 => varint(rest),
            1 => rest.get(8..).map(|after| (0, after)),
            5 => rest.get(4..).map(|after| (0, after)),
            _ => None,
        }) else {
            return Ok(None);
        };
        position += (head.len() - after.len()) as u64;
        let bytes = (tag & 7 == 2).then_some((position, value));
        if bytes.is_some() {
            match position.checked_add(value) {
                Some(end) if end <= len => position = end,
                _ => return Ok(None),
            }
        }
        if tag >> 3 == 0 {
            return Ok(None);
        }
        fields.push(Field { number: tag >> 3, bytes });
    }
    Ok(Some(fields))
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f).checked_shl(7 * at as u32)?;
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(at + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: &str) {
        let source = Source::from_bytes("file", bytes.to_vec());
        let error = identify(&source, &source.prefix(4096).unwrap()).unwrap();
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[test]
    fn formats_are_told_by_their_first_bytes() {
        check(b"\x93NUMPY\x01\0", "a NumPy array");
        check(b"\x80\x04\x95\x10\0", "a Python pickle");
        check(b"\xff\xd8\xff\xe0\0\x10JFIF", "a JPEG image");
        check(b"\x1f\x8b\x08\0", "a gzip archive");
        check(&[&[0u8; 257][..], b"ustar\0"].concat(), "a tar archive");
        check(b"\n <HTML><body>", "a web page");
        check(b"<?xml version='1.0'?><Error><Code>AccessDenied", "a web page");
        check(b"\x02\0\0\0\0\0\0\0{}abc", "a safetensors file");
        check(b"anything", "begins with the bytes 61 6e 79 74 68 69 6e 67");
        check(b"x", "begins with the bytes 78");
    }

    #[test]
    fn protobuf_messages_are_told_by_their_fields() {
        // ir_version 8, producer "k", an empty graph.
        check(b"\x08\x08\x12\x01k\x3a\0", "an ONNX model");
        // Schema version 1, an empty meta graph.
        check(b"\x08\x01\x12\0", "a TensorFlow SavedModel");
        // A node "x" of operator "Add"; versions.
        check(b"\x0a\x08\x0a\x01x\x12\x03Add\x22\0", "a frozen TensorFlow graph");
        check(b"\x0a\x05\x0a\x03\0\0\0", "begins with the bytes 0a 05");
        check(b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "begins with the bytes 08 ff");
        check(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "begins with the bytes 0a ff");
    }
}
