//! What expressions are made of: floating-point numbers in memory, as they are stored or as they are computed with.

use super::{StoredTensor, read_checked};
use crate::tensor::element_count;
use crate::{DType, Error, Result};
use half::{bf16, f16};
use std::borrow::Cow;
use std::cell::RefCell;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;

/// The elements of a tensor in row-major order.
pub(super) enum Elements<'a> {
    /// Little-endian, of a floating-point type.
    Stored(DType, Rc<Vec<u8>>),
    /// In double precision.
    Numbers(Cow<'a, [f64]>),
}

impl Elements<'_> {
    /// Fills `out` with the elements from `start` on that are `step` apart; all with the same one if that is 0.
    pub fn read(&self, start: usize, step: usize, out: &mut [f64]) {
        match self {
            Elements::Numbers(numbers) => copy(numbers, start, step, out, |&x| x),
            Elements::Stored(dtype, bytes) => widen(*dtype, bytes, start, step, out),
        }
    }
}

/// Fills `out` with the elements in `bytes`, of the floating-point type `dtype`, from `start` on that are `step` apart.
fn widen(dtype: DType, bytes: &[u8], start: usize, step: usize, out: &mut [f64]) {
    match dtype {
        DType::F16 => copy(bytes.as_chunks().0, start, step, out, |c| f16::from_le_bytes(*c).to_f64()),
        DType::BF16 => copy(bytes.as_chunks().0, start, step, out, |c| bf16::from_le_bytes(*c).to_f64()),
        DType::F32 => copy(bytes.as_chunks().0, start, step, out, |c| f32::from_le_bytes(*c).into()),
        // The only other one that is let in.
        _ => copy(bytes.as_chunks().0, start, step, out, |c| f64::from_le_bytes(*c)),
    }
}

/// Bytes that are read at a time where ranges follow each other.
const READ_AHEAD: usize = 1 << 16;

/// A tensor in storage of which ranges can be read, and never more than one is in memory.
pub(super) struct Stream {
    stored: Arc<dyn StoredTensor>,
    dtype: DType,
    size: usize,
    window: RefCell<Window>,
}

/// Bytes that were read, and the place of the first.
#[derive(Default)]
struct Window {
    start: usize,
    bytes: Vec<u8>,
}

impl Stream {
    /// The elements of `stored`, if ranges of them can be read.
    pub fn of(stored: &Arc<dyn StoredTensor>) -> Result<Option<Stream>> {
        let dtype = float_type(stored.as_ref())?;
        let has_ranges = stored.read_range(0, &mut [])?;
        let size = element_count(stored.shape())?.saturating_mul(dtype.size());
        Ok(has_ranges.then(|| Stream { stored: stored.clone(), dtype, size, window: RefCell::default() }))
    }

    /// The tensor that is read.
    pub fn stored(&self) -> &Arc<dyn StoredTensor> {
        &self.stored
    }

    /// Whether the elements are of single precision.
    pub fn is_single(&self) -> bool {
        self.dtype == DType::F32
    }

    /// Fills `out` with the elements from `start` on.
    pub fn read(&self, start: usize, out: &mut [f64]) -> Result<()> {
        self.with_bytes(start, out.len(), |bytes| widen(self.dtype, bytes, 0, 1, out))
    }

    /// Calls `visit` with the bytes of `count` elements from `start` on, and perhaps more.
    #[expect(clippy::arithmetic_side_effects, reason = "places of bytes that are stored")]
    #[expect(clippy::indexing_slicing, reason = "the window was read to hold these bytes")]
    pub fn with_bytes(&self, start: usize, count: usize, visit: impl FnOnce(&[u8])) -> Result<()> {
        let (from, len) = (start * self.dtype.size(), count * self.dtype.size());
        let window = &mut *self.window.borrow_mut();
        let known = window.start..window.start + window.bytes.len();
        if from < known.start || from + len > known.end {
            // Whoever goes on where the window ends will do so again.
            let follows = (known.start..=known.end).contains(&from);
            let ahead = if follows { READ_AHEAD.min(self.size.saturating_sub(from)) } else { 0 };
            window.start = from;
            window.bytes.resize(len.max(ahead), 0);
            if !self.stored.read_range(from, &mut window.bytes)? {
                return Err(Error::shape("a stored tensor that has ranges, and has not"));
            }
        }
        visit(&window.bytes[from - window.start..]);
        Ok(())
    }
}

/// Whether both are one tensor.
pub(super) fn is_same(a: &Arc<dyn StoredTensor>, b: &Arc<dyn StoredTensor>) -> bool {
    ptr::addr_eq(Arc::as_ptr(a), Arc::as_ptr(b))
}

fn float_type(stored: &dyn StoredTensor) -> Result<DType> {
    match stored.dtype() {
        dtype if dtype.is_float() => Ok(dtype),
        _ => Err(Error::shape("floating-point numbers were expected")),
    }
}

#[inline]
#[expect(clippy::indexing_slicing, reason = "runs are of the elements that there are")]
fn copy<T>(elements: &[T], start: usize, step: usize, out: &mut [f64], to_f64: impl Fn(&T) -> f64) {
    match step {
        0 => out.fill(to_f64(&elements[start])),
        1 => out.iter_mut().zip(&elements[start..]).for_each(|(out, x)| *out = to_f64(x)),
        _ => out.iter_mut().zip(elements[start..].iter().step_by(step)).for_each(|(out, x)| *out = to_f64(x)),
    }
}

/// The stored tensors that were read so far.
#[derive(Default)]
pub(super) struct Loaded(Vec<Tensor>);

struct Tensor {
    stored: Arc<dyn StoredTensor>,
    bytes: Rc<Vec<u8>>,
}

impl Loaded {
    /// The elements of `stored`, which are read the first time that they are asked for.
    pub fn get(&mut self, stored: &Arc<dyn StoredTensor>) -> Result<Elements<'static>> {
        let dtype = float_type(stored.as_ref())?;
        if let Some(tensor) = self.0.iter().find(|tensor| is_same(&tensor.stored, stored)) {
            return Ok(Elements::Stored(dtype, tensor.bytes.clone()));
        }
        let bytes = Rc::new(read_checked(stored.as_ref())?);
        self.0.push(Tensor { stored: stored.clone(), bytes: bytes.clone() });
        Ok(Elements::Stored(dtype, bytes))
    }
}
