//! A feed of one's own: a folder of OSV records about the packages of the made images.

use std::fs;
use std::path::Path;

use model::Digest;
use proto_api::feed::v1::BundleHeader;
use serde_json::json;
use tempfile::TempDir;

use crate::clients::request_id;

/// What the records say, as (package, version of [`Image::small`](crate::images::Image::small), advisory).
pub const SMALL_FINDINGS: [(&str, &str, &str); 3] = [
    ("starling-npm", "1.0.0", "STARLING-2026-0001"),
    ("starling-pypi", "1.0", "STARLING-2026-0002"),
    ("starling-deb", "1.0-1", "STARLING-2026-0003"),
];

/// A folder of OSV records; gone with the value.
#[derive(Debug)]
pub struct FeedFolder {
    folder: TempDir,
}

impl FeedFolder {
    /// Three advisories: npm, PyPI and Debian 12, one each.
    pub fn small() -> Self {
        let feed = Self::empty();
        feed.put("STARLING-2026-0001", "npm", "SEMVER", "starling-npm", "1.1.0");
        feed.put("STARLING-2026-0002", "PyPI", "ECOSYSTEM", "starling-pypi", "1.5");
        feed.put("STARLING-2026-0003", "Debian:12", "ECOSYSTEM", "starling-deb", "1.0-2");
        feed
    }

    /// No record yet.
    pub fn empty() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder can be made") }
    }

    /// Writes the record that `package` is affected below `fixed`.
    pub fn put(&self, id: &str, ecosystem: &str, range: &str, package: &str, fixed: &str) {
        let cve = id.replace("STARLING-2026-", "CVE-2026-9");
        let record = json!({
            "schema_version": "1.6.0",
            "id": id,
            "aliases": [cve],
            "modified": "2026-01-02T00:00:00Z",
            "published": "2026-01-01T00:00:00Z",
            "severity": [{ "type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H" }],
            "affected": [{
                "package": { "ecosystem": ecosystem, "name": package },
                "ranges": [{ "type": range, "events": [{ "introduced": "0" }, { "fixed": fixed }] }],
            }],
        });
        let file = self.folder.path().join(format!("{id}.json"));
        fs::write(file, record.to_string()).expect("the record can be written");
    }

    /// Writes the record that this one version of `package` is affected, and no other.
    pub fn put_version(&self, id: &str, ecosystem: &str, package: &str, version: &str) {
        let affected =
            json!([{ "package": { "ecosystem": ecosystem, "name": package }, "versions": [version] }]);
        let record = json!({ "schema_version": "1.6.0", "id": id, "modified": "2026-01-02T00:00:00Z", "affected": affected });
        let file = self.folder.path().join(format!("{id}.json"));
        fs::write(file, record.to_string()).expect("the record can be written");
    }

    /// Writes a file with a record in each line, in place of the one of that name.
    pub fn put_lines(&self, name: &str, lines: &str) {
        fs::write(self.folder.path().join(format!("{name}.jsonl")), lines)
            .expect("the folder can be written");
    }

    /// Copies this file into the folder, in place of the one of that name. Never a link: what a test writes
    /// must not reach the file it was taken from.
    pub fn take(&self, file: &Path) {
        let name = file.file_name().expect("a file has a name");
        let bytes = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        fs::write(self.folder.path().join(name), bytes).expect("the folder can be written");
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Its address as a feed source.
    pub fn uri(&self) -> String {
        format!("file://{}", self.folder.path().display())
    }
}

/// What is said of a bundle before its bytes.
pub fn bundle_header(feed: &str, name: &str, bytes: &[u8]) -> BundleHeader {
    BundleHeader {
        request_id: request_id(),
        feed_id: feed.to_owned(),
        name: name.to_owned(),
        digest: Digest::of(bytes).to_string(),
        size_bytes: i64::try_from(bytes.len()).expect("small"),
        ..BundleHeader::default()
    }
}
