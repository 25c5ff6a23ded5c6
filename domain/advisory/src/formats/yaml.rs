//! A YAML document as the JSON that it means, so that whoever reads JSON reads it too.
//!
//! Databases in YAML are lists and maps of texts. So every scalar but `null` is a text, as it is written: a version `1.10`
//! stays one. Anchors and aliases, by which a small document becomes a large one, are refused, and so are several
//! documents in one, and keys that are no texts. Depth and size are bounded while the document is read.

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::Unreadable;

/// Lists and maps within each other.
const DEPTH_MAX: usize = 16;
/// Bytes of a document; those that there are have less than one MiB.
const DOCUMENT_BYTES: usize = 32 << 20;
/// Of what was wrong, so much is told.
const WORDS: usize = 200;

/// Whether a document is YAML rather than JSON, by how it begins.
pub(super) fn is_yaml(document: &[u8]) -> bool {
    let document = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document).trim_ascii_start();
    document.first().is_some_and(|byte| byte.is_ascii_alphabetic() || b"-#%'".contains(byte))
}

/// The same as JSON.
pub(super) fn to_json(document: &[u8]) -> Result<String, Unreadable> {
    if document.len() > DOCUMENT_BYTES {
        return Err(Unreadable::TooMuch { what: "bytes of YAML", limit: DOCUMENT_BYTES });
    }
    let text = std::str::from_utf8(document).map_err(|_| not_yaml("it is not UTF-8"))?;
    let mut json = Json::default();
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|error| not_yaml(&error.to_string()))?;
        json.take(event).map_err(not_yaml)?;
    }
    if json.documents == 1 { Ok(json.text) } else { Err(not_yaml("it holds nothing")) }
}

fn not_yaml(why: &str) -> Unreadable {
    Unreadable::NotYaml(why.chars().take(WORDS).collect())
}

/// Where the next value goes.
enum Level {
    List { is_empty: bool },
    Map { is_empty: bool, wants_key: bool },
}

#[derive(Default)]
struct Json {
    text: String,
    levels: Vec<Level>,
    documents: usize,
}

impl Json {
    fn take(&mut self, event: Event<'_>) -> Result<(), &'static str> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            Event::DocumentStart(_) if self.documents > 0 => return Err("it holds several documents"),
            Event::DocumentStart(_) => self.documents += 1,
            Event::Alias(_) => return Err(ALIASES),
            Event::Scalar(_, _, anchor, _)
            | Event::SequenceStart(anchor, _)
            | Event::MappingStart(anchor, _)
                if anchor != 0 =>
            {
                return Err(ALIASES);
            }
            Event::Scalar(text, style, ..) => self.scalar(&text, style == ScalarStyle::Plain),
            Event::SequenceStart(..) => self.open('[', Level::List { is_empty: true })?,
            Event::MappingStart(..) => self.open('{', Level::Map { is_empty: true, wants_key: true })?,
            Event::SequenceEnd => self.close(']'),
            Event::MappingEnd => self.close('}'),
        }
        Ok(())
    }

    /// What stands before the next value or key. Whether it is a key.
    fn before(&mut self) -> bool {
        match self.levels.last_mut() {
            Some(Level::Map { is_empty, wants_key: wants_key @ true }) => {
                if !std::mem::take(is_empty) {
                    self.text.push(',');
                }
                *wants_key = false;
                true
            }
            Some(Level::Map { wants_key, .. }) => {
                self.text.push(':');
                *wants_key = true;
                false
            }
            Some(Level::List { is_empty }) => {
                if !std::mem::take(is_empty) {
                    self.text.push(',');
                }
                false
            }
            None => false,
        }
    }

    fn scalar(&mut self, text: &str, is_plain: bool) {
        let is_key = self.before();
        if !is_key && is_plain && ["", "~", "null", "Null", "NULL"].contains(&text) {
            return self.text.push_str("null");
        }
        self.text.push_str(&serde_json::to_string(text).expect("a text is JSON"));
    }

    fn open(&mut self, bracket: char, level: Level) -> Result<(), &'static str> {
        if self.levels.len() == DEPTH_MAX {
            return Err("it is nested more deeply than is read");
        }
        if self.before() {
            return Err("a key is no text");
        }
        self.text.push(bracket);
        self.levels.push(level);
        Ok(())
    }

    fn close(&mut self, bracket: char) {
        self.levels.pop();
        self.text.push(bracket);
    }
}

const ALIASES: &str = "it has anchors or aliases, which are not followed";

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(yaml: &str, expected: Result<&str, &str>) {
        let read = to_json(yaml.as_bytes()).map_err(|error| error.to_string());
        match (read, expected) {
            (Ok(json), Ok(expected)) => assert_eq!(json, expected),
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
            (read, _) => panic!("{read:?} of {yaml}"),
        }
    }

    #[test]
    fn lists_and_maps_of_texts_are_read() {
        let yaml =
            "---\na: v3.5 # a comment\nb:\n  - x\n  - \"y \\\"z\\\"\"\nc: {d: 1.10, 'e': ~}\nf:\n0: []\n";
        check(yaml, Ok(r#"{"a":"v3.5","b":["x","y \"z\""],"c":{"d":"1.10","e":null},"f":null,"0":[]}"#));
        check("'~'", Ok(r#""~""#));
        check("null: 1", Ok(r#"{"null":"1"}"#));
    }

    #[test]
    fn what_makes_a_small_document_large_is_refused() {
        check("a: &x [1]\nb: *x", Err("anchors or aliases"));
        check("a: &x y", Err("anchors or aliases"));
        check(&"[".repeat(40), Err("nested more deeply"));
        check(
            &(0..40).map(|n| format!("{}a:\n", " ".repeat(n))).collect::<String>(),
            Err("nested more deeply"),
        );
        check("a: 1\n---\nb: 2\n", Err("several documents"));
        check("? [a]\n: b", Err("a key is no text"));
        check("", Err("it holds nothing"));
        check("a: [", Err("is not YAML"));
        check("a: \"\\xZZ\"", Err("is not YAML"));
        let long = vec![b'a'; DOCUMENT_BYTES + 1];
        assert!(matches!(to_json(&long), Err(Unreadable::TooMuch { .. })));
        assert!(to_json(b"a: \xff").unwrap_err().to_string().contains("UTF-8"));
    }

    #[test]
    fn a_document_is_yaml_by_how_it_begins() {
        for yaml in ["---\na: b", "# c\na: b", "\n distroversion: x", "\u{feff}a: b"] {
            assert!(is_yaml(yaml.as_bytes()), "{yaml}");
        }
        for json in ["{}", " {\"a\":1}", "[]", "\"a\"", "", "1"] {
            assert!(!is_yaml(json.as_bytes()), "{json}");
        }
    }
}
