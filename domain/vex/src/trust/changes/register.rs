//! All that the changes say of issuers, those that are over included.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::{IssuerChange, IssuerChangeKind};
use crate::signature::Key;
use crate::trust::{Directory, Issuer, Tier};

/// Issuers of one register.
const ISSUERS_MAX: usize = 1_000;
/// Names of one issuer in its documents.
const AUTHORS_MAX: usize = 64;
/// Bytes of such a name.
const AUTHOR_BYTES_MAX: usize = 1_024;
/// Characters of what people call an issuer.
const NAME_CHARS_MAX: usize = 200;
/// Characters of an id.
const ID_CHARS_MAX: usize = 64;
/// Keys of one issuer.
const KEYS_MAX: usize = 64;

/// For whom an issuer is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// For one tenant.
    Own,
    /// For everybody.
    Global,
}

/// An issuer, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// For whom it is known.
    pub scope: Scope,
    /// What we call it.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// How its documents call it.
    pub authors: Vec<String>,
    /// How far it is trusted by whoever made it known.
    pub tier: Tier,
    /// How far the tenant trusts it, where that is otherwise.
    pub trusted: Option<Tier>,
    /// Its keys, those that are over or revoked included.
    pub keys: Vec<Key>,
    /// When it was made known.
    pub created_at: OffsetDateTime,
    /// When it last changed.
    pub changed_at: OffsetDateTime,
    /// Since when it is not known any more.
    pub retired_at: Option<OffsetDateTime>,
}

/// Why a change may not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such issuer, or it is not theirs to change.
    #[error("there is no issuer {0} here")]
    Unknown(String),
    /// The issuer has no such key.
    #[error("the issuer has no key {0}")]
    UnknownKey(String),
    /// The id is given already.
    #[error("the id {0} is given already")]
    Taken(String),
    /// It contradicts what is known, or says nothing.
    #[error("{0}")]
    Wrong(String),
}

/// What is known of issuers: everybody's, and one tenant's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Register {
    entries: BTreeMap<(Scope, String), Entry>,
    policy: Option<(bool, bool)>,
}

impl Register {
    /// What comes of the changes for everybody and then of a tenant's own.
    pub fn of(global: &[IssuerChange], own: &[IssuerChange]) -> Self {
        let mut register = Self::default();
        global.iter().for_each(|change| register.apply(Scope::Global, change));
        own.iter().for_each(|change| register.apply(Scope::Own, change));
        register
    }

    /// The issuers, the tenant's own before everybody's, those that are retired included.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// The issuer with this id, the tenant's own before everybody's.
    pub fn get(&self, id: &str) -> Option<&Entry> {
        [Scope::Own, Scope::Global].into_iter().find_map(|scope| self.entry(scope, id))
    }

    /// Whether statements of unknown issuers count, and whether those without a good signature do.
    pub fn policy(&self) -> (bool, bool) {
        let default = Directory::default();
        self.policy.unwrap_or((default.accepts_unknown, default.accepts_unsigned))
    }

    /// Those that are known now, as documents are heard by.
    pub fn directory(&self) -> Directory {
        let hidden =
            |entry: &Entry| entry.scope == Scope::Global && self.known(Scope::Own, &entry.id).is_some();
        let known = self.entries().filter(|entry| entry.retired_at.is_none() && !hidden(entry));
        let issuer = |entry: &Entry| Issuer {
            id: entry.id.clone(),
            authors: entry.authors.clone(),
            tier: entry.trusted.unwrap_or(entry.tier),
            keys: entry.keys.clone(),
        };
        let issuers = known.map(issuer).collect();
        let (accepts_unknown, accepts_unsigned) = self.policy();
        Directory { issuers, accepts_unknown, accepts_unsigned }
    }

    /// Makes a change, whether it may be made or not; one of something that is not there does nothing.
    pub fn apply(&mut self, scope: Scope, change: &IssuerChange) {
        let of = |scope| (scope, change.issuer.clone());
        match &change.kind {
            IssuerChangeKind::Created { name, authors, tier } => {
                self.entries.entry(of(scope)).or_insert_with(|| Entry {
                    scope,
                    id: change.issuer.clone(),
                    name: name.clone(),
                    authors: authors.clone(),
                    tier: *tier,
                    trusted: None,
                    keys: Vec::new(),
                    created_at: change.at,
                    changed_at: change.at,
                    retired_at: None,
                });
            }
            IssuerChangeKind::Policy { accepts_unknown, accepts_unsigned } => {
                self.policy = Some((*accepts_unknown, *accepts_unsigned));
            }
            IssuerChangeKind::Trusted { .. } => self.change(&of(Scope::Global), change),
            IssuerChangeKind::Changed { .. }
            | IssuerChangeKind::KeyAdded { .. }
            | IssuerChangeKind::KeyRevoked { .. }
            | IssuerChangeKind::Retired => self.change(&of(scope), change),
        }
    }

    fn change(&mut self, of: &(Scope, String), change: &IssuerChange) {
        if let Some(entry) = self.entries.get_mut(of) {
            entry.apply(&change.kind, change.at);
            entry.changed_at = change.at;
        }
    }

    /// Whether a change may be made, by a tenant or for everybody.
    ///
    /// # Errors
    /// When it may not.
    pub fn may(&self, scope: Scope, change: &IssuerChange) -> Result<(), Refused> {
        let id = change.issuer.as_str();
        match &change.kind {
            IssuerChangeKind::Created { name, authors, .. } => {
                self.may_create(id)?;
                is_name(name)?;
                self.are_free(id, authors)
            }
            IssuerChangeKind::Changed { name, authors, .. } => {
                self.mine(scope, id)?;
                name.as_deref().map_or(Ok(()), is_name)?;
                authors.as_deref().map_or(Ok(()), |authors| self.are_free(id, authors))?;
                self.changes_something(scope, change)
            }
            IssuerChangeKind::KeyAdded { key, replaces } => {
                self.may_add(self.mine(scope, id)?, key, replaces.as_deref(), change.at)
            }
            IssuerChangeKind::KeyRevoked { key, since } => {
                may_revoke(self.mine(scope, id)?, key, *since, change.at)
            }
            IssuerChangeKind::Trusted { .. } if scope == Scope::Global => {
                Err(wrong("everybody's trust in an issuer is its tier"))
            }
            IssuerChangeKind::Trusted { .. } => {
                self.mine(Scope::Global, id)?;
                self.changes_something(scope, change)
            }
            IssuerChangeKind::Retired => self.mine(scope, id).map(|_| ()),
            IssuerChangeKind::Policy { .. } if !id.is_empty() => Err(wrong("a policy is of no issuer")),
            IssuerChangeKind::Policy { .. } => self.changes_something(scope, change),
        }
    }

    fn entry(&self, scope: Scope, id: &str) -> Option<&Entry> {
        self.entries.get(&(scope, id.to_owned()))
    }

    fn known(&self, scope: Scope, id: &str) -> Option<&Entry> {
        self.entry(scope, id).filter(|entry| entry.retired_at.is_none())
    }

    fn mine(&self, scope: Scope, id: &str) -> Result<&Entry, Refused> {
        self.known(scope, id).ok_or_else(|| Refused::Unknown(id.to_owned()))
    }

    fn may_create(&self, id: &str) -> Result<(), Refused> {
        let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let is_id = (1..=ID_CHARS_MAX).contains(&id.len())
            && id.bytes().next().is_some_and(word)
            && id.bytes().all(|byte| word(byte) || matches!(byte, b'-' | b'.'));
        if !is_id {
            return Err(wrong(
                "an issuer's id is 1 to 64 of a-z, 0-9, '-' and '.', and begins with a letter or digit",
            ));
        }
        if self.get(id).is_some() {
            return Err(Refused::Taken(id.to_owned()));
        }
        if self.entries.len() >= ISSUERS_MAX {
            return Err(wrong(&format!("there are {ISSUERS_MAX} issuers already")));
        }
        Ok(())
    }

    /// Whoever is called as another is would be taken for it.
    fn are_free(&self, id: &str, authors: &[String]) -> Result<(), Refused> {
        if authors.len() > AUTHORS_MAX {
            return Err(wrong(&format!("more than {AUTHORS_MAX} authors")));
        }
        for (at, author) in authors.iter().enumerate() {
            if author.is_empty() || author.len() > AUTHOR_BYTES_MAX || author.contains('\0') {
                return Err(wrong(&format!("an author is 1 to {AUTHOR_BYTES_MAX} bytes of text")));
            }
            if authors[..at].contains(author) {
                return Err(wrong(&format!("the author {author:?} is there twice")));
            }
            let mut others = self.entries().filter(|entry| entry.id != id && entry.retired_at.is_none());
            if let Some(other) = others.find(|other| other.authors.contains(author)) {
                return Err(wrong(&format!("the author {author:?} is {}'s", other.id)));
            }
        }
        Ok(())
    }

    fn may_add(
        &self,
        entry: &Entry,
        key: &Key,
        replaces: Option<&str>,
        at: OffsetDateTime,
    ) -> Result<(), Refused> {
        // One that was revoked is never good again. Who is retired has let go of the others.
        let holds = |other: &&Entry| {
            let same = other.keys.iter().find(|known| known.id() == key.id());
            same.is_some_and(|known| other.retired_at.is_none() || known.revoked_at.is_some())
        };
        if let Some(other) = self.entries().find(holds) {
            return Err(wrong(&format!("the key {} is or was {}'s", key.id(), other.id)));
        }
        if key.is_over(at) {
            return Err(wrong("the key is over already"));
        }
        if entry.keys.len() >= KEYS_MAX {
            return Err(wrong(&format!("it has {KEYS_MAX} keys already")));
        }
        let Some(replaced) = replaces else { return Ok(()) };
        match entry.keys.iter().find(|known| known.id() == replaced) {
            None => Err(Refused::UnknownKey(replaced.to_owned())),
            Some(old) if old.is_over(at) => Err(wrong("the key to be replaced is over already")),
            Some(_) => Ok(()),
        }
    }

    /// Each change makes a snapshot, and images are looked at for it: one that says nothing is refused.
    fn changes_something(&self, scope: Scope, change: &IssuerChange) -> Result<(), Refused> {
        let mut after = self.clone();
        after.apply(scope, change);
        let timeless = |register: &Self| {
            let entry = |entry: &Entry| Entry { changed_at: entry.created_at, ..entry.clone() };
            (register.policy(), register.entries().map(entry).collect::<Vec<_>>())
        };
        if timeless(&after) == timeless(self) { Err(wrong("it is so already")) } else { Ok(()) }
    }
}

impl Entry {
    fn apply(&mut self, kind: &IssuerChangeKind, at: OffsetDateTime) {
        match kind {
            IssuerChangeKind::Changed { name, authors, tier } => {
                self.name = name.clone().unwrap_or_else(|| self.name.clone());
                self.authors = authors.clone().unwrap_or_else(|| self.authors.clone());
                self.tier = tier.unwrap_or(self.tier);
            }
            IssuerChangeKind::KeyAdded { key, replaces } => self.add(key, replaces.as_deref(), at),
            IssuerChangeKind::KeyRevoked { key, since } => {
                if let Some(key) = self.keys.iter_mut().find(|known| known.id() == key) {
                    key.revoked_at = Some(key.revoked_at.map_or(*since, |before| before.min(*since)));
                }
            }
            IssuerChangeKind::Trusted { tier } => self.trusted = *tier,
            IssuerChangeKind::Retired => self.retired_at = self.retired_at.or(Some(at)),
            IssuerChangeKind::Created { .. } | IssuerChangeKind::Policy { .. } => {}
        }
    }

    fn add(&mut self, key: &Key, replaces: Option<&str>, at: OffsetDateTime) {
        if let Some(old) = self.keys.iter_mut().find(|known| Some(known.id()) == replaces) {
            old.valid_until = Some(old.valid_until.map_or(at, |until| until.min(at)));
        }
        if !self.keys.iter().any(|known| known.id() == key.id()) {
            self.keys.push(key.clone());
        }
    }
}

fn may_revoke(entry: &Entry, id: &str, since: OffsetDateTime, at: OffsetDateTime) -> Result<(), Refused> {
    let key = entry.keys.iter().find(|known| known.id() == id);
    let key = key.ok_or_else(|| Refused::UnknownKey(id.to_owned()))?;
    if since > at {
        return Err(wrong("a key is revoked since now or earlier"));
    }
    match key.revoked_at {
        Some(before) if before <= since => Err(wrong("it is revoked already, and since then or earlier")),
        _ => Ok(()),
    }
}

fn is_name(name: &str) -> Result<(), Refused> {
    if name.trim().is_empty() || name.chars().count() > NAME_CHARS_MAX || name.contains('\0') {
        return Err(wrong(&format!("a name is 1 to {NAME_CHARS_MAX} characters")));
    }
    Ok(())
}

fn wrong(what: &str) -> Refused {
    Refused::Wrong(what.to_owned())
}
