//! The reading half of a member: where its rows come from.
//!
//! Without TLS and SASL the logs are read by connectors/fetch; librdkafka's own fetching of the assigned partitions is paused then. Otherwise they come out of
//! librdkafka's queues. `fetch.client` says so too, `direct` or `librdkafka`.

use std::collections::BTreeMap;
use std::time::Duration;

use lakefeed_core::{Error, Records, Result, TopicPartition};
use lakefeed_fetch::{Arrival, FetchSettings, Fetcher};
use rdkafka::consumer::Consumer as _;
use rdkafka::{Offset, TopicPartitionList};

use crate::ClientSettings;
use crate::batch::{PartitionQueue, Signal};
use crate::consumer::{Consumer, Event, REQUEST_TIMEOUT, made_again};
use crate::error::wrap;

/// Records of one read at most; their bytes are bounded by the caller.
const READ_RECORDS_MAX: usize = 10_000;
/// How long the task may stand still to learn who leads a partition.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);

/// The fetcher, where the settings allow it.
pub(crate) fn fetcher(settings: &ClientSettings) -> Result<Option<Fetcher>> {
    if !settings.fetches_directly()? {
        return Ok(None);
    }
    FetchSettings::read(|key| settings.get(key)).map(|settings| Some(Fetcher::new(settings)))
}

impl ClientSettings {
    /// Whether partitions are read without librdkafka.
    fn fetches_directly(&self) -> Result<bool> {
        let protocol = self.get("security.protocol").unwrap_or("plaintext");
        let plain = protocol.eq_ignore_ascii_case("plaintext") && self.get("client.rack").is_none_or(str::is_empty);
        match self.get("fetch.client") {
            Some("librdkafka") => Ok(false),
            None => Ok(plain),
            Some("direct") if plain => Ok(true),
            Some("direct") => {
                Err(Error::config("fetch.client = 'direct': possible with security.protocol=PLAINTEXT and without client.rack only"))
            }
            Some(other) => Err(Error::config(format!("fetch.client = '{other}': expected direct or librdkafka"))),
        }
    }

    /// With what is read ahead of so many partitions in all, unless it is set: limits that keep reading fast with few partitions and possible with many.
    #[must_use]
    pub fn read_ahead(self, bytes: usize, partitions: usize) -> Self {
        let per_partition = bytes / partitions.max(1);
        // An error is told when the consumer is made.
        let direct = self.fetches_directly().unwrap_or(true);
        let (kbytes, most) = if direct { (per_partition / 1024, 4096) } else { (per_partition * 2 / 5 / 1024, 2048) };
        let answer_bytes = (bytes / 4).clamp(256 << 10, 4 << 20);
        let settings = self.or("queued.max.messages.kbytes", &kbytes.clamp(64, most).to_string());
        if direct { settings.or("fetch.max.bytes", &answer_bytes.to_string()) } else { settings }
    }
}

impl Consumer {
    /// The next records that are there, of one partition; `None` when there are none. At most about `max_bytes` (4 MiB or one record, where they are
    /// not read by librdkafka). A gap that opens while reading is reported as [`Event::RecordsLost`].
    ///
    /// # Errors
    /// `Retry`: the brokers can't be asked now. Others: a partition can't be read.
    pub fn read(&mut self, max_bytes: usize) -> Result<(Option<Records>, Option<Event>)> {
        if let Some(fetcher) = &mut self.fetcher {
            return match fetcher.read()? {
                Some(Arrival::Records(records)) => Ok((Some(*records), None)),
                Some(Arrival::OutOfRange { partition, position }) => Ok((None, Some(self.overtaken(&partition, position)?))),
                None => Ok((None, None)),
            };
        }
        for _ in 0..self.queues.len() {
            self.next = (self.next + 1) % self.queues.len();
            let queue = &mut self.queues[self.next];
            let (records, signal) = queue.read(READ_RECORDS_MAX, max_bytes, 0);
            let event = match signal {
                Some(Signal::OutOfRange) => {
                    let (partition, position) = (queue.partition().clone(), queue.position());
                    Some(self.overtaken(&partition, position)?)
                }
                Some(Signal::Error(code)) => {
                    tracing::warn!(target: "lakefeed", partition = %queue.partition(), error = %code, "Reading failed, trying again");
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
    fn overtaken(&mut self, partition: &TopicPartition, position: i64) -> Result<Event> {
        let (low, high) = self.watermarks(partition)?;
        if position > high {
            return Err(made_again(partition, format_args!("the position {position}"), high));
        }
        let from = position.min(low);
        self.seek(partition, low)?;
        Ok(Event::RecordsLost { partition: partition.clone(), from, to: low })
    }

    /// Reads a partition from another offset.
    ///
    /// # Errors
    /// `Retry`: the client could not do it now.
    pub fn seek(&mut self, partition: &TopicPartition, offset: i64) -> Result<()> {
        if let Some(fetcher) = &mut self.fetcher {
            fetcher.seek(partition, offset);
            return Ok(());
        }
        self.queues.iter_mut().filter(|q| q.partition() == partition).for_each(PartitionQueue::sought);
        let done = self.client.0.seek(&partition.topic, partition.partition, Offset::Offset(offset), REQUEST_TIMEOUT);
        done.map_err(|e| wrap(format!("{partition}: can't go back to offset {offset}"), e))
    }

    /// Partitions that librdkafka has been given are read.
    pub(crate) fn begin(&mut self, list: &TopicPartitionList, positions: impl Iterator<Item = (TopicPartition, i64)>) -> Result<()> {
        let Some(fetcher) = &mut self.fetcher else { return Ok(()) };
        self.client.0.pause(list).map_err(|e| wrap("can't pause librdkafka's own reading", e))?;
        positions.for_each(|(partition, position)| fetcher.take(&partition, position));
        Ok(())
    }

    /// Asks who leads the partitions for which that is not known.
    pub(crate) fn find_leaders(&mut self) -> Result<()> {
        let Some(fetcher) = &mut self.fetcher else { return Ok(()) };
        for topic in fetcher.leaderless() {
            let mut leaders = BTreeMap::new();
            let mut answered = true;
            match self.client.0.fetch_metadata(Some(&topic), METADATA_TIMEOUT) {
                Ok(metadata) => {
                    let address = |id| metadata.brokers().iter().find(|b| b.id() == id).map(|b| address(b.host(), b.port()));
                    let of_topic = metadata.topics().iter().filter(|of| of.name() == &*topic).flat_map(|of| of.partitions());
                    leaders.extend(of_topic.filter_map(|partition| Some((partition.id(), address(partition.leader())?))));
                }
                Err(error) => {
                    answered = false;
                    tracing::debug!(target: "lakefeed", %topic, %error, "Nobody says who leads the topic's partitions");
                }
            }
            fetcher.lead(&topic, &leaders)?;
            if !answered {
                // The other topics the next time: the group wants to be served.
                break;
            }
        }
        Ok(())
    }

    /// About the bytes that are held at most ahead of the reader, for the partitions that are ours. With librdkafka its queues, and one and a half times
    /// as much for what it keeps of each message (600 bytes beside a payload of 400).
    pub fn queue_bytes(&self) -> usize {
        let librdkafka = || self.queues.len() * self.queue_kbytes * 1024 / 2 * 5;
        self.fetcher.as_ref().map_or_else(librdkafka, Fetcher::queue_bytes)
    }

    /// The partitions that are ours and have been read to their end; what comes later is not known yet.
    pub fn caught_up(&self) -> Vec<TopicPartition> {
        let librdkafka = || self.queues.iter().filter(|q| q.is_at_end()).map(|q| q.partition().clone()).collect();
        self.fetcher.as_ref().map_or_else(librdkafka, Fetcher::caught_up)
    }

    /// For each partition that is ours the records between the committed offset and the end of the log, where that is known; with librdkafka some
    /// seconds old.
    pub fn lag(&self) -> Vec<(TopicPartition, Option<i64>)> {
        if let Some(fetcher) = &self.fetcher {
            let behind = |partition: &TopicPartition, end: i64| Some((end - self.committed.get(partition)?).max(0));
            let ends = fetcher.ends().into_iter();
            return ends.map(|(partition, end)| (partition.clone(), end.and_then(|end| behind(&partition, end)))).collect();
        }
        let lag = self.client.0.context().lag.lock().unwrap_or_else(|e| e.into_inner());
        self.queues.iter().map(|q| (q.partition().clone(), lag.get(q.partition()).copied())).collect()
    }
}

/// An address of IPv6 stands in brackets before its port.
fn address(host: &str, port: i32) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// What every reader needs of librdkafka: no commits behind our back, whole transactions only, and queues that feed a fast reader
/// (its defaults pause it for up to a second).
pub(crate) fn reader_settings(settings: &ClientSettings) -> ClientSettings {
    let kbytes: usize = settings.get("queued.max.messages.kbytes").and_then(|n| n.parse().ok()).unwrap_or(2048);
    settings
        .clone()
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .or("isolation.level", "read_committed")
        .or("queued.min.messages", "1000000")
        .or("queued.max.messages.kbytes", "2048")
        .or("fetch.message.max.bytes", &(kbytes.clamp(4, 2048) * 256).to_string())
        .or("fetch.max.bytes", "8388608")
        .or("fetch.queue.backoff.ms", "2")
        // One fetch is under way per broker. When only partitions that are read to their end take part in it, the others' queues being full, it
        // waits this long for new records, and the others run dry: with librdkafka's 500 ms a backlog is read at a third of the speed.
        .or("fetch.wait.max.ms", "20")
        .or("check.crcs", "false")
        .or("reconnect.backoff.max.ms", "2000")
}

/// The same for a client whose partitions are read without it: what it might fetch before it is paused is little.
pub(crate) fn idle_settings(settings: &ClientSettings) -> ClientSettings {
    reader_settings(settings)
        .set("queued.min.messages", "1")
        .set("queued.max.messages.kbytes", "1")
        .set("fetch.message.max.bytes", "1024")
        // No less than `message.max.bytes`, says librdkafka.
        .set("fetch.max.bytes", "8388608")
        .set("statistics.interval.ms", "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_that_the_system_resolves() {
        assert_eq!(["b1.example", "::1", "[::1]"].map(|host| address(host, 9092)), ["b1.example:9092", "[::1]:9092", "[::1]:9092"]);
    }

    #[test]
    fn what_is_read_ahead_is_shared_out() {
        let of = |bytes: usize, partitions: usize, key: &str| {
            ClientSettings::new("b:1").read_ahead(bytes, partitions).get(key).map(str::to_owned).unwrap_or_default()
        };
        let queue = "queued.max.messages.kbytes";
        assert_eq!([1, 16, 1000].map(|partitions| of(24 << 20, partitions, queue)), ["4096", "1536", "64"]);
        assert_eq!(of(24 << 20, 1, "fetch.max.bytes"), "4194304");
        let own = ClientSettings::new("b:1").set(queue, "7").set("security.protocol", "SSL").read_ahead(24 << 20, 16);
        assert_eq!((own.get(queue), own.get("fetch.max.bytes")), (Some("7"), None));
        let librdkafka = ClientSettings::new("b:1").set("client.rack", "a").read_ahead(24 << 20, 16);
        assert_eq!(librdkafka.get(queue), Some("614"), "a message costs more there");
    }
}
