//! The SHA-256 of the files that a model came from.

use k2o_keras::Source;
use k2o_onnx::LateText;
use sha2::{Digest, Sha256};
use std::io;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

/// The hash of a source's bytes in hexadecimal digits, computed by a thread of its own from now on: a file is hashed while
/// the weights that are read from it are written elsewhere.
pub(crate) fn begin_sha256(source: Source) -> LateText {
    let of = source.clone();
    let thread = Mutex::new(thread::Builder::new().spawn(move || sha256(&of)).ok());
    let hash: OnceLock<Result<String, String>> = OnceLock::new();
    LateText::new(move || {
        let get = || {
            let thread = thread.lock().unwrap_or_else(PoisonError::into_inner).take();
            // Where there are no threads, the one that asks computes it.
            thread.and_then(|thread| thread.join().ok()).unwrap_or_else(|| sha256(&source))
        };
        hash.get_or_init(get).clone().map_err(io::Error::other)
    })
}

fn sha256(source: &Source) -> Result<String, String> {
    let mut hash = Sha256::new();
    source.read_in_order(&mut |bytes| hash.update(bytes)).map_err(|error| error.to_string())?;
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_all_bytes() {
        // From FIPS 180-2, appendix B: of "abc" and of a million times "a".
        let of = |bytes: Vec<u8>| sha256(&Source::from_bytes("bytes", bytes)).unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(of(b"abc".to_vec()), abc);
        let million = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
        assert_eq!(of(vec![b'a'; 1_000_000]), million);
    }
}
