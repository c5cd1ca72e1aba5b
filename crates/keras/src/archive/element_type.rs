//! Which of Keras's element types an HDF5 dataset has.

use super::attributes::Attributes;
use super::hdf5::{Hdf5, convert};
use crate::{Error, Result};
use hdf5_reader::error::ByteOrder;
use hdf5_reader::{Dataset, Datatype, VarLenKind};
use k2o_core::DType;

/// The type and byte order of the elements.
pub(crate) fn element_type(file: &Hdf5, dataset: &Dataset) -> Result<(DType, ByteOrder)> {
    let refused = || {
        let given = describe(dataset.dtype());
        Error::unsupported(format!("numbers of Keras's types were expected, not {given}"))
    };
    match dataset.dtype() {
        Datatype::FixedPoint { byte_order, size, signed } => {
            let raw = dataset.raw_datatype().map_err(convert)?;
            let whole = raw.get(8..12) == Some(&[0, 0, size.saturating_mul(8), 0]);
            integer(*size, *signed).filter(|_| whole).map(|dtype| (dtype, *byte_order)).ok_or_else(refused)
        }
        Datatype::FloatingPoint { byte_order, .. } => {
            let raw = dataset.raw_datatype().map_err(convert)?;
            float(&raw).map(|dtype| (dtype, *byte_order)).ok_or_else(refused)
        }
        Datatype::Enum { base, members } if matches!(**base, Datatype::FixedPoint { size: 1, .. }) => {
            let value = |name: &str| {
                let mut found = members.iter().filter(|member| member.name == name);
                found.next().map(|member| member.value.as_slice())
            };
            let is_bool = members.len() == 2 && value("FALSE") == Some(&[0]) && value("TRUE") == Some(&[1]);
            is_bool.then_some((DType::Bool, ByteOrder::LittleEndian)).ok_or_else(refused)
        }
        Datatype::Opaque { size: 2, .. } => {
            let name = Attributes::of_dataset(file, dataset)?.string("dtype")?;
            let is_bfloat16 = name.as_deref() == Some("bfloat16");
            is_bfloat16.then_some((DType::BF16, ByteOrder::LittleEndian)).ok_or_else(refused)
        }
        _ => Err(refused()),
    }
}

fn integer(size: u8, signed: bool) -> Option<DType> {
    Some(match (size, signed) {
        (1, true) => DType::I8,
        (1, false) => DType::U8,
        (2, true) => DType::I16,
        (2, false) => DType::U16,
        (4, true) => DType::I32,
        (4, false) => DType::U32,
        (8, true) => DType::I64,
        (8, false) => DType::U64,
        _ => return None,
    })
}

/// The floating-point type that an HDF5 datatype message lays out bit by bit.
///
/// The reader tells only the size, so that any other format of two bytes would pass for `float16`.
fn float(raw: &[u8]) -> Option<DType> {
    let [
        _,
        flags,
        sign,
        _,
        size,
        0,
        0,
        0,
        0,
        0,
        precision,
        0,
        exponent,
        exponent_size,
        0,
        mantissa,
        b0,
        b1,
        b2,
        b3,
    ] = *raw.first_chunk::<20>()?
    else {
        return None;
    };
    // Bit 6 is set for the byte order of the VAX; bits 4 and 5 are 2 where the leading one is implied.
    if flags & 0x70 != 0x20 || precision.checked_div(8) != Some(size) || sign != precision.checked_sub(1)? {
        return None;
    }
    let bias = u32::from_le_bytes([b0, b1, b2, b3]);
    match (size, exponent, exponent_size, mantissa, bias) {
        (2, 10, 5, 10, 15) => Some(DType::F16),
        (2, 7, 8, 7, 127) => Some(DType::BF16),
        (4, 23, 8, 23, 127) => Some(DType::F32),
        (8, 52, 11, 52, 1023) => Some(DType::F64),
        _ => None,
    }
}

/// An HDF5 datatype in words.
pub(crate) fn describe(datatype: &Datatype) -> String {
    match datatype {
        Datatype::FixedPoint { size, signed, .. } => {
            format!("{} integers of {size} bytes", if *signed { "signed" } else { "unsigned" })
        }
        Datatype::FloatingPoint { size, .. } => format!("floating-point numbers of {size} bytes"),
        Datatype::String { .. } => "strings".to_owned(),
        Datatype::Compound { .. } => "compound elements".to_owned(),
        Datatype::Array { .. } => "arrays as elements".to_owned(),
        Datatype::Enum { .. } => "an enumeration".to_owned(),
        Datatype::VarLen { kind: VarLenKind::String, .. } => "strings of variable length".to_owned(),
        Datatype::VarLen { .. } => "elements of variable length".to_owned(),
        Datatype::Opaque { size, .. } => format!("opaque elements of {size} bytes"),
        Datatype::Reference { .. } => "references".to_owned(),
        Datatype::Bitfield { size, .. } => format!("bit fields of {size} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_told_by_their_bits() {
        let f32 = [0x11, 0x20, 0x1f, 0, 4, 0, 0, 0, 0, 0, 32, 0, 23, 8, 0, 23, 127, 0, 0, 0];
        let f16 = [0x11, 0x20, 0x0f, 0, 2, 0, 0, 0, 0, 0, 16, 0, 10, 5, 0, 10, 15, 0, 0, 0];
        let bf16 = [0x11, 0x20, 0x0f, 0, 2, 0, 0, 0, 0, 0, 16, 0, 7, 8, 0, 7, 127, 0, 0, 0];
        assert_eq!(float(&f32), Some(DType::F32));
        assert_eq!(float(&f16), Some(DType::F16));
        assert_eq!(float(&bf16), Some(DType::BF16));
        let with = |at: usize, value: u8| {
            let mut changed = f32;
            changed[at] = value;
            float(&changed)
        };
        assert_eq!(with(1, 0x21), Some(DType::F32), "big-endian");
        assert_eq!(with(1, 0x61), None, "the byte order of the VAX");
        assert_eq!(with(2, 0x1e), None, "the sign elsewhere");
        assert_eq!(with(16, 126), None, "another bias");
        assert_eq!(float(&f32[..19]), None);
    }
}
