//! Where a store is and how to speak to it.

use std::fmt;
use std::path::PathBuf;

use lakefeed_core::{Error, Result};

use crate::access::{Proxy, Role};

/// A store and how to speak to it. Made by hand, from a connector's keys ([`StoreConfig::from_config`]) or from a command line
/// ([`StoreConfig::from_url`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// Where it is.
    pub location: Location,
    /// How to speak to it, if it is S3.
    pub s3: S3Settings,
}

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A directory; it is made when it is missing.
    Local(PathBuf),
    /// A bucket, which must be there.
    S3 {
        /// Its name.
        bucket: String,
        /// A folder that stands before every key, without slashes at its ends; may be empty.
        prefix: String,
    },
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(root) => write!(f, "{}", root.display()),
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

/// How to speak to S3, or to a store that speaks its language.
///
/// Time limits: a connection has `connect_timeout_ms` and each attempt of a request `attempt_timeout_ms`. With the defaults, four
/// attempts and their back-offs end after some five minutes at worst; a refused connection is known at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Settings {
    /// The address of the store, `http://` or `https://`; `None`: `AWS_ENDPOINT_URL`, the profile, or AWS itself.
    pub endpoint: Option<String>,
    /// The region; `None`: that of the environment or the profile, `us-east-1` if there is none or an `endpoint` is given.
    pub region: Option<String>,
    /// Access key; `None`: the default chain of AWS (environment, profile files, web identity, container, instance).
    pub access_key_id: Option<String>,
    /// The secret that goes with the access key.
    pub secret_access_key: Option<Secret>,
    /// The token that goes with temporary credentials.
    pub session_token: Option<Secret>,
    /// The bucket in the path (`true`) or in the host name. Default `true`, as in Confluent's sink.
    pub path_style: bool,
    /// Transfer acceleration of AWS. Not together with `path_style` or `endpoint`.
    pub accelerate: bool,
    /// A role to assume with these credentials.
    pub role: Option<Role>,
    /// The proxy to go through.
    pub proxy: Option<Proxy>,
    /// Encryption at rest.
    pub sse: Option<Sse>,
    /// The canned ACL of new objects, for example `bucket-owner-full-control`.
    pub acl: Option<String>,
    /// Tags of new objects.
    pub tags: Vec<(String, String)>,
    /// How often a failed request is repeated. Default 3.
    pub part_retries: u32,
    /// The wait before the first repetition; it doubles from one to the next, with jitter. Default 200.
    pub retry_backoff_ms: u64,
    /// Send a CRC32 with each request, as newer SDKs do by themselves. Default `false`: only where S3 asks for one, because many stores
    /// of other makers refuse it. The content is covered by the request's signature (SHA-256) in any case.
    pub send_checksums: bool,
    /// The limit of making a connection. Default 3100: just above the second repetition of a lost TCP SYN (1 s + 2 s).
    pub connect_timeout_ms: u64,
    /// The limit of one attempt of a request. Default 60,000. A request that sends a body has 1 ms more for each 8 bytes of it.
    pub attempt_timeout_ms: u64,
}

impl Default for S3Settings {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: None,
            access_key_id: None,
            secret_access_key: None,
            session_token: None,
            path_style: true,
            accelerate: false,
            role: None,
            proxy: None,
            sse: None,
            acl: None,
            tags: Vec::new(),
            part_retries: 3,
            retry_backoff_ms: 200,
            send_checksums: false,
            connect_timeout_ms: 3_100,
            attempt_timeout_ms: 60_000,
        }
    }
}

/// Server-side encryption of new objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sse {
    /// With keys of S3 (`AES256`).
    Aes256,
    /// With a key of AWS KMS.
    Kms {
        /// Its id or ARN; `None`: the account's own for S3.
        key: Option<String>,
    },
    /// With the customer's key (SSE-C), which S3 does not keep: reading needs it too, and the connection must be https.
    Customer {
        /// 256 bits, as base64.
        key: Secret,
    },
}

/// Text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, to be handed on and not to be shown.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

impl StoreConfig {
    /// A directory.
    pub fn local(root: impl Into<PathBuf>) -> Self {
        Self { location: Location::Local(root.into()), s3: S3Settings::default() }
    }

    /// A bucket.
    pub fn s3(bucket: impl Into<String>, prefix: &str, s3: S3Settings) -> Self {
        let prefix = prefix.trim_matches('/').to_owned();
        Self { location: Location::S3 { bucket: bucket.into(), prefix }, s3 }
    }

    /// What a command line names: `s3://bucket/prefix`, `file:///absolute/dir`, `file:relative/dir` or a path. `env` looks a variable
    /// up: `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, `AWS_REGION`, `AWS_DEFAULT_REGION`, `AWS_ACCESS_KEY_ID`,
    /// `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`. What is missing comes from the default chain of AWS when it is needed.
    ///
    /// # Errors
    /// `Config`: another scheme, no bucket, no path, or an endpoint that is none.
    pub fn from_url(url: &str, env: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let fault = |expected: &str| Err(Error::config(format!("'{url}': {expected}")));
        if let Some(dir) = file_url(url) {
            return dir.map(Self::local).or_else(|expected| fault(&expected));
        }
        if let Some(rest) = url.strip_prefix("s3://").or_else(|| url.strip_prefix("s3a://")) {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            if bucket.is_empty() {
                return fault("expected a bucket, as in s3://bucket/prefix");
            }
            crate::key::check_prefix(prefix.trim_start_matches('/'))?;
            return Ok(Self::s3(bucket, prefix, S3Settings::from_env(env)?));
        }
        if let Some((scheme @ ("http" | "https"), rest)) = url.split_once("://") {
            return fault(&format!("expected s3://bucket/prefix; give the address {scheme}://{rest} as AWS_ENDPOINT_URL"));
        }
        if url.contains("://") {
            return fault("expected s3://bucket/prefix, file:///absolute/dir, file:relative/dir or a path");
        }
        if url.is_empty() {
            return fault("expected a directory or s3://bucket/prefix");
        }
        Ok(Self::local(url))
    }
}

impl S3Settings {
    fn from_env(env: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let first = |names: &[&'static str]| {
            names.iter().find_map(|name| Some((*name, env(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty())?)))
        };
        let value = |names: &[&'static str]| first(names).map(|(_, value)| value);
        let endpoint = match first(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]) {
            None => None,
            Some((name, url)) => Some(check_endpoint(&url).map(|()| url).map_err(|e| Error::config(format!("{name}: {e}")))?),
        };
        let region = value(&["AWS_REGION", "AWS_DEFAULT_REGION"]);
        let mut settings = Self { endpoint, region, ..Self::default() };
        // Half a pair of keys is left to the default chain, which says what it misses.
        if let (Some(id), Some(secret)) = (value(&["AWS_ACCESS_KEY_ID"]), value(&["AWS_SECRET_ACCESS_KEY"])) {
            settings.access_key_id = Some(id);
            settings.secret_access_key = Some(Secret(secret));
            settings.session_token = value(&["AWS_SESSION_TOKEN"]).map(Secret);
        }
        Ok(settings)
    }
}

/// The directory of a `file:` URL, taken as it is written (no percent-decoding); `None` if it is none.
pub(crate) fn file_url(url: &str) -> Option<Result<PathBuf, String>> {
    let rest = url.strip_prefix("file:")?;
    let path = match rest.strip_prefix("//") {
        None => rest,
        Some(path) if path.starts_with('/') => path,
        Some(path) => match path.strip_prefix("localhost/") {
            Some(path) => return Some(Ok(PathBuf::from(format!("/{path}")))),
            None => return Some(Err("a file: URL can't name a host; expected file:///absolute/dir or file:relative/dir".into())),
        },
    };
    Some(if path.is_empty() { Err("expected a directory after 'file:'".into()) } else { Ok(PathBuf::from(path)) })
}

/// Whether text can be an endpoint. Says what was expected, without the text: it may hold a password.
pub(crate) fn check_endpoint(url: &str) -> Result<(), String> {
    let Some(rest) = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")) else {
        return Err("expected http://HOST:PORT or https://HOST:PORT".into());
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("expected no user and password in the address; give them as access key and secret".into());
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    if host.is_empty() || authority.contains(char::is_whitespace) || port.is_some_and(|p| p.parse::<u16>().is_err()) {
        return Err("expected a host and, after a colon, a port up to 65535, as in http://localhost:9000".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str, env: &[(&str, &str)]) -> Result<StoreConfig> {
        StoreConfig::from_url(url, |name| env.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn urls_name_buckets_and_directories() {
        for (url, location) in [
            ("s3://b", "s3://b"),
            ("s3://b/", "s3://b"),
            ("s3a://b/p/q/", "s3://b/p/q"),
            ("file:///a/b", "/a/b"),
            ("file:/a", "/a"),
            ("file:a/b", "a/b"),
            ("file://localhost/a", "/a"),
            ("a/b", "a/b"),
            ("/a", "/a"),
        ] {
            assert_eq!(parse(url, &[]).expect(url).location.to_string(), location, "{url}");
        }
        for url in ["s3://", "s3:///p", "gs://b", "http://localhost:9000/b", "", "file:", "file://host/a", "s3://b/../c/"] {
            let error = parse(url, &[]).expect_err(url);
            assert!(error.to_string().contains("expected"), "{error}");
        }
    }

    #[test]
    fn the_environment_gives_endpoint_region_and_credentials() {
        let env = [
            ("AWS_ENDPOINT_URL", "http://localhost:9000"),
            ("AWS_DEFAULT_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "s3cret"),
            ("AWS_SESSION_TOKEN", ""),
        ];
        let s3 = parse("s3://b", &env).expect("valid").s3;
        assert_eq!(s3.endpoint.as_deref(), Some("http://localhost:9000"));
        assert_eq!((s3.region.as_deref(), s3.access_key_id.as_deref()), (Some("eu-central-1"), Some("id")));
        assert_eq!((s3.secret_access_key.as_ref().map(Secret::reveal), &s3.session_token), (Some("s3cret"), &None));
        assert!(!format!("{s3:?}").contains("s3cret"), "a secret is shown");
        let error = parse("s3://b", &[("AWS_ENDPOINT_URL_S3", "localhost:9000")]).expect_err("no scheme");
        assert_eq!(error.to_string(), "AWS_ENDPOINT_URL_S3: expected http://HOST:PORT or https://HOST:PORT");
    }

    #[test]
    fn endpoints_have_a_host_and_no_password() {
        for url in ["http://localhost", "https://s3.eu-west-1.amazonaws.com/", "http://[::1]:9000", "http://[::1]", "http://h:1/path"] {
            check_endpoint(url).expect(url);
        }
        for url in ["localhost:9000", "http://", "http://:9000", "http://h:x", "http://h:99999", "http://u:p@h", "ftp://h", "http://a b"] {
            assert!(check_endpoint(url).is_err(), "{url} was accepted");
        }
    }
}
