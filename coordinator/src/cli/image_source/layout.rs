//! An OCI image layout (image-spec, `image-layout.md`): `index.json` and `blobs/sha256/…`.
//!
//! What docker 25 and later save is a layout too; its `manifest.json` is read for the full names.

mod every;

use std::sync::Arc;

use inventory::{
    DockerArchive, Document, DocumentError, ImageConfig, ImageIndex, ImageManifest, IndexEntry,
    LayerDescriptor, Platform,
};
use model::Digest;

use super::members::Members;
use super::{
    Blob, Candidate, Choice, Content, DEPTH_MAX, Platforms, SourceError, SourceImage, each_once, pick,
    too_deep,
};

struct Found {
    bytes: Vec<u8>,
    manifest: ImageManifest,
    /// As an index says it.
    platform: Option<Platform>,
}

pub(super) fn open(members: &Arc<Members>, choice: &Choice) -> Result<Vec<SourceImage>, SourceError> {
    let index = ImageIndex::parse(&members.document("index.json")?)?;
    let wanted = choice.reference.as_deref();
    let found = match &choice.platform {
        Platforms::One(platform) => vec![pick(candidates(members, &index, platform)?, wanted)?],
        Platforms::All => every::candidates(members, &index, wanted)?,
    };
    found.into_iter().map(|candidate| image(members, candidate)).collect()
}

fn image(members: &Arc<Members>, found: Candidate<Found>) -> Result<SourceImage, SourceError> {
    let Candidate { names, content: Found { bytes, manifest, platform }, .. } = found;
    let config = blob_document(members, &manifest.config.digest)?;
    let layers = manifest.layers_of(&ImageConfig::parse(&config)?)?;
    let blob = |layer: &LayerDescriptor| {
        let member = member_of(&layer.digest);
        let LayerDescriptor { digest, media_type, size, .. } = layer.clone();
        let blob = Blob { digest, size, media_type, member };
        match members.contains(&blob.member) {
            true => Ok(blob),
            false if blob.may_be_elsewhere() => Err(blob.elsewhere("the layout")),
            false => Err(SourceError::Missing { what: blob.member }),
        }
    };
    let blobs = layers.iter().map(blob).collect::<Result<Vec<_>, _>>()?;
    let blobs = each_once(blobs.into_iter());
    let content = Content::Members(members.clone());
    let image = SourceImage::new(bytes, manifest.media_type, config, layers, blobs, content);
    let platform = platform.or_else(|| image.platform.clone());
    Ok(SourceImage { names, platform, ..image })
}

/// The images of a layout for the platform, each once with all its names. What has none for it is passed
/// over: that is a failure only when nothing is left.
fn candidates(
    members: &Members,
    index: &ImageIndex,
    platform: &Platform,
) -> Result<Vec<Candidate<Found>>, SourceError> {
    let saved = saved_names(members)?;
    let mut candidates: Vec<Candidate<Found>> = Vec::new();
    let mut passed_over = None;
    for entry in entries(index, platform) {
        let (digest, found) = match manifest(members, entry, platform, DEPTH_MAX) {
            Err(
                error @ SourceError::Document(
                    DocumentError::NoSuchPlatform { .. } | DocumentError::Artifact { .. },
                ),
            ) => {
                passed_over = Some(error);
                continue;
            }
            other => other?,
        };
        let names = names_of(&found.manifest, entry.ref_name.as_ref(), &saved);
        match candidates.iter_mut().find(|other| other.digest.as_ref() == Some(&digest)) {
            Some(same) => same.names.extend(names),
            None => candidates.push(Candidate { names, digest: Some(digest), content: found }),
        }
    }
    if candidates.is_empty() {
        passed_over.map_or(Ok(()), Err)?;
        index.choose(platform)?;
    }
    candidates.iter_mut().for_each(Candidate::tidy);
    Ok(candidates)
}

/// How an image is called: as docker saved it, and as the index says.
fn names_of(manifest: &ImageManifest, ref_name: Option<&String>, saved: &[(String, String)]) -> Vec<String> {
    let config = member_of(&manifest.config.digest);
    let tags = saved.iter().filter(|(member, _)| *member == config).map(|(_, tag)| tag);
    let mut names: Vec<String> = tags.cloned().collect();
    // A bare tag such as "latest" says little when there is a full name.
    names.extend(ref_name.cloned().filter(|name| names.is_empty() || name.contains('/')));
    names
}

impl Candidate<Found> {
    /// Each name once.
    fn tidy(&mut self) {
        self.names.sort();
        self.names.dedup();
    }
}

/// The entries worth looking at: of several for different platforms under one name, the wanted one.
fn entries<'a>(index: &'a ImageIndex, platform: &Platform) -> Vec<&'a IndexEntry> {
    let mut chosen = Vec::new();
    let mut seen: Vec<&Option<String>> = Vec::new();
    for entry in &index.entries {
        if entry.platform.is_none() {
            chosen.push(entry);
            continue;
        }
        if seen.contains(&&entry.ref_name) {
            continue;
        }
        seen.push(&entry.ref_name);
        let of_name = index.entries.iter().filter(|e| e.platform.is_some() && e.ref_name == entry.ref_name);
        let group = ImageIndex { entries: of_name.cloned().collect() };
        let Ok(wanted) = group.choose(platform) else { continue };
        chosen.extend(index.entries.iter().find(|e| *e == wanted));
    }
    chosen
}

/// The manifest behind an entry; through further indexes if need be.
fn manifest(
    members: &Members,
    entry: &IndexEntry,
    platform: &Platform,
    depth: usize,
) -> Result<(Digest, Found), SourceError> {
    let digest = entry.descriptor.digest.clone();
    let bytes = blob_document(members, &digest)?;
    match Document::parse(&bytes)? {
        Document::Manifest(manifest) => {
            Ok((digest, Found { bytes, manifest, platform: entry.platform.clone() }))
        }
        Document::Index(index) if depth > 0 => {
            manifest(members, index.choose(platform)?, platform, depth - 1)
        }
        Document::Index(_) => Err(too_deep().into()),
    }
}

fn blob_document(members: &Members, digest: &Digest) -> Result<Vec<u8>, SourceError> {
    let what = member_of(digest);
    let bytes = members.document(&what)?;
    let actual = Digest::of(&bytes);
    if actual == *digest { Ok(bytes) } else { Err(SourceError::Damaged { what, actual }) }
}

fn member_of(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Config member and name of each image in `manifest.json`, where there is one.
fn saved_names(members: &Members) -> Result<Vec<(String, String)>, SourceError> {
    if !members.contains("manifest.json") {
        return Ok(Vec::new());
    }
    let archive = DockerArchive::parse(&members.document("manifest.json")?)?;
    let names = archive.images.into_iter().flat_map(|image| {
        let config = image.config;
        image.repo_tags.into_iter().map(move |tag| (config.clone(), tag))
    });
    Ok(names.collect())
}
