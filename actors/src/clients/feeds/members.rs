//! What archives of both kinds have in common: which members are read, and where one is while it is.

use std::io::{self, Cursor, Read, Seek as _};

use super::document::{self, Kind};
use super::packing::Packing;

/// Folders within folders, at most.
const DEPTH_MAX: usize = 32;
/// A member up to this size is held in memory.
const IN_MEMORY: u64 = 1 << 20;

/// What becomes of a member.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It holds records.
    Read(Kind, Option<Packing>),
    /// It might hold records, but is not looked at.
    Ignored(String),
    /// It does not look as if it held records.
    NoRecord,
}

/// By its name, by whether it is a link, and by whether records may be in YAML.
pub(super) fn verdict(name: &str, is_link: bool, yaml: bool) -> Verdict {
    let ignored = |what: &str| Verdict::Ignored(what.to_owned());
    let last = name.rsplit('/').next().unwrap_or(name);
    let Some((kind, packing)) = document::kind(last, yaml) else {
        let nested = !is_link && document::is_archive(last);
        return if nested { ignored("an archive within an archive is not read") } else { Verdict::NoRecord };
    };
    let parts = || name.split(['/', '\\']);
    if name.starts_with(['/', '\\']) || parts().any(|part| part == "..") || name.contains('\0') {
        return ignored("its name leads out of the archive");
    }
    if parts().count() > DEPTH_MAX {
        return ignored("it is too deep within folders");
    }
    if is_link {
        return ignored("it is a link, which is not followed");
    }
    Verdict::Read(kind, packing)
}

/// Takes a member out of its archive; says how many bytes came.
pub(super) fn spool(mut content: impl Read, size: u64) -> io::Result<(u64, Box<dyn Read + Send>)> {
    if size <= IN_MEMORY {
        let mut bytes = Vec::new();
        let read = content.read_to_end(&mut bytes)?;
        return Ok((read as u64, Box::new(Cursor::new(bytes))));
    }
    let mut file = tempfile::tempfile()?;
    let read = io::copy(&mut content, &mut file)?;
    file.rewind()?;
    Ok((read, Box::new(file)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read_by_their_names_and_never_followed_out() {
        assert_eq!(verdict("a/GHSA-1.json", false, false), Verdict::Read(Kind::Single, None));
        assert_eq!(verdict("a/GHSA-1.json.asc", false, false), Verdict::NoRecord);
        assert_eq!(verdict("docs", true, false), Verdict::NoRecord);
        for (name, is_link) in [
            ("../a.json", false),
            ("/etc/a.json", false),
            ("a\\..\\b.json", false),
            ("latest.json", true),
            ("inner.tar.gz", false),
            (&format!("{}a.json", "a/".repeat(40)), false),
        ] {
            assert!(matches!(verdict(name, is_link, false), Verdict::Ignored(_)), "{name}");
        }
    }

    #[test]
    fn members_of_any_size_are_taken_out_whole() {
        for size in [10, IN_MEMORY + 10] {
            let content = io::repeat(b'x').take(size);
            let (read, mut inside) = spool(content, size).expect("a temporary file");
            let copied = io::copy(&mut inside, &mut io::sink()).expect("it is there");
            assert_eq!((read, copied), (size, size));
        }
    }
}
