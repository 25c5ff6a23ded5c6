//! What holds for package versions by one state of the advisories, remembered: the images of a fleet share most of their
//! packages, and what is found for one depends on the image's distribution and machine only.
//!
//! Nothing in it can grow old, since it belongs to one [`Index`]. The next one begins empty, and has what a fleet asks
//! for after a few images.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{Component, Coverage, Gap, Sbom};

use crate::matching::{Matcher, Part, Setting, by_purl};
use crate::{Evaluation, Index, Written, WrittenFinding, coverage};

/// Findings that are held, some 1.5 KB each with its document. When there are more, all is forgotten.
const FINDINGS_MAX: usize = 65_536;
/// Package versions that are held, some 300 bytes each.
const PARTS_MAX: usize = 131_072;

/// What is known of package versions by one state of the advisories.
#[derive(Debug)]
pub struct Known {
    index: Index,
    held: Mutex<Held>,
    hasher: RandomState,
}

/// What holds for an image, with the findings written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matched {
    /// The findings.
    pub findings: Written,
    /// Whether an absent finding means anything.
    pub coverage: Coverage,
    /// Why coverage is not complete: what [`coverage::told`] tells of it.
    pub gaps: Vec<Gap>,
}

impl From<Evaluation> for Matched {
    fn from(Evaluation { findings, coverage, gaps, .. }: Evaluation) -> Self {
        Self { findings: Written::of(findings), coverage, gaps: coverage::told(gaps) }
    }
}

/// By the hash of setting and component; what has the same hash lies side by side.
#[derive(Debug, Default)]
struct Held {
    parts: HashMap<u64, Vec<Remembered>>,
    number: usize,
    findings: usize,
}

#[derive(Debug)]
struct Remembered {
    setting: Arc<Setting>,
    /// Without what does not count: where it was seen, and who owns it, beyond whether anybody does.
    component: Component,
    part: Arc<WrittenPart>,
}

#[derive(Debug, Default)]
struct WrittenPart {
    findings: Vec<Arc<WrittenFinding>>,
    gaps: BTreeSet<Gap>,
}

impl Known {
    /// Nothing yet, of these advisories.
    pub fn new(index: Index) -> Self {
        Self { index, held: Mutex::default(), hasher: RandomState::new() }
    }

    /// The advisories.
    pub const fn index(&self) -> &Index {
        &self.index
    }

    /// What holds for the image with these components: the same as [`crate::evaluate`] finds.
    pub fn evaluate(&self, sbom: &Sbom) -> Matched {
        let setting = Arc::new(Setting::of(sbom));
        let components = by_purl(sbom);
        let groups: Vec<&[&Component]> = components.chunk_by(|a, b| a.purl == b.purl).collect();
        let hashes = self.hashes(&setting, &groups);
        let mut parts = self.held(&setting, &groups, &hashes);
        let matcher = Matcher::new(&self.index, &setting);
        let mut new = Vec::new();
        for ((group, hash), part) in groups.iter().zip(&hashes).zip(&mut parts) {
            if part.is_some() {
                continue;
            }
            let made = Arc::new(WrittenPart::of(matcher.part(group)));
            *part = Some(made.clone());
            if let [component] = group {
                let (setting, component) = (setting.clone(), lean(component));
                new.push((*hash, Remembered { setting, component, part: made }));
            }
        }
        self.remember(new);
        let (mut findings, mut gaps) = (Vec::new(), BTreeSet::new());
        for part in parts.iter().flatten() {
            findings.extend(part.findings.iter().cloned());
            gaps.extend(part.gaps.iter().cloned());
        }
        let coverage = coverage::assess(sbom, &self.index, &mut gaps);
        Matched { findings: Written::together(findings), coverage, gaps: coverage::told(gaps) }
    }

    /// What is held of each group; nothing of those of several components, which are few.
    fn held(
        &self,
        setting: &Setting,
        groups: &[&[&Component]],
        hashes: &[u64],
    ) -> Vec<Option<Arc<WrittenPart>>> {
        let held = self.lock();
        let part = |(group, hash): (&&[&Component], &u64)| {
            let [component] = group else { return None };
            let same = held.parts.get(hash)?.iter().find(|known| known.is_of(setting, component))?;
            Some(same.part.clone())
        };
        groups.iter().zip(hashes).map(part).collect()
    }

    fn remember(&self, new: Vec<(u64, Remembered)>) {
        if new.is_empty() {
            return;
        }
        let mut held = self.lock();
        for (hash, known) in new {
            held.put(hash, known);
        }
    }

    /// Of each group's first component in this setting.
    fn hashes(&self, setting: &Setting, groups: &[&[&Component]]) -> Vec<u64> {
        let setting = self.hasher.hash_one(setting);
        let hash = |component: &Component| {
            let Component { purl, kind, name, version, .. } = component;
            self.hasher.hash_one((setting, purl, kind, name, version))
        };
        groups.iter().map(|group| hash(group[0])).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn put(&mut self, hash: u64, known: Remembered) {
        if self.number >= PARTS_MAX || self.findings + known.part.findings.len() > FINDINGS_MAX {
            *self = Self::default();
        }
        let same = self.parts.entry(hash).or_default();
        // Another image may have brought it meanwhile.
        if !same.iter().any(|other| other.is_of(&known.setting, &known.component)) {
            self.number += 1;
            self.findings += known.part.findings.len();
            same.push(known);
        }
    }
}

impl Remembered {
    fn is_of(&self, setting: &Setting, component: &Component) -> bool {
        let own = &self.component;
        own.purl == component.purl
            && own.kind == component.kind
            && own.name == component.name
            && own.version == component.version
            && own.source == component.source
            && own.owner.is_some() == component.owner.is_some()
            && *self.setting == *setting
    }
}

fn lean(component: &Component) -> Component {
    let Component { purl, kind, name, version, source, owner, .. } = component.clone();
    Component { purl, kind, name, version, source, architecture: None, owner, locations: vec![] }
}

impl WrittenPart {
    fn of(part: Part) -> Self {
        let written = |finding| Arc::new(WrittenFinding::of(finding));
        Self { findings: part.findings.into_iter().map(written).collect(), gaps: part.gaps }
    }
}

#[cfg(test)]
mod tests {
    use advisory::formats::osv;
    use advisory::{Advisory, Limits};
    use model::{Distro, PackageKind, Purl, SourcePackage};
    use proptest::prelude::*;

    use super::*;

    fn advisory(id: &str, ecosystem: &str, package: &str, rest: &str) -> Advisory {
        let json = format!(
            r#"{{"id":"{id}","affected":[{{"package":{{"ecosystem":"{ecosystem}","name":"{package}"}},
                 "ranges":[{{"type":"ECOSYSTEM","events":[{{"introduced":"0"}},{{"fixed":"2"}}]}}]{rest}}}]}}"#
        );
        osv::parse(json.as_bytes(), &Limits::default()).unwrap().0
    }

    fn index() -> Index {
        let windows = r#","ecosystem_specific":{"affects":{"os":["windows"],"arch":[],"functions":[]}}"#;
        let arm = r#","ecosystem_specific":{"affects":{"os":[],"arch":["aarch64"],"functions":[]}}"#;
        let said = [
            advisory("D-1", "Debian:12", "a", ""),
            advisory("D-2", "Debian:11", "a", ""),
            advisory("D-3", "Debian:12", "s", ""),
            advisory("N-1", "npm", "a", ""),
            advisory("R-1", "crates.io", "a", windows),
            advisory("R-2", "crates.io", "a", arm),
        ];
        Index::build(said.map(|advisory| ("f".parse().unwrap(), advisory)))
    }

    fn component() -> impl Strategy<Value = Component> {
        let kind = prop::sample::select(vec![PackageKind::Deb, PackageKind::Npm, PackageKind::Cargo]);
        let version = prop::sample::select(vec!["1", "2", "not a version"]);
        let name = prop::sample::select(vec!["a", "b"]);
        let machine = prop::option::of(prop::sample::select(vec!["amd64", "arm64"]));
        let source = prop::option::of(prop::sample::select(vec!["1", "3"]));
        (kind, name, version, machine, source, any::<bool>()).prop_map(
            |(kind, name, version, machine, source, is_owned)| Component {
                purl: Purl::from_canonical(format!("pkg:{}/{name}@{version}", kind.as_str())),
                kind,
                name: name.to_owned(),
                version: version.to_owned(),
                architecture: machine.map(str::to_owned),
                source: source
                    .map(|version| SourcePackage { name: "s".to_owned(), version: version.to_owned() }),
                owner: is_owned.then(|| Purl::from_canonical("pkg:deb/owner@1".to_owned())),
                locations: vec![],
            },
        )
    }

    fn image() -> impl Strategy<Value = Sbom> {
        let release = prop::option::of(prop::sample::select(vec!["11", "12"]));
        let components = prop::collection::btree_set(component(), 0..6);
        (release, components).prop_map(|(release, components)| Sbom {
            distro: release.map(|release| Distro {
                id: "debian".to_owned(),
                version: release.to_owned(),
                codename: None,
            }),
            components: components.into_iter().collect(),
            ..Sbom::default()
        })
    }

    proptest! {
        #[test]
        fn what_is_remembered_is_what_matching_anew_finds(images in prop::collection::vec(image(), 1..24)) {
            let known = Known::new(index());
            for sbom in &images {
                prop_assert_eq!(known.evaluate(sbom), Matched::from(crate::evaluate(sbom, known.index())));
            }
        }
    }

    #[test]
    fn a_package_is_matched_once_for_all_images_with_it_and_no_more_is_held_than_the_most() {
        let one = |name: &str, finding: Option<Arc<WrittenFinding>>| Remembered {
            setting: Arc::new(Setting::of(&Sbom::default())),
            component: Component {
                purl: Purl::from_canonical(format!("pkg:npm/{name}@1")),
                kind: PackageKind::Npm,
                name: name.to_owned(),
                version: "1".to_owned(),
                architecture: None,
                source: None,
                owner: None,
                locations: vec![],
            },
            part: Arc::new(WrittenPart { findings: finding.into_iter().collect(), gaps: BTreeSet::new() }),
        };
        let mut held = Held::default();
        held.put(1, one("a", None));
        held.put(1, one("a", None));
        held.put(1, one("b", None));
        assert_eq!((held.number, held.parts[&1].len()), (2, 2));
        held.number = PARTS_MAX;
        held.put(2, one("c", None));
        assert_eq!((held.number, held.parts.len()), (1, 1));

        let known = Known::new(index());
        let sbom = Sbom { components: vec![one("a", None).component], ..Sbom::default() };
        let (first, second) = (known.evaluate(&sbom), known.evaluate(&sbom));
        let [first, second] = [first, second].map(|matched| matched.findings);
        assert_eq!(first.findings().len(), 1);
        assert!(std::ptr::eq(first.iter().next().unwrap(), second.iter().next().unwrap()));
        let mut held = known.lock();
        held.findings = FINDINGS_MAX;
        let finding = Arc::new(WrittenFinding::of(first.findings().next().unwrap().clone()));
        held.put(2, one("c", Some(finding)));
        assert_eq!((held.number, held.findings), (1, 1));
    }
}
