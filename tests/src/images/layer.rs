//! One layer: files as package managers leave them.

use std::fmt::Write as _;

use serde_json::json;

/// A layer being made.
#[derive(Debug, Clone, Default)]
pub struct Layer {
    files: Vec<(String, Vec<u8>)>,
}

impl Layer {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// With this file.
    #[must_use]
    pub fn file(mut self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.push((path.to_owned(), bytes.into()));
        self
    }

    /// A Debian 12 with these installed packages and versions.
    #[must_use]
    pub fn debian_12(self, packages: &[(&str, &str)]) -> Self {
        let release = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID=\"12\"\n\
                       VERSION_CODENAME=bookworm\n";
        let mut status = String::new();
        for (name, version) in packages {
            let _ = write!(
                status,
                "Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n\
                 Maintainer: nobody <nobody@example.org>\nDescription: {name}\n\n"
            );
        }
        self.file("etc/os-release", release).file("var/lib/dpkg/status", status)
    }

    /// An npm package, installed below `root`.
    #[must_use]
    pub fn npm(self, root: &str, name: &str, version: &str) -> Self {
        let document = json!({ "name": name, "version": version });
        self.file(&format!("{root}/node_modules/{name}/package.json"), document.to_string())
    }

    /// A Python distribution, installed in `site_packages`.
    #[must_use]
    pub fn python(self, site_packages: &str, name: &str, version: &str) -> Self {
        let folder = format!("{site_packages}/{}-{version}.dist-info", name.replace('-', "_"));
        let metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n");
        self.file(&format!("{folder}/METADATA"), metadata)
            .file(&format!("{folder}/INSTALLER"), "pip\n")
            .file(&format!("{folder}/RECORD"), "")
    }

    /// With a file that no other layer has.
    #[must_use]
    pub fn unlike_any_other(self) -> Self {
        self.file("etc/made", uuid::Uuid::now_v7().to_string())
    }

    /// As a tar archive.
    pub fn tar(&self) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, bytes) in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, path, bytes.as_slice()).expect("memory can be written");
        }
        archive.into_inner().expect("memory can be written")
    }
}
