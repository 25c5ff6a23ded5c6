//! Broken and hostile images: each is refused, or read for what it holds.

use std::collections::BTreeMap;
use std::fs;

use model::PackageKind;
use serde_json::Value;

#[test]
fn every_bad_image_is_refused_or_read_for_what_it_holds() {
    let Some(data) = crate::support::shared_data() else { return };
    let dir = data.join("images-bad");
    let expectations: BTreeMap<String, Value> =
        serde_json::from_slice(&fs::read(dir.join("expect.json")).unwrap()).unwrap();
    let mut wrong = Vec::new();
    for (name, expectation) in &expectations {
        let outcome = crate::support::scan_layout(&dir.join(format!("{name}.oci")));
        let fits = match (&expectation["expect"], &outcome) {
            (Value::Array(wanted), Ok(sbom)) => {
                let found = crate::support::packages(sbom);
                let wanted: Vec<&str> = wanted.iter().filter_map(Value::as_str).collect();
                let at_least = expectation["note"].as_str().is_some_and(|note| note.starts_with("at least"));
                assert!(sbom.components.iter().all(|c| c.kind == PackageKind::Deb));
                if at_least { wanted.iter().all(|w| found.iter().any(|f| f == w)) } else { found == wanted }
            }
            (Value::String(word), Err(_)) => word == "reject" || word == "bounded",
            (Value::String(word), Ok(_)) => word == "bounded",
            _ => false,
        };
        if !fits {
            wrong.push(format!("{name}: {expectation}, but {outcome:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(expectations.len() >= 26);
}

#[test]
fn refusals_name_the_true_cause() {
    let Some(data) = crate::support::shared_data() else { return };
    for (name, cause) in [
        ("layer-truncated", "the blob ends after"),
        ("layer-digest-mismatch", "the blob's digest is"),
        ("diffid-count", "diff ids"),
        ("not-a-tar", "does not begin with the header of a tar archive"),
    ] {
        let layout = data.join(format!("images-bad/{name}.oci"));
        let refusal = crate::support::scan_layout(&layout).expect_err(name);
        assert!(refusal.contains(cause), "{name}: {refusal}");
    }
}
