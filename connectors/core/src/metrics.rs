//! What a worker tells of itself in numbers, by the names and conventions of Prometheus.
//!
//! A plugin asks [`TaskMetrics`] for the counters and gauges that it needs, and keeps them. A metric lives as long as its handle: those of
//! a task that is gone are not told any more.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

/// The name and value of each label.
pub type Labels = Vec<(&'static str, String)>;

/// Whether a metric only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// It grows until its task starts over; its name ends with `_total`.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// A number with a name, as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Its name: what is counted, then the unit.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// Whether it only grows.
    pub kind: MetricKind,
    /// What tells it from others of its name.
    pub labels: Labels,
    /// The number.
    pub value: f64,
}

#[derive(Debug)]
struct Cell {
    name: &'static str,
    help: &'static str,
    kind: MetricKind,
    labels: Labels,
    /// A count, or the bits of a double for a gauge.
    value: AtomicU64,
}

/// All metrics of a worker.
#[derive(Debug, Default)]
pub struct Metrics {
    cells: Mutex<Vec<Weak<Cell>>>,
}

impl Metrics {
    /// A counter with these labels, which starts at 0.
    pub fn counter(&self, name: &'static str, help: &'static str, labels: Labels) -> Counter {
        Counter(self.cell(name, help, MetricKind::Counter, labels))
    }

    /// A gauge with these labels, which starts at 0.
    pub fn gauge(&self, name: &'static str, help: &'static str, labels: Labels) -> Gauge {
        Gauge(self.cell(name, help, MetricKind::Gauge, labels))
    }

    /// The metrics as they are now, by name and then in the order in which they were made.
    pub fn samples(&self) -> Vec<Sample> {
        let mut cells = self.cells();
        cells.retain(|cell| cell.strong_count() > 0);
        let mut samples: Vec<Sample> = cells.iter().filter_map(Weak::upgrade).map(|cell| cell.sample()).collect();
        samples.sort_by_key(|sample| sample.name);
        samples
    }

    fn cell(&self, name: &'static str, help: &'static str, kind: MetricKind, labels: Labels) -> Arc<Cell> {
        let cell = Arc::new(Cell { name, help, kind, labels, value: AtomicU64::new(0) });
        let mut cells = self.cells();
        // Tasks that start over again and again leave nothing behind.
        cells.retain(|cell| cell.strong_count() > 0);
        cells.push(Arc::downgrade(&cell));
        cell
    }

    fn cells(&self) -> MutexGuard<'_, Vec<Weak<Cell>>> {
        // Poisoned it still holds whole entries.
        self.cells.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Cell {
    fn sample(&self) -> Sample {
        let value = self.value.load(Ordering::Relaxed);
        let value = match self.kind {
            MetricKind::Counter => value as f64,
            MetricKind::Gauge => f64::from_bits(value),
        };
        Sample { name: self.name, help: self.help, kind: self.kind, labels: self.labels.clone(), value }
    }
}

/// The metrics of one task: their labels begin with `connector` and `task`.
#[derive(Clone)]
pub struct TaskMetrics {
    metrics: Arc<Metrics>,
    connector: String,
    task: u32,
}

impl TaskMetrics {
    /// Those of a task among all of the worker.
    pub fn new(metrics: Arc<Metrics>, connector: String, task: u32) -> Self {
        Self { metrics, connector, task }
    }

    /// A counter of this task.
    pub fn counter(&self, name: &'static str, help: &'static str, labels: &[(&'static str, &str)]) -> Counter {
        self.metrics.counter(name, help, self.labels(labels))
    }

    /// A gauge of this task.
    pub fn gauge(&self, name: &'static str, help: &'static str, labels: &[(&'static str, &str)]) -> Gauge {
        self.metrics.gauge(name, help, self.labels(labels))
    }

    fn labels(&self, more: &[(&'static str, &str)]) -> Labels {
        let own = [("connector", self.connector.clone()), ("task", self.task.to_string())];
        own.into_iter().chain(more.iter().map(|(name, value)| (*name, (*value).to_owned()))).collect()
    }
}

impl fmt::Debug for TaskMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskMetrics({}-{})", self.connector, self.task)
    }
}

/// A number that only grows. Clones count together. Who sees a count sees what was written before it was counted.
#[derive(Debug, Clone)]
pub struct Counter(Arc<Cell>);

impl Counter {
    /// Counts `n` more.
    pub fn add(&self, n: u64) {
        self.0.value.fetch_add(n, Ordering::Release);
    }

    /// The count.
    pub fn get(&self) -> u64 {
        self.0.value.load(Ordering::Acquire)
    }
}

/// A number that goes up and down.
#[derive(Debug, Clone)]
pub struct Gauge(Arc<Cell>);

impl Gauge {
    /// Sets the number.
    pub fn set(&self, value: f64) {
        self.0.value.store(value.to_bits(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_lives_as_long_as_its_handle() {
        let metrics = Arc::new(Metrics::default());
        let of = TaskMetrics::new(Arc::clone(&metrics), "c".into(), 1);
        let files = of.counter("b_total", "Files.", &[("cause", "rows")]);
        let open = of.gauge("a_open", "Open files.", &[]);
        files.add(2);
        files.clone().add(1);
        open.set(0.5);
        let samples = metrics.samples();
        let shown: Vec<_> = samples.iter().map(|s| (s.name, s.value, s.labels.len())).collect();
        assert_eq!(shown, [("a_open", 0.5, 2), ("b_total", 3.0, 3)]);
        assert_eq!(samples[1].labels, [("connector", "c".to_owned()), ("task", "1".to_owned()), ("cause", "rows".to_owned())]);
        drop(open);
        assert_eq!(metrics.samples().len(), 1);
    }
}
