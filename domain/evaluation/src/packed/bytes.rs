//! Numbers and texts as bytes, and back within bounds.

use super::{PackedError, limits, malformed};

/// Appends a number, seven bits in each byte, the lowest first.
pub(super) fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = (number & 0x7f).to_le_bytes()[0];
        number >>= 7;
        if number == 0 {
            return bytes.push(low);
        }
        bytes.push(low | 0x80);
    }
}

/// Appends how many there are.
pub(super) fn put_count(bytes: &mut Vec<u8>, count: usize) {
    put_number(bytes, count as u64);
}

/// Appends bytes behind their length.
pub(super) fn put_bytes(bytes: &mut Vec<u8>, own: &[u8]) {
    put_count(bytes, own.len());
    bytes.extend_from_slice(own);
}

/// Appends a text.
pub(super) fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_bytes(bytes, text.as_bytes());
}

/// A place in bytes of which the name is told where they are wrong.
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Refuses what stands behind the last that was expected.
    pub(super) fn end(&self) -> Result<(), PackedError> {
        if self.is_at_end() { Ok(()) } else { Err(self.wrong("more bytes than expected")) }
    }

    pub(super) fn wrong(&self, why: &'static str) -> PackedError {
        malformed(self.what, why)
    }

    pub(super) fn byte(&mut self) -> Result<u8, PackedError> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], PackedError> {
        let (first, rest) = self.rest.split_first_chunk().ok_or_else(|| self.wrong("it ends too early"))?;
        self.rest = rest;
        Ok(*first)
    }

    /// A number in its shortest form.
    pub(super) fn number(&mut self) -> Result<u64, PackedError> {
        let mut number = 0_u64;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let shortest = byte != 0 || shift == 0;
                return if shortest {
                    Ok(number)
                } else {
                    Err(self.wrong("a number is not in its shortest form"))
                };
            }
        }
        Err(self.wrong("a number is too large"))
    }

    /// How many of something follow, each of at least one byte.
    pub(super) fn count(&mut self) -> Result<usize, PackedError> {
        let count = usize::try_from(self.number()?).ok().filter(|count| *count <= self.rest.len());
        count.ok_or_else(|| self.wrong("it announces more than follows"))
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], PackedError> {
        let count = self.count()?;
        let (own, rest) = self.rest.split_at(count);
        self.rest = rest;
        Ok(own)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, PackedError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| self.wrong("a text is not UTF-8"))
    }
}

/// What may still be held in memory for one image.
pub(super) struct Budget(pub(super) usize);

impl Default for Budget {
    fn default() -> Self {
        Self(limits::EXCERPT_BYTES)
    }
}

impl Budget {
    /// Takes note of something that is to be held.
    pub(super) fn hold(&mut self, bytes: usize) -> Result<(), PackedError> {
        /// What the smallest thing costs in memory.
        const LEAST: usize = 64;
        let left = self.0.checked_sub(bytes.saturating_add(LEAST));
        self.0 = left.ok_or_else(|| malformed("what is said of the image", "it is more than can be held"))?;
        Ok(())
    }
}
