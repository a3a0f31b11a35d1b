//! Stream records: what a Lambda function gets as one of its `Records`, and what Kinesis Data Streams for DynamoDB writes.

use std::sync::Arc;

use lakefeed_core::Output;
use sha2::{Digest, Sha256};

use crate::config::{Settings, StreamFormat, ViewType};
use crate::item::Value;
use crate::json::{push_decimal, push_string};

/// What happened to an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Insert,
    Modify,
    Remove,
}

impl Event {
    fn name(self) -> &'static [u8] {
        match self {
            Self::Insert => b"INSERT",
            Self::Modify => b"MODIFY",
            Self::Remove => b"REMOVE",
        }
    }
}

/// A change of an item, and the record that made it.
#[derive(Debug)]
pub(crate) struct Change<'a> {
    pub(crate) event: Event,
    pub(crate) keys: Value<'a>,
    pub(crate) new: Option<Value<'a>>,
    pub(crate) old: Option<Value<'a>>,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) timestamp_ms: i64,
}

/// The stream of one table: what all of its records have in common.
#[derive(Debug)]
pub(crate) struct Stream {
    /// The topic that is the table.
    pub(crate) input: Arc<str>,
    output: Arc<str>,
    format: StreamFormat,
    view: ViewType,
    /// Up to the id.
    start: Vec<u8>,
    /// From the event's name to its time.
    head: Vec<u8>,
    /// From the size to the end.
    tail: Vec<u8>,
    /// A hash that has taken in the name of the topic.
    id_seed: Sha256,
}

fn json(text: &str) -> String {
    let mut out = Vec::new();
    push_string(text, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

impl Stream {
    /// The stream of the table `input`.
    pub(crate) fn new(input: &Arc<str>, settings: &Settings) -> Self {
        let (table, region) = (settings.table(input), json(&settings.region));
        let (head, tail) = match settings.stream_format {
            StreamFormat::DynamoDb => {
                let arn = format!("arn:aws:dynamodb:{}:{}:table/{table}/stream/{}", settings.region, settings.account_id, settings.label);
                (
                    format!(
                        r#"","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":{region},"dynamodb":{{"ApproximateCreationDateTime":"#
                    ),
                    format!(r#","StreamViewType":"{}"}},"eventSourceARN":{}}}"#, settings.view.name(), json(&arn)),
                )
            }
            StreamFormat::Kinesis => (
                format!(
                    r#"","userIdentity":null,"recordFormat":"application/json","tableName":{},"dynamodb":{{"ApproximateCreationDateTime":"#,
                    json(table)
                ),
                r#"},"eventSource":"aws:dynamodb"}"#.to_owned(),
            ),
        };
        let start = match settings.stream_format {
            StreamFormat::DynamoDb => r#"{"eventID":""#.to_owned(),
            StreamFormat::Kinesis => format!(r#"{{"awsRegion":{region},"eventID":""#),
        };
        let mut id_seed = Sha256::new();
        id_seed.update(input.as_bytes());
        // A name of a topic has no NUL, so no two records hash the same bytes.
        id_seed.update([0]);
        Self {
            input: Arc::clone(input),
            output: settings.stream_topic(input),
            format: settings.stream_format,
            view: settings.view,
            start: start.into_bytes(),
            head: head.into_bytes(),
            tail: tail.into_bytes(),
            id_seed,
        }
    }

    /// Appends the record of a change to `out`.
    pub(crate) fn write(&self, change: &Change<'_>, out: &mut Output) {
        let new = change.new.filter(|_| self.view.has_new());
        let old = change.old.filter(|_| self.view.has_old());
        let bytes = change.keys.bytes + new.map_or(0, |image| image.bytes) + old.map_or(0, |image| image.bytes);
        // A record without a time is shown at 0, and the broker gives the output its own.
        let timestamp_ms = (change.timestamp_ms >= 0).then_some(change.timestamp_ms);
        let time = timestamp_ms.unwrap_or(0).unsigned_abs();

        out.to_topic(&self.output);
        out.buffer().extend_from_slice(change.keys.text);
        out.end_key();
        let text = out.buffer();
        text.extend_from_slice(&self.start);
        self.push_id(change, text);
        text.extend_from_slice(br#"","eventName":""#);
        text.extend_from_slice(change.event.name());
        text.extend_from_slice(&self.head);
        push_decimal(if self.format == StreamFormat::DynamoDb { time / 1000 } else { time }, 1, text);
        text.extend_from_slice(br#","Keys":"#);
        text.extend_from_slice(change.keys.text);
        for (name, image) in [(&br#","NewImage":"#[..], new), (br#","OldImage":"#, old)] {
            if let Some(image) = image {
                text.extend_from_slice(name);
                text.extend_from_slice(image.text);
            }
        }
        if self.format == StreamFormat::DynamoDb {
            text.extend_from_slice(br#","SequenceNumber":""#);
            push_sequence_number(change.partition, change.offset, text);
            text.push(b'"');
        }
        text.extend_from_slice(br#","SizeBytes":"#);
        push_decimal(bytes as u64, 1, text);
        text.extend_from_slice(&self.tail);
        out.end_row(timestamp_ms);
    }

    /// The id: 128 bits of a hash of topic, partition and offset, so that a record that is written again has the same. As 32
    /// hexadecimal digits, or as a UUID in the Kinesis format.
    fn push_id(&self, change: &Change<'_>, text: &mut Vec<u8>) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut hash = self.id_seed.clone();
        hash.update(change.partition.to_be_bytes());
        hash.update(change.offset.to_be_bytes());
        let hash = hash.finalize();
        for (index, byte) in hash.iter().take(16).enumerate() {
            if self.format == StreamFormat::Kinesis && matches!(index, 4 | 6 | 8 | 10) {
                text.push(b'-');
            }
            text.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

/// `1`, the partition in 10 digits, the offset in 19: as a number and as text it grows with the offset, and no two records of a topic
/// have the same.
fn push_sequence_number(partition: i32, offset: i64, text: &mut Vec<u8>) {
    text.push(b'1');
    push_decimal(u64::from(partition.unsigned_abs()), 10, text);
    push_decimal(offset.unsigned_abs(), 19, text);
}
