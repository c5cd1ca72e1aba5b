//! Evaluates an expression some thousands of elements at a time.
//!
//! Every operation gives any range of its elements in row-major order, from ranges of its operands': a reshape changes
//! nothing, slices and concatenations shift ranges, and what is permuted or repeated is gathered from memory. What is stored
//! is read range by range where it is wanted in its order and storage can do that; else once, and kept as it is stored. The
//! operations and their order are those of [`ConstantExpr::evaluate`], so that the results are the same.

use super::arithmetic::{Spaced, apply, combine};
use super::elements::{Elements, Loaded, Stream, is_same};
use super::order::Order;
use super::{Arithmetic, ConstantExpr, ExprKind, StoredTensor, broadcast_strides, nearest};
use crate::tensor::element_count;
use crate::{DType, Error, Result};
use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

/// How many elements are computed at a time, and how many numbers are kept because they are used again and again.
#[derive(Clone, Copy)]
struct Sizes {
    block: usize,
    kept: usize,
}

/// Two blocks fit the nearest cache; a block for each of 64 nested operations takes 1 MiB, and everything kept 8 MiB.
const SIZES: Sizes = Sizes { block: 1 << 11, kept: 1 << 20 };

/// The elements of an expression of floating-point numbers in single precision.
pub(super) fn to_f32(expr: &ConstantExpr) -> Result<Vec<f32>> {
    rounded(expr, SIZES)
}

fn rounded(expr: &ConstantExpr, sizes: Sizes) -> Result<Vec<f32>> {
    let mut ranges = Ranges::of(expr, sizes)?;
    collect(ranges.count, sizes.block, |start, out| ranges.read(start, out))
}

/// The elements of an expression of floating-point numbers in single precision, any range of them at a time.
///
/// What storage cannot give in ranges stays in memory; of what is computed there are some thousands at a time.
pub struct Ranges<'a> {
    piece: Piece<'a>,
    count: usize,
    has_one_nan: bool,
    buffers: Buffers,
}

impl<'a> Ranges<'a> {
    pub(super) fn new(expr: &'a ConstantExpr) -> Result<Ranges<'a>> {
        Ranges::of(expr, SIZES)
    }

    /// Those of two expressions. A range of what both are made of is read from storage once, if one after the other asks
    /// for it.
    pub(super) fn pair(a: &'a ConstantExpr, b: &'a ConstantExpr) -> Result<[Ranges<'a>; 2]> {
        let mut builder = Builder::new(SIZES);
        Ok([builder.ranges(a)?, builder.ranges(b)?])
    }

    fn of(expr: &'a ConstantExpr, sizes: Sizes) -> Result<Ranges<'a>> {
        Builder::new(sizes).ranges(expr)
    }

    /// Adds the `len` elements from `start` on to `sums`, one to each, over and over, beginning where element 0 would be
    /// added to the first.
    #[expect(clippy::arithmetic_side_effects, reason = "elements that there are have sums")]
    #[expect(clippy::indexing_slicing, reason = "`n` is at most what is left of the sums")]
    pub(super) fn add_to(&mut self, sums: &mut [f64], start: usize, len: usize) -> Result<()> {
        let (mut at, end) = (start, start + len);
        while at < end {
            let column = at % sums.len();
            let n = self.buffers.block.min(sums.len() - column).min(end - at);
            let sums = &mut sums[column..][..n];
            if let Some(product) = self.piece.of_storage() {
                product.read(at, sums, |sum, x| *sum += x, &mut self.buffers);
            } else {
                let mut numbers = self.buffers.take(n);
                self.piece.read(at, &mut numbers, &mut self.buffers);
                sums.iter_mut().zip(&numbers).for_each(|(sum, x)| *sum += x);
                self.buffers.give(numbers);
            }
            self.buffers.check()?;
            at += n;
        }
        Ok(())
    }

    /// Fills `out` with the elements from `start` on, in row-major order.
    ///
    /// # Errors
    /// [`Shape`](crate::ErrorKind::Shape) where there are not as many, [`Limit`](crate::ErrorKind::Limit) where one is past
    /// the type that it is [rounded](ConstantExpr::rounded) to.
    pub fn read(&mut self, start: usize, out: &mut [f32]) -> Result<()> {
        if start.checked_add(out.len()).is_none_or(|end| end > self.count) {
            let (len, count) = (out.len(), self.count);
            return Err(Error::shape(format!("{len} elements from {start} on, of {count}")));
        }
        let block = self.buffers.block;
        for (out, at) in out.chunks_mut(block).zip((start..).step_by(block)) {
            self.piece.read_single(at, out, &mut self.buffers);
            if self.has_one_nan {
                make_nans_one(out);
            }
            self.buffers.check()?;
        }
        Ok(())
    }
}

/// Which of two NaNs an operation passes on, and with which sign, is not the same on every machine: here it is
/// [`f32::NAN`].
fn make_nans_one(numbers: &mut [f32]) {
    // Without an early end it is looked for by vectors.
    if numbers.iter().fold(false, |any, x| any | x.is_nan()) {
        numbers.iter_mut().filter(|x| x.is_nan()).for_each(|x| *x = f32::NAN);
    }
}

/// All `count` numbers that `read` gives from a position on, a block at a time.
#[expect(clippy::indexing_slicing, reason = "grown past `start`")]
fn collect<T: Clone + Default>(
    count: usize,
    block: usize,
    mut read: impl FnMut(usize, &mut [T]) -> Result<()>,
) -> Result<Vec<T>> {
    let mut numbers = Vec::new();
    let error = |_| Error::limit(format!("{count} numbers do not fit memory"));
    numbers.try_reserve_exact(count).map_err(error)?;
    for start in (0..count).step_by(block) {
        // Grown by what the cache holds, which is then written to at once.
        numbers.resize(count.min(start.saturating_add(block)), T::default());
        read(start, &mut numbers[start..])?;
    }
    Ok(numbers)
}

/// An expression that can be read in ranges.
enum Piece<'a> {
    Stream(Rc<Stream>),
    Gather(Gather<'a>),
    /// Another one's elements, repeated: one that is too large to keep.
    Repeat(Box<Piece<'a>>, Order),
    Sqrt(Box<Piece<'a>>),
    /// Rounded to this type.
    Rounded(Box<Piece<'a>>, DType),
    /// Both of the size of the result.
    Arithmetic(Arithmetic, Box<Piece<'a>>, Box<Piece<'a>>),
    /// Sums over `extent` elements that are `inner` apart.
    Sum {
        of: Box<Piece<'a>>,
        extent: usize,
        inner: usize,
    },
    /// Of every `whole` elements the `len` from `start` on.
    Slice {
        of: Box<Piece<'a>>,
        whole: usize,
        start: usize,
        len: usize,
    },
    /// So many elements of each part, over and over.
    Concat {
        parts: Vec<(Piece<'a>, usize)>,
        whole: usize,
    },
}

/// The size along `axis`, and how many elements there are behind it.
fn extent_and_inner(shape: &[usize], axis: usize) -> Result<(usize, usize)> {
    match shape.get(axis..) {
        Some([extent, inner @ ..]) => Ok((*extent, element_count(inner)?)),
        _ => Err(Error::shape(format!("no axis {axis} in {shape:?}"))),
    }
}

/// What is in memory, in the order that one after the other of `orders` says.
struct Gather<'a> {
    elements: Elements<'a>,
    orders: Vec<Order>,
}

/// Makes pieces of expressions.
struct Builder {
    loaded: Loaded,
    streams: Vec<Rc<Stream>>,
    /// What may still be kept.
    sizes: Sizes,
}

impl Builder {
    fn new(sizes: Sizes) -> Builder {
        Builder { loaded: Loaded::default(), streams: Vec::new(), sizes }
    }

    fn ranges<'a>(&mut self, expr: &'a ConstantExpr) -> Result<Ranges<'a>> {
        let piece = self.piece(expr)?;
        let count = element_count(expr.shape())?;
        let buffers = Buffers::new(self.sizes.block);
        Ok(Ranges { piece, count, has_one_nan: !expr.is_moved_only(), buffers })
    }

    /// The elements of `stored`, if ranges of them can be read.
    fn stream(&mut self, stored: &Arc<dyn StoredTensor>) -> Result<Option<Rc<Stream>>> {
        if let Some(stream) = self.streams.iter().find(|stream| is_same(stream.stored(), stored)) {
            return Ok(Some(stream.clone()));
        }
        let stream = Stream::of(stored)?.map(Rc::new);
        self.streams.extend(stream.clone());
        Ok(stream)
    }

    #[expect(clippy::indexing_slicing, reason = "the expression's making checked its axes")]
    fn piece<'a>(&mut self, expr: &'a ConstantExpr) -> Result<Piece<'a>> {
        let shape = expr.shape();
        element_count(shape)?;
        Ok(match expr.kind() {
            ExprKind::Stored(stored) => match self.stream(stored)? {
                Some(stream) => Piece::Stream(stream),
                None => Piece::of(self.loaded.get(stored)?),
            },
            ExprKind::Literal(tensor) => Piece::of(Elements::Numbers(Cow::Borrowed(tensor.as_f64()?))),
            ExprKind::Reshape(a) => self.piece(a)?,
            ExprKind::Permute(a, permutation) => {
                let piece = self.piece(a)?;
                match Order::permuted(a.shape(), permutation).filter(|order| !order.is_identity()) {
                    Some(order) => {
                        Piece::Gather(self.in_memory(piece, element_count(shape)?)?.in_order(order))
                    }
                    None => piece,
                }
            }
            ExprKind::Sqrt(a) => Piece::Sqrt(Box::new(self.piece(a)?)),
            ExprKind::Rounded(a, narrow) => Piece::Rounded(Box::new(self.piece(a)?), *narrow),
            ExprKind::Arithmetic(op, a, b) => {
                let (a, b) = (self.operand(a, shape)?, self.operand(b, shape)?);
                Piece::Arithmetic(*op, Box::new(a), Box::new(b))
            }
            ExprKind::Sum(a, axis) => {
                let of = Box::new(self.piece(a)?);
                let (extent, inner) = extent_and_inner(a.shape(), *axis)?;
                Piece::Sum { of, extent, inner }
            }
            ExprKind::Slice(a, axis, start) => {
                let of = Box::new(self.loaded_piece(a)?);
                let (whole, inner) = extent_and_inner(a.shape(), *axis)?;
                let elements = |rows: usize| element_count(&[rows, inner]);
                let (whole, start, len) = (elements(whole)?, elements(*start)?, elements(shape[*axis])?);
                Piece::Slice { of, whole, start, len }
            }
            ExprKind::Concat(parts, axis) => {
                let len = |shape: &[usize]| shape[*axis..].iter().product::<usize>();
                let part = |part: &'a ConstantExpr| Ok((self.loaded_piece(part)?, len(part.shape())));
                Piece::Concat { parts: parts.iter().map(part).collect::<Result<_>>()?, whole: len(shape) }
            }
        })
    }

    /// What is wanted in ranges that may be short, so that a stored tensor is better in memory.
    fn loaded_piece<'a>(&mut self, expr: &'a ConstantExpr) -> Result<Piece<'a>> {
        let piece = self.piece(expr)?;
        self.loaded(piece)
    }

    fn loaded<'a>(&mut self, piece: Piece<'a>) -> Result<Piece<'a>> {
        match piece {
            Piece::Stream(stream) => Ok(Piece::of(self.loaded.get(stream.stored())?)),
            piece => Ok(piece),
        }
    }

    /// An operand of something of the shape `target`, repeated to its size.
    fn operand<'a>(&mut self, expr: &'a ConstantExpr, target: &[usize]) -> Result<Piece<'a>> {
        let piece = self.piece(expr)?;
        let count = element_count(expr.shape())?;
        let order = match Order::new(target, &broadcast_strides(expr.shape(), target)) {
            Some(order) if count != element_count(target)? => order,
            _ => return Ok(piece),
        };
        let piece = self.loaded(piece)?;
        let is_cheap = matches!(&piece, Piece::Gather(gather) if gather.orders.is_empty());
        if is_cheap {
            return Ok(Piece::Gather(self.in_memory(piece, count)?.in_order(order)));
        }
        match self.sizes.kept.checked_sub(count) {
            None => Ok(Piece::Repeat(Box::new(piece), order)),
            Some(left) => {
                self.sizes.kept = left;
                Ok(Piece::Gather(self.kept(&piece, count)?.in_order(order)))
            }
        }
    }

    /// What can be gathered as it is, or its elements.
    fn in_memory<'a>(&mut self, piece: Piece<'a>, count: usize) -> Result<Gather<'a>> {
        match self.loaded(piece)? {
            Piece::Gather(gather) => Ok(gather),
            piece => self.kept(&piece, count),
        }
    }

    fn kept(&self, piece: &Piece<'_>, count: usize) -> Result<Gather<'static>> {
        let mut buffers = Buffers::new(self.sizes.block);
        let numbers = collect(count, self.sizes.block, |start, out| {
            piece.read(start, out, &mut buffers);
            buffers.check()
        })?;
        Ok(Gather { elements: Elements::Numbers(Cow::Owned(numbers)), orders: Vec::new() })
    }
}

/// Single-precision numbers in storage combined with others that repeat: large weights that batch normalization was folded
/// into.
struct OfStorage<'a> {
    stream: &'a Stream,
    op: Arithmetic,
    numbers: &'a [f64],
    order: &'a Order,
}

impl OfStorage<'_> {
    /// Gives each element from `start` on to one of `out` by way of `set`, all in one go.
    #[expect(clippy::arithmetic_side_effects, reason = "places of elements that there are")]
    #[expect(clippy::indexing_slicing, reason = "runs are within what was asked for")]
    fn read<T>(&self, start: usize, out: &mut [T], set: impl Fn(&mut T, f64), buffers: &mut Buffers) {
        let outcome = self.stream.with_bytes(start, out.len(), |bytes| {
            self.order.for_each_run(start, out.len(), |run| {
                let numbers = Spaced { numbers: &self.numbers[run.from..], step: run.step };
                combine(self.op, &bytes[run.at * 4..], numbers, &mut out[run.at..run.at + run.len], &set);
            });
        });
        buffers.keep(outcome);
    }
}

impl<'a> Piece<'a> {
    fn of(elements: Elements<'a>) -> Piece<'a> {
        Piece::Gather(Gather { elements, orders: Vec::new() })
    }

    /// What repeats in some order, if it is in memory and needs no other one.
    fn repeated(&self) -> Option<(&[f64], &Order)> {
        match self {
            Piece::Gather(Gather { elements: Elements::Numbers(numbers), orders }) => match &orders[..] {
                [order] => Some((numbers, order)),
                _ => None,
            },
            _ => None,
        }
    }

    fn of_storage(&self) -> Option<OfStorage<'_>> {
        let Piece::Arithmetic(op, a, b) = self else { return None };
        let Piece::Stream(stream) = &**a else { return None };
        let (numbers, order) = b.repeated().filter(|_| stream.is_single())?;
        Some(OfStorage { stream, op: *op, numbers, order })
    }

    /// As [`read`](Self::read), in single precision.
    fn read_single(&self, start: usize, out: &mut [f32], buffers: &mut Buffers) {
        if let Some(product) = self.of_storage() {
            return product.read(start, out, |out, x| *out = x as f32, buffers);
        }
        let mut numbers = buffers.take(out.len());
        self.read(start, &mut numbers, buffers);
        out.iter_mut().zip(&numbers).for_each(|(out, &x)| *out = x as f32);
        buffers.give(numbers);
    }

    /// Fills `out`, which is no longer than a block, with the elements from `start` on.
    #[expect(clippy::arithmetic_side_effects, reason = "places of elements that there are")]
    #[expect(clippy::indexing_slicing, reason = "runs are within what was asked for")]
    fn read(&self, start: usize, out: &mut [f64], buffers: &mut Buffers) {
        if out.is_empty() {
            return;
        }
        match self {
            Piece::Stream(stream) => buffers.keep(stream.read(start, out)),
            Piece::Gather(gather) => gather.read(start, out),
            Piece::Repeat(of, order) => order.for_each_run(start, out.len(), |run| {
                let out = &mut out[run.at..run.at + run.len];
                // What is repeated has its last axis in order, or but one element there.
                match out {
                    [first, rest @ ..] if run.step == 0 => {
                        of.read(run.from, std::slice::from_mut(first), buffers);
                        rest.fill(*first);
                    }
                    out => of.read(run.from, out, buffers),
                }
            }),
            Piece::Sqrt(of) => {
                of.read(start, out, buffers);
                out.iter_mut().for_each(|x| *x = x.sqrt());
            }
            Piece::Rounded(of, narrow) => {
                of.read(start, out, buffers);
                for x in out {
                    match nearest(*x, *narrow) {
                        Ok(rounded) => *x = rounded,
                        Err(error) => drop(buffers.error.get_or_insert(error)),
                    }
                }
            }
            Piece::Arithmetic(op, a, b) => match (self.of_storage(), b.repeated()) {
                (Some(product), _) => product.read(start, out, |out, x| *out = x, buffers),
                (None, Some((numbers, order))) => {
                    a.read(start, out, buffers);
                    order.for_each_run(start, out.len(), |run| {
                        let numbers = Spaced { numbers: &numbers[run.from..], step: run.step };
                        apply(*op, &mut out[run.at..run.at + run.len], numbers);
                    });
                }
                (None, None) => {
                    a.read(start, out, buffers);
                    let mut other = buffers.take(out.len());
                    b.read(start, &mut other, buffers);
                    apply(*op, out, Spaced { numbers: &other, step: 1 });
                    buffers.give(other);
                }
            },
            Piece::Sum { of, extent, inner } => sum(of, *extent, *inner, start, out, buffers),
            Piece::Slice { of, whole, start: first, len } => {
                let mut at = 0;
                while at < out.len() {
                    let (row, column) = ((start + at) / len, (start + at) % len);
                    let n = (len - column).min(out.len() - at);
                    of.read(row * whole + first + column, &mut out[at..at + n], buffers);
                    at += n;
                }
            }
            Piece::Concat { parts, whole } => {
                let mut at = 0;
                while at < out.len() {
                    let (row, mut column) = ((start + at) / whole, (start + at) % whole);
                    for (part, len) in parts {
                        let n = len.saturating_sub(column).min(out.len() - at);
                        part.read(row * len + column, &mut out[at..at + n], buffers);
                        at += n;
                        column = column.saturating_sub(*len);
                    }
                }
            }
        }
    }
}

impl Gather<'_> {
    /// The same in another order.
    fn in_order(mut self, order: Order) -> Self {
        self.orders.insert(0, order);
        self
    }

    #[expect(clippy::arithmetic_side_effects, reason = "places of elements that there are")]
    #[expect(clippy::indexing_slicing, reason = "runs are within what was asked for")]
    fn read(&self, start: usize, out: &mut [f64]) {
        let Some((first, inner)) = self.orders.split_first() else {
            return self.elements.read(start, 1, out);
        };
        first.for_each_run(start, out.len(), |run| {
            let out = &mut out[run.at..run.at + run.len];
            if inner.is_empty() {
                return self.elements.read(run.from, run.step, out);
            }
            for (i, x) in out.iter_mut().enumerate() {
                let place = inner.iter().fold(run.from + i * run.step, |place, order| order.place(place));
                self.elements.read(place, 1, std::slice::from_mut(x));
            }
        });
    }
}

/// Sums `extent` elements of `of` that are `inner` apart, each from the first to the last.
#[expect(clippy::arithmetic_side_effects, reason = "places of elements that there are")]
#[expect(clippy::indexing_slicing, reason = "the sums are within what was asked for")]
fn sum(of: &Piece<'_>, extent: usize, inner: usize, start: usize, out: &mut [f64], buffers: &mut Buffers) {
    out.fill(std::iter::empty::<f64>().sum());
    let mut at = 0;
    while at < out.len() {
        let (outer, column) = ((start + at) / inner, (start + at) % inner);
        let n = (inner - column).min(out.len() - at);
        let sums = &mut out[at..at + n];
        // Rows that are wanted as a whole lie one after the other.
        let rows_at_once = if n == inner { (buffers.block / inner).max(1) } else { 1 };
        for first in (0..extent).step_by(rows_at_once) {
            let mut rows = buffers.take(rows_at_once.min(extent - first) * n);
            of.read((outer * extent + first) * inner + column, &mut rows, buffers);
            for row in rows.chunks_exact(n) {
                sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
            }
            buffers.give(rows);
        }
        at += n;
    }
}

/// Memory for blocks, used again and again, and the first thing that went wrong.
struct Buffers {
    block: usize,
    free: Vec<Vec<f64>>,
    error: Option<Error>,
}

impl Buffers {
    fn new(block: usize) -> Buffers {
        Buffers { block, free: Vec::new(), error: None }
    }

    /// Keeps what went wrong, if nothing has before.
    fn keep(&mut self, outcome: Result<()>) {
        if let Err(error) = outcome {
            self.error.get_or_insert(error);
        }
    }

    /// Fails if something went wrong.
    fn check(&mut self) -> Result<()> {
        self.error.take().map_or(Ok(()), Err)
    }

    /// So many numbers of any value.
    fn take(&mut self, len: usize) -> Vec<f64> {
        let mut buffer = self.free.pop().unwrap_or_default();
        buffer.resize(len, 0.0);
        buffer
    }

    fn give(&mut self, buffer: Vec<f64>) {
        self.free.push(buffer);
    }
}

#[cfg(test)]
mod tests;
