//! Issuers and what was changed of them, as the contract writes them.

use proto_api::issuer::v1 as wire;
use store::issuers::AuditedChange;
use vex::signature::Key;
use vex::trust::{Entry, IssuerChangeKind, Scope, Tier};

use super::super::convert;

/// An issuer as whoever asks sees it.
pub(super) fn issuer(entry: &Entry) -> wire::Issuer {
    let default_tier = entry.trusted.map(|_| convert::tier(entry.tier));
    wire::Issuer {
        issuer_id: entry.id.clone(),
        name: entry.name.clone(),
        authors: entry.authors.clone(),
        tier: convert::tier(entry.trusted.unwrap_or(entry.tier)).into(),
        shared: entry.scope == Scope::Global,
        keys: entry.keys.iter().map(key).collect(),
        default_tier: default_tier.unwrap_or_default().into(),
        create_time: Some(convert::timestamp(entry.created_at)),
        change_time: Some(convert::timestamp(entry.changed_at)),
        retire_time: entry.retired_at.map(convert::timestamp),
    }
}

fn key(key: &Key) -> wire::Key {
    wire::Key {
        key_id: key.id().to_owned(),
        material: key.material().as_str().to_owned(),
        start_time: key.valid_from.map(convert::timestamp),
        end_time: key.valid_until.map(convert::timestamp),
        revoke_time: key.revoked_at.map(convert::timestamp),
        der: key.der().to_vec(),
    }
}

/// A change, and who made it.
pub(super) fn audited(audited: &AuditedChange) -> wire::IssuerChange {
    wire::IssuerChange {
        snapshot: audited.snapshot.0,
        issuer_id: audited.change.issuer.clone(),
        kind: audited.change.kind.as_str().to_owned(),
        what: what(&audited.change.kind),
        shared: audited.scope == Scope::Global,
        actor: audited.by.clone(),
        reason: audited.reason.clone(),
        change_time: Some(convert::timestamp(audited.change.at)),
    }
}

/// What is so since, for people.
fn what(kind: &IssuerChangeKind) -> String {
    match kind {
        IssuerChangeKind::Created { name, authors, tier } => said(Some(name), Some(authors), Some(*tier)),
        IssuerChangeKind::Changed { name, authors, tier } => said(name.as_ref(), authors.as_ref(), *tier),
        IssuerChangeKind::KeyAdded { key, replaces } => {
            let instead = replaces.as_ref().map(|old| format!(", in place of {old}")).unwrap_or_default();
            format!("{} {}{instead}", key.material().as_str(), key.id())
        }
        IssuerChangeKind::KeyRevoked { key, since } => format!("{key} since {since}"),
        IssuerChangeKind::Trusted { tier } => tier.map_or("as the operators do", Tier::as_str).to_owned(),
        IssuerChangeKind::Retired => String::new(),
        IssuerChangeKind::Policy { accepts_unknown, accepts_unsigned } => {
            let word = |counts: &bool| if *counts { "count" } else { "do not count" };
            format!("unknown issuers {}, unsigned {}", word(accepts_unknown), word(accepts_unsigned))
        }
    }
}

fn said(name: Option<&String>, authors: Option<&Vec<String>>, tier: Option<Tier>) -> String {
    let parts = [
        name.map(|name| format!("name {name}")),
        authors.map(|authors| format!("authors {}", authors.join(", "))),
        tier.map(|tier| tier.as_str().to_owned()),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn each_change_says_what_is_so_since() {
        let text = |text: &str| text.to_owned();
        let (name, authors) = (text("Acme"), vec![text("acme"), text("Acme PSIRT")]);
        let created = IssuerChangeKind::Created { name, authors, tier: Tier::Second };
        assert_eq!(what(&created), "name Acme; authors acme, Acme PSIRT; tier-1");
        let changed = IssuerChangeKind::Changed { name: None, authors: None, tier: Some(Tier::Untrusted) };
        assert_eq!(what(&changed), "untrusted");
        let revoked =
            IssuerChangeKind::KeyRevoked { key: text("sha256:aa"), since: datetime!(2026-05-31 0:00 UTC) };
        assert!(what(&revoked).starts_with("sha256:aa since 2026-05-31"), "{}", what(&revoked));
        assert_eq!(what(&IssuerChangeKind::Trusted { tier: None }), "as the operators do");
        let policy = IssuerChangeKind::Policy { accepts_unknown: true, accepts_unsigned: false };
        assert_eq!(what(&policy), "unknown issuers count, unsigned do not count");
    }

    #[test]
    fn a_tenant_sees_how_far_it_trusts_and_how_far_the_operators_do() {
        let entry = |trusted| Entry {
            scope: Scope::Global,
            id: "acme".to_owned(),
            name: "Acme".to_owned(),
            authors: Vec::new(),
            tier: Tier::Second,
            trusted,
            keys: Vec::new(),
            created_at: datetime!(2026-01-01 0:00 UTC),
            changed_at: datetime!(2026-01-01 0:00 UTC),
            retired_at: None,
        };
        let plain = issuer(&entry(None));
        assert_eq!((plain.tier(), plain.default_tier()), (wire::Tier::Supplier, wire::Tier::Unspecified));
        let own = issuer(&entry(Some(Tier::Untrusted)));
        assert_eq!((own.tier(), own.default_tier()), (wire::Tier::Untrusted, wire::Tier::Supplier));
    }
}
