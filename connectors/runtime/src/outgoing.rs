//! Rows of a source or processor on their way to the producer: through the transforms, then through the converters.
//!
//! Both write JSON. Where the converters write the same, and nothing is transformed, rows go as they are; otherwise they are decoded
//! into columns, whose types they give, and encoded again.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use arrow_array::{Array, BinaryArray, BooleanArray, RecordBatch};
use arrow_schema::{DataType, Schema, SchemaRef};
use arrow_select::filter::filter_record_batch;
use lakefeed_core::{
    Clock as _, Error, Headers, Output, OutputRow, PluginKind, Records, RecordsBuilder, Rejected, Result, RowSchema, SystemClock,
};
use lakefeed_formats::{
    Chain, Converter, DeclaredType, Decoder, DecoderOptions, Nulls, RowWriter, SchemaConflict, Shape, Single, Transforms, Written,
    keys_present,
};
use lakefeed_registry::Registry;

use crate::converters::{Form, Forms, RegistryOutput};
use crate::task::TaskEnv;

/// What the schema of rows is called that `ExtractNewImage` has made, unless `SetSchemaMetadata` names it.
const IMAGE: &str = "NewImage";

/// How many topics have their decoders and schemas remembered.
const TOPICS: usize = 1000;

/// Rows that were refused on the way.
pub(crate) struct Refused {
    pub(crate) topic: Arc<str>,
    pub(crate) rejected: Rejected,
    pub(crate) raw: Vec<u8>,
}

pub(crate) struct Outgoing {
    transforms: Transforms,
    key: Side,
    value: Side,
    /// Of a processor: how rows are decoded where it does not say what they are, or a transform makes others of them.
    processor: Option<DecoderOptions>,
    /// The schema of the rows that the decoders were made for.
    schema: Option<Arc<RowSchema>>,
    topics: HashMap<Arc<str>, Topic>,
}

/// What becomes of the rows of one topic.
struct Topic {
    keys: Decoder,
    values: Decoder,
    chain: Chain,
}

/// Keys or values.
struct Side {
    form: Form,
    is_key: bool,
    nulls: Nulls,
    /// The types of the columns are found out from values, so they may be narrower than those that were found before a restart.
    inferred: bool,
    registry: Option<Registry>,
    /// By topic: the columns that were written last, and the writer of their schema.
    writers: HashMap<Arc<str>, (SchemaRef, RowWriter)>,
}

impl Outgoing {
    /// `None`: rows go as they are.
    pub(crate) fn open(env: &TaskEnv) -> Result<Option<Self>> {
        let Forms { key, value } = env.worker.forms(&env.connector)?;
        let transforms = env.connector.transforms.clone();
        if key.is_as_it_is() && value.is_as_it_is() && transforms.is_empty() {
            return Ok(None);
        }
        let is_processor = env.connector.plugin.kind() == PluginKind::Processor;
        let processor = is_processor.then(|| env.connector.decoder_options(Converter::Json));
        // A source's row has all of its columns, a stream record those that it is about.
        let nulls = if is_processor { Nulls::LeftOut } else { Nulls::Written };
        let inferred = transforms.shape() != Shape::Plain;
        let (key, value) = (Side::open(key, true, nulls, false)?, Side::open(value, false, nulls, inferred)?);
        Ok(Some(Self { transforms, key, value, processor, schema: None, topics: HashMap::new() }))
    }

    /// Takes the rows of `from` to `to`, whose other parts stay as they are.
    ///
    /// # Errors
    /// `Retry`: no registry answers. `Config`: it refuses a schema, or rows do not fit the one that it has.
    pub(crate) fn take(&mut self, from: &Output, to: &mut Output) -> Result<Vec<Refused>> {
        if self.schema != from.schema || self.topics.len() > TOPICS {
            self.topics.clear();
            self.schema.clone_from(&from.schema);
        }
        let mut refused = Vec::new();
        let mut start = 0;
        while let Some(first) = from.rows().get(start) {
            let topic: Arc<str> = from.topic(first).into();
            let end = from.rows()[start..].iter().position(|row| from.topic(row) != &*topic).map_or(from.rows().len(), |n| start + n);
            self.take_topic(from, start..end, &topic, to, &mut refused)?;
            start = end;
        }
        Ok(refused)
    }

    fn take_topic(
        &mut self, from: &Output, rows: Range<usize>, topic: &Arc<str>, to: &mut Output, refused: &mut Vec<Refused>,
    ) -> Result<()> {
        let rows = &from.rows()[rows];
        let values = records(topic, rows, from, Output::value);
        let keys = records(topic, rows, from, Output::key);
        let schema = self.schema.as_deref();
        if !self.topics.contains_key(topic) {
            let made = match &self.processor {
                Some(options) => Topic::of_processor(schema, &self.transforms, options)?,
                None => Topic::of_source(schema, &self.transforms, self.value.has_schema()),
            };
            self.topics.insert(Arc::clone(topic), made);
        }
        let Some(known) = self.topics.get_mut(topic) else { return Ok(()) };
        let keys = known.keys.decode(&keys);
        let decoded = known.chain.apply_with_keys(&values, known.values.decode(&values), Some(&keys))?;
        for rejected in &decoded.rejected {
            let raw = values.value(rejected.row).unwrap_or_default().to_vec();
            refused.push(Refused { topic: Arc::clone(topic), rejected: rejected.clone(), raw });
        }
        let name = |of_key: bool, own: Option<&str>| self.transforms.schema_name(of_key).or(own).unwrap_or_default().to_owned();
        let key_name = name(true, schema.map(|schema| &*schema.key_name));
        let plain = self.transforms.shape() == Shape::Plain;
        let value_name = name(false, if plain { schema.map(|schema| &*schema.value_name) } else { Some(IMAGE) });
        let topic_of = |row: usize| decoded.beside.topics.as_ref().map_or(&**topic, |topics| topics.value(row));
        let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        (0..decoded.indices.len()).for_each(|row| places.entry(topic_of(row)).or_default().push(row));
        let mut made: Vec<Made> = Vec::with_capacity(rows.len());
        let none = (RecordBatch::new_empty(Arc::new(Schema::empty())), true);
        let (key_rows, single_key) = decoded.beside.keys.as_ref().unwrap_or(&none);
        for (topic, places) in &places {
            let taken = |batch: &RecordBatch| only(batch, places);
            let values = self.value.write(topic, &value_name, &taken(&decoded.rows)?, decoded.single)?;
            let keys = self.key.write(topic, &key_name, &taken(key_rows)?, *single_key)?;
            let row = |at: usize| Made {
                record: decoded.indices[places[at]] as usize,
                topic: (*topic).into(),
                key: cell(&keys, at),
                value: cell(&values, at),
                row: Some(places[at]),
            };
            made.extend((0..places.len()).map(row));
        }
        if !decoded.tombstones.is_empty() {
            let mut places: BTreeMap<String, Vec<usize>> = BTreeMap::new();
            for record in &decoded.tombstones {
                let record = *record as usize;
                places.entry(self.transforms.routed_tombstone(topic, values.timestamps[record])).or_default().push(record);
            }
            for (topic, records) in places {
                let written = self.key.write(&topic, &key_name, &keys.rows, keys.single)?;
                let key = |record: usize| keys.indices.binary_search(&(record as u32)).ok().and_then(|at| cell(&written, at));
                let row = |record: usize| Made { record, topic: topic.as_str().into(), key: key(record), value: None, row: None };
                made.extend(records.into_iter().map(row));
            }
        }
        made.sort_by_key(|made| made.record);
        let headers = decoded.beside.headers.as_ref().map(Headers::from_list);
        for Made { record, topic, key, value, row } in made {
            to.to_topic(&topic);
            to.push(key.as_deref(), value.as_deref(), rows[record].timestamp_ms);
            if let Some((headers, row)) = headers.as_ref().zip(row) {
                headers.of(row).for_each(|(name, value)| to.push_header(name, value));
            }
        }
        Ok(())
    }
}

/// A row that is ready.
struct Made {
    record: usize,
    topic: Arc<str>,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    /// Its number behind the transforms.
    row: Option<usize>,
}

/// These rows of a batch, which ascend; a batch without rows has none.
fn only(batch: &RecordBatch, rows: &[usize]) -> Result<RecordBatch> {
    if batch.num_rows() == rows.len() || batch.num_rows() == 0 {
        return Ok(batch.clone());
    }
    let mask: BooleanArray = (0..batch.num_rows()).map(|row| Some(rows.binary_search(&row).is_ok())).collect();
    filter_record_batch(batch, &mask).map_err(|e| Error::fatal("can't select the rows of a topic").with_source(e))
}

/// Rows as records with a part of them as their values; offsets are numbers of rows.
fn records(topic: &Arc<str>, rows: &[OutputRow], from: &Output, part: for<'a> fn(&'a Output, &OutputRow) -> Option<&'a [u8]>) -> Records {
    let mut builder = RecordsBuilder::with_capacity(Arc::clone(topic), -1, rows.len(), from.bytes());
    // A row without a timestamp has that of its sending.
    let now_ms = SystemClock.now_ms();
    for (number, row) in (0_i64..).zip(rows) {
        builder.push(number, row.timestamp_ms.unwrap_or(now_ms), None, part(from, row));
    }
    builder.finish()
}

fn cell(array: &BinaryArray, at: usize) -> Option<Vec<u8>> {
    (at < array.len() && array.is_valid(at)).then(|| array.value(at).to_vec())
}

impl Topic {
    /// The columns are those that the processor names, and where a transform makes others of them what their values say.
    fn of_processor(schema: Option<&RowSchema>, transforms: &Transforms, options: &DecoderOptions) -> Result<Self> {
        let of_columns = |columns: &SchemaRef| Decoder::of_columns(columns).map_err(Error::config);
        let key = schema.and_then(|schema| schema.key.as_ref());
        let value = schema.map(|schema| &schema.value).filter(|_| transforms.shape() == Shape::Plain);
        let text = || Decoder::new(DecoderOptions { converter: Converter::Single(Single::Text), ..DecoderOptions::default() });
        Ok(Self {
            keys: key.map_or_else(|| Ok(text()), of_columns)?,
            values: value.map_or_else(|| Ok(Decoder::new(options.clone())), of_columns)?,
            chain: transforms.chain(),
        })
    }

    /// `typed`: values are written with a schema. Without one text may hold what looks like a number or boolean, cell by cell, as the source has it.
    fn of_source(schema: Option<&RowSchema>, transforms: &Transforms, typed: bool) -> Self {
        let declared = |schema: &SchemaRef, typed: bool| {
            let all = schema.fields().iter().filter(|field| typed || *field.data_type() != DataType::Utf8);
            all.filter_map(|field| Some((field.name().clone(), DeclaredType::of(field.data_type())?))).collect()
        };
        let key = schema.and_then(|schema| schema.key.as_ref());
        let converter = if key.is_some() { Converter::Json } else { Converter::Single(Single::Text) };
        Self {
            keys: Decoder::new(DecoderOptions { converter, declared: key.map(|key| declared(key, true)), ..DecoderOptions::default() }),
            values: Decoder::new(DecoderOptions {
                shape: transforms.shape(),
                conflict: SchemaConflict::Text,
                declared: schema.map(|schema| declared(&schema.value, typed)),
                ..DecoderOptions::default()
            }),
            chain: transforms.chain(),
        }
    }
}

impl Side {
    fn open(form: Form, is_key: bool, nulls: Nulls, inferred: bool) -> Result<Self> {
        let registry = match &form {
            Form::Registered(output) => Some(Registry::new(&output.registry)?),
            _ => None,
        };
        Ok(Self { form, is_key, nulls, inferred, registry, writers: HashMap::new() })
    }

    fn has_schema(&self) -> bool {
        matches!(self.form, Form::JsonWithSchema | Form::Registered(_))
    }

    /// Rows as this side writes them. Keys may be null.
    fn write(&mut self, topic: &str, name: &str, rows: &RecordBatch, single: bool) -> Result<BinaryArray> {
        if rows.num_rows() == 0 {
            return Ok(BinaryArray::new_null(0));
        }
        let present = if self.is_key { keys_present(rows) } else { Vec::new() };
        if present.iter().all(|present| *present) {
            return self.write_all(topic, name, rows, single);
        }
        let places: Vec<usize> = (0..present.len()).filter(|row| present[*row]).collect();
        let written = match places.is_empty() {
            true => BinaryArray::new_null(0),
            false => self.write_all(topic, name, &only(rows, &places)?, single)?,
        };
        Ok((0..present.len()).map(|row| places.binary_search(&row).ok().map(|at| written.value(at))).collect())
    }

    fn write_all(&mut self, topic: &str, name: &str, rows: &RecordBatch, single: bool) -> Result<BinaryArray> {
        let written = Written { rows, single };
        let what = if self.is_key { "keys" } else { "values" };
        let failed = |message: String| Error::config(format!("topic {topic}: the {what} can't be written: {message}"));
        match &self.form {
            Form::Text => written.text(self.nulls).map_err(failed),
            Form::AsItIs if self.is_key => written.text(self.nulls).map_err(failed),
            Form::AsItIs | Form::Json => written.json(self.nulls).map_err(failed),
            Form::JsonWithSchema => written.json_with_schema(name).map_err(failed),
            Form::Registered(_) => {
                self.prepare(topic, name, rows, single)?;
                let (_, writer) = self.writers.get_mut(topic).ok_or_else(|| failed("there is no writer".into()))?;
                writer.write(rows).map_err(failed)
            }
        }
    }

    /// Makes the writer of these columns: registers their schema, or asks for the one to use.
    fn prepare(&mut self, topic: &str, name: &str, rows: &RecordBatch, single: bool) -> Result<()> {
        let schema = rows.schema();
        if self.writers.get(topic).is_some_and(|(known, _)| *known == schema) {
            return Ok(());
        }
        let (Form::Registered(output), Some(registry)) = (&self.form, &mut self.registry) else { return Ok(()) };
        let what = if self.is_key { "keys" } else { "values" };
        let failed = |message: String| Error::config(format!("topic {topic}: the schema of the {what}: {message}"));
        let mut text = output.kind.schema_of(&schema, single, name).map_err(failed)?;
        let subject = output.strategy.subject(topic, self.is_key, Some(name).filter(|_| !single)).map_err(failed)?;
        let id = if output.register {
            let before = if self.inferred { newest(output, registry, &subject, single)? } else { None };
            match before {
                Some((id, newest, writer)) if writer.holds(&schema) => {
                    text = newest;
                    id
                }
                before => {
                    if let Some(wider) = before.and_then(|(_, _, writer)| writer.with(&schema)) {
                        text = output.kind.schema_of(&wider, single, name).map_err(failed)?;
                    }
                    registry.register(&subject, output.kind.name(), &text)?
                }
            }
        } else if output.latest {
            let found = registry.latest(&subject)?;
            let found = found.ok_or_else(|| failed(format!("use.latest.version is set, and the registry has no subject {subject}")))?;
            if found.1.kind != output.kind.name() || !found.1.references.is_empty() {
                return Err(failed(format!("that of subject {subject} is no {:?} schema by itself", output.kind)));
            }
            text = found.1.text;
            found.0
        } else {
            registry.lookup(&subject, output.kind.name(), &text)?
        };
        tracing::info!(target: "lakefeed", topic, subject, id, "Rows are written with this schema");
        let writer = output.kind.writer(&text, id, single).map_err(failed)?;
        if self.writers.len() > TOPICS {
            self.writers.clear();
        }
        self.writers.insert(topic.into(), (schema, writer));
        Ok(())
    }
}

/// The newest schema of a subject, with its id and a writer of it; `None`: there is none that rows can be written by.
fn newest(output: &RegistryOutput, registry: &mut Registry, subject: &str, single: bool) -> Result<Option<(u32, String, RowWriter)>> {
    let found = registry.latest(subject)?.filter(|(_, schema)| schema.kind == output.kind.name());
    Ok(found.and_then(|(id, schema)| {
        let writer = output.kind.writer(&schema.text, id, single).ok()?;
        Some((id, schema.text, writer))
    }))
}
