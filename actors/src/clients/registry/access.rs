//! Signing in: name and password, or a token that a service gives for them, or for nothing.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, RequestBuilder, Url};
use serde::Deserialize;

use super::challenge::Challenge;
use super::{Error, body};

/// A token and what is written around it are shorter.
const ANSWER_BYTES: usize = 64 << 10;

/// Who somebody is to a registry. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Nobody in particular.
    Anonymous,
    /// A user.
    Password {
        /// Name.
        user: String,
        /// Password, or what a registry gives in its place.
        password: String,
    },
    /// What `docker login` keeps where a registry gives no more than that.
    IdentityToken(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Password { .. } => "Password(…)",
            Self::IdentityToken(_) => "IdentityToken(…)",
        })
    }
}

/// What is shown to one repository.
#[derive(Debug)]
pub(super) struct Access {
    credentials: Credentials,
    /// Follows no redirects, since it sends passwords.
    http: Client,
    /// `repository:NAME:pull`, for a registry that names no scope.
    scope: String,
    held: Mutex<Option<HeaderValue>>,
}

/// What a token service answers (distribution, "Token authentication").
#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
}

impl Access {
    pub(super) fn new(http: Client, credentials: Credentials, repository: &str) -> Self {
        Self { credentials, http, scope: format!("repository:{repository}:pull"), held: Mutex::new(None) }
    }

    /// Whether there is anything to show but one's face.
    pub(super) fn has_credentials(&self) -> bool {
        self.credentials != Credentials::Anonymous
    }

    /// Puts on a request what is held.
    pub(super) fn sign(&self, request: RequestBuilder) -> RequestBuilder {
        match &*self.held.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(value) => request.header(AUTHORIZATION, value.clone()),
            None => request,
        }
    }

    /// Does what the registry asks for. `false` when that is not possible with these credentials.
    ///
    /// `may_speak` says whether an address is one that a password may be sent to.
    pub(super) async fn meet(
        &self,
        challenge: &Challenge,
        may_speak: impl Fn(&Url) -> bool,
    ) -> Result<bool, Error> {
        let value = match (challenge, &self.credentials) {
            (Challenge::Basic, Credentials::Password { user, password }) => basic(&self.http, user, password),
            (Challenge::Basic, _) => None,
            (Challenge::Bearer { realm, service, scope }, _) => {
                let bad = || Error::Token { realm: shown(realm), why: "it is no address to ask".to_owned() };
                let realm = Url::parse(realm).map_err(|_| bad())?;
                if !may_speak(&realm) {
                    return Err(Error::Token { realm: shown(realm.as_str()), why: PLAIN.to_owned() });
                }
                let scope = scope.as_deref().unwrap_or(&self.scope);
                bearer(&self.token(realm, service.as_deref(), scope).await?)
            }
        };
        let is_met = value.is_some();
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = value;
        Ok(is_met)
    }

    async fn token(&self, realm: Url, service: Option<&str>, scope: &str) -> Result<String, Error> {
        let failed = |why: String| Error::Token { realm: shown(realm.as_str()), why };
        let service = service.map(|service| ("service", service));
        let asked = service.into_iter().chain([("scope", scope)]);
        let request = match &self.credentials {
            Credentials::IdentityToken(token) => {
                let more =
                    [("grant_type", "refresh_token"), ("client_id", "starling"), ("refresh_token", token)];
                let form = form(asked.chain(more));
                let kind = "application/x-www-form-urlencoded";
                self.http.post(realm.clone()).header("content-type", kind).body(form)
            }
            credentials => {
                let mut url = realm.clone();
                url.query_pairs_mut().extend_pairs(asked);
                let request = self.http.get(url);
                match credentials {
                    Credentials::Password { user, password } => request.basic_auth(user, Some(password)),
                    _ => request,
                }
            }
        };
        let response =
            request.send().await.map_err(|error| failed(crate::with_causes(&error.without_url())))?;
        let status = response.status();
        if matches!(status.as_u16(), 400 | 401 | 403) {
            return Err(Error::SignIn { realm: shown(realm.as_str()), status: status.as_u16() });
        }
        if !status.is_success() {
            return Err(failed(format!("it answered {status}")));
        }
        let answer = body::read(response, ANSWER_BYTES).await.map_err(|error| failed(error.to_string()))?;
        let answer: Answer =
            serde_json::from_slice(&answer).map_err(|_| failed("it gave no token".to_owned()))?;
        answer.token.or(answer.access_token).ok_or_else(|| failed("it gave no token".to_owned()))
    }
}

const PLAIN: &str = "it is not encrypted";

/// An address without its query, and not too long.
fn shown(url: &str) -> String {
    url.split(['?', '#']).next().unwrap_or_default().chars().take(200).collect()
}

fn form<'p>(pairs: impl Iterator<Item = (&'p str, &'p str)>) -> String {
    let mut url = Url::parse("form:").expect("it is a URL");
    url.query_pairs_mut().extend_pairs(pairs);
    url.query().unwrap_or_default().to_owned()
}

fn basic(http: &Client, user: &str, password: &str) -> Option<HeaderValue> {
    let request = http.get("http://localhost/").basic_auth(user, Some(password)).build().ok()?;
    request.headers().get(AUTHORIZATION).cloned()
}

fn bearer(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_ever_shown() {
        let password = Credentials::Password { user: "anna".to_owned(), password: "hidden".to_owned() };
        let token = Credentials::IdentityToken("hidden".to_owned());
        assert!(!format!("{password:?}{token:?}").contains("hidden"));
        assert!(!format!("{:?}", bearer("hidden")).contains("hidden"));
        assert_eq!(shown("https://a/b?password=hidden"), "https://a/b");
    }

    #[test]
    fn forms_are_encoded() {
        assert_eq!(form([("a", "b c"), ("d", "e&f=g")].into_iter()), "a=b+c&d=e%26f%3Dg");
    }
}
