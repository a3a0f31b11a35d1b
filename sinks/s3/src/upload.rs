//! What runs beside the task: one upload per file, and questions to the store.
//!
//! Every request that fails in passing is made again ([`Requests`]) until the file's owner lets go of it. What comes of it is told to the task
//! through one bounded channel.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use lakefeed_core::{Error, Result};
use lakefeed_formats::RoutedTopic;
use lakefeed_layout::KeyLayout;
use lakefeed_store::{Part, Put, Store, Upload, upload_is_gone};
use tokio::runtime::Handle;
use tokio::sync::{OnceCell, mpsc};
use tokio::task::JoinSet;

use crate::ledger::{LakePartition, Span};
use crate::requests::Requests;

/// Of a Parquet file's end: enough for the footers of most files in one request.
const FOOTER_BYTES: u64 = 64 * 1024;

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

/// The names of what travels with a file: in its user metadata on S3, and in the Parquet footer.
pub(crate) mod names {
    pub(crate) const FIRST: &str = "lakefeed-first-offset";
    pub(crate) const LAST: &str = "lakefeed-last-offset";
    pub(crate) const RECORDS: &str = "lakefeed-records";
    pub(crate) const WRITER: &str = "lakefeed-writer";
    pub(crate) const LAST_TIMESTAMP: &str = "lakefeed-last-timestamp";
    pub(crate) const TOPIC: &str = "lakefeed-topic";
}

/// What is known of a file in the lake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) span: Span,
    pub(crate) writer: String,
    /// The timestamp of the last record, -1 if it has none: it tells whether the topic still holds that record. Unknown in files of early
    /// versions.
    pub(crate) last_timestamp_ms: Option<i64>,
    /// Kafka's topic, which a router may have given another name in the lake. Unknown in files of early versions.
    pub(crate) topic: Option<String>,
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
        pairs.extend(self.topic.clone().map(|topic| (names::TOPIC, topic)));
        pairs
    }

    fn read(pairs: &BTreeMap<String, String>) -> Option<Self> {
        let number = |name: &str| pairs.get(name)?.parse().ok();
        let span = Span { first: number(names::FIRST)?, last: number(names::LAST)?, count: u64::try_from(number(names::RECORDS)?).ok()? };
        let (writer, topic) = (pairs.get(names::WRITER)?.clone(), pairs.get(names::TOPIC).cloned());
        Some(Self { span, writer, last_timestamp_ms: number(names::LAST_TIMESTAMP), topic })
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

/// The files of a topic when the first question about them was asked, if they are few: it answers for lake partitions that have none, so that
/// a young lake with thousands of them is not asked for each. The files of a topic whose names change with time are in many folders: there is no
/// inventory of them.
///
/// Memory: the keys of one answer of the store, 1,000 at most, of the files of one Kafka partition.
#[derive(Debug, Clone)]
pub(crate) struct Inventory {
    /// The topic's folder, and what stands before the first offset in the names of the Kafka partition's files; `None`: there is no such folder.
    of: Option<(String, String)>,
    keys: Arc<OnceCell<Option<Vec<String>>>>,
}

impl Inventory {
    /// `topic` is what the topic is called in the lake.
    pub(crate) fn new(layout: &KeyLayout, topic: &RoutedTopic, partition: i32) -> Self {
        let has_folder = !layout.whole_prefix && topic.unit_ms().is_none();
        let name = topic.beginning();
        let files = layout.prefix(&format!("{name}{}", layout.file_delim), partition);
        Self { of: has_folder.then(|| (layout.folder(name, ""), files)), keys: Arc::default() }
    }

    /// Whether there was no file with this prefix.
    async fn lacks(&self, store: &Store, prefix: &str) -> Result<bool> {
        let Some((folder, files)) = &self.of else { return Ok(false) };
        let list = async {
            let mut keys = store.list_if_few(folder).await?;
            if let Some(keys) = &mut keys {
                keys.retain(|key| key.contains(files));
            }
            Ok(keys)
        };
        let Some(keys) = self.keys.get_or_try_init(|| list).await? else { return Ok(false) };
        let at = keys.partition_point(|key| key.as_str() < prefix);
        Ok(keys.get(at).is_none_or(|key| !key.starts_with(prefix)))
    }
}

/// Asks the store how far a lake partition is covered by files of a Kafka partition (rule 6).
pub(crate) fn look_up(beside: &Beside, store: Store, inventory: Inventory, prefix: String, address: Address) {
    let requests = beside.requests.clone();
    let ask = async move {
        let ask = || async { if inventory.lacks(&store, &prefix).await? { Ok(None) } else { newest(&store, &prefix).await } };
        let asked = requests.again(|| store.url(&prefix), || true, &address.reports, ask).await;
        let outcome = match asked {
            Ok(None) => return,
            Ok(Some(newest)) => Outcome::Covered(newest),
            Err(error) => Outcome::Failed(error),
        };
        address.report(outcome).await;
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
        Error::fatal(format!(
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

#[cfg(test)]
mod tests {
    use lakefeed_formats::Transforms;
    use lakefeed_store::StoreConfig;

    use super::*;

    #[tokio::test]
    async fn an_inventory_answers_for_lake_partitions_without_files_only() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::open(&StoreConfig::local(dir.path())).expect("open");
        let layout = KeyLayout::default();
        let keys = ["k=1/t+1+0000000005", "k=10/t+11+0000000000", "k=2/t+1+0000000000"].map(|key| format!("topics/t/{key}.parquet"));
        let t = Transforms::default().routed("t");
        let mut inventory = Inventory::new(&layout, &t, 1);
        inventory.keys = Arc::new(OnceCell::new_with(Some(Some(keys.to_vec()))));
        let mut lacks = Vec::new();
        for lake in ["k=1", "k=10", "k=2", "k=3", "k=0"] {
            lacks.push(inventory.lacks(&store, &layout.prefix(&layout.stem("t", lake), 1)).await.expect("known"));
        }
        assert_eq!(lacks, [false, true, false, true, true]);
        assert_eq!(inventory.of, Some(("topics/t/".to_owned(), "t+1+".to_owned())));
        // A directory gives no inventory, and without a folder of its own a topic has none.
        let unknown = Inventory::new(&layout, &t, 1);
        assert!(!unknown.lacks(&store, "topics/t/k=3/t+1+").await.expect("asked"));
        let whole = Inventory::new(&KeyLayout { whole_prefix: true, ..layout }, &t, 1);
        assert_eq!(whole.of, None);
    }

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
