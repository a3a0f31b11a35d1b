//! Workers that are one cluster: connectors in a compacted topic, tasks shared out by a consumer group, states and source offsets in topics as well.
//! Topics, keys and values are those of Kafka Connect's distributed mode; nobody leads, and workers do not call each other.
//!
//! * The config topic is the truth. A [`Follower`](follower::Follower) on every worker applies its records in their order.
//! * A call that changes something is a transaction with the transactional id `GROUP-config`: starting it fences every other writer, then the topic is read to
//!   its end, then the call is granted or refused, then written. Who was fenced meanwhile begins again. So of two workers that make a
//!   connector of one name at the same time one is refused. The call is answered when its record has been read back.
//! * A [`Member`](member::Member) of the group `group.id` owns the tasks of its partitions, and tells their states.

pub(crate) mod config;
mod follower;
mod log;
mod member;
mod offsets;
mod records;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lakefeed_core::{Error, ErrorKind, Result};
use lakefeed_kafka::Producer;

use crate::files::{ConnectorFile, TargetState};
use crate::herd::Herd;
use crate::herder::{ConnectorStatus, Herder, Over, Refusal, Restart, TaskStatus};
use crate::stats::TaskState;
use crate::worker::random;
use crate::worker_config::WorkerConfig;

pub(crate) use config::ClusterConfig;
pub(crate) use log::Log;
pub(crate) use member::Places;
pub(crate) use offsets::TopicOffsets;

use follower::Follower;
use log::Of;
use member::Member;
use records::{Pair, StatusKey, connector_record, level_record, restart_record, target_record};

/// How long a change is tried while other workers make theirs.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// This worker's part of the cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    log: Arc<Log>,
    herder: Herder,
    worker: WorkerConfig,
    worker_id: String,
    /// The writer of the config topic, until it is fenced. One change at a time: two of one worker would fence each other.
    writer: Mutex<Option<Producer>>,
    /// The member first, which leaves the group.
    threads: Mutex<Vec<(Arc<AtomicBool>, JoinHandle<()>)>>,
}

impl Cluster {
    /// Reads the topics to their ends, then follows them and takes part in the group.
    pub(crate) fn start(worker: &WorkerConfig, worker_id: &str, log: Arc<Log>, herder: Herder) -> Result<Self> {
        herder.shared.set_places(Places::none_of(log.places));
        let follower = Follower { log: Arc::clone(&log), herder: herder.clone() };
        let started = Instant::now();
        log.read_all(|record| follower.apply(&record, false))?;
        let connectors = herder.herd().connectors.len();
        tracing::info!(target: "lakefeed", group = %log.config.group, connectors, ms = started.elapsed().as_millis() as u64, "The topics of the cluster are read");
        let millis = |duration: Duration| duration.as_millis().to_string();
        let group = worker
            .client_of("consumer")
            .set("group.id", &log.config.group)
            .set("client.id", worker_id)
            .set("group.protocol", "classic")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", &millis(log.config.session_timeout))
            .set("heartbeat.interval.ms", &millis(log.config.heartbeat_interval))
            .set("max.poll.interval.ms", &millis(log.config.rebalance_timeout.max(log.config.session_timeout)))
            // The group shares the partitions out; what is in them is read elsewhere.
            .set("auto.offset.reset", "latest")
            .set("queued.max.messages.kbytes", "64")
            .set("fetch.wait.max.ms", "500");
        let producer = worker.client_of("producer").set("client.id", &format!("{worker_id}-status")).set("linger.ms", "5");
        let member = Member { log: Arc::clone(&log), herder: herder.clone(), worker_id: worker_id.to_owned(), group, producer };
        let cluster = Self {
            log,
            herder,
            worker: worker.clone(),
            worker_id: worker_id.to_owned(),
            writer: Mutex::default(),
            threads: Mutex::default(),
        };
        cluster.spawn("cluster-member", move |end| member.run(end))?;
        cluster.spawn("cluster-log", move |end| follower.run(end))?;
        Ok(cluster)
    }

    fn spawn(&self, name: &str, body: impl FnOnce(&AtomicBool) + Send + 'static) -> Result<()> {
        let end = Arc::new(AtomicBool::new(false));
        let (runtime, seen) = (self.herder.shared.runtime.clone(), Arc::clone(&end));
        let body = move || {
            // Tasks that it starts want the runtime of uploads.
            let _entered = runtime.enter();
            body(&seen);
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(body);
        let thread = thread.map_err(|e| Error::fatal("can't start a thread").with_source(e))?;
        self.threads.lock().unwrap_or_else(|e| e.into_inner()).push((end, thread));
        Ok(())
    }

    /// Leaves the group and follows the topics no more; the tasks have ended.
    pub(crate) fn leave(&self) {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(|e| e.into_inner()));
        for (end, thread) in threads {
            end.store(true, Ordering::Release);
            if thread.join().is_err() {
                tracing::error!(target: "lakefeed", "A thread of the cluster has panicked; the log says where");
            }
        }
    }

    /// Waits until everything is known that the config topic holds now.
    pub(crate) fn catch_up(&self) -> Result<()> {
        self.log.catch_up(Of::Config)
    }

    /// Makes a connector, or changes it. Returns whether it is new.
    pub(crate) fn configure(&self, file: &ConnectorFile, over: Over<'_>) -> Result<bool, Refusal> {
        let mut new = false;
        self.write_connector(file, |herd| {
            new = herd.grants(&file.name(), over)?;
            Ok(true)
        })?;
        Ok(new)
    }

    /// Makes a connector, or changes it; one that has this configuration already stays untouched.
    pub(crate) fn introduce(&self, file: &ConnectorFile) -> Result<(), Refusal> {
        self.write_connector(file, |herd| Ok(herd.connectors.get(&file.name()).is_none_or(|entry| entry.raw != file.raw)))
    }

    /// Writes the configuration of a connector, if that is granted and `wanted`.
    fn write_connector(&self, file: &ConnectorFile, mut wanted: impl FnMut(&Herd) -> Result<bool, Refusal>) -> Result<(), Refusal> {
        let name = file.name();
        self.write(|herd| {
            if !wanted(herd)? {
                return Ok(Vec::new());
            }
            let mut pairs = vec![connector_record(&name, Some(&file.raw))];
            if !herd.knows(&name) && file.initial_state != TargetState::Running {
                // Before the connector, so that it never runs.
                pairs.insert(0, target_record(&name, Some(file.initial_state)));
            }
            Ok(pairs)
        })
    }

    pub(crate) fn delete(&self, name: &str) -> Result<(), Refusal> {
        self.write(
            |herd| if herd.knows(name) { Ok(vec![connector_record(name, None), target_record(name, None)]) } else { Err(Refusal::Unknown) },
        )
    }

    pub(crate) fn set_target(&self, name: &str, target: TargetState) -> Result<(), Refusal> {
        self.write(|herd| if herd.knows(name) { Ok(vec![target_record(name, Some(target))]) } else { Err(Refusal::Unknown) })
    }

    pub(crate) fn restart(&self, name: &str, which: Restart) -> Result<Vec<u32>, Refusal> {
        let (status, wanted) = {
            let herd = self.herder.herd();
            let entry = herd.connectors.get(name).ok_or(Refusal::Unknown)?;
            (self.fill(entry.status(), entry.wanted_tasks()), entry.wanted_tasks())
        };
        let failed = |task: &TaskStatus| task.state == TaskState::Failed;
        let numbers: Vec<u32> = match which {
            Restart::All => (0..wanted).collect(),
            Restart::Failed => status.tasks.iter().filter(|task| failed(task)).map(|task| task.task).collect(),
            Restart::One(task) => (task < wanted).then_some(task).into_iter().collect(),
        };
        if numbers.is_empty() {
            return if matches!(which, Restart::One(_)) { Err(Refusal::UnknownTask) } else { Ok(numbers) };
        }
        self.write(|herd| if herd.knows(name) { Ok(vec![restart_record(name, which)]) } else { Err(Refusal::Unknown) })?;
        Ok(numbers)
    }

    /// Sets the level of a part of every worker's log.
    pub(crate) fn set_level(&self, part: &str, level: &str) -> Result<(), Refusal> {
        self.write(|_| Ok(vec![level_record(part, level)]))
    }

    /// Decides on what the config topic holds now, and writes. Returns when this worker has applied it.
    fn write(&self, mut decide: impl FnMut(&Herd) -> Result<Vec<Pair>, Refusal>) -> Result<(), Refusal> {
        // Poisoned it holds a writer or none.
        let mut writer = self.writer.lock().unwrap_or_else(|e| e.into_inner());
        let settings = self
            .worker
            .client_of("producer")
            .set("client.id", &format!("{}-config", self.worker_id))
            .set("transactional.id", &format!("{}-config", self.log.config.group))
            .set("transaction.timeout.ms", "10000")
            .set("message.timeout.ms", "10000")
            .set("linger.ms", "0");
        let deadline = Instant::now() + WRITE_TIMEOUT;
        for attempt in 0_u64.. {
            let error = match self.write_once(&settings, &mut writer, &mut decide) {
                Ok(()) => return Ok(()),
                Err(Refusal::Failed(error)) if error.kind() != ErrorKind::Config => error,
                Err(refusal) => return Err(refusal),
            };
            if Instant::now() >= deadline {
                return Err(Refusal::Failed(error));
            }
            // Fenced by another worker, or passing trouble. Workers wait for different times, so that one of them gets through.
            tracing::debug!(target: "lakefeed", error = %error.chain(), "The config topic was not written; trying again");
            std::thread::sleep(Duration::from_millis(20 + random() % (50 << attempt.min(5))));
        }
        Ok(())
    }

    fn write_once(
        &self, settings: &lakefeed_kafka::ClientSettings, writer: &mut Option<Producer>,
        decide: &mut dyn FnMut(&Herd) -> Result<Vec<Pair>, Refusal>,
    ) -> Result<(), Refusal> {
        // One that was fenced since finds out when it writes; one that was not knows that nobody else has written.
        let producer = match writer.take() {
            Some(producer) => producer,
            None => {
                let producer = Producer::new(settings)?;
                producer.init_transactions()?;
                producer
            }
        };
        self.log.catch_up(Of::Config)?;
        let decided = decide(&self.herder.herd());
        if let Ok(pairs) = &decided
            && !pairs.is_empty()
        {
            let applied = self.log.count(Of::Config) + pairs.len() as u64;
            producer.begin()?;
            self.log.send(&producer, Of::Config, pairs).map_err(|error| self.too_large(pairs, error))?;
            producer.commit_transaction().map_err(|error| self.too_large(pairs, error))?;
            // Nobody else has written since: these are the next records.
            self.log.wait_for(Of::Config, applied)?;
        }
        // After trouble a new one is made.
        *writer = Some(producer);
        decided.map(|_| ())
    }

    fn too_large(&self, pairs: &[Pair], error: Error) -> Error {
        if error.kind() != ErrorKind::Config {
            return error;
        }
        let bytes: usize = pairs.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, String::len)).sum();
        let topic = self.log.topic(Of::Config);
        Error::config(format!(
            "the change ({bytes} bytes) is not taken by the topic {topic}; if it is too large, shorten the configuration, or raise max.message.bytes of the \
             topic and producer.message.max.bytes of the workers"
        ))
        .with_source(error)
    }

    /// What the owners told, where a task is not this worker's.
    pub(crate) fn fill(&self, mut status: ConnectorStatus, wanted: u32) -> ConnectorStatus {
        let own: BTreeSet<u32> = status.tasks.iter().map(|task| task.task).collect();
        let places = self.herder.shared.places();
        let told = self
            .log
            .tasks(&status.name)
            .into_iter()
            .filter(|(task, _)| *task < wanted && !own.contains(task) && !places.has(&status.name, *task));
        status.tasks.extend(told.map(|(task, told)| TaskStatus {
            task,
            state: TaskState::parse(&told.state),
            trouble: told.trace,
            worker_id: Some(told.worker_id),
        }));
        status.tasks.sort_by_key(|task| task.task);
        if !places.has(&status.name, 0)
            && let Some(told) = self.log.status(&StatusKey::Connector(status.name.clone()))
        {
            status.worker_id = Some(told.worker_id);
            if status.trouble.is_none() && told.state == TaskState::Failed.name() {
                status.trouble = told.trace;
            }
        }
        status
    }

    /// The topics that a connector has used, told by the others.
    pub(crate) fn topics(&self, name: &str) -> BTreeSet<String> {
        self.log.topics(name)
    }

    /// Forgets the topics of a connector, on all workers.
    pub(crate) fn reset_topics(&self, name: &str) -> Result<()> {
        let pairs: Vec<Pair> =
            self.log.topics(name).into_iter().map(|topic| StatusKey::Topic(name.to_owned(), topic).record(None)).collect();
        if pairs.is_empty() {
            return Ok(());
        }
        self.log.put(&self.worker, Of::Status, &pairs)
    }

    /// Waits until no worker runs a task of a stopped connector.
    pub(crate) fn wait_until_stopped(&self, name: &str) -> Result<(), Refusal> {
        // Stopping, a session that has to run out, and the telling.
        let patience = self.worker.shutdown_timeout() + self.log.config.session_timeout + Duration::from_secs(5);
        let deadline = Instant::now() + patience;
        self.log.catch_up(Of::Status)?;
        loop {
            let told = self.log.status(&StatusKey::Connector(name.to_owned()));
            let busy = self.log.tasks(name);
            if busy.is_empty() && told.is_some_and(|status| status.state == TargetState::Stopped.name()) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let of: Vec<String> = busy.iter().map(|(task, status)| format!("{name}-{task} on {}", status.worker_id)).collect();
                return Err(Refusal::Failed(Error::retry(format!(
                    "The tasks of the connector have not ended within {} s ({}); try again later",
                    patience.as_secs(),
                    of.join(", ")
                ))));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.leave();
    }
}
