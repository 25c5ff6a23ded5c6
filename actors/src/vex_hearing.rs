//! What VEX says of an image's findings, as of a snapshot: the one place on a node where documents are heard.
//!
//! Which documents count, who is trusted, and what the image was called are all read as of a snapshot and an image's
//! revision, so whoever asks the same later hears the same. Where no VEX exists nothing more is asked. What was read of
//! a document is held by its digest, within bounds, and shared by all who hear it.

mod documents;
mod known;

use std::collections::BTreeSet;
use std::sync::Arc;

use evaluation::Written;
use model::{Digest, Finding, ImageDigest, Sbom, SnapshotId, TenantId, VexWord};
use store::Store;
use store::vex::{Source, SourceOrigin};
use time::OffsetDateTime;
use vex::signature::Signature;
use vex::trust::{Channel, Directory, Origin};
use vex::{Document, Evidence, Hearing, Subject};

use self::documents::{Documents, Read};
use self::known::Known;
use crate::metrics::{VEX_SIGNATURES, VEX_WORDS};

/// Documents read from the store at once.
const AT_ONCE: usize = 8;

/// Hears documents. Cheap to clone; all clones share what was read.
#[derive(Debug, Clone)]
pub struct VexHearing {
    store: Store,
    documents: Arc<Documents>,
    known: Arc<Known>,
}

/// Whose findings, and as of when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Whose image.
    pub tenant: TenantId,
    /// Which image.
    pub image: ImageDigest,
    /// What the image was called up to this revision of it.
    pub revision: i64,
    /// The documents and issuers of this snapshot.
    pub snapshot: SnapshotId,
}

/// Why nothing can be heard now.
#[derive(Debug, thiserror::Error)]
pub enum HearingError {
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The thread that reads ended before its time.
    #[error("documents of VEX could not be read")]
    Reading(#[from] tokio::task::JoinError),
}

/// All that is heard about an image, in memory: what is left is thinking, for a blocking thread.
#[derive(Debug, Clone)]
pub struct Testimony {
    image: Option<Digest>,
    repositories: Vec<String>,
    directory: Arc<Directory>,
    files: Vec<File>,
}

/// A file of documents and where it is from.
#[derive(Debug, Clone)]
struct File {
    source: SourceOrigin,
    read: Arc<Read>,
    origin: Origin,
}

/// A document that was heard.
#[derive(Debug, Clone, Copy)]
pub struct HeardDocument<'a> {
    /// Where it is from.
    pub source: &'a SourceOrigin,
    /// When it was taken in.
    pub taken_in: OffsetDateTime,
    /// The document.
    pub document: &'a Document,
}

/// The names of findings by which documents are asked for: their vulnerability, its other names, and the advisories'.
pub fn names_of<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Vec<String> {
    let mut names = BTreeSet::new();
    for finding in findings {
        let advisories = finding.advisories.iter().map(|advisory| &advisory.advisory);
        let all = finding.aliases.iter().chain(advisories).chain([&finding.vulnerability]);
        names.extend(all.map(|name| vex::summary::vulnerability(name)));
    }
    names.into_iter().collect()
}

/// Whether a vulnerability's name is among those by which documents are found.
pub(crate) fn is_called(name: &str, names: &BTreeSet<String>) -> bool {
    names.contains(&vex::summary::vulnerability(name))
}

impl VexHearing {
    /// Hears what this store has, holding about so many bytes of documents.
    pub fn new(store: Store, bytes: usize) -> Self {
        Self { store, documents: Arc::new(Documents::new(bytes)), known: Arc::default() }
    }

    /// Whether any VEX could concern the tenant at a snapshot. Asked of the store once for each snapshot.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn is_any(&self, tenant: TenantId, at: SnapshotId) -> Result<bool, HearingError> {
        Ok(self.known.of(&self.store, tenant, at).await?.is_any)
    }

    /// The documents that speak of these names, and those that may take back what they say.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn about(&self, about: &About, names: &[String]) -> Result<Testimony, HearingError> {
        self.gather(about, names, false).await
    }

    /// As [`Self::about`], and those that are attached to the image whatever they speak of: for telling why they do not.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn all_about(&self, about: &About, names: &[String]) -> Result<Testimony, HearingError> {
        self.gather(about, names, true).await
    }

    async fn gather(&self, about: &About, names: &[String], all: bool) -> Result<Testimony, HearingError> {
        let known = self.known.of(&self.store, about.tenant, about.snapshot).await?;
        let image: Option<Digest> = about.image.as_str().parse().ok();
        if !known.is_any {
            let directory = known.directory;
            return Ok(Testimony { image, repositories: Vec::new(), directory, files: Vec::new() });
        }
        let mut tx = self.store.tenant(about.tenant).await?;
        let sources = match all {
            true => store::vex::all_for(&mut tx, &about.image, names, about.snapshot, u32::MAX).await?,
            false => store::vex::about(&mut tx, names, about.snapshot).await?,
        };
        let repositories = store::images::called(&mut tx, &about.image, about.revision).await?;
        tx.commit().await?;
        let is_meant = |source: &Source| source.images.is_empty() || source.images.contains(&about.image);
        let sources: Vec<Source> = sources.into_iter().filter(is_meant).collect();
        let read = self.read(about.tenant, &sources).await?;
        let mut files = Vec::with_capacity(sources.len());
        for (source, read) in sources.into_iter().zip(read) {
            files.push(self.file(source, read, image.as_ref(), &known).await?);
        }
        Ok(Testimony { image, repositories, directory: known.directory, files })
    }

    /// What these files say, in their order: held, or read now.
    async fn read(&self, tenant: TenantId, sources: &[Source]) -> Result<Vec<Arc<Read>>, HearingError> {
        let mut read: Vec<Option<Arc<Read>>> = sources.iter().map(|s| self.documents.held(s)).collect();
        let missing: Vec<usize> = (0..sources.len()).filter(|at| read[*at].is_none()).collect();
        for some in missing.chunks(AT_ONCE) {
            let asked: Vec<&Source> = some.iter().map(|at| &sources[*at]).collect();
            let mut tx = self.store.tenant(tenant).await?;
            let files = store::vex::bytes(&mut tx, &asked).await?;
            tx.commit().await?;
            let asked: Vec<Source> = asked.into_iter().cloned().collect();
            let documents = Arc::clone(&self.documents);
            let reading = tokio::task::spawn_blocking(move || {
                let files = asked.iter().zip(&files);
                files.map(|(source, bytes)| documents.take_in(source, bytes)).collect::<Vec<_>>()
            });
            for (at, one) in some.iter().zip(reading.await?) {
                read[*at] = Some(one);
            }
        }
        Ok(read.into_iter().flatten().collect())
    }

    async fn file(
        &self,
        source: Source,
        read: Arc<Read>,
        image: Option<&Digest>,
        known: &known::State,
    ) -> Result<File, HearingError> {
        let is_subject = image.is_some_and(|image| read.subjects.contains(image));
        let signature = self.signature(&source, &read, known).await?;
        // A feed's source was chosen by an operator, and who attaches a document is known too.
        let origin = Origin {
            channel: Channel::Authenticated,
            signature,
            attached: !source.images.is_empty() || is_subject,
            taken_in: source.taken_in,
        };
        Ok(File { source: source.origin, read, origin })
    }
}

impl VexHearing {
    /// A signature is held against the keys once, and of those that have none there is nothing to hold.
    async fn signature(
        &self,
        source: &Source,
        read: &Arc<Read>,
        known: &known::State,
    ) -> Result<Signature, HearingError> {
        if !read.is_signed(source.signature.as_deref()) {
            return Ok(Signature::Absent);
        }
        if let Some(signature) = self.known.checked(source, known) {
            return Ok(signature);
        }
        let (read, directory) = (Arc::clone(read), Arc::clone(&known.directory));
        let (beside, at) = (source.signature.clone(), source.taken_in);
        let checking = tokio::task::spawn_blocking(move || read.check(beside.as_deref(), &directory, at));
        let signature = checking.await?;
        metrics::counter!(VEX_SIGNATURES, "result" => signature.as_str()).increment(1);
        self.known.remember(source, known, signature.clone());
        Ok(signature)
    }
}

impl Testimony {
    /// Whether there is nothing to hear.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The documents, in the order in which a [`Hearing`] counts them.
    pub fn documents(&self) -> impl Iterator<Item = HeardDocument<'_>> {
        self.files.iter().flat_map(|file| {
            file.read.documents.iter().map(|document| HeardDocument {
                source: &file.source,
                taken_in: file.origin.taken_in,
                document,
            })
        })
    }

    /// Sets the word on each finding. Takes a while: for a blocking thread.
    pub fn tell(&self, sbom: &Sbom, findings: Written) -> Written {
        if self.is_empty() {
            return findings;
        }
        let all: Vec<Finding> = findings.findings().cloned().collect();
        let words = vex::words(&all, &self.subject(sbom), &self.evidence(), &self.directory);
        count(words.iter().flatten());
        findings.told(words)
    }

    /// What becomes of each statement, and the words. `as_of` is for telling what is stale.
    pub fn hear(&self, sbom: &Sbom, findings: &[Finding], as_of: OffsetDateTime) -> Hearing {
        vex::hear(findings, &self.subject(sbom), &self.evidence(), &self.directory, as_of)
    }

    fn subject<'a>(&'a self, sbom: &'a Sbom) -> Subject<'a> {
        let names: Vec<&str> = self.repositories.iter().map(String::as_str).collect();
        Subject::new(sbom, self.image.as_ref(), &names)
    }

    fn evidence(&self) -> Vec<Evidence<'_>> {
        let mut evidence = Vec::new();
        for File { read, origin, .. } in &self.files {
            evidence.extend(read.documents.iter().map(|document| Evidence { document, origin }));
        }
        evidence
    }
}

fn count<'a>(words: impl Iterator<Item = &'a VexWord>) {
    let (mut suppressed, mut held, mut told) = (0, 0, 0);
    for word in words {
        match (word.suppresses(), word.held) {
            (true, _) => suppressed += 1,
            (false, true) => held += 1,
            (false, false) => told += 1,
        }
    }
    for (word, findings) in [("suppressed", suppressed), ("held", held), ("told", told)] {
        metrics::counter!(VEX_WORDS, "word" => word).increment(findings);
    }
}
