//! The steps: each is one process of the shipped binary from its start to its end, on real servers.

use std::cell::Cell;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use lakefeed_core::{Error, Result};
use lakefeed_formats::Shape;
use lakefeed_kafka::{ClientSettings, committed};
use lakefeed_kit::{Kafka, Minio, Process, kafka, minio, run, unique};

use crate::floors::{self, Rate};
use crate::process::{Usage, watch};

/// Of each topic.
pub(crate) const PARTITIONS: u64 = 4;
/// How long a server may take to answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How long a step may take.
const LIMIT: Duration = Duration::from_secs(1800);

/// The figures of one run of one step.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    pub(crate) rows: u64,
    /// Of the input.
    pub(crate) bytes: u64,
    pub(crate) wall_s: f64,
    pub(crate) usage: Usage,
    pub(crate) floor: Rate,
    pub(crate) lake: Option<Lake>,
}

impl Figure {
    pub(crate) fn rate(&self) -> Rate {
        self.rows as f64 / self.usage.cpu_s.max(0.01)
    }
}

/// What a sink has written.
#[derive(Debug, Clone)]
pub(crate) struct Lake {
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
    /// All requests that the store answered meanwhile, if it tells: those of others too.
    pub(crate) requests: Option<u64>,
}

/// Where everything happens.
pub(crate) struct Bench {
    lakefeed: PathBuf,
    kafka: &'static Kafka,
    minio: &'static Minio,
    settings: ClientSettings,
    /// The beginning of every name of this run: topics, groups, prefixes in the bucket.
    base: String,
    bucket: String,
    folder: tempfile::TempDir,
    csv: PathBuf,
    rows: u64,
    set: Vec<(String, String)>,
    names: Cell<u32>,
}

impl Bench {
    /// Finds or starts the servers and makes the CSV file.
    pub(crate) fn open(lakefeed: PathBuf, rows: u64, set: Vec<(String, String)>) -> Result<Self> {
        let folder = tempfile::tempdir().map_err(|e| Error::fatal("can't make a temporary folder").with_source(e))?;
        let csv = folder.path().join("motor.csv");
        let (kafka, minio) = (kafka(), minio());
        let settings = ClientSettings::new(&kafka.bootstrap);
        let (base, bucket) = (unique("bench"), minio.bucket());
        run(Command::new(&lakefeed).args(["generate", "pmsm", "--rows", &rows.to_string(), "-o"]).arg(&csv), LIMIT).success();
        Ok(Self { lakefeed, kafka, minio, settings, base, bucket, folder, csv, rows, set, names: Cell::new(0) })
    }

    /// A name that has not been used.
    fn name(&self, what: &str) -> String {
        self.names.set(self.names.get() + 1);
        format!("{}-{what}{}", self.base, self.names.get())
    }

    /// The CSV file to a topic, with the rows' ids as keys. Returns the topic.
    pub(crate) fn csv(&self) -> Result<(Figure, String)> {
        let topic = self.name("table");
        let mut command = Command::new(&self.lakefeed);
        command.args(["produce", "csv"]).arg(&self.csv).args(["--topic", &topic, "--key", "id"]);
        command.args(["--bootstrap-servers", &self.kafka.bootstrap, "--partitions", &PARTITIONS.to_string()]);
        let start = Instant::now();
        let mut process = Process::spawn(&mut command, self.folder.path().join(&topic));
        let usage = ended(watch(process.id()))?;
        let wall_s = start.elapsed().as_secs_f64();
        if !process.wait(PATIENCE).success() || !process.log().contains(&format!("{} rows,", self.rows)) {
            return Err(Error::fatal(format!("not every row was sent: {process}")));
        }
        let ready = floors::sample(&self.settings, &topic)?;
        let floor = floors::split_and_produce(&self.settings, &self.csv, &ready, &self.name("floor"))?;
        let bytes = fs::metadata(&self.csv).map_or(0, |metadata| metadata.len());
        Ok((Figure { rows: self.rows, bytes, wall_s, usage, floor, lake: None }, topic))
    }

    /// The table topic to its change stream, in transactions. Returns the stream.
    pub(crate) fn processor(&self, table: &str) -> Result<(Figure, String)> {
        let stream = self.name("stream");
        let keys = [("topics", Some(table)), ("stream.topic", Some(&stream))];
        let (wall_s, usage) = self.worker("motor-dynamodb.properties", table, &keys)?;
        let ready = floors::sample(&self.settings, &stream)?;
        let floor = floors::consume_and_produce(&self.settings, table, self.rows, &ready, &self.name("floor"))?;
        let bytes = self.topic_bytes(&floors::sample(&self.settings, table)?);
        Ok((Figure { rows: self.rows, bytes, wall_s, usage, floor, lake: None }, stream))
    }

    /// A topic to partitioned Parquet: a stream through the transform of the connector's file, or plain JSON without.
    pub(crate) fn sink(&self, topic: &str, shape: Shape) -> Result<Figure> {
        let prefix = self.name("lake");
        let mut keys = vec![("topics", Some(topic)), ("topics.dir", Some(&prefix)), ("rotate.idle.ms", Some("1000"))];
        if shape == Shape::Plain {
            keys.push(("transforms", None));
        }
        let before = self.s3_requests();
        let (wall_s, usage) = self.worker("motor-lake-s3.properties", topic, &keys)?;
        let requests = before.and_then(|before| Some(self.s3_requests()? - before));
        let (rows, objects, lake_bytes) = self.lake(&prefix)?;
        if rows != self.rows {
            return Err(Error::fatal(format!("the lake holds {rows} rows, expected {}", self.rows)));
        }
        let ready = floors::sample(&self.settings, topic)?;
        let floor = floors::decode_and_encode(&ready, shape, self.rows)?;
        let lake = Some(Lake { objects, bytes: lake_bytes, requests });
        Ok(Figure { rows, bytes: self.topic_bytes(&ready), wall_s, usage, floor, lake })
    }

    /// Runs one connector file of connectors/config, with some keys set anew, until its group has committed all of the topic. Returns the
    /// time until then, start-up included, and the cost until the end of the process.
    fn worker(&self, file: &str, topic: &str, keys: &[Setting<'_>]) -> Result<(f64, Usage)> {
        let name = self.name("connector");
        let home = self.folder.path().join(&name);
        fs::create_dir(&home).map_err(|e| Error::fatal("can't make a folder").with_source(e))?;
        // Offsets are committed more often than every 5 s, so that the end is seen soon.
        let worker = edited("worker.properties", &home, &[("offset.flush.interval.ms", Some("500"))])?;
        let set = self.set.iter().map(|(key, value)| (key.as_str(), Some(value.as_str())));
        let keys: Vec<Setting<'_>> = [("name", Some(name.as_str()))].into_iter().chain(keys.iter().copied()).chain(set).collect();
        let connector = edited(file, &home, &keys)?;
        let ends = floors::ends(&self.settings, topic)?;
        let mut command = Command::new(&self.lakefeed);
        command.arg("connect").args([worker, connector]);
        command.env("KAFKA_BOOTSTRAP", &self.kafka.bootstrap).env("LAKEFEED_HOME", &home).env("NO_COLOR", "1");
        command.env("S3_ENDPOINT", &self.minio.endpoint).env("S3_BUCKET", &self.bucket).envs(self.minio.environment());
        let (start, group) = (Instant::now(), format!("connect-{name}"));
        let mut process = Process::spawn(&mut command, home.join("log"));
        let cost = watch(process.id());
        loop {
            let committed = committed(&self.settings, &group, topic, PATIENCE)?;
            if ends.iter().all(|(p, end)| *end == 0 || committed.iter().any(|(q, offset)| p == q && *offset >= Some(*end))) {
                break;
            }
            if cost.is_finished() || start.elapsed() > LIMIT {
                return Err(Error::fatal(format!("the worker did not get to the end of the topic: {process}")));
            }
            thread::sleep(Duration::from_millis(200));
        }
        let wall_s = start.elapsed().as_secs_f64();
        process.signal("TERM");
        let usage = ended(cost)?;
        if !process.wait(PATIENCE).success() {
            return Err(Error::fatal(format!("the worker has failed: {process}")));
        }
        Ok((wall_s, usage))
    }

    /// Bytes of the whole topic by those of some of its records.
    fn topic_bytes(&self, sample: &[lakefeed_core::Records]) -> u64 {
        let (rows, bytes) = sample.iter().fold((0, 0), |(rows, bytes), r| (rows + r.len() as u64, bytes + r.payload_bytes() as u64));
        bytes * self.rows / rows.max(1)
    }

    /// Rows, objects and bytes below a prefix of the bucket, by their Parquet footers.
    fn lake(&self, prefix: &str) -> Result<(u64, u64, u64)> {
        let lake = format!("s3://{}/{prefix}", self.bucket);
        let query = format!("SELECT sum(num_rows), count(*), sum(file_size_bytes) FROM parquet_file_metadata('{lake}/**/*.parquet')");
        let mut command = Command::new(&self.lakefeed);
        command.args(["sql", "--lake", &lake, "--format", "csv", &query]).envs(self.minio.environment());
        let answer = run(&mut command, LIMIT).success();
        let numbers: Vec<u64> = answer.lines().nth(1).unwrap_or("").split(',').filter_map(|cell| cell.parse().ok()).collect();
        match numbers[..] {
            [rows, objects, bytes] => Ok((rows, objects, bytes)),
            _ => Err(Error::fatal(format!("lakefeed sql answered '{answer}', expected rows, objects and bytes"))),
        }
    }

    /// The requests that MinIO has answered so far, if it says so without credentials.
    fn s3_requests(&self) -> Option<u64> {
        let address = self.minio.endpoint.strip_prefix("http://")?.trim_end_matches('/');
        let mut connection = TcpStream::connect(address).ok()?;
        connection.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(connection, "GET /minio/metrics/v3/api/requests HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
        let mut text = String::new();
        connection.read_to_string(&mut text).ok()?;
        let counts = text.lines().filter(|line| line.starts_with("minio_api_requests_total{"));
        let counts: Vec<u64> = counts.filter_map(|line| line.rsplit_once(' ')?.1.trim().parse().ok()).collect();
        (!counts.is_empty()).then(|| counts.iter().sum())
    }
}

impl Drop for Bench {
    /// Removes the topics. The bucket stays.
    fn drop(&mut self) {
        // What is left over does no harm.
        let _ = self.kafka.tool("topics", &["--delete", "--topic", &format!("{}.*", self.base)]);
    }
}

/// What a watched process took, once it has ended.
fn ended(watch: JoinHandle<Result<Usage>>) -> Result<Usage> {
    watch.join().map_err(|_| Error::fatal("the thread that watches a process panicked"))?
}

/// A key and its value; without one the key is to be missing, with all that belongs to it, as `transforms.image.type` to `transforms`.
type Setting<'a> = (&'a str, Option<&'a str>);

/// A copy of a file of connectors/config with other settings.
fn edited(file: &str, folder: &Path, settings: &[Setting<'_>]) -> Result<PathBuf> {
    let from: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../../connectors/config", file].iter().collect();
    let text = fs::read_to_string(&from).map_err(|e| Error::config(format!("{}: can't be read", from.display())).with_source(e))?;
    let is_replaced = |line: &str, (key, value): &Setting<'_>| {
        line.strip_prefix(key).is_some_and(|rest| rest.starts_with('=') || (value.is_none() && rest.starts_with('.')))
    };
    let kept = text.lines().filter(|line| !settings.iter().any(|setting| is_replaced(line, setting)));
    let mut lines: Vec<String> = kept.map(str::to_owned).collect();
    lines.extend(settings.iter().filter_map(|(key, value)| Some(format!("{key}={}\n", (*value)?))));
    let to = folder.join(file);
    fs::write(&to, lines.join("\n")).map_err(|e| Error::fatal(format!("{}: can't be written", to.display())).with_source(e))?;
    Ok(to)
}
