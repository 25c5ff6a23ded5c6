//! A CSAF product tree: which things its product ids stand for, and which are parts of which.

use std::collections::HashMap;
use std::sync::Arc;

use advisory::formats::walk;
use serde::Deserialize;

use super::super::reader::short;
use super::super::{Reader, Unreadable, at_most, wrong};
use crate::{Identities, Identity, Product, Versions};

/// Branches inside of branches: vendor, family, product, version; a few more are read.
const DEPTH_MAX: usize = 16;
/// Parts of parts: a package of a module of a repository.
const PARTS_MAX: usize = 6;

#[derive(Debug, Deserialize)]
struct ProductDoc {
    product_id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    product_identification_helper: HelperDoc,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct HelperDoc {
    cpe: Option<String>,
    purl: Option<String>,
    /// Of 2.1.
    purls: Vec<String>,
    hashes: Vec<HashesDoc>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct HashesDoc {
    file_hashes: Vec<HashDoc>,
}

#[derive(Debug, Deserialize)]
struct HashDoc {
    algorithm: String,
    value: String,
}

#[derive(Debug, Deserialize)]
struct RelationshipDoc {
    full_product_name: ProductDoc,
    product_reference: String,
    relates_to_product_reference: String,
}

/// Of 2.1, instead of relationships.
#[derive(Debug, Deserialize)]
struct PathDoc {
    beginning_product_reference: String,
    full_product_name: ProductDoc,
    subpaths: Vec<SubpathDoc>,
}

#[derive(Debug, Deserialize)]
struct SubpathDoc {
    next_product_reference: String,
}

#[derive(Debug, Deserialize)]
struct GroupDoc {
    group_id: String,
    #[serde(default)]
    product_ids: Vec<String>,
}

/// What product ids stand for.
#[derive(Debug, Default)]
pub(super) struct Tree {
    products: HashMap<String, Named>,
    /// By id of a combination: the part, and what it is part of.
    parts: HashMap<String, (String, String)>,
    groups: HashMap<String, Vec<String>>,
}

#[derive(Debug)]
struct Named {
    names: Identities,
    versions: Option<Arc<Versions>>,
}

impl Tree {
    pub(super) fn read(json: &str, reader: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let mut tree = Self::default();
        let walked = walk::members(json, &mut |name, value| {
            let place = format!("product_tree.{}", name.chars().take(60).collect::<String>());
            match name.as_str() {
                "branches" => tree.branches(reader, &place, value, 0),
                "full_product_names" => reader.each(&place, value, |reader, place, json| {
                    tree.product_of(reader, place, json, None);
                }),
                "relationships" => reader.each(&place, value, |reader, place, json| {
                    if let Some(doc) = reader.typed::<RelationshipDoc>(place, json) {
                        let whole = doc.relates_to_product_reference;
                        tree.combination(reader, place, doc.full_product_name, doc.product_reference, whole);
                    }
                }),
                "product_paths" => reader.each(&place, value, |reader, place, json| {
                    if let Some(doc) = reader.typed::<PathDoc>(place, json) {
                        tree.path(reader, place, doc);
                    }
                }),
                "product_groups" => reader.each(&place, value, |reader, place, json| {
                    if let Some(doc) = reader.typed::<GroupDoc>(place, json) {
                        tree.groups.insert(doc.group_id, doc.product_ids);
                    }
                }),
                _ => {}
            }
            tree.products.len() + tree.parts.len() <= reader.limits.tree
        });
        walked.map_err(|error| wrong("product_tree", &short(&error)))?;
        at_most(reader.limits.tree, "products in the tree", tree.products.len() + tree.parts.len())?;
        Ok(tree)
    }

    fn branches(&mut self, reader: &mut Reader<'_>, place: &str, json: &str, depth: usize) {
        if depth == DEPTH_MAX {
            return reader.problem(place, "it is deeper than is read".to_owned());
        }
        reader.each(place, json, |reader, place, branch| self.branch(reader, place, branch, depth));
    }

    fn branch(&mut self, reader: &mut Reader<'_>, place: &str, json: &str, depth: usize) {
        let (mut category, mut name) = (String::new(), String::new());
        let (mut inner, mut product) = (None, None);
        let walked = walk::members(json, &mut |member, value| {
            match member.as_str() {
                "category" => category = serde_json::from_str(value).unwrap_or_default(),
                "name" => name = serde_json::from_str(value).unwrap_or_default(),
                "branches" => inner = Some(value),
                "product" => product = Some(value),
                _ => {}
            }
            true
        });
        if let Err(error) = walked {
            reader.problem(place, short(&error));
        }
        if let Some(json) = product {
            let range = category == "product_version_range" && name.starts_with("vers:");
            let name = reader.name(place, &name).filter(|_| range);
            self.product_of(reader, &format!("{place}.product"), json, name.map(|text| Versions::of(&text)));
        }
        if let Some(json) = inner {
            self.branches(reader, &format!("{place}.branches"), json, depth + 1);
        }
    }

    fn product_of(&mut self, reader: &mut Reader<'_>, place: &str, json: &str, versions: Option<Versions>) {
        if let Some(doc) = reader.typed::<ProductDoc>(place, json) {
            self.insert(reader, place, doc, versions);
        }
    }

    fn insert(&mut self, reader: &mut Reader<'_>, place: &str, doc: ProductDoc, versions: Option<Versions>) {
        let HelperDoc { cpe, purl, purls, hashes } = doc.product_identification_helper;
        let mut names = Vec::new();
        for text in purl.iter().chain(&purls) {
            match reader.name(place, text).and_then(|text| Identity::purl(&text)) {
                Some(purl) => names.push(purl),
                None => reader.problem(place, "its purl cannot be read".to_owned()),
            }
        }
        let hashes = hashes.iter().flat_map(|file| &file.file_hashes);
        names.extend(hashes.filter_map(|hash| Identity::sha256(&hash.algorithm, &hash.value)));
        names.extend(cpe.and_then(|text| reader.name(place, &text)).map(Identity::Cpe));
        if names.is_empty() {
            names.extend(reader.name(place, &doc.name).map(Identity::Name));
        }
        let names = reader.identities(place, names);
        self.products.insert(doc.product_id, Named { names, versions: versions.map(Arc::new) });
    }

    /// What is named as a whole by itself, too, is called so beside its parts.
    fn combination(
        &mut self,
        reader: &mut Reader<'_>,
        place: &str,
        doc: ProductDoc,
        part: String,
        whole: String,
    ) {
        self.parts.insert(doc.product_id.clone(), (part, whole));
        let helper = &doc.product_identification_helper;
        if helper.purl.is_some() || !helper.purls.is_empty() || !helper.hashes.is_empty() {
            self.insert(reader, place, doc, None);
        }
    }

    /// A path goes from the part through what it is part of; the last is the whole.
    fn path(&mut self, reader: &mut Reader<'_>, place: &str, doc: PathDoc) {
        let Some(last) = doc.subpaths.into_iter().last() else {
            return reader.problem(place, "it leads nowhere".to_owned());
        };
        let (part, whole) = (doc.beginning_product_reference, last.next_product_reference);
        self.combination(reader, place, doc.full_product_name, part, whole);
    }

    /// The products of these groups.
    pub(super) fn grouped<'t>(&'t self, groups: &'t [String]) -> impl Iterator<Item = &'t String> {
        groups.iter().filter_map(|group| self.groups.get(group)).flatten()
    }

    /// The product of this id.
    pub(super) fn product(&self, reader: &mut Reader<'_>, place: &str, id: &str) -> Option<Product> {
        let found = self.find(id);
        if found.is_none() {
            let shown: String = id.chars().take(100).collect();
            reader.problem(place, format!("the product {shown:?} is not in the tree, or has no name"));
        }
        found
    }

    fn find(&self, id: &str) -> Option<Product> {
        let named = |id: &str| self.products.get(id).filter(|named| !named.names.is_empty());
        let Some((part, whole)) = self.parts.get(id) else {
            let Named { names, versions } = named(id)?;
            return Some(Product { versions: versions.clone(), ..Product::of(names.clone()) });
        };
        let (mut part, mut whole) = (part.as_str(), whole.as_str());
        for _ in 0..PARTS_MAX {
            match (self.parts.get(part), self.parts.get(whole)) {
                (Some((inner, _)), _) if named(part).is_none() => part = inner,
                (_, Some((_, outer))) => whole = outer,
                _ => break,
            }
        }
        let of_part = named(id).or_else(|| named(part))?;
        let parts = [of_part.names.clone()];
        Some(Product {
            whole: named(whole)?.names.clone(),
            parts: parts.into(),
            versions: of_part.versions.clone(),
        })
    }
}
