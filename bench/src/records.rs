//! Real advisories, as they lie in a folder.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;

use advisory::jsonl::{self, Content};
use advisory::{Advisory, Limits, formats::osv};
use anyhow::Context as _;
use model::FeedId;

/// Those of a folder's `FEED.jsonl.zst` files that can be read, with their feeds. One said twice counts as it was said
/// last.
pub fn advisories(folder: &Path) -> anyhow::Result<Vec<(FeedId, Advisory)>> {
    let limits = Limits::default();
    let mut advisories = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|n| n.to_str()?.strip_suffix(".jsonl.zst")) else {
            continue;
        };
        let feed: FeedId = name.parse().with_context(|| format!("{name} is no name of a feed"))?;
        for line in jsonl::lines(BufReader::new(zstd::Decoder::new(File::open(&path)?)?), &limits) {
            if let Content::Record(record) = line?.content
                && let Ok((advisory, _)) = osv::parse(&record, &limits)
            {
                advisories.insert((feed.clone(), advisory.id.clone()), advisory);
            }
        }
    }
    Ok(advisories.into_iter().map(|((feed, _), advisory)| (feed, advisory)).collect())
}
