//! Composer's order, which is PHP's `version_compare`: numbers, and words of which PHP knows some.
//!
//! As in PHP, and unlike after Composer's own normalisation, `1.0` is below `1.0.0`: the public tables say so.
//! `#` stands for any number in PHP, which no order can say (`1 = # = 2`): it is read as 1.

use crate::key::{Key, is_number, refuse_blanks, runs};

/// What a version may go on with, lowest first; a word is known by how it begins, others are below all.
const OTHER_WORD: u8 = 0;
const WORDS: [(&str, u8); 6] = [("dev", 1), ("a", 2), ("b", 3), ("rc", 4), ("RC", 4), ("p", PATCH_LEVEL)];
const END: u8 = 5;
const NUMBER: u8 = 6;
const PATCH_LEVEL: u8 = 7;

pub(crate) fn key(text: &str) -> Result<Key, &'static str> {
    refuse_blanks(text)?;
    let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let mut key = Key::default();
    for part in text.split(['.', '-', '_', '+']).flat_map(runs) {
        if part == "#" || is_number(part) {
            key.mark(NUMBER);
            key.number(if part == "#" { "1" } else { part });
        } else {
            let known = WORDS.iter().find(|(word, _)| part.starts_with(word));
            key.mark(known.map_or(OTHER_WORD, |(_, rank)| *rank));
        }
    }
    key.mark(END);
    Ok(key)
}
