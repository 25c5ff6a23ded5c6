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
/// Changes that the verdicts written by this node brought, by `kind`.
pub const VERDICT_CHANGES: &str = "starling_verdict_changes_total";
/// Verdicts that were evaluated again with the advisories of their time, by `agreement` (same, behind, differs).
pub const RECALLS: &str = "starling_recalls_total";
/// Documents of VEX that were heard, by `result` (held, read, unreadable).
pub const VEX_DOCUMENTS: &str = "starling_vex_documents_total";
/// Signatures of documents of VEX that were checked, by `result` (good, bad, unknown_key).
pub const VEX_SIGNATURES: &str = "starling_vex_signatures_total";
/// Findings that VEX was heard on, each time anew, by `word` (suppressed, held, told).
pub const VEX_WORDS: &str = "starling_vex_words_total";
/// Bells that the relay carried, by `kind`.
pub const BELLS_RUNG: &str = "starling_bells_rung_total";
/// Rounds of the relay that failed, by `cause` (database, valkey).
pub const RELAY_FAILURES: &str = "starling_relay_failures_total";
/// Bells that the sweeper found missing.
pub const SWEPT: &str = "starling_sweep_rings_total";
/// Entities woken by a node's lookout while it heard no bells.
pub const LOOKED_OUT: &str = "starling_lookout_wakes_total";
/// Jobs ended because their deadline had passed.
pub const JOBS_OVERDUE: &str = "starling_jobs_overdue_total";
/// Images put into the BOM-index after their SBOM was stored, by a newer build.
pub const IMAGES_INDEXED: &str = "starling_bom_index_caught_up_total";
/// How long it took to find the package versions that a vulnerability is in.
pub const BLAST_RADIUS_DURATION: &str = "starling_blast_radius_duration_seconds";
/// Images that were matched anew to see whether their verdicts are right.
pub const DELTA_SAMPLED: &str = "starling_delta_sampled_total";
/// Those of them whose verdict was not. More than none is a fault.
pub const DELTA_DIFFERENCES: &str = "starling_delta_differences_total";
/// When a feed was last read whole, by `feed`.
pub const FEED_LAST_SUCCESS: &str = "starling_feed_last_success_timestamp_seconds";
/// How long a refresh took, by `feed`.
pub const FEED_RUN_DURATION: &str = "starling_feed_run_duration_seconds";
/// Records of a feed's last refresh, by `feed` and `result` (new, unchanged, quarantined, removed).
pub const FEED_RECORDS: &str = "starling_feed_records";
/// Bytes fetched from feed sources.
pub const FEED_DOWNLOAD_BYTES: &str = "starling_feed_download_bytes_total";
/// Downloads of feed sources that broke off and were taken up again.
pub const FEED_DOWNLOAD_RESUMED: &str = "starling_feed_download_resumed_total";
/// How long making the index of a snapshot took, by what it was made `of`: whole, changes.
pub const INDEX_BUILD: &str = "starling_index_build_seconds";
/// Advisories that were applied to an index instead of building it whole.
pub const INDEX_CHANGES: &str = "starling_index_changes_total";
/// Advisories in this node's newest index.
pub const INDEX_ADVISORIES: &str = "starling_index_advisories";
/// The snapshot of this node's newest index.
pub const INDEX_SNAPSHOT: &str = "starling_index_snapshot";
/// Runs that ended or were held, by `outcome` (completed, no_work, failed, cancelled, held).
pub const RUNS: &str = "starling_scheduler_runs_total";
/// Runs that wait for a person's word now.
pub const RUNS_HELD: &str = "starling_scheduler_runs_held";
/// Images of runs that ended, by `result` (changed, unchanged, failed).
pub const RUN_IMAGES: &str = "starling_scheduler_images_total";
/// How long choosing a run's images took, by `outcome` (planned, no_work).
pub const PLANNER_DURATION: &str = "starling_scheduler_planner_seconds";
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
    describe_counter!(VERDICT_CHANGES, "changes against the verdict before, by kind");
    describe_counter!(RECALLS, "verdicts evaluated again with the advisories of their time, by agreement");
    describe_counter!(VEX_DOCUMENTS, "documents of VEX that were heard, by result: held, read, unreadable");
    describe_counter!(VEX_SIGNATURES, "signatures of documents of VEX that were checked, by result");
    describe_counter!(VEX_WORDS, "findings that VEX was heard on, by word: suppressed, held, told");
    describe_counter!(BELLS_RUNG, "bells carried from the outbox to streams, by kind");
    describe_counter!(RELAY_FAILURES, "rounds of the relay that failed, by cause");
    describe_counter!(SWEPT, "bells rung by the sweeper because nothing moved");
    describe_counter!(LOOKED_OUT, "entities woken without a bell while Valkey did not answer");
    describe_counter!(JOBS_OVERDUE, "jobs ended because their deadline had passed");
    describe_counter!(IMAGES_INDEXED, "images put into the BOM-index that an older build had left out");
    describe_histogram!(
        BLAST_RADIUS_DURATION,
        Unit::Seconds,
        "how long finding the package versions of a vulnerability took"
    );
    describe_counter!(
        DELTA_SAMPLED,
        "images matched anew after a run, to see whether deltas equal a full match"
    );
    describe_counter!(DELTA_DIFFERENCES, "images whose verdict is not what a full match gives: a fault");
    describe_gauge!(FEED_LAST_SUCCESS, Unit::Seconds, "when a feed was last read whole, as Unix time");
    describe_histogram!(FEED_RUN_DURATION, Unit::Seconds, "how long a feed's refresh took");
    describe_gauge!(FEED_RECORDS, "records of a feed's last refresh, by result");
    describe_counter!(FEED_DOWNLOAD_BYTES, Unit::Bytes, "bytes fetched from feed sources");
    describe_histogram!(INDEX_BUILD, Unit::Seconds, "how long making a snapshot's index took, by what of");
    describe_counter!(INDEX_CHANGES, "advisories applied to an index instead of building it whole");
    describe_gauge!(INDEX_ADVISORIES, "advisories in this node's newest index");
    describe_gauge!(INDEX_SNAPSHOT, "snapshot of this node's newest index");
    describe_counter!(RUNS, "runs of the scheduler that ended or were held, by outcome");
    describe_gauge!(RUNS_HELD, "runs that wait for a person's word");
    describe_counter!(RUN_IMAGES, "images of runs that ended, by result");
    describe_histogram!(PLANNER_DURATION, Unit::Seconds, "how long choosing a run's images took, by outcome");
    describe_counter!(ACTOR_RESTARTS, "starts of an actor after it failed, by type");
}
