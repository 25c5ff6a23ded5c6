//! Real images against what their own package managers said about them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use model::{Component, PackageKind, Sbom};

/// A list that a package manager made: file name, kind, and how a component is written in it.
struct Truth {
    file: &'static str,
    kind: PackageKind,
    row: fn(&Component) -> Vec<String>,
    columns: usize,
}

const TRUTHS: [Truth; 9] = [
    Truth { file: "jar.tsv", kind: PackageKind::Maven, row: jar_row, columns: 4 },
    Truth { file: "rpm.tsv", kind: PackageKind::Rpm, row: rpm_row, columns: 3 },
    Truth { file: "apk.tsv", kind: PackageKind::Apk, row: apk_row, columns: 4 },
    Truth { file: "dpkg.tsv", kind: PackageKind::Deb, row: dpkg_row, columns: 5 },
    Truth { file: "statusd.tsv", kind: PackageKind::Deb, row: statusd_row, columns: 4 },
    Truth { file: "npm.tsv", kind: PackageKind::Npm, row: npm_row, columns: 4 },
    Truth { file: "python.tsv", kind: PackageKind::PyPi, row: python_row, columns: 4 },
    Truth { file: "cargo.tsv", kind: PackageKind::Cargo, row: cargo_row, columns: 4 },
    Truth { file: "gobin.tsv", kind: PackageKind::Golang, row: golang_row, columns: 4 },
];

#[test]
fn every_image_has_the_packages_that_its_package_managers_list() {
    let Some(data) = crate::support::shared_data() else { return };
    let mut images = 0;
    for entry in fs::read_dir(data.join("expected")).unwrap() {
        let expected = entry.unwrap().path();
        let name = expected.file_name().unwrap().to_str().unwrap().to_owned();
        let sbom = crate::support::scan_layout(&data.join(format!("images/{name}.oci"))).unwrap();
        assert_eq!(sbom.problems, [], "{name}");
        assert_eq!(sbom.third_party, [], "{name}: all of it is the distribution's");
        for truth in &TRUTHS {
            check(&name, &sbom, &expected, truth);
        }
        images += 1;
    }
    assert!(images >= 9, "only {images} images");
}

fn check(image: &str, sbom: &Sbom, expected: &Path, truth: &Truth) {
    let Ok(text) = fs::read_to_string(expected.join(truth.file)) else {
        let others = TRUTHS.iter().any(|t| t.kind == truth.kind && expected.join(t.file).exists());
        let found = sbom.components.iter().find(|c| c.kind == truth.kind);
        assert!(others || found.is_none(), "{image}: {found:?}, where no {} is expected", truth.file);
        return;
    };
    let row =
        |line: &str| -> Vec<String> { line.split('\t').take(truth.columns).map(str::to_owned).collect() };
    let wanted: BTreeSet<Vec<String>> = text.lines().map(row).filter(|row| counts(truth.kind, row)).collect();
    let found: BTreeSet<Vec<String>> = sbom
        .components
        .iter()
        .filter(|c| c.kind == truth.kind)
        .flat_map(rows(truth))
        .filter(|row| counts(truth.kind, row))
        .collect();
    let missing: Vec<_> = wanted.difference(&found).collect();
    let extra: Vec<_> = found.difference(&wanted).collect();
    assert!(missing.is_empty() && extra.is_empty(), "{image} {}: -{missing:?} +{extra:?}", truth.file);
    assert!(!wanted.is_empty(), "{image} {} is empty", truth.file);
}

/// One row a location, as the lists have it.
fn rows(truth: &Truth) -> impl Fn(&Component) -> Vec<Vec<String>> + '_ {
    |component| {
        let one = |location: &model::Location| {
            let locations = vec![location.clone()];
            (truth.row)(&Component { locations, ..component.clone() })
        };
        component.locations.iter().map(one).collect()
    }
}

fn dpkg_row(c: &Component) -> Vec<String> {
    let source = c.source.clone().unwrap();
    vec![c.name.clone(), c.version.clone(), c.architecture.clone().unwrap(), source.name, source.version]
}

/// The list has the `Source` field as it is written: empty where the source is called like the package.
fn statusd_row(c: &Component) -> Vec<String> {
    let source = c.source.clone().unwrap();
    let field = if source.name == c.name { String::new() } else { source.name };
    vec![c.name.clone(), c.version.clone(), c.architecture.clone().unwrap(), field]
}

fn apk_row(c: &Component) -> Vec<String> {
    let source = c.source.clone().unwrap();
    vec![c.name.clone(), c.version.clone(), c.architecture.clone().unwrap(), source.name]
}

/// The list writes the epoch also where it is 0.
fn rpm_row(c: &Component) -> Vec<String> {
    let epoch = if c.version.contains(':') { "" } else { "0:" };
    vec![c.name.clone(), format!("{epoch}{}", c.version), c.architecture.clone().unwrap()]
}

fn npm_row(c: &Component) -> Vec<String> {
    vec![c.name.clone(), c.version.clone(), format!("/{}", c.locations[0].path), owned(c)]
}

/// The list has the directory.
fn python_row(c: &Component) -> Vec<String> {
    let file = &c.locations[0].path;
    let dir = ["/METADATA", "/PKG-INFO"].iter().find_map(|name| file.strip_suffix(name)).unwrap_or(file);
    vec![c.name.clone(), c.version.clone(), format!("/{dir}"), owned(c)]
}

/// Build scripts and macros are not in the executable, and a working directory is no version.
fn counts(kind: PackageKind, row: &[String]) -> bool {
    match kind {
        PackageKind::Cargo => row[3] != "build",
        PackageKind::Golang => row[1] != "(devel)",
        // The list has the file for a name where no pom names the archive, and we what the file's name says.
        PackageKind::Maven => row[3] == "pom",
        _ => true,
    }
}

fn jar_row(c: &Component) -> Vec<String> {
    let named_by = if c.name.contains(':') { "pom" } else { "manifest" };
    vec![c.name.clone(), c.version.clone(), format!("/{}", c.locations[0].path), named_by.to_owned()]
}

fn cargo_row(c: &Component) -> Vec<String> {
    vec![c.name.clone(), c.version.clone(), format!("/{}", c.locations[0].path), "runtime".to_owned()]
}

/// The list has Go itself as it prints its version.
fn golang_row(c: &Component) -> Vec<String> {
    let version = if c.name == "stdlib" { format!("go{}", c.version) } else { c.version.clone() };
    vec![c.name.clone(), version, format!("/{}", c.locations[0].path), owned(c)]
}

fn owned(c: &Component) -> String {
    if c.owner.is_some() { "os-owned" } else { "-" }.to_owned()
}

#[test]
fn the_layer_that_brought_a_package_is_named() {
    let Some(data) = crate::support::shared_data() else { return };
    let sbom = crate::support::scan_layout(&data.join("images/node-legacy.oci")).unwrap();
    let layer = |name: &str| {
        let found = sbom.components.iter().find(|c| c.name == name).unwrap();
        found.locations[0].layer
    };
    assert_eq!([layer("bash"), layer("nodejs"), layer("acorn"), layer("axios")], [0, 1, 1, 2]);
    let acorn = sbom.components.iter().find(|c| c.name == "acorn").unwrap();
    let owner = acorn.owner.as_ref().unwrap().as_str();
    assert!(owner.starts_with("pkg:deb/debian/node-acorn@"), "{owner}");
}

#[test]
fn each_platform_of_an_index_can_be_read() {
    let Some(data) = crate::support::shared_data() else { return };
    let sbom = crate::support::scan_layout(&data.join("images/alpine320-multi.oci")).unwrap();
    let distro = sbom.distro.unwrap();
    assert_eq!((distro.id.as_str(), &distro.version[..4]), ("alpine", "3.20"));
}
