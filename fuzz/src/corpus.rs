//! Inputs that are kept: `corpus/TARGET/NAME`, in the repository.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use model::Digest;

/// The folder of a target.
pub(crate) fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// A target's inputs, in the order of their names. Those that once failed come first.
pub(crate) fn read(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(folder(target)) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort_by_key(|path| (!is_failure(path), path.clone()));
    paths.into_iter().filter_map(|path| Some((path.clone(), fs::read(path).ok()?))).collect()
}

fn is_failure(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"failure-"))
}

/// Keeps an input. The same one is kept once, under the same name.
pub(crate) fn keep(target: &str, word: &str, input: &[u8]) -> io::Result<PathBuf> {
    let folder = folder(target);
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{word}-{}", &Digest::of(input).hex()[..12]));
    fs::write(&path, input)?;
    Ok(path)
}
