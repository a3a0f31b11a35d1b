//! Messages taken from a partition's queue in batches: the one place with `unsafe`.
//!
//! `BaseConsumer::poll` costs about twice as much per message as librdkafka's batch call, and rust-rdkafka does not offer the batch call.

use std::ffi::{CStr, CString};
use std::ptr;
use std::sync::Arc;

use lakefeed_core::{Error, Records, RecordsBuilder, Result, TopicPartition};
use rdkafka::bindings as native;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::types::RDKafkaRespErr;

/// What came out of a partition's queue, besides records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// The position is outside of the log.
    OutOfRange,
    /// The end of the log was reached (only with `enable.partition.eof`).
    End,
    /// Another error, which librdkafka reports and retries by itself.
    Error(Code),
}

/// The queue of one partition, cut off from the consumer's main queue.
///
/// The queue keeps a count on the client inside librdkafka, but must be gone before the client is destroyed: `Consumer` and
/// `RangeReader` declare their queues before the client, so they are dropped first.
#[derive(Debug)]
pub(crate) struct PartitionQueue {
    partition: TopicPartition,
    queue: ptr::NonNull<native::rd_kafka_queue_t>,
    /// The pointers of the batch in hand; between calls it is empty.
    messages: Vec<*mut native::rd_kafka_message_t>,
    mean_bytes: usize,
    position: i64,
    at_end: bool,
}

// SAFETY: a queue of librdkafka may be used from any thread (rdkafka.h: the library is thread-safe), and `messages` is empty between
// calls, so nothing that belongs to a thread is moved.
#[allow(unsafe_code)]
unsafe impl Send for PartitionQueue {}

impl PartitionQueue {
    /// Takes the partition's queue and stops its forwarding to the consumer's main queue. Call it before the partition is assigned: then no
    /// message takes the other way.
    pub(crate) fn take<C: ConsumerContext>(consumer: &BaseConsumer<C>, partition: &TopicPartition, position: i64) -> Result<Self> {
        let unusable = || Error::fatal(format!("librdkafka has no queue for {partition}"));
        let topic = CString::new(&*partition.topic).map_err(|_| unusable())?;
        // SAFETY: the client pointer is valid while `consumer` is borrowed, the topic is a NUL-terminated text that outlives the call; a null
        // queue as the target of `forward` means "do not forward" (rdkafka.h).
        #[allow(unsafe_code)]
        let queue = unsafe {
            let queue = native::rd_kafka_queue_get_partition(consumer.client().native_ptr(), topic.as_ptr(), partition.partition);
            if !queue.is_null() {
                native::rd_kafka_queue_forward(queue, ptr::null_mut());
            }
            queue
        };
        let queue = ptr::NonNull::new(queue).ok_or_else(unusable)?;
        Ok(Self { partition: partition.clone(), queue, messages: Vec::new(), mean_bytes: 1024, position, at_end: false })
    }

    pub(crate) fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// The offset after the last record that was read.
    pub(crate) fn position(&self) -> i64 {
        self.position
    }

    /// Whether nothing came after the end of the log was reached (only with `enable.partition.eof`).
    pub(crate) fn is_at_end(&self) -> bool {
        self.at_end
    }

    /// It is read from another offset.
    pub(crate) fn sought(&mut self) {
        self.at_end = false;
    }

    /// Takes what is there, at most about `max_bytes` (judged by the size of earlier messages), waiting at most `wait_ms` for the first
    /// message.
    pub(crate) fn read(&mut self, max_records: usize, max_bytes: usize, wait_ms: i32) -> (Records, Option<Signal>) {
        let room = (max_bytes / self.mean_bytes.max(1)).clamp(1, max_records.max(1));
        self.messages.clear();
        self.messages.reserve(room);
        // SAFETY: the queue is valid until `drop`; `messages` has room for `room` pointers, and librdkafka writes at most that many and
        // returns how many it wrote (negative: an error, nothing written), so `set_len` covers initialised pointers only.
        #[allow(unsafe_code)]
        unsafe {
            let taken = native::rd_kafka_consume_batch_queue(self.queue.as_ptr(), wait_ms, self.messages.as_mut_ptr(), room);
            self.messages.set_len(usize::try_from(taken).unwrap_or(0));
        }
        self.copy_out()
    }

    /// Copies the messages into columns and gives each back to librdkafka.
    fn copy_out(&mut self) -> (Records, Option<Signal>) {
        let topic = Arc::clone(&self.partition.topic);
        // SAFETY: the messages are librdkafka's, and none of them is destroyed before the loop below.
        #[allow(unsafe_code)]
        let value_bytes = self.messages.iter().map(|message| unsafe { (**message).len }).sum();
        let mut records = RecordsBuilder::with_capacity(topic, self.partition.partition, self.messages.len(), value_bytes);
        let mut signal = None;
        for message in self.messages.drain(..) {
            // SAFETY: librdkafka handed the pointer over in `read` and it is destroyed exactly once, after its last use; payload and key
            // point to `len` bytes inside the message, or are null.
            #[allow(unsafe_code)]
            unsafe {
                let m = &*message;
                if m.err == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                    let timestamp = native::rd_kafka_message_timestamp(message, ptr::null_mut());
                    records.push(m.offset, timestamp, bytes(m.key, m.key_len), bytes(m.payload, m.len));
                    push_headers(message, &mut records);
                    self.at_end = false;
                } else {
                    let told = signal_of(m.err);
                    self.at_end |= told == Signal::End;
                    // An end is no reason to say nothing of an error behind it.
                    signal = signal.filter(|known| *known != Signal::End).or(Some(told));
                }
                native::rd_kafka_message_destroy(message);
            }
        }
        if let Some(mean) = records.bytes().checked_div(records.len()) {
            self.mean_bytes = mean.max(16);
        }
        let records = records.finish();
        self.position = records.next_offset().unwrap_or(self.position);
        (records, signal)
    }
}

impl Drop for PartitionQueue {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `rd_kafka_queue_get_partition`, which counted a reference for us; it is not used afterwards.
        #[allow(unsafe_code)]
        unsafe {
            native::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

fn signal_of(err: RDKafkaRespErr) -> Signal {
    match Code::from(err) {
        Code::PartitionEOF => Signal::End,
        Code::OffsetOutOfRange | Code::AutoOffsetReset => Signal::OutOfRange,
        code => Signal::Error(code),
    }
}

/// # Safety
/// `data` is null or points to `len` bytes that live as long as the returned slice.
#[allow(unsafe_code)]
unsafe fn bytes<'a>(data: *const std::ffi::c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: by the contract of this function.
    (!data.is_null()).then(|| unsafe { std::slice::from_raw_parts(data.cast::<u8>(), len) })
}

/// # Safety
/// `message` is a message of librdkafka that has not been destroyed.
#[allow(unsafe_code)]
unsafe fn push_headers(message: *mut native::rd_kafka_message_t, records: &mut RecordsBuilder) {
    let mut headers = ptr::null_mut();
    // SAFETY: the message is valid; the header list belongs to the message and is not destroyed here. `rd_kafka_header_get_all` fills the
    // three out-pointers with a NUL-terminated name and a value (null or `len` bytes) that live as long as the list, until it returns an
    // error at the end of the list.
    unsafe {
        if native::rd_kafka_message_headers(message, &mut headers) != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return;
        }
        let (mut name, mut value, mut len) = (ptr::null(), ptr::null(), 0);
        let mut index = 0;
        while native::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut len) == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
        {
            records.push_header(&CStr::from_ptr(name).to_string_lossy(), bytes(value, len));
            index += 1;
        }
    }
}
