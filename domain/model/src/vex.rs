//! What a supplier says of a vulnerability in its product (VEX): the words, and how a finding carries them.

/// What is said. Ordered: where two are equally trusted, the earlier one is the more careful, and counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum VexStatus {
    /// Something is to be done.
    Affected,
    /// Not known yet.
    UnderInvestigation,
    /// This product has the fix.
    Fixed,
    /// Nothing is to be done.
    NotAffected,
}

impl VexStatus {
    /// Every status, in its order.
    pub const ALL: [Self; 4] = [Self::Affected, Self::UnderInvestigation, Self::Fixed, Self::NotAffected];

    /// The word for it, which is OpenVEX's.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Affected => "affected",
            Self::UnderInvestigation => "under_investigation",
            Self::Fixed => "fixed",
            Self::NotAffected => "not_affected",
        }
    }

    /// The status with this name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Whether a finding of which it is said need not be looked at.
    pub const fn suppresses(self) -> bool {
        matches!(self, Self::Fixed | Self::NotAffected)
    }
}

/// Why a product is not affected (CISA, "VEX status justifications").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Justification {
    /// The component is not in the product.
    ComponentNotPresent,
    /// The component is, the code is not.
    VulnerableCodeNotPresent,
    /// The code is never run.
    VulnerableCodeNotInExecutePath,
    /// The code is run, but an attacker has no hold on it.
    VulnerableCodeCannotBeControlledByAdversary,
    /// Something in the product stands before it.
    InlineMitigationsAlreadyExist,
}

impl Justification {
    /// Every justification, in its order.
    pub const ALL: [Self; 5] = [
        Self::ComponentNotPresent,
        Self::VulnerableCodeNotPresent,
        Self::VulnerableCodeNotInExecutePath,
        Self::VulnerableCodeCannotBeControlledByAdversary,
        Self::InlineMitigationsAlreadyExist,
    ];

    /// The word for it, which OpenVEX and CSAF share.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ComponentNotPresent => "component_not_present",
            Self::VulnerableCodeNotPresent => "vulnerable_code_not_present",
            Self::VulnerableCodeNotInExecutePath => "vulnerable_code_not_in_execute_path",
            Self::VulnerableCodeCannotBeControlledByAdversary => {
                "vulnerable_code_cannot_be_controlled_by_adversary"
            }
            Self::InlineMitigationsAlreadyExist => "inline_mitigations_already_exist",
        }
    }

    /// The justification with this name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|justification| justification.as_str() == word)
    }
}

/// What VEX says of a finding, all statements heard.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct VexWord {
    /// What the statement that counts says.
    pub status: VexStatus,
    /// Whether others contradict it so much that a person has to decide. Until then nothing is suppressed.
    pub held: bool,
    /// Why the product is not affected, where that is said.
    pub justification: Option<Justification>,
    /// More of it, in the issuer's words.
    pub detail: Option<String>,
    /// Who says so.
    pub issuer: String,
    /// The document's id.
    pub document: String,
    /// The statement's id within the document.
    pub statement: String,
    /// How far it is trusted, of [`Self::SCORE_MAX`]; its age is left out, so that a day's passing is no change.
    pub score: u16,
}

impl VexWord {
    /// The score of a statement that is trusted in every way.
    pub const SCORE_MAX: u16 = 10_000;

    /// Whether the finding need not be looked at.
    pub const fn suppresses(&self) -> bool {
        self.status.suppresses() && !self.held
    }
}
