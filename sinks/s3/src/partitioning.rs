//! Where rows go: the keys that say it, and the terms of a lake partition's path that come of them.

use lakefeed_core::{Config, ConfigError, Importance, Key, KeyKind};
use lakefeed_layout::parse_element;

use crate::config::interval;
use crate::partitioner::{FieldTerm, Term, TimeSource};
use crate::prefix::{self, ErrorPrefix};
use crate::time::{Pattern, Zone};
use crate::value::Transform;

const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;

pub(crate) const KEYS: &[Key] = &[
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
        "Lake partitions by any list of columns, year(x), month(x), day(x), hour(x) of a column or _timestamp, and Iceberg's bucket(x, n) and \
         truncate(x, width).",
    )
    .validator(partition_by)
    .importance(Importance::High)
    .group("Partitioning"),
    Key::new("partition.field.name", KeyKind::List, "The columns of FieldPartitioner; a.b is a nested one.").group("Partitioning"),
    Key::new("partition.duration.ms", KeyKind::Long, "The length of a time bucket of TimeBasedPartitioner in milliseconds.")
        .default("-1")
        .validator(interval)
        .group("Partitioning"),
    Key::new("path.format", KeyKind::String, "The path of a time bucket, a Joda-Time pattern: 'year'=YYYY/'month'=MM.")
        .validator(path_format)
        .group("Partitioning"),
    Key::new(
        "prefix",
        KeyKind::String,
        "Firehose's Prefix in the place of topics.dir, topic and partitioner: text with !{timestamp:yyyy/MM/dd/HH/} (the record's timestamp) and \
         !{partitionKeyFromQuery:COLUMN}. It stands right before the file's name, so it mostly ends with a slash.",
    )
    .validator(|value| prefix::terms(value, None, Zone::UTC).map(|_| ()))
    .group("Partitioning"),
    Key::new(
        "metadata.extraction.query",
        KeyKind::String,
        "The columns behind the partition keys of prefix, as Firehose's MetadataExtractionQuery: {customer: .customer_id}. Without it a key is \
         the name of a column.",
    )
    .validator(|value| prefix::queries(value).map(|_| ()))
    .importance(Importance::Low)
    .group("Partitioning"),
    Key::new(
        "error.output.prefix",
        KeyKind::String,
        "Firehose's ErrorOutputPrefix: rows that can't be used become JSON lines below it, in the place of a dead letter topic. It may have \
         !{timestamp:...} (of an object's first record) and !{firehose:error-output-type}.",
    )
    .validator(|value| ErrorPrefix::parse(value, Zone::UTC).map(|_| ()))
    .group("Errors"),
    Key::new("locale", KeyKind::String, "Accepted as in the Confluent S3 sink; names of months and days are English.")
        .importance(Importance::Low)
        .group("Partitioning"),
    Key::new("timezone", KeyKind::String, "The zone of time buckets and of rotate.schedule.interval.ms: Europe/Berlin, +02:00; UTC where the Confluent S3 sink wants it set.")
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
];

/// What decides where a row goes and how its file is found again: a function of the store and the keys alone.
pub(crate) fn described(config: &Config, location: &str) -> String {
    let own = ["topics.dir", "file.delim"].into_iter();
    let keys = own
        .chain(KEYS.iter().map(|key| key.name).filter(|name| !["error.output.prefix", "locale", "partition.columns.drop"].contains(name)));
    let pairs: String = keys.filter_map(|key| Some(format!(" {key}={}", config.get(key)?))).collect();
    format!("{location}{pairs}")
}

/// `error.output.prefix`, checked against the other keys.
pub(crate) fn error_prefix(config: &Config) -> Result<Option<ErrorPrefix>, ConfigError> {
    let Some(text) = config.get("error.output.prefix") else { return Ok(None) };
    let fault = |message: String| ConfigError::value("error.output.prefix", text, message);
    if config.get("errors.deadletterqueue.topic.name").is_some() {
        return Err(fault("can't be set together with errors.deadletterqueue.topic.name".into()));
    }
    if config.text("errors.tolerance") != "all" {
        return Err(fault("has no effect without errors.tolerance=all".into()));
    }
    let prefix = ErrorPrefix::parse(text, zone(config)).map_err(fault)?;
    let sample = prefix.of("processing-failed", 0);
    folders(&sample).map_err(fault)?;
    if !sample.ends_with('/') && !has_one_topic(config) {
        return Err(fault(NO_SLASH.into()));
    }
    Ok(Some(prefix))
}

const NO_SLASH: &str = "expected a slash at its end, because there is more than one topic: names of different topics could be the same";

/// The folders of a whole prefix; what follows its last slash is the beginning of a file's name.
fn folders(sample: &str) -> Result<&str, String> {
    if sample.starts_with('/') {
        return Err(RELATIVE.into());
    }
    let folders = sample.rsplit_once('/').map_or("", |(folders, _)| folders);
    check_path(folders).map(|()| folders)
}

const RELATIVE: &str = "expected a relative path without empty elements, '.' and '..'";

fn has_one_topic(config: &Config) -> bool {
    config.get("topics.regex").is_none() && config.list("topics").len() == 1
}

/// The terms of a lake partition's path. The paths that they make have a place in every store and a column for every value.
pub(crate) fn terms(config: &Config) -> Result<Vec<Term>, ConfigError> {
    let terms = said(config)?;
    let whole = config.get("prefix").is_some();
    let key = ["prefix", "partition.by"].into_iter().find(|key| config.get(key).is_some());
    let key = key.unwrap_or(match terms.first() {
        Some(Term::Time { .. }) => "path.format",
        _ => "partition.field.name",
    });
    let fault = |message: String| ConfigError::value(key, config.text(key), message);
    let samples: Vec<String> = terms.iter().map(Term::sample).collect();
    let sample = samples.join(if whole { "" } else { "/" });
    let folders = if whole { folders(&sample) } else { check_path(&sample).map(|()| sample.as_str()) }.map_err(fault)?;
    let names: Vec<String> = folders.split('/').filter_map(|e| Some(parse_element(e)?.0.to_lowercase())).collect();
    if let Some(twice) = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)).map(|(_, name)| name) {
        return Err(fault(format!("the name '{twice}' is there twice in the path (upper and lower case are the same to SQL)")));
    }
    if whole && !sample.ends_with('/') && !has_one_topic(config) {
        return Err(fault(NO_SLASH.into()));
    }
    Ok(terms)
}

/// Whether every element of a path can be a folder.
pub(crate) fn check_path(path: &str) -> Result<(), String> {
    if path.chars().any(char::is_control) {
        return Err("expected no control characters".into());
    }
    if path.split('/').any(|e| e.starts_with(".lakefeed-")) {
        return Err("elements that begin with '.lakefeed-' are the store's own; choose another name".into());
    }
    if !path.is_empty() && path.split('/').any(|e| matches!(e, "" | "." | "..")) {
        return Err(RELATIVE.into());
    }
    Ok(())
}

/// The terms as the keys say them.
fn said(config: &Config) -> Result<Vec<Term>, ConfigError> {
    let class = simple(config.text("partitioner.class"));
    let ways = ["prefix", "partition.by"].into_iter().filter(|key| config.get(key).is_some());
    let ways: Vec<&str> = ways.chain((class != "DefaultPartitioner").then_some("partitioner.class")).collect();
    if let [one, other, ..] = ways[..] {
        return Err(ConfigError::value(one, config.text(one), format!("can't be set together with {other}: both say where rows go")));
    }
    if let Some(prefix) = config.get("prefix") {
        if !["topics", ""].contains(&config.text("topics.dir")) {
            return Err(ConfigError::value(
                "topics.dir",
                config.text("topics.dir"),
                "can't be set together with prefix, which is the whole path",
            ));
        }
        let queries = config.get("metadata.extraction.query").map(prefix::queries).transpose();
        let queries =
            queries.map_err(|what| ConfigError::value("metadata.extraction.query", config.text("metadata.extraction.query"), what))?;
        return prefix::terms(prefix, queries.as_ref(), zone(config)).map_err(|what| ConfigError::value("prefix", prefix, what));
    }
    if config.get("metadata.extraction.query").is_some() {
        return Err(ConfigError::key("metadata.extraction.query", "has no effect without prefix"));
    }
    if let Some(text) = config.get("partition.by") {
        return expressions(text, zone(config)).map_err(|what| ConfigError::value("partition.by", text, what));
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

/// `timezone`.
pub(crate) fn zone(config: &Config) -> Zone {
    // Checked by the key's validator.
    Zone::parse(config.text("timezone")).unwrap_or(Zone::UTC)
}

/// The last part of a class name.
pub(crate) fn simple(class: &str) -> &str {
    class.rsplit(['.', '$']).next().unwrap_or(class)
}

fn path(name: &str) -> Vec<String> {
    name.split('.').map(str::to_owned).collect()
}

fn field(name: &str) -> Term {
    Term::Field(FieldTerm { name: Some(name.to_owned()), path: path(name), transform: Transform::Identity })
}

/// The terms of `partition.by`, separated by commas that stand in no parentheses.
fn expressions(text: &str, zone: Zone) -> Result<Vec<Term>, String> {
    let mut depth = 0_i32;
    let parts = text.split(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    });
    parts.map(str::trim).filter(|t| !t.is_empty()).map(|t| expression(t, zone)).collect()
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
    if let function @ ("bucket" | "truncate") = function.trim() {
        return transformed(function, column).map_err(|what| format!("'{text}': {what}"));
    }
    // Buckets of a month or a year have no fixed length: days, whose names are those of their month or year.
    let (pattern, duration_ms) = match function.trim() {
        "year" => ("'year'=yyyy", DAY_MS),
        "month" => ("'month'=yyyy-MM", DAY_MS),
        "day" => ("'day'=yyyy-MM-dd", DAY_MS),
        "hour" => ("'hour'=yyyy-MM-dd-HH", HOUR_MS),
        other => return Err(format!("'{other}' is no function; there are year, month, day, hour, bucket and truncate")),
    };
    let source = if column == "_timestamp" { TimeSource::Record } else { TimeSource::Field(path(column)) };
    Ok(Term::Time { source, pattern: Pattern::parse(pattern)?, duration_ms, zone })
}

/// Iceberg's transforms that have a number: `bucket(x, n)`, `truncate(x, width)`. The names are those of Iceberg's partition fields.
fn transformed(function: &str, arguments: &str) -> Result<Term, String> {
    let (column, number) = arguments.rsplit_once(',').ok_or_else(|| format!("expected {function}(column, number)"))?;
    let number = number.trim().parse::<i32>().ok().filter(|n| *n > 0).ok_or("expected a whole number of 32 bits above 0")?.unsigned_abs();
    let (column, transform, suffix) = match function {
        "bucket" => (column.trim(), Transform::Bucket(number), "bucket"),
        _ => (column.trim(), Transform::Truncate(number), "trunc"),
    };
    if column.is_empty() || column == "_timestamp" {
        return Err("expected a column".into());
    }
    Ok(Term::Field(FieldTerm { name: Some(format!("{column}_{suffix}")), path: path(column), transform }))
}

fn partition_by(value: &str) -> Result<(), String> {
    expressions(value, Zone::UTC).map(|_| ())
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
    Pattern::parse(value).map(|_| ())
}

fn null_marker(value: &str) -> Result<(), String> {
    if !value.is_empty() && lakefeed_layout::encode_value(value) == value {
        Ok(())
    } else {
        Err("expected letters, digits and -_.~".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Settings, definition};

    /// What is wrong with these keys, beside those that a bucket and a topic need.
    fn said_of(keys: &[(&str, &str)]) -> String {
        let mut values = [("s3.bucket.name", "b"), ("s3.region", "eu-central-1")].map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec();
        let common = ["errors.tolerance", "errors.deadletterqueue.topic.name", "topics", "topics.regex", "transforms"];
        let router = ["transforms.r.type", "transforms.r.regex", "transforms.r.replacement"];
        let by_time = ["transforms.t.type", "transforms.t.topic.format", "transforms.t.timestamp.format", "transforms.t.predicate"];
        let predicate = ["predicates", "predicates.p.type", "predicates.p.pattern"];
        let common = common.into_iter().chain(router).chain(by_time).chain(predicate);
        let def = common.fold(definition(), |def, name| def.keys(&[Key::new(name, KeyKind::String, "Of the worker.")]));
        values.push(("topics".to_owned(), "t".to_owned()));
        values.extend(keys.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        let errors = match def.parse(&values.into_iter().collect()) {
            Ok(config) => Settings::read(&config).err().unwrap_or_default(),
            Err(errors) => errors,
        };
        errors.iter().map(|e| format!("{e}\n")).collect()
    }

    #[test]
    fn routers_give_each_topic_a_name_of_its_own() {
        let router = |topics: (&'static str, &'static str), regex: &'static str, replacement: &'static str| {
            let keys = [("transforms", "r"), ("transforms.r.type", "RegexRouter"), ("transforms.r.regex", regex)];
            said_of(&[&keys[..], &[("transforms.r.replacement", replacement), topics]].concat())
        };
        assert_eq!(router(("topics", "a-1,b-1"), "(.*)-1", "$1"), "");
        assert!(router(("topics", "a-1,a-2"), "(.*)-.", "$1").contains("call a-1 and a-2 a: no two topics"));
        assert!(router(("topics", "a"), "a", "b/c").contains("make 'b/c' of a ('b/c' in 1970), which is no name of a topic"));
        assert!(router(("topics", "a"), "a", "..").contains("which is no name of a topic"));
        assert!(router(("topics.regex", "a.*"), "a", "b").contains("can't be used with RegexRouter"));
    }

    #[test]
    fn names_by_time_are_of_one_topic() {
        let router = |topics: (&'static str, &'static str), format: &'static str, more: &[(&'static str, &'static str)]| {
            let keys = [("transforms", "t"), ("transforms.t.type", "TimestampRouter"), ("transforms.t.topic.format", format), topics];
            said_of(&[&keys[..], more].concat())
        };
        let orders = [
            ("transforms.t.predicate", "p"),
            ("predicates", "p"),
            ("predicates.p.type", "TopicNameMatches"),
            ("predicates.p.pattern", "orders"),
        ];
        assert_eq!(router(("topics", "a,a-1,orders"), "${topic}-${timestamp}", &[]), "");
        assert_eq!(router(("topics.regex", "a.*"), "x.${topic}_${timestamp}", &[]), "");
        assert_eq!(router(("topics", "a"), "all-${timestamp}", &[]), "");
        assert_eq!(router(("topics", "orders,orders-eu"), "all-${timestamp}", &orders), "");
        assert!(router(("topics", "a,b"), "all-${timestamp}", &[]).contains("call a and b all-${timestamp}: no two topics"));
        let said = router(("topics.regex", "a.*"), "all-${timestamp}", &[]);
        assert!(said.contains("can't be used when transforms.t.topic.format is without ${topic}"), "{said}");
        let said = router(("topics", "orders,orders-19990101"), "${topic}-${timestamp}", &orders);
        assert!(said.contains("call orders and orders-19990101 orders-${timestamp} and orders-19990101, which can be the same"), "{said}");
        for (format, timestamp, name) in [
            ("${topic}/${timestamp}", "yyyy", "a/1970"),
            ("${topic}-${timestamp}", "HH:mm", "a-00:00"),
            ("${topic}-${timestamp}", "yyyyZ", "a-1970+0000"),
        ] {
            let said = router(("topics", "a"), format, &[("transforms.t.timestamp.format", timestamp)]);
            assert!(said.contains(&format!("'{name}' in 1970), which is no name of a topic")), "{said}");
        }
    }

    #[test]
    fn keys_that_say_where_rows_go_are_taken() {
        for keys in [
            &[("partition.by", "e, f.g, day(ts), hour(_timestamp), bucket(id, 16), truncate(name, 3)")][..],
            &[("topics.dir", "")],
            &[("topics.dir", "a/b/")],
            &[("prefix", "raw/!{timestamp:yyyy/MM/dd}")],
            &[("prefix", "c=!{partitionKeyFromQuery:c}/"), ("metadata.extraction.query", "{c: .a.b}"), ("topics.dir", "")],
            &[("error.output.prefix", "errors/"), ("errors.tolerance", "all")],
            &[("rotate.age.ms", "-1"), ("rotate.interval.ms", "1")],
        ] {
            assert_eq!(said_of(keys), "", "{keys:?}");
        }
    }

    #[test]
    fn keys_that_can_not_hold_are_refused_with_what_was_expected() {
        for (keys, part) in [
            (&[("partition.by", "e,e")][..], "'e' is there twice"),
            (&[("partition.by", "e,E")], "'e' is there twice"),
            (&[("partition.by", "day(a),day(b)")], "'day' is there twice"),
            (&[("partition.by", "bucket(a,2),bucket(a,4)")], "'a_bucket' is there twice"),
            (&[("partition.by", "bucket(a)")], "bucket(column, number)"),
            (&[("partition.by", "bucket(a, 0)")], "above 0"),
            (&[("partition.by", "bucket(, 4)")], "expected a column"),
            (&[("partition.by", "week(a)")], "'week' is no function"),
            (&[("partition.by", "day(a")], "closing parenthesis"),
            (&[("partition.by", "e"), ("prefix", "a/")], "can't be set together with partition.by"),
            (&[("partition.by", "e"), ("partitioner.class", "DailyPartitioner")], "can't be set together with partitioner.class"),
            (&[("partitioner.class", "FieldPartitioner"), ("partition.field.name", "a,a")], "'a' is there twice"),
            (
                &[("partitioner.class", "TimeBasedPartitioner"), ("partition.duration.ms", "1"), ("path.format", "yyyy//MM")],
                "without empty elements",
            ),
            (&[("partitioner.class", "TimeBasedPartitioner"), ("partition.duration.ms", "1"), ("path.format", "'..'/MM")], "'..'"),
            (&[("topics.dir", "../x")], "topics.dir = '../x': expected a relative path"),
            (&[("topics.dir", "/x")], "expected a relative path"),
            (&[("topics.dir", "a//b")], "without empty elements"),
            (&[("topics.dir", "a\nb")], "topics.dir = 'a\\nb': expected no control characters"),
            (&[("topics.dir", "x"), ("prefix", "a/")], "topics.dir = 'x': can't be set together with prefix"),
            (&[("prefix", "/a/")], "expected a relative path"),
            (&[("prefix", "a/../b/")], "expected a relative path"),
            (&[("prefix", "raw/!{timestamp:yyyy}"), ("topics", "t,u")], "expected a slash at its end"),
            (&[("metadata.extraction.query", "{a: .a}")], "has no effect without prefix"),
            (&[("prefix", "x!{partitionKeyFromQuery:b}/"), ("metadata.extraction.query", "{a: .a}")], "has that key"),
            (&[("error.output.prefix", "e/")], "errors.tolerance=all"),
            (
                &[("error.output.prefix", "e/"), ("errors.tolerance", "all"), ("errors.deadletterqueue.topic.name", "d")],
                "can't be set together with errors.deadletterqueue.topic.name",
            ),
            (&[("rotate.age.ms", "0")], "more than 0, or -1 for never"),
            (&[("rotate.idle.ms", "-5")], "more than 0, or -1 for never"),
            (&[("rotate.interval.ms", "0")], "more than 0, or -1 for never"),
            (&[("rotate.schedule.interval.ms", "-2")], "more than 0, or -1 for never"),
            (&[("retry.backoff.ms", "-1")], "expected 0 or more"),
            (&[("flush.bytes", "99999999999999")], "10000 parts"),
        ] {
            let said = said_of(keys);
            assert!(said.contains(part) && said.lines().count() == 1, "{keys:?}: {said}");
        }
    }
}
