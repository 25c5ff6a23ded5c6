//! Frames: how messages and refusals are written on a link.

use std::time::Duration;

use bytes::Bytes;
use proto_cluster::v1::frame::Says;
use proto_cluster::v1::nack::Why;
use proto_cluster::v1::{Deliver, Frame, Hello, Nack};
use uuid::Uuid;

use super::{Identity, Refused};
use crate::authority::Gen;
use crate::config::Wire;
use crate::key::EntityKey;

/// Longest kind and id of an entity that is taken from a link.
const NAME_MAX: usize = 512;

/// Numbers a sender's frames.
#[derive(Debug, Default)]
pub(super) struct Numbered(u64);

impl Numbered {
    pub(super) fn frame(&mut self, says: Says) -> Frame {
        self.0 += 1;
        Frame { seq: self.0, says: Some(says) }
    }
}

pub(super) fn hello(identity: &Identity) -> Says {
    Says::Hello(Hello {
        cluster: identity.cluster.clone(),
        name: identity.name.clone(),
        generation: identity.generation.0,
        wire_min: identity.wire.min,
        wire_max: identity.wire.max,
    })
}

/// Who speaks at the other end, when it is of this cluster and a wire version is spoken by both.
pub(super) fn greeted(hello: &Hello, me: &Identity) -> Result<Identity, String> {
    if hello.cluster != me.cluster {
        return Err(format!("this is a node of cluster {:?}", me.cluster));
    }
    let wire = Wire { min: hello.wire_min, max: hello.wire_max };
    if !me.wire.understands(wire) {
        let Wire { min, max } = me.wire;
        return Err(format!("this node speaks wire versions {min} to {max}"));
    }
    Ok(Identity {
        cluster: hello.cluster.clone(),
        name: hello.name.clone(),
        generation: Gen(hello.generation),
        wire,
    })
}

pub(super) fn deliver(id: u64, key: &EntityKey, asked: Option<(Bytes, Duration)>, view: i64) -> Says {
    let ask = asked.is_some();
    let (body, ttl) = asked.unwrap_or_default();
    Says::Deliver(Deliver {
        id,
        kind: key.kind.to_string(),
        tenant: key.tenant.as_bytes().to_vec().into(),
        entity: key.id.to_string(),
        ask,
        body,
        view,
        ttl_ms: u32::try_from(ttl.as_millis()).unwrap_or(u32::MAX),
    })
}

/// Who is meant by a message from outside; `None` when that is no key.
pub(super) fn key(message: &Deliver) -> Option<EntityKey> {
    let tenant = Uuid::from_slice(&message.tenant).ok()?;
    let sound = |text: &str| text.len() <= NAME_MAX && !text.contains('\0');
    (sound(&message.kind) && sound(&message.entity))
        .then(|| EntityKey::new(message.kind.as_str(), tenant, message.entity.as_str()))
}

pub(super) fn nack(id: u64, refused: Refused, own_view: i64) -> Says {
    let (why, view) = match refused {
        Refused::NotOwner { view } => (Why::NotOwner, view),
        Refused::Busy => (Why::Busy, own_view),
        Refused::Expired => (Why::Expired, own_view),
        Refused::Draining => (Why::Draining, own_view),
        Refused::Bad => (Why::Bad, own_view),
        Refused::Gone | Refused::Unreachable => (Why::Gone, own_view),
    };
    Says::Nack(Nack { id, why: why.into(), view })
}

pub(super) fn refused(nack: &Nack) -> Refused {
    match nack.why() {
        Why::NotOwner => Refused::NotOwner { view: nack.view },
        Why::Busy => Refused::Busy,
        Why::Expired => Refused::Expired,
        Why::Draining => Refused::Draining,
        Why::Bad => Refused::Bad,
        Why::Gone | Why::Unspecified => Refused::Gone,
    }
}
