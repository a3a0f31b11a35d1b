//! Requests and answers as bytes (Kafka's protocol guide): Fetch version 11, ApiVersions version 0.

use lakefeed_core::TopicPartition;

use crate::batch::Aborted;
use crate::bytes::{Bytes, Damaged};

pub(crate) const FETCH: i16 = 1;
pub(crate) const FETCH_VERSION: i16 = 11;
pub(crate) const API_VERSIONS: i16 = 18;

/// The codes of errors that a Fetch is answered with (the protocol guide's table).
pub(crate) mod code {
    pub(crate) const NONE: i16 = 0;
    pub(crate) const OFFSET_OUT_OF_RANGE: i16 = 1;
    pub(crate) const CORRUPT_MESSAGE: i16 = 2;
    pub(crate) const TOPIC_AUTHORIZATION_FAILED: i16 = 29;
}

/// One partition that is asked for.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) partition: TopicPartition,
    /// See [`Lane`](crate::lanes::Lane).
    pub(crate) generation: u64,
    pub(crate) next: i64,
}

/// What a Fetch says beside its partitions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) max_wait_ms: i32,
    pub(crate) min_bytes: i32,
    pub(crate) max_bytes: i32,
    pub(crate) partition_bytes: i32,
    pub(crate) read_committed: bool,
}

/// A request with its length in front; `body` appends what belongs to its kind.
pub(crate) fn request(out: &mut Vec<u8>, (key, version): (i16, i16), correlation: i32, client_id: &str, body: impl FnOnce(&mut Vec<u8>)) {
    out.clear();
    out.extend([0; 4]);
    out.extend(key.to_be_bytes());
    out.extend(version.to_be_bytes());
    out.extend(correlation.to_be_bytes());
    string(out, client_id);
    body(out);
    let len = (out.len() - 4) as u32;
    out[..4].copy_from_slice(&len.to_be_bytes());
}

/// The body of a Fetch for partitions, those of one topic next to each other.
pub(crate) fn fetch(out: &mut Vec<u8>, limits: Limits, asks: &[Ask]) {
    let int = |out: &mut Vec<u8>, value: i32| out.extend(value.to_be_bytes());
    // A consumer, and no replica.
    int(out, -1);
    int(out, limits.max_wait_ms);
    int(out, limits.min_bytes);
    int(out, limits.max_bytes);
    out.push(u8::from(limits.read_committed));
    // No session: id 0, epoch -1.
    int(out, 0);
    int(out, -1);
    let topics: Vec<_> = asks.chunk_by(|a, b| a.partition.topic == b.partition.topic).collect();
    int(out, topics.len() as i32);
    for of_topic in topics {
        string(out, &of_topic[0].partition.topic);
        int(out, of_topic.len() as i32);
        for ask in of_topic {
            int(out, ask.partition.partition);
            // The epoch of the leader is not known here.
            int(out, -1);
            out.extend(ask.next.to_be_bytes());
            // The log's start is for replicas.
            out.extend((-1_i64).to_be_bytes());
            int(out, limits.partition_bytes);
        }
    }
    // No topics that a session forgets, no rack.
    int(out, 0);
    string(out, "");
}

fn string(out: &mut Vec<u8>, text: &str) {
    // Names of topics have up to 249 bytes; a client's name is cut.
    let bytes = &text.as_bytes()[..text.len().min(1024)];
    out.extend((bytes.len() as i16).to_be_bytes());
    out.extend(bytes);
}

/// The answer for one partition.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
    pub(crate) error: i16,
    /// The end of what may be read: of the last stable offset and the high watermark, what the isolation level makes count.
    pub(crate) end: i64,
    pub(crate) aborted: Vec<Aborted>,
    pub(crate) set: &'a [u8],
}

/// The answer to a Fetch.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) throttle_ms: i32,
    pub(crate) error: i16,
    pub(crate) parts: Vec<Part<'a>>,
}

/// Reads the answer to a Fetch, behind its correlation id.
pub(crate) fn answer(bytes: &[u8]) -> Result<Answer<'_>, Damaged> {
    let mut bytes = Bytes(bytes);
    let (throttle_ms, error) = (bytes.i32()?, bytes.i16()?);
    bytes.i32()?;
    let mut parts = Vec::new();
    for _ in 0..bytes.count()? {
        let topic = bytes.string()?;
        for _ in 0..bytes.count()? {
            parts.push(part(&mut bytes, topic)?);
        }
    }
    Ok(Answer { throttle_ms, error, parts })
}

fn part<'a>(bytes: &mut Bytes<'a>, topic: &'a str) -> Result<Part<'a>, Damaged> {
    let (partition, error) = (bytes.i32()?, bytes.i16()?);
    let (high_watermark, last_stable) = (bytes.i64()?, bytes.i64()?);
    bytes.i64()?;
    let aborted =
        (0..bytes.count()?).map(|_| Ok(Aborted { producer_id: bytes.i64()?, first_offset: bytes.i64()? })).collect::<Result<_, _>>()?;
    // Where a replica would rather be asked: only for those that name their rack.
    bytes.i32()?;
    let set = bytes.sized()?;
    let end = if last_stable >= 0 { last_stable } else { high_watermark };
    Ok(Part { topic, partition, error, end, aborted, set })
}

/// The versions of Fetch that a broker speaks, lowest and highest, in the answer to an ApiVersions request, behind its correlation id.
pub(crate) fn fetch_versions(bytes: &[u8]) -> Result<Option<(i16, i16)>, Damaged> {
    let mut bytes = Bytes(bytes);
    if bytes.i16()? != code::NONE {
        return Ok(None);
    }
    let mut found = None;
    for _ in 0..bytes.count()? {
        let (key, lowest, highest) = (bytes.i16()?, bytes.i16()?, bytes.i16()?);
        if key == FETCH {
            found = Some((lowest, highest));
        }
    }
    Ok(found)
}
