//! What suppliers and a tenant's own people say, through the API: attached, heard, explained, taken back, proved by keys,
//! and never another tenant's.

use std::path::PathBuf;

use proto_api::common::v1::ErrorReason;
use proto_api::vex::v1::attach_document_request::Part;
use proto_api::vex::v1::{
    AttachDocumentRequest, AttachDocumentResponse, DocumentHeader, ListDocumentsRequest,
};
use rcgen::{KeyPair, PKCS_ED25519, SigningKey as _};
use serde_json::{Value, json};
use tests::clients::{Clients, SOON, request_id};
use tests::images::{Image, Layer};
use tests::{Cli, FeedFolder, Tenant, TestCluster, eventually_ok, refusals};
use tonic::{Code, Response, Status};

fn user(cluster: &TestCluster, tenant: &Tenant) -> Cli {
    Cli::new(cluster.folder(), &cluster.nodes()[1].address(), tenant.token())
}

fn operator(cluster: &TestCluster) -> Cli {
    Cli::new(cluster.folder(), &cluster.nodes()[2].address(), cluster.operator_token())
}

/// An OpenVEX document with a statement for each vulnerability, product and status.
fn openvex(id: &str, author: &str, said: &[(&str, &str, &str)]) -> Value {
    let statement = |(vulnerability, product, status): &(&str, &str, &str)| {
        let mut statement = json!({
            "vulnerability": { "name": vulnerability },
            "products": [{ "@id": product }],
            "status": status,
        });
        match *status {
            "not_affected" => statement["justification"] = "vulnerable_code_not_present".into(),
            "affected" => statement["action_statement"] = "update".into(),
            _ => {}
        }
        statement
    };
    json!({
        "@context": "https://openvex.dev/ns/v0.2.0",
        "@id": id,
        "author": author,
        "version": 1,
        "timestamp": "2026-01-02T00:00:00Z",
        "statements": said.iter().map(statement).collect::<Vec<_>>(),
    })
}

/// Writes a file where the user finds it.
fn file(user: &Cli, name: &str, bytes: &[u8]) -> String {
    let path: PathBuf = user.home().join(name);
    std::fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

/// Puts the image and has it scanned.
async fn scanned(cluster: &TestCluster, tenant: &Tenant, image: &Image) {
    let mut client = cluster.nodes()[0].client(tenant);
    let job = client.put_and_submit(image).await;
    client.done(&job, SOON).await;
}

/// The image's result, whatever it is worth.
async fn result(user: &Cli, image: &str) -> Value {
    user.run(&["findings", image, "-o", "json"]).await.json()
}

/// Waits until the latest verdict has this version; answers the result.
async fn version(user: &Cli, image: &str, version: u64) -> Value {
    eventually_ok(SOON, &format!("verdict {version} of {image}"), || async {
        let found = result(user, image).await;
        if found["verdict"]["version"] == version { Ok(found) } else { Err(found["verdict"].to_string()) }
    })
    .await
}

fn texts(items: &Value, field: &str) -> Vec<String> {
    let items = items.as_array().unwrap_or_else(|| panic!("no list: {items}"));
    items.iter().map(|item| item[field].as_str().unwrap_or_default().to_owned()).collect()
}

/// Runs a command that must go well; its data.
async fn well(user: &Cli, arguments: &[&str]) -> String {
    let outcome = user.run(arguments).await;
    assert_eq!(outcome.code, 0, "{arguments:?}: {outcome:?}");
    outcome.out.trim().to_owned()
}

async fn json(user: &Cli, arguments: &[&str]) -> Value {
    let whole: Vec<&str> = arguments.iter().copied().chain(["-o", "json"]).collect();
    serde_json::from_str(&well(user, &whole).await).unwrap()
}

/// What is listed of a tenant's own documents. Operators may attach some for everybody meanwhile.
async fn own(user: &Cli, more: &[&str]) -> Value {
    let mut listed = json(user, &[&["vex", "list"], more].concat()).await["items"].take();
    listed.as_array_mut().expect("a list").retain(|document| document["shared"] != true);
    listed
}

#[tokio::test]
async fn an_attached_document_suppresses_until_it_is_taken_back() {
    let cluster = TestCluster::shared().await;
    cluster.with_small_feed().await;
    let (tenant, other) = (cluster.tenant("vex").await, cluster.tenant("vex-other").await);
    let (user, stranger) = (user(&cluster, &tenant), self::user(&cluster, &other));
    let image = Image::small();
    let digest = image.digest();
    scanned(&cluster, &tenant, &image).await;
    scanned(&cluster, &other, &image).await;
    let before = result(&user, &digest).await;
    assert_eq!((&before["counts"]["findings"], &before["counts"]["suppressed"]), (&json!(3), &json!(0)));

    let document = openvex(
        "https://vex.example/app-1",
        "app-team",
        &[
            ("CVE-2026-90001", "pkg:npm/starling-npm@1.0.0", "not_affected"),
            ("CVE-2026-90002", "pkg:pypi/starling-pypi@1.1", "fixed"),
        ],
    );
    let path = file(&user, "app.openvex.json", document.to_string().as_bytes());
    let attach = ["vex", "attach", &path, "--image", &digest, "--reason", "reviewed, SEC-7"];
    let id = well(&user, &attach).await;
    let after = version(&user, &digest, 2).await;
    assert_eq!((&after["counts"]["findings"], &after["counts"]["suppressed"]), (&json!(2), &json!(1)));
    assert_eq!((&after["verdict"]["findings"], &after["verdict"]["suppressed"]), (&json!(2), &json!(1)));
    assert_eq!(texts(&after["verdict"]["changes"], "kind"), ["suppressed"]);
    assert_eq!(texts(&after["suppressed"], "vulnerability"), ["CVE-2026-90001"]);
    let word = &after["suppressed"][0]["vex"];
    assert_eq!((&word["status"], &word["issuer"]), (&json!("not_affected"), &json!("app-team")));
    assert!(!texts(&after["findings"], "vulnerability").contains(&"CVE-2026-90001".to_owned()));

    // People see it counted apart, and each with its reason when they ask; a report for other tools has it always.
    let plain = user.run(&["findings", &digest]).await.out;
    assert!(plain.contains("1 finding suppressed by VEX") && !plain.contains("CVE-2026-90001"), "{plain}");
    let all = user.run(&["findings", &digest, "--show-suppressed"]).await.out;
    assert!(all.contains("CVE-2026-90001 starling-npm 1.0.0: not_affected"), "{all}");
    let sarif = user.run(&["findings", &digest, "-o", "sarif"]).await.json();
    let suppressed = sarif["runs"][0]["results"].as_array().unwrap().iter();
    let suppressed: Vec<_> = suppressed.filter(|result| result.get("suppressions").is_some()).collect();
    assert_eq!(suppressed.len(), 1, "{sarif}");

    // Each statement is answered; what has no effect says by how little.
    let said = json(&user, &["vex", "explain", &digest]).await;
    assert_eq!((&said["heard"], &said["effective"], &said["suppressed"]), (&json!(2), &json!(1), &json!(1)));
    let idle = json(&user, &["vex", "explain", &digest, "--without-effect"]).await;
    let complaints = &idle["statements"][0]["complaints"];
    assert!(texts(complaints, "kind").contains(&"near_miss".to_owned()), "{idle}");
    let people = well(&user, &["vex", "explain", &digest]).await;
    for words in
        ["decides: CVE-2026-90001 of pkg:npm/starling-npm@1.0.0", "near_miss: ", "1 suppressed, 0 held"]
    {
        assert!(people.contains(words), "no {words} in {people}");
    }

    // Who asks about one vulnerability hears what is said of that one: by the latest result, and as of an older one.
    let about = async |name: &str, more: &[&str]| {
        json(&user, &[&["images", "explain", &digest, name], more].concat()).await["vex"]["statements"]
            .clone()
    };
    let said = about("cve-2026-90001", &[]).await;
    assert_eq!((said.as_array().map(Vec::len), &said[0]["source"]["document_id"]), (Some(1), &json!(id)));
    assert_eq!(
        (&said[0]["status"], &said[0]["effects"][0]["part"]),
        (&json!("not_affected"), &json!("decides"))
    );
    let near = about("CVE-2026-90002", &[]).await;
    assert!(texts(&near[0]["complaints"], "kind").contains(&"near_miss".to_owned()), "{near}");
    assert_eq!(about("CVE-2026-90001", &["--verdict", "1"]).await, json!([]), "nothing was said then");
    let people = well(&user, &["images", "explain", &digest, "CVE-2026-90001"]).await;
    assert!(people.contains("VEX says, as of snapshot ") && people.contains("    decides: "), "{people}");

    // It is listed and shown, and comes back as it went.
    let listed = json(&user, &["vex", "list", "--image", &digest]).await;
    assert_eq!(texts(&listed["items"], "document_id"), std::slice::from_ref(&id));
    assert_eq!(listed["items"][0]["reason"], "reviewed, SEC-7");
    assert_eq!(well(&user, &["vex", "show", &id, "--content"]).await, document.to_string());
    let twice = user.run(&attach).await;
    assert!(twice.code == 3 && twice.err.contains("VEX_EXISTS"), "{twice:?}");

    // Another tenant with the same image sees nothing of all that, and its findings stay.
    assert_eq!(own(&stranger, &[]).await, json!([]));
    for command in [["vex", "show", &id], ["vex", "detach", &id]] {
        let refused = stranger.run(&command).await;
        assert!(refused.code == 3 && refused.err.contains("VEX_NOT_FOUND"), "{refused:?}");
    }
    assert_eq!(json(&stranger, &["vex", "explain", &digest]).await["heard"], 0);

    well(&user, &["vex", "detach", &id, "--reason", "withdrawn"]).await;
    let back = version(&user, &digest, 3).await;
    assert_eq!((&back["counts"]["findings"], &back["counts"]["suppressed"]), (&json!(3), &json!(0)));
    assert_eq!(texts(&back["verdict"]["changes"], "kind"), ["unsuppressed"]);
    assert_eq!(own(&user, &[]).await, json!([]));
    assert_eq!(own(&user, &["--all"]).await[0]["detachment"]["reason"], "withdrawn");
    let again = user.run(&["vex", "detach", &id]).await;
    assert!(again.code == 3 && again.err.contains("VEX_NOT_FOUND"), "{again:?}");

    // What was suppressed then is shown so for ever.
    let then = user.run(&["findings", &digest, "--verdict", "2", "-o", "json"]).await.json();
    assert_eq!(texts(&then["suppressed"], "vulnerability"), ["CVE-2026-90001"]);
    let diff = well(&user, &["image", "diff", &digest, "--from", "1", "--to", "2"]).await;
    assert!(diff.contains("suppressed") && diff.contains("– → not_affected by app-team"), "{diff}");
    let unmoved = result(&stranger, &digest).await;
    assert_eq!((&unmoved["verdict"]["version"], &unmoved["counts"]["findings"]), (&json!(1), &json!(3)));
}

#[tokio::test]
async fn a_gate_counts_no_finding_that_its_supplier_suppresses() {
    let cluster = TestCluster::shared().await;
    cluster.with_small_feed().await;
    let tenant = cluster.tenant("vex-gate").await;
    let user = user(&cluster, &tenant);
    let image = Image::tiny();
    scanned(&cluster, &tenant, &image).await;
    let gate = ["findings", &image.digest(), "--fail-on", "low"];
    assert_eq!(user.run(&gate).await.code, 1);
    let said = [("CVE-2026-90001", "pkg:npm/starling-npm", "fixed")];
    let path = file(&user, "a.json", openvex("urn:a", "us", &said).to_string().as_bytes());
    well(&user, &["vex", "attach", &path]).await;
    version(&user, &image.digest(), 2).await;
    assert_ne!(user.run(&gate).await.code, 1);
}

#[tokio::test]
async fn an_issuer_is_proved_by_its_key_until_that_is_revoked() {
    let cluster = TestCluster::shared().await;
    cluster.with_small_feed().await;
    let tenant = cluster.tenant("vex-issuer").await;
    let user = user(&cluster, &tenant);
    let image = Image::tiny();
    let digest = image.digest();
    scanned(&cluster, &tenant, &image).await;

    let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let key = file(&user, "acme.pem", pair.public_key_pem().as_bytes());
    let create = ["issuers", "create", "acme", "--author", "Acme PSIRT", "--tier", "tier-1", "--key", &key];
    let key_id = well(&user, &create).await;
    let shown = json(&user, &["issuers", "show", "acme"]).await;
    assert_eq!((&shown["tier"], &shown["keys"][0]["key_id"]), (&json!("TIER_SUPPLIER"), &json!(key_id)));
    well(&user, &["issuers", "policy", "--accept-unsigned", "false", "--reason", "signed only"]).await;

    // Who signs is not heard by what anybody can write in his name.
    let said = [("CVE-2026-90001", "pkg:npm/starling-npm@1.0.0", "not_affected")];
    let document = openvex("urn:acme:1", "Acme PSIRT", &said).to_string();
    let unsigned = file(&user, "unsigned.json", document.as_bytes());
    let first = well(&user, &["vex", "attach", &unsigned]).await;
    let idle = json(&user, &["vex", "explain", &digest]).await;
    assert_eq!((&idle["heard"], &idle["effective"]), (&json!(1), &json!(0)), "{idle}");
    assert!(texts(&idle["statements"][0]["complaints"], "kind").contains(&"unsigned".to_owned()), "{idle}");
    well(&user, &["vex", "detach", &first]).await;

    let signed = file(&user, "signed.json", document.as_bytes());
    file(&user, "signed.json.sig", &pair.sign(document.as_bytes()).unwrap());
    well(&user, &["vex", "attach", &signed]).await;
    let quiet = version(&user, &digest, 2).await;
    assert_eq!((&quiet["counts"]["findings"], &quiet["counts"]["suppressed"]), (&json!(0), &json!(1)));
    assert_eq!(quiet["suppressed"][0]["vex"]["issuer"], "acme");
    let heard = json(&user, &["vex", "explain", &digest]).await;
    assert_eq!(texts(&heard["statements"][0]["effects"], "part"), ["decides"]);
    assert!(
        !texts(&heard["statements"][0]["complaints"], "kind").contains(&"unsigned".to_owned()),
        "{heard}"
    );

    // A key that was in other hands when the document came proves nothing.
    let revoke = ["issuers", "revoke-key", "acme", &key_id, "--since", "2026-01-01", "--reason", "stolen"];
    well(&user, &revoke).await;
    let loud = version(&user, &digest, 3).await;
    assert_eq!((&loud["counts"]["findings"], &loud["counts"]["suppressed"]), (&json!(1), &json!(0)));
    assert_eq!(texts(&loud["verdict"]["changes"], "kind"), ["unsuppressed"]);

    let audit = json(&user, &["issuers", "audit"]).await;
    let own: Vec<_> =
        audit["items"].as_array().unwrap().iter().filter(|item| item["shared"] == false).collect();
    let kinds: Vec<_> = own.iter().map(|item| item["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["key_revoked", "policy", "key_added", "created"]);
    assert_eq!((&own[0]["actor"], &own[0]["reason"]), (&json!("test"), &json!("stolen")));
    assert_eq!(texts(&json(&user, &["issuers", "audit", "acme"]).await["items"], "kind").len(), 3);
    let again = user.run(&["issuers", "add-key", "acme", &key]).await;
    assert!(again.code == 3 && again.err.contains("KEY_INVALID"), "{again:?}");
    let other = self::user(&cluster, &cluster.tenant("vex-elsewhere").await);
    let none = other.run(&["issuers", "show", "acme"]).await;
    assert!(none.code == 3 && none.err.contains("ISSUER_NOT_FOUND"), "{none:?}");
    assert!(!well(&other, &["issuers", "audit"]).await.contains("acme"));
}

#[tokio::test]
async fn what_operators_attach_counts_for_all_tenants_and_each_trusts_it_as_it_likes() {
    let cluster = TestCluster::shared().await;
    let (one, two) = (cluster.tenant("vex-one").await, cluster.tenant("vex-two").await);
    let (first, second, ops) = (user(&cluster, &one), user(&cluster, &two), operator(&cluster));
    let folder = FeedFolder::empty();
    folder.put("STARLING-2026-0801", "npm", "SEMVER", "starling-everybodys", "2.0.0");
    cluster.create_feed("vex-everybodys", &folder).await;
    cluster.feed_is_read("vex-everybodys").await;
    let image = Image::of([Layer::new().npm("app", "starling-everybodys", "1.0.0").unlike_any_other()]);
    let digest = image.digest();
    scanned(&cluster, &one, &image).await;
    scanned(&cluster, &two, &image).await;

    let supplier = format!("supplier-{}", &request_id()[24..]);
    well(&ops, &["issuers", "create", &supplier, "--tier", "tier-1"]).await;
    let said = [("CVE-2026-90801", "pkg:npm/starling-everybodys@1.0.0", "not_affected")];
    let document = openvex("urn:everybodys", &supplier, &said).to_string();
    let path = file(&ops, "all.json", document.as_bytes());
    let id = well(&ops, &["vex", "attach", &path]).await;
    for tenant in [&first, &second] {
        let quiet = version(tenant, &digest, 2).await;
        assert_eq!((&quiet["counts"]["findings"], &quiet["counts"]["suppressed"]), (&json!(0), &json!(1)));
        let shown = json(tenant, &["vex", "show", &id]).await;
        assert_eq!(shown["shared"], true);
        let refused = tenant.run(&["vex", "detach", &id]).await;
        assert!(refused.code == 3 && refused.err.contains("VEX_NOT_FOUND"), "{refused:?}");
        let refused = tenant.run(&["issuers", "retire", &supplier]).await;
        assert!(refused.code == 3 && refused.err.contains("ISSUER_NOT_FOUND"), "{refused:?}");
    }

    // A tenant that does not trust the supplier hears nothing of it; the other one still does.
    well(&second, &["issuers", "trust", &supplier, "untrusted"]).await;
    let loud = version(&second, &digest, 3).await;
    assert_eq!((&loud["counts"]["findings"], &loud["counts"]["suppressed"]), (&json!(1), &json!(0)));
    let issuer = json(&second, &["issuers", "show", &supplier]).await;
    assert_eq!(
        (&issuer["tier"], &issuer["default_tier"]),
        (&json!("TIER_UNTRUSTED"), &json!("TIER_SUPPLIER"))
    );
    assert_eq!(json(&first, &["issuers", "show", &supplier]).await["tier"], "TIER_SUPPLIER");
    assert_eq!(result(&first, &digest).await["verdict"]["version"], 2);
}

/// Attaches what is announced so.
async fn attach(
    client: &mut Clients,
    change: impl FnOnce(&mut DocumentHeader),
    content: &[u8],
) -> Result<Response<AttachDocumentResponse>, Status> {
    let mut header = DocumentHeader {
        request_id: request_id(),
        digest: model::Digest::of(content).to_string(),
        size_bytes: i64::try_from(content.len()).unwrap(),
        ..DocumentHeader::default()
    };
    change(&mut header);
    let chunks = content.chunks(256 << 10).map(|chunk| Part::Chunk(chunk.to_vec().into()));
    let parts: Vec<_> = [Part::Header(header)].into_iter().chain(chunks).collect();
    let parts = parts.into_iter().map(|part| AttachDocumentRequest { part: Some(part) });
    client.vex.attach_document(tokio_stream::iter(parts)).await
}

#[tokio::test]
async fn what_is_not_as_announced_or_no_vex_is_refused_and_an_answer_that_was_lost_is_given_again() {
    let cluster = TestCluster::shared().await;
    let tenant = cluster.tenant("vex-refused").await;
    let mut client = cluster.nodes()[0].client(&tenant);
    let said = [("CVE-2026-1", "pkg:npm/a", "fixed")];
    let document = openvex("urn:b", "us", &said).to_string().into_bytes();

    let refused = attach(&mut client, |_| {}, b"{}").await;
    assert_eq!(refusals::refusal(refused), (Code::InvalidArgument, ErrorReason::VexInvalid));
    let refused = attach(&mut client, |header| header.size_bytes += 1, &document).await;
    assert_eq!(refusals::refusal(refused).1, ErrorReason::BlobSizeMismatch);
    let refused = attach(&mut client, |header| header.size_bytes -= 1, &document).await;
    assert_eq!(refusals::refusal(refused).1, ErrorReason::BlobSizeMismatch);
    let other = model::Digest::of(b"other").to_string();
    let refused = attach(&mut client, |header| header.digest = other, &document).await;
    assert_eq!(refusals::refusal(refused).1, ErrorReason::BlobDigestMismatch);
    let large = vec![b' '; (8 << 20) + 1];
    let refused = attach(&mut client, |_| {}, &large).await;
    assert_eq!(refusals::refusal(refused).1, ErrorReason::VexInvalid);
    let refused = attach(&mut client, |header| header.images = vec!["none:1".to_owned()], &document).await;
    assert_eq!(refusals::refusal(refused).1, ErrorReason::ImageNotFound);

    let id = request_id();
    let same = |header: &mut DocumentHeader| header.request_id.clone_from(&id);
    let first = attach(&mut client, same, &document).await.unwrap().into_inner();
    let again = attach(&mut client, same, &document).await.unwrap().into_inner();
    assert_eq!(first, again, "the answer is kept under its request id");
    let listed = client.vex.list_documents(ListDocumentsRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.documents.iter().filter(|document| !document.shared).count(), 1);
}
