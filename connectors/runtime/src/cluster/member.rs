//! The worker as a member of the cluster's group: which tasks are its own, and what it tells of them.
//!
//! The members share out the partitions of the offset topic, without reading them by the group. A task belongs to whoever has its partition.
//! Partitions that go elsewhere are given up when their tasks have published, committed and ended, so that nobody works beside a successor; who was
//! taken for dead and is not is kept from harm by the sink's conditional writes and by the transactions of sources.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use lakefeed_core::{Result, TopicPartition};
use lakefeed_kafka::{ClientSettings, Consumer, Event, Producer};

use crate::cluster::log::{Log, Of};
use crate::cluster::records::{Pair, Status, StatusKey};
use crate::files::TargetState;
use crate::herd::Entry;
use crate::herder::Herder;
use crate::stats::TaskState;
use crate::task_thread::TaskThread;

/// How long the group is waited for between two looks at the tasks.
const WAIT: Duration = Duration::from_millis(50);
/// The wait after trouble.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest wait for the acknowledgement of what is told.
const FLUSH: Duration = Duration::from_secs(5);
/// A status that the topic does not show after this time is sent again.
const AGAIN: Duration = Duration::from_secs(2);

/// The partitions of the offset topic that are this worker's.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    own: BTreeSet<i32>,
    count: i32,
}

impl Places {
    pub(crate) fn none_of(count: i32) -> Self {
        Self { own: BTreeSet::new(), count }
    }

    /// Whether a task is this worker's.
    pub(crate) fn has(&self, connector: &str, task: u32) -> bool {
        self.own.contains(&place(connector, task, self.count))
    }
}

/// The partition of a task: the same on every worker, now and in later versions.
///
/// Workers that start together have every second (third, fourth) partition each; when they come one after the other, partitions next to each other. So that
/// the tasks of a connector are on different workers either way, they lie 7 of 24 apart, on a multiple of 12 partitions: a step from the last of them to the
/// first is like any other. All of these are used before one is used again.
fn place(connector: &str, task: u32, count: i32) -> i32 {
    // FNV-1a, 64 bits.
    let hash = connector.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let count = u64::try_from(count.max(1)).unwrap_or(1);
    let used = if count < 12 { count } else { count - count % 12 };
    // Without a common divisor the steps go through all partitions.
    let step = (used * 7 / 24..).find(|step| divisor(*step, used) == 1).unwrap_or(1);
    i32::try_from((hash % used + u64::from(task) * step) % used).unwrap_or(0)
}

/// The greatest common divisor.
fn divisor(one: u64, other: u64) -> u64 {
    if other == 0 { one } else { divisor(other, one % other) }
}

/// Partitions that are given up when these tasks have ended.
struct Leaving {
    partitions: Vec<TopicPartition>,
    tasks: Vec<Arc<OnceLock<()>>>,
}

/// The member.
pub(crate) struct Member {
    pub(crate) log: Arc<Log>,
    pub(crate) herder: Herder,
    pub(crate) worker_id: String,
    pub(crate) group: ClientSettings,
    pub(crate) producer: ClientSettings,
}

/// What a member has in hand while it is in the group.
struct Session<'a> {
    member: &'a Member,
    group: Consumer,
    producer: Producer,
    leaving: Vec<Leaving>,
    /// What was sent and when, until the topic shows it.
    sent: BTreeMap<StatusKey, (Option<Status>, Instant)>,
}

impl Member {
    /// Takes part until it is told to end. By then the tasks have ended; the group is left at once.
    pub(crate) fn run(&self, end: &AtomicBool) {
        while !end.load(Ordering::Acquire) {
            if let Err(error) = self.session(end) {
                tracing::error!(
                    target: "lakefeed", group = %self.log.config.group, error = %error.chain(),
                    "The worker can't take part in the cluster; its tasks end, and it tries again. Workers of another kind, such as Kafka Connect's, need another group.id"
                );
                self.own(Places::none_of(self.log.places));
                std::thread::sleep(PAUSE);
            }
        }
    }

    fn session(&self, end: &AtomicBool) -> Result<()> {
        let group = Consumer::new(&self.group, &[self.log.topic(Of::Offset).to_owned()])?;
        let producer = Producer::new(&self.producer)?;
        let mut session = Session { member: self, group, producer, leaving: Vec::new(), sent: BTreeMap::new() };
        while !end.load(Ordering::Acquire) {
            session.step()?;
        }
        session.farewell()
    }

    fn own(&self, places: Places) -> Vec<Arc<OnceLock<()>>> {
        self.herder.shared.set_places(places);
        self.herder.reconcile()
    }
}

impl Session<'_> {
    fn step(&mut self) -> Result<()> {
        for event in self.group.poll(WAIT).or_else(passing)? {
            let mut places = self.member.herder.shared.places();
            match event {
                Event::Assigned(assignments) => {
                    if assignments.is_empty() {
                        continue;
                    }
                    places.own.extend(assignments.iter().map(|a| a.partition.partition));
                    tracing::info!(target: "lakefeed", places = ?places.own, of = places.count, "The worker has its share of the cluster's tasks");
                    self.member.own(places);
                }
                Event::Revoked { partitions, lost } => {
                    places.own.retain(|own| !partitions.iter().any(|p| p.partition == *own));
                    tracing::info!(target: "lakefeed", places = ?places.own, of = places.count, lost, "Tasks go to other workers");
                    let tasks = self.member.own(places);
                    // What is lost belongs to others already.
                    self.leaving.push(Leaving { partitions, tasks: if lost { Vec::new() } else { tasks } });
                }
                // Nothing is read by the group.
                Event::RecordsLost { .. } => {}
            }
        }
        let have_ended = |leaving: &mut Leaving| leaving.tasks.iter().all(|task| task.get().is_some());
        for leaving in self.leaving.extract_if(.., have_ended).collect::<Vec<_>>() {
            let numbers: BTreeSet<i32> = leaving.partitions.iter().map(|p| p.partition).collect();
            self.tell(self.unassigned(&numbers))?;
            self.group.release(&leaving.partitions)?;
        }
        self.tell(self.wanted())
    }

    /// What the status topic should say of what is this worker's.
    fn wanted(&self) -> BTreeMap<StatusKey, Option<Status>> {
        let (log, herd, places) = (&self.member.log, self.member.herder.herd(), self.member.herder.shared.places());
        let mut wanted = BTreeMap::new();
        let told = |state: &str, trace: Option<String>, generation: i64| {
            Some(Status { state: state.to_owned(), trace, worker_id: self.member.worker_id.clone(), generation })
        };
        for (name, entry) in &herd.connectors {
            if places.has(name, 0) {
                wanted.insert(StatusKey::Connector(name.clone()), told(entry.target.name(), None, entry.generation));
            }
            wanted.extend(self.tasks(name, entry));
            let topics = entry.topics.list().into_iter().map(|topic| StatusKey::Topic(name.clone(), topic));
            let view = log.view();
            wanted.extend(topics.filter(|key| !view.statuses.contains_key(key)).map(|key| (key, Some(Status::default()))));
        }
        for (name, unreadable) in herd.unreadable.iter().filter(|(name, _)| places.has(name, 0)) {
            let value = told(TaskState::Failed.name(), Some(unreadable.trouble.clone()), unreadable.generation);
            wanted.insert(StatusKey::Connector(name.clone()), value);
        }
        // What is told of what is not there any more, or was told by a worker that is gone.
        for key in log.view().statuses.keys() {
            let (name, task) = key.place();
            let gone = match key {
                StatusKey::Connector(_) => !herd.knows(name),
                StatusKey::Task(..) => herd.connectors.get(name).is_none_or(|entry| task >= entry.wanted_tasks()),
                StatusKey::Topic(..) => !herd.knows(name),
            };
            if gone && places.has(name, task) {
                wanted.insert(key.clone(), None);
            }
        }
        // While a task publishes what it holds the topic goes on saying that it is at work: others wait for that.
        wanted.retain(|key, _| !matches!(key, StatusKey::Task(name, task) if herd.is_ending(name, *task)));
        wanted
    }

    fn tasks(&self, name: &str, entry: &Entry) -> Vec<(StatusKey, Option<Status>)> {
        let status = |thread: &TaskThread| {
            let stats = &thread.task.stats;
            let status = Status {
                state: stats.state().name().to_owned(),
                trace: stats.trouble(),
                worker_id: self.member.worker_id.clone(),
                generation: entry.generation,
            };
            (StatusKey::Task(name.to_owned(), thread.task.task), Some(status))
        };
        entry.tasks.iter().filter(|_| entry.target != TargetState::Stopped).map(status).collect()
    }

    /// Sends what the topic does not say yet.
    fn tell(&mut self, wanted: BTreeMap<StatusKey, Option<Status>>) -> Result<()> {
        let view = self.member.log.view();
        let news = |(key, status): &(StatusKey, Option<Status>)| {
            let sent = self.sent.get(key).is_some_and(|(sent, at)| sent == status && at.elapsed() < AGAIN);
            view.statuses.get(key) != status.as_ref() && !sent
        };
        let news: Vec<_> = wanted.into_iter().filter(news).collect();
        self.sent.retain(|key, (sent, _)| view.statuses.get(key) != sent.as_ref());
        drop(view);
        let now = Instant::now();
        let pairs: Vec<Pair> = news.iter().map(|(key, status)| key.record(status.as_ref())).collect();
        self.sent.extend(news.into_iter().map(|(key, status)| (key, (status, now))));
        if pairs.is_empty() {
            return Ok(());
        }
        // What the brokers do not take now is sent again.
        let sent = self.member.log.send(&self.producer, Of::Status, &pairs);
        sent.and_then(|()| self.producer.flush(FLUSH)).or_else(passing)
    }

    /// That nobody runs the tasks of these partitions.
    fn unassigned(&self, partitions: &BTreeSet<i32>) -> BTreeMap<StatusKey, Option<Status>> {
        let mut wanted = BTreeMap::new();
        for (name, entry) in &self.member.herder.herd().connectors {
            for task in (0..entry.wanted_tasks()).filter(|task| partitions.contains(&place(name, *task, self.member.log.places))) {
                let state = TaskState::Unassigned.name().to_owned();
                let status = Status { state, trace: None, worker_id: self.member.worker_id.clone(), generation: entry.generation };
                wanted.insert(StatusKey::Task(name.clone(), task), Some(status));
            }
        }
        wanted
    }

    /// The last word: nobody runs what this worker ran.
    fn farewell(mut self) -> Result<()> {
        self.tell(self.unassigned(&self.member.herder.shared.places().own))
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        // The group waits for an answer, and so would the end of the client.
        for leaving in self.leaving.drain(..) {
            // A failure leaves the group by the session timeout.
            let _ = self.group.release(&leaving.partitions);
        }
    }
}

/// Trouble that passes is told, and tried again by the next step.
fn passing<T: Default>(error: lakefeed_core::Error) -> Result<T> {
    if error.kind() != lakefeed_core::ErrorKind::Retry {
        return Err(error);
    }
    tracing::warn!(target: "lakefeed", error = %error.chain(), "The group of the cluster can't be served now");
    Ok(T::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change here would move the tasks of clusters that are half-way through an update.
    #[test]
    fn places_of_tasks_stay() {
        let places: Vec<i32> = [("orders", 0), ("orders", 1), ("orders", 24), ("orders", 25), ("", 0), ("ü", 0)]
            .iter()
            .map(|(name, task)| place(name, *task, 25))
            .collect();
        assert_eq!(places, [4, 11, 4, 11, 5, 18]);
        assert_eq!(place("any", 7, 1), 0);
        for count in 1..60 {
            let used: BTreeSet<i32> = (0..60).map(|task| place("any", task, count)).collect();
            assert_eq!(used, (0..if count < 12 { count } else { count / 12 * 12 }).collect(), "of {count}");
        }
    }

    /// Of 25 partitions, as many as there are by default.
    #[test]
    fn tasks_are_spread_over_workers() {
        let workers_of = |name: &str, workers: i32, owner: fn(i32, i32) -> i32| {
            (0..workers.unsigned_abs()).map(|task| owner(place(name, task, 25), workers)).collect::<BTreeSet<_>>().len()
        };
        let names: Vec<String> = (0..200).map(|n| format!("connector-{n}")).collect();
        for workers in 2..=4 {
            // Of workers that start together.
            let alternating = |place, workers| place % workers;
            assert!(names.iter().all(|name| workers_of(name, workers, alternating) == workers as usize), "{workers} workers");
            // Of workers that start one after the other.
            let used: usize = names.iter().map(|name| workers_of(name, workers, |place, workers| place * workers / 25)).sum();
            assert!(used * 10 > names.len() * workers as usize * 7, "{workers} workers: {used}");
        }
    }

    #[test]
    fn a_worker_has_the_tasks_of_its_partitions() {
        let mut places = Places::none_of(25);
        assert!(!places.has("orders", 0));
        places.own.insert(place("orders", 3, 25));
        assert!(places.has("orders", 3) && places.has("orders", 27) && !places.has("orders", 2));
    }
}
