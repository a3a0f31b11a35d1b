//! The task of a source.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use lakefeed_core::{Make, Output, Polled, Position, Result, Source};
use lakefeed_kafka::{Producer, ensure_topic};

use crate::backoff::sleep;
use crate::dead_letters::DeadLetters;
use crate::offsets::OffsetStore;
use crate::outgoing::Outgoing;
use crate::task::{BusyTime, TaskEnv, wrong_kind};

/// The wait while nothing is there, or the task is paused.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest a transaction stays open while rows keep coming.
const TRANSACTION: Duration = Duration::from_millis(500);
const TOPIC_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs until the source has no more rows, the worker stops, or something can't be mended.
pub(crate) fn run(env: &TaskEnv, offsets: &OffsetStore, mut first: Option<Box<dyn Source>>) -> Result<()> {
    let Make::Source(make) = env.connector.plugin.make else { return Err(wrong_kind(env)) };
    env.run(|env| {
        // Before anything is looked at: it fences a predecessor that was taken for dead.
        let sender = Sender::open(env, offsets)?;
        if let OffsetStore::Topic(topic) = offsets
            && !topic.begin(env)?
        {
            return Ok(());
        }
        let source = first.take().map_or_else(|| make(&env.connector.config, &env.context), Ok)?;
        SourceTask::open(env, sender, source)?.run()
    })
}

/// Takes rows and positions to where they are kept.
///
/// In a cluster with transactions (`exactly.once.source.support`) both become visible together, so that a crash neither loses nor doubles rows. Otherwise positions follow
/// when their rows are acknowledged; after a crash the rows in between come twice.
struct Sender {
    offsets: OffsetStore,
    producer: Producer,
    /// Whether there are transactions, and one is open.
    transaction: Option<bool>,
}

impl Sender {
    fn open(env: &TaskEnv, offsets: &OffsetStore) -> Result<Self> {
        let settings = env.producer_settings();
        let topic = if let OffsetStore::Topic(topic) = offsets { Some(topic) } else { None };
        let Some(topic) = topic.filter(|_| env.worker.transactions()) else {
            return Ok(Self { offsets: offsets.clone(), producer: Producer::new(&settings)?, transaction: None });
        };
        let producer = topic.producer(&settings, &env.connector.name, env.context.task)?;
        Ok(Self { offsets: offsets.clone(), producer, transaction: Some(false) })
    }

    fn send(&mut self, out: &Output) -> Result<()> {
        self.begin()?;
        self.producer.send(out)
    }

    fn begin(&mut self) -> Result<()> {
        if self.transaction == Some(false) {
            self.producer.begin()?;
            self.transaction = Some(true);
        }
        Ok(())
    }

    /// How long rows may wait to be committed: nobody sees those of a transaction before.
    fn interval(&self, env: &TaskEnv) -> Duration {
        let interval = env.worker.commit_interval();
        match env.connector.config.int("transaction.boundary.interval.ms").and_then(|ms| u64::try_from(ms).ok()) {
            _ if self.transaction.is_none() => interval,
            Some(ms) if env.connector.config.text("transaction.boundary") == "interval" => Duration::from_millis(ms),
            _ => interval.min(TRANSACTION),
        }
    }

    /// Waits until all rows and these positions are safe.
    fn commit(&mut self, env: &TaskEnv, positions: &[Position]) -> Result<()> {
        let (name, timeout) = (&env.connector.name, env.worker.flush_timeout());
        if self.transaction.is_some() {
            self.begin()?
        } else {
            self.producer.flush(timeout)?
        }
        match &self.offsets {
            OffsetStore::File(file) => return file.store(name, positions),
            OffsetStore::Topic(topic) => topic.send(&self.producer, name, positions)?,
        }
        if self.transaction.is_none() {
            return self.producer.flush(timeout);
        }
        self.producer.commit_transaction()?;
        self.transaction = Some(false);
        Ok(())
    }
}

struct SourceTask<'a> {
    env: &'a TaskEnv,
    sender: Sender,
    source: Box<dyn Source>,
    /// What becomes of rows before they are sent, if they don't go as they are; and where they are then.
    outgoing: Option<Outgoing>,
    converted: Output,
    dead_letters: DeadLetters,
    /// For each source partition with rows that are sent and not committed the position after the last of them, in the order of their ends.
    pending: Vec<Position>,
    topics: BTreeSet<String>,
    busy: BusyTime,
}

impl<'a> SourceTask<'a> {
    fn open(env: &'a TaskEnv, sender: Sender, source: Box<dyn Source>) -> Result<Self> {
        let dead_letters = DeadLetters::open(env)?;
        let outgoing = Outgoing::open(env)?;
        Ok(Self {
            env,
            sender,
            source,
            outgoing,
            converted: Output::default(),
            dead_letters,
            pending: Vec::new(),
            topics: BTreeSet::new(),
            busy: BusyTime::new(),
        })
    }

    fn run(&mut self) -> Result<()> {
        let mut out = Output::default();
        let mut commit_at = Instant::now() + self.sender.interval(self.env);
        loop {
            if self.env.paused() {
                self.commit()?;
                sleep(PAUSE, &self.env.orders);
                if !self.env.orders.stopped() {
                    continue;
                }
            }
            out.clear();
            let polled = self.source.poll(&mut out)?;
            self.send(&mut out)?;
            let stop = self.env.orders.stopped();
            if stop || polled == Polled::Done || Instant::now() >= commit_at {
                self.commit()?;
                commit_at = Instant::now() + self.sender.interval(self.env);
            }
            if stop || polled == Polled::Done {
                return Ok(());
            }
            if polled == Polled::Idle {
                // What was sent becomes final before the wait, so that a finished file is known to be finished.
                self.commit()?;
                sleep(PAUSE, &self.env.orders);
            }
        }
    }

    fn send(&mut self, out: &mut Output) -> Result<()> {
        for reject in &out.source_rejects {
            self.dead_letters.source_row(self.env, reject)?;
        }
        let mut converted = std::mem::take(&mut self.converted);
        let rows = match &mut self.outgoing {
            Some(outgoing) => {
                converted.clear();
                for refused in outgoing.take(out, &mut converted)? {
                    self.dead_letters.outgoing_row(self.env, &refused)?;
                }
                &converted
            }
            None => &*out,
        };
        self.create_topics(rows)?;
        if !rows.rows().is_empty() {
            self.sender.send(rows)?;
            self.busy.mark(&self.env.stats);
        }
        self.env.stats.rows_out.add(rows.rows().len() as u64);
        self.env.stats.bytes_out.add(rows.bytes() as u64);
        self.converted = converted;
        if let Some(position) = out.position.take() {
            self.pending.retain(|p| p.partition != position.partition);
            self.pending.push(position);
        }
        Ok(())
    }

    /// Makes the topics that rows go to for the first time.
    fn create_topics(&mut self, out: &Output) -> Result<()> {
        let mut last = "";
        for row in out.rows() {
            let topic = out.topic(row);
            if topic != last {
                self.env.topics.used(topic);
            }
            if topic != last && !self.topics.contains(topic) {
                if self.env.worker.creates_topics() {
                    let spec = self.env.connector.creation.of(topic).cloned().unwrap_or_default();
                    ensure_topic(&self.env.admin_settings(), topic, &spec, TOPIC_TIMEOUT)?;
                }
                self.topics.insert(topic.to_owned());
            }
            last = topic;
        }
        Ok(())
    }

    /// Waits for the acknowledgement of every row, then stores the positions, then tells the source.
    fn commit(&mut self) -> Result<()> {
        self.dead_letters.flush(self.env)?;
        if self.pending.is_empty() && self.sender.transaction != Some(true) {
            return Ok(());
        }
        self.sender.commit(self.env, &self.pending)?;
        self.pending.drain(..).try_for_each(|position| self.source.commit(&position))
    }
}
