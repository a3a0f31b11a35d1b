//! When a file is idle: its topic partition has been read, and no row came for it.
//!
//! The wall clock alone can't tell. In a backlog of many partitions each waits for its turn, and the slower the turns the more files would be closed
//! for nothing, which makes them slower.

/// While a partition is behind, so many batches must have come without a row for a file: lake partitions that alternate are rarely in each.
const BATCHES: u64 = 8;

/// A moment in the reading of a topic partition.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Touch {
    ms: i64,
    batch: u64,
}

/// How far a topic partition has been read, in batches and by the wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Progress {
    last: Touch,
    /// When it was read to its end last.
    caught_up_ms: i64,
}

impl Progress {
    /// A batch came.
    pub(crate) fn batch(&mut self, now_ms: i64) {
        self.last = Touch { ms: now_ms, batch: self.last.batch + 1 };
    }

    /// Nothing is left to read.
    pub(crate) fn caught_up(&mut self, now_ms: i64) {
        self.caught_up_ms = now_ms;
    }

    /// This moment.
    pub(crate) fn touch(&self, now_ms: i64) -> Touch {
        Touch { ms: now_ms, ..self.last }
    }

    /// Whether a file whose last rows came at `touch` had none for so long.
    pub(crate) fn idle(&self, touch: Touch, idle_ms: i64) -> bool {
        let passed_by = self.last.batch - touch.batch >= BATCHES && self.last.ms - touch.ms >= idle_ms;
        passed_by || self.caught_up_ms - touch.ms >= idle_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_idle_at_the_end_of_its_partition_or_when_batches_have_passed_it_by() {
        let mut progress = Progress::default();
        progress.batch(1000);
        let file = progress.touch(1000);
        progress.caught_up(1999);
        assert!(!progress.idle(file, 1000));
        progress.caught_up(2000);
        assert!(progress.idle(file, 1000));

        progress.batch(60_000);
        let file = progress.touch(60_000);
        for batch in 1..=BATCHES {
            assert!(!progress.idle(file, 1000), "{batch}: others wait as well");
            progress.batch(70_000);
        }
        assert!(progress.idle(file, 1000));
        assert!(!progress.idle(file, 10_001), "not for that long");
    }
}
