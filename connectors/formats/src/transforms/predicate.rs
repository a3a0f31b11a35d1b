//! Which records a transform takes.

use std::sync::Arc;

use lakefeed_core::{Config, ConfigError, Records};
use regex::Regex;

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
            Self::HasHeaderKey(name) => {
                records.headers.as_ref().is_some_and(|headers| headers.of(record as usize).any(|(header, _)| header == name))
            }
            Self::RecordIsTombstone => tombstone,
            Self::TopicNameMatches(regex) => regex.is_match(&records.topic),
        }
    }
}

impl Condition {
    /// Whether a record without a value is meant.
    pub(super) fn takes_tombstone(&self, records: &Records, record: u32) -> bool {
        self.predicate.test(records, record, true) != self.negate
    }

    /// Which of the rows are meant.
    pub(super) fn select(&self, records: &Records, indices: &[u32]) -> Selection {
        let taken: Vec<bool> = match &*self.predicate {
            Predicate::HasHeaderKey(_) if records.headers.is_some() => {
                indices.iter().map(|record| self.predicate.test(records, *record, false) != self.negate).collect()
            }
            // One answer for all rows of a batch.
            predicate => vec![predicate.test(records, 0, false) != self.negate],
        };
        match (taken.contains(&true), taken.contains(&false)) {
            (true, true) => Selection::Some(taken),
            (true, false) => Selection::All,
            (false, _) => Selection::None,
        }
    }
}
