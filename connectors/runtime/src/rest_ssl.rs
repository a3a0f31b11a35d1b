//! The keys of TLS for REST calls, as Kafka Connect names them.

use lakefeed_core::{Config, ConfigError, Importance, Key, KeyKind};

const OWN: &str = "listeners.https.";

const fn key(name: &'static str, kind: KeyKind, doc: &'static str) -> Key {
    Key::new(name, kind, doc).importance(Importance::Low).group("REST over TLS")
}

/// The keys of listeners alone. Where none of them is set, the same names without `listeners.https.` hold, which are those of the Kafka clients too.
pub(crate) const KEYS: &[Key] = &[
    key(
        "listeners.https.ssl.keystore.type",
        KeyKind::String,
        "The form of the server's certificate and key: PEM. Without any listeners.https.ssl.* key those without listeners.https. hold.",
    ),
    key("listeners.https.ssl.keystore.location", KeyKind::String, "A PEM file with the private key and the chain of certificates."),
    key(
        "listeners.https.ssl.keystore.certificate.chain",
        KeyKind::String,
        "The chain of certificates as PEM text, in the place of a file.",
    ),
    key("listeners.https.ssl.keystore.key", KeyKind::Password, "The private key as PEM text, beside ssl.keystore.certificate.chain."),
    key("listeners.https.ssl.keystore.password", KeyKind::Password, "Accepted as in Kafka Connect; PEM files have none."),
    key("listeners.https.ssl.key.password", KeyKind::Password, "Accepted as in Kafka Connect; the private key must not be encrypted."),
    key("listeners.https.ssl.truststore.type", KeyKind::String, "The form of the certificates that clients must be signed by: PEM."),
    key("listeners.https.ssl.truststore.location", KeyKind::String, "A PEM file with certificates that clients must be signed by."),
    key("listeners.https.ssl.truststore.certificates", KeyKind::String, "The same as PEM text, in the place of a file."),
    key("listeners.https.ssl.truststore.password", KeyKind::Password, "Accepted as in Kafka Connect; PEM files have none."),
    key(
        "listeners.https.ssl.client.auth",
        KeyKind::String,
        "Whether a client must show a certificate (required), may (requested), or is not asked (none, where it is not set).",
    )
    .values(&["none", "requested", "required"]),
    key("listeners.https.ssl.enabled.protocols", KeyKind::List, "TLSv1.3 and TLSv1.2; both unless set."),
    key("listeners.https.ssl.protocol", KeyKind::String, "Accepted as in Kafka Connect."),
    key("listeners.https.ssl.provider", KeyKind::String, "Accepted as in Kafka Connect."),
    key("listeners.https.ssl.keymanager.algorithm", KeyKind::String, "Accepted as in Kafka Connect."),
    key("listeners.https.ssl.trustmanager.algorithm", KeyKind::String, "Accepted as in Kafka Connect."),
    key("listeners.https.ssl.secure.random.implementation", KeyKind::String, "Accepted as in Kafka Connect."),
    key("listeners.https.ssl.endpoint.identification.algorithm", KeyKind::String, "Accepted as in Kafka Connect; it is a client's."),
];

/// What a worker's file says of TLS for REST calls.
#[derive(Debug, Clone, Copy)]
pub struct RestSsl<'a> {
    config: &'a Config,
    prefix: &'static str,
}

impl<'a> RestSsl<'a> {
    /// All or nothing, as in Kafka Connect: one key of listeners alone, and the others are not looked at.
    pub(crate) fn of(config: &'a Config) -> Self {
        let own = config.with_prefix("listeners.https.ssl.").next().is_some();
        Self { config, prefix: if own { OWN } else { "" } }
    }

    /// The whole name of a key, for example of `keystore.location`.
    pub fn key(&self, name: &str) -> String {
        format!("{}ssl.{name}", self.prefix)
    }

    /// The value of a key.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.config.get(&self.key(name))
    }

    /// What is wrong with them, for a listener that needs them.
    pub(crate) fn errors(&self) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        errors.extend(self.form("keystore"));
        errors.extend(self.form("truststore"));
        match (self.get("keystore.location"), self.get("keystore.certificate.chain"), self.get("keystore.key")) {
            (None, None, None) => errors.push(ConfigError::key(
                self.key("keystore.location"),
                "is required by listeners with https: a PEM file with the private key and the chain of certificates",
            )),
            (Some(_), None, None) | (None, Some(_), Some(_)) => {}
            (None, Some(_), None) => {
                errors.push(ConfigError::key(self.key("keystore.key"), "is required beside ssl.keystore.certificate.chain"))
            }
            (None, None, Some(_)) => {
                errors.push(ConfigError::key(self.key("keystore.certificate.chain"), "is required beside ssl.keystore.key"));
            }
            (Some(file), ..) => errors.push(ConfigError::value(
                self.key("keystore.location"),
                file,
                "can't be set together with ssl.keystore.certificate.chain and ssl.keystore.key",
            )),
        }
        if let (Some(file), Some(_)) = (self.get("truststore.location"), self.get("truststore.certificates")) {
            errors.push(ConfigError::value(
                self.key("truststore.location"),
                file,
                "can't be set together with ssl.truststore.certificates",
            ));
        }
        let trusts = self.get("truststore.location").or(self.get("truststore.certificates")).is_some();
        match self.get("client.auth") {
            None | Some("none") => {}
            Some("required" | "requested") if trusts => {}
            Some("required" | "requested") => errors.push(ConfigError::key(
                self.key("truststore.location"),
                "is required by ssl.client.auth: a PEM file with the certificates that clients must be signed by",
            )),
            Some(other) => errors.push(ConfigError::value(self.key("client.auth"), other, "expected one of none, requested, required")),
        }
        let protocols = self.get("enabled.protocols").unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty());
        let unknown = protocols.clone().find(|name| !matches!(*name, "TLSv1.2" | "TLSv1.3"));
        errors.extend(unknown.map(|name| ConfigError::value(self.key("enabled.protocols"), name, "expected TLSv1.3 or TLSv1.2")));
        errors
    }

    /// Java's own forms are not read.
    fn form(&self, store: &str) -> Option<ConfigError> {
        let kind = self.get(&format!("{store}.type")).filter(|kind| *kind != "PEM")?;
        let make = if store == "keystore" {
            "keytool -importkeystore -srckeystore FILE -destkeystore FILE.p12 -deststoretype PKCS12, then openssl pkcs12 -in FILE.p12 -nodes -out FILE.pem"
        } else {
            "keytool -list -rfc -keystore FILE > FILE.pem"
        };
        let said = format!("expected PEM; make a PEM file of it: {make}, then set it and ssl.{store}.type=PEM");
        Some(ConfigError::value(self.key(&format!("{store}.type")), kind, said))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::WorkerConfig;

    fn errors(lines: &[(&str, &str)]) -> Vec<String> {
        let mut values = BTreeMap::from([("listeners".to_owned(), "https://127.0.0.1:0".to_owned())]);
        values.extend(lines.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let errors = WorkerConfig::check(&values).err().unwrap_or_default();
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_listener_with_https_says_what_it_lacks() {
        assert!(errors(&[("ssl.keystore.location", "a.pem")]).is_empty());
        assert!(errors(&[("listeners.https.ssl.keystore.certificate.chain", "c"), ("listeners.https.ssl.keystore.key", "k")]).is_empty());
        for (lines, said) in [
            (&[][..], "ssl.keystore.location: is required by listeners with https"),
            // All or nothing: the client's keys are not looked at.
            (
                &[("ssl.keystore.location", "a.pem"), ("listeners.https.ssl.client.auth", "none")][..],
                "listeners.https.ssl.keystore.location: is required",
            ),
            (&[("ssl.keystore.certificate.chain", "c")], "ssl.keystore.key: is required beside"),
            (
                &[("ssl.keystore.location", "a.jks"), ("ssl.keystore.type", "JKS")],
                "ssl.keystore.type = 'JKS': expected PEM; make a PEM file",
            ),
            (
                &[("ssl.keystore.location", "a.pem"), ("ssl.client.auth", "required")],
                "ssl.truststore.location: is required by ssl.client.auth",
            ),
            (&[("ssl.keystore.location", "a.pem"), ("ssl.client.auth", "maybe")], "ssl.client.auth = 'maybe': expected one of"),
            (&[("ssl.keystore.location", "a.pem"), ("ssl.enabled.protocols", "TLSv1.1")], "ssl.enabled.protocols = 'TLSv1.1'"),
            (&[("listeners.https.ssl.cipher.suites", "x")], "listeners.https.ssl.cipher.suites: unknown key"),
        ] {
            let found = errors(lines);
            assert!(found.iter().any(|error| error.starts_with(said)), "{lines:?}: {found:?}");
        }
        let found = errors(&[("ssl.keystore.location", "a"), ("ssl.keystore.key", "the-secret")]);
        assert!(found.len() == 1 && !found[0].contains("the-secret"), "{found:?}");
    }
}
