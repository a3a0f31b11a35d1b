//! Client settings, under Kafka's names.

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::config::ClientConfig;

use crate::java::translate;

/// The settings of a client. Keys are Kafka's; those that only the Java clients know are translated or dropped, so that the
/// `consumer.`, `producer.` and `admin.` parts of a Kafka Connect worker file work.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ClientSettings {
    values: BTreeMap<String, String>,
}

impl ClientSettings {
    /// Settings for a cluster.
    pub fn new(bootstrap_servers: &str) -> Self {
        Self::default().set("bootstrap.servers", bootstrap_servers)
    }

    /// With a setting; a later one replaces an earlier one.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.values.extend(translate(key, value).into_iter().map(|(key, value)| (key.to_owned(), value)));
        self
    }

    /// With a setting, unless it has been made already.
    #[must_use]
    pub fn or(self, key: &str, value: &str) -> Self {
        if self.values.contains_key(key) { self } else { self.set(key, value) }
    }

    /// With the settings of `pairs`.
    #[must_use]
    pub fn extend<'a>(self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        pairs.into_iter().fold(self, |settings, (key, value)| settings.set(key, value))
    }

    /// A setting.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// The brokers to start from, for messages.
    pub fn bootstrap(&self) -> &str {
        self.get("bootstrap.servers").unwrap_or("(bootstrap.servers is not set)")
    }

    pub(crate) fn native(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        // A file of Kafka's PEM form has the key and the certificates; any other form is PKCS#12 to librdkafka.
        let pem = self.get("ssl.keystore.type").is_some_and(|kind| kind.eq_ignore_ascii_case("PEM"));
        // Files with every key of Java's clients have those of mechanisms that are not used, which librdkafka would refuse where it is built without.
        let sasl = self.get("security.protocol").is_some_and(|protocol| protocol.to_ascii_uppercase().starts_with("SASL"));
        let uses = |mechanism: &str| self.get("sasl.mechanism").unwrap_or("GSSAPI").eq_ignore_ascii_case(mechanism);
        for (key, value) in &self.values {
            match key.as_str() {
                "ssl.keystore.type" | "fetch.client" => {}
                _ if key.starts_with("sasl.") && !sasl => {}
                _ if key.starts_with("sasl.oauthbearer.") && !uses("OAUTHBEARER") => {}
                _ if key.starts_with("sasl.kerberos.") && !uses("GSSAPI") => {}
                "ssl.keystore.location" if pem => drop(config.set("ssl.certificate.location", value).set("ssl.key.location", value)),
                _ => drop(config.set(key, value)),
            }
        }
        config
    }
}

impl fmt::Debug for ClientSettings {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_settings_are_translated_or_dropped() {
        let jaas = r#"org.apache.kafka.common.security.plain.PlainLoginModule required username="alice" password="s";"#;
        let settings = ClientSettings::new("b:9092")
            .set("max.poll.records", "500")
            .set("delivery.timeout.ms", "7")
            .set("sasl.jaas.config", jaas)
            .or("message.timeout.ms", "9");
        assert_eq!(settings.get("message.timeout.ms"), Some("7"));
        assert_eq!((settings.get("sasl.username"), settings.get("sasl.password")), (Some("alice"), Some("s")));
        assert_eq!(settings.get("max.poll.records"), None);
        assert!(!format!("{settings:?}").contains("alice"));
    }

    #[test]
    fn certificates_in_pem_are_called_as_librdkafka_calls_them() {
        let file = ClientSettings::new("b:9092")
            .set("ssl.keystore.type", "PEM")
            .set("ssl.keystore.location", "a.pem")
            .set("ssl.client.auth", "none");
        let native = file.native();
        assert_eq!((native.get("ssl.certificate.location"), native.get("ssl.key.location")), (Some("a.pem"), Some("a.pem")));
        assert_eq!(
            (native.get("ssl.keystore.location"), native.get("ssl.keystore.type"), native.get("ssl.client.auth")),
            (None, None, None)
        );
        let text = ClientSettings::new("b:9092").set("ssl.keystore.certificate.chain", "c").set("ssl.keystore.key", "k");
        let native = text.set("ssl.truststore.certificates", "t").native();
        assert_eq!(["ssl.certificate.pem", "ssl.key.pem", "ssl.ca.pem"].map(|key| native.get(key)), [Some("c"), Some("k"), Some("t")]);
        let pkcs12 = ClientSettings::new("b:9092").set("ssl.keystore.location", "a.p12").native();
        assert_eq!(pkcs12.get("ssl.keystore.location"), Some("a.p12"));
    }
}
