//! Consumers, producers, transactions and topics: everything that knows librdkafka.
//!
//! * [`Consumer`]: a member of a consumer group that hands over [`Records`](lakefeed_core::Records), one topic-partition at a time, in
//!   batches.
//! * [`RangeReader`]: reads a part of one partition, outside of any group. [`Tail`], [`read_to_end`]: small topics, whole.
//! * [`Producer`]: idempotent or transactional; takes an [`Output`](lakefeed_core::Output).
//! * [`ensure_topic`], [`log_ends`], [`committed`]: administration; [`group_offsets`] and its neighbours: what an operator sets.
//!
//! Everything here blocks; a task calls it on its own thread.

mod admin;
mod batch;
mod consumer;
mod context;
mod error;
mod groups;
mod java;
mod producer;
mod range;
mod reading;
mod settings;
mod tail;

pub use admin::{TopicSpec, committed, ensure_compacted, ensure_topic, log_ends, partition_count, probe};
pub use consumer::{Consumer, Event, Start};
pub use groups::{GroupOffset, delete_group, group_offsets, set_group_offsets};
pub use producer::{Message, Producer};
pub use range::RangeReader;
pub use settings::ClientSettings;
pub use tail::{LogRecord, Tail, read_to_end};
