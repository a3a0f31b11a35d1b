//! A topic, a lake and workers that fill it; what other readers, pyarrow and fastavro, then find.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use lakefeed_kit::{Output, Process, kafka, minio, python_with, run, unique, wait_until};
use tempfile::TempDir;

use crate::motor::lakefeed;

pub(crate) const PATIENCE: Duration = Duration::from_secs(50);
/// Members of the group that are gone are missed after 6 s.
pub(crate) const MISSED_SOON: &str = "consumer.override.session.timeout.ms=6000\nconsumer.override.heartbeat.interval.ms=1000\n";

/// Files of at most 50 rows, in seven lake partitions.
pub(crate) const SMALL_FILES: &str = "partition.by=e\nflush.size=50\nrotate.age.ms=300\n";
/// The groups of KIP-848; the tests' broker misses their members after 6 s too.
pub(crate) const KIP_848: &str = "consumer.override.group.protocol=consumer\n";

/// Prints how many files a lake has, how many rows, how many ids, and some ids that are there more than once; with `rows` as a second
/// argument the rows themselves, by id, without nulls.
const READ: &str = r#"
import sys, os, io, gzip, json, collections
import fastavro
try:
    from compression import zstd
except ImportError:
    from backports import zstd
import pyarrow.parquet as pq
from pyarrow import fs
url = sys.argv[1]
if url.startswith("s3://"):
    files = fs.S3FileSystem(endpoint_override=os.environ["AWS_ENDPOINT_URL"].split("://", 1)[1], scheme="http", region="us-east-1",
                            access_key=os.environ["AWS_ACCESS_KEY_ID"], secret_key=os.environ["AWS_SECRET_ACCESS_KEY"])
    root = url[5:]
else:
    files, root = fs.LocalFileSystem(), url
infos = files.get_file_info(fs.FileSelector(root, recursive=True, allow_not_found=True))
paths = [i.path for i in infos if i.is_file and not i.path.rsplit("/", 1)[-1].startswith(".")]
whole = sys.argv[2:] == ["rows"]
def rows(path):
    if path.endswith(".parquet"):
        return pq.read_table(path, filesystem=files, partitioning=None, columns=None if whole else ["id"]).to_pylist()
    data = files.open_input_stream(path, compression=None).read()
    if path.endswith(".avro"):
        return list(fastavro.reader(io.BytesIO(data)))
    if path.endswith(".gz"):
        data = gzip.decompress(data)
    if path.endswith(".zst"):
        data = zstd.decompress(data)
    return [json.loads(line) for line in data.decode().split("\n")[:-1]]
def plain(value):
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if v is not None}
    return [plain(v) for v in value] if isinstance(value, list) else value
if whole:
    print(json.dumps(sorted((plain(row) for path in paths for row in rows(path)), key=lambda row: row["id"]), default=str))
    sys.exit()
seen = collections.Counter(row["id"] for path in paths for row in rows(path))
double = sorted(i for i, n in seen.items() if n != 1)
print(json.dumps({"files": len(paths), "ids": len(seen), "min": min(seen, default=None), "max": max(seen, default=None), "double": double[:5]}))
"#;

/// A topic, a lake and a folder for workers.
pub(crate) struct Scene {
    pub(crate) dir: TempDir,
    pub(crate) topic: String,
    pub(crate) lake: String,
    target: String,
}

impl Scene {
    pub(crate) fn local(name: &str, partitions: u32) -> Self {
        let scene = Self::without_topic(name);
        kafka().create_topic(&scene.topic, partitions);
        scene
    }

    pub(crate) fn without_topic(name: &str) -> Self {
        let dir = TempDir::new().expect("temporary folder");
        let lake = dir.path().join("lake").to_string_lossy().into_owned();
        Self { dir, topic: unique(name), target: format!("store.url=file:{lake}\ntopics.dir=\n"), lake }
    }

    /// On S3; `endpoint` is where the worker finds the store.
    pub(crate) fn s3(name: &str, partitions: u32, endpoint: &str) -> Self {
        let mut scene = Self::local(name, partitions);
        scene.lake = format!("s3://{}", minio().bucket());
        scene.target = scene.target_at(endpoint);
        scene
    }

    fn target_at(&self, endpoint: &str) -> String {
        let bucket = self.lake.trim_start_matches("s3://");
        format!("s3.bucket.name={bucket}\ns3.region=us-east-1\nstore.url={endpoint}\ntopics.dir=\nretry.backoff.ms=100\n")
    }

    /// Small files in seven lake partitions; members that are gone are missed after 6 s.
    pub(crate) fn small_files(&self) -> String {
        format!("{SMALL_FILES}{MISSED_SOON}")
    }

    pub(crate) fn worker(&self, name: &str, keys: &str) -> Process {
        self.worker_with(name, keys, "")
    }

    /// A worker with more keys of its own.
    pub(crate) fn worker_with(&self, name: &str, keys: &str, worker_keys: &str) -> Process {
        self.worker_to(name, &self.target, keys, worker_keys)
    }

    /// A worker that finds the S3 store at another address.
    pub(crate) fn worker_at(&self, name: &str, endpoint: &str, keys: &str) -> Process {
        self.worker_to(name, &self.target_at(endpoint), keys, "")
    }

    /// The file of the sink.
    pub(crate) fn connector(&self, keys: &str) -> String {
        self.connector_to(&self.target, keys)
    }

    fn connector_to(&self, target: &str, keys: &str) -> String {
        format!("name={}\nconnector.class=S3SinkConnector\ntopics={}\n{target}{keys}", self.topic, self.topic)
    }

    fn worker_to(&self, name: &str, target: &str, keys: &str, worker_keys: &str) -> Process {
        let place = |file: String, text: String| {
            let path = self.dir.path().join(file);
            fs::write(&path, text).expect("written");
            path.to_string_lossy().into_owned()
        };
        let home = self.dir.path().display();
        let worker = place(
            format!("{name}.worker.properties"),
            format!(
                "bootstrap.servers={}\noffset.storage.file.filename={home}/{name}.offsets\nstate.dir={home}/{name}.state\n\
                 offset.flush.interval.ms=200\ntask.shutdown.graceful.timeout.ms=5000\nconsumer.topic.metadata.refresh.interval.ms=1000\n\
                 listeners=http://127.0.0.1:0\n{worker_keys}",
                kafka().bootstrap
            ),
        );
        let connector = place(format!("{name}.properties"), self.connector_to(target, keys));
        Process::spawn(&mut lakefeed(&["connect", &worker, &connector]), self.dir.path().join(format!("{name}.log")))
    }

    /// Rows with the ids of a range, `e` from 0 to 6 and a text of `width` bytes, another one in each row.
    pub(crate) fn produce(&self, ids: std::ops::Range<u64>, width: usize) {
        let file = self.dir.path().join("rows.csv");
        let rows: String = ids.map(|id| format!("{id},{},{}.5,t{id:0width$}\n", id % 7, id / 3)).collect();
        fs::write(&file, format!("id,e,v,text\n{rows}")).expect("written");
        let file = file.to_string_lossy();
        let mut command =
            lakefeed(&["produce", "csv", "--topic", &self.topic, "--bootstrap-servers", &kafka().bootstrap, "--key", "id", &file]);
        run(&mut command, PATIENCE).success();
    }

    /// Values as they are, by the console producer.
    pub(crate) fn produce_values(&self, values: &[String]) {
        console_produce(&self.topic, values, &[]);
    }

    pub(crate) fn sql(&self, query: &str) -> Output {
        let query = query.replace("ROWS", &self.topic.replace('-', "_"));
        run(&mut lakefeed(&["sql", "--lake", &self.lake, "--format", "csv", &query]), PATIENCE)
    }

    pub(crate) fn count(&self) -> u64 {
        let answer = self.sql("SELECT count(*) FROM ROWS");
        answer.stdout.lines().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn wait_for_rows(&self, worker: &mut Process, what: &str, rows: u64) {
        wait_until(what, PATIENCE, || {
            assert!(worker.is_running(), "the worker has ended while {what} were waited for: {worker}");
            self.count() >= rows
        });
    }

    /// The rows as another reader gives them, by id, without nulls.
    pub(crate) fn rows(&self) -> serde_json::Value {
        serde_json::from_str(&python_with(READ, &[&self.lake, "rows"], &minio().environment())).expect("JSON")
    }

    /// What pyarrow finds.
    pub(crate) fn read(&self) -> serde_json::Value {
        serde_json::from_str(&python_with(READ, &[&self.lake], &minio().environment())).expect("JSON")
    }

    #[track_caller]
    pub(crate) fn assert_each_once(&self, ids: std::ops::Range<u64>) {
        let found = self.read();
        assert_eq!(found["double"], serde_json::json!([]), "rows that came twice: {found}");
        let expected = (ids.end - ids.start, ids.start, ids.end - 1);
        let number = |name: &str| found[name].as_u64().unwrap_or(u64::MAX);
        assert_eq!((number("ids"), number("min"), number("max")), expected, "ids, smallest, largest: {found}");
    }

    /// The dead letters with their headers.
    pub(crate) fn dead_letters(&self, count: usize) -> Vec<String> {
        kafka().console_consumer_with(&format!("{}.dead", self.topic), count, &["--formatter-property", "print.headers=true"])
    }

    /// The sum of the committed offsets of its group.
    pub(crate) fn committed(&self) -> u64 {
        let said = kafka().tool("consumer-groups", &["--describe", "--group", &format!("connect-{}", self.topic)]).success();
        said.lines().filter(|line| line.contains(&self.topic)).filter_map(|line| line.split_whitespace().nth(3)?.parse::<u64>().ok()).sum()
    }

    /// Sends the values in four parts, each to a worker of its own; all but the last are killed when offsets have moved.
    pub(crate) fn through_kills(&self, values: &[String], keys: &str) {
        let mut produced = 0;
        for round in 0..4 {
            let mut worker = self.worker(&format!("w{round}"), keys);
            let part = values.len() * (round + 1) / 4;
            self.produce_values(&values[produced..part]);
            produced = part;
            if round < 3 {
                wait_until("offsets move", PATIENCE, || self.committed() >= produced as u64 / 2);
                worker.kill();
            } else {
                wait_until("all offsets are committed", PATIENCE, || self.committed() == values.len() as u64);
                stop(&mut worker);
            }
        }
    }

    pub(crate) fn tolerant(&self) -> String {
        format!("errors.tolerance=all\nerrors.deadletterqueue.topic.name={}.dead\n", self.topic)
    }
}

/// Lines that the console producer takes apart as its properties say.
pub(crate) fn console_produce(topic: &str, lines: &[String], properties: &[&str]) {
    let dir = tempfile::tempdir().expect("temporary folder");
    let file = dir.path().join("lines.txt");
    fs::write(&file, lines.join("\n") + "\n").expect("written");
    let mut command = Command::new("bash");
    command.args(["-c", "exec \"$0\" console-producer \"${@:2}\" < \"$1\""]).arg(stack().join("kafka-tool.sh")).arg(file);
    command.args(["--bootstrap-server", &kafka().bootstrap, "--topic", topic]);
    command.args(properties.iter().flat_map(|property| ["--reader-property", property]));
    run(&mut command, PATIENCE).success();
}

pub(crate) fn stack() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stack")
}

#[track_caller]
pub(crate) fn stop(worker: &mut Process) {
    assert!(worker.terminate(PATIENCE).success(), "{worker}");
    assert!(!worker.log().contains("panicked"), "{worker}");
}

/// A small generator of numbers (SplitMix64), so that a failure can be repeated by its seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}
