//! SBOM documents of any origin, read.
//!
//! A document is hostile: it is bounded in size, lists are read entry by entry and counted, and a bad entry costs
//! itself. What a document names without a package URL cannot be matched; that is told as a problem, so that a
//! scan of it is not called complete.

mod cyclonedx;
mod foreign;
mod list;
mod spdx;
mod spdx3;
mod tag_value;

use inventory::Limits;
use model::{Component, Distro, PackageKind, Problem, Sbom};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::{MEDIA_TYPES, marks};

/// The largest document that is read, in bytes.
pub const DOCUMENT_BYTES: usize = 64 << 20;
/// How deep components may contain components.
const DEPTH: usize = 16;
/// A name, a version or a package URL longer than this is none.
const TEXT_BYTES: usize = 8 << 10;
/// Problems beyond these are only counted.
const PROBLEMS: usize = 1_000;

/// Why a document gives no SBOM at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It is too long.
    #[error("the SBOM is larger than {DOCUMENT_BYTES} bytes")]
    TooLarge,
    /// It is of a kind that is not read.
    #[error(
        "this is no SBOM that is read: CycloneDX JSON 1.2 to 1.7, SPDX 2.2 and 2.3 JSON or tag-value, \
         SPDX 3.0 JSON, or what `starling sbom -o json` writes"
    )]
    Unknown,
    /// It says what it is and is not that.
    #[error("the {format} document cannot be read: {why}")]
    Malformed {
        /// Which format it says it has.
        format: &'static str,
        /// What is wrong with it, and where.
        why: String,
    },
}

/// Reads CycloneDX JSON 1.2 to 1.7, SPDX 2.2 and 2.3 as JSON and tag-value, SPDX 3.0 JSON, and our own stored form.
pub fn read(bytes: &[u8]) -> Result<Sbom, ReadError> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    match Kind::of(bytes)? {
        Kind::CycloneDx => cyclonedx::read(bytes),
        Kind::Spdx => spdx::read(bytes),
        Kind::Spdx3 => spdx3::read(bytes),
        Kind::TagValue => tag_value::read(bytes),
        Kind::Stored => inventory::sbom::parse(bytes)
            .map_err(|error| ReadError::Malformed { format: "stored SBOM", why: error.to_string() }),
    }
}

/// What a document is called where blobs have a media type; whether it can be read, only [`read`] tells.
pub fn media_type_of(bytes: &[u8]) -> Result<&'static str, ReadError> {
    let [cyclonedx, spdx, tag_value, stored] = MEDIA_TYPES;
    Ok(match Kind::of(bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes))? {
        Kind::CycloneDx => cyclonedx,
        Kind::Spdx | Kind::Spdx3 => spdx,
        Kind::TagValue => tag_value,
        Kind::Stored => stored,
    })
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A format that is read.
enum Kind {
    CycloneDx,
    Spdx,
    Spdx3,
    TagValue,
    Stored,
}

impl Kind {
    fn of(bytes: &[u8]) -> Result<Self, ReadError> {
        if bytes.len() > DOCUMENT_BYTES {
            return Err(ReadError::TooLarge);
        }
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Ok(Self::TagValue);
        }
        match parse::<Head>("JSON", bytes)? {
            Head { bom_format: Some(format), .. } if format == "CycloneDX" => Ok(Self::CycloneDx),
            Head { spdx_version: Some(version), .. } if version.starts_with("SPDX-2.") => Ok(Self::Spdx),
            Head { graph: Some(_), .. } => Ok(Self::Spdx3),
            Head { schema_version: Some(_), components: Some(_), .. } => Ok(Self::Stored),
            _ => Err(ReadError::Unknown),
        }
    }
}

/// What tells formats apart.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "bomFormat")]
    bom_format: Option<String>,
    #[serde(rename = "spdxVersion")]
    spdx_version: Option<String>,
    #[serde(rename = "@graph")]
    graph: Option<IgnoredAny>,
    schema_version: Option<IgnoredAny>,
    components: Option<IgnoredAny>,
}

fn parse<'a, T: Deserialize<'a>>(format: &'static str, bytes: &'a [u8]) -> Result<T, ReadError> {
    serde_json::from_slice(bytes).map_err(|error| ReadError::Malformed { format, why: error.to_string() })
}

/// A package as a document tells it.
#[derive(Debug, Default)]
struct Entry {
    /// What problems call it.
    place: String,
    name: String,
    version: String,
    purl: Option<String>,
    /// Whether without a package URL it still is a package, and not a file or a container.
    is_package: bool,
    marks: Vec<(String, String)>,
    /// Where else it was seen.
    paths: Vec<String>,
}

/// An SBOM while its document is read.
struct Reading {
    /// Whether we wrote the document.
    ours: bool,
    sbom: Sbom,
    /// Problems that were too many to tell.
    untold: usize,
}

impl Reading {
    fn new(document_marks: &[(String, String)]) -> Self {
        let is_ours = |(name, value): &(String, String)| (name.as_str(), value.as_str()) == marks::VERSION;
        let problems = document_marks.iter().filter_map(|(name, value)| marks::problem(name, value));
        let ours = document_marks.iter().any(is_ours);
        let problems = if ours { problems.collect() } else { Vec::new() };
        let mut base = document_marks.iter().filter_map(|(name, value)| marks::base_layers(name, value));
        let base_layers = base.next().filter(|_| ours);
        let strangers = document_marks.iter().filter_map(|(name, value)| marks::third_party(name, value));
        let third_party = strangers.filter(|_| ours).collect();
        Self { ours, sbom: Sbom { problems, base_layers, third_party, ..Sbom::default() }, untold: 0 }
    }

    fn problem(&mut self, place: impl Into<String>, what: impl Into<String>) {
        if self.sbom.problems.len() >= PROBLEMS {
            self.untold += 1;
            return;
        }
        let place: String = place.into();
        let place = place.chars().filter(|c| !c.is_control()).take(200).collect();
        self.sbom.problems.push(Problem { place, what: what.into() });
    }

    /// The operating system that the document names; the first one counts.
    fn distro(&mut self, id: &str, version: &str, marks: &[(String, String)]) {
        let codename = marks.iter().find(|(name, _)| name == marks::CODENAME).map(|(_, value)| value.clone());
        let distro = Distro { id: id.to_owned(), version: version.to_owned(), codename };
        if self.sbom.distro.is_none() && !id.is_empty() {
            self.sbom.distro = Some(if self.ours { distro } else { foreign::distro(distro) });
        }
    }

    fn entry(&mut self, entry: Entry) {
        let place = entry.place.clone();
        match self.component(entry) {
            Ok(Some(component)) => self.sbom.components.push(component),
            Ok(None) => {}
            Err(why) => self.problem(place, why),
        }
    }

    fn component(&self, entry: Entry) -> Result<Option<Component>, String> {
        let too_long = |text: &str| text.len() > TEXT_BYTES;
        let Some(text) = &entry.purl else {
            let why = "it has no package URL, so nothing can be looked up for it".to_owned();
            return if entry.is_package { Err(why) } else { Ok(None) };
        };
        if too_long(text) || too_long(&entry.name) || too_long(&entry.version) {
            return Err("its name, version or package URL is too long".to_owned());
        }
        let purl = marks::canonical(text)?;
        let parts = inventory::purl::take_apart(text).map_err(|error| format!("{text:?} is {error}"))?;
        let kind = PackageKind::from_word(&parts.kind)
            .ok_or_else(|| format!("packages of the type {} are not matched", parts.kind))?;
        let mut component = Component {
            purl,
            kind,
            name: entry.name,
            version: entry.version,
            architecture: None,
            source: None,
            owner: None,
            locations: Vec::new(),
        };
        if self.ours {
            let mut marks = entry.marks.iter();
            marks.try_for_each(|(name, value)| marks::apply(&mut component, name, value))?;
        } else {
            foreign::fill(&mut component, &parts, &entry.marks, &entry.paths)?;
        }
        component.locations.sort();
        component.locations.dedup();
        Ok(Some(component))
    }

    fn finish(mut self) -> Sbom {
        if self.untold > 0 {
            let what = format!("{} more entries could not be read", self.untold);
            self.sbom.problems.push(Problem { place: "SBOM".to_owned(), what });
        }
        if self.sbom.distro.is_none() && !self.ours {
            self.sbom.distro = foreign::distro_of_packages(&self.sbom.components);
        }
        self.sbom.components.sort();
        self.sbom.components.dedup();
        if !self.ours {
            self.sbom.problems.sort();
            self.sbom.problems.dedup();
        }
        self.sbom
    }

    fn is_full(&self) -> bool {
        self.sbom.components.len() >= Limits::DEFAULT.components
    }
}

#[cfg(test)]
mod tests;
