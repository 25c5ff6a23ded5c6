use ::base64::Engine as _;
use ::base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519,
};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use time::Duration;
use time::macros::datetime;

use super::*;
use crate::Limits;

const NOW: OffsetDateTime = datetime!(2026-07-01 00:00 UTC);

/// A key pair, and its public key in PEM.
pub(crate) fn ed25519() -> (KeyPair, Vec<u8>) {
    pair(&PKCS_ED25519)
}

fn p256() -> (KeyPair, Vec<u8>) {
    pair(&PKCS_ECDSA_P256_SHA256)
}

fn pair(algorithm: &'static rcgen::SignatureAlgorithm) -> (KeyPair, Vec<u8>) {
    let pair = KeyPair::generate_for(algorithm).expect("keys can be made");
    let public = pair.public_key_pem().into_bytes();
    (pair, public)
}

fn sign(pair: &KeyPair, message: &[u8]) -> Vec<u8> {
    let secret = pair.serialize_der();
    if pair.algorithm() == &PKCS_ED25519 {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&secret).expect("a key");
        return pair.sign(message).as_ref().to_vec();
    }
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &secret, &random).expect("a key");
    pair.sign(&random, message).expect("it signs").as_ref().to_vec()
}

fn beside(pair: &KeyPair, message: &[u8]) -> Mark {
    Mark::beside(STANDARD.encode(sign(pair, message)).as_bytes())
}

fn check(message: &[u8], mark: Mark, key: &Key, at: OffsetDateTime) -> Signature {
    Signature::check(message, &[mark], [key], at)
}

fn certificate(pair: &KeyPair, is_ca: bool) -> CertificateParams {
    let mut params = CertificateParams::new([]).expect("no names are fine");
    params.not_before = NOW - Duration::days(10);
    params.not_after = NOW + Duration::days(10);
    if is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    params.distinguished_name.push(rcgen::DnType::CommonName, format!("{:?}", &pair.public_key_raw()[..8]));
    params
}

#[test]
fn a_signature_beside_the_bytes_holds_for_its_key_and_these_bytes_only() {
    for (pair, public) in [ed25519(), p256()] {
        let key = Key::parse(&public).expect("a key");
        let good = Signature::Good { key: key.id().to_owned() };
        assert_eq!(check(b"vex", beside(&pair, b"vex"), &key, NOW), good);
        assert_eq!(check(b"vex", Mark::beside(&sign(&pair, b"vex")), &key, NOW), good);
        assert_eq!(check(b"VEX", beside(&pair, b"vex"), &key, NOW), Signature::UnknownKey);
        let other = Key::parse(&ed25519().1).expect("a key");
        assert_eq!(check(b"vex", beside(&pair, b"vex"), &other, NOW), Signature::UnknownKey);
        let named = Mark { key: key.id().to_owned(), ..beside(&pair, b"vex") };
        let bad = Signature::Bad("it does not fit the bytes".to_owned());
        assert_eq!(check(b"VEX", named, &key, NOW), bad);
        assert_eq!(Signature::check(b"vex", &[], [&key], NOW), Signature::Absent);
        assert_eq!(Key::parse(key.der()).expect("the same in DER"), key);
    }
}

#[test]
fn a_key_signs_only_while_it_is_valid() {
    let (pair, public) = ed25519();
    let mut key = Key::parse(&public).expect("a key");
    key.valid_from = Some(NOW - Duration::days(2));
    key.valid_until = Some(NOW + Duration::days(2));
    key.revoked_at = Some(NOW + Duration::days(1));
    let holds = |days| check(b"vex", beside(&pair, b"vex"), &key, NOW + Duration::days(days));
    let good = [-3, -1, 0, 1, 3].map(|days| matches!(holds(days), Signature::Good { .. }));
    assert_eq!(good, [false, true, true, false, false]);
}

#[test]
fn a_certificate_signs_itself_or_by_those_it_issued() {
    let ((ca, _), (leaf, _), (stranger, _)) = (p256(), p256(), p256());
    let of_ca = certificate(&ca, true).self_signed(&ca).expect("a certificate");
    let issuer = Issuer::new(certificate(&ca, true), &ca);
    let of_leaf = certificate(&leaf, false).signed_by(&leaf, &issuer).expect("a certificate").der().to_vec();
    let anchor = Key::parse(of_ca.der()).expect("a key");
    assert_eq!((anchor.material(), anchor.valid_from), (Material::X509, Some(NOW - Duration::days(10))));
    let mark =
        |certificate: &[u8]| Mark { certificates: vec![certificate.to_vec()], ..beside(&leaf, b"vex") };
    let good = Signature::Good { key: anchor.id().to_owned() };
    assert_eq!(check(b"vex", mark(&of_leaf), &anchor, NOW), good);
    assert_eq!(check(b"vex", mark(&of_leaf), &anchor, NOW + Duration::days(11)), Signature::UnknownKey);
    let of_stranger = certificate(&stranger, false).self_signed(&stranger).expect("a certificate");
    assert_eq!(check(b"vex", mark(of_stranger.der()), &anchor, NOW), Signature::UnknownKey);
    let pinned = Key::parse(&of_leaf).expect("a key");
    let good = Signature::Good { key: pinned.id().to_owned() };
    assert_eq!(check(b"vex", beside(&leaf, b"vex"), &pinned, NOW), good);
}

#[test]
fn what_is_no_key_is_refused() {
    for bytes in [
        &b""[..],
        b"-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----",
        b"-----BEGIN X-----",
        &[0; 99],
    ] {
        assert!(Key::parse(bytes).is_err(), "{bytes:?} was taken");
    }
}

/// The vector of the specification (secure-systems-lab/dsse, protocol.md).
const ENVELOPE: &str = r#"{"payload": "aGVsbG8gd29ybGQ=", "payloadType": "http://example.com/HelloWorld", "signatures": [
    {"keyid": "x", "sig": "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="}]}"#;

#[test]
fn an_envelope_is_signed_over_its_type_and_payload() {
    let opened = open(ENVELOPE.as_bytes(), &Limits::default()).expect("an envelope");
    assert_eq!(opened.document.as_ref(), b"hello world");
    assert_eq!(opened.message.as_ref(), b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    assert_eq!((opened.marks[0].key.as_str(), opened.marks[0].bytes.len()), ("x", 64));
    let (pair, public) = ed25519();
    let key = Key::parse(&public).expect("a key");
    let sig = STANDARD.encode(sign(&pair, opened.message.as_ref()));
    let text =
        ENVELOPE.split("\"sig\"").next().expect("its head").to_owned() + &format!("\"sig\": \"{sig}\"}}]}}");
    let opened = open(text.as_bytes(), &Limits::default()).expect("an envelope");
    let good = Signature::Good { key: key.id().to_owned() };
    assert_eq!(Signature::check(&opened.message, &opened.marks, [&key], NOW), good);
}

#[test]
fn a_statement_in_an_envelope_says_which_images_it_is_about() {
    let hex = "2".repeat(64);
    let inner = format!(
        r#"{{"_type": "https://in-toto.io/Statement/v1", "subject": [{{"name": "a", "digest": {{"sha256": "{hex}"}}}}],
            "predicateType": "https://openvex.dev/ns/v0.2.0", "predicate": {{"@context": "https://openvex.dev/ns"}}}}"#
    );
    let payload = STANDARD.encode(inner);
    let text = format!(
        r#"{{"payloadType": "application/vnd.in-toto+json", "payload": "{payload}", "signatures": []}}"#
    );
    let opened = open(text.as_bytes(), &Limits::default()).expect("an envelope");
    assert_eq!(opened.document.as_ref(), br#"{"@context": "https://openvex.dev/ns"}"#);
    assert_eq!(opened.subjects, [format!("sha256:{hex}").parse().expect("a digest")]);
    let plain = open(br#"{"@context": "https://openvex.dev/ns"}"#, &Limits::default()).expect("a document");
    assert!(plain.marks.is_empty() && plain.subjects.is_empty());
    let broken = text.replace(&payload, "*");
    let error = open(broken.as_bytes(), &Limits::default()).expect_err("it is refused");
    assert_eq!(error.to_string(), "payload: it is not base64");
}
