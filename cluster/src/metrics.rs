//! Names of the metrics this crate keeps.

/// Version of the membership view, as last read.
pub(crate) const RING_EPOCH: &str = "starling_ring_epoch";
/// Partitions this node owns.
pub(crate) const PARTITIONS_OWNED: &str = "starling_ring_partitions_owned";
/// Partitions this node took, handed over or lost, by `direction`.
pub(crate) const MOVES: &str = "starling_ring_moves_total";
/// Live entities, by `type`.
pub(crate) const ACTORS: &str = "starling_actors";
/// Entities started again after a failure, by `type`.
pub(crate) const RESTARTS: &str = "starling_actor_restarts_total";
/// Entities stopped because they were idle, by `type`.
pub(crate) const PASSIVATED: &str = "starling_actors_passivated_total";
/// Questions in an entity's mailbox when one more comes.
pub(crate) const MAILBOX: &str = "starling_actor_mailbox_depth";
/// Asks refused because a bounded queue was full.
pub(crate) const BUSY: &str = "starling_entity_busy_total";
/// Messages to a peer refused because the queue of its link was full.
pub(crate) const LINK_BUSY: &str = "starling_link_busy_total";
/// Votes of this node that another is dead, by `evidence`.
pub(crate) const VOTES: &str = "starling_member_votes_total";
/// Bells read from the streams, by `lane`.
pub(crate) const BELLS: &str = "starling_bells_read_total";
/// Bells read and not acknowledged yet, by `lane`.
pub(crate) const BELLS_IN_HAND: &str = "starling_bells_in_hand";
/// Work taken over from a node that died or let its lease run out.
pub(crate) const WORK_RECLAIMED: &str = "starling_work_reclaimed_total";
/// How often Valkey turned out to have lost everything.
pub(crate) const VALKEY_LOST: &str = "starling_valkey_lost_total";
