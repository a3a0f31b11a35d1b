//! The demo's worker, watched from start to end.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use lakefeed_core::{Error, Result};
use lakefeed_kafka::{ClientSettings, TopicSpec, ensure_topic, log_ends};
use lakefeed_runtime::{Snapshot, TaskState, Worker, WorkerConfig, read_connector, read_worker};

use super::{Args, Cluster, Folder};

/// Partitions of the demo's topics.
const PARTITIONS: i32 = 4;
/// Without any progress for so long the demo gives up.
const STALL: Duration = Duration::from_secs(90);
const TOPIC_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) struct Pipeline {
    worker: Worker,
}

/// What a stage has done.
#[derive(Clone, Copy)]
pub(super) struct Stage {
    pub(super) name: &'static str,
    pub(super) done: Snapshot,
}

impl Pipeline {
    /// Makes the table's topic and starts the worker.
    pub(super) fn start(args: &Args, folder: &Folder, cluster: &Cluster) -> Result<Self> {
        let settings = ClientSettings::new(&cluster.bootstrap_servers());
        for topic in [args.table.clone(), format!("{}.stream", args.table)] {
            ensure_topic(&settings, &topic, &TopicSpec::with_partitions(Some(PARTITIONS)), TOPIC_TIMEOUT)?;
            if log_ends(&settings, &topic, TOPIC_TIMEOUT)?.iter().any(|(_, _, end)| *end > 0) {
                return Err(Error::config(format!(
                    "topic {topic} on {} has records already; choose another name with --table, or delete the topic",
                    cluster.bootstrap_servers()
                )));
            }
        }
        let values = read_worker(&folder.worker_file, &folder.variables)?;
        let config = WorkerConfig::parse(&folder.worker_file.display().to_string(), &values)?;
        let files = folder.connector_files.iter().map(|path| read_connector(path, &folder.variables)).collect::<Result<Vec<_>>>()?;
        Ok(Self { worker: Worker::start(&config, &files, &crate::plugins::all(), "demo")? })
    }

    fn stage(&self, class: &str) -> Snapshot {
        self.worker.tasks().iter().find(|t| t.class == class).map(|t| t.stats.snapshot()).unwrap_or_default()
    }

    /// Waits until every row has reached the sink.
    pub(super) fn watch(&self, rows: u64) -> Result<()> {
        let bar = ProgressBar::new(rows).with_style(style());
        let (mut seen, mut progress_at) = (0, Instant::now());
        loop {
            let (csv, dynamodb, sink) =
                (self.stage("CsvSourceConnector"), self.stage("DynamoDbProcessorConnector"), self.stage("S3SinkConnector"));
            bar.set_position((csv.rows_out + csv.rejected).min(rows));
            let failed = self.worker.tasks().iter().any(|t| t.stats.state() == TaskState::Failed);
            let produced = self.worker.tasks().iter().any(|t| t.class == "CsvSourceConnector" && t.stats.state() == TaskState::Stopped);
            if failed || produced && dynamodb.records_in >= csv.rows_out && sink.records_in >= dynamodb.rows_out {
                bar.finish_and_clear();
                return Ok(());
            }
            let total = csv.rows_out + dynamodb.records_in + sink.records_in;
            if total != seen {
                (seen, progress_at) = (total, Instant::now());
            }
            if progress_at.elapsed() > STALL {
                return Err(Error::retry(format!("nothing moves any more for {} s; the warnings above say why", STALL.as_secs())));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Stops the worker, which publishes and commits everything.
    pub(super) fn finish(self) -> Result<[Stage; 3]> {
        self.worker.stop();
        let tasks: Vec<_> = self.worker.tasks().iter().map(|t| (t.class, std::sync::Arc::clone(&t.stats))).collect();
        self.worker.join()?;
        let stage = |name, class| {
            let done = tasks.iter().find(|(c, _)| *c == class).map(|(_, stats)| stats.snapshot()).unwrap_or_default();
            Stage { name, done }
        };
        Ok([stage("csv", "CsvSourceConnector"), stage("dynamodb", "DynamoDbProcessorConnector"), stage("s3 sink", "S3SinkConnector")])
    }
}

fn style() -> ProgressStyle {
    // The template is a constant and valid; a plain bar would do as well.
    ProgressStyle::with_template("{bar:40} {pos}/{len} rows {per_sec} {eta}").unwrap_or_else(|_| ProgressStyle::default_bar())
}
