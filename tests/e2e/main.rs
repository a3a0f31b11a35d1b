//! The binary from end to end: real Apache Kafka, real MinIO, real DuckDB, and pyarrow as a reader that is not ours.

mod bad_input;
mod dead_letters;
mod demo;
mod faults;
mod motor;
mod pipeline;
mod processor;
mod scene;
mod sink;
mod topics;
mod values;
