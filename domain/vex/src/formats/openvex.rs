//! OpenVEX: 0.0.1, where products and vulnerabilities are texts, and 0.2.0, where they are objects.

use std::collections::BTreeMap;

use advisory::formats::walk;
use model::{Justification, VexStatus};
use serde::Deserialize;
use time::OffsetDateTime;

use super::reader::short;
use super::{Format, Members, Reader, Unreadable, wrong};
use crate::{Document, Identities, Identity, Product, Statement};

/// The versions of the context that are read. The one without a version is the first one.
const CONTEXTS: [&str; 3] =
    ["https://openvex.dev/ns", "https://openvex.dev/ns/v0.0.1", "https://openvex.dev/ns/v0.2.0"];

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum VersionDoc {
    Number(u64),
    Text(String),
}

#[derive(Debug, Deserialize)]
struct StatementDoc {
    #[serde(rename = "@id")]
    id: Option<String>,
    vulnerability: Option<VulnerabilityDoc>,
    products: Option<Vec<ProductDoc>>,
    /// Of 0.0.1: they belong to each product.
    subcomponents: Option<Vec<ProductDoc>>,
    status: Option<String>,
    justification: Option<String>,
    impact_statement: Option<String>,
    action_statement: Option<String>,
    status_notes: Option<String>,
    timestamp: Option<String>,
    last_updated: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum VulnerabilityDoc {
    Text(String),
    Object {
        name: Option<String>,
        #[serde(rename = "@id")]
        id: Option<String>,
        aliases: Option<Vec<String>>,
    },
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum ProductDoc {
    Text(String),
    Object {
        #[serde(rename = "@id")]
        id: Option<String>,
        identifiers: Option<BTreeMap<String, String>>,
        hashes: Option<BTreeMap<String, String>>,
        subcomponents: Option<Vec<Self>>,
    },
}

pub(super) fn read(members: &Members<'_>, reader: &mut Reader<'_>) -> Result<Document, Unreadable> {
    context(members)?;
    let text = |name: &str| members.get(name).and_then(|json| serde_json::from_str::<String>(json).ok());
    let version = members.get("version").and_then(|json| serde_json::from_str::<VersionDoc>(json).ok());
    let time = text("last_updated").or_else(|| text("timestamp"));
    let mut document = Document {
        format: Format::OpenVex,
        id: text("@id").and_then(|id| reader.name("@id", &id)).unwrap_or_default(),
        version: match version {
            Some(VersionDoc::Number(number)) => number.to_string(),
            Some(VersionDoc::Text(text)) => reader.name("version", &text).unwrap_or_default(),
            None => String::new(),
        },
        author: text("author").and_then(|author| reader.name("author", &author)).unwrap_or_default(),
        timestamp: reader.moment("timestamp", time.as_deref()),
        statements: Vec::new(),
    };
    let statements = members.get("statements").ok_or_else(|| wrong("statements", "they are missing"))?;
    let mut over = Ok(());
    let walked = walk::elements(statements, &mut |at, json| {
        let place = format!("statements[{at}]");
        let read =
            reader.typed(&place, json).and_then(|doc| statement(reader, &place, doc, document.timestamp));
        over = read.map_or(Ok(()), |statement| reader.keep(&mut document.statements, statement));
        over.is_ok()
    });
    walked.map_err(|error| wrong("statements", &short(&error)))?;
    over.map(|()| document)
}

fn context(members: &Members<'_>) -> Result<(), Unreadable> {
    let json = members.get("@context").unwrap_or_default();
    let contexts = match serde_json::from_str(json) {
        Ok(Texts::One(text)) => vec![text],
        Ok(Texts::Many(texts)) => texts,
        Err(error) => return Err(wrong("@context", &short(&error))),
    };
    if contexts.iter().any(|context| CONTEXTS.contains(&context.trim_end_matches('/'))) {
        return Ok(());
    }
    let shown: String = contexts.join(" ").chars().take(100).collect();
    Err(wrong("@context", &format!("{shown:?} is no version of OpenVEX that is read")))
}

fn statement(
    reader: &mut Reader<'_>,
    place: &str,
    doc: StatementDoc,
    of_document: Option<OffsetDateTime>,
) -> Option<Statement> {
    let vulnerability = vulnerability(reader, place, doc.vulnerability)?;
    let status = status(reader, place, doc.status.as_deref())?;
    let justification = justification(reader, place, doc.justification.as_deref())?;
    let impact = reader.detail(doc.impact_statement.as_deref());
    if status == VexStatus::NotAffected && justification.is_none() && impact.is_none() {
        reader.problem(place, "not_affected needs a justification or an impact statement".to_owned());
        return None;
    }
    let (products, of_all) = (doc.products.unwrap_or_default(), doc.subcomponents.unwrap_or_default());
    let mut read = Vec::with_capacity(products.len());
    let of_all = parts(reader, place, of_all);
    for (at, doc) in products.into_iter().enumerate() {
        read.extend(product(reader, &format!("{place}.products[{at}]"), doc, &of_all));
    }
    if read.is_empty() {
        reader.problem(place, "it names no product".to_owned());
        return None;
    }
    let said = doc.last_updated.or(doc.timestamp);
    Some(Statement {
        id: doc.id.and_then(|id| reader.name(place, &id)).unwrap_or_else(|| place.to_owned()),
        vulnerability,
        products: read,
        status,
        justification,
        impact: impact.or_else(|| reader.detail(doc.status_notes.as_deref())),
        action: reader.detail(doc.action_statement.as_deref()),
        timestamp: reader.moment(place, said.as_deref()).or(of_document),
    })
}

fn vulnerability(reader: &mut Reader<'_>, place: &str, doc: Option<VulnerabilityDoc>) -> Option<Vec<String>> {
    let names = match doc {
        Some(VulnerabilityDoc::Text(name)) => vec![name],
        Some(VulnerabilityDoc::Object { name, id, aliases }) => {
            let own = name.filter(|name| !name.is_empty()).or(id);
            own.into_iter().chain(aliases.unwrap_or_default()).collect()
        }
        None => Vec::new(),
    };
    let place = format!("{place}.vulnerability");
    let mut kept: Vec<String> = Vec::with_capacity(names.len());
    for name in names.iter().take(reader.limits.names) {
        kept.extend(reader.name(&place, name).filter(|name| !kept.contains(name)));
    }
    if kept.is_empty() {
        reader.problem(&place, "it has no name".to_owned());
        return None;
    }
    Some(kept)
}

fn status(reader: &mut Reader<'_>, place: &str, word: Option<&str>) -> Option<VexStatus> {
    let status = word.and_then(VexStatus::from_word);
    if status.is_none() {
        let shown: String = word.unwrap_or_default().chars().take(60).collect();
        reader.problem(&format!("{place}.status"), format!("{shown:?} is no status"));
    }
    status
}

/// `None` for a word that is no justification; `Some(None)` where nothing is said.
fn justification(reader: &mut Reader<'_>, place: &str, word: Option<&str>) -> Option<Option<Justification>> {
    let Some(word) = word.filter(|word| !word.is_empty()) else { return Some(None) };
    let found = Justification::from_word(word);
    if found.is_none() {
        let shown: String = word.chars().take(60).collect();
        reader.problem(&format!("{place}.justification"), format!("{shown:?} is no justification"));
    }
    found.map(Some)
}

fn product(reader: &mut Reader<'_>, place: &str, doc: ProductDoc, of_all: &[Identities]) -> Option<Product> {
    let (names, own) = names(reader, place, doc);
    if names.is_empty() {
        reader.problem(place, "it has no name".to_owned());
        return None;
    }
    let mut inside = parts(reader, place, own);
    inside.extend(of_all.iter().cloned());
    let mut product = Product::of(names);
    product.parts = inside.into();
    Some(product)
}

fn parts(reader: &mut Reader<'_>, place: &str, docs: Vec<ProductDoc>) -> Vec<Identities> {
    let mut parts = Vec::with_capacity(docs.len());
    for (at, doc) in docs.into_iter().enumerate() {
        let place = format!("{place}.subcomponents[{at}]");
        let (names, _) = names(reader, &place, doc);
        if names.is_empty() {
            reader.problem(&place, "it has no name".to_owned());
            continue;
        }
        parts.push(names);
    }
    parts
}

/// What a product is called, and its subcomponents.
fn names(reader: &mut Reader<'_>, place: &str, doc: ProductDoc) -> (Identities, Vec<ProductDoc>) {
    let (mut texts, mut found, mut inside) = (Vec::new(), Vec::new(), Vec::new());
    match doc {
        ProductDoc::Text(text) => texts.push(text),
        ProductDoc::Object { id, identifiers, hashes, subcomponents } => {
            texts.extend(id);
            texts.extend(identifiers.unwrap_or_default().into_values());
            let hashes = hashes.unwrap_or_default();
            found.extend(hashes.iter().filter_map(|(algorithm, hex)| Identity::sha256(algorithm, hex)));
            inside = subcomponents.unwrap_or_default();
        }
    }
    let texts: Vec<Identity> =
        texts.iter().filter_map(|text| reader.name(place, text)).map(|text| Identity::of(&text)).collect();
    (reader.identities(place, texts.into_iter().chain(found).collect()), inside)
}
