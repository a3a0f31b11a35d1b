//! Transforms of the topic that rows go to: `RegexRouter` and `TimestampRouter`.

use std::sync::Arc;

use arrow_array::StringArray;
use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use lakefeed_core::{Config, ConfigError, Records};
use regex::Regex;

use super::config::Made;
use super::date_format::DateFormat;
use super::rows::{Gone, Rows};
use super::{Done, Transform};

/// `RegexRouter`: a topic whose whole name matches gets another one.
#[derive(Debug)]
pub(super) struct RegexRouter {
    whole: Regex,
    part: Regex,
    /// In the form that the regex crate has.
    replacement: String,
}

impl RegexRouter {
    pub(super) fn make(config: &Config) -> Made {
        let text = config.text("regex");
        let regex = |text: &str| {
            let expected = "expected a regular expression (without look-around and back-references, which are not supported)";
            Regex::new(text).map_err(|_| ConfigError::value("regex", config.text("regex"), expected))
        };
        let part = regex(text)?;
        let wrong = |message| ConfigError::value("replacement", config.text("replacement"), message);
        let replacement = replacement(config.text("replacement"), &part).map_err(wrong)?;
        Ok(Transform::RegexRouter(Self { whole: regex(&format!("^(?:{text})$"))?, part, replacement }))
    }

    pub(super) fn route<'a>(&self, topic: &'a str) -> std::borrow::Cow<'a, str> {
        if self.whole.is_match(topic) { self.part.replacen(topic, 1, &self.replacement) } else { topic.into() }
    }

    pub(super) fn apply(&self, records: &Records, mut rows: Rows) -> Rows {
        let mut last: Option<(String, String)> = None;
        let old = topics(records, &rows);
        let routed = old.iter().flatten().map(|topic| match &last {
            Some((from, to)) if from == topic => to.clone(),
            _ => {
                let to = self.route(topic).into_owned();
                last = Some((topic.to_owned(), to.clone()));
                to
            }
        });
        rows.beside.topics = Some(Arc::new(StringArray::from_iter_values(routed.collect::<Vec<_>>())));
        rows
    }
}

/// The replacement of Java's `Matcher` (`$1`, `${name}`, a backslash before what is meant as it is) as the regex crate reads it.
fn replacement(text: &str, regex: &Regex) -> Result<String, String> {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('$') => out.push_str("$$"),
                Some(c) => out.push(c),
                None => return Err("a backslash stands at the end".into()),
            },
            '$' if chars.next_if_eq(&'{').is_some() => {
                let name: String = chars.by_ref().take_while(|c| *c != '}').collect();
                if !regex.capture_names().flatten().any(|known| known == name) {
                    return Err(format!("the regular expression has no group '{name}'"));
                }
                out.push_str(&format!("${{{name}}}"));
            }
            '$' => {
                // As many digits as there are groups for, as in Java.
                let mut group = chars.next().and_then(|c| c.to_digit(10)).ok_or("expected a number or {name} behind $")? as usize;
                if group >= regex.captures_len() {
                    return Err(format!("the regular expression has no group {group}"));
                }
                while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                    if group * 10 + digit as usize >= regex.captures_len() {
                        break;
                    }
                    group = group * 10 + digit as usize;
                    chars.next();
                }
                out.push_str(&format!("${{{group}}}"));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

/// `TimestampRouter`: a topic by the record's timestamp, in UTC.
#[derive(Debug)]
pub(super) struct TimestampRouter {
    topic: String,
    timestamp: DateFormat,
    unit_ms: i64,
}

const TOPIC: &str = "${topic}";
const TIMESTAMP: &str = "${timestamp}";

impl TimestampRouter {
    pub(super) fn make(config: &Config) -> Made {
        let format = config.text("timestamp.format");
        let timestamp = DateFormat::parse(format).map_err(|message| ConfigError::value("timestamp.format", format, message))?;
        let topic = config.text("topic.format").to_owned();
        Ok(Transform::TimestampRouter(Self { topic, unit_ms: timestamp.unit_ms(), timestamp }))
    }

    /// `None`: the time is none.
    pub(super) fn route(&self, topic: &str, timestamp_ms: i64) -> Option<String> {
        let time = self.timestamp.format(timestamp_ms).filter(|_| timestamp_ms >= 0)?;
        Some(self.topic.replace(TOPIC, topic).replace(TIMESTAMP, &time))
    }

    /// Whether its names tell the topic.
    pub(super) fn tells_topic(&self) -> bool {
        self.topic.contains(TOPIC)
    }

    /// What it calls a topic.
    pub(super) fn routed(&self, topic: &str) -> RoutedTopic {
        let format = self.topic.replace(TOPIC, topic);
        RoutedTopic { time: format.contains(TIMESTAMP).then(|| self.timestamp.clone()), format }
    }

    pub(super) fn apply(&self, records: &Records, mut rows: Rows) -> Done {
        let old = topics(records, &rows);
        let mut gone = Vec::new();
        let mut routed = StringBuilder::new();
        // Rows that follow each other mostly have one name.
        let mut last: Option<(&str, i64, Option<String>)> = None;
        for (row, record) in rows.indices.iter().enumerate() {
            let (topic, ms) = (old.value(row), records.timestamps[*record as usize]);
            let unit = ms.div_euclid(self.unit_ms);
            if last.as_ref().is_none_or(|(from, of, _)| (*from, *of) != (topic, unit)) {
                last = Some((topic, unit, self.route(topic, ms)));
            }
            match last.as_ref().and_then(|(_, _, name)| name.as_deref()) {
                Some(name) => routed.append_value(name),
                None => {
                    gone.push((row, Gone::Rejected { field: None, message: NO_TIMESTAMP.into() }));
                    routed.append_value(topic);
                }
            }
        }
        rows.beside.topics = Some(Arc::new(routed.finish()));
        Done { rows, gone }
    }
}

const NO_TIMESTAMP: &str = "the record has no timestamp to name its topic by";

/// What the records of one topic are called behind the routers of a sink: one name, or one for each time.
#[derive(Debug, Clone)]
pub struct RoutedTopic {
    /// The name; with a time it has `${timestamp}` where that belongs.
    format: String,
    time: Option<DateFormat>,
}

impl RoutedTopic {
    /// One name.
    pub(super) fn named(name: &str) -> Self {
        Self { format: name.to_owned(), time: None }
    }

    /// The name of a record with this timestamp.
    ///
    /// # Errors
    /// It hangs on the timestamp, and the record has none: negative, or beyond the calendar.
    pub fn at(&self, timestamp_ms: i64) -> Result<String, &'static str> {
        let Some(time) = &self.time else { return Ok(self.format.clone()) };
        let time = time.format(timestamp_ms).filter(|_| timestamp_ms >= 0).ok_or(NO_TIMESTAMP)?;
        Ok(self.format.replace(TIMESTAMP, &time))
    }

    /// The longest time in milliseconds in which the name is the same; it changes at multiples of it. `None`: never.
    pub fn unit_ms(&self) -> Option<i64> {
        Some(self.time.as_ref()?.unit_ms())
    }

    /// What all names begin with: all of it if there is one name.
    pub fn beginning(&self) -> &str {
        match &self.time {
            Some(_) => self.format.split(TIMESTAMP).next().unwrap_or_default(),
            None => &self.format,
        }
    }

    /// Whether records can have this name. A number at the place of a time is taken for one, also for the thirteenth month.
    pub fn can_be(&self, name: &str) -> bool {
        let Some(time) = &self.time else { return self.format == name };
        let around: Vec<_> = self.format.split(TIMESTAMP).map(regex::escape).collect();
        Regex::new(&format!("^{}$", around.join(&time.expression()))).is_ok_and(|names| names.is_match(name))
    }

    /// As a person reads it: the name, with `${timestamp}` where a time stands.
    pub fn format(&self) -> &str {
        &self.format
    }
}

/// The topic of each row.
pub(super) fn topics(records: &Records, rows: &Rows) -> StringArray {
    match &rows.beside.topics {
        Some(topics) => topics.as_string::<i32>().clone(),
        None => StringArray::from_iter_values(std::iter::repeat_n(&*records.topic, rows.columns.rows)),
    }
}

#[cfg(test)]
mod tests {
    use lakefeed_core::{ConfigDef, Key, KeyKind};

    use super::*;

    #[test]
    fn names_of_a_topic_are_known_before_there_are_records() {
        let of = |topic: &str, timestamp: &str| {
            let values = [("topic.format", topic), ("timestamp.format", timestamp)];
            let keys = values.map(|(name, _)| Key::new(name, KeyKind::String, "."));
            let values = values.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
            let made = TimestampRouter::make(&ConfigDef::new().keys(&keys).parse(&values).expect("known keys")).expect("valid");
            let Transform::TimestampRouter(router) = made else { panic!("a TimestampRouter") };
            router.routed("orders")
        };
        const AT: i64 = 1_709_298_123_004; // 2024-03-01T13:02:03.004Z
        for (topic, timestamp, beginning, at, others) in [
            ("${topic}-${timestamp}", "yyyyMMdd", "orders-", "orders-20240301", &["orders-eu-20240301", "orders-2024", "orders-"][..]),
            ("a.${timestamp}.${topic}", "yy-MMM", "a.", "a.24-Mar.orders", &["ab24-Mar.orders", "a.24-Mai.orders", "a.24-Mar.orders2"]),
            ("${timestamp}${timestamp}", "HH", "", "1313", &["13", "orders"]),
            ("${topic}.${timestamp}", "YYYY-'W'ww", "orders.", "orders.2024-W09", &["orders.2024-09", "orders.2024-Wxx"]),
            ("all", "HH", "all", "all", &["orders", "13"]),
        ] {
            let routed = of(topic, timestamp);
            assert_eq!((routed.beginning(), routed.at(AT).as_deref()), (beginning, Ok(at)), "{topic}");
            assert!(routed.can_be(at) && others.iter().all(|name| !routed.can_be(name)), "{topic}");
            assert_eq!((routed.at(-1).is_ok(), routed.unit_ms().is_none()), (at == topic, at == topic), "{topic}");
        }
    }

    #[test]
    fn replacements_are_those_of_java() {
        let regex = Regex::new("(.*)-(?<rest>[a-z]+)").expect("a regular expression");
        let replaced = |text: &str| replacement(text, &regex).map(|text| regex.replacen("a-b", 1, &text).into_owned());
        for (text, expected) in
            [("x", "x"), ("$1", "a"), ("$1_x", "a_x"), ("$12", "a2"), ("${rest}.$1", "b.a"), ("\\$1", "$1"), ("$0!", "a-b!")]
        {
            assert_eq!(replaced(text).as_deref(), Ok(expected), "{text}");
        }
        for text in ["$3", "$", "${none}", "\\"] {
            assert!(replaced(text).is_err(), "{text}");
        }
    }
}
