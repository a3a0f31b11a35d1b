//! Reading a part of a partition, outside of any group.

use std::time::{Duration, Instant};

use lakefeed_core::{Error, Records, Result, TopicPartition};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

use crate::ClientSettings;
use crate::batch::{PartitionQueue, Signal};
use crate::error::wrap;
use crate::reading::reader_settings;

/// Reads the records of one partition from one offset up to another.
pub struct RangeReader {
    // Declared before the client: the queue must be gone when the client is destroyed.
    queue: PartitionQueue,
    client: BaseConsumer,
    end: i64,
    done: bool,
    stall: Duration,
}

impl std::fmt::Debug for RangeReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RangeReader({} up to {})", self.queue.partition(), self.end)
    }
}

impl RangeReader {
    /// Will read the offsets from `start` to below `end`.
    ///
    /// # Errors
    /// `Config`: a setting is wrong.
    pub fn new(settings: &ClientSettings, partition: &TopicPartition, start: i64, end: i64) -> Result<Self> {
        // librdkafka wants a group name even where no group is used.
        let settings = reader_settings(settings).set("group.id", "lakefeed-range-reader").set("enable.partition.eof", "true");
        let failed = |e| wrap(format!("can't read {partition} from Kafka at {}", settings.bootstrap()), e);
        let client: BaseConsumer = settings.native().create().map_err(failed)?;
        let queue = PartitionQueue::take(&client, partition, start)?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(start)).map_err(failed)?;
        client.assign(&list).map_err(failed)?;
        Ok(Self { queue, client, end, done: start >= end, stall: Duration::from_secs(60) })
    }

    /// The next records; `None` at the end.
    ///
    /// # Errors
    /// `Retry`: nothing came for a minute. `Fatal`: the records are not in the log any more.
    pub fn read(&mut self) -> Result<Option<Records>> {
        let deadline = Instant::now() + self.stall;
        while !self.done {
            // Serves the client's errors and logs; no record comes out of the main queue.
            let _ = self.client.poll(Duration::ZERO);
            let (records, signal) = self.queue.read(10_000, 4 << 20, 100);
            match signal {
                Some(Signal::OutOfRange) => {
                    return Err(Error::fatal(format!(
                        "{}: records below offset {} are not in the log any more",
                        self.queue.partition(),
                        self.end
                    )));
                }
                Some(Signal::End) => self.done = true,
                Some(Signal::Error(_)) | None => {}
            }
            self.done |= records.next_offset().is_some_and(|next| next >= self.end);
            if !records.is_empty() {
                return Ok(Some(cut(records, self.end)));
            }
            if Instant::now() > deadline {
                return Err(Error::retry(format!("{}: no records for {} s", self.queue.partition(), self.stall.as_secs())));
            }
        }
        Ok(None)
    }
}

/// The records below `end`.
fn cut(records: Records, end: i64) -> Records {
    let keep = records.offsets.partition_point(|offset| *offset < end);
    if keep == records.len() {
        return records;
    }
    Records {
        offsets: records.offsets.slice(0, keep),
        timestamps: records.timestamps.slice(0, keep),
        keys: records.keys.slice(0, keep),
        values: records.values.slice(0, keep),
        ..records
    }
}
