//! Changes of text: lines, and words in them.

use super::{Sources, bytes};

pub(super) fn change(input: &[u8], sources: &mut Sources<'_>) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = input.split(|&b| b == b'\n').map(<[u8]>::to_vec).collect();
    let (at, other) = (sources.random.below(lines.len()), sources.random.below(lines.len()));
    match sources.random.below(8) {
        0 => drop(lines.remove(at)),
        1 => lines.insert(at, lines[other].clone()),
        2 => lines.swap(at, other),
        3 => {
            let elsewhere = sources.other();
            let all: Vec<&[u8]> = elsewhere.split(|&b| b == b'\n').collect();
            lines.insert(at, sources.random.pick(&all).copied().unwrap_or_default().to_vec());
        }
        4 => {
            let line = lines[at].clone();
            let times = 1 + sources.random.length(200);
            lines.splice(at..at, std::iter::repeat_n(line, times)).for_each(drop);
        }
        5 => lines[at] = bytes::change(std::mem::take(&mut lines[at]), sources),
        _ => lines[at] = change_word(&lines[at], &lines[other], sources),
    }
    lines.join(&b'\n')
}

/// A word of the line is another line's, or one that the parser knows, or is there many times.
fn change_word(line: &[u8], other: &[u8], sources: &mut Sources<'_>) -> Vec<u8> {
    let mut words = words(line);
    let others = self::words(other);
    let at = sources.random.below(words.len());
    let Some(word) = words.get_mut(at) else { return sources.word() };
    match sources.random.below(4) {
        0 => *word = sources.word(),
        1 => *word = bytes::change(std::mem::take(word), sources),
        2 => *word = word.repeat(sources.random.length(300)),
        _ => *word = sources.random.pick(&others).cloned().unwrap_or_default(),
    }
    words.concat()
}

/// Runs of letters, digits, and each other byte by itself; together they are the line.
fn words(line: &[u8]) -> Vec<Vec<u8>> {
    let class = |byte: &u8| match byte {
        b'0'..=b'9' => 0,
        byte if byte.is_ascii_alphabetic() => 1,
        _ => 2,
    };
    line.chunk_by(|a, b| class(a) == class(b) && class(a) < 2).map(<[u8]>::to_vec).collect()
}
