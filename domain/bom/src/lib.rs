//! SBOMs in the field's formats: written for others, and theirs read.
//!
//! [`model::Sbom`] is what we reckon with; its own stored form is `inventory::sbom`. Here it becomes CycloneDX
//! ([`cyclonedx`]), SPDX ([`spdx`]) and the binary index of one image ([`bom_index`]), and [`read`] turns documents
//! of other tools, or our own, into an [`model::Sbom`] again. What we wrote is read back to the last field, so that
//! an SBOM's scan and the scan of the image that it was made from have the same findings.
//!
//! The same SBOM gives the same bytes: no document has a time or a number of its own in it.

mod analysis;
pub mod bom_index;
pub mod cyclonedx;
mod marks;
mod read;
pub mod spdx;

use model::Digest;

pub use analysis::with_analysis;
pub use read::{DOCUMENT_BYTES, ReadError, media_type_of, read};

/// What SBOM documents are called where blobs have a media type.
const MEDIA_TYPES: [&str; 4] = [
    "application/vnd.cyclonedx+json",
    "application/spdx+json",
    "text/spdx",
    "application/vnd.starling.sbom+json",
];

/// Whether a blob of this media type is an SBOM.
pub fn is_media_type(media_type: &str) -> bool {
    MEDIA_TYPES.contains(&media_type)
}

/// The image that an SBOM is of.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// How it is called.
    pub name: &'a str,
    /// Its manifest's digest, `sha256:…`; empty where it is not known.
    pub digest: &'a str,
    /// The uncompressed layers' digests, lowest first; empty where they are not known.
    pub layers: &'a [Digest],
}

/// A UUID (RFC 9562, version 8) that names a document by what it says.
fn uuid_of(subject: &Subject<'_>, sbom: &model::Sbom) -> uuid::Uuid {
    let mut said = inventory::sbom::document(sbom);
    said.extend_from_slice(format!("\n{}\n{}", subject.name, subject.digest).as_bytes());
    uuid_named(&said)
}

/// The same bytes name the same document.
fn uuid_named(said: &[u8]) -> uuid::Uuid {
    let digest = Digest::of(said);
    let hex = digest.as_str().rsplit(':').next().unwrap_or_default();
    let number = hex.get(..32).and_then(|first| u128::from_str_radix(first, 16).ok()).unwrap_or_default();
    uuid::Builder::from_custom_bytes(number.to_be_bytes()).into_uuid()
}

/// What the image is called in the documents: our own names have no digest in them.
fn purl_of(subject: &Subject<'_>) -> Option<model::Purl> {
    let name = subject.name.rsplit('/').next()?.split([':', '@']).next()?;
    let digest = Some(subject.digest).filter(|digest| !digest.is_empty())?;
    inventory::purl::PurlBuilder::new("oci", &name.to_lowercase()).version(digest).build().ok()
}
