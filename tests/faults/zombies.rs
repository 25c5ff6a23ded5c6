//! A replaced node that does not know it yet writes all the same: the fence refuses it. With the fence
//! switched off in its own database, the very same scenario must be caught by the checker; that shows that
//! both earn their keep.
//!
//! The node is frozen until others have taken over. Before it thaws, the database is made to say that it
//! lives, so that it does not end itself before it has written.

use std::time::{Duration, Instant};

use futures::future::select_all;
use tests::clients::{Clients, SOON, request_id};
use tests::images::Image;
use tests::invariants::{self, Ledger};
use tests::{Hold, Point, Settings, Tenant, TestCluster, Truth, eventually};

use crate::alone;

/// Which of the nodes it is where the test may choose.
const ZOMBIE: usize = 0;
/// So many images that every node owns some of them.
const MANY: usize = 16;

/// Whether the database checks who writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fence {
    On,
    Off,
}

impl Fence {
    /// `true` where it is off, in SQL.
    fn off(self) -> &'static str {
        match self {
            Self::On => "false",
            Self::Off => "true",
        }
    }
}

/// What a scenario came to.
#[derive(Debug)]
struct Outcome {
    /// How often the zombie tried to write.
    tried: i64,
    /// What the checker says.
    violations: Vec<String>,
}

/// The fence of entities as it is, but it counts who comes too late: in a sequence, which keeps its count when the
/// refused transaction is rolled back.
const TELLING_FENCE: &str = "
    create sequence public.told;
    create or replace function cluster.fence(p_partition int, p_epoch bigint) returns boolean
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
    declare
        held boolean;
    begin
        perform 1 from cluster.partition where partition = p_partition and epoch = p_epoch for share;
        held := found;
        if not held then
            perform nextval('public.told');
        end if;
        return held or OFF;
    end $$;";

/// The check of a worker's attempt, which tells the same.
const TELLING_ATTEMPT: &str = "
    create sequence public.told;
    grant usage on sequence public.told to starling_tenant;
    do $do$
    declare
        original text := pg_get_functiondef('orchestrator.complete_work'::regproc);
        telling  text := replace(original,
            'if not found or w.state <> ''held'' or w.attempt <> p_attempt or w.holder_gen <> p_gen then',
            'if w.attempt <> p_attempt then perform nextval(''public.told''); end if;
             if not found or w.state <> ''held''
                or not OFF and (w.attempt <> p_attempt or w.holder_gen <> p_gen) then');
    begin
        assert telling <> original, 'complete_work checks the attempt in other words now';
        execute telling;
    end $do$;
    create or replace function orchestrator.keep_work(p_tenant uuid, p_work uuid, p_gen bigint, p_attempt int)
    returns text language sql stable as $$ select 'go_on' $$;";

#[tokio::test]
async fn a_zombie_cannot_save_an_outdated_result() {
    let _alone = alone().await;
    let outcome = outdated_result(Fence::On).await;
    assert_eq!(outcome.violations, [""; 0]);
    assert!(outcome.tried > 0, "the zombie did not even try");
}

#[tokio::test]
async fn without_the_fence_the_order_of_verdicts_refuses_an_outdated_result_too() {
    let _alone = alone().await;
    let outcome = outdated_result(Fence::Off).await;
    assert!(outcome.tried > 0, "the zombie did not even try");
    assert_eq!(outcome.violations, [""; 0]);
}

#[tokio::test]
async fn a_zombie_cannot_complete_work_that_was_taken_over() {
    let _alone = alone().await;
    let outcome = overtaken_work(Fence::On).await;
    assert_eq!(outcome.violations, [""; 0]);
    assert!(outcome.tried > 0, "the zombie did not even try");
}

#[tokio::test]
async fn without_the_check_of_the_attempt_overtaken_work_is_completed_and_the_checker_sees_it() {
    let _alone = alone().await;
    let outcome = overtaken_work(Fence::Off).await;
    assert!(outcome.tried > 0, "the zombie did not even try");
    let seen = outcome.violations.iter().any(|what| what.starts_with("an attempt that was taken over"));
    assert!(seen, "the checker is blind: {outcome:?}");
}

/// A node has evaluated images and is frozen before it saves that. Others evaluate them, a feed comes, and
/// they are evaluated again. Then the node goes on.
async fn outdated_result(fence: Fence) -> Outcome {
    let mut cluster = TestCluster::start(Settings::default()).await;
    let mut scans = Scans::prepare(&cluster, MANY).await;
    let hold = cluster.nodes()[ZOMBIE].hold(Point::ImageBeforeSave);
    scans.submit().await;
    hold.reached(SOON).await;
    cluster.nodes()[ZOMBIE].freeze();
    scans.done().await;
    cluster.with_small_feed().await;
    scans.submit().await;
    scans.done().await;
    cluster.truth().run(&TELLING_FENCE.replace("OFF", fence.off())).await;

    let tried = walk(&mut cluster, ZOMBIE, hold).await;
    scans.outcome(&cluster, tried).await
}

/// A worker has read an image and is frozen before it says so. Another one takes the work over and is held
/// at the same place. Then the first one goes on, and then the other.
async fn overtaken_work(fence: Fence) -> Outcome {
    let mut cluster = TestCluster::start(Settings::default()).await;
    let mut scans = Scans::prepare(&cluster, 1).await;
    cluster.truth().run(&TELLING_ATTEMPT.replace("OFF", fence.off())).await;
    // One image, so that the others have room to take it over; any node may be the one that reads it.
    let mut holds: Vec<_> =
        cluster.nodes().iter().map(|node| node.hold(Point::WorkerBeforeComplete)).collect();
    scans.submit().await;
    let (_, zombie, _) = select_all(holds.iter().map(|hold| Box::pin(hold.reached(SOON)))).await;
    cluster.nodes()[zombie].freeze();
    scans.ask_another(&cluster, zombie);
    let overtaken = "select count(*) from orchestrator.work where attempt > 1 and state = 'held'";
    eventually(SOON, "the work is taken over", || async { cluster.truth().number(overtaken).await > 0 })
        .await;

    let hold = holds.remove(zombie);
    let tried = walk(&mut cluster, zombie, hold).await;
    drop(holds);
    scans.done().await;
    scans.outcome(&cluster, tried).await
}

/// The dead node goes on and tries to write what it holds; then it hears the truth and ends. How often it
/// tried.
async fn walk(cluster: &mut TestCluster, zombie: usize, hold: Hold) -> i64 {
    let name = cluster.nodes()[zombie].name().to_owned();
    let truth = cluster.truth().clone();
    let dead = format!("select count(*) from cluster.node where name = '{name}' and state = 'dead'");
    eventually(SOON, "the node is declared dead", || async { truth.number(&dead).await == 1 }).await;
    // Its peers would declare it dead again before it has tried: nobody may until it falls.
    let rise = "create table public.grave as select gen, ended_at from cluster.node where state = 'dead';
                update cluster.node n set state = 'up', ended_at = null from public.grave g where g.gen = n.gen;
                create function public.keep() returns trigger language plpgsql as
                    $$ begin return null; end $$;
                create trigger keep before update on cluster.node for each row when (new.state = 'dead')
                    execute function public.keep()";
    truth.run(rise).await;
    drop(hold);
    cluster.nodes()[zombie].thaw();
    let tried = tries(&truth).await;
    let fall = "drop trigger keep on cluster.node;
                update cluster.node n set state = 'dead', ended_at = g.ended_at
                from public.grave g where g.gen = n.gen";
    truth.run(fall).await;
    let zombie = &mut cluster.nodes_mut()[zombie];
    let ended = zombie.end(Duration::from_secs(10)).await;
    assert_eq!(ended.code(), Some(3), "{}", zombie.last_words());
    assert!(tried > 0, "the zombie did not even try: {}", zombie.last_words());
    tried
}

/// How often the zombie tried, as soon as it has, or none when it does not within a while.
async fn tries(truth: &Truth) -> i64 {
    let begin = Instant::now();
    loop {
        let told =
            truth.number("select case when is_called then last_value else 0 end from public.told").await;
        if told > 0 || begin.elapsed() > Duration::from_secs(10) {
            return told;
        }
    }
}

/// The same few images, scanned again and again.
struct Scans {
    tenant: Tenant,
    client: Clients,
    images: Vec<Image>,
    ledger: Ledger,
}

impl Scans {
    async fn prepare(cluster: &TestCluster, images: usize) -> Self {
        let tenant = cluster.tenant("zombie").await;
        let mut client = cluster.nodes()[ZOMBIE + 1].client(&tenant);
        let images: Vec<_> = (0..images).map(|_| Image::small()).collect();
        for image in &images {
            client.put(image).await.unwrap();
        }
        Self { client, images, ledger: Ledger::of(&tenant), tenant }
    }

    /// From now on through another node than this one.
    fn ask_another(&mut self, cluster: &TestCluster, zombie: usize) {
        self.client = cluster.nodes()[(zombie + 1) % cluster.nodes().len()].client(&self.tenant);
    }

    async fn submit(&mut self) {
        for image in &self.images {
            let id = request_id();
            let job = self.client.submit(&image.digest(), &id).await.unwrap().job_id;
            self.ledger.note(&id, &job);
        }
    }

    async fn done(&self) {
        for job in self.ledger.jobs() {
            self.client.done(&job, SOON).await;
        }
    }

    /// What everything came to, once it is quiet.
    async fn outcome(&self, cluster: &TestCluster, tried: i64) -> Outcome {
        let violations = invariants::violations(cluster.truth()).await;
        if violations.is_empty() {
            invariants::check_at_rest(cluster.truth(), &self.ledger).await;
        }
        Outcome { tried, violations }
    }
}
