//! The names of this crate's metrics, and what each counts. Labels hold no image and no job; a
//! tenant's name never becomes a label here.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Jobs that a tenant's turn came for, by `lane`.
pub const JOBS_ADMITTED: &str = "starling_jobs_admitted_total";
/// Jobs that ended by evaluation, by `result`.
pub const JOBS_FINISHED: &str = "starling_jobs_finished_total";
/// How long reading an image's layers took.
pub const EXTRACTION_DURATION: &str = "starling_extraction_duration_seconds";
/// How long an evaluation took, from reading its inputs to the commit.
pub const EVALUATION_DURATION: &str = "starling_evaluation_duration_seconds";
/// Attempts of workers, by `result`.
pub const WORK_ATTEMPTS: &str = "starling_work_attempts_total";
/// Worker slots of this node, by `state` (busy, all).
pub const WORKER_SLOTS: &str = "starling_worker_slots";
/// Bytes of layers that were read.
pub const LAYER_PULL_BYTES: &str = "starling_layer_pull_bytes_total";
/// Layers that attempts asked for, by `result`: hit (known), miss (read for all), alone (read for this attempt only),
/// unreadable.
pub const LAYER_CACHE_REQUESTS: &str = "starling_layer_cache_requests_total";
/// Compressed bytes of layers that were known, and so not read.
pub const LAYER_CACHE_SAVED_BYTES: &str = "starling_layer_cache_saved_bytes_total";
/// Findings of the verdicts written by this node, by `severity`.
pub const FINDINGS: &str = "starling_findings_total";
/// Verdicts, by `result` (changed, unchanged).
pub const VERDICTS: &str = "starling_verdicts_total";
/// Bells that the relay carried, by `kind`.
pub const BELLS_RUNG: &str = "starling_bells_rung_total";
/// Rounds of the relay that failed, by `cause` (database, valkey).
pub const RELAY_FAILURES: &str = "starling_relay_failures_total";
/// Bells that the sweeper found missing.
pub const SWEPT: &str = "starling_sweep_rings_total";
/// Jobs ended because their deadline had passed.
pub const JOBS_OVERDUE: &str = "starling_jobs_overdue_total";
/// Images put into the BOM-index after their SBOM was stored, by a newer build.
pub const IMAGES_INDEXED: &str = "starling_bom_index_caught_up_total";
/// When a feed was last read whole, by `feed`.
pub const FEED_LAST_SUCCESS: &str = "starling_feed_last_success_timestamp_seconds";
/// How long a refresh took, by `feed`.
pub const FEED_RUN_DURATION: &str = "starling_feed_run_duration_seconds";
/// Records of a feed's last refresh, by `feed` and `result` (new, unchanged, quarantined, removed).
pub const FEED_RECORDS: &str = "starling_feed_records";
/// Bytes fetched from feed sources.
pub const FEED_DOWNLOAD_BYTES: &str = "starling_feed_download_bytes_total";
/// How long building the index of a snapshot took.
pub const INDEX_BUILD: &str = "starling_index_build_seconds";
/// Advisories in this node's newest index.
pub const INDEX_ADVISORIES: &str = "starling_index_advisories";
/// The snapshot of this node's newest index.
pub const INDEX_SNAPSHOT: &str = "starling_index_snapshot";
/// Starts of an actor by its supervisor after a failure, by `type`.
pub const ACTOR_RESTARTS: &str = "starling_actor_restarts_total";

/// Tells the recorder what each metric means. Call once, after it is installed.
pub fn describe() {
    describe_counter!(JOBS_ADMITTED, "jobs that their tenant's turn came for, by lane");
    describe_counter!(JOBS_FINISHED, "jobs ended by this node, by result");
    describe_histogram!(EXTRACTION_DURATION, Unit::Seconds, "how long reading an image's layers took");
    describe_histogram!(EVALUATION_DURATION, Unit::Seconds, "how long an evaluation took, commit included");
    describe_counter!(WORK_ATTEMPTS, "attempts of this node's workers, by result");
    describe_gauge!(WORKER_SLOTS, "worker slots of this node, by state");
    describe_counter!(LAYER_PULL_BYTES, Unit::Bytes, "bytes of layers read from the object store");
    describe_counter!(LAYER_CACHE_REQUESTS, "layers asked for, by result: hit, miss, alone, unreadable");
    describe_counter!(
        LAYER_CACHE_SAVED_BYTES,
        Unit::Bytes,
        "bytes of layers that were known, and so not read"
    );
    describe_counter!(FINDINGS, "findings of verdicts written by this node, by severity");
    describe_counter!(VERDICTS, "verdicts of this node, by result");
    describe_counter!(BELLS_RUNG, "bells carried from the outbox to streams, by kind");
    describe_counter!(RELAY_FAILURES, "rounds of the relay that failed, by cause");
    describe_counter!(SWEPT, "bells rung by the sweeper because nothing moved");
    describe_counter!(JOBS_OVERDUE, "jobs ended because their deadline had passed");
    describe_counter!(IMAGES_INDEXED, "images put into the BOM-index that an older build had left out");
    describe_gauge!(FEED_LAST_SUCCESS, Unit::Seconds, "when a feed was last read whole, as Unix time");
    describe_histogram!(FEED_RUN_DURATION, Unit::Seconds, "how long a feed's refresh took");
    describe_gauge!(FEED_RECORDS, "records of a feed's last refresh, by result");
    describe_counter!(FEED_DOWNLOAD_BYTES, Unit::Bytes, "bytes fetched from feed sources");
    describe_histogram!(INDEX_BUILD, Unit::Seconds, "how long building a snapshot's index took");
    describe_gauge!(INDEX_ADVISORIES, "advisories in this node's newest index");
    describe_gauge!(INDEX_SNAPSHOT, "snapshot of this node's newest index");
    describe_counter!(ACTOR_RESTARTS, "starts of an actor after it failed, by type");
}
