//! `starling advisories pack` and `verify`: folders of advisories as one file, which goes where there is no network and is
//! read in place.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use clap::Args;
use evaluation::packed::{About, pack};
use model::Digest;
use serde_json::{Value, json};

use super::super::digesting::digest_of;
use super::super::failure::{Exit, Failure};
use super::super::json::SCHEMA_VERSION;
use super::super::list::{Format, Output, pretty, show_pairs};
use super::super::screen::Screen;
use super::super::words::count;
use super::advisories::{Advisories, open, unreadable};
use super::blocking;

/// Examples for the help.
pub(in crate::cli) const PACK_EXAMPLES: &str = "Examples:
  starling advisories pack today.packed --advisories debian=./debian,npm=./npm
  starling advisories verify today.packed && starling scan app.tar --advisories today.packed

Beside FILE lies FILE.sha256, as sha256sum writes it: both go together to where there is no network.";

/// What to pack, and where to.
#[derive(Debug, Args)]
pub(in crate::cli) struct Pack {
    /// Where it goes
    file: PathBuf,
    #[command(flatten)]
    advisories: Advisories,
    #[command(flatten)]
    output: Output,
}

/// What to look at.
#[derive(Debug, Args)]
pub(in crate::cli) struct Verify {
    /// A file of packed advisories
    file: PathBuf,
    /// The digest it must have; without it, FILE.sha256 is read if it is there
    #[arg(long, value_name = "sha256:HEX")]
    digest: Option<Digest>,
    #[command(flatten)]
    output: Output,
}

/// What is told of a file.
struct Told {
    file: PathBuf,
    sha256: Digest,
    bytes: u64,
    advisories: usize,
    about: About,
}

impl Pack {
    /// Does it.
    pub(in crate::cli) async fn run(self, screen: &mut Screen) -> Result<(), Failure> {
        let Self { file, advisories, output } = self;
        let told = blocking(move || {
            let (index, about) = advisories.read()?;
            write(&file, |out| Ok(pack(&index, &about, out)?)).map_err(|error| failed(&file, &error))?;
            let (sha256, bytes) =
                File::open(&file).and_then(digest_of).map_err(|error| failed(&file, &error.into()))?;
            let manifest = manifest_of(&file);
            let line = format!("{}  {}\n", sha256.hex(), name_of(&file));
            fs::write(&manifest, line).map_err(|error| failed(&manifest, &error.into()))?;
            Ok(Told { file, sha256, bytes, advisories: index.advisories(), about })
        })
        .await?;
        told.show(output.format, screen)
    }
}

impl Verify {
    /// Does it.
    pub(in crate::cli) async fn run(self, screen: &mut Screen) -> Result<(), Failure> {
        let Self { file, digest, output } = self;
        let (told, checked) = blocking(move || {
            let announced = digest.or_else(|| announced(&file));
            let (sha256, bytes) =
                File::open(&file).and_then(digest_of).map_err(|error| failed(&file, &error.into()))?;
            if let Some(announced) = announced.as_ref().filter(|announced| **announced != sha256) {
                let message = format!("{}: its digest is {sha256}, not {announced}", file.display());
                return Err(Failure::new(Exit::Failed, message).next("bring the file here again"));
            }
            let packed = open(&file).map_err(|error| unreadable(&file, &error))?;
            packed.verify().map_err(|error| unreadable(&file, &error))?;
            let (about, advisories) = (packed.about().clone(), packed.advisories());
            Ok((Told { file, sha256, bytes, advisories, about }, announced.is_some()))
        })
        .await?;
        if !checked {
            screen.say("warning: no digest was given, and there is no file with one: it is whole, but may be another");
        }
        told.show(output.format, screen)
    }
}

impl Told {
    fn show(&self, format: Format, screen: &mut Screen) -> Result<(), Failure> {
        match format {
            Format::Json => screen.data(pretty(&self.value())?),
            Format::Jsonl => screen.data(self.value()),
            Format::Table => {
                let mut pairs = vec![
                    ("file", self.file.display().to_string()),
                    ("digest", self.sha256.to_string()),
                    ("bytes", self.bytes.to_string()),
                    ("state", self.about.state.to_string()),
                ];
                let feeds = self.about.feeds.iter().map(|feed| {
                    let unreadable = match feed.unreadable {
                        0 => String::new(),
                        some => format!(", {} could not be read", count(some, "record")),
                    };
                    ("feed", format!("{}: {} advisories{unreadable}", feed.id, feed.advisories))
                });
                pairs.extend(feeds);
                show_pairs(screen, &pairs)
            }
        }
    }

    fn value(&self) -> Value {
        let feeds = self.about.feeds.iter().map(|feed| {
            json!({"id": feed.id.as_str(), "advisories": feed.advisories, "unreadable": feed.unreadable})
        });
        json!({
            "schema_version": SCHEMA_VERSION,
            "file": self.file.display().to_string(),
            "digest": self.sha256.as_str(),
            "bytes": self.bytes,
            "snapshot": self.about.state.as_str(),
            "advisories": self.advisories,
            "feeds": feeds.collect::<Vec<_>>(),
        })
    }
}

/// In a file of its own until it is whole.
fn write(
    file: &Path,
    content: impl FnOnce(&mut io::BufWriter<&File>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let draft = tempfile::Builder::new().permissions(open_to_all()).tempfile_in(folder)?;
    let mut out = io::BufWriter::new(draft.as_file());
    content(&mut out)?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    draft.persist(file)?;
    Ok(())
}

/// Advisories are no secret, where drafts usually are.
fn open_to_all() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o644)
}

fn name_of(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn manifest_of(file: &Path) -> PathBuf {
    file.with_file_name(format!("{}.sha256", name_of(file)))
}

/// What the file beside it says of it, in the form of sha256sum.
fn announced(file: &Path) -> Option<Digest> {
    /// A longer one is no manifest of one file.
    const LINE_BYTES: u64 = 8 << 10;
    let mut line = String::new();
    File::open(manifest_of(file)).ok()?.take(LINE_BYTES).read_to_string(&mut line).ok()?;
    format!("sha256:{}", line.split_whitespace().next()?).parse().ok()
}

fn failed(file: &Path, error: &anyhow::Error) -> Failure {
    Failure::new(Exit::Failed, format!("{}: {error:#}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read_as_sha256sum_writes_it() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("a.packed");
        fs::write(&file, "abc").unwrap();
        assert_eq!(announced(&file), None);
        let (digest, bytes) = digest_of(File::open(&file).unwrap()).unwrap();
        assert_eq!((&digest, bytes), (&Digest::of(b"abc"), 3));
        fs::write(root.path().join("a.packed.sha256"), format!("{}  a.packed\n", digest.hex())).unwrap();
        assert_eq!(announced(&file), Some(digest));
    }

    #[test]
    fn what_is_not_written_to_its_end_is_not_there() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("a.packed");
        write(&file, |out| Ok(io::Write::write_all(out, b"old")?)).unwrap();
        assert!(write(&file, |_| anyhow::bail!("broken")).is_err());
        assert_eq!(fs::read(&file).unwrap(), b"old");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }
}
