//! What things cost, and where the figures are from: docs/benchmarks.md.

/// MB of an image's archives, and what a core reads of them in a second ("Reading layers", demo-image-v1).
pub(crate) const IMAGE_MB: f64 = 370.0;
pub(crate) const READ_MB_S: f64 = 443.0;
/// Part of an image that no node has read yet: builds differ from what they stand on in their last layers.
pub(crate) const NEW_SHARE: f64 = 0.3;
/// What a job for a new image keeps a core of PostgreSQL busy with, ms: to be accepted and admitted ("Jobs"), to store and
/// index the SBOM (filling of "A fleet"), and to save what is found ("A fleet").
pub(crate) const JOB_DATABASE_MS: f64 = 0.7 + 7.4 + EVALUATION_DATABASE_MS;
/// An image of a run: PostgreSQL's part, a node's, and Valkey's ("A fleet", by samples of all processors).
pub(crate) const EVALUATION_DATABASE_MS: f64 = 1.6;
pub(crate) const EVALUATION_NODE_MS: f64 = 1.5;
pub(crate) const EVALUATION_VALKEY_MS: f64 = 0.25;
/// Bytes that an image keeps in PostgreSQL, findings aside, which images share ("A fleet", largest tables).
const IMAGE_BYTES: f64 = 29_000.0;
/// Connections of a node (`database.connections-max`).
const CONNECTIONS: usize = 16;
/// How often a node looks at the members (`cluster::Timing::observe`), and how often it counts its own heartbeat, per second.
const LOOKS: f64 = 2.0;
const BEATS: f64 = 1.0;
/// A row of a member, read and sent, µs of a core of PostgreSQL: an index-less scan of a small table.
const MEMBER_US: f64 = 1.0;

/// What the database and the cluster have to bear.
pub(crate) fn tell(loads: &[(f64, usize)], peak: f64) {
    println!(
        "| scans/day | nodes | jobs/s at peak | PostgreSQL for jobs, cores | connections | member rows/s | for them, cores | links | partitions a node | GB for 1e6 images |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for (scans, nodes) in loads {
        let jobs = scans / 86_400.0 * peak;
        let size = *nodes as f64;
        let rows = size * size * LOOKS + size * BEATS;
        println!(
            "| {scans:.0e} | {nodes} | {jobs:.0} | {:.2} | {} | {rows:.0} | {:.2} | {} | {:.1} | {:.0} |",
            jobs * JOB_DATABASE_MS / 1e3,
            nodes * CONNECTIONS,
            rows * MEMBER_US / 1e6,
            nodes * (nodes - 1) / 2,
            1_024.0 / size,
            IMAGE_BYTES * 1e6 / 1e9,
        );
    }
}
