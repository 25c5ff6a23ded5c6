//! Why a result is not to be trusted, as a verdict keeps it: a list of state, place and what is missing there.

use model::{Gap, GapKind};
use serde_json::{Value, json};

use crate::Error;
use crate::row::{text, word};

/// Gaps as the column holds them.
pub(crate) fn rows(gaps: &[Gap]) -> Value {
    gaps.iter().map(|Gap { kind, place, what }| json!([kind.as_str(), text(place), text(what)])).collect()
}

/// Gaps from their column; none where they were not kept.
pub(crate) fn read(stored: Option<&Value>) -> Result<Option<Vec<Gap>>, Error> {
    let Some(stored) = stored.filter(|stored| !stored.is_null()) else { return Ok(None) };
    let corrupt =
        || Error::Corrupt { table: "verdict", source: "its gaps are no list of three texts".into() };
    let gap = |stored: &Value| {
        let text = |place: usize| stored[place].as_str().ok_or_else(corrupt);
        let kind = word("verdict", text(0)?, GapKind::from_word)?;
        Ok(Gap::new(kind, text(1)?, text(2)?))
    };
    stored.as_array().ok_or_else(corrupt)?.iter().map(gap).collect::<Result<_, Error>>().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_come_back_as_they_were_kept_and_nothing_else_is_read() {
        let gaps =
            vec![Gap::new(GapKind::MissingFeed, "npm", "a\0b"), Gap::new(GapKind::PartialScan, "", "")];
        let mut kept = gaps.clone();
        kept[0].what = "a\u{fffd}b".to_owned();
        assert_eq!(read(Some(&rows(&gaps))).unwrap(), Some(kept));
        assert_eq!(read(Some(&json!([]))).unwrap(), Some(vec![]));
        assert_eq!(read(None).unwrap(), None);
        assert_eq!(read(Some(&Value::Null)).unwrap(), None);
        for wrong in [json!({}), json!([["clean", "a", "b"]]), json!([["missing-feed", "a"]]), json!(["a"])] {
            assert!(read(Some(&wrong)).is_err(), "{wrong}");
        }
    }
}
