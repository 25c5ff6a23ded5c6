//! `poetry.lock` and `uv.lock`, both of which list `[[package]]` in TOML.
//!
//! Poetry tells what only the group `dev` needs, uv does not.

use serde::de::{MapAccess, SeqAccess};

use crate::ecosystems::entries::{self, Entry};
use crate::ecosystems::json::{Lenient, Wanted, skip, value};
use crate::ecosystems::listing::{self, Lines};

/// A line for each package from an index.
pub(super) fn lines(text: &str) -> Lines {
    entries::of_toml::<Locked>(text, "package")
}

#[derive(Default)]
struct Locked {
    name: Option<String>,
    version: Option<String>,
    source: Option<Source>,
    /// Of Poetry 1.
    category: Option<String>,
    /// Of Poetry 2.
    groups: Option<Groups>,
}

impl Wanted for Locked {
    fn of_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        let mut package = Self::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "name" => package.name = value(&mut map)?,
                "version" => package.version = value(&mut map)?,
                "source" => package.source = value(&mut map)?,
                "category" => package.category = value(&mut map)?,
                "groups" => package.groups = value(&mut map)?,
                _ => skip(&mut map)?,
            }
        }
        Ok(Some(package))
    }
}

impl Entry for Locked {
    /// Without a version it is a project that is being worked on.
    fn list(self, _key: &str, lines: &mut Lines) {
        let from_index = self.source.is_none_or(|source| source.is_index);
        let for_development =
            self.category.as_deref() == Some("dev") || self.groups.is_some_and(|groups| groups.only_dev);
        if let (Some(name), Some(version)) = (self.name, self.version)
            && from_index
            && !for_development
        {
            lines.push(&listing::package(&name, &version));
        }
    }
}

/// uv: `{ registry = "https://…" }`; Poetry: `type = "legacy"`, or none for the usual index.
struct Source {
    is_index: bool,
}

impl Wanted for Source {
    fn of_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        let mut is_index = false;
        while let Some(key) = map.next_key::<String>()? {
            let text: Option<String> = value(&mut map)?;
            is_index |= key == "registry" || (key == "type" && text.as_deref() == Some("legacy"));
        }
        Ok(Some(Self { is_index }))
    }
}

struct Groups {
    only_dev: bool,
}

impl Wanted for Groups {
    fn of_seq<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        let (mut any, mut only_dev) = (false, true);
        while let Some(Lenient(group)) = list.next_element::<Lenient<String>>()? {
            any = true;
            only_dev &= group.as_deref() == Some("dev");
        }
        Ok(Some(Self { only_dev: any && only_dev }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(entry: &str, expected: &str) {
        let text = format!("version = 1\n\n[[package]]\nname = \"a\"\n{entry}\n");
        assert_eq!(String::from_utf8(lines(&text).into_bytes()).unwrap(), expected, "{text}");
    }

    #[test]
    fn packages_from_an_index_count() {
        for (entry, counts) in [
            ("version = \"1.0\"", true),
            ("version = \"1.0\"\ncategory = \"main\"\noptional = true", true),
            ("version = \"1.0\"\ngroups = [\"main\", \"dev\"]", true),
            ("version = \"1.0\"\nsource = { registry = \"https://pypi.org/simple\" }", true),
            ("version = \"1.0\"\n[package.source]\ntype = \"legacy\"\nurl = \"https://x.example\"", true),
            ("version = \"1.0\"\ncategory = \"dev\"", false),
            ("version = \"1.0\"\ngroups = [\"dev\"]", false),
            ("version = \"1.0\"\nsource = { editable = \".\" }", false),
            ("version = \"1.0\"\nsource = { git = \"https://x.example/a?rev=1#0123\" }", false),
            ("version = \"1.0\"\n[package.source]\ntype = \"git\"\nurl = \"https://x.example\"", false),
            ("source = { virtual = \".\" }", false),
            ("version = 1.0", false),
        ] {
            check(entry, if counts { "a\t1.0\n" } else { "" });
        }
    }
}
