//! The loop: what was kept, then mutations of it, each within limits of time and memory.

use std::any::Any;
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::coverage::Seen;
use crate::mutate::mutate;
use crate::random::Random;
use crate::targets::{TARGETS, Target};
use crate::{corpus, memory};

/// What all targets together take when nothing else is asked for.
const USUAL_SECONDS: f64 = 20.0;
/// The half of the time that is spent on the same inputs in every run.
const FIXED_SEED: u64 = 1;
/// No mutation makes an input longer.
const INPUT_BYTES: usize = 1 << 20;
/// What a parser may hold for one input: what `inventory::Limits` promises.
const HELD_BYTES: usize = 256 << 20;
/// How long it may take, in a build that is not optimised, on a machine that does other things.
const TIME_MAX: Duration = Duration::from_secs(10);
/// After this it is taken to hang.
const HANG: Duration = Duration::from_secs(120);
/// Larger inputs are not worth keeping, nor are more than these of a target.
const KEPT_BYTES: usize = 4096;
const KEPT_INPUTS: usize = 24;
/// How long an input that fails is made smaller.
const SHRINKING: Duration = Duration::from_secs(10);

/// One input at a time in the whole process: memory is counted for all of it.
static TURN: Mutex<()> = Mutex::new(());
/// Whether an input is being tried.
static TRYING: AtomicBool = AtomicBool::new(false);
/// Where and why the last panic happened.
static REASON: Mutex<String> = Mutex::new(String::new());

/// Tries a target: its corpus, then mutations, as long as `STARLING_FUZZ_SECONDS` says for all targets together.
/// `scratch` is a folder for the input that is being tried.
///
/// # Panics
///
/// When an input fails; the message says where it is kept.
pub fn run(name: &str, scratch: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("the target is in the table");
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    keep_reasons();
    let mut session = Session::new(target, Path::new(scratch));
    session.replay();
    let share = seconds() / TARGETS.len() as f64 / 2.0;
    let by_clock = SystemTime::UNIX_EPOCH.elapsed().map_or(FIXED_SEED, |time| time.as_secs());
    for seed in [FIXED_SEED, setting("STARLING_FUZZ_SEED").unwrap_or(by_clock)] {
        session.mutate(seed, Duration::from_secs_f64(share));
    }
    session.finish();
}

#[expect(clippy::disallowed_methods, reason = "how long a test runs is for whoever runs it to say")]
fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

fn seconds() -> f64 {
    setting("STARLING_FUZZ_SECONDS").unwrap_or(USUAL_SECONDS)
}

/// Keeps the reason of a panic instead of printing it, while an input is tried: there are many when one is made smaller.
fn keep_reasons() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if TRYING.load(Ordering::Relaxed) {
                *REASON.lock().unwrap_or_else(PoisonError::into_inner) = info.to_string();
            } else {
                usual(info);
            }
        }));
    });
}

struct Session {
    target: &'static Target,
    /// What is mutated.
    pool: Vec<Vec<u8>>,
    seen: Seen,
    guided: bool,
    tried: u64,
    trial: Trial,
}

impl Session {
    fn new(target: &'static Target, scratch: &Path) -> Self {
        let trial = Trial::new(target, scratch).expect("the scratch folder can be written");
        let guided = Seen::is_guided();
        Self { target, pool: Vec::new(), seen: Seen::default(), guided, tried: 0, trial }
    }

    /// What is kept, and the seeds.
    fn replay(&mut self) {
        for (path, input) in corpus::read(self.target.name) {
            if let Err(why) = self.try_input(&input) {
                panic!("{} fails: {why}", path.display());
            }
            self.pool.push(input);
        }
        for seed in (self.target.seeds)() {
            if let Err(why) = self.try_input(&seed) {
                self.fail(&seed, &why, "a seed");
            }
            self.pool.push(seed);
        }
        assert!(!self.pool.is_empty(), "{} has nothing to begin with", self.target.name);
    }

    fn mutate(&mut self, seed: u64, time: Duration) {
        let mut random = Random::new(seed);
        let started = Instant::now();
        while started.elapsed() < time {
            let base = random.below(self.pool.len());
            let input = mutate(self.target, base, &self.pool, &mut random, INPUT_BYTES);
            match self.try_input(&input) {
                Ok(true) => self.pool.push(input),
                Ok(false) => {}
                Err(why) => self.fail(&input, &why, &format!("seed {seed}")),
            }
        }
    }

    /// Whether it reached new code; or why it fails.
    fn try_input(&mut self, input: &[u8]) -> Result<bool, String> {
        self.tried += 1;
        if self.guided {
            Seen::start();
        }
        self.trial.check(input)?;
        Ok(self.guided && self.seen.learn())
    }

    fn fail(&self, input: &[u8], why: &str, origin: &str) -> ! {
        let small = self.trial.shrink(input);
        let kept =
            corpus::keep(self.target.name, corpus::FAILURE, &small).map(|path| path.display().to_string());
        let kept = kept.unwrap_or_else(|error| format!("nowhere: {error}"));
        panic!(
            "{} ({origin}, input {} of this run) fails: {why}\nkept in {kept}",
            self.target.name, self.tried
        );
    }

    #[expect(clippy::print_stdout, reason = "shown where the test's output is asked for")]
    fn finish(&mut self) {
        println!("{}: {} inputs, {} to mutate", self.target.name, self.tried, self.pool.len());
        if self.guided && setting::<u8>("STARLING_FUZZ_KEEP").is_some() {
            self.keep_what_reaches_most();
        }
    }

    /// Of what was found only the few small inputs that together reach most of what the rest of the corpus does not.
    fn keep_what_reaches_most(&mut self) {
        corpus::forget_found(self.target.name).expect("the corpus can be written");
        let kept: Vec<Vec<u8>> = corpus::read(self.target.name).into_iter().map(|(_, input)| input).collect();
        let mut reached: BTreeSet<usize> = BTreeSet::new();
        for input in kept.iter().chain(&(self.target.seeds)()) {
            reached.extend(self.places(input));
        }
        let pool = std::mem::take(&mut self.pool);
        let small = pool.iter().filter(|input| input.len() <= KEPT_BYTES);
        let mut found: Vec<(&Vec<u8>, BTreeSet<usize>)> =
            small.map(|input| (input, &self.places(input) - &reached)).collect();
        for _ in 0..KEPT_INPUTS {
            found.retain(|(_, places)| !places.is_empty());
            let most = found.iter().max_by_key(|(input, places)| (places.len(), Reverse(input.len())));
            let Some((input, places)) = most.cloned() else { break };
            corpus::keep(self.target.name, corpus::FOUND, input).expect("the corpus can be written");
            found.iter_mut().for_each(|(_, others)| *others = &*others - &places);
        }
    }

    fn places(&self, input: &[u8]) -> BTreeSet<usize> {
        Seen::start();
        drop(self.trial.check(input));
        Seen::places()
    }
}

/// How one input is tried, so that its end is known whatever happens.
struct Trial {
    target: &'static Target,
    /// Holds the input while it is tried: a process that dies leaves it behind.
    running: PathBuf,
    file: File,
    beat: Arc<AtomicU64>,
}

impl Trial {
    fn new(target: &'static Target, scratch: &Path) -> io::Result<Self> {
        let running = scratch.join(format!("fuzz-{}.running", target.name));
        if let Ok(deadly) = fs::read(&running)
            && !deadly.is_empty()
        {
            corpus::keep(target.name, corpus::FAILURE, &deadly)?;
        }
        let (file, beat) = (File::create(&running)?, Arc::default());
        watch(target.name, running.clone(), &beat);
        Ok(Self { target, file, beat, running })
    }

    fn check(&self, input: &[u8]) -> Result<(), String> {
        let (took, held) = self.once(input)?;
        if held > HELD_BYTES {
            return Err(format!("it holds {held} bytes for an input of {}", input.len()));
        }
        // The machine may have been busy: the best of three counts.
        if took > TIME_MAX && self.once(input)?.0.min(self.once(input)?.0) > TIME_MAX {
            return Err(format!("it takes {took:?}"));
        }
        Ok(())
    }

    /// How long it took and how much memory.
    fn once(&self, input: &[u8]) -> Result<(Duration, usize), String> {
        self.file
            .set_len(0)
            .and_then(|()| self.file.write_all_at(input, 0))
            .expect("the input can be written");
        self.beat.fetch_add(1, Ordering::Relaxed);
        TRYING.store(true, Ordering::Relaxed);
        let started = Instant::now();
        let run = || panic::catch_unwind(AssertUnwindSafe(|| (self.target.run)(input)));
        let (outcome, held) = memory::most_held(run);
        TRYING.store(false, Ordering::Relaxed);
        self.beat.fetch_add(1, Ordering::Relaxed);
        outcome.map_err(|panic| reason(&*panic))?;
        Ok((started.elapsed(), held))
    }

    /// A smaller input that fails, too.
    fn shrink(&self, input: &[u8]) -> Vec<u8> {
        let started = Instant::now();
        let mut best = input.to_vec();
        let mut step = best.len() / 2;
        while step > 0 && started.elapsed() < SHRINKING {
            let mut at = 0;
            while at < best.len() && started.elapsed() < SHRINKING {
                let shorter = [&best[..at], &best[(at + step).min(best.len())..]].concat();
                if self.check(&shorter).is_err() { best = shorter } else { at += step }
            }
            step /= 2;
        }
        best
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.running));
    }
}

fn reason(panic: &(dyn Any + Send)) -> String {
    let kept = std::mem::take(&mut *REASON.lock().unwrap_or_else(PoisonError::into_inner));
    let text = panic.downcast_ref::<String>().cloned();
    if kept.is_empty() { text.unwrap_or_else(|| "it panics".to_owned()) } else { kept }
}

/// Ends the process when an input hangs, and keeps it. `beat` is odd while one is tried.
fn watch(target: &'static str, running: PathBuf, beat: &Arc<AtomicU64>) {
    let beat = Arc::downgrade(beat);
    thread::spawn(move || {
        let mut last = (0, Instant::now());
        while let Some(now) = beat.upgrade().map(|beat| beat.load(Ordering::Relaxed)) {
            if now != last.0 {
                last = (now, Instant::now());
            } else if now % 2 == 1 && last.1.elapsed() > HANG {
                give_up(target, &running);
            }
            thread::sleep(Duration::from_secs(1));
        }
    });
}

#[expect(clippy::print_stderr, reason = "the last word of a process that hangs")]
fn give_up(target: &str, running: &Path) -> ! {
    let kept = fs::read(running).and_then(|input| corpus::keep(target, corpus::FAILURE, &input));
    eprintln!("{target}: an input takes more than {HANG:?}; kept in {kept:?}");
    process::abort();
}
