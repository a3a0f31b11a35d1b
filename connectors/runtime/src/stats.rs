//! What a task has done so far.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use lakefeed_core::{Counter, TaskMetrics};

/// The state of a task, as Kafka Connect names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskState {
    /// It waits for its predecessor to end.
    Unassigned,
    /// It runs.
    Running,
    /// It waits to try again.
    Restarting,
    /// It reads nothing until it is resumed.
    Paused,
    /// It ended by itself: its source has no more rows, or it was told to stop.
    Stopped,
    /// It ended with an error.
    Failed,
}

impl TaskState {
    /// The name in Kafka Connect's REST answers. It has none for a task whose source has come to its end: nobody runs it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unassigned | Self::Stopped => "UNASSIGNED",
            Self::Running => "RUNNING",
            Self::Restarting => "RESTARTING",
            Self::Paused => "PAUSED",
            Self::Failed => "FAILED",
        }
    }

    /// Reads such a name.
    pub(crate) fn parse(name: &str) -> Self {
        let states = [Self::Running, Self::Restarting, Self::Paused, Self::Failed];
        states.into_iter().find(|state| state.name() == name).unwrap_or(Self::Unassigned)
    }
}

/// Counters of a task, read while it runs. Rows that were replayed after a restart count again.
#[derive(Debug)]
pub struct TaskStats {
    state: AtomicU8,
    /// The trouble behind the states `Restarting` and `Failed`.
    trouble: Mutex<String>,
    pub(crate) records_in: Counter,
    pub(crate) bytes_in: Counter,
    pub(crate) rows_out: Counter,
    pub(crate) bytes_out: Counter,
    pub(crate) rejected: Counter,
    pub(crate) lost: Counter,
    pub(crate) restarts: Counter,
    pub(crate) busy_ms: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Records read from topics.
    pub records_in: u64,
    /// Bytes of their keys and values.
    pub bytes_in: u64,
    /// Rows handed to topics (sources, processors) or to the sink.
    pub rows_out: u64,
    /// Their bytes, where they are known.
    pub bytes_out: u64,
    /// Rows that could not be used.
    pub rejected: u64,
    /// Records that the log had dropped before they were read.
    pub lost: u64,
    /// Milliseconds from the first to the last row.
    pub busy_ms: u64,
}

impl TaskStats {
    pub(crate) fn new(metrics: &TaskMetrics) -> Self {
        let counter = |name, help| metrics.counter(name, help, &[]);
        Self {
            state: AtomicU8::default(),
            trouble: Mutex::default(),
            records_in: counter("lakefeed_records_in_total", "Records read from topics."),
            bytes_in: counter("lakefeed_bytes_in_total", "Bytes of the keys and values of records read from topics."),
            rows_out: counter("lakefeed_rows_out_total", "Rows handed to topics or to the sink."),
            bytes_out: counter("lakefeed_bytes_out_total", "Bytes of rows handed to topics."),
            rejected: counter("lakefeed_dead_letters_total", "Records and rows that could not be used."),
            lost: counter("lakefeed_records_lost_total", "Records that were deleted from a topic before they were read."),
            restarts: counter("lakefeed_task_restarts_total", "Times that the task started over after passing trouble."),
            busy_ms: AtomicU64::default(),
        }
    }

    pub(crate) fn set_state(&self, state: TaskState) {
        self.state.store(state as u8, Ordering::Release);
    }

    /// Goes into a state because of trouble, which is kept for [`TaskStats::trouble`].
    pub(crate) fn set_trouble(&self, state: TaskState, trouble: String) {
        // Held for a copy only; poisoned it still holds a text.
        *self.trouble.lock().unwrap_or_else(|e| e.into_inner()) = trouble;
        self.set_state(state);
    }

    /// Why the task waits or has failed, while it does or has.
    pub fn trouble(&self) -> Option<String> {
        let told = matches!(self.state(), TaskState::Restarting | TaskState::Failed);
        told.then(|| self.trouble.lock().unwrap_or_else(|e| e.into_inner()).clone())
    }

    /// The state.
    pub fn state(&self) -> TaskState {
        match self.state.load(Ordering::Acquire) {
            0 => TaskState::Unassigned,
            1 => TaskState::Running,
            2 => TaskState::Restarting,
            3 => TaskState::Paused,
            4 => TaskState::Stopped,
            _ => TaskState::Failed,
        }
    }

    /// The counters now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            records_in: self.records_in.get(),
            bytes_in: self.bytes_in.get(),
            rows_out: self.rows_out.get(),
            bytes_out: self.bytes_out.get(),
            rejected: self.rejected.get(),
            lost: self.lost.get(),
            busy_ms: self.busy_ms.load(Ordering::Acquire),
        }
    }
}
