//! Rows that can't be used.

use std::sync::Arc;
use std::time::Duration;

use lakefeed_core::{DeadLetter, Error, Records, RejectStore, Rejected, Result, SourceReject, Stage, TopicPartition};
use lakefeed_kafka::{Message, Producer, TopicSpec, ensure_topic};

use crate::outgoing::Refused;
use crate::task::TaskEnv;

const TOPIC_TIMEOUT: Duration = Duration::from_secs(30);

/// Takes rows to the dead letter topic, or ends the task, as `errors.*` say.
///
/// A dead letter keeps the original key, value, headers and timestamp; headers `__connect.errors.*` say where it comes from and why (KIP-298).
#[derive(Debug)]
pub(crate) struct DeadLetters {
    producer: Option<Producer>,
    topic: String,
    tolerate: bool,
    headers: bool,
    log: bool,
    /// Whether the log has the records' timestamps.
    log_messages: bool,
    /// Rows since the last [`DeadLetters::flush`], and the first of them for the log.
    pending: usize,
    first: Option<String>,
}

impl DeadLetters {
    pub(crate) fn open(env: &TaskEnv) -> Result<Self> {
        let config = &env.connector.config;
        let topic = config.text("errors.deadletterqueue.topic.name").to_owned();
        let producer = if topic.is_empty() {
            None
        } else {
            if env.worker.creates_topics() {
                let replicas = config.int("errors.deadletterqueue.topic.replication.factor").and_then(|n| i32::try_from(n).ok());
                ensure_topic(&env.admin_settings(), &topic, &TopicSpec { replicas, ..TopicSpec::with_partitions(Some(1)) }, TOPIC_TIMEOUT)?;
            }
            Some(Producer::new(&env.producer_settings().or("queue.buffering.max.kbytes", "4096"))?)
        };
        Ok(Self {
            producer,
            topic,
            tolerate: config.text("errors.tolerance") == "all",
            headers: config.bool("errors.deadletterqueue.context.headers.enable"),
            log: config.bool("errors.log.enable"),
            log_messages: config.bool("errors.log.include.messages"),
            pending: 0,
            first: None,
        })
    }

    /// A record that can't be used. It goes to the sink's own place if there is one, else to the topic.
    ///
    /// # Errors
    /// `Fatal` with `errors.tolerance=none`; the message says which record and why.
    pub(crate) fn record(
        &mut self, env: &TaskEnv, records: &Records, rejected: &Rejected, own: Option<&mut dyn RejectStore>,
    ) -> Result<()> {
        let (row, offset) = (rejected.row, records.offsets[rejected.row]);
        let field = rejected.field.as_ref().map(|f| format!(", field {f}")).unwrap_or_default();
        let what = format!("topic {}, partition {}, offset {offset}{field}: {}", records.topic, records.partition, rejected.message);
        self.note(env, &what, Some(records.timestamps[row]))?;
        if let Some(own) = own {
            own.add(&DeadLetter {
                partition: &TopicPartition { topic: Arc::clone(&records.topic), partition: records.partition },
                offset,
                timestamp_ms: records.timestamps[row],
                stage: rejected.stage,
                field: rejected.field.as_deref(),
                message: &what,
                key: records.key(row),
                value: records.value(row),
            });
            return Ok(());
        }
        let Some(producer) = &self.producer else { return Ok(()) };
        let (partition, offset, task) = (records.partition.to_string(), offset.to_string(), env.context.task.to_string());
        let mut headers: Vec<(&str, Option<&[u8]>)> = records.headers.as_ref().map(|h| h.of(row).collect()).unwrap_or_default();
        if self.headers {
            let place = [
                ("__connect.errors.topic", &*records.topic),
                ("__connect.errors.partition", &partition),
                ("__connect.errors.offset", &offset),
            ];
            headers.extend(place.map(|(name, text)| (name, Some(text.as_bytes()))));
            headers.extend(context(env, rejected.stage, &task, &what).map(|(name, text)| (name, Some(text.as_bytes()))));
        }
        let timestamp_ms = Some(records.timestamps[row]).filter(|t| *t >= 0);
        producer.send_message(&Message {
            topic: &self.topic,
            key: records.key(row),
            value: records.value(row),
            timestamp_ms,
            headers: &headers,
        })
    }

    /// A row of a source's input that can't be sent.
    ///
    /// # Errors
    /// `Fatal` with `errors.tolerance=none`; the message says which row and why.
    pub(crate) fn source_row(&mut self, env: &TaskEnv, reject: &SourceReject) -> Result<()> {
        let column = reject.column.as_ref().map(|c| format!(", column {c}")).unwrap_or_default();
        self.row(env, &format!("{}, line {}{column}: {}", reject.origin, reject.line, reject.message), Stage::TaskPoll, &reject.raw)
    }

    /// A row of a source that can't be transformed or converted. Where in the input it stood is not known any more.
    ///
    /// # Errors
    /// As [`DeadLetters::source_row`].
    pub(crate) fn outgoing_row(&mut self, env: &TaskEnv, refused: &Refused) -> Result<()> {
        let Refused { topic, rejected, raw } = refused;
        let field = rejected.field.as_ref().map(|f| format!(", field {f}")).unwrap_or_default();
        self.row(env, &format!("a row for topic {topic}{field}: {}", rejected.message), rejected.stage, raw)
    }

    fn row(&mut self, env: &TaskEnv, what: &str, stage: Stage, raw: &[u8]) -> Result<()> {
        self.note(env, what, None)?;
        let Some(producer) = &self.producer else { return Ok(()) };
        let task = env.context.task.to_string();
        let mut headers: Vec<(&str, Option<&[u8]>)> = Vec::new();
        if self.headers {
            headers.extend(context(env, stage, &task, what).map(|(name, text)| (name, Some(text.as_bytes()))));
        }
        producer.send_message(&Message { topic: &self.topic, key: None, value: Some(raw), timestamp_ms: None, headers: &headers })
    }

    fn note(&mut self, env: &TaskEnv, what: &str, timestamp_ms: Option<i64>) -> Result<()> {
        if !self.tolerate {
            return Err(Error::fatal(format!(
                "{what} (to go on past such rows set errors.tolerance=all and errors.deadletterqueue.topic.name)"
            )));
        }
        env.stats.rejected.add(1);
        if self.log {
            let timestamp_ms = timestamp_ms.filter(|_| self.log_messages);
            tracing::warn!(target: "lakefeed", connector = %env.connector.name, task = env.context.task, timestamp_ms, "A row can't be used: {what}");
        }
        self.pending += 1;
        self.first.get_or_insert_with(|| what.to_owned());
        Ok(())
    }

    /// Waits until all dead letters are acknowledged; only then may offsets past them be committed.
    ///
    /// # Errors
    /// The brokers did not take them. They may be gone from memory by then: only reading the records again brings them back.
    pub(crate) fn flush(&mut self, env: &TaskEnv) -> Result<()> {
        if self.pending == 0 {
            return Ok(());
        }
        if let Some(producer) = &self.producer {
            producer.flush(env.worker.flush_timeout())?;
        }
        if !self.log {
            let (count, first) = (self.pending, self.first.take().unwrap_or_default());
            let config = &env.connector.config;
            let kept = !self.topic.is_empty() || config.get("error.output.prefix").is_some();
            let went = if kept { "went to the dead letters" } else { "were dropped" };
            tracing::warn!(target: "lakefeed", connector = %env.connector.name, task = env.context.task, rows = count, topic = %self.topic, "Rows that can't be used {went}; the first: {first}");
        }
        (self.pending, self.first) = (0, None);
        Ok(())
    }
}

fn context<'a>(env: &'a TaskEnv, stage: Stage, task: &'a str, message: &'a str) -> [(&'static str, &'a str); 6] {
    [
        ("__connect.errors.connector.name", &env.connector.name),
        ("__connect.errors.task.id", task),
        ("__connect.errors.stage", stage.name()),
        ("__connect.errors.class.name", env.connector.plugin.class),
        ("__connect.errors.exception.class.name", "org.apache.kafka.connect.errors.DataException"),
        ("__connect.errors.exception.message", message),
    ]
}
