//! Hex, for Elixir and Erlang: `mix.lock`, a map of Elixir that mix itself writes, one package a line.
//!
//! It does not tell what only development or tests need, so all packages from Hex count. Those of an organisation's
//! own repository (`"hexpm:ORGANISATION"`) have it as their namespace. What is from git has no released version.

use model::{Component, Distro, PackageKind, Problem};

use super::listing::Lines;
use super::lock::{is_lock, lines};
use super::{Ecosystem, File, listing};
use crate::purl::PurlBuilder;

pub(super) struct Hex;

impl Ecosystem for Hex {
    fn kind(&self) -> PackageKind {
        PackageKind::Hex
    }

    fn wants(&self, path: &[u8]) -> bool {
        is_lock(path, &["mix.lock"])
    }

    fn condense(&self, _path: &[u8], content: Vec<u8>) -> Vec<u8> {
        lines(&content, read)
    }

    fn extract(&self, files: &[File<'_>], _: Option<&Distro>) -> (Vec<Component>, Vec<Problem>) {
        listing::read(files, component)
    }
}

fn read(text: &str) -> Lines {
    if !text.trim_start().starts_with("%{") {
        return Lines::of_problem("is not a mix.lock");
    }
    let mut lines = Lines::default();
    for line in text.lines() {
        lines.add(package(line));
    }
    lines
}

/// `"jason": {:hex, :jason, "1.4.0", "HASH", [:mix], [DEPENDENCIES], "hexpm", "HASH"},`
fn package(line: &str) -> Option<String> {
    let (_, entry) = line.split_once(": {:hex, :")?;
    let (name, rest) = entry.split_once(", \"")?;
    let (version, rest) = rest.split_once('"')?;
    let name = name.trim_matches('"');
    let own = rest.rsplit_once(']').and_then(|(_, tail)| tail.split_once("\"hexpm:")?.1.split_once('"'));
    Some(match own {
        Some((organisation, _)) => listing::package(&format!("{organisation}/{name}"), version),
        None => listing::package(name, version),
    })
}

fn component(name: &str, version: &str, file: &File<'_>) -> Result<Component, &'static str> {
    let (organisation, base) = name.split_once('/').unwrap_or(("", name));
    let purl = PurlBuilder::new("hex", base).namespace(organisation);
    file.component(PackageKind::Hex, purl, name, version).ok_or("names a package as none is named")
}
