//! Which records a transform takes.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use lakefeed_core::{Config, ConfigError, Headers, Records};
use regex::Regex;

use super::rows::Rows;

/// A test of a record, as Kafka Connect's predicates are.
#[derive(Debug, Clone)]
pub(super) enum Predicate {
    /// The record has a header of this name.
    HasHeaderKey(String),
    /// The record has no value.
    RecordIsTombstone,
    /// The whole name of the topic matches.
    TopicNameMatches(Regex),
}

/// What a transform is asked of each record, if anything.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    pub(super) predicate: Arc<Predicate>,
    pub(super) negate: bool,
}

/// The rows that a transform takes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Selection {
    All,
    None,
    /// For each row whether it does; both occur.
    Some(Vec<bool>),
}

impl Predicate {
    pub(super) fn has_header_key(config: &Config) -> Result<Self, ConfigError> {
        Ok(Self::HasHeaderKey(config.text("name").to_owned()))
    }

    pub(super) fn record_is_tombstone(_: &Config) -> Result<Self, ConfigError> {
        Ok(Self::RecordIsTombstone)
    }

    pub(super) fn topic_name_matches(config: &Config) -> Result<Self, ConfigError> {
        let pattern = config.text("pattern");
        let regex = Regex::new(&format!("^(?:{pattern})$"));
        regex.map(Self::TopicNameMatches).map_err(|_| {
            ConfigError::value(
                "pattern",
                pattern,
                "expected a regular expression (without look-around and back-references, which are not supported)",
            )
        })
    }

    /// Whether a record is meant; `tombstone`: it has no value.
    fn test(&self, records: &Records, record: u32, tombstone: bool) -> bool {
        match self {
            Self::HasHeaderKey(name) => records.headers.as_ref().is_some_and(|headers| has(headers, record as usize, name)),
            Self::RecordIsTombstone => tombstone,
            Self::TopicNameMatches(regex) => regex.is_match(&records.topic),
        }
    }
}

/// Whether a record has a header of this name.
fn has(headers: &Headers, row: usize, name: &str) -> bool {
    headers.of(row).any(|(header, _)| header == name)
}

impl Condition {
    /// Whether it looks at topics alone.
    pub(super) fn is_of_topics(&self) -> bool {
        matches!(*self.predicate, Predicate::TopicNameMatches(_))
    }

    /// Whether the records of a topic are meant, as far as that hangs on the topic.
    pub(super) fn takes_topic(&self, topic: &str) -> bool {
        match &*self.predicate {
            Predicate::TopicNameMatches(regex) => regex.is_match(topic) != self.negate,
            Predicate::HasHeaderKey(_) | Predicate::RecordIsTombstone => false,
        }
    }

    /// Whether a record without a value and without headers is meant.
    pub(super) fn takes_tombstone_of(&self, topic: &str) -> bool {
        let holds = match &*self.predicate {
            Predicate::TopicNameMatches(regex) => regex.is_match(topic),
            Predicate::HasHeaderKey(_) => false,
            Predicate::RecordIsTombstone => true,
        };
        holds != self.negate
    }

    /// Whether a record without a value is meant.
    pub(super) fn takes_tombstone(&self, records: &Records, record: u32) -> bool {
        self.predicate.test(records, record, true) != self.negate
    }

    /// Which of the rows are meant: by the headers and topics that the transforms before have made.
    pub(super) fn select(&self, records: &Records, rows: &Rows) -> Selection {
        let each = |test: &dyn Fn(usize) -> bool| (0..rows.indices.len()).map(|row| test(row) != self.negate).collect();
        Selection::of(match (&*self.predicate, &rows.beside.headers, &rows.beside.topics) {
            (Predicate::HasHeaderKey(name), Some(headers), _) => {
                let headers = Headers::from_list(headers.as_list());
                each(&|row| has(&headers, row, name))
            }
            (Predicate::HasHeaderKey(_), None, _) if records.headers.is_some() => {
                each(&|row| self.predicate.test(records, rows.indices[row], false))
            }
            (Predicate::TopicNameMatches(regex), _, Some(topics)) => {
                let topics = topics.as_string::<i32>();
                each(&|row| regex.is_match(topics.value(row)))
            }
            // One answer for all rows of a batch.
            (predicate, ..) => vec![predicate.test(records, 0, false) != self.negate],
        })
    }
}

impl Selection {
    fn of(taken: Vec<bool>) -> Self {
        match (taken.contains(&true), taken.contains(&false)) {
            (true, true) => Self::Some(taken),
            (true, false) => Self::All,
            (false, _) => Self::None,
        }
    }

    /// Those rows of the selection that are among others.
    pub(super) fn and(self, mut others: Vec<bool>) -> Self {
        match self {
            Self::None => Self::None,
            Self::All => Self::of(others),
            Self::Some(taken) => {
                others.iter_mut().zip(taken).for_each(|(other, taken)| *other &= taken);
                Self::of(others)
            }
        }
    }
}
