//! What the binary takes before it works: bytes, time, memory.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use lakefeed_core::{Error, Result};
use lakefeed_kafka::{TopicSpec, ensure_topic};

use crate::lister::Lister;
use crate::process::resident_bytes;
use crate::sinks::{FILE, PLAIN};
use crate::steps::Bench;
use crate::table::{Unit, median};
use crate::testbed::{PARTITIONS, PATIENCE, Setting};
use crate::workloads::Workload;

/// How often the binary is started, and a worker.
const STARTS: usize = 10;
/// A worker is idle when its memory has not grown for so long.
const STILL: Duration = Duration::from_secs(2);

pub(crate) fn step(bench: &mut Bench) -> Result<()> {
    let size = fs::metadata(&bench.bed.lakefeed).map_err(|e| Error::fatal("the binary is gone").with_source(e))?.len();
    let mut versions = (0..STARTS).map(|_| version_ms(bench)).collect::<Result<Vec<_>>>()?;
    let mut first = (0..STARTS).map(|_| first_object_ms(bench)).collect::<Result<Vec<_>>>()?;
    let idle = idle_bytes(bench)?;
    bench.report.step("start: the binary, and a worker with one S3 sink".to_owned());
    let report = &mut bench.report;
    report.add("binary, the DuckDB library beside it not included", Unit::Bytes, size as f64, None);
    report.add("lakefeed --version", Unit::Millis, median(&mut versions), None);
    report.add("lakefeed connect until its first object is there", Unit::Millis, median(&mut first), None);
    report.add("memory of a worker that has nothing to do", Unit::Bytes, idle as f64, None);
    Ok(())
}

fn version_ms(bench: &Bench) -> Result<f64> {
    let start = Instant::now();
    let status = Command::new(&bench.bed.lakefeed).arg("--version").output().is_ok_and(|output| output.status.success());
    let elapsed = start.elapsed().as_secs_f64() * 1000.0;
    if status { Ok(elapsed) } else { Err(Error::fatal("lakefeed --version has failed")) }
}

/// A topic of one row, and a file of one row: from the start of the process until the object can be listed.
fn first_object_ms(bench: &mut Bench) -> Result<f64> {
    let topic = bench.topic("one", Workload::Small, 1, 1)?;
    let (bed, bucket) = (&bench.bed, bench.bed.minio.bucket());
    let store = Lister::open(bed, &bucket)?;
    let own = [("topics", Some(topic.name.as_str())), ("flush.size", Some("1"))];
    let start = Instant::now();
    let worker = bed.worker(FILE, &bucket, &[&own[..], &PLAIN].concat())?;
    while store.parquet()?.is_empty() {
        worker.check()?;
        thread::sleep(Duration::from_millis(2));
    }
    let elapsed = start.elapsed().as_secs_f64() * 1000.0;
    worker.stop()?;
    Ok(elapsed)
}

/// What a worker has resident when it waits for rows.
fn idle_bytes(bench: &Bench) -> Result<u64> {
    let (bed, topic, bucket) = (&bench.bed, bench.bed.name("empty"), bench.bed.minio.bucket());
    ensure_topic(&bed.settings, &topic, &TopicSpec::with_partitions(i32::try_from(PARTITIONS).ok()), PATIENCE)?;
    let own: [Setting<'_>; 1] = [("topics", Some(&topic))];
    let worker = bed.worker(FILE, &bucket, &[&own[..], &PLAIN].concat())?;
    let (mut most, mut since) = (0, Instant::now());
    while since.elapsed() < STILL {
        worker.check()?;
        let now = resident_bytes(worker.process().id()).unwrap_or(0);
        if now > most {
            (most, since) = (now, Instant::now());
        }
        thread::sleep(Duration::from_millis(50));
    }
    worker.stop()?;
    Ok(most)
}
