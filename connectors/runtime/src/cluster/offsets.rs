//! How far sources have come, in the offset topic.

use std::sync::Arc;
use std::time::Duration;

use lakefeed_core::{Position, Result, SourceOffsets};
use lakefeed_kafka::{ClientSettings, Producer};
use serde_json::Value;

use crate::backoff::sleep;
use crate::cluster::log::{Log, Of};
use crate::cluster::records::{Pair, Status, StatusKey, changed_offsets, offset_record};
use crate::stats::TaskState;
use crate::task::TaskEnv;
use crate::worker_config::WorkerConfig;

/// How often a task that waits for others looks again.
const PAUSE: Duration = Duration::from_millis(50);

/// The positions of all sources of the cluster.
#[derive(Debug, Clone)]
pub(crate) struct TopicOffsets {
    log: Arc<Log>,
    worker: WorkerConfig,
    worker_id: String,
}

/// A partition's text in one form: as the topic's records are read.
fn canonical(partition: &str) -> String {
    serde_json::from_str::<Value>(partition).map_or_else(|_| Value::from(partition).to_string(), |value| value.to_string())
}

impl TopicOffsets {
    pub(crate) fn new(log: Arc<Log>, worker: &WorkerConfig, worker_id: &str) -> Self {
        Self { log, worker: worker.clone(), worker_id: worker_id.to_owned() }
    }

    pub(crate) fn list(&self, connector: &str) -> Vec<Position> {
        let view = self.log.view();
        let positions = view.offsets.get(connector).into_iter().flatten();
        positions.map(|(partition, offset)| Position { partition: partition.clone(), offset: offset.clone() }).collect()
    }

    /// Waits until everything is known that is committed now.
    pub(crate) fn catch_up(&self) -> Result<()> {
        self.log.catch_up(Of::Offset)
    }

    pub(crate) fn of(&self, connector: &str) -> Arc<dyn SourceOffsets> {
        Arc::new(OfConnector { log: Arc::clone(&self.log), connector: connector.to_owned() })
    }

    /// The producer of a task's rows and positions in transactions. It ends those that a predecessor left open, and fences one that was taken for dead.
    pub(crate) fn producer(&self, settings: &ClientSettings, connector: &str, task: u32) -> Result<Producer> {
        // As in Kafka Connect.
        let id = format!("{}-{connector}-{task}", self.log.config.group);
        let producer = Producer::new(&settings.clone().set("transactional.id", &id).or("message.timeout.ms", "60000"))?;
        producer.init_transactions()?;
        Ok(producer)
    }

    /// Sends positions by the task's own producer: in its transaction, or after its rows.
    pub(crate) fn send(&self, producer: &Producer, connector: &str, positions: &[Position]) -> Result<()> {
        let pair = |p: &Position| offset_record(connector, &canonical(&p.partition), Some(&p.offset));
        self.log.send(producer, Of::Offset, &positions.iter().map(pair).collect::<Vec<_>>())
    }

    /// Sets and forgets positions of a connector that is stopped. A task of a worker that was taken for dead, and is not, can't commit any more.
    pub(crate) fn replace(&self, connector: &str, tasks: u32, positions: &[Position]) -> Result<()> {
        let mut producer = None;
        if self.worker.transactions() {
            let settings = self.worker.client_of("producer").set("linger.ms", "0");
            for task in 0..tasks {
                producer.get_or_insert(self.producer(&settings, connector, task)?);
            }
        }
        self.catch_up()?;
        let positions: Vec<_> =
            positions.iter().map(|p| Position { partition: canonical(&p.partition), offset: p.offset.clone() }).collect();
        let pairs: Vec<Pair> = changed_offsets(connector, &self.list(connector), &positions);
        if pairs.is_empty() {
            return Ok(());
        }
        match producer {
            Some(producer) => {
                producer.begin()?;
                self.log.send(&producer, Of::Offset, &pairs)?;
                producer.commit_transaction()?;
            }
            None => self.log.put(&self.worker, Of::Offset, &pairs)?,
        }
        self.log.wait_until(Of::Offset, |view| view.has_offsets(&pairs))
    }

    /// Makes sure that a source task may begin: no task of the connector works with another configuration, and all offsets are known. False: the task is
    /// told to end.
    ///
    /// With another configuration files or tables may be shared out differently among the tasks, so that two would read the same. Each task says
    /// that it is at work before it looks at what the others say; so of two tasks one at least sees the other.
    pub(crate) fn begin(&self, env: &TaskEnv) -> Result<bool> {
        let (name, task) = (&env.connector.name, env.context.task);
        let state = TaskState::Running.name().to_owned();
        let status = Status { state, trace: None, worker_id: self.worker_id.clone(), generation: env.generation };
        self.log.put(&self.worker, Of::Status, &[StatusKey::Task(name.clone(), task).record(Some(&status))])?;
        let other = |(number, status): &(u32, Status)| *number != task && status.generation != env.generation && status.is_at_work();
        while self.log.tasks(name).iter().any(other) {
            if env.orders.stopped() {
                return Ok(false);
            }
            sleep(PAUSE, &env.orders);
        }
        self.catch_up()?;
        Ok(!env.orders.stopped())
    }
}

struct OfConnector {
    log: Arc<Log>,
    connector: String,
}

impl SourceOffsets for OfConnector {
    fn get(&self, partition: &str) -> Option<String> {
        self.log.view().offsets.get(&self.connector)?.get(&canonical(partition)).cloned()
    }
}
