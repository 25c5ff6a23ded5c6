//! Advisories and components of few names and versions, so that they meet.

use advisory::{Advisory, Affected, AffectedRange, Ecosystem, RangeKind, Targets};
use model::{Component, FeedId, NoFix, Notice, PackageKind, Purl, Severity, SourcePackage};
use proptest::prelude::*;
use proptest::sample::select;
use version::Event;

fn text(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    select(words).prop_map(str::to_owned)
}

/// Few versions and names, so that things meet; some cannot be compared.
fn any_version() -> impl Strategy<Value = String> {
    text(&["0", "1", "1.0", "1.0.0", "1.0-1", "1.5", "2", "2.0", "2.0+x", "3-rc.1", "latest", "_"])
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        any_version().prop_map(Event::Introduced),
        any_version().prop_map(Event::Fixed),
        any_version().prop_map(Event::LastAffected),
    ]
}

fn any_affected() -> impl Strategy<Value = Affected> {
    let events = prop::collection::vec(any_event(), 0..3).prop_map(|mut events| {
        events.push(Event::Introduced("0".to_owned()));
        AffectedRange { kind: RangeKind::Ecosystem, events }
    });
    (
        text(&["npm", "PyPI", "Debian", "Debian:12", "Debian:11", "Go"]),
        text(&["a", "b"]),
        prop::bool::ANY,
        prop::collection::vec(events, 0..3),
        prop::collection::vec(any_version(), 0..3),
        prop::option::of(select(&Severity::ALL)),
        (
            prop::option::of(select(&NoFix::ALL)),
            prop::option::of(select(&Notice::ALL)),
            prop::collection::vec(text(&["linux", "windows"]), 0..2),
            prop::collection::vec(text(&["x86_64", "aarch64"]), 0..2),
        ),
    )
        .prop_map(|(ecosystem, package, is_source, ranges, versions, severity, more)| Affected {
            ecosystem: Ecosystem::parse(&ecosystem),
            package,
            is_source,
            ranges,
            versions,
            severity,
            no_fix: more.0,
            notice: more.1,
            targets: Targets { systems: more.2, processors: more.3 },
        })
}

pub(crate) fn any_advisory() -> impl Strategy<Value = (FeedId, Advisory)> {
    (
        text(&["f", "g"]),
        text(&["X-1", "X-2", "GHSA-1", "CVE-2026-0001"]),
        prop::collection::vec(text(&["CVE-2026-0001", "CVE-2026-0002", "X-1", "Y-1", "GHSA-1"]), 0..3),
        prop::bool::weighted(0.1),
        select(&Severity::ALL),
        prop::collection::vec(any_affected(), 0..4),
    )
        .prop_map(|(feed, id, aliases, withdrawn, severity, affected)| {
            let (upstream, published, modified) = (vec![], None, None);
            let advisory =
                Advisory { id, aliases, upstream, published, modified, withdrawn, severity, affected };
            (feed.parse().expect("it is a feed name"), advisory)
        })
}

pub(crate) fn any_component() -> impl Strategy<Value = Component> {
    let source =
        (text(&["a", "b"]), any_version()).prop_map(|(name, version)| SourcePackage { name, version });
    (select(&PackageKind::ALL), text(&["a", "b"]), any_version(), prop::option::of(source), any::<bool>())
        .prop_map(|(kind, name, version, source, owned)| Component {
            purl: Purl::from_canonical(format!("pkg:{}/{name}@{version}", kind.as_str())),
            kind,
            name,
            version,
            architecture: None,
            source: source.filter(|_| kind == PackageKind::Deb),
            owner: owned
                .then(|| Purl::from_canonical("pkg:deb/debian/o@1".to_owned()))
                .filter(|_| kind != PackageKind::Deb),
            locations: vec![],
        })
}
