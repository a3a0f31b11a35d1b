//! The reader's side.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lakefeed_core::{Error, Records, Result, TopicPartition};

use crate::broker;
use crate::lanes::{Lane, Led, Shared, State, Trouble};
use crate::settings::FetchSettings;

/// How soon a partition without a leader is asked for again.
const NO_LEADER_PAUSE: Duration = Duration::from_millis(500);

/// What has come.
#[derive(Debug)]
pub enum Arrival {
    /// Records of one partition, at most about 4 MiB or 40,000 of them.
    Records(Box<Records>),
    /// The log does not have this offset: [`Fetcher::seek`] goes on.
    OutOfRange {
        /// The partition.
        partition: TopicPartition,
        /// The offset that was asked for.
        position: i64,
    },
}

#[derive(Debug)]
struct Broker {
    thread: u64,
    handle: JoinHandle<()>,
}

/// Reads partitions from the brokers that lead them.
///
/// Each broker has a thread with a connection of its own: while the reader has rows in hand, the next are read and walked. Dropped, it ends the threads.
///
/// Memory: for each partition `queued.max.messages.kbytes` (or one batch, if that is larger), for each broker `fetch.max.bytes`.
#[derive(Debug)]
pub struct Fetcher {
    shared: Arc<Shared>,
    /// By address.
    brokers: BTreeMap<String, Broker>,
    threads: u64,
    generations: u64,
    seen: u64,
    /// Nothing is read before somebody asks.
    begun: bool,
}

impl Fetcher {
    /// Without partitions.
    pub fn new(settings: FetchSettings) -> Self {
        Self { shared: Arc::new(Shared::new(settings)), brokers: BTreeMap::new(), threads: 0, generations: 0, seen: 0, begun: false }
    }

    /// Takes a partition, to be read from an offset.
    pub fn take(&mut self, partition: &TopicPartition, position: i64) {
        self.generations += 1;
        let lane = Lane::new(self.generations, position, Led::Unknown(Instant::now()));
        self.shared.lock().lanes.insert(partition.clone(), lane);
    }

    /// Goes on from another offset. What was read beyond it is dropped.
    pub fn seek(&mut self, partition: &TopicPartition, position: i64) {
        self.generations += 1;
        // Under one lock: who leads it must not change in between.
        if let Some(lane) = self.shared.lock().lanes.get_mut(partition) {
            *lane = Lane::new(self.generations, position, lane.led);
        }
        self.shared.change();
    }

    /// Gives up partitions; nothing more comes of them.
    pub fn release(&mut self, partitions: &[TopicPartition]) {
        let mut state = self.shared.lock();
        for partition in partitions {
            state.lanes.remove(partition);
        }
        drop(state);
        self.shared.change();
    }

    /// Whether somebody has asked for rows: a member of a group need not.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// What has come of one partition, each of them in its turn; `None`: nothing.
    ///
    /// # Errors
    /// `Config`, `Fatal`: a partition can't be read, with the reason.
    pub fn read(&mut self) -> Result<Option<Arrival>> {
        self.begun = true;
        let mut state = self.shared.lock();
        let state = &mut *state;
        self.seen = state.arrivals;
        while let Some((partition, lane)) = state.next_due() {
            if let Some(records) = lane.pop() {
                state.give_back(&partition);
                self.shared.change();
                return Ok(Some(Arrival::Records(Box::new(records))));
            }
            match lane.trouble.take() {
                Some(Trouble::OutOfRange) => {
                    // Not asked for again before a seek.
                    lane.trouble = Some(Trouble::OutOfRange);
                    let position = lane.next;
                    return Ok(Some(Arrival::OutOfRange { partition, position }));
                }
                Some(Trouble::Failed(error)) => return Err(error),
                None => {}
            }
        }
        Ok(None)
    }

    /// Waits until something has come that was not there at the last [`Fetcher::read`] or wait, or until `timeout`.
    pub fn wait(&mut self, timeout: Duration) {
        self.seen = self.shared.wait(self.seen, timeout);
    }

    /// The topics of which somebody has to say who leads their partitions: see [`Fetcher::lead`].
    pub fn leaderless(&self) -> BTreeSet<Arc<str>> {
        if !self.begun {
            return BTreeSet::new();
        }
        let now = Instant::now();
        let due = |lane: &Lane| matches!(lane.led, Led::Unknown(from) if from <= now);
        let state = self.shared.lock();
        state.lanes.iter().filter(|(_, lane)| due(lane)).map(|(partition, _)| Arc::clone(&partition.topic)).collect()
    }

    /// Who leads the partitions of a topic, each as `host:port`; those without a leader are asked for again later.
    ///
    /// # Errors
    /// `Retry`: the system starts no thread.
    pub fn lead(&mut self, topic: &str, leaders: &BTreeMap<i32, String>) -> Result<()> {
        let mut wanted = Vec::new();
        let mut state = self.shared.lock();
        let State { lanes, serving, .. } = &mut *state;
        let leaderless = |lane: &Lane| matches!(lane.led, Led::Unknown(_));
        for (partition, lane) in lanes.iter_mut().filter(|(partition, lane)| *partition.topic == *topic && leaderless(lane)) {
            let Some(address) = leaders.get(&partition.partition) else {
                lane.led = Led::Unknown(Instant::now() + NO_LEADER_PAUSE);
                continue;
            };
            let known = self.brokers.get(address).map(|broker| broker.thread).filter(|thread| serving.contains_key(thread));
            let new = wanted.iter().find(|(_, to)| *to == address).map(|(thread, _)| *thread);
            let thread = known.or(new).unwrap_or_else(|| {
                self.threads += 1;
                serving.insert(self.threads, None);
                wanted.push((self.threads, address));
                self.threads
            });
            lane.led = Led::By(thread);
        }
        drop(state);
        self.shared.change();
        wanted.into_iter().try_for_each(|(thread, address)| self.serve(thread, address))
    }

    /// Starts the thread that serves a broker; an earlier one has ended, or is about to.
    fn serve(&mut self, thread: u64, address: &str) -> Result<()> {
        let (shared, to) = (Arc::clone(&self.shared), address.to_owned());
        let started = std::thread::Builder::new().name(format!("fetch-{thread}")).spawn(move || broker::run(thread, &to, &shared));
        let handle = started.map_err(|e| Error::retry("can't start the thread that reads from a broker").with_source(e))?;
        if let Some(ended) = self.brokers.insert(address.to_owned(), Broker { thread, handle }) {
            join(ended);
        }
        Ok(())
    }

    /// The end of what may be read of each partition, where a broker has told it.
    pub fn ends(&self) -> Vec<(TopicPartition, Option<i64>)> {
        self.shared.lock().lanes.iter().map(|(partition, lane)| (partition.clone(), lane.end)).collect()
    }

    /// The partitions that have been read to their end.
    pub fn caught_up(&self) -> Vec<TopicPartition> {
        let state = self.shared.lock();
        state.lanes.iter().filter(|(_, lane)| lane.is_caught_up()).map(|(partition, _)| partition.clone()).collect()
    }

    /// What is held at most ahead of the reader, about: full queues, and for each broker the answer that comes and a buffer that is kept.
    pub fn queue_bytes(&self) -> usize {
        let settings = &self.shared.settings;
        self.shared.lock().lanes.len() * settings.queue_bytes + self.brokers.len() * 2 * settings.max_bytes as usize
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.shared.close();
        std::mem::take(&mut self.brokers).into_values().for_each(join);
    }
}

fn join(broker: Broker) {
    if broker.handle.join().is_err() {
        tracing::error!(target: "lakefeed", "The thread that reads from the broker has panicked");
    }
}
