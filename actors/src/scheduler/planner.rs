//! Chooses the images of a run, and writes them down page by page.
//!
//! What a killed planner has chosen stays chosen; the next one goes through all of it again, and adds what is missing.

mod delta;
mod packages;
mod vex;
mod whole;

use std::collections::BTreeSet;

use advisory::Limits;
use evaluation::impact::{Indexed, Key, Reach};
use model::{RunKind, TenantId};
use store::impact::{ComponentId, Having};
use store::runs::Run;
use store::runs::effects::{self, Planned};
use store::{Fence, Store};

use crate::entity::Trouble;
use crate::failpoint::{self, Point};
use crate::index_cache::IndexCache;

/// Images written down in one transaction.
const PAGE: u32 = 1_000;
/// Entries of the dictionary looked at in one go.
const ENTRIES: u32 = 5_000;
/// Images that the BOM-index does not know yet, at most so many: the sweeper brings them in.
const UNINDEXED_MAX: u32 = 100_000;

/// Plans one run.
pub(super) struct Planner<'a> {
    pub(super) store: &'a Store,
    pub(super) fence: Fence,
    pub(super) limits: &'a Limits,
    pub(super) indexes: &'a IndexCache,
    pub(super) run: &'a Run,
}

/// What a planned run is about.
pub(super) struct Found {
    pub(super) planned: Planned,
    pub(super) images: u64,
}

impl Planner<'_> {
    /// Chooses all images of the run. `LookAgain` when somebody has ended it meanwhile.
    pub(super) async fn plan(&self) -> Result<Found, Trouble> {
        let planned = match self.run.kind {
            RunKind::Delta => self.touched().await?,
            RunKind::Packages => self.holding().await?,
            RunKind::Sweep => self.named().await?,
        };
        effects::end_planning(self.store, self.fence, self.run.id, &planned).await?;
        let mut tx = self.store.fleet().await?;
        let images = store::runs::get(&mut tx, self.run.id).await?.counts.images;
        Ok(Found { planned, images })
    }

    /// The images that the run's selector names.
    async fn named(&self) -> Result<Planned, Trouble> {
        let selector = &self.run.selector;
        let mut after: Option<(TenantId, String)> = None;
        loop {
            after = effects::select_by(self.store, self.fence, self.run.id, selector, after, PAGE).await?;
            self.page_is_done().await?;
            if after.is_none() {
                return Ok(Planned::default());
            }
        }
    }

    /// Entries of the dictionary that a change reaches are added to these.
    async fn reached(&self, reach: &Reach, entries: &mut BTreeSet<ComponentId>) -> Result<(), Trouble> {
        if reach.is_nothing() || reach.is_everything() {
            return Ok(());
        }
        self.entries(&reach.keys(), |entry| reach.touches(entry), entries).await
    }

    /// The dictionary's entries under these keys that are meant are added to these.
    async fn entries(
        &self,
        keys: &[Key],
        is_meant: impl Fn(&Indexed) -> bool,
        entries: &mut BTreeSet<ComponentId>,
    ) -> Result<(), Trouble> {
        let mut after = ComponentId::MIN;
        loop {
            let mut tx = self.store.fleet().await?;
            let page = store::impact::components(&mut tx, keys, after, ENTRIES).await?;
            tx.commit().await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = *last;
            let meant = page.iter().filter(|(_, entry)| is_meant(entry));
            entries.extend(meant.map(|(id, _)| *id));
        }
    }

    /// Writes down the images that have one of these entries, or all that the index knows: of one tenant, or of all.
    async fn select(
        &self,
        having: Having<'_>,
        tenant: Option<TenantId>,
        losing: bool,
    ) -> Result<(), Trouble> {
        let mut after = i32::MIN;
        loop {
            let mut tx = self.store.fleet().await?;
            let page = store::impact::images(&mut tx, having, tenant, after, PAGE).await?;
            tx.commit().await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.number;
            let images: Vec<_> =
                page.into_iter().map(|found| (found.tenant, found.image.to_string())).collect();
            effects::select(self.store, self.fence, self.run.id, &images, losing).await?;
            self.page_is_done().await?;
        }
    }

    /// Writes down the images of which the index knows nothing yet: nobody can say that they are not touched.
    async fn select_unindexed(&self) -> Result<(), Trouble> {
        let mut tx = self.store.fleet().await?;
        let unindexed = store::impact::unindexed(&mut tx, UNINDEXED_MAX).await?;
        tx.commit().await?;
        for page in unindexed.chunks(PAGE as usize) {
            let images: Vec<_> = page.iter().map(|(tenant, image)| (*tenant, image.to_string())).collect();
            effects::select(self.store, self.fence, self.run.id, &images, false).await?;
            self.page_is_done().await?;
        }
        Ok(())
    }

    /// Between two pages of images.
    async fn page_is_done(&self) -> Result<(), Trouble> {
        failpoint::hit(Point::SchedulerMidPlan).await;
        self.is_wanted().await
    }

    /// `LookAgain` when nobody wants the run any more.
    async fn is_wanted(&self) -> Result<(), Trouble> {
        let mut tx = self.store.fleet().await?;
        let unwanted = effects::is_unwanted(&mut tx, self.run.id).await?;
        if unwanted { Err(Trouble::LookAgain) } else { Ok(()) }
    }
}
