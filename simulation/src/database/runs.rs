//! Runs of the scheduler: the steps of `store::runs::effects`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{Lane, RunId, RunImageState, RunKind, RunState, SnapshotId};
use store::runs::effects::Situation;
use store::runs::{Counts, Marks, Run, Selector};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Applied, Database};
use crate::keys::{Image, Key, Who};

/// Runs, and up to where each change of the feeds has one.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    pub(crate) all: BTreeMap<RunId, Run>,
    images: BTreeMap<(RunId, Image), RunImage>,
    cursor: i64,
    taken_at: Option<OffsetDateTime>,
}

#[derive(Debug, Clone, Copy)]
struct RunImage {
    state: RunImageState,
    must_reach: Option<i64>,
    verdict_before: u32,
    dispatched_at: Duration,
}

/// What the scheduler does, durably.
#[derive(Debug, Clone)]
pub(crate) enum RunEffect {
    TakeChanges { after: SnapshotId, until: SnapshotId },
    Select(RunId),
    EndPlanning(RunId),
    MoveTo(RunId, RunState),
    Dispatch(RunId, u32),
    Settle(RunId, Duration),
}

impl Runs {
    fn of(&self, run: RunId) -> impl Iterator<Item = (Image, RunImage)> {
        let of_run = self.images.iter().filter(move |((of, _), _)| *of == run);
        of_run.map(|((_, image), row)| (*image, *row))
    }

    pub(crate) fn are_at_rest(&self, latest: i64) -> bool {
        self.cursor == latest && self.all.values().all(|run| run.state.is_final())
    }

    pub(super) fn rows(&self) -> Vec<invariants::RunImage> {
        let row = |((run, image), row): (&(RunId, Image), &RunImage)| invariants::RunImage {
            run: run.as_uuid().as_u128(),
            image: image.row(),
            must_reach: row.must_reach,
        };
        self.images.iter().map(row).collect()
    }
}

fn date(now: Duration) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + now
}

impl Database {
    /// `effects::situation`.
    pub(crate) fn situation(&self, now: Duration) -> Situation {
        Situation {
            now: date(now),
            latest: SnapshotId(self.latest()),
            cursor: SnapshotId(self.runs.cursor),
            taken_at: self.runs.taken_at,
            open: self.runs.all.values().filter(|run| !run.state.is_final()).cloned().collect(),
            due: Vec::new(),
        }
    }

    pub(super) fn run_effect(&mut self, effect: RunEffect, now: Duration) -> Applied {
        match effect {
            RunEffect::TakeChanges { after, until } => self.take_changes(after, until, now),
            RunEffect::Select(run) => self.select(run),
            RunEffect::EndPlanning(run) => self.end_planning(run, now),
            RunEffect::MoveTo(run, state) => self.move_to(run, state, now),
            RunEffect::Dispatch(run, limit) => self.dispatch_run(run, limit as usize, now),
            RunEffect::Settle(run, patience) => self.settle(run, patience, now),
        }
    }

    fn take_changes(&mut self, after: SnapshotId, until: SnapshotId, now: Duration) -> Applied {
        if self.runs.cursor != after.0 {
            return Applied::Stale;
        }
        self.runs.cursor = until.0;
        self.runs.taken_at = Some(date(now));
        let id = RunId::from_uuid(Uuid::from_u128(u128::from(self.number())));
        let marks = Marks {
            published: None,
            observed: None,
            created: date(now),
            planned: None,
            dispatched: None,
            ended: None,
        };
        let run = Run {
            id,
            kind: RunKind::Delta,
            cause: String::new(),
            state: RunState::Planned,
            snapshots: Some((after, until)),
            selector: Selector::default(),
            schedule: None,
            rate_per_s: None,
            cancel_asked: false,
            released: None,
            reason: None,
            counts: Counts::default(),
            marks,
        };
        self.runs.all.insert(id, run);
        Applied::Moved(1)
    }

    /// The run, while its images are being chosen.
    fn planning(&mut self, run: RunId) -> Option<&mut Run> {
        let planning = |run: &&mut Run| run.state == RunState::Planned && run.marks.planned.is_none();
        self.runs.all.get_mut(&run).filter(planning)
    }

    fn select(&mut self, run: RunId) -> Applied {
        let Some((after, until)) = self.planning(run).and_then(|run| run.snapshots) else {
            return Applied::Stale;
        };
        let within = |snapshot: i64| after.0 < snapshot && snapshot <= until.0;
        let changed = self.snapshots.iter().zip(0..).filter(|(_, snapshot)| within(*snapshot));
        let changed: BTreeSet<Image> = changed.flat_map(|(images, _)| images.iter().copied()).collect();
        let mut added = 0;
        for image in changed.into_iter().filter(|image| self.images[image].has_sbom) {
            self.runs.images.entry((run, image)).or_insert_with(|| {
                added += 1;
                let state = RunImageState::Selected;
                RunImage { state, must_reach: None, verdict_before: 0, dispatched_at: Duration::ZERO }
            });
        }
        if let Some(run) = self.planning(run) {
            run.counts.images += added;
        }
        Applied::Moved(usize::try_from(added).unwrap_or(0))
    }

    fn end_planning(&mut self, run: RunId, now: Duration) -> Applied {
        let known = self.images.values().filter(|image| image.has_sbom).count() as u64;
        let Some(run) = self.planning(run) else { return Applied::Stale };
        run.marks.planned = Some(date(now));
        run.counts.images_known = known;
        Applied::Moved(1)
    }

    fn move_to(&mut self, run: RunId, state: RunState, now: Duration) -> Applied {
        let Some(run) = self.runs.all.get_mut(&run).filter(|run| !run.state.is_final()) else {
            return Applied::Stale;
        };
        run.state = state;
        run.marks.ended = state.is_final().then(|| date(now));
        Applied::Moved(1)
    }

    /// A person's word for runs that are held.
    pub(crate) fn release_held(&mut self, now: Duration) {
        for run in self.runs.all.values_mut().filter(|run| run.state == RunState::Held) {
            run.released.get_or_insert(date(now));
        }
    }

    fn dispatch_run(&mut self, run: RunId, limit: usize, now: Duration) -> Applied {
        let running = |run: &&Run| run.state == RunState::Running && !run.cancel_asked;
        let Some(until) = self.runs.all.get(&run).filter(running).and_then(|run| run.snapshots) else {
            return Applied::Moved(0);
        };
        let selected = |(_, row): &(Image, RunImage)| row.state == RunImageState::Selected;
        let page: Vec<_> = self.runs.of(run).filter(selected).take(limit).collect();
        let (mut asked, mut spared) = (0, 0);
        for (image, mut row) in page {
            let of = self.images.get_mut(&image).expect("it is there");
            let is_current = of.evaluated_revision == of.revision
                && of.evaluated_snapshot.is_some_and(|snapshot| snapshot >= until.1.0);
            if is_current {
                spared += 1;
                row.state = RunImageState::Current;
            } else {
                asked += 1;
                of.revision += 1;
                of.changed_at = now;
                row = RunImage {
                    state: RunImageState::Dispatched,
                    must_reach: Some(of.revision),
                    verdict_before: of.last_verdict,
                    dispatched_at: now,
                };
                self.ring(Who::Entity(Key::Image(image)), Lane::Sweep, now, Duration::ZERO);
            }
            self.runs.images.insert((run, image), row);
        }
        if let Some(run) = self.runs.all.get_mut(&run) {
            run.counts.dispatched += asked + spared;
            run.counts.evaluated += spared;
            run.marks.dispatched.get_or_insert(date(now));
        }
        Applied::Moved(usize::try_from(asked + spared).unwrap_or(0))
    }

    fn settle(&mut self, run: RunId, patience: Duration, now: Duration) -> Applied {
        let rows: Vec<_> =
            self.runs.of(run).filter(|(_, row)| row.state == RunImageState::Dispatched).collect();
        let (mut evaluated, mut changed, mut failed) = (0, 0, 0);
        for (image, mut row) in rows {
            let of = &self.images[&image];
            if row.must_reach.is_some_and(|must| of.evaluated_revision >= must) {
                let is_changed = of.last_verdict > row.verdict_before;
                row.state = if is_changed { RunImageState::Changed } else { RunImageState::Unchanged };
                evaluated += 1;
                changed += u64::from(is_changed);
            } else if row.dispatched_at + patience < now {
                row.state = RunImageState::Failed;
                failed += 1;
            }
            self.runs.images.insert((run, image), row);
        }
        if let Some(run) = self.runs.all.get_mut(&run) {
            run.counts.evaluated += evaluated;
            run.counts.changed += changed;
            run.counts.failed += failed;
        }
        Applied::Moved(usize::try_from(evaluated + failed).unwrap_or(0))
    }
}
