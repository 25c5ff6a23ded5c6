//! The images that changes of the feeds touch.
//!
//! Nobody has said yet what changed in meaning, so it may be every image that the BOM-index knows.

use store::impact::Having;
use store::runs::effects::Planned;

use super::Planner;
use crate::entity::Trouble;

impl Planner<'_> {
    /// Writes down the images that the changes between the run's snapshots may touch.
    pub(super) async fn touched(&self) -> Result<Planned, Trouble> {
        self.select(Having::Anything, false).await?;
        self.select_unindexed().await?;
        Ok(Planned::default())
    }
}
