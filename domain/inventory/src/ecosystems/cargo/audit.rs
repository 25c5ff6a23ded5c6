//! The section `.dep-v0` (cargo-auditable, PARSING.md): JSON, compressed by zlib.

use std::io::Read;

use flate2::read::ZlibDecoder;
use serde::Deserialize;

use crate::ecosystems::executable::{Executable, RUST_AUDIT, Unread};
use crate::ecosystems::listing;
use crate::limits::Limits;

/// A line for each crate that is in the executable. `None` if it has no list.
pub(super) fn lines(executable: &Executable) -> Option<String> {
    let Some(section) = executable.section(RUST_AUDIT) else {
        let why = "is an executable so large that its list of sections was not read";
        return executable.hides_sections().then(|| listing::problem(why));
    };
    let list = match executable.get(section) {
        Ok(bytes) => read(bytes),
        Err(Unread::Absent) => Err("has a list of its crates that is cut off"),
        Err(Unread::NotHeld) => Err("is an executable so large that the list of its crates was not read"),
    };
    Some(match list {
        Ok(list) => list.packages.iter().filter(|p| p.is_inside()).map(Package::line).collect(),
        Err(why) => listing::problem(why),
    })
}

fn read(compressed: &[u8]) -> Result<List, &'static str> {
    let limit = Limits::DEFAULT.audit_bytes;
    let mut json = Vec::new();
    let count = ZlibDecoder::new(compressed).take(limit + 1).read_to_end(&mut json);
    if count.map_err(|_| "has a list of its crates that cannot be decompressed")? as u64 > limit {
        return Err("has a list of its crates that is too large");
    }
    serde_json::from_slice(&json).map_err(|_| "has a list of its crates that cannot be read")
}

#[derive(Deserialize)]
struct List {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    /// Absent for `runtime`.
    kind: Option<String>,
}

impl Package {
    fn is_inside(&self) -> bool {
        self.kind.as_deref() != Some("build")
    }

    fn line(&self) -> String {
        listing::package(&self.name, &self.version)
    }
}
