//! What the tests share: a real Apache Kafka, a real S3 store, another reader of Parquet, processes with deadlines.
//!
//! - [`kafka`], [`minio`] and [`registry`] are servers for the whole test process. `KAFKA_BOOTSTRAP`, `S3_ENDPOINT` and `SCHEMA_REGISTRY_URL` name running ones
//!   (`make test` starts both once and sets them); otherwise the first call starts one with the scripts of `tests/stack`, and it stops
//!   when the test process ends, however that ends. A test that can't have its server fails; it is never skipped.
//! - [`Process`] runs a program with its log in a file, kills it, waits for it; [`run`] waits for a command's output.
//! - [`http`] makes one call of a REST interface.
//! - [`wait_for`] waits for a condition; everything has a deadline, and nothing sleeps for luck.
//!
//! Everything here panics with a message that says what to do: that is how a test fails.

mod http;
mod kafka;
mod minio;
mod process;
mod proxy;
mod registry;
mod server;
mod wait;

pub use http::{HttpAnswer, http};
pub use kafka::{Kafka, kafka};
pub use minio::{Minio, minio};
pub use process::{Output, Process, python, python_with, run};
pub use proxy::{Fault, Proxy};
pub use registry::{Registry, registry};
pub use wait::{unique, wait_for, wait_until};
