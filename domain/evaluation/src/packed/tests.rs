use advisory::{Limits, formats::osv};
use model::{Component, PackageKind, Purl, Sbom};

use super::*;
use crate::{Index, evaluate, explain};

const ADVISORIES: [&str; 4] = [
    r#"{"id":"GHSA-1","aliases":["CVE-2026-0001"],"affected":[{"package":{"ecosystem":"npm","name":"a"},"versions":["7","odd one"],
        "ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"1.2"},{"introduced":"2"},{"last_affected":"3"}]}]}]}"#,
    r#"{"id":"P-1","affected":[{"package":{"ecosystem":"PyPI","name":"b"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"1"}]}]}]}"#,
    r#"{"id":"X-1","withdrawn":"2026-01-01T00:00:00Z","affected":[{"package":{"ecosystem":"Go","name":"c"}}]}"#,
    r#"{"id":"D-1","upstream":["CVE-2026-0001"],"affected":[{"package":{"ecosystem":"Debian:12","name":"a"},
        "ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"1:2-3"}]}]}]}"#,
];

fn index() -> Index {
    let parse = |json: &str| osv::parse(json.as_bytes(), &Limits::default()).unwrap().0;
    Index::build(ADVISORIES.iter().map(|json| ("f".parse().unwrap(), parse(json))))
}

fn packed_bytes() -> Vec<u8> {
    let feed = PackedFeed { id: "f".parse().unwrap(), advisories: 4, unreadable: 1, newest: 1_700_000_000 };
    let mut bytes = Vec::new();
    pack(&index(), &About { state: Digest::of(b"s"), feeds: vec![feed] }, &mut bytes).unwrap();
    bytes
}

fn sbom() -> Sbom {
    let component = |kind: PackageKind, name: &str, version: &str| Component {
        purl: Purl::from_canonical(format!("pkg:{}/{name}@{version}", kind.as_str())),
        kind,
        name: name.to_owned(),
        version: version.to_owned(),
        architecture: None,
        source: None,
        owner: None,
        locations: vec![],
    };
    let components = vec![
        component(PackageKind::Npm, "a", "2.5"),
        component(PackageKind::Npm, "z", "1"),
        component(PackageKind::PyPi, "b", "1.0"),
    ];
    Sbom { components, ..Sbom::default() }
}

/// Whoever reads this format elsewhere, or wrote it earlier, relies on these bytes.
#[test]
fn the_bytes_are_those_of_version_2() {
    let bytes = packed_bytes();
    assert_eq!(&bytes[..12], b"starling\x02\0\0\0");
    assert_eq!(Digest::of(&bytes).hex(), "f8b1850d9fd0b8bd077654f3d6b9f161f93fe3987c11d7fc2520664847fede69");
}

#[test]
fn it_answers_as_what_was_packed() {
    let packed = Packed::open(packed_bytes()).unwrap();
    let answer = packed.evaluate(&sbom()).unwrap();
    assert_eq!(answer.findings.len(), 2);
    assert_eq!(answer, evaluate(&sbom(), &index()));
    for name in ["cve-2026-0001", "X-1", "P-1", "none"] {
        assert_eq!(packed.explain(&sbom(), name).unwrap(), explain(&sbom(), &index(), name));
    }
    assert_eq!(
        (packed.advisories(), packed.ecosystems().len(), packed.about().feeds[0].unreadable),
        (4, 4, 1)
    );
}

/// Every byte is named by a digest or is one, so none can be another unnoticed.
#[test]
fn no_byte_can_be_changed_or_left_out_unnoticed() {
    let good = packed_bytes();
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 0x20;
        let read = Packed::open(bytes).and_then(|packed| packed.verify());
        assert!(read.is_err(), "byte {at} of {}", good.len());
        assert!(Packed::open(good[..at].to_vec()).is_err(), "cut after {at}");
    }
    assert!(Packed::open([&good[..], b"x"].concat()).is_err());
}

#[test]
fn what_is_wrong_is_named() {
    let said = |bytes: Vec<u8>| Packed::open(bytes).err().unwrap().to_string();
    let good = packed_bytes();
    assert_eq!(said(b"{}".to_vec()), "it is not a file of packed advisories");
    assert_eq!(said([b"STARLING", &good[8..]].concat()), "it is not a file of packed advisories");
    let older = [&good[..8], &[1], &good[9..]].concat();
    assert_eq!(said(older), "it is of version 1, and this program reads version 2");
    let mut bytes = good.clone();
    let foot = bytes.len() - 40;
    bytes[foot - 1] ^= 1;
    assert_eq!(said(bytes), "the directory is damaged: its digest is another");
    let mut bytes = good;
    bytes[20] ^= 1;
    let read = Packed::open(bytes).unwrap().verify().unwrap_err().to_string();
    assert_eq!(read, "a block of packages is damaged: its digest is another");
}

/// A block with the right digest may still hold anything.
#[test]
fn what_makes_no_sense_is_refused() {
    let refused = |value: &[u8]| {
        let read = records::entries(value, version::Scheme::Semver, &mut bytes::Budget::default());
        read.err().unwrap().to_string()
    };
    let head = [0; 7];
    let entry = |rest: &[u8]| [&head[..], rest].concat();
    for (value, why) in [
        (vec![0x80, 0], "a number is not in its shortest form"),
        (vec![0xff; 9], "a number is too large"),
        (vec![0, 2], "it has a word that is not known"),
        (vec![0, 0, 6], "it has a word that is not known"),
        (vec![0, 0, 0, 0, 4], "it has a word that is not known"),
        (entry(&[9]), "it announces more than follows"),
        (entry(&[1, 1, 0, 3, 0, 0, 0, 0]), "an interval has no end that is known"),
        (entry(&[0, 1, 1, b'_', 0]), "a version cannot be compared"),
        (entry(&[0, 1, 0, 0]), "a version is an empty text"),
        (entry(&[0, 0, 1, 1, 0xff, 0]), "a text is not UTF-8"),
        (entry(&[0, 0, 0, 2, 1, b'a', 1, b'b']), "a range is unreadable for two reasons"),
    ] {
        assert_eq!(refused(&value), format!("what is said of a package: {why}"), "{value:?}");
    }
    // An entry takes eleven bytes, and is counted as the memory that it takes.
    let mut budget = bytes::Budget(10_000);
    let held = records::entries(&[0; 800], version::Scheme::Semver, &mut budget).unwrap_err();
    assert_eq!(held.to_string(), "what is said of the image: it is more than can be held");
}
