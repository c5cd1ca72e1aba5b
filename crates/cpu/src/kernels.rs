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
pub(crate) mod spreads;
pub(crate) mod sums;
pub(crate) mod transpose;
pub(crate) mod unary;
pub(crate) mod weights;
pub(crate) mod windows;

use crate::arena::{Arena, Element, Slot};
use crate::simd::Isa;
use crate::{Result, TensorView};
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
    /// One of the caller's arrays.
    Input(usize),
    /// One of the plan's constants.
    Constant(usize),
    /// Computed earlier.
    Slot(Slot),
}

/// The memory that a session's run reads.
#[derive(Clone, Copy)]
pub(crate) struct Memory<'a> {
    pub inputs: &'a [TensorView<'a>],
    pub constants: &'a Arena,
    pub arena: &'a Arena,
    pub isa: Isa,
}

impl<'a> Memory<'a> {
    /// The elements at `source`, whose type the plan has made sure of.
    pub fn get<T: Element>(&self, source: Source) -> &'a [T] {
        match source {
            Source::Input(index) => T::external(&self.inputs[index]).unwrap_or(&[]),
            Source::Constant(index) => &T::buffers(self.constants)[index],
            Source::Slot(slot) => &T::buffers(self.arena)[slot.index][slot.start..][..slot.len],
        }
    }
}

/// What all kernels of a run read, beside the session's memory.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    pub inputs: &'a [TensorView<'a>],
    pub constants: &'a Arena,
    pub isa: Isa,
}

impl<'a> Run<'a> {
    pub fn memory(self, arena: &'a Arena) -> Memory<'a> {
        Memory { inputs: self.inputs, constants: self.constants, arena, isa: self.isa }
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
}

/// A [`Kernel`] of any type.
pub(crate) trait AnyKernel: Send + Sync {
    /// The kernel on these sizes.
    fn bind(self: Arc<Self>, operands: &[&[usize]], output: &[usize]) -> Result<Box<dyn Runner>>;
}

/// A kernel on known sizes.
pub(crate) trait Runner: Send + Sync {
    /// How many elements of scratch memory a run needs.
    fn scratch(&self) -> usize;

    /// Reads `sources` and computes the values at `target`, or says which of the elements has no meaning.
    fn run(
        &mut self,
        run: Run<'_>,
        arena: &mut Arena,
        scratch: &mut [f32],
        sources: &[Source],
        target: Slot,
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
}

impl<K: Kernel> Runner for Ready<K> {
    fn scratch(&self) -> usize {
        self.kernel.scratch(&self.bound)
    }

    fn run(
        &mut self,
        run: Run<'_>,
        arena: &mut Arena,
        scratch: &mut [f32],
        sources: &[Source],
        target: Slot,
    ) -> Result<()> {
        let operands = Operands { sources, memory: run.memory(arena) };
        self.kernel.check(&self.bound, &operands)?;
        arena.with_slot(target, |arena, out| {
            let operands = Operands { sources, memory: run.memory(arena) };
            self.kernel.run(&self.bound, &operands, scratch, out);
        });
        Ok(())
    }
}
