//! Connectors: the keys that all have, and a checked configuration with its plugin.

use std::time::Duration;

use lakefeed_core::{Config, ConfigDef, ConfigError, Error, Importance, Key, KeyKind, Plugin, PluginKind, Result, nearest};
use lakefeed_formats::{Converter, DecoderOptions, Place, SchemaConflict, Transforms, parse_declared};
use lakefeed_kafka::ClientSettings;

use crate::backoff::Backoff;
use crate::converters;
use crate::files::ConnectorFile;
use crate::topic_creation::{self, TopicCreation};
use crate::validators::{at_least_minus_one, at_least_one, at_least_zero, replicas};
use crate::worker_config::WorkerConfig;

const COMMON: &[Key] = &[
    Key::new("name", KeyKind::String, "The connector's name; sinks and processors read as the group connect-NAME.")
        .required()
        .validator(printable_name)
        .group("Connector"),
    Key::new("connector.class", KeyKind::String, "What it is; `lakefeed plugins` lists the classes.").required().group("Connector"),
    Key::new("tasks.max", KeyKind::Int, "The most tasks that share the work.")
        .default("1")
        .validator(at_least_one)
        .importance(Importance::High),
    Key::new("tasks.max.enforce", KeyKind::Boolean, "Accepted as in Kafka Connect.").default("true").importance(Importance::Low),
    Key::new("config.action.reload", KeyKind::String, "Accepted as in Kafka Connect.").default("restart").values(&["none", "restart"]).importance(Importance::Low),
    Key::new(
        "errors.tolerance",
        KeyKind::String,
        "none: the first row that can't be used ends the task. all: such rows go to the dead letters.",
    )
    .default("none")
    .values(&["none", "all"])
    .group("Errors"),
    Key::new(
        "errors.retry.timeout",
        KeyKind::Long,
        "Milliseconds that a Schema Registry which does not answer is asked again before the records that need it are treated as errors.tolerance \
         says; -1: without end, while they wait. Kafka Connect's default is 0. Uploads and the brokers are tried again in any case.",
    )
    .default("-1")
    .validator(at_least_minus_one)
    .group("Errors"),
    Key::new("errors.retry.delay.max.ms", KeyKind::Long, "The longest wait between such questions, in milliseconds; the first is 300, and each doubles.")
        .default("60000")
        .validator(at_least_zero)
        .group("Errors"),
    Key::new(
        "task.restart.max.attempts",
        KeyKind::Int,
        "How often a task starts over after passing trouble (network, throttling, rebalances) before it fails; -1: without end. What needs a \
         person fails at once. A minute of work begins the count anew.",
    )
    .default("-1")
    .validator(at_least_minus_one)
    .group("Errors"),
    Key::new("task.restart.backoff.ms", KeyKind::Long, "Milliseconds before a task starts over for the first time; each further wait doubles.")
        .default("300")
        .validator(at_least_zero)
        .group("Errors"),
    Key::new("task.restart.backoff.max.ms", KeyKind::Long, "The longest wait before a task starts over, in milliseconds.")
        .default("60000")
        .validator(at_least_zero)
        .group("Errors"),
    Key::new("errors.log.enable", KeyKind::Boolean, "Whether each row that can't be used is logged.").default("false").group("Errors"),
    Key::new(
        "errors.log.include.messages",
        KeyKind::Boolean,
        "Whether such a line has the record's timestamp too, as in Kafka Connect for sinks. Keys and values are never logged.",
    )
    .default("false")
    .group("Errors"),
    Key::new("errors.deadletterqueue.topic.name", KeyKind::String, "The topic for rows that can't be used, with errors.tolerance=all.")
        .default("")
        .group("Errors"),
    Key::new(
        "errors.deadletterqueue.topic.replication.factor",
        KeyKind::Int,
        "Replicas of that topic when it is made, at most one on each broker; -1: the brokers' default.",
    )
    .default("3")
    .validator(replicas)
    .group("Errors"),
    Key::new(
        "errors.deadletterqueue.context.headers.enable",
        KeyKind::Boolean,
        "Whether dead letters say in headers where they come from and why.",
    )
    .default("true")
    .group("Errors"),
];

/// What sinks and processors add: they read topics.
const READER: &[Key] = &[
    Key::new("topics", KeyKind::List, "The topics to read.").default("").importance(Importance::High),
    Key::new("topics.regex", KeyKind::String, "A regular expression of the topics to read; either this or topics.")
        .default("")
        .importance(Importance::High),
];

/// What all have: rows are transformed.
const TRANSFORMED: &[Key] = &[
    Key::new(
        "transforms",
        KeyKind::List,
        "The transforms, by alias, in the order in which they are done. There are Apache Kafka's InsertField, ReplaceField, MaskField, Cast, \
         TimestampConverter, ExtractField, HoistField, Flatten, HeaderFrom and SetSchemaMetadata (each with $Key and $Value), ValueToKey, \
         InsertHeader, DropHeaders, Filter, RegexRouter and TimestampRouter; in sinks and processors ExtractNewImage: rows from DynamoDB stream \
         records. Those of a processor are of the rows that it makes.",
    )
    .default("")
    .importance(Importance::Low)
    .group("Transforms"),
    Key::new(
        "predicates",
        KeyKind::List,
        "The predicates that transforms name, by alias. There are HasHeaderKey, RecordIsTombstone and TopicNameMatches.",
    )
    .default("")
    .importance(Importance::Low)
    .group("Predicates"),
];

/// What sinks add, whose values become columns, and processors, for those that ExtractNewImage makes.
const DECODED: &[Key] = &[
    Key::new(
        "schema.conflict",
        KeyKind::String,
        "What becomes of a value that does not fit the type of its column: reject (the row is a dead letter) or text (the column becomes text).",
    )
    .default("reject")
    .values(&["reject", "text"])
    .group("Schema"),
    Key::new("schema.columns", KeyKind::String, "Columns whose types are given and not found out, for example: pm DOUBLE, id BIGINT, ts TIMESTAMP.")
        .validator(declared)
        .group("Schema"),
];

/// What sources add.
const SOURCE: &[Key] = &[
    Key::new(
        "exactly.once.support",
        KeyKind::String,
        "required: refuse to run without transactions (a worker of a cluster, exactly.once.source.support). requested: use them where the worker does.",
    )
    .default("requested")
    .values(&["requested", "required"])
    .group("Exactly once"),
    Key::new("transaction.boundary", KeyKind::String, "When transactions end: poll, after half a second at most; interval, after transaction.boundary.interval.ms.")
        .default("poll")
        .values(&["poll", "interval"])
        .importance(Importance::Low)
        .group("Exactly once"),
    Key::new("transaction.boundary.interval.ms", KeyKind::Long, "Milliseconds between the ends of transactions, with transaction.boundary=interval.")
        .validator(at_least_one)
        .importance(Importance::Low)
        .group("Exactly once"),
    Key::new("offsets.storage.topic", KeyKind::String, "Accepted as in Kafka Connect; positions are in the worker's offset.storage.topic.")
        .importance(Importance::Low)
        .group("Exactly once"),
];

/// What processors add.
const PROCESSOR: &[Key] = &[Key::new(
    "exactly.once.support",
    KeyKind::String,
    "required: refuse to run without transactions. requested: use them where the worker does.",
)
.default("requested")
.values(&["requested", "required"])
.group("Exactly once")];

const PREFIXES: &[(&str, &str)] = &[
    ("consumer.override.", "A setting of this connector's consumers, under Kafka's name."),
    ("producer.override.", "A setting of this connector's producers, under Kafka's name."),
    ("admin.override.", "A setting of this connector's admin clients, under Kafka's name."),
    ("transforms.", "A setting of a transform: transforms.ALIAS.type, .predicate, .negate and others."),
    ("predicates.", "A setting of a predicate: predicates.ALIAS.type and others."),
    ("topic.creation.", topic_creation::DOC),
];

fn printable_name(value: &str) -> Result<(), String> {
    let control = value.chars().any(char::is_control);
    if control { Err("expected a text without control characters".into()) } else { Ok(()) }
}

fn declared(value: &str) -> Result<(), String> {
    parse_declared(value).map(|_| ())
}

/// All keys of a plugin: its own and those that every connector of its kind has.
pub fn definition(plugin: &Plugin) -> ConfigDef {
    let common = ConfigDef::new().keys(COMMON).keys(converters::CLASSES).keys(converters::VALUE_KEYS).keys(converters::KEY_KEYS);
    let common = match plugin.kind() {
        PluginKind::Source => common.keys(SOURCE).keys(&topic_creation::KEYS).keys(TRANSFORMED),
        PluginKind::Processor => {
            let own = common.keys(READER).keys(PROCESSOR).keys(&topic_creation::KEYS).keys(TRANSFORMED).keys(DECODED);
            let own = own.keys(converters::OUTPUT_VALUE_KEYS).keys(converters::OUTPUT_KEY_KEYS);
            converters::OUTPUT_PREFIXES.iter().fold(own, |def, (prefix, doc)| def.prefix(prefix, doc))
        }
        PluginKind::Sink => common.keys(READER).keys(TRANSFORMED).keys(DECODED),
    };
    let common = PREFIXES.iter().chain(converters::PREFIXES).fold(common, |def, (prefix, doc)| def.prefix(prefix, doc));
    (plugin.def)().merge(common)
}

/// A connector whose configuration has been checked.
#[derive(Debug, Clone)]
pub struct Connector {
    /// Its name.
    pub name: String,
    /// What it is.
    pub plugin: Plugin,
    /// Its keys.
    pub config: Config,
    pub(crate) transforms: Transforms,
    /// How the topics that it writes to are made.
    pub(crate) creation: TopicCreation,
    /// What a person should know of it.
    pub warnings: Vec<ConfigError>,
}

impl Connector {
    pub(crate) fn tasks(&self) -> u32 {
        self.config.int("tasks.max").and_then(|n| u32::try_from(n).ok()).unwrap_or(1)
    }

    pub(crate) fn log_warnings(&self) {
        for warning in &self.warnings {
            tracing::warn!(target: "lakefeed", connector = %self.name, "{warning}");
        }
    }

    /// The settings of its consumers. The group is, as in Kafka Connect, `connect-NAME`, unless the connector overrides it.
    pub(crate) fn group_settings(&self, worker: &WorkerConfig) -> ClientSettings {
        worker.client("consumer", &self.config).or("group.id", &format!("connect-{}", self.name))
    }

    /// What the consumer subscribes to.
    pub(crate) fn subscription(&self) -> Vec<String> {
        match self.config.get("topics.regex") {
            Some(regex) => vec![format!("^{}", regex.trim_start_matches('^'))],
            None => self.config.list("topics").into_iter().map(str::to_owned).collect(),
        }
    }

    /// How long an operation is tried again, and the longest wait between tries; without an end `None`.
    pub(crate) fn retries(&self) -> (Option<Duration>, Duration) {
        let limit = self.config.int("errors.retry.timeout").and_then(|ms| u64::try_from(ms).ok());
        (limit.map(Duration::from_millis), self.config.millis("errors.retry.delay.max.ms"))
    }

    /// The waits before the task starts over.
    pub(crate) fn restart_backoff(&self) -> Backoff {
        Backoff::new(self.config.millis("task.restart.backoff.ms"), self.config.millis("task.restart.backoff.max.ms"))
    }

    /// How often the task starts over; without an end `None`.
    pub(crate) fn restart_attempts(&self) -> Option<u32> {
        self.config.int("task.restart.max.attempts").and_then(|n| u32::try_from(n).ok())
    }

    pub(crate) fn decoder_options(&self, converter: Converter) -> DecoderOptions {
        DecoderOptions {
            converter,
            shape: self.transforms.shape(),
            conflict: if self.config.text("schema.conflict") == "text" { SchemaConflict::Text } else { SchemaConflict::Reject },
            // Checked by the key's validator.
            declared: self.config.get("schema.columns").and_then(|text| parse_declared(text).ok()),
            ..DecoderOptions::default()
        }
    }
}

/// Checks a connector's file without any I/O.
///
/// # Errors
/// Everything that is wrong with it.
pub fn check(file: &ConnectorFile, plugins: &[Plugin]) -> Result<Connector, Vec<ConfigError>> {
    let Some(class) = file.values.get("connector.class") else {
        let classes: Vec<_> = plugins.iter().map(|p| p.class).collect();
        return Err(vec![ConfigError::key("connector.class", format!("is required: one of {}", classes.join(", ")))]);
    };
    let Some(plugin) = plugins.iter().find(|p| p.is_named(class)) else {
        let names = || plugins.iter().flat_map(|p| std::iter::once(p.class).chain(p.aliases.iter().copied()));
        let hint = nearest(class, names()).map(|n| format!("; did you mean '{n}'?")).unwrap_or_default();
        let known: Vec<_> = plugins.iter().map(|p| p.class).collect();
        return Err(vec![ConfigError::value("connector.class", class, format!("no such plugin; there are {}{hint}", known.join(", ")))]);
    };
    let (config, errors) = definition(plugin).read(&file.values);
    let mut further = common_errors(plugin, &config);
    let transforms = match plugin.kind() {
        PluginKind::Processor => Transforms::read(&config, Place::Processor),
        PluginKind::Source => Transforms::read(&config, Place::Source),
        PluginKind::Sink => Transforms::read(&config, Place::Sink),
    };
    let transforms = transforms.unwrap_or_else(|found| {
        further.extend(found);
        Transforms::default()
    });
    // A sink writes to no topics, whatever its file says.
    let creation = if plugin.kind() == PluginKind::Sink { Ok(TopicCreation::default()) } else { TopicCreation::read(&config) };
    let creation = creation.unwrap_or_else(|found| {
        further.extend(found);
        TopicCreation::default()
    });
    further.extend((plugin.validate)(&config));
    let errors = ConfigError::with_further(errors, further);
    if !errors.is_empty() {
        return Err(errors);
    }
    let warnings = warnings(plugin, &config);
    Ok(Connector { name: config.text("name").to_owned(), plugin: *plugin, config, transforms, creation, warnings })
}

fn warnings(plugin: &Plugin, config: &Config) -> Vec<ConfigError> {
    let mut warnings = (plugin.warnings)(config);
    let letters = config.get("errors.deadletterqueue.topic.name").filter(|_| config.text("errors.tolerance") != "all");
    warnings.extend(letters.map(|topic| {
        let effect = "has no effect without errors.tolerance=all: the first row that can't be used ends its task";
        ConfigError::value("errors.deadletterqueue.topic.name", topic, effect)
    }));
    warnings
}

/// Checks across the keys that all connectors have.
fn common_errors(plugin: &Plugin, config: &Config) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    if plugin.kind() != PluginKind::Source {
        match (config.list("topics").is_empty(), config.get("topics.regex")) {
            (true, None) => errors.push(ConfigError::key("topics", "is required (or topics.regex)")),
            (false, Some(regex)) => errors.push(ConfigError::value("topics.regex", regex, "can't be set together with topics")),
            _ => {}
        }
    }
    if let Some(topic) = config.get("errors.deadletterqueue.topic.name").filter(|topic| config.list("topics").contains(topic)) {
        errors.push(ConfigError::value("errors.deadletterqueue.topic.name", topic, "must not be among the topics that are read"));
    }
    errors.extend(converters::errors(plugin.kind(), config));
    errors
}

/// The errors of a file as one error, each with its line.
pub(crate) fn as_error(file: &ConnectorFile, errors: &[ConfigError]) -> Error {
    let what = format!("{} ({})", file.path.display(), file.name());
    let line = |error: &ConfigError| file.lines.get(&error.key).map(|line| format!("line {line}: ")).unwrap_or_default();
    let errors = file.unresolved(errors.to_vec());
    let lines: String = errors.iter().map(|error| format!("\n  {}{error}", line(error))).collect();
    let plural = if errors.len() == 1 { "" } else { "s" };
    Error::config(format!("{what}: {} error{plural}{lines}", errors.len()))
}
