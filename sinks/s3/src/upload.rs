//! What runs beside the task: one upload per file, and the questions of `inventory.rs`.
//!
//! Every request that fails in passing is made again ([`Requests`]) until the file's owner lets go of it. What comes of it is told to the task
//! through one bounded channel.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use lakefeed_core::{Error, Result};
use lakefeed_store::{Part, Put, Store, Upload, upload_is_gone};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::inventory::{Label, Newest, read_label};
use crate::ledger::LakePartition;
use crate::requests::Requests;

/// What an upload takes beside its bytes while it waits for its turn: its channel, of which tokio makes 32 places at once, and its task. Thousands can wait.
const UPLOAD_BYTES: usize = 8192;

/// The uploads and questions of a sink that run beside its task. It owns them: they are reaped while it works and joined at its end.
#[derive(Debug, Clone)]
pub(crate) struct Beside {
    set: Arc<Mutex<JoinSet<()>>>,
    pub(crate) requests: Requests,
}

impl Beside {
    pub(crate) fn new(requests: Requests) -> Self {
        Self { set: Arc::default(), requests }
    }

    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
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
    pub(crate) async fn report(self, outcome: Outcome) {
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
    pub(crate) fn start(beside: &Beside, store: Store, key: String, address: Address) -> Self {
        let (commands, receiver) = mpsc::channel(1);
        let in_flight = Arc::new(AtomicUsize::new(0));
        let transfer =
            Transfer { store, key, in_flight: Arc::clone(&in_flight), requests: beside.requests.clone(), reports: address.reports.clone() };
        beside.spawn(transfer.run(receiver, address));
        Self { commands, in_flight }
    }

    /// Hands over a part; gives it back while another one waits.
    pub(crate) fn part(&self, bytes: Bytes) -> std::result::Result<(), Bytes> {
        let Ok(place) = self.commands.try_reserve() else { return Err(bytes) };
        self.in_flight.fetch_add(bytes.len(), Ordering::AcqRel);
        place.send(Command::Part(bytes));
        Ok(())
    }

    /// Whether a part would be taken now.
    pub(crate) fn is_free(&self) -> bool {
        self.commands.capacity() > 0
    }

    /// Hands over the rest and publishes the file; gives the rest back while a part waits.
    pub(crate) fn finish(&self, rest: Bytes, label: Label) -> std::result::Result<(), Bytes> {
        let Ok(place) = self.commands.try_reserve() else { return Err(rest) };
        self.in_flight.fetch_add(rest.len(), Ordering::AcqRel);
        place.send(Command::Finish { rest, label });
        Ok(())
    }

    /// The memory that it takes, with what waits for its turn.
    pub(crate) fn held_bytes(&self) -> usize {
        UPLOAD_BYTES + self.in_flight_bytes()
    }

    /// Bytes that were handed over and are not in the store yet.
    pub(crate) fn in_flight_bytes(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }
}

/// An upload in parts, and those that are in the store.
struct Multipart {
    upload: Upload,
    parts: Vec<Part>,
}

/// The task side of an upload.
struct Transfer {
    store: Store,
    key: String,
    in_flight: Arc<AtomicUsize>,
    requests: Requests,
    reports: mpsc::Sender<Report>,
}

impl Transfer {
    async fn run(self, mut commands: mpsc::Receiver<Command>, address: Address) {
        let mut multipart: Option<Multipart> = None;
        let outcome = loop {
            let step = tokio::select! {
                // The owner has let go of the file in the middle of a request.
                () = address.reports.closed() => None,
                command = commands.recv() => command,
            };
            match step {
                None => break None,
                Some(Command::Part(bytes)) => {
                    let len = bytes.len();
                    let uploaded = self.part(&mut multipart, bytes, &commands).await;
                    self.in_flight.fetch_sub(len, Ordering::AcqRel);
                    match uploaded {
                        Ok(Some(())) => {}
                        Ok(None) => break None,
                        Err(error) => break Some(self.failure(error)),
                    }
                }
                Some(Command::Finish { rest, label }) => {
                    let len = rest.len();
                    let outcome = self.publish(&mut multipart, rest, &label, &commands).await;
                    self.in_flight.fetch_sub(len, Ordering::AcqRel);
                    break outcome;
                }
            }
        };
        if !matches!(outcome, Some(Outcome::Published)) {
            self.give_up(multipart).await;
        }
        if let Some(outcome) = outcome {
            address.report(outcome).await;
        }
    }

    /// Makes a request until it is done; `None` when the owner has let go.
    async fn again<T, F: Future<Output = Result<T>>>(&self, owner: &mpsc::Receiver<Command>, request: impl Fn() -> F) -> Result<Option<T>> {
        let wanted = || !(owner.is_closed() && owner.is_empty());
        self.requests.again(|| self.store.url(&self.key), wanted, &self.reports, request).await
    }

    /// Uploads a part; `None` when the owner has let go.
    async fn part(&self, multipart: &mut Option<Multipart>, bytes: Bytes, owner: &mpsc::Receiver<Command>) -> Result<Option<()>> {
        if multipart.is_none() {
            let begun = self.again(owner, || self.store.begin(&self.key, &[])).await?;
            let Some(upload) = begun else { return Ok(None) };
            *multipart = Some(Multipart { upload, parts: Vec::new() });
        }
        let Some(Multipart { upload, parts }) = multipart else { return Ok(None) };
        let number = i32::try_from(parts.len() + 1).unwrap_or(i32::MAX);
        let sent = self.again(owner, || self.store.upload_part(upload, number, vec![bytes.clone()])).await?;
        Ok(sent.map(|part| parts.push(part)))
    }

    /// Makes the file visible, unless the name is taken; `None` when the owner has let go.
    async fn publish(
        &self, multipart: &mut Option<Multipart>, rest: Bytes, label: &Label, owner: &mpsc::Receiver<Command>,
    ) -> Option<Outcome> {
        let put = if multipart.is_none() {
            let pairs = label.pairs();
            self.again(owner, || self.store.put_if_absent(&self.key, vec![rest.clone()], &pairs)).await
        } else {
            self.complete(multipart, rest, owner).await
        };
        match put {
            Ok(None) => None,
            Ok(Some(Put::Created)) => Some(Outcome::Published),
            Ok(Some(Put::Exists)) => self.compare(label, owner).await,
            Err(error) => Some(self.failure(error)),
        }
    }

    /// Uploads the last part and completes the upload; `None` when the owner has let go.
    async fn complete(&self, multipart: &mut Option<Multipart>, rest: Bytes, owner: &mpsc::Receiver<Command>) -> Result<Option<Put>> {
        let sent = self.part(multipart, rest, owner).await?;
        let (Some(()), Some(Multipart { upload, parts })) = (sent, multipart) else { return Ok(None) };
        self.again(owner, || self.store.complete_if_absent(upload.clone(), parts.clone())).await
    }

    /// The name is taken. By this very file, when the answer to an earlier request was lost; else by another incarnation.
    async fn compare(&self, label: &Label, owner: &mpsc::Receiver<Command>) -> Option<Outcome> {
        match self.again(owner, || read_label(&self.store, &self.key)).await {
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

    fn failure(&self, error: Error) -> Outcome {
        if upload_is_gone(&error) {
            // The parts are gone from memory: only reading the records again brings the file back.
            return Outcome::Conflict(error.chain());
        }
        Outcome::Failed(error)
    }

    /// Frees the parts in the store. If that fails they stay until they are old enough (see `stale.rs`).
    async fn give_up(&self, multipart: Option<Multipart>) {
        if let Some(Multipart { upload, .. }) = multipart {
            self.requests.once(|| self.store.url(&self.key), self.store.abort(upload)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use lakefeed_store::StoreConfig;

    use super::*;
    use crate::ledger::Span;

    /// As when a living upload is taken for one that a crash has left.
    #[tokio::test]
    async fn an_upload_that_somebody_ends_is_a_conflict_and_not_a_loss() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::open(&StoreConfig::local(dir.path())).expect("open");
        let (reports, mut receiver) = mpsc::channel(1);
        let beside = Beside::new(Requests::new(1, 0));
        let address = Address { reports, partition: 0, epoch: 1, lake: "k=1".into() };
        let upload = Uploading::start(&beside, store.clone(), "t/k=1/t+0+5.parquet".into(), address);
        upload.part(Bytes::from_static(b"part")).expect("taken");
        while upload.in_flight_bytes() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for found in store.list_uploads("t/").await.expect("list") {
            store.abort_upload(&found.key, &found.id).await.expect("abort");
        }
        let label = Label { span: Span { first: 5, last: 6, count: 2 }, writer: "w".into(), last_timestamp_ms: None, topic: None };
        upload.finish(Bytes::from_static(b"rest"), label).expect("taken");
        let report = receiver.recv().await.expect("a report");
        assert!(matches!(report.outcome, Outcome::Conflict(_)), "{report:?}");
        assert_eq!(store.list("").await.expect("list"), []);
    }
}
