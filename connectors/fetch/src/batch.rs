//! Record batches walked into columns.
//!
//! The format is Kafka's of magic 2 (KIP-98; the documentation's "Message Format"). Numbers of a record are deltas to those of its batch.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_buffer::Buffer;
use lakefeed_core::{Error, Records, RecordsBuilder, TopicPartition};

use crate::bytes::{Bytes, Damaged};
use crate::codec;

/// What one [`Records`] holds at most, about: enough that what is done once for each of them, and for each lake partition that its rows go to, does
/// not count.
const CHUNK_BYTES: usize = 4 << 20;
const CHUNK_RECORDS: usize = 40_000;

/// What stands before the field that says how long a batch is, and that field.
const PREFIX_BYTES: usize = 12;
/// What of a batch is not covered by its checksum.
const UNCHECKED_BYTES: usize = 21;

const CODEC: i16 = 0b111;
const LOG_APPEND_TIME: i16 = 1 << 3;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;

/// A transaction that was aborted: who wrote it, and its first offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Aborted {
    pub(crate) producer_id: i64,
    pub(crate) first_offset: i64,
}

/// How far a record set has been walked.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The offset to go on from: records before it are not wanted.
    pub(crate) next: i64,
    /// The byte of the set to go on from.
    pub(crate) byte: usize,
    /// Aborted transactions that begin later, by their first offsets.
    coming: VecDeque<Aborted>,
    /// The writers of aborted transactions that are open here.
    open: Vec<i64>,
}

impl Place {
    /// The beginning of a record set that was asked for from offset `next`; `aborted`: what the broker says of it. Without `read_committed` it says nothing,
    /// and everything is read.
    pub(crate) fn new(next: i64, mut aborted: Vec<Aborted>) -> Self {
        aborted.sort_unstable_by_key(|one| one.first_offset);
        Self { next, byte: 0, coming: aborted.into(), open: Vec::new() }
    }

    /// Whether a batch is part of an aborted transaction. Asked for each batch in order.
    fn is_aborted(&mut self, header: &Header) -> bool {
        while let Some(one) = self.coming.pop_front_if(|one| one.first_offset <= header.last_offset()) {
            self.open.push(one.producer_id);
        }
        header.attributes & TRANSACTIONAL != 0 && self.open.contains(&header.producer_id)
    }
}

/// The header of a batch.
#[derive(Debug)]
struct Header {
    base_offset: i64,
    attributes: i16,
    last_offset_delta: i32,
    base_timestamp: i64,
    max_timestamp: i64,
    producer_id: i64,
    count: i32,
}

impl Header {
    fn read(bytes: &mut Bytes<'_>, base_offset: i64) -> Result<Self, Damaged> {
        let attributes = bytes.i16()?;
        let last_offset_delta = bytes.i32()?;
        let (base_timestamp, max_timestamp, producer_id) = (bytes.i64()?, bytes.i64()?, bytes.i64()?);
        // The writer's epoch and sequence: what they are for is behind us.
        bytes.take(6)?;
        let count = bytes.i32()?;
        let header = Self { base_offset, attributes, last_offset_delta, base_timestamp, max_timestamp, producer_id, count };
        let sound =
            base_offset >= 0 && last_offset_delta >= 0 && count >= 0 && base_offset.checked_add(i64::from(last_offset_delta) + 1).is_some();
        if sound { Ok(header) } else { Err(Damaged) }
    }

    fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta)
    }
}

/// Why a record set can't be walked further.
#[derive(Debug)]
pub(crate) enum Fault {
    /// A checksum is wrong: on the way or in the log.
    Checksum(Error),
    /// What no second reading mends.
    Lasting(Error),
}

/// A partition's part of an answer, or what is left of one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Set<'a> {
    pub(crate) partition: &'a TopicPartition,
    pub(crate) bytes: &'a [u8],
    /// Where these bytes lie, if the records may hold it. What was compressed is copied.
    pub(crate) buffer: Option<&'a Buffer>,
}

/// Walks record sets. Memory: the largest batch that was compressed, without its compression, until it has been walked.
#[derive(Debug)]
pub(crate) struct Walker {
    check_crcs: bool,
    scratch: Vec<u8>,
    /// The mean size of the records of the last chunk.
    mean_bytes: usize,
}

impl Walker {
    pub(crate) fn new(check_crcs: bool) -> Self {
        Self { check_crcs, scratch: Vec::new(), mean_bytes: 256 }
    }

    /// Walks the batches of a record set from `place` on, until its end or until `room_bytes` are made; a batch is walked whole. A batch that is cut off at the
    /// end is left for the next answer. What was walked before a fault is in `out`.
    ///
    /// # Errors
    /// The batch at `place.next` is damaged, or of the format that Kafka wrote before 0.11.
    pub(crate) fn walk(&mut self, set: Set<'_>, place: &mut Place, room_bytes: usize, out: &mut Vec<Records>) -> Result<(), Fault> {
        let left_bytes = set.bytes.len() - place.byte;
        let mut chunks = Chunks { set, open: None, made_bytes: 0, left_bytes, mean_bytes: self.mean_bytes, out };
        let mut walked = Ok(());
        while chunks.bytes() < room_bytes {
            let Some(batch) = next_batch(&set.bytes[place.byte..]) else {
                place.byte = set.bytes.len();
                break;
            };
            walked = self.batch(batch, place, &mut chunks);
            if walked.is_err() {
                break;
            }
            place.byte += batch.len();
            chunks.left_bytes = set.bytes.len() - place.byte;
        }
        chunks.close();
        self.mean_bytes = chunks.mean_bytes;
        if self.scratch.capacity() > CHUNK_BYTES {
            self.scratch = Vec::new();
        }
        walked
    }

    fn batch(&mut self, batch: &[u8], place: &mut Place, chunks: &mut Chunks<'_>) -> Result<(), Fault> {
        let (partition, next) = (chunks.set.partition, place.next);
        let at = |what: &str| format!("{partition}: the record batch at offset {next} {what}");
        let damaged = |Damaged| {
            Fault::Lasting(Error::fatal(at("is damaged: check the log with kafka-dump-log, and set the group's offset behind the batch")))
        };
        let mut bytes = Bytes(batch);
        let base_offset = bytes.i64().map_err(damaged)?;
        // How long it is, and the leader's epoch.
        bytes.take(8).map_err(damaged)?;
        let magic = bytes.i8().map_err(damaged)?;
        if magic != 2 {
            let old = format!("is of format {magic}, which Kafka wrote before 0.11: set consumer.fetch.client=librdkafka");
            return Err(Fault::Lasting(Error::fatal(at(&old))));
        }
        let crc = bytes.i32().map_err(damaged)?;
        if self.check_crcs && crc32c::crc32c(&batch[UNCHECKED_BYTES..]) != crc.cast_unsigned() {
            return Err(Fault::Checksum(Error::fatal(at("has a wrong checksum, again and again: check the log with kafka-dump-log"))));
        }
        let header = Header::read(&mut bytes, base_offset).map_err(damaged)?;
        if header.attributes & CONTROL != 0 {
            // Its one record says how a transaction ended (version, type: 0 is an abort). One that a compaction has emptied says nothing.
            let abort = header.count > 0 && is_abort(bytes).map_err(damaged)?;
            place.is_aborted(&header);
            if abort {
                place.open.retain(|producer_id| *producer_id != header.producer_id);
            }
        } else if !place.is_aborted(&header) && header.last_offset() >= next {
            let records = match header.attributes & CODEC {
                0 => bytes,
                codec => {
                    codec::decompress(codec, bytes.0, &mut self.scratch)
                        .map_err(|error| Fault::Lasting(Error::fatal(at("can't be decompressed")).with_source(error)))?;
                    chunks.left_bytes += self.scratch.len();
                    Bytes(&self.scratch)
                }
            };
            records_of(records, &header, next, chunks).map_err(damaged)?;
        }
        place.next = next.max(header.last_offset() + 1);
        Ok(())
    }
}

/// The first batch of what is left of a record set, if it is all there.
fn next_batch(set: &[u8]) -> Option<&[u8]> {
    let mut bytes = Bytes(set);
    bytes.i64().ok()?;
    // One that is shorter than its own header is found out when that is read.
    let len = usize::try_from(bytes.i32().ok()?).unwrap_or(0).max(UNCHECKED_BYTES - PREFIX_BYTES);
    set.get(..PREFIX_BYTES.checked_add(len)?)
}

/// Whether a control record is the end of an aborted transaction.
fn is_abort(mut record: Bytes<'_>) -> Result<bool, Damaged> {
    record.varlong()?;
    record.i8()?;
    record.varlong()?;
    record.varlong()?;
    let mut key = Bytes(record.var_bytes()?.ok_or(Damaged)?);
    key.i16()?;
    Ok(key.i16()? == 0)
}

/// Appends the records of a batch from offset `from` on.
fn records_of(mut bytes: Bytes<'_>, header: &Header, from: i64, chunks: &mut Chunks<'_>) -> Result<(), Damaged> {
    for _ in 0..header.count {
        let len = usize::try_from(bytes.varlong()?).map_err(|_| Damaged)?;
        let mut record = Bytes(bytes.take(len)?);
        // Its attributes: none are in use.
        record.i8()?;
        let timestamp = match header.attributes & LOG_APPEND_TIME {
            0 => header.base_timestamp.wrapping_add(record.varlong()?),
            _ => {
                record.varlong()?;
                header.max_timestamp
            }
        };
        let delta = record.varlong()?;
        if !(0..=i64::from(header.last_offset_delta)).contains(&delta) {
            return Err(Damaged);
        }
        let (key, value) = (record.var_bytes()?, record.var_bytes()?);
        let headers = usize::try_from(record.varlong()?).map_err(|_| Damaged)?;
        if header.base_offset + delta < from {
            continue;
        }
        let open = chunks.open();
        open.push(header.base_offset + delta, timestamp, key, value);
        for _ in 0..headers {
            let name = record.var_bytes()?.ok_or(Damaged)?;
            open.push_header(&String::from_utf8_lossy(name), record.var_bytes()?);
        }
        chunks.pushed();
    }
    Ok(())
}

/// The [`Records`] that are made of a record set.
struct Chunks<'a> {
    set: Set<'a>,
    open: Option<RecordsBuilder>,
    made_bytes: usize,
    /// What is still to come of the set, for sizing.
    left_bytes: usize,
    mean_bytes: usize,
    out: &'a mut Vec<Records>,
}

impl Chunks<'_> {
    fn bytes(&self) -> usize {
        self.made_bytes + self.open.as_ref().map_or(0, RecordsBuilder::bytes)
    }

    fn open(&mut self) -> &mut RecordsBuilder {
        self.open.get_or_insert_with(|| {
            let bytes = self.left_bytes.min(CHUNK_BYTES + CHUNK_BYTES / 16);
            let records = (bytes / self.mean_bytes + bytes / self.mean_bytes / 8 + 1).min(CHUNK_RECORDS);
            let Set { partition, buffer, .. } = self.set;
            let mut open = RecordsBuilder::with_capacity(Arc::clone(&partition.topic), partition.partition, records, bytes);
            if let Some(buffer) = buffer {
                open.share(buffer.clone());
            }
            open
        })
    }

    fn pushed(&mut self) {
        if self.open.as_ref().is_some_and(|open| open.bytes() >= CHUNK_BYTES || open.len() >= CHUNK_RECORDS) {
            self.close();
        }
    }

    fn close(&mut self) {
        let Some(open) = self.open.take_if(|open| !open.is_empty()) else { return };
        self.made_bytes += open.bytes();
        self.left_bytes = self.left_bytes.saturating_sub(open.bytes());
        self.mean_bytes = (open.bytes() / open.len()).max(16);
        self.out.push(open.finish());
    }
}

#[cfg(test)]
mod tests;
