//! The images that hold packages of which somebody says that they have changed.

use std::collections::BTreeSet;

use evaluation::impact::{Indexed, Key};
use model::Purl;
use store::impact::{ComponentId, Having};
use store::runs::effects::Planned;

use super::Planner;
use crate::entity::Trouble;

/// Package URLs looked up in one go.
const AT_ONCE: usize = 500;

impl Planner<'_> {
    /// Writes down the images that hold one of the selector's packages.
    pub(super) async fn holding(&self) -> Result<Planned, Trouble> {
        let mut entries = BTreeSet::new();
        for purls in self.run.selector.packages.chunks(AT_ONCE) {
            self.look_up(purls, &mut entries).await?;
        }
        let ids: Vec<ComponentId> = entries.into_iter().collect();
        if !ids.is_empty() {
            self.select(Having::AnyOf(&ids), self.run.selector.tenant, false).await?;
        }
        Ok(Planned { package_versions: ids.len() as u64, ..Planned::default() })
    }

    async fn look_up(&self, purls: &[String], entries: &mut BTreeSet<ComponentId>) -> Result<(), Trouble> {
        let keys: Vec<Key> =
            purls.iter().map(|purl| Key::purl(&Purl::from_canonical(purl.clone()))).collect();
        let wanted: Vec<Wanted<'_>> = purls.iter().map(|purl| Wanted::of(purl)).collect();
        let is_meant = |entry: &Indexed| match entry {
            Indexed::Package(package) => wanted.iter().any(|w| w.is(package.component.purl.as_str())),
            Indexed::Ecosystem(_) => false,
        };
        self.entries(&keys, is_meant, entries).await
    }
}

/// A package, in one version or in all.
struct Wanted<'a> {
    package: &'a str,
    version: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    fn of(purl: &'a str) -> Self {
        let bare = &purl[..purl.find(['?', '#']).unwrap_or(purl.len())];
        // The last: a scope such as `@angular` may be written plainly.
        match bare.rsplit_once('@') {
            Some((package, version)) if !version.contains('/') => Self { package, version: Some(version) },
            _ => Self { package: bare, version: None },
        }
    }

    fn is(&self, purl: &str) -> bool {
        let other = Wanted::of(purl);
        self.package == other.package && (self.version.is_none() || self.version == other.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_narrows_and_qualifiers_do_not() {
        let is = |wanted: &str, purl: &str| Wanted::of(wanted).is(purl);
        let deb = "pkg:deb/debian/zlib1g@1.2.13?arch=amd64";
        assert!(is("pkg:deb/debian/zlib1g", deb) && is("pkg:deb/debian/zlib1g@1.2.13", deb));
        assert!(is("pkg:deb/debian/zlib1g@1.2.13?arch=arm64", deb));
        assert!(!is("pkg:deb/debian/zlib1g@1.2.14", deb) && !is("pkg:deb/debian/zlib", deb));
        assert!(is("pkg:npm/%40angular/core", "pkg:npm/%40angular/core@1.0.0"));
        assert!(!is("pkg:npm/@angular/core", "pkg:npm/%40angular/core@1.0.0"), "not canonical");
    }
}
