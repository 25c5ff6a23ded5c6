//! The compressed side of a layer: bytes as they are stored, counted and hashed while they are read.

use std::io::{self, BufRead, Read};

use model::Digest;
use sha2::{Digest as _, Sha256};

use crate::error::{Fault, Reason};
use crate::manifest::LayerDescriptor;

/// Large enough that a call to the reader, which may cross a thread, costs nothing beside hashing.
const BUFFER_BYTES: usize = 256 << 10;

/// A blob being read. Decoders take their bytes straight from its buffer.
pub(super) struct Blob<'a, R> {
    reader: R,
    wanted: &'a LayerDescriptor,
    buffer: Vec<u8>,
    at: usize,
    filled: usize,
    hash: Sha256,
    read: u64,
    ended: bool,
    fault: Option<Fault>,
}

impl<'a, R: Read> Blob<'a, R> {
    pub(super) fn new(reader: R, wanted: &'a LayerDescriptor) -> Self {
        Self {
            reader,
            wanted,
            buffer: vec![0; BUFFER_BYTES],
            at: 0,
            filled: 0,
            hash: Sha256::new(),
            read: 0,
            ended: false,
            fault: None,
        }
    }

    /// Bytes taken from the reader so far.
    pub(super) const fn bytes_read(&self) -> u64 {
        self.read
    }

    /// What went wrong on this side, if that is why decoding failed.
    pub(super) const fn take_fault(&mut self) -> Option<Fault> {
        self.fault.take()
    }

    /// Reads what is left, then compares size and digest with the manifest's.
    pub(super) fn finish(mut self) -> Result<(), Fault> {
        while !self.ended {
            self.refill()?;
        }
        let LayerDescriptor { size, digest, .. } = self.wanted;
        if self.read < *size {
            let what = format!("the blob ends after {} of {size} bytes", self.read);
            return Err(Fault::new(Reason::Truncated, what));
        }
        let actual = Digest::from_sha256(self.hash.finalize().into());
        if actual != *digest {
            return Err(Fault::new(Reason::DigestMismatch, format!("the blob's digest is {actual}")));
        }
        Ok(())
    }

    fn refill(&mut self) -> Result<(), Fault> {
        let count = loop {
            match self.reader.read(&mut self.buffer) {
                Ok(count) => break count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Fault::read(e)),
            }
        };
        self.ended = count == 0;
        self.hash.update(&self.buffer[..count]);
        self.read += count as u64;
        (self.at, self.filled) = (0, count);
        let size = self.wanted.size;
        if self.read > size {
            return Err(Fault::new(
                Reason::SizeMismatch,
                format!("the blob is longer than its {size} bytes"),
            ));
        }
        Ok(())
    }
}

impl<R: Read> BufRead for Blob<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.filled
            && !self.ended
            && let Err(fault) = self.refill()
        {
            self.ended = true;
            (self.at, self.filled) = (0, 0);
            self.fault = Some(fault);
            return Err(io::Error::other("the blob is at fault"));
        }
        Ok(&self.buffer[self.at..self.filled])
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}

impl<R: Read> Read for Blob<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(into.len());
        into[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(stored: &[u8], size: u64, digest: Digest, expected: Result<(), Reason>) {
        let media_type = crate::media_type::OCI_LAYER.to_owned();
        let wanted = LayerDescriptor { digest: digest.clone(), size, media_type, diff_id: digest };
        let outcome = Blob::new(stored, &wanted).finish();
        assert_eq!(outcome.map_err(|fault| fault.reason), expected);
    }

    #[test]
    fn size_and_digest_must_be_those_of_the_manifest() {
        check(b"abc", 3, Digest::of(b"abc"), Ok(()));
        check(b"", 0, Digest::of(b""), Ok(()));
        check(b"abc", 3, Digest::of(b"abd"), Err(Reason::DigestMismatch));
        check(b"abc", 4, Digest::of(b"abc"), Err(Reason::Truncated));
        check(b"abc", 2, Digest::of(b"abc"), Err(Reason::SizeMismatch));
    }

    #[test]
    fn a_failing_reader_is_told_from_a_bad_blob() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::ConnectionReset.into())
            }
        }
        let digest = Digest::of(b"");
        let media_type = crate::media_type::OCI_LAYER.to_owned();
        let wanted = LayerDescriptor { digest: digest.clone(), size: 1, media_type, diff_id: digest };
        let fault = Blob::new(Broken, &wanted).finish().unwrap_err();
        assert_eq!(fault.reason, Reason::ReadFailed);
        assert_eq!(fault.source.map(|e| e.kind()), Some(io::ErrorKind::ConnectionReset));
    }
}
