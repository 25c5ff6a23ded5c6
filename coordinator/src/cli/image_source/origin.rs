//! Where an image is, by what the user wrote: a file, a directory, or a registry.

use std::path::{Path, PathBuf};

use actors::clients::registry::Reference;

use super::SourceError;

/// Makes the rest the name of an image in a registry, whatever lies on this machine.
const REGISTRY: &str = "registry:";
/// Makes the rest a directory that holds a root file system.
const ROOTFS: &str = "rootfs:";
const ENDINGS: [&str; 7] = [".tar", ".gz", ".tgz", ".zst", ".bz2", ".xz", ".json"];

/// Where an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum Origin {
    /// At this path.
    Path(PathBuf),
    /// In this directory, unpacked.
    Rootfs(PathBuf),
    /// In a registry; `forced` when that was said and not guessed.
    Registry {
        /// Under which name.
        reference: Reference,
        /// Whether the name had the prefix.
        forced: bool,
    },
}

impl Origin {
    /// What the text means: a prefix decides, then what lies on this machine, then how it is written.
    pub(in crate::cli) fn of(text: &str) -> Result<Self, SourceError> {
        if let Some(directory) = text.strip_prefix(ROOTFS) {
            return Ok(Self::Rootfs(directory.into()));
        }
        if let Some(name) = text.strip_prefix(REGISTRY).filter(|name| !is_called_registry(text, name)) {
            let parsed = name.parse().map_err(SourceError::Name)?;
            return Ok(Self::Registry { reference: parsed, forced: true });
        }
        let path = Path::new(text);
        if path.exists() {
            return Ok(Self::Path(path.to_owned()));
        }
        if reads_as_path(text) {
            return Err(SourceError::NoFile { path: text.to_owned(), why: None });
        }
        match text.parse() {
            Ok(reference) => Ok(Self::Registry { reference, forced: false }),
            Err(why) => Err(SourceError::NoFile { path: text.to_owned(), why: Some(why) }),
        }
    }
}

/// `registry:2` and `registry:5000/app` are an image and a host of this name.
fn is_called_registry(text: &str, rest: &str) -> bool {
    rest.starts_with(|c: char| c.is_ascii_digit()) && text.parse::<Reference>().is_ok()
}

fn reads_as_path(text: &str) -> bool {
    text.starts_with(['.', '/', '~']) || ENDINGS.iter().any(|ending| text.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(name: &str, forced: bool) -> Origin {
        Origin::Registry { reference: name.parse().unwrap(), forced }
    }

    #[test]
    fn what_is_there_is_a_path_and_what_reads_as_a_name_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let there = dir.path().to_str().unwrap();
        let of = |text: &str| Origin::of(text).unwrap();
        assert_eq!(of(there), Origin::Path(there.into()));
        assert_eq!(of(&format!("rootfs:{there}")), Origin::Rootfs(there.into()));
        assert_eq!(of("rootfs:/not/there"), Origin::Rootfs("/not/there".into()));
        assert_eq!(of("alpine:3.20"), registry("alpine:3.20", false));
        assert_eq!(of("registry:alpine"), registry("alpine", true));
        assert_eq!(of("registry:localhost:5000/app"), registry("localhost:5000/app", true));
        assert_eq!(of("registry:127.0.0.1:5000/app:1"), registry("127.0.0.1:5000/app:1", true));
        assert_eq!(of("registry:2"), registry("registry:2", false));
        assert_eq!(of("registry:5000/app"), registry("registry:5000/app", false));
    }

    #[test]
    fn a_missing_file_is_not_looked_for_in_a_registry() {
        for text in ["./app", "/srv/app", "~/app", "app.tar", "app.tar.gz", "app/index.json"] {
            let error = Origin::of(text).unwrap_err();
            assert_eq!(error.to_string(), format!("there is no file {text}"));
        }
        let error = Origin::of("My App").unwrap_err().to_string();
        assert!(error.starts_with("there is no file My App, and "), "{error}");
        assert!(matches!(Origin::of("registry:My App"), Err(SourceError::Name(_))));
    }
}
