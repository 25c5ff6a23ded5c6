//! What holds of a history: who acted when, and what clients saw in which order.
//!
//! A history is linearizable when every operation can be given one moment between its call and its answer, so that in
//! the order of these moments all of them tell one story. Here the story is known, for the database writes it down:
//! the changes of a partition's owner and the events of a job have numbers. So nothing has to be searched for, and
//! the answer is exact: an effect names the chapter it belongs to, and a read is given the earliest one that it may
//! have seen.

use std::collections::BTreeMap;

use crate::rows::{Act, Id, Read, Rows};

/// An effect that was accepted, was done by the partition's owner, within its time.
pub(crate) fn strangers(rows: &Rows) -> Vec<String> {
    let names: BTreeMap<_, _> = rows.nodes.iter().map(|node| (node.generation, node.name.as_str())).collect();
    let changes: BTreeMap<_, _> =
        rows.changes.iter().map(|change| ((change.partition, change.epoch), change)).collect();
    let wrong = |act: &Act| {
        let Some(since) = changes.get(&(act.partition, act.epoch)) else {
            return Some("of an epoch that never was".to_owned());
        };
        let owner = since.to.and_then(|generation| names.get(&generation));
        if owner != Some(&act.by.as_str()) {
            return Some(format!("of a partition of {}", owner.unwrap_or(&"nobody")));
        }
        let until = changes.get(&(act.partition, act.epoch + 1)).map_or(i64::MAX, |next| next.at);
        let outside = act.at < since.at || act.at > until;
        outside.then(|| format!("at {}, owner from {} until {until}", act.at, since.at))
    };
    let said = |act: &Act| {
        let why = wrong(act)?;
        Some(format!("{} epoch {}: an effect of {} {why}", act.partition, act.epoch, act.by))
    };
    rows.acts.iter().filter_map(said).collect()
}

/// What clients read of a job is one story: each read saw a state that the job had, and none that began after another
/// had ended saw an earlier one.
pub(crate) fn reads_back(rows: &Rows) -> Vec<String> {
    let stories = stories(rows);
    let mut of_job: BTreeMap<Id, Vec<&Read>> = BTreeMap::new();
    for read in &rows.reads {
        of_job.entry(read.job).or_default().push(read);
    }
    let mut wrong = Vec::new();
    for (job, reads) in of_job {
        match stories.get(&job) {
            Some(story) => wrong.extend(not_linear(job, story, reads)),
            None => wrong.push(format!("{job:x} was seen and is not there")),
        }
    }
    wrong
}

/// The states of each job, in their order: accepted, and what each event left it in.
fn stories(rows: &Rows) -> BTreeMap<Id, Vec<&str>> {
    let mut events: Vec<_> = rows.events.iter().collect();
    events.sort_by_key(|event| (event.job, event.seq));
    let mut stories: BTreeMap<_, Vec<_>> = rows.jobs.iter().map(|job| (job.id, vec!["accepted"])).collect();
    for event in events {
        stories.entry(event.job).or_default().push(&event.state);
    }
    stories
}

/// Gives each read the earliest place in the story that it may have seen; that leaves most room to those after it.
fn not_linear(job: Id, story: &[&str], mut reads: Vec<&Read>) -> Option<String> {
    reads.sort_by_key(|read| read.called);
    let mut placed: Vec<(i64, usize)> = Vec::new();
    for read in reads {
        let before = placed.iter().filter(|(answered, _)| *answered < read.called);
        let earliest = before.map(|(_, place)| *place).max().unwrap_or(0);
        let place = story.iter().skip(earliest).position(|state| *state == read.saw);
        let Some(place) = place else {
            let (saw, seen) = (&read.saw, story[earliest]);
            return Some(format!("{job:x} was {saw} after {seen} had been seen, of {story:?}"));
        };
        placed.push((read.answered, earliest + place));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{Change, Event, Job, Node};

    fn change(epoch: i64, to: Option<i64>, at: i64) -> Change {
        Change { partition: 7, epoch, to, at }
    }

    /// Node 1 has the partition from 10 to 20, nobody until 30, and node 2 from then on.
    fn owned(epoch: i64, by: &str, at: i64) -> Vec<String> {
        let node = |generation, name: &str| Node { generation, name: name.to_owned(), ended: None };
        let act = Act { partition: 7, epoch, by: by.to_owned(), at };
        strangers(&Rows {
            nodes: vec![node(1, "one"), node(2, "two")],
            changes: vec![change(1, Some(1), 10), change(2, None, 20), change(3, Some(2), 30)],
            acts: vec![act],
            ..Rows::default()
        })
    }

    #[test]
    fn an_effect_belongs_to_the_owner_of_its_time() {
        assert_eq!(owned(1, "one", 10), [""; 0]);
        assert_eq!(owned(1, "one", 20), [""; 0]);
        assert_eq!(owned(3, "two", 1_000), [""; 0]);
        assert_eq!(owned(1, "two", 15), ["7 epoch 1: an effect of two of a partition of one"]);
        assert_eq!(owned(1, "one", 9).len(), 1, "before it had it");
        assert_eq!(owned(1, "one", 21).len(), 1, "after it gave it back");
        assert_eq!(owned(2, "one", 25), ["7 epoch 2: an effect of one of a partition of nobody"]);
        assert_eq!(owned(4, "two", 40), ["7 epoch 4: an effect of two of an epoch that never was"]);
    }

    /// Reads of a job that was done at its third event: called, answered, and what was seen.
    fn read(reads: &[(i64, i64, &str)]) -> Vec<String> {
        let (tenant, job) = (1, 2);
        let job_row = Job {
            id: job,
            tenant,
            request: 3,
            image: String::new(),
            state: "done".to_owned(),
            events: 3,
            verdict: None,
            is_admitted: true,
            has_ended: true,
        };
        let event = |(seq, state): (u32, &str)| Event {
            tenant,
            job,
            seq,
            stage: String::new(),
            state: state.to_owned(),
            attempt: 1,
            started: 0,
            ended: 0,
        };
        let events = [(1, "extracting"), (2, "evaluating"), (3, "done")].map(event);
        let reads = reads.iter().map(|(called, answered, saw)| Read {
            job,
            called: *called,
            answered: *answered,
            saw: (*saw).to_owned(),
        });
        reads_back(&Rows {
            jobs: vec![job_row],
            events: events.into(),
            reads: reads.collect(),
            ..Rows::default()
        })
    }

    #[test]
    fn reads_one_after_the_other_never_go_back() {
        assert_eq!(
            read(&[(1, 2, "accepted"), (3, 4, "extracting"), (5, 6, "done"), (7, 8, "done")]),
            [""; 0]
        );
        let back = read(&[(1, 2, "evaluating"), (3, 4, "extracting")]);
        assert!(back[0].starts_with("2 was extracting after evaluating had been seen"), "{back:?}");
        assert_eq!(read(&[(1, 2, "done"), (3, 4, "failed")]).len(), 1, "two ends");
        assert_eq!(read(&[(1, 2, "cancelled")]).len(), 1, "a state that never was");
    }

    #[test]
    fn reads_side_by_side_may_be_in_either_order() {
        assert_eq!(read(&[(1, 9, "done"), (2, 3, "accepted"), (4, 5, "extracting")]), [""; 0]);
        assert_eq!(read(&[(1, 3, "done"), (2, 9, "accepted")]), [""; 0]);
        // The third began after the first had ended, whatever the second was about.
        assert_eq!(read(&[(1, 3, "done"), (2, 9, "accepted"), (4, 5, "evaluating")]).len(), 1);
    }

    #[test]
    fn what_was_seen_must_be_there() {
        let read = Read { job: 2, called: 1, answered: 2, saw: "accepted".to_owned() };
        assert_eq!(
            reads_back(&Rows { reads: vec![read], ..Rows::default() }),
            ["2 was seen and is not there"]
        );
    }
}
