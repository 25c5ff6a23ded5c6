//! The bytes of a file that are held: all of them, or some parts.

use std::ops::Range;

/// Parts of a file, in their order.
#[derive(Debug, Default)]
pub(crate) struct Held {
    size: u64,
    parts: Vec<(u64, Vec<u8>)>,
}

/// Why bytes cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unread {
    /// The file has no such bytes.
    Absent,
    /// The file is too large for all of it to be held.
    NotHeld,
}

impl Held {
    /// Parts of a file of this size, each with where it begins.
    pub(crate) const fn new(size: u64, parts: Vec<(u64, Vec<u8>)>) -> Self {
        Self { size, parts }
    }

    /// A whole file.
    pub(crate) fn whole(bytes: Vec<u8>) -> Self {
        Self { size: bytes.len() as u64, parts: vec![(0, bytes); 1] }
    }

    /// These bytes.
    pub(crate) fn get(&self, range: Range<u64>) -> Result<&[u8], Unread> {
        if range.end > self.size || range.start > range.end {
            return Err(Unread::Absent);
        }
        let within = |(start, bytes): &'_ (u64, Vec<u8>)| {
            let from = usize::try_from(range.start.checked_sub(*start)?).ok()?;
            let to = usize::try_from(range.end.checked_sub(*start)?).ok()?;
            (to <= bytes.len()).then_some((from, to))
        };
        let part = self.parts.iter().find_map(|part| Some((part, within(part)?)));
        part.and_then(|((_, bytes), (from, to))| bytes.get(from..to)).ok_or(Unread::NotHeld)
    }

    /// What is held from the start of the range: up to its end, or to where the part that is held ends.
    pub(crate) fn stretch(&self, range: Range<u64>) -> &[u8] {
        let within = |(start, bytes): &'_ (u64, Vec<u8>)| {
            let end = start.saturating_add(bytes.len() as u64);
            (*start <= range.start && range.start < end).then(|| end.min(range.end).max(range.start))
        };
        let end = self.parts.iter().find_map(within).unwrap_or(range.start);
        self.get(range.start..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_between_the_parts_are_not_held_and_those_after_the_end_are_none() {
        let held = Held::new(10, vec![(0, vec![0, 1, 2]), (6, vec![6, 7, 8, 9])]);
        assert_eq!(held.get(1..3), Ok(&[1, 2][..]));
        assert_eq!(held.get(6..10), Ok(&[6, 7, 8, 9][..]));
        for gap in [2..4, 3..5, 5..7] {
            assert_eq!(held.get(gap), Err(Unread::NotHeld));
        }
        for outside in [9..11, 20..30, u64::MAX - 1..u64::MAX] {
            assert_eq!(held.get(outside), Err(Unread::Absent));
        }
        assert_eq!(held.stretch(1..9), [1, 2]);
        assert_eq!(held.stretch(7..u64::MAX), [7, 8, 9]);
        assert!(held.stretch(4..9).is_empty());
    }
}
