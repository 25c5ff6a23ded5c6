//! The stored form of what is indexed: a JSON list of texts, the same bytes on every machine, so that its digest names it.

use advisory::Ecosystem;
use model::{Component, Digest, PackageKind, Purl, SourcePackage};
use serde::{Deserialize, Serialize};

use super::{Indexed, Package};

/// What stands in a dictionary is not what was written there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an entry of the BOM-index: {0}")]
pub struct InvalidIndexed(String);

/// Ecosystem and release; for a package purl, kind, name, version, and source name and version.
#[derive(Serialize, Deserialize)]
struct Document(String, Option<String>, Option<PackageDoc>);

#[derive(Serialize, Deserialize)]
struct PackageDoc(String, String, String, String, Option<(String, String)>);

impl Indexed {
    /// Its stored form.
    pub fn document(&self) -> Vec<u8> {
        let document = match self.clone() {
            Self::Ecosystem(Ecosystem { name, release }) => Document(name, release, None),
            Self::Package(Package { ecosystem: Ecosystem { name, release }, component }) => {
                Document(name, release, Some(package_document(component)))
            }
        };
        serde_json::to_vec(&document).expect("there are only texts in it")
    }

    /// What its stored form is called by.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.document())
    }

    /// Reads its stored form back.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidIndexed> {
        let Document(name, release, package) =
            serde_json::from_slice(bytes).map_err(|error| InvalidIndexed(error.to_string()))?;
        let ecosystem = Ecosystem { name, release };
        let Some(package) = package else { return Ok(Self::Ecosystem(ecosystem)) };
        Ok(Self::Package(Package { ecosystem, component: package_of(package)? }))
    }
}

fn package_document(component: Component) -> PackageDoc {
    let Component { purl, kind, name, version, source, .. } = component;
    let source = source.map(|SourcePackage { name, version }| (name, version));
    PackageDoc(purl.to_string(), kind.as_str().to_owned(), name, version, source)
}

fn package_of(document: PackageDoc) -> Result<Component, InvalidIndexed> {
    let PackageDoc(purl, kind, name, version, source) = document;
    let kind = PackageKind::from_word(&kind)
        .ok_or_else(|| InvalidIndexed(format!("{kind:?} is no kind of package")))?;
    Ok(Component {
        purl: Purl::from_canonical(purl),
        kind,
        name,
        version,
        source: source.map(|(name, version)| SourcePackage { name, version }),
        architecture: None,
        owner: None,
        locations: vec![],
    })
}
