//! Image manifests, of OCI and of Docker (image-spec `manifest.md`; distribution, manifest v2 schema 2).
//!
//! Strict where two readers could see two images (CVE-2021-41190): one media type, `layers` or `manifests`
//! but not both, sha256 digests only. Lenient about what does not matter here.

use model::Digest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::artifact;
use crate::config::ImageConfig;
use crate::error::DocumentError;
use crate::index::ImageIndex;
use crate::limits::Limits;

/// Media types that mean something here.
pub mod media_type {
    /// A manifest as OCI writes it.
    pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// A manifest as Docker writes it.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// An index as OCI writes it.
    pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// An index as Docker writes it.
    pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// A manifest of Docker's first schema, signed. Not read.
    pub const DOCKER_SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    /// An image config as OCI writes it.
    pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// An image config as Docker writes it.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    /// A layer that is a plain tar archive.
    pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    /// A layer compressed with gzip.
    pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// A layer compressed with zstd.
    pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
}

/// Points at a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// What it is said to be.
    pub media_type: String,
    /// The sha256 of its bytes.
    pub digest: Digest,
    /// How many bytes it has.
    pub size: u64,
}

/// All that is needed to read one layer, from manifest and config together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerDescriptor {
    /// The sha256 of the blob.
    pub digest: Digest,
    /// Bytes of the blob.
    pub size: u64,
    /// What it is said to be.
    pub media_type: String,
    /// The sha256 of the uncompressed archive.
    pub diff_id: Digest,
}

/// One image: its config and its layers, lowest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageManifest {
    /// What it calls itself, or would if it did.
    pub media_type: String,
    /// The image config.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<Descriptor>,
}

/// What a registry or a layout may hold under an image's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// One image.
    Manifest(ImageManifest),
    /// Several, by platform.
    Index(ImageIndex),
}

impl Document {
    /// Reads either of the two, told apart by what is in it.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        let shape: Shape = parse("image manifest", bytes)?;
        if shape.manifests.is_some() {
            ImageIndex::parse(bytes).map(Self::Index)
        } else {
            ImageManifest::parse(bytes).map(Self::Manifest)
        }
    }
}

impl ImageManifest {
    /// Reads a manifest of at most [`Limits::document_bytes`].
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        const WHAT: &str = "image manifest";
        artifact::refuse(bytes)?;
        let raw: RawManifest = parse(WHAT, bytes)?;
        check_version(WHAT, raw.schema_version)?;
        if raw.manifests.is_some() {
            return Err(malformed(WHAT, "it has both layers and manifests"));
        }
        let media_type = raw.media_type.unwrap_or_else(|| media_type::OCI_MANIFEST.to_owned());
        if ![media_type::OCI_MANIFEST, media_type::DOCKER_MANIFEST].contains(&media_type.as_str()) {
            return Err(unsupported(
                WHAT,
                format!("{media_type:?} is not the media type of an image manifest"),
            ));
        }
        check_count(WHAT, "layers", raw.layers.len())?;
        let config = raw.config.check(WHAT)?;
        if ![media_type::OCI_CONFIG, media_type::DOCKER_CONFIG].contains(&config.media_type.as_str()) {
            return Err(artifact::by_type(&config.media_type));
        }
        let layers = raw.layers.into_iter().map(|layer| layer.check(WHAT)).collect::<Result<Vec<_>, _>>()?;
        artifact::check_layers(&layers)?;
        Ok(Self { media_type, config, layers })
    }

    /// The layers with their diff ids, which are the config's to tell.
    pub fn layers_of(&self, config: &ImageConfig) -> Result<Vec<LayerDescriptor>, DocumentError> {
        if self.layers.len() != config.diff_ids.len() {
            let (layers, ids) = (self.layers.len(), config.diff_ids.len());
            return Err(DocumentError::Inconsistent(format!("{layers} layers, but {ids} diff ids")));
        }
        let pairs = self.layers.iter().cloned().zip(config.diff_ids.iter().cloned());
        let layer = |(Descriptor { media_type, digest, size }, diff_id)| LayerDescriptor {
            digest,
            size,
            media_type,
            diff_id,
        };
        Ok(pairs.map(layer).collect())
    }

    /// The manifest as canonical JSON. For images that come without one, such as docker archives.
    pub fn to_bytes(&self) -> Vec<u8> {
        let raw = RawManifest {
            schema_version: 2,
            media_type: Some(self.media_type.clone()),
            config: RawDescriptor::from(&self.config),
            layers: self.layers.iter().map(RawDescriptor::from).collect(),
            manifests: None,
        };
        serde_json_canonicalizer::to_vec(&raw).expect("strings and sizes below 2^53 are always JSON")
    }
}

#[derive(Deserialize)]
struct Shape {
    manifests: Option<serde::de::IgnoredAny>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawManifest {
    schema_version: u32,
    media_type: Option<String>,
    config: RawDescriptor,
    layers: Vec<RawDescriptor>,
    #[serde(skip_serializing)]
    manifests: Option<serde::de::IgnoredAny>,
}

/// A descriptor as it is written. Shared with the index.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawDescriptor {
    pub(crate) media_type: String,
    pub(crate) digest: String,
    pub(crate) size: u64,
}

impl RawDescriptor {
    pub(crate) fn check(self, document: &'static str) -> Result<Descriptor, DocumentError> {
        let digest =
            self.digest.parse().map_err(|e: model::InvalidDigest| malformed(document, e.to_string()))?;
        if self.size > i64::MAX as u64 {
            return Err(malformed(document, format!("{} is no size of a blob", self.size)));
        }
        Ok(Descriptor { media_type: self.media_type, digest, size: self.size })
    }
}

impl From<&Descriptor> for RawDescriptor {
    fn from(d: &Descriptor) -> Self {
        Self { media_type: d.media_type.clone(), digest: d.digest.to_string(), size: d.size }
    }
}

/// JSON of bounded size into its raw form; a field said twice is refused.
pub(crate) fn parse<T: DeserializeOwned>(document: &'static str, bytes: &[u8]) -> Result<T, DocumentError> {
    let limit = Limits::DEFAULT.document_bytes;
    if bytes.len() > limit {
        return Err(DocumentError::TooLarge { document, what: "bytes", actual: bytes.len(), limit });
    }
    serde_json::from_slice(bytes).map_err(|e| malformed(document, e.to_string()))
}

pub(crate) fn check_version(document: &'static str, version: u32) -> Result<(), DocumentError> {
    if version == 2 {
        Ok(())
    } else {
        Err(unsupported(document, format!("schemaVersion {version} is not 2")))
    }
}

pub(crate) fn check_count(
    document: &'static str,
    what: &'static str,
    actual: usize,
) -> Result<(), DocumentError> {
    let limit = Limits::DEFAULT.descriptors;
    if actual > limit { Err(DocumentError::TooLarge { document, what, actual, limit }) } else { Ok(()) }
}

pub(crate) fn malformed(document: &'static str, why: impl Into<String>) -> DocumentError {
    DocumentError::Malformed { document, why: why.into() }
}

pub(crate) fn unsupported(document: &'static str, why: impl Into<String>) -> DocumentError {
    DocumentError::Unsupported { document, why: why.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(media_type: &str) -> String {
        format!(r#"{{"mediaType":"{media_type}","digest":"{}","size":3}}"#, Digest::of(b"abc"))
    }

    fn manifest(media_type: &str, config: &str, rest: &str) -> String {
        let (config, layer) = (descriptor(config), descriptor(media_type::OCI_LAYER_GZIP));
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{media_type}","config":{config},"layers":[{layer}]{rest}}}"#
        )
    }

    fn refusal(json: &str) -> String {
        ImageManifest::parse(json.as_bytes()).map_err(|e| e.to_string()).expect_err("it was taken")
    }

    #[test]
    fn both_kinds_of_manifest_are_read_and_written_back() {
        for (kind, config) in [
            (media_type::OCI_MANIFEST, media_type::OCI_CONFIG),
            (media_type::DOCKER_MANIFEST, media_type::DOCKER_CONFIG),
        ] {
            let read =
                ImageManifest::parse(manifest(kind, config, r#","annotations":{}"#).as_bytes()).unwrap();
            assert_eq!((read.media_type.as_str(), read.layers.len(), read.layers[0].size), (kind, 1, 3));
            assert_eq!(ImageManifest::parse(&read.to_bytes()), Ok(read.clone()));
            assert_eq!(Document::parse(&read.to_bytes()), Ok(Document::Manifest(read)));
        }
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        let ambiguous = manifest(media_type::OCI_MANIFEST, media_type::OCI_CONFIG, r#","manifests":[]"#);
        assert!(refusal(&ambiguous).contains("both layers and manifests"));
        let twice = manifest(media_type::OCI_MANIFEST, media_type::OCI_CONFIG, r#","layers":[]"#);
        assert!(refusal(&twice).contains("duplicate field"));
        let index = manifest(media_type::OCI_INDEX, media_type::OCI_CONFIG, "");
        assert!(refusal(&index).contains("not the media type"));
        let upper =
            manifest(media_type::OCI_MANIFEST, media_type::OCI_CONFIG, "").replace("ba7816", "BA7816");
        assert!(refusal(&upper).contains("is not a digest"));
        let old = manifest(media_type::OCI_MANIFEST, media_type::OCI_CONFIG, "").replace(":2,", ":3,");
        assert!(refusal(&old).contains("schemaVersion 3"));
    }

    #[test]
    fn size_and_count_are_bounded() {
        let padded = format!("{}{}", " ".repeat(4 << 20), manifest("", "", ""));
        assert!(refusal(&padded).contains("bytes, more than"));
        let layer = descriptor(media_type::OCI_LAYER);
        let layers = vec![layer; 513].join(",");
        let config = descriptor(media_type::OCI_CONFIG);
        let json = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layers}]}}"#);
        assert!(refusal(&json).contains("513 layers, more than the 512 allowed"));
        assert!(refusal(&json.replace(":3}", ":-3}")).contains("cannot be read"));
    }

    #[test]
    fn every_layer_has_its_diff_id() {
        let json = manifest(media_type::OCI_MANIFEST, media_type::OCI_CONFIG, "");
        let manifest = ImageManifest::parse(json.as_bytes()).unwrap();
        let mut config = ImageConfig { diff_ids: vec![Digest::of(b"x")], ..ImageConfig::default() };
        let layers = manifest.layers_of(&config).unwrap();
        assert_eq!((&layers[0].digest, &layers[0].diff_id), (&Digest::of(b"abc"), &Digest::of(b"x")));
        config.diff_ids.push(Digest::of(b"y"));
        assert_eq!(
            manifest.layers_of(&config),
            Err(DocumentError::Inconsistent("1 layers, but 2 diff ids".to_owned()))
        );
    }
}
