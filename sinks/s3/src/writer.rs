//! The files of one topic-partition: the ledger decides, this does.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use foldhash::fast::RandomState;
use lakefeed_core::{Error, Result, TopicPartition};
use lakefeed_store::Store;
use tokio::sync::mpsc;

use crate::config::{CloseRules, Settings};
use crate::file::OpenFile;
use crate::idle::Progress;
use crate::inventory::{Inventory, Label, Newest, look_up};
use crate::ledger::{LakePartition, Ledger};
use crate::metrics::{Cause, SinkMetrics};
use crate::numbers::Blocks;
use crate::rows::{Part, Rows, allocated};
use crate::upload::{Address, Beside, Outcome, Report, Uploading};

/// What a lake partition with work costs beside its rows, its bytes and its uploads: the builders of its columns, its entries.
const FILE_BYTES: usize = 4096;

/// Lake partitions without work that are remembered.
const IDLE_LAKES_MAX: usize = 10_000;

/// What all partitions of a task share.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) settings: Arc<Settings>,
    pub(crate) store: Store,
    pub(crate) incarnation: String,
    pub(crate) reports: mpsc::Sender<Report>,
    pub(crate) beside: Beside,
    pub(crate) metrics: Arc<SinkMetrics>,
    /// The last epoch that was given out; none is given twice.
    pub(crate) epochs: Arc<AtomicU64>,
    /// For the rows that wait.
    pub(crate) blocks: Blocks,
}

impl Shared {
    fn next_epoch(&self) -> u64 {
        self.epochs.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// A file that takes no more rows.
#[derive(Debug)]
struct ClosedFile {
    rest: Bytes,
    label: Label,
    upload: Option<Uploading>,
    handed_over: bool,
    opened_ms: i64,
}

#[derive(Debug, Default)]
struct LakeFiles {
    /// Rows that wait for the store's answer about their lake partition. Their batches are among [`PartitionWriter::passed`].
    aside: Vec<(Arc<Rows>, Vec<u32>)>,
    open: Option<OpenFile>,
    /// The upload of the open file, once it has sent a part.
    upload: Option<Uploading>,
    closed: VecDeque<ClosedFile>,
}

impl LakeFiles {
    fn closed_bytes(&self) -> usize {
        self.closed.iter().map(|f| f.rest.len() + f.upload.as_ref().map_or(0, Uploading::held_bytes)).sum()
    }

    fn held_bytes(&self) -> usize {
        if self.is_idle() {
            return 0;
        }
        let open = self.open.as_ref().map_or(0, OpenFile::held_bytes);
        open + allocated(FILE_BYTES + self.upload.as_ref().map_or(0, Uploading::held_bytes) + self.closed_bytes())
    }

    fn is_idle(&self) -> bool {
        self.aside.is_empty() && self.open.is_none() && self.closed.is_empty()
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct PartitionWriter {
    pub(crate) partition: TopicPartition,
    /// Where its reports come back to.
    index: usize,
    /// Grows with each restart: reports of an earlier epoch are ignored.
    epoch: u64,
    ledger: Ledger,
    /// Of this epoch.
    inventory: Inventory,
    lakes: HashMap<LakePartition, LakeFiles, RandomState>,
    shared: Shared,
    /// Records that were in the lake already.
    pub(crate) skipped: u64,
    /// Last records of files that are still to be met in the topic, by offset.
    expected: BTreeMap<i64, Newest>,
    pub(crate) progress: Progress,
    /// What was read since the first row that waits for an answer of the store: the answer may concern it.
    passed: VecDeque<Arc<Rows>>,
}

impl PartitionWriter {
    pub(crate) fn new(partition: TopicPartition, position: i64, index: usize, shared: Shared) -> Self {
        let epoch = shared.next_epoch();
        Self {
            inventory: inventory(&shared, &partition),
            partition,
            index,
            epoch,
            ledger: Ledger::new(position),
            lakes: HashMap::default(),
            shared,
            skipped: 0,
            expected: BTreeMap::new(),
            passed: VecDeque::new(),
            progress: Progress::default(),
        }
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Takes the rows of one lake partition.
    pub(crate) fn append(&mut self, lake: &LakePartition, rows: &Arc<Rows>, indices: Vec<u32>, now_ms: i64) -> Result<()> {
        let part = Part { of: rows, indices: &indices };
        match self.ledger.covered(lake) {
            Some(last) => self.append_above(lake, part, last, now_ms),
            None => {
                if let Some(span) = part.span() {
                    self.ledger.set_aside(lake, span.first);
                }
                self.lakes.entry(Arc::clone(lake)).or_default().aside.push((Arc::clone(rows), indices));
                Ok(())
            }
        }
    }

    /// Everything below `next` has been looked at; `rows` are the rows that were there.
    pub(crate) fn read_to(&mut self, next: i64, rows: Arc<Rows>) -> Result<()> {
        while self.expected.first_key_value().is_some_and(|(last, _)| *last < next) {
            if let Some((_, newest)) = self.expected.pop_first() {
                self.compare(&newest, &rows)?;
            }
        }
        self.ledger.read_to(next);
        self.passed.push_back(rows);
        self.forget_passed();
        for lake in self.ledger.lookups() {
            let prefix = self.shared.settings.layout.prefix(&lake, self.partition.partition);
            look_up(&self.shared.beside, self.shared.store.clone(), self.inventory.clone(), prefix, self.address(&lake));
        }
        Ok(())
    }

    /// The topic's record at the end of a file must be the one that the file was written from; it is known by its timestamp. A record that is
    /// not there any more (compaction) says nothing.
    fn compare(&self, newest: &Newest, rows: &Rows) -> Result<()> {
        let (offsets, timestamps) = (&rows.offsets, &rows.timestamps);
        let (last, written) = (newest.label.span.last, newest.label.last_timestamp_ms);
        let Ok(row) = offsets.binary_search(&last) else { return Ok(()) };
        if written.is_none_or(|ms| ms == timestamps[row]) {
            return Ok(());
        }
        Err(Error::fatal(format!(
            "{}: offset {last} is in the lake already, with timestamp {} ({}), but the topic's record there has timestamp {}: the topic was \
             deleted and made again; set another topics.dir, or move what was written of the old topic away, and reset the offsets of the group",
            self.partition,
            written.unwrap_or(-1),
            newest.url,
            timestamps[row]
        )))
    }

    /// Offsets say nothing about files of another topic, which a router has given the same name.
    fn same_topic(&self, newest: &Newest) -> Result<()> {
        match &newest.label.topic {
            Some(topic) if **topic != *self.partition.topic => Err(Error::config(format!(
                "{}: {} is of topic {topic}: two topics may not have one name in the lake; change the routers, or set another topics.dir",
                self.partition, newest.url
            ))),
            _ => Ok(()),
        }
    }

    /// The store's answer about a lake partition.
    fn answer(&mut self, lake: &LakePartition, newest: Option<Newest>, now_ms: i64) -> Result<()> {
        let last = newest.as_ref().map_or(-1, |newest| newest.label.span.last);
        if let Some(newest) = newest {
            self.same_topic(&newest)?;
            self.passed.iter().try_for_each(|rows| self.compare(&newest, rows))?;
            self.expected.insert(last, newest);
        }
        self.ledger.answer(lake, last);
        let files = self.lakes.entry(Arc::clone(lake)).or_default();
        for (rows, indices) in std::mem::take(&mut files.aside) {
            self.append_above(lake, Part { of: &rows, indices: &indices }, last, now_ms)?;
        }
        self.forget_passed();
        Ok(())
    }

    /// Lets go of what no answer can concern any more.
    fn forget_passed(&mut self) {
        let from = self.ledger.asking_from().unwrap_or(i64::MAX);
        while self.passed.front().is_some_and(|rows| rows.offsets.last().is_none_or(|last| *last < from)) {
            self.passed.pop_front();
        }
    }

    fn address(&self, lake: &LakePartition) -> Address {
        Address { reports: self.shared.reports.clone(), partition: self.index, epoch: self.epoch, lake: Arc::clone(lake) }
    }

    fn append_above(&mut self, lake: &LakePartition, part: Part<'_>, covered: i64, now_ms: i64) -> Result<()> {
        let (skipped, mut part) = part.split(part.through(covered));
        if let Some(span) = skipped.span() {
            self.ledger.skip(lake, span.first);
            self.skipped += span.count;
            self.shared.metrics.skipped.add(span.count);
        }
        while part.len() > 0 {
            self.make_room(lake, part)?;
            let files = self.lakes.entry(Arc::clone(lake)).or_default();
            let file =
                files.open.get_or_insert_with(|| OpenFile::new(part.of.rows.schema(), self.shared.blocks.clone(), now_ms, part.event(0)));
            let (now, later) = part.split(fitting(file, part, &self.shared.settings));
            file.push(now, self.progress.touch(now_ms))?;
            if let Some(span) = now.span() {
                self.ledger.append(lake, span);
            }
            self.after_append(lake)?;
            if later.len() > 0 {
                self.close(lake, full_by(&self.shared.settings, self.open_file(lake)))?;
            }
            part = later;
        }
        Ok(())
    }

    /// Closes the open file if the first row can't join it.
    fn make_room(&mut self, lake: &LakePartition, part: Part<'_>) -> Result<()> {
        let Some(file) = self.open_file(lake) else { return Ok(()) };
        if fitting(file, part, &self.shared.settings) == 0 {
            let cause = full_by(&self.shared.settings, Some(file));
            return self.close(lake, cause);
        }
        if file.takes(part.of.rows.schema_ref()) { Ok(()) } else { self.close(lake, Cause::Schema) }
    }

    /// Encodes and uploads what has become large enough, and closes the file when it is full.
    fn after_append(&mut self, lake: &LakePartition) -> Result<()> {
        let settings = Arc::clone(&self.shared.settings);
        let Some(files) = self.lakes.get_mut(lake) else { return Ok(()) };
        let Some(file) = files.open.as_mut() else { return Ok(()) };
        if file.waiting_bytes() >= settings.row_group_bytes {
            file.encode(&settings.format)?;
        }
        if settings.close.rows.is_some_and(|max| file.rows >= max) {
            return self.close(lake, Cause::Rows);
        }
        if file.estimated_bytes() >= settings.close.bytes { self.close(lake, Cause::Bytes) } else { self.send_parts(lake) }
    }

    /// Sends encoded bytes of the open file as soon as they make a part, if its end can say which offsets it holds.
    fn send_parts(&mut self, lake: &LakePartition) -> Result<()> {
        if !self.shared.settings.format.has_footer() {
            return Ok(());
        }
        let part_bytes = self.shared.settings.part_bytes;
        // First of all: with thousands of files each further look for one is a look far away.
        if self.open_file(lake).is_none_or(|file| file.encoded_bytes() < part_bytes) {
            return Ok(());
        }
        let first = self.ledger.open_first(lake);
        let address = self.address(lake);
        let Some(files) = self.lakes.get_mut(lake) else { return Ok(()) };
        let Some(file) = &mut files.open else { return Ok(()) };
        let shared = &self.shared;
        let key = || key(shared, &self.partition, lake, first.unwrap_or_default());
        let upload = files.upload.get_or_insert_with(|| Uploading::start(&shared.beside, shared.store.clone(), key(), address));
        if upload.is_free() {
            // It is free, and this is the only sender: the part is taken.
            upload.part(file.take_encoded()).map_err(|_| Error::fatal("an upload has ended before its file"))?;
        }
        Ok(())
    }

    /// Closes the open file of a lake partition.
    pub(crate) fn close(&mut self, lake: &LakePartition, cause: Cause) -> Result<()> {
        let Some(files) = self.lakes.get_mut(lake) else { return Ok(()) };
        let Some(file) = files.open.take() else { return Ok(()) };
        let Some(span) = self.ledger.close(lake) else { return Err(Error::fatal("a file without an entry in the ledger")) };
        let label = Label {
            span,
            writer: self.shared.incarnation.clone(),
            last_timestamp_ms: Some(file.last_timestamp_ms),
            topic: Some(self.partition.topic.to_string()),
        };
        let mut pairs = label.pairs();
        pairs.push(("lakefeed-partition", self.partition.partition.to_string()));
        let (sent, opened_ms) = (file.sent_bytes(), file.opened_ms);
        let rest = file.finish(&self.shared.settings.format, &pairs)?;
        self.shared.metrics.closed(cause, sent + rest.len() as u64);
        files.closed.push_back(ClosedFile { rest, label, upload: files.upload.take(), handed_over: false, opened_ms });
        self.publish(lake)
    }

    /// Hands the next closed file of a lake partition to its upload, unless one is under way.
    fn publish(&mut self, lake: &LakePartition) -> Result<()> {
        let address = self.address(lake);
        let Some(files) = self.lakes.get_mut(lake) else { return Ok(()) };
        let Some(file) = files.closed.front_mut() else { return Ok(()) };
        if file.handed_over {
            return Ok(());
        }
        // Under way already when its upload was busy with a part the last time.
        self.ledger.publish(lake);
        let shared = &self.shared;
        let key = || key(shared, &self.partition, lake, file.label.span.first);
        let upload = file.upload.get_or_insert_with(|| Uploading::start(&shared.beside, shared.store.clone(), key(), address));
        match upload.finish(std::mem::take(&mut file.rest), file.label.clone()) {
            Ok(()) => file.handed_over = true,
            Err(rest) => file.rest = rest,
        }
        Ok(())
    }

    /// Takes note of what came of an upload or a question. Returns the offset to read from again after a conflict.
    pub(crate) fn report(&mut self, report: Report, now_ms: i64) -> Result<Option<i64>> {
        let lake = report.lake;
        match report.outcome {
            Outcome::Covered(newest) => self.answer(&lake, newest, now_ms).map(|()| None),
            Outcome::Published => {
                self.ledger.published(&lake);
                self.shared.metrics.published.add(1);
                if let Some(files) = self.lakes.get_mut(&lake) {
                    files.closed.pop_front();
                }
                self.publish(&lake)?;
                Ok(None)
            }
            Outcome::Conflict(what) => {
                tracing::warn!(target: "lakefeed", partition = %self.partition, "{what}; what is not published is read again");
                Ok(Some(self.restart()))
            }
            Outcome::Failed(error) => Err(error),
        }
    }

    /// Drops what is not published; uploads that were begun are given up.
    fn restart(&mut self) -> i64 {
        self.lakes.clear();
        self.expected.clear();
        self.passed.clear();
        self.epoch = self.shared.next_epoch();
        self.inventory = inventory(&self.shared, &self.partition);
        self.ledger.restart()
    }

    /// Time-driven work: files that are old enough, parts and files whose upload was busy.
    pub(crate) fn poll(&mut self, now_ms: i64) -> Result<()> {
        let close = self.shared.settings.close;
        let lakes: Vec<_> = self.lakes.iter().filter(|(_, files)| !files.is_idle()).map(|(lake, _)| Arc::clone(lake)).collect();
        for lake in &lakes {
            if let Some(cause) = self.open_file(lake).and_then(|file| due(file, close, now_ms, self.progress)) {
                self.close(lake, cause)?;
            }
            self.send_parts(lake)?;
            self.publish(lake)?;
        }
        Ok(())
    }

    /// Closes all open files.
    pub(crate) fn close_all(&mut self) -> Result<()> {
        let lakes: Vec<_> = self.lakes.keys().cloned().collect();
        lakes.iter().try_for_each(|lake| self.close(lake, Cause::Revoked))
    }

    fn open_file(&self, lake: &LakePartition) -> Option<&OpenFile> {
        self.lakes.get(lake)?.open.as_ref()
    }

    /// How many files are open, and when the oldest was begun that is not in the lake yet.
    pub(crate) fn files(&self) -> (usize, Option<i64>) {
        let open = self.lakes.values().filter_map(|files| files.open.as_ref()).map(|file| file.opened_ms);
        let closed = self.lakes.values().flat_map(|files| &files.closed).map(|file| file.opened_ms);
        (open.clone().count(), open.chain(closed).min())
    }

    /// The open files and the bytes that each holds.
    pub(crate) fn open_files(&self) -> impl Iterator<Item = (&LakePartition, usize)> {
        self.lakes.iter().filter_map(|(lake, files)| Some((lake, files.open.as_ref()?.held_bytes())))
    }

    /// The bytes it holds; forgets lake partitions that have no work.
    pub(crate) fn held_bytes(&mut self) -> usize {
        if self.lakes.len() > IDLE_LAKES_MAX {
            self.lakes.retain(|_, files| !files.is_idle());
            self.ledger.forget_idle(IDLE_LAKES_MAX);
        }
        let passed: usize = self.passed.iter().map(|rows| rows.held_bytes()).sum();
        allocated(passed) + self.lakes.values().map(LakeFiles::held_bytes).sum::<usize>()
    }

    /// The bytes of files that are closed and on their way into the store.
    pub(crate) fn closed_bytes(&self) -> usize {
        self.lakes.values().map(LakeFiles::closed_bytes).sum()
    }

    /// Whether nothing waits for anything.
    pub(crate) fn is_idle(&self) -> bool {
        self.lakes.values().all(LakeFiles::is_idle)
    }

    /// An offset that the lake holds and the topic must hold too, though it has not been read yet.
    pub(crate) fn awaited(&self) -> Option<i64> {
        self.ledger.awaited()
    }

    /// The offset below which every record is in the lake.
    pub(crate) fn committable(&self) -> i64 {
        self.ledger.committable()
    }
}

fn inventory(shared: &Shared, partition: &TopicPartition) -> Inventory {
    Inventory::new(&shared.settings.layout, &shared.settings.routed(&partition.topic), partition.partition)
}

fn key(shared: &Shared, partition: &TopicPartition, lake: &LakePartition, first: i64) -> String {
    let settings = &shared.settings;
    settings.layout.key(lake, partition.partition, first, settings.format.extension())
}

/// Why a file takes no more rows of those in hand.
fn full_by(settings: &Settings, file: Option<&OpenFile>) -> Cause {
    let rows = settings.close.rows.zip(file).is_some_and(|(max, file)| file.rows >= max);
    if rows { Cause::Rows } else { Cause::EventTime }
}

/// Why a file must be closed now, by the clock.
fn due(file: &OpenFile, close: CloseRules, now_ms: i64, progress: Progress) -> Option<Cause> {
    let schedule = |ms: i64| {
        let slot = |at| close.zone.bucket(at, ms).map(|(slot, _)| slot);
        slot(file.opened_ms) != slot(now_ms)
    };
    let causes = [
        (Cause::Age, close.age_ms.is_some_and(|ms| now_ms - file.opened_ms >= ms)),
        (Cause::Idle, close.idle_ms.is_some_and(|ms| progress.idle(file.touched, ms))),
        (Cause::Schedule, close.schedule_ms.is_some_and(schedule)),
    ];
    causes.into_iter().find_map(|(cause, holds)| holds.then_some(cause))
}

/// How many of the rows join the file before it must be closed, by rows and by event time.
fn fitting(file: &OpenFile, part: Part<'_>, settings: &Settings) -> usize {
    let by_rows = settings.close.rows.map_or(part.len(), |max| usize::try_from(max.saturating_sub(file.rows)).unwrap_or(usize::MAX));
    let limit = settings.close.event_ms.map(|ms| file.first_event_ms.saturating_add(ms));
    let late = |limit: i64| (0..part.len()).find(|row| part.event(*row) >= limit);
    by_rows.min(limit.and_then(late).unwrap_or(part.len())).min(part.len())
}
