//! What a node has learned and may forget.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A map that forgets everything when it is full: what is in use comes again.
#[derive(Debug)]
pub(crate) struct Remembered<K, V> {
    held: Mutex<HashMap<K, V>>,
    most: usize,
}

impl<K: Eq + Hash, V: Clone> Remembered<K, V> {
    /// At most so many.
    pub(crate) fn new(most: usize) -> Self {
        Self { held: Mutex::default(), most }
    }

    /// What is known of this key.
    pub(crate) fn get(&self, key: &K) -> Option<V> {
        self.lock().get(key).cloned()
    }

    /// What is known of each of these keys.
    pub(crate) fn get_all(&self, keys: impl Iterator<Item = K>) -> Vec<Option<V>> {
        let held = self.lock();
        keys.map(|key| held.get(&key).cloned()).collect()
    }

    /// Remembers it.
    pub(crate) fn put(&self, key: K, value: V) {
        let mut held = self.lock();
        if held.len() >= self.most {
            held.clear();
        }
        held.insert(key, value);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, V>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_held_than_the_most() {
        let map = Remembered::new(2);
        map.put(1, "a");
        map.put(2, "b");
        assert_eq!(map.get_all([1, 2, 3].into_iter()), [Some("a"), Some("b"), None]);
        map.put(3, "c");
        assert_eq!(map.get_all([1, 2, 3].into_iter()), [None, None, Some("c")]);
        assert_eq!(map.get(&3), Some("c"));
    }
}
