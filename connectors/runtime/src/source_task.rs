//! The task of a source.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lakefeed_core::{Make, Output, Polled, Position, Result, Source};
use lakefeed_kafka::{Producer, ensure_topic};

use crate::backoff::sleep;
use crate::dead_letters::DeadLetters;
use crate::offsets::OffsetFile;
use crate::outgoing::Outgoing;
use crate::task::{BusyTime, TaskEnv, wrong_kind};

/// The wait while nothing is there, or the task is paused.
const PAUSE: Duration = Duration::from_millis(200);
const TOPIC_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs until the source has no more rows, the worker stops, or something can't be mended.
pub(crate) fn run(env: &TaskEnv, offsets: &Arc<OffsetFile>, mut first: Option<Box<dyn Source>>) -> Result<()> {
    let Make::Source(make) = env.connector.plugin.make else { return Err(wrong_kind(env)) };
    env.run(|env| {
        let source = first.take().map_or_else(|| make(&env.connector.config, &env.context), Ok)?;
        SourceTask::open(env, Arc::clone(offsets), source)?.run()
    })
}

struct SourceTask<'a> {
    env: &'a TaskEnv,
    offsets: Arc<OffsetFile>,
    source: Box<dyn Source>,
    /// What becomes of rows before they are sent, if they don't go as they are; and where they are then.
    outgoing: Option<Outgoing>,
    converted: Output,
    producer: Producer,
    dead_letters: DeadLetters,
    /// For each source partition with rows that are sent and not committed the position after the last of them, in the order of their ends.
    pending: Vec<Position>,
    topics: BTreeSet<String>,
    busy: BusyTime,
}

impl<'a> SourceTask<'a> {
    fn open(env: &'a TaskEnv, offsets: Arc<OffsetFile>, source: Box<dyn Source>) -> Result<Self> {
        let producer = Producer::new(&env.producer_settings())?;
        let dead_letters = DeadLetters::open(env)?;
        let outgoing = Outgoing::open(env)?;
        Ok(Self {
            env,
            offsets,
            source,
            outgoing,
            converted: Output::default(),
            producer,
            dead_letters,
            pending: Vec::new(),
            topics: BTreeSet::new(),
            busy: BusyTime::new(),
        })
    }

    fn run(&mut self) -> Result<()> {
        let mut out = Output::default();
        let mut commit_at = Instant::now() + self.env.worker.commit_interval();
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
                commit_at = Instant::now() + self.env.worker.commit_interval();
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
        self.producer.send(rows)?;
        if !rows.rows().is_empty() {
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
                    ensure_topic(&self.env.admin_settings(), topic, None, &[], TOPIC_TIMEOUT)?;
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
        if self.pending.is_empty() {
            return Ok(());
        }
        self.producer.flush(self.env.worker.flush_timeout())?;
        self.offsets.store(&self.env.connector.name, &self.pending)?;
        self.pending.drain(..).try_for_each(|position| self.source.commit(&position))
    }
}
