//! Fetches the documents of one feed source: a folder of files, an archive like an OSV bucket's `all.zip`, or,
//! where one document holds many records, that document.
//!
//! Asynchronous as far as the network goes; what it answers is a plain iterator over records, read
//! lazily from disk on a blocking thread. Sizes, times, redirects and ratios are bounded here and
//! nowhere else. No proxy is taken from the environment; private addresses are not refused, since only
//! operators register sources.

mod archive;
mod folder;

use std::io::{Read as _, Seek as _};
use std::path::PathBuf;
use std::time::Duration;

use advisory::formats::Format;
use reqwest::Url;
use reqwest::header::{ETAG, HeaderValue, IF_NONE_MATCH};
use store::feed_control::Fault;
use tokio::io::AsyncWriteExt as _;

pub use archive::Archive;
pub use folder::Folder;

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
        }
    }
}

impl Limits {
    /// The same, for documents of this format.
    #[must_use]
    pub fn of(&self, format: &Format) -> Self {
        let record_bytes = format.document_bytes(&self.records);
        Self { records: advisory::Limits { record_bytes, ..self.records.clone() }, ..self.clone() }
    }

    fn record_bytes(&self) -> u64 {
        self.records.record_bytes as u64
    }
}

/// Where a feed's records are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `file:///folder`: its `*.json`, `*.jsonl` and `*.jsonl.zst` files.
    Folder(PathBuf),
    /// `https://…/all.zip`: one JSON file for each document; or the document of a format that has but one.
    Archive(Url),
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
            Self::Unreachable { .. }
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
}

/// The records of a source. After an `Err` nothing more comes.
pub type Records = Box<dyn Iterator<Item = Result<Record, Error>> + Send>;

/// What a source answered.
pub enum Opened {
    /// Nothing changed since the `ETag` that was sent.
    Unchanged,
    /// Its records.
    Records {
        /// The name of this state of the source, to be sent next time.
        etag: Option<String>,
        /// Read lazily: to be walked on a blocking thread.
        records: Records,
    },
}

impl Source {
    /// Takes `file:///folder` or `https://…`; `http://…` only when `plain_http`.
    pub fn parse(uri: &str, plain_http: bool) -> Result<Self, Error> {
        let invalid = |why| Error::InvalidSource { uri: uri.chars().take(200).collect(), why };
        let url = Url::parse(uri).map_err(|_| invalid("it is no URL"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("it holds a user name or password"));
        }
        match url.scheme() {
            "file" => url.to_file_path().map(Self::Folder).map_err(|()| invalid("it names no local folder")),
            "https" => Ok(Self::Archive(url)),
            "http" if plain_http => Ok(Self::Archive(url)),
            "http" => Err(invalid("http is not encrypted; use https")),
            _ => Err(invalid("use file:///folder or https://")),
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
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(limits.silence)
            .timeout(limits.download_time)
            .build()
            .map_err(Error::NoClient)?;
        Ok(Self { http, limits, plain_http })
    }

    /// Opens the source of this format at `uri`, unless it is still what `etag` names.
    pub async fn open(&self, uri: &str, etag: Option<&str>, format: &Format) -> Result<Opened, Error> {
        match Source::parse(uri, self.plain_http)? {
            Source::Folder(path) => {
                let limits = self.limits.of(format);
                let place = path.display().to_string();
                let records = list(place, move || Folder::open(path, limits)).await?;
                Ok(Opened::Records { etag: None, records })
            }
            Source::Archive(url) => self.download(url, etag, format).await,
        }
    }

    async fn download(&self, url: Url, etag: Option<&str>, format: &Format) -> Result<Opened, Error> {
        let unreachable = |source| Error::Unreachable { url: url.clone(), source };
        let mut request = self.http.get(url.clone());
        if let Some(etag) = etag.and_then(|etag| HeaderValue::from_str(etag).ok()) {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let response = request.send().await.map_err(unreachable)?;
        match response.status().as_u16() {
            304 => return Ok(Opened::Unchanged),
            200 => {}
            status => return Err(Error::Refused { url, status }),
        }
        let etag = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let file = self.store(&url, response).await?;
        let records = self.open_file(url.to_string(), file, format).await?;
        Ok(Opened::Records { etag, records })
    }

    /// Opens a file that is called so, whatever its own bytes say it is. It is read from its beginning.
    pub async fn open_file(
        &self,
        place: String,
        file: std::fs::File,
        format: &Format,
    ) -> Result<Records, Error> {
        let limits = self.limits.of(format);
        if format.splits() {
            list(place.clone(), move || archive_or_document(place, file, limits)).await
        } else {
            list(place.clone(), move || Archive::open(place, file, limits)).await
        }
    }

    /// The body in a temporary file that has no name, so it is gone with the last handle.
    async fn store(&self, url: &Url, mut response: reqwest::Response) -> Result<std::fs::File, Error> {
        let place = url.to_string();
        let file = tempfile::tempfile().map_err(Error::unreadable(&place))?;
        let mut file = tokio::fs::File::from_std(file);
        let mut read = 0_u64;
        let unreachable = |source| Error::Unreachable { url: url.clone(), source };
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            read += chunk.len() as u64;
            if read > self.limits.download_bytes {
                return Err(Error::TooLarge { place, limit: self.limits.download_bytes, unit: "bytes" });
            }
            file.write_all(&chunk).await.map_err(Error::unreadable(&place))?;
        }
        file.flush().await.map_err(Error::unreadable(&place))?;
        metrics::counter!(crate::metrics::FEED_DOWNLOAD_BYTES).increment(read);
        Ok(file.into_std().await)
    }
}

/// What was fetched tells by its first bytes which it is.
fn archive_or_document(place: String, mut file: std::fs::File, limits: Limits) -> Result<Records, Error> {
    let mut magic = Vec::new();
    let begun = file.rewind().and_then(|()| file.by_ref().take(2).read_to_end(&mut magic));
    begun.and_then(|_| file.rewind()).map_err(Error::unreadable(&place))?;
    if magic == b"PK" {
        return Ok(Box::new(Archive::open(place, file, limits)?));
    }
    Ok(Box::new(std::iter::once(folder::single(place, file, &limits))))
}

/// Lists what a source holds, away from the threads that wait.
async fn list<R>(
    place: String,
    open: impl FnOnce() -> Result<R, Error> + Send + 'static,
) -> Result<Records, Error>
where
    R: Iterator<Item = Result<Record, Error>> + Send + 'static,
{
    let opened = tokio::task::spawn_blocking(open).await;
    let records = opened.map_err(|panicked| Error::unreadable(&place)(std::io::Error::other(panicked)))??;
    Ok(Box::new(records))
}

#[cfg(test)]
mod tests;
