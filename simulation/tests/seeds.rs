//! Many seeds, and each defence taken away.
//!
//!     STARLING_SEEDS=10000 cargo test -p simulation     # more of them
//!     STARLING_SEED=17 cargo test -p simulation         # one alone, with its trace

use std::sync::atomic::{AtomicU64, Ordering};

use simulation::{Defences, Plan, Report, liveness, safety};

/// Of each kind of run.
const SAFETY: u64 = 400;
const LIVENESS: u64 = 100;
/// Without a defence, something has to break within so many seeds.
const CONTROL: u64 = 40;

type Run = fn(Plan) -> Report;

fn setting(name: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "how many seeds is the caller's choice, not the code's")]
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

#[expect(clippy::print_stdout, reason = "whoever runs a test reads it")]
fn say(what: &str) {
    println!("{what}");
}

/// The reports of these seeds, from as many threads as there are processors.
fn reports(run: Run, seeds: std::ops::Range<u64>, plan: impl Fn(u64) -> Plan + Sync) -> Vec<(u64, Report)> {
    let next = AtomicU64::new(seeds.start);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        let mut reports = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return reports;
            }
            reports.push((seed, run(plan(seed))));
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a run ends")).collect()
    })
}

/// Nothing may break. Says of the first seed that something broke with how to see it again.
fn check(run: Run, count: u64) -> Vec<Report> {
    if let Some(seed) = setting("STARLING_SEED") {
        let report = run(Plan { tell: true, ..Plan::new(seed) });
        say(&report.trace.join("\n"));
        say(&format!(
            "seed {seed}: {:#?}, rest {:?}, digest {:x}",
            report.counts, report.rest, report.digest
        ));
        assert!(report.violations.is_empty(), "seed {seed}: {:#?}", report.violations);
        return Vec::new();
    }
    let count = setting("STARLING_SEEDS").unwrap_or(count);
    let reports = reports(run, 0..count, Plan::new);
    let mut broken: Vec<_> = reports.iter().filter(|(_, report)| !report.violations.is_empty()).collect();
    broken.sort_by_key(|(seed, _)| *seed);
    if let Some((seed, report)) = broken.first() {
        let all: Vec<_> = broken.iter().map(|(seed, _)| seed).collect();
        panic!(
            "{} of {count} seeds break something: {all:?}\nSTARLING_SEED={seed} shows: {:#?}",
            all.len(),
            report.violations
        );
    }
    reports.into_iter().map(|(_, report)| report).collect()
}

#[test]
fn nothing_breaks_whatever_goes_wrong() {
    let reports = check(safety, SAFETY);
    if reports.is_empty() {
        return;
    }
    let sum = |of: fn(&Report) -> usize| reports.iter().map(of).sum::<usize>();
    let slowest = reports.iter().map(|report| report.rest).max();
    let told = [
        ("jobs done", sum(|r| r.counts.done)),
        ("jobs failed", sum(|r| r.counts.failed)),
        ("verdicts", sum(|r| r.counts.verdicts)),
        ("runs", sum(|r| r.counts.runs)),
        ("effects", sum(|r| r.counts.effects)),
        ("effects fenced off", sum(|r| usize::try_from(r.counts.fenced).expect("few"))),
        ("deaths", sum(|r| r.counts.deaths)),
        ("dead letters", sum(|r| r.counts.dead_letters)),
    ];
    println!("{} seeds: {told:?}; at rest after {slowest:?} at the latest", reports.len());
    let tame: Vec<_> = told[..7].iter().filter(|(_, count)| *count == 0).collect();
    assert!(tame.is_empty(), "the runs were too tame: {tame:?}");
}

#[test]
fn the_others_get_on_when_one_node_is_cut_off_for_good() {
    let reports = check(liveness, LIVENESS);
    println!("{} seeds; done after {:?} at the latest", reports.len(), reports.iter().map(|r| r.rest).max());
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for run in [safety, liveness] {
        let digest = |seed| run(Plan::new(seed)).digest;
        assert_eq!(digest(7), digest(7));
        assert_ne!(digest(7), digest(8));
    }
    let told = safety(Plan { tell: true, ..Plan::new(7) });
    assert_eq!(told.digest, safety(Plan::new(7)).digest, "reading along changes nothing");
    assert!(!told.trace.is_empty());
}

/// The first seed at which this defence is missed, by a violation that holds these words.
#[track_caller]
fn check_missed(run: Run, defences: Defences, words: &[&str]) {
    let plan = |seed| Plan { defences, ..Plan::new(seed) };
    for begin in (0..CONTROL).step_by(4) {
        let mut reports = reports(run, begin..begin + 4, plan);
        reports.sort_by_key(|(seed, _)| *seed);
        for (seed, report) in reports {
            let seen = report.violations.iter().find(|what| words.iter().any(|word| what.contains(word)));
            if let Some(seen) = seen {
                say(&format!("missed at seed {seed}: {seen}"));
                return;
            }
        }
    }
    panic!("nothing breaks without it in {CONTROL} seeds");
}

#[test]
fn without_the_fence_old_owners_write() {
    check_missed(safety, Defences { fence: false, ..Defences::ALL }, &["old epoch"]);
}

#[test]
fn without_the_clients_key_a_request_makes_two_jobs() {
    check_missed(safety, Defences { idempotency: false, ..Defences::ALL }, &["exactly one job"]);
}

#[test]
fn without_renewal_work_is_taken_from_who_is_well() {
    check_missed(safety, Defences { renewal: false, ..Defences::ALL }, &["was well and at it"]);
}

#[test]
fn without_the_time_of_holds_work_stays_with_who_knows_nothing_of_it() {
    check_missed(safety, Defences { holds: false, ..Defences::ALL }, &["no work is left"]);
}

#[test]
fn without_a_lookout_an_owner_that_hears_no_bells_lets_its_jobs_lie() {
    check_missed(liveness, Defences { lookout: false, ..Defences::ALL }, &["every accepted job has ended"]);
}

#[test]
fn without_the_sweeper_jobs_never_end() {
    check_missed(safety, Defences { sweeper: false, ..Defences::ALL }, &["every accepted job has ended"]);
}

#[test]
fn without_compare_and_set_an_effect_that_comes_twice_counts_twice() {
    check_missed(
        safety,
        Defences { dedupe: false, ..Defences::ALL },
        &[
            "exactly one end",
            "counters of a tenant",
            "extraction for its evaluation once",
            "says nothing more",
        ],
    );
}

#[test]
fn without_the_attempts_number_those_taken_over_go_on_talking() {
    check_missed(
        safety,
        Defences { attempt: false, ..Defences::ALL },
        &["says nothing more", "extraction for its evaluation once", "revision is raised once"],
    );
}

#[test]
fn without_stepping_down_two_act_at_once() {
    check_missed(safety, Defences { step_down: false, ..Defences::ALL }, &["still acts for it"]);
}
