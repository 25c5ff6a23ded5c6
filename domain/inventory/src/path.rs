//! Paths inside an image: bytes, without a leading slash, and never a way out of the root.

/// The one spelling of a path as an archive may write it: `./a`, `/a`, `a//b/.`, `../a` and `b/../a`
/// are all cut down, and `..` stops at the root as it does for a runtime (containerd's `fs.RootPath`).
pub(crate) fn normalise(raw: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(raw.len());
    for component in raw.split(|&b| b == b'/') {
        match component {
            b"" | b"." => {}
            b".." => truncate_to_parent(&mut clean),
            name => push(&mut clean, name),
        }
    }
    clean
}

/// Appends a component.
pub(crate) fn push(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}

/// Takes the last component off; the root stays the root.
pub(crate) fn truncate_to_parent(path: &mut Vec<u8>) {
    let end = path.iter().rposition(|&b| b == b'/').unwrap_or(0);
    path.truncate(end);
}

/// Parent (empty for the root) and last component.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&b| b == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// The components of a clean path; none for the root.
pub(crate) fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&b| b == b'/').filter(|name| !name.is_empty())
}

/// What follows `dir` in `path`: `""` when they are the same, `"/x"` when it lies below.
pub(crate) fn below<'a>(path: &'a [u8], dir: &[u8]) -> Option<&'a [u8]> {
    if dir.is_empty() {
        return None; // The root: everything lies below it, and nobody has a use for that answer.
    }
    path.strip_prefix(dir).filter(|rest| rest.is_empty() || rest[0] == b'/')
}

/// What makes a reader see other text than there is: control characters, and those that turn its direction or end a
/// line (Unicode Technical Report 36, "Bidirectional Text Spoofing").
pub(crate) fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// For people and for documents: what misleads, and bytes that are not UTF-8, as `\xNN`.
pub(crate) fn printable(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        for c in chunk.valid().chars() {
            if misleads(c) { escape(&mut text, c.encode_utf8(&mut [0; 4]).as_bytes()) } else { text.push(c) }
        }
        escape(&mut text, chunk.invalid());
    }
    text
}

fn escape(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        text.push_str("\\x");
        text.push_str(&hex::encode([*byte]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_path_is_one_path() {
        for raw in ["a/b", "/a/b", "./a/b", "a//b/", "a/./b/.", "x/../a/b", "../../a/b", "a/c/../b"] {
            assert_eq!(normalise(raw.as_bytes()), b"a/b", "{raw}");
        }
        for root in ["", ".", "./", "/", "..", "a/.."] {
            assert_eq!(normalise(root.as_bytes()), b"", "{root}");
        }
        assert_eq!(normalise(b"a/.../b"), b"a/.../b");
    }

    #[test]
    fn paths_come_apart_at_components_only() {
        assert_eq!(split(b"a/b/c"), (&b"a/b"[..], &b"c"[..]));
        assert_eq!(split(b"a"), (&b""[..], &b"a"[..]));
        assert_eq!(below(b"a/b/c", b"a/b"), Some(&b"/c"[..]));
        assert_eq!(below(b"a/b", b"a/b"), Some(&b""[..]));
        assert_eq!(below(b"a/bc", b"a/b"), None);
        assert_eq!(components(b"a/b").count(), 2);
        assert_eq!(components(b"").count(), 0);
    }

    #[test]
    fn what_a_terminal_could_misread_is_escaped() {
        assert_eq!(printable("é/\u{1b}[2J\n".as_bytes()), "é/\\x1b[2J\\x0a");
        assert_eq!(printable(b"a\xff\xfe"), "a\\xff\\xfe");
        assert_eq!(printable("gpj.\u{202e}exe".as_bytes()), "gpj.\\xe2\\x80\\xaeexe");
    }
}
