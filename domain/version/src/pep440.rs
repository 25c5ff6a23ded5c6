//! PEP 440, "Summary of permitted suffixes and relative ordering"; parsed by `pep440_rs`.
//!
//! What PEP 440 does not allow is still in package metadata and advisories (`2004d`, `0.3m1`). As in
//! setuptools of that time such versions are below all others, in an order of their own.

use std::str::FromStr as _;

use pep440_rs::{LocalSegment, PrereleaseKind, Version};

use crate::key::{Key, digits};

const LEGACY: u8 = 0;
const PEP440: u8 = 1;
/// The end of a list or word, below all that could go on instead.
const END: u8 = 0;
const MORE: u8 = 1;
/// Pre-releases: a development release alone is below them, a release above.
const DEV_ONLY: u8 = 0;
const ALPHA: u8 = 1;
const BETA: u8 = 2;
const CANDIDATE: u8 = 3;
const NO_PRE_RELEASE: u8 = 4;
/// Local labels: words are below numbers.
const LOCAL_WORD: u8 = 1;
const LOCAL_NUMBER: u8 = 2;

pub(crate) fn key(text: &str) -> Result<Key, &'static str> {
    match Version::from_str(text) {
        Ok(version) => Ok(modern(&version)),
        Err(_) if text.chars().any(|c| c.is_whitespace() || c.is_control()) => {
            Err("it has white space or control characters")
        }
        Err(_) => Ok(legacy(&text.to_lowercase())),
    }
}

/// Whether the first key is the second one and a local label; nothing but a label can follow a whole key.
pub(crate) fn is_local_build(key: &[u8], public: &[u8]) -> bool {
    public.first() == Some(&PEP440) && key.len() > public.len() && key.starts_with(public)
}

fn modern(version: &Version) -> Key {
    let mut key = Key::default();
    key.mark(PEP440);
    key.number(&version.epoch().to_string());
    let release = version.release();
    let significant = release.iter().rposition(|n| *n != 0).map_or(0, |last| last + 1);
    for number in &release[..significant] {
        key.mark(MORE);
        key.number(&number.to_string());
    }
    key.mark(END);
    match version.pre() {
        Some(pre) => {
            key.mark(match pre.kind {
                PrereleaseKind::Alpha => ALPHA,
                PrereleaseKind::Beta => BETA,
                PrereleaseKind::Rc => CANDIDATE,
            });
            key.number(&pre.number.to_string());
        }
        None if version.post().is_none() && version.dev().is_some() => key.mark(DEV_ONLY),
        None => key.mark(NO_PRE_RELEASE),
    }
    // A post-release comes after what it follows, a development release before what it leads to.
    optional(&mut key, version.post(), [MORE, END]);
    optional(&mut key, version.dev(), [END, MORE]);
    local(&mut key, version.local());
    key
}

fn optional(key: &mut Key, number: Option<u64>, [some, none]: [u8; 2]) {
    match number {
        Some(number) => {
            key.mark(some);
            key.number(&number.to_string());
        }
        None => key.mark(none),
    }
}

/// Nothing where there is no label, so that the public version's key begins the local one's.
fn local(key: &mut Key, segments: &[LocalSegment]) {
    for segment in segments {
        match segment {
            LocalSegment::String(word) => {
                key.mark(LOCAL_WORD);
                key.text(word);
                key.mark(END);
            }
            LocalSegment::Number(number) => {
                key.mark(LOCAL_NUMBER);
                key.number(&number.to_string());
            }
        }
    }
    if !segments.is_empty() {
        key.mark(END);
    }
}

/// The order of setuptools before PEP 440: numbers, padded to eight digits, below words; words that
/// mean a pre-release below the end of the version; zeros before such a word, and hyphens, do not count.
fn legacy(text: &str) -> Key {
    const FINAL: &str = "*final";
    let mut parts: Vec<String> = Vec::new();
    for part in legacy_parts(text).chain([FINAL.to_owned()]) {
        if part.starts_with('*') {
            while part.as_str() < FINAL && parts.last().is_some_and(|last| last == "*final-") {
                parts.pop();
            }
            while parts.last().is_some_and(|last| last == "00000000") {
                parts.pop();
            }
        }
        parts.push(part);
    }
    let mut key = Key::default();
    key.mark(LEGACY);
    for part in parts {
        key.text(&part);
        key.mark(END);
    }
    key
}

fn legacy_parts(mut text: &str) -> impl Iterator<Item = String> {
    std::iter::from_fn(move || {
        loop {
            let first = text.chars().next()?;
            let (part, rest) = legacy_part(text, first);
            text = rest;
            match part {
                "." => {}
                "-" => return Some("*final-".to_owned()),
                "pre" | "preview" | "rc" => return Some("*c".to_owned()),
                "dev" => return Some("*@".to_owned()),
                number if first.is_ascii_digit() => return Some(format!("{number:0>8}")),
                word => return Some(format!("*{word}")),
            }
        }
    })
}

/// A run of digits, a run of letters, one dot or hyphen, or a run of anything else.
fn legacy_part(text: &str, first: char) -> (&str, &str) {
    let separator = |c| matches!(c, '.' | '-');
    let end = match first {
        '0'..='9' => return digits(text),
        'a'..='z' => text.find(|c: char| !c.is_ascii_lowercase()),
        c if separator(c) => Some(1),
        _ => text.find(|c: char| c.is_ascii_digit() || c.is_ascii_lowercase() || separator(c)),
    };
    text.split_at(end.unwrap_or(text.len()))
}
