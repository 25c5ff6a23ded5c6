//! Maven's order ("POM Reference", "Version Order Specification"; `ComparableVersion`).
//!
//! Tokens between dots, hyphens, and digits and letters, of which the last two count as a hyphen. What
//! means nothing (`0`, `final`, `ga`, `release`) is dropped at the end and before a hyphen. Elsewhere such
//! zeros are written together with what follows them, as only that says whether the version is then
//! below the one that ends before the zeros, or above.
//!
//! The specification is not transitive: `1.0.rc` is below `1`, that below `1-x`, and that below `1.0.rc`,
//! as a hyphen is below a dot. The last of these is given up here, as a release candidate has to be below
//! its release and a patched build above.

use crate::key::{Key, is_number, is_zero, refuse_blanks, runs};

/// What a version may go on with, lowest first. Qualifiers are below the end or above.
const BELOW_AFTER_DOT: u8 = 1;
const BELOW_AFTER_HYPHEN: u8 = 2;
const BELOW_AFTER_ZEROS: u8 = 3;
const END: u8 = 4;
const ABOVE_AFTER_DOT: u8 = 5;
const ABOVE_AFTER_HYPHEN: u8 = 6;
const HYPHEN_NUMBER: u8 = 7;
const ABOVE_AFTER_ZEROS: u8 = 8;
const DOT_NUMBER: u8 = 9;

/// The qualifiers that have a meaning; all others are above, in their own order.
const BELOW: [(&str, u8); 5] = [("alpha", 1), ("beta", 2), ("milestone", 3), ("rc", 4), ("snapshot", 5)];
const SERVICE_PACK: u8 = 6;
const OTHER: u8 = 7;
const OTHER_END: u8 = 0;

#[derive(Clone, Copy)]
struct Token<'a> {
    after_hyphen: bool,
    /// Empty where a qualifier means the release.
    text: &'a str,
}

impl Token<'_> {
    fn is_null(&self) -> bool {
        self.text.is_empty() || is_zero(self.text)
    }
}

pub(crate) fn key(text: &str) -> Result<Key, &'static str> {
    refuse_blanks(text)?;
    let text = text.to_lowercase();
    let mut key = Key::default();
    let mut zeros = 0_u8;
    for token in trimmed(tokens(&text)) {
        if !token.after_hyphen && token.is_null() {
            zeros = zeros.saturating_add(1);
            continue;
        }
        if !is_number(token.text) {
            qualifier(&mut key, token, zeros);
        } else if token.after_hyphen {
            key.mark(HYPHEN_NUMBER);
            key.number(token.text);
        } else {
            key.mark(DOT_NUMBER);
            key.mark(u8::MAX - zeros);
            key.number(token.text);
        }
        zeros = 0;
    }
    key.mark(END);
    Ok(key)
}

fn qualifier(key: &mut Key, token: Token<'_>, zeros: u8) {
    let below = BELOW.iter().find(|(name, _)| *name == token.text);
    key.mark(match (below.is_some(), token.after_hyphen, zeros) {
        (true, true, _) => BELOW_AFTER_HYPHEN,
        (true, false, 0) => BELOW_AFTER_DOT,
        (true, false, _) => BELOW_AFTER_ZEROS,
        (false, true, _) => ABOVE_AFTER_HYPHEN,
        (false, false, 0) => ABOVE_AFTER_DOT,
        (false, false, _) => ABOVE_AFTER_ZEROS,
    });
    key.mark(zeros);
    match below {
        Some((_, rank)) => key.mark(*rank),
        None if token.text == "sp" => key.mark(SERVICE_PACK),
        None => {
            key.mark(OTHER);
            key.text(token.text);
            key.mark(OTHER_END);
        }
    }
}

/// Without what means nothing at the end and before a hyphen; so no zeros are left before a hyphen.
fn trimmed(tokens: Vec<Token<'_>>) -> Vec<Token<'_>> {
    let mut kept: Vec<Token<'_>> = Vec::new();
    let drop_nulls = |kept: &mut Vec<Token<'_>>| while kept.pop_if(|token| token.is_null()).is_some() {};
    for token in tokens {
        if token.after_hyphen {
            drop_nulls(&mut kept);
        }
        kept.push(token);
    }
    drop_nulls(&mut kept);
    kept
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut after_hyphen = false;
    for part in text.split_inclusive(['.', '-']) {
        let word = part.trim_end_matches(['.', '-']);
        let mut runs = runs(word).peekable();
        if runs.peek().is_none() {
            tokens.push(Token { after_hyphen, text: "0" });
        }
        while let Some(run) = runs.next() {
            tokens.push(Token { after_hyphen, text: meaning(run, runs.peek().is_some()) });
            after_hyphen = true;
        }
        after_hyphen = part.ends_with('-');
    }
    tokens
}

/// The word that an alias stands for; some do only directly before a number.
fn meaning(word: &str, before_number: bool) -> &str {
    match word {
        "cr" => "rc",
        "ga" | "final" | "release" => "",
        "a" if before_number => "alpha",
        "b" if before_number => "beta",
        "m" if before_number => "milestone",
        _ => word,
    }
}
