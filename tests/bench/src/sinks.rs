//! Runs of the S3 sink, and what is in its bucket afterwards.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use lakefeed_core::{Error, Result};
use lakefeed_kit::run;

use crate::process::Usage;
use crate::testbed::{LIMIT, PATIENCE, Setting, Testbed};
use crate::workloads::Topic;

/// The connector file of the sink.
pub(crate) const FILE: &str = "motor-lake-s3.properties";
/// When the files of a backlog that has come to its end are closed; by `rotate.age.ms` they would be open for a minute.
pub(crate) const IDLE: Setting<'static> = ("rotate.idle.ms", Some("1000"));
/// Where seconds are compared, the end is seen sooner.
pub(crate) const SOON: [Setting<'static>; 2] = [("rotate.idle.ms", Some("250")), ("offset.flush.interval.ms", Some("100"))];

/// The motor rows as they are, in the place of a change stream, by profile.
pub(crate) const W1: [Setting<'static>; 3] = [("transforms", None), SOON[0], SOON[1]];
/// Plain JSON in the place of a change stream, and no lake partitions: what is left of the file are defaults.
pub(crate) const PLAIN: [Setting<'static>; 4] = [("transforms", None), ("partition.by", None), ("partition.columns.drop", None), IDLE];

/// A topic that was written to a bucket of its own.
#[derive(Debug, Clone)]
pub(crate) struct Drained {
    pub(crate) rows: u64,
    /// From the start of the process until everything was published and committed.
    pub(crate) wall_s: f64,
    pub(crate) usage: Usage,
    pub(crate) lake: Lake,
    /// The requests that the store counted, if that was asked for and it tells.
    pub(crate) requests: Option<u64>,
}

/// What is counted after a run. Requests take two seconds more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    Rows,
    RowsAndRequests,
}

/// What a bucket holds.
#[derive(Debug, Clone)]
pub(crate) struct Lake {
    pub(crate) rows: u64,
    pub(crate) objects: u64,
    /// Folders that have some: the lake partitions.
    pub(crate) folders: u64,
    pub(crate) bytes: u64,
    pub(crate) median_bytes: u64,
}

impl Drained {
    /// Rows per CPU-second.
    pub(crate) fn rate(&self) -> f64 {
        self.rows as f64 / self.usage.cpu_s.max(0.01)
    }

    /// Rows per second.
    pub(crate) fn speed(&self) -> f64 {
        self.rows as f64 / self.wall_s
    }
}

/// Runs the sink until all of a topic is in a bucket, of which `rows` are good.
pub(crate) fn drain(bed: &Testbed, topic: &Topic, rows: u64, keys: &[Setting<'_>], count: Count) -> Result<Drained> {
    let bucket = bed.minio.bucket();
    let own = [("topics", Some(topic.name.as_str()))];
    let keys: Vec<Setting<'_>> = own.into_iter().chain(keys.iter().copied()).collect();
    let (wall_s, usage) = bed.drain(FILE, &bucket, &topic.name, &keys)?;
    let requests = if count == Count::RowsAndRequests { requests(bed, &bucket) } else { None };
    let lake = lake(bed, &bucket)?;
    if lake.rows != rows {
        return Err(Error::fatal(format!("topic {}: {} rows are in the lake, expected {rows}", topic.name, lake.rows)));
    }
    Ok(Drained { rows: topic.rows, wall_s, usage, lake, requests })
}

/// What a bucket holds, by the footers of all its Parquet files.
pub(crate) fn lake(bed: &Testbed, bucket: &str) -> Result<Lake> {
    let query = format!(
        "SELECT coalesce(sum(num_rows), 0), count(*), count(DISTINCT regexp_replace(file_name, '/[^/]*$', '')), coalesce(sum(file_size_bytes), 0), coalesce(round(median(file_size_bytes)), 0)::BIGINT \
         FROM parquet_file_metadata('s3://{bucket}/**/*.parquet')"
    );
    let answer = sql(bed, bucket, &query)?;
    let numbers: Vec<u64> = answer.lines().nth(1).unwrap_or("").split(',').filter_map(|cell| cell.parse().ok()).collect();
    match numbers[..] {
        [rows, objects, folders, bytes, median_bytes] => Ok(Lake { rows, objects, folders, bytes, median_bytes }),
        _ => Err(Error::fatal(format!("lakefeed sql answered '{answer}', expected five numbers"))),
    }
}

/// The answer of DuckDB to a query on a bucket, as CSV.
pub(crate) fn sql(bed: &Testbed, bucket: &str, query: &str) -> Result<String> {
    let mut command = Command::new(&bed.lakefeed);
    command.args(["sql", "--lake", &format!("s3://{bucket}"), "--format", "csv", query]).envs(bed.minio.environment());
    let output = run(&mut command, LIMIT);
    if output.code == Some(0) { Ok(output.stdout) } else { Err(Error::fatal(format!("{}: {}", output.command, output.stderr))) }
}

/// The requests for a bucket that MinIO has answered, once it has counted all of them; `None`: the store is another one, or wants
/// credentials for its metrics.
fn requests(bed: &Testbed, bucket: &str) -> Option<u64> {
    // The count is a little behind: it stands when it has not moved for a while.
    let (start, mut last, mut since) = (Instant::now(), None, Instant::now());
    while since.elapsed() < Duration::from_secs(2) && start.elapsed() < PATIENCE {
        let count = requests_so_far(&bed.minio.endpoint, bucket);
        if count != last {
            (last, since) = (count, Instant::now());
        }
        thread::sleep(Duration::from_millis(200));
    }
    last
}

fn requests_so_far(endpoint: &str, bucket: &str) -> Option<u64> {
    let address = endpoint.strip_prefix("http://")?.trim_end_matches('/');
    let mut connection = TcpStream::connect(address).ok()?;
    connection.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(connection, "GET /minio/metrics/v3/bucket/api/{bucket} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut text = String::new();
    connection.read_to_string(&mut text).ok()?;
    let counts = text.lines().filter(|line| line.starts_with("minio_bucket_api_total{"));
    let counts: Vec<u64> = counts.filter_map(|line| line.rsplit_once(' ')?.1.trim().parse().ok()).collect();
    (!counts.is_empty()).then(|| counts.iter().sum())
}
