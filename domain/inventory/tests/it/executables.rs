//! Executables in layers: found by what they are, hidden and linked as other files are.

use inventory::{Limits, compose, read_layer};
use model::Sbom;

use crate::support::{packages, plain, scan_archives};
use crate::tar::Tar;

/// The least of a Go executable: an ELF header, one writable segment, build information.
fn go(version: &str) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(128, 0);
    file[32] = 64;
    file[54..58].copy_from_slice(&[56, 0, 1, 0]);
    file[64..69].copy_from_slice(&[1, 0, 0, 0, 6]);
    file[72] = 128;
    file[96..98].copy_from_slice(&[0, 1]);
    let modules = format!("0123456789abcdefdep\texample.com/m\t{version}\n0123456789abcdef");
    file.extend_from_slice(b"\xff Go buildinf:\x08\x02");
    file.extend_from_slice(&[0; 16]);
    file.extend_from_slice(b"\x06go1.21");
    file.push(u8::try_from(modules.len()).unwrap());
    file.extend_from_slice(modules.as_bytes());
    file.resize(128 + 256, 0);
    file
}

fn program(tar: Tar, name: &str, mode: &[u8; 7], content: &[u8]) -> Tar {
    let set_mode = |block: &mut [u8; 512]| block[100..107].copy_from_slice(mode);
    tar.header(b'0', name.as_bytes(), b"", content.len() as u64, set_mode).body(content)
}

fn app(version: &str) -> Tar {
    program(Tar::new().dir("usr/bin"), "usr/bin/app", b"0000755", &go(version))
}

fn scan(layers: &[Tar]) -> Sbom {
    let archives: Vec<Vec<u8>> = layers.iter().map(|tar| tar.clone().end()).collect();
    scan_archives(&archives).unwrap()
}

/// The module's versions with their places.
fn check(layers: &[Tar], expected: &[&str]) {
    let sbom = scan(layers);
    let modules = sbom.components.iter().filter(|c| c.name == "example.com/m");
    let places =
        modules.flat_map(|c| c.locations.iter().map(|l| format!("{} {}:{}", c.version, l.layer, l.path)));
    assert_eq!(places.collect::<Vec<_>>(), expected);
    assert_eq!(sbom.problems, []);
}

#[test]
fn an_executable_is_known_by_permissions_or_name_and_its_first_bytes() {
    check(&[app("v1.0.0")], &["v1.0.0 0:usr/bin/app"]);
    assert_eq!(packages(&scan(&[app("v1.0.0")])), ["example.com/m v1.0.0", "stdlib 1.21"]);
    check(&[program(Tar::new(), "a/x.so.1", b"0000644", &go("v1.0.0"))], &["v1.0.0 0:a/x.so.1"]);
    check(&[program(Tar::new(), "a/data", b"0000644", &go("v1.0.0"))], &[]);
    check(&[program(Tar::new(), "a/script", b"0000755", b"#!")], &[]);
    check(&[program(Tar::new(), "a/empty", b"0000755", b"")], &[]);
    let both = program(app("v1.0.0"), "opt/app", b"0000755", &go("v1.0.0"));
    check(&[both], &["v1.0.0 0:opt/app", "v1.0.0 0:usr/bin/app"]);
}

#[test]
fn upper_layers_hide_and_replace_executables() {
    check(&[app("v1.0.0"), Tar::new().file("usr/bin/.wh.app", "")], &[]);
    check(&[app("v1.0.0"), Tar::new().file("usr/.wh..wh..opq", "")], &[]);
    check(&[app("v1.0.0"), Tar::new().file("usr/bin/app", "text")], &[]);
    check(&[app("v1.0.0"), app("v1.1.0")], &["v1.1.0 1:usr/bin/app"]);
    check(&[app("v1.0.0").file("usr/bin/app", "text")], &[]);
}

#[test]
fn hard_links_to_executables_are_executables() {
    let here = app("v1.0.0").hard_link("bin/same", "usr/bin/app");
    check(&[here], &["v1.0.0 0:bin/same", "v1.0.0 0:usr/bin/app"]);
    let above = Tar::new().hard_link("bin/same", "usr/bin/app").file("usr/bin/.wh.app", "");
    check(&[app("v1.0.0"), above], &["v1.0.0 1:bin/same"]);
    check(&[Tar::new().file("etc/x", "y"), Tar::new().hard_link("etc/z", "etc/x")], &[]);
    check(&[Tar::new().hard_link("etc/z", "nowhere")], &[]);
}

#[test]
fn links_that_make_an_executable_something_else_do_not_hide_it() {
    check(&[app("v1.0.0").symlink("x.egg-info", "/usr/bin/app")], &["v1.0.0 0:usr/bin/app"]);
    let linked = app("v1.0.0").hard_link("node_modules/x/package.json", "usr/bin/app");
    check(&[linked], &["v1.0.0 0:node_modules/x/package.json", "v1.0.0 0:usr/bin/app"]);
}

#[test]
fn what_is_read_of_one_file_is_not_missing_from_the_next() {
    let text = program(Tar::new(), "1.egg-info", b"0000755", b"Name: a\nVersion: 1\n");
    let tar = program(text.file("2", "#!/bin/sh"), "3/run", b"0000755", &[b'#'; 10_000]);
    assert_eq!(packages(&scan(&[tar.file("4.egg-info", "Name: b\nVersion: 2\n")])), ["a 1", "b 2"]);
}

#[test]
fn of_executables_over_the_limit_what_is_not_found_is_said() {
    let mut large = go("v1.0.0");
    large.resize(1 << 20, 0);
    let limits = Limits { executable_bytes: 1 << 16, ..Limits::DEFAULT };
    let read = |file: &[u8]| {
        let archive = program(Tar::new(), "app", b"0000755", file).end();
        compose(&[read_layer(archive.as_slice(), &plain(&archive), &limits).unwrap()])
    };
    // The data is among the parts that are held.
    let sbom = read(&large);
    assert_eq!(
        (packages(&sbom), sbom.problems.len()),
        (vec!["example.com/m v1.0.0".to_owned(), "stdlib 1.21".to_owned()], 0)
    );
    // Without sections, data may be where nothing is held.
    large[96..104].copy_from_slice(&(1_u64 << 19).to_le_bytes());
    large[128] = 0;
    let unsearched = "is an executable so large that not all of it was searched for what Go built it from";
    assert_eq!(whats(&read(&large)), [unsearched]);
    // The list of sections is said to be where nothing is held.
    large[40..48].copy_from_slice(&(1_u64 << 19).to_le_bytes());
    large[58..64].copy_from_slice(&[64, 0, 2, 0, 1, 0]);
    let unlisted = "is an executable so large that its list of sections was not read";
    assert_eq!(whats(&read(&large)), [unlisted]);
}

fn whats(sbom: &Sbom) -> Vec<&str> {
    sbom.problems.iter().map(|problem| problem.what.as_str()).collect()
}

#[test]
fn executables_with_holes_are_not_passed_over_in_silence() {
    let file = go("v1.0.0");
    let records: [(&str, &[u8]); 3] =
        [("GNU.sparse.major", b"1"), ("GNU.sparse.name", b"app"), ("GNU.sparse.realsize", b"384")];
    let sbom = scan(&[program(Tar::new().pax(&records), "x", b"0000755", &file)]);
    assert_eq!(sbom.problems[0].what, "is stored with holes, which are not read");
}

#[test]
fn an_executable_that_a_package_of_the_distribution_owns_says_so() {
    let status = "Package: app\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\n";
    let tar = app("v1.0.0")
        .file("var/lib/dpkg/status", status)
        .file("var/lib/dpkg/info/app.list", "/usr/bin\n/usr/bin/app\n");
    let sbom = scan(&[tar]);
    let module = sbom.components.iter().find(|c| c.name == "example.com/m").unwrap();
    assert!(module.owner.as_ref().unwrap().as_str().starts_with("pkg:deb/"));
}
