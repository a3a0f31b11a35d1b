//! The keys of the connector.

use std::sync::Arc;

use lakefeed_core::{Config, ConfigDef, ConfigError, Importance, Key, KeyKind};

use crate::attribute::ItemFormat;
use crate::json::push_string;
use crate::size;

const KEY_FIELDS: &str = "key.fields";
const TABLE_NAME: &str = "table.name";
const STREAM_TOPIC: &str = "stream.topic";
const STREAM_VIEW_TYPE: &str = "stream.view.type";
const STREAM_FORMAT: &str = "stream.format";
const STREAM_LABEL: &str = "stream.label";
const ITEM_FORMAT: &str = "item.format";
const AWS_REGION: &str = "aws.region";
const AWS_ACCOUNT_ID: &str = "aws.account.id";

const TABLE: &str = "Table";
const STREAM: &str = "Stream";

/// What a stream record carries besides the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ViewType {
    KeysOnly,
    NewImage,
    OldImage,
    NewAndOldImages,
}

impl ViewType {
    const ALL: [(&'static str, Self); 4] = [
        ("KEYS_ONLY", Self::KeysOnly),
        ("NEW_IMAGE", Self::NewImage),
        ("OLD_IMAGE", Self::OldImage),
        ("NEW_AND_OLD_IMAGES", Self::NewAndOldImages),
    ];

    pub(crate) fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }

    pub(crate) fn has_new(self) -> bool {
        matches!(self, Self::NewImage | Self::NewAndOldImages)
    }

    pub(crate) fn has_old(self) -> bool {
        matches!(self, Self::OldImage | Self::NewAndOldImages)
    }
}

/// The envelope of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamFormat {
    DynamoDb,
    Kinesis,
}

/// An attribute of the primary key.
#[derive(Debug, Clone)]
pub(crate) struct KeyField {
    pub(crate) name: String,
    /// The name as JSON text, with its quotes.
    pub(crate) label: Vec<u8>,
    /// `partition key` or `sort key`.
    pub(crate) role: &'static str,
    pub(crate) max_bytes: usize,
}

impl KeyField {
    fn new(name: &str, index: usize) -> Self {
        let mut label = Vec::new();
        push_string(name, &mut label);
        let (role, max_bytes) = match index {
            0 => ("partition key", size::MAX_PARTITION_KEY_BYTES),
            _ => ("sort key", size::MAX_SORT_KEY_BYTES),
        };
        Self { name: name.to_owned(), label, role, max_bytes }
    }
}

/// The values of the keys.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) key_fields: Vec<KeyField>,
    pub(crate) item_format: ItemFormat,
    pub(crate) stream_format: StreamFormat,
    /// What the records carry; with the Kinesis format always both images.
    pub(crate) view: ViewType,
    table_name: Option<String>,
    stream_topic: Option<Arc<str>>,
    pub(crate) region: String,
    pub(crate) account_id: String,
    pub(crate) label: String,
}

impl Settings {
    /// The settings of a checked configuration.
    pub(crate) fn new(config: &Config) -> Self {
        let stream_format = if config.text(STREAM_FORMAT) == "kinesis" { StreamFormat::Kinesis } else { StreamFormat::DynamoDb };
        let named = ViewType::ALL.iter().find(|(name, _)| *name == config.text(STREAM_VIEW_TYPE));
        let view = match stream_format {
            StreamFormat::DynamoDb => named.map_or(ViewType::NewImage, |(_, view)| *view),
            StreamFormat::Kinesis => ViewType::NewAndOldImages,
        };
        Self {
            key_fields: config.list(KEY_FIELDS).iter().enumerate().map(|(index, name)| KeyField::new(name, index)).collect(),
            item_format: if config.text(ITEM_FORMAT) == "typed" { ItemFormat::Typed } else { ItemFormat::Plain },
            stream_format,
            view,
            table_name: config.get(TABLE_NAME).map(str::to_owned),
            stream_topic: config.get(STREAM_TOPIC).map(Into::into),
            region: config.text(AWS_REGION).to_owned(),
            account_id: config.text(AWS_ACCOUNT_ID).to_owned(),
            label: config.text(STREAM_LABEL).to_owned(),
        }
    }

    /// The table of a topic.
    pub(crate) fn table<'a>(&'a self, topic: &'a str) -> &'a str {
        self.table_name.as_deref().unwrap_or(topic)
    }

    /// Where the changes of a topic go.
    pub(crate) fn stream_topic(&self, topic: &str) -> Arc<str> {
        self.stream_topic.clone().unwrap_or_else(|| format!("{topic}.stream").into())
    }

    /// The key fields, for messages: `id` or `id,seq`.
    pub(crate) fn key_names(&self) -> String {
        self.key_fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>().join(",")
    }
}

/// The keys.
pub(crate) fn def() -> ConfigDef {
    ConfigDef::new().keys(&table_keys()).keys(&stream_keys())
}

fn table_keys() -> [Key; 3] {
    [
        Key::new(
            KEY_FIELDS,
            KeyKind::List,
            "The attributes of the primary key: the partition key, and the sort key if the table has one. Each item must have them. A \
             record key, where there is one, must agree: with one field it is the value as text or as JSON; with two it is a JSON object \
             of both. A delete (a record without a value) is found by its record key.",
        )
        .required()
        .group(TABLE)
        .validator(check_key_fields),
        Key::new(
            ITEM_FORMAT,
            KeyKind::String,
            "How values are written: plain (JSON such as {\"id\":17}) or typed ({\"id\":{\"N\":\"17\"}}).",
        )
        .default("plain")
        .values(&["plain", "typed"])
        .group(TABLE),
        Key::new(TABLE_NAME, KeyKind::String, "The name of the table in the stream records; the name of the topic if it is not set.")
            .importance(Importance::Low)
            .group(TABLE)
            .validator(|name| check_name(name, 3, 255)),
    ]
}

fn stream_keys() -> [Key; 6] {
    [
        Key::new(
            STREAM_VIEW_TYPE,
            KeyKind::String,
            "What a stream record carries besides the keys: KEYS_ONLY, NEW_IMAGE, OLD_IMAGE or NEW_AND_OLD_IMAGES. Old images make the \
             state hold whole items instead of digests of 16 bytes. As in DynamoDB it can't be changed towards old images while a state \
             is there. The kinesis format always carries both images.",
        )
        .default("NEW_IMAGE")
        .values(&["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"])
        .importance(Importance::High)
        .group(STREAM),
        Key::new(
            STREAM_TOPIC,
            KeyKind::String,
            "The topic of the stream records; the name of the table's topic and .stream if it is not set.",
        )
        .group(STREAM)
        .validator(|name| check_name(name, 1, 249)),
        Key::new(
            STREAM_FORMAT,
            KeyKind::String,
            "The envelope: dynamodb (what a Lambda function gets from DynamoDB Streams) or kinesis (Kinesis Data Streams for DynamoDB).",
        )
        .default("dynamodb")
        .values(&["dynamodb", "kinesis"])
        .group(STREAM),
        Key::new(STREAM_LABEL, KeyKind::String, "The last part of the ARN of the stream, in AWS the time at which the stream was enabled.")
            .default("1970-01-01T00:00:00.000")
            .importance(Importance::Low)
            .group(STREAM)
            .validator(|label| check_chars(label, ".:-_")),
        Key::new(AWS_REGION, KeyKind::String, "The region that the stream records name.")
            .default("us-east-1")
            .importance(Importance::Low)
            .group(STREAM)
            .validator(|region| check_chars(region, "-")),
        Key::new(AWS_ACCOUNT_ID, KeyKind::String, "The account that the ARN of the stream names: 12 digits.")
            .default("000000000000")
            .importance(Importance::Low)
            .group(STREAM)
            .validator(|id| expect(id.len() == 12 && id.bytes().all(|b| b.is_ascii_digit()), "12 digits")),
    ]
}

fn expect(holds: bool, expected: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("expected {expected}")) }
}

fn check_key_fields(value: &str) -> Result<(), String> {
    let names: Vec<_> = value.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    expect((1..=2).contains(&names.len()), "one or two attribute names: the partition key, and the sort key if there is one")?;
    expect(names.len() == 1 || names[0] != names[1], "two different attribute names")?;
    expect(names.iter().all(|name| name.len() <= 255), "names of at most 255 bytes")
}

fn check_chars(value: &str, others: &str) -> Result<(), String> {
    let holds = !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c));
    expect(holds, &format!("ASCII letters, digits and any of {others}"))
}

fn check_name(name: &str, min: usize, max: usize) -> Result<(), String> {
    expect((min..=max).contains(&name.len()), &format!("a name of {min} to {max} characters"))?;
    check_chars(name, ".-_")
}

/// Checks across keys.
pub(crate) fn validate(config: &Config) -> Vec<ConfigError> {
    let topics = config.list("topics");
    let several = topics.len() > 1 || config.get("topics.regex").is_some();
    let mut errors = Vec::new();
    for key in [TABLE_NAME, STREAM_TOPIC] {
        if let Some(value) = config.get(key).filter(|_| several) {
            let message =
                "expected to be left out when there is more than one topic, because each topic is a table with a stream of its own";
            errors.push(ConfigError::value(key, value, message));
        }
    }
    if let Some(stream) = config.get(STREAM_TOPIC).filter(|stream| topics.contains(stream)) {
        errors.push(ConfigError::value(STREAM_TOPIC, stream, "expected another topic than the ones that are read"));
    } else if let Some(topic) = topics.iter().find(|topic| topics.contains(&&*format!("{topic}.stream"))) {
        let message = format!("the changes of '{topic}' go to '{topic}.stream', which is read as a table too; take one of them out");
        errors.push(ConfigError::key("topics", message));
    }
    errors
}
