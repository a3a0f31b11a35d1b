//! Waiting for conditions, and names that nobody else uses.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(20);

/// Asks `condition` until it gives something.
///
/// # Panics
/// When `deadline` has passed: "`what` did not come within ...".
pub fn wait_for<T>(what: &str, deadline: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(started.elapsed() < deadline, "{what} did not come within {deadline:?}");
        std::thread::sleep(INTERVAL);
    }
}

/// Asks `condition` until it holds.
///
/// # Panics
/// As [`wait_for`].
pub fn wait_until(what: &str, deadline: Duration, mut condition: impl FnMut() -> bool) {
    wait_for(what, deadline, || condition().then_some(()));
}

/// `name` and a suffix that no other test, process or run has: for topics, groups and buckets on servers that are shared.
///
/// At most 30 characters are added, all of them fit for topics and buckets.
pub fn unique(name: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    format!("{name}-{now_ms:x}-{:x}-{count:x}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_until_something_comes() {
        let mut asked = 0;
        let value = wait_for("the third question", Duration::from_secs(5), || {
            asked += 1;
            (asked == 3).then_some(asked)
        });
        assert_eq!(value, 3);
    }

    #[test]
    #[should_panic(expected = "the end of time did not come within 30ms")]
    fn gives_up_at_the_deadline() {
        wait_until("the end of time", Duration::from_millis(30), || false);
    }

    #[test]
    fn names_are_unique() {
        let (one, two) = (unique("orders"), unique("orders"));
        assert_ne!(one, two);
        assert!(one.starts_with("orders-") && one.len() < 40, "{one}");
    }
}
