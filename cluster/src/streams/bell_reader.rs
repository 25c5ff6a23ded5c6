//! Reads the bells of the partitions that this node owns, and hands each to the entity it rings for.
//!
//! One reader a lane, each with its share of the bells that may be in hand at once: a flood in one lane
//! fills that lane's share and no other's, so the urgent never wait behind the many, and none starves.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::streams::{StreamAutoClaimReply, StreamId, StreamReadReply};
use redis::{Pipeline, Value, cmd};
use tokio::sync::{Semaphore, watch};
use uuid::Uuid;

use super::acks::{Ack, Acks};
use super::listening::{Ask, Listening};
use super::valkey::{Valkey, creates_group, is_missing_group};
use super::{StreamError, millis};
use crate::key::EntityKey;
use crate::metrics::{BELLS, BELLS_IN_HAND};

/// The consumer group of a partition's owner.
pub(super) const GROUP: &str = "owner";
/// Its only consumer: there is one owner at a time, and a name for each incarnation would pile up in
/// every stream.
const CONSUMER: &str = "owner";
/// Entries of one stream in one read.
const COUNT: usize = 16;
/// Entries of one stream in one step of a takeover.
const TAKE_OVER: usize = 256;
/// After a read that found something: what rings meanwhile comes with the next one.
const GATHER: Duration = Duration::from_millis(1);
/// After an error.
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

/// The reader of one lane on one node.
pub(crate) struct BellReader {
    pub(crate) valkey: Valkey,
    pub(crate) lane: usize,
    pub(crate) serving: watch::Receiver<Arc<Serving>>,
    /// Tells the last change that every read from now on includes.
    pub(crate) seen: watch::Sender<u64>,
    /// Whether this node may act for its partitions.
    pub(crate) acting: watch::Receiver<bool>,
    pub(crate) ring: Ring,
    pub(crate) acks: Acks,
}

struct Reading {
    connection: Option<MultiplexedConnection>,
    serving: Arc<Serving>,
    /// The streams of all served partitions.
    streams: Vec<String>,
    listening: Listening,
    begun: Instant,
    places: Arc<Semaphore>,
    in_hand_max: usize,
}

impl BellReader {
    /// Reads until the node ends.
    pub(crate) async fn run(mut self) {
        let in_hand_max = self.valkey.share_of(self.lane, self.valkey.limits().bells_in_hand_max);
        let mut reading = Reading {
            connection: None,
            serving: Arc::default(),
            streams: Vec::new(),
            listening: Listening::new(self.valkey.limits().bell_idle_max, Duration::ZERO),
            begun: Instant::now(),
            places: Arc::new(Semaphore::new(in_hand_max)),
            in_hand_max,
        };
        loop {
            let serving = self.serving.borrow_and_update().clone();
            self.seen.send_replace(serving.change);
            if !*self.acting.borrow_and_update() || serving.partitions.is_empty() {
                reading.listening.begin_again();
                let (serving_changed, acting_changed) = (self.serving.changed(), self.acting.changed());
                let changed = tokio::select! {
                    changed = serving_changed => changed,
                    changed = acting_changed => changed,
                };
                if changed.is_err() {
                    return;
                }
                continue;
            }
            if let Err(error) = self.round(serving, &mut reading).await {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    lane = self.lane,
                    "bells cannot be read"
                );
                reading.connection = None;
                reading.listening.begin_again();
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn round(&self, serving: Arc<Serving>, reading: &mut Reading) -> Result<(), StreamError> {
        if reading.serving.partitions != serving.partitions {
            reading.streams = self.streams(serving.partitions.iter().copied())?;
            reading.serving = serving.clone();
        }
        while let Ask::TakeOver { partitions, idle } =
            reading.listening.next(&serving.partitions, reading.begun.elapsed())
        {
            let streams = self.streams(partitions.iter().copied())?;
            self.create_groups(&streams).await?;
            self.take_over(streams, idle, reading).await?;
            reading.listening.has_taken_over(&partitions);
        }
        if reading.places.available_permits() == 0 {
            // Enough in hand: whoever has a bell settles it first. Not for long, partitions may change.
            let _ = tokio::time::timeout(self.valkey.limits().block, reading.places.acquire()).await;
            return Ok(());
        }
        self.read(reading).await
    }

    async fn create_groups(&self, streams: &[String]) -> Result<(), StreamError> {
        let mut commands = Pipeline::with_capacity(streams.len());
        for stream in streams {
            creates_group(&mut commands, stream, GROUP);
        }
        commands.ignore_errors();
        self.valkey.run::<Vec<Value>>(&commands).await.map(drop)
    }

    fn streams(&self, partitions: impl Iterator<Item = u16>) -> Result<Vec<String>, StreamError> {
        partitions.map(|partition| self.valkey.bell_stream(partition, self.lane)).collect()
    }

    /// Takes what was read and not acknowledged for so long.
    async fn take_over(
        &self,
        streams: Vec<String>,
        idle: Duration,
        reading: &Reading,
    ) -> Result<(), StreamError> {
        let mut left: Vec<(String, String)> = streams.into_iter().map(|s| (s, "0-0".to_owned())).collect();
        while !left.is_empty() {
            let mut commands = Pipeline::with_capacity(left.len());
            for (stream, from) in &left {
                commands.cmd("XAUTOCLAIM").arg(stream).arg(GROUP).arg(CONSUMER).arg(millis(idle)).arg(from);
                commands.arg("COUNT").arg(TAKE_OVER);
            }
            let replies: Vec<StreamAutoClaimReply> = self.valkey.run(&commands).await?;
            let mut more = Vec::new();
            for ((stream, _), reply) in left.into_iter().zip(replies) {
                self.hand_out(&stream, reply.claimed, reading).await;
                if reply.next_stream_id != "0-0" {
                    more.push((stream, reply.next_stream_id));
                }
            }
            left = more;
        }
        Ok(())
    }

    /// Reads what has come, or waits for it.
    async fn read(&self, reading: &mut Reading) -> Result<(), StreamError> {
        if reading.connection.is_none() {
            reading.connection = Some(self.valkey.blocking_connection().await?);
        }
        let Some(connection) = reading.connection.as_mut() else { return Ok(()) };
        let mut command = cmd("XREADGROUP");
        command.arg("GROUP").arg(GROUP).arg(CONSUMER).arg("COUNT").arg(COUNT);
        command.arg("BLOCK").arg(millis(self.valkey.limits().block));
        command.arg("STREAMS").arg(&reading.streams).arg(vec![">"; reading.streams.len()]);
        let reply: Result<Option<StreamReadReply>, _> = command.query_async(connection).await;
        let reply = match reply {
            Ok(reply) => reply.unwrap_or_default(),
            Err(error) if is_missing_group(&error) => return self.create_groups(&reading.streams).await,
            Err(error) => return Err(error.into()),
        };
        if reply.keys.is_empty() {
            return Ok(());
        }
        for key in reply.keys {
            self.hand_out(&key.key, key.ids, reading).await;
        }
        tokio::time::sleep(GATHER).await;
        Ok(())
    }

    async fn hand_out(&self, stream: &str, entries: Vec<StreamId>, reading: &Reading) {
        let lane = self.valkey.lanes()[self.lane].name.clone();
        metrics::counter!(BELLS, "lane" => lane.clone()).increment(entries.len() as u64);
        for entry in entries {
            let Ok(place) = reading.places.clone().acquire_owned().await else { return };
            let bell = Ack { stream: stream.to_owned(), entry: entry.id.clone(), _place: place };
            match key_of(&entry) {
                Some(key) => (self.ring)(key, bell),
                None => {
                    tracing::error!(stream, entry = entry.id, "an entry names no entity; it is dropped");
                    self.acks.settle(vec![bell]);
                }
            }
        }
        let in_hand = reading.in_hand_max - reading.places.available_permits();
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        metrics::gauge!(BELLS_IN_HAND, "lane" => lane).set(in_hand as f64);
    }
}

fn key_of(entry: &StreamId) -> Option<EntityKey> {
    let field = |name| entry.get::<String>(name);
    let tenant = Uuid::parse_str(&field("t")?).ok()?;
    Some(EntityKey::new(field("k")?, tenant, field("i")?))
}
