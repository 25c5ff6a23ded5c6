//! The authority: the one place that decides who is a member and who owns a partition.
//!
//! `cluster` knows no SQL. Whoever starts a node hands in an [`Authority`], which keeps one row per
//! process incarnation and one per partition; every change there is a compare-and-set.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

/// One incarnation of a node's process. A restart is a new one; none is ever used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gen(pub i64);

impl fmt::Display for Gen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The right to act for a partition: every effect names both numbers, and the store refuses an old epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lease {
    /// Which partition.
    pub partition: u16,
    /// The fencing number of its present ownership; it only ever rises.
    pub epoch: i64,
}

/// What a node says of itself when it joins.
#[derive(Debug, Clone, PartialEq)]
pub struct NewMember {
    /// Its stable name; at most one live incarnation bears it.
    pub name: String,
    /// `host:port` where other nodes reach it.
    pub address: String,
    /// Its share of partitions, relative to the others'.
    pub weight: f32,
    /// The oldest wire version it speaks.
    pub wire_min: u32,
    /// The newest wire version it speaks.
    pub wire_max: u32,
    /// Which build it runs, for people.
    pub build: String,
}

/// How far a node has come in its life. A dead or left one never comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MemberState {
    /// Has a row, is not in the view yet.
    Joining,
    /// Takes part.
    Up,
    /// Hands its partitions over and will leave.
    Draining,
    /// Was declared dead by others.
    Dead,
    /// Went by itself.
    Left,
}

impl MemberState {
    /// Whether the incarnation may still act.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Joining | Self::Up | Self::Draining)
    }
}

/// One row of the membership table, as read.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Which incarnation.
    pub generation: Gen,
    /// Its stable name.
    pub name: String,
    /// Where to reach it.
    pub address: String,
    /// How far it has come.
    pub state: MemberState,
    /// Kept out of the ring by an operator; it goes on living.
    pub cordoned: bool,
    /// Heartbeat counter: only its change has a meaning.
    pub heartbeat: i64,
    /// Its share of partitions.
    pub weight: f32,
    /// The oldest wire version it speaks.
    pub wire_min: u32,
    /// The newest wire version it speaks.
    pub wire_max: u32,
    /// Which build it runs.
    pub build: String,
    /// When it drains: how long that may take, if it was said.
    pub drain_within: Option<Duration>,
}

impl Member {
    /// Whether the ring may give it partitions.
    pub fn is_placeable(&self) -> bool {
        self.state == MemberState::Up && !self.cordoned
    }
}

/// The live members at one moment, with the number that orders all changes of membership.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct View {
    /// Rises with every change of membership (also with cordon and uncordon).
    pub version: i64,
    /// Live rows (joining, up, draining), by generation.
    pub members: Vec<Member>,
}

impl View {
    /// The live member of this generation.
    pub fn member(&self, generation: Gen) -> Option<&Member> {
        self.members.iter().find(|m| m.generation == generation)
    }
}

/// A live row that bears the name a node wants to join under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rival {
    /// Its generation.
    pub generation: Gen,
    /// Its heartbeat counter when it was read.
    pub heartbeat: i64,
}

/// The answer to [`Authority::join`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// The row is written, in state `joining`.
    Joined(Gen),
    /// Another live row bears the name; nothing was written.
    Taken(Rival),
}

/// An operator's word to a live node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Steer {
    /// Keeps it out of the ring; it lives on.
    Cordon,
    /// Lets it into the ring again.
    Uncordon,
    /// Has it hand everything over and leave: from `up`, or with another time while it drains.
    Drain {
        /// It leaves after this, with whatever it still has.
        within: Option<Duration>,
    },
    /// Has a node that drains stay.
    Undrain,
    /// Gives its name another share of partitions, also after a restart.
    Weigh(f32),
}

impl Steer {
    /// The member as it is once this was done.
    #[must_use]
    pub fn done_to(self, mut member: Member) -> Member {
        match self {
            Self::Cordon => member.cordoned = true,
            Self::Uncordon => member.cordoned = false,
            Self::Drain { within } => {
                (member.state, member.drain_within) = (MemberState::Draining, within);
            }
            Self::Undrain => (member.state, member.drain_within) = (MemberState::Up, None),
            Self::Weigh(weight) => member.weight = weight,
        }
        member
    }
}

/// The answer to [`Authority::remove`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// Nothing of it counts any more.
    Gone,
    /// There never was one of that name.
    Unknown,
    /// A live row bears the name.
    Lives(Rival),
}

/// The ownership row of one partition, as read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionRow {
    /// Which partition.
    pub partition: u16,
    /// Who owns it, if anybody.
    pub owner: Option<Gen>,
    /// Whether the owner's row says `dead` or `left`, so that anybody may claim.
    pub owner_gone: bool,
    /// Its fencing number.
    pub epoch: i64,
}

/// The authority did not answer, or not in time. The outcome of a change is then unknown; the next
/// read tells.
#[derive(Debug, thiserror::Error)]
#[error("the authority is unavailable")]
pub struct AuthorityUnavailable(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Membership and ownership, kept outside of all nodes. Invariants A3, A5 and A6 in docs/architecture.md
/// say what an implementation must hold.
#[async_trait]
pub trait Authority: Send + Sync + 'static {
    /// Writes a row in state `joining`. When another live row bears the name: with `replacing` equal to
    /// that row (generation and heartbeat, compare-and-set), ends it as `dead` in the same transaction;
    /// otherwise answers [`Join::Taken`].
    async fn join(&self, me: &NewMember, replacing: Option<Rival>) -> Result<Join, AuthorityUnavailable>;

    /// `joining` to `up`, view + 1. False when the row is no longer `joining`.
    async fn up(&self, me: Gen) -> Result<bool, AuthorityUnavailable>;

    /// Heartbeat + 1 while `joining`, `up` or `draining`. False when no row was: then I was declared dead.
    async fn beat(&self, me: Gen) -> Result<bool, AuthorityUnavailable>;

    /// The view's number and all live rows, in one consistent read.
    async fn observe(&self) -> Result<View, AuthorityUnavailable>;

    /// One vote that `target` is dead. `seen_heartbeat` is the counter that stood still (the final
    /// update is a compare-and-set on it), or `None` when the counter moves but the node cannot be
    /// reached (then always at least two voters). True when the target is dead by now through this vote.
    async fn declare_dead(
        &self,
        target: Gen,
        seen_heartbeat: Option<i64>,
        voter: Gen,
        votes: u32,
    ) -> Result<bool, AuthorityUnavailable>;

    /// Takes a partition that nobody owns, or whose owner is dead or left, if its epoch is still
    /// `seen_epoch` and I am `up`. The new epoch, or `None` when refused.
    async fn claim(
        &self,
        partition: u16,
        seen_epoch: i64,
        me: Gen,
    ) -> Result<Option<i64>, AuthorityUnavailable>;

    /// Gives a partition back; its epoch rises. False when I did not hold it with that epoch.
    async fn release(&self, lease: Lease, me: Gen) -> Result<bool, AuthorityUnavailable>;

    /// All partitions.
    async fn partitions(&self) -> Result<Vec<PartitionRow>, AuthorityUnavailable>;

    /// What one node owns.
    async fn partitions_of(&self, owner: Gen) -> Result<Vec<Lease>, AuthorityUnavailable>;

    /// `joining` or `draining` to `left`; view + 1. False from any other state: whoever was told to drain, and
    /// then to stay, stays.
    async fn leave(&self, me: Gen) -> Result<bool, AuthorityUnavailable>;

    /// Carries out an operator's word; view + 1 if that changed anything. False when the row's state does not
    /// allow it.
    async fn steer(&self, of: Gen, word: Steer) -> Result<bool, AuthorityUnavailable>;

    /// Forgets a node that is gone. When a live row bears the name: with `standing` equal to that row
    /// (generation and heartbeat, compare-and-set), ends it as `dead`; otherwise answers [`Removal::Lives`].
    async fn remove(&self, name: &str, standing: Option<Rival>) -> Result<Removal, AuthorityUnavailable>;

    /// Ends whatever a dead node still holds open at the authority (its database sessions), so that a
    /// process stopped inside a transaction cannot block the next owner. Called before the first claim
    /// from it. The default has nothing to end.
    async fn cut_off(&self, _dead: &DeadMember) -> Result<(), AuthorityUnavailable> {
        Ok(())
    }
}

/// A member that is gone, as far as it is still known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadMember {
    /// Its generation.
    pub generation: Gen,
    /// Its name, if this node had seen it in a view.
    pub name: Option<String>,
}
