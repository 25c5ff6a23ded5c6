//! Every record of the real feeds is read, and nothing of them is lost but what is known to be.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use advisory::formats::osv;
use advisory::jsonl::{self, Content};
use advisory::{Advisory, Limits};
use model::{Problem, Severity};

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
