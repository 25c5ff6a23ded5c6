//! The command line as a user and as an operator live with it: what it prints, and how it exits.

use serde_json::Value;
use tests::clients::SOON;
use tests::images::{Image, Layer};
use tests::{Cli, FeedFolder, Point, Tenant, TestCluster};

fn user(cluster: &TestCluster, tenant: &Tenant) -> Cli {
    Cli::new(cluster.folder(), &cluster.nodes()[1].address(), tenant.token())
}

/// Writes the image where the user finds it, and gives the path.
fn layout(user: &Cli, image: &Image) -> String {
    let hex = image.digest().replace(':', "-");
    let folder = user.home().join(hex);
    image.write_layout(&folder);
    folder.display().to_string()
}

fn texts<'a>(items: &'a Value, field: &str) -> Vec<&'a str> {
    let items = items.as_array().unwrap_or_else(|| panic!("no list: {items}"));
    items.iter().map(|item| item[field].as_str().unwrap_or_default()).collect()
}

/// With no server, no token and no home: the same engine on the same inputs.
#[tokio::test]
async fn a_scan_without_a_server_finds_byte_for_byte_what_the_cluster_finds() {
    let cluster = TestCluster::shared().await;
    cluster.with_small_feed().await;
    let tenant = cluster.tenant("alone").await;
    let user = user(&cluster, &tenant);
    let image = Image::small();
    let path = layout(&user, &image);
    let submitted = user.run(&["submit", &path, "--wait", "-o", "json"]).await.json();

    let feed = FeedFolder::small();
    let advisories = format!("small={}", feed.path().display());
    let alone = user.run(&["scan", &path, "--advisories", &advisories, "-o", "json"]).await;
    assert_eq!(alone.code, 0, "{alone:?}");
    let found = alone.json();
    assert_eq!(texts(&found["findings"], "package"), texts(&submitted["findings"], "package"));
    for digest in ["findings_digest", "sbom_digest"] {
        assert_eq!(found[digest], submitted["verdict"][digest], "{digest}");
    }
    let gated = user.run(&["scan", &path, "--advisories", &advisories, "--fail-on", "critical"]).await;
    assert_eq!(gated.code, 1, "{gated:?}");
    let empty = FeedFolder::empty();
    let nothing = user.run(&["scan", &path, "--advisories", &empty.path().display().to_string()]).await;
    assert_eq!(nothing.code, 4, "no advisory is no clean image: {nothing:?}");

    let why = user.run(&["explain", &path, "CVE-2026-90001", "--advisories", &advisories]).await;
    assert_eq!(why.code, 0, "{why:?}");
    for word in ["affected: pkg:npm/starling-npm@1.0.0", "[0, 1.1.0)", "seen in layer 1: app/node_modules"] {
        assert!(why.out.contains(word), "no {word} in {why:?}");
    }
    let sbom = user.run(&["sbom", &path, "-o", "json"]).await;
    assert_eq!(model::Digest::of(sbom.out.as_bytes()).as_str(), found["sbom_digest"].as_str().unwrap());
}

/// What others are handed of a scan, and an SBOM that comes back.
#[tokio::test]
async fn an_sbom_has_the_findings_of_the_image_that_it_was_made_from() {
    let cluster = TestCluster::shared().await;
    let user = user(&cluster, &cluster.tenant("sbom").await);
    let path = layout(&user, &Image::small());
    let feed = FeedFolder::small();
    let advisories = format!("small={}", feed.path().display());
    let file = |name: &str| user.home().join(name).display().to_string();
    let written = |name: &str| std::fs::read_to_string(file(name)).expect("it was written");

    let outputs: Vec<String> =
        ["json", "sarif", "junit", "gitlab", "markdown", "csv", "table", "cyclonedx", "spdx"]
            .iter()
            .flat_map(|format| ["-o".to_owned(), format!("{format}={}", file(format))])
            .collect();
    let command = ["scan", &path, "--advisories", &advisories];
    let all: Vec<&str> = command.into_iter().chain(outputs.iter().map(String::as_str)).collect();
    let scanned = user.run(&all).await;
    assert_eq!((scanned.code, scanned.out.as_str()), (0, ""), "{scanned:?}");
    for format in ["sarif", "junit", "gitlab", "markdown", "csv", "table"] {
        assert!(written(format).contains("CVE-2026-90001"), "{format}: {}", written(format));
    }
    let image: Value = serde_json::from_str(&written("json")).unwrap();

    let stored = format!("json={}", file("stored"));
    let newer = format!("cyclonedx-1.7={}", file("newer"));
    assert_eq!(user.run(&["sbom", &path, "-o", &stored, "-o", &newer]).await.code, 0);
    for name in ["cyclonedx", "newer", "spdx", "stored"] {
        let again = user.run(&["scan", &file(name), "--advisories", &advisories, "-o", "json"]).await;
        assert_eq!(again.code, 0, "{name}: {again:?}");
        for same in ["sbom_digest", "findings_digest", "findings", "coverage"] {
            assert_eq!(again.json()[same], image[same], "{name}: {same}");
        }
    }
    let twice = user.run(&["scan", &path, "--advisories", &advisories, "-o", "json", "-o", "sarif"]).await;
    assert_eq!(twice.code, 2, "{twice:?}");

    cluster.with_small_feed().await;
    for name in ["cyclonedx", "spdx", "stored"] {
        let sarif = format!("sarif={}", file("submitted"));
        let submitted = user.run(&["submit", &file(name), "--wait", "-o", "json", "-o", &sarif]).await;
        assert_eq!(submitted.code, 0, "{name}: {submitted:?}");
        assert!(written("submitted").contains("CVE-2026-90001"), "{name}");
        for same in ["sbom_digest", "findings_digest"] {
            assert_eq!(submitted.json()["verdict"][same], image[same], "{name}: {same}");
        }
    }
    let broken = file("broken");
    std::fs::write(&broken, "{\"bomFormat\": \"CycloneDX\"}").unwrap();
    assert_eq!(user.run(&["submit", &broken]).await.code, 3);
}

#[tokio::test]
async fn a_finding_is_ignored_with_a_reason_and_until_a_day() {
    let cluster = TestCluster::shared().await;
    let user = user(&cluster, &cluster.tenant("ignores").await);
    let path = layout(&user, &Image::small());
    let feed = FeedFolder::small();
    let advisories = format!("small={}", feed.path().display());
    let rules = user.home().join("rules.toml");
    let scan = async |expires: &str, more: &[&str]| {
        let rule = |number| {
            let vulnerability = format!("vulnerability = \"CVE-2026-9000{number}\"");
            format!("[[ignore]]\n{vulnerability}\nreason = \"no route\"\nexpires = {expires}\n")
        };
        std::fs::write(&rules, [1, 2, 3].map(rule).concat()).unwrap();
        let rules = rules.display().to_string();
        let command =
            ["scan", &path, "--advisories", &advisories, "--ignore-file", &rules, "--fail-on", "critical"];
        user.run(&command.into_iter().chain(more.iter().copied()).collect::<Vec<_>>()).await
    };
    let ignored = scan("2126-01-01", &["--show-suppressed"]).await;
    assert_eq!(ignored.code, 0, "{ignored:?}");
    assert!(ignored.out.contains("no route (until 2126-01-01)"), "{ignored:?}");
    let json = scan("2126-01-01", &["-o", "json"]).await.json();
    let ignored = ["CVE-2026-90001", "CVE-2026-90002", "CVE-2026-90003"];
    assert_eq!(texts(&json["suppressed"], "vulnerability"), ignored);
    assert_eq!(json["findings"], serde_json::json!([]));
    let over = scan("2026-01-01", &[]).await;
    assert_eq!(over.code, 1, "{over:?}");
    assert!(over.err.contains("ended on 2026-01-01"), "{over:?}");
    assert_eq!(scan("'soon'", &[]).await.code, 2);
}

#[tokio::test]
async fn vex_suppresses_a_finding_and_each_statement_is_answered() {
    let cluster = TestCluster::shared().await;
    let user = user(&cluster, &cluster.tenant("vex").await);
    let path = layout(&user, &Image::small());
    let feed = FeedFolder::small();
    let advisories = format!("small={}", feed.path().display());
    let statement = |version: &str| {
        format!(
            r#"{{"vulnerability": {{"name": "CVE-2026-90001"}}, "status": "not_affected",
            "products": [{{"@id": "pkg:npm/starling-npm@{version}"}}], "justification": "vulnerable_code_not_present"}}"#
        )
    };
    let statements = [statement("1.0.0"), statement("1.0.1")].join(", ");
    let file = user.home().join("app.openvex.json").display().to_string();
    let document = format!(
        r#"{{"@context": "https://openvex.dev/ns/v0.2.0", "@id": "d", "author": "acme", "version": 1,
        "timestamp": "2024-01-02T00:00:00Z", "statements": [{statements}]}}"#
    );
    std::fs::write(&file, document).unwrap();

    let scan = ["scan", &path, "--advisories", &advisories, "-o", "json"];
    let plain = user.run(&scan).await.json();
    let said = user.run(&[&scan[..], &["--vex", &file]].concat()).await.json();
    let all = texts(&plain["findings"], "vulnerability").len();
    assert_eq!(texts(&said["findings"], "vulnerability").len(), all - 1, "{said}");
    assert_eq!(texts(&said["suppressed"], "vulnerability"), ["CVE-2026-90001"]);
    assert_eq!(said["suppressed"][0]["vex"]["issuer"], "acme");
    assert_ne!(
        said["findings_digest"], plain["findings_digest"],
        "what a supplier says is part of the result"
    );
    let shown = ["scan", &path, "--advisories", &advisories, "--vex", &file, "--show-suppressed"];
    let shown = user.run(&shown).await;
    assert!(shown.out.contains("1 finding suppressed by VEX; 1 of 2 statements without effect"), "{shown:?}");

    let bill = user.home().join("app.cdx.json").display().to_string();
    let written = format!("cyclonedx={bill}");
    let write = ["scan", &path, "--advisories", &advisories, "--vex", &file, "-o", &written];
    assert_eq!(user.run(&write).await.out, "");
    let again = user.run(&[&scan[..], &["--vex", &bill]].concat()).await.json();
    assert_eq!(texts(&again["suppressed"], "vulnerability"), ["CVE-2026-90001"], "{again}");

    let test = ["vex", "test", &file, "--image", &path, "--advisories", &advisories, "-o", "json"];
    let answers = user.run(&test).await.json();
    assert_eq!(answers["statements"][0]["effects"][0]["part"], "decides", "{answers}");
    assert_eq!(
        texts(&answers["statements"][1]["complaints"], "kind")[1..],
        ["near_miss", "stale"],
        "{answers}"
    );
    let signed = user.run(&[&test[..], &["--vex-key", &format!("acme={file}")]].concat()).await;
    assert_eq!(signed.code, 3, "a document is no key: {signed:?}");
}

#[tokio::test]
async fn a_user_submits_an_image_waits_and_reads_the_findings() {
    let cluster = TestCluster::shared().await;
    cluster.with_small_feed().await;
    let tenant = cluster.tenant("user").await;
    let user = user(&cluster, &tenant);
    let image = Image::small();
    let path = layout(&user, &image);

    let name = "registry.example/small:1";
    let submitted = user.run(&["submit", &path, "--wait", "--name", name, "-o", "json"]).await;
    assert_eq!(submitted.code, 0, "{submitted:?}");
    let report = submitted.json();
    assert_eq!(texts(&report["findings"], "package"), ["starling-npm", "starling-pypi", "starling-deb"]);
    assert_eq!(report["verdict"]["coverage"], "COVERAGE_COMPLETE");

    let findings = user.run(&["findings", name]).await;
    assert_eq!(findings.code, 0, "{findings:?}");
    for word in ["starling-npm", "1.1.0", "CVE-2026-90001", "critical"] {
        assert!(findings.out.contains(word), "no {word} in {findings:?}");
    }
    let listed = user.run(&["images", "list"]).await.out;
    let short = listed.split_whitespace().find(|word| word.starts_with("sha256:")).expect("a digest");
    let shown = user.run(&["images", "get", short, "-o", "json"]).await;
    assert_eq!(shown.json()["digest"], image.digest(), "{shown:?}");
    let jobs = user.run(&["jobs", "list", "--image", &short["sha256:".len()..], "-o", "json"]).await;
    assert_eq!(texts(&jobs.json()["items"], "image_digest"), [image.digest()]);
    let gated = user.run(&["findings", name, "--fail-on", "critical"]).await;
    assert_eq!(gated.code, 1, "{gated:?}");

    let jobs = user.run(&["jobs", "list", "-o", "json"]).await;
    assert_eq!(jobs.code, 0, "{jobs:?}");
    let items = &jobs.json()["items"];
    assert_eq!(texts(items, "state"), ["JOB_STATE_DONE"]);
    let job = texts(items, "job_id")[0].to_owned();
    let timeline = user.run(&["jobs", "timeline", &job]).await;
    assert_eq!(timeline.code, 0, "{timeline:?}");
    for stage in ["queued", "dispatched", "extracting", "evaluating"] {
        assert!(timeline.out.contains(stage), "no {stage} in {timeline:?}");
    }

    let again = user.run(&["submit", name]).await;
    assert_eq!(again.code, 0, "{again:?}");
    let watched = user.run(&["jobs", "watch", again.out.trim()]).await;
    assert_eq!(watched.code, 0, "{watched:?}");
    assert!(watched.out.contains("done"), "{watched:?}");
}

#[tokio::test]
async fn exit_codes_tell_results_mistakes_and_refusals_apart() {
    let cluster = TestCluster::shared().await;
    cluster.with_small_feed().await;
    let tenant = cluster.tenant("exit-codes").await;
    let user = user(&cluster, &tenant);
    let damaged =
        Layer::new().npm("app", "starling-npm", "2.0.0").file("app/node_modules/broken/package.json", "{");
    let damaged = layout(&user, &Image::of([damaged.unlike_any_other()]));
    let unreadable = layout(&user, &Image::unreadable());
    let stranger = Cli::new(cluster.folder(), &cluster.nodes()[1].address(), "stl_nonsense");

    for (code, what, outcome) in [
        (2, "a flag that does not exist", user.run(&["submit", "--nonsense"]).await),
        (3, "an image that cannot be read", user.run(&["submit", &unreadable, "--wait"]).await),
        (3, "a file that is not there", user.run(&["submit", "./not-there.tar"]).await),
        (3, "a name that is not there", user.run(&["findings", "registry.example/none:1"]).await),
        (4, "an image read in part", user.run(&["submit", &damaged, "--wait"]).await),
        (6, "a token that is none", stranger.run(&["jobs", "list"]).await),
        (6, "what is for operators", user.run(&["cluster", "nodes"]).await),
    ] {
        assert_eq!(outcome.code, code, "{what}: {outcome:?}");
        let said = if code == 4 {
            outcome.out.contains("coverage: partial")
        } else {
            outcome.err.contains("error: ")
        };
        assert!(said, "{what}: {outcome:?}");
    }
}

#[tokio::test]
async fn who_gives_up_waiting_is_told_the_job_and_it_goes_on() {
    let cluster = TestCluster::shared().await;
    let tenant = cluster.tenant("impatient").await;
    let user = user(&cluster, &tenant);
    let path = layout(&user, &Image::tiny());
    let hold = cluster.hold(Point::WorkerAfterClaim);
    let outcome = user.run(&["submit", &path, "--wait", "--timeout", "1s"]).await;
    drop(hold);
    assert_eq!(outcome.code, 5, "{outcome:?}");
    let jobs = user.run(&["jobs", "list", "-o", "json"]).await.json();
    let job = texts(&jobs["items"], "job_id")[0].to_owned();
    assert!(outcome.err.contains(&job), "{outcome:?}");
    cluster.nodes()[0].client(&tenant).done(&job, SOON).await;
}

#[tokio::test]
async fn an_operator_sees_nodes_ring_and_where_a_thing_lives() {
    let cluster = TestCluster::shared().await;
    let tenant = cluster.tenant("located").await;
    let operator = Cli::new(cluster.folder(), &cluster.nodes()[0].address(), cluster.operator_token());
    let names: Vec<_> = cluster.nodes().iter().map(|node| node.name()).collect();

    let nodes = operator.run(&["cluster", "nodes", "-o", "json"]).await;
    assert_eq!(nodes.code, 0, "{nodes:?}");
    assert_eq!(texts(&nodes.json()["items"], "name"), names);
    assert_eq!(texts(&nodes.json()["items"], "state"), ["NODE_STATE_UP"; 3]);

    let ring = operator.run(&["cluster", "ring"]).await;
    assert_eq!(ring.code, 0, "{ring:?}");
    assert!(ring.out.contains("1024 partitions, 0 on the move, 0 without owner"), "{ring:?}");

    let image = Image::tiny();
    cluster.nodes()[0].client(&tenant).put(&image).await.unwrap();
    for key in [
        format!("image/{}/{}", tenant.id(), image.digest()),
        format!("tenant/{}", tenant.id()),
        "feed/small".to_owned(),
        "system/sweeper".to_owned(),
    ] {
        let located = operator.run(&["cluster", "locate", &key, "-o", "json"]).await;
        assert_eq!(located.code, 0, "{key}: {located:?}");
        let answer = located.json();
        assert!(names.contains(&answer["owner_name"].as_str().unwrap_or_default()), "{key}: {answer}");
        let epoch = answer["partition"]["epoch"].as_i64().unwrap_or_default();
        assert!(epoch > 0, "{key}: {answer}");
    }
}
