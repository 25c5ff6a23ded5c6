//! The digest of what is read, however long it is.

use std::io::{self, Read};

use model::Digest;
use sha2::{Digest as _, Sha256};

/// Read at once.
const CHUNK: usize = 256 << 10;

/// Reads to the end: the digest of all of it, and how many bytes it is.
pub(in crate::cli) fn digest_of(mut reader: impl Read) -> io::Result<(Digest, u64)> {
    let (mut hash, mut bytes, mut chunk) = (Sha256::new(), 0, vec![0; CHUNK]);
    loop {
        match reader.read(&mut chunk)? {
            0 => return Ok((Digest::from_sha256(hash.finalize().into()), bytes)),
            read => {
                hash.update(&chunk[..read]);
                bytes += read as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_chunks_count() {
        let bytes = vec![7; 2 * CHUNK + 3];
        assert_eq!(digest_of(bytes.as_slice()).unwrap(), (Digest::of(&bytes), bytes.len() as u64));
    }
}
