//! Tar archives as they are taken apart, changed and put together here: entries may be wrong in every way.

/// One header with what follows it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The header block. Its checksum is made when the archive is.
    pub header: [u8; BLOCK],
    /// The bytes behind it, without padding.
    pub body: Vec<u8>,
}

/// What everything in an archive is made of.
pub const BLOCK: usize = 512;
const NAME: std::ops::Range<usize> = 0..100;
const SIZE: std::ops::Range<usize> = 124..136;
const CHECKSUM: std::ops::Range<usize> = 148..156;
const TYPE: usize = 156;
const LINK: std::ops::Range<usize> = 157..257;

impl Entry {
    /// An entry that anybody may read, write and run. What is too long for the header is cut.
    pub fn new(kind: u8, name: &[u8], link: &[u8], body: &[u8]) -> Self {
        let mut entry = Self { header: [0; BLOCK], body: body.to_vec() };
        entry.header[100..107].copy_from_slice(b"0000777");
        entry.header[257..265].copy_from_slice(b"ustar\x0000");
        entry.header[TYPE] = kind;
        entry.set(NAME, name);
        entry.set(LINK, link);
        entry.set_size(body.len() as u64);
        entry
    }

    /// A file with a name of any length, as one or two entries.
    pub fn file(name: &[u8], body: &[u8]) -> Vec<Self> {
        let mut entries = vec![Self::new(b'0', name, b"", body)];
        if name.len() > NAME.len() {
            entries.insert(0, Self::new(b'L', b"././@LongLink", b"", name));
        }
        entries
    }

    /// The name, as far as it is in the header.
    pub fn name(&self) -> &[u8] {
        self.header[NAME].split(|&b| b == 0).next().unwrap_or_default()
    }

    /// Puts a name into the header.
    pub fn set_name(&mut self, name: &[u8]) {
        self.set(NAME, name);
    }

    /// Puts the target of a link into the header.
    pub fn set_link(&mut self, target: &[u8]) {
        self.set(LINK, target);
    }

    /// What kind of entry it is.
    pub const fn set_kind(&mut self, kind: u8) {
        self.header[TYPE] = kind;
    }

    /// Says a size, whatever the body's is.
    pub fn set_size(&mut self, size: u64) {
        self.header[SIZE].copy_from_slice(format!("{:011o}\0", size & 0x1_ffff_ffff).as_bytes());
    }

    fn set(&mut self, field: std::ops::Range<usize>, value: &[u8]) {
        let field = &mut self.header[field];
        let length = value.len().min(field.len());
        field.fill(0);
        field[..length].copy_from_slice(&value[..length]);
    }

    fn size(&self) -> usize {
        let digits = self.header[SIZE].iter().filter(|b| (b'0'..=b'7').contains(b));
        digits.fold(0, |size, digit| size << 3 | usize::from(digit - b'0'))
    }

    /// Puts it behind what is there of an archive.
    pub fn add_to(&self, archive: &mut Vec<u8>) {
        let mut header = self.header;
        header[CHECKSUM].fill(b' ');
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        archive.extend_from_slice(&header);
        archive.extend_from_slice(&self.body);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
}

/// An archive with its end.
pub fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut archive = Vec::new();
    entries.iter().for_each(|entry| entry.add_to(&mut archive));
    archive.resize(archive.len() + 2 * BLOCK, 0);
    archive
}

/// The entries of an archive, as far as there are any.
pub fn entries(mut archive: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    while let Some((header, rest)) = archive.split_first_chunk::<BLOCK>() {
        if *header == [0; BLOCK] {
            break;
        }
        let mut entry = Entry { header: *header, body: Vec::new() };
        let size = if matches!(header[TYPE], b'1'..=b'6') { 0 } else { entry.size().min(rest.len()) };
        entry.body = rest[..size].to_vec();
        archive = &rest[size.next_multiple_of(BLOCK).min(rest.len())..];
        entries.push(entry);
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_comes_apart_as_it_was_put_together() {
        let long = [b'n'; 300];
        let whole = archive(&[Entry::file(b"a", b"content"), Entry::file(&long, &[1; 600])].concat());
        assert_eq!(archive(&entries(&whole)), whole);
        assert_eq!(entries(&whole).len(), 3);
        assert_eq!(entries(&whole[..700]).len(), 1);
    }
}
