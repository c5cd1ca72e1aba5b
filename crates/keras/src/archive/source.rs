//! Where bytes come from: positioned reads of a file or of memory.

use crate::{Error, Result};
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

/// Positioned reads: a file or bytes.
pub trait ReadAt: Send + Sync {
    /// The number of bytes.
    fn len(&self) -> io::Result<u64>;

    /// Fills `buf` with the bytes from `offset` on, or fails if there are not as many.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;

    /// Whether there are no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

fn copy_from(bytes: &[u8], offset: u64, buf: &mut [u8]) -> io::Result<()> {
    let start = usize::try_from(offset).ok();
    let end = start.and_then(|start| start.checked_add(buf.len()));
    let range = start.zip(end).and_then(|(start, end)| bytes.get(start..end));
    buf.copy_from_slice(range.ok_or(io::ErrorKind::UnexpectedEof)?);
    Ok(())
}

macro_rules! read_at_for_bytes {
    ($($type:ty),*) => {$(
        impl ReadAt for $type {
            fn len(&self) -> io::Result<u64> {
                Ok(<[u8]>::len(self) as u64)
            }

            fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
                copy_from(self, offset, buf)
            }
        }
    )*};
}

read_at_for_bytes!(Vec<u8>, Arc<[u8]>, &'static [u8]);

/// How many bytes are read at a time where all are read.
const PIECE: u64 = 1 << 18;

/// A named sequence of bytes, cheap to clone.
#[derive(Clone)]
pub struct Source {
    name: Arc<str>,
    reader: Arc<dyn ReadAt>,
}

impl Source {
    /// What `reader` reads, called `name` in messages.
    pub fn new(name: impl Into<String>, reader: Arc<dyn ReadAt>) -> Source {
        Source { name: name.into().into(), reader }
    }

    /// Bytes in memory, called `name` in messages.
    pub fn from_bytes(name: impl Into<String>, bytes: impl ReadAt + 'static) -> Source {
        Source::new(name, Arc::new(bytes))
    }

    /// What messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of bytes.
    pub(crate) fn len(&self) -> Result<u64> {
        Ok(self.reader.len()?)
    }

    pub(crate) fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.reader.read_at(offset, buf)
    }

    /// The `len` bytes from `offset` on. Memory is only asked for when that many bytes are there.
    pub(crate) fn read(&self, offset: u64, len: u64) -> Result<Vec<u8>> {
        let total = self.len()?;
        if offset.checked_add(len).is_none_or(|end| end > total) {
            return Err(Error::malformed(format!(
                "{len} bytes were expected at {offset}, but the end is at {total}"
            )));
        }
        let mut bytes = zeros(len)?;
        self.read_at(offset, &mut bytes)?;
        Ok(bytes)
    }

    /// Calls `visit` with all bytes, piece by piece.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) where they cannot be read.
    pub fn read_in_order(&self, visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        let len = self.len()?;
        let mut buffer = zeros(len.min(PIECE))?;
        let mut offset = 0;
        while offset < len {
            let piece = (len - offset).min(PIECE);
            let (now, _) = buffer.split_at_mut(piece as usize);
            self.read_at(offset, now)?;
            visit(now);
            offset += piece;
        }
        Ok(())
    }

    /// The first `len` bytes, or all if there are fewer.
    pub(crate) fn prefix(&self, len: u64) -> Result<Vec<u8>> {
        self.read(0, len.min(self.len()?))
    }

    /// The `len` bytes from `offset` on as a source of their own. They are not read yet.
    pub(crate) fn window(&self, name: &str, offset: u64, len: u64) -> Source {
        Source::new(name, Arc::new(Window { inner: self.reader.clone(), offset, len }))
    }

    /// The bytes as a stream.
    pub(crate) fn stream(&self) -> Result<Stream> {
        Ok(Stream { source: self.clone(), len: self.len()?, position: 0 })
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("name", &self.name).finish_non_exhaustive()
    }
}

/// `len` zeros, or an error where memory does not hold them.
pub(crate) fn zeros(len: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let fits = usize::try_from(len).is_ok_and(|len| bytes.try_reserve_exact(len).is_ok());
    if !fits {
        return Err(Error::limit(format!("{len} bytes do not fit in memory")));
    }
    bytes.resize(len as usize, 0);
    Ok(bytes)
}

struct Window {
    inner: Arc<dyn ReadAt>,
    offset: u64,
    len: u64,
}

impl ReadAt for Window {
    fn len(&self) -> io::Result<u64> {
        Ok(self.len)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(buf.len() as u64).filter(|&end| end <= self.len);
        let start = end.and(self.offset.checked_add(offset));
        self.inner.read_at(start.ok_or(io::ErrorKind::UnexpectedEof)?, buf)
    }
}

/// A source with a position.
pub(crate) struct Stream {
    source: Source,
    len: u64,
    position: u64,
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.len.saturating_sub(self.position);
        let count = usize::try_from(left).map_or(buf.len(), |left| left.min(buf.len()));
        let (now, _) = buf.split_at_mut(count);
        if count > 0 {
            self.source.read_at(self.position, now)?;
        }
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Stream {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(distance) => self.len.checked_add_signed(distance),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn a_window_reads_nothing_outside_itself() {
        let source = Source::from_bytes("all", vec![0, 1, 2, 3, 4, 5]);
        let window = source.window("part", 2, 3);
        assert_eq!(window.read(0, 3).unwrap(), [2, 3, 4]);
        assert_eq!(window.read(1, 2).unwrap(), [3, 4]);
        assert_eq!(window.prefix(10).unwrap(), [2, 3, 4]);
        assert_eq!(window.read(1, 3).unwrap_err().kind(), ErrorKind::Malformed);
        assert!(window.read_at(2, &mut [0; 2]).is_err());
        assert!(window.read_at(u64::MAX, &mut [0; 2]).is_err());
    }

    #[test]
    fn all_bytes_are_read_in_their_order() {
        for len in [0, 1, PIECE - 1, PIECE, 2 * PIECE + 3] {
            let bytes: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            let mut read = Vec::new();
            let source = Source::from_bytes("all", bytes.clone());
            source.read_in_order(&mut |piece| read.extend_from_slice(piece)).unwrap();
            assert!(read == bytes, "{len} bytes");
        }
    }

    #[test]
    fn a_length_is_checked_before_memory_is_asked_for() {
        let source = Source::from_bytes("short", b"abc".as_slice());
        assert!(source.read(0, u64::MAX).is_err());
        assert!(source.read(u64::MAX, 1).is_err());
        assert_eq!(zeros(u64::MAX / 2).unwrap_err().kind(), ErrorKind::Limit);
    }

    #[test]
    fn a_stream_ends_where_the_source_ends() {
        let mut stream = Source::from_bytes("s", b"abcdef".as_slice()).stream().unwrap();
        let mut text = String::new();
        assert_eq!(stream.seek(SeekFrom::End(-2)).unwrap(), 4);
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text, "ef");
        assert_eq!(stream.seek(SeekFrom::Start(100)).unwrap(), 100);
        assert_eq!(stream.read(&mut [0; 4]).unwrap(), 0);
        assert!(stream.seek(SeekFrom::Current(-101)).is_err());
    }
}
