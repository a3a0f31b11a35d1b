//! The schemas that records name or bring along, bound to the columns.

use std::collections::HashMap;
use std::sync::Arc;

use lakefeed_core::Records;
use prost_reflect::{FileDescriptor, MessageDescriptor};

use crate::avro::schema_id;
use crate::fault::{Fault, Result};
use crate::typed::Field;

/// How many schemas are remembered, as in Kafka Connect (`schemas.cache.size`).
const SCHEMAS: usize = 1000;

/// How many bytes of schemas in records are remembered.
const SCHEMA_BYTES: usize = 16 << 20;

/// A schema of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriterSchema {
    /// The subject it is registered under, for messages.
    pub subject: String,
    /// The schema: Avro's JSON, JSON Schema or a Protobuf file.
    pub text: String,
    /// The schemas that it refers to, with the names that it has for them, each after those that it needs itself.
    pub references: Vec<(String, String)>,
}

/// What is known about a schema: its columns, or why it has none.
pub(crate) type Bound = std::result::Result<Row, String>;

/// The fields of a row.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) fields: Arc<[Field]>,
    /// The value is no record: it goes to the one field.
    pub(crate) single: bool,
    /// The number of the schema and its subject, for messages.
    pub(crate) label: Arc<str>,
    pub(crate) protobuf: Option<Protobuf>,
}

/// What Protobuf has beside columns.
#[derive(Debug, Clone)]
pub(crate) enum Protobuf {
    /// Of the number of a schema, which has no fields before one of its messages is met.
    File(FileDescriptor),
    Message(MessageDescriptor),
}

/// The schemas of one topic. Memory: [`SCHEMAS`] of them, and [`SCHEMA_BYTES`] of their texts; then they are forgotten and met anew.
#[derive(Debug, Default)]
pub(crate) struct Schemas {
    by_id: HashMap<u32, Bound>,
    by_text: HashMap<Box<[u8]>, Bound>,
    text_bytes: usize,
    /// The schema of the record before.
    pub(crate) last: Box<[u8]>,
    pub(crate) last_row: Option<Row>,
}

impl Schemas {
    /// The numbers of schemas in `records` that are not known.
    pub(crate) fn unknown(&mut self, records: &Records) -> Vec<u32> {
        if self.by_id.len() > SCHEMAS {
            self.by_id.clear();
        }
        let mut unknown = Vec::new();
        let mut last = None;
        for id in (0..records.len()).filter_map(|row| records.value(row)).filter_map(schema_id) {
            if last != Some(id) && !self.by_id.contains_key(&id) && !unknown.contains(&id) {
                unknown.push(id);
            }
            last = Some(id);
        }
        unknown
    }

    pub(crate) fn learn(&mut self, id: u32, schema: Bound) {
        self.by_id.insert(id, schema);
    }

    /// Forgets that there are no schemas with these numbers: there may be at the next question.
    pub(crate) fn forget_refused(&mut self) {
        self.by_id.retain(|_, schema| schema.is_ok());
    }

    #[inline]
    pub(crate) fn of_id(&self, id: u32) -> Result<&Row> {
        match self.by_id.get(&id) {
            Some(Ok(row)) => Ok(row),
            Some(Err(message)) => Err(Fault::record(message.clone())),
            None => Err(Fault::record(format!("the schema with id {id} was not looked up"))),
        }
    }

    /// The rows of a schema that a record brings along; `None`: it was not met yet.
    pub(crate) fn of_text(&mut self, text: &[u8]) -> Option<Result<Row>> {
        if *self.last == *text {
            return self.last_row.clone().map(Ok);
        }
        let known = self.by_text.get(text)?;
        Some(match known {
            Ok(row) => {
                self.last = text.into();
                self.last_row = Some(row.clone());
                Ok(row.clone())
            }
            Err(message) => Err(Fault::record(message.clone())),
        })
    }

    pub(crate) fn learn_text(&mut self, text: &[u8], schema: Bound) {
        if self.by_text.len() >= SCHEMAS || self.text_bytes + text.len() > SCHEMA_BYTES {
            self.by_text.clear();
            self.text_bytes = 0;
        }
        self.text_bytes += text.len();
        self.by_text.insert(text.into(), schema);
    }
}
