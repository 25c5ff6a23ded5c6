//! A finding as a document in canonical JSON (RFC 8785): what is hashed, and what is kept.
//!
//! Canonical JSON sorts the members of an object. Here the fields below are in that order, and there are
//! only lists and texts, so that what `serde_json` writes is canonical; a test holds it against the rule.
//! The general canonicalizer takes longer over an image's findings than finding them.
//!
//! A new field of a finding is one line in [`FindingDoc`] and one in each of the two conversions.

use std::borrow::Cow;
use std::sync::Arc;

use model::{
    AdvisoryMatch, Digest, Finding, FixState, Justification, NoFix, Notice, Purl, Severity, VexStatus,
    VexWord,
};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct FindingDoc<'a> {
    advisories: Vec<AdvisoryDoc<'a>>,
    aliases: Cow<'a, [String]>,
    /// No versions: not fixed.
    fixed: Cow<'a, [String]>,
    package: Cow<'a, str>,
    purl: Cow<'a, str>,
    severity: Cow<'a, str>,
    version: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vex: Option<VexDoc<'a>>,
    vulnerability: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
struct VexDoc<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<Cow<'a, str>>,
    document: Cow<'a, str>,
    /// Left out where nobody contradicts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    held: Option<Cow<'a, str>>,
    issuer: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    justification: Option<Cow<'a, str>>,
    score: String,
    statement: Cow<'a, str>,
    status: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
struct AdvisoryDoc<'a> {
    advisory: Cow<'a, str>,
    feed: Cow<'a, str>,
    fixed: Cow<'a, [String]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    no_fix: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    notice: Option<Cow<'a, str>>,
    reason: Cow<'a, str>,
}

/// Why a document is no finding's.
#[derive(Debug, thiserror::Error)]
pub enum NoFinding {
    /// It is not of the form.
    #[error("it is not of the form of a finding")]
    Form(#[from] serde_json::Error),
    /// A word in it means nothing.
    #[error("{field} holds {text:?}, which means nothing")]
    Word {
        /// Which field.
        field: &'static str,
        /// What it holds.
        text: String,
    },
}

/// A finding and its document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenFinding {
    finding: Finding,
    document: Vec<u8>,
    digest: [u8; 32],
}

impl WrittenFinding {
    /// Writes it.
    pub fn of(finding: Finding) -> Self {
        let document = to_document(&finding);
        let digest = model::sha256(&document);
        Self { finding, document, digest }
    }

    /// The finding.
    pub const fn finding(&self) -> &Finding {
        &self.finding
    }

    /// Its document.
    pub fn document(&self) -> &[u8] {
        &self.document
    }

    /// The SHA-256 of its document.
    pub const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }
}

/// Findings in canonical form, written once: what is hashed, compared and kept. In the one order that their digest has;
/// the order in which they are handed over does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    findings: Vec<Arc<WrittenFinding>>,
    digest: Digest,
}

impl Written {
    /// Writes them.
    pub fn of(findings: Vec<Finding>) -> Self {
        Self::together(findings.into_iter().map(|finding| Arc::new(WrittenFinding::of(finding))).collect())
    }

    /// Those that are written already.
    pub fn together(mut findings: Vec<Arc<WrittenFinding>>) -> Self {
        findings.sort_by(|a, b| a.finding.cmp(&b.finding));
        let digest = digest_of_documents(findings.iter().map(|written| written.document()));
        Self { findings, digest }
    }

    /// With these words on the findings, in their order. Those on which there is none stay as they are.
    #[must_use]
    pub fn told(self, words: Vec<Option<VexWord>>) -> Self {
        let told = self.findings.into_iter().zip(words).map(|(written, word)| match word {
            None => written,
            word => Arc::new(WrittenFinding::of(Finding { vex: word, ..written.finding.clone() })),
        });
        Self::together(told.collect())
    }

    /// Sorted.
    pub fn findings(&self) -> impl ExactSizeIterator<Item = &Finding> {
        self.iter().map(WrittenFinding::finding)
    }

    /// Each with its document. Sorted.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &WrittenFinding> {
        self.findings.iter().map(|written| &**written)
    }

    /// Digest of all the documents as one list: [`findings_digest`].
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }
}

/// The digest by which two sets of findings are the same, in whatever order. Everything in a finding counts, the
/// reasons too: whoever compares digests keeps rows that say all of it.
pub fn findings_digest(findings: &[Finding]) -> Digest {
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort();
    let documents: Vec<_> = sorted.into_iter().map(to_document).collect();
    digest_of_documents(documents.iter().map(Vec::as_slice))
}

/// The digest of findings whose documents these are, in canonical order.
pub fn digest_of_documents<'a>(documents: impl IntoIterator<Item = &'a [u8]>) -> Digest {
    let mut list = b"[".to_vec();
    for (place, document) in documents.into_iter().enumerate() {
        if place > 0 {
            list.push(b',');
        }
        list.extend_from_slice(document);
    }
    list.push(b']');
    Digest::of(&list)
}

/// The finding's document.
pub fn to_document(finding: &Finding) -> Vec<u8> {
    let advisories = finding.advisories.iter().map(|advisory| AdvisoryDoc {
        advisory: advisory.advisory.as_str().into(),
        feed: advisory.feed.as_str().into(),
        fixed: advisory.fixed_versions.as_slice().into(),
        no_fix: advisory.no_fix.map(|reason| reason.as_str().into()),
        notice: advisory.notice.map(|notice| notice.as_str().into()),
        reason: advisory.reason.as_str().into(),
    });
    let document = FindingDoc {
        advisories: advisories.collect(),
        aliases: finding.aliases.as_slice().into(),
        fixed: finding.fix.versions().into(),
        package: finding.package.as_str().into(),
        purl: finding.purl.as_str().into(),
        severity: finding.severity.as_str().into(),
        version: finding.version.as_str().into(),
        vex: finding.vex.as_ref().map(vex_document),
        vulnerability: finding.vulnerability.as_str().into(),
    };
    serde_json::to_vec(&document).expect("there are only lists and texts in it")
}

fn vex_document(word: &VexWord) -> VexDoc<'_> {
    VexDoc {
        detail: word.detail.as_deref().map(Cow::from),
        document: word.document.as_str().into(),
        held: word.held.then(|| HELD.into()),
        issuer: word.issuer.as_str().into(),
        justification: word.justification.map(|justification| justification.as_str().into()),
        score: word.score.to_string(),
        statement: word.statement.as_str().into(),
        status: word.status.as_str().into(),
    }
}

const HELD: &str = "yes";

/// The finding whose document this is.
pub fn from_document(document: &[u8]) -> Result<Finding, NoFinding> {
    let read: FindingDoc<'_> = serde_json::from_slice(document)?;
    let advisories: Vec<_> = read.advisories.into_iter().map(advisory).collect::<Result<_, _>>()?;
    let severity = Severity::from_word(&read.severity).ok_or_else(|| no_word("severity", &read.severity))?;
    Ok(Finding {
        vulnerability: read.vulnerability.into_owned(),
        aliases: read.aliases.into_owned(),
        purl: Purl::from_canonical(read.purl.into_owned()),
        package: read.package.into_owned(),
        version: read.version.into_owned(),
        severity,
        fix: FixState::of(read.fixed.into_owned(), advisories.iter().map(|a| a.no_fix)),
        advisories,
        vex: read.vex.map(vex).transpose()?,
    })
}

fn vex(read: VexDoc<'_>) -> Result<VexWord, NoFinding> {
    let justification_of =
        |word: &str| Justification::from_word(word).ok_or_else(|| no_word("justification", word));
    Ok(VexWord {
        status: VexStatus::from_word(&read.status).ok_or_else(|| no_word("status", &read.status))?,
        held: match read.held.as_deref() {
            None => false,
            Some(HELD) => true,
            Some(other) => return Err(no_word("held", other)),
        },
        justification: read.justification.as_deref().map(justification_of).transpose()?,
        detail: read.detail.map(Cow::into_owned),
        issuer: read.issuer.into_owned(),
        document: read.document.into_owned(),
        statement: read.statement.into_owned(),
        score: read.score.parse().map_err(|_| no_word("score", &read.score))?,
    })
}

fn advisory(read: AdvisoryDoc<'_>) -> Result<AdvisoryMatch, NoFinding> {
    let reason_of = |word: &str| NoFix::from_word(word).ok_or_else(|| no_word("no_fix", word));
    let notice_of = |word: &str| Notice::from_word(word).ok_or_else(|| no_word("notice", word));
    Ok(AdvisoryMatch {
        advisory: read.advisory.into_owned(),
        feed: read.feed.parse().map_err(|_| no_word("feed", &read.feed))?,
        reason: read.reason.into_owned(),
        fixed_versions: read.fixed.into_owned(),
        no_fix: read.no_fix.as_deref().map(reason_of).transpose()?,
        notice: read.notice.as_deref().map(notice_of).transpose()?,
    })
}

fn no_word(field: &'static str, text: &str) -> NoFinding {
    NoFinding::Word { field, text: text.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Text that an escape could get wrong.
    const TEXT: &str = "[\x00-\x22\\/a\x7f\u{e4}\u{2028}\u{fb33}\u{1f600}]{0,12}";

    proptest! {
        #[test]
        fn what_is_hashed_is_canonical_json_and_reads_back(
            text in TEXT,
            texts in prop::collection::vec(TEXT, 0..3),
            no_fix: bool,
            said: bool,
        ) {
            let no_fix = no_fix.then_some(NoFix::Unimportant);
            let evidence = AdvisoryMatch {
                advisory: text.clone(),
                feed: "f".parse().unwrap(),
                reason: text.clone(),
                fixed_versions: texts.clone(),
                no_fix,
                notice: said.then_some(Notice::Unsound),
            };
            let finding = Finding {
                vulnerability: text.clone(),
                aliases: texts.clone(),
                purl: Purl::from_canonical(text.clone()),
                package: text.clone(),
                version: text.clone(),
                severity: Severity::High,
                fix: FixState::of(texts, [no_fix]),
                advisories: vec![evidence],
                vex: said.then(|| VexWord {
                    status: VexStatus::NotAffected,
                    held: no_fix.is_some(),
                    justification: Some(Justification::ComponentNotPresent),
                    detail: no_fix.is_none().then(|| text.clone()),
                    issuer: text.clone(),
                    document: text.clone(),
                    statement: text.clone(),
                    score: 7_000,
                }),
            };
            let written = to_document(&finding);
            let parsed: serde_json::Value = serde_json::from_slice(&written).unwrap();
            prop_assert_eq!(serde_json_canonicalizer::to_vec(&parsed).unwrap(), written.clone());
            prop_assert_eq!(from_document(&written).unwrap(), finding);
        }
    }

    #[test]
    fn a_document_that_is_no_findings_is_refused_by_its_field() {
        let good = r#"{"advisories":[{"advisory":"A","feed":"f","fixed":[],"no_fix":"end-of-life","reason":"r"}],
            "aliases":[],"fixed":[],"package":"p","purl":"pkg:npm/p@1","severity":"low","version":"1","vulnerability":"V"}"#;
        from_document(good.as_bytes()).unwrap();
        for (right, wrong, says) in [
            ("\"low\"", "\"huge\"", "severity holds \"huge\", which means nothing"),
            ("\"no_fix\":\"end-of-life\"", "\"notice\":\"x\"", "notice holds \"x\", which means nothing"),
            ("end-of-life", "bored", "no_fix holds \"bored\", which means nothing"),
            ("\"f\"", "\"F F\"", "feed holds \"F F\", which means nothing"),
            ("\"aliases\":[]", "\"aliases\":0", "it is not of the form of a finding"),
        ] {
            let refused = from_document(good.replace(right, wrong).as_bytes()).unwrap_err();
            assert_eq!(refused.to_string(), says);
        }
    }
}
