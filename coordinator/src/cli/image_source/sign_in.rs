//! How registries are reached, and who we are to them: flags, the environment, and what `docker login` and `podman
//! login` left.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::{Path, PathBuf};

use actors::clients::registry::{Credentials, Host, Mirror, Place, Reference};
use clap::Args;
use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};
use serde::Deserialize;
use serde::de::IgnoredAny;

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
    /// what `docker login` or `podman login` left is used
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
    kept: Vec<Kept>,
    pub(super) plain_http: bool,
}

/// A file in which somebody's login is kept.
#[derive(Debug, Clone)]
enum Kept {
    /// By docker: for a registry.
    Docker(PathBuf),
    /// By podman, buildah and skopeo (containers-auth.json(5)): for a registry, a namespace in it or a repository.
    Containers(PathBuf),
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
        Ok(SignIn { given, mirrors, kept: kept(env), plain_http: self.plain_http })
    }
}

/// The files in the order in which they are asked: the one that is named, else those that are there, docker's first.
fn kept(env: &Environment) -> Vec<Kept> {
    if let Some(file) = env.named_auth_file() {
        return vec![Kept::Containers(file)];
    }
    let docker = env.docker_config_file().into_iter().map(Kept::Docker);
    let others = env.usual_auth_files().into_iter().map(Kept::Containers);
    docker.chain(others).filter(|kept| kept.path().is_file()).collect()
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
            .map(|mirror| Ok((mirror.place.clone(), self.left(&mirror.place, reference.repository())?)))
            .collect::<Result<Vec<_>, SourceError>>()?;
        let own = match &self.given {
            Some(credentials) => credentials.clone(),
            None => self.left(&Place::of(reference), reference.repository())?,
        };
        places.push((Place::of(reference), own));
        Ok(places)
    }

    /// What the first file that knows the place holds for it.
    fn left(&self, place: &Place, repository: &str) -> Result<Credentials, SourceError> {
        for kept in &self.kept {
            let found = kept.read(place, repository);
            let found =
                found.map_err(|why| SourceError::Credentials { path: kept.path().to_owned(), why })?;
            if found != Credentials::Anonymous {
                return Ok(found);
            }
        }
        Ok(Credentials::Anonymous)
    }
}

impl Kept {
    fn path(&self) -> &Path {
        match self {
            Self::Docker(path) | Self::Containers(path) => path,
        }
    }

    fn read(&self, place: &Place, repository: &str) -> Result<Credentials, String> {
        let mut bytes = Vec::new();
        let file = File::open(self.path()).map_err(|error| error.to_string())?;
        file.take(CONFIG_BYTES).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        match self {
            Self::Docker(_) => credentials(&bytes, place.host().sign_in_name()),
            Self::Containers(_) => {
                let names = names(place, repository);
                credentials(&bytes, &most_precise(&bytes, names, place.host())?)
            }
        }
    }
}

/// A repository, its namespaces and its registry, the most precise first.
fn names(place: &Place, repository: &str) -> Vec<String> {
    let mut name = format!("{place}/{repository}");
    let mut names = vec![name.clone()];
    while let Some((shorter, _)) = name.rsplit_once('/') {
        name = shorter.to_owned();
        names.push(name.clone());
    }
    names
}

/// The name under which such a file holds something. Helpers know only registries, and go before what is written.
fn most_precise(bytes: &[u8], names: Vec<String>, host: &Host) -> Result<String, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Names {
        auths: Option<BTreeMap<String, IgnoredAny>>,
        cred_helpers: Option<BTreeMap<String, IgnoredAny>>,
    }
    let held: Names = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let has_helper = held.cred_helpers.is_some_and(|helpers| helpers.contains_key(&host.to_string()));
    let auths = held.auths.unwrap_or_default();
    let precise = names.into_iter().find(|name| !has_helper && auths.contains_key(name));
    Ok(precise.unwrap_or_else(|| host.to_string()))
}

/// What such a file holds under a name, or a helper that it names gives.
fn credentials(config: &[u8], name: &str) -> Result<Credentials, String> {
    match get_credential_from_reader(config, name) {
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

    /// `anna:secret`, `bert:secret` and `carl:secret`.
    const AUTHS: &str = r#"{"auths": {"r.io": {"auth": "YW5uYTpzZWNyZXQ="}, "r.io/team": {"auth": "YmVydDpzZWNyZXQ="},
        "r.io/team/app": {"auth": "Y2FybDpzZWNyZXQ="}, "docker.io": {"auth": "YW5uYTpzZWNyZXQ="}}}"#;

    fn containers(auths: &str) -> (tempfile::TempDir, SignIn) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("auth.json");
        std::fs::write(&file, auths).unwrap();
        let env = Environment::of([("REGISTRY_AUTH_FILE", file.to_str().unwrap())]);
        let sign_in = RegistryFlags::default().sign_in(&env).unwrap();
        (dir, sign_in)
    }

    #[test]
    fn of_what_podman_left_the_most_precise_name_counts() {
        let (_keep, sign_in) = containers(AUTHS);
        let only = |name: &str| places(&sign_in, name).pop().unwrap().1;
        for (name, user) in [
            ("r.io/other", "anna"),
            ("r.io/teams/app", "anna"),
            ("r.io/team/tool:1", "bert"),
            ("r.io/team/app", "carl"),
            ("r.io/team/app/part", "carl"),
            ("alpine", "anna"),
        ] {
            assert_eq!(only(name), password(user, "secret"), "{name}");
        }
        assert_eq!(only("team/app"), password("anna", "secret"), "docker.io, and no namespace of another");
        assert_eq!(only("s.io/team/app"), Credentials::Anonymous);
    }

    #[test]
    fn a_helper_knows_registries_and_goes_before_what_is_written() {
        let helped =
            r#"{"credHelpers": {"r.io": "of-nobody-at-all"}, "auths": {"r.io/team": {"auth": "YTpi"}}}"#;
        let (_keep, sign_in) = containers(helped);
        let error = sign_in.places(&"r.io/team/app".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("(for r.io)"), "{error}");
    }

    #[test]
    fn dockers_file_is_asked_first_and_a_file_that_is_named_alone() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().to_str().unwrap();
        let folder = dir.path().join("containers");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("auth.json"), AUTHS.replace("r.io/team", "m.io")).unwrap();
        std::fs::write(dir.path().join("config.json"), CONFIG).unwrap();
        let variables = [("DOCKER_CONFIG", home), ("XDG_RUNTIME_DIR", home)];
        let sign_in = RegistryFlags::default().sign_in(&Environment::of(variables)).unwrap();
        let only = |sign_in: &SignIn, name: &str| places(sign_in, name).pop().unwrap().1;
        assert_eq!(only(&sign_in, "alpine"), password("hub", "secret"));
        assert_eq!(only(&sign_in, "m.io/a"), Credentials::IdentityToken("kept".to_owned()));
        std::fs::write(dir.path().join("config.json"), "{}").unwrap();
        assert_eq!(only(&sign_in, "m.io/a"), password("bert", "secret"));

        let missing = dir.path().join("none").display().to_string();
        let named = Environment::of([("DOCKER_CONFIG", home), ("REGISTRY_AUTH_FILE", &missing)]);
        let sign_in = RegistryFlags::default().sign_in(&named).unwrap();
        let error = sign_in.places(&"alpine".parse().unwrap()).unwrap_err().to_string();
        assert!(error.starts_with(&missing), "{error}");
    }

    fn sign_in(config: &str, flags: RegistryFlags) -> (tempfile::TempDir, SignIn) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config.json"), config).unwrap();
        let home = dir.path().to_str().unwrap();
        let mirrors = "r.io=m.io/r, docker.io=other.io";
        let env = Environment::of([
            ("DOCKER_CONFIG", home),
            ("XDG_RUNTIME_DIR", home),
            (PASSWORD, "given"),
            (MIRRORS, mirrors),
        ]);
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
