//! Small root file systems in temporary directories.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use model::Sbom;
use tempfile::TempDir;

use super::*;

const RELEASE: &str = "ID=debian\nVERSION_ID=12\n";
const STATUS: &str = "Package: one\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.0-1\n\n";

fn choice() -> Choice {
    Choice { reference: None, platform: Platform::linux_amd64().into() }
}

fn put(root: &TempDir, path: &str, bytes: &[u8]) {
    let path = root.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn debian() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    put(&root, "usr/lib/os-release", RELEASE.as_bytes());
    put(&root, "var/lib/dpkg/status", STATUS.as_bytes());
    put(&root, "app/node_modules/two/package.json", br#"{"name":"two","version":"2.0.0"}"#);
    fs::create_dir(root.path().join("etc")).unwrap();
    symlink("../usr/lib/os-release", root.path().join("etc/os-release")).unwrap();
    root
}

fn sbom(image: &SourceImage) -> Sbom {
    let open = |layer: &inventory::LayerDescriptor| image.read_layer(&layer.digest).map_err(io::Error::other);
    inventory::scan(&image.layers, &Limits::DEFAULT, inventory::usual_threads(), &inventory::NoCache, open)
        .unwrap()
}

fn packages(sbom: &Sbom) -> Vec<&str> {
    sbom.components.iter().map(|component| component.name.as_str()).collect()
}

#[test]
fn a_directory_is_read_like_a_layer_and_has_a_digest_of_its_content() {
    let (one, two) = (debian(), debian());
    fs::set_permissions(two.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let image = super::super::open(one.path(), &choice()).unwrap().remove(0);
    let sbom = sbom(&image);
    assert_eq!(packages(&sbom), ["one", "two"]);
    assert_eq!(sbom.distro.as_ref().map(|distro| distro.id.as_str()), Some("debian"));
    assert!(sbom.problems.is_empty() && image.left_out.is_empty(), "{:?}", sbom.problems);
    let mut bytes = Vec::new();
    image.read(&image.blobs[0]).unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(
        (Digest::of(&bytes), bytes.len() as u64),
        (image.blobs[0].digest.clone(), image.blobs[0].size)
    );

    assert_eq!(
        open(two.path(), &choice()).unwrap().digest,
        image.digest,
        "wherever it lies, and whenever made"
    );
    put(&two, "app/new", b"x");
    assert_ne!(open(two.path(), &choice()).unwrap().digest, image.digest);
}

#[test]
fn links_never_lead_out_and_special_files_are_passed_over() {
    let (root, outside) = (debian(), tempfile::tempdir().unwrap());
    put(&outside, "node_modules/three/package.json", br#"{"name":"three","version":"3.0.0"}"#);
    symlink(outside.path(), root.path().join("srv")).unwrap();
    symlink(outside.path().join("node_modules"), root.path().join("app/node_modules/more")).unwrap();
    symlink("../../../../../../../../etc/passwd", root.path().join("up")).unwrap();
    symlink("loop", root.path().join("loop")).unwrap();
    let _socket = UnixListener::bind(root.path().join("socket")).unwrap();
    let image = open(root.path(), &choice()).unwrap();
    assert_eq!(packages(&sbom(&image)), ["one", "two"]);
    assert!(image.left_out.is_empty());
}

#[test]
fn what_cannot_be_read_is_said_and_makes_the_result_partial() {
    let root = debian();
    let status = root.path().join("var/lib/dpkg/status");
    File::options().write(true).open(&status).unwrap().set_len(FILE_BYTES + 1).unwrap();
    put(&root, "usr/share/.wh.readme", b"x");
    let image = open(root.path(), &choice()).unwrap();
    let expected = [
        "usr/share/.wh.readme: no layer can hold this name",
        "var/lib/dpkg/status: it has more than 4294967296 bytes",
    ];
    assert_eq!(image.left_out, expected);
    let sbom = sbom(&image);
    assert_eq!(packages(&sbom), ["two"]);
    assert_eq!(sbom.problems[0].place, "layer 0: var/lib/dpkg/status");
}

#[test]
fn what_was_left_out_is_named_up_to_a_number() {
    let root = debian();
    (0..NAMED + 5).for_each(|at| put(&root, &format!("a/.wh.{at}"), b""));
    let left_out = open(root.path(), &choice()).unwrap().left_out;
    assert_eq!((left_out.len(), left_out[NAMED].as_str()), (NAMED + 1, "and 5 more"));
}

#[test]
fn a_file_that_shrinks_keeps_its_place_and_says_so() {
    let root = debian();
    put(&root, "app/node_modules/two/package.json", br#"{"name":"two","version":"2.0.0"}"#);
    let path = root.path().join("app/node_modules/two/package.json");
    let mut walk = Walk::new(root.path()).unwrap();
    let seen = path.symlink_metadata().unwrap();
    File::options().write(true).open(&path).unwrap().set_len(4).unwrap();
    walk.file(Path::new("app/node_modules/two/package.json"), &path, &seen).unwrap();
    let made = walk.tar.into_inner().and_then(Sink::finish).unwrap();
    let image = image(made, &Platform::linux_amd64(), walk.left_out).unwrap();
    assert_eq!(image.left_out, ["app/node_modules/two/package.json: it changed while it was read"]);
    assert_eq!(sbom(&image).problems.len(), 1);
}

#[test]
fn a_file_that_was_replaced_is_not_read() {
    let root = debian();
    let path = root.path().join("usr/lib/os-release");
    let seen = path.symlink_metadata().unwrap();
    fs::rename(root.path().join("var/lib/dpkg/status"), &path).unwrap();
    assert!(open_file(&path, &seen).is_err());
    let link = root.path().join("etc/os-release");
    assert!(open_file(&link, &link.metadata().unwrap()).is_err(), "a link is not followed");
}

#[test]
fn the_kernels_file_systems_are_known() {
    assert!(is_of_the_kernel(Path::new("/proc")));
    let root = debian();
    assert!(!is_of_the_kernel(&root.path().join("not-there")));
}

#[test]
fn a_directory_that_is_no_root_file_system_is_taken_only_when_it_is_called_one() {
    let root = tempfile::tempdir().unwrap();
    put(&root, "app/node_modules/two/package.json", br#"{"name":"two","version":"2.0.0"}"#);
    assert!(matches!(super::super::open(root.path(), &choice()), Err(SourceError::Unknown(_))));
    assert_eq!(packages(&sbom(&open(root.path(), &choice()).unwrap())), ["two"]);
    let named = Choice { reference: Some("x".to_owned()), ..choice() };
    assert!(matches!(open(root.path(), &named), Err(SourceError::OneImage)));
    let gone = open(&root.path().join("gone"), &choice()).unwrap_err();
    assert!(matches!(gone, SourceError::Read { .. }));
}
