//! ImageService: take images, blob by blob, and find them again.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use inventory::{ImageConfig, ImageManifest, LayerDescriptor};
use model::{Digest, ImageDigest, TenantId};
use proto_api::common::v1::ErrorReason;
use proto_api::image::v1::image_service_server::ImageService;
use proto_api::image::v1::{
    self as wire, BlobHeader, FindMissingBlobsRequest, FindMissingBlobsResponse, GetImageRequest,
    GetImageResponse, ListImagesRequest, ListImagesResponse, PutImageRequest, PutImageResponse,
    ResolveImageRequest, ResolveImageResponse, UploadBlobRequest, UploadBlobResponse,
    upload_blob_request::Part,
};
use store::images::{self, Image, Layer, NewImage, Summary};
use store::{Store, TenantTx};
use tonic::{Request, Response, Status, Streaming};

use super::Door;
use super::auth::{Caller, caller_of};
use super::convert;
use super::errors::{Refusal, invalid, named, refuse};
use super::idempotent::{Asked, once, request_id};
use super::paging::Page;
use super::sealed::Binding;
use super::uploads::{Message, Piece, chunks, header, of_upload};

/// The service.
pub(super) struct Images(pub(super) Arc<Door>);

const USUAL_PAGE: u32 = 50;
const DIGESTS_MAX: usize = 1000;
const NAMES_MAX: usize = 100;
const NAME_BYTES_MAX: usize = 512;

#[tonic::async_trait]
impl ImageService for Images {
    async fn find_missing_blobs(
        &self,
        request: Request<FindMissingBlobsRequest>,
    ) -> Result<Response<FindMissingBlobsResponse>, Status> {
        let caller = caller_of(&request)?;
        let digests = parse_digests(&request.get_ref().digests)?;
        let mut tx = self.tx(&caller).await?;
        let missing = images::missing_blobs(&mut tx, &digests).await.map_err(Refusal::from)?;
        let missing_digests = missing.iter().map(Digest::to_string).collect();
        Ok(Response::new(FindMissingBlobsResponse { missing_digests }))
    }

    async fn upload_blob(
        &self,
        request: Request<Streaming<UploadBlobRequest>>,
    ) -> Result<Response<UploadBlobResponse>, Status> {
        let caller = caller_of(&request)?;
        let answer = self.upload(&caller, request.into_inner()).await?;
        Ok(Response::new(answer))
    }

    async fn put_image(
        &self,
        request: Request<PutImageRequest>,
    ) -> Result<Response<PutImageResponse>, Status> {
        let caller = caller_of(&request)?;
        let request = request.get_ref();
        let asked = Asked { tenant: caller.tenant, method: "PutImage", id: &request.request_id };
        let answer = once(&self.0.store, asked, request, async || self.put(&caller, request).await).await?;
        Ok(Response::new(answer))
    }

    async fn get_image(
        &self,
        request: Request<GetImageRequest>,
    ) -> Result<Response<GetImageResponse>, Status> {
        let caller = caller_of(&request)?;
        let mut tx = self.tx(&caller).await?;
        let digest = image_digest(&mut tx, &request.get_ref().image).await?;
        let image = images::get(&mut tx, &digest).await.map_err(Refusal::from)?;
        Ok(Response::new(GetImageResponse { image: Some(image_message(&image)) }))
    }

    async fn list_images(
        &self,
        request: Request<ListImagesRequest>,
    ) -> Result<Response<ListImagesResponse>, Status> {
        let caller = caller_of(&request)?;
        Ok(Response::new(self.list(&caller, request.get_ref()).await?))
    }

    async fn resolve_image(
        &self,
        request: Request<ResolveImageRequest>,
    ) -> Result<Response<ResolveImageResponse>, Status> {
        let caller = caller_of(&request)?;
        let digest = image_digest(&mut self.tx(&caller).await?, &request.get_ref().image).await?;
        Ok(Response::new(ResolveImageResponse { digest: digest.to_string() }))
    }
}

impl Images {
    async fn tx(&self, caller: &Caller) -> Result<TenantTx, Refusal> {
        Ok(self.0.store.tenant(caller.tenant).await?)
    }

    async fn upload(
        &self,
        caller: &Caller,
        mut parts: Streaming<UploadBlobRequest>,
    ) -> Result<UploadBlobResponse, Refusal> {
        let header = header(&mut parts).await?;
        let (digest, size) = self.announced(&header)?;
        let answer = || UploadBlobResponse { digest: digest.to_string(), size_bytes: header.size_bytes };
        let known = images::missing_blobs(&mut self.tx(caller).await?, std::slice::from_ref(&digest))
            .await?
            .is_empty();
        if known {
            return Ok(answer());
        }
        self.0.objects.put_blob(caller.tenant, &digest, size, chunks(parts)).await.map_err(of_upload)?;
        let mut tx = self.tx(caller).await?;
        images::record_blob(&mut tx, &digest, size, &header.media_type).await?;
        tx.commit().await?;
        metrics::counter!("starling_blob_bytes_total").increment(size);
        Ok(answer())
    }

    fn announced(&self, header: &BlobHeader) -> Result<(Digest, u64), Refusal> {
        request_id(&header.request_id)?;
        let digest = header.digest.parse().map_err(|error| invalid("header.digest", error))?;
        let size = u64::try_from(header.size_bytes);
        let size = size.map_err(|_| invalid("header.size_bytes", "must not be negative"))?;
        parse_media_type("header.media_type", &header.media_type)?;
        let max = self.0.blob_bytes_max;
        if size > max {
            return Err(refuse(ErrorReason::BlobTooLarge)
                .saying(format!("the blob has {size} bytes, more than the {max} that this server takes"))
                .with("max_bytes", max));
        }
        Ok((digest, size))
    }

    async fn put(&self, caller: &Caller, request: &PutImageRequest) -> Result<PutImageResponse, Refusal> {
        let (image, config_type) = parse_image(request)?;
        self.keep_config(caller, request, &image.config, &config_type).await?;
        let mut tx = self.tx(caller).await?;
        let created = images::put(&mut tx, &image).await?;
        let stored = images::get(&mut tx, &image.digest).await?;
        tx.commit().await?;
        Ok(PutImageResponse { image: Some(image_message(&stored)), created })
    }

    /// The configuration is a blob like any other, but comes with the manifest.
    async fn keep_config(
        &self,
        caller: &Caller,
        request: &PutImageRequest,
        digest: &Digest,
        media_type: &str,
    ) -> Result<(), Refusal> {
        let size = request.config.len() as u64;
        let content = request.config.clone();
        let content = stream::once(async move { Ok::<Bytes, io::Error>(content) });
        self.0.objects.put_blob(caller.tenant, digest, size, content).await?;
        let mut tx = self.tx(caller).await?;
        images::record_blob(&mut tx, digest, size, media_type).await?;
        Ok(tx.commit().await?)
    }

    async fn list(
        &self,
        caller: &Caller,
        request: &ListImagesRequest,
    ) -> Result<ListImagesResponse, Refusal> {
        let binding = Binding::of("ListImages", caller.tenant, &[]);
        let seals = &self.0.seals;
        let page = Page::of(seals, binding, request.page_size, &request.page_token, USUAL_PAGE)?;
        let after = page.after_text()?.map(|text| text.parse()).transpose();
        let after: Option<ImageDigest> = after.map_err(|error| invalid("page_token", error))?;
        let mut tx = self.tx(caller).await?;
        let found = images::list(&mut tx, after.as_ref(), page.limit()).await?;
        let (found, next_page_token) =
            page.cut(seals, binding, found, |image| image.digest.to_string().into_bytes());
        let digests: Vec<_> = found.iter().map(|image| image.digest.clone()).collect();
        let named = images::names_of(&mut tx, &digests).await?;
        let message = |image: &Summary| {
            let names = named.iter().filter(|(digest, _)| *digest == image.digest);
            wire::Image { names: names.map(|(_, name)| name.clone()).collect(), ..summary_message(image) }
        };
        Ok(ListImagesResponse { images: found.iter().map(message).collect(), next_page_token })
    }
}

/// The image behind a digest, the beginning of one, or a name.
pub(super) async fn image_digest(tx: &mut TenantTx, reference: &str) -> Result<ImageDigest, Refusal> {
    if reference.is_empty() {
        return Err(invalid("image", "must be a digest, the beginning of one, or a name"));
    }
    images::resolve(tx, reference).await.map_err(|error| named(error, reference))
}

/// As [`image_digest`]; but a whole digest is taken for what it is, whether its image is there or not.
pub(super) async fn image_to_be(
    store: &Store,
    tenant: TenantId,
    reference: &str,
) -> Result<ImageDigest, Refusal> {
    match reference.parse() {
        Ok(digest) => Ok(digest),
        Err(_) => image_digest(&mut store.tenant(tenant).await?, reference).await,
    }
}

fn parse_digests(texts: &[String]) -> Result<Vec<Digest>, Refusal> {
    if texts.len() > DIGESTS_MAX {
        return Err(invalid("digests", format!("must be {DIGESTS_MAX} at most")));
    }
    texts.iter().map(|text| text.parse().map_err(|error| invalid("digests", error))).collect()
}

fn parse_media_type(field: &str, text: &str) -> Result<(), Refusal> {
    if text.is_empty() || text.len() > 255 || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(invalid(field, "must be a media type of at most 255 characters"));
    }
    Ok(())
}

impl Message for UploadBlobRequest {
    type Header = BlobHeader;

    fn piece(self) -> Option<Piece<BlobHeader>> {
        Some(match self.part? {
            Part::Header(header) => Piece::Header(header),
            Part::Chunk(chunk) => Piece::Chunk(chunk),
        })
    }
}

/// The image that a manifest and a configuration make together, and the configuration's media type.
fn parse_image(request: &PutImageRequest) -> Result<(NewImage, String), Refusal> {
    let bad_manifest = |error: &dyn std::fmt::Display| refuse(ErrorReason::ManifestInvalid).saying(error);
    let bad_config = |error: &dyn std::fmt::Display| refuse(ErrorReason::ConfigInvalid).saying(error);
    let manifest = ImageManifest::parse(&request.manifest).map_err(|error| match error.advice() {
        Some(advice) => bad_manifest(&format!("{error}: {advice}")),
        None => bad_manifest(&error),
    })?;
    if !request.media_type.is_empty() && request.media_type != manifest.media_type {
        return Err(bad_manifest(&format!(
            "the manifest says it is {}, not {}",
            manifest.media_type, request.media_type
        )));
    }
    let found = Digest::of(&request.config);
    if found != manifest.config.digest {
        let expected = &manifest.config.digest;
        return Err(bad_config(&format!(
            "the manifest names the configuration {expected}, but {found} was sent"
        )));
    }
    let config = ImageConfig::parse(&request.config).map_err(|error| bad_config(&error))?;
    let layers = manifest.layers_of(&config).map_err(|error| bad_config(&error))?;
    for layer in &layers {
        parse_media_type("manifest", &layer.media_type)?;
    }
    let image = NewImage {
        digest: ImageDigest::new(Digest::of(&request.manifest)),
        manifest: request.manifest.to_vec(),
        media_type: manifest.media_type,
        config: manifest.config.digest,
        layers: layers.into_iter().map(new_layer).collect(),
        names: parse_names(&request.names)?,
    };
    Ok((image, manifest.config.media_type))
}

fn new_layer(layer: LayerDescriptor) -> Layer {
    let LayerDescriptor { digest, size, media_type, diff_id } = layer;
    Layer { digest, size, media_type, diff_id }
}

fn parse_names(names: &[String]) -> Result<Vec<String>, Refusal> {
    if names.len() > NAMES_MAX {
        return Err(invalid("names", format!("must be {NAMES_MAX} at most")));
    }
    // A digest stands for itself: a name that looks like one would be taken for it.
    let good = |name: &String| {
        (1..=NAME_BYTES_MAX).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_graphic())
            && !name.starts_with("sha256:")
    };
    match names.iter().find(|name| !good(name)) {
        Some(_) => {
            Err(invalid("names", "must be 1 to 512 printable characters without blanks, and no digest"))
        }
        None => Ok(names.to_vec()),
    }
}

fn image_message(image: &Image) -> wire::Image {
    let layer = |layer: &Layer| wire::Layer {
        digest: layer.digest.to_string(),
        size_bytes: bytes(layer.size),
        media_type: layer.media_type.clone(),
        diff_id: layer.diff_id.to_string(),
    };
    wire::Image {
        names: image.names.clone(),
        media_type: image.media_type.clone(),
        config_digest: image.config.to_string(),
        layers: image.layers.iter().map(layer).collect(),
        ..summary_message(&image.summary)
    }
}

fn summary_message(image: &Summary) -> wire::Image {
    wire::Image {
        digest: image.digest.to_string(),
        size_bytes: bytes(image.size),
        create_time: Some(convert::timestamp(image.created_at)),
        revision: image.revision,
        evaluated_revision: image.evaluated_revision,
        verdict_version: i32::try_from(image.last_verdict).unwrap_or(i32::MAX),
        ..wire::Image::default()
    }
}

fn bytes(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use inventory::{Descriptor, media_type};

    use super::*;

    fn request(layers: &[&[u8]], diff_ids: usize) -> PutImageRequest {
        let ids: Vec<_> =
            layers.iter().take(diff_ids).map(|layer| format!("\"{}\"", Digest::of(layer))).collect();
        let config = format!(r#"{{"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#, ids.join(","));
        let descriptor = |media_type: &str, bytes: &[u8]| Descriptor {
            media_type: media_type.to_owned(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
        };
        let manifest = ImageManifest {
            media_type: media_type::OCI_MANIFEST.to_owned(),
            config: descriptor(media_type::OCI_CONFIG, config.as_bytes()),
            layers: layers.iter().map(|layer| descriptor(media_type::OCI_LAYER, layer)).collect(),
        };
        PutImageRequest {
            manifest: manifest.to_bytes().into(),
            config: config.into_bytes().into(),
            names: vec!["app:1".to_owned()],
            ..PutImageRequest::default()
        }
    }

    #[test]
    fn manifest_and_configuration_make_an_image_together() {
        let request = request(&[b"lower", b"upper"], 2);
        let (image, config_type) = parse_image(&request).unwrap();
        assert_eq!(image.digest.digest(), &Digest::of(&request.manifest));
        assert_eq!(image.layers.iter().map(|l| l.size).collect::<Vec<_>>(), [5, 5]);
        assert_eq!((config_type.as_str(), image.names), (media_type::OCI_CONFIG, vec!["app:1".to_owned()]));
    }

    #[test]
    fn what_does_not_belong_together_is_refused_by_its_own_reason() {
        let reason = |request: &PutImageRequest| parse_image(request).unwrap_err().reason();
        assert_eq!(reason(&request(&[b"a", b"b"], 1)), ErrorReason::ConfigInvalid);
        let good = request(&[b"a"], 1);
        let with = |change: fn(&mut PutImageRequest)| {
            let mut request = good.clone();
            change(&mut request);
            request
        };
        assert_eq!(reason(&with(|r| r.config = Bytes::from_static(b"{}"))), ErrorReason::ConfigInvalid);
        assert_eq!(reason(&with(|r| r.manifest = Bytes::from_static(b"{}"))), ErrorReason::ManifestInvalid);
        assert_eq!(reason(&with(|r| r.media_type = "text/plain".to_owned())), ErrorReason::ManifestInvalid);
        for bad in ["", "a b", "sha256:00"] {
            let mut request = good.clone();
            request.names.push(bad.to_owned());
            assert_eq!(reason(&request), ErrorReason::RequestInvalid, "{bad:?}");
        }
    }
}
