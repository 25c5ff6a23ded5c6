//! The whole way: layers in, SBOM out, with a second look at layers where links make it necessary.

use std::io::{self, Read};

use model::Sbom;

use crate::compose::{compose, missing};
use crate::error::{Fault, LayerError};
use crate::layer::{Also, Layer, memory, read_layer_also};
use crate::limits::Limits;
use crate::manifest::LayerDescriptor;

/// Reads the layers of an image, the lowest first, and lists what is in it.
///
/// `open` is called once for each layer, and again for the few layers that hold a file which only a link
/// from elsewhere makes interesting (a symbolic link at `/var/lib/dpkg/status`, hard links into a package
/// store). The limits on paths and kept bytes hold for all layers together.
pub fn scan<R: Read>(
    layers: &[LayerDescriptor],
    limits: &Limits,
    mut open: impl FnMut(&LayerDescriptor) -> io::Result<R>,
) -> Result<Sbom, LayerError> {
    let mut read = Vec::with_capacity(layers.len());
    for layer in layers {
        let left = left(limits, read.iter());
        read.push(read_one(layer, &left, Also::default(), &mut open)?);
    }
    for _ in 0..limits.second_looks {
        let also = missing(&read);
        let again: Vec<usize> = (0..read.len()).filter(|&at| read[at].may_hold(&also)).collect();
        if again.is_empty() {
            break;
        }
        for at in again {
            let others = read.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, layer)| layer);
            let left = left(limits, others);
            let mut more = read[at].also.clone();
            more.extend(&also);
            read[at] = read_one(&layers[at], &left, more, &mut open)?;
        }
    }
    Ok(compose(&read))
}

fn read_one<R: Read>(
    layer: &LayerDescriptor,
    limits: &Limits,
    also: Also,
    open: &mut impl FnMut(&LayerDescriptor) -> io::Result<R>,
) -> Result<Layer, LayerError> {
    let reader = open(layer).map_err(|e| Fault::read(e).of_layer(&layer.digest))?;
    read_layer_also(reader, layer, limits, also)
}

/// What one more layer may use.
fn left<'l>(limits: &Limits, others: impl Iterator<Item = &'l Layer>) -> Limits {
    let (paths, kept) = others.fold((0, 0), |(p, k), layer| (p + layer.paths(), k + layer.kept_bytes()));
    Limits {
        paths: limits.paths.saturating_sub(paths),
        kept_bytes: limits.kept_bytes.saturating_sub(kept),
        executable_bytes: limits.executable_bytes.saturating_sub(memory(kept, paths)),
        ..limits.clone()
    }
}
