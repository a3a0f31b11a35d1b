//! Which partitions may have rows that wait to be read.
//!
//! A file is idle when its partition has been read and no row came for it. The wall clock alone can't tell: with a backlog of many partitions each waits
//! for its turn, and the slower the turns the more files would be closed for nothing, which makes them slower.

/// The worker reads partitions in turn, those without rows left out. So a partition that is left out while another comes twice was asked in
/// between, and has been read to its end; and all have, when nothing comes though rows would be taken.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    last: u64,
    /// The first turn of this round, and of the round before. A round ends where a partition comes again.
    round: u64,
    before: u64,
    /// Whether rows have been asked for since the last poll, and none came.
    silent: bool,
}

impl Turns {
    /// Rows of a partition came, whose last turn was `turn` (0: none); returns the number of this one.
    pub(crate) fn came(&mut self, turn: u64) -> u64 {
        self.last += 1;
        self.silent = false;
        if turn >= self.round {
            (self.before, self.round) = (self.round, self.last);
        }
        self.last
    }

    /// A poll; `takes`: whether rows are taken until the next one.
    pub(crate) fn polled(&mut self, takes: bool) {
        if self.silent {
            (self.before, self.round) = (self.last + 1, self.last + 1);
        }
        self.silent = takes;
    }

    /// Whether a partition whose last turn was `turn` may have more rows.
    pub(crate) fn waits(&self, turn: u64) -> bool {
        turn > 0 && turn >= self.before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_waits_until_another_has_come_twice_without_it() {
        let mut turns = Turns::default();
        let (mut a, mut b, never) = (0, 0, 0);
        for _ in 0..5 {
            a = turns.came(a);
            b = turns.came(b);
            assert!(turns.waits(a) && turns.waits(b) && !turns.waits(never));
            turns.polled(true);
        }
        b = turns.came(b);
        assert!(turns.waits(a), "its turn may come next");
        b = turns.came(b);
        b = turns.came(b);
        assert!(!turns.waits(a) && turns.waits(b), "it was left out");
        a = turns.came(a);
        assert!(turns.waits(a));
        turns.polled(false);
        assert!(turns.waits(a) && turns.waits(b));
        turns.polled(true);
        assert!(turns.waits(a), "nothing was asked for");
        turns.polled(true);
        assert!(!turns.waits(a) && !turns.waits(b), "nothing came");
        a = turns.came(a);
        assert!(turns.waits(a) && !turns.waits(b));
    }
}
