//! One byte budget for everything that a worker buffers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A count of buffered bytes and its limit, shared by all tasks of a worker.
///
/// It does not block and does not refuse: whoever buffers says so ([`Share::set`]), sees that the limit is passed
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
}

/// What one owner holds of a [`Budget`]; given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    held: usize,
}

impl Share {
    /// Holds nothing yet.
    pub fn of(budget: &Arc<Budget>) -> Self {
        Self { budget: Arc::clone(budget), held: 0 }
    }

    /// The bytes that it holds.
    pub fn held(&self) -> usize {
        self.held
    }

    /// The budget.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// From now on it holds this many bytes.
    pub fn set(&mut self, bytes: usize) {
        if bytes >= self.held {
            self.budget.used.fetch_add(bytes - self.held, Ordering::Relaxed);
        } else {
            self.budget.used.fetch_sub(self.held - bytes, Ordering::Relaxed);
        }
        self.held = bytes;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_add_up_and_take_back() {
        let budget = Budget::new(100);
        let (mut a, mut b) = (Share::of(&budget), Share::of(&budget));
        a.set(70);
        b.set(50);
        assert_eq!((budget.used(), budget.over()), (120, 20));
        a.set(10);
        assert_eq!((budget.used(), budget.over()), (60, 0));
        drop(b);
        assert_eq!((budget.used(), a.held()), (10, 10));
    }
}
