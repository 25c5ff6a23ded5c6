//! One tar header: 512 bytes and, before them, PAX records or GNU long names.
//!
//! Read as Go's `archive/tar` reads it, because that is what containerd, Docker and Podman unpack with: an
//! archive that means one thing to the scanner and another to the runtime can hide anything.

use crate::error::{Fault, Reason};

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Dir,
    Symlink,
    HardLink,
    /// Devices, pipes, and what no runtime unpacks.
    Other,
}

/// A header block, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) type_flag: u8,
    pub(super) name: Vec<u8>,
    pub(super) link_name: Vec<u8>,
    /// Bytes that follow in the archive, before padding.
    pub(super) size: u64,
    /// Permissions. A field that is no number counts as "may be run": better one look too many.
    pub(super) mode: u64,
    gnu: bool,
}

const CHECKSUM: std::ops::Range<usize> = 148..156;

impl Header {
    /// Takes a block apart.
    pub(super) fn parse(block: &[u8; 512]) -> Result<Self, Fault> {
        let magic = &block[257..265];
        let (ustar, gnu) = (magic.starts_with(b"ustar\0"), magic == b"ustar  \0");
        let mut name = text(&block[..100]).to_vec();
        let prefix = if &block[508..512] == b"tar\0" { &block[345..476] } else { &block[345..500] };
        let prefix = text(prefix);
        if ustar && !prefix.is_empty() {
            name = [prefix, &name].join(&b'/');
        }
        let size = number(&block[124..136])?;
        let mode = number(&block[100..108]).unwrap_or(0o777);
        Ok(Self { type_flag: block[156], name, link_name: text(&block[157..257]).to_vec(), size, mode, gnu })
    }

    /// The sum of the block's bytes with the field itself as spaces; old tars summed signed bytes.
    pub(super) fn check_sum(block: &[u8; 512]) -> Result<(), Fault> {
        let said = octal(&block[CHECKSUM]).ok_or_else(|| malformed("the header's checksum is no number"))?;
        let counted = block.iter().enumerate().map(|(i, &b)| if CHECKSUM.contains(&i) { b' ' } else { b });
        let unsigned: u64 = counted.clone().map(u64::from).sum();
        let signed: i64 = counted.map(|b| i64::from(b.cast_signed())).sum();
        let fits = said == unsigned || i64::try_from(said) == Ok(signed);
        if fits { Ok(()) } else { Err(malformed("the header's checksum does not fit")) }
    }

    /// Whether bytes follow: links, directories, devices and pipes have none, whatever their size field says.
    pub(super) const fn has_body(&self) -> bool {
        !matches!(self.type_flag, b'1'..=b'6')
    }

    /// Before POSIX a directory was a file whose name ends with a slash.
    pub(super) fn settle_type(&mut self) {
        if self.type_flag == 0 && self.name.ends_with(b"/") {
            self.type_flag = b'5';
        }
    }

    /// What it is, once its type is settled.
    pub(super) const fn kind(&self) -> Kind {
        match self.type_flag {
            0 | b'0' | b'7' | b'S' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'5' => Kind::Dir,
            _ => Kind::Other,
        }
    }

    /// Logical size and "another block of the map follows", for a sparse file in the old GNU way.
    pub(super) fn old_sparse(&self, block: &[u8; 512]) -> Result<Option<(u64, bool)>, Fault> {
        match (self.type_flag, self.gnu) {
            (b'S', true) => Ok(Some((number(&block[483..495])?, block[482] != 0))),
            (b'S', false) => Err(malformed("a sparse entry outside the GNU format")),
            _ => Ok(None),
        }
    }
}

/// What PAX records say about the next entry; only what matters here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link_path: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    /// The file is sparse: its name and logical size, where the records tell them.
    pub(super) sparse: Option<Sparse>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sparse {
    pub(super) name: Option<Vec<u8>>,
    pub(super) logical_size: Option<u64>,
}

impl Pax {
    /// Reads `LENGTH KEY=VALUE\n` records.
    pub(super) fn parse(mut records: &[u8]) -> Result<Self, Fault> {
        let (mut pax, mut sparse, mut is_sparse) = (Self::default(), Sparse::default(), false);
        while !records.is_empty() {
            let (key, value, rest) = record(records).ok_or_else(|| malformed("a PAX record is broken"))?;
            records = rest;
            match key {
                b"path" => set(&mut pax.path, value)?,
                b"linkpath" => set(&mut pax.link_path, value)?,
                b"size" => pax.size = decimal(value)?.or(pax.size),
                b"GNU.sparse.name" => set(&mut sparse.name, value)?,
                b"GNU.sparse.size" | b"GNU.sparse.realsize" => {
                    sparse.logical_size = decimal(value)?.or(sparse.logical_size);
                }
                b"GNU.sparse.major" | b"GNU.sparse.map" => is_sparse = true,
                _ => {}
            }
        }
        pax.sparse = is_sparse.then_some(sparse);
        Ok(pax)
    }
}

/// An empty value leaves what the header says.
fn set(field: &mut Option<Vec<u8>>, value: &[u8]) -> Result<(), Fault> {
    if value.contains(&0) {
        return Err(malformed("a PAX record holds a NUL byte"));
    }
    if !value.is_empty() {
        *field = Some(value.to_vec());
    }
    Ok(())
}

fn record(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = records.iter().take(20).position(|&b| b == b' ')?;
    let length: usize = std::str::from_utf8(&records[..space]).ok()?.parse().ok()?;
    let body = records.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|&b| b == b'=')?;
    (equals > 0).then(|| (&body[..equals], &body[equals + 1..], &records[length..]))
}

fn decimal(value: &[u8]) -> Result<Option<u64>, Fault> {
    if value.is_empty() {
        return Ok(None);
    }
    let digits = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    let number = digits.and_then(|text| text.parse().ok()).filter(|n| i64::try_from(*n).is_ok());
    number.map(Some).ok_or_else(|| malformed("a PAX size is no number"))
}

/// Up to the first NUL.
pub(super) fn text(field: &[u8]) -> &[u8] {
    field.split(|&b| b == 0).next().unwrap_or_default()
}

/// Octal digits or, with the first bit set, a big-endian number (star, GNU).
fn number(field: &[u8]) -> Result<u64, Fault> {
    let value = if field[0] & 0x80 != 0 { base_256(field) } else { octal(field) };
    value.filter(|n| i64::try_from(*n).is_ok()).ok_or_else(|| malformed("a size field is no size"))
}

fn base_256(field: &[u8]) -> Option<u64> {
    if field[0] & 0x40 != 0 {
        return None; // Negative.
    }
    let start = u64::from(field[0] & 0x3f);
    field[1..].iter().try_fold(start, |n, &byte| (n >> 56 == 0).then_some(n << 8 | u64::from(byte)))
}

fn octal(field: &[u8]) -> Option<u64> {
    let padding = |b: &u8| matches!(b, b' ' | 0);
    let start = field.iter().position(|b| !padding(b)).unwrap_or(field.len());
    let digits = text(&field[start..]).trim_ascii_end();
    digits.iter().try_fold(0_u64, |n, &byte| match byte {
        b'0'..=b'7' => n.checked_mul(8)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

pub(super) fn malformed(what: &str) -> Fault {
    Fault::new(Reason::MalformedTar, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_big_endian() {
        assert_eq!(number(b"00000000644\0").ok(), Some(0o644));
        assert_eq!(number(b"       12 \0\0").ok(), Some(0o12));
        assert_eq!(number(&[0; 12]).ok(), Some(0));
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1]).ok(), Some(0x2_0000_0001));
        for bad in [*b"0000000008\0\0", [0xff; 12], [0x80, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]] {
            assert!(number(&bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn pax_records_are_read_and_broken_ones_refused() {
        let pax = Pax::parse(b"9 path=a\n12 size=100\n8 foo=b\n").ok();
        assert_eq!(pax, Some(Pax { path: Some(b"a".to_vec()), size: Some(100), ..Pax::default() }));
        let sparse = Pax::parse(b"22 GNU.sparse.major=1\n24 GNU.sparse.name=real\n").ok();
        assert_eq!(sparse.and_then(|p| p.sparse?.name), Some(b"real".to_vec()));
        for bad in ["9 path=a", "99 path=a\n", "x path=a\n", "5 =a\n", "9 size=-\n", "10 path=\0a\n", " \n"] {
            assert!(Pax::parse(bad.as_bytes()).is_err(), "{bad:?} was taken");
        }
    }
}
