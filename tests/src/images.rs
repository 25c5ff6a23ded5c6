//! Images made in code: a handful of packages each, and no two alike unless asked for.

mod layer;
mod layout;

use flate2::Compression;
use flate2::write::GzEncoder;
use model::Digest;
use serde_json::json;
use std::io::Write as _;

pub use layer::Layer;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Bytes with the name that the manifest calls them by.
#[derive(Debug, Clone)]
pub struct Blob {
    /// Digest of the bytes, or what pretends to be.
    pub digest: String,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// What they are.
    pub media_type: String,
    /// Digest of what they unpack to, or what pretends to be.
    pub diff_id: String,
}

/// An image in memory.
#[derive(Debug, Clone)]
pub struct Image {
    /// The manifest, byte for byte.
    pub manifest: Vec<u8>,
    /// Its media type.
    pub media_type: String,
    /// The configuration, byte for byte.
    pub config: Vec<u8>,
    /// The layers, lowest first.
    pub layers: Vec<Blob>,
}

impl Image {
    /// An image of these layers.
    pub fn of(layers: impl IntoIterator<Item = Layer>) -> Self {
        Self::of_blobs(layers.into_iter().map(|layer| packed(&layer.tar())).collect())
    }

    /// A Debian 12 with the packages that [`FeedFolder`](crate::FeedFolder) speaks of, unlike any other.
    pub fn small() -> Self {
        let debian = Layer::new().debian_12(&[("starling-deb", "1.0-1"), ("starling-quiet", "2.0-1")]);
        let application = Layer::new()
            .npm("app", "starling-npm", "1.0.0")
            .npm("app", "starling-calm", "3.0.0")
            .python("opt/venv/lib/python3.11/site-packages", "starling-pypi", "1.0");
        Self::of([debian, application.unlike_any_other()])
    }

    /// One layer with one npm package: as little work as there can be. Unlike any other.
    pub fn tiny() -> Self {
        Self::of([Layer::new().npm("app", "starling-npm", "1.0.0").unlike_any_other()])
    }

    /// An image that holds a tenant's own word, so that it can be looked for where it must not be.
    pub fn with_canary(canary: &str) -> Self {
        let layer = Layer::new().npm("app", canary, "1.0.0").npm("app", "starling-npm", "1.0.0");
        Self::of([layer.unlike_any_other()])
    }

    /// Its only layer is not a tar archive, though all digests are right.
    pub fn unreadable() -> Self {
        let noise: Vec<u8> = uuid::Uuid::now_v7().into_bytes().repeat(400);
        Self::of_blobs(vec![packed(&noise)])
    }

    /// Its configuration names another diff id than its layer has.
    pub fn with_wrong_diff_id() -> Self {
        let mut blob = packed(&Layer::new().npm("app", "starling-npm", "1.0.0").unlike_any_other().tar());
        blob.diff_id = Digest::of(b"something else").to_string();
        Self::of_blobs(vec![blob])
    }

    /// What the image is called: the digest of its manifest.
    pub fn digest(&self) -> String {
        Digest::of(&self.manifest).to_string()
    }

    fn of_blobs(layers: Vec<Blob>) -> Self {
        let diff_ids: Vec<_> = layers.iter().map(|blob| blob.diff_id.as_str()).collect();
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let config = config.to_string().into_bytes();
        let described: Vec<_> = layers
            .iter()
            .map(|blob| json!({ "mediaType": blob.media_type, "digest": blob.digest, "size": blob.bytes.len() }))
            .collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": { "mediaType": CONFIG, "digest": Digest::of(&config).as_str(), "size": config.len() },
            "layers": described,
        });
        Self { manifest: manifest.to_string().into_bytes(), media_type: MANIFEST.to_owned(), config, layers }
    }
}

/// A layer's archive, compressed and named.
fn packed(archive: &[u8]) -> Blob {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(archive).expect("memory can be written");
    let bytes = encoder.finish().expect("memory can be written");
    Blob {
        digest: Digest::of(&bytes).to_string(),
        bytes,
        media_type: LAYER.to_owned(),
        diff_id: Digest::of(archive).to_string(),
    }
}
