//! `starling tenants`: isolated customers, and how much each may use.

use clap::{Args, Subcommand};
use proto_api::tenant::v1::{
    CreateTenantRequest, GetQuotaRequest, ListTenantsRequest, Quota, SetQuotaRequest, Tenant,
};
use uuid::Uuid;

use super::failure::{Exit, Failure};
use super::list::{self, Limit, Output};
use super::screen::Screen;
use super::server::{Server, call};
use super::table::Rows;

const TENANT: &str = "starling.tenant.v1.Tenant";

/// What to do with tenants.
#[derive(Debug, Subcommand)]
pub(super) enum Tenants {
    /// Add a tenant
    Create {
        /// Its name: 1 to 63 of a-z, 0-9, '-' and '.'
        name: String,
    },
    /// List tenants
    List {
        #[command(flatten)]
        limit: Limit,
        #[command(flatten)]
        output: Output,
    },
    /// Show or change what a tenant may use
    Quota {
        /// Its name or id; the caller's own when not given
        tenant: Option<String>,
        #[command(flatten)]
        change: Change,
        #[command(flatten)]
        output: Output,
    },
}

/// Parts of a quota to change; the others stay.
#[derive(Debug, Clone, PartialEq, Args)]
pub(super) struct Change {
    /// Its share of the workers, beside other tenants' weights
    #[arg(long, value_name = "NUMBER")]
    weight: Option<f32>,
    /// How many unfinished jobs it may have
    #[arg(long, value_name = "N")]
    max_queued: Option<i32>,
    /// How many jobs may be worked on at once
    #[arg(long, value_name = "N")]
    max_inflight: Option<i32>,
    /// How many jobs a second it may submit in the long run
    #[arg(long, value_name = "NUMBER")]
    rate: Option<f32>,
    /// How many jobs it may submit at once
    #[arg(long, value_name = "N")]
    burst: Option<i32>,
}

impl Change {
    fn apply(&self, mut quota: Quota) -> Quota {
        quota.weight = self.weight.unwrap_or(quota.weight);
        quota.max_queued = self.max_queued.unwrap_or(quota.max_queued);
        quota.max_inflight = self.max_inflight.unwrap_or(quota.max_inflight);
        quota.rate_per_second = self.rate.unwrap_or(quota.rate_per_second);
        quota.burst = self.burst.unwrap_or(quota.burst);
        quota
    }
}

impl Tenants {
    /// Does it.
    pub(super) async fn run(self, server: &Server, screen: &mut Screen) -> Result<(), Failure> {
        match self {
            Self::Create { name } => {
                let request =
                    CreateTenantRequest { request_id: Uuid::now_v7().to_string(), name, quota: None };
                let answer =
                    call(request, async |request| server.tenants().create_tenant(request).await).await?;
                screen.data(answer.tenant.unwrap_or_default().tenant_id)
            }
            Self::List { limit, output } => list(server, screen, limit.limit, output).await,
            Self::Quota { tenant, change, output } => {
                let quota = quota(server, tenant.unwrap_or_default(), &change).await?;
                list::show_one(screen, output.format, "starling.tenant.v1.Quota", &quota, show)
            }
        }
    }
}

async fn list(server: &Server, screen: &mut Screen, limit: usize, output: Output) -> Result<(), Failure> {
    let found = list::gather(limit, async |page_size, page_token| {
        let request = ListTenantsRequest { page_size, page_token };
        let page = call(request, async |request| server.tenants().list_tenants(request).await).await?;
        Ok((page.tenants, page.next_page_token))
    });
    list::show(screen, output.format, TENANT, &found.await?, |screen, tenants: &[Tenant]| {
        let mut rows =
            Rows::new(screen, &["TENANT", "NAME", "STATE", "WEIGHT", "QUEUED", "INFLIGHT", "RATE", "BURST"]);
        for tenant in tenants {
            let quota = tenant.quota.unwrap_or_default();
            rows.row([
                tenant.tenant_id.clone(),
                tenant.name.clone(),
                if tenant.suspended { "suspended" } else { "active" }.to_owned(),
                quota.weight.to_string(),
                quota.max_queued.to_string(),
                quota.max_inflight.to_string(),
                format!("{}/s", quota.rate_per_second),
                quota.burst.to_string(),
            ]);
        }
        rows.right(&[3, 4, 5, 6, 7])
    })
}

async fn quota(server: &Server, tenant: String, change: &Change) -> Result<Quota, Failure> {
    let request = GetQuotaRequest { tenant: tenant.clone() };
    let answer = call(request, async |request| server.tenants().get_quota(request).await).await?;
    let before = answer.quota.ok_or_else(|| Failure::new(Exit::Failed, "the server sent no quota"))?;
    let after = change.apply(before);
    if after == before {
        return Ok(before);
    }
    let request = SetQuotaRequest {
        request_id: Uuid::now_v7().to_string(),
        tenant: answer.tenant_id,
        quota: Some(after),
    };
    let answer = call(request, async |request| server.tenants().set_quota(request).await).await?;
    answer.quota.ok_or_else(|| Failure::new(Exit::Failed, "the server sent no quota"))
}

fn show(screen: &mut Screen, quota: &Quota) -> Result<(), Failure> {
    list::show_pairs(
        screen,
        &[
            ("weight", quota.weight.to_string()),
            ("unfinished jobs", quota.max_queued.to_string()),
            ("jobs worked on", quota.max_inflight.to_string()),
            ("submissions", format!("{}/s", quota.rate_per_second)),
            ("at once", quota.burst.to_string()),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_changes() {
        let before = Quota { weight: 1.0, max_queued: 10, max_inflight: 2, rate_per_second: 5.0, burst: 9 };
        let none = Change { weight: None, max_queued: None, max_inflight: None, rate: None, burst: None };
        assert_eq!(none.apply(before), before);
        let change = Change { max_queued: Some(20), ..none };
        assert_eq!(change.apply(before), Quota { max_queued: 20, ..before });
    }
}
