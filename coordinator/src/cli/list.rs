//! What all listings share: the format, the limit, and paging through the server's pages.

use std::io;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::failure::Failure;
use super::json::{SCHEMA_VERSION, value};
use super::screen::Screen;
use super::table::Rows;
use super::words::count;

/// How data is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Format {
    /// A table for people.
    #[default]
    Table,
    /// One JSON object.
    Json,
    /// One JSON object a line.
    Jsonl,
}

/// `-o FORMAT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub(super) struct Output {
    /// Format of the data
    #[arg(short = 'o', long = "output", value_name = "FORMAT", default_value = "table", value_enum)]
    pub format: Format,
}

/// `--limit N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub(super) struct Limit {
    /// How many to show at most; 0 for all
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: usize,
}

/// Items of several pages, and whether there are more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Gathered<T> {
    /// The items.
    pub items: Vec<T>,
    /// Whether the server has more.
    pub more: bool,
}

/// The largest page the server gives.
const PAGE_MAX: usize = 1000;

/// Asks for pages until there are enough items or no more pages. `fetch` is handed a page's size and token.
pub(super) async fn gather<T>(
    limit: usize,
    mut fetch: impl AsyncFnMut(i32, String) -> Result<(Vec<T>, String), Failure>,
) -> Result<Gathered<T>, Failure> {
    let mut items = Vec::new();
    let mut token = String::new();
    loop {
        let wanted = if limit == 0 { PAGE_MAX } else { (limit - items.len()).min(PAGE_MAX) };
        let (page, next) = fetch(i32::try_from(wanted).expect("a page is small"), token).await?;
        items.extend(page);
        let enough = limit != 0 && items.len() >= limit;
        if next.is_empty() || enough {
            return Ok(Gathered { items, more: !next.is_empty() });
        }
        token = next;
    }
}

/// Writes a listing. `name` is the full name of the message that the items are.
pub(super) fn show<M: prost::Message>(
    screen: &mut Screen,
    format: Format,
    name: &str,
    found: &Gathered<M>,
    rows: impl FnOnce(&Screen, &[M]) -> Rows,
) -> Result<(), Failure> {
    match format {
        Format::Table => rows(screen, &found.items).show(screen)?,
        Format::Json => {
            let items: Vec<Value> = found.items.iter().map(|item| value(name, item)).collect();
            screen.data(pretty(
                &json!({ "schema_version": SCHEMA_VERSION, "items": items, "more": found.more }),
            )?)?;
        }
        Format::Jsonl => found.items.iter().try_for_each(|item| screen.data(value(name, item)))?,
    }
    if found.more {
        screen.say(format!(
            "only the first {} are shown: there are more, see --limit",
            count_items(found.items.len())
        ));
    }
    Ok(())
}

/// Writes one thing: as JSON, or as people read it.
pub(super) fn show_one<M: prost::Message>(
    screen: &mut Screen,
    format: Format,
    name: &str,
    item: &M,
    people: impl FnOnce(&mut Screen, &M) -> Result<(), Failure>,
) -> Result<(), Failure> {
    match format {
        Format::Table => people(screen, item),
        Format::Json => screen.data(pretty(&value(name, item))?),
        Format::Jsonl => screen.data(value(name, item)),
    }
}

/// JSON for people who read JSON.
pub(super) fn pretty(json: &Value) -> Result<String, Failure> {
    serde_json::to_string_pretty(json).map_err(|error| io::Error::from(error).into())
}

/// A list of names and values, one a line, the values under each other.
pub(super) fn show_pairs(screen: &mut Screen, pairs: &[(&str, String)]) -> Result<(), Failure> {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    pairs.iter().try_for_each(|(name, value)| screen.data(format!("{name:width$}  {value}")))
}

fn count_items(number: usize) -> String {
    count(number as u64, "item")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages of the numbers below 2500.
    async fn numbers(limit: usize) -> (Gathered<usize>, Vec<i32>) {
        let mut sizes = Vec::new();
        let found = gather(limit, async |size, token| {
            sizes.push(size);
            let from: usize = token.parse().unwrap_or(0);
            let to = (from + usize::try_from(size).unwrap()).min(2500);
            let next = if to == 2500 { String::new() } else { to.to_string() };
            Ok(((from..to).collect(), next))
        });
        let found = found.await.unwrap();
        (found, sizes)
    }

    #[tokio::test]
    async fn pages_are_asked_for_until_there_is_enough() {
        let (found, sizes) = numbers(1200).await;
        assert_eq!((found.items.len(), found.more, sizes), (1200, true, vec![1000, 200]));
        let (found, sizes) = numbers(0).await;
        assert_eq!((found.items.len(), found.more, sizes.len()), (2500, false, 3));
    }
}
