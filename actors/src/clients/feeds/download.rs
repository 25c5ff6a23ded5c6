//! Fetching a file: not again when it is unchanged, and from where it broke off when it broke off.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};

use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE,
};
use reqwest::{Response, Url};
use tokio::io::AsyncWriteExt as _;

use super::cursor::Cursor;
use super::{Error, Feeds};
use crate::backoff::Backoff;
use crate::metrics::{FEED_DOWNLOAD_BYTES, FEED_DOWNLOAD_RESUMED};

/// How often a download that broke off is taken up again. After that the feed's own back-off is next.
const RESUMES_MAX: u32 = 5;

/// What a server answered.
pub(super) enum Download {
    /// It is what the cursor names.
    Unchanged,
    /// A file without a name, gone with its last handle, and what marks this state of it.
    File(File, Cursor),
}

/// What one request has come to.
enum Step {
    /// Everything is there.
    Whole,
    /// There is nothing to fetch.
    Unchanged,
    /// What is there is of no use.
    Again,
}

/// A file that is being fetched.
struct Body {
    file: tokio::fs::File,
    /// Bytes that are there.
    got: u64,
    mark: Cursor,
}

impl Feeds {
    /// Fetches a file unless it is still what `former` names. At most `bytes_max`, within the time for all of it.
    pub(super) async fn download(
        &self,
        url: &Url,
        former: &Cursor,
        bytes_max: u64,
    ) -> Result<Download, Error> {
        let place = url.to_string();
        let whole = self.download_whole(url, former, bytes_max);
        let Ok(outcome) = tokio::time::timeout(self.limits.download_time, whole).await else {
            return Err(Error::TooSlow { place, limit: self.limits.download_time });
        };
        outcome
    }

    async fn download_whole(&self, url: &Url, former: &Cursor, bytes_max: u64) -> Result<Download, Error> {
        let place = url.to_string();
        let file = tempfile::tempfile().map_err(Error::unreadable(&place))?;
        let file = tokio::fs::File::from_std(file);
        let mut body = Body { file, got: 0, mark: Cursor::default() };
        let mut resumes = 0;
        loop {
            match self.go_on(url, former, bytes_max, &mut body).await {
                Ok(Step::Whole) => break,
                Ok(Step::Unchanged) => return Ok(Download::Unchanged),
                Ok(Step::Again) if resumes < RESUMES_MAX => {}
                Ok(Step::Again) => {
                    let why = "the server sends other parts than are asked for".to_owned();
                    return Err(Error::Broken { place, why });
                }
                // Nothing came at all: the feed's own back-off is for that.
                Err(Error::Unreachable { .. }) if body.got > 0 && resumes < RESUMES_MAX => {}
                Err(error) => return Err(error),
            }
            resumes += 1;
            tracing::debug!(url = %url, bytes = body.got, resumes, "a download broke off and is taken up again");
            metrics::counter!(FEED_DOWNLOAD_RESUMED).increment(1);
            tokio::time::sleep(Backoff::ACTORS.random_delay(resumes)).await;
        }
        body.file.flush().await.map_err(Error::unreadable(&place))?;
        Ok(Download::File(body.file.into_std().await, body.mark))
    }

    /// Asks for what is missing.
    async fn go_on(
        &self,
        url: &Url,
        former: &Cursor,
        bytes_max: u64,
        body: &mut Body,
    ) -> Result<Step, Error> {
        let place = url.to_string();
        let unreachable = |source| Error::Unreachable { url: url.clone(), source };
        // What has no strong mark may be another file by now.
        let mark = body.mark.strong().map(str::to_owned).filter(|_| body.got > 0);
        let mut request = self.http.get(url.clone()).header(ACCEPT_ENCODING, "identity");
        request = match &mark {
            Some(mark) => request.header(RANGE, format!("bytes={}-", body.got)).headers(one(IF_RANGE, mark)),
            None => request.headers(conditions(former)),
        };
        let response = request.send().await.map_err(unreachable)?;
        match response.status().as_u16() {
            304 if mark.is_none() => return Ok(Step::Unchanged),
            206 if mark.is_some() && begins_at(&response, body.got) => {}
            200 => {
                body.begin_again().await.map_err(Error::unreadable(&place))?;
                body.mark = mark_of(response.headers());
            }
            // There is no such part (any more): from the beginning, next time.
            206 | 416 => {
                body.mark = Cursor::default();
                return Ok(Step::Again);
            }
            status => return Err(Error::Refused { url: url.clone(), status }),
        }
        body.receive(response, bytes_max, url).await.map(|()| Step::Whole)
    }
}

impl Body {
    async fn begin_again(&mut self) -> std::io::Result<()> {
        self.file.flush().await?;
        let mut file = self.file.try_clone().await?.into_std().await;
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        self.got = 0;
        Ok(())
    }

    async fn receive(&mut self, mut response: Response, bytes_max: u64, url: &Url) -> Result<(), Error> {
        let place = url.to_string();
        loop {
            let chunk = response.chunk().await;
            let chunk = chunk.map_err(|source| Error::Unreachable { url: url.clone(), source })?;
            let Some(chunk) = chunk else { return Ok(()) };
            if self.got + chunk.len() as u64 > bytes_max {
                return Err(Error::TooLarge { place, limit: bytes_max, unit: "bytes" });
            }
            self.file.write_all(&chunk).await.map_err(Error::unreadable(&place))?;
            self.got += chunk.len() as u64;
            metrics::counter!(FEED_DOWNLOAD_BYTES).increment(chunk.len() as u64);
        }
    }
}

fn conditions(former: &Cursor) -> HeaderMap {
    match (&former.etag, &former.modified) {
        (Some(etag), _) => one(IF_NONE_MATCH, etag),
        (None, Some(modified)) => one(IF_MODIFIED_SINCE, modified),
        (None, None) => HeaderMap::new(),
    }
}

fn one(name: HeaderName, value: &str) -> HeaderMap {
    // What came from a server as a header's value is one.
    HeaderValue::from_str(value).map(|value| [(name, value)].into_iter().collect()).unwrap_or_default()
}

fn mark_of(headers: &HeaderMap) -> Cursor {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Cursor { etag: text(ETAG), modified: text(LAST_MODIFIED), bucket: None }
}

/// Whether a part begins where it was asked for: `bytes 100-199/200`.
fn begins_at(response: &Response, place: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let first = range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.parse().ok());
    first == Some(place)
}
