//! Findings on real images, from real feeds at two dates, against what an independent matcher and a
//! second scanner found: every triple, none more. Language packages that dpkg owns are set aside.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use advisory::formats::osv;
use advisory::jsonl::{self, Content};
use advisory::{Advisory, Ecosystem, Limits, canonical_name};
use evaluation::impact::{Change, Reach, indexed};
use evaluation::packed::{About, Packed, PackedFeed, pack};
use evaluation::{Changed, Index, evaluate};
use model::{Component, Digest, Distro, FeedId, Finding, PackageKind, Purl, Sbom, SourcePackage};

/// The feeds that the expected findings were computed from, as far as we can compare their versions.
const FEEDS: [&str; 10] = [
    "almalinux",
    "alpine-3.20-subset",
    "crates.io",
    "debian-ubuntu-changelog-derived",
    "go",
    "npm-ghsa-subset",
    "npm-nodejs-security-wg",
    "npm-retirejs",
    "pypi-pysec",
    "rubygems-rubysec",
];

const DATES: [&str; 2] = ["2026-05-31", "2026-07-31"];

/// Image, and `ID` and `VERSION_ID` of its distribution.
const IMAGES: [(&str, &str, &str); 9] = [
    ("alma9-micro-2022", "almalinux", "9.0"),
    ("alpine320-node", "alpine", "3.20.10"),
    ("debian11-web", "debian", "11"),
    ("debian12-min", "debian", "12"),
    ("java-spark", "debian", "11"),
    ("node-legacy", "debian", "12"),
    ("python-legacy", "debian", "12"),
    ("rust-distroless", "debian", "12"),
    ("whiteouts", "debian", "12"),
];

/// They hold on Windows only, by their feed's `affects`, and all images are for Linux. The expected findings were made
/// without looking at that.
const WINDOWS_ONLY: [&str; 2] = ["RUSTSEC-2023-0001", "RUSTSEC-2024-0019"];

/// Ecosystem, package, version, advisory.
type Row = [String; 4];

#[test]
fn findings_on_real_images_are_those_expected() {
    let data = Path::new("../../../shared/data");
    if !data.join("expected").is_dir() {
        return println!("skipped: the shared data are not part of the project");
    }
    let indexes = DATES.map(|date| read_index(data, date));
    let packed = indexes.each_ref().map(packed);
    for (image, id, version) in IMAGES {
        let folder = data.join("expected").join(image);
        let distro = Distro { id: id.to_owned(), version: version.to_owned(), codename: None };
        let sbom = read_sbom(&folder, distro);
        let found = indexes.each_ref().map(|index| flatten(&sbom, index));
        for (index, packed) in indexes.iter().zip(&packed) {
            let answer = packed.evaluate(&sbom).expect("it was just packed");
            assert!(answer == evaluate(&sbom, index), "{image} by a packed index");
        }
        for (date, (findings, set_aside)) in DATES.iter().zip(&found) {
            let file = folder.join(format!("vulns-at-{date}.tsv"));
            assert_same(findings, &expected(&file, false), &format!("findings in {image} at {date}"));
            assert_same(set_aside, &expected(&file, true), &format!("owned by dpkg in {image} at {date}"));
            println!("{image} at {date}: {} findings, {} set aside", findings.len(), set_aside.len());
        }
        let [(before, _), (after, _)] = &found;
        let delta = folder.join("delta-0531-0731.tsv");
        assert_same(&(after - before), &changes(&delta, "+"), &format!("new in {image}"));
        assert_same(&(before - after), &changes(&delta, "-"), &format!("gone from {image}"));
        let [before, after] = told(&sbom, &indexes);
        assert_same(&(&after - &before), &changes(&delta, "+"), &format!("told as new in {image}"));
        assert_same(&(&before - &after), &changes(&delta, "-"), &format!("told as gone from {image}"));
    }
}

/// The same advisories as a file would hold them.
fn packed(index: &Index) -> Packed<Vec<u8>> {
    let feed = |id: &str| PackedFeed {
        id: id.parse().expect("it is a feed name"),
        advisories: 0,
        unreadable: 0,
        newest: 0,
    };
    let about = About { state: Digest::of(b""), feeds: FEEDS.iter().map(|id| feed(id)).collect() };
    let mut bytes = Vec::new();
    pack(index, &about, &mut bytes).expect("it is packed");
    let packed = Packed::open(bytes).expect("it was just packed");
    packed.verify().expect("it was just packed");
    packed
}

/// Two months of changes, in pieces: after each, whatever differs on a real image was selected.
#[test]
fn real_changes_select_every_real_image_whose_result_differs() {
    let data = Path::new("../../../shared/data");
    if !data.join("expected").is_dir() {
        return println!("skipped: the shared data are not part of the project");
    }
    let sboms = IMAGES.map(|(image, id, version)| {
        let distro = Distro { id: id.to_owned(), version: version.to_owned(), codename: None };
        read_sbom(&data.join("expected").join(image), distro)
    });
    let dictionary = sboms.each_ref().map(indexed);
    let [then, now] = DATES.map(|date| read_all(data, date));
    let all: BTreeSet<_> =
        then.keys().chain(now.keys()).filter(|key| then.get(*key) != now.get(*key)).collect();
    let all: Vec<_> = all.into_iter().collect();
    let mut index = Index::build(then.iter().map(|((feed, _), advisory)| (feed.clone(), advisory.clone())));
    let mut results = sboms.each_ref().map(|sbom| evaluate(sbom, &index));
    let (mut selected, mut differing) = (0, 0);
    for piece in all.chunks(all.len() / 40 + 1) {
        let change = |key: &&(FeedId, String)| Change {
            feed: key.0.clone(),
            before: then.get(*key).cloned(),
            after: now.get(*key).cloned(),
        };
        let apply = |key: &&(FeedId, String)| Changed {
            feed: key.0.clone(),
            id: key.1.clone(),
            now: now.get(*key).cloned(),
        };
        let next = index.apply(piece.iter().map(apply));
        let reach = Reach::of(&piece.iter().map(change).collect::<Vec<_>>()).across(&index, &next);
        for ((sbom, entries), result) in sboms.iter().zip(&dictionary).zip(&mut results) {
            let touched = reach.is_everything() || entries.iter().any(|entry| reach.touches(entry));
            let after = evaluate(sbom, &next);
            assert!(touched || after == *result, "{:?} was missed in {piece:?}", sbom.distro);
            selected += usize::from(touched);
            differing += usize::from(after != *result);
            *result = after;
        }
        index = next;
    }
    println!(
        "{} changes in 40 pieces: {selected} of {} selected, {differing} differ",
        all.len(),
        40 * IMAGES.len()
    );
    assert!(differing > 0 && selected < 40 * IMAGES.len(), "{selected} selected, {differing} differ");
}

fn assert_same(found: &BTreeSet<Row>, expected: &BTreeSet<Row>, what: &str) {
    let (missing, more) = (expected - found, found - expected);
    assert!(missing.is_empty() && more.is_empty(), "{what}: missing {missing:#?}, more {more:#?}");
}

fn read_all(data: &Path, date: &str) -> BTreeMap<(FeedId, String), Advisory> {
    feeds(data, date).map(|(feed, advisory)| ((feed, advisory.id.clone()), advisory)).collect()
}

/// A feed that is not in the earlier folder was the same at both dates.
fn feeds(data: &Path, date: &str) -> impl Iterator<Item = (FeedId, Advisory)> {
    let path = |feed: &str, date: &str| data.join(format!("osv-{date}/{feed}.jsonl.zst"));
    FEEDS.iter().flat_map(move |feed| {
        let (then, later) = (path(feed, date), path(feed, DATES[1]));
        let id: FeedId = feed.parse().expect("it is a feed name");
        read_feed(if then.exists() { then } else { later }).map(move |advisory| (id.clone(), advisory))
    })
}

fn read_index(data: &Path, date: &str) -> Index {
    Index::build(feeds(data, date))
}

fn read_feed(path: PathBuf) -> impl Iterator<Item = Advisory> {
    let decoder = zstd::Decoder::new(File::open(path).expect("the feed is there")).expect("the feed is zstd");
    let limits = Limits::default();
    jsonl::lines(BufReader::new(decoder), &limits).map(move |line| {
        match line.expect("the feed is read").content {
            Content::Record(bytes) => osv::parse(&bytes, &limits).expect("it is a record").0,
            Content::TooLong => panic!("a record is too long"),
        }
    })
}

fn rows(path: &Path) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter(|line| !line.is_empty()).map(|l| l.split('\t').map(str::to_owned).collect()).collect()
}

fn read_sbom(folder: &Path, distro: Distro) -> Sbom {
    let source = |row: &[String]| Some(SourcePackage { name: row[3].clone(), version: row[1].clone() });
    let installed = |row: &Vec<String>| row.get(5).is_none_or(|status| status.trim() == "ii");
    let dpkg = rows(&folder.join("dpkg.tsv")).into_iter().filter(installed).map(|row| Component {
        architecture: Some(row[2].clone()),
        source: Some(SourcePackage { name: row[3].clone(), version: row[4].clone() }),
        ..component(PackageKind::Deb, &row, false)
    });
    let status_d = rows(&folder.join("statusd.tsv")).into_iter().map(|row| Component {
        source: source(&row).filter(|source| !source.name.is_empty()),
        ..component(PackageKind::Deb, &row, false)
    });
    let apk = rows(&folder.join("apk.tsv")).into_iter();
    let apk = apk.map(|row| Component { source: source(&row), ..component(PackageKind::Apk, &row, false) });
    let rpm = rows(&folder.join("rpm.tsv")).into_iter().map(|row| component(PackageKind::Rpm, &row, false));
    let language = |kind, file: &str| {
        let rows = rows(&folder.join(file)).into_iter();
        rows.map(move |row| component(kind, &row, row.last().is_some_and(|owned| owned == "os-owned")))
    };
    let npm = language(PackageKind::Npm, "npm.tsv");
    let python = language(PackageKind::PyPi, "python.tsv");
    let cargo = rows(&folder.join("cargo.tsv")).into_iter().filter(|row| row[3] == "runtime");
    let cargo = cargo.map(|row| component(PackageKind::Cargo, &row, false));
    let go = rows(&folder.join("gobin.tsv")).into_iter().filter(|row| row[1] != "(devel)");
    let go = go.map(|mut row| {
        row[1] = row[1].trim_start_matches("go").to_owned();
        component(PackageKind::Golang, &row, false)
    });
    let os = dpkg.chain(status_d).chain(apk).chain(rpm);
    let mut components: Vec<_> = os.chain(npm).chain(python).chain(cargo).chain(go).collect();
    components.sort();
    components.dedup();
    Sbom { distro: Some(distro), components, ..Sbom::default() }
}

fn component(kind: PackageKind, row: &[String], owned: bool) -> Component {
    let (name, version) = (row[0].clone(), row[1].clone());
    Component {
        purl: Purl::from_canonical(format!("pkg:{}/{name}@{version}", kind.as_str())),
        kind,
        name,
        version,
        architecture: None,
        source: None,
        owner: owned.then(|| Purl::from_canonical("pkg:deb/debian/owner@1".to_owned())),
        locations: vec![],
    }
}

/// Java's names are not in the ground truth of the inventory; findings about them are checked on real images.
fn is_ours(ecosystem: &str) -> bool {
    Ecosystem::parse(ecosystem).kind().is_some_and(|kind| kind != PackageKind::Maven)
}

/// Findings and what was set aside, as rows.
fn flatten(sbom: &Sbom, index: &Index) -> (BTreeSet<Row>, BTreeSet<Row>) {
    let evaluation = evaluate(sbom, index);
    let findings = evaluation.findings.iter().flat_map(|finding| rows_of(sbom, finding)).collect();
    let set_aside =
        evaluation.set_aside.iter().map(|aside| row(sbom, &aside.purl, &aside.advisory)).collect();
    (findings, set_aside)
}

/// The findings that are told to differ between the two dates, as they were and as they are.
fn told(sbom: &Sbom, indexes: &[Index; 2]) -> [BTreeSet<Row>; 2] {
    let [before, after] = indexes.each_ref().map(|index| evaluate(sbom, index).findings);
    let all = evaluation::changes(&before, &after, |_| false);
    let rows = |list: &[Finding], places: Vec<usize>| {
        places.into_iter().flat_map(|at| rows_of(sbom, &list[at])).collect()
    };
    [
        rows(&before, all.iter().filter_map(|change| change.before).collect()),
        rows(&after, all.iter().filter_map(|change| change.after).collect()),
    ]
}

fn rows_of(sbom: &Sbom, finding: &Finding) -> Vec<Row> {
    finding.advisories.iter().map(|a| row(sbom, &finding.purl, &a.advisory)).collect()
}

/// Expected findings give what was compared: canonical names, versions of source packages.
fn row(sbom: &Sbom, purl: &Purl, advisory: &str) -> Row {
    let distro = sbom.distro.as_ref().and_then(Ecosystem::of_distro).expect("it is a known distribution");
    let component = sbom.components.iter().find(|c| c.purl == *purl).expect("findings name components");
    let language = Ecosystem::of_language(component.kind);
    let name = canonical_name(component.kind, &component.name);
    let version = component.source.as_ref().map_or(&component.version, |source| &source.version);
    [language.as_ref().unwrap_or(&distro).to_string(), name, version.clone(), advisory.to_owned()]
}

fn expected(path: &Path, owned: bool) -> BTreeSet<Row> {
    assert!(path.exists(), "{} is missing", path.display());
    let rows = rows(path).into_iter().filter(|row| is_ours(&row[0]));
    let rows = rows.filter(|row| row.get(4).is_some_and(|word| word == "os-owned") == owned);
    let rows = rows.filter(|row| !WINDOWS_ONLY.contains(&row[3].as_str()));
    rows.map(|row| [row[0].clone(), row[1].clone(), row[2].clone(), row[3].clone()]).collect()
}

fn changes(path: &Path, sign: &str) -> BTreeSet<Row> {
    let rows = rows(path).into_iter().filter(|row| row[0] == sign && is_ours(&row[1]));
    rows.map(|row| [row[1].clone(), row[2].clone(), row[3].clone(), row[4].clone()]).collect()
}
