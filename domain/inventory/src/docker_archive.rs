//! The `manifest.json` inside a `docker save` archive: which members are config and layers.

use serde::Deserialize;

use crate::error::DocumentError;
use crate::manifest::{check_count, malformed, parse};
use crate::path;

/// What a docker archive holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerArchive {
    /// Its images, in the order in which they are written.
    pub images: Vec<ArchivedImage>,
}

/// One image of a docker archive, by the names of the archive's members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedImage {
    /// The member that is the image config.
    pub config: String,
    /// `name:tag`, as they were saved.
    pub repo_tags: Vec<String>,
    /// The members that are the layers, lowest first: tar archives, mostly uncompressed.
    pub layers: Vec<String>,
}

impl DockerArchive {
    /// Reads `manifest.json`. Members are named relative to the archive's root, and stay inside it.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        const WHAT: &str = "docker archive manifest";
        let raw: Vec<RawImage> = parse(WHAT, bytes)?;
        check_count(WHAT, "images", raw.len())?;
        let images = raw.into_iter().map(|image| image.check(WHAT)).collect::<Result<_, _>>()?;
        Ok(Self { images })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawImage {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
}

impl RawImage {
    fn check(self, document: &'static str) -> Result<ArchivedImage, DocumentError> {
        let layers = self.layers.unwrap_or_default();
        check_count(document, "layers", layers.len())?;
        for member in layers.iter().chain([&self.config]) {
            if member.is_empty() || path::normalise(member.as_bytes()) != member.as_bytes() {
                return Err(malformed(document, format!("{member:?} does not name a member of the archive")));
            }
        }
        Ok(ArchivedImage { config: self.config, repo_tags: self.repo_tags.unwrap_or_default(), layers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_named() {
        let json = br#"[{"Config":"blobs/sha256/aa","RepoTags":null,"Layers":["x/layer.tar"]}]"#;
        let image = DockerArchive::parse(json).unwrap().images.remove(0);
        assert_eq!(
            (image.config.as_str(), image.layers),
            ("blobs/sha256/aa", vec!["x/layer.tar".to_owned()])
        );
        assert!(image.repo_tags.is_empty());
    }

    #[test]
    fn members_outside_the_archive_are_refused() {
        for bad in ["", "/etc/passwd", "../x", "a/../../x"] {
            let json = format!(r#"[{{"Config":"c","Layers":["{bad}"]}}]"#);
            let error = DockerArchive::parse(json.as_bytes()).unwrap_err();
            assert!(error.to_string().contains("does not name a member"), "{error}");
        }
    }
}
