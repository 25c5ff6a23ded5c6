//! SBOM documents: the stored form of an [`Sbom`], as canonical JSON (RFC 8785).
//!
//! The same SBOM gives the same bytes on every machine, so its digest names it. Reading one back checks
//! everything that the writer guarantees: a document comes from a store, not from here.

use model::{Component, Distro, Location, PackageKind, Problem, Purl, Sbom, SourcePackage, ThirdParty};
use serde::{Deserialize, Serialize};

use crate::error::DocumentError;
use crate::limits::Limits;
use crate::manifest::{malformed, unsupported};
use crate::purl;

/// Raised when the document's form changes.
pub const SCHEMA_VERSION: u32 = 1;

const WHAT: &str = "SBOM document";

/// The document of an SBOM.
pub fn document(sbom: &Sbom) -> Vec<u8> {
    let document = Document {
        schema_version: SCHEMA_VERSION,
        distro: sbom.distro.clone().map(DistroDoc::from),
        base_layers: sbom.base_layers,
        third_party: sbom.third_party.iter().cloned().map(ThirdPartyDoc::from).collect(),
        components: sbom.components.iter().cloned().map(ComponentDoc::from).collect(),
        problems: sbom.problems.iter().cloned().map(ProblemDoc::from).collect(),
    };
    serde_json_canonicalizer::to_vec(&document).expect("text and small numbers are always JSON")
}

/// Reads a document back.
pub fn parse(bytes: &[u8]) -> Result<Sbom, DocumentError> {
    let limit = Limits::DEFAULT.sbom_bytes;
    if bytes.len() > limit {
        return Err(DocumentError::TooLarge { document: WHAT, what: "bytes", actual: bytes.len(), limit });
    }
    let document: Document = serde_json::from_slice(bytes).map_err(|e| malformed(WHAT, e.to_string()))?;
    if document.schema_version != SCHEMA_VERSION {
        let why = format!("schema_version {} is not {SCHEMA_VERSION}", document.schema_version);
        return Err(unsupported(WHAT, why));
    }
    let (actual, limit) = (document.components.len(), Limits::DEFAULT.components);
    if actual > limit {
        return Err(DocumentError::TooLarge { document: WHAT, what: "components", actual, limit });
    }
    let components =
        document.components.into_iter().map(Component::try_from).collect::<Result<Vec<_>, _>>()?;
    let problems: Vec<Problem> = document.problems.into_iter().map(Problem::from).collect();
    if !components.is_sorted_by(|a, b| a < b) {
        return Err(malformed(WHAT, "its components are not sorted, or one is there twice"));
    }
    let third_party =
        document.third_party.into_iter().map(ThirdParty::try_from).collect::<Result<Vec<_>, _>>()?;
    let (distro, base_layers) = (document.distro.map(Distro::from), document.base_layers);
    Ok(Sbom { distro, base_layers, third_party, components, problems })
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    schema_version: u32,
    distro: Option<DistroDoc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base_layers: Option<u32>,
    /// Left out where there is none, as before anybody looked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    third_party: Vec<ThirdPartyDoc>,
    components: Vec<ComponentDoc>,
    problems: Vec<ProblemDoc>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DistroDoc {
    id: String,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    codename: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ThirdPartyDoc {
    place: String,
    supplier: String,
    packages: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ComponentDoc {
    purl: String,
    kind: String,
    name: String,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    architecture: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<SourceDoc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    locations: Vec<LocationDoc>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceDoc {
    name: String,
    version: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LocationDoc {
    layer: u32,
    path: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProblemDoc {
    place: String,
    what: String,
}

impl From<Distro> for DistroDoc {
    fn from(Distro { id, version, codename }: Distro) -> Self {
        Self { id, version, codename }
    }
}

impl From<DistroDoc> for Distro {
    fn from(DistroDoc { id, version, codename }: DistroDoc) -> Self {
        Self { id, version, codename }
    }
}

impl From<ThirdParty> for ThirdPartyDoc {
    fn from(ThirdParty { place, supplier, packages }: ThirdParty) -> Self {
        Self { place, supplier, packages: packages.iter().map(ToString::to_string).collect() }
    }
}

impl TryFrom<ThirdPartyDoc> for ThirdParty {
    type Error = DocumentError;

    fn try_from(ThirdPartyDoc { place, supplier, packages }: ThirdPartyDoc) -> Result<Self, Self::Error> {
        Ok(Self { place, supplier, packages: packages.into_iter().map(canonical).collect::<Result<_, _>>()? })
    }
}

impl From<Problem> for ProblemDoc {
    fn from(Problem { place, what }: Problem) -> Self {
        Self { place, what }
    }
}

impl From<ProblemDoc> for Problem {
    fn from(ProblemDoc { place, what }: ProblemDoc) -> Self {
        Self { place, what }
    }
}

impl From<Component> for ComponentDoc {
    fn from(component: Component) -> Self {
        let Component { purl, kind, name, version, architecture, source, owner, locations } = component;
        Self {
            purl: purl.to_string(),
            kind: kind.as_str().to_owned(),
            name,
            version,
            architecture,
            source: source.map(|SourcePackage { name, version }| SourceDoc { name, version }),
            owner: owner.map(|purl| purl.to_string()),
            locations: locations
                .into_iter()
                .map(|Location { layer, path }| LocationDoc { layer, path })
                .collect(),
        }
    }
}

impl TryFrom<ComponentDoc> for Component {
    type Error = DocumentError;

    fn try_from(document: ComponentDoc) -> Result<Self, Self::Error> {
        let ComponentDoc { purl, kind, name, version, architecture, source, owner, locations } = document;
        let purl = canonical(purl)?;
        let kind = PackageKind::from_word(&kind)
            .filter(|kind| purl.as_str().starts_with(&format!("pkg:{}/", kind.as_str())))
            .ok_or_else(|| malformed(WHAT, format!("{purl} is not of the kind {kind:?}")))?;
        Ok(Self {
            purl,
            kind,
            name,
            version,
            architecture,
            source: source.map(|SourceDoc { name, version }| SourcePackage { name, version }),
            owner: owner.map(canonical).transpose()?,
            locations: locations
                .into_iter()
                .map(|LocationDoc { layer, path }| Location { layer, path })
                .collect(),
        })
    }
}

fn canonical(text: String) -> Result<Purl, DocumentError> {
    let purl = purl::parse(&text).map_err(|e| malformed(WHAT, format!("{text:?}: {e}")))?;
    // Extractors before the third left the names of Composer's packages as they stood. Findings name them so.
    let was_canonical = text.starts_with("pkg:composer/") && purl.as_str().eq_ignore_ascii_case(&text);
    if purl.as_str() == text || was_canonical {
        Ok(Purl::from_canonical(text))
    } else {
        Err(malformed(WHAT, format!("{text:?} is not canonical")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::purl::PurlBuilder;

    fn one() -> Sbom {
        let purl = PurlBuilder::new("npm", "a").namespace("@s").version("1").build().unwrap();
        Sbom {
            distro: Some(Distro { id: "debian".to_owned(), version: "12".to_owned(), codename: None }),
            base_layers: None,
            third_party: vec![],
            components: vec![Component {
                purl,
                kind: PackageKind::Npm,
                name: "@s/a".to_owned(),
                version: "1".to_owned(),
                architecture: None,
                source: None,
                owner: None,
                locations: vec![Location { layer: 3, path: "node_modules/a/package.json".to_owned() }],
            }],
            problems: vec![],
        }
    }

    #[test]
    fn the_document_is_canonical_json() {
        let expected = r#"{"components":[{"kind":"npm","locations":[{"layer":3,"path":"node_modules/a/package.json"}],"name":"@s/a","purl":"pkg:npm/%40s/a@1","version":"1"}],"distro":{"id":"debian","version":"12"},"problems":[],"schema_version":1}"#;
        assert_eq!(String::from_utf8(document(&one())).unwrap(), expected);
    }

    #[test]
    fn documents_that_nobody_wrote_here_are_refused() {
        let text = String::from_utf8(document(&one())).unwrap();
        for (from, to, why) in [
            (r#""schema_version":1"#, r#""schema_version":2"#, "schema_version 2"),
            (r#""problems":[]"#, r#""problems":[],"extra":1"#, "unknown field"),
            (r#""kind":"npm""#, r#""kind":"deb""#, "not of the kind"),
            ("pkg:npm/%40s", "pkg:npm/@s", "not canonical"),
            ("pkg:npm/%40s", "npm", "not a package URL"),
            (r#""problems":[]"#, r#""problems":[],"problems":[]"#, "duplicate field"),
        ] {
            let error = parse(text.replace(from, to).as_bytes()).unwrap_err().to_string();
            assert!(error.contains(why), "{error} does not say {why}");
        }
        let mut twice = one();
        twice.components.push(twice.components[0].clone());
        assert!(parse(&document(&twice)).unwrap_err().to_string().contains("twice"));
    }

    #[test]
    fn documents_of_older_extractors_are_read_as_they_were_written() {
        let text = String::from_utf8(document(&one())).unwrap();
        let old = text
            .replace("pkg:npm/%40s/a@1", "pkg:composer/Monolog/monolog@1")
            .replace(r#""npm""#, r#""composer""#);
        let read = parse(old.as_bytes()).unwrap();
        assert_eq!(read.components[0].purl.as_str(), "pkg:composer/Monolog/monolog@1");
        assert_eq!(document(&read), old.as_bytes());
    }

    prop_compose! {
        fn component()(
            kind in proptest::sample::select(&PackageKind::ALL[..]),
            name in "\\PC{1,20}", version in "\\PC{0,10}",
            architecture in proptest::option::of("[a-z0-9]{1,6}"),
            source in proptest::option::of(("\\PC{1,8}", "\\PC{1,8}")),
            owned in any::<bool>(),
            locations in proptest::collection::vec((any::<u32>(), "\\PC{0,20}"), 0..3),
        ) -> Option<Component> {
            let purl = PurlBuilder::new(kind.as_str(), &name).version(&version).build().ok()?;
            Some(Component {
                owner: owned.then(|| purl.clone()),
                purl, kind, name, version, architecture,
                source: source.map(|(name, version)| SourcePackage { name, version }),
                locations: locations.into_iter().map(|(layer, path)| Location { layer, path }).collect(),
            })
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            components in proptest::collection::vec(component(), 0..8),
            distro in proptest::option::of(("\\PC{1,8}", "\\PC{0,8}", proptest::option::of("\\PC{1,8}"))),
            problems in proptest::collection::vec(("\\PC{0,20}", ".{0,20}"), 0..3),
            base_layers in proptest::option::of(any::<u32>()),
            strangers in proptest::collection::vec(("\\PC{0,8}", "\\PC{0,8}", any::<bool>()), 0..3),
        ) {
            let mut components: Vec<Component> = components.into_iter().flatten().collect();
            components.sort();
            components.dedup();
            let sbom = Sbom {
                distro: distro.map(|(id, version, codename)| Distro { id, version, codename }),
                base_layers,
                third_party: strangers
                    .into_iter()
                    .map(|(place, supplier, named)| {
                        let packages = components.iter().filter(|_| named).map(|c| c.purl.clone()).collect();
                        ThirdParty { place, supplier, packages }
                    })
                    .collect(),
                components,
                problems: problems.into_iter().map(|(place, what)| Problem { place, what }).collect(),
            };
            let bytes = document(&sbom);
            prop_assert_eq!(parse(&bytes), Ok(sbom.clone()));
            prop_assert_eq!(document(&parse(&bytes).unwrap()), bytes);
        }
    }
}
