//! Package databases of real distributions against what `rpm -qa` and `apk info` say of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use model::{Component, PackageKind};

use crate::support::{scan_archives, shared_data};
use crate::tar::Tar;

/// Each with the files that make it.
const DATABASES: [(&str, &[&str]); 7] = [
    ("alma9-micro-2022", &["usr/lib/os-release", "var/lib/rpm/Packages"]),
    ("mariner2-rpmdb", &["etc/os-release", "var/lib/rpm/rpmdb.sqlite"]),
    ("sle15-rpmdb", &["etc/os-release", "usr/lib/sysimage/rpm/Packages.db"]),
    ("alpine-36", &["etc/os-release", "lib/apk/db/installed"]),
    ("alpine-38", &["etc/os-release", "lib/apk/db/installed"]),
    ("alpine-317", &["etc/os-release", "lib/apk/db/installed"]),
    ("alpine320-node", &["etc/os-release", "lib/apk/db/installed"]),
];

#[test]
fn every_package_of_every_form_is_found() {
    let Some(data) = shared_data() else { return };
    for (name, files) in DATABASES {
        let root = data.join("packagedb").join(name);
        let layer =
            files.iter().fold(Tar::new(), |tar, file| tar.file(file, fs::read(root.join(file)).unwrap()));
        let sbom = scan_archives(&[layer.end()]).unwrap();
        assert_eq!(sbom.problems, [], "{name}");
        assert_eq!(sbom.third_party, [], "{name}: all of it is the distribution's");
        let (list, row): (_, fn(&Component) -> String) =
            if name.starts_with("alpine") { ("apk.tsv", apk_row) } else { ("rpm.tsv", rpm_row) };
        let found: BTreeSet<String> = sbom.components.iter().map(row).collect();
        let truth = truth(&root.join("truth").join(list));
        let missing: Vec<_> = truth.difference(&found).collect();
        let extra: Vec<_> = found.difference(&truth).collect();
        assert!(missing.is_empty() && extra.is_empty(), "{name}: -{missing:?} +{extra:?}");
        assert!(truth.len() > 5, "{name}: the truth is there");
    }
}

fn truth(list: &Path) -> BTreeSet<String> {
    fs::read_to_string(list).unwrap().lines().map(str::to_owned).collect()
}

/// The lists write the epoch also where it is 0, and the source package as its file.
fn rpm_row(c: &Component) -> String {
    assert_eq!(c.kind, PackageKind::Rpm);
    let epoch = if c.version.contains(':') { "" } else { "0:" };
    let source = c.source.as_ref().map(|s| format!("{}-{}.src.rpm", s.name, s.version)).unwrap_or_default();
    format!("{}\t{epoch}{}\t{}\t{source}", c.name, c.version, c.architecture.as_deref().unwrap_or_default())
}

fn apk_row(c: &Component) -> String {
    assert_eq!(c.kind, PackageKind::Apk);
    let origin = c.source.as_ref().map(|s| s.name.as_str()).unwrap_or_default();
    format!("{}\t{}\t{}\t{origin}", c.name, c.version, c.architecture.as_deref().unwrap_or_default())
}
