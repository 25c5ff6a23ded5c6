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

    /// A list of numbers, a shorter one below each that it begins.
    pub(crate) fn numbers<'a>(&mut self, parts: impl Iterator<Item = &'a str>) -> Result<(), &'static str> {
        const END: u8 = 0;
        const NUMBER: u8 = 1;
        for part in parts {
            if part.is_empty() || !digits(part).1.is_empty() {
                return Err("a part of it is not a number");
            }
            self.mark(NUMBER);
            self.number(part);
        }
        self.mark(END);
        Ok(())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Cuts the digits off the front of `text`: them, and the rest.
pub(crate) fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// The runs of digits and the runs of anything else.
pub(crate) fn runs(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (number, rest) = digits(text);
        let word = text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len());
        let (run, rest) = if number.is_empty() { text.split_at(word) } else { (number, rest) };
        text = rest;
        (!run.is_empty()).then_some(run)
    })
}

/// Whether a run is one of digits.
pub(crate) fn is_number(run: &str) -> bool {
    run.starts_with(|c: char| c.is_ascii_digit())
}

/// Whether a run is a zero, in one digit or many.
pub(crate) fn is_zero(run: &str) -> bool {
    is_number(run) && run.bytes().all(|b| b == b'0')
}

/// For schemes that read almost anything: no version has white space or control characters in it.
pub(crate) fn refuse_blanks(text: &str) -> Result<(), &'static str> {
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("it has white space or control characters");
    }
    Ok(())
}
