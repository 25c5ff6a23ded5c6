//! Shared by the tests: images in OCI layouts, layers made by hand.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use inventory::{
    Document, ImageConfig, Layer, LayerCache, LayerDescriptor, LayerError, Limits, NoCache, Platform,
    media_type,
};
use model::{Digest, Sbom};

const ONE: NonZero<usize> = NonZero::<usize>::MIN;
const THREE: NonZero<usize> = NonZero::new(3).unwrap();

/// Keeps layers as bytes, and counts how often it was asked in vain.
#[derive(Default)]
struct Shelf {
    layers: Mutex<HashMap<Digest, Vec<u8>>>,
    misses: AtomicUsize,
}

impl LayerCache for Shelf {
    fn layer(
        &self,
        layer: &LayerDescriptor,
        read: &mut dyn FnMut() -> Result<Layer, LayerError>,
    ) -> Result<Layer, LayerError> {
        if let Some(bytes) = self.layers.lock().unwrap().get(&layer.diff_id) {
            return Ok(Layer::restore(bytes).expect("it was stored"));
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        let read = read()?;
        self.layers.lock().unwrap().insert(layer.diff_id.clone(), read.store().expect("it is small"));
        Ok(read)
    }
}

/// Scans one layer after the other, and holds against it what several threads and a cache make of them.
pub(crate) fn scan<R: Read>(
    layers: &[LayerDescriptor],
    limits: &Limits,
    open: impl Fn(&LayerDescriptor) -> io::Result<R> + Sync,
) -> Result<Sbom, LayerError> {
    let alone = inventory::scan(layers, limits, ONE, &NoCache, &open);
    let same = |other: Result<Sbom, LayerError>, how: &str| match (&alone, &other) {
        (Ok(sbom), Ok(other)) => assert_eq!(sbom, other, "{how}"),
        (Err(error), Err(other)) => assert_eq!(error.to_string(), other.to_string(), "{how}"),
        _ => panic!("{how}: {alone:?} is {other:?}"),
    };
    same(inventory::scan(layers, limits, THREE, &NoCache, &open), "three threads");
    let shelf = Shelf::default();
    same(inventory::scan(layers, limits, ONE, &shelf, &open), "a cache that knows nothing");
    let misses = shelf.misses.load(Ordering::Relaxed);
    same(inventory::scan(layers, limits, THREE, &shelf, &open), "a cache that knows every layer");
    if alone.is_ok() {
        assert_eq!(shelf.misses.load(Ordering::Relaxed), misses, "every layer was known");
    }
    alone
}

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
    let calls = AtomicUsize::new(0);
    let open = |layer: &LayerDescriptor| {
        assert!(calls.fetch_add(1, Ordering::Relaxed) < 4000, "layers are read again and again");
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
