//! Haskell's package versioning policy, as `Data.Version` orders it: numbers between dots, `1.0` below `1.0.0`.

use crate::key::Key;

pub(crate) fn key(text: &str) -> Result<Key, &'static str> {
    let mut key = Key::default();
    key.numbers(text.split('.'))?;
    Ok(key)
}
