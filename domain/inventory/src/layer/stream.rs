//! The uncompressed side of a layer: decoded, hashed for the diff id, and held to the limits.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;
use model::Digest;
use sha2::{Digest as _, Sha256};

use super::blob::Blob;
use crate::error::{Fault, Reason};
use crate::limits::Limits;
use crate::manifest::media_type;

const BUFFER_BYTES: usize = 256 << 10;

/// Docker's own names for layers. They never said truly how a layer is compressed, so the bytes do.
const DOCKER_LAYERS: [&str; 5] = [
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
];
const OCI_NONDISTRIBUTABLE: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar";

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b, 0x08];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// A layer's tar archive, as a stream of bytes. What is skipped is hashed too, but never copied.
pub(super) struct Stream<'b, 'a, R: Read> {
    decoder: Decoder<'b, 'a, R>,
    limits: &'b Limits,
    buffer: Vec<u8>,
    at: usize,
    filled: usize,
    hash: Sha256,
    produced: u64,
}

enum Decoder<'b, 'a, R: Read> {
    Plain(&'b mut Blob<'a, R>),
    /// Reads on after the first member, as runtimes do: pigz and eStargz write many.
    Gzip(Box<MultiGzDecoder<&'b mut Blob<'a, R>>>),
    /// Reads on after the first frame.
    Zstd(zstd::Decoder<'static, &'b mut Blob<'a, R>>),
}

impl<'b, 'a, R: Read> Stream<'b, 'a, R> {
    /// Chooses the decoder as containerd does: an OCI layer that says it is plain is plain; every other one
    /// is what its first bytes are.
    pub(super) fn open(blob: &'b mut Blob<'a, R>, kind: &str, limits: &'b Limits) -> Result<Self, Fault> {
        let decoder = match compression(kind)? {
            Compression::Never => Decoder::Plain(blob),
            Compression::ByMagic => detect(blob, limits)?,
        };
        let (buffer, hash) = (vec![0; BUFFER_BYTES], Sha256::new());
        Ok(Self { decoder, limits, buffer, at: 0, filled: 0, hash, produced: 0 })
    }

    /// Fills `block` as far as the stream goes, and says how far.
    pub(super) fn block(&mut self, block: &mut [u8; 512]) -> Result<usize, Fault> {
        let mut have = 0;
        while have < block.len() {
            let bytes = self.available()?;
            if bytes.is_empty() {
                break;
            }
            let count = bytes.len().min(block.len() - have);
            block[have..have + count].copy_from_slice(&bytes[..count]);
            self.at += count;
            have += count;
        }
        Ok(have)
    }

    /// Appends the next `count` bytes.
    pub(super) fn append(&mut self, count: u64, into: &mut Vec<u8>) -> Result<(), Fault> {
        self.walk(count, |bytes| into.extend_from_slice(bytes))
    }

    /// Passes over the next `count` bytes.
    pub(super) fn skip(&mut self, count: u64) -> Result<(), Fault> {
        self.walk(count, |_| ())
    }

    /// Passes over padding, which may be missing where the stream ends.
    pub(super) fn skip_padding(&mut self, count: u64) -> Result<(), Fault> {
        for _ in 0..count {
            if self.available()?.is_empty() {
                break;
            }
            self.at += 1;
        }
        Ok(())
    }

    /// Reads to the end: the digest covers what follows the archive, too.
    pub(super) fn finish(mut self) -> Result<Digest, Fault> {
        while !self.available()?.is_empty() {
            self.at = self.filled;
        }
        Ok(Digest::from_sha256(self.hash.finalize().into()))
    }

    fn walk(&mut self, count: u64, mut visit: impl FnMut(&[u8])) -> Result<(), Fault> {
        let mut left = count;
        while left > 0 {
            let bytes = self.available()?;
            if bytes.is_empty() {
                return Err(cut_off());
            }
            let count = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            visit(&bytes[..count]);
            self.at += count;
            left -= count as u64;
        }
        Ok(())
    }

    fn available(&mut self) -> Result<&[u8], Fault> {
        if self.at == self.filled {
            self.refill()?;
        }
        Ok(&self.buffer[self.at..self.filled])
    }

    fn refill(&mut self) -> Result<(), Fault> {
        let count = loop {
            match self.decoder.read(&mut self.buffer) {
                Ok(count) => break count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.decoder.explain(&e)),
            }
        };
        self.hash.update(&self.buffer[..count]);
        self.produced += count as u64;
        (self.at, self.filled) = (0, count);
        self.check_limits()
    }

    fn check_limits(&self) -> Result<(), Fault> {
        let Limits { layer_bytes, ratio, ratio_free_bytes, .. } = *self.limits;
        if self.produced > layer_bytes {
            return Err(Fault::limit(format!("the layer unpacks to more than {layer_bytes} bytes")));
        }
        let compressed = self.decoder.blob().bytes_read();
        if self.produced > ratio_free_bytes && self.produced / ratio > compressed {
            let what = format!("{compressed} bytes unpack to {} and more, over {ratio}:1", self.produced);
            return Err(Fault::limit(what));
        }
        Ok(())
    }
}

enum Compression {
    Never,
    ByMagic,
}

fn compression(kind: &str) -> Result<Compression, Fault> {
    let known_oci = [media_type::OCI_LAYER_GZIP, media_type::OCI_LAYER_ZSTD];
    let other_oci = kind.strip_prefix(OCI_NONDISTRIBUTABLE);
    if kind == media_type::OCI_LAYER || other_oci == Some("") {
        Ok(Compression::Never)
    } else if known_oci.contains(&kind)
        || DOCKER_LAYERS.contains(&kind)
        || other_oci.is_some_and(|suffix| ["+gzip", "+zstd"].contains(&suffix))
    {
        Ok(Compression::ByMagic)
    } else {
        let kind: String = kind.chars().take(200).collect();
        Err(Fault::new(Reason::UnsupportedMediaType, format!("{kind:?} is not the media type of a layer")))
    }
}

fn detect<'b, 'a, R: Read>(blob: &'b mut Blob<'a, R>, limits: &Limits) -> Result<Decoder<'b, 'a, R>, Fault> {
    let start = match blob.fill_buf() {
        Ok(start) => start,
        Err(e) => return Err(blob.take_fault().unwrap_or_else(|| Fault::read(e))),
    };
    if start.starts_with(GZIP_MAGIC) {
        return Ok(Decoder::Gzip(Box::new(MultiGzDecoder::new(blob))));
    }
    if !start.starts_with(ZSTD_MAGIC) && !starts_with_skippable_frame(start) {
        return Ok(Decoder::Plain(blob));
    }
    let mut decoder = zstd::Decoder::with_buffer(blob).map_err(|e| corrupt(&e))?;
    decoder.window_log_max(limits.zstd_window_log).map_err(|e| corrupt(&e))?;
    Ok(Decoder::Zstd(decoder))
}

/// RFC 8878 §3.1.2: `0x184D2A5?`, little-endian.
fn starts_with_skippable_frame(start: &[u8]) -> bool {
    matches!(start, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

impl<'a, R: Read> Decoder<'_, 'a, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(blob) => blob.read(into),
            Self::Gzip(decoder) => decoder.read(into),
            Self::Zstd(decoder) => decoder.read(into),
        }
    }

    fn blob(&self) -> &Blob<'a, R> {
        match self {
            Self::Plain(blob) => blob,
            Self::Gzip(decoder) => decoder.get_ref(),
            Self::Zstd(decoder) => decoder.get_ref(),
        }
    }

    fn blob_mut(&mut self) -> &mut Blob<'a, R> {
        match self {
            Self::Plain(blob) => blob,
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Zstd(decoder) => decoder.get_mut(),
        }
    }

    /// The blob's own fault if it has one, else the decoder's.
    fn explain(&mut self, error: &io::Error) -> Fault {
        self.blob_mut().take_fault().unwrap_or_else(|| corrupt(error))
    }
}

fn corrupt(error: &io::Error) -> Fault {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return Fault::new(Reason::Truncated, "the compressed stream ends in the middle");
    }
    // zstd has no error kind for this; the text is that of `ZSTD_error_frameParameter_windowTooLarge`.
    if error.to_string().contains("requires too much memory") {
        return Fault::limit("the zstd window is larger than allowed");
    }
    Fault::new(Reason::CorruptCompression, format!("the compressed stream is broken: {error}"))
}

pub(super) fn cut_off() -> Fault {
    Fault::new(Reason::Truncated, "the archive ends in the middle of an entry")
}
