//! Why a result is not to be trusted: states of their own, none of which is ever called clean.

/// One such state. Ordered by how much it takes from a result: whoever can hear of one only hears of the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GapKind {
    /// No advisory was there when it was evaluated.
    NoFeeds,
    /// Nothing says on which distribution or release the image is built, or it is one that is not read.
    UnknownDistro,
    /// The distribution's release is cared for no more: nobody looks for what is wrong with it.
    EndOfLife,
    /// No feed speaks of an ecosystem that the image has packages of.
    MissingFeed,
    /// A feed was not read for longer than it promises, or than was asked for.
    LateFeed,
    /// Packages come, or may come, from others than the distribution, whose advisories do not speak of them.
    ThirdParty,
    /// Part of the image could not be read, named or compared.
    PartialScan,
}

impl GapKind {
    /// Every state, in its order.
    pub const ALL: [Self; 7] = [
        Self::NoFeeds,
        Self::UnknownDistro,
        Self::EndOfLife,
        Self::MissingFeed,
        Self::LateFeed,
        Self::ThirdParty,
        Self::PartialScan,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoFeeds => "no-feeds",
            Self::UnknownDistro => "unknown-distro",
            Self::EndOfLife => "end-of-life",
            Self::MissingFeed => "missing-feed",
            Self::LateFeed => "late-feed",
            Self::ThirdParty => "third-party",
            Self::PartialScan => "partial-scan",
        }
    }

    /// What it means for whoever reads a result, in a line.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::NoFeeds => "there were no advisories to look into",
            Self::UnknownDistro => "it is not known what the image is built on",
            Self::EndOfLife => "the distribution's release is cared for no more",
            Self::MissingFeed => "no feed speaks of some of its packages",
            Self::LateFeed => "a feed was not read for too long",
            Self::ThirdParty => "packages come from others than the distribution",
            Self::PartialScan => "part of the image could not be read or compared",
        }
    }

    /// The state with this name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// One reason why what was not found may be there all the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gap {
    /// The state.
    pub kind: GapKind,
    /// What it is about: an ecosystem, a component, a file, a feed.
    pub place: String,
    /// What is missing or wrong with it.
    pub what: String,
}

impl Gap {
    /// A gap in these words.
    pub fn new(kind: GapKind, place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { kind, place: place.into(), what: what.into() }
    }

    /// The states among these gaps, each once, in their order.
    pub fn kinds<'a>(gaps: impl IntoIterator<Item = &'a Self>) -> Vec<GapKind> {
        let mut kinds: Vec<GapKind> = gaps.into_iter().map(|gap| gap.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_a_word_and_the_worst_comes_first() {
        assert!(GapKind::ALL.is_sorted());
        assert!(GapKind::ALL.iter().all(|kind| GapKind::from_word(kind.as_str()) == Some(*kind)));
        assert_eq!(GapKind::from_word("clean"), None);
        let gap = |kind| Gap::new(kind, "a", "b");
        let gaps = [GapKind::PartialScan, GapKind::MissingFeed, GapKind::PartialScan].map(gap);
        assert_eq!(Gap::kinds(&gaps), [GapKind::MissingFeed, GapKind::PartialScan]);
    }
}
