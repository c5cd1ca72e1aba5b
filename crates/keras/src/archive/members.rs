//! The members of a zip archive.
//!
//! A stored member stays where it is: it is a window over the archive, and its checksum is not computed. A
//! deflated one is inflated into memory, up to a limit on the bytes that really come out, and must have the
//! size and checksum that the archive says.

use super::source::{Source, Stream};
use crate::{Error, Result, archive::shown};
use memchr::memmem;
use std::collections::HashSet;
use std::io::{self, BufReader, Read};
use zip::read::{ArchiveOffset, Config};
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive, ZipReadOptions};

const END_OF_DIRECTORY: &[u8] = b"PK\x05\x06";
const ZIP64_LOCATOR: &[u8] = b"PK\x06\x07";
/// The end record, the longest comment after it, and the locator before it.
const TAIL: u64 = 22 + 0xffff + 20;
/// The length of the end record without a comment.
const END_RECORD: usize = 22;
/// The length of a member's header without its name.
const HEADER: u64 = 30;
/// The length of a member's record in the directory without its name, extra field and comment.
const RECORD: u64 = 46;
const MAX_MEMBERS: u64 = 10_000;
/// A member that is said to inflate to more than this is refused where it is also more than [`DENSEST`] times its
/// compressed size: configurations and trained weights are far from that.
const SMALL: u64 = 1 << 19;
const DENSEST: u64 = 48;

/// A zip archive whose names are safe and occur once.
pub(crate) struct Members {
    source: Source,
    zip: ZipArchive<BufReader<Stream>>,
    names: Vec<String>,
}

impl Members {
    /// Reads the directory of the archive.
    pub fn open(source: &Source) -> Result<Members> {
        let directory_end = check_end(source)?;
        let config = Config { archive_offset: ArchiveOffset::Known(0) };
        let zip = ZipArchive::with_config(config, BufReader::new(source.stream()?)).map_err(convert)?;
        let mut seen = HashSet::new();
        let mut names = Vec::new();
        if zip.has_duplicate_names() {
            return Err(Error::malformed("the zip archive has two members of the same name"));
        }
        let mut extents = Vec::new();
        for index in 0..zip.len() {
            let member = zip.by_index_data(index).map_err(convert)?;
            let name = member.name().map_err(convert)?.into_owned();
            let place = || shown(&name);
            if !seen.insert(name.to_lowercase()) {
                return Err(Error::malformed(format!(
                    "the zip archive has two members named {}, or so but for capital letters",
                    place()
                )));
            }
            if !is_safe(&name) {
                return Err(Error::malformed(format!(
                    "the zip archive has a member outside itself: {}",
                    place()
                )));
            }
            if member.is_symlink() {
                return Err(Error::unsupported(format!("the zip member {} is a symbolic link", place())));
            }
            if member.encrypted() {
                return Err(Error::unsupported(format!("the zip member {} is encrypted", place())));
            }
            // A local header is as long as this at least.
            let header = HEADER + member.name_raw().len() as u64;
            let end = member
                .compressed_size()
                .checked_add(header)
                .and_then(|size| size.checked_add(member.header_start()));
            let end = end.filter(|&end| end <= zip.central_directory_start()).ok_or_else(|| {
                Error::malformed(format!("the zip member {} is longer than the archive", place()))
            })?;
            extents.push((member.header_start(), end, index));
            names.push(name);
        }
        check_overlaps(&mut extents, &names)?;
        check_records(source, zip.central_directory_start(), directory_end, names.len())?;
        Ok(Members { source: source.clone(), zip, names })
    }

    /// The names of all members, in the order of the directory.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The bytes of the member `name`, at most `limit` of them; `None` if there is no such member.
    pub fn read(&mut self, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let Some(index) = self.zip.index_for_name(name) else {
            return Ok(None);
        };
        self.inflate(index, limit).map(Some).map_err(|error| error.within(name))
    }

    /// The member `name`: in place if it is stored, else inflated to at most `limit` bytes.
    pub fn source(&mut self, name: &str, limit: u64) -> Result<Option<Source>> {
        let Some(index) = self.zip.index_for_name(name) else {
            return Ok(None);
        };
        self.place_or_inflate(name, index, limit).map(Some).map_err(|error| error.within(name))
    }

    fn place_or_inflate(&mut self, name: &str, index: usize, limit: u64) -> Result<Source> {
        let directory = self.zip.central_directory_start();
        let options = ZipReadOptions::new().enforce_header_consistency(true);
        let member = self.zip.by_index_with_options(index, options).map_err(convert)?;
        let (size, compressed_size) = (member.size(), member.compressed_size());
        if member.compression() != CompressionMethod::Stored {
            drop(member);
            let name = format!("{}: {name}", self.source.name());
            return Ok(Source::from_bytes(name, self.inflate(index, limit)?));
        }
        if size != compressed_size {
            return Err(Error::malformed(format!(
                "the member is stored as it is, but is said to be {size} bytes long and to take {compressed_size}"
            )));
        }
        let start = member.data_start().ok_or_else(|| Error::malformed("the member has no data"))?;
        if start.checked_add(size).is_none_or(|end| end > directory) {
            return Err(Error::malformed(format!(
                "the member is said to take {size} bytes from {start} on, but the archive's members end at {directory}"
            )));
        }
        let name = format!("{}: {name}", self.source.name());
        Ok(self.source.window(&name, start, size))
    }

    fn inflate(&mut self, index: usize, limit: u64) -> Result<Vec<u8>> {
        let options = ZipReadOptions::new().enforce_header_consistency(true);
        let mut member = self.zip.by_index_with_options(index, options).map_err(convert)?;
        if !matches!(member.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
            let method = member.compression();
            return Err(Error::unsupported(format!(
                "the member is compressed with {method}; stored and deflated ones can be read"
            )));
        }
        let (declared, compressed) = (member.size(), member.compressed_size());
        let too_large =
            || Error::limit(format!("the member is larger than the {limit} bytes that are allowed"));
        if declared > limit {
            return Err(too_large());
        }
        if declared > SMALL && declared / DENSEST > compressed {
            return Err(Error::limit(format!(
                "the member is said to hold {declared} bytes in {compressed}, more than {DENSEST} in each"
            ))
            .help("if the archive is yours, zip it again without compression"));
        }
        let mut bytes = Vec::new();
        let mut chunk = vec![0; declared.clamp(1, 1 << 16) as usize];
        loop {
            let count = member.read(&mut chunk).map_err(|error| convert(error.into()))?;
            let (now, _) = chunk.split_at(count.min(chunk.len()));
            if now.is_empty() {
                break;
            }
            let length = (bytes.len() + now.len()) as u64;
            if length > limit {
                return Err(too_large());
            }
            bytes.try_reserve(now.len()).map_err(|_| too_large())?;
            bytes.extend_from_slice(now);
        }
        if bytes.len() as u64 != declared {
            let given = bytes.len();
            return Err(Error::malformed(format!(
                "the archive says that the member holds {declared} bytes; it holds {given}"
            )));
        }
        Ok(bytes)
    }
}

/// Refuses members that share bytes: many of them could stand for more than the archive is long. Each is given by
/// where it starts, where it ends at the earliest, and which it is.
fn check_overlaps(extents: &mut [(u64, u64, usize)], names: &[String]) -> Result<()> {
    extents.sort_unstable();
    for pair in extents.windows(2) {
        if let [(_, end, first), (start, _, second)] = *pair
            && start < end
        {
            let name = |index: usize| shown(names.get(index).map_or("", String::as_str));
            return Err(Error::malformed(format!(
                "the zip members {} and {} lie in the same bytes",
                name(first),
                name(second)
            )));
        }
    }
    Ok(())
}

/// Refuses an archive without an end, and one that claims more members than anybody has: space for them would
/// be set aside before the first is read. Gives where the directory ends.
fn check_end(source: &Source) -> Result<u64> {
    let len = source.len()?;
    let start = len.saturating_sub(TAIL);
    let tail = source.read(start, len - start)?;
    let Some(end) = memmem::rfind(&tail, END_OF_DIRECTORY) else {
        return Err(Error::malformed("the end of the zip archive is missing")
            .help("the file was cut off: fetch or save it again"));
    };
    // Where the directory is would be a matter of opinion.
    if end + END_RECORD != tail.len() {
        let after = tail.len().saturating_sub(end + END_RECORD);
        return Err(Error::malformed(format!("{after} bytes follow the end of the zip archive"))
            .help("fetch or save it again; comments behind an archive are not read"));
    }
    let too_many = || Error::limit(format!("the zip archive has more than {MAX_MEMBERS} members"));
    let counted = tail.get(end + 10..).and_then(|rest| rest.first_chunk()).copied().map(u16::from_le_bytes);
    // The largest number says that the record of zip64 has it.
    if counted.is_some_and(|members| members != u16::MAX && u64::from(members) > MAX_MEMBERS) {
        return Err(too_many());
    }
    let directory_end = check_directory(source, &tail, end, start)?;
    for locator in memmem::find_iter(&tail, ZIP64_LOCATOR) {
        let Some(offset) = u64_at(&tail, locator + 8) else {
            continue;
        };
        let Ok(record) = source.read(offset, 56) else {
            continue;
        };
        if u64_at(&record, 32).is_some_and(|members| members > MAX_MEMBERS) {
            return Err(too_many());
        }
    }
    Ok(directory_end)
}

/// Refuses a directory from `start` to `end` that holds other than `count` records: those behind would be read by some
/// and not by others.
fn check_records(source: &Source, start: u64, end: u64, count: usize) -> Result<()> {
    let mut at = start;
    for _ in 0..count {
        let record = source.read(at, RECORD)?;
        let [name, extra, comment] = [28, 30, 32].map(|offset: usize| {
            let bytes = record.get(offset..).and_then(|rest| rest.first_chunk().copied());
            u64::from(bytes.map_or(0, u16::from_le_bytes))
        });
        at = at.saturating_add(RECORD + name + extra + comment);
    }
    match at == end {
        true => Ok(()),
        false => Err(Error::malformed(format!(
            "the directory of the zip archive is {} bytes long; its {count} members take {}",
            end.saturating_sub(start),
            at.saturating_sub(start)
        ))),
    }
}

/// Refuses an end record, at `at` of the archive's last bytes, which begin at `start`, unless it or those of zip64
/// follow the directory at once: an archive behind another one could be read as either. Gives where the directory ends.
fn check_directory(source: &Source, tail: &[u8], at: usize, start: u64) -> Result<u64> {
    let field = |offset: usize| {
        let bytes: Option<[u8; 4]> = tail.get(at + offset..).and_then(|rest| rest.first_chunk().copied());
        bytes.map_or(0, u32::from_le_bytes)
    };
    let (size, offset) = (field(12), field(16));
    let mut end = (u64::from(size).checked_add(offset.into()), start + at as u64);
    let locator =
        at.checked_sub(20).filter(|&at| tail.get(at..).is_some_and(|rest| rest.starts_with(ZIP64_LOCATOR)));
    if let Some(record) = locator.and_then(|locator| u64_at(tail, locator + 8)) {
        end.1 = record;
        if size == u32::MAX || offset == u32::MAX {
            let bytes = source.read(record, 56)?;
            end.0 = u64_at(&bytes, 40).zip(u64_at(&bytes, 48)).and_then(|(size, at)| size.checked_add(at));
        }
    }
    match end {
        (Some(directory), record) if directory == record => Ok(record),
        _ => Err(Error::malformed("the directory of the zip archive is not where its end says")
            .help("something was put before the archive, or behind its directory: fetch or save it again")),
    }
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    bytes.get(offset..)?.first_chunk().copied().map(u64::from_le_bytes)
}

/// Whether the name stays within the folder that an archive is unpacked to.
fn is_safe(name: &str) -> bool {
    let absolute = name.starts_with(['/', '\\']) || name.get(1..2) == Some(":");
    !absolute && !name.contains(['\0', '\\']) && name.split('/').all(|part| part != "..")
}

fn convert(error: ZipError) -> Error {
    match error {
        ZipError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Error::malformed("the zip archive ends too early")
        }
        // A wrong checksum and a broken deflate stream come as these.
        ZipError::Io(error)
            if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) =>
        {
            Error::malformed(format!("damaged zip archive: {error}"))
        }
        ZipError::Io(error) => error.into(),
        ZipError::UnsupportedArchive(reason) => Error::unsupported(format!("zip archive: {reason}")),
        ZipError::InvalidArchive(reason) if reason.starts_with("Unexpected end of") => {
            Error::malformed("damaged zip archive: its directory ends too early")
        }
        ZipError::InvalidArchive(reason) => Error::malformed(format!("damaged zip archive: {reason}")),
        error => Error::malformed(format!("damaged zip archive: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::archive::source::ReadAt;
    use std::io::{Cursor, Write};
    use std::sync::Arc;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    fn stored() -> SimpleFileOptions {
        SimpleFileOptions::default().compression_method(CompressionMethod::Stored)
    }

    fn deflated() -> SimpleFileOptions {
        SimpleFileOptions::default().compression_method(CompressionMethod::Deflated)
    }

    fn archive(members: &[(&str, SimpleFileOptions, &[u8])]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, options, bytes) in members {
            zip.start_file(*name, *options).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn open(bytes: Vec<u8>) -> Result<Members> {
        Members::open(&Source::from_bytes("test.zip", bytes))
    }

    /// Replaces `from` by `to` of the same length wherever it occurs.
    fn replace(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
        let places: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at..].starts_with(from)).collect();
        assert!(!places.is_empty());
        places.iter().for_each(|&at| bytes[at..at + to.len()].copy_from_slice(to));
        bytes
    }

    #[track_caller]
    fn check_error<T>(result: Result<T>, kind: ErrorKind, expected: &str) {
        let error = result.err().unwrap();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[test]
    fn stored_members_stay_in_place_and_deflated_ones_are_inflated() {
        let bytes = archive(&[("a", stored(), b"abcdef"), ("b", deflated(), &[7; 1000])]);
        let mut members = open(bytes).unwrap();
        assert_eq!(members.names(), ["a", "b"]);
        assert!(members.source("c", 10).unwrap().is_none());
        // The limit is one on memory, of which a window takes none.
        assert_eq!(members.source("a", 0).unwrap().unwrap().read(2, 4).unwrap(), b"cdef");
        assert_eq!(members.source("b", 1000).unwrap().unwrap().prefix(2000).unwrap(), [7; 1000]);
        check_error(members.source("b", 999), ErrorKind::Limit, "larger than the 999 bytes");
        check_error(members.read("a", 5), ErrorKind::Limit, "a: the member is larger");
    }

    /// The headers of an archive and zeros between them, that nobody may read.
    struct Sparse {
        start: Vec<u8>,
        zeros: u64,
        end: Vec<u8>,
    }

    impl ReadAt for Sparse {
        fn len(&self) -> io::Result<u64> {
            Ok(self.start.len() as u64 + self.zeros + self.end.len() as u64)
        }

        fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
            let end = self.start.len() as u64 + self.zeros;
            if offset >= end {
                return self.end.read_at(offset - end, buf);
            }
            // The directory is looked for in so many bytes.
            if buf.len() as u64 > TAIL {
                return Err(io::Error::other("much of the member is read"));
            }
            for (i, byte) in buf.iter_mut().enumerate() {
                let at = offset + i as u64;
                let after = at.checked_sub(end).and_then(|at| self.end.get(at as usize));
                *byte = *self.start.get(at as usize).or(after).unwrap_or(&0);
            }
            Ok(())
        }
    }

    /// An archive of one stored member `w` of so many zeros, in the format zip64.
    fn zip64(size: u64) -> Sparse {
        let long = |numbers: &[u64]| numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
        // Version 4.5, no flags, stored, no time, no checksum; the sizes are in the extra field.
        let common = |from: &[u8]| {
            let extra = [&[1, 0, 16, 0][..], &long(&[size, size])].concat();
            let head =
                [from, &[45, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[0xff; 8], &[1, 0, 20, 0]].concat();
            (head, [b"w".as_slice(), &extra].concat())
        };
        let (head, tail) = common(b"PK\x03\x04");
        let start = [head, tail].concat();
        let (head, tail) = common(b"PK\x01\x02\x2d\0");
        let directory = [head, vec![0; 14], tail].concat();
        let (at, len) = (start.len() as u64 + size, directory.len() as u64);
        let record =
            [&b"PK\x06\x06"[..], &long(&[44]), &[45, 0, 45, 0], &[0; 8], &long(&[1, 1, len, at])].concat();
        let locator = [ZIP64_LOCATOR, &[0; 4], &long(&[at + len]), &[1, 0, 0, 0]].concat();
        let last = [END_OF_DIRECTORY, &[0; 4], &[0xff; 12], &[0; 2]].concat();
        Sparse { start, zeros: size, end: [directory, record, locator, last].concat() }
    }

    #[test]
    fn a_stored_member_past_four_gibibytes_stays_in_place() {
        let size = (5 << 30) + 3;
        let archive = Source::new("test.zip", Arc::new(zip64(size)));
        let mut members = Members::open(&archive).unwrap();
        let member = members.source("w", 0).unwrap().unwrap();
        assert_eq!(member.len().unwrap(), size);
        assert_eq!(member.read(size - 2, 2).unwrap(), [0, 0]);
        assert!(member.read(size - 2, 3).is_err());
    }

    #[test]
    fn what_inflates_far_more_than_models_do_is_refused_before_it_is_inflated() {
        let bomb = archive(&[("b", deflated(), &vec![0; 2 << 20]), ("s", deflated(), &vec![0; 1 << 19])]);
        let mut members = open(bomb).unwrap();
        check_error(
            members.source("b", u64::MAX),
            ErrorKind::Limit,
            "b: the member is said to hold 2097152 bytes in",
        );
        assert!(members.source("s", u64::MAX).is_ok());
    }

    #[test]
    fn a_directory_of_very_many_members_is_not_read() {
        let mut bytes = archive(&[("a", stored(), b"1")]);
        let end = bytes.len() - 22;
        bytes[end + 8..end + 12].copy_from_slice(&[0x11, 0x27, 0x11, 0x27]);
        check_error(open(bytes), ErrorKind::Limit, "more than 10000 members");
    }

    #[test]
    fn a_directory_has_no_more_members_than_its_end_says() {
        let mut bytes = archive(&[("a", stored(), b"1"), ("b", stored(), b"2")]);
        let end = bytes.len() - END_RECORD;
        bytes[end + 8..end + 12].copy_from_slice(&[1, 0, 1, 0]);
        let expected = "the directory of the zip archive is 94 bytes long; its 1 members take 47";
        check_error(open(bytes), ErrorKind::Malformed, expected);
    }

    #[test]
    fn a_size_that_lies_is_found_out() {
        let honest = archive(&[("b", deflated(), &[7; 1000])]);
        for (said, expected) in [(999u32, "larger than its declared"), (1001, "it holds 1000")] {
            let lying = replace(honest.clone(), &1000u32.to_le_bytes(), &said.to_le_bytes());
            check_error(open(lying).unwrap().read("b", 5000), ErrorKind::Malformed, expected);
        }
        let honest = archive(&[("a", stored(), &[7; 1000])]);
        let lying = replace(honest, &1000u32.to_le_bytes(), &100_000u32.to_le_bytes());
        check_error(open(lying), ErrorKind::Malformed, "\"a\" is longer than the archive");
    }

    #[test]
    fn a_stored_member_has_one_size() {
        let sizes = |compressed: u32, size: u32| [compressed, size].map(u32::to_le_bytes).concat();
        let honest = archive(&[("a", stored(), &[7; 1000])]);
        let lying = replace(honest, &sizes(1000, 1000), &sizes(1000, 2000));
        check_error(
            open(lying).unwrap().source("a", 5000),
            ErrorKind::Malformed,
            "2000 bytes long and to take 1000",
        );
    }

    #[test]
    fn a_changed_byte_is_found_by_the_checksum() {
        let bytes = replace(archive(&[("a", stored(), b"abcdef")]), b"abcdef", b"abcdeg");
        check_error(open(bytes).unwrap().read("a", 100), ErrorKind::Malformed, "damaged zip archive");
    }

    #[test]
    fn names_are_unique_and_stay_inside() {
        let twice = replace(archive(&[("one", stored(), b"1"), ("two", stored(), b"2")]), b"two", b"one");
        check_error(open(twice), ErrorKind::Malformed, "same name");
        let capitals = archive(&[("one", stored(), b"1"), ("One", stored(), b"2")]);
        check_error(open(capitals), ErrorKind::Malformed, "named \"One\", or so but for capital letters");
        for name in ["../x", "/etc", "c:/x", "a/..", "a\\..\\b", "a\\b"] {
            check_error(open(archive(&[(name, stored(), b"")])), ErrorKind::Malformed, "outside itself");
        }
        assert!(is_safe("assets/a..b/c"));
    }

    #[test]
    fn members_do_not_share_bytes() {
        let honest = archive(&[("a", stored(), &[7; 100]), ("b", stored(), &[8; 100])]);
        let second = (1..honest.len()).find(|&at| honest[at..].starts_with(b"PK\x03\x04")).unwrap();
        let offset = |at: usize| [&(at as u32).to_le_bytes()[..], b"b"].concat();
        for (at, expected) in
            [(0, "\"a\" and \"b\" lie in the same bytes"), (9, "in the same bytes"), (300, "longer than")]
        {
            let lying = replace(honest.clone(), &offset(second), &offset(at));
            check_error(open(lying), ErrorKind::Malformed, expected);
        }
    }

    #[test]
    fn nothing_follows_the_end() {
        let honest = archive(&[("a", stored(), &[7; 100])]);
        let end = honest[honest.len() - 22..].to_vec();
        for after in [&b"x"[..], &[0; 100], &honest] {
            let both = [&honest, after].concat();
            // A whole archive behind another one has offsets that are not its own.
            let expected = if after == honest { "not where its end says" } else { "bytes follow the end" };
            check_error(open(both), ErrorKind::Malformed, expected);
        }
        let commented = replace(honest, &end, &[&end[..20], &[9, 0]].concat());
        check_error(
            open([commented, b"a comment".to_vec()].concat()),
            ErrorKind::Malformed,
            "9 bytes follow",
        );
    }

    #[test]
    fn links_are_refused() {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        zip.add_symlink("a", "/etc/passwd", stored()).unwrap();
        check_error(open(zip.finish().unwrap().into_inner()), ErrorKind::Unsupported, "symbolic link");
    }

    #[test]
    fn encrypted_members_are_refused() {
        let mut bytes = archive(&[("a", stored(), b"abcdef")]);
        let directory = (0..bytes.len()).find(|&at| bytes[at..].starts_with(b"PK\x01\x02")).unwrap();
        bytes[directory + 8] |= 1;
        check_error(open(bytes), ErrorKind::Unsupported, "encrypted");
    }

    #[test]
    fn a_cut_archive_is_told_from_a_damaged_one() {
        let bytes = archive(&[("a", stored(), &[1; 100]), ("b", stored(), &[2; 100])]);
        check_error(open(bytes[..150].to_vec()), ErrorKind::Malformed, "end of the zip archive is missing");
        check_error(open(replace(bytes, b"PK\x01\x02", b"PK\x09\x09")), ErrorKind::Malformed, "damaged zip");
    }
}
