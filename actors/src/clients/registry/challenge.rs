//! What a registry asks for when it answers 401: the header `WWW-Authenticate` (RFC 9110, 11.6.1).

/// How to sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// With name and password.
    Basic,
    /// With a token of the service at `realm`.
    Bearer {
        /// The address that gives tokens.
        realm: String,
        /// The service that the token is for.
        service: Option<String>,
        /// What it shall allow.
        scope: Option<String>,
    },
}

impl Challenge {
    /// The first challenge of the headers that can be met.
    pub(super) fn read<'h>(headers: impl Iterator<Item = &'h str>) -> Option<Self> {
        headers.flat_map(challenges).find_map(|(scheme, parameters)| Self::of(scheme, parameters))
    }

    fn of(scheme: &str, mut parameters: Vec<(String, String)>) -> Option<Self> {
        let mut take = |name: &str| {
            let at = parameters.iter().position(|(key, _)| key.eq_ignore_ascii_case(name))?;
            Some(parameters.swap_remove(at).1)
        };
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        Some(Self::Bearer { realm: take("realm")?, service: take("service"), scope: take("scope") })
    }
}

/// Schemes and their parameters. What breaks the grammar ends the list.
fn challenges(header: &str) -> Vec<(&str, Vec<(String, String)>)> {
    let mut found: Vec<(&str, Vec<(String, String)>)> = Vec::new();
    let mut rest = header.trim_start_matches([' ', '\t', ',']);
    while let Some((word, after)) = token(rest) {
        let value = after.trim_start().strip_prefix('=');
        match (value.and_then(|value| parameter(value.trim_start())), found.last_mut()) {
            (Some((value, after)), Some((_, parameters))) => {
                parameters.push((word.to_owned(), value));
                rest = after;
            }
            (None, _) if value.is_none() => {
                found.push((word, Vec::new()));
                rest = after;
            }
            _ => break,
        }
        rest = rest.trim_start_matches([' ', '\t', ',']);
    }
    found
}

fn token(text: &str) -> Option<(&str, &str)> {
    let good = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let end = text.find(|c| !good(c)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// A value, with or without quotes, and what follows it.
fn parameter(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (word, rest) = token(text)?;
        return Some((word.to_owned(), rest));
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    loop {
        match letters.next()? {
            (at, '"') => return Some((value, &quoted[at + 1..])),
            (_, '\\') => value.push(letters.next()?.1),
            (_, letter) => value.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Challenge> {
        let (service, scope) = (service.map(str::to_owned), scope.map(str::to_owned));
        Some(Challenge::Bearer { realm: realm.to_owned(), service, scope })
    }

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let read = |header: &str| Challenge::read([header].into_iter());
        let hub = r#"Bearer realm="https://a/token",service="r.io",scope="repository:a/b:pull,push""#;
        assert_eq!(read(hub), bearer("https://a/token", Some("r.io"), Some("repository:a/b:pull,push")));
        assert_eq!(read(r#"bearer Realm = "a\"b" , x=y"#), bearer("a\"b", None, None));
        assert_eq!(read(r#"Basic realm="Registry Realm""#), Some(Challenge::Basic));
        assert_eq!(read(r#"Negotiate, Bearer realm="x""#), bearer("x", None, None));
        assert_eq!(read(r#"Bearer service="x", Basic realm="y""#), Some(Challenge::Basic));
        for none in ["", "Negotiate", "Bearer", r#"Bearer realm="open"#, "=x", "Bearer realm=", "\u{e9}"] {
            assert_eq!(read(none), None, "{none:?}");
        }
    }
}
