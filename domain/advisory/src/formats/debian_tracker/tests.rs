use super::*;

const DOCUMENT: &str = r#"{
  "curl": {
    "CVE-2024-1": {"description": "…", "scope": "local", "debianbug": 7, "releases": {
      "bookworm": {"status": "resolved", "repositories": {"bookworm": "7.88"}, "fixed_version": "7.88.1-10", "urgency": "low**"},
      "sid": {"status": "resolved", "fixed_version": "8.5.0-2", "urgency": "low**"}}},
    "TEMP-1": {"releases": {"trixie": {"status": "open", "urgency": "unimportant"}}}
  },
  "exim4": {"CVE-2024-1": {"releases": {"bullseye": {"status": "resolved", "fixed_version": "0", "urgency": "unimportant"}}}}
}"#;

fn pieces(document: &str, limits: &Limits) -> Result<Vec<String>, String> {
    let mut pieces = Vec::new();
    let whole = split(document.as_bytes(), limits, &mut |piece| {
        pieces.push(match piece {
            Piece::Record(bytes) => String::from_utf8(bytes).unwrap(),
            Piece::Wrong(problem) => format!("{}: {}", problem.place, problem.what),
        });
        true
    });
    whole.map(|()| pieces).map_err(|error| error.to_string())
}

#[test]
fn the_document_becomes_a_record_for_each_package_and_vulnerability() {
    let expected = [
        r#"{"curl":{"CVE-2024-1":{"releases":{"bookworm":{"fixed_version":"7.88.1-10","status":"resolved","urgency":"low**"},"sid":{"fixed_version":"8.5.0-2","status":"resolved","urgency":"low**"}}}}}"#,
        r#"{"curl":{"TEMP-1":{"releases":{"trixie":{"status":"open","urgency":"unimportant"}}}}}"#,
        r#"{"exim4":{"CVE-2024-1":{"releases":{"bullseye":{"fixed_version":"0","status":"resolved","urgency":"unimportant"}}}}}"#,
    ];
    assert_eq!(pieces(DOCUMENT, &Limits::default()), Ok(expected.map(str::to_owned).to_vec()));
}

/// What a release's entry says: events, severity, why there is no fix; and what is wrong with it.
fn said(codename: &str, release: &str) -> (Option<String>, Vec<String>) {
    let record = format!(r#"{{"curl":{{"CVE-2024-1":{{"releases":{{"{codename}":{release}}}}}}}}}"#);
    let (advisory, problems) = parse(record.as_bytes(), &Limits::default()).unwrap();
    assert_eq!(
        (&advisory.id[..], &advisory.aliases[..]),
        ("DEBIAN-CVE-2024-1-curl", &["CVE-2024-1".to_owned()][..])
    );
    let show = |a: &Affected| {
        let events = a.ranges.iter().flat_map(|range| &range.events);
        let events: Vec<_> = events
            .map(|event| match event {
                Event::Introduced(at) => format!("from {at}"),
                Event::Fixed(at) => format!("before {at}"),
                other => format!("{other:?}"),
            })
            .collect();
        let severity = a.severity.map_or("-", Severity::as_str);
        let no_fix = a.no_fix.map_or("-", NoFix::as_str);
        format!("{} {}: {}, {severity}, {no_fix}", a.ecosystem, a.package, events.join(" "))
    };
    let problems = problems.into_iter().map(|p| format!("{}: {}", p.place, p.what)).collect();
    (advisory.affected.first().map(show), problems)
}

#[test]
fn a_release_is_fixed_affected_or_never_was() {
    let check = |codename: &str, release: &str, expected: &str| {
        assert_eq!(said(codename, release), (Some(expected.to_owned()), vec![]), "{release}");
    };
    let release = |rest: &str| format!(r#"{{"status":"open",{rest}}}"#);
    check(
        "bookworm",
        r#"{"status":"resolved","fixed_version":"7.88.1-10","urgency":"medium**"}"#,
        "Debian:12 curl: from 0 before 7.88.1-10, medium, -",
    );
    check(
        "bullseye",
        r#"{"status":"resolved","fixed_version":"0","urgency":"not yet assigned"}"#,
        "Debian:11 curl: , -, -",
    );
    check(
        "trixie",
        &release(r#""urgency":"high","nodsa":"x","nodsa_reason":"""#),
        "Debian:13 curl: from 0, high, -",
    );
    check("forky", &release(r#""nodsa_reason":"postponed""#), "Debian:14 curl: from 0, -, -");
    check("buster", &release(r#""nodsa_reason":"ignored""#), "Debian:10 curl: from 0, -, will-not-fix");
    check("buster", &release(r#""urgency":"end-of-life""#), "Debian:10 curl: from 0, -, end-of-life");
    check(
        "buster",
        &release(r#""urgency":"unimportant","nodsa_reason":"ignored""#),
        "Debian:10 curl: from 0, none, unimportant",
    );
}

#[test]
fn what_says_nothing_of_a_numbered_release_is_left_out() {
    assert_eq!(said("sid", r#"{"status":"open"}"#), (None, vec![]));
    assert_eq!(said("bookworm", r#"{"status":"undetermined"}"#), (None, vec![]));
    let wrong = |release: &str| said("bookworm", release).1.remove(0);
    assert_eq!(wrong(r#"{"status":"worse"}"#), r#"DEBIAN-CVE-2024-1-curl bookworm: "worse" is not a status"#);
    assert!(wrong(r#"{"status":"resolved"}"#).ends_with("it is resolved in no version"));
}

#[test]
fn a_wrong_entry_costs_itself_and_a_broken_document_ends_the_reading() {
    let document = r#"{"a":[],"b":{"CVE-1":{"releases":[]},"CVE-2":{"releases":{}},"CVE-3":7}}"#;
    let found = pieces(document, &Limits::default()).unwrap();
    assert!(found[0].starts_with("a: invalid type: sequence"), "{}", found[0]);
    assert!(found[1].starts_with("b CVE-1: invalid type: sequence"), "{}", found[1]);
    assert_eq!(found[2], r#"{"b":{"CVE-2":{"releases":{}}}}"#);
    assert!(found[3].starts_with("b CVE-3: invalid type: integer"), "{}", found[3]);
    let broken = pieces(&DOCUMENT[..DOCUMENT.len() - 3], &Limits::default()).unwrap_err();
    assert!(broken.starts_with("the record is not a JSON object: EOF"), "{broken}");
    assert!(pieces("[]", &Limits::default()).is_err());
    assert!(split(b"\xff", &Limits::default(), &mut |_| true).is_err());
    let small = Limits { record_bytes: 100, text_bytes: 12, ..Limits::default() };
    let found = pieces(DOCUMENT, &small).unwrap();
    assert_eq!(found[0], "curl CVE-202: the entry is larger than is read");
    let mut taken = 0;
    let mut once = |_| {
        taken += 1;
        false
    };
    assert_eq!(split(DOCUMENT.as_bytes(), &Limits::default(), &mut once), Ok(()));
    assert_eq!(taken, 1);
}

#[test]
fn what_is_no_record_is_refused() {
    let refused = |text: &str| parse(text.as_bytes(), &Limits::default()).unwrap_err();
    assert_eq!(refused("{}"), Unreadable::NoId);
    assert_eq!(refused(r#"{"":{"CVE-1":{"releases":{}}}}"#), Unreadable::NoId);
    assert!(matches!(refused("[]"), Unreadable::NotJson(_)));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_reading_panic(text in r#"(\{"a":\{"b":)?[\[\]{}":,a-z0-9 ]{0,60}"#) {
        let _ = pieces(&text, &Limits::default());
        let _ = parse(text.as_bytes(), &Limits::default());
    }
}
