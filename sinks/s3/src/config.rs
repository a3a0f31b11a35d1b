//! The keys of the S3 sink: those of the Confluent S3 sink, and a few of our own.

use std::path::PathBuf;

use lakefeed_core::{Config, ConfigDef, ConfigError, Importance, Key, KeyKind};
use lakefeed_formats::{Place, RoutedTopic, Transforms};
use lakefeed_layout::{KeyLayout, NameLimits};
use lakefeed_store::{Location, StoreConfig};

use crate::accepted;
use crate::format::{Format, keys as format};
use crate::metadata::MetadataColumn;
use crate::partitioner::{Term, TimeSource};
use crate::partitioning::{self, check_path, error_prefix, terms, zone};
use crate::prefix::{self, ErrorPrefix};
use crate::time::Zone;

/// Files are closed at about `flush.bytes`: some of S3's 10,000 parts are left for what comes on top.
const PARTS_MAX: usize = 9_000;

const KEYS: &[Key] = &[
    Key::new("topics.dir", KeyKind::String, "What every key begins with, before the topic: a relative path; blank: nothing.")
        .default("topics")
        .validator(topics_dir)
        .group("Files"),
    Key::new("directory.delim", KeyKind::String, "What joins the elements of a path.")
        .default("/")
        .values(&["/"])
        .importance(Importance::Low)
        .group("Files"),
    Key::new("file.delim", KeyKind::String, "What joins topic, partition and offset in a file's name.")
        .default("+")
        .validator(file_delim)
        .importance(Importance::Low)
        .group("Files"),
    Key::new("filename.offset.zero.pad.width", KeyKind::Int, "The digits of the first offset in a file's name.")
        .default("10")
        .validator(non_negative)
        .importance(Importance::Low)
        .group("Files"),
    Key::new("flush.size", KeyKind::Int, "A file is closed at this many rows. Each file is counted by itself.")
        .validator(positive)
        .importance(Importance::High)
        .group("Closing files"),
    Key::new("flush.bytes", KeyKind::Long, "A file is closed at about this many bytes.")
        .default("134217728")
        .validator(positive)
        .importance(Importance::High)
        .group("Closing files"),
    Key::new(
        "rotate.interval.ms",
        KeyKind::Long,
        "A file is closed by a row whose time is this many milliseconds after that of its first row; -1: never.",
    )
    .default("-1")
    .validator(interval)
    .group("Closing files"),
    Key::new(
        "rotate.schedule.interval.ms",
        KeyKind::Long,
        "Files are closed on a grid of this many milliseconds of the wall clock; -1: never.",
    )
    .default("-1")
    .validator(interval)
    .group("Closing files"),
    Key::new("rotate.age.ms", KeyKind::Long, "A file is closed this many milliseconds after it was opened; -1: never.")
        .default("300000")
        .validator(interval)
        .importance(Importance::High)
        .group("Closing files"),
    Key::new(
        "rotate.idle.ms",
        KeyKind::Long,
        "A file is closed when no row has come for it for this many milliseconds, and its topic partition has been read to its end or eight batches \
         of it have come without one; -1: never.",
    )
    .default("-1")
    .validator(interval)
    .group("Closing files"),
    Key::new("parquet.row.group.bytes", KeyKind::Long, "Bytes of rows in memory (before encoding) that make a row group.")
        .default("16777216")
        .validator(positive)
        .group("Parquet"),
    Key::new("s3.part.size", KeyKind::Int, "Bytes of a part of a multipart upload; a file that is smaller goes in one request.")
        .default("8388608")
        .validator(part_size)
        .group("S3"),
    Key::new(
        "behavior.on.null.values",
        KeyKind::String,
        "What becomes of records without a value: fail (not usable, see errors.tolerance) or ignore.",
    )
    .default("fail")
    .values(&["fail", "ignore"])
    .group("Files"),
    Key::new(
        "report.null.values.to.dlq",
        KeyKind::Boolean,
        "Whether records that behavior.on.null.values=ignore leaves out become dead letters, if those have a topic (errors.tolerance=all, errors.deadletterqueue.topic.name).",
    )
    .default("true")
    .importance(Importance::Low)
    .group("Files"),
    Key::new("retry.backoff.ms", KeyKind::Long, "The first wait before a request to the store is made again; it doubles up to 10 s.")
        .default("500")
        .validator(non_negative)
        .group("S3"),
    Key::new(
        "s3.denied.timeout.ms",
        KeyKind::Long,
        "How long a request that the store denies (credentials, rights, clock, missing bucket) is made again before the task fails.",
    )
    .default("300000")
    .validator(non_negative)
    .group("S3"),
    Key::new(
        "s3.multipart.abort.age.ms",
        KeyKind::Long,
        "Unfinished uploads of the topics' files are removed this many milliseconds after they were begun; -1: never. A crash leaves them.",
    )
    .default("86400000")
    .group("S3"),
];

/// The keys of the sink.
pub(crate) fn definition() -> ConfigDef {
    let (licence, doc) = accepted::LICENCE;
    let keys = [lakefeed_store::keys(), format::KEYS, KEYS, partitioning::KEYS, accepted::KEYS];
    keys.into_iter().fold(ConfigDef::new(), ConfigDef::keys).prefix(licence, doc)
}

/// What the keys say.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) store: StoreConfig,
    pub(crate) layout: KeyLayout,
    pub(crate) limits: NameLimits,
    /// What gives topics their names in the lake.
    pub(crate) transforms: Transforms,
    /// What decides where a row goes.
    pub(crate) described: String,
    /// The folder that a look at the store at the start may write to.
    pub(crate) probe_folder: String,
    pub(crate) error_prefix: Option<ErrorPrefix>,
    pub(crate) terms: Vec<Term>,
    pub(crate) null_marker: String,
    pub(crate) drop_columns: bool,
    pub(crate) close: CloseRules,
    pub(crate) format: Format,
    /// Columns to add, in this order.
    pub(crate) metadata: Vec<MetadataColumn>,
    pub(crate) row_group_bytes: usize,
    pub(crate) part_bytes: usize,
    pub(crate) nulls: Nulls,
    pub(crate) retry_backoff_ms: u64,
    pub(crate) denied_timeout_ms: u64,
    pub(crate) abort_age_ms: Option<i64>,
}

/// What closes a file; the first one wins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CloseRules {
    pub(crate) rows: Option<u64>,
    pub(crate) bytes: u64,
    pub(crate) event_ms: Option<i64>,
    pub(crate) schedule_ms: Option<i64>,
    pub(crate) age_ms: Option<i64>,
    pub(crate) idle_ms: Option<i64>,
    pub(crate) zone: Zone,
}

/// What becomes of records without a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nulls {
    Fail,
    Ignore,
    /// Left out, and told to the dead letters.
    Report,
}

impl Settings {
    /// Reads the checked values and checks them against each other.
    pub(crate) fn read(config: &Config) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let layout = layout(config);
        let terms = terms(config).unwrap_or_else(|error| {
            errors.push(error);
            Vec::new()
        });
        let error_prefix = error_prefix(config).unwrap_or_else(|error| {
            errors.push(error);
            None
        });
        let store = StoreConfig::from_config(config).unwrap_or_else(|mut more| {
            errors.append(&mut more);
            StoreConfig::local(PathBuf::new())
        });
        if matches!(store.location, Location::S3 { .. }) && config.int("s3.part.size").is_some_and(|n| n < 5 << 20) {
            errors.push(ConfigError::value("s3.part.size", config.text("s3.part.size"), "S3 wants parts of 5242880 bytes at least"));
        }
        if matches!(store.location, Location::S3 { .. }) && size(config, "flush.bytes") / size(config, "s3.part.size").max(1) >= PARTS_MAX {
            let message = format!("expected less than {PARTS_MAX} times s3.part.size: S3 takes 10000 parts");
            errors.push(ConfigError::value("flush.bytes", config.text("flush.bytes"), message));
        }
        // What may be wrong with them is told by the worker.
        let transforms = Transforms::read(config, Place::Sink).unwrap_or_default();
        errors.extend(one_name_each(&transforms, config));
        let format = match Format::read(config) {
            Ok(format) if errors.is_empty() => format,
            read => {
                errors.extend(read.err());
                return Err(errors);
            }
        };
        Ok(Self {
            limits: match &store.location {
                Location::Local(_) => NameLimits::LOCAL,
                // A store that is not AWS may keep objects as files: MinIO does, and refuses longer elements.
                Location::S3 { .. } if store.s3.endpoint.is_some() => NameLimits::LOCAL,
                Location::S3 { prefix, .. } => NameLimits::s3(if prefix.is_empty() { 0 } else { prefix.len() + 1 }),
            },
            probe_folder: if layout.whole_prefix { prefix::folder(&terms) } else { layout.topics_dir.clone() },
            error_prefix,
            transforms,
            described: partitioning::described(config, &store.location.to_string()),
            store,
            layout,
            terms,
            null_marker: config.text("partition.null.marker").to_owned(),
            drop_columns: config.bool("partition.columns.drop"),
            close: close_rules(config),
            format,
            metadata: config.list("metadata.columns").into_iter().filter_map(|name| MetadataColumn::parse(name).ok()).collect(),
            row_group_bytes: size(config, "parquet.row.group.bytes"),
            part_bytes: size(config, "s3.part.size"),
            nulls: nulls(config),
            retry_backoff_ms: config.int("retry.backoff.ms").and_then(|n| u64::try_from(n).ok()).unwrap_or(500).max(1),
            denied_timeout_ms: config.int("s3.denied.timeout.ms").and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
            abort_age_ms: config.int("s3.multipart.abort.age.ms").filter(|ms| *ms >= 0),
        })
    }

    /// What a topic is called in the lake.
    pub(crate) fn routed(&self, topic: &str) -> RoutedTopic {
        self.transforms.routed(topic)
    }

    /// A lake partition that depends on the clock is not a function of the record.
    pub(crate) fn warnings(&self) -> Vec<ConfigError> {
        let by_clock = self.terms.iter().any(|t| matches!(t, Term::Time { source: TimeSource::Wallclock, .. }));
        let effect = "delivery is at-least-once: a record that is read again after a crash or a rebalance can get another lake partition; Record and \
                      RecordField are exactly once";
        by_clock.then(|| ConfigError::value("timestamp.extractor", "Wallclock", effect)).into_iter().collect()
    }
}

/// The lake's keys hang on topic, partition and offset: routers may rename topics as long as no two have one name.
fn one_name_each(transforms: &Transforms, config: &Config) -> Option<ConfigError> {
    let by_pattern = config.get("topics.regex").is_some();
    let key = if by_pattern { "topics.regex" } else { "topics" };
    let fault = |message| Some(ConfigError::value(key, config.text(key), message));
    if by_pattern {
        if transforms.has_regex_router() {
            return fault(
                "can't be used with RegexRouter: name the topics in topics, so that no two of them get one name in the lake".into(),
            );
        }
        if let Some(key) = transforms.one_name_for_all() {
            return fault(format!("can't be used when {key} is without ${{topic}}: no two topics may have one name in the lake"));
        }
    }
    // Of topics that have no names yet any will do.
    let topics = if by_pattern { vec!["t"] } else { config.list("topics") };
    let mut names: Vec<(&str, RoutedTopic, String)> = Vec::new();
    for topic in topics {
        let routed = transforms.routed(topic);
        // Times differ in digits and letters alone.
        let name = routed.at(0).unwrap_or_default();
        if routed.format() != topic && !is_topic(&name) {
            let shown = routed.format();
            return fault(format!("the routers make '{shown}' of {topic} ('{name}' in 1970), which is no name of a topic"));
        }
        let same = names.iter().find(|(other, of, at)| *other != topic && (of.can_be(&name) || routed.can_be(at)));
        if let Some((other, of, _)) = same {
            let (one, two) = (of.format(), routed.format());
            let both = if one == two { one.to_owned() } else { format!("{one} and {two}, which can be the same") };
            let next = "tell them apart by ${topic} in topic.format, or by a group such as $1 in replacement";
            return fault(format!("the routers call {other} and {topic} {both}: no two topics may have one name in the lake; {next}"));
        }
        names.push((topic, routed, name));
    }
    None
}

/// Whether Kafka would take it as the name of a topic.
fn is_topic(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

fn size(config: &Config, key: &str) -> usize {
    config.int(key).and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX)
}

fn layout(config: &Config) -> KeyLayout {
    KeyLayout {
        topics_dir: config.text("topics.dir").trim_end_matches('/').to_owned(),
        directory_delim: config.text("directory.delim").to_owned(),
        file_delim: config.text("file.delim").to_owned(),
        zero_pad: size(config, "filename.offset.zero.pad.width").min(64),
        whole_prefix: config.get("prefix").is_some(),
    }
}

fn close_rules(config: &Config) -> CloseRules {
    let interval = |key| config.int(key).filter(|ms| *ms > 0);
    CloseRules {
        rows: config.int("flush.size").and_then(|n| u64::try_from(n).ok()),
        bytes: config.int("flush.bytes").and_then(|n| u64::try_from(n).ok()).unwrap_or(u64::MAX),
        event_ms: interval("rotate.interval.ms"),
        schedule_ms: interval("rotate.schedule.interval.ms"),
        age_ms: interval("rotate.age.ms"),
        idle_ms: interval("rotate.idle.ms"),
        zone: zone(config),
    }
}

/// As in the Confluent S3 sink: what is ignored is reported where dead letters have a topic.
fn nulls(config: &Config) -> Nulls {
    let has_letters = config.text("errors.tolerance") == "all" && config.get("errors.deadletterqueue.topic.name").is_some();
    match config.text("behavior.on.null.values") {
        "ignore" if has_letters && config.bool("report.null.values.to.dlq") => Nulls::Report,
        "ignore" => Nulls::Ignore,
        _ => Nulls::Fail,
    }
}

fn file_delim(value: &str) -> Result<(), String> {
    // A digit could not be told from the offset that follows it.
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_punctuation() && b != b'/' && b != b'.') {
        Ok(())
    } else {
        Err("expected punctuation other than '/' and '.'".into())
    }
}

fn positive(value: &str) -> Result<(), String> {
    if value.parse::<i64>().is_ok_and(|n| n > 0) { Ok(()) } else { Err("expected more than 0".into()) }
}

pub(crate) fn interval(value: &str) -> Result<(), String> {
    if value.parse::<i64>().is_ok_and(|n| n > 0 || n == -1) { Ok(()) } else { Err("expected more than 0, or -1 for never".into()) }
}

fn topics_dir(value: &str) -> Result<(), String> {
    check_path(value.strip_suffix('/').unwrap_or(value))
}

fn non_negative(value: &str) -> Result<(), String> {
    if value.parse::<i64>().is_ok_and(|n| n >= 0) { Ok(()) } else { Err("expected 0 or more".into()) }
}

fn part_size(value: &str) -> Result<(), String> {
    if value.parse::<i64>().is_ok_and(|n| n >= 65_536) { Ok(()) } else { Err("expected 65536 or more".into()) }
}
