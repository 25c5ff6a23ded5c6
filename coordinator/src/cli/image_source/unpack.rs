//! Archives that are compressed as a whole (`docker save | gzip`), unpacked into a temporary file: members are
//! read from their places, and a compressed archive has none.

use std::fs::File;
use std::io::{self, Read, Seek as _, Write as _};
use std::path::Path;

use inventory::Limits;
use tempfile::NamedTempFile;

/// What an archive's first bytes say.
enum Packing {
    None,
    Gzip,
    Zstd,
    /// Known, and not read.
    Bzip2,
}

/// The archive without its compression; `None` when it has none.
///
/// # Errors
/// `Unsupported` for a compression that is not read, `FileTooLarge` for an archive that grows beyond what any
/// image does, and what reading and writing say.
pub(super) fn unpacked(path: &Path) -> io::Result<Option<NamedTempFile>> {
    let mut file = File::open(path)?;
    let packed = file.metadata()?.len();
    let reader: Box<dyn Read> = match packing(&mut file)? {
        Packing::None => return Ok(None),
        Packing::Bzip2 => return Err(io::ErrorKind::Unsupported.into()),
        Packing::Gzip => Box::new(flate2::read::MultiGzDecoder::new(file)),
        Packing::Zstd => {
            let mut decoder = zstd::Decoder::new(file)?;
            decoder.window_log_max(Limits::DEFAULT.zstd_window_log)?;
            Box::new(decoder)
        }
    };
    copy_bounded(reader, allowed(packed)).map(Some)
}

fn packing(file: &mut File) -> io::Result<Packing> {
    let mut magic = [0; 4];
    let length = file.read(&mut magic)?;
    file.rewind()?;
    Ok(match magic[..length] {
        [0x1f, 0x8b, ..] => Packing::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd] => Packing::Zstd,
        [b'B', b'Z', b'h', _] => Packing::Bzip2,
        _ => Packing::None,
    })
}

/// How large an archive of this many packed bytes may become: as a layer may.
fn allowed(packed: u64) -> u64 {
    let limits = Limits::DEFAULT;
    packed.saturating_mul(limits.ratio).clamp(limits.ratio_free_bytes, limits.layer_bytes)
}

fn copy_bounded(mut reader: impl Read, allowed: u64) -> io::Result<NamedTempFile> {
    let mut target = NamedTempFile::new()?;
    let copied = io::copy(&mut (&mut reader).take(allowed), &mut target)?;
    if copied == allowed && reader.read(&mut [0])? > 0 {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    target.flush()?;
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(bytes: &[u8]) -> NamedTempFile {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn content(file: &NamedTempFile) -> Vec<u8> {
        std::fs::read(file.path()).unwrap()
    }

    #[test]
    fn gzip_of_several_members_and_zstd_are_taken_off() {
        let members = packed(&[gzip(b"one "), gzip(b"two")].concat());
        assert_eq!(content(&unpacked(members.path()).unwrap().unwrap()), b"one two");
        let zstd = packed(&zstd::encode_all(&b"three"[..], 1).unwrap());
        assert_eq!(content(&unpacked(zstd.path()).unwrap().unwrap()), b"three");
        assert!(unpacked(packed(b"ustar").path()).unwrap().is_none());
        assert!(unpacked(packed(b"").path()).unwrap().is_none());
    }

    #[test]
    fn what_cannot_be_unpacked_is_refused() {
        let kind = |bytes: &[u8]| unpacked(packed(bytes).path()).unwrap_err().kind();
        assert_eq!(kind(b"BZh9"), io::ErrorKind::Unsupported);
        let whole = gzip(b"some text that is long enough");
        assert_eq!(kind(&whole[..whole.len() - 9]), io::ErrorKind::UnexpectedEof);
        let over = copy_bounded(io::repeat(0), 1000).unwrap_err();
        assert_eq!(over.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(content(&copy_bounded(&[7; 1000][..], 1000).unwrap()).len(), 1000);
    }
}
