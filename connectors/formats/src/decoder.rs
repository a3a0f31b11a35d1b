//! Records to batches.

use std::sync::Arc;

use arrow_array::{ArrayRef, ListArray, RecordBatch, RecordBatchOptions, StringArray};
use arrow_schema::{Schema, SchemaRef};
use lakefeed_core::{Records, Rejected};

use crate::connect_schema::{self, Envelope};
use crate::converter::Converter;
use crate::fault::{Fault, Result};
use crate::fields::{Fields, Growth};
use crate::image::stream_record;
use crate::json::Scanner;
use crate::object::{Plain, Syntax, members};
use crate::schema::DeclaredType;
use crate::schemas::{Bound, Protobuf, Row, Schemas, WriterSchema};
use crate::transforms::fit;
use crate::typed::{Field, Type, bind};
use crate::{avro, avro_schema, json_schema, protobuf};

/// The deepest nesting that can be asked for: every level takes some of the thread's stack.
const MAX_DEPTH: usize = 500;

/// What a record's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shape {
    /// A JSON object: the row.
    #[default]
    Plain,
    /// A DynamoDB stream record (that of DynamoDB Streams or of Kinesis Data Streams for DynamoDB). The row is its
    /// `dynamodb.NewImage`, with the typed attribute values made plain; records of removed items are dropped.
    NewImage,
    /// The same, but records of removed items are tombstones.
    NewImageOrTombstone,
}

/// What becomes of a value that does not fit its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SchemaConflict {
    /// Its row is rejected.
    #[default]
    Reject,
    /// The column becomes text, and every value in it is kept as its JSON text (strings without their quotes).
    Text,
}

/// How to decode.
#[derive(Debug, Clone)]
pub struct DecoderOptions {
    /// How values are read.
    pub converter: Converter,
    /// What a record's value is.
    pub shape: Shape,
    /// What becomes of a value that does not fit its column.
    pub conflict: SchemaConflict,
    /// Columns whose type is given. Other columns are inferred as they are met.
    pub declared: Option<Vec<(String, DeclaredType)>>,
    /// How deep objects and arrays may be nested, the row itself included; more than 500 is taken for 500.
    pub max_depth: usize,
    /// How many columns there may be, nested ones included. A row that would bring more is rejected.
    pub max_columns: usize,
}

impl Default for DecoderOptions {
    fn default() -> Self {
        Self {
            converter: Converter::default(),
            shape: Shape::default(),
            conflict: SchemaConflict::default(),
            declared: None,
            max_depth: 128,
            max_columns: 5000,
        }
    }
}

/// Decodes the records of a topic into batches. It remembers the schema it has seen.
///
/// Types are inferred: BOOLEAN, BIGINT, DOUBLE, VARCHAR, structs and lists to any depth, and BLOB for DynamoDB's binary values. The
/// schema only grows, at its end: by columns, in the order in which they got their first value, and from BIGINT to DOUBLE when a
/// column of integers meets another number. That happens only while it loses nothing: a column that has held integers that a double
/// can't hold exactly refuses to become one, and a column of doubles refuses such integers. A column that has only held nulls,
/// empty objects or empty arrays has no type yet and is left out.
///
/// Rejected are, besides what is no strict JSON (RFC 8259) or no object: a member that is there twice, an empty name, names that
/// differ only in case from a column's (SQL readers don't tell them apart), and values that don't fit their column. A rejected row
/// leaves no trace, in the batch or in the schema.
///
/// Memory: a batch holds a cell for each of its rows in each column, so at most rows x columns x 16 bytes beside the texts.
#[derive(Debug)]
pub struct Decoder {
    options: DecoderOptions,
    root: Fields,
    growth: Growth,
    /// The schema of `root` without rows: where a row that would change the schema is tried first.
    trial: Option<Fields>,
    schema: SchemaRef,
    schemas: Schemas,
    /// The schema of all values, if the converter has one.
    fixed: Option<Bound>,
    /// See [`Decoded::single`].
    single: bool,
    /// The columns of all values, if they were given as such.
    given: Option<SchemaRef>,
}

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Row,
    Tombstone,
    Dropped,
}

/// A decoded [`Records`]: each record is a row, a tombstone, dropped or rejected.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// The rows.
    pub rows: RecordBatch,
    /// For each row the index of its record, ascending.
    pub indices: Vec<u32>,
    /// The indices of records without a value.
    pub tombstones: Vec<u32>,
    /// How many records were left out because the shape has no row for them: removals.
    pub dropped: usize,
    /// The records that are no rows.
    pub rejected: Vec<Rejected>,
    /// The values are no structs or objects: they stand in the one column `value`.
    pub single: bool,
    /// What transforms have changed beside them.
    pub beside: Beside,
}

/// What transforms have made, for each row, of what stands beside its value; `None`: it is that of its record.
#[derive(Debug, Clone, Default)]
pub struct Beside {
    /// The columns of the keys, all null where there is none, and whether they are the one column `value`.
    pub keys: Option<(RecordBatch, bool)>,
    /// As [`lakefeed_core::Headers::to_list`] has them.
    pub headers: Option<ListArray>,
    /// The topics that rows go to.
    pub topics: Option<StringArray>,
}

impl Decoder {
    /// A decoder that knows only the declared columns.
    pub fn new(mut options: DecoderOptions) -> Self {
        options.max_depth = options.max_depth.min(MAX_DEPTH);
        let mut growth = Growth::new(options.conflict == SchemaConflict::Text, options.max_columns);
        let mut root = Fields::default();
        for (name, kind) in options.declared.iter().flatten() {
            root.declare(name, *kind, &mut growth);
        }
        let schema = Arc::new(Schema::empty());
        let mut decoder =
            Self { options, root, growth, trial: None, schema, schemas: Schemas::default(), fixed: None, single: false, given: None };
        decoder.fixed = match &decoder.options.converter {
            Converter::JsonOfSchema(text) => {
                let kind = connect_schema::parse(text.as_bytes());
                Some(decoder.bind_kind(kind, "schema.content"))
            }
            Converter::Single(single) => {
                let row = single.row();
                Some(decoder.bind(row, true, "the value"))
            }
            Converter::Json | Converter::JsonWithSchema | Converter::JsonRegistered | Converter::Avro | Converter::Protobuf => None,
        };
        decoder.finish(0);
        decoder
    }

    /// A decoder of plain JSON objects with these columns; others are inferred as they are met. A column of text takes any value as it is written.
    /// The batches have the fields of `columns` inside of structs too, with what they say beside names and types.
    ///
    /// # Errors
    /// Which column has a type that no decoder makes.
    pub fn of_columns(columns: &SchemaRef) -> Result<Self, String> {
        let mut decoder = Self::new(DecoderOptions::default());
        let typed = |field: &Arc<arrow_schema::Field>| {
            let kind = Type::of(field.data_type())
                .ok_or_else(|| format!("column {}: {} is the type of no column", field.name(), field.data_type()))?;
            Ok(Field::new(field.name(), kind))
        };
        let fields = columns.fields().iter().map(typed).collect::<Result<_, String>>()?;
        decoder.bind(fields, false, "the schema of the rows")?;
        decoder.given = Some(Arc::clone(columns));
        Ok(decoder)
    }

    /// See [`Converter::registered`].
    pub fn registered(&self) -> Option<&'static str> {
        self.options.converter.registered()
    }

    /// The numbers of schemas in `records` that are not known yet. Each has to be given to [`Decoder::learn_schema`] before they are decoded.
    pub fn unknown_schemas(&mut self, records: &Records) -> Vec<u32> {
        if self.options.converter.registered().is_some() { self.schemas.unknown(records) } else { Vec::new() }
    }

    /// What the registry says of a schema: its text, or why there is none. Records of a schema that there is not, or that does not fit the
    /// columns, are rejected; the next batch asks again.
    pub fn learn_schema(&mut self, id: u32, schema: Result<WriterSchema, String>) {
        let bound = schema.and_then(|schema| {
            let label = format!("schema id {id} of subject {}", schema.subject);
            let kind = match self.options.converter {
                // Which of its messages are met is seen later.
                Converter::Protobuf => {
                    let file = protobuf::parse(&schema.text, &schema.references).map_err(|message| format!("{label}: {message}"))?;
                    return Ok(Row { fields: Arc::default(), single: false, label: label.into(), protobuf: Some(Protobuf::File(file)) });
                }
                Converter::JsonRegistered => json_schema::parse(&schema.text),
                _ => avro_schema::parse(&schema.text, &schema.references),
            };
            self.bind_kind(kind, &label)
        });
        self.schemas.learn(id, bound);
    }

    fn bind_kind(&mut self, kind: Result<Type, String>, label: &str) -> Bound {
        let kind = kind.map_err(|message| format!("{label}: {message}"))?;
        let single = !matches!(kind, Type::Record(_));
        self.bind(kind.into_row(), single, label)
    }

    /// Gives fields their columns, if they all fit.
    fn bind(&mut self, mut fields: Vec<Field>, single: bool, label: &str) -> Bound {
        let mut trial = self.root.empty_copy();
        let mut growth = self.growth.clone();
        growth.allow(true);
        bind(&mut fields, &mut trial, &mut growth).map_err(|fault| format!("{label}: {}", fault.into_message()))?;
        self.growth.allow(true);
        // What could be bound to the copy can be bound to the columns.
        let bound = bind(&mut fields, &mut self.root, &mut self.growth);
        self.growth.allow(false);
        self.trial = None;
        bound.map_err(|fault| fault.into_message())?;
        Ok(Row { fields: fields.into(), single, label: label.into(), protobuf: None })
    }

    /// The schema after the last batch.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Decodes all of `records`.
    pub fn decode(&mut self, records: &Records) -> Decoded {
        loop {
            // A column that becomes text needs the text of all its values, so the batch is decoded again; that can happen once for
            // each column.
            if let Some(decoded) = self.pass(records) {
                self.schemas.forget_refused();
                return decoded;
            }
        }
    }

    fn pass(&mut self, records: &Records) -> Option<Decoded> {
        let mut indices = Vec::with_capacity(records.len());
        let (mut tombstones, mut rejected, mut dropped) = (Vec::new(), Vec::new(), 0);
        for index in 0..records.len() {
            let Some(value) = records.value(index) else {
                tombstones.push(index as u32);
                continue;
            };
            match self.record(value, indices.len()) {
                Ok(Kept::Row) => indices.push(index as u32),
                Ok(Kept::Tombstone) => tombstones.push(index as u32),
                Ok(Kept::Dropped) => dropped += 1,
                Err(fault) => {
                    self.root.truncate(indices.len());
                    rejected.push(fault.into_rejected(index));
                }
            }
            if self.growth.turned {
                self.growth.turned = false;
                return None;
            }
        }
        let rows = self.finish(indices.len());
        Some(Decoded { rows, indices, tombstones, dropped, rejected, single: self.single, beside: Beside::default() })
    }

    /// Appends a record as row number `row`.
    fn record(&mut self, value: &[u8], row: usize) -> Result<Kept> {
        let fixed = || self.fixed.as_ref().map(|row| row.as_ref().map_err(|message| Fault::record(message.clone()))).transpose();
        match &self.options.converter {
            Converter::Avro => {
                let id = avro::schema_id(value).ok_or_else(|| avro::no_schema_id(value))?;
                let schema = self.schemas.of_id(id)?;
                self.single = schema.single;
                let appended = avro::append(&value[avro::PREFIX..], &schema.fields, &mut self.root, row);
                return appended.map(|()| Kept::Row).map_err(|fault| fault.because(&schema.label));
            }
            Converter::Protobuf => return self.protobuf(value, row),
            Converter::Single(single) => {
                let field = fixed()?.and_then(|row| row.fields.first().cloned());
                let field = field.ok_or_else(|| Fault::record("the value has no column"))?;
                self.single = true;
                return single.append(value, &field, &mut self.root, row).map(|()| Kept::Row);
            }
            Converter::Json | Converter::JsonWithSchema | Converter::JsonOfSchema(_) | Converter::JsonRegistered => {}
        }
        // The number of a schema is no text.
        let text = if self.options.converter == Converter::JsonRegistered { value.get(avro::PREFIX..).unwrap_or_default() } else { value };
        if !text.is_ascii()
            && let Err(error) = str::from_utf8(text)
        {
            return Err(Fault::record(format!("the value is not UTF-8: the byte at {} belongs to no character", error.valid_up_to())));
        }
        let fixed = fixed()?.cloned();
        match self.options.converter {
            Converter::JsonWithSchema => self.envelope(value, row),
            Converter::JsonRegistered => self.behind_id(value, row),
            _ => self.json(value, fixed.filter(|row| row.single).as_ref(), row),
        }
    }

    /// Appends the payload of an envelope.
    fn envelope(&mut self, value: &[u8], row: usize) -> Result<Kept> {
        let Envelope { schema, payload } = Envelope::open(value, &self.schemas.last, self.options.max_depth)?;
        if payload == b"null" {
            return Ok(Kept::Tombstone);
        }
        if schema == b"null" {
            return self.json(payload, None, row);
        }
        let fields = match self.schemas.of_text(schema) {
            Some(known) => known?,
            None => self.learn_text(schema)?,
        };
        self.json(payload, Some(&fields).filter(|row| row.single), row)
    }

    /// Appends the JSON behind the number of a schema.
    fn behind_id(&mut self, value: &[u8], row: usize) -> Result<Kept> {
        let id = avro::schema_id(value).ok_or_else(|| avro::no_schema_id(value))?;
        let schema = self.schemas.of_id(id)?.clone();
        let kept = self.json(&value[avro::PREFIX..], Some(&schema).filter(|row| row.single), row);
        kept.map_err(|fault| fault.because(&schema.label))
    }

    /// Appends the Protobuf message behind the number of a schema.
    fn protobuf(&mut self, value: &[u8], row: usize) -> Result<Kept> {
        let id = avro::schema_id(value).ok_or_else(|| avro::no_schema_id(value))?;
        let parts = protobuf::parts(value)?;
        let schema = match self.schemas.of_text(parts.prefix) {
            Some(known) => known?,
            None => self.learn_message(id, &parts)?,
        };
        let Some(Protobuf::Message(message)) = &schema.protobuf else { return Err(avro::unbound()) };
        self.single = false;
        let appended = protobuf::append(parts.message, message, &schema.fields, &mut self.root, row);
        appended.map(|()| Kept::Row).map_err(|fault| fault.because(&schema.label))
    }

    #[cold]
    fn learn_message(&mut self, id: u32, parts: &protobuf::Parts<'_>) -> Result<Row> {
        let schema = self.schemas.of_id(id)?;
        let Some(Protobuf::File(file)) = &schema.protobuf else { return Err(avro::unbound()) };
        let label = Arc::clone(&schema.label);
        let message = protobuf::message_of(file, &parts.path);
        let fields = message.and_then(|message| Ok((protobuf::fields_of(&message)?, message)));
        let bound = fields.map_err(|e| format!("{label}: {e}")).and_then(|(fields, message)| {
            let row = self.bind(fields, false, &label)?;
            Ok(Row { protobuf: Some(Protobuf::Message(message)), ..row })
        });
        self.schemas.learn_text(parts.prefix, bound.clone());
        bound.map_err(Fault::record)
    }

    #[cold]
    fn learn_text(&mut self, text: &[u8]) -> Result<Row> {
        let bound = self.bind_kind(connect_schema::parse(text), "the record's schema");
        self.schemas.learn_text(text, bound.clone());
        bound.map_err(Fault::record)
    }

    /// Appends a JSON object, or the value of the one field of `single`.
    fn json(&mut self, value: &[u8], single: Option<&Row>, row: usize) -> Result<Kept> {
        let field = single.and_then(|row| row.fields.first());
        self.single = field.is_some();
        let kept = match append(&self.options, &mut self.root, &mut self.growth, value, field, row) {
            Err(Fault::Growth) => self.grow(value, field, row),
            result => result,
        }?;
        Ok(match self.options.shape {
            _ if kept => Kept::Row,
            Shape::NewImageOrTombstone => Kept::Tombstone,
            Shape::Plain | Shape::NewImage => Kept::Dropped,
        })
    }

    /// Appends a record that changes the schema, unless there is something wrong with it.
    #[cold]
    fn grow(&mut self, value: &[u8], field: Option<&Field>, row: usize) -> Result<bool> {
        self.root.truncate(row);
        let mut trial = self.trial.take().unwrap_or_else(|| self.root.empty_copy());
        let mut growth = self.growth.clone();
        growth.allow(true);
        let kept = append(&self.options, &mut trial, &mut growth, value, field, 0)?;
        trial.truncate(0);
        growth.allow(false);
        if growth.turned {
            self.root = trial;
            self.growth = growth;
            return Ok(kept);
        }
        self.growth.allow(true);
        let result = append(&self.options, &mut self.root, &mut self.growth, value, field, row);
        self.growth.allow(false);
        self.trial = Some(trial);
        result
    }

    /// Takes the rows out as a batch.
    fn finish(&mut self, rows: usize) -> RecordBatch {
        let (fields, arrays) = self.root.take(rows);
        let (fields, arrays) = match &self.given {
            Some(given) => with_fields_of(given, &fields, arrays),
            None => (fields, arrays),
        };
        if *self.schema.fields() != fields {
            self.schema = Arc::new(Schema::new(fields));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        // The fields were made from the arrays, and each of those was padded to `rows` rows.
        RecordBatch::try_new_with_options(self.schema(), arrays, &options).expect("columns of one length and of their own types")
    }
}

/// Columns with the fields that were given.
fn with_fields_of(given: &Schema, fields: &arrow_schema::Fields, arrays: Vec<ArrayRef>) -> (arrow_schema::Fields, Vec<ArrayRef>) {
    let (fields, arrays): (Vec<_>, Vec<_>) = fields
        .iter()
        .zip(arrays)
        .map(|(field, array)| match given.field_with_name(field.name()) {
            // The columns were bound to these types, and differ in what is said beside names and types at most.
            Ok(known) => match fit(&array, known.data_type()) {
                Ok((array, _)) => (Arc::new(known.clone()), array),
                Err(_) => (Arc::clone(field), array),
            },
            Err(_) => (Arc::clone(field), array),
        })
        .unzip();
    (fields.into(), arrays)
}

fn append(
    options: &DecoderOptions, fields: &mut Fields, growth: &mut Growth, value: &[u8], field: Option<&Field>, row: usize,
) -> Result<bool> {
    let mut scanner = Scanner::new(value);
    if let Some(field) = field {
        let column = &mut fields.member(field.column).column;
        column.begin(row);
        Plain::value(&mut scanner, column, growth, options.max_depth)?;
        return scanner.end().map(|()| true);
    }
    if scanner.token() != b'{' {
        return Err(no_object(value, scanner));
    }
    let kept = match options.shape {
        Shape::Plain => {
            members::<Plain>(&mut scanner, fields, row, growth, options.max_depth)?;
            true
        }
        Shape::NewImage | Shape::NewImageOrTombstone => stream_record(&mut scanner, fields, row, growth, options.max_depth)?,
    };
    scanner.end()?;
    Ok(kept)
}

#[cold]
fn no_object(value: &[u8], mut scanner: Scanner<'_>) -> Fault {
    let found = match scanner.token() {
        _ if value.is_empty() => "the value is empty",
        _ if value.starts_with("\u{feff}".as_bytes()) => "the value begins with a byte order mark",
        b'[' => "found an array",
        b'"' => "found a string",
        b'-' | b'0'..=b'9' => "found a number",
        _ => return scanner.fault("a JSON object"),
    };
    let shown = lakefeed_core::shorten(value);
    Fault::record(format!("{found}, expected a JSON object; the value is `{shown}`"))
}
