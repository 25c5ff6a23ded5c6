//! RubyGems: the specification of each installed gem, `specifications/NAME-VERSION.gemspec`.
//!
//! A specification is a Ruby program that RubyGems itself writes (`Gem::Specification#to_ruby`), so its lines have one
//! form: `s.name = "NAME".freeze`, `s.version = "VERSION"`. What has another form is called by the file's name.
//!
//! `Gemfile.lock` counts where no gem is installed in the whole image.

mod lock;

use model::{Component, Distro, PackageKind, Problem};

use super::lock::{Reach, is_lock, lines, that_count};
use super::{Ecosystem, File, listing};
use crate::path;
use crate::purl::PurlBuilder;

const LOCKS: &[&str] = &["Gemfile.lock", "gems.locked"];

pub(super) struct Gem;

impl Ecosystem for Gem {
    fn kind(&self) -> PackageKind {
        PackageKind::Gem
    }

    fn wants(&self, path: &[u8]) -> bool {
        if !path.ends_with(b".gemspec") {
            return is_lock(path, LOCKS);
        }
        let (folder, _) = path::split(path);
        let (above, last) = path::split(folder);
        last == b"specifications" || last == b"default" && path::split(above).1 == b"specifications"
    }

    fn condense(&self, path: &[u8], content: Vec<u8>) -> Vec<u8> {
        if is_lock(path, LOCKS) {
            return lines(&content, lock::lines);
        }
        let text = String::from_utf8_lossy(&content);
        let name = String::from_utf8_lossy(path::split(path).1);
        let of_file = of_file_name(name.strip_suffix(".gemspec").unwrap_or(&name));
        let platform = field(&text, "platform").unwrap_or_default();
        let named = field(&text, "name")
            .zip(field(&text, "version"))
            .map(|(name, version)| (name, version, platform));
        match named.or(of_file) {
            Some((name, version, platform)) => listing::detailed(&name, &version, &[&platform]),
            None => listing::problem("names neither a gem nor its version"),
        }
        .into_bytes()
    }

    fn extract(&self, files: &[File<'_>], _: Option<&Distro>) -> (Vec<Component>, Vec<Problem>) {
        listing::read(&that_count(files, LOCKS, Reach::Image), component)
    }
}

/// The string that `VARIABLE.FIELD = "…"` sets.
fn field(text: &str, field: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (left, right) = line.split_once('=')?;
        let (_variable, name) = left.trim().split_once('.')?;
        let quoted = right.trim().strip_prefix('"').filter(|_| name == field)?;
        let (value, _) = quoted.split_once('"')?;
        Some(value.to_owned()).filter(|value| !value.is_empty() && !value.contains(['#', '\\']))
    })
}

/// `NAME-VERSION`, or `NAME-VERSION-PLATFORM`.
fn of_file_name(stem: &str) -> Option<(String, String, String)> {
    let begins_version = |(at, _): &(usize, &str)| stem[at + 1..].starts_with(|c: char| c.is_ascii_digit());
    let (at, _) = stem.match_indices('-').find(begins_version)?;
    let (version, platform) = stem[at + 1..].split_once('-').unwrap_or((&stem[at + 1..], ""));
    (at > 0).then(|| (stem[..at].to_owned(), version.to_owned(), platform.to_owned()))
}

/// A gem for one platform is another package than the one for all (`ruby`), which has no qualifier.
fn component(name: &str, version: &str, file: &File<'_>) -> Result<Component, &'static str> {
    let [version, platform] = listing::details(version);
    let platform = if platform == "ruby" { "" } else { platform };
    let purl = PurlBuilder::new("gem", name).qualifier("platform", platform);
    file.component(PackageKind::Gem, purl, name, version).ok_or("names a gem as none is named")
}
