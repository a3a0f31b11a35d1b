//! Uploads in parts that a crash has left behind: their parts cost money until somebody removes them.
//!
//! The task that reads partition 0 of a topic looks below the topic's folder when it gets that partition, and again each time the age has
//! passed. It removes what is named as a file of that topic and was begun longer ago than the age: no living upload is that old, and if one
//! were, its file would be written again from its beginning. MinIO lists nothing below a folder, and removes uploads of a day by itself.

use std::collections::HashMap;
use std::sync::Arc;

use lakefeed_core::{Result, TopicPartition};
use lakefeed_layout::KeyLayout;
use lakefeed_store::{Location, Store, UploadInfo};

use crate::writer::Shared;

/// When to look, for each topic.
#[derive(Debug)]
pub(crate) struct Sweeper {
    age_ms: Option<i64>,
    due_ms: HashMap<Arc<str>, i64>,
}

impl Sweeper {
    /// `None`: never.
    pub(crate) fn new(age_ms: Option<i64>) -> Self {
        Self { age_ms, due_ms: HashMap::new() }
    }

    /// Looks, beside the task, if it is time to.
    pub(crate) fn visit(&mut self, partition: &TopicPartition, now_ms: i64, shared: &Shared) {
        let Some(age_ms) = self.age_ms.filter(|_| partition.partition == 0) else { return };
        if self.due_ms.get(&partition.topic).is_some_and(|due| now_ms < *due) {
            return;
        }
        // At most once a minute, however short the age.
        self.due_ms.insert(Arc::clone(&partition.topic), now_ms.saturating_add(age_ms.max(60_000)));
        let (topic, store, settings) = (shared.settings.lake_topic(&partition.topic), shared.store.clone(), Arc::clone(&shared.settings));
        let work = async move {
            match sweep(&store, &settings.layout, &topic, now_ms.saturating_sub(age_ms)).await {
                Ok(0) => {}
                Ok(uploads) => tracing::info!(target: "lakefeed", %topic, uploads, "Unfinished uploads of earlier runs were removed"),
                Err(error) => tracing::warn!(
                    target: "lakefeed", %topic, error = %error.chain(),
                    "Unfinished uploads of earlier runs can't be removed; a lifecycle rule of the bucket can do it, and s3.multipart.abort.age.ms=-1 ends this"
                ),
            }
        };
        shared.beside.spawn(work);
    }
}

/// Removes the uploads of a topic that were begun before a time; returns how many.
async fn sweep(store: &Store, layout: &KeyLayout, topic: &str, before_ms: i64) -> Result<u64> {
    let mut removed = 0;
    let local = matches!(store.location(), Location::Local(_));
    for upload in store.list_uploads(&layout.folder(topic, "")).await? {
        if is_stale(&upload, before_ms) && (local || is_file(&upload.key, layout, topic)) {
            store.abort_upload(&upload.key, &upload.id).await?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// A store that does not say when an upload was begun has none that is old.
fn is_stale(upload: &UploadInfo, before_ms: i64) -> bool {
    upload.initiated_ms > 0 && upload.initiated_ms < before_ms
}

/// Whether a key is that of a file of the topic: `TOPIC+PARTITION+FIRST.EXTENSION` in its last element.
fn is_file(key: &str, layout: &KeyLayout, topic: &str) -> bool {
    let name = key.rsplit('/').next().unwrap_or(key);
    let rest = name.strip_prefix(topic).and_then(|rest| rest.strip_prefix(layout.file_delim.as_str()));
    let Some((partition, first)) = rest.and_then(|rest| rest.split_once(layout.file_delim.as_str())) else { return false };
    partition.parse::<u32>().is_ok() && KeyLayout::first_offset(first, "").is_some() && first.ends_with(".parquet")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use lakefeed_store::StoreConfig;

    use super::*;

    #[test]
    fn only_the_topics_own_files_are_touched() {
        let layout = KeyLayout::default();
        for key in ["topics/t/t+0+0000000007.snappy.parquet", "topics/t/k=1/day=2/t+12+5.parquet"] {
            assert!(is_file(key, &layout, "t"), "{key}");
        }
        for key in [
            "topics/t/other.parquet",
            "topics/t/t+x+1.parquet",
            "topics/t/tt+0+1.parquet",
            "topics/t/t+0+1.csv",
            "topics/t/t+0+x.parquet",
            "",
        ] {
            assert!(!is_file(key, &layout, "t"), "{key}");
        }
        let info = |initiated_ms| UploadInfo { key: "k".into(), id: "i".into(), initiated_ms };
        assert!(is_stale(&info(99), 100) && !is_stale(&info(100), 100) && !is_stale(&info(0), 100));
    }

    #[tokio::test]
    async fn old_uploads_below_the_topic_are_removed() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::open(&StoreConfig::local(dir.path())).expect("open");
        let layout = KeyLayout::default();
        let mut left = Vec::new();
        for key in ["topics/t/k=1/t+0+5.parquet", "topics/other/other+0+5.parquet"] {
            let upload = store.begin(key, &[]).await.expect("begin");
            store.upload_part(&upload, 1, vec![Bytes::from_static(b"x")]).await.expect("part");
            left.push(upload);
        }
        assert_eq!(sweep(&store, &layout, "t", 1_000).await.expect("sweep"), 0, "they are younger");
        assert_eq!(sweep(&store, &layout, "t", i64::MAX).await.expect("sweep"), 1);
        assert_eq!(store.list_uploads("topics/t/").await.expect("list"), []);
        assert_eq!(store.list_uploads("topics/").await.expect("list").len(), 1);
    }
}
