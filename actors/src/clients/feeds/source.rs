//! Where a feed is read from, as it is written in its configuration.

use std::path::PathBuf;

use reqwest::Url;
use store::feed_control::BUNDLES_ONLY;

use super::Error;

/// What stands before the address of a bucket.
const BUCKET: &str = "bucket+";

/// Where a feed's records are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `file:///path`: a folder of files, or one file.
    Local(PathBuf),
    /// `https://…`: an archive, a document, or a file of one record a line, packed or not.
    Web(Url),
    /// `bucket+https://…/ECOSYSTEM`: an OSV bucket: `all.zip`, `modified_id.csv`, and one file for each record.
    Bucket(Url),
    /// `bundle:`: nowhere; people bring it.
    Bundles,
}

impl Source {
    /// Takes the addresses above; `http://…` only when `plain_http`.
    pub fn parse(uri: &str, plain_http: bool) -> Result<Self, Error> {
        let shown = || uri.chars().take(200).collect::<String>();
        let invalid = |why| Error::InvalidSource { uri: shown(), why };
        if uri == BUNDLES_ONLY {
            return Ok(Self::Bundles);
        }
        let (address, in_bucket) = uri.strip_prefix(BUCKET).map_or((uri, false), |rest| (rest, true));
        let mut url = Url::parse(address).map_err(|_| invalid("it is no URL"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("it holds a user name or password"));
        }
        match url.scheme() {
            "file" if !in_bucket => {
                return url.to_file_path().map(Self::Local).map_err(|()| invalid("it names no local folder"));
            }
            "https" => {}
            "http" if plain_http => {}
            "http" => return Err(invalid("http is not encrypted; use https")),
            scheme => return Err(Error::UnknownScheme { uri: shown(), scheme: scheme.to_owned() }),
        }
        if !in_bucket {
            return Ok(Self::Web(url));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(invalid("a bucket's address ends with the name of an ecosystem"));
        }
        // What is joined to it comes below it.
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(Self::Bucket(url))
    }
}

#[cfg(test)]
mod tests {
    use store::feed_control::Fault;

    use super::*;

    #[test]
    fn only_known_and_encrypted_addresses_are_sources() {
        let parse = |uri, plain| Source::parse(uri, plain).map_err(|error| error.fault());
        assert_eq!(parse("file:///srv/osv", false), Ok(Source::Local("/srv/osv".into())));
        assert_eq!(parse("bundle:", false), Ok(Source::Bundles));
        assert!(matches!(parse("https://example.org/all.zip", false), Ok(Source::Web(_))));
        assert!(matches!(parse("http://example.org/all.zip", true), Ok(Source::Web(_))));
        for blocked in
            ["", "srv/osv", "http://example.org/", "https://a:b@example.org/", "bucket+https://e.org/?a"]
        {
            assert_eq!(parse(blocked, false), Err(Fault::Blocked), "{blocked:?}");
        }
        for unknown in ["ftp://example.org/", "s3://bucket/npm", "bucket+file:///srv/npm"] {
            assert_eq!(parse(unknown, false), Err(Fault::Unsupported), "{unknown:?}");
        }
    }

    #[test]
    fn a_bucket_is_a_place_that_others_are_below() {
        let Ok(Source::Bucket(url)) = Source::parse("bucket+https://example.org/osv/Red Hat", false) else {
            panic!("it is a bucket");
        };
        assert_eq!(url.join("all.zip").unwrap().as_str(), "https://example.org/osv/Red%20Hat/all.zip");
    }
}
