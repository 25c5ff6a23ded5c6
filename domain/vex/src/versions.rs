//! Versions that are named beside a product: one, or a range by the `vers` specification.

use std::cmp::Ordering;
use std::fmt;

use advisory::scheme;
use model::PackageKind;
use version::Version;

/// Constraints of one range that are read; more make a range that holds nothing we know.
const CONSTRAINTS_MAX: usize = 200;

/// Some versions of a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Versions {
    /// This one.
    Is(String),
    /// Those of a range, written `vers:npm/>=1.0|<2.0`.
    Within(String),
}

impl Versions {
    /// Reads a version or a range.
    pub fn of(text: &str) -> Self {
        let text = text.trim();
        if text.starts_with("vers:") { Self::Within(text.to_owned()) } else { Self::Is(text.to_owned()) }
    }

    /// Whether this version of a package of this kind is meant. `None` when that cannot be told.
    pub fn hold(&self, kind: PackageKind, version: &str) -> Option<bool> {
        match self {
            Self::Is(text) => Some(is_same(kind, text, version)),
            Self::Within(range) => within(kind, range, version),
        }
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(text) | Self::Within(text) => f.write_str(text),
        }
    }
}

/// Whether two texts are one version, by the rules of the kind.
pub(crate) fn is_same(kind: PackageKind, a: &str, b: &str) -> bool {
    let parse = |text| scheme(kind).and_then(|scheme| Version::parse(scheme, text).ok());
    a == b || parse(a).zip(parse(b)).is_some_and(|(a, b)| a == b)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    Is,
    IsNot,
    Below,
    Through,
    Above,
    From,
}

/// The rules of `vers` ("Checking if a version is contained within a range"): a version that is named decides; else
/// it has to be between two neighbours that open and close, or beyond the outermost that is open there.
fn within(kind: PackageKind, range: &str, version: &str) -> Option<bool> {
    let (_, constraints) = range.strip_prefix("vers:")?.split_once('/')?;
    if constraints.trim() == "*" {
        return Some(true);
    }
    let parse = |text: &str| Version::parse(scheme(kind)?, text).ok();
    let version = parse(version)?;
    let mut read = Vec::new();
    for text in constraints.split('|') {
        let (operator, text) = operator(text.trim());
        read.push((parse(&decoded(text))?, operator));
    }
    if read.len() > CONSTRAINTS_MAX {
        return None;
    }
    read.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (named, operator) in &read {
        if *named == version {
            let outside = matches!(operator, Operator::IsNot | Operator::Below | Operator::Above);
            return Some(!outside);
        }
    }
    let bounds = read.iter().filter(|(_, o)| !matches!(o, Operator::Is | Operator::IsNot));
    let bounds: Vec<&(Version, Operator)> = bounds.collect();
    if bounds.is_empty() {
        // Nothing but exclusions means all others.
        return Some(read.iter().all(|(_, operator)| *operator == Operator::IsNot));
    }
    let opens = |o: Operator| matches!(o, Operator::Above | Operator::From);
    let below = bounds.iter().rev().find(|(bound, _)| bound.cmp(&version) == Ordering::Less);
    let above = bounds.iter().find(|(bound, _)| bound.cmp(&version) == Ordering::Greater);
    Some(match (below, above) {
        (Some((_, below)), Some((_, above))) => opens(*below) && !opens(*above),
        (Some((_, below)), None) => opens(*below),
        (None, Some((_, above))) => !opens(*above),
        (None, None) => false,
    })
}

fn operator(text: &str) -> (Operator, &str) {
    const OPERATORS: [(&str, Operator); 6] = [
        (">=", Operator::From),
        ("<=", Operator::Through),
        ("!=", Operator::IsNot),
        ("<", Operator::Below),
        (">", Operator::Above),
        ("=", Operator::Is),
    ];
    let found = OPERATORS.iter().find_map(|(word, o)| text.strip_prefix(word).map(|rest| (*o, rest.trim())));
    found.unwrap_or((Operator::Is, text))
}

/// Versions in ranges are percent-encoded.
fn decoded(text: &str) -> String {
    text.replace("%3A", ":").replace("%3a", ":").replace("%2B", "+").replace("%2b", "+").replace("%7E", "~")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(range: &str, version: &str, holds: Option<bool>) {
        assert_eq!(Versions::of(range).hold(PackageKind::Npm, version), holds, "{version} in {range}");
    }

    #[test]
    fn a_range_is_read_by_the_rules_of_vers() {
        for (range, inside, outside) in [
            ("vers:npm/>=1.0.0|<2.0.0", &["1.0.0", "1.9.9"][..], &["0.9.0", "2.0.0"][..]),
            ("vers:npm/>1.0.0|<=2.0.0|>=3.0.0|<4.0.0", &["2.0.0", "3.0.0"], &["1.0.0", "2.5.0", "4.0.0"]),
            ("vers:npm/<1.0.0|>=2.0.0", &["0.1.0", "3.0.0"], &["1.0.0", "1.5.0"]),
            ("vers:npm/1.0.0|2.0.0", &["1.0.0", "2.0.0"], &["1.5.0"]),
            ("vers:npm/>=1.0.0|!=1.5.0", &["1.4.0", "9.0.0"], &["1.5.0", "0.9.0"]),
            ("vers:npm/*", &["0.0.1"], &[]),
            ("1.2.3", &["1.2.3"], &["1.2.4"]),
        ] {
            inside.iter().for_each(|version| check(range, version, Some(true)));
            outside.iter().for_each(|version| check(range, version, Some(false)));
        }
    }

    #[test]
    fn what_cannot_be_compared_is_not_guessed() {
        check("vers:npm/>=one", "1.0.0", None);
        check("vers:npm", "1.0.0", None);
        check("vers:npm/>=1.0.0", "latest", None);
        check(&format!("vers:npm/{}1.0.0", "2.0.0|".repeat(CONSTRAINTS_MAX)), "1.0.0", None);
    }
}
