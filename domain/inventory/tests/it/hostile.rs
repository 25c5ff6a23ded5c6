//! Layers made to mislead: each is read for the tree that a runtime would unpack, or refused with its layer and entry.

use inventory::{LayerError, Reason};
use model::{Digest, Sbom};

use crate::support::{gzip, packages, scan_archives};
use crate::tar::Tar;

fn egg(name: &str) -> String {
    format!("Name: {name}\nVersion: 1\n")
}

/// A layer with a package `a` in a directory.
fn lower() -> Tar {
    Tar::new().file("d/a.egg-info", egg("a"))
}

fn scan(layers: &[Tar]) -> Result<Sbom, LayerError> {
    let archives: Vec<Vec<u8>> = layers.iter().map(|tar| tar.clone().end()).collect();
    scan_archives(&archives)
}

/// The packages, and the places of problems.
#[track_caller]
fn check(layers: &[Tar], expected: &[&str], troubled: &[&str]) {
    let sbom = scan(layers).unwrap();
    let names: Vec<String> = packages(&sbom).iter().map(|line| line.replace(" 1", "")).collect();
    assert_eq!(names, expected);
    let places: Vec<&str> = sbom.problems.iter().map(|problem| problem.place.as_str()).collect();
    assert_eq!(places, troubled, "{:?}", sbom.problems);
}

/// Refused, as the first layer's fault, at the entry.
#[track_caller]
fn check_refused(archive: Vec<u8>, reason: Reason, entry: &str) {
    let digest = Digest::of(&archive);
    let error = scan_archives(&[archive]).expect_err(entry);
    assert_eq!((error.layer, error.reason, error.entry.as_deref()), (digest, reason, Some(entry)));
}

#[test]
fn hard_links_lead_to_nothing_that_is_not_in_the_image() {
    for target in ["../../../etc/passwd", "/proc/self/environ", "b.egg-info", "./b.egg-info", "", ".", "d/.."]
    {
        check(&[lower().hard_link("b.egg-info", target)], &["a"], &["layer 0: b.egg-info"]);
    }
    // A link is made of what is there: not of what comes later.
    let late = Tar::new().hard_link("b.egg-info", "x").file("x", egg("b"));
    check(&[late], &[], &["layer 0: b.egg-info"]);
    let of_a_directory = lower().hard_link("b.egg-info", "d");
    check(&[of_a_directory], &["a"], &["layer 0: b.egg-info"]);
}

#[test]
fn forty_links_are_followed_and_no_more() {
    let chain = |links: usize| {
        let link = |tar: Tar, n: usize| tar.symlink(format!("l/{n}"), format!("{}", n + 1));
        let tar = (1..links).fold(Tar::new(), link).file(format!("l/{links}"), egg("b"));
        tar.symlink("b.egg-info", "l/1")
    };
    check(&[chain(40)], &["b"], &[]);
    check(&[chain(41)], &[], &["layer 0: b.egg-info"]);
    let doubling = (0..60)
        .fold(Tar::new(), |tar, n| tar.symlink(format!("x{n}"), format!("x{0}/../x{0}/../x{0}", n + 1)));
    check(&[lower().symlink("b.egg-info", "x0"), doubling], &["a"], &["layer 0: b.egg-info"]);
}

#[test]
fn whiteouts_hide_what_they_name_whatever_they_are() {
    for kind in [b'0', b'1', b'2', b'3', b'5', b'6'] {
        check(&[lower(), Tar::new().entry(kind, "d/.wh.a.egg-info", "x", "")], &[], &[]);
    }
    let through_link = Tar::new().symlink("l", "d").file("l/.wh.a.egg-info", "");
    check(&[lower(), through_link], &[], &[]);
    check(&[lower(), Tar::new().file("x/../d/.wh.a.egg-info", "")], &[], &[]);
    check(&[lower(), Tar::new().file("d/.wh.A.EGG-INFO", "")], &["a"], &[]);
    check(
        &[lower(), Tar::new().file("d/..wh.a.egg-info", "").file("d/wh.a.egg-info", "")],
        &["a"],
        &["layer 1: d/..wh.a.egg-info", "layer 1: d/wh.a.egg-info"],
    );
    // What hides cannot be hidden, nor can a link to it be made.
    let twice = Tar::new().file("d/.wh.a.egg-info", "").file("d/.wh..wh.a.egg-info", "");
    check(&[lower(), twice], &[], &[]);
    check_refused(Tar::new().file("d/.wh.", "").end(), Reason::InvalidWhiteout, "d/.wh.");
    check_refused(Tar::new().file(".wh.d/.wh.a", "").end(), Reason::InvalidWhiteout, ".wh.d/.wh.a");
}

#[test]
fn a_body_that_ends_early_is_the_fault_of_its_entry() {
    let whole = lower().file("last", vec![7; 3000]).cut();
    for missing in [1, 200, 512, 2999, 3000] {
        let length = lower().cut().len() + 512 + 3000 - missing;
        check_refused(whole[..length].to_vec(), Reason::Truncated, "last");
    }
    let zipped = gzip(&whole);
    let layer =
        crate::support::describe(&zipped[..zipped.len() / 2], inventory::media_type::OCI_LAYER_GZIP, &whole);
    let error = inventory::read_layer(&zipped[..zipped.len() / 2], &layer, &inventory::Limits::DEFAULT);
    assert_eq!(
        error.map_err(|error| (error.layer, error.reason)).unwrap_err(),
        (layer.digest, Reason::Truncated)
    );
}

#[test]
fn refusals_name_the_entry_as_a_terminal_may_show_it() {
    let odd = b"\xff\x1b[2J\n\xe2\x80\xae.egg-info";
    let below = [&odd[..], b"/x"].concat();
    let shown = "\\xff\\x1b[2J\\x0a\\xe2\\x80\\xae.egg-info/x";
    let archive = Tar::new().file(odd, egg("b")).file(below, "").end();
    check_refused(archive, Reason::ImpossiblePath, shown);
    let sbom = scan(&[Tar::new().file(odd, egg("b"))]).unwrap();
    assert_eq!(sbom.components[0].locations[0].path, shown.trim_end_matches("/x"));
    // In a name it is no name.
    check(&[Tar::new().file("b.egg-info", egg("b\u{202e}"))], &[], &["layer 0: b.egg-info"]);
}

#[test]
fn records_beside_the_name_change_nothing() {
    let xattr = Tar::new().pax(&[("SCHILY.xattr.user.x", b"\0\0"), ("mtime", b"-1e9"), ("uid", b"\xff")]);
    check(&[xattr.file("b.egg-info", egg("b"))], &["b"], &[]);
    let twice = Tar::new().pax(&[("path", b"x"), ("path", b"b.egg-info")]).file("y", egg("b"));
    check(&[twice], &["b"], &[]);
    let both = Tar::new().entry(b'L', "long", "", "x\0").pax(&[("path", b"c.egg-info")]).file("y", egg("b"));
    check(&[both], &[], &[]);
    let of_a_whiteout = Tar::new().pax(&[("path", b"d/.wh.a.egg-info")]).file("y", "");
    check(&[lower(), of_a_whiteout], &[], &[]);
}

#[test]
fn an_archive_inside_a_body_is_not_read_as_entries() {
    let inner = Tar::new().file("hidden.egg-info", egg("hidden")).end();
    check(&[Tar::new().file("x", &inner).file("b.egg-info", egg("b"))], &["b"], &[]);
    // The size of the records counts, so that the header behind the body is found where runtimes find it.
    let size = inner.len().to_string();
    let smuggled =
        Tar::new().pax(&[("size", size.as_bytes())]).header(b'0', b"x", b"", 0, |_| ()).body(&inner);
    check(&[smuggled.file("b.egg-info", egg("b"))], &["b"], &[]);
}

#[test]
fn as_many_layers_as_a_manifest_may_have_are_read() {
    let layers: Vec<Tar> = (0..512)
        .map(|n| match n % 3 {
            0 => Tar::new().file("d/a.egg-info", egg(&format!("a{n}"))),
            1 => Tar::new().file("d/.wh.a.egg-info", ""),
            _ => Tar::new().file(format!("{n}.egg-info"), ""),
        })
        .collect();
    let sbom = scan(&layers).unwrap();
    assert_eq!((packages(&sbom).len(), sbom.problems.len()), (0, 170));
}
