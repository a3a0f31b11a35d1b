//! What a task has done so far.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

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

/// Counters of a task, read while it runs. Rows that were replayed after a restart count again.
#[derive(Debug, Default)]
pub struct TaskStats {
    state: AtomicU8,
    /// The trouble behind the states `Restarting` and `Failed`.
    trouble: Mutex<String>,
    pub(crate) records_in: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) rows_out: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) lost: AtomicU64,
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
        let get = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        Snapshot {
            records_in: get(&self.records_in),
            bytes_in: get(&self.bytes_in),
            rows_out: get(&self.rows_out),
            bytes_out: get(&self.bytes_out),
            rejected: get(&self.rejected),
            lost: get(&self.lost),
            busy_ms: get(&self.busy_ms),
        }
    }

    pub(crate) fn add(counter: &AtomicU64, n: usize) {
        counter.fetch_add(n as u64, Ordering::Release);
    }
}
