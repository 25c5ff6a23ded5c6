//! The reports of one name's images, one for each platform, as one document.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{Format, Report, csv_rows, json, junit, markdown, pretty, sarif};

/// How each image is told from the others where only a word is allowed, such as in a file's name: `linux-arm64`. Of
/// several that run on the same, the later ones have a number.
pub fn marks<'a>(platforms: impl IntoIterator<Item = Option<&'a str>>) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mark = |platform: Option<&str>| {
        let platform = platform.unwrap_or("unknown");
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') { c } else { '-' };
        let word: String = platform.chars().map(plain).collect();
        let number = seen.entry(word.clone()).or_default();
        *number += 1;
        if *number == 1 { word } else { format!("{word}-{number}") }
    };
    platforms.into_iter().map(mark).collect()
}

/// All of them in one document; `None` where the format has room for one image only.
pub fn write_all(reports: &[&Report], format: Format) -> Option<String> {
    let titles: Vec<String> = reports.iter().map(|report| title(report)).collect();
    let titled = || reports.iter().copied().zip(titles.iter().map(String::as_str)).collect::<Vec<_>>();
    Some(match format {
        Format::Json => pretty(&reports.iter().map(|report| json::document(report)).collect::<Value>()),
        Format::Jsonl => reports.iter().map(|report| json::lines(report)).collect(),
        Format::Sarif => pretty(&sarif::document(&categorised(reports, &categories(reports)))),
        Format::Junit => junit::document(&titled()),
        Format::Gitlab => return None,
        Format::Markdown => {
            let each: Vec<_> =
                titled().into_iter().map(|(report, name)| markdown::document(report, name)).collect();
            each.join("\n")
        }
        Format::Csv => csv_rows::of_several(reports),
    })
}

impl Format {
    /// Whether one document of it has room for several images.
    pub const fn holds_several(self) -> bool {
        !matches!(self, Self::Gitlab)
    }
}

fn title(report: &Report) -> String {
    let platform = report.image.platform.as_deref().unwrap_or("unknown platform");
    format!("{} ({platform})", report.image.name)
}

/// Code scanning keeps the runs of one tool apart by what stands before the last slash.
fn categories(reports: &[&Report]) -> Vec<String> {
    let marks = marks(reports.iter().map(|report| report.image.platform.as_deref()));
    let names = reports.iter().map(|report| &report.image.name).zip(marks);
    names.map(|(name, mark)| format!("{name}/{mark}/")).collect()
}

fn categorised<'a>(reports: &[&'a Report], categories: &'a [String]) -> Vec<(&'a Report, &'a str)> {
    reports.iter().copied().zip(categories.iter().map(String::as_str)).collect()
}
