//! Transforms of the topic that rows go to: `RegexRouter` and `TimestampRouter`.

use std::sync::Arc;

use arrow_array::StringArray;
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
}

impl TimestampRouter {
    pub(super) fn make(config: &Config) -> Made {
        let format = config.text("timestamp.format");
        let timestamp = DateFormat::parse(format).map_err(|message| ConfigError::value("timestamp.format", format, message))?;
        Ok(Transform::TimestampRouter(Self { topic: config.text("topic.format").to_owned(), timestamp }))
    }

    /// `None`: the time is none.
    pub(super) fn route(&self, topic: &str, timestamp_ms: i64) -> Option<String> {
        let time = self.timestamp.format(timestamp_ms).filter(|_| timestamp_ms >= 0)?;
        Some(self.topic.replace("${topic}", topic).replace("${timestamp}", &time))
    }

    pub(super) fn apply(&self, records: &Records, mut rows: Rows) -> Done {
        let old = topics(records, &rows);
        let mut gone = Vec::new();
        let routed = rows.indices.iter().enumerate().map(|(row, record)| {
            self.route(old.value(row), records.timestamps[*record as usize]).unwrap_or_else(|| {
                gone.push((row, Gone::Rejected { field: None, message: "the record has no timestamp to name its topic by".into() }));
                old.value(row).to_owned()
            })
        });
        rows.beside.topics = Some(Arc::new(StringArray::from_iter_values(routed.collect::<Vec<_>>())));
        Done { rows, gone }
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
    use super::*;

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
