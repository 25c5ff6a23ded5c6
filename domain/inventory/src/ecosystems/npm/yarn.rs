//! `yarn.lock`: the form of Yarn 1, and the YAML of those after it.
//!
//! Neither tells what only development needs, so all packages from a registry count.

use crate::ecosystems::listing::{self, Lines};

/// A line for each package from a registry.
pub(super) fn lines(text: &str) -> Lines {
    if text.lines().any(|line| line == "__metadata:") {
        berry(text)
    } else if text.lines().any(|line| line == "# yarn lockfile v1") {
        classic(text)
    } else {
        Lines::of_problem("is not a yarn.lock")
    }
}

/// `a@^1.0.0, a@^1.1.0:` and, below it, `  version "1.1.2"`.
fn classic(text: &str) -> Lines {
    let (mut lines, mut name) = (Lines::default(), None);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if !line.starts_with(' ') {
            name = registry_name(first_descriptor(line));
        } else if let Some(version) = line.strip_prefix("  version ") {
            lines.add(name.take().map(|name| listing::package(name, version.trim_matches('"'))));
        }
    }
    lines
}

/// `  resolution: "a@npm:1.1.2"`. A patched package stands there a second time, as it is in the registry.
fn berry(text: &str) -> Lines {
    let mut lines = Lines::default();
    for line in text.lines() {
        let Some(resolution) = line.strip_prefix("  resolution: ") else { continue };
        let package = split(resolution.trim_matches('"')).and_then(|(name, from)| {
            let version = from.strip_prefix("npm:")?;
            Some(listing::package(name, version.split("::").next()?))
        });
        lines.add(package);
    }
    lines
}

fn first_descriptor(line: &str) -> &str {
    match line.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => line.trim_end_matches(':').split(", ").next(),
    }
    .unwrap_or_default()
}

/// The package's own name, if what is asked for is a version or a tag.
fn registry_name(descriptor: &str) -> Option<&str> {
    let (name, range) = split(descriptor)?;
    match range.strip_prefix("npm:") {
        Some(other) => Some(split(other).map_or(name, |(name, _)| name)),
        None => (!range.contains([':', '/'])).then_some(name),
    }
}

/// The first `@` that does not open a scope.
fn split(descriptor: &str) -> Option<(&str, &str)> {
    let (at, _) = descriptor.match_indices('@').find(|(at, _)| *at > 0)?;
    Some((&descriptor[..at], &descriptor[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(String::from_utf8(lines(text).into_bytes()).unwrap(), expected, "{text}");
    }

    #[test]
    fn of_yarn_1_the_first_descriptor_says_where_a_package_is_from() {
        for (key, expected) in [
            ("a@^1.0.0, a@^1.1.0:", "a\t1.1.2\n"),
            (r#""@s/a@>= 1 < 2", "@s/a@^1.1.0":"#, "@s/a\t1.1.2\n"),
            (r#""b@npm:@s/a@^1":"#, "@s/a\t1.1.2\n"),
            ("a@latest:", "a\t1.1.2\n"),
            (r#""a@git+https://example.org/a.git":"#, ""),
            (r#""a@file:../a":"#, ""),
            ("a@someone/a:", ""),
            ("a:", ""),
        ] {
            check(
                &format!("# yarn lockfile v1\n\n\n{key}\n  version \"1.1.2\"\n  resolved \"x\"\n"),
                expected,
            );
        }
    }

    #[test]
    fn after_yarn_1_the_resolution_says_it() {
        for (resolution, expected) in [
            ("a@npm:1.1.2", "a\t1.1.2\n"),
            ("@s/a@npm:1.1.2::__archiveUrl=https%3A%2F%2Fx.example%2Fa.tgz", "@s/a\t1.1.2\n"),
            ("a@workspace:.", ""),
            ("a@patch:a@npm%3A1.1.2#~builtin<compat/a>::version=1.1.2&hash=0123", ""),
            ("a@https://github.com/someone/a.git#commit=0123", ""),
        ] {
            let entry = format!("\"b@npm:^1\":\n  version: 9\n  resolution: \"{resolution}\"\n");
            check(&format!("__metadata:\n  version: 6\n\n{entry}"), expected);
        }
    }

    #[test]
    fn what_is_no_yarn_lock_is_a_problem() {
        check("", "!is not a yarn.lock\n");
        check("a@1:\n  version \"1\"\n", "!is not a yarn.lock\n");
    }
}
