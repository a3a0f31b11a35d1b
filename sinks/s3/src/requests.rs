//! Requests to the store: how many at once, how long they are made again, and what is logged of their trouble.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lakefeed_core::{Error, ErrorKind, Result};
use lakefeed_store::upload_is_gone;
use tokio::sync::{Semaphore, mpsc};

use crate::upload::Report;

/// Requests that one sink has under way at once: connections, memory of the client.
const REQUESTS_MAX: usize = 64;
/// What one of them costs: a connection with its buffers, the client's state.
const REQUEST_BYTES: usize = 128 << 10;
/// Also the longest that nothing happens after an outage; some 64 requests in 10 s are no load for a store.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// A sink says at most so often that its store is in trouble.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// The requests of a sink. Clones share the bound and the log.
#[derive(Debug, Clone)]
pub(crate) struct Requests {
    places: Arc<Semaphore>,
    health: Arc<Mutex<Health>>,
    first_wait: Duration,
    denied_max: Duration,
}

impl Requests {
    pub(crate) fn new(first_wait_ms: u64, denied_max_ms: u64) -> Self {
        Self {
            places: Arc::new(Semaphore::new(REQUESTS_MAX)),
            health: Arc::default(),
            first_wait: Duration::from_millis(first_wait_ms),
            denied_max: Duration::from_millis(denied_max_ms),
        }
    }

    /// About what the requests that are under way hold, beside their bodies.
    pub(crate) fn held_bytes(&self) -> usize {
        (REQUESTS_MAX - self.places.available_permits()) * REQUEST_BYTES
    }

    /// Makes a request until it is done, with growing waits: without end while the trouble is passing, for `s3.denied.timeout.ms` while the
    /// store denies it (rights and credentials come back, too). `None` when it is not wanted any more, or the sink has ended.
    pub(crate) async fn again<T, F: Future<Output = Result<T>>>(
        &self, object: impl Fn() -> String, wanted: impl Fn() -> bool, sink: &mpsc::Sender<Report>, request: impl Fn() -> F,
    ) -> Result<Option<T>> {
        let mut wait = self.first_wait;
        let mut denied = None;
        let mut troubled = false;
        let end = loop {
            // Held for the request, not for the wait before the next. It is never closed.
            let place = self.places.acquire().await;
            // On the heap for as long as it runs: thousands of files can wait for a place, and the SDK's futures are large.
            let answer = Box::pin(request()).await;
            drop(place);
            let error = match answer {
                Ok(value) => break Ok(Some(value)),
                Err(error) => error,
            };
            let now = Instant::now();
            match error.kind() {
                ErrorKind::Retry if !upload_is_gone(&error) => {}
                ErrorKind::Config if now - *denied.get_or_insert(now) < self.denied_max => {}
                _ => break Err(error),
            }
            self.failed(&object(), &error, !troubled, now);
            troubled = true;
            if !wanted() {
                break Ok(None);
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = sink.closed() => break Ok(None),
            }
            if !wanted() {
                break Ok(None);
            }
            wait = (wait * 2).min(WAIT_MAX);
        };
        self.ended(troubled, matches!(end, Ok(Some(_))));
        end
    }

    /// Makes a request once; its failure is only logged.
    pub(crate) async fn once(&self, object: impl Fn() -> String, request: impl Future<Output = Result<()>>) {
        let place = self.places.acquire().await;
        let answer = request.await;
        drop(place);
        if let Err(error) = &answer {
            self.failed(&object(), error, true, Instant::now());
        }
        self.ended(answer.is_err(), answer.is_ok());
    }

    fn failed(&self, object: &str, error: &Error, first: bool, now: Instant) {
        tracing::debug!(target: "lakefeed", %object, error = %error.chain(), "A request to the store has failed");
        if let Some(outage) = self.health(|health| health.failed(first, now)) {
            tracing::warn!(
                target: "lakefeed", %object, error = %error.chain(), failed = outage.failed, for_s = outage.lasted.as_secs(),
                "Requests to the store fail; they are made again"
            );
        }
    }

    fn ended(&self, troubled: bool, done: bool) {
        if let Some(outage) = self.health(|health| health.ended(troubled, done, Instant::now())) {
            let after_ms = u64::try_from(outage.lasted.as_millis()).unwrap_or(u64::MAX);
            tracing::info!(target: "lakefeed", after_ms, failed = outage.failed, "The store works again");
        }
    }

    /// The lock is held for a few assignments, never across an await.
    fn health<T>(&self, look: impl FnOnce(&mut Health) -> T) -> T {
        look(&mut self.health.lock().unwrap_or_else(|e| e.into_inner()))
    }
}

/// When to say that the store is in trouble, and when that it works again: once per outage and minute, not per request.
#[derive(Debug, Default)]
struct Health {
    trouble: Option<Trouble>,
    said: Option<Instant>,
}

#[derive(Debug)]
struct Trouble {
    since: Instant,
    failed: u64,
    /// Requests that have failed and are being made again.
    waiting: usize,
    said: bool,
}

/// An outage, as it is told.
#[derive(Debug, PartialEq, Eq)]
struct Outage {
    lasted: Duration,
    failed: u64,
}

impl Health {
    /// A request has failed, for the first time or again. What is to be said now.
    fn failed(&mut self, first: bool, now: Instant) -> Option<Outage> {
        let trouble = self.trouble.get_or_insert(Trouble { since: now, failed: 0, waiting: 0, said: false });
        trouble.failed += 1;
        trouble.waiting += usize::from(first);
        if self.said.is_some_and(|at| now - at < SAY_AGAIN) {
            return None;
        }
        self.said = Some(now);
        trouble.said = true;
        Some(Outage { lasted: now - trouble.since, failed: trouble.failed })
    }

    /// A request is done, or has been given up. The outage, if it is over with that and was told of: nothing waits to be made again.
    fn ended(&mut self, troubled: bool, done: bool, now: Instant) -> Option<Outage> {
        let trouble = self.trouble.as_mut()?;
        trouble.waiting = trouble.waiting.saturating_sub(usize::from(troubled));
        if !done || trouble.waiting > 0 {
            return None;
        }
        let trouble = self.trouble.take()?;
        trouble.said.then(|| Outage { lasted: now - trouble.since, failed: trouble.failed })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn an_outage_is_told_once_a_minute_and_at_its_end() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let told = |seconds, failed| Some(Outage { lasted: Duration::from_secs(seconds), failed });
        let mut health = Health::default();
        assert_eq!(health.ended(false, true, at(0)), None, "nothing has failed");
        assert_eq!(health.failed(true, at(10)), told(0, 1));
        assert_eq!(health.failed(true, at(11)), None);
        assert_eq!(health.failed(false, at(69)), None);
        assert_eq!(health.failed(false, at(70)), told(60, 4));
        assert_eq!(health.ended(true, true, at(71)), None, "one request still waits");
        assert_eq!(health.ended(false, true, at(72)), None);
        assert_eq!(health.ended(true, false, at(73)), None, "it was given up: that says nothing of the store");
        assert_eq!(health.ended(false, true, at(74)), told(64, 4));
        // Trouble that comes and goes is told once a minute, too.
        assert_eq!(health.failed(true, at(80)), None);
        assert_eq!(health.ended(true, true, at(81)), None);
        assert_eq!(health.failed(true, at(131)), told(0, 1));
        assert_eq!(health.ended(true, true, at(132)), told(1, 1));
    }

    #[tokio::test]
    async fn passing_trouble_is_outlasted_and_denial_for_a_while() {
        let (sink, _receiver) = mpsc::channel(1);
        let calls = Cell::new(0);
        let answers = |errors: u32, kind: ErrorKind| {
            calls.set(0);
            let calls = &calls;
            move || {
                calls.set(calls.get() + 1);
                std::future::ready(if calls.get() > errors { Ok(calls.get()) } else { Err(Error::new(kind, "no")) })
            }
        };
        let requests = Requests::new(1, 60_000);
        let object = || "o".to_owned();
        for kind in [ErrorKind::Retry, ErrorKind::Config] {
            assert_eq!(requests.again(object, || true, &sink, answers(4, kind)).await.expect("done"), Some(5));
        }
        let impatient = Requests::new(1, 0);
        let denied = impatient.again(object, || true, &sink, answers(1, ErrorKind::Config)).await;
        assert_eq!(denied.expect_err("denied").kind(), ErrorKind::Config);
        assert!(requests.again(object, || true, &sink, answers(1, ErrorKind::Fatal)).await.is_err());
        assert_eq!(requests.again(object, || false, &sink, answers(1, ErrorKind::Retry)).await.expect("not wanted"), None);
        assert_eq!(calls.get(), 1);
    }
}
