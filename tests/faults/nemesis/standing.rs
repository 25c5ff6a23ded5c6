//! What must stand from one fault to the next: append-only tables lose and change nothing, and processes do not grow.

use std::collections::HashSet;
use std::fs;

use tests::{TestCluster, Truth};

/// Handles of files that a node may have more than after the first fault.
const MORE_FILES: u64 = 48;
/// Memory that it may have more, in KiB.
const MORE_MEMORY: u64 = 96 << 10;

/// What was seen after the last fault.
pub(super) struct Standing {
    rows: HashSet<String>,
    /// File handles and memory of the largest node, once it had worked.
    size: Option<(u64, u64)>,
}

impl Standing {
    pub(super) fn new() -> Self {
        Self { rows: HashSet::new(), size: None }
    }

    /// Compares with the time before.
    pub(super) async fn check(&mut self, cluster: &TestCluster) {
        let rows = rows(cluster.truth()).await;
        let gone: Vec<_> = self.rows.difference(&rows).collect();
        assert!(gone.is_empty(), "rows of append-only tables were changed or are gone: {gone:?}");
        self.rows = rows;

        let sizes: Vec<_> = cluster.nodes().iter().map(|node| size(node.pid())).collect();
        let files = sizes.iter().map(|(files, _)| *files).max().expect("there are nodes");
        let memory = sizes.iter().map(|(_, memory)| *memory).max().expect("there are nodes");
        let (usual_files, usual_memory) = *self.size.get_or_insert((files, memory));
        assert!(files <= usual_files + MORE_FILES, "{files} handles, {usual_files} before");
        assert!(memory <= usual_memory + MORE_MEMORY, "{memory} KiB, {usual_memory} before");
    }
}

/// Rows of tables that only grow, each with its place and the transaction that wrote it: a row that was written again
/// is another one.
async fn rows(truth: &Truth) -> HashSet<String> {
    let tables = "select tgrelid::regclass::text from pg_trigger where tgname = 'append_only'";
    let all = truth.texts(tables).await;
    let of_table = |table: &String| format!("select concat_ws(' ', '{table}', ctid, xmin) from {table}");
    let all: Vec<_> = all.iter().map(of_table).collect();
    truth.texts(&all.join(" union all ")).await.into_iter().collect()
}

/// Handles of files, and resident memory in KiB.
fn size(pid: u32) -> (u64, u64) {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).expect("the node runs").count();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the node runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
    let memory = line.trim().trim_end_matches(" kB").parse().expect("a number");
    (files as u64, memory)
}
