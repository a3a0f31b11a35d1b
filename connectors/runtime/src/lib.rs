//! The worker: reads connector files, runs the tasks of sources, processors and sinks, commits offsets only for what is safe, and takes
//! rows that can't be used to the dead letters.
//!
//! A task is one thread. It reads its partitions in batches, calls the plugin, and talks to Kafka; what a plugin does in the background
//! (uploads) runs on the tokio runtime that the caller entered. [`Worker`] owns all connectors and threads: its methods make, change, pause,
//! stop and delete connectors by name while it runs, and it joins the threads.

mod active_topics;
mod backoff;
mod client_keys;
mod cluster;
mod connector;
mod connector_offsets;
mod converters;
mod dead_letters;
mod files;
mod herd;
mod herder;
mod incoming;
mod key_lines;
mod layout_mark;
mod levels;
mod measure;
mod offsets;
mod outgoing;
mod overrides;
mod processor_task;
mod response_headers;
mod rest_ssl;
mod schema_lookup;
mod sink_task;
mod source_task;
mod state;
mod stats;
mod task;
mod task_thread;
mod topic_creation;
mod validators;
mod worker;
mod worker_config;

pub use connector::{Connector, check, definition};
pub use connector_offsets::ConnectorOffset;
pub use converters::{CONVERTERS, converter_keys};
pub use files::{ConnectorFile, TargetState, Variables, read_connector, read_worker};
pub use herder::{ConnectorInfo, ConnectorStatus, Refusal, Restart, TaskStatus};
pub use lakefeed_formats::{NamedKey, Transforms};
pub use overrides::Overrides;
pub use response_headers::{HeaderText, ResponseHeader};
pub use rest_ssl::RestSsl;
pub use stats::{Snapshot, TaskState, TaskStats};
pub use task_thread::Task;
pub use worker::Worker;
pub use worker_config::{Listener, WorkerConfig, worker_definition};
