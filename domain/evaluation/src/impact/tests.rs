use advisory::{Advisory, Affected, AffectedRange, Ecosystem, RangeKind, Targets};
use model::{Component, Distro, PackageKind, Purl, Sbom, Severity, SourcePackage};
use version::Event;

use super::*;
use crate::Index;

fn package(text: &str) -> Component {
    let (kind, rest) = text.split_once('/').unwrap();
    let (name, version) = rest.split_once('@').unwrap();
    Component {
        purl: Purl::from_canonical(format!("pkg:{text}")),
        kind: PackageKind::from_word(kind).unwrap(),
        name: name.to_owned(),
        version: version.to_owned(),
        architecture: None,
        source: None,
        owner: None,
        locations: vec![],
    }
}

fn image(release: &str, packages: &[&str]) -> Sbom {
    Sbom {
        distro: Some(Distro { id: "debian".to_owned(), version: release.to_owned(), codename: None }),
        components: packages.iter().map(|text| package(text)).collect(),
        ..Sbom::default()
    }
}

/// `ID ALIAS…: ECOSYSTEM PACKAGE FIXED`
fn advisory(text: &str) -> Advisory {
    let (names, affected) = text.split_once(": ").unwrap();
    let mut names = names.split(' ').map(str::to_owned);
    let [ecosystem, package, fixed] = affected.splitn(3, ' ').collect::<Vec<_>>().try_into().unwrap();
    let events = vec![Event::Introduced("0".to_owned()), Event::Fixed(fixed.to_owned())];
    Advisory {
        id: names.next().unwrap(),
        aliases: names.collect(),
        upstream: vec![],
        published: None,
        modified: None,
        withdrawn: false,
        severity: Severity::High,
        affected: vec![Affected {
            ecosystem: Ecosystem::parse(ecosystem),
            package: package.to_owned(),
            is_source: false,
            ranges: vec![AffectedRange { kind: RangeKind::Ecosystem, events }],
            versions: vec![],
            severity: None,
            no_fix: None,
            notice: None,
            targets: Targets::default(),
        }],
    }
}

fn index(advisories: &[Advisory]) -> Index {
    Index::build(advisories.iter().map(|advisory| ("f".parse().unwrap(), advisory.clone())))
}

fn change(before: Option<Advisory>, after: Option<Advisory>) -> Change {
    Change { feed: "f".parse().unwrap(), before, after }
}

/// The purls that are touched, and the ecosystems.
fn touched(reach: &Reach, sbom: &Sbom) -> Vec<String> {
    let shown = |entry: Indexed| match entry {
        Indexed::Ecosystem(ecosystem) => ecosystem.to_string(),
        Indexed::Package(package) => package.component.purl.to_string(),
    };
    indexed(sbom).into_iter().filter(|entry| reach.touches(entry)).map(shown).collect()
}

#[test]
fn only_versions_that_were_or_are_affected_are_touched() {
    let sbom = image("12", &["npm/a@1.0.0", "npm/a@2.0.0", "npm/a@3.0.0", "npm/b@1.0.0"]);
    let (before, after) = (advisory("X: npm a 1.5.0"), advisory("X: npm a 2.5.0"));
    let reach = Reach::of(&[change(Some(before), Some(after))]);
    assert_eq!(touched(&reach, &sbom), ["pkg:npm/a@1.0.0", "pkg:npm/a@2.0.0"]);
}

#[test]
fn what_an_advisory_goes_on_saying_of_other_packages_touches_nothing() {
    let sbom = image("12", &["npm/a@1.0.0", "npm/b@1.0.0"]);
    let (mut before, mut after) = (advisory("X: npm a 2.0.0"), advisory("X: npm a 3.0.0"));
    let same = advisory("X: npm b 2.0.0").affected;
    before.affected.extend(same.clone());
    after.affected.extend(same);
    let reach = Reach::of(&[change(Some(before.clone()), Some(after.clone()))]);
    assert_eq!(touched(&reach, &sbom), ["pkg:npm/a@1.0.0"]);
    after.severity = Severity::Critical;
    let reach = Reach::of(&[change(Some(before), Some(after))]);
    assert_eq!(touched(&reach, &sbom), ["pkg:npm/a@1.0.0", "pkg:npm/b@1.0.0"]);
}

#[test]
fn a_release_is_touched_by_its_own_advisories_and_by_those_of_all_releases() {
    let (old, new) = (image("11", &["deb/a@1"]), image("12", &["deb/a@1"]));
    let of = |text: &str| Reach::of(&[change(None, Some(advisory(text)))]);
    let twelve = of("X: Debian:12 a 2");
    assert_eq!((touched(&twelve, &old).len(), touched(&twelve, &new).len()), (0, 1));
    let all = of("X: Debian a 2");
    assert_eq!((touched(&all, &old).len(), touched(&all, &new).len()), (1, 1));
    assert_eq!(twelve.keys(), all.keys(), "the dictionary is asked whatever the release");
}

#[test]
fn a_source_package_is_found_by_its_own_name_and_version() {
    let mut sbom = image("12", &["deb/liba1@9"]);
    sbom.components[0].source = Some(SourcePackage { name: "a".to_owned(), version: "1".to_owned() });
    let reach = Reach::of(&[change(None, Some(advisory("X: Debian:12 a 2")))]);
    assert_eq!(touched(&reach, &sbom), ["pkg:deb/liba1@9"]);
    let numbers: Vec<i64> = reach.keys().iter().map(Key::number).collect();
    assert!(indexed(&sbom)[1].keys().iter().any(|key| numbers.contains(&key.number())));
}

#[test]
fn an_advisory_that_names_another_ones_vulnerability_touches_its_images() {
    let sbom = image("12", &["npm/a@1.0.0"]);
    let old = advisory("GHSA-1: npm a 2.0.0");
    let new = advisory("CVE-2026-1 GHSA-1: npm elsewhere 2.0.0");
    let (before, after) = (index(std::slice::from_ref(&old)), index(&[old, new.clone()]));
    let changes = [change(None, Some(new))];
    assert_eq!(touched(&Reach::of(&changes), &sbom), Vec::<String>::new());
    let across = Reach::of(&changes).across(&before, &after);
    assert_eq!(touched(&across, &sbom), ["pkg:npm/a@1.0.0"]);
}

#[test]
fn an_ecosystem_newly_spoken_of_touches_all_its_images_and_no_other() {
    let sbom = image("12", &["npm/a@1.0.0", "deb/b@1"]);
    let old = advisory("X: PyPI a 2.0.0");
    let new = advisory("Y: npm unheard-of 2.0.0");
    let (before, after) = (index(std::slice::from_ref(&old)), index(&[old.clone(), new.clone()]));
    let reach = Reach::of(&[change(None, Some(new))]).across(&before, &after);
    assert_eq!(touched(&reach, &sbom), ["npm"]);
    assert!(!reach.is_everything());
    let first = Reach::default().across(&Index::default(), &before);
    assert!(first.is_everything() && !first.is_nothing());
    assert!(Reach::of(&[change(Some(old.clone()), Some(old))]).is_nothing());
}

#[test]
fn a_vulnerability_is_in_the_versions_that_its_advisories_affect() {
    let sbom = image("12", &["npm/a@1.0.0", "npm/a@9.0.0"]);
    let index = index(&[advisory("GHSA-1 CVE-2026-1: npm a 2.0.0"), advisory("Z: npm a 10.0.0")]);
    for name in ["GHSA-1", "CVE-2026-1", "cve-2026-1"] {
        let reach = Reach::of_vulnerability(&index, name);
        assert_eq!(touched(&reach, &sbom), ["pkg:npm/a@1.0.0"], "{name}");
        assert_eq!(advisories_called(&index, name), [("f".parse().unwrap(), "GHSA-1".to_owned())]);
    }
    assert!(Reach::of_vulnerability(&index, "CVE-2026-2").is_nothing());
}

#[test]
fn of_many_vulnerabilities_all_that_are_meant_by_any_name_are_found() {
    let sbom = image("12", &["npm/a@1.0.0", "npm/b@1.0.0", "npm/c@1.0.0"]);
    // X is no name of CVE-2026-1 itself: another advisory says so.
    let texts = ["GHSA-1 CVE-2026-1: npm a 2.0.0", "X GHSA-1: npm b 2.0.0", "Z: npm c 2.0.0"];
    let index = index(&texts.map(advisory));
    let reach = |names: &[&str]| {
        let reach = Reach::of_vulnerabilities(&index, |name| names.contains(&name));
        touched(&reach, &sbom)
    };
    assert_eq!(reach(&["CVE-2026-1"]), ["pkg:npm/a@1.0.0", "pkg:npm/b@1.0.0"]);
    assert_eq!(reach(&["X", "Z"]), ["pkg:npm/b@1.0.0", "pkg:npm/c@1.0.0"]);
    assert!(Reach::of_vulnerabilities(&index, |_| false).is_nothing());
}

#[test]
fn a_version_that_cannot_be_compared_is_touched_and_not_affected() {
    let reach = Reach::of(&[change(None, Some(advisory("X: npm a 2.0.0")))]);
    let verdicts = |version: &str| {
        let entry = &indexed(&image("12", &[&format!("npm/a@{version}")]))[2];
        (reach.touches(entry), reach.affects(entry))
    };
    assert_eq!(verdicts("1.0.0"), (true, true));
    assert_eq!(verdicts("2.0.0"), (false, false));
    assert_eq!(verdicts("not a version"), (true, false));
}

#[test]
fn a_purl_is_found_whatever_its_version_and_qualifiers() {
    let key = |text: &str| Key::purl(&Purl::from_canonical(text.to_owned()));
    let plain = key("pkg:npm/%40s/a");
    for text in ["pkg:npm/%40s/a@1", "pkg:npm/%40s/a?x=y@z", "pkg:npm/%40s/a#b@c"] {
        assert_eq!(key(text), plain, "{text}");
    }
    assert_ne!(key("pkg:npm/%40s/ab").number(), plain.number());
}

#[test]
fn what_was_not_written_here_is_refused() {
    for bad in ["", "{}", r#"["npm"]"#, r#"["npm",null,["pkg:x/a@1","x","a","1",null]]"#] {
        assert!(Indexed::parse(bad.as_bytes()).is_err(), "{bad:?} was taken");
    }
}

#[test]
fn a_sample_is_the_same_for_the_same_seed_and_from_all_over() {
    let (one, other) = (sampled(1, 1_000_000, 100), sampled(2, 1_000_000, 100));
    assert_eq!(one, sampled(1, 1_000_000, 100));
    assert!(one.len() > 90 && one.intersection(&other).count() < 10);
    assert!((0..10).all(|tenth| one.iter().any(|place| place / 100_001 == tenth)), "{one:?}");
    assert_eq!(sampled(1, 0, 100), BTreeSet::new());
    assert_eq!(sampled(1, 3, 100), BTreeSet::from([1, 2, 3]));
}

#[test]
fn a_kept_result_is_held_against_the_full_one() {
    let (sbom, index) = (image("12", &["npm/a@1.0.0"]), index(&[advisory("X: npm a 2.0.0")]));
    let full = crate::Matched::from(crate::evaluate(&sbom, &index));
    let (findings, gaps) = (full.findings.digest().clone(), Some(full.gaps.clone()));
    let kept = Kept { findings, coverage: full.coverage, gaps };
    assert_eq!(compare(kept.clone(), full.clone()), Ok(()));
    let stale = Kept { findings: crate::findings_digest(&[]), ..kept.clone() };
    let difference = compare(stale.clone(), full.clone()).unwrap_err();
    assert_eq!(*difference, Difference { kept: stale, full: kept.clone() });
    assert!(difference.to_string().contains(kept.findings.as_str()));
    let other = Kept { coverage: model::Coverage::Provisional, ..kept };
    assert!(compare(other, full).is_err());
}
