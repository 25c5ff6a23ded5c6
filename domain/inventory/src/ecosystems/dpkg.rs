//! dpkg and opkg: `status`, or on distroless images `status.d/`, and the lists of the files each package owns.
//!
//! Format: deb-control(5), dpkg(1) "Package states". `Source: foo (1.2)` names the source package where its
//! name or version is another than the binary's.
//!
//! opkg, of OpenWrt and other small systems, writes the same form. What it calls the source is a folder of the build.

use std::collections::HashMap;

use model::{Component, Distro, PackageKind, Problem, Purl, SourcePackage, ThirdParty};

use super::found::Found;
use super::of_distro::{field, purl};
use super::repositories::{self, Strangers};
use super::{Ecosystem, File, want_by_language, word};
use crate::limits::Limits;
use crate::path;

/// Where the databases are.
const FOLDERS: [(PackageKind, &[u8]); 3] = [
    (PackageKind::Deb, b"var/lib/dpkg"),
    (PackageKind::Opkg, b"usr/lib/opkg"),
    (PackageKind::Opkg, b"var/lib/opkg"),
];

/// States in which a package's files are on the disk.
const PRESENT: [&[u8]; 5] =
    [b"installed", b"unpacked", b"half-configured", b"triggers-awaited", b"triggers-pending"];

/// dpkg, or what writes as it does.
pub(super) struct Dpkg {
    kind: PackageKind,
    /// The namespace of its packages where nothing says which distribution it is.
    usual: &'static str,
    places: &'static [&'static str],
}

pub(super) const DPKG: Dpkg = Dpkg {
    kind: PackageKind::Deb,
    usual: "debian",
    places: &["var/lib/dpkg/status", "var/lib/dpkg/status.d", "var/lib/dpkg/info"],
};

pub(super) const OPKG: Dpkg = Dpkg {
    kind: PackageKind::Opkg,
    usual: "openwrt",
    places: &["usr/lib/opkg/status", "usr/lib/opkg/info", "var/lib/opkg/status", "var/lib/opkg/info"],
};

impl Ecosystem for Dpkg {
    fn kind(&self) -> PackageKind {
        self.kind
    }

    fn wants(&self, path: &[u8]) -> bool {
        if repositories::is_apt(path) {
            return self.kind == PackageKind::Deb;
        }
        let Some((_, file)) = place(path).filter(|(kind, _)| *kind == self.kind) else { return false };
        let (dir, name) = path::split(file);
        file == b"status" || dir == b"status.d" || (dir == b"info" && name.ends_with(b".list"))
    }

    fn places(&self) -> &'static [&'static str] {
        self.places
    }

    /// Of lists, only the files that another ecosystem may read, one a line and without a leading slash.
    fn condense(&self, path: &[u8], content: Vec<u8>) -> Vec<u8> {
        if repositories::is_apt(path) {
            return repositories::condense(content);
        }
        // `HASH  usr/bin/x`
        let before = if path.ends_with(b".md5sums") { 34 } else { 0 };
        if before == 0 && !path.ends_with(b".list") {
            return content;
        }
        let mut kept = Vec::new();
        for line in lines(&content).filter_map(|line| line.get(before..)) {
            let file = line.strip_prefix(b"/").unwrap_or(line);
            if want_by_language(file) {
                kept.extend_from_slice(if kept.is_empty() { b"" } else { b"\n" });
                kept.extend_from_slice(file);
            }
        }
        kept
    }

    fn extract(&self, files: &[File<'_>], distro: Option<&Distro>) -> (Vec<Component>, Vec<Problem>) {
        let mut found = Found::default();
        let layers = layers_of_lists(files);
        for file in files.iter().filter(|file| is_status(file.path)) {
            for (number, paragraph) in paragraphs(file.content).enumerate() {
                let outcome = self.package(&paragraph, file, distro, &layers);
                if !found.take(outcome.map_err(|why| format!("package {}: {why}", number + 1)), file) {
                    return found.into_parts();
                }
            }
        }
        found.into_parts()
    }

    fn owned(&self, files: &[File<'_>], components: &[Component]) -> Vec<(Vec<u8>, Purl)> {
        let owners = Owners::new(components);
        let claims = files.iter().filter_map(|file| Some((file, owners.of(file.path)?)));
        let claims =
            claims.flat_map(|(file, owner)| lines(file.content).map(|l| (l.to_vec(), owner.clone())));
        claims.take(Limits::DEFAULT.claims).collect()
    }

    /// Debian's and Ubuntu's packages have neither `Origin` nor `Vendor`; those that tools make for vendors have.
    fn third_party(
        &self,
        files: &[File<'_>],
        components: &[Component],
        distro: Option<&Distro>,
    ) -> Vec<ThirdParty> {
        let mut found = repositories::foreign(files, distro);
        found.extend(distro.map(|distro| vendors(files, components, distro)).unwrap_or_default());
        found
    }
}

impl Dpkg {
    fn package(
        &self,
        paragraph: &Paragraph<'_>,
        file: &File<'_>,
        distro: Option<&Distro>,
        layers: &HashMap<Vec<u8>, u32>,
    ) -> Result<Option<Component>, String> {
        if !paragraph.is_present() {
            return Ok(None);
        }
        let name = field(paragraph.package, "name")?;
        let version = field(paragraph.version, "version").map_err(|e| format!("{name}: {e}"))?;
        let architecture = paragraph.architecture.and_then(word);
        let source = match self.kind {
            PackageKind::Opkg => None,
            _ => {
                Some(source(paragraph.source, &name, &version).ok_or_else(|| format!("{name}: bad source"))?)
            }
        };
        let mut location = file.location();
        let listed = |list: &str| layers.get(list.as_bytes()).copied();
        let with_architecture = architecture.as_ref().and_then(|a| listed(&format!("{name}:{a}")));
        location.layer = with_architecture.or_else(|| listed(&name)).unwrap_or(location.layer);
        let purl = purl(self.kind, self.usual, (&name, &version), architecture.as_deref(), distro);
        Ok(Some(Component {
            purl: purl.build().map_err(|e| format!("{name}: {e}"))?,
            kind: self.kind,
            name,
            version,
            architecture,
            source,
            owner: None,
            locations: vec![location],
        }))
    }
}

/// Whose database the path lies in, and where in it.
fn place(path: &[u8]) -> Option<(PackageKind, &[u8])> {
    FOLDERS
        .into_iter()
        .find_map(|(kind, folder)| Some((kind, path::below(path, folder)?.strip_prefix(b"/")?)))
}

fn is_status(path: &[u8]) -> bool {
    let is_part = |file: &[u8]| path::split(file).0 == b"status.d" && !file.ends_with(b".md5sums");
    place(path).is_some_and(|(_, file)| file == b"status" || is_part(file))
}

/// A package's list is written anew whenever the package is, while `status` is rewritten for any of them: so
/// the layer of the list is the layer that brought the package.
fn layers_of_lists(files: &[File<'_>]) -> HashMap<Vec<u8>, u32> {
    let list = |file: &File<'_>| Some((list_name(file.path)?.to_vec(), file.layer));
    files.iter().filter_map(list).collect()
}

/// `libc6:amd64` of `var/lib/dpkg/info/libc6:amd64.list`.
fn list_name(path: &[u8]) -> Option<&[u8]> {
    let (dir, name) = path::split(place(path)?.1);
    name.strip_suffix(b".list").filter(|_| dir == b"info")
}

/// Packages by whom they name as their vendor, where it is not the distribution.
fn vendors(files: &[File<'_>], components: &[Component], distro: &Distro) -> Vec<ThirdParty> {
    let by_name: HashMap<(&str, &str), &Purl> =
        components.iter().map(|c| ((c.name.as_str(), c.version.as_str()), &c.purl)).collect();
    let mut strangers = Strangers::default();
    for file in files.iter().filter(|file| is_status(file.path)) {
        for paragraph in paragraphs(file.content) {
            let vendor = paragraph.vendor.and_then(word).filter(|vendor| !is_distro(vendor, distro));
            let named = paragraph.package.and_then(word).zip(paragraph.version.and_then(word));
            let purl =
                named.and_then(|(name, version)| by_name.get(&(name.as_str(), version.as_str())).copied());
            if let Some((purl, vendor)) = purl.zip(vendor) {
                strangers.add(file, Some(vendor), purl);
            }
        }
    }
    strangers.finish().collect()
}

/// Whether a package that names this vendor is the distribution's.
fn is_distro(vendor: &str, distro: &Distro) -> bool {
    vendor.to_ascii_lowercase().starts_with(&distro.id)
}

/// Which package a list belongs to, by the list's path.
struct Owners<'a> {
    by_list: HashMap<String, &'a Purl>,
    by_status_file: HashMap<&'a str, &'a Purl>,
}

impl<'a> Owners<'a> {
    fn new(components: &'a [Component]) -> Self {
        let (mut by_list, mut by_status_file) = (HashMap::new(), HashMap::new());
        for component in components {
            let Component { name, purl, .. } = component;
            if let Some(architecture) = &component.architecture {
                by_list.insert(format!("{name}:{architecture}"), purl);
            }
            by_list.entry(name.clone()).or_insert(purl);
            by_status_file.extend(component.locations.iter().map(|l| (l.path.as_str(), purl)));
        }
        Self { by_list, by_status_file }
    }

    fn of(&self, path: &[u8]) -> Option<&'a Purl> {
        if let Some(name) = list_name(path) {
            return self.by_list.get(std::str::from_utf8(name).ok()?).copied();
        }
        let status_file = path::printable(path.strip_suffix(b".md5sums")?);
        self.by_status_file.get(status_file.as_str()).copied()
    }
}

/// The fields of a paragraph that say what is installed.
#[derive(Default)]
struct Paragraph<'a> {
    package: Option<&'a [u8]>,
    version: Option<&'a [u8]>,
    architecture: Option<&'a [u8]>,
    source: Option<&'a [u8]>,
    status: Option<&'a [u8]>,
    /// `Origin` or `Vendor`.
    vendor: Option<&'a [u8]>,
}

fn paragraphs(content: &[u8]) -> impl Iterator<Item = Paragraph<'_>> {
    let mut lines = lines(content).peekable();
    std::iter::from_fn(move || {
        while lines.next_if(|line| line.trim_ascii().is_empty()).is_some() {}
        lines.peek()?;
        let mut paragraph = Paragraph::default();
        while let Some(line) = lines.next_if(|line| !line.trim_ascii().is_empty()) {
            paragraph.read(line);
        }
        Some(paragraph)
    })
}

impl<'a> Paragraph<'a> {
    /// Lines that begin with a space go on with the field before, and none of the fields here has more
    /// than one line.
    fn read(&mut self, line: &'a [u8]) {
        let Some(colon) = line.iter().position(|&b| b == b':') else { return };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let field = match name.to_ascii_lowercase().as_slice() {
            b"package" => &mut self.package,
            b"version" => &mut self.version,
            b"architecture" => &mut self.architecture,
            b"source" => &mut self.source,
            b"status" => &mut self.status,
            b"origin" | b"vendor" => &mut self.vendor,
            _ => return,
        };
        *field = Some(value);
    }

    /// `status.d` lists only what is there and says no state.
    fn is_present(&self) -> bool {
        let state = self.status.and_then(|status| status.rsplit(|&b| b == b' ').next());
        state.is_none_or(|state| PRESENT.contains(&state))
    }
}

fn source(field: Option<&[u8]>, name: &str, version: &str) -> Option<SourcePackage> {
    let Some(field) = field else {
        return Some(SourcePackage { name: name.to_owned(), version: version.to_owned() });
    };
    let text = word(field)?;
    let (name, version) = match text.split_once('(') {
        Some((name, rest)) => (name.trim(), rest.trim_end().strip_suffix(')')?.trim()),
        None => (text.as_str(), version),
    };
    let named = !name.is_empty() && !version.is_empty();
    named.then(|| SourcePackage { name: name.to_owned(), version: version.to_owned() })
}

fn lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    content.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extract(status: &[u8]) -> (Vec<String>, Vec<String>) {
        let file = File { path: b"var/lib/dpkg/status", layer: 0, content: status };
        let (components, problems) = DPKG.extract(&[file], None);
        let line = |c: Component| {
            let source = c.source.unwrap();
            format!("{} {} <- {} {}", c.name, c.version, source.name, source.version)
        };
        (components.into_iter().map(line).collect(), problems.into_iter().map(|p| p.what).collect())
    }

    #[test]
    fn source_is_the_binary_itself_unless_said() {
        let status = b"Package: a\nVersion: 1+b1\nSource: src (1)\n\nPackage: b\nVersion: 2\nSource: src\n\n\
            Package: c\nVersion: 1:3-1\n";
        let expected = ["a 1+b1 <- src 1", "b 2 <- src 2", "c 1:3-1 <- c 1:3-1"];
        assert_eq!(extract(status), (expected.map(str::to_owned).to_vec(), vec![]));
    }

    #[test]
    fn only_packages_whose_files_are_there_count() {
        for (status, there) in [
            ("install ok installed", true),
            ("deinstall ok installed", true),
            ("install ok half-configured", true),
            ("deinstall ok config-files", false),
            ("purge ok not-installed", false),
            ("install reinstreq half-installed", false),
        ] {
            let text = format!("Package: a\nStatus: {status}\nVersion: 1\n");
            assert_eq!(extract(text.as_bytes()).0.len(), usize::from(there), "{status}");
        }
    }

    #[test]
    fn continuation_lines_are_no_fields() {
        let status = b"Package: a\nVersion: 1\nDescription: x\n Version: 9\n Package: z\n";
        assert_eq!(extract(status).0, ["a 1 <- a 1"]);
    }

    #[test]
    fn a_bad_package_costs_itself() {
        let status = b"Package: \xff\nVersion: 1\n\n\nPackage: b\n\nPackage: c\nVersion: 1\nSource: s (\n\n\
            Package: d\nVersion: 1\n";
        let (found, problems) = extract(status);
        assert_eq!(found, ["d 1 <- d 1"]);
        assert_eq!(
            problems,
            [
                "package 1: its name is missing or not readable",
                "package 2: b: its version is missing or not readable",
                "package 3: c: bad source"
            ]
        );
    }

    #[test]
    fn of_lists_only_what_may_hold_packages_of_languages_is_kept() {
        let list = b"/.\n/usr/share/doc/x\n/usr/bin/x\n/usr/share/nodejs/acorn/package.json\n".to_vec();
        let kept = DPKG.condense(b"var/lib/dpkg/info/node-acorn.list", list);
        assert_eq!(kept, b"usr/bin/x\nusr/share/nodejs/acorn/package.json");
        let sums = b"d41d8cd98f00b204e9800998ecf8427e  usr/lib/python3/x.egg-info\nshort\n".to_vec();
        let kept = DPKG.condense(b"var/lib/dpkg/status.d/x.md5sums", sums);
        assert_eq!(kept, b"usr/lib/python3/x.egg-info");
    }
}
