//! How people name an image of a registry: `host[:port]/repository[:tag][@digest]`, or docker's short form.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use model::Digest;
use reqwest::Url;

/// The registry that a name without one means.
const USUAL_REGISTRY: &str = "docker.io";
const USUAL_TAG: &str = "latest";
/// As the distribution specification bounds them.
const REPOSITORY_BYTES: usize = 255;
const TAG_BYTES: usize = 128;
const HOST_BYTES: usize = 255;

/// The name of an image in a registry, complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    host: Host,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
    is_short: bool,
}

/// A machine, and a port where it is not the usual one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Host(String);

/// The text names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the name of an image: {why}")]
pub struct InvalidReference {
    text: String,
    why: &'static str,
}

impl Reference {
    /// The registry, as people call it.
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// The repository in it.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The digest, when it has one. It then decides, whatever the tag.
    pub const fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Whether the registry was not said but understood.
    pub const fn is_short(&self) -> bool {
        self.is_short
    }

    /// What to ask the registry for: the digest, else the tag.
    pub fn wanted(&self) -> &str {
        let tag = || self.tag.as_deref().unwrap_or(USUAL_TAG);
        self.digest.as_ref().map_or_else(tag, Digest::as_str)
    }

    /// What the image may be called afterwards: with its tag and without its digest, and also in short when it was
    /// asked for in short. Nothing when it has a digest alone.
    pub fn names(&self) -> Vec<String> {
        let Some(name) = self.name() else { return Vec::new() };
        let short = name.strip_prefix("docker.io/").filter(|_| self.is_short);
        let short = short.map(|name| name.strip_prefix("library/").unwrap_or(name).to_owned());
        [Some(name), short].into_iter().flatten().collect()
    }

    fn name(&self) -> Option<String> {
        let usual = self.digest.is_none().then_some(USUAL_TAG);
        let tag = self.tag.as_deref().or(usual)?;
        Some(format!("{}/{}:{tag}", self.host, self.repository))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.name(), &self.digest) {
            (Some(name), None) => f.write_str(&name),
            (Some(name), Some(digest)) => write!(f, "{name}@{digest}"),
            (None, _) => write!(f, "{}/{}@{}", self.host, self.repository, self.wanted()),
        }
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        read(text).map_err(|why| InvalidReference { text: text.chars().take(200).collect(), why })
    }
}

fn read(text: &str) -> Result<Reference, &'static str> {
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(digest.parse().map_err(|_| "its digest is none of sha256")?)),
        None => (text, None),
    };
    let (name, tag) = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (name, None),
    };
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Err("its tag is not made of letters, digits, '_', '.' and '-'");
    }
    let said = name.split_once('/').filter(|(first, _)| is_host(first));
    let (host, path) = said.unwrap_or((USUAL_REGISTRY, name));
    let host = if host == "index.docker.io" { USUAL_REGISTRY } else { host };
    let is_of_docker = host == USUAL_REGISTRY && !path.contains('/');
    let repository = if is_of_docker { format!("library/{path}") } else { path.to_owned() };
    if !is_repository(&repository) {
        return Err("a repository is lowercase words with '.', '_' or '-' within, and '/' between them");
    }
    let (host, tag) = (host.parse()?, tag.map(str::to_owned));
    Ok(Reference { host, repository, tag, digest, is_short: said.is_none() })
}

/// Docker's rule: the part before the first slash is a registry when it could be no part of a repository.
fn is_host(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost"
}

fn is_tag(tag: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    (1..=TAG_BYTES).contains(&tag.len()) && tag.bytes().all(good) && !tag.starts_with(['.', '-'])
}

fn is_repository(path: &str) -> bool {
    path.len() <= REPOSITORY_BYTES && path.split('/').all(is_word)
}

/// Letters and digits, with one `.`, one or two `_`, or any number of `-` between them.
fn is_word(word: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_between = |mark: &str| matches!(mark, "" | "." | "_" | "__") || mark.bytes().all(|b| b == b'-');
    word.starts_with(is_letter) && word.ends_with(is_letter) && word.split(is_letter).all(is_between)
}

impl Host {
    /// The machine and port that answer for it: those of docker.io are called otherwise.
    pub fn address(&self) -> &str {
        if self.0 == USUAL_REGISTRY { "registry-1.docker.io" } else { &self.0 }
    }

    /// Under which name docker keeps what is needed to sign in there.
    pub fn sign_in_name(&self) -> &str {
        if self.0 == USUAL_REGISTRY { "https://index.docker.io/v1/" } else { &self.0 }
    }

    /// Whether it is this machine.
    pub fn is_loopback(&self) -> bool {
        let name = name_and_port(&self.0).0;
        name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Host {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, port) = name_and_port(text);
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
        let is_name = !text.starts_with('[') && name.bytes().all(plain) && !name.starts_with(['.', '-']);
        let is_six = text.starts_with('[') && name.parse::<Ipv6Addr>().is_ok();
        // Numbers that are no address, and letters of the world that are written wrongly, are no host of a URL.
        let is_of_url = Url::parse(&format!("https://{text}/")).is_ok();
        let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
        let good = text.len() <= HOST_BYTES && is_port && (is_name || is_six) && is_of_url;
        if good { Ok(Self(text.to_owned())) } else { Err("its registry is no host[:port]") }
    }
}

/// `host:port` and `[::1]:port` taken apart, without the brackets.
fn name_and_port(text: &str) -> (&str, Option<&str>) {
    if let Some((address, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        return (address, if rest.is_empty() { None } else { Some(rest.strip_prefix(':').unwrap_or("")) });
    }
    text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, whole: &str, wanted: &str) {
        let reference: Reference = text.parse().unwrap();
        assert_eq!((reference.to_string().as_str(), reference.wanted()), (whole, wanted));
    }

    #[test]
    fn short_names_mean_docker_hub_and_the_latest() {
        check("alpine", "docker.io/library/alpine:latest", "latest");
        check("alpine:3.20", "docker.io/library/alpine:3.20", "3.20");
        check("grafana/loki", "docker.io/grafana/loki:latest", "latest");
        check("index.docker.io/alpine", "docker.io/library/alpine:latest", "latest");
        check("localhost/app", "localhost/app:latest", "latest");
        check("quay.io/a/b/c-d__e.f:v1", "quay.io/a/b/c-d__e.f:v1", "v1");
        check("127.0.0.1:5000/app:1", "127.0.0.1:5000/app:1", "1");
        check("[::1]:5000/app:1", "[::1]:5000/app:1", "1");
    }

    #[test]
    fn a_digest_decides_and_the_tag_stays_the_name() {
        let digest = Digest::of(b"x");
        check(&format!("a.io/b@{digest}"), &format!("a.io/b@{digest}"), digest.as_str());
        check(&format!("a.io/b:1@{digest}"), &format!("a.io/b:1@{digest}"), digest.as_str());
        let named = |text: &str| text.parse::<Reference>().unwrap().names();
        assert_eq!(named(&format!("a.io/b:1@{digest}")), ["a.io/b:1"]);
        assert!(named(&format!("a.io/b@{digest}")).is_empty());
        assert_eq!(named("alpine"), ["docker.io/library/alpine:latest", "alpine:latest"]);
        assert_eq!(named("a/b:1"), ["docker.io/a/b:1", "a/b:1"]);
    }

    #[test]
    fn what_names_no_image_is_refused() {
        let long = "a".repeat(256);
        for bad in [
            "",
            "/",
            "./app",
            "../app",
            "/app",
            "App",
            "a//b",
            "a/",
            "a:",
            "a:.x",
            "a b",
            "a_",
            "1.2.3.4.5/a",
            "xn--a.io/a",
            "a..b",
            "a___b",
            "a@sha256:00",
            "a@md5:1",
            "host:0/a",
            "host:99999/a",
            "ho$t.io/a",
            "[::1/a",
            "[x]:5/a",
            "a.io/B",
            "user@host/a",
            "a?b",
            "a.io/%2e%2e/b",
            &long,
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn this_machine_is_known_by_its_names() {
        let here = |host: &str| host.parse::<Host>().unwrap().is_loopback();
        assert!(
            ["localhost", "localhost:5000", "127.0.0.1", "127.9.9.9:1", "[::1]:5000"].into_iter().all(here)
        );
        assert!(
            !["localhost.example.org", "127.0.0.1.example.org", "10.0.0.1", "[::2]"].into_iter().any(here)
        );
    }
}
