//! Keys of issuers.

use model::Digest;
use ring::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey, VerificationAlgorithm};
use time::OffsetDateTime;

use super::{Mark, envelope, x509};

/// The most bytes of a key or certificate.
const KEY_BYTES_MAX: usize = 16 << 10;
/// A SubjectPublicKeyInfo of Ed25519 (RFC 8410) up to the key itself.
const OF_ED25519: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// One of a point on P-256 (RFC 5480) up to the point.
const OF_P256: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// What a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Material {
    /// An Ed25519 public key.
    Ed25519,
    /// A point on P-256, for ECDSA with SHA-256.
    EcdsaP256,
    /// An X.509 certificate: its own key signs, or those of certificates that it issued.
    X509,
}

/// A key of an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    id: String,
    material: Material,
    der: Vec<u8>,
    /// When it begins to be valid; a certificate says so itself.
    pub valid_from: Option<OffsetDateTime>,
    /// When it ends to be.
    pub valid_until: Option<OffsetDateTime>,
    /// When it was revoked.
    pub revoked_at: Option<OffsetDateTime>,
}

/// The bytes are no key that we can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a key: {0}")]
pub struct InvalidKey(pub &'static str);

impl Material {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256 => "ecdsa-p256",
            Self::X509 => "x509",
        }
    }
}

impl Key {
    /// Reads a public key or a certificate, in PEM or DER.
    ///
    /// # Errors
    /// When it is neither, or of an algorithm that is not read.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidKey> {
        if bytes.len() > KEY_BYTES_MAX {
            return Err(InvalidKey("it is longer than is read"));
        }
        let der = match str::from_utf8(bytes).ok().filter(|text| text.contains("-----BEGIN")) {
            Some(text) => of_pem(text)?,
            None => bytes.to_vec(),
        };
        let id = Digest::of(&der).to_string();
        let (material, valid) = match algorithm(&der) {
            Some((material, _, _)) => (material, None),
            None => {
                let valid = x509::validity(&der).ok_or(InvalidKey(
                    "it is neither a public key (Ed25519, P-256) nor an X.509 certificate",
                ))?;
                let spki =
                    x509::public_key(&der).ok_or(InvalidKey("the certificate's key cannot be read"))?;
                algorithm(&spki).ok_or(InvalidKey("the certificate's key is neither Ed25519 nor P-256"))?;
                (Material::X509, Some(valid))
            }
        };
        let (valid_from, valid_until) = valid.unzip();
        Ok(Self { id, material, der, valid_from, valid_until, revoked_at: None })
    }

    /// The digest of its bytes: `sha256:…`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it is.
    pub const fn material(&self) -> Material {
        self.material
    }

    /// Its bytes in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whether it may sign at this moment.
    pub fn is_valid_at(&self, at: OffsetDateTime) -> bool {
        self.valid_from.is_none_or(|from| from <= at)
            && self.valid_until.is_none_or(|until| at <= until)
            && self.revoked_at.is_none_or(|revoked| at < revoked)
    }

    /// Whether it may not sign any more at this moment; one whose time has not come is not over.
    pub fn is_over(&self, at: OffsetDateTime) -> bool {
        self.valid_until.is_some_and(|until| until < at)
            || self.revoked_at.is_some_and(|revoked| revoked <= at)
    }

    /// Whether it made this signature of the message.
    pub(super) fn verify(&self, message: &[u8], mark: &Mark, at: OffsetDateTime) -> Result<(), &'static str> {
        if !self.is_valid_at(at) {
            return Err("its key is revoked or over");
        }
        let of_leaf = match (self.material, mark.certificates.split_first()) {
            (Material::X509, Some((leaf, others))) if *leaf != self.der => {
                x509::is_issued(leaf, others, &self.der, at)?;
                Some(x509::public_key(leaf).ok_or("its certificate cannot be read")?)
            }
            (Material::X509, _) => Some(x509::public_key(&self.der).ok_or("its certificate cannot be read")?),
            (Material::Ed25519 | Material::EcdsaP256, _) => None,
        };
        let (_, by, key) =
            algorithm(of_leaf.as_deref().unwrap_or(&self.der)).ok_or("its algorithm is not read")?;
        UnparsedPublicKey::new(by, key).verify(message, &mark.bytes).map_err(|_| "it does not fit the bytes")
    }
}

/// The algorithm of a SubjectPublicKeyInfo, and the key in it.
fn algorithm(spki: &[u8]) -> Option<(Material, &'static dyn VerificationAlgorithm, &[u8])> {
    let ed25519 = spki.strip_prefix(OF_ED25519).filter(|key| key.len() == 32);
    let p256 = spki.strip_prefix(OF_P256).filter(|key| key.len() == 65);
    match (ed25519, p256) {
        (Some(key), _) => Some((Material::Ed25519, &ED25519, key)),
        (_, Some(key)) => Some((Material::EcdsaP256, &ECDSA_P256_SHA256_ASN1, key)),
        (None, None) => None,
    }
}

/// The first block of a PEM file (RFC 7468).
fn of_pem(text: &str) -> Result<Vec<u8>, InvalidKey> {
    let block = ["PUBLIC KEY", "CERTIFICATE"].into_iter().find_map(|label| {
        let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
        rest.split_once(&format!("-----END {label}-----")).map(|(inside, _)| inside)
    });
    let block = block.ok_or(InvalidKey("its PEM has neither a PUBLIC KEY nor a CERTIFICATE"))?;
    let joined: String = block.split_whitespace().collect();
    envelope::base64(&joined).ok_or(InvalidKey("its PEM is not base64"))
}
