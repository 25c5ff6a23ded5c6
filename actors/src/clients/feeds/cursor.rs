//! What was read last, so that only what is new is fetched: kept with the feed, as text that only this file reads.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// A mark of a state of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// What HTTP calls this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) etag: Option<String>,
    /// When HTTP says that it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) modified: Option<String>,
    /// Of a bucket: how far its list of changes was followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bucket: Option<Followed>,
}

/// How far a bucket's list of changes was followed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Followed {
    /// Everything that changed before this time was read, as Unix time in microseconds.
    pub(super) until_us: i64,
    /// And these of that very time.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) then: BTreeSet<String>,
    /// What was listed and could not be read: tried again each time.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) again: BTreeSet<String>,
}

impl Cursor {
    /// From what is kept with a feed. What cannot be read is forgotten: then everything is read.
    pub(super) fn parse(text: Option<&str>) -> Self {
        match text {
            None => Self::default(),
            Some(text) if text.starts_with('{') => serde_json::from_str(text).unwrap_or_default(),
            // As it was kept at first.
            Some(etag) => Self { etag: Some(etag.to_owned()), ..Self::default() },
        }
    }

    /// To be kept with the feed; none when nothing marks this state.
    pub(super) fn text(&self) -> Option<String> {
        if *self == Self::default() {
            return None;
        }
        Some(serde_json::to_string(self).expect("a cursor is plain text and numbers"))
    }

    /// What a `Range` may be asked with: a mark that is never the same for other bytes.
    pub(super) fn strong(&self) -> Option<&str> {
        let etag = self.etag.as_deref().filter(|etag| !etag.starts_with("W/"));
        etag.or(self.modified.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_kept() {
        let followed = Followed {
            until_us: 1_780_000_000_123_456,
            then: ["A-1".to_owned()].into(),
            again: ["A-2".to_owned()].into(),
        };
        let whole = Cursor { etag: Some("\"v1\"".to_owned()), modified: None, bucket: Some(followed) };
        let text = whole.text().expect("it marks something");
        assert_eq!(Cursor::parse(Some(&text)), whole);
        assert_eq!(Cursor::default().text(), None);
        assert_eq!(Cursor::parse(Some("{broken")), Cursor::default());
    }

    #[test]
    fn a_plain_etag_is_an_old_cursor() {
        let cursor = Cursor::parse(Some("\"v1\""));
        assert_eq!((cursor.etag.as_deref(), cursor.strong()), (Some("\"v1\""), Some("\"v1\"")));
    }

    #[test]
    fn weak_marks_are_no_good_for_parts() {
        let weak = Cursor { etag: Some("W/\"v1\"".to_owned()), ..Cursor::default() };
        assert_eq!(weak.strong(), None);
        let dated = Cursor { modified: Some("Sun, 31 May 2026 00:00:00 GMT".to_owned()), ..weak };
        assert!(dated.strong().is_some());
    }
}
