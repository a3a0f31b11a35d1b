//! The keys of a connector that concern its store, with the names of Confluent's S3 sink.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use lakefeed_core::{Config, ConfigError, Importance, Key, KeyKind};
use std::sync::LazyLock;

use crate::access;
use crate::config::{check_endpoint, file_url};
use crate::{S3Settings, Secret, Sse, StoreConfig};

const ACLS: &[&str] = &[
    "private",
    "public-read",
    "public-read-write",
    "authenticated-read",
    "aws-exec-read",
    "bucket-owner-read",
    "bucket-owner-full-control",
    "log-delivery-write",
];

const fn key(name: &'static str, kind: KeyKind, doc: &'static str) -> Key {
    Key::new(name, kind, doc).group("Store")
}

static KEYS: &[Key] = &[
    key("s3.bucket.name", KeyKind::String, "The bucket. Required unless `store.url` is a directory; it must exist.")
        .importance(Importance::High),
    key("s3.region", KeyKind::String, "The AWS region of the bucket.").default("us-west-2").importance(Importance::High),
    key(
        "store.url",
        KeyKind::String,
        "The address of a store that speaks S3, for example http://localhost:9000 (MinIO), or a local directory: file:///absolute/dir or \
         file:relative/dir. Without it: AWS.",
    )
    .importance(Importance::High)
    .validator(check_store_url),
    key(
        "s3.path.style.access.enabled",
        KeyKind::Boolean,
        "Whether the bucket stands in the path of a request rather than in its host name.",
    )
    .default("true"),
    key(
        "aws.access.key.id",
        KeyKind::String,
        "The access key. Without it: the default chain of AWS (environment, profile files, web identity, container, instance).",
    ),
    key("aws.secret.access.key", KeyKind::Password, "The secret that goes with `aws.access.key.id`."),
    key("aws.session.token", KeyKind::Password, "The token that goes with temporary credentials in `aws.access.key.id`."),
    key(
        "s3.ssea.name",
        KeyKind::String,
        "Server-side encryption of new objects: AES256 or aws:kms. Without it: what the bucket does by itself.",
    )
    .importance(Importance::Low)
    .validator(|v| if matches!(v, "" | "AES256" | "aws:kms") { Ok(()) } else { Err("expected AES256, aws:kms or nothing".into()) }),
    key("s3.sse.customer.key", KeyKind::Password, "A customer's key for SSE-C: 32 bytes as base64. Reading needs it too; https only.")
        .importance(Importance::Low)
        .validator(check_customer_key),
    key(
        "s3.sse.kms.key.id",
        KeyKind::String,
        "The id or ARN of the KMS key, with `s3.ssea.name=aws:kms`. Without it: the account's own for S3.",
    )
    .importance(Importance::Low),
    key("s3.acl.canned", KeyKind::String, "The canned ACL of new objects.").importance(Importance::Low).values(ACLS),
    key("s3.wan.mode", KeyKind::Boolean, "S3 transfer acceleration. Needs `s3.path.style.access.enabled=false` and no `store.url`.")
        .default("false")
        .importance(Importance::Low),
    key("s3.part.retries", KeyKind::Int, "How often a failed request is repeated before the task handles the error.")
        .default("3")
        .validator(|v| range(v, 0, 100)),
    key(
        "s3.retry.backoff.ms",
        KeyKind::Long,
        "The wait before the first repetition in milliseconds. It doubles from one repetition to the next, with jitter.",
    )
    .default("200")
    .importance(Importance::Low)
    .validator(|v| range(v, 0, 86_400_000)),
    key(
        "s3.send.digest",
        KeyKind::Boolean,
        "Whether a CRC32 goes with each request. Many stores of other makers refuse it; the signature covers the content in any case.",
    )
    .default("false")
    .importance(Importance::Low),
    key("s3.http.send.expect.continue", KeyKind::Boolean, "Accepted for the sake of existing files, without effect.")
        .importance(Importance::Low),
    key("s3.object.tagging", KeyKind::Boolean, "Whether new objects get the tags of `s3.object.tagging.key.value.pairs`.")
        .default("false")
        .importance(Importance::Low),
    key(
        "s3.object.tagging.key.value.pairs",
        KeyKind::List,
        "Tags of new objects, as key:value, at most 10. Needs `s3.object.tagging=true`.",
    )
    .importance(Importance::Low)
    .validator(|v| tags(v).map(|_| ())),
    key(
        "s3.object.behavior.on.tagging.error",
        KeyKind::String,
        "Accepted for the sake of existing files, without effect: tags are sent with the object, so none is there without them.",
    )
    .values(&["ignore", "fail"])
    .importance(Importance::Low),
];

/// The keys that concern the store; a plugin adds them to its own.
pub fn keys() -> &'static [Key] {
    static ALL: LazyLock<Vec<Key>> = LazyLock::new(|| [KEYS, &access::KEYS].concat());
    &ALL
}

impl StoreConfig {
    /// Reads the keys of [`keys`].
    ///
    /// # Errors
    /// Every key that is missing or in the way of another.
    pub fn from_config(config: &Config) -> Result<Self, Vec<ConfigError>> {
        let url = config.text("store.url");
        if let Some(dir) = file_url(url) {
            return dir.map(Self::local).map_err(|expected| vec![ConfigError::value("store.url", url, expected)]);
        }
        let mut errors = Vec::new();
        let bucket = config.text("s3.bucket.name");
        if bucket.is_empty() {
            let message = "is required: the bucket, which must exist. For a local directory set store.url=file:DIR instead";
            errors.push(ConfigError::key("s3.bucket.name", message));
        } else if bucket.contains('/') {
            errors.push(ConfigError::value("s3.bucket.name", bucket, "expected the name of a bucket without s3:// and folders"));
        }
        let s3 = S3Settings {
            endpoint: config.get("store.url").map(str::to_owned),
            region: config.get("s3.region").map(str::to_owned),
            access_key_id: config.get("aws.access.key.id").map(str::to_owned),
            secret_access_key: config.get("aws.secret.access.key").map(Secret::new),
            session_token: config.get("aws.session.token").map(Secret::new),
            path_style: config.bool("s3.path.style.access.enabled"),
            accelerate: config.bool("s3.wan.mode"),
            sse: sse(config, &mut errors),
            acl: config.get("s3.acl.canned").map(str::to_owned),
            tags: if config.bool("s3.object.tagging") {
                tags(config.text("s3.object.tagging.key.value.pairs")).unwrap_or_default()
            } else {
                Vec::new()
            },
            part_retries: number(config, "s3.part.retries", 3),
            retry_backoff_ms: number(config, "s3.retry.backoff.ms", 200),
            send_checksums: config.bool("s3.send.digest"),
            role: access::role(config, &mut errors),
            proxy: access::proxy(config, &mut errors),
            ..S3Settings::default()
        };
        contradictions(&s3, &mut errors);
        if errors.is_empty() { Ok(Self::s3(bucket, "", s3)) } else { Err(errors) }
    }
}

fn contradictions(s3: &S3Settings, errors: &mut Vec<ConfigError>) {
    match (&s3.access_key_id, &s3.secret_access_key) {
        (Some(_), None) => errors.push(ConfigError::key("aws.secret.access.key", "is required with aws.access.key.id")),
        (None, Some(_)) => errors.push(ConfigError::key("aws.access.key.id", "is required with aws.secret.access.key")),
        (None, None) if s3.session_token.is_some() => {
            errors.push(ConfigError::key("aws.access.key.id", "is required with aws.session.token"));
        }
        _ => {}
    }
    if let Some(Err(expected)) = s3.endpoint.as_deref().map(check_endpoint) {
        errors.push(ConfigError::key("store.url", expected));
    }
    if s3.accelerate && s3.path_style {
        let message = "transfer acceleration puts the bucket in the host name; set s3.path.style.access.enabled=false";
        errors.push(ConfigError::value("s3.wan.mode", "true", message));
    }
    if s3.accelerate && s3.endpoint.is_some() {
        errors.push(ConfigError::value("s3.wan.mode", "true", "transfer acceleration is a service of AWS; remove store.url"));
    }
}

fn sse(config: &Config, errors: &mut Vec<ConfigError>) -> Option<Sse> {
    let name = config.text("s3.ssea.name");
    let kms_key = config.get("s3.sse.kms.key.id").map(str::to_owned);
    if kms_key.is_some() && name != "aws:kms" {
        errors.push(ConfigError::key("s3.sse.kms.key.id", "needs s3.ssea.name=aws:kms"));
    }
    match (config.get("s3.sse.customer.key"), name) {
        (Some(_), "aws:kms") => {
            errors.push(ConfigError::key("s3.sse.customer.key", "can't go with s3.ssea.name=aws:kms; expected AES256 or nothing there"));
            None
        }
        (Some(key), _) => Some(Sse::Customer { key: Secret::new(key) }),
        (None, "AES256") => Some(Sse::Aes256),
        (None, "aws:kms") => Some(Sse::Kms { key: kms_key }),
        (None, _) => None,
    }
}

fn number<T: TryFrom<i64>>(config: &Config, key: &str, default: T) -> T {
    config.int(key).and_then(|n| n.try_into().ok()).unwrap_or(default)
}

fn range(value: &str, min: i64, max: i64) -> Result<(), String> {
    let within = value.parse().is_ok_and(|n: i64| (min..=max).contains(&n));
    if within { Ok(()) } else { Err(format!("expected {min} to {max}")) }
}

fn check_store_url(url: &str) -> Result<(), String> {
    match file_url(url) {
        Some(dir) => dir.map(|_| ()),
        // An address with a password is refused by `from_config`, which does not show it.
        None if url.is_empty() || url.contains('@') => Ok(()),
        None if url.starts_with("http") => check_endpoint(url),
        None => Err("expected http://HOST:PORT, https://HOST:PORT, file:///absolute/dir or file:relative/dir".into()),
    }
}

fn check_customer_key(key: &str) -> Result<(), String> {
    match BASE64.decode(key) {
        Ok(bytes) if bytes.len() == 32 => Ok(()),
        _ if key.is_empty() => Ok(()),
        _ => Err("expected 32 bytes as base64, as `openssl rand -base64 32` makes them".into()),
    }
}

/// The limits are those of the Amazon S3 User Guide, "Categorizing your objects using tags".
fn tags(text: &str) -> Result<Vec<(String, String)>, String> {
    let allowed = |text: &str, max| text.chars().count() <= max && text.chars().all(|c| c.is_alphanumeric() || " +-=._:/@".contains(c));
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let tags: Option<Vec<_>> = pairs
        .map(|pair| {
            let (key, value) = pair.split_once(':')?;
            (!key.is_empty() && allowed(key, 128) && allowed(value, 256)).then(|| (key.to_owned(), value.to_owned()))
        })
        .collect();
    match tags {
        Some(tags) if tags.len() <= 10 => Ok(tags),
        _ => Err("expected at most 10 pairs key:value, separated by commas; keys up to 128 and values up to 256 characters, which are \
                  letters, digits, blanks and + - = . _ : / @"
            .into()),
    }
}

#[cfg(test)]
mod tests {
    use lakefeed_core::ConfigDef;

    use super::*;
    use crate::Location;

    fn parse(pairs: &[(&str, &str)]) -> Result<StoreConfig, Vec<String>> {
        let values = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let config = ConfigDef::new().keys(keys()).parse(&values);
        config.and_then(|config| StoreConfig::from_config(&config)).map_err(|e| e.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn defaults_are_those_of_the_confluent_sink() {
        let config = parse(&[("s3.bucket.name", "lake")]).expect("valid");
        assert_eq!(config.location, Location::S3 { bucket: "lake".into(), prefix: String::new() });
        assert_eq!(config.s3, S3Settings { region: Some("us-west-2".into()), ..S3Settings::default() });
    }

    #[test]
    fn every_key_has_its_effect() {
        let config = parse(&[
            ("s3.bucket.name", "lake"),
            ("s3.region", "eu-west-1"),
            ("store.url", "http://localhost:9000"),
            ("s3.path.style.access.enabled", "false"),
            ("aws.access.key.id", "id"),
            ("aws.secret.access.key", "s3cret"),
            ("aws.session.token", "t0ken"),
            ("s3.credentials.provider.class", "com.amazonaws.auth.DefaultAWSCredentialsProviderChain"),
            ("s3.ssea.name", "aws:kms"),
            ("s3.sse.kms.key.id", "k"),
            ("s3.acl.canned", "private"),
            ("s3.part.retries", "7"),
            ("s3.retry.backoff.ms", "0"),
            ("s3.send.digest", "true"),
            ("s3.http.send.expect.continue", "false"),
            ("s3.object.tagging", "true"),
            ("s3.object.tagging.key.value.pairs", "team:a b, x:"),
        ])
        .expect("valid");
        let expected = S3Settings {
            endpoint: Some("http://localhost:9000".into()),
            region: Some("eu-west-1".into()),
            access_key_id: Some("id".into()),
            secret_access_key: Some(Secret::new("s3cret")),
            session_token: Some(Secret::new("t0ken")),
            path_style: false,
            sse: Some(Sse::Kms { key: Some("k".into()) }),
            acl: Some("private".into()),
            tags: vec![("team".into(), "a b".into()), ("x".into(), String::new())],
            part_retries: 7,
            retry_backoff_ms: 0,
            send_checksums: true,
            ..S3Settings::default()
        };
        assert_eq!(config.s3, expected);
        let shown = format!("{config:?}");
        assert!(!shown.contains("s3cret") && !shown.contains("t0ken"), "a secret is shown: {shown}");
    }

    #[test]
    fn a_file_url_is_a_directory_and_needs_no_bucket() {
        assert_eq!(parse(&[("store.url", "file:///data/lake")]).expect("valid"), StoreConfig::local("/data/lake"));
        assert_eq!(parse(&[("store.url", "file:lake")]).expect("valid"), StoreConfig::local("lake"));
    }

    #[test]
    fn mistakes_are_named_with_what_to_do() {
        let missing = "s3.bucket.name: is required: the bucket, which must exist. For a local directory set store.url=file:DIR instead";
        assert_eq!(parse(&[]).expect_err("no bucket"), [missing]);
        let errors = parse(&[
            ("s3.bucket.name", "s3://lake"),
            ("aws.access.key.id", "id"),
            ("s3.wan.mode", "true"),
            ("store.url", "https://h"),
            ("s3.sse.kms.key.id", "k"),
        ]);
        assert_eq!(
            errors.expect_err("contradictions"),
            [
                "s3.bucket.name = 's3://lake': expected the name of a bucket without s3:// and folders",
                "s3.sse.kms.key.id: needs s3.ssea.name=aws:kms",
                "aws.secret.access.key: is required with aws.access.key.id",
                "s3.wan.mode = 'true': transfer acceleration puts the bucket in the host name; set s3.path.style.access.enabled=false",
                "s3.wan.mode = 'true': transfer acceleration is a service of AWS; remove store.url",
            ]
        );
        let error = parse(&[("s3.bucket.name", "lake"), ("store.url", "http://u:s3cret@h")]).expect_err("a password");
        assert_eq!(error, ["store.url: expected no user and password in the address; give them as access key and secret"]);
        let wrong = [
            ("store.url", "localhost:9000"),
            ("store.url", "http://"),
            ("store.url", "file://host/x"),
            ("s3.ssea.name", "AES"),
            ("s3.sse.customer.key", "c2hvcnQ="),
            ("s3.acl.canned", "publik-read"),
            ("s3.part.retries", "-1"),
            ("s3.retry.backoff.ms", "-1"),
            ("s3.object.tagging.key.value.pairs", "team=a"),
            ("s3.object.tagging.key.value.pairs", "team:a&b"),
        ];
        for (name, value) in wrong {
            let errors = parse(&[("s3.bucket.name", "lake"), (name, value)]).expect_err(name);
            assert!(errors.len() == 1 && errors[0].starts_with(name) && errors[0].contains("expected"), "{errors:?}");
            assert!(name != "s3.sse.customer.key" || !errors[0].contains(value), "a secret is shown: {errors:?}");
        }
    }
}
