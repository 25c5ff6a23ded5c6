//! Who calls: the bearer token of each call becomes a [`Caller`], before any service sees it.
//!
//! A token that was taken back is noticed within [`REMEMBERED`]: for so long a good one is not looked up again.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use model::TenantId;
use proto_api::common::v1::ErrorReason;
use sha2::{Digest as _, Sha256};
use store::Store;
use store::tokens::TokenRefusal;
use tonic::Status;

use super::errors::{Refusal, refuse};
use super::scopes::{Access, Scope, access};

const REMEMBERED: Duration = Duration::from_secs(5);
const REMEMBERED_MAX: usize = 10_000;

/// Who calls, and what it may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The tenant it acts for: exactly one.
    pub tenant: TenantId,
    /// What its token allows, as far as it fits the tenant.
    pub scopes: Vec<Scope>,
    /// What its token is called, for those who look at what was done.
    pub label: String,
}

/// Turns tokens into callers.
#[derive(Clone)]
pub struct Gate {
    store: Store,
    known: Arc<Mutex<HashMap<[u8; 32], Known>>>,
}

struct Known {
    caller: Arc<Caller>,
    until: Instant,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

impl Caller {
    /// Whether it is an operator: then it may see every tenant.
    pub fn is_operator(&self) -> bool {
        self.tenant == TenantId::SYSTEM
    }

    fn has_one_of(&self, scopes: &[Scope]) -> bool {
        scopes.iter().any(|scope| self.scopes.contains(scope))
    }
}

impl Gate {
    /// Looks tokens up in this store.
    pub fn new(store: Store) -> Self {
        Self { store, known: Arc::default() }
    }

    async fn caller(&self, headers: &HeaderMap) -> Result<Arc<Caller>, Refusal> {
        let token = bearer(headers)?;
        let key: [u8; 32] = Sha256::digest(token).into();
        if let Some(caller) = self.remembered(&key) {
            return Ok(caller);
        }
        let caller = store::tokens::verify(&self.store, token).await?.map_err(refused)?;
        let scopes = caller.scopes.iter().filter_map(|word| Scope::from_word(word));
        let scopes = scopes.filter(|scope| scope.fits(caller.tenant)).collect();
        let caller = Arc::new(Caller { tenant: caller.tenant, scopes, label: caller.label });
        self.remember(key, &caller);
        Ok(caller)
    }

    fn remembered(&self, key: &[u8; 32]) -> Option<Arc<Caller>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(key).filter(|known| known.until > Instant::now()).map(|known| known.caller.clone())
    }

    fn remember(&self, key: [u8; 32], caller: &Arc<Caller>) {
        let now = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED_MAX {
            known.retain(|_, known| known.until > now);
        }
        if known.len() < REMEMBERED_MAX {
            known.insert(key, Known { caller: caller.clone(), until: now + REMEMBERED });
        }
    }
}

/// The layer: lets a call through to the services with its caller, or answers it.
pub async fn guard(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    match admit(&gate, request.uri().path(), request.headers()).await {
        Ok(caller) => {
            if let Some(caller) = caller {
                tracing::Span::current().record("tenant.id", caller.tenant.to_string());
                request.extensions_mut().insert(caller);
            }
            next.run(request).await
        }
        Err(refusal) => Status::from(refusal).into_http(),
    }
}

async fn admit(gate: &Gate, path: &str, headers: &HeaderMap) -> Result<Option<Arc<Caller>>, Refusal> {
    let needed = match access(path) {
        // Which methods there are is no secret.
        None if path.starts_with("/starling.") => return Err(refuse(ErrorReason::MethodUnknown)),
        None | Some(Access::Open) => return Ok(None),
        Some(Access::OneOf(scopes)) => scopes,
    };
    let caller = gate.caller(headers).await?;
    if caller.has_one_of(needed) {
        return Ok(Some(caller));
    }
    let needed: Vec<_> = needed.iter().map(|scope| scope.as_str()).collect();
    let needed = needed.join(" or ");
    Err(refuse(ErrorReason::ScopeMissing)
        .saying(format!("the token lacks the scope {needed}"))
        .with("scope", needed))
}

fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let header = headers.get(AUTHORIZATION).ok_or_else(|| refuse(ErrorReason::TokenMissing))?;
    let (scheme, token) = header
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .ok_or_else(|| refuse(ErrorReason::TokenInvalid))?;
    if scheme.eq_ignore_ascii_case("bearer") {
        Ok(token.trim())
    } else {
        Err(refuse(ErrorReason::TokenMissing))
    }
}

fn refused(refusal: TokenRefusal) -> Refusal {
    refuse(match refusal {
        TokenRefusal::Malformed | TokenRefusal::Unknown => ErrorReason::TokenInvalid,
        TokenRefusal::Expired => ErrorReason::TokenExpired,
        TokenRefusal::Revoked => ErrorReason::TokenRevoked,
    })
}

/// The caller of a request that came through the guard.
pub fn caller_of<T>(request: &tonic::Request<T>) -> Result<Arc<Caller>, Status> {
    let caller = request.extensions().get::<Arc<Caller>>().cloned();
    caller.ok_or_else(|| refuse(ErrorReason::TokenMissing).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(authorization: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, authorization.parse().unwrap());
        headers
    }

    #[test]
    fn the_token_follows_the_word_bearer() {
        assert_eq!(bearer(&headers("Bearer stl_1_2")).unwrap(), "stl_1_2");
        assert_eq!(bearer(&headers("bearer  stl_1_2 ")).unwrap(), "stl_1_2");
        let reason = |headers: &HeaderMap| bearer(headers).unwrap_err().reason();
        assert_eq!(reason(&HeaderMap::new()), ErrorReason::TokenMissing);
        assert_eq!(reason(&headers("Basic eDp5")), ErrorReason::TokenMissing);
        assert_eq!(reason(&headers("stl_1_2")), ErrorReason::TokenInvalid);
    }

    #[test]
    fn one_of_the_scopes_is_enough() {
        let caller =
            Caller { tenant: TenantId::SYSTEM, scopes: vec![Scope::OpsRead], label: "test".to_owned() };
        assert!(caller.has_one_of(&[Scope::FeedsRead, Scope::OpsRead]));
        assert!(!caller.has_one_of(&[Scope::OpsFeeds]));
    }
}
