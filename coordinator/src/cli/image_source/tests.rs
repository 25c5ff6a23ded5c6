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
    Choice { reference: reference.map(str::to_owned), platform: Platform::linux_amd64() }
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
        let image = open(path, &choice(None)).unwrap();
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
    let error = open(&tar, &choice(None)).unwrap_err();
    assert_eq!(error.to_string(), "it holds 2 images: docker.io/library/app:1, app:2");
    assert_eq!(error.advice(), "choose one with --ref");
    let digest = |name| open(&tar, &choice(Some(name))).unwrap().digest.to_string();
    assert_eq!(digest("app:1"), Digest::of(&one).to_string());
    assert_eq!(digest("app:2"), Digest::of(&two).to_string());
    assert_eq!(digest(Digest::of(&two).as_str()), Digest::of(&two).to_string());
    let missing = open(&tar, &choice(Some("app:3"))).unwrap_err().to_string();
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
        let image = open(dir.path(), &choice(None)).unwrap();
        assert_eq!(image.digest.digest(), &Digest::of(&amd));
        let windows = Choice { reference: None, platform: "windows/amd64".parse().unwrap() };
        assert_eq!(open(dir.path(), &windows).unwrap_err().advice(), "choose one with --platform");
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
    let of =
        |platform: &str| open(dir.path(), &Choice { reference: None, platform: platform.parse().unwrap() });
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
    let image = open(&path, &choice(Some("docker.io/library/app:1"))).unwrap();
    assert_eq!(image.names, ["app:1"]);
    assert_eq!(contents(&image), [b"layer".to_vec()]);
    let manifest = inventory::ImageManifest::parse(&image.manifest).unwrap();
    assert_eq!(manifest.layers.len(), 2, "the manifest keeps both layers");
    assert_eq!(manifest.config.digest, Digest::of(&image.config));
    assert_eq!(open(&path, &choice(None)).unwrap().digest, image.digest);
}

#[test]
fn a_compressed_layer_is_known_by_the_digest_of_its_compressed_bytes() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(b"layer").unwrap();
    let compressed = encoder.finish().unwrap();
    let (_keep, path) = write_tar(docker_archive(&compressed));
    let image = open(&path, &choice(None)).unwrap();
    assert_eq!(image.blobs[0].digest, Digest::of(&compressed));
    assert_eq!(image.blobs[0].media_type, media_type::OCI_LAYER_GZIP);
}

#[test]
fn damage_and_foreign_files_are_said_in_words() {
    let (files, manifest) = layout_image(&[b"x"]);
    let index = index_json(&[descriptor_json(media_type::OCI_MANIFEST, &manifest, "")]);
    let refused = |files: &Files| open(write_directory(files).path(), &choice(None)).unwrap_err();

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
    let error = open(&dir.path().join("a.tar.bz2"), &choice(None)).unwrap_err();
    assert!(error.advice().starts_with("decompress it first"), "{error}");
}
