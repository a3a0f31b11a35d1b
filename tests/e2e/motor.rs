//! The motor pipeline for tests: a folder of its own, topics of its own, a worker process, and what the lake must hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use lakefeed_kit::{Process, kafka, minio, python_with, run, unique};
use tempfile::TempDir;

const LAKEFEED: &str = env!("CARGO_BIN_EXE_lakefeed");

/// Reads every Parquet file of a lake by pyarrow and prints the ids, sorted, with how often each is there if not once.
const READ_IDS: &str = r#"
import sys, json
import pyarrow.parquet as pq
from pyarrow import fs
url = sys.argv[1]
if url.startswith("s3://"):
    import os
    host = os.environ["AWS_ENDPOINT_URL"].split("://", 1)[1]
    files = fs.S3FileSystem(endpoint_override=host, scheme="http", access_key=os.environ["AWS_ACCESS_KEY_ID"],
                            secret_key=os.environ["AWS_SECRET_ACCESS_KEY"], region=os.environ["AWS_REGION"])
    root = url[5:]
else:
    files, root = fs.LocalFileSystem(), url
infos = files.get_file_info(fs.FileSelector(root, recursive=True))
paths = sorted(i.path for i in infos if i.path.endswith(".parquet"))
seen, nulls = {}, 0
for path in paths:
    table = pq.read_table(path, filesystem=files, partitioning=None)
    for i in table.column("id").to_pylist():
        seen[i] = seen.get(i, 0) + 1
double = [i for i, n in seen.items() if n != 1]
print(json.dumps({"files": len(paths), "ids": len(seen), "min": min(seen, default=0), "max": max(seen, default=0), "double": double[:5]}))
"#;

/// A command of the binary.
pub(crate) fn lakefeed(arguments: &[&str]) -> Command {
    let mut command = Command::new(LAKEFEED);
    command.args(arguments).env_remove("KAFKA_BOOTSTRAP").env_remove("LAKEFEED_LAKE").env("NO_COLOR", "1");
    for (name, value) in minio_environment() {
        command.env(name, value);
    }
    command
}

fn minio_environment() -> Vec<(&'static str, String)> {
    let minio = minio();
    let usual = minio.environment().into_iter().map(|(name, value)| (name, value.to_owned()));
    usual.chain([("S3_ENDPOINT", minio.endpoint.clone())]).collect()
}

/// The motor pipeline with a folder and names of its own.
pub(crate) struct Motor {
    pub(crate) dir: TempDir,
    pub(crate) table: String,
    pub(crate) bucket: String,
    pub(crate) rows: u64,
}

impl Motor {
    pub(crate) fn new(rows: u64) -> Self {
        let dir = TempDir::new().expect("temporary folder");
        std::fs::create_dir(dir.path().join("input")).expect("made");
        let csv = dir.path().join("input/pmsm.csv");
        let arguments = ["generate", "pmsm", "--rows", &rows.to_string(), "--seed", "7", "-o", &csv.to_string_lossy()];
        run(&mut lakefeed(&arguments), Duration::from_secs(60)).success();
        Self { dir, table: unique("pmsm"), bucket: minio().bucket(), rows }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn stream(&self) -> String {
        format!("{}.stream", self.table)
    }

    /// A worker with the demo's own connector files and the variables of this pipeline.
    pub(crate) fn worker(&self, files: &[&str]) -> Process {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("connectors/config");
        // The shipped files, but each pipeline has consumer groups of its own: Kafka is shared with other tests.
        let own = |file: &&str| {
            let text = std::fs::read_to_string(root.join(file)).expect("a connector file");
            assert!(text.contains("\nname=motor-"), "{file} has a name");
            let place = self.path(file);
            std::fs::write(&place, text.replace("\nname=motor-", &format!("\nname={}-", self.table))).expect("written");
            place.to_string_lossy().into_owned()
        };
        let mut paths: Vec<String> = files.iter().map(own).collect();
        // The shipped worker file, but a killed worker is missed by its group after 6 s and not after 45.
        let worker =
            std::fs::read_to_string(root.join("worker.properties")).expect("the worker file") + "\nconsumer.session.timeout.ms=6000\n";
        let place = self.path("worker.properties");
        std::fs::write(&place, worker).expect("written");
        paths.insert(0, place.to_string_lossy().into_owned());
        let arguments: Vec<&str> = std::iter::once("connect").chain(paths.iter().map(String::as_str)).collect();
        let mut command = lakefeed(&arguments);
        command
            .env("KAFKA_BOOTSTRAP", &kafka().bootstrap)
            .env("LAKEFEED_HOME", self.dir.path())
            .env("MOTOR_TABLE", &self.table)
            .env("MOTOR_AGE_MS", "1500")
            .env("S3_BUCKET", &self.bucket);
        Process::spawn(&mut command, self.path("worker.log"))
    }

    /// Asks the lake by `lakefeed sql`; CSV without its header.
    pub(crate) fn sql(&self, lake: &str, query: &str) -> Vec<String> {
        let query = query.replace("STREAM", &self.stream().replace(['.', '-'], "_"));
        let file = self.path("query.sql");
        std::fs::write(&file, query).expect("written");
        let arguments = ["sql", "--lake", lake, "--format", "csv", "-f", &file.to_string_lossy()];
        let answer = run(&mut lakefeed(&arguments), Duration::from_secs(120)).success();
        answer.lines().skip(1).map(str::to_owned).collect()
    }

    /// How many rows the lake holds; 0 while there is none.
    pub(crate) fn count(&self, lake: &str) -> u64 {
        let query = format!("SELECT count(*) FROM {}", self.stream().replace(['.', '-'], "_"));
        let answer = run(&mut lakefeed(&["sql", "--lake", lake, "--format", "csv", &query]), Duration::from_secs(120));
        if answer.code == Some(0) { answer.success().lines().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0) } else { 0 }
    }

    /// What another reader finds: the number of files; panics unless every id is there once.
    pub(crate) fn assert_each_row_once(&self, lake: &str) -> u64 {
        let environment = minio_environment();
        let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let found = python_with(READ_IDS, &[lake], &environment);
        let found: serde_json::Value = serde_json::from_str(&found).expect("JSON");
        let number = |name: &str| found[name].as_u64().expect("a number");
        assert_eq!((number("ids"), number("min"), number("max")), (self.rows, 1, self.rows), "{found}");
        assert_eq!(found["double"], serde_json::json!([]), "no row twice");
        number("files")
    }

    /// The answers of the grouped motor queries, computed from the CSV alone: per profile its rows and the sums of speed, coolant, ambient.
    pub(crate) fn expected(&self) -> BTreeMap<i64, (u64, [f64; 3])> {
        let text = std::fs::read_to_string(self.path("input/pmsm.csv")).expect("the CSV");
        let mut lines = text.lines();
        let header: Vec<&str> = lines.next().expect("a header").split(',').collect();
        let at = |name: &str| header.iter().position(|h| *h == name).expect("a column");
        let columns = ["motor_speed", "coolant", "ambient"].map(at);
        let profile = at("profile_id");
        let mut sums: BTreeMap<i64, (u64, [f64; 3])> = BTreeMap::new();
        for line in lines {
            let cells: Vec<&str> = line.split(',').collect();
            let entry = sums.entry(cells[profile].parse().expect("a number")).or_default();
            entry.0 += 1;
            for (sum, column) in entry.1.iter_mut().zip(columns) {
                *sum += cells[column].parse::<f64>().expect("a number");
            }
        }
        sums
    }

    /// Compares the answers of the queries in lake/queries with those computed from the CSV.
    pub(crate) fn assert_answers(&self, lake: &str) {
        let query = |name: &str| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("lake/queries").join(name);
            std::fs::read_to_string(path).expect("a query").replace("pmsm_temperature_stream", "STREAM")
        };
        let expected = self.expected();
        let counts: Vec<String> = expected.iter().map(|(profile, (rows, _))| format!("{profile},{rows}")).collect();
        assert_eq!(self.sql(lake, &query("03_rows_by_profile.sql")), counts);
        let sums = self.sql(lake, &query("04_sums_by_profile.sql"));
        assert_eq!(sums.len(), expected.len());
        for (line, (profile, (_, want))) in sums.iter().zip(&expected) {
            let cells: Vec<f64> = line.split(',').map(|cell| cell.parse().expect("a number")).collect();
            assert_eq!(cells[0] as i64, *profile);
            for (found, want) in cells[1..].iter().zip(want) {
                assert!((found - want).abs() <= want.abs() * 1e-9 + 1e-6, "profile {profile}: {found} is not {want}");
            }
        }
        assert_eq!(self.sql(lake, &query("01_first_rows.sql")).len(), 10);
        let groups = self.sql(lake, &query("02_by_pm.sql"));
        let total: f64 = self.sql(lake, "SELECT sum(pm) FROM STREAM")[0].parse().expect("a number");
        let summed: f64 = groups.iter().map(|line| line.split(',').nth(1).expect("sum").parse::<f64>().expect("a number")).sum();
        assert!((total - summed).abs() <= total.abs() * 1e-9, "{total} is not {summed}");
    }
}
