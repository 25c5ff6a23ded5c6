//! What holds once nothing is left to do.

use crate::Invariant;
use crate::rows::Rows;

/// All of them.
pub const AT_REST: [Invariant; 5] = [
    Invariant { name: "every accepted job has ended", violations: open_jobs },
    Invariant { name: "no work is left", violations: open_work },
    Invariant { name: "no bell is owed", violations: owed_bells },
    Invariant { name: "no image is behind", violations: images_behind },
    Invariant { name: "nothing was given up", violations: given_up },
];

fn open_jobs(rows: &Rows) -> Vec<String> {
    let open = rows.jobs.iter().filter(|job| !job.has_ended);
    open.map(|job| format!("{:x} {}", job.id, job.state)).collect()
}

fn open_work(rows: &Rows) -> Vec<String> {
    rows.work.iter().map(|work| format!("{:x} {} attempt {}", work.id, work.state, work.attempt)).collect()
}

fn owed_bells(rows: &Rows) -> Vec<String> {
    rows.bells.iter().map(|bell| bell.who.clone()).collect()
}

fn images_behind(rows: &Rows) -> Vec<String> {
    let behind = rows.images.iter().filter(|image| image.evaluated_revision < image.revision);
    behind
        .map(|image| {
            format!("{:?} revision {} evaluated {}", image.id, image.revision, image.evaluated_revision)
        })
        .collect()
}

fn given_up(rows: &Rows) -> Vec<String> {
    rows.dead_letters.iter().map(|letter| format!("{:?} {}", letter.image, letter.reason)).collect()
}
