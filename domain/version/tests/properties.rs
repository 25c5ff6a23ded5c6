//! The keys against other people's comparisons, and ranges against the algorithm as the OSV schema writes it.

use std::cmp::Ordering;

use proptest::prelude::*;
use version::{Event, Range, Scheme, Version};

fn parse(scheme: Scheme, text: &str) -> Version {
    Version::parse(scheme, text).expect("the strategies make versions")
}

/// Each word is followed by a number, as `debversion` and dpkg differ where one is missing.
const DEBIAN: &str = "([0-2]:)?[0-9]{1,2}([.+~a]{1,2}[0-9]{1,3}){0,3}(-[0-9]([.+~b]{1,2}[0-9]){0,2})?";
const SEMVER: &str =
    "[0-2]\\.[0-9]{1}\\.[0-2](-([a-cA-C]|[1-9][0-9]?|rc)(\\.([a-c]|[1-9]|0)){0,2})?(\\+[a-z0-9]{1,3})?";
const PEP440: &str = "([01]!)?[0-2](\\.[0-2]){0,3}((a|b|rc)[0-2])?(\\.post[0-2])?(\\.dev[0-2])?(\\+[a-b0-2](\\.[a-b0-2]){0,2})?";

proptest! {
    #[test]
    fn debian_agrees_with_debversion(a in DEBIAN, b in DEBIAN) {
        let theirs: (debversion::Version, debversion::Version) = (a.parse().unwrap(), b.parse().unwrap());
        prop_assert_eq!(parse(Scheme::Debian, &a).cmp(&parse(Scheme::Debian, &b)), theirs.0.cmp(&theirs.1));
    }

    #[test]
    fn semver_agrees_with_nodejs_semver(a in SEMVER, b in SEMVER) {
        let theirs = |text: &str| nodejs_semver::Version::parse(text).unwrap();
        prop_assert_eq!(parse(Scheme::Semver, &a).cmp(&parse(Scheme::Semver, &b)), theirs(&a).cmp(&theirs(&b)));
    }

    #[test]
    fn python_agrees_with_pep440_rs(a in PEP440, b in PEP440) {
        let theirs: (pep440_rs::Version, pep440_rs::Version) = (a.parse().unwrap(), b.parse().unwrap());
        prop_assert_eq!(parse(Scheme::Pep440, &a).cmp(&parse(Scheme::Pep440, &b)), theirs.0.cmp(&theirs.1));
        let local = theirs.1.local().is_empty() && theirs.0.is_local() && theirs.0.clone().without_local() == theirs.1;
        prop_assert_eq!(parse(Scheme::Pep440, &a).is_meant_by(&parse(Scheme::Pep440, &b)), theirs.0 == theirs.1 || local);
    }

    #[test]
    fn any_text_is_read_or_refused(text in prop_oneof!["\\PC{0,300}", "[0-9a-z.~^:_+#-]{0,300}"]) {
        for scheme in Scheme::ALL {
            if let Ok(version) = Version::parse(scheme, &text) {
                prop_assert_eq!(version.text(), &text);
                prop_assert_eq!(version.cmp(&version.clone()), Ordering::Equal);
            }
        }
    }

    #[test]
    fn every_order_is_total(texts in proptest::collection::vec(any_version(), 3)) {
        for scheme in Scheme::ALL {
            let versions: Vec<_> = texts.iter().filter_map(|text| Version::parse(scheme, text).ok()).collect();
            for a in &versions {
                for b in &versions {
                    prop_assert_eq!(a.cmp(b), b.cmp(a).reverse());
                    prop_assert_eq!(a == b, a.cmp(b) == Ordering::Equal);
                    for c in &versions {
                        prop_assert!(!(a <= b && b <= c) || a <= c, "{} <= {} <= {} by {}", a, b, c, scheme);
                    }
                }
            }
        }
    }

    #[test]
    fn a_higher_number_is_a_higher_version(a in 0..300_u32, b in 0..300_u32, major in 0..3_u32) {
        for scheme in Scheme::ALL {
            let version = |minor| parse(scheme, &format!("{major}.{minor}.1"));
            prop_assert_eq!(version(a).cmp(&version(b)), a.cmp(&b), "by {}", scheme);
        }
    }

    #[test]
    fn a_range_holds_what_the_schema_says(events in proptest::collection::vec(event(), 1..7), ask in small()) {
        let version = parse(Scheme::Pep440, &ask);
        let expected = by_the_schema(&version, &events);
        match Range::parse(Scheme::Pep440, &events) {
            Ok(range) => prop_assert_eq!(range.contains(&version).is_some(), expected),
            Err(_) => prop_assert!(!expected && !events.iter().any(|e| matches!(e, Event::Introduced(_)))),
        }
    }
}

/// Few numbers and words in all the ways in which they are joined, so that they meet.
fn any_version() -> impl Strategy<Value = String> {
    "[0-2]([.+~^_-]{0,1}([0-2]|00|01|10|a|b|rc|alpha|dev|pre|p|sp|snapshot|final|x)){0,5}"
}

/// Few versions, so that events meet.
fn small() -> impl Strategy<Value = String> {
    prop_oneof!["[0-6]", "[0-6]\\.post1", "[1-5]rc1", "[1-5]\\+cpu"]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => small().prop_map(Event::Introduced),
        3 => small().prop_map(Event::Fixed),
        2 => small().prop_map(Event::LastAffected),
        1 => prop_oneof![small(), Just("*".to_owned())].prop_map(Event::Limit),
    ]
}

/// "Evaluation" of the OSV schema, word for word.
fn by_the_schema(version: &Version, events: &[Event]) -> bool {
    let read = |text: &String| parse(Scheme::Pep440, text);
    let mut sorted: Vec<&Event> = events.iter().filter(|e| !matches!(e, Event::Limit(_))).collect();
    sorted.sort_by_key(|event| match event {
        Event::Introduced(v) if v == "0" => None,
        Event::Introduced(v) | Event::Fixed(v) | Event::LastAffected(v) | Event::Limit(v) => Some(read(v)),
    });
    let mut vulnerable = false;
    for event in sorted {
        match event {
            Event::Introduced(v) if v == "0" || *version >= read(v) => vulnerable = true,
            Event::Fixed(v) if *version >= read(v) => vulnerable = false,
            Event::LastAffected(v) if version.is_after(&read(v)) => vulnerable = false,
            _ => {}
        }
    }
    let mut limits =
        events.iter().filter_map(|e| if let Event::Limit(v) = e { Some(v) } else { None }).peekable();
    let before_limits = limits.peek().is_none() || limits.any(|v| v == "*" || *version < read(v));
    vulnerable && before_limits
}
