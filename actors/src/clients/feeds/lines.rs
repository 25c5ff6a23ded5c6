//! Lines of a file, each bounded in length; a longer one is skipped without being held.

use std::io::{self, BufRead};

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Its bytes without the line feed.
    Whole(Vec<u8>),
    /// It was longer than the limit, and is behind us.
    TooLong,
}

/// The next line, or `None` at the end. At most `limit` bytes of it are kept.
pub(super) fn next(reader: &mut impl BufRead, limit: u64) -> io::Result<Option<Line>> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let (mut line, mut length, mut any) = (Vec::new(), 0_usize, false);
    loop {
        let available = reader.fill_buf()?;
        if available.is_empty() {
            break;
        }
        any = true;
        let end = available.iter().position(|byte| *byte == b'\n');
        let part = &available[..end.unwrap_or(available.len())];
        length = length.saturating_add(part.len());
        if length <= limit {
            line.extend_from_slice(part);
        } else {
            line = Vec::new();
        }
        let read = part.len() + usize::from(end.is_some());
        reader.consume(read);
        if end.is_some() {
            break;
        }
    }
    Ok(any.then(|| if length > limit { Line::TooLong } else { Line::Whole(line) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8], limit: u64) -> Vec<Line> {
        let mut reader = io::BufReader::with_capacity(3, text);
        std::iter::from_fn(|| next(&mut reader, limit).expect("memory can be read")).collect()
    }

    #[test]
    fn lines_end_at_a_line_feed_or_at_the_end() {
        let whole = |text: &str| Line::Whole(text.as_bytes().to_vec());
        assert_eq!(lines(b"", 9), []);
        assert_eq!(lines(b"one\n\nthree", 9), [whole("one"), whole(""), whole("three")]);
    }

    #[test]
    fn a_long_line_costs_itself_only() {
        let short = || Line::Whole(b"four".to_vec());
        assert_eq!(lines(b"four\nfive5\nfour\n", 4), [short(), Line::TooLong, short()]);
    }
}
