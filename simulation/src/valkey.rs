//! Valkey in memory: streams with one group each, as the commands see them that the product sends.
//!
//! One stream for each partition, not one for each lane of it: a bell's lane is in the entry.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster::Gen;
use model::Lane;

use crate::keys::{Bell, Who};

/// All keys.
#[derive(Debug, Default)]
pub(crate) struct Valkey {
    streams: BTreeMap<Name, Stream>,
    marker: Option<u64>,
    next: u64,
}

/// A stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    Bells(u16),
    Work(Lane),
}

/// Who reads: a partition's owner, whichever it is, or an incarnation of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consumer {
    Owner,
    Worker(Gen),
}

/// An entry that was handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EntryId {
    pub(crate) stream: Name,
    pub(crate) number: u64,
}

#[derive(Debug, Default)]
struct Stream {
    entries: BTreeMap<u64, Who>,
    group: Option<Group>,
}

#[derive(Debug, Default)]
struct Group {
    last: u64,
    pending: BTreeMap<u64, (Consumer, Duration)>,
}

/// What a node asks.
#[derive(Debug, Clone)]
pub(crate) enum Command {
    /// `XADD`, one for each.
    Ring(Vec<Bell>),
    /// `XGROUP CREATE` for each, and `XAUTOCLAIM` of what was idle for so long.
    TakeOver { streams: Vec<Name>, by: Consumer, idle: Duration, count: usize },
    /// Takes what a consumer that is gone holds.
    TakeFrom { streams: Vec<Name>, by: Consumer, dead: Gen, count: usize },
    /// `XREADGROUP`, at most so many of each.
    Read { streams: Vec<Name>, by: Consumer, count: usize },
    /// Renews an entry, if it is still the consumer's.
    Renew(EntryId, Consumer),
    /// `XACK` and `XDEL`.
    Acknowledge(Vec<EntryId>),
    /// `SET NX` and `GET` of the marker.
    Marker,
}

/// What Valkey answers.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Done,
    Entries(Vec<(EntryId, Who)>),
    NoGroup,
    /// The marker, and whether it was made just now.
    Marker(bool, u64),
}

impl Valkey {
    /// It loses everything.
    pub(crate) fn flush(&mut self) {
        self.streams.clear();
        self.marker = None;
    }

    pub(crate) fn execute(&mut self, command: Command, partitions: u16, now: Duration) -> Reply {
        match command {
            Command::Ring(bells) => {
                for bell in bells {
                    self.add(bell, partitions);
                }
                Reply::Done
            }
            Command::TakeOver { streams, by, idle, count } => {
                let expired = |(_, since): &(Consumer, Duration)| now.saturating_sub(*since) >= idle;
                Reply::Entries(self.claim(&streams, by, count, now, expired))
            }
            Command::TakeFrom { streams, by, dead, count } => {
                let of_dead = |(holder, _): &(Consumer, Duration)| *holder == Consumer::Worker(dead);
                Reply::Entries(self.claim(&streams, by, count, now, of_dead))
            }
            Command::Read { streams, by, count } => self.read(&streams, by, count, now),
            Command::Renew(entry, by) => {
                if let Some(group) =
                    self.streams.get_mut(&entry.stream).and_then(|stream| stream.group.as_mut())
                    && let Some(pending) =
                        group.pending.get_mut(&entry.number).filter(|(holder, _)| *holder == by)
                {
                    pending.1 = now;
                }
                Reply::Done
            }
            Command::Acknowledge(entries) => {
                for entry in entries {
                    if let Some(stream) = self.streams.get_mut(&entry.stream) {
                        stream.entries.remove(&entry.number);
                        if let Some(group) = &mut stream.group {
                            group.pending.remove(&entry.number);
                        }
                    }
                }
                Reply::Done
            }
            Command::Marker => {
                let made = self.marker.is_none();
                self.next += 1;
                Reply::Marker(made, *self.marker.get_or_insert(self.next))
            }
        }
    }

    fn add(&mut self, bell: Bell, partitions: u16) {
        let name = match bell.who {
            Who::Entity(key) => Name::Bells(key.partition(partitions)),
            Who::Work(_) => Name::Work(bell.lane),
        };
        self.next += 1;
        self.streams.entry(name).or_default().entries.insert(self.next, bell.who);
    }

    /// Takes entries whose holder is like this. Groups that are missing are made.
    fn claim(
        &mut self,
        streams: &[Name],
        by: Consumer,
        count: usize,
        now: Duration,
        like: impl Fn(&(Consumer, Duration)) -> bool,
    ) -> Vec<(EntryId, Who)> {
        let mut taken = Vec::new();
        for name in streams {
            let stream = self.streams.entry(*name).or_default();
            let group = stream.group.get_or_insert_default();
            let numbers: Vec<u64> = group
                .pending
                .iter()
                .filter(|(_, held)| like(held))
                .map(|(number, _)| *number)
                .take(count)
                .collect();
            for number in numbers {
                group.pending.insert(number, (by, now));
                taken
                    .extend(stream.entries.get(&number).map(|who| (EntryId { stream: *name, number }, *who)));
            }
        }
        taken
    }

    fn read(&mut self, streams: &[Name], by: Consumer, count: usize, now: Duration) -> Reply {
        if streams.iter().any(|name| self.streams.get(name).is_none_or(|stream| stream.group.is_none())) {
            return Reply::NoGroup;
        }
        let mut read = Vec::new();
        for name in streams {
            let Some(stream) = self.streams.get_mut(name) else { continue };
            let Some(group) = stream.group.as_mut() else { continue };
            let new: Vec<_> = stream
                .entries
                .range(group.last + 1..)
                .take(count)
                .map(|(number, who)| (*number, *who))
                .collect();
            for (number, who) in new {
                group.last = number;
                group.pending.insert(number, (by, now));
                read.push((EntryId { stream: *name, number }, who));
            }
        }
        Reply::Entries(read)
    }
}
