//! The connectors of a worker, under their lock: what may take the place of what, which tasks start, and what is told of them.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use lakefeed_core::Result;

use crate::active_topics::ActiveTopics;
use crate::connector::Connector;
use crate::files::{ConnectorFile, TargetState};
use crate::herder::{ConnectorInfo, ConnectorStatus, Over, Refusal, TaskStatus};
use crate::task_thread::TaskThread;
use crate::worker::Shared;

/// The connectors by name. Locked for moments only: whoever waits for a task does so without it.
#[derive(Debug, Default)]
pub(crate) struct Herd {
    pub(crate) connectors: BTreeMap<String, Entry>,
    /// Connectors of the cluster whose configuration this worker can't use.
    pub(crate) unreadable: BTreeMap<String, Unreadable>,
    /// Tasks that were told to end, of connectors that are there and of others.
    pub(crate) retired: Vec<TaskThread>,
    /// The connectors are not just those of files that it was started with: the worker waits for more of that.
    pub(crate) tended: bool,
    /// The worker ends: nothing starts any more.
    pub(crate) closed: bool,
}

/// A connector that can't be run here: its class is unknown to this version, or its record is damaged.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(crate) raw: BTreeMap<String, String>,
    pub(crate) trouble: String,
    pub(crate) target: TargetState,
    pub(crate) generation: i64,
}

/// A connector and its tasks.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The configuration as it was given.
    pub(crate) raw: BTreeMap<String, String>,
    pub(crate) connector: Connector,
    pub(crate) target: TargetState,
    /// Those of this worker.
    pub(crate) tasks: Vec<TaskThread>,
    pub(crate) topics: Arc<ActiveTopics>,
    /// The offset of its configuration in the config topic of the cluster.
    pub(crate) generation: i64,
}

impl Herd {
    /// Puts a connector in the place of its predecessor, whose target state it keeps, and starts its tasks.
    pub(crate) fn place(&mut self, shared: &Arc<Shared>, mut entry: Entry) -> Result<ConnectorInfo> {
        let name = entry.connector.name.clone();
        let was_unreadable = self.unreadable.remove(&name).is_some();
        let known = self.connectors.contains_key(&name) || was_unreadable;
        if let Some(old) = self.connectors.remove(&name) {
            (entry.target, entry.topics) = (old.target, Arc::clone(&old.topics));
            self.retire(old.tasks);
        }
        tracing::info!(target: "lakefeed", connector = %name, class = entry.connector.plugin.class, "{}", if known { "The connector is changed" } else { "The connector is made" });
        entry.connector.log_warnings();
        let started = entry.start(shared, self.predecessors(&name));
        let info = entry.info();
        self.connectors.insert(name, entry);
        started.map(|()| info)
    }

    /// Whether a configuration is that of a new connector; a refusal if it may not take the place that it wants.
    pub(crate) fn grants(&self, name: &str, over: Over<'_>) -> Result<bool, Refusal> {
        match (over, self.config(name)) {
            (Over::Nothing, Some(_)) => Err(Refusal::Exists),
            (Over::This(_), None) => Err(Refusal::Unknown),
            (Over::This(before), Some(now)) if before != now => Err(Refusal::Changed),
            (_, now) => Ok(now.is_none()),
        }
    }

    /// The configuration of a connector, as it was given.
    pub(crate) fn config(&self, name: &str) -> Option<&BTreeMap<String, String>> {
        let unreadable = || self.unreadable.get(name).map(|unreadable| &unreadable.raw);
        self.connectors.get(name).map(|entry| &entry.raw).or_else(unreadable)
    }

    /// Whether there is a connector with this name.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.connectors.contains_key(name) || self.unreadable.contains_key(name)
    }

    /// Whether a task that was told to end has not ended.
    pub(crate) fn is_ending(&self, name: &str, task: u32) -> bool {
        self.retired.iter().any(|thread| thread.task.connector == name && thread.task.task == task && thread.ended.get().is_none())
    }

    /// Tells tasks to end, and keeps them to be joined.
    pub(crate) fn retire(&mut self, tasks: Vec<TaskThread>) {
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
    pub(crate) fn new(file: &ConnectorFile, connector: Connector, generation: i64) -> Self {
        Self { raw: file.raw.clone(), connector, target: file.initial_state, tasks: Vec::new(), topics: Arc::default(), generation }
    }

    /// How many tasks it has when it has come to its target state.
    pub(crate) fn wanted_tasks(&self) -> u32 {
        if self.target == TargetState::Stopped { 0 } else { self.connector.tasks() }
    }

    /// Starts the tasks that its target state wants and that are this worker's, as far as they are not there.
    pub(crate) fn start(&mut self, shared: &Arc<Shared>, after: Vec<Arc<OnceLock<()>>>) -> Result<()> {
        for task in 0..self.wanted_tasks() {
            let there = self.tasks.iter().any(|thread| thread.task.task == task);
            if !there && shared.owns(&self.connector.name, task) {
                self.start_task(shared, task, after.clone())?;
            }
        }
        self.tasks.sort_by_key(|thread| thread.task.task);
        Ok(())
    }

    fn start_task(&mut self, shared: &Arc<Shared>, task: u32, after: Vec<Arc<OnceLock<()>>>) -> Result<()> {
        let env = shared.env(self, task);
        self.tasks.push(TaskThread::spawn(shared, env, None, after)?);
        Ok(())
    }

    pub(crate) fn info(&self) -> ConnectorInfo {
        ConnectorInfo {
            name: self.connector.name.clone(),
            class: self.connector.plugin.class.to_owned(),
            kind: Some(self.connector.plugin.kind()),
            config: self.raw.clone(),
            tasks: self.wanted_tasks(),
        }
    }

    pub(crate) fn status(&self) -> ConnectorStatus {
        let task = |thread: &TaskThread| {
            let stats = &thread.task.stats;
            TaskStatus { task: thread.task.task, state: stats.state(), trouble: stats.trouble(), worker_id: None }
        };
        ConnectorStatus {
            name: self.connector.name.clone(),
            kind: Some(self.connector.plugin.kind()),
            target: self.target,
            trouble: None,
            worker_id: None,
            tasks: self.tasks.iter().map(task).collect(),
        }
    }
}

impl Unreadable {
    pub(crate) fn info(&self, name: &str) -> ConnectorInfo {
        let class = self.raw.get("connector.class").cloned().unwrap_or_default();
        ConnectorInfo { name: name.to_owned(), class, kind: None, config: self.raw.clone(), tasks: 0 }
    }

    pub(crate) fn status(&self, name: &str) -> ConnectorStatus {
        let trouble = Some(self.trouble.clone());
        ConnectorStatus { name: name.to_owned(), kind: None, target: self.target, trouble, worker_id: None, tasks: Vec::new() }
    }
}
