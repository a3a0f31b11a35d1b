//! What the reader and the threads of the brokers share: the partitions, each with what has been read of it.

use std::collections::{HashMap, VecDeque};
use std::net::{Shutdown, TcpStream};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use lakefeed_core::{Error, Records, TopicPartition};

use crate::batch::Place;
use crate::settings::FetchSettings;
use crate::wire::Ask;

const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// How often a batch with a wrong checksum is read before it is believed.
pub(crate) const CHECKSUM_ATTEMPTS: u32 = 3;
/// How long a broker waits for news while partitions that it leads are left out of the request: they may have room a moment later.
const SHORT_WAIT_MS: i32 = 10;

/// Who leads a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Led {
    /// Nobody known: whoever has the client is asked, from then on.
    Unknown(Instant),
    /// The broker that this thread serves.
    By(u64),
}

/// Why nothing more comes of a partition.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The position is not in the log.
    OutOfRange,
    Failed(Error),
}

/// A part of an answer that there was no room for, without its batches in front.
#[derive(Debug)]
pub(crate) struct Rest {
    pub(crate) set: Vec<u8>,
    pub(crate) place: Place,
}

/// One partition.
///
/// Memory: `queue_bytes` of records, and one answer's part beyond that; or one batch, if that is larger. Records that share a buffer are at least half of it.
#[derive(Debug)]
pub(crate) struct Lane {
    /// Another one after each seek: what was asked for before belongs to nobody.
    pub(crate) generation: u64,
    pub(crate) led: Led,
    /// The offset to ask for.
    pub(crate) next: i64,
    pub(crate) ready: VecDeque<Records>,
    ready_bytes: usize,
    rest: Option<Rest>,
    /// It is in [`State::due`].
    due: bool,
    pub(crate) trouble: Option<Trouble>,
    /// The end of what may be read, as the broker said last.
    pub(crate) end: Option<i64>,
    /// When it was served last: who has waited longest is asked for first, since an answer may be full before it comes to the last.
    turn: u64,
    /// In a row.
    failures: u32,
}

impl Lane {
    pub(crate) fn new(generation: u64, next: i64, led: Led) -> Self {
        let (ready, ready_bytes) = (VecDeque::new(), 0);
        Self { generation, led, next, ready, ready_bytes, rest: None, due: false, trouble: None, end: None, turn: 0, failures: 0 }
    }

    pub(crate) fn pop(&mut self) -> Option<Records> {
        let records = self.ready.pop_front()?;
        self.ready_bytes = if self.ready.is_empty() { 0 } else { self.ready_bytes.saturating_sub(held_bytes(&records)) };
        Some(records)
    }

    /// Whether nothing is left to read, as far as the broker has told.
    pub(crate) fn is_caught_up(&self) -> bool {
        self.ready.is_empty() && self.rest.is_none() && self.trouble.is_none() && self.end.is_some_and(|end| self.next >= end)
    }

    fn room_bytes(&self, settings: &FetchSettings) -> usize {
        settings.queue_bytes.saturating_sub(self.ready_bytes)
    }

    /// Whether an answer's part would fit.
    fn wants(&self, settings: &FetchSettings) -> bool {
        let fits = self.ready.is_empty() || self.room_bytes(settings) >= settings.partition_bytes as usize;
        self.rest.is_none() && self.trouble.is_none() && fits
    }

    fn leaderless(&mut self, settings: &FetchSettings) {
        let pause = BACKOFF_MIN.saturating_mul(1 << self.failures.min(10)).min(settings.backoff_max);
        self.failures += 1;
        self.led = Led::Unknown(Instant::now() + pause);
    }
}

/// What records take, about.
fn held_bytes(records: &Records) -> usize {
    records.payload_bytes() + records.len() * 40
}

/// What a broker's thread does next.
pub(crate) enum Work {
    /// Walk what there is room for now.
    Walk(Vec<(Ask, Rest, usize)>),
    /// Ask for these partitions, those of one topic next to each other, and let the broker wait for so many milliseconds at most.
    Fetch(Vec<Ask>, i32),
    /// The broker leads nothing that is wanted.
    End,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) lanes: HashMap<TopicPartition, Lane>,
    /// Partitions with something for the reader, each once.
    due: VecDeque<TopicPartition>,
    /// How often something has come.
    pub(crate) arrivals: u64,
    turns: u64,
    /// The threads that serve brokers: whoever is in here looks at `lanes` again before it ends.
    pub(crate) serving: HashMap<u64, Option<TcpStream>>,
    closed: bool,
}

impl State {
    /// The partition that was asked for, unless it has been given up or sought since.
    fn asked(&mut self, ask: &Ask) -> Option<&mut Lane> {
        self.lanes.get_mut(&ask.partition).filter(|lane| lane.generation == ask.generation)
    }

    /// Something has come of a partition.
    fn arrive(&mut self, partition: &TopicPartition) {
        self.due(partition);
        self.arrivals += 1;
    }

    /// Puts a partition in the queue for the reader.
    fn due(&mut self, partition: &TopicPartition) {
        if let Some(lane) = self.lanes.get_mut(partition).filter(|lane| !lane.due) {
            lane.due = true;
            self.due.push_back(partition.clone());
        }
    }

    /// The next partition with something for the reader. If it has more than is taken now, it is given back.
    pub(crate) fn next_due(&mut self) -> Option<(TopicPartition, &mut Lane)> {
        while let Some(partition) = self.due.pop_front() {
            if self.lanes.get(&partition).is_some_and(|lane| lane.due) {
                let lane = self.lanes.get_mut(&partition)?;
                lane.due = false;
                return Some((partition, lane));
            }
        }
        None
    }

    /// Gives a partition back that has more.
    pub(crate) fn give_back(&mut self, partition: &TopicPartition) {
        if self.lanes.get(partition).is_some_and(|lane| !lane.ready.is_empty() || lane.trouble.is_some()) {
            self.due(partition);
        }
    }
}

/// The state behind its lock, which is held for moments: no I/O and no walking under it.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// For the reader: something has come.
    arrived: Condvar,
    /// For the brokers' threads: there is room, or something else to do.
    changed: Condvar,
    pub(crate) settings: FetchSettings,
}

impl Shared {
    pub(crate) fn new(settings: FetchSettings) -> Self {
        Self { state: Mutex::default(), arrived: Condvar::new(), changed: Condvar::new(), settings }
    }

    /// The state; poisoned it is whole all the same, since nothing in here panics half-way.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Tells the brokers' threads to look again.
    pub(crate) fn change(&self) {
        self.changed.notify_all();
    }

    /// Waits until something has come since `seen` arrivals; how many there have been.
    pub(crate) fn wait(&self, seen: u64, timeout: Duration) -> u64 {
        let waited = self.arrived.wait_timeout_while(self.lock(), timeout, |state| state.arrivals == seen);
        waited.unwrap_or_else(|e| e.into_inner()).0.arrivals
    }

    /// A pause that [`Shared::close`] ends.
    pub(crate) fn pause(&self, pause: Duration) {
        if !pause.is_zero() {
            drop(self.changed.wait_timeout_while(self.lock(), pause, |state| !state.closed));
        }
    }

    /// What a broker's thread does next; waits for it.
    pub(crate) fn work(&self, thread: u64) -> Work {
        let mut state = self.lock();
        loop {
            let led = |lane: &Lane| lane.led == Led::By(thread);
            if state.closed || !state.lanes.values().any(led) {
                state.serving.remove(&thread);
                return Work::End;
            }
            let rests = state.lanes.iter_mut().filter(|(_, lane)| led(lane)).filter_map(|(partition, lane)| {
                let room = lane.room_bytes(&self.settings);
                let rest = lane.rest.take_if(|_| room > 0)?;
                Some((Ask { partition: partition.clone(), generation: lane.generation, next: lane.next }, rest, room))
            });
            let rests: Vec<_> = rests.collect();
            if !rests.is_empty() {
                return Work::Walk(rests);
            }
            let mut left_out = false;
            let mut asks = Vec::new();
            for (partition, lane) in state.lanes.iter().filter(|(_, lane)| led(lane)) {
                if lane.wants(&self.settings) {
                    asks.push((lane.turn, Ask { partition: partition.clone(), generation: lane.generation, next: lane.next }));
                } else {
                    left_out = true;
                }
            }
            if !asks.is_empty() {
                let longest = self.settings.max_wait_ms;
                return Work::Fetch(in_turn(asks), if left_out { longest.min(SHORT_WAIT_MS) } else { longest });
            }
            state = self.changed.wait(state).unwrap_or_else(|e| e.into_inner());
        }
    }

    /// Takes what was read of a partition, if it is still wanted. `end`: see [`Lane::end`].
    pub(crate) fn deliver(&self, ask: &Ask, records: Vec<Records>, next: i64, rest: Option<Rest>, end: Option<i64>) {
        let mut state = self.lock();
        let turn = state.turns + 1;
        let Some(lane) = state.asked(ask) else { return };
        lane.next = next;
        lane.rest = rest;
        lane.end = end.or(lane.end);
        lane.failures = 0;
        if records.is_empty() {
            return;
        }
        lane.turn = turn;
        lane.ready_bytes += records.iter().map(held_bytes).sum::<usize>();
        lane.ready.extend(records);
        state.turns = turn;
        state.arrive(&ask.partition);
        self.arrived.notify_all();
    }

    /// Says that nothing more comes of a partition.
    pub(crate) fn fail(&self, ask: &Ask, trouble: Trouble) {
        let mut state = self.lock();
        let Some(lane) = state.asked(ask) else { return };
        lane.trouble = Some(trouble);
        state.arrive(&ask.partition);
        self.arrived.notify_all();
    }

    /// The broker does not lead a partition any more, or can't serve it now. How often that has happened in a row.
    pub(crate) fn leaderless(&self, ask: &Ask) -> u32 {
        let mut state = self.lock();
        state.asked(ask).map_or(0, |lane| {
            lane.leaderless(&self.settings);
            lane.failures
        })
    }

    /// The connection to a broker has ended: who leads its partitions is asked again. Whether that is news.
    pub(crate) fn disconnected(&self, thread: u64) -> bool {
        let mut state = self.lock();
        state.serving.remove(&thread);
        let mut news = false;
        for lane in state.lanes.values_mut().filter(|lane| lane.led == Led::By(thread)) {
            news |= lane.failures == 0;
            lane.leaderless(&self.settings);
        }
        news && !state.closed
    }

    /// Nothing comes of the partitions that a thread serves, and it ends.
    pub(crate) fn unusable(&self, thread: u64, why: &str) {
        let mut state = self.lock();
        state.serving.remove(&thread);
        let all: Vec<_> =
            state.lanes.iter().filter(|(_, lane)| lane.led == Led::By(thread)).map(|(partition, _)| partition.clone()).collect();
        for partition in &all {
            if let Some(lane) = state.lanes.get_mut(partition) {
                lane.trouble = Some(Trouble::Failed(Error::config(why)));
            }
            state.arrive(partition);
        }
        self.arrived.notify_all();
    }

    /// Keeps a handle to a connection, so that [`Shared::close`] can end a wait on it. False: closed already.
    pub(crate) fn connected(&self, thread: u64, stream: TcpStream) -> bool {
        let mut state = self.lock();
        state.serving.insert(thread, Some(stream));
        !state.closed
    }

    /// Ends the brokers' threads.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        for stream in state.serving.values().flatten() {
            // One that is closed already ends its thread as well.
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(state);
        self.changed.notify_all();
    }
}

/// Who has waited longest first; those of one topic next to each other, as requests want them.
fn in_turn(mut asks: Vec<(u64, Ask)>) -> Vec<Ask> {
    asks.sort_by_key(|(turn, _)| *turn);
    let mut places = HashMap::new();
    for (_, ask) in &asks {
        let place = places.len();
        places.entry(std::sync::Arc::clone(&ask.partition.topic)).or_insert(place);
    }
    asks.sort_by_key(|(_, ask)| places[&ask.partition.topic]);
    asks.into_iter().map(|(_, ask)| ask).collect()
}
