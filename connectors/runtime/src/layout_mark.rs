//! What a sink's layout was when offsets were committed: a change after a crash can make rows come twice, and is told.
//!
//! A sink finds what it has published by its layout (`topics.dir`, partitioner, store). What it published past the committed offset it does not
//! find under another one. The mark beside the offset says which layout was used, and whether something may be published past the offset.

use std::collections::HashMap;

use lakefeed_core::TopicPartition;
use lakefeed_kafka::Start;

/// The longest mark; Kafka takes 4,096 bytes.
const MARK_BYTES: usize = 4_000;
/// Nothing is published at or past the offset.
const CLEAN: &str = "lakefeed clean ";
/// Something may be.
const OPEN: &str = "lakefeed open ";

/// The marks of a task's partitions.
#[derive(Debug)]
pub(crate) struct LayoutMarks {
    layout: String,
    /// From this offset on nothing was published before the assignment.
    sure_from: HashMap<TopicPartition, i64>,
    /// The next offset to read.
    position: HashMap<TopicPartition, i64>,
}

impl LayoutMarks {
    pub(crate) fn new(layout: String) -> Self {
        Self { layout: layout.chars().take(MARK_BYTES / 4).collect(), sure_from: HashMap::new(), position: HashMap::new() }
    }

    /// A partition is read from `position`. Returns the earlier layout, if rows that were published under it may come again.
    pub(crate) fn assigned(&mut self, partition: &TopicPartition, position: i64, start: &Start) -> Option<String> {
        let clean = start.metadata.starts_with(CLEAN);
        self.sure_from.insert(partition.clone(), if clean { position } else { start.end });
        self.position.insert(partition.clone(), position);
        let earlier = start.metadata.strip_prefix(OPEN)?;
        (earlier != self.layout).then(|| earlier.to_owned())
    }

    pub(crate) fn read_to(&mut self, partition: TopicPartition, next: i64) {
        self.position.insert(partition, next);
    }

    /// The text beside an offset. `last`: nothing is published any more after this commit.
    pub(crate) fn of(&self, partition: &TopicPartition, offset: i64, last: bool) -> String {
        if self.layout.is_empty() {
            return String::new();
        }
        let reached = |offsets: &HashMap<TopicPartition, i64>| offsets.get(partition).is_some_and(|o| offset >= *o);
        let clean = last && reached(&self.position) && reached(&self.sure_from);
        format!("{}{}", if clean { CLEAN } else { OPEN }, self.layout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_layout_is_told_unless_all_was_committed() {
        let p = TopicPartition::new("t", 0);
        let start = |metadata: String| Start { metadata, end: 20 };
        let mut old = LayoutMarks::new("partition.by=a".into());
        assert_eq!(old.assigned(&p, 0, &start(String::new())), None, "never committed");
        old.read_to(p.clone(), 10);
        let early_end = old.of(&p, 10, true);
        old.read_to(p.clone(), 25);
        let (open, held_back, clean) = (old.of(&p, 25, false), old.of(&p, 24, true), old.of(&p, 25, true));
        let mut new = LayoutMarks::new("partition.by=b".into());
        for (metadata, told) in [(early_end, true), (open.clone(), true), (held_back, true), (clean, false), ("x".into(), false)] {
            assert_eq!(new.assigned(&p, 25, &start(metadata.clone())).is_some(), told, "{metadata}");
        }
        assert_eq!(old.assigned(&p, 25, &start(open)), None, "the same layout");
    }
}
