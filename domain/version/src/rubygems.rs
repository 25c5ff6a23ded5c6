//! The order of `Gem::Version` (`<=>` and `canonical_segments`): numbers and words, a word below any number,
//! what is missing is 0, and a hyphen begins a pre-release.
//!
//! So a list goes on with zeros for ever. In a key a run of zeros is written together with what ends it:
//! it says whether the list is then below the one that ends here (a word) or above (a number).

use crate::key::{Key, is_number, is_zero, runs};

const WORD: u8 = 1;
const END: u8 = 2;
const NUMBER: u8 = 3;
const WORD_END: u8 = 0;

pub(crate) fn key(text: &str) -> Result<Key, &'static str> {
    if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-') {
        return Err("it has a character other than letters, digits, '.' and '-'");
    }
    if !is_number(text) {
        return Err("it does not start with a number");
    }
    let mut key = Key::default();
    let (mut zeros, mut in_numbers) = (0_u8, true);
    let text = text.replace('-', ".pre.");
    for segment in text.split('.').flat_map(runs) {
        if !is_number(segment) {
            // Zeros at the end of the numbers do not count, those between words do.
            let skipped = if in_numbers { 0 } else { zeros };
            in_numbers = false;
            key.mark(WORD);
            key.mark(skipped);
            key.text(segment);
            key.mark(WORD_END);
        } else if is_zero(segment) {
            zeros = zeros.saturating_add(1);
            continue;
        } else {
            key.mark(NUMBER);
            key.mark(u8::MAX - zeros);
            key.number(segment);
        }
        zeros = 0;
    }
    key.mark(END);
    Ok(key)
}
