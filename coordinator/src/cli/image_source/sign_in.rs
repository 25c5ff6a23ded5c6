//! How registries are reached, and who we are to them: flags, the environment, and what `docker login` left.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::{Path, PathBuf};

use actors::clients::registry::{Credentials, Host, Mirror, Place, Reference};
use clap::Args;
use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};

use super::SourceError;
use crate::config::Environment;

const MIRRORS: &str = "STARLING_REGISTRY_MIRRORS";
const PASSWORD: &str = "STARLING_REGISTRY_PASSWORD";
/// Longer passwords and settings are none.
const PASSWORD_BYTES: u64 = 64 << 10;
const CONFIG_BYTES: u64 = 1 << 20;

/// Flags for images that are pulled.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct RegistryFlags {
    /// User at the registry; the password comes from STARLING_REGISTRY_PASSWORD or standard input. Without it,
    /// what `docker login` left is used
    #[arg(long, value_name = "NAME", help_heading = "Registry")]
    registry_user: Option<String>,
    /// Ask HOST[:PORT][/FOLDER] first for what REGISTRY has; may be given several times
    /// [env: STARLING_REGISTRY_MIRRORS, with commas between]
    #[arg(long, value_name = "REGISTRY=HOST", help_heading = "Registry")]
    registry_mirror: Vec<Mirror>,
    /// Speak to registries without encryption; this machine's own are in any case
    #[arg(long, help_heading = "Registry")]
    plain_http: bool,
}

/// How registries are reached.
#[derive(Debug, Clone)]
pub(in crate::cli) struct SignIn {
    given: Option<Credentials>,
    mirrors: Vec<Mirror>,
    docker_config: Option<PathBuf>,
    pub(super) plain_http: bool,
}

impl RegistryFlags {
    /// Flag over environment. Reads standard input where a password is to come from there.
    pub(in crate::cli) fn sign_in(&self, env: &Environment) -> Result<SignIn, SourceError> {
        let mut mirrors = self.registry_mirror.clone();
        if mirrors.is_empty() {
            let named = env.get(MIRRORS).into_iter().flat_map(|list| list.split(',')).map(str::trim);
            mirrors = named.map(str::parse).collect::<Result<_, _>>().map_err(SourceError::Mirror)?;
        }
        let given = self.registry_user.clone().map(|user| given(user, env)).transpose()?;
        let docker_config = env.docker_config_file().filter(|file| file.is_file());
        Ok(SignIn { given, mirrors, docker_config, plain_http: self.plain_http })
    }
}

fn given(user: String, env: &Environment) -> Result<Credentials, SourceError> {
    let password = match env.get(PASSWORD) {
        Some(password) => password.to_owned(),
        None if io::stdin().is_terminal() => return Err(SourceError::NoPassword),
        None => password_of(io::stdin().lock()).ok_or(SourceError::NoPassword)?,
    };
    Ok(Credentials::Password { user, password })
}

/// All of it, without the end of its line.
fn password_of(reader: impl Read) -> Option<String> {
    let mut text = String::new();
    reader.take(PASSWORD_BYTES).read_to_string(&mut text).ok()?;
    let password = text.trim_end_matches(['\r', '\n']);
    (!password.is_empty()).then(|| password.to_owned())
}

impl SignIn {
    /// Where an image may be, in the order in which to ask, and who to be there.
    pub(super) fn places(&self, reference: &Reference) -> Result<Vec<(Place, Credentials)>, SourceError> {
        let mirrors = self.mirrors.iter().filter(|mirror| mirror.of == *reference.host());
        // What was given is for the registry of that name, and for no mirror.
        let mut places = mirrors
            .map(|mirror| Ok((mirror.place.clone(), self.left_by_docker(mirror.place.host())?)))
            .collect::<Result<Vec<_>, SourceError>>()?;
        let own = match &self.given {
            Some(credentials) => credentials.clone(),
            None => self.left_by_docker(reference.host())?,
        };
        places.push((Place::of(reference), own));
        Ok(places)
    }

    fn left_by_docker(&self, host: &Host) -> Result<Credentials, SourceError> {
        let Some(path) = &self.docker_config else { return Ok(Credentials::Anonymous) };
        read(path, host.sign_in_name()).map_err(|why| SourceError::Credentials { path: path.clone(), why })
    }
}

/// What docker's configuration holds for a registry, or a helper that it names gives.
fn read(config: &Path, name: &str) -> Result<Credentials, String> {
    let file = File::open(config).map_err(|error| error.to_string())?;
    match get_credential_from_reader(file.take(CONFIG_BYTES), name) {
        Ok(DockerCredential::UsernamePassword(user, password)) => {
            Ok(Credentials::Password { user, password })
        }
        Ok(DockerCredential::IdentityToken(token)) => Ok(Credentials::IdentityToken(token)),
        Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(Credentials::Anonymous),
        // The words by which helpers say that they know nobody of this name.
        Err(CredentialRetrievalError::HelperFailure { stdout, stderr, .. })
            if [&stdout, &stderr].iter().any(|said| said.contains("credentials not found")) =>
        {
            Ok(Credentials::Anonymous)
        }
        // What a helper prints may be anything.
        Err(CredentialRetrievalError::HelperFailure { helper, .. }) => {
            Err(format!("{helper} gives no credentials for {name}"))
        }
        Err(error) => Err(format!("{error} (for {name})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign_in(config: &str, flags: RegistryFlags) -> (tempfile::TempDir, SignIn) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config.json"), config).unwrap();
        let home = dir.path().to_str().unwrap();
        let mirrors = "r.io=m.io/r, docker.io=other.io";
        let env = Environment::of([("DOCKER_CONFIG", home), (PASSWORD, "given"), (MIRRORS, mirrors)]);
        let sign_in = flags.sign_in(&env).unwrap();
        (dir, sign_in)
    }

    fn password(user: &str, password: &str) -> Credentials {
        Credentials::Password { user: user.to_owned(), password: password.to_owned() }
    }

    fn places(sign_in: &SignIn, name: &str) -> Vec<(String, Credentials)> {
        let places = sign_in.places(&name.parse().unwrap()).unwrap();
        places.into_iter().map(|(place, who)| (place.to_string(), who)).collect()
    }

    /// `anna:secret` and `hub:secret`.
    const CONFIG: &str = r#"{"auths": {"r.io": {"auth": "YW5uYTpzZWNyZXQ="},
        "https://index.docker.io/v1/": {"auth": "aHViOnNlY3JldA=="},
        "m.io": {"identitytoken": "kept"}}}"#;

    #[test]
    fn what_docker_left_is_used_for_the_registry_of_that_name() {
        let (_keep, sign_in) = sign_in(CONFIG, RegistryFlags::default());
        let only = |name: &str| places(&sign_in, name).pop().unwrap().1;
        assert_eq!(only("r.io/a"), password("anna", "secret"));
        assert_eq!(only("alpine"), password("hub", "secret"));
        assert_eq!(only("m.io/a"), Credentials::IdentityToken("kept".to_owned()));
        assert_eq!(only("other.io/a"), Credentials::Anonymous);
    }

    #[test]
    fn a_mirror_is_asked_first_and_never_gets_the_registrys_password() {
        let flags = RegistryFlags { registry_user: Some("eva".to_owned()), ..RegistryFlags::default() };
        let (_keep, sign_in) = sign_in(CONFIG, flags);
        let token = Credentials::IdentityToken("kept".to_owned());
        let expected = [("m.io/r".to_owned(), token), ("r.io".to_owned(), password("eva", "given"))];
        assert_eq!(places(&sign_in, "r.io/a"), expected);
        assert_eq!(places(&sign_in, "alpine")[0], ("other.io".to_owned(), Credentials::Anonymous));
    }

    #[test]
    fn broken_settings_are_said_with_their_file() {
        let (keep, sign_in) = sign_in("{", RegistryFlags::default());
        let error = sign_in.places(&"r.io/a".parse().unwrap()).unwrap_err().to_string();
        assert!(error.starts_with(&keep.path().join("config.json").display().to_string()), "{error}");
        let helper = r#"{"credHelpers": {"r.io": "of-nobody-at-all"}}"#;
        let (_keep, sign_in) = self::sign_in(helper, RegistryFlags::default());
        assert!(sign_in.places(&"r.io/a".parse().unwrap()).is_err());
    }

    #[test]
    fn a_password_is_a_line_and_no_more() {
        assert_eq!(password_of(&b"a b\r\n"[..]).as_deref(), Some("a b"));
        assert_eq!(password_of(&b"\n"[..]), None);
        assert_eq!(password_of(&b"\xff"[..]), None);
    }
}
