//! Rows that can't be used, below `error.output.prefix`: JSON lines with the fields that Firehose writes.
//!
//! Exactly once as long as the same rows are refused when they are read again. An object covers the refused rows of one Kafka partition and one
//! kind, from its name's offset to the last offset that its label tells. Objects end where an offset was about to be committed, so that
//! after a crash the first refused row is again the first of an object; one that is there already says which rows need not be written.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use lakefeed_core::{Clock, DeadLetter, Error, ErrorKind, RejectStore, Result, Stage, TopicPartition};
use lakefeed_layout::KeyLayout;
use lakefeed_store::{Put, Store};
use serde_json::{Value, json};

use crate::prefix::ErrorPrefix;

const LAST: &str = "lakefeed-last-offset";

/// Rows are written before a commit asks for it once they take this many bytes.
const WAITING_BYTES: usize = 4 << 20;

/// How long to wait after the store could not be reached, before it is tried without being asked to.
const PAUSE: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(crate) struct ErrorOutput {
    prefix: ErrorPrefix,
    layout: KeyLayout,
    store: Store,
    clock: Arc<dyn Clock>,
    chains: HashMap<(TopicPartition, &'static str), Chain>,
    bytes: usize,
    failed: Option<Instant>,
}

/// The refused rows of one partition and kind, by offset.
#[derive(Debug, Default)]
struct Chain {
    waiting: BTreeMap<i64, Row>,
    /// Rows up to here are in the store.
    through: Option<i64>,
}

#[derive(Debug)]
struct Row {
    timestamp_ms: i64,
    line: String,
}

impl ErrorOutput {
    pub(crate) fn new(prefix: ErrorPrefix, layout: &KeyLayout, store: Store, clock: Arc<dyn Clock>) -> Self {
        let layout = KeyLayout { whole_prefix: true, ..layout.clone() };
        Self { prefix, layout, store, clock, chains: HashMap::new(), bytes: 0, failed: None }
    }

    /// The bytes of rows that wait; the caller counts them in the memory budget.
    pub(crate) fn held_bytes(&self) -> usize {
        self.bytes
    }

    /// Writes early what takes much memory, if it lies below the durable offsets.
    pub(crate) fn relieve(&mut self, durable: impl FnOnce() -> Vec<(TopicPartition, i64)>) -> Result<()> {
        if self.bytes < WAITING_BYTES || self.failed.is_some_and(|at| at.elapsed() < PAUSE) {
            return Ok(());
        }
        match self.flush(&durable()) {
            Err(error) if error.kind() == ErrorKind::Retry => {
                tracing::warn!(target: "lakefeed", error = %error.chain(), "Rows that can't be used wait for the store");
                self.failed = Some(Instant::now());
                Ok(())
            }
            other => other,
        }
    }

    /// Forgets rows of partitions that go elsewhere: whoever gets them reads them again.
    pub(crate) fn forget(&mut self, partitions: &[TopicPartition]) {
        self.chains.retain(|(partition, _), _| !partitions.contains(partition));
        self.bytes = self.chains.values().flat_map(|chain| chain.waiting.values()).map(Row::bytes).sum();
    }

    /// Writes the rows of a chain below an offset, in one object unless another incarnation has written some of them.
    fn write(&mut self, place: &(TopicPartition, &'static str), below: i64) -> Result<()> {
        let Some(chain) = self.chains.get_mut(place) else { return Ok(()) };
        while let Some((first, row)) = chain.waiting.first_key_value().filter(|(first, _)| **first < below) {
            let prefix = self.prefix.of(place.1, row.timestamp_ms);
            let key = self.layout.key(&self.layout.stem(&place.0.topic, &prefix), place.0.partition, *first, ".jsonl");
            let last = chain.waiting.range(..below).next_back().map_or(*first, |(last, _)| *last);
            let body: String = chain.waiting.range(..=last).map(|(_, row)| row.line.as_str()).collect();
            let through = put(&self.store, &key, body, last)?;
            if through < *first {
                return Err(Error::fatal(format!("{} is no error output of this topic; move it away", self.store.url(&key))));
            }
            let rest = chain.waiting.split_off(&(through.saturating_add(1)));
            let written = std::mem::replace(&mut chain.waiting, rest);
            self.bytes -= written.values().map(Row::bytes).sum::<usize>();
            chain.through = chain.through.max(Some(through));
        }
        Ok(())
    }
}

impl Row {
    fn bytes(&self) -> usize {
        self.line.len() + size_of::<Self>()
    }
}

impl RejectStore for ErrorOutput {
    fn add(&mut self, letter: &DeadLetter<'_>) {
        let (kind, code) = firehose_error(letter.stage);
        let chain = self.chains.entry((letter.partition.clone(), kind)).or_default();
        if chain.through.is_some_and(|through| letter.offset <= through) {
            return;
        }
        let row = Row { timestamp_ms: letter.timestamp_ms, line: line(letter, code, self.clock.now_ms()) };
        self.bytes += row.bytes();
        if let Some(before) = chain.waiting.insert(letter.offset, row) {
            self.bytes -= before.bytes();
        }
    }

    fn flush(&mut self, offsets: &[(TopicPartition, i64)]) -> Result<()> {
        for (partition, offset) in offsets {
            let places: Vec<_> = self.chains.keys().filter(|(p, _)| p == partition).cloned().collect();
            places.iter().try_for_each(|place| self.write(place, *offset))?;
        }
        Ok(())
    }
}

/// Creates an object unless it is there; returns the last offset of what is there then.
fn put(store: &Store, key: &str, body: String, last: i64) -> Result<i64> {
    let runtime = tokio::runtime::Handle::current();
    match runtime.block_on(store.put_if_absent(key, vec![Bytes::from(body)], &[(LAST, last.to_string())]))? {
        Put::Created => Ok(last),
        Put::Exists => {
            let there = runtime.block_on(last_line(store, key))?;
            there.ok_or_else(|| Error::fatal(format!("{} is there, but is no error output; move it away", store.url(key))))
        }
    }
}

/// The offset in the last line of an object: a directory keeps no metadata.
async fn last_line(store: &Store, key: &str) -> Result<Option<i64>> {
    if let Some(last) = store.head(key).await?.and_then(|meta| meta.metadata.get(LAST)?.parse().ok()) {
        return Ok(Some(last));
    }
    let body = store.get(key).await?;
    let line = body.trim_ascii_end().rsplit(|b| *b == b'\n').next().unwrap_or_default();
    Ok(serde_json::from_slice::<Value>(line).ok().and_then(|row| row["offset"].as_i64()))
}

/// Firehose's words for a stage, which of its steps would have failed: the type of the error output, and the code.
fn firehose_error(stage: Stage) -> (&'static str, &'static str) {
    match stage {
        Stage::Transformation => ("processing-failed", "Lambda.ProcessingFailedStatus"),
        Stage::TaskPut => ("metadata-extraction-failed", "DynamicPartitioning.MetadataExtractionFailed"),
        _ => ("format-conversion-failed", "DataFormatConversion.MalformedData"),
    }
}

/// Firehose's record of a row that failed, and where it comes from.
fn line(letter: &DeadLetter<'_>, code: &str, now_ms: i64) -> String {
    let base64 = |bytes: Option<&[u8]>| bytes.map(|bytes| BASE64_STANDARD.encode(bytes));
    let row = json!({
        "attemptsMade": 1,
        "arrivalTimestamp": letter.timestamp_ms,
        "errorCode": code,
        "errorMessage": letter.message,
        "attemptEndingTimestamp": now_ms,
        "rawData": base64(letter.value),
        "key": base64(letter.key),
        "topic": &*letter.partition.topic,
        "partition": letter.partition.partition,
        "offset": letter.offset,
        "field": letter.field,
    });
    format!("{row}\n")
}
