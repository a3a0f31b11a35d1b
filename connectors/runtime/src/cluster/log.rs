//! What the three topics of a cluster say, as far as this worker has read them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use lakefeed_core::{Error, Result, TopicPartition};
use lakefeed_kafka::{ClientSettings, LogRecord, Producer, ensure_compacted, read_to_end};

use crate::cluster::config::ClusterConfig;
use crate::cluster::records::{Pair, Status, StatusKey, read_offset};
use crate::files::TargetState;
use crate::worker_config::WorkerConfig;

/// How long the brokers have to answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// Configurations, target states, restarts. One partition: their order counts.
    Config,
    /// How far sources have come.
    Offset,
    /// What connectors and tasks do.
    Status,
}

impl Of {
    const ALL: [Self; 3] = [Self::Config, Self::Offset, Self::Status];
}

/// The topics, and what they say. Memory: what is in them, without the overwritten.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) config: ClusterConfig,
    /// How many partitions the offset topic has.
    pub(crate) places: i32,
    reader: ClientSettings,
    view: Mutex<View>,
    /// Something was applied.
    moved: Condvar,
}

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) targets: BTreeMap<String, TargetState>,
    pub(crate) statuses: BTreeMap<StatusKey, Status>,
    /// Per source connector a map from partition to offset, both JSON.
    pub(crate) offsets: BTreeMap<String, BTreeMap<String, String>>,
    /// For each topic and partition the offset of the first record that is not applied yet.
    positions: [Vec<i64>; 3],
    /// How many records of each topic were applied.
    applied: [u64; 3],
}

impl Log {
    /// Makes the topics unless they are there.
    ///
    /// # Errors
    /// `Config`: a topic is not fit for what it is for. `Retry`: the brokers do not answer.
    pub(crate) fn open(worker: &WorkerConfig, config: ClusterConfig) -> Result<Arc<Self>> {
        let admin = worker.admin();
        let mut positions = [const { Vec::new() }; 3];
        for (topic, positions) in config.topics.iter().zip(&mut positions) {
            let key = format!("{}.topic", topic.prefix);
            let count = ensure_compacted(&admin, &topic.name, topic.partitions, topic.replicas, TIMEOUT)
                .map_err(|e| Error::new(e.kind(), format!("{key} = '{}'", topic.name)).with_source(e))?;
            positions.resize(usize::try_from(count).unwrap_or_default(), 0);
        }
        let [configs, offsets, _] = &positions;
        if configs.len() != 1 {
            let (name, count) = (&config.topics[0].name, configs.len());
            return Err(Error::config(format!(
                "config.storage.topic = '{name}': the topic has {count} partitions, expected 1, because the order of changes counts; name another topic, or \
                 delete it if nothing in it is needed"
            )));
        }
        let places = i32::try_from(offsets.len()).unwrap_or(i32::MAX);
        let view = Mutex::new(View { positions, ..View::default() });
        Ok(Arc::new(Self { config, places, reader: worker.client_of("consumer"), view, moved: Condvar::new() }))
    }

    pub(crate) fn topic(&self, of: Of) -> &str {
        &self.config.topics[of as usize].name
    }

    pub(crate) fn view(&self) -> MutexGuard<'_, View> {
        // Poisoned it still holds whole entries: each change is one insert or removal.
        self.view.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The settings of a reader of the topics.
    pub(crate) fn reader(&self) -> &ClientSettings {
        &self.reader
    }

    /// Where reading goes on, for all partitions of all topics.
    pub(crate) fn positions(&self) -> Vec<(TopicPartition, i64)> {
        let view = self.view();
        let of = |of: Of| {
            let topic: Arc<str> = self.topic(of).into();
            (0..).zip(&view.positions[of as usize]).map(move |(p, offset)| (TopicPartition::new(Arc::clone(&topic), p), *offset))
        };
        Of::ALL.into_iter().flat_map(of).collect()
    }

    /// Which topic a record is of.
    pub(crate) fn of(&self, record: &LogRecord) -> Option<Of> {
        Of::ALL.into_iter().find(|of| self.topic(*of) == &*record.partition.topic)
    }

    /// Reads all topics to their ends, record by record.
    pub(crate) fn read_all(&self, mut each: impl FnMut(LogRecord)) -> Result<()> {
        Of::ALL.into_iter().try_for_each(|of| {
            let from = self.view().positions[of as usize].clone();
            read_to_end(&self.reader, self.topic(of), &from, TIMEOUT, &mut each)
        })
    }

    /// Waits until everything has been applied that a topic holds now.
    pub(crate) fn catch_up(&self, of: Of) -> Result<()> {
        let from = self.view().positions[of as usize].clone();
        let mut reached = from.clone();
        read_to_end(&self.reader, self.topic(of), &from, TIMEOUT, |record| {
            let slot = usize::try_from(record.partition.partition).ok().and_then(|p| reached.get_mut(p));
            if let Some(slot) = slot {
                *slot = record.offset + 1;
            }
        })?;
        self.wait_until(of, |view| view.positions[of as usize].iter().zip(&reached).all(|(applied, reached)| applied >= reached))
    }

    /// How many records of a topic were applied.
    pub(crate) fn count(&self, of: Of) -> u64 {
        self.view().applied[of as usize]
    }

    /// Waits until so many records of a topic were applied.
    pub(crate) fn wait_for(&self, of: Of, count: u64) -> Result<()> {
        self.wait_until(of, |view| view.applied[of as usize] >= count)
    }

    /// Waits until what was read so far is as it should be. What was committed can be read a little after the commit is answered: whoever reads to the end at
    /// once may miss it.
    pub(crate) fn wait_until(&self, of: Of, holds: impl Fn(&View) -> bool) -> Result<()> {
        let deadline = Instant::now() + TIMEOUT;
        let mut view = self.view();
        while !holds(&view) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::retry(format!("the topic {} can't be followed now; the worker's log says why", self.topic(of))));
            }
            view = self.moved.wait_timeout(view, left).map_or_else(|e| e.into_inner().0, |(view, _)| view);
        }
        Ok(())
    }

    /// A record has been applied.
    pub(crate) fn applied(&self, of: Of, record: &LogRecord) {
        let mut view = self.view();
        let slot = usize::try_from(record.partition.partition).ok().and_then(|p| view.positions[of as usize].get_mut(p));
        if let Some(slot) = slot {
            *slot = record.offset + 1;
        }
        view.applied[of as usize] += 1;
        drop(view);
        self.moved.notify_all();
    }

    /// Takes a record of the offset topic.
    pub(crate) fn take_offset(&self, key: &str, value: Option<&[u8]>) -> Result<(), String> {
        let (connector, partition, offset) = read_offset(key, value)?;
        let mut view = self.view();
        let partitions = view.offsets.entry(connector).or_default();
        match offset {
            Some(offset) => drop(partitions.insert(partition, offset)),
            None => drop(partitions.remove(&partition)),
        }
        Ok(())
    }

    /// Takes a record of the status topic.
    pub(crate) fn take_status(&self, key: &str, value: Option<&[u8]>) -> Result<(), String> {
        let key = StatusKey::parse(key).ok_or("the key is none of a status")?;
        let mut view = self.view();
        match value {
            Some(value) => {
                let status = key.read(value);
                view.statuses.insert(key, status);
            }
            None => drop(view.statuses.remove(&key)),
        }
        Ok(())
    }

    /// What the owner of a connector or a task told last.
    pub(crate) fn status(&self, key: &StatusKey) -> Option<Status> {
        self.view().statuses.get(key).cloned()
    }

    /// The tasks of a connector that somebody told of.
    pub(crate) fn tasks(&self, connector: &str) -> Vec<(u32, Status)> {
        let key = |task| StatusKey::Task(connector.to_owned(), task);
        let view = self.view();
        let of = view.statuses.range(key(0)..=key(u32::MAX));
        of.filter_map(|(key, status)| Some((key.task()?, status.clone()))).collect()
    }

    /// The topics that a connector has used.
    pub(crate) fn topics(&self, connector: &str) -> BTreeSet<String> {
        let view = self.view();
        let of = view.statuses.range(StatusKey::Topic(connector.to_owned(), String::new())..);
        of.map_while(|(key, _)| key.topic_of(connector).map(str::to_owned)).collect()
    }

    /// Sends records to a topic; they are there when the producer is flushed, or its transaction committed.
    pub(crate) fn send(&self, producer: &Producer, of: Of, pairs: &[Pair]) -> Result<()> {
        let topic = self.topic(of);
        pairs.iter().try_for_each(|(key, value)| {
            let value = value.as_ref().map(String::as_bytes);
            let message = lakefeed_kafka::Message { topic, key: Some(key.as_bytes()), value, timestamp_ms: None, headers: &[] };
            producer.send_message(&message)
        })
    }

    /// Writes records to a topic, without a transaction, and reads up to them.
    pub(crate) fn put(&self, worker: &WorkerConfig, of: Of, pairs: &[Pair]) -> Result<()> {
        let producer = Producer::new(&worker.client_of("producer").set("linger.ms", "0"))?;
        self.send(&producer, of, pairs)?;
        producer.flush(worker.flush_timeout())?;
        self.catch_up(of)
    }
}

impl View {
    /// Whether the offset topic says what these records do.
    pub(crate) fn has_offsets(&self, pairs: &[Pair]) -> bool {
        pairs.iter().all(|(key, value)| {
            // Read as the topic's records are: so both texts are of one form.
            let read = read_offset(key, value.as_deref().map(str::as_bytes));
            read.is_ok_and(|(connector, partition, offset)| {
                self.offsets.get(&connector).and_then(|partitions| partitions.get(&partition)) == offset.as_ref()
            })
        })
    }
}
