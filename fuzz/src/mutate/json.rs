//! Changes of JSON: a value anywhere in it becomes another.

use serde_json::{Value, json};

use super::{Sources, bytes};

/// `None` where it is no JSON.
pub(super) fn change(input: &[u8], sources: &mut Sources<'_>) -> Option<Vec<u8>> {
    let mut document: Value = serde_json::from_slice(input).ok()?;
    let count = count(&document);
    let other = pick(&mut document.clone(), sources.random.below(count))?.clone();
    let changed = pick(&mut document, sources.random.below(count))?;
    match sources.random.below(9) {
        0 => *changed = other,
        1 => *changed = nest(changed.take(), sources.random.length(200)),
        2 => *changed = known(sources),
        3 => {
            let elsewhere = serde_json::from_slice::<Value>(&sources.other()).ok()?;
            let at = sources.random.below(self::count(&elsewhere));
            *changed = pick(&mut elsewhere.clone(), at)?.clone();
        }
        4 => remove(changed, sources),
        5 => add(changed, other, sources),
        6 => repeat(changed, sources),
        _ => text(changed, sources),
    }
    serde_json::to_vec(&document).ok()
}

fn known(sources: &mut Sources<'_>) -> Value {
    let word = sources.word();
    serde_json::from_slice(&word).unwrap_or_else(|_| String::from_utf8_lossy(&word).into())
}

fn nest(value: Value, depth: usize) -> Value {
    (0..depth).fold(value, |inner, level| if level % 2 == 0 { json!([inner]) } else { json!({ "a": inner }) })
}

fn remove(value: &mut Value, sources: &mut Sources<'_>) {
    match value {
        Value::Array(list) if !list.is_empty() => drop(list.remove(sources.random.below(list.len()))),
        Value::Object(map) if !map.is_empty() => {
            let key = map.keys().nth(sources.random.below(map.len())).cloned();
            drop(key.and_then(|key| map.remove(&key)));
        }
        _ => *value = Value::Null,
    }
}

fn add(value: &mut Value, more: Value, sources: &mut Sources<'_>) {
    match value {
        Value::Array(list) => list.insert(sources.random.below(list.len() + 1), more),
        Value::Object(map) => {
            map.insert(String::from_utf8_lossy(&sources.word()).into_owned(), more);
        }
        _ => *value = more,
    }
}

fn repeat(value: &mut Value, sources: &mut Sources<'_>) {
    if let Value::Array(list) = value
        && let Some(entry) = sources.random.pick(list).cloned()
        && count(&entry) < 100
    {
        list.extend(std::iter::repeat_n(entry, sources.random.length(600)));
    }
}

fn text(value: &mut Value, sources: &mut Sources<'_>) {
    match value {
        Value::String(text) => {
            let changed = bytes::change(std::mem::take(text).into_bytes(), sources);
            *text = String::from_utf8_lossy(&changed).into_owned();
        }
        _ => *value = known(sources),
    }
}

/// How many values there are, this one included.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(list) => list.iter().map(count).sum(),
        Value::Object(map) => map.values().map(count).sum(),
        _ => 0,
    }
}

/// The value of this number.
fn pick(value: &mut Value, number: usize) -> Option<&mut Value> {
    if number == 0 {
        return Some(value);
    }
    let inner: Box<dyn Iterator<Item = &mut Value>> = match value {
        Value::Array(list) => Box::new(list.iter_mut()),
        Value::Object(map) => Box::new(map.values_mut()),
        _ => return None,
    };
    let mut left = number - 1;
    for value in inner {
        let inside = count(value);
        if left < inside {
            return pick(value, left);
        }
        left -= inside;
    }
    None
}
