//! The one table of limits on what is read from outside.
//!
//! A limit on one file costs that file, and the SBOM says so in its problems. A limit on the layer or the
//! image as a whole ends the reading with [`Reason::LimitExceeded`](crate::Reason::LimitExceeded).

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Bounds on size, count, depth and ratio. [`Limits::DEFAULT`] suits every image that people make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a manifest, an index, a config or a docker-archive `manifest.json`.
    pub document_bytes: usize,
    /// Descriptors in a manifest or an index, diff ids and history entries in a config.
    pub descriptors: usize,
    /// Compressed bytes of one layer.
    pub blob_bytes: u64,
    /// Uncompressed bytes of one layer; a sparse file counts with its logical size.
    pub layer_bytes: u64,
    /// How many times larger than its blob a layer may become …
    pub ratio: u64,
    /// … once it is larger than this.
    pub ratio_free_bytes: u64,
    /// Largest zstd window, as a power of two: the decoder allocates this much.
    pub zstd_window_log: u32,
    /// Paths of an image over all its layers; a directory counts also when it is only implied.
    pub paths: usize,
    /// Bytes of one path or link target (`PATH_MAX` of Linux: no runtime can make a longer one).
    pub path_bytes: usize,
    /// Bytes of one PAX record block or GNU long name (Go's `archive/tar` has the same limit).
    pub header_bytes: u64,
    /// Bytes of one file that is read for packages.
    pub file_bytes: u64,
    /// Bytes of a database of packages that is held packed, where it is larger than other files; packed it takes
    /// what an executable may take, less 24 MiB for what it is read with.
    pub packed_file_bytes: u64,
    /// Bytes held of one executable while it is looked into, less what is kept already and 16 for each path, in
    /// steps of 16 MiB; of a larger one only parts are held, and the SBOM says if they were not enough.
    pub executable_bytes: u64,
    /// Bytes of the list of crates in an executable, decompressed.
    pub audit_bytes: u64,
    /// Bytes of a lock file in TOML. Reading one takes many times its size.
    pub lock_bytes: usize,
    /// Bytes of a lock file that is read line by line or entry by entry.
    pub lock_text_bytes: usize,
    /// Packages of one kind that executables and lock files list: a few bytes each, many times that as components.
    pub listed: usize,
    /// Bytes that the packages of one kind take as components; of more, the SBOM says that they are not listed.
    pub kind_bytes: usize,
    /// The same of all packages of an image.
    pub found_bytes: usize,
    /// Paths that packages of the distribution claim, of which it matters who owns them.
    pub claims: usize,
    /// Bytes that are kept of one file's list of packages.
    pub listing_bytes: usize,
    /// Bytes of an image that are held until it is composed: files, links, and their paths.
    pub kept_bytes: usize,
    /// Links followed for one path (Linux follows 40).
    pub link_hops: usize,
    /// Components passed while following links, in one layer and again in the image.
    pub link_steps: u64,
    /// How often the layers are read again because a link leads to a file that was not kept.
    pub second_looks: usize,
    /// Bytes of a name or version of a package.
    pub word_bytes: usize,
    /// Problems listed in one SBOM; the rest is counted.
    pub problems: usize,
    /// Bytes of an SBOM document.
    pub sbom_bytes: usize,
    /// Components of an SBOM document.
    pub components: usize,
}

impl Limits {
    /// What is used unless an operator says otherwise. The memory they allow together, with the decoder's
    /// window, stays below 256 MiB.
    pub const DEFAULT: Self = Self {
        document_bytes: 4 << 20,
        descriptors: 512,
        blob_bytes: 16 * GIB,
        layer_bytes: 64 * GIB,
        ratio: 200,
        ratio_free_bytes: 64 * MIB,
        zstd_window_log: 27,
        paths: 5_000_000,
        path_bytes: 4096,
        header_bytes: MIB,
        file_bytes: 32 * MIB,
        packed_file_bytes: 512 * MIB,
        executable_bytes: 72 * MIB,
        audit_bytes: 8 * MIB,
        lock_bytes: 2 << 20,
        lock_text_bytes: 16 << 20,
        listed: 200_000,
        kind_bytes: 64 << 20,
        found_bytes: 96 << 20,
        claims: 200_000,
        listing_bytes: 8 << 20,
        kept_bytes: 64 << 20,
        link_hops: 40,
        link_steps: 10_000_000,
        second_looks: 3,
        word_bytes: 1024,
        problems: 1000,
        sbom_bytes: 256 << 20,
        components: 1_000_000,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
