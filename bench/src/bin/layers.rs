//! How fast layers are read beside what cannot be avoided: decompressing the same bytes and taking the
//! two digests of them. Also how much faster two threads are than one, and the peak memory of reading whole images.
//!
//! `cargo run --release -p bench --no-default-features --bin layers -- [--rounds N] [--times N] LAYOUT…` (OCI layout directories)

#![expect(clippy::print_stdout, reason = "its output is the measurement")]

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::num::NonZero;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use bench::{median, peak_memory, timed};
use inventory::{Document, ImageConfig, ImageManifest, LayerDescriptor, LayerError, Limits, NoCache};
use model::{Digest, Sbom};
use sha2::{Digest as _, Sha256};

struct Arguments {
    rounds: usize,
    /// How often each image's layers are there, so that there are many.
    times: usize,
    layouts: Vec<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let Arguments { rounds, times, layouts } = arguments()?;
    println!(
        "| image | layers | compressed MB | archive MB | bare MB/s | pass MB/s | pass of bare | 2 threads | peak MB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for layout in layouts {
        measure(&layout, rounds, times).with_context(|| format!("measuring {}", layout.display()))?;
    }
    Ok(())
}

fn arguments() -> anyhow::Result<Arguments> {
    let mut given = std::env::args().skip(1).peekable();
    let mut rounds = 7;
    if given.next_if_eq("--rounds").is_some() {
        rounds = given.next().context("--rounds needs a number")?.parse()?;
    }
    let mut times = 1;
    if given.next_if_eq("--times").is_some() {
        times = given.next().context("--times needs a number")?.parse()?;
    }
    let layouts: Vec<PathBuf> = given.map(PathBuf::from).collect();
    if layouts.is_empty() || rounds == 0 {
        bail!("usage: layers [--rounds N] [--times N] LAYOUT...");
    }
    Ok(Arguments { rounds, times, layouts })
}

fn measure(layout: &Path, rounds: usize, times: usize) -> anyhow::Result<()> {
    let layers = vec![layers_of(layout)?; times].concat();
    let archive: u64 = layers.iter().map(|layer| bare(layout, layer)).sum::<Result<_, _>>()?;
    let (mut plain, mut passes, mut ratios, mut scaling) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (bare_time, read) = timed(|| layers.iter().try_for_each(|layer| bare(layout, layer).map(drop)));
        read?;
        let (pass_time, sbom) = timed(|| scan(&layers, layout, 1));
        sbom?;
        let (shared_time, sbom) = timed(|| scan(&layers, layout, 2));
        sbom?;
        scaling.push(pass_time.as_secs_f64() / shared_time.as_secs_f64());
        plain.push(bare_time.as_secs_f64());
        passes.push(pass_time.as_secs_f64());
        ratios.push(bare_time.as_secs_f64() / pass_time.as_secs_f64());
    }
    let compressed: u64 = layers.iter().map(|layer| layer.size).sum();
    println!(
        "| {} | {} | {:.1} | {:.1} | {:.0} | {:.0} | {:.2} | {:.2} | {} |",
        layout.file_stem().unwrap_or_default().display(),
        layers.len(),
        megabytes(compressed),
        megabytes(archive),
        megabytes(archive) / median(&plain),
        megabytes(archive) / median(&passes),
        median(&ratios),
        median(&scaling),
        peak_memory().map_or_else(|| "-".to_owned(), |bytes| format!("{:.0}", megabytes(bytes))),
    );
    Ok(())
}

fn scan(layers: &[LayerDescriptor], layout: &Path, threads: usize) -> Result<Sbom, LayerError> {
    let threads = NonZero::new(threads).expect("some thread reads");
    inventory::scan(layers, &Limits::DEFAULT, threads, &NoCache, |layer| open(layout, layer))
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn layers_of(layout: &Path) -> anyhow::Result<Vec<LayerDescriptor>> {
    let mut document = Document::parse(&fs::read(layout.join("index.json"))?)?;
    let manifest = loop {
        match document {
            Document::Manifest(manifest) => break manifest,
            Document::Index(index) => {
                let first = index.entries.first().context("the index is empty")?;
                document = Document::parse(&fs::read(blob(layout, &first.descriptor.digest))?)?;
            }
        }
    };
    config_of(layout, &manifest)
}

fn config_of(layout: &Path, manifest: &ImageManifest) -> anyhow::Result<Vec<LayerDescriptor>> {
    let config = ImageConfig::parse(&fs::read(blob(layout, &manifest.config.digest))?)?;
    Ok(manifest.layers_of(&config)?)
}

fn blob(layout: &Path, digest: &Digest) -> PathBuf {
    layout.join("blobs/sha256").join(digest.hex())
}

fn open(layout: &Path, layer: &LayerDescriptor) -> io::Result<BufReader<File>> {
    Ok(BufReader::with_capacity(1 << 17, File::open(blob(layout, &layer.digest))?))
}

/// Decompresses a layer and takes both digests, and nothing else. Gives the archive's length.
fn bare(layout: &Path, layer: &LayerDescriptor) -> anyhow::Result<u64> {
    let mut blob = Hashing { inner: open(layout, layer)?, digest: Sha256::new() };
    let (length, diff_id) = match layer.media_type.rsplit(['+', '.']).next() {
        Some("gzip") => drain(flate2::read::MultiGzDecoder::new(&mut blob))?,
        Some("zstd") => drain(zstd::Decoder::new(&mut blob)?)?,
        _ => drain(&mut blob)?,
    };
    io::copy(&mut blob, &mut io::sink())?;
    if Digest::from_sha256(blob.digest.finalize().into()) != layer.digest || diff_id != layer.diff_id {
        bail!("layer {} is not what the manifest says", layer.digest);
    }
    Ok(length)
}

fn drain(mut archive: impl Read) -> io::Result<(u64, Digest)> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 17];
    let mut length = 0;
    loop {
        let count = archive.read(&mut buffer)?;
        if count == 0 {
            return Ok((length, Digest::from_sha256(digest.finalize().into())));
        }
        digest.update(&buffer[..count]);
        length += count as u64;
    }
}

struct Hashing<R> {
    inner: R,
    digest: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.digest.update(&buffer[..count]);
        Ok(count)
    }
}
