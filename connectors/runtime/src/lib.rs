//! The worker: reads connector files, runs the tasks of sources, processors and sinks, commits offsets only for what is safe, and takes
//! rows that can't be used to the dead letters.
//!
//! A task is one thread. It reads its partitions in batches, calls the plugin, and talks to Kafka; what a plugin does in the background
//! (uploads) runs on the tokio runtime that the caller entered. [`Worker`] owns all threads and joins them.

mod backoff;
mod connector;
mod converters;
mod dead_letters;
mod files;
mod layout_mark;
mod offsets;
mod processor_task;
mod schema_lookup;
mod sink_task;
mod source_task;
mod state;
mod stats;
mod task;
mod worker;
mod worker_config;

pub use connector::{Connector, check, definition};
pub use files::{ConnectorFile, Variables, read_connector, read_worker};
pub use stats::{Snapshot, TaskState, TaskStats};
pub use worker::{Task, Worker};
pub use worker_config::{WorkerConfig, worker_definition};
