//! Where repositories are: registries, and mirrors of them.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;

use super::reference::{Host, Reference};

/// A registry, or a folder of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    host: Host,
    prefix: Option<String>,
}

/// A place that has what another registry has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// The other registry.
    pub of: Host,
    /// The place.
    pub place: Place,
}

/// The text names no mirror.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not written REGISTRY=HOST[:PORT][/FOLDER], such as docker.io=mirror.example:5000")]
pub struct InvalidMirror(String);

impl Place {
    /// The registry that a name names.
    pub fn of(reference: &Reference) -> Self {
        Self { host: reference.host().clone(), prefix: None }
    }

    /// The registry.
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// Where a repository's manifests and blobs are.
    pub(super) fn url(&self, repository: &str, is_plain: bool) -> Url {
        let scheme = if is_plain { "http" } else { "https" };
        let folder = self.prefix.as_ref().map(|prefix| format!("{prefix}/")).unwrap_or_default();
        let url = format!("{scheme}://{}/v2/{folder}{repository}/", self.host.address());
        Url::parse(&url).expect("hosts and repositories hold only what may be in a URL")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.host)?;
        self.prefix.iter().try_for_each(|prefix| write!(f, "/{prefix}"))
    }
}

impl FromStr for Mirror {
    type Err = InvalidMirror;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mirror = || {
            let (of, place) = text.split_once('=')?;
            let (host, prefix) =
                place.split_once('/').map_or((place, None), |(host, rest)| (host, Some(rest)));
            // A folder is written like a repository.
            let prefix =
                prefix.map(|prefix| format!("x.io/{prefix}").parse::<Reference>()).transpose().ok()?;
            let prefix = prefix.map(|reference| reference.repository().to_owned());
            Some(Self { of: of.parse().ok()?, place: Place { host: host.parse().ok()?, prefix } })
        };
        mirror().ok_or_else(|| InvalidMirror(text.chars().take(200).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_may_be_a_folder_of_a_registry() {
        let mirror: Mirror = "docker.io=mirror.example:5000/hub".parse().unwrap();
        let url = mirror.place.url("library/alpine", false);
        assert_eq!(url.as_str(), "https://mirror.example:5000/v2/hub/library/alpine/");
        assert_eq!(mirror.place.to_string(), "mirror.example:5000/hub");
        for bad in ["", "docker.io", "docker.io=", "=a", "docker.io=https://a", "docker.io=a/../b", "a=b/"] {
            assert!(bad.parse::<Mirror>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn docker_hub_answers_elsewhere() {
        let place = Place::of(&"alpine".parse().unwrap());
        assert_eq!(
            place.url("library/alpine", false).as_str(),
            "https://registry-1.docker.io/v2/library/alpine/"
        );
        let here = Place::of(&"[::1]:5000/a".parse().unwrap());
        assert_eq!(here.url("a", true).as_str(), "http://[::1]:5000/v2/a/");
    }
}
