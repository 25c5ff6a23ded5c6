//! What is needed of X.509 certificates (RFC 5280): the key, the time in which it is valid, and who issued it.

use std::time::Duration;

use rustls_pki_types::{CertificateDer, UnixTime};
use time::OffsetDateTime;
use time::{Date, Month, Time};
use webpki::ring::{ECDSA_P256_SHA256, ECDSA_P384_SHA384, ED25519};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

/// Extended key usage of code signing, 1.3.6.1.5.5.7.3.3, which certificates for signing carry.
const CODE_SIGNING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x03];
/// Intermediate certificates that are looked at.
const CHAIN_MAX: usize = 8;

/// The certificate's SubjectPublicKeyInfo.
pub(super) fn public_key(der: &[u8]) -> Option<Vec<u8>> {
    let certificate = CertificateDer::from(der);
    let certificate = EndEntityCert::try_from(&certificate).ok()?;
    Some(certificate.subject_public_key_info().as_ref().to_vec())
}

/// Whether `anchor` issued the certificate, by these others or itself, and it may sign at this moment.
pub(super) fn is_issued(
    leaf: &[u8],
    others: &[Vec<u8>],
    anchor: &[u8],
    at: OffsetDateTime,
) -> Result<(), &'static str> {
    let (leaf, anchor) = (CertificateDer::from(leaf), CertificateDer::from(anchor));
    let leaf = EndEntityCert::try_from(&leaf).map_err(|_| "its certificate cannot be read")?;
    let anchor = anchor_from_trusted_cert(&anchor).map_err(|_| "the issuer's certificate cannot be read")?;
    let others: Vec<CertificateDer<'_>> =
        others.iter().take(CHAIN_MAX).map(|der| CertificateDer::from(der.as_slice())).collect();
    let seconds = u64::try_from(at.unix_timestamp()).map_err(|_| "it is before 1970")?;
    let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let algorithms = [ED25519, ECDSA_P256_SHA256, ECDSA_P384_SHA384];
    let usage = KeyUsage::required_if_present(CODE_SIGNING);
    leaf.verify_for_usage(&algorithms, &[anchor], &others, at, usage, None, None)
        .map(|_| ())
        .map_err(|_| "its certificate is not issued by the issuer's, or not valid then")
}

/// From when until when a certificate is valid.
pub(super) fn validity(der: &[u8]) -> Option<(OffsetDateTime, OffsetDateTime)> {
    let (certificate, _) = element(der, 0x30)?;
    let (tbs, _) = element(certificate, 0x30)?;
    // An optional version, then serial number, algorithm and issuer stand before it.
    let rest = element(tbs, 0xa0).map_or(tbs, |(_, rest)| rest);
    let (_, rest) = element(rest, 0x02)?;
    let (_, rest) = element(rest, 0x30)?;
    let (_, rest) = element(rest, 0x30)?;
    let (validity, _) = element(rest, 0x30)?;
    let (from, rest) = moment(validity)?;
    let (until, _) = moment(rest)?;
    Some((from, until))
}

/// The content of the element that begins here and has this tag, and what is behind it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    (found == tag).then_some((content, rest))
}

/// UTCTime, whose years are of 1950 to 2049, or GeneralizedTime.
fn moment(der: &[u8]) -> Option<(OffsetDateTime, &[u8])> {
    let (text, rest, year_digits) = match element(der, 0x17) {
        Some((text, rest)) => (text, rest, 2),
        None => element(der, 0x18).map(|(text, rest)| (text, rest, 4))?,
    };
    let digits = str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if digits.len() != year_digits + 10 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (year, rest_digits) = digits.split_at(year_digits);
    let year: i32 = year.parse().ok()?;
    let year = match (year_digits, year) {
        (2, 50..) => 1900 + year,
        (2, _) => 2000 + year,
        _ => year,
    };
    let two = |at: usize| rest_digits[at..at + 2].parse::<u8>().ok();
    let date = Date::from_calendar_date(year, Month::try_from(two(0)?).ok()?, two(2)?).ok()?;
    let time = Time::from_hms(two(4)?, two(6)?, two(8)?).ok()?;
    Some((date.with_time(time).assume_utc(), rest))
}
