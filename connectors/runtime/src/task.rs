//! What all tasks have in common.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use lakefeed_core::{Error, ErrorKind, Result, TaskContext};
use lakefeed_kafka::{Consumer, Event, partition_count};

use crate::active_topics::ActiveTopics;
use crate::backoff::sleep;
use crate::connector::Connector;
use crate::stats::{TaskState, TaskStats};
use crate::worker_config::WorkerConfig;

/// How long a task waits to learn how many partitions its topics have.
const METADATA_TIMEOUT: Duration = Duration::from_secs(5);

const RUN: u8 = 0;
const PAUSE: u8 = 1;
const STOP: u8 = 2;

/// What a task has been told from outside; it looks between two batches.
#[derive(Debug, Clone, Default)]
pub(crate) struct Orders(Arc<AtomicU8>);

impl Orders {
    /// Publish and commit what is held, then end. It can't be taken back.
    pub(crate) fn stop(&self) {
        self.0.store(STOP, Ordering::Release);
    }

    /// Read nothing for now, but stay in the group; or go on.
    pub(crate) fn pause(&self, paused: bool) {
        let order = if paused { PAUSE } else { RUN };
        // An error says that it is told to stop, which holds.
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| (now != STOP).then_some(order));
    }

    pub(crate) fn stopped(&self) -> bool {
        self.0.load(Ordering::Acquire) == STOP
    }

    fn paused(&self) -> bool {
        self.0.load(Ordering::Acquire) == PAUSE
    }
}

/// What a task runs with.
#[derive(Debug)]
pub(crate) struct TaskEnv {
    pub(crate) connector: Connector,
    pub(crate) worker: WorkerConfig,
    pub(crate) context: TaskContext,
    pub(crate) stats: Arc<TaskStats>,
    pub(crate) orders: Orders,
    /// The topics that the connector has used.
    pub(crate) topics: Arc<ActiveTopics>,
    /// The offset of the connector's configuration in the config topic of the cluster.
    pub(crate) generation: i64,
}

impl TaskEnv {
    pub(crate) fn consumer_settings(&self) -> lakefeed_kafka::ClientSettings {
        self.connector
            .group_settings(&self.worker)
            .or("client.id", &format!("connector-consumer-{}-{}", self.connector.name, self.context.task))
    }

    /// Joins the group. What is read ahead is an 8th of the memory budget.
    pub(crate) fn consumer(&self) -> Result<Consumer> {
        let topics = self.connector.subscription();
        let settings = self.consumer_settings();
        // Without an answer a middling number: whether the brokers can be reached shows later, and is said then.
        let partitions = partition_count(&settings, &topics, METADATA_TIMEOUT).ok().filter(|n| *n > 0).unwrap_or(16);
        let settings = settings.read_ahead(self.context.budget.limit() / 8, partitions);
        // How far behind it is, among others.
        let settings = settings.or("statistics.interval.ms", "5000");
        Consumer::new(&settings, &topics)
    }

    /// What a consumer's queues hold of the memory budget: a quarter at most, or a worker with very many partitions would have no room for rows.
    pub(crate) fn queue_share(&self, consumer: &Consumer) -> usize {
        consumer.queue_bytes().min(self.context.budget.limit() / 4)
    }

    pub(crate) fn producer_settings(&self) -> lakefeed_kafka::ClientSettings {
        self.worker
            .client("producer", &self.connector.config)
            .or("client.id", &format!("connector-producer-{}-{}", self.connector.name, self.context.task))
    }

    pub(crate) fn admin_settings(&self) -> lakefeed_kafka::ClientSettings {
        self.worker.client("admin", &self.connector.config)
    }

    /// Whether the task is told to read nothing for now; its state says so too.
    pub(crate) fn paused(&self) -> bool {
        let paused = self.orders.paused();
        let state = if paused { TaskState::Paused } else { TaskState::Running };
        if self.stats.state() != state {
            self.stats.set_state(state);
            tracing::info!(target: "lakefeed", connector = %self.connector.name, task = self.context.task, "{}", if paused { "Paused" } else { "Resumed" });
        }
        paused
    }

    /// Serves the group; brokers that can't be asked now are asked again by the next call.
    pub(crate) fn serve_group(&self, consumer: &mut Consumer, wait: Duration) -> Result<Vec<Event>> {
        match consumer.poll(wait) {
            Err(error) if error.kind() == ErrorKind::Retry && !consumer.is_given_up() => {
                tracing::warn!(target: "lakefeed", connector = %self.connector.name, error = %error.chain(), "The group can't be served now");
                Ok(Vec::new())
            }
            served => served,
        }
    }

    /// Calls `attempt` until it ends by itself; after passing trouble again, from what was committed, with growing waits.
    pub(crate) fn run(&self, mut attempt: impl FnMut(&Self) -> Result<()>) -> Result<()> {
        let (mut backoff, mut attempts) = (self.connector.restart_backoff(), 0);
        loop {
            self.stats.set_state(TaskState::Running);
            let started = Instant::now();
            let error = match attempt(self) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() != ErrorKind::Retry => return Err(error),
                Err(error) => error,
            };
            if self.orders.stopped() {
                return Err(error);
            }
            if started.elapsed().as_secs() > 60 {
                backoff.reset();
                attempts = 0;
            }
            if self.connector.restart_attempts().is_some_and(|limit| attempts >= limit) {
                return Err(
                    Error::retry(format!("the task has started over {attempts} times (task.restart.max.attempts)")).with_source(error)
                );
            }
            attempts += 1;
            let delay = backoff.delay();
            tracing::warn!(
                target: "lakefeed", connector = %self.connector.name, task = self.context.task, error = %error.chain(), delay_ms = delay.as_millis() as u64,
                "Trouble; the task starts over from its committed offsets"
            );
            self.stats.set_trouble(TaskState::Restarting, error.chain());
            self.stats.restarts.add(1);
            sleep(delay, &self.orders);
            if self.orders.stopped() {
                return Err(error);
            }
        }
    }
}

/// Counts how long a task has been at work: from its first row to its last.
#[derive(Debug)]
pub(crate) struct BusyTime {
    first: Option<Instant>,
}

impl BusyTime {
    pub(crate) fn new() -> Self {
        Self { first: None }
    }

    pub(crate) fn mark(&mut self, stats: &TaskStats) {
        let first = *self.first.get_or_insert_with(Instant::now);
        let ms = u64::try_from(first.elapsed().as_millis()).unwrap_or(u64::MAX);
        stats.busy_ms.store(ms.max(1), Ordering::Relaxed);
    }
}

/// The error of a wrong plugin: it made something else than its kind.
pub(crate) fn wrong_kind(env: &TaskEnv) -> Error {
    Error::fatal(format!("{}: the plugin is of another kind", env.connector.plugin.class))
}
