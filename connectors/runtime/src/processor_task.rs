//! The task of a processor.
//!
//! With transactions: what a batch of records makes (output, dead letters aside) and the offsets of the batch become visible together;
//! then the state is saved with the offset that it reaches. A crash in between leaves the state behind the committed offsets; it catches
//! up from the input topic when the partition is assigned, without output. So every change is in the stream once.
//!
//! Without transactions: output, acknowledged; state, saved; offsets, committed. After a crash rows may come twice, with the same eventID.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lakefeed_core::{Assignment, Error, Make, Output, Processor, Records, Result, Share, TopicPartition};
use lakefeed_kafka::{Consumer, Event, Producer, RangeReader, TopicSpec, ensure_topic, log_ends};

use crate::dead_letters::DeadLetters;
use crate::incoming::{Incoming, Plain};
use crate::outgoing::Outgoing;
use crate::sink_task::report_lost;
use crate::state::{PartitionState, StateStore};
use crate::task::{BusyTime, TaskEnv, wrong_kind};

/// What one read takes from one partition at most, about.
const READ_BYTES: usize = 1 << 20;
/// The longest a transaction stays open while records keep coming, as in Kafka Streams.
const COMMIT_INTERVAL: Duration = Duration::from_millis(100);
const TOPIC_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs until the worker stops or something can't be mended.
pub(crate) fn run(env: &TaskEnv, store: &StateStore, mut first: Option<Box<dyn Processor>>) -> Result<()> {
    let Make::Processor(make) = env.connector.plugin.make else { return Err(wrong_kind(env)) };
    env.run(|env| {
        let processor = first.take().map_or_else(|| make(&env.connector.config, &env.context), Ok)?;
        ProcessorTask::open(env, store, processor)?.run()
    })
}

struct ProcessorTask<'a> {
    env: &'a TaskEnv,
    store: &'a StateStore,
    processor: Box<dyn Processor>,
    /// What makes JSON of values, if they are something else.
    incoming: Option<Incoming>,
    /// Records that wait for the registry to answer.
    waiting: Option<Records>,
    consumer: Consumer,
    producer: Producer,
    transactional: bool,
    dead_letters: DeadLetters,
    states: HashMap<TopicPartition, PartitionState>,
    /// Records below these offsets are in the state already (without transactions only).
    known_below: HashMap<TopicPartition, i64>,
    /// The offsets that the open batch reaches, and when it was opened.
    open: Option<(HashMap<TopicPartition, i64>, Instant)>,
    topics: HashSet<String>,
    out: Output,
    /// What becomes of rows before they are sent, if they don't go as they are; and where they are then.
    outgoing: Option<Outgoing>,
    converted: Output,
    busy: BusyTime,
    /// What librdkafka's queues hold of the memory budget.
    queues: Share,
}

impl<'a> ProcessorTask<'a> {
    fn open(env: &'a TaskEnv, store: &'a StateStore, processor: Box<dyn Processor>) -> Result<Self> {
        let transactional = transactional(env)?;
        let consumer = env.consumer()?;
        let mut settings = env.producer_settings().or("linger.ms", "20").or("queue.buffering.max.kbytes", "8192");
        if transactional {
            // With more, librdkafka's idempotent producer polls without a pause while batches wait for their turn.
            settings = settings.or("max.in.flight", "1");
            // Stable over restarts, so that a new incarnation ends the transaction of the one that crashed; not shared with other workers.
            let instance = store.instance(&env.context.incarnation)?;
            let id = format!("lakefeed-{}-{}-{instance}", env.connector.name, env.context.task);
            settings = settings.or("transactional.id", &id).or("transaction.timeout.ms", "60000").or("message.timeout.ms", "60000");
        }
        let producer = Producer::new(&settings)?;
        if transactional {
            producer.init_transactions()?;
        }
        Ok(Self {
            env,
            store,
            processor,
            incoming: Incoming::open(env)?,
            waiting: None,
            consumer,
            producer,
            transactional,
            dead_letters: DeadLetters::open(env)?,
            states: HashMap::new(),
            known_below: HashMap::new(),
            open: None,
            topics: HashSet::new(),
            out: Output::default(),
            outgoing: Outgoing::open(env)?,
            converted: Output::default(),
            busy: BusyTime::new(),
            queues: Share::of(&env.context.budget),
        })
    }

    fn run(&mut self) -> Result<()> {
        let mut idle = true;
        while !self.env.orders.stopped() {
            self.serve_group(if idle { Duration::from_millis(10) } else { Duration::ZERO })?;
            self.queues.set(self.env.queue_share(&self.consumer));
            idle = self.env.paused() || !self.read()?;
            let due = self.open.as_ref().is_some_and(|(_, since)| idle || since.elapsed() >= COMMIT_INTERVAL);
            if due {
                self.commit()?;
            }
        }
        self.commit()
    }

    fn serve_group(&mut self, wait: Duration) -> Result<()> {
        for event in self.env.serve_group(&mut self.consumer, wait)? {
            match event {
                Event::Assigned(assignments) => {
                    for assignment in &assignments {
                        self.assigned(assignment)?;
                    }
                }
                Event::Revoked { partitions, lost } => {
                    if lost && self.open.is_some() {
                        return Err(Error::retry("the partitions were taken away in the middle of a batch"));
                    }
                    self.commit()?;
                    self.waiting.take_if(|records| partitions.contains(&partition_of(records)));
                    self.states.retain(|p, _| !partitions.contains(p));
                    self.consumer.release(&partitions)?;
                }
                Event::RecordsLost { partition, from, to } => report_lost(self.env, &partition, from, to),
            }
        }
        Ok(())
    }

    /// Brings the state of a partition to the offset at which reading starts.
    fn assigned(&mut self, assignment: &Assignment) -> Result<()> {
        let Assignment { partition, position } = assignment;
        let mut state = self.store.partition(&self.env.connector.name, partition)?;
        match state.mark() {
            Some(mark) if mark == *position => {}
            Some(mark) if mark > *position && !self.transactional => {
                self.known_below.insert(partition.clone(), mark);
            }
            Some(mark) if mark > *position => {
                tracing::warn!(target: "lakefeed", connector = %self.env.connector.name, %partition, mark, position, "The group's offsets were set back; the state is built anew");
                state.reset()?;
                self.catch_up(&mut state, partition, None, *position)?;
            }
            mark => self.catch_up(&mut state, partition, mark, *position)?,
        }
        tracing::info!(target: "lakefeed", connector = %self.env.connector.name, %partition, position, "Assigned");
        self.states.insert(partition.clone(), state);
        Ok(())
    }

    /// Processes the records that the state does not know yet, without output.
    fn catch_up(&mut self, state: &mut PartitionState, partition: &TopicPartition, mark: Option<i64>, position: i64) -> Result<()> {
        let settings = self.env.consumer_settings();
        let ends = log_ends(&settings, &partition.topic, TOPIC_TIMEOUT)?;
        let low = ends.iter().find(|(p, ..)| p == partition).map_or(0, |(_, low, _)| *low);
        let start = mark.unwrap_or(low).max(low);
        if start > mark.unwrap_or(0) {
            tracing::warn!(
                target: "lakefeed", connector = %self.env.connector.name, %partition, missing_from = mark.unwrap_or(0), missing_to = start,
                "The state is built from what is left in the topic; items whose last write is gone count as new"
            );
        }
        if start >= position {
            return Ok(());
        }
        tracing::info!(target: "lakefeed", connector = %self.env.connector.name, %partition, start, position, "Restoring the state");
        let mut reader = RangeReader::new(&settings, partition, start, position)?;
        while let Some(records) = reader.read()? {
            self.out.clear();
            let plain = match &mut self.incoming {
                Some(incoming) => {
                    let plain = incoming.plain(&records)?;
                    plain
                        .ok_or_else(|| Error::retry(format!("{partition}: the state can't be restored without a Schema Registry")))?
                        .records
                }
                None => records.clone(),
            };
            self.processor.process(&plain, state, &mut self.out)?;
            state.save(records.next_offset().unwrap_or(start))?;
        }
        self.out.clear();
        state.save(position)
    }

    /// Processes what is there of one partition; false when nothing was.
    fn read(&mut self) -> Result<bool> {
        let due = self.incoming.as_ref().is_none_or(Incoming::is_due);
        let mut records = match self.waiting.take_if(|_| due) {
            Some(records) => records,
            None if self.waiting.is_some() => return Ok(false),
            None => {
                let (records, event) = self.consumer.read(READ_BYTES)?;
                if let Some(Event::RecordsLost { partition, from, to }) = event {
                    report_lost(self.env, &partition, from, to);
                }
                let Some(records) = records else { return Ok(false) };
                records
            }
        };
        let partition = partition_of(&records);
        if let Some(known) = self.known_below.get(&partition) {
            records = records.from_offset(*known);
        }
        let Some(next) = records.next_offset() else { return Ok(true) };
        let plain = match &mut self.incoming {
            None => None,
            Some(incoming) => match incoming.plain(&records)? {
                None => {
                    self.waiting = Some(records);
                    return Ok(false);
                }
                plain => plain,
            },
        };
        self.busy.mark(&self.env.stats);
        self.process(&records, plain, &partition)?;
        self.send(&records.topic)?;
        // After the rows that they made: who has seen the records counted has seen their rows counted.
        self.env.stats.bytes_in.add(records.payload_bytes() as u64);
        self.env.stats.records_in.add(records.len() as u64);
        if let Some((offsets, _)) = &mut self.open {
            offsets.insert(partition, next);
        }
        Ok(true)
    }

    /// `plain`: the records as the processor reads them, if they came as something else.
    fn process(&mut self, records: &Records, plain: Option<Plain>, partition: &TopicPartition) -> Result<()> {
        if self.outgoing.is_none() {
            self.create_topics(&records.topic, self.processor.output_topics(&records.topic))?;
        }
        self.env.topics.used(&records.topic);
        let state =
            self.states.get_mut(partition).ok_or_else(|| Error::fatal(format!("{partition}: records came before the assignment")))?;
        self.out.clear();
        let read = plain.as_ref().map_or(records, |plain| &plain.records);
        self.processor.process(read, state, &mut self.out)?;
        for rejected in plain.iter().flat_map(|plain| &plain.rejected) {
            self.dead_letters.record(self.env, records, rejected, None)?;
        }
        for rejected in &mut self.out.rejected {
            // Dead letters are the records as they came.
            rejected.row = records.row_of(read.offsets[rejected.row]).unwrap_or(rejected.row);
            self.dead_letters.record(self.env, records, rejected, None)?;
        }
        Ok(())
    }

    fn send(&mut self, input: &str) -> Result<()> {
        if let Some(outgoing) = &mut self.outgoing {
            self.converted.clear();
            for refused in outgoing.take(&self.out, &mut self.converted)? {
                self.dead_letters.outgoing_row(self.env, &refused)?;
            }
            let mut topics: Vec<_> = self.converted.rows().iter().map(|row| self.converted.topic(row)).collect();
            topics.dedup();
            let topics = topics.into_iter().map(str::to_owned).collect();
            self.create_topics(input, topics)?;
        }
        if self.open.is_none() {
            if self.transactional {
                self.producer.begin()?;
            }
            self.open = Some((HashMap::new(), Instant::now()));
        }
        let out = if self.outgoing.is_some() { &self.converted } else { &self.out };
        self.producer.send(out)?;
        self.env.stats.rows_out.add(out.rows().len() as u64);
        self.env.stats.bytes_out.add(out.bytes() as u64);
        Ok(())
    }

    /// Makes those of the output topics of an input topic that are met for the first time, with as many partitions unless topic.creation says otherwise.
    fn create_topics(&mut self, input: &str, mut outputs: Vec<String>) -> Result<()> {
        outputs.retain(|topic| !self.topics.contains(topic));
        if let Some(topic) = outputs.iter().find(|topic| self.env.connector.config.list("topics").contains(&topic.as_str())) {
            let name = &self.env.connector.name;
            return Err(Error::config(format!(
                "{name}: the transforms send rows of topic {input} to topic {topic}, which is read: name another one"
            )));
        }
        if self.env.worker.creates_topics() && !outputs.is_empty() {
            let admin = self.env.admin_settings();
            let count = i32::try_from(log_ends(&admin, input, TOPIC_TIMEOUT)?.len()).ok();
            for topic in &outputs {
                let spec = self.env.connector.creation.of(topic).cloned().unwrap_or_else(|| TopicSpec::with_partitions(count));
                ensure_topic(&admin, topic, &spec, TOPIC_TIMEOUT)?;
            }
        }
        self.topics.extend(outputs);
        Ok(())
    }

    /// Makes the open batch final.
    fn commit(&mut self) -> Result<()> {
        let Some((offsets, _)) = self.open.take() else { return Ok(()) };
        let list: Vec<_> = offsets.into_iter().collect();
        self.dead_letters.flush(self.env)?;
        if self.transactional {
            self.producer.commit(&self.consumer, &list)?;
        } else {
            self.producer.flush(self.env.worker.flush_timeout())?;
        }
        for (partition, next) in &list {
            if let Some(state) = self.states.get_mut(partition) {
                state.save(*next)?;
            }
        }
        if !self.transactional {
            self.consumer.commit(&list.into_iter().map(|(partition, next)| (partition, next, String::new())).collect::<Vec<_>>())?;
        }
        self.busy.mark(&self.env.stats);
        Ok(())
    }
}

fn transactional(env: &TaskEnv) -> Result<bool> {
    let on = env.worker.transactions();
    if !on && env.connector.config.text("exactly.once.support") == "required" {
        return Err(Error::config(format!(
            "{}: exactly.once.support = 'required', but exactly.once.source.support of the worker is disabled",
            env.connector.name
        )));
    }
    if !on && env.context.task == 0 {
        tracing::info!(target: "lakefeed", connector = %env.connector.name, "Without transactions: at-least-once, duplicates have the same eventID");
    }
    Ok(on)
}

fn partition_of(records: &Records) -> TopicPartition {
    TopicPartition::new(Arc::clone(&records.topic), records.partition)
}
