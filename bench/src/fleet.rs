//! Images of a made-up fleet: few bases that many share, and packages of which few are everywhere and most are rare
//! (Zipf). Their names and versions are those that real advisories speak of, among others that nobody does.

use std::collections::{BTreeMap, BTreeSet};

use advisory::{Advisory, Ecosystem};
use model::{Component, Distro, Location, PackageKind, Sbom, SourcePackage};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// How many bases there are.
const BASES: usize = 200;
/// Of so many packages of a world, one has an advisory.
const KNOWN_IN: usize = 4;
/// So many versions of a package are about.
const VERSIONS: usize = 12;

/// What images are made of. The same seed makes the same images.
#[derive(Debug)]
pub struct Fleet {
    bases: Vec<(Distro, Vec<Component>)>,
    base: Zipf,
    own: Vec<Component>,
    of_own: Zipf,
    packages: usize,
}

impl Fleet {
    /// From the advisories whose packages shall be met. `packages`: of one image, half of them from its base.
    pub fn new(advisories: &[Advisory], packages: usize) -> Self {
        let mut rng = StdRng::seed_from_u64(1);
        let distros = [
            (distro("debian", "12", "bookworm"), PackageKind::Deb),
            (distro("almalinux", "9.6", ""), PackageKind::Rpm),
            (distro("alpine", "3.20.3", ""), PackageKind::Apk),
        ];
        let worlds: Vec<Vec<Component>> =
            distros.iter().map(|(distro, kind)| world(advisories, *kind, Some(distro), &mut rng)).collect();
        let bases = (0..BASES)
            .map(|base| {
                let at = [0, 0, 0, 1, 1, 2][base % 6];
                let of_world = Zipf::new(worlds[at].len(), 0.8);
                let chosen = distinct(&worlds[at], &of_world, packages / 2, &mut rng);
                (distros[at].0.clone(), chosen)
            })
            .collect();
        let languages = [PackageKind::Npm, PackageKind::PyPi, PackageKind::Golang, PackageKind::Cargo];
        let mut own: Vec<Component> =
            languages.into_iter().flat_map(|kind| world(advisories, kind, None, &mut rng)).collect();
        shuffle(&mut own, &mut rng);
        let (base, of_own) = (Zipf::new(BASES, 1.0), Zipf::new(own.len(), 0.9));
        Self { bases, base, own, of_own, packages }
    }

    /// The image with this number.
    pub fn image(&self, number: u64) -> Sbom {
        let mut rng = StdRng::seed_from_u64(number.wrapping_mul(2).wrapping_add(7));
        let (distro, base) = &self.bases[self.base.draw(&mut rng)];
        let own = distinct(&self.own, &self.of_own, self.packages - base.len(), &mut rng);
        let mut components: Vec<Component> = base.iter().cloned().chain(own).collect();
        components.sort();
        Sbom { distro: Some(distro.clone()), base_layers: Some(1), components, ..Sbom::default() }
    }
}

fn distro(id: &str, version: &str, codename: &str) -> Distro {
    let codename = Some(codename.to_owned()).filter(|name| !name.is_empty());
    Distro { id: id.to_owned(), version: version.to_owned(), codename }
}

/// The packages of one world in some versions, the most used first.
fn world(
    advisories: &[Advisory],
    kind: PackageKind,
    distro: Option<&Distro>,
    rng: &mut StdRng,
) -> Vec<Component> {
    let of = |ecosystem: &Ecosystem| match distro {
        Some(distro) => Ecosystem::of_distro(distro).is_some_and(|own| own == *ecosystem),
        None => ecosystem.kind() == Some(kind),
    };
    let affected = advisories.iter().filter(|a| !a.withdrawn).flat_map(|advisory| &advisory.affected);
    let mut known: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for affected in affected.filter(|affected| of(&affected.ecosystem)) {
        let versions = known.entry(&affected.package).or_default();
        let events = affected.ranges.iter().flat_map(|range| &range.events);
        versions.extend(events.filter_map(fixed));
    }
    let mut packages: Vec<(String, Vec<String>)> = Vec::new();
    for (name, fixed) in known {
        let made = (0..VERSIONS / 2).map(|_| made_version(kind, rng));
        packages.push((
            name.to_owned(),
            fixed.into_iter().map(str::to_owned).take(VERSIONS / 2).chain(made).collect(),
        ));
    }
    for number in 0..packages.len().max(200) * (KNOWN_IN - 1) {
        let versions = (0..VERSIONS).map(|_| made_version(kind, rng)).collect();
        packages.push((format!("made-{number}"), versions));
    }
    shuffle(&mut packages, rng);
    let components = packages.into_iter().flat_map(|(name, versions)| {
        let versions: BTreeSet<String> = versions.into_iter().collect();
        versions.into_iter().filter_map(move |version| component(kind, &name, &version)).collect::<Vec<_>>()
    });
    components.collect()
}

fn fixed(event: &version::Event) -> Option<&str> {
    match event {
        version::Event::Fixed(version) => Some(version),
        _ => None,
    }
}

fn made_version(kind: PackageKind, rng: &mut StdRng) -> String {
    let (major, minor, patch) = (rng.random_range(0..6), rng.random_range(0..30), rng.random_range(0..10));
    match kind {
        PackageKind::Deb | PackageKind::Rpm => format!("{major}.{minor}.{patch}-1"),
        PackageKind::Apk => format!("{major}.{minor}.{patch}-r0"),
        PackageKind::Golang => format!("v{major}.{minor}.{patch}"),
        _ => format!("{major}.{minor}.{patch}"),
    }
}

/// `None` where the two give no package URL.
fn component(kind: PackageKind, name: &str, version: &str) -> Option<Component> {
    let place = format!("pkg:{}/{}@{}", kind.as_str(), name.replace('@', "%40"), version.replace(':', "%3A"));
    let source = matches!(kind, PackageKind::Deb | PackageKind::Apk)
        .then(|| SourcePackage { name: name.to_owned(), version: version.to_owned() });
    Some(Component {
        purl: inventory::purl::parse(&place).ok()?,
        kind,
        name: name.to_owned(),
        version: version.to_owned(),
        architecture: None,
        source,
        owner: None,
        locations: vec![Location { layer: 0, path: format!("usr/share/{name}/metadata.json") }],
    })
}

/// Of each package at most one version.
fn distinct(from: &[Component], zipf: &Zipf, count: usize, rng: &mut StdRng) -> Vec<Component> {
    let mut names = BTreeSet::new();
    let mut chosen = Vec::with_capacity(count);
    while chosen.len() < count {
        let component = &from[zipf.draw(rng)];
        if names.insert((component.kind, component.name.as_str())) {
            chosen.push(component.clone());
        }
    }
    chosen
}

fn shuffle<T>(values: &mut [T], rng: &mut StdRng) {
    for at in (1..values.len()).rev() {
        values.swap(at, rng.random_range(0..=at));
    }
}

/// Draws places of a list, an early one more often than a late one.
#[derive(Debug)]
struct Zipf {
    up_to: Vec<f64>,
}

impl Zipf {
    #[expect(clippy::cast_precision_loss, reason = "places of a list")]
    fn new(length: usize, exponent: f64) -> Self {
        let mut sum = 0.0;
        let weights = (1..=length).map(|rank| (rank as f64).powf(-exponent));
        Self {
            up_to: weights
                .map(|weight| {
                    sum += weight;
                    sum
                })
                .collect(),
        }
    }

    fn draw(&self, rng: &mut StdRng) -> usize {
        let all = self.up_to.last().copied().unwrap_or_default();
        let point = rng.random_range(0.0..all);
        self.up_to.partition_point(|up_to| *up_to <= point).min(self.up_to.len() - 1)
    }
}
