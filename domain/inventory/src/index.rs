//! Image indexes (manifest lists), and which of their images to take for a platform.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use crate::error::DocumentError;
use crate::manifest::{
    Descriptor, RawDescriptor, check_count, check_version, malformed, media_type, parse, unsupported,
};

/// An operating system, an architecture and its variant, as Go names them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Platform {
    /// `linux` …
    pub os: String,
    /// `amd64`, `arm64` …
    pub architecture: String,
    /// `v7`, `v8` …
    pub variant: Option<String>,
}

/// One image of an index, or a further index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    /// Where it is.
    pub descriptor: Descriptor,
    /// What it runs on, when that is said.
    pub platform: Option<Platform>,
    /// `org.opencontainers.image.ref.name`: how a layout names its images.
    pub ref_name: Option<String>,
}

/// Several images under one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageIndex {
    /// In the order in which they are written.
    pub entries: Vec<IndexEntry>,
}

impl ImageIndex {
    /// Reads an index, or the `index.json` of an OCI layout.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        const WHAT: &str = "image index";
        let raw: RawIndex = parse(WHAT, bytes)?;
        check_version(WHAT, raw.schema_version)?;
        if raw.layers.is_some() || raw.config.is_some() {
            return Err(malformed(WHAT, "it has both layers and manifests"));
        }
        let kind = raw.media_type.as_deref().unwrap_or(media_type::OCI_INDEX);
        if ![media_type::OCI_INDEX, media_type::DOCKER_INDEX].contains(&kind) {
            return Err(unsupported(WHAT, format!("{kind:?} is not the media type of an image index")));
        }
        check_count(WHAT, "manifests", raw.manifests.len())?;
        let entries = raw.manifests.into_iter().map(|entry| entry.check(WHAT)).collect::<Result<_, _>>()?;
        Ok(Self { entries })
    }

    /// The image for a platform. A single image without a platform is taken for any; attestations, which
    /// say `unknown/unknown`, for none.
    pub fn choose(&self, wanted: &Platform) -> Result<&IndexEntry, DocumentError> {
        let fits = |entry: &&IndexEntry| entry.platform.as_ref().is_some_and(|p| p.runs_on(wanted));
        let exact = self.entries.iter().find(|e| e.platform.as_ref() == Some(wanted));
        if let Some(entry) = exact.or_else(|| self.entries.iter().find(fits)) {
            return Ok(entry);
        }
        match self.entries.as_slice() {
            [only] if only.platform.is_none() => Ok(only),
            _ => Err(DocumentError::NoSuchPlatform { wanted: wanted.to_string(), offered: self.offered() }),
        }
    }

    /// What may be an image or a further index, whatever its platform: everything but attestations.
    pub fn images(&self) -> impl Iterator<Item = &IndexEntry> {
        let is_attestation =
            |platform: &Platform| platform.os == "unknown" && platform.architecture == "unknown";
        self.entries.iter().filter(move |entry| !entry.platform.as_ref().is_some_and(is_attestation))
    }

    fn offered(&self) -> String {
        let name =
            |e: &IndexEntry| e.platform.as_ref().map_or_else(|| "unnamed".to_owned(), Platform::to_string);
        let names: Vec<String> = self.entries.iter().take(20).map(name).collect();
        if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
    }
}

impl Platform {
    /// `linux/amd64`, where nothing else is asked for.
    pub fn linux_amd64() -> Self {
        Self { os: "linux".to_owned(), architecture: "amd64".to_owned(), variant: None }
    }

    /// Whether an image for `self` serves someone who asks for `wanted`: a variant that is not said is the
    /// architecture's usual one.
    fn runs_on(&self, wanted: &Self) -> bool {
        self.os == wanted.os
            && self.architecture == wanted.architecture
            && self.usual_variant() == wanted.usual_variant()
    }

    fn usual_variant(&self) -> Option<&str> {
        match (self.architecture.as_str(), self.variant.as_deref()) {
            ("arm64", None) => Some("v8"),
            ("arm", None) => Some("v7"),
            ("amd64", Some("v1")) => None,
            (_, variant) => variant,
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

impl FromStr for Platform {
    type Err = DocumentError;

    /// Reads `linux/arm64` and `linux/arm/v7`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split('/').collect();
        let (os, architecture, variant) = match parts.as_slice() {
            [os, architecture] => (*os, *architecture, None),
            [os, architecture, variant] => (*os, *architecture, Some((*variant).to_owned())),
            _ => ("", "", None),
        };
        if os.is_empty() || architecture.is_empty() || variant.as_deref() == Some("") {
            return Err(malformed("platform", format!("{text:?} is not written os/architecture[/variant]")));
        }
        Ok(Self { os: os.to_owned(), architecture: architecture.to_owned(), variant })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawIndex {
    schema_version: u32,
    media_type: Option<String>,
    manifests: Vec<RawEntry>,
    layers: Option<serde::de::IgnoredAny>,
    config: Option<serde::de::IgnoredAny>,
}

/// Its descriptor is spelled out: a flattened one would not notice a field said twice.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawEntry {
    media_type: String,
    digest: String,
    size: u64,
    platform: Option<RawPlatform>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct RawPlatform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

impl RawEntry {
    fn check(self, document: &'static str) -> Result<IndexEntry, DocumentError> {
        let platform = self.platform.map(|RawPlatform { os, architecture, variant }| Platform {
            os,
            architecture,
            variant: variant.filter(|v| !v.is_empty()),
        });
        let ref_name = self.annotations.and_then(|mut a| a.remove("org.opencontainers.image.ref.name"));
        let raw = RawDescriptor { media_type: self.media_type, digest: self.digest, size: self.size };
        Ok(IndexEntry { descriptor: raw.check(document)?, platform, ref_name })
    }
}

#[cfg(test)]
mod tests {
    use model::Digest;

    use super::*;

    fn index(platforms: &[&str]) -> ImageIndex {
        let entry = |text: &&str| {
            let digest = Digest::of(text.as_bytes());
            let kind = media_type::OCI_MANIFEST;
            let mut platform = String::new();
            if let Ok(p) = text.parse::<Platform>() {
                let variant = p.variant.map(|v| format!(r#","variant":"{v}""#)).unwrap_or_default();
                platform = format!(
                    r#","platform":{{"os":"{}","architecture":"{}"{variant}}}"#,
                    p.os, p.architecture
                );
            }
            format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":1{platform}}}"#)
        };
        let entries: Vec<String> = platforms.iter().map(entry).collect();
        let json = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(","));
        ImageIndex::parse(json.as_bytes()).unwrap()
    }

    fn check(offered: &[&str], wanted: &str, chosen: Option<&str>) {
        let index = index(offered);
        let choice = index.choose(&wanted.parse().unwrap()).ok();
        let digest = choice.map(|entry| entry.descriptor.digest.clone());
        assert_eq!(digest, chosen.map(|text| Digest::of(text.as_bytes())), "{wanted} of {offered:?}");
    }

    #[test]
    fn the_image_for_the_platform_is_chosen() {
        let all = ["unknown/unknown", "linux/arm64/v8", "linux/arm/v6", "linux/arm/v7", "linux/amd64"];
        check(&all, "linux/amd64", Some("linux/amd64"));
        check(&all, "linux/arm64", Some("linux/arm64/v8"));
        check(&all, "linux/arm", Some("linux/arm/v7"));
        check(&all, "linux/arm/v6", Some("linux/arm/v6"));
        check(&all, "windows/amd64", None);
        check(&["linux/amd64", "linux/amd64/v3"], "linux/amd64/v3", Some("linux/amd64/v3"));
    }

    #[test]
    fn all_images_are_all_but_attestations() {
        let index = index(&["linux/arm64", "unknown/unknown", "-"]);
        let platforms: Vec<_> = index.images().map(|entry| entry.platform.clone()).collect();
        assert_eq!(platforms, ["linux/arm64".parse().ok(), None]);
    }

    #[test]
    fn a_single_image_without_platform_is_for_everyone() {
        check(&["-"], "linux/s390x", Some("-"));
        check(&["-", "-"], "linux/s390x", None);
        check(&[], "linux/s390x", None);
    }

    #[test]
    fn refusal_says_what_there_is() {
        let error = index(&["linux/arm64/v8"]).choose(&Platform::linux_amd64()).unwrap_err();
        assert_eq!(error.to_string(), "no image for linux/amd64: the index offers linux/arm64/v8");
    }

    #[test]
    fn layouts_name_their_images() {
        let digest = Digest::of(b"");
        let json = format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{}","digest":"{digest}","size":1,
            "annotations":{{"org.opencontainers.image.ref.name":"latest"}}}}]}}"#,
            media_type::OCI_MANIFEST
        );
        let index = ImageIndex::parse(json.as_bytes()).unwrap();
        assert_eq!(index.entries[0].ref_name.as_deref(), Some("latest"));
        let ambiguous = json.replacen("\"manifests\"", "\"layers\":[],\"manifests\"", 1);
        assert!(ImageIndex::parse(ambiguous.as_bytes()).is_err());
    }
}
