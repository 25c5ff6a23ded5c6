//! Why an image could not be read, in words for people and in codes for machines.

use std::fmt;
use std::io;

use model::Digest;

/// What is wrong with a layer. The code is part of the public contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The blob's bytes are not those that the manifest names.
    DigestMismatch,
    /// The blob is longer than the manifest says.
    SizeMismatch,
    /// The uncompressed layer is not the one that the config names.
    DiffIdMismatch,
    /// The media type is not one of a layer.
    UnsupportedMediaType,
    /// The gzip or zstd stream cannot be decoded.
    CorruptCompression,
    /// What the blob holds does not begin like a tar archive.
    NotATar,
    /// A tar header or its extensions break the format.
    MalformedTar,
    /// The blob or the archive ends too early.
    Truncated,
    /// A name begins with `.wh.` but is no whiteout.
    InvalidWhiteout,
    /// An entry lies below a file or in a loop of links, so no runtime could unpack it.
    ImpossiblePath,
    /// A limit on size, ratio, count or depth was passed.
    LimitExceeded,
    /// The blob is said to be an SBOM and cannot be read as one.
    UnreadableSbom,
    /// The bytes could not be fetched. Says nothing about the layer: trying again may help.
    ReadFailed,
}

impl Reason {
    /// The machine-readable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::DigestMismatch => "DIGEST_MISMATCH",
            Self::SizeMismatch => "SIZE_MISMATCH",
            Self::DiffIdMismatch => "DIFF_ID_MISMATCH",
            Self::UnsupportedMediaType => "UNSUPPORTED_MEDIA_TYPE",
            Self::CorruptCompression => "CORRUPT_COMPRESSION",
            Self::NotATar => "NOT_A_TAR",
            Self::MalformedTar => "MALFORMED_TAR",
            Self::Truncated => "TRUNCATED",
            Self::InvalidWhiteout => "INVALID_WHITEOUT",
            Self::ImpossiblePath => "IMPOSSIBLE_PATH",
            Self::LimitExceeded => "LIMIT_EXCEEDED",
            Self::UnreadableSbom => "UNREADABLE_SBOM",
            Self::ReadFailed => "READ_FAILED",
        }
    }

    /// What to do about it.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::DigestMismatch | Self::SizeMismatch | Self::Truncated => {
                "push the image again: what is stored is not what was built"
            }
            Self::DiffIdMismatch => "build the image again: its config does not belong to its layers",
            Self::UnsupportedMediaType => "convert the image to OCI layers, plain or with gzip or zstd",
            Self::CorruptCompression | Self::NotATar | Self::MalformedTar => {
                "build the image again with another tool: no runtime can unpack this layer"
            }
            Self::InvalidWhiteout | Self::ImpossiblePath => {
                "build the layer again without this entry: runtimes refuse it"
            }
            Self::LimitExceeded => "split the layer, or raise the limit if you trust the image",
            Self::UnreadableSbom => "make the SBOM again, in a format that is read",
            Self::ReadFailed => "try again",
        }
    }

    /// Whether reading the same bytes again would end the same way.
    pub const fn is_permanent(self) -> bool {
        !matches!(self, Self::ReadFailed)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A layer that could not be read. Nothing of the image is used then: a wrong tree would hide packages.
#[derive(Debug, thiserror::Error)]
#[error("layer {layer}{}: {what}; {}", at(entry.as_deref()), reason.advice())]
pub struct LayerError {
    /// The layer's digest.
    pub layer: Digest,
    /// The entry of the archive, where one is to blame; unprintable bytes are escaped.
    pub entry: Option<String>,
    /// What is wrong, for machines.
    pub reason: Reason,
    /// What is wrong, for people.
    pub what: String,
    /// The reader's own error, when the bytes could not be fetched.
    #[source]
    pub source: Option<io::Error>,
}

fn at(entry: Option<&str>) -> String {
    entry.map(|path| format!(", entry `{path}`")).unwrap_or_default()
}

/// A [`LayerError`] in the making: the code that meets it knows neither the layer nor, at times, the entry.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) reason: Reason,
    pub(crate) what: String,
    pub(crate) entry: Option<String>,
    pub(crate) source: Option<io::Error>,
}

impl Fault {
    pub(crate) fn new(reason: Reason, what: impl Into<String>) -> Self {
        Self { reason, what: what.into(), entry: None, source: None }
    }

    pub(crate) fn limit(what: impl Into<String>) -> Self {
        Self::new(Reason::LimitExceeded, what)
    }

    pub(crate) fn read(source: io::Error) -> Self {
        let what = "the blob could not be read".to_owned();
        Self { reason: Reason::ReadFailed, what, entry: None, source: Some(source) }
    }

    /// Names the entry to blame, unless one is named already.
    pub(crate) fn at(mut self, path: &[u8]) -> Self {
        self.entry.get_or_insert_with(|| crate::path::printable(path));
        self
    }

    pub(crate) fn of_layer(self, layer: &Digest) -> LayerError {
        let Self { reason, what, entry, source } = self;
        LayerError { layer: layer.clone(), entry, reason, what, source }
    }
}

/// A manifest, index, config or SBOM document that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Larger than allowed, or holding more parts than allowed.
    #[error("the {document} has {actual} {what}, more than the {limit} allowed")]
    TooLarge {
        /// Which document.
        document: &'static str,
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        actual: usize,
        /// How much is allowed.
        limit: usize,
    },
    /// Not the JSON that its specification asks for.
    #[error("the {document} cannot be read: {why}")]
    Malformed {
        /// Which document.
        document: &'static str,
        /// Where and why.
        why: String,
    },
    /// Well-formed, but not something that can be scanned.
    #[error("the {document} is not supported: {why}")]
    Unsupported {
        /// Which document.
        document: &'static str,
        /// What it is, and what was expected.
        why: String,
    },
    /// Docker's first schema, which tells neither sizes nor uncompressed layers.
    #[error("the image manifest is one of Docker's schema 1, which is not read")]
    Schema1,
    /// A registry holds other things than images under the same kind of manifest.
    #[error("it is {what}, not a container image")]
    Artifact {
        /// What it is.
        what: String,
    },
    /// A layer can be read only with somebody's key.
    #[error("layer {layer} is encrypted")]
    Encrypted {
        /// The layer's digest.
        layer: Digest,
    },
    /// Two documents of one image contradict each other.
    #[error("manifest and config disagree: {0}")]
    Inconsistent(String),
    /// The index has no image for the platform.
    #[error("no image for {wanted}: the index offers {offered}")]
    NoSuchPlatform {
        /// What was asked for.
        wanted: String,
        /// What there is.
        offered: String,
    },
}

impl DocumentError {
    /// What to do about it, where that is more than to push or export the image again.
    pub const fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Schema1 => Some(
                "convert the image: pull and push it with a docker of today, or skopeo copy --format v2s2, and name the \
                 copy",
            ),
            Self::Artifact { .. } => Some("name a container image; of an artifact there is nothing to scan"),
            Self::Encrypted { .. } => {
                Some("decrypt a copy of the image first (skopeo copy --decryption-key), and scan that")
            }
            Self::NoSuchPlatform { .. } => Some("choose one with --platform"),
            Self::TooLarge { .. }
            | Self::Malformed { .. }
            | Self::Unsupported { .. }
            | Self::Inconsistent(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_names_layer_entry_fault_and_remedy() {
        let layer = Digest::of(b"");
        let fault = Fault::new(Reason::Truncated, "3 of 9 bytes").at(b"a\nb").at(b"outer");
        let error = fault.of_layer(&layer);
        let advice = Reason::Truncated.advice();
        assert_eq!(error.to_string(), format!("layer {layer}, entry `a\\x0ab`: 3 of 9 bytes; {advice}"));
        assert!(error.reason.is_permanent());
    }

    #[test]
    fn failed_reading_is_passing_and_keeps_its_cause() {
        let error = Fault::read(io::ErrorKind::TimedOut.into()).of_layer(&Digest::of(b""));
        assert!(!error.reason.is_permanent());
        assert_eq!(error.source.map(|e| e.kind()), Some(io::ErrorKind::TimedOut));
    }
}
