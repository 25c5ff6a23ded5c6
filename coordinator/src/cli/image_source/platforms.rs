//! Which of an image's platforms are wanted: one, or all that there are.

use std::fmt;
use std::str::FromStr;

use inventory::{DocumentError, Platform};

use super::SourceError;

const ALL: &str = "all";
/// More images than any index has; one with more is not read as a whole.
const IMAGES_MAX: usize = 64;
/// Of all their manifests and configurations together.
const DOCUMENTS_BYTES: usize = 64 << 20;

/// What `--platform` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum Platforms {
    /// The image for this one.
    One(Platform),
    /// Each image that there is.
    All,
}

impl Platforms {
    /// Whether each image is wanted.
    pub(in crate::cli) fn is_all(&self) -> bool {
        *self == Self::All
    }

    /// What an image that is made here says that it runs on.
    pub(super) fn of_made(&self) -> Platform {
        match self {
            Self::One(platform) => platform.clone(),
            Self::All => Platform::linux_amd64(),
        }
    }
}

impl From<Platform> for Platforms {
    fn from(platform: Platform) -> Self {
        Self::One(platform)
    }
}

impl FromStr for Platforms {
    type Err = DocumentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == ALL { Ok(Self::All) } else { text.parse().map(Self::One) }
    }
}

impl fmt::Display for Platforms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(platform) => platform.fmt(f),
            Self::All => f.write_str(ALL),
        }
    }
}

/// How many images of an index were taken, and how large their documents are together.
#[derive(Debug, Default)]
pub(super) struct Taken {
    images: usize,
    bytes: usize,
}

impl Taken {
    /// Counts one more image or index.
    pub(super) fn one_more(&mut self, of: &str) -> Result<(), SourceError> {
        self.images += 1;
        too_much(of, self.images, IMAGES_MAX, "images")
    }

    /// Counts a document.
    pub(super) fn document(&mut self, bytes: &[u8], of: &str) -> Result<(), SourceError> {
        self.bytes += bytes.len();
        too_much(of, self.bytes, DOCUMENTS_BYTES, "bytes of manifests")
    }
}

fn too_much(of: &str, there: usize, limit: usize, unit: &'static str) -> Result<(), SourceError> {
    let error = || SourceError::TooMuch { what: of.to_owned(), limit: limit as u64, unit };
    if there > limit { Err(error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_a_word_and_everything_else_a_platform() {
        assert_eq!("all".parse(), Ok(Platforms::All));
        assert_eq!("linux/amd64".parse(), Ok(Platforms::One(Platform::linux_amd64())));
        assert!("every".parse::<Platforms>().is_err());
        for text in ["all", "linux/arm/v7"] {
            assert_eq!(text.parse::<Platforms>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_index_is_bounded_in_images_and_bytes() {
        let mut taken = Taken::default();
        for _ in 0..IMAGES_MAX {
            taken.one_more("app").unwrap();
        }
        assert_eq!(taken.one_more("app").unwrap_err().to_string(), "app holds more than 64 images");
        taken.document(&vec![0; DOCUMENTS_BYTES], "app").unwrap();
        assert!(taken.document(b"x", "app").is_err());
    }
}
