//! Compiles the .proto files without protoc, and keeps their descriptor set for reflection.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message as _;

const AREAS: [&str; 14] = [
    "advisory", "common", "cluster", "feed", "finding", "image", "impact", "issuer", "job", "queue", "run",
    "tenant", "verdict", "vex",
];

fn main() -> Result<(), Box<dyn Error>> {
    let files = proto_files(Path::new("starling"))?;
    let descriptors = protox::compile(&files, ["."])?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".starling.image.v1.UploadBlobRequest")
        .bytes(".starling.image.v1.PutImageRequest")
        .bytes(".starling.vex.v1")
        .compile_fds(descriptors)?;
    println!("cargo:rerun-if-changed=starling");
    Ok(())
}

fn proto_files(root: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut files = Vec::new();
    for area in AREAS {
        for entry in fs::read_dir(root.join(area).join("v1"))? {
            files.push(entry?.path());
        }
    }
    files.sort();
    Ok(files)
}
