//! What a file is by its first bytes, and taking off its compression within bounds.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek as _};

use super::{Error, Limits};

/// Frames that ask for more memory than this (2^27 bytes) are refused.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// What is packed may grow by any ratio up to this size.
pub(super) const RATIO_FREE_BYTES: u64 = 64 << 20;
/// Enough to tell a tar archive by.
const HEAD: u64 = 512;

/// Bytes that come one after the other.
pub(super) type Stream = Box<dyn Read + Send>;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// An archive with a list at its end.
    Zip,
    /// An archive without.
    Tar,
    /// A packed file.
    Packed(Packing),
    /// Known, and not read.
    Unsupported(&'static str),
    /// Anything else.
    Plain,
}

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    /// gzip, of any number of members.
    Gzip,
    /// zstd.
    Zstd,
}

impl Form {
    /// By the first bytes.
    pub(super) fn of(head: &[u8]) -> Self {
        const MAGIC: [(&[u8], Form); 8] = [
            (b"PK\x03\x04", Form::Zip),
            (b"PK\x05\x06", Form::Zip),
            (&[0x1f, 0x8b], Form::Packed(Packing::Gzip)),
            (&[0x28, 0xb5, 0x2f, 0xfd], Form::Packed(Packing::Zstd)),
            (b"BZh", Form::Unsupported("bzip2")),
            (&[0xfd, b'7', b'z', b'X', b'Z', 0], Form::Unsupported("xz")),
            (b"7z\xbc\xaf\x27\x1c", Form::Unsupported("7-Zip")),
            (b"Rar!", Form::Unsupported("RAR")),
        ];
        if let Some((_, form)) = MAGIC.iter().find(|(magic, _)| head.starts_with(magic)) {
            return *form;
        }
        if head.get(257..262) == Some(b"ustar") { Self::Tar } else { Self::Plain }
    }
}

/// What a file is, and the file at its beginning.
pub(super) fn form_of(mut file: File) -> io::Result<(Form, File)> {
    let mut head = Vec::new();
    file.rewind()?;
    file.by_ref().take(HEAD).read_to_end(&mut head)?;
    file.rewind()?;
    Ok((Form::of(&head), file))
}

/// What a stream is, and the stream with its beginning.
pub(super) fn form_of_stream(mut stream: Stream) -> io::Result<(Form, Stream)> {
    let mut head = Vec::new();
    stream.by_ref().take(HEAD).read_to_end(&mut head)?;
    Ok((Form::of(&head), Box::new(Cursor::new(head).chain(stream))))
}

/// Takes off the compression. More than a ratio of what is packed, or than the limits allow, is an error that
/// [`too_large`] knows.
pub(super) fn unpack(
    packed: impl Read + Send + 'static,
    packing: Packing,
    allowed: u64,
) -> io::Result<Stream> {
    let plain: Stream = match packing {
        Packing::Gzip => Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(packed))),
        Packing::Zstd => {
            let mut decoder = zstd::Decoder::new(packed)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Box::new(decoder)
        }
    };
    Ok(bounded(plain, allowed))
}

/// How many bytes may come of so many packed ones.
pub(super) fn allowed(packed: u64, limits: &Limits) -> u64 {
    packed.saturating_mul(limits.ratio).max(RATIO_FREE_BYTES).min(limits.unpacked_bytes)
}

/// The stream, which ends with an error when it has more bytes than that.
pub(super) fn bounded(stream: Stream, allowed: u64) -> Stream {
    Box::new(Bounded { stream, left: allowed })
}

/// Whether it was the bound that ended a stream.
pub(super) fn too_large(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::FileTooLarge
}

/// What ended a stream, in the words of the sources.
pub(super) fn ended(place: &str, allowed: u64) -> impl FnOnce(io::Error) -> Error + use<> {
    let place = place.to_owned();
    move |source| {
        if too_large(&source) {
            Error::TooLarge { place, limit: allowed, unit: "unpacked bytes" }
        } else {
            Error::Unreadable { place, source }
        }
    }
}

struct Bounded {
    stream: Stream,
    left: u64,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buffer)?;
        match self.left.checked_sub(read as u64) {
            Some(left) => {
                self.left = left;
                Ok(read)
            }
            None => Err(io::ErrorKind::FileTooLarge.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("memory takes bytes");
        encoder.finish().expect("it ends")
    }

    fn plain(packed: Vec<u8>, packing: Packing, allowed: u64) -> Result<Vec<u8>, io::ErrorKind> {
        let mut bytes = Vec::new();
        let mut stream = unpack(Cursor::new(packed), packing, allowed).map_err(|error| error.kind())?;
        stream.read_to_end(&mut bytes).map_err(|error| error.kind())?;
        Ok(bytes)
    }

    #[test]
    fn files_are_known_by_their_first_bytes() {
        assert_eq!(Form::of(&gzip(b"x")), Form::Packed(Packing::Gzip));
        assert_eq!(Form::of(&zstd::encode_all(&b"x"[..], 1).unwrap()), Form::Packed(Packing::Zstd));
        assert_eq!(Form::of(b"BZh91AY"), Form::Unsupported("bzip2"));
        assert_eq!(Form::of(b"PK\x03\x04"), Form::Zip);
        assert_eq!(Form::of(b""), Form::Plain);
        let mut tar = tar::Builder::new(Vec::new());
        tar.append_data(&mut tar::Header::new_ustar(), "a.json", &b""[..]).expect("memory takes bytes");
        assert_eq!(Form::of(&tar.into_inner().expect("it ends")), Form::Tar);
    }

    #[test]
    fn compression_comes_off_within_bounds() {
        let members = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(plain(members.clone(), Packing::Gzip, 7), Ok(b"one two".to_vec()));
        assert_eq!(plain(members, Packing::Gzip, 6), Err(io::ErrorKind::FileTooLarge));
        let bomb = zstd::encode_all(io::repeat(0).take(1 << 24), 3).expect("memory takes bytes");
        assert_eq!(plain(bomb, Packing::Zstd, 1 << 20), Err(io::ErrorKind::FileTooLarge));
        let cut = gzip(b"some text that is long enough");
        assert_eq!(
            plain(cut[..cut.len() - 9].to_vec(), Packing::Gzip, 99),
            Err(io::ErrorKind::UnexpectedEof)
        );
    }

    #[test]
    fn what_is_packed_may_grow_by_a_ratio() {
        let limits = Limits::default();
        assert_eq!(allowed(10, &limits), RATIO_FREE_BYTES);
        assert_eq!(allowed(1 << 30, &limits), limits.unpacked_bytes);
        assert_eq!(allowed(10 << 20, &limits), 1000 << 20);
    }
}
