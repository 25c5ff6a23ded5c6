//! Whose turn it is: which of a tenant's waiting jobs are admitted now.
//!
//! Pure. A tenant holds at most its **allowance** in flight: its quota, or its weighted share of what
//! the cluster's workers can chew, whichever is less. Inside the allowance each lane has a budget of
//! its own, so that a person who waits never stands behind a sweep, and a sweep never stands still:
//!
//! - interactive: the whole allowance;
//! - sweep: a quarter of it while there is bulk work, else what bulk leaves;
//! - bulk: what the sweep's quarter leaves while there are sweeps;
//! - bulk and sweep together never more than three quarters: the rest is kept free for interactive.

use invariants::step::is_within_quota;
use model::{JobId, Lane};

/// One lane of a tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LaneView {
    /// Accepted and not yet admitted, oldest first; a first page of them is enough.
    pub waiting: Vec<JobId>,
    /// Admitted and not yet ended.
    pub inflight: u32,
}

/// What admission looks at.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// By lane, in the lanes' order.
    pub lanes: [LaneView; Lane::ALL.len()],
    /// The tenant's quota: never more than this many in flight.
    pub max_inflight: u32,
    /// The tenant's weight over the weights of all tenants with unfinished jobs, 0 to 1.
    pub share: f64,
    /// How many jobs the cluster takes in at once: worker slots times the jobs kept ready for each.
    pub capacity: u32,
}

/// The jobs to admit now, in the order of their lanes.
pub fn decide(view: &View) -> Vec<JobId> {
    let mut seen = view.clone();
    let mut admitted: Vec<JobId> = Vec::new();
    for lane in Lane::ALL {
        let room = usize::try_from(room(&seen, *lane)).unwrap_or(usize::MAX);
        let lane = &mut seen.lanes[*lane as usize];
        let taken = lane.waiting.len().min(room);
        lane.inflight += u32::try_from(taken).unwrap_or(u32::MAX);
        admitted.extend(lane.waiting.drain(..taken));
    }
    let before: u32 = view.lanes.iter().map(|lane| lane.inflight).sum();
    let let_in = u32::try_from(admitted.len()).unwrap_or(u32::MAX);
    debug_assert!(is_within_quota(before, let_in, view.max_inflight), "{view:?}");
    admitted
}

/// How many more jobs of this lane may be in flight.
fn room(view: &View, lane: Lane) -> u32 {
    let allowance = allowance(view);
    let [interactive, bulk, sweep] = view.lanes.each_ref().map(|lane| lane.inflight);
    let free = allowance.saturating_sub(interactive + bulk + sweep);
    let quarter = (allowance / 4).max(1);
    let background = allowance.saturating_sub(quarter).max(1);
    let (budget, own) = match lane {
        Lane::Interactive => return free,
        Lane::Bulk if busy(view, Lane::Sweep) => (background.saturating_sub(quarter).max(1), bulk),
        Lane::Sweep if busy(view, Lane::Bulk) => (quarter, sweep),
        Lane::Bulk => (background, bulk),
        Lane::Sweep => (background, sweep),
    };
    free.min(budget.saturating_sub(own)).min(background.saturating_sub(bulk + sweep))
}

fn busy(view: &View, lane: Lane) -> bool {
    let lane = &view.lanes[lane as usize];
    lane.inflight > 0 || !lane.waiting.is_empty()
}

/// The most this tenant may have in flight. One job of each lane always fits, if the quota lets it:
/// a small share must not leave a lane standing still.
fn allowance(view: &View) -> u32 {
    let share = (f64::from(view.capacity) * view.share.clamp(0.0, 1.0)).ceil();
    let floor = u32::try_from(Lane::ALL.len()).unwrap_or(u32::MAX);
    #[expect(clippy::cast_possible_truncation, reason = "between 0 and capacity, which is a u32")]
    let share = share as u32;
    share.max(floor).min(view.max_inflight)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    /// `waiting` and `inflight` by lane; job ids count up from 1.
    fn view(waiting: [usize; 3], inflight: [u32; 3], max_inflight: u32, share: f64, capacity: u32) -> View {
        let mut ids = 1_u128..;
        let lanes = [0, 1, 2].map(|lane| LaneView {
            waiting: ids.by_ref().take(waiting[lane]).map(|n| JobId::from_uuid(Uuid::from_u128(n))).collect(),
            inflight: inflight[lane],
        });
        View { lanes, max_inflight, share, capacity }
    }

    /// How many of each lane are admitted.
    #[track_caller]
    fn check(view: &View, expected: [usize; 3]) {
        let admitted = decide(view);
        let counts = view.lanes.each_ref().map(|l| l.waiting.iter().filter(|j| admitted.contains(j)).count());
        assert_eq!(counts, expected, "{view:?}");
    }

    #[test]
    fn a_lone_tenant_is_held_by_its_quota_only() {
        check(&view([20, 0, 0], [0, 0, 0], 16, 1.0, 100), [16, 0, 0]);
        check(&view([20, 0, 0], [10, 0, 0], 16, 1.0, 100), [6, 0, 0]);
    }

    #[test]
    fn two_equal_tenants_get_half_of_the_workers_each() {
        check(&view([20, 0, 0], [0, 0, 0], 100, 0.5, 16), [8, 0, 0]);
    }

    #[test]
    fn a_quarter_is_kept_free_for_the_interactive_lane() {
        check(&view([0, 100, 0], [0, 0, 0], 16, 1.0, 100), [0, 12, 0]);
        check(&view([0, 0, 100], [0, 0, 0], 16, 1.0, 100), [0, 0, 12]);
        check(&view([9, 0, 100], [0, 0, 12], 16, 1.0, 100), [4, 0, 0]);
    }

    #[test]
    fn bulk_and_sweep_each_keep_their_budget() {
        check(&view([0, 100, 100], [0, 0, 0], 16, 1.0, 100), [0, 8, 4]);
        check(&view([0, 100, 100], [0, 12, 0], 16, 1.0, 100), [0, 0, 0]);
        check(&view([0, 100, 100], [0, 8, 0], 16, 1.0, 100), [0, 0, 4]);
    }

    #[test]
    fn the_smallest_share_still_moves_one_job_of_each_lane() {
        check(&view([5, 5, 5], [0, 0, 0], 100, 0.001, 1), [3, 0, 0]);
        check(&view([1, 5, 5], [0, 0, 0], 100, 0.001, 1), [1, 1, 1]);
    }

    #[test]
    fn a_quota_of_one_serves_the_lanes_in_order() {
        check(&view([1, 1, 1], [0, 0, 0], 1, 1.0, 100), [1, 0, 0]);
        check(&view([0, 1, 1], [0, 0, 0], 1, 1.0, 100), [0, 1, 0]);
        check(&view([0, 0, 1], [0, 0, 0], 1, 1.0, 100), [0, 0, 1]);
    }

    #[test]
    fn no_quota_admits_nothing() {
        check(&view([5, 5, 5], [0, 0, 0], 0, 1.0, 100), [0, 0, 0]);
    }

    fn any_view() -> impl Strategy<Value = View> {
        (
            prop::array::uniform3(0_usize..40),
            prop::array::uniform3(0_u32..40),
            0_u32..60,
            0.0..=1.0,
            0_u32..100,
        )
            .prop_map(|(waiting, inflight, quota, share, capacity)| {
                view(waiting, inflight, quota, share, capacity)
            })
    }

    /// The same view once these were admitted.
    fn after(view: &View, admitted: &[JobId]) -> View {
        let mut next = view.clone();
        for lane in &mut next.lanes {
            let before = lane.waiting.len();
            lane.waiting.retain(|job| !admitted.contains(job));
            lane.inflight += u32::try_from(before - lane.waiting.len()).expect("few");
        }
        next
    }

    fn total(view: &View) -> u32 {
        view.lanes.iter().map(|lane| lane.inflight).sum()
    }

    proptest! {
        #[test]
        fn the_quota_is_never_passed(view in any_view()) {
            let next = after(&view, &decide(&view));
            prop_assert!(total(&next) <= view.max_inflight.max(total(&view)));
        }

        #[test]
        fn one_decision_is_enough(view in any_view()) {
            let next = after(&view, &decide(&view));
            prop_assert_eq!(decide(&next), vec![]);
        }

        #[test]
        fn each_lane_is_served_in_order_of_age(view in any_view()) {
            let admitted = decide(&view);
            for lane in &view.lanes {
                let of_lane: Vec<_> = admitted.iter().filter(|job| lane.waiting.contains(job)).copied().collect();
                prop_assert_eq!(&of_lane[..], &lane.waiting[..of_lane.len()]);
            }
        }

        #[test]
        fn who_has_nothing_in_flight_and_waits_gets_something(
            waiting in prop::array::uniform3(0_usize..40), quota in 1_u32..60, share in 0.0..=1.0, capacity in 0_u32..100,
        ) {
            let view = view(waiting, [0; 3], quota, share, capacity);
            prop_assert_eq!(decide(&view).is_empty(), waiting == [0; 3]);
        }

        #[test]
        fn an_interactive_job_finds_room_whatever_the_background_does(
            bulk in 0_usize..200, sweep in 0_usize..200, quota in 2_u32..60, share in 0.0..=1.0, capacity in 0_u32..100,
        ) {
            let full = view([0, bulk, sweep], [0; 3], quota, share, capacity);
            let mut full = after(&full, &decide(&full));
            let person = JobId::from_uuid(Uuid::from_u128(1 << 100));
            full.lanes[Lane::Interactive as usize].waiting.push(person);
            prop_assert!(decide(&full).contains(&person));
        }
    }
}
