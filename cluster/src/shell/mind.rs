//! The mind of a node: it feeds the machines of membership and ownership, and carries out what they say.
//!
//! Whatever waits runs in a task of its own and comes back as an event, so that the mind never does.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::{broadcast, oneshot, watch};

use super::{Exit, root};
use crate::acting::Acting;
use crate::authority::{Authority, AuthorityUnavailable, DeadMember, Gen, Lease, Member, View};
use crate::config::Config;
use crate::entities::host;
use crate::key::PARTITIONS;
use crate::links::Links;
use crate::membership::{self, Membership};
use crate::metrics::{MOVES, PARTITIONS_OWNED, RING_EPOCH, VOTES};
use crate::ownership::{self, Claim, Ownership};
use crate::placement::Placement;
use crate::streams::bell_reader::Serving;

/// How finely the machines see time.
const TICK: Duration = Duration::from_millis(25);
/// A question to the authority that is not a heartbeat is given up after this.
const PATIENCE: Duration = Duration::from_secs(6);
/// How long a hand-over waits for the reader of bells to have let go of a partition.
const LET_GO: Duration = Duration::from_secs(1);

/// What the mind is told.
pub(crate) enum Message {
    /// Time passes.
    Tick,
    /// News for membership.
    Member(membership::Event),
    /// News for ownership.
    Owner(ownership::Event),
    /// Someone is said to be of a newer view, or to have released something: look.
    Look,
}

/// What it works with.
pub(crate) struct Mind {
    pub(crate) me: Gen,
    pub(crate) config: Arc<Config>,
    pub(crate) authority: Arc<dyn Authority>,
    pub(crate) links: Links,
    pub(crate) host: ActorRef<host::Message>,
    pub(crate) root: ActorRef<root::Message>,
    pub(crate) view: watch::Sender<Arc<View>>,
    pub(crate) placement: watch::Sender<Arc<Placement>>,
    pub(crate) acting: watch::Sender<bool>,
    pub(crate) died: broadcast::Sender<Gen>,
    pub(crate) serving: watch::Sender<Arc<Serving>>,
    /// What each lane's reader of bells has seen.
    pub(crate) bells_seen: Vec<watch::Receiver<u64>>,
    pub(crate) may_act: Acting,
}

/// The machines.
pub(crate) struct State {
    membership: Membership,
    ownership: Ownership,
    names: HashMap<Gen, String>,
}

impl Actor for Mind {
    type Msg = Message;
    type State = State;
    type Arguments = View;

    async fn pre_start(&self, myself: ActorRef<Message>, view: View) -> Result<State, ActorProcessingErr> {
        let now = self.now();
        let timing = self.config.timing;
        let mut state = State {
            membership: Membership::new(self.me, timing, now),
            ownership: Ownership::new(self.me, timing, PARTITIONS, now),
            names: HashMap::new(),
        };
        self.member(membership::Event::Observed { sent: now, view: Some(view) }, &myself, &mut state);
        myself.send_interval(TICK, || Message::Tick);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Tick => {
                self.member(membership::Event::Tick, &myself, state);
                self.owner(ownership::Event::Tick, &myself, state);
            }
            Message::Member(event) => self.member(event, &myself, state),
            Message::Owner(event) => self.owner(event, &myself, state),
            Message::Look => self.owner(ownership::Event::Hint, &myself, state),
        }
        let may_act = self.may_act.may_act();
        self.acting.send_if_modified(|acting| std::mem::replace(acting, may_act) != may_act);
        Ok(())
    }
}

impl Mind {
    fn now(&self) -> Duration {
        self.may_act.clock()
    }

    fn member(&self, event: membership::Event, myself: &ActorRef<Message>, state: &mut State) {
        let now = self.now();
        for action in state.membership.step(event, now) {
            self.carry_out(action, now, myself, state);
        }
    }

    fn carry_out(
        &self,
        action: membership::Action,
        now: Duration,
        myself: &ActorRef<Message>,
        state: &mut State,
    ) {
        use membership::{Action, Event};
        let (me, authority) = (self.me, self.authority.clone());
        let timing = self.config.timing;
        match action {
            Action::Beat => self.later(myself, async move {
                let counted = within(timing.beat_timeout, authority.beat(me)).await;
                Message::Member(Event::Beaten { sent: now, counted })
            }),
            Action::Observe => self.later(myself, async move {
                let view = within(timing.beat_timeout, authority.observe()).await;
                Message::Member(Event::Observed { sent: now, view })
            }),
            Action::Vote { target, seen_heartbeat } => self.later(myself, async move {
                let evidence = if seen_heartbeat.is_some() { "stood_still" } else { "out_of_reach" };
                metrics::counter!(VOTES, "evidence" => evidence).increment(1);
                let vote = authority.declare_dead(target, seen_heartbeat, me, timing.votes);
                let dead = within(PATIENCE, vote).await;
                tracing::info!(node.target = target.0, evidence, ?dead, "voted that a node is dead");
                Message::Member(Event::Voted { target, dead })
            }),
            Action::Probe(peer) => {
                let Some(member) = state.membership.view().and_then(|v| v.member(peer)).cloned() else {
                    return;
                };
                let links = self.links.clone();
                self.later(myself, async move {
                    let reached = links.probe(&member, timing.probe).await.is_ok();
                    Message::Member(Event::Probed { peer, reached })
                });
            }
            Action::Publish(view) => self.published(view, myself, state),
            Action::Gone(generation) => {
                let _ = self.died.send(generation); // Nobody may be listening.
                self.owner(ownership::Event::Gone(generation), myself, state);
            }
            Action::ValidUntil(until) => self.may_act.extend(until),
            Action::Die => self.end(Exit::DeclaredDead),
        }
    }

    fn published(&self, view: View, myself: &ActorRef<Message>, state: &mut State) {
        for Member { generation, name, .. } in &view.members {
            state.names.entry(*generation).or_insert_with(|| name.clone());
        }
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        metrics::gauge!(RING_EPOCH).set(view.version as f64);
        self.links.retain(&view);
        self.view.send_replace(Arc::new(view.clone()));
        self.owner(ownership::Event::View(view), myself, state);
    }

    fn owner(&self, event: ownership::Event, myself: &ActorRef<Message>, state: &mut State) {
        let now = self.now();
        for action in state.ownership.step(event, now) {
            self.act(action, now, myself, state);
        }
    }

    /// `now` is the time of the step: by it the machine knows the answer to its own question again.
    fn act(&self, action: ownership::Action, now: Duration, myself: &ActorRef<Message>, state: &mut State) {
        use ownership::{Action, Event};
        let (me, authority) = (self.me, self.authority.clone());
        match action {
            Action::ReadTable => self.later(myself, async move {
                let rows = within(PATIENCE, authority.partitions()).await;
                Message::Owner(Event::Table { sent: now, rows })
            }),
            Action::ReadMine => self.later(myself, async move {
                let leases = within(PATIENCE, authority.partitions_of(me)).await;
                Message::Owner(Event::Mine { sent: now, leases })
            }),
            Action::CutOff(generation) => {
                let dead = DeadMember { generation, name: state.names.get(&generation).cloned() };
                self.later(myself, async move {
                    // Best effort: what it holds open ends by the database's own time limits.
                    let _ = within(PATIENCE, authority.cut_off(&dead)).await;
                    Message::Owner(Event::CutOff(generation))
                });
            }
            Action::Claim { partition, seen_epoch } => self.later(myself, async move {
                let outcome = match within(PATIENCE, authority.claim(partition, seen_epoch, me)).await {
                    Some(Some(epoch)) => Claim::Got(epoch),
                    Some(None) => Claim::Refused,
                    None => Claim::Unknown,
                };
                Message::Owner(Event::Claimed { partition, outcome })
            }),
            Action::Activate(lease) => self.activate(lease),
            Action::Stop(lease) => self.stop(lease, myself),
            Action::Abandon(lease) => {
                tracing::debug!(partition = lease.partition, epoch = lease.epoch, "lost a partition");
                metrics::counter!(MOVES, "direction" => "lost").increment(1);
                self.serve(|serving| {
                    serving.remove(&lease.partition);
                });
                let _ = self.host.cast(host::Message::Abandon(lease));
            }
            Action::Release(lease) => self.later(myself, async move {
                let done = within(PATIENCE, authority.release(lease, me)).await;
                Message::Owner(Event::Released { lease, done })
            }),
            Action::Tell { to, partition } => {
                let view = self.view.borrow().clone();
                if let Some(member) = view.member(to) {
                    let _ = self.links.hint(member, view.version, &[partition]); // It reads the table anyway.
                }
            }
            Action::Publish => self.publish_placement(state),
            Action::Drained => self.leave(myself),
        }
    }

    fn activate(&self, lease: Lease) {
        metrics::counter!(MOVES, "direction" => "taken").increment(1);
        // The host first: a bell that comes before it knew the partition would go unanswered.
        let _ = self.host.cast(host::Message::Activate(lease));
        self.serve(|serving| {
            serving.insert(lease.partition);
        });
    }

    /// Ends the entities of a partition and waits until nobody reads its bells any more: one that were read
    /// after the next owner had looked for them would wait for long.
    fn stop(&self, lease: Lease, myself: &ActorRef<Message>) {
        metrics::counter!(MOVES, "direction" => "handed_over").increment(1);
        let change = self.serve(|serving| {
            serving.remove(&lease.partition);
        });
        let seen = self.bells_seen.clone();
        let (stopped, ended) = oneshot::channel();
        let _ = self.host.cast(host::Message::Stop(lease, stopped));
        self.later(myself, async move {
            let let_go =
                seen.into_iter().map(|mut seen| async move { drop(seen.wait_for(|s| *s >= change).await) });
            let _ = tokio::time::timeout(LET_GO, futures::future::join_all(let_go)).await;
            let _ = ended.await; // A host that is gone has no entities either.
            Message::Owner(ownership::Event::Stopped(lease))
        });
    }

    /// Changes what the reader of bells reads; the number of the change.
    fn serve(&self, change: impl FnOnce(&mut std::collections::BTreeSet<u16>)) -> u64 {
        let mut serving = Serving::clone(&self.serving.borrow());
        change(&mut serving.partitions);
        serving.change += 1;
        let number = serving.change;
        self.serving.send_replace(Arc::new(serving));
        number
    }

    fn publish_placement(&self, state: &State) {
        let placement = state.ownership.placement();
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        metrics::gauge!(PARTITIONS_OWNED).set(placement.owned_by(self.me) as f64);
        self.placement.send_replace(Arc::new(placement));
    }

    /// Everything is handed over, or the time for it is over: out of the view, and the end. Unless it was told to
    /// stay meanwhile.
    fn leave(&self, myself: &ActorRef<Message>) {
        let (me, authority, root) = (self.me, self.authority.clone(), self.root.clone());
        self.later(myself, async move {
            if within(PATIENCE, authority.leave(me)).await == Some(false) {
                return Message::Owner(ownership::Event::Stays);
            }
            let _ = root.cast(root::Message::End(Exit::Left));
            Message::Tick
        });
    }

    fn end(&self, exit: Exit) {
        tracing::error!("other nodes have declared this one dead: it stops");
        self.may_act.end();
        self.acting.send_replace(false);
        let _ = self.host.cast(host::Message::End);
        let _ = self.root.cast(root::Message::End(exit));
    }

    fn later(&self, myself: &ActorRef<Message>, question: impl Future<Output = Message> + Send + 'static) {
        let myself = myself.clone();
        tokio::spawn(async move {
            let answer = question.await;
            let _ = myself.cast(answer); // The node may have ended.
        });
    }
}

/// An answer in time, or nothing.
async fn within<T>(
    patience: Duration,
    question: impl Future<Output = Result<T, AuthorityUnavailable>>,
) -> Option<T> {
    match tokio::time::timeout(patience, question).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(error)) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "the authority did not answer");
            None
        }
        Err(_) => None,
    }
}
