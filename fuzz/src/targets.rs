//! The parsers, one line of the table each.

mod advisories;
mod documents;
pub(crate) mod files;
mod images;
mod packed;
mod versions;
mod vex;

pub use crate::mutate::Shape;

/// A parser with what it is given and what must hold.
#[derive(Debug)]
pub struct Target {
    /// Its name: the test's and the corpus folder's.
    pub name: &'static str,
    /// What its inputs are.
    pub shape: Shape,
    /// Words that it knows.
    pub words: &'static [&'static str],
    /// Inputs to begin with, besides the corpus.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Parses the input; panics where the answer is not as it must be.
    pub run: fn(&[u8]),
}

const fn target(
    name: &'static str,
    shape: Shape,
    words: &'static [&'static str],
    seeds: fn() -> Vec<Vec<u8>>,
    run: fn(&[u8]),
) -> Target {
    Target { name, shape, words, seeds, run }
}

/// Files of an ecosystem, with the crate's own fixtures as seeds.
macro_rules! files {
    ($name:literal, $($fixture:literal),*) => {
        target($name, Shape::Sections, files::WORDS, || files::fixtures(&[$($fixture),*]), files::run)
    };
}

/// Every target.
pub const TARGETS: &[Target] = &[
    target("tar", Shape::Tar, images::WORDS, images::seeds, images::tar),
    target("gzip", Shape::Bytes, &[], images::gzip_seeds, images::compressed),
    target("zstd", Shape::Bytes, &[], images::zstd_seeds, images::compressed),
    target("image", Shape::Lines, images::WORDS, images::scripts, images::script),
    target("stored_layer", Shape::Bytes, &[], images::stored_seeds, images::stored),
    files!("apk", "apk"),
    files!("cargo", "cargo"),
    files!("composer", "composer"),
    files!("conda", "conda"),
    files!("deb", "deb", "opkg"),
    files!("gem", "gem", "gem-lock"),
    files!("hex", "hex"),
    files!("npm", "npm"),
    files!("nuget", "nuget"),
    files!("pubdev", "pub"),
    files!("pypi", "pypi", "pypi-lock"),
    files!("rpm_manifest", "rpm"),
    files!("swift", "swift"),
    files!("os_release",),
    files!("rpm_bdb",),
    files!("rpm_ndb",),
    files!("rpm_sqlite",),
    files!("elf",),
    files!("macho_and_pe",),
    files!("jar",),
    target("jar_entries", Shape::Tar, files::WORDS, files::jar_seeds, files::jar),
    target("manifest", Shape::Json, documents::WORDS, documents::manifests, documents::manifest),
    target("stored_sbom", Shape::Json, documents::WORDS, documents::stored_sboms, documents::stored_sbom),
    target("sbom", Shape::Json, documents::WORDS, documents::sboms, documents::sbom),
    target("purl", Shape::Lines, documents::WORDS, documents::purls, documents::purl),
    target("ignore", Shape::Lines, documents::WORDS, documents::rules, documents::ignore),
    target("osv", Shape::Json, advisories::WORDS, advisories::osv_seeds, advisories::document),
    target("secdb", Shape::Json, advisories::WORDS, advisories::secdb_seeds, advisories::document),
    target("debian_tracker", Shape::Json, advisories::WORDS, advisories::tracker_seeds, advisories::document),
    target("csaf", Shape::Json, advisories::WORDS, advisories::csaf_seeds, advisories::document),
    target("jsonl", Shape::Lines, advisories::WORDS, advisories::jsonl_seeds, advisories::jsonl),
    target("kev", Shape::Json, advisories::WORDS, advisories::kev_seeds, advisories::kev),
    target("epss", Shape::Lines, advisories::WORDS, advisories::epss_seeds, advisories::epss),
    target("packed", Shape::Bytes, &["npm", "Debian", "cve-2026-0001"], packed::seeds, packed::run),
    target("vex", Shape::Json, vex::WORDS, vex::seeds, vex::document),
    target("dsse", Shape::Json, vex::WORDS, vex::envelope_seeds, vex::envelope),
    target("key", Shape::Bytes, &[], vex::key_seeds, vex::key),
    target("version", Shape::Lines, versions::WORDS, versions::seeds, versions::order),
    target("range", Shape::Lines, versions::WORDS, versions::range_seeds, versions::range),
];
