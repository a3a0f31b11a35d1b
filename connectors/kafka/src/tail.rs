//! Reading whole topics, outside of any group: what is there, and what comes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use lakefeed_core::{Error, ErrorKind, Result, TopicPartition};
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use crate::ClientSettings;
use crate::error::{of_code, wrap};
use crate::reading::reader_settings;

/// A record of a topic that is read whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// Where it stands.
    pub partition: TopicPartition,
    /// Its offset.
    pub offset: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value; `None`: a tombstone.
    pub value: Option<Vec<u8>>,
}

/// Reads partitions from given positions on, without end. Committed records only.
///
/// Memory: librdkafka keeps at most 64 KiB of each partition ahead of the reader, and one record more.
pub struct Tail {
    client: BaseConsumer<Context>,
}

struct Context;

impl ClientContext for Context {
    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition is none.
        if error.rdkafka_error_code() != Some(Code::PartitionEOF) {
            tracing::warn!(target: "lakefeed", error = %error, "Kafka client: {reason}");
        }
    }
}

impl ConsumerContext for Context {}

impl std::fmt::Debug for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tail")
    }
}

impl Tail {
    /// Will read each partition from an offset on; one that is not in the log any more means its start.
    ///
    /// # Errors
    /// `Config`: a setting is wrong.
    pub fn new(settings: &ClientSettings, from: &[(TopicPartition, i64)]) -> Result<Self> {
        // Records are few, and the broker answers as soon as there is one: no need to ask often.
        Self::open(&settings.clone().set("fetch.wait.max.ms", "500"), from)
    }

    fn open(settings: &ClientSettings, from: &[(TopicPartition, i64)]) -> Result<Self> {
        // librdkafka wants a group name even where no group is used.
        let settings = settings.clone().set("queued.max.messages.kbytes", "64").set("group.id", "lakefeed-tail");
        let settings = reader_settings(&settings).set("auto.offset.reset", "earliest");
        let failed = |e| wrap(format!("can't read from Kafka at {}", settings.bootstrap()), e);
        let client: BaseConsumer<Context> = settings.native().create_with_context(Context).map_err(failed)?;
        let mut list = TopicPartitionList::new();
        for (partition, offset) in from {
            list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(*offset)).map_err(failed)?;
        }
        client.assign(&list).map_err(failed)?;
        Ok(Self { client })
    }

    /// The next record, if one comes in time.
    ///
    /// # Errors
    /// `Config`: the topic may not be read. What passes is logged, and tried again by the client.
    pub fn next(&mut self, wait: Duration) -> Result<Option<LogRecord>> {
        match self.step(wait)? {
            Some(Step::Record(record)) => Ok(Some(record)),
            Some(Step::End(_)) | None => Ok(None),
        }
    }

    fn step(&self, wait: Duration) -> Result<Option<Step>> {
        let message = match self.client.poll(wait) {
            None => return Ok(None),
            Some(Err(KafkaError::PartitionEOF(partition))) => return Ok(Some(Step::End(partition))),
            Some(Err(error)) => {
                let code = error.rdkafka_error_code();
                if code.is_some_and(|code| of_code(code) == ErrorKind::Retry && code != Code::UnknownTopicOrPartition) {
                    tracing::debug!(target: "lakefeed", error = %error, "Kafka client");
                    return Ok(None);
                }
                return Err(wrap("a topic of the cluster can't be read", error));
            }
            Some(Ok(message)) => message,
        };
        Ok(Some(Step::Record(LogRecord {
            partition: TopicPartition::new(message.topic(), message.partition()),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
        })))
    }
}

enum Step {
    Record(LogRecord),
    End(i32),
}

/// Reads the partitions of one topic, numbered from 0, from these offsets up to where they end now: what is committed when it is called is handed
/// over.
///
/// # Errors
/// `Retry`: the end is not reached within `timeout`. Otherwise as for [`Tail::next`].
pub fn read_to_end(settings: &ClientSettings, topic: &str, from: &[i64], timeout: Duration, mut each: impl FnMut(LogRecord)) -> Result<()> {
    let partitions = || (0..).zip(from);
    let from: Vec<_> = partitions().map(|(p, offset)| (TopicPartition::new(topic, p), *offset)).collect();
    // A broker that has nothing to hand over says so after this wait.
    let settings = settings.clone().set("enable.partition.eof", "true").set("fetch.wait.max.ms", "5");
    let tail = Tail::open(&settings, &from)?;
    let mut open: BTreeSet<i32> = from.iter().map(|(partition, _)| partition.partition).collect();
    let deadline = Instant::now() + timeout;
    while !open.is_empty() {
        match tail.step(Duration::from_millis(100))? {
            Some(Step::Record(record)) => each(record),
            Some(Step::End(partition)) => drop(open.remove(&partition)),
            None => {}
        }
        if Instant::now() > deadline {
            return Err(Error::retry(format!(
                "the end of the topic {topic} was not reached within {} s (partitions {open:?}); check that its partitions have leaders",
                timeout.as_secs()
            )));
        }
    }
    Ok(())
}
