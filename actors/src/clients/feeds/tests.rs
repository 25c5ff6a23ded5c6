//! Sources: folders and archives on disk, and a server of a few lines on a free port.

use std::io::Write as _;
use std::path::Path;

use advisory::formats::by_word;

use super::*;
use crate::clients::test_server::{self, answer};

pub(super) fn client(limits: Limits) -> Feeds {
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

pub(super) fn zipped(entries: &[(&str, &[u8])]) -> Vec<u8> {
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
    client(limits).open(uri, etag, false, format).await.map_err(|error| error.to_string())
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
    let Ok(Opened::Records { mark, records, .. }) = open(&uri, None, Limits::default()).await else {
        panic!("the first answer holds records");
    };
    let records: Vec<_> = records.map(|record| record.expect("a whole archive")).collect();
    assert_eq!(records, vec![document("a.json", "{}")]);
    let cursor = mark.cursor().await;
    let again = open(&uri, cursor.as_deref(), Limits::default()).await;
    assert!(matches!(again, Ok(Opened::Unchanged { cursor: same }) if same == cursor));
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
        let Ok(Opened::Records { records, .. }) =
            client(limits.clone()).open(&uri, None, false, format).await
        else {
            panic!("the answer holds documents");
        };
        assert_eq!(records.map(|record| record.expect("it is whole")).collect::<Vec<_>>(), vec![expected]);
    }
}

/// The records of a file of this name and content, or what stopped it.
fn read_file(name: &str, content: &[u8], limits: &Limits) -> Result<Vec<Record>, String> {
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(content).expect("it takes bytes");
    let records = file::open(name.to_owned(), file, limits).map_err(|error| error.to_string())?;
    records.collect::<Result<_, _>>().map_err(|error| error.to_string())
}

fn tarred(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, *bytes).expect("memory takes bytes");
    }
    tar.into_inner().expect("it ends")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory takes bytes");
    encoder.finish().expect("it ends")
}

fn zstd_of(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("memory takes bytes")
}

#[test]
fn every_kind_of_file_gives_its_records() {
    let long = format!("{}/2.json", "deep/".repeat(25));
    let lines: &[u8] = b"{\"id\":3}\n{\"id\":4}\n";
    let entries: [(&str, &[u8]); 5] = [
        ("1.json", b"{\"id\":1}"),
        ("1.json.asc", b"signature"),
        (&long, b"{\"id\":2}"),
        ("day.jsonl", lines),
        ("5.json.gz", &gzip(b"{\"id\":5}")),
    ];
    let expected = Ok(vec![
        document("1.json", "{\"id\":1}"),
        document(&long, "{\"id\":2}"),
        document("day.jsonl:1", "{\"id\":3}"),
        document("day.jsonl:2", "{\"id\":4}"),
        document("5.json.gz", "{\"id\":5}"),
    ]);
    let limits = Limits::default();
    let tar = tarred(&entries);
    assert_eq!(read_file("a.tar", &tar, &limits), expected);
    assert_eq!(read_file("a.tar.gz", &gzip(&tar), &limits), expected);
    assert_eq!(read_file("named-as-it-likes", &zstd_of(&tar), &limits), expected);
    assert_eq!(read_file("a.zip", &zipped(&entries), &limits), expected);
    let single = Ok(vec![document("a.json.gz", "{\"id\":1}")]);
    assert_eq!(read_file("a.json.gz", &gzip(b"{\"id\":1}"), &limits), single);
    let lined = Ok(vec![document("a.jsonl.zst:1", "{\"id\":3}"), document("a.jsonl.zst:2", "{\"id\":4}")]);
    assert_eq!(read_file("a.jsonl.zst", &zstd_of(lines), &limits), lined);
}

#[test]
fn names_with_extended_headers_are_read() {
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_pax_extensions([("path", "wide/1.json".as_bytes()), ("mtime", b"1.5")]).expect("memory");
    let mut header = tar::Header::new_ustar();
    header.set_size(2);
    header.set_cksum();
    tar.append_data(&mut header, "short.json", &b"{}"[..]).expect("memory takes bytes");
    let tar = tar.into_inner().expect("it ends");
    assert_eq!(read_file("a.tar", &tar, &Limits::default()), Ok(vec![document("wide/1.json", "{}")]));
}

#[test]
fn links_and_names_that_lead_out_are_passed_over_with_a_problem() {
    let mut tar = tar::Builder::new(Vec::new());
    let mut link = tar::Header::new_gnu();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_size(0);
    tar.append_link(&mut link, "latest.json", "/etc/passwd").expect("memory takes bytes");
    let mut out = tar::Header::new_gnu();
    out.as_old_mut().name[..12].copy_from_slice(b"../evil.json");
    out.set_size(2);
    out.set_cksum();
    tar.append(&out, &b"{}"[..]).expect("memory takes bytes");
    let mut inner = tar::Header::new_gnu();
    inner.set_size(4);
    tar.append_data(&mut inner, "inner.zip", &b"PK.."[..]).expect("memory takes bytes");
    let mut good = tar::Header::new_gnu();
    good.set_size(2);
    tar.append_data(&mut good, "good.json", &b"{}"[..]).expect("memory takes bytes");
    let tar = tar.into_inner().expect("it ends");
    let records = read_file("a.tar", &tar, &Limits::default()).expect("the archive goes on");
    let places: Vec<_> = records
        .iter()
        .map(|record| match record {
            Record::Ignored { place, .. } => (place.as_str(), "ignored"),
            Record::Document { place, .. } => (place.as_str(), "read"),
            Record::Unreadable { .. } => panic!("{record:?}"),
        })
        .collect();
    let expected = [
        ("latest.json", "ignored"),
        ("../evil.json", "ignored"),
        ("inner.zip", "ignored"),
        ("good.json", "read"),
    ];
    assert_eq!(places, expected);
}

#[test]
fn a_bomb_ends_the_reading_before_it_is_unpacked() {
    let limits = Limits { unpacked_bytes: 1 << 20, ..Limits::default() };
    let zeros = vec![b' '; 2 << 20];
    let bomb = "has more than 1048576 unpacked bytes";
    let tar = tarred(&[("a.json", &zeros)]);
    assert_eq!(read_file("a.tar.gz", &gzip(&tar), &limits), Err(format!("a.tar.gz {bomb}")));
    assert_eq!(read_file("a.tar.zst", &zstd_of(&tar), &limits), Err(format!("a.tar.zst {bomb}")));
    assert_eq!(read_file("a.jsonl.gz", &gzip(&zeros), &limits), Err(format!("a.jsonl.gz {bomb}")));
    assert_eq!(read_file("a.json.zst", &zstd_of(&zeros), &limits), Err(format!("a.json.zst {bomb}")));
    let nested = zipped(&[("a.json.gz", &gzip(&zeros))]);
    let found = read_file("a.zip", &nested, &limits).expect("it costs the member only");
    assert!(matches!(&found[..], [Record::Unreadable { .. }]), "{found:?}");
    let crowd: Vec<_> = (0..9).map(|n| format!("{n}.txt")).collect();
    let crowd: Vec<(&str, &[u8])> = crowd.iter().map(|name| (name.as_str(), &b""[..])).collect();
    let limits = Limits { records: records(8, 99), ..Limits::default() };
    assert_eq!(read_file("a.tar", &tarred(&crowd), &limits), Err("a.tar has more than 8 members".to_owned()));
    assert_eq!(read_file("a.zip", &zipped(&crowd), &limits), Err("a.zip has more than 8 records".to_owned()));
}

#[test]
fn what_is_not_read_says_what_it_is() {
    let limits = Limits::default();
    let error = |name, content: &[u8]| read_file(name, content, &limits).unwrap_err();
    assert_eq!(error("a.json.bz2", b"BZh91AY&SY"), "a.json.bz2 is bzip2, which is not read");
    assert_eq!(error("a.gz", &gzip(&zipped(&[]))), "a.gz is packed twice, which is not read");
    assert_eq!(error("a.zst", &zstd_of(&gzip(b"x"))), "a.zst is packed twice, which is not read");
}

#[test]
fn an_archive_that_breaks_off_is_an_error() {
    let tar = tarred(&[("1.json", b"{}"), ("2.json", &[b' '; 600])]);
    let limits = Limits::default();
    let cut = |at: usize| read_file("a.tar", &tar[..at], &limits).unwrap_err();
    assert_eq!(cut(1024), "cannot read a.tar to its end: it breaks off before its end");
    assert_eq!(cut(1300), "cannot read a.tar to its end: it breaks off within a header");
    assert_eq!(cut(1700), "cannot read a.tar to its end: it breaks off within a member");
    let packed = gzip(&tar);
    assert_eq!(read_file("a.tgz", &packed[..packed.len() - 9], &limits), Err("cannot read a.tgz".to_owned()));
    let mut damaged = tar.clone();
    damaged[1] ^= 1;
    let wrong = "cannot read a.tar to its end: a header has a wrong checksum";
    assert_eq!(read_file("a.tar", &damaged, &limits), Err(wrong.to_owned()));
}

#[tokio::test]
async fn a_download_goes_on_where_it_broke_off() {
    let body = zipped(&[("a.json", b"{}")]);
    let (first, rest) = body.split_at(20);
    let mark = "etag: \"v1\"\r\n";
    let range = format!("{mark}content-range: bytes 20-{}/{}\r\n", body.len() - 1, body.len());
    let answers = vec![
        test_server::cut("200 OK", mark, first, body.len()),
        answer("206 Partial Content", &range, rest),
    ];
    let (uri, seen) = serve(answers).await;
    let Ok(Opened::Records { records, .. }) = open(&uri, None, Limits::default()).await else {
        panic!("it is whole in the end");
    };
    assert_eq!(
        records.map(|record| record.expect("whole")).collect::<Vec<_>>(),
        vec![document("a.json", "{}")]
    );
    let seen = seen.await.expect("the server ends");
    assert!(!seen[0].contains("range:"), "{}", seen[0]);
    assert!(
        seen[1].contains("range: bytes=20-\r\n") && seen[1].contains("if-range: \"v1\"\r\n"),
        "{}",
        seen[1]
    );
}

#[tokio::test]
async fn a_download_of_another_state_or_without_a_mark_begins_again() {
    let body = zipped(&[("a.json", b"{\"new\":1}")]);
    let old = [b'x'; 30];
    let whole = || answer("200 OK", "etag: \"v2\"\r\n", &body);
    for mark in ["etag: \"v1\"\r\n", "etag: W/\"v1\"\r\n", ""] {
        let (uri, seen) = serve(vec![test_server::cut("200 OK", mark, &old, 500), whole()]).await;
        let Ok(Opened::Records { records, mark: after, .. }) = open(&uri, None, Limits::default()).await
        else {
            panic!("it is whole in the end");
        };
        let expected = vec![document("a.json", "{\"new\":1}")];
        assert_eq!(records.map(|record| record.expect("whole")).collect::<Vec<_>>(), expected);
        assert!(after.cursor().await.is_some_and(|cursor| cursor.contains("v2")));
        let asked_for_rest = seen.await.expect("the server ends")[1].contains("range:");
        assert_eq!(asked_for_rest, mark.contains("\"v1\"") && !mark.contains("W/"), "{mark:?}");
    }
}

#[tokio::test]
async fn a_download_that_breaks_off_again_and_again_is_given_up() {
    let answers = (0..7).map(|_| test_server::cut("200 OK", "", b"some", 500)).collect();
    let (uri, _seen) = serve(answers).await;
    assert_eq!(open(&uri, None, Limits::default()).await.err(), Some(format!("cannot fetch {uri}")));
}

#[tokio::test]
async fn who_may_not_read_is_blocked_and_who_is_down_has_failed() {
    for (status, fault) in [
        ("401 Unauthorized", Fault::Blocked),
        ("403 Forbidden", Fault::Blocked),
        ("500 Oh", Fault::Failed),
        ("404 Not Found", Fault::Failed),
    ] {
        let (uri, _seen) = serve(vec![answer(status, "", b"")]).await;
        let format = by_word("osv").expect("it is in the table");
        let error = client(Limits::default()).open(&uri, None, false, format).await.err().expect(status);
        assert_eq!(error.fault(), fault, "{status}");
    }
}
