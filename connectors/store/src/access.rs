//! On whose behalf and by which way a bucket is reached, where that is not the usual one: a role that is assumed, a proxy.

use lakefeed_core::{Config, ConfigError, Importance, Key, KeyKind};

use crate::Secret;
use crate::config::check_endpoint;

/// The provider of the Confluent S3 sink that assumes a role.
const ASSUME_ROLE: &str = "AwsAssumeRoleCredentialsProvider";
const CLASS: &str = "s3.credentials.provider.class";
const ROLE: &str = "s3.credentials.provider.sts.role.arn";
const SESSION: &str = "s3.credentials.provider.sts.role.session.name";
const EXTERNAL_ID: &str = "s3.credentials.provider.sts.role.external.id";
const PROXY: &str = "s3.proxy.url";
const PROXY_USER: &str = "s3.proxy.user";
const PROXY_PASSWORD: &str = "s3.proxy.password";

const fn key(name: &'static str, kind: KeyKind, doc: &'static str) -> Key {
    Key::new(name, kind, doc).group("Store").importance(Importance::Low)
}

/// The keys of this module.
pub(crate) const KEYS: [Key; 7] = [
    key(
        CLASS,
        KeyKind::Class,
        "AwsAssumeRoleCredentialsProvider assumes the role of `s3.credentials.provider.sts.role.arn`. Other names are accepted for the sake of \
         existing files, without effect: the default chain of AWS is used.",
    ),
    key(ROLE, KeyKind::String, "The ARN of the role to assume, by AWS STS with the credentials that are there without it."),
    key(SESSION, KeyKind::String, "The name of the sessions of that role.").default("lakefeed"),
    key(EXTERNAL_ID, KeyKind::Password, "The external id that the role's trust policy asks for."),
    key(PROXY, KeyKind::String, "The HTTP proxy that requests to the store go through, as http://HOST:PORT.").validator(proxy_url),
    key(PROXY_USER, KeyKind::String, "The user at the proxy (basic authentication)."),
    key(PROXY_PASSWORD, KeyKind::Password, "The password at the proxy."),
];

/// A role that is assumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its ARN.
    pub arn: String,
    /// What its sessions are called.
    pub session_name: String,
    /// What its trust policy asks for.
    pub external_id: Option<Secret>,
}

/// A proxy for HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Its address.
    pub url: String,
    /// User and password.
    pub credentials: Option<(String, Secret)>,
}

/// The role that a configuration names.
pub(crate) fn role(config: &Config, errors: &mut Vec<ConfigError>) -> Option<Role> {
    let assumes = config.text(CLASS).rsplit('.').next() == Some(ASSUME_ROLE);
    match config.get(ROLE) {
        None if assumes => errors.push(ConfigError::key(ROLE, format!("is required with {ASSUME_ROLE}"))),
        Some(arn) if !assumes => errors.push(ConfigError::value(ROLE, arn, format!("needs {CLASS}={ASSUME_ROLE}"))),
        Some(arn) => {
            let external_id = config.get(EXTERNAL_ID).map(Secret::new);
            return Some(Role { arn: arn.to_owned(), session_name: config.text(SESSION).to_owned(), external_id });
        }
        None => {}
    }
    None
}

/// The proxy that a configuration names.
pub(crate) fn proxy(config: &Config, errors: &mut Vec<ConfigError>) -> Option<Proxy> {
    let credentials = match (config.get(PROXY_USER), config.get(PROXY_PASSWORD)) {
        (Some(user), Some(password)) => Some((user.to_owned(), Secret::new(password))),
        (None, None) => None,
        (Some(_), None) => {
            errors.push(ConfigError::key(PROXY_PASSWORD, format!("is required with {PROXY_USER}")));
            None
        }
        (None, Some(_)) => {
            errors.push(ConfigError::key(PROXY_USER, format!("is required with {PROXY_PASSWORD}")));
            None
        }
    };
    let Some(url) = config.get(PROXY) else {
        if credentials.is_some() {
            errors.push(ConfigError::key(PROXY, format!("is required with {PROXY_USER}")));
        }
        return None;
    };
    if url.contains('@') {
        let message = format!("expected no user and password in the address; give them as {PROXY_USER} and {PROXY_PASSWORD}");
        errors.push(ConfigError::key(PROXY, message));
    }
    Some(Proxy { url: url.to_owned(), credentials })
}

fn proxy_url(url: &str) -> Result<(), String> {
    if url.is_empty() || url.contains('@') {
        // What could hold a password is refused by `proxy`, which does not show it.
        return Ok(());
    }
    check_endpoint(url).map_err(|_| "expected http://HOST:PORT".into())
}

#[cfg(test)]
mod tests {
    use lakefeed_core::ConfigDef;

    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<(Option<Role>, Option<Proxy>), Vec<String>> {
        let values = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let texts = |errors: Vec<ConfigError>| errors.iter().map(ToString::to_string).collect::<Vec<_>>();
        let config = ConfigDef::new().keys(&KEYS).parse(&values).map_err(texts)?;
        let mut errors = Vec::new();
        let read = (role(&config, &mut errors), proxy(&config, &mut errors));
        if errors.is_empty() { Ok(read) } else { Err(texts(errors)) }
    }

    #[test]
    fn a_role_and_a_proxy_are_read() {
        let class = (CLASS, "io.confluent.connect.s3.auth.AwsAssumeRoleCredentialsProvider");
        let (role, proxy) = read(&[class, (ROLE, "arn"), (EXTERNAL_ID, "x"), (PROXY, "http://p:3128")]).expect("valid");
        assert_eq!(role, Some(Role { arn: "arn".into(), session_name: "lakefeed".into(), external_id: Some(Secret::new("x")) }));
        assert_eq!(proxy, Some(Proxy { url: "http://p:3128".into(), credentials: None }));
        // Other providers, and keys of a proxy that are there and empty, as in files with every key.
        let other = (CLASS, "com.amazonaws.auth.DefaultAWSCredentialsProviderChain");
        assert_eq!(read(&[other, (PROXY, ""), (PROXY_USER, ""), (PROXY_PASSWORD, "")]), Ok((None, None)));
    }

    #[test]
    fn halves_are_refused_without_showing_a_secret() {
        let of = |pairs: &[(&str, &str)]| read(pairs).expect_err("a mistake").join("; ");
        assert_eq!(of(&[(CLASS, ASSUME_ROLE)]), format!("{ROLE}: is required with {ASSUME_ROLE}"));
        assert_eq!(of(&[(ROLE, "arn")]), format!("{ROLE} = 'arn': needs {CLASS}={ASSUME_ROLE}"));
        assert!(of(&[(PROXY, "http://p:1"), (PROXY_USER, "u")]).starts_with(PROXY_PASSWORD));
        assert!(of(&[(PROXY_USER, "u"), (PROXY_PASSWORD, "secret")]).starts_with(PROXY));
        assert!(of(&[(PROXY, "p:1")]).contains("expected http://HOST:PORT"));
        assert!(!of(&[(PROXY, "http://u:secret@p:1")]).contains("secret"));
    }
}
