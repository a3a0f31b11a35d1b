//! What is read how far ahead.

use std::time::Duration;

use lakefeed_core::{Error, Result};

/// The settings of a [`Fetcher`](crate::Fetcher), under Kafka's names.
#[derive(Debug, Clone)]
pub struct FetchSettings {
    pub(crate) client_id: String,
    /// `fetch.wait.max.ms`: how long a broker waits for news before it answers that there are none. 100 ms unless set.
    pub(crate) max_wait_ms: i32,
    /// `fetch.min.bytes`, 1 unless set.
    pub(crate) min_bytes: i32,
    /// `fetch.max.bytes`: one answer at most, 4 MiB unless set. A batch that is larger comes whole.
    pub(crate) max_bytes: i32,
    /// `fetch.message.max.bytes` (Java: `max.partition.fetch.bytes`): one partition's part of an answer at most, `queue_bytes` unless set: what is
    /// done for each part of an answer, and for each lake partition that its rows go to, is done seldom.
    pub(crate) partition_bytes: i32,
    /// `queued.max.messages.kbytes`: what is kept of one partition ahead of the reader, 2 MiB unless set.
    pub(crate) queue_bytes: usize,
    /// `isolation.level`: `read_committed` unless set.
    pub(crate) read_committed: bool,
    /// `check.crcs`: whether batches are held to their checksums; true unless set, as in Java's client.
    pub(crate) check_crcs: bool,
    /// `socket.timeout.ms`: how long an answer may take beside `fetch.wait.max.ms`, 30 s unless set.
    pub(crate) timeout: Duration,
    /// `reconnect.backoff.max.ms`: the longest pause before a leader is looked for again, 2 s unless set.
    pub(crate) backoff_max: Duration,
}

impl FetchSettings {
    /// Reads the settings; `get` gives one by its name.
    ///
    /// # Errors
    /// `Config`: one is no number, or not one of its values.
    pub fn read<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<Self> {
        let number = |key: &str, default: i32| {
            let wrong = |text: &str| Error::config(format!("{key} = '{text}': expected a number from 0 to {}", i32::MAX));
            get(key).map_or(Ok(default), |text| text.trim().parse().ok().filter(|n| *n >= 0).ok_or_else(|| wrong(text)))
        };
        let queue_bytes = (number("queued.max.messages.kbytes", 2048)? as usize).clamp(1, 1 << 20) * 1024;
        Ok(Self {
            client_id: get("client.id").unwrap_or("lakefeed").to_owned(),
            max_wait_ms: number("fetch.wait.max.ms", 100)?,
            min_bytes: number("fetch.min.bytes", 1)?,
            max_bytes: number("fetch.max.bytes", 4 << 20)?,
            partition_bytes: number("fetch.message.max.bytes", queue_bytes as i32)?,
            queue_bytes,
            read_committed: get("isolation.level") != Some("read_uncommitted"),
            check_crcs: get("check.crcs") != Some("false"),
            timeout: Duration::from_millis(number("socket.timeout.ms", 30_000)?.max(1000) as u64),
            backoff_max: Duration::from_millis(number("reconnect.backoff.max.ms", 2000)? as u64),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_have_kafkas_names_and_are_checked() {
        let with = |key: &'static str, value: &'static str| FetchSettings::read(move |name| (name == key).then_some(value));
        let plain = with("", "").expect("valid");
        assert_eq!((plain.max_wait_ms, plain.partition_bytes, plain.queue_bytes), (100, 2 << 20, 2 << 20));
        assert!(plain.read_committed && plain.check_crcs);
        assert_eq!(with("queued.max.messages.kbytes", "64").expect("valid").partition_bytes, 64 << 10);
        assert!(!with("isolation.level", "read_uncommitted").expect("valid").read_committed);
        let wrong = with("fetch.max.bytes", "1 MB").expect_err("no number").to_string();
        assert_eq!(wrong, "fetch.max.bytes = '1 MB': expected a number from 0 to 2147483647");
    }
}
