//! Changes of files behind their paths: mostly of what is in one of them, by what its name says it is.

use super::{Sources, bytes, json, lines};
use crate::targets::files::{join, split};

pub(super) fn change(input: &[u8], sources: &mut Sources<'_>) -> Vec<u8> {
    let mut files: Vec<(Vec<u8>, Vec<u8>)> = split(input).map(|(p, c)| (p.to_vec(), c.to_vec())).collect();
    let (at, other) = (sources.random.below(files.len()), sources.random.below(files.len()));
    let Some(path_of_other) = files.get(other).map(|(path, _)| path.clone()) else {
        return bytes::change(input.to_vec(), sources);
    };
    let (path, content) = &mut files[at];
    match sources.random.below(16) {
        0 => *path = bytes::change(std::mem::take(path), sources),
        1 => *path = path_of_other,
        2 => drop(files.remove(at)),
        3 => {
            let more = sources.other();
            files.extend(split(&more).map(|(path, content)| (path.to_vec(), content.to_vec())));
        }
        _ => *content = change_content(content, sources),
    }
    join(&files)
}

fn change_content(content: &[u8], sources: &mut Sources<'_>) -> Vec<u8> {
    if std::str::from_utf8(content).is_err() || content.contains(&0) {
        return bytes::change(content.to_vec(), sources);
    }
    let other = sources.other();
    let pool: Vec<Vec<u8>> = split(&other).map(|(_, content)| content.to_vec()).collect();
    let inner = &mut Sources { random: sources.random, words: sources.words, pool: &pool };
    json::change(content, inner).unwrap_or_else(|| lines::change(content, inner))
}
