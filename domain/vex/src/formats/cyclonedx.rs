//! CycloneDX 1.4 to 1.7 (ECMA-424) with analysed vulnerabilities, beside a list of components or alone.
//!
//! A vulnerability without an analysis is a report of one and says nothing of the product: it is no statement. What
//! is said of a component that the document lists is said of it as a part of what the document is about.

mod components;

use advisory::formats::walk;
use model::{Justification, VexStatus};
use serde::Deserialize;
use time::OffsetDateTime;

use self::components::Components;
use super::reader::short;
use super::{Format, Members, Reader, Unreadable, wrong};
use crate::{Document, Product, Statement};

/// The versions of the specification that are read.
const VERSIONS: [&str; 4] = ["1.4", "1.5", "1.6", "1.7"];

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct MetadataDoc {
    timestamp: Option<String>,
    component: Option<components::ComponentDoc>,
    supplier: NamedDoc,
    manufacturer: NamedDoc,
    manufacture: NamedDoc,
    authors: Vec<NamedDoc>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NamedDoc {
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct VulnerabilityDoc {
    #[serde(rename = "bom-ref")]
    reference: Option<String>,
    id: String,
    references: Vec<ReferenceDoc>,
    recommendation: Option<String>,
    updated: Option<String>,
    analysis: Option<AnalysisDoc>,
    affects: Vec<AffectsDoc>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ReferenceDoc {
    id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AnalysisDoc {
    state: String,
    justification: Option<String>,
    detail: Option<String>,
    first_issued: Option<String>,
    last_updated: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AffectsDoc {
    #[serde(rename = "ref")]
    reference: String,
    versions: Vec<VersionDoc>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct VersionDoc {
    version: Option<String>,
    range: Option<String>,
    status: Option<String>,
}

pub(super) fn read(members: &Members<'_>, reader: &mut Reader<'_>) -> Result<Document, Unreadable> {
    let text = |name: &str| members.get(name).and_then(|json| serde_json::from_str::<String>(json).ok());
    let spec = text("specVersion").unwrap_or_default();
    if text("bomFormat").as_deref() != Some("CycloneDX") || !VERSIONS.contains(&spec.as_str()) {
        let shown: String = spec.chars().take(20).collect();
        return Err(wrong("specVersion", &format!("{shown:?} is not read; 1.4 to 1.7 are")));
    }
    let metadata = members.get("metadata").and_then(|json| reader.typed::<MetadataDoc>("metadata", json));
    let metadata = metadata.unwrap_or_default();
    let authors = metadata.authors.first();
    let named =
        [&metadata.supplier, &metadata.manufacturer, &metadata.manufacture].into_iter().chain(authors);
    let author = named.map(|named| named.name.as_str()).find(|name| !name.is_empty());
    let serial = text("serialNumber").and_then(|text| reader.name("serialNumber", &text)).unwrap_or_default();
    let version = members.get("version").and_then(|json| reader.typed::<u64>("version", json));
    let mut document = Document {
        format: Format::CycloneDx,
        version: version.map(|number| number.to_string()).unwrap_or_default(),
        author: author.and_then(|name| reader.name("metadata", name)).unwrap_or_default(),
        timestamp: reader.moment("metadata.timestamp", metadata.timestamp.as_deref()),
        id: serial,
        statements: Vec::new(),
    };
    let components = Components::read(members.get("components"), metadata.component, &document.id, reader)?;
    let Some(vulnerabilities) = members.get("vulnerabilities") else { return Ok(document) };
    let mut over = Ok(());
    let walked = walk::elements(vulnerabilities, &mut |at, json| {
        let place = format!("vulnerabilities[{at}]");
        let read = reader.typed::<VulnerabilityDoc>(&place, json);
        over = read.map_or(Ok(()), |doc| statements(reader, &place, doc, &components, &mut document));
        over.is_ok()
    });
    walked.map_err(|error| wrong("vulnerabilities", &short(&error)))?;
    over.map(|()| document)
}

/// One statement, and one more for each status that the versions of its products have besides.
fn statements(
    reader: &mut Reader<'_>,
    place: &str,
    doc: VulnerabilityDoc,
    components: &Components,
    document: &mut Document,
) -> Result<(), Unreadable> {
    let Some(analysis) = &doc.analysis else { return Ok(()) };
    let Some(status) = status(reader, place, &analysis.state) else { return Ok(()) };
    let Some(said) = statement(reader, place, &doc, analysis, status, document.timestamp) else {
        return Ok(());
    };
    let mut by_status: [(VexStatus, Vec<Product>); 4] = VexStatus::ALL.map(|status| (status, Vec::new()));
    for (at, affects) in doc.affects.iter().enumerate() {
        let place = format!("{place}.affects[{at}]");
        let Some(product) = components.product(reader, &place, &affects.reference) else { continue };
        for (of, product) in versioned(reader, &place, product, &affects.versions, status) {
            by_status
                .iter_mut()
                .filter(|(status, _)| *status == of)
                .for_each(|(_, all)| all.push(product.clone()));
        }
    }
    for (of, products) in by_status.into_iter().filter(|(_, products)| !products.is_empty()) {
        let statement = if of == status {
            Statement { products, ..said.clone() }
        } else {
            let id = format!("{}#{}", said.id, of.as_str());
            Statement { id, status: of, justification: None, products, ..said.clone() }
        };
        reader.keep(&mut document.statements, statement)?;
    }
    Ok(())
}

fn statement(
    reader: &mut Reader<'_>,
    place: &str,
    doc: &VulnerabilityDoc,
    analysis: &AnalysisDoc,
    status: VexStatus,
    of_document: Option<OffsetDateTime>,
) -> Option<Statement> {
    let references = doc.references.iter().map(|reference| &reference.id);
    let mut vulnerability: Vec<String> = Vec::new();
    for name in [&doc.id].into_iter().chain(references).take(reader.limits.names) {
        vulnerability.extend(reader.name(place, name).filter(|name| !vulnerability.contains(name)));
    }
    if vulnerability.is_empty() {
        reader.problem(place, "it has no id".to_owned());
        return None;
    }
    let said = [&analysis.last_updated, &analysis.first_issued, &doc.updated].into_iter().flatten().next();
    let (justification, word) = match analysis.justification.as_deref().filter(|word| !word.is_empty()) {
        Some(word) => (justification(reader, place, word), Some(word)),
        None => (None, None),
    };
    let detail = reader.detail(analysis.detail.as_deref());
    let word = word.or((analysis.state == "false_positive").then_some("false_positive"));
    Some(Statement {
        id: doc.reference.as_ref().and_then(|id| reader.name(place, id)).unwrap_or_else(|| place.to_owned()),
        vulnerability,
        products: Vec::new(),
        status,
        justification: justification.filter(|_| status == VexStatus::NotAffected),
        // Here the format has finer words than the five: they go before the detail.
        impact: match (word.filter(|word| word.len() < 60), detail) {
            (Some(word), Some(detail)) => Some(format!("{word}: {detail}")),
            (word, detail) => detail.or_else(|| word.map(str::to_owned)),
        },
        action: reader.detail(doc.recommendation.as_deref().filter(|_| status == VexStatus::Affected)),
        timestamp: reader.moment(place, said.map(String::as_str)).or(of_document),
    })
}

fn status(reader: &mut Reader<'_>, place: &str, state: &str) -> Option<VexStatus> {
    let found = match state {
        "resolved" | "resolved_with_pedigree" => Some(VexStatus::Fixed),
        "exploitable" => Some(VexStatus::Affected),
        "in_triage" => Some(VexStatus::UnderInvestigation),
        "false_positive" | "not_affected" => Some(VexStatus::NotAffected),
        _ => None,
    };
    if found.is_none() {
        let shown: String = state.chars().take(60).collect();
        reader.problem(&format!("{place}.analysis.state"), format!("{shown:?} is no state"));
    }
    found
}

fn justification(reader: &mut Reader<'_>, place: &str, word: &str) -> Option<Justification> {
    let found = match word {
        "code_not_present" => Some(Justification::VulnerableCodeNotPresent),
        "code_not_reachable" | "requires_dependency" => Some(Justification::VulnerableCodeNotInExecutePath),
        "requires_configuration" | "requires_environment" => {
            Some(Justification::VulnerableCodeCannotBeControlledByAdversary)
        }
        "protected_by_compiler"
        | "protected_at_runtime"
        | "protected_at_perimeter"
        | "protected_by_mitigating_control" => Some(Justification::InlineMitigationsAlreadyExist),
        _ => None,
    };
    if found.is_none() {
        let shown: String = word.chars().take(60).collect();
        reader.problem(&format!("{place}.analysis.justification"), format!("{shown:?} is no justification"));
    }
    found
}

/// The product with each of its versions. A version without a status, or called affected, is what the analysis speaks
/// of; one that is called unaffected or unknown is so whatever the analysis says of the others.
fn versioned(
    reader: &mut Reader<'_>,
    place: &str,
    product: Product,
    versions: &[VersionDoc],
    status: VexStatus,
) -> Vec<(VexStatus, Product)> {
    if versions.is_empty() {
        return vec![(status, product)];
    }
    let mut all = Vec::with_capacity(versions.len());
    for doc in versions {
        let of = match doc.status.as_deref() {
            None | Some("affected") => status,
            Some("unaffected") if status == VexStatus::Fixed => status,
            Some("unaffected") => VexStatus::NotAffected,
            Some(_) => VexStatus::UnderInvestigation,
        };
        let text = doc.version.as_ref().or(doc.range.as_ref()).and_then(|text| reader.name(place, text));
        match text {
            Some(text) => all.push((of, product.clone().with(&text))),
            None => reader.problem(place, "it names no version".to_owned()),
        }
    }
    all
}
