//! `starling backup` and `starling restore`: the database and the objects that it names, as one thing.
//!
//! A backup is a folder: `database/` is what PostgreSQL's own `pg_dump` writes, `objects/` is laid out as an object
//! store in a directory, and `manifest.json` says what has to be there. The database is read at one moment, and the
//! objects are those that its rows name at that moment: an object is there before its row, and none is ever deleted.
//! Valkey is in no backup: it holds nothing that the database cannot tell again.

mod manifest;
mod tools;

use std::path::{Path, PathBuf};

use clap::Args;
use store::backup::{Moment, make_roles, tables};
use store::{Objects, objects};

use self::manifest::{Manifest, NamedObject};
use super::failure::{Exit, Failure};
use super::screen::Screen;
use super::serve::{Settings, usage};
use super::words;
use crate::config::{self, Environment};

/// Where in the folder the database's part is.
const DATABASE: &str = "database";
/// Where in the folder the objects are.
const OBJECTS: &str = "objects";

/// Writes a backup of the database and of all objects that it names, while the cluster runs.
#[derive(Debug, Args)]
pub(super) struct Backup {
    /// A folder that does not exist yet, or is empty
    folder: PathBuf,
    #[command(flatten)]
    settings: Settings,
}

/// Brings a backup back into an empty database and an empty object store. No node may run meanwhile.
#[derive(Debug, Args)]
pub(super) struct Restore {
    /// The folder of a backup
    folder: PathBuf,
    /// Only check that the backup is whole
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    settings: Settings,
}

/// What both work on.
struct Place {
    owner_url: String,
    objects: Objects,
}

impl Place {
    fn find(settings: &Settings, env: &Environment) -> Result<Self, Failure> {
        let merged = settings.merge(env)?;
        let owner_url = merged.required("database.owner-url").map_err(usage)?;
        let objects = Objects::open(&config::objects(&merged).map_err(usage)?).map_err(failed)?;
        Ok(Self { owner_url, objects })
    }
}

fn failed(error: impl Into<anyhow::Error>) -> Failure {
    Failure::from(error.into())
}

fn folder_of_objects(folder: &Path) -> Result<Objects, Failure> {
    let location = folder.join(OBJECTS).display().to_string();
    let options = Vec::new();
    Objects::open(&objects::Config { location, options, durable: true }).map_err(failed)
}

impl Backup {
    /// Writes it. What is not whole has no manifest.
    pub(super) async fn run(self, env: &Environment, screen: &mut Screen) -> Result<(), Failure> {
        let place = Place::find(&self.settings, env)?;
        std::fs::create_dir_all(&self.folder)?;
        if std::fs::read_dir(&self.folder)?.next().is_some() {
            let problem = format!("{} is not empty", self.folder.display());
            return Err(Failure::new(Exit::Usage, problem).next("name a new folder"));
        }
        let mut moment = Moment::take(&place.owner_url).await.map_err(failed)?;
        let blobs = moment.blobs().await.map_err(failed)?;
        let (schema, jobs) = (moment.schema().await.map_err(failed)?, moment.jobs().await.map_err(failed)?);
        let database = self.folder.join(DATABASE);
        tools::dump(&place.owner_url, moment.id(), &database).await?;
        drop(moment);
        screen.say("the database is written");

        let kept = folder_of_objects(&self.folder)?;
        for blob in &blobs {
            // The digest is checked on the way.
            let content = place.objects.get_blob(blob.tenant, &blob.digest).await.map_err(failed)?;
            kept.put_blob(blob.tenant, &blob.digest, blob.size, content).await.map_err(failed)?;
        }
        let objects = blobs.iter().map(NamedObject::of).collect();
        let manifest = Manifest::new(schema, jobs, manifest::files(&database)?, objects);
        manifest.write(&self.folder)?;
        let size = blobs.iter().map(|blob| blob.size).sum();
        screen.say(format!(
            "{}: {jobs} jobs, {} ({})",
            self.folder.display(),
            words::count(blobs.len() as u64, "object"),
            words::size(size)
        ));
        Ok(())
    }
}

impl Restore {
    /// Checks the backup, then brings back objects first, so that no row ever names what is not there.
    pub(super) async fn run(self, env: &Environment, screen: &mut Screen) -> Result<(), Failure> {
        let manifest = Manifest::read(&self.folder)?;
        let database = self.folder.join(DATABASE);
        manifest.check_files(&database)?;
        let kept = folder_of_objects(&self.folder)?;
        if self.verify {
            for object in &manifest.objects {
                object.check(&kept).await?;
            }
            screen.say("the backup is whole");
            return Ok(());
        }
        let place = Place::find(&self.settings, env)?;
        let there = tables(&place.owner_url).await.map_err(failed)?;
        if let Some(table) = there.first() {
            return Err(not_empty(&format!("the database: it has {table}")));
        }
        if !place.objects.is_empty().await.map_err(failed)? {
            return Err(not_empty("the object store"));
        }
        for object in &manifest.objects {
            let (tenant, digest) = (object.tenant()?, object.digest()?);
            let content = kept.get_blob(tenant, &digest).await.map_err(failed)?;
            place.objects.put_blob(tenant, &digest, object.size, content).await.map_err(failed)?;
        }
        screen.say("the objects are back");
        make_roles(&place.owner_url).await.map_err(failed)?;
        tools::restore(&place.owner_url, &database).await?;
        screen.say(format!("the database is back, with {} jobs; next: starling migrate", manifest.jobs));
        Ok(())
    }
}

fn not_empty(what: &str) -> Failure {
    Failure::new(Exit::Failed, format!("nothing is restored over {what}"))
        .next("name an empty database and an empty object store")
}
