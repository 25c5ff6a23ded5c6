//! How inputs are changed: as bytes, and by what they are, so that the change gets past the door.

mod bytes;
mod json;
mod lines;
mod sections;

use crate::random::Random;
use crate::tar;
use crate::targets::Target;

/// What an input is, as far as changing it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Numbers and offsets.
    Bytes,
    /// Lines of words.
    Lines,
    /// JSON, or else lines.
    Json,
    /// A tar archive, whose checksums are made anew.
    Tar,
    /// Files, each behind a line `=== PATH`.
    Sections,
}

/// Where a change may take from.
struct Sources<'a> {
    random: &'a mut Random,
    /// Words that the parser knows.
    words: &'a [&'a str],
    /// Other inputs.
    pool: &'a [Vec<u8>],
}

impl Sources<'_> {
    fn other(&mut self) -> Vec<u8> {
        self.random.pick(self.pool).cloned().unwrap_or_default()
    }

    fn word(&mut self) -> Vec<u8> {
        const USUAL: [&str; 24] = [
            "",
            "0",
            "-1",
            "1",
            "4294967296",
            "18446744073709551615",
            "1e999",
            "null",
            "true",
            "{}",
            "[]",
            "\"",
            "\\",
            "/",
            "..",
            "\0",
            "\u{feff}",
            "é",
            "\u{202e}",
            "\r\n",
            "%2F",
            "@",
            "\t",
            "A",
        ];
        let known = self.random.below(USUAL.len() + 3 * self.words.len());
        let word = USUAL.get(known).or_else(|| self.words.get((known - USUAL.len()) / 3));
        word.map_or_else(Vec::new, |word| word.as_bytes().to_vec())
    }
}

/// One of the pool, changed a few times.
pub(crate) fn mutate(
    target: &Target,
    base: usize,
    pool: &[Vec<u8>],
    random: &mut Random,
    most: usize,
) -> Vec<u8> {
    let mut input = pool.get(base).cloned().unwrap_or_default();
    for _ in 0..1 + random.length(6) {
        let mut sources = Sources { random, words: target.words, pool };
        input = change(input, target.shape, &mut sources);
    }
    input.truncate(most);
    input
}

fn change(input: Vec<u8>, shape: Shape, sources: &mut Sources<'_>) -> Vec<u8> {
    if sources.random.one_in(8) {
        return bytes::change(input, sources);
    }
    match shape {
        Shape::Bytes => bytes::change(input, sources),
        Shape::Lines => lines::change(&input, sources),
        Shape::Json => json::change(&input, sources).unwrap_or_else(|| lines::change(&input, sources)),
        Shape::Tar => change_tar(&input, sources),
        Shape::Sections => sections::change(&input, sources),
    }
}

const KINDS: &[u8] = b"00001122345567SxgLKVD\0";
const SIZES: [u64; 8] = [0, 1, 511, 512, 513, 1 << 20, 1 << 32, 0x1_ffff_ffff];

fn change_tar(input: &[u8], sources: &mut Sources<'_>) -> Vec<u8> {
    let mut entries = tar::entries(input);
    let (at, other) = (sources.random.below(entries.len()), sources.random.below(entries.len()));
    let Some(copy) = entries.get(other).cloned() else { return bytes::change(input.to_vec(), sources) };
    let entry = &mut entries[at];
    match sources.random.below(11) {
        0 => entry.set_kind(*sources.random.pick(KINDS).unwrap_or(&b'0')),
        1 => entry.set_size(*sources.random.pick(&SIZES).unwrap_or(&0)),
        2 => entry.set_name(&bytes::change(copy.name().to_vec(), sources)),
        3 => entry.set_link(copy.name()),
        4 => entry.set_name(copy.name()),
        5 => entry.body = lines::change(&entry.body, sources),
        6 => entry.body = bytes::change(std::mem::take(&mut entry.body), sources),
        7 => entry.header[sources.random.below(tar::BLOCK)] = sources.random.byte(),
        8 => drop(entries.remove(at)),
        9 => entries.insert(at, copy),
        _ => entries.splice(at..at, tar::entries(&sources.other())).for_each(drop),
    }
    for entry in &mut entries {
        // Mostly the size is the body's, so that what follows is found.
        if !sources.random.one_in(16) && !entry.body.is_empty() {
            entry.set_size(entry.body.len() as u64);
        }
    }
    tar::archive(&entries)
}
