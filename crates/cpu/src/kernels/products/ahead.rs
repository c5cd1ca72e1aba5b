//! Weights that a later step reads from memory, which are asked for while this one computes.

/// Some bytes of a later step's weights. Each of the threads asks for the first ones that it will read itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ahead<'a> {
    /// All of the weights.
    pub weights: &'a [u8],
    /// How many bytes earlier steps ask for, and this one.
    pub skip: usize,
    pub len: usize,
}

impl<'a> Ahead<'a> {
    /// Nothing.
    pub const NOTHING: Ahead<'static> = Ahead { weights: &[], skip: 0, len: 0 };

    /// What one of so many threads asks for.
    pub fn part(&self, part: usize, parts: usize) -> &'a [u8] {
        let start = self.weights.len() / parts * part + self.skip / parts;
        let end = start.saturating_add(self.len / parts).min(self.weights.len());
        self.weights.get(start..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_asks_for_what_it_will_read() {
        let weights: Vec<u8> = (0..100).collect();
        let ahead = Ahead { weights: &weights, skip: 10, len: 20 };
        assert_eq!(ahead.part(0, 1), &weights[10..30]);
        assert_eq!([ahead.part(0, 2), ahead.part(1, 2)], [&weights[5..15], &weights[55..65]]);
        assert_eq!(Ahead { skip: 95, ..ahead }.part(0, 1), &weights[95..]);
        assert_eq!(Ahead { skip: 105, ..ahead }.part(0, 1), &[] as &[u8]);
        assert_eq!(Ahead::NOTHING.part(1, 2), &[] as &[u8]);
    }
}
