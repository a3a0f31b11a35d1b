//! Connectors that come, change and go while the worker runs: what the REST interface calls.
//!
//! Nothing here waits for a task. A connector that is changed has its old tasks told to publish, commit and end; its new ones begin when
//! the last of those has ended, so that nothing is lost and nobody works beside a predecessor.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use lakefeed_core::{ConfigError, Error, Plugin, PluginKind, Result};

use crate::connector::{Connector, as_error, check};
use crate::files::{ConnectorFile, TargetState};
use crate::herd::{Entry, Herd, Unreadable};
use crate::stats::TaskState;
use crate::task_thread::TaskThread;
use crate::worker::{Shared, Worker};

/// Why the worker did not do something.
#[derive(Debug)]
pub enum Refusal {
    /// There is no such connector.
    Unknown,
    /// There is no such task.
    UnknownTask,
    /// There is a connector with this name.
    Exists,
    /// The connector has another configuration by now than the caller knew.
    Changed,
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
    /// Its class, as the plugin calls itself, or as it was given.
    pub class: String,
    /// Its kind, if this worker knows the class.
    pub kind: Option<PluginKind>,
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
    /// Its kind, if this worker knows the class.
    pub kind: Option<PluginKind>,
    /// What it was told to do.
    pub target: TargetState,
    /// Why it can't be run at all.
    pub trouble: Option<String>,
    /// Its owner, if that is not this worker.
    pub worker_id: Option<String>,
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
    /// Its owner, if that is not this worker.
    pub worker_id: Option<String>,
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

/// What a configuration may take the place of.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Over<'a> {
    /// There must be none.
    Nothing,
    /// Of another, or of none.
    Anything,
    /// Of this one alone.
    This(&'a BTreeMap<String, String>),
}

impl Worker {
    /// The connectors' names.
    pub fn connectors(&self) -> Vec<String> {
        let herd = self.herder.herd();
        let names: BTreeSet<&String> = herd.connectors.keys().chain(herd.unreadable.keys()).collect();
        names.into_iter().cloned().collect()
    }

    /// A connector's configuration.
    pub fn info(&self, name: &str) -> Option<ConnectorInfo> {
        self.herder.info(name)
    }

    /// A connector's configuration, after all that was written until now: in a cluster by other workers too.
    ///
    /// # Errors
    /// There is none. Or the brokers of a cluster's topics do not answer.
    pub fn newest_info(&self, name: &str) -> Result<ConnectorInfo, Refusal> {
        if let Some(cluster) = &self.cluster {
            cluster.catch_up()?;
        }
        self.info(name).ok_or(Refusal::Unknown)
    }

    /// What a connector does.
    pub fn status(&self, name: &str) -> Option<ConnectorStatus> {
        let herd = self.herder.herd();
        if let Some(unreadable) = herd.unreadable.get(name) {
            return Some(unreadable.status(name));
        }
        let entry = herd.connectors.get(name)?;
        let status = entry.status();
        Some(match &self.cluster {
            Some(cluster) => cluster.fill(status, entry.wanted_tasks()),
            None => status,
        })
    }

    /// The topics that a connector has used since the last reset.
    pub fn active_topics(&self, name: &str) -> Option<Vec<String>> {
        let mut topics: BTreeSet<String> = self.herder.herd().connectors.get(name)?.topics.list().into_iter().collect();
        if let Some(cluster) = &self.cluster {
            topics.append(&mut cluster.topics(name));
        }
        Some(topics.into_iter().collect())
    }

    /// Forgets which topics a connector has used.
    ///
    /// # Errors
    /// The brokers of a cluster's topics do not answer.
    pub fn reset_active_topics(&self, name: &str) -> Result<(), Refusal> {
        if let Some(entry) = self.herder.herd().connectors.get(name) {
            entry.topics.reset();
        }
        self.cluster.as_ref().map_or(Ok(()), |cluster| Ok(cluster.reset_topics(name)?))
    }

    /// Makes a connector.
    ///
    /// # Errors
    /// It exists, or its configuration is wrong.
    pub fn create(&self, file: &ConnectorFile) -> Result<ConnectorInfo, Refusal> {
        self.configure(file, Over::Nothing).map(|(_, info)| info)
    }

    /// Makes a connector, or gives it another configuration: its tasks publish and commit what they hold, then new ones start. A connector that
    /// is there keeps its target state. Returns whether it is new.
    ///
    /// # Errors
    /// The configuration is wrong; the connector is as it was.
    pub fn put(&self, file: &ConnectorFile) -> Result<(bool, ConnectorInfo), Refusal> {
        self.configure(file, Over::Anything)
    }

    /// As [`Worker::put`], for a connector whose configuration is still `before`: so of two callers that change what they have read none loses what
    /// the other did.
    ///
    /// # Errors
    /// As [`Worker::put`]; `Changed` if the configuration is another one by now: read it, and try again. There is none any more.
    pub fn put_over(&self, before: &BTreeMap<String, String>, file: &ConnectorFile) -> Result<ConnectorInfo, Refusal> {
        self.configure(file, Over::This(before)).map(|(_, info)| info)
    }

    /// Everything that is wrong with a configuration.
    pub fn errors(&self, file: &ConnectorFile) -> Vec<ConfigError> {
        match self.herder.check(file) {
            Err(Refusal::Invalid(errors)) => errors,
            // What is wrong beside the configuration is told when the connector is made.
            _ => Vec::new(),
        }
    }

    fn configure(&self, file: &ConnectorFile, over: Over<'_>) -> Result<(bool, ConnectorInfo), Refusal> {
        let connector = self.herder.check(file)?;
        let Some(cluster) = &self.cluster else { return self.herder.configure(file, connector, over) };
        let new = cluster.configure(file, over)?;
        // Somebody may have deleted it since.
        Ok((new, self.herder.info(&connector.name).ok_or(Refusal::Unknown)?))
    }

    /// Puts the connector of a file into the cluster.
    pub(crate) fn introduce(&self, file: &ConnectorFile) -> Result<()> {
        let Some(cluster) = &self.cluster else { return Ok(()) };
        cluster.introduce(file).map_err(|refusal| match refusal {
            Refusal::Failed(error) => error,
            Refusal::Wrong(what) => Error::config(format!("{}: {what}", file.path.display())),
            other => Error::config(format!("{}: {other:?}", file.path.display())),
        })
    }

    /// Removes a connector; its tasks publish and commit what they hold.
    ///
    /// # Errors
    /// There is none.
    pub fn delete(&self, name: &str) -> Result<(), Refusal> {
        self.cluster.as_ref().map_or_else(|| self.herder.delete(name), |cluster| cluster.delete(name))
    }

    /// Pauses, resumes or stops a connector.
    ///
    /// # Errors
    /// There is none.
    pub fn set_target(&self, name: &str, target: TargetState) -> Result<(), Refusal> {
        self.cluster.as_ref().map_or_else(|| self.herder.aim(name, target), |cluster| cluster.set_target(name, target))
    }

    /// Starts tasks over: they publish and commit what they hold first. Returns the numbers of those that are started over.
    ///
    /// # Errors
    /// There is no such connector or task.
    pub fn restart(&self, name: &str, which: Restart) -> Result<Vec<u32>, Refusal> {
        self.cluster.as_ref().map_or_else(|| self.herder.restart(name, which), |cluster| cluster.restart(name, which))
    }

    /// Sets the level of a part of the log on all workers of the cluster; one that is alone has set its own.
    ///
    /// # Errors
    /// The brokers of the cluster's topics do not answer.
    pub fn set_level(&self, part: &str, level: &str) -> Result<(), Refusal> {
        self.cluster.as_ref().map_or(Ok(()), |cluster| cluster.set_level(part, level))
    }
}

/// The connectors of this worker: what calls do to them, or the records of a cluster.
#[derive(Debug, Clone)]
pub(crate) struct Herder {
    pub(crate) shared: Arc<Shared>,
    pub(crate) plugins: Arc<[Plugin]>,
    herd: Arc<Mutex<Herd>>,
}

impl Herder {
    pub(crate) fn new(shared: Arc<Shared>, plugins: &[Plugin]) -> Self {
        Self { shared, plugins: plugins.into(), herd: Arc::default() }
    }

    pub(crate) fn herd(&self) -> MutexGuard<'_, Herd> {
        // Poisoned it still holds whole entries: each change is one assignment.
        self.herd.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn info(&self, name: &str) -> Option<ConnectorInfo> {
        let herd = self.herd();
        herd.connectors.get(name).map(Entry::info).or_else(|| herd.unreadable.get(name).map(|unreadable| unreadable.info(name)))
    }

    /// Checks a configuration.
    fn check(&self, file: &ConnectorFile) -> Result<Connector, Refusal> {
        let connector = check(file, &self.plugins).map_err(Refusal::Invalid)?;
        let config = &self.shared.config;
        let checked = config.check_group(&connector).and_then(|()| config.check_exactly_once(&connector));
        checked.map_err(|error| Refusal::Invalid(vec![error]))?;
        config.check_converter(&connector)?;
        Ok(connector)
    }

    fn configure(&self, file: &ConnectorFile, connector: Connector, over: Over<'_>) -> Result<(bool, ConnectorInfo), Refusal> {
        let mut herd = self.open_herd()?;
        let new = herd.grants(&connector.name, over)?;
        herd.tended = true;
        let info = herd.place(&self.shared, Entry::new(file, connector, 0))?;
        Ok((new, info))
    }

    /// Takes the configuration of a connector from the cluster's log. One that can't be used here is kept with the reason, which is returned too.
    pub(crate) fn take_connector(
        &self, origin: &str, name: &str, config: Result<BTreeMap<String, String>, String>, target: TargetState, generation: i64,
    ) -> Result<(), String> {
        let checked = config.clone().and_then(|mut raw| {
            raw.entry("name".to_owned()).or_insert_with(|| name.to_owned());
            let mut file = ConnectorFile::new(origin, raw).map_err(|error| error.chain())?;
            file.initial_state = target;
            if file.name() != name {
                return Err(format!("the configuration has another name, '{}'", file.name()));
            }
            let connector = self.check(&file).map_err(|refusal| match refusal {
                Refusal::Invalid(errors) => as_error(&file, &errors).chain(),
                Refusal::Failed(error) => error.chain(),
                other => format!("{other:?}"),
            })?;
            Ok(Entry::new(&file, connector, generation))
        });
        let mut herd = self.herd();
        match checked {
            Ok(entry) if herd.closed => drop(entry),
            Ok(entry) => drop(herd.place(&self.shared, entry).map_err(|error| error.chain())?),
            Err(trouble) => {
                if let Some(old) = herd.connectors.remove(name) {
                    herd.retire(old.tasks);
                }
                let trouble = format!("{trouble}; give the connector another configuration, or update this worker ({origin})");
                let raw = config.unwrap_or_default();
                herd.unreadable.insert(name.to_owned(), Unreadable { raw, trouble: trouble.clone(), target, generation });
                return Err(trouble);
            }
        }
        Ok(())
    }

    /// As [`Herder::delete`]; a connector that is not there is none.
    pub(crate) fn drop_connector(&self, name: &str) {
        self.herd().unreadable.remove(name);
        // It was not there, or the worker stops.
        let _ = self.delete(name);
    }

    pub(crate) fn forget_topic(&self, name: &str, topic: &str) {
        if let Some(entry) = self.herd().connectors.get(name) {
            entry.topics.forget(topic);
        }
    }

    /// Ends the tasks that are not this worker's any more and starts those that are. Returns the ends of all tasks that are told to end and that others own.
    pub(crate) fn reconcile(&self) -> Vec<Arc<OnceLock<()>>> {
        let mut herd = self.herd();
        if herd.closed {
            // All tasks are about to end, and somebody else waits for them: nothing is given up before the worker leaves.
            return vec![Arc::default()];
        }
        let mut gone = Vec::new();
        for entry in herd.connectors.values_mut() {
            let (own, others): (Vec<_>, Vec<_>) =
                std::mem::take(&mut entry.tasks).into_iter().partition(|thread| self.shared.owns(&thread.task.connector, thread.task.task));
            entry.tasks = own;
            gone.extend(others);
        }
        herd.retire(gone);
        let ends = herd.retired.iter().filter(|thread| !self.shared.owns(&thread.task.connector, thread.task.task));
        let ends = ends.map(|thread| Arc::clone(&thread.ended)).collect();
        let names: Vec<String> = herd.connectors.keys().cloned().collect();
        for name in names {
            let after = herd.predecessors(&name);
            let started = herd.connectors.get_mut(&name).map_or(Ok(()), |entry| entry.start(&self.shared, after));
            if let Err(error) = started {
                tracing::error!(target: "lakefeed", connector = %name, error = %error.chain(), "Tasks can't be started");
            }
        }
        ends
    }

    fn delete(&self, name: &str) -> Result<(), Refusal> {
        let mut herd = self.open_herd()?;
        let entry = herd.connectors.remove(name).ok_or(Refusal::Unknown)?;
        herd.tended = true;
        tracing::info!(target: "lakefeed", connector = name, "The connector is deleted");
        herd.retire(entry.tasks);
        Ok(())
    }

    /// Pauses, resumes or stops a connector.
    pub(crate) fn aim(&self, name: &str, target: TargetState) -> Result<(), Refusal> {
        let mut herd = self.open_herd()?;
        if let Some(unreadable) = herd.unreadable.get_mut(name) {
            unreadable.target = target;
        }
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

    /// Starts tasks of this worker over.
    pub(crate) fn restart(&self, name: &str, which: Restart) -> Result<Vec<u32>, Refusal> {
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
        let started = entry.start(&self.shared, after);
        herd.connectors.insert(name.to_owned(), entry);
        started?;
        if numbers.is_empty() && matches!(which, Restart::One(_)) {
            return Err(Refusal::UnknownTask);
        }
        if !numbers.is_empty() {
            tracing::info!(target: "lakefeed", connector = name, tasks = ?numbers, "Tasks are restarted");
        }
        Ok(numbers)
    }

    /// The connectors, to change them.
    fn open_herd(&self) -> Result<MutexGuard<'_, Herd>, Refusal> {
        let herd = self.herd();
        if herd.closed {
            return Err(Refusal::Failed(Error::retry("the worker is stopping")));
        }
        Ok(herd)
    }
}
