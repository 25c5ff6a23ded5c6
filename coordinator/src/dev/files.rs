//! Small things around files: private ones, directories that another user must enter, programs on `PATH`.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// Writes a file that only its owner may read; a reader sees the old or the new text, never half of it.
pub(super) fn write_private(path: &Path, text: &str) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".new");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(text.as_bytes())?;
        fs::rename(&temporary, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Makes a directory with all above it and sets its permission bits.
pub(super) fn make_dir(path: &Path, mode: u32) -> Result<()> {
    fs::create_dir_all(path)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(mode)))
        .with_context(|| format!("cannot make the directory {}", path.display()))
}

/// Opens a log for appending and reading; one that has grown large becomes `NAME.old`.
pub(super) fn open_log(path: &Path) -> Result<File> {
    const LARGE: u64 = 16 << 20;
    if path.metadata().is_ok_and(|m| m.len() > LARGE) {
        fs::rename(path, path.with_extension("old"))?;
    }
    let open = OpenOptions::new().create(true).append(true).read(true).open(path);
    open.with_context(|| format!("cannot write the log {}", path.display()))
}

/// Whether a program can be started: it exists, or is found on `PATH`.
pub(super) fn runs(program: &Path) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The first directory above `path` that other users may not enter.
pub(super) fn closed_to_others(path: &Path) -> Option<&Path> {
    let may_enter = |dir: &Path| fs::metadata(dir).is_ok_and(|m| m.mode() & 0o001 != 0);
    path.ancestors().skip(1).find(|dir| !may_enter(dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_file_is_private_even_when_it_was_not_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        fs::write(&path, "old").unwrap();
        write_private(&path, "new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_closed_directory_above_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("a/b");
        make_dir(&inner, 0o755).unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
        assert_eq!(closed_to_others(&inner), Some(dir.path()));
        fs::set_permissions(dir.path(), Permissions::from_mode(0o711)).unwrap();
        assert_eq!(closed_to_others(&inner), None);
    }
}
