//! A tiny image made here, and advisories about what is in it.

use model::{Digest, ImageDigest};
use store::images::{Layer, NewImage};

/// An image of one layer, with the bytes of its blobs.
pub(crate) struct Image {
    pub(crate) image: NewImage,
    pub(crate) config: Vec<u8>,
    pub(crate) layer: Vec<u8>,
}

/// An image that holds these npm packages, by name and version.
pub(crate) fn image_of(packages: &[(&str, &str)]) -> Image {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, version) in packages {
        let manifest = format!(r#"{{"name":"{name}","version":"{version}"}}"#);
        let mut header = tar::Header::new_ustar();
        header.set_size(manifest.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        let path = format!("app/node_modules/{name}/package.json");
        archive.append_data(&mut header, path, manifest.as_bytes()).expect("memory takes bytes");
    }
    let layer = archive.into_inner().expect("memory takes bytes");
    image_with_layer(layer)
}

/// An image whose only layer is these bytes.
pub(crate) fn image_with_layer(layer: Vec<u8>) -> Image {
    let diff_id = Digest::of(&layer);
    let config = format!(r#"{{"rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}}}}"#).into_bytes();
    // Its digest names the image; nothing here reads what is in it.
    let manifest = format!("manifest of {diff_id}").into_bytes();
    let image = NewImage {
        digest: ImageDigest::new(Digest::of(&manifest)),
        manifest,
        media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        config: Digest::of(&config),
        layers: vec![Layer {
            digest: diff_id.clone(),
            size: layer.len() as u64,
            media_type: "application/vnd.oci.image.layer.v1.tar".to_owned(),
            diff_id,
        }],
        names: vec![],
    };
    Image { image, config, layer }
}

/// An OSV record that says: this npm package is affected below this version.
pub(crate) fn advisory(id: &str, package: &str, fixed: &str) -> String {
    format!(
        r#"{{"id":"{id}","affected":[{{"package":{{"ecosystem":"npm","name":"{package}"}},"ranges":[{{"type":"SEMVER","events":[{{"introduced":"0"}},{{"fixed":"{fixed}"}}]}}]}}]}}"#
    )
}
