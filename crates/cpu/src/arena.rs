//! Memory: aligned buffers, and which values may share one.

use crate::{Error, Result};
use std::ops::{Deref, DerefMut};

/// The elements that values are made of: `f32`, and `i64` for integers of any width and for truth values, 0 or 1.
pub(crate) trait Element:
    Copy + Default + PartialEq + Send + Sync + std::fmt::Debug + 'static
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

/// Elements that begin at a cache line.
#[derive(Debug)]
pub(crate) struct Buffer<T> {
    data: Vec<T>,
    start: usize,
    len: usize,
}

impl<T> Default for Buffer<T> {
    fn default() -> Buffer<T> {
        Buffer { data: Vec::new(), start: 0, len: 0 }
    }
}

impl<T: Copy + Default> Buffer<T> {
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
        let too_large = || Error::limit(format!("{len} elements do not fit memory"));
        let slack = ALIGNMENT / size_of::<T>();
        let total = len.checked_add(slack).ok_or_else(too_large)?;
        // The old elements need not be copied, nor live beside the new ones.
        self.data = Vec::new();
        self.len = 0;
        self.data.try_reserve_exact(total).map_err(|_| too_large())?;
        self.data.resize(total, T::default());
        self.start = self.data.as_ptr().align_offset(ALIGNMENT).min(slack);
        self.len = len;
        Ok(())
    }
}

impl<T> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.data[self.start..self.start + self.len]
    }
}

impl<T> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.data[self.start..self.start + self.len]
    }
}

/// Buffers of both kinds.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    floats: Vec<Buffer<f32>>,
    integers: Vec<Buffer<i64>>,
}

impl Arena {
    /// Makes room for `len` elements in buffer `slot`, which is made if it is not there.
    pub fn grow<T: Element>(&mut self, slot: usize, len: usize) -> Result<()> {
        let buffers = T::buffers_mut(self);
        while buffers.len() <= slot {
            buffers.push(Buffer::default());
        }
        buffers[slot].grow(len)
    }

    /// The elements at `slot`.
    pub fn slot_mut<T: Element>(&mut self, slot: Slot) -> &mut [T] {
        &mut T::buffers_mut(self)[slot.index][slot.start..][..slot.len]
    }

    /// Calls `write` with the elements at `slot`, and the others to read.
    pub fn with_slot<T: Element, R>(&mut self, slot: Slot, write: impl FnOnce(&Arena, &mut [T]) -> R) -> R {
        // Out of the arena while the others are read; no operand shares its buffer.
        let mut out = std::mem::take(&mut T::buffers_mut(self)[slot.index]);
        let result = write(self, &mut out[slot.start..][..slot.len]);
        T::buffers_mut(self)[slot.index] = out;
        result
    }

    /// Adds a buffer and returns its slot.
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
                lens[slot.index] = lens[slot.index].max(slot.len);
            }
            lens.iter().fold(0usize, |sum, len| sum.saturating_add(len.saturating_mul(kind.size())))
        };
        let floats = size(Kind::Float, self.floats.iter().map(|buffer| buffer.len).collect());
        let integers = size(Kind::Integer, self.integers.iter().map(|buffer| buffer.len).collect());
        floats.saturating_add(integers)
    }
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
