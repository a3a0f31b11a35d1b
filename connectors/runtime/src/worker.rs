//! The worker: owns the connectors and the threads of all their tasks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lakefeed_core::{Budget, Error, Make, Metrics, Plugin, Result, Sample, SystemClock, TaskContext, TaskMetrics};
use lakefeed_kafka::probe;
use tokio::runtime::Handle;

use crate::cluster::{Cluster, Log, Places, TopicOffsets};
use crate::connector::{Connector, as_error, check};
use crate::files::{ConnectorFile, TargetState};
use crate::herd::Entry;
use crate::herder::Herder;
use crate::levels::Levels;
use crate::offsets::{OffsetFile, OffsetStore};
use crate::state::StateStore;
use crate::stats::{TaskState, TaskStats};
use crate::task::{Orders, TaskEnv};
use crate::task_thread::{Made, Task, TaskThread};
use crate::worker_config::WorkerConfig;

/// How long the brokers have to answer when a worker starts.
const PROBE_TIMEOUT: Duration = Duration::from_secs(15);

/// Runs connectors in this process until they end or are stopped. What happens to them at run time is in `herder.rs`.
#[derive(Debug)]
pub struct Worker {
    /// Dropped first: its threads use the herder.
    pub(crate) cluster: Option<Cluster>,
    pub(crate) herder: Herder,
    cluster_id: Option<String>,
}

impl Worker {
    /// Checks everything, reaches out for everything that is needed, then starts the tasks. Call it inside a tokio runtime. `worker_id` is what others know
    /// this worker by: the host and port of its REST interface.
    ///
    /// A worker of a cluster (`config.storage.topic`) puts connectors of files into the cluster, as a call with their configuration would; those that are there
    /// as they are in the file stay untouched.
    ///
    /// # Errors
    /// `Config`: a file is wrong. `Retry`: the brokers or a store can't be reached. Nothing runs then.
    pub fn start(config: &WorkerConfig, files: &[ConnectorFile], plugins: &[Plugin], worker_id: &str) -> Result<Self> {
        let connectors = checked(files, plugins)?;
        for (file, connector) in files.iter().zip(&connectors) {
            config.check_exactly_once(connector).map_err(|error| as_error(file, &[error]))?;
            config.check_converter(connector)?;
        }
        let cluster_id = probe(&config.admin(), PROBE_TIMEOUT)?;
        let Some(cluster) = config.cluster() else {
            let offsets = OffsetStore::File(OffsetFile::open(&config.offset_file())?);
            let herder = Herder::new(Shared::open(config, offsets), plugins);
            let worker = Self { herder, cluster: None, cluster_id };
            worker.herder.herd().tended = files.is_empty();
            worker.run_files(files, connectors)?;
            return Ok(worker);
        };
        let log = Log::open(config, cluster)?;
        let offsets = OffsetStore::Topic(TopicOffsets::new(Arc::clone(&log), config, worker_id));
        let herder = Herder::new(Shared::open(config, offsets), plugins);
        herder.herd().tended = true;
        let cluster = Cluster::start(config, worker_id, log, herder.clone())?;
        let worker = Self { cluster: Some(cluster), herder, cluster_id };
        files.iter().try_for_each(|file| worker.introduce(file))?;
        Ok(worker)
    }

    /// Makes the plugins' parts of all tasks, then runs them.
    fn run_files(&self, files: &[ConnectorFile], connectors: Vec<Connector>) -> Result<()> {
        let shared = &self.herder.shared;
        let mut made = Vec::new();
        for (file, connector) in files.iter().zip(connectors) {
            connector.log_warnings();
            let entry = Entry::new(file, connector, 0);
            let mut parts = Vec::new();
            for task in 0..entry.wanted_tasks() {
                let env = shared.env(&entry, task);
                let plugin = Made::new(shared, &env)?;
                parts.push((env, plugin));
            }
            made.push((entry, parts));
        }
        for (mut entry, parts) in made {
            for (env, plugin) in parts {
                // An error here drops the worker, which stops and joins the tasks that run already.
                entry.tasks.push(TaskThread::spawn(shared, env, Some(plugin), Vec::new())?);
            }
            self.herder.herd().connectors.insert(entry.connector.name.clone(), entry);
        }
        Ok(())
    }

    /// The plugins that it knows.
    pub fn plugins(&self) -> &[Plugin] {
        &self.herder.plugins
    }

    /// What the worker's file says.
    pub fn config(&self) -> &WorkerConfig {
        &self.herder.shared.config
    }

    /// The id of the Kafka cluster, if it has one.
    pub fn cluster_id(&self) -> Option<&str> {
        self.cluster_id.as_deref()
    }

    /// The metrics of the worker and of its tasks, as they are now.
    pub fn metrics(&self) -> Vec<Sample> {
        self.herder.shared.measure(&self.tasks())
    }

    /// Says who sets levels of the log when a call to any worker of the cluster asks for it.
    pub fn follow_levels(&self, set: impl Fn(&str, &str) -> Result<(), String> + Send + Sync + 'static) {
        self.herder.shared.levels.follow(Box::new(set));
    }

    /// The tasks as they are now.
    pub fn tasks(&self) -> Vec<Task> {
        let herd = self.herder.herd();
        herd.connectors.values().flat_map(|entry| &entry.tasks).map(|thread| thread.task.clone()).collect()
    }

    /// Asks all tasks to publish what they hold and to end. No connector starts from now on.
    pub fn stop(&self) {
        let mut herd = self.herder.herd();
        herd.closed = true;
        for thread in herd.connectors.values().flat_map(|entry| &entry.tasks) {
            thread.orders.stop();
        }
    }

    /// Whether every task has ended by itself and nobody tends the worker: its connectors are those of the files that it was started with.
    pub fn is_done(&self) -> bool {
        let ended = |task: &Task| matches!(task.stats.state(), TaskState::Stopped | TaskState::Failed);
        let tasks = self.tasks();
        !self.herder.herd().tended && !tasks.is_empty() && tasks.iter().all(ended)
    }

    /// Waits for all tasks.
    ///
    /// # Errors
    /// The first failure. The others have been logged.
    pub fn join(&self) -> Result<()> {
        let (current, retired) = {
            let mut herd = self.herder.herd();
            let current: Vec<_> = herd.connectors.values_mut().flat_map(|entry| entry.tasks.drain(..)).collect();
            (current, std::mem::take(&mut herd.retired))
        };
        let mut failure = None;
        for thread in current {
            failure = failure.or(thread.join().err());
        }
        for thread in retired {
            // Logged when it happened; its connector has been changed or deleted since.
            let _ = thread.join();
        }
        // Until now the members have waited for what these tasks published.
        if let Some(cluster) = &self.cluster {
            cluster.leave();
        }
        failure.map_or(Ok(()), Err)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop();
        // Its failures have been logged.
        let _ = self.join();
    }
}

fn checked(files: &[ConnectorFile], plugins: &[Plugin]) -> Result<Vec<Connector>> {
    let mut connectors: Vec<Connector> = Vec::new();
    for file in files {
        let connector = check(file, plugins).map_err(|errors| as_error(file, &errors))?;
        if connectors.iter().any(|c| c.name == connector.name) {
            return Err(Error::config(format!("{}: name = '{}': another connector has this name", file.path.display(), connector.name)));
        }
        connectors.push(connector);
    }
    Ok(connectors)
}

/// What the tasks of a worker share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: WorkerConfig,
    /// Where plugins do their background work.
    pub(crate) runtime: Handle,
    pub(crate) budget: Arc<Budget>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) levels: Levels,
    incarnation: String,
    /// The number of the next task that is made: no two have the same.
    serial: AtomicU64,
    pub(crate) offsets: OffsetStore,
    state: Mutex<Option<StateStore>>,
    /// Which tasks are this worker's; `None`: all.
    places: Mutex<Option<Places>>,
}

impl Shared {
    fn open(config: &WorkerConfig, offsets: OffsetStore) -> Arc<Self> {
        Arc::new(Self {
            config: config.clone(),
            runtime: Handle::current(),
            budget: Budget::new(config.memory_budget()),
            metrics: Arc::default(),
            levels: Levels::default(),
            incarnation: incarnation(),
            serial: AtomicU64::new(0),
            offsets,
            state: Mutex::default(),
            places: Mutex::default(),
        })
    }

    /// Says which tasks are this worker's.
    pub(crate) fn set_places(&self, places: Places) {
        // Held for an assignment or a look only; poisoned it still holds whole places.
        *self.places.lock().unwrap_or_else(|e| e.into_inner()) = Some(places);
    }

    /// The places of a worker in a cluster.
    pub(crate) fn places(&self) -> Places {
        self.places.lock().unwrap_or_else(|e| e.into_inner()).clone().unwrap_or_default()
    }

    /// Whether a task is this worker's.
    pub(crate) fn owns(&self, connector: &str, task: u32) -> bool {
        let places = self.places.lock().unwrap_or_else(|e| e.into_inner());
        places.as_ref().is_none_or(|places| places.has(connector, task))
    }

    /// The state of processors, opened by the first that needs it.
    pub(crate) fn state(&self) -> Result<StateStore> {
        let mut state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(store) = &*state {
            return Ok(store.clone());
        }
        let store = StateStore::open(&self.config.state_dir())?;
        Ok(state.insert(store).clone())
    }

    /// What a new task of a connector runs with.
    pub(crate) fn env(&self, entry: &Entry, task: u32) -> TaskEnv {
        let orders = Orders::default();
        orders.pause(entry.target == TargetState::Paused);
        let metrics = TaskMetrics::new(Arc::clone(&self.metrics), entry.connector.name.clone(), task);
        let stats = Arc::new(TaskStats::new(&metrics));
        let context = TaskContext {
            connector: entry.connector.name.clone(),
            task,
            tasks: entry.connector.tasks(),
            clock: Arc::new(SystemClock),
            budget: Arc::clone(&self.budget),
            incarnation: format!("{}-{}", self.incarnation, self.serial.fetch_add(1, Ordering::Relaxed)),
            metrics,
            offsets: self.offsets.of(&entry.connector.name),
        };
        TaskEnv {
            connector: entry.connector.clone(),
            worker: self.config.clone(),
            context,
            stats,
            orders,
            topics: Arc::clone(&entry.topics),
            generation: entry.generation,
        }
    }
}

impl Made {
    /// Makes the plugin's part of a task, which reaches out for what it needs.
    fn new(shared: &Shared, env: &TaskEnv) -> Result<Self> {
        let (config, context) = (&env.connector.config, &env.context);
        Ok(match env.connector.plugin.make {
            Make::Source(make) => Self::Source(make(config, context)?),
            Make::Processor(make) => {
                shared.state()?;
                Self::Processor(make(config, context)?)
            }
            Make::Sink(make) => Self::Sink(make(config, context)?),
        })
    }
}

/// Text that no other process has, now or later: random bits of the standard library's hash keys and the process id.
fn incarnation() -> String {
    format!("{:016x}{:x}", random(), std::process::id())
}

/// A number that nobody can know before.
pub(crate) fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
