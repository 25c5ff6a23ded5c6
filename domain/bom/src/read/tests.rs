use model::{Location, Purl, SourcePackage};
use proptest::prelude::*;

use super::*;
use crate::cyclonedx::{self, SpecVersion};
use crate::{Subject, spdx};

const SUBJECT: Subject<'_> = Subject { name: "app", digest: "", layers: &[] };

fn documents(sbom: &Sbom) -> [Vec<u8>; 4] {
    let cyclonedx = |version| cyclonedx::document(sbom, &SUBJECT, "0.1.0", version).to_string().into_bytes();
    [
        cyclonedx(SpecVersion::V1_6),
        cyclonedx(SpecVersion::V1_7),
        spdx::document(sbom, &SUBJECT, "0.1.0").to_string().into_bytes(),
        inventory::sbom::document(sbom),
    ]
}

prop_compose! {
    fn component()(
        kind in proptest::sample::select(PackageKind::ALL.to_vec()),
        name in "[a-z@]{1,3}([:/][a-z]{1,2})?",
        version in "\\PC{1,8}",
        architecture in proptest::option::of("\\PC{1,4}"),
        source in proptest::option::of(("\\PC{0,5}", "\\PC{1,5}")),
        owner in any::<bool>(),
        locations in proptest::collection::btree_set((0_u32..4, "\\PC{1,6}"), 0..3),
    ) -> Option<Component> {
        // Some types ask for more than a name.
        let purl = inventory::purl::PurlBuilder::new(kind.as_str(), &name).version(&version).build().ok()?;
        Some(Component {
            owner: owner.then(|| Purl::from_canonical("pkg:deb/debian/a@1".to_owned())),
            purl,
            kind,
            name,
            version,
            architecture,
            source: source.map(|(name, version)| SourcePackage { name, version }),
            locations: locations.into_iter().map(|(layer, path)| Location { layer, path }).collect(),
        })
    }
}

proptest! {
    #[test]
    fn what_we_write_is_read_back_to_the_last_field(
        components in proptest::collection::vec(component(), 0..6),
        distro in proptest::option::of(("\\PC{1,6}", "\\PC{0,6}", proptest::option::of("\\PC{1,6}"))),
        problems in proptest::collection::vec(("\\PC{0,8}", ".{0,8}"), 0..3),
        base_layers in proptest::option::of(0_u32..5),
        strangers in proptest::collection::vec(("\\PC{0,8}", "\\PC{0,8}"), 0..3),
    ) {
        let mut components: Vec<Component> = components.into_iter().flatten().collect();
        components.sort();
        components.dedup();
        let distro = distro.map(|(id, version, codename)| Distro { id, version, codename });
        let third_party = strangers.into_iter().map(|(place, supplier)| {
            let packages = components.iter().map(|component| component.purl.clone()).collect();
            model::ThirdParty { place, supplier, packages }
        });
        let third_party = third_party.collect();
        let problems = problems.into_iter().map(|(place, what)| Problem { place, what }).collect();
        let sbom = Sbom { distro, base_layers, third_party, components, problems };
        for document in documents(&sbom) {
            prop_assert_eq!(read(&document), Ok(sbom.clone()), "{}", String::from_utf8_lossy(&document));
        }
    }

    #[test]
    fn no_bytes_break_the_reader(at in 0_usize..3000, byte in any::<u8>(), which in 0_usize..5) {
        let sbom = read(SYFT.as_bytes()).unwrap();
        let mut document = match which {
            4 => TAG_VALUE.as_bytes().to_vec(),
            which => documents(&sbom)[which].clone(),
        };
        let at = at % document.len();
        drop(read(&document[..at]));
        document[at] = byte;
        drop(read(&document));
    }
}

const SYFT: &str = r#"{
  "bomFormat": "CycloneDX", "specVersion": "1.6", "metadata": {"component": {"type": "container", "name": "x"}},
  "components": [
    {"type": "library", "name": "libc6", "version": "2.36-9",
     "purl": "pkg:deb/debian/libc6@2.36-9?arch=amd64&upstream=glibc&distro=debian-12",
     "properties": [{"name": "syft:location:0:path", "value": "/var/lib/dpkg/status"}]},
    {"type": "library", "name": "libgcc-s1", "version": "12.2-14",
     "purl": "pkg:deb/debian/libgcc-s1@12.2-14?upstream=gcc-12%4012.2-15"},
    {"type": "library", "group": "@babel", "name": "core", "version": "7.0.0", "purl": "pkg:npm/%40babel/core@7.0.0",
     "components": [{"type": "library", "name": "github.com/Burnt/toml", "version": "v1.0.0",
                     "purl": "pkg:golang/github.com/burnt/toml@v1.0.0"}]},
    {"type": "library", "group": "org.a", "name": "b", "version": "1", "purl": "pkg:maven/org.a/b@1"},
    {"type": "library", "name": "bash", "version": "5.1.8-4.el9",
     "purl": "pkg:rpm/rocky/bash@5.1.8-4.el9?epoch=1&arch=x86_64"},
    {"type": "library", "name": "nameless"},
    {"type": "library", "name": "tool", "version": "1", "purl": "pkg:generic/tool@1"},
    {"type": "library", "name": 5},
    {"type": "file", "name": "/etc/passwd"},
    {"type": "application", "name": "app/package-lock.json"},
    {"type": "operating-system", "name": "debian", "version": "12.5"}
  ]}"#;

const TAG_VALUE: &str = "SPDXVersion: SPDX-2.3
DocumentComment: <text>PackageName: no
PackageName: package</text>
PackageName: image
PrimaryPackagePurpose: CONTAINER

##### Package: musl
PackageName: musl
PackageVersion: 1.2.4-r2
PackageDownloadLocation: NOASSERTION
ExternalRef: SECURITY cpe23Type cpe:2.3:a:musl:musl:1.2.4-r2:*:*:*:*:*:*:*
ExternalRef: PACKAGE-MANAGER purl pkg:apk/alpine/musl@1.2.4-r2?arch=x86_64&distro=alpine-3.19.1
PackageName: unnamed
";

fn shown(sbom: &Sbom) -> Vec<String> {
    let source = |s: &SourcePackage| format!(" <- {} {}", s.name, s.version);
    let line = |c: &Component| {
        let source = c.source.as_ref().map(source).unwrap_or_default();
        format!("{} {} {}{source}", c.kind.as_str(), c.name, c.version)
    };
    sbom.components.iter().map(line).collect()
}

#[test]
fn documents_of_other_tools_are_read() {
    let sbom = read(SYFT.as_bytes()).unwrap();
    let distro = sbom.distro.clone().unwrap();
    assert_eq!((distro.id.as_str(), distro.version.as_str()), ("debian", "12"));
    assert_eq!(
        shown(&sbom),
        [
            "deb libc6 2.36-9 <- glibc 2.36-9",
            "deb libgcc-s1 12.2-14 <- gcc-12 12.2-15",
            "golang github.com/Burnt/toml v1.0.0",
            "maven org.a:b 1",
            "npm @babel/core 7.0.0",
            "rpm bash 1:5.1.8-4.el9",
        ]
    );
    let problems: Vec<_> = sbom.problems.iter().map(|p| format!("{}: {}", p.place, p.what)).collect();
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems.iter().any(|p| p.starts_with("components[5] nameless: it has no package URL")));
    assert!(problems.iter().any(|p| p.contains("packages of the type generic are not matched")));
    assert_eq!(sbom.components[0].locations[0].path, "var/lib/dpkg/status");
}

#[test]
fn sources_of_trivy_stand_in_properties() {
    let text = r#"{"bomFormat": "CycloneDX", "specVersion": "1.5", "components": [
        {"type": "library", "name": "a", "version": "1:2-3", "purl": "pkg:deb/debian/a@1%3A2-3?distro=debian-12.5",
         "properties": [{"name": "aquasecurity:trivy:SrcName", "value": "s"},
                        {"name": "aquasecurity:trivy:SrcVersion", "value": "2"},
                        {"name": "aquasecurity:trivy:SrcRelease", "value": "4"},
                        {"name": "aquasecurity:trivy:SrcEpoch", "value": "1"}]}]}"#;
    let sbom = read(text.as_bytes()).unwrap();
    assert_eq!(shown(&sbom), ["deb a 1:2-3 <- s 1:2-4"]);
    assert_eq!(sbom.distro.unwrap().version, "12", "the package URLs agree on it");
}

#[test]
fn spdx_is_read_in_all_its_forms() {
    let sbom = read(TAG_VALUE.as_bytes()).unwrap();
    assert_eq!(shown(&sbom), ["apk musl 1.2.4-r2 <- musl 1.2.4-r2"]);
    assert_eq!(sbom.distro.unwrap().version, "3.19.1");
    assert_eq!(sbom.problems[0].place, "line 13 unnamed");
    let three = r#"{"@context": "x", "@graph": [{"type": "SpdxDocument", "name": ["any shape"]},
        {"type": "software_Package", "name": "left-pad", "software_packageVersion": "1.3.0",
         "software_packageUrl": "pkg:npm/left-pad@1.3.0"},
        {"type": "software_Package", "name": "debian", "software_packageVersion": "12",
         "software_primaryPurpose": "operatingSystem"},
        {"type": "software_Package", "name": "b", "externalIdentifier": [
          {"externalIdentifierType": "packageUrl", "identifier": "pkg:pypi/b@2"}]}]}"#;
    let sbom = read(three.as_bytes()).unwrap();
    assert_eq!(shown(&sbom), ["npm left-pad 1.3.0", "pypi b 2"]);
    assert_eq!(sbom.distro.unwrap().id, "debian");
}

#[test]
fn what_is_no_sbom_is_refused() {
    for text in ["", "{}", "[]", "<bom/>", "{\"bomFormat\": \"other\"}", "SPDXVersion: SPDX-1.0"] {
        assert_eq!(read(text.as_bytes()), Err(ReadError::Unknown), "{text}");
    }
    let old = r#"{"bomFormat": "CycloneDX", "specVersion": "1.1"}"#;
    assert!(read(old.as_bytes()).unwrap_err().to_string().contains("version \"1.1\" is not one of 1.2"));
    let cut = &SYFT[..SYFT.len() - 2];
    assert!(matches!(read(cut.as_bytes()), Err(ReadError::Malformed { .. })));
}

#[test]
fn deep_and_long_documents_are_bounded() {
    let mut deep = r#"{"type": "library", "name": "a", "version": "1", "purl": "pkg:npm/a@1"}"#.to_owned();
    for _ in 0..20 {
        deep = format!(
            r#"{{"type": "library", "name": "a", "version": "1", "purl": "pkg:npm/a@1", "components": [{deep}]}}"#
        );
    }
    let deep = format!(r#"{{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [{deep}]}}"#);
    let sbom = read(deep.as_bytes()).unwrap();
    assert_eq!((sbom.components.len(), sbom.problems.len()), (1, 1));
    let many = "1,".repeat(2_000);
    let many = format!(r#"{{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [{many}1]}}"#);
    let sbom = read(many.as_bytes()).unwrap();
    assert_eq!(sbom.problems.len(), PROBLEMS + 1);
    assert!(matches!(read(&vec![b'{'; DOCUMENT_BYTES + 1]), Err(ReadError::TooLarge)));
}

#[test]
fn documents_are_called_by_what_they_are() {
    let sbom = read(SYFT.as_bytes()).unwrap();
    let [older, newer, spdx, stored] = documents(&sbom);
    let kind = |document: &[u8]| crate::media_type_of(document).unwrap();
    assert_eq!(kind(SYFT.as_bytes()), "application/vnd.cyclonedx+json");
    assert_eq!([kind(&older), kind(&newer)], ["application/vnd.cyclonedx+json"; 2]);
    assert_eq!([kind(&spdx), kind(TAG_VALUE.as_bytes())], ["application/spdx+json", "text/spdx"]);
    assert_eq!(kind(&stored), "application/vnd.starling.sbom+json");
    assert!(crate::is_media_type(kind(&stored)) && !crate::is_media_type("application/json"));
}
