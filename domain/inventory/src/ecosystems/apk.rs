//! apk: the database of installed packages, `lib/apk/db/installed`.
//!
//! Format: apk-installed-db(5), one letter and a colon before each field, an empty line after each package: `P`
//! name, `V` version, `A` architecture, `o` origin (what it was built from, at the same version), `F` a directory and
//! `R` each file in it.

use std::collections::HashMap;

use model::{Component, Distro, PackageKind, Problem, Purl, SourcePackage, ThirdParty};

use super::found::Found;
use super::of_distro::{field, purl};
use super::{Ecosystem, File, PathBudget, repositories, want_by_language, word};
use crate::limits::Limits;

const DATABASES: [&str; 2] = ["lib/apk/db/installed", "usr/lib/apk/db/installed"];

pub(super) struct Apk;

impl Ecosystem for Apk {
    fn kind(&self) -> PackageKind {
        PackageKind::Apk
    }

    fn wants(&self, path: &[u8]) -> bool {
        is_database(path) || repositories::is_apk(path)
    }

    fn places(&self) -> &'static [&'static str] {
        &DATABASES
    }

    /// What packages are called, and of their files those that another ecosystem reads, with their whole path.
    fn condense(&self, path: &[u8], content: Vec<u8>) -> Vec<u8> {
        if repositories::is_apk(path) {
            return repositories::condense(content);
        }
        let mut kept = Vec::new();
        let mut directory: &[u8] = b"";
        // A long directory is joined with each of its files: what is examined is bounded, not only what is kept.
        let mut budget = PathBudget::new(&content);
        for line in lines(&content) {
            match line {
                [b'P' | b'V' | b'A' | b'o', b':', ..] | [] => line_of(&mut kept, line),
                [b'F', b':', path @ ..] => directory = path,
                [b'R', b':', name @ ..] if budget.allows(directory.len() + name.len()) => {
                    let path = match directory {
                        b"" => name.to_vec(),
                        directory => [directory, b"/", name].concat(),
                    };
                    if want_by_language(&path) {
                        line_of(&mut kept, &[b"R:", path.as_slice()].concat());
                    }
                }
                _ => {}
            }
        }
        kept
    }

    fn extract(&self, files: &[File<'_>], distro: Option<&Distro>) -> (Vec<Component>, Vec<Problem>) {
        let mut found = Found::default();
        for file in files.iter().filter(|file| is_database(file.path)) {
            for (number, package) in packages(file.content).enumerate() {
                let outcome = component(&package, file, distro).map(Some);
                if !found.take(outcome.map_err(|why| format!("package {}: {why}", number + 1)), file) {
                    return found.into_parts();
                }
            }
        }
        found.into_parts()
    }

    fn owned(&self, files: &[File<'_>], components: &[Component]) -> Vec<(Vec<u8>, Purl)> {
        let purls: HashMap<&str, &Purl> = components.iter().map(|c| (c.name.as_str(), &c.purl)).collect();
        let owner = |package: &Package<'_>| purls.get(std::str::from_utf8(package.name?).ok()?).copied();
        let mut owned = Vec::new();
        let databases = files.iter().filter(|file| is_database(file.path));
        for package in databases.flat_map(|file| packages(file.content)) {
            if let Some(owner) = owner(&package) {
                let room = Limits::DEFAULT.claims.saturating_sub(owned.len());
                owned.extend(package.files.iter().take(room).map(|path| (path.to_vec(), owner.clone())));
            }
        }
        owned
    }

    fn third_party(&self, files: &[File<'_>], _: &[Component], distro: Option<&Distro>) -> Vec<ThirdParty> {
        repositories::foreign(files, distro)
    }
}

fn is_database(path: &[u8]) -> bool {
    DATABASES.iter().any(|place| place.as_bytes() == path)
}

/// The fields of one package, condensed.
#[derive(Default)]
struct Package<'a> {
    name: Option<&'a [u8]>,
    version: Option<&'a [u8]>,
    architecture: Option<&'a [u8]>,
    origin: Option<&'a [u8]>,
    files: Vec<&'a [u8]>,
}

fn packages(content: &[u8]) -> impl Iterator<Item = Package<'_>> {
    let mut lines = lines(content).peekable();
    std::iter::from_fn(move || {
        while lines.next_if(|line| line.is_empty()).is_some() {}
        lines.peek()?;
        let mut package = Package::default();
        while let Some(line) = lines.next_if(|line| !line.is_empty()) {
            match line {
                [b'P', b':', name @ ..] => package.name = Some(name),
                [b'V', b':', version @ ..] => package.version = Some(version),
                [b'A', b':', architecture @ ..] => package.architecture = Some(architecture),
                [b'o', b':', origin @ ..] => package.origin = Some(origin),
                [b'R', b':', file @ ..] => package.files.push(file),
                _ => {}
            }
        }
        Some(package)
    })
}

fn component(package: &Package<'_>, file: &File<'_>, distro: Option<&Distro>) -> Result<Component, String> {
    let name = field(package.name, "name")?;
    let version = field(package.version, "version").map_err(|e| format!("{name}: {e}"))?;
    let architecture = package.architecture.and_then(word);
    let origin = match package.origin {
        Some(origin) => word(origin).ok_or_else(|| format!("{name}: its origin is not readable"))?,
        None => name.clone(),
    };
    let purl = purl(PackageKind::Apk, "alpine", (&name, &version), architecture.as_deref(), distro);
    let purl = purl.build().map_err(|e| format!("{name}: {e}"))?;
    Ok(Component {
        purl,
        kind: PackageKind::Apk,
        name,
        source: Some(SourcePackage { name: origin, version: version.clone() }),
        version,
        architecture,
        owner: None,
        locations: vec![file.location()],
    })
}

fn lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    content.split(|&b| b == b'\n')
}

fn line_of(kept: &mut Vec<u8>, line: &[u8]) {
    kept.extend_from_slice(line);
    kept.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_told_once_is_not_spelled_out_without_end() {
        let directory = format!("F:{}/node_modules/a\n", "d".repeat(3000));
        let text = format!("P:a\nV:1\n{directory}{}", "R:package.json\n".repeat(5000));
        let condensed = Apk.condense(DATABASES[0].as_bytes(), text.clone().into_bytes());
        assert!(condensed.len() > 3000 && condensed.len() < 9 * text.len(), "{}", condensed.len());
    }

    #[test]
    fn files_of_languages_are_kept_with_their_whole_path_and_their_owner() {
        let text = b"P:py3-six\nV:1.16.0-r9\nT:prose\nF:usr/lib/python3.12/site-packages\nR:six.py\n\
            F:usr/lib/python3.12/site-packages/six-1.16.0.egg-info\nR:PKG-INFO\nZ:Q1x\n\nP:b\nV:2\n";
        let path = DATABASES[0].as_bytes();
        let condensed = Apk.condense(path, text.to_vec());
        assert!(condensed.len() < 120, "{}", String::from_utf8_lossy(&condensed));
        let file = File { path, layer: 0, content: &condensed };
        let (components, problems) = Apk.extract(&[file], None);
        assert_eq!(problems, []);
        assert_eq!(components.len(), 2);
        let owned = Apk.owned(&[file], &components);
        let info = b"usr/lib/python3.12/site-packages/six-1.16.0.egg-info/PKG-INFO".to_vec();
        assert_eq!(owned, [(info, components[0].purl.clone())]);
    }
}
