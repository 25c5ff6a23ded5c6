//! The advisories as a whole, before a run's changes and after them.

use evaluation::impact::Reach;
use model::SnapshotId;

use super::Planner;
use crate::entity::Trouble;

impl Planner<'_> {
    /// What only the whole shows: other names for vulnerabilities, and ecosystems that come to be covered. Held
    /// against the newest snapshot, which is what images are evaluated on.
    pub(super) async fn whole(&self, after: SnapshotId) -> Result<Reach, Trouble> {
        let (before, now) = (self.indexes.at(after).await?, self.indexes.newest().await?);
        let thinking = move || Reach::default().across(before.known.index(), now.known.index());
        let reach = tokio::task::spawn_blocking(thinking).await;
        reach.map_err(|panicked| Trouble::Failed(Box::new(panicked)))
    }
}
