use model::{Location, SourcePackage};

use super::*;

pub(crate) fn component(purl: &str) -> Component {
    let parts = take_apart(purl).expect("a package URL");
    let kind = kind_of(&parts).expect("a kind");
    let epoch = parts.qualifiers.get("epoch").map(|epoch| format!("{epoch}:")).unwrap_or_default();
    Component {
        purl: Purl::from_canonical(purl.to_owned()),
        kind,
        name: parts.name.clone(),
        version: format!("{epoch}{}", parts.version),
        architecture: parts.qualifiers.get("arch").cloned(),
        source: None,
        owner: None,
        locations: Vec::new(),
    }
}

pub(crate) fn sbom(distro: Option<(&str, &str)>, components: Vec<Component>) -> Sbom {
    let distro = distro.map(|(id, version)| model::Distro {
        id: id.to_owned(),
        version: version.to_owned(),
        codename: Some("bookworm".to_owned()),
    });
    Sbom { distro, components, ..Sbom::default() }
}

fn product(whole: &str, parts: &[&str]) -> Product {
    let parts: Vec<Identities> = parts.iter().map(|part| [Identity::of(part)].into()).collect();
    Product { parts: parts.into(), ..Product::of([Identity::of(whole)].into()) }
}

/// How precisely a name is that of a component, or what differs.
#[track_caller]
fn check(said: &str, found: &str, expected: Result<Precision, &str>) {
    let sbom = sbom(Some(("debian", "12")), vec![component(found)]);
    let place = Subject::new(&sbom, None, &[]).find(&product(said, &[]), false);
    let differences = || place.near.iter().flat_map(|near| &near.differences).map(ToString::to_string);
    let answer = place.components.first().map(|(_, precision)| *precision);
    let answer = answer.ok_or_else(|| differences().collect::<Vec<_>>().join("; "));
    assert_eq!(answer, expected.map_err(str::to_owned), "{said} for {found}");
}

#[test]
fn what_is_left_out_is_any_and_what_is_said_has_to_be_so() {
    use Precision::{Product, Version};
    check("pkg:npm/a", "pkg:npm/a@1.0.0", Ok(Product));
    check("pkg:npm/a@1.0.0", "pkg:npm/a@1.0.0", Ok(Version));
    check("pkg:npm/a@1.0.1", "pkg:npm/a@1.0.0", Err("version 1.0.1 is 1.0.0 here"));
    check("pkg:pypi/a@1.0", "pkg:pypi/a@1.0.0", Ok(Version));
    check("pkg:golang/stdlib@v1.20.3", "pkg:golang/stdlib@1.20.3", Ok(Version));
    check("pkg:golang/github.com/x/a@v1.0.0", "pkg:golang/github.com/y/a@v1.0.0", Err(""));
    check("pkg:npm/jsonstream", "pkg:npm/JSONStream@1.0.0", Err("name jsonstream is JSONStream here"));
    check("pkg:maven/g/a@1?type=jar", "pkg:maven/g/a@1", Ok(Version));
    check("pkg:maven/g/a@1?type=war", "pkg:maven/g/a@1", Err("type war is none here"));
    check("pkg:gem/a@1?platform=java", "pkg:gem/a@1?platform=ruby", Err("platform java is ruby here"));
}

#[test]
fn distributions_are_known_by_their_other_names() {
    let deb = "pkg:deb/debian/a@1:2-1?arch=amd64&distro=debian-12";
    check("pkg:deb/debian/a@1:2-1?distro=debian-12", deb, Ok(Precision::Version));
    check("pkg:deb/debian/a@1:2-1?distro=bookworm", deb, Ok(Precision::Version));
    check("pkg:deb/debian/a@1:2-1?distro=debian-bookworm", deb, Ok(Precision::Version));
    check("pkg:deb/debian/a?distro=debian-12.13", deb, Err("distro debian-12.13 is debian-12 here"));
    check("pkg:deb/debian/a?arch=arm64", deb, Err("arch arm64 is amd64 here"));
    check("pkg:deb/ubuntu/a", deb, Err("namespace ubuntu is debian here"));
    let point = "pkg:deb/debian/a@1?distro=debian-12.13";
    check("pkg:deb/debian/a?distro=debian-12", point, Ok(Precision::Product));
    check("pkg:deb/debian/a?distro=debian-1", point, Err("distro debian-1 is debian-12.13 here"));
    let rpm = "pkg:rpm/rhel/a@2-1.el9?arch=x86_64&epoch=1";
    check("pkg:rpm/redhat/a@2-1.el9?arch=x86_64&epoch=1", rpm, Ok(Precision::Version));
    check("pkg:rpm/redhat/a@2-1.el9", rpm, Err("version 2-1.el9 is 1:2-1.el9 here"));
    check("pkg:rpm/suse/a", "pkg:rpm/sles/a@1-1", Ok(Precision::Product));
}

#[test]
fn a_source_package_is_what_was_built_from_it() {
    let mut built = component("pkg:deb/debian/libssl3@3.0.1-1+b1?arch=amd64");
    built.source = Some(SourcePackage { name: "openssl".to_owned(), version: "3.0.1-1".to_owned() });
    let sbom = sbom(Some(("debian", "12")), vec![built]);
    let find = |said: &str| Subject::new(&sbom, None, &[]).find(&product(said, &[]), false).components;
    assert_eq!(find("pkg:deb/debian/openssl@3.0.1-1?arch=source"), [(0, Precision::Version)]);
    assert_eq!(find("pkg:deb/debian/openssl?arch=source"), [(0, Precision::Product)]);
    assert_eq!(find("pkg:deb/debian/openssl"), []);
}

/// In an image, what a product is of a library that is in two executables.
fn place(whole: &str, parts: &[&str], names: &[&str]) -> Place {
    let at =
        |paths: &[&str]| paths.iter().map(|path| Location { layer: 0, path: (*path).to_owned() }).collect();
    let app = Component { locations: at(&["usr/bin/app"]), ..component("pkg:golang/example.com/app@v1.0.0") };
    let both =
        Component { locations: at(&["usr/bin/app", "usr/bin/b"]), ..component("pkg:golang/stdlib@1.20.3") };
    let own = Component { locations: at(&["usr/bin/app"]), ..component("pkg:golang/example.com/own@v1.0.0") };
    let sbom = sbom(Some(("rhel", "9.4")), vec![app, both, own]);
    let digest = Digest::of(b"image");
    Subject::new(&sbom, Some(&digest), names).find(&product(whole, parts), false)
}

#[test]
fn an_image_is_known_by_its_digest_its_repository_or_its_distribution() {
    let own = Digest::of(b"image").to_string().replace(':', "%3A");
    let hub = &["index.docker.io/library/app:1"][..];
    let all = |whole: &str| place(whole, &[], hub).all;
    assert_eq!(all(&format!("pkg:oci/app@{own}")), Some(Precision::Version));
    assert_eq!(all(Digest::of(b"image").as_str()), Some(Precision::Version));
    assert_eq!(all("pkg:oci/app"), Some(Precision::Family));
    assert_eq!(all("pkg:oci/app?repository_url=docker.io/library/app"), Some(Precision::Product));
    assert_eq!(all("pkg:docker/library/app"), Some(Precision::Product));
    assert_eq!(all("app"), Some(Precision::Product));
    assert_eq!(all("pkg:oci/other"), None);
    assert_eq!(all("cpe:/o:redhat:enterprise_linux:9::baseos"), Some(Precision::Product));
    assert_eq!(all("cpe:2.3:o:redhat:enterprise_linux:9.4:*:*:*:*:*:*:*"), Some(Precision::Product));
    assert_eq!(all("cpe:/o:debian:debian_linux:9"), None);
    let near = |whole: &str| {
        let near = place(whole, &[], hub).near;
        near.iter().flat_map(|near| &near.differences).map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(near("cpe:/o:redhat:enterprise_linux:8"), ["version 8 is 9.4 here"]);
    let other = "pkg:oci/app?repository_url=ghcr.io/x/app";
    assert_eq!(near(other), ["repository ghcr.io/x/app is docker.io/library/app here"]);
    let (said, found) = (Digest::of(b""), Digest::of(b"image"));
    let other = format!("pkg:oci/app@{said}?repository_url=docker.io/library/app");
    assert_eq!(near(&other), [format!("digest {said} is {found} here")]);
}

#[test]
fn a_part_is_as_precise_as_both_names_together() {
    let own = Digest::of(b"image").to_string().replace(':', "%3A");
    let part = |whole: &str, part: &str| place(whole, &[part], &["app"]).components;
    let exact = format!("pkg:oci/app@{own}");
    assert_eq!(part(&exact, "pkg:golang/stdlib@1.20.3"), [(1, Precision::Exact)]);
    assert_eq!(part(&exact, "pkg:golang/stdlib"), [(1, Precision::Version)]);
    assert_eq!(part("pkg:oci/app", "pkg:golang/stdlib@1.20.3"), [(1, Precision::Product)]);
    assert_eq!(part("pkg:oci/app", "pkg:golang/stdlib"), [(1, Precision::Family)]);
    assert_eq!(part("app", "pkg:golang/stdlib@1.20.3"), [(1, Precision::Version)]);
    assert_eq!(part("pkg:oci/b", "pkg:golang/stdlib"), []);
}

#[test]
fn a_part_of_a_component_is_not_meant_where_it_is_elsewhere() {
    let app = "pkg:golang/example.com/app";
    assert_eq!(place(app, &["pkg:golang/example.com/own"], &[]).components, [(2, Precision::Product)]);
    let shared = place(app, &["pkg:golang/stdlib"], &[]);
    assert_eq!((shared.components, shared.elsewhere), (vec![], vec![1]));
    assert_eq!(place("pkg:golang/example.com/b", &["pkg:golang/stdlib"], &[]).elsewhere, [0; 0]);
}

#[test]
fn repositories_have_one_spelling() {
    for (text, expected) in [
        ("debian", "docker.io/library/debian"),
        ("debian:12@sha256:00", "docker.io/library/debian"),
        ("docker.io/debian", "docker.io/library/debian"),
        ("index.docker.io/a/b:1", "docker.io/a/b"),
        ("a/b", "docker.io/a/b"),
        ("https://ghcr.io/a/b/", "ghcr.io/a/b"),
        ("localhost:5000/a:1", "localhost:5000/a"),
        ("localhost/a", "localhost/a"),
    ] {
        assert_eq!(image::repository(text), expected, "{text}");
        assert_eq!(image::repository(expected), expected, "one that is given stays as it is");
    }
}
