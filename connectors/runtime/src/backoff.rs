//! How long to wait before trying again.

use std::time::{Duration, Instant};

use crate::task::Orders;

/// Waits that double from 300 ms up to a limit, as `errors.retry.delay.max.ms` has it in Kafka Connect.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    max: Duration,
}

impl Backoff {
    pub(crate) fn new(max: Duration) -> Self {
        Self { next: Duration::from_millis(300).min(max), max }
    }

    /// Waits, unless the task is to stop; says how long it will have waited.
    pub(crate) fn delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = (self.next * 2).min(self.max);
        delay
    }

    pub(crate) fn reset(&mut self) {
        self.next = Duration::from_millis(300).min(self.max);
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
