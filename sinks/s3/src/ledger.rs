//! The exactly-once bookkeeping of one topic-partition: a pure state machine, no clock and no I/O.
//!
//! A file covers one lake partition and the offsets `first..=last` of its records, in order. The rules (numbers as in ARCHITECTURE.md):
//!
//! * 4: files of one lake partition are published in order of `first`, one at a time.
//! * 5: [`Ledger::committable`] is the smallest `first` among files that are open or not yet published; if there is none, the next offset to
//!   read.
//! * 6: when a lake partition is met for the first time, the store is asked for its newest file; records up to that file's last offset are
//!   in the lake and are skipped. Nothing is committed from the first skipped record on until the file's last offset has been met: a topic
//!   that was made anew has other records at these offsets.
//! * 7: when another incarnation has published a file's name, everything not published is dropped and read again
//!   ([`Ledger::restart`]).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use foldhash::fast::RandomState;

/// A lake partition of a topic: what the keys of its files begin with, such as `topics/motor/profile_id=17/motor+`. Routers that look at the
/// time give a topic several names, and each has lake partitions of its own.
pub type LakePartition = Arc<str>;

/// The records of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The offset of the first record; it names the file.
    pub first: i64,
    /// The offset of the last record.
    pub last: i64,
    /// How many records; fewer than the offsets between when others lie in between.
    pub count: u64,
}

/// What is known of the records of a lake partition that are in the lake already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cover {
    /// Not asked yet, or no answer yet.
    Unknown { asked: bool },
    /// Up to this offset everything is there; -1: nothing is.
    Through(i64),
}

#[derive(Debug)]
struct Lake {
    cover: Cover,
    /// Records that were taken while the cover was unknown count as open from the first of them on.
    open: Option<Span>,
    /// Closed files in order; the head may be under way.
    closed: VecDeque<Span>,
    publishing: bool,
    /// The first record that was skipped because it is covered.
    skipped: Option<i64>,
}

impl Lake {
    /// The first skipped record and the end of the cover, while that has not been met.
    fn ahead(&self, next: i64) -> Option<(i64, i64)> {
        match self.cover {
            Cover::Through(last) if last >= next => Some((self.skipped?, last)),
            _ => None,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Ledger {
    next: i64,
    lakes: HashMap<LakePartition, Lake, RandomState>,
}

impl Ledger {
    /// Reading starts at `position`.
    pub fn new(position: i64) -> Self {
        Self { next: position, lakes: HashMap::default() }
    }

    /// Everything below `next` has been looked at.
    pub fn read_to(&mut self, next: i64) {
        self.next = self.next.max(next);
    }

    /// The offset through which records of `lake` are in the lake already (-1: none), or `None` while that is unknown: then records are to
    /// be set aside and announced by [`Ledger::set_aside`].
    pub fn covered(&mut self, lake: &LakePartition) -> Option<i64> {
        let unknown =
            || Lake { cover: Cover::Unknown { asked: false }, open: None, closed: VecDeque::new(), publishing: false, skipped: None };
        match self.lakes.entry(Arc::clone(lake)).or_insert_with(unknown).cover {
            Cover::Through(last) => Some(last),
            Cover::Unknown { .. } => None,
        }
    }

    /// Lake partitions that the store must be asked about; each is named once.
    pub fn lookups(&mut self) -> Vec<LakePartition> {
        let ask = |(name, lake): (&LakePartition, &mut Lake)| {
            let due = lake.cover == Cover::Unknown { asked: false };
            if due {
                lake.cover = Cover::Unknown { asked: true };
            }
            due.then(|| Arc::clone(name))
        };
        self.lakes.iter_mut().filter_map(ask).collect()
    }

    /// Records from `first` on wait for the answer about their lake partition.
    pub fn set_aside(&mut self, lake: &LakePartition, first: i64) {
        if let Some(lake) = self.lakes.get_mut(lake) {
            lake.open.get_or_insert(Span { first, last: first, count: 0 });
        }
    }

    /// The store's answer: the last offset of the newest file, -1 if there is none. What was set aside comes again through
    /// [`Ledger::append`], without what is covered.
    pub fn answer(&mut self, lake: &LakePartition, last: i64) {
        if let Some(lake) = self.lakes.get_mut(lake) {
            lake.cover = Cover::Through(last);
            lake.open = None;
        }
    }

    /// Records from `first` on were skipped, because they are covered.
    pub fn skip(&mut self, lake: &LakePartition, first: i64) {
        if let Some(lake) = self.lakes.get_mut(lake) {
            lake.skipped.get_or_insert(first);
        }
    }

    /// The last offset that is in the lake already and has not been met in the topic, if records were skipped for it.
    pub fn awaited(&self) -> Option<i64> {
        self.lakes.values().filter_map(|lake| Some(lake.ahead(self.next)?.1)).max()
    }

    /// The first record that waits for an answer of the store.
    pub fn asking_from(&self) -> Option<i64> {
        let asking = self.lakes.values().filter(|lake| matches!(lake.cover, Cover::Unknown { .. }));
        asking.filter_map(|lake| Some(lake.open?.first)).min()
    }

    /// Records, none of them covered, join the open file of `lake`; without one a file is opened.
    pub fn append(&mut self, lake: &LakePartition, records: Span) {
        if let Some(lake) = self.lakes.get_mut(lake) {
            match &mut lake.open {
                Some(open) => (open.last, open.count) = (records.last, open.count + records.count),
                None => lake.open = Some(records),
            }
        }
    }

    /// The first offset of the open file of `lake`.
    pub fn open_first(&self, lake: &LakePartition) -> Option<i64> {
        Some(self.lakes.get(lake)?.open?.first)
    }

    /// The open file of `lake` is complete.
    pub fn close(&mut self, lake: &LakePartition) -> Option<Span> {
        let lake = self.lakes.get_mut(lake).filter(|lake| matches!(lake.cover, Cover::Through(_)))?;
        let span = lake.open.take()?;
        lake.closed.push_back(span);
        Some(span)
    }

    /// The next file of `lake` to publish, unless one is under way. It is then.
    pub fn publish(&mut self, lake: &LakePartition) -> Option<Span> {
        let lake = self.lakes.get_mut(lake).filter(|lake| !lake.publishing)?;
        let span = *lake.closed.front()?;
        lake.publishing = true;
        Some(span)
    }

    /// The file under way is in the lake.
    pub fn published(&mut self, lake: &LakePartition) {
        if let Some(lake) = self.lakes.get_mut(lake)
            && let Some(span) = lake.closed.pop_front()
        {
            lake.publishing = false;
            lake.cover = Cover::Through(span.last);
        }
    }

    /// The offset below which every record is in the lake, or needs not be.
    pub fn committable(&self) -> i64 {
        let first = |lake: &Lake| lake.closed.front().or(lake.open.as_ref()).map(|span| span.first);
        let skipped = |lake: &Lake| lake.ahead(self.next).map(|(first, _)| first);
        let firsts = self.lakes.values().filter_map(|lake| [first(lake), skipped(lake)].into_iter().flatten().min());
        firsts.min().unwrap_or(self.next)
    }

    /// Drops everything that is not published and forgets what is known of the lake; returns the offset to read from.
    pub fn restart(&mut self) -> i64 {
        let position = self.committable();
        *self = Self::new(position);
        position
    }

    /// Forgets lake partitions without work, once there are more than `max`; when met again the store is asked again.
    pub fn forget_idle(&mut self, max: usize) {
        if self.lakes.len() > max {
            let next = self.next;
            let waits = |lake: &Lake| matches!(lake.cover, Cover::Unknown { .. }) || lake.ahead(next).is_some();
            self.lakes.retain(|_, lake| lake.open.is_some() || !lake.closed.is_empty() || waits(lake));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_committed_past_skipped_records_until_the_end_of_their_cover_is_met() {
        let (a, b): (LakePartition, LakePartition) = ("e=a".into(), "e=b".into());
        let mut ledger = Ledger::new(10);
        assert_eq!((ledger.covered(&a), ledger.covered(&b)), (None, None));
        ledger.set_aside(&a, 11);
        ledger.read_to(12);
        ledger.answer(&a, 20);
        ledger.skip(&a, 11);
        ledger.answer(&b, 10);
        ledger.skip(&b, 10);
        assert_eq!((ledger.committable(), ledger.awaited()), (11, Some(20)), "b's cover has been met, a's has not");
        ledger.forget_idle(0);
        ledger.read_to(20);
        assert_eq!((ledger.committable(), ledger.awaited()), (11, Some(20)));
        ledger.read_to(21);
        assert_eq!((ledger.committable(), ledger.awaited()), (21, None));
    }
}
