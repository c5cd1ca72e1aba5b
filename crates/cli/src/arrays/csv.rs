//! CSV: lines of numbers with commas between them, which are examples or the steps of one.

use super::Numbers;
use crate::failure::Failure;
use k2o::Port;
use k2o::core::{DType, Dim};
use ndarray::{ArrayD, ArrayView1, Axis, IxDyn};
use std::io::{self, Write};

/// The array of a model's input or output, as `role` says, in a text, which is called `file`.
///
/// A line is an example, row-major, if it has as many numbers as the shape without its batch; one unknown size follows
/// from how many there are. For a shape `[batch, steps, channels]` a line may also be a step: then it has `channels`
/// numbers, and the lines are those of one example. A first line that has no number is a header.
pub(super) fn read(file: &str, text: &[u8], port: &Port, role: &str) -> Result<Numbers, Failure> {
    let malformed = |text: String| Failure::Malformed(format!("{file}: {text}"));
    if text.contains(&0) {
        return Err(malformed("neither an .npy nor an .npz nor CSV, which is text".to_string()));
    }
    // Of text for a single-precision input the nearest single-precision number; by way of double precision it may be
    // the one beside it.
    let parse: fn(&str) -> Option<f64> = match (role, port.r#type.dtype) {
        ("input", DType::F32) => |field| field.parse::<f32>().ok().map(f64::from),
        _ => |field| field.parse().ok(),
    };
    let text = String::from_utf8_lossy(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text));
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let mut numbers = Vec::new();
    let mut first: Option<(usize, usize)> = None;
    let mut rows = 0;
    for (at, (line, record)) in lines.map(|(line, record)| (line + 1, record)).enumerate() {
        let fields = || record.split(',').map(unquoted);
        if at == 0 && fields().all(|field| parse(field).is_none()) {
            continue;
        }
        let given = fields().count();
        let (first_line, len) = *first.get_or_insert((line, given));
        if given != len {
            let given = count(given, "number");
            return Err(malformed(format!("line {line}: {given}, but line {first_line} has {len}")));
        }
        for (at, field) in fields().enumerate() {
            let number = parse(field).ok_or_else(|| {
                let field: String = field.chars().take(40).collect();
                malformed(format!("line {line}, field {}: expected a number, found {field:?}", at + 1))
            })?;
            numbers.push(number);
        }
        rows += 1;
    }
    let Some((line, len)) = first else {
        return Err(malformed("no array: neither an .npy nor an .npz, and no line of numbers".to_string()));
    };
    let shape = shape(port, rows, len).map_err(|expected| {
        let (name, shape) = (&port.name, &port.r#type.shape);
        let given = count(len, "number");
        Failure::Usage(format!(
            "{file}: line {line}: {given}, but {role} {name:?} has shape {shape}: expected {expected}"
        ))
    })?;
    let array =
        ArrayD::from_shape_vec(IxDyn(&shape), numbers).map_err(|error| malformed(error.to_string()))?;
    Ok(Numbers(array))
}

/// The shape of an array of `rows` lines of `len` numbers each, or what was expected of a line.
fn shape(port: &Port, rows: usize, len: usize) -> Result<Vec<usize>, String> {
    let sizes: Vec<Option<usize>> = port.r#type.shape.iter().skip(1).map(known).collect();
    let known = sizes.iter().flatten().try_fold(1usize, |n, &size| n.checked_mul(size));
    let known = known.ok_or("an .npy, since an example has more numbers than can be counted".to_string())?;
    let unknown = sizes.iter().filter(|size| size.is_none()).count();
    let channels = match sizes.as_slice() {
        [_, Some(channels)] => Some(*channels),
        _ => None,
    };
    let example = match unknown {
        0 => (len == known).then_some(0),
        1 if known > 0 && len.is_multiple_of(known) => Some(len / known),
        _ => None,
    };
    match (example, channels) {
        // Where nothing else is known, as many numbers as channels are a step.
        (_, Some(channels)) if len == channels && (unknown == 1 || example.is_none()) => {
            match sizes.first().copied().flatten() {
                Some(steps) if steps != rows => Err(format!(
                    "{known} numbers, an example, or {channels}, a step of a single example, which has {steps} of them \
                     where the file has {}",
                    count(rows, "line")
                )),
                _ => Ok(vec![1, rows, channels]),
            }
        }
        (Some(found), _) => {
            let inner = sizes.iter().map(|size| size.unwrap_or(found));
            Ok(std::iter::once(rows).chain(inner).collect())
        }
        (None, channels) => Err(match (unknown, channels) {
            (0, Some(channels)) => {
                format!("{known} numbers, an example, or {channels}, a step of a single example")
            }
            (1, Some(channels)) => {
                format!(
                    "{channels} numbers, a step of a single example, or a multiple of {known}, an example"
                )
            }
            (0, None) => format!("{known} numbers, an example"),
            (1, None) => format!("a multiple of {known} numbers, an example"),
            _ => format!("an .npy, since {unknown} sizes of an example are not known"),
        }),
    }
}

fn known(dim: &Dim) -> Option<usize> {
    dim.as_fixed().and_then(|size| usize::try_from(size).ok())
}

/// A field without the spaces and quotes around it.
fn unquoted(field: &str) -> &str {
    let field = field.trim();
    field.strip_prefix('"').and_then(|field| field.strip_suffix('"')).unwrap_or(field).trim()
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// Writes one line per element of the first axis: its numbers in row-major order, each with as few digits as tell it
/// from every other single-precision number.
pub(super) fn write(array: &ArrayD<f32>, writer: &mut impl Write) -> io::Result<()> {
    if array.ndim() == 0 {
        return line(array.view().into_shape_with_order(array.len()).map_err(io::Error::other)?, writer);
    }
    for example in array.axis_iter(Axis(0)) {
        let example = example.as_standard_layout();
        line(example.view().into_shape_with_order(example.len()).map_err(io::Error::other)?, writer)?;
    }
    Ok(())
}

fn line(numbers: ArrayView1<'_, f32>, writer: &mut impl Write) -> io::Result<()> {
    for (at, number) in numbers.iter().enumerate() {
        // With an exponent where there would be many zeros.
        write!(writer, "{}{number:?}", if at == 0 { "" } else { "," })?;
    }
    writer.write_all(b"\n")
}
