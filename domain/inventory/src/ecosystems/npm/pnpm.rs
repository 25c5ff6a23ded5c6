//! `pnpm-lock.yaml` in its forms 5, 6 and 9, which differ in how the keys of `packages` are written.
//!
//! Forms 5 and 6 tell what only development needs. Form 9 does not, so all of its packages from a registry count.

use crate::ecosystems::listing::{self, Lines};
use crate::ecosystems::outline;

/// A line for each package from a registry.
pub(super) fn lines(text: &str) -> Lines {
    let (mut lines, mut in_packages, mut package) = (Lines::default(), false, None);
    let Some(read_key) = form(text) else {
        return Lines::of_problem("is a pnpm-lock.yaml of an unknown form");
    };
    for line in outline::lines(text) {
        match line.indent {
            0 => in_packages = line.key == "packages",
            2 if in_packages => {
                lines.add(package.take());
                package = read_key(line.key).map(|(name, version)| listing::package(name, version));
            }
            4 if in_packages && line.key == "dev" && line.value == "true" => package = None,
            _ => {}
        }
    }
    lines.add(package);
    lines
}

/// How a key is read.
type ReadKey = fn(&str) -> Option<(&str, &str)>;

fn form(text: &str) -> Option<ReadKey> {
    let said = outline::lines(text).find(|line| line.indent == 0 && line.key == "lockfileVersion")?;
    match said.value.split('.').next()? {
        "5" => Some(with_slash),
        "6" => Some(with_slash_and_at),
        "9" => Some(with_at),
        _ => None,
    }
}

/// `/@s/a/1.0.0_b@2.0.0`, with the versions of peers behind the underscore.
fn with_slash(key: &str) -> Option<(&str, &str)> {
    let key = key.strip_prefix('/')?;
    let scope = if key.starts_with('@') { key.find('/')? + 1 } else { 0 };
    let slash = scope + key[scope..].find('/')?;
    let version = key[slash + 1..].split('_').next()?;
    package(&key[..slash], version)
}

/// `/@s/a@1.0.0(b@2.0.0)`
fn with_slash_and_at(key: &str) -> Option<(&str, &str)> {
    with_at(key.strip_prefix('/')?)
}

/// `@s/a@1.0.0`
fn with_at(key: &str) -> Option<(&str, &str)> {
    let (name, version) = key.split('(').next()?.rsplit_once('@')?;
    package(name, version)
}

/// What is from git or from a file has an address where others have a version.
fn package<'a>(name: &'a str, version: &'a str) -> Option<(&'a str, &'a str)> {
    let is_version = version.starts_with(|c: char| c.is_ascii_digit()) && !version.contains([':', '/']);
    is_version.then_some((name, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(form: &str, packages: &str, expected: &str) {
        let text =
            format!("lockfileVersion: {form}\n\npackages:\n\n{packages}\nsnapshots:\n\n  z@9.9.9: {{}}\n");
        assert_eq!(String::from_utf8(lines(&text).into_bytes()).unwrap(), expected, "{text}");
    }

    #[test]
    fn keys_are_read_as_their_form_says() {
        for (form, key, expected) in [
            ("5.4", "/a/1.0.0:", "a\t1.0.0\n"),
            ("5.4", "/@s/a/1.0.0-rc.1_@t+b@2.0.0:", "@s/a\t1.0.0-rc.1\n"),
            ("5.4", "github.com/someone/a/0123:", ""),
            ("5.4", "file:../a:", ""),
            ("'6.0'", "/a@1.0.0:", "a\t1.0.0\n"),
            ("'6.0'", "/@s/a@1.0.0(@t/b@2.0.0)(c@3.0.0):", "@s/a\t1.0.0\n"),
            ("'6.0'", "? /a@1.0.0(b@2.0.0)", "a\t1.0.0\n"),
            ("'6.0'", "file:../a:", ""),
            ("'9.0'", "a@1.0.0:", "a\t1.0.0\n"),
            ("'9.0'", "'@s/a@1.0.0':", "@s/a\t1.0.0\n"),
            ("'9.0'", "a@file:../a:", ""),
            ("'9.0'", "a@https://codeload.example/someone/a/tar.gz/0123:", ""),
        ] {
            check(form, &format!("  {key}\n    resolution: {{integrity: x}}\n"), expected);
        }
    }

    #[test]
    fn what_only_development_needs_is_left_out() {
        let entry = |name: &str, dev: bool| {
            format!("  /{name}@1.0.0:\n    engines: {{node: '>=4'}}\n    dev: {dev}\n")
        };
        let packages = [entry("a", false), entry("b", true), entry("c", false)].concat();
        check("'6.0'", &packages, "a\t1.0.0\nc\t1.0.0\n");
        check("'6.0'", "  ? /a@1.0.0(b@2.0.0)\n  : dev: true\n", "");
    }

    #[test]
    fn an_unknown_form_is_a_problem() {
        check("4", "  /a/1.0.0:\n", "!is a pnpm-lock.yaml of an unknown form\n");
    }
}
