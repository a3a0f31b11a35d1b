//! From records to changes.

use std::sync::Arc;

use lakefeed_core::{Error, Output, Processor, Records, Result, RowSchema, State, shorten};

use crate::config::Settings;
use crate::fault::{Fault, Scan};
use crate::item::{DIGEST_BYTES, Item, ItemDigest, Value};
use crate::key::{KeyReader, Keys, Reading};
use crate::record::{Change, Event, Stream};
use crate::schema::row_schema;

/// What the state holds of an item: its digest; and, when old images are asked for, its size and its image.
#[derive(Debug, Default)]
struct Stored {
    bytes: Vec<u8>,
}

/// The digest and the size.
const HEADER_BYTES: usize = DIGEST_BYTES + 4;

impl Stored {
    fn digest(&self) -> Option<&[u8]> {
        self.bytes.get(..DIGEST_BYTES)
    }

    fn image(&self) -> Option<Value<'_>> {
        let (header, text) = self.bytes.split_at_checked(HEADER_BYTES)?;
        let size = header[DIGEST_BYTES..].try_into().map(u32::from_le_bytes).ok()?;
        Some(Value { text, bytes: size as usize })
    }

    fn set(&mut self, digest: ItemDigest, image: Option<Value<'_>>) {
        self.bytes.clear();
        self.bytes.extend_from_slice(&digest);
        if let Some(image) = image {
            // An item has at most 400 KB.
            self.bytes.extend_from_slice(&u32::try_from(image.bytes).unwrap_or(u32::MAX).to_le_bytes());
            self.bytes.extend_from_slice(image.text);
        }
    }
}

/// A row that can't be used, or the end of the task.
enum Failure {
    Row(Box<Fault>),
    Task(Error),
}

impl From<Box<Fault>> for Failure {
    fn from(fault: Box<Fault>) -> Self {
        Self::Row(fault)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Task(error)
    }
}

/// The processor. All of its fields but the settings and the schema are buffers that are kept from row to row.
#[derive(Debug)]
pub(crate) struct DynamoDbProcessor {
    settings: Settings,
    /// What the rows are, for those who write them otherwise.
    schema: Arc<RowSchema>,
    /// One for each topic that was seen: as many as the connector reads.
    streams: Vec<Stream>,
    item: Item,
    keys: Keys,
    key_reader: KeyReader,
    old: Stored,
    new: Stored,
}

impl DynamoDbProcessor {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            schema: Arc::new(row_schema(&settings)),
            settings,
            streams: Vec::new(),
            item: Item::default(),
            keys: Keys::default(),
            key_reader: KeyReader::default(),
            old: Stored::default(),
            new: Stored::default(),
        }
    }

    fn stream(&mut self, topic: &Arc<str>) -> usize {
        self.streams.iter().position(|stream| stream.input == *topic).unwrap_or_else(|| {
            self.streams.push(Stream::new(topic, &self.settings));
            self.streams.len() - 1
        })
    }

    /// Reads what the state holds under a key into `self.old`; false if there is nothing.
    fn fetch(old: &mut Stored, key: &[u8], settings: &Settings, records: &Records, state: &mut dyn State) -> Result<bool> {
        if !state.get(key, &mut old.bytes)? {
            return Ok(false);
        }
        if old.digest().is_none() {
            let (topic, partition) = (&records.topic, records.partition);
            let message = format!("the state of {topic}-{partition} has an entry that is not one of this connector; remove the state");
            return Err(Error::fatal(message));
        }
        if settings.view.has_old() && old.image().is_none() {
            return Err(Error::config(format!(
                "the state of {}-{} was made without old images, which stream.view.type or stream.format now ask for; set them as they \
                 were, or give the connector a new name and stream.topic so that it reads the table from its start",
                records.topic, records.partition
            )));
        }
        Ok(true)
    }

    fn put(
        &mut self, records: &Records, row: usize, value: &[u8], stream: usize, state: &mut dyn State, out: &mut Output,
    ) -> Result<(), Failure> {
        let settings = &self.settings;
        self.item.read(value, settings.item_format)?;
        self.keys.read_item(&self.item, &settings.key_fields)?;
        if let Some(key) = records.key(row) {
            self.check_record_key(key)?;
        }
        let digest = self.item.digest();
        let keys = self.keys.get();
        let existed = Self::fetch(&mut self.old, keys.text, &self.settings, records, state)?;
        if existed && self.old.digest() == Some(&digest) {
            return Ok(());
        }
        let (image, keep) = (self.item.image(), self.settings.view.has_old());
        self.new.set(digest, keep.then_some(image));
        state.put(keys.text, &self.new.bytes);
        let event = if existed { Event::Modify } else { Event::Insert };
        let old = if existed { self.old.image() } else { None };
        self.streams[stream].write(&change(event, records, row, keys, Some(image), old), out);
        Ok(())
    }

    fn check_record_key(&mut self, key: &[u8]) -> Scan<()> {
        let Settings { key_fields, item_format, .. } = &self.settings;
        if self.key_reader.agrees(key, &self.keys, key_fields, *item_format) {
            return Ok(());
        }
        Err(Fault::item(format!(
            "the record key '{}' is not the key of the item, '{}': expected the same; write the record with the value of key.fields \
             ({}) as its key, or without a key",
            shorten(key),
            shorten(self.keys.get().text),
            self.settings.key_names()
        )))
    }

    fn delete(&mut self, records: &Records, row: usize, stream: usize, state: &mut dyn State, out: &mut Output) -> Result<(), Failure> {
        let Settings { key_fields, item_format, .. } = &self.settings;
        let Some(key) = records.key(row) else {
            let names = self.settings.key_names();
            let message = format!("a delete (a record without a value) needs a record key; expected the value of key.fields ({names})");
            return Err(Fault::key(message).into());
        };
        let (mut readable, mut faults) = (false, Vec::new());
        for reading in KeyReader::readings(key_fields, *item_format) {
            match self.key_reader.read(*reading, key, key_fields) {
                Ok(keys) => {
                    let keys = keys.get();
                    if Self::fetch(&mut self.old, keys.text, &self.settings, records, state)? {
                        state.delete(keys.text);
                        self.streams[stream].write(&change(Event::Remove, records, row, keys, None, self.old.image()), out);
                        return Ok(());
                    }
                    readable = true;
                }
                Err(fault) => faults.push((*reading, fault)),
            }
        }
        // An object that is none of a key is a mistake, although it could be read as text.
        let blamed = |reading| match reading {
            Reading::Object => key_fields.len() > 1 || key.starts_with(b"{"),
            reading => !readable && reading == Reading::Text,
        };
        match faults.into_iter().find(|(reading, _)| blamed(*reading)) {
            Some((_, fault)) => Err(fault.into()),
            None => Ok(()),
        }
    }
}

fn change<'a>(event: Event, records: &Records, row: usize, keys: Value<'a>, new: Option<Value<'a>>, old: Option<Value<'a>>) -> Change<'a> {
    let (offset, timestamp_ms) = (records.offsets[row], records.timestamps[row]);
    Change { event, keys, new, old, partition: records.partition, offset, timestamp_ms }
}

impl Processor for DynamoDbProcessor {
    fn process(&mut self, records: &Records, state: &mut dyn State, out: &mut Output) -> Result<()> {
        let stream = self.stream(&records.topic);
        out.schema = Some(Arc::clone(&self.schema));
        for row in 0..records.len() {
            let done = match records.value(row) {
                Some(value) => self.put(records, row, value, stream, state, out),
                None => self.delete(records, row, stream, state, out),
            };
            match done {
                Ok(()) => {}
                Err(Failure::Row(fault)) => out.rejected.push(fault.reject(row)),
                Err(Failure::Task(error)) => return Err(error),
            }
        }
        Ok(())
    }

    fn output_topics(&self, input: &str) -> Vec<String> {
        vec![self.settings.stream_topic(input).to_string()]
    }
}
