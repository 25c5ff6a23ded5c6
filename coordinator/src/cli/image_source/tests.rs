//! Small archives made here, read back as images.

use std::io::Write;
use std::path::PathBuf;

use inventory::media_type;
use tempfile::TempDir;

use super::*;

/// Names and bytes of an archive's members.
type Files = Vec<(String, Vec<u8>)>;

fn blob(bytes: &[u8]) -> (String, Vec<u8>) {
    (format!("blobs/sha256/{}", Digest::of(bytes).hex()), bytes.to_vec())
}

fn config_of(layers: &[&[u8]]) -> Vec<u8> {
    let ids: Vec<_> = layers.iter().map(|layer| format!("\"{}\"", Digest::of(layer))).collect();
    let rootfs = format!(r#"{{"type":"layers","diff_ids":[{}]}}"#, ids.join(","));
    format!(r#"{{"architecture":"amd64","os":"linux","rootfs":{rootfs}}}"#).into_bytes()
}

fn descriptor_json(kind: &str, bytes: &[u8], more: &str) -> String {
    format!(r#"{{"mediaType":"{kind}","digest":"{}","size":{}{more}}}"#, Digest::of(bytes), bytes.len())
}

/// A layout's files without index.json, and the image's manifest.
fn layout_image(layers: &[&[u8]]) -> (Files, Vec<u8>) {
    let config = config_of(layers);
    let list: Vec<_> = layers.iter().map(|l| descriptor_json(media_type::OCI_LAYER, l, "")).collect();
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{}]}}"#,
        media_type::OCI_MANIFEST,
        descriptor_json(media_type::OCI_CONFIG, &config, ""),
        list.join(",")
    );
    let mut files: Files = layers.iter().map(|layer| blob(layer)).collect();
    files.extend([blob(&config), blob(manifest.as_bytes())]);
    (files, manifest.into_bytes())
}

fn index_json(entries: &[String]) -> (String, Vec<u8>) {
    let text = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(","));
    ("index.json".to_owned(), text.into_bytes())
}

fn named(name: &str) -> String {
    format!(r#","annotations":{{"org.opencontainers.image.ref.name":"{name}"}}"#)
}

fn for_platform(architecture: &str) -> String {
    format!(r#","platform":{{"os":"linux","architecture":"{architecture}"}}"#)
}

fn write_directory(files: &Files) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    dir
}

fn tar_builder(files: &Files) -> tar::Builder<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    builder
}

fn write_tar(builder: tar::Builder<Vec<u8>>) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image.tar");
    std::fs::write(&path, builder.into_inner().unwrap()).unwrap();
    (dir, path)
}

fn choice(reference: Option<&str>) -> Choice {
    Choice { reference: reference.map(str::to_owned), platform: Platform::linux_amd64().into() }
}

/// The only one.
fn open_one(path: &std::path::Path, choice: &Choice) -> Result<SourceImage, SourceError> {
    let mut images = open(path, choice)?;
    assert_eq!(images.len(), 1);
    Ok(images.remove(0))
}

fn contents(image: &SourceImage) -> Vec<Vec<u8>> {
    let read = |blob: &Blob| {
        let mut bytes = Vec::new();
        image.read(blob).unwrap().read_to_end(&mut bytes).unwrap();
        assert_eq!((bytes.len() as u64, Digest::of(&bytes)), (blob.size, blob.digest.clone()));
        bytes
    };
    image.blobs.iter().map(read).collect()
}

#[test]
fn a_layout_reads_the_same_from_a_directory_and_from_a_tar() {
    let (mut files, manifest) = layout_image(&[b"lower", b"upper", b"lower"]);
    files.push(index_json(&[descriptor_json(media_type::OCI_MANIFEST, &manifest, &named("app:1"))]));
    let dir = write_directory(&files);
    let (_keep, tar) = write_tar(tar_builder(&files));
    for path in [dir.path(), &tar] {
        let image = open_one(path, &choice(None)).unwrap();
        assert_eq!(image.digest.digest(), &Digest::of(&manifest));
        assert_eq!(
            (image.manifest.clone(), image.names.clone()),
            (manifest.clone(), vec!["app:1".to_owned()])
        );
        assert_eq!(contents(&image), [b"lower".to_vec(), b"upper".to_vec()], "each blob once");
    }
}

#[test]
fn of_several_images_one_is_chosen_by_name() {
    let (mut files, one) = layout_image(&[b"one"]);
    let (more, two) = layout_image(&[b"two"]);
    files.extend(more);
    files.push(index_json(&[
        descriptor_json(media_type::OCI_MANIFEST, &one, &named("docker.io/library/app:1")),
        descriptor_json(media_type::OCI_MANIFEST, &two, &named("app:2")),
    ]));
    let (_keep, tar) = write_tar(tar_builder(&files));
    let error = open_one(&tar, &choice(None)).unwrap_err();
    assert_eq!(error.to_string(), "it holds 2 images: docker.io/library/app:1, app:2");
    assert_eq!(error.advice(), "choose one with --ref");
    let digest = |name| open_one(&tar, &choice(Some(name))).unwrap().digest.to_string();
    assert_eq!(digest("app:1"), Digest::of(&one).to_string());
    assert_eq!(digest("app:2"), Digest::of(&two).to_string());
    assert_eq!(digest(Digest::of(&two).as_str()), Digest::of(&two).to_string());
    let missing = open_one(&tar, &choice(Some("app:3"))).unwrap_err().to_string();
    assert_eq!(missing, r#"it holds no image "app:3", only: docker.io/library/app:1, app:2"#);
}

#[test]
fn the_platform_chooses_among_an_index_also_a_nested_one() {
    let (mut files, amd) = layout_image(&[b"amd"]);
    let (more, arm) = layout_image(&[b"arm"]);
    files.extend(more);
    let entries = [
        descriptor_json(media_type::OCI_MANIFEST, &arm, &for_platform("arm64")),
        descriptor_json(media_type::OCI_MANIFEST, &amd, &for_platform("amd64")),
    ];
    let nested = index_json(&entries).1;
    let mut flat = files.clone();
    flat.push(index_json(&entries));
    files.push(blob(&nested));
    files.push(index_json(&[descriptor_json(media_type::OCI_INDEX, &nested, &named("app"))]));
    for files in [flat, files] {
        let dir = write_directory(&files);
        let image = open_one(dir.path(), &choice(None)).unwrap();
        assert_eq!(image.digest.digest(), &Digest::of(&amd));
        let windows = Choice { reference: None, platform: "windows/amd64".parse().unwrap() };
        assert_eq!(open_one(dir.path(), &windows).unwrap_err().advice(), "choose one with --platform");
    }
}

#[test]
fn platforms_that_each_have_a_name_of_their_own_do_not_hide_each_other() {
    let (mut files, amd) = layout_image(&[b"amd"]);
    let (more, arm) = layout_image(&[b"arm"]);
    files.extend(more);
    let entry = |bytes, platform, name| {
        descriptor_json(media_type::OCI_MANIFEST, bytes, &(for_platform(platform) + &named(name)))
    };
    let nested = index_json(&[descriptor_json(media_type::OCI_MANIFEST, &amd, &for_platform("amd64"))]).1;
    files.push(blob(&nested));
    files.push(index_json(&[
        entry(&arm, "arm64", "for-arm"),
        entry(&amd, "amd64", "for-amd"),
        descriptor_json(media_type::OCI_INDEX, &nested, &named("latest")),
    ]));
    let dir = write_directory(&files);
    let of = |platform: &str| {
        open_one(dir.path(), &Choice { reference: None, platform: platform.parse().unwrap() })
    };
    let image = of("linux/amd64").unwrap();
    assert_eq!(
        (image.digest.digest(), image.names),
        (&Digest::of(&amd), vec!["for-amd".to_owned(), "latest".to_owned()])
    );
    assert_eq!(of("linux/arm64").unwrap().names, ["for-arm"]);
    assert!(of("windows/amd64").unwrap_err().to_string().contains("no image for windows/amd64"));
}

/// A docker archive of one image whose second layer is a link to the first, as old dockers wrote it.
fn docker_archive(first: &[u8]) -> tar::Builder<Vec<u8>> {
    let config = config_of(&[b"layer", b"layer"]);
    let manifest =
        br#"[{"Config":"config.json","RepoTags":["app:1"],"Layers":["a/layer.tar","b/layer.tar"]}]"#;
    let file = |name: &str, bytes: &[u8]| (name.to_owned(), bytes.to_vec());
    let files =
        vec![file("a/layer.tar", first), file("config.json", &config), file("manifest.json", manifest)];
    let mut builder = tar_builder(&files);
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    builder.append_link(&mut header, "b/layer.tar", "../a/layer.tar").unwrap();
    builder
}

#[test]
fn a_docker_archive_gets_a_manifest_that_is_always_the_same() {
    let (_keep, path) = write_tar(docker_archive(b"layer"));
    let image = open_one(&path, &choice(Some("docker.io/library/app:1"))).unwrap();
    assert_eq!(image.names, ["app:1"]);
    assert_eq!(contents(&image), [b"layer".to_vec()]);
    let manifest = inventory::ImageManifest::parse(&image.manifest).unwrap();
    assert_eq!(manifest.layers.len(), 2, "the manifest keeps both layers");
    assert_eq!(manifest.config.digest, Digest::of(&image.config));
    assert_eq!(open_one(&path, &choice(None)).unwrap().digest, image.digest);
}

#[test]
fn a_compressed_layer_is_known_by_the_digest_of_its_compressed_bytes() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(b"layer").unwrap();
    let compressed = encoder.finish().unwrap();
    let (_keep, path) = write_tar(docker_archive(&compressed));
    let image = open_one(&path, &choice(None)).unwrap();
    assert_eq!(image.blobs[0].digest, Digest::of(&compressed));
    assert_eq!(image.blobs[0].media_type, media_type::OCI_LAYER_GZIP);
}

#[test]
fn damage_and_foreign_files_are_said_in_words() {
    let (files, manifest) = layout_image(&[b"x"]);
    let index = index_json(&[descriptor_json(media_type::OCI_MANIFEST, &manifest, "")]);
    let refused = |files: &Files| open_one(write_directory(files).path(), &choice(None)).unwrap_err();

    let mut damaged = files.clone();
    damaged.push(index.clone());
    damaged[2].1.push(b' ');
    assert!(matches!(refused(&damaged), SourceError::Damaged { .. }));

    let mut lacking = files;
    lacking.push(index);
    lacking.remove(0);
    assert!(matches!(refused(&lacking), SourceError::Missing { .. }));

    assert!(matches!(refused(&vec![("x".to_owned(), Vec::new())]), SourceError::Unknown(_)));

    let dir = write_directory(&vec![("a.tar.bz2".to_owned(), b"BZh9".to_vec())]);
    let error = open_one(&dir.path().join("a.tar.bz2"), &choice(None)).unwrap_err();
    assert!(error.advice().starts_with("decompress it first"), "{error}");
}

fn all(reference: Option<&str>) -> Choice {
    Choice { platform: Platforms::All, ..choice(reference) }
}

/// Platform, digest and names of each.
fn told(images: &[SourceImage]) -> Vec<(String, &Digest, Vec<&str>)> {
    let told = |image: &'_ SourceImage| image.platform.as_ref().map(Platform::to_string).unwrap_or_default();
    let names = images.iter().map(|image| image.names.iter().map(String::as_str).collect());
    images.iter().zip(names).map(|(image, names)| (told(image), image.digest.digest(), names)).collect()
}

#[test]
fn all_platforms_are_each_once_and_attestations_none() {
    let (mut files, amd) = layout_image(&[b"amd"]);
    let (more, arm) = layout_image(&[b"arm"]);
    files.extend(more);
    let attestation = r#","platform":{"os":"unknown","architecture":"unknown"}"#;
    let entries = [
        descriptor_json(media_type::OCI_MANIFEST, &arm, &for_platform("arm64")),
        descriptor_json(media_type::OCI_MANIFEST, b"not there", attestation),
        descriptor_json(media_type::OCI_MANIFEST, &amd, &for_platform("amd64")),
    ];
    let nested = index_json(&entries).1;
    let mut flat = files.clone();
    flat.push(index_json(&entries));
    files.push(blob(&nested));
    files.push(index_json(&[
        descriptor_json(media_type::OCI_INDEX, &nested, &named("app:1")),
        descriptor_json(media_type::OCI_MANIFEST, &amd, &(for_platform("amd64") + &named("amd:1"))),
    ]));
    let (amd, arm) = (&Digest::of(&amd), &Digest::of(&arm));
    let platforms = ["linux/arm64".to_owned(), "linux/amd64".to_owned()];
    let [on_arm, on_amd] = platforms;
    let dir = write_directory(&flat);
    let images = open(dir.path(), &all(None)).unwrap();
    let expected = [(on_arm.clone(), arm, vec![]), (on_amd.clone(), amd, vec![])];
    assert_eq!(told(&images), expected);

    let (_keep, tar) = write_tar(tar_builder(&files));
    let images = open(&tar, &all(None)).unwrap();
    let expected = [(on_arm.clone(), arm, vec!["app:1"]), (on_amd.clone(), amd, vec!["amd:1", "app:1"])];
    assert_eq!(told(&images), expected);
    let named = |name| open(&tar, &all(Some(name))).unwrap().len();
    assert_eq!([named("app:1"), named("amd:1"), named(Digest::of(&nested).as_str())], [2, 1, 2]);
    let missing = open(&tar, &all(Some("app:2"))).unwrap_err();
    assert_eq!(missing.to_string(), r#"it holds no image "app:2", only: app:1, amd:1"#);
}

#[test]
fn two_images_for_one_platform_are_ambiguous_unless_one_index_holds_both() {
    let (mut files, one) = layout_image(&[b"one"]);
    let (more, two) = layout_image(&[b"two"]);
    files.extend(more);
    let entry = |bytes, name: &str| {
        descriptor_json(media_type::OCI_MANIFEST, bytes, &(for_platform("amd64") + &named(name)))
    };
    let mut apart = files.clone();
    apart.push(index_json(&[entry(&one, "one"), entry(&two, "two")]));
    let dir = write_directory(&apart);
    let error = open(dir.path(), &all(None)).unwrap_err();
    assert_eq!(error.to_string(), "it holds 2 images: one, two");
    assert_eq!(open(dir.path(), &all(Some("two"))).unwrap().len(), 1);
    files.push(index_json(&[entry(&one, "app"), entry(&two, "app")]));
    assert_eq!(open(write_directory(&files).path(), &all(None)).unwrap().len(), 2);
}

#[test]
fn what_says_no_platform_says_it_by_its_configuration() {
    let (mut files, manifest) = layout_image(&[b"x"]);
    files.push(index_json(&[descriptor_json(media_type::OCI_MANIFEST, &manifest, &named("app"))]));
    let images = open(write_directory(&files).path(), &all(None)).unwrap();
    assert_eq!(told(&images), [("linux/amd64".to_owned(), &Digest::of(&manifest), vec!["app"])]);
    let (_keep, archive) = write_tar(docker_archive(b"layer"));
    let images = open(&archive, &all(None)).unwrap();
    assert_eq!(
        images[0].platform,
        Some(Platform::linux_amd64()),
        "an archive of docker's is of one platform"
    );
}

#[test]
fn what_is_no_image_is_passed_over_beside_one_and_told_where_it_is_alone() {
    let (mut files, image) = layout_image(&[b"x"]);
    let chart = format!(
        r#"{{"schemaVersion":2,"config":{},"layers":[]}}"#,
        descriptor_json("application/vnd.cncf.helm.config.v1+json", b"{}", "")
    );
    files.push(blob(chart.as_bytes()));
    let of_chart = descriptor_json(media_type::OCI_MANIFEST, chart.as_bytes(), &named("chart"));
    let mut alone = files.clone();
    alone.push(index_json(std::slice::from_ref(&of_chart)));
    for choice in [all(None), choice(None)] {
        let error = open(write_directory(&alone).path(), &choice).unwrap_err();
        assert_eq!(error.to_string(), "it is a Helm chart, not a container image");
        assert_eq!(error.advice(), "name a container image; of an artifact there is nothing to scan");
    }
    files.push(index_json(&[of_chart, descriptor_json(media_type::OCI_MANIFEST, &image, &named("app"))]));
    for choice in [all(None), choice(None)] {
        assert_eq!(open(write_directory(&files).path(), &choice).unwrap()[0].names, ["app"]);
    }
}

#[test]
fn a_layer_that_is_kept_elsewhere_is_named_where_it_is_missing_and_read_where_it_is_there() {
    const FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar";
    let config = config_of(&[b"base"]);
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{}]}}"#,
        media_type::DOCKER_MANIFEST,
        descriptor_json(media_type::DOCKER_CONFIG, &config, ""),
        descriptor_json(FOREIGN, b"base", r#","urls":["https://elsewhere.example/base"]"#),
    );
    let mut files = vec![blob(&config), blob(manifest.as_bytes())];
    files.push(index_json(&[descriptor_json(media_type::DOCKER_MANIFEST, manifest.as_bytes(), "")]));
    let error = open_one(write_directory(&files).path(), &choice(None)).unwrap_err();
    let layer = Digest::of(b"base");
    let words = format!(
        "the layout: layer {layer} is not there: its media type is {FOREIGN}, which is kept elsewhere"
    );
    assert_eq!(error.to_string(), words);
    assert!(error.advice().contains("--allow-nondistributable-artifacts"));
    files.push(blob(b"base"));
    let dir = write_directory(&files);
    assert_eq!(contents(&open_one(dir.path(), &choice(None)).unwrap()), [b"base".to_vec()]);
}

#[test]
fn an_image_of_the_first_schema_or_with_an_encrypted_layer_says_what_to_do() {
    let refused = |manifest: &str| {
        let files = vec![
            blob(manifest.as_bytes()),
            index_json(&[descriptor_json(media_type::OCI_MANIFEST, manifest.as_bytes(), "")]),
        ];
        let error = open_one(write_directory(&files).path(), &choice(None)).unwrap_err();
        (error.to_string(), error.advice())
    };
    let (old, advice) = refused(r#"{"schemaVersion":1,"fsLayers":[],"history":[]}"#);
    assert!(old.contains("schema 1") && advice.contains("skopeo copy --format v2s2"), "{old}: {advice}");
    let (encrypted, advice) = refused(&format!(
        r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#,
        descriptor_json(media_type::OCI_CONFIG, b"{}", ""),
        descriptor_json(&format!("{}+encrypted", media_type::OCI_LAYER_GZIP), b"x", "")
    ));
    assert_eq!(encrypted, format!("layer {} is encrypted", Digest::of(b"x")));
    assert!(advice.starts_with("decrypt"), "{advice}");
}
