//! The offsets of a connector, shown and changed: those of its consumer group, or a source's own.
//!
//! Everything here blocks.

use std::time::Duration;

use lakefeed_core::{ErrorKind, PluginKind, Position, Result, TopicPartition, shorten};
use lakefeed_kafka::{GroupOffset, delete_group, group_offsets, set_group_offsets};
use serde_json::{Map, Value, json};

use crate::connector::Connector;
use crate::files::TargetState;
use crate::herder::Refusal;
use crate::worker::Worker;

/// How long the brokers have to answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A partition and how far it is read; both as Kafka Connect's REST interface shows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorOffset {
    /// `{"kafka_topic":..., "kafka_partition":...}`, or a source's own.
    pub partition: Value,
    /// `{"kafka_offset":...}`, or a source's own; `None` forgets it.
    pub offset: Option<Value>,
}

impl Worker {
    /// How far a connector has come, as far as it is committed.
    ///
    /// # Errors
    /// There is no such connector, or the brokers do not answer.
    pub fn offsets(&self, name: &str) -> Result<Vec<ConnectorOffset>, Refusal> {
        let connector = self.connector(name, false)?;
        if connector.plugin.kind() == PluginKind::Source {
            let parse = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
            let shown = |p: &Position| ConnectorOffset { partition: parse(&p.partition), offset: Some(parse(&p.offset)) };
            return Ok(self.herder.shared.offsets.list(name)?.iter().map(shown).collect());
        }
        let shown = |found: &GroupOffset| ConnectorOffset {
            partition: json!({"kafka_topic": &*found.partition.topic, "kafka_partition": found.partition.partition}),
            offset: Some(json!({"kafka_offset": found.offset})),
        };
        Ok(group_offsets(&connector.group_settings(&self.herder.shared.config), TIMEOUT)?.iter().map(shown).collect())
    }

    /// Sets or forgets offsets of a stopped connector, after its tasks have ended.
    ///
    /// # Errors
    /// The connector is not stopped, or the offsets are not of its kind.
    pub fn alter_offsets(&self, name: &str, changes: &[ConnectorOffset]) -> Result<(), Refusal> {
        let connector = self.connector(name, true)?;
        if connector.plugin.kind() == PluginKind::Source {
            return self.alter_source(&connector, changes);
        }
        let changes = changes.iter().map(of_group).collect::<Result<Vec<_>, _>>()?;
        let settings = connector.group_settings(&self.herder.shared.config);
        let (set, forget): (Vec<_>, Vec<_>) = changes.into_iter().partition(|(_, offset)| offset.is_some());
        if !forget.is_empty() {
            // librdkafka's wrapper can delete a group, but not one of its offsets: the others are committed again. A crash in between leaves
            // the group without offsets, which are read again from the start; the lake knows what it holds.
            let mut kept = group_offsets(&settings, TIMEOUT)?;
            kept.retain(|found| !forget.iter().any(|(partition, _)| *partition == found.partition));
            delete_group(&settings, TIMEOUT).map_err(not_now(name))?;
            set_group_offsets(&settings, &kept).map_err(not_now(name))?;
        }
        let set =
            set.into_iter().filter_map(|(partition, offset)| Some(GroupOffset { partition, offset: offset?, metadata: String::new() }));
        set_group_offsets(&settings, &set.collect::<Vec<_>>()).map_err(not_now(name))
    }

    /// Forgets all offsets of a stopped connector, after its tasks have ended.
    ///
    /// # Errors
    /// The connector is not stopped.
    pub fn reset_offsets(&self, name: &str) -> Result<(), Refusal> {
        let connector = self.connector(name, true)?;
        if connector.plugin.kind() == PluginKind::Source {
            return Ok(self.herder.shared.offsets.replace(name, connector.tasks(), Vec::new())?);
        }
        delete_group(&connector.group_settings(&self.herder.shared.config), TIMEOUT).map_err(not_now(name))
    }

    fn alter_source(&self, connector: &Connector, changes: &[ConnectorOffset]) -> Result<(), Refusal> {
        let mut positions = self.herder.shared.offsets.list(&connector.name)?;
        for change in changes {
            let object = |value: &Value| value.as_object().is_some_and(|o| !o.is_empty());
            if !object(&change.partition) || change.offset.as_ref().is_some_and(|o| !object(o)) {
                return Err(Refusal::Wrong("The partition and the offset of a source connector must be JSON objects with keys".into()));
            }
            // The same object may be written in another order: what is there keeps its text, which the source looks for.
            let same = |p: &Position| serde_json::from_str::<Value>(&p.partition).is_ok_and(|known| known == change.partition);
            let known = positions.iter().position(same);
            match (&change.offset, known) {
                (Some(offset), Some(i)) => positions[i].offset = offset.to_string(),
                (Some(offset), None) => positions.push(Position { partition: change.partition.to_string(), offset: offset.to_string() }),
                (None, Some(i)) => drop(positions.remove(i)),
                (None, None) => {}
            }
        }
        Ok(self.herder.shared.offsets.replace(&connector.name, connector.tasks(), positions)?)
    }

    /// A connector by name; `stopped`: it must be, and its tasks have ended when this returns.
    fn connector(&self, name: &str, stopped: bool) -> Result<Connector, Refusal> {
        if let Some(cluster) = self.cluster.as_ref().filter(|_| stopped) {
            // Another worker may have been told to stop it just now.
            cluster.catch_up()?;
        }
        let (connector, tasks) = {
            let herd = self.herder.herd();
            if let Some(unreadable) = herd.unreadable.get(name) {
                return Err(Refusal::Wrong(unreadable.trouble.clone()));
            }
            let entry = herd.connectors.get(name).ok_or(Refusal::Unknown)?;
            if stopped && entry.target != TargetState::Stopped {
                return Err(Refusal::Wrong(format!(
                    "Connectors must be in the STOPPED state before their offsets can be modified. This can be done for the specified \
                     connector by issuing a 'PUT' request to the '/connectors/{name}/stop' endpoint"
                )));
            }
            (entry.connector.clone(), if stopped { herd.predecessors(name) } else { Vec::new() })
        };
        for task in &tasks {
            task.wait();
        }
        if let Some(cluster) = self.cluster.as_ref().filter(|_| stopped) {
            cluster.wait_until_stopped(name)?;
        }
        Ok(connector)
    }
}

/// A change of a consumer group's offset, in the words of Kafka Connect's errors.
fn of_group(change: &ConnectorOffset) -> Result<(TopicPartition, Option<i64>), Refusal> {
    let wrong = |text: &str| Refusal::Wrong(text.to_owned());
    let missing = "The partition for a sink connector offset cannot be null or missing";
    let partition = change.partition.as_object().ok_or_else(|| wrong(missing))?;
    let (Some(topic), Some(number)) = (partition.get("kafka_topic"), partition.get("kafka_partition")) else {
        return Err(wrong("The partition for a sink connector offset must contain the keys 'kafka_topic' and 'kafka_partition'"));
    };
    let topic =
        topic.as_str().filter(|t| !t.is_empty()).ok_or_else(|| wrong("Kafka topic names must be valid strings and may not be null"))?;
    let number = whole("partition", number)?.and_then(|n| i32::try_from(n).ok()).filter(|n| *n >= 0);
    let number = number.ok_or_else(|| wrong("Kafka partitions must be valid numbers and may not be null"))?;
    let offset = |object: &Map<String, Value>| match object.get("kafka_offset") {
        None => Err(wrong("The offset for a sink connector should either be null or contain the key 'kafka_offset'")),
        Some(offset) => {
            whole("offset", offset)?.filter(|n| *n >= 0).ok_or_else(|| wrong("Kafka offsets must be valid numbers and may not be null"))
        }
    };
    let offset = match &change.offset {
        None => None,
        Some(Value::Object(object)) => Some(offset(object)?),
        Some(_) => return Err(wrong("The offset for a sink connector should either be null or contain the key 'kafka_offset'")),
    };
    Ok((TopicPartition::new(topic, number), offset))
}

/// A number, or a text that is one; `what` it is.
fn whole(what: &str, value: &Value) -> Result<Option<i64>, Refusal> {
    let Some(text) = value.as_str() else { return Ok(value.as_i64()) };
    text.parse().map(Some).map_err(|_| {
        let (name, shown) = (what[..1].to_uppercase() + &what[1..], shorten(text.as_bytes()));
        Refusal::Wrong(format!(
            "Failed to parse the following Kafka {what} value in the provided offsets: '{shown}'. {name} values for sink connectors need to be integers."
        ))
    })
}

fn not_now(name: &str) -> impl Fn(lakefeed_core::Error) -> Refusal {
    move |error| match error.kind() {
        ErrorKind::Config => Refusal::Wrong(format!("Failed to alter consumer group offsets for connector {name}: {}", error.chain())),
        _ => Refusal::Failed(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<(TopicPartition, Option<i64>), String> {
        let value: Value = serde_json::from_str(text).expect("JSON");
        let offset = value.get("offset").filter(|o| !o.is_null()).cloned();
        let change = ConnectorOffset { partition: value.get("partition").cloned().unwrap_or_default(), offset };
        of_group(&change).map_err(|refusal| match refusal {
            Refusal::Wrong(text) => text,
            other => format!("{other:?}"),
        })
    }

    #[test]
    fn numbers_come_as_numbers_or_as_texts() {
        let partition = TopicPartition::new("t", 3);
        let text = r#"{"partition":{"kafka_topic":"t","kafka_partition":3},"offset":{"kafka_offset":"17"}}"#;
        assert_eq!(parsed(text), Ok((partition.clone(), Some(17))));
        assert_eq!(parsed(r#"{"partition":{"kafka_topic":"t","kafka_partition":"3"},"offset":null}"#), Ok((partition, None)));
    }

    #[test]
    fn what_is_no_offset_is_refused_in_the_words_of_kafka_connect() {
        for (text, said) in [
            ("{}", "cannot be null or missing"),
            (r#"{"partition":{}}"#, "must contain the keys 'kafka_topic' and 'kafka_partition'"),
            (r#"{"partition":{"kafka_topic":null,"kafka_partition":1}}"#, "topic names must be valid strings"),
            (
                r#"{"partition":{"kafka_topic":"t","kafka_partition":"x"}}"#,
                "Kafka partition value in the provided offsets: 'x'. Partition values",
            ),
            (r#"{"partition":{"kafka_topic":"t","kafka_partition":-1}}"#, "partitions must be valid numbers"),
            (r#"{"partition":{"kafka_topic":"t","kafka_partition":1},"offset":{}}"#, "contain the key 'kafka_offset'"),
            (r#"{"partition":{"kafka_topic":"t","kafka_partition":1},"offset":{"kafka_offset":-5}}"#, "offsets must be valid numbers"),
        ] {
            let error = parsed(text).expect_err("refused");
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
