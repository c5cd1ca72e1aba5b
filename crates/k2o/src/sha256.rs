//! The SHA-256 of the files that a model came from.

use crate::Result;
use k2o_keras::Source;
use sha2::{Digest, Sha256};

/// The hash of a source's bytes in hexadecimal digits.
pub(crate) fn sha256(source: &Source) -> Result<String> {
    let mut hash = Sha256::new();
    source.read_in_order(&mut |bytes| hash.update(bytes))?;
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
