//! Debian's security tracker (security-tracker.debian.org/tracker/data/json): how each release's source package
//! stands to each vulnerability, and what Debian means to do about it.
//!
//! There is one document: of packages, of vulnerabilities, of releases. A record is the same of one package and
//! one vulnerability, without prose and without what changes with every upload.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use model::{NoFix, Problem, Severity};
use serde::{Deserialize, Serialize};
use version::Event;

use super::{Parsed, Piece, Unreadable, at_most, short, walk};
use crate::severity::of_word;
use crate::{Advisory, Affected, AffectedRange, Ecosystem, Limits, RangeKind, Targets};

/// The releases that have a number. `sid` has none.
const RELEASES: [(&str, &str); 8] = [
    ("jessie", "8"),
    ("stretch", "9"),
    ("buster", "10"),
    ("bullseye", "11"),
    ("bookworm", "12"),
    ("trixie", "13"),
    ("forky", "14"),
    ("duke", "15"),
];

/// By package, by vulnerability.
type RecordDoc = BTreeMap<String, BTreeMap<String, IssueDoc>>;

#[derive(Debug, Deserialize, Serialize)]
struct IssueDoc {
    /// By codename.
    releases: BTreeMap<String, ReleaseDoc>,
}

/// Its members are in the order of their names.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct ReleaseDoc {
    /// `0` where the release was never affected.
    #[serde(skip_serializing_if = "Option::is_none")]
    fixed_version: Option<String>,
    /// Why there will be no advisory: `ignored`, `postponed`, or nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    nodsa_reason: Option<String>,
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    urgency: Option<String>,
}

/// Takes the document apart into one record for each package and vulnerability.
pub fn split(
    document: &[u8],
    limits: &Limits,
    take: &mut dyn FnMut(Piece) -> bool,
) -> Result<(), Unreadable> {
    let not_json = |error: serde_json::Error| Unreadable::NotJson(short(&error));
    let document = walk::text(document).map_err(not_json)?;
    walk::members(document, &mut |package, issues| {
        let mut go_on = true;
        let walked = walk::members(issues, &mut |id, issue| {
            go_on = take(piece(&package, id, issue, limits));
            go_on
        });
        match walked {
            Ok(()) => go_on,
            Err(error) => take(wrong(&package, short(&error), limits)),
        }
    })
    .map_err(not_json)
}

fn piece(package: &str, id: String, issue: &str, limits: &Limits) -> Piece {
    let place = format!("{package} {id}");
    if issue.len() > limits.record_bytes || place.len() > limits.text_bytes {
        return wrong(&place, "the entry is larger than is read".to_owned(), limits);
    }
    match serde_json::from_str::<IssueDoc>(issue) {
        Ok(issue) => {
            let record: RecordDoc = BTreeMap::from([(package.to_owned(), BTreeMap::from([(id, issue)]))]);
            Piece::Record(serde_json::to_vec(&record).expect("there are only texts in it"))
        }
        Err(error) => wrong(&place, short(&error), limits),
    }
}

fn wrong(place: &str, what: String, limits: &Limits) -> Piece {
    Piece::Wrong(Problem { place: place.chars().take(limits.text_bytes).collect(), what })
}

/// Reads one record.
pub fn parse(bytes: &[u8], limits: &Limits) -> Parsed {
    at_most(limits.record_bytes, "bytes", bytes.len())?;
    let record: RecordDoc =
        serde_json::from_slice(bytes).map_err(|error| Unreadable::NotJson(short(&error)))?;
    let issues = record.into_iter().flat_map(|(package, issues)| {
        issues.into_iter().map(move |(name, issue)| (package.clone(), name, issue))
    });
    let (package, name, issue) = { issues }.next().ok_or(Unreadable::NoId)?;
    let id = format!("DEBIAN-{name}-{package}");
    if package.is_empty() || name.is_empty() || id.len() > limits.text_bytes || id.contains(char::is_control)
    {
        return Err(Unreadable::NoId);
    }
    at_most(limits.affected, "releases", issue.releases.len())?;
    let mut problems = Vec::new();
    let affected = issue.releases.iter().filter_map(|(codename, release)| {
        let what = match affected(&package, codename, release) {
            Ok(affected) => return affected,
            Err(what) => what,
        };
        problems.push(Problem { place: format!("{id} {codename}"), what });
        None
    });
    let advisory = Advisory {
        affected: affected.collect(),
        id: id.clone(),
        aliases: vec![name],
        upstream: Vec::new(),
        published: None,
        modified: None,
        withdrawn: false,
        severity: Severity::Unknown,
    };
    Ok((advisory, problems))
}

/// `None` for what has no number, and for what Debian could not find out.
fn affected(package: &str, codename: &str, release: &ReleaseDoc) -> Result<Option<Affected>, String> {
    let Some((_, number)) = RELEASES.iter().find(|(name, _)| *name == codename) else { return Ok(None) };
    let mut events = vec![Event::Introduced("0".to_owned())];
    match (release.status.as_str(), release.fixed_version.as_deref()) {
        ("undetermined", _) => return Ok(None),
        ("open", _) => {}
        ("resolved", Some("0")) => events.clear(),
        ("resolved", Some(fixed)) => events.push(Event::Fixed(fixed.to_owned())),
        ("resolved", None) => return Err("it is resolved in no version".to_owned()),
        (other, _) => {
            return Err(format!("{:?} is not a status", other.chars().take(40).collect::<String>()));
        }
    }
    let ranges = if events.is_empty() {
        Vec::new() // Never affected: whoever asks why is told so.
    } else {
        vec![AffectedRange { kind: RangeKind::Ecosystem, events }]
    };
    // Stars stand behind what was not rated by a person.
    let urgency = release.urgency.as_deref().unwrap_or_default().trim_end_matches('*');
    let ignored = release.nodsa_reason.as_deref() == Some("ignored");
    Ok(Some(Affected {
        ecosystem: Ecosystem { name: "Debian".to_owned(), release: Some((*number).to_owned()) },
        package: package.to_owned(),
        is_source: false,
        ranges,
        versions: Vec::new(),
        severity: of_word(urgency),
        no_fix: NoFix::from_word(urgency).or(ignored.then_some(NoFix::WillNotFix)),
        notice: None,
        targets: Targets::default(),
    }))
}
