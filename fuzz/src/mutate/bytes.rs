//! Changes of bytes.

use super::Sources;

const NUMBERS: [u64; 14] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 32,
    i64::MAX as u64,
    u64::MAX,
];

pub(super) fn change(mut input: Vec<u8>, sources: &mut Sources<'_>) -> Vec<u8> {
    let length = input.len();
    let at = sources.random.below(length);
    let end = at + sources.random.length(length - at);
    match sources.random.below(11) {
        0 if length > 0 => input[at] = sources.random.byte(),
        1 if length > 0 => input[at] ^= 1 << sources.random.below(8),
        2 if length > 0 => input[at] = input[at].wrapping_add(sources.random.byte() % 9).wrapping_sub(4),
        3 => put(&mut input, at, &number(sources)),
        4 => drop(input.drain(at..end)),
        5 => {
            let part = input[at..end].to_vec();
            insert(&mut input, at, &part);
        }
        6 => {
            let from = sources.random.below(length);
            let part = input[from..(from + end - at).min(length)].to_vec();
            put(&mut input, at, &part);
        }
        7 => input.truncate(end),
        8 => {
            let other = sources.other();
            let from = sources.random.below(other.len());
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        9 => put(&mut input, at, &sources.word()),
        _ => insert(&mut input, at, &sources.word()),
    }
    input
}

/// A telling number, in one to eight bytes, either way round.
fn number(sources: &mut Sources<'_>) -> Vec<u8> {
    let near = (sources.random.number() % 5).wrapping_sub(2);
    let number = sources.random.pick(&NUMBERS).copied().unwrap_or_default().wrapping_add(near);
    let count = [1, 2, 4, 8][sources.random.below(4)];
    let mut bytes = number.to_le_bytes()[..count].to_vec();
    if sources.random.one_in(2) {
        bytes.reverse();
    }
    bytes
}

fn put(input: &mut [u8], at: usize, part: &[u8]) {
    let count = part.len().min(input.len() - at);
    input[at..at + count].copy_from_slice(&part[..count]);
}

fn insert(input: &mut Vec<u8>, at: usize, part: &[u8]) {
    input.splice(at..at, part.iter().copied()).for_each(drop);
}
