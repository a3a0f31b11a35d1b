//! What the sink counts.

use lakefeed_core::{Counter, Gauge, TaskMetrics};

/// Why a file was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// `flush.size`.
    Rows,
    /// `flush.bytes`.
    Bytes,
    /// `rotate.interval.ms`.
    EventTime,
    /// `rotate.schedule.interval.ms`.
    Schedule,
    /// `rotate.age.ms`.
    Age,
    /// `rotate.idle.ms`.
    Idle,
    /// Rows of a schema that the file can't have.
    Schema,
    /// The memory budget is short: a file smaller than it could be.
    Memory,
    /// The partition goes elsewhere, or the task ends.
    Revoked,
}

const CAUSES: [(Cause, &str); 9] = [
    (Cause::Rows, "rows"),
    (Cause::Bytes, "bytes"),
    (Cause::EventTime, "event_time"),
    (Cause::Schedule, "schedule"),
    (Cause::Age, "age"),
    (Cause::Idle, "idle"),
    (Cause::Schema, "schema"),
    (Cause::Memory, "memory"),
    (Cause::Revoked, "revoked"),
];

/// The metrics of one task.
#[derive(Debug)]
pub(crate) struct SinkMetrics {
    /// Files and their bytes, in the order of [`CAUSES`].
    closed: Vec<(Counter, Counter)>,
    pub(crate) published: Counter,
    /// Records that were in the lake already.
    pub(crate) skipped: Counter,
    pub(crate) open_files: Gauge,
    /// The age of the oldest file that is not in the lake yet.
    pub(crate) oldest: Gauge,
}

impl SinkMetrics {
    pub(crate) fn new(metrics: &TaskMetrics) -> Self {
        let closed = CAUSES.map(|(_, cause)| {
            let labels = [("cause", cause)];
            (
                metrics.counter("lakefeed_s3_files_closed_total", "Files that take no more rows, by what closed them.", &labels),
                metrics.counter("lakefeed_s3_file_bytes_total", "Bytes of files that take no more rows, by what closed them.", &labels),
            )
        });
        Self {
            closed: closed.into(),
            published: metrics.counter("lakefeed_s3_objects_published_total", "Objects that were made in the lake.", &[]),
            skipped: metrics.counter(
                "lakefeed_s3_records_skipped_total",
                "Records that were read again and were in the lake already.",
                &[],
            ),
            open_files: metrics.gauge("lakefeed_s3_open_files", "Files that take rows.", &[]),
            oldest: metrics.gauge(
                "lakefeed_s3_oldest_file_age_seconds",
                "How long ago the oldest file was begun that is not in the lake yet.",
                &[],
            ),
        }
    }

    /// Counts a closed file.
    pub(crate) fn closed(&self, cause: Cause, bytes: u64) {
        let found = CAUSES.iter().zip(&self.closed).find(|((known, _), _)| *known == cause);
        if let Some((_, (files, all))) = found {
            files.add(1);
            all.add(bytes);
        }
    }
}
