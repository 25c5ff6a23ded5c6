//! CSAF 2.0 and 2.1 (OASIS): what is said of products, whichever profile the document is of.
//!
//! A document is walked piece by piece: the trees in it are much larger than what is said by them. Of the statuses
//! `recommended` is advice and `unknown` says nothing; the other lists become the four words of VEX.

mod tree;

use std::collections::{BTreeMap, BTreeSet};

use advisory::formats::walk;
use model::{Justification, VexStatus};
use serde::Deserialize;
use time::OffsetDateTime;

use self::tree::Tree;
use super::reader::short;
use super::{Format, Members, Reader, Unreadable, wrong};
use crate::{Document, Statement};

/// The lists of products and what they say.
const LISTS: [(&str, VexStatus); 7] = [
    ("known_not_affected", VexStatus::NotAffected),
    ("fixed", VexStatus::Fixed),
    ("first_fixed", VexStatus::Fixed),
    ("known_affected", VexStatus::Affected),
    ("first_affected", VexStatus::Affected),
    ("last_affected", VexStatus::Affected),
    ("under_investigation", VexStatus::UnderInvestigation),
];

#[derive(Debug, Deserialize)]
struct DocumentDoc {
    csaf_version: String,
    #[serde(default)]
    publisher: PublisherDoc,
    tracking: TrackingDoc,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PublisherDoc {
    namespace: String,
    name: String,
}

#[derive(Debug, Deserialize)]
struct TrackingDoc {
    id: String,
    #[serde(default)]
    version: String,
    current_release_date: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct VulnerabilityDoc {
    cve: Option<String>,
    ids: Vec<IdDoc>,
    product_status: BTreeMap<String, Vec<String>>,
    flags: Vec<SaidDoc>,
    threats: Vec<SaidDoc>,
    remediations: Vec<SaidDoc>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct IdDoc {
    text: String,
}

/// A flag, a threat or a remediation: something said of products and groups.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SaidDoc {
    label: String,
    category: String,
    details: String,
    product_ids: Vec<String>,
    group_ids: Vec<String>,
}

pub(super) fn read(members: &Members<'_>, reader: &mut Reader<'_>) -> Result<Document, Unreadable> {
    let json = members.get("document").unwrap_or_default();
    let head: DocumentDoc = serde_json::from_str(json).map_err(|error| wrong("document", &short(&error)))?;
    if !matches!(head.csaf_version.as_str(), "2.0" | "2.1") {
        let shown: String = head.csaf_version.chars().take(20).collect();
        return Err(wrong("document.csaf_version", &format!("{shown:?} is not read; 2.0 and 2.1 are")));
    }
    let id = reader.name("document.tracking.id", &head.tracking.id);
    let publisher =
        [&head.publisher.namespace, &head.publisher.name].into_iter().find(|text| !text.is_empty());
    let place = "document.tracking.current_release_date";
    let mut document = Document {
        format: Format::Csaf,
        id: id.ok_or_else(|| wrong("document.tracking.id", "it is missing"))?,
        version: reader.name("document.tracking.version", &head.tracking.version).unwrap_or_default(),
        author: publisher.and_then(|name| reader.name("document.publisher", name)).unwrap_or_default(),
        timestamp: reader.moment(place, head.tracking.current_release_date.as_deref()),
        statements: Vec::new(),
    };
    let tree = match members.get("product_tree") {
        Some(json) => Tree::read(json, reader)?,
        None => Tree::default(),
    };
    let Some(vulnerabilities) = members.get("vulnerabilities") else { return Ok(document) };
    let mut over = Ok(());
    let walked = walk::elements(vulnerabilities, &mut |at, json| {
        let place = format!("vulnerabilities[{at}]");
        let read = reader.typed::<VulnerabilityDoc>(&place, json);
        over = read.map_or(Ok(()), |doc| statements(reader, &place, &doc, &tree, &mut document));
        over.is_ok()
    });
    walked.map_err(|error| wrong("vulnerabilities", &short(&error)))?;
    over.map(|()| document)
}

/// What is said of a product beside its status.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Said<'d> {
    justification: Option<Justification>,
    impact: Option<&'d str>,
    action: Option<&'d str>,
}

/// Products of which the same is said make one statement.
fn statements(
    reader: &mut Reader<'_>,
    place: &str,
    doc: &VulnerabilityDoc,
    tree: &Tree,
    document: &mut Document,
) -> Result<(), Unreadable> {
    let Some(names) = names(reader, place, doc) else { return Ok(()) };
    let said = said(reader, place, doc, tree);
    for (list, status) in LISTS {
        let place = format!("{place}.product_status.{list}");
        let ids: BTreeSet<&str> =
            doc.product_status.get(list).into_iter().flatten().map(String::as_str).collect();
        let mut groups: BTreeMap<Said<'_>, Vec<&str>> = BTreeMap::new();
        for id in ids {
            groups.entry(said.get(id).copied().unwrap_or_default()).or_default().push(id);
        }
        for (at, (said, ids)) in groups.into_iter().enumerate() {
            let id = if at == 0 { place.clone() } else { format!("{place}#{at}") };
            let said = said.statement(reader, id, status, &names, document.timestamp);
            let products =
                ids.into_iter().filter_map(|id| tree.product(reader, &place, id)).collect::<Vec<_>>();
            if !products.is_empty() {
                reader.keep(&mut document.statements, Statement { products, ..said })?;
            }
        }
    }
    Ok(())
}

impl Said<'_> {
    fn statement(
        self,
        reader: &Reader<'_>,
        id: String,
        status: VexStatus,
        names: &[String],
        timestamp: Option<OffsetDateTime>,
    ) -> Statement {
        Statement {
            id,
            vulnerability: names.to_vec(),
            products: Vec::new(),
            status,
            justification: self.justification.filter(|_| status == VexStatus::NotAffected),
            impact: reader.detail(self.impact),
            action: reader.detail(self.action.filter(|_| status == VexStatus::Affected)),
            timestamp,
        }
    }
}

fn names(reader: &mut Reader<'_>, place: &str, doc: &VulnerabilityDoc) -> Option<Vec<String>> {
    let ids = doc.ids.iter().map(|id| &id.text);
    let mut names: Vec<String> = Vec::new();
    for name in doc.cve.iter().chain(ids).take(reader.limits.names) {
        names.extend(reader.name(place, name).filter(|name| !names.contains(name)));
    }
    if names.is_empty() && !doc.product_status.is_empty() {
        reader.problem(place, "it has neither a cve nor an id".to_owned());
    }
    (!names.is_empty()).then_some(names)
}

/// What flags, threats and remediations say, by product.
fn said<'d>(
    reader: &mut Reader<'_>,
    place: &str,
    doc: &'d VulnerabilityDoc,
    tree: &'d Tree,
) -> BTreeMap<&'d str, Said<'d>> {
    let mut said: BTreeMap<&str, Said<'_>> = BTreeMap::new();
    let lists = [("flags", &doc.flags), ("threats", &doc.threats), ("remediations", &doc.remediations)];
    for (list, at, entry) in
        lists.iter().flat_map(|(n, l)| l.iter().enumerate().map(move |(at, e)| (*n, at, e)))
    {
        let justification = Justification::from_word(&entry.label);
        if list == "flags" && justification.is_none() {
            let shown: String = entry.label.chars().take(60).collect();
            reader.problem(&format!("{place}.flags[{at}].label"), format!("{shown:?} is no justification"));
        }
        if list == "threats" && entry.category != "impact" {
            continue;
        }
        for id in entry.product_ids.iter().chain(tree.grouped(&entry.group_ids)) {
            let of = said.entry(id).or_default();
            match list {
                "flags" => of.justification = of.justification.max(justification),
                "threats" => of.impact = of.impact.or(Some(&entry.details)),
                _ => of.action = of.action.or(Some(&entry.details)),
            }
        }
    }
    said
}
