//! The BOM-index in two designs on the same images: lists of numbers under GIN in PostgreSQL, and roaring bitmaps in
//! memory, by partition, built from the same rows.
//!
//! `scripts/with-servers target/release/bom_index IMAGES`, with 300 packages an image; `DATABASE_URL` is a database of
//! its own. The table is that of `store/migrations/0016`, without roles and references.

#![expect(clippy::print_stdout, reason = "its output is the measurement")]

mod bitmaps;
mod fleet;
mod lists;

use std::time::Duration;

use anyhow::Context as _;
use bench::{percentile, resident_memory, timed};
use sqlx::{Connection as _, PgConnection};

use self::bitmaps::Bitmaps;
use self::fleet::Fleet;
use self::lists::Lists;

/// How many images have what is asked for.
const HITS: [usize; 4] = [1, 100, 1_000, 33_000];
/// Queries of each kind.
const ROUNDS: usize = 300;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let images = std::env::args().nth(1).context("usage: bom_index IMAGES")?.parse()?;
    #[expect(clippy::disallowed_methods, reason = "a measurement has no configuration")]
    let url = std::env::var("DATABASE_URL").context("DATABASE_URL is not set")?;
    let mut fleet = Fleet::new(images);
    let mut lists = Lists::create(PgConnection::connect(&url).await?).await?;
    let loading = lists.load(&mut fleet).await?;
    println!(
        "{images} images, {} pairs, {} package versions; rows copied in {:.0} s, {} MB\n",
        fleet.pairs(),
        fleet.versions(),
        loading.as_secs_f64(),
        lists.size("image_component").await? >> 20
    );

    let before = resident_memory().unwrap_or_default();
    let (reading, bitmaps) = Bitmaps::build(&url).await?;
    let grown = resident_memory().unwrap_or_default().saturating_sub(before);
    let (written, bytes) = timed(|| bitmaps.serialized());
    println!(
        "bitmaps: built from PostgreSQL in {:.1} s; {} MB resident, {} MB written in {:.1} s, {:.2} B a pair\n",
        reading.as_secs_f64(),
        grown >> 20,
        bytes >> 20,
        written.as_secs_f64(),
        ratio(bytes, fleet.pairs())
    );
    let building = lists.index().await?;
    println!(
        "GIN: built in {:.0} s, {} MB; the table {} MB\n",
        building.as_secs_f64(),
        lists.size("has").await? >> 20,
        lists.size("image_component").await? >> 20
    );

    println!(
        "| images that have it | GIN, ms: p50 | p99 | bitmaps, ms: p50 | p99 | with their rows: p50 | p99 |"
    );
    println!("|---|---|---|---|---|---|---|");
    for hits in HITS {
        ask(&mut lists, &bitmaps, &fleet, hits).await?;
    }
    lists.inserts(&mut fleet).await?;
    Ok(())
}

async fn ask(lists: &mut Lists, bitmaps: &Bitmaps, fleet: &Fleet, hits: usize) -> anyhow::Result<()> {
    let asked = fleet.with_about(hits);
    if asked.is_empty() {
        println!("| {hits} | – | | | | | |");
        return Ok(());
    }
    let [mut in_lists, mut in_bitmaps, mut with_rows] = [const { Vec::new() }; 3];
    for round in 0..ROUNDS + 20 {
        let id = asked[round % asked.len()];
        let (listed, found) = lists.with(&[id]).await?;
        let (looked, numbers) = timed(|| bitmaps.with(&[id]));
        let (read, rows) = lists.rows(&numbers).await?;
        anyhow::ensure!(found == numbers.len() && found == rows, "{found}, {}, {rows}", numbers.len());
        if round >= 20 {
            in_lists.push(ms(listed));
            in_bitmaps.push(ms(looked));
            with_rows.push(ms(looked + read));
        }
    }
    let cells: Vec<String> = [in_lists, in_bitmaps, with_rows]
        .iter()
        .flat_map(|times| [percentile(times, 0.5), percentile(times, 0.99)])
        .map(|time| format!("{time:.3}"))
        .collect();
    println!("| {hits} | {} |", cells.join(" | "));
    Ok(())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn ratio(a: u64, b: u64) -> f64 {
    a as f64 / b as f64
}
