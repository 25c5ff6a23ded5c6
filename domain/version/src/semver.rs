//! Precedence of Semantic Versioning 2.0.0 (§11), read as loosely as advisories write it.
//!
//! What npm itself would refuse is read by what it means: a leading `v` or `=`, missing or
//! additional numbers (`1.2`, `1.6.0.2`), a pre-release without its hyphen (`1.9.0b1`,
//! `1.0.0.beta.3`), numbers of any size. Build metadata does not count.

use crate::key::{Key, digits};

/// In the list of numbers, and after it.
const END: u8 = 0;
const NUMBER: u8 = 1;
/// After the numbers.
const PRE_RELEASE: u8 = 0;
const RELEASE: u8 = 1;
/// In the list of pre-release identifiers: numbers are below words.
const IDENTIFIER_NUMBER: u8 = 1;
const IDENTIFIER_WORD: u8 = 2;

pub(crate) fn key(text: &str) -> Result<Key, &'static str> {
    let text = text.trim_start_matches(['v', 'V', '=']);
    let (text, _build) = text.split_once('+').unwrap_or((text, ""));
    let (numbers, rest) = numbers(text);
    if numbers.is_empty() {
        return Err("it does not start with a number");
    }
    let mut key = Key::default();
    for number in numbers {
        key.mark(NUMBER);
        key.number(number);
    }
    key.mark(END);
    if rest.is_empty() {
        key.mark(RELEASE);
    } else {
        key.mark(PRE_RELEASE);
        identifiers(&mut key, rest.strip_prefix(['-', '.']).unwrap_or(rest))?;
    }
    Ok(key)
}

/// The leading numbers without zeros at their end (`1.0` is `1`), and what follows.
fn numbers(text: &str) -> (Vec<&str>, &str) {
    let (mut numbers, mut rest) = (Vec::new(), text);
    loop {
        let (number, after) =
            digits(if numbers.is_empty() { rest } else { rest.strip_prefix('.').unwrap_or("") });
        if number.is_empty() {
            break;
        }
        numbers.push(number);
        rest = after;
    }
    let significant = numbers.iter().rposition(|n| n.bytes().any(|b| b != b'0')).map_or(1, |last| last + 1);
    numbers.truncate(significant);
    (numbers, rest)
}

/// Identifiers between dots, as pre-releases are ordered (§11.4).
pub(crate) fn identifiers(key: &mut Key, identifiers: &str) -> Result<(), &'static str> {
    for identifier in identifiers.split('.') {
        if identifier.is_empty() {
            return Err("a part of its pre-release is empty");
        }
        if !identifier.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err("its pre-release has a character other than letters, digits and '-'");
        }
        if digits(identifier).1.is_empty() {
            key.mark(IDENTIFIER_NUMBER);
            key.number(identifier);
        } else {
            key.mark(IDENTIFIER_WORD);
            key.text(identifier);
            key.mark(END);
        }
    }
    key.mark(END);
    Ok(())
}
