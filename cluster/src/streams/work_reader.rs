//! Takes work from the lanes' streams, as much as somebody waits for and no more.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::streams::{StreamAutoClaimReply, StreamId, StreamPendingCountReply, StreamReadReply};
use redis::{Pipeline, Value, cmd};
use tokio::sync::{broadcast, mpsc, watch};
use uuid::Uuid;

use super::valkey::{Valkey, creates_group, is_missing_group};
use super::work::{Demand, GROUP};
use super::{Delivery, StreamError, WorkEntry, WorkItem};
use crate::authority::Gen;
use crate::metrics::WORK_RECLAIMED;

/// A new demand waits no longer than this for the read that includes it.
const BLOCK: Duration = Duration::from_millis(50);
const PAUSE: Duration = Duration::from_millis(200);
/// Entries of a dead node taken over in one go.
const TAKE_OVER: usize = 256;

/// The reader of one node.
pub(crate) struct WorkReader {
    pub(crate) valkey: Valkey,
    pub(crate) me: Gen,
    pub(crate) demands: mpsc::Receiver<Demand>,
    pub(crate) died: broadcast::Receiver<Gen>,
    pub(crate) acting: watch::Receiver<bool>,
}

struct Taking {
    connection: Option<MultiplexedConnection>,
    open: VecDeque<Demand>,
    /// Taken, and nobody here waits for it any more or yet.
    ready: VecDeque<Delivery>,
    looked_back: Instant,
    turn: u32,
}

impl WorkReader {
    /// Takes work until the node ends.
    pub(crate) async fn run(mut self) {
        let mut taking = Taking {
            connection: None,
            open: VecDeque::new(),
            ready: VecDeque::new(),
            looked_back: Instant::now(),
            turn: 0,
        };
        loop {
            if taking.open.is_empty() {
                let Some(demand) = self.demands.recv().await else { return };
                taking.open.push_back(demand);
            }
            while let Ok(demand) = self.demands.try_recv() {
                taking.open.push_back(demand);
            }
            taking.open.retain(|demand| !demand.answer.is_closed());
            if !*self.acting.borrow_and_update() {
                let _ = tokio::time::timeout(PAUSE, self.acting.changed()).await;
                continue;
            }
            if let Err(error) = self.round(&mut taking).await {
                tracing::debug!(error = &error as &dyn std::error::Error, "work cannot be taken");
                taking.connection = None;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn round(&mut self, taking: &mut Taking) -> Result<(), StreamError> {
        self.take_over_from_the_dead(taking).await?;
        taking.serve();
        if !taking.open.is_empty() && taking.looked_back.elapsed() > self.valkey.limits().work_lease / 4 {
            taking.looked_back = Instant::now();
            self.take_over_expired(taking).await?;
            taking.serve();
        }
        if taking.open.is_empty() {
            return Ok(());
        }
        self.read(taking).await?;
        taking.serve();
        Ok(())
    }

    /// Takes what nodes that died had in hand, without waiting for its lease.
    async fn take_over_from_the_dead(&mut self, taking: &mut Taking) -> Result<(), StreamError> {
        while let Ok(dead) = self.died.try_recv() {
            for lane in 0..self.valkey.lanes().len() {
                let claimed = self.take_from(dead, lane).await?;
                taking.take_in(lane, claimed, true);
            }
        }
        Ok(())
    }

    async fn take_from(&self, dead: Gen, lane: usize) -> Result<Vec<StreamId>, StreamError> {
        let stream = self.valkey.work_stream(lane)?;
        let mut ask = Pipeline::with_capacity(1);
        ask.cmd("XPENDING").arg(&stream).arg(GROUP).arg("-").arg("+").arg(TAKE_OVER).arg(dead.0);
        let pending: Result<(StreamPendingCountReply,), _> = self.valkey.run(&ask).await;
        let Ok((pending,)) = pending else { return Ok(Vec::new()) }; // No group: then nobody holds anything.
        if pending.ids.is_empty() {
            return Ok(Vec::new());
        }
        // Only while it is still the dead one's: another may be quicker. Idle for a moment is enough to tell.
        let ids: Vec<_> = pending.ids.iter().map(|held| held.id.as_str()).collect();
        let idle = pending.ids.iter().map(|held| held.last_delivered_ms).min().unwrap_or_default();
        let mut claim = Pipeline::with_capacity(1);
        claim.cmd("XCLAIM").arg(&stream).arg(GROUP).arg(self.me.0).arg(idle).arg(&ids);
        let (claimed,): (redis::streams::StreamClaimReply,) = self.valkey.run(&claim).await?;
        Ok(claimed.ids)
    }

    /// Takes what its holder did not renew. One a lane: the next round looks again.
    async fn take_over_expired(&self, taking: &mut Taking) -> Result<(), StreamError> {
        let lease = self.valkey.limits().work_lease.as_millis().to_string();
        let mut commands = Pipeline::new();
        let lanes = taking.lanes();
        for lane in &lanes {
            let stream = self.valkey.work_stream(*lane)?;
            commands.cmd("XAUTOCLAIM").arg(stream).arg(GROUP).arg(self.me.0).arg(&lease).arg("0-0");
            commands.arg("COUNT").arg(1);
        }
        let replies: Vec<StreamAutoClaimReply> = match self.valkey.run(&commands).await {
            Ok(replies) => replies,
            Err(StreamError::NoGroup) => return self.create_groups().await,
            Err(error) => return Err(error),
        };
        for (lane, reply) in lanes.into_iter().zip(replies) {
            taking.take_in(lane, reply.claimed, true);
        }
        Ok(())
    }

    async fn create_groups(&self) -> Result<(), StreamError> {
        let mut commands = Pipeline::new();
        for lane in 0..self.valkey.lanes().len() {
            creates_group(&mut commands, &self.valkey.work_stream(lane)?, GROUP);
        }
        commands.ignore_errors();
        self.valkey.run::<Vec<Value>>(&commands).await.map(drop)
    }

    /// One entry for whoever waits longest: of the lane whose turn it is if there is any, else of the most
    /// urgent one, else whatever comes first.
    async fn read(&self, taking: &mut Taking) -> Result<(), StreamError> {
        let lanes = self.in_turn(taking);
        for lane in &lanes {
            let reply = self.read_lanes(taking, &[*lane], None).await?;
            if taking.take_in_all(&lanes, reply, &self.valkey)? > 0 {
                return Ok(());
            }
        }
        let reply = self.read_lanes(taking, &lanes, Some(BLOCK)).await?;
        taking.take_in_all(&lanes, reply, &self.valkey)?;
        Ok(())
    }

    /// The lanes of the longest waiting demand, the one whose turn it is first, so that none starves.
    fn in_turn(&self, taking: &mut Taking) -> Vec<usize> {
        let mut lanes = taking.open.front().map(|demand| demand.lanes.clone()).unwrap_or_default();
        lanes.sort_unstable();
        let share = |lane: &usize| self.valkey.lanes().get(*lane).map_or(1, |lane| lane.share.max(1));
        let all: u32 = lanes.iter().map(share).sum();
        taking.turn = taking.turn.wrapping_add(37); // Spreads the turns of each lane over the hundred.
        let mut at = taking.turn % all.max(1);
        for place in 0..lanes.len() {
            let width = share(&lanes[place]);
            if at < width {
                lanes[..=place].rotate_right(1);
                break;
            }
            at -= width;
        }
        lanes
    }

    async fn read_lanes(
        &self,
        taking: &mut Taking,
        lanes: &[usize],
        block: Option<Duration>,
    ) -> Result<StreamReadReply, StreamError> {
        if taking.connection.is_none() {
            taking.connection = Some(self.valkey.blocking_connection().await?);
        }
        let Some(connection) = taking.connection.as_mut() else { return Ok(StreamReadReply::default()) };
        let streams: Vec<String> =
            lanes.iter().map(|lane| self.valkey.work_stream(*lane)).collect::<Result<_, _>>()?;
        let mut command = cmd("XREADGROUP");
        command.arg("GROUP").arg(GROUP).arg(self.me.0).arg("COUNT").arg(1);
        if let Some(block) = block {
            command.arg("BLOCK").arg(u64::try_from(block.as_millis()).unwrap_or(50));
        }
        command.arg("STREAMS").arg(&streams).arg(vec![">"; streams.len()]);
        let reply: Result<Option<StreamReadReply>, _> = command.query_async(connection).await;
        match reply {
            Ok(reply) => Ok(reply.unwrap_or_default()),
            Err(error) if is_missing_group(&error) => {
                self.create_groups().await?;
                Ok(StreamReadReply::default())
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Taking {
    /// All lanes somebody waits for.
    fn lanes(&self) -> Vec<usize> {
        let mut lanes: Vec<_> = self.open.iter().flat_map(|demand| demand.lanes.clone()).collect();
        lanes.sort_unstable();
        lanes.dedup();
        lanes
    }

    fn take_in_all(
        &mut self,
        lanes: &[usize],
        reply: StreamReadReply,
        valkey: &Valkey,
    ) -> Result<usize, StreamError> {
        let mut taken = 0;
        for key in reply.keys {
            for lane in lanes {
                if valkey.work_stream(*lane)? == key.key {
                    taken += key.ids.len();
                    self.take_in(*lane, key.ids.clone(), false);
                }
            }
        }
        Ok(taken)
    }

    fn take_in(&mut self, lane: usize, entries: Vec<StreamId>, reclaimed: bool) {
        if reclaimed {
            metrics::counter!(WORK_RECLAIMED).increment(entries.len() as u64);
        }
        for entry in entries {
            match item_of(&entry, lane) {
                Some(item) => {
                    let entry = WorkEntry { lane, id: entry.id.as_str().into() };
                    self.ready.push_back(Delivery { item, entry, reclaimed });
                }
                None => tracing::error!(lane, entry = entry.id, "an entry names no work"),
            }
        }
    }

    /// Gives each demand what it waits for, as far as there is any.
    fn serve(&mut self) {
        let mut kept = VecDeque::new();
        while let Some(delivery) = self.ready.pop_front() {
            let wants =
                |demand: &Demand| demand.lanes.contains(&delivery.item.lane) && !demand.answer.is_closed();
            match self.open.iter().position(wants).and_then(|at| self.open.remove(at)) {
                // Whoever waited may have given up this very moment.
                Some(demand) => kept.extend(demand.answer.send(delivery).err()),
                None => kept.push_back(delivery),
            }
        }
        self.ready = kept;
    }
}

fn item_of(entry: &StreamId, lane: usize) -> Option<WorkItem> {
    let tenant = Uuid::parse_str(&entry.get::<String>("t")?).ok()?;
    let id: Arc<str> = entry.get::<String>("w")?.into();
    Some(WorkItem { tenant, id, lane })
}
