//! OSV, schema versions 1.x (ossf.github.io/osv-schema), read leniently.
//!
//! Fields and ecosystems we do not know are passed over. A record is first read as a whole, which is
//! fast; only if that fails is it read field by field and entry by entry, to lose as little as possible.
//! Prose is not kept: what is not needed to match and to explain stays in the feed's own document.

mod document;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use model::{NoFix, Notice, Problem, Severity};
use version::Event;

use self::document::{AffectedDoc, AffectsDoc, EventDoc, RangeDoc, RecordDoc, SeverityDoc};
use super::{Parsed, Unreadable, at_most};
use crate::severity::{of_vector, of_word};
use crate::{Advisory, Affected, AffectedRange, Ecosystem, Limits, RangeKind, Targets, canonical_name};

/// Whose records say what is a notice, and on which systems it holds (rustsec/advisory-db, `affects`).
const RUST: &str = "crates.io";
/// More systems or processors than Rust knows.
const TARGETS_MAX: usize = 100;

/// Reads one OSV record.
pub fn parse(bytes: &[u8], limits: &Limits) -> Parsed {
    at_most(limits.record_bytes, "bytes", bytes.len())?;
    let (record, problems) = document::read(bytes)?;
    let id = record.id.trim().to_owned();
    if id.is_empty() || id.len() > limits.text_bytes || id.contains(char::is_control) {
        return Err(Unreadable::NoId);
    }
    at_most(limits.names, "aliases", record.aliases.len() + record.upstream.len())?;
    at_most(limits.affected, "affected entries", record.affected.len())?;
    Ok(Reader { limits, problems }.advisory(id, record))
}

struct Reader<'a> {
    limits: &'a Limits,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn advisory(mut self, id: String, record: RecordDoc) -> (Advisory, Vec<Problem>) {
        let severity = self.severity("severity", &record.severity, &[&record.database_specific.severity]);
        let entries = (0_usize..).zip(record.affected);
        let affected =
            entries.filter_map(|(at, entry)| self.affected(&format!("affected[{at}]"), entry)).collect();
        let advisory = Advisory {
            aliases: self.names(record.aliases),
            upstream: self.names(record.upstream),
            published: record.published.filter(|text| text.len() <= self.limits.text_bytes),
            modified: record.modified.filter(|text| text.len() <= self.limits.text_bytes),
            withdrawn: record.withdrawn.is_some_and(|text| !text.is_empty()),
            severity: severity.unwrap_or(Severity::Unknown),
            affected,
            id,
        };
        for problem in &mut self.problems {
            problem.place = format!("{} {}", advisory.id, problem.place);
        }
        (advisory, self.problems)
    }

    fn names(&self, mut names: Vec<String>) -> Vec<String> {
        names.retain(|name| !name.is_empty() && name.len() <= self.limits.text_bytes);
        names.sort();
        names.dedup();
        names
    }

    fn problem(&mut self, place: &str, what: impl Into<String>) {
        self.problems.push(Problem { place: place.to_owned(), what: what.into() });
    }

    /// One entry; `None` when it cannot be told which package it means, or when it is too much.
    fn affected(&mut self, place: &str, entry: AffectedDoc) -> Option<Affected> {
        let Some(package) = entry.package.filter(|p| !p.name.is_empty() && !p.ecosystem.is_empty()) else {
            // Records about git repositories name none; and what could not be read is a problem already.
            if entry.ranges.iter().any(|range| range.kind != "GIT") {
                self.problem(place, "the entry names no package");
            }
            return None;
        };
        let texts = [&package.name, &package.ecosystem].into_iter().chain(&entry.versions);
        if texts.into_iter().any(|text| text.len() > self.limits.text_bytes)
            || entry.ranges.len() > self.limits.ranges
            || entry.versions.len() > self.limits.versions
        {
            self.problem(place, "the entry is larger than is read");
            return None;
        }
        let words = [
            &entry.ecosystem_specific.severity,
            &entry.ecosystem_specific.urgency,
            &entry.database_specific.severity,
        ];
        // Debian's word on what it does about it: https://security-team.debian.org/security_tracker.html
        let no_fix = entry.ecosystem_specific.urgency.as_deref().and_then(NoFix::from_word);
        let (mut notice, mut targets) = (None, Targets::default());
        if package.ecosystem == RUST {
            notice = entry.database_specific.informational.as_deref().and_then(Notice::from_word);
            targets = self.targets(place, entry.ecosystem_specific.affects);
        }
        let severity = match no_fix {
            Some(NoFix::Unimportant) => Some(Severity::None),
            _ => self.severity(place, &entry.severity, &words),
        };
        let ecosystem = Ecosystem::parse(&package.ecosystem);
        let package =
            ecosystem.kind().map_or(package.name.clone(), |kind| canonical_name(kind, &package.name));
        let ranges =
            (0..).zip(entry.ranges).filter_map(|(at, range): (usize, _)| self.range(place, at, range));
        Some(Affected {
            ecosystem,
            package,
            is_source: false,
            ranges: ranges.collect(),
            versions: entry.versions,
            severity,
            no_fix,
            notice,
            targets,
        })
    }

    /// Too many of them, or too long ones, and it is not known where it does not hold.
    fn targets(&mut self, place: &str, said: AffectsDoc) -> Targets {
        let AffectsDoc { os, arch } = said;
        let fits = |words: &Vec<String>| {
            words.len() <= TARGETS_MAX && words.iter().all(|word| word.len() <= self.limits.text_bytes)
        };
        if !fits(&os) || !fits(&arch) {
            self.problem(place, "it names more systems or processors than are read");
            return Targets::default();
        }
        let sorted = |words: Vec<String>| words.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        Targets { systems: sorted(os), processors: sorted(arch) }
    }

    fn range(&mut self, entry: &str, at: usize, range: RangeDoc) -> Option<AffectedRange> {
        let place = format!("{entry}.ranges[{at}]");
        let kind = match range.kind.as_str() {
            "SEMVER" => RangeKind::Semver,
            "ECOSYSTEM" => RangeKind::Ecosystem,
            "GIT" => {
                self.problem(&place, "a range of git commits is not compared with versions");
                return None;
            }
            other => {
                let word: String = other.chars().take(40).collect();
                self.problem(&place, format!("{word:?} is not a type of range"));
                return None;
            }
        };
        if range.events.len() > self.limits.events {
            self.problem(&place, "the range is larger than is read");
            return None;
        }
        Some(AffectedRange { kind, events: range.events.into_iter().flat_map(events).collect() })
    }

    /// The latest generation of CVSS has the word; without a vector the feed's own words, in their order.
    fn severity(
        &mut self,
        place: &str,
        scores: &[SeverityDoc],
        words: &[&Option<String>],
    ) -> Option<Severity> {
        let mut best = None;
        for doc in scores.iter().filter(|doc| doc.kind.starts_with("CVSS")) {
            match of_vector(&doc.score) {
                Ok(vector) => best = best.max(Some(vector)),
                Err(reason) => self.problem(place, format!("a {} vector is wrong: {reason}", doc.kind)),
            }
        }
        let named =
            scores.iter().map(|doc| doc.score.as_str()).chain(words.iter().filter_map(|w| w.as_deref()));
        best.map(|(_, severity)| severity).or_else(|| named.filter_map(of_word).next())
    }
}

/// Usually one; old records write several in one object.
fn events(doc: EventDoc) -> impl Iterator<Item = Event> {
    [
        doc.introduced.map(Event::Introduced),
        doc.fixed.map(Event::Fixed),
        doc.last_affected.map(Event::LastAffected),
        doc.limit.map(Event::Limit),
    ]
    .into_iter()
    .flatten()
}
