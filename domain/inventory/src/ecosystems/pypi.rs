//! Python: the metadata of installed distributions (core metadata specification; PEP 376 and, older, eggs).
//!
//! Lock files count where no distribution is installed in the whole image.

mod pipfile;
mod requirements;
mod toml_lock;

use model::{Component, Distro, PackageKind, Problem};

use super::entries::toml_bytes;
use super::lock::{self, Reach};
use super::{Ecosystem, File, listing, word};
use crate::path;
use crate::purl::PurlBuilder;

const TOML_LOCKS: [&[u8]; 2] = [b"poetry.lock", b"uv.lock"];
const LOCKS: &[&str] = &["poetry.lock", "uv.lock", "Pipfile.lock", "requirements.txt"];

pub(super) struct PyPi;

impl Ecosystem for PyPi {
    fn kind(&self) -> PackageKind {
        PackageKind::PyPi
    }

    fn wants(&self, path: &[u8]) -> bool {
        let (dir, name) = path::split(path);
        match name {
            b"METADATA" => dir.ends_with(b".dist-info"),
            b"PKG-INFO" => dir.ends_with(b".egg-info") || path::split(dir).1 == b"EGG-INFO",
            _ => name.ends_with(b".egg-info") || lock::is_lock(path, LOCKS),
        }
    }

    fn condensing_bytes(&self, path: &[u8], size: u64) -> u64 {
        if TOML_LOCKS.contains(&path::split(path).1) { toml_bytes(size) } else { size }
    }

    /// The headers that count. What follows them is the project's README.
    fn condense(&self, path: &[u8], content: Vec<u8>) -> Vec<u8> {
        match path::split(path).1 {
            name if TOML_LOCKS.contains(&name) => return lock::lines(&content, toml_lock::lines),
            b"Pipfile.lock" => return lock::lines(&content, pipfile::lines),
            b"requirements.txt" => return lock::lines(&content, requirements::lines),
            _ => {}
        }
        let header = |name: &str| {
            let value = header(&content, name)?;
            Some([name.as_bytes(), b": ", value, b"\n"].concat())
        };
        ["Name", "Version"].into_iter().filter_map(header).collect::<Vec<_>>().concat()
    }

    fn extract(&self, files: &[File<'_>], _: Option<&Distro>) -> (Vec<Component>, Vec<Problem>) {
        let counting = lock::that_count(files, LOCKS, Reach::Image);
        let (locks, installed): (Vec<_>, Vec<_>) =
            counting.into_iter().partition(|file| lock::is_lock(file.path, LOCKS));
        let mut found = listing::list(&locks, component);
        for file in &installed {
            if !found.take(installed_component(file).map(Some), file) {
                break;
            }
        }
        found.into_parts()
    }
}

fn installed_component(file: &File<'_>) -> Result<Component, &'static str> {
    let name = header(file.content, "Name").and_then(word).ok_or("has no readable Name")?;
    let version = header(file.content, "Version").and_then(word).ok_or("has no readable Version")?;
    component(&name, &version, file)
}

fn component(name: &str, version: &str, file: &File<'_>) -> Result<Component, &'static str> {
    let purl = PurlBuilder::new("pypi", name);
    file.component(PackageKind::PyPi, purl, name, version).ok_or("has a name that no package has")
}

/// The first header of this name, before the first empty line.
fn header<'a>(content: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let lines = content.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let value = |line: &'a [u8]| {
        let (start, rest) = line.split_at_checked(name.len())?;
        rest.strip_prefix(b":").filter(|_| start.eq_ignore_ascii_case(name.as_bytes()))
    };
    lines.take_while(|line| !line.is_empty()).find_map(value).map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_of_wheels_and_eggs_is_looked_at() {
        for path in [
            "usr/lib/python3/dist-packages/a-1.dist-info/METADATA",
            "x/a-1.egg-info/PKG-INFO",
            "x/a-1.egg-info",
            "x/a-1-py3.11.egg/EGG-INFO/PKG-INFO",
        ] {
            assert!(PyPi.wants(path.as_bytes()), "{path}");
        }
        for path in ["src/PKG-INFO", "x/METADATA", "x/a.dist-info/RECORD", "x/a.egg-info/SOURCES.txt"] {
            assert!(!PyPi.wants(path.as_bytes()), "{path}");
        }
    }

    fn extract(content: &[u8]) -> Result<String, String> {
        let path = b"x/a.dist-info/METADATA";
        let content = PyPi.condense(path, content.to_vec());
        let (components, problems) = PyPi.extract(&[File { path, layer: 0, content: &content }], None);
        match (components.as_slice(), problems.as_slice()) {
            ([component], []) => Ok(format!("{} {}", component.name, component.purl)),
            ([], [problem]) => Err(problem.what.clone()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn headers_end_at_the_first_empty_line() {
        let metadata = b"Metadata-Version: 2.1\r\nname: Django_X\r\nVersion: 1.0\r\n\r\nName: other\r\n";
        assert_eq!(extract(metadata), Ok("Django_X pkg:pypi/django-x@1.0".to_owned()));
        assert_eq!(extract(b"Name: a\n\nVersion: 1\n"), Err("has no readable Version".to_owned()));
        assert_eq!(extract(b"Name: \xff\nVersion: 1\n"), Err("has no readable Name".to_owned()));
        assert_eq!(extract(b""), Err("has no readable Name".to_owned()));
    }
}
