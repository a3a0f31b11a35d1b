//! The keys of a worker file that make it a member of a cluster, under the names of Kafka Connect's distributed mode.

use std::collections::BTreeSet;
use std::time::Duration;

use lakefeed_core::{Config, ConfigError, Importance, Key, KeyKind};

use crate::validators::{at_least_one, partitions, replicas};

const fn replicas_of(name: &'static str) -> Key {
    Key::new(name, KeyKind::Int, "Replicas of that topic when it is made, at most one on each broker; -1: the brokers' default.")
        .default("3")
        .validator(replicas)
        .group("Cluster")
}

const fn partitions_of(name: &'static str, default: &'static str) -> Key {
    Key::new(name, KeyKind::Int, "Partitions of that topic when it is made; -1: the brokers' default.")
        .default(default)
        .validator(partitions)
        .group("Cluster")
}

/// The keys.
pub(crate) const KEYS: &[Key] = &[
    Key::new("group.id", KeyKind::String, "The cluster that the worker is a member of, with config.storage.topic.")
        .importance(Importance::High)
        .group("Cluster"),
    Key::new(
        "config.storage.topic",
        KeyKind::String,
        "The topic that keeps the connectors. Set, all workers with this topic and the same group.id are one cluster: they share its connectors, and the \
         tasks of one that is gone go to the others. Unset, connectors made by calls live in memory.",
    )
    .importance(Importance::High)
    .group("Cluster"),
    replicas_of("config.storage.replication.factor"),
    Key::new("offset.storage.topic", KeyKind::String, "The topic that keeps how far each source has come. Its partitions share out the tasks of the cluster.")
        .importance(Importance::High)
        .group("Cluster"),
    partitions_of("offset.storage.partitions", "25"),
    replicas_of("offset.storage.replication.factor"),
    Key::new("status.storage.topic", KeyKind::String, "The topic that keeps what connectors and tasks do.")
        .importance(Importance::High)
        .group("Cluster"),
    partitions_of("status.storage.partitions", "5"),
    replicas_of("status.storage.replication.factor"),
    Key::new("session.timeout.ms", KeyKind::Int, "Milliseconds after which a member of the cluster that is not heard of counts as gone.")
        .default("10000")
        .validator(at_least_one)
        .group("Cluster"),
    Key::new("heartbeat.interval.ms", KeyKind::Int, "Milliseconds between two signs of life of a member of the cluster.")
        .default("3000")
        .validator(at_least_one)
        .group("Cluster"),
    Key::new("rebalance.timeout.ms", KeyKind::Int, "Milliseconds that a member has to give up tasks, which publish and commit what they hold.")
        .default("60000")
        .validator(at_least_one)
        .group("Cluster"),
    Key::new("scheduled.rebalance.max.delay.ms", KeyKind::Int, "Accepted as in Kafka Connect; tasks of a worker that is gone are taken over at once.")
        .importance(Importance::Low)
        .group("Cluster"),
    Key::new("connect.protocol", KeyKind::String, "Accepted as in Kafka Connect.").importance(Importance::Low).group("Cluster"),
];

/// A topic, and how it is made if it is not there.
#[derive(Debug, Clone)]
pub(crate) struct TopicConfig {
    /// The beginning of its keys.
    pub(crate) prefix: &'static str,
    pub(crate) name: String,
    pub(crate) partitions: i32,
    pub(crate) replicas: i32,
}

/// What the file says of the cluster.
#[derive(Debug, Clone)]
pub(crate) struct ClusterConfig {
    pub(crate) group: String,
    /// Those of the configurations, of the offsets and of the states.
    pub(crate) topics: [TopicConfig; 3],
    pub(crate) session_timeout: Duration,
    pub(crate) heartbeat_interval: Duration,
    pub(crate) rebalance_timeout: Duration,
}

const PREFIXES: [&str; 3] = ["config.storage", "offset.storage", "status.storage"];

impl ClusterConfig {
    /// Reads the keys; `None`: the worker is alone.
    pub(crate) fn read(config: &Config) -> Option<Self> {
        config.get("config.storage.topic")?;
        let number = |key: String| config.int(&key).and_then(|n| i32::try_from(n).ok());
        let topic = |prefix: &'static str| TopicConfig {
            prefix,
            name: config.text(&format!("{prefix}.topic")).to_owned(),
            // That of the configurations has one alone: their order counts.
            partitions: number(format!("{prefix}.partitions")).unwrap_or(1),
            replicas: number(format!("{prefix}.replication.factor")).unwrap_or(-1),
        };
        Some(Self {
            group: config.text("group.id").to_owned(),
            topics: PREFIXES.map(topic),
            session_timeout: config.millis("session.timeout.ms"),
            heartbeat_interval: config.millis("heartbeat.interval.ms"),
            rebalance_timeout: config.millis("rebalance.timeout.ms"),
        })
    }

    /// What is wrong across the keys.
    pub(crate) fn errors(config: &Config) -> Vec<ConfigError> {
        let topics = PREFIXES.map(|prefix| format!("{prefix}.topic"));
        let Some(first) = topics.iter().find(|key| config.get(key).is_some()) else { return Vec::new() };
        let needed = topics.iter().map(String::as_str).chain(["group.id"]).filter(|key| config.get(key).is_none());
        let mut errors: Vec<_> = needed
            .map(|key| ConfigError::key(key, format!("is required, because {first} makes the worker a member of a cluster")))
            .collect();
        let names: BTreeSet<_> = topics.iter().filter_map(|key| config.get(key)).collect();
        if errors.is_empty() && names.len() < topics.len() {
            errors.push(ConfigError::key(
                "config.storage.topic",
                "must be another topic than offset.storage.topic and status.storage.topic, and these must differ",
            ));
        }
        if config.int("heartbeat.interval.ms") >= config.int("session.timeout.ms") {
            let value = config.text("heartbeat.interval.ms");
            errors.push(ConfigError::value("heartbeat.interval.ms", value, "must be less than session.timeout.ms, a third of it is usual"));
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::worker_config::WorkerConfig;

    fn parse(lines: &[(&str, &str)]) -> Result<WorkerConfig, String> {
        let values: BTreeMap<_, _> = lines.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        WorkerConfig::check(&values).map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }

    const WHOLE: [(&str, &str); 4] =
        [("group.id", "g"), ("config.storage.topic", "c"), ("offset.storage.topic", "o"), ("status.storage.topic", "s")];

    #[test]
    fn the_defaults_are_those_of_kafka_connect() {
        let cluster = parse(&WHOLE).expect("valid").cluster().expect("a cluster");
        let topics = cluster.topics.map(|topic| (topic.name, topic.partitions, topic.replicas));
        assert_eq!(topics, [("c".into(), 1, 3), ("o".into(), 25, 3), ("s".into(), 5, 3)]);
        assert_eq!(cluster.session_timeout.as_secs(), 10);
        assert!(parse(&[("group.id", "g")]).expect("valid").cluster().is_none(), "alone without config.storage.topic");
    }

    #[test]
    fn a_half_cluster_is_refused_with_what_is_missing() {
        for missing in WHOLE.map(|(key, _)| key) {
            let rest: Vec<_> = WHOLE.into_iter().filter(|(key, _)| *key != missing).collect();
            let said = parse(&rest).expect_err("refused");
            assert!(said.contains(&format!("{missing}: is required")), "{said}");
        }
        let with = |key, value| parse(&WHOLE.into_iter().chain([(key, value)]).collect::<Vec<_>>()).expect_err("refused");
        assert!(with("status.storage.topic", "o").contains("must be another topic"));
        assert!(with("heartbeat.interval.ms", "10000").contains("must be less than session.timeout.ms"));
        assert!(with("offset.storage.partitions", "0").contains("at least 1, or -1"));
    }
}
