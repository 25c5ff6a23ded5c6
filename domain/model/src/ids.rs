//! Identifiers. Each is its own type, so that a job's id cannot be passed for a tenant's.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// Takes an id that already exists (a row, a message).
            pub const fn from_uuid(id: Uuid) -> Self {
                Self(id)
            }

            /// The id as a plain UUID, for a row or a message.
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

uuid_id! {
    /// An isolated customer. Every row, key, object and message of a tenant carries it.
    TenantId
}
uuid_id! {
    /// One accepted piece of work (UUIDv7, so ids sort by time).
    JobId
}
uuid_id! {
    /// One run of the scheduler over many images (UUIDv7, so ids sort by time).
    RunId
}
uuid_id! {
    /// The client's own id of a request: the same id with the same body is the same request (AIP-155).
    RequestId
}

impl TenantId {
    /// The tenant of the system itself: it owns feeds and the operators' tokens, and never images.
    pub const SYSTEM: Self = Self(Uuid::nil());
}

/// The trace that a request is part of: 16 bytes, not all zero, shown as 32 hexadecimal digits
/// (W3C Trace Context, "trace-id").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId(Uuid);

impl TraceId {
    /// Takes the bytes of a trace's id; `None` when all of them are zero, which means no trace.
    pub const fn from_uuid(bytes: Uuid) -> Option<Self> {
        if bytes.is_nil() { None } else { Some(Self(bytes)) }
    }

    /// A trace of its own, for what comes without one.
    pub fn random() -> Self {
        Self(Uuid::now_v7())
    }

    /// Its bytes, for a row.
    pub const fn as_uuid(&self) -> Uuid {
        self.0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

/// The name of a feed: 1 to 64 of `a-z`, `0-9`, `-`, `.`, starting with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FeedId(String);

/// The text is not a feed's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a feed name: use 1 to 64 of a-z, 0-9, '-' and '.', starting with a letter or digit")]
pub struct InvalidFeedId(pub String);

impl FeedId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FeedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for FeedId {
    type Err = InvalidFeedId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let valid = (1..=64).contains(&text.len())
            && text.bytes().all(|b| word(b) || b == b'-' || b == b'.')
            && text.bytes().next().is_some_and(word);
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidFeedId(text.to_owned())) }
    }
}

/// A numbered state of the advisory store. 0 is the empty one, before any feed was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SnapshotId(pub i64);

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feed_names_are_short_lowercase_words() {
        assert_eq!("osv-npm".parse::<FeedId>().map(|f| f.to_string()), Ok("osv-npm".to_owned()));
        for bad in ["", "-a", "A", "a b", "a/b", &"a".repeat(65)] {
            assert!(bad.parse::<FeedId>().is_err(), "{bad:?} was taken");
        }
    }
}
