//! What holds for an image: findings with their evidence, and how far they can be trusted.

use crate::component::Purl;
use crate::ids::FeedId;
use crate::severity::Severity;
use crate::vex::VexWord;

/// Whether and where a vulnerability is fixed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FixState {
    /// Fixed in these versions, lowest first; never empty.
    Fixed(Vec<String>),
    /// No advisory names a fixed version; and why, where the distributor says so.
    NotFixed(Option<NoFix>),
}

/// Why a distributor brings no fix. Ordered: a later one says more of the vulnerability itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NoFix {
    /// The release or the package is not cared for any more.
    EndOfLife,
    /// It was looked at, and will not be fixed.
    WillNotFix,
    /// It is no danger where it is used as meant, or concerns nothing that is built.
    Unimportant,
}

impl NoFix {
    /// Every reason, in its order.
    pub const ALL: [Self; 3] = [Self::EndOfLife, Self::WillNotFix, Self::Unimportant];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EndOfLife => "end-of-life",
            Self::WillNotFix => "will-not-fix",
            Self::Unimportant => "unimportant",
        }
    }

    /// The reason with this name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

/// What an advisory is that names no vulnerability, but something that its readers should know of a package. Ordered: a
/// later one is nearer to a vulnerability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Notice {
    /// Nobody cares for the package any more.
    Unmaintained,
    /// Something else.
    Notice,
    /// It can be used so that memory is not safe, though nobody is known to do so.
    Unsound,
}

impl Notice {
    /// Every kind, in its order.
    pub const ALL: [Self; 3] = [Self::Unmaintained, Self::Notice, Self::Unsound];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unmaintained => "unmaintained",
            Self::Notice => "notice",
            Self::Unsound => "unsound",
        }
    }

    /// The kind with this name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|notice| notice.as_str() == word)
    }

    /// What several say together: where one speaks of a vulnerability, it is one.
    pub fn of(said: impl IntoIterator<Item = Option<Self>>) -> Option<Self> {
        said.into_iter().min_by_key(|notice| (notice.is_some(), std::cmp::Reverse(*notice))).flatten()
    }
}

impl FixState {
    /// The state by all fixed versions and by what each advisory says instead of one: a version goes before
    /// words, and the word that says most goes before others.
    pub fn of(fixed: Vec<String>, no_fix: impl IntoIterator<Item = Option<NoFix>>) -> Self {
        if fixed.is_empty() { Self::NotFixed(no_fix.into_iter().max().flatten()) } else { Self::Fixed(fixed) }
    }

    /// The fixed versions; none where it is not fixed.
    pub fn versions(&self) -> &[String] {
        match self {
            Self::Fixed(versions) => versions,
            Self::NotFixed(_) => &[],
        }
    }

    /// The word for it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Fixed(_) => "fixed",
            Self::NotFixed(None) => "not-fixed",
            Self::NotFixed(Some(reason)) => reason.as_str(),
        }
    }
}

/// One advisory that says so, and why it applies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AdvisoryMatch {
    /// The advisory's own id (`GHSA-…`, `PYSEC-…`, `DSA-…`).
    pub advisory: String,
    /// The feed it came from.
    pub feed: FeedId,
    /// The comparison that holds, for people: `0.21.0 in [0, 0.21.1) by semver`.
    pub reason: String,
    /// Versions this advisory says are fixed.
    pub fixed_versions: Vec<String>,
    /// Why it brings no fix, where it says so.
    pub no_fix: Option<NoFix>,
    /// What it is, where it is no vulnerability.
    pub notice: Option<Notice>,
}

/// One vulnerability that holds for one component of an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The vulnerability: its CVE id where there is exactly one, else the advisory's id.
    pub vulnerability: String,
    /// Its other names, sorted.
    pub aliases: Vec<String>,
    /// The component.
    pub purl: Purl,
    /// The component's name.
    pub package: String,
    /// The component's version.
    pub version: String,
    /// The highest severity that an advisory gives.
    pub severity: Severity,
    /// Fix state over all the advisories.
    pub fix: FixState,
    /// The advisories that say so, sorted; never empty.
    pub advisories: Vec<AdvisoryMatch>,
    /// What a supplier says of it.
    pub vex: Option<VexWord>,
}

impl Finding {
    /// All that its vulnerability is called.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.aliases.iter().map(String::as_str).chain([self.vulnerability.as_str()])
    }

    /// What it is, where all that say so speak of no vulnerability.
    pub fn notice(&self) -> Option<Notice> {
        Notice::of(self.advisories.iter().map(|advisory| advisory.notice))
    }
}

/// How far a result can be trusted. Anything but `Complete` is never shown as clean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Coverage {
    /// Every component had a feed that speaks of its ecosystem and the whole image was read.
    Complete,
    /// Part of the image could not be read, or a component's ecosystem has no feed.
    Partial,
    /// No feed was loaded when it was evaluated.
    Provisional,
}

impl Coverage {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Partial => "partial",
            Self::Provisional => "provisional",
        }
    }

    /// The coverage with this name.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Complete, Self::Partial, Self::Provisional].into_iter().find(|c| c.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_notice_where_nobody_speaks_of_a_vulnerability() {
        let (old, unsound) = (Some(Notice::Unmaintained), Some(Notice::Unsound));
        assert_eq!(Notice::of([old, unsound, old]), unsound);
        assert_eq!(Notice::of([unsound, None, old]), None);
        assert_eq!(Notice::of([]), None);
        assert!(Notice::ALL.is_sorted());
        assert!(Notice::ALL.iter().all(|notice| Notice::from_word(notice.as_str()) == Some(*notice)));
    }

    #[test]
    fn a_fixed_version_goes_before_words_and_the_word_that_says_most_before_others() {
        let of = |fixed: &[&str], words: &[Option<NoFix>]| {
            let fixed = fixed.iter().map(|v| (*v).to_owned()).collect();
            FixState::of(fixed, words.iter().copied()).as_str()
        };
        assert_eq!(of(&["1"], &[Some(NoFix::WillNotFix)]), "fixed");
        assert_eq!(of(&[], &[None]), "not-fixed");
        assert_eq!(of(&[], &[None, Some(NoFix::EndOfLife), Some(NoFix::WillNotFix)]), "will-not-fix");
        assert!(
            NoFix::ALL.is_sorted() && NoFix::ALL.iter().all(|r| NoFix::from_word(r.as_str()) == Some(*r))
        );
    }
}
