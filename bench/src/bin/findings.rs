//! How long a stored SBOM takes to become findings, and how long and large the index of the advisories is.
//!
//! `cargo run --release -p bench --no-default-features --features finding --bin findings -- ADVISORIES SBOM…`:
//! a folder of OSV records (`*.jsonl.zst`), and SBOMs in any format that is read.

#![expect(clippy::print_stdout, reason = "its output is the measurement")]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bench::records::advisories;
use bench::{grown, median, percentile, resident_memory, timed};
use evaluation::{Index, evaluate};
use model::Sbom;

/// How often each SBOM is evaluated.
const ROUNDS: usize = 200;
/// How many packages an image of usual size has.
const USUAL: usize = 300;

fn main() -> anyhow::Result<()> {
    let mut given = std::env::args().skip(1).map(PathBuf::from);
    let folder = given.next().context("usage: findings ADVISORIES SBOM...")?;
    let sboms: Vec<PathBuf> = given.collect();
    if sboms.is_empty() {
        bail!("usage: findings ADVISORIES SBOM...");
    }
    let before = resident_memory();
    let (reading, advisories) = timed(|| advisories(&folder));
    let advisories = advisories?;
    let held = resident_memory();
    let (building, index) = timed(|| Index::build(advisories));
    println!(
        "{} advisories: read and parsed in {:.1} s, indexed in {:.2} s; {} MB parsed, {} MB with the index\n",
        index.advisories(),
        reading.as_secs_f64(),
        building.as_secs_f64(),
        grown(before, held),
        grown(before, resident_memory())
    );

    println!(
        "| SBOM | packages | findings | to findings, ms: median | 99 % | from its bytes: median | 99 % |"
    );
    println!("|---|---|---|---|---|---|---|");
    let mut all = Vec::new();
    for path in &sboms {
        let bytes = fs::read(path).with_context(|| path.display().to_string())?;
        let sbom = bom::read(&bytes).with_context(|| path.display().to_string())?;
        measure(&path.file_stem().unwrap_or_default().to_string_lossy(), &sbom, &index)?;
        all.push(sbom);
    }
    if let Some(usual) = usual(&all) {
        measure("300 packages of these", &usual, &index)?;
    }
    Ok(())
}

/// An image of usual size: as many packages of each as it takes, on the distribution of the first that has one.
fn usual(all: &[Sbom]) -> Option<Sbom> {
    let with_distro = all.iter().find(|sbom| sbom.distro.is_some())?;
    let own = with_distro.components.iter();
    let others = all.iter().filter(|sbom| sbom.distro != with_distro.distro);
    let languages = others.flat_map(|sbom| &sbom.components).filter(|c| !c.kind.is_of_distro());
    let mut components: Vec<_> = own.chain(languages).take(USUAL).cloned().collect();
    components.sort();
    components.dedup();
    Some(Sbom { components, ..with_distro.clone() })
}

fn measure(name: &str, sbom: &Sbom, index: &Index) -> anyhow::Result<()> {
    let stored = inventory::sbom::document(sbom);
    let (mut plain, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        plain.push(timed(|| evaluate(sbom, index)).0);
        let (time, read) = timed(|| inventory::sbom::parse(&stored).map(|sbom| evaluate(&sbom, index)));
        read?;
        whole.push(time);
    }
    let findings = evaluate(sbom, index).findings.len();
    println!(
        "| {name} | {} | {findings} | {} | {} | {} | {} |",
        sbom.components.len(),
        milliseconds(median(&plain)),
        milliseconds(percentile(&plain, 0.99)),
        milliseconds(median(&whole)),
        milliseconds(percentile(&whole, 0.99)),
    );
    Ok(())
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1e3)
}
