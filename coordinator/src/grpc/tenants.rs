//! TenantService: isolated customers, and how much each may use.

use std::sync::Arc;

use model::TenantId;
use proto_api::common::v1::ErrorReason;
use proto_api::tenant::v1::tenant_service_server::TenantService;
use proto_api::tenant::v1::{
    self as wire, CreateTenantRequest, CreateTenantResponse, GetQuotaRequest, GetQuotaResponse,
    GetTenantRequest, GetTenantResponse, ListTenantsRequest, ListTenantsResponse, SetQuotaRequest,
    SetQuotaResponse,
};
use store::tenants::{self, Quota, Tenant};
use tonic::{Request, Response, Status};

use super::Door;
use super::auth::{Caller, caller_of};
use super::convert;
use super::errors::{Refusal, invalid, named, refuse};
use super::idempotent::{Asked, once};
use super::paging::Page;
use super::sealed::Binding;

/// The service.
pub(super) struct Tenants(pub(super) Arc<Door>);

const USUAL_PAGE: u32 = 50;

#[tonic::async_trait]
impl TenantService for Tenants {
    async fn create_tenant(
        &self,
        request: Request<CreateTenantRequest>,
    ) -> Result<Response<CreateTenantResponse>, Status> {
        let caller = caller_of(&request)?;
        let request = request.get_ref();
        let asked = Asked { tenant: caller.tenant, method: "CreateTenant", id: &request.request_id };
        let answer = once(&self.0.store, asked, request, async || self.create(request).await).await?;
        Ok(Response::new(answer))
    }

    async fn get_tenant(
        &self,
        request: Request<GetTenantRequest>,
    ) -> Result<Response<GetTenantResponse>, Status> {
        let caller = caller_of(&request)?;
        let tenant = find(&self.0, &caller, &request.get_ref().tenant).await?;
        Ok(Response::new(GetTenantResponse { tenant: Some(message(&tenant)) }))
    }

    async fn list_tenants(
        &self,
        request: Request<ListTenantsRequest>,
    ) -> Result<Response<ListTenantsResponse>, Status> {
        let caller = caller_of(&request)?;
        Ok(Response::new(self.list(&caller, request.get_ref()).await?))
    }

    async fn get_quota(
        &self,
        request: Request<GetQuotaRequest>,
    ) -> Result<Response<GetQuotaResponse>, Status> {
        let caller = caller_of(&request)?;
        let tenant = find(&self.0, &caller, &request.get_ref().tenant).await?;
        let quota = Some(quota_message(tenant.quota));
        Ok(Response::new(GetQuotaResponse { quota, tenant_id: tenant.id.to_string() }))
    }

    async fn set_quota(
        &self,
        request: Request<SetQuotaRequest>,
    ) -> Result<Response<SetQuotaResponse>, Status> {
        let caller = caller_of(&request)?;
        let request = request.get_ref();
        let asked = Asked { tenant: caller.tenant, method: "SetQuota", id: &request.request_id };
        let answer = once(&self.0.store, asked, request, async || self.set(&caller, request).await).await?;
        Ok(Response::new(answer))
    }
}

impl Tenants {
    async fn create(&self, request: &CreateTenantRequest) -> Result<CreateTenantResponse, Refusal> {
        let name = parse_name(&request.name)?;
        let quota = request.quota.as_ref().map(parse_quota).transpose()?.unwrap_or_default();
        let mut tx = self.0.store.fleet().await?;
        let tenant = tenants::create(&mut tx, name, quota).await.map_err(|error| match error {
            store::Error::Conflict { what } => {
                refuse(ErrorReason::TenantExists).saying(what).about("tenant", name)
            }
            other => other.into(),
        })?;
        tx.commit().await?;
        Ok(CreateTenantResponse { tenant: Some(message(&tenant)) })
    }

    async fn list(
        &self,
        caller: &Caller,
        request: &ListTenantsRequest,
    ) -> Result<ListTenantsResponse, Refusal> {
        let binding = Binding::of("ListTenants", caller.tenant, &[]);
        let seals = &self.0.seals;
        let page = Page::of(seals, binding, request.page_size, &request.page_token, USUAL_PAGE)?;
        let mut tx = self.0.store.fleet().await?;
        let found = tenants::list(&mut tx, page.after_text()?.as_deref(), page.limit()).await?;
        let (found, next_page_token) =
            page.cut(seals, binding, found, |tenant| tenant.name.clone().into_bytes());
        Ok(ListTenantsResponse { tenants: found.iter().map(message).collect(), next_page_token })
    }

    async fn set(&self, caller: &Caller, request: &SetQuotaRequest) -> Result<SetQuotaResponse, Refusal> {
        let quota = request.quota.as_ref().ok_or_else(|| invalid("quota", "must be set"))?;
        let quota = parse_quota(quota)?;
        let tenant = find(&self.0, caller, &request.tenant).await?;
        let mut tx = self.0.store.fleet().await?;
        let tenant = tenants::set_quota(&mut tx, tenant.id, quota).await?;
        tx.commit().await?;
        Ok(SetQuotaResponse { quota: Some(quota_message(tenant.quota)), tenant_id: tenant.id.to_string() })
    }
}

/// The tenant that a request names by id or name; without one the caller's own. A tenant may name itself alone.
pub(super) async fn find(door: &Door, caller: &Caller, text: &str) -> Result<Tenant, Refusal> {
    let mut tx = door.store.fleet().await?;
    let wanted = if text.is_empty() { Some(caller.tenant) } else { text.parse::<TenantId>().ok() };
    let found = match wanted {
        // Whether somebody else's tenant exists is not for a tenant to learn.
        Some(id) if !caller.is_operator() && id != caller.tenant => return Err(mismatch()),
        Some(id) => tenants::get(&mut tx, id).await,
        None if caller.is_operator() => tenants::by_name(&mut tx, text).await,
        None => {
            let own = tenants::get(&mut tx, caller.tenant).await?;
            return if own.name == text { Ok(own) } else { Err(mismatch()) };
        }
    };
    found.map_err(|error| named(error, text))
}

fn mismatch() -> Refusal {
    refuse(ErrorReason::TenantMismatch)
}

fn parse_name(name: &str) -> Result<&str, Refusal> {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let good = (1..=63).contains(&name.len())
        && name.bytes().all(|b| word(b) || b == b'.' || b == b'-')
        && name.bytes().next().is_some_and(word)
        && name.parse::<TenantId>().is_err();
    if good {
        Ok(name)
    } else {
        Err(invalid("name", "must be 1 to 63 of a-z, 0-9, '.' and '-', and no UUID"))
    }
}

fn parse_quota(quota: &wire::Quota) -> Result<Quota, Refusal> {
    let count =
        |field: &str, number: i32| u32::try_from(number).map_err(|_| invalid(field, "must not be negative"));
    let positive = |field: &str, number: f32, max: f32| {
        if number > 0.0 && number <= max {
            Ok(number)
        } else {
            Err(invalid(field, format!("must be above 0 and at most {max}")))
        }
    };
    if quota.burst < 1 {
        return Err(invalid("quota.burst", "must be at least 1"));
    }
    Ok(Quota {
        weight: positive("quota.weight", quota.weight, 1000.0)?,
        max_queued: count("quota.max_queued", quota.max_queued)?,
        max_inflight: count("quota.max_inflight", quota.max_inflight)?,
        rate_per_s: positive("quota.rate_per_second", quota.rate_per_second, 1e6)?,
        burst: count("quota.burst", quota.burst)?,
    })
}

fn message(tenant: &Tenant) -> wire::Tenant {
    wire::Tenant {
        tenant_id: tenant.id.to_string(),
        name: tenant.name.clone(),
        suspended: !tenant.active,
        create_time: Some(convert::timestamp(tenant.created_at)),
        quota: Some(quota_message(tenant.quota)),
    }
}

fn quota_message(quota: Quota) -> wire::Quota {
    let count = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    wire::Quota {
        weight: quota.weight,
        max_queued: count(quota.max_queued),
        max_inflight: count(quota.max_inflight),
        rate_per_second: quota.rate_per_s,
        burst: count(quota.burst),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tenants_cannot_be_taken_for_ids() {
        assert!(parse_name("acme-1.eu").is_ok());
        for bad in ["", "Acme", "-a", "a_b", "01936e5e-0000-7000-8000-000000000001", &"a".repeat(64)] {
            assert!(parse_name(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn quotas_come_back_and_nonsense_does_not_get_in() {
        let good = quota_message(Quota::default());
        assert_eq!(parse_quota(&good).unwrap(), Quota::default());
        for bad in [
            wire::Quota { weight: 0.0, ..good },
            wire::Quota { weight: f32::NAN, ..good },
            wire::Quota { max_queued: -1, ..good },
            wire::Quota { rate_per_second: f32::INFINITY, ..good },
            wire::Quota { burst: 0, ..good },
        ] {
            assert_eq!(parse_quota(&bad).unwrap_err().reason(), ErrorReason::RequestInvalid, "{bad:?}");
        }
    }
}
