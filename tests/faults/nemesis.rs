//! The nemesis: clients of several tenants go on and on while one thing after the other goes wrong, and after each of
//! them everything that was promised is asked for.
//!
//! `./check` does each fault once. For longer, in an order that a seed decides:
//!
//!     STARLING_NEMESIS_SECONDS=3600 cargo test -p tests --test faults nemesis -- --nocapture
//!
//! `STARLING_NEMESIS_SEED=N` repeats an order, `STARLING_NEMESIS_FAULTS=CutValkey` does only what is called so. What is printed
//! at the end are the times it took to go on.

mod crowd;
mod fault;
mod standing;
mod times;

use std::env;
use std::time::{Duration, Instant};

use tests::invariants;
use tests::{Settings, Tenant, TestCluster, eventually};

use crate::alone;
use crowd::Crowd;
use fault::{Fault, Progress};
use standing::Standing;
use times::{Times, Took};

/// Long enough for anything here.
const LONG: Duration = Duration::from_secs(60);
/// Jobs that are done before something goes wrong, and after.
const STEADY: usize = 4;
/// How long what was under way may take from then on: it may have been with the node that is gone.
const OPEN: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_nemesis_breaks_no_promise() {
    let _alone = alone().await;
    let mut cluster = TestCluster::start(Settings { breakable: true, ..Settings::default() }).await;
    cluster.with_small_feed().await;
    let mut tenants = Vec::new();
    for name in ["one", "two", "three"] {
        tenants.push(cluster.tenant(name).await);
    }
    let mut nemesis = Nemesis { standing: Standing::new(), times: Times::default(), rounds: 0, jobs: 0 };
    let begin = Instant::now();
    let seed = setting("STARLING_NEMESIS_SEED").unwrap_or(1);
    let mut order = Order(seed);
    loop {
        let mut faults = Fault::ALL.to_vec();
        if let Some(only) = env::var_os("STARLING_NEMESIS_FAULTS") {
            faults.retain(|fault| fault.name().contains(&*only.to_string_lossy()));
        }
        if let Some(seconds) = setting("STARLING_NEMESIS_SECONDS") {
            order.shuffle(&mut faults);
            if begin.elapsed() > Duration::from_secs(seconds) {
                break;
            }
        }
        for fault in faults {
            match fault.lacks(&cluster) {
                Some(what) => println!("SKIPPED {fault:?}: this machine lacks {what}"),
                None => nemesis.round(&mut cluster, &tenants, fault).await,
            }
        }
        if setting("STARLING_NEMESIS_SECONDS").is_none() {
            break;
        }
    }
    println!(
        "seed {seed}, {} rounds, {} jobs, {:?}\n{}",
        nemesis.rounds,
        nemesis.jobs,
        begin.elapsed(),
        nemesis.times
    );
    // That it goes on at all is held above; how soon is a measurement, and this machine may have others to serve.
    nemesis.times.late().iter().for_each(|late| println!("LATE {late}"));
}

/// What it has come to so far.
struct Nemesis {
    standing: Standing,
    times: Times,
    rounds: usize,
    jobs: usize,
}

impl Nemesis {
    /// One fault, under load, from health to health.
    #[expect(clippy::print_stdout, reason = "who runs it for an hour wants to see where it is")]
    async fn round(&mut self, cluster: &mut TestCluster, tenants: &[Tenant], fault: Fault) {
        let victim = self.rounds % cluster.nodes().len();
        self.rounds += 1;
        let crowd = Crowd::begin(cluster, tenants);
        crowd.progress(Instant::now(), STEADY).await;
        let open = open(cluster).await;

        let begun = Instant::now();
        fault.begin(cluster, victim).await;
        fault.rages(cluster, victim, &crowd).await;
        let took = match fault.progress() {
            Progress::During(_) => {
                let took = Took::since(begun, &crowd, cluster, &open).await;
                fault.end(cluster, victim).await;
                took
            }
            Progress::After(_) => {
                fault.end(cluster, victim).await;
                Took::since(Instant::now(), &crowd, cluster, &open).await
            }
        };
        let ended = Instant::now();
        recovers(cluster).await;
        println!("{fault:?} at node {}: {took:?}, whole {:?} later", victim + 1, ended.elapsed());
        crowd.progress(Instant::now(), STEADY).await;
        self.times.note(fault, took);

        for ledger in crowd.stop().await {
            self.jobs += ledger.len();
            invariants::check_at_rest(cluster.truth(), &ledger).await;
        }
        self.standing.check(cluster).await;
    }
}

impl Took {
    /// Measures from then on.
    async fn since(begin: Instant, crowd: &Crowd, cluster: &TestCluster, open: &[String]) -> Self {
        let caught_up = async {
            eventually(OPEN, "what was under way is done", || are_done(cluster, open)).await;
            begin.elapsed()
        };
        let (first, caught_up) = tokio::join!(crowd.progress(begin, STEADY), caught_up);
        Self { first: first.duration_since(begin), caught_up }
    }
}

/// The jobs that have not ended.
async fn open(cluster: &TestCluster) -> Vec<String> {
    cluster.truth().texts("select job_id::text from orchestrator.job where ended_at is null").await
}

/// Whether none of these is open any more.
async fn are_done(cluster: &TestCluster, jobs: &[String]) -> bool {
    let open = open(cluster).await;
    !jobs.iter().any(|job| open.contains(job))
}

/// Starts what has ended, as an operator's supervisor would, until the ring is whole.
async fn recovers(cluster: &mut TestCluster) {
    let begin = Instant::now();
    loop {
        for node in cluster.nodes_mut() {
            if !node.runs() {
                node.start();
            }
        }
        let Err(ring) = cluster.whole().await else { return };
        assert!(begin.elapsed() < LONG, "the ring is not whole: {ring}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    let text = env::var_os(name)?;
    Some(text.to_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{name} is no number")))
}

/// An order that a seed decides (SplitMix64).
struct Order(u64);

impl Order {
    fn shuffle<T>(&mut self, all: &mut [T]) {
        for last in (1..all.len()).rev() {
            let other = self.next() % (last as u64 + 1);
            all.swap(last, usize::try_from(other).expect("an index"));
        }
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
