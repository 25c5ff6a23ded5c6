//! Lock files: what *would* be installed. What *is* installed counts more.
//!
//! A lock counts only where nothing of its ecosystem is installed, so that no package counts twice and none counts
//! in a version that the image does not have. Locks that come with dependencies are for whoever works on those.

use std::collections::BTreeSet;

use super::File;
use super::listing::Lines;
use crate::limits::Limits;
use crate::path;

/// Folders that hold what others publish.
const PUBLISHED: [&[u8]; 5] = [b"node_modules", b"site-packages", b"dist-packages", b"gems", b"vendor"];

/// The same, where one name alone says too little: what Cargo, Go, Swift and Pub have fetched.
const PUBLISHED_PAIRS: [(&[u8], &[u8]); 5] = [
    (b".cargo", b"registry"),
    (b"registry", b"src"),
    (b"pkg", b"mod"),
    (b".build", b"checkouts"),
    (b".pub-cache", b"hosted"),
];

/// How far what is installed makes lock files say nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// For locks of the directories above it.
    Above,
    /// For all locks of the image: such packages are not installed beside the lock.
    Image,
}

/// Whether the path is that of a lock file of one of these names, and of no dependency.
pub(super) fn is_lock(path: &[u8], names: &[&str]) -> bool {
    if !names.iter().any(|name| path.ends_with(name.as_bytes())) {
        return false;
    }
    let (dir, base) = path::split(path);
    names.iter().any(|name| base == name.as_bytes()) && !is_published(dir)
}

fn is_published(dir: &[u8]) -> bool {
    let mut pairs = path::components(dir).zip(path::components(dir).skip(1));
    path::components(dir).any(|name| PUBLISHED.contains(&name))
        || pairs.any(|pair| PUBLISHED_PAIRS.contains(&pair))
}

/// All files but the lock files that say nothing because something is installed.
pub(super) fn that_count<'f>(files: &[File<'f>], names: &[&str], reach: Reach) -> Vec<File<'f>> {
    let installed: BTreeSet<&[u8]> =
        files.iter().map(|file| file.path).filter(|path| !is_lock(path, names)).collect();
    let counts = |file: &&File<'f>| {
        installed.contains(file.path)
            || match reach {
                Reach::Above => !holds(&installed, path::split(file.path).0),
                Reach::Image => installed.is_empty(),
            }
    };
    files.iter().filter(counts).copied().collect()
}

/// Whether any of the paths lies below the directory. What is in `usr` belongs to the system, not to a lock in the root.
fn holds(paths: &BTreeSet<&[u8]>, dir: &[u8]) -> bool {
    if dir.is_empty() {
        return paths.iter().any(|path| !path.starts_with(b"usr/"));
    }
    let below = [dir, b"/"].concat();
    paths.range(below.as_slice()..).next().is_some_and(|path| path.starts_with(&below))
}

/// What `read` finds in the text of a lock file.
pub(super) fn lines(content: &[u8], read: impl FnOnce(&str) -> Lines) -> Vec<u8> {
    let lines = match std::str::from_utf8(content) {
        _ if content.len() > Limits::DEFAULT.lock_text_bytes => {
            Lines::of_problem("is larger than any lock file")
        }
        Ok(text) => read(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(_) => Lines::of_problem("is not text"),
    };
    lines.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[&str] = &["a.lock", "b.lock"];

    #[test]
    fn locks_of_dependencies_are_none() {
        for path in ["a.lock", "app/b.lock", "app/registry/x/src/a.lock", "go/pkg/x/a.lock"] {
            assert!(is_lock(path.as_bytes(), NAMES), "{path}");
        }
        for path in [
            "xa.lock",
            "a.lock/x",
            "app/node_modules/x/a.lock",
            "usr/lib/python3/site-packages/x/a.lock",
            "usr/lib/python3/dist-packages/x/a.lock",
            "usr/lib/ruby/gems/x/a.lock",
            "app/vendor/x/a.lock",
            "root/.cargo/registry/a.lock",
            "usr/local/cargo/registry/src/x/a.lock",
            "go/pkg/mod/x/a.lock",
            "app/.build/checkouts/x/a.lock",
            "root/.pub-cache/hosted/x/a.lock",
        ] {
            assert!(!is_lock(path.as_bytes(), NAMES), "{path}");
        }
    }

    fn counting(paths: &[&'static str], reach: Reach) -> Vec<&'static str> {
        let files: Vec<File<'_>> =
            paths.iter().map(|path| File { path: path.as_bytes(), layer: 0, content: b"" }).collect();
        let kept = that_count(&files, NAMES, reach);
        paths.iter().copied().filter(|path| kept.iter().any(|file| file.path == path.as_bytes())).collect()
    }

    #[test]
    fn what_is_no_text_or_too_much_is_a_problem() {
        let copy = |text: &str| Lines::of_problem(text);
        assert_eq!(lines(b"\xef\xbb\xbfa", copy), b"!a\n");
        assert_eq!(lines(b"\xff", copy), b"!is not text\n");
        assert_eq!(lines(&vec![b'a'; (16 << 20) + 1], copy), b"!is larger than any lock file\n");
    }

    #[test]
    fn what_is_installed_below_a_lock_counts_instead_of_it() {
        let paths =
            ["app/a.lock", "app/b.lock", "app/x/installed", "app-2/a.lock", "app/x/y/a.lock", "z/a.lock"];
        let expected = ["app/x/installed", "app-2/a.lock", "app/x/y/a.lock", "z/a.lock"];
        assert_eq!(counting(&paths, Reach::Above), expected);
        assert_eq!(counting(&paths, Reach::Image), ["app/x/installed"]);
        assert_eq!(counting(&["app/a.lock", "z/a.lock"], Reach::Image), ["app/a.lock", "z/a.lock"]);
    }

    #[test]
    fn what_the_system_has_is_not_below_a_lock_in_the_root() {
        assert_eq!(counting(&["a.lock", "x/installed"], Reach::Above), ["x/installed"]);
        let with_system = ["a.lock", "usr/lib/installed"];
        assert_eq!(counting(&with_system, Reach::Above), with_system);
    }
}
