//! Uploads in parts that a crash has left behind: their parts cost money until somebody removes them.
//!
//! The task that reads partition 0 of a topic looks below the topic's folder (or those that it has by time: below what their names begin with)
//! when it gets that partition, and again each time the age has passed. It removes what is named as a file of that topic and was begun
//! longer ago than the age: no living upload is that old, and if one were, its file would be written again from its beginning. MinIO lists
//! nothing below a folder, and removes uploads of a day by itself.

use std::collections::HashMap;
use std::sync::Arc;

use lakefeed_core::{Result, TopicPartition};
use lakefeed_formats::RoutedTopic;
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
        let (topic, store, settings) = (Arc::clone(&partition.topic), shared.store.clone(), Arc::clone(&shared.settings));
        let work = async move {
            match sweep(&store, &settings.layout, &settings.routed(&topic), now_ms.saturating_sub(age_ms)).await {
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
async fn sweep(store: &Store, layout: &KeyLayout, topic: &RoutedTopic, before_ms: i64) -> Result<u64> {
    let mut removed = 0;
    let is_own = match store.location() {
        Location::Local(_) => is_below,
        Location::S3 { .. } => is_file,
    };
    for upload in store.list_uploads(&beginning(layout, topic)).await? {
        if is_stale(&upload, before_ms) && is_own(&upload.key, layout, topic) {
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

/// What all keys of the topic begin with.
fn beginning(layout: &KeyLayout, topic: &RoutedTopic) -> String {
    match topic.unit_ms() {
        Some(_) if !layout.whole_prefix => layout.folder("", "") + topic.beginning(),
        _ => layout.folder(topic.beginning(), ""),
    }
}

/// Whether a key is that of a file of the topic: `TOPIC+PARTITION+FIRST.EXTENSION` in its last element.
fn is_file(key: &str, layout: &KeyLayout, topic: &RoutedTopic) -> bool {
    let name = key.rsplit('/').next().unwrap_or(key);
    layout.parts(name).is_some_and(|(name, _, _, extension)| topic.can_be(name) && extension.ends_with(".parquet"))
}

/// Whether a key lies in a folder of the topic. The names of temporary files don't tell what they are to become.
fn is_below(key: &str, layout: &KeyLayout, topic: &RoutedTopic) -> bool {
    let folder = key.strip_prefix(&layout.folder("", "")).and_then(|rest| rest.split('/').next());
    layout.whole_prefix || folder.is_some_and(|name| topic.can_be(name))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use lakefeed_core::{ConfigDef, Key, KeyKind};
    use lakefeed_formats::{Place, Transforms};
    use lakefeed_store::StoreConfig;

    use super::*;

    fn named(topic: &str) -> RoutedTopic {
        Transforms::default().routed(topic)
    }

    /// The topic `t` by days.
    fn by_day(format: &str) -> RoutedTopic {
        let keys = ["transforms", "predicates"].map(|name| Key::new(name, KeyKind::List, "."));
        let values = [("transforms", "r"), ("transforms.r.type", "TimestampRouter"), ("transforms.r.topic.format", format)];
        let values: BTreeMap<_, _> = values.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let config = ConfigDef::new().keys(&keys).prefix("transforms.", ".").parse(&values).expect("known keys");
        Transforms::read(&config, Place::Sink).expect("valid").routed("t")
    }

    #[test]
    fn only_the_topics_own_files_are_touched() {
        let layout = KeyLayout::default();
        for key in ["topics/t/t+0+0000000007.snappy.parquet", "topics/t/k=1/day=2/t+12+5.parquet"] {
            assert!(is_file(key, &layout, &named("t")), "{key}");
        }
        let t = by_day("${topic}-${timestamp}");
        assert!(is_file("topics/t-20261122/t-20261122+0+5.parquet", &layout, &t));
        assert!(!is_file("topics/t-u-20261122/t-u-20261122+0+5.parquet", &layout, &t), "of the topic t-u");
        assert!(is_below("topics/t-20261122/k=1/x", &layout, &t) && !is_below("topics/t-u-20261122/x", &layout, &t));
        assert_eq!(beginning(&layout, &t), "topics/t-");
        assert_eq!(beginning(&layout, &by_day("${timestamp}.${topic}")), "topics/");
        assert_eq!(beginning(&KeyLayout { whole_prefix: true, ..layout.clone() }, &t), "");
        for key in [
            "topics/t/other.parquet",
            "topics/t/t+x+1.parquet",
            "topics/t/tt+0+1.parquet",
            "topics/t/t+0+1.csv",
            "topics/t/t+0+x.parquet",
            "",
        ] {
            assert!(!is_file(key, &layout, &named("t")), "{key}");
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
        for key in
            ["topics/t/k=1/t+0+5.parquet", "topics/other/other+0+5.parquet", "topics/t-20261122/a.parquet", "topics/t-20261123/a.parquet"]
        {
            let upload = store.begin(key, &[]).await.expect("begin");
            store.upload_part(&upload, 1, vec![Bytes::from_static(b"x")]).await.expect("part");
            left.push(upload);
        }
        assert_eq!(sweep(&store, &layout, &named("t"), 1_000).await.expect("sweep"), 0, "they are younger");
        assert_eq!(sweep(&store, &layout, &named("t"), i64::MAX).await.expect("sweep"), 1);
        assert_eq!(store.list_uploads("topics/t/").await.expect("list"), []);
        assert_eq!(store.list_uploads("topics/").await.expect("list").len(), 3);
        assert_eq!(sweep(&store, &layout, &by_day("${topic}-${timestamp}"), i64::MAX).await.expect("sweep"), 2);
        assert_eq!(store.list_uploads("topics/").await.expect("list").len(), 1);
    }
}
