//! Sources: folders and archives on disk, and a server of a few lines on a free port.

use std::io::Write as _;
use std::path::Path;

use advisory::formats::by_word;

use super::*;
use crate::clients::test_server::{self, answer};

fn client(limits: Limits) -> Feeds {
    // Another test of this process may have installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Feeds::new(limits, true).expect("a client can be built")
}

fn records(records: u64, record_bytes: usize) -> advisory::Limits {
    advisory::Limits { records, record_bytes, ..advisory::Limits::default() }
}

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    std::fs::write(folder.join(name), bytes).expect("a temporary folder takes a file");
}

fn document(place: &str, text: &str) -> Record {
    Record::Document { place: place.to_owned(), bytes: text.as_bytes().to_vec() }
}

/// A folder's records, or what stopped it.
fn walk(folder: &Path, limits: Limits) -> Result<Vec<Record>, String> {
    let records = Folder::open(folder.to_owned(), limits).map_err(|error| error.to_string())?;
    records.collect::<Result<_, _>>().map_err(|error| error.to_string())
}

fn zipped(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).expect("a fresh name");
        zip.write_all(bytes).expect("memory takes bytes");
    }
    zip.finish().expect("the list can be written").into_inner()
}

fn archive(entries: &[(&str, &[u8])], limits: Limits) -> Result<Vec<Record>, String> {
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(&zipped(entries)).expect("it takes bytes");
    let records = Archive::open("all.zip".to_owned(), file, limits).map_err(|error| error.to_string())?;
    records.collect::<Result<_, _>>().map_err(|error| error.to_string())
}

/// Where a source is that answers so, and the requests it saw.
async fn serve(answers: Vec<Vec<u8>>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let (host, seen) = test_server::serve(answers).await;
    (format!("http://{host}/npm/all.zip"), seen)
}

async fn open(uri: &str, etag: Option<&str>, limits: Limits) -> Result<Opened, String> {
    let format = by_word("osv").expect("it is in the table");
    client(limits).open(uri, etag, format).await.map_err(|error| error.to_string())
}

#[test]
fn only_folders_and_encrypted_addresses_are_sources() {
    let parse = |uri, plain| Source::parse(uri, plain).map_err(|error| error.to_string());
    assert_eq!(parse("file:///srv/osv", false), Ok(Source::Folder("/srv/osv".into())));
    assert!(matches!(parse("https://example.org/all.zip", false), Ok(Source::Archive(_))));
    assert!(matches!(parse("http://example.org/all.zip", true), Ok(Source::Archive(_))));
    for bad in ["", "srv/osv", "http://example.org/", "ftp://example.org/", "https://a:b@example.org/"] {
        assert!(parse(bad, false).is_err(), "{bad:?} was taken");
    }
}

#[test]
fn a_folder_gives_its_files_by_name_and_lines_by_number() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write(folder.path(), "c.jsonl.zst", &zstd::encode_all(&b"{\"id\":4}\n"[..], 1).expect("memory"));
    write(folder.path(), "b.jsonl", b"{\"id\":2}\n\n{\"id\":3}");
    write(folder.path(), "a.json", b"{\"id\":1}");
    write(folder.path(), "README.md", b"not a record");
    let expected = vec![
        document("a.json", "{\"id\":1}"),
        document("b.jsonl:1", "{\"id\":2}"),
        document("b.jsonl:3", "{\"id\":3}"),
        document("c.jsonl.zst:1", "{\"id\":4}"),
    ];
    assert_eq!(walk(folder.path(), Limits::default()), Ok(expected));
}

#[test]
fn a_folder_is_bounded_in_files_records_and_bytes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write(folder.path(), "a.jsonl", b"1\n22\n333\n");
    write(folder.path(), "b.json", b"4444");
    let with = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        walk(folder.path(), limits)
    };
    let files = with(|limits| limits.files = 1);
    assert_eq!(files, Err(format!("{} has more than 1 files", folder.path().display())));
    assert_eq!(with(|limits| limits.records.records = 2), Err("a.jsonl has more than 2 records".to_owned()));
    assert_eq!(with(|limits| limits.unpacked_bytes = 5), Err("a.jsonl:3 has more than 5 bytes".to_owned()));
    let what = || "it is longer than 2 bytes".to_owned();
    let expected = vec![
        document("a.jsonl:1", "1"),
        document("a.jsonl:2", "22"),
        Record::Unreadable { place: "a.jsonl:3".to_owned(), what: what() },
        Record::Unreadable { place: "b.json".to_owned(), what: what() },
    ];
    assert_eq!(with(|limits| limits.records.record_bytes = 2), Ok(expected));
}

#[test]
fn a_missing_folder_is_an_error_with_its_name() {
    let error = walk(Path::new("/nowhere/osv"), Limits::default());
    assert_eq!(error, Err("cannot read /nowhere/osv".to_owned()));
}

#[test]
fn an_archive_gives_its_json_entries() {
    let entries: [(&str, &[u8]); 3] =
        [("GHSA-1.json", b"{\"id\":1}"), ("notes.txt", b"no"), ("a/2.json", b"{}")];
    let expected = vec![document("GHSA-1.json", "{\"id\":1}"), document("a/2.json", "{}")];
    assert_eq!(archive(&entries, Limits::default()), Ok(expected));
}

#[test]
fn an_archive_is_bounded_in_entries_and_bytes() {
    let bomb = vec![b' '; 1 << 20];
    let entries: [(&str, &[u8]); 3] = [("a.json", &bomb), ("b.json", &bomb), ("c.json", &bomb)];
    let limits = Limits { records: records(2, 99), ..Limits::default() };
    assert_eq!(archive(&entries, limits), Err("all.zip has more than 2 records".to_owned()));
    let limits = Limits { unpacked_bytes: 2 << 20, ..Limits::default() };
    assert_eq!(archive(&entries, limits), Err("all.zip has more than 2097152 unpacked bytes".to_owned()));
    let limits = Limits { records: records(99, 9), ..Limits::default() };
    let places = archive(&entries[..1], limits);
    let what = "it is longer than 9 bytes".to_owned();
    assert_eq!(places, Ok(vec![Record::Unreadable { place: "a.json".to_owned(), what }]));
}

#[test]
fn a_damaged_entry_costs_itself() {
    let mut bytes = zipped(&[("a.json", b"first"), ("b.json", b"second")]);
    let at = bytes.windows(5).position(|window| window == b"first").unwrap_or(38);
    bytes[at] ^= 0xff;
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(&bytes).expect("it takes bytes");
    let records: Vec<_> = Archive::open("all.zip".to_owned(), file, Limits::default())
        .expect("the list is whole")
        .map(|record| record.expect("the archive goes on"))
        .collect();
    assert!(matches!(&records[0], Record::Unreadable { place, .. } if place == "a.json"), "{records:?}");
    assert_eq!(records[1], document("b.json", "second"));
}

#[test]
fn what_is_no_archive_is_an_error() {
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(b"<html>not today</html>").expect("it takes bytes");
    let error = Archive::open("all.zip".to_owned(), file, Limits::default()).err().expect("no archive");
    assert_eq!(error.to_string(), "cannot read all.zip");
}

#[tokio::test]
async fn an_unchanged_archive_is_not_sent_again() {
    let body = zipped(&[("a.json", b"{}")]);
    let (uri, seen) =
        serve(vec![answer("200 OK", "etag: \"v1\"\r\n", &body), answer("304 Not Modified", "", b"")]).await;
    let Ok(Opened::Records { etag, records }) = open(&uri, None, Limits::default()).await else {
        panic!("the first answer holds records");
    };
    assert_eq!(etag.as_deref(), Some("\"v1\""));
    let records: Vec<_> = records.map(|record| record.expect("a whole archive")).collect();
    assert_eq!(records, vec![document("a.json", "{}")]);
    assert!(matches!(open(&uri, etag.as_deref(), Limits::default()).await, Ok(Opened::Unchanged)));
    let seen = seen.await.expect("the server ends");
    assert!(!seen[0].contains("if-none-match"), "{}", seen[0]);
    assert!(seen[1].contains("if-none-match: \"v1\"\r\n"), "{}", seen[1]);
}

#[tokio::test]
async fn a_refusal_names_the_status() {
    let (uri, _seen) = serve(vec![answer("404 Not Found", "", b"")]).await;
    assert_eq!(open(&uri, None, Limits::default()).await.err(), Some(format!("{uri} answered 404")));
}

#[tokio::test]
async fn a_download_is_bounded() {
    let (uri, _seen) = serve(vec![answer("200 OK", "", &[b'x'; 1000])]).await;
    let limits = Limits { download_bytes: 999, ..Limits::default() };
    assert_eq!(open(&uri, None, limits).await.err(), Some(format!("{uri} has more than 999 bytes")));
}

#[tokio::test]
async fn redirects_are_bounded() {
    let again = || answer("302 Found", "location: /npm/all.zip\r\n", b"");
    let (uri, seen) = serve(vec![again(), again()]).await;
    let limits = Limits { redirects: 1, ..Limits::default() };
    assert_eq!(open(&uri, None, limits).await.err(), Some(format!("cannot fetch {uri}")));
    assert_eq!(seen.await.expect("the server ends").len(), 2);
}

#[tokio::test]
async fn a_document_of_many_records_is_a_source_by_itself_or_in_an_archive() {
    let archive = zipped(&[("main.json", b"{}")]);
    let (uri, _seen) = serve(vec![answer("200 OK", "", b"{ }"), answer("200 OK", "", &archive)]).await;
    let format = by_word("secdb").expect("it is in the table");
    let mut limits = Limits::default();
    limits.records.document_bytes = 3;
    for expected in [document(&uri, "{ }"), document("main.json", "{}")] {
        let Ok(Opened::Records { records, .. }) = client(limits.clone()).open(&uri, None, format).await
        else {
            panic!("the answer holds documents");
        };
        assert_eq!(records.map(|record| record.expect("it is whole")).collect::<Vec<_>>(), vec![expected]);
    }
}
