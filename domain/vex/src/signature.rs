//! Whether a document is signed, and by whom: DSSE envelopes, and signatures that lie beside the bytes.
//!
//! Ed25519 and ECDSA on P-256 with SHA-256, by plain keys or by X.509 certificates. What is checked is the bytes as
//! they came, before anything is read in them.

mod envelope;
mod key;
mod x509;

use time::OffsetDateTime;

pub use envelope::{Opened, open};
pub use key::{InvalidKey, Key, Material};

/// What is known of a document's signature.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signature {
    /// It has none.
    Absent,
    /// None of its signatures is by a key that we know. For one that lies beside the bytes this may also mean that
    /// the bytes are not those that were signed.
    UnknownKey,
    /// By this key of ours.
    Good {
        /// The key's id.
        key: String,
    },
    /// By a key of ours, and it does not hold: the reason.
    Bad(String),
}

/// A signature, and what it says of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// How it calls its key; empty where it does not.
    pub key: String,
    /// The signature's bytes.
    pub bytes: Vec<u8>,
    /// The certificates that came with it, the signer's first, in DER.
    pub certificates: Vec<Vec<u8>>,
}

impl Signature {
    /// The word for it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::UnknownKey => "unknown_key",
            Self::Good { .. } => "good",
            Self::Bad(_) => "bad",
        }
    }

    /// Holds signatures of `message` against our keys. One that holds is enough.
    pub fn check<'k>(
        message: &[u8],
        marks: &[Mark],
        keys: impl IntoIterator<Item = &'k Key>,
        at: OffsetDateTime,
    ) -> Self {
        if marks.is_empty() {
            return Self::Absent;
        }
        let mut bad = None;
        for key in keys {
            for mark in marks {
                match key.verify(message, mark, at) {
                    Ok(()) => return Self::Good { key: key.id().to_owned() },
                    Err(reason) if mark.key == key.id() => bad = bad.or(Some(reason)),
                    Err(_) => {}
                }
            }
        }
        bad.map_or(Self::UnknownKey, |reason| Self::Bad(reason.to_owned()))
    }
}

impl Mark {
    /// A signature that lies beside the bytes: as it is, or in base64 as `cosign sign-blob` writes it.
    pub fn beside(file: &[u8]) -> Self {
        let text = str::from_utf8(file).ok().map(str::trim);
        let decoded = text.and_then(envelope::base64);
        Self { key: String::new(), bytes: decoded.unwrap_or_else(|| file.to_vec()), certificates: Vec::new() }
    }
}

#[cfg(test)]
pub(crate) mod tests;
