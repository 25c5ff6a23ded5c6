//! Temporary files that are gone with their last handle, however the process ends, and that several may read at
//! once, each from the beginning.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

/// One such file.
#[derive(Debug, Clone)]
pub(super) struct Spool(Arc<File>);

struct Reader {
    file: Arc<File>,
    at: u64,
}

impl Spool {
    /// A file that is written to its end.
    pub(super) fn new(file: File) -> Self {
        Self(Arc::new(file))
    }

    /// A reader over all of it.
    pub(super) fn read(&self) -> impl Read + Send + use<> {
        Reader { file: self.0.clone(), at: 0 }
    }
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(into, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn each_reader_begins_at_the_beginning() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"abcdef").unwrap();
        let spool = Spool::new(file);
        let (mut one, mut two) = (spool.read(), spool.read());
        let mut start = [0; 3];
        one.read_exact(&mut start).unwrap();
        let text = |reader: &mut dyn Read| io::read_to_string(reader).unwrap();
        assert_eq!((text(&mut two), text(&mut one)), ("abcdef".to_owned(), "def".to_owned()));
    }
}
