//! An OSV bucket of one ecosystem on a [`FeedServer`], made of real records and changed as they really changed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Cursor, Write as _};

use serde_json::Value;

use crate::FeedServer;

/// A bucket's content as it is meant to be; [`Bucket::publish`] puts it on the server.
#[derive(Debug, Default)]
pub struct Bucket {
    ecosystem: String,
    /// Id, when it changed, and its document.
    records: BTreeMap<String, (String, Vec<u8>)>,
}

impl Bucket {
    /// An empty one.
    pub fn new(ecosystem: &str) -> Self {
        Self { ecosystem: ecosystem.to_owned(), records: BTreeMap::new() }
    }

    /// Adds or replaces these records, one a line, as changed at this time; at their own word's time when none is
    /// given.
    pub fn change(&mut self, lines: &str, at: Option<&str>) {
        for line in lines.lines().filter(|line| !line.is_empty()) {
            let record: Value = serde_json::from_str(line).expect("the data holds records");
            let id = record["id"].as_str().expect("a record has an id").to_owned();
            let own = record["modified"].as_str().expect("a record says when it changed");
            self.records.insert(id, (at.unwrap_or(own).to_owned(), line.as_bytes().to_vec()));
        }
    }

    /// Takes a record out.
    pub fn remove(&mut self, id: &str) {
        self.records.remove(id);
    }

    /// Puts all of it on the server: the archive, the list of changes and the records.
    pub fn publish(&self, server: &FeedServer) {
        let mut newest: Vec<_> = self.records.iter().map(|(id, (at, _))| (at, id)).collect();
        newest.sort_by(|a, b| b.cmp(a));
        let mut list = String::new();
        for (at, id) in newest {
            let _ = writeln!(list, "{at},{id}");
        }
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (id, (_, document)) in &self.records {
            let name = format!("{id}.json");
            zip.start_file(&name, zip::write::SimpleFileOptions::default()).expect("ids differ");
            zip.write_all(document).expect("memory takes bytes");
            server.put(&format!("{}/{name}", self.ecosystem), document.clone());
        }
        let zip = zip.finish().expect("the list can be written").into_inner();
        server.put(&format!("{}/all.zip", self.ecosystem), zip);
        server.put(&format!("{}/modified_id.csv", self.ecosystem), list.into_bytes());
    }

    /// What is in it, by id.
    pub fn documents(&self) -> BTreeMap<String, String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.records.iter().map(|(id, (_, document))| (id.clone(), text(document))).collect()
    }
}
