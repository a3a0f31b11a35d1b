//! The sink: all topic-partitions of a task.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_schema::SchemaRef;
use lakefeed_core::{
    Assignment, Batch, Budget, Clock, Config, ConfigError, Error, ErrorKind, RejectStore, Result, Share, Sink, SinkContext, TaskContext,
    TopicPartition,
};
use lakefeed_store::Store;
use tokio::sync::mpsc;

use crate::config::{Nulls, Settings};
use crate::error_output::ErrorOutput;
use crate::metadata;
use crate::metrics::{Cause, SinkMetrics};
use crate::numbers::Blocks;
use crate::partitioner::Partitioner;
use crate::requests::Requests;
use crate::rows::Rows;
use crate::stale::Sweeper;
use crate::upload::{Beside, Report};
use crate::writer::{PartitionWriter, Shared};

/// Reports that wait to be read; uploads wait with theirs when there are more.
const REPORTS_MAX: usize = 1024;

/// How often all files are looked at: there can be thousands of them.
const POLL_MS: i64 = 20;

/// The longest that unfinished uploads have to clean up when the sink ends.
const CLEAN_UP: Duration = Duration::from_secs(5);

pub(crate) struct S3Sink {
    shared: Shared,
    partitioner: Partitioner,
    error_output: Option<ErrorOutput>,
    reports: mpsc::Receiver<Report>,
    writers: HashMap<TopicPartition, PartitionWriter>,
    /// The partition behind the index of a report.
    indices: Vec<TopicPartition>,
    clock: Arc<dyn Clock>,
    /// What the budget was told last.
    share: Share,
    /// When all files were looked at last.
    polled_ms: i64,
    /// The schema without the columns that the path repeats, for the last schema seen.
    kept: Option<(SchemaRef, Vec<usize>)>,
    sweeper: Sweeper,
}

impl S3Sink {
    /// Opens the store, and asks it for a sign of life.
    pub(crate) fn open(config: &Config, context: &TaskContext) -> Result<Self> {
        let settings = Settings::read(config).map_err(|errors| {
            ConfigError::into_error(&context.connector, &errors)
                .unwrap_or_else(|| Error::config(format!("{} is not valid", context.connector)))
        })?;
        let store = Store::open(&settings.store)?.counting(&context.metrics);
        let runtime = tokio::runtime::Handle::current();
        runtime.block_on(store.probe_folder(&settings.probe_folder))?;
        if !settings.format.has_footer() && !runtime.block_on(store.keeps_metadata(&settings.probe_folder))? {
            return Err(Error::config(format!(
                "{} keeps no extended attributes, in which a file of JSON or Avro says which offsets it holds: choose \
                 format.class=ParquetFormat or another file system",
                store.location()
            )));
        }
        let (sender, reports) = mpsc::channel(REPORTS_MAX);
        let partitioner = Partitioner::new(&settings);
        let requests = Requests::new(settings.retry_backoff_ms, settings.denied_timeout_ms);
        let sweeper = Sweeper::new(settings.abort_age_ms);
        let error_output =
            settings.error_prefix.clone().map(|p| ErrorOutput::new(p, &settings.layout, store.clone(), Arc::clone(&context.clock)));
        let shared = Shared {
            settings: Arc::new(settings),
            store,
            incarnation: context.incarnation.clone(),
            reports: sender,
            beside: Beside::new(requests),
            metrics: Arc::new(SinkMetrics::new(&context.metrics)),
            epochs: Arc::default(),
            blocks: Blocks::default(),
        };
        Ok(Self {
            shared,
            partitioner,
            error_output,
            reports,
            writers: HashMap::new(),
            indices: Vec::new(),
            clock: Arc::clone(&context.clock),
            share: Share::of(&context.budget),
            polled_ms: i64::MIN / 2,
            kept: None,
            sweeper,
        })
    }

    /// The batch without the columns that the path repeats.
    fn drop_columns(&mut self, batch: &Batch) -> Result<arrow_array::RecordBatch> {
        if !self.shared.settings.drop_columns {
            return Ok(batch.rows.clone());
        }
        let schema = batch.rows.schema_ref();
        if self.kept.as_ref().is_none_or(|(known, _)| !Arc::ptr_eq(known, schema)) {
            let dropped = self.partitioner.columns();
            let keep = (0..schema.fields().len()).filter(|i| !dropped.contains(&schema.field(*i).name().as_str()));
            self.kept = Some((Arc::clone(schema), keep.collect()));
        }
        let keep = self.kept.as_ref().map_or(&[][..], |(_, keep)| keep);
        batch.rows.project(keep).map_err(|e| Error::fatal("can't leave out the partition columns").with_source(e))
    }

    fn take_reports(&mut self, context: &mut SinkContext) -> Result<()> {
        let now_ms = self.clock.now_ms();
        while let Ok(report) = self.reports.try_recv() {
            let Some(writer) = self.indices.get(report.partition).and_then(|p| self.writers.get_mut(p)) else { continue };
            if writer.epoch() != report.epoch {
                continue;
            }
            if let Some(position) = writer.report(report, now_ms)? {
                context.seek(writer.partition.clone(), position);
            }
        }
        Ok(())
    }

    /// The batch without the rows that can't have their metadata columns; they are rejected.
    fn fit_for_metadata(&self, batch: Batch, context: &mut SinkContext) -> Result<Batch> {
        let unfit = metadata::unfit(&self.shared.settings.metadata, &batch);
        if unfit.is_empty() {
            return Ok(batch);
        }
        let rest = metadata::without(&batch, &unfit)?;
        for (row, field, message) in unfit {
            context.reject(batch.offsets[row], field, message);
        }
        Ok(rest)
    }

    /// Tells the budget what is held. While more than [`closing_bytes`] are in use, beside what is on its way into the store already, the largest files
    /// are closed.
    fn balance(&mut self) -> Result<()> {
        let rejected = self.error_output.as_ref().map_or(0, ErrorOutput::held_bytes);
        let held = rejected + self.writers.values_mut().map(PartitionWriter::held_bytes).sum::<usize>();
        // Of what files have left behind a part is enough, and nothing for a sink at rest: other tasks share the budget.
        let spare = self.shared.blocks.keep(held / 8);
        self.share.set(held + spare + self.shared.beside.requests.held_bytes());
        let closed: usize = self.writers.values().map(PartitionWriter::closed_bytes).sum();
        let budget = self.share.budget();
        let mut over = budget.used().saturating_sub(closing_bytes(budget) + closed);
        if over == 0 {
            return Ok(());
        }
        // All files are looked at once, and not for each that is closed: there can be thousands, far apart in memory.
        let open = self.writers.values().flat_map(|w| w.open_files().map(|(lake, bytes)| (bytes, &w.partition, lake)));
        let mut open: Vec<_> = open.collect();
        open.sort_unstable_by_key(|(bytes, ..)| Reverse(*bytes));
        let enough = open.iter().position(|(bytes, ..)| {
            over = over.saturating_sub(*bytes);
            over == 0
        });
        open.truncate(enough.map_or(open.len(), |last| last + 1));
        let largest: Vec<_> = open.into_iter().map(|(bytes, partition, lake)| (bytes, partition.clone(), Arc::clone(lake))).collect();
        for (bytes, partition, lake) in largest {
            if let Some(writer) = self.writers.get_mut(&partition) {
                tracing::debug!(target: "lakefeed", %partition, %lake, bytes, "Short of memory: closing the largest file");
                writer.close(&lake, Cause::Memory)?;
            }
        }
        Ok(())
    }

    fn measure(&self, now_ms: i64) {
        let (mut open, mut oldest) = (0, None);
        for (count, since) in self.writers.values().map(PartitionWriter::files) {
            open += count;
            oldest = oldest.into_iter().chain(since).min();
        }
        let metrics = &self.shared.metrics;
        metrics.open_files.set(open as f64);
        metrics.oldest.set(oldest.map_or(0, |since: i64| (now_ms - since).max(0)) as f64 / 1000.0);
    }

    /// Publishes everything that the partitions hold, until the deadline.
    fn drain(&mut self, partitions: &[TopicPartition], deadline: Instant) -> Result<()> {
        let mut context = SinkContext::default();
        loop {
            self.take_reports(&mut context)?;
            let now_ms = self.clock.now_ms();
            let mut idle = true;
            for partition in partitions {
                if let Some(writer) = self.writers.get_mut(partition) {
                    // Rows that were set aside become files when the store has answered.
                    writer.close_all()?;
                    writer.poll(now_ms)?;
                    idle &= writer.is_idle();
                }
            }
            if idle {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Error::retry("the store did not take everything in time; the rest is read again from the committed offsets"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Sink for S3Sink {
    fn assigned(&mut self, partitions: &[Assignment]) -> Result<()> {
        for assignment in partitions {
            if let Some(output) = &mut self.error_output {
                output.forget(std::slice::from_ref(&assignment.partition));
            }
            let partition = assignment.partition.clone();
            let index = self.indices.iter().position(|p| *p == partition).unwrap_or_else(|| {
                self.indices.push(partition.clone());
                self.indices.len() - 1
            });
            let writer = PartitionWriter::new(partition.clone(), assignment.position, index, self.shared.clone());
            self.writers.insert(partition, writer);
        }
        Ok(())
    }

    fn put(&mut self, batch: Batch, context: &mut SinkContext) -> Result<()> {
        let now_ms = self.clock.now_ms();
        let why = match self.shared.settings.nulls {
            Nulls::Fail => Some("the record has no value; set behavior.on.null.values=ignore to leave such records out"),
            Nulls::Report => Some("the record has no value and is left out; set report.null.values.to.dlq=false not to be told"),
            Nulls::Ignore => None,
        };
        for (offset, why) in why.iter().flat_map(|why| batch.tombstones.iter().map(move |offset| (offset, why))) {
            context.reject(*offset, None, (*why).into());
        }
        let batch = self.fit_for_metadata(batch, context)?;
        let groups = self.partitioner.group(&batch, now_ms);
        for (row, field, message) in groups.rejected {
            context.reject(batch.offsets[row as usize], field, message);
        }
        let events = self.partitioner.event_times(&batch);
        let rows = self.drop_columns(&batch)?;
        let columns = &self.shared.settings.metadata;
        let rows = if columns.is_empty() { rows } else { metadata::add(columns, &batch, &rows)? };
        let rows = Arc::new(Rows::new(rows, batch.offsets.clone(), batch.timestamps.clone(), events));
        let bytes = rows.held_bytes();
        let Some(writer) = self.writers.get_mut(&batch.partition) else {
            return Err(Error::fatal(format!("{}: rows came before the assignment", batch.partition)));
        };
        writer.progress.batch(now_ms);
        for (lake, indices) in groups.rows {
            writer.append(&lake, &rows, indices, now_ms)?;
        }
        writer.read_to(batch.next_offset, rows)?;
        // About; what is held is counted by the next `poll`, or at once when that matters.
        self.share.set(self.share.held() + bytes);
        let budget = self.share.budget();
        if budget.used() > closing_bytes(budget) { self.balance() } else { Ok(()) }
    }

    fn caught_up(&mut self, partitions: &[TopicPartition]) {
        let now_ms = self.clock.now_ms();
        for partition in partitions {
            if let Some(writer) = self.writers.get_mut(partition) {
                writer.progress.caught_up(now_ms);
            }
        }
    }

    fn poll(&mut self, context: &mut SinkContext) -> Result<()> {
        self.shared.beside.reap()?;
        self.take_reports(context)?;
        let now_ms = self.clock.now_ms();
        if (0..POLL_MS).contains(&(now_ms - self.polled_ms)) {
            return Ok(());
        }
        self.polled_ms = now_ms;
        for writer in self.writers.values_mut() {
            writer.poll(now_ms)?;
            self.sweeper.visit(&writer.partition, now_ms, &self.shared);
        }
        self.measure(now_ms);
        if let Some(output) = &mut self.error_output {
            output.relieve(|| durable(&self.writers))?;
        }
        self.balance()
    }

    fn ready(&self) -> bool {
        self.share.budget().over() == 0
    }

    fn durable(&mut self) -> Vec<(TopicPartition, i64)> {
        durable(&self.writers)
    }

    fn layout(&self) -> String {
        self.shared.settings.described.clone()
    }

    fn reject_store(&mut self) -> Option<&mut dyn RejectStore> {
        self.error_output.as_mut().map(|output| output as &mut dyn RejectStore)
    }

    fn awaited(&self) -> Vec<(TopicPartition, i64)> {
        self.writers.values().filter_map(|w| Some((w.partition.clone(), w.awaited()?))).collect()
    }

    fn revoked(&mut self, partitions: &[TopicPartition], deadline: Duration) -> Result<Vec<(TopicPartition, i64)>> {
        if let Some(output) = self.error_output.as_mut().filter(|_| deadline.is_zero()) {
            // Lost: nothing is committed any more.
            output.forget(partitions);
        }
        let drained = if deadline.is_zero() { Ok(()) } else { self.drain(partitions, Instant::now() + deadline) };
        let mut durable = Vec::new();
        for partition in partitions {
            if let Some(writer) = self.writers.remove(partition) {
                if writer.skipped > 0 {
                    tracing::info!(target: "lakefeed", %partition, records = writer.skipped, "Records were in the lake already");
                }
                durable.push((partition.clone(), writer.committable()));
            }
        }
        self.balance()?;
        if let Err(error) = drained {
            if error.kind() != ErrorKind::Retry {
                return Err(error);
            }
            tracing::warn!(target: "lakefeed", error = %error.chain(), "Not everything is published");
        }
        Ok(durable)
    }
}

/// Above this files are closed. What is left of the budget is for what is on its way into the store: so there is room again before reading has to stop.
fn closing_bytes(budget: &Budget) -> usize {
    budget.limit() / 16 * 13
}

/// The offset of each partition below which every row is in the lake.
fn durable(writers: &HashMap<TopicPartition, PartitionWriter>) -> Vec<(TopicPartition, i64)> {
    writers.values().map(|w| (w.partition.clone(), w.committable())).collect()
}

impl Drop for S3Sink {
    fn drop(&mut self) {
        // Without owners uploads that are not complete clean up after themselves.
        self.writers.clear();
        self.reports.close();
        self.shared.beside.join(CLEAN_UP);
    }
}
