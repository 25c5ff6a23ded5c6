//! Who speaks, and how far that is trusted.
//!
//! A signature by a key of an issuer makes a statement that issuer's. Without one it is the word of whoever the
//! document names, which anybody can write: such a voice never stands in for, nor overrules by date, a signed one.

mod changes;

use time::OffsetDateTime;

pub use changes::{Entry, IssuerChange, IssuerChangeKind, Refused, Register, Scope, fold};

use crate::Document;
use crate::signature::{Key, Signature};

/// How far an issuer is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tier {
    /// Not at all: what it says has no effect.
    Untrusted,
    /// As a hub that passes on what others say.
    Third,
    /// As a distributor or a known supplier.
    Second,
    /// As one's own people.
    First,
}

impl Tier {
    /// Every tier, in its order.
    pub const ALL: [Self; 4] = [Self::Untrusted, Self::Third, Self::Second, Self::First];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Untrusted => "untrusted",
            Self::Third => "tier-2",
            Self::Second => "tier-1",
            Self::First => "tier-0",
        }
    }

    /// The tier with this name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.as_str() == word)
    }
}

/// Somebody whose statements we know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// What we call it.
    pub id: String,
    /// How its documents call it: names of authors, namespaces of publishers.
    pub authors: Vec<String>,
    /// How far it is trusted.
    pub tier: Tier,
    /// Its keys, those that are over included.
    pub keys: Vec<Key>,
}

/// The issuers, and what is done with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Those we know.
    pub issuers: Vec<Issuer>,
    /// Whether statements of others count.
    pub accepts_unknown: bool,
    /// Whether statements without a good signature count.
    pub accepts_unsigned: bool,
}

/// How a document came to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// Anyhow.
    Manual,
    /// From a place that we chose, by a connection that proves it, or from a user we know.
    Authenticated,
}

/// Where a document is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// How it came.
    pub channel: Channel,
    /// What is known of its signature.
    pub signature: Signature,
    /// Whether somebody said that it is about this very image.
    pub attached: bool,
    /// When it was taken in: what its keys were worth then they are worth for it ever after, and what it dates later
    /// than that does not count.
    pub taken_in: OffsetDateTime,
}

/// Whose word a document is taken for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Voice {
    /// Whether a signature proves it.
    pub is_proved: bool,
    /// The issuer's id, or else what the document says.
    pub name: String,
}

/// Whether a document is heard, and why not or with what doubt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) voice: Voice,
    /// Provenance, of 10,000.
    pub(crate) provenance: u32,
    /// `None` where it counts.
    pub(crate) refused: Option<Doubt>,
    /// What is to be known of it where it counts.
    pub(crate) doubt: Option<Doubt>,
}

/// What is wrong with a document's origin.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doubt {
    /// It has no signature.
    Unsigned,
    /// It is signed by a key that is no issuer's.
    UnknownKey,
    /// Its signature does not hold.
    BadSignature(String),
    /// The issuer is not trusted, or not known.
    NotTrusted(String),
}

impl Default for Directory {
    /// Nobody is known, and everybody counts, with a word of doubt: for one's own machine.
    fn default() -> Self {
        Self { issuers: Vec::new(), accepts_unknown: true, accepts_unsigned: true }
    }
}

impl Directory {
    /// The keys that may sign at this moment, with their issuers.
    pub fn keys_at(&self, at: OffsetDateTime) -> impl Iterator<Item = (&Issuer, &Key)> {
        let all = self.issuers.iter().flat_map(|issuer| issuer.keys.iter().map(move |key| (issuer, key)));
        all.filter(move |(_, key)| key.is_valid_at(at))
    }

    /// What a document is worth. A key counts as it was when the document was taken in.
    pub(crate) fn judge(&self, document: &Document, origin: &Origin) -> Standing {
        let named = self.issuers.iter().find(|issuer| issuer.authors.contains(&document.author));
        let author = named.map_or(document.author.as_str(), |issuer| issuer.id.as_str());
        let author = if author.is_empty() { "unknown" } else { author };
        let open = Voice { is_proved: false, name: author.to_owned() };
        match &origin.signature {
            Signature::Good { key, .. } => match self.holder(key) {
                Some((issuer, key)) if key.is_valid_at(origin.taken_in) => self.proved(issuer),
                Some(_) => refuse(open, Doubt::BadSignature("its key is revoked or over".to_owned())),
                None => self.unproved(open, named, origin.channel, Doubt::UnknownKey),
            },
            Signature::Bad(reason) => refuse(open, Doubt::BadSignature(reason.clone())),
            Signature::UnknownKey => self.unproved(open, named, origin.channel, Doubt::UnknownKey),
            Signature::Absent => self.unproved(open, named, origin.channel, Doubt::Unsigned),
        }
    }

    fn holder(&self, key: &str) -> Option<(&Issuer, &Key)> {
        let all = self.issuers.iter().flat_map(|issuer| issuer.keys.iter().map(move |key| (issuer, key)));
        all.into_iter().find(|(_, known)| known.id() == key)
    }

    fn proved(&self, issuer: &Issuer) -> Standing {
        let voice = Voice { is_proved: true, name: issuer.id.clone() };
        match issuer.tier {
            Tier::Untrusted => refuse(voice, Doubt::NotTrusted(issuer.id.clone())),
            tier => Standing { voice, provenance: 7_500.min(most(tier)), refused: None, doubt: None },
        }
    }

    fn unproved(&self, voice: Voice, named: Option<&Issuer>, channel: Channel, doubt: Doubt) -> Standing {
        if named.is_some_and(|issuer| issuer.tier == Tier::Untrusted)
            || named.is_none() && !self.accepts_unknown
        {
            let name = voice.name.clone();
            return refuse(voice, Doubt::NotTrusted(name));
        }
        // Who signs is heard by what he signed: else anybody could speak in his name.
        if !self.accepts_unsigned || named.is_some_and(|issuer| !issuer.keys.is_empty()) {
            return refuse(voice, doubt);
        }
        let provenance = match channel {
            Channel::Manual => 1_000,
            Channel::Authenticated => 4_000,
        };
        let provenance = named.map_or(provenance, |issuer| provenance.min(most(issuer.tier)));
        Standing { voice, provenance, refused: None, doubt: Some(doubt) }
    }
}

/// The provenance that a tier reaches at most.
const fn most(tier: Tier) -> u32 {
    match tier {
        Tier::Untrusted => 0,
        Tier::Third => 4_000,
        Tier::Second => 7_500,
        Tier::First => 10_000,
    }
}

const fn refuse(voice: Voice, doubt: Doubt) -> Standing {
    Standing { voice, provenance: 0, refused: Some(doubt), doubt: None }
}
