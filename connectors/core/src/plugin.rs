//! The three kinds of plugin, and what the worker hands to them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{BinaryArray, ListArray, RecordBatch};
use arrow_buffer::ScalarBuffer;

use crate::{Budget, Clock, Config, ConfigDef, ConfigError, Output, Records, Rejected, Result, Stage, TaskMetrics};

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
}

impl TopicPartition {
    /// Names a partition.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// A partition that a task has been given, and the offset at which it starts to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The partition.
    pub partition: TopicPartition,
    /// The next offset to read.
    pub position: i64,
}

/// How far a source has come: what it read from, and where in it. Both are the JSON objects that Kafka Connect's REST interface shows
/// as `partition` and `offset`, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// What was read, for example `{"fileName":"motor.csv"}`.
    pub partition: String,
    /// How far, for example `{"offset":2000}`.
    pub offset: String,
}

/// The positions that were committed before this start.
pub trait SourceOffsets: Send + Sync {
    /// The offset of a source partition.
    fn get(&self, partition: &str) -> Option<String>;
}

/// What a source wants after a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polled {
    /// There may be more at once.
    More,
    /// Nothing for now: ask again after a short wait.
    Idle,
    /// Nothing will come any more: the task ends when everything is acknowledged.
    Done,
}

/// Reads the outside world and writes rows to topics.
pub trait Source: Send {
    /// Appends rows to `out` until it is full or nothing is there, and sets [`Output::position`] when it appended rows.
    ///
    /// # Errors
    /// `Retry`: the same call is made again after a back-off. Any other error ends the task. Bad rows are no error: they go to
    /// [`Output::source_rejects`].
    fn poll(&mut self, out: &mut Output) -> Result<Polled>;

    /// Every row up to `position` has been acknowledged by the broker (and the position is stored). Positions arrive in order;
    /// some may be left out.
    ///
    /// # Errors
    /// Ends the task.
    fn commit(&mut self, position: &Position) -> Result<()>;
}

/// Key and value bytes that a processor keeps from record to record, per input partition.
///
/// Changes become durable with the output of the records that made them, and come back after a restart.
pub trait State {
    /// Reads the value of a key into `value` (cleared first); false if there is none.
    ///
    /// # Errors
    /// The store can't be read.
    fn get(&mut self, key: &[u8], value: &mut Vec<u8>) -> Result<bool>;

    /// Sets the value of a key.
    fn put(&mut self, key: &[u8], value: &[u8]);

    /// Removes a key.
    fn delete(&mut self, key: &[u8]);
}

/// Makes rows out of records. No I/O of its own, no clock, no randomness: the same records and state give the same output.
pub trait Processor: Send {
    /// Processes all of `records`, in order. Rows that can't be used go to [`Output::rejected`].
    ///
    /// After a crash the worker calls this again for records whose output is already in the topic, to restore the state; it then
    /// throws `out` away.
    ///
    /// # Errors
    /// Ends the task.
    fn process(&mut self, records: &Records, state: &mut dyn State, out: &mut Output) -> Result<()>;

    /// The topics it writes to when it reads `input`; the worker creates them with the partitions of `input`.
    fn output_topics(&self, input: &str) -> Vec<String>;
}

/// Decoded rows of one topic-partition, in offset order.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The topic and partition.
    pub partition: TopicPartition,
    /// The columns.
    pub rows: RecordBatch,
    /// The offset of each row.
    pub offsets: ScalarBuffer<i64>,
    /// The record timestamp of each row, milliseconds since 1970-01-01 UTC, -1 where there is none.
    pub timestamps: ScalarBuffer<i64>,
    /// The record key of each row.
    pub keys: BinaryArray,
    /// The headers of each row, as [`crate::Headers::to_list`] has them; none: no row has some.
    pub headers: Option<ListArray>,
    /// The offsets of tombstones (records without a value). They are not among the rows.
    pub tombstones: Vec<i64>,
    /// The offset after the last record that was looked at. Records that were dropped by a transform or rejected lie below it too.
    pub next_offset: i64,
}

/// Writes rows to the outside world.
///
/// A sink buffers as it likes. An offset is committed only because the sink returned it from [`Sink::durable`] or
/// [`Sink::revoked`]: nothing is acknowledged by being dropped.
pub trait Sink: Send {
    /// These partitions are now this task's. Rows come from `position` on.
    ///
    /// # Errors
    /// Ends the task.
    fn assigned(&mut self, partitions: &[Assignment]) -> Result<()>;

    /// Takes rows. Rows that can't be used are rejected through `ctx`.
    ///
    /// # Errors
    /// `Retry`: the worker starts the task over from its committed offsets after a back-off. Any other error ends the task.
    fn put(&mut self, batch: Batch, ctx: &mut SinkContext) -> Result<()>;

    /// Called before [`Sink::poll`] with the assigned partitions of which nothing is left to read now: they have been read to their end, or the
    /// connector is paused. Of the others rows are about to come, however long they wait for their turn.
    fn caught_up(&mut self, _partitions: &[TopicPartition]) {}

    /// Called often, with or without rows: time-driven work, and what became of work under way.
    ///
    /// # Errors
    /// As for [`Sink::put`].
    fn poll(&mut self, ctx: &mut SinkContext) -> Result<()>;

    /// Whether it takes rows now. While false the worker keeps polling but reads nothing.
    fn ready(&self) -> bool {
        true
    }

    /// For each assigned partition the offset below which every row is safe.
    fn durable(&mut self) -> Vec<(TopicPartition, i64)>;

    /// Offsets that the outside world holds already, and that were not met in the topic yet. The worker makes sure that the topic holds them:
    /// it does not when it was deleted and made again.
    fn awaited(&self) -> Vec<(TopicPartition, i64)> {
        Vec::new()
    }

    /// What decides where a row goes, as a short text; empty: nothing that lasts. It is committed beside the offsets, so that a change is
    /// noticed: rows that were published before a crash and not committed would come again, in another place.
    fn layout(&self) -> String {
        String::new()
    }

    /// Where the sink keeps rows that can't be used, if it has a place for them; otherwise they go to the dead letter topic.
    fn reject_store(&mut self) -> Option<&mut dyn RejectStore> {
        None
    }

    /// These partitions go elsewhere, or the worker stops: publish what can be published before the deadline, forget the rest, and
    /// return the offsets below which every row is safe.
    ///
    /// # Errors
    /// Reported; the partitions are given up all the same, and whoever gets them starts from the committed offsets.
    fn revoked(&mut self, partitions: &[TopicPartition], deadline: Duration) -> Result<Vec<(TopicPartition, i64)>>;
}

/// A record that can't be used.
#[derive(Debug, Clone, Copy)]
pub struct DeadLetter<'a> {
    /// Its topic and partition.
    pub partition: &'a TopicPartition,
    /// Its offset.
    pub offset: i64,
    /// Its timestamp, milliseconds since 1970-01-01 UTC; -1: none.
    pub timestamp_ms: i64,
    /// Where it was refused.
    pub stage: Stage,
    /// The field that is to blame, if one is.
    pub field: Option<&'a str>,
    /// Topic, partition, offset, field, what was found and what was expected.
    pub message: &'a str,
    /// The key, as it was read.
    pub key: Option<&'a [u8]>,
    /// The value, as it was read.
    pub value: Option<&'a [u8]>,
}

/// A sink's own place for rows that can't be used. Rows that are read again come again.
pub trait RejectStore {
    /// Takes a row. It needs not be safe before [`RejectStore::flush`].
    fn add(&mut self, letter: &DeadLetter<'_>);

    /// Makes the rows below these offsets safe; the offsets are committed next.
    ///
    /// # Errors
    /// `Retry`: not now; the offsets are not committed, and the rows are kept for the next call. Others end the task.
    fn flush(&mut self, offsets: &[(TopicPartition, i64)]) -> Result<()>;
}

/// What a sink asks of the worker during a call.
#[derive(Debug, Default)]
pub struct SinkContext {
    /// Rows of the batch in hand that it refused, by offset.
    pub rejected: Vec<(i64, Rejected)>,
    /// Partitions that must be read again from an offset.
    pub seeks: Vec<(TopicPartition, i64)>,
}

impl SinkContext {
    /// The row with this offset (of the batch in hand) can't be used.
    pub fn reject(&mut self, offset: i64, field: Option<String>, message: String) {
        self.rejected.push((offset, Rejected { row: 0, stage: Stage::TaskPut, field, message }));
    }

    /// Read `partition` again from `offset`. What the sink held of it from there on it has dropped.
    pub fn seek(&mut self, partition: TopicPartition, offset: i64) {
        self.seeks.push((partition, offset));
    }
}

/// What a plugin needs to know about the task it runs in.
#[derive(Clone)]
pub struct TaskContext {
    /// The connector's name.
    pub connector: String,
    /// The number of this task, from 0.
    pub task: u32,
    /// How many tasks the connector has.
    pub tasks: u32,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The worker's memory budget.
    pub budget: Arc<Budget>,
    /// Text that no other incarnation of any task has: it marks what this one wrote.
    pub incarnation: String,
    /// Where it counts what it does, beside what the worker counts of every task.
    pub metrics: TaskMetrics,
    /// Where a source left off.
    pub offsets: Arc<dyn SourceOffsets>,
}

impl fmt::Debug for TaskContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskContext({}-{})", self.connector, self.task)
    }
}

/// The kind of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PluginKind {
    /// See [`Source`].
    Source,
    /// See [`Processor`]. Shown as a sink, because it reads `topics`.
    Processor,
    /// See [`Sink`].
    Sink,
}

/// Makes the part of a plugin that runs in a task.
#[derive(Debug, Clone, Copy)]
pub enum Make {
    /// A source.
    Source(fn(&Config, &TaskContext) -> Result<Box<dyn Source>>),
    /// A processor.
    Processor(fn(&Config, &TaskContext) -> Result<Box<dyn Processor>>),
    /// A sink.
    Sink(fn(&Config, &TaskContext) -> Result<Box<dyn Sink>>),
}

/// A plugin: what a connector file can name.
#[derive(Debug, Clone, Copy)]
pub struct Plugin {
    /// The class name, for example `S3SinkConnector`.
    pub class: &'static str,
    /// Names of other makers' classes that mean this one.
    pub aliases: &'static [&'static str],
    /// One sentence.
    pub doc: &'static str,
    /// Its own keys; those that every connector has are added by the worker.
    pub def: fn() -> ConfigDef,
    /// Checks across keys, without any I/O.
    pub validate: fn(&Config) -> Vec<ConfigError>,
    /// What a person should know of a configuration that is right: `lakefeed check` tells it, and the log when the connector is made.
    pub warnings: fn(&Config) -> Vec<ConfigError>,
    /// Makes what runs in a task.
    pub make: Make,
}

impl Plugin {
    /// The kind.
    pub fn kind(&self) -> PluginKind {
        match self.make {
            Make::Source(_) => PluginKind::Source,
            Make::Processor(_) => PluginKind::Processor,
            Make::Sink(_) => PluginKind::Sink,
        }
    }

    /// Whether a `connector.class` means this plugin: its full name, its simple name, or the simple name without `Connector`, as in
    /// Kafka Connect.
    pub fn is_named(&self, class: &str) -> bool {
        let simple = |name: &str| {
            let name = name.rsplit('.').next().unwrap_or(name);
            name.strip_suffix("Connector").unwrap_or(name).to_owned()
        };
        std::iter::once(&self.class)
            .chain(self.aliases)
            .any(|name| *name == class || (simple(name) == simple(class) && !class.contains('.')) || class == format!("io.lakefeed.{name}"))
    }
}
