//! A fleet that no one has, made like those that people have: few bases in most images, repositories of many builds that
//! differ in a few packages, and packages of which few are everywhere and most are rare. The same each time.

use std::collections::HashMap;

/// Packages of an image.
pub(crate) const PACKAGES: usize = 300;
/// Builds of a repository.
const BUILDS: u64 = 50;
const BASES: u64 = 400;
/// Bases that are releases of one line.
const LINE: u64 = 10;
const NAMES: u64 = 60_000;
const TENANTS: u64 = 1_000;

pub(crate) struct Fleet {
    pub(crate) images: u32,
    numbers: HashMap<(u64, u64), u32>,
    /// How many of the images that were counted have each package version.
    pub(crate) having: Vec<u32>,
}

impl Fleet {
    pub(crate) fn new(images: u32) -> Self {
        Self { images, numbers: HashMap::new(), having: Vec::new() }
    }

    /// The tenant of an image, and the numbers of its package versions, sorted.
    pub(crate) fn image(&mut self, image: u32) -> (u64, Vec<u32>) {
        let (repository, build) = (u64::from(image) / BUILDS, u64::from(image) % BUILDS);
        let base = skewed(mix(repository, 1), BASES);
        let own = 120 + mix(repository, 2) % 100;
        let in_base = PACKAGES as u64 - own;
        let line = base / LINE;
        let mut all: Vec<u32> = (0..in_base)
            .map(|place| {
                // A release brings some packages in a new version.
                let version = (base % LINE) / (1 + mix(line, place) % 9);
                self.number(line << 32 | place, version | 1 << 40)
            })
            .collect();
        for place in 0..own {
            let chosen = mix(repository, 100 + place);
            let name = skewed(chosen, NAMES);
            let age = skewed(mix(chosen, 3), 20) + build / (1 + mix(chosen, 4) % 40);
            all.push(self.number(name, age));
        }
        all.sort_unstable();
        all.dedup();
        (skewed(mix(repository, 5), TENANTS), all)
    }

    /// As [`Self::image`], and counts it.
    pub(crate) fn counted(&mut self, image: u32) -> (u64, Vec<u32>) {
        let (tenant, all) = self.image(image);
        for id in &all {
            self.having[*id as usize - 1] += 1;
        }
        (tenant, all)
    }

    pub(crate) fn pairs(&self) -> u64 {
        self.having.iter().map(|n| u64::from(*n)).sum()
    }

    pub(crate) fn versions(&self) -> usize {
        self.having.len()
    }

    /// Package versions that about so many images have.
    pub(crate) fn with_about(&self, hits: usize) -> Vec<i32> {
        let near = |n: u32| (n as usize) * 5 >= hits * 4 && (n as usize) * 4 <= hits * 5;
        let all = (1..).zip(&self.having).filter(|(_, n)| near(**n)).map(|(id, _)| id);
        let all: Vec<i32> = all.collect();
        // From all over, and not the first made.
        let step = (all.len() / 300).max(1);
        all.into_iter().step_by(step).collect()
    }

    fn number(&mut self, name: u64, version: u64) -> u32 {
        let next = u32::try_from(self.having.len()).unwrap_or(u32::MAX) + 1;
        let number = *self.numbers.entry((name, version)).or_insert(next);
        if number == next {
            self.having.push(0);
        }
        number
    }
}

/// Below `n`, a half of the scale for each halving of the rank: Zipf's law with exponent 1.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "between 0 and n"
)]
fn skewed(random: u64, n: u64) -> u64 {
    let share = (random >> 11) as f64 / (1u64 << 53) as f64;
    ((n as f64).powf(share) as u64 - 1).min(n - 1)
}

/// SplitMix64 of two numbers.
fn mix(a: u64, b: u64) -> u64 {
    let mut z = a.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(b.wrapping_mul(0xd1b5_4a32_d192_ed03));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
