//! How a result follows the verdict before it: what differs, finding by finding, and why.
//!
//! Pure. Findings that both have are told by their digests, and only the others are read and compared.

use std::collections::{BTreeSet, HashSet};

use evaluation::{Apart, Cause, Change, ChangeKind, DocumentSource, HeardDocument, Written};
use model::{AdvisoryMatch, FeedId, Finding, VexWord};
use store::evaluations::Before;
use store::vex::SourceOrigin;

use crate::vex_hearing::Testimony;

/// What a new verdict says of the one before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Succession {
    /// The verdict before.
    pub(super) before: Before,
    /// Why there is another.
    pub(super) cause: Cause,
    /// What differs, by places in the findings before and in the sorted findings of now.
    pub(super) changes: Vec<Change>,
}

/// The findings that are in one of two results only.
#[derive(Debug, Default)]
pub(super) struct Difference {
    old: Side,
    new: Side,
}

/// Findings and their places in the whole result.
#[derive(Debug, Default)]
struct Side {
    places: Vec<usize>,
    findings: Vec<Finding>,
}

impl Difference {
    /// Of the verdict before and the findings of now.
    pub(super) fn of(before: &Before, now: &Written) -> Self {
        let known: HashSet<&[u8; 32]> = before.findings.iter().map(|found| &found.digest).collect();
        let mut difference = Self::default();
        for (place, found) in before.findings.iter().enumerate() {
            if let Some(finding) = &found.finding {
                difference.old.push(place, finding);
            }
        }
        for (place, written) in now.iter().enumerate() {
            if !known.contains(written.digest()) {
                difference.new.push(place, written.finding());
            }
        }
        difference
    }

    /// The advisories that these findings rest on.
    pub(super) fn advisories(&self) -> BTreeSet<(&FeedId, &str)> {
        let findings = self.old.findings.iter().chain(&self.new.findings);
        findings.flat_map(|f| &f.advisories).map(|a| (&a.feed, a.advisory.as_str())).collect()
    }

    /// The findings of before and of now whose word is another: with what was said before, and what is said now.
    pub(super) fn told_otherwise(&self) -> [Vec<&Finding>; 2] {
        let changes = evaluation::changes(&self.old.findings, &self.new.findings, |_| false);
        let (mut before, mut now) = (BTreeSet::new(), BTreeSet::new());
        for change in changes {
            if let (Some(old), Some(new)) = (change.before, change.after)
                && self.old.findings[old].vex != self.new.findings[new].vex
            {
                before.insert(old);
                now.insert(new);
            }
        }
        [
            before.into_iter().map(|at| &self.old.findings[at]).collect(),
            now.into_iter().map(|at| &self.new.findings[at]).collect(),
        ]
    }

    /// What differs at all.
    pub(super) fn apart(&self) -> Apart {
        let changes = evaluation::changes(&self.old.findings, &self.new.findings, |_| false);
        Apart::of(&changes, &self.old.findings, &self.new.findings)
    }

    /// What differs. `is_gone` says whether an advisory was withdrawn or is listed no more since.
    pub(super) fn changes(&self, is_gone: impl Fn(&AdvisoryMatch) -> bool) -> Vec<Change> {
        let changes = evaluation::changes(&self.old.findings, &self.new.findings, is_gone);
        let whole = |change: Change| Change {
            kind: change.kind,
            before: change.before.map(|at| self.old.places[at]),
            after: change.after.map(|at| self.new.places[at]),
        };
        changes.into_iter().map(whole).collect()
    }
}

impl Side {
    fn push(&mut self, place: usize, finding: &Finding) {
        self.places.push(place);
        self.findings.push(finding.clone());
    }
}

/// The documents that the words on these findings rest on, as far as they were heard.
pub(super) fn grounds(findings: &[&Finding], testimony: &Testimony) -> Vec<HeardDocument> {
    let words = findings.iter().filter_map(|finding| finding.vex.as_ref());
    let words: BTreeSet<(&str, &str)> =
        words.map(|VexWord { document, statement, .. }| (&**document, &**statement)).collect();
    let rests_on = |document: &vex::Document| {
        document.statements.iter().any(|statement| words.contains(&(&*document.id, &*statement.id)))
    };
    let heard = testimony.documents().filter(|heard| rests_on(heard.document));
    let named = heard.map(|heard| HeardDocument {
        source: match heard.source {
            SourceOrigin::Feed { feed, .. } => DocumentSource::Feed(feed.clone()),
            SourceOrigin::Attached { id, .. } => DocumentSource::Attached(id.to_string()),
        },
        document: heard.document.id.clone(),
        version: heard.document.version.clone(),
    });
    named.collect()
}

/// The changes of each kind, for a line of the log: `appeared=2 resolved=1`.
pub(super) fn in_short(changes: &[Change]) -> String {
    let count = |kind: ChangeKind| changes.iter().filter(|change| change.kind == kind).count();
    let told = ChangeKind::ALL.into_iter().map(|kind| (kind.as_str(), count(kind)));
    let told = told.filter(|(_, count)| *count > 0).map(|(kind, count)| format!("{kind}={count}"));
    told.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use evaluation::WrittenFinding;
    use model::{FixState, Purl, Severity};
    use store::evaluations::Found;

    use super::*;

    fn finding(name: &str, severity: Severity) -> Finding {
        let evidence = AdvisoryMatch {
            advisory: name.to_owned(),
            feed: "f".parse().unwrap(),
            reason: "in range".to_owned(),
            fixed_versions: vec![],
            no_fix: None,
            notice: None,
        };
        Finding {
            vulnerability: name.to_owned(),
            aliases: vec![],
            purl: Purl::from_canonical("pkg:npm/p@1".to_owned()),
            package: "p".to_owned(),
            version: "1".to_owned(),
            severity,
            fix: FixState::NotFixed(None),
            advisories: vec![evidence],
            vex: None,
        }
    }

    #[test]
    fn only_what_differs_is_compared_and_told_by_its_place_in_the_whole() {
        let now: Vec<_> = ["A", "C", "D"].map(|name| finding(name, Severity::Low)).into();
        let now = Written::of(now);
        let old = [finding("A", Severity::Low), finding("B", Severity::Low), finding("C", Severity::High)];
        let found = |finding: &Finding| {
            let digest = *WrittenFinding::of(finding.clone()).digest();
            let kept = now.iter().any(|written| *written.digest() == digest);
            Found { digest, finding: (!kept).then(|| finding.clone()) }
        };
        let before = Before { version: 1, findings_digest: None, findings: old.iter().map(found).collect() };
        let difference = Difference::of(&before, &now);
        let feed = "f".parse().unwrap();
        assert_eq!(difference.advisories(), [(&feed, "B"), (&feed, "C"), (&feed, "D")].into());
        let changes = difference.changes(|evidence| evidence.advisory == "B");
        let change = |kind, before, after| Change { kind, before, after };
        assert_eq!(
            changes,
            [
                change(ChangeKind::Appeared, None, Some(2)),
                change(ChangeKind::Withdrawn, Some(1), None),
                change(ChangeKind::SeverityChanged, Some(2), Some(1)),
            ]
        );
        assert_eq!(in_short(&changes), "appeared=1 withdrawn=1 severity-changed=1");
    }
}
