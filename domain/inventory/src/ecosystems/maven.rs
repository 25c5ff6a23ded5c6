//! Java archives (`.jar`, `.war`, `.ear` and their like), as Maven and those who follow it build them.
//!
//! `META-INF/maven/GROUP/ARTIFACT/pom.properties` names what an archive was built from; a shaded one has several, and
//! each is a component. Archives within archives are read too. Where nothing names the group, the file's name gives
//! artifact and version (JAR File Specification, the manifest's `Implementation-Version` where the name has none): the
//! component is listed, and as no group is guessed, no advisory matches it.

use std::io::{Cursor, Read as _};

use model::{Component, Distro, PackageKind, Problem};
use zip::ZipArchive;

use super::listing::{self, Lines};
use super::{Ecosystem, File};
use crate::path;
use crate::purl::PurlBuilder;

const ENDINGS: [&str; 6] = [".jar", ".war", ".ear", ".par", ".hpi", ".jpi"];
const MANIFEST: &str = "META-INF/MANIFEST.MF";

/// Archives in archives in archives: nobody goes deeper.
const DEPTH_MAX: usize = 3;
/// Entries of one archive.
const ENTRIES_MAX: usize = 200_000;
/// Bytes of a `pom.properties` or a manifest.
const TEXT_BYTES: u64 = 1 << 20;
/// Bytes of one archive within another; those around it are held meanwhile.
const NESTED_BYTES: u64 = 32 << 20;
/// Bytes unpacked of one file of the image, in all.
const UNPACKED_BYTES: u64 = 512 << 20;

pub(super) struct Maven;

impl Ecosystem for Maven {
    fn kind(&self) -> PackageKind {
        PackageKind::Maven
    }

    fn wants(&self, path: &[u8]) -> bool {
        is_archive(&String::from_utf8_lossy(path::split(path).1))
    }

    /// What a link leads to is found where it is.
    fn follows_links(&self) -> bool {
        false
    }

    fn condensing_bytes(&self, _path: &[u8], size: u64) -> u64 {
        size + DEPTH_MAX as u64 * NESTED_BYTES
    }

    fn condense(&self, path: &[u8], content: Vec<u8>) -> Vec<u8> {
        let mut reading = Reading { lines: Lines::default(), left: UNPACKED_BYTES };
        reading.archive(&String::from_utf8_lossy(path::split(path).1), content, DEPTH_MAX);
        reading.lines.into_bytes()
    }

    fn extract(&self, files: &[File<'_>], _: Option<&Distro>) -> (Vec<Component>, Vec<Problem>) {
        listing::read(files, component)
    }
}

fn is_archive(name: &str) -> bool {
    let ending = name.rfind('.').map_or("", |dot| &name[dot..]);
    ENDINGS.iter().any(|known| known.eq_ignore_ascii_case(ending))
}

fn component(name: &str, version: &str, file: &File<'_>) -> Result<Component, &'static str> {
    let (group, artifact) = name.split_once(':').unwrap_or(("", name));
    let purl = PurlBuilder::new("maven", artifact).namespace(group);
    file.component(PackageKind::Maven, purl, name, version).ok_or("names an artifact as none is named")
}

/// One file of the image, while it is read.
struct Reading {
    lines: Lines,
    /// How many bytes may still be unpacked.
    left: u64,
}

impl Reading {
    fn archive(&mut self, name: &str, content: Vec<u8>, depth: usize) {
        if content.is_empty() {
            return;
        }
        let Ok(mut archive) = ZipArchive::new(Cursor::new(content)) else {
            return self.problem("is not a readable archive");
        };
        if archive.len() > ENTRIES_MAX {
            return self.problem(&format!("has an archive of more than {ENTRIES_MAX} entries"));
        }
        let names: Vec<String> =
            archive.file_names().filter_map(|name| Some(name.ok()?.into_owned())).collect();
        let mut named = false;
        for entry in names.iter().filter(|entry| is_pom(entry)) {
            if let Some(text) = self.text(&mut archive, entry) {
                named |= self.pom(&text);
            }
        }
        if !named {
            let manifest = names.iter().find(|entry| entry.eq_ignore_ascii_case(MANIFEST));
            let manifest = manifest.and_then(|entry| self.text(&mut archive, entry));
            self.by_name(name, manifest.as_deref().unwrap_or_default());
        }
        for entry in names.iter().filter(|entry| is_archive(entry)) {
            if depth == 0 {
                return self.problem(&format!("has archives nested more than {DEPTH_MAX} deep"));
            }
            if let Some(content) = self.bytes(&mut archive, entry, NESTED_BYTES) {
                self.archive(entry.rsplit('/').next().unwrap_or(entry), content, depth - 1);
            }
        }
    }

    /// Whether the properties name an artifact.
    fn pom(&mut self, text: &str) -> bool {
        let value = |key: &str| {
            let of = |line: &str| {
                line.split_once('=').filter(|(k, _)| k.trim() == key).map(|(_, v)| v.trim().to_owned())
            };
            text.lines().find_map(of).filter(|value| !value.is_empty() && !value.contains("${"))
        };
        let (Some(group), Some(artifact), Some(version)) =
            (value("groupId"), value("artifactId"), value("version"))
        else {
            return false;
        };
        self.lines.push(&listing::package(&format!("{group}:{artifact}"), &version));
        true
    }

    /// `ARTIFACT-VERSION.jar`, or the manifest's version where the name has none.
    fn by_name(&mut self, name: &str, manifest: &str) {
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        let begins_version =
            |(at, _): &(usize, &str)| stem[at + 1..].starts_with(|c: char| c.is_ascii_digit());
        let cut = stem.match_indices('-').find(begins_version);
        let of_manifest = ["Implementation-Version:", "Bundle-Version:"].iter().find_map(|key| {
            manifest.lines().find_map(|line| line.strip_prefix(key)).map(str::trim).filter(|v| !v.is_empty())
        });
        match (cut, of_manifest) {
            (Some((at, _)), _) if at > 0 => self.lines.push(&listing::package(&stem[..at], &stem[at + 1..])),
            (_, Some(version)) => self.lines.push(&listing::package(stem, version)),
            // Nothing says which version it is: then it is a file and no package.
            _ => {}
        }
    }

    fn text(&mut self, archive: &mut ZipArchive<Cursor<Vec<u8>>>, entry: &str) -> Option<String> {
        let bytes = self.bytes(archive, entry, TEXT_BYTES)?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn bytes(
        &mut self,
        archive: &mut ZipArchive<Cursor<Vec<u8>>>,
        entry: &str,
        limit: u64,
    ) -> Option<Vec<u8>> {
        let limit = limit.min(self.left);
        let mut bytes = Vec::new();
        let read = archive
            .by_name(entry)
            .map_err(|error| error.to_string())
            .and_then(|file| file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| error.to_string()));
        self.left = self.left.saturating_sub(bytes.len() as u64);
        match read {
            Ok(read) if read as u64 <= limit => Some(bytes),
            Ok(_) => {
                self.problem(&format!("{entry} in it is larger than is read"));
                None
            }
            Err(why) => {
                self.problem(&format!("{entry} in it cannot be read: {why}"));
                None
            }
        }
    }

    /// Words of the archive are one line, and short.
    fn problem(&mut self, why: &str) {
        let plain: String = why.chars().map(|c| if c.is_control() { '?' } else { c }).take(200).collect();
        self.lines.push(&listing::problem(&plain));
    }
}

fn is_pom(entry: &str) -> bool {
    entry.starts_with("META-INF/maven/") && entry.ends_with("/pom.properties")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use zip::write::SimpleFileOptions;

    use super::*;

    fn jar(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in entries {
            archive.start_file(*name, SimpleFileOptions::default()).unwrap();
            archive.write_all(content).unwrap();
        }
        archive.finish().unwrap().into_inner()
    }

    fn read(path: &str, content: Vec<u8>) -> (Vec<String>, Vec<String>) {
        let content = Maven.condense(path.as_bytes(), content);
        let file = File { path: path.as_bytes(), layer: 0, content: &content };
        let (components, problems) = Maven.extract(&[file], None);
        (
            components.iter().map(|c| c.purl.to_string()).collect(),
            problems.into_iter().map(|p| p.what).collect(),
        )
    }

    const POM: &[u8] = b"#made by\ngroupId=org.a\nartifactId = b\r\nversion=1.0\n";

    #[test]
    fn each_pom_of_a_shaded_archive_is_a_component() {
        let other = b"version=2\ngroupId=c.d\nartifactId=e\n";
        let unset = b"version=${x}\ngroupId=c.d\nartifactId=f\n";
        let content = jar(&[
            ("META-INF/maven/org.a/b/pom.properties", POM),
            ("META-INF/maven/c.d/e/pom.properties", other),
            ("META-INF/maven/c.d/f/pom.properties", unset),
            ("x/pom.properties", POM),
        ]);
        let found = (vec!["pkg:maven/org.a/b@1.0".to_owned(), "pkg:maven/c.d/e@2".to_owned()], vec![]);
        assert_eq!(read("opt/b.jar", content), found);
    }

    #[test]
    fn archives_within_archives_are_read_to_a_depth() {
        let mut content = jar(&[("META-INF/maven/org.a/b/pom.properties", POM)]);
        for _ in 0..DEPTH_MAX {
            content = jar(&[("WEB-INF/lib/in.jar", &content)]);
        }
        assert_eq!(read("app.war", content.clone()), (vec!["pkg:maven/org.a/b@1.0".to_owned()], vec![]));
        let deeper = jar(&[("in.jar", &content)]);
        assert_eq!(
            read("app.ear", deeper),
            (vec![], vec!["has archives nested more than 3 deep".to_owned()])
        );
    }

    #[test]
    fn without_a_pom_the_file_is_called_by_its_name() {
        let empty = || jar(&[("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\r\n")]);
        assert_eq!(read("lib/algebra_2.12-2.0.0-M2.jar", empty()).0, ["pkg:maven/algebra_2.12@2.0.0-M2"]);
        assert_eq!(read("lib/plain.jar", empty()).0, [""; 0]);
        let versioned = jar(&[("META-INF/MANIFEST.MF", b"Implementation-Version: 3.1\r\n")]);
        assert_eq!(read("lib/plain.jar", versioned).0, ["pkg:maven/plain@3.1"]);
    }

    #[test]
    fn what_is_no_archive_is_a_problem_and_damage_does_no_harm() {
        assert_eq!(read("a.jar", b"PK but not".to_vec()).1, ["is not a readable archive"]);
        let whole = jar(&[("META-INF/maven/org.a/b/pom.properties", POM), ("in.jar", b"none")]);
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0xff;
            drop(read("a-1.jar", flipped));
            drop(read("a-1.jar", whole[..at].to_vec()));
        }
    }

    #[test]
    fn a_bomb_is_bounded() {
        let zeros = vec![0; usize::try_from(NESTED_BYTES).unwrap() + 1];
        let (found, problems) = read("a-1.jar", jar(&[("big.jar", &zeros)]));
        assert_eq!(found, ["pkg:maven/a@1"]);
        assert_eq!(problems, ["big.jar in it is larger than is read"]);
    }
}
