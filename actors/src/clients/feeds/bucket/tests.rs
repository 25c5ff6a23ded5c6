//! A bucket of a few records on a server that answers by path, and can be told to stumble.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use advisory::formats::by_word;

use super::super::Limits;
use super::super::tests::{client, zipped};
use super::*;
use crate::clients::test_server::{answer, serve_by};

const BASE: &str = "/osv/crates.io";

/// What lies in the bucket, by path below the ecosystem, and the requests that were made.
#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<(BTreeMap<String, Vec<u8>>, Vec<String>)>>);

impl Shelf {
    fn put(&self, name: &str, bytes: &[u8]) {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.0.insert(format!("{BASE}/{name}"), bytes.to_vec());
    }

    fn take_away(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.remove(&format!("{BASE}/{name}"));
    }

    /// The paths that were asked for since the last time.
    fn asked(&self) -> Vec<String> {
        let mut asked = std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).1);
        asked.sort();
        asked.iter().map(|path| path.trim_start_matches(BASE).trim_start_matches('/').to_owned()).collect()
    }

    fn answer(&self, head: &str) -> Vec<u8> {
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.1.push(path.clone());
        match shelf.0.get(&path) {
            None => answer("404 Not Found", "", b""),
            Some(bytes) if bytes == b"500" => answer("500 Oh", "", b""),
            Some(bytes) => {
                let etag = format!("etag: \"{}\"\r\n", model::Digest::of(bytes));
                let known = head.to_lowercase().contains(&format!("if-none-match: {}", &etag[6..]));
                if known { answer("304 Not Modified", &etag, b"") } else { answer("200 OK", &etag, bytes) }
            }
        }
    }
}

struct Scene {
    shelf: Shelf,
    uri: String,
    feeds: Feeds,
}

/// What one reading gave: whether it was whole, what was read and what was set aside, and the cursor.
type Reading = (bool, Vec<String>, Vec<String>, Option<String>);

impl Scene {
    async fn new() -> Self {
        let shelf = Shelf::default();
        let told = shelf.clone();
        let host = serve_by(move |head| told.answer(head)).await;
        Self { shelf, uri: format!("bucket+http://{host}{BASE}"), feeds: client(Limits::default()) }
    }

    async fn read(&self, cursor: Option<&str>, whole: bool) -> Result<Option<Reading>, String> {
        let format = by_word("osv").expect("it is in the table");
        let opened = self.feeds.open(&self.uri, cursor, whole, format).await;
        match opened.map_err(|error| error.to_string())? {
            Opened::Unchanged { .. } => Ok(None),
            Opened::Records { whole, mark, records, .. } => {
                let read = tokio::task::spawn_blocking(|| records.collect::<Result<Vec<_>, _>>());
                let (mut good, mut bad) = (vec![], vec![]);
                for record in read.await.expect("no panic").map_err(|error| error.to_string())? {
                    match record {
                        Record::Document { place, .. } => good.push(place),
                        Record::Unreadable { place, .. } | Record::Ignored { place, .. } => bad.push(place),
                    }
                }
                Ok(Some((whole, good, bad, mark.cursor().await)))
            }
        }
    }
}

/// A list of changes: ids, and the hour each changed at.
fn list(changes: &[(&str, u32)]) -> Vec<u8> {
    changes.iter().map(|(id, hour)| format!("2026-06-01T{hour:02}:00:00Z,{id}\n")).collect::<String>().into()
}

fn json(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| format!("{id}.json")).collect()
}

#[tokio::test]
async fn everything_is_read_once_and_then_only_what_changes() {
    let scene = Scene::new().await;
    scene.shelf.put("all.zip", &zipped(&[("A.json", b"{}"), ("B.json", b"{}")]));
    scene.shelf.put("modified_id.csv", &list(&[("B", 3), ("A", 1)]));
    let (whole, good, bad, first) = scene.read(None, false).await.unwrap().unwrap();
    assert_eq!((whole, good, bad), (true, json(&["A", "B"]), vec![]));
    assert_eq!(scene.shelf.asked(), ["all.zip", "modified_id.csv"]);
    assert_eq!(scene.read(first.as_deref(), false).await, Ok(None), "the list is as it was");
    assert_eq!(scene.shelf.asked(), ["modified_id.csv"]);

    scene.shelf.put("modified_id.csv", &list(&[("C", 5), ("B", 3), ("A", 1)]));
    scene.shelf.put("B.json", b"{}");
    scene.shelf.put("C.json", b"{}");
    let (whole, good, _, second) = scene.read(first.as_deref(), false).await.unwrap().unwrap();
    assert_eq!((whole, good), (false, json(&["B", "C"])), "B changed just before all was read");
    scene.shelf.asked();
    scene.shelf.put("modified_id.csv", &list(&[("C", 6), ("B", 3), ("A", 1)]));
    let (_, good, ..) = scene.read(second.as_deref(), false).await.unwrap().unwrap();
    assert_eq!(
        (good, scene.shelf.asked()),
        (json(&["C"]), json(&["C"]).into_iter().chain(["modified_id.csv".to_owned()]).collect())
    );
    let (whole, ..) = scene.read(second.as_deref(), true).await.unwrap().unwrap();
    assert!(whole, "now and then everything is wanted");
}

#[tokio::test]
async fn what_is_listed_and_cannot_be_had_is_tried_again() {
    let scene = Scene::new().await;
    scene.shelf.put("all.zip", &zipped(&[("A.json", b"{}")]));
    scene.shelf.put("modified_id.csv", &list(&[("A", 1)]));
    let (.., cursor) = scene.read(None, false).await.unwrap().unwrap();
    scene.shelf.put("modified_id.csv", &list(&[("gone", 7), ("ill", 6), ("B", 5), ("A", 1)]));
    scene.shelf.put("ill.json", b"500");
    scene.shelf.put("A.json", b"{}");
    scene.shelf.put("B.json", b"{}");
    let (_, good, bad, cursor) = scene.read(cursor.as_deref(), false).await.unwrap().unwrap();
    assert_eq!((good, bad), (json(&["A", "B"]), json(&["gone", "ill"])));
    scene.shelf.put("ill.json", b"{}");
    let (_, good, bad, cursor) = scene.read(cursor.as_deref(), false).await.unwrap().unwrap();
    assert_eq!((good, bad), (json(&["ill"]), json(&["gone"])), "though the list is as it was");
    scene.shelf.put("modified_id.csv", &list(&[("ill", 6), ("B", 5), ("A", 1)]));
    assert_eq!(scene.read(cursor.as_deref(), false).await, Ok(None), "what is not listed is not missed");
}

#[tokio::test]
async fn a_server_in_trouble_ends_the_reading() {
    let scene = Scene::new().await;
    scene.shelf.put("all.zip", &zipped(&[("A.json", b"{}")]));
    scene.shelf.put("modified_id.csv", &list(&[("A", 1)]));
    let (.., cursor) = scene.read(None, false).await.unwrap().unwrap();
    let ids: Vec<_> = (0..20).map(|n| format!("X-{n:02}")).collect();
    let changes: Vec<_> = ids.iter().map(|id| (id.as_str(), 9)).collect();
    scene.shelf.put("modified_id.csv", &list(&changes));
    ids.iter().for_each(|id| scene.shelf.put(&format!("{id}.json"), b"500"));
    let error = scene.read(cursor.as_deref(), false).await.unwrap_err();
    assert!(error.ends_with("answered 500"), "{error}");
    scene.shelf.take_away("modified_id.csv");
    let error = scene.read(cursor.as_deref(), false).await.unwrap_err();
    assert!(error.ends_with("modified_id.csv answered 404"), "{error}");
}

#[test]
fn names_are_one_step_below_the_bucket() {
    let base = Url::parse("https://example.org/osv/Red%20Hat/").unwrap();
    assert_eq!(below(&base, "RHSA-2026:1.json").unwrap().path(), "/osv/Red%20Hat/RHSA-2026:1.json");
    assert_eq!(below(&base, "a?b#c/..json").unwrap().path(), "/osv/Red%20Hat/a%3Fb%23c%2F..json");
}
