//! Following symbolic links inside an image, never outside it.

use std::cell::Cell;
use std::collections::VecDeque;

use crate::limits::Limits;
use crate::path;

/// More links on one path than are followed, most likely a loop; or a budget that is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooManyLinks;

/// What may be spent on following links in one layer or image: chains of links multiply the work that few
/// bytes ask for.
#[derive(Debug)]
pub(crate) struct Budget {
    hops: usize,
    path_bytes: usize,
    steps: Cell<u64>,
}

impl Budget {
    pub(crate) const fn new(limits: &Limits) -> Self {
        Self { hops: limits.link_hops, path_bytes: limits.path_bytes, steps: Cell::new(limits.link_steps) }
    }

    fn step(&self) -> Result<(), TooManyLinks> {
        self.steps.set(self.steps.get().checked_sub(1).ok_or(TooManyLinks)?);
        Ok(())
    }
}

/// The path itself, with every link on the way to it followed, the last component included. `target_of`
/// knows the links. What does not exist is walked through as if it were there, as a runtime does.
pub(crate) fn resolve<'a>(
    wanted: &[u8],
    budget: &Budget,
    target_of: impl Fn(&[u8]) -> Option<&'a [u8]>,
) -> Result<Vec<u8>, TooManyLinks> {
    let mut todo: VecDeque<Vec<u8>> = path::components(wanted).map(<[u8]>::to_vec).collect();
    let mut at = Vec::with_capacity(wanted.len());
    let mut left = budget.hops;
    while let Some(component) = todo.pop_front() {
        budget.step()?;
        match component.as_slice() {
            b"." => continue,
            b".." => {
                path::truncate_to_parent(&mut at);
                continue;
            }
            name => path::push(&mut at, name),
        }
        if at.len() > budget.path_bytes {
            return Err(TooManyLinks);
        }
        let Some(target) = target_of(&at) else { continue };
        left = left.checked_sub(1).ok_or(TooManyLinks)?;
        if target.starts_with(b"/") {
            at.clear()
        } else {
            path::truncate_to_parent(&mut at)
        }
        for component in path::components(target).collect::<Vec<_>>().into_iter().rev() {
            todo.push_front(component.to_vec());
        }
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(links: &[(&str, &'static str)], from: &str, to: Result<&str, TooManyLinks>) {
        let target_of = |at: &[u8]| {
            links.iter().find(|(path, _)| path.as_bytes() == at).map(|(_, target)| target.as_bytes())
        };
        let real = resolve(from.as_bytes(), &Budget::new(&Limits::DEFAULT), target_of);
        assert_eq!(real, to.map(|path| path.as_bytes().to_vec()), "{from}");
    }

    #[test]
    fn links_are_followed_at_every_component() {
        check(&[("lib", "usr/lib")], "lib/x", Ok("usr/lib/x"));
        check(&[("a/b", "../c")], "a/b/x", Ok("c/x"));
        check(&[("a/b", "/c")], "a/b", Ok("c"));
        check(&[("a", "b"), ("b", "c/d"), ("c", "/e")], "a/f", Ok("e/d/f"));
        check(&[], "a/b", Ok("a/b"));
    }

    #[test]
    fn dots_after_a_link_start_from_where_it_leads() {
        check(&[("a", "x/y")], "a/../z", Ok("x/z"));
        check(&[("up", "../../../..")], "up/tmp", Ok("tmp"));
    }

    #[test]
    fn loops_end() {
        check(&[("x", "y"), ("y", "x")], "x", Err(TooManyLinks));
        check(&[("a", "a/a")], "a", Err(TooManyLinks));
        check(&[("d/self", ".")], "d/self/self/f", Ok("d/f"));
    }

    #[test]
    fn a_budget_is_spent_once() {
        let budget = Budget::new(&Limits { link_steps: 3, ..Limits::DEFAULT });
        assert_eq!(resolve(b"a/b", &budget, |_| None), Ok(b"a/b".to_vec()));
        assert_eq!(resolve(b"a/b", &budget, |_| None), Err(TooManyLinks));
    }
}
