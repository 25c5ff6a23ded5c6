//! Pulls images from a registry (OCI distribution specification): manifests into memory, blobs into temporary
//! files.
//!
//! Sizes, times, redirects and attempts are bounded here. What a digest names is checked before it is answered.
//! A blob that breaks off goes on where it stopped. Passwords go to the registry and to the token service that it
//! names, encrypted unless the registry itself is spoken to without; a redirect to another host carries none.

mod access;
mod body;
mod challenge;
mod place;
mod reference;

use std::fs::File;
use std::time::Duration;

use inventory::{Descriptor, media_type};
use model::Digest;
use reqwest::header::{ACCEPT, HeaderName, RANGE, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::{Client, Response, Url, redirect};

use self::access::Access;
pub use self::access::Credentials;
use self::body::{Fault, Partial};
use self::challenge::Challenge;
pub use self::place::{InvalidMirror, Mirror, Place};
pub use self::reference::{Host, InvalidReference, Reference};
use crate::backoff::Backoff;

/// The bounds of one pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Of a manifest, an index or a configuration.
    pub document_bytes: usize,
    /// Of one blob.
    pub blob_bytes: u64,
    /// How often something is asked for.
    pub attempts: u32,
    /// An attempt that brought this much does not count, so that large blobs come over bad lines.
    pub progress_bytes: u64,
    /// After the first failure; it doubles.
    pub pause: Duration,
    /// Longest pause, also when the registry asks for a longer one.
    pub pause_max: Duration,
    /// From the first byte sent to the last byte read, for one request.
    pub download_time: Duration,
    /// Without a single byte.
    pub silence: Duration,
    /// Redirects followed.
    pub redirects: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let layers = inventory::Limits::DEFAULT;
        Self {
            document_bytes: layers.document_bytes,
            blob_bytes: layers.blob_bytes,
            attempts: 5,
            progress_bytes: 1 << 20,
            pause: Duration::from_millis(250),
            pause_max: Duration::from_secs(60),
            download_time: Duration::from_secs(2 * 60 * 60),
            silence: Duration::from_secs(30),
            redirects: 5,
        }
    }
}

/// Why nothing was pulled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no TLS provider, or no certificate to trust.
    #[error("no HTTPS client can be made")]
    NoClient(#[source] reqwest::Error),
    /// Nobody answered.
    #[error("{host} cannot be asked for {what}")]
    Unreachable {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
        /// Why.
        source: reqwest::Error,
    },
    /// 401 or 403.
    #[error("{host} answered {status} when asked for {what}{}", words(said.as_deref()))]
    Denied {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
        /// HTTP status.
        status: u16,
        /// What it said about it.
        said: Option<String>,
        /// Whether credentials were shown.
        with_credentials: bool,
    },
    /// 404.
    #[error("{host} answered 404 when asked for {what}{}", words(said.as_deref()))]
    NotFound {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
        /// What it said about it.
        said: Option<String>,
    },
    /// Any other answer that is none.
    #[error("{host} answered {status} when asked for {what}{}{}", words(said.as_deref()), after(*retry_after))]
    Refused {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
        /// HTTP status.
        status: u16,
        /// What it said about it.
        said: Option<String>,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// The service that gives tokens did not take the credentials.
    #[error("{realm} answered {status} when asked for a token")]
    SignIn {
        /// Its address.
        realm: String,
        /// HTTP status.
        status: u16,
    },
    /// The service that gives tokens gave none.
    #[error("no token comes from {realm}: {why}")]
    Token {
        /// Its address.
        realm: String,
        /// What is wrong.
        why: String,
    },
    /// What came broke off, and went on breaking off.
    #[error("{host} sent {what} in part: {why}")]
    Broken {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
        /// Where it ended.
        why: String,
    },
    /// What came is not what its name or size says, or larger than is taken.
    #[error("{host} sent {what}, but {why}")]
    Damaged {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// What came could not be kept.
    #[error("{what}: {why}")]
    Store {
        /// What was asked for.
        what: String,
        /// Why.
        why: String,
    },
}

fn words(said: Option<&str>) -> String {
    said.map(|said| format!(": {said}")).unwrap_or_default()
}

fn after(time: Option<Duration>) -> String {
    time.map(|time| format!("; it wants to be asked again in {} s", time.as_secs())).unwrap_or_default()
}

impl Error {
    /// Whether asking again may help.
    fn is_passing(&self) -> bool {
        match self {
            Self::Broken { .. } => true,
            Self::Refused { status, .. } => matches!(status, 408 | 429 | 500..=504),
            Self::Unreachable { source, .. } => {
                !source.is_connect() && !source.is_redirect() || was_cut(source)
            }
            _ => false,
        }
    }

    const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// Whether somebody was there and hung up, or fell silent.
fn was_cut(error: &reqwest::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(cause) = next {
        let kind = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if matches!(kind, Some(ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof)) {
            return true;
        }
        next = cause.source();
    }
    error.is_timeout() && !error.is_connect()
}

/// One repository, at its registry or a mirror.
#[derive(Debug)]
pub struct Repository {
    http: Client,
    limits: Limits,
    url: Url,
    name: String,
    host: String,
    plain_http: bool,
    access: Access,
}

/// The kinds of manifest that are asked for; a registry chooses by them.
const KINDS: [&str; 5] = [
    media_type::OCI_INDEX,
    media_type::DOCKER_INDEX,
    media_type::OCI_MANIFEST,
    media_type::DOCKER_MANIFEST,
    // Not read, but told by its name; where it is not asked for, some registries say that there is nothing.
    media_type::DOCKER_SCHEMA_1,
];
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

impl Repository {
    /// The repository of this name there. Nothing is sent yet. `plain_http` is for registries without TLS; this
    /// machine's own are spoken to without in any case.
    pub fn new(
        place: &Place,
        name: &str,
        credentials: Credentials,
        limits: Limits,
        plain_http: bool,
    ) -> Result<Self, Error> {
        let is_here = place.host().is_loopback();
        let is_plain = is_here || plain_http;
        let url = place.url(name, is_plain);
        let client = |redirects: redirect::Policy| {
            let client = Client::builder()
                .user_agent(concat!("starling/", env!("CARGO_PKG_VERSION")))
                .redirect(redirects)
                .connect_timeout(Duration::from_secs(10))
                .read_timeout(limits.silence)
                .timeout(limits.download_time);
            let client = if is_here { client.no_proxy() } else { client };
            client.build().map_err(Error::NoClient)
        };
        let redirects = limits.redirects;
        let follow = redirect::Policy::custom(move |attempt| match attempt.previous().len() {
            count if count > redirects => attempt.error("too many redirects"),
            _ if !may_speak(attempt.url(), is_plain, plain_http) => {
                attempt.error("redirected to an address without encryption")
            }
            _ => attempt.follow(),
        });
        let access = Access::new(client(redirect::Policy::none())?, credentials, name);
        let http = client(follow)?;
        let (name, host) = (name.to_owned(), place.to_string());
        Ok(Self { http, limits, url, name, host, plain_http, access })
    }

    /// The registry or mirror, as people call it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// A manifest or an index, by tag or digest, byte for byte.
    pub async fn manifest(&self, wanted: &str) -> Result<Vec<u8>, Error> {
        let between = if wanted.contains(':') { "@" } else { ":" };
        let what = format!("the manifest {}{between}{wanted}", self.name);
        let url = self.at(&format!("manifests/{wanted}"));
        self.repeatedly(async || {
            let response = self.ask(&what, &url, &[(ACCEPT, KINDS.join(", "))]).await?;
            let said =
                response.headers().get(CONTENT_DIGEST).and_then(|value| value.to_str().ok()?.parse().ok());
            let bytes = self.whole(&what, response).await?;
            // Who asks for a tag has only the registry's word for what it is.
            check(&bytes, wanted.parse().ok().or(said).as_ref()).map_err(|fault| self.fault(&what, fault))?;
            Ok(bytes)
        })
        .await
    }

    /// A small blob, such as a configuration.
    pub async fn document(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        let (what, url) = self.blob_of(digest);
        self.repeatedly(async || {
            let response = self.ask(&what, &url, &[]).await?;
            let bytes = self.whole(&what, response).await?;
            check(&bytes, Some(digest)).map_err(|fault| self.fault(&what, fault))?;
            Ok(bytes)
        })
        .await
    }

    /// A blob in a temporary file that has no name. `came` is told of bytes as they come, each once.
    pub async fn blob(&self, wanted: &Descriptor, came: impl Fn(u64)) -> Result<File, Error> {
        let (what, url) = self.blob_of(&wanted.digest);
        let fault = |fault| self.fault(&what, fault);
        if wanted.size > self.limits.blob_bytes {
            return Err(fault(Fault::TooLong { limit: self.limits.blob_bytes }));
        }
        let mut partial = Partial::new(wanted).map_err(fault)?;
        let mut patience = Patience::new(&self.limits);
        loop {
            let before = partial.got();
            let Err(error) = self.rest(&what, &url, &mut partial, &came).await else { break };
            if partial.got() - before >= self.limits.progress_bytes {
                patience.renew();
            }
            patience.bear(error).await?;
        }
        partial.finish().await.map_err(fault)
    }

    async fn rest(
        &self,
        what: &str,
        url: &Url,
        partial: &mut Partial<'_>,
        came: &impl Fn(u64),
    ) -> Result<(), Error> {
        let range = (partial.got() > 0).then(|| (RANGE, format!("bytes={}-", partial.got())));
        let response = self.ask(what, url, range.as_slice()).await?;
        partial.take(response, came).await.map_err(|fault| self.fault(what, fault))
    }

    async fn whole(&self, what: &str, response: Response) -> Result<Vec<u8>, Error> {
        let bytes = body::read(response, self.limits.document_bytes).await;
        bytes.map_err(|fault| self.fault(what, fault))
    }

    fn at(&self, path: &str) -> Url {
        self.url.join(path).expect("tags and digests hold only what may be in a URL")
    }

    fn blob_of(&self, digest: &Digest) -> (String, Url) {
        (format!("the blob {}@{digest}", self.name), self.at(&format!("blobs/{digest}")))
    }

    async fn repeatedly<T>(&self, mut work: impl AsyncFnMut() -> Result<T, Error>) -> Result<T, Error> {
        let mut patience = Patience::new(&self.limits);
        loop {
            match work().await {
                Ok(done) => return Ok(done),
                Err(error) => patience.bear(error).await?,
            }
        }
    }

    /// Asks once, and a second time when it must sign in first.
    async fn ask(&self, what: &str, url: &Url, headers: &[(HeaderName, String)]) -> Result<Response, Error> {
        let mut asked_to_sign_in = false;
        loop {
            let mut request = self.access.sign(self.http.get(url.clone()));
            for (name, value) in headers {
                request = request.header(name, value);
            }
            let response = request.send().await.map_err(|source| self.unreachable(what, source))?;
            // Only the registry itself is told who we are, not whoever it sent us to.
            let is_own = response.url().origin() == self.url.origin();
            if response.status().as_u16() != 401 || asked_to_sign_in || !is_own {
                return self.judge(what, response).await;
            }
            asked_to_sign_in = true;
            let challenges = response.headers().get_all(WWW_AUTHENTICATE);
            let challenge = Challenge::read(challenges.iter().filter_map(|value| value.to_str().ok()));
            let is_plain = self.url.scheme() == "http";
            let may_speak = |url: &Url| may_speak(url, is_plain, self.plain_http);
            let Some(challenge) = challenge else { return self.judge(what, response).await };
            if !self.access.meet(&challenge, may_speak).await? {
                return self.judge(what, response).await;
            }
        }
    }

    async fn judge(&self, what: &str, response: Response) -> Result<Response, Error> {
        let status = response.status().as_u16();
        if matches!(status, 200 | 206) {
            return Ok(response);
        }
        // A date is not compared with any clock here; the usual pause serves.
        let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let retry_after = seconds.map(Duration::from_secs);
        let said = body::said(response).await;
        let (host, what) = (self.host.clone(), what.to_owned());
        let with_credentials = self.access.has_credentials();
        Err(match status {
            401 | 403 => Error::Denied { host, what, status, said, with_credentials },
            404 => Error::NotFound { host, what, said },
            _ => Error::Refused { host, what, status, said, retry_after },
        })
    }

    /// Where it was sent may be long and hold what opens a door for a while, so that is not told.
    fn unreachable(&self, what: &str, source: reqwest::Error) -> Error {
        Error::Unreachable { host: self.host.clone(), what: what.to_owned(), source: source.without_url() }
    }

    fn fault(&self, what: &str, fault: Fault) -> Error {
        let (host, what, why) = (self.host.clone(), what.to_owned(), fault.to_string());
        match fault {
            Fault::Broken { .. } => Error::Broken { host, what, why },
            Fault::TooLong { .. } | Fault::Damaged(_) | Fault::OtherRange { .. } => {
                Error::Damaged { host, what, why }
            }
            Fault::Store(_) => Error::Store { what, why },
        }
    }
}

fn check(bytes: &[u8], wanted: Option<&Digest>) -> Result<(), Fault> {
    let actual = Digest::of(bytes);
    if wanted.is_none_or(|wanted| *wanted == actual) { Ok(()) } else { Err(Fault::Damaged(actual)) }
}

/// Whether an address may be spoken to: an encrypted registry leads nowhere without encryption; one on this machine
/// may lead to others on it, and one that is spoken to plainly on request anywhere.
fn may_speak(url: &Url, is_plain: bool, plain_http: bool) -> bool {
    match url.scheme() {
        "https" => true,
        "http" if plain_http => true,
        "http" if is_plain => {
            url.host_str().is_some_and(|host| host.parse().is_ok_and(|h: Host| h.is_loopback()))
        }
        _ => false,
    }
}

/// How often something is asked for, and how long waited between.
struct Patience<'l> {
    limits: &'l Limits,
    failures: u32,
}

impl<'l> Patience<'l> {
    const fn new(limits: &'l Limits) -> Self {
        Self { limits, failures: 0 }
    }

    const fn renew(&mut self) {
        self.failures = 0;
    }

    /// Waits until it is time to ask again; the error where that would not help.
    async fn bear(&mut self, error: Error) -> Result<(), Error> {
        self.failures += 1;
        let asked = error.retry_after().unwrap_or_default();
        if !error.is_passing() || self.failures >= self.limits.attempts || asked > self.limits.pause_max {
            return Err(error);
        }
        let backoff = Backoff { first: self.limits.pause, max: self.limits.pause_max };
        tokio::time::sleep(asked.max(backoff.random_delay(self.failures))).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
