//! Producers: idempotent, or transactional.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use lakefeed_core::{Clock, Error, Output, Result, SystemClock, TopicPartition};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, NoCustomPartitioner, Producer as _, ProducerContext};

use crate::consumer::list_of;
use crate::error::wrap;
use crate::{ClientSettings, Consumer};

/// One record with everything a record can have; for the dead letters.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; `None`: a tombstone.
    pub value: Option<&'a [u8]>,
    /// Milliseconds since 1970-01-01 UTC; `None`: now.
    pub timestamp_ms: Option<i64>,
    /// Names and values.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

/// Remembers the first failed delivery: with `delivery.report.only.error` librdkafka reports nothing else, which saves a call per record.
#[derive(Debug, Default)]
struct Context {
    failed: Mutex<Option<(String, KafkaError)>>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Who is fenced off learns it from the call that fails; to those who share a transactional id it happens every day.
        if message.contains("fenced") || message.contains("old epoch") {
            tracing::debug!(target: "librdkafka", "{facility}: {message}");
        } else {
            DefaultClientContext.log(level, facility, message);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(Code::Fenced) {
            return;
        }
        tracing::warn!(target: "lakefeed", error = %error, "Kafka client: {reason}");
    }
}

impl ProducerContext<NoCustomPartitioner> for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            let mut what = format!("topic {}: a record of {} bytes was not accepted", message.topic(), message.payload_len());
            if error.rdkafka_error_code() == Some(Code::InvalidRecord) && message.key_len() == 0 {
                what += " (it has no key, which a compacted topic wants)";
            }
            self.failed.lock().unwrap_or_else(|e| e.into_inner()).get_or_insert((what, error.clone()));
        }
    }
}

/// Sends rows to topics. Idempotent: the client's own retries neither double nor reorder rows.
///
/// Memory: librdkafka holds at most `queue.buffering.max.kbytes` (32 MiB unless set otherwise); [`Producer::send`] blocks while that is full.
pub struct Producer {
    client: BaseProducer<Context>,
    bootstrap: String,
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Producer({})", self.bootstrap)
    }
}

impl Producer {
    /// A producer; with `transactional.id` in the settings a transactional one (call [`Producer::init_transactions`] first).
    ///
    /// # Errors
    /// `Config`: a setting is unknown or wrong.
    pub fn new(settings: &ClientSettings) -> Result<Self> {
        let settings = settings
            .clone()
            .set("delivery.report.only.error", "true")
            .or("enable.idempotence", "true")
            .or("partitioner", "murmur2_random")
            .or("linger.ms", "50")
            .or("batch.size", "1000000")
            .or("queue.buffering.max.messages", "500000")
            .or("queue.buffering.max.kbytes", "32768")
            .or("message.timeout.ms", "120000")
            .or("reconnect.backoff.max.ms", "2000");
        let bootstrap = settings.bootstrap().to_owned();
        let failed = |e| wrap(format!("can't write to Kafka at {bootstrap}"), e);
        let client = settings.native().create_with_context(Context::default()).map_err(failed)?;
        Ok(Self { client, bootstrap })
    }

    /// Hands all rows over; blocks while the queue is full.
    ///
    /// # Errors
    /// `Retry`: the brokers did not take an earlier row in time. `Config`: a row can't be sent as it is (too large, no such right).
    pub fn send(&self, out: &Output) -> Result<()> {
        // One look at the clock for all rows, not one for each.
        let now_ms = SystemClock.now_ms();
        for row in out.rows() {
            let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(out.topic(row));
            record.key = out.key(row);
            record.payload = out.value(row);
            record.timestamp = Some(row.timestamp_ms.unwrap_or(now_ms));
            let headers = out.headers(row);
            if headers.len() > 0 {
                record.headers = Some(headers.fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value })));
            }
            self.enqueue(record)?;
        }
        self.client.poll(Duration::ZERO);
        self.check()
    }

    /// Hands one record over; blocks while the queue is full.
    ///
    /// # Errors
    /// As for [`Producer::send`].
    pub fn send_message(&self, message: &Message<'_>) -> Result<()> {
        let headers =
            message.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: *value }));
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(message.topic).headers(headers);
        record.key = message.key;
        record.payload = message.value;
        record.timestamp = message.timestamp_ms;
        self.enqueue(record)?;
        self.check()
    }

    fn enqueue<'a>(&self, mut record: BaseRecord<'a, [u8], [u8]>) -> Result<()> {
        loop {
            match self.client.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(Code::QueueFull), back)) => {
                    // Serves deliveries until there is room. A broker that is gone ends this by `message.timeout.ms`.
                    self.client.poll(Duration::from_millis(20));
                    self.check()?;
                    record = back;
                }
                Err((error, back)) => return Err(wrap(format!("topic {}: can't send a record", back.topic), error)),
            }
        }
    }

    /// The first failed delivery, as an error; it stays until asked for.
    fn check(&self) -> Result<()> {
        match self.client.context().failed.lock().unwrap_or_else(|e| e.into_inner()).take() {
            None => Ok(()),
            Some((what, error)) => Err(wrap(format!("{what} by Kafka at {}", self.bootstrap), error)),
        }
    }

    /// Waits until the brokers have acknowledged every row.
    ///
    /// # Errors
    /// `Retry`: not within `timeout`. Otherwise as for [`Producer::send`].
    pub fn flush(&self, timeout: Duration) -> Result<()> {
        let start = Instant::now();
        let flushed = self.client.flush(timeout);
        self.check()?;
        flushed.map_err(|e| {
            let waited = start.elapsed().as_secs();
            wrap(format!("Kafka at {} did not acknowledge {} rows within {waited} s", self.bootstrap, self.client.in_flight_count()), e)
        })
    }

    /// Registers the transactional id, ends what an earlier incarnation left open, and fences that incarnation off.
    ///
    /// # Errors
    /// `Retry`: the coordinator is not ready. `Fatal`: the brokers know no transactions.
    pub fn init_transactions(&self) -> Result<()> {
        self.client.init_transactions(TRANSACTION_TIMEOUT).map_err(|e| self.transaction("can't start transactions", e))
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// The state of the producer does not allow it.
    pub fn begin(&self) -> Result<()> {
        self.client.begin_transaction().map_err(|e| self.transaction("can't begin a transaction", e))
    }

    /// Makes what was sent since [`Producer::begin`] visible together with the offsets of what it was made from.
    ///
    /// # Errors
    /// `Retry`: the transaction was not committed: [`Producer::abort`] and do it again. `Fatal`: fenced by a newer incarnation.
    pub fn commit(&self, consumer: &Consumer, offsets: &[(TopicPartition, i64)]) -> Result<()> {
        let list = list_of(offsets)?;
        let group = consumer.group_metadata()?;
        let sent = self.client.send_offsets_to_transaction(&list, &group, TRANSACTION_TIMEOUT);
        self.check()?;
        sent.map_err(|e| self.transaction("can't add the offsets to the transaction", e))?;
        self.commit_transaction()
    }

    /// Makes what was sent since [`Producer::begin`] visible.
    ///
    /// # Errors
    /// As for [`Producer::commit`].
    pub fn commit_transaction(&self) -> Result<()> {
        let mut committed = self.client.commit_transaction(TRANSACTION_TIMEOUT);
        // A commit whose answer is not known may be asked for again (librdkafka: retriable errors of commit_transaction).
        for _ in 0..3 {
            match &committed {
                Err(KafkaError::Transaction(e)) if e.is_retriable() => committed = self.client.commit_transaction(TRANSACTION_TIMEOUT),
                _ => break,
            }
        }
        self.check()?;
        committed.map_err(|e| self.transaction("can't commit the transaction", e))
    }

    /// Throws away what was sent since [`Producer::begin`].
    ///
    /// # Errors
    /// The producer can't be used any more.
    pub fn abort(&self) -> Result<()> {
        let aborted = self.client.abort_transaction(TRANSACTION_TIMEOUT);
        // Rows of the aborted transaction are reported as purged: that is what was asked for.
        let _ = self.check();
        aborted.map_err(|e| self.transaction("can't abort the transaction", e))
    }

    fn transaction(&self, what: &str, error: KafkaError) -> Error {
        wrap(format!("{what} on Kafka at {}", self.bootstrap), error)
    }
}

const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);
