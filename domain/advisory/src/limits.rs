//! How much a feed may hand us. All limits of this crate stand here.

/// What is read of a feed at most. What is beyond a limit costs the smallest thing that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one record; beyond it the record is refused. (Depth is bounded by `serde_json`: 128.)
    pub record_bytes: usize,
    /// Bytes of one document that holds many records; beyond it the feed is not read.
    pub document_bytes: usize,
    /// Records of one feed; beyond it reading ends with an error.
    pub records: u64,
    /// Entries of packages in one record; beyond it the record is refused.
    pub affected: usize,
    /// Aliases and upstream ids of one record; beyond it the record is refused.
    pub names: usize,
    /// Ranges of one entry; beyond it the entry is dropped.
    pub ranges: usize,
    /// Events of one range; beyond it the range is dropped.
    pub events: usize,
    /// Versions listed in one entry; beyond it the entry is dropped.
    pub versions: usize,
    /// Bytes of an id, a name, an ecosystem or a version; beyond it what is named so is dropped.
    pub text_bytes: usize,
}

impl Default for Limits {
    /// Several times what the largest known feeds need.
    fn default() -> Self {
        Self {
            record_bytes: 16 << 20,
            document_bytes: 256 << 20,
            records: 2_000_000,
            affected: 20_000,
            names: 5_000,
            ranges: 1_000,
            events: 5_000,
            versions: 100_000,
            text_bytes: 512,
        }
    }
}
