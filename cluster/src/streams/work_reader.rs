//! Takes work from the lanes' streams, as much as somebody waits for and no more.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::streams::{StreamAutoClaimReply, StreamId, StreamRangeReply, StreamReadReply};
use redis::{Pipeline, Script, Value, cmd};
use tokio::sync::{broadcast, mpsc, watch};
use uuid::Uuid;

use super::turns::Turns;
use super::valkey::{Valkey, creates_group, is_missing_group};
use super::work::{Demand, GROUP};
use super::{Delivery, StreamError, WorkEntry, WorkItem, millis};
use crate::authority::Gen;
use crate::metrics::WORK_RECLAIMED;

/// A demand for other lanes waits no longer than this for the read that includes them.
const BLOCK: Duration = Duration::from_millis(50);
/// After an error.
const PAUSE: Duration = Duration::from_millis(200);

/// Takes entries that are still the dead consumer's, in one step, so that no two nodes take the same; and
/// forgets the consumer once it holds nothing.
const TAKE_FROM: &str = r"
local held = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', ARGV[4], ARGV[3])
if #held == 0 then
  redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[3])
  return {}
end
local claim = {'XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0}
for _, entry in ipairs(held) do claim[#claim + 1] = entry[1] end
return redis.call(unpack(claim))";

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
    /// Taken, but whoever waited has given up; and since when.
    ready: VecDeque<(Delivery, Instant)>,
    /// Nodes that are gone, and may still hold something.
    dead: Vec<Gen>,
    looked_back: Instant,
    /// Where the next look for expired leases begins, by lane.
    cursors: Vec<String>,
    turns: Turns,
}

impl WorkReader {
    /// Takes work until the node ends.
    pub(crate) async fn run(mut self) {
        let lanes = self.valkey.lanes();
        let mut taking = Taking {
            connection: None,
            open: VecDeque::new(),
            ready: VecDeque::new(),
            dead: Vec::new(),
            looked_back: Instant::now(),
            cursors: vec!["0-0".to_owned(); lanes.len()],
            turns: Turns::new(lanes.iter().map(|lane| lane.share)),
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
        let lease = self.valkey.limits().work_lease;
        // Not renewed here, so soon another node's.
        taking.ready.retain(|(_, since)| since.elapsed() < lease / 2);
        taking.serve();
        self.take_from_the_dead(taking).await?;
        if !taking.open.is_empty() && taking.looked_back.elapsed() > lease / 4 {
            taking.looked_back = Instant::now();
            self.take_expired(taking).await?;
        }
        if taking.open.is_empty() { Ok(()) } else { self.read(taking).await }
    }

    /// Takes what nodes that died had in hand, without waiting for its lease.
    async fn take_from_the_dead(&mut self, taking: &mut Taking) -> Result<(), StreamError> {
        while let Ok(dead) = self.died.try_recv() {
            taking.dead.push(dead);
        }
        for dead in std::mem::take(&mut taking.dead) {
            let mut emptied = true;
            for lane in 0..self.valkey.lanes().len() {
                let room = taking.wanted(lane);
                let taken = if room == 0 { Vec::new() } else { self.take_from(dead, lane, room).await? };
                emptied &= room > taken.len();
                taking.take_in(lane, taken, true);
            }
            if !emptied {
                taking.dead.push(dead); // There may be more, once somebody waits for it.
            }
        }
        Ok(())
    }

    async fn take_from(&self, dead: Gen, lane: usize, count: usize) -> Result<Vec<StreamId>, StreamError> {
        let script = Script::new(TAKE_FROM);
        let mut call = script.key(self.valkey.work_stream(lane)?);
        call.arg(GROUP).arg(self.me.0).arg(dead.0).arg(count);
        match self.valkey.script::<StreamRangeReply>(&call).await {
            Ok(taken) => Ok(taken.ids),
            Err(StreamError::NoGroup) => Ok(Vec::new()), // Then nobody holds anything.
            Err(error) => Err(error),
        }
    }

    /// Takes what its holder did not renew. From where the last look ended: a look sees only so many.
    async fn take_expired(&self, taking: &mut Taking) -> Result<(), StreamError> {
        let lease = millis(self.valkey.limits().work_lease);
        let lanes: Vec<usize> = taking.lanes();
        let mut commands = Pipeline::with_capacity(lanes.len());
        for lane in &lanes {
            let stream = self.valkey.work_stream(*lane)?;
            commands.cmd("XAUTOCLAIM").arg(stream).arg(GROUP).arg(self.me.0).arg(lease);
            commands.arg(&taking.cursors[*lane]).arg("COUNT").arg(taking.wanted(*lane));
        }
        let replies: Vec<StreamAutoClaimReply> = match self.valkey.run(&commands).await {
            Ok(replies) => replies,
            Err(StreamError::NoGroup) => return self.create_groups().await,
            Err(error) => return Err(error),
        };
        for (lane, reply) in lanes.into_iter().zip(replies) {
            taking.cursors[lane] = reply.next_stream_id;
            taking.take_in(lane, reply.claimed, true);
        }
        Ok(())
    }

    async fn create_groups(&self) -> Result<(), StreamError> {
        let lanes = self.valkey.lanes().len();
        let mut commands = Pipeline::with_capacity(lanes);
        for lane in 0..lanes {
            creates_group(&mut commands, &self.valkey.work_stream(lane)?, GROUP);
        }
        commands.ignore_errors();
        self.valkey.run::<Vec<Value>>(&commands).await.map(drop)
    }

    /// One entry of the lane whose turn it is, else of the most urgent that has any, else whatever comes
    /// first.
    async fn read(&self, taking: &mut Taking) -> Result<(), StreamError> {
        let wanted = taking.lanes();
        for lane in taking.turns.next(&wanted) {
            if self.read_lanes(taking, &[lane], None).await? > 0 {
                return Ok(());
            }
        }
        self.read_lanes(taking, &wanted, Some(BLOCK)).await.map(drop)
    }

    /// Reads at most one entry of each lane; how many there were.
    async fn read_lanes(
        &self,
        taking: &mut Taking,
        lanes: &[usize],
        block: Option<Duration>,
    ) -> Result<usize, StreamError> {
        if taking.connection.is_none() {
            taking.connection = Some(self.valkey.blocking_connection().await?);
        }
        let Some(connection) = taking.connection.as_mut() else { return Ok(0) };
        let streams: Vec<String> =
            lanes.iter().map(|lane| self.valkey.work_stream(*lane)).collect::<Result<_, _>>()?;
        let mut command = cmd("XREADGROUP");
        command.arg("GROUP").arg(GROUP).arg(self.me.0).arg("COUNT").arg(1);
        if let Some(block) = block {
            command.arg("BLOCK").arg(millis(block));
        }
        command.arg("STREAMS").arg(&streams).arg(vec![">"; streams.len()]);
        let reply: Result<Option<StreamReadReply>, _> = command.query_async(connection).await;
        let reply = match reply {
            Ok(reply) => reply.unwrap_or_default(),
            Err(error) if is_missing_group(&error) => {
                self.create_groups().await?;
                return Ok(0);
            }
            Err(error) => return Err(error.into()),
        };
        let mut taken = 0;
        for key in reply.keys {
            if let Some(at) = streams.iter().position(|stream| *stream == key.key) {
                taken += key.ids.len();
                taking.take_in(lanes[at], key.ids, false);
            }
        }
        Ok(taken)
    }
}

impl Taking {
    /// All lanes somebody waits for.
    fn lanes(&self) -> Vec<usize> {
        let mut lanes: Vec<_> = self.open.iter().flat_map(|demand| demand.lanes.iter().copied()).collect();
        lanes.sort_unstable();
        lanes.dedup();
        lanes.retain(|lane| *lane < self.cursors.len());
        lanes
    }

    /// How many wait for work of this lane.
    fn wanted(&self, lane: usize) -> usize {
        self.open.iter().filter(|demand| demand.lanes.contains(&lane)).count()
    }

    fn take_in(&mut self, lane: usize, entries: Vec<StreamId>, reclaimed: bool) {
        if reclaimed {
            metrics::counter!(WORK_RECLAIMED).increment(entries.len() as u64);
        }
        for entry in entries {
            match item_of(&entry, lane) {
                Some(item) => {
                    let entry = WorkEntry { lane, id: entry.id.as_str().into() };
                    self.ready.push_back((Delivery { item, entry, reclaimed }, Instant::now()));
                }
                None => tracing::error!(lane, entry = entry.id, "an entry names no work"),
            }
        }
        self.serve();
    }

    /// Gives each demand what it waits for, as far as there is any.
    fn serve(&mut self) {
        let mut kept = VecDeque::new();
        while let Some((delivery, since)) = self.ready.pop_front() {
            let lane = delivery.item.lane;
            let wants = |demand: &Demand| demand.lanes.contains(&lane) && !demand.answer.is_closed();
            match self.open.iter().position(wants).and_then(|at| self.open.remove(at)) {
                Some(demand) => {
                    if let Err(delivery) = demand.answer.send(delivery) {
                        self.ready.push_front((delivery, since)); // It gave up this very moment.
                    }
                }
                None => kept.push_back((delivery, since)),
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
