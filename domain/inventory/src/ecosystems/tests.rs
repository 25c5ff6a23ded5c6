//! One harness for all ecosystems: `fixtures/TYPE.txt` holds files and the components that they make, and
//! `fixtures/TYPE-lock.txt` those of lock files that count only where nothing is installed in the image.
//!
//! ```text
//! === path of a file
//! its content
//! === expected
//! PURL | NAME VERSION | SOURCE NAME, SOURCE VERSION | PATH
//! === third party
//! PLACE | SUPPLIER | how many packages
//! === problems
//! PLACE: WHAT
//! ```

use std::{fs, iter};

use model::{Component, Distro, PackageKind, Problem, ThirdParty};

use super::{ECOSYSTEMS, Ecosystem, File};

/// Those that read files by their paths. Go's executables are made in Go's own tests.
fn readers_of_files() -> impl Iterator<Item = &'static dyn Ecosystem> {
    ECOSYSTEMS.iter().copied().filter(|e| ![PackageKind::Golang, PackageKind::Maven].contains(&e.kind()))
}

#[derive(Default)]
struct Fixture {
    name: String,
    files: Vec<(String, Vec<u8>)>,
    expected: String,
    third_party: String,
    problems: String,
}

fn fixtures(ecosystem: &dyn Ecosystem) -> Vec<Fixture> {
    let kind = ecosystem.kind().as_str();
    let of_locks = format!("{kind}-lock");
    let of_locks = fs::exists(path_of(&of_locks)).unwrap().then(|| fixture(&of_locks));
    iter::once(fixture(kind)).chain(of_locks).collect()
}

fn path_of(name: &str) -> String {
    format!("fixtures/{name}.txt")
}

fn fixture(name: &str) -> Fixture {
    let text = fs::read_to_string(path_of(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let mut fixture = Fixture { name: name.to_owned(), ..Fixture::default() };
    for section in text.split("=== ").skip(1) {
        let (title, body) = section.split_once('\n').expect("a title and a body");
        match title {
            "expected" => fixture.expected = body.trim().to_owned(),
            "third party" => fixture.third_party = body.trim().to_owned(),
            "problems" => fixture.problems = body.trim().to_owned(),
            path => fixture.files.push((path.to_owned(), body.as_bytes().to_vec())),
        }
    }
    fixture
}

fn all_fixtures() -> impl Iterator<Item = (&'static dyn Ecosystem, Fixture)> {
    readers_of_files().flat_map(|ecosystem| fixtures(ecosystem).into_iter().map(move |f| (ecosystem, f)))
}

fn distro() -> Distro {
    Distro { id: "debian".to_owned(), version: "12".to_owned(), codename: None }
}

fn extract(
    ecosystem: &dyn Ecosystem,
    files: &[(String, Vec<u8>)],
) -> (Vec<Component>, Vec<Problem>, Vec<ThirdParty>) {
    let condensed: Vec<(&[u8], Vec<u8>)> = files
        .iter()
        .map(|(path, content)| (path.as_bytes(), ecosystem.condense(path.as_bytes(), content.clone())))
        .collect();
    let file = |(path, content)| File { path, layer: 0, content };
    let files: Vec<File<'_>> =
        condensed.iter().map(|(path, content)| file((*path, content.as_slice()))).collect();
    let (components, problems) = ecosystem.extract(&files, Some(&distro()));
    let third_party = ecosystem.third_party(&files, &components, Some(&distro()));
    (components, problems, third_party)
}

fn line(c: &Component) -> String {
    let source = c.source.as_ref().map(|s| format!("{}, {}", s.name, s.version)).unwrap_or_default();
    format!("{} | {} {} | {source} | {}", c.purl, c.name, c.version, c.locations[0].path)
}

#[test]
fn fixtures_hold() {
    for (ecosystem, fixture) in all_fixtures() {
        let name = &fixture.name;
        for (path, _) in &fixture.files {
            let takers: Vec<_> =
                ECOSYSTEMS.iter().filter(|e| e.wants(path.as_bytes())).map(|e| e.kind()).collect();
            assert_eq!(takers, [ecosystem.kind()], "{name}: {path}");
        }
        let (components, problems, third_party) = extract(ecosystem, &fixture.files);
        let found: Vec<String> = components.iter().map(line).collect();
        assert_eq!(found.join("\n"), fixture.expected, "{name}");
        let found: Vec<String> = problems.iter().map(|p| format!("{}: {}", p.place, p.what)).collect();
        assert_eq!(found.join("\n"), fixture.problems, "{name}");
        let shown = |t: &ThirdParty| format!("{} | {} | {}", t.place, t.supplier, t.packages.len());
        let found: Vec<String> = third_party.iter().map(shown).collect();
        assert_eq!(found.join("\n"), fixture.third_party, "{name}");
        assert!(!components.is_empty() && !problems.is_empty(), "{name}: the fixture shows too little");
    }
}

#[test]
fn damaged_files_do_no_harm() {
    for (ecosystem, fixture) in all_fixtures() {
        for (path, content) in fixture.files {
            for cut in 0..content.len() {
                let mut flipped = content.clone();
                flipped[cut] ^= 0xff;
                for damaged in [content[..cut].to_vec(), content[cut..].to_vec(), flipped] {
                    let (components, ..) = extract(ecosystem, &[(path.clone(), damaged)]);
                    assert!(components.iter().all(|c| !c.name.is_empty() && !c.version.is_empty()));
                }
            }
        }
    }
}
