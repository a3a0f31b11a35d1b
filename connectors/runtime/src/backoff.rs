//! How long to wait before trying again.

use std::time::{Duration, Instant};

use crate::task::Orders;

/// Waits that double from a first one up to a limit.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    next: Duration,
    max: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, max: Duration) -> Self {
        let first = first.min(max);
        Self { first, next: first, max }
    }

    /// The next wait.
    pub(crate) fn delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = (self.next * 2).min(self.max);
        delay
    }

    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

/// Sleeps, but wakes up soon when the task is to stop.
pub(crate) fn sleep(duration: Duration, orders: &Orders) {
    let deadline = Instant::now() + duration;
    while !orders.stopped() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::sleep(left.min(Duration::from_millis(50)));
    }
}
