//! Where the registry is, and who asks.

use std::fmt;

use lakefeed_core::ConfigError;
use percent_encoding::percent_decode_str;
use reqwest::Url;

/// Where the registry is, and who asks.
#[derive(Clone)]
pub struct RegistrySettings {
    /// The addresses, without credentials and without a slash at the end.
    pub(crate) urls: Vec<String>,
    pub(crate) credentials: Credentials,
}

/// Who asks.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Credentials {
    None,
    Basic { user: String, password: String },
    Token(String),
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
        let missing = |name: &str, by: &str| ConfigError::key(key(name), format!("is required by {by}"));
        let mut credentials = match get("basic.auth.credentials.source").unwrap_or("URL") {
            "URL" => urls.iter().map(|(_, credentials)| credentials).find(|found| **found != Credentials::None).cloned(),
            "USER_INFO" => {
                let info = get("basic.auth.user.info").or_else(|| get("schema.registry.basic.auth.user.info"));
                let info = info.ok_or_else(|| missing("basic.auth.user.info", "basic.auth.credentials.source=USER_INFO"))?;
                let (user, password) = info.split_once(':').unwrap_or((info, ""));
                Some(Credentials::Basic { user: user.to_owned(), password: password.to_owned() })
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
                credentials = Some(Credentials::Token(token.to_owned()));
            }
            Some(other) => return Err(ConfigError::value(key("bearer.auth.credentials.source"), other, "expected STATIC_TOKEN")),
        }
        Ok(Self { urls: urls.into_iter().map(|(url, _)| url).collect(), credentials: credentials.unwrap_or(Credentials::None) })
    }
}

impl fmt::Debug for RegistrySettings {
    /// Without the credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RegistrySettings").field(&self.urls).finish()
    }
}

/// An address without user and password, and the two. A message never has them.
fn parse_url(text: &str) -> Result<(String, Credentials), String> {
    let expected = || "expected addresses such as http://localhost:8081".to_owned();
    let mut url = Url::parse(text).map_err(|_| expected())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(expected());
    }
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let credentials = match (url.username(), url.password()) {
        ("", None) => Credentials::None,
        (user, password) => Credentials::Basic { user: decoded(user), password: decoded(password.unwrap_or_default()) },
    };
    url.set_username("").and_then(|()| url.set_password(None)).map_err(|()| expected())?;
    Ok((url.as_str().trim_end_matches('/').to_owned(), credentials))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &'static str)]) -> Result<RegistrySettings, String> {
        let get = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        RegistrySettings::read("value.converter.", get).map_err(|error| error.to_string())
    }

    fn basic(user: &str, password: &str) -> Credentials {
        Credentials::Basic { user: user.into(), password: password.into() }
    }

    #[test]
    fn addresses_and_credentials_are_read() {
        let settings = read(&[("schema.registry.url", "http://a:8081, https://u%3A:p@b/api/")]).expect("valid");
        assert_eq!(settings.urls, ["http://a:8081", "https://b/api"]);
        assert!(settings.credentials == basic("u:", "p"));
        let info =
            [("schema.registry.url", "http://a"), ("basic.auth.credentials.source", "USER_INFO"), ("basic.auth.user.info", "user:se:cret")];
        let settings = read(&info).expect("valid");
        assert!(settings.credentials == basic("user", "se:cret"));
        assert!(!format!("{settings:?}").contains("cret"), "{settings:?}");
        let token = [("schema.registry.url", "http://a"), ("bearer.auth.credentials.source", "STATIC_TOKEN"), ("bearer.auth.token", "t")];
        assert!(read(&token).expect("valid").credentials == Credentials::Token("t".into()));
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
