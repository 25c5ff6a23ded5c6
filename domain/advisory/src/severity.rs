//! How bad: from CVSS vectors of any version, or from the word a feed uses.

use std::str::FromStr as _;

use model::Severity;
use polycvss::{Vector, v2, v3};

/// Which generation of CVSS said it. A later one takes the word from the ones before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Generation {
    V2,
    V3,
    V4,
}

/// What a CVSS vector says by its base metrics. The error says what is wrong with it.
pub(crate) fn of_vector(text: &str) -> Result<(Generation, Severity), String> {
    let vector = Vector::from_str(text).map_err(|error| error.to_string())?;
    Ok(match vector.to_string().get(..6) {
        Some("CVSS:4") => (Generation::V4, Severity::from_score(polycvss::Score::from(vector).into())),
        Some("CVSS:3") => {
            let base = v3::Scores::from(v3::Vector::from(vector)).base;
            (Generation::V3, Severity::from_score(base.into()))
        }
        _ => {
            let base = v2::Scores::from(v2::Vector::from(vector)).base;
            // Version 2 ends at high: nothing in it is critical (NVD, "Vulnerability Metrics").
            (Generation::V2, Severity::from_score(base.into()).min(Severity::High))
        }
    })
}

/// What a feed's word means; `None` when it says that nobody has looked yet.
pub(crate) fn of_word(word: &str) -> Option<Severity> {
    match word.to_ascii_lowercase().as_str() {
        "critical" => Some(Severity::Critical),
        "high" | "important" => Some(Severity::High),
        "medium" | "moderate" => Some(Severity::Medium),
        "low" | "minor" => Some(Severity::Low),
        "none" | "negligible" | "unimportant" => Some(Severity::None),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_every_generation_are_scored() {
        use Generation::{V2, V3, V4};
        for (vector, expected) in [
            ("AV:N/AC:L/Au:N/C:C/I:C/A:C", (V2, Severity::High)),
            ("AV:L/AC:H/Au:M/C:P/I:N/A:N", (V2, Severity::Low)),
            ("CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:L/I:L/A:N", (V3, Severity::Medium)),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", (V3, Severity::Critical)),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H/E:U/RL:O/RC:U", (V3, Severity::Critical)),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", (V3, Severity::None)),
            ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:N/VI:N/VA:H/SC:N/SI:N/SA:N", (V4, Severity::High)),
        ] {
            assert_eq!(of_vector(vector), Ok(expected), "{vector}");
        }
    }

    #[test]
    fn what_is_no_vector_is_refused() {
        for bad in ["", "9.8", "CVSS:3.1/AV:N", "CVSS:9.9/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "äöüäöüäöü"]
        {
            assert!(of_vector(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn words_of_feeds_are_understood_in_any_case() {
        assert_eq!(of_word("MODERATE"), Some(Severity::Medium));
        assert_eq!(of_word("negligible"), Some(Severity::None));
        assert_eq!(of_word("not yet assigned"), None);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_scoring_panic(text in "(CVSS:[234].[01]/)?([A-Z]{1,3}:[A-Z]{1,2}/?){0,14}\\PC{0,3}") {
            let _ = of_vector(&text);
        }
    }
}
