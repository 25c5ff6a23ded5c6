use std::time::Duration;

use model::{
    AdvisoryMatch, Coverage, Digest, Finding, FixState, Gap, GapKind, Justification, Location, NoFix, Notice,
    Purl, Severity, VexStatus, VexWord,
};
use serde_json::Value;

use super::*;

/// A finding with everything.
pub(crate) fn finding() -> Reported {
    let advisory = AdvisoryMatch {
        advisory: "GHSA-cph5-m8f7-6c5x".to_owned(),
        feed: "ghsa".parse().unwrap(),
        reason: "0.21.0 in [0, 0.21.2) by semver".to_owned(),
        fixed_versions: vec!["0.21.2".to_owned()],
        no_fix: None,
        notice: None,
    };
    Reported {
        finding: Finding {
            vulnerability: "CVE-2021-3749".to_owned(),
            aliases: vec!["GHSA-cph5-m8f7-6c5x".to_owned()],
            purl: Purl::from_canonical("pkg:npm/axios@0.21.0".to_owned()),
            package: "axios".to_owned(),
            version: "0.21.0".to_owned(),
            severity: Severity::High,
            fix: FixState::Fixed(vec!["0.21.2".to_owned()]),
            advisories: vec![advisory],
            vex: None,
        },
        locations: vec![Location { layer: 1, path: "app/node_modules/axios/package.json".to_owned() }],
        exploited: false,
        epss: Some((0.5, 0.9)),
        origin: Some(model::Origin::Own),
        ignored: None,
    }
}

/// What an image may say to break out of a format.
const HOSTILE: &str = "=x|`<b>&\"'],\u{1}\n@team](x)";

fn hostile() -> Reported {
    let mut reported = finding();
    let finding = &mut reported.finding;
    finding.package = HOSTILE.to_owned();
    finding.version = "-1".to_owned();
    finding.vulnerability = "X-1".to_owned();
    finding.aliases.clear();
    finding.severity = Severity::Critical;
    finding.fix = FixState::NotFixed(Some(NoFix::WillNotFix));
    reported.locations = vec![Location { layer: 0, path: "a b/c:d?e#f".to_owned() }];
    reported
}

fn report(findings: Vec<Reported>, coverage: Coverage) -> Report {
    let gap = Gap::new(GapKind::MissingFeed, "npm", "no feed speaks of it");
    Report {
        tool: "0.1.0".to_owned(),
        image: Image {
            name: "app:1".to_owned(),
            digest: "sha256:00".to_owned(),
            platform: Some("linux/amd64".to_owned()),
        },
        sbom_digest: Digest::of(b"s"),
        findings_digest: Digest::of(b"f"),
        distro: None,
        snapshot: "s1".to_owned(),
        coverage,
        gaps: if coverage == Coverage::Complete { Vec::new() } else { vec![gap] },
        feeds: vec![Feed {
            id: "ghsa".to_owned(),
            records: Some((3, 0)),
            age: Some(Duration::from_secs(60)),
        }],
        findings,
        set_aside: Vec::new(),
    }
}

/// A finding of which a supplier says this.
fn said(status: VexStatus, held: bool) -> Reported {
    let mut reported = finding();
    reported.finding.vex = Some(VexWord {
        status,
        held,
        justification: Some(Justification::VulnerableCodeNotPresent),
        detail: Some("it is not built".to_owned()),
        issuer: "acme".to_owned(),
        document: "https://acme.example/1".to_owned(),
        statement: "s".to_owned(),
        score: 7_000,
    });
    reported
}

fn ignored() -> Reported {
    let ignored = Ignored { reason: "not reached".to_owned(), expires: "2027-01-01".to_owned() };
    Reported { ignored: Some(ignored), ..finding() }
}

fn json(report: &Report, format: Format) -> Value {
    serde_json::from_str(&report.write(format)).unwrap()
}

#[test]
fn json_is_as_its_schema_says() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let affected = said(VexStatus::Affected, false);
    let report = report(
        vec![finding(), hostile(), ignored(), affected, said(VexStatus::Fixed, false)],
        Coverage::Partial,
    );
    let document = json(&report, Format::Json);
    let wrong: Vec<_> = schema.iter_errors(&document).map(|e| format!("{}: {e}", e.instance_path)).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(document["findings"].as_array().map(Vec::len), Some(3));
    assert_eq!(document["suppressed"][0]["suppression"]["reason"], "not reached");
    assert_eq!(document["findings"][2]["vex"]["status"], "affected");
    assert_eq!(document["suppressed"][1]["vex"]["issuer"], "acme");
    assert_eq!(document["suppressed"][1]["suppression"]["expires"], Value::Null);
    let mut broken = document;
    broken["findings"][0]["severity"] = "bad".into();
    assert!(!schema.is_valid(&broken));
}

#[test]
fn lines_begin_with_the_coverage() {
    let text = report(vec![finding(), ignored()], Coverage::Provisional).write(Format::Jsonl);
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<_> = lines.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["report", "finding", "suppressed"]);
    assert_eq!(lines[0]["coverage"], "provisional");
}

#[test]
fn sarif_has_a_rule_for_each_vulnerability_and_a_result_for_each_finding() {
    let run = json(&report(vec![hostile(), finding(), ignored()], Coverage::Complete), Format::Sarif);
    let run = &run["runs"][0];
    let rules: Vec<_> = run["tool"]["driver"]["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule["id"].as_str().unwrap())
        .collect();
    assert_eq!(rules, ["CVE-2021-3749", "X-1"]);
    let results = run["results"].as_array().unwrap();
    assert_eq!((results[0]["ruleIndex"].as_u64(), results[1]["ruleIndex"].as_u64()), (Some(1), Some(0)));
    let uri = &results[0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
    assert_eq!(uri, "./a%20b/c:d%3Fe%23f");
    assert_eq!(results[2]["suppressions"][0]["status"], "accepted");
    assert_eq!(run["invocations"][0]["executionSuccessful"], true);
}

#[test]
fn what_a_supplier_says_counts_unless_a_person_has_to_decide() {
    let all = vec![said(VexStatus::NotAffected, false), said(VexStatus::NotAffected, true), finding()];
    let report = report(all, Coverage::Complete);
    assert_eq!(report.counted().count(), 2);
    let run = &json(&report, Format::Sarif)["runs"][0]["results"];
    let why =
        "not_affected (vulnerable_code_not_present): it is not built, says acme in https://acme.example/1";
    assert_eq!(run[0]["suppressions"][0]["justification"], why);
    assert_eq!(run[1]["suppressions"], Value::Null);
    assert!(report.write(Format::Csv).contains(why) && report.write(Format::Junit).contains(why));
    let markdown = report.write(Format::Markdown);
    assert!(markdown.contains("\n1 suppressed by VEX.\n"), "{markdown}");
}

#[test]
fn no_format_hides_that_a_result_is_not_complete() {
    let nothing = report(Vec::new(), Coverage::Partial);
    assert_eq!(json(&nothing, Format::Json)["coverage"], "partial");
    let run = &json(&nothing, Format::Sarif)["runs"][0]["invocations"][0];
    assert_eq!(run["executionSuccessful"], false);
    assert_eq!(json(&nothing, Format::Gitlab)["scan"]["status"], "failure");
    let junit = nothing.write(Format::Junit);
    assert!(junit.contains(r#"errors="1""#) && junit.contains("<error type=\"missing-feed\""), "{junit}");
    assert!(
        nothing.write(Format::Markdown).contains("> **Not a clean result.**\n> - `coverage is partial: ")
    );
    let csv = nothing.write(Format::Csv);
    assert!(csv.contains("\ncoverage,,,,,,,,,,,,,,partial,\ncaveat,"), "{csv}");
    assert!(nothing.write(Format::Jsonl).contains(r#""coverage":"partial""#));
    let states = ["missing-feed"];
    assert_eq!(json(&nothing, Format::Json)["coverage_states"], serde_json::json!(states));
    assert_eq!(json(&nothing, Format::Json)["problems"][0]["state"], states[0]);
    assert_eq!(run["toolExecutionNotifications"][2]["descriptor"]["id"], states[0]);
    for format in [Format::Gitlab, Format::Markdown, Format::Csv, Format::Jsonl] {
        assert!(nothing.write(format).contains(states[0]), "{format:?}");
    }
}

#[test]
fn a_result_without_findings_has_a_test_that_passed() {
    let junit = report(Vec::new(), Coverage::Complete).write(Format::Junit);
    assert!(junit.contains(r#"tests="1" failures="0" errors="0""#), "{junit}");
    assert!(junit.contains(r#"<testcase classname="app:1" name="coverage"/>"#), "{junit}");
}

#[test]
fn junit_counts_and_nothing_breaks_out_of_it() {
    let junit = report(vec![hostile(), finding(), ignored()], Coverage::Complete).write(Format::Junit);
    assert!(junit.contains(r#"tests="4" failures="2" errors="0" skipped="1""#), "{junit}");
    assert!(!junit.contains("<b>") && !junit.contains('\u{1}'), "{junit}");
    let mut reader = quick_xml::Reader::from_str(&junit);
    let mut cases = 0;
    loop {
        match reader.read_event().unwrap() {
            quick_xml::events::Event::Eof => break,
            quick_xml::events::Event::Start(e) | quick_xml::events::Event::Empty(e) => {
                cases += usize::from(e.name().as_ref() == b"testcase");
            }
            _ => {}
        }
    }
    assert_eq!(cases, 4);
}

#[test]
fn what_an_image_says_is_no_markdown_and_no_formula() {
    let report = report(vec![hostile()], Coverage::Complete);
    let row = report.write(Format::Markdown);
    let row = row.lines().find(|line| line.contains("X-1")).unwrap();
    assert_eq!(row, "| critical | `X-1` | `=x\\|'<b>&\"'],  @team](x)` | `-1` | will not fix |");
    let csv = report.write(Format::Csv);
    let row = csv::Reader::from_reader(csv.as_bytes()).records().map(Result::unwrap).nth(1).unwrap();
    assert_eq!((&row[3], &row[4]), (format!("'{HOSTILE}").as_str(), "'-1"));
}

#[test]
fn gitlab_has_an_identifier_for_each_name() {
    let document = json(&report(vec![finding(), ignored()], Coverage::Complete), Format::Gitlab);
    let vulnerabilities = document["vulnerabilities"].as_array().unwrap();
    assert_eq!(vulnerabilities.len(), 1);
    let kinds: Vec<_> = vulnerabilities[0]["identifiers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| i["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["cve", "ghsa"]);
    assert_eq!(vulnerabilities[0]["solution"], "Update axios to 0.21.2.");
}

#[test]
fn a_template_sees_the_json_report_and_is_bounded() {
    let report = report(vec![finding()], Coverage::Complete);
    let lines =
        "{% for f in findings %}{{ f.vulnerability }} {{ f.fixed_versions | join(',') }}\n{% endfor %}";
    assert_eq!(report.render(lines).unwrap(), "CVE-2021-3749 0.21.2\n");
    let wrong = report.render("{% for %}").unwrap_err().to_string();
    assert!(wrong.starts_with("the template cannot be used: ") && wrong.contains(":1"), "{wrong}");
    assert!(report.render("{{ nothing.there }}").is_err());
    let endless = "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}";
    assert!(report.render(endless).is_err());
}

#[test]
fn a_distribution_that_nobody_cares_for_is_not_clean() {
    let distro = DistroLine {
        id: "alpine".to_owned(),
        version: "3.19.4".to_owned(),
        end_of_life: Some("2025-11-01".to_owned()),
        ended: true,
    };
    let what = "it is not cared for since 2025-11-01";
    let gap = Gap::new(GapKind::EndOfLife, "alpine 3.19.4", what);
    let report = Report { distro: Some(distro), gaps: vec![gap], ..report(Vec::new(), Coverage::Complete) };
    assert!(!report.is_to_be_trusted());
    for (format, word) in [
        (Format::Json, r#""ended": true"#),
        (Format::Jsonl, r#""ended":true"#),
        (Format::Sarif, r#""executionSuccessful": false"#),
        (Format::Junit, "alpine 3.19.4: it is not cared for since 2025-11-01"),
        (Format::Gitlab, r#""status": "failure""#),
        (Format::Markdown, "**Not a clean result.**"),
        (Format::Csv, "alpine 3.19.4: it is not cared for since 2025-11-01"),
    ] {
        let text = report.write(format);
        assert!(text.contains(word), "{format:?}: {text}");
    }
}

/// Two images of one name: one whole, the other not.
fn two() -> [Report; 2] {
    let arm = |mut report: Report| {
        report.image.platform = Some("linux/arm/v7".to_owned());
        report.image.digest = "sha256:01".to_owned();
        report
    };
    [report(vec![finding()], Coverage::Complete), arm(report(vec![hostile(), ignored()], Coverage::Partial))]
}

#[test]
fn several_images_make_one_sound_document_of_each_format_that_has_room() {
    let [amd, arm] = two();
    let both = |format| write_all(&[&amd, &arm], format);
    let json = |format| serde_json::from_str::<Value>(&both(format).unwrap()).unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_str(SCHEMA).unwrap()).unwrap();
    let documents = json(Format::Json);
    let told: Vec<_> =
        documents.as_array().unwrap().iter().map(|d| d["image"]["platform"].as_str()).collect();
    assert_eq!(told, [Some("linux/amd64"), Some("linux/arm/v7")]);
    assert!(documents.as_array().unwrap().iter().all(|document| schema.is_valid(document)));
    let lines = both(Format::Jsonl).unwrap();
    let kinds: Vec<_> =
        lines.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["kind"].clone()).collect();
    assert_eq!(kinds, ["report", "finding", "report", "finding", "suppressed"]);
    let runs = &json(Format::Sarif)["runs"];
    let ids: Vec<_> =
        runs.as_array().unwrap().iter().map(|r| r["automationDetails"]["id"].as_str()).collect();
    assert_eq!(ids, [Some("starling/app:1/linux-amd64/"), Some("starling/app:1/linux-arm-v7/")]);
    let junit = both(Format::Junit).unwrap();
    for part in [
        r#"<testsuites name="app:1" tests="5" failures="2" errors="1" skipped="1">"#,
        r#"<testsuite name="app:1 (linux/amd64)" tests="2" failures="1" errors="0" skipped="0">"#,
        r#"<testsuite name="app:1 (linux/arm/v7)" tests="3" failures="1" errors="1" skipped="1">"#,
    ] {
        assert!(junit.contains(part), "{junit}");
    }
    let markdown = both(Format::Markdown).unwrap();
    assert!(markdown.contains("\n\n### Starling: `app:1 (linux/arm/v7)`\n\n> **Not a clean"), "{markdown}");
    assert_eq!(both(Format::Gitlab), None);
    for (_, format) in Format::ALL {
        assert_eq!(both(format).is_some(), format.holds_several(), "{format:?}");
    }
}

#[test]
fn each_row_says_which_image_it_is_about() {
    let [amd, arm] = two();
    let text = write_all(&[&amd, &arm], Format::Csv).unwrap();
    let mut csv = csv::Reader::from_reader(text.as_bytes());
    let head = csv.headers().unwrap().clone();
    assert_eq!((&head[16], &head[17]), ("platform", "image_digest"));
    let of: Vec<_> = csv
        .records()
        .map(Result::unwrap)
        .map(|row| (row[0].to_owned(), row[16].to_owned(), row[17].to_owned()))
        .filter(|(kind, ..)| kind == "coverage" || kind == "suppressed")
        .collect();
    let row =
        |kind: &str, platform: &str, digest: &str| (kind.to_owned(), platform.to_owned(), digest.to_owned());
    assert_eq!(
        of,
        [
            row("coverage", "linux/amd64", "sha256:00"),
            row("coverage", "linux/arm/v7", "sha256:01"),
            row("suppressed", "linux/arm/v7", "sha256:01"),
        ]
    );
}

#[test]
fn images_that_run_on_the_same_have_marks_of_their_own() {
    let (amd, arm) = (Some("linux/amd64"), Some("linux/arm/v7"));
    assert_eq!(marks([amd, arm, amd]), ["linux-amd64", "linux-arm-v7", "linux-amd64-2"]);
    assert_eq!(marks([Some("../x"), None]), ["..-x", "unknown"], "it makes no path");
}

#[test]
fn every_format_tells_a_notice_from_a_vulnerability() {
    let mut reported = finding();
    reported.finding.advisories[0].notice = Some(Notice::Unsound);
    let notice = report(vec![reported], Coverage::Complete);
    let whole = json(&notice, Format::Json);
    assert_eq!(whole["findings"][0]["notice"], "unsound");
    let schema = jsonschema::validator_for(&serde_json::from_str(SCHEMA).unwrap()).unwrap();
    assert!(schema.is_valid(&whole));
    let sarif = json(&notice, Format::Sarif);
    let rule = &sarif["runs"][0]["tool"]["driver"]["rules"][0];
    assert_eq!(rule["shortDescription"]["text"], "CVE-2021-3749: high notice of a package that is unsound");
    assert_eq!(rule["properties"]["tags"][1], "unsound");
    for (format, words) in [
        (Format::Jsonl, r#""notice":"unsound""#),
        (Format::Junit, "CVE-2021-3749 (high, unsound) in axios"),
        (Format::Gitlab, "CVE-2021-3749 (high, unsound) in axios"),
        (Format::Markdown, "| `CVE-2021-3749` (unsound) |"),
        (Format::Csv, ",unsound\n"),
    ] {
        assert!(notice.write(format).contains(words), "{format:?}: {}", notice.write(format));
    }
    let other = report(vec![finding()], Coverage::Complete);
    for (_, format) in Format::ALL {
        assert!(!other.write(format).contains("unsound"), "{format:?}");
    }
}

#[test]
fn sarif_is_as_its_schema_says() {
    let folder = std::env::var_os("STARLING_SCHEMAS").map(std::path::PathBuf::from);
    let Some(schema) = folder.and_then(|folder| std::fs::read(folder.join("sarif-2.1.0.json")).ok()) else {
        println!(
            "skipped: STARLING_SCHEMAS names no folder with sarif-2.1.0.json; scripts/install-packages schemas"
        );
        return;
    };
    let schema: Value = serde_json::from_slice(&schema).expect("it is JSON");
    let schema = jsonschema::validator_for(&schema).unwrap();
    let mut notice = finding();
    notice.finding.advisories[0].notice = Some(Notice::Unmaintained);
    let mut nowhere = finding();
    nowhere.locations.clear();
    let said = said(VexStatus::NotAffected, false);
    let one = report(vec![finding(), hostile(), ignored(), said, notice, nowhere], Coverage::Partial);
    let [amd, arm] = two();
    let several = write_all(&[&amd, &arm], Format::Sarif).unwrap();
    let empty = report(Vec::new(), Coverage::Complete);
    for text in [one.write(Format::Sarif), several, empty.write(Format::Sarif)] {
        let document: Value = serde_json::from_str(&text).unwrap();
        let wrong: Vec<_> =
            schema.iter_errors(&document).map(|error| format!("{}: {error}", error.instance_path)).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
    let broken = one.write(Format::Sarif).replace("\"ruleId\"", "\"rule\"");
    assert!(!schema.is_valid(&serde_json::from_str(&broken).unwrap()));
}
