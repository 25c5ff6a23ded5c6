//! A tar archive, read once from its beginning: nothing of it is written under its own names.
//!
//! Members whose names say that they hold records are read; links and names that lead elsewhere are passed over with
//! a problem. Archives within archives are not read.

use std::io::{self, BufReader, Read};

use super::document::{self, Kind, Lines};
use super::packing::{self, Stream};
use super::{Error, Limits, Record, members};

const BLOCK: u64 = 512;
const BLOCK_BYTES: usize = 512;
/// A name that is given before a member, at most.
const LONG_NAME_MAX: u64 = 64 << 10;

/// Walks an archive.
pub(super) struct Tarball {
    place: String,
    allowed: u64,
    limits: Limits,
    stream: BufReader<Stream>,
    /// Bytes of the present member, with its padding, that were not read.
    left: u64,
    members: u64,
    long_name: Option<Vec<u8>>,
    lines: Option<Lines>,
    over: bool,
}

/// One member's header.
struct Header {
    name: String,
    size: u64,
    kind: u8,
}

impl Tarball {
    /// Walks what the stream holds; `allowed` is what bounds it, for the words of an error.
    pub(super) fn new(place: String, stream: Stream, allowed: u64, limits: Limits) -> Self {
        let stream = BufReader::with_capacity(64 << 10, stream);
        Self {
            place,
            allowed,
            limits,
            stream,
            left: 0,
            members: 0,
            long_name: None,
            lines: None,
            over: false,
        }
    }

    fn step(&mut self) -> Result<Option<Record>, Error> {
        loop {
            if let Some(lines) = &mut self.lines {
                match lines.next() {
                    Some(record) => return record.map(Some),
                    None => self.lines = None,
                }
            }
            let Some(header) = self.header()? else { return Ok(None) };
            if let Some(record) = self.member(header)? {
                return Ok(Some(record));
            }
        }
    }

    /// The next member's header; `None` at the end.
    fn header(&mut self) -> Result<Option<Header>, Error> {
        let skipped = io::copy(&mut (&mut self.stream).take(self.left), &mut io::sink());
        if skipped.map_err(self.ended())? != self.left {
            return Err(self.broken("it breaks off within a member"));
        }
        self.left = 0;
        let mut block = [0; BLOCK_BYTES];
        let mut got = 0;
        while got < block.len() {
            match self.stream.read(&mut block[got..]).map_err(self.ended())? {
                // What lists all of a feed must be seen to its end: else the rest would count as removed.
                0 if got == 0 => return Err(self.broken("it breaks off before its end")),
                0 => return Err(self.broken("it breaks off within a header")),
                read => got += read,
            }
        }
        // Such a block ends it. What is behind is nobody's, but says whether the compression is whole.
        if block.iter().all(|byte| *byte == 0) {
            io::copy(&mut self.stream, &mut io::sink()).map_err(self.ended())?;
            return Ok(None);
        }
        self.members += 1;
        if self.members > self.limits.records.records {
            let (place, limit) = (self.place.clone(), self.limits.records.records);
            return Err(Error::TooLarge { place, limit, unit: "members" });
        }
        let header = Header::read(&block).map_err(|why| self.broken(why))?;
        self.left = header.size.div_ceil(BLOCK).saturating_mul(BLOCK);
        Ok(Some(header))
    }

    fn member(&mut self, mut header: Header) -> Result<Option<Record>, Error> {
        match header.kind {
            b'L' => {
                self.long_name = Some(self.small(header.size)?);
                return Ok(None);
            }
            b'x' => {
                let records = self.small(header.size)?;
                self.long_name =
                    pax_path(&records).map_err(|why| self.broken(why))?.or(self.long_name.take());
                return Ok(None);
            }
            // What concerns all members, or the names of links.
            b'g' | b'K' => return Ok(None),
            _ => {}
        }
        if let Some(name) = self.long_name.take() {
            header.name = text(&name);
        }
        let is_file = matches!(header.kind, b'0' | 0 | b'7');
        if !is_file && !matches!(header.kind, b'1' | b'2' | b'S') {
            return Ok(None);
        }
        let (kind, packing) = match members::verdict(&header.name, !is_file, self.limits.yaml) {
            members::Verdict::Read(kind, packing) => (kind, packing),
            members::Verdict::Ignored(what) => return Ok(Some(Record::Ignored { place: header.name, what })),
            members::Verdict::NoRecord => return Ok(None),
        };
        let inside = self.spool(header.size)?;
        let name = header.name;
        let stream: Stream = match packing {
            None => Box::new(inside),
            Some(packing) => packing::unpack(inside, packing, packing::allowed(header.size, &self.limits))
                .map_err(Error::unreadable(&name))?,
        };
        Ok(match kind {
            Kind::Lines => {
                self.lines = Some(Lines::new(name, stream, self.allowed, &self.limits));
                None
            }
            Kind::Single => Some(match document::single(name.clone(), stream, &self.limits) {
                Ok(record) => record,
                // The archive itself goes on.
                Err(error) => Record::Unreadable { place: name, what: error.to_string() },
            }),
        })
    }

    /// The present member, apart from the archive: in memory where it is small, else in a file without a name.
    fn spool(&mut self, size: u64) -> Result<Box<dyn Read + Send>, Error> {
        let ended = self.ended();
        let content = (&mut self.stream).take(size);
        let (read, inside) = members::spool(content, size).map_err(ended)?;
        self.left -= read;
        if read < size {
            return Err(self.broken("it breaks off within a member"));
        }
        Ok(inside)
    }

    fn small(&mut self, size: u64) -> Result<Vec<u8>, Error> {
        if size > LONG_NAME_MAX {
            return Err(self.broken("a name is too long"));
        }
        let mut bytes = Vec::new();
        let read = (&mut self.stream).take(size).read_to_end(&mut bytes);
        self.left -= read.map_err(self.ended())? as u64;
        Ok(bytes)
    }

    fn ended(&self) -> impl FnOnce(io::Error) -> Error + use<> {
        packing::ended(&self.place, self.allowed)
    }

    fn broken(&self, why: &str) -> Error {
        Error::Broken { place: self.place.clone(), why: why.to_owned() }
    }
}

impl Iterator for Tarball {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.step().transpose();
        self.over = !matches!(next, Some(Ok(_)));
        next
    }
}

impl Header {
    fn read(block: &[u8; BLOCK_BYTES]) -> Result<Self, &'static str> {
        let sum: u64 = block
            .iter()
            .enumerate()
            .map(|(at, byte)| if (148..156).contains(&at) { u64::from(b' ') } else { u64::from(*byte) })
            .sum();
        if number(&block[148..156]) != Some(sum) {
            return Err("a header has a wrong checksum");
        }
        let size = number(&block[124..136]).ok_or("a header has no size")?;
        let mut name = text(until_nul(&block[..100]));
        let prefix = until_nul(&block[345..500]);
        if &block[257..263] == b"ustar\0" && !prefix.is_empty() {
            name = format!("{}/{name}", text(prefix));
        }
        Ok(Self { name, size, kind: block[156] })
    }
}

/// Octal digits; or, of large files, a number as it is.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        let (high, low) = field.split_at(field.len() - 8);
        let small = high[0] == 0x80 && high[1..].iter().all(|byte| *byte == 0);
        return small.then(|| low.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
    }
    let digits = std::str::from_utf8(until_nul(field)).ok()?.trim();
    if digits.is_empty() { Some(0) } else { u64::from_str_radix(digits, 8).ok() }
}

/// The name in a member's extended header. A size there would be one that the plain header cannot hold.
fn pax_path(mut records: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
    const BAD: &str = "an extended header cannot be read";
    let mut path = None;
    while !records.is_empty() {
        let blank = records.iter().position(|byte| *byte == b' ').ok_or(BAD)?;
        let length = std::str::from_utf8(&records[..blank]).ok().and_then(|text| text.parse::<usize>().ok());
        let record = length.and_then(|length| records.get(blank + 1..length)).ok_or(BAD)?;
        let record = record.strip_suffix(b"\n").ok_or(BAD)?;
        match record.iter().position(|byte| *byte == b'=').map(|at| record.split_at(at)) {
            Some((b"path", value)) => path = Some(value[1..].to_vec()),
            Some((b"size", _)) => return Err("a member is larger than its header can say"),
            _ => {}
        }
        records = &records[length.unwrap_or(records.len())..];
    }
    Ok(path)
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or(field)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(until_nul(bytes)).into_owned()
}
