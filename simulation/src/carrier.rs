//! What carries bells on a node: the relay, from the outbox to the streams; the reader, from the streams of the
//! partitions served here to their entities; and the look whether Valkey has lost everything.

use std::collections::BTreeSet;
use std::time::Duration;

use actors::lookout;
use actors::relay::rounds::{Came, Next, Rest, Rounds};
use cluster::streams::listening::{Ask as Listen, Listening};

use crate::database::Taking;
use crate::host::Haste;
use crate::keys::{Bell, Who};
use crate::node::{MS, News};
use crate::question::{Answer, Ask, Question, To};
use crate::valkey::{Command, Consumer, Name, Reply};
use crate::world::World;

/// The server ends a transaction that stands still for so long.
const STANDS_STILL_MAX: Duration = Duration::from_secs(10);
/// Entries of one stream in one read, and in one step of a takeover.
const COUNT: usize = 16;
const TAKE_OVER: usize = 256;
/// Between two reads, and after an error.
const PAUSE: Duration = Duration::from_millis(100);
/// Between two looks at the marker.
const LOOK: Duration = Duration::from_secs(1);

/// The relay of a node.
#[derive(Debug, Default)]
pub(crate) struct Relay {
    number: u64,
    rounds: Rounds,
    taking: Option<Taking>,
    bells: Vec<Bell>,
}

/// The reader of bells of a node.
#[derive(Debug)]
pub(crate) struct Reader {
    number: u64,
    listening: Listening,
    /// The question under way.
    asked: Option<Listen>,
}

impl Reader {
    pub(crate) const fn new(idle_max: Duration, now: Duration) -> Self {
        Self { number: 0, listening: Listening::new(idle_max, now), asked: None }
    }

    /// Counts its reads.
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// Whether the read of this number is over.
    pub(crate) const fn has_passed(&self, number: u64) -> bool {
        self.number > number || self.asked.is_none()
    }
}

impl World {
    pub(crate) fn begin_round(&mut self, index: usize) {
        self.relay_goes_on(index, Came::Begun);
    }

    fn relay_goes_on(&mut self, index: usize, came: Came) {
        let luck = self.chance.below(1000) as f64 / 1000.0;
        let (life, until) = (self.nodes[index].life, self.date() + STANDS_STILL_MAX);
        let Some(minds) = &mut self.nodes[index].minds else { return };
        let relay = &mut minds.relay;
        relay.number += 1;
        let to = To::Relay(relay.number);
        let ask = match relay.rounds.next(came) {
            Next::Take => {
                let taking = Taking { node: index, life, round: relay.number, until };
                relay.taking = Some(taking);
                Question::Database(to, Ask::TakeBells(taking))
            }
            Next::Ring => Question::Valkey(to, Command::Ring(relay.bells.clone())),
            Next::Commit => {
                let Some(taking) = relay.taking.take() else { return };
                Question::Database(to, Ask::CommitBells(taking))
            }
            Next::Rest(rest) => {
                let wait = rest.longest(luck);
                if matches!(rest, Rest::BackOff(_)) {
                    // Whatever it was at is rolled back.
                    let ask = Question::Database(To::Nobody, Ask::RollBack(index, life));
                    self.ask(index, ask, News::Nothing);
                }
                return self.inform(index, wait, News::Round);
            }
        };
        let unanswered = match ask {
            Question::Valkey(..) => News::Valkey(to, None),
            _ => News::Database(to, None),
        };
        self.ask(index, ask, unanswered);
    }

    pub(crate) fn relay_answered(&mut self, index: usize, number: u64, answer: Option<Answer>) {
        let Some(minds) = &mut self.nodes[index].minds else { return };
        if minds.relay.number != number {
            return;
        }
        let came = match answer {
            Some(Answer::Bells(bells)) => {
                let count = bells.len();
                minds.relay.bells = bells;
                Came::Taken(count)
            }
            Some(Answer::Committed(true)) => Came::Committed,
            _ => Came::Failed,
        };
        self.relay_goes_on(index, came);
    }

    pub(crate) fn relay_has_rung(&mut self, index: usize, number: u64, done: bool) {
        let relay = self.nodes[index].minds.as_ref().map(|minds| minds.relay.number);
        if relay == Some(number) {
            self.relay_goes_on(index, if done { Came::Rung } else { Came::Failed });
        }
    }

    /// The reader's next question.
    pub(crate) fn read_bells(&mut self, index: usize) {
        let clock = self.nodes[index].clock(self.now);
        let Some(minds) = &mut self.nodes[index].minds else { return };
        let serving: BTreeSet<u16> = minds.hosted.keys().copied().collect();
        let reader = &mut minds.reader;
        if !minds.membership.may_act(clock) || serving.is_empty() {
            reader.listening.begin_again();
            return self.inform(index, PAUSE, News::ReadBells);
        }
        let asked = reader.listening.next(&serving, clock);
        let by = Consumer::Owner;
        let names = |of: Vec<u16>| of.into_iter().map(Name::Bells).collect();
        let command = match asked.clone() {
            Listen::TakeOver { partitions, idle } => {
                Command::TakeOver { streams: names(partitions), by, idle, count: TAKE_OVER }
            }
            Listen::Read => Command::Read { streams: names(serving.into_iter().collect()), by, count: COUNT },
        };
        reader.number += 1;
        reader.asked = Some(asked);
        let to = To::Reader(reader.number);
        self.ask(index, Question::Valkey(to, command), News::Valkey(to, None));
    }

    pub(crate) fn bells_read(&mut self, index: usize, number: u64, reply: Option<Reply>) {
        let Some(minds) = &mut self.nodes[index].minds else { return };
        let reader = &mut minds.reader;
        if reader.number != number {
            return;
        }
        let asked = reader.asked.take();
        let Some(Reply::Entries(entries)) = reply else {
            reader.listening.begin_again();
            return self.inform(index, 2 * PAUSE, News::ReadBells);
        };
        let taken_over = matches!(asked, Some(Listen::TakeOver { .. }));
        if let Some(Listen::TakeOver { partitions, .. }) = asked {
            reader.listening.has_taken_over(&partitions);
        }
        let pause = if entries.is_empty() && !taken_over { PAUSE } else { MS };
        for (entry, who) in entries {
            if let Who::Entity(key) = who {
                self.wake(index, key, Some(entry));
            }
        }
        self.inform(index, pause, News::ReadBells);
    }

    /// While no bells are heard here, whatever stands still in the partitions of this node is looked for.
    pub(crate) fn look_out(&mut self, index: usize) {
        self.inform(index, lookout::EVERY, News::LookOut);
        let reaches = self.nodes[index].minds.as_ref().is_none_or(|minds| minds.is_valkey_reachable);
        if !reaches && self.plan.defences.lookout {
            let ask = Ask::FindStanding(lookout::STANDS);
            self.ask(index, Question::Database(To::Lookout, ask), News::Database(To::Lookout, None));
        }
    }

    pub(crate) fn has_looked_out(&mut self, index: usize, answer: Option<Answer>) {
        let Some(Answer::Bells(bells)) = answer else { return };
        for bell in bells {
            if let Who::Entity(key) = bell.who {
                self.wake(index, key, None); // Only if it lives here.
            }
        }
    }

    pub(crate) fn look_at_marker(&mut self, index: usize) {
        self.inform(index, LOOK, News::Look);
        self.ask(index, Question::Valkey(To::Marker, Command::Marker), News::Valkey(To::Marker, None));
    }

    pub(crate) fn marker_seen(&mut self, index: usize, reply: Option<Reply>) {
        let Some(minds) = &mut self.nodes[index].minds else { return };
        minds.is_valkey_reachable = reply.is_some();
        let Some(Reply::Marker(made, marker)) = reply else { return };
        let lost = made || minds.marker.is_some_and(|known| known != marker);
        minds.marker = Some(marker);
        if lost {
            self.hasten(index, Haste::Everything);
        }
    }
}
