//! Partitioned Parquet, JSON lines and Avro on S3 or in a local directory, exactly once.
//!
//! Rows are sorted into lake partitions, gathered into files, and a file is published by one conditional request under a name that is a
//! function of topic, Kafka partition, lake partition and first offset. [`ledger`] is the bookkeeping that makes this exactly-once for any
//! reason to close a file; `tests/simulation.rs` runs it through faults.

mod accepted;
mod config;
mod error_output;
mod file;
mod format;
mod idle;
mod inventory;
pub mod ledger;
mod metadata;
mod metrics;
mod numbers;
mod partitioner;
mod partitioning;
mod prefix;
mod requests;
mod rows;
mod schema;
mod sink;
mod stale;
mod time;
mod upload;
mod value;
mod writer;

use lakefeed_core::{Make, Plugin};

/// `S3SinkConnector`; the Confluent S3 sink's class name means it too.
pub const PLUGIN: Plugin = Plugin {
    class: "S3SinkConnector",
    aliases: &["io.confluent.connect.s3.S3SinkConnector"],
    doc: "Writes topics as partitioned Parquet, JSON or Avro files to S3 or to a local directory, exactly once.",
    def: config::definition,
    validate: |config| config::Settings::read(config).err().unwrap_or_default(),
    warnings: |config| config::Settings::read(config).map_or(Vec::new(), |settings| settings.warnings()),
    make: Make::Sink(|config, context| Ok(Box::new(sink::S3Sink::open(config, context)?))),
};
