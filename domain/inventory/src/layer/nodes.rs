//! Which paths a layer holds, and as what, in a few bytes a path.
//!
//! To know what a layer hides in the layers below, every one of its paths matters: a file `app` hides all of
//! a lower directory `app`. Names would not fit (layers of 3,000,000 files exist), so each path is one
//! 64-bit number, made from its parent's number and its own name.

use std::collections::{HashMap, HashSet};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::path;

/// A path of one layer. The two lowest bits are free for what is at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Node(u64);

/// What a layer has at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// A directory, named or implied by what lies below it.
    Dir = 0,
    /// Anything that is no directory.
    Leaf = 1,
    /// A whiteout of what the layers below have at this path.
    Whiteout = 2,
    /// A directory that hides all that the layers below have in it.
    Opaque = 3,
}

/// The paths of one layer. The default hasher is seeded, so colliding numbers cannot be made on purpose to
/// slow it down.
#[derive(Debug, Clone, Default)]
pub(crate) struct Nodes {
    marks: HashSet<u64>,
    /// How often a directory gave way to a leaf *inside* the layer. Its number changes then, so that what
    /// lay below it is gone without being looked for.
    renewed: HashMap<u64, u64>,
}

impl Nodes {
    /// The root of the image.
    pub(crate) const ROOT: Node = Node(0);

    /// The path of this name in a directory.
    pub(crate) fn child(&self, dir: Node, name: &[u8]) -> Node {
        let plain = hash(dir.0, name);
        if self.renewed.is_empty() {
            return Node(plain);
        }
        self.renewed.get(&plain).map_or(Node(plain), |times| Node(hash(plain, &times.to_le_bytes())))
    }

    /// Whether the layer has this at the path.
    pub(crate) fn has(&self, node: Node, mark: Mark) -> bool {
        self.marks.contains(&(node.0 | mark as u64))
    }

    /// Puts it there.
    pub(crate) fn add(&mut self, node: Node, mark: Mark) {
        self.marks.insert(node.0 | mark as u64);
    }

    /// Makes the path a directory. Says whether a leaf gave way.
    pub(crate) fn make_dir(&mut self, node: Node) -> bool {
        self.add(node, Mark::Dir);
        self.marks.remove(&(node.0 | Mark::Leaf as u64))
    }

    /// Makes the path a leaf. Says whether a directory gave way, with all that was below it.
    pub(crate) fn make_leaf(&mut self, dir: Node, name: &[u8]) -> bool {
        let old = self.child(dir, name);
        let gave_way = self.marks.remove(&(old.0 | Mark::Dir as u64));
        if gave_way {
            *self.renewed.entry(hash(dir.0, name)).or_default() += 1;
        }
        let new = self.child(dir, name);
        if gave_way && self.marks.remove(&(old.0 | Mark::Whiteout as u64)) {
            self.add(new, Mark::Whiteout);
        }
        self.add(new, Mark::Leaf);
        gave_way
    }

    /// All that is known, in order.
    pub(crate) fn to_numbers(&self) -> (Vec<u64>, Vec<(u64, u64)>) {
        let mut marks: Vec<u64> = self.marks.iter().copied().collect();
        let mut renewed: Vec<_> = self.renewed.iter().map(|(node, times)| (*node, *times)).collect();
        marks.sort_unstable();
        renewed.sort_unstable();
        (marks, renewed)
    }

    /// What [`to_numbers`](Self::to_numbers) gave.
    pub(crate) fn from_numbers(marks: Vec<u64>, renewed: Vec<(u64, u64)>) -> Self {
        Self { marks: marks.into_iter().collect(), renewed: renewed.into_iter().collect() }
    }

    /// How many paths there are.
    pub(crate) fn len(&self) -> usize {
        self.marks.len()
    }

    /// Whether a leaf is at the path.
    pub(crate) fn has_leaf(&self, path: &[u8]) -> bool {
        self.has(self.find(path), Mark::Leaf)
    }

    /// Whether a directory is at the path.
    pub(crate) fn has_dir(&self, path: &[u8]) -> bool {
        self.has(self.find(path), Mark::Dir)
    }

    /// Asks for one path after another whether the layer hides it.
    pub(crate) const fn hiding(&self) -> Hiding<'_> {
        Hiding { nodes: self, last: Vec::new(), dirs: Vec::new(), decided: None }
    }

    fn find(&self, path: &[u8]) -> Node {
        path::components(path).fold(Self::ROOT, |dir, name| self.child(dir, name))
    }
}

/// What a layer hides of the layers below it. What a path shares with the one before is not walked again: a hostile
/// image has thousands of files, hundreds of layers, and all of them thousands of directories deep.
pub(crate) struct Hiding<'n> {
    nodes: &'n Nodes,
    last: Vec<u8>,
    /// The directories of the last path that the layer has, too, and where in it their names end.
    dirs: Vec<(usize, Node)>,
    /// The answer for whatever is at or below this part of the last path.
    decided: Option<(usize, bool)>,
}

impl Hiding<'_> {
    /// Whether the layer hides what a lower layer has at the clean path, which is no directory.
    pub(crate) fn hides(&mut self, path: &[u8]) -> bool {
        let shared = shared(&self.last, path);
        let covers = |end: usize| end <= shared && path.get(end).is_none_or(|&byte| byte == b'/');
        if let Some((_, answer)) = self.decided.filter(|(end, _)| covers(*end)) {
            return answer;
        }
        while self.dirs.pop_if(|(end, _)| !covers(*end)).is_some() {}
        self.last.clear();
        self.last.extend_from_slice(path);
        self.decided = self.decide(path);
        self.decided.is_none_or(|(_, answer)| answer) // A directory of this layer took the place of a leaf.
    }

    fn decide(&mut self, path: &[u8]) -> Option<(usize, bool)> {
        loop {
            let (end, dir) = self.dirs.last().copied().unwrap_or((0, Nodes::ROOT));
            if self.nodes.has(dir, Mark::Opaque) {
                return Some((end, true));
            }
            let start = if end == 0 { 0 } else { end + 1 };
            let name = path.get(start..)?.split(|&byte| byte == b'/').next()?;
            let (end, node) = (start + name.len(), self.nodes.child(dir, name));
            if self.nodes.has(node, Mark::Leaf) || self.nodes.has(node, Mark::Whiteout) {
                return Some((end, true));
            }
            if !self.nodes.has(node, Mark::Dir) {
                return Some((end, false)); // Nothing of this layer is at or below here.
            }
            self.dirs.push((end, node));
        }
    }
}

/// How many bytes two paths begin with alike.
fn shared(one: &[u8], other: &[u8]) -> usize {
    const STEP: usize = 64;
    let steps = one.chunks_exact(STEP).zip(other.chunks_exact(STEP)).take_while(|(a, b)| a == b).count();
    let start = steps * STEP;
    start + one[start..].iter().zip(&other[start..]).take_while(|(a, b)| a == b).count()
}

fn hash(seed: u64, bytes: &[u8]) -> u64 {
    xxh3_64_with_seed(bytes, seed) & !3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(nodes: &mut Nodes, path: &str, mark: Mark) {
        let (parent, name) = path::split(path.as_bytes());
        let mut dir = Nodes::ROOT;
        for name in path::components(parent) {
            dir = nodes.child(dir, name);
            nodes.make_dir(dir);
        }
        match mark {
            Mark::Dir => drop(nodes.make_dir(nodes.child(dir, name))),
            Mark::Leaf => drop(nodes.make_leaf(dir, name)),
            Mark::Whiteout => nodes.add(nodes.child(dir, name), mark),
            Mark::Opaque => {
                let node = nodes.child(dir, name);
                nodes.make_dir(node);
                nodes.add(node, mark);
            }
        }
    }

    fn check(marks: &[(&str, Mark)], hidden: &[&str], visible: &[&str]) {
        let mut nodes = Nodes::default();
        for (path, mark) in marks {
            add(&mut nodes, path, *mark);
        }
        let (mut anew, mut going_on) = (Vec::new(), nodes.hiding());
        let all = hidden.iter().map(|path| (path, true)).chain(visible.iter().map(|path| (path, false)));
        for (path, is_hidden) in all.clone().chain(all.rev()) {
            anew.push((path, nodes.hiding().hides(path.as_bytes()), is_hidden));
            assert_eq!(going_on.hides(path.as_bytes()), is_hidden, "{path} in {marks:?}, after {anew:?}");
        }
        assert!(anew.iter().all(|(_, found, expected)| found == expected), "{anew:?} in {marks:?}");
    }

    #[test]
    fn leaves_and_whiteouts_hide_what_is_at_and_below_them() {
        check(&[("a/b", Mark::Leaf)], &["a/b", "a/b/c", "a/b/c/d", "a"], &["a/c", "b", "a/bc"]);
        check(&[("a/b", Mark::Whiteout)], &["a/b", "a/b/c", "a"], &["a/c"]);
    }

    #[test]
    fn directories_hide_leaves_but_not_directories() {
        check(&[("a/b", Mark::Dir)], &["a", "a/b"], &["a/b/c", "a/c"]);
        check(&[("a", Mark::Opaque)], &["a", "a/b", "a/b/c"], &["b", "b/a"]);
    }

    #[test]
    fn what_was_below_a_replaced_directory_is_gone() {
        let twice = [("a/b", Mark::Leaf), ("a", Mark::Leaf), ("a/c", Mark::Leaf)];
        check(&twice, &["a", "a/c"], &["a/b", "a/d"]);
        check(&[("a/b", Mark::Opaque), ("a", Mark::Leaf), ("a", Mark::Dir)], &["a"], &["a/b", "a/b/c"]);
    }

    #[test]
    fn a_whiteout_outlives_what_takes_its_place() {
        check(&[("a", Mark::Whiteout), ("a", Mark::Dir), ("a", Mark::Leaf), ("a", Mark::Dir)], &["a/b"], &[]);
    }
}
