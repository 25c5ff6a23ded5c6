//! What the references of a CycloneDX document stand for.

use std::collections::HashMap;

use advisory::formats::walk;
use serde::Deserialize;

use super::super::reader::short;
use super::super::{Reader, Unreadable, at_most, wrong};
use crate::{Identities, Identity, Product};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ComponentDoc {
    #[serde(rename = "bom-ref")]
    reference: Option<String>,
    purl: Option<String>,
    cpe: Option<String>,
    name: String,
    version: String,
    hashes: Vec<HashDoc>,
    components: Vec<Self>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct HashDoc {
    alg: String,
    content: String,
}

/// The components of a document, and what it is about.
pub(super) struct Components {
    by_reference: HashMap<String, Identities>,
    /// Its reference and names.
    about: Option<(Option<String>, Identities)>,
    serial: String,
}

impl Components {
    pub(super) fn read(
        json: Option<&str>,
        about: Option<ComponentDoc>,
        serial: &str,
        reader: &mut Reader<'_>,
    ) -> Result<Self, Unreadable> {
        let serial = serial.strip_prefix("urn:uuid:").unwrap_or(serial).to_ascii_lowercase();
        let mut all = Self { by_reference: HashMap::new(), about: None, serial };
        if let Some(mut doc) = about {
            let inner = std::mem::take(&mut doc.components);
            let names = names(reader, "metadata.component", &doc);
            all.about = Some((doc.reference, names)).filter(|(_, names)| !names.is_empty());
            inner.into_iter().for_each(|doc| all.component(reader, "metadata.component", doc));
        }
        let walked = walk::elements(json.unwrap_or("[]"), &mut |at, json| {
            let place = format!("components[{at}]");
            if let Some(doc) = reader.typed(&place, json) {
                all.component(reader, &place, doc);
            }
            all.by_reference.len() <= reader.limits.tree
        });
        walked.map_err(|error| wrong("components", &short(&error)))?;
        at_most(reader.limits.tree, "components", all.by_reference.len())?;
        Ok(all)
    }

    /// Depth is bounded by that of the document.
    fn component(&mut self, reader: &mut Reader<'_>, place: &str, mut doc: ComponentDoc) {
        for inner in std::mem::take(&mut doc.components) {
            self.component(reader, place, inner);
        }
        let names = names(reader, place, &doc);
        if let Some(reference) = doc.reference.filter(|_| !names.is_empty()) {
            self.by_reference.insert(reference, names);
        }
    }

    /// What a reference stands for: a component of this document, or of another one by its BOM-Link.
    pub(super) fn product(&self, reader: &mut Reader<'_>, place: &str, reference: &str) -> Option<Product> {
        let Some(reference) = reader.name(place, reference) else {
            reader.problem(place, "it has no reference that could be read".to_owned());
            return None;
        };
        if let Some(product) = self.own(&reference) {
            return Some(product);
        }
        let Some(link) = reference.strip_prefix("urn:cdx:") else {
            return Some(Product::of([Identity::of(&reference)].into()));
        };
        let (document, element) = link.split_once('#').unwrap_or((link, ""));
        let serial = document.split('/').next().unwrap_or_default();
        let element = decoded(element);
        if serial.eq_ignore_ascii_case(&self.serial)
            && let Some(product) = self.own(&element)
        {
            return Some(product);
        }
        let named = Identity::purl(&element).unwrap_or(Identity::Name(reference));
        Some(Product::of([named].into()))
    }

    fn own(&self, reference: &str) -> Option<Product> {
        let about = self.about.as_ref();
        if let Some((_, names)) = about.filter(|(own, _)| own.as_deref() == Some(reference)) {
            return Some(Product::of(names.clone()));
        }
        let names = self.by_reference.get(reference)?.clone();
        Some(match about {
            Some((_, whole)) => Product { parts: [names].into(), ..Product::of(whole.clone()) },
            None => Product::of(names),
        })
    }
}

fn names(reader: &mut Reader<'_>, place: &str, doc: &ComponentDoc) -> Identities {
    let mut names = Vec::new();
    names.extend(doc.purl.as_ref().and_then(|text| reader.name(place, text)).map(|text| Identity::of(&text)));
    names.extend(doc.hashes.iter().filter_map(|hash| Identity::sha256(&hash.alg, &hash.content)));
    names.extend(doc.cpe.as_ref().and_then(|text| reader.name(place, text)).map(Identity::Cpe));
    // An image's version is its digest: so a container is known by it, whichever tool wrote the document.
    names.extend(doc.version.parse().ok().map(Identity::Digest));
    if let Some(name) = reader.name(place, &doc.name) {
        names.push(Identity::Name(name));
    }
    reader.identities(place, names)
}

/// The fragment of a BOM-Link is percent-encoded; a package URL in it may or may not be.
fn decoded(element: &str) -> String {
    if element.starts_with("pkg:") {
        return element.to_owned();
    }
    let (mut bytes, mut rest) = (Vec::with_capacity(element.len()), element.bytes());
    while let Some(byte) = rest.next() {
        let mut ahead = rest.clone();
        let mut digit = || ahead.next().and_then(|b| char::from(b).to_digit(16));
        let value = if byte == b'%' { digit().zip(digit()) } else { None };
        match value.and_then(|(high, low)| u8::try_from(high * 16 + low).ok()) {
            Some(value) => {
                bytes.push(value);
                rest = ahead;
            }
            None => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).unwrap_or_default()
}
