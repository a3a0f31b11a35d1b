//! The servers, the binary, and names that nobody else uses; runs of a connector file in a worker.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use lakefeed_core::{Error, Result, TopicPartition};
use lakefeed_kafka::{ClientSettings, committed};
use lakefeed_kit::{Kafka, Minio, Process, kafka, minio, unique};

use crate::floors;
use crate::process::{Usage, watch};

/// Of each topic, but for that of the memory's step.
pub(crate) const PARTITIONS: u64 = 4;
/// How long a server may take to answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How long a step may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(1800);

/// Where everything happens.
pub(crate) struct Testbed {
    /// The binary.
    pub(crate) lakefeed: PathBuf,
    pub(crate) kafka: &'static Kafka,
    pub(crate) minio: &'static Minio,
    pub(crate) settings: ClientSettings,
    pub(crate) folder: tempfile::TempDir,
    /// The beginning of every name of this run: topics, groups.
    base: String,
    /// Keys for every connector, of the command line.
    set: Vec<(String, String)>,
    names: Cell<u32>,
}

/// How the keys begin that belong to the worker, and not to the connector.
const WORKER_KEYS: [&str; 3] = ["memory.", "offset.", "consumer."];

/// A key and its value; without one the key is to be missing, with all that belongs to it, as `transforms.image.type` to `transforms`.
pub(crate) type Setting<'a> = (&'a str, Option<&'a str>);

/// A worker that runs one connector file. It is stopped by [`Worker::stop`], and killed when dropped.
pub(crate) struct Worker<'t> {
    bed: &'t Testbed,
    process: Process,
    cost: JoinHandle<Result<Usage>>,
    /// Of its connector.
    name: String,
    start: Instant,
}

impl Testbed {
    /// Finds or starts the servers.
    pub(crate) fn open(lakefeed: PathBuf, set: Vec<(String, String)>) -> Result<Self> {
        let folder = tempfile::tempdir().map_err(|e| Error::fatal("can't make a temporary folder").with_source(e))?;
        let (kafka, minio) = (kafka(), minio());
        let settings = ClientSettings::new(&kafka.bootstrap);
        Ok(Self { lakefeed, kafka, minio, settings, folder, base: unique("bench"), set, names: Cell::new(0) })
    }

    /// A name that has not been used.
    pub(crate) fn name(&self, what: &str) -> String {
        self.names.set(self.names.get() + 1);
        format!("{}-{what}{}", self.base, self.names.get())
    }

    /// Starts a worker on one file of connectors/config, with some keys set anew: the last one of a name counts.
    pub(crate) fn worker(&self, file: &str, bucket: &str, keys: &[Setting<'_>]) -> Result<Worker<'_>> {
        let name = self.name("connector");
        let home = self.folder.path().join(&name);
        fs::create_dir(&home).map_err(|e| Error::fatal("can't make a folder").with_source(e))?;
        let set = self.set.iter().map(|(key, value)| (key.as_str(), Some(value.as_str())));
        // Offsets are committed more often than every 5 s, so that the end is seen soon.
        let all = [("name", Some(name.as_str())), ("offset.flush.interval.ms", Some("500"))].into_iter();
        let all = all.chain(keys.iter().copied()).chain(set);
        let (of_worker, of_connector): (Vec<_>, Vec<_>) = all.partition(|(key, _)| WORKER_KEYS.iter().any(|own| key.starts_with(own)));
        let worker = edited("worker.properties", &home, &of_worker)?;
        let connector = edited(file, &home, &of_connector)?;
        let mut command = Command::new(&self.lakefeed);
        command.arg("connect").args([worker, connector]);
        command.env("KAFKA_BOOTSTRAP", &self.kafka.bootstrap).env("LAKEFEED_HOME", &home).env("NO_COLOR", "1");
        command.env("S3_ENDPOINT", &self.minio.endpoint).env("S3_BUCKET", bucket).envs(self.minio.environment());
        let start = Instant::now();
        let process = Process::spawn(&mut command, home.join("log"));
        let cost = watch(process.id());
        Ok(Worker { bed: self, process, cost, name, start })
    }

    /// Runs a worker from its start until its group has committed all of the topic. Returns the time until then and the cost until the
    /// end of the process.
    pub(crate) fn drain(&self, file: &str, bucket: &str, topic: &str, keys: &[Setting<'_>]) -> Result<(f64, Usage)> {
        let ends = floors::ends(&self.settings, topic)?;
        let worker = self.worker(file, bucket, keys)?;
        while !worker.has_committed(topic, &ends)? {
            worker.check()?;
            thread::sleep(Duration::from_millis(100));
        }
        let wall_s = worker.start.elapsed().as_secs_f64();
        Ok((wall_s, worker.stop()?))
    }
}

impl Drop for Testbed {
    /// Removes the topics. The buckets stay.
    fn drop(&mut self) {
        // The tool can panic too, and its message would hide the first one's.
        if thread::panicking() {
            return;
        }
        // What is left over does no harm.
        let _ = self.kafka.tool("topics", &["--delete", "--topic", &format!("{}.*", self.base)]);
    }
}

impl Worker<'_> {
    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// The name of its connector.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Where it answers REST calls, as `HOST:PORT`.
    pub(crate) fn address(&mut self) -> Result<String> {
        const SAID: &str = "REST calls are answered at http://";
        let line = self.process.wait_for_log(SAID, PATIENCE);
        let address = line.split(SAID).nth(1).and_then(|rest| rest.split_whitespace().next());
        address.map(str::to_owned).ok_or_else(|| Error::fatal(format!("'{line}': expected an address")))
    }

    /// An error if it has ended, which it should not by itself, or takes too long.
    pub(crate) fn check(&self) -> Result<()> {
        let ended = self.cost.is_finished() || self.start.elapsed() > LIMIT;
        if ended { Err(Error::fatal(format!("the worker did not get to the end of the topic: {}", self.process))) } else { Ok(()) }
    }

    /// Whether the group has committed these offsets.
    pub(crate) fn has_committed(&self, topic: &str, ends: &[(TopicPartition, i64)]) -> Result<bool> {
        let committed = committed(&self.bed.settings, &format!("connect-{}", self.name), topic, PATIENCE)?;
        Ok(ends.iter().all(|(p, end)| *end == 0 || committed.iter().any(|(q, offset)| p == q && *offset >= Some(*end))))
    }

    /// Stops it, which must succeed; returns what it took in all.
    pub(crate) fn stop(mut self) -> Result<Usage> {
        self.process.signal("TERM");
        self.end()
    }

    /// Waits until it has ended, which must be a success; returns what it took in all.
    pub(crate) fn end(mut self) -> Result<Usage> {
        let usage = ended(self.cost)?;
        if !self.process.wait(PATIENCE).success() {
            return Err(Error::fatal(format!("the worker has failed: {}", self.process)));
        }
        Ok(usage)
    }
}

/// What a watched process took, once it has ended.
pub(crate) fn ended(watch: JoinHandle<Result<Usage>>) -> Result<Usage> {
    watch.join().map_err(|_| Error::fatal("the thread that watches a process panicked"))?
}

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
