//! How the topics that a source or processor writes to are made: the keys `topic.creation.*` of Kafka Connect (KIP-158).

use std::collections::BTreeMap;

use lakefeed_core::{Config, ConfigError, Importance, Key, KeyKind};
use lakefeed_kafka::TopicSpec;
use regex::Regex;

const PREFIX: &str = "topic.creation.";
const GROUPS: &str = "topic.creation.groups";
const DEFAULT: &str = "default";

/// The key that names groups; theirs are below the prefix `topic.creation.`.
pub(crate) const KEYS: [Key; 1] = [Key::new(
    GROUPS,
    KeyKind::List,
    "Groups of topics that are made otherwise than the others, in the order in which they are asked: topic.creation.GROUP.include and .exclude \
     (regular expressions of whole names), .partitions, .replication.factor and settings of topics.",
)
.default("")
.importance(Importance::Low)
.group("Topic Creation")];

/// What the settings below the prefix mean.
pub(crate) const DOC: &str = "How topics are made: topic.creation.default.partitions and .replication.factor (-1: the brokers' own), further settings of topics \
                              such as topic.creation.default.cleanup.policy, and the same of each group of topic.creation.groups.";

/// The groups of topics, the default last.
#[derive(Debug, Clone, Default)]
pub(crate) struct TopicCreation {
    groups: Vec<Group>,
}

#[derive(Debug, Clone)]
struct Group {
    /// Expressions of whole names; nothing: all.
    include: Vec<Regex>,
    exclude: Vec<Regex>,
    spec: TopicSpec,
}

impl TopicCreation {
    /// Reads the keys.
    ///
    /// # Errors
    /// Each key that is missing, unknown or wrong.
    pub(crate) fn read(config: &Config) -> Result<Self, Vec<ConfigError>> {
        let names = config.list(GROUPS);
        let mut given: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
        let mut errors = Vec::new();
        for (key, value) in config.with_prefix(PREFIX).filter(|(key, _)| *key != "groups") {
            match key.split_once('.').filter(|(name, _)| *name == DEFAULT || names.contains(name)) {
                Some((name, setting)) => given.entry(name).or_default().push((setting, value)),
                None => errors.push(ConfigError::key(
                    format!("{PREFIX}{key}"),
                    format!("is of no group; {GROUPS} names the groups beside {DEFAULT}"),
                )),
            }
        }
        if names.contains(&DEFAULT) {
            errors.push(ConfigError::value(GROUPS, DEFAULT, format!("is there without being named, and is the last: leave {DEFAULT} out")));
        }
        if names.is_empty() && given.is_empty() {
            return if errors.is_empty() { Ok(Self::default()) } else { Err(errors) };
        }
        let mut found =
            |name: &str, parent: Option<&TopicSpec>| group(name, given.get(name).map_or(&[], Vec::as_slice), parent, &mut errors);
        let default = found(DEFAULT, None);
        let mut groups: Vec<Group> = names.iter().filter(|name| **name != DEFAULT).map(|name| found(name, Some(&default.spec))).collect();
        groups.push(default);
        if errors.is_empty() { Ok(Self { groups }) } else { Err(errors) }
    }

    /// How a topic is to be made, if the keys say so.
    pub(crate) fn of(&self, topic: &str) -> Option<&TopicSpec> {
        let any = |expressions: &[Regex]| expressions.iter().any(|expression| expression.is_match(topic));
        let of = |group: &&Group| (group.include.is_empty() || any(&group.include)) && !any(&group.exclude);
        self.groups.iter().find(of).map(|group| &group.spec)
    }
}

/// One group; what it does not say of partitions and replicas is as in `parent`, the default group.
fn group(name: &str, given: &[(&str, &str)], parent: Option<&TopicSpec>, errors: &mut Vec<ConfigError>) -> Group {
    let mut spec = parent.map_or_else(TopicSpec::default, |parent| TopicSpec { settings: BTreeMap::new(), ..parent.clone() });
    let (mut include, mut exclude) = (Vec::new(), Vec::new());
    let key = |setting: &str| format!("{PREFIX}{name}.{setting}");
    for (setting, value) in given {
        let read = match *setting {
            "partitions" => count(value).map(|n| spec.partitions = n),
            "replication.factor" => count(value).map(|n| spec.replicas = n),
            "include" if name != DEFAULT => expressions(value).map(|list| include = list),
            "exclude" if name != DEFAULT => expressions(value).map(|list| exclude = list),
            "include" | "exclude" => Err("the default group is of all topics that no other takes".to_owned()),
            _ => {
                spec.settings.insert((*setting).to_owned(), (*value).to_owned());
                Ok(())
            }
        };
        errors.extend(read.err().map(|expected| ConfigError::value(key(setting), *value, expected)));
    }
    let needed: &[&str] = if name == DEFAULT { &["partitions", "replication.factor"] } else { &["include"] };
    let missing = needed.iter().filter(|needed| !given.iter().any(|(setting, value)| setting == *needed && !value.trim().is_empty()));
    errors.extend(missing.map(|setting| ConfigError::key(key(setting), "is required, because keys of topic.creation are set")));
    Group { include, exclude, spec }
}

/// `None`: as many as the brokers make by default.
fn count(value: &str) -> Result<Option<i32>, String> {
    match value.trim().parse() {
        Ok(-1) => Ok(None),
        Ok(n @ 1..) => Ok(Some(n)),
        _ => Err("expected 1 or more, or -1 for what the brokers do by default".into()),
    }
}

fn expressions(value: &str) -> Result<Vec<Regex>, String> {
    let whole = |text: &str| Regex::new(&format!("^(?:{text})$")).map_err(|_| format!("'{text}' is no regular expression"));
    value.split(',').map(str::trim).filter(|text| !text.is_empty()).map(whole).collect()
}

#[cfg(test)]
mod tests {
    use lakefeed_core::ConfigDef;

    use super::*;

    fn read(keys: &[(&str, &str)]) -> Result<TopicCreation, Vec<String>> {
        let values = keys.iter().map(|(key, value)| (format!("{PREFIX}{key}"), (*value).to_owned())).collect();
        let config = ConfigDef::new().keys(&KEYS).prefix(PREFIX, DOC).parse(&values).expect("keys");
        TopicCreation::read(&config).map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_topic_is_made_as_the_first_group_says_that_takes_it() {
        let creation = read(&[
            ("groups", "compacted, small"),
            ("default.partitions", "5"),
            ("default.replication.factor", "3"),
            ("default.retention.ms", "1000"),
            ("compacted.include", "state.*,k[0-9]+"),
            ("compacted.exclude", "state-x"),
            ("compacted.cleanup.policy", "compact"),
            ("small.include", ".*-x"),
            ("small.partitions", "1"),
            ("small.replication.factor", "-1"),
        ]);
        let creation = creation.expect("valid");
        let made = |topic: &str| {
            let spec = creation.of(topic).expect("a group");
            let settings: Vec<_> = spec.settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
            (spec.partitions, spec.replicas, settings.join(","))
        };
        assert_eq!(made("state-1"), (Some(5), Some(3), "cleanup.policy=compact".into()));
        assert_eq!(made("k17"), made("state-1"));
        assert_eq!(made("state-x"), (Some(1), None, String::new()), "excluded there, and taken by the next");
        assert_eq!(made("my-k17"), (Some(5), Some(3), "retention.ms=1000".into()), "expressions are of whole names");
        assert!(read(&[]).expect("nothing is set").of("t").is_none());
    }

    #[test]
    fn mistakes_are_named() {
        let errors = |keys: &[(&str, &str)]| read(keys).expect_err("a mistake");
        assert_eq!(
            errors(&[("groups", "a"), ("a.partitions", "0"), ("b.partitions", "1"), ("default.replication.factor", "1")]),
            [
                "topic.creation.b.partitions: is of no group; topic.creation.groups names the groups beside default",
                "topic.creation.default.partitions: is required, because keys of topic.creation are set",
                "topic.creation.a.partitions = '0': expected 1 or more, or -1 for what the brokers do by default",
                "topic.creation.a.include: is required, because keys of topic.creation are set",
            ]
        );
        let both = [("default.partitions", "1"), ("default.replication.factor", "1")];
        assert!(errors(&[&both[..], &[("groups", "default")]].concat())[0].contains("leave default out"));
        assert!(errors(&[&both[..], &[("groups", "a"), ("a.include", "(")]].concat())[0].contains("no regular expression"));
        assert!(errors(&[&both[..], &[("default.include", "x")]].concat())[0].contains("all topics"));
    }
}
