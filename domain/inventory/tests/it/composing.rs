//! Layers over each other: whiteouts, replaced directories, links, owners, and who brought what.

use inventory::{Limits, compose, read_layer};
use model::Sbom;

use crate::support::{packages, plain, scan_archives};
use crate::tar::Tar;

const DEBIAN: &str = "ID=debian\nVERSION_ID=\"12\"\n";

fn egg(name: &str) -> String {
    format!("Name: {name}\nVersion: 1\n")
}

fn status(packages: &[&str]) -> String {
    let paragraph = |name: &&str| {
        format!("Package: {name}\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\n\n")
    };
    packages.iter().map(paragraph).collect()
}

fn scan(layers: &[Tar]) -> Sbom {
    let archives: Vec<Vec<u8>> = layers.iter().map(|tar| tar.clone().end()).collect();
    scan_archives(&archives).unwrap()
}

fn check(layers: &[Tar], expected: &[&str]) {
    let sbom = scan(layers);
    let names: Vec<String> = packages(&sbom).iter().map(|line| line.replace(" 1", "")).collect();
    assert_eq!(names, expected);
    assert_eq!(sbom.problems, []);
}

/// A lower layer with a package `a` in a directory and a package `b` beside it.
fn lower() -> Tar {
    Tar::new().dir("d").file("d/a.egg-info", egg("a")).file("b.egg-info", egg("b"))
}

#[test]
fn whiteouts_hide_what_is_below_and_nothing_else() {
    check(&[lower(), Tar::new().file("d/.wh.a.egg-info", "")], &["b"]);
    check(&[lower(), Tar::new().file(".wh.d", "")], &["b"]);
    check(&[lower(), Tar::new().file("d/.wh.a", "")], &["a", "b"]);
    let whited = Tar::new().file(".wh.b.egg-info", "");
    check(&[whited.clone(), lower()], &["a", "b"]);
    check(&[lower(), whited.clone(), Tar::new().file("b.egg-info", egg("c"))], &["a", "c"]);
    // Of the same layer nothing is hidden, whichever comes first.
    let again = egg("c");
    check(&[lower(), whited.clone().file("b.egg-info", &again)], &["a", "c"]);
    check(&[lower(), Tar::new().file("b.egg-info", &again).file(".wh.b.egg-info", "")], &["a", "c"]);
}

#[test]
fn opaque_directories_hide_all_that_is_below_them() {
    let opaque = Tar::new().file("d/.wh..wh..opq", "");
    check(&[lower(), opaque.clone()], &["b"]);
    check(&[lower(), opaque.clone().file("d/c.egg-info", egg("c"))], &["b", "c"]);
    check(&[lower(), Tar::new().file("d/c.egg-info", egg("c")).file("d/.wh..wh..opq", "")], &["b", "c"]);
    check(&[lower(), Tar::new().file(".wh..wh..opq", "")], &[]);
}

#[test]
fn what_takes_the_place_of_a_directory_hides_its_content() {
    for replacement in
        [Tar::new().file("d", "x"), Tar::new().symlink("d", "/e"), Tar::new().entry(b'6', "d", "", "")]
    {
        check(&[lower(), replacement], &["b"]);
    }
    check(&[lower(), Tar::new().dir("d")], &["a", "b"]);
    check(&[lower(), Tar::new().file("d/x", "")], &["a", "b"]);
    check(&[lower(), Tar::new().dir("b.egg-info")], &["a"]);
    check(&[lower(), Tar::new().file("b.egg-info/x", "")], &["a"]);
    check(&[lower(), Tar::new().file("d", "x"), Tar::new().dir("d")], &["b"]);
}

#[test]
fn a_directory_takes_the_place_of_a_link_below() {
    let link = Tar::new().symlink("l", "d").file("d/a.egg-info", egg("a"));
    // Overlayfs makes `l` a directory of its own; nothing is written through the link.
    let sbom = scan(&[link, Tar::new().file("l/a.egg-info", egg("c"))]);
    assert_eq!(packages(&sbom), ["a 1", "c 1"]);
    let path = |name: &str| &sbom.components.iter().find(|c| c.name == name).unwrap().locations[0].path;
    assert_eq!((path("a").as_str(), path("c").as_str()), ("d/a.egg-info", "l/a.egg-info"));
}

#[test]
fn a_link_of_the_same_layer_is_written_through() {
    let layer = Tar::new().symlink("esc", "/").symlink("up", "../../d").file("esc/up/a.egg-info", egg("a"));
    assert_eq!(scan(&[layer]).components[0].locations[0].path, "d/a.egg-info");
    let turned = Tar::new().symlink("l", "one").file("l/a.egg-info", egg("a")).symlink("l", "two");
    let sbom = scan(&[turned.file("l/b.egg-info", egg("b"))]);
    let paths: Vec<_> = sbom.components.iter().map(|c| c.locations[0].path.as_str()).collect();
    assert_eq!(paths, ["one/a.egg-info", "two/b.egg-info"]);
}

#[test]
fn within_a_layer_the_last_entry_counts() {
    let layer = Tar::new().file("d/a.egg-info", egg("a")).file("d", "x").file("b.egg-info", egg("b"));
    check(&[layer], &["b"]);
    check(&[Tar::new().file("d/a.egg-info", egg("a")).file("d", "x").dir("d")], &[]);
    // The directory that came back is an ordinary one: what lies below shows again.
    check(&[lower(), Tar::new().file("d/a.egg-info", egg("z")).file("d", "x").dir("d")], &["a", "b"]);
}

#[test]
fn hard_links_are_files() {
    let store = Tar::new().file("store/1", egg("a")).hard_link("x/a.egg-info", "store/1");
    check(std::slice::from_ref(&store), &["a"]);
    check(&[store.clone(), Tar::new().file(".wh.store", "")], &["a"]);
    check(&[Tar::new().file("store/1", egg("a")), Tar::new().hard_link("a.egg-info", "./store/1")], &["a"]);
    check(
        &[lower(), Tar::new().file(".wh.b.egg-info", "").hard_link("c.egg-info", "b.egg-info")],
        &["a", "b"],
    );
    // It is the file that was there when the link was made.
    let layer = Tar::new().file("b.egg-info", egg("old")).hard_link("c.egg-info", "b.egg-info");
    check(&[layer.file("b.egg-info", egg("new"))], &["new", "old"]);
    let chain =
        Tar::new().file("1", egg("a")).hard_link("2", "1").hard_link("3", "2").hard_link("a.egg-info", "3");
    check(&[chain], &["a"]);
    // Over a name that nobody wants, to what only the layer below has.
    let below =
        Tar::new().hard_link("b/1", "b.egg-info").hard_link("c.egg-info", "b/1").file(".wh.b.egg-info", "");
    check(&[Tar::new().file("b.egg-info", egg("b")), below], &["b"]);
    // Over two layers, the upper of which hides the name between.
    let between = Tar::new().hard_link("1", "x/2");
    let hides = Tar::new().hard_link("a.egg-info", "1").file(".wh.1", "").file(".wh.x", "");
    check(&[Tar::new().file("x/2", egg("a")), between, hides], &["a"]);
}

#[test]
fn a_hard_link_to_nothing_is_a_problem_only_where_it_matters() {
    let sbom = scan(&[lower().hard_link("h", "nowhere").hard_link("c.egg-info", "nowhere")]);
    assert_eq!(packages(&sbom), ["a 1", "b 1"]);
    assert_eq!(sbom.problems.len(), 1);
    assert_eq!(sbom.problems[0].place, "layer 0: c.egg-info");
}

#[test]
fn the_package_database_may_be_a_link() {
    let data = status(&["hello"]);
    for target in ["/data/status", "../../../data/status", "../../../../../data/status"] {
        let link = Tar::new().file("data/status", &data).symlink("var/lib/dpkg/status", target);
        check(&[link], &["hello"]);
    }
    // Over layers, over directories, over several links, and whichever is on top.
    let layers =
        [Tar::new().file("data/status", &data), Tar::new().symlink("var/lib/dpkg/status", "/data/status")];
    check(&layers, &["hello"]);
    check(&[&layers[..], &[Tar::new().file("data/status", status(&["new"]))]].concat(), &["new"]);
    check(&[&layers[..], &[Tar::new().file("data/.wh.status", "")]].concat(), &[]);
    let dirs =
        Tar::new().file("usr/db/status", &data).symlink("var/lib/dpkg", "../../mid").symlink("mid", "usr/db");
    check(&[dirs], &["hello"]);
    let parts = Tar::new().file("db/status.d/hello", &data).symlink("var", "v").symlink("v/lib/dpkg", "/db");
    check(&[parts], &["hello"]);
    let each =
        Tar::new().file("elsewhere", &data).symlink("var/lib/dpkg/status.d/hello", "../../../../elsewhere");
    check(&[each], &["hello"]);
}

#[test]
fn links_in_circles_and_links_to_nothing_lead_nowhere() {
    let circle = scan(&[lower().symlink("var/lib/dpkg/status", "status")]);
    assert_eq!(packages(&circle), ["a 1", "b 1"]);
    assert!(circle.problems[0].what.contains("in a circle"), "{:?}", circle.problems);
    check(
        &[lower().symlink("var/lib/dpkg/status", "/nowhere").symlink("c.egg-info", "/dev/null")],
        &["a", "b"],
    );
}

#[test]
fn without_a_second_look_the_sbom_admits_what_it_missed() {
    let archive =
        Tar::new().file("data/status", status(&["hello"])).symlink("var/lib/dpkg/status", "/data/status");
    let archive = archive.end();
    let layer = read_layer(&archive[..], &plain(&archive), &Limits::DEFAULT).unwrap();
    let sbom = compose(&[layer]);
    assert_eq!(sbom.components, []);
    assert_eq!(sbom.problems[0].place, "layer 0: data/status");
}

#[test]
fn language_packages_know_the_os_package_that_owns_them() {
    let package = r#"{"name":"acorn","version":"1"}"#;
    let list = "/.\n/usr/share/nodejs/acorn/package.json\n/lib/python3/x.egg-info\n";
    let layer = Tar::new()
        .file("etc/os-release", DEBIAN)
        .file("var/lib/dpkg/status", status(&["node-acorn"]))
        .file("var/lib/dpkg/info/node-acorn.list", list)
        .file("usr/share/nodejs/acorn/package.json", package)
        .symlink("lib", "usr/lib")
        .file("usr/lib/python3/x.egg-info", egg("x"))
        .file("app/node_modules/acorn/package.json", package);
    let sbom = scan(&[layer]);
    let owner = "pkg:deb/debian/node-acorn@1?arch=amd64&distro=debian-12";
    let rows: Vec<(&str, &str, Option<&str>)> = sbom
        .components
        .iter()
        .map(|c| (c.name.as_str(), c.locations[0].path.as_str(), c.owner.as_ref().map(model::Purl::as_str)))
        .collect();
    let expected = [
        ("node-acorn", "var/lib/dpkg/status", None),
        ("acorn", "app/node_modules/acorn/package.json", None),
        ("acorn", "usr/share/nodejs/acorn/package.json", Some(owner)),
        ("x", "usr/lib/python3/x.egg-info", Some(owner)),
    ];
    assert_eq!(rows, expected);
}

#[test]
fn lock_files_count_only_where_nothing_is_installed() {
    let lock = r#"{"lockfileVersion":3,"packages":{"node_modules/a":{"version":"1"}}}"#;
    let installed = r#"{"name":"b","version":"1"}"#;
    let locked = Tar::new().file("app/package-lock.json", lock);
    check(std::slice::from_ref(&locked), &["a"]);
    let both = locked.clone().file("app/node_modules/b/package.json", installed);
    check(std::slice::from_ref(&both), &["b"]);
    check(&[locked, Tar::new().file("other/node_modules/b/package.json", installed)], &["a", "b"]);
    // What a later layer removes is not installed.
    check(&[both, Tar::new().file("app/.wh.node_modules", "")], &["a"]);
    let pinned = Tar::new().file("app/requirements.txt", "c==1\n");
    check(std::slice::from_ref(&pinned), &["c"]);
    check(&[pinned, lower()], &["a", "b"]);
}

#[test]
fn distroless_images_say_owners_in_checksums() {
    let sums = "d41d8cd98f00b204e9800998ecf8427e  usr/lib/python3/x.egg-info\n";
    let layer = Tar::new()
        .file("var/lib/dpkg/status.d/py", status(&["python3-x"]))
        .file("var/lib/dpkg/status.d/py.md5sums", sums)
        .file("usr/lib/python3/x.egg-info", egg("x"));
    let sbom = scan(&[layer]);
    let owner = sbom.components[1].owner.as_ref().map(model::Purl::as_str);
    assert_eq!(owner, Some("pkg:deb/debian/python3-x@1?arch=amd64"));
}

#[test]
fn packages_are_of_the_layer_that_brought_them() {
    let first = Tar::new()
        .file("var/lib/dpkg/status", status(&["one"]))
        .file("var/lib/dpkg/info/one.list", "/usr/bin/one\n")
        .file("a.egg-info", egg("a"));
    let second = Tar::new()
        .file("var/lib/dpkg/status", status(&["one", "two"]))
        .file("var/lib/dpkg/info/two:amd64.list", "/usr/bin/two\n")
        .file("copy/a.egg-info", egg("a"));
    let sbom = scan(&[first, second]);
    let layers: Vec<(&str, Vec<u32>)> = sbom
        .components
        .iter()
        .map(|c| (c.name.as_str(), c.locations.iter().map(|l| l.layer).collect()))
        .collect();
    assert_eq!(layers, [("one", vec![0]), ("two", vec![1]), ("a", vec![0, 1])]);
}

#[test]
fn the_distribution_comes_from_the_first_os_release() {
    let id = |layer: Tar| scan(&[layer]).distro.map(|d| d.id);
    let usr = Tar::new().file("usr/lib/os-release", "ID=usr\n");
    assert_eq!(id(usr.clone()).as_deref(), Some("usr"));
    assert_eq!(id(usr.clone().file("etc/os-release", "ID=etc\n")).as_deref(), Some("etc"));
    assert_eq!(id(usr.symlink("etc/os-release", "../usr/lib/os-release")).as_deref(), Some("usr"));
    assert_eq!(
        id(Tar::new().file("x/r", "ID=far\n").symlink("etc/os-release", "/x/r")).as_deref(),
        Some("far")
    );
    assert_eq!(id(Tar::new()), None);
}

#[test]
fn a_flood_of_problems_is_cut_short() {
    let layer = (0..1500).fold(Tar::new(), |tar, n| tar.file(format!("{n}.egg-info"), ""));
    let problems = scan(&[layer]).problems;
    assert_eq!(problems.len(), 1001);
    assert_eq!(problems[1000].what, "500 more problems");
}
