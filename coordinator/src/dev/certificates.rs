//! Certificates for the links between the development cluster's nodes, from an authority made once.
//!
//! They are for one machine and this purpose: nobody but these nodes is told to trust the authority.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::files;

/// The authority and where it keeps everything.
#[derive(Debug)]
pub struct CertificateAuthority {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// The files a node is pointed at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeCertificate {
    /// The authority's certificate.
    pub authority: PathBuf,
    /// The node's certificate; its subject alternative name is the node's name.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl CertificateAuthority {
    /// Opens the authority kept in `dir`, or makes one.
    pub fn open(dir: &Path) -> Result<Self> {
        files::make_dir(dir, 0o700)?;
        let (certificate, key) = (dir.join("authority.pem"), dir.join("authority.key"));
        if !certificate.exists() {
            let pair = KeyPair::generate()?;
            files::write_private(&key, &pair.serialize_pem())?;
            files::write_private(&certificate, &authority_params()?.self_signed(&pair)?.pem())?;
        }
        let pair = KeyPair::from_pem(&read(&key)?).context("the authority's key is damaged")?;
        Ok(Self { dir: dir.to_owned(), issuer: Issuer::new(authority_params()?, pair) })
    }

    /// The certificate of the node called `name`, made when it is missing.
    pub fn node(&self, name: &str) -> Result<NodeCertificate> {
        let files = NodeCertificate {
            authority: self.dir.join("authority.pem"),
            certificate: self.dir.join(format!("{name}.pem")),
            key: self.dir.join(format!("{name}.key")),
        };
        if !files.certificate.exists() {
            let pair = KeyPair::generate()?;
            let certificate = node_params(name)?.signed_by(&pair, &self.issuer)?;
            files::write_private(&files.key, &pair.serialize_pem())?;
            files::write_private(&files.certificate, &certificate.pem())?;
        }
        Ok(files)
    }
}

fn authority_params() -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.distinguished_name.push(DnType::CommonName, "Starling development cluster");
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn node_params(name: &str) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // A node answers links and opens them.
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_made_once_and_by_one_authority() {
        let dir = tempfile::tempdir().unwrap();
        let first = CertificateAuthority::open(dir.path()).unwrap().node("node-1").unwrap();
        let (authority, certificate) = (read(&first.authority).unwrap(), read(&first.certificate).unwrap());

        let again = CertificateAuthority::open(dir.path()).unwrap();
        assert_eq!(again.node("node-1").unwrap(), first);
        again.node("node-2").unwrap();
        assert_eq!(read(&first.authority).unwrap(), authority);
        assert_eq!(read(&first.certificate).unwrap(), certificate);
    }
}
