//! Lets a tenant's jobs in, as many as its turn allows.
//!
//! The cluster holds at most one of a tenant, so that two never let in twice what one may. Woken by each
//! submission and by each job that ends.

pub mod admission;

use std::sync::Arc;

use cluster::{EntityContext, EntityFactory};
use model::{JobId, Lane, TenantId};
use store::admission::{AdmissionView, LaneView};
use store::effects::Effect;
use store::{Fence, Store};

use crate::effects::Committer;
use crate::entity::{Entity, Factory, Trouble};
use crate::failpoint::{self, Point};
use crate::metrics::JOBS_ADMITTED;
use crate::{Deps, fence_of};

/// How many waiting jobs of each lane are looked at at once.
const PAGE: u32 = 256;

struct Tenant {
    tenant: TenantId,
    fence: Fence,
    store: Store,
    committer: Committer,
    jobs_per_slot: u32,
}

pub(crate) fn factory(deps: &Deps) -> Arc<dyn EntityFactory> {
    let deps = deps.clone();
    Factory::new(move |context: EntityContext| {
        Some(Tenant {
            tenant: TenantId::from_uuid(context.key.tenant),
            fence: fence_of(context.lease),
            store: deps.store.clone(),
            committer: deps.committer.clone(),
            jobs_per_slot: deps.config.jobs_per_slot,
        })
    })
    .shared()
}

impl Entity for Tenant {
    const KIND: &'static str = "tenant";
    type State = ();

    async fn catch_up(&self, (): &mut ()) -> Result<(), Trouble> {
        loop {
            let view = store::admission::view(&self.store, self.tenant, PAGE).await?;
            let jobs = admission::decide(&seen(&view, self.jobs_per_slot));
            if jobs.is_empty() {
                return Ok(());
            }
            failpoint::hit(Point::TenantBeforeAdmit).await;
            let counted = by_lane(&view, &jobs);
            let (tenant, fence) = (self.tenant, self.fence);
            self.committer.commit(Effect::Admit { tenant, fence, jobs }).await?;
            count(&counted);
            // One decision admits all that may be; more can only wait behind a full page.
            if !view.lanes.iter().any(|lane| lane.waiting.len() >= PAGE as usize) {
                return Ok(());
            }
        }
    }
}

/// What admission looks at, from what the store knows.
fn seen(view: &AdmissionView, jobs_per_slot: u32) -> admission::View {
    let of = |lane: &Lane| {
        let found = view.lanes.iter().find(|seen| seen.lane == *lane);
        found.map_or_else(admission::LaneView::default, |lane| admission::LaneView {
            waiting: lane.waiting.iter().map(|waiting| waiting.job).collect(),
            inflight: lane.inflight,
        })
    };
    admission::View {
        lanes: [Lane::Interactive, Lane::Bulk, Lane::Sweep].each_ref().map(of),
        max_inflight: view.quota.max_inflight,
        share: view.share,
        capacity: view.capacity.saturating_mul(jobs_per_slot),
    }
}

fn by_lane(view: &AdmissionView, admitted: &[JobId]) -> Vec<(Lane, usize)> {
    let of = |lane: &LaneView| lane.waiting.iter().filter(|w| admitted.contains(&w.job)).count();
    view.lanes.iter().map(|lane| (lane.lane, of(lane))).collect()
}

fn count(admitted: &[(Lane, usize)]) {
    for (lane, jobs) in admitted {
        metrics::counter!(JOBS_ADMITTED, "lane" => lane.as_str()).increment(*jobs as u64);
    }
}
