//! How much a document may hand us. All limits of this crate stand here.

/// What is read of a document at most. What is beyond a limit costs the smallest thing that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a file; beyond it the file is refused. (Depth is bounded by `serde_json`: 128.)
    pub document_bytes: usize,
    /// Documents of one file; beyond it the file is refused.
    pub documents: usize,
    /// Statements of one document; beyond it the document is refused.
    pub statements: usize,
    /// Products of all statements of one document; beyond it the document is refused.
    pub products: usize,
    /// Products that a tree names; beyond it the document is refused.
    pub tree: usize,
    /// Names of one thing; beyond it the rest is left out, with a problem.
    pub names: usize,
    /// Bytes of an id, a name or a version; beyond it what is named so is dropped.
    pub text_bytes: usize,
    /// Bytes of free text that are kept.
    pub detail_bytes: usize,
    /// Problems of one file that are told.
    pub problems: usize,
}

impl Default for Limits {
    /// Several times what the largest known documents need.
    fn default() -> Self {
        Self {
            document_bytes: 64 << 20,
            documents: 10_000,
            statements: 200_000,
            products: 400_000,
            tree: 200_000,
            names: 64,
            text_bytes: 1_024,
            detail_bytes: 2_048,
            problems: 1_000,
        }
    }
}
