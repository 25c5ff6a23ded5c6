//! What is found of one kind, as far as it is held: few bytes of a database make a component of many.

use model::{Component, Location, Problem};

use super::File;
use crate::limits::Limits;

/// What a component takes besides its texts: itself, and what each of its allocations costs.
const COMPONENT_BYTES: usize = 400;
/// The same of a problem.
const PROBLEM_BYTES: usize = 80;

/// Components and problems of one kind.
#[derive(Default)]
pub(super) struct Found {
    components: Vec<Component>,
    problems: Vec<Problem>,
    bytes: usize,
}

impl Found {
    /// Adds what an entry of the file gives. Says whether there is room for more; where there is none, that is a problem
    /// of the file, too.
    pub(super) fn take<E: Into<String>>(
        &mut self,
        outcome: Result<Option<Component>, E>,
        file: &File<'_>,
    ) -> bool {
        let limit = Limits::DEFAULT.listed;
        if self.components.len() + self.problems.len() >= limit {
            self.problems
                .push(file.problem(format!("is not read to its end: over {limit} packages are listed")));
            return false;
        }
        match outcome {
            Ok(component) => {
                self.bytes += component.as_ref().map(held).unwrap_or_default();
                self.components.extend(component);
            }
            Err(why) => {
                let problem = file.problem(why);
                self.bytes += PROBLEM_BYTES + problem.place.len() + problem.what.len();
                self.problems.push(problem);
            }
        }
        let is_full = self.bytes > Limits::DEFAULT.kind_bytes;
        if is_full {
            self.problems.push(file.problem("is not read to its end: its packages are too much text"));
        }
        !is_full
    }

    pub(super) fn into_parts(self) -> (Vec<Component>, Vec<Problem>) {
        (self.components, self.problems)
    }
}

/// What a component takes in memory, roughly.
pub(crate) fn held(component: &Component) -> usize {
    let Component { purl, name, version, architecture, source, locations, .. } = component;
    let source = source.as_ref().map_or(0, |source| source.name.len() + source.version.len());
    let locations: usize = locations.iter().map(|Location { path, .. }| path.len()).sum();
    let texts = purl.as_str().len() + name.len() + version.len();
    COMPONENT_BYTES + texts + architecture.as_ref().map_or(0, String::len) + source + locations
}
