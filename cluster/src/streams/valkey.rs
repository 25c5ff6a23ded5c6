//! Connections to Valkey: a pool for short commands, and own connections for reads that block.
//!
//! The client library gives up on an answer after 500 ms unless told otherwise. A blocking read that is
//! given up on may still be handed an entry by the server, which then belongs to nobody. So a connection
//! that blocks is never shared and waits for longer than the server does.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bb8::{CustomizeConnection, Pool};
use bb8_redis::RedisConnectionManager;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, Pipeline, RedisError, ScriptInvocation};

use super::StreamError;
use crate::config::{Config, LaneConfig, StreamLimits};

/// How long a short command may take.
const SHORT: Duration = Duration::from_secs(2);
/// How much longer than the server a blocking read waits.
const OVER: Duration = Duration::from_secs(2);

/// One Valkey server as one cluster sees it.
#[derive(Clone)]
pub(crate) struct Valkey {
    client: Client,
    pool: Pool<RedisConnectionManager>,
    prefix: Arc<str>,
    lanes: Arc<[LaneConfig]>,
    limits: StreamLimits,
}

impl fmt::Debug for Valkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Valkey").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// Gives each pooled connection a response timeout of its own.
#[derive(Debug)]
struct Patient;

impl CustomizeConnection<MultiplexedConnection, RedisError> for Patient {
    fn on_acquire<'a>(
        &'a self,
        connection: &'a mut MultiplexedConnection,
    ) -> Pin<Box<dyn Future<Output = Result<(), RedisError>> + Send + 'a>> {
        connection.set_response_timeout(SHORT);
        Box::pin(async { Ok(()) })
    }
}

impl Valkey {
    /// Prepares connections; opens none yet, so a server that is down does not stop a node from starting.
    pub(crate) fn new(config: &Config) -> Result<Self, StreamError> {
        let client = Client::open(config.valkey_url.as_str())?;
        let manager = RedisConnectionManager::new(config.valkey_url.as_str())?;
        let pool = Pool::builder()
            .max_size(config.streams.pool)
            .connection_timeout(SHORT)
            .connection_customizer(Box::new(Patient))
            .build_unchecked(manager);
        let lanes = config.lanes.clone().into();
        Ok(Self { client, pool, prefix: config.valkey_prefix.as_str().into(), lanes, limits: config.streams })
    }

    pub(crate) fn lanes(&self) -> &[LaneConfig] {
        &self.lanes
    }

    pub(crate) fn limits(&self) -> &StreamLimits {
        &self.limits
    }

    /// The key of a lane's name, or that there is no such lane.
    fn lane(&self, lane: usize) -> Result<&str, StreamError> {
        self.lanes.get(lane).map(|l| l.name.as_str()).ok_or(StreamError::UnknownLane(lane))
    }

    /// A lane's share of so many, at least one.
    pub(crate) fn share_of(&self, lane: usize, of: usize) -> usize {
        let share = |lane: &LaneConfig| lane.share.max(1) as usize;
        let all: usize = self.lanes.iter().map(share).sum();
        (of * self.lanes.get(lane).map_or(0, share) / all.max(1)).max(1)
    }

    /// The stream of bells of one partition and lane.
    pub(crate) fn bell_stream(&self, partition: u16, lane: usize) -> Result<String, StreamError> {
        Ok(format!("{}{{p{partition}}}:{}", self.prefix, self.lane(lane)?))
    }

    /// The stream of work of one lane.
    pub(crate) fn work_stream(&self, lane: usize) -> Result<String, StreamError> {
        Ok(format!("{}{{work}}:{}", self.prefix, self.lane(lane)?))
    }

    /// The key that counts what came lately.
    pub(crate) fn window(&self, what: &str) -> String {
        format!("{}window:{what}", self.prefix)
    }

    /// The key that remembers that something came.
    pub(crate) fn seen(&self, what: &str) -> String {
        format!("{}seen:{what}", self.prefix)
    }

    /// The key whose absence means that the server has lost everything.
    pub(crate) fn marker(&self) -> String {
        format!("{}marker", self.prefix)
    }

    /// Runs short commands in one round trip. An error of any command is the error of all.
    pub(crate) async fn run<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, StreamError> {
        let mut connection = self.pool.get().await.map_err(|e| StreamError::Unavailable(Box::new(e)))?;
        Ok(commands.query_async(&mut *connection).await?)
    }

    /// Runs one script.
    pub(crate) async fn script<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, StreamError> {
        let mut connection = self.pool.get().await.map_err(|e| StreamError::Unavailable(Box::new(e)))?;
        Ok(script.invoke_async(&mut *connection).await?)
    }

    /// A connection of one's own, for reads that block.
    pub(crate) async fn blocking_connection(&self) -> Result<MultiplexedConnection, StreamError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(SHORT))
            .set_response_timeout(Some(self.limits.block + OVER));
        Ok(self.client.get_multiplexed_async_connection_with_config(&config).await?)
    }
}

/// Adds the command that makes a group which reads a stream from its beginning. That it is there already
/// is an error to be ignored.
pub(super) fn creates_group(commands: &mut Pipeline, stream: &str, group: &str) {
    commands.cmd("XGROUP").arg("CREATE").arg(stream).arg(group).arg("0").arg("MKSTREAM");
}

/// Whether the server says that it has no such group.
pub(super) fn is_missing_group(error: &RedisError) -> bool {
    error.code() == Some("NOGROUP")
}

impl From<RedisError> for StreamError {
    fn from(error: RedisError) -> Self {
        if is_missing_group(&error) { Self::NoGroup } else { Self::Unavailable(Box::new(error)) }
    }
}
