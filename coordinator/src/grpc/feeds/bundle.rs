//! Bundles: bytes that somebody brings for a feed, kept under their digest before anybody reads them.

use model::TenantId;
use proto_api::common::v1::ErrorReason;
use proto_api::feed::v1::import_bundle_request::Part;
use proto_api::feed::v1::{BundleHeader, ImportBundleRequest, ImportBundleResponse};
use store::feed_orders::{Bundle, Task};
use tonic::Streaming;

use super::super::auth::Caller;
use super::super::errors::{Refusal, invalid, refuse};
use super::super::idempotent::{Asked, once};
use super::super::uploads::{Message, Piece, chunks, header, of_upload};
use super::steering::{audit, by, registered};
use super::{Feeds, message, parse_id};

const NAME_MAX: usize = 255;

impl Feeds {
    /// Takes a bundle and orders the feed to take it in. What is there already is not read again.
    pub(super) async fn import(
        &self,
        caller: &Caller,
        mut parts: Streaming<ImportBundleRequest>,
    ) -> Result<ImportBundleResponse, Refusal> {
        let header = header(&mut parts).await?;
        let asked = Asked { tenant: caller.tenant, method: "ImportBundle", id: &header.request_id };
        once(&self.0.store, asked, &header, async || self.take(caller, &header, parts).await).await
    }

    async fn take(
        &self,
        caller: &Caller,
        header: &BundleHeader,
        parts: Streaming<ImportBundleRequest>,
    ) -> Result<ImportBundleResponse, Refusal> {
        let (feed, by) = (parse_id(&header.feed_id)?, by(caller, &header.reason)?);
        let bundle = self.announced(header)?;
        // Refused before the bytes come, and again with the order.
        registered(&mut self.0.store.fleet().await?, &feed).await?;
        let objects = &self.0.objects;
        if objects.size_of(TenantId::SYSTEM, &bundle.digest).await? != Some(bundle.bytes) {
            let content = chunks(parts);
            let put = objects.put_blob(TenantId::SYSTEM, &bundle.digest, bundle.bytes, content);
            put.await.map_err(of_upload)?;
        }
        let what = format!("to take in {} ({}, {} bytes)", bundle.name, bundle.digest, bundle.bytes);
        let (now, order) = self.give_order(&feed, Task::Import(bundle), by).await?;
        audit(&feed, &what, by);
        Ok(ImportBundleResponse { feed: Some(message(&now)), steer_id: order.id.to_string() })
    }

    fn announced(&self, header: &BundleHeader) -> Result<Bundle, Refusal> {
        let digest = header.digest.parse().map_err(|error| invalid("header.digest", error))?;
        let bytes = u64::try_from(header.size_bytes);
        let bytes = bytes.map_err(|_| invalid("header.size_bytes", "must not be negative"))?;
        let max = self.0.blob_bytes_max;
        if bytes > max {
            return Err(refuse(ErrorReason::BlobTooLarge)
                .saying(format!("the bundle has {bytes} bytes, more than the {max} that this server takes"))
                .with("max_bytes", max));
        }
        Ok(Bundle { name: parse_name(&header.name)?, digest, bytes, whole: !header.partial })
    }
}

/// A file's name without a path: its end says how it is packed.
fn parse_name(name: &str) -> Result<String, Refusal> {
    let plain = !name.is_empty() && name.len() <= NAME_MAX && !name.contains(['/', '\\']);
    if plain && !name.chars().any(char::is_control) {
        return Ok(name.to_owned());
    }
    Err(invalid(
        "header.name",
        format!("must be a file's name of at most {NAME_MAX} bytes, without its path"),
    ))
}

impl Message for ImportBundleRequest {
    type Header = BundleHeader;

    fn piece(self) -> Option<Piece<BundleHeader>> {
        Some(match self.part? {
            Part::Header(header) => Piece::Header(header),
            Part::Chunk(chunk) => Piece::Chunk(chunk.into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_has_a_plain_file_name() {
        assert_eq!(parse_name("all.zip").unwrap(), "all.zip");
        for bad in ["", "../all.zip", "a\\b", "a\nb", &"x".repeat(256)] {
            assert_eq!(parse_name(bad).unwrap_err().reason(), ErrorReason::RequestInvalid, "{bad:?}");
        }
    }
}
