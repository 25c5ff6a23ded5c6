//! Documents of images, and what people hand us beside them.

use inventory::{
    DockerArchive, Document, ImageConfig, ImageIndex, ImageManifest, Platform, purl as purls_of,
};
use model::{
    Component, Distro, Finding, FixState, Location, PackageKind, Problem, Sbom, Severity, ThirdParty,
};
use report::ignore::Rules;

use crate::layers::check_written;

pub(super) const WORDS: &[&str] = &[
    "schemaVersion",
    "mediaType",
    "config",
    "layers",
    "manifests",
    "digest",
    "size",
    "platform",
    "rootfs",
    "diff_ids",
    "history",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "Config",
    "Layers",
    "RepoTags",
    "sha256:",
    "sha512:",
    "urls",
    "data",
    "components",
    "packages",
    "purl",
    "bom-ref",
    "@graph",
    "externalRefs",
    "pkg:npm/a@1",
    "pkg:deb/debian/a@1?arch=amd64",
    "pkg:golang/",
    "properties",
    "SPDXRef-",
    "#",
    "?",
    "PackageName: ",
    "ExternalRef: PACKAGE-MANAGER purl ",
    "<text>",
    "</text>",
    "[[ignore]]",
    "reason = ",
    "expires = ",
    "2027-03-31",
    "vulnerability = ",
    "package = ",
    "path = ",
    "=",
    "&",
    "%40",
    "%00",
    "%2e%2e",
    ":",
    "v1",
    "cpe:2.3",
];

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

pub(super) fn manifests() -> Vec<Vec<u8>> {
    let kind = "application/vnd.oci.image";
    let at = |kind: &str| format!(r#"{{"mediaType":"{kind}","digest":"{DIGEST}","size":7}}"#);
    let (config, layer) = (at(&format!("{kind}.config.v1+json")), at(&format!("{kind}.layer.v1.tar+gzip")));
    let platform = r#""platform":{"os":"linux","architecture":"arm","variant":"v7"}"#;
    [
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{kind}.manifest.v1+json","config":{config},"layers":[{layer}]}}"#
        ),
        format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{kind}.manifest.v1+json","digest":"{DIGEST}",
            "size":1,{platform},"annotations":{{"org.opencontainers.image.ref.name":"x"}}}}]}}"#
        ),
        format!(
            r#"{{"os":"linux","architecture":"amd64","rootfs":{{"type":"layers","diff_ids":["{DIGEST}"]}},
            "history":[{{"created_by":"a"}},{{"created_by":"b","empty_layer":true}}]}}"#
        ),
        r#"[{"Config":"c.json","RepoTags":["a:1"],"Layers":["x/layer.tar"]}]"#.to_owned(),
    ]
    .map(String::into_bytes)
    .into()
}

/// The same bytes as each of the documents of an image.
pub(super) fn manifest(input: &[u8]) {
    if let Ok(index) = ImageIndex::parse(input) {
        let chosen = index.choose(&Platform::linux_amd64());
        assert!(chosen.is_err() || !index.entries.is_empty());
    }
    let manifest = ImageManifest::parse(input);
    if let Ok(manifest) = &manifest {
        assert_eq!(
            ImageManifest::parse(&manifest.to_bytes()).as_ref(),
            Ok(manifest),
            "written and read again"
        );
        assert!(ImageIndex::parse(input).is_err(), "two readers could see two images");
    }
    if let Ok(Document::Manifest(read)) = Document::parse(input) {
        assert_eq!(Ok(read), manifest);
    }
    if let Ok(config) = ImageConfig::parse(input) {
        for layer in 0..config.diff_ids.len() + 1 {
            assert!(config.created_by(layer).is_none() || layer < config.diff_ids.len());
        }
    }
    for image in DockerArchive::parse(input).map(|archive| archive.images).unwrap_or_default() {
        let outside = |member: &String| member.starts_with('/') || member.split('/').any(|part| part == "..");
        assert!(!image.layers.iter().chain([&image.config]).any(outside), "{image:?}");
    }
}

fn component(name: &str, purl: &str, kind: PackageKind) -> Component {
    Component {
        purl: purls_of::parse(purl).expect("it is written well"),
        kind,
        name: name.to_owned(),
        version: "1".to_owned(),
        architecture: Some("amd64".to_owned()),
        source: None,
        owner: None,
        locations: vec![Location { layer: 0, path: "x".to_owned() }],
    }
}

fn small_sbom() -> Sbom {
    let components = vec![
        component("a", "pkg:deb/debian/a@1?arch=amd64", PackageKind::Deb),
        component("b", "pkg:npm/b@1", PackageKind::Npm),
    ];
    let problem = Problem { place: "layer 0: x".to_owned(), what: "is none".to_owned() };
    let distro = Distro { id: "debian".to_owned(), version: "12".to_owned(), codename: None };
    let packages = vec![components[0].purl.clone()];
    let stranger = ThirdParty {
        place: "etc/apt/sources.list".to_owned(),
        supplier: "https://a.example/".to_owned(),
        packages,
    };
    Sbom {
        distro: Some(distro),
        base_layers: Some(1),
        third_party: vec![stranger],
        components,
        problems: vec![problem],
    }
}

pub(super) fn stored_sboms() -> Vec<Vec<u8>> {
    vec![inventory::sbom::document(&small_sbom())]
}

/// What is taken in is what would be written.
pub(super) fn stored_sbom(input: &[u8]) {
    let Ok(sbom) = inventory::sbom::parse(input) else { return };
    let written = inventory::sbom::document(&sbom);
    assert_eq!(inventory::sbom::parse(&written).as_ref(), Ok(&sbom));
    assert_eq!(bom::read(&written).as_ref(), Ok(&sbom));
}

pub(super) fn sboms() -> Vec<Vec<u8>> {
    let subject = bom::Subject { name: "app", digest: DIGEST, layers: &[] };
    let ours = small_sbom();
    let cyclonedx = bom::cyclonedx::document(&ours, &subject, "0", bom::cyclonedx::SpecVersion::V1_6);
    let foreign = r#"{"bomFormat":"CycloneDX","specVersion":"1.5","components":[{"type":"library","name":"libc6",
        "version":"2","purl":"pkg:deb/debian/libc6@2?arch=amd64&upstream=glibc&distro=debian-12","components":
        [{"name":"x","purl":"pkg:rpm/rocky/bash@5-4.el9?epoch=1"}],"properties":[{"name":"syft:location:0:path",
        "value":"/a"}]},{"type":"operating-system","name":"debian","version":"12"}]}"#;
    let tags = "SPDXVersion: SPDX-2.3\nPackageName: musl\nPackageVersion: 1\nExternalRef: PACKAGE-MANAGER purl \
        pkg:apk/alpine/musl@1?arch=x86_64&distro=alpine-3.19\nPackageComment: <text>a\nb</text>\n";
    let graph = r#"{"@context":"x","@graph":[{"type":"software_Package","name":"a","software_packageVersion":"1",
        "software_packageUrl":"pkg:npm/a@1"},{"type":"SpdxDocument","spdxId":"y"}]}"#;
    [cyclonedx.to_string(), bom::spdx::document(&ours, &subject, "0").to_string()]
        .into_iter()
        .chain([foreign, tags, graph].map(str::to_owned))
        .map(String::into_bytes)
        .collect()
}

/// What is read of anybody's SBOM can be written, and read again.
pub(super) fn sbom(input: &[u8]) {
    if let Ok(sbom) = bom::read(input) {
        check_written(&sbom);
    }
}

pub(super) fn purls() -> Vec<Vec<u8>> {
    [
        "pkg:npm/%40babel/core@7.0.0?arch=a&distro=x#a/b",
        "pkg:deb/debian/a@1:2+b1?arch=amd64",
        "pkg:golang/github.com/a/b@v1#c",
        "pkg:swift/github.com/a/b@1",
        "pkg:pub/a_b@1",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

/// The canonical spelling is its own canonical spelling, and says the same.
pub(super) fn purl(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let Ok(purl) = purls_of::parse(&text) else { return };
    assert_eq!(purls_of::parse(purl.as_str()).as_ref(), Ok(&purl));
    assert_eq!(purls_of::take_apart(purl.as_str()), purls_of::take_apart(&text));
    assert!(purl.as_str().is_ascii() && !purl.as_str().contains(char::is_control), "{purl}");
}

pub(super) fn rules() -> Vec<Vec<u8>> {
    let text = "[[ignore]]\nvulnerability = \"CVE-1\"\nreason = \"r\"\nexpires = 2027-03-31\n\n[[ignore]]\n\
        package = \"pkg:npm/a@1\"\npath = \"usr/\"\nreason = \"r\"\nexpires = 2020-02-29\n";
    vec![text.as_bytes().to_vec()]
}

/// No rule holds for ever, nor without a reason.
pub(super) fn ignore(input: &[u8]) {
    let Ok(mut rules) = Rules::parse(&String::from_utf8_lossy(input)) else { return };
    let finding = Finding {
        vulnerability: "CVE-1".to_owned(),
        aliases: vec!["GHSA-1".to_owned()],
        purl: purls_of::parse("pkg:npm/a@1").expect("it is written well"),
        package: "a".to_owned(),
        version: "1".to_owned(),
        severity: Severity::High,
        fix: FixState::NotFixed(None),
        advisories: Vec::new(),
        vex: None,
    };
    let at = [Location { layer: 0, path: "usr/x".to_owned() }];
    if let Some(ignored) = rules.ignore(&finding, &at, time::Date::MIN) {
        assert!(!ignored.reason.trim().is_empty() && !ignored.expires.is_empty());
    }
    let after_all = time::Date::MAX;
    drop(rules.ignore(&finding, &at, after_all));
    drop(rules.remarks(after_all));
}
