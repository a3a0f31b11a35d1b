//! A member of a consumer group.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::time::Duration;

use lakefeed_core::{Assignment, Error, ErrorKind, Result, TopicPartition};
use lakefeed_fetch::Fetcher;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerGroupMetadata, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{Offset, TopicPartitionList};

use crate::ClientSettings;
use crate::batch::PartitionQueue;
use crate::context::{Context, Rebalance, unassign};
use crate::error::{of_code, wrap};
use crate::reading::{fetcher, idle_settings, reader_settings};

pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// What happened to the assignment.
#[derive(Debug)]
pub enum Event {
    /// These partitions are ours now, and are read from these positions.
    Assigned(Vec<Assignment>),
    /// These partitions go elsewhere. Finish with them and then call [`Consumer::release`]; the group waits for it.
    Revoked {
        /// The partitions.
        partitions: Vec<TopicPartition>,
        /// They are gone already (the session ran out): nothing can be committed for them.
        lost: bool,
    },
    /// The log's start has overtaken the position: these records will never be read.
    RecordsLost {
        /// The partition.
        partition: TopicPartition,
        /// The first offset that is missing.
        from: i64,
        /// The first offset that is still there.
        to: i64,
    },
}

/// A member of a consumer group, which reads `read_committed` and commits only what it is told to.
///
/// Memory: at most `queued.max.messages.kbytes` per partition are kept ahead of the reader (2 MiB unless set otherwise).
#[derive(Debug)]
pub struct Consumer {
    // Declared before the client: the queues must be gone when the client is destroyed.
    pub(crate) queues: Vec<PartitionQueue>,
    pub(crate) client: ClientHolder,
    /// What reads the partitions, unless librdkafka does.
    pub(crate) fetcher: Option<Fetcher>,
    starts: HashMap<TopicPartition, Start>,
    /// What was committed last for each partition that is ours, by this member or found; without it where reading began.
    pub(crate) committed: HashMap<TopicPartition, i64>,
    /// The queue to look at next, so that no partition starves another.
    pub(crate) next: usize,
    reset_to_latest: bool,
    /// What librdkafka keeps of one partition ahead of the reader.
    pub(crate) queue_kbytes: usize,
    settings: ClientSettings,
}

/// What was found when a partition was assigned.
#[derive(Debug, Clone, Default)]
pub struct Start {
    /// What was committed beside the offset; empty: nothing.
    pub metadata: String,
    /// The offset after the last record of the log.
    pub end: i64,
}

/// The client with a `Debug` of its own, since rust-rdkafka's has none.
pub(crate) struct ClientHolder(pub(crate) BaseConsumer<Context>);

impl std::fmt::Debug for ClientHolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BaseConsumer")
    }
}

impl Consumer {
    /// Joins the group `group.id` of the settings and subscribes. A topic that begins with `^` is a regular expression.
    ///
    /// # Errors
    /// `Config`: a setting is unknown or wrong.
    pub fn new(settings: &ClientSettings, topics: &[String]) -> Result<Self> {
        let reset = settings.get("auto.offset.reset").unwrap_or("earliest").to_owned();
        let fetcher = fetcher(settings)?;
        let reader = || reader_settings(settings).set("enable.partition.eof", "true");
        let settings = if fetcher.is_some() { idle_settings(settings) } else { reader() };
        let settings = member_settings(settings).or("topic.metadata.refresh.interval.ms", "5000");
        let failed = |e| wrap(format!("can't read from Kafka at {}", settings.bootstrap()), e);
        let client: BaseConsumer<Context> = settings.native().create_with_context(Context::default()).map_err(failed)?;
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        client.subscribe(&names).map_err(failed)?;
        let reset_to_latest = reset == "latest";
        let queue_kbytes = settings.get("queued.max.messages.kbytes").and_then(|n| n.parse().ok()).unwrap_or(2048);
        Ok(Self {
            queues: Vec::new(),
            client: ClientHolder(client),
            fetcher,
            starts: HashMap::new(),
            committed: HashMap::new(),
            next: 0,
            reset_to_latest,
            queue_kbytes,
            settings,
        })
    }

    /// Serves the group: call it often, whether there are rows or not, at least every `max.poll.interval.ms`. Waits at most `timeout` when
    /// nothing happens; rows that come may end the wait.
    ///
    /// # Errors
    /// `Retry`: the brokers can't be asked for positions now; the next call goes on. Others end the task.
    pub fn poll(&mut self, timeout: Duration) -> Result<Vec<Event>> {
        let timeout = match self.fetcher.as_mut().filter(|fetcher| fetcher.has_begun()) {
            Some(fetcher) => {
                fetcher.wait(timeout);
                Duration::ZERO
            }
            None => timeout,
        };
        match self.client.0.poll(timeout) {
            None => {}
            Some(Ok(message)) => {
                use rdkafka::Message as _;
                // Not possible as long as queues are cut off before they are assigned. A row must not vanish, so the task starts over.
                return Err(Error::fatal(format!("{}-{}: a record came out of the wrong queue", message.topic(), message.partition())));
            }
            Some(Err(error)) => self.client_error(error)?,
        }
        self.find_leaders()?;
        let mut events = Vec::new();
        while let Some(rebalance) = self.pop() {
            match rebalance {
                Rebalance::Assign(partitions) => {
                    if let Err(error) = self.assign(&partitions, &mut events) {
                        self.rebalances().push_front(Rebalance::Assign(partitions));
                        return if events.is_empty() { Err(error) } else { Ok(events) };
                    }
                }
                Rebalance::Revoke(partitions) => {
                    let lost = self.client.0.assignment_lost();
                    events.push(Event::Revoked { partitions, lost });
                    // One at a time: the answer to this one comes before the next is looked at.
                    break;
                }
            }
        }
        Ok(events)
    }

    fn rebalances(&self) -> std::sync::MutexGuard<'_, VecDeque<Rebalance>> {
        self.client.0.context().rebalances.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn pop(&self) -> Option<Rebalance> {
        self.rebalances().pop_front()
    }

    fn client_error(&self, error: KafkaError) -> Result<()> {
        match error.rdkafka_error_code() {
            // A subscribed topic that does not exist yet has been logged by the context; it is read when it comes.
            Some(Code::PartitionEOF | Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) => Ok(()),
            // librdkafka tries again by itself, unless it has given the client up.
            Some(code) if of_code(code) == ErrorKind::Retry && !self.is_given_up() => {
                tracing::warn!(target: "lakefeed", error = %error, "Kafka client");
                Ok(())
            }
            _ => Err(self.failed(&format!("reading from Kafka at {} failed", self.settings.bootstrap()), error)),
        }
    }

    /// Finds the positions, cuts off the queues and takes the partitions.
    fn assign(&mut self, partitions: &[TopicPartition], events: &mut Vec<Event>) -> Result<()> {
        let mut list = TopicPartitionList::new();
        let mut assignments = Vec::with_capacity(partitions.len());
        let mut lost = Vec::new();
        let found = self.committed_list(partitions)?;
        let mut starts = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let metadata = found.find_partition(&partition.topic, partition.partition).map(|e| e.metadata().to_owned());
            let (low, end) = self.watermarks(partition)?;
            let position = self.position(partition, offset_of(&found, partition), (low, end), &mut lost)?;
            starts.push((partition.clone(), Start { metadata: metadata.unwrap_or_default(), end }));
            add(&mut list, partition, position)?;
            assignments.push(Assignment { partition: partition.clone(), position });
        }
        for Assignment { partition, position } in &assignments {
            self.queues.retain(|q| q.partition() != partition);
            self.queues.push(PartitionQueue::take(&self.client.0, partition, *position)?);
        }
        let taken = match self.client.0.rebalance_protocol() {
            RebalanceProtocol::Cooperative => self.client.0.incremental_assign(&list),
            _ => self.client.0.assign(&list),
        };
        taken.map_err(|e| wrap("can't take the assigned partitions", e))?;
        self.begin(&list, assignments.iter().map(|a| (a.partition.clone(), a.position)))?;
        self.committed.extend(assignments.iter().map(|a| (a.partition.clone(), a.position)));
        self.starts.extend(starts);
        events.extend(lost);
        events.push(Event::Assigned(assignments));
        Ok(())
    }

    /// The committed offset of each partition, where there is one.
    ///
    /// # Errors
    /// `Retry`: the coordinator does not answer.
    pub fn committed(&self, partitions: &[TopicPartition]) -> Result<Vec<Option<i64>>> {
        let list = self.committed_list(partitions)?;
        Ok(partitions.iter().map(|partition| offset_of(&list, partition)).collect())
    }

    /// What was found when an assigned partition was taken.
    pub fn start_of(&self, partition: &TopicPartition) -> Option<&Start> {
        self.starts.get(partition)
    }

    fn committed_list(&self, partitions: &[TopicPartition]) -> Result<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&partition.topic, partition.partition);
        }
        let failed = |e| wrap(format!("can't get the committed offsets from {}", self.settings.bootstrap()), e);
        self.client.0.committed_offsets(list, REQUEST_TIMEOUT).map_err(failed)
    }

    /// Where to start: the committed offset if it lies in the log, else its start (and the gap is reported).
    fn position(&self, partition: &TopicPartition, committed: Option<i64>, (low, high): (i64, i64), lost: &mut Vec<Event>) -> Result<i64> {
        match committed {
            None if self.reset_to_latest => Ok(high),
            None => Ok(low),
            Some(offset) if offset > high => Err(made_again(partition, format_args!("the committed offset {offset}"), high)),
            Some(offset) if offset < low => {
                lost.push(Event::RecordsLost { partition: partition.clone(), from: offset, to: low });
                Ok(low)
            }
            Some(offset) => Ok(offset),
        }
    }

    pub(crate) fn watermarks(&self, partition: &TopicPartition) -> Result<(i64, i64)> {
        let asked = self.client.0.fetch_watermarks(&partition.topic, partition.partition, REQUEST_TIMEOUT);
        asked.map_err(|e| wrap(format!("{partition}: can't get the log's start and end"), e))
    }

    /// Makes sure that the log holds an offset that has been read from it before.
    ///
    /// # Errors
    /// `Fatal`: it ends before. When the brokers can't be asked now, that is logged only.
    pub fn expect_offset(&self, partition: &TopicPartition, offset: i64) -> Result<()> {
        match self.watermarks(partition) {
            Ok((_, high)) if offset >= high => Err(made_again(partition, format_args!("offset {offset}, which was read before,"), high)),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::Retry => {
                tracing::warn!(target: "lakefeed", %partition, error = %error.chain(), "The end of the log is not known now");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Commits offsets (of the next record to read), each with a text of up to 4,096 bytes (`offset.metadata.max.bytes`), and waits for the
    /// answer.
    ///
    /// # Errors
    /// `Retry`: not committed now; what was published is recognised when it is read again.
    pub fn commit(&mut self, offsets: &[(TopicPartition, i64, String)]) -> Result<()> {
        if offsets.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        for (partition, offset, metadata) in offsets {
            add(&mut list, partition, *offset)?;
            if let Some(mut element) = list.find_partition(&partition.topic, partition.partition).filter(|_| !metadata.is_empty()) {
                element.set_metadata(metadata);
            }
        }
        self.client.0.commit(&list, CommitMode::Sync).map_err(|e| self.failed("can't commit the offsets", e))?;
        self.committed.extend(offsets.iter().map(|(partition, offset, _)| (partition.clone(), *offset)));
        Ok(())
    }

    /// Whether librdkafka has given this client up: nothing comes out of it any more, a new one may do better.
    pub fn is_given_up(&self) -> bool {
        self.client.0.client().fatal_error().is_some()
    }

    /// An error with the reason behind it: of a client that can't go on librdkafka says here only that it can't.
    fn failed(&self, what: &str, cause: KafkaError) -> Error {
        match self.client.0.client().fatal_error() {
            Some((Code::FencedInstanceId, _)) => Error::fatal(format!(
                "{what}: another member of the group has come with the group.instance.id of this one, {}; give each worker its own",
                self.settings.get("group.instance.id").unwrap_or_default()
            ))
            .with_source(cause),
            // KIP-848: the place of a static member that is gone is free when its session has run out.
            Some((Code::UnreleasedInstanceId, reason)) => Error::retry(format!("{what}: {reason}")).with_source(cause),
            Some((_, reason)) => Error::fatal(format!("{what}: {reason}")).with_source(cause),
            None => wrap(what, cause),
        }
    }

    /// Gives up revoked partitions; the answer to [`Event::Revoked`].
    ///
    /// # Errors
    /// The client is broken.
    pub fn release(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.queues.retain(|q| !partitions.contains(q.partition()));
        self.starts.retain(|partition, _| !partitions.contains(partition));
        self.committed.retain(|partition, _| !partitions.contains(partition));
        if let Some(fetcher) = &mut self.fetcher {
            fetcher.release(partitions);
        }
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&partition.topic, partition.partition);
        }
        unassign(&self.client.0, &list).map_err(|e| wrap("can't give up the revoked partitions", e))
    }

    /// The partitions that are ours.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.queues.iter().map(|q| q.partition().clone()).collect()
    }

    /// What a transaction needs to commit offsets for this member.
    ///
    /// # Errors
    /// The consumer has no group.
    pub(crate) fn group_metadata(&self) -> Result<ConsumerGroupMetadata> {
        self.client.0.group_metadata().ok_or_else(|| Error::fatal("the consumer is in no group"))
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // The client closes after this: nobody answers its last rebalance but the context itself.
        self.client.0.context().closing.store(true, Ordering::Release);
        let unanswered = std::mem::take(&mut *self.rebalances());
        if !unanswered.is_empty() {
            // A failure leaves the group by the session timeout.
            let _ = self.client.0.unassign();
        }
    }
}

/// How a member takes part, unless that is set: a rebalance stops only what moves, and takes two rounds, each of which waits for the next heartbeat of every
/// member ("It can be adjusted even lower to control the expected time for normal rebalances", Kafka on `heartbeat.interval.ms`).
fn member_settings(settings: ClientSettings) -> ClientSettings {
    // The protocol of KIP-848 leaves both to the broker, and librdkafka refuses them.
    if settings.get("group.protocol").is_some_and(|protocol| protocol.eq_ignore_ascii_case("consumer")) {
        return settings;
    }
    settings.or("partition.assignment.strategy", "cooperative-sticky").or("heartbeat.interval.ms", "500")
}

/// An offset that can't be in this log: it is another one.
pub(crate) fn made_again(partition: &TopicPartition, what: std::fmt::Arguments<'_>, high: i64) -> Error {
    Error::fatal(format!(
        "{partition}: {what} lies past the end of the log, {high}: the topic was deleted and made again; reset the offsets of the group, and \
         move what was written of the old topic out of the way"
    ))
}

fn offset_of(list: &TopicPartitionList, partition: &TopicPartition) -> Option<i64> {
    match list.find_partition(&partition.topic, partition.partition)?.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }
}

fn add(list: &mut TopicPartitionList, partition: &TopicPartition, offset: i64) -> Result<()> {
    list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(offset))
        .map_err(|e| wrap(format!("{partition}: offset {offset} is not valid"), e))
}

pub(crate) fn list_of(offsets: &[(TopicPartition, i64)]) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in offsets {
        add(&mut list, partition, *offset)?;
    }
    Ok(list)
}
