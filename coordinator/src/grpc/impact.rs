//! ImpactService: from a vulnerability to the images that it concerns.

use std::collections::BTreeMap;
use std::sync::Arc;

use actors::blast_radius::{Concerned, Error, Spoken};
use model::{ImageDigest, TenantId};
use proto_api::common::v1::ErrorReason;
use proto_api::impact::v1::impact_service_server::ImpactService;
use proto_api::impact::v1::{
    ConcernedImage, ConcernedPackage, GetBlastRadiusRequest, GetBlastRadiusResponse, SpokenAdvisory,
};
use store::impact::{self, ComponentId, Holding};
use tonic::{Request, Response, Status};

use super::Door;
use super::auth::{Caller, caller_of};
use super::convert;
use super::errors::{Refusal, invalid, refuse};
use super::paging::Page;
use super::sealed::{BadSeal, Binding};

/// The service.
pub(super) struct Impact(pub(super) Arc<Door>);

const USUAL_PAGE: u32 = 200;
/// As long as an advisory's id may be.
const NAME_MAX: usize = 512;

#[tonic::async_trait]
impl ImpactService for Impact {
    async fn get_blast_radius(
        &self,
        request: Request<GetBlastRadiusRequest>,
    ) -> Result<Response<GetBlastRadiusResponse>, Status> {
        let caller = caller_of(&request)?;
        Ok(Response::new(self.radius(&caller, request.get_ref()).await?))
    }
}

impl Impact {
    async fn radius(
        &self,
        caller: &Caller,
        request: &GetBlastRadiusRequest,
    ) -> Result<GetBlastRadiusResponse, Refusal> {
        let name = request.vulnerability.trim();
        if name.is_empty() || name.len() > NAME_MAX {
            return Err(invalid("vulnerability", format!("must be a name of 1 to {NAME_MAX} bytes")));
        }
        let seals = &self.0.seals;
        let binding = Binding::of("GetBlastRadius", caller.tenant, &[name.as_bytes()]);
        let page = Page::of(seals, binding, request.page_size, &request.page_token, USUAL_PAGE)?;
        let after = page.after.as_deref().map(parse_place).transpose()?.unwrap_or_default();
        let concerned = self.0.blast_radius.of(name).await.map_err(refusal)?;
        let ids: Vec<ComponentId> = concerned.packages.keys().copied().collect();
        let of = (!caller.is_operator()).then_some(caller.tenant);
        let mut tx = self.0.store.fleet().await?;
        let totals = impact::totals(&mut tx, &ids, of).await?;
        let found = impact::holdings(&mut tx, &ids, of, after, page.limit()).await?;
        tx.commit().await?;
        let (found, next_page_token) =
            page.cut(seals, binding, found, |holding| holding.found.number.to_be_bytes().to_vec());
        let names = self.names(of, &found).await?;
        let image = |holding: &Holding| {
            let names = names.as_ref().map(|names| names.get(&holding.found.image));
            // What is not in the tenant's own rows is not told, whatever was found.
            let names = match names {
                Some(own) => own?.clone(),
                None => Vec::new(),
            };
            Some(image_message(&concerned, holding, names))
        };
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        Ok(GetBlastRadiusResponse {
            vulnerability: name.to_owned(),
            snapshot: concerned.snapshot.0,
            former_snapshot: concerned.former.map_or(0, |former| former.0),
            former_known: concerned.former.is_some(),
            advisories: concerned.advisories.iter().map(advisory_message).collect(),
            images_total: count(totals.images),
            tenants_total: count(totals.tenants),
            images: found.iter().filter_map(image).collect(),
            next_page_token,
        })
    }

    /// The names of a tenant's images, read as the tenant; an operator is not told any.
    async fn names(
        &self,
        of: Option<TenantId>,
        found: &[Holding],
    ) -> Result<Option<BTreeMap<ImageDigest, Vec<String>>>, Refusal> {
        let Some(tenant) = of else { return Ok(None) };
        let images: Vec<ImageDigest> = found.iter().map(|holding| holding.found.image.clone()).collect();
        let mut tx = self.0.store.tenant(tenant).await?;
        Ok(Some(impact::names(&mut tx, &images).await?))
    }
}

fn parse_place(bytes: &[u8]) -> Result<i32, Refusal> {
    let place: [u8; 4] = bytes.try_into().map_err(|_| BadSeal::Broken.of_page())?;
    Ok(i32::from_be_bytes(place))
}

fn refusal(error: Error) -> Refusal {
    match error {
        Error::Store(error) => error.into(),
        Error::TooMany => invalid("vulnerability", error),
        Error::Index(_) => {
            tracing::error!(error = &error as &dyn std::error::Error, "no blast radius");
            refuse(ErrorReason::Internal)
        }
    }
}

fn image_message(concerned: &Concerned, holding: &Holding, names: Vec<String>) -> ConcernedImage {
    let packages = holding.components.iter().filter_map(|id| concerned.packages.get(id));
    let packages = packages.map(|package| ConcernedPackage {
        purl: package.purl.to_string(),
        affected_now: package.now,
        affected_before: package.before,
    });
    let changed = concerned.advisories.iter().map(|spoken| spoken.standing.snapshot).max();
    ConcernedImage {
        tenant_id: holding.found.tenant.to_string(),
        image_digest: holding.found.image.to_string(),
        names,
        packages: packages.collect(),
        evaluated_snapshot: holding.evaluated_snapshot.map_or(0, |snapshot| snapshot.0),
        evaluate_time: holding.evaluated_at.map(convert::timestamp),
        up_to_date: holding.evaluated_snapshot >= changed && holding.evaluated_snapshot.is_some(),
    }
}

fn advisory_message(spoken: &Spoken) -> SpokenAdvisory {
    let standing = &spoken.standing;
    SpokenAdvisory {
        advisory: standing.advisory.clone(),
        feed_id: standing.feed.to_string(),
        revision: i32::try_from(standing.revision).unwrap_or(i32::MAX),
        published: spoken.published.clone().unwrap_or_default(),
        observe_time: Some(convert::timestamp(standing.observed_at)),
        snapshot: standing.snapshot.0,
    }
}
