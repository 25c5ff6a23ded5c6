//! The BOM-index knows what an image has as soon as its SBOM is stored, and tells nobody whose the others are.

use evaluation::impact::{FORM, Indexed};
use model::TenantId;
use sqlx::PgPool;
use store::impact::{self, ComponentId, Counts, Having};

use crate::fixture::{World, digest, package};

/// The dictionary's numbers for these.
async fn numbers(world: &World, entries: &[Indexed]) -> Vec<ComponentId> {
    let keys: Vec<_> = entries.iter().flat_map(Indexed::keys).collect();
    let mut tx = world.store.fleet().await.unwrap();
    let found = impact::components(&mut tx, &keys, 0, 100).await.unwrap();
    found.into_iter().filter(|(_, entry)| entries.contains(entry)).map(|(id, _)| id).collect()
}

async fn images(world: &World, ids: &[ComponentId], of: Option<TenantId>) -> Vec<(TenantId, String)> {
    let mut tx = world.store.fleet().await.unwrap();
    let found = impact::images(&mut tx, Having::AnyOf(ids), of, 0, 100).await.unwrap();
    found.into_iter().map(|found| (found.tenant, found.image.to_string())).collect()
}

#[sqlx::test]
async fn what_an_image_has_is_there_as_soon_as_its_sbom_is(owner: PgPool) {
    let world = World::new(owner).await;
    let (a, b) = (world.tenant("a").await, world.tenant("b").await);
    let node = world.node("n").await;
    let fence = world.claim(node, 1).await;
    world.scanned(a, "x", node, fence).await;
    world.scanned(b, "y", node, fence).await;
    let (x, y) = (digest("x").to_string(), digest("y").to_string());

    let ids = numbers(&world, &[package("1.0.0")]).await;
    assert_eq!(ids.len(), 1, "two images share one entry");
    assert_eq!(images(&world, &ids, None).await, [(a, x), (b, y.clone())]);
    assert_eq!(images(&world, &ids, Some(b)).await, [(b, y)]);
    assert_eq!(numbers(&world, &[package("3.0.0")]).await, Vec::<i32>::new());
    assert_eq!(images(&world, &[-1], None).await, []);
}

#[sqlx::test]
async fn pages_go_by_the_place_and_miss_nothing(owner: PgPool) {
    let world = World::new(owner).await;
    let tenant = world.tenant("a").await;
    let mut expected = Vec::new();
    for seed in 0..7 {
        let image = world.image(tenant, &format!("i{seed}")).await;
        let entries = [package(&format!("{}.0.0", seed % 3)), package("9.0.0")];
        let mut tx = world.store.tenant(tenant).await.unwrap();
        impact::index(&mut tx, &image, &entries).await.unwrap();
        tx.commit().await.unwrap();
        expected.push(image);
    }
    // Numbers of both entries an image has, and far more than are asked for at once.
    let mut ids = numbers(&world, &[package("0.0.0"), package("1.0.0"), package("2.0.0")]).await;
    ids.extend(1_000_000..1_002_000);
    ids.extend(numbers(&world, &[package("9.0.0")]).await);
    for having in [Having::AnyOf(&ids), Having::Anything] {
        let (mut seen, mut after) = (Vec::new(), 0);
        loop {
            let mut tx = world.store.fleet().await.unwrap();
            let page = impact::images(&mut tx, having, None, after, 3).await.unwrap();
            let Some(last) = page.last() else { break };
            after = last.number;
            seen.extend(page.into_iter().map(|found| found.image));
        }
        assert_eq!(seen, expected);
    }
}

#[sqlx::test]
async fn an_image_is_kept_once_and_under_what_it_has_now(owner: PgPool) {
    let world = World::new(owner).await;
    let tenant = world.tenant("a").await;
    let image = world.image(tenant, "x").await;
    let keep = async |entries: &[Indexed]| {
        let mut tx = world.store.tenant(tenant).await.unwrap();
        impact::index(&mut tx, &image, entries).await.unwrap();
        tx.commit().await.unwrap();
        let (old, new) = ([package("1.0.0")], [package("2.0.0")]);
        let old = images(&world, &numbers(&world, &old).await, None).await.len();
        (old, images(&world, &numbers(&world, &new).await, None).await.len())
    };
    assert_eq!(keep(&[package("1.0.0"), package("1.0.0")]).await, (1, 0));
    let version = "select xmin::text::bigint from scanner.image_component";
    let before = world.number(version).await;
    assert_eq!(keep(&[package("1.0.0")]).await, (1, 0));
    assert_eq!(world.number(version).await, before, "the same again writes nothing");
    assert_eq!(keep(&[package("2.0.0")]).await, (0, 1));
    assert_eq!(keep(&[]).await, (0, 0));
    assert_eq!(world.number("select count(*) from scanner.component").await, 2);
}

#[sqlx::test]
async fn images_that_are_not_indexed_yet_are_found(owner: PgPool) {
    let world = World::new(owner).await;
    let tenant = world.tenant("a").await;
    let node = world.node("n").await;
    let fence = world.claim(node, 1).await;
    world.image(tenant, "without an sbom").await;
    for seed in ["x", "y", "z"] {
        world.scanned(tenant, seed, node, fence).await;
    }
    let [x, y] = ["x", "y"].map(|seed| digest(seed).to_string());
    world.sql(&format!("delete from scanner.image_component where image_digest = '{x}'")).await;
    let old = format!("update scanner.image_component set form = {} where image_digest = '{y}'", FORM - 1);
    world.sql(&old).await;
    let mut tx = world.store.fleet().await.unwrap();
    assert_eq!(impact::counts(&mut tx).await.unwrap(), Counts { images: 2, unindexed: 2 });
    let mut found = impact::unindexed(&mut tx, 10).await.unwrap();
    found.sort();
    let found: Vec<_> = found.into_iter().map(|(_, image)| image.to_string()).collect();
    let mut expected = vec![x, y];
    expected.sort();
    assert_eq!(found, expected);
}

#[sqlx::test]
async fn a_tenant_writes_its_own_images_only_and_reads_no_dictionary(owner: PgPool) {
    let world = World::new(owner).await;
    let (a, b) = (world.tenant("a").await, world.tenant("b").await);
    let image = world.image(b, "x").await;
    let mut tx = world.store.tenant(a).await.unwrap();
    let refused = impact::index(&mut tx, &image, &[package("1.0.0")]).await;
    assert!(refused.is_err(), "an image of another is none of one's own");
    drop(tx);
    assert_eq!(world.number("select count(*) from scanner.component").await, 0);
    for role in ["starling_tenant", "starling_app"] {
        for table in ["component", "component_key", "image_component"] {
            let may =
                format!("select has_table_privilege('{role}', 'scanner.{table}', 'select')::int::bigint");
            assert_eq!(world.number(&may).await, 0, "{role} may read {table}");
        }
    }
}

#[sqlx::test]
async fn two_that_add_the_same_at_once_share_it(owner: PgPool) {
    let world = World::new(owner).await;
    let tenant = world.tenant("a").await;
    let (x, y) = (world.image(tenant, "x").await, world.image(tenant, "y").await);
    let entries: Vec<_> = (0..50).map(|n| package(&format!("{n}.0.0"))).collect();
    let backwards: Vec<_> = entries.iter().rev().cloned().collect();
    let keep = async |image, entries: &[Indexed]| {
        let mut tx = world.store.tenant(tenant).await.unwrap();
        impact::index(&mut tx, image, entries).await.unwrap();
        tx.commit().await.unwrap();
    };
    tokio::join!(keep(&x, &entries), keep(&y, &backwards));
    assert_eq!(world.number("select count(*) from scanner.component").await, 50);
    assert_eq!(images(&world, &numbers(&world, &entries[..1]).await, None).await.len(), 2);
}
