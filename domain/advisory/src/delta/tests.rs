//! Each change of meaning is seen and named; what only reads differently is not.

use crate::Limits;
use crate::formats::by_word;

use super::*;

const BASE: &str = r#"{"id":"A-1","modified":"0001-01-01T00:00:00Z","aliases":["CVE-2024-1"],"summary":"old words",
    "severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
    "affected":[{"package":{"ecosystem":"npm","name":"left-pad"},
                 "ranges":[{"type":"SEMVER","events":[{"introduced":"1.0.0"},{"fixed":"1.2.0"}]}],
                 "versions":["1.0.0","1.1.0"]}]}"#;

fn read(text: &str) -> Advisory {
    let osv = by_word("osv").expect("it is in the table");
    let (advisory, problems) = (osv.parse)(text.as_bytes(), &Limits::default()).expect("it is readable");
    assert_eq!(problems, []);
    advisory
}

/// What changes when these words are exchanged in the document.
#[track_caller]
fn check(changes: &[(&str, &str)], expected: Option<(Kind, &[Part])>) {
    let mut text = BASE.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from} is not there");
        text = text.replace(from, to);
    }
    let expected = expected.map(|(kind, parts)| Delta { kind, parts: parts.iter().copied().collect() });
    assert_eq!(compare(Some(&read(BASE)), Some(&read(&text))), expected, "{changes:?}");
}

#[test]
fn each_part_is_named_when_it_changes() {
    use Part::{Aliases, Fix, Packages, Ranges, Severity, Status, Versions};
    check(&[(r#""fixed":"1.2.0""#, r#""fixed":"1.3.0""#)], Some((Kind::Modified, &[Ranges, Fix])));
    check(&[(r#""fixed":"1.2.0""#, r#""last_affected":"1.1.9""#)], Some((Kind::Modified, &[Ranges, Fix])));
    check(&[(r#""introduced":"1.0.0""#, r#""introduced":"0""#)], Some((Kind::Modified, &[Ranges])));
    check(&[(r#"["1.0.0","1.1.0"]"#, r#"["1.0.0"]"#)], Some((Kind::Modified, &[Versions])));
    check(&[("C:H/I:H/A:H", "C:L/I:N/A:N")], Some((Kind::Modified, &[Severity])));
    check(&[("CVE-2024-1", "CVE-2024-2")], Some((Kind::Modified, &[Aliases])));
    check(&[(r#""summary""#, r#""upstream":["CVE-2024-3"],"summary""#)], Some((Kind::Modified, &[Aliases])));
    check(&[("left-pad", "right-pad")], Some((Kind::Modified, &[Packages])));
    let urgency = r#""ecosystem_specific":{"urgency":"end-of-life"},"versions""#;
    check(&[(r#""versions""#, urgency)], Some((Kind::Modified, &[Status])));
    let both = [("C:H/I:H/A:H", "C:L/I:N/A:N"), (r#""fixed":"1.2.0""#, r#""fixed":"1.3.0""#)];
    check(&both, Some((Kind::Modified, &[Ranges, Fix, Severity])));
}

#[test]
fn where_it_holds_and_what_it_is_count_too() {
    let rust = (r#""ecosystem":"npm""#, r#""ecosystem":"crates.io""#);
    let of = |more: &str| {
        read(&BASE.replace(rust.0, rust.1).replace(r#""versions""#, &format!(r#"{more}"versions""#)))
    };
    let parts = |more: &str| compare(Some(&of("")), Some(&of(more))).map(|delta| delta.parts);
    let only = |part| Some(BTreeSet::from([part]));
    assert_eq!(parts(r#""ecosystem_specific":{"affects":{"os":["windows"]}},"#), only(Part::Packages));
    assert_eq!(parts(r#""database_specific":{"informational":"unsound"},"#), only(Part::Status));
    assert_eq!(parts(r#""ecosystem_specific":{"affects":{"os":[],"functions":["a::b"]}},"#), None);
}

#[test]
fn a_new_range_does_not_hide_a_new_severity() {
    // Nothing that both say is left to compare at.
    let all = [
        ("C:H/I:H/A:H", "C:L/I:N/A:N"),
        (r#""fixed":"1.2.0""#, r#""fixed":"1.3.0""#),
        (r#"["1.0.0","1.1.0"]"#, "[]"),
    ];
    check(&all, Some((Kind::Modified, &[Part::Ranges, Part::Versions, Part::Fix, Part::Severity])));
}

#[test]
fn prose_dates_and_order_mean_nothing() {
    check(&[("old words", "new words"), ("0001-01-01", "2026-01-01")], None);
    check(&[(r#"["1.0.0","1.1.0"]"#, r#"["1.1.0","1.0.0","1.1.0"]"#)], None);
    check(
        &[(r#"{"introduced":"1.0.0"},{"fixed":"1.2.0"}"#, r#"{"fixed":"1.2.0"},{"introduced":"1.0.0"}"#)],
        None,
    );
    // A second vector of the same meaning.
    check(&[("C:H/I:H/A:H", "C:H/I:H/A:H/E:U")], None);
}

#[test]
fn an_entry_may_be_cut_in_two() {
    let entry = r#""versions":["1.0.0","1.1.0"]}"#;
    let cut =
        r#""versions":["1.1.0"]},{"package":{"ecosystem":"npm","name":"left-pad"},"versions":["1.0.0"]}"#;
    check(&[(entry, cut)], None);
}

#[test]
fn where_the_severity_stands_makes_no_difference() {
    let vector = r#"{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}"#;
    let own = format!(r#""severity":[{vector}],"versions""#);
    check(&[(vector, ""), (r#""versions""#, &own)], None);
}

#[test]
fn being_taken_back_and_counting_again_are_kinds_of_their_own() {
    let withdrawn = read(&BASE.replace(r#""summary""#, r#""withdrawn":"2026-01-01T00:00:00Z","summary""#));
    let base = read(BASE);
    let only = BTreeSet::from([Part::Withdrawn]);
    let taken_back = compare(Some(&base), Some(&withdrawn));
    assert_eq!(taken_back, Some(Delta { kind: Kind::Withdrawn, parts: only.clone() }));
    let restored = compare(Some(&withdrawn), Some(&base));
    assert_eq!(restored, Some(Delta { kind: Kind::Restored, parts: only }));
    let silent = Advisory { aliases: vec![], severity: Severity::Low, ..withdrawn.clone() };
    assert_eq!(compare(Some(&withdrawn), Some(&silent)), None, "what it says counts for nothing");
    let elsewhere = Advisory { affected: vec![], ..withdrawn.clone() };
    let packages = Some(Delta { kind: Kind::Modified, parts: BTreeSet::from([Part::Packages]) });
    assert_eq!(compare(Some(&withdrawn), Some(&elsewhere)), packages);
}

#[test]
fn coming_and_going_have_nothing_to_compare_with() {
    let base = read(BASE);
    let bare = |kind| Some(Delta { kind, parts: BTreeSet::new() });
    assert_eq!(compare(None, Some(&base)), bare(Kind::Added));
    assert_eq!(compare(Some(&base), None), bare(Kind::Removed));
    assert_eq!(compare(None, None), None);
}

#[test]
fn words_are_read_as_they_are_written() {
    for kind in Kind::ALL {
        assert_eq!(Kind::from_word(kind.as_str()), Some(kind));
    }
    for part in Part::ALL {
        assert_eq!(Part::from_word(part.as_str()), Some(part));
    }
}
