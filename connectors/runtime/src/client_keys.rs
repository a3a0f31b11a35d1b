//! Keys of a worker file that Kafka's clients have, and those of Kafka Connect's workers that say nothing here.

use lakefeed_core::{Importance, Key, KeyKind};

const fn client(name: &'static str) -> Key {
    Key::new(name, KeyKind::String, "A setting of all clients, under Kafka's name.").importance(Importance::Low).group("Kafka")
}

const fn accepted(name: &'static str, doc: &'static str) -> Key {
    Key::new(name, KeyKind::String, doc).importance(Importance::Low).group("Worker")
}

const NO_JAVA: &str = "Accepted as in Kafka Connect, for its Java clients.";
const NO_SIGNATURES: &str = "Accepted as in Kafka Connect; workers tell each other by topics, and sign nothing.";
const NO_SYNC: &str = "Accepted as in Kafka Connect; a worker reads the topics of the cluster all the time.";

/// Settings of all clients, as far as librdkafka has them.
pub(crate) const CLIENT_KEYS: [Key; 9] = [
    client("client.rack"),
    client("connections.max.idle.ms"),
    client("metadata.max.age.ms"),
    client("reconnect.backoff.ms"),
    client("reconnect.backoff.max.ms"),
    client("request.timeout.ms"),
    client("retry.backoff.ms"),
    client("retry.backoff.max.ms"),
    client("socket.connection.setup.timeout.ms"),
];

/// Those without effect.
pub(crate) const ACCEPTED: [Key; 15] = [
    accepted("auto.include.jmx.reporter", NO_JAVA),
    accepted("client.dns.lookup", NO_JAVA),
    accepted("client.id", "Accepted as in Kafka Connect; clients are called by their connectors."),
    accepted("metadata.recovery.rebootstrap.trigger.ms", NO_JAVA),
    accepted("metadata.recovery.strategy", NO_JAVA),
    accepted("metric.reporters", "Accepted as in Kafka Connect; GET /metrics has them all."),
    accepted("receive.buffer.bytes", NO_JAVA),
    accepted("send.buffer.bytes", NO_JAVA),
    accepted("socket.connection.setup.timeout.max.ms", NO_JAVA),
    accepted("inter.worker.key.generation.algorithm", NO_SIGNATURES),
    accepted("inter.worker.key.ttl.ms", NO_SIGNATURES),
    accepted("inter.worker.signature.algorithm", NO_SIGNATURES),
    accepted("inter.worker.verification.algorithms", NO_SIGNATURES),
    accepted("worker.sync.timeout.ms", NO_SYNC),
    accepted("worker.unsync.backoff.ms", NO_SYNC),
];
