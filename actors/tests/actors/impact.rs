//! From a vulnerability to the images that it concerns, and verdicts held against a full match.

use actors::blast_radius::{BlastRadius, Concerned};
use actors::index_cache::IndexCache;
use actors::sampler::Sampler;
use advisory::Limits;
use model::{SnapshotId, TenantId};
use sqlx::PgPool;
use store::impact::{self, Totals};

use crate::demo::{Image, advisory, image_of};
use crate::world::World;

/// The package versions, whether they are affected now, and whether they were.
fn packages(concerned: &Concerned) -> Vec<(&str, bool, bool)> {
    concerned.packages.values().map(|package| (package.purl.as_str(), package.now, package.before)).collect()
}

async fn images(world: &World, concerned: &Concerned, of: Option<TenantId>) -> (Totals, Vec<String>) {
    let ids: Vec<_> = concerned.packages.keys().copied().collect();
    let mut tx = world.store.fleet().await.unwrap();
    let totals = impact::totals(&mut tx, &ids, of).await.unwrap();
    let found = impact::holdings(&mut tx, &ids, of, 0, 10).await.unwrap();
    assert!(found.iter().all(|holding| !holding.components.is_empty()));
    (totals, found.into_iter().map(|holding| holding.found.image.to_string()).collect())
}

#[sqlx::test(migrations = "../store/migrations")]
async fn a_vulnerability_is_followed_to_images_before_and_after(owner: PgPool) {
    let world = World::new(owner).await;
    let file = world.feed_folder().join("npm.jsonl");
    std::fs::write(&file, advisory("GHSA-1", "left-pad", "1.3.0")).unwrap();
    let node = world.node("a", 2).await;
    let feed = world.feed("osv").await;
    let (a, b) = (world.tenant("a").await, world.tenant("b").await);
    let old = image_of(&[("left-pad", "1.0.0"), ("right-pad", "1.0.0")]);
    let newer = image_of(&[("left-pad", "1.5.0")]);
    let other = image_of(&[("right-pad", "1.0.0")]);
    for (tenant, image) in [(a, &old), (b, &newer), (b, &other)] {
        world.put(tenant, image).await;
        world.scan(tenant, image).await;
    }
    let digest = |image: &Image| image.image.digest.to_string();
    let limits = Limits::default();
    let radius =
        BlastRadius::new(world.store.clone(), IndexCache::new(world.store.clone(), limits.clone()), limits);

    let first = radius.of("ghsa-1").await.unwrap();
    assert_eq!((first.snapshot, first.former), (SnapshotId(1), Some(SnapshotId(0))));
    assert_eq!(packages(&first), [("pkg:npm/left-pad@1.0.0", true, false)]);
    assert_eq!(first.advisories[0].standing.revision, 1);
    let one = Totals { images: 1, tenants: 1 };
    assert_eq!(images(&world, &first, None).await, (one, vec![digest(&old)]));

    std::fs::write(&file, advisory("GHSA-1", "left-pad", "2.0.0")).unwrap();
    world.refresh(&feed.id).await;
    let second = radius.of("GHSA-1").await.unwrap();
    assert_eq!((second.snapshot, second.former), (SnapshotId(2), Some(SnapshotId(1))));
    let expected = [("pkg:npm/left-pad@1.0.0", true, true), ("pkg:npm/left-pad@1.5.0", true, false)];
    assert_eq!(packages(&second), expected);
    let two = Totals { images: 2, tenants: 2 };
    assert_eq!(images(&world, &second, None).await, (two, vec![digest(&old), digest(&newer)]));
    assert_eq!(images(&world, &second, Some(b)).await, (one, vec![digest(&newer)]));

    let nothing = radius.of("CVE-1999-1").await.unwrap();
    assert_eq!((nothing.advisories.len(), packages(&nothing).len(), nothing.former), (0, 0, None));
    assert_eq!(images(&world, &nothing, None).await, (Totals::default(), vec![]));
    node.shutdown().await;
}

#[sqlx::test(migrations = "../store/migrations")]
async fn a_verdict_that_is_not_what_a_full_match_gives_is_found(owner: PgPool) {
    let world = World::new(owner).await;
    std::fs::write(world.feed_folder().join("npm.jsonl"), advisory("GHSA-1", "left-pad", "1.3.0")).unwrap();
    let node = world.node("a", 2).await;
    world.feed("osv").await;
    let tenant = world.tenant("t").await;
    let all = [image_of(&[("left-pad", "1.0.0")]), image_of(&[("right-pad", "1.0.0")])];
    for image in &all {
        world.put(tenant, image).await;
        world.scan(tenant, image).await;
    }
    let sampler = Sampler::of_node(&world.deps(world.store.clone(), 1));
    // As many as there are places, often enough: each is chosen.
    let sampled = sampler.sample(7, SnapshotId(1), 100).await.unwrap();
    assert_eq!((sampled.compared, sampled.differing), (2, vec![]));
    let before_any = sampler.sample(7, SnapshotId(0), 100).await.unwrap();
    assert_eq!(before_any.compared, 0, "verdicts of a newer snapshot say nothing of an older one");

    let digest = all[1].image.digest.to_string();
    world
        .sql(&format!(
            "set session_replication_role = replica;
             update scanner.verdict set coverage = 'complete' where image_digest = '{digest}';
             set session_replication_role = origin"
        ))
        .await;
    let sampled = sampler.sample(7, SnapshotId(1), 100).await.unwrap();
    let differing: Vec<_> = sampled.differing.iter().map(|(found, _)| found.image.to_string()).collect();
    assert_eq!((sampled.compared, differing), (2, vec![digest]));
    node.shutdown().await;
}
