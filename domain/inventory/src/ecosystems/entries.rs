//! Lists of packages inside JSON or TOML, taken entry by entry into lines, so that no list of entries is ever held.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::json::{Lenient, Wanted, skip, value};
use super::listing::Lines;
use crate::limits::Limits;

/// One entry, which makes lines.
pub(super) trait Entry: Wanted {
    /// Adds its lines. The key is empty in a list.
    fn list(self, key: &str, lines: &mut Lines);
}

/// The lines of a list's or an object's entries. An entry of another kind is passed over.
pub(super) struct Entries<E> {
    lines: Lines,
    entry: PhantomData<E>,
}

impl<E> Default for Entries<E> {
    fn default() -> Self {
        Self { lines: Lines::default(), entry: PhantomData }
    }
}

impl<E> Entries<E> {
    pub(super) fn into_lines(self) -> Lines {
        self.lines
    }
}

impl<E: Entry> Wanted for Entries<E> {
    fn of_seq<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        let mut entries = Self::default();
        while let Some(Lenient(entry)) = list.next_element::<Lenient<E>>()? {
            entries.take("", entry);
        }
        Ok(Some(entries))
    }

    fn of_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        let mut entries = Self::default();
        while let Some((key, Lenient(entry))) = map.next_entry::<String, Lenient<E>>()? {
            entries.take(&key, entry);
        }
        Ok(Some(entries))
    }
}

impl<E: Entry> Entries<E> {
    fn take(&mut self, key: &str, entry: Option<E>) {
        if let Some(entry) = entry {
            entry.list(key, &mut self.lines);
        }
    }
}

/// Entries may hold entries.
impl<E: Entry> Entry for Entries<E> {
    fn list(self, _key: &str, lines: &mut Lines) {
        lines.append(&self.lines);
    }
}

/// The lines of what a field of a JSON object lists.
pub(super) fn of_json<E: Entry>(text: &str, field: &str) -> Lines {
    let mut document = serde_json::Deserializer::from_str(text);
    match (Field::<E>::new(field).deserialize(&mut document), document.end()) {
        (Ok(lines), Ok(())) => lines,
        _ => Lines::of_problem("is not a JSON object"),
    }
}

/// What reading a TOML document of this size may take: of `{},{},…` each three bytes become a tree's node.
pub(super) fn toml_bytes(size: u64) -> u64 {
    size.min(Limits::DEFAULT.lock_bytes as u64) * 100
}

/// The lines of what a field of a TOML document lists. All of it is in memory for a while, so it has to be smaller.
pub(super) fn of_toml<E: Entry>(text: &str, field: &str) -> Lines {
    if text.len() > Limits::DEFAULT.lock_bytes {
        return Lines::of_problem("is larger than any lock file");
    }
    let document = toml::Deserializer::parse(text);
    let lines = document.and_then(|document| Field::<E>::new(field).deserialize(document));
    lines.unwrap_or_else(|_| Lines::of_problem("is not TOML"))
}

/// One field of a document; the last of this name counts.
struct Field<'f, E> {
    name: &'f str,
    entry: PhantomData<E>,
}

impl<'f, E> Field<'f, E> {
    const fn new(name: &'f str) -> Self {
        Self { name, entry: PhantomData }
    }
}

impl<'de, E: Entry> DeserializeSeed<'de> for Field<'_, E> {
    type Value = Lines;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Lines, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, E: Entry> Visitor<'de> for Field<'_, E> {
    type Value = Lines;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with the field {}", self.name)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Lines, A::Error> {
        let mut entries = None;
        while let Some(key) = map.next_key::<String>()? {
            if key == self.name {
                entries = value::<Entries<E>, A>(&mut map)?;
            } else {
                skip(&mut map)?;
            }
        }
        Ok(entries.unwrap_or_default().into_lines())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Version(String);

    impl Wanted for Version {
        fn of_text(text: &str) -> Option<Self> {
            Some(Self(text.to_owned()))
        }
    }

    impl Entry for Version {
        fn list(self, key: &str, lines: &mut Lines) {
            lines.push(&format!("{key} {}\n", self.0));
        }
    }

    fn check(lines: Lines, expected: &str) {
        assert_eq!(String::from_utf8(lines.into_bytes()).unwrap(), expected);
    }

    #[test]
    fn a_wrong_entry_costs_itself() {
        check(of_json::<Version>(r#"{"x":1,"p":{"a":"1","b":[{}],"c":null,"d":"2"}}"#, "p"), "a 1\nd 2\n");
        check(of_json::<Version>(r#"{"p":["1",2,"3"]}"#, "p"), " 1\n 3\n");
        check(of_json::<Entries<Version>>(r#"{"p":{"x":{"a":"1"},"y":2,"z":{"b":"2"}}}"#, "p"), "a 1\nb 2\n");
        check(of_toml::<Version>("x = 1979-05-27\n[p]\na = '1'\nb = 2\nc = 1979-05-27", "p"), "a 1\n");
    }

    #[test]
    fn a_wrong_document_is_a_problem_and_a_field_that_is_not_there_is_none() {
        for none in ["{}", r#"{"p":1}"#, r#"{"p":{"a":"1"},"p":[]}"#] {
            check(of_json::<Version>(none, "p"), "");
        }
        for bad in ["", "[]", "1", "{} x", r#"{"p":{"a":"1"}"#] {
            check(of_json::<Version>(bad, "p"), "!is not a JSON object\n");
        }
        check(of_toml::<Version>("p =", "p"), "!is not TOML\n");
        check(of_toml::<Version>(&"\n".repeat(3 << 20), "p"), "!is larger than any lock file\n");
    }
}
