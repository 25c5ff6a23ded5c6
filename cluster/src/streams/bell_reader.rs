//! Reads the bells of the partitions that this node owns, and hands each to the entity it rings for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::streams::{StreamAutoClaimReply, StreamId, StreamReadReply};
use redis::{Pipeline, Value, cmd};
use tokio::sync::{Semaphore, watch};
use uuid::Uuid;

use super::StreamError;
use super::acks::Ack;
use super::valkey::{Valkey, creates_group, is_missing_group};
use crate::authority::Gen;
use crate::key::EntityKey;
use crate::metrics::{BELLS, BELLS_IN_HAND};

/// The consumer group of a partition's owner.
pub(super) const GROUP: &str = "owner";
/// A new partition waits no longer than this for the read that includes it.
const BLOCK: Duration = Duration::from_millis(100);
/// Entries of one stream in one read.
const COUNT: usize = 32;
const PAUSE: Duration = Duration::from_millis(200);

/// The partitions to read. Each change has a number, so that whoever gives one up can wait until no read
/// that includes it is under way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Serving {
    pub(crate) change: u64,
    pub(crate) partitions: BTreeSet<u16>,
}

/// Where bells go.
pub(crate) type Ring = Arc<dyn Fn(EntityKey, Ack) + Send + Sync>;

/// The reader of one node.
pub(crate) struct BellReader {
    pub(crate) valkey: Valkey,
    pub(crate) me: Gen,
    pub(crate) serving: watch::Receiver<Arc<Serving>>,
    /// Tells the last change that every read from now on includes.
    pub(crate) seen: watch::Sender<u64>,
    /// Whether this node may act for its partitions.
    pub(crate) acting: watch::Receiver<bool>,
    pub(crate) ring: Ring,
}

struct Reading {
    connection: Option<MultiplexedConnection>,
    known: BTreeSet<u16>,
    places: Arc<Semaphore>,
    looked_back: Instant,
}

impl BellReader {
    /// Reads until the node ends.
    pub(crate) async fn run(mut self) {
        let in_hand = self.valkey.limits().bells_in_hand_max;
        let mut reading = Reading {
            connection: None,
            known: BTreeSet::new(),
            places: Arc::new(Semaphore::new(in_hand)),
            looked_back: Instant::now(),
        };
        loop {
            if !*self.acting.borrow_and_update() {
                if self.acting.changed().await.is_err() {
                    return;
                }
                continue;
            }
            let serving = self.serving.borrow_and_update().clone();
            self.seen.send_replace(serving.change);
            if serving.partitions.is_empty() {
                reading.known.clear();
                if self.serving.changed().await.is_err() {
                    return;
                }
                continue;
            }
            if let Err(error) = self.round(&serving.partitions, &mut reading).await {
                tracing::debug!(error = &error as &dyn std::error::Error, "bells cannot be read");
                reading.connection = None;
                // Whatever Valkey has forgotten meanwhile is made again.
                reading.known.clear();
                tokio::time::sleep(PAUSE).await;
            }
            let free = reading.places.available_permits();
            #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
            metrics::gauge!(BELLS_IN_HAND).set(in_hand.saturating_sub(free) as f64);
        }
    }

    async fn round(&self, partitions: &BTreeSet<u16>, reading: &mut Reading) -> Result<(), StreamError> {
        let fresh: Vec<u16> = partitions.difference(&reading.known).copied().collect();
        if !fresh.is_empty() {
            self.create_groups(&fresh).await?;
            self.take_over(&fresh, Duration::ZERO, &reading.places).await?;
        }
        reading.known.clone_from(partitions);
        let idle = self.valkey.limits().bell_idle_max;
        if reading.looked_back.elapsed() > idle {
            reading.looked_back = Instant::now();
            let all: Vec<u16> = partitions.iter().copied().collect();
            self.take_over(&all, idle, &reading.places).await?;
        }
        if reading.places.available_permits() == 0 {
            // Enough in hand: whoever has a bell settles it first.
            drop(reading.places.acquire().await);
            return Ok(());
        }
        self.read(partitions, reading).await
    }

    async fn create_groups(&self, partitions: &[u16]) -> Result<(), StreamError> {
        let mut commands = Pipeline::new();
        for stream in self.streams(partitions.iter().copied())? {
            creates_group(&mut commands, &stream, GROUP);
        }
        commands.ignore_errors();
        self.valkey.run::<Vec<Value>>(&commands).await.map(drop)
    }

    fn streams(&self, partitions: impl Iterator<Item = u16>) -> Result<Vec<String>, StreamError> {
        let lanes = 0..self.valkey.lanes().len();
        let all = partitions.flat_map(|p| lanes.clone().map(move |lane| (p, lane)));
        all.map(|(partition, lane)| self.valkey.bell_stream(partition, lane)).collect()
    }

    /// Takes what a former owner read and did not acknowledge. Safe at once: there is one owner, and it is
    /// this node.
    async fn take_over(
        &self,
        partitions: &[u16],
        idle: Duration,
        places: &Arc<Semaphore>,
    ) -> Result<(), StreamError> {
        let idle = idle.as_millis().to_string();
        let streams = self.streams(partitions.iter().copied())?;
        let mut commands = Pipeline::with_capacity(streams.len());
        for stream in &streams {
            commands.cmd("XAUTOCLAIM").arg(stream).arg(GROUP).arg(self.me.0).arg(&idle).arg("0-0");
            commands.arg("COUNT").arg(1000);
        }
        let replies: Vec<StreamAutoClaimReply> = self.valkey.run(&commands).await?;
        for (stream, reply) in streams.iter().zip(replies) {
            self.hand_out(stream, reply.claimed, places).await;
        }
        Ok(())
    }

    /// Reads what has come, or waits for it. In order of the lanes: within one read the more urgent lanes
    /// of all partitions come first.
    async fn read(&self, partitions: &BTreeSet<u16>, reading: &mut Reading) -> Result<(), StreamError> {
        if reading.connection.is_none() {
            reading.connection = Some(self.valkey.blocking_connection().await?);
        }
        let Some(connection) = reading.connection.as_mut() else { return Ok(()) };
        let mut streams = Vec::with_capacity(partitions.len() * self.valkey.lanes().len());
        for lane in 0..self.valkey.lanes().len() {
            for partition in partitions {
                streams.push(self.valkey.bell_stream(*partition, lane)?);
            }
        }
        let mut command = cmd("XREADGROUP");
        command.arg("GROUP").arg(GROUP).arg(self.me.0).arg("COUNT").arg(COUNT);
        command.arg("BLOCK").arg(u64::try_from(BLOCK.as_millis()).unwrap_or(100));
        command.arg("STREAMS").arg(&streams).arg(vec![">"; streams.len()]);
        let reply: Result<Option<StreamReadReply>, _> = command.query_async(connection).await;
        let reply = match reply {
            Ok(reply) => reply.unwrap_or_default(),
            Err(error) if is_missing_group(&error) => {
                let all: Vec<u16> = partitions.iter().copied().collect();
                return self.create_groups(&all).await;
            }
            Err(error) => return Err(error.into()),
        };
        let places = reading.places.clone();
        for key in reply.keys {
            self.hand_out(&key.key, key.ids, &places).await;
        }
        Ok(())
    }

    async fn hand_out(&self, stream: &str, entries: Vec<StreamId>, places: &Arc<Semaphore>) {
        metrics::counter!(BELLS).increment(entries.len() as u64);
        for entry in entries {
            let Ok(place) = places.clone().acquire_owned().await else { return };
            let ack = Ack { stream: stream.to_owned(), entry: entry.id.clone(), _place: place };
            match key_of(&entry) {
                Some(key) => (self.ring)(key, ack),
                None => tracing::error!(stream, entry = entry.id, "an entry names no entity"),
            }
        }
    }
}

fn key_of(entry: &StreamId) -> Option<EntityKey> {
    let field = |name| entry.get::<String>(name);
    let tenant = Uuid::parse_str(&field("t")?).ok()?;
    Some(EntityKey::new(field("k")?, tenant, field("i")?))
}
