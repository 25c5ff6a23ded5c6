//! A root file system that lies unpacked in a directory, as an image of one layer.
//!
//! The layer is a tar of what is there, in the order of the names, with neither owners nor times: the same files
//! have the same digest, wherever they lie. It is made once, compressed, into a temporary file, so that what is read
//! later is what was hashed. Links are written down and never followed; devices, pipes and sockets are passed over,
//! and so are the file systems of the kernel. What cannot be read stands in the layer as a file with holes: whoever
//! reads layers counts that as unread where it matters.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use inventory::{Descriptor, ImageConfig, ImageManifest, Limits, Platform, media_type};
use model::Digest;
use rustix::fs::{OFlags, statfs};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::spool::Spool;
use super::{Blob, Choice, Content, SourceError, SourceImage};

/// What makes a directory a root file system: one of these is there.
const MARKS: [&str; 4] = ["etc/os-release", "usr/lib/os-release", "var/lib/dpkg", "lib/apk"];
/// A larger file is none of a package, nor a program that anybody looks into.
const FILE_BYTES: u64 = 4 << 30;
/// Of what was left out this much is named.
const NAMED: usize = 10;
/// `TMPFS_MAGIC`, in linux/magic.h: what is in memory belongs to no image.
const IN_MEMORY: u64 = 0x0102_1994;

/// Whether a directory looks like a root file system.
pub(super) fn is_one(directory: &Path) -> bool {
    MARKS.iter().any(|mark| directory.join(mark).symlink_metadata().is_ok())
}

/// Reads the directory, all of it.
pub(super) fn open(root: &Path, choice: &Choice) -> Result<SourceImage, SourceError> {
    if choice.reference.is_some() {
        return Err(SourceError::OneImage);
    }
    let (layer, left_out) = Walk::new(root)?.layer()?;
    image(layer, &choice.platform.of_made(), left_out)
}

/// A layer that was made.
struct Made {
    digest: Digest,
    size: u64,
    packed: Spool,
}

fn image(made: Made, platform: &Platform, left_out: Vec<String>) -> Result<SourceImage, SourceError> {
    let Made { packed, digest, size } = made;
    let layer = Descriptor { media_type: media_type::OCI_LAYER.to_owned(), digest, size };
    Ok(SourceImage { left_out, ..image_of_one(layer, platform, Content::Rootfs(packed))? })
}

/// The image that has this one blob, which is not compressed, for its only layer.
pub(super) fn image_of_one(
    layer: Descriptor,
    platform: &Platform,
    content: Content,
) -> Result<SourceImage, SourceError> {
    let config = config(platform, &layer.digest);
    let manifest = ImageManifest {
        media_type: media_type::OCI_MANIFEST.to_owned(),
        config: Descriptor {
            media_type: media_type::OCI_CONFIG.to_owned(),
            digest: Digest::of(&config),
            size: config.len() as u64,
        },
        layers: vec![layer.clone()],
    };
    let bytes = manifest.to_bytes();
    let Descriptor { media_type, digest, size } = layer;
    let layers = manifest.layers_of(&ImageConfig::parse(&config)?)?;
    let blobs = vec![Blob { digest, size, media_type, member: String::new() }];
    Ok(SourceImage::new(bytes, manifest.media_type, config, layers, blobs, content))
}

/// The configuration of an image (image-spec, `config.md`). What it runs on is what was asked for: a directory does
/// not say.
fn config(platform: &Platform, layer: &Digest) -> Vec<u8> {
    #[derive(Serialize)]
    struct Config<'p> {
        architecture: &'p str,
        os: &'p str,
        #[serde(skip_serializing_if = "Option::is_none")]
        variant: Option<&'p str>,
        rootfs: Rootfs<'p>,
    }
    #[derive(Serialize)]
    struct Rootfs<'p> {
        r#type: &'p str,
        diff_ids: [&'p str; 1],
    }
    let config = Config {
        architecture: &platform.architecture,
        os: &platform.os,
        variant: platform.variant.as_deref(),
        rootfs: Rootfs { r#type: "layers", diff_ids: [layer.as_str()] },
    };
    serde_json::to_vec(&config).expect("strings are always JSON")
}

/// Takes the layer's bytes: counts and hashes them, and compresses them into a file.
struct Sink {
    hash: Sha256,
    size: u64,
    packed: zstd::Encoder<'static, File>,
}

impl Sink {
    fn new() -> io::Result<Self> {
        Ok(Self { hash: Sha256::new(), size: 0, packed: zstd::Encoder::new(tempfile::tempfile()?, 1)? })
    }

    fn finish(self) -> io::Result<Made> {
        let digest = Digest::from_sha256(self.hash.finalize().into());
        Ok(Made { digest, size: self.size, packed: Spool::new(self.packed.finish()?) })
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.size + bytes.len() as u64 > Limits::DEFAULT.blob_bytes {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let count = self.packed.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.packed.flush()
    }
}

/// The way through the directory.
struct Walk<'r> {
    root: &'r Path,
    device: u64,
    tar: tar::Builder<Sink>,
    entries: usize,
    left_out: Vec<String>,
    left_out_more: usize,
}

impl<'r> Walk<'r> {
    fn new(root: &'r Path) -> Result<Self, SourceError> {
        let read = |source| SourceError::read(root, source);
        let device = fs::metadata(root).map_err(read)?.dev();
        let tar = tar::Builder::new(Sink::new().map_err(SourceError::Keep)?);
        Ok(Self { root, device, tar, entries: 0, left_out: Vec::new(), left_out_more: 0 })
    }

    fn layer(mut self) -> Result<(Made, Vec<String>), SourceError> {
        let top = self.names(Path::new("")).map_err(|source| SourceError::read(self.root, source))?;
        let mut waiting = self.entries_of(Path::new(""), top)?;
        while let Some(directory) = waiting.pop() {
            let below = match self.names(&directory) {
                Ok(names) => self.entries_of(&directory, names)?,
                Err(error) if error.kind() == io::ErrorKind::QuotaExceeded => return Err(self.failed(error)),
                Err(error) => {
                    self.unread(&directory, 0o755, &error.to_string())?;
                    Vec::new()
                }
            };
            waiting.extend(below);
        }
        if self.left_out_more > 0 {
            self.left_out.push(format!("and {} more", self.left_out_more));
        }
        let made = self.tar.into_inner().and_then(Sink::finish).map_err(SourceError::Keep)?;
        Ok((made, self.left_out))
    }

    /// What is in a directory, sorted.
    fn names(&mut self, directory: &Path) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.root.join(directory))? {
            names.push(entry?.file_name());
            self.entries += 1;
            if self.entries > Limits::DEFAULT.paths {
                return Err(io::ErrorKind::QuotaExceeded.into());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Writes down what is in a directory, and answers the directories in it, the last first.
    fn entries_of(&mut self, directory: &Path, names: Vec<OsString>) -> Result<Vec<PathBuf>, SourceError> {
        let mut directories = Vec::new();
        for name in names {
            let path = directory.join(&name);
            if name.as_bytes().starts_with(b".wh.") || path.as_os_str().len() > Limits::DEFAULT.path_bytes {
                self.leave_out(&path, "no layer can hold this name");
            } else if self.entry(&path)? {
                directories.push(path);
            }
        }
        directories.reverse();
        Ok(directories)
    }

    /// Writes one entry down. Whether it is a directory to be walked through.
    fn entry(&mut self, path: &Path) -> Result<bool, SourceError> {
        let whole = self.root.join(path);
        let data = match whole.symlink_metadata() {
            Ok(data) => data,
            Err(error) => return self.unread(path, 0o755, &error.to_string()).map(|()| false),
        };
        if data.is_dir() {
            return self.directory(path, &whole, &data);
        }
        let outcome = if data.is_symlink() {
            self.symlink(path, &whole)
        } else if data.is_file() {
            return self.file(path, &whole, &data).map(|()| false);
        } else {
            Ok(()) // Nothing that could be read.
        };
        outcome.map(|()| false)
    }

    fn directory(&mut self, path: &Path, whole: &Path, data: &Metadata) -> Result<bool, SourceError> {
        if data.dev() == self.device {
            let mut header = header(tar::EntryType::Directory, data.permissions().mode());
            self.append(&mut header, path, io::empty())?;
            return Ok(true);
        }
        if !is_of_the_kernel(whole) {
            self.unread(path, 0o755, "it is another file system")?;
        }
        Ok(false)
    }

    fn symlink(&mut self, path: &Path, whole: &Path) -> Result<(), SourceError> {
        let target = match fs::read_link(whole) {
            Ok(target) => target,
            Err(error) => return self.unread(path, 0o755, &error.to_string()),
        };
        let mut header = header(tar::EntryType::Symlink, 0o777);
        self.tar.append_link(&mut header, path, target).map_err(|error| self.failed(error))
    }

    fn file(&mut self, path: &Path, whole: &Path, data: &Metadata) -> Result<(), SourceError> {
        let mode = data.permissions().mode();
        if data.len() > FILE_BYTES {
            return self.unread(path, mode, &format!("it has more than {FILE_BYTES} bytes"));
        }
        let file = match open_file(whole, data) {
            Ok(file) => file,
            Err(error) => return self.unread(path, mode, &error.to_string()),
        };
        let mut header = header(tar::EntryType::Regular, mode);
        header.set_size(data.len());
        let mut body = Exactly { file, left: data.len(), fault: None };
        self.append(&mut header, path, &mut body)?;
        match body.fault {
            Some(fault) => self.unread(path, mode, &fault), // A later entry of the name stands for the earlier.
            None => Ok(()),
        }
    }

    /// Writes down that something is there that could not be read.
    fn unread(&mut self, path: &Path, mode: u32, why: &str) -> Result<(), SourceError> {
        self.leave_out(path, why);
        let mut header = header(tar::EntryType::GNUSparse, mode);
        header.as_gnu_mut().expect("it was made as one of GNU").set_real_size(0);
        self.append(&mut header, path, io::empty())
    }

    fn leave_out(&mut self, path: &Path, why: &str) {
        if self.left_out.len() < NAMED {
            self.left_out.push(format!("{}: {why}", path.display().to_string().escape_debug()));
        } else {
            self.left_out_more += 1;
        }
    }

    fn append(&mut self, header: &mut tar::Header, path: &Path, body: impl Read) -> Result<(), SourceError> {
        self.tar.append_data(header, path, body).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> SourceError {
        let Limits { blob_bytes, paths, .. } = Limits::DEFAULT;
        let much = |limit, unit| SourceError::TooMuch { what: self.root.display().to_string(), limit, unit };
        match error.kind() {
            io::ErrorKind::FileTooLarge => much(blob_bytes, "bytes"),
            io::ErrorKind::QuotaExceeded => much(paths as u64, "files and directories"),
            _ => SourceError::Keep(error),
        }
    }
}

fn header(kind: tar::EntryType, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode & 0o7777);
    header.set_size(0);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// Opens the file that was seen, and no other that took its place.
fn open_file(path: &Path, seen: &Metadata) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).expect("flags of open are a C int");
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    let is_same = (found.dev(), found.ino()) == (seen.dev(), seen.ino()) && found.is_file();
    if is_same { Ok(file) } else { Err(io::Error::other("it changed while it was read")) }
}

/// Whether what is mounted here is made by the kernel (`proc`, `sysfs` and their like have no blocks), or in memory.
fn is_of_the_kernel(directory: &Path) -> bool {
    statfs(directory)
        .is_ok_and(|of| of.f_blocks == 0 || u64::try_from(of.f_type).is_ok_and(|kind| kind == IN_MEMORY))
}

/// As many bytes of a file as were promised, zeros in place of what is not there.
struct Exactly {
    file: File,
    left: u64,
    fault: Option<String>,
}

impl Read for Exactly {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        let into = &mut into[..most];
        let mut count = 0;
        if self.fault.is_none() && most > 0 {
            match self.file.read(into) {
                Ok(0) => self.fault = Some("it changed while it was read".to_owned()),
                Ok(read) => count = read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
                Err(error) => self.fault = Some(error.to_string()),
            }
        }
        if self.fault.is_some() {
            into.fill(0);
            count = most;
        }
        self.left -= count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
