//! From the store's and the domain's words to messages.

use advisory::linkset::{self, Conflict, Linkset, Member, Package};
use proto_api::advisory::v1 as wire;
use store::deltas::{FoldedDelta, Snapshot};
use store::observations::Revision;
use store::quarantine::Quarantined;

use super::super::convert;

pub(super) fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn small(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

pub(super) fn snapshot(snapshot: &Snapshot) -> wire::Snapshot {
    wire::Snapshot {
        snapshot: snapshot.id.0,
        feed_id: snapshot.feed.as_ref().map(ToString::to_string).unwrap_or_default(),
        added: count(snapshot.added),
        changed: count(snapshot.changed),
        removed: count(snapshot.removed),
        meaningful: count(snapshot.meaningful),
        create_time: Some(convert::timestamp(snapshot.at)),
    }
}

pub(super) fn delta(delta: &FoldedDelta) -> wire::AdvisoryDelta {
    wire::AdvisoryDelta {
        feed_id: delta.feed.to_string(),
        advisory_id: delta.advisory_id.clone(),
        kind: delta.kind.as_str().to_owned(),
        parts: delta.parts.iter().map(|part| part.as_str().to_owned()).collect(),
        before_revision: delta.before.map_or(0, small),
        after_revision: delta.after.map_or(0, small),
        snapshot: delta.snapshot.0,
    }
}

/// Takes the document along while there is room for it.
pub(super) fn revision(revision: Revision, room: &mut usize) -> wire::Revision {
    let document = revision.document.filter(|document| document.len() <= *room).unwrap_or_default();
    *room -= document.len();
    wire::Revision {
        feed_id: revision.feed.to_string(),
        advisory_id: revision.advisory_id,
        revision: small(revision.revision),
        supersedes: small(revision.revision.saturating_sub(1)),
        snapshot: revision.snapshot.map_or(0, |snapshot| snapshot.0),
        digest: revision.digest.map(|digest| digest.as_str().to_owned()).unwrap_or_default(),
        observe_time: Some(convert::timestamp(revision.observed_at)),
        source_uri: revision.source,
        format: revision.format,
        mark: revision.mark.unwrap_or_default(),
        collector: revision.collector,
        document,
    }
}

pub(super) fn quarantined(record: Quarantined) -> wire::QuarantinedRecord {
    wire::QuarantinedRecord {
        feed_id: record.feed.to_string(),
        entry: record.entry,
        digest: record.digest.as_str().to_owned(),
        reason: record.reason,
        beginning: record.beginning,
        create_time: Some(convert::timestamp(record.at)),
        settle_time: record.settled_at.map(convert::timestamp),
    }
}

pub(super) fn linkset(linkset: Linkset) -> wire::Linkset {
    wire::Linkset {
        linkset_id: linkset.id.as_str().to_owned(),
        names: linkset.names,
        members: linkset.members.into_iter().map(member).collect(),
        packages: linkset.packages.into_iter().map(package).collect(),
        conflicts: linkset.conflicts.into_iter().map(conflict).collect(),
        cut: linkset.cut,
    }
}

fn member(member: Member) -> wire::LinksetMember {
    let advisory = member.advisory;
    wire::LinksetMember {
        source: Some(wire::LinksetSource { feed_id: member.feed.to_string(), advisory_id: advisory.id }),
        revision: small(member.revision),
        withdrawn: advisory.withdrawn,
        severity: convert::severity(advisory.severity).into(),
        aliases: advisory.aliases,
        upstream: advisory.upstream,
    }
}

fn package((package, sources): (Package, Vec<linkset::Source>)) -> wire::LinksetPackage {
    wire::LinksetPackage {
        ecosystem: package.ecosystem.to_string(),
        name: package.name,
        sources: sources.into_iter().map(source).collect(),
    }
}

fn conflict(conflict: Conflict) -> wire::LinksetConflict {
    let (ecosystem, package) =
        conflict.package.map(|package| (package.ecosystem.to_string(), package.name)).unwrap_or_default();
    let sides = conflict.sides.into_iter().map(|side| wire::LinksetSide {
        says: side.says,
        sources: side.sources.into_iter().map(source).collect(),
    });
    wire::LinksetConflict {
        field: conflict.field.as_str().to_owned(),
        ecosystem,
        package,
        sides: sides.collect(),
    }
}

fn source(source: linkset::Source) -> wire::LinksetSource {
    wire::LinksetSource { feed_id: source.feed.to_string(), advisory_id: source.advisory }
}
