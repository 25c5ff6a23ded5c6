//! apk-tools' order (apk-package(5), "pkgver"): `number{.number}…{letter}{_suffix{number}}…{~hash}{-rN}`.
//!
//! What does not have that form is still read, as `apk version` does: an empty number is zero, a number
//! may follow the letter, and a rest that means nothing is below its absence. Commit hashes do not count.

use crate::key::{Key, digits, refuse_blanks};

/// In the list of numbers, and after it. A number with a leading zero is below those without.
const END: u8 = 0;
const LEADING_ZERO: u8 = 1;
const NUMBER: u8 = 2;
/// The suffixes in their order; [`NO_SUFFIX`] stands between those before and those after a release.
const SUFFIXES: [(&str, u8); 9] = [
    ("alpha", 1),
    ("beta", 2),
    ("pre", 3),
    ("rc", 4),
    ("cvs", 6),
    ("svn", 7),
    ("git", 8),
    ("hg", 9),
    ("p", 10),
];
const NO_SUFFIX: u8 = 5;
/// How it ends.
const STRAY_REST: u8 = 0;
const NO_REVISION: u8 = 1;
const REVISION: u8 = 2;

pub(crate) fn key(text: &str) -> Result<Key, &'static str> {
    refuse_blanks(text)?;
    let mut key = Key::default();
    let rest = numbers(&mut key, text);
    let rest = letter(&mut key, rest);
    let rest = suffixes(&mut key, rest);
    revision(&mut key, hash(rest));
    Ok(key)
}

/// All but the first number compare as decimal fractions where one has a leading zero: `1.06` is below `1.1`.
fn numbers<'a>(key: &mut Key, text: &'a str) -> &'a str {
    let (first, mut rest) = digits(text);
    key.number(first);
    while let Some(after) = rest.strip_prefix('.') {
        let (number, after) = digits(after);
        rest = after;
        if number.starts_with('0') {
            key.mark(LEADING_ZERO);
            key.text(number);
            key.mark(END);
        } else {
            key.mark(NUMBER);
            key.number(number);
        }
    }
    key.mark(END);
    rest
}

fn letter<'a>(key: &mut Key, text: &'a str) -> &'a str {
    let Some(letter) = text.bytes().next().filter(u8::is_ascii_lowercase) else {
        key.mark(END);
        return text;
    };
    key.mark(letter);
    let (number, rest) = digits(&text[1..]);
    key.number(number);
    rest
}

fn suffixes<'a>(key: &mut Key, mut text: &'a str) -> &'a str {
    let cut = |text: &'a str| {
        let word = text.strip_prefix('_')?;
        SUFFIXES.iter().find_map(|(name, rank)| Some((*rank, word.strip_prefix(name)?)))
    };
    while let Some((rank, rest)) = cut(text) {
        let (number, rest) = digits(rest);
        key.mark(rank);
        key.number(number);
        text = rest;
    }
    key.mark(NO_SUFFIX);
    text
}

fn hash(text: &str) -> &str {
    let hex = |c: char| matches!(c, '0'..='9' | 'a'..='f');
    text.strip_prefix('~').map_or(text, |hash| hash.trim_start_matches(hex))
}

fn revision(key: &mut Key, text: &str) {
    let revision = text.strip_prefix("-r");
    let (number, rest) = digits(revision.unwrap_or(""));
    key.number(number);
    match revision {
        Some(_) if rest.is_empty() => key.mark(REVISION),
        // What follows a revision is not looked at any more.
        Some(_) => key.mark(STRAY_REST),
        None if text.is_empty() => key.mark(NO_REVISION),
        None => {
            key.mark(STRAY_REST);
            key.text(text);
        }
    }
}
