//! A layer on its way from the object store to the parser: counted, and stopped when it must be.
//!
//! The parser is synchronous and runs on a blocking thread, which nothing can interrupt but the reader
//! it reads from. So the reader asks before each read whether the attempt still stands.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Tells a blocking thread to give up at its next read.
#[derive(Debug, Clone, Default)]
pub(super) struct Brake(Arc<AtomicBool>);

impl Brake {
    /// Pulls it when the answer goes out of scope: an attempt that is dropped stops its thread.
    pub(super) fn pull_on_drop(&self) -> PullOnDrop {
        PullOnDrop(self.clone())
    }

    /// Whether it was.
    pub(super) fn is_pulled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Pulls a brake when it goes out of scope.
#[derive(Debug)]
pub(super) struct PullOnDrop(Brake);

impl Drop for PullOnDrop {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// Reads a blob until the brake is pulled.
#[derive(Debug)]
pub(super) struct LayerReader<R> {
    inner: R,
    brake: Brake,
    read: u64,
}

impl<R> LayerReader<R> {
    pub(super) fn new(inner: R, brake: Brake) -> Self {
        Self { inner, brake, read: 0 }
    }
}

impl<R: Read> Read for LayerReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.brake.is_pulled() {
            return Err(io::Error::other("the attempt was given up"));
        }
        let read = self.inner.read(buffer)?;
        self.read += read as u64;
        Ok(read)
    }
}

impl<R> Drop for LayerReader<R> {
    fn drop(&mut self) {
        metrics::counter!(crate::metrics::LAYER_PULL_BYTES).increment(self.read);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pulled_brake_ends_the_next_read() {
        let brake = Brake::default();
        let mut reader = LayerReader::new(&b"layer"[..], brake.clone());
        let mut two = [0; 2];
        reader.read_exact(&mut two).expect("the brake is off");
        drop(brake.pull_on_drop());
        let error = reader.read(&mut two).expect_err("the brake is pulled");
        assert_eq!((two, error.to_string()), (*b"la", "the attempt was given up".to_owned()));
    }
}
