//! Why there is another verdict: which of the things that an evaluation reads have changed since the one before.

use model::{Coverage, Digest, FeedId, Gap, SnapshotId};

use crate::changes::Apart;

/// Something that an evaluation reads, and that has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CauseKind {
    /// The image: its first SBOM, or another one.
    Scan,
    /// What advisories say.
    Advisories,
    /// What VEX says, or who is trusted with it.
    Vex,
    /// What feeds speak of at all.
    Coverage,
    /// Nothing that is read: another build of Starling evaluates it differently.
    Engine,
}

/// An advisory that says something else, and that a changed finding rests on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RevisedAdvisory {
    /// Its feed.
    pub feed: FeedId,
    /// Its own id.
    pub advisory: String,
    /// Its revision before; none where it was not there.
    pub before: Option<u32>,
    /// Its revision now; none where it is listed no more.
    pub after: Option<u32>,
}

/// A document of VEX, before or now, that a word rests on which is another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HeardDocument {
    /// How it came.
    pub source: DocumentSource,
    /// Its own id.
    pub document: String,
    /// Its version, as it writes it.
    pub version: String,
}

/// How a document of VEX came.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DocumentSource {
    /// A feed published it.
    Feed(FeedId),
    /// Somebody attached it: its id here.
    Attached(String),
}

/// Why there is a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// What has changed. Sorted, never empty.
    pub kinds: Vec<CauseKind>,
    /// Which advisories, the first of them. Sorted.
    pub advisories: Vec<RevisedAdvisory>,
    /// How many advisories there are besides.
    pub more_advisories: u32,
    /// Which documents of VEX, the first of them. Sorted.
    pub documents: Vec<HeardDocument>,
    /// How many documents there are besides.
    pub more_documents: u32,
}

/// What changed findings rest on, in any order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grounds {
    /// What differs at all.
    pub apart: Apart,
    /// Advisories that changed findings rest on and that say something else since.
    pub advisories: Vec<RevisedAdvisory>,
    /// Documents that changed words rest on.
    pub documents: Vec<HeardDocument>,
}

/// What a result was made from, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basis {
    /// The image's components.
    pub sbom: Digest,
    /// The state of the advisories.
    pub snapshot: SnapshotId,
    /// How far the result can be trusted.
    pub coverage: Coverage,
    /// Why no further, as [`coverage::told`](crate::coverage::told) tells it; not known of verdicts of before.
    pub gaps: Option<Vec<Gap>>,
    /// Names the findings.
    pub findings: Digest,
}

/// How many advisories a cause names, and how many documents.
const NAMED: usize = 50;

impl CauseKind {
    /// Every kind, in its order.
    pub const ALL: [Self; 5] = [Self::Scan, Self::Advisories, Self::Vex, Self::Coverage, Self::Engine];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Advisories => "advisories",
            Self::Vex => "vex",
            Self::Coverage => "coverage",
            Self::Engine => "engine",
        }
    }

    /// The kind with this name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl Cause {
    /// Why there is this result after that one (`None`: it is the first).
    pub fn of(before: Option<&Basis>, now: &Basis, grounds: Grounds) -> Self {
        let Grounds { apart, mut advisories, mut documents } = grounds;
        let kinds = kinds(before, now, apart, !advisories.is_empty());
        if !kinds.contains(&CauseKind::Advisories) {
            advisories.clear();
        }
        if !kinds.contains(&CauseKind::Vex) {
            documents.clear();
        }
        let (more_advisories, more_documents) = (cut(&mut advisories), cut(&mut documents));
        Self { kinds, advisories, more_advisories, documents, more_documents }
    }
}

/// Sorts them, and leaves the first. Says how many are left out.
fn cut<T: Ord>(all: &mut Vec<T>) -> u32 {
    all.sort();
    all.dedup();
    let more = all.len().saturating_sub(NAMED);
    all.truncate(NAMED);
    u32::try_from(more).unwrap_or(u32::MAX)
}

fn kinds(before: Option<&Basis>, now: &Basis, apart: Apart, some_revised: bool) -> Vec<CauseKind> {
    let Some(before) = before else { return vec![CauseKind::Scan] };
    let other_sbom = before.sbom != now.sbom;
    // With another SBOM too, advisories have a part in it only where some of them are known to say something else.
    let advisories = apart.rest && before.snapshot != now.snapshot && (some_revised || !other_sbom);
    // Another SBOM has gaps of its own; of the same one they come of what feeds speak of.
    let is_known = before.gaps.is_some() && now.gaps.is_some();
    let other_gaps = is_known && before.gaps != now.gaps && !other_sbom && before.snapshot != now.snapshot;
    let mut kinds = Vec::new();
    kinds.extend(other_sbom.then_some(CauseKind::Scan));
    kinds.extend(advisories.then_some(CauseKind::Advisories));
    kinds.extend(apart.words.then_some(CauseKind::Vex));
    kinds.extend((before.coverage != now.coverage || other_gaps).then_some(CauseKind::Coverage));
    if kinds.is_empty() {
        kinds.push(CauseKind::Engine);
    }
    kinds
}

#[cfg(test)]
mod tests {
    use model::GapKind;

    use super::*;

    /// `sbom snapshot coverage findings`, and the ecosystem that no feed speaks of, where there is one or `?` where
    /// that was not kept.
    fn basis(text: &str) -> Basis {
        let words: Vec<&str> = text.split_whitespace().collect();
        Basis {
            sbom: Digest::of(words[0].as_bytes()),
            snapshot: SnapshotId(words[1].parse().unwrap()),
            coverage: Coverage::from_word(words[2]).unwrap(),
            findings: Digest::of(words[3].as_bytes()),
            gaps: match words.get(4) {
                Some(&"?") => None,
                missing => Some(
                    missing.map(|place| Gap::new(GapKind::MissingFeed, *place, "w")).into_iter().collect(),
                ),
            },
        }
    }

    fn revised(number: usize) -> RevisedAdvisory {
        let advisory = format!("A-{number:04}");
        RevisedAdvisory { feed: "f".parse().unwrap(), advisory, before: Some(1), after: Some(2) }
    }

    fn heard(number: usize) -> HeardDocument {
        let source = DocumentSource::Feed("v".parse().unwrap());
        HeardDocument { source, document: format!("d{number:04}"), version: "1".to_owned() }
    }

    #[track_caller]
    fn check(before: &str, now: &str, revised_count: usize, expected: &[&str]) {
        check_words(before, now, false, revised_count, expected);
    }

    #[track_caller]
    fn check_words(before: &str, now: &str, words: bool, revised_count: usize, expected: &[&str]) {
        let before = Some(before).filter(|text| !text.is_empty()).map(basis);
        let now = basis(now);
        let rest = before.as_ref().is_some_and(|before| before.findings != now.findings);
        let grounds = Grounds {
            apart: Apart { words, rest },
            advisories: (0..revised_count).map(revised).collect(),
            documents: vec![heard(1)],
        };
        let cause = Cause::of(before.as_ref(), &now, grounds);
        assert_eq!(cause.documents.is_empty(), !words);
        let words: Vec<_> = cause.kinds.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(words, expected);
        assert_eq!(cause.advisories.is_empty(), !words.contains(&"advisories") || revised_count == 0);
    }

    #[test]
    fn the_first_verdict_comes_of_the_scan() {
        check("", "s 1 complete f", 0, &["scan"]);
    }

    #[test]
    fn what_has_changed_is_the_cause() {
        check("s 1 complete f", "s 2 complete g", 1, &["advisories"]);
        check("s 1 complete f", "s 2 complete g", 0, &["advisories"]);
        check("s 1 provisional f", "s 2 complete g", 1, &["advisories", "coverage"]);
        check("s 1 partial f", "s 2 complete f", 0, &["coverage"]);
        check("s 1 complete f", "t 1 complete g", 0, &["scan"]);
        check("s 1 complete f", "t 2 complete g", 0, &["scan"]);
        check("s 1 complete f", "t 2 complete g", 3, &["scan", "advisories"]);
    }

    #[test]
    fn words_of_vex_are_a_cause_of_their_own_and_beside_others() {
        check_words("s 1 complete f", "s 2 complete f", true, 0, &["vex"]);
        check_words("s 1 complete f", "s 2 complete g", true, 1, &["advisories", "vex"]);
        check_words("s 1 complete f", "t 2 complete g", true, 0, &["scan", "vex"]);
        check_words("s 1 partial f", "s 2 complete f", true, 0, &["vex", "coverage"]);
        check_words("s 1 complete f", "s 1 complete f", true, 0, &["vex"]);
    }

    #[test]
    fn the_same_inputs_with_another_result_are_another_engine() {
        check("s 1 complete f", "s 1 complete g", 0, &["engine"]);
        check("s 1 partial f npm", "s 1 partial f deb", 0, &["engine"]);
    }

    #[test]
    fn other_reasons_why_it_is_not_to_be_trusted_are_another_coverage() {
        check("s 1 partial f npm", "s 2 partial f deb", 0, &["coverage"]);
        check("s 1 partial f npm", "s 2 partial g deb", 1, &["advisories", "coverage"]);
        check("s 1 partial f npm", "s 2 partial g npm", 1, &["advisories"]);
        check("s 1 partial f npm", "t 2 partial f deb", 0, &["scan"]);
        check("s 1 partial f ?", "s 2 partial g deb", 1, &["advisories"]);
        check("s 1 partial f ?", "s 2 partial f deb", 0, &["engine"]);
    }

    #[test]
    fn only_so_many_advisories_are_named_and_the_others_counted() {
        let (before, now) = (basis("s 1 complete f"), basis("s 2 complete g"));
        let advisories = (0..NAMED + 7).rev().map(revised).chain([revised(3)]).collect();
        let documents = (0..NAMED + 3).rev().map(heard).collect();
        let apart = Apart { words: true, rest: true };
        let cause = Cause::of(Some(&before), &now, Grounds { apart, advisories, documents });
        assert_eq!((cause.advisories.len(), cause.more_advisories), (NAMED, 7));
        assert_eq!((cause.documents.len(), cause.more_documents), (NAMED, 3));
        assert!(cause.advisories.is_sorted() && cause.documents.is_sorted());
    }

    #[test]
    fn words_of_kinds_read_back() {
        for kind in CauseKind::ALL {
            assert_eq!(CauseKind::from_word(kind.as_str()), Some(kind));
        }
    }
}
