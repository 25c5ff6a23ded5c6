//! What is known of vulnerabilities beside advisories: whether they are exploited, and how likely it is.
//!
//! It changes no finding and no verdict's digest; it helps people to decide what comes first.
//! Two sources: CISA's Known Exploited Vulnerabilities catalogue (JSON, its schema of 2024) and FIRST's
//! Exploit Prediction Scoring System (CSV: `cve,epss,percentile`, behind a comment with date and model).

use std::collections::{BTreeMap, BTreeSet};

use model::Problem;
use serde::Deserialize;

/// More entries than either source will have for many years.
const ENTRIES_MAX: usize = 1_000_000;
/// Bytes of a name; a CVE has not half as many.
const NAME_BYTES: usize = 32;
/// Problems that are told; the rest is as good as these.
const PROBLEMS_MAX: usize = 100;

/// The catalogues that say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Catalogue {
    /// CISA's, of what is known to be exploited.
    Kev,
    /// FIRST's, of how likely it is.
    Epss,
}

impl Catalogue {
    /// Every catalogue.
    pub const ALL: [Self; 2] = [Self::Kev, Self::Epss];
    /// Bytes that one is read of at most, unpacked.
    pub const BYTES_MAX: usize = 64 << 20;

    /// The word for it as a feed's format.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kev => "kev",
            Self::Epss => "epss",
        }
    }

    /// The catalogue with this name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|catalogue| catalogue.as_str() == word)
    }
}

/// What is known of one vulnerability.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its CVE.
    pub name: String,
    /// Whether it is known to be exploited.
    pub exploited: bool,
    /// How likely that is, where there is a score.
    pub score: Option<Score>,
}

/// What is known beside advisories, by CVE.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Enrichment {
    exploited: BTreeSet<String>,
    scores: BTreeMap<String, Score>,
}

/// How likely it is that a vulnerability is exploited in the next 30 days.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Its probability, from 0 to 1.
    pub probability: f64,
    /// The share of all vulnerabilities that score no higher, from 0 to 1.
    pub percentile: f64,
}

/// A catalogue that cannot be used at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCatalogue {
    /// It is not what its format says.
    #[error("it is not a {format}: {why}")]
    Malformed {
        /// Which format.
        format: &'static str,
        /// What is wrong.
        why: String,
    },
    /// It has more entries than are read.
    #[error("it has more than {ENTRIES_MAX} entries")]
    TooMuch,
}

const EPSS: &str = "EPSS table";

#[derive(Deserialize)]
struct KevDoc {
    vulnerabilities: Vec<KevEntry>,
}

#[derive(Deserialize)]
struct KevEntry {
    #[serde(rename = "cveID")]
    cve: String,
}

impl Enrichment {
    /// Adds a catalogue. Answers the entries that could not be read.
    pub fn add(&mut self, catalogue: Catalogue, bytes: &[u8]) -> Result<Vec<Problem>, InvalidCatalogue> {
        match catalogue {
            Catalogue::Kev => self.add_kev(bytes),
            Catalogue::Epss => {
                let why = |error: std::str::Utf8Error| error.to_string();
                let text = std::str::from_utf8(bytes).map_err(why);
                self.add_epss(text.map_err(|why| InvalidCatalogue::Malformed { format: EPSS, why })?)
            }
        }
    }

    /// Adds what is known of one vulnerability.
    pub fn insert(&mut self, entry: Entry) {
        let Entry { name, exploited, score } = entry;
        if let Some(score) = score {
            let known = self.scores.entry(name.clone()).or_insert(score);
            if score.probability > known.probability {
                *known = score;
            }
        }
        if exploited {
            self.exploited.insert(name);
        }
    }

    /// All of it, by name.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        let names: BTreeSet<&String> = self.exploited.iter().chain(self.scores.keys()).collect();
        names.into_iter().map(|name| Entry {
            name: name.clone(),
            exploited: self.exploited.contains(name),
            score: self.scores.get(name).copied(),
        })
    }

    /// Adds the vulnerabilities of CISA's catalogue, whose JSON these bytes are. Answers the entries that name no CVE.
    pub fn add_kev(&mut self, bytes: &[u8]) -> Result<Vec<Problem>, InvalidCatalogue> {
        const FORMAT: &str = "KEV catalogue";
        let malformed = |why: String| InvalidCatalogue::Malformed { format: FORMAT, why };
        let document: KevDoc = serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        if document.vulnerabilities.len() > ENTRIES_MAX {
            return Err(InvalidCatalogue::TooMuch);
        }
        let mut problems = Vec::new();
        for (at, entry) in document.vulnerabilities.into_iter().enumerate() {
            match cve(&entry.cve) {
                Some(cve) => drop(self.exploited.insert(cve)),
                None => note(&mut problems, format!("vulnerabilities[{at}]"), "it names no CVE"),
            }
        }
        Ok(problems)
    }

    /// Adds EPSS scores from their CSV. Answers the lines that could not be read.
    pub fn add_epss(&mut self, text: &str) -> Result<Vec<Problem>, InvalidCatalogue> {
        let mut lines =
            (1..).zip(text.lines()).filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let head = lines.next().map_or("", |(_, line)| line);
        if head.trim() != "cve,epss,percentile" {
            let why = "its first line is not cve,epss,percentile".to_owned();
            return Err(InvalidCatalogue::Malformed { format: EPSS, why });
        }
        let mut problems = Vec::new();
        for (number, line) in lines {
            match score(line) {
                Some((cve, score)) => drop(self.scores.insert(cve, score)),
                None => note(
                    &mut problems,
                    format!("line {number}"),
                    "it is not a CVE and two numbers from 0 to 1",
                ),
            }
            if self.scores.len() > ENTRIES_MAX {
                return Err(InvalidCatalogue::TooMuch);
            }
        }
        Ok(problems)
    }

    /// Whether one of these names is known to be exploited.
    pub fn is_exploited<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> bool {
        names.into_iter().any(|name| self.exploited.contains(name))
    }

    /// The highest score of these names.
    pub fn score<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Option<Score> {
        let scores = names.into_iter().filter_map(|name| self.scores.get(name)).copied();
        scores.max_by(|a, b| a.probability.total_cmp(&b.probability))
    }

    /// How many vulnerabilities are known to be exploited, and how many have a score.
    pub fn counts(&self) -> (usize, usize) {
        (self.exploited.len(), self.scores.len())
    }
}

fn note(problems: &mut Vec<Problem>, place: String, what: &str) {
    if problems.len() < PROBLEMS_MAX {
        problems.push(Problem { place, what: what.to_owned() });
    }
}

fn cve(text: &str) -> Option<String> {
    let text = text.trim();
    let number = text.strip_prefix("CVE-").filter(|_| text.len() <= NAME_BYTES)?;
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    is_number.then(|| text.to_owned())
}

fn score(line: &str) -> Option<(String, Score)> {
    let mut cells = line.split(',');
    let (name, probability, percentile) = (cve(cells.next()?)?, cells.next()?, cells.next()?);
    let share = |text: &str| text.trim().parse().ok().filter(|share| (0.0..=1.0).contains(share));
    let score = Score { probability: share(probability)?, percentile: share(percentile)? };
    cells.next().is_none().then_some((name, score))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read as _;

    use super::*;

    #[test]
    fn the_catalogue_of_exploited_vulnerabilities_is_read() {
        let mut enrichment = Enrichment::default();
        let text = br#"{"count":2,"vulnerabilities":[{"cveID":"CVE-2021-44228","x":1},{"cveID":"none"}]}"#;
        let problems = enrichment.add_kev(text).unwrap();
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].place, "vulnerabilities[1]");
        assert!(enrichment.is_exploited(["GHSA-1", "CVE-2021-44228"]));
        assert!(!enrichment.is_exploited(["CVE-2021-4422"]));
        assert!(enrichment.add_kev(b"[]").is_err());
        assert!(enrichment.add_kev(b"{}").is_err());
    }

    #[test]
    fn scores_are_read_and_the_highest_counts() {
        let mut enrichment = Enrichment::default();
        let text = "#model_version:v2025.03.14,score_date:2026-07-31\ncve,epss,percentile\n\
                    CVE-2021-44228,0.94358,0.99961\nCVE-2026-1,0.00042,0.1\nCVE-2026-2,1.5,0.1\nCVE-2026-3\n";
        let problems = enrichment.add_epss(text).unwrap();
        assert_eq!(problems.iter().map(|p| p.place.as_str()).collect::<Vec<_>>(), ["line 5", "line 6"]);
        assert_eq!(enrichment.counts(), (0, 2));
        let highest = enrichment.score(["CVE-2026-1", "CVE-2021-44228"]).unwrap();
        assert_eq!((highest.probability, highest.percentile), (0.94358, 0.99961));
        assert_eq!(enrichment.score(["CVE-2026-2"]), None);
        assert!(enrichment.add_epss("cve;epss\n").is_err());
        assert!(enrichment.add_epss("").is_err());
    }

    #[test]
    fn what_was_read_comes_out_by_name_and_goes_in_again() {
        let mut enrichment = Enrichment::default();
        enrichment
            .add(Catalogue::Kev, br#"{"vulnerabilities":[{"cveID":"CVE-2-2"},{"cveID":"CVE-1-1"}]}"#)
            .unwrap();
        enrichment.add(Catalogue::Epss, b"cve,epss,percentile\nCVE-2-2,0.5,0.25\nCVE-3-3,0,1\n").unwrap();
        let entries: Vec<Entry> = enrichment.entries().collect();
        let known: Vec<_> =
            entries.iter().map(|e| (e.name.as_str(), e.exploited, e.score.is_some())).collect();
        assert_eq!(known, [("CVE-1-1", true, false), ("CVE-2-2", true, true), ("CVE-3-3", false, true)]);
        let mut again = Enrichment::default();
        entries.into_iter().for_each(|entry| again.insert(entry));
        assert_eq!(again, enrichment);
        let low = Score { probability: 0.1, percentile: 0.9 };
        again.insert(Entry { name: "CVE-2-2".to_owned(), exploited: false, score: Some(low) });
        assert_eq!(again, enrichment, "the higher score stays");
        assert!(enrichment.add(Catalogue::Epss, b"cve,epss,percentile\n\xff").is_err());
        for catalogue in Catalogue::ALL {
            assert_eq!(Catalogue::from_word(catalogue.as_str()), Some(catalogue));
        }
    }

    #[test]
    fn only_what_looks_like_a_cve_is_a_name() {
        assert_eq!(cve(" CVE-2026-1 ").as_deref(), Some("CVE-2026-1"));
        for none in
            ["CVE-", "CVE-2026-1x", "cve-2026-1", "CVE-2026-1\0", &format!("CVE-1-{}", "1".repeat(32))]
        {
            assert_eq!(cve(none), None, "{none:?}");
        }
    }

    #[test]
    fn the_real_catalogue_is_read_without_loss() {
        let Ok(file) = File::open("../../../shared/data/native/kev-2025-08-25.json.zst") else {
            return println!("skipped: the shared data are not part of the project");
        };
        let mut text = Vec::new();
        zstd::Decoder::new(file).unwrap().read_to_end(&mut text).unwrap();
        let mut enrichment = Enrichment::default();
        assert_eq!(enrichment.add_kev(&text).unwrap(), []);
        assert_eq!(enrichment.counts(), (1404, 0));
        assert!(enrichment.is_exploited(["CVE-2025-48384"]));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_reading_panic(text in "(cve,epss,percentile\n)?(CVE-[0-9]{0,3},[-0-9.e]{0,6},\\PC{0,5}\n?){0,5}\\PC{0,9}") {
            drop(Enrichment::default().add_epss(&text));
            drop(Enrichment::default().add_kev(text.as_bytes()));
        }
    }
}
