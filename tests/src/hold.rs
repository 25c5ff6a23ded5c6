//! Holding a node at a place in its code.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use actors::failpoint::Point;

use crate::{Node, eventually_ok};

/// Holds a place in the code on one node or several; lets go when dropped.
#[derive(Debug)]
pub struct Hold {
    point: Point,
    /// The file that holds, the log that tells, and how often it had told before.
    places: Vec<(PathBuf, PathBuf, usize)>,
}

impl Hold {
    pub(crate) fn new(point: Point, places: Vec<(PathBuf, PathBuf)>) -> Self {
        let place = |(file, log): (PathBuf, PathBuf)| {
            let told = told(&log, &file);
            fs::write(&file, "").expect("the hold can be written");
            (file, log, told)
        };
        Self { point, places: places.into_iter().map(place).collect() }
    }

    /// Holds the same place on all of them.
    pub(crate) fn on(nodes: &[Node], point: Point) -> Self {
        Self::new(point, nodes.iter().map(|node| node.place(point)).collect())
    }

    /// Waits until somebody stands at the place; which of the nodes it is, as an index.
    pub async fn reached(&self, within: Duration) -> usize {
        eventually_ok(within, &format!("somebody is held at {:?}", self.point), || async {
            self.places.iter().position(|(file, log, before)| told(log, file) > *before).ok_or("nobody")
        })
        .await
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        for (file, ..) in &self.places {
            let _ = fs::remove_file(file);
        }
    }
}

/// How often the log tells that somebody was held by this file.
fn told(log: &Path, file: &Path) -> usize {
    let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
    let file = file.display().to_string();
    text.lines().filter(|line| line.contains("held at a failpoint") && line.contains(&file)).count()
}

/// The file that holds whoever passes this place, of a node that lives here.
pub(crate) fn file(home: &Path, point: Point) -> PathBuf {
    home.join("holds").join(point.as_str())
}
