//! The right sides of products: packed with the plan where they are constants, else at each run.

use super::Operands;
use super::products::{self, Layout, Packed};
use crate::Result;
use crate::arena::{Buffer, Zeroable};
use half::{bf16, f16};
use k2o_core::{Constant, DType};
use std::mem::MaybeUninit;
use std::sync::Arc;

/// Where the right side of a product comes from.
#[derive(Clone, Debug)]
pub(crate) enum Weights {
    /// A constant, packed when the plan was made.
    Packed(Layout, Arc<PackedBuffer>),
    /// An operand that is packed at each run.
    Computed(usize),
}

/// Packed elements, as they are stored.
#[derive(Debug)]
pub(crate) enum PackedBuffer {
    F32(Buffer<f32>),
    /// The bits of IEEE 754 binary16.
    F16(Buffer<u16>),
    /// The bits of `bfloat16`.
    Bf16(Buffer<u16>),
}

impl PackedBuffer {
    /// A constant's elements, kept in `dtype`, which is `F32`, or `F16` or `BF16` if these lose nothing of them. Sums over
    /// its rows that `bias` has are made on the way, and are numbers in it afterwards.
    pub fn new(
        constant: &Constant,
        bias: Option<&mut Constant>,
        layout: &Layout,
        dtype: DType,
    ) -> Result<PackedBuffer> {
        Ok(match dtype {
            DType::F16 => PackedBuffer::F16(packed(constant, bias, layout, |x| f16::from_f32(x).to_bits())?),
            DType::BF16 => {
                PackedBuffer::Bf16(packed(constant, bias, layout, |x| bf16::from_f32(x).to_bits())?)
            }
            _ => PackedBuffer::F32(packed(constant, bias, layout, |x| x)?),
        })
    }
}

/// A constant's elements, some thousands of which are in memory beside the packed ones.
fn packed<T: Zeroable>(
    constant: &Constant,
    bias: Option<&mut Constant>,
    layout: &Layout,
    convert: impl Fn(f32) -> T,
) -> Result<Buffer<T>> {
    let mut packed = Buffer::<MaybeUninit<T>>::uninit(layout.packed_len()?)?;
    let filters = constant.shape().last().copied().unwrap_or(1);
    let mut first = 0;
    let pack = |rows: &[f32]| {
        layout.pack_rows(first, rows, &mut packed, &|x| MaybeUninit::new(convert(x)));
        first += rows.len() / filters;
    };
    match bias {
        Some(bias) => *bias = constant.visit_rows_and_sum(filters, bias, pack)?,
        None => constant.visit_rows(filters, pack)?,
    }
    assert_eq!(first, layout.depth, "the rows of a constant");
    // SAFETY: all rows were packed, which write all elements.
    Ok(unsafe { packed.assume_init() })
}

impl Weights {
    /// The layout for these operands, `layout` being that for a kernel's sizes.
    pub fn layout(
        &self,
        operands: &[&[usize]],
        layout: impl Fn(&[usize]) -> Result<Layout>,
    ) -> Result<Layout> {
        match self {
            Weights::Packed(layout, _) => Ok(*layout),
            Weights::Computed(index) => layout(operands[*index]),
        }
    }

    /// The bytes that were packed when the plan was made.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Weights::Packed(_, packed) => match &**packed {
                PackedBuffer::F32(packed) => products::bytes(packed),
                PackedBuffer::F16(packed) | PackedBuffer::Bf16(packed) => products::bytes(packed),
            },
            Weights::Computed(_) => &[],
        }
    }

    /// How much scratch memory [`get`](Weights::get) needs.
    pub fn scratch(&self, layout: &Layout) -> usize {
        match self {
            Weights::Packed(..) => 0,
            Weights::Computed(_) => layout.packed_len().unwrap_or(0),
        }
    }

    /// The packed matrices.
    pub fn get<'a>(&'a self, layout: &Layout, operands: &Operands<'_>, scratch: &'a mut [f32]) -> Packed<'a> {
        match self {
            Weights::Packed(_, packed) => match &**packed {
                PackedBuffer::F32(packed) => Packed::F32(packed),
                PackedBuffer::F16(packed) => Packed::F16(packed),
                PackedBuffer::Bf16(packed) => Packed::Bf16(packed),
            },
            Weights::Computed(index) => {
                let packed = &mut scratch[..self.scratch(layout)];
                layout.pack(operands.get(*index), packed);
                Packed::F32(packed)
            }
        }
    }
}
