//! SBOM documents: the formats they are written in, and files that are one.

use std::io;
use std::path::Path;

use bom::Subject;
use bom::cyclonedx::SpecVersion;
use model::{Finding, Sbom};

use super::super::failure::{Exit, Failure};
use super::super::image_source::sbom;
use super::image::Inventoried;

/// A format that an SBOM is written in for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum BillFormat {
    CycloneDx(SpecVersion),
    Spdx,
    BomIndex,
}

/// Every format with its word.
pub(in crate::cli) const FORMATS: [(&str, BillFormat); 5] = [
    ("cyclonedx", BillFormat::CycloneDx(SpecVersion::V1_6)),
    ("cyclonedx-1.6", BillFormat::CycloneDx(SpecVersion::V1_6)),
    ("cyclonedx-1.7", BillFormat::CycloneDx(SpecVersion::V1_7)),
    ("spdx", BillFormat::Spdx),
    ("bom-index", BillFormat::BomIndex),
];

impl BillFormat {
    /// The document. CycloneDX has room for what suppliers say of findings.
    pub(in crate::cli) fn write<'a>(
        self,
        image: &Inventoried,
        findings: impl IntoIterator<Item = &'a Finding>,
    ) -> Result<Vec<u8>, Failure> {
        const TOOL: &str = env!("CARGO_PKG_VERSION");
        let Inventoried { name, digest, layers, sbom, .. } = image;
        let subject = Subject { name, digest, layers };
        let json = |document: serde_json::Value| format!("{document:#}\n").into_bytes();
        Ok(match self {
            Self::CycloneDx(version) => {
                json(bom::with_analysis(bom::cyclonedx::document(sbom, &subject, TOOL, version), findings))
            }
            Self::Spdx => json(bom::spdx::document(sbom, &subject, TOOL)),
            Self::BomIndex => {
                bom::bom_index::document(sbom, &subject).map_err(|error| Failure::new(Exit::Failed, error))?
            }
        })
    }
}

/// The SBOM in a file, when the file is one and no image; `-` is standard input, which cannot be anything else.
pub(super) fn read(path: &Path) -> Result<Option<Sbom>, Failure> {
    let failed = |why: String| Failure::new(Exit::Failed, format!("{}: {why}", path.display()));
    let bytes = if path == Path::new("-") {
        sbom::all(io::stdin().lock()).map_err(|error| failed(error.to_string()))?
    } else {
        match sbom::document(path) {
            Ok(Some(bytes)) => bytes,
            // What is wrong with it is told by whoever reads images.
            Ok(None) | Err(_) => return Ok(None),
        }
    };
    bom::read(&bytes).map(Some).map_err(|error| failed(error.to_string()))
}
