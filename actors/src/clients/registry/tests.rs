//! A registry of a few lines on a free port, that does everything wrong.

use std::io::{Read as _, Seek as _};

use super::*;
use crate::clients::test_server::{answer, cut, serve};

const BLOB: &[u8] = b"sixteen letters.";

/// Answers each request in turn with one of these; gives back the requests.
struct Server {
    host: String,
    seen: tokio::task::JoinHandle<Vec<String>>,
}

impl Server {
    async fn with(answers: Vec<Vec<u8>>) -> Self {
        let (host, seen) = serve(answers).await;
        Self { host, seen }
    }

    fn repository(&self, credentials: Credentials) -> Repository {
        // Another test of this process may have installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let reference: Reference = format!("{}/team/app:1", self.host).parse().expect("a name");
        let limits = Limits {
            pause: Duration::from_millis(1),
            pause_max: Duration::from_secs(2),
            silence: Duration::from_secs(5),
            document_bytes: 1000,
            blob_bytes: 1000,
            progress_bytes: 100,
            ..Limits::default()
        };
        Repository::new(&Place::of(&reference), reference.repository(), credentials, limits, false)
            .expect("a client")
    }

    async fn seen(self) -> Vec<String> {
        let seen = self.seen.await.expect("every answer was fetched");
        seen.iter().map(|request| request.to_lowercase()).collect()
    }
}

fn ok(body: &[u8]) -> Vec<u8> {
    answer("200 OK", "", body)
}

fn wanted(bytes: &[u8]) -> Descriptor {
    Descriptor { media_type: String::new(), digest: Digest::of(bytes), size: bytes.len() as u64 }
}

fn anna() -> Credentials {
    Credentials::Password { user: "anna".to_owned(), password: "secret".to_owned() }
}

/// What `anna:secret` is in the header.
const ANNA: &str = "authorization: basic yw5uytpzzwnyzxq=";

/// Fetches [`BLOB`] from a server with these answers: the outcome, and the requests.
async fn fetch(answers: Vec<Vec<u8>>) -> (Result<Vec<u8>, String>, Vec<String>) {
    let server = Server::with(answers).await;
    let outcome = blob(&server.repository(Credentials::Anonymous)).await;
    (outcome, server.seen().await)
}

async fn blob(repository: &Repository) -> Result<Vec<u8>, String> {
    let file = repository.blob(&wanted(BLOB), |_| ()).await;
    file.map(content).map_err(|error| error.to_string())
}

fn content(mut file: File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.rewind().expect("a file");
    file.read_to_end(&mut bytes).expect("a file");
    bytes
}

#[tokio::test]
async fn a_blob_that_breaks_off_goes_on_where_it_stopped() {
    let (first, last) = (cut("200 OK", "", &BLOB[..7], 16), &BLOB[10..]);
    let rest = cut("206 Partial Content", "content-range: bytes 7-15/16\r\n", &BLOB[7..10], 9);
    let end = answer("206 Partial Content", "content-range: bytes 10-15/16\r\n", last);
    let (outcome, seen) = fetch(vec![first.clone(), rest, end]).await;
    assert_eq!(outcome, Ok(BLOB.to_vec()));
    let range = |request: &String| request.lines().find(|line| line.starts_with("range:")).map(str::to_owned);
    let ranges: Vec<_> = seen.iter().map(range).collect();
    assert_eq!(ranges, [None, Some("range: bytes=7-".to_owned()), Some("range: bytes=10-".to_owned())]);

    let (outcome, _) = fetch(vec![first.clone(), ok(BLOB)]).await;
    assert_eq!(outcome, Ok(BLOB.to_vec()), "a server without ranges sends all again");

    let other = answer("206 Partial Content", "content-range: bytes 0-15/16\r\n", BLOB);
    let (outcome, _) = fetch(vec![first, other]).await;
    assert!(outcome.unwrap_err().ends_with("it was asked for the bytes from 7 on and sent others"));
}

#[tokio::test]
async fn bytes_are_told_of_once_each() {
    let server = Server::with(vec![cut("200 OK", "", &BLOB[..7], 16), ok(BLOB)]).await;
    let told = std::sync::atomic::AtomicU64::new(0);
    let add = |bytes| {
        told.fetch_add(bytes, std::sync::atomic::Ordering::Relaxed);
    };
    server.repository(Credentials::Anonymous).blob(&wanted(BLOB), add).await.unwrap();
    assert_eq!(told.into_inner(), 16);
}

#[tokio::test]
async fn five_attempts_are_made_and_no_more() {
    let broken = || cut("200 OK", "", b"", 16);
    let (outcome, seen) = fetch(vec![broken(), broken(), broken(), broken(), broken()]).await;
    assert!(outcome.unwrap_err().ends_with("in part: it broke off after 0 bytes"));
    assert_eq!(seen.len(), 5);
    let busy = || answer("503 Service Unavailable", "", b"");
    let (outcome, _) = fetch(vec![busy(), busy(), ok(BLOB)]).await;
    assert_eq!(outcome, Ok(BLOB.to_vec()));
    let (outcome, seen) = fetch(vec![busy(), busy(), busy(), busy(), busy()]).await;
    assert!(outcome.unwrap_err().contains("answered 503 when asked for the blob team/app@sha256:"));
    assert_eq!(seen.len(), 5);
}

#[tokio::test]
async fn an_attempt_that_brought_much_does_not_count() {
    let whole: Vec<u8> = (0..=255).cycle().take(900).collect();
    let part = |from: usize| {
        let range = format!("content-range: bytes {from}-899/900\r\n");
        cut("206 Partial Content", &range, &whole[from..(from + 110).min(900)], 900 - from)
    };
    let mut answers = vec![cut("200 OK", "", &whole[..110], 900)];
    answers.extend((1..9).map(|at| part(at * 110)));
    let server = Server::with(answers).await;
    let file = server.repository(Credentials::Anonymous).blob(&wanted(&whole), |_| ()).await.unwrap();
    assert_eq!(content(file), whole);
}

#[tokio::test]
async fn a_registry_that_asks_for_patience_gets_it() {
    let later = |seconds| answer("429 Too Many Requests", &format!("retry-after: {seconds}\r\n"), b"");
    let begin = std::time::Instant::now();
    let (outcome, _) = fetch(vec![later(1), ok(BLOB)]).await;
    assert_eq!(outcome, Ok(BLOB.to_vec()));
    assert!(begin.elapsed() >= Duration::from_secs(1));
    let (outcome, seen) = fetch(vec![later(600)]).await;
    assert!(outcome.unwrap_err().ends_with("it wants to be asked again in 600 s"));
    assert_eq!(seen.len(), 1);
}

#[tokio::test]
async fn what_is_not_the_wanted_blob_is_refused() {
    let chunked = |body: &str| {
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n{body}")
    };
    let endless = chunked("20\r\nthirty-two letters, twice sixteen\r\n").into_bytes();
    for (said, reason) in [
        (ok(b"sixteen letters!"), "its digest is sha256:"),
        (ok(b"more than sixteen letters"), "it is longer than 16 bytes"),
        (endless, "it is longer than 16 bytes"),
    ] {
        let (outcome, seen) = fetch(vec![said]).await;
        let error = outcome.unwrap_err();
        assert!(error.contains(reason), "{error}");
        assert_eq!(seen.len(), 1, "asking again would not help");
    }
    let server = Server::with(Vec::new()).await;
    let huge = Descriptor { size: 1001, ..wanted(BLOB) };
    let error = server.repository(Credentials::Anonymous).blob(&huge, |_| ()).await.unwrap_err();
    assert!(error.to_string().ends_with("it is longer than 1000 bytes"), "{error}");
}

#[tokio::test]
async fn a_manifest_is_bounded_and_is_what_its_digest_says() {
    let manifest = async |wanted: &str, said: Vec<u8>| {
        let server = Server::with(vec![said]).await;
        let outcome = server.repository(Credentials::Anonymous).manifest(wanted).await;
        (outcome.map_err(|error| error.to_string()), server.seen().await.remove(0))
    };
    let (outcome, seen) = manifest("1", ok(b"{}")).await;
    assert_eq!(outcome, Ok(b"{}".to_vec()));
    assert!(seen.starts_with("get /v2/team/app/manifests/1 "), "{seen}");
    let kinds =
        ["oci.image.index.v1", "oci.image.manifest.v1", "manifest.list.v2", "distribution.manifest.v2"];
    assert!(kinds.iter().all(|kind| seen.contains(kind)), "{seen}");
    let (outcome, _) = manifest("1", ok(&[b' '; 1001])).await;
    assert!(outcome.unwrap_err().contains("it is longer than 1000 bytes"));
    let other = Digest::of(b"other");
    for (wanted, headers) in
        [(other.as_str(), String::new()), ("1", format!("docker-content-digest: {other}\r\n"))]
    {
        let (outcome, _) = manifest(wanted, answer("200 OK", &headers, b"{}")).await;
        assert!(outcome.unwrap_err().contains("its digest is sha256:"), "{wanted}");
    }
}

#[tokio::test]
async fn a_name_that_is_not_there_and_a_closed_door_are_told_apart() {
    let errors = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest\nunknown"}]}"#;
    let server = Server::with(vec![answer("404 Not Found", "", errors)]).await;
    let error = server.repository(Credentials::Anonymous).manifest("2").await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }));
    let host = server.host;
    let expected = format!(
        "{host} answered 404 when asked for the manifest team/app:2: MANIFEST_UNKNOWN: manifestunknown"
    );
    assert_eq!(error.to_string(), expected);

    let closed = || answer("401 Unauthorized", "www-authenticate: Basic realm=\"x\"\r\n", b"");
    let server = Server::with(vec![closed()]).await;
    let error = server.repository(Credentials::Anonymous).manifest("1").await.unwrap_err();
    assert!(matches!(error, Error::Denied { with_credentials: false, .. }), "{error}");
    let server = Server::with(vec![closed(), closed()]).await;
    let error = server.repository(anna()).manifest("1").await.unwrap_err();
    assert!(matches!(error, Error::Denied { with_credentials: true, .. }), "{error}");
    let seen = server.seen().await;
    assert!(!seen[0].contains("authorization") && seen[1].contains(ANNA), "{seen:?}");
}

#[tokio::test]
async fn a_token_is_fetched_once_and_again_when_it_ran_out() {
    let service = Server::with(vec![ok(br#"{"token":"one"}"#), ok(br#"{"access_token":"two"}"#)]).await;
    let header = format!(
        "www-authenticate: Bearer realm=\"http://{}/token\",service=\"r\",scope=\"repository:team/app:pull\"\r\n",
        service.host
    );
    let closed = || answer("401 Unauthorized", &header, b"");
    let server = Server::with(vec![closed(), ok(b"{}"), ok(BLOB), closed(), ok(BLOB)]).await;
    let repository = server.repository(anna());
    repository.manifest("1").await.unwrap();
    assert_eq!(blob(&repository).await, Ok(BLOB.to_vec()));
    assert_eq!(blob(&repository).await, Ok(BLOB.to_vec()));
    let seen = server.seen().await;
    let shown =
        |request: &String| request.lines().find(|line| line.starts_with("authorization")).map(str::to_owned);
    let bearer = |token: &str| Some(format!("authorization: bearer {token}"));
    let expected = [None, bearer("one"), bearer("one"), bearer("one"), bearer("two")];
    assert_eq!(seen.iter().map(shown).collect::<Vec<_>>(), expected);
    let asked = service.seen().await;
    assert!(asked[0].starts_with("get /token?service=r&scope=repository%3ateam%2fapp%3apull "), "{asked:?}");
    assert!(asked.iter().all(|request| request.contains(ANNA)), "{asked:?}");
}

#[tokio::test]
async fn an_identity_token_is_changed_for_one_of_the_repository() {
    let service = Server::with(vec![ok(br#"{"access_token":"one"}"#)]).await;
    let header = format!("www-authenticate: Bearer realm=\"http://{}/token\"\r\n", service.host);
    let server = Server::with(vec![answer("401 Unauthorized", &header, b""), ok(b"{}")]).await;
    let repository = server.repository(Credentials::IdentityToken("kept".to_owned()));
    repository.manifest("1").await.unwrap();
    assert!(service.seen().await[0].starts_with("post /token "));
    assert!(server.seen().await[1].contains("authorization: bearer one"));
}

#[tokio::test]
async fn passwords_go_to_no_other_place() {
    // Another port is another place; the redirect is followed without what was shown to the registry.
    let store = Server::with(vec![ok(BLOB)]).await;
    let away = answer("307 Temporary Redirect", &format!("location: http://{}/x\r\n", store.host), b"");
    let closed = || answer("401 Unauthorized", "www-authenticate: Basic realm=\"x\"\r\n", b"");
    let server = Server::with(vec![closed(), away.clone()]).await;
    assert_eq!(blob(&server.repository(anna())).await, Ok(BLOB.to_vec()));
    assert!(server.seen().await[1].contains(ANNA));
    assert!(!store.seen().await[0].contains("authorization"));

    // Nor does the other place get them by asking for them.
    let thief = Server::with(vec![closed()]).await;
    let away = answer("307 Temporary Redirect", &format!("location: http://{}/x\r\n", thief.host), b"");
    let server = Server::with(vec![away]).await;
    assert!(blob(&server.repository(anna())).await.unwrap_err().contains("answered 401"));
    assert!(!thief.seen().await[0].contains("authorization"));

    // A token service without encryption elsewhere gets none, and one that sends us on is not followed.
    let realm = "www-authenticate: Bearer realm=\"http://10.0.0.1/token\"\r\n";
    let server = Server::with(vec![answer("401 Unauthorized", realm, b"")]).await;
    let error = server.repository(anna()).manifest("1").await.unwrap_err();
    assert!(error.to_string().ends_with("http://10.0.0.1/token: it is not encrypted"), "{error}");
    let service = Server::with(vec![answer("302 Found", "location: http://127.0.0.1:1/\r\n", b"")]).await;
    let header = format!("www-authenticate: Bearer realm=\"http://{}/\"\r\n", service.host);
    let server = Server::with(vec![answer("401 Unauthorized", &header, b"")]).await;
    let error = server.repository(anna()).manifest("1").await.unwrap_err();
    assert!(error.to_string().ends_with("it answered 302 Found"), "{error}");
}

#[tokio::test]
async fn redirects_are_counted_and_lead_nowhere_in_the_open() {
    let around = || answer("307 Temporary Redirect", "location: /v2/again\r\n", b"");
    let server = Server::with((0..6).map(|_| around()).collect()).await;
    assert!(blob(&server.repository(Credentials::Anonymous)).await.is_err());
    assert_eq!(server.seen().await.len(), 6);
    let away = answer("307 Temporary Redirect", "location: http://10.0.0.1/x\r\n", b"");
    let (outcome, seen) = fetch(vec![away]).await;
    assert!(outcome.unwrap_err().contains("cannot be asked for the blob"));
    assert_eq!(seen.len(), 1);
}

#[test]
fn an_encrypted_registry_leads_nowhere_without_encryption() {
    let may = |url: &str, is_plain, plain_http| may_speak(&Url::parse(url).unwrap(), is_plain, plain_http);
    assert!(may("https://a.io/", false, false) && may("http://a.io/", true, true));
    assert!(may("http://127.0.0.1:5000/", true, false) && may("http://[::1]/", true, false));
    assert!(!may("http://127.0.0.1/", false, false) && !may("http://a.io/", true, false));
    assert!(!may("file:///etc/passwd", true, true));
}

#[tokio::test]
async fn nobody_at_home_is_said_at_once() {
    let server = Server::with(Vec::new()).await;
    let repository = server.repository(Credentials::Anonymous);
    server.seen().await; // The listener is gone with its task.
    let error = repository.manifest("1").await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }) && !error.is_passing(), "{error}");
}
