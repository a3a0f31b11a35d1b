//! The steps, in their order, and the topics that they share.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use lakefeed_core::{Error, Result};
use lakefeed_formats::Shape;
use lakefeed_kit::{Process, run};

use crate::floors::Rate;
use crate::process::{Usage, watch};
use crate::sinks::{self, Count, Drained, IDLE, PLAIN, SOON, W1};
use crate::table::Target::{AtLeast, AtMost};
use crate::table::{Report, Target, Unit};
use crate::testbed::{LIMIT, PARTITIONS, PATIENCE, Setting, Testbed, ended};
use crate::workloads::{Topic, Workload, fill};
use crate::{avro, bad_rows, floors, freshness, neighbour, partitions, rest, start, transforms};

/// The most memory that a worker may have resident.
pub(crate) const PEAK_BYTES: f64 = (256 << 20) as f64;
/// The most requests for a GB (10^9 bytes) of input.
const REQUESTS: f64 = 100.0;

/// How often the motor rows are in the topic of W1: start and end of a run are to be a small part of it, of its seconds too.
pub(crate) const TIMES: u64 = 6;

/// What `--only` takes.
pub(crate) const STEPS: [&str; 15] = [
    "csv",
    "processor",
    "sink",
    "w1",
    "w2",
    "w3",
    "w4",
    "transforms",
    "avro",
    "partitions",
    "memory",
    "freshness",
    "bad-rows",
    "rest",
    "start",
];

/// Rows per CPU-second of the bare loop, and what is wanted of the step as a share of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Floor {
    rate: Rate,
    target: Option<Target>,
}

/// Everything that the steps share.
pub(crate) struct Bench {
    pub(crate) bed: Testbed,
    /// Motor rows of a step.
    pub(crate) rows: u64,
    pub(crate) report: Report,
    csv: Option<PathBuf>,
    table: Option<Topic>,
    stream: Option<Topic>,
    filled: HashMap<&'static str, Topic>,
}

impl Bench {
    pub(crate) fn new(bed: Testbed, rows: u64) -> Self {
        Self { bed, rows, report: Report::default(), csv: None, table: None, stream: None, filled: HashMap::new() }
    }

    /// Runs one of [`STEPS`], and what its input comes from.
    pub(crate) fn run(&mut self, step: &str) -> Result<()> {
        match step {
            "csv" => self.csv(),
            "processor" => self.processor(),
            "sink" => self.sink(),
            "w1" => self.w1(),
            "w2" => self.w2(),
            "w3" => self.w3(),
            "w4" => self.w4(),
            "transforms" => transforms::step(self),
            "avro" => avro::step(self),
            "partitions" => partitions::cost(self),
            "memory" => partitions::memory(self),
            "freshness" => [1, 5].into_iter().try_for_each(|interval_s| freshness::step(self, interval_s)),
            "bad-rows" => bad_rows::step(self),
            "rest" => rest::step(self),
            "start" => start::step(self),
            _ => Err(Error::config(format!("there is no step '{step}'"))),
        }
    }

    /// The topic of a workload, filled when it is asked for first.
    pub(crate) fn topic(&mut self, name: &'static str, workload: Workload, partitions: u64, rows: u64) -> Result<Topic> {
        self.once(name, |bench| fill(&bench.bed.settings, bench.bed.name(name), partitions, workload, rows))
    }

    /// A topic that is made when it is asked for first.
    pub(crate) fn once(&mut self, name: &'static str, make: impl FnOnce(&mut Self) -> Result<Topic>) -> Result<Topic> {
        if let Some(topic) = self.filled.get(name) {
            return Ok(topic.clone());
        }
        let topic = make(self)?;
        self.filled.insert(name, topic.clone());
        Ok(topic)
    }

    /// Rows per CPU-second, beside what a bare loop does; rows and megabytes per second; memory.
    pub(crate) fn common(&mut self, topic: &Topic, wall_s: f64, usage: Usage, target: Option<Target>, floor: Option<Floor>) {
        let (rate, report) = (topic.rows as f64 / usage.cpu_s.max(0.01), &mut self.report);
        report.add("rows per CPU-second", Unit::Rows, rate, target);
        if let Some(floor) = floor {
            report.add("bare loop: rows per CPU-second", Unit::Rows, floor.rate, None);
            report.add("rows per CPU-second / bare loop", Unit::Times, rate / floor.rate, floor.target);
        }
        report.add("rows/s", Unit::Rows, topic.rows as f64 / wall_s, None);
        report.add("MB/s of input", Unit::Megabytes, topic.bytes as f64 / wall_s, None);
        report.add("peak memory", Unit::Bytes, usage.peak_bytes as f64, Some(AtMost(PEAK_BYTES)));
    }

    /// What the sink has written, and what it asked of the store.
    pub(crate) fn lake(&mut self, topic: &Topic, drained: &Drained, requests_target: Option<f64>) {
        let (lake, report) = (&drained.lake, &mut self.report);
        report.add("objects", Unit::Count, lake.objects as f64, None);
        report.add("median object", Unit::Bytes, lake.median_bytes as f64, None);
        report.add("bytes of Parquet / bytes of input", Unit::Times, lake.bytes as f64 / topic.bytes as f64, None);
        if let Some(requests) = drained.requests {
            let per_gb = requests as f64 / (topic.bytes as f64 / 1e9);
            report.add("S3 requests", Unit::Count, requests as f64, None);
            report.add("S3 requests per GB of input", Unit::Count, per_gb, requests_target.map(AtMost));
        }
    }

    /// The CSV file to a topic, with the rows' ids as keys.
    fn csv(&mut self) -> Result<()> {
        let file = self.csv_file()?;
        let (bed, name) = (&self.bed, self.bed.name("table"));
        let mut command = self.produce(&file, &name);
        let start = Instant::now();
        let mut process = Process::spawn(&mut command, bed.folder.path().join(&name));
        let usage = ended(watch(process.id()))?;
        let wall_s = start.elapsed().as_secs_f64();
        if !process.wait(PATIENCE).success() || !process.log().contains(&format!("{} rows,", self.rows)) {
            return Err(Error::fatal(format!("not every row was sent: {process}")));
        }
        let ready = floors::sample(&bed.settings, &name)?;
        let rate = floors::split_and_produce(&bed.settings, &file, &ready, &bed.name("floor"))?;
        let input = Topic { name: name.clone(), rows: self.rows, bytes: fs::metadata(&file).map_or(0, |metadata| metadata.len()) };
        self.table = Some(Topic { name, rows: self.rows, bytes: floors::bytes_of(&ready, self.rows) });
        self.report.step(title("csv: CSV file of motor rows to Kafka", &input));
        self.common(&input, wall_s, usage, Some(AtLeast(600_000.0)), Some(Floor { rate, target: None }));
        Ok(())
    }

    /// Sends a CSV file to a topic.
    fn produce(&self, file: &Path, topic: &str) -> Command {
        let mut command = Command::new(&self.bed.lakefeed);
        command.args(["produce", "csv"]).arg(file).args(["--topic", topic, "--key", "id"]);
        command.args(["--bootstrap-servers", &self.bed.kafka.bootstrap, "--partitions", &PARTITIONS.to_string()]);
        command
    }

    /// The motor rows [`TIMES`] times.
    pub(crate) fn motor(&mut self) -> Result<Topic> {
        self.once("motor", |bench| {
            let (file, name) = (bench.csv_file()?, bench.bed.name("motor"));
            for _ in 0..TIMES {
                let output = run(&mut bench.produce(&file, &name), LIMIT);
                if output.code != Some(0) {
                    return Err(Error::fatal(format!("{}: {}", output.command, output.stderr)));
                }
            }
            let (rows, sample) = (bench.rows * TIMES, floors::sample(&bench.bed.settings, &name)?);
            Ok(Topic { name, rows, bytes: floors::bytes_of(&sample, rows) })
        })
    }

    /// The motor rows as CSV, made when they are asked for first.
    pub(crate) fn csv_file(&mut self) -> Result<PathBuf> {
        if let Some(file) = &self.csv {
            return Ok(file.clone());
        }
        let file = self.bed.folder.path().join("motor.csv");
        let mut command = Command::new(&self.bed.lakefeed);
        command.args(["generate", "pmsm", "--rows", &self.rows.to_string(), "-o"]).arg(&file);
        let output = run(&mut command, LIMIT);
        if output.code != Some(0) {
            return Err(Error::fatal(format!("{}: {}", output.command, output.stderr)));
        }
        self.csv = Some(file.clone());
        Ok(file)
    }

    fn table(&mut self) -> Result<Topic> {
        if self.table.is_none() {
            self.csv()?;
        }
        self.table.clone().ok_or_else(|| Error::fatal("the CSV step has made no topic"))
    }

    /// The table topic to its change stream, in transactions.
    fn processor(&mut self) -> Result<()> {
        let table = self.table()?;
        let (bed, stream) = (&self.bed, self.bed.name("stream"));
        let keys = [("topics", Some(table.name.as_str())), ("stream.topic", Some(&stream))];
        let (wall_s, usage) = bed.drain("motor-dynamodb.properties", "none", &table.name, &keys)?;
        let ready = floors::sample(&bed.settings, &stream)?;
        let rate = floors::consume_and_produce(&bed.settings, &table.name, table.rows, &ready, &bed.name("floor"))?;
        self.stream = Some(Topic { name: stream, rows: table.rows, bytes: floors::bytes_of(&ready, table.rows) });
        self.report.step(title("processor: table topic to DynamoDB stream records", &table));
        self.common(&table, wall_s, usage, Some(AtLeast(150_000.0)), Some(Floor { rate, target: None }));
        Ok(())
    }

    /// Stream records to Parquet by profile.
    fn sink(&mut self) -> Result<()> {
        if self.stream.is_none() {
            self.processor()?;
        }
        let stream = self.stream.clone().ok_or_else(|| Error::fatal("the processor's step has made no topic"))?;
        let drained = self.parquet(
            "sink: stream records to Parquet on MinIO, by profile_id",
            &stream,
            &[IDLE],
            Shape::NewImage,
            (Some(300_000.0), None),
        )?;
        self.lake(&stream, &drained, None);
        Ok(())
    }

    fn w1(&mut self) -> Result<()> {
        let motor = self.motor()?;
        let targets = (Some(600_000.0), Some(0.75));
        let drained = self.parquet("w1: motor JSON to Parquet on MinIO, by profile_id", &motor, &W1, Shape::Plain, targets)?;
        let usual = floors::decode_and_encode_with_arrow_json(&floors::sample(&self.bed.settings, &motor.name)?, motor.rows)?;
        self.report.add("bare loop with arrow-json: rows per CPU-second", Unit::Rows, usual, None);
        self.report.add("rows per CPU-second / bare loop with arrow-json", Unit::Times, drained.rate() / usual, Some(AtLeast(0.75)));
        self.lake(&motor, &drained, None);
        // The neighbour makes no lake partitions.
        let keys = [&PLAIN[..], &SOON].concat();
        let drained = sinks::drain(&self.bed, &motor, motor.rows, &keys, Count::Rows)?;
        self.report.step(title("w1 without lake partitions, beside the neighbour", &motor));
        self.common(&motor, drained.wall_s, drained.usage, Some(AtLeast(600_000.0)), None);
        self.lake(&motor, &drained, None);
        let theirs = self.beside_the_neighbour(&motor, &drained)?;
        // Both cores: the neighbour's DuckDB has a thread for each.
        let keys = [&keys[..], &[("tasks.max", Some("2"))]].concat();
        let drained = sinks::drain(&self.bed, &motor, motor.rows, &keys, Count::Rows)?;
        self.report.step(title("w1 without lake partitions, two tasks", &motor));
        self.common(&motor, drained.wall_s, drained.usage, None, None);
        self.report.add("rows/s / neighbour", Unit::Times, drained.speed() / theirs.speed(), Some(AtLeast(2.0)));
        Ok(())
    }

    fn w2(&mut self) -> Result<()> {
        let topic = self.topic("nested", Workload::Nested, PARTITIONS, self.rows)?;
        let drained = self.parquet("w2: nested events of 1 KB to Parquet on MinIO", &topic, &PLAIN, Shape::Plain, (None, None))?;
        let rate = topic.bytes as f64 / drained.usage.cpu_s.max(0.01);
        self.report.add("MB per CPU-second", Unit::Megabytes, rate, Some(AtLeast(130e6)));
        self.lake(&topic, &drained, Some(REQUESTS));
        Ok(())
    }

    fn w3(&mut self) -> Result<()> {
        let topic = self.topic("wide", Workload::Wide, PARTITIONS, self.rows.div_ceil(5))?;
        let drained = self.parquet("w3: rows of 200 columns to Parquet on MinIO", &topic, &PLAIN, Shape::Plain, (Some(27_000.0), None))?;
        self.lake(&topic, &drained, Some(REQUESTS));
        Ok(())
    }

    fn w4(&mut self) -> Result<()> {
        let topic = self.topic("small", Workload::Small, PARTITIONS, self.rows * 10)?;
        let targets = (Some(1_500_000.0), None);
        let drained =
            self.parquet("w4: events of 70 bytes to Parquet on MinIO", &topic, &[&PLAIN[..], &SOON].concat(), Shape::Plain, targets)?;
        self.lake(&topic, &drained, None);
        self.beside_the_neighbour(&topic, &drained)?;
        Ok(())
    }

    /// A run of the sink as a step, with the common figures. `targets`: rows per CPU-second, and their share of the bare loop.
    fn parquet(
        &mut self, what: &str, topic: &Topic, keys: &[Setting<'_>], shape: Shape, targets: (Option<f64>, Option<f64>),
    ) -> Result<Drained> {
        let sample = floors::sample(&self.bed.settings, &topic.name)?;
        // Half of the bare loop on either side: a shared machine is faster in one minute than in the next.
        let before = floors::decode_and_encode(&sample, shape, topic.rows / 2)?;
        let drained = sinks::drain(&self.bed, topic, topic.rows, keys, Count::RowsAndRequests)?;
        let after = floors::decode_and_encode(&sample, shape, topic.rows / 2)?;
        let rate = 2.0 / (1.0 / before + 1.0 / after);
        self.report.step(title(what, topic));
        let floor = Floor { rate, target: targets.1.map(AtLeast) };
        self.common(topic, drained.wall_s, drained.usage, targets.0.map(AtLeast), Some(floor));
        Ok(drained)
    }

    fn beside_the_neighbour(&mut self, topic: &Topic, ours: &Drained) -> Result<Drained> {
        let theirs = neighbour::drain(&self.bed, topic)?;
        let report = &mut self.report;
        report.add("neighbour: rows per CPU-second", Unit::Rows, theirs.rate(), None);
        report.add("neighbour: rows/s", Unit::Rows, theirs.speed(), None);
        report.add("neighbour: peak memory", Unit::Bytes, theirs.usage.peak_bytes as f64, None);
        report.add("rows per CPU-second / neighbour", Unit::Times, ours.rate() / theirs.rate(), Some(AtLeast(2.0)));
        report.add("rows/s / neighbour", Unit::Times, ours.speed() / theirs.speed(), Some(AtLeast(2.0)));
        Ok(theirs)
    }
}

/// The title of a step, with the size of its input.
pub(crate) fn title(what: &str, topic: &Topic) -> String {
    let row = topic.bytes / topic.rows.max(1);
    format!("{what}: {} rows of {row} bytes, {:.0} MB", topic.rows, topic.bytes as f64 / 1e6)
}
