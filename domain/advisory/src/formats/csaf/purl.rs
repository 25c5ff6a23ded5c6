//! Package URLs of Red Hat's RPM packages, as far as they are needed: `pkg:rpm/redhat/NAME@VERSION?arch=…&epoch=…`.

/// What such an address names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rpm {
    pub(super) name: String,
    /// With its epoch, where it is not 0.
    pub(super) version: Option<String>,
    /// Whether it is a source package.
    pub(super) is_source: bool,
    /// Whether it belongs to a module.
    pub(super) is_modular: bool,
}

/// Whether this is a module's own address.
pub(super) fn is_module(purl: &str) -> bool {
    purl.starts_with("pkg:rpmmod/")
}

impl Rpm {
    /// Reads an address; `None` for those of other things.
    pub(super) fn parse(purl: &str) -> Option<Self> {
        let rest = purl.strip_prefix("pkg:rpm/redhat/")?;
        let rest = rest.split('#').next().unwrap_or_default();
        let (path, qualifiers) = rest.split_once('?').unwrap_or((rest, ""));
        let (name, version) = path.split_once('@').map_or((path, None), |(n, v)| (n, Some(v)));
        let qualifier = |key: &str| {
            let pairs = qualifiers.split('&').filter_map(|pair| pair.split_once('='));
            pairs.filter(|(name, _)| *name == key).map(|(_, value)| decode(value)).next()
        };
        let version = version.map(decode).filter(|version| !version.is_empty());
        let epoch = qualifier("epoch").filter(|epoch| epoch != "0");
        let is_modular =
            qualifier("rpmmod").is_some() || version.as_ref().is_some_and(|v| v.contains(".module+"));
        Some(Self {
            name: decode(name),
            version: version.map(|version| epoch.map_or(version.clone(), |e| format!("{e}:{version}"))),
            is_source: qualifier("arch").is_some_and(|arch| arch == "src"),
            is_modular,
        })
        .filter(|rpm| !rpm.name.is_empty() && !rpm.name.contains(char::is_control))
    }
}

/// Undoes `%2B` and its like; what is no such thing stays.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let hex = tail.get(..2).and_then(|hex| str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(purl: &str, name: &str, version: Option<&str>, is_source: bool, is_modular: bool) {
        let version = version.map(str::to_owned);
        assert_eq!(Rpm::parse(purl), Some(Rpm { name: name.to_owned(), version, is_source, is_modular }));
    }

    #[test]
    fn addresses_name_a_package_its_version_and_what_it_is() {
        check("pkg:rpm/redhat/curl", "curl", None, false, false);
        check("pkg:rpm/redhat/curl?arch=src", "curl", None, true, false);
        check(
            "pkg:rpm/redhat/libstdc%2B%2B@1-2.el9?arch=x86_64&epoch=0",
            "libstdc++",
            Some("1-2.el9"),
            false,
            false,
        );
        check("pkg:rpm/redhat/openssl@3-4?epoch=1&arch=i686", "openssl", Some("1:3-4"), false, false);
        check("pkg:rpm/redhat/go@rhel8?arch=src&rpmmod=go:rhel8", "go", Some("rhel8"), true, true);
        check("pkg:rpm/redhat/perl@5-1.module%2Bel8", "perl", Some("5-1.module+el8"), false, true);
        check("pkg:rpm/redhat/a%2@%%zz%", "a%2", Some("%%zz%"), false, false);
        for other in ["pkg:rpmmod/redhat/go@rhel8", "pkg:rpm/redhat/", "pkg:rpm/fedora/curl", "pkg:oci/a", ""]
        {
            assert_eq!(Rpm::parse(other), None, "{other}");
        }
    }
}
