//! A small disk of its own for a folder, so that it can be full: a tmpfs, which only root may mount.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is written until nothing fits any more.
const BALLAST: &str = "ballast";

/// The disk. Taken away when dropped.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// A disk of so many megabytes at this folder; `None` where that is not allowed.
    pub(crate) fn at(folder: &Path, megabytes: u32) -> Option<Self> {
        fs::create_dir_all(folder).expect("a folder can be made");
        let size = format!("size={megabytes}m,mode=755");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder).output();
        let mounted = mounted.is_ok_and(|output| output.status.success());
        mounted.then(|| Self { folder: folder.to_path_buf() })
    }

    /// Fills it to the last byte.
    pub fn fill(&self) {
        let mut ballast = File::create(self.folder.join(BALLAST)).expect("a file can be made");
        for piece in [1 << 20, 4096, 1] {
            while ballast.write_all(&vec![0; piece]).is_ok() {}
        }
    }

    /// Gives the room back.
    pub fn free(&self) {
        let _ = fs::remove_file(self.folder.join(BALLAST));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.folder).output();
    }
}
