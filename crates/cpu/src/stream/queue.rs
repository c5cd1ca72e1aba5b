//! Steps that wait: a first-in, first-out queue of rows for every sequence of a batch.

use crate::arena::Kind;
use crate::{DataView, Result, TensorView};

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
        self.extend(view.data(), 0, view.data().len());
    }

    /// Adds steps `[batch, steps, ..]` behind those that are here, `shape` being `[batch, steps, ..]` and changed to say so.
    pub fn append_steps(&mut self, data: DataView<'_>, steps: usize, shape: &mut [usize]) {
        let [batch, here, row @ ..] = shape else { return };
        let width: usize = row.iter().product();
        if *here == 0 || *batch == 1 {
            self.extend(data, 0, data.len());
        } else if steps > 0 {
            let (old, kind) = (self.clone(), matches!(self, Elements::Float(_)));
            *self = Elements::new(if kind { Kind::Float } else { Kind::Integer });
            for sequence in 0..*batch {
                self.extend(
                    old.slice(sequence * *here * width, (sequence + 1) * *here * width),
                    0,
                    *here * width,
                );
                self.extend(data, sequence * steps * width, (sequence + 1) * steps * width);
            }
        }
        *here += steps;
    }

    /// Adds elements `from..to` of an array.
    fn extend(&mut self, data: DataView<'_>, from: usize, to: usize) {
        match (self, data) {
            (Elements::Float(own), DataView::F32(data)) => own.extend_from_slice(&data[from..to]),
            (Elements::Integer(own), DataView::I64(data)) => own.extend_from_slice(&data[from..to]),
            (Elements::Integer(own), DataView::I32(data)) => {
                own.extend(data[from..to].iter().map(|&n| i64::from(n)));
            }
            (Elements::Integer(own), DataView::Bool(data)) => {
                own.extend(data[from..to].iter().map(|&n| i64::from(n)));
            }
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

    fn slice(&self, from: usize, to: usize) -> DataView<'_> {
        match self {
            Elements::Float(own) => DataView::F32(&own[from..to]),
            Elements::Integer(own) => DataView::I64(&own[from..to]),
        }
    }
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
    pub fn push(&mut self, data: DataView<'_>, steps: usize) {
        let skipped = self.skip.min(steps);
        self.skip -= skipped;
        let run = steps * self.width;
        for (sequence, own) in self.rows.iter_mut().enumerate() {
            own.extend(data, sequence * run + skipped * self.width, (sequence + 1) * run);
        }
        self.len += steps - skipped;
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
    pub fn front(&mut self, rows: usize) -> DataView<'_> {
        let (from, to) = (self.start, self.start + rows * self.width);
        if let [only] = self.rows.as_slice() {
            return only.slice(from, to);
        }
        self.joined.clear();
        for own in &self.rows {
            self.joined.extend(own.slice(from, to), 0, to - from);
        }
        match &self.joined {
            Elements::Float(data) => DataView::F32(data),
            Elements::Integer(data) => DataView::I64(data),
        }
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
                queue.push(DataView::I64(&data), push);
                (pushed, dropped) = (pushed + push, dropped + drop);
                queue.drop_front(drop);
                let len = pushed.saturating_sub(dropped);
                assert_eq!(queue.len(), len);
                let expected = (0..batch).flat_map(|b| (dropped..dropped + len).map(move |row| (b, row)));
                let expected: Vec<i64> =
                    expected.flat_map(|(b, row)| [element(b, row, 0), element(b, row, 1)]).collect();
                assert_eq!(queue.front(len), DataView::I64(&expected));
            }
        }
    }
}
