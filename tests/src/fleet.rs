//! Images with one package each, scanned and evaluated, and a feed about these packages.

use proto_api::feed::v1::RefreshFeedRequest;
use proto_api::run::v1::{Run, RunState};

use crate::clients::{Clients, SOON, request_id};
use crate::images::{Image, Layer};
use crate::{FeedFolder, Tenant, TestCluster, eventually_ok};

/// Some images of one tenant; the package of each is named after it.
#[derive(Debug)]
pub struct Fleet {
    /// Whose they are.
    pub tenant: Tenant,
    /// The feed's folder.
    pub folder: FeedFolder,
    /// The feed's name.
    pub feed: String,
    images: Vec<(String, String)>,
}

impl Fleet {
    /// A feed that says something of every package, and an image with version 1.0.0 of each, evaluated on it.
    pub async fn scanned(cluster: &TestCluster, feed: &str, packages: &[&str]) -> Self {
        let folder = FeedFolder::empty();
        for (number, package) in packages.iter().enumerate() {
            folder.put(&format!("STARLING-2026-1{number:03}"), "npm", "SEMVER", package, "2.0.0");
        }
        cluster.create_feed(feed, &folder).await;
        cluster.feed_is_read(feed).await;
        let tenant = cluster.tenant(feed).await;
        let mut client = cluster.nodes()[0].client(&tenant);
        let (mut images, mut jobs) = (Vec::new(), Vec::new());
        for package in packages {
            let image = Image::of([Layer::new().npm("app", package, "1.0.0").unlike_any_other()]);
            jobs.push(client.put_and_submit(&image).await);
            images.push(((*package).to_owned(), image.digest()));
        }
        for job in jobs {
            client.done(&job, SOON).await;
        }
        let fleet = Self { tenant, folder, feed: feed.to_owned(), images };
        fleet.at_rest(cluster).await;
        fleet
    }

    /// The image with this package.
    pub fn image(&self, package: &str) -> &str {
        let found = self.images.iter().find(|(name, _)| name == package);
        &found.expect("an image of the fleet").1
    }

    /// Waits until no run is open and every change has one; the newest run.
    pub async fn at_rest(&self, cluster: &TestCluster) -> Run {
        eventually_ok(SOON, "all runs have ended", || async {
            let open = cluster
                .truth()
                .number(
                    "select (select count(*) from scheduler.run where ended_at is null)
                          + (select l.snapshot_id - c.snapshot_id from vuln.latest l, scheduler.cursor c)
                          + (select count(*) from vuln.feed where revision > done_revision)",
                )
                .await;
            if open == 0 { Ok(()) } else { Err(open) }
        })
        .await;
        self.operator(cluster).newest_runs().await.into_iter().next().expect("there was a run")
    }

    /// Has the feed read again, and does not wait.
    pub async fn refresh(&self, cluster: &TestCluster) {
        let request = RefreshFeedRequest {
            request_id: request_id(),
            feed_id: self.feed.clone(),
            ..RefreshFeedRequest::default()
        };
        self.operator(cluster).feeds.refresh_feed(request).await.expect("the feed is known");
    }

    /// Has the feed read again and waits for the run over what changed.
    pub async fn changed(&self, cluster: &TestCluster) -> Run {
        self.refresh(cluster).await;
        let run = self.at_rest(cluster).await;
        assert_eq!(run.state(), RunState::Completed, "{run:?}");
        run
    }

    /// The revision of this package's image that was evaluated last.
    pub async fn evaluated(&self, cluster: &TestCluster, package: &str) -> i64 {
        let image = self.image(package);
        let query = format!("select evaluated_revision from scanner.image where digest = '{image}'");
        cluster.truth().number(&query).await
    }

    /// How many findings this package's image has.
    pub async fn findings(&self, cluster: &TestCluster, package: &str) -> usize {
        let mut client = cluster.nodes().last().expect("a cluster has nodes").client(&self.tenant);
        client.all_findings(self.image(package)).await.len()
    }

    /// The operators, at a node that tests break last.
    pub fn operator(&self, cluster: &TestCluster) -> Clients {
        cluster.nodes().last().expect("a cluster has nodes").operator()
    }
}
