//! dpkg's order (deb-version(7), "Sorting algorithm"): epoch, then upstream version, then revision.
//!
//! Own code, as a key is what is wanted here, and because `debversion` does not take a missing
//! number for zero as dpkg does (`1.0a` and `1.0a0` are equal). The property tests hold the two together.

use crate::key::{Key, digits};

/// The order of what is not a digit: `~`, the end of the part, letters, everything else.
const TILDE: u8 = 1;
const END: u8 = 2;
const BEYOND_LETTERS: u8 = 0x80;

pub(crate) fn key(text: &str) -> Result<Key, &'static str> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b".+-~:_".contains(&b);
    if !text.bytes().all(allowed) {
        return Err("it has a character other than letters, digits, '.', '+', '-', '~', ':' and '_'");
    }
    let (epoch, rest) = text.split_once(':').unwrap_or(("0", text));
    if epoch.is_empty() || !digits(epoch).1.is_empty() {
        return Err("its epoch is not a number");
    }
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, "0"));
    if upstream.is_empty() {
        return Err("it has no upstream version");
    }
    let mut key = Key::default();
    key.number(epoch);
    part(&mut key, upstream);
    part(&mut key, revision);
    Ok(key)
}

/// Pairs of a word without digits, perhaps empty in the first pair, and a number, perhaps missing.
fn part(key: &mut Key, mut text: &str) {
    loop {
        let (word, rest) = text.split_at(text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len()));
        word.bytes().for_each(|b| key.mark(rank(b)));
        key.mark(END);
        let (number, rest) = digits(rest);
        key.number(number);
        text = rest;
        if text.is_empty() {
            return key.mark(END);
        }
    }
}

const fn rank(b: u8) -> u8 {
    match b {
        b'~' => TILDE,
        b if b.is_ascii_alphabetic() => b,
        b => b | BEYOND_LETTERS,
    }
}
