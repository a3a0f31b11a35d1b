//! Levels of the log that a call sets for all workers of a cluster: each worker is told by the config topic, and tells who writes its log.

use std::sync::OnceLock;

/// Sets the level of a part of this worker's log; the error says why it can't be.
type Set = Box<dyn Fn(&str, &str) -> Result<(), String> + Send + Sync>;

/// Who sets levels, once that is known.
#[derive(Default)]
pub(crate) struct Levels(OnceLock<Set>);

impl std::fmt::Debug for Levels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Levels")
    }
}

impl Levels {
    /// Levels are set by `set` from now on, by the first that says so.
    pub(crate) fn follow(&self, set: Set) {
        // Another one has said so before.
        let _ = self.0.set(set);
    }

    /// Sets the level of a part of the log. Before anybody follows nothing is done: the worker still starts.
    pub(crate) fn set(&self, part: &str, level: &str) -> Result<(), String> {
        self.0.get().map_or(Ok(()), |set| set(part, level))
    }
}
