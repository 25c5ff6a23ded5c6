//! Holds the plan: who may lean on whom, and which libraries stay out of which part.
//! The picture is in docs/architecture.md; a new arrow there is a decision, and a line here.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

const DOMAIN: [&str; 8] = ["model", "version", "inventory", "advisory", "evaluation", "vex", "bom", "report"];

/// Each of our crates with its direct, non-development dependencies.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = metadata(&["--no-deps"]);
    let packages = metadata["packages"].as_array().expect("metadata lists packages");
    packages.iter().map(|package| (text(&package["name"]), direct(package))).collect()
}

fn metadata(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--offline"])
        .args(arguments)
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

fn direct(package: &Value) -> BTreeSet<String> {
    let all = package["dependencies"].as_array().expect("a package lists its dependencies");
    all.iter().filter(|d| d["kind"].is_null()).map(|d| text(&d["name"])).collect()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

#[track_caller]
fn check_may_use(of: &str, allowed: &[&str]) {
    let all = dependencies();
    let ours: BTreeSet<_> = all.keys().cloned().collect();
    let used: BTreeSet<_> = all[of].intersection(&ours).cloned().collect();
    let forbidden: Vec<_> = used.iter().filter(|name| !allowed.contains(&name.as_str())).collect();
    assert!(forbidden.is_empty(), "{of} leans on {forbidden:?}; it may lean on {allowed:?} only");
}

#[track_caller]
fn check_only_in(library: &str, allowed: &[&str]) {
    let users: Vec<_> = dependencies()
        .into_iter()
        .filter(|(name, used)| used.contains(library) && !allowed.contains(&name.as_str()))
        .map(|(name, _)| name)
        .collect();
    assert!(users.is_empty(), "{library} belongs to {allowed:?}, but {users:?} use it too");
}

#[test]
fn thinking_leans_on_thinking_only() {
    check_may_use("model", &[]);
    check_may_use("version", &["model"]);
    check_may_use("inventory", &["model", "version"]);
    check_may_use("advisory", &["model", "version"]);
    check_may_use("evaluation", &["model", "version", "advisory", "inventory"]);
    check_may_use("vex", &["model", "version", "inventory", "advisory"]);
    check_may_use("bom", &["model", "inventory"]);
    check_may_use("report", &["model"]);
}

#[test]
fn moving_has_never_heard_of_an_image() {
    check_may_use("cluster", &["proto-cluster", "invariants"]);
    check_may_use("proto-cluster", &[]);
    check_may_use("proto-api", &[]);
}

#[test]
fn remembering_leans_on_thinking_and_doing_on_both() {
    check_may_use("store", &DOMAIN);
    check_may_use("actors", &[&DOMAIN[..], &["store", "cluster", "invariants"]].concat());
}

#[test]
fn what_must_hold_leans_on_nothing_and_nothing_on_the_simulation() {
    check_may_use("invariants", &[]);
    check_may_use("simulation", &["actors", "cluster", "invariants", "model", "store"]);
    check_only_in("simulation", &[]);
}

#[test]
fn fuzzing_leans_on_thinking_and_nothing_on_fuzzing() {
    check_may_use("fuzz", &DOMAIN);
    check_only_in("fuzz", &[]);
}

#[test]
fn each_library_stays_in_its_part() {
    check_only_in("sqlx", &["store", "bench", "tests"]);
    check_only_in("object_store", &["store"]);
    check_only_in("redis", &["cluster", "bench", "tests"]);
    check_only_in("ractor", &["cluster", "actors", "bench"]);
    check_only_in("tonic", &["proto-api", "proto-cluster", "cluster", "coordinator", "bench", "tests"]);
    check_only_in("clap", &["coordinator"]);
    // The store declares it for the features of object_store only, and calls nothing of it.
    check_only_in("reqwest", &["actors", "store"]);
    check_only_in("anyhow", &["coordinator", "bench", "tests"]);
}

#[test]
fn thinking_does_no_input_or_output() {
    let all = dependencies();
    for name in DOMAIN {
        for library in ["tokio", "sqlx", "tonic", "ractor", "reqwest", "rand", "tracing", "metrics"] {
            assert!(!all[name].contains(library), "{name} is pure and may not use {library}");
        }
    }
}

#[test]
fn one_tls_provider_in_the_whole_tree() {
    let lock = include_str!("../Cargo.lock");
    let has = |name: &str| lock.contains(&format!("\nname = \"{name}\"\n"));
    assert!(has("ring"), "the provider is ring");
    for other in ["aws-lc-rs", "aws-lc-sys", "openssl-sys", "native-tls"] {
        assert!(!has(other), "{other} joined the tree: see docs/architecture.md, one TLS provider");
    }
}
