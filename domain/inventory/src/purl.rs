//! Package URLs in their canonical form (purl-spec; ECMA-427).
//!
//! Written and read here and nowhere else, so that one package has one spelling.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use model::Purl;

/// What is wrong with a package URL or its parts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a package URL: {0}")]
pub struct InvalidPurl(pub &'static str);

/// The parts of a package URL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PurlBuilder {
    kind: String,
    namespace: Vec<String>,
    name: String,
    version: Option<String>,
    qualifiers: BTreeMap<String, String>,
    subpath: Vec<String>,
}

impl PurlBuilder {
    /// A package of this type (`deb`, `npm`, `pypi` …) and name.
    pub fn new(kind: &str, name: &str) -> Self {
        Self { kind: kind.to_ascii_lowercase(), name: name.trim_matches('/').to_owned(), ..Self::default() }
    }

    /// The namespace: a distribution, a scope. Its segments are separated by slashes.
    #[must_use]
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.namespace = segments(namespace);
        self
    }

    /// The version.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        self.version = Some(version.to_owned()).filter(|v| !v.is_empty());
        self
    }

    /// A qualifier; one without a value is none.
    #[must_use]
    pub fn qualifier(mut self, key: &str, value: &str) -> Self {
        if !value.is_empty() {
            self.qualifiers.insert(key.to_ascii_lowercase(), value.to_owned());
        }
        self
    }

    /// A path inside the package.
    #[must_use]
    pub fn subpath(mut self, subpath: &str) -> Self {
        let inside = |segment: &String| segment != "." && segment != "..";
        self.subpath = segments(subpath).into_iter().filter(inside).collect();
        self
    }

    /// The canonical text.
    pub fn build(self) -> Result<Purl, InvalidPurl> {
        let parts = self.check()?.normalise();
        let mut text = format!("pkg:{}/", parts.kind);
        for segment in &parts.namespace {
            encode(segment, &mut text);
            text.push('/');
        }
        encode(&parts.name, &mut text);
        if let Some(version) = &parts.version {
            text.push('@');
            encode(version, &mut text);
        }
        let mut separator = '?';
        for (key, value) in &parts.qualifiers {
            text.push(separator);
            text.push_str(key);
            text.push('=');
            encode(value, &mut text);
            separator = '&';
        }
        let mut separator = '#';
        for segment in &parts.subpath {
            text.push(separator);
            encode(segment, &mut text);
            separator = '/';
        }
        Ok(Purl::from_canonical(text))
    }

    fn check(self) -> Result<Self, InvalidPurl> {
        let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        let starts_with_letter = |text: &str| text.starts_with(|c: char| c.is_ascii_alphabetic());
        let kind = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+');
        if !starts_with_letter(&self.kind) || !self.kind.bytes().all(kind) {
            return Err(InvalidPurl("the type is missing or not a word"));
        }
        if self.name.is_empty() {
            return Err(InvalidPurl("the name is missing"));
        }
        if self.kind == "swift" && self.namespace.len() < 2 {
            return Err(InvalidPurl("the namespace has to be a host and a path"));
        }
        if !self.qualifiers.keys().all(|key| starts_with_letter(key) && key.bytes().all(letters)) {
            return Err(InvalidPurl("a qualifier's key is not a word"));
        }
        Ok(self)
    }

    /// The rules of single types. npm is case-sensitive: old packages with capitals are others.
    fn normalise(mut self) -> Self {
        match self.kind.as_str() {
            "composer" | "hex" => {
                self.name.make_ascii_lowercase();
                self.namespace.iter_mut().for_each(|segment| segment.make_ascii_lowercase());
            }
            "deb" | "golang" => {
                self.name = self.name.to_lowercase();
                self.namespace.iter_mut().for_each(|segment| *segment = segment.to_lowercase());
            }
            "pub" => self.name = self.name.to_lowercase().replace('-', "_"),
            "pypi" => self.name = self.name.to_lowercase().replace('_', "-"),
            _ => {}
        }
        self
    }
}

/// Reads any spelling of a package URL and gives the canonical one.
pub fn parse(text: &str) -> Result<Purl, InvalidPurl> {
    parts(text)?.build()
}

/// What a package URL says, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// The type, in lower case.
    pub kind: String,
    /// The namespace, its segments with slashes between; empty where there is none.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The version; empty where there is none.
    pub version: String,
    /// The qualifiers.
    pub qualifiers: BTreeMap<String, String>,
}

/// Reads any spelling of a package URL and gives its parts as the canonical one has them.
pub fn take_apart(text: &str) -> Result<Parts, InvalidPurl> {
    let PurlBuilder { kind, namespace, name, version, qualifiers, .. } = parts(text)?.normalise();
    let (namespace, version) = (namespace.join("/"), version.unwrap_or_default());
    Ok(Parts { kind, namespace, name, version, qualifiers })
}

/// Takes a package URL apart, from the right as the specification says.
fn parts(text: &str) -> Result<PurlBuilder, InvalidPurl> {
    let rest = text.strip_prefix("pkg:").ok_or(InvalidPurl("it does not begin with pkg:"))?;
    let (rest, subpath) = rest.rsplit_once('#').unwrap_or((rest, ""));
    let (rest, qualifiers) = rest.rsplit_once('?').unwrap_or((rest, ""));
    let (kind, rest) =
        rest.trim_start_matches('/').split_once('/').ok_or(InvalidPurl("the type is missing"))?;
    let (path, version) = split_version(rest);
    let path = path.trim_matches('/');
    let (namespace, name) = path.rsplit_once('/').unwrap_or(("", path));
    let mut parts = PurlBuilder::new(kind, &decode(name)?).version(&decode(version)?);
    parts.namespace = decoded_segments(namespace)?;
    for pair in qualifiers.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or(InvalidPurl("a qualifier has no value"))?;
        parts = parts.qualifier(key, &decode(value)?);
    }
    let inside = |segment: &String| segment != "." && segment != "..";
    parts.subpath = decoded_segments(subpath)?.into_iter().filter(inside).collect();
    parts.check()
}

/// The version's `@` is the last one, unless that opens a scope: `@babel/core`.
fn split_version(path: &str) -> (&str, &str) {
    match path.rsplit_once('@') {
        Some((before, after)) if after.contains('/') && (before.is_empty() || before.ends_with('/')) => {
            (path, "")
        }
        Some(split) => split,
        None => (path, ""),
    }
}

fn segments(path: &str) -> Vec<String> {
    path.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect()
}

fn decoded_segments(path: &str) -> Result<Vec<String>, InvalidPurl> {
    segments(path).iter().map(|segment| decode(segment)).collect()
}

fn encode(plain: &str, into: &mut String) {
    for byte in plain.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b':' => {
                into.push(byte.into());
            }
            _ => write!(into, "%{byte:02X}").expect("a String takes everything"),
        }
    }
}

fn decode(text: &str) -> Result<String, InvalidPurl> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16));
        let (high, low) = (digit(), digit());
        let value = high.zip(low).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        bytes.push(value.ok_or(InvalidPurl("a percent sign is not followed by two digits"))?);
    }
    String::from_utf8(bytes).map_err(|_| InvalidPurl("it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, canonical: Result<&str, &'static str>) {
        let read = parse(text).map(|purl| purl.to_string());
        assert_eq!(read, canonical.map(str::to_owned).map_err(InvalidPurl), "{text}");
    }

    #[test]
    fn every_spelling_has_one_canonical_form() {
        check("pkg:PYPI/Django_package@1.0", Ok("pkg:pypi/django-package@1.0"));
        check("pkg:npm/@babel/core#/a/./b/", Ok("pkg:npm/%40babel/core#a/b"));
        check("pkg:npm/JSONStream@1", Ok("pkg:npm/JSONStream@1"));
        check("pkg:deb/Debian/A@1:2+b1?distro=x&Arch=a&e=", Ok("pkg:deb/debian/a@1:2%2Bb1?arch=a&distro=x"));
        check("pkg:composer/Symfony/HTTP-Kernel@5.4.0", Ok("pkg:composer/symfony/http-kernel@5.4.0"));
        check("pkg:hex/Acme/Foo@1", Ok("pkg:hex/acme/foo@1"));
        check("pkg:pub/Foo-bar@1", Ok("pkg:pub/foo_bar@1"));
        check("pkg:nuget/Newtonsoft.Json@1", Ok("pkg:nuget/Newtonsoft.Json@1"));
        check("pkg://npm//a", Ok("pkg:npm/a"));
        check("pkg:npm/@s/a@1", Ok("pkg:npm/%40s/a@1"));
        check("pkg:npm/a@1/2", Ok("pkg:npm/a@1%2F2"));
    }

    #[test]
    fn nothing_breaks_out_of_its_part() {
        let hostile = "a/b@c?d=e&f#g%h i";
        let purl = PurlBuilder::new("npm", "n").namespace("s").version(hostile).build().unwrap();
        assert_eq!(purl.as_str(), "pkg:npm/s/n@a%2Fb%40c%3Fd%3De%26f%23g%25h%20i");
        assert_eq!(parts(purl.as_str()).unwrap().version.as_deref(), Some(hostile));
    }

    #[test]
    fn what_is_no_package_url_is_refused() {
        check("npm/a", Err("it does not begin with pkg:"));
        check("pkg:a", Err("the type is missing"));
        check("pkg:n&m/a", Err("the type is missing or not a word"));
        check("pkg:npm/@1", Err("the name is missing"));
        check("pkg:swift/github.com/a@1", Err("the namespace has to be a host and a path"));
        check("pkg:npm//", Err("the name is missing"));
        check("pkg:npm/a?b c=d", Err("a qualifier's key is not a word"));
        check("pkg:npm/a%2", Err("a percent sign is not followed by two digits"));
        check("pkg:npm/a%ff", Err("it is not UTF-8"));
    }
}
