//! Changes of bytes, whatever they mean.

use fastrand::Rng;

/// Bytes that readers are known to mistake: the ends of what signed and unsigned bytes hold.
const BYTES: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, 0xfe, 0x20, 0x40];

/// Numbers that readers are known to mistake: the ends of integer types, and what overflows when it is multiplied.
const NUMBERS: [u64; 16] = [
    0,
    1,
    0x7f,
    0xff,
    0x7fff,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 32,
    1 << 40,
    1 << 60,
    u64::MAX >> 1,
    u64::MAX - 7,
    u64::MAX,
];

/// What parts of HDF5 and zip files begin with; the numbers behind them say where other parts lie and how long they are.
const SIGNATURES: [&[u8]; 13] = [
    b"\x89HDF",
    b"TREE",
    b"SNOD",
    b"HEAP",
    b"GCOL",
    b"OHDR",
    b"FRHP",
    b"BTHD",
    b"BTLF",
    b"PK\x01\x02",
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"\x93NUMPY",
];

/// Changes `bytes` in one way; `other` is a file to take bytes from. Returns what was done.
pub fn change(bytes: &mut Vec<u8>, other: &[u8], rng: &mut Rng) -> String {
    if bytes.is_empty() {
        bytes.extend(&other[..other.len().min(64)]);
        return "bytes of another file instead of none".to_owned();
    }
    let at = place(bytes, rng);
    match rng.u8(0..14) {
        0..3 => {
            let flips = rng.usize(1..9);
            for _ in 0..flips {
                let at = place(bytes, rng);
                bytes[at] ^= 1 << rng.u8(0..8);
            }
            format!("{flips} bits flipped")
        }
        3..5 => {
            bytes[at] = BYTES[rng.usize(0..BYTES.len())];
            format!("byte {at} set to {:#x}", bytes[at])
        }
        5..9 => {
            let width = [2, 4, 8][rng.usize(0..3)];
            let at = if rng.bool() { at - at % width } else { at };
            let number = NUMBERS[rng.usize(0..NUMBERS.len())];
            let end = bytes.len().min(at + width);
            bytes[at..end].copy_from_slice(&number.to_le_bytes()[..end - at]);
            format!("{width} bytes from {at} on set to {number:#x}")
        }
        9 => {
            bytes.truncate(at);
            format!("truncated to {at} bytes")
        }
        10 => {
            let end = end_of_block(at, bytes.len(), rng);
            bytes.drain(at..end);
            format!("bytes {at}..{end} deleted")
        }
        11 => {
            let end = end_of_block(at, bytes.len(), rng);
            let (block, to) = (bytes[at..end].to_vec(), place(bytes, rng));
            bytes.splice(to..to, block);
            format!("bytes {at}..{end} again at {to}")
        }
        12 => {
            let to = place(bytes, rng);
            let len = end_of_block(at.max(to), bytes.len(), rng) - at.max(to);
            (0..len).for_each(|i| bytes.swap(at + i, to + i));
            format!("{len} bytes at {at} and {to} swapped")
        }
        _ if other.is_empty() => {
            let end = end_of_block(at, bytes.len(), rng);
            bytes[at..end].fill(0);
            format!("bytes {at}..{end} zero")
        }
        _ => {
            let from = place(other, rng);
            let block = &other[from..end_of_block(from, other.len(), rng)];
            let replaced = if rng.bool() { block.len().min(bytes.len() - at) } else { 0 };
            bytes.splice(at..at + replaced, block.iter().copied());
            format!("{} bytes of another file instead of {replaced} at {at}", block.len())
        }
    }
}

/// A place to change: anywhere, near the start, or shortly behind the signature of a part.
fn place(bytes: &[u8], rng: &mut Rng) -> usize {
    let anywhere = rng.usize(0..bytes.len());
    match rng.u8(0..4) {
        0 => anywhere,
        1 => rng.usize(0..bytes.len().min(4096)),
        _ => {
            let is_start =
                |&at: &usize| SIGNATURES.iter().any(|signature| bytes[at..].starts_with(signature));
            let found = (anywhere..bytes.len()).chain(0..anywhere).take(1 << 15).find(is_start);
            found.map_or(anywhere, |at| (at + rng.usize(0..128)).min(bytes.len() - 1))
        }
    }
}

/// The end of a block that begins at `at`: a few bytes long, or of any length.
fn end_of_block(at: usize, len: usize, rng: &mut Rng) -> usize {
    let longest = if rng.bool() { 64 } else { 4096 };
    (at + rng.usize(1..=longest)).min(len)
}
