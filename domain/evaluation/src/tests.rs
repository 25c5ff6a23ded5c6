use advisory::formats::osv;
use advisory::{Advisory, Limits};
use model::{Component, Distro, FixState, NoFix, PackageKind, Sbom, Severity, SourcePackage};

use super::*;

fn feed(name: &str) -> FeedId {
    name.parse().unwrap()
}

fn advisory(json: &str) -> Advisory {
    let (advisory, problems) = osv::parse(json.as_bytes(), &Limits::default()).unwrap();
    assert_eq!(problems, []);
    advisory
}

/// An advisory of one package and one range.
fn simple(id: &str, ecosystem: &str, package: &str, events: &str) -> Advisory {
    advisory(&format!(
        r#"{{"id":"{id}","affected":[{{"package":{{"ecosystem":"{ecosystem}","name":"{package}"}},
             "ranges":[{{"type":"ECOSYSTEM","events":[{events}]}}]}}]}}"#
    ))
}

fn below(id: &str, ecosystem: &str, package: &str, fixed: &str) -> Advisory {
    simple(id, ecosystem, package, &format!(r#"{{"introduced":"0"}},{{"fixed":"{fixed}"}}"#))
}

fn index(advisories: &[Advisory]) -> Index {
    Index::build(advisories.iter().map(|advisory| (feed("f"), advisory.clone())))
}

fn component(kind: PackageKind, name: &str, version: &str) -> Component {
    Component {
        purl: Purl::from_canonical(format!("pkg:{}/{name}@{version}", kind.as_str())),
        kind,
        name: name.to_owned(),
        version: version.to_owned(),
        architecture: None,
        source: None,
        owner: None,
        locations: vec![],
    }
}

fn deb(name: &str, version: &str, source: (&str, &str)) -> Component {
    let source = Some(SourcePackage { name: source.0.to_owned(), version: source.1.to_owned() });
    Component { source, ..component(PackageKind::Deb, name, version) }
}

fn distro(id: &str, version: &str) -> Option<Distro> {
    Some(Distro { id: id.to_owned(), version: version.to_owned(), codename: None })
}

fn debian_12(components: Vec<Component>) -> Sbom {
    Sbom { distro: distro("debian", "12"), components, ..Sbom::default() }
}

/// `vulnerability purl` of each finding.
fn found(sbom: &Sbom, index: &Index) -> Vec<String> {
    evaluate(sbom, index).findings.iter().map(|f| format!("{} {}", f.vulnerability, f.purl)).collect()
}

#[test]
fn a_finding_explains_itself() {
    let ghsa = advisory(
        r#"{"id":"GHSA-1","aliases":["CVE-2026-0001","OTHER-1"],
            "severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:L/I:L/A:N"}],
            "affected":[{"package":{"ecosystem":"npm","name":"axios"},"ranges":[{"type":"SEMVER","events":[
              {"introduced":"1.0.0"},{"fixed":"1.2.0"},{"introduced":"0"},{"fixed":"0.21.1"}]}]}]}"#,
    );
    let retire = advisory(
        r#"{"id":"R-1","aliases":["CVE-2026-0001"],"database_specific":{"severity":"high"},
            "affected":[{"package":{"ecosystem":"npm","name":"axios"},"versions":["0.21.0"],
              "ranges":[{"type":"SEMVER","events":[{"introduced":"0.1.0"},{"last_affected":"0.20"}]}]}]}"#,
    );
    let index = Index::build([(feed("npm-ghsa"), ghsa), (feed("npm-retire"), retire)]);
    let evaluation = evaluate(&debian_12(vec![component(PackageKind::Npm, "axios", "0.21.0")]), &index);
    let evidence = |advisory: &str, feed_name: &str, reason: &str, fixed: &[&str]| model::AdvisoryMatch {
        advisory: advisory.to_owned(),
        feed: feed(feed_name),
        reason: reason.to_owned(),
        fixed_versions: fixed.iter().map(|v| (*v).to_owned()).collect(),
        no_fix: None,
        notice: None,
    };
    let expected = Finding {
        vulnerability: "CVE-2026-0001".to_owned(),
        aliases: vec!["GHSA-1".to_owned(), "OTHER-1".to_owned(), "R-1".to_owned()],
        purl: Purl::from_canonical("pkg:npm/axios@0.21.0".to_owned()),
        package: "axios".to_owned(),
        version: "0.21.0".to_owned(),
        severity: Severity::High,
        fix: FixState::Fixed(vec!["0.21.1".to_owned(), "1.2.0".to_owned()]),
        advisories: vec![
            evidence("GHSA-1", "npm-ghsa", "0.21.0 in [0, 0.21.1) by semver", &["0.21.1", "1.2.0"]),
            evidence("R-1", "npm-retire", "0.21.0 is listed as affected", &[]),
        ],
        vex: None,
    };
    assert_eq!(evaluation.findings, [expected]);
}

#[test]
fn debian_is_matched_by_source_within_its_release() {
    let index = index(&[
        below("D-1", "Debian:12", "openssl", "3.0.15-1"),
        below("D-2", "Debian:11", "openssl", "3.0.15-1"),
        below("D-3", "Debian", "openssl", "3.0.15-1"),
        below("D-4", "Debian:12", "libssl3", "3.0.15-1"),
        below("D-5", "Debian:12", "bare", "2"),
    ]);
    let sbom = debian_12(vec![
        deb("libssl3", "3.0.15-0+b1", ("openssl", "3.0.14-1")),
        deb("new", "1", ("openssl", "3.0.15-1")),
        component(PackageKind::Deb, "bare", "1"),
    ]);
    assert_eq!(
        found(&sbom, &index),
        ["D-1 pkg:deb/libssl3@3.0.15-0+b1", "D-3 pkg:deb/libssl3@3.0.15-0+b1", "D-5 pkg:deb/bare@1"]
    );
    let reason = &evaluate(&sbom, &index).findings[0].advisories[0].reason;
    assert_eq!(reason, "openssl 3.0.14-1 in [0, 3.0.15-1) by debian");
}

#[test]
fn python_names_meet_however_they_are_written() {
    let index = index(&[below("P-1", "PyPI", "Foo.Bar", "2.0")]);
    let sbom = debian_12(vec![component(PackageKind::PyPi, "foo_bar", "1.9")]);
    assert_eq!(found(&sbom, &index), ["P-1 pkg:pypi/foo_bar@1.9"]);
}

#[test]
fn withdrawn_matches_nothing_and_still_shows_that_the_feed_speaks() {
    let withdrawn = Advisory { withdrawn: true, ..below("X-1", "npm", "a", "2.0.0") };
    let index = index(&[withdrawn]);
    assert_eq!(found(&debian_12(vec![component(PackageKind::Npm, "a", "1.0.0")]), &index), [""; 0]);
    assert_eq!(index.ecosystems().map(ToString::to_string).collect::<Vec<_>>(), ["npm"]);
    assert!(!index.is_empty());
}

#[test]
fn a_vulnerability_is_named_by_its_cve_where_there_is_exactly_one() {
    let named = |id: &str, names: &str| {
        let mut advisory = below(id, "npm", "a", "2.0.0");
        advisory.upstream = names.split_whitespace().map(str::to_owned).collect();
        found(&debian_12(vec![component(PackageKind::Npm, "a", "1.0.0")]), &index(&[advisory]))[0].clone()
    };
    assert_eq!(named("DSA-1", "CVE-2026-0001"), "CVE-2026-0001 pkg:npm/a@1.0.0");
    assert_eq!(named("DSA-1", "CVE-2026-0001 CVE-2026-0002"), "DSA-1 pkg:npm/a@1.0.0");
    assert_eq!(named("CVE-2026-0001", "CVE-2026-0001 GHSA-1"), "CVE-2026-0001 pkg:npm/a@1.0.0");
    assert_eq!(named("X-1", "ALPINE-CVE-2026-0001 CVE-2026-x CVE-"), "X-1 pkg:npm/a@1.0.0");
}

#[test]
fn what_an_os_package_owns_is_set_aside() {
    let index = index(&[below("G-1", "npm", "a", "2.0.0"), below("D-1", "Debian:12", "node-a", "1")]);
    let owner = Purl::from_canonical("pkg:deb/debian/node-a@1.0".to_owned());
    let owned = Component { owner: Some(owner.clone()), ..component(PackageKind::Npm, "a", "1.0.0") };
    let sbom = debian_12(vec![owned.clone(), deb("node-a", "1.0", ("node-a", "1.0"))]);
    let evaluation = evaluate(&sbom, &index);
    assert_eq!((evaluation.findings, evaluation.coverage), (vec![], Coverage::Complete));
    let reason = "1.0.0 in [0, 2.0.0) by semver".to_owned();
    let expected = SetAside { purl: owned.purl, owner, advisory: "G-1".to_owned(), feed: feed("f"), reason };
    assert_eq!(evaluation.set_aside, [expected]);
}

#[test]
fn a_package_named_twice_by_one_advisory_is_one_piece_of_evidence() {
    let json = r#"{"id":"D-1","affected":[
        {"package":{"ecosystem":"Debian:12","name":"a"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"3"}]}]},
        {"package":{"ecosystem":"Debian","name":"a"},"ecosystem_specific":{"urgency":"low"},
         "ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"2"},{"fixed":"3.0"},{"fixed":"03"}]}]}]}"#;
    let sbom = debian_12(vec![component(PackageKind::Deb, "a", "1")]);
    let findings = evaluate(&sbom, &index(&[advisory(json)])).findings;
    let [finding] = &findings[..] else { panic!("{findings:?}") };
    assert_eq!(finding.severity, Severity::Low);
    assert_eq!(finding.advisories.len(), 1);
    assert_eq!(finding.advisories[0].reason, "1 in [0, 2) by debian");
    assert_eq!(finding.fix, FixState::Fixed(vec!["2".to_owned(), "03".to_owned(), "3.0".to_owned()]));
}

fn rpm(name: &str, version: &str, source: &str) -> Component {
    let source = Some(SourcePackage { name: source.to_owned(), version: version.to_owned() });
    Component { source, ..component(PackageKind::Rpm, name, version) }
}

#[test]
fn red_hat_names_packages_and_what_will_not_be_fixed_by_its_source() {
    let named = |id: &str, package: &str, is_source| {
        let mut advisory = simple(id, "Red Hat:9", package, r#"{"introduced":"0"}"#);
        advisory.affected[0].is_source = is_source;
        advisory
    };
    let index = index(&[
        named("C-1", "curl", true),
        named("C-2", "curl", false),
        named("C-4", "libcurl", true),
        below("C-3", "Red Hat:9", "libcurl", "7-1.el9"),
    ]);
    let components = vec![
        rpm("curl", "7-2.el9", "curl"),
        rpm("libcurl", "7-2.el9", "curl"),
        component(PackageKind::Rpm, "curl", "8-1.module+el9+1"),
    ];
    let sbom = Sbom { distro: distro("rhel", "9.4"), components, ..Sbom::default() };
    assert_eq!(
        found(&sbom, &index),
        ["C-1 pkg:rpm/curl@7-2.el9", "C-1 pkg:rpm/libcurl@7-2.el9", "C-2 pkg:rpm/curl@7-2.el9"]
    );
    let gaps = evaluate(&sbom, &index).gaps;
    assert_eq!(gaps[0].what, "it is of a module, and advisories of modules are not read");
    let answers: Vec<_> = explain(&sbom, &index, "C-1").reasons.iter().map(|r| r.answer.as_str()).collect();
    assert_eq!(answers, ["affected", "affected", "incomparable"]);
}

#[test]
fn ubuntu_is_called_by_its_cve_and_pro_is_told_apart() {
    let ubuntu = advisory(
        r#"{"id":"UBUNTU-CVE-2024-1","upstream":["CVE-2024-1"],
            "severity":[{"type":"Ubuntu","score":"negligible"}],"affected":[
            {"package":{"ecosystem":"Ubuntu:22.04:LTS","name":"a"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"}]}]},
            {"package":{"ecosystem":"Ubuntu:Pro:22.04:LTS","name":"b"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"2~esm1"}]}]}]}"#,
    );
    let pro = below("USN-1-1", "Ubuntu:Pro:22.04:LTS", "a", "2~esm1");
    let index = index(&[ubuntu, pro]);
    let components = vec![deb("a", "1", ("a", "1")), deb("b", "1", ("b", "1"))];
    let sbom = Sbom { distro: distro("ubuntu", "22.04"), components, ..Sbom::default() };
    assert_eq!(found(&sbom, &index), ["CVE-2024-1 pkg:deb/a@1"]);
    assert_eq!(evaluate(&sbom, &index).findings[0].severity, Severity::None);
    let told = &explain(&sbom, &index, "USN-1-1").reasons[0];
    assert_eq!((told.answer, &told.what[..]), (Answer::Elsewhere, "it speaks of Ubuntu:Pro:22.04 only"));
}

#[test]
fn a_distributor_says_why_there_is_no_fix() {
    let entry = |fixed: &str, urgency: &str| {
        let json = format!(
            r#"{{"id":"D-1","severity":[{{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}}],
                "affected":[{{"package":{{"ecosystem":"Debian:12","name":"a"}},
                "ranges":[{{"type":"ECOSYSTEM","events":[{{"introduced":"0"}}{fixed}]}}],
                "ecosystem_specific":{{"urgency":"{urgency}"}}}}]}}"#
        );
        let sbom = debian_12(vec![component(PackageKind::Deb, "a", "1")]);
        evaluate(&sbom, &index(&[advisory(&json)])).findings
    };
    let check = |fixed: &str, urgency: &str, severity: Severity, state: &str| {
        let finding = &entry(fixed, urgency)[0];
        assert_eq!((finding.severity, finding.fix.as_str()), (severity, state), "{fixed} {urgency}");
    };
    check("", "medium", Severity::Medium, "not-fixed");
    check("", "unimportant", Severity::None, "unimportant");
    check("", "end-of-life", Severity::Critical, "end-of-life");
    check(r#",{"fixed":"2"}"#, "unimportant", Severity::None, "fixed");
    assert_eq!(entry("", "unimportant")[0].advisories[0].no_fix, Some(NoFix::Unimportant));
    assert_ne!(findings_digest(&entry("", "end-of-life")), findings_digest(&entry("", "not yet assigned")));
}

#[test]
fn what_cannot_be_compared_is_said_and_still_matches_its_own_text() {
    let json = r#"{"id":"X-1","affected":[{"package":{"ecosystem":"npm","name":"a"},"versions":["latest","1.0.0"],
        "ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"soon"}]}]}]}"#;
    let index = index(&[advisory(json)]);
    let ask = |version: &str| {
        let evaluation = evaluate(&debian_12(vec![component(PackageKind::Npm, "a", version)]), &index);
        let problems: Vec<String> =
            evaluation.gaps.into_iter().filter(|p| p.place.starts_with("pkg:")).map(|p| p.what).collect();
        (evaluation.findings.len(), evaluation.coverage, problems)
    };
    let wrong =
        r#"X-1 cannot be compared with it: "soon" is not a semver version: it does not start with a number"#;
    let odd = r#"its version cannot be compared: "latest" is not a semver version: it does not start with a number"#;
    assert_eq!(ask("1.0.0"), (1, Coverage::Partial, vec![]));
    assert_eq!(ask("2.0.0"), (0, Coverage::Partial, vec![wrong.to_owned()]));
    assert_eq!(ask("latest"), (1, Coverage::Partial, vec![odd.to_owned()]));
}

#[test]
fn coverage_is_complete_only_when_everything_was_asked() {
    let check = |sbom: &Sbom, index: &Index, expected: Coverage, problems: &[&str]| {
        let evaluation = evaluate(sbom, index);
        let shown: Vec<_> =
            evaluation.gaps.iter().map(|g| format!("{} {}: {}", g.kind.as_str(), g.place, g.what)).collect();
        assert_eq!(
            (evaluation.coverage, shown),
            (expected, problems.iter().map(|p| (*p).to_owned()).collect())
        );
    };
    let dpkg = || component(PackageKind::Deb, "dpkg", "1");
    let npm = || component(PackageKind::Npm, "a", "1.0.0");
    let both = index(&[below("D-1", "Debian:12", "b", "1"), below("N-1", "npm", "b", "1.0.0")]);
    let debian = index(&[below("D-1", "Debian:12", "b", "1"), below("G-1", "Go", "b", "1.0.0")]);
    let go = index(&[below("G-1", "Go", "b", "1.0.0")]);
    use Coverage::{Complete, Partial, Provisional};

    check(&debian_12(vec![dpkg(), npm()]), &both, Complete, &[]);
    check(&debian_12(vec![dpkg()]), &debian, Complete, &[]);
    check(
        &debian_12(vec![dpkg(), npm()]),
        &Index::default(),
        Provisional,
        &["no-feeds feeds: no advisory was read yet"],
    );
    check(&debian_12(vec![dpkg(), npm()]), &debian, Partial, &["missing-feed npm: no feed speaks of it"]);
    check(&debian_12(vec![dpkg()]), &go, Partial, &["missing-feed Debian:12: no feed speaks of it"]);
    let conda = component(PackageKind::Conda, "a", "1.0.0");
    check(
        &debian_12(vec![dpkg(), conda]),
        &both,
        Partial,
        &["missing-feed conda: its packages are in no advisories that we read"],
    );
    let java = index(&[below("D-1", "Debian:12", "b", "1"), below("M-1", "Maven", "g:b", "1")]);
    let jar = |name| component(PackageKind::Maven, name, "1");
    check(&debian_12(vec![dpkg(), jar("g:a")]), &java, Complete, &[]);
    let nameless = "partial-scan maven: no advisory can name its archives without a group: 2";
    check(&debian_12(vec![dpkg(), jar("a"), jar("b"), jar("g:a")]), &java, Partial, &[nameless]);
    check(&debian_12(vec![]), &both, Partial, &["partial-scan Debian:12: none of its packages were found"]);

    let of = |distro, components| Sbom { distro, components, ..Sbom::default() };
    let unknown = "unknown-distro os-release: nothing says which distribution the image is built on";
    check(&of(None, vec![]), &both, Partial, &[unknown]);
    check(&of(None, vec![npm()]), &both, Partial, &[unknown]);
    let nowhere = "unknown-distro deb: it is not known which distribution its packages come from";
    check(&of(None, vec![dpkg()]), &both, Partial, &[nowhere, unknown]);
    check(
        &of(distro("arch", ""), vec![npm()]),
        &both,
        Partial,
        &["unknown-distro arch : we read no packages of this distribution"],
    );
    check(
        &of(distro("debian", "11"), vec![dpkg()]),
        &both,
        Partial,
        &["missing-feed Debian:11: no feed speaks of it"],
    );
    let rolling = [
        "unknown-distro debian: it does not say which release it is",
        "missing-feed Debian: no feed speaks of it",
    ];
    check(&of(distro("debian", ""), vec![dpkg()]), &both, Partial, &rolling);

    let pgdg = |packages: &[&str]| model::ThirdParty {
        place: "etc/apt/sources.list.d/pgdg.list".to_owned(),
        supplier: "https://apt.example/pub".to_owned(),
        packages: packages.iter().map(|purl| Purl::from_canonical((*purl).to_owned())).collect(),
    };
    let with = |third_party| Sbom { third_party: vec![third_party], ..debian_12(vec![dpkg()]) };
    let untold = "third-party etc/apt/sources.list.d/pgdg.list: packages from https://apt.example/pub cannot be told \
                  from the distribution's, whose advisories do not mean them";
    check(&with(pgdg(&[])), &both, Partial, &[untold]);
    let told = "third-party etc/apt/sources.list.d/pgdg.list: 1 packages are by https://apt.example/pub, not by the \
                distribution: pkg:deb/debian/a@1";
    check(&with(pgdg(&["pkg:deb/debian/a@1"])), &both, Partial, &[told]);

    let broken = model::Problem { place: "layer 1".to_owned(), what: "cut short".to_owned() };
    check(&Sbom { problems: vec![broken], ..debian_12(vec![dpkg()]) }, &both, Partial, &[]);
}

#[test]
fn the_digest_tells_findings_apart_and_not_their_order() {
    let sbom =
        debian_12(vec![component(PackageKind::Npm, "a", "1.0.0"), component(PackageKind::Npm, "b", "1.0.0")]);
    let digest = |advisories: &[Advisory]| findings_digest(&evaluate(&sbom, &index(advisories)).findings);
    let (a, b) = (below("X-1", "npm", "a", "2.0.0"), below("X-2", "npm", "b", "2.0.0"));
    assert_eq!(digest(&[a.clone(), b.clone()]), digest(&[b.clone(), a.clone()]));
    let mut findings = evaluate(&sbom, &index(&[a.clone(), b.clone()])).findings;
    findings.reverse();
    assert_eq!(findings_digest(&findings), digest(&[a.clone(), b.clone()]));
    let alone = digest(std::slice::from_ref(&a));
    assert_ne!(alone, digest(&[a.clone(), b]));
    assert_ne!(alone, digest(&[below("X-1", "npm", "a", "3.0.0")]));
    let rewritten = Advisory { modified: Some("2026-11-01".to_owned()), ..a };
    assert_eq!(digest(&[rewritten]), alone);
    // Fixed for ever: verdicts name it.
    assert_eq!(
        findings_digest(&[]).as_str(),
        "sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"
    );
}

mod explaining {
    use super::*;

    fn answers(sbom: &Sbom, index: &Index, vulnerability: &str) -> Vec<String> {
        let explained = explain(sbom, index, vulnerability);
        explained
            .reasons
            .iter()
            .map(|reason| format!("{}: {}", reason.answer.as_str(), reason.what))
            .collect()
    }

    fn image() -> Sbom {
        let owner = Some(Purl::from_canonical("pkg:deb/debian/python3-x@1".to_owned()));
        let owned = Component { owner, ..component(PackageKind::PyPi, "X", "1.0") };
        debian_12(vec![
            deb("libssl3", "3.0.1-1", ("openssl", "3.0.1-1")),
            component(PackageKind::Npm, "axios", "0.21.0"),
            component(PackageKind::Npm, "axios", "0.22.0"),
            component(PackageKind::Npm, "odd", "not a version"),
            owned,
        ])
    }

    #[test]
    fn each_component_has_its_answer_the_affected_first() {
        let index = index(&[below("GHSA-1", "npm", "axios", "0.21.1")]);
        let expected =
            ["affected: 0.21.0 in [0, 0.21.1) by semver", "version-outside: 0.22.0 not in [0, 0.21.1)"];
        assert_eq!(answers(&image(), &index, "GHSA-1"), expected);
        assert_eq!(answers(&image(), &index, "ghsa-1"), expected);
    }

    #[test]
    fn a_source_package_is_compared_by_its_own_name_and_version() {
        let index = index(&[below("D-1", "Debian:12", "openssl", "3.0.1-1")]);
        assert_eq!(
            answers(&image(), &index, "D-1"),
            ["version-outside: openssl 3.0.1-1 not in [0, 3.0.1-1)"]
        );
    }

    #[test]
    fn why_nothing_was_found_is_told_apart() {
        let mut withdrawn = below("W-1", "npm", "axios", "9");
        withdrawn.withdrawn = true;
        let index = index(&[
            withdrawn,
            below("A-1", "npm", "left-pad", "2"),
            below("E-1", "Debian:11", "openssl", "9"),
            below("O-1", "PyPI", "x", "2"),
            below("I-1", "npm", "odd", "2"),
        ]);
        let one = |vulnerability| answers(&image(), &index, vulnerability).remove(0);
        assert_eq!(one("W-1"), "withdrawn: its publisher took it back");
        assert_eq!(one("A-1"), "absent: the image has no left-pad");
        assert_eq!(one("E-1"), "elsewhere: it speaks of Debian:11 only");
        assert_eq!(
            one("O-1"),
            "owned-by-os: 1.0 in [0, 2) by pep440; but its files belong to pkg:deb/debian/python3-x@1"
        );
        assert!(one("I-1").starts_with("incomparable: \"not a version\" is not a semver version"));
        assert_eq!(one("CVE-1-1"), "unknown: none of the 5 advisories that were read speaks of it");
    }

    #[test]
    fn advisories_are_found_by_any_name_of_the_vulnerability() {
        let mut ghsa = below("GHSA-1", "npm", "axios", "0.21.1");
        ghsa.aliases = vec!["CVE-2026-1".to_owned()];
        let mut other = below("R-1", "npm", "axios", "0.30");
        other.aliases = vec!["GHSA-1".to_owned()];
        let index = index(&[ghsa, other]);
        assert_eq!(answers(&image(), &index, "CVE-2026-1").len(), 4);
        assert_eq!(found(&image(), &index).len(), 2, "one finding for each component");
    }
}

#[test]
fn time_makes_gaps_too() {
    use std::time::Duration;

    let debian_11 = distro("debian", "11").unwrap();
    assert_eq!(coverage::ended(&debian_11, "2026-08-31"), None);
    let ended = coverage::ended(&debian_11, "2026-09-01").unwrap();
    assert_eq!((ended.kind.as_str(), ended.place.as_str()), ("end-of-life", "debian 11"));
    let late = |age| coverage::late("osv", age, Duration::from_secs(60)).map(|gap| gap.kind.as_str());
    assert_eq!(late(Some(Duration::from_secs(60))), None);
    assert_eq!(late(Some(Duration::from_secs(61))), Some("late-feed"));
    assert_eq!(late(None), Some("late-feed"));
}

/// An advisory of RustSec about `a` before 2, with these words beside it.
fn rustsec(words: &str) -> Index {
    let json = format!(
        r#"{{"id":"RUSTSEC-1","affected":[{{"package":{{"ecosystem":"crates.io","name":"a"}},
            "ranges":[{{"type":"SEMVER","events":[{{"introduced":"0"}},{{"fixed":"2.0.0"}}]}}],{words}}}]}}"#
    );
    Index::build([(feed("rustsec"), advisory(&json))])
}

fn built_for(architectures: &[&str]) -> Sbom {
    let mut components = vec![component(PackageKind::Cargo, "a", "1.0.0")];
    components.extend(architectures.iter().map(|architecture| {
        let name = format!("of-{architecture}");
        let package = component(PackageKind::Deb, &name, "1");
        Component { architecture: Some((*architecture).to_owned()), ..package }
    }));
    debian_12(components)
}

#[test]
fn what_holds_on_other_systems_and_processors_only_is_no_finding_and_says_why() {
    let check = |sbom: &Sbom, affects: &str, answer: Answer, words: &str| {
        let index = rustsec(&format!(r#""ecosystem_specific":{{"affects":{affects}}}"#));
        let explained = explain(sbom, &index, "RUSTSEC-1");
        assert_eq!(explained.reasons[0].answer, answer, "{affects}: {explained:?}");
        assert!(explained.reasons[0].what.ends_with(words), "{affects}: {explained:?}");
        assert_eq!(
            evaluate(sbom, &index).findings.len(),
            usize::from(answer == Answer::Affected),
            "{affects}"
        );
    };
    let (here, nowhere) = (Answer::Affected, Answer::OtherMachine);
    let amd = built_for(&["amd64", "all"]);
    let windows = r#"{"os":["windows"],"arch":[]}"#;
    check(&amd, windows, nowhere, "by semver; but it holds on windows only, and the image is for linux");
    check(&amd, r#"{"os":["freebsd","linux"],"arch":[]}"#, here, "by semver");
    check(&amd, r#"{"os":[],"arch":["aarch64"]}"#, nowhere, "aarch64 only, and the image is for x86_64");
    check(&amd, r#"{"os":["linux"],"arch":["x86","x86_64"]}"#, here, "by semver");
    check(&built_for(&["amd64", "i386"]), r#"{"arch":["x86"]}"#, here, "by semver");
    check(&built_for(&["amd64", "vax"]), r#"{"arch":["aarch64"]}"#, here, "by semver");
    check(&built_for(&["all"]), r#"{"arch":["aarch64"]}"#, here, "by semver");
    let unknown = Sbom { distro: None, ..built_for(&[]) };
    check(&unknown, windows, here, "by semver");
}

#[test]
fn a_finding_is_a_notice_unless_an_advisory_speaks_of_a_vulnerability() {
    let notice = |json: &str| {
        let index = rustsec(json);
        evaluate(&built_for(&[]), &index).findings[0].notice()
    };
    assert_eq!(notice(r#""database_specific":{"informational":"unsound"}"#), Some(model::Notice::Unsound));
    assert_eq!(notice(r#""database_specific":{"informational":null}"#), None);
    let unsound = |id: &str, alias: &str, word: &str| {
        advisory(&format!(
            r#"{{"id":"{id}","aliases":["{alias}"],"affected":[{{"package":{{"ecosystem":"crates.io","name":"a"}},
                "versions":["1.0.0"],"database_specific":{{"informational":{word}}}}}]}}"#
        ))
    };
    let (one, other) = (unsound("R-1", "CVE-2026-1", r#""unsound""#), unsound("G-1", "CVE-2026-1", "null"));
    let both = Index::build([(feed("r"), one), (feed("g"), other)]);
    let findings = evaluate(&built_for(&[]), &both).findings;
    assert_eq!((findings.len(), findings[0].notice()), (1, None));
    let own: Vec<_> = findings[0].advisories.iter().map(|a| a.notice).collect();
    assert_eq!(own, [None, Some(model::Notice::Unsound)]);
}

#[test]
fn every_answer_is_known_by_its_word() {
    for (at, answer) in Answer::ALL.into_iter().enumerate() {
        assert_eq!((answer as usize, Answer::from_word(answer.as_str())), (at, Some(answer)));
    }
}
