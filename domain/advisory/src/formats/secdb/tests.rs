use super::*;

fn pieces(document: &str, limits: &Limits) -> Result<Vec<String>, String> {
    let mut pieces = Vec::new();
    let whole = split(document.as_bytes(), limits, &mut |piece| {
        pieces.push(match piece {
            Piece::Record(bytes) => String::from_utf8(bytes).unwrap(),
            Piece::Wrong(problem) => format!("{}: {}", problem.place, problem.what),
        });
        true
    });
    whole.map(|()| pieces).map_err(|error| error.to_string())
}

fn read(record: &str) -> Advisory {
    let (advisory, problems) = parse(record.as_bytes(), &Limits::default()).unwrap();
    assert_eq!(problems, []);
    advisory
}

/// A database of `main` of 3.20 with these packages.
fn alpine(packages: &str) -> String {
    format!(r#"{{"packages":[{packages}],"archs":["x86"],"reponame":"main","distroversion":"v3.20"}}"#)
}

#[test]
fn a_database_becomes_a_record_for_each_vulnerability() {
    let document = alpine(
        r#"{"pkg":{"name":"curl","secfixes":{"8.1.0-r0":["CVE-2023-1","CVE-2023-2"],"0":["CVE-2022-9"]}}},
           {"pkg":{"name":"apk","secfixes":{"2.0-r1":["CVE-2023-2"],"3":null}}},{"pkg":{"name":"none"}}"#,
    );
    let record = |fixes: &str, id: &str| {
        format!(r#"{{"distroversion":"v3.20","fixes":{{{fixes}}},"id":"{id}","reponame":"main"}}"#)
    };
    let expected = vec![
        record(r#""curl":"0""#, "CVE-2022-9"),
        record(r#""curl":"8.1.0-r0""#, "CVE-2023-1"),
        record(r#""apk":"2.0-r1","curl":"8.1.0-r0""#, "CVE-2023-2"),
    ];
    assert_eq!(pieces(&document, &Limits::default()), Ok(expected));
}

#[test]
fn a_record_says_below_which_version_packages_are_affected() {
    let advisory = read(
        r#"{"distroversion":"v3.20","fixes":{"apk":"0","curl":"8.1.0-r0"},"id":"CVE-2023-1","reponame":"main"}"#,
    );
    assert_eq!(advisory.id, "ALPINE-v3.20-main-CVE-2023-1");
    assert_eq!(advisory.aliases, ["CVE-2023-1"]);
    let said: Vec<_> = advisory.affected.iter().map(|a| (a.ecosystem.to_string(), &a.package[..])).collect();
    assert_eq!(said, [("Alpine:v3.20".to_owned(), "apk"), ("Alpine:v3.20".to_owned(), "curl")]);
    let events = vec![Event::Introduced("0".into()), Event::Fixed("8.1.0-r0".into())];
    let range = AffectedRange { kind: RangeKind::Ecosystem, events };
    assert_eq!(advisory.affected.into_iter().map(|a| a.ranges).collect::<Vec<_>>(), [vec![], vec![range]]);
}

#[test]
fn distributions_without_releases_are_known_by_their_address() {
    let record = |prefix: &str, repository: &str| {
        format!(r#"{{"fixes":{{"a":"1"}},"id":"GHSA-1","reponame":"{repository}","urlprefix":"{prefix}"}}"#)
    };
    let wolfi = read(&record("https://packages.wolfi.dev", "os"));
    assert_eq!((&wolfi.id[..], wolfi.affected[0].ecosystem.to_string()), ("WOLFI-os-GHSA-1", "Wolfi".into()));
    let other = read(&record("https://packages.cgr.dev", "chainguard"));
    assert_eq!(other.id, "CHAINGUARD-chainguard-GHSA-1");
    let unknown = parse(record("https://example.org", "os").as_bytes(), &Limits::default());
    assert_eq!(unknown.unwrap_err().to_string(), "the record has no distribution that is known");
    let database = r#"{"reponame":"os","urlprefix":"https://packages.wolfi.dev","packages":[
        {"pkg":{"name":"a","secfixes":{"1":["GHSA-1"]}}}]}"#;
    assert_eq!(pieces(database, &Limits::default()), Ok(vec![record("https://packages.wolfi.dev", "os")]));
}

#[test]
fn the_highest_version_fixes_and_a_cve_names_best() {
    let document = alpine(
        r#"{"pkg":{"name":"xen","secfixes":{"4.10-r0":["CVE-2017-1 XSA-214"],"4.9-r2":["CVE-2017-1 (+ regression fix)"],
           "0":["CVE-2017-1"],"5":["XSA-300","CVE-2018-1 CVE-2018-2"]}}}"#,
    );
    let ids: Vec<_> = pieces(&document, &Limits::default()).unwrap().iter().map(|r| read(r)).collect();
    let fixed = |a: &Advisory| a.affected[0].ranges[0].events[1].clone();
    let said: Vec<_> = ids.iter().map(|a| (a.aliases[0].as_str(), fixed(a))).collect();
    let at = |version: &str| Event::Fixed(version.to_owned());
    assert_eq!(
        said,
        [
            ("CVE-2017-1", at("4.10-r0")),
            ("CVE-2018-1", at("5")),
            ("CVE-2018-2", at("5")),
            ("XSA-300", at("5"))
        ]
    );
}

#[test]
fn a_wrong_entry_costs_itself_and_a_broken_document_all() {
    let document = alpine(
        r#"7,{"pkg":{"name":["a"]}},{"pkg":{"name":""}},{"pkg":{"name":"b","secfixes":{"":["CVE-1-1"],"1":["CVE-1-2","a-\u0000"]}}}"#,
    );
    let pieces_of = |text: &str| pieces(text, &Limits::default());
    let found = pieces_of(&document).unwrap();
    assert_eq!(found.len(), 6, "{found:#?}");
    assert!(found[0].starts_with("packages[0]: invalid type: integer `7`"), "{}", found[0]);
    assert!(found[1].starts_with("packages[1]: invalid type: sequence"), "{}", found[1]);
    assert_eq!(found[2], "packages[2]: its name is none");
    assert!(found[3].starts_with("b: \"\" is not a"), "{}", found[3]);
    assert_eq!(found[4], "b: an id is none");
    assert!(found[5].contains("CVE-1-2"), "{}", found[5]);
    let broken = pieces_of(&document[..document.len() - 1]).unwrap_err();
    assert!(broken.starts_with("the record is not a JSON object: EOF"), "{broken}");
    assert_eq!(pieces_of("{}"), Err("the record has no packages".to_owned()));
    assert!(pieces_of(r#"{"packages":{}}"#).is_err() && pieces_of("[]").is_err());
}

#[test]
fn what_is_kept_is_bounded() {
    let document = alpine(r#"{"pkg":{"name":"a","secfixes":{"1":["CVE-1-1","CVE-1-2","CVE-1-3"]}}}"#);
    let limits = Limits { records: 2, ..Limits::default() };
    assert!(pieces(&document, &limits).unwrap_err().contains("it says more than is read"));
    let limits = Limits { text_bytes: 4, ..Limits::default() };
    assert!(pieces(&document, &limits).unwrap_err().contains("is too long"));
    let limits = Limits { record_bytes: 20, ..Limits::default() };
    assert_eq!(pieces(&document, &limits), Ok(vec!["packages[0]: the entry is larger than is read".into()]));
    let mut taken = 0;
    let mut once = |_| {
        taken += 1;
        false
    };
    assert_eq!(split(document.as_bytes(), &Limits::default(), &mut once), Ok(()));
    assert_eq!(taken, 1);
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_reading_panic(text in r#"(\{"packages":\[\{"pkg":)?[\[\]{}":,a-z0-9 ]{0,60}"#) {
        let _ = pieces(&text, &Limits::default());
        let _ = parse(text.as_bytes(), &Limits::default());
    }
}

#[test]
fn a_database_in_yaml_says_what_it_says_in_json() {
    let yaml = "---\ndistroversion: v3.20\nreponame: main\narchs:\n  - x86\npackages:\n  - pkg:\n      name: curl\n      \
        secfixes:\n        8.1.0-r0:\n        - CVE-2023-1\n        0:\n          - CVE-2022-9\n  - pkg:\n      name: none\n";
    let json = alpine(
        r#"{"pkg":{"name":"curl","secfixes":{"8.1.0-r0":["CVE-2023-1"],"0":["CVE-2022-9"]}}},{"pkg":{"name":"none"}}"#,
    );
    let limits = Limits::default();
    let read = pieces(yaml, &limits);
    assert_eq!(read, pieces(&json, &limits));
    assert_eq!(read.unwrap().len(), 2);
    assert!(pieces("packages: *x", &limits).unwrap_err().contains("not YAML that is read"));
}

/// The databases as Alpine published them, where they lie beside the repository.
#[test]
fn every_real_database_in_yaml_is_read() {
    let Ok(archive) = std::fs::File::open("../../../shared/data/native/alpine-secdb.tar.zst") else {
        return println!("skipped: there is no ../shared/data beside the repository");
    };
    let mut archive = tar::Archive::new(zstd::Decoder::new(archive).unwrap());
    let (mut databases, mut records) = (0, 0);
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path().unwrap().extension().is_none_or(|ending| ending != "yaml") {
            continue;
        }
        let mut text = String::new();
        std::io::Read::read_to_string(&mut entry, &mut text).unwrap();
        let pieces = pieces(&text, &Limits::default()).unwrap();
        let wrong: Vec<_> = pieces.iter().filter(|piece| !piece.starts_with('{')).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
        pieces.iter().for_each(|record| drop(read(record)));
        databases += 1;
        records += pieces.len();
    }
    assert!(databases > 15 && records > 1000, "{records} of {databases}");
}
