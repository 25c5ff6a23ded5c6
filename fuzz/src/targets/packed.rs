//! A packed index whose digests are right, whatever stands in its blocks and its directory: with wrong ones nothing of it
//! would be read.
//!
//! An input is four lengths (u16), a block for each section, and the directory as far as it tells no blocks.

use advisory::Limits;
use advisory::formats::osv;
use evaluation::packed::{About, Packed, PackedFeed, pack};
use evaluation::{Index, evaluate};
use model::{Component, Digest, Distro, PackageKind, Purl, Sbom};

const HEAD: &[u8] = b"starling\x01\0\0\0";
const SECTIONS: usize = 4;
const ADVISORIES: [&str; 3] = [
    r#"{"id":"GHSA-1","aliases":["CVE-2026-0001"],"affected":[{"package":{"ecosystem":"npm","name":"a"},"versions":["7","odd one"],
        "ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"1.2"},{"introduced":"2"},{"last_affected":"3"}]}]}]}"#,
    r#"{"id":"X-1","withdrawn":"2026-01-01T00:00:00Z","affected":[{"package":{"ecosystem":"PyPI","name":"c"}}]}"#,
    r#"{"id":"D-1","upstream":["CVE-2026-0001"],"affected":[{"package":{"ecosystem":"Debian:12","name":"a"},
        "ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"1:2-3"}]}]}]}"#,
];

/// A small index, and nothing at all.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let parse = |json: &str| osv::parse(json.as_bytes(), &Limits::default()).expect("it is a record").0;
    let index = Index::build(ADVISORIES.iter().map(|json| ("f".parse().expect("a name"), parse(json))));
    let small = file(&index);
    let answer = Packed::open(small.clone()).and_then(|packed| packed.evaluate(&sbom()));
    assert_eq!(answer.expect("it was just packed"), evaluate(&sbom(), &index));
    [small, file(&Index::default())].iter().map(|file| taken_apart(file)).collect()
}

/// Every answer comes within bounds, and is one or an error.
pub(super) fn run(input: &[u8]) {
    let Some(file) = assembled(input) else { return };
    let Ok(packed) = Packed::open(file) else { return };
    drop(packed.verify());
    let (found, explained) = (packed.evaluate(&sbom()), packed.explain(&sbom(), "cve-2026-0001"));
    if let (Ok(found), Ok(explained)) = (found, explained) {
        assert_eq!(found, explained.evaluation, "one file, two answers");
    }
}

fn file(index: &Index) -> Vec<u8> {
    let feed = PackedFeed { id: "f".parse().expect("a name"), advisories: 3, unreadable: 0, newest: 7 };
    let mut file = Vec::new();
    let about = About { state: Digest::of(b"s"), feeds: vec![feed] };
    pack(index, &about, &mut file).expect("it is small");
    file
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
        component(PackageKind::Deb, "a", "1:1-1"),
        component(PackageKind::Npm, "a", "2.5"),
        component(PackageKind::PyPi, "c", "1.0"),
    ];
    let distro = Some(Distro { id: "debian".to_owned(), version: "12".to_owned(), codename: None });
    Sbom { distro, components, ..Sbom::default() }
}

/// A file with right digests of an input's parts.
fn assembled(input: &[u8]) -> Option<Vec<u8>> {
    let (lengths, mut rest) = input.split_at_checked(2 * SECTIONS)?;
    let (mut file, mut told) = (HEAD.to_vec(), Vec::new());
    for length in lengths.chunks_exact(2) {
        let (block, after) =
            rest.split_at_checked(usize::from(u16::from_be_bytes([length[0], length[1]])))?;
        rest = after;
        file.extend(block);
        told.push(u8::from(!block.is_empty()));
        if !block.is_empty() {
            let mut at = Reader(block);
            let first = at.bytes().unwrap_or_default();
            put_number(&mut told, first.len());
            told.extend(first);
            put_number(&mut told, block.len());
            told.extend(Digest::of(block).to_sha256());
        }
    }
    let directory = [rest, &told].concat();
    file.extend(&directory);
    file.extend((directory.len() as u64).to_le_bytes());
    file.extend(Digest::of(&directory).to_sha256());
    Some(file)
}

/// The parts of a file with at most one block in each section.
fn taken_apart(file: &[u8]) -> Vec<u8> {
    const FOOT: usize = 40;
    let (before, foot) = file.split_at(file.len() - FOOT);
    let length = foot.first_chunk().map_or(0, |length| u64::from_le_bytes(*length));
    let (blocks, directory) = before.split_at(before.len() - usize::try_from(length).expect("it is small"));
    let (mut lengths, head) = told(directory).expect("it was just packed");
    lengths.extend(&blocks[HEAD.len()..]);
    lengths.extend(head);
    lengths
}

/// The lengths of the blocks that a directory tells, and what stands before them.
fn told(directory: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut at = Reader(directory.get(32..)?);
    at.number()?;
    for _ in 0..at.number()? {
        at.bytes()?;
        (0..3).try_for_each(|_| at.number().map(drop))?;
    }
    for _ in 0..at.number()? {
        at.bytes()?;
        at.number()?;
        at.bytes()?;
    }
    let head = &directory[..directory.len() - at.0.len()];
    let mut lengths = Vec::new();
    for _ in 0..SECTIONS {
        let mut length = 0;
        for _ in 0..at.number()? {
            at.bytes()?;
            length = u16::try_from(at.number()?).ok()?;
            at.0 = at.0.get(32..)?;
        }
        lengths.extend(length.to_be_bytes());
    }
    Some((lengths, head))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn number(&mut self) -> Option<usize> {
        let mut number = 0;
        for shift in (0..28).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let (own, rest) = self.number().and_then(|length| self.0.split_at_checked(length))?;
        self.0 = rest;
        Some(own)
    }
}

fn put_number(bytes: &mut Vec<u8>, mut number: usize) {
    while number > 0x7f {
        bytes.push((number & 0x7f).to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}
