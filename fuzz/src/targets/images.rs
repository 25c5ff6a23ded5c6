//! Layers: as archives, compressed, over each other, and as they are stored.

use std::io::{Read as _, Write as _};

use flate2::read::MultiGzDecoder;
use inventory::{Layer, compose, media_type};

use crate::layers::{check_written, scan_archives, scan_blob};
use crate::tar::{Entry, archive};

pub(super) const WORDS: &[&str] = &[
    "file",
    "dir",
    "link",
    "hard",
    "node",
    "layer",
    ".wh.",
    ".wh..wh..opq",
    ".wh..wh.aufs",
    "./",
    "../",
    "//",
    "/",
    "var/lib/dpkg/status",
    "var/lib/dpkg",
    "var",
    "var/lib/rpm",
    "lib/apk/db/installed",
    "etc/os-release",
    "a.egg-info",
    "node_modules/a/package.json",
    "usr/lib/os-release",
    "path=",
    "linkpath=",
    "size=",
    "GNU.sparse.major=1",
    "GNU.sparse.name=",
    "GNU.sparse.realsize=",
    "30 mtime=1.5\n",
    "ustar  \0",
    "a/b",
    "d",
];

const EGG: &[u8] = b"Name: a\nVersion: 1\n";
const STATUS: &[u8] =
    b"Package: hello\nStatus: install ok installed\nVersion: 2.10-3\nArchitecture: amd64\n\n";

fn entries() -> Vec<Entry> {
    let mut sparse = Entry::new(b'S', b"s.egg-info", b"", EGG);
    sparse.header[257..265].copy_from_slice(b"ustar  \0");
    let entries = [
        vec![Entry::new(b'5', b"d/", b"", b"")],
        Entry::file(b"d/a.egg-info", EGG),
        Entry::file(b"var/lib/dpkg/status", STATUS),
        vec![
            Entry::new(b'2', b"l", b"d", b""),
            Entry::new(b'1', b"b.egg-info", b"l/a.egg-info", b""),
            Entry::new(b'x', b"pax", b"", b"21 path=c/p.egg-info\n11 size=19\n"),
            Entry::new(b'0', b"p", b"", EGG),
            sparse,
            Entry::new(b'0', b"d/.wh.x", b"", b""),
            Entry::new(b'0', b"d/.wh..wh..opq", b"", b""),
            Entry::new(b'6', b"fifo", b"", b""),
        ],
        Entry::file([b"n".repeat(150), b".egg-info".to_vec()].concat().as_slice(), EGG),
    ];
    entries.concat()
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let all = entries();
    vec![archive(&all), archive(&all[..4]), archive(&[])]
}

/// A plain archive; compressed, it says the same.
pub(super) fn tar(input: &[u8]) {
    let plain = scan_archives(&[input]);
    let zipped = scan_blob(&gzip(input), media_type::OCI_LAYER_GZIP, input);
    let looks_compressed =
        [&b"\x1f\x8b"[..], b"\x28\xb5\x2f\xfd"].iter().any(|magic| input.starts_with(magic));
    if !looks_compressed {
        // What only a second look finds is a problem where there is one look.
        assert_eq!(plain.is_ok(), zipped.is_ok(), "{plain:?} is {zipped:?}");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("a vector takes everything")
}

pub(super) fn gzip_seeds() -> Vec<Vec<u8>> {
    let twice = [gzip(&seeds()[0][..3000]), gzip(&seeds()[0][3000..])].concat();
    seeds().iter().map(|archive| gzip(archive)).chain([twice]).collect()
}

pub(super) fn zstd_seeds() -> Vec<Vec<u8>> {
    let frame = |bytes: &[u8]| zstd::encode_all(bytes, 1).expect("a vector takes everything");
    let twice =
        [frame(&seeds()[0][..3000]), b"\x50\x2a\x4d\x18\x01\0\0\0a".to_vec(), frame(&seeds()[0][3000..])];
    seeds().iter().map(|archive| frame(archive)).chain([twice.concat()]).collect()
}

/// More than the tests unpack.
const UNPACKED_BYTES: u64 = 64 << 20;

/// A blob whose digests fit, as far as it can be unpacked.
pub(super) fn compressed(input: &[u8]) {
    let mut archive = Vec::new();
    let whole = if input.starts_with(b"\x1f\x8b") {
        MultiGzDecoder::new(input).take(UNPACKED_BYTES).read_to_end(&mut archive).is_ok()
    } else {
        zstd::Decoder::new(input)
            .is_ok_and(|from| from.take(UNPACKED_BYTES).read_to_end(&mut archive).is_ok())
    };
    let blob = scan_blob(input, media_type::OCI_LAYER_ZSTD, &archive);
    if whole && !archive.is_empty() && (archive.len() as u64) < UNPACKED_BYTES {
        assert_eq!(blob.is_ok(), scan_blob(&archive, media_type::OCI_LAYER, &archive).is_ok(), "{blob:?}");
    }
}

pub(super) fn scripts() -> Vec<Vec<u8>> {
    let scripts = [
        "dir d\nfile d/a.egg-info Name: a\\nVersion: 1\nlayer\nlink d e\nfile d/.wh.a.egg-info x",
        "link var/lib/dpkg ../../mid\nlink mid db\nlayer\nfile db/status Package: h\\nStatus: install ok installed\\nVersion: 1\\n",
        "hard a.egg-info 1\nhard 1 2\nlayer\nfile 2 Name: b\\nVersion: 2\nlayer\nfile .wh.2 x\nnode 3\nfile d/.wh..wh..opq x",
        "file x Name: c\\nVersion: 1\nlink a.egg-info b.egg-info\nlink b.egg-info x\nlayer\nfile etc/os-release ID=debian\\nVERSION_ID=12",
        "link a b\nlink b a\nlink d/up ..\nfile d/up/d/c.egg-info Name: c\\nVersion: 1\nlayer\nfile a x",
    ];
    scripts.iter().map(|script| script.as_bytes().to_vec()).collect()
}

/// Layers, an entry a line: `KIND NAME REST`. An empty layer above makes no difference.
pub(super) fn script(input: &[u8]) {
    let lines: Vec<&[u8]> = input.split(|&b| b == b'\n').take(2000).collect();
    let mut archives: Vec<Vec<u8>> = lines
        .split(|line| *line == b"layer")
        .take(12)
        .map(|lines| archive(&lines.iter().flat_map(|line| entry(line)).collect::<Vec<_>>()))
        .collect();
    let sbom = scan_archives(&archives.iter().map(Vec::as_slice).collect::<Vec<_>>());
    archives.push(archive(&[]));
    let more = scan_archives(&archives.iter().map(Vec::as_slice).collect::<Vec<_>>());
    assert_eq!(sbom.ok(), more.ok(), "an empty layer above");
}

fn entry(line: &[u8]) -> Vec<Entry> {
    let mut words = line.splitn(3, |&b| b == b' ');
    let (kind, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let rest = words.next().unwrap_or_default();
    match kind {
        b"file" => {
            let text = String::from_utf8_lossy(rest).replace("\\n", "\n");
            Entry::file(name, text.as_bytes())
        }
        b"dir" => vec![Entry::new(b'5', name, b"", b"")],
        b"link" => vec![Entry::new(b'2', name, rest, b"")],
        b"hard" => vec![Entry::new(b'1', name, rest, b"")],
        b"node" => vec![Entry::new(b'6', name, b"", b"")],
        _ => Vec::new(),
    }
}

pub(super) fn stored_seeds() -> Vec<Vec<u8>> {
    let archive = &seeds()[0];
    let layer = crate::layers::describe(archive, media_type::OCI_LAYER, model::Digest::of(archive));
    let layer = inventory::read_layer(archive.as_slice(), &layer, &inventory::Limits::DEFAULT);
    let bytes = layer.ok().and_then(|layer| layer.store()).expect("the layer is small and sound");
    vec![zstd::decode_all(bytes.as_slice()).expect("it was just compressed")]
}

/// What a stored layer is inside its compression.
pub(super) fn stored(input: &[u8]) {
    let bytes = zstd::encode_all(input, 1).expect("a vector takes everything");
    let Some(layer) = Layer::restore(&bytes) else { return };
    if let Some(stored) = layer.store() {
        let back = Layer::restore(&stored).expect("what was stored is taken back");
        assert_eq!(back.store(), Some(stored));
    }
    check_written(&compose(&[layer]));
}
