//! What goes wrong: one fault after another, each healed after a while, chosen by the seed.

use std::collections::BTreeMap;
use std::time::Duration;

use super::world::World;

/// What may go wrong, and what makes it good again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Crash,
    Pause,
    CutTo,
    CutFrom,
    CutBoth,
    CutLink,
    CutAllLinks,
    AuthorityDown,
    Cordon,
    Drain,
}

const ALL: [Fault; 10] = [
    Fault::Crash,
    Fault::Pause,
    Fault::CutTo,
    Fault::CutFrom,
    Fault::CutBoth,
    Fault::CutLink,
    Fault::CutAllLinks,
    Fault::AuthorityDown,
    Fault::Cordon,
    Fault::Drain,
];

/// Starts all nodes within two seconds.
pub(crate) fn start_all(world: &mut World) {
    for index in 0..world.nodes.len() {
        let wait = world.chance.between(Duration::ZERO, Duration::from_millis(700));
        world.run_for(wait);
        world.start(index);
    }
}

/// Faults at random until then, overlapping as they may.
pub(crate) fn rage_until(world: &mut World, end: Duration) {
    let mut heals: BTreeMap<(Duration, u64), (Fault, usize, usize)> = BTreeMap::new();
    let mut count = 0;
    while world.now < end {
        let wait = world.chance.between(Duration::from_millis(200), Duration::from_secs(4));
        let next = world.now + wait;
        while let Some((&(at, id), &(fault, node, other))) = heals.iter().next()
            && at <= next
        {
            heals.remove(&(at, id));
            world.run_until(at.max(world.now));
            heal(world, fault, node, other);
        }
        world.run_until(next);
        let fault = ALL[usize::try_from(world.chance.below(ALL.len() as u64)).expect("small")];
        let nodes = world.nodes.len() as u64;
        let node = usize::try_from(world.chance.below(nodes)).expect("small");
        let other =
            (node + 1 + usize::try_from(world.chance.below(nodes - 1)).expect("small")) % world.nodes.len();
        strike(world, fault, node, other);
        let lasts = world.chance.between(Duration::from_millis(100), Duration::from_secs(12));
        count += 1;
        heals.insert((world.now + lasts, count), (fault, node, other));
    }
    for (fault, node, other) in heals.into_values() {
        heal(world, fault, node, other);
    }
    heal_all(world);
}

fn pair(one: usize, other: usize) -> (usize, usize) {
    (one.min(other), one.max(other))
}

fn strike(world: &mut World, fault: Fault, node: usize, other: usize) {
    match fault {
        Fault::Crash => world.crash(node),
        Fault::Pause => world.pause(node),
        Fault::CutTo => drop(world.cut_to.insert(node)),
        Fault::CutFrom => drop(world.cut_from.insert(node)),
        Fault::CutBoth => {
            world.cut_to.insert(node);
            world.cut_from.insert(node);
        }
        Fault::CutLink => drop(world.cut_links.insert(pair(node, other))),
        Fault::CutAllLinks => {
            let others = (0..world.nodes.len()).filter(|n| *n != node);
            world.cut_links.extend(others.map(|n| pair(n, node)));
        }
        Fault::AuthorityDown => world.authority_down = true,
        Fault::Cordon => administer(world, node, |world, me| {
            world.model.cordon(me, true);
        }),
        Fault::Drain => administer(world, node, |world, me| {
            world.model.set_state(me, cluster::MemberState::Draining);
        }),
    }
}

fn administer(world: &mut World, node: usize, act: impl Fn(&mut World, cluster::Gen)) {
    if let Some(me) = world.nodes[node].minds.as_ref().map(|m| m.me) {
        act(world, me);
    }
}

fn heal(world: &mut World, fault: Fault, node: usize, other: usize) {
    match fault {
        Fault::Crash | Fault::Drain => world.start(node),
        Fault::Pause => world.resume(node),
        Fault::CutTo => drop(world.cut_to.remove(&node)),
        Fault::CutFrom => drop(world.cut_from.remove(&node)),
        Fault::CutBoth => {
            world.cut_to.remove(&node);
            world.cut_from.remove(&node);
        }
        Fault::CutLink => reconnect(world, |p| p == pair(node, other)),
        Fault::CutAllLinks => reconnect(world, |p| p.0 == node || p.1 == node),
        Fault::AuthorityDown => world.authority_down = false,
        Fault::Cordon => administer(world, node, |world, me| {
            world.model.cordon(me, false);
        }),
    }
}

fn reconnect(world: &mut World, which: impl Fn((usize, usize)) -> bool) {
    let healed: Vec<_> = world.cut_links.iter().copied().filter(|p| which(*p)).collect();
    for pair in healed {
        world.cut_links.remove(&pair);
        world.out_of_reach.insert(pair, world.now);
    }
}

fn heal_all(world: &mut World) {
    world.authority_down = false;
    world.cut_to.clear();
    world.cut_from.clear();
    reconnect(world, |_| true);
    for node in 0..world.nodes.len() {
        world.resume(node);
        administer(world, node, |world, me| {
            world.model.cordon(me, false);
        });
        world.start(node);
    }
}
