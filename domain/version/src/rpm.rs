//! rpm's order (rpm-version(7); rpmvercmp): epoch, version, release, each in runs of digits and of letters.
//!
//! A missing epoch is 0, a missing release below any. Epochs that are no numbers compare by the same rules.

use crate::key::{Key, digits, refuse_blanks};

/// What a part may go on with, lowest first: `~` is below its end, `^` just above, letters below digits.
const TILDE: u8 = 1;
const END: u8 = 2;
const CARET: u8 = 3;
const LETTERS: u8 = 4;
const DIGITS: u8 = 5;
/// Whether there is a release; and the end of letters.
const NONE: u8 = 0;
const SOME: u8 = 1;

pub(crate) fn key(text: &str) -> Result<Key, &'static str> {
    refuse_blanks(text)?;
    let (epoch, rest) = text.split_once(':').unwrap_or(("", text));
    let mut key = Key::default();
    part(&mut key, if epoch.is_empty() { "0" } else { epoch });
    match rest.split_once('-') {
        Some((version, release)) => {
            part(&mut key, version);
            key.mark(SOME);
            part(&mut key, release);
        }
        None => {
            part(&mut key, rest);
            key.mark(NONE);
        }
    }
    Ok(key)
}

/// Everything else only separates.
fn part(key: &mut Key, mut text: &str) {
    while let Some(first) = text.chars().next() {
        text = match first {
            '~' => {
                key.mark(TILDE);
                &text[1..]
            }
            '^' => {
                key.mark(CARET);
                &text[1..]
            }
            '0'..='9' => {
                let (number, rest) = digits(text);
                key.mark(DIGITS);
                key.number(number);
                rest
            }
            'a'..='z' | 'A'..='Z' => {
                let end = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len());
                let (word, rest) = text.split_at(end);
                key.mark(LETTERS);
                key.text(word);
                key.mark(NONE);
                rest
            }
            _ => &text[first.len_utf8()..],
        };
    }
    key.mark(END);
}
