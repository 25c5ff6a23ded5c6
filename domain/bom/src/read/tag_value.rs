//! SPDX 2.2 and 2.3 as tag-value: lines of `Tag: value`; a value in `<text>` may go over several lines.

use model::Sbom;

use super::spdx::{Told, put};
use super::{ReadError, Reading};

const FORMAT: &str = "SPDX tag-value";

/// The package whose lines are read.
#[derive(Default)]
struct Package {
    line: usize,
    name: String,
    version: String,
    purpose: Option<String>,
    purl: Option<String>,
}

pub(super) fn read(bytes: &[u8]) -> Result<Sbom, ReadError> {
    let text = std::str::from_utf8(bytes).map_err(|_| ReadError::Unknown)?;
    let mut tags = Tags { lines: text.lines().enumerate() };
    match tags.next() {
        Some((_, "SPDXVersion", version)) if version.starts_with("SPDX-2.") => {}
        _ => return Err(ReadError::Unknown),
    }
    // Tag-value has no annotations of ours: we do not write it.
    let mut reading = Reading::new(&[]);
    let mut package: Option<Package> = None;
    for (line, tag, value) in tags {
        if tag == "PackageName" {
            end(
                package.replace(Package { line, name: value.to_owned(), ..Package::default() }),
                &mut reading,
            );
            if reading.is_full() {
                return Err(ReadError::Malformed {
                    format: FORMAT,
                    why: "it has too many packages".to_owned(),
                });
            }
        }
        let Some(package) = &mut package else { continue };
        match tag {
            "PackageVersion" => value.clone_into(&mut package.version),
            "PrimaryPackagePurpose" => package.purpose = Some(value.to_owned()),
            "ExternalRef" => package.purl = package.purl.take().or_else(|| purl(value)),
            _ => {}
        }
    }
    end(package, &mut reading);
    Ok(reading.finish())
}

/// `PACKAGE-MANAGER purl pkg:…`
fn purl(value: &str) -> Option<String> {
    let mut words = value.split_whitespace().skip(1);
    (words.next() == Some("purl")).then(|| words.next().map(str::to_owned)).flatten()
}

fn end(package: Option<Package>, reading: &mut Reading) {
    let Some(Package { line, name, version, purpose, purl }) = package else { return };
    let place = format!("line {line}");
    put(Told { place: &place, name, version, purpose: purpose.as_deref(), purl }, Vec::new(), reading);
}

/// Tags with the numbers of their lines; the inside of a text over several lines is passed over.
struct Tags<'a> {
    lines: std::iter::Enumerate<std::str::Lines<'a>>,
}

impl<'a> Iterator for Tags<'a> {
    type Item = (usize, &'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (number, line) = self.lines.next()?;
            let Some((tag, value)) = line.split_once(':') else { continue };
            if line.starts_with('#') {
                continue;
            }
            if value.contains("<text>") && !value.contains("</text>") {
                self.lines.find(|(_, line)| line.contains("</text>"));
            }
            return Some((number + 1, tag.trim(), value.trim()));
        }
    }
}
