//! The topics that a connector has used.

use std::collections::BTreeSet;
use std::sync::Mutex;

/// The topics that the tasks of a connector have read or written since it was made, or since the last reset. As many as it has topics.
#[derive(Debug, Default)]
pub(crate) struct ActiveTopics(Mutex<BTreeSet<String>>);

impl ActiveTopics {
    /// A topic was used; called once a batch.
    pub(crate) fn used(&self, topic: &str) {
        // Held for a look-up or an insert only; poisoned it still holds whole names.
        let mut topics = self.0.lock().unwrap_or_else(|e| e.into_inner());
        if !topics.contains(topic) {
            topics.insert(topic.to_owned());
        }
    }

    pub(crate) fn list(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).iter().cloned().collect()
    }

    pub(crate) fn forget(&self, topic: &str) {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).remove(topic);
    }

    pub(crate) fn reset(&self) {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).clear();
    }
}
