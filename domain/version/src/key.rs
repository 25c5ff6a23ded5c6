//! The bytes that a version becomes: compared as they stand, they are in the order of the versions.

/// A key while it is written.
#[derive(Debug, Default)]
pub(crate) struct Key(Vec<u8>);

impl Key {
    /// A mark that decides before everything after it.
    pub(crate) fn mark(&mut self, mark: u8) {
        self.0.push(mark);
    }

    /// Text in the order of its bytes. The caller ends it by a mark below each of them.
    pub(crate) fn text(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    /// A number of any size in its own order: how many digits, then the digits. Nothing is 0.
    pub(crate) fn number(&mut self, digits: &str) {
        let digits = digits.trim_start_matches('0');
        self.0.push(u8::try_from(digits.len()).expect("a version has at most 255 bytes"));
        self.text(digits);
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Cuts the digits off the front of `text`: them, and the rest.
pub(crate) fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}
