use std::io::Write;

use flate2::{Compression, write::ZlibEncoder};

use super::*;
use crate::ecosystems::executable::tests::{elf, executable};

const LIST: &str = r#"{"packages":[
    {"name":"autocfg","version":"1.5.1","source":"crates.io","kind":"build"},
    {"name":"bytes","version":"1.12.2","source":"crates.io"},
    {"name":"svc","version":"0.1.0+x","source":"local","kind":"runtime","dependencies":[0,1],"root":true}],"format":8}"#;

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn audited(list: &[u8]) -> Vec<u8> {
    elf(b"", &[(b".dep-v0", list)])
}

fn found(file: Vec<u8>) -> (Vec<String>, Vec<String>) {
    let Some(content) = Cargo.look_into(&executable(file)) else { return (vec![], vec![]) };
    let (components, problems) = Cargo.extract(&[File { path: b"svc", layer: 0, content: &content }], None);
    let purls = components.iter().map(|c| c.purl.to_string()).collect();
    (purls, problems.into_iter().map(|p| p.what).collect())
}

#[test]
fn crates_inside_count_and_those_that_only_built_do_not() {
    let (purls, problems) = found(audited(&zlib(LIST.as_bytes())));
    assert_eq!(purls, ["pkg:cargo/bytes@1.12.2", "pkg:cargo/svc@0.1.0%2Bx"]);
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(found(elf(b"x", &[])), (vec![], vec![]));
}

#[test]
fn lists_that_cannot_be_read_are_problems() {
    let bomb = zlib(&vec![b' '; 9 << 20]);
    for (list, why) in [
        (b"no zlib".to_vec(), "has a list of its crates that cannot be decompressed"),
        (zlib(b"[]"), "has a list of its crates that cannot be read"),
        (bomb, "has a list of its crates that is too large"),
        (zlib(br#"{"packages":[{"name":"","version":"1"}]}"#), "names a package as no package is named"),
    ] {
        assert_eq!(found(audited(&list)), (vec![], vec![why.to_owned()]));
    }
}

#[test]
fn locks_of_other_crates_sources_are_not_read() {
    assert!(Cargo.wants(b"Cargo.lock") && Cargo.wants(b"usr/src/app/Cargo.lock"));
    for path in [
        "root/.cargo/registry/src/index.crates.io-1/a-1/Cargo.lock",
        "app/vendor/a/Cargo.lock",
        "a/XCargo.lock",
        "Cargo.lock/x",
    ] {
        assert!(!Cargo.wants(path.as_bytes()), "{path}");
    }
}

#[test]
fn a_lock_too_large_is_a_problem() {
    let lines = Cargo.condense(b"Cargo.lock", vec![b'\n'; (2 << 20) + 1]);
    assert_eq!(lines, b"!is larger than any lock file\n");
}

#[test]
fn damaged_executables_do_no_harm() {
    let file = audited(&zlib(LIST.as_bytes()));
    for at in 0..file.len() {
        let mut flipped = file.clone();
        flipped[at] ^= 0xff;
        for damaged in [file[..at].to_vec(), file[at..].to_vec(), flipped] {
            let (purls, _) = found(damaged);
            assert!(purls.len() <= 3, "{purls:?}");
        }
    }
}
