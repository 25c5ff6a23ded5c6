//! What differs is told, as what it is, and nothing else.

use model::{NoFix, Purl, Severity, VexStatus};
use proptest::prelude::*;

use super::*;

/// `NAME ALIAS… package severity fix`, where fix is a version, `-`, or a reason for none.
fn finding(text: &str) -> Finding {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [names @ .., package, severity, fix] = words.as_slice() else { panic!("{text}") };
    let no_fix = NoFix::from_word(fix);
    let fixed: Vec<String> = if no_fix.is_some() || *fix == "-" { vec![] } else { vec![(*fix).to_owned()] };
    let advisory = |name: &&str| AdvisoryMatch {
        advisory: (*name).to_owned(),
        feed: "f".parse().unwrap(),
        reason: "in range".to_owned(),
        fixed_versions: fixed.clone(),
        no_fix,
        notice: None,
    };
    let mut aliases: Vec<String> = names[1..].iter().map(|name| (*name).to_owned()).collect();
    aliases.sort();
    Finding {
        vulnerability: names[0].to_owned(),
        aliases,
        purl: Purl::from_canonical(format!("pkg:npm/{package}@1")),
        package: (*package).to_owned(),
        version: "1".to_owned(),
        severity: Severity::from_word(severity).unwrap(),
        fix: FixState::of(fixed.clone(), [no_fix]),
        advisories: names.iter().map(advisory).collect(),
        vex: None,
    }
}

#[test]
fn a_suppliers_word_suppresses_and_unsuppresses() {
    let silent = finding("V-1 p low -");
    let word = |status, held| VexWord {
        status,
        held,
        justification: None,
        detail: None,
        issuer: "i".to_owned(),
        document: "d".to_owned(),
        statement: "s".to_owned(),
        score: 1,
    };
    let said = |status, held| Finding { vex: Some(word(status, held)), ..silent.clone() };
    let quiet = said(VexStatus::NotAffected, false);
    let kinds = |before: &Finding, after: &Finding| -> Vec<_> {
        let (before, after) = (std::slice::from_ref(before), std::slice::from_ref(after));
        compared(before, after).into_iter().map(|change| change.kind).collect()
    };
    assert_eq!(kinds(&silent, &quiet), [ChangeKind::Suppressed]);
    assert_eq!(kinds(&quiet, &silent), [ChangeKind::Unsuppressed]);
    assert_eq!(kinds(&quiet, &said(VexStatus::NotAffected, true)), [ChangeKind::Unsuppressed]);
    assert_eq!(kinds(&quiet, &said(VexStatus::Fixed, false)), [ChangeKind::Restated]);
    assert_eq!(kinds(&silent, &said(VexStatus::Affected, false)), [ChangeKind::Restated]);
}

#[test]
fn words_are_told_apart_from_all_the_rest() {
    let silent = finding("V-1 p low -");
    let word = VexWord {
        status: VexStatus::Affected,
        held: false,
        justification: None,
        detail: None,
        issuer: "i".to_owned(),
        document: "d".to_owned(),
        statement: "s".to_owned(),
        score: 1,
    };
    let told = Finding { vex: Some(word), ..silent.clone() };
    let worse = Finding { severity: Severity::High, ..told.clone() };
    let apart = |before: &[Finding], after: &[Finding]| {
        let Apart { words, rest } = Apart::of(&compared(before, after), before, after);
        (words, rest)
    };
    let one = std::slice::from_ref;
    assert_eq!(apart(one(&silent), one(&silent)), (false, false));
    assert_eq!(apart(one(&silent), one(&told)), (true, false));
    assert_eq!(apart(one(&silent), one(&worse)), (true, true));
    assert_eq!(apart(one(&told), one(&worse)), (false, true));
    assert_eq!(apart(&[], one(&told)), (false, true));
    assert_eq!(apart(one(&told), &[]), (false, true));
}

fn findings(texts: &[&str]) -> Vec<Finding> {
    texts.iter().map(|text| finding(text)).collect()
}

/// Advisories that begin with `W` were withdrawn.
fn compared(before: &[Finding], after: &[Finding]) -> Vec<Change> {
    changes(before, after, |evidence| evidence.advisory.starts_with('W'))
}

/// `kind before>after`, the vulnerability's name on each side.
#[track_caller]
fn check(before: &[&str], after: &[&str], expected: &[&str]) {
    let (before, after) = (findings(before), findings(after));
    let name =
        |list: &[Finding], at: Option<usize>| at.map_or("", |at| list[at].vulnerability.as_str()).to_owned();
    let told: Vec<_> = compared(&before, &after)
        .into_iter()
        .map(|c| format!("{} {}>{}", c.kind.as_str(), name(&before, c.before), name(&after, c.after)))
        .collect();
    assert_eq!(told, expected);
}

#[test]
fn equal_findings_do_not_differ_whatever_their_order() {
    check(&["V-1 p low -", "V-2 p low 2"], &["V-2 p low 2", "V-1 p low -"], &[]);
}

#[test]
fn what_comes_and_goes_is_told_by_vulnerability_and_component() {
    check(
        &["V-1 p low -", "V-2 p low -"],
        &["V-2 p low -", "V-1 q low -", "V-3 p low -"],
        &["appeared >V-1", "appeared >V-3", "resolved V-1>"],
    );
}

#[test]
fn severity_and_fix_are_told_each_for_itself() {
    check(&["V-1 p low -"], &["V-1 p high 2"], &["severity-changed V-1>V-1", "fix-available V-1>V-1"]);
    check(&["V-1 p low 2"], &["V-1 p low 3"], &["fix-changed V-1>V-1"]);
    check(&["V-1 p low 2"], &["V-1 p low will-not-fix"], &["fix-changed V-1>V-1"]);
    check(&["V-1 p low -"], &["V-1 p low end-of-life"], &["fix-changed V-1>V-1"]);
    check(&["V-1 p low end-of-life"], &["V-1 p low 2"], &["fix-available V-1>V-1"]);
}

#[test]
fn what_was_taken_back_is_withdrawn_and_not_resolved() {
    check(&["W-1 p low -"], &[], &["withdrawn W-1>"]);
    check(&["W-1 V-1 p low -"], &[], &["resolved W-1>"]);
    check(&["W-1 p low -"], &["W-1 p high -"], &["severity-changed W-1>W-1"]);
}

#[test]
fn a_finding_under_another_name_is_the_same_one() {
    check(&["GHSA-1 p low -"], &["CVE-1 GHSA-1 p low -"], &["restated GHSA-1>CVE-1"]);
    check(&["GHSA-1 p low -"], &["CVE-1 GHSA-1 p high -"], &["severity-changed GHSA-1>CVE-1"]);
    check(&["A X p low -"], &["B X p low -"], &["restated A>B"]);
    // Of another component it is another one.
    check(&["GHSA-1 p low -"], &["CVE-1 GHSA-1 q low -"], &["appeared >CVE-1", "resolved GHSA-1>"]);
}

#[test]
fn one_that_was_split_goes_on_as_the_first_and_those_that_were_joined_as_one() {
    check(&["A X Y p low -"], &["B X p low -", "C Y p low -"], &["appeared >C", "restated A>B"]);
    check(&["B X p low -", "C Y p low -"], &["A X Y p low -"], &["resolved C>", "restated B>A"]);
    // Whoever kept its name is never taken for another.
    check(&["A X p low -"], &["A X p low -", "B X p low -"], &["appeared >B"]);
}

#[test]
fn words_of_kinds_read_back() {
    assert!(ChangeKind::ALL.is_sorted());
    for kind in ChangeKind::ALL {
        assert_eq!(ChangeKind::from_word(kind.as_str()), Some(kind));
    }
}

fn any_findings() -> impl Strategy<Value = Vec<Finding>> {
    let name = prop::sample::select(vec!["A", "B", "C", "W-1", "W-2"]);
    let package = prop::sample::select(vec!["p", "q"]);
    let severity = prop::sample::select(vec!["low", "high"]);
    let fix = prop::sample::select(vec!["-", "2", "3", "end-of-life"]);
    let one = (prop::collection::btree_set(name, 1..4), package, severity, fix).prop_map(
        |(names, package, severity, fix)| {
            let names: Vec<_> = names.into_iter().collect();
            finding(&format!("{} {package} {severity} {fix}", names.join(" ")))
        },
    );
    // As a result has them: each vulnerability once for a component.
    prop::collection::vec(one, 0..8).prop_map(|list| {
        let mut seen = BTreeSet::new();
        list.into_iter().filter(|f| seen.insert((f.vulnerability.clone(), f.purl.clone()))).collect()
    })
}

proptest! {
    #[test]
    fn nothing_differs_exactly_where_all_is_equal(before in any_findings(), after in any_findings()) {
        let sorted = |list: &[Finding]| { let mut list = list.to_vec(); list.sort(); list };
        prop_assert_eq!(compared(&before, &before), vec![]);
        prop_assert_eq!(compared(&before, &after).is_empty(), sorted(&before) == sorted(&after));
    }

    #[test]
    fn each_finding_is_accounted_for(before in any_findings(), after in any_findings()) {
        let all = compared(&before, &after);
        let count = |kinds: &[ChangeKind]| all.iter().filter(|c| kinds.contains(&c.kind)).count();
        let gone = count(&[ChangeKind::Resolved, ChangeKind::Withdrawn]);
        prop_assert_eq!(before.len() - gone + count(&[ChangeKind::Appeared]), after.len());
        for (at, finding) in after.iter().enumerate() {
            let told = all.iter().any(|c| c.after == Some(at));
            prop_assert_eq!(told, !before.contains(finding), "{:?}", finding);
        }
        // Backwards, what came goes.
        let back = compared(&after, &before);
        let appeared: BTreeSet<_> = back.iter().filter_map(|c| c.before.is_none().then_some(c.after)).collect();
        prop_assert_eq!(appeared.len(), gone);
    }

    #[test]
    fn the_order_of_the_lists_does_not_matter(before in any_findings(), after in any_findings()) {
        let told = |before: &[Finding], after: &[Finding]| -> BTreeSet<_> {
            let of = |list: &[Finding], at: Option<usize>| at.map(|at| list[at].clone());
            compared(before, after).iter().map(|c| (c.kind, of(before, c.before), of(after, c.after))).collect()
        };
        let backwards = |list: &[Finding]| list.iter().rev().cloned().collect::<Vec<_>>();
        prop_assert_eq!(told(&before, &after), told(&backwards(&before), &backwards(&after)));
    }

    #[test]
    fn what_is_equal_in_both_may_be_left_out(before in any_findings(), after in any_findings()) {
        let told = |before: &[Finding], after: &[Finding]| -> BTreeSet<_> {
            let of = |list: &[Finding], at: Option<usize>| at.map(|at| list[at].clone());
            compared(before, after).iter().map(|c| (c.kind, of(before, c.before), of(after, c.after))).collect()
        };
        let only = |list: &[Finding], other: &[Finding]| -> Vec<_> {
            list.iter().filter(|finding| !other.contains(finding)).cloned().collect()
        };
        prop_assert_eq!(told(&before, &after), told(&only(&before, &after), &only(&after, &before)));
    }
}
