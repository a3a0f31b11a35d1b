//! Where sources left off: the file `offset.storage.file.filename`, or the topic of a cluster.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use lakefeed_core::{Error, Position, Result, SourceOffsets};

use crate::cluster::TopicOffsets;

/// Where the positions of all sources are kept.
#[derive(Debug, Clone)]
pub(crate) enum OffsetStore {
    /// By a worker that is alone.
    File(Arc<OffsetFile>),
    /// By a cluster.
    Topic(TopicOffsets),
}

impl OffsetStore {
    /// The positions of one connector, for its tasks.
    pub(crate) fn of(&self, connector: &str) -> Arc<dyn SourceOffsets> {
        match self {
            Self::File(file) => file.of(connector),
            Self::Topic(topic) => topic.of(connector),
        }
    }

    /// The positions of one connector, for people.
    pub(crate) fn list(&self, connector: &str) -> Result<Vec<Position>> {
        match self {
            Self::File(file) => Ok(file.list(connector)),
            Self::Topic(topic) => topic.catch_up().map(|()| topic.list(connector)),
        }
    }

    /// Replaces all positions of one connector, which has so many tasks and is stopped.
    pub(crate) fn replace(&self, connector: &str, tasks: u32, positions: Vec<Position>) -> Result<()> {
        match self {
            Self::File(file) => file.replace(connector, positions),
            Self::Topic(topic) => topic.replace(connector, tasks, &positions),
        }
    }
}

type Connectors = BTreeMap<String, BTreeMap<String, String>>;

/// The positions of all sources of a worker: per connector a map from source partition to offset, both JSON text. The file is JSON and is
/// replaced as a whole, so a crash leaves the old one or the new one.
#[derive(Debug)]
pub(crate) struct OffsetFile {
    path: PathBuf,
    connectors: Mutex<Connectors>,
}

impl OffsetFile {
    /// Reads the file; none is an empty one.
    pub(crate) fn open(path: &Path) -> Result<Arc<Self>> {
        let fault = |what: &str| Error::config(format!("offset.storage.file.filename = '{}': {what}", path.display()));
        let connectors = match std::fs::read(path) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|e| fault("not a file of offsets; move it away to start from the beginning").with_source(e))?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Connectors::new(),
            Err(e) => return Err(fault("can't be read").with_source(e)),
        };
        Ok(Arc::new(Self { path: path.to_owned(), connectors: Mutex::new(connectors) }))
    }

    /// Stores positions and waits until they are on disk.
    pub(crate) fn store(&self, connector: &str, positions: &[Position]) -> Result<()> {
        self.change(|connectors| {
            let partitions = connectors.entry(connector.to_owned()).or_default();
            partitions.extend(positions.iter().map(|p| (p.partition.clone(), p.offset.clone())));
        })
    }

    fn change(&self, change: impl FnOnce(&mut Connectors)) -> Result<()> {
        // Held while the file is written, so that files appear in the order of the changes. Poisoned it still holds whole entries.
        let mut connectors = self.connectors.lock().unwrap_or_else(|e| e.into_inner());
        change(&mut connectors);
        let written = serde_json::to_vec_pretty(&*connectors).map_err(std::io::Error::from).and_then(|text| replace(&self.path, &text));
        written.map_err(|e| Error::retry(format!("can't write the source offsets to {}", self.path.display())).with_source(e))
    }

    fn list(&self, connector: &str) -> Vec<Position> {
        let connectors = self.connectors.lock().unwrap_or_else(|e| e.into_inner());
        let positions = connectors.get(connector).into_iter().flatten();
        positions.map(|(partition, offset)| Position { partition: partition.clone(), offset: offset.clone() }).collect()
    }

    /// Replaces all positions of one connector and waits until they are on disk.
    fn replace(&self, connector: &str, positions: Vec<Position>) -> Result<()> {
        self.change(|connectors| {
            drop(connectors.insert(connector.to_owned(), positions.into_iter().map(|p| (p.partition, p.offset)).collect()))
        })
    }

    fn of(self: &Arc<Self>, connector: &str) -> Arc<dyn SourceOffsets> {
        Arc::new(OfConnector { file: Arc::clone(self), connector: connector.to_owned() })
    }
}

fn replace(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let temporary = path.with_extension("tmp");
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    std::fs::File::open(folder)?.sync_all()
}

struct OfConnector {
    file: Arc<OffsetFile>,
    connector: String,
}

impl SourceOffsets for OfConnector {
    fn get(&self, partition: &str) -> Option<String> {
        let connectors = self.file.connectors.lock().unwrap_or_else(|e| e.into_inner());
        connectors.get(&self.connector)?.get(partition).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_survive_and_stay_with_their_connector() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let path = dir.path().join("deep/offsets.json");
        let file = OffsetFile::open(&path).expect("new");
        let position = |offset: &str| Position { partition: r#"{"fileName":"a"}"#.into(), offset: offset.into() };
        file.store("c", &[position(r#"{"offset":1}"#)]).expect("stored");
        file.store("c", &[position(r#"{"offset":2}"#)]).expect("stored");
        let again = OffsetFile::open(&path).expect("read");
        assert_eq!(again.of("c").get(r#"{"fileName":"a"}"#).as_deref(), Some(r#"{"offset":2}"#));
        assert_eq!(again.of("other").get(r#"{"fileName":"a"}"#), None);
        std::fs::write(&path, "{").expect("written");
        assert!(OffsetFile::open(&path).expect_err("damaged").chain().contains("not a file of offsets"));
    }
}
