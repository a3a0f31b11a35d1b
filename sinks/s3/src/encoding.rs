//! Rows become bytes beside the task: while the rows of a file are encoded the next ones are read and decoded.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::available_parallelism;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use lakefeed_core::{Error, Result};
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{Semaphore, oneshot};

use crate::format::{Buffer, Encoder, Format};
use crate::rows::RowBuffer;
use crate::schema::conform;
use crate::upload::Beside;

/// Rows of fewer bytes are encoded by the task itself: that takes less than two milliseconds, and the memory of rows that another thread frees
/// comes back late.
const BESIDE_BYTES: usize = 1 << 20;

/// What encodes the files of a task.
#[derive(Debug, Clone)]
pub(crate) struct Encoders {
    format: Arc<Format>,
    beside: Beside,
    free: Arc<Semaphore>,
    /// Bytes of rows that were given and are not encoded yet.
    owed: Arc<AtomicUsize>,
}

impl Encoders {
    pub(crate) fn new(format: Format, beside: Beside) -> Self {
        // One core is the task's.
        let cores = available_parallelism().map_or(1, usize::from).saturating_sub(1).max(1);
        Self { format: Arc::new(format), beside, free: Arc::new(Semaphore::new(cores)), owed: Arc::default() }
    }

    /// Bytes of rows that were given to be encoded beside the task, and are not yet.
    pub(crate) fn owed_bytes(&self) -> usize {
        self.owed.load(Ordering::Acquire)
    }

    /// Does work that needs the encoder, once `before` has given it back: a little work (of so many bytes of rows) at once if that is so
    /// already, and the rest beside the task, unless nobody waits for the answer any more.
    fn run<T: Send + 'static>(
        &self, mut before: Option<Returned>, bytes: usize, work: impl FnOnce(Option<Box<dyn Encoder>>) -> Result<T> + Send + 'static,
    ) -> oneshot::Receiver<Result<T>> {
        let (answer, answered) = oneshot::channel();
        if let Some(encoder) = (bytes < BESIDE_BYTES).then(|| given_back(&mut before)).flatten() {
            // The receiver is at hand.
            let _ = answer.send(encoder.and_then(work));
            return answered;
        }
        let (free, owed) = (Arc::clone(&self.free), Owed::new(&self.owed, bytes));
        self.beside.spawn(async move {
            let _owed = owed;
            let encoder = match before {
                None => Ok(None),
                Some(before) => before.await.unwrap_or_else(|_| Err(gone())).map(Some),
            };
            // The semaphore is never closed.
            let _permit = free.acquire().await;
            if answer.is_closed() {
                return;
            }
            let done = match encoder {
                Err(error) => Err(error),
                Ok(encoder) => tokio::task::spawn_blocking(move || work(encoder)).await.unwrap_or_else(|e| Err(gone().with_source(e))),
            };
            // Nobody waits: the file is given up.
            let _ = answer.send(done);
        });
        answered
    }
}

/// Counts bytes until it is dropped.
struct Owed(Arc<AtomicUsize>, usize);

impl Owed {
    fn new(count: &Arc<AtomicUsize>, bytes: usize) -> Self {
        count.fetch_add(bytes, Ordering::AcqRel);
        Self(Arc::clone(count), bytes)
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::AcqRel);
    }
}

/// The encoder, if no work is being done with it.
fn given_back(before: &mut Option<Returned>) -> Option<Result<Option<Box<dyn Encoder>>>> {
    match before.as_mut().map(Returned::try_recv) {
        None => Some(Ok(None)),
        Some(Ok(encoder)) => Some(encoder.map(Some)),
        Some(Err(TryRecvError::Empty)) => None,
        Some(Err(TryRecvError::Closed)) => Some(Err(gone())),
    }
}

fn gone() -> Error {
    Error::fatal("an encoder has ended unexpectedly")
}

type Returned = oneshot::Receiver<Result<Box<dyn Encoder>>>;

/// Rows that become a row group.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) schema: SchemaRef,
    pub(crate) rows: RowBuffer,
    /// Rows that came before, when the schema was narrower.
    pub(crate) narrower: Vec<RecordBatch>,
    pub(crate) bytes: usize,
}

impl Waiting {
    /// One batch of the file's schema.
    fn gather(mut self) -> Result<RecordBatch> {
        let rows = self.rows.finish()?;
        if self.narrower.is_empty() {
            return Ok(rows);
        }
        let slices = self.narrower.iter().chain([&rows]).map(|rows| conform(rows, &self.schema)).collect::<Result<Vec<_>>>()?;
        arrow_select::concat::concat_batches(&self.schema, &slices).map_err(|e| Error::fatal("can't gather rows").with_source(e))
    }
}

/// What a file holds beside the rows that wait in it: rows that are being encoded, and bytes that nobody has taken.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held {
    rows: Arc<RowBytes>,
    encoded: Buffer,
}

/// Bytes of rows in memory.
#[derive(Debug, Default)]
struct RowBytes {
    waiting: AtomicUsize,
    encoded: AtomicU64,
}

impl Held {
    pub(crate) fn bytes(&self) -> usize {
        self.rows.waiting.load(Ordering::Acquire) + self.encoded.len()
    }

    /// Encoded bytes that nobody has taken.
    pub(crate) fn encoded_bytes(&self) -> usize {
        self.encoded.len()
    }

    /// The encoded bytes so far; more may follow.
    pub(crate) fn take(&self) -> Bytes {
        self.encoded.take().into()
    }

    /// About how many bytes of file all rows will be, with `waiting` bytes of rows that are still to come.
    pub(crate) fn estimated_bytes(&self, waiting: usize) -> u64 {
        let waiting = (waiting + self.rows.waiting.load(Ordering::Acquire)) as u64;
        let (total, rows) = (self.encoded.total(), self.rows.encoded.load(Ordering::Acquire));
        total + waiting.saturating_mul(total).checked_div(rows).unwrap_or(waiting)
    }

    fn encode(&self, format: &Format, encoder: Option<Box<dyn Encoder>>, waiting: Waiting) -> Result<Box<dyn Encoder>> {
        let bytes = waiting.bytes;
        let rows = waiting.gather()?;
        let mut encoder = match encoder {
            Some(encoder) => encoder,
            None => format.start(&rows, self.encoded.clone())?,
        };
        encoder.encode(&rows)?;
        drop(rows);
        self.rows.encoded.fetch_add(bytes as u64, Ordering::AcqRel);
        self.rows.waiting.fetch_sub(bytes, Ordering::AcqRel);
        Ok(encoder)
    }
}

/// The encoding of one file: what it is given is encoded in turn.
#[derive(Debug, Default)]
pub(crate) struct Encoding {
    /// The encoder comes back from each row group, for the next.
    encoder: Option<Returned>,
    pub(crate) held: Held,
}

impl Encoding {
    /// Whether rows were given: the schema can't change any more.
    pub(crate) fn is_begun(&self) -> bool {
        self.encoder.is_some()
    }

    /// Encodes rows, as a row group if the format has such.
    pub(crate) fn encode(&mut self, encoders: &Encoders, waiting: Waiting) {
        self.held.rows.waiting.fetch_add(waiting.bytes, Ordering::AcqRel);
        let (held, format, bytes) = (self.held.clone(), Arc::clone(&encoders.format), waiting.bytes);
        self.encoder = Some(encoders.run(self.encoder.take(), bytes, move |encoder| held.encode(&format, encoder, waiting)));
    }

    /// Ends the file; the key-value pairs go into its footer, if the format has one. `closed` is told how large the file is.
    pub(crate) fn finish(
        mut self, encoders: &Encoders, metadata: Vec<(&'static str, String)>, closed: impl FnOnce(u64) + Send + 'static,
    ) -> Rest {
        let encoded = self.held.encoded.clone();
        let ended = encoders.run(self.encoder.take(), 0, move |encoder| {
            if let Some(encoder) = encoder {
                encoder.finish(&metadata)?;
            }
            closed(encoded.total());
            Ok(())
        });
        Rest { ended, held: self.held }
    }
}

/// The last bytes of a file, which may still be being encoded.
#[derive(Debug)]
pub(crate) struct Rest {
    ended: oneshot::Receiver<Result<()>>,
    pub(crate) held: Held,
}

impl Rest {
    /// Waits for them, and takes them.
    pub(crate) async fn bytes(self) -> Result<Bytes> {
        self.ended.await.unwrap_or_else(|_| Err(gone()))?;
        Ok(self.held.take())
    }
}
