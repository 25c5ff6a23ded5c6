//! Documents as the contract writes them.

use model::TenantId;
use proto_api::vex::v1 as wire;
use store::vex::{Attached, Detached};

use super::super::convert;

/// What is kept of a document beside its bytes.
pub(super) fn document(attached: &Attached) -> wire::Document {
    wire::Document {
        document_id: attached.id.to_string(),
        shared: attached.tenant == TenantId::SYSTEM,
        format: attached.format.to_string(),
        name: attached.document_id.clone(),
        version: attached.version.clone(),
        author: attached.author.clone(),
        state_time: attached.stated_at.map(convert::timestamp),
        signed: attached.is_signed,
        statements: count(attached.statements as usize),
        images: attached.images.iter().map(ToString::to_string).collect(),
        attached_by: attached.by.clone(),
        reason: attached.reason.clone(),
        attach_time: Some(convert::timestamp(attached.at)),
        snapshot: attached.snapshot.0,
        detachment: attached.detached.as_ref().map(detachment),
        digest: attached.digest.to_string(),
        size_bytes: i64::try_from(attached.size).unwrap_or(i64::MAX),
    }
}

fn detachment(detached: &Detached) -> wire::Detachment {
    wire::Detachment {
        detached_by: detached.by.clone(),
        reason: detached.reason.clone(),
        detach_time: Some(convert::timestamp(detached.at)),
        snapshot: detached.snapshot.0,
    }
}

/// A number as the contract counts.
pub(super) fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
