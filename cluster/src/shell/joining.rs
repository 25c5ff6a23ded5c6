//! Becoming a member: a row, a look at the others, and then into the view.

use std::time::{Duration, Instant};

use crate::authority::{Authority, Gen, MemberState, NewMember, Rival, View};
use crate::config::{Config, Wire};
use crate::membership::{JoinStep, Joining};
use crate::shell::StartError;

/// Between two tries.
const AGAIN: Duration = Duration::from_millis(100);

/// Writes this node's row. A live row of its name is a predecessor when its counter stands still.
pub(super) async fn join(
    authority: &dyn Authority,
    config: &Config,
    address: String,
) -> Result<Gen, StartError> {
    let me = NewMember {
        name: config.name.clone(),
        address,
        weight: config.weight,
        wire_min: config.wire.min,
        wire_max: config.wire.max,
        build: config.build.clone(),
    };
    let begun = Instant::now();
    let mut joining = Joining::default();
    let mut replacing: Option<Rival> = None;
    loop {
        let answer = authority.join(&me, replacing.take()).await?;
        match joining.step(answer, config.timing.rival_watch, begun.elapsed()) {
            JoinStep::Joined(generation) => return Ok(generation),
            JoinStep::Replace(rival) => replacing = Some(rival),
            JoinStep::NameTaken(generation) => {
                return Err(StartError::NameTaken { name: me.name, generation });
            }
            JoinStep::Wait => tokio::time::sleep(AGAIN).await,
        }
    }
}

/// Checks that this node and the others understand each other, and steps into the view.
pub(super) async fn up(authority: &dyn Authority, me: Gen, wire: Wire) -> Result<View, StartError> {
    let view = authority.observe().await?;
    for other in view.members.iter().filter(|m| m.generation != me && m.state != MemberState::Joining) {
        if !wire.understands(Wire { min: other.wire_min, max: other.wire_max }) {
            authority.leave(me).await?;
            let (name, min, max) = (other.name.clone(), other.wire_min, other.wire_max);
            return Err(StartError::WireVersion { name, min, max });
        }
    }
    if !authority.up(me).await? {
        return Err(StartError::Setting(
            "this node was declared dead while it joined: start it again".to_owned(),
        ));
    }
    Ok(authority.observe().await?)
}
