//! What the packages of all distributions have in common, whichever database names them.

use model::{Distro, PackageKind};

use super::word;
use crate::purl::PurlBuilder;

/// A field that a package cannot be without.
pub(super) fn field(value: Option<&[u8]>, what: &str) -> Result<String, String> {
    value.and_then(word).ok_or_else(|| format!("its {what} is missing or not readable"))
}

/// The distribution is the namespace and, with its release, a qualifier (purl-spec, types `apk`, `deb` and `rpm`).
/// Where it is not known, `usual` is the namespace.
pub(super) fn purl(
    kind: PackageKind,
    usual: &str,
    (name, version): (&str, &str),
    architecture: Option<&str>,
    distro: Option<&Distro>,
) -> PurlBuilder {
    let namespace = distro.map_or(usual, |distro| distro.id.as_str());
    let mut purl = PurlBuilder::new(kind.as_str(), name).namespace(namespace).version(version);
    if let Some(architecture) = architecture {
        purl = purl.qualifier("arch", architecture);
    }
    if let Some(distro) = distro.filter(|distro| !distro.version.is_empty()) {
        purl = purl.qualifier("distro", &format!("{}-{}", distro.id, distro.version));
    }
    purl
}
