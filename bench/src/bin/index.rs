//! How long an index takes to build, to bring to the next state, to pack and to open; and what it answers from a file.
//!
//! `cargo run --release -p bench --no-default-features --features finding --bin index -- ADVISORIES SBOM [COUNT]`:
//! a folder of OSV records (`*.jsonl.zst`), an SBOM in any format that is read, and how many advisories to come to, by
//! saying all of them again under other names.

#![expect(clippy::print_stdout, reason = "its output is the measurement")]

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use advisory::Advisory;
use anyhow::{Context as _, ensure};
use bench::records::advisories;
use bench::{grown, median, percentile, resident_memory, timed};
use evaluation::packed::{About, Packed, PackedFeed, ReadAt, pack};
use evaluation::{Changed, Index, evaluate};
use model::{Digest, FeedId, Sbom};

/// How often what is quick is measured.
const ROUNDS: usize = 50;

struct InFile(File);

impl ReadAt for InFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
}

fn main() -> anyhow::Result<()> {
    const USAGE: &str = "usage: index ADVISORIES SBOM [COUNT]";
    let mut given = std::env::args().skip(1);
    let folder = PathBuf::from(given.next().context(USAGE)?);
    let sbom = PathBuf::from(given.next().context(USAGE)?);
    let sbom = bom::read(&fs::read(&sbom)?).with_context(|| sbom.display().to_string())?;
    let real = advisories(&folder)?;
    let count = given.next().map_or(Ok(real.len()), |count| count.parse()).context(USAGE)?;
    let all = said_again(&real, count);
    let before = resident_memory();
    println!("| what | ms: median | 99 % |\n|---|---|---|");
    let (building, index) = timed(|| Index::build(all.iter().cloned()));
    let whole = format!("{} advisories, {} MB", index.advisories(), grown(before, resident_memory()));
    row(&format!("build: {whole}"), &[building]);
    for changes in [1, 10, 100, 1_000] {
        apply(&index, &all, changes);
    }
    let path = std::env::temp_dir().join(format!("starling-index-{}.packed", std::process::id()));
    let packed = packed(&index, &all, &sbom, &path);
    drop(fs::remove_file(&path));
    packed
}

fn packed(index: &Index, all: &[(FeedId, Advisory)], sbom: &Sbom, path: &Path) -> anyhow::Result<()> {
    let mut ids: Vec<FeedId> = all.iter().map(|(feed, _)| feed.clone()).collect();
    ids.sort();
    ids.dedup();
    let feed = |id: FeedId| PackedFeed { id, advisories: 0, unreadable: 0, newest: 0 };
    let about = About { state: Digest::of(b"bench"), feeds: ids.into_iter().map(feed).collect() };
    let (packing, done) = timed(|| -> anyhow::Result<()> {
        Ok(pack(index, &about, &mut BufWriter::new(File::create(path)?))?)
    });
    done?;
    row(&format!("pack: {:.1} MB", fs::metadata(path)?.len() as f64 / 1e6), &[packing]);
    let (verifying, verified) = timed(|| Packed::open(InFile(File::open(path)?))?.verify());
    verified?;
    row("verify all of it", &[verifying]);
    let (mut opening, mut both) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        opening.push(timed(|| Packed::open(InFile(File::open(path)?)).map(drop)).0);
        let (took, found) = timed(|| Packed::open(InFile(File::open(path)?))?.evaluate(sbom));
        ensure!(found? == evaluate(sbom, index), "the file answers something else");
        both.push(took);
    }
    row("open", &opening);
    row(&format!("open, and evaluate {} packages", sbom.components.len()), &both);
    let plain: Vec<_> = (0..ROUNDS).map(|_| timed(|| evaluate(sbom, index)).0).collect();
    row("evaluate by the index in memory", &plain);
    Ok(())
}

/// Advisories spread over all of them change, each time others.
fn apply(index: &Index, all: &[(FeedId, Advisory)], changes: usize) {
    let step = (all.len() / changes).max(1);
    let taken: Vec<_> = (0..ROUNDS)
        .map(|round| {
            let changed = all.iter().skip(round % step).step_by(step).take(changes);
            let changed: Vec<_> = changed
                .map(|(feed, advisory)| Changed {
                    feed: feed.clone(),
                    id: advisory.id.clone(),
                    now: Some(Advisory { modified: Some("later".to_owned()), ..advisory.clone() }),
                })
                .collect();
            let (took, next) = timed(|| index.apply(changed));
            assert_eq!(next.advisories(), index.advisories(), "as many as before");
            took
        })
        .collect();
    row(&format!("apply {changes} changes"), &taken);
}

fn row(what: &str, taken: &[Duration]) {
    let ms = |time: Duration| format!("{:.2}", time.as_secs_f64() * 1e3);
    println!("| {what} | {} | {} |", ms(median(taken)), ms(percentile(taken, 0.99)));
}

/// Under other names, in other packages.
fn said_again(real: &[(FeedId, Advisory)], count: usize) -> Vec<(FeedId, Advisory)> {
    let renamed = |time: usize, (feed, advisory): &(FeedId, Advisory)| {
        let mut advisory = advisory.clone();
        if time > 0 {
            let rename = |name: &mut String| name.push_str(&format!("-{time}"));
            rename(&mut advisory.id);
            advisory.aliases.iter_mut().chain(&mut advisory.upstream).for_each(rename);
            advisory.affected.iter_mut().map(|affected| &mut affected.package).for_each(rename);
        }
        (feed.clone(), advisory)
    };
    (0..).flat_map(|time| real.iter().map(move |own| renamed(time, own))).take(count).collect()
}
