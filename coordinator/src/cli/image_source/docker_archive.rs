//! A docker archive (`docker save` before version 25, podman's default): `manifest.json`, configs and layers.
//!
//! It has no OCI manifest, so one is made: the same archive always gives the same one. Its layers are plain
//! tars, whose digests are the configuration's diff ids; compressed ones are read through for theirs.

use std::io::Read;
use std::sync::Arc;

use inventory::{
    ArchivedImage, Descriptor, DockerArchive, DocumentError, ImageConfig, ImageManifest, media_type,
};
use model::Digest;

use super::super::digesting::digest_of;
use super::members::Members;
use super::{Blob, Candidate, Choice, Content, SourceError, SourceImage, each_once, pick};

pub(super) fn open(members: &Arc<Members>, choice: &Choice) -> Result<SourceImage, SourceError> {
    let archive = DockerArchive::parse(&members.document("manifest.json")?)?;
    let candidates = archive.images.into_iter().map(|image| Candidate {
        names: image.repo_tags.clone(),
        digest: None,
        content: image,
    });
    let Candidate { names, content, .. } = pick(candidates.collect(), choice.reference.as_deref())?;
    image(members, &content, names)
}

fn image(
    members: &Arc<Members>,
    archived: &ArchivedImage,
    names: Vec<String>,
) -> Result<SourceImage, SourceError> {
    let config = members.document(&archived.config)?;
    let parsed = ImageConfig::parse(&config)?;
    if parsed.diff_ids.len() != archived.layers.len() {
        let (layers, ids) = (archived.layers.len(), parsed.diff_ids.len());
        return Err(DocumentError::Inconsistent(format!("{layers} layers, but {ids} diff ids")).into());
    }
    let members_of = archived.layers.iter().zip(&parsed.diff_ids);
    let all = members_of.map(|(member, id)| layer(members, member, id)).collect::<Result<Vec<_>, _>>()?;
    let manifest = ImageManifest {
        media_type: media_type::OCI_MANIFEST.to_owned(),
        config: Descriptor {
            media_type: media_type::OCI_CONFIG.to_owned(),
            digest: Digest::of(&config),
            size: config.len() as u64,
        },
        layers: all.iter().map(descriptor).collect(),
    };
    let layers = manifest.layers_of(&parsed)?;
    let bytes = manifest.to_bytes();
    let blobs = each_once(all.into_iter());
    let content = Content::Members(members.clone());
    let image = SourceImage::new(bytes, manifest.media_type, config, layers, blobs, content);
    Ok(SourceImage { names, ..image })
}

fn descriptor(blob: &Blob) -> Descriptor {
    Descriptor { media_type: blob.media_type.clone(), digest: blob.digest.clone(), size: blob.size }
}

fn layer(members: &Members, member: &str, diff_id: &Digest) -> Result<Blob, SourceError> {
    let size = members.size(member).ok_or_else(|| SourceError::Missing { what: member.to_owned() })?;
    let mut magic = Vec::new();
    let fault = |source| SourceError::Read { path: member.into(), source };
    members.open(member)?.take(4).read_to_end(&mut magic).map_err(fault)?;
    let compressed = match magic[..] {
        [0x1f, 0x8b, ..] => Some(media_type::OCI_LAYER_GZIP),
        [0x28, 0xb5, 0x2f, 0xfd] => Some(media_type::OCI_LAYER_ZSTD),
        _ => None,
    };
    let digest = match compressed {
        Some(_) => digest_of(members.open(member)?).map_err(fault)?.0,
        None => diff_id.clone(),
    };
    let media_type = compressed.unwrap_or(media_type::OCI_LAYER).to_owned();
    Ok(Blob { digest, size, media_type, member: member.to_owned() })
}
