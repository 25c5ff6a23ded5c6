//! All claims about one finding, and what is decided by them.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use model::{VexStatus, VexWord};
use time::OffsetDateTime;

use super::{Evidence, HOLD_SHARE};
use crate::complaint::{Complaint, Effect, Name, Part};
use crate::trust::Voice;
use crate::{Precision, score};

/// What a statement says of a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) document: usize,
    pub(super) statement: usize,
    pub(super) finding: usize,
    pub(super) voice: Voice,
    pub(super) status: VexStatus,
    pub(super) precision: Precision,
    pub(super) timestamp: Option<OffsetDateTime>,
    /// What it weighs without its age.
    pub(super) worth: u32,
    /// And with its age, beside the newest claim on the finding.
    pub(super) score: u32,
}

/// What comes of the claims about a finding.
pub(super) struct Decision {
    pub(super) word: Option<VexWord>,
    pub(super) effects: Vec<(Claim, Effect)>,
    pub(super) complaints: Vec<(Claim, Complaint)>,
}

/// Decides between claims of one finding, of which there is at least one.
pub(super) fn decide(claims: Vec<Claim>, evidence: &[Evidence<'_>]) -> Decision {
    let name = |claim: &Claim| Name::of(evidence[claim.document].document, claim.statement);
    let mut decision = Decision { word: None, effects: Vec::new(), complaints: Vec::new() };
    let mut voices = one_of_each(claims, evidence, &mut decision);
    age(&mut voices);
    voices.sort_by_cached_key(|claim| {
        (Reverse(claim.score), claim.status, Reverse(claim.timestamp), claim.voice.clone(), name(claim))
    });
    let Some(best) = voices.first().cloned() else { return decision };
    let against = voices.iter().find(|claim| contradict(claim.status, best.status)).cloned();
    let heavy = against.as_ref().is_some_and(|claim| claim.score * 100 >= best.score * HOLD_SHARE);
    let held = heavy && best.status.suppresses();
    for claim in voices {
        let part = match (claim == best, claim.status == best.status) {
            (true, _) if held => Part::Held,
            (true, _) => Part::Decides,
            (false, true) => Part::Agrees,
            (false, false) => Part::Outweighed,
        };
        let with = if claim == best { against.as_ref() } else { Some(&best) };
        if let Some(with) = with.filter(|with| contradict(with.status, claim.status)) {
            let complaint = Complaint::Conflict { with: name(with), status: with.status, held };
            decision.complaints.push((claim.clone(), complaint));
        }
        let effect = Effect { finding: claim.finding, part, score: claim.score };
        decision.effects.push((claim, effect));
    }
    decision.word = Some(word(&best, held, evidence));
    decision
}

/// A claim is as old as it is beside the newest: by itself each is fresh, however long ago it was made.
fn age(voices: &mut [Claim]) {
    let Some(newest) = voices.iter().filter_map(|claim| claim.timestamp).max() else {
        // Without any dates none is older than another.
        voices.iter_mut().for_each(|claim| claim.score = claim.worth);
        return;
    };
    for claim in voices {
        claim.score = score::aged(claim.worth, score::freshness(score::age_days(claim.timestamp, newest)));
    }
}

/// Whether one means that something is to be done and the other that nothing is.
const fn contradict(a: VexStatus, b: VexStatus) -> bool {
    matches!(a, VexStatus::Affected) && b.suppresses() || matches!(b, VexStatus::Affected) && a.suppresses()
}

/// Each voice's most precise and then latest claim. The others are shadowed by it.
fn one_of_each(claims: Vec<Claim>, evidence: &[Evidence<'_>], decision: &mut Decision) -> Vec<Claim> {
    let mut voices: BTreeMap<Voice, Vec<Claim>> = BTreeMap::new();
    for claim in claims {
        voices.entry(claim.voice.clone()).or_default().push(claim);
    }
    let mut kept = Vec::with_capacity(voices.len());
    for mut claims in voices.into_values() {
        // In one document of one time the statement that stands last counts, as it does in a log.
        claims.sort_by_cached_key(|claim| {
            let document = evidence[claim.document].document;
            let statement = &document.statements[claim.statement];
            let text = (&statement.id, statement.justification, &statement.impact, &statement.action);
            let of = (&document.id, &document.version, claim.statement);
            (claim.precision, claim.timestamp, claim.worth, Reverse(claim.status), of, text)
        });
        let Some(counts) = claims.pop() else { continue };
        let by = Name::of(evidence[counts.document].document, counts.statement);
        let shadowed = claims.into_iter().map(|claim| (claim, Complaint::Shadowed(by.clone())));
        decision.complaints.extend(shadowed);
        kept.push(counts);
    }
    kept
}

fn word(best: &Claim, held: bool, evidence: &[Evidence<'_>]) -> VexWord {
    let document = evidence[best.document].document;
    let statement = &document.statements[best.statement];
    let detail = match best.status {
        VexStatus::Affected => statement.action.as_ref().or(statement.impact.as_ref()),
        VexStatus::Fixed | VexStatus::NotAffected | VexStatus::UnderInvestigation => {
            statement.impact.as_ref()
        }
    };
    VexWord {
        status: best.status,
        held,
        justification: statement.justification,
        detail: detail.cloned(),
        issuer: best.voice.name.clone(),
        document: document.id.clone(),
        statement: statement.id.clone(),
        score: u16::try_from(best.worth).unwrap_or(VexWord::SCORE_MAX),
    }
}
