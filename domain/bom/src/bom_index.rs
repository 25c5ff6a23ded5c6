//! `bom-index@1`: which layers each package of one image is in, for readers that want no JSON.
//!
//! Little-endian: the magic `BOMIDX1`; u16 version 1; u16 flags, of which bit 0 would say that entry points follow;
//! the image's digest; i64 time in microseconds, 0 here, so that the same image gives the same bytes; u32 numbers of
//! layers, components and entry points. Then each layer's digest, lowest first; each package URL, in order; and for
//! each of those a u32 length and a Roaring bitmap of layer numbers in the portable format. Texts are a u16 length
//! and UTF-8.

use std::collections::BTreeMap;

use model::Sbom;
use roaring::RoaringBitmap;

use crate::Subject;

const MAGIC: &[u8; 7] = b"BOMIDX1";
const VERSION: u16 = 1;
/// No entry points are known.
const FLAGS: u16 = 0;

/// A text or a list is longer than the format can say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} does not fit into a bom-index@1")]
pub struct TooLong(String);

/// The index of an image.
pub fn document(sbom: &Sbom, subject: &Subject<'_>) -> Result<Vec<u8>, TooLong> {
    let mut layers_of: BTreeMap<&str, RoaringBitmap> = BTreeMap::new();
    for component in &sbom.components {
        let layers = component.locations.iter().map(|location| location.layer);
        layers_of.entry(component.purl.as_str()).or_default().extend(layers);
    }
    let mut out = MAGIC.to_vec();
    out.extend(VERSION.to_le_bytes());
    out.extend(FLAGS.to_le_bytes());
    text(subject.digest, &mut out)?;
    out.extend(0_i64.to_le_bytes());
    for (number, what) in [(subject.layers.len(), "layers"), (layers_of.len(), "components"), (0, "")] {
        out.extend(size(number, what)?.to_le_bytes());
    }
    subject.layers.iter().try_for_each(|layer| text(layer.as_str(), &mut out))?;
    layers_of.keys().try_for_each(|purl| text(purl, &mut out))?;
    for layers in layers_of.values() {
        out.extend(size(layers.serialized_size(), "a list of layers")?.to_le_bytes());
        layers.serialize_into(&mut out).expect("a vector takes everything");
    }
    Ok(out)
}

fn size(number: usize, what: &str) -> Result<u32, TooLong> {
    u32::try_from(number).map_err(|_| TooLong(what.to_owned()))
}

fn text(text: &str, out: &mut Vec<u8>) -> Result<(), TooLong> {
    let length = u16::try_from(text.len()).map_err(|_| TooLong(text.chars().take(80).collect()))?;
    out.extend(length.to_le_bytes());
    out.extend(text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use model::{Component, Digest, Location, PackageKind, Purl};

    use super::*;

    #[test]
    fn the_bytes_are_as_the_format_says() {
        let component = |purl: &str, layers: &[u32]| Component {
            purl: Purl::from_canonical(purl.to_owned()),
            kind: PackageKind::Npm,
            name: "a".to_owned(),
            version: "1".to_owned(),
            architecture: None,
            source: None,
            owner: None,
            locations: layers.iter().map(|layer| Location { layer: *layer, path: "p".to_owned() }).collect(),
        };
        let components = vec![component("pkg:npm/a@1", &[0]), component("pkg:npm/a@1", &[1])];
        let sbom = Sbom { components, ..Sbom::default() };
        let layers = [Digest::of(b"0"), Digest::of(b"1")];
        let subject = Subject { name: "x", digest: "sha256:00", layers: &layers };
        let bytes = document(&sbom, &subject).unwrap();
        let mut expected = b"BOMIDX1\x01\0\0\0\x09\0sha256:00".to_vec();
        expected.extend([0; 8]);
        expected.extend([2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
        for layer in &layers {
            expected.extend([71, 0]);
            expected.extend(layer.as_str().as_bytes());
        }
        expected.extend(b"\x0b\0pkg:npm/a@1");
        // Portable Roaring: cookie 12346, one container, its key 0 and cardinality less one, its place, 0 and 1.
        expected.extend([20, 0, 0, 0]);
        expected.extend([0x3a, 0x30, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 16, 0, 0, 0, 0, 0, 1, 0]);
        assert_eq!(bytes, expected);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let long = "x".repeat(70_000);
        let subject = Subject { name: "x", digest: &long, layers: &[] };
        assert!(document(&Sbom::default(), &subject).is_err());
    }
}
