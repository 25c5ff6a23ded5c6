use super::*;

fn read(json: &str) -> (Advisory, Vec<String>) {
    let (advisory, problems) = parse(json.as_bytes(), &Limits::default()).unwrap();
    (advisory, problems.into_iter().map(|p| format!("{}: {}", p.place, p.what)).collect())
}

fn refused(json: &str, limits: &Limits) -> String {
    parse(json.as_bytes(), limits).unwrap_err().to_string()
}

/// One entry of a record, with its package filled in.
fn entry(rest: &str) -> String {
    format!(r#"{{"id":"X-1","affected":[{{"package":{{"ecosystem":"npm","name":"a"}},{rest}}}]}}"#)
}

#[test]
fn a_record_becomes_its_facts() {
    let (advisory, problems) = read(
        r#"{"schema_version":"1.7.0","id":"GHSA-1","modified":"2026-01-02T00:00:00Z","published":"2026-01-01T00:00:00Z",
            "aliases":["CVE-2026-2","CVE-2026-1","CVE-2026-1"],"upstream":["CVE-2026-3"],"summary":"s","details":"d",
            "severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
            "affected":[{"package":{"ecosystem":"PyPI","name":"Foo_Bar","purl":"pkg:pypi/foo-bar"},
                         "ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"1.2"}]},
                                   {"type":"SEMVER","events":[{"introduced":"2.0","last_affected":"2.1"},{"limit":"3"}]}],
                         "versions":["1.0","1.1"],"ecosystem_specific":{"severity":"LOW"}},
                        {"package":{"ecosystem":"Hex","name":"Foo_Bar"},"versions":["1"]}]}"#,
    );
    let events = |list: &[Event]| list.to_vec();
    let range = |kind, list: &[Event]| AffectedRange { kind, events: events(list) };
    let expected = Advisory {
        id: "GHSA-1".into(),
        aliases: vec!["CVE-2026-1".into(), "CVE-2026-2".into()],
        upstream: vec!["CVE-2026-3".into()],
        published: Some("2026-01-01T00:00:00Z".into()),
        modified: Some("2026-01-02T00:00:00Z".into()),
        withdrawn: false,
        severity: Severity::Critical,
        affected: vec![
            Affected {
                ecosystem: Ecosystem::parse("PyPI"),
                package: "foo-bar".into(),
                is_source: false,
                ranges: vec![
                    range(RangeKind::Ecosystem, &[Event::Introduced("0".into()), Event::Fixed("1.2".into())]),
                    range(
                        RangeKind::Semver,
                        &[
                            Event::Introduced("2.0".into()),
                            Event::LastAffected("2.1".into()),
                            Event::Limit("3".into()),
                        ],
                    ),
                ],
                versions: vec!["1.0".into(), "1.1".into()],
                severity: Some(Severity::Low),
                no_fix: None,
                notice: None,
                targets: Targets::default(),
            },
            Affected {
                ecosystem: Ecosystem::parse("Hex"),
                package: "Foo_Bar".into(),
                is_source: false,
                ranges: vec![],
                versions: vec!["1".into()],
                severity: None,
                no_fix: None,
                notice: None,
                targets: Targets::default(),
            },
        ],
    };
    assert_eq!((advisory, problems), (expected, vec![]));
}

#[test]
fn an_id_alone_is_a_record_and_null_is_nothing() {
    let (advisory, problems) = read(
        r#"{"id":"X-1","aliases":null,"affected":null,"severity":null,"withdrawn":null,"database_specific":null}"#,
    );
    assert_eq!((advisory, problems), (read(r#"{"id":"X-1"}"#).0, vec![]));
    assert!(read(r#"{"id":"X-1","withdrawn":"2026-01-01T00:00:00Z"}"#).0.withdrawn);
}

#[test]
fn a_wrong_entry_costs_itself() {
    let (advisory, problems) = read(
        r#"{"id":"X-1","aliases":["CVE-2026-1",7],"published":5,"affected":[
            {"package":{"ecosystem":"npm","name":"a"},"versions":["1.0.0"]},
            {"package":{"ecosystem":"npm","name":"b"},"versions":[1]},
            {"ranges":[{"type":"ECOSYSTEM","events":[]}]},
            "c",
            {"package":{"ecosystem":"npm","name":"d"},"ranges":[{"type":"WORSE"},{"type":"SEMVER","events":[]}]}]}"#,
    );
    let names: Vec<_> = advisory.affected.iter().map(|a| (a.package.as_str(), a.ranges.len())).collect();
    assert_eq!(names, [("a", 0), ("d", 1)]);
    assert_eq!(advisory.aliases, ["CVE-2026-1"]);
    assert_eq!(
        problems,
        [
            "X-1 aliases[1]: invalid type: integer `7`, expected a string",
            "X-1 published: invalid type: integer `5`, expected a string",
            "X-1 affected[1]: invalid type: integer `1`, expected a string",
            r#"X-1 affected[3]: invalid type: string "c", expected struct AffectedDoc"#,
            "X-1 affected[2]: the entry names no package",
            r#"X-1 affected[4].ranges[0]: "WORSE" is not a type of range"#,
        ]
    );
}

#[test]
fn git_ranges_are_noted_and_versions_beside_them_stay() {
    let range = r#""ranges":[{"type":"GIT","repo":"https://example.org","events":[{"introduced":"0"}]}]"#;
    let (advisory, problems) = read(&entry(&format!(r#"{range},"versions":["1.0.0"]"#)));
    assert_eq!((advisory.affected[0].ranges.len(), advisory.affected[0].versions.len()), (0, 1));
    assert_eq!(problems, ["X-1 affected[0].ranges[0]: a range of git commits is not compared with versions"]);
    let (advisory, problems) =
        read(&format!(r#"{{"id":"OSV-1","affected":[{{{range},"versions":["v1"]}}]}}"#));
    assert_eq!((advisory.affected, problems), (vec![], vec![]));
}

#[test]
fn the_latest_cvss_has_the_word_then_the_words_of_the_feed() {
    const V2: &str = r#"{"type":"CVSS_V2","score":"AV:N/AC:L/Au:N/C:C/I:C/A:C"}"#;
    const V3: &str = r#"{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:L/I:L/A:N"}"#;
    const V4: &str =
        r#"{"type":"CVSS_V4","score":"CVSS:4.0/AV:L/AC:H/AT:P/PR:H/UI:A/VC:L/VI:N/VA:N/SC:N/SI:N/SA:N"}"#;
    let check = |scores: &str, word: &str, expected: Severity| {
        let (advisory, _) = read(&format!(
            r#"{{"id":"X-1","severity":[{scores}],"database_specific":{{"severity":{word},"other":[1]}}}}"#
        ));
        assert_eq!(advisory.severity, expected, "{scores} {word}");
    };
    check(&[V4, V3, V2].join(","), r#""CRITICAL""#, Severity::Low);
    check(&[V2, V3].join(","), "null", Severity::Medium);
    check(V2, "null", Severity::High);
    check(r#"{"type":"Ubuntu","score":"negligible"},"wrong",{"score":7}"#, r#""HIGH""#, Severity::None);
    check("", r#""MODERATE""#, Severity::Medium);
    check("", "[]", Severity::Unknown);
    let (advisory, problems) =
        read(r#"{"id":"X-1","severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N"}]}"#);
    assert_eq!((advisory.severity, problems.len()), (Severity::Unknown, 1));
    let (advisory, _) =
        read(&entry(&format!(r#""severity":[{V3}],"ecosystem_specific":{{"urgency":"high"}}"#)));
    assert_eq!(advisory.affected[0].severity, Some(Severity::Medium));
    let said = |rest: &str| {
        let affected = &read(&entry(rest)).0.affected[0];
        (affected.severity, affected.no_fix)
    };
    let unimportant = format!(r#""severity":[{V3}],"ecosystem_specific":{{"urgency":"unimportant"}}"#);
    assert_eq!(said(&unimportant), (Some(Severity::None), Some(NoFix::Unimportant)));
    assert_eq!(said(r#""ecosystem_specific":{"urgency":"end-of-life"}"#), (None, Some(NoFix::EndOfLife)));
    assert_eq!(said(r#""ecosystem_specific":{"urgency":"not yet assigned"}"#), (None, None));
}

#[test]
fn what_is_no_record_is_refused() {
    let limits = Limits::default();
    assert_eq!(refused("[]", &limits), "the record is not a JSON object: it does not begin with a brace");
    assert_eq!(refused(r#"{"aliases":[]}"#, &limits), "the record has no id");
    assert_eq!(refused(r#"{"id":["X"],"affected":[]}"#, &limits), "the record has no id");
    assert_eq!(refused("{\"id\":\"X\\u0000\"}", &limits), "the record has no id");
    assert!(refused("{\"id\":\"X\",", &limits).starts_with("the record is not a JSON object: EOF"));
    let deep = format!(r#"{{"id":"X","affected":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    assert!(refused(&deep, &limits).contains("recursion limit"), "{}", refused(&deep, &limits));
}

#[test]
fn more_than_the_limits_costs_the_record_the_entry_or_the_range() {
    let small = Limits {
        record_bytes: 400,
        affected: 2,
        names: 1,
        ranges: 1,
        events: 2,
        versions: 1,
        ..Limits::default()
    };
    assert_eq!(refused(&" ".repeat(401), &small), "the record has more than 400 bytes");
    assert_eq!(
        refused(r#"{"id":"X","affected":[{},{},{}]}"#, &small),
        "the record has more than 2 affected entries"
    );
    assert_eq!(
        refused(r#"{"id":"X","aliases":["a"],"upstream":["b"]}"#, &small),
        "the record has more than 1 aliases"
    );
    let left = |rest: &str| {
        let (advisory, problems) = parse(entry(rest).as_bytes(), &small).unwrap();
        (advisory.affected.first().map(|a| a.ranges.len()), problems.len())
    };
    assert_eq!(left(r#""versions":["1","2"]"#), (None, 1));
    assert_eq!(left(r#""ranges":[{"type":"SEMVER","events":[]},{"type":"SEMVER","events":[]}]"#), (None, 1));
    let events = r#"{"introduced":"0"},{"fixed":"1"},{"introduced":"2"}"#;
    assert_eq!(left(&format!(r#""ranges":[{{"type":"SEMVER","events":[{events}]}}]"#)), (Some(0), 1));
    assert_eq!(left(&format!(r#""versions":["{}"]"#, "1".repeat(200))), (Some(0), 0));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_reading_panic(text in r#"(\{"id":"X","affected":)?[\[\]{}":,a-z0-9 ]{0,60}"#) {
        let _ = parse(text.as_bytes(), &Limits::default());
    }
}

#[test]
fn rustsecs_notices_and_targets_are_read_and_others_words_are_not() {
    let record = |ecosystem: &str, specific: &str| {
        let json = format!(
            r#"{{"id":"X-1","affected":[{{"package":{{"ecosystem":"{ecosystem}","name":"a"}},{specific}}}]}}"#
        );
        read(&json).0.affected.remove(0)
    };
    let specific = r#""database_specific":{"informational":"unsound"},
        "ecosystem_specific":{"affects":{"os":["windows","macos",1,"windows"],"arch":["x86"],"functions":[]}}"#;
    let said = record("crates.io", specific);
    assert_eq!(said.notice, Some(Notice::Unsound));
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        (said.targets.systems, said.targets.processors),
        (words(&["macos", "windows"]), words(&["x86"]))
    );
    let other = record("npm", specific);
    assert_eq!((other.notice, other.targets), (None, Targets::default()));
    for odd in [
        r#""database_specific":{"informational":null},"ecosystem_specific":{"affects":null}"#,
        r#""database_specific":{"informational":"new"},"ecosystem_specific":{"affects":{"os":"windows"}}"#,
        r#""ecosystem_specific":{"affects":["windows"]}"#,
    ] {
        let said = record("crates.io", odd);
        assert_eq!((said.notice, said.targets), (None, Targets::default()), "{odd}");
    }
    let many = vec![r#""s""#; 101].join(",");
    let json = format!(
        r#"{{"id":"X-1","affected":[{{"package":{{"ecosystem":"crates.io","name":"a"}},
            "ecosystem_specific":{{"affects":{{"os":[{many}]}}}}}}]}}"#
    );
    let (advisory, problems) = read(&json);
    assert_eq!((&advisory.affected[0].targets, problems.len()), (&Targets::default(), 1));
}
