//! Layers made at random, composed here and by a model that keeps whole trees and knows no shortcuts.

use std::collections::{BTreeMap, BTreeSet};
use std::slice::from_ref;

use inventory::{LayerDescriptor, Limits};
use proptest::prelude::*;

use crate::support::{plain, scan};
use crate::tar::Tar;

/// Whatever is called so is a package; the same names serve for directories.
const NAMES: [&str; 4] = ["a", "b", "c.egg-info", "d.egg-info"];
const TARGETS: [&str; 8] = ["a", "b", "c.egg-info", ".", "../a", "/b", "/a/b", "b/../c.egg-info"];

#[derive(Debug, Clone)]
enum Op {
    File,
    Dir,
    Device,
    Symlink(&'static str),
    HardLink(Path),
    Whiteout,
    Opaque,
}

type Path = Vec<&'static str>;
type Layer = Vec<(Path, Op)>;

fn path() -> impl Strategy<Value = Path> {
    proptest::collection::vec(proptest::sample::select(&NAMES[..]), 1..4)
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => Just(Op::File),
        2 => Just(Op::Dir),
        1 => Just(Op::Device),
        2 => proptest::sample::select(&TARGETS[..]).prop_map(Op::Symlink),
        2 => path().prop_map(Op::HardLink),
        2 => Just(Op::Whiteout),
        1 => Just(Op::Opaque),
    ]
}

fn layers() -> impl Strategy<Value = Vec<Layer>> {
    proptest::collection::vec(proptest::collection::vec((path(), op()), 0..8), 1..5)
}

// The model.

#[derive(Debug, Clone)]
enum Node {
    Dir(Dir),
    File(String),
    Symlink(&'static str),
    Nothing,
}

#[derive(Debug, Clone, Default)]
struct Dir {
    children: BTreeMap<String, Node>,
    whiteouts: BTreeSet<String>,
    opaque: bool,
}

/// No runtime could unpack it.
#[derive(Debug)]
struct Impossible;

impl Dir {
    fn get(&self, path: &[String]) -> Option<&Node> {
        let (first, rest) = path.split_first()?;
        match (self.children.get(first)?, rest) {
            (node, []) => Some(node),
            (Node::Dir(dir), rest) => dir.get(rest),
            _ => None,
        }
    }

    /// The directory, made if need be.
    fn enter(&mut self, path: &[String]) -> Result<&mut Self, Impossible> {
        let Some((first, rest)) = path.split_first() else { return Ok(self) };
        let next = self.children.entry(first.clone()).or_insert_with(|| Node::Dir(Self::default()));
        match next {
            Node::Dir(dir) => dir.enter(rest),
            _ => Err(Impossible),
        }
    }

    fn resolve(&self, path: &[String]) -> Option<Vec<String>> {
        let (mut todo, mut at, mut hops) = (path.to_vec(), Vec::new(), 0);
        while !todo.is_empty() {
            let name = todo.remove(0);
            match name.as_str() {
                "" | "." => continue,
                ".." => {
                    at.pop();
                    continue;
                }
                _ => at.push(name),
            }
            if let Some(Node::Symlink(target)) = self.get(&at) {
                hops += 1;
                if hops > 40 {
                    return None;
                }
                at.pop();
                if target.starts_with('/') {
                    at.clear();
                }
                todo = target.split('/').map(str::to_owned).chain(todo).collect();
            }
        }
        Some(at)
    }

    /// One entry of a layer, over what the layer had until now. `below` are the layers under it.
    fn apply(&mut self, path: &Path, op: &Op, content: String, below: &Self) -> Result<(), Impossible> {
        let path = owned(path);
        let (name, parent) = path.split_last().unwrap();
        let is_opaque = matches!(op, Op::Opaque);
        let real = self.resolve(if is_opaque { &path } else { parent }).ok_or(Impossible)?;
        self.enter(&real)?;
        let link = match op {
            Op::HardLink(target) => {
                self.link_target(&[&real[..], from_ref(name)].concat(), &owned(target), below)
            }
            _ => Node::Nothing,
        };
        let dir = self.enter(&real)?;
        match op {
            Op::Opaque => dir.opaque = true,
            Op::Whiteout => drop(dir.whiteouts.insert(name.clone())),
            Op::Dir if matches!(dir.children.get(name), Some(Node::Dir(_))) => {}
            Op::Dir => drop(dir.children.insert(name.clone(), Node::Dir(Self::default()))),
            Op::File => drop(dir.children.insert(name.clone(), Node::File(content))),
            Op::Device => drop(dir.children.insert(name.clone(), Node::Nothing)),
            Op::Symlink(target) => drop(dir.children.insert(name.clone(), Node::Symlink(target))),
            Op::HardLink(_) => drop(dir.children.insert(name.clone(), link)),
        }
        Ok(())
    }

    fn link_target(&self, at: &[String], target: &[String], below: &Self) -> Node {
        let (name, parent) = target.split_last().unwrap();
        let mut real = self.resolve(parent).unwrap_or_else(|| parent.to_vec());
        real.push(name.clone());
        if real.starts_with(at) {
            return Node::Nothing; // What is at `at` is removed before the link is made.
        }
        match (self.get(&real), below.get(&real)) {
            (None, Some(Node::File(content))) => Node::File(content.clone()),
            (Some(Node::Dir(_)) | None, _) => Node::Nothing,
            (Some(node), _) => node.clone(),
        }
    }

    fn over(mut self, lower: Self) -> Self {
        if self.opaque {
            return self;
        }
        for (name, below) in lower.children {
            if self.whiteouts.contains(&name) {
                continue;
            }
            match (self.children.remove(&name), below) {
                (None, below) => drop(self.children.insert(name, below)),
                (Some(Node::Dir(upper)), Node::Dir(below)) => {
                    self.children.insert(name, Node::Dir(upper.over(below)));
                }
                (Some(upper), _) => drop(self.children.insert(name, upper)),
            }
        }
        self
    }

    fn packages(&self, root: &Self, at: &mut Vec<String>, found: &mut BTreeSet<(String, String)>) {
        for (name, node) in &self.children {
            at.push(name.clone());
            let real = match node {
                Node::Symlink(_) => root.resolve(at).and_then(|path| root.get(&path)),
                node => Some(node),
            };
            match (node, real) {
                (Node::Dir(dir), _) => dir.packages(root, at, found),
                (_, Some(Node::File(content))) if name.ends_with(".egg-info") => {
                    found.insert((at.join("/"), content.clone()));
                }
                _ => {}
            }
            at.pop();
        }
    }
}

fn owned(path: &[&str]) -> Vec<String> {
    path.iter().map(|name| (*name).to_owned()).collect()
}

fn model(layers: &[Layer]) -> Result<BTreeSet<(String, String)>, Impossible> {
    let mut image = Dir::default();
    for (number, layer) in layers.iter().enumerate() {
        let mut upper = Dir::default();
        for (entry, (path, op)) in layer.iter().enumerate() {
            upper.apply(path, op, format!("p{number}-{entry}"), &image)?;
        }
        image = upper.over(image);
    }
    let mut found = BTreeSet::new();
    image.packages(&image, &mut Vec::new(), &mut found);
    Ok(found)
}

// The same layers as archives.

fn archive(number: usize, layer: &Layer) -> Vec<u8> {
    let mut tar = Tar::new();
    for (entry, (path, op)) in layer.iter().enumerate() {
        let (name, parent) = path.split_last().unwrap();
        let joined = path.join("/");
        let in_parent =
            |name: String| parent.iter().map(|p| (*p).to_owned()).chain([name]).collect::<Vec<_>>().join("/");
        tar = match op {
            Op::File => tar.file(&joined, format!("Name: p{number}-{entry}\nVersion: 1\n")),
            Op::Dir => tar.dir(&joined),
            Op::Device => tar.entry(b'3', &joined, "", ""),
            Op::Symlink(target) => tar.symlink(&joined, target),
            Op::HardLink(target) => tar.hard_link(&joined, target.join("/")),
            Op::Whiteout => tar.file(in_parent(format!(".wh.{name}")), ""),
            Op::Opaque => tar.file(format!("{joined}/.wh..wh..opq"), ""),
        };
    }
    tar.end()
}

fn composed(layers: &[Layer]) -> Option<BTreeSet<(String, String)>> {
    let archives: Vec<Vec<u8>> = layers.iter().enumerate().map(|(n, layer)| archive(n, layer)).collect();
    let descriptors: Vec<LayerDescriptor> = archives.iter().map(|a| plain(a)).collect();
    let limits = Limits { second_looks: 20, ..Limits::DEFAULT };
    let open = |layer: &LayerDescriptor| Ok(archives.iter().find(|a| plain(a) == *layer).unwrap().as_slice());
    let sbom = scan(&descriptors, &limits, open).ok()?;
    let rows =
        sbom.components.iter().flat_map(|c| c.locations.iter().map(|l| (l.path.clone(), c.name.clone())));
    Some(rows.collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn composing_is_what_overlayfs_does(layers in layers()) {
        prop_assert_eq!(composed(&layers), model(&layers).ok());
    }
}
