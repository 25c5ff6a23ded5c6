//! Counting and remembering for a while, for all nodes together: how often something came lately, and whether it has
//! come before. In Valkey alone: who asks while it does not answer is told so, and shall let nothing through.

use std::time::Duration;

use redis::{Pipeline, Script};
use uuid::Uuid;

use super::valkey::Valkey;
use super::{StreamError, millis};

/// Drops what left the window, counts, and adds one more only if it fits. Times are the server's own, so that nodes
/// need not agree on one. Answers the milliseconds until there is room, 0 when there was.
const ADMIT: &str = r"
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[1])
if redis.call('ZCARD', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('ZADD', KEYS[1], now, ARGV[3])
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  return 0
end
local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return math.max(1, oldest[2] + ARGV[1] - now)
";

/// Windows over what comes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Windows {
    valkey: Valkey,
}

impl Windows {
    pub(crate) fn new(valkey: Valkey) -> Self {
        Self { valkey }
    }

    /// Lets one through unless `max` came within the window that ends now; then answers when the next has room.
    pub async fn admit(
        &self,
        what: &str,
        max: u32,
        window: Duration,
    ) -> Result<Result<(), Duration>, StreamError> {
        let script = Script::new(ADMIT);
        let mut invocation = script.key(self.valkey.window(what));
        invocation.arg(millis(window)).arg(max).arg(Uuid::now_v7().to_string());
        let wait: u64 = self.valkey.script(&invocation).await?;
        Ok(if wait == 0 { Ok(()) } else { Err(Duration::from_millis(wait)) })
    }

    /// Remembers this for so long. False when it was remembered already.
    pub async fn remember(&self, what: &str, time: Duration) -> Result<bool, StreamError> {
        let mut commands = Pipeline::with_capacity(1);
        commands.cmd("SET").arg(self.valkey.seen(what)).arg(1).arg("NX").arg("PX").arg(millis(time).max(1));
        let (made,): (Option<String>,) = self.valkey.run(&commands).await?;
        Ok(made.is_some())
    }

    /// Forgets it again, so that it may come once more.
    pub async fn forget(&self, what: &str) -> Result<(), StreamError> {
        let mut commands = Pipeline::with_capacity(1);
        commands.cmd("DEL").arg(self.valkey.seen(what)).ignore();
        self.valkey.run(&commands).await
    }
}
