//! The neighbour of every run: a short Python script with DuckDB (neighbour.py) on the same topic and the same servers.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use lakefeed_core::{Error, Result};
use lakefeed_kit::{Process, run};

use crate::process::watch;
use crate::sinks::{Drained, lake};
use crate::testbed::{PATIENCE, Testbed, ended};
use crate::workloads::Topic;

/// Whether its Python packages are there; they are installed if they can be.
///
/// # Errors
/// `Config`: they are not, and why.
pub(crate) fn check() -> Result<()> {
    let output = run(python().args(["-c", "import duckdb, confluent_kafka, pyarrow.fs"]), 10 * PATIENCE);
    if output.code == Some(0) {
        return Ok(());
    }
    let why = output.stderr.trim();
    Err(Error::config(format!(
        "the neighbour (Python with DuckDB) can't run: {why}; run scripts/setup.sh test, or leave w1 and w4 out by --only"
    )))
}

/// Runs it until all of a topic is in a bucket.
pub(crate) fn drain(bed: &Testbed, topic: &Topic) -> Result<Drained> {
    let (bucket, name) = (bed.minio.bucket(), bed.name("neighbour"));
    let script: PathBuf = [env!("CARGO_MANIFEST_DIR"), "neighbour.py"].iter().collect();
    let mut command = python();
    command.arg(script).args([&topic.name, &topic.rows.to_string(), &bucket]);
    command.env("KAFKA_BOOTSTRAP", &bed.kafka.bootstrap).envs(bed.minio.environment());
    let start = Instant::now();
    let mut process = Process::spawn(&mut command, bed.folder.path().join(name));
    let usage = ended(watch(process.id()))?;
    let wall_s = start.elapsed().as_secs_f64();
    if !process.wait(PATIENCE).success() {
        return Err(Error::fatal(format!("the neighbour has failed: {process}")));
    }
    let lake = lake(bed, &bucket)?;
    if lake.rows != topic.rows {
        return Err(Error::fatal(format!("the neighbour has written {} rows of {}", lake.rows, topic.rows)));
    }
    Ok(Drained { rows: topic.rows, wall_s, usage, lake, requests: None })
}

/// The Python of the tests. The script becomes the interpreter: it keeps its process id.
fn python() -> Command {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../stack/python.sh"].iter().collect();
    Command::new(path)
}
