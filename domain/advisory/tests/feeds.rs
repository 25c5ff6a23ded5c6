//! Every record of the real feeds is read, and nothing of them is lost but what is known to be.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::Path;

use advisory::formats::{self, Piece, osv};
use advisory::jsonl::{self, Content};
use advisory::{Advisory, Affected, Limits};
use model::{NoFix, Problem, Severity};
use version::Event;

fn read_feed(path: &Path) -> Vec<(Advisory, Vec<Problem>)> {
    let decoder = zstd::Decoder::new(File::open(path).expect("the feed is there")).expect("the feed is zstd");
    let limits = Limits::default();
    let lines = jsonl::lines(BufReader::new(decoder), &limits);
    let records = lines.map(|line| match line.expect("the feed is read").content {
        Content::Record(bytes) => osv::parse(&bytes, &limits).expect("it is a record"),
        Content::TooLong => panic!("a record of {} is too long", path.display()),
    });
    records.collect()
}

#[test]
fn real_feeds_are_read_without_loss() {
    let folder = Path::new("../../../shared/data/osv-2026-07-31");
    let Ok(files) = std::fs::read_dir(folder) else {
        return println!("skipped: the shared data are not part of the project");
    };
    let records: Vec<_> =
        files.flat_map(|file| read_feed(&file.expect("the folder is read").path())).collect();
    assert_eq!(records.len(), 37_829);

    let mut problems: BTreeMap<&str, usize> = BTreeMap::new();
    for problem in records.iter().flat_map(|(_, problems)| problems) {
        *problems.entry(&problem.what).or_default() += 1;
    }
    let expected = [
        // x_NSWG-ECO-504 rates integrity `U`, which CVSS does not know.
        ("a CVSS_V3 vector is wrong: Vector string contains an unknown metric", 1),
        ("a range of git commits is not compared with versions", 1379),
    ];
    assert_eq!(problems, BTreeMap::from(expected));

    let advisories: Vec<_> = records.iter().map(|(advisory, _)| advisory).collect();
    assert_eq!(advisories.iter().filter(|a| a.withdrawn).count(), 50);
    let rated = |a: &&&Advisory| {
        a.severity != Severity::Unknown || a.affected.iter().any(|affected| affected.severity.is_some())
    };
    let by_id = |id: &str| advisories.iter().find(|a| a.id == id).map(|a| a.severity);
    assert_eq!(by_id("GHSA-29mw-wpgm-hmr9"), Some(Severity::Medium));
    println!("{} of {} records say how bad it is", advisories.iter().filter(rated).count(), advisories.len());
}

#[test]
fn a_real_security_database_is_read_without_loss() {
    let Some(bytes) = archived("../../../shared/data/native/alpine-secdb.tar.zst", "main.json") else {
        return println!("skipped: the shared data are not part of the project");
    };
    let format = formats::by_word("secdb").expect("it is in the table");
    let limits = Limits::default();
    let mut advisories = Vec::new();
    let whole = format.split(bytes, &limits, &mut |piece| {
        let Piece::Record(record) = piece else { panic!("{piece:?}") };
        advisories.push((format.parse)(&record, &limits).expect("it is a record").0);
        true
    });
    assert_eq!((whole, advisories.len()), (Ok(()), 121));
}

/// The first file of an archive whose path ends so.
fn archived(archive: &str, name: &str) -> Option<Vec<u8>> {
    let mut tar = tar::Archive::new(zstd::Decoder::new(File::open(archive).ok()?).expect("it is zstd"));
    tar.entries().expect("it is an archive").find_map(|entry| {
        let mut entry = entry.expect("the archive is whole");
        let found = entry.path_bytes().ends_with(name.as_bytes());
        let mut bytes = Vec::new();
        found.then(|| entry.read_to_end(&mut bytes).map(|_| bytes).expect("the archive is whole"))
    })
}

#[test]
fn real_red_hat_documents_are_read() {
    let archive = "../../../shared/data/vex/csaf-vex-redhat-claircore.tar.zst";
    let format = formats::by_word("csaf-vex").expect("it is in the table");
    let read = |name: &str| {
        let bytes = archived(archive, name)?;
        Some((format.parse)(&bytes, &Limits::default()).expect("it is a document"))
    };
    let Some((advisory, problems)) = read("cve-2023-38545.json") else {
        return println!("skipped: the shared data are not part of the project");
    };
    assert_eq!((advisory.id.as_str(), advisory.severity), ("CVE-2023-38545", Severity::High));
    assert_eq!(problems, []);
    let curl = advisory.affected.iter().find(|a| a.package == "libcurl").expect("it is fixed");
    let fixed: Vec<_> = curl.ranges.iter().filter_map(|range| range.events.last()).collect();
    let version = |text: &str| Event::Fixed(text.to_owned());
    assert_eq!(fixed, [&version("7.76.1-23.el9_2.4"), &version("7.76.1-26.el9_3.2")]);
    assert_eq!((curl.ecosystem.to_string().as_str(), advisory.affected.len()), ("Red Hat:9", 10));

    let (advisory, problems) = read("cve-2022-38752.json").expect("it is there");
    let said = |a: &Affected| (a.ecosystem.to_string(), a.package.clone(), a.is_source, a.no_fix);
    let expected = ("Red Hat:7".to_owned(), "snakeyaml".to_owned(), true, Some(NoFix::EndOfLife));
    assert_eq!((advisory.affected.iter().map(said).collect::<Vec<_>>(), problems), (vec![expected], vec![]));

    let (advisory, problems) = read("cve-2024-24786-illegal-module.json").expect("it is there");
    assert_eq!((advisory.affected, problems.len()), (vec![], 1));
    let (advisory, _) = read("delete_CVE-2023-0030.json").expect("it is there");
    assert!(advisory.withdrawn);
}
