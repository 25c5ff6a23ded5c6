//! Files of the user's that are read whole, as long as they are no longer than what they are said to be.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::failure::{Exit, Failure};

/// The bytes of a file of at most so many; `exit` where it has more, or cannot be read.
pub(super) fn bytes_of(file: &Path, limit: usize, exit: Exit) -> Result<Vec<u8>, Failure> {
    let failed = |why: &dyn std::fmt::Display| Failure::new(exit, format!("{}: {why}", file.display()));
    let mut bytes = Vec::new();
    let opened = File::open(file).map_err(|error| failed(&error))?;
    opened.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if bytes.len() > limit {
        return Err(failed(&format_args!("it is larger than {limit} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.json");
        std::fs::write(&file, "12345").unwrap();
        assert!(bytes_of(&file, 5, Exit::Usage).is_ok());
        let refused = bytes_of(&file, 4, Exit::Usage).unwrap_err();
        assert!(refused.message.ends_with("larger than 4 bytes"));
    }
}
