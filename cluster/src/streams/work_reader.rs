//! Takes work from the lanes' streams, as much as somebody waits for and no more.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::streams::{StreamAutoClaimReply, StreamId, StreamRangeReply, StreamReadReply};
use redis::{Pipeline, Script, Value, cmd};
use tokio::sync::{broadcast, mpsc, watch};
use uuid::Uuid;

use super::claims::{Ask, Claims};
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
    claims: Claims,
    begun: Instant,
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
            claims: Claims::new(self.valkey.limits().work_lease, lanes.len(), Duration::ZERO),
            begun: Instant::now(),
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
        while let Ok(dead) = self.died.try_recv() {
            taking.claims.has_died(dead);
        }
        while let Some(ask) = taking.next() {
            match &ask {
                Ask::TakeFrom { dead, lane, count } => {
                    let taken = self.take_from(*dead, *lane, *count).await?;
                    taking.claims.came(&ask, taken.len());
                    taking.take_in(*lane, taken, true);
                }
                Ask::TakeExpired(lanes) => self.take_expired(lanes, taking).await?,
                Ask::Read(lanes) => return self.read(lanes, taking).await,
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
    async fn take_expired(&self, lanes: &[usize], taking: &mut Taking) -> Result<(), StreamError> {
        let lease = millis(self.valkey.limits().work_lease);
        let mut commands = Pipeline::with_capacity(lanes.len());
        for lane in lanes {
            let stream = self.valkey.work_stream(*lane)?;
            commands.cmd("XAUTOCLAIM").arg(stream).arg(GROUP).arg(self.me.0).arg(lease);
            commands.arg(&taking.cursors[*lane]).arg("COUNT").arg(taking.wanted(*lane));
        }
        let replies: Vec<StreamAutoClaimReply> = match self.valkey.run(&commands).await {
            Ok(replies) => replies,
            Err(StreamError::NoGroup) => return self.create_groups().await,
            Err(error) => return Err(error),
        };
        for (lane, reply) in lanes.iter().zip(replies) {
            taking.cursors[*lane] = reply.next_stream_id;
            taking.take_in(*lane, reply.claimed, true);
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
    async fn read(&self, wanted: &[usize], taking: &mut Taking) -> Result<(), StreamError> {
        for lane in taking.turns.next(wanted) {
            if self.read_lanes(taking, &[lane], None).await? > 0 {
                return Ok(());
            }
        }
        self.read_lanes(taking, wanted, Some(BLOCK)).await.map(drop)
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
    /// What to ask for next, by who waits for what.
    fn next(&mut self) -> Option<Ask> {
        let wanted: Vec<usize> = (0..self.cursors.len()).map(|lane| self.wanted(lane)).collect();
        self.claims.next(&wanted, self.begun.elapsed())
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
