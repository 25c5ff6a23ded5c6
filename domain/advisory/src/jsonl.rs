//! Feeds of one record a line, cut into their lines without ever holding more than one.

use std::io::{self, BufRead};

use crate::Limits;

/// One line that is not blank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its number, from 1.
    pub number: u64,
    /// What it holds, without the line's end.
    pub content: Content,
}

/// What a line holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A record, not read yet.
    Record(Vec<u8>),
    /// More than [`Limits::record_bytes`]; the bytes were passed over.
    TooLong,
}

/// Reading cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The source failed.
    #[error("the feed cannot be read")]
    Source(#[from] io::Error),
    /// More than [`Limits::records`].
    #[error("the feed has more than {0} records")]
    TooManyRecords(u64),
}

/// The lines of `reader`, in order. After an error there are none.
pub fn lines<R: BufRead>(reader: R, limits: &Limits) -> Lines<R> {
    Lines { reader, limits: limits.clone(), records: 0, number: 0, ended: false }
}

/// See [`lines`].
#[derive(Debug)]
pub struct Lines<R> {
    reader: R,
    limits: Limits,
    records: u64,
    number: u64,
    ended: bool,
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<Line, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = self.next_record().transpose();
        self.ended = matches!(item, None | Some(Err(_)));
        item
    }
}

impl<R: BufRead> Lines<R> {
    /// The next line that is not blank.
    fn next_record(&mut self) -> Result<Option<Line>, Error> {
        loop {
            let Some(content) = self.next_line()? else { return Ok(None) };
            self.number += 1;
            if content == Content::Record(Vec::new()) {
                continue;
            }
            self.records += 1;
            if self.records > self.limits.records {
                return Err(Error::TooManyRecords(self.limits.records));
            }
            return Ok(Some(Line { number: self.number, content }));
        }
    }

    /// The next line, of which no more is kept than may be.
    fn next_line(&mut self) -> io::Result<Option<Content>> {
        let (mut line, mut bytes, mut ended) = (Vec::new(), 0_usize, false);
        while !ended {
            let chunk = self.reader.fill_buf()?;
            if chunk.is_empty() {
                if bytes == 0 {
                    return Ok(None);
                }
                break;
            }
            let newline = chunk.iter().position(|b| *b == b'\n');
            let taken = newline.map_or(chunk.len(), |at| at + 1);
            bytes = bytes.saturating_add(taken);
            let room = (self.limits.record_bytes + 2).saturating_sub(line.len());
            line.extend_from_slice(&chunk[..taken.min(room)]);
            ended = newline.is_some();
            self.reader.consume(taken);
        }
        let record = line.trim_ascii();
        let fits = bytes == line.len() && record.len() <= self.limits.record_bytes;
        Ok(Some(if fits { Content::Record(record.to_vec()) } else { Content::TooLong }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, limits: &Limits) -> Vec<String> {
        // A small buffer, so that lines span several of its fillings.
        lines(io::BufReader::with_capacity(3, text.as_bytes()), limits)
            .map(|line| match line {
                Ok(Line { number, content: Content::Record(bytes) }) => {
                    format!("{number} {}", String::from_utf8(bytes).unwrap())
                }
                Ok(Line { number, content: Content::TooLong }) => format!("{number} too long"),
                Err(error) => error.to_string(),
            })
            .collect()
    }

    #[test]
    fn blank_lines_count_but_are_not_records() {
        let lines = read("{}\r\n\n  \n[1]\nlast", &Limits::default());
        assert_eq!(lines, ["1 {}", "4 [1]", "5 last"]);
        assert_eq!(read("", &Limits::default()), [""; 0]);
    }

    #[test]
    fn a_line_that_is_too_long_costs_itself() {
        let limits = Limits { record_bytes: 5, ..Limits::default() };
        let lines = read("12345\r\n123456\n1234567890\n1\n", &limits);
        assert_eq!(lines, ["1 12345", "2 too long", "3 too long", "4 1"]);
    }

    #[test]
    fn too_many_records_end_the_reading() {
        let limits = Limits { records: 2, ..Limits::default() };
        assert_eq!(read("1\n\n2\n3\n4\n", &limits), ["1 1", "3 2", "the feed has more than 2 records"]);
    }
}
