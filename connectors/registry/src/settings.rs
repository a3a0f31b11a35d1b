//! Where the registry is, and who asks.

use std::fmt;

use ::http::Uri;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lakefeed_core::ConfigError;

/// Where the registry is, and who asks.
#[derive(Clone)]
pub struct RegistrySettings {
    /// Scheme and authority, without credentials, and the path before the API's, without a slash at its end.
    pub(crate) urls: Vec<(Uri, String)>,
    /// What is sent as `Authorization`, if it is not in the address.
    pub(crate) authorization: Option<String>,
}

impl RegistrySettings {
    /// Reads the keys that begin with `prefix` (`value.converter.`).
    ///
    /// # Errors
    /// What is wrong with which key.
    pub fn read<'a>(prefix: &str, get: impl Fn(&str) -> Option<&'a str>) -> Result<Self, ConfigError> {
        let key = |name: &str| format!("{prefix}{name}");
        let urls = get("schema.registry.url").unwrap_or_default();
        let parts = urls.split(',').map(str::trim).filter(|url| !url.is_empty());
        let urls: Vec<_> =
            parts.map(|url| parse_url(url).map_err(|e| ConfigError::key(key("schema.registry.url"), e))).collect::<Result<_, _>>()?;
        if urls.is_empty() {
            return Err(ConfigError::key(
                key("schema.registry.url"),
                "is required: the address of the Schema Registry, such as http://localhost:8081",
            ));
        }
        let basic = |info: &str| format!("Basic {}", STANDARD.encode(info));
        let user_info = || get("basic.auth.user.info").or_else(|| get("schema.registry.basic.auth.user.info"));
        let missing = |name: &str, by: &str| ConfigError::key(key(name), format!("is required by {by}"));
        let mut authorization = match get("basic.auth.credentials.source").unwrap_or("URL") {
            "URL" => urls.iter().find_map(|(_, _, user)| user.as_deref()).map(|user| basic(&decoded(user))),
            "USER_INFO" => {
                let info = user_info().ok_or_else(|| missing("basic.auth.user.info", "basic.auth.credentials.source=USER_INFO"))?;
                Some(basic(info))
            }
            other => {
                return Err(ConfigError::value(key("basic.auth.credentials.source"), other, "expected URL or USER_INFO"));
            }
        };
        match get("bearer.auth.credentials.source") {
            None => {}
            Some("STATIC_TOKEN") => {
                let token = get("bearer.auth.token");
                let token = token.ok_or_else(|| missing("bearer.auth.token", "bearer.auth.credentials.source=STATIC_TOKEN"))?;
                authorization = Some(format!("Bearer {token}"));
            }
            Some(other) => return Err(ConfigError::value(key("bearer.auth.credentials.source"), other, "expected STATIC_TOKEN")),
        }
        Ok(Self { urls: urls.into_iter().map(|(uri, path, _)| (uri, path)).collect(), authorization })
    }
}

impl fmt::Debug for RegistrySettings {
    /// Without the credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RegistrySettings").field(&self.urls).finish()
    }
}

/// An address without user and password, its path, and the two. A message never has them.
fn parse_url(text: &str) -> Result<(Uri, String, Option<String>), String> {
    let expected = || "expected addresses such as http://localhost:8081".to_owned();
    let (scheme, rest) = text.split_once("://").ok_or_else(expected)?;
    if !matches!(scheme, "http" | "https") {
        return Err(expected());
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user.to_owned()), host));
    let uri: Uri = format!("{scheme}://{host}/").parse().map_err(|_| expected())?;
    if uri.host().is_none_or(str::is_empty) {
        return Err(expected());
    }
    Ok((uri, path.trim_end_matches('/').to_owned(), user))
}

/// Text of an address with its percent signs taken away.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(hex.unwrap_or(bytes[at]));
        at += if hex.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &'static str)]) -> Result<RegistrySettings, String> {
        let get = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        RegistrySettings::read("value.converter.", get).map_err(|error| error.to_string())
    }

    #[test]
    fn addresses_and_credentials_are_read() {
        let settings = read(&[("schema.registry.url", "http://a:8081, https://u%3A:p@b/api/")]).expect("valid");
        let urls: Vec<_> = settings.urls.iter().map(|(uri, path)| format!("{uri} {path}")).collect();
        assert_eq!(urls, ["http://a:8081/ ", "https://b/ /api"]);
        assert_eq!(settings.authorization.as_deref(), Some("Basic dTo6cA=="));
        let info =
            [("schema.registry.url", "http://a"), ("basic.auth.credentials.source", "USER_INFO"), ("basic.auth.user.info", "user:secret")];
        let settings = read(&info).expect("valid");
        assert_eq!(settings.authorization.as_deref(), Some("Basic dXNlcjpzZWNyZXQ="));
        assert!(!format!("{settings:?}").contains("c2VjcmV0"), "{settings:?}");
        let token = [("schema.registry.url", "http://a"), ("bearer.auth.credentials.source", "STATIC_TOKEN"), ("bearer.auth.token", "t")];
        assert_eq!(read(&token).expect("valid").authorization.as_deref(), Some("Bearer t"));
    }

    #[test]
    fn mistakes_name_the_key_and_no_secret() {
        for (pairs, expected) in [
            (&[][..], "value.converter.schema.registry.url: is required"),
            (&[("schema.registry.url", "localhost:8081")], "value.converter.schema.registry.url: expected addresses such as http://"),
            (
                &[("schema.registry.url", "ftp://user:secret@host")],
                "value.converter.schema.registry.url: expected addresses such as http://",
            ),
            (
                &[("schema.registry.url", "http://a"), ("basic.auth.credentials.source", "USER_INFO")],
                "value.converter.basic.auth.user.info: is required by basic.auth.credentials.source=USER_INFO",
            ),
            (&[("schema.registry.url", "http://a"), ("basic.auth.credentials.source", "SASL_INHERIT")], "expected URL or USER_INFO"),
            (&[("schema.registry.url", "http://a"), ("bearer.auth.credentials.source", "OAUTHBEARER")], "expected STATIC_TOKEN"),
        ] {
            let error = read(pairs).expect_err(expected);
            assert!(error.contains(expected) && !error.contains("secret"), "{error}");
        }
    }
}
