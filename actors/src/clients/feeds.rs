//! Fetches the documents of one feed source: a folder, a file of any kind on this machine or behind a URL, or an OSV
//! bucket.
//!
//! Asynchronous as far as the network goes; what it answers is a plain iterator over records, read
//! lazily from disk on a blocking thread. Sizes, times, redirects and ratios are bounded here and
//! nowhere else. No proxy is taken from the environment; private addresses are not refused, since only
//! operators register sources.

mod archive;
mod bucket;
mod cursor;
mod document;
mod download;
mod file;
mod folder;
mod members;
mod packing;
mod source;
mod tarball;

use std::time::Duration;

use advisory::enrichment::Catalogue;
use reqwest::Url;
use store::feed_control::Fault;
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use self::cursor::Cursor;
use self::download::Download;
use crate::backoff::Backoff;
use crate::feed_format::FeedFormat;
use crate::metrics::FEED_DOWNLOAD_BYTES;

pub use archive::Archive;
pub use folder::Folder;
pub use source::Source;

/// How often one record of many is asked for.
const TRIES_MAX: u32 = 3;

/// The bounds of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Of one document, and how many of them; what is beyond them inside a record is the parser's to refuse.
    pub records: advisory::Limits,
    /// Files of a folder.
    pub files: usize,
    /// Bytes that are fetched.
    pub download_bytes: u64,
    /// Bytes of all records together, unpacked.
    pub unpacked_bytes: u64,
    /// How many times its packed size an archive may grow.
    pub ratio: u64,
    /// From the first byte sent to the last byte read.
    pub download_time: Duration,
    /// Without a single byte.
    pub silence: Duration,
    /// Redirects followed.
    pub redirects: usize,
    /// Whether files that end like YAML are documents.
    pub yaml: bool,
    /// After this time a source of which mostly changes are read is read whole, to see what is gone.
    pub whole_every: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            records: advisory::Limits::default(),
            files: 10_000,
            download_bytes: 2 << 30,
            unpacked_bytes: 32 << 30,
            ratio: 100,
            download_time: Duration::from_secs(30 * 60),
            silence: Duration::from_secs(30),
            redirects: 3,
            yaml: false,
            whole_every: Duration::from_secs(24 * 3600),
        }
    }
}

impl Limits {
    /// The same, for documents of this format.
    #[must_use]
    pub fn of(&self, format: impl Into<FeedFormat>) -> Self {
        let format = format.into();
        let record_bytes = format.document_bytes(&self.records);
        let records = advisory::Limits { record_bytes, ..self.records.clone() };
        Self { records, yaml: format.reads_yaml(), ..self.clone() }
    }

    /// The same, for documents that are a catalogue each.
    #[must_use]
    pub fn of_catalogues(&self) -> Self {
        let records = advisory::Limits { record_bytes: Catalogue::BYTES_MAX, ..self.records.clone() };
        Self { records, ..self.clone() }
    }

    fn record_bytes(&self) -> u64 {
        self.records.record_bytes as u64
    }
}

/// Why a source gave nothing, or no more.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The source's address cannot be used at all.
    #[error("{uri:?} is not a feed source: {why}")]
    InvalidSource {
        /// The address.
        uri: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Nobody here knows how to read from there.
    #[error(
        "{uri:?} is no feed source: {scheme}: is not read; use file:///, https://, bucket+https:// or bundle:"
    )]
    UnknownScheme {
        /// The address.
        uri: String,
        /// How it begins.
        scheme: String,
    },
    /// Nobody here knows how to read what is there.
    #[error("{place} is {what}, which is not read")]
    Unsupported {
        /// The file or address.
        place: String,
        /// What it is.
        what: &'static str,
    },
    /// It takes longer than the limits allow.
    #[error("{place} did not come within {limit:?}")]
    TooSlow {
        /// The address.
        place: String,
        /// The bound.
        limit: Duration,
    },
    /// There is no TLS provider, or no certificate to trust.
    #[error("no HTTPS client can be made")]
    NoClient(#[source] reqwest::Error),
    /// Nobody answered, or the answer broke off.
    #[error("cannot fetch {url}")]
    Unreachable {
        /// The address.
        url: Url,
        /// Why.
        source: reqwest::Error,
    },
    /// The server answered with something else than the records.
    #[error("{url} answered {status}")]
    Refused {
        /// The address.
        url: Url,
        /// HTTP status.
        status: u16,
    },
    /// It is larger than the limits allow.
    #[error("{place} has more than {limit} {unit}")]
    TooLarge {
        /// The file or address.
        place: String,
        /// The bound.
        limit: u64,
        /// What is counted.
        unit: &'static str,
    },
    /// A document of many records breaks off: which of them are gone cannot be told.
    #[error("cannot read {place} to its end: {why}")]
    Broken {
        /// The document.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file could not be read.
    #[error("cannot read {place}")]
    Unreadable {
        /// The file.
        place: String,
        /// Why.
        source: std::io::Error,
    },
}

impl Error {
    /// What it means to those who are to mend it.
    pub(crate) fn fault(&self) -> Fault {
        match self {
            Self::InvalidSource { .. } | Self::NoClient(_) => Fault::Blocked,
            Self::Refused { status: 401 | 403 | 407, .. } => Fault::Blocked,
            Self::UnknownScheme { .. } | Self::Unsupported { .. } => Fault::Unsupported,
            Self::Unreachable { .. }
            | Self::TooSlow { .. }
            | Self::Refused { .. }
            | Self::TooLarge { .. }
            | Self::Broken { .. }
            | Self::Unreadable { .. } => Fault::Failed,
        }
    }

    fn unreadable(place: &str) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let place = place.to_owned();
        move |source| Self::Unreadable { place, source }
    }
}

/// One record of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Its bytes, not yet parsed.
    Document {
        /// The file it is from, and the line where the file holds several.
        place: String,
        /// What is written there.
        bytes: Vec<u8>,
    },
    /// It is there, but it breaks a bound; it costs itself, not the feed.
    Unreadable {
        /// The file it is from, and the line where the file holds several.
        place: String,
        /// What is wrong with it.
        what: String,
    },
    /// It looks like a record and is passed over, for what it is and not for what is in it.
    Ignored {
        /// What it is called.
        place: String,
        /// Why it is not looked at.
        what: String,
    },
}

/// The records of a source. After an `Err` nothing more comes.
pub type Records = Box<dyn Iterator<Item = Result<Record, Error>> + Send>;

/// What a source answered.
pub enum Opened {
    /// Nothing changed since the cursor that was sent.
    Unchanged {
        /// To be sent next time.
        cursor: Option<String>,
    },
    /// Its records.
    Records {
        /// Whether these are all it has, and not only what is new.
        whole: bool,
        /// What the server calls the state that is read.
        etag: Option<String>,
        /// The name of this state of the source. Dropped, it ends what is still being fetched.
        mark: Mark,
        /// Read lazily: to be walked on a blocking thread.
        records: Records,
    },
}

/// What marks a state of a source.
pub enum Mark {
    /// It was known when the source was opened.
    Known(Option<String>),
    /// It is told by what fetches the records, once they have all come.
    Told(oneshot::Receiver<Option<String>>, AbortOnDropHandle<()>),
}

impl Mark {
    fn known(cursor: &Cursor) -> Self {
        Self::Known(cursor.text())
    }

    /// The cursor to be sent next time, after the last record was read; none where everything is to be read then.
    pub async fn cursor(self) -> Option<String> {
        match self {
            Self::Known(cursor) => cursor,
            Self::Told(told, _fetching) => told.await.ok().flatten(),
        }
    }
}

/// Opens sources.
#[derive(Debug, Clone)]
pub struct Feeds {
    http: reqwest::Client,
    limits: Limits,
    plain_http: bool,
}

impl Feeds {
    /// A client with these bounds. `plain_http` is for tests and private mirrors.
    ///
    /// # Errors
    /// When the process has no TLS provider or no certificates to trust.
    pub fn new(limits: Limits, plain_http: bool) -> Result<Self, Error> {
        let redirects = limits.redirects;
        let policy = reqwest::redirect::Policy::custom(move |attempt| {
            let encrypted = plain_http || attempt.url().scheme() == "https";
            match attempt.previous().len() {
                n if n > redirects => attempt.error("too many redirects"),
                _ if !encrypted => attempt.error("redirected to an address without encryption"),
                _ => attempt.follow(),
            }
        });
        let http = reqwest::Client::builder()
            .user_agent(concat!("starling/", env!("CARGO_PKG_VERSION")))
            .https_only(!plain_http)
            .no_proxy()
            .redirect(policy)
            .connect_timeout(Duration::from_secs(10).min(limits.silence))
            .read_timeout(limits.silence)
            .timeout(limits.download_time)
            .build()
            .map_err(Error::NoClient)?;
        Ok(Self { http, limits, plain_http })
    }

    /// Opens the source of this format at `uri`, unless it is still what `cursor` names. `whole`: of a source that
    /// tells what is new, everything is wanted all the same.
    pub async fn open(
        &self,
        uri: &str,
        cursor: Option<&str>,
        whole: bool,
        format: impl Into<FeedFormat>,
    ) -> Result<Opened, Error> {
        let format = format.into();
        let former = Cursor::parse(cursor);
        match Source::parse(uri, self.plain_http)? {
            Source::Bucket(base) => self.bucket(&base, former, whole, format).await,
            source => self.open_files(uri, source, former, self.limits.of(format)).await,
        }
    }

    /// Opens the source of a catalogue: a document by itself.
    pub async fn open_catalogue(&self, uri: &str, cursor: Option<&str>) -> Result<Opened, Error> {
        let source = Source::parse(uri, self.plain_http)?;
        self.open_files(uri, source, Cursor::parse(cursor), self.limits.of_catalogues()).await
    }

    async fn open_files(
        &self,
        uri: &str,
        source: Source,
        former: Cursor,
        limits: Limits,
    ) -> Result<Opened, Error> {
        let no_source = |why| Error::InvalidSource { uri: uri.to_owned(), why };
        match source {
            Source::Local(path) => {
                let place = path.display().to_string();
                let records = list(place, move || local(path, limits)).await?;
                Ok(Opened::Records { whole: true, etag: None, mark: Mark::Known(None), records })
            }
            Source::Web(url) => match self.download(&url, &former, self.limits.download_bytes).await? {
                Download::Unchanged => Ok(Opened::Unchanged { cursor: former.text() }),
                Download::File(file, cursor) => {
                    let place = named(&url);
                    let records = list(place.clone(), move || file::open(place, file, &limits)).await?;
                    let etag = cursor.etag.clone().or_else(|| cursor.modified.clone());
                    Ok(Opened::Records { whole: true, etag, mark: Mark::known(&cursor), records })
                }
            },
            Source::Bucket(_) => Err(no_source("a catalogue is one file, and no bucket of records")),
            Source::Bundles => Err(no_source("it is not read by itself: bundles are imported")),
        }
    }

    /// Opens a file that is called so, whatever its own bytes say it is. It is read from its beginning.
    pub async fn open_file(
        &self,
        place: String,
        file: std::fs::File,
        format: FeedFormat,
    ) -> Result<Records, Error> {
        let limits = self.limits.of(format);
        list(place.clone(), move || file::open(place, file, &limits)).await
    }

    /// Opens a file that holds a catalogue.
    pub async fn open_catalogue_file(&self, place: String, file: std::fs::File) -> Result<Records, Error> {
        let limits = self.limits.of_catalogues();
        list(place.clone(), move || file::open(place, file, &limits)).await
    }

    /// A small document of many, in memory. A server that stumbles is asked again.
    async fn small(&self, url: &Url, bytes_max: u64) -> Result<Vec<u8>, Error> {
        let mut tries = 1;
        loop {
            match self.small_once(url, bytes_max).await {
                Err(Error::Unreachable { .. } | Error::Refused { status: 429 | 500.., .. })
                    if tries < TRIES_MAX =>
                {
                    tokio::time::sleep(Backoff::ACTORS.random_delay(tries)).await;
                    tries += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn small_once(&self, url: &Url, bytes_max: u64) -> Result<Vec<u8>, Error> {
        let unreachable = |source| Error::Unreachable { url: url.clone(), source };
        let mut response = self.http.get(url.clone()).send().await.map_err(unreachable)?;
        if response.status() != 200 {
            return Err(Error::Refused { url: url.clone(), status: response.status().as_u16() });
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if (bytes.len() + chunk.len()) as u64 > bytes_max {
                return Err(Error::TooLarge { place: url.to_string(), limit: bytes_max, unit: "bytes" });
            }
            bytes.extend_from_slice(&chunk);
        }
        metrics::counter!(FEED_DOWNLOAD_BYTES).increment(bytes.len() as u64);
        Ok(bytes)
    }
}

/// A URL as the name of a file: what comes behind the path says nothing of it.
fn named(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

/// What is on this machine: a folder or a file.
fn local(path: std::path::PathBuf, limits: Limits) -> Result<Records, Error> {
    let place = path.display().to_string();
    let unreadable = Error::unreadable(&place);
    if path.is_dir() {
        return Ok(Box::new(Folder::open(path, limits)?));
    }
    let file = std::fs::File::open(&path).map_err(unreadable)?;
    let name = path.file_name().map_or(place, |name| name.to_string_lossy().into_owned());
    file::open(name, file, &limits)
}

/// Lists what a source holds, away from the threads that wait.
async fn list(
    place: String,
    open: impl FnOnce() -> Result<Records, Error> + Send + 'static,
) -> Result<Records, Error> {
    let opened = tokio::task::spawn_blocking(open).await;
    opened.map_err(|panicked| Error::unreadable(&place)(std::io::Error::other(panicked)))?
}

#[cfg(test)]
mod tests;
