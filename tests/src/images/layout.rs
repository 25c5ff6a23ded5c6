//! Images as OCI layout folders: written for the command line, read from the real ones.

use std::fs;
use std::path::Path;

use model::Digest;
use serde_json::{Value, json};

use super::{Blob, Image};

impl Image {
    /// Writes it as an OCI layout.
    pub fn write_layout(&self, folder: &Path) {
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).expect("the folder can be made");
        let put = |digest: &str, bytes: &[u8]| {
            let hex = digest.trim_start_matches("sha256:");
            fs::write(blobs.join(hex), bytes).expect("the blob can be written");
        };
        for layer in &self.layers {
            put(&layer.digest, &layer.bytes);
        }
        put(Digest::of(&self.config).as_str(), &self.config);
        put(&self.digest(), &self.manifest);
        let entry = json!({
            "mediaType": self.media_type,
            "digest": self.digest(),
            "size": self.manifest.len(),
            "platform": { "architecture": "amd64", "os": "linux" },
        });
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [entry],
        });
        fs::write(folder.join("index.json"), index.to_string()).expect("the index can be written");
        fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("and the version");
    }

    /// Reads the first image of an OCI layout.
    ///
    /// # Panics
    /// When it is not one.
    pub fn read_layout(folder: &Path) -> Self {
        let index: Value =
            document(&fs::read(folder.join("index.json")).expect("an OCI layout has an index"));
        let entry = &index["manifests"][0];
        let manifest = blob(folder, text(&entry["digest"]));
        let media_type = text(&entry["mediaType"]).to_owned();
        let described = document(&manifest);
        let config = blob(folder, text(&described["config"]["digest"]));
        let diff_ids = document(&config)["rootfs"]["diff_ids"].as_array().cloned().unwrap_or_default();
        let layers = described["layers"].as_array().expect("a manifest has layers").iter().zip(&diff_ids);
        let layers = layers.map(|(layer, diff_id)| Blob {
            digest: text(&layer["digest"]).to_owned(),
            bytes: blob(folder, text(&layer["digest"])),
            media_type: text(&layer["mediaType"]).to_owned(),
            diff_id: text(diff_id).to_owned(),
        });
        Self { layers: layers.collect(), manifest, media_type, config }
    }
}

fn blob(folder: &Path, digest: &str) -> Vec<u8> {
    let file = folder.join("blobs").join(digest.replace(':', "/"));
    fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn document(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("a document of the layout is JSON")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}
