//! What goes wrong: one fault after another, each healed after a while, chosen by the seed.

use std::time::Duration;

use cluster::{Gen, Steer};

use crate::question::Server;
use crate::world::World;

/// What may go wrong, and what makes it good again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Crash,
    Pause,
    /// Of a node and a server: questions are lost, answers are, or both.
    CutTo(Server),
    CutFrom(Server),
    CutBoth(Server),
    /// Between two nodes: one direction, or both.
    CutWay,
    CutLink,
    CutAllLinks,
    Down(Server),
    /// Valkey loses everything.
    Flush,
    /// Valkey goes down, and comes back empty.
    Replaced,
    /// The clock of the wall of a node, or of the database, is set.
    NodeClock,
    DatabaseClock,
    Cordon,
    Drain,
}

const MEMBERS: [Fault; 11] = [
    Fault::Crash,
    Fault::Pause,
    Fault::CutTo(Server::Database),
    Fault::CutFrom(Server::Database),
    Fault::CutBoth(Server::Database),
    Fault::CutWay,
    Fault::CutLink,
    Fault::CutAllLinks,
    Fault::Down(Server::Database),
    Fault::Cordon,
    Fault::Drain,
];

const WORK: [Fault; 8] = [
    Fault::CutTo(Server::Valkey),
    Fault::CutFrom(Server::Valkey),
    Fault::CutBoth(Server::Valkey),
    Fault::Down(Server::Valkey),
    Fault::Flush,
    Fault::Replaced,
    Fault::NodeClock,
    Fault::DatabaseClock,
];

/// Starts all nodes within two seconds.
pub(crate) fn start_all(world: &mut World) {
    for index in 0..world.nodes.len() {
        let wait = world.chance.between(Duration::ZERO, Duration::from_millis(700));
        world.run_for(wait);
        world.start(index);
    }
}

/// Faults at random until then, overlapping as they may. What is not healed by then is healed later.
pub(crate) fn rage_until(world: &mut World, end: Duration) {
    while world.now < end {
        let wait = world.chance.between(Duration::from_millis(200), Duration::from_secs(4));
        let next = (world.now + wait).min(end);
        while let Some((&(at, id), &(fault, node, other))) = world.heals.iter().next()
            && at <= next
        {
            world.heals.remove(&(at, id));
            world.run_until(at.max(world.now));
            heal(world, fault, node, other);
        }
        world.run_until(next);
        let fault = any(world);
        let nodes = world.nodes.len() as u64;
        let node = usize::try_from(world.chance.below(nodes)).expect("small");
        let other =
            (node + 1 + usize::try_from(world.chance.below(nodes - 1)).expect("small")) % world.nodes.len();
        strike(world, fault, node, other);
        let lasts = world.chance.between(Duration::from_millis(100), Duration::from_secs(12));
        let id = world.number();
        world.heals.insert((world.now + lasts, id), (fault, node, other));
    }
}

fn any(world: &mut World) -> Fault {
    let work = if world.plan.has_work { &WORK[..] } else { &[] };
    let all = MEMBERS.iter().chain(work);
    let pick = world.chance.below(all.clone().count() as u64);
    *all.clone().nth(usize::try_from(pick).expect("small")).expect("within")
}

fn strike(world: &mut World, fault: Fault, node: usize, other: usize) {
    world.tell(|| format!("{fault:?} strikes node {node}, and {other}"));
    match fault {
        Fault::Crash => world.crash(node),
        Fault::Pause => world.pause(node),
        Fault::CutTo(server) => drop(world.net.cut_to.insert((node, server))),
        Fault::CutFrom(server) => drop(world.net.cut_from.insert((node, server))),
        Fault::CutBoth(server) => {
            world.net.cut_to.insert((node, server));
            world.net.cut_from.insert((node, server));
        }
        Fault::CutWay => drop(world.net.cut_links.insert((node, other))),
        Fault::CutLink => world.net.cut_links.extend([(node, other), (other, node)]),
        Fault::CutAllLinks => {
            let others = (0..world.nodes.len()).filter(|n| *n != node);
            world.net.cut_links.extend(others.flat_map(|n| [(n, node), (node, n)]));
        }
        Fault::Down(server) => goes_down(world, server),
        Fault::Flush => {
            world.note_trouble(None);
            world.valkey.flush();
        }
        Fault::Replaced => {
            goes_down(world, Server::Valkey);
            world.valkey.flush();
        }
        Fault::NodeClock => {
            let hours = world.chance.between(Duration::ZERO, Duration::from_secs(14_400));
            world.nodes[node].wall_ahead = hours;
        }
        Fault::DatabaseClock => {
            let jump = world.chance.between(Duration::ZERO, Duration::from_secs(20));
            world.database.ahead += jump;
            world.note_trouble(None); // What was kept a moment ago was kept long ago.
        }
        Fault::Cordon => administer(world, node, |world, me| {
            world.database.authority.steer(me, Steer::Cordon);
        }),
        Fault::Drain => administer(world, node, |world, me| {
            // Half of the drains have a time that does not suffice for everything.
            let within = world.chance.one_in(2).then_some(Duration::from_millis(500));
            world.database.authority.steer(me, Steer::Drain { within });
        }),
    }
}

/// What was open there ends.
fn goes_down(world: &mut World, server: Server) {
    world.net.down.insert(server);
    if server == Server::Database {
        world.database.roll_back(None);
    }
}

fn administer(world: &mut World, node: usize, act: impl Fn(&mut World, Gen)) {
    if let Some(me) = world.nodes[node].minds.as_ref().map(|m| m.me) {
        act(world, me);
    }
}

fn heal(world: &mut World, fault: Fault, node: usize, other: usize) {
    world.tell(|| format!("{fault:?} of node {node}, and {other}, is healed"));
    match fault {
        Fault::Crash | Fault::Drain => world.start(node),
        Fault::Pause => world.resume(node),
        Fault::CutTo(server) | Fault::CutFrom(server) | Fault::CutBoth(server) => {
            world.note_trouble(Some(node));
            if fault != Fault::CutFrom(server) {
                world.net.cut_to.remove(&(node, server));
            }
            if fault != Fault::CutTo(server) {
                world.net.cut_from.remove(&(node, server));
            }
        }
        Fault::CutWay => reconnect(world, |p| p == (node, other)),
        Fault::CutLink => reconnect(world, |p| p == (node, other) || p == (other, node)),
        Fault::CutAllLinks => reconnect(world, |p| p.0 == node || p.1 == node),
        Fault::Down(server) => comes_back(world, server),
        Fault::Replaced => comes_back(world, Server::Valkey),
        Fault::Flush | Fault::NodeClock | Fault::DatabaseClock => {}
        Fault::Cordon => administer(world, node, |world, me| {
            world.database.authority.steer(me, Steer::Uncordon);
        }),
    }
}

fn comes_back(world: &mut World, server: Server) {
    world.note_trouble(None);
    world.net.down.remove(&server);
}

fn reconnect(world: &mut World, which: impl Fn((usize, usize)) -> bool) {
    let healed: Vec<_> = world.net.cut_links.iter().copied().filter(|p| which(*p)).collect();
    for pair in healed {
        world.net.cut_links.remove(&pair);
        world.net.out_of_reach.insert(pair, world.now);
    }
}

/// One node is cut off for good, one way: from a server, or from all other nodes; or it is stopped.
pub(crate) fn cut_off_for_good(world: &mut World) {
    let nodes = world.nodes.len() as u64;
    let node = usize::try_from(world.chance.below(nodes)).expect("small");
    let servers = [Server::Database, Server::Valkey];
    let server = servers[usize::from(world.chance.small(2))];
    let fault = [Fault::CutTo(server), Fault::CutFrom(server), Fault::Pause, Fault::Crash]
        [usize::from(world.chance.small(4))];
    strike(world, fault, node, node);
}

/// Everything is well again.
pub(crate) fn heal_all(world: &mut World) {
    world.heals.clear();
    world.note_trouble(None);
    world.net.down.clear();
    world.net.cut_to.clear();
    world.net.cut_from.clear();
    reconnect(world, |_| true);
    for node in 0..world.nodes.len() {
        world.resume(node);
        administer(world, node, |world, me| {
            world.database.authority.steer(me, Steer::Uncordon);
        });
        world.start(node);
    }
}
