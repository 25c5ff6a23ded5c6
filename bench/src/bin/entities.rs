//! What an entity costs: questions answered per second beside plain tokio channels, and memory while idle.
//!
//! `cargo run --release -p bench --no-default-features --features hosting --bin entities -- [--rounds N] [--idle N]`
//!
//! One node hosts them, with an authority that always agrees and no Valkey: what is measured is the way of a
//! message through the host, not a database. Both sides answer the same callers in turns.

#![expect(clippy::print_stdout, reason = "its output is the measurement")]

use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use bench::{median, resident_memory};
use bytes::Bytes;
use cluster::{
    Authority, AuthorityUnavailable, Cluster, Config, EntityContext, EntityFactory, EntityKey, EntityMessage,
    Gen, Join, Lease, Member, MemberState, NewMember, PARTITIONS, PartitionRow, Removal, Rival, Steer, View,
};
use ractor::{Actor, ActorProcessingErr, ActorRef, SpawnErr};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

const ENTITIES: usize = 1_000;
const CALLERS: usize = 64;
const ASKS_EACH: usize = 4_000;
const PATIENCE: Duration = Duration::from_secs(60);
const ONLY: Gen = Gen(1);

fn main() -> anyhow::Result<()> {
    let (mut rounds, mut idle) = (5, 100_000);
    let mut given = std::env::args().skip(1);
    while let Some(word) = given.next() {
        let value = given.next().with_context(|| format!("{word} needs a number"))?.parse()?;
        match word.as_str() {
            "--rounds" => rounds = value,
            "--idle" => idle = value,
            _ => bail!("usage: entities [--rounds N] [--idle N]"),
        }
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(rounds, idle))
}

async fn run(rounds: usize, idle: usize) -> anyhow::Result<()> {
    let node = node(idle).await?;
    let channels = Arc::new(channels());
    let (mut hosted, mut plain, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let beside =
            asked(channels.clone(), |channels, n| async move { ask_channel(&channels[n]).await }).await?;
        let entity = asked(node.clone(), |node, n| async move { ask_entity(&node, n).await }).await?;
        plain.push(beside);
        hosted.push(entity);
        ratios.push(entity / beside);
    }
    println!(
        "| entities | callers | channels, asks/s | entities, asks/s | of channels |\n|---|---|---|---|---|"
    );
    let (plain, hosted, ratio) = (median(&plain), median(&hosted), median(&ratios));
    println!("| {ENTITIES} | {CALLERS} | {plain:.0} | {hosted:.0} | {ratio:.2} |\n");

    let before = resident_memory().context("the system does not tell memory")?;
    let begin = Instant::now();
    for n in ENTITIES..ENTITIES + idle {
        ask_entity(&node, n).await?;
    }
    let took = begin.elapsed().as_secs_f64();
    let after = resident_memory().context("the system does not tell memory")?;
    report_idle(idle, after.saturating_sub(before), took);
    node.shutdown(PATIENCE).await;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn report_idle(idle: usize, bytes: u64, took: f64) {
    let each = bytes as f64 / idle as f64;
    println!("| idle entities | started per second | bytes each | per GB |\n|---|---|---|---|");
    println!("| {idle} | {:.0} | {each:.0} | {:.0} |", idle as f64 / took, 1e9 / each);
}

/// Answers per second to all callers, each of which asks one thing after another.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
async fn asked<T, F>(whom: T, ask: impl Fn(T, usize) -> F + Copy + Send + 'static) -> anyhow::Result<f64>
where
    T: Clone + Send + 'static,
    F: Future<Output = anyhow::Result<()>> + Send,
{
    let begin = Instant::now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let whom = whom.clone();
            tokio::spawn(async move {
                for turn in 0..ASKS_EACH {
                    ask(whom.clone(), (caller * 131 + turn * 7) % ENTITIES).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for caller in callers {
        caller.await??;
    }
    Ok((CALLERS * ASKS_EACH) as f64 / begin.elapsed().as_secs_f64())
}

type Question = (Bytes, oneshot::Sender<Bytes>);

fn channels() -> Vec<mpsc::Sender<Question>> {
    (0..ENTITIES)
        .map(|_| {
            let (sender, mut questions) = mpsc::channel::<Question>(64);
            tokio::spawn(async move {
                while let Some((body, reply)) = questions.recv().await {
                    let _ = reply.send(body);
                }
            });
            sender
        })
        .collect()
}

async fn ask_channel(to: &mpsc::Sender<Question>) -> anyhow::Result<()> {
    let (reply, answer) = oneshot::channel();
    to.send((Bytes::from_static(b"hello"), reply)).await?;
    answer.await?;
    Ok(())
}

async fn ask_entity(node: &Cluster, n: usize) -> anyhow::Result<()> {
    let key = EntityKey::new(Echoes::KIND, Uuid::nil(), n.to_string());
    node.ask(&key, Bytes::from_static(b"hello"), PATIENCE).await?;
    Ok(())
}

async fn node(idle: usize) -> anyhow::Result<Cluster> {
    let mut config = Config::new("only", "127.0.0.1:0".parse()?, "redis://127.0.0.1:9").test_profile();
    config.entities.idle = Duration::from_secs(3600);
    config.entities.live_max = 2 * (ENTITIES + idle);
    let echoes: Arc<dyn EntityFactory> = Arc::new(Echoes);
    let node = Cluster::start(config, Arc::new(Agreeable::default()), vec![echoes]).await?;
    let deadline = Instant::now() + PATIENCE;
    while node.placement().owned_by(node.generation()) < usize::from(PARTITIONS) {
        anyhow::ensure!(Instant::now() < deadline, "the node does not come to own all partitions");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(node)
}

struct Echoes;

impl Echoes {
    const KIND: &str = "echo";
}

#[async_trait]
impl EntityFactory for Echoes {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    async fn spawn(&self, context: EntityContext) -> Result<ActorRef<EntityMessage>, SpawnErr> {
        Ok(Actor::spawn_linked(None, Echo, (), context.supervisor).await?.0)
    }
}

struct Echo;

impl Actor for Echo {
    type Msg = EntityMessage;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<EntityMessage>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<EntityMessage>,
        message: EntityMessage,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        match message {
            EntityMessage::Wake(receipt) => receipt.done(),
            EntityMessage::Ask { body, reply, permit } => {
                reply.send(body);
                drop(permit);
            }
        }
        Ok(())
    }
}

/// An authority that knows one node and gives it what it asks for.
#[derive(Debug, Default)]
struct Agreeable {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    member: Option<Member>,
    owned: std::collections::BTreeSet<u16>,
}

type Answer<T> = Result<T, AuthorityUnavailable>;

impl Agreeable {
    fn known<T>(&self, ask: impl FnOnce(&mut Known) -> T) -> Answer<T> {
        let mut known = self.known.lock().map_err(|_| AuthorityUnavailable("poisoned".into()))?;
        Ok(ask(&mut known))
    }
}

#[async_trait]
impl Authority for Agreeable {
    async fn join(&self, me: &NewMember, _: Option<Rival>) -> Answer<Join> {
        let member = Member {
            generation: ONLY,
            name: me.name.clone(),
            address: me.address.clone(),
            state: MemberState::Joining,
            cordoned: false,
            heartbeat: 0,
            weight: me.weight,
            wire_min: me.wire_min,
            wire_max: me.wire_max,
            build: me.build.clone(),
            drain_within: None,
        };
        self.known(|known| known.member = Some(member))?;
        Ok(Join::Joined(ONLY))
    }

    async fn up(&self, _: Gen) -> Answer<bool> {
        self.known(|known| known.member.as_mut().map(|member| member.state = MemberState::Up).is_some())
    }

    async fn beat(&self, _: Gen) -> Answer<bool> {
        self.known(|known| known.member.as_mut().map(|member| member.heartbeat += 1).is_some())
    }

    async fn observe(&self) -> Answer<View> {
        self.known(|known| View { version: 1, members: known.member.iter().cloned().collect() })
    }

    async fn declare_dead(&self, _: Gen, _: Option<i64>, _: Gen, _: u32) -> Answer<bool> {
        Ok(false)
    }

    async fn claim(&self, partition: u16, seen_epoch: i64, _: Gen) -> Answer<Option<i64>> {
        self.known(|known| known.owned.insert(partition).then_some(seen_epoch + 1))
    }

    async fn release(&self, lease: Lease, _: Gen) -> Answer<bool> {
        self.known(|known| known.owned.remove(&lease.partition))
    }

    async fn partitions(&self) -> Answer<Vec<PartitionRow>> {
        self.known(|known| {
            let row = |partition| {
                let owned = known.owned.contains(&partition);
                PartitionRow {
                    partition,
                    owner: owned.then_some(ONLY),
                    owner_gone: false,
                    epoch: i64::from(owned),
                }
            };
            (0..PARTITIONS).map(row).collect()
        })
    }

    async fn partitions_of(&self, _: Gen) -> Answer<Vec<Lease>> {
        self.known(|known| known.owned.iter().map(|&partition| Lease { partition, epoch: 1 }).collect())
    }

    async fn leave(&self, _: Gen) -> Answer<bool> {
        self.known(|known| known.member.as_mut().map(|member| member.state = MemberState::Left).is_some())
    }

    async fn steer(&self, _: Gen, _: Steer) -> Answer<bool> {
        Ok(false)
    }

    async fn remove(&self, _: &str, _: Option<Rival>) -> Answer<Removal> {
        Ok(Removal::Unknown)
    }
}
