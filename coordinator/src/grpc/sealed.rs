//! Opaque tokens for the next page and for resuming a watch: signed, and bound to what they were made for.
//!
//! A token is `binding (8 bytes) · position · mac (16 bytes)` in base64url. The binding is a digest of the
//! method, the tenant and the filter; another one is told apart from a damaged token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use model::TenantId;
use proto_api::common::v1::ErrorReason;
use sha2::{Digest as _, Sha256};

use super::errors::{Refusal, refuse};

const BINDING: usize = 8;
const MAC: usize = 16;
/// No honest position is longer.
const TOKEN_BYTES_MAX: usize = 2048;

/// Signs and checks tokens.
#[derive(Clone)]
pub(super) struct Seals {
    key: [u8; 32],
}

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Binding([u8; BINDING]);

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadSeal {
    /// It was not made by this server, or is damaged.
    Broken,
    /// It was made for something else.
    Elsewhere,
}

impl Binding {
    /// For this method, tenant and filter; the parts of the filter in a fixed order.
    pub(super) fn of(method: &str, tenant: TenantId, filter: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        let tenant = tenant.as_uuid();
        let parts = [method.as_bytes(), tenant.as_bytes()];
        for part in parts.into_iter().chain(filter.iter().copied()) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut binding = [0; BINDING];
        binding.copy_from_slice(&hash.finalize()[..BINDING]);
        Self(binding)
    }
}

impl Seals {
    /// Signs with this key.
    pub(super) const fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// A token for a position.
    pub(super) fn seal(&self, binding: Binding, position: &[u8]) -> String {
        let mut token = [&binding.0[..], position].concat();
        let mac = self.mac(&token);
        token.extend(mac);
        URL_SAFE_NO_PAD.encode(token)
    }

    /// The position in a token, if it was made for this.
    pub(super) fn open(&self, binding: Binding, token: &str) -> Result<Vec<u8>, BadSeal> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(BadSeal::Broken);
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| BadSeal::Broken)?;
        let signed = bytes.len().checked_sub(MAC).filter(|n| *n >= BINDING).ok_or(BadSeal::Broken)?;
        let (signed, mac) = bytes.split_at(signed);
        self.keyed(signed).verify_truncated_left(mac).map_err(|_| BadSeal::Broken)?;
        let (bound, position) = signed.split_at(BINDING);
        if bound == binding.0 { Ok(position.to_vec()) } else { Err(BadSeal::Elsewhere) }
    }

    fn mac(&self, signed: &[u8]) -> [u8; MAC] {
        let whole = self.keyed(signed).finalize().into_bytes();
        let mut mac = [0; MAC];
        mac.copy_from_slice(&whole[..MAC]);
        mac
    }

    fn keyed(&self, signed: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key of any length will do");
        mac.update(signed);
        mac
    }
}

impl BadSeal {
    /// The refusal of a page token.
    pub(super) fn of_page(self) -> Refusal {
        refuse(match self {
            Self::Broken => ErrorReason::PageTokenInvalid,
            Self::Elsewhere => ErrorReason::PageTokenMismatch,
        })
    }

    /// The refusal of a resume token.
    pub(super) fn of_watch(self) -> Refusal {
        refuse(ErrorReason::ResumeTokenInvalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: TenantId = TenantId::from_uuid(uuid::Uuid::from_u128(1));
    const OTHER: TenantId = TenantId::from_uuid(uuid::Uuid::from_u128(2));

    #[test]
    fn a_token_opens_only_for_what_it_was_made_for() {
        let seals = Seals::new([7; 32]);
        let binding = Binding::of("ListJobs", TENANT, &[b"done"]);
        let token = seals.seal(binding, b"position");
        assert_eq!(seals.open(binding, &token), Ok(b"position".to_vec()));
        for other in [
            Binding::of("ListJobs", OTHER, &[b"done"]),
            Binding::of("ListImages", TENANT, &[b"done"]),
            Binding::of("ListJobs", TENANT, &[b"don", b"e"]),
        ] {
            assert_eq!(seals.open(other, &token), Err(BadSeal::Elsewhere));
        }
    }

    #[test]
    fn a_changed_or_foreign_token_is_broken() {
        let seals = Seals::new([7; 32]);
        let binding = Binding::of("ListJobs", TENANT, &[]);
        let token = seals.seal(binding, b"position");
        assert_eq!(Seals::new([8; 32]).open(binding, &token), Err(BadSeal::Broken));
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(seals.open(binding, &changed), Err(BadSeal::Broken), "byte {at}");
        }
        for garbage in ["", "A", "?", &"A".repeat(4000)] {
            assert_eq!(seals.open(binding, garbage), Err(BadSeal::Broken));
        }
    }
}
