//! A sorted map whose copies share what they have in common.
//!
//! Its entries lie in sorted chunks; a change to a copy copies the chunks that it touches and no other.
//! So the next state of the advisories costs what is new in it, and the one before stays as it was.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::sync::Arc;

/// So many entries make a chunk full: enough that a map is few chunks, few enough to copy one at each change.
const FULL: usize = 256;

/// A sorted map in shared chunks. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Chunks<K, V> {
    /// None is empty; their keys ascend, within each and from each to the next.
    chunks: Vec<Arc<Vec<(K, V)>>>,
}

impl<K, V> Default for Chunks<K, V> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

impl<K: Ord + Clone, V: Clone> Chunks<K, V> {
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// What is kept under the key.
    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entry(key).map(|(_, value)| value)
    }

    /// The key as it is kept, and what is kept under it.
    pub(crate) fn entry<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&(K, V)>
    where
        K: Borrow<Q>,
    {
        let chunk = self.chunks.get(self.chunk_of(key)?)?;
        let place = chunk.binary_search_by(|(at, _)| at.borrow().cmp(key)).ok()?;
        chunk.get(place)
    }

    /// What is kept under the key, to be changed in this copy only.
    pub(crate) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let chunk = self.chunk_of(key)?;
        let place = self.chunks[chunk].binary_search_by(|(at, _)| at.borrow().cmp(key)).ok()?;
        Some(&mut Arc::make_mut(&mut self.chunks[chunk])[place].1)
    }

    /// Keeps the value under the key, instead of what was kept there.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        let Some(at) = self.chunk_of(&key) else {
            self.chunks.push(Arc::new(vec![(key, value)]));
            return;
        };
        let full = self.chunks[at].len() >= FULL;
        match self.chunks[at].binary_search_by(|(kept, _)| kept.cmp(&key)) {
            Ok(place) => Arc::make_mut(&mut self.chunks[at])[place].1 = value,
            // What comes in order fills chunks, and does not halve them.
            Err(FULL) if at + 1 == self.chunks.len() => self.chunks.push(Arc::new(vec![(key, value)])),
            Err(_) if full => {
                let upper = Arc::make_mut(&mut self.chunks[at]).split_off(FULL / 2);
                self.chunks.insert(at + 1, Arc::new(upper));
                self.insert(key, value);
            }
            Err(place) => Arc::make_mut(&mut self.chunks[at]).insert(place, (key, value)),
        }
    }

    /// Takes out what is kept under the key.
    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let at = self.chunk_of(key)?;
        let place = self.chunks[at].binary_search_by(|(kept, _)| kept.borrow().cmp(key)).ok()?;
        if self.chunks[at].len() == 1 {
            return self.chunks.remove(at).first().map(|(_, value)| value.clone());
        }
        Some(Arc::make_mut(&mut self.chunks[at]).remove(place).1)
    }

    /// All entries by key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.chunks.iter().flat_map(|chunk| chunk.iter()).map(|(key, value)| (key, value))
    }

    /// The entries that do not lie in a chunk that both share: all that differ, and their neighbours.
    pub(crate) fn apart_from<'a>(
        &'a self,
        other: &Self,
    ) -> impl Iterator<Item = (&'a K, &'a V)> + use<'a, K, V> {
        let shared: HashSet<_> = other.chunks.iter().map(Arc::as_ptr).collect();
        let own = self.chunks.iter().filter(move |chunk| !shared.contains(&Arc::as_ptr(chunk)));
        own.flat_map(|chunk| chunk.iter()).map(|(key, value)| (key, value))
    }

    /// The entries from this key on.
    pub(crate) fn from<'a>(&'a self, key: &K) -> impl Iterator<Item = (&'a K, &'a V)> + use<'a, K, V> {
        let first = self.chunk_of(key).unwrap_or_default();
        let skipped = self.chunks.get(first).map_or(0, |chunk| chunk.partition_point(|(at, _)| at < key));
        let chunks = self.chunks.iter().skip(first);
        chunks.flat_map(|chunk| chunk.iter()).skip(skipped).map(|(key, value)| (key, value))
    }

    /// The chunk that holds the key if any does; `None` when there are no chunks.
    fn chunk_of<Q: Ord + ?Sized>(&self, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
    {
        let after = self.chunks.partition_point(|chunk| chunk[0].0.borrow() <= key);
        (!self.chunks.is_empty()).then(|| after.saturating_sub(1))
    }

    /// How many chunks two copies share, and how many this one has.
    #[cfg(test)]
    pub(crate) fn shared_with(&self, other: &Self) -> (usize, usize) {
        let is_shared = |chunk: &&Arc<Vec<(K, V)>>| other.chunks.iter().any(|o| Arc::ptr_eq(o, chunk));
        (self.chunks.iter().filter(is_shared).count(), self.chunks.len())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a plain map, and the copy made halfway stays as it was.
        #[test]
        fn it_is_a_map_and_copies_do_not_change(
            steps in prop::collection::vec((0_u32..2_000, prop::bool::weighted(0.7)), 0..3_000),
            ascending in any::<bool>(),
        ) {
            let (mut chunks, mut plain) = (Chunks::default(), BTreeMap::new());
            let mut halfway = (chunks.clone(), plain.clone());
            for (step, (key, keep)) in (0_u32..).zip(&steps) {
                let key = if ascending && *keep { step } else { *key };
                if *keep {
                    chunks.insert(key, step);
                    plain.insert(key, step);
                } else {
                    prop_assert_eq!(chunks.remove(&key), plain.remove(&key));
                }
                if step as usize == steps.len() / 2 {
                    halfway = (chunks.clone(), plain.clone());
                }
            }
            for (chunks, plain) in [(chunks, plain), halfway] {
                prop_assert!(chunks.iter().eq(plain.iter()));
                prop_assert_eq!(chunks.is_empty(), plain.is_empty());
                for key in 0..2_000 {
                    prop_assert_eq!(chunks.get(&key), plain.get(&key));
                    if key % 97 == 0 {
                        prop_assert!(chunks.from(&key).eq(plain.range(key..)), "from {}", key);
                    }
                }
            }
        }
    }

    #[test]
    fn a_change_copies_one_chunk() {
        let mut chunks = Chunks::default();
        (0..10_000).for_each(|key| chunks.insert(key, key));
        let mut next = chunks.clone();
        *next.get_mut(&5_000).unwrap() = 7;
        assert_eq!(next.shared_with(&chunks), (39, 40));
        let apart: Vec<_> = next.apart_from(&chunks).collect();
        assert!(apart.contains(&(&5_000, &7)) && apart.len() <= FULL, "{}", apart.len());
        assert_eq!((chunks.get(&5_000), next.get(&5_000)), (Some(&5_000), Some(&7)));
    }
}
