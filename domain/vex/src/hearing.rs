//! Statements and an image's findings become one word for each finding, and an answer for each statement.
//!
//! For one finding, each issuer has one voice: its most precise statement, and of those the latest. A document that
//! has a later version says nothing any more, also where the later one is silent. Between voices the heavier claim
//! decides; of two that weigh the same the more careful one, then the later one, then the order of their names. A
//! claim that contradicts (affected against fixed or not affected) and weighs [`HOLD_SHARE`] of it or more holds the
//! suppression until a person decides. Nothing of this depends on the order in which documents are handed over, nor on
//! today: keys, and what is dated later, are judged as of when a document was taken in, and claims are as fresh as the
//! newest of them leaves them. So the same documents always come to the same word.

mod claims;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use model::{Finding, VexWord};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use self::claims::{Claim, decide};
use crate::complaint::{Complaint, Heard, Name};
use crate::trust::{Directory, Origin, Standing, Voice};
use crate::{Document, NearMiss, Product, Statement, Subject, score};

/// Of a hundred: how heavy a contradiction has to be beside what it contradicts.
const HOLD_SHARE: u32 = 75;
/// So much later than it was taken in a document may be dated: nobody's clock is right.
const CLOCKS_DIFFER: Duration = Duration::hours(1);
/// Near misses of one statement that are told.
const NEAR_MAX: usize = 8;

/// A document with where it is from.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The document.
    pub document: &'a Document,
    /// Where it is from.
    pub origin: &'a Origin,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hearing {
    /// For each finding what is said of it.
    pub words: Vec<Option<VexWord>>,
    /// For each statement what became of it, by document and statement.
    pub heard: Vec<Heard>,
}

/// Hears all documents about an image's findings. `as_of` decides nothing: it is for telling what is stale.
pub fn hear(
    findings: &[Finding],
    subject: &Subject<'_>,
    evidence: &[Evidence<'_>],
    directory: &Directory,
    as_of: OffsetDateTime,
) -> Hearing {
    let hearer = Hearer::of(findings, subject, evidence, directory, as_of);
    let latest = hearer.latest();
    let (mut claims, mut heard) = (BTreeMap::new(), Vec::new());
    for (document, one) in evidence.iter().enumerate() {
        let superseded = latest[document].map(|by| Name::of(evidence[by].document, usize::MAX));
        for statement in 0..one.document.statements.len() {
            let (complaints, own) = hearer.statement(document, statement, superseded.as_ref());
            heard.push(Heard { document, statement, effects: Vec::new(), complaints });
            own.into_iter()
                .for_each(|claim: Claim| claims.entry(claim.finding).or_insert_with(Vec::new).push(claim));
        }
    }
    let mut words = vec![None; findings.len()];
    let mut firsts = Vec::with_capacity(evidence.len());
    for one in evidence {
        let before = firsts.last().copied().unwrap_or(0_usize);
        firsts.push(before + one.document.statements.len());
    }
    let place =
        |claim: &Claim| claim.statement + claim.document.checked_sub(1).map_or(0, |before| firsts[before]);
    for (finding, claims) in claims {
        let decision = decide(claims, evidence);
        words[finding] = decision.word;
        for (claim, effect) in decision.effects {
            heard[place(&claim)].effects.push(effect);
        }
        for (claim, complaint) in decision.complaints {
            heard[place(&claim)].complaints.push(complaint);
        }
    }
    for one in &mut heard {
        one.effects.sort_unstable();
        one.complaints.sort_unstable();
        one.complaints.dedup();
    }
    Hearing { words, heard }
}

/// The words that [`hear`] comes to, and nothing of the rest. Statements that speak of none of the findings cost no more
/// than a look at their names.
pub fn words(
    findings: &[Finding],
    subject: &Subject<'_>,
    evidence: &[Evidence<'_>],
    directory: &Directory,
) -> Vec<Option<VexWord>> {
    let hearer = Hearer::of(findings, subject, evidence, directory, OffsetDateTime::UNIX_EPOCH);
    let latest = hearer.latest();
    let mut claims: BTreeMap<usize, Vec<Claim>> = BTreeMap::new();
    for (document, one) in evidence.iter().enumerate() {
        if latest[document].is_some() || hearer.standings[document].refused.is_some() {
            continue;
        }
        for (at, statement) in one.document.statements.iter().enumerate() {
            if !hearer.about(statement).is_empty() {
                let (_, own) = hearer.statement(document, at, None);
                own.into_iter().for_each(|claim| claims.entry(claim.finding).or_default().push(claim));
            }
        }
    }
    let mut words = vec![None; findings.len()];
    for (finding, claims) in claims {
        words[finding] = decide(claims, evidence).word;
    }
    words
}

/// Findings by all names of their vulnerability.
fn by_name(findings: &[Finding]) -> HashMap<String, Vec<usize>> {
    let mut named: HashMap<String, Vec<usize>> = HashMap::new();
    for (at, finding) in findings.iter().enumerate() {
        let advisories = finding.advisories.iter().map(|advisory| &advisory.advisory);
        for name in [&finding.vulnerability].into_iter().chain(&finding.aliases).chain(advisories) {
            let of = named.entry(name.to_ascii_uppercase()).or_default();
            if of.last() != Some(&at) {
                of.push(at);
            }
        }
    }
    named
}

struct Hearer<'a> {
    findings: &'a [Finding],
    subject: &'a Subject<'a>,
    evidence: &'a [Evidence<'a>],
    standings: Vec<Standing>,
    named: HashMap<String, Vec<usize>>,
    as_of: OffsetDateTime,
}

impl<'a> Hearer<'a> {
    fn of(
        findings: &'a [Finding],
        subject: &'a Subject<'a>,
        evidence: &'a [Evidence<'a>],
        directory: &Directory,
        as_of: OffsetDateTime,
    ) -> Self {
        let standings = evidence.iter().map(|e| directory.judge(e.document, e.origin)).collect();
        Self { findings, subject, evidence, standings, named: by_name(findings), as_of }
    }

    /// For each document the one that came after it in its line, if any. A line is of one voice.
    fn latest(&self) -> Vec<Option<usize>> {
        let mut lines: HashMap<(&Voice, &str), usize> = HashMap::new();
        let age = |at: usize| {
            let document = self.evidence[at].document;
            (document.timestamp, number(&document.version), &document.version)
        };
        let counts = |at: usize| {
            let stamp = self.evidence[at].document.timestamp;
            self.standings[at].refused.is_none() && !self.is_to_come(at, stamp)
        };
        for at in (0..self.evidence.len()).filter(|at| counts(*at)) {
            let line = (&self.standings[at].voice, self.evidence[at].document.id.as_str());
            let last = lines.entry(line).or_insert(at);
            if age(at) > age(*last) {
                *last = at;
            }
        }
        let after = |at: usize| {
            let line = (&self.standings[at].voice, self.evidence[at].document.id.as_str());
            lines.get(&line).copied().filter(|last| counts(at) && age(*last) > age(at))
        };
        (0..self.evidence.len()).map(after).collect()
    }

    /// Whether a time that is said in a document was still to come when that was taken in.
    fn is_to_come(&self, document: usize, said: Option<OffsetDateTime>) -> bool {
        let taken_in = self.evidence[document].origin.taken_in;
        said.is_some_and(|said| said > taken_in.saturating_add(CLOCKS_DIFFER))
    }

    /// What is wrong with a statement, and what it claims.
    fn statement(
        &self,
        document: usize,
        at: usize,
        superseded: Option<&Name>,
    ) -> (Vec<Complaint>, Vec<Claim>) {
        let (one, standing) = (self.evidence[document], &self.standings[document]);
        let statement = &one.document.statements[at];
        let mut complaints = Vec::new();
        let mut claims = self.claims(document, at, &mut complaints);
        complaints.extend(standing.doubt.clone().map(Complaint::Doubted));
        match score::age_days(statement.timestamp, self.as_of) {
            None => complaints.push(Complaint::Undated),
            Some(days) if days >= 2 * score::HALF_LIFE_DAYS => complaints.push(Complaint::Stale(days)),
            Some(_) => {}
        }
        if let Some(doubt) = &standing.refused {
            complaints.push(Complaint::Refused(doubt.clone()));
            claims.clear();
        }
        if let Some(by) = superseded {
            complaints.push(Complaint::Shadowed(by.clone()));
            claims.clear();
        }
        if let Some(when) = statement.timestamp.filter(|when| self.is_to_come(document, Some(*when))) {
            complaints.push(Complaint::NotYet(when.format(&Rfc3339).unwrap_or_default()));
            claims.clear();
        }
        for claim in &mut claims {
            claim.worth = score::worth(standing.provenance, claim.precision, one.document, statement);
        }
        (complaints, claims)
    }

    /// Which findings it speaks of; and of none, why.
    fn claims(&self, document: usize, at: usize, complaints: &mut Vec<Complaint>) -> Vec<Claim> {
        let one = self.evidence[document];
        let statement = &one.document.statements[at];
        let about = self.about(statement);
        let mut reach = Reach::default();
        for product in &statement.products {
            self.product(product, one.origin.attached, &about, &mut reach);
        }
        if reach.claims.is_empty() {
            complaints.extend(reach.why(statement, about.is_empty()));
        }
        complaints.extend(reach.elsewhere.into_iter().map(Complaint::Elsewhere));
        let voice = self.standings[document].voice.clone();
        let claim = |(finding, precision)| Claim {
            document,
            statement: at,
            finding,
            voice: voice.clone(),
            status: statement.status,
            precision,
            timestamp: statement.timestamp,
            worth: 0,
            score: 0,
        };
        reach.claims.into_iter().map(claim).collect()
    }

    /// The findings of the vulnerability.
    fn about(&self, statement: &Statement) -> Vec<usize> {
        let names = statement.vulnerability.iter().map(|name| name.to_ascii_uppercase());
        let mut about: Vec<usize> =
            names.filter_map(|name| self.named.get(&name)).flatten().copied().collect();
        about.sort_unstable();
        about.dedup();
        about
    }

    fn product(&self, product: &Product, attached: bool, about: &[usize], reach: &mut Reach) {
        let place = self.subject.find(product, attached);
        reach.is_there |= place.all.is_some() || !place.components.is_empty();
        let purl = |at: usize| &self.subject.component(at).purl;
        for finding in about.iter().copied() {
            let of = &self.findings[finding].purl;
            let all = place.all.into_iter();
            let own =
                place.components.iter().filter(|(at, _)| purl(*at) == of).map(|(_, precision)| *precision);
            // A purl that is there more than once is meant only when all of it is.
            let part = self.subject.of_purl(of).iter().any(|at| place.elsewhere.contains(at));
            match all.chain(own).max() {
                Some(_) if part && place.all.is_none() => _ = reach.elsewhere.insert(of.to_string()),
                Some(precision) => {
                    let known = reach.claims.entry(finding).or_insert(precision);
                    *known = precision.max(*known);
                }
                None if part => _ = reach.elsewhere.insert(of.to_string()),
                None => {
                    let near = place.near.iter().filter(|near| near.found == of.as_str() || !is_purl(near));
                    reach.near.extend(near.cloned());
                }
            }
        }
    }
}

/// What a statement's products come to in the image.
#[derive(Default)]
struct Reach {
    claims: BTreeMap<usize, crate::Precision>,
    is_there: bool,
    elsewhere: std::collections::BTreeSet<String>,
    near: std::collections::BTreeSet<NearMiss>,
}

impl Reach {
    fn why(&mut self, statement: &Statement, unknown: bool) -> Vec<Complaint> {
        let near = std::mem::take(&mut self.near).into_iter().take(NEAR_MAX);
        let near: Vec<Complaint> = near.map(Complaint::NearMiss).collect();
        if !near.is_empty() || !self.elsewhere.is_empty() {
            return near;
        }
        let name = statement.vulnerability.first().cloned().unwrap_or_default();
        let product = statement.products.first().map(ToString::to_string).unwrap_or_default();
        let more = statement.products.len().saturating_sub(1);
        let product = if more == 0 { product } else { format!("{product} (and {more} more)") };
        vec![match (self.is_there, unknown) {
            (true, _) => Complaint::VulnerabilityNotFound(name),
            (false, _) => Complaint::ProductNotFound(product),
        }]
    }
}

/// What is near may be the image itself.
fn is_purl(near: &NearMiss) -> bool {
    near.found.starts_with("pkg:")
}

/// Versions of documents are mostly numbers, and compare so: the numbers in them, one after the other.
fn number(version: &str) -> Vec<u64> {
    version.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}
