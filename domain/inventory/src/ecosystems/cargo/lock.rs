//! `Cargo.lock` in its forms 1 to 4, which differ in checksums and in how dependencies are written.

use serde::Deserialize;

use crate::ecosystems::listing;
use crate::limits::Limits;

/// A line for each package from a registry. Those from paths are what is being built; those from git have
/// versions that no advisory speaks of.
pub(super) fn lines(content: &[u8]) -> String {
    if content.len() > Limits::DEFAULT.lock_bytes {
        return listing::problem("is larger than any lock file");
    }
    let lock = std::str::from_utf8(content).ok().and_then(|text| toml::from_str::<Lock>(text).ok());
    let Some(lock) = lock else { return listing::problem("is not a Cargo.lock") };
    let packages = lock.package.iter().filter(|package| package.is_from_registry());
    packages.map(|package| listing::package(&package.name, &package.version)).collect()
}

#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    source: Option<String>,
}

impl Package {
    fn is_from_registry(&self) -> bool {
        let from = |scheme: &str| self.source.as_deref().is_some_and(|source| source.starts_with(scheme));
        from("registry+") || from("sparse+")
    }
}
