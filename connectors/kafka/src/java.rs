//! Settings of Kafka's Java clients, by the names and in the values of librdkafka.

/// Settings of the Java clients without a counterpart here: how Java turns bytes into objects, how much it returns per poll, what it loads
/// from the class path, and how it speaks TLS.
const JAVA_ONLY: &[&str] = &[
    "auto.include.jmx.reporter",
    "bootstrap.controllers",
    "buffer.memory",
    "client.dns.lookup",
    "config.providers",
    "default.api.timeout.ms",
    "exclude.internal.topics",
    "interceptor.classes",
    "key.deserializer",
    "key.serializer",
    "max.block.ms",
    "max.poll.records",
    "metadata.max.idle.ms",
    "metric.reporters",
    "metrics.num.samples",
    "metrics.recording.level",
    "metrics.sample.window.ms",
    "request.timeout.ms",
    "send.buffer.bytes",
    "receive.buffer.bytes",
    "sasl.client.callback.handler.class",
    "security.providers",
    "socket.connection.setup.timeout.max.ms",
    // A server's: the worker's file has one set of keys for its clients and its listeners.
    "ssl.client.auth",
    "ssl.enabled.protocols",
    "ssl.engine.factory.class",
    "ssl.keymanager.algorithm",
    "ssl.protocol",
    "ssl.provider",
    "ssl.secure.random.implementation",
    "ssl.trustmanager.algorithm",
    // Files of certificates in PEM have no password.
    "ssl.truststore.password",
    "ssl.truststore.type",
    "transaction.two.phase.commit.enable",
    "value.deserializer",
    "value.serializer",
];

/// What the names of further such settings begin with.
const JAVA_ONLY_PREFIXES: &[&str] = &[
    // librdkafka has one level for all codecs.
    "compression.gzip.",
    "compression.lz4.",
    "compression.zstd.",
    "internal.",
    "partitioner.",
    "sasl.login.",
    "share.",
];

/// What a Java setting is called by librdkafka.
const RENAMED: &[(&str, &str)] = &[
    ("delivery.timeout.ms", "message.timeout.ms"),
    ("fetch.max.wait.ms", "fetch.wait.max.ms"),
    ("max.in.flight.requests.per.connection", "max.in.flight"),
    ("max.partition.fetch.bytes", "fetch.message.max.bytes"),
    ("max.request.size", "message.max.bytes"),
    ("ssl.keystore.certificate.chain", "ssl.certificate.pem"),
    ("ssl.keystore.key", "ssl.key.pem"),
    ("ssl.keystore.password", "ssl.key.password"),
    ("ssl.truststore.certificates", "ssl.ca.pem"),
    ("ssl.truststore.location", "ssl.ca.location"),
];

/// The settings that a setting stands for; none if it means nothing here.
pub(crate) fn translate<'a>(key: &'a str, value: &'a str) -> Vec<(&'a str, String)> {
    match key {
        "sasl.jaas.config" => {
            let options = [("username", "sasl.username"), ("password", "sasl.password")];
            options.into_iter().filter_map(|(jaas, ours)| Some((ours, jaas_option(value, jaas)?))).collect()
        }
        // Names of Java classes; what is set without it does what they do.
        "partition.assignment.strategy" if value.contains('.') => Vec::new(),
        // Nothing is how Java's clients are told not to look.
        "ssl.endpoint.identification.algorithm" if value.is_empty() => vec![(key, "none".into())],
        _ if JAVA_ONLY.contains(&key) || JAVA_ONLY_PREFIXES.iter().any(|prefix| key.starts_with(prefix)) => Vec::new(),
        _ => {
            let ours = RENAMED.iter().find(|(java, _)| *java == key).map_or(key, |(_, ours)| ours);
            vec![(ours, value.to_owned())]
        }
    }
}

/// An option of a JAAS line: `...LoginModule required username="alice" password="secret";`.
fn jaas_option(line: &str, name: &str) -> Option<String> {
    let start = line.find(&format!("{name}=\""))? + name.len() + 2;
    let len = line[start..].find('"')?;
    Some(line[start..start + len].to_owned())
}

#[cfg(test)]
mod tests {
    use rdkafka::admin::AdminClient;
    use rdkafka::client::DefaultClientContext;
    use rdkafka::config::{ClientConfig, FromClientConfig};
    use rdkafka::consumer::BaseConsumer;
    use rdkafka::producer::BaseProducer;

    use crate::ClientSettings;

    fn made(client: &str, settings: &ClientSettings) -> Result<(), String> {
        fn make<T: FromClientConfig>(config: &ClientConfig) -> Result<(), String> {
            T::from_config(config).map(drop).map_err(|e| e.to_string())
        }
        match client {
            "consumer" => make::<BaseConsumer>(&settings.native()),
            "producer" => make::<BaseProducer>(&settings.native()),
            _ => make::<AdminClient<DefaultClientContext>>(&settings.native()),
        }
    }

    /// Every setting that Apache Kafka's clients have, with its default or another value that is usual, where nothing uses SASL.
    #[test]
    fn clients_are_made_with_every_setting_of_the_java_clients() {
        let mut lines = 0;
        for line in include_str!("../tests/golden/java-clients.txt").lines().filter(|line| !line.starts_with('#')) {
            let [client, key, value] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let settings = ClientSettings::new("localhost:1").set("group.id", "g").set(key, value);
            made(client, &settings).unwrap_or_else(|error| panic!("{line}: {error}"));
            lines += 1;
        }
        assert!(lines > 150, "{lines}");
    }

    #[test]
    fn values_of_java_are_translated() {
        let none = ClientSettings::new("b:9092").set("ssl.endpoint.identification.algorithm", "");
        assert_eq!(none.get("ssl.endpoint.identification.algorithm"), Some("none"));
        let class = "org.apache.kafka.clients.consumer.CooperativeStickyAssignor";
        assert_eq!(ClientSettings::new("b:9092").set("partition.assignment.strategy", class).get("partition.assignment.strategy"), None);
        assert_eq!(ClientSettings::new("b:9092").set("max.request.size", "2000000").get("message.max.bytes"), Some("2000000"));
    }
}
