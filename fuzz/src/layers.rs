//! Images made of archives, scanned in every way there is, and what must hold for each SBOM.

use std::collections::HashMap;
use std::io;
use std::num::NonZero;

use bom::cyclonedx::{self, SpecVersion};
use bom::{Subject, bom_index, spdx};
use inventory::{
    DocumentError, Layer, LayerCache, LayerDescriptor, LayerError, Limits, NoCache, compose, media_type,
    purl, read_layer, sbom, scan,
};
use model::{Digest, Sbom};

const ONE: NonZero<usize> = NonZero::<usize>::MIN;
const THREE: NonZero<usize> = NonZero::<usize>::MIN.saturating_add(2);

/// Scans archives, the lowest first, with one thread, with three, and from a cache: all answer the same.
pub(crate) fn scan_archives(archives: &[&[u8]]) -> Result<Sbom, LayerError> {
    let layers: Vec<LayerDescriptor> = archives
        .iter()
        .map(|archive| describe(archive, media_type::OCI_LAYER, Digest::of(archive)))
        .collect();
    let by_digest: HashMap<&Digest, &[u8]> =
        layers.iter().map(|layer| &layer.digest).zip(archives.iter().copied()).collect();
    let open = |layer: &LayerDescriptor| by_digest.get(&layer.digest).copied().ok_or_else(missing);
    let alone = scan(&layers, &Limits::DEFAULT, ONE, &NoCache, open);
    if archives.len() > 1 {
        check_same(&alone, &scan(&layers, &Limits::DEFAULT, THREE, &NoCache, open), "three threads");
    }
    check_same(&alone, &scan(&layers, &Limits::DEFAULT, ONE, &Stored, open), "stored layers");
    match &alone {
        Ok(sbom) => check(sbom),
        Err(error) => {
            assert!(layers.iter().any(|layer| layer.digest == error.layer), "no such layer: {error}")
        }
    }
    alone
}

/// A layer as it is stored: its media type may tell of another compression than it has.
pub(crate) fn describe(blob: &[u8], kind: &str, diff_id: Digest) -> LayerDescriptor {
    let (digest, size) = (Digest::of(blob), blob.len() as u64);
    LayerDescriptor { digest, size, media_type: kind.to_owned(), diff_id }
}

/// Reads one blob as a layer.
pub(crate) fn scan_blob(blob: &[u8], kind: &str, archive: &[u8]) -> Result<Sbom, LayerError> {
    let layer = describe(blob, kind, Digest::of(archive));
    read_layer(blob, &layer, &Limits::DEFAULT).map(|layer| compose(&[layer]))
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

fn check_same(one: &Result<Sbom, LayerError>, other: &Result<Sbom, LayerError>, how: &str) {
    match (one, other) {
        (Ok(one), Ok(other)) => assert_eq!(one, other, "{how}"),
        (Err(one), Err(other)) => assert_eq!(one.to_string(), other.to_string(), "{how}"),
        _ => panic!("{how}: {one:?} is {other:?}"),
    }
}

/// Gives each layer back as it comes out of the bytes it was stored as.
struct Stored;

impl LayerCache for Stored {
    fn layer(
        &self,
        _: &LayerDescriptor,
        read: &mut dyn FnMut() -> Result<Layer, LayerError>,
    ) -> Result<Layer, LayerError> {
        let layer = read()?;
        let Some(bytes) = layer.store() else { return Ok(layer) };
        let back = Layer::restore(&bytes).expect("what was stored is taken back");
        assert_eq!(back.store().as_ref(), Some(&bytes), "the same layer gives the same bytes");
        Ok(back)
    }
}

/// What must hold for every SBOM of a scan.
pub(crate) fn check(sbom: &Sbom) {
    for component in &sbom.components {
        let spelled = purl::parse(component.purl.as_str());
        assert_eq!(spelled.as_ref(), Ok(&component.purl), "a package URL has one spelling");
        assert!(!component.name.is_empty() && !component.version.is_empty(), "{component:?}");
        assert!(!component.locations.is_empty(), "{component:?}");
        for text in [&component.name, &component.version].into_iter().chain(paths(component)) {
            assert!(!text.contains(misleads), "a reader could be misled by {component:?}");
        }
    }
    check_written(sbom);
}

fn misleads(c: char) -> bool {
    c.is_control() || "\u{202e}\u{2066}\u{2028}\u{200f}".contains(c)
}

fn paths(component: &model::Component) -> impl Iterator<Item = &String> {
    component.locations.iter().map(|location| &location.path)
}

/// What is written of an SBOM, in every form, is read back to the last field.
pub(crate) fn check_written(sbom: &Sbom) {
    let stored = sbom::document(sbom);
    let back = sbom::parse(&stored);
    if let Err(DocumentError::TooLarge { .. }) = back {
        return;
    }
    assert_eq!(back.as_ref(), Ok(sbom), "stored");
    let subject = Subject { name: "image", digest: "", layers: &[] };
    let cyclonedx = cyclonedx::document(sbom, &subject, "0", SpecVersion::V1_6).to_string();
    assert_eq!(bom::read(cyclonedx.as_bytes()).as_ref(), Ok(sbom), "CycloneDX");
    let spdx = spdx::document(sbom, &subject, "0").to_string();
    assert_eq!(bom::read(spdx.as_bytes()).as_ref(), Ok(sbom), "SPDX");
    drop(bom_index::document(sbom, &subject));
}
