//! The images that changes of the feeds touch.
//!
//! Each advisory that changed is read as it was and as it is; what its two sides say differently is held against each
//! distinct package version that anything has, once, and never against images.

use std::collections::{BTreeSet, HashMap};

use advisory::Advisory;
use advisory::delta::Kind;
use advisory::formats;
use evaluation::impact::{Change, Reach};
use model::{FeedId, SnapshotId};
use store::deltas::{FoldedDelta, Stretch};
use store::impact::{ComponentId, Having};
use store::observations::{self, Asked, Revision};
use store::runs::effects::Planned;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Planner;
use crate::entity::Trouble;

/// Changed advisories read at once.
const RECORDS: u32 = 500;

/// What is touched, in the dictionary's numbers.
#[derive(Default)]
struct Touched {
    planned: Planned,
    /// By advisories that were taken back or are no longer listed.
    losing: BTreeSet<ComponentId>,
    others: BTreeSet<ComponentId>,
}

/// Advisories by feed, id and revision.
type Read = HashMap<(FeedId, String, u32), Revision>;

impl Planner<'_> {
    /// Writes down the images that the changes between the run's snapshots touch.
    pub(super) async fn touched(&self) -> Result<Planned, Trouble> {
        let Some((after, until)) = self.run.snapshots else { return Ok(Planned::default()) };
        let mut touched = self.by_record(after, until).await?;
        let whole = self.whole(after).await?;
        self.reached(&whole, &mut touched.others).await?;
        let spoken = self.spoken(after, until, &mut touched.planned).await?;
        let entries = touched.losing.union(&touched.others).chain(spoken.entries());
        touched.planned.package_versions = entries.collect::<BTreeSet<_>>().len() as u64;
        if touched.planned.delta_records > 0 || !whole.is_nothing() {
            self.select_touched(&touched, whole.is_everything()).await?;
            self.select_spoken(&spoken).await?;
        }
        Ok(touched.planned)
    }

    async fn select_touched(&self, touched: &Touched, everything: bool) -> Result<(), Trouble> {
        for (entries, losing) in [(&touched.losing, true), (&touched.others, false)] {
            let ids: Vec<ComponentId> = entries.iter().copied().collect();
            if !ids.is_empty() {
                self.select(Having::AnyOf(&ids), None, losing).await?;
            }
        }
        if everything {
            self.select(Having::Anything, None, false).await?;
        }
        self.select_unindexed().await
    }

    async fn by_record(&self, after: SnapshotId, until: SnapshotId) -> Result<Touched, Trouble> {
        let stretch = Stretch { after, until, feed: None };
        let mut touched = Touched::default();
        let mut place: Option<(FeedId, String)> = None;
        loop {
            let mut tx = self.store.fleet().await?;
            let from = place.as_ref().map(|(feed, id)| (feed, id.as_str()));
            let page = store::deltas::between(&mut tx, stretch, from, RECORDS).await?;
            let Some(last) = page.last() else { return Ok(touched) };
            place = Some((last.feed.clone(), last.advisory_id.clone()));
            let revisions = observations::revisions(&mut tx, &asked(&page)).await?;
            tx.commit().await?;
            self.page_of_records(&page, revisions, &mut touched).await?;
            self.is_wanted().await?;
        }
    }

    async fn page_of_records(
        &self,
        page: &[FoldedDelta],
        revisions: Vec<Revision>,
        touched: &mut Touched,
    ) -> Result<(), Trouble> {
        let read: Read =
            revisions.into_iter().map(|r| ((r.feed.clone(), r.advisory_id.clone(), r.revision), r)).collect();
        let (mut losing, mut others) = (Vec::new(), Vec::new());
        for delta in page {
            let change = self.change(delta, &read);
            let published = change.after.as_ref().and_then(published);
            touched.planned.published = touched.planned.published.max(published);
            touched.planned.delta_records += 1;
            if matches!(delta.kind, Kind::Withdrawn | Kind::Removed) {
                touched.planned.withdrawn += 1;
                losing.push(change);
            } else {
                others.push(change);
            }
        }
        self.reached(&Reach::of(&losing), &mut touched.losing).await?;
        self.reached(&Reach::of(&others), &mut touched.others).await
    }

    fn change(&self, delta: &FoldedDelta, read: &Read) -> Change {
        let side = |revision: Option<u32>| {
            let key = (delta.feed.clone(), delta.advisory_id.clone(), revision?);
            self.advisory(read.get(&key)?)
        };
        Change { feed: delta.feed.clone(), before: side(delta.before), after: side(delta.after) }
    }

    /// What a revision says. What cannot be read is in no index either, so it says nothing there.
    fn advisory(&self, revision: &Revision) -> Option<Advisory> {
        let format = formats::by_word(&revision.format)?;
        match (format.parse)(revision.document.as_deref()?, self.limits) {
            Ok((advisory, _)) => Some(advisory),
            Err(error) => {
                let (feed, id) = (&revision.feed, &revision.advisory_id);
                tracing::warn!(feed.id = %feed, advisory_id = id, error = %error, "an observation cannot be read");
                None
            }
        }
    }
}

/// The revisions on both sides of these changes.
fn asked(page: &[FoldedDelta]) -> Vec<Asked> {
    let of = |delta: &FoldedDelta, revision: Option<u32>| {
        revision.map(|revision| Asked {
            feed: delta.feed.clone(),
            advisory_id: delta.advisory_id.clone(),
            revision,
        })
    };
    page.iter().flat_map(|delta| [of(delta, delta.before), of(delta, delta.after)]).flatten().collect()
}

/// When an advisory was last changed, as its source says. Some sources say nonsense: it is shown, and decides nothing.
fn published(advisory: &Advisory) -> Option<OffsetDateTime> {
    let text = advisory.modified.as_ref().or(advisory.published.as_ref())?;
    OffsetDateTime::parse(text, &Rfc3339).ok().filter(|at| at.year() > 1970 && at.year() < 3000)
}
