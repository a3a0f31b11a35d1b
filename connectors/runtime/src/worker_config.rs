//! The keys of a worker file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use lakefeed_core::{Config, ConfigDef, ConfigError, Error, Importance, Key, KeyKind, Result};
use lakefeed_kafka::ClientSettings;

use crate::converters::{self, ValueConverter};

const KEYS: &[Key] = &[
    Key::new("bootstrap.servers", KeyKind::List, "The brokers to start from, host:port with commas.")
        .default("localhost:9092")
        .importance(Importance::High)
        .group("Kafka"),
    Key::new("offset.storage.file.filename", KeyKind::String, "The file that keeps how far each source has come.")
        .default("lakefeed.offsets.json")
        .importance(Importance::High)
        .group("Worker"),
    Key::new("offset.flush.interval.ms", KeyKind::Long, "Milliseconds between commits of offsets.").default("5000").group("Worker"),
    Key::new("offset.flush.timeout.ms", KeyKind::Long, "Milliseconds that a commit of a source waits for the brokers' acknowledgements.")
        .default("60000")
        .group("Worker"),
    Key::new(
        "task.shutdown.graceful.timeout.ms",
        KeyKind::Long,
        "Milliseconds that tasks have to publish what they hold when the worker stops.",
    )
    .default("30000")
    .group("Worker"),
    Key::new("state.dir", KeyKind::String, "The folder that keeps the state of processors. One worker at a time uses it.")
        .default("lakefeed.state")
        .importance(Importance::High)
        .group("Worker"),
    Key::new(
        "memory.budget.bytes",
        KeyKind::Long,
        "Bytes that all sinks of the worker together may buffer; beyond it files are closed early.",
    )
    .default("201326592")
    .group("Worker"),
    Key::new(
        "exactly.once.source.support",
        KeyKind::String,
        "Whether processors write in transactions: enabled needs brokers that know transactions; disabled means at-least-once.",
    )
    .default("enabled")
    .values(&["enabled", "preparing", "disabled"])
    .group("Worker"),
    Key::new("topic.creation.enable", KeyKind::Boolean, "Whether output topics that do not exist are made.")
        .default("true")
        .group("Worker"),
    Key::new("listeners", KeyKind::List, "Accepted as in Kafka Connect; this version answers no REST calls.")
        .importance(Importance::Low)
        .group("REST"),
    Key::new("plugin.path", KeyKind::List, "Accepted as in Kafka Connect; all plugins are in the binary.")
        .importance(Importance::Low)
        .group("Worker"),
    Key::new("plugin.discovery", KeyKind::String, "Accepted as in Kafka Connect; all plugins are in the binary.")
        .importance(Importance::Low)
        .group("Worker"),
    Key::new("config.providers", KeyKind::List, "Accepted as in Kafka Connect; ${env:NAME} and ${file:PATH:KEY} always work.")
        .importance(Importance::Low)
        .group("Worker"),
    Key::new("group.id", KeyKind::String, "Accepted as in Kafka Connect's distributed mode; each connector is its own group.")
        .importance(Importance::Low)
        .group("Worker"),
];

const PREFIXES: &[(&str, &str)] = &[
    ("consumer.", "A setting of the consumers, under Kafka's name."),
    ("producer.", "A setting of the producers, under Kafka's name."),
    ("admin.", "A setting of the admin clients, under Kafka's name."),
    ("config.providers.", "Accepted as in Kafka Connect."),
    ("rest.", "Accepted as in Kafka Connect."),
    ("security.", "A setting of all clients, under Kafka's name."),
    ("sasl.", "A setting of all clients, under Kafka's name."),
    ("ssl.", "A setting of all clients, under Kafka's name."),
];

/// The keys of a worker file.
pub fn worker_definition() -> ConfigDef {
    let keys = ConfigDef::new().keys(KEYS).keys(converters::CLASSES).keys(converters::VALUE_KEYS).keys(converters::KEY_KEYS);
    PREFIXES.iter().chain(converters::PREFIXES).fold(keys, |def, (prefix, doc)| def.prefix(prefix, doc))
}

/// What a worker file says.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    config: Config,
}

impl WorkerConfig {
    /// Checks the values of a worker file.
    ///
    /// # Errors
    /// `Config`: with a line for each mistake.
    pub fn parse(what: &str, values: &BTreeMap<String, String>) -> Result<Self> {
        let config = worker_definition()
            .parse(values)
            .map_err(|errors| ConfigError::into_error(what, &errors).unwrap_or_else(|| Error::config(format!("{what} is not valid"))))?;
        Ok(Self { config })
    }

    /// The settings of a client of `role` (`consumer`, `producer`, `admin`): those of all clients, then those of the role, then the
    /// connector's own.
    pub(crate) fn client(&self, role: &str, connector: &Config) -> ClientSettings {
        let mut settings = ClientSettings::new(self.config.text("bootstrap.servers"));
        for common in ["security.", "sasl.", "ssl."] {
            for (key, value) in self.config.with_prefix(common) {
                settings = settings.set(&format!("{common}{key}"), value);
            }
        }
        let own = format!("{role}.override.");
        settings.extend(self.config.with_prefix(&format!("{role}."))).extend(connector.with_prefix(&own))
    }

    /// How the values of a connector are read.
    ///
    /// # Errors
    /// `Config`: the worker's own converter, which the connector uses, is not set up.
    pub(crate) fn value_converter(&self, connector: &Config) -> Result<ValueConverter> {
        converters::resolve(connector, &self.config).map_err(|error| Error::config(format!("the worker's converter: {error}")))
    }

    /// The settings of an admin client.
    pub fn admin(&self) -> ClientSettings {
        let none = ConfigDef::new().parse(&BTreeMap::new());
        none.map_or_else(|_| ClientSettings::new(self.config.text("bootstrap.servers")), |none| self.client("admin", &none))
    }

    pub(crate) fn offset_file(&self) -> PathBuf {
        self.config.text("offset.storage.file.filename").into()
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.config.text("state.dir").into()
    }

    pub(crate) fn commit_interval(&self) -> Duration {
        self.millis("offset.flush.interval.ms")
    }

    pub(crate) fn flush_timeout(&self) -> Duration {
        self.millis("offset.flush.timeout.ms")
    }

    pub(crate) fn shutdown_timeout(&self) -> Duration {
        self.millis("task.shutdown.graceful.timeout.ms")
    }

    pub(crate) fn memory_budget(&self) -> usize {
        usize::try_from(self.config.int("memory.budget.bytes").unwrap_or(0)).unwrap_or(0)
    }

    pub(crate) fn transactions(&self) -> bool {
        self.config.text("exactly.once.source.support") == "enabled"
    }

    pub(crate) fn creates_topics(&self) -> bool {
        self.config.bool("topic.creation.enable")
    }

    fn millis(&self, key: &str) -> Duration {
        Duration::from_millis(u64::try_from(self.config.int(key).unwrap_or(0)).unwrap_or(0))
    }
}
