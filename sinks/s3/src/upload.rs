//! What runs beside the task: one upload per file, and questions to the store.
//!
//! Every request that fails in passing is made again, without end and with growing waits, until the file's owner lets go of it. What comes of it
//! is told to the task through one bounded channel.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use lakefeed_core::{Error, ErrorKind, Result};
use lakefeed_layout::KeyLayout;
use lakefeed_store::{Part, Put, Store, Upload};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::task::JoinSet;

use crate::ledger::{LakePartition, Span};

const RETRY_MAX: Duration = Duration::from_secs(30);
/// Requests to the store that one sink has under way at once.
const REQUESTS_MAX: usize = 64;
/// How often the end of a multipart upload is asked for; the store may have lost it.
const COMPLETE_ATTEMPTS: u32 = 8;
/// Of a Parquet file's end: enough for the footers of most files in one request.
const FOOTER_BYTES: u64 = 64 * 1024;

/// The uploads and questions of a sink that run beside its task. It owns them: they are reaped while it works and joined at its end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Beside {
    set: Arc<Mutex<JoinSet<()>>>,
    requests: Requests,
}

/// A bound for requests that are under way at once: connections, memory of the client.
#[derive(Debug, Clone)]
struct Requests(Arc<Semaphore>);

impl Default for Requests {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(REQUESTS_MAX)))
    }
}

impl Requests {
    /// A place; held for one request, not for the wait before the next. `None` never comes: the semaphore is not closed.
    async fn place(&self) -> Option<SemaphorePermit<'_>> {
        self.0.acquire().await.ok()
    }
}

impl Beside {
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.set().spawn_on(work, &Handle::current());
    }

    /// Held for a push or a pop only, never across an await.
    fn set(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.set.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Forgets what has ended; a panic beside the task ends the task.
    pub(crate) fn reap(&self) -> Result<()> {
        while let Some(ended) = self.set().try_join_next() {
            ended.map_err(|e| Error::fatal("an upload has ended unexpectedly").with_source(e))?;
        }
        Ok(())
    }

    /// Waits until everything has ended by itself, at most `deadline`; the rest is ended.
    pub(crate) fn join(&self, deadline: Duration) {
        let mut set = std::mem::take(&mut *self.set());
        let all = async {
            let joined = async { while set.join_next().await.is_some() {} };
            if tokio::time::timeout(deadline, joined).await.is_err() {
                set.shutdown().await;
            }
        };
        Handle::current().block_on(all);
    }
}

/// The names of what travels with a file: in its user metadata on S3, and in the Parquet footer.
pub(crate) mod names {
    pub(crate) const FIRST: &str = "lakefeed-first-offset";
    pub(crate) const LAST: &str = "lakefeed-last-offset";
    pub(crate) const RECORDS: &str = "lakefeed-records";
    pub(crate) const WRITER: &str = "lakefeed-writer";
    pub(crate) const LAST_TIMESTAMP: &str = "lakefeed-last-timestamp";
}

/// What is known of a file in the lake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) span: Span,
    pub(crate) writer: String,
    /// The timestamp of the last record, -1 if it has none: it tells whether the topic still holds that record. Unknown in files of early
    /// versions.
    pub(crate) last_timestamp_ms: Option<i64>,
}

impl Label {
    /// The pairs that travel with the file.
    pub(crate) fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = vec![
            (names::FIRST, self.span.first.to_string()),
            (names::LAST, self.span.last.to_string()),
            (names::RECORDS, self.span.count.to_string()),
            (names::WRITER, self.writer.clone()),
        ];
        pairs.extend(self.last_timestamp_ms.map(|ms| (names::LAST_TIMESTAMP, ms.to_string())));
        pairs
    }

    fn read(pairs: &BTreeMap<String, String>) -> Option<Self> {
        let number = |name: &str| pairs.get(name)?.parse().ok();
        let span = Span { first: number(names::FIRST)?, last: number(names::LAST)?, count: u64::try_from(number(names::RECORDS)?).ok()? };
        Some(Self { span, writer: pairs.get(names::WRITER)?.clone(), last_timestamp_ms: number(names::LAST_TIMESTAMP) })
    }
}

/// What came of work beside the task.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The newest file of the lake partition, if there is one.
    Covered(Option<Newest>),
    /// The file is in the lake.
    Published,
    /// Another incarnation has published a file of that name, or the store has lost the upload: read again.
    Conflict(String),
    /// It can't be done: a person must repair something.
    Failed(Error),
}

/// The newest file of a lake partition.
#[derive(Debug, Clone)]
pub(crate) struct Newest {
    /// Where it is.
    pub(crate) url: String,
    pub(crate) label: Label,
}

/// An outcome, and whom it concerns. The epoch tells answers to earlier questions from those that are waited for.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) partition: usize,
    pub(crate) epoch: u64,
    pub(crate) lake: LakePartition,
    pub(crate) outcome: Outcome,
}

/// Where reports go, and for whom.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    pub(crate) reports: mpsc::Sender<Report>,
    pub(crate) partition: usize,
    pub(crate) epoch: u64,
    pub(crate) lake: LakePartition,
}

impl Address {
    async fn report(self, outcome: Outcome) {
        // A closed channel: the task is gone and nobody waits.
        let _ = self.reports.send(Report { partition: self.partition, epoch: self.epoch, lake: self.lake, outcome }).await;
    }
}

enum Command {
    Part(Bytes),
    Finish { rest: Bytes, label: Label },
}

/// A file on its way into the store. Dropped before [`Uploading::finish`] it is given up and cleaned away.
///
/// Memory: at most one part waits and one is under way; `in_flight` counts their bytes.
#[derive(Debug)]
pub(crate) struct Uploading {
    commands: mpsc::Sender<Command>,
    in_flight: Arc<AtomicUsize>,
}

impl Uploading {
    /// Starts with the first part or, for a file that goes in one request, with [`Uploading::finish`].
    pub(crate) fn start(beside: &Beside, store: Store, key: String, first_wait_ms: u64, address: Address) -> Self {
        let (commands, receiver) = mpsc::channel(1);
        let in_flight = Arc::new(AtomicUsize::new(0));
        let transfer = Transfer {
            store,
            key,
            first_wait: Duration::from_millis(first_wait_ms),
            in_flight: Arc::clone(&in_flight),
            requests: beside.requests.clone(),
            reports: address.reports.clone(),
        };
        beside.spawn(transfer.run(receiver, address));
        Self { commands, in_flight }
    }

    /// Hands over a part; gives it back while another one waits.
    pub(crate) fn part(&self, bytes: Bytes) -> std::result::Result<(), Bytes> {
        let len = bytes.len();
        self.in_flight.fetch_add(len, Ordering::AcqRel);
        self.commands.try_send(Command::Part(bytes)).map_err(|error| {
            self.in_flight.fetch_sub(len, Ordering::AcqRel);
            match error.into_inner() {
                Command::Part(bytes) | Command::Finish { rest: bytes, .. } => bytes,
            }
        })
    }

    /// Whether a part would be taken now.
    pub(crate) fn is_free(&self) -> bool {
        self.commands.capacity() > 0
    }

    /// Hands over the rest and publishes the file; gives the rest back while a part waits.
    pub(crate) fn finish(&self, rest: Bytes, label: Label) -> std::result::Result<(), Bytes> {
        let len = rest.len();
        self.in_flight.fetch_add(len, Ordering::AcqRel);
        self.commands.try_send(Command::Finish { rest, label }).map_err(|error| {
            self.in_flight.fetch_sub(len, Ordering::AcqRel);
            match error.into_inner() {
                Command::Part(bytes) | Command::Finish { rest: bytes, .. } => bytes,
            }
        })
    }

    /// Bytes that were handed over and are not in the store yet.
    pub(crate) fn held_bytes(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }
}

/// Makes a request until it is not passing trouble any more: `Ok(None)` when the owner has let go meanwhile.
macro_rules! again {
    ($transfer:expr, $owner:expr, $request:expr) => {{
        let mut wait = $transfer.first_wait;
        loop {
            let place = $transfer.requests.place().await;
            let answer = $request;
            drop(place);
            match answer {
                Ok(value) => break Ok(Some(value)),
                Err(error) => match $transfer.patience(error, &mut wait, $owner).await {
                    Ok(true) => {}
                    Ok(false) => break Ok(None),
                    Err(error) => break Err(error),
                },
            }
        }
    }};
}

/// The task side of an upload.
struct Transfer {
    store: Store,
    key: String,
    first_wait: Duration,
    in_flight: Arc<AtomicUsize>,
    requests: Requests,
    reports: mpsc::Sender<Report>,
}

impl Transfer {
    async fn run(self, mut commands: mpsc::Receiver<Command>, address: Address) {
        let mut multipart: Option<(Upload, Vec<Part>)> = None;
        loop {
            let step = tokio::select! {
                // The owner has let go of the file in the middle of a request.
                () = address.reports.closed() => None,
                command = commands.recv() => command,
            };
            let Some(command) = step else {
                self.give_up(multipart).await;
                return;
            };
            match command {
                Command::Part(bytes) => {
                    let len = bytes.len();
                    let uploaded = self.part(&mut multipart, bytes, &commands).await;
                    self.in_flight.fetch_sub(len, Ordering::AcqRel);
                    match uploaded {
                        Ok(true) => {}
                        Ok(false) => return self.give_up(multipart).await,
                        Err(error) => {
                            self.give_up(multipart).await;
                            return address.report(Outcome::Failed(error)).await;
                        }
                    }
                }
                Command::Finish { rest, label } => {
                    let len = rest.len();
                    let outcome = self.publish(multipart, rest, &label, &commands).await;
                    self.in_flight.fetch_sub(len, Ordering::AcqRel);
                    if let Some(outcome) = outcome {
                        address.report(outcome).await;
                    }
                    return;
                }
            }
        }
    }

    /// Uploads a part; false when the owner has let go.
    async fn part(&self, multipart: &mut Option<(Upload, Vec<Part>)>, bytes: Bytes, owner: &mpsc::Receiver<Command>) -> Result<bool> {
        if multipart.is_none() {
            let begun = again!(self, owner, self.store.begin(&self.key, &[]).await)?;
            let Some(upload) = begun else { return Ok(false) };
            *multipart = Some((upload, Vec::new()));
        }
        let Some((upload, parts)) = multipart else { return Ok(false) };
        let number = i32::try_from(parts.len() + 1).unwrap_or(i32::MAX);
        let sent = again!(self, owner, self.store.upload_part(upload, number, vec![bytes.clone()]).await)?;
        let Some(part) = sent else { return Ok(false) };
        parts.push(part);
        Ok(true)
    }

    /// Makes the file visible, unless the name is taken; `None` when the owner has let go.
    async fn publish(
        &self, mut multipart: Option<(Upload, Vec<Part>)>, rest: Bytes, label: &Label, owner: &mpsc::Receiver<Command>,
    ) -> Option<Outcome> {
        let put = if multipart.is_none() {
            let pairs = label.pairs();
            again!(self, owner, self.store.put_if_absent(&self.key, vec![rest.clone()], &pairs).await)
        } else {
            match self.part(&mut multipart, rest, owner).await {
                Ok(true) => self.complete(multipart, owner).await,
                Ok(false) => {
                    self.give_up(multipart).await;
                    Ok(None)
                }
                Err(error) => Err(error),
            }
        };
        match put {
            Ok(None) => None,
            Ok(Some(Put::Created)) => Some(Outcome::Published),
            Ok(Some(Put::Exists)) => self.compare(label, owner).await,
            // The parts are gone from memory: only reading the records again brings the file back.
            Err(error) if error.kind() == ErrorKind::Retry => {
                Some(Outcome::Conflict(format!("{}: {}", self.store.url(&self.key), error.chain())))
            }
            Err(error) => Some(Outcome::Failed(error)),
        }
    }

    /// Completes a multipart upload; `Err(Retry)` when the store has lost it: then the file must be written again.
    async fn complete(&self, multipart: Option<(Upload, Vec<Part>)>, owner: &mpsc::Receiver<Command>) -> Result<Option<Put>> {
        let Some((upload, parts)) = multipart else { return Ok(None) };
        let mut wait = self.first_wait;
        for attempt in 1.. {
            match self.store.complete_if_absent(upload.clone(), parts.clone()).await {
                Ok(put) => return Ok(Some(put)),
                Err(error) if attempt >= COMPLETE_ATTEMPTS => {
                    self.give_up(Some((upload, parts))).await;
                    return Err(error);
                }
                Err(error) => {
                    if !self.patience(error, &mut wait, owner).await? {
                        self.give_up(Some((upload, parts))).await;
                        return Ok(None);
                    }
                }
            }
        }
        Ok(None)
    }

    /// The name is taken. By this very file, when the answer to an earlier request was lost; else by another incarnation.
    async fn compare(&self, label: &Label, owner: &mpsc::Receiver<Command>) -> Option<Outcome> {
        match again!(self, owner, read_label(&self.store, &self.key).await) {
            Ok(None) => None,
            Ok(Some(found)) if found == *label => Some(Outcome::Published),
            Ok(Some(found)) => Some(Outcome::Conflict(format!(
                "{} is there already: offsets {} to {}, {} records, by another incarnation",
                self.store.url(&self.key),
                found.span.first,
                found.span.last,
                found.span.count
            ))),
            Err(error) => Some(Outcome::Failed(error)),
        }
    }

    async fn give_up(&self, multipart: Option<(Upload, Vec<Part>)>) {
        if let Some((upload, _)) = multipart
            && let Err(error) = self.store.abort(upload).await
        {
            tracing::warn!(target: "lakefeed", key = %self.key, error = %error.chain(), "An unfinished upload could not be removed");
        }
    }

    /// After a failed request: waits and says true when it is to be made again, false when the owner has let go meanwhile.
    async fn patience(&self, error: Error, wait: &mut Duration, owner: &mpsc::Receiver<Command>) -> Result<bool> {
        if error.kind() != ErrorKind::Retry {
            return Err(error);
        }
        if owner.is_closed() && owner.is_empty() {
            return Ok(false);
        }
        warn(&self.store.url(&self.key), &error, *wait);
        tokio::select! {
            () = tokio::time::sleep(*wait) => {}
            // The sink has ended.
            () = self.reports.closed() => return Ok(false),
        }
        *wait = (*wait * 2).min(RETRY_MAX);
        Ok(true)
    }
}

fn warn(what: &str, error: &Error, wait: Duration) {
    tracing::warn!(target: "lakefeed", object = %what, error = %error.chain(), wait_ms = wait.as_millis() as u64, "The store did not do it, trying again");
}

/// Asks the store how far a lake partition is covered by files of a Kafka partition (rule 6).
pub(crate) fn look_up(beside: &Beside, store: Store, prefix: String, first_wait_ms: u64, address: Address) {
    let requests = beside.requests.clone();
    let ask = async move {
        let mut wait = Duration::from_millis(first_wait_ms);
        loop {
            let place = requests.place().await;
            let answer = newest(&store, &prefix).await;
            drop(place);
            let outcome = match answer {
                Ok(newest) => Outcome::Covered(newest),
                Err(error) if error.kind() == ErrorKind::Retry && !address.reports.is_closed() => {
                    warn(&store.url(&prefix), &error, wait);
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = address.reports.closed() => return,
                    }
                    wait = (wait * 2).min(RETRY_MAX);
                    continue;
                }
                Err(error) => Outcome::Failed(error),
            };
            return address.report(outcome).await;
        }
    };
    beside.spawn(ask);
}

/// The newest file under a prefix.
async fn newest(store: &Store, prefix: &str) -> Result<Option<Newest>> {
    let listed = store.list(prefix).await?;
    let named = listed.iter().filter_map(|object| Some((KeyLayout::first_offset(&object.key, prefix)?, object)));
    // By number: with more digits than the padding the order of names is another one.
    match named.max_by_key(|(first, _)| *first) {
        None => Ok(None),
        Some((_, object)) => Ok(Some(Newest { url: store.url(&object.key), label: read_label(store, &object.key).await? })),
    }
}

/// The label of a file: from its metadata, or from its Parquet footer where a store keeps none or the file was begun before its end was known.
async fn read_label(store: &Store, key: &str) -> Result<Label> {
    let gone = || Error::retry(format!("{} is gone", store.url(key)));
    let meta = store.head(key).await?.ok_or_else(gone)?;
    if let Some(label) = Label::read(&meta.metadata) {
        return Ok(label);
    }
    let foreign = || {
        Error::config(format!(
            "{} is not Lakefeed's or lost its metadata: it does not say which offsets it holds; move it away or choose another topics.dir",
            store.url(key)
        ))
    };
    let footer = footer(store, key, meta.size).await?.ok_or_else(foreign)?;
    Label::read(&footer).ok_or_else(foreign)
}

/// The key-value pairs of a Parquet file's footer; `None` if it is not a Parquet file.
async fn footer(store: &Store, key: &str, size: u64) -> Result<Option<BTreeMap<String, String>>> {
    use parquet::file::metadata::ParquetMetaDataReader;
    let mut from = size.saturating_sub(FOOTER_BYTES);
    let mut tail = store.get_range(key, from..size).await?;
    let Some(length) = footer_length(&tail) else { return Ok(None) };
    if length > size {
        return Ok(None);
    }
    if length > size - from {
        from = size - length;
        tail = store.get_range(key, from..size).await?;
    }
    let thrift = tail.slice(tail.len() - length as usize..tail.len() - 8);
    let Ok(metadata) = ParquetMetaDataReader::decode_metadata(&thrift) else { return Ok(None) };
    let pairs = metadata.file_metadata().key_value_metadata().cloned().unwrap_or_default();
    Ok(Some(pairs.into_iter().filter_map(|pair| Some((pair.key, pair.value?))).collect()))
}

/// The bytes of the footer with its length and magic number (Parquet format, "File format").
fn footer_length(tail: &[u8]) -> Option<u64> {
    let end = tail.len().checked_sub(8)?;
    let (length, magic) = tail[end..].split_at(4);
    let length = u32::from_le_bytes(length.try_into().ok()?);
    (magic == b"PAR1").then_some(u64::from(length) + 8)
}
