//! The keys of the S3 sink: those of the Confluent S3 sink, and a few of our own.

use std::path::PathBuf;

use lakefeed_core::{Config, ConfigDef, ConfigError, Importance, Key, KeyKind};
use lakefeed_layout::KeyLayout;
use lakefeed_store::{Location, StoreConfig};

use crate::format::{Format, keys as format};
use crate::metadata::MetadataColumn;
use crate::partitioner::{Term, TimeSource};
use crate::time::{Pattern, Zone};

const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;

const KEYS: &[Key] = &[
    Key::new("storage.class", KeyKind::Class, "Accepted as in the Confluent S3 sink.").importance(Importance::Low).group("Files"),
    Key::new("topics.dir", KeyKind::String, "The first element of every key; blank: none.").default("topics").group("Files"),
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
    .group("Closing files"),
    Key::new(
        "rotate.schedule.interval.ms",
        KeyKind::Long,
        "Files are closed on a grid of this many milliseconds of the wall clock; -1: never.",
    )
    .default("-1")
    .group("Closing files"),
    Key::new("rotate.age.ms", KeyKind::Long, "A file is closed this many milliseconds after it was opened; -1: never.")
        .default("300000")
        .importance(Importance::High)
        .group("Closing files"),
    Key::new("rotate.idle.ms", KeyKind::Long, "A file is closed when no row has come for this many milliseconds; -1: never.")
        .default("-1")
        .group("Closing files"),
    Key::new(
        "rotate.file.on.partition.change",
        KeyKind::Boolean,
        "Accepted as in the Confluent S3 sink; rows of one lake partition never close files of another.",
    )
    .importance(Importance::Low)
    .group("Closing files"),
    Key::new("max.write.duration.ms", KeyKind::Long, "Accepted as in the Confluent S3 sink; writing never blocks the group.")
        .importance(Importance::Low)
        .group("Closing files"),
    Key::new(
        "partitioner.class",
        KeyKind::Class,
        "DefaultPartitioner, FieldPartitioner, TimeBasedPartitioner, DailyPartitioner or HourlyPartitioner.",
    )
    .default("DefaultPartitioner")
    .validator(partitioner_class)
    .importance(Importance::High)
    .group("Partitioning"),
    Key::new(
        "partition.by",
        KeyKind::List,
        "Lake partitions by any list of columns and year(x), month(x), day(x), hour(x), where x is a column or _timestamp.",
    )
    .validator(partition_by)
    .importance(Importance::High)
    .group("Partitioning"),
    Key::new("partition.field.name", KeyKind::List, "The columns of FieldPartitioner; a.b is a nested one.").group("Partitioning"),
    Key::new("partition.duration.ms", KeyKind::Long, "The length of a time bucket of TimeBasedPartitioner in milliseconds.")
        .default("-1")
        .group("Partitioning"),
    Key::new("path.format", KeyKind::String, "The path of a time bucket, a Joda-Time pattern: 'year'=YYYY/'month'=MM.")
        .validator(path_format)
        .group("Partitioning"),
    Key::new("locale", KeyKind::String, "Accepted as in the Confluent S3 sink; names of months and days are English.")
        .importance(Importance::Low)
        .group("Partitioning"),
    Key::new("timezone", KeyKind::String, "The zone of time buckets and of rotate.schedule.interval.ms: UTC, Europe/Berlin, +02:00.")
        .default("UTC")
        .validator(timezone)
        .group("Partitioning"),
    Key::new(
        "timestamp.extractor",
        KeyKind::String,
        "Where a row's time comes from: Wallclock, Record or RecordField. Wallclock is at-least-once.",
    )
    .default("Wallclock")
    .validator(extractor)
    .group("Partitioning"),
    Key::new("timestamp.field", KeyKind::String, "The column of RecordField: epoch milliseconds or ISO-8601 text.")
        .default("timestamp")
        .group("Partitioning"),
    Key::new("partition.null.marker", KeyKind::String, "What stands in a path for null and for empty text.")
        .default("null")
        .validator(null_marker)
        .group("Partitioning"),
    Key::new(
        "partition.columns.drop",
        KeyKind::Boolean,
        "Whether columns that the path repeats are left out of the files, as Hive and Athena want it.",
    )
    .default("false")
    .group("Partitioning"),
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
        "schema.compatibility",
        KeyKind::String,
        "Accepted as in the Confluent S3 sink; columns are added and types widen, whatever it says.",
    )
    .values(&["NONE", "BACKWARD", "FORWARD", "FULL", "BACKWARD_TRANSITIVE", "FORWARD_TRANSITIVE", "FULL_TRANSITIVE"])
    .importance(Importance::Low)
    .group("Files"),
    Key::new("schemas.cache.config", KeyKind::Int, "Accepted as in the Confluent S3 sink.").importance(Importance::Low).group("Files"),
    Key::new("enhanced.avro.schema.support", KeyKind::Boolean, "Accepted as in the Confluent S3 sink.")
        .importance(Importance::Low)
        .group("Files"),
    Key::new("connect.meta.data", KeyKind::Boolean, "Accepted as in the Confluent S3 sink.").importance(Importance::Low).group("Files"),
    Key::new("retry.backoff.ms", KeyKind::Long, "The first wait before a request to the store is made again; it doubles up to 10 s.")
        .default("500")
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
    Key::new("enable.conditional.writes", KeyKind::Boolean, "Accepted as in the Confluent S3 sink; writes are always conditional.")
        .importance(Importance::Low)
        .group("S3"),
    Key::new(
        "s3.elastic.buffer.enable",
        KeyKind::Boolean,
        "Accepted as in the Confluent S3 sink; buffers always grow with their contents.",
    )
    .importance(Importance::Low)
    .group("S3"),
    Key::new("s3.elastic.buffer.init.capacity", KeyKind::Int, "Accepted as in the Confluent S3 sink.")
        .importance(Importance::Low)
        .group("S3"),
];

/// The keys of the sink.
pub(crate) fn definition() -> ConfigDef {
    ConfigDef::new().keys(lakefeed_store::keys()).keys(format::KEYS).keys(KEYS)
}

/// What the keys say.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) store: StoreConfig,
    pub(crate) layout: KeyLayout,
    pub(crate) terms: Vec<Term>,
    pub(crate) null_marker: String,
    pub(crate) drop_columns: bool,
    pub(crate) close: CloseRules,
    pub(crate) format: Format,
    /// Columns to add, in this order.
    pub(crate) metadata: Vec<MetadataColumn>,
    pub(crate) row_group_bytes: usize,
    pub(crate) part_bytes: usize,
    pub(crate) ignore_nulls: bool,
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

impl Settings {
    /// Reads the checked values and checks them against each other.
    pub(crate) fn read(config: &Config) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let terms = terms(config).unwrap_or_else(|error| {
            errors.push(error);
            Vec::new()
        });
        let store = StoreConfig::from_config(config).unwrap_or_else(|mut more| {
            errors.append(&mut more);
            StoreConfig::local(PathBuf::new())
        });
        if matches!(store.location, Location::S3 { .. }) && config.int("s3.part.size").is_some_and(|n| n < 5 << 20) {
            errors.push(ConfigError::value("s3.part.size", config.text("s3.part.size"), "S3 wants parts of 5242880 bytes at least"));
        }
        let format = match Format::read(config) {
            Ok(format) if errors.is_empty() => format,
            read => {
                errors.extend(read.err());
                return Err(errors);
            }
        };
        Ok(Self {
            store,
            layout: layout(config),
            terms,
            null_marker: config.text("partition.null.marker").to_owned(),
            drop_columns: config.bool("partition.columns.drop"),
            close: close_rules(config),
            format,
            metadata: config.list("metadata.columns").into_iter().filter_map(|name| MetadataColumn::parse(name).ok()).collect(),
            row_group_bytes: size(config, "parquet.row.group.bytes"),
            part_bytes: size(config, "s3.part.size"),
            ignore_nulls: config.text("behavior.on.null.values") == "ignore",
            retry_backoff_ms: config.int("retry.backoff.ms").and_then(|n| u64::try_from(n).ok()).unwrap_or(500).max(1),
            denied_timeout_ms: config.int("s3.denied.timeout.ms").and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
            abort_age_ms: config.int("s3.multipart.abort.age.ms").filter(|ms| *ms >= 0),
        })
    }

    /// Whether a lake partition can depend on the clock: then it is not a function of the record, and delivery is at-least-once.
    pub(crate) fn is_wallclock(&self) -> bool {
        self.terms.iter().any(|t| matches!(t, Term::Time { source: TimeSource::Wallclock, .. }))
    }
}

fn size(config: &Config, key: &str) -> usize {
    config.int(key).and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX)
}

fn layout(config: &Config) -> KeyLayout {
    KeyLayout {
        topics_dir: config.text("topics.dir").trim_matches('/').to_owned(),
        directory_delim: config.text("directory.delim").to_owned(),
        file_delim: config.text("file.delim").to_owned(),
        zero_pad: size(config, "filename.offset.zero.pad.width").min(64),
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

fn zone(config: &Config) -> Zone {
    // Checked by the key's validator.
    Zone::parse(config.text("timezone")).unwrap_or(Zone::UTC)
}

fn terms(config: &Config) -> Result<Vec<Term>, ConfigError> {
    if config.get("partition.by").is_some() {
        return config
            .list("partition.by")
            .into_iter()
            .map(|t| expression(t, zone(config)))
            .collect::<Result<_, _>>()
            .map_err(|what| ConfigError::value("partition.by", config.text("partition.by"), what));
    }
    let source = match config.text("timestamp.extractor") {
        "Wallclock" => TimeSource::Wallclock,
        "Record" => TimeSource::Record,
        _ => TimeSource::Field(path(config.text("timestamp.field"))),
    };
    let time = |pattern: &str, duration_ms| {
        let pattern = Pattern::parse(pattern.trim_end_matches('/')).map_err(|what| ConfigError::value("path.format", pattern, what))?;
        Ok(vec![Term::Time { source: source.clone(), pattern, duration_ms, zone: zone(config) }])
    };
    match simple(config.text("partitioner.class")) {
        "FieldPartitioner" => {
            let fields: Vec<Term> = config.list("partition.field.name").into_iter().map(field).collect();
            if fields.is_empty() { Err(ConfigError::key("partition.field.name", "is required by FieldPartitioner")) } else { Ok(fields) }
        }
        "DailyPartitioner" => time("'year'=YYYY/'month'=MM/'day'=dd", DAY_MS),
        "HourlyPartitioner" => time("'year'=YYYY/'month'=MM/'day'=dd/'hour'=HH", HOUR_MS),
        "TimeBasedPartitioner" => {
            let duration_ms = config.int("partition.duration.ms").unwrap_or(-1);
            if duration_ms <= 0 {
                return Err(ConfigError::value(
                    "partition.duration.ms",
                    config.text("partition.duration.ms"),
                    "TimeBasedPartitioner wants more than 0",
                ));
            }
            let format = config.get("path.format").ok_or_else(|| ConfigError::key("path.format", "is required by TimeBasedPartitioner"))?;
            time(format, duration_ms)
        }
        _ => Ok(vec![Term::KafkaPartition]),
    }
}

/// The last part of a class name.
pub(crate) fn simple(class: &str) -> &str {
    class.rsplit(['.', '$']).next().unwrap_or(class)
}

fn path(name: &str) -> Vec<String> {
    name.split('.').map(str::to_owned).collect()
}

fn field(name: &str) -> Term {
    Term::Field { name: name.to_owned(), path: path(name) }
}

/// A term of `partition.by`: a column, or a time function of one.
fn expression(text: &str, zone: Zone) -> Result<Term, String> {
    let Some((function, rest)) = text.split_once('(') else {
        return if text.contains(')') { Err(format!("'{text}': expected an opening parenthesis")) } else { Ok(field(text)) };
    };
    let column = rest.strip_suffix(')').ok_or_else(|| format!("'{text}': expected a closing parenthesis"))?.trim();
    if column.is_empty() {
        return Err(format!("'{text}': expected a column or _timestamp in the parentheses"));
    }
    // Buckets of a month or a year have no fixed length: days, whose names are those of their month or year.
    let (pattern, duration_ms) = match function.trim() {
        "year" => ("'year'=yyyy", DAY_MS),
        "month" => ("'month'=yyyy-MM", DAY_MS),
        "day" => ("'day'=yyyy-MM-dd", DAY_MS),
        "hour" => ("'hour'=yyyy-MM-dd-HH", HOUR_MS),
        other => return Err(format!("'{other}' is no function; there are year, month, day and hour")),
    };
    let source = if column == "_timestamp" { TimeSource::Record } else { TimeSource::Field(path(column)) };
    Ok(Term::Time { source, pattern: Pattern::parse(pattern)?, duration_ms, zone })
}

fn partition_by(value: &str) -> Result<(), String> {
    value.split(',').map(str::trim).filter(|t| !t.is_empty()).try_for_each(|t| expression(t, Zone::UTC).map(|_| ()))
}

fn partitioner_class(value: &str) -> Result<(), String> {
    match simple(value) {
        "DefaultPartitioner" | "FieldPartitioner" | "TimeBasedPartitioner" | "DailyPartitioner" | "HourlyPartitioner" => Ok(()),
        _ => Err("expected DefaultPartitioner, FieldPartitioner, TimeBasedPartitioner, DailyPartitioner or HourlyPartitioner".into()),
    }
}

fn extractor(value: &str) -> Result<(), String> {
    if ["Wallclock", "Record", "RecordField"].contains(&value) { Ok(()) } else { Err("expected Wallclock, Record or RecordField".into()) }
}

fn timezone(value: &str) -> Result<(), String> {
    Zone::parse(value).map(|_| ()).ok_or_else(|| "expected a zone such as UTC, Europe/Berlin or +02:00".into())
}

fn path_format(value: &str) -> Result<(), String> {
    if value.split('/').any(|e| e.trim_matches('\'') == "..") {
        return Err("must not contain '..'".into());
    }
    Pattern::parse(value).map(|_| ())
}

fn file_delim(value: &str) -> Result<(), String> {
    // A digit could not be told from the offset that follows it.
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_punctuation() && b != b'/' && b != b'.') {
        Ok(())
    } else {
        Err("expected punctuation other than '/' and '.'".into())
    }
}

fn null_marker(value: &str) -> Result<(), String> {
    if !value.is_empty() && lakefeed_layout::encode_value(value) == value {
        Ok(())
    } else {
        Err("expected letters, digits and -_.~".into())
    }
}

fn positive(value: &str) -> Result<(), String> {
    if value.parse::<i64>().is_ok_and(|n| n > 0) { Ok(()) } else { Err("expected more than 0".into()) }
}

fn non_negative(value: &str) -> Result<(), String> {
    if value.parse::<i64>().is_ok_and(|n| n >= 0) { Ok(()) } else { Err("expected 0 or more".into()) }
}

fn part_size(value: &str) -> Result<(), String> {
    if value.parse::<i64>().is_ok_and(|n| n >= 65_536) { Ok(()) } else { Err("expected 65536 or more".into()) }
}
