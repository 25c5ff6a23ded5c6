//! One layer: what is checked, what is refused and why, what is taken as it is.

use std::io::{self, Read, Write};

use inventory::{LayerDescriptor, LayerError, Limits, Reason, compose, media_type, read_layer};
use model::{Digest, Sbom};

use crate::support::{describe, gzip, packages, plain, scan_archives};
use crate::tar::Tar;

const GZIP: &str = media_type::OCI_LAYER_GZIP;
const ZSTD: &str = media_type::OCI_LAYER_ZSTD;
const DOCKER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// A package at a path of one's choice.
fn egg(name: &str) -> Vec<u8> {
    format!("Name: {name}\nVersion: 1\n").into_bytes()
}

fn one_egg() -> Vec<u8> {
    Tar::new().file("a.egg-info", egg("a")).end()
}

fn read(blob: &[u8], layer: &LayerDescriptor, limits: &Limits) -> Result<Sbom, LayerError> {
    read_layer(blob, layer, limits).map(|layer| compose(&[layer]))
}

/// What a blob of this media type holds, when digests are as they should be.
fn read_as(kind: &str, blob: &[u8], archive: &[u8]) -> Result<Vec<String>, Reason> {
    let outcome = read(blob, &describe(blob, kind, archive), &Limits::DEFAULT);
    outcome.map(|sbom| packages(&sbom)).map_err(|e| e.reason)
}

fn read_archive(archive: Vec<u8>) -> Result<Vec<String>, Reason> {
    scan_archives(&[archive]).map(|sbom| packages(&sbom)).map_err(|e| e.reason)
}

fn check_archive(archive: Vec<u8>, expected: Result<&[&str], Reason>) {
    assert_eq!(read_archive(archive), expected.map(|names| names.iter().map(|n| format!("{n} 1")).collect()));
}

/// The reason for refusing an archive under tighter limits.
fn refusal(archive: &[u8], limits: &Limits) -> LayerError {
    read(archive, &plain(archive), limits).expect_err("the layer was taken")
}

#[test]
fn digests_and_size_are_those_of_manifest_and_config() {
    let archive = one_egg();
    let good = plain(&archive);
    let reason = |layer: LayerDescriptor| read(&archive, &layer, &Limits::DEFAULT).unwrap_err().reason;
    let other = Digest::of(b"other");
    assert_eq!(reason(LayerDescriptor { digest: other.clone(), ..good.clone() }), Reason::DigestMismatch);
    assert_eq!(reason(LayerDescriptor { diff_id: other, ..good.clone() }), Reason::DiffIdMismatch);
    assert_eq!(reason(LayerDescriptor { size: good.size + 1, ..good.clone() }), Reason::Truncated);
    assert_eq!(reason(LayerDescriptor { size: good.size - 1, ..good }), Reason::SizeMismatch);
}

#[test]
fn what_follows_the_archive_counts_for_the_digests() {
    let longer = [one_egg(), b"anything".to_vec()].concat();
    assert_eq!(read_archive(longer), Ok(vec!["a 1".to_owned()]));
}

#[test]
fn compression_is_told_by_bytes_unless_the_layer_says_it_is_plain() {
    let (archive, found) = (one_egg(), Ok(vec!["a 1".to_owned()]));
    let zstd = zstd::encode_all(&archive[..], 3).unwrap();
    for kind in [GZIP, ZSTD, DOCKER] {
        for blob in [&archive, &gzip(&archive), &zstd] {
            assert_eq!(read_as(kind, blob, &archive), found, "{kind}");
        }
    }
    assert_eq!(read_as(media_type::OCI_LAYER, &archive, &archive), found);
    assert_eq!(read_as(media_type::OCI_LAYER, &gzip(&archive), &archive), Err(Reason::NotATar));
    assert_eq!(read_as("text/plain", &archive, &archive), Err(Reason::UnsupportedMediaType));
}

#[test]
fn members_and_frames_follow_each_other() {
    let archive = Tar::new().file("a.egg-info", egg("a")).file("b.egg-info", egg("b")).end();
    let (first, second) = archive.split_at(1500);
    let found = Ok(vec!["a 1".to_owned(), "b 1".to_owned()]);
    assert_eq!(read_as(GZIP, &[gzip(first), gzip(second)].concat(), &archive), found);
    let frame = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
    let skippable = b"\x50\x2a\x4d\x18\x03\0\0\0abc".to_vec();
    let frames = [skippable.clone(), frame(first), skippable, frame(second)].concat();
    assert_eq!(read_as(ZSTD, &frames, &archive), found);
}

#[test]
fn broken_compression_is_refused() {
    let archive = one_egg();
    let zipped = gzip(&archive);
    let mut flipped = zipped.clone();
    let checksum = flipped.len() - 6;
    flipped[checksum] ^= 1;
    assert_eq!(read_as(GZIP, &flipped, &archive), Err(Reason::CorruptCompression));
    assert_eq!(
        read_as(GZIP, &[&zipped[..], b"junk at the end"].concat(), &archive),
        Err(Reason::CorruptCompression)
    );
    assert_eq!(read_as(GZIP, &zipped[..zipped.len() - 9], &archive), Err(Reason::Truncated));
    let zstd = zstd::encode_all(&archive[..], 3).unwrap();
    assert_eq!(read_as(ZSTD, &zstd[..zstd.len() - 3], &archive), Err(Reason::Truncated));
}

#[test]
fn a_blob_that_is_not_the_promised_one_is_blamed_first() {
    let archive = one_egg();
    let zipped = gzip(&archive);
    let layer = describe(&zipped, GZIP, &archive);
    let short = read(&zipped[..zipped.len() / 2], &layer, &Limits::DEFAULT).unwrap_err();
    assert!(short.to_string().contains("the blob ends after"), "{short}");
    let mut flipped = zipped;
    flipped[20] ^= 0xff;
    assert_eq!(read(&flipped, &layer, &Limits::DEFAULT).unwrap_err().reason, Reason::DigestMismatch);
}

#[test]
fn a_reader_that_fails_is_no_fault_of_the_layer() {
    struct Stopped;
    impl Read for Stopped {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::new(io::ErrorKind::ConnectionAborted, "cancelled"))
        }
    }
    let archive = one_egg();
    let zipped = gzip(&archive);
    let reader = (&zipped[..20]).chain(Stopped);
    let error = read_layer(reader, &describe(&zipped, GZIP, &archive), &Limits::DEFAULT).unwrap_err();
    assert_eq!((error.reason, error.reason.is_permanent()), (Reason::ReadFailed, false));
    assert_eq!(error.source.map(|e| e.to_string()).as_deref(), Some("cancelled"));
}

#[test]
fn the_layer_and_the_entry_are_named() {
    let archive =
        Tar::new().file("./first", "x").header(b'0', b"dir/second", b"", 5000, |_| ()).body(b"short").cut();
    let error = refusal(&archive, &Limits::DEFAULT);
    assert_eq!(error.layer, Digest::of(&archive));
    assert_eq!((error.reason, error.entry.as_deref()), (Reason::Truncated, Some("dir/second")));
}

#[test]
fn a_wanted_file_is_whole_or_the_layer_is_refused() {
    let archive = Tar::new().header(b'0', b"a.egg-info", b"", 5000, |_| ()).body(&egg("a")).cut();
    check_archive(archive, Err(Reason::Truncated));
}

#[test]
fn archives_end_as_go_lets_them_end() {
    let entry = Tar::new().file("a.egg-info", egg("a"));
    check_archive(entry.clone().cut(), Ok(&["a"]));
    check_archive(entry.clone().raw(&[0; 512]).cut(), Ok(&["a"]));
    check_archive(entry.clone().raw(&[0; 1024]).file("b.egg-info", egg("b")).cut(), Ok(&["a"]));
    check_archive(entry.clone().raw(&[0; 512]).file("b.egg-info", egg("b")).end(), Err(Reason::MalformedTar));
    check_archive(entry.clone().raw(&[0; 100]).cut(), Err(Reason::Truncated));
    check_archive(entry.raw(&[7; 512]).end(), Err(Reason::MalformedTar));
    let unpadded = Tar::new().header(b'0', b"a.egg-info", b"", 18, |_| ()).raw(&egg("a")).cut();
    check_archive(unpadded, Ok(&["a"]));
    check_archive(Vec::new(), Ok(&[]));
    check_archive(vec![0; 10240], Ok(&[]));
    check_archive(b"#!/bin/sh\n".repeat(100), Err(Reason::NotATar));
}

#[test]
fn sizes_are_those_that_runtimes_use() {
    // A header may say one size and its PAX records another: the records count.
    let pax_size = Tar::new()
        .pax(&[("size", b"18")])
        .header(b'0', b"a.egg-info", b"", 0, |_| ())
        .body(&egg("a"))
        .file("b.egg-info", egg("b"))
        .end();
    check_archive(pax_size, Ok(&["a", "b"]));
    // Directories and links have no body, whatever they say.
    let hidden = Tar::new().header(b'5', b"d", b"", 1024, |_| ()).file("b.egg-info", egg("b")).end();
    check_archive(hidden, Ok(&["b"]));
    let set = |field: [u8; 12]| {
        Tar::new().header(b'0', b"x", b"", 0, |block| block[124..136].copy_from_slice(&field)).end()
    };
    check_archive(set([0xff; 12]), Err(Reason::MalformedTar));
    check_archive(set([0x80, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0]), Err(Reason::LimitExceeded));
    let mut bad_sum = one_egg();
    bad_sum[0] ^= 1;
    check_archive(bad_sum, Err(Reason::NotATar));
}

#[test]
fn names_may_be_long_and_odd() {
    let long = format!("{}/a.egg-info", "d".repeat(300));
    check_archive(Tar::new().file(&long, egg("a")).end(), Ok(&["a"]));
    let gnu = Tar::new().entry(b'L', "././@LongLink", "", format!("{long}\0")).file("short", egg("a")).end();
    check_archive(gnu, Ok(&["a"]));
    let prefix = |block: &mut [u8; 512]| block[345..350].copy_from_slice(b"upper");
    let split = Tar::new().header(b'0', b"a.egg-info", b"", 18, prefix).body(&egg("a")).end();
    let sbom = scan_archives(&[split]).unwrap();
    assert_eq!(sbom.components[0].locations[0].path, "upper/a.egg-info");
    let odd = Tar::new().file(b"\xff\n.egg-info", egg("a")).end();
    assert_eq!(scan_archives(&[odd]).unwrap().components[0].locations[0].path, "\\xff\\x0a.egg-info");
    let nul = Tar::new().pax(&[("path", b"a\0b")]).file("a.egg-info", egg("a")).end();
    check_archive(nul, Err(Reason::MalformedTar));
    let global = Tar::new().entry(b'g', "pax", "", "16 path=elsewhere").file("a.egg-info", egg("a")).end();
    check_archive(global, Ok(&["a"]));
    let deep = |levels: usize| Tar::new().file(format!("{}a.egg-info", "d/".repeat(levels)), egg("a")).end();
    check_archive(deep(2000), Ok(&["a"]));
    check_archive(deep(3000), Err(Reason::LimitExceeded));
}

#[test]
fn every_spelling_of_a_path_is_the_same_path_and_the_last_entry_counts() {
    for other in
        ["./x/a.egg-info", "/x/a.egg-info", "x//a.egg-info", "../../x/a.egg-info", "y/../x/./a.egg-info"]
    {
        let archive = Tar::new().file("x/a.egg-info", egg("old")).file(other, egg("new")).end();
        check_archive(archive, Ok(&["new"]));
    }
}

#[test]
fn old_directories_are_files_with_a_slash() {
    let v7 = Tar::new().file("a.egg-info", egg("a")).header(0, b"a.egg-info/", b"", 1024, |_| ());
    check_archive(v7.file("b.egg-info", egg("b")).end(), Ok(&["b"]));
}

#[test]
fn what_is_no_file_is_no_package_and_says_so() {
    for kind in [b'3', b'4', b'6', b'V'] {
        let archive = Tar::new().entry(kind, "a.egg-info", "", "").end();
        let sbom = scan_archives(&[archive]).unwrap();
        assert_eq!(sbom.components, []);
        assert_eq!(sbom.problems[0].place, "layer 0: a.egg-info");
    }
}

#[test]
fn what_was_refused_is_forgotten_when_a_later_entry_takes_its_place() {
    let archive = Tar::new().entry(b'6', "a.egg-info", "", "").file("a.egg-info", egg("a")).end();
    let sbom = scan_archives(&[archive]).unwrap();
    assert_eq!((packages(&sbom), sbom.problems), (vec!["a 1".to_owned()], vec![]));
}

#[test]
fn sparse_files_cost_their_logical_size_and_are_not_read() {
    let gnu_sparse = |size: u64, name: &[u8]| {
        Tar::new().header(b'S', name, b"", 18, |block| {
            block[257..265].copy_from_slice(b"ustar  \0");
            block[483..495].copy_from_slice(format!("{size:012o}").as_bytes());
        })
    };
    let old = gnu_sparse(100, b"a.egg-info").body(&egg("a")).file("b.egg-info", egg("b")).end();
    let sbom = scan_archives(&[old]).unwrap();
    assert_eq!(packages(&sbom), ["b 1"]);
    assert!(sbom.problems[0].what.contains("stored with holes"), "{:?}", sbom.problems);
    let huge = (0..9).fold(Tar::new(), |tar, _| tar.raw(&gnu_sparse(8 << 30, b"x").body(&egg("a")).cut()));
    check_archive(huge.end(), Err(Reason::LimitExceeded));
    // In PAX form the header carries a name of no meaning.
    let records: [(&str, &[u8]); 4] = [
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"a.egg-info"),
        ("GNU.sparse.realsize", b"999"),
    ];
    let pax = Tar::new().pax(&records).file("GNUSparseFile.1/x", "1\n0\n18\n").end();
    let sbom = scan_archives(&[pax]).unwrap();
    assert_eq!((sbom.components.len(), sbom.problems[0].place.as_str()), (0, "layer 0: a.egg-info"));
}

#[test]
fn bombs_end_early() {
    let mut zeros = io::repeat(0).take(256 << 20);
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    let header = Tar::new().header(b'0', b"zeros", b"", 256 << 20, |_| ()).cut();
    encoder.write_all(&header).unwrap();
    io::copy(&mut zeros, &mut encoder).unwrap();
    let blob = encoder.finish().unwrap();
    assert!(blob.len() < 1 << 20);
    assert_eq!(read_as(ZSTD, &blob, b""), Err(Reason::LimitExceeded));

    let archive = Tar::new().file("zeros", vec![0; 1 << 20]).end();
    let blob = gzip(&archive);
    let layer = describe(&blob, GZIP, &archive);
    assert!(read(&blob, &layer, &Limits::DEFAULT).is_ok(), "small layers may compress well");
    let tight = Limits { ratio_free_bytes: 1 << 16, ratio: 50, ..Limits::DEFAULT };
    assert_eq!(read(&blob, &layer, &tight).unwrap_err().reason, Reason::LimitExceeded);
    let small = Limits { layer_bytes: 1 << 18, ..Limits::DEFAULT };
    assert_eq!(read(&blob, &layer, &small).unwrap_err().reason, Reason::LimitExceeded);
    let empty = Limits { blob_bytes: 10, ..Limits::DEFAULT };
    assert_eq!(read(&blob, &layer, &empty).unwrap_err().reason, Reason::LimitExceeded);
}

#[test]
fn a_zstd_window_is_bounded() {
    let archive = Tar::new().file("x", vec![1; 3 << 20]).end();
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(21).unwrap();
    encoder.write_all(&archive).unwrap();
    let blob = encoder.finish().unwrap();
    let layer = describe(&blob, ZSTD, &archive);
    assert!(read(&blob, &layer, &Limits::DEFAULT).is_ok());
    let tight = Limits { zstd_window_log: 20, ..Limits::DEFAULT };
    let error = read(&blob, &layer, &tight).unwrap_err();
    assert_eq!(error.reason, Reason::LimitExceeded, "{error}");
}

#[test]
fn headers_that_claim_gigabytes_are_refused_before_they_are_read() {
    for kind in [b'x', b'g', b'L', b'K'] {
        let claim = Tar::new().header(kind, b"huge", b"", 2 << 30, |_| ()).cut();
        check_archive(claim, Err(Reason::LimitExceeded));
    }
}

#[test]
fn counts_and_bytes_are_bounded() {
    let many = (0..20).fold(Tar::new(), |tar, n| tar.file(format!("d/{n}.egg-info"), egg("a"))).end();
    for limits in [
        Limits { paths: 20, ..Limits::DEFAULT },
        Limits { kept_bytes: 1000, ..Limits::DEFAULT },
        Limits { path_bytes: 10, ..Limits::DEFAULT },
    ] {
        assert_eq!(refusal(&many, &limits).reason, Reason::LimitExceeded);
    }
    assert!(read(&many, &plain(&many), &Limits { paths: 21, ..Limits::DEFAULT }).is_ok());
}

#[test]
fn a_file_too_large_to_read_costs_itself() {
    let archive =
        Tar::new().file("a.egg-info", [egg("a"), vec![b'\n'; 100]].concat()).file("b.egg-info", egg("b"));
    let archive = archive.end();
    let limits = Limits { file_bytes: 100, ..Limits::DEFAULT };
    let sbom = read(&archive, &plain(&archive), &limits).unwrap();
    assert_eq!(packages(&sbom), ["b 1"]);
    assert_eq!(sbom.problems[0].what, "has 119 bytes, over 100");
}

#[test]
fn names_reserved_for_whiteouts_are_refused() {
    for name in ["a/.wh.", "a/.wh..", "a/.wh...", "a/.wh.b/c", ".wh.d/.wh..wh..opq"] {
        let error = refusal(&Tar::new().file(name, "").end(), &Limits::DEFAULT);
        assert_eq!((error.reason, error.entry.as_deref()), (Reason::InvalidWhiteout, Some(name)));
    }
    for name in [".wh..wh.aufs", ".wh..wh.plnk/1.2", "a/.wh..wh.orph/x.egg-info"] {
        check_archive(Tar::new().file(name, egg("a")).end(), Ok(&[]));
    }
}

#[test]
fn entries_where_nothing_can_be_are_refused() {
    let below_file = Tar::new().file("a", "x").file("a/b.egg-info", egg("b")).end();
    check_archive(below_file, Err(Reason::ImpossiblePath));
    let in_loop = Tar::new().symlink("x", "y").symlink("y", "x").file("x/b.egg-info", egg("b")).end();
    check_archive(in_loop, Err(Reason::ImpossiblePath));
    // The link through which `d/l` was reached is replaced by an entry that goes through it.
    let sawn_off = Tar::new().symlink("d/l", ".").file("d/l/l", "x").file("d/l/b.egg-info", egg("b")).end();
    check_archive(sawn_off, Err(Reason::ImpossiblePath));
    let cut_down =
        Tar::new().symlink("d/up", "..").file("d/up/d", "x").file("d/up/b.egg-info", egg("b")).end();
    check_archive(cut_down, Err(Reason::ImpossiblePath));
    let loop_alone = Tar::new().symlink("x", "y").symlink("y", "x").file("b.egg-info", egg("b")).end();
    check_archive(loop_alone, Ok(&["b"]));
}
