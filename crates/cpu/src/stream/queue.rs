//! Steps that wait: a first-in, first-out queue of rows for every sequence of a batch.

use crate::arena::Kind;
use crate::{DataView, Error, Result, TensorView};
use std::ops::Range;

/// The elements of a tensor of either kind.
#[derive(Clone, Debug)]
pub(crate) enum Elements {
    Float(Vec<f32>),
    Integer(Vec<i64>),
}

impl Elements {
    pub fn new(kind: Kind) -> Elements {
        match kind {
            Kind::Float => Elements::Float(Vec::new()),
            Kind::Integer => Elements::Integer(Vec::new()),
        }
    }

    pub fn clear(&mut self) {
        match self {
            Elements::Float(data) => data.clear(),
            Elements::Integer(data) => data.clear(),
        }
    }

    /// The elements as an array of `shape`.
    pub fn view<'a>(&'a self, shape: &'a [usize]) -> Result<TensorView<'a>> {
        match self {
            Elements::Float(data) => TensorView::f32(shape, data),
            Elements::Integer(data) => TensorView::i64(shape, data),
        }
    }

    /// Takes the elements of an array in place of its own.
    pub fn copy(&mut self, view: &TensorView<'_>) {
        self.clear();
        self.extend(view.data());
    }

    /// Adds steps `[batch, steps, ..]` behind those that are here, `shape` being `[batch, steps, ..]` and changed to say so.
    pub fn append_steps(&mut self, data: DataView<'_>, steps: usize, shape: &mut [usize]) -> Result<()> {
        let [batch, here, row @ ..] = shape else { return Ok(()) };
        let width: usize = row.iter().product();
        if *here == 0 || *batch == 1 {
            self.extend(data);
        } else if steps > 0 {
            let (old, kind) = (self.clone(), matches!(self, Elements::Float(_)));
            *self = Elements::new(if kind { Kind::Float } else { Kind::Integer });
            for sequence in 0..*batch {
                let run = |steps: usize| sequence * steps * width..(sequence + 1) * steps * width;
                self.extend(part(old.data(), run(*here))?);
                self.extend(part(data, run(steps))?);
            }
        }
        *here += steps;
        Ok(())
    }

    /// Adds the elements of an array.
    fn extend(&mut self, data: DataView<'_>) {
        match (self, data) {
            (Elements::Float(own), DataView::F32(data)) => own.extend_from_slice(data),
            (Elements::Integer(own), DataView::I64(data)) => own.extend_from_slice(data),
            (Elements::Integer(own), DataView::I32(data)) => own.extend(data.iter().map(|&n| i64::from(n))),
            (Elements::Integer(own), DataView::Bool(data)) => own.extend(data.iter().map(|&n| i64::from(n))),
            // The plan has made sure of the kinds.
            (Elements::Float(_), _) | (Elements::Integer(_), DataView::F32(_)) => {}
        }
    }

    /// Adds so many elements of one value.
    pub fn fill(&mut self, count: usize, value: f64) {
        match self {
            Elements::Float(own) => own.extend(std::iter::repeat_n(value as f32, count)),
            Elements::Integer(own) => own.extend(std::iter::repeat_n(value as i64, count)),
        }
    }

    /// Drops the first `count` elements.
    fn drop_front(&mut self, count: usize) {
        match self {
            Elements::Float(own) => drop(own.drain(..count)),
            Elements::Integer(own) => drop(own.drain(..count)),
        }
    }

    fn data(&self) -> DataView<'_> {
        match self {
            Elements::Float(own) => DataView::F32(own),
            Elements::Integer(own) => DataView::I64(own),
        }
    }
}

/// Some of an array's elements.
fn part(data: DataView<'_>, range: Range<usize>) -> Result<DataView<'_>> {
    let part = match data {
        DataView::F32(data) => data.get(range).map(DataView::F32),
        DataView::I32(data) => data.get(range).map(DataView::I32),
        DataView::I64(data) => data.get(range).map(DataView::I64),
        DataView::Bool(data) => data.get(range).map(DataView::Bool),
    };
    part.ok_or_else(Error::not_computed)
}

/// Rows of `width` elements for each sequence of the batch.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    /// One for each sequence, of the same length each.
    rows: Vec<Elements>,
    width: usize,
    /// Elements at the start of `rows` that are gone, so that dropping need not move the rest each time.
    start: usize,
    len: usize,
    /// Rows to be dropped as soon as they come.
    skip: usize,
    /// The front rows of all sequences, one sequence after the other, where there are several.
    joined: Elements,
}

impl Queue {
    /// An empty queue for so many sequences.
    pub fn new(kind: Kind, batch: usize, width: usize) -> Queue {
        let rows = vec![Elements::new(kind); batch];
        Queue { rows, width, start: 0, len: 0, skip: 0, joined: Elements::new(kind) }
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Adds so many rows of one value.
    pub fn fill(&mut self, rows: usize, value: f64) {
        self.rows.iter_mut().for_each(|own| own.fill(rows * self.width, value));
        self.len += rows;
    }

    /// Adds the steps of an array `[batch, steps, ..]`.
    pub fn push(&mut self, data: DataView<'_>, steps: usize) -> Result<()> {
        let skipped = self.skip.min(steps);
        self.skip -= skipped;
        let run = steps * self.width;
        for (sequence, own) in self.rows.iter_mut().enumerate() {
            own.extend(part(data, sequence * run + skipped * self.width..(sequence + 1) * run)?);
        }
        self.len += steps - skipped;
        Ok(())
    }

    /// Drops the first `rows`; those that are not there yet when they come.
    pub fn drop_front(&mut self, rows: usize) {
        let now = rows.min(self.len);
        self.skip += rows - now;
        self.len -= now;
        self.start += now * self.width;
        // Moving what is left costs no more than adding what is gone did.
        if self.start >= self.len * self.width {
            self.rows.iter_mut().for_each(|own| own.drop_front(self.start));
            self.start = 0;
        }
    }

    /// The first `rows` of every sequence, in row-major order.
    pub fn front(&mut self, rows: usize) -> Result<DataView<'_>> {
        let front = self.start..self.start + rows * self.width;
        if let [only] = self.rows.as_slice() {
            return part(only.data(), front);
        }
        self.joined.clear();
        for own in &self.rows {
            self.joined.extend(part(own.data(), front.clone())?);
        }
        Ok(self.joined.data())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_out_in_the_order_in_which_they_went_in() {
        for batch in [1, 2, 3] {
            let mut queue = Queue::new(Kind::Integer, batch, 2);
            let element = |sequence: usize, row: usize, at: usize| (sequence * 1000 + row * 2 + at) as i64;
            let (mut pushed, mut dropped) = (0, 0);
            for (push, drop) in [(3, 1), (0, 1), (4, 0), (1, 5), (2, 9), (7, 0), (1, 2), (5, 4)] {
                let rows = (0..batch).flat_map(|b| (pushed..pushed + push).map(move |row| (b, row)));
                let data: Vec<i64> =
                    rows.flat_map(|(b, row)| [element(b, row, 0), element(b, row, 1)]).collect();
                queue.push(DataView::I64(&data), push).unwrap();
                (pushed, dropped) = (pushed + push, dropped + drop);
                queue.drop_front(drop);
                let len = pushed.saturating_sub(dropped);
                assert_eq!(queue.len(), len);
                let expected = (0..batch).flat_map(|b| (dropped..dropped + len).map(move |row| (b, row)));
                let expected: Vec<i64> =
                    expected.flat_map(|(b, row)| [element(b, row, 0), element(b, row, 1)]).collect();
                assert_eq!(queue.front(len).unwrap(), DataView::I64(&expected));
            }
        }
    }
}
