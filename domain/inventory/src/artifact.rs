//! What stands where an image's manifest is expected, and is none that can be scanned: Docker's first schema, things
//! of other kinds that registries keep in the same form, and images that are encrypted.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::error::DocumentError;
use crate::manifest::{Descriptor, media_type, parse};

/// Docker's schema 1, plain and signed.
const SCHEMA_1: [&str; 2] =
    ["application/vnd.docker.distribution.manifest.v1+json", media_type::DOCKER_SCHEMA_1];
/// A manifest of an OCI release candidate, which has blobs and no layers.
const ARTIFACT_MANIFEST: &str = "application/vnd.oci.artifact.manifest.v1+json";
/// The configuration of what has none.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// How ocicrypt marks a layer.
const ENCRYPTED: &str = "+encrypted";

/// What is known by the type of its configuration, of its layers or of itself.
const KINDS: [(&str, &str); 9] = [
    ("application/vnd.cncf.helm.", "a Helm chart"),
    ("application/vnd.dev.cosign.simplesigning.", "a signature by cosign"),
    ("application/vnd.dev.cosign.artifact.sig.", "a signature by cosign"),
    ("application/vnd.dev.sigstore.bundle", "a signature or attestation (Sigstore bundle)"),
    ("application/vnd.cncf.notary.signature", "a signature by Notation"),
    ("application/vnd.dsse.envelope.", "an attestation (DSSE)"),
    ("application/vnd.in-toto+", "an attestation (in-toto)"),
    ("application/vnd.wasm.", "a WebAssembly module"),
    ("application/vnd.docker.plugin.", "a plugin of Docker"),
];
/// Longer types are cut where they are told.
const TYPE_CHARS: usize = 200;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    schema_version: Option<u32>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    fs_layers: Option<IgnoredAny>,
    config: Option<ConfigShape>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConfigShape {
    media_type: Option<String>,
}

/// Refuses what is known to be no image by more than its configuration. What cannot be read at all is left to whoever
/// reads it properly.
pub(crate) fn refuse(bytes: &[u8]) -> Result<(), DocumentError> {
    let Ok(shape) = parse::<Shape>("image manifest", bytes) else { return Ok(()) };
    let kind = shape.media_type.as_deref().unwrap_or_default();
    if SCHEMA_1.contains(&kind) || shape.schema_version == Some(1) || shape.fs_layers.is_some() {
        return Err(DocumentError::Schema1);
    }
    let config = shape.config.and_then(|config| config.media_type);
    match shape.artifact_type {
        Some(own) if kind == ARTIFACT_MANIFEST || config.as_deref() == Some(EMPTY) => Err(by_type(&own)),
        _ if kind == ARTIFACT_MANIFEST => Err(by_type(kind)),
        _ => Ok(()),
    }
}

/// The refusal of what calls itself so.
pub(crate) fn by_type(kind: &str) -> DocumentError {
    let what = known(kind).map_or_else(
        || format!("an artifact of type {:?}", kind.chars().take(TYPE_CHARS).collect::<String>()),
        str::to_owned,
    );
    DocumentError::Artifact { what }
}

/// Refuses layers that are none, and those that nobody can read without a key. cosign's signatures and BuildKit's
/// attestations have the configuration of an image.
pub(crate) fn check_layers(layers: &[Descriptor]) -> Result<(), DocumentError> {
    if let Some(layer) = layers.iter().find(|layer| layer.media_type.ends_with(ENCRYPTED)) {
        return Err(DocumentError::Encrypted { layer: layer.digest.clone() });
    }
    match layers.iter().find_map(|layer| known(&layer.media_type)) {
        Some(what) => Err(DocumentError::Artifact { what: what.to_owned() }),
        None => Ok(()),
    }
}

fn known(kind: &str) -> Option<&'static str> {
    KINDS.iter().find(|(start, _)| kind.starts_with(start)).map(|(_, what)| *what)
}

#[cfg(test)]
mod tests {
    use model::Digest;

    use crate::manifest::{Document, ImageManifest, media_type};

    fn descriptor(kind: &str) -> String {
        format!(r#"{{"mediaType":"{kind}","digest":"{}","size":3}}"#, Digest::of(b"abc"))
    }

    fn manifest(config: &str, layer: &str, rest: &str) -> String {
        let (kind, config, layer) = (media_type::OCI_MANIFEST, descriptor(config), descriptor(layer));
        format!(r#"{{"schemaVersion":2,"mediaType":"{kind}",{rest}"config":{config},"layers":[{layer}]}}"#)
    }

    #[track_caller]
    fn check(json: &str, words: &str) {
        let by_manifest = ImageManifest::parse(json.as_bytes()).expect_err("it was taken");
        assert_eq!(by_manifest.to_string(), words);
        assert_eq!(Document::parse(json.as_bytes()), Err(by_manifest.clone()));
        assert!(by_manifest.advice().is_some());
    }

    #[test]
    fn dockers_first_schema_is_known_with_and_without_its_media_type() {
        let words = "the image manifest is one of Docker's schema 1, which is not read";
        let plain = r#"{"schemaVersion":1,"name":"app","tag":"1","architecture":"amd64",
            "fsLayers":[{"blobSum":"sha256:00"}],"history":[{"v1Compatibility":"{}"}]}"#;
        check(plain, words);
        let signed = plain.replacen('{', &format!(r#"{{"mediaType":"{}","#, super::SCHEMA_1[1]), 1);
        check(&signed.replace(r#""schemaVersion":1,"#, ""), words);
    }

    #[test]
    fn artifacts_are_called_what_they_are() {
        let image = media_type::OCI_CONFIG;
        let helm = "application/vnd.cncf.helm.config.v1+json";
        check(&manifest(helm, "application/x", ""), "it is a Helm chart, not a container image");
        let cosign = "application/vnd.dev.cosign.simplesigning.v1+json";
        check(&manifest(image, cosign, ""), "it is a signature by cosign, not a container image");
        let in_toto = "application/vnd.in-toto+json";
        check(&manifest(image, in_toto, ""), "it is an attestation (in-toto), not a container image");
        let own = r#""artifactType":"application/vnd.dev.sigstore.bundle.v0.3+json","#;
        let bundle = "it is a signature or attestation (Sigstore bundle), not a container image";
        check(&manifest(super::EMPTY, super::EMPTY, own), bundle);
        check(
            &manifest(super::EMPTY, super::EMPTY, ""),
            r#"it is an artifact of type "application/vnd.oci.empty.v1+json", not a container image"#,
        );
        let early = format!(
            r#"{{"mediaType":"{}","artifactType":"application/vnd.wasm.x","blobs":[]}}"#,
            super::ARTIFACT_MANIFEST
        );
        check(&early, "it is a WebAssembly module, not a container image");
    }

    #[test]
    fn an_encrypted_layer_is_named() {
        let layer = format!("{}+encrypted", media_type::OCI_LAYER_GZIP);
        let words = format!("layer {} is encrypted", Digest::of(b"abc"));
        check(&manifest(media_type::OCI_CONFIG, &layer, ""), &words);
    }

    #[test]
    fn an_image_may_have_a_type_of_its_own_and_layers_of_any_kind() {
        let own = r#""artifactType":"application/vnd.cncf.helm.config.v1+json","#;
        let json = manifest(media_type::OCI_CONFIG, "application/vnd.cyclonedx+json", own);
        assert!(ImageManifest::parse(json.as_bytes()).is_ok());
    }
}
