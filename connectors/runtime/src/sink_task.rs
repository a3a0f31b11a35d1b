//! The task of a sink.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::{Array, BinaryArray, UInt32Array};
use arrow_select::take::take;
use lakefeed_core::{Batch, Error, ErrorKind, Headers, Make, Records, Result, Share, Sink, SinkContext, TopicPartition};
use lakefeed_formats::{Chain, Converter, Decoded, Decoder, DecoderOptions, key_texts};
use lakefeed_kafka::{Consumer, Event};

use crate::converters::Reading;
use crate::dead_letters::DeadLetters;
use crate::layout_mark::LayoutMarks;
use crate::measure::Lag;
use crate::schema_lookup::SchemaLookup;
use crate::task::{BusyTime, TaskEnv, wrong_kind};

/// How long the group is waited for when there is nothing to read: from the first time on it doubles.
const WAIT_MIN: Duration = Duration::from_millis(1);
const WAIT_MAX: Duration = Duration::from_millis(20);

/// What one read takes from one partition at most, about.
const READ_BYTES: usize = 1 << 20;

/// Runs until the worker stops or something can't be mended.
pub(crate) fn run(env: &TaskEnv, mut first: Option<Box<dyn Sink>>) -> Result<()> {
    let Make::Sink(make) = env.connector.plugin.make else { return Err(wrong_kind(env)) };
    env.run(|env| {
        let sink = first.take().map_or_else(|| make(&env.connector.config, &env.context), Ok)?;
        SinkTask::open(env, sink)?.run()
    })
}

struct SinkTask<'a> {
    env: &'a TaskEnv,
    consumer: Consumer,
    sink: Box<dyn Sink>,
    dead_letters: DeadLetters,
    converter: Converter,
    /// By topic.
    decoders: HashMap<Arc<str>, Decoders>,
    schemas: SchemaLookup,
    /// How keys are read, if they are, and where their schemas are.
    keys: Option<(Converter, SchemaLookup)>,
    /// Records that wait for the registry to answer.
    waiting: Option<Records>,
    committed: HashMap<TopicPartition, i64>,
    marks: LayoutMarks,
    busy: BusyTime,
    /// What librdkafka's queues hold of the memory budget.
    queues: Share,
    lag: Lag,
}

/// What makes columns of a topic's records. It remembers the schema that it has seen.
struct Decoders {
    values: Decoder,
    keys: Option<Decoder>,
    chain: Chain,
}

impl<'a> SinkTask<'a> {
    fn open(env: &'a TaskEnv, sink: Box<dyn Sink>) -> Result<Self> {
        let consumer = env.consumer()?;
        let dead_letters = DeadLetters::open(env)?;
        let marks = LayoutMarks::new(layout(env, &*sink));
        let values = env.worker.value_converter(&env.connector.config)?;
        let lookup = |reading: &Reading| SchemaLookup::open(&env.connector, reading.registry.as_ref());
        let keys = env.worker.key_converter(&env.connector)?.map(|keys| Ok((keys.converter.clone(), lookup(&keys)?))).transpose()?;
        Ok(Self {
            env,
            consumer,
            sink,
            dead_letters,
            schemas: lookup(&values)?,
            converter: values.converter,
            decoders: HashMap::new(),
            keys,
            waiting: None,
            committed: HashMap::new(),
            marks,
            busy: BusyTime::new(),
            queues: Share::of(&env.context.budget),
            lag: Lag::new(env),
        })
    }

    fn run(&mut self) -> Result<()> {
        let interval = self.env.worker.commit_interval();
        let mut commit_at = Instant::now() + interval;
        let mut wait = WAIT_MAX;
        while !self.env.orders.stopped() {
            self.serve_group(wait)?;
            self.queues.set(self.env.queue_share(&self.consumer));
            let idle = self.env.paused() || !(self.sink.ready() && self.read()?);
            // Rows that come in the middle of a wait are read after it: short waits first, or a fast reader sleeps more than it works.
            wait = if idle { (wait * 2).clamp(WAIT_MIN, WAIT_MAX) } else { Duration::ZERO };
            let caught_up = self.caught_up();
            self.sink.caught_up(&caught_up);
            let mut context = SinkContext::default();
            self.sink.poll(&mut context)?;
            self.seek(context.seeks)?;
            if Instant::now() >= commit_at {
                self.commit()?;
                commit_at = Instant::now() + interval;
            }
        }
        let partitions = self.consumer.assignment();
        self.give_up(&partitions, false, self.env.worker.shutdown_timeout())
    }

    fn serve_group(&mut self, wait: Duration) -> Result<()> {
        for event in self.env.serve_group(&mut self.consumer, wait)? {
            match event {
                Event::Assigned(assignments) => {
                    for a in &assignments {
                        tracing::info!(target: "lakefeed", connector = %self.env.connector.name, partition = %a.partition, position = a.position, "Assigned");
                        let start = self.consumer.start_of(&a.partition).cloned().unwrap_or_default();
                        if let Some(earlier) = self.marks.assigned(&a.partition, a.position, &start) {
                            tracing::error!(
                                target: "lakefeed", connector = %self.env.connector.name, partition = %a.partition, from = a.position,
                                to = start.end, earlier, now = layout(self.env, &*self.sink),
                                "The connector did not stop cleanly, and says now that rows go elsewhere: rows from these offsets that it had \
                                 published already are written again under the new layout. To avoid that, stop it, start it with the \
                                 earlier keys, stop it cleanly, and change them then"
                            );
                        }
                    }
                    self.sink.assigned(&assignments)?;
                }
                Event::Revoked { partitions, lost } => {
                    self.give_up(&partitions, lost, self.env.worker.shutdown_timeout())?;
                    self.consumer.release(&partitions)?;
                }
                Event::RecordsLost { partition, from, to } => report_lost(self.env, &partition, from, to),
            }
        }
        Ok(())
    }

    /// Publishes what can be published, and commits it.
    fn give_up(&mut self, partitions: &[TopicPartition], lost: bool, deadline: Duration) -> Result<()> {
        if partitions.is_empty() {
            return Ok(());
        }
        self.forget_waiting(|partition| partitions.contains(partition));
        let durable = match self.sink.revoked(partitions, if lost { Duration::ZERO } else { deadline }) {
            Ok(durable) => durable,
            Err(error) if error.kind() != ErrorKind::Retry => return Err(error),
            Err(error) => {
                // Whoever gets the partitions starts from the committed offsets.
                tracing::warn!(target: "lakefeed", connector = %self.env.connector.name, error = %error.chain(), "Not everything could be published");
                Vec::new()
            }
        };
        let result = if lost {
            Ok(())
        } else {
            // Committed again though they have not moved: the mark beside them changes. A group that has gone on without this member
            // refuses it; whoever has the partitions then reads from the offsets that are committed.
            self.dead_letters.flush(self.env).and_then(|()| self.commit_or_warn(durable, true))
        };
        self.committed.retain(|p, _| !partitions.contains(p));
        result
    }

    /// Drops the records that wait, if they are of such a partition: they are read again.
    fn forget_waiting(&mut self, of: impl Fn(&TopicPartition) -> bool) {
        let partition = |records: &Records| TopicPartition { topic: Arc::clone(&records.topic), partition: records.partition };
        self.waiting.take_if(|records| of(&partition(records)));
    }

    /// The next records of one partition; none while the registry does not answer.
    fn next_records(&mut self) -> Result<Option<Records>> {
        let keys_are_due = self.keys.as_ref().is_none_or(|(_, schemas)| schemas.is_due());
        if let Some(records) = self.waiting.take_if(|_| self.schemas.is_due() && keys_are_due) {
            return Ok(Some(records));
        }
        if self.waiting.is_some() {
            return Ok(None);
        }
        let (records, event) = self.consumer.read(READ_BYTES)?;
        if let Some(Event::RecordsLost { partition, from, to }) = event {
            report_lost(self.env, &partition, from, to);
        }
        self.lag.note(self.env, &self.consumer, records.as_ref().and_then(|records| records.timestamps.last().copied()));
        Ok(records)
    }

    /// The partitions of which nothing is left to read now.
    fn caught_up(&self) -> Vec<TopicPartition> {
        if self.env.paused() {
            return self.consumer.assignment();
        }
        let mut partitions = self.consumer.caught_up();
        if let Some(records) = &self.waiting {
            partitions.retain(|partition| partition.topic != records.topic || partition.partition != records.partition);
        }
        partitions
    }

    /// Takes one batch of one partition through the decoder into the sink; false when nothing was there.
    fn read(&mut self) -> Result<bool> {
        let Some(records) = self.next_records()? else { return Ok(false) };
        let connector = &self.env.connector;
        let begin = || Decoders {
            values: Decoder::new(connector.decoder_options(self.converter.clone())),
            keys: self
                .keys
                .as_ref()
                .map(|(converter, _)| Decoder::new(DecoderOptions { converter: converter.clone(), ..DecoderOptions::default() })),
            chain: connector.transforms.chain(),
        };
        let decoders = self.decoders.entry(Arc::clone(&records.topic)).or_insert_with(begin);
        let mut known = self.schemas.teach(&mut decoders.values, &records)?;
        let mut keys = None;
        if let (Some((converter, schemas)), Some(decoder)) = (&mut self.keys, &mut decoders.keys) {
            let (records, single) = keys_as_values(&records, converter);
            known &= schemas.teach(decoder, &records)?;
            keys = known.then(|| {
                let mut keys = decoder.decode(&records);
                keys.single |= single;
                keys
            });
        }
        if !known {
            self.waiting = Some(records);
            return Ok(false);
        }
        self.busy.mark(&self.env.stats);
        self.env.topics.used(&records.topic);
        self.env.stats.bytes_in.add(records.payload_bytes() as u64);
        let decoded = decoders.values.decode(&records);
        let decoded = decoders.chain.apply_with_keys(&records, decoded, keys.as_ref())?;
        for rejected in &decoded.rejected {
            self.dead_letters.record(self.env, &records, rejected, self.sink.reject_store())?;
        }
        self.env.stats.rows_out.add(decoded.rows.num_rows() as u64);
        if let Some(next) = records.next_offset() {
            self.marks.read_to(TopicPartition { topic: Arc::clone(&records.topic), partition: records.partition }, next);
        }
        let mut context = SinkContext::default();
        self.sink.put(batch(&records, decoded)?, &mut context)?;
        for (offset, mut rejected) in context.rejected {
            rejected.row = records
                .row_of(offset)
                .ok_or_else(|| Error::fatal(format!("the sink rejected offset {offset}, which is not in the batch in hand")))?;
            self.dead_letters.record(self.env, &records, &rejected, self.sink.reject_store())?;
        }
        self.seek(context.seeks)?;
        // After the sink has them: who has seen the records counted knows that they are with the sink.
        self.env.stats.records_in.add(records.len() as u64);
        Ok(true)
    }

    fn seek(&mut self, seeks: Vec<(TopicPartition, i64)>) -> Result<()> {
        for (partition, offset) in seeks {
            tracing::info!(target: "lakefeed", connector = %self.env.connector.name, %partition, offset, "Reading again");
            self.forget_waiting(|waiting| *waiting == partition);
            self.consumer.seek(&partition, offset)?;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        for (partition, offset) in self.sink.awaited() {
            self.consumer.expect_offset(&partition, offset)?;
        }
        let durable = self.sink.durable();
        let offsets = self.moved(durable);
        // Dead letters that were not delivered are gone from memory: the task starts over, and the records are read again.
        self.dead_letters.flush(self.env)?;
        self.commit_or_warn(offsets, false)
    }

    /// Commits; what passes is only told of: the next commit covers it, and what was published is recognised when it is read again.
    fn commit_or_warn(&mut self, offsets: Vec<(TopicPartition, i64)>, last: bool) -> Result<()> {
        match self.commit_offsets(offsets, last) {
            Err(error) if error.kind() == ErrorKind::Retry => {
                tracing::warn!(target: "lakefeed", connector = %self.env.connector.name, error = %error.chain(), "Offsets are not committed now");
                Ok(())
            }
            done => done,
        }
    }

    /// Offsets that were not committed yet.
    fn moved(&self, mut offsets: Vec<(TopicPartition, i64)>) -> Vec<(TopicPartition, i64)> {
        offsets.retain(|(partition, offset)| self.committed.get(partition) != Some(offset));
        offsets
    }

    /// Commits offsets, after the rows before them that can't be used are safe. `last`: nothing is published any more after it.
    fn commit_offsets(&mut self, offsets: Vec<(TopicPartition, i64)>, last: bool) -> Result<()> {
        if offsets.is_empty() {
            return Ok(());
        }
        if let Some(store) = self.sink.reject_store() {
            store.flush(&offsets)?;
        }
        let marked = |(partition, offset): &(TopicPartition, i64)| (partition.clone(), *offset, self.marks.of(partition, *offset, last));
        self.consumer.commit(&offsets.iter().map(marked).collect::<Vec<_>>())?;
        self.committed.extend(offsets);
        Ok(())
    }
}

/// The keys of records as their values, and whether they are no objects: what is none to JSON is put into the field `value` of one.
fn keys_as_values(records: &Records, converter: &Converter) -> (Records, bool) {
    let as_values = |keys: &BinaryArray| Records { values: keys.into(), ..records.clone() };
    let object = |key: &[u8]| key.trim_ascii_start().starts_with(b"{");
    if *converter != Converter::Json || records.keys.iter().flatten().all(object) {
        return (as_values(&records.keys), false);
    }
    let within = |key: &[u8]| if object(key) { key.to_vec() } else { [b"{\"value\":", key, b"}"].concat() };
    (as_values(&records.keys.iter().map(|key| key.map(within)).collect()), true)
}

/// What decides where a row goes: the sink's layout, if it has one, and the transforms, which make the values that it looks at.
fn layout(env: &TaskEnv, sink: &dyn Sink) -> String {
    let (layout, transforms) = (sink.layout(), env.connector.transforms.to_string());
    if layout.is_empty() || transforms.is_empty() { layout } else { format!("{layout} {transforms}") }
}

/// Says that records are gone which nobody has read.
pub(crate) fn report_lost(env: &TaskEnv, partition: &TopicPartition, from: i64, to: i64) {
    env.stats.lost.add(u64::try_from(to - from).unwrap_or(0));
    tracing::error!(
        target: "lakefeed", connector = %env.connector.name, %partition, from, to, records = to - from,
        "Records were deleted from the topic before they were read; raise retention.ms or read faster"
    );
}

/// The decoded rows with the offsets, timestamps and keys of their records.
fn batch(records: &Records, decoded: Decoded) -> Result<Batch> {
    let whole = decoded.indices.len() == records.len();
    let of = |row: &u32| *row as usize;
    let headers = records.headers.as_ref().filter(|_| decoded.beside.headers.is_none()).map(Headers::to_list);
    let (keys, headers) = if whole {
        (records.keys.clone(), headers)
    } else {
        let indices = UInt32Array::from(decoded.indices.clone());
        let taken = |array: &dyn Array| {
            take(array, &indices, None).map_err(|e| Error::fatal("can't select the keys and headers of rows").with_source(e))
        };
        let headers = headers.map(|list| taken(&list).map(|list| list.as_list::<i32>().clone())).transpose()?;
        (taken(&records.keys)?.as_binary::<i32>().clone(), headers)
    };
    let (offsets, timestamps) = if whole {
        (records.offsets.clone(), records.timestamps.clone())
    } else {
        (
            decoded.indices.iter().map(|row| records.offsets[of(row)]).collect(),
            decoded.indices.iter().map(|row| records.timestamps[of(row)]).collect(),
        )
    };
    let keys = decoded.beside.keys.as_ref().map(|(keys, single)| key_texts(keys, *single)).transpose()?.unwrap_or(keys);
    let headers = decoded.beside.headers.or(headers);
    Ok(Batch {
        partition: TopicPartition { topic: Arc::clone(&records.topic), partition: records.partition },
        rows: decoded.rows,
        offsets,
        timestamps,
        keys,
        headers,
        tombstones: decoded.tombstones.iter().map(|row| records.offsets[of(row)]).collect(),
        next_offset: records.next_offset().unwrap_or(0),
    })
}
