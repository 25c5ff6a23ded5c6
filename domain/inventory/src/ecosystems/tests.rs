//! One harness for all ecosystems: `fixtures/TYPE.txt` holds files and the components that they make.
//!
//! ```text
//! === path of a file
//! its content
//! === expected
//! PURL | NAME VERSION | SOURCE NAME, SOURCE VERSION | PATH
//! === problems
//! PLACE: WHAT
//! ```

use std::fs;

use model::{Component, Distro, PackageKind, Problem};

use super::{ECOSYSTEMS, Ecosystem, File};

/// Those that read files by their paths. Go's executables are made in Go's own tests.
fn readers_of_files() -> impl Iterator<Item = &'static dyn Ecosystem> {
    ECOSYSTEMS.iter().copied().filter(|e| ![PackageKind::Golang, PackageKind::Maven].contains(&e.kind()))
}

struct Fixture {
    files: Vec<(String, Vec<u8>)>,
    expected: String,
    problems: String,
}

fn fixture(ecosystem: &dyn Ecosystem) -> Fixture {
    let path = format!("fixtures/{}.txt", ecosystem.kind().as_str());
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let mut fixture = Fixture { files: Vec::new(), expected: String::new(), problems: String::new() };
    for section in text.split("=== ").skip(1) {
        let (title, body) = section.split_once('\n').expect("a title and a body");
        match title {
            "expected" => fixture.expected = body.trim().to_owned(),
            "problems" => fixture.problems = body.trim().to_owned(),
            path => fixture.files.push((path.to_owned(), body.as_bytes().to_vec())),
        }
    }
    fixture
}

fn distro() -> Distro {
    Distro { id: "debian".to_owned(), version: "12".to_owned(), codename: None }
}

fn extract(ecosystem: &dyn Ecosystem, files: &[(String, Vec<u8>)]) -> (Vec<Component>, Vec<Problem>) {
    let condensed: Vec<(&[u8], Vec<u8>)> = files
        .iter()
        .map(|(path, content)| (path.as_bytes(), ecosystem.condense(path.as_bytes(), content.clone())))
        .collect();
    let file = |(path, content)| File { path, layer: 0, content };
    let files: Vec<File<'_>> =
        condensed.iter().map(|(path, content)| file((*path, content.as_slice()))).collect();
    ecosystem.extract(&files, Some(&distro()))
}

fn line(c: &Component) -> String {
    let source = c.source.as_ref().map(|s| format!("{}, {}", s.name, s.version)).unwrap_or_default();
    format!("{} | {} {} | {source} | {}", c.purl, c.name, c.version, c.locations[0].path)
}

#[test]
fn fixtures_hold() {
    for ecosystem in readers_of_files() {
        let fixture = fixture(ecosystem);
        let kind = ecosystem.kind().as_str();
        for (path, _) in &fixture.files {
            let takers: Vec<_> =
                ECOSYSTEMS.iter().filter(|e| e.wants(path.as_bytes())).map(|e| e.kind()).collect();
            assert_eq!(takers, [ecosystem.kind()], "{kind}: {path}");
        }
        let (components, problems) = extract(ecosystem, &fixture.files);
        let found: Vec<String> = components.iter().map(line).collect();
        assert_eq!(found.join("\n"), fixture.expected, "{kind}");
        let found: Vec<String> = problems.iter().map(|p| format!("{}: {}", p.place, p.what)).collect();
        assert_eq!(found.join("\n"), fixture.problems, "{kind}");
        assert!(!components.is_empty() && !problems.is_empty(), "{kind}: the fixture shows too little");
    }
}

#[test]
fn damaged_files_do_no_harm() {
    for ecosystem in readers_of_files() {
        for (path, content) in fixture(ecosystem).files {
            for cut in 0..content.len() {
                let mut flipped = content.clone();
                flipped[cut] ^= 0xff;
                for damaged in [content[..cut].to_vec(), content[cut..].to_vec(), flipped] {
                    let (components, _) = extract(ecosystem, &[(path.clone(), damaged)]);
                    assert!(components.iter().all(|c| !c.name.is_empty() && !c.version.is_empty()));
                }
            }
        }
    }
}
