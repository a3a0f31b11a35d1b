//! The records of the three topics of a cluster, as Apache Kafka Connect 4 writes them: keys and JSON values.

use std::collections::BTreeMap;

use lakefeed_core::Position;
use serde_json::{Map, Value, json};

use crate::files::TargetState;
use crate::herder::Restart;
use crate::stats::TaskState;

/// A key and its value; `None` removes it.
pub(crate) type Pair = (String, Option<String>);

const CONNECTOR: &str = "connector-";
const TARGET: &str = "target-state-";
const RESTART: &str = "restart-connector-";
const LEVEL: &str = "logger-cluster-";

/// A record of the config topic.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The configuration of a connector; `None`: it is deleted. The error says what is wrong with the record.
    Connector(String, Result<Option<BTreeMap<String, String>>, String>),
    /// What a connector is to do; `None`: run.
    Target(String, Option<TargetState>),
    /// Tasks are to start over.
    Restart(String, Restart),
    /// A part of every worker's log has another level.
    Level(String, String),
}

/// Reads a record of the config topic; `None`: one that says nothing to a worker of this kind, such as Kafka Connect's task configurations.
pub(crate) fn read_change(key: &str, value: Option<&[u8]>) -> Result<Option<Change>, String> {
    if let Some(name) = key.strip_prefix(CONNECTOR) {
        return Ok(Some(Change::Connector(name.to_owned(), value.map(properties).transpose())));
    }
    if let Some(name) = key.strip_prefix(TARGET) {
        return Ok(Some(Change::Target(name.to_owned(), value.map(target).transpose()?)));
    }
    if let (Some(part), Some(value)) = (key.strip_prefix(LEVEL), value) {
        let value = object(value)?;
        let level = value.get("level").and_then(Value::as_str).ok_or("the value has no text \"level\"")?;
        return Ok(Some(Change::Level(part.to_owned(), level.to_owned())));
    }
    match (key.strip_prefix(RESTART), value) {
        (Some(name), Some(value)) => Ok(Some(Change::Restart(name.to_owned(), restart(value)?))),
        _ => Ok(None),
    }
}

fn object(value: &[u8]) -> Result<Map<String, Value>, String> {
    serde_json::from_slice(value).map_err(|error| format!("the value is no JSON object: {error}"))
}

fn properties(value: &[u8]) -> Result<BTreeMap<String, String>, String> {
    let mut value = object(value)?;
    let Some(Value::Object(properties)) = value.remove("properties") else {
        return Err("the value has no object \"properties\"".into());
    };
    let text = |(key, value)| match value {
        Value::String(text) => Ok((key, text)),
        _ => Err(format!("the value of \"{key}\" is no text")),
    };
    properties.into_iter().map(text).collect()
}

/// Kafka Connect writes STOPPED beside a PAUSED for workers that do not know it.
fn target(value: &[u8]) -> Result<TargetState, String> {
    let value = object(value)?;
    let state = value.get("state.v2").or_else(|| value.get("state")).and_then(Value::as_str);
    TargetState::parse(state.ok_or("the value has no text \"state\"")?)
}

fn restart(value: &[u8]) -> Result<Restart, String> {
    let value = object(value)?;
    let says = |key: &str| value.get(key).and_then(Value::as_bool).unwrap_or(false);
    match value.get("task").and_then(Value::as_u64).and_then(|task| u32::try_from(task).ok()) {
        Some(task) => Ok(Restart::One(task)),
        None if says("only-failed") => Ok(Restart::Failed),
        None => Ok(Restart::All),
    }
}

/// The configuration of a connector.
pub(crate) fn connector_record(name: &str, config: Option<&BTreeMap<String, String>>) -> Pair {
    (format!("{CONNECTOR}{name}"), config.map(|config| json!({"properties": config}).to_string()))
}

/// What a connector is to do.
pub(crate) fn target_record(name: &str, target: Option<TargetState>) -> Pair {
    let value = |target: TargetState| {
        let old = if target == TargetState::Stopped { TargetState::Paused } else { target };
        json!({"state": old.name(), "state.v2": target.name()}).to_string()
    };
    (format!("{TARGET}{name}"), target.map(value))
}

/// Tasks that are to start over. `task` is not Kafka Connect's: its workers call each other for that.
pub(crate) fn restart_record(name: &str, which: Restart) -> Pair {
    let mut value = json!({"include-tasks": true, "only-failed": which == Restart::Failed});
    if let Restart::One(task) = which {
        value["task"] = task.into();
    }
    (format!("{RESTART}{name}"), Some(value.to_string()))
}

/// The level of a part of every worker's log.
pub(crate) fn level_record(part: &str, level: &str) -> Pair {
    (format!("{LEVEL}{part}"), Some(json!({"level": level}).to_string()))
}

/// The key of a record of the status topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum StatusKey {
    /// The state of a connector.
    Connector(String),
    /// The state of one of its tasks.
    Task(String, u32),
    /// A topic that it uses.
    Topic(String, String),
}

impl StatusKey {
    pub(crate) fn parse(key: &str) -> Option<Self> {
        if let Some(name) = key.strip_prefix("status-connector-") {
            return Some(Self::Connector(name.to_owned()));
        }
        if let Some(task) = key.strip_prefix("status-task-") {
            let (name, number) = task.rsplit_once('-')?;
            return Some(Self::Task(name.to_owned(), number.parse().ok()?));
        }
        // A topic has no colon in its name.
        let (topic, name) = key.strip_prefix("status-topic-")?.split_once(":connector-")?;
        Some(Self::Topic(name.to_owned(), topic.to_owned()))
    }

    /// The connector, and the task by which its owner is found.
    pub(crate) fn place(&self) -> (&str, u32) {
        match self {
            Self::Connector(name) | Self::Topic(name, _) => (name, 0),
            Self::Task(name, task) => (name, *task),
        }
    }

    pub(crate) fn task(&self) -> Option<u32> {
        if let Self::Task(_, task) = self { Some(*task) } else { None }
    }

    pub(crate) fn topic_of(&self, connector: &str) -> Option<&str> {
        if let Self::Topic(name, topic) = self { (name == connector).then_some(topic) } else { None }
    }

    pub(crate) fn text(&self) -> String {
        match self {
            Self::Connector(name) => format!("status-connector-{name}"),
            Self::Task(name, task) => format!("status-task-{name}-{task}"),
            Self::Topic(name, topic) => format!("status-topic-{topic}:connector-{name}"),
        }
    }

    /// Its record; without a status it is removed.
    pub(crate) fn record(&self, status: Option<&Status>) -> Pair {
        let value = |status: &Status| match self {
            Self::Connector(_) | Self::Task(..) => status.json(),
            Self::Topic(name, topic) => json!({"topic": {"name": topic, "connector": name}}).to_string(),
        };
        (self.text(), status.map(value))
    }

    /// Reads the value of its record. The key of a topic says all that there is to say: its status is empty.
    pub(crate) fn read(&self, value: &[u8]) -> Status {
        match self {
            Self::Connector(_) | Self::Task(..) => Status::parse(&String::from_utf8_lossy(value)),
            Self::Topic(..) => Status::default(),
        }
    }
}

/// What a connector or a task does, as its owner told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// As Kafka Connect names it.
    pub(crate) state: String,
    /// Why it has failed, or waits.
    pub(crate) trace: Option<String>,
    /// Host and port of the owner.
    pub(crate) worker_id: String,
    /// The offset of the configuration that it has.
    pub(crate) generation: i64,
}

impl Status {
    fn json(&self) -> String {
        json!({"state": self.state, "trace": self.trace, "worker_id": self.worker_id, "generation": self.generation}).to_string()
    }

    /// Reads a value; one of others that says less is taken for what it says.
    fn parse(value: &str) -> Self {
        let value: Value = serde_json::from_str(value).unwrap_or_default();
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        Self {
            state: text("state").unwrap_or_default(),
            trace: text("trace"),
            worker_id: text("worker_id").unwrap_or_default(),
            generation: value.get("generation").and_then(Value::as_i64).unwrap_or(-1),
        }
    }

    /// Whether somebody is, or may be, at work.
    pub(crate) fn is_at_work(&self) -> bool {
        [TaskState::Running, TaskState::Paused, TaskState::Restarting].iter().any(|state| state.name() == self.state)
    }
}

/// How far a source has come in one of its partitions.
pub(crate) fn offset_record(connector: &str, partition: &str, offset: Option<&str>) -> Pair {
    // Both are JSON already.
    (format!("[{},{partition}]", Value::from(connector)), offset.map(str::to_owned))
}

/// Reads a record of the offset topic: connector, partition and offset; none: it is forgotten.
pub(crate) fn read_offset(key: &str, value: Option<&[u8]>) -> Result<(String, String, Option<String>), String> {
    let (connector, partition): (String, Value) =
        serde_json::from_str(key).map_err(|error| format!("the key is no list of connector and partition: {error}"))?;
    let offset = value.map(|value| object(value).map(|offset| Value::Object(offset).to_string())).transpose()?;
    Ok((connector, partition.to_string(), offset))
}

/// The records that turn positions of a connector into others.
pub(crate) fn changed_offsets(connector: &str, before: &[Position], after: &[Position]) -> Vec<Pair> {
    let gone = before.iter().filter(|old| !after.iter().any(|new| new.partition == old.partition));
    let forgotten = gone.map(|old| offset_record(connector, &old.partition, None));
    let set = after.iter().filter(|new| !before.contains(new));
    forgotten.chain(set.map(|new| offset_record(connector, &new.partition, Some(&new.offset)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pair: &Pair) -> Option<Change> {
        read_change(&pair.0, pair.1.as_deref().map(str::as_bytes)).expect("readable")
    }

    #[test]
    fn what_is_written_is_read() {
        let config: BTreeMap<_, _> = [("name", "a-b"), ("k", "ü\n")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        assert_eq!(read(&connector_record("a-b", Some(&config))), Some(Change::Connector("a-b".into(), Ok(Some(config)))));
        assert_eq!(read(&connector_record("a", None)), Some(Change::Connector("a".into(), Ok(None))));
        for target in [TargetState::Running, TargetState::Paused, TargetState::Stopped] {
            assert_eq!(read(&target_record("a", Some(target))), Some(Change::Target("a".into(), Some(target))));
        }
        for which in [Restart::All, Restart::Failed, Restart::One(7)] {
            assert_eq!(read(&restart_record("a", which)), Some(Change::Restart("a".into(), which)));
        }
        assert_eq!(read(&level_record("a.b", "DEBUG")), Some(Change::Level("a.b".into(), "DEBUG".into())));
        for key in
            [StatusKey::Connector("a-1".into()), StatusKey::Task("a-1".into(), 2), StatusKey::Topic("a:connector-b".into(), "t".into())]
        {
            assert_eq!(StatusKey::parse(&key.text()), Some(key));
        }
        let status = Status { state: "FAILED".into(), trace: Some("why".into()), worker_id: "h:1".into(), generation: 5 };
        assert_eq!(Status::parse(&status.json()), status);
        let (key, value) = offset_record("a\"b", r#"{"fileName":"x"}"#, Some(r#"{"offset":3}"#));
        let read = read_offset(&key, value.as_deref().map(str::as_bytes)).expect("readable");
        assert_eq!(read, ("a\"b".into(), r#"{"fileName":"x"}"#.into(), Some(r#"{"offset":3}"#.into())));
    }

    /// As Apache Kafka Connect 4 writes them (KafkaConfigBackingStore, KafkaStatusBackingStore).
    #[test]
    fn records_of_kafka_connect_are_understood() {
        let change = |key: &str, value: &str| read_change(key, Some(value.as_bytes()));
        let config = change("connector-c", r#"{"properties":{"name":"c","tasks.max":"1"}}"#).expect("readable");
        assert!(matches!(config, Some(Change::Connector(name, Ok(Some(config)))) if name == "c" && config["tasks.max"] == "1"));
        assert_eq!(change("target-state-c", r#"{"state":"PAUSED"}"#), Ok(Some(Change::Target("c".into(), Some(TargetState::Paused)))));
        let stopped = change("target-state-c", r#"{"state":"PAUSED","state.v2":"STOPPED"}"#);
        assert_eq!(stopped, Ok(Some(Change::Target("c".into(), Some(TargetState::Stopped)))));
        let level = change("logger-cluster-org.apache", r#"{"level":"ERROR"}"#);
        assert_eq!(level, Ok(Some(Change::Level("org.apache".into(), "ERROR".into()))));
        for other in ["task-c-0", "commit-c", "session-key", "tasks-fencing-c"] {
            assert_eq!(change(other, "{}"), Ok(None), "{other}");
        }
        let status = Status::parse(r#"{"state":"RUNNING","trace":null,"worker_id":"a:8083","generation":12,"version":"4.1"}"#);
        assert_eq!((status.state.as_str(), status.trace.as_deref(), status.generation), ("RUNNING", None, 12));
    }

    #[test]
    fn what_can_not_be_read_is_told() {
        for value in ["", "[", "[]", r#"{"properties":[]}"#, r#"{"properties":{"a":1}}"#] {
            let change = read_change("connector-c", Some(value.as_bytes()));
            assert!(matches!(&change, Ok(Some(Change::Connector(name, Err(_)))) if name == "c"), "{value}: {change:?}");
        }
        assert!(read_change("target-state-c", Some(b"{}")).is_err());
        assert!(read_change("restart-connector-c", Some(b"no")).is_err());
        assert!(read_change("logger-cluster-root", Some(b"{}")).is_err());
        assert!(read_offset("{}", None).is_err());
    }

    #[test]
    fn a_change_of_offsets_forgets_what_is_gone() {
        let position = |partition: &str, offset: &str| Position { partition: partition.into(), offset: offset.into() };
        let changed =
            changed_offsets("c", &[position("1", "a"), position("2", "b"), position("3", "c")], &[position("2", "x"), position("3", "c")]);
        assert_eq!(changed, [("[\"c\",1]".to_owned(), None), ("[\"c\",2]".to_owned(), Some("x".to_owned()))]);
    }
}
