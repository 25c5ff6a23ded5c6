//! What an image is built on: `os-release` (freedesktop, os-release(5)).

use model::Distro;

use crate::limits::Limits;
use crate::path;

/// Where it is looked for, the first one first.
pub(crate) const PLACES: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];

pub(crate) fn wants(path: &[u8]) -> bool {
    PLACES.iter().any(|place| place.as_bytes() == path)
}

/// `None` when it does not even say an `ID`.
pub(crate) fn parse(content: &[u8]) -> Option<Distro> {
    let text = String::from_utf8_lossy(content);
    let value = |key: &str| {
        // Assignments of a shell: the last one counts.
        let mut values = text.lines().filter_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
        values.next_back().map(unquote).filter(|value| is_word(value))
    };
    Some(Distro {
        id: value("ID")?.to_lowercase(),
        version: value("VERSION_ID").unwrap_or_default(),
        codename: value("VERSION_CODENAME"),
    })
}

fn is_word(value: &str) -> bool {
    !value.is_empty() && value.len() <= Limits::DEFAULT.word_bytes && !value.chars().any(path::misleads)
}

/// Takes quotes off, and backslashes inside double quotes.
fn unquote(value: &str) -> String {
    let inside = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    if let Some(plain) = inside('\'') {
        return plain.to_owned();
    }
    let mut characters = inside('"').unwrap_or(value).chars();
    let mut plain = String::with_capacity(value.len());
    while let Some(c) = characters.next() {
        plain.extend(if c == '\\' { characters.next() } else { Some(c) });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(content: &str, expected: Option<(&str, &str, Option<&str>)>) {
        let distro = parse(content.as_bytes());
        let found = distro.as_ref().map(|d| (d.id.as_str(), d.version.as_str(), d.codename.as_deref()));
        assert_eq!(found, expected, "{content}");
    }

    #[test]
    fn assignments_with_and_without_quotes() {
        let debian = "PRETTY_NAME=\"Debian\"\nID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n";
        check(debian, Some(("debian", "12", Some("bookworm"))));
        check("ID='alpine'\nVERSION_ID=3.20.1", Some(("alpine", "3.20.1", None)));
        check("# c\nID=arch\nID_LIKE=x\n", Some(("arch", "", None)));
        check("ID=a\nID=\"b\\$c\"\n", Some(("b$c", "", None)));
        check("VERSION_ID=1\n", None);
        check("", None);
    }
}
