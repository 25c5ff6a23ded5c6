//! npm: the `package.json` of installed packages, in `node_modules` or, as Debian has it, in `nodejs`.
//!
//! Only a directory that *is* a package counts: `node_modules/NAME` or `node_modules/@SCOPE/NAME`. Others
//! are test data, or mark a folder as ES modules. Links (workspaces, pnpm) lead to what is found anyway.
//!
//! Lock files count where no `node_modules` lies below them.

mod package_lock;
mod pnpm;
mod yarn;

use model::{Component, Distro, PackageKind, Problem};

use super::json::Package;
use super::lock::{self, Reach};
use super::{Ecosystem, File, listing, word};
use crate::path;
use crate::purl::PurlBuilder;

const LOCKS: &[&str] = &["package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml"];

pub(super) struct Npm;

impl Ecosystem for Npm {
    fn kind(&self) -> PackageKind {
        PackageKind::Npm
    }

    fn wants(&self, path: &[u8]) -> bool {
        let Some(package) = path.strip_suffix(b"/package.json") else { return lock::is_lock(path, LOCKS) };
        let dir = match path::split(package) {
            (dir, _) if path::split(dir).1.starts_with(b"@") => path::split(dir).0,
            (dir, _) => dir,
        };
        [&b"node_modules"[..], b"nodejs"].contains(&path::split(dir).1)
    }

    fn follows_links(&self) -> bool {
        false
    }

    /// Name and version alone; nothing of a `package.json` that is not JSON.
    fn condense(&self, path: &[u8], content: Vec<u8>) -> Vec<u8> {
        match path::split(path).1 {
            b"package-lock.json" | b"npm-shrinkwrap.json" => {
                return lock::lines(&content, package_lock::lines);
            }
            b"yarn.lock" => return lock::lines(&content, yarn::lines),
            b"pnpm-lock.yaml" => return lock::lines(&content, pnpm::lines),
            _ => {}
        }
        read(&content).ok().and_then(|package| serde_json::to_vec(&package).ok()).unwrap_or_default()
    }

    fn extract(&self, files: &[File<'_>], _: Option<&Distro>) -> (Vec<Component>, Vec<Problem>) {
        let counting = lock::that_count(files, LOCKS, Reach::Above);
        let (locks, installed): (Vec<_>, Vec<_>) =
            counting.into_iter().partition(|file| lock::is_lock(file.path, LOCKS));
        let mut found = listing::list(&locks, component);
        for file in &installed {
            let package = read(file.content).map_err(|_| "is not a JSON object");
            if !found.take(package.and_then(|package| installed_component(&package, file)), file) {
                break;
            }
        }
        found.into_parts()
    }
}

/// `None` for a folder that is no package: it lacks name or version.
fn installed_component(package: &Package, file: &File<'_>) -> Result<Option<Component>, &'static str> {
    let (Some(name), Some(version)) = (&package.name, &package.version) else { return Ok(None) };
    if name.is_empty() || version.is_empty() {
        return Ok(None);
    }
    let name = word(name.as_bytes()).ok_or("has a name that no package has")?;
    let version = word(version.as_bytes()).ok_or("has a version that no package has")?;
    component(&name, &version, file).map(Some)
}

fn component(name: &str, version: &str, file: &File<'_>) -> Result<Component, &'static str> {
    let purl = match name.split_once('/') {
        Some((scope, base)) if !base.is_empty() => PurlBuilder::new("npm", base).namespace(scope),
        _ => PurlBuilder::new("npm", name),
    };
    file.component(PackageKind::Npm, purl, name, version).ok_or("has a name that no package has")
}

fn read(content: &[u8]) -> serde_json::Result<Package> {
    const BOM: &[u8] = b"\xef\xbb\xbf"; // npm takes it off, too.
    serde_json::from_slice(content.strip_prefix(BOM).unwrap_or(content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_of_packages_are_looked_at() {
        for path in [
            "app/package-lock.json",
            "app/yarn.lock",
            "app/node_modules/a/package.json",
            "app/node_modules/@s/a/package.json",
            "app/node_modules/a/node_modules/b/package.json",
            "usr/share/nodejs/acorn/package.json",
            "usr/lib/x86_64-linux-gnu/nodejs/@types/node/package.json",
        ] {
            assert!(Npm.wants(path.as_bytes()), "{path}");
        }
        for path in [
            "app/package.json",
            "app/node_modules/a/yarn.lock",
            "app/node_modules/package.json",
            "app/node_modules/a/lib/package.json",
            "app/node_modules/a/@s/b/package.json",
            "app/node_modules/a/package.json.bak",
            "app/node_modules/a/xpackage.json",
        ] {
            assert!(!Npm.wants(path.as_bytes()), "{path}");
        }
    }

    fn extract(content: &str) -> (Vec<String>, usize) {
        let path = b"node_modules/a/package.json";
        let content = Npm.condense(path, content.as_bytes().to_vec());
        let (components, problems) = Npm.extract(&[File { path, layer: 0, content: &content }], None);
        (components.iter().map(|c| c.purl.to_string()).collect(), problems.len())
    }

    #[test]
    fn name_and_version_make_a_package() {
        let found = |purl: &str| (vec![purl.to_owned()], 0);
        assert_eq!(extract(r#"{"name":"a","version":"1.0.0","x":[1]}"#), found("pkg:npm/a@1.0.0"));
        assert_eq!(extract(r#"{"name":"@s/a","version":"1"}"#), found("pkg:npm/%40s/a@1"));
        assert_eq!(extract("\u{feff}{\"name\":\"a\",\"version\":\"1\"}"), found("pkg:npm/a@1"));
        assert_eq!(extract(r#"{"version":"0","name":"a","version":"1"}"#), found("pkg:npm/a@1"));
        for marker in [r#"{"type":"module"}"#, r#"{"name":"a"}"#, r#"{"name":1,"version":null}"#, "{}"] {
            assert_eq!(extract(marker), (vec![], 0), "{marker}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_a_problem() {
        let long = format!(r#"{{"name":"a","version":"{}"}}"#, "1".repeat(2000));
        for bad in ["", "{", "[]", "null", r#"{"name":"a\nb","version":"1"}"#, &long] {
            assert_eq!(extract(bad), (vec![], 1), "{bad}");
        }
    }
}
