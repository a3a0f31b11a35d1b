//! The keys of a worker file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use lakefeed_core::{Config, ConfigDef, ConfigError, Error, Importance, Key, KeyKind, PluginKind, Result};
use lakefeed_kafka::ClientSettings;

use crate::client_keys::{ACCEPTED, CLIENT_KEYS};
use crate::cluster::{self, ClusterConfig};
use crate::connector::Connector;
use crate::converters::{self, Forms, Reading};
use crate::response_headers::{ResponseHeader, response_headers};
use crate::rest_ssl::{self, RestSsl};

/// Where REST calls are answered unless told otherwise: on this machine only.
const DEFAULT_LISTENER: &str = "http://127.0.0.1:8083";
/// The key by which a connector's consumers have another group than `connect-NAME`.
const GROUP_KEY: &str = "consumer.override.group.id";

const KEYS: &[Key] = &[
    Key::new("bootstrap.servers", KeyKind::List, "The brokers to start from, host:port with commas.")
        .default("localhost:9092")
        .importance(Importance::High)
        .group("Kafka"),
    Key::new(
        "offset.storage.file.filename",
        KeyKind::String,
        "The file that keeps how far each source has come, while the worker is in no cluster.",
    )
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
        "Whether processors, and the sources of a cluster, write in transactions: enabled needs brokers that know transactions; disabled means at-least-once.",
    )
    .default("enabled")
    .values(&["enabled", "preparing", "disabled"])
    .group("Worker"),
    Key::new("topic.creation.enable", KeyKind::Boolean, "Whether output topics that do not exist are made.")
        .default("true")
        .group("Worker"),
    Key::new(
        "listeners",
        KeyKind::List,
        "Where REST calls are answered, http://HOST:PORT or https://HOST:PORT with commas; without HOST on every interface, port 0 is a free one.",
    )
    .default(DEFAULT_LISTENER)
    .validator(listeners_are_http)
    .group("REST"),
    Key::new("rest.advertised.host.name", KeyKind::String, "The host of worker_id in status answers; unset, that of the first listener.")
        .importance(Importance::Low)
        .group("REST"),
    Key::new("rest.advertised.port", KeyKind::Int, "The port of worker_id in status answers; unset, that of the first listener.")
        .importance(Importance::Low)
        .group("REST"),
    Key::new(
        "rest.extension.classes",
        KeyKind::List,
        "BasicAuthSecurityRestExtension: calls need a user and a password of rest.basic.auth.file.",
    )
    .validator(basic_auth_only)
    .importance(Importance::Low)
    .group("REST"),
    Key::new(
        "rest.basic.auth.file",
        KeyKind::String,
        "Users and passwords as Java properties, as Kafka Connect's PropertyFileLoginModule reads them. Set, calls need one.",
    )
    .importance(Importance::Low)
    .group("REST"),
    Key::new(
        "access.control.allow.origin",
        KeyKind::List,
        "Web pages that may make REST calls, by their origin; * is any. Unset, none of elsewhere.",
    )
    .importance(Importance::Low)
    .group("REST"),
    Key::new("access.control.allow.methods", KeyKind::List, "The methods that such pages may use; unset, GET, POST and HEAD.")
        .importance(Importance::Low)
        .group("REST"),
    Key::new(
        "response.http.headers.config",
        KeyKind::String,
        "Headers that every answer to a call has, as rules '[action] [header name]:[header value]' with commas between them; a rule with a comma stands in \
         double quotes. Actions: set takes the place of what the answer has, add stands beside it; setDate and addDate take milliseconds from the answer \
         and write the date.",
    )
    .validator(|value| response_headers(value).map(|_| ()))
    .importance(Importance::Low)
    .group("REST"),
    Key::new("admin.listeners", KeyKind::List, "Not supported: /admin/loggers is answered on listeners.")
        .validator(|_| Err("not supported: /admin/loggers is answered on listeners; leave it out".into()))
        .importance(Importance::Low)
        .group("REST"),
    Key::new(
        "connector.client.config.override.policy",
        KeyKind::String,
        "Accepted as in Kafka Connect; connectors may override every setting of their clients.",
    )
    .values(&["All"])
    .importance(Importance::Low)
    .group("Worker"),
    Key::new("topic.tracking.enable", KeyKind::Boolean, "Whether the topics that a connector uses are shown.")
        .default("true")
        .importance(Importance::Low)
        .group("REST"),
    Key::new("topic.tracking.allow.reset", KeyKind::Boolean, "Whether the topics that are shown can be reset.")
        .default("true")
        .importance(Importance::Low)
        .group("REST"),
    Key::new("plugin.path", KeyKind::List, "Accepted as in Kafka Connect; all plugins are in the binary.")
        .importance(Importance::Low)
        .group("Worker"),
    Key::new("plugin.discovery", KeyKind::String, "Accepted as in Kafka Connect; all plugins are in the binary.")
        .importance(Importance::Low)
        .group("Worker"),
    Key::new("config.providers", KeyKind::List, "Accepted as in Kafka Connect; ${env:NAME}, ${file:PATH:KEY} and ${dir:PATH:FILE} always work.")
        .importance(Importance::Low)
        .group("Worker"),
];

const PREFIXES: &[(&str, &str)] = &[
    ("consumer.", "A setting of the consumers, under Kafka's name."),
    ("producer.", "A setting of the producers, under Kafka's name."),
    ("admin.", "A setting of the admin clients, under Kafka's name."),
    ("config.providers.", "Accepted as in Kafka Connect."),
    ("metrics.", "Accepted as in Kafka Connect; GET /metrics has them all."),
    ("rest.", "Accepted as in Kafka Connect."),
    ("security.", "A setting of all clients, under Kafka's name."),
    ("sasl.", "A setting of all clients, under Kafka's name."),
    ("ssl.", "A setting of all clients, under Kafka's name."),
];

fn basic_auth_only(value: &str) -> Result<(), String> {
    let simple = |class: &str| class.trim().rsplit('.').next() == Some("BasicAuthSecurityRestExtension");
    if value.trim().is_empty() || value.split(',').all(simple) {
        Ok(())
    } else {
        Err("expected BasicAuthSecurityRestExtension; there are no others".into())
    }
}

fn listeners_are_http(value: &str) -> Result<(), String> {
    value.split(',').map(str::trim).filter(|v| !v.is_empty()).try_for_each(|listener| Listener::parse(listener).map(|_| ()))
}

/// Where REST calls are answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Whether over TLS.
    pub https: bool,
    /// The host; empty: every interface.
    pub host: String,
    /// The port; 0: any free one.
    pub port: u16,
}

impl Listener {
    fn parse(text: &str) -> Result<Self, String> {
        let expected = || format!("expected http://HOST:PORT or https://HOST:PORT, found '{text}'");
        let (scheme, rest) = text.split_once("://").ok_or_else(expected)?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(expected()),
        };
        let (host, port) = rest.trim_end_matches('/').rsplit_once(':').ok_or_else(expected)?;
        let port = port.parse().map_err(|_| expected())?;
        Ok(Self { https, host: host.trim_start_matches('[').trim_end_matches(']').to_owned(), port })
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }
}

/// The keys of a worker file.
pub fn worker_definition() -> ConfigDef {
    let keys = ConfigDef::new()
        .keys(KEYS)
        .keys(&CLIENT_KEYS)
        .keys(&ACCEPTED)
        .keys(cluster::config::KEYS)
        .keys(rest_ssl::KEYS)
        .keys(converters::CLASSES)
        .keys(converters::VALUE_KEYS)
        .keys(converters::KEY_KEYS);
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
        let error =
            |errors: Vec<_>| ConfigError::into_error(what, &errors).unwrap_or_else(|| Error::config(format!("{what} is not valid")));
        Self::check(values).map_err(error)
    }

    /// Checks the values of a worker file.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn check(values: &BTreeMap<String, String>) -> Result<Self, Vec<ConfigError>> {
        let (config, errors) = worker_definition().read(values);
        let mut further = ClusterConfig::errors(&config);
        // Calls that everybody can make, where somebody asked for passwords, would be the worst answer to a missing key.
        if config.get("rest.extension.classes").is_some() && config.get("rest.basic.auth.file").is_none() {
            further.push(ConfigError::key("rest.basic.auth.file", "is required, because rest.extension.classes asks for passwords"));
        }
        let worker = Self { config };
        if worker.listeners().iter().any(|listener| listener.https) {
            further.extend(worker.rest_ssl().errors());
        }
        let errors = ConfigError::with_further(errors, further);
        if errors.is_empty() { Ok(worker) } else { Err(errors) }
    }

    /// The cluster that the worker is a member of, if it is in one.
    pub(crate) fn cluster(&self) -> Option<ClusterConfig> {
        ClusterConfig::read(&self.config)
    }

    /// The settings of a client of `role` (`consumer`, `producer`, `admin`): those of all clients, then those of the role, then the
    /// connector's own.
    pub(crate) fn client(&self, role: &str, connector: &Config) -> ClientSettings {
        let shared = CLIENT_KEYS.iter().filter_map(|key| Some((key.name, self.config.get(key.name)?)));
        let mut settings = ClientSettings::new(self.config.text("bootstrap.servers")).extend(shared);
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
    pub(crate) fn value_converter(&self, connector: &Config) -> Result<Reading> {
        converters::resolve(connector, &self.config).map_err(|error| Error::config(format!("the worker's converter: {error}")))
    }

    /// How a sink reads keys; `None`: not at all.
    ///
    /// # Errors
    /// As [`WorkerConfig::value_converter`].
    pub(crate) fn key_converter(&self, connector: &Connector) -> Result<Option<Reading>> {
        let transformed = connector.transforms.uses_keys();
        converters::key_reading(&connector.config, &self.config, transformed)
            .map_err(|error| Error::config(format!("{}: the worker's converter: {error}", connector.name)))
    }

    /// How the keys and values of a source or processor are written.
    ///
    /// # Errors
    /// `Config`: the worker's own converter, which the connector uses, is not set up.
    pub(crate) fn forms(&self, connector: &Connector) -> Result<Forms> {
        let form = |side: &str| {
            let form = match connector.plugin.kind() {
                PluginKind::Processor => converters::output_form(side, &connector.config),
                _ => converters::form(side, &connector.config, &self.config),
            };
            form.map_err(|error| Error::config(format!("{}: the worker's converter: {error}", connector.name)))
        };
        Ok(Forms { key: form("key")?, value: form("value")? })
    }

    /// How a processor reads values; `None`: as the JSON that they are.
    ///
    /// # Errors
    /// As [`WorkerConfig::value_converter`].
    pub(crate) fn processor_converter(&self, connector: &Connector) -> Result<Option<Reading>> {
        converters::processor_reading(&connector.config, &self.config)
            .map_err(|error| Error::config(format!("{}: the worker's converter: {error}", connector.name)))
    }

    /// Whether a connector can do with what the worker's file says of converters.
    ///
    /// # Errors
    /// `Config`: it can't.
    pub(crate) fn check_converter(&self, connector: &Connector) -> Result<()> {
        match connector.plugin.kind() {
            PluginKind::Sink => self.key_converter(connector).and_then(|_| self.value_converter(&connector.config)).map(|_| ()),
            PluginKind::Source => self.forms(connector).map(|_| ()),
            PluginKind::Processor => self.processor_converter(connector).and_then(|_| self.forms(connector)).map(|_| ()),
        }
    }

    /// Checks that a source that must write in transactions can.
    pub(crate) fn check_exactly_once(&self, connector: &Connector) -> Result<(), ConfigError> {
        let (key, text) = ("exactly.once.support", connector.config.text("exactly.once.support"));
        let can = self.cluster().is_some() && self.transactions();
        if connector.plugin.kind() != PluginKind::Source || text != "required" || can {
            return Ok(());
        }
        let message =
            "sources write in transactions on a worker of a cluster only (config.storage.topic) with exactly.once.source.support=enabled";
        Err(ConfigError::value(key, text, message))
    }

    /// Checks that the consumers of a connector are not of the group of the workers.
    pub(crate) fn check_group(&self, connector: &Connector) -> Result<(), ConfigError> {
        let reads = connector.plugin.kind() != PluginKind::Source;
        let workers = self.cluster().map(|cluster| cluster.group).filter(|_| reads);
        let settings = connector.group_settings(self);
        let group = settings.get("group.id").unwrap_or_default();
        if workers.is_none_or(|workers| workers != group) {
            return Ok(());
        }
        let name = &connector.name;
        let (key, value, which) = match connector.config.get(GROUP_KEY) {
            Some(given) => (GROUP_KEY, given, group.to_owned()),
            None => ("name", name.as_str(), format!("for sink connector named {name}")),
        };
        Err(ConfigError::value(key, value, format!("Consumer group {which} conflicts with Connect worker group {group}")))
    }

    /// The settings of an admin client.
    pub fn admin(&self) -> ClientSettings {
        self.client_of("admin")
    }

    /// The settings of a client of the worker's own.
    pub(crate) fn client_of(&self, role: &str) -> ClientSettings {
        let none = ConfigDef::new().parse(&BTreeMap::new());
        none.map_or_else(|_| ClientSettings::new(self.config.text("bootstrap.servers")), |none| self.client(role, &none))
    }

    /// Where REST calls are answered.
    pub fn listeners(&self) -> Vec<Listener> {
        // Checked by the key's validator.
        self.config.list("listeners").into_iter().filter_map(|listener| Listener::parse(listener).ok()).collect()
    }

    /// What is said of TLS for REST calls.
    pub fn rest_ssl(&self) -> RestSsl<'_> {
        RestSsl::of(&self.config)
    }

    /// Whether the listeners are those of the default.
    pub fn listens_by_default(&self) -> bool {
        self.config.text("listeners") == DEFAULT_LISTENER
    }

    /// Host and port that others are told, where they are set.
    pub fn advertised(&self) -> (Option<&str>, Option<u16>) {
        let port = self.config.int("rest.advertised.port").and_then(|n| u16::try_from(n).ok());
        (self.config.get("rest.advertised.host.name"), port)
    }

    /// The file of users and passwords that calls need, if they do.
    pub fn basic_auth_file(&self) -> Option<PathBuf> {
        self.config.get("rest.basic.auth.file").map(PathBuf::from)
    }

    /// The web pages that may make REST calls, by origin, and their methods.
    pub fn access_control(&self) -> (Vec<&str>, Vec<&str>) {
        (self.config.list("access.control.allow.origin"), self.config.list("access.control.allow.methods"))
    }

    /// The headers that every answer to a REST call has.
    pub fn response_headers(&self) -> Vec<ResponseHeader> {
        // Checked by the key's validator.
        response_headers(self.config.text("response.http.headers.config")).unwrap_or_default()
    }

    /// Whether the topics of connectors are shown, and whether they can be reset.
    pub fn topic_tracking(&self) -> (bool, bool) {
        (self.config.bool("topic.tracking.enable"), self.config.bool("topic.tracking.allow.reset"))
    }

    pub(crate) fn offset_file(&self) -> PathBuf {
        self.config.text("offset.storage.file.filename").into()
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.config.text("state.dir").into()
    }

    pub(crate) fn commit_interval(&self) -> Duration {
        self.config.millis("offset.flush.interval.ms")
    }

    pub(crate) fn flush_timeout(&self) -> Duration {
        self.config.millis("offset.flush.timeout.ms")
    }

    pub(crate) fn shutdown_timeout(&self) -> Duration {
        self.config.millis("task.shutdown.graceful.timeout.ms")
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
}
