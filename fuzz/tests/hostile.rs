//! Images made to take as much memory as they can: whatever is in them, what is held stays below 256 MiB.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests and their helpers")]

use std::io::{self, Read, Write as _};
use std::num::NonZero;
use std::slice::from_ref;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use fuzz::memory::most_held;
use fuzz::tar::{Entry, archive};
use inventory::{LayerDescriptor, LayerError, Limits, NoCache, Reason, media_type, scan};
use model::{Digest, Sbom};
use sha2::{Digest as _, Sha256};

const HELD_BYTES: usize = 256 << 20;
const FILE_BYTES: usize = 32 << 20;

/// Memory is counted for the whole process.
static TURN: Mutex<()> = Mutex::new(());

fn describe(blob: &[u8], kind: &str, archive: Digest) -> LayerDescriptor {
    let (digest, size) = (Digest::of(blob), blob.len() as u64);
    LayerDescriptor { digest, size, media_type: kind.to_owned(), diff_id: archive }
}

/// Scans with four threads, within bounds.
#[track_caller]
fn scan_within<R: Read>(
    what: &str,
    layers: &[LayerDescriptor],
    open: impl Fn(&LayerDescriptor) -> io::Result<R> + Sync,
) -> Result<Sbom, LayerError> {
    let four = NonZero::<usize>::MIN.saturating_add(3);
    let (outcome, held) = most_held(|| scan(layers, &Limits::DEFAULT, four, &NoCache, open));
    println!("{what}: {} MiB", held >> 20);
    assert!(held < HELD_BYTES, "{what} takes {held} bytes");
    outcome
}

/// Scans one layer with these files.
#[track_caller]
fn scan_files(what: &str, files: &[(&str, Vec<u8>)]) -> Result<Sbom, LayerError> {
    let entries: Vec<Entry> =
        files.iter().flat_map(|(path, content)| Entry::file(path.as_bytes(), content)).collect();
    let archive = archive(&entries);
    drop(entries);
    let layer = describe(&archive, media_type::OCI_LAYER, Digest::of(&archive));
    scan_within(what, &[layer], |_| Ok(archive.as_slice()))
}

/// As many of the lines as a file may have bytes.
fn lines(most: usize, line: impl Fn(usize) -> String) -> Vec<u8> {
    let mut text = Vec::with_capacity(most);
    for number in 0.. {
        let line = line(number);
        if text.len() + line.len() > most {
            break;
        }
        text.extend_from_slice(line.as_bytes());
    }
    text
}

/// A file of many packages is read as far as there is room, and says so.
#[track_caller]
fn check_flood(path: &str, line: impl Fn(usize) -> String) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let sbom = scan_files(path, &[(path, lines(FILE_BYTES, line))]).unwrap();
    assert!(sbom.components.len() > 10_000, "{path}: {} components", sbom.components.len());
    assert!(sbom.problems.iter().any(|problem| problem.what.contains("is not read to its end")), "{path}");
}

#[test]
fn databases_of_millions_of_packages_are_read_as_far_as_there_is_room() {
    check_flood("lib/apk/db/installed", |n| format!("P:a{n}\nV:1\n\n"));
    check_flood("lib/apk/db/installed", |n| format!("P:{}{n}\nV:1\n\n", "€".repeat(300)));
    let paragraph = |n| format!("Package: a{n}\nStatus: install ok installed\nVersion: 1\n\n");
    check_flood("var/lib/dpkg/status", paragraph);
    check_flood("usr/lib/opkg/status", paragraph);
}

/// An archive that is made while it is read: entry after entry, as long as there are any.
struct Generated<F> {
    entry: F,
    number: usize,
    made: Vec<u8>,
    at: usize,
}

impl<F: Fn(usize) -> Option<Entry>> Generated<F> {
    const fn new(entry: F) -> Self {
        Self { entry, number: 0, made: Vec::new(), at: 0 }
    }
}

impl<F: Fn(usize) -> Option<Entry>> Read for Generated<F> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.made.len() {
            (self.at, self.number) = (0, self.number + 1);
            self.made.clear();
            if let Some(entry) = (self.entry)(self.number - 1) {
                entry.add_to(&mut self.made);
            }
        }
        let count = into.len().min(self.made.len() - self.at);
        into[..count].copy_from_slice(&self.made[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// Scans an archive that is too large to be held.
#[track_caller]
fn scan_generated(
    what: &str,
    entry: impl Fn(usize) -> Option<Entry> + Sync + Copy,
) -> Result<Sbom, LayerError> {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut sha, mut size) = (Sha256::new(), 0);
    let (mut archive, mut buffer) = (Generated::new(entry), vec![0; 64 << 10]);
    while let Some(count) = archive.read(&mut buffer).ok().filter(|count| *count > 0) {
        sha.update(&buffer[..count]);
        size += count as u64;
    }
    let digest = Digest::from_sha256(sha.finalize().into());
    let media_type = media_type::OCI_LAYER.to_owned();
    let layer = LayerDescriptor { diff_id: digest.clone(), digest, size, media_type };
    scan_within(what, &[layer], |_| Ok(Generated::new(entry)))
}

#[test]
fn three_million_files_are_three_million_numbers() {
    const FILES: usize = 3_000_000;
    let entry = |number| match number {
        FILES => Some(Entry::new(b'0', b"a.egg-info", b"", b"Name: a\nVersion: 1\n")),
        _ if number > FILES => None,
        _ => Some(Entry::new(b'0', format!("usr/{}/f{number}", number / 1000).as_bytes(), b"", b"")),
    };
    let sbom = scan_generated("3,000,000 files", entry).unwrap();
    assert_eq!((sbom.components.len(), sbom.problems), (1, vec![]));
}

#[test]
fn packages_in_as_many_files_as_are_kept_are_listed_as_far_as_there_is_room() {
    let entry = |number| {
        let name = format!("node_modules/{number}/package.json");
        let content = format!(r#"{{"name":"{number}","version":"1"}}"#);
        (number < 220_000).then(|| Entry::new(b'0', name.as_bytes(), b"", content.as_bytes()))
    };
    let sbom = scan_generated("220,000 packages", entry).unwrap();
    assert!(sbom.components.len() > 100_000, "{}", sbom.components.len());
    assert!(sbom.problems[0].what.contains("is not read to its end"), "{:?}", sbom.problems);
}

/// Scans layers of one file each, as many at a time as there are threads.
#[track_caller]
fn scan_layers(what: &str, files: &[(String, Vec<u8>)]) -> Sbom {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let archives: Vec<Vec<u8>> =
        files.iter().map(|(path, content)| archive(&Entry::file(path.as_bytes(), content))).collect();
    let layers: Vec<LayerDescriptor> = archives
        .iter()
        .map(|archive| describe(archive, media_type::OCI_LAYER, Digest::of(archive)))
        .collect();
    let at = |layer: &LayerDescriptor| layers.iter().position(|other| other == layer).unwrap();
    scan_within(what, &layers, |layer| Ok(archives[at(layer)].as_slice())).unwrap()
}

/// The same file in four layers, each at a path of its own.
fn in_four_layers(path: &str, content: &[u8]) -> Vec<(String, Vec<u8>)> {
    (0..4).map(|n| (format!("{n}/{path}"), [content, n.to_string().as_bytes()].concat())).collect()
}

#[test]
fn databases_of_several_kinds_share_the_room() {
    let paragraph = |n| format!("Package: a{n}\nStatus: install ok installed\nVersion: 1\n\n");
    let status = lines(12 << 20, paragraph);
    let files = [
        ("lib/apk/db/installed".to_owned(), lines(12 << 20, |n| format!("P:a{n}\nV:1\n\n"))),
        ("var/lib/dpkg/status".to_owned(), status.clone()),
        ("usr/lib/opkg/status".to_owned(), status),
    ];
    let sbom = scan_layers("three databases", &files);
    assert!(sbom.components.len() > 100_000, "{}", sbom.components.len());
    let cut = |problem: &model::Problem| problem.what.contains("are not listed: the image has too many");
    assert!(sbom.problems.iter().any(cut), "{:?}", sbom.problems);
}

#[test]
fn lock_files_that_become_large_trees_are_read_one_at_a_time() {
    let tree = lines(2 << 20, |n| if n == 0 { "x=[".to_owned() } else { "{},".to_owned() });
    let sbom = scan_layers("trees in TOML", &in_four_layers("Cargo.lock", &tree));
    assert_eq!(sbom.problems.len(), 4, "{:?}", sbom.problems);
}

/// A zip archive with these entries and, stored, as many zeros as make it this large.
fn zip(entries: &[(&str, &[u8])], bytes: usize) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    let (deflated, stored) = (zip::CompressionMethod::Deflated, zip::CompressionMethod::Stored);
    let inside: usize = entries.iter().map(|(_, content)| content.len()).sum();
    let padding = vec![0; bytes.saturating_sub(inside)];
    for (name, content, method) in entries
        .iter()
        .map(|(name, content)| (*name, *content, deflated))
        .chain([("zeros", &padding[..], stored)])
    {
        let options = zip::write::SimpleFileOptions::default().compression_method(method);
        zip.start_file(name, options).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn archives_in_archives_that_unpack_to_much_are_read_one_at_a_time() {
    let mut archive = zip(&[], 31 << 20);
    for _ in 0..3 {
        archive = zip(&[("in.jar", &archive)], 31 << 20);
    }
    let archive = zip(&[("in.jar", &archive)], 0);
    assert!(archive.len() < 1 << 20, "{}", archive.len());
    let sbom = scan_layers("archives in archives", &in_four_layers("a.jar", &archive));
    assert_eq!(sbom.components, []);
    let what = "has archives nested more than 3 deep";
    assert_eq!(sbom.problems.iter().filter(|problem| problem.what == what).count(), 4, "{:?}", sbom.problems);
}

#[test]
fn an_archive_whose_entries_all_unpack_to_much_ends_early() {
    let large = zip(&[], 31 << 20);
    let names: Vec<String> = (0..40).map(|n| format!("{n}.jar")).collect();
    let entries: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), large.as_slice())).collect();
    let sbom = scan_layers("entries that unpack to much", &[("a.jar".to_owned(), zip(&entries, 0))]);
    assert!(sbom.problems.iter().any(|problem| problem.what.contains("larger than is read")));
}

#[test]
fn a_directory_of_an_archive_may_have_all_of_its_bytes() {
    let mut archive = zip(&[("a", b"")], 0);
    let ends = archive.len() - 22;
    let entry = [&b"PK\x01\x02"[..], &[0; 24], &[5], &[0; 17]].concat();
    let directory: Vec<u8> =
        (0..65_535_u32).flat_map(|n| [&entry[..], &format!("{n:05}").as_bytes()[..5]].concat()).collect();
    let mut end = archive.split_off(ends);
    end[8..12].fill(0xff);
    end[12..16].copy_from_slice(&u32::try_from(directory.len()).unwrap().to_le_bytes());
    end[16..20].copy_from_slice(&u32::try_from(archive.len()).unwrap().to_le_bytes());
    let archive = [archive, directory, end].concat();
    drop(scan_layers("a large directory", &in_four_layers("a-1.jar", &archive)));
}

#[test]
fn lists_of_millions_of_files_are_owned_as_far_as_there_is_room() {
    let status = b"Package: a\nStatus: install ok installed\nVersion: 1\n\n".to_vec();
    let files = [
        ("var/lib/dpkg/status".to_owned(), status),
        ("var/lib/dpkg/info/a.list".to_owned(), lines(FILE_BYTES, |n| format!("/{n}.jar\n"))),
        ("a.egg-info".to_owned(), b"Name: a\nVersion: 1\n".to_vec()),
    ];
    assert_eq!(scan_layers("claims", &files).components.len(), 2);
}

#[test]
fn documents_that_are_nested_without_end_are_problems() {
    let paths = [
        "one/package-lock.json",
        "app/composer.lock",
        "two/packages.lock.json",
        "app/Pipfile.lock",
        "app/a.deps.json",
        "app/node_modules/a/package.json",
        "app/Package.resolved",
        "conda-meta/a.json",
        "vendor/composer/installed.json",
        "app/Cargo.lock",
        "app/poetry.lock",
        "app/uv.lock",
    ];
    for (open, most) in [("[", 1 << 20), ("{\"a\":", 1 << 20), ("[{\"packages\":", 1 << 20)] {
        let nested = lines(most, |_| open.to_owned());
        let keyed = [b"packages = ".as_slice(), &nested].concat();
        let files: Vec<(String, Vec<u8>)> = paths
            .iter()
            .map(|path| {
                let is_toml =
                    ["Cargo.lock", "poetry.lock", "uv.lock"].iter().any(|name| path.ends_with(name));
                ((*path).to_owned(), if is_toml { keyed.clone() } else { nested.clone() })
            })
            .collect();
        let sbom = scan_layers("nested documents", &files);
        let troubled = |path: &&&str| sbom.problems.iter().any(|problem| problem.place.ends_with(**path));
        let silent: Vec<_> = paths.iter().filter(|path| !troubled(path)).collect();
        assert!(silent.is_empty(), "{open}: {silent:?}");
        assert_eq!(sbom.components, []);
    }
}

#[test]
fn bombs_of_both_compressions_end_early() {
    const ZEROS: u64 = 300 << 20;
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let header = archive(&[Entry::new(b'0', b"zeros", b"", b"")]);
    let zeros = || header[..512].chain(io::repeat(0).take(ZEROS));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    io::copy(&mut zeros(), &mut gzip).unwrap();
    let (gzip, zstd) = (gzip.finish().unwrap(), zstd::encode_all(zeros(), 1).unwrap());
    for (blob, kind) in [(gzip, media_type::OCI_LAYER_GZIP), (zstd, media_type::OCI_LAYER_ZSTD)] {
        let layer = describe(&blob, kind, Digest::of(b""));
        let error = scan_within(kind, from_ref(&layer), |_| Ok(blob.as_slice())).unwrap_err();
        assert_eq!((error.reason, error.layer), (Reason::LimitExceeded, layer.digest));
    }
}

#[test]
fn deep_paths_are_not_walked_again_for_every_layer_above() {
    let deep = |name: &str| format!("{}{name}", "d/".repeat(1900));
    let files = |n: usize| Entry::file(deep(&format!("{n}.egg-info")).as_bytes(), b"Name: a\nVersion: 1\n");
    let lowest = archive(&(0..3000).flat_map(files).collect::<Vec<_>>());
    let above = |n| archive(&Entry::file(deep(&format!("above-{n}")).as_bytes(), b""));
    let archives: Vec<Vec<u8>> = std::iter::once(lowest).chain((0..40).map(above)).collect();
    let layers: Vec<LayerDescriptor> = archives
        .iter()
        .map(|archive| describe(archive, media_type::OCI_LAYER, Digest::of(archive)))
        .collect();
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let at = |layer: &LayerDescriptor| layers.iter().position(|other| other == layer).unwrap();
    let time = |count: usize| {
        let started = Instant::now();
        let open = |layer: &LayerDescriptor| Ok(archives[at(layer)].as_slice());
        let sbom = scan_within("deep paths", &layers[..count], open).unwrap();
        assert_eq!(sbom.components[0].locations.len(), 3000);
        started.elapsed()
    };
    let (alone, below_others) = (time(1), time(archives.len()));
    assert!(below_others < 12 * alone, "{alone:?} alone, {below_others:?} below forty layers");
}

/// A package's header as rpm writes it, with so many digests of files: hexadecimal, so half of each can be compressed.
fn rpm_header(number: usize, digests: usize) -> Vec<u8> {
    let mut data = Vec::new();
    let mut index = Vec::new();
    let mut tag = |tag: u32, kind: u32, count: usize, bytes: &[u8]| {
        for number in [tag, kind, u32::try_from(data.len()).unwrap(), u32::try_from(count).unwrap()] {
            index.extend(number.to_be_bytes());
        }
        data.extend_from_slice(bytes);
    };
    tag(1000, 6, 1, format!("package-{number}\0").as_bytes());
    tag(1001, 6, 1, b"1.0\0");
    tag(1002, 6, 1, b"1.el9\0");
    tag(1022, 6, 1, b"x86_64\0");
    let digest = |file: usize| Digest::of(format!("{number} {file}").as_bytes()).hex().to_owned() + "\0";
    tag(1035, 8, digests, (0..digests).map(digest).collect::<String>().as_bytes());
    let lengths = [5, data.len()].map(|length| u32::try_from(length).unwrap().to_be_bytes());
    [lengths.concat(), index, data].concat()
}

/// SUSE's form of a database: slots that say where each package is.
fn ndb(packages: usize, header: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    let pages = (32 + 16 * packages).div_ceil(4096);
    let mut bytes = vec![0; pages * 4096];
    bytes[..4].copy_from_slice(b"RpmP");
    bytes[12..16].copy_from_slice(&u32::try_from(pages).unwrap().to_le_bytes());
    bytes[32..].chunks_exact_mut(16).for_each(|slot| slot[..4].copy_from_slice(b"Slot"));
    for number in 0..packages {
        let (at, block) = (32 + 16 * number, u32::try_from(bytes.len() / 16).unwrap());
        let (header, own) = (header(number), u32::try_from(number + 1).unwrap().to_le_bytes());
        bytes[at + 4..at + 8].copy_from_slice(&own);
        bytes[at + 8..at + 12].copy_from_slice(&block.to_le_bytes());
        bytes.extend_from_slice(b"BlbS");
        bytes.extend(own);
        bytes.extend([0; 4]);
        bytes.extend(u32::try_from(header.len()).unwrap().to_le_bytes());
        bytes.extend(header);
        bytes.resize(bytes.len().next_multiple_of(16), 0);
    }
    bytes
}

#[test]
fn a_database_of_packages_is_read_whole_where_it_fits_compressed_and_else_refused() {
    const PATH: &str = "usr/lib/sysimage/rpm/Packages.db";
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // 150 MB, of which most is what compresses well, as in real ones.
    let usual = |number| [rpm_header(number, 20), vec![0; 72 << 10]].concat();
    let sbom = scan_files("a database of 150 MB", &[(PATH, ndb(2000, usual))]).unwrap();
    assert_eq!((sbom.components.len(), sbom.problems.len()), (2000, 0), "{:?}", sbom.problems);
    let sbom = scan_files("one that does not fit", &[(PATH, ndb(2000, |n| rpm_header(n, 1000)))]).unwrap();
    assert_eq!(sbom.components.len(), 0);
    let why = &sbom.problems[0].what;
    assert!(why.contains("and packed still more than"), "{why}");
}
