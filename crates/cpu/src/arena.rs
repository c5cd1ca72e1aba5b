//! Memory: aligned buffers, and which values may share one.

use crate::{Error, Result};
use std::alloc::{Layout, alloc, alloc_zeroed, dealloc};
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// The elements that values are made of: `f32`, and `i64` for integers of any width and for truth values, 0 or 1.
pub(crate) trait Element:
    Zeroable + Default + PartialEq + Send + Sync + std::fmt::Debug + 'static
{
    /// The arena's buffers of this type.
    fn buffers(arena: &Arena) -> &[Buffer<Self>];
    /// The arena's buffers of this type.
    fn buffers_mut(arena: &mut Arena) -> &mut Vec<Buffer<Self>>;
    /// The elements of a caller's array, if they are of this type.
    fn external<'a>(view: &crate::TensorView<'a>) -> Option<&'a [Self]>;
}

impl Element for f32 {
    fn buffers(arena: &Arena) -> &[Buffer<f32>] {
        &arena.floats
    }
    fn buffers_mut(arena: &mut Arena) -> &mut Vec<Buffer<f32>> {
        &mut arena.floats
    }
    fn external<'a>(view: &crate::TensorView<'a>) -> Option<&'a [f32]> {
        view.as_f32()
    }
}

impl Element for i64 {
    fn buffers(arena: &Arena) -> &[Buffer<i64>] {
        &arena.integers
    }
    fn buffers_mut(arena: &mut Arena) -> &mut Vec<Buffer<i64>> {
        &mut arena.integers
    }
    fn external<'a>(view: &crate::TensorView<'a>) -> Option<&'a [i64]> {
        view.as_i64()
    }
}

/// Which [`Element`] a value has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Float,
    Integer,
}

impl Kind {
    /// The element that values of `dtype` have here.
    pub fn of(dtype: k2o_core::DType) -> Result<Kind> {
        use k2o_core::DType;
        match dtype {
            DType::F32 => Ok(Kind::Float),
            DType::I32 | DType::I64 | DType::Bool => Ok(Kind::Integer),
            other => Err(Error::unsupported(format!("values of type {other}"))),
        }
    }

    pub const fn size(self) -> usize {
        match self {
            Kind::Float => size_of::<f32>(),
            Kind::Integer => size_of::<i64>(),
        }
    }
}

const ALIGNMENT: usize = 64;

/// Numbers whose bits are all 0 where they are 0.
pub(crate) trait Zeroable: Copy {
    const ZERO: Self;
}

impl Zeroable for f32 {
    const ZERO: f32 = 0.0;
}

impl Zeroable for i64 {
    const ZERO: i64 = 0;
}

impl Zeroable for u16 {
    const ZERO: u16 = 0;
}

impl<T: Zeroable> Zeroable for MaybeUninit<T> {
    const ZERO: MaybeUninit<T> = MaybeUninit::new(T::ZERO);
}

/// Elements that begin at a cache line.
#[derive(Debug)]
pub(crate) struct Buffer<T> {
    memory: NonNull<u8>,
    /// What was allocated; nothing if its size is 0.
    layout: Layout,
    start: NonNull<T>,
    len: usize,
}

// SAFETY: a buffer owns its elements.
unsafe impl<T: Send> Send for Buffer<T> {}
// SAFETY: as above; what writes through a shared buffer is unsafe to call.
unsafe impl<T: Sync> Sync for Buffer<T> {}

impl<T> Default for Buffer<T> {
    fn default() -> Buffer<T> {
        let layout = Layout::new::<()>();
        Buffer { memory: NonNull::dangling(), layout, start: NonNull::dangling(), len: 0 }
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        if self.layout.size() > 0 {
            // SAFETY: it was allocated with this layout.
            unsafe { dealloc(self.memory.as_ptr(), self.layout) };
        }
    }
}

impl<T: Zeroable> Buffer<T> {
    /// A buffer of `len` zeros.
    pub fn zeros(len: usize) -> Result<Buffer<T>> {
        let mut buffer = Buffer::default();
        buffer.grow(len)?;
        Ok(buffer)
    }

    /// A buffer with these elements.
    pub fn from_slice(elements: &[T]) -> Result<Buffer<T>> {
        let mut buffer = Buffer::zeros(elements.len())?;
        buffer.copy_from_slice(elements);
        Ok(buffer)
    }

    /// Makes room for `len` elements, whose values are then unspecified; never shrinks.
    pub fn grow(&mut self, len: usize) -> Result<()> {
        if len <= self.len {
            return Ok(());
        }
        // The old elements need not live beside the new ones.
        *self = Buffer::default();
        // SAFETY: zeros are elements.
        *self = unsafe { Buffer::allocate(len, alloc_zeroed) }?;
        Ok(())
    }

    /// A buffer of `len` elements, at least one, in what `allocate` gives.
    ///
    /// # Safety
    /// Which are elements.
    unsafe fn allocate(len: usize, allocate: unsafe fn(Layout) -> *mut u8) -> Result<Buffer<T>> {
        let too_large = || Error::limit(format!("{len} elements do not fit memory"));
        // The system gives zeroed pages for large sizes only if no more than the usual alignment is asked for.
        let total = len.checked_add(ALIGNMENT / size_of::<T>()).ok_or_else(too_large)?;
        let layout = Layout::array::<T>(total).map_err(|_| too_large())?;
        // SAFETY: the size is not 0.
        let memory = NonNull::new(unsafe { allocate(layout) }).ok_or_else(too_large)?;
        let skip = memory.align_offset(ALIGNMENT).min(ALIGNMENT - 1);
        // SAFETY: as many bytes were allocated beyond `len` elements.
        let start = unsafe { memory.add(skip) }.cast();
        Ok(Buffer { memory, layout, start, len })
    }
}

/// Bytes of memory from which on it is worth huge pages: those of x86-64 and most others have 2 MiB.
#[cfg(target_os = "linux")]
const HUGE: usize = 4 << 20;

/// Asks the system for huge pages where memory is large and was not touched yet: it is there sooner, and read faster from
/// one end to the other. A system that has none need not answer.
#[cfg(target_os = "linux")]
fn ask_for_huge_pages<T>(memory: &mut [MaybeUninit<T>]) {
    const PAGE: usize = 4096;
    let (size, start) = (size_of_val(memory), memory.as_mut_ptr().cast::<u8>());
    if size < HUGE {
        return;
    }
    let skip = start.align_offset(PAGE).min(size);
    let len = (size - skip) / PAGE * PAGE;
    // SAFETY: whole pages of the memory, whose elements stay what they are.
    unsafe { libc::madvise(start.add(skip).cast(), len, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn ask_for_huge_pages<T>(_: &mut [MaybeUninit<T>]) {}

impl<T: Zeroable> Buffer<MaybeUninit<T>> {
    /// A buffer of `len` elements to be written.
    pub fn uninit(len: usize) -> Result<Self> {
        match len {
            0 => Ok(Buffer::default()),
            _ => {
                // SAFETY: anything is such an element.
                let mut buffer = unsafe { Buffer::allocate(len, alloc) }?;
                ask_for_huge_pages(&mut buffer);
                Ok(buffer)
            }
        }
    }

    /// The buffer, once it is written.
    ///
    /// # Safety
    /// Every element must have been.
    pub unsafe fn assume_init(self) -> Buffer<T> {
        let buffer = ManuallyDrop::new(self);
        Buffer { memory: buffer.memory, layout: buffer.layout, start: buffer.start.cast(), len: buffer.len }
    }
}

impl<T> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: there are `len` elements, zeroed when they were allocated or written since.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and the buffer is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

/// Buffers of both kinds.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    floats: Vec<Buffer<f32>>,
    integers: Vec<Buffer<i64>>,
}

impl Arena {
    /// Without buffers.
    pub const EMPTY: Arena = Arena { floats: Vec::new(), integers: Vec::new() };

    /// Makes room for `slots`.
    pub fn grow(&mut self, slots: &[Slot]) -> Result<()> {
        for slot in slots {
            match slot.kind {
                Kind::Float => grow(&mut self.floats, slot)?,
                Kind::Integer => grow(&mut self.integers, slot)?,
            }
        }
        Ok(())
    }

    /// All elements of a buffer.
    #[expect(clippy::indexing_slicing, reason = "only `push` makes indices of buffers")]
    pub fn buffer<T: Element>(&self, index: usize) -> &[T] {
        &T::buffers(self)[index]
    }

    /// The elements at `slot`.
    #[expect(clippy::indexing_slicing, reason = "the arena was grown for its slots")]
    pub fn slot<T: Element>(&self, slot: Slot) -> &[T] {
        let buffer = &T::buffers(self)[slot.index];
        assert!(slot.start + slot.len <= buffer.len, "a slot beyond its buffer");
        // SAFETY: the elements are there. Not by way of a slice of the whole buffer, other parts of which may be
        // written meanwhile.
        unsafe { std::slice::from_raw_parts(buffer.start.as_ptr().add(slot.start), slot.len) }
    }

    /// The elements at `slot`.
    #[expect(clippy::indexing_slicing, reason = "the arena was grown for its slots")]
    pub fn slot_mut<T: Element>(&mut self, slot: Slot) -> &mut [T] {
        &mut T::buffers_mut(self)[slot.index][slot.start..][..slot.len]
    }

    /// The elements at `slot`.
    ///
    /// # Safety
    /// As long as they are borrowed, nothing else may read or write them.
    #[allow(clippy::mut_from_ref, reason = "parts of an arena are written while others are read")]
    #[expect(clippy::indexing_slicing, reason = "the arena was grown for its slots")]
    pub unsafe fn slot_unchecked<T: Element>(&self, slot: Slot) -> &mut [T] {
        let buffer = &T::buffers(self)[slot.index];
        assert!(slot.start + slot.len <= buffer.len, "a slot beyond its buffer");
        // SAFETY: the elements are there, and the caller's.
        unsafe { std::slice::from_raw_parts_mut(buffer.start.as_ptr().add(slot.start), slot.len) }
    }

    /// Adds a buffer and returns its index.
    pub fn push<T: Element>(&mut self, buffer: Buffer<T>) -> usize {
        let buffers = T::buffers_mut(self);
        buffers.push(buffer);
        buffers.len() - 1
    }

    /// The bytes that `slots` and the buffers already here would take together.
    pub fn bytes_with(&self, slots: &[Slot]) -> usize {
        let size = |kind: Kind, present: Vec<usize>| {
            let mut lens = present;
            for slot in slots.iter().filter(|slot| slot.kind == kind) {
                if lens.len() <= slot.index {
                    lens.resize(slot.index + 1, 0);
                }
                if let Some(len) = lens.get_mut(slot.index) {
                    *len = slot.len.max(*len);
                }
            }
            lens.iter().fold(0usize, |sum, len| sum.saturating_add(len.saturating_mul(kind.size())))
        };
        let floats = size(Kind::Float, self.floats.iter().map(|buffer| buffer.len).collect());
        let integers = size(Kind::Integer, self.integers.iter().map(|buffer| buffer.len).collect());
        floats.saturating_add(integers)
    }
}

fn grow<T: Zeroable>(buffers: &mut Vec<Buffer<T>>, slot: &Slot) -> Result<()> {
    while buffers.len() <= slot.index {
        buffers.push(Buffer::default());
    }
    buffers.get_mut(slot.index).map_or(Ok(()), |buffer| buffer.grow(slot.len))
}

/// Where a value lies: `len` elements of one of the arena's buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub kind: Kind,
    pub index: usize,
    pub start: usize,
    pub len: usize,
}

/// How large a value is and when it must be there: from step `from` to step `to`, both included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub kind: Kind,
    pub len: usize,
    pub from: usize,
    pub to: usize,
}

/// A slot for each life, such that two lives that overlap never share one. `lives` are in the order of `from`.
pub(crate) fn assign(lives: &[Life]) -> Vec<Slot> {
    /// A buffer as it is being filled: its kind, index and size, and the step after which it is free.
    struct Open {
        slot: Slot,
        busy_to: usize,
    }
    let mut open: Vec<Open> = Vec::new();
    let mut slots = Vec::with_capacity(lives.len());
    for life in lives {
        let free = open.iter_mut().filter(|one| one.slot.kind == life.kind && one.busy_to < life.from);
        // The smallest that is large enough, else the largest.
        let best = free.min_by_key(|one| match one.slot.len.checked_sub(life.len) {
            Some(waste) => (0, waste),
            None => (1, life.len - one.slot.len),
        });
        let index = match best {
            Some(one) => {
                one.slot.len = one.slot.len.max(life.len);
                one.busy_to = life.to;
                one.slot.index
            }
            None => {
                let index = open.iter().filter(|one| one.slot.kind == life.kind).count();
                let slot = Slot { kind: life.kind, index, start: 0, len: life.len };
                open.push(Open { slot, busy_to: life.to });
                index
            }
        };
        slots.push(Slot { kind: life.kind, index, start: 0, len: life.len });
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_chain_needs_two_buffers() {
        let life = |step, len| Life { kind: Kind::Float, len, from: step, to: step + 1 };
        let slots = assign(&[life(0, 10), life(1, 20), life(2, 5), life(3, 20)]);
        assert_eq!(slots.iter().map(|slot| slot.index).collect::<Vec<_>>(), [0, 1, 0, 1]);
    }

    #[test]
    fn buffers_begin_at_cache_lines_and_refuse_what_does_not_fit() {
        for len in [1, 7, 1000] {
            let buffer = Buffer::<f32>::zeros(len).unwrap();
            assert_eq!((buffer.as_ptr() as usize % ALIGNMENT, buffer.len()), (0, len));
        }
        for len in [usize::MAX, isize::MAX as usize / 4] {
            assert_eq!(Buffer::<f32>::zeros(len).unwrap_err().kind(), crate::ErrorKind::Limit);
        }
    }

    proptest! {
        #[test]
        fn what_lives_at_once_shares_nothing(
            spans in prop::collection::vec((0usize..20, 0usize..8, 0usize..50, any::<bool>()), 0..30),
        ) {
            let mut lives: Vec<Life> = spans
                .into_iter()
                .map(|(from, more, len, float)| {
                    let kind = if float { Kind::Float } else { Kind::Integer };
                    Life { kind, len, from, to: from + more }
                })
                .collect();
            lives.sort_by_key(|life| life.from);
            let slots = assign(&lives);
            for (i, a) in lives.iter().enumerate() {
                for (j, b) in lives.iter().enumerate().skip(i + 1) {
                    let same = a.kind == b.kind && slots[i].index == slots[j].index;
                    prop_assert!(!same || a.to < b.from, "{a:?} {b:?}");
                }
            }
        }
    }
}
