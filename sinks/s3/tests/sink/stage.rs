//! A sink on a local directory, driven by hand: rows come when the test says so, and time passes when it says so.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{ArrayRef, BinaryArray, RecordBatch};
use lakefeed_core::{
    Assignment, Batch, Budget, Make, ManualClock, Sink, SinkContext, SourceOffsets, TaskContext, TaskMetrics, TopicPartition,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

struct NoOffsets;

impl SourceOffsets for NoOffsets {
    fn get(&self, _: &str) -> Option<String> {
        None
    }
}

pub(crate) struct Stage {
    runtime: Runtime,
    pub(crate) dir: TempDir,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) partition: TopicPartition,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let dir = TempDir::new().expect("temporary folder");
        Self { runtime, dir, clock: Arc::new(ManualClock::new(1_700_000_000_400)), partition: TopicPartition::new("t", 0) }
    }

    /// A new incarnation that reads from `position`. Drop the last one before.
    pub(crate) fn sink(&self, keys: &str, position: i64) -> Driven<'_> {
        let guard = self.runtime.enter();
        let mut values =
            vec![("store.url".to_owned(), format!("file:{}", self.dir.path().display())), ("topics.dir".into(), String::new())];
        values.extend(keys.split_whitespace().filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())));
        let common = ["errors.tolerance", "topics", "transforms"]
            .map(|name| lakefeed_core::Key::new(name, lakefeed_core::KeyKind::String, "The worker's."));
        let config = (lakefeed_s3::PLUGIN.def)()
            .keys(&common)
            .prefix("transforms.", "The worker's.")
            .parse(&values.into_iter().collect())
            .expect("valid keys");
        let context = TaskContext {
            connector: "c".into(),
            task: 0,
            tasks: 1,
            clock: self.clock.clone(),
            budget: Budget::new(1 << 30),
            incarnation: format!("i{position}-{:?}", Instant::now()),
            metrics: TaskMetrics::new(Arc::default(), "c".into(), 0),
            offsets: Arc::new(NoOffsets),
        };
        let Make::Sink(make) = lakefeed_s3::PLUGIN.make else { panic!("a sink") };
        let mut sink = make(&config, &context).expect("a sink");
        sink.assigned(&[Assignment { partition: self.partition.clone(), position }]).expect("assigned");
        Driven { stage: self, sink, caught_up: vec![self.partition.clone()], _guard: guard }
    }

    /// The files below the root, sorted.
    pub(crate) fn files(&self) -> Vec<String> {
        fn walk(folder: &Path, root: &Path, found: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    walk(&path, root, found);
                } else if !entry.file_name().to_string_lossy().starts_with('.') {
                    found.push(path.strip_prefix(root).expect("below").to_string_lossy().into_owned());
                }
            }
        }
        let mut found = Vec::new();
        walk(self.dir.path(), self.dir.path(), &mut found);
        found.sort();
        found
    }
}

pub(crate) struct Driven<'a> {
    stage: &'a Stage,
    pub(crate) sink: Box<dyn Sink>,
    /// Of these partitions nothing is left to read.
    pub(crate) caught_up: Vec<TopicPartition>,
    _guard: tokio::runtime::EnterGuard<'a>,
}

impl Driven<'_> {
    /// Hands rows of one batch over; what was refused, by offset.
    pub(crate) fn put(
        &mut self, first_offset: i64, timestamps: &[i64], columns: Vec<(&str, ArrayRef)>,
    ) -> Vec<(i64, lakefeed_core::Rejected)> {
        let partition = self.stage.partition.clone();
        self.put_of(partition, first_offset, timestamps, columns)
    }

    /// As [`Driven::put`], rows of another partition.
    pub(crate) fn put_of(
        &mut self, partition: TopicPartition, first_offset: i64, timestamps: &[i64], columns: Vec<(&str, ArrayRef)>,
    ) -> Vec<(i64, lakefeed_core::Rejected)> {
        let rows = RecordBatch::try_from_iter(columns).expect("a batch");
        let count = rows.num_rows() as i64;
        let batch = Batch {
            partition,
            rows,
            offsets: (first_offset..first_offset + count).collect(),
            timestamps: timestamps.to_vec().into(),
            keys: BinaryArray::from(vec![None; timestamps.len()]),
            headers: None,
            tombstones: Vec::new(),
            next_offset: first_offset + count,
        };
        let mut context = SinkContext::default();
        self.sink.put(batch, &mut context).expect("taken");
        context.rejected
    }

    pub(crate) fn poll(&mut self) {
        self.sink.caught_up(&self.caught_up);
        self.sink.poll(&mut SinkContext::default()).expect("polled");
    }

    /// Lets the sink work until there are these files, and sees that they are not joined by others.
    #[track_caller]
    pub(crate) fn expect_files(&mut self, expected: &[String], what: &str) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.stage.files() != expected && Instant::now() < deadline {
            self.poll();
            std::thread::sleep(Duration::from_millis(1));
        }
        (0..5).for_each(|_| self.poll());
        assert_eq!(self.stage.files(), expected, "{what}");
    }

    /// Gives the partition up: everything is published.
    pub(crate) fn finish(mut self) -> i64 {
        let partitions = [self.stage.partition.clone()];
        let durable = self.sink.revoked(&partitions, Duration::from_secs(10)).expect("revoked");
        durable[0].1
    }
}
