//! An SBOM instead of an image: to the server it is an image whose only layer is the document.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::Path;

use inventory::Descriptor;
use model::Digest;

use super::rootfs::image_of_one;
use super::spool::Spool;
use super::{Choice, Content, SourceError, SourceImage};

/// The image of an SBOM; `None` when the file is none. Of other formats than JSON and tag-value nothing is known.
pub(super) fn open(path: &Path, choice: &Choice) -> Result<Option<SourceImage>, SourceError> {
    let Ok(Some(document)) = document(path) else { return Ok(None) };
    let wrong = |source| SourceError::Sbom { path: path.to_owned(), source };
    bom::read(&document).map_err(wrong)?;
    let layer = Descriptor {
        media_type: bom::media_type_of(&document).map_err(wrong)?.to_owned(),
        digest: Digest::of(&document),
        size: document.len() as u64,
    };
    let kept = || -> io::Result<File> {
        let mut file = tempfile::tempfile()?;
        file.write_all(&document)?;
        Ok(file)
    };
    let kept = kept().map_err(|source| SourceError::read(path, source))?;
    image_of_one(layer, &choice.platform.of_made(), Content::Sbom(Spool::new(kept))).map(Some)
}

/// The bytes of a file that begins like an SBOM. Archives never begin like a text in JSON or tag-value does.
pub(in crate::cli) fn document(path: &Path) -> io::Result<Option<Vec<u8>>> {
    if !path.metadata()?.is_file() {
        return Ok(None);
    }
    let mut head = Vec::new();
    File::open(path)?.take(64).read_to_end(&mut head)?;
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head).trim_ascii_start();
    let is_text = head.starts_with(b"{") || head.starts_with(b"SPDXVersion") || head.starts_with(b"##");
    if is_text { all(File::open(path)?).map(Some) } else { Ok(None) }
}

/// All bytes, and of what is too long one more than is read, which tells so.
pub(in crate::cli) fn all(source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(bom::DOCUMENT_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
