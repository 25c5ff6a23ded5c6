//! Ordinary archives, as the `tar` crate writes and reads them: both readings must agree.

use std::collections::BTreeSet;
use std::io::Read;

use proptest::prelude::*;

use crate::support::scan_archives;

fn archive(files: &[(String, usize)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (number, (path, padding)) in files.iter().enumerate() {
        let content = format!("Name: p{number}\nVersion: 1\n\n{}", "x".repeat(*padding));
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Path and first line of every file.
fn by_tar_crate(archive: &[u8]) -> BTreeSet<(String, String)> {
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        (path, content.lines().next().unwrap().replace("Name: ", ""))
    });
    entries.collect()
}

fn by_us(archive: Vec<u8>) -> BTreeSet<(String, String)> {
    let sbom = scan_archives(&[archive]).unwrap();
    let rows =
        sbom.components.iter().flat_map(|c| c.locations.iter().map(|l| (l.path.clone(), c.name.clone())));
    rows.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ordinary_archives_are_read_alike(
        files in proptest::collection::vec(("[a-z]{1,120}(/[a-zé]{1,120}){0,2}", 0_usize..2000), 0..6)
    ) {
        let files: Vec<_> = files
            .into_iter()
            .enumerate()
            .map(|(n, (path, padding))| (format!("{n}/{path}.egg-info"), padding))
            .collect();
        let archive = archive(&files);
        prop_assert_eq!(by_us(archive.clone()), by_tar_crate(&archive));
    }

    /// The digests are those of the damaged bytes, so nothing stands before the parsers.
    #[test]
    fn damaged_archives_are_refused_or_read_as_far_as_they_go(
        damage in proptest::collection::vec((0_usize..8192, any::<u8>()), 1..6),
        cut in 0_usize..8192,
    ) {
        let files: Vec<_> = (0..4).map(|n| (format!("{n}/{}.egg-info", "x".repeat(n * 60)), n * 400)).collect();
        let mut archive = archive(&files);
        for (at, byte) in damage {
            if let Some(target) = archive.get_mut(at) {
                *target = byte;
            }
        }
        archive.truncate(archive.len() - cut.min(archive.len()));
        match scan_archives(&[archive]) {
            Ok(sbom) => prop_assert!(sbom.components.len() <= files.len()),
            Err(error) => prop_assert!(error.reason.is_permanent(), "{error}"),
        }
    }
}
