//! From the layers of an image to its SBOM.
//!
//! Bytes and readers in, values out: nothing here opens a file, waits or looks at a clock. A layer is
//! read once, as a stream, in bounded memory: digests are checked on the way, the few files that name
//! packages are kept, and of everything else only enough to know what it hides in the layers below.
//!
//! ```text
//! manifest, index, config, docker_archive   which layers
//! layer/                                    one layer, one pass          → Layer
//! compose/                                  the files that are visible   → Sbom
//! ecosystems/                               what the files say           → components
//! sbom, purl                                how it is written down
//! ```
//!
//! [`scan`] does all of it; [`read_layer`] and [`compose`] are its steps.

mod artifact;
mod compose;
mod config;
mod docker_archive;
mod ecosystems;
mod error;
mod index;
mod layer;
mod limits;
mod links;
mod manifest;
mod os_release;
mod packed;
mod path;
pub mod purl;
pub mod sbom;
mod scan;

pub use compose::compose;
pub use config::{HistoryEntry, ImageConfig};
pub use docker_archive::{ArchivedImage, DockerArchive};
pub use error::{DocumentError, LayerError, Reason};
pub use index::{ImageIndex, IndexEntry, Platform};
pub use layer::{Layer, read_layer};
pub use limits::Limits;
pub use manifest::{Descriptor, Document, ImageManifest, LayerDescriptor, media_type};
pub use scan::{LayerCache, NoCache, scan, usual_threads};

/// Which rules made an SBOM. Raised whenever the same layers would give another list, so that stored
/// SBOMs of older rules are made anew.
pub const EXTRACTOR: &str = "starling-inventory/5";
