//! The prefix language of Amazon Data Firehose: `!{namespace:value}` in `prefix` and `error.output.prefix` (developer guide, "Understand custom
//! prefixes for Amazon S3 objects").
//!
//! Where Firehose takes the arrival time of an object's oldest record, each row has the Kafka timestamp of its own record here: the prefix is a
//! function of the record, and no object has rows of another hour. What is no function of the record (`!{firehose:random-string}`) is refused.

use std::collections::BTreeMap;

use crate::partitioner::{FieldTerm, Term, TimeSource};
use crate::time::{Pattern, Zone};
use crate::value::Transform;

/// What Firehose appends to a prefix without an expression.
const DEFAULT: &str = "!{timestamp:yyyy/MM/dd/HH/}";

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Time(Pattern),
    Key(String),
    ErrorType,
}

fn parse(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, from)) = rest.split_once("!{") {
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        let (expression, after) = from.split_once('}').ok_or("expected a '}' after '!{'")?;
        pieces.push(piece(expression)?);
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}

fn piece(expression: &str) -> Result<Piece, String> {
    match expression.split_once(':').ok_or_else(|| format!("'!{{{expression}}}': expected !{{namespace:value}}"))? {
        ("timestamp", pattern) => Pattern::parse_java(pattern).map(Piece::Time),
        ("firehose", "error-output-type") => Ok(Piece::ErrorType),
        ("firehose", "random-string") => {
            Err("'!{firehose:random-string}' gives a record another name each time it is read, so that rows could come twice; leave it out"
                .into())
        }
        ("partitionKeyFromQuery", "") => Err("'!{partitionKeyFromQuery:}': expected the name of a key".into()),
        ("partitionKeyFromQuery", key) => Ok(Piece::Key(key.to_owned())),
        ("partitionKeyFromLambda", _) => {
            Err("'!{partitionKeyFromLambda:...}': there is no Lambda function; use !{partitionKeyFromQuery:COLUMN}".into())
        }
        _ => Err(format!(
            "'!{{{expression}}}': expected the namespace timestamp or partitionKeyFromQuery, or firehose:error-output-type in error.output.prefix"
        )),
    }
}

/// The terms of `prefix`. `queries` are those of `metadata.extraction.query`; without them a key is the name of a column.
pub(crate) fn terms(prefix: &str, queries: Option<&BTreeMap<String, Vec<String>>>, zone: Zone) -> Result<Vec<Term>, String> {
    let mut pieces = parse(prefix)?;
    if pieces.iter().all(|piece| matches!(piece, Piece::Text(_))) {
        // Appended as it is, without a slash between.
        pieces.extend(parse(DEFAULT)?);
    }
    let used: Vec<&String> = pieces.iter().filter_map(|p| if let Piece::Key(key) = p { Some(key) } else { None }).collect();
    if let Some(unused) = queries.and_then(|queries| queries.keys().find(|key| !used.contains(key))) {
        return Err(format!("expected !{{partitionKeyFromQuery:{unused}}}, because metadata.extraction.query has that key"));
    }
    let term = |piece| match piece {
        Piece::Text(text) => Ok(Term::Text(text)),
        Piece::Time(pattern) => Ok(Term::Time { source: TimeSource::Record, duration_ms: pattern.unit_ms(), pattern, zone }),
        Piece::Key(key) => {
            let path = match queries {
                None => key.split('.').map(str::to_owned).collect(),
                Some(queries) => queries
                    .get(&key)
                    .cloned()
                    .ok_or_else(|| format!("metadata.extraction.query has no key '{key}'; expected one of its keys"))?,
            };
            Ok(Term::Field(FieldTerm { name: None, path, transform: Transform::Identity }))
        }
        Piece::ErrorType => Err("'!{firehose:error-output-type}' belongs into error.output.prefix".to_owned()),
    };
    pieces.into_iter().map(term).collect()
}

/// The folder in which all that is written with these terms lies.
pub(crate) fn folder(terms: &[Term]) -> String {
    let texts = terms.iter().map_while(|term| if let Term::Text(text) = term { Some(text.as_str()) } else { None });
    let text: String = texts.collect();
    text.rsplit_once('/').map(|(folder, _)| folder.to_owned()).unwrap_or_default()
}

/// The keys of `metadata.extraction.query` and the paths of their columns: `{customer: .customer_id, device: .type.device}`. Of jq there
/// are paths only.
pub(crate) fn queries(text: &str) -> Result<BTreeMap<String, Vec<String>>, String> {
    let inner = text.trim().strip_prefix('{').and_then(|t| t.strip_suffix('}')).ok_or("expected {key: .path, ...}")?;
    let query = |pair: &str| {
        let (key, path) = pair.split_once(':')?;
        let names: Vec<String> = path.trim().strip_prefix('.')?.split('.').map(str::to_owned).collect();
        let plain = names.iter().all(|n| !n.is_empty() && n.chars().all(|c| c.is_alphanumeric() || c == '_'));
        let key = key.trim().trim_matches('"');
        (plain && !key.is_empty()).then(|| (key.to_owned(), names))
    };
    let pairs = inner
        .split(',')
        .map(|pair| query(pair).ok_or_else(|| format!("'{}': expected key: .path (of jq there are paths only)", pair.trim())));
    pairs.collect()
}

/// Where rows go that can't be used: `error.output.prefix`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ErrorPrefix {
    pieces: Vec<Piece>,
    zone: Zone,
}

impl ErrorPrefix {
    pub(crate) fn parse(text: &str, zone: Zone) -> Result<Self, String> {
        let pieces = parse(text)?;
        if pieces.iter().any(|p| matches!(p, Piece::Key(_))) {
            return Err("'!{partitionKeyFromQuery:...}' belongs into prefix: a row that can't be used has no key".into());
        }
        let expressions = pieces.iter().any(|p| !matches!(p, Piece::Text(_)));
        if expressions && !pieces.contains(&Piece::ErrorType) {
            return Err("expected !{firehose:error-output-type} in it, because it has expressions".into());
        }
        Ok(Self { pieces, zone })
    }

    /// The prefix of an object of this kind whose first record has this timestamp.
    pub(crate) fn of(&self, error_type: &str, timestamp_ms: i64) -> String {
        let text = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Key(_) => String::new(),
            Piece::ErrorType => error_type.to_owned(),
            // A record without a timestamp is filed under 1970.
            Piece::Time(pattern) => self.zone.bucket(timestamp_ms.max(0), 1).map(|(_, at)| pattern.format(at)).unwrap_or_default(),
        };
        self.pieces.iter().map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: i64 = 1_535_365_805_000; // 2018-08-27T10:30:05Z

    /// The prefix of a row with this time, without partition keys.
    fn evaluated(prefix: &str, zone: &str, at: i64) -> Result<String, String> {
        let zone = Zone::parse(zone).expect("zone");
        let text = |term: &Term| match term {
            Term::Text(text) => text.clone(),
            Term::Time { pattern, duration_ms, .. } => pattern.format(zone.bucket(at, *duration_ms).expect("in range").1),
            Term::Field(field) => format!("<{}>", field.path.join(".")),
            Term::KafkaPartition => panic!("not in a prefix"),
        };
        Ok(terms(prefix, None, zone)?.iter().map(text).collect())
    }

    #[test]
    fn prefixes_are_those_of_firehose() {
        for (prefix, want) in [
            ("", "2018/08/27/10/"),
            ("legacy", "legacy2018/08/27/10/"),
            ("events/data/", "events/data/2018/08/27/10/"),
            (
                "year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/hour=!{timestamp:HH}/",
                "year=2018/month=08/day=27/hour=10/",
            ),
            ("!{timestamp:'year='yyyy'/month='MM'/day='dd'/'}", "year=2018/month=08/day=27/"),
            ("raw/!{timestamp:yyyy/MM/dd}", "raw/2018/08/27"),
            ("c=!{partitionKeyFromQuery:customer}/d=!{partitionKeyFromQuery:a.b}/", "c=<customer>/d=<a.b>/"),
        ] {
            assert_eq!(evaluated(prefix, "UTC", AT).as_deref(), Ok(want), "{prefix}");
        }
        assert_eq!(evaluated("", "Europe/Madrid", 1_767_310_200_000).as_deref(), Ok("2026/01/02/00/"));
        for (prefix, part) in [
            ("a/!{firehose:random-string}/", "come twice"),
            ("p/!{firehose:error-output-type}/", "error.output.prefix"),
            ("c=!{partitionKeyFromLambda:device}/", "partitionKeyFromQuery"),
            ("!{timestamp:yyyy", "'}'"),
            ("!{timestamp:YYYY-T}", "'T'"),
            ("!{now}", "namespace"),
            ("!{other:x}", "namespace"),
        ] {
            let error = evaluated(prefix, "UTC", AT).expect_err(prefix);
            assert!(error.contains(part), "{prefix}: {error}");
        }
    }

    #[test]
    fn queries_name_the_columns_of_keys() {
        let known = queries("{customer: .customer_id, \"device\": .type.device}").expect("valid");
        let found = terms("c=!{partitionKeyFromQuery:customer}/!{partitionKeyFromQuery:device}/", Some(&known), Zone::UTC).expect("valid");
        let paths: Vec<String> = found.iter().filter_map(|t| if let Term::Field(f) = t { Some(f.path.join(".")) } else { None }).collect();
        assert_eq!(paths, ["customer_id", "type.device"]);
        assert!(terms("!{partitionKeyFromQuery:customer}/", Some(&known), Zone::UTC).expect_err("unused").contains("device"));
        assert!(terms("!{partitionKeyFromQuery:x}/", Some(&known), Zone::UTC).is_err());
        for wrong in ["customer", "{customer}", "{year: .t|strftime(\"%Y\")}", "{: .a}", "{a: .}"] {
            assert!(queries(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn error_prefixes_are_those_of_firehose() {
        let of = |prefix| ErrorPrefix::parse(prefix, Zone::UTC).map(|p| p.of("processing-failed", AT));
        assert_eq!(of("err/!{firehose:error-output-type}/").as_deref(), Ok("err/processing-failed/"));
        assert_eq!(of("err-!{firehose:error-output-type}/!{timestamp:yyyy/MM/dd}/").as_deref(), Ok("err-processing-failed/2018/08/27/"));
        assert_eq!(of("errors/").as_deref(), Ok("errors/"));
        assert!(of("err/!{timestamp:yyyy}/").is_err() && of("!{partitionKeyFromQuery:k}/!{firehose:error-output-type}/").is_err());
    }
}
