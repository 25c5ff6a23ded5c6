//! What SBOM formats have no field for: pairs of a name and a value, which CycloneDX calls properties and SPDX
//! annotations.

use inventory::purl;
use model::{Component, Location, Problem, Purl, Sbom, SourcePackage, ThirdParty};

/// The document is ours, in this version of the marks.
pub(crate) const VERSION: (&str, &str) = ("starling:schema_version", "1");
/// The distribution's code name.
pub(crate) const CODENAME: &str = "starling:codename";
const BASE_LAYERS: &str = "starling:base_layers";
const THIRD_PARTY: &str = "starling:third_party";
const PROBLEM: &str = "starling:problem";
const LOCATION: &str = "starling:location";
const ARCHITECTURE: &str = "starling:architecture";
const OWNER: &str = "starling:owner";
const SOURCE_NAME: &str = "starling:source_name";
const SOURCE_VERSION: &str = "starling:source_version";

/// A name and a value.
pub(crate) type Mark = (&'static str, String);

/// What a document says of itself: whose it is, and what could not be read.
pub(crate) fn of_document(sbom: &Sbom) -> Vec<Mark> {
    let problem = |p: &Problem| (PROBLEM, serde_json::json!([p.place, p.what]).to_string());
    let third_party = |t: &ThirdParty| {
        let packages: Vec<&str> = t.packages.iter().map(Purl::as_str).collect();
        (THIRD_PARTY, serde_json::json!([t.place, t.supplier, packages]).to_string())
    };
    let version = [(VERSION.0, VERSION.1.to_owned())];
    let base = sbom.base_layers.map(|number| (BASE_LAYERS, number.to_string()));
    let third_party = sbom.third_party.iter().map(third_party);
    version.into_iter().chain(base).chain(third_party).chain(sbom.problems.iter().map(problem)).collect()
}

/// The number of the base's layers, where a mark of a document tells it.
pub(crate) fn base_layers(name: &str, value: &str) -> Option<u32> {
    Some(value).filter(|_| name == BASE_LAYERS)?.parse().ok()
}

/// What is said of a component.
pub(crate) fn of_component(component: &Component) -> Vec<Mark> {
    let mut marks: Vec<Mark> = Vec::new();
    marks.extend(component.architecture.iter().map(|text| (ARCHITECTURE, text.clone())));
    marks.extend(component.owner.iter().map(|owner| (OWNER, owner.to_string())));
    if let Some(SourcePackage { name, version }) = &component.source {
        marks.extend([(SOURCE_NAME, name.clone()), (SOURCE_VERSION, version.clone())]);
    }
    marks.extend(component.locations.iter().map(|l| (LOCATION, format!("{}:{}", l.layer, l.path))));
    marks
}

/// The problem that a mark of a document tells.
pub(crate) fn problem(name: &str, value: &str) -> Option<Problem> {
    let (place, what) = serde_json::from_str(Some(value).filter(|_| name == PROBLEM)?).ok()?;
    Some(Problem { place, what })
}

/// Who else brings packages, where a mark of a document tells it.
pub(crate) fn third_party(name: &str, value: &str) -> Option<ThirdParty> {
    let told = serde_json::from_str(Some(value).filter(|_| name == THIRD_PARTY)?).ok()?;
    let (place, supplier, packages): (_, _, Vec<String>) = told;
    let packages = packages.iter().map(|text| canonical(text).ok()).collect::<Option<_>>()?;
    Some(ThirdParty { place, supplier, packages })
}

/// Puts what a mark says into the component. What cannot be read is answered.
pub(crate) fn apply(component: &mut Component, name: &str, value: &str) -> Result<(), String> {
    let source = |component: &mut Component, text: fn(&mut SourcePackage) -> &mut String| {
        let empty = || SourcePackage { name: String::new(), version: String::new() };
        value.clone_into(text(component.source.get_or_insert_with(empty)));
    };
    match name {
        ARCHITECTURE => component.architecture = Some(value.to_owned()),
        OWNER => component.owner = Some(canonical(value)?),
        SOURCE_NAME => source(component, |source| &mut source.name),
        SOURCE_VERSION => source(component, |source| &mut source.version),
        LOCATION => component.locations.push(location(value)?),
        _ => {}
    }
    Ok(())
}

fn location(value: &str) -> Result<Location, String> {
    let parsed = value.split_once(':').and_then(|(layer, path)| Some((layer.parse().ok()?, path.to_owned())));
    let (layer, path) = parsed.ok_or_else(|| format!("{LOCATION} {value:?} is not LAYER:PATH"))?;
    Ok(Location { layer, path })
}

/// A package URL in any spelling.
pub(crate) fn canonical(text: &str) -> Result<Purl, String> {
    purl::parse(text).map_err(|error| format!("{text:?} is {error}"))
}
