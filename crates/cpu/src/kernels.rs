//! The operators at work: one file each.
//!
//! A [`Kernel`] is made with the plan, from the operator and its constants. [`Kernel::bind`] computes what follows
//! from sizes; [`Kernel::run`] then only moves and computes elements. The session sees neither: a kernel and what it
//! bound become a [`Runner`].

pub(crate) mod affine;
pub(crate) mod binary;
pub(crate) mod broadcast;
pub(crate) mod cast;
pub(crate) mod chain;
pub(crate) mod compare;
pub(crate) mod concat;
pub(crate) mod conv;
pub(crate) mod conv_transpose;
pub(crate) mod dense;
pub(crate) mod full;
pub(crate) mod gather;
pub(crate) mod grid;
pub(crate) mod mat_mul;
pub(crate) mod normalize;
pub(crate) mod pad;
pub(crate) mod pool;
pub(crate) mod products;
pub(crate) mod recurrent;
pub(crate) mod reduce;
pub(crate) mod repeat;
pub(crate) mod reverse;
pub(crate) mod scan;
pub(crate) mod select;
pub(crate) mod slice;
pub(crate) mod softmax;
pub(crate) mod sparsemax;
pub(crate) mod split;
pub(crate) mod spreads;
pub(crate) mod sums;
pub(crate) mod transpose;
pub(crate) mod unary;
pub(crate) mod weights;
pub(crate) mod windows;

use crate::arena::{Arena, Element, Kind, Slot};
use crate::simd::Isa;
use crate::threads::Team;
use crate::{Result, TensorView};
use products::Ahead;
use std::sync::Arc;

/// One operator, with the constants and functions joined to it, on sizes yet unknown.
///
/// Of an operator with several outputs, a kernel knows which are wanted. Those come one after the other.
pub(crate) trait Kernel: Send + Sync + 'static {
    /// The output's elements.
    type Out: Element;
    /// What follows from sizes.
    type Bound: Send + Sync + 'static;

    /// What follows from these sizes of the operands and the first wanted output.
    fn bind(&self, operands: &[&[usize]], output: &[usize]) -> Result<Self::Bound>;

    /// How many elements of scratch memory a run needs.
    fn scratch(&self, _: &Self::Bound) -> usize {
        0
    }

    /// Whether a run is long enough to be shared by several threads, and can be.
    fn is_large(&self, _: &Self::Bound) -> bool {
        false
    }

    /// The weights, if each is read once where there are few rows, first those of the first columns.
    fn weights(&self) -> &[u8] {
        &[]
    }

    /// Refuses elements that the operator has no meaning for.
    fn check(&self, _: &Self::Bound, _: &Operands<'_>) -> Result<()> {
        Ok(())
    }

    /// Computes every element of `out`, which is not empty, from operands that were checked.
    fn run(&self, bound: &Self::Bound, operands: &Operands<'_>, scratch: &mut [f32], out: &mut [Self::Out]);
}

/// Where an operand's elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A part of one of the caller's arrays.
    Input { index: usize, part: Part },
    /// One of the plan's constants.
    Constant(usize),
    /// Computed earlier.
    Slot(Place),
}

/// Elements that follow each other, of which every chunk of the batch has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Where those of the first chunk start.
    pub start: usize,
    pub len: usize,
    /// How far it is from those of one chunk to those of the next; 0 where they share them.
    pub stride: usize,
}

/// Where a computed value lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub kind: Kind,
    /// Whether the buffer is one of those that each thread has of its own.
    pub is_local: bool,
    pub index: usize,
    pub part: Part,
}

/// The memory of a run, as one thread sees it that computes one chunk of the batch.
#[derive(Clone, Copy)]
pub(crate) struct Memory<'a> {
    pub inputs: &'a [TensorView<'a>],
    pub constants: &'a Arena,
    pub shared: &'a Arena,
    pub local: &'a Arena,
    pub chunk: usize,
    /// Steps of the sequences before those of this run.
    pub steps_before: usize,
    pub isa: Isa,
    pub team: Team<'a>,
    /// What a step with much to compute asks memory for meanwhile.
    pub ahead: Ahead<'a>,
}

impl<'a> Memory<'a> {
    /// The elements at `source`, whose type the plan has made sure of.
    pub fn get<T: Element>(&self, source: Source) -> &'a [T] {
        match source {
            Source::Input { index, part } => {
                T::external(&self.inputs[index]).map_or(&[], |data| &data[self.start(part)..][..part.len])
            }
            Source::Constant(index) => self.constants.buffer(index),
            Source::Slot(place) => self.arena(place).slot(self.slot(place)),
        }
    }

    /// The elements at `place`.
    ///
    /// # Safety
    /// As long as they are borrowed, nothing else may read or write them.
    pub unsafe fn get_mut<T: Element>(&self, place: Place) -> &'a mut [T] {
        // SAFETY: the caller's.
        unsafe { self.arena(place).slot_unchecked(self.slot(place)) }
    }

    fn start(&self, part: Part) -> usize {
        part.start + self.chunk * part.stride
    }

    fn arena(&self, place: Place) -> &'a Arena {
        if place.is_local { self.local } else { self.shared }
    }

    fn slot(&self, place: Place) -> Slot {
        let Place { kind, index, part, .. } = place;
        Slot { kind, index, start: self.start(part), len: part.len }
    }
}

/// What a kernel reads.
pub(crate) struct Operands<'a> {
    sources: &'a [Source],
    memory: Memory<'a>,
}

impl<'a> Operands<'a> {
    /// The elements of operand `index`.
    pub fn get<T: Element>(&self, index: usize) -> &'a [T] {
        self.memory.get(self.sources[index])
    }

    /// The instruction set that the plan was made for.
    pub fn isa(&self) -> Isa {
        self.memory.isa
    }

    /// Steps of the sequences before those that the first output is computed of.
    pub fn steps_before(&self) -> usize {
        self.memory.steps_before
    }

    /// What memory should be asked for meanwhile.
    pub fn ahead(&self) -> Ahead<'a> {
        self.memory.ahead
    }

    /// The threads that may compute parts of the output.
    pub fn team(&self) -> Team<'_> {
        self.memory.team
    }
}

/// A [`Kernel`] of any type.
pub(crate) trait AnyKernel: Send + Sync {
    /// The kernel on these sizes.
    fn bind(self: Arc<Self>, operands: &[&[usize]], output: &[usize]) -> Result<Box<dyn Runner>>;

    /// As [`Kernel::weights`].
    fn weights(&self) -> &[u8] {
        &[]
    }
}

/// A kernel on known sizes.
pub(crate) trait Runner: Send + Sync {
    /// How many elements of scratch memory a run needs.
    fn scratch(&self) -> usize;

    /// Whether several threads can share a run.
    fn is_large(&self) -> bool {
        false
    }

    /// Reads `sources` and computes the values at `target`, or says which of the elements has no meaning.
    ///
    /// # Safety
    /// Nothing else may read or write what is at `target` meanwhile.
    unsafe fn run(
        &mut self,
        memory: Memory<'_>,
        scratch: &mut [f32],
        sources: &[Source],
        target: Place,
    ) -> Result<()>;
}

struct Ready<K: Kernel> {
    kernel: Arc<K>,
    bound: K::Bound,
}

impl<K: Kernel> AnyKernel for K {
    fn bind(self: Arc<Self>, operands: &[&[usize]], output: &[usize]) -> Result<Box<dyn Runner>> {
        let bound = Kernel::bind(&*self, operands, output)?;
        Ok(Box::new(Ready { kernel: self, bound }))
    }

    fn weights(&self) -> &[u8] {
        Kernel::weights(self)
    }
}

impl<K: Kernel> Runner for Ready<K> {
    fn scratch(&self) -> usize {
        self.kernel.scratch(&self.bound)
    }

    fn is_large(&self) -> bool {
        self.kernel.is_large(&self.bound)
    }

    unsafe fn run(
        &mut self,
        memory: Memory<'_>,
        scratch: &mut [f32],
        sources: &[Source],
        target: Place,
    ) -> Result<()> {
        let operands = Operands { sources, memory };
        self.kernel.check(&self.bound, &operands)?;
        // SAFETY: the caller's.
        let out = unsafe { memory.get_mut(target) };
        self.kernel.run(&self.bound, &operands, scratch, out);
        Ok(())
    }
}
