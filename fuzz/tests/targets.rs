//! Each parser's corpus, and new inputs for a while: `STARLING_FUZZ_SECONDS` for all of them together.

/// One test for each target, so that one of them can be asked for by its name.
macro_rules! targets {
    ($($name:ident),* $(,)?) => {
        $(#[test] fn $name() { fuzz::run(stringify!($name), env!("CARGO_TARGET_TMPDIR")); })*

        #[test]
        fn every_target_has_its_test() {
            let names: Vec<&str> = fuzz::targets::TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

targets![
    tar,
    gzip,
    zstd,
    image,
    stored_layer,
    apk,
    cargo,
    composer,
    conda,
    deb,
    gem,
    hex,
    npm,
    nuget,
    pubdev,
    pypi,
    rpm_manifest,
    swift,
    os_release,
    rpm_bdb,
    rpm_ndb,
    rpm_sqlite,
    elf,
    macho_and_pe,
    jar,
    jar_entries,
    manifest,
    stored_sbom,
    sbom,
    purl,
    ignore,
    osv,
    secdb,
    debian_tracker,
    csaf,
    jsonl,
    kev,
    epss,
    packed,
    vex,
    dsse,
    key,
    version,
    range,
];
