//! Members of the cluster and ownership of partitions. The database is the authority; the ring is only a wish.
//!
//! Each function is one transaction. Liveness is a counter that the observers see move or stand still on their own
//! clocks; no timestamp is compared with anybody's clock.

use std::time::Duration;

use time::OffsetDateTime;

use crate::row::{number, word};
use crate::{Error, Fence, FleetTx, Store};

/// How far a node is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeState {
    /// It has a row and owns nothing yet.
    Joining,
    /// It takes part.
    Up,
    /// It hands over what it owns.
    Draining,
    /// Others have ended it.
    Dead,
    /// It has left by itself.
    Left,
}

impl NodeState {
    const ALL: [Self; 5] = [Self::Joining, Self::Up, Self::Draining, Self::Dead, Self::Left];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Up => "up",
            Self::Draining => "draining",
            Self::Dead => "dead",
            Self::Left => "left",
        }
    }

    fn from_word(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == text)
    }
}

/// What a process says of itself when it joins.
#[derive(Debug, Clone, PartialEq)]
pub struct NewNode {
    /// Its stable name in the ring.
    pub name: String,
    /// Where clients reach it.
    pub api_addr: String,
    /// Where other nodes reach it.
    pub link_addr: String,
    /// Its part of the ring beside the others'.
    pub weight: f32,
    /// How much heavy work it does at once.
    pub worker_slots: u32,
    /// The oldest wire version it speaks.
    pub proto_min: u32,
    /// The newest.
    pub proto_max: u32,
    /// Version of the binary.
    pub build: String,
}

/// A live incarnation that has the wanted name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Which incarnation.
    pub generation: i64,
    /// Its counter when it was seen.
    pub heartbeat: i64,
}

/// What came of wanting to join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// This is our incarnation's number, never used before or again.
    As(i64),
    /// The name is in use. Look again: when its counter stands still, join with it as `replace`.
    NameTaken(Seen),
}

/// A node as the others see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its incarnation's number.
    pub generation: i64,
    /// Its stable name in the ring.
    pub name: String,
    /// Where clients reach it.
    pub api_addr: String,
    /// Where other nodes reach it.
    pub link_addr: String,
    /// How far it is.
    pub state: NodeState,
    /// Whether an operator has taken it out of placement.
    pub cordoned: bool,
    /// Only its change has a meaning.
    pub heartbeat: i64,
    /// Its part of the ring.
    pub weight: f32,
    /// How much heavy work it does at once.
    pub worker_slots: u32,
    /// The oldest wire version it speaks.
    pub proto_min: u32,
    /// The newest.
    pub proto_max: u32,
    /// Version of the binary.
    pub build: String,
    /// How long it may take to hand everything over, if that was said when it was told to.
    pub drain_within: Option<Duration>,
    /// When it joined, by the database's clock; for people only.
    pub joined_at: OffsetDateTime,
}

/// One look at the cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// Counts up with each change of membership.
    pub version: i64,
    /// Nodes that are joining, up or draining, by generation.
    pub nodes: Vec<Node>,
}

/// Who owns a partition, and under which epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// Which.
    pub partition: u16,
    /// Its owner's incarnation.
    pub owner: Option<i64>,
    /// The fencing number.
    pub epoch: i64,
}

/// Takes a name and gets a generation. `replace`: an incarnation of that name whose counter the caller saw stand
/// still; it is ended, unless it has beaten since.
pub async fn join(store: &Store, node: &NewNode, replace: Option<Seen>) -> Result<Joined, Error> {
    let mut tx = store.fleet().await?;
    let row = sqlx::query!(
        r#"select gen as generation, taken_gen, taken_hb
           from cluster.join($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"#,
        node.name,
        node.api_addr,
        node.link_addr,
        node.weight,
        i32::try_from(node.worker_slots).unwrap_or(i32::MAX),
        i32::try_from(node.proto_min).unwrap_or(i32::MAX),
        i32::try_from(node.proto_max).unwrap_or(i32::MAX),
        node.build,
        replace.map(|s| s.generation),
        replace.map(|s| s.heartbeat),
    )
    .fetch_one(tx.conn())
    .await?;
    tx.commit().await?;
    match (row.generation, row.taken_gen, row.taken_hb) {
        (Some(generation), _, _) => Ok(Joined::As(generation)),
        (None, Some(generation), Some(heartbeat)) => Ok(Joined::NameTaken(Seen { generation, heartbeat })),
        _ => Err(Error::Corrupt { table: "node", source: "join answered nothing".into() }),
    }
}

/// The node takes part from now on. False when it was ended meanwhile.
pub async fn up(store: &Store, generation: i64) -> Result<bool, Error> {
    change_state(store, generation, &["joining"], NodeState::Up).await
}

/// The node drains, or has left. False when it was ended meanwhile.
pub async fn set_state(store: &Store, generation: i64, state: NodeState) -> Result<bool, Error> {
    let from: &[&str] = match state {
        NodeState::Up => &["joining"],
        NodeState::Draining => &["up"],
        // Not from up: whoever was told to drain and is told to stay meanwhile, stays.
        NodeState::Left => &["joining", "draining"],
        NodeState::Joining | NodeState::Dead => {
            return Err(Error::Conflict { what: format!("a node does not become {}", state.as_str()) });
        }
    };
    change_state(store, generation, from, state).await
}

async fn change_state(store: &Store, generation: i64, from: &[&str], to: NodeState) -> Result<bool, Error> {
    let from: Vec<String> = from.iter().map(|&s| s.to_owned()).collect();
    let mut tx = store.fleet().await?;
    let done = sqlx::query_scalar!(
        r#"select cluster.set_state($1, $2, $3) as "done!""#,
        generation,
        &from,
        to.as_str(),
    )
    .fetch_one(tx.conn())
    .await?;
    tx.commit().await?;
    Ok(done)
}

/// Takes a node out of placement, or back in. `NotFound` when none of that name lives.
pub async fn cordon(store: &Store, name: &str, cordoned: bool) -> Result<(), Error> {
    let mut tx = store.fleet().await?;
    let there = sqlx::query_scalar!(r#"select cluster.cordon($1, $2) as "there!""#, name, cordoned)
        .fetch_one(tx.conn())
        .await?;
    tx.commit().await?;
    if there { Ok(()) } else { Err(Error::NotFound { entity: "node" }) }
}

/// Has a node hand everything over and leave, at the latest after `within`. False when it is not up.
pub async fn drain(store: &Store, generation: i64, within: Option<Duration>) -> Result<bool, Error> {
    let within = within.map(|within| i64::try_from(within.as_millis()).unwrap_or(i64::MAX));
    let mut tx = store.fleet().await?;
    let done = sqlx::query_scalar!(r#"select cluster.drain($1, $2) as "done!""#, generation, within)
        .fetch_one(tx.conn())
        .await?;
    tx.commit().await?;
    Ok(done)
}

/// Takes that back: the node serves again. False when it does not drain, or has left.
pub async fn undrain(store: &Store, generation: i64) -> Result<bool, Error> {
    let mut tx = store.fleet().await?;
    let done = sqlx::query_scalar!(r#"select cluster.undrain($1) as "done!""#, generation)
        .fetch_one(tx.conn())
        .await?;
    tx.commit().await?;
    Ok(done)
}

/// Gives a live node's name another part of the ring, for good. False when it does not live.
pub async fn weigh(store: &Store, generation: i64, weight: f32) -> Result<bool, Error> {
    let mut tx = store.fleet().await?;
    let done = sqlx::query_scalar!(r#"select cluster.weigh($1, $2) as "done!""#, generation, weight)
        .fetch_one(tx.conn())
        .await?;
    tx.commit().await?;
    Ok(done)
}

/// What came of forgetting a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// Nothing of it counts any more.
    Gone,
    /// There never was one of that name.
    Unknown,
    /// One lives under that name. Look again: when its counter stands still, remove it as `standing`.
    Lives(Seen),
}

/// Forgets what is kept of a name. `standing`: a live incarnation whose counter the caller saw stand still; it is
/// ended, unless it has beaten since.
pub async fn remove(store: &Store, name: &str, standing: Option<Seen>) -> Result<Removed, Error> {
    let mut tx = store.fleet().await?;
    let row = sqlx::query!(
        r#"select known as "known!", live_gen, live_hb from cluster.remove($1, $2, $3)"#,
        name,
        standing.map(|s| s.generation),
        standing.map(|s| s.heartbeat),
    )
    .fetch_one(tx.conn())
    .await?;
    tx.commit().await?;
    Ok(match (row.live_gen, row.live_hb) {
        (Some(generation), Some(heartbeat)) => Removed::Lives(Seen { generation, heartbeat }),
        _ if row.known => Removed::Gone,
        _ => Removed::Unknown,
    })
}

/// How long it lately took from the release of one partition to the next, while a node handed over several; `None`
/// when none did. At most the newest 2,000 are asked.
pub async fn hand_over_pace(store: &Store) -> Result<Option<Duration>, Error> {
    let mut tx = store.fleet().await?;
    let seconds = sqlx::query_scalar!(
        r#"select avg(extract(epoch from gap))::float8
           from (select at - lag(at) over (partition by from_gen order by at) as gap
                 from (select from_gen, at from cluster.partition_log where why = 'release'
                       order by at desc limit 2000) newest) gaps
           where gap < interval '5 s'"#,
    )
    .fetch_one(tx.conn())
    .await?;
    tx.commit().await?;
    Ok(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()))
}

/// How much heavy work an incarnation holds now.
pub async fn work_held(store: &Store, generation: i64) -> Result<u32, Error> {
    let mut tx = store.fleet().await?;
    let held = sqlx::query_scalar!(
        r#"select count(*)::int as "held!" from orchestrator.work where state = 'held' and holder_gen = $1"#,
        generation,
    )
    .fetch_one(tx.conn())
    .await?;
    tx.commit().await?;
    number("work", held)
}

/// Moves the node's counter. False: others have ended it, so it must stop.
pub async fn beat(store: &Store, generation: i64) -> Result<bool, Error> {
    let mut tx = store.fleet().await?;
    let alive = sqlx::query_scalar!(r#"select cluster.beat($1) as "alive!""#, generation)
        .fetch_one(tx.conn())
        .await?;
    tx.commit().await?;
    Ok(alive)
}

/// Looks at all live nodes.
pub async fn observe(store: &Store) -> Result<View, Error> {
    let mut tx = store.fleet().await?;
    let rows = sqlx::query!(
        r#"select v.version, n.gen as "generation?", n.name as "name?", n.api_addr as "api_addr?",
                  n.link_addr as "link_addr?", n.state as "state?", n.cordoned as "cordoned?", n.hb as "hb?",
                  n.weight as "weight?", n.worker_slots as "worker_slots?", n.proto_min as "proto_min?",
                  n.proto_max as "proto_max?", n.build as "build?", n.drain_within_ms as "drain_within_ms?", n.joined_at as "joined_at?"
           from cluster.view v left join cluster.node n on n.state in ('joining', 'up', 'draining')
           order by n.gen"#,
    )
    .fetch_all(tx.conn())
    .await?;
    tx.commit().await?;
    let version = rows.first().map_or(0, |r| r.version);
    let mut nodes = Vec::with_capacity(rows.len());
    for r in rows {
        let (Some(generation), Some(joined_at)) = (r.generation, r.joined_at) else { continue };
        nodes.push(Node {
            generation,
            name: r.name.unwrap_or_default(),
            api_addr: r.api_addr.unwrap_or_default(),
            link_addr: r.link_addr.unwrap_or_default(),
            state: word("node", &r.state.unwrap_or_default(), NodeState::from_word)?,
            cordoned: r.cordoned.unwrap_or_default(),
            heartbeat: r.hb.unwrap_or_default(),
            weight: r.weight.unwrap_or_default(),
            worker_slots: number("node", r.worker_slots.unwrap_or_default())?,
            proto_min: number("node", r.proto_min.unwrap_or_default())?,
            proto_max: number("node", r.proto_max.unwrap_or_default())?,
            build: r.build.unwrap_or_default(),
            drain_within: r.drain_within_ms.map(|ms| Duration::from_millis(ms.unsigned_abs())),
            joined_at,
        });
    }
    Ok(View { version, nodes })
}

/// Votes to end a node. `seen`: the counter that stood still; none for a node whose counter moves but that cannot be
/// reached, which takes two voters. True when this vote has ended it; then its connections are cut, so that one that
/// was stopped inside a transaction does not hold its locks.
pub async fn declare_dead(
    store: &Store,
    target: i64,
    seen: Option<i64>,
    voter: i64,
    votes: u32,
) -> Result<bool, Error> {
    let mut tx = store.fleet().await?;
    let ended = sqlx::query_scalar!(
        r#"select cluster.declare_dead($1, $2, $3, $4) as "ended!""#,
        target,
        seen,
        voter,
        i32::try_from(votes).unwrap_or(i32::MAX),
    )
    .fetch_one(tx.conn())
    .await?;
    tx.commit().await?;
    if ended {
        cut_off(store, target).await?;
    }
    Ok(ended)
}

/// Cuts the database connections of an incarnation that is dead or has left; says how many. 0 also when the owner of
/// the schema lacks the right to.
pub async fn cut_off(store: &Store, generation: i64) -> Result<u32, Error> {
    let mut tx = store.fleet().await?;
    let cut = sqlx::query_scalar!(r#"select cluster.cut_off($1) as "cut!""#, generation)
        .fetch_one(tx.conn())
        .await?;
    tx.commit().await?;
    number("node", cut)
}

/// Takes partitions that nobody alive owns, each seen at an epoch. Answers those it got, with their new epochs.
pub async fn claim(store: &Store, me: i64, seen: &[Fence]) -> Result<Vec<Fence>, Error> {
    let (partitions, epochs) = columns(seen);
    let mut tx = store.fleet().await?;
    // Always in the same order, so that two claimants never wait for each other.
    let rows = sqlx::query!(
        r#"select w.partition as "partition!", c.epoch
           from (select partition, epoch from unnest($2::int[], $3::bigint[]) as s(partition, epoch)
                 order by partition) w,
                lateral cluster.claim(w.partition, w.epoch, $1) as c(epoch)"#,
        me,
        &partitions,
        &epochs,
    )
    .fetch_all(tx.conn())
    .await?;
    tx.commit().await?;
    let mut taken = Vec::with_capacity(rows.len());
    for row in rows {
        if let Some(epoch) = row.epoch {
            taken.push(Fence { partition: number("partition", row.partition)?, epoch });
        }
    }
    Ok(taken)
}

/// Gives partitions back. Answers how many were still ours.
pub async fn release(store: &Store, me: i64, owned: &[Fence]) -> Result<u32, Error> {
    let (partitions, epochs) = columns(owned);
    let mut tx = store.fleet().await?;
    let given = sqlx::query_scalar!(
        r#"select count(*) filter (where c.given)::int as "given!"
           from (select partition, epoch from unnest($2::int[], $3::bigint[]) as s(partition, epoch)
                 order by partition) w,
                lateral cluster.release(w.partition, w.epoch, $1) as c(given)"#,
        me,
        &partitions,
        &epochs,
    )
    .fetch_one(tx.conn())
    .await?;
    tx.commit().await?;
    number("partition", given)
}

/// Every partition, in order.
pub async fn partitions(store: &Store) -> Result<Vec<Partition>, Error> {
    let mut tx = store.fleet().await?;
    let all = read_partitions(&mut tx, None).await?;
    tx.commit().await?;
    Ok(all)
}

/// The partitions that an incarnation owns, in order. Read it every second: a partition without traffic learns in no
/// other way that it was lost.
pub async fn partitions_of(store: &Store, generation: i64) -> Result<Vec<Partition>, Error> {
    let mut tx = store.fleet().await?;
    let owned = read_partitions(&mut tx, Some(generation)).await?;
    tx.commit().await?;
    Ok(owned)
}

async fn read_partitions(tx: &mut FleetTx, owner: Option<i64>) -> Result<Vec<Partition>, Error> {
    let rows = sqlx::query!(
        "select partition, owner_gen, epoch from cluster.partition
         where ($1::bigint is null or owner_gen = $1) order by partition",
        owner,
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|r| {
            let partition = number("partition", r.partition)?;
            Ok(Partition { partition, owner: r.owner_gen, epoch: r.epoch })
        })
        .collect()
}

fn columns(fences: &[Fence]) -> (Vec<i32>, Vec<i64>) {
    fences.iter().map(|f| (i32::from(f.partition), f.epoch)).unzip()
}
