//! What holds at every moment, also in the middle of a fault.

use std::collections::{BTreeMap, BTreeSet};

use crate::Invariant;
use crate::history::{reads_back, strangers};
use crate::rows::{Change, Event, Id, ImageId, Rows, Verdict};

/// All of them.
pub const ALWAYS: [Invariant; 18] = [
    Invariant {
        name: "a job that ended has exactly one end, and nothing is said of it afterwards",
        violations: ends,
    },
    Invariant {
        name: "the events of a job are numbered without a gap, and each begins where the one before ended",
        violations: gaps,
    },
    Invariant { name: "an attempt that was taken over says nothing more", violations: late_words },
    Invariant { name: "a job leaves an extraction for its evaluation once", violations: left_twice },
    Invariant {
        name: "an image's revision is raised once for each extraction that was completed, and for each run that dispatched it",
        violations: raised_for_nothing,
    },
    Invariant {
        name: "verdicts are numbered without a gap, and each differs from the one before",
        violations: verdict_numbers,
    },
    Invariant { name: "no verdict goes back to an older snapshot or revision", violations: verdicts_back },
    Invariant { name: "the last verdict of an image is its newest one", violations: last_verdicts },
    Invariant { name: "a job that is done has a verdict", violations: done_without },
    Invariant { name: "the counters of a tenant agree with its jobs", violations: counters },
    Invariant { name: "a partition's epochs rise one by one, and never go back in time", violations: epochs },
    Invariant { name: "no partition has two owners at once", violations: two_owners },
    Invariant { name: "an effect with an old epoch is never accepted", violations: old_epochs },
    Invariant { name: "an effect is done by the partition's owner, within its time", violations: strangers },
    Invariant {
        name: "what clients read of a job is one story that never goes back",
        violations: reads_back,
    },
    Invariant { name: "a job that a client was told of is there", violations: lost_jobs },
    Invariant { name: "a request makes exactly one job", violations: doubled_jobs },
    Invariant { name: "a run chooses an image once", violations: chosen_twice },
];

fn is_end(state: &str) -> bool {
    matches!(state, "done" | "failed" | "cancelled")
}

/// The events of each job, in their order.
fn lives(rows: &Rows) -> BTreeMap<(Id, Id), Vec<&Event>> {
    let mut lives: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for event in &rows.events {
        lives.entry((event.tenant, event.job)).or_default().push(event);
    }
    lives.values_mut().for_each(|life| life.sort_by_key(|event| event.seq));
    lives
}

fn ends(rows: &Rows) -> Vec<String> {
    let lives = lives(rows);
    let mut wrong = Vec::new();
    for job in &rows.jobs {
        let life = lives.get(&(job.tenant, job.id)).map_or(&[][..], Vec::as_slice);
        let ends: Vec<_> = life.iter().filter(|event| is_end(&event.state)).collect();
        let holds = match (job.has_ended, &ends[..]) {
            (false, []) => true,
            (true, [end]) => end.seq == job.events && end.state == job.state,
            _ => false,
        };
        if !holds {
            let at: Vec<_> = ends.iter().map(|end| (end.seq, &end.state)).collect();
            wrong.push(format!("{:x} {} of {} events, ends: {at:?}", job.id, job.state, job.events));
        }
    }
    wrong
}

fn gaps(rows: &Rows) -> Vec<String> {
    let mut wrong = Vec::new();
    for ((_, job), life) in lives(rows) {
        let mut before: Option<&Event> = None;
        for (event, number) in life.into_iter().zip(1..) {
            let follows = before.is_none_or(|before| before.ended == event.started);
            if event.seq != number || !follows || event.ended < event.started {
                wrong.push(format!("{job:x} {} {}", event.seq, event.stage));
            }
            before = Some(event);
        }
    }
    wrong
}

fn late_words(rows: &Rows) -> Vec<String> {
    let mut wrong = Vec::new();
    for ((_, job), life) in lives(rows) {
        let attempts: Vec<_> =
            life.iter().filter(|event| event.stage == "extracting").map(|event| event.attempt).collect();
        let late = attempts.windows(2).filter(|pair| pair[1] <= pair[0]);
        wrong.extend(late.map(|pair| format!("{job:x} attempt {} after {}", pair[1], pair[0])));
    }
    wrong
}

fn left_twice(rows: &Rows) -> Vec<String> {
    let left = |event: &&&Event| event.stage == "extracting" && event.state == "evaluating";
    let times = lives(rows).into_iter().map(|((_, job), life)| (job, life.iter().filter(left).count()));
    times.filter(|(_, times)| *times > 1).map(|(job, times)| format!("{job:x} {times} times")).collect()
}

fn raised_for_nothing(rows: &Rows) -> Vec<String> {
    let of_job: BTreeMap<_, _> = rows.jobs.iter().map(|job| ((job.tenant, job.id), &job.image)).collect();
    let mut reasons: BTreeMap<ImageId, BTreeSet<(i64, Id)>> = BTreeMap::new();
    for event in &rows.events {
        let completed = matches!(&*event.stage, "extracting" | "dispatched")
            && event.state == "evaluating"
            && event.attempt > 0;
        if completed && let Some(image) = of_job.get(&(event.tenant, event.job)) {
            // One moment is one extraction, for however many jobs.
            reasons.entry((event.tenant, (*image).clone())).or_default().insert((event.ended, 0));
        }
    }
    for chosen in rows.run_images.iter().filter(|image| image.must_reach.is_some()) {
        reasons.entry(chosen.image.clone()).or_default().insert((i64::MIN, chosen.run));
    }
    let known = |image: &ImageId| reasons.get(image).map_or(0, BTreeSet::len);
    let over = |revision: i64, known: usize| usize::try_from(revision).is_ok_and(|revision| revision > known);
    let wrong = rows.images.iter().filter(|image| over(image.revision, known(&image.id)));
    wrong
        .map(|image| format!("{:?} revision {}, {} reasons", image.id, image.revision, known(&image.id)))
        .collect()
}

/// The verdicts of each image, in their order.
fn successions(rows: &Rows) -> BTreeMap<&ImageId, Vec<&Verdict>> {
    let mut successions: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for verdict in &rows.verdicts {
        successions.entry(&verdict.image).or_default().push(verdict);
    }
    successions.values_mut().for_each(|verdicts| verdicts.sort_by_key(|verdict| verdict.version));
    successions
}

fn verdict_numbers(rows: &Rows) -> Vec<String> {
    let mut wrong = Vec::new();
    for (image, verdicts) in successions(rows) {
        let numbered = verdicts.iter().zip(1..).filter(|(verdict, number)| verdict.version != *number);
        wrong.extend(
            numbered.map(|(verdict, number)| format!("{image:?} {} is number {number}", verdict.version)),
        );
        let same = verdicts.windows(2).filter(|pair| pair[0].says == pair[1].says);
        wrong.extend(same.map(|pair| format!("{image:?} {} says what was said before", pair[1].version)));
    }
    wrong
}

fn verdicts_back(rows: &Rows) -> Vec<String> {
    let mut wrong = Vec::new();
    for (image, verdicts) in successions(rows) {
        let back =
            |pair: &&[&Verdict]| pair[1].snapshot < pair[0].snapshot || pair[1].revision < pair[0].revision;
        let back = verdicts.windows(2).filter(back);
        wrong.extend(back.map(|pair| format!("{image:?} {} after {:?}", pair[1].version, pair[0])));
    }
    wrong
}

fn last_verdicts(rows: &Rows) -> Vec<String> {
    let successions = successions(rows);
    let newest = |image| successions.get(image).and_then(|all| all.last()).map_or(0, |last| last.version);
    let wrong = rows.images.iter().filter(|image| image.last_verdict != newest(&image.id));
    wrong
        .map(|image| format!("{:?} last {}, newest {}", image.id, image.last_verdict, newest(&image.id)))
        .collect()
}

fn done_without(rows: &Rows) -> Vec<String> {
    let known: BTreeSet<_> = rows.verdicts.iter().map(|verdict| (&verdict.image, verdict.version)).collect();
    let mut wrong = Vec::new();
    for job in rows.jobs.iter().filter(|job| job.state == "done") {
        let image = (job.tenant, job.image.clone());
        if !job.verdict.is_some_and(|version| known.contains(&(&image, version))) {
            wrong.push(format!("{:x} {:?}", job.id, job.verdict));
        }
    }
    wrong
}

fn counters(rows: &Rows) -> Vec<String> {
    let mut wrong = Vec::new();
    for load in &rows.loads {
        let open = || rows.jobs.iter().filter(|job| job.tenant == load.tenant && !job.has_ended);
        let (all, inflight) = (open().count(), open().filter(|job| job.is_admitted).count());
        let agree = |counter: i64, jobs: usize| usize::try_from(counter) == Ok(jobs);
        if !agree(load.open, all) || !agree(load.inflight, inflight) {
            wrong.push(format!(
                "{:x} open {} of {all}, in flight {} of {inflight}",
                load.tenant, load.open, load.inflight
            ));
        }
    }
    wrong
}

/// The changes of each partition, in their order.
fn histories(rows: &Rows) -> BTreeMap<u16, Vec<&Change>> {
    let mut histories: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for change in &rows.changes {
        histories.entry(change.partition).or_default().push(change);
    }
    histories.values_mut().for_each(|changes| changes.sort_by_key(|change| change.epoch));
    histories
}

fn epochs(rows: &Rows) -> Vec<String> {
    let mut wrong = Vec::new();
    let histories = histories(rows);
    for (partition, changes) in &histories {
        let jumps = changes.iter().zip(1..).filter(|(change, number)| change.epoch != *number);
        wrong.extend(
            jumps.map(|(change, number)| format!("{partition} epoch {} is number {number}", change.epoch)),
        );
        let back = changes.windows(2).filter(|pair| pair[1].at < pair[0].at);
        wrong.extend(
            back.map(|pair| format!("{partition} epoch {} is older than the one before", pair[1].epoch)),
        );
    }
    for partition in &rows.partitions {
        let last = histories.get(&partition.number).and_then(|all| all.last()).map_or(0, |last| last.epoch);
        if last != partition.epoch {
            wrong.push(format!("{} epoch {}, the log says {last}", partition.number, partition.epoch));
        }
    }
    wrong
}

fn two_owners(rows: &Rows) -> Vec<String> {
    let ended: BTreeMap<_, _> = rows.nodes.iter().map(|node| (node.generation, node.ended)).collect();
    let mut wrong = Vec::new();
    for (partition, changes) in histories(rows) {
        for pair in changes.windows(2) {
            let [before, now] = pair else { continue };
            let (Some(former), Some(_)) = (before.to, now.to) else { continue };
            let gone = ended.get(&former).copied().flatten().is_some_and(|ended| ended <= now.at);
            if !gone {
                wrong.push(format!("{partition} epoch {} taken from {former}", now.epoch));
            }
        }
    }
    wrong
}

fn old_epochs(rows: &Rows) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut newest: BTreeMap<u16, i64> = BTreeMap::new();
    for write in &rows.writes {
        let seen = newest.entry(write.partition).or_default();
        if !crate::step::is_current(write.epoch_then, write.epoch) || write.epoch < *seen {
            wrong.push(format!(
                "{} named {}, is {}, was seen with {seen}",
                write.partition, write.epoch, write.epoch_then
            ));
        }
        *seen = (*seen).max(write.epoch);
    }
    wrong
}

fn lost_jobs(rows: &Rows) -> Vec<String> {
    let there: BTreeSet<_> = rows.jobs.iter().map(|job| (job.tenant, job.request, job.id)).collect();
    let told = |answer: &&crate::rows::Answer| !there.contains(&(answer.tenant, answer.request, answer.job));
    let lost = rows.answers.iter().filter(told);
    lost.map(|answer| format!("{:x} of request {:x}", answer.job, answer.request)).collect()
}

fn doubled_jobs(rows: &Rows) -> Vec<String> {
    let mut of_request: BTreeMap<(Id, Id), BTreeSet<Id>> = BTreeMap::new();
    for job in &rows.jobs {
        of_request.entry((job.tenant, job.request)).or_default().insert(job.id);
    }
    for answer in &rows.answers {
        of_request.entry((answer.tenant, answer.request)).or_default().insert(answer.job);
    }
    let doubled = of_request.into_iter().filter(|(_, jobs)| jobs.len() > 1);
    doubled.map(|((_, request), jobs)| format!("{request:x}: {jobs:x?}")).collect()
}

fn chosen_twice(rows: &Rows) -> Vec<String> {
    let mut times: BTreeMap<(Id, &ImageId), u32> = BTreeMap::new();
    for chosen in &rows.run_images {
        *times.entry((chosen.run, &chosen.image)).or_default() += 1;
    }
    let twice = times.into_iter().filter(|(_, times)| *times > 1);
    twice.map(|((run, image), times)| format!("{run:x} {image:?} {times} times")).collect()
}
