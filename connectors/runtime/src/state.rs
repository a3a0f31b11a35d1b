//! What processors remember: an embedded store on disk.

use std::collections::HashMap;
use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions};
use lakefeed_core::{Error, Result, State, TopicPartition};

/// Memory that the store may take for blocks that it has read, in bytes.
const CACHE_BYTES: u64 = 16 << 20;
/// Memory that changes take before they go to disk as a sorted file, per partition, in bytes.
const MEMTABLE_BYTES: u64 = 8 << 20;
const MARKS: &str = "marks";

/// The state of all processors of a worker, a keyspace per connector and input partition.
#[derive(Clone)]
pub(crate) struct StateStore {
    database: Database,
    marks: Keyspace,
}

impl std::fmt::Debug for StateStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StateStore")
    }
}

impl StateStore {
    /// Opens or makes the store in a folder.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let opened = Database::builder(folder).cache_size(CACHE_BYTES).worker_threads(1).open().and_then(|database| {
            let marks = database.keyspace(MARKS, KeyspaceCreateOptions::default)?;
            Ok(Self { database, marks })
        });
        opened.map_err(|e| match e {
            fjall::Error::Locked => Error::config(format!("state.dir = '{}': another worker uses it; give each its own", folder.display())),
            other => Error::config(format!("state.dir = '{}': can't be opened", folder.display())).with_source(other),
        })
    }

    /// A name for this store that no other store has, and that stays: `fresh` the first time.
    pub(crate) fn instance(&self, fresh: &str) -> Result<String> {
        // Begins with a NUL, so that it is no partition's mark.
        const KEY: &[u8] = b"\0instance";
        if let Some(known) = self.marks.get(KEY).map_err(failed)? {
            return Ok(String::from_utf8_lossy(&known).into_owned());
        }
        self.marks.insert(KEY, fresh.as_bytes()).map_err(failed)?;
        self.database.persist(fjall::PersistMode::SyncAll).map_err(failed)?;
        Ok(fresh.to_owned())
    }

    /// The state of one input partition of a connector.
    pub(crate) fn partition(&self, connector: &str, partition: &TopicPartition) -> Result<PartitionState> {
        let name = format!("{connector}/{partition}");
        if name.len() > 255 {
            return Err(Error::config(format!(
                "name = '{connector}': together with the topic {} it is too long by {} bytes",
                partition.topic,
                name.len() - 255
            )));
        }
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        let keyspace = self.database.keyspace(&name, options).map_err(failed)?;
        let mark = self.marks.get(name.as_bytes()).map_err(failed)?;
        let mark = mark.and_then(|bytes| Some(i64::from_be_bytes(<[u8; 8]>::try_from(&*bytes).ok()?)));
        Ok(PartitionState { store: self.clone(), keyspace, name, mark, changes: HashMap::new() })
    }
}

/// The state of one input partition: what is on disk, and changes that are not there yet.
pub(crate) struct PartitionState {
    store: StateStore,
    keyspace: Keyspace,
    name: String,
    mark: Option<i64>,
    changes: HashMap<Vec<u8>, Option<Vec<u8>>>,
}

impl PartitionState {
    /// The offset of the first record that the state on disk does not know.
    pub(crate) fn mark(&self) -> Option<i64> {
        self.mark
    }

    /// Writes the changes together with the offset that they reach up to. One atomic write: after a crash either all is there or nothing.
    pub(crate) fn save(&mut self, mark: i64) -> Result<()> {
        let mut batch = fjall::OwnedWriteBatch::with_capacity(self.store.database.clone(), self.changes.len() + 1);
        for (key, value) in self.changes.drain() {
            match value {
                Some(value) => batch.insert(&self.keyspace, key, value),
                None => batch.remove(&self.keyspace, key),
            }
        }
        batch.insert(&self.store.marks, self.name.as_bytes(), mark.to_be_bytes());
        batch.commit().map_err(failed)?;
        self.mark = Some(mark);
        Ok(())
    }

    /// Forgets everything.
    pub(crate) fn reset(&mut self) -> Result<()> {
        self.changes.clear();
        self.mark = None;
        self.store.marks.remove(self.name.as_bytes()).and_then(|()| self.keyspace.clear()).map_err(failed)
    }
}

impl State for PartitionState {
    fn get(&mut self, key: &[u8], value: &mut Vec<u8>) -> Result<bool> {
        value.clear();
        match self.changes.get(key) {
            Some(Some(changed)) => value.extend_from_slice(changed),
            Some(None) => return Ok(false),
            None => match self.keyspace.get(key).map_err(failed)? {
                Some(stored) => value.extend_from_slice(&stored),
                None => return Ok(false),
            },
        }
        Ok(true)
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        match self.changes.get_mut(key) {
            Some(Some(changed)) => {
                changed.clear();
                changed.extend_from_slice(value);
            }
            _ => drop(self.changes.insert(key.to_vec(), Some(value.to_vec()))),
        }
    }

    fn delete(&mut self, key: &[u8]) {
        self.changes.insert(key.to_vec(), None);
    }
}

fn failed(error: fjall::Error) -> Error {
    Error::fatal("the state store failed; if its disk is full, free space and start again").with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saved_changes_survive_with_their_mark_and_others_do_not() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let partition = TopicPartition::new("t", 3);
        let mut value = Vec::new();
        {
            let store = StateStore::open(dir.path()).expect("opened");
            let mut state = store.partition("c", &partition).expect("opened");
            assert_eq!(state.mark(), None);
            state.put(b"a", b"1");
            state.put(b"b", b"2");
            state.save(7).expect("saved");
            state.delete(b"a");
            state.put(b"b", b"3");
            assert!(!state.get(b"a", &mut value).expect("read"));
            assert!(state.get(b"b", &mut value).expect("read") && value == b"3");
        }
        let store = StateStore::open(dir.path()).expect("opened again");
        let mut state = store.partition("c", &partition).expect("opened");
        assert_eq!(state.mark(), Some(7));
        assert!(state.get(b"a", &mut value).expect("read") && value == b"1");
        assert!(state.get(b"b", &mut value).expect("read") && value == b"2");
        assert!(!store.partition("c", &TopicPartition::new("t", 4)).expect("other").get(b"a", &mut value).expect("read"));
        state.reset().expect("reset");
        assert!(!state.get(b"a", &mut value).expect("read"));
        assert_eq!(store.partition("c", &partition).expect("opened").mark(), None);
    }

    #[test]
    fn two_workers_can_not_share_a_folder() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let _first = StateStore::open(dir.path()).expect("opened");
        let error = StateStore::open(dir.path()).expect_err("locked");
        assert!(error.chain().contains("another worker uses it"), "{}", error.chain());
    }
}
