//! Versions and ranges: an input is a line for each version or event.

use std::cmp::Ordering;

use version::{Event, Range, Scheme, Version, compare};

pub(super) const WORDS: &[&str] = &[
    "1",
    "0",
    "1.0",
    "1.0.0",
    "-",
    "~",
    "+",
    ":",
    "^",
    "_",
    ".",
    "a",
    "rc1",
    "-r1",
    "_p1",
    "_alpha",
    "~rc1",
    "1:",
    "v",
    "go1.21",
    "-SNAPSHOT",
    "-alpha.1",
    ".dev0",
    ".post1",
    "1!",
    "+local",
    "dev-master",
    "-beta2",
    "99999999999999999999",
    "00",
    "introduced ",
    "fixed ",
    "last ",
    "limit ",
    "*",
    "é",
    "١",
    "\u{0}",
];

/// Three versions each.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    [
        "1.0~rc1\n1.0-1\n1:0.9+b1",
        "v1.2.3-0.20190101000000-abcdefabcdef\n1.0.0-alpha.1+x\n1.0.0",
        "1.2.3_alpha1-r1\n1.2.3a_p2\n1.2",
        "1!2.0rc1.post2.dev3+local.1\n2.0\nweird",
        "1.0-SNAPSHOT\n1.0-alpha-1\n1.0.Final",
        "1.0.0.1-Beta\ndev-master\n1.x-dev",
        "1.0.0^git1-1.el9\n1.0.0-1.el9\n1.0.a.2",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

/// By every scheme: the order is total, and a version is the text it was.
pub(super) fn order(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let texts: Vec<&str> = text.split('\n').take(5).collect();
    for scheme in Scheme::ALL {
        let versions: Vec<Version> =
            texts.iter().filter_map(|text| Version::parse(scheme, text).ok()).collect();
        for a in &versions {
            assert!(texts.contains(&a.text()));
            assert_eq!(compare(scheme, a.text(), a.text()), Ok(Ordering::Equal));
            for b in &versions {
                assert_eq!(a.cmp(b), b.cmp(a).reverse(), "{a:?} {b:?}");
                assert!(!a.is_after(b) || a > b, "{a:?} {b:?}");
                assert!(a != b || a.is_meant_by(b), "{a:?} {b:?}");
                for c in &versions {
                    assert!(!(a <= b && b <= c) || a <= c, "{a:?} {b:?} {c:?}");
                }
            }
        }
    }
}

pub(super) fn range_seeds() -> Vec<Vec<u8>> {
    [
        "introduced 0\nfixed 1.2\nintroduced 2.0\nlast 2.1\n1.1",
        "introduced 1.0.0-rc1\nlimit 3\nlimit *\n2.0.0\n1.0.0",
        "introduced 0\nlast 5\nfixed 5+cpu\n5+cpu\n6",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

/// What a range holds does not hang on the order of its events, as long as no two are of the same version, and is told
/// by an interval of its own.
pub(super) fn range(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (mut events, mut versions) = (Vec::new(), Vec::new());
    for line in text.split('\n').take(200) {
        match line.split_once(' ') {
            Some(("introduced", text)) => events.push(Event::Introduced(text.to_owned())),
            Some(("fixed", text)) => events.push(Event::Fixed(text.to_owned())),
            Some(("last", text)) => events.push(Event::LastAffected(text.to_owned())),
            Some(("limit", text)) => events.push(Event::Limit(text.to_owned())),
            _ => versions.push(line),
        }
    }
    let backwards: Vec<Event> = events.iter().rev().cloned().collect();
    for scheme in Scheme::ALL {
        let (Ok(range), Ok(other)) = (Range::parse(scheme, &events), Range::parse(scheme, &backwards)) else {
            continue;
        };
        let has_ties = has_ties(scheme, &events);
        for version in versions.iter().take(5).filter_map(|text| Version::parse(scheme, text).ok()) {
            let held = range.contains(&version);
            let same = held.is_some() == other.contains(&version).is_some();
            assert!(same || has_ties, "{scheme} {events:?} {version:?}");
            assert!(held.is_none_or(|interval| range.intervals().contains(interval)));
            assert!(range.fixed_after(&version).all(|fixed| *fixed > version));
        }
    }
}

fn has_ties(scheme: Scheme, events: &[Event]) -> bool {
    let text = |event: &Event| match event {
        Event::Introduced(text) | Event::Fixed(text) | Event::LastAffected(text) | Event::Limit(text) => {
            text.clone()
        }
    };
    let mut versions: Vec<Option<Version>> =
        events.iter().map(|event| Version::parse(scheme, &text(event)).ok()).collect();
    versions.sort();
    versions.windows(2).any(|two| two[0] == two[1])
}
