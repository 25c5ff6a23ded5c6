//! Images that come from a registry, and root file systems in directories: the same as from a layout.

use std::fs;
use std::path::{Path, PathBuf};

use model::Digest;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::images::{Image, Layer};
use tests::{Cli, FeedFolder, Outcome, Registry, TestCluster};

const FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";

/// A user who needs no server, with advisories at hand.
struct Alone {
    _folder: TempDir,
    cli: Cli,
    feed: FeedFolder,
}

impl Alone {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cli = Cli::new(folder.path(), "http://127.0.0.1:1", "none");
        Self { _folder: folder, cli, feed: FeedFolder::small() }
    }

    fn home(&self) -> &Path {
        self.cli.home()
    }

    async fn scan(&self, image: &str, more: &[&str]) -> Outcome {
        self.scan_with(&[], image, more).await
    }

    async fn scan_with(&self, variables: &[(&str, &str)], image: &str, more: &[&str]) -> Outcome {
        let advisories = format!("small={}", self.feed.path().display());
        let scan = ["scan", image, "--advisories", &advisories, "-o", "json"];
        self.cli.run_with(variables, &[&scan, more].concat()).await
    }

    fn layout(&self, image: &Image) -> String {
        let folder = self.home().join(image.digest().replace(':', "-"));
        image.write_layout(&folder);
        folder.display().to_string()
    }

    /// What `docker login` leaves behind.
    fn sign_in(&self, registry: &Registry, auth: &str) {
        let folder = self.home().join(".docker");
        fs::create_dir_all(&folder).unwrap();
        let config = format!(r#"{{"auths": {{"{}": {{"auth": "{auth}"}}}}}}"#, registry.host());
        fs::write(folder.join("config.json"), config).unwrap();
    }
}

/// A registry that lets everybody in, or only its user; `None` where there is none to be started.
async fn start(home: &Path, asks: bool) -> Option<Registry> {
    let registry = Registry::start(home, asks).await;
    if registry.is_none() {
        println!("skipped: there is no docker-registry on PATH (scripts/install-packages registry)");
    }
    registry
}

#[track_caller]
fn check_refused(outcome: &Outcome, code: i32, words: &[&str]) {
    assert_eq!(outcome.code, code, "{outcome:?}");
    for word in words {
        assert!(outcome.err.contains(word), "no {word} in {outcome:?}");
    }
}

#[tokio::test]
async fn an_image_is_pulled_by_tag_and_digest_and_is_the_same_as_in_a_layout() {
    let user = Alone::new();
    let Some(registry) = start(user.home(), false).await else { return };
    let image = Image::small();
    registry.push("team/small", "1", &image).await;
    let name = format!("{}/team/small", registry.host());
    let layout = user.scan(&user.layout(&image), &[]).await;
    assert_eq!(layout.code, 0, "{layout:?}");

    for reference in [format!("{name}:1"), format!("{name}@{}", image.digest()), format!("registry:{name}:1")]
    {
        let pulled = user.scan(&reference, &[]).await;
        assert_eq!(pulled.code, 0, "{pulled:?}");
        let (mut pulled, mut layout) = (pulled.json(), layout.json());
        assert_eq!(pulled["image"]["digest"], image.digest());
        for report in [&mut pulled, &mut layout] {
            report["image"].take();
            report["feeds"].take(); // Their ages differ.
        }
        assert_eq!(pulled, layout, "{reference}");
    }
    let sbom = async |image: &str| user.cli.run(&["sbom", image, "-o", "json"]).await.out;
    assert_eq!(sbom(&format!("{name}:1")).await, sbom(&user.layout(&image)).await);

    let nothing = user.scan(&format!("{name}:2"), &[]).await;
    check_refused(
        &nothing,
        3,
        &[&format!("{name}:2: "), "answered 404", "MANIFEST_UNKNOWN", "next: check repository"],
    );
    let other = format!("{name}@{}", Image::tiny().digest());
    check_refused(&user.scan(&other, &[]).await, 3, &[&other, "answered 404"]);
    check_refused(&user.scan(&format!("{name}:1"), &["--ref", "x"]).await, 3, &["leave out --ref"]);

    registry.damage(&image.layers[1].digest);
    let damaged = user.scan(&format!("{name}:1"), &[]).await;
    check_refused(&damaged, 3, &[&image.layers[1].digest, "but its digest is sha256:"]);
}

#[tokio::test]
async fn of_several_platforms_the_wanted_one_is_pulled() {
    let user = Alone::new();
    let Some(registry) = start(user.home(), false).await else { return };
    let (amd, arm) = (Image::tiny(), Image::tiny());
    registry.push_index("app", "1", &[("amd64", &amd), ("arm64", &arm)]).await;
    let name = format!("{}/app:1", registry.host());
    for (image, platform) in [(&amd, "linux/amd64"), (&arm, "linux/arm64")] {
        let pulled = user.scan(&name, &["--platform", platform]).await;
        assert_eq!(pulled.json()["image"]["digest"], image.digest(), "{platform}");
    }
    let none = user.scan(&name, &["--platform", "linux/s390x"]).await;
    check_refused(&none, 3, &[&name, "no image for linux/s390x", "linux/amd64, linux/arm64", "--platform"]);
}

#[tokio::test]
async fn all_platforms_are_scanned_one_after_the_other() {
    let user = Alone::new();
    let Some(registry) = start(user.home(), false).await else { return };
    let (amd, arm) = (Image::small(), Image::tiny());
    registry.push_index("app", "1", &[("amd64", &amd), ("arm64", &arm)]).await;
    let name = format!("{}/app:1", registry.host());

    let all = user.scan(&name, &["--platform", "all"]).await;
    assert_eq!(all.code, 4, "one of them is built on nothing that is known: {all:?}");
    let (all, told) = (all.json(), |platform: &str, image: &Image| (platform.to_owned(), image.digest()));
    let images: Vec<_> = all.as_array().unwrap().iter().map(|report| &report["image"]).collect();
    let images: Vec<_> = images
        .iter()
        .map(|image| {
            (image["platform"].as_str().unwrap().to_owned(), image["digest"].as_str().unwrap().to_owned())
        })
        .collect();
    assert_eq!(images, [told("linux/amd64", &amd), told("linux/arm64", &arm)]);
    let alone = user.scan(&name, &[]).await;
    assert_eq!(alone.code, 0, "{alone:?}");
    assert_eq!(alone.json()["findings"], all[0]["findings"]);

    let gated = user.scan(&name, &["--platform", "all", "--fail-on", "critical"]).await;
    assert_eq!(gated.code, 1, "a finding of one is a finding: {gated:?}");
    let advisories = format!("small={}", user.feed.path().display());
    let scan = ["scan", &name, "--platform", "all", "--advisories", &advisories];
    let tables = user.cli.run(&scan).await;
    for line in [format!("linux/amd64  {}\n", amd.digest()), format!("\nlinux/arm64  {}\n", arm.digest())] {
        assert!(tables.out.contains(&line), "no {line} in {tables:?}");
    }
    let one = user.cli.run(&[&scan[..], &["-o", "cyclonedx=one.json"]].concat()).await;
    check_refused(&one, 2, &["--platform all has several", "{platform}"]);
    let each = [&scan[..], &["-o", "gitlab=g-{platform}.json", "-o", "spdx=s-{platform}"]].concat();
    assert_eq!(user.cli.run(&each).await.code, 4);
    for file in ["g-linux-amd64.json", "g-linux-arm64.json", "s-linux-amd64", "s-linux-arm64"] {
        assert!(user.home().join(file).is_file(), "{file}");
    }

    let sboms = user.cli.run(&["sbom", &name, "--platform", "all", "-o", "json"]).await.json();
    let alone = user.cli.run(&["sbom", &name, "-o", "json"]).await;
    assert_eq!(sboms[0]["sbom"], alone.json());
    assert_eq!(sboms[0]["sbom_digest"], model::Digest::of(alone.out.as_bytes()).as_str());
    assert_eq!(sboms[1]["digest"], arm.digest());
    let explain = ["explain", &name, "CVE-1", "--platform", "all", "--advisories", &advisories];
    check_refused(&user.cli.run(&explain).await, 2, &["name a platform"]);
}

#[tokio::test]
async fn what_a_registry_has_that_cannot_be_scanned_is_called_what_it_is() {
    let user = Alone::new();
    let Some(registry) = start(user.home(), false).await else { return };
    let image = Image::tiny();
    let described = |media_type: &str, bytes: &[u8]| json!({ "mediaType": media_type, "digest": Digest::of(bytes).as_str(), "size": bytes.len() });
    let chart = json!({
        "schemaVersion": 2,
        "config": described("application/vnd.cncf.helm.config.v1+json", b"{}"),
        "layers": [described("application/vnd.cncf.helm.chart.content.v1.tar+gzip", b"chart")],
    });
    let blobs: [&[u8]; 2] = [b"{}", b"chart"];
    registry.push_manifest("chart", "1", "application/vnd.oci.image.manifest.v1+json", &chart, &blobs).await;
    let scan = async |name: &str| user.scan(&format!("{}/{name}:1", registry.host()), &[]).await;
    check_refused(&scan("chart").await, 3, &["/chart:1: it is a Helm chart", "next: name a container image"]);

    let mut manifest: Value = serde_json::from_slice(&image.manifest).unwrap();
    manifest["mediaType"] = "application/vnd.docker.distribution.manifest.v2+json".into();
    manifest["config"]["mediaType"] = "application/vnd.docker.container.image.v1+json".into();
    manifest["layers"][0]["mediaType"] = FOREIGN.into();
    manifest["layers"][0]["urls"] = json!(["https://elsewhere.example/layer"]);
    let kind = "application/vnd.docker.distribution.manifest.v2+json";
    let (config, layer) = (image.config.as_slice(), image.layers[0].bytes.as_slice());
    registry.push_manifest("foreign", "1", kind, &manifest, &[config]).await;
    let digest = &image.layers[0].digest;
    let words = [digest.as_str(), "is not there", "--allow-nondistributable-artifacts"];
    check_refused(&scan("foreign").await, 3, &words);
    registry.push_manifest("foreign", "1", kind, &manifest, &[config, layer]).await;
    let there = scan("foreign").await.json();
    assert_eq!(there["findings"][0]["package"], "starling-npm", "{there}");
}

#[tokio::test]
async fn what_podman_login_left_is_used_for_its_namespace() {
    let user = Alone::new();
    let Some(registry) = start(user.home(), true).await else { return };
    let image = Image::tiny();
    registry.push("team/app", "1", &image).await;
    let name = format!("{}/team/app:1", registry.host());
    let file = user.home().join("auth.json");
    let auths = |auth: Value| fs::write(&file, json!({ "auths": auth }).to_string()).unwrap();
    let named = [("REGISTRY_AUTH_FILE", file.to_str().unwrap())];

    auths(json!({ format!("{}/teams", registry.host()): { "auth": Registry::ANNA } }));
    check_refused(&user.scan_with(&named, &name, &[]).await, 6, &["answered 401", "docker login"]);
    auths(json!({
        format!("{}/team", registry.host()): { "auth": Registry::ANNA },
        registry.host(): { "auth": "YW5uYTp3cm9uZw==" }, // anna:wrong
    }));
    let pulled = user.scan_with(&named, &name, &[]).await;
    assert_eq!(pulled.json()["image"]["digest"], image.digest());
}

#[tokio::test]
async fn a_registry_that_asks_for_a_password_gets_the_users_own() {
    let user = Alone::new();
    let Some(registry) = start(user.home(), true).await else { return };
    let image = Image::tiny();
    registry.push("app", "1", &image).await;
    let name = format!("{}/app:1", registry.host());

    check_refused(&user.scan(&name, &[]).await, 6, &[&name, "answered 401", "docker login"]);
    user.sign_in(&registry, "YW5uYTp3cm9uZw=="); // anna:wrong
    let wrong = user.scan(&name, &[]).await;
    check_refused(&wrong, 6, &["answered 401", "check user and password"]);
    assert!(!wrong.err.contains("wrong"), "no password is shown: {wrong:?}");
    user.sign_in(&registry, Registry::ANNA);
    let pulled = user.scan(&name, &[]).await;
    assert_eq!(pulled.json()["image"]["digest"], image.digest());

    fs::remove_dir_all(user.home().join(".docker")).unwrap();
    let as_anna = ["--registry-user", "anna"];
    check_refused(&user.scan(&name, &as_anna).await, 3, &["STARLING_REGISTRY_PASSWORD"]);
    let given = user.scan_with(&[("STARLING_REGISTRY_PASSWORD", "secret")], &name, &as_anna).await;
    assert_eq!(given.json()["image"]["digest"], image.digest());
}

#[tokio::test]
async fn a_mirror_is_asked_first_and_the_registry_after_it() {
    let user = Alone::new();
    let Some(registry) = start(user.home(), false).await else { return };
    let Some(mirror) = start(user.home(), false).await else { return };
    let (at_mirror, at_registry) = (Image::tiny(), Image::tiny());
    mirror.push("hub/app", "1", &at_mirror).await;
    registry.push("app", "2", &at_registry).await;
    let mirrored = format!("{}={}/hub", registry.host(), mirror.host());
    for (tag, image) in [("1", &at_mirror), ("2", &at_registry)] {
        let name = format!("{}/app:{tag}", registry.host());
        let pulled = user.scan(&name, &["--registry-mirror", &mirrored]).await;
        assert_eq!(pulled.json()["image"]["digest"], image.digest(), "{tag}");
    }
}

#[tokio::test]
async fn an_image_is_submitted_from_a_registry() {
    let cluster = TestCluster::shared().await;
    cluster.with_small_feed().await;
    let Some(registry) = start(cluster.folder(), false).await else { return };
    let tenant = cluster.tenant("puller").await;
    let user = Cli::new(cluster.folder(), &cluster.nodes()[0].address(), tenant.token());
    let (first, second) = (Image::small(), Image::small());
    registry.push("team/app", "1", &first).await;
    let name = format!("{}/team/app:1", registry.host());

    let submit = async |image: &str| user.run(&["submit", image, "--wait", "-o", "json"]).await;
    let pulled = submit(&name).await;
    assert_eq!(pulled.code, 0, "{pulled:?}");
    assert_eq!(pulled.json()["verdict"]["image_digest"], first.digest());
    registry.push("team/app", "1", &second).await;
    let known = submit(&name).await;
    assert_eq!(
        known.json()["verdict"]["image_digest"],
        first.digest(),
        "a name is first of all the server's"
    );
    let anew = submit(&format!("registry:{name}")).await;
    assert_eq!(anew.json()["verdict"]["image_digest"], second.digest());
    check_refused(&submit(&format!("{}/team/none:1", registry.host())).await, 3, &["answered 404"]);
}

#[tokio::test]
async fn all_platforms_are_submitted_by_a_job_each() {
    let cluster = TestCluster::shared().await;
    cluster.with_small_feed().await;
    let Some(registry) = start(cluster.folder(), false).await else { return };
    let tenant = cluster.tenant("every").await;
    let user = Cli::new(cluster.folder(), &cluster.nodes()[1].address(), tenant.token());
    let (arm, amd) = (Image::small(), Image::small());
    registry.push_index("every", "1", &[("arm64", &arm), ("amd64", &amd)]).await;
    let name = format!("{}/every:1", registry.host());

    let id = uuid::Uuid::now_v7().to_string();
    let submit = ["submit", &name, "--platform", "all", "--request-id", &id];
    let jobs = user.run(&submit).await;
    assert_eq!((jobs.code, jobs.out.lines().count()), (0, 2), "{jobs:?}");
    assert!(jobs.err.contains("linux/arm64: follow it"), "{jobs:?}");
    assert_eq!(user.run(&submit).await.out, jobs.out, "the same request is the same jobs");

    let waited = user.run(&[&submit[..], &["--wait", "-o", "json", "-o", "sarif=all.sarif"]].concat()).await;
    assert_eq!(waited.code, 0, "{waited:?}");
    let told: Vec<_> = waited
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["platform"].clone(), one["verdict"]["image_digest"].clone()))
        .collect();
    let expected = [("linux/arm64", arm.digest()), ("linux/amd64", amd.digest())];
    assert_eq!(told, expected.map(|(platform, digest)| (json!(platform), json!(digest))));
    let sarif: Value = serde_json::from_slice(&fs::read(user.home().join("all.sarif")).unwrap()).unwrap();
    assert_eq!(sarif["runs"].as_array().unwrap().len(), 2);
    let named = user.run(&["submit", &name, "--wait", "-o", "json"]).await.json();
    assert_eq!(named["verdict"]["image_digest"], amd.digest(), "the name is that of the usual platform");
}

/// Unpacks an image as a runtime would, layer over layer.
fn unpack(image: &Image, folder: PathBuf) -> PathBuf {
    for layer in &image.layers {
        let plain = flate2::read::GzDecoder::new(layer.bytes.as_slice());
        tar::Archive::new(plain).unpack(&folder).unwrap();
    }
    folder
}

#[tokio::test]
async fn a_root_file_system_has_the_findings_of_its_image() {
    let user = Alone::new();
    let image = Image::of([
        Layer::new().debian_12(&[("starling-deb", "1.0-1")]),
        Layer::new().npm("app", "starling-npm", "1.0.0"),
    ]);
    let root = unpack(&image, user.home().join("root")).display().to_string();
    let layout = user.scan(&user.layout(&image), &[]).await.json();
    for named in [root.clone(), format!("rootfs:{root}")] {
        let scanned = user.scan(&named, &[]).await;
        assert_eq!(scanned.code, 0, "{scanned:?}");
        let scanned = scanned.json();
        assert_eq!(scanned["findings_digest"], layout["findings_digest"]);
        assert_eq!(scanned["image"]["name"], named);
    }

    let cluster = TestCluster::shared().await;
    cluster.with_small_feed().await;
    let tenant = cluster.tenant("rooted").await;
    let submitter = Cli::new(cluster.folder(), &cluster.nodes()[2].address(), tenant.token());
    let submitted = submitter.run(&["submit", &format!("rootfs:{root}"), "--wait", "-o", "json"]).await;
    assert_eq!(submitted.code, 0, "{submitted:?}");
    let (submitted, scanned) = (submitted.json(), user.scan(&root, &[]).await.json());
    for digest in ["findings_digest", "sbom_digest"] {
        assert_eq!(submitted["verdict"][digest], scanned[digest], "{digest}");
    }
    assert_eq!(submitted["verdict"]["image_digest"], scanned["image"]["digest"]);
}
