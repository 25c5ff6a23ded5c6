//! `starling admin`: tenants and tokens, with direct access to the database. For the first token there is no
//! other way in.

use std::time::Duration;

use clap::{Args, Subcommand};
use model::TenantId;
use store::tenants::{self, Quota, Tenant};
use store::tokens::{self, Token};
use store::{FleetTx, Store};
use time::OffsetDateTime;
use uuid::Uuid;

use super::failure::{Exit, Failure};
use super::screen::Screen;
use super::serve::{Settings, usage};
use super::table::Rows;
use super::words;
use crate::config::{self, Environment, parse_duration};
use crate::grpc::convert;
use crate::grpc::scopes::Scope;

/// What to administer. Settings of the database come from the same places as a node's.
#[derive(Debug, Subcommand)]
pub(super) enum Admin {
    /// Tokens: who may call
    #[command(subcommand)]
    Token(TokenCommand),
    /// Tenants: isolated customers
    #[command(subcommand)]
    Tenant(TenantCommand),
}

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token; it is shown once
    Create(CreateToken),
    /// List a tenant's tokens
    List {
        #[command(flatten)]
        whose: Whose,
        #[command(flatten)]
        settings: Settings,
    },
    /// Take a token back
    Revoke {
        /// Its id
        token: Uuid,
        #[command(flatten)]
        whose: Whose,
        #[command(flatten)]
        settings: Settings,
    },
}

/// A token to make.
#[derive(Debug, Args)]
pub(super) struct CreateToken {
    #[command(flatten)]
    whose: Whose,
    /// What it is for, so that people know it again
    #[arg(long, default_value = "")]
    label: String,
    /// What it may do; may be given several times [default: everything that fits]
    #[arg(long, value_name = "SCOPE", value_parser = parse_scope)]
    scope: Vec<Scope>,
    /// How long it is good, such as 90d [default: until it is taken back]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    lifetime: Option<Duration>,
    #[command(flatten)]
    settings: Settings,
}

/// For whom a token speaks.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Whose {
    /// The tenant, by id or name
    #[arg(long)]
    tenant: Option<String>,
    /// The operators of this installation
    #[arg(long)]
    operator: bool,
}

/// What to do with tenants.
#[derive(Debug, Subcommand)]
pub(super) enum TenantCommand {
    /// Add a tenant
    Create {
        /// Its name: 1 to 63 of a-z, 0-9, '-' and '.'
        name: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// List tenants
    List {
        #[command(flatten)]
        settings: Settings,
    },
    /// Let a tenant read but not submit
    Suspend {
        /// The tenant, by id or name
        tenant: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// Let a suspended tenant submit again
    Resume {
        /// The tenant, by id or name
        tenant: String,
        #[command(flatten)]
        settings: Settings,
    },
}

fn parse_scope(word: &str) -> Result<Scope, String> {
    let known = || Scope::ALL.map(Scope::as_str).join(", ");
    Scope::from_word(word).ok_or_else(|| format!("{word:?} is no scope: use one of {}", known()))
}

impl Admin {
    /// Does it.
    pub(super) async fn run(self, env: &Environment, screen: &mut Screen) -> Result<(), Failure> {
        let store = connect(self.settings(), env).await?;
        let mut tx = store.fleet().await.map_err(of_store)?;
        match self {
            Self::Token(TokenCommand::Create(command)) => command.run(tx, screen).await,
            Self::Token(TokenCommand::List { whose, .. }) => {
                let tenant = whose.find(&mut tx).await?;
                let tokens = tokens::list(&mut tx, tenant, None, 10_000).await.map_err(of_store)?;
                show_tokens(screen, &tokens)
            }
            Self::Token(TokenCommand::Revoke { token, whose, .. }) => {
                let tenant = whose.find(&mut tx).await?;
                tokens::revoke(&mut tx, tenant, token).await.map_err(of_store)?;
                commit(tx).await?;
                screen.say(format!("token {token} is good for a few seconds more at most"));
                Ok(())
            }
            Self::Tenant(TenantCommand::Create { name, .. }) => {
                let tenant = tenants::create(&mut tx, &name, Quota::default()).await.map_err(of_store)?;
                commit(tx).await?;
                screen.data(tenant.id)
            }
            Self::Tenant(TenantCommand::List { .. }) => {
                let found = tenants::list(&mut tx, None, 10_000).await.map_err(of_store)?;
                show_tenants(screen, &found)
            }
            Self::Tenant(TenantCommand::Suspend { tenant, .. }) => {
                set_active(tx, screen, &tenant, false).await
            }
            Self::Tenant(TenantCommand::Resume { tenant, .. }) => set_active(tx, screen, &tenant, true).await,
        }
    }

    const fn settings(&self) -> &Settings {
        match self {
            Self::Token(
                TokenCommand::Create(CreateToken { settings, .. })
                | TokenCommand::List { settings, .. }
                | TokenCommand::Revoke { settings, .. },
            )
            | Self::Tenant(
                TenantCommand::Create { settings, .. }
                | TenantCommand::List { settings }
                | TenantCommand::Suspend { settings, .. }
                | TenantCommand::Resume { settings, .. },
            ) => settings,
        }
    }
}

async fn connect(settings: &Settings, env: &Environment) -> Result<Store, Failure> {
    let merged = settings.merge(env)?;
    let database = config::database(&merged, "starling-admin").map_err(usage)?;
    Store::connect(&store::Config { max_connections: 1, ..database }).await.map_err(of_store)
}

fn of_store(error: store::Error) -> Failure {
    let next = match &error {
        store::Error::Schema(_) => "bring the schema up to date: starling migrate",
        store::Error::NotFound { .. } => "list them: starling admin tenant list, starling admin token list",
        _ => "check database.url: starling config",
    };
    let problem = anyhow::Error::from(error);
    Failure::new(Exit::Failed, format!("{problem:#}")).next(next)
}

async fn commit(tx: FleetTx) -> Result<(), Failure> {
    tx.commit().await.map_err(of_store)
}

impl Whose {
    async fn find(&self, tx: &mut FleetTx) -> Result<TenantId, Failure> {
        match &self.tenant {
            Some(text) => Ok(find(tx, text).await?.id),
            None => Ok(TenantId::SYSTEM),
        }
    }
}

async fn find(tx: &mut FleetTx, text: &str) -> Result<Tenant, Failure> {
    match text.parse::<TenantId>() {
        Ok(id) => tenants::get(tx, id).await,
        Err(_) => tenants::by_name(tx, text).await,
    }
    .map_err(of_store)
}

impl CreateToken {
    async fn run(self, mut tx: FleetTx, screen: &mut Screen) -> Result<(), Failure> {
        let tenant = self.whose.find(&mut tx).await?;
        let scopes = scopes(tenant, &self.scope)?;
        let lifetime = self.lifetime.map(time::Duration::try_from).transpose();
        let lifetime = lifetime.map_err(|_| Failure::new(Exit::Usage, "--lifetime is too long"))?;
        let issued = tokens::issue(&mut tx, tenant, &self.label, &scopes, lifetime).await;
        let (id, text) = issued.map_err(of_store)?;
        commit(tx).await?;
        screen.say(format!("token {id}; keep what follows in a file, it is not shown again"));
        screen.data(text)
    }
}

/// The scopes of a new token: those that were chosen, if all of them fit, or all that fit.
fn scopes(tenant: TenantId, chosen: &[Scope]) -> Result<Vec<String>, Failure> {
    if let Some(scope) = chosen.iter().find(|scope| !scope.fits(tenant)) {
        let whom = if scope.is_operators() { "operators" } else { "tenants" };
        return Err(Failure::new(Exit::Usage, format!("the scope {} is for {whom}", scope.as_str())));
    }
    let all = Scope::ALL.into_iter().filter(|scope| scope.fits(tenant));
    let scopes: Vec<Scope> = if chosen.is_empty() { all.collect() } else { chosen.to_vec() };
    Ok(scopes.into_iter().map(|scope| scope.as_str().to_owned()).collect())
}

async fn set_active(mut tx: FleetTx, screen: &mut Screen, text: &str, active: bool) -> Result<(), Failure> {
    let tenant = find(&mut tx, text).await?;
    tenants::set_active(&mut tx, tenant.id, active).await.map_err(of_store)?;
    commit(tx).await?;
    screen.say(format!("tenant {} is {}", tenant.name, if active { "active" } else { "suspended" }));
    Ok(())
}

fn show_tokens(screen: &mut Screen, tokens: &[Token]) -> Result<(), Failure> {
    let now = OffsetDateTime::now_utc();
    let mut rows = Rows::new(screen, &["TOKEN", "STATE", "MADE", "LABEL", "SCOPES"]);
    for token in tokens {
        let state = match (token.revoked_at, token.expires_at) {
            (Some(_), _) => "revoked",
            (None, Some(end)) if end <= now => "expired",
            (None, _) => "good",
        };
        let made = words::ago(Some(convert::timestamp(token.created_at)), now);
        rows.row([token.id.to_string(), state.to_owned(), made, token.label.clone(), token.scopes.join(" ")]);
    }
    rows.show(screen)
}

fn show_tenants(screen: &mut Screen, tenants: &[Tenant]) -> Result<(), Failure> {
    let now = OffsetDateTime::now_utc();
    let mut rows = Rows::new(screen, &["TENANT", "NAME", "STATE", "MADE"]);
    for tenant in tenants {
        let state = if tenant.active { "active" } else { "suspended" };
        let made = words::ago(Some(convert::timestamp(tenant.created_at)), now);
        rows.row([tenant.id.to_string(), tenant.name.clone(), state.to_owned(), made]);
    }
    rows.show(screen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_gets_the_scopes_that_fit_its_tenant() {
        let tenant = TenantId::from_uuid(Uuid::from_u128(1));
        let all = scopes(tenant, &[]).unwrap();
        assert!(all.contains(&"jobs.write".to_owned()) && !all.iter().any(|scope| scope.starts_with("ops.")));
        assert_eq!(scopes(tenant, &[Scope::JobsRead]).unwrap(), ["jobs.read"]);
        let refused = scopes(tenant, &[Scope::OpsRead]).unwrap_err();
        assert_eq!(
            (refused.exit, refused.message.as_str()),
            (Exit::Usage, "the scope ops.read is for operators")
        );
        assert!(scopes(TenantId::SYSTEM, &[Scope::JobsRead]).is_err());
    }
}
