//! A member of a consumer group.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lakefeed_core::{Assignment, Error, ErrorKind, Records, Result, TopicPartition};
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, ConsumerGroupMetadata, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::statistics::{Statistics, Topic as TopicStatistics};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use crate::ClientSettings;
use crate::batch::{PartitionQueue, Signal};
use crate::error::{of_code, wrap};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Records of one read at most; their bytes are bounded by the caller.
const READ_RECORDS_MAX: usize = 10_000;

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

#[derive(Debug)]
enum Rebalance {
    Assign(Vec<TopicPartition>),
    Revoke(Vec<TopicPartition>),
}

/// Collects rebalances for the task to answer. Once the consumer closes nobody is left to answer, so they are answered at once.
#[derive(Debug, Default)]
struct Context {
    rebalances: Mutex<VecDeque<Rebalance>>,
    closing: AtomicBool,
    /// Records between what is committed and the end of the log, as librdkafka told last.
    lag: Mutex<HashMap<TopicPartition, i64>>,
}

impl ClientContext for Context {
    fn error(&self, error: KafkaError, reason: &str) {
        // librdkafka retries by itself; what matters to the task comes out of `poll`.
        tracing::warn!(target: "lakefeed", error = %error, "Kafka client: {reason}");
    }

    fn stats(&self, statistics: Statistics) {
        let of_topic = |(topic, of): (String, TopicStatistics)| {
            let topic: Arc<str> = topic.into();
            of.partitions.into_values().map(move |p| (TopicPartition::new(Arc::clone(&topic), p.partition), p.consumer_lag))
        };
        let lag = statistics.topics.into_iter().flat_map(of_topic).filter(|(_, lag)| *lag >= 0).collect();
        // Locked for an assignment or a copy only.
        *self.lag.lock().unwrap_or_else(|e| e.into_inner()) = lag;
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, err: RDKafkaRespErr, list: &mut TopicPartitionList) {
        if self.closing.load(Ordering::Acquire) {
            // A failure leaves the group by the session timeout.
            let _ = if err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS { Ok(()) } else { unassign(consumer, list) };
            return;
        }
        let partitions = names(list);
        let rebalance = match err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Rebalance::Assign(partitions),
            _ => Rebalance::Revoke(partitions),
        };
        // The lock is held for a push or a pop only; poisoned it still holds the queue.
        self.rebalances.lock().unwrap_or_else(|e| e.into_inner()).push_back(rebalance);
    }
}

/// A member of a consumer group, which reads `read_committed` and commits only what it is told to.
///
/// Memory: librdkafka keeps at most `queued.max.messages.kbytes` per partition ahead of the reader (2 MiB unless set otherwise).
#[derive(Debug)]
pub struct Consumer {
    // Declared before the client: the queues must be gone when the client is destroyed.
    queues: Vec<PartitionQueue>,
    client: ClientHolder,
    starts: HashMap<TopicPartition, Start>,
    /// The queue to look at next, so that no partition starves another.
    next: usize,
    reset_to_latest: bool,
    /// What librdkafka keeps of one partition ahead of the reader.
    queue_kbytes: usize,
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
struct ClientHolder(BaseConsumer<Context>);

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
        let settings = reader_settings(settings)
            .or("partition.assignment.strategy", "cooperative-sticky")
            .or("topic.metadata.refresh.interval.ms", "5000");
        let failed = |e| wrap(format!("can't read from Kafka at {}", settings.bootstrap()), e);
        let client: BaseConsumer<Context> = settings.native().create_with_context(Context::default()).map_err(failed)?;
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        client.subscribe(&names).map_err(failed)?;
        let reset_to_latest = reset == "latest";
        let queue_kbytes = settings.get("queued.max.messages.kbytes").and_then(|n| n.parse().ok()).unwrap_or(2048);
        Ok(Self {
            queues: Vec::new(),
            client: ClientHolder(client),
            starts: HashMap::new(),
            next: 0,
            reset_to_latest,
            queue_kbytes,
            settings,
        })
    }

    /// Serves the group: call it often, whether there are rows or not, at least every `max.poll.interval.ms`. Waits at most `timeout` when
    /// nothing happens.
    ///
    /// # Errors
    /// `Retry`: the brokers can't be asked for positions now; the next call goes on. Others end the task.
    pub fn poll(&mut self, timeout: Duration) -> Result<Vec<Event>> {
        match self.client.0.poll(timeout) {
            None => {}
            Some(Ok(message)) => {
                use rdkafka::Message as _;
                // Not possible as long as queues are cut off before they are assigned. A row must not vanish, so the task starts over.
                return Err(Error::fatal(format!("{}-{}: a record came out of the wrong queue", message.topic(), message.partition())));
            }
            Some(Err(error)) => self.client_error(error)?,
        }
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
            Some(code) if of_code(code) == ErrorKind::Retry => {
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

    fn watermarks(&self, partition: &TopicPartition) -> Result<(i64, i64)> {
        let asked = self.client.0.fetch_watermarks(&partition.topic, partition.partition, REQUEST_TIMEOUT);
        asked.map_err(|e| wrap(format!("{partition}: can't get the log's start and end"), e))
    }

    /// The next records that are there, of one partition; `None` when there are none. At most about `max_bytes`. A gap that opens while reading
    /// is reported as [`Event::RecordsLost`].
    ///
    /// # Errors
    /// `Retry`: the brokers can't be asked now.
    pub fn read(&mut self, max_bytes: usize) -> Result<(Option<Records>, Option<Event>)> {
        for _ in 0..self.queues.len() {
            self.next = (self.next + 1) % self.queues.len();
            let (records, signal) = self.queues[self.next].read(READ_RECORDS_MAX, max_bytes, 0);
            let event = match signal {
                Some(Signal::OutOfRange) => Some(self.overtaken(self.next)?),
                Some(Signal::Error(code)) => {
                    tracing::warn!(target: "lakefeed", partition = %self.queues[self.next].partition(), error = %code, "Reading failed, trying again");
                    None
                }
                Some(Signal::End) | None => None,
            };
            if !records.is_empty() || event.is_some() {
                return Ok(((!records.is_empty()).then_some(records), event));
            }
        }
        Ok((None, None))
    }

    /// The log's start has passed the position: goes on from the start, and says what is missing.
    fn overtaken(&self, queue: usize) -> Result<Event> {
        let partition = self.queues[queue].partition().clone();
        let (low, high) = self.watermarks(&partition)?;
        let position = self.queues[queue].position();
        if position > high {
            return Err(made_again(&partition, format_args!("the position {position}"), high));
        }
        let from = position.min(low);
        self.seek(&partition, low)?;
        Ok(Event::RecordsLost { partition, from, to: low })
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

    /// Reads a partition from another offset.
    ///
    /// # Errors
    /// `Retry`: the client could not do it now.
    pub fn seek(&self, partition: &TopicPartition, offset: i64) -> Result<()> {
        let done = self.client.0.seek(&partition.topic, partition.partition, Offset::Offset(offset), REQUEST_TIMEOUT);
        done.map_err(|e| wrap(format!("{partition}: can't go back to offset {offset}"), e))
    }

    /// Commits offsets (of the next record to read), each with a text of up to 4,096 bytes (`offset.metadata.max.bytes`), and waits for the
    /// answer.
    ///
    /// # Errors
    /// `Retry`: not committed now; what was published is recognised when it is read again.
    pub fn commit(&self, offsets: &[(TopicPartition, i64, String)]) -> Result<()> {
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
        self.client.0.commit(&list, CommitMode::Sync).map_err(|e| self.failed("can't commit the offsets", e))
    }

    /// An error with the reason behind it: of a client that can't go on librdkafka says here only that it can't.
    fn failed(&self, what: &str, cause: KafkaError) -> Error {
        match self.client.0.client().fatal_error() {
            Some((Code::FencedInstanceId, _)) => Error::fatal(format!(
                "{what}: another member of the group has come with the group.instance.id of this one, {}; give each worker its own",
                self.settings.get("group.instance.id").unwrap_or_default()
            ))
            .with_source(cause),
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
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&partition.topic, partition.partition);
        }
        unassign(&self.client.0, &list).map_err(|e| wrap("can't give up the revoked partitions", e))
    }

    /// About the bytes that librdkafka holds at most ahead of the reader, for the partitions that are ours: its queues, and one and a half times
    /// as much for what it keeps of each message (600 bytes beside a payload of 400).
    pub fn queue_bytes(&self) -> usize {
        self.queues.len() * self.queue_kbytes * 1024 / 2 * 5
    }

    /// For each partition that is ours the records between the committed offset and the end of the log, where that is known; some seconds old.
    pub fn lag(&self) -> Vec<(TopicPartition, Option<i64>)> {
        let lag = self.client.0.context().lag.lock().unwrap_or_else(|e| e.into_inner());
        self.queues.iter().map(|q| (q.partition().clone(), lag.get(q.partition()).copied())).collect()
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

/// What every reader needs: no commits behind our back, whole transactions only, and queues that feed a fast reader
/// (librdkafka's defaults pause it for up to a second).
pub(crate) fn reader_settings(settings: &ClientSettings) -> ClientSettings {
    settings
        .clone()
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .or("isolation.level", "read_committed")
        .or("queued.min.messages", "1000000")
        .or("queued.max.messages.kbytes", "2048")
        .or("fetch.message.max.bytes", "524288")
        .or("fetch.max.bytes", "8388608")
        .or("fetch.queue.backoff.ms", "2")
        // One fetch is under way per broker. When only partitions that are read to their end take part in it, the others' queues being full, it
        // waits this long for new records, and the others run dry: with librdkafka's 500 ms a backlog is read at a third of the speed.
        .or("fetch.wait.max.ms", "20")
        .or("check.crcs", "false")
        .or("reconnect.backoff.max.ms", "2000")
}

/// An offset that can't be in this log: it is another one.
fn made_again(partition: &TopicPartition, what: std::fmt::Arguments<'_>, high: i64) -> Error {
    Error::fatal(format!(
        "{partition}: {what} lies past the end of the log, {high}: the topic was deleted and made again; reset the offsets of the group, and \
         move what was written of the old topic out of the way"
    ))
}

fn unassign(consumer: &BaseConsumer<Context>, list: &TopicPartitionList) -> std::result::Result<(), KafkaError> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
        _ => consumer.unassign(),
    }
}

fn names(list: &TopicPartitionList) -> Vec<TopicPartition> {
    list.elements().iter().map(|e| TopicPartition::new(e.topic(), e.partition())).collect()
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
