//! The outline of a YAML file that a program wrote: one key a line, two spaces for each level.
//!
//! Package managers write their lock files in this one form, so their keys can be read without a reader of YAML,
//! in which a small file can make a very large tree. What has another form is passed over.

/// A line that has a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// How many spaces stand before it.
    pub(super) indent: usize,
    /// Without quotes.
    pub(super) key: &'a str,
    /// What follows on the same line, without quotes; empty if nothing does.
    pub(super) value: &'a str,
}

/// The lines that have a key.
pub(super) fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    text.lines().filter_map(line)
}

fn line(line: &str) -> Option<Line<'_>> {
    let text = line.trim_start_matches(' ');
    let indent = line.len() - text.len();
    if let Some(key) = text.strip_prefix("? ") {
        return Some(Line { indent, key: unquoted(key.trim_end()), value: "" }); // A long key stands alone …
    }
    let (indent, text) = match text.strip_prefix(": ") {
        Some(rest) => (indent + 2, rest), // … and what belongs to it begins on the next line.
        None => (indent, text),
    };
    let (key, value) = split(text)?;
    Some(Line { indent, key, value: unquoted(value.trim()) })
}

fn split(text: &str) -> Option<(&str, &str)> {
    let quoted = |quote: char| text.strip_prefix(quote).and_then(|rest| rest.split_once(quote));
    if let Some((key, rest)) = quoted('\'').or_else(|| quoted('"')) {
        return Some((key, rest.strip_prefix(':')?));
    }
    if text.starts_with(['#', '-']) {
        return None;
    }
    text.split_once(": ").or_else(|| Some((text.trim_end().strip_suffix(':')?, "")))
}

fn unquoted(text: &str) -> &str {
    let inside = |quote: char| text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    inside('\'').or_else(|| inside('"')).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_key_at_a_depth() {
        for (text, expected) in [
            ("packages:", Some((0, "packages", ""))),
            ("  'a@1':", Some((2, "a@1", ""))),
            ("  /a@1(b@2):", Some((2, "/a@1(b@2)", ""))),
            ("    version: \"1.0\"\r", Some((4, "version", "1.0"))),
            ("    url: https://x.example/a", Some((4, "url", "https://x.example/a"))),
            ("  ? /a/1", Some((2, "/a/1", ""))),
            ("  : dev: true", Some((4, "dev", "true"))),
            ("  # a: b", None),
            ("  - a: b", None),
            ("  'a", None),
            ("a", None),
            ("", None),
        ] {
            let found = line(text).map(|line| (line.indent, line.key, line.value));
            assert_eq!(found, expected, "{text:?}");
        }
    }
}
