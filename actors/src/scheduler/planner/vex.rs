//! The images that changes of VEX touch: those that may have a finding of which something else is said, or who says it
//! is believed otherwise.
//!
//! A change names vulnerabilities. The newest index knows which package versions these are in, and that is what images
//! are evaluated on. Never every image: only what is named.

use std::collections::{BTreeMap, BTreeSet};

use evaluation::impact::Reach;
use model::{ImageDigest, SnapshotId, TenantId};
use store::impact::{ComponentId, Having};
use store::runs::effects::Planned;
use store::vex::{self, Place, Stretch};

use super::{PAGE, Planner};
use crate::entity::Trouble;
use crate::vex_hearing::is_called;

/// Names read at once.
const NAMES: u32 = 10_000;
/// Names held against the index in one go.
const NAMES_AT_ONCE: usize = 200_000;

/// What is spoken of otherwise.
#[derive(Default)]
pub(super) struct Spoken {
    /// By whose images are meant; none: everybody's.
    touched: BTreeMap<Option<TenantId>, BTreeSet<ComponentId>>,
    images: BTreeSet<(Option<TenantId>, ImageDigest)>,
}

/// Names by whose images are meant.
type Names = BTreeMap<Option<TenantId>, BTreeSet<String>>;

impl Spoken {
    /// The package versions that are touched.
    pub(super) fn entries(&self) -> impl Iterator<Item = &ComponentId> {
        self.touched.values().flatten()
    }
}

impl Planner<'_> {
    /// What is spoken of otherwise between two snapshots.
    pub(super) async fn spoken(
        &self,
        after: SnapshotId,
        until: SnapshotId,
        planned: &mut Planned,
    ) -> Result<Spoken, Trouble> {
        let stretch = Stretch { after, until };
        let mut tx = self.store.fleet().await?;
        let changes = vex::changes(&mut tx, stretch).await?;
        tx.commit().await?;
        planned.delta_records += changes.records;
        planned.published = planned.published.max(changes.stated_at);
        if changes.records == 0 {
            return Ok(Spoken::default());
        }
        let (mut spoken, mut names, mut held) = (Spoken::default(), Names::new(), 0);
        let mut place: Option<Place> = None;
        loop {
            let mut tx = self.store.fleet().await?;
            let page = vex::concerns(&mut tx, stretch, place.as_ref(), NAMES).await?;
            tx.commit().await?;
            let Some((concern, next)) = page else { break };
            place = Some(next);
            if let Some(images) = concern.images {
                spoken.images.extend(images.into_iter().map(|image| (concern.tenant, image)));
                continue;
            }
            held += concern.names.len();
            names.entry(concern.tenant).or_default().extend(concern.names);
            if held >= NAMES_AT_ONCE {
                self.reach(std::mem::take(&mut names), &mut spoken).await?;
                held = 0;
            }
            self.is_wanted().await?;
        }
        self.reach(names, &mut spoken).await?;
        Ok(spoken)
    }

    /// The package versions that these vulnerabilities are in.
    async fn reach(&self, names: Names, spoken: &mut Spoken) -> Result<(), Trouble> {
        for (tenant, names) in names {
            let newest = self.indexes.newest().await?;
            let thinking =
                move || Reach::of_vulnerabilities(newest.known.index(), |name| is_called(name, &names));
            let reach = tokio::task::spawn_blocking(thinking).await;
            let reach = reach.map_err(|panicked| Trouble::Failed(Box::new(panicked)))?;
            self.reached(&reach, spoken.touched.entry(tenant).or_default()).await?;
        }
        Ok(())
    }

    /// Writes down the images that have what is spoken of otherwise, and those that were named.
    pub(super) async fn select_spoken(&self, spoken: &Spoken) -> Result<(), Trouble> {
        for (tenant, entries) in &spoken.touched {
            let ids: Vec<ComponentId> = entries.iter().copied().collect();
            if !ids.is_empty() {
                self.select(Having::AnyOf(&ids), *tenant, false).await?;
            }
        }
        let named: Vec<_> = spoken.images.iter().cloned().collect();
        for page in named.chunks(PAGE as usize) {
            let mut tx = self.store.fleet().await?;
            let found = store::impact::named(&mut tx, page).await?;
            tx.commit().await?;
            let images: Vec<_> =
                found.into_iter().map(|(tenant, image)| (tenant, image.to_string())).collect();
            for page in images.chunks(PAGE as usize) {
                store::runs::effects::select(self.store, self.fence, self.run.id, page, false).await?;
                self.page_is_done().await?;
            }
        }
        Ok(())
    }
}
