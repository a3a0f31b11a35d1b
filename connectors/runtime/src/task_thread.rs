//! The thread of a task.

use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use lakefeed_core::{Error, ErrorKind, Make, Processor, Result, Sink, Source};

use crate::stats::{TaskState, TaskStats};
use crate::task::{Orders, TaskEnv};
use crate::worker::Shared;
use crate::{processor_task, sink_task, source_task};

/// A task, seen from outside.
#[derive(Debug, Clone)]
pub struct Task {
    /// The connector's name.
    pub connector: String,
    /// The connector's class.
    pub class: &'static str,
    /// The number of the task in its connector.
    pub task: u32,
    /// What it has done.
    pub stats: Arc<TaskStats>,
}

/// A task with its thread.
#[derive(Debug)]
pub(crate) struct TaskThread {
    pub(crate) task: Task,
    pub(crate) orders: Orders,
    /// Set when the thread has nothing more to do.
    pub(crate) ended: Arc<OnceLock<()>>,
    thread: JoinHandle<Result<()>>,
}

/// The plugin's part of a task, made before its thread.
pub(crate) enum Made {
    Source(Box<dyn Source>),
    Processor(Box<dyn Processor>),
    Sink(Box<dyn Sink>),
}

/// Says that the thread has ended, however it does.
struct Ending {
    stats: Arc<TaskStats>,
    ended: Arc<OnceLock<()>>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.stats.set_trouble(TaskState::Failed, "the task's thread panicked; the log says where".into());
        }
        // An error would say that it has been set.
        let _ = self.ended.set(());
    }
}

impl TaskThread {
    /// Starts the thread. It waits until the tasks of `after` have ended; without `made` it makes the plugin's part itself.
    pub(crate) fn spawn(shared: &Arc<Shared>, env: TaskEnv, made: Option<Made>, after: Vec<Arc<OnceLock<()>>>) -> Result<Self> {
        let task = Task {
            connector: env.connector.name.clone(),
            class: env.connector.plugin.class,
            task: env.context.task,
            stats: Arc::clone(&env.stats),
        };
        let (orders, ended) = (env.orders.clone(), Arc::new(OnceLock::new()));
        let ending = Ending { stats: Arc::clone(&env.stats), ended: Arc::clone(&ended) };
        let shared = Arc::clone(shared);
        let body = move || {
            let _ending = ending;
            let _entered = shared.runtime.enter();
            for predecessor in &after {
                predecessor.wait();
            }
            let result = if env.orders.stopped() { Ok(()) } else { run(&shared, &env, made) };
            match &result {
                Ok(()) => env.stats.set_state(TaskState::Stopped),
                // Exit code and state say so; the trouble itself was told when it began.
                Err(error) if env.orders.stopped() && error.kind() == ErrorKind::Retry => {
                    tracing::warn!(target: "lakefeed", connector = %env.connector.name, task = env.context.task, error = %error.chain(), "Stopped while there was trouble; what was not committed is read again");
                    env.stats.set_trouble(TaskState::Failed, error.chain());
                }
                Err(error) => {
                    tracing::error!(target: "lakefeed", connector = %env.connector.name, task = env.context.task, error = %error.chain(), "The task has failed");
                    env.stats.set_trouble(TaskState::Failed, format!("{}. {}", error.chain(), next_step(error.kind())));
                }
            }
            result
        };
        let name = format!("{}-{}", task.connector, task.task);
        let thread = std::thread::Builder::new().name(name).spawn(body).map_err(|e| Error::fatal("can't start a thread").with_source(e))?;
        Ok(Self { task, orders, ended, thread })
    }

    /// Whether nothing is left to wait for.
    pub(crate) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the end.
    pub(crate) fn join(self) -> Result<()> {
        let panicked = || Error::fatal(format!("{}-{}: the task's thread panicked", self.task.connector, self.task.task));
        self.thread.join().unwrap_or_else(|_| Err(panicked()))
    }
}

/// What a person does about a failed task.
fn next_step(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Config => "Next step: change the connector's configuration; its tasks start again with it",
        ErrorKind::Reject | ErrorKind::Fatal | ErrorKind::Retry => {
            "Next step: mend that, or change the configuration; then restart the task"
        }
    }
}

fn run(shared: &Shared, env: &TaskEnv, made: Option<Made>) -> Result<()> {
    match env.connector.plugin.make {
        Make::Source(_) => source_task::run(env, &shared.offsets, made.and_then(Made::source)),
        Make::Processor(_) => processor_task::run(env, &shared.state()?, made.and_then(Made::processor)),
        Make::Sink(_) => sink_task::run(env, made.and_then(Made::sink)),
    }
}

impl Made {
    fn source(self) -> Option<Box<dyn Source>> {
        if let Self::Source(source) = self { Some(source) } else { None }
    }

    fn processor(self) -> Option<Box<dyn Processor>> {
        if let Self::Processor(processor) = self { Some(processor) } else { None }
    }

    fn sink(self) -> Option<Box<dyn Sink>> {
        if let Self::Sink(sink) = self { Some(sink) } else { None }
    }
}
