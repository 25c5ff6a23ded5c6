//! How far a result can be trusted is the same with a server and without one: the states, the exit code, the findings
//! byte for byte, where each was seen and who brought it.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use tests::clients::SOON;
use tests::images::{Image, Layer};
use tests::shared_data::{DATES, FEEDS};
use tests::{Cli, FeedFolder, Settings, SharedData, TestCluster, eventually_ok};

/// A cluster with feeds, a user, and the same feeds for a scan without a server.
struct Scene {
    cluster: TestCluster,
    user: Cli,
    advisories: Vec<String>,
    /// They live as long as the feeds are read.
    _folders: Vec<FeedFolder>,
}

impl Scene {
    async fn new(feeds: Vec<(&str, FeedFolder)>) -> Self {
        let cluster = TestCluster::start(Settings { nodes: 1, ..Settings::default() }).await;
        let tenant = cluster.tenant("trusting").await;
        let user = Cli::new(cluster.folder(), &cluster.nodes()[0].address(), tenant.token());
        for (name, folder) in &feeds {
            cluster.create_feed(name, folder).await;
        }
        for (name, _) in &feeds {
            cluster.feed_is_read(name).await;
        }
        let advisories =
            feeds.iter().map(|(name, folder)| format!("{name}={}", folder.path().display())).collect();
        let _folders = feeds.into_iter().map(|(_, folder)| folder).collect();
        Self { cluster, user, advisories, _folders }
    }

    /// The image's result with the server, without it, and the exit code of either.
    async fn both(&self, path: &Path) -> [(i32, Value); 2] {
        let path = path.display().to_string();
        let map = ["--exit-code-map", "states", "-o", "json"];
        let submit = [&["submit", &path, "--wait"][..], &map].concat();
        let advisories = self.advisories.iter().flat_map(|feed| ["--advisories", feed.as_str()]);
        let scan: Vec<&str> = ["scan", path.as_str()].into_iter().chain(advisories).chain(map).collect();
        let (served, alone) = (self.user.run(&submit).await, self.user.run(&scan).await);
        [(served.code, served.json()), (alone.code, alone.json())]
    }

    /// Holds the one against the other; answers the states and the exit code.
    async fn check(&self, what: &str, path: &Path) -> (Vec<String>, i32) {
        let [(served_code, served), (alone_code, alone)] = self.both(path).await;
        let verdict = &served["verdict"];
        for same in ["findings_digest", "sbom_digest"] {
            assert_eq!(verdict[same], alone[same], "{what}: {same}");
        }
        let coverage = verdict["coverage"].as_str().unwrap().trim_start_matches("COVERAGE_").to_lowercase();
        assert_eq!(json!(coverage), alone["coverage"], "{what}");
        assert_eq!(gaps_served(verdict), alone["problems"], "{what}");
        assert_eq!(served_code, alone_code, "{what}: {verdict}");
        for same in ["id", "version", "ended"] {
            assert_eq!(verdict["distro"][same], alone["distro"][same], "{what}: {same} of the distribution");
        }
        let day = alone["distro"]["end_of_life"].as_str().unwrap_or_default();
        assert_eq!(verdict["distro"]["end_of_life"].as_str().unwrap_or_default(), day, "{what}");
        let seen = seen(&alone["findings"], |origin| origin.to_owned());
        let word =
            |origin: &str| origin.trim_start_matches("ORIGIN_").to_lowercase().replace("unspecified", "");
        assert_eq!(self::seen(&served["findings"], word), seen, "{what}");
        self.check_explains(what, path, &alone["findings"]).await;
        let states = alone["coverage_states"].as_array().unwrap();
        (states.iter().map(|state| state.as_str().unwrap().to_owned()).collect(), served_code)
    }

    /// Why a vulnerability is there, and why one is not.
    async fn check_explains(&self, what: &str, path: &Path, findings: &Value) {
        let image = Image::read_layout(path).digest();
        let path = path.display().to_string();
        let found = findings[0]["vulnerability"].as_str().unwrap_or("CVE-2026-90002");
        for vulnerability in [found, "CVE-2026-90003", "CVE-1999-0000"] {
            let alone = ["explain", path.as_str(), vulnerability, "-o", "json"].into_iter();
            let advisories = self.advisories.iter().flat_map(|feed| ["--advisories", feed.as_str()]);
            let alone = self.user.run(&alone.chain(advisories).collect::<Vec<_>>()).await;
            let explain = ["images", "explain", &image, vulnerability, "-o", "json"];
            let served = self.user.run(&explain).await;
            assert_eq!(served.code, alone.code, "{what}: {served:?}");
            // Only a server hears of VEX, of which there is none here.
            let mut served = served.json();
            assert_eq!(served["vex"].take()["statements"], serde_json::json!([]), "{what}");
            assert_eq!(served, alone.json(), "{what}");
        }
    }

    fn layout(&self, name: &str, image: &Image) -> std::path::PathBuf {
        let folder = self.user.home().join(name);
        image.write_layout(&folder);
        folder
    }
}

/// The gaps of a verdict, as a scan without a server writes them.
fn gaps_served(verdict: &Value) -> Value {
    let word = |state: &Value| {
        let word = state.as_str().unwrap().trim_start_matches("COVERAGE_STATE_");
        word.to_lowercase().replace('_', "-")
    };
    let gaps = verdict["gaps"].as_array().unwrap().iter();
    gaps.map(|gap| json!({"state": word(&gap["state"]), "place": gap["place"], "what": gap["what"]}))
        .collect()
}

/// Where the component of each finding was seen, and who brought it.
fn seen(findings: &Value, word: impl Fn(&str) -> String) -> BTreeMap<(String, String), (Value, String)> {
    let text = |finding: &Value, field: &str| finding[field].as_str().unwrap_or_default().to_owned();
    let findings = findings.as_array().unwrap().iter();
    findings
        .map(|finding| {
            let key = (text(finding, "vulnerability"), text(finding, "purl"));
            (key, (finding["locations"].clone(), word(&text(finding, "origin"))))
        })
        .collect()
}

fn debian(release: &str, packages: &str) -> Layer {
    let os = format!("ID=debian\nVERSION_ID=\"{release}\"\n");
    Layer::new().file("etc/os-release", os).file("var/lib/dpkg/status", packages.to_owned())
}

const PACKAGE: &str =
    "Package: starling-deb\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.0-1\n\n";

#[tokio::test]
async fn a_server_says_the_states_of_a_scan_without_one() {
    let feed = FeedFolder::small();
    feed.put("STARLING-2026-0004", "Debian:9", "ECOSYSTEM", "starling-deb", "1.0-3");
    let scene = Scene::new(vec![("small", feed)]).await;
    let application = || Layer::new().npm("app", "starling-npm", "1.0.0").unlike_any_other();
    let stranger =
        "Package: tool\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\nVendor: Acme\n\n";
    let repository = "deb https://packages.acme.example/debian bookworm main\n";
    let cases: [(&str, Vec<Layer>, &[&str], i32); 8] = [
        ("complete", vec![debian("12", PACKAGE), application()], &[], 0),
        ("end-of-life", vec![debian("9", PACKAGE), application()], &["end-of-life"], 45),
        (
            "unknown",
            vec![Layer::new().file("etc/os-release", "ID=plan9\nVERSION_ID=4\n"), application()],
            &["unknown-distro"],
            41,
        ),
        (
            "third-party",
            vec![
                debian("12", &format!("{PACKAGE}{stranger}")).file("etc/apt/sources.list", repository),
                application(),
            ],
            &["third-party"],
            43,
        ),
        ("no release", vec![debian("13", PACKAGE), application()], &["missing-feed"], 42),
        ("no feed", vec![debian("12", PACKAGE), gem(application())], &["missing-feed"], 42),
        (
            "damaged",
            vec![debian("12", PACKAGE), application().file("app/node_modules/broken/package.json", "{")],
            &["partial-scan"],
            44,
        ),
        (
            "incomparable",
            vec![debian("12", PACKAGE), application().npm("lib", "starling-npm", "not.a.version")],
            &["partial-scan"],
            44,
        ),
    ];
    for (what, layers, states, code) in cases {
        let path = scene.layout(what, &Image::of(layers));
        let (found, exit) = scene.check(what, &path).await;
        assert_eq!(
            (found.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), exit),
            (states, code),
            "{what}"
        );
    }

    // A feed that comes makes another verdict of an image that is not to be trusted for another reason still.
    let two = scene.layout("two", &Image::of([debian("13", PACKAGE), gem(application())]));
    assert_eq!(scene.check("two", &two).await, (vec!["missing-feed".to_owned()], 42));
    let gems = FeedFolder::empty();
    gems.put("STARLING-2026-0009", "RubyGems", "ECOSYSTEM", "another-gem", "1.1.0");
    scene.cluster.create_feed("gems", &gems).await;
    let image = Image::read_layout(&two).digest();
    let verdict = eventually_ok(SOON, "the image has another verdict", || async {
        let found = scene.user.run(&["findings", &image, "-o", "json"]).await.json();
        if found["verdict"]["version"] == 2 { Ok(found["verdict"].clone()) } else { Err(found) }
    });
    let verdict = verdict.await;
    assert_eq!(verdict["cause"]["kinds"], json!(["coverage"]), "{verdict}");
    let places: Vec<_> =
        verdict["gaps"].as_array().unwrap().iter().map(|gap| gap["place"].as_str().unwrap()).collect();
    assert_eq!(places, ["Debian:13"]);
    let former = scene.user.run(&["findings", &image, "--verdict", "1", "-o", "json"]).await.json();
    assert_eq!(former["verdict"]["gaps"].as_array().unwrap().len(), 2, "{former}");
}

/// The layer with a gem.
fn gem(layer: Layer) -> Layer {
    let specification =
        "Gem::Specification.new do |s|\n  s.name = \"rake\".freeze\n  s.version = \"13.0.6\"\nend\n";
    layer.file("usr/lib/ruby/gems/3.1.0/specifications/rake-13.0.6.gemspec", specification)
}

#[tokio::test]
async fn real_images_are_trusted_as_far_with_a_server_as_without() {
    let Some(data) = SharedData::find() else {
        println!("skipped: there is no ../shared/data beside the repository, with images and advisories");
        return;
    };
    // Without those of Alpine and of Ruby.
    let wanted = FEEDS.into_iter().filter(|feed| !feed.starts_with("alpine"));
    let feeds = wanted.map(|feed| {
        let folder = FeedFolder::empty();
        data.fill(&folder, feed, DATES[1]);
        (feed, folder)
    });
    let scene = Scene::new(feeds.collect()).await;
    let mut told = BTreeMap::new();
    for name in
        ["alma9-micro-2022", "alpine320-node", "debian11-web", "debian12-min", "java-spark", "python-legacy"]
    {
        let layout = scene.layout(name, &data.image(name));
        let (states, _) = scene.check(name, &layout).await;
        told.insert(name, states);
    }
    let is_told = |name: &str, state: &str| told[name].iter().any(|told| told == state);
    assert!(is_told("debian11-web", "end-of-life") && is_told("java-spark", "end-of-life"), "{told:?}");
    assert!(
        is_told("alpine320-node", "end-of-life") && is_told("alpine320-node", "missing-feed"),
        "{told:?}"
    );
    assert!(!is_told("debian12-min", "end-of-life"), "{told:?}");
}
