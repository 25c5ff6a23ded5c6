use store::runs::{Counts, Marks, Selector};
use uuid::Uuid;

use super::*;

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

fn id(n: u128) -> RunId {
    RunId::from_uuid(Uuid::from_u128(n))
}

fn ago(ms: i64) -> OffsetDateTime {
    NOW - time::Duration::milliseconds(ms)
}

fn run(n: u128, kind: RunKind, state: RunState) -> Run {
    let marks = Marks {
        published: None,
        observed: None,
        created: ago(10_000),
        planned: (state != RunState::Planned).then_some(ago(9_000)),
        dispatched: None,
        ended: None,
    };
    Run {
        id: id(n),
        kind,
        cause: String::new(),
        state,
        snapshots: (kind == RunKind::Delta).then_some((SnapshotId(1), SnapshotId(2))),
        selector: Selector::default(),
        schedule: None,
        rate_per_s: None,
        cancel_asked: false,
        released: None,
        reason: None,
        counts: Counts::default(),
        marks,
    }
}

/// A run of which so many images wait and so many are on their way.
fn running(n: u128, kind: RunKind, waiting: u64, outstanding: u64) -> Run {
    let counts = Counts { images: waiting + outstanding, dispatched: outstanding, ..Counts::default() };
    Run { counts, ..run(n, kind, RunState::Running) }
}

/// A run whose images are chosen.
fn planned(n: u128, counts: Counts) -> Run {
    let mut run = run(n, RunKind::Delta, RunState::Planned);
    run.marks.planned = Some(ago(1));
    Run { counts, ..run }
}

fn quiet() -> Situation {
    Situation {
        now: NOW,
        latest: SnapshotId(7),
        cursor: SnapshotId(7),
        taken_at: Some(ago(1)),
        open: vec![],
        due: vec![],
    }
}

fn with(open: impl IntoIterator<Item = Run>) -> Situation {
    Situation { open: open.into_iter().collect(), ..quiet() }
}

fn full() -> Budget {
    Budget::new(Policy::default().rate_per_s, ago(60_000))
}

#[track_caller]
fn check(at: &Situation, expected: &Step) {
    assert_eq!(&decide(at, &Policy::default(), &HashSet::new(), &full()), expected, "{at:?}");
}

#[test]
fn nothing_to_do_is_rest() {
    check(&quiet(), &Step::Rest);
    check(&with([run(1, RunKind::Delta, RunState::Held)]), &Step::Rest);
}

#[test]
fn the_first_change_makes_a_run_at_once_and_further_ones_wait_for_the_window() {
    let changed = |taken_at| Situation { cursor: SnapshotId(4), taken_at, ..quiet() };
    let take = Step::TakeChanges { after: SnapshotId(4), until: SnapshotId(7) };
    check(&changed(None), &take);
    check(&changed(Some(ago(60_000))), &take);
    check(&changed(Some(ago(29_999))), &Step::Rest);
    check(&changed(Some(ago(30_000))), &take);
}

#[test]
fn a_schedule_comes_when_it_is_due() {
    check(&Situation { due: vec!["nightly".to_owned()], ..quiet() }, &Step::Come("nightly".to_owned()));
}

#[test]
fn a_run_without_images_is_finished_and_others_begin() {
    check(&with([run(1, RunKind::Delta, RunState::Planned)]), &Step::Plan(id(1)));
    check(&with([planned(1, Counts { images_known: 9, ..Counts::default() })]), &Step::Finish(id(1)));
    let some = Counts { images_known: 9, images: 9, ..Counts::default() };
    check(&with([planned(1, some)]), &Step::Begin(id(1)));
}

#[test]
fn mass_withdrawals_wait_for_a_persons_word() {
    let mass = Counts { withdrawn: 20, images_known: 100, images: 40, losing: 21, ..Counts::default() };
    let held = "20 advisories were taken back, which touches 21 of 100 images".to_owned();
    check(&with([planned(1, mass)]), &Step::Hold(id(1), held));
    check(&with([planned(1, Counts { losing: 20, ..mass })]), &Step::Begin(id(1)));
    check(&with([planned(1, Counts { withdrawn: 19, ..mass })]), &Step::Begin(id(1)));
    let released = Run { released: Some(ago(1)), ..planned(1, mass) };
    check(&with([released]), &Step::Begin(id(1)));
    let sweep = Run { kind: RunKind::Sweep, ..planned(1, mass) };
    check(&with([sweep]), &Step::Begin(id(1)));
}

#[test]
fn a_set_share_of_any_change_waits_too() {
    let mut policy = Policy::default();
    policy.hold.share = 0.5;
    let step = |images| {
        let counts = Counts { images_known: 100, images, ..Counts::default() };
        decide(&with([planned(1, counts)]), &policy, &HashSet::new(), &full())
    };
    assert_eq!(step(50), Step::Begin(id(1)));
    assert_eq!(step(51), Step::Hold(id(1), "the changes touch 51 of 100 images".to_owned()));
}

#[test]
fn a_held_run_goes_on_when_it_is_released() {
    let released = Run { released: Some(ago(1)), ..run(1, RunKind::Delta, RunState::Held) };
    check(&with([released]), &Step::Begin(id(1)));
}

#[test]
fn changes_of_feeds_go_before_requests_and_these_before_rounds() {
    let open = [
        running(1, RunKind::Sweep, 10, 0),
        running(2, RunKind::Packages, 10, 0),
        running(4, RunKind::Delta, 10, 0),
        running(3, RunKind::Delta, 10, 0),
    ];
    check(&with(open.clone()), &Step::Dispatch(id(3), 10));
    check(&with(open[..2].to_vec()), &Step::Dispatch(id(2), 10));
}

#[test]
fn no_more_is_on_its_way_than_is_set() {
    let policy = Policy::default();
    let step = |on_the_way: u64| {
        let open = [running(1, RunKind::Sweep, 0, on_the_way), running(2, RunKind::Delta, 5_000, 0)];
        decide(&with(open), &policy, &HashSet::from([id(1), id(2)]), &full())
    };
    assert_eq!(step(0), Step::Finish(id(1)));
    assert_eq!(step(1), Step::Dispatch(id(2), 500));
    assert_eq!(step(800), Step::Dispatch(id(2), 200));
    assert_eq!(step(900), Step::Rest, "it waits until a page is worth it");
    assert_eq!(step(1_000), Step::Rest);
}

#[test]
fn the_rate_binds_and_a_slow_run_does_not_hold_up_others() {
    let slow = Run { rate_per_s: Some(3.0), ..running(1, RunKind::Delta, 100, 0) };
    let open = with([slow, running(2, RunKind::Sweep, 100, 0)]);
    let mut budget = full();
    let step = |budget: &Budget| decide(&open, &Policy::default(), &HashSet::new(), budget);
    assert_eq!(step(&budget), Step::Dispatch(id(1), 3));
    budget.spend(id(1), Some(3.0), 3, NOW);
    assert_eq!(step(&budget), Step::Dispatch(id(2), 100));
    budget.spend(id(2), None, 1_997, NOW);
    assert_eq!(step(&budget), Step::Rest);
}

#[test]
fn what_is_on_its_way_is_looked_at_once_a_wake() {
    let open = with([running(1, RunKind::Delta, 0, 5)]);
    check(&open, &Step::Settle(id(1)));
    assert_eq!(decide(&open, &Policy::default(), &HashSet::from([id(1)]), &full()), Step::Rest);
    check(&with([running(1, RunKind::Delta, 0, 0)]), &Step::Finish(id(1)));
}

#[test]
fn who_asked_for_the_end_comes_first() {
    let unwanted = Run { cancel_asked: true, ..run(2, RunKind::Delta, RunState::Planned) };
    check(&with([running(1, RunKind::Delta, 5, 5), unwanted]), &Step::Cancel(id(2)));
}
