//! The binary from end to end: real Apache Kafka, real MinIO, real DuckDB, and pyarrow and fastavro as readers that are not ours.

mod bad_input;
mod chaos;
mod cluster;
mod converters;
mod dead_letters;
mod demo;
mod faults;
#[cfg(feature = "embedded")]
mod fetch;
mod formats;
mod metrics;
mod motor;
mod operations;
mod outage;
mod pipeline;
mod processor;
mod processor_output;
mod rest;
mod routers;
mod scene;
mod sink;
mod tls;
mod tools;
mod topics;
mod transforms;
mod values;
