//! What a backup has to hold: written last, read and checked first.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use futures::TryStreamExt as _;
use model::{Digest, TenantId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use store::Objects;
use store::backup::NamedBlob;

use crate::cli::digesting::digest_of;
use crate::cli::failure::{Exit, Failure};

const NAME: &str = "manifest.json";
/// Raised when an older program could not read it any more.
const FORMAT: u32 = 1;

/// The manifest.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    format: u32,
    /// Which program wrote it.
    starling: String,
    /// The migrations that the database had.
    schema: BTreeSet<i64>,
    /// How many jobs had been accepted.
    pub(super) jobs: i64,
    /// Each file of the database's part.
    database: Vec<KeptFile>,
    /// Each object; its name is its digest.
    pub(super) objects: Vec<NamedObject>,
}

/// A file, and what must be in it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeptFile {
    name: String,
    size: u64,
    sha256: String,
}

/// An object.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct NamedObject {
    tenant: String,
    digest: String,
    pub(super) size: u64,
}

impl NamedObject {
    pub(super) fn of(blob: &NamedBlob) -> Self {
        Self { tenant: blob.tenant.to_string(), digest: blob.digest.to_string(), size: blob.size }
    }

    pub(super) fn tenant(&self) -> Result<TenantId, Failure> {
        self.tenant.parse().map_err(|_| broken(&format!("{:?} is no tenant", self.tenant)))
    }

    pub(super) fn digest(&self) -> Result<Digest, Failure> {
        self.digest.parse().map_err(|_| broken(&format!("{:?} is no digest", self.digest)))
    }

    /// Reads it to its end.
    pub(super) async fn check(&self, kept: &Objects) -> Result<(), Failure> {
        let (tenant, digest) = (self.tenant()?, self.digest()?);
        let missing = |error: &dyn std::fmt::Display| broken(&format!("object {digest}: {error}"));
        let mut content = kept.get_blob(tenant, &digest).await.map_err(|error| missing(&error))?;
        let mut hash = Sha256::new();
        while let Some(part) = content.try_next().await.map_err(|error| missing(&error))? {
            hash.update(&part);
        }
        let found = Digest::from_sha256(hash.finalize().into());
        if found == digest { Ok(()) } else { Err(missing(&format!("it is {found}"))) }
    }
}

impl Manifest {
    pub(super) fn new(
        schema: BTreeSet<i64>,
        jobs: i64,
        database: Vec<KeptFile>,
        objects: Vec<NamedObject>,
    ) -> Self {
        let starling = env!("CARGO_PKG_VERSION").to_owned();
        Self { format: FORMAT, starling, schema, jobs, database, objects }
    }

    /// Writes it at once or not at all.
    pub(super) fn write(&self, folder: &Path) -> Result<(), Failure> {
        let unfinished = folder.join("manifest.unfinished");
        let mut file = File::create(&unfinished)?;
        let text = serde_json::to_vec_pretty(self).map_err(anyhow::Error::from)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&unfinished, folder.join(NAME))?;
        Ok(File::open(folder)?.sync_all()?)
    }

    pub(super) fn read(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(NAME);
        let text = fs::read(&path).map_err(|error| broken(&format!("{}: {error}", path.display())))?;
        let manifest: Self =
            serde_json::from_slice(&text).map_err(|error| broken(&format!("{}: {error}", path.display())))?;
        if manifest.format != FORMAT {
            return Err(broken(&format!("its format is {}, this program reads {FORMAT}", manifest.format)));
        }
        Ok(manifest)
    }

    /// Whether each file of the database's part is what it was.
    pub(super) fn check_files(&self, database: &Path) -> Result<(), Failure> {
        let found = files(database).map_err(|failure| broken(&failure.message))?;
        let wrong = self.database.iter().find(|file| !found.contains(file));
        let foreign = found.iter().find(|file| !self.database.contains(file));
        match wrong.or(foreign) {
            Some(file) => Err(broken(&format!("database/{} is not what was written", file.name))),
            None => Ok(()),
        }
    }
}

/// The files of a folder, by name.
pub(super) fn files(folder: &Path) -> Result<Vec<KeptFile>, Failure> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (digest, size) = digest_of(File::open(entry.path())?)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        files.push(KeptFile { name, size, sha256: digest.hex().to_owned() });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

fn broken(problem: &str) -> Failure {
    Failure::new(Exit::Failed, format!("this is no whole backup: {problem}"))
        .next("take another one, and keep it: starling restore --verify tells")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_after_it_was_written_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("database");
        fs::create_dir(&database).unwrap();
        fs::write(database.join("toc.dat"), "toc").unwrap();
        assert!(Manifest::read(folder.path()).is_err(), "without a manifest it is none");
        Manifest::new([1].into(), 7, files(&database).unwrap(), Vec::new()).write(folder.path()).unwrap();
        let manifest = Manifest::read(folder.path()).unwrap();
        assert_eq!(manifest.jobs, 7);
        manifest.check_files(&database).unwrap();
        for (name, text) in [("toc.dat", "tok"), ("foreign", "")] {
            fs::write(database.join(name), text).unwrap();
            let refused = manifest.check_files(&database).unwrap_err();
            assert!(refused.message.contains(name), "{refused:?}");
            fs::write(database.join("toc.dat"), "toc").unwrap();
        }
    }
}
