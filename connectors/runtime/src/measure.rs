//! What the worker tells of itself in numbers when it is asked, beside what its tasks count.

use std::collections::HashMap;
use std::time::Instant;

use lakefeed_core::{Gauge, MetricKind, Sample, TopicPartition};
use lakefeed_kafka::Consumer;

use crate::stats::TaskState;
use crate::task::TaskEnv;
use crate::task_thread::Task;
use crate::worker::Shared;

impl Shared {
    /// All metrics as they are now.
    pub(crate) fn measure(&self, tasks: &[Task]) -> Vec<Sample> {
        let gauge = |name, help, labels, value| Sample { name, help, kind: MetricKind::Gauge, labels, value };
        let mut samples = self.metrics.samples();
        samples.push(gauge("lakefeed_memory_budget_bytes", "The limit of what is buffered.", Vec::new(), self.budget.limit() as f64));
        samples.push(gauge("lakefeed_memory_budget_used_bytes", "What is buffered.", Vec::new(), self.budget.used() as f64));
        for task in tasks {
            let labels = vec![
                ("connector", task.connector.clone()),
                ("task", task.task.to_string()),
                ("state", name_of(task.stats.state()).to_owned()),
            ];
            samples.push(gauge("lakefeed_task_state", "1 for the state that the task is in.", labels, 1.0));
        }
        samples
    }
}

fn name_of(state: TaskState) -> &'static str {
    match state {
        TaskState::Unassigned => "unassigned",
        TaskState::Running => "running",
        TaskState::Restarting => "restarting",
        TaskState::Paused => "paused",
        TaskState::Stopped => "stopped",
        TaskState::Failed => "failed",
    }
}

/// How far a task is behind its topics.
#[derive(Debug)]
pub(crate) struct Lag {
    records: HashMap<TopicPartition, Gauge>,
    /// The age of the record that was read last when it was read.
    age: Gauge,
    read: Instant,
    looked: Instant,
}

impl Lag {
    pub(crate) fn new(env: &TaskEnv) -> Self {
        let help = "How old the last record was when it was read; 0: there is nothing more to read.";
        let age = env.context.metrics.gauge("lakefeed_record_age_seconds", help, &[]);
        Self { records: HashMap::new(), age, read: Instant::now(), looked: Instant::now() }
    }

    /// Takes note of what was read: the timestamp of its last record, or that nothing was there. The lag is looked at once a second.
    pub(crate) fn note(&mut self, env: &TaskEnv, consumer: &Consumer, last_ms: Option<i64>) {
        if let Some(ms) = last_ms {
            let age_ms = if ms < 0 { 0 } else { (env.context.clock.now_ms() - ms).max(0) };
            self.age.set(age_ms as f64 / 1000.0);
            self.read = Instant::now();
        } else if self.read.elapsed().as_secs() > 0 {
            // In the middle of a backlog there is nothing for moments only.
            self.age.set(0.0);
        }
        if self.looked.elapsed().as_secs() == 0 {
            return;
        }
        self.looked = Instant::now();
        let lag = consumer.lag();
        self.records.retain(|known, _| lag.iter().any(|(partition, _)| partition == known));
        for (partition, records) in lag {
            let Some(records) = records else { continue };
            let help = "Records between the committed offset and the end of the topic's partition.";
            let labels = [("topic", &*partition.topic), ("partition", &*partition.partition.to_string())];
            let make = || env.context.metrics.gauge("lakefeed_consumer_lag_records", help, &labels);
            self.records.entry(partition.clone()).or_insert_with(make).set(records as f64);
        }
    }
}
