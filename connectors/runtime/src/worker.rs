//! The worker: owns the threads of all tasks.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use lakefeed_core::{Budget, Error, Make, Plugin, Processor, Result, Sink, Source, SystemClock, TaskContext};
use lakefeed_kafka::probe;

use crate::connector::{Connector, as_error, check};
use crate::files::ConnectorFile;
use crate::offsets::OffsetFile;
use crate::state::StateStore;
use crate::stats::{TaskState, TaskStats};
use crate::task::{Stop, TaskEnv};
use crate::worker_config::WorkerConfig;
use crate::{processor_task, sink_task, source_task};

/// How long the brokers have to answer when a worker starts.
const PROBE_TIMEOUT: Duration = Duration::from_secs(15);

/// A running task, seen from outside.
#[derive(Debug)]
pub struct Task {
    /// The connector's name.
    pub connector: String,
    /// The connector's class.
    pub class: &'static str,
    /// The number of the task in its connector.
    pub task: u32,
    /// What it has done.
    pub stats: Arc<TaskStats>,
    thread: Option<JoinHandle<Result<()>>>,
    failure: Option<Error>,
}

/// Runs connectors in this process until they end or are stopped.
#[derive(Debug)]
pub struct Worker {
    stop: Stop,
    tasks: Vec<Task>,
}

enum Made {
    Source(Box<dyn Source>, Arc<OffsetFile>),
    Processor(Box<dyn Processor>, StateStore),
    Sink(Box<dyn Sink>),
}

impl Worker {
    /// Checks everything, reaches out for everything that is needed, then starts the tasks. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// `Config`: a file is wrong. `Retry`: the brokers or a store can't be reached. Nothing runs then.
    pub fn start(config: &WorkerConfig, files: &[ConnectorFile], plugins: &[Plugin]) -> Result<Self> {
        let connectors = checked(files, plugins)?;
        connectors.iter().try_for_each(|connector| config.value_converter(&connector.config).map(|_| ()))?;
        probe(&config.admin(), PROBE_TIMEOUT)?;
        let shared = Shared::open(config, &connectors)?;
        let mut made = Vec::new();
        for connector in &connectors {
            for task in 0..connector.tasks() {
                made.push(shared.make(connector, task)?);
            }
        }
        let mut worker = Self { stop: shared.stop.clone(), tasks: Vec::new() };
        for (env, plugin) in made {
            // An error here drops the worker, which stops and joins the tasks that run already.
            worker.tasks.push(spawn(env, plugin)?);
        }
        Ok(worker)
    }

    /// The tasks.
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// Asks all tasks to publish what they hold and to end.
    pub fn stop(&self) {
        self.stop.set();
    }

    /// Whether every task has ended by itself.
    pub fn is_done(&self) -> bool {
        self.tasks.iter().all(|t| matches!(t.stats.state(), TaskState::Stopped | TaskState::Failed))
    }

    /// Waits for all tasks.
    ///
    /// # Errors
    /// The first failure. The others have been logged.
    pub fn join(mut self) -> Result<()> {
        self.join_all();
        self.tasks.iter_mut().find_map(|t| t.failure.take()).map_or(Ok(()), Err)
    }

    fn join_all(&mut self) {
        for task in &mut self.tasks {
            let Some(thread) = task.thread.take() else { continue };
            task.failure = match thread.join() {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error),
                Err(_) => Some(Error::fatal(format!("{}-{}: the task's thread panicked", task.connector, task.task))),
            };
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.set();
        self.join_all();
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
struct Shared {
    config: WorkerConfig,
    stop: Stop,
    budget: Arc<Budget>,
    incarnation: String,
    offsets: Arc<OffsetFile>,
    state: Option<StateStore>,
}

impl Shared {
    fn open(config: &WorkerConfig, connectors: &[Connector]) -> Result<Self> {
        let keeps_state = connectors.iter().any(|c| matches!(c.plugin.make, Make::Processor(_)));
        Ok(Self {
            config: config.clone(),
            stop: Stop::default(),
            budget: Budget::new(config.memory_budget()),
            incarnation: incarnation(),
            offsets: OffsetFile::open(&config.offset_file())?,
            state: if keeps_state { Some(StateStore::open(&config.state_dir())?) } else { None },
        })
    }

    fn make(&self, connector: &Connector, task: u32) -> Result<(TaskEnv, Made)> {
        let context = TaskContext {
            connector: connector.name.clone(),
            task,
            tasks: connector.tasks(),
            clock: Arc::new(SystemClock),
            budget: Arc::clone(&self.budget),
            incarnation: format!("{}-{task}", self.incarnation),
            offsets: self.offsets.of(&connector.name),
        };
        let env = TaskEnv {
            connector: connector.clone(),
            worker: self.config.clone(),
            context,
            stats: Arc::new(TaskStats::default()),
            stop: self.stop.clone(),
        };
        let made = match (connector.plugin.make, &self.state) {
            (Make::Source(make), _) => Made::Source(make(&connector.config, &env.context)?, Arc::clone(&self.offsets)),
            (Make::Processor(make), Some(state)) => Made::Processor(make(&connector.config, &env.context)?, state.clone()),
            (Make::Processor(_), None) => return Err(Error::fatal("a processor without a state store")),
            (Make::Sink(make), _) => Made::Sink(make(&connector.config, &env.context)?),
        };
        Ok((env, made))
    }
}

fn spawn(env: TaskEnv, made: Made) -> Result<Task> {
    let mut task = Task {
        connector: env.connector.name.clone(),
        class: env.connector.plugin.class,
        task: env.context.task,
        stats: Arc::clone(&env.stats),
        thread: None,
        failure: None,
    };
    let runtime = tokio::runtime::Handle::current();
    let body = move || {
        let _entered = runtime.enter();
        let result = match made {
            Made::Source(source, offsets) => source_task::run(&env, &offsets, source),
            Made::Processor(processor, state) => processor_task::run(&env, &state, processor),
            Made::Sink(sink) => sink_task::run(&env, sink),
        };
        if let Err(error) = &result {
            tracing::error!(target: "lakefeed", connector = %env.connector.name, task = env.context.task, error = %error.chain(), "The task has failed");
        }
        env.stats.set_state(if result.is_ok() { TaskState::Stopped } else { TaskState::Failed });
        result
    };
    let name = format!("{}-{}", task.connector, task.task);
    let thread = std::thread::Builder::new().name(name).spawn(body).map_err(|e| Error::fatal("can't start a thread").with_source(e))?;
    task.thread = Some(thread);
    Ok(task)
}

/// Text that no other process has, now or later: random bits of the standard library's hash keys and the process id.
fn incarnation() -> String {
    use std::hash::{BuildHasher, Hasher};
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    format!("{random:016x}{:x}", std::process::id())
}
