//! An old owner writes nothing, however the moments fall.

use std::sync::atomic::{AtomicBool, Ordering};

use model::{JobState, TenantId};
use sqlx::{PgPool, Row as _};
use store::effects::{self, Effect};
use store::{Error, Fence, Store, members};
use tokio::sync::watch;
use uuid::Uuid;

use crate::fixture::World;

/// The fence as somebody in a hurry would write it, and the one that is no fence at all.
const CHECK_WITHOUT_LOCK: &str = "create or replace function cluster.fence(p_partition int, p_epoch bigint)
     returns boolean language sql security definer as
     'select exists (select from cluster.partition where partition = p_partition and epoch = p_epoch)'";
const NO_FENCE: &str = "create or replace function cluster.fence(p_partition int, p_epoch bigint)
     returns boolean language sql security definer as 'select true'";

#[sqlx::test]
async fn an_effect_under_an_old_epoch_is_refused(owner: PgPool) {
    let world = World::new(owner).await;
    let (tenant, job, old) = taken_over(&world).await;
    let refused = world.apply(Effect::Admit { tenant, fence: old, jobs: vec![job] }).await;
    assert!(matches!(refused, Err(Error::Fenced { entity: "tenant" })), "{refused:?}");
    let kept = world.job(tenant, job).await;
    assert_eq!((kept.state, kept.admitted_at, kept.events), (JobState::Accepted, None, 0));
}

/// Shows that the test above can fail.
#[sqlx::test]
async fn without_the_fence_the_same_effect_gets_through(owner: PgPool) {
    let world = World::new(owner).await;
    let (tenant, job, old) = taken_over(&world).await;
    world.sql(NO_FENCE).await;
    world.apply(Effect::Admit { tenant, fence: old, jobs: vec![job] }).await.unwrap();
    assert!(world.job(tenant, job).await.admitted_at.is_some());
}

async fn taken_over(world: &World) -> (TenantId, model::JobId, Fence) {
    let tenant = world.tenant("a").await;
    let image = world.image(tenant, "x").await;
    let job = world.submit(tenant, &image).await;
    let (first, second) = (world.node("n1").await, world.node("n2").await);
    let old = world.claim(first, 3).await;
    world.sql(&format!("update cluster.node set state = 'dead' where gen = {first}")).await;
    let new = world.claim(second, 3).await;
    assert_eq!(new.epoch, old.epoch + 1);
    (tenant, job, old)
}

#[sqlx::test]
async fn a_takeover_waits_for_the_effect_that_has_passed_the_fence(owner: PgPool) {
    let world = World::new(owner).await;
    assert!(!takeover_overtakes(&world, 1).await, "the takeover committed before the effect did");
    world.sql(CHECK_WITHOUT_LOCK).await;
    assert!(takeover_overtakes(&world, 2).await, "a check without a lock must fail this test");
}

/// Whether a takeover can commit between an effect's fence and its commit.
async fn takeover_overtakes(world: &World, partition: u16) -> bool {
    let first = world.node(&format!("first-{partition}")).await;
    let second = world.node(&format!("second-{partition}")).await;
    let fence = world.claim(first, partition).await;
    let mut effect = world.owner.begin().await.unwrap();
    let passed: bool = sqlx::query("select cluster.fence($1, $2)")
        .bind(i32::from(partition))
        .bind(fence.epoch)
        .fetch_one(&mut *effect)
        .await
        .unwrap()
        .get(0);
    assert!(passed);
    world.sql(&format!("update cluster.node set state = 'dead' where gen = {first}")).await;
    let mut takeover = world.owner.begin_with("begin; set local lock_timeout = '200ms'").await.unwrap();
    let taken = sqlx::query("select cluster.claim($1, $2, $3)")
        .bind(i32::from(partition))
        .bind(fence.epoch)
        .bind(second)
        .fetch_one(&mut *takeover)
        .await;
    match taken {
        Ok(row) => row.get::<Option<i64>, _>(0).is_some(),
        Err(error) => {
            let code = error.as_database_error().and_then(|e| e.code()).map(|c| c.into_owned());
            assert_eq!(code.as_deref(), Some("55P03"), "{error}");
            false
        }
    }
}

/// Records each fence that was passed, and compares its epoch with the row's once more at the very commit.
const WITNESS: &str = "
    create table public.passed (partition int, epoch bigint);
    create table public.violation (partition int, epoch bigint, found bigint);
    grant all on public.passed, public.violation to public;
    alter function cluster.fence rename to fence_itself;
    create function cluster.fence(p_partition int, p_epoch bigint) returns boolean
    language plpgsql security definer as $$
    begin
        if not cluster.fence_itself(p_partition, p_epoch) then return false; end if;
        insert into public.passed values (p_partition, p_epoch);
        return true;
    end $$;
    grant execute on function cluster.fence to public;
    create function public.witness() returns trigger language plpgsql security definer as $$
    begin
        insert into public.violation
        select new.partition, new.epoch, p.epoch from cluster.partition p
        where p.partition = new.partition and p.epoch <> new.epoch;
        return null;
    end $$;
    create constraint trigger at_commit after insert on public.passed
        deferrable initially deferred for each row execute function public.witness();";

#[sqlx::test]
async fn writers_and_takeovers_at_once_violate_nothing(owner: PgPool) {
    let world = World::new(owner).await;
    world.sql(WITNESS).await;
    let nodes = [world.node("n1").await, world.node("n2").await];
    let (tell, hear) = watch::channel(world.claim(nodes[0], 5).await);
    let stop = AtomicBool::new(false);
    let writers = futures::future::join_all((0..4).map(|_| write(&world.store, hear.clone(), &stop)));
    let takers = async {
        for round in 0..150 {
            let fence = *hear.borrow();
            members::release(&world.store, nodes[round % 2], &[fence]).await.unwrap();
            tell.send_replace(world.claim(nodes[(round + 1) % 2], 5).await);
        }
        stop.store(true, Ordering::Relaxed);
    };
    let (outcomes, ()) = futures::future::join(writers, takers).await;
    let (applied, fenced) = outcomes.into_iter().fold((0, 0), |(a, f), (x, y)| (a + x, f + y));
    assert!(applied > 50 && fenced > 0, "no race took place: {applied} applied, {fenced} fenced");
    assert_eq!(world.number("select count(*) from public.violation").await, 0);
    assert_eq!(world.number("select count(*) from public.passed").await, applied);
    let log = world.number("select count(*) from cluster.partition_log where partition = 5").await;
    let epoch = world.number("select epoch from cluster.partition where partition = 5").await;
    assert_eq!((log, epoch), (301, 301), "each change of owner raised the epoch and was logged");
}

/// Effects with whatever epoch was last heard of, until told to stop: how many were applied, how many refused.
async fn write(store: &Store, hear: watch::Receiver<Fence>, stop: &AtomicBool) -> (i64, i64) {
    let (mut applied, mut fenced) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        let tenant = TenantId::from_uuid(Uuid::now_v7());
        let effect = Effect::FailJobs { tenant, fence: *hear.borrow(), jobs: vec![], reason: String::new() };
        for answer in effects::apply(store, vec![effect.clone(), effect]).await.unwrap() {
            match answer {
                Ok(_) => applied += 1,
                Err(Error::Fenced { .. }) => fenced += 1,
                Err(other) => panic!("{other}"),
            }
        }
    }
    (applied, fenced)
}
