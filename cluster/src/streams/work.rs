//! Work streams: one per lane, read by every node that has a free place for work.

use redis::{Pipeline, Script};
use tokio::sync::{mpsc, oneshot};

use super::valkey::Valkey;
use super::{Delivery, StreamError, WorkEntry, WorkItem};
use crate::authority::Gen;

/// The consumer group of all workers.
pub(super) const GROUP: &str = "workers";

/// Renews an entry only while it is still mine: a plain XCLAIM would take it back from whoever took it over.
const RENEW: &str = r"
local held = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1, ARGV[2])
if #held == 0 then return 0 end
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'JUSTID')
return 1";

/// Pushes work, and takes it. Cheap to clone; all clones of a node share one reader.
#[derive(Debug, Clone)]
pub struct Work {
    valkey: Valkey,
    me: Gen,
    demands: mpsc::Sender<Demand>,
}

/// Somebody waits for work of some lanes.
#[derive(Debug)]
pub(crate) struct Demand {
    pub(super) lanes: Vec<usize>,
    pub(super) answer: oneshot::Sender<Delivery>,
}

impl Work {
    pub(crate) fn new(valkey: Valkey, me: Gen, demands: mpsc::Sender<Demand>) -> Self {
        Self { valkey, me, demands }
    }

    /// Hands work to whichever node has room, in one round trip. After an error some may have arrived,
    /// which does no harm: push them all again.
    pub async fn push(&self, items: &[WorkItem]) -> Result<(), StreamError> {
        if items.is_empty() {
            return Ok(());
        }
        let mut commands = Pipeline::with_capacity(items.len());
        for item in items {
            let stream = self.valkey.work_stream(item.lane)?;
            let tenant = item.tenant.hyphenated().to_string();
            commands.cmd("XADD").arg(stream).arg("*").arg("t").arg(tenant).arg("w").arg(&*item.id).ignore();
        }
        self.valkey.run(&commands).await
    }

    /// The next piece of work of these lanes (indices), most urgent first by share; waits for one. Nothing
    /// is read ahead: an entry is taken from the stream when somebody waits for it. May be dropped at any
    /// time without losing work.
    pub async fn next(&self, lanes: &[usize]) -> Result<Delivery, StreamError> {
        let (answer, delivery) = oneshot::channel();
        let stopped = || StreamError::Unavailable("the node has stopped".into());
        self.demands.send(Demand { lanes: lanes.to_vec(), answer }).await.map_err(|_| stopped())?;
        delivery.await.map_err(|_| stopped())
    }

    /// Tells that this work is still under way; to be called well within the lease. False when another
    /// node has taken it over, or the entry is gone: stop.
    pub async fn renew(&self, entry: &WorkEntry) -> Result<bool, StreamError> {
        let stream = self.valkey.work_stream(entry.lane)?;
        let script = Script::new(RENEW);
        let mut call = script.key(stream);
        call.arg(GROUP).arg(self.me.0).arg(&*entry.id);
        self.valkey.script(&call).await
    }

    /// Acknowledges and deletes it, after its effect is committed.
    pub async fn done(&self, entry: WorkEntry) -> Result<(), StreamError> {
        let stream = self.valkey.work_stream(entry.lane)?;
        let mut commands = Pipeline::with_capacity(2);
        commands.cmd("XACK").arg(&stream).arg(GROUP).arg(&*entry.id).ignore();
        commands.cmd("XDEL").arg(&stream).arg(&*entry.id).ignore();
        self.valkey.run(&commands).await
    }
}
