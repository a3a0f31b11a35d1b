//! The embedded cluster of `lakefeed demo`: a Kafka broker in this process, in memory only.
//!
//! It is krafka's `FakeBroker`, a tool for tests: librdkafka and Kafka's console tools can use it, but it knows no transactions for
//! librdkafka. Good for a first look, not for proofs of exactly-once.

use krafka::testing::FakeBroker;
use lakefeed_core::{Error, Result};

/// A running cluster; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Cluster {
    broker: FakeBroker,
}

impl Cluster {
    /// Starts one broker on a free port of the loopback interface.
    pub(crate) async fn start() -> Result<Self> {
        let broker = FakeBroker::start().await.map_err(|e| Error::fatal("can't start the embedded cluster").with_source(e))?;
        Ok(Self { broker })
    }

    /// The address for clients.
    pub(crate) fn bootstrap_servers(&self) -> String {
        self.broker.bootstrap_servers()
    }
}
