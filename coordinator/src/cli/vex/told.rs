//! A statement with what became of it, as people read it; whoever heard it, this machine or the server.

use std::fmt;

use super::super::words::count;

/// One statement.
pub(super) struct Told {
    /// Where its document is: a file, or where the server has it from.
    pub place: String,
    /// Its id.
    pub statement: String,
    /// The vulnerability's name.
    pub vulnerability: String,
    /// What is said.
    pub status: String,
    /// The first of its products.
    pub product: String,
    /// How many products there are besides.
    pub more_products: usize,
    /// What it has effect on.
    pub effects: Vec<Effect>,
    /// How many effects there are besides.
    pub more_effects: usize,
    /// What is to be known of it: the kind, and the same for people.
    pub complaints: Vec<(String, String)>,
}

/// A finding that a statement speaks of.
pub(super) struct Effect {
    pub part: String,
    pub vulnerability: String,
    pub purl: String,
    pub score: u32,
}

/// What all statements come to.
pub(super) struct Summary {
    pub heard: u64,
    pub effective: u64,
    pub findings: u64,
    pub suppressed: u64,
    pub held: u64,
}

impl Told {
    /// What it says, and below what comes of it.
    pub(super) fn lines(&self) -> Vec<String> {
        let Self { place, statement, vulnerability, status, product, .. } = self;
        let more =
            if self.more_products == 0 { String::new() } else { format!(" and {} more", self.more_products) };
        let says = format!("{place} {statement}: {vulnerability} {status} {product}{more}");
        let effects = self.effects.iter().map(ToString::to_string);
        let more = (self.more_effects > 0).then(|| format!("  and {} more", self.more_effects));
        let complaints = self.complaints.iter().map(|(kind, text)| format!("  {kind}: {text}"));
        [says].into_iter().chain(effects).chain(more).chain(complaints).collect()
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { part, vulnerability, purl, score } = self;
        write!(f, "  {part}: {vulnerability} of {purl}, score {score}")
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} with effect; of {} {} suppressed, {} held",
            count(self.heard, "statement"),
            self.effective,
            count(self.findings, "finding"),
            self.suppressed,
            self.held,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_followed_by_what_comes_of_it() {
        let effect = Effect {
            part: "decides".to_owned(),
            vulnerability: "CVE-1".to_owned(),
            purl: "pkg:npm/a@1".to_owned(),
            score: 7000,
        };
        let told = Told {
            place: "a.json".to_owned(),
            statement: "#0".to_owned(),
            vulnerability: "CVE-1".to_owned(),
            status: "fixed".to_owned(),
            product: "pkg:npm/a".to_owned(),
            more_products: 2,
            effects: vec![effect],
            more_effects: 3,
            complaints: vec![("unsigned".to_owned(), "it is not signed".to_owned())],
        };
        assert_eq!(
            told.lines(),
            [
                "a.json #0: CVE-1 fixed pkg:npm/a and 2 more",
                "  decides: CVE-1 of pkg:npm/a@1, score 7000",
                "  and 3 more",
                "  unsigned: it is not signed",
            ]
        );
        let summary = Summary { heard: 1, effective: 1, findings: 2, suppressed: 1, held: 0 };
        assert_eq!(summary.to_string(), "1 statement: 1 with effect; of 2 findings 1 suppressed, 0 held");
    }
}
