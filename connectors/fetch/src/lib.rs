//! Kafka's log as columns.
//!
//! librdkafka makes an object of each message, hands it over a queue and takes it back: half a microsecond a row, which is as much as it costs to
//! decode the row. A Fetch answer is one piece of memory, and the values of [`Records`](lakefeed_core::Records) are views into it: what is not compressed is never
//! copied, unless an answer has the records of many partitions, each of which would hold all of it.
//!
//! * [`Fetcher`]: reads partitions from the brokers that lead them, on a thread and a connection for each broker. Groups, offsets, transactions and the question
//!   who leads stay with whoever has the Kafka client (connectors/kafka).
//! * [`FetchSettings`]: Kafka's names and what they mean here.
//!
//! Spoken is Fetch version 11 (Apache Kafka 2.3 and later, KIP-392), without a fetch session, and record batches of the format that Kafka writes since 0.11
//! (magic 2). Plain connections only: TLS and SASL are librdkafka's.

mod answers;
mod batch;
mod broker;
mod bytes;
mod codec;
mod fetcher;
mod lanes;
mod settings;
mod wire;

pub use fetcher::{Arrival, Fetcher};
pub use settings::FetchSettings;

/// Doors for fuzzing: whatever the bytes are, these return.
pub mod fuzz {
    /// Reads bytes as the answer to a Fetch request.
    pub fn answer(bytes: &[u8]) -> bool {
        crate::wire::answer(bytes).is_ok()
    }

    /// Reads bytes as the record set of one partition, and counts the records.
    pub fn record_set(bytes: &[u8]) -> usize {
        let partition = lakefeed_core::TopicPartition::new("t", 0);
        let mut place = crate::batch::Place::new(0, Vec::new());
        let mut walker = crate::batch::Walker::new(false);
        let mut records = Vec::new();
        // Damage is one of the answers.
        let set = crate::batch::Set { partition: &partition, bytes, buffer: None };
        let _ = walker.walk(set, &mut place, usize::MAX, &mut records);
        records.iter().map(lakefeed_core::Records::len).sum()
    }
}
