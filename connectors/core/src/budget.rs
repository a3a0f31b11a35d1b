//! One byte budget for everything that a worker buffers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A count of buffered bytes and its limit, shared by all tasks of a worker.
///
/// It does not block and does not refuse: whoever buffers says so ([`Budget::set`]), sees that the limit is passed
/// ([`Budget::over`]) and then makes room or stops taking more. What can be above the limit is what one batch of each task brings.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    used: AtomicUsize,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0) })
    }

    /// The limit in bytes.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The bytes in use, over all tasks.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// By how many bytes the limit is passed, 0 while it is not.
    pub fn over(&self) -> usize {
        self.used().saturating_sub(self.limit)
    }

    /// Replaces what one owner had said before (`old`) by what it holds now (`new`).
    pub fn set(&self, old: usize, new: usize) {
        if new >= old {
            self.used.fetch_add(new - old, Ordering::Relaxed);
        } else {
            self.used.fetch_sub(old - new, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_add_up_and_take_back() {
        let budget = Budget::new(100);
        budget.set(0, 70);
        budget.set(0, 50);
        assert_eq!((budget.used(), budget.over()), (120, 20));
        budget.set(70, 10);
        assert_eq!((budget.used(), budget.over()), (60, 0));
    }
}
