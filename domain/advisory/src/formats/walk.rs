//! Large JSON documents, walked piece by piece: no tree is made of them, and a piece is text until it is wanted.

use std::fmt;

use serde::de::{Deserializer as _, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Deserializer, Error};

/// Hands over each member of an object, until one is answered with `false`.
///
/// # Errors
/// When it is not an object, or breaks off; the members before that were handed over.
pub fn members<'a>(json: &'a str, take: &mut dyn FnMut(String, &'a str) -> bool) -> Result<(), Error> {
    let mut enough = false;
    let mut reader = Deserializer::from_str(json);
    let read = reader.deserialize_map(Members { take, enough: &mut enough }).and_then(|()| reader.end());
    if enough { Ok(()) } else { read }
}

/// Hands over each element of a list with its place in it, until one is answered with `false`.
///
/// # Errors
/// When it is not a list, or breaks off; the elements before that were handed over.
pub fn elements<'a>(json: &'a str, take: &mut dyn FnMut(usize, &'a str) -> bool) -> Result<(), Error> {
    let mut enough = false;
    let mut reader = Deserializer::from_str(json);
    let read = reader.deserialize_seq(Elements { take, enough: &mut enough }).and_then(|()| reader.end());
    if enough { Ok(()) } else { read }
}

/// The document as text.
///
/// # Errors
/// When it is not UTF-8.
pub fn text(document: &[u8]) -> Result<&str, Error> {
    str::from_utf8(document).map_err(Error::custom)
}

struct Members<'a, 'b> {
    take: &'b mut dyn FnMut(String, &'a str) -> bool,
    enough: &'b mut bool,
}

impl<'a> Visitor<'a> for Members<'a, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key()? {
            let value: &RawValue = map.next_value()?;
            if !(self.take)(name, value.get()) {
                *self.enough = true;
                break;
            }
        }
        Ok(())
    }
}

struct Elements<'a, 'b> {
    take: &'b mut dyn FnMut(usize, &'a str) -> bool,
    enough: &'b mut bool,
}

impl<'a> Visitor<'a> for Elements<'a, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut list: A) -> Result<(), A::Error> {
        let mut at = 0;
        while let Some(value) = list.next_element::<&RawValue>()? {
            if !(self.take)(at, value.get()) {
                *self.enough = true;
                break;
            }
            at += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_handed_over_in_order_until_there_are_enough() {
        let walk = |json: &str, most: usize| {
            let mut seen = Vec::new();
            let mut take = |name, value: &str| {
                seen.push(format!("{name} {value}"));
                seen.len() < most
            };
            members(json, &mut take).map(|()| seen).map_err(|error| error.to_string())
        };
        let json = r#"{"a": [1,{}], "a": "b", "c": 1}"#;
        assert_eq!(walk(json, 9).unwrap(), ["a [1,{}]", r#"a "b""#, "c 1"]);
        assert_eq!(walk(json, 2).unwrap(), ["a [1,{}]", r#"a "b""#]);
        assert_eq!(walk(&format!("{json} x"), 9).unwrap_err(), "trailing characters at line 1 column 33");
        assert!(walk("[]", 9).is_err() && walk(r#"{"a":[}"#, 9).is_err());
        let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(walk(&deep, 9).unwrap().len(), 1);
        let mut sum = 0;
        let mut add = |at, value: &str| {
            sum += at + value.len();
            true
        };
        elements(r#"["", 22, [ ]]"#, &mut add).unwrap();
        assert_eq!(sum, 2 + 1 + 2 + 2 + 3);
    }
}
