//! Shared by the tests: images in OCI layouts, layers made by hand.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use inventory::{Document, ImageConfig, LayerDescriptor, LayerError, Limits, Platform, media_type, scan};
use model::{Digest, Sbom};

/// The folder of real data beside the project, or `None` with a word on why the test proves nothing.
pub(crate) fn shared_data() -> Option<PathBuf> {
    let default = "../../../shared/data";
    let dir = PathBuf::from(option_env!("STARLING_SHARED_DATA").unwrap_or(default));
    if dir.join("images").is_dir() {
        return Some(dir);
    }
    println!("skipped: no data in {} (set STARLING_SHARED_DATA when building to use another)", dir.display());
    None
}

/// Scans the first image of an OCI layout. Any refusal on the way is an error.
pub(crate) fn scan_layout(layout: &Path) -> Result<Sbom, String> {
    let (layers, blob) = open_layout(layout)?;
    scan(&layers, &Limits::DEFAULT, |layer| File::open(blob(&layer.digest))).map_err(|e| e.to_string())
}

/// The layers of a layout's first image, and where its blobs are.
pub(crate) fn open_layout(
    layout: &Path,
) -> Result<(Vec<LayerDescriptor>, impl Fn(&Digest) -> PathBuf), String> {
    let blobs = layout.join("blobs/sha256");
    let blob = move |digest: &Digest| blobs.join(digest.hex());
    let mut bytes = fs::read(layout.join("index.json")).map_err(|e| e.to_string())?;
    let manifest = loop {
        match Document::parse(&bytes).map_err(|e| e.to_string())? {
            Document::Manifest(manifest) => break manifest,
            Document::Index(index) => {
                let entry = match index.choose(&Platform::linux_amd64()) {
                    Ok(entry) => entry,
                    Err(_) if index.entries.len() == 1 => &index.entries[0],
                    Err(e) => return Err(e.to_string()),
                };
                bytes = read_blob(&blob, &entry.descriptor.digest)?;
            }
        }
    };
    let config =
        ImageConfig::parse(&read_blob(&blob, &manifest.config.digest)?).map_err(|e| e.to_string())?;
    Ok((manifest.layers_of(&config).map_err(|e| e.to_string())?, blob))
}

fn read_blob(blob: impl Fn(&Digest) -> PathBuf, digest: &Digest) -> Result<Vec<u8>, String> {
    let bytes = fs::read(blob(digest)).map_err(|e| e.to_string())?;
    if Digest::of(&bytes) == *digest { Ok(bytes) } else { Err(format!("{digest} is another blob")) }
}

/// Scans layers given as uncompressed archives.
pub(crate) fn scan_archives(archives: &[Vec<u8>]) -> Result<Sbom, LayerError> {
    let layers: Vec<LayerDescriptor> = archives.iter().map(|archive| plain(archive)).collect();
    let mut calls = 0;
    let open = |layer: &LayerDescriptor| {
        calls += 1;
        assert!(calls < 1000, "layers are read again and again");
        let archive = archives.iter().find(|archive| Digest::of(archive) == layer.digest).unwrap();
        Ok(archive.as_slice())
    };
    scan(&layers, &Limits::DEFAULT, open)
}

/// Describes an uncompressed layer.
pub(crate) fn plain(archive: &[u8]) -> LayerDescriptor {
    describe(archive, media_type::OCI_LAYER, archive)
}

pub(crate) fn describe(blob: &[u8], kind: &str, archive: &[u8]) -> LayerDescriptor {
    LayerDescriptor {
        digest: Digest::of(blob),
        size: blob.len() as u64,
        media_type: kind.to_owned(),
        diff_id: Digest::of(archive),
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// `name version`, sorted.
pub(crate) fn packages(sbom: &Sbom) -> Vec<String> {
    let mut found: Vec<String> =
        sbom.components.iter().map(|c| format!("{} {}", c.name, c.version)).collect();
    found.sort();
    found
}
