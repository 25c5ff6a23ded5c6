//! Inputs that are kept: `corpus/TARGET/NAME`, in the repository.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use model::Digest;

/// The folder of a target.
pub(crate) fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// How the names of inputs begin that once failed.
pub(crate) const FAILURE: &str = "failure";
/// How those begin that a guided run found to reach what others do not.
pub(crate) const FOUND: &str = "found";

/// A target's inputs, in the order of their names. Those that once failed come first.
pub(crate) fn read(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(folder(target)) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort_by_key(|path| (!is_called(path, FAILURE), path.clone()));
    paths.into_iter().filter_map(|path| Some((path.clone(), fs::read(path).ok()?))).collect()
}

/// Removes what a guided run found.
pub(crate) fn forget_found(target: &str) -> io::Result<()> {
    let found = read(target).into_iter().map(|(path, _)| path).filter(|path| is_called(path, FOUND));
    found.into_iter().try_for_each(fs::remove_file)
}

fn is_called(path: &Path, word: &str) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(word.as_bytes()))
}

/// Keeps an input. The same one is kept once, under the same name.
pub(crate) fn keep(target: &str, word: &str, input: &[u8]) -> io::Result<PathBuf> {
    let folder = folder(target);
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{word}-{}", &Digest::of(input).hex()[..12]));
    fs::write(&path, input)?;
    Ok(path)
}
