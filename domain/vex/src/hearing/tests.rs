use model::{AdvisoryMatch, Digest, FixState, Justification, Sbom, Severity, VexStatus};
use proptest::prelude::*;
use time::Duration;
use time::macros::datetime;

use super::*;
use crate::matching::tests::{component, sbom};
use crate::signature::Signature;
use crate::trust::{Channel, Doubt, Issuer, Tier};
use crate::{Format, Identity, Part};

const NOW: OffsetDateTime = datetime!(2026-07-01 00:00 UTC);
const A: &str = "pkg:npm/a@1.0.0";

fn finding(vulnerability: &str, purl: &str) -> Finding {
    let component = component(purl);
    Finding {
        vulnerability: vulnerability.to_owned(),
        aliases: vec!["GHSA-1".to_owned()],
        purl: component.purl,
        package: component.name,
        version: component.version,
        severity: Severity::High,
        fix: FixState::NotFixed(None),
        advisories: vec![AdvisoryMatch {
            advisory: "DSA-1".to_owned(),
            feed: "feed".parse().expect("a feed"),
            reason: String::new(),
            fixed_versions: Vec::new(),
            no_fix: None,
            notice: None,
        }],
        vex: None,
    }
}

/// A statement of so many days ago: `CVE-1 not_affected pkg:npm/a`.
fn statement(text: &str, days: i64) -> Statement {
    let mut words = text.split(' ');
    let mut word = || words.next().expect("three words").to_owned();
    let (vulnerability, status, product) = (word(), word(), word());
    let status = VexStatus::from_word(&status).expect("a status");
    Statement {
        id: text.to_owned(),
        vulnerability: vec![vulnerability],
        products: vec![Product::of([Identity::of(&product)].into())],
        status,
        justification: (status == VexStatus::NotAffected).then_some(Justification::VulnerableCodeNotPresent),
        impact: Some("looked at".to_owned()),
        action: None,
        timestamp: Some(NOW - Duration::days(days)),
    }
}

fn document(author: &str, id: &str, version: u32, statements: Vec<Statement>) -> Document {
    let timestamp = statements.iter().filter_map(|statement| statement.timestamp).max();
    let (author, id, version) = (author.to_owned(), id.to_owned(), version.to_string());
    Document { format: Format::OpenVex, id, version, author, timestamp, statements }
}

fn origin(signature: Signature) -> Origin {
    taken_in(signature, NOW)
}

fn taken_in(signature: Signature, taken_in: OffsetDateTime) -> Origin {
    Origin { channel: Channel::Authenticated, signature, attached: false, taken_in }
}

/// What is decided of the findings, and each statement with its effects and complaints.
struct Told {
    words: Vec<String>,
    statements: Vec<(String, Vec<Part>, Vec<String>)>,
}

fn tell(findings: &[Finding], sbom: &Sbom, documents: &[(Document, Origin)], directory: &Directory) -> Told {
    let subject = Subject::new(sbom, None, &[]);
    let evidence: Vec<Evidence<'_>> =
        documents.iter().map(|(document, origin)| Evidence { document, origin }).collect();
    let hearing = hear(findings, &subject, &evidence, directory, NOW);
    assert_eq!(words(findings, &subject, &evidence, directory), hearing.words, "alone and with the rest");
    let word = |word: &Option<VexWord>| match word {
        Some(word) => {
            let held = if word.held { " held" } else { "" };
            format!("{}{held} by {} in {}", word.status.as_str(), word.issuer, word.document)
        }
        None => "nothing".to_owned(),
    };
    let statement = |heard: &Heard| {
        let of = &documents[heard.document].0;
        let name = format!("{}: {}", of.id, of.statements[heard.statement].id);
        let complaints = heard.complaints.iter().map(|c| c.as_str().to_owned()).collect();
        (name, heard.effects.iter().map(|effect| effect.part).collect(), complaints)
    };
    Told {
        words: hearing.words.iter().map(word).collect(),
        statements: hearing.heard.iter().map(statement).collect(),
    }
}

/// What the documents of these authors say of CVE-1 in a@1.0.0, all unsigned.
#[track_caller]
fn check(documents: Vec<Document>, word: &str, expected: &[(&[Part], &[&str])]) {
    let sbom = sbom(None, vec![component(A), component("pkg:npm/b@1.0.0")]);
    let findings = [finding("CVE-1", A)];
    let documents: Vec<_> = documents.into_iter().map(|d| (d, origin(Signature::Absent))).collect();
    let told = tell(&findings, &sbom, &documents, &Directory::default());
    assert_eq!(told.words, [word]);
    let told: Vec<(Vec<Part>, Vec<String>)> = told.statements.into_iter().map(|(_, p, c)| (p, c)).collect();
    let expected: Vec<(Vec<Part>, Vec<String>)> = expected
        .iter()
        .map(|(parts, complaints)| (parts.to_vec(), complaints.iter().map(|c| (*c).to_owned()).collect()))
        .collect();
    assert_eq!(told, expected);
}

fn one(text: &str, days: i64) -> Vec<Document> {
    vec![document("jo", "d", 1, vec![statement(text, days)])]
}

#[test]
fn a_statement_has_effect_by_any_name_of_the_vulnerability() {
    for name in ["CVE-1", "cve-1", "GHSA-1", "DSA-1"] {
        let text = format!("{name} not_affected {A}");
        check(one(&text, 1), "not_affected by jo in d", &[(&[Part::Decides], &["unsigned"])]);
    }
}

#[test]
fn a_statement_without_effect_says_why() {
    for (text, why) in [
        ("CVE-2 not_affected pkg:npm/a@1.0.0", "vulnerability_not_found"),
        ("CVE-1 not_affected pkg:npm/b@1.0.0", "vulnerability_not_found"),
        ("CVE-1 not_affected pkg:npm/c@1.0.0", "product_not_found"),
        ("CVE-2 not_affected pkg:npm/c@1.0.0", "product_not_found"),
        ("CVE-1 not_affected pkg:npm/a@1.0.1", "near_miss"),
        ("CVE-1 not_affected pkg:npm/A@1.0.0", "near_miss"),
        ("CVE-1 not_affected pkg:npm/a@1.0.0?os=linux", "near_miss"),
    ] {
        check(one(text, 1), "nothing", &[(&[], &["unsigned", why])]);
    }
}

#[test]
fn age_is_told_and_the_future_does_not_count() {
    let text = "CVE-1 fixed pkg:npm/a@1.0.0";
    check(one(text, 179), "fixed by jo in d", &[(&[Part::Decides], &["unsigned"])]);
    check(one(text, 180), "fixed by jo in d", &[(&[Part::Decides], &["unsigned", "stale"])]);
    check(one(text, -1), "nothing", &[(&[], &["unsigned", "not_yet"])]);
    let mut fast = one(text, 0);
    fast[0].statements[0].timestamp = Some(NOW + Duration::minutes(59));
    check(fast, "fixed by jo in d", &[(&[Part::Decides], &["unsigned"])]);
    let mut undated = one(text, 1);
    undated[0].statements[0].timestamp = None;
    check(undated, "fixed by jo in d", &[(&[Part::Decides], &["unsigned", "undated"])]);
}

#[test]
fn the_later_version_of_a_document_takes_back_what_it_does_not_repeat() {
    let old = document("jo", "d", 1, vec![statement("CVE-1 not_affected pkg:npm/a@1.0.0", 9)]);
    let new = document("jo", "d", 2, vec![statement("CVE-2 not_affected pkg:npm/a@1.0.0", 1)]);
    let other = "vulnerability_not_found";
    let shadowed: (&[Part], &[&str]) = (&[], &["unsigned", "shadowed"]);
    check(vec![old.clone(), new], "nothing", &[shadowed, (&[], &["unsigned", other])]);
    let of_another = document("al", "d", 2, vec![statement("CVE-2 fixed pkg:npm/a@1.0.0", 1)]);
    let heard: (&[Part], &[&str]) = (&[Part::Decides], &["unsigned"]);
    check(vec![old, of_another], "not_affected by jo in d", &[heard, (&[], &["unsigned", other])]);
}

#[test]
fn of_one_issuer_the_more_precise_statement_counts_and_then_the_later() {
    let precise = document("jo", "d", 1, vec![statement("CVE-1 affected pkg:npm/a@1.0.0", 9)]);
    let later = document("jo", "e", 1, vec![statement("CVE-1 not_affected pkg:npm/a", 1)]);
    let counts: (&[Part], &[&str]) = (&[Part::Decides], &["unsigned"]);
    let shadowed: (&[Part], &[&str]) = (&[], &["unsigned", "shadowed"]);
    check(vec![precise.clone(), later], "affected by jo in d", &[counts, shadowed]);
    let later = document("jo", "e", 1, vec![statement("CVE-1 not_affected pkg:npm/a@1.0.0", 1)]);
    check(vec![precise, later], "not_affected by jo in e", &[shadowed, counts]);
}

#[test]
fn a_heavy_contradiction_holds_the_suppression_and_a_light_one_is_told() {
    let no = |days| document("jo", "d", 1, vec![statement("CVE-1 not_affected pkg:npm/a@1.0.0", days)]);
    let yes = |days| document("al", "e", 1, vec![statement("CVE-1 affected pkg:npm/a@1.0.0", days)]);
    let all: &[&str] = &["unsigned", "conflict"];
    let light = [(&[Part::Decides][..], all), (&[Part::Outweighed][..], all)];
    check(vec![no(1), yes(1)], "not_affected by jo in d", &light);
    let held = [(&[Part::Held][..], all), (&[Part::Outweighed][..], all)];
    check(vec![no(60), yes(1)], "not_affected held by jo in d", &held);
    let against = [(&[Part::Outweighed][..], all), (&[Part::Decides][..], all)];
    check(vec![no(120), yes(1)], "affected by al in e", &against);
    let fixed = document("al", "e", 1, vec![statement("CVE-1 fixed pkg:npm/a@1.0.0", 1)]);
    let unsigned: &[&str] = &["unsigned"];
    let agree = [(&[Part::Decides][..], unsigned), (&[Part::Outweighed][..], unsigned)];
    check(vec![no(1), fixed], "not_affected by jo in d", &agree);
}

fn directory(tier: Tier, key: &crate::signature::Key) -> Directory {
    let (id, authors) = ("acme".to_owned(), vec!["jo".to_owned()]);
    Directory { issuers: vec![Issuer { id, authors, tier, keys: vec![key.clone()] }], ..Directory::default() }
}

#[test]
fn who_is_not_trusted_or_not_who_he_says_has_no_effect_and_hears_why() {
    let key = crate::signature::Key::parse(&crate::signature::tests::ed25519().1).expect("a key");
    let good = Signature::Good { key: key.id().to_owned() };
    let document = document("jo", "d", 1, vec![statement("CVE-1 not_affected pkg:npm/a@1.0.0", 1)]);
    let sbom = sbom(None, vec![component(A)]);
    let ask = |signature: &Signature, directory: &Directory| {
        let told =
            tell(&[finding("CVE-1", A)], &sbom, &[(document.clone(), origin(signature.clone()))], directory);
        (told.words[0].clone(), told.statements[0].2.join(" "))
    };
    let answer = |word: &str, complaints: &str| (word.to_owned(), complaints.to_owned());
    let (absent, known) = (Signature::Absent, directory(Tier::First, &key));
    assert_eq!(ask(&good, &known), answer("not_affected by acme in d", ""));
    assert_eq!(ask(&absent, &known), answer("nothing", "unsigned"));
    assert_eq!(ask(&Signature::UnknownKey, &known), answer("nothing", "unknown_key"));
    let mut without = known.clone();
    without.issuers[0].keys.clear();
    assert_eq!(ask(&absent, &without), answer("not_affected by acme in d", "unsigned"));
    let bad = Signature::Bad("it does not fit the bytes".to_owned());
    assert_eq!(ask(&bad, &known), answer("nothing", "bad_signature"));
    let distrusted = directory(Tier::Untrusted, &key);
    assert_eq!(ask(&good, &distrusted), answer("nothing", "issuer_not_trusted"));
    assert_eq!(ask(&absent, &distrusted), answer("nothing", "issuer_not_trusted"));
    let strict = Directory { accepts_unsigned: false, ..known.clone() };
    assert_eq!(ask(&absent, &strict), answer("nothing", "unsigned"));
    assert_eq!(ask(&good, &strict), answer("not_affected by acme in d", ""));
    let closed = Directory { accepts_unknown: false, ..Directory::default() };
    assert_eq!(ask(&absent, &closed), answer("nothing", "issuer_not_trusted"));
    let mut revoked = known;
    revoked.issuers[0].keys[0].revoked_at = Some(NOW - Duration::days(1));
    assert_eq!(ask(&good, &revoked), answer("nothing", "bad_signature"));
    revoked.issuers[0].keys[0].revoked_at = Some(NOW + Duration::days(1));
    assert_eq!(ask(&good, &revoked), answer("not_affected by acme in d", ""));
    assert_eq!(Doubt::Unsigned.to_string(), "it is not signed");
}

#[test]
fn nobody_takes_back_by_date_what_another_signed() {
    let key = crate::signature::Key::parse(&crate::signature::tests::ed25519().1).expect("a key");
    let signed = document("jo", "d", 1, vec![statement("CVE-1 affected pkg:npm/a@1.0.0", 2)]);
    let forged = document("jo", "d", 2, vec![statement("CVE-1 not_affected pkg:npm/a@1.0.0", 1)]);
    let good = Signature::Good { key: key.id().to_owned() };
    let documents = [(signed, origin(good)), (forged, origin(Signature::Absent))];
    let sbom = sbom(None, vec![component(A)]);
    let told = tell(&[finding("CVE-1", A)], &sbom, &documents, &directory(Tier::First, &key));
    assert_eq!(told.words, ["affected by acme in d"]);
    assert_eq!(told.statements[1].2, ["unsigned"]);
    assert!(told.statements.iter().all(|(_, _, complaints)| !complaints.contains(&"shadowed".to_owned())));
}

/// A word of three: of whom, what, and how long ago.
fn any_document() -> impl Strategy<Value = Document> {
    let status = prop::sample::select(&VexStatus::ALL[..]);
    let product = prop::sample::select(&["pkg:npm/a", "pkg:npm/a@1.0.0", "pkg:npm/a@2.0.0", "pkg:npm/b"][..]);
    let one = (status, product, 0_i64..3).prop_map(|(status, product, days)| {
        statement(&format!("CVE-1 {} {product}", status.as_str()), days * 50)
    });
    let author = prop::sample::select(&["jo", "al"][..]);
    let id = prop::sample::select(&["d", "e"][..]);
    (author, id, 1_u32..3, prop::collection::vec(one, 1..4))
        .prop_map(|(author, id, version, statements)| document(author, id, version, statements))
}

proptest! {
    #[test]
    fn the_order_of_documents_does_not_matter(
        documents in prop::collection::vec(any_document(), 1..6),
        seed in prop::collection::vec(any::<u32>(), 6),
    ) {
        let sbom = sbom(None, vec![component(A), component("pkg:npm/b@1.0.0")]);
        let findings = [finding("CVE-1", A), finding("CVE-1", "pkg:npm/b@1.0.0")];
        let ask = |documents: &[Document]| {
            let all: Vec<_> = documents.iter().map(|d| (d.clone(), origin(Signature::Absent))).collect();
            let Told { words, mut statements } = tell(&findings, &sbom, &all, &Directory::default());
            statements.sort();
            (words, statements)
        };
        let mut shuffled: Vec<(u32, Document)> = seed.into_iter().zip(documents.clone()).collect();
        shuffled.sort_by_key(|(at, _)| *at);
        let shuffled: Vec<Document> = shuffled.into_iter().map(|(_, document)| document).collect();
        prop_assert_eq!(ask(&documents), ask(&shuffled));
    }
}

#[test]
fn the_score_is_that_of_the_formula() {
    let sbom = sbom(None, vec![component(A)]);
    let digest = Digest::of(b"image");
    let subject = Subject::new(&sbom, Some(&digest), &[]);
    let exact = Product {
        parts: vec![[Identity::of(A)].into()].into(),
        ..Product::of([Identity::of(digest.as_str())].into())
    };
    let exact = Statement { products: vec![exact], ..statement("CVE-1 not_affected x", 90) };
    let documents = [document("jo", "d", 1, vec![exact])];
    let from = origin(Signature::Absent);
    let evidence = [Evidence { document: &documents[0], origin: &from }];
    let hearing = hear(&[finding("CVE-1", A)], &subject, &evidence, &Directory::default(), NOW);
    // 0.45 x 0.40 + 0.35 x 1.00 + 0.20 x 1.00, by 1.00.
    assert_eq!(hearing.words[0].as_ref().map(|word| word.score), Some(7_300));
    assert_eq!(hearing.heard[0].effects[0].score, 7_300);
    let newer = document("al", "e", 1, vec![statement("CVE-1 fixed pkg:npm/a@1.0.0", 0)]);
    let evidence = [evidence[0], Evidence { document: &newer, origin: &from }];
    let hearing = hear(&[finding("CVE-1", A)], &subject, &evidence, &Directory::default(), NOW);
    // Half of it where another is ninety days newer; a supplier's word keeps what it is worth by itself.
    assert_eq!(hearing.heard[0].effects[0].score, 3_650);
}

#[test]
fn what_is_decided_does_not_depend_on_the_day_of_asking() {
    let sbom = sbom(None, vec![component(A)]);
    let (subject, from) = (Subject::new(&sbom, None, &[]), origin(Signature::Absent));
    let documents = [
        document("jo", "d", 1, vec![statement("CVE-1 not_affected pkg:npm/a@1.0.0", 60)]),
        document("al", "e", 1, vec![statement("CVE-1 affected pkg:npm/a@1.0.0", 1)]),
        document("jo", "f", 1, vec![statement("CVE-1 fixed pkg:npm/a@1.0.0", -2)]),
    ];
    let evidence: Vec<_> = documents.iter().map(|document| Evidence { document, origin: &from }).collect();
    let words_on = |days: i64| {
        let as_of = NOW + Duration::days(days);
        hear(&[finding("CVE-1", A)], &subject, &evidence, &Directory::default(), as_of).words
    };
    let today = words_on(0);
    assert_eq!(today[0].as_ref().map(|word| (word.status, word.held)), Some((VexStatus::NotAffected, true)));
    for days in [-1_000, -1, 1, 3, 90, 180, 10_000] {
        assert_eq!(words_on(days), today, "{days} days later");
    }
}

#[test]
fn a_key_counts_as_it_was_when_the_document_was_taken_in() {
    let mut key = crate::signature::Key::parse(&crate::signature::tests::ed25519().1).expect("a key");
    let good = Signature::Good { key: key.id().to_owned() };
    key.revoked_at = Some(NOW);
    let sbom = sbom(None, vec![component(A)]);
    let document = document("jo", "d", 1, vec![statement("CVE-1 not_affected pkg:npm/a@1.0.0", 9)]);
    let ask = |at: OffsetDateTime| {
        let documents = [(document.clone(), taken_in(good.clone(), at))];
        let told = tell(&[finding("CVE-1", A)], &sbom, &documents, &directory(Tier::First, &key));
        (told.words[0].clone(), told.statements[0].2.join(" "))
    };
    let answer = |word: &str, complaints: &str| (word.to_owned(), complaints.to_owned());
    assert_eq!(ask(NOW - Duration::seconds(1)), answer("not_affected by acme in d", ""));
    assert_eq!(ask(NOW), answer("nothing", "bad_signature"));
    assert_eq!(ask(NOW - Duration::days(30)), answer("nothing", "not_yet"));
}

#[test]
fn claims_without_dates_weigh_what_they_are_worth() {
    let undated = |author, id, text| {
        let mut document = document(author, id, 1, vec![statement(text, 1)]);
        document.statements[0].timestamp = None;
        document
    };
    let no = undated("jo", "d", "CVE-1 not_affected pkg:npm/a@1.0.0");
    let yes = undated("al", "e", "CVE-1 affected pkg:npm/a@1.0.0");
    let all: &[&str] = &["unsigned", "conflict", "undated"];
    let expected = [(&[Part::Decides][..], all), (&[Part::Outweighed][..], all)];
    check(vec![no, yes], "not_affected by jo in d", &expected);
}
