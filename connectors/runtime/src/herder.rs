//! Connectors that come, change and go while the worker runs: what the REST interface calls.
//!
//! Nothing here waits for a task. A connector that is changed has its old tasks told to publish, commit and end; its new ones begin when
//! the last of those has ended, so that nothing is lost and nobody works beside a predecessor.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use lakefeed_core::{ConfigError, Error, PluginKind, Result};

use crate::connector::check;
use crate::files::{ConnectorFile, TargetState};
use crate::stats::TaskState;
use crate::task_thread::TaskThread;
use crate::worker::{Entry, Herd, Shared, Worker};

/// Why the worker did not do something.
#[derive(Debug)]
pub enum Refusal {
    /// There is no such connector.
    Unknown,
    /// There is no such task.
    UnknownTask,
    /// There is a connector with this name.
    Exists,
    /// The configuration is wrong.
    Invalid(Vec<ConfigError>),
    /// The request can't be granted as it is: what to do.
    Wrong(String),
    /// It was tried and failed.
    Failed(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// A connector, as far as its configuration says.
#[derive(Debug, Clone)]
pub struct ConnectorInfo {
    /// Its name.
    pub name: String,
    /// Its class, as the plugin calls itself.
    pub class: &'static str,
    /// Its kind.
    pub kind: PluginKind,
    /// Its configuration, as it was given: variables are not replaced.
    pub config: BTreeMap<String, String>,
    /// How many tasks it has.
    pub tasks: u32,
}

/// What a connector does.
#[derive(Debug, Clone)]
pub struct ConnectorStatus {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: PluginKind,
    /// What it was told to do.
    pub target: TargetState,
    /// Its tasks, in the order of their numbers.
    pub tasks: Vec<TaskStatus>,
}

/// What a task does.
#[derive(Debug, Clone)]
pub struct TaskStatus {
    /// Its number.
    pub task: u32,
    /// Its state.
    pub state: TaskState,
    /// Why it has failed or waits to try again.
    pub trouble: Option<String>,
}

/// Which tasks to restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// All.
    All,
    /// Those that have failed.
    Failed,
    /// This one.
    One(u32),
}

impl Worker {
    /// The connectors' names.
    pub fn connectors(&self) -> Vec<String> {
        self.herd().connectors.keys().cloned().collect()
    }

    /// A connector's configuration.
    pub fn info(&self, name: &str) -> Option<ConnectorInfo> {
        self.herd().connectors.get(name).map(Entry::info)
    }

    /// What a connector does.
    pub fn status(&self, name: &str) -> Option<ConnectorStatus> {
        self.herd().connectors.get(name).map(Entry::status)
    }

    /// The topics that a connector has used since the last reset.
    pub fn active_topics(&self, name: &str) -> Option<Vec<String>> {
        self.herd().connectors.get(name).map(|entry| entry.topics.list())
    }

    /// Forgets which topics a connector has used.
    pub fn reset_active_topics(&self, name: &str) {
        if let Some(entry) = self.herd().connectors.get(name) {
            entry.topics.reset();
        }
    }

    /// Makes a connector.
    ///
    /// # Errors
    /// It exists, or its configuration is wrong.
    pub fn create(&self, file: &ConnectorFile) -> Result<ConnectorInfo, Refusal> {
        self.configure(file, false).map(|(_, info)| info)
    }

    /// Makes a connector, or gives it another configuration: its tasks publish and commit what they hold, then new ones start. A connector that
    /// is there keeps its target state. Returns whether it is new.
    ///
    /// # Errors
    /// The configuration is wrong; the connector is as it was.
    pub fn put(&self, file: &ConnectorFile) -> Result<(bool, ConnectorInfo), Refusal> {
        self.configure(file, true)
    }

    fn configure(&self, file: &ConnectorFile, or_change: bool) -> Result<(bool, ConnectorInfo), Refusal> {
        let connector = check(file, self.plugins()).map_err(Refusal::Invalid)?;
        self.config().check_converter(&connector)?;
        let mut herd = self.open_herd()?;
        let name = connector.name.clone();
        let known = herd.connectors.contains_key(&name);
        if known && !or_change {
            return Err(Refusal::Exists);
        }
        herd.tended = true;
        let mut entry = Entry::new(file, connector);
        if let Some(old) = herd.connectors.remove(&name) {
            (entry.target, entry.topics) = (old.target, Arc::clone(&old.topics));
            herd.retire(old.tasks);
        }
        tracing::info!(target: "lakefeed", connector = %name, class = entry.connector.plugin.class, "{}", if known { "The connector is changed" } else { "The connector is made" });
        let started = entry.start(&self.shared, herd.predecessors(&name));
        let info = entry.info();
        herd.connectors.insert(name, entry);
        started?;
        Ok((!known, info))
    }

    /// Removes a connector; its tasks publish and commit what they hold.
    ///
    /// # Errors
    /// There is none.
    pub fn delete(&self, name: &str) -> Result<(), Refusal> {
        let mut herd = self.open_herd()?;
        let entry = herd.connectors.remove(name).ok_or(Refusal::Unknown)?;
        herd.tended = true;
        tracing::info!(target: "lakefeed", connector = name, "The connector is deleted");
        herd.retire(entry.tasks);
        Ok(())
    }

    /// Pauses, resumes or stops a connector.
    ///
    /// # Errors
    /// There is none.
    pub fn set_target(&self, name: &str, target: TargetState) -> Result<(), Refusal> {
        let mut herd = self.open_herd()?;
        herd.tended |= herd.connectors.contains_key(name);
        let entry = herd.connectors.get_mut(name).ok_or(Refusal::Unknown)?;
        let before = std::mem::replace(&mut entry.target, target);
        tracing::info!(target: "lakefeed", connector = name, before = before.name(), now = target.name(), "The connector is told to change its state");
        if target == TargetState::Stopped {
            let tasks = std::mem::take(&mut entry.tasks);
            herd.retire(tasks);
        } else if before == TargetState::Stopped {
            let after = herd.predecessors(name);
            if let Some(entry) = herd.connectors.get_mut(name) {
                entry.start(&self.shared, after)?;
            }
        } else {
            entry.tasks.iter().for_each(|thread| thread.orders.pause(target == TargetState::Paused));
        }
        Ok(())
    }

    /// Starts tasks over: they publish and commit what they hold first. Returns the numbers of those that are started over.
    ///
    /// # Errors
    /// There is no such connector or task.
    pub fn restart(&self, name: &str, which: Restart) -> Result<Vec<u32>, Refusal> {
        let mut herd = self.open_herd()?;
        let mut entry = herd.connectors.remove(name).ok_or(Refusal::Unknown)?;
        herd.tended = true;
        let chosen = |thread: &TaskThread| match which {
            Restart::All => true,
            Restart::Failed => thread.task.stats.state() == TaskState::Failed,
            Restart::One(task) => thread.task.task == task,
        };
        let (restarted, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut entry.tasks).into_iter().partition(chosen);
        let numbers: Vec<u32> = restarted.iter().map(|thread| thread.task.task).collect();
        entry.tasks = kept;
        herd.retire(restarted);
        let after = herd.predecessors(name);
        let started = numbers.iter().try_for_each(|task| entry.start_task(&self.shared, *task, after.clone()));
        entry.tasks.sort_by_key(|thread| thread.task.task);
        herd.connectors.insert(name.to_owned(), entry);
        started?;
        if numbers.is_empty() && matches!(which, Restart::One(_)) {
            return Err(Refusal::UnknownTask);
        }
        tracing::info!(target: "lakefeed", connector = name, tasks = ?numbers, "Tasks are restarted");
        Ok(numbers)
    }

    /// The connectors, to change them.
    fn open_herd(&self) -> Result<std::sync::MutexGuard<'_, Herd>, Refusal> {
        let herd = self.herd();
        if herd.closed {
            return Err(Refusal::Failed(Error::retry("the worker is stopping")));
        }
        Ok(herd)
    }
}

impl Herd {
    /// Tells tasks to end, and keeps them to be joined.
    fn retire(&mut self, tasks: Vec<TaskThread>) {
        self.retired.retain(|thread| !thread.is_finished());
        tasks.iter().for_each(|thread| thread.orders.stop());
        self.retired.extend(tasks);
    }

    /// What a new task of a connector has to wait for.
    pub(crate) fn predecessors(&self, name: &str) -> Vec<Arc<OnceLock<()>>> {
        self.retired.iter().filter(|thread| thread.task.connector == name).map(|thread| Arc::clone(&thread.ended)).collect()
    }
}

impl Entry {
    /// Starts as many tasks as its target state wants.
    fn start(&mut self, shared: &Arc<Shared>, after: Vec<Arc<OnceLock<()>>>) -> Result<()> {
        (0..self.wanted_tasks()).try_for_each(|task| self.start_task(shared, task, after.clone()))
    }

    fn start_task(&mut self, shared: &Arc<Shared>, task: u32, after: Vec<Arc<OnceLock<()>>>) -> Result<()> {
        let env = shared.env(self, task);
        self.tasks.push(TaskThread::spawn(shared, env, None, after)?);
        Ok(())
    }

    fn info(&self) -> ConnectorInfo {
        ConnectorInfo {
            name: self.connector.name.clone(),
            class: self.connector.plugin.class,
            kind: self.connector.plugin.kind(),
            config: self.raw.clone(),
            tasks: self.wanted_tasks(),
        }
    }

    fn status(&self) -> ConnectorStatus {
        let task = |thread: &TaskThread| {
            let stats = &thread.task.stats;
            TaskStatus { task: thread.task.task, state: stats.state(), trouble: stats.trouble() }
        };
        ConnectorStatus {
            name: self.connector.name.clone(),
            kind: self.connector.plugin.kind(),
            target: self.target,
            tasks: self.tasks.iter().map(task).collect(),
        }
    }
}
