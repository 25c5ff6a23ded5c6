//! Files of package managers, put into an image and scanned: an input is a list of files, `=== PATH` before each, as in
//! the fixtures of `inventory`.

use std::fs;
use std::io::{Cursor, Write as _};

use zip::write::SimpleFileOptions;

use crate::layers::scan_archives;
use crate::tar::{self, Entry, archive};

const TITLE: &[u8] = b"=== ";
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../domain/inventory/fixtures");

pub(super) const WORDS: &[&str] = &[
    "name",
    "version",
    "Package",
    "Version",
    "Status",
    "install ok installed",
    "Source",
    "Architecture",
    "Provides",
    "packages",
    "dependencies",
    "lockfileVersion",
    "resolved",
    "dev",
    "link",
    "groupId=",
    "artifactId=",
    "version=",
    "META-INF/MANIFEST.MF",
    "Implementation-Version:",
    "node_modules/",
    "package.json",
    "ID=",
    "VERSION_ID=",
    "[[",
    "]]",
    "\"\"\"",
    "'''",
    "==",
    "; python_version",
    "GEM",
    "  specs:",
    "DEPENDENCIES",
    "%{hex",
    "%{}",
    "$",
    "\\u0041",
    "\u{ff}",
    "dep\t",
    "mod\t",
    "=>\t",
    "path\t",
    "\n\n",
    "C:",
    "P:",
    "V:",
    "o:",
    "#",
    "//",
    "/*",
    "git+",
    "file:",
];

/// Each fixture as a whole, and each of its files alone.
pub(super) fn fixtures(names: &[&str]) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for name in names {
        let text = fs::read(format!("{FIXTURES}/{name}.txt")).expect("the fixture is there");
        let is_file = |(path, _): &(&[u8], &[u8])| ![&b"expected"[..], b"problems"].contains(path);
        let files: Vec<(Vec<u8>, Vec<u8>)> =
            split(&text).filter(is_file).map(|(path, content)| (path.to_vec(), content.to_vec())).collect();
        seeds.extend(files.iter().map(|file| join(std::slice::from_ref(file))));
        seeds.push(join(&files));
    }
    seeds
}

/// Paths with what follows them.
pub(crate) fn split(input: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = input.strip_prefix(TITLE);
    std::iter::from_fn(move || {
        let section = rest.take()?;
        let next = section.windows(TITLE.len() + 1).position(|part| part[0] == b'\n' && &part[1..] == TITLE);
        let end = next.map_or(section.len(), |at| at + 1);
        rest = next.map(|at| &section[at + 1 + TITLE.len()..]);
        let section = &section[..end];
        let line = section.iter().position(|&b| b == b'\n').unwrap_or(section.len());
        Some((&section[..line], section.get(line + 1..).unwrap_or_default()))
    })
}

/// The input with these files.
pub(crate) fn join(files: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut input = Vec::new();
    for (path, content) in files {
        if !input.is_empty() && !input.ends_with(b"\n") {
            input.push(b'\n');
        }
        for part in [TITLE, path.as_slice(), b"\n", content.as_slice()] {
            input.extend_from_slice(part);
        }
    }
    input
}

pub(super) fn run(input: &[u8]) {
    let entries: Vec<Entry> = split(input).flat_map(|(path, content)| Entry::file(path, content)).collect();
    drop(scan_archives(&[&archive(&entries)]));
}

/// A Java archive with the entries of a tar archive.
pub(super) fn jar(input: &[u8]) {
    let mut jar = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (entry, number) in tar::entries(input).into_iter().zip(0..) {
        let name = String::from_utf8_lossy(entry.name()).into_owned();
        let method = [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated][number % 2];
        let options = SimpleFileOptions::default().compression_method(method);
        if jar.start_file(name, options).is_ok() {
            jar.write_all(&entry.body).expect("a vector takes everything");
        }
    }
    let Ok(jar) = jar.finish() else { return };
    drop(scan_archives(&[&archive(&Entry::file(b"app-1.0.jar", &jar.into_inner()))]));
}

pub(super) fn jar_seeds() -> Vec<Vec<u8>> {
    let pom = b"#x\ngroupId=org.a\nartifactId=b\nversion=1.0\n";
    let entries = [
        Entry::file(b"META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\r\nImplementation-Version: 3.1\r\n"),
        Entry::file(b"META-INF/maven/org.a/b/pom.properties", pom),
        Entry::file(b"in-2.war", b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
    ];
    vec![archive(&entries.concat())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_a_list_of_files() {
        let input = b"=== a\n1\n2\n=== b\n\xff === c\n";
        let files: Vec<_> = split(input).map(|(path, content)| (path.to_vec(), content.to_vec())).collect();
        assert_eq!(files, [(b"a".to_vec(), b"1\n2\n".to_vec()), (b"b".to_vec(), b"\xff === c\n".to_vec())]);
        assert_eq!(join(&files), input);
        assert_eq!(split(b"=== a").next(), Some((&b"a"[..], &b""[..])));
        assert_eq!(split(b"a\n=== b").count(), 0);
    }
}
