//! `starling issuers`: whose VEX is heard, how far it is trusted, and by which keys.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use proto_api::issuer::v1::{
    AddKeyRequest, CreateIssuerRequest, GetIssuerRequest, Issuer, IssuerChange, Key,
    ListIssuerChangesRequest, ListIssuersRequest, Policy, RetireIssuerRequest, RevokeKeyRequest,
    SetPolicyRequest, SetTrustRequest, Tier, UpdateIssuerRequest,
};
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::bounded::bytes_of;
use super::failure::{Exit, Failure};
use super::json::{SCHEMA_VERSION, value};
use super::list::{self, Format, Gathered, Limit, Output};
use super::moment::{self, parse_start};
use super::screen::Screen;
use super::server::{Server, call};
use super::table::Rows;
use super::words;
use crate::grpc::convert;
use crate::grpc::issuers::KEY_BYTES_MAX;

/// Examples for the help.
pub(super) const EXAMPLES: &str = "Examples:
  starling issuers create acme --author 'Acme Product Security' --tier tier-1 --key acme.pub
  starling issuers add-key acme acme-2027.pub --replaces sha256:9f2c… --reason 'yearly rotation'
  starling issuers revoke-key acme sha256:9f2c… --since 2026-05-31 --reason 'key was stolen'
  starling issuers trust red-hat tier-2
  starling issuers policy --accept-unsigned false
  starling issuers audit acme";

const ISSUER: &str = "starling.issuer.v1.Issuer";
const CHANGE: &str = "starling.issuer.v1.IssuerChange";
const POLICY: &str = "starling.issuer.v1.Policy";

/// What to do with issuers.
#[derive(Debug, Subcommand)]
pub(super) enum Issuers {
    /// List issuers, one's own and those of the operators
    List {
        #[command(flatten)]
        limit: Limit,
        #[command(flatten)]
        output: Output,
    },
    /// Show an issuer and its keys
    Show {
        /// Its id
        issuer: String,
        #[command(flatten)]
        output: Output,
    },
    /// Make an issuer; as an operator, for all tenants
    Create {
        #[command(flatten)]
        named: Named,
        #[command(flatten)]
        says: Says,
        /// A public key (Ed25519, P-256) or an X.509 certificate by which it signs, in PEM or DER; may be given several
        /// times
        #[arg(long, value_name = "FILE")]
        key: Vec<PathBuf>,
    },
    /// Change what is known of an issuer; what is not given stays
    Update {
        #[command(flatten)]
        named: Named,
        #[command(flatten)]
        says: Says,
    },
    /// Forget an issuer and its keys: from then on it is one of those that nobody knows
    Retire(Named),
    /// Add a key by which an issuer signs
    AddKey {
        #[command(flatten)]
        named: Named,
        /// A public key (Ed25519, P-256) or an X.509 certificate, in PEM or DER
        key: PathBuf,
        /// The id of the key that it replaces; what that one signed and was taken in before stays good
        #[arg(long, value_name = "KEY", default_value = "", hide_default_value = true)]
        replaces: String,
    },
    /// Take a key back: what it signed and was taken in since counts no more
    RevokeKey {
        #[command(flatten)]
        named: Named,
        /// The key's id
        key: String,
        /// Since when: a day (its beginning, in UTC) or a moment such as 2026-05-31T12:00:00Z; now where it is not given
        #[arg(long, value_name = "TIME", value_parser = parse_start)]
        since: Option<OffsetDateTime>,
    },
    /// Trust an issuer of the operators otherwise than they do
    Trust {
        #[command(flatten)]
        named: Named,
        /// How far: tier-0 (one's own people), tier-1 (suppliers), tier-2 (hubs), untrusted, or default for as the
        /// operators do
        #[arg(value_parser = parse_trust)]
        tier: Tier,
    },
    /// Show or change what is done with documents that no signature of a known issuer proves
    Policy {
        /// Whether documents of unknown issuers count
        #[arg(long, value_name = "true|false")]
        accept_unknown: Option<bool>,
        /// Whether documents without a good signature count
        #[arg(long, value_name = "true|false")]
        accept_unsigned: Option<bool>,
        /// Why, for those who look at it later
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        reason: String,
        #[command(flatten)]
        output: Output,
    },
    /// Show who changed what, newest first
    Audit {
        /// Only of this issuer
        #[arg(default_value = "", hide_default_value = true)]
        issuer: String,
        #[command(flatten)]
        limit: Limit,
        #[command(flatten)]
        output: Output,
    },
}

/// An issuer, and why it is changed.
#[derive(Debug, Args)]
pub(super) struct Named {
    /// The issuer's id: 1 to 64 of a-z, 0-9, '-' and '.'
    issuer: String,
    /// Why, for those who look at it later
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
}

/// What is known of an issuer.
#[derive(Debug, Args)]
pub(super) struct Says {
    /// Its name, for people
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// How its documents call it: the name of an author, or the namespace of a publisher; may be given several times
    #[arg(long, value_name = "AUTHOR")]
    author: Vec<String>,
    /// How far it is trusted: tier-0 (one's own people), tier-1 (suppliers), tier-2 (hubs) or untrusted
    #[arg(long, value_name = "TIER", value_parser = parse_tier)]
    tier: Option<Tier>,
}

fn parse_tier(word: &str) -> Result<Tier, String> {
    let tier = vex::trust::Tier::from_word(word).map(convert::tier);
    tier.ok_or_else(|| format!("{word:?} is no tier: use tier-0, tier-1, tier-2 or untrusted"))
}

fn parse_trust(word: &str) -> Result<Tier, String> {
    if word == "default" { Ok(Tier::Unspecified) } else { parse_tier(word) }
}

fn tier_word(tier: Tier) -> String {
    convert::tier_of(tier).map_or(words::NOTHING, vex::trust::Tier::as_str).to_owned()
}

fn request_id() -> String {
    Uuid::now_v7().to_string()
}

impl Issuers {
    /// Does it.
    pub(super) async fn run(self, server: &Server, screen: &mut Screen) -> Result<(), Failure> {
        match self {
            Self::List { limit, output } => list(server, screen, limit, output).await,
            Self::Show { issuer, output } => {
                let request = GetIssuerRequest { issuer_id: issuer };
                let answer =
                    call(request, async |request| server.issuers().get_issuer(request).await).await?;
                list::show_one(screen, output.format, ISSUER, &answer.issuer.unwrap_or_default(), show)
            }
            Self::Create { named, says, key } => create(server, screen, named, says, &key).await,
            Self::Update { named, says } => update(server, screen, named, says).await,
            Self::Retire(Named { issuer, reason }) => {
                let request =
                    RetireIssuerRequest { request_id: request_id(), issuer_id: issuer.clone(), reason };
                let answer =
                    call(request, async |request| server.issuers().retire_issuer(request).await).await?;
                screen.say(format!("issuer {issuer} is forgotten from snapshot {} on", answer.snapshot));
                Ok(())
            }
            Self::AddKey { named, key, replaces } => add_key(server, screen, &named, &key, replaces).await,
            Self::RevokeKey { named: Named { issuer, reason }, key, since } => {
                let request = RevokeKeyRequest {
                    request_id: request_id(),
                    issuer_id: issuer.clone(),
                    key_id: key.clone(),
                    since_time: since.map(convert::timestamp),
                    reason,
                };
                let answer =
                    call(request, async |request| server.issuers().revoke_key(request).await).await?;
                screen.say(format!("key {key} of {issuer} is revoked from snapshot {} on", answer.snapshot));
                Ok(())
            }
            Self::Trust { named: Named { issuer, reason }, tier } => {
                let request = SetTrustRequest {
                    request_id: request_id(),
                    issuer_id: issuer.clone(),
                    tier: tier.into(),
                    reason,
                };
                let answer = call(request, async |request| server.issuers().set_trust(request).await).await?;
                let tier = tier_word(answer.issuer.unwrap_or_default().tier());
                screen.say(format!(
                    "issuer {issuer} is trusted as {tier} from snapshot {} on",
                    answer.snapshot
                ));
                Ok(())
            }
            Self::Policy { accept_unknown, accept_unsigned, reason, output } => {
                let policy = policy(server, (accept_unknown, accept_unsigned), reason).await?;
                list::show_one(screen, output.format, POLICY, &policy, show_policy)
            }
            Self::Audit { issuer, limit, output } => audit(server, screen, &issuer, limit, output).await,
        }
    }
}

async fn list(server: &Server, screen: &mut Screen, limit: Limit, output: Output) -> Result<(), Failure> {
    let mut policy = None;
    let found = list::gather(limit.limit, async |page_size, page_token| {
        let request = ListIssuersRequest { page_size, page_token };
        let page = call(request, async |request| server.issuers().list_issuers(request).await).await?;
        policy = page.policy;
        Ok((page.issuers, page.next_page_token))
    });
    let found: Gathered<Issuer> = found.await?;
    let policy = policy.unwrap_or_default();
    if output.format == Format::Json {
        let items: Vec<_> = found.items.iter().map(|issuer| value(ISSUER, issuer)).collect();
        let policy = value(POLICY, &policy);
        return screen.data(list::pretty(
            &json!({"schema_version": SCHEMA_VERSION, "items": items, "policy": policy, "more": found.more}),
        )?);
    }
    list::show(screen, output.format, ISSUER, &found, rows)?;
    if output.format == Format::Table {
        screen.data("")?;
        show_policy(screen, &policy)?;
    }
    Ok(())
}

fn rows(screen: &Screen, issuers: &[Issuer]) -> Rows {
    let mut rows = Rows::new(screen, &["ISSUER", "NAME", "TIER", "KEYS", "WHOSE", "AUTHORS"]);
    let now = OffsetDateTime::now_utc();
    for issuer in issuers {
        let good = issuer.keys.iter().filter(|key| key_state(key, now) == "good").count();
        rows.row([
            issuer.issuer_id.clone(),
            issuer.name.clone(),
            tier_word(issuer.tier()),
            format!("{good} of {}", issuer.keys.len()),
            whose(issuer.shared).to_owned(),
            issuer.authors.join(", "),
        ]);
    }
    rows
}

const fn whose(shared: bool) -> &'static str {
    if shared { "everybody's" } else { "own" }
}

/// Whether a key may sign now.
fn key_state(key: &Key, now: OffsetDateTime) -> &'static str {
    let is_past =
        |time: Option<prost_types::Timestamp>| time.and_then(words::moment).is_some_and(|at| at <= now);
    if is_past(key.revoke_time) {
        "revoked"
    } else if is_past(key.end_time) {
        "over"
    } else if key.start_time.is_some() && !is_past(key.start_time) {
        "not yet good"
    } else {
        "good"
    }
}

fn show(screen: &mut Screen, issuer: &Issuer) -> Result<(), Failure> {
    let mut pairs = vec![
        ("issuer", issuer.issuer_id.clone()),
        ("name", issuer.name.clone()),
        ("tier", tier_word(issuer.tier())),
        ("whose", whose(issuer.shared).to_owned()),
    ];
    pairs.extend(issuer.authors.iter().map(|author| ("author", author.clone())));
    list::show_pairs(screen, &pairs)?;
    if issuer.keys.is_empty() {
        return Ok(());
    }
    let mut rows = Rows::new(screen, &["KEY", "KIND", "STATE", "FROM", "UNTIL", "REVOKED"]);
    let now = OffsetDateTime::now_utc();
    for key in &issuer.keys {
        rows.row([
            key.key_id.clone(),
            key.material.clone(),
            key_state(key, now).to_owned(),
            moment::shown_or_nothing(key.start_time),
            moment::shown_or_nothing(key.end_time),
            moment::shown_or_nothing(key.revoke_time),
        ]);
    }
    screen.data("")?;
    rows.show(screen)
}

async fn create(
    server: &Server,
    screen: &mut Screen,
    named: Named,
    says: Says,
    keys: &[PathBuf],
) -> Result<(), Failure> {
    let tier = says.tier.ok_or_else(|| {
        Failure::new(Exit::Usage, "it must be said how far the issuer is trusted")
            .next("add --tier tier-0, tier-1, tier-2 or untrusted")
    })?;
    // A key that cannot be read makes no issuer.
    keys.iter().try_for_each(|file| bytes_of(file, KEY_BYTES_MAX, Exit::Usage).map(drop))?;
    let request = CreateIssuerRequest {
        request_id: request_id(),
        issuer_id: named.issuer.clone(),
        name: says.name.unwrap_or_default(),
        authors: says.author,
        tier: tier.into(),
        reason: named.reason.clone(),
    };
    let answer = call(request, async |request| server.issuers().create_issuer(request).await).await?;
    screen.say(format!("issuer {} is known from snapshot {} on", named.issuer, answer.snapshot));
    for key in keys {
        add_key(server, screen, &named, key, String::new()).await?;
    }
    Ok(())
}

async fn update(server: &Server, screen: &mut Screen, named: Named, says: Says) -> Result<(), Failure> {
    let paths: Vec<String> =
        [("name", says.name.is_some()), ("authors", !says.author.is_empty()), ("tier", says.tier.is_some())]
            .into_iter()
            .filter(|(_, is_given)| *is_given)
            .map(|(path, _)| path.to_owned())
            .collect();
    if paths.is_empty() {
        return Err(Failure::new(Exit::Usage, "nothing is given that is to be changed")
            .next("give --name, --author or --tier"));
    }
    let request = UpdateIssuerRequest {
        request_id: request_id(),
        issuer_id: named.issuer.clone(),
        name: says.name.unwrap_or_default(),
        authors: says.author,
        tier: says.tier.unwrap_or_default().into(),
        update_mask: Some(prost_types::FieldMask { paths }),
        reason: named.reason,
    };
    let answer = call(request, async |request| server.issuers().update_issuer(request).await).await?;
    screen.say(format!("issuer {} is changed from snapshot {} on", named.issuer, answer.snapshot));
    Ok(())
}

async fn add_key(
    server: &Server,
    screen: &mut Screen,
    named: &Named,
    file: &Path,
    replaces: String,
) -> Result<(), Failure> {
    let request = AddKeyRequest {
        request_id: request_id(),
        issuer_id: named.issuer.clone(),
        key: bytes_of(file, KEY_BYTES_MAX, Exit::Usage)?,
        replaces,
        reason: named.reason.clone(),
    };
    let answer = call(request, async |request| server.issuers().add_key(request).await).await?;
    screen.say(format!("{} signs with it from snapshot {} on", named.issuer, answer.snapshot));
    screen.data(answer.key_id)
}

/// What is done with others, after a change where one is asked for.
async fn policy(
    server: &Server,
    (unknown, unsigned): (Option<bool>, Option<bool>),
    reason: String,
) -> Result<Policy, Failure> {
    let request = ListIssuersRequest { page_size: 1, page_token: String::new() };
    let answer = call(request, async |request| server.issuers().list_issuers(request).await).await?;
    let before = answer.policy.unwrap_or_default();
    if unknown.is_none() && unsigned.is_none() {
        return Ok(before);
    }
    let policy = Policy {
        accepts_unknown: unknown.unwrap_or(before.accepts_unknown),
        accepts_unsigned: unsigned.unwrap_or(before.accepts_unsigned),
    };
    let request = SetPolicyRequest { request_id: request_id(), policy: Some(policy), reason };
    let answer = call(request, async |request| server.issuers().set_policy(request).await).await?;
    Ok(answer.policy.unwrap_or_default())
}

fn show_policy(screen: &mut Screen, policy: &Policy) -> Result<(), Failure> {
    let word = |counts: bool| if counts { "count, with a doubt" } else { "do not count" }.to_owned();
    let unknown = ("documents of unknown issuers", word(policy.accepts_unknown));
    list::show_pairs(
        screen,
        &[unknown, ("documents without a good signature", word(policy.accepts_unsigned))],
    )
}

async fn audit(
    server: &Server,
    screen: &mut Screen,
    issuer: &str,
    limit: Limit,
    output: Output,
) -> Result<(), Failure> {
    let found = list::gather(limit.limit, async |page_size, page_token| {
        let request = ListIssuerChangesRequest { issuer_id: issuer.to_owned(), page_size, page_token };
        let page = call(request, async |request| server.issuers().list_issuer_changes(request).await).await?;
        Ok((page.changes, page.next_page_token))
    });
    list::show(screen, output.format, CHANGE, &found.await?, |screen, changes: &[IssuerChange]| {
        let mut rows = Rows::new(screen, &["WHEN", "BY", "ISSUER", "CHANGE", "WHAT", "SNAPSHOT", "WHY"]);
        for change in changes {
            let by =
                if change.shared { format!("{} (operators)", change.actor) } else { change.actor.clone() };
            let issuer = if change.issuer_id.is_empty() { words::NOTHING } else { &change.issuer_id };
            rows.row([
                moment::shown_or_nothing(change.change_time),
                by,
                issuer.to_owned(),
                change.kind.replace('_', " "),
                change.what.clone(),
                change.snapshot.to_string(),
                change.reason.clone(),
            ]);
        }
        rows.right(&[5])
    })
}

#[cfg(test)]
mod tests {
    use super::super::screen::tests::page;
    use super::*;

    const fn at(seconds: i64) -> Option<prost_types::Timestamp> {
        Some(prost_types::Timestamp { seconds, nanos: 0 })
    }

    #[test]
    fn tiers_have_the_words_of_the_documentation() {
        for word in ["tier-0", "tier-1", "tier-2", "untrusted"] {
            assert_eq!(parse_tier(word).map(tier_word).as_deref(), Ok(word));
        }
        assert_eq!(parse_trust("default"), Ok(Tier::Unspecified));
        assert!(parse_tier("default").is_err() && parse_tier("tier-3").is_err());
    }

    #[test]
    fn a_key_says_whether_it_may_sign() {
        let now = OffsetDateTime::from_unix_timestamp(100).unwrap();
        let key = |start, end, revoke| Key {
            start_time: start,
            end_time: end,
            revoke_time: revoke,
            ..Key::default()
        };
        assert_eq!(key_state(&key(None, None, None), now), "good");
        assert_eq!(key_state(&key(at(50), at(150), None), now), "good");
        assert_eq!(key_state(&key(at(101), None, None), now), "not yet good");
        assert_eq!(key_state(&key(None, at(99), None), now), "over");
        assert_eq!(key_state(&key(None, at(99), at(100)), now), "revoked");
    }

    #[test]
    fn an_issuer_is_shown_with_its_keys() {
        let key = Key { key_id: "sha256:aa".to_owned(), material: "ed25519".to_owned(), ..Key::default() };
        let issuer = Issuer {
            issuer_id: "acme".to_owned(),
            authors: vec!["Acme".to_owned()],
            tier: Tier::Supplier.into(),
            shared: true,
            keys: vec![key],
            ..Issuer::default()
        };
        let (mut screen, page) = page();
        show(&mut screen, &issuer).unwrap();
        let text = page.text();
        for words in ["tier    tier-1", "whose   everybody's", "author  Acme", "sha256:aa", "good"] {
            assert!(text.contains(words), "no {words} in {text}");
        }
    }
}
