//! What nodes ask PostgreSQL and Valkey, and how these answer.

use std::time::Duration;

use actors::tenant::admission;
use cluster::membership::Event as M;
use cluster::ownership::{Claim, Event as O};
use cluster::{Gen, Lease, Rival};
use invariants::Id;
use model::{JobState, RunState};
use store::images::Behind;
use store::runs::effects::Situation;
use store::work::Keep;

use crate::database::{Applied, Claimed, Effect, Hold, Inputs, Job, RunEffect, Taking, WorkState};
use crate::keys::{Bell, Image};
use crate::node::News;
use crate::valkey::{Command, Reply};
use crate::world::{Happening, World};

/// Bells that a relay takes at once.
const BATCH: usize = 500;
/// Waiting jobs of each lane that admission looks at.
pub(crate) const PAGE: usize = 256;

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Server {
    Database,
    Valkey,
}

/// A question.
#[derive(Debug, Clone)]
pub(crate) enum Question {
    Join(Option<Rival>),
    Up(Gen),
    Beat {
        me: Gen,
        sent: Duration,
    },
    Observe {
        sent: Duration,
    },
    Vote {
        me: Gen,
        target: Gen,
        seen: Option<i64>,
    },
    Table {
        sent: Duration,
    },
    Mine {
        me: Gen,
        sent: Duration,
    },
    Claim {
        me: Gen,
        partition: u16,
        seen_epoch: i64,
    },
    Release {
        me: Gen,
        lease: Lease,
    },
    CutOff(Gen),
    Leave(Gen),
    /// An effect that says nothing but its lease.
    Write(Lease),
    Database(To, Ask),
    Valkey(To, Command),
}

/// Who in the node asks, and the number of its question or activation: an answer to a former one is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    Entity(crate::keys::Key, u64),
    Slot(usize, u64),
    /// The reader of work.
    Work(u64),
    Relay(u64),
    Reader(u64),
    Marker,
    Lookout,
    Door {
        client: usize,
        number: u64,
    },
    Nobody,
}

/// What is asked of the tables of jobs.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    AdmissionView(u8),
    Behind(Image),
    Inputs(Image),
    Apply(Lease, Effect),
    ExpireOverdue,
    FindStanding(Duration),
    Leave(Vec<Bell>),
    Situation,
    TakeWork { work: u64, me: Gen, silent: Option<Duration> },
    KeepWork(Hold),
    CompleteWork(Hold),
    FailWork { hold: Hold, permanent: bool, pause: Duration },
    TakeBells(Taking),
    CommitBells(Taking),
    RollBack(usize, u64),
    Submit(Id, Box<Job>),
    Cancel(Id),
}

/// What is answered.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    AdmissionView(admission::View),
    Behind(Box<Behind>),
    Inputs(Inputs),
    Applied(Applied),
    Bells(Vec<Bell>),
    Situation(Box<Situation>),
    Claimed(Claimed),
    Keep(Keep),
    Committed(bool),
    Job(Option<Id>),
    Done,
}

impl Answer {
    /// Whether whoever reads a trace cares.
    fn is_news(&self) -> bool {
        match self {
            Self::Situation(at) => !at.open.is_empty(),
            Self::Bells(bells) => !bells.is_empty(),
            Self::Done | Self::Keep(Keep::Continue) | Self::Committed(true) => false,
            _ => true,
        }
    }
}

impl Question {
    pub(crate) const fn server(&self) -> Server {
        if matches!(self, Self::Valkey(..)) { Server::Valkey } else { Server::Database }
    }

    /// Statements on the tables of jobs do not: a connection delivers each once, or is lost.
    pub(crate) const fn may_come_twice(&self) -> bool {
        !matches!(
            self,
            Self::Database(..)
                | Self::Valkey(_, Command::Read { .. } | Command::TakeOver { .. } | Command::TakeFrom { .. })
        )
    }
}

impl World {
    /// Carries it out; `None` when nobody waits for an answer.
    pub(crate) fn execute(&mut self, from: usize, life: u64, what: Question) -> Option<News> {
        let now = self.now;
        let authority = &mut self.database.authority;
        Some(match what {
            Question::Join(replacing) => {
                let introduction = self.nodes[from].introduction();
                News::JoinAnswer(Some(authority.join(&introduction, replacing, now)))
            }
            Question::Up(me) => News::UpAnswer(me, Some(authority.up(me))),
            Question::Beat { me, sent } => {
                News::Member(M::Beaten { sent, counted: Some(authority.beat(me, now)) })
            }
            Question::Observe { sent } => News::Member(M::Observed { sent, view: Some(authority.observe()) }),
            Question::Vote { me, target, seen } => {
                let dead = authority.declare_dead(target, seen, me, self.plan.timing.votes, now);
                if dead {
                    self.tell(|| format!("{me} has {target} declared dead"));
                }
                News::Member(M::Voted { target, dead: Some(dead) })
            }
            Question::Table { sent } => News::Owner(O::Table { sent, rows: Some(authority.partitions()) }),
            Question::Mine { me, sent } => {
                News::Owner(O::Mine { sent, leases: Some(authority.partitions_of(me)) })
            }
            Question::Claim { me, partition, seen_epoch } => {
                let got = authority.claim(partition, seen_epoch, me, now);
                self.tell(|| format!("{me} claims {partition} after epoch {seen_epoch}: {got:?}"));
                News::Owner(O::Claimed { partition, outcome: got.map_or(Claim::Refused, Claim::Got) })
            }
            Question::Release { me, lease } => {
                let done = authority.release(lease, me, now);
                self.tell(|| format!("{me} releases {lease:?}: {done}"));
                News::Owner(O::Released { lease, done: Some(done) })
            }
            Question::CutOff(generation) => {
                if let Some(node) = self.node_of(generation) {
                    let present = self.nodes[node].life;
                    (0..present).for_each(|life| self.database.roll_back(Some((node, life))));
                }
                News::Owner(O::CutOff(generation))
            }
            Question::Leave(me) => {
                if authority.leave(me, now) {
                    News::Left
                } else {
                    News::Owner(O::Stays)
                }
            }
            Question::Write(lease) => {
                authority.fence(lease);
                return None;
            }
            Question::Database(to, ask) => {
                let answer = self.carry_out_ask(ask);
                if answer.is_news() {
                    self.tell(|| format!("  node {from}.{life} {to:?}: {answer:?}"));
                }
                News::Database(to, Some(answer))
            }
            Question::Valkey(to, command) => {
                let reply = self.valkey.execute(command, self.plan.partitions, now);
                self.tell_of(from, to, &reply);
                News::Valkey(to, Some(reply))
            }
        })
    }

    fn tell_of(&mut self, from: usize, to: To, reply: &Reply) {
        if let Reply::Entries(entries) = reply
            && !entries.is_empty()
        {
            self.tell(|| format!("  node {from} {to:?} reads {entries:?}"));
        }
    }

    fn carry_out_ask(&mut self, ask: Ask) -> Answer {
        let date = self.date();
        match ask {
            Ask::AdmissionView(tenant) => Answer::AdmissionView(self.database.admission_view(tenant, PAGE)),
            Ask::Behind(image) => Answer::Behind(Box::new(self.database.behind(image))),
            Ask::Inputs(image) => Answer::Inputs(self.database.inputs(image)),
            Ask::Apply(lease, effect) => {
                self.tell(|| format!("effect of {lease:?}: {effect:?}"));
                if let Effect::Run(RunEffect::MoveTo(_, RunState::Held)) = effect {
                    let waits = self.chance.between(Duration::from_secs(1), Duration::from_secs(10));
                    self.schedule(waits, 0, 0, Happening::Person);
                }
                Answer::Applied(self.database.apply(lease, effect, date))
            }
            Ask::ExpireOverdue => {
                self.database.expire_overdue(date);
                Answer::Done
            }
            Ask::FindStanding(older_than) => Answer::Bells(self.database.find_standing(older_than, date)),
            Ask::Leave(bells) => {
                for bell in bells {
                    self.database.ring(bell.who, bell.lane, date, Duration::ZERO);
                }
                Answer::Done
            }
            Ask::Situation => Answer::Situation(Box::new(self.database.situation(date))),
            Ask::TakeWork { work, me, silent } => {
                let before = self.database.work.get(&work).map(|work| work.state);
                let claimed = self.database.take_work(work, me, silent, date);
                if let (Some(WorkState::Held(from)), Claimed::Granted { .. } | Claimed::Gone) =
                    (before, claimed)
                {
                    self.judge_take_over(work, from);
                }
                Answer::Claimed(claimed)
            }
            Ask::KeepWork(hold) => Answer::Keep(self.database.keep_work(hold, date)),
            Ask::CompleteWork(hold) => Answer::Applied(self.database.complete_work(hold, date)),
            Ask::FailWork { hold, permanent, pause } => {
                Answer::Applied(self.database.fail_work(hold, permanent, pause, date))
            }
            Ask::TakeBells(taking) => {
                let taken = self.database.take_bells(taking, BATCH, date);
                Answer::Bells(taken.into_iter().map(|(_, bell)| bell).collect())
            }
            Ask::CommitBells(taking) => Answer::Committed(self.database.commit_bells(taking, date)),
            Ask::RollBack(node, life) => {
                self.database.roll_back(Some((node, life)));
                Answer::Done
            }
            Ask::Submit(id, job) => {
                let job = Job { deadline: job.deadline.map(|limit| date + limit), ..*job };
                Answer::Job(self.database.submit(id, job, date))
            }
            Ask::Cancel(job) => {
                self.database.give_up(job, JobState::Cancelled, date);
                Answer::Done
            }
        }
    }
}
