//! Membership and ownership alone: who is dead, who owns what, and how soon.

use std::collections::BTreeSet;
use std::time::Duration;

use cluster::placement::{place, seats};
use cluster::{Gen, MemberState, Steer};

use crate::authority::Why;
use crate::faults;
use crate::plan::Plan;
use crate::question::Server;
use crate::world::World;

const PARTITIONS: u16 = 64;

fn plan(seed: u64) -> Plan {
    let nodes = 3 + usize::try_from(seed % 4).expect("small");
    Plan { nodes, partitions: PARTITIONS, has_work: false, odd_message_in: 40, ..Plan::new(seed) }
}

/// A run with faults for a while, then rest.
fn rage(plan: Plan) -> World {
    let mut world = World::new(plan);
    faults::start_all(&mut world);
    world.run_for(Duration::from_secs(20));
    let end = world.now + Duration::from_secs(70);
    faults::rage_until(&mut world, end);
    faults::heal_all(&mut world);
    world
}

#[test]
fn nothing_that_must_hold_breaks_and_rest_restores_everything() {
    let (mut writes, mut fenced, mut deaths) = (0, 0, 0);
    for seed in 0..60 {
        let mut world = rage(plan(seed));
        world.run_for(Duration::from_secs(16));
        check_all_owned(&world, seed);
        come_to_rest(&mut world, seed);
        let ledger = &world.database.authority.ledger;
        assert!(ledger.violations.is_empty(), "seed {seed}: {:#?}", ledger.violations);
        let rows = world.database.rows(&[]);
        assert_eq!(invariants::violations(&rows, &invariants::ALWAYS), [""; 0], "seed {seed}");
        writes += ledger.writes.len();
        fenced += ledger.fenced;
        deaths += ledger.declared_dead.len();
    }
    assert!(writes > 0 && fenced > 0 && deaths > 0, "the runs were too tame: {writes}, {fenced}, {deaths}");
}

/// Soon after the last fault each partition has a live owner again.
fn check_all_owned(world: &World, seed: u64) {
    let live: BTreeSet<_> = world.nodes.iter().filter_map(|n| n.minds.as_ref().map(|m| m.me)).collect();
    let orphans: Vec<_> = world
        .database
        .authority
        .partitions()
        .into_iter()
        .filter(|p| p.owner.is_none_or(|o| !live.contains(&o)))
        .collect();
    // A few may be between two owners, on their way to where the ring wishes them.
    let limit = usize::from(PARTITIONS) / 10;
    assert!(orphans.len() <= limit, "seed {seed}: without a live owner: {orphans:?}");
}

/// Messages are still lost now and then, so not every moment is a quiet one; a node may have to leave and start
/// again first.
fn come_to_rest(world: &mut World, seed: u64) {
    for _ in 0..150 {
        world.run_for(Duration::from_secs(1));
        if unsettled(world).is_none() {
            return;
        }
    }
    panic!("seed {seed}: {}", unsettled(world).unwrap_or_default());
}

/// What is missing until all nodes live, agree on the view, own what the ring wishes, and host what they own.
fn unsettled(world: &World) -> Option<String> {
    let view = world.database.authority.observe();
    if view.members.len() != world.nodes.len() {
        return Some(format!("{} of {} nodes are live", view.members.len(), world.nodes.len()));
    }
    let wished = place(&seats(&view), PARTITIONS);
    let owners: Vec<_> = world.database.authority.partitions().into_iter().map(|p| p.owner).collect();
    let elsewhere: Vec<_> =
        (0..PARTITIONS).zip(owners.iter().zip(&wished)).filter(|(_, (o, w))| o != w).collect();
    if !elsewhere.is_empty() {
        return Some(format!("owned by another than the ring wishes: {elsewhere:?}"));
    }
    for node in &world.nodes {
        let Some(minds) = &node.minds else { return Some(format!("{} does not run", node.name)) };
        let hosted: Vec<_> = minds.hosted.values().copied().collect();
        if hosted != world.database.authority.partitions_of(minds.me) {
            return Some(format!("{} hosts other partitions than it owns: {hosted:?}", node.name));
        }
        let known: Vec<_> = minds.ownership.placement().partitions.iter().map(|p| p.owner).collect();
        if known != owners {
            return Some(format!("{} does not know the owners", node.name));
        }
        if !minds.membership.may_act(node.clock(world.now)) {
            return Some(format!("{} may not act", node.name));
        }
    }
    None
}

#[test]
fn the_same_seed_replays_the_same_run() {
    let run = |seed| rage(plan(seed)).trace.digest();
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

/// A cluster at rest, without odd messages.
fn at_rest(seed: u64, nodes: usize) -> World {
    let mut world = World::new(Plan { nodes, odd_message_in: 0, ..plan(seed) });
    faults::start_all(&mut world);
    world.run_for(Duration::from_secs(90));
    assert_eq!(unsettled(&world), None, "seed {seed}");
    world
}

fn owned_by(world: &World, owner: Gen) -> usize {
    world.database.authority.partitions_of(owner).len()
}

#[test]
fn partitions_of_a_crashed_node_are_claimed_within_ttl_and_two_seconds() {
    for seed in 0..20 {
        let mut world = at_rest(seed, 3);
        let dead = world.nodes[0].minds.as_ref().expect("running").me;
        let wait = world.chance.between(Duration::ZERO, Duration::from_secs(2));
        world.run_for(wait);
        world.crash(0);
        world.run_for(world.plan.timing.ttl + Duration::from_secs(2));
        assert_eq!(owned_by(&world, dead), 0, "seed {seed}");
    }
}

#[test]
fn an_outage_of_the_authority_kills_nobody() {
    for seed in 0..20 {
        let mut world = at_rest(seed, 4);
        for seconds in [1, 3, 5, 30, 2, 7] {
            world.net.down.insert(Server::Database);
            world.run_for(Duration::from_secs(seconds));
            world.net.down.remove(&Server::Database);
            world.run_for(Duration::from_secs(7));
        }
        assert_eq!(world.database.authority.ledger.declared_dead, [], "seed {seed}");
        assert_eq!(unsettled(&world), None, "seed {seed}");
    }
}

#[test]
fn a_pause_shorter_than_ttl_kills_nobody_and_a_longer_one_is_survived() {
    for seed in 0..20 {
        let mut world = at_rest(seed, 3);
        for _ in 0..4 {
            world.pause(1);
            world.run_for(Duration::from_millis(2400));
            world.resume(1);
            world.run_for(Duration::from_secs(8));
        }
        assert_eq!(world.database.authority.ledger.declared_dead, [], "seed {seed}");
        world.pause(1);
        world.run_for(Duration::from_secs(10));
        world.resume(1);
        world.run_for(Duration::from_secs(90));
        assert_eq!(world.database.authority.ledger.declared_dead.len(), 1, "seed {seed}");
        assert_eq!(unsettled(&world), None, "seed {seed}");
    }
}

#[test]
fn a_cut_between_two_of_three_kills_neither_and_a_node_cut_from_all_is_voted_out() {
    for seed in 0..20 {
        let mut world = at_rest(seed, 3);
        world.net.cut_links.extend([(0, 1), (1, 0)]);
        world.run_for(Duration::from_secs(60));
        assert_eq!(world.database.authority.ledger.declared_dead, [], "seed {seed}");
        world.net.cut_links.extend([(1, 2), (2, 1)]);
        let alone = world.nodes[1].minds.as_ref().expect("running").me;
        world.run_for(Duration::from_secs(10));
        let deaths: Vec<_> =
            world.database.authority.ledger.declared_dead.iter().map(|(g, _, why)| (*g, *why)).collect();
        assert_eq!(deaths, [(alone, Why::OutOfReach)], "seed {seed}");
    }
}

/// What it sends arrives, so its heartbeats would be counted for ever; what it is answered does not.
#[test]
fn a_node_that_is_answered_nothing_gives_way_within_two_times_to_live() {
    for seed in 0..20 {
        let mut world = at_rest(seed, 3);
        let deaf = world.nodes[1].minds.as_ref().expect("running").me;
        world.net.cut_from.insert((1, Server::Database));
        world.run_for(2 * world.plan.timing.ttl + Duration::from_secs(2));
        assert_eq!(owned_by(&world, deaf), 0, "seed {seed}");
    }
}

#[test]
fn a_drained_node_leaves_within_25_seconds_and_a_cordoned_one_lives_on_empty() {
    let mut world = at_rest(3, 3);
    let drained = world.nodes[2].minds.as_ref().expect("running").me;
    world.database.authority.steer(drained, Steer::Drain { within: None });
    world.run_for(Duration::from_secs(25));
    assert_eq!(world.database.authority.state(drained), Some(MemberState::Left));
    let cordoned = world.nodes[1].minds.as_ref().expect("running").me;
    world.database.authority.steer(cordoned, Steer::Cordon);
    world.run_for(Duration::from_secs(60));
    assert_eq!(owned_by(&world, cordoned), 0);
    assert_eq!(world.database.authority.state(cordoned), Some(MemberState::Up));
    world.database.authority.steer(cordoned, Steer::Uncordon);
    world.run_for(Duration::from_secs(60));
    assert!(owned_by(&world, cordoned) > 20);
}

#[test]
fn a_drain_that_is_taken_back_brings_everything_back_and_one_with_a_time_ends_by_it() {
    for seed in 0..20 {
        let mut world = at_rest(seed, 3);
        let me = |world: &World, node: usize| world.nodes[node].minds.as_ref().expect("running").me;
        let stays = me(&world, 2);
        let before = owned_by(&world, stays);
        world.database.authority.steer(stays, Steer::Drain { within: None });
        world.run_for(Duration::from_millis(1500));
        assert!(owned_by(&world, stays) < before, "seed {seed}: it began to hand over");
        assert!(world.database.authority.steer(stays, Steer::Undrain), "seed {seed}: it has not left yet");
        world.run_for(Duration::from_secs(20));
        assert_eq!(owned_by(&world, stays), before, "seed {seed}: they came back");
        let hurried = me(&world, 1);
        world.database.authority.steer(hurried, Steer::Drain { within: Some(Duration::from_millis(500)) });
        world.run_for(Duration::from_secs(3));
        assert_eq!(world.database.authority.state(hurried), Some(MemberState::Left), "seed {seed}");
        world.run_for(Duration::from_secs(10));
        assert_eq!(world.database.authority.ledger.violations, Vec::<String>::new(), "seed {seed}");
    }
}
