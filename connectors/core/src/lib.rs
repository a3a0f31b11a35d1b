//! The contracts of Lakefeed: what a plugin is, what it gets and what it owes.
//!
//! Nothing here does I/O, knows Kafka or reads a clock. A plugin depends on this crate alone (and on libraries for its own
//! work); the worker in `connectors/runtime` drives it.
//!
//! * [`Records`]: what one read of one topic-partition returns, as columns.
//! * [`Source`], [`Processor`], [`Sink`]: the three kinds of plugin.
//! * [`ConfigDef`]: the keys of a plugin, declared once.
//! * [`Error`], [`ErrorKind`], [`Rejected`]: what went wrong and what happens next.
//! * [`Budget`], [`Clock`], [`Metrics`]: bounded memory, time and what is counted, handed in by the worker.

mod budget;
mod clock;
mod config;
mod error;
mod metrics;
mod output;
mod plugin;
mod records;

pub use budget::{Budget, Share};
pub use clock::{Clock, ManualClock, SystemClock};
pub use config::{Config, ConfigDef, ConfigError, Importance, Key, KeyKind, Validator, nearest};
pub use error::{Error, ErrorKind, Rejected, Result, Stage, printable, shorten};
pub use metrics::{Counter, Gauge, Labels, MetricKind, Metrics, Sample, TaskMetrics};
pub use output::{Output, OutputRow, RowSchema, SourceReject};
pub use plugin::{
    Assignment, Batch, DeadLetter, Make, Plugin, PluginKind, Polled, Position, Processor, RejectStore, Sink, SinkContext, Source,
    SourceOffsets, State, TaskContext, TopicPartition,
};
pub use records::{Headers, Records, RecordsBuilder};
