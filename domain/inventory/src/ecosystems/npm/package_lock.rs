//! `package-lock.json` and `npm-shrinkwrap.json` in their forms 1 to 3.
//!
//! Form 1 has a tree of `dependencies`, form 3 a list of `packages` by place, and form 2 both, of which the list is
//! the more telling. `devOptional` is what something optional needs, too, so it counts.

use serde::de::MapAccess;

use crate::ecosystems::entries::{Entries, Entry};
use crate::ecosystems::json::{Wanted, document, skip, value};
use crate::ecosystems::listing::{self, Lines};

/// A line for each package from a registry.
pub(super) fn lines(text: &str) -> Lines {
    let Some(document) = document::<Document>(text) else {
        return Lines::of_problem("is not a JSON object");
    };
    let packages = document.packages.map(Entries::into_lines);
    packages.or(document.dependencies.map(Entries::into_lines)).unwrap_or_default()
}

#[derive(Default)]
struct Document {
    packages: Option<Entries<Placed>>,
    dependencies: Option<Entries<Locked>>,
}

impl Wanted for Document {
    fn of_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        let mut document = Self::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "packages" => document.packages = value(&mut map)?,
                "dependencies" => document.dependencies = value(&mut map)?,
                _ => skip(&mut map)?,
            }
        }
        Ok(Some(document))
    }
}

/// A package by where it would be.
struct Placed(Locked);

impl Wanted for Placed {
    fn of_map<'de, A: MapAccess<'de>>(map: A) -> Result<Option<Self>, A::Error> {
        Ok(Locked::of_map(map)?.map(Self))
    }
}

impl Entry for Placed {
    /// Outside of `node_modules` it is one of the project's own.
    fn list(self, key: &str, lines: &mut Lines) {
        match key.rsplit_once("node_modules/") {
            Some((before, name)) if before.is_empty() || before.ends_with('/') => {
                lines.add(self.0.package(name));
            }
            _ => {}
        }
    }
}

/// A package by name, with those that would be below it.
#[derive(Default)]
struct Locked {
    name: Option<String>,
    version: Option<String>,
    resolved: Option<String>,
    dev: bool,
    link: bool,
    dependencies: Option<Entries<Self>>,
}

impl Wanted for Locked {
    fn of_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        let mut package = Self::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "name" => package.name = value(&mut map)?,
                "version" => package.version = value(&mut map)?,
                "resolved" => package.resolved = value(&mut map)?,
                "dev" => package.dev = value(&mut map)?.unwrap_or_default(),
                "link" => package.link = value(&mut map)?.unwrap_or_default(),
                // In the list these are names and ranges, which make no packages.
                "dependencies" => package.dependencies = value(&mut map)?,
                _ => skip(&mut map)?,
            }
        }
        Ok(Some(package))
    }
}

impl Entry for Locked {
    fn list(self, key: &str, lines: &mut Lines) {
        lines.add(self.package(key));
        if let Some(below) = self.dependencies {
            below.list("", lines);
        }
    }
}

impl Locked {
    /// Of packages from git and from files `resolved` says so, or in form 1 the version, which is none then.
    fn package(&self, key: &str) -> Option<String> {
        let from_registry = self.resolved.as_deref().is_none_or(|url| url.starts_with("http"));
        if self.dev || self.link || !from_registry {
            return None;
        }
        let (name, version) = (self.name.as_deref().unwrap_or(key), self.version.as_deref()?);
        let (name, version) = match version.strip_prefix("npm:") {
            Some(other) => other.rsplit_once('@')?, // Installed under another name than its own.
            None => (name, version),
        };
        version.starts_with(|c: char| c.is_ascii_digit()).then(|| listing::package(name, version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;

    fn check(text: &str, expected: &str) {
        assert_eq!(String::from_utf8(lines(text).into_bytes()).unwrap(), expected, "{text}");
    }

    #[test]
    fn only_packages_from_a_registry_count() {
        for (entry, counts) in [
            (r#""version":"1.0.0""#, true),
            (r#""version":"1.0.0","resolved":"https://registry.npmjs.org/a/-/a-1.0.0.tgz""#, true),
            (r#""version":"1.0.0","optional":true,"peer":true,"devOptional":true,"dev":false"#, true),
            (r#""version":"1.0.0","dev":true"#, false),
            (r#""version":"1.0.0","link":true"#, false),
            (r#""version":"1.0.0","resolved":"git+ssh://git@example.org/a.git#0123""#, false),
            (r#""version":"1.0.0","resolved":"file:a.tgz""#, false),
            (r#""version":1"#, false),
            (r#""resolved":"packages/a""#, false),
        ] {
            let expected = if counts { "a\t1.0.0\n" } else { "" };
            check(&format!(r#"{{"packages":{{"node_modules/a":{{{entry}}}}}}}"#), expected);
        }
        for version in
            ["file:../a", "git+https://example.org/a.git#0123", "github:a/b#0123", "https://x/a.tgz"]
        {
            check(&format!(r#"{{"dependencies":{{"a":{{"version":"{version}"}}}}}}"#), "");
        }
    }

    #[test]
    fn names_are_those_of_the_packages_not_of_the_folders() {
        check(r#"{"packages":{"node_modules/x":{"name":"@s/a","version":"1.0.0"}}}"#, "@s/a\t1.0.0\n");
        check(r#"{"dependencies":{"x":{"version":"npm:@s/a@1.0.0"}}}"#, "@s/a\t1.0.0\n");
        check(r#"{"packages":{"p/node_modules/x/node_modules/@s/a":{"version":"1.0.0"}}}"#, "@s/a\t1.0.0\n");
        for place in ["", "packages/a", "packages/xnode_modules/a", "../a"] {
            check(&format!(r#"{{"packages":{{"{place}":{{"name":"a","version":"1.0.0"}}}}}}"#), "");
        }
    }

    #[test]
    fn the_list_counts_before_the_tree() {
        let tree = r#""dependencies":{"a":{"version":"1.0.0","dependencies":{"b":{"version":"2.0.0"}}}}"#;
        check(&format!("{{{tree}}}"), "a\t1.0.0\nb\t2.0.0\n");
        check(&format!(r#"{{{tree},"packages":{{"node_modules/c":{{"version":"3.0.0"}}}}}}"#), "c\t3.0.0\n");
        check(&format!(r#"{{{tree},"packages":1}}"#), "a\t1.0.0\nb\t2.0.0\n");
        check("{}", "");
        check("[]", "!is not a JSON object\n");
    }

    #[test]
    fn a_deep_tree_is_refused() {
        let text = r#"{"dependencies":{"a":"#.repeat(1000);
        check(&text, "!is not a JSON object\n");
    }

    #[test]
    fn a_small_file_makes_no_large_list() {
        let entry = r#""a":{"version":"1","name":"\n"},"#;
        let text = format!(r#"{{"dependencies":{{{}"a":1}}}}"#, entry.repeat(300_000));
        assert!(lines(&text).into_bytes().len() < Limits::DEFAULT.listing_bytes + 100);
    }
}
