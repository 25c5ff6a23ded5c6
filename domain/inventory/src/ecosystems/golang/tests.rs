use super::*;
use crate::ecosystems::executable::tests::{ADDRESS, elf, executable};

const MODULES: &str = "path\texample.com/app/cmd\nmod\texample.com/app\t(devel)\t\n\
    dep\tgithub.com/Azure/go-x\tv1.2.3\th1:abc=\ndep\texample.com/old\tv1.0.0\n=>\texample.com/new\tv2.0.0+incompatible\th1:\n\
    dep\texample.com/here\tv0.1.0\n=>\t./here\t(devel)\t\nbuild\tGOOS=linux\n";

/// As the linker writes it: the list between two marks.
fn marked(modules: &str) -> Vec<u8> {
    [&[0x30; 16][..], modules.as_bytes(), &[0xf9; 16]].concat()
}

fn string(bytes: &[u8]) -> Vec<u8> {
    let low = u8::try_from(bytes.len() & 0x7f).unwrap() | 0x80;
    [&[low, u8::try_from(bytes.len() >> 7).unwrap()][..], bytes].concat()
}

fn inline(go_version: &str, modules: &str) -> Vec<u8> {
    let header = [b"\xff Go buildinf:\x08\x02".as_slice(), &[0; 16]].concat();
    [header, string(go_version.as_bytes()), string(&marked(modules))].concat()
}

/// The form before Go 1.18: header, two strings' headers, then their bytes.
fn pointers(go_version: &str, modules: &str) -> Vec<u8> {
    let modules = marked(modules);
    let texts = ADDRESS + 32 + 32;
    let numbers = [
        ADDRESS + 32,
        ADDRESS + 48,
        texts,
        go_version.len() as u64,
        texts + go_version.len() as u64,
        modules.len() as u64,
    ];
    let numbers = numbers.map(u64::to_le_bytes).concat();
    [b"\xff Go buildinf:\x08\0".as_slice(), &numbers, go_version.as_bytes(), &modules].concat()
}

/// What is found in a file, as `PURL` lines and problems.
fn found(file: Vec<u8>) -> (Vec<String>, Vec<String>) {
    let Some(content) = Golang.look_into(&executable(file)) else { return (vec![], vec![]) };
    let (components, problems) = Golang.extract(&[File { path: b"app", layer: 0, content: &content }], None);
    let purls = components.iter().map(|c| c.purl.to_string()).collect();
    (purls, problems.into_iter().map(|p| p.what).collect())
}

const FOUND: [&str; 3] = [
    "pkg:golang/github.com/azure/go-x@v1.2.3",
    "pkg:golang/example.com/new@v2.0.0%2Bincompatible",
    "pkg:golang/stdlib@1.19.4",
];

#[test]
fn modules_replacements_and_the_standard_library_are_listed() {
    let section = elf(b"", &[(b".go.buildinfo", &inline("go1.19.4", MODULES))]);
    assert_eq!(found(section), (FOUND.map(str::to_owned).to_vec(), vec![]));
}

#[test]
fn without_sections_the_data_is_searched_and_pointers_are_followed() {
    for info in [inline("go1.19.4", MODULES), pointers("go1.19.4", MODULES)] {
        assert_eq!(found(elf(&info, &[])).0, FOUND);
    }
    let decoy = [b"\xff Go buildinf:\x08\x02".as_slice(), &[0; 16], &inline("go1.19.4", MODULES)].concat();
    assert_eq!(found(elf(&decoy, &[])).0, FOUND);
    let askew = [b"x".as_slice(), &inline("go1.19.4", MODULES)].concat();
    assert_eq!(found(elf(&askew, &[])), (vec![], vec![]), "the magic alone, not aligned, is text about Go");
}

#[test]
fn names_are_as_go_writes_them() {
    let content = Golang.look_into(&executable(elf(&inline("go1.19.4", MODULES), &[]))).unwrap();
    let (components, _) = Golang.extract(&[File { path: b"app", layer: 0, content: &content }], None);
    assert_eq!(
        (components[0].name.as_str(), components[0].version.as_str()),
        ("github.com/Azure/go-x", "v1.2.3")
    );
}

#[test]
fn a_main_module_with_a_version_is_listed_and_no_modules_are_no_fault() {
    let file = elf(&inline("go1.24.0 X:none", "mod\texample.com/app\tv1.5.0\n"), &[]);
    assert_eq!(found(file).0, ["pkg:golang/example.com/app@v1.5.0", "pkg:golang/stdlib@1.24.0"]);
    let mut bare = inline("go1.20", "");
    bare.truncate(32 + 2 + 6);
    bare.push(0);
    assert_eq!(found(elf(&bare, &[])).0, ["pkg:golang/stdlib@1.20"]);
}

#[test]
fn releases_are_told_from_what_is_none() {
    for (go_version, release_is) in [
        ("go1.21.4", Some("1.21.4")),
        ("go1.22rc1", Some("1.22rc1")),
        ("go1.21.4-fips", Some("1.21.4")),
        ("go1.21.4 X:boringcrypto", Some("1.21.4")),
        ("devel go1.22-b8b2 Fri", None),
        ("go", None),
        ("gofer", None),
    ] {
        assert_eq!(release(go_version), release_is, "{go_version}");
    }
    let (_, problems) = found(elf(&inline("devel +abc", MODULES), &[]));
    assert_eq!(problems.len(), 1, "{problems:?}");
}

#[test]
fn a_broken_section_is_a_problem_and_no_section_is_none() {
    let broken = elf(b"", &[(b".go.buildinfo", b"\xff Go buildinf:")]);
    assert_eq!(found(broken).1, ["holds Go build information that cannot be read"]);
    assert_eq!(found(elf(b"nothing", &[])), (vec![], vec![]));
}

#[test]
fn damaged_executables_do_no_harm() {
    let inline = elf(b"", &[(b".go.buildinfo", &inline("go1.19.4", MODULES))]);
    for file in [inline, elf(&pointers("go1.19.4", MODULES), &[])] {
        for at in 0..file.len() {
            let mut flipped = file.clone();
            flipped[at] ^= 0xff;
            for damaged in [file[..at].to_vec(), file[at..].to_vec(), flipped] {
                let content = Golang.look_into(&executable(damaged)).unwrap_or_default();
                let file = File { path: b"app", layer: 0, content: &content };
                let (components, _) = Golang.extract(&[file], None);
                assert!(components.iter().all(|c| !c.name.is_empty() && !c.version.is_empty()));
            }
        }
    }
}
