//! JSON that names packages, read without building a tree of it: a small file can make a very large tree.
//!
//! Objects and lists are taken entry by entry, so what is kept of them is for each reader to bound.
//! Of a field said twice the last counts, as it does for those who write these files; a derived reader refuses it.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

/// An object with a name and a version, among others.
#[derive(Debug, Default, Serialize)]
pub(super) struct Package {
    pub(super) name: Option<String>,
    pub(super) version: Option<String>,
}

impl<'de> Deserialize<'de> for Package {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Package;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Package, A::Error> {
                let mut package = Package::default();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "name" => package.name = map.next_value::<Lenient<String>>()?.0,
                        "version" => package.version = map.next_value::<Lenient<String>>()?.0,
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(package)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// What is there, if it is what it should be; anything else is passed over and costs nothing beside it.
pub(super) struct Lenient<T>(pub(super) Option<T>);

/// What a [`Lenient`] may be.
pub(super) trait Wanted: Sized {
    fn of_text(_text: &str) -> Option<Self> {
        None
    }

    fn of_bool(_value: bool) -> Option<Self> {
        None
    }

    fn of_seq<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn of_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

impl Wanted for String {
    fn of_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl Wanted for bool {
    fn of_bool(value: bool) -> Option<Self> {
        Some(value)
    }
}

impl Wanted for Package {
    fn of_map<'de, A: MapAccess<'de>>(map: A) -> Result<Option<Self>, A::Error> {
        Self::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(Some)
    }
}

impl<'de, T: Wanted> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything(PhantomData))
    }
}

/// The value of the field that was just named, if it is what it should be.
pub(super) fn value<'de, T: Wanted, A: MapAccess<'de>>(map: &mut A) -> Result<Option<T>, A::Error> {
    map.next_value::<Lenient<T>>().map(|value| value.0)
}

/// Passes over that value.
pub(super) fn skip<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<IgnoredAny>().map(drop)
}

/// What a whole document says, if it is JSON and what it should be.
pub(super) fn document<T: Wanted>(text: &str) -> Option<T> {
    serde_json::from_str::<Lenient<T>>(text).ok()?.0
}

struct Anything<T>(PhantomData<T>);

impl<'de, T: Wanted> Visitor<'de> for Anything<T> {
    type Value = Lenient<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Lenient(T::of_text(text)))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::of_map(map).map(Lenient)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        T::of_seq(list).map(Lenient)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Lenient(T::of_bool(value)))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Lenient(None))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Lenient(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Lenient(None))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Lenient(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(Option<String>, Option<String>)> {
        serde_json::from_str::<Package>(text).ok().map(|package| (package.name, package.version))
    }

    #[test]
    fn the_last_of_two_counts_and_what_is_no_text_is_none() {
        let named = |name: &str, version: &str| Some((Some(name.to_owned()), Some(version.to_owned())));
        assert_eq!(read(r#"{"name":"a","x":[{}],"version":"1","name":"b"}"#), named("b", "1"));
        for odd in ["1", "-1", "1.5", "true", "null", "[[1],{}]", r#"{"name":"c"}"#] {
            assert_eq!(
                read(&format!(r#"{{"name":{odd},"version":"1"}}"#)),
                Some((None, Some("1".to_owned())))
            );
        }
        for bad in ["[]", "1", r#"{"name":"#] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_entry_of_another_kind_is_none() {
        let entries: Vec<Lenient<Package>> =
            serde_json::from_str(r#"[1,"a",[{}],{"name":"a"},null]"#).unwrap();
        assert_eq!(entries.iter().filter(|entry| entry.0.is_some()).count(), 1);
    }
}
