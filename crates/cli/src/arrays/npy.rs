//! NumPy's `.npy`: an array, as `numpy.lib.format` defines its versions 1 to 3.

use super::Numbers;
use crate::failure::Failure;
use half::f16;
use k2o::Model;
use ndarray::{ArrayD, IxDyn, ShapeBuilder};
use std::io::{self, Read, Write};

/// What every file begins with.
pub(super) const MAGIC: &[u8] = b"\x93NUMPY";

/// The header's end is a multiple of this, so that elements are aligned.
const ALIGNMENT: usize = 64;

/// What NumPy writes takes some hundred bytes.
const MOST_HEADER_BYTES: u32 = 1 << 16;

/// How many elements are read or written at a time.
const BLOCK: usize = 1 << 13;

/// The array of a file of `len` bytes, which errors call `what`. Refuses what is more than `model` may take.
pub(super) fn read(what: &str, len: u64, reader: &mut impl Read, model: &Model) -> Result<Numbers, Failure> {
    let malformed = |text: String| Failure::Malformed(format!("{what}: {text}"));
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => malformed("the array ends too early".to_string()),
        _ => malformed(error.to_string()),
    };
    let (text, header_len) = header_text(reader).map_err(failed)?.map_err(malformed)?;
    let header = Header::parse(&text).map_err(malformed)?;
    let element = Element::parse(header.descr).map_err(|text| Failure::Usage(format!("{what}: {text}")))?;
    let count = header.shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size));
    let bytes = count.and_then(|count| (count as u64).checked_mul(element.width as u64));
    let given = len.saturating_sub(header_len);
    let (Some(count), true) = (count, bytes == Some(given)) else {
        let expected =
            bytes.map_or_else(|| "more than any file".to_string(), |bytes| format!("{bytes} bytes"));
        let (descr, shape) = (header.descr, &header.shape);
        return Err(malformed(format!(
            "{given} bytes of elements, but {descr:?} of shape {shape:?} takes {expected}"
        )));
    };
    let memory = (count as u64).saturating_mul(size_of::<f64>() as u64);
    model.fits_memory(&format!("{what}: the array takes"), memory).map_err(Failure::Model)?;
    let mut numbers = Vec::new();
    let mut block = vec![0; BLOCK.min(count) * element.width];
    while numbers.len() < count {
        let taken = (count - numbers.len()).min(BLOCK);
        let block = &mut block[..taken * element.width];
        reader.read_exact(block).map_err(failed)?;
        element.decode(block, &mut numbers);
    }
    // An archive's checksum is compared where its member ends.
    if reader.read(&mut [0]).map_err(failed)? != 0 {
        return Err(malformed("bytes follow the array".to_string()));
    }
    let shape = IxDyn(&header.shape).set_f(header.is_fortran);
    let array = ArrayD::from_shape_vec(shape, numbers).map_err(|error| malformed(error.to_string()))?;
    Ok(Numbers(array.as_standard_layout().into_owned()))
}

/// Writes an array in single precision and row-major order, as NumPy does.
pub(super) fn write(array: &ArrayD<f32>, writer: &mut impl Write) -> io::Result<()> {
    let shape: String = match array.shape() {
        [size] => format!("{size},"),
        sizes => sizes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    // NumPy leaves room for a first size of 21 digits.
    let room = array.shape().first().map_or(0, |size| 21usize.saturating_sub(size.to_string().len()));
    let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}{:room$}", "");
    // The magic, two bytes of version, two of the length, and the line's end.
    let fixed = MAGIC.len() + 4 + 1;
    let spaces = (fixed + text.len()).next_multiple_of(ALIGNMENT) - fixed - text.len();
    let text = format!("{text}{:spaces$}\n", "");
    let len = u16::try_from(text.len()).map_err(io::Error::other)?;
    writer.write_all(&[MAGIC, &[1, 0], &len.to_le_bytes(), text.as_bytes()].concat())?;
    let mut block = Vec::with_capacity(BLOCK * size_of::<f32>());
    let mut elements = array.iter();
    loop {
        block.clear();
        block.extend(elements.by_ref().take(BLOCK).flat_map(|x| x.to_le_bytes()));
        if block.is_empty() {
            return Ok(());
        }
        writer.write_all(&block)?;
    }
}

/// The header's text and how many bytes come before the elements; the inner error says why it is none.
fn header_text(reader: &mut impl Read) -> io::Result<Result<(String, u64), String>> {
    let mut start = [0; 8];
    reader.read_exact(&mut start)?;
    let Some(&[major, minor]) = start.strip_prefix(MAGIC) else {
        return Ok(Err("no NumPy array".to_string()));
    };
    let (len, fixed) = match (major, minor) {
        (1, 0) => {
            let mut len = [0; 2];
            reader.read_exact(&mut len)?;
            (u32::from(u16::from_le_bytes(len)), 10)
        }
        (2 | 3, 0) => {
            let mut len = [0; 4];
            reader.read_exact(&mut len)?;
            (u32::from_le_bytes(len), 12)
        }
        _ => return Ok(Err(format!("version {major}.{minor} of the format; 1.0, 2.0 and 3.0 are read"))),
    };
    if len > MOST_HEADER_BYTES {
        return Ok(Err(format!("a header of {len} bytes; at most {MOST_HEADER_BYTES} are read")));
    }
    let mut text = vec![0; len as usize];
    reader.read_exact(&mut text)?;
    let text = String::from_utf8(text).map_err(|_| "the header is no text".to_string());
    Ok(text.map(|text| (text, fixed + u64::from(len))))
}

/// What the header says, a Python dictionary of three entries.
#[derive(Debug, PartialEq)]
struct Header<'a> {
    descr: &'a str,
    is_fortran: bool,
    shape: Vec<usize>,
}

impl Header<'_> {
    fn parse(text: &str) -> Result<Header<'_>, String> {
        let shown: String = text.trim_end().chars().take(200).collect();
        let wrong = || format!("the header is no dictionary of descr, fortran_order and shape: {shown:?}");
        let mut literal = Literal(text);
        let (mut descr, mut is_fortran, mut shape) = (None, None, None);
        literal.eat('{').ok_or_else(wrong)?;
        while literal.eat('}').is_none() {
            let key = literal.string().ok_or_else(wrong)?;
            literal.eat(':').ok_or_else(wrong)?;
            let is_new = match key {
                "descr" if literal.eat('[').is_some() => {
                    return Err(format!("its elements are records, not numbers: {shown:?}"));
                }
                "descr" => descr.replace(literal.string().ok_or_else(wrong)?).is_none(),
                "fortran_order" => is_fortran.replace(literal.bool().ok_or_else(wrong)?).is_none(),
                "shape" => shape.replace(literal.sizes().ok_or_else(wrong)?).is_none(),
                _ => false,
            };
            let is_last = literal.eat(',').is_none() && !literal.0.trim_start().starts_with('}');
            if !is_new || is_last {
                return Err(wrong());
            }
        }
        match (descr, is_fortran, shape, literal.0.trim()) {
            (Some(descr), Some(is_fortran), Some(shape), "") => Ok(Header { descr, is_fortran, shape }),
            _ => Err(wrong()),
        }
    }
}

/// What is left of a Python literal.
struct Literal<'a>(&'a str);

impl<'a> Literal<'a> {
    /// Takes a mark, if it is next.
    fn eat(&mut self, mark: char) -> Option<()> {
        self.0 = self.0.trim_start().strip_prefix(mark)?;
        Some(())
    }

    /// Takes a string without escapes.
    fn string(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start();
        let quote = text.chars().next().filter(|quote| ['\'', '"'].contains(quote))?;
        let (string, rest) = text.strip_prefix(quote)?.split_once(quote)?;
        self.0 = rest;
        (!string.contains('\\')).then_some(string)
    }

    fn bool(&mut self) -> Option<bool> {
        let text = self.0.trim_start();
        [("True", true), ("False", false)].into_iter().find_map(|(word, value)| {
            self.0 = text.strip_prefix(word)?;
            Some(value)
        })
    }

    /// Takes a tuple of sizes; Python 2 wrote long ones with an `L`.
    fn sizes(&mut self) -> Option<Vec<usize>> {
        self.eat('(')?;
        let (inside, rest) = self.0.split_once(')')?;
        self.0 = rest;
        let inside = inside.trim();
        let list = inside.strip_suffix(',').unwrap_or(inside);
        if list.is_empty() {
            return inside.is_empty().then(Vec::new);
        }
        // A number in parentheses is no tuple.
        if list == inside && !list.contains(',') {
            return None;
        }
        let size = |text: &str| {
            let text = text.trim();
            let digits = text.strip_suffix('L').unwrap_or(text);
            // Without a sign, which Rust would read too.
            digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
        };
        list.split(',').map(size).collect()
    }
}

/// How an element is stored.
#[derive(Debug)]
struct Element {
    kind: Kind,
    /// In bytes.
    width: usize,
    is_big_endian: bool,
}

#[derive(Debug)]
enum Kind {
    Bool,
    Signed,
    Unsigned,
    Float,
}

impl Element {
    /// The element that NumPy's `dtype.str` names.
    fn parse(descr: &str) -> Result<Element, String> {
        let parse = || {
            let (order, name) = descr.split_at_checked(1)?;
            let (kind, width) = match name {
                "b1" => (Kind::Bool, 1),
                "i1" => (Kind::Signed, 1),
                "i2" => (Kind::Signed, 2),
                "i4" => (Kind::Signed, 4),
                "i8" => (Kind::Signed, 8),
                "u1" => (Kind::Unsigned, 1),
                "u2" => (Kind::Unsigned, 2),
                "u4" => (Kind::Unsigned, 4),
                "u8" => (Kind::Unsigned, 8),
                "f2" => (Kind::Float, 2),
                "f4" => (Kind::Float, 4),
                "f8" => (Kind::Float, 8),
                _ => return None,
            };
            let is_big_endian = match order {
                "<" => false,
                ">" => true,
                "|" if width == 1 => false,
                _ => return None,
            };
            Some(Element { kind, width, is_big_endian })
        };
        parse().ok_or_else(|| {
            format!(
                "its elements are {descr:?}; booleans, integers of 8 to 64 bits and floating-point numbers of 16 to \
                 64 are read\n  help: x.astype(\"float32\") in NumPy makes such an array"
            )
        })
    }

    /// Appends the numbers of whole elements.
    fn decode(&self, bytes: &mut [u8], numbers: &mut Vec<f64>) {
        if self.is_big_endian {
            bytes.chunks_exact_mut(self.width).for_each(<[u8]>::reverse);
        }
        match (&self.kind, self.width) {
            (Kind::Bool, _) => each(bytes, numbers, |[x]| f64::from(u8::from(x != 0))),
            (Kind::Signed, 1) => each(bytes, numbers, |x| f64::from(i8::from_le_bytes(x))),
            (Kind::Signed, 2) => each(bytes, numbers, |x| f64::from(i16::from_le_bytes(x))),
            (Kind::Signed, 4) => each(bytes, numbers, |x| f64::from(i32::from_le_bytes(x))),
            (Kind::Signed, _) => each(bytes, numbers, |x| i64::from_le_bytes(x) as f64),
            (Kind::Unsigned, 1) => each(bytes, numbers, |x| f64::from(u8::from_le_bytes(x))),
            (Kind::Unsigned, 2) => each(bytes, numbers, |x| f64::from(u16::from_le_bytes(x))),
            (Kind::Unsigned, 4) => each(bytes, numbers, |x| f64::from(u32::from_le_bytes(x))),
            (Kind::Unsigned, _) => each(bytes, numbers, |x| u64::from_le_bytes(x) as f64),
            (Kind::Float, 2) => each(bytes, numbers, |x| f16::from_le_bytes(x).to_f64()),
            (Kind::Float, 4) => each(bytes, numbers, |x| f64::from(f32::from_le_bytes(x))),
            (Kind::Float, _) => each(bytes, numbers, f64::from_le_bytes),
        }
    }
}

fn each<const N: usize>(bytes: &[u8], numbers: &mut Vec<f64>, number: impl Fn([u8; N]) -> f64) {
    numbers.extend(bytes.as_chunks().0.iter().copied().map(number));
}

#[cfg(test)]
mod tests;
