//! A change of an issuer as its column holds it.

use ::vex::signature::Key;
use ::vex::trust::{IssuerChangeKind, Tier};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::Error;
use crate::row::word;

pub(super) fn write(kind: &IssuerChangeKind) -> Value {
    match kind {
        IssuerChangeKind::Created { name, authors, tier } => {
            json!({ "name": name, "authors": authors, "tier": tier.as_str() })
        }
        IssuerChangeKind::Changed { name, authors, tier } => {
            json!({ "name": name, "authors": authors, "tier": tier.map(Tier::as_str) })
        }
        IssuerChangeKind::KeyAdded { key, replaces } => {
            json!({ "key": STANDARD.encode(key.der()), "key_id": key.id(), "replaces": replaces })
        }
        IssuerChangeKind::KeyRevoked { key, since } => {
            let since = since.format(&Rfc3339).expect("a moment of our times can be written");
            json!({ "key_id": key, "since": since })
        }
        IssuerChangeKind::Trusted { tier } => json!({ "tier": tier.map(Tier::as_str) }),
        IssuerChangeKind::Retired => json!({}),
        IssuerChangeKind::Policy { accepts_unknown, accepts_unsigned } => {
            json!({ "accepts_unknown": accepts_unknown, "accepts_unsigned": accepts_unsigned })
        }
    }
}

pub(super) fn read(kind: &str, body: &Value) -> Result<IssuerChangeKind, Error> {
    Ok(match kind {
        "created" => IssuerChangeKind::Created {
            name: text(body, "name")?,
            authors: authors(body)?.unwrap_or_default(),
            tier: tier(body)?.ok_or_else(|| corrupt("tier"))?,
        },
        "changed" => IssuerChangeKind::Changed {
            name: optional(body, "name").map(str::to_owned),
            authors: authors(body)?,
            tier: tier(body)?,
        },
        "key_added" => IssuerChangeKind::KeyAdded {
            key: key(&text(body, "key")?)?,
            replaces: optional(body, "replaces").map(str::to_owned),
        },
        "key_revoked" => IssuerChangeKind::KeyRevoked {
            key: text(body, "key_id")?,
            since: OffsetDateTime::parse(&text(body, "since")?, &Rfc3339).map_err(|_| corrupt("since"))?,
        },
        "trusted" => IssuerChangeKind::Trusted { tier: tier(body)? },
        "retired" => IssuerChangeKind::Retired,
        "policy" => IssuerChangeKind::Policy {
            accepts_unknown: flag(body, "accepts_unknown")?,
            accepts_unsigned: flag(body, "accepts_unsigned")?,
        },
        _ => return Err(corrupt("kind")),
    })
}

fn optional<'a>(body: &'a Value, field: &str) -> Option<&'a str> {
    body[field].as_str()
}

fn text(body: &Value, field: &'static str) -> Result<String, Error> {
    optional(body, field).map(str::to_owned).ok_or_else(|| corrupt(field))
}

fn flag(body: &Value, field: &'static str) -> Result<bool, Error> {
    body[field].as_bool().ok_or_else(|| corrupt(field))
}

fn tier(body: &Value) -> Result<Option<Tier>, Error> {
    optional(body, "tier").map(|tier| word("issuer_change", tier, Tier::from_word)).transpose()
}

fn authors(body: &Value) -> Result<Option<Vec<String>>, Error> {
    let Some(all) = body["authors"].as_array() else { return Ok(None) };
    let author = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(|| corrupt("authors"));
    all.iter().map(author).collect::<Result<_, _>>().map(Some)
}

fn key(der: &str) -> Result<Key, Error> {
    let der = STANDARD.decode(der).map_err(|_| corrupt("key"))?;
    Key::parse(&der).map_err(|error| Error::Corrupt { table: "issuer_change", source: Box::new(error) })
}

fn corrupt(field: &'static str) -> Error {
    Error::Corrupt {
        table: "issuer_change",
        source: format!("its {field} is missing or not as it must be").into(),
    }
}
