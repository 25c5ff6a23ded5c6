//! Ringing bells: one pipelined round trip for as many as there are.

use redis::Pipeline;

use super::valkey::Valkey;
use super::{Bell, StreamError};

/// Rings bells on this cluster's streams. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Bells {
    valkey: Valkey,
}

impl Bells {
    pub(crate) fn new(valkey: Valkey) -> Self {
        Self { valkey }
    }

    /// Rings all of them in one round trip. After an error some may have rung, which does no harm: ring
    /// them all again.
    pub async fn ring(&self, bells: &[Bell]) -> Result<(), StreamError> {
        if bells.is_empty() {
            return Ok(());
        }
        let mut commands = Pipeline::with_capacity(bells.len());
        for bell in bells {
            self.add(&mut commands, bell)?;
        }
        self.valkey.run(&commands).await
    }

    fn add(&self, commands: &mut Pipeline, bell: &Bell) -> Result<(), StreamError> {
        let stream = self.valkey.bell_stream(bell.key.partition(), bell.lane)?;
        commands
            .cmd("XADD")
            .arg(stream)
            .arg("*")
            .arg("k")
            .arg(&*bell.key.kind)
            .arg("t")
            .arg(bell.key.tenant.hyphenated().to_string())
            .arg("i")
            .arg(&*bell.key.id)
            .arg("n")
            .arg(bell.outbox_id)
            .ignore();
        Ok(())
    }
}
