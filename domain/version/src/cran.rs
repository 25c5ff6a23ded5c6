//! R's `package_version` ("Writing R Extensions", section 1.1.1): numbers between dots and hyphens.

use crate::key::Key;

pub(crate) fn key(text: &str) -> Result<Key, &'static str> {
    let mut key = Key::default();
    key.numbers(text.split(['.', '-']))?;
    Ok(key)
}
