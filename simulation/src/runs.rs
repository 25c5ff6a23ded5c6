//! Whole runs. In one for safety anything may go wrong at any moment, and then nothing any more; in one for liveness
//! one node is cut off for good, and the others have to get on.

use std::time::Duration;

use invariants::{ALWAYS, AT_REST, Answer, Invariant};

use crate::faults;
use crate::plan::Plan;
use crate::world::World;

/// Between two looks at everything.
const LOOK: Duration = Duration::from_secs(10);
/// Once everything is healed, everything is done within this.
const REST_MAX: Duration = Duration::from_secs(240);

/// What came of a run.
#[derive(Debug)]
pub struct Report {
    /// What must not have happened, in words; at most a few of each kind.
    pub violations: Vec<String>,
    /// Everything that happened, folded into one number.
    pub digest: u64,
    /// The same in lines, when the plan says so.
    pub trace: Vec<String>,
    /// How long it took after everything was healed until nothing was left to do.
    pub rest: Duration,
    /// What the run was about, so that nobody trusts one that was too tame.
    pub counts: Counts,
}

/// How much happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Jobs that ended with a verdict.
    pub done: usize,
    /// Jobs that ended without one.
    pub failed: usize,
    /// Verdicts.
    pub verdicts: usize,
    /// Runs of the scheduler.
    pub runs: usize,
    /// Effects that were accepted.
    pub effects: usize,
    /// Effects that were refused for their epoch.
    pub fenced: u64,
    /// Nodes that were declared dead.
    pub deaths: usize,
    /// Work that was given up.
    pub dead_letters: usize,
}

/// Anything may go wrong for a while; then it is healed, and everything has to be done soon.
pub fn safety(plan: Plan) -> Report {
    let mut world = World::new(plan);
    faults::start_all(&mut world);
    let end = world.now + world.plan.rage;
    let mut violations = Vec::new();
    while world.now < end && violations.is_empty() {
        let next = (world.now + LOOK).min(end);
        faults::rage_until(&mut world, next);
        violations = look(&world, &ALWAYS);
    }
    faults::heal_all(&mut world);
    come_to_rest(world, violations)
}

/// One node is cut off, one way, from something for good. The others have to get on.
pub fn liveness(plan: Plan) -> Report {
    let mut world = World::new(plan);
    faults::start_all(&mut world);
    let settle = world.chance.between(Duration::from_secs(5), Duration::from_secs(20));
    world.run_for(settle);
    faults::cut_off_for_good(&mut world);
    come_to_rest(world, Vec::new())
}

fn come_to_rest(mut world: World, mut violations: Vec<String>) -> Report {
    let healed = world.now;
    while violations.is_empty() && !is_at_rest(&world) && world.now < healed + REST_MAX {
        world.run_for(Duration::from_secs(1));
    }
    let rest = world.now - healed;
    if violations.is_empty() {
        violations = look(&world, &ALWAYS);
        let late = look(&world, &AT_REST[..AT_REST.len() - 1]);
        violations.extend(late.into_iter().map(|what| format!("after {rest:?} of rest: {what}")));
        if !world.database.runs.are_at_rest(world.database.latest()) {
            violations.push(format!("after {rest:?} of rest: a run has not ended"));
        }
        if !world.are_clients_content() {
            violations.push(format!("after {rest:?} of rest: a client was not answered"));
        }
    }
    let ledger = &world.database.authority.ledger;
    let counts = Counts {
        done: world.database.ended(model::JobState::Done),
        failed: world.database.ended(model::JobState::Failed),
        verdicts: world.database.verdicts.len(),
        runs: world.database.runs.all.len(),
        effects: ledger.writes.len(),
        fenced: ledger.fenced,
        deaths: ledger.declared_dead.len(),
        dead_letters: world.database.dead_letters.len(),
    };
    Report { violations, digest: world.trace.digest(), trace: world.trace.lines(), rest, counts }
}

fn is_at_rest(world: &World) -> bool {
    world.database.is_at_rest() && world.are_clients_content()
}

/// What the ledger complains of, and what the rows say.
fn look(world: &World, invariants: &[Invariant]) -> Vec<String> {
    let told: Vec<Answer> = world.clients.iter().flat_map(|client| client.told.iter().cloned()).collect();
    let mut violations = world.database.authority.ledger.violations.clone();
    violations.extend(invariants::violations(&world.database.rows(&told), invariants));
    violations.truncate(20);
    violations
}
