//! The transforms and predicates that a connector file can name: Apache Kafka's, and one for DynamoDB's stream records.
//!
//! They work on decoded batches, column by column. Each is a function of the record: exactly-once hangs on that, because a record that is read
//! again must go where it went before. The type of a column hangs on the records before it (BIGINT becomes DOUBLE, a column is not there yet);
//! what is made of a value must not.

mod cast;
mod cell;
mod config;
mod date_format;
mod fields;
mod headers;
mod keys;
mod nesting;
mod predicate;
mod routers;
mod rows;
mod timestamp;
mod types;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow_schema::Schema;
use arrow_select::take::take;
use lakefeed_core::{Config, ConfigError, Headers, Key, Records, Result, Stage};

use crate::{Beside, Decoded, Shape};
use cast::Cast;
use fields::{InsertField, MaskField, ReplaceField};
use headers::{DropHeaders, HeaderFrom, InsertHeader};
use keys::ValueToKey;
pub use keys::{key_texts, keys_present};
use nesting::{ExtractField, Flatten, HoistField};
use predicate::{Condition, Selection};
pub use routers::RoutedTopic;
use routers::{RegexRouter, TimestampRouter, topics};
use rows::{Columns, Gone, Losses, Rows, failed};
use timestamp::TimestampConverter;
use types::Growing;
pub(crate) use types::fit;

/// The names of the transform that makes a row of a DynamoDB stream record: see [`Shape::NewImage`].
const EXTRACT_NEW_IMAGE: [&str; 2] = ["ExtractNewImage", "io.lakefeed.transforms.ExtractNewImage"];

/// The column of values that are no structs.
const VALUE: &str = "value";

/// The transforms of a connector, checked.
#[derive(Debug, Clone, Default)]
pub struct Transforms {
    shape: Shape,
    steps: Arc<[Step]>,
}

/// A key of a transform or predicate that a configuration names.
#[derive(Debug, Clone)]
pub struct NamedKey {
    /// Its whole name, for example `transforms.a.field`.
    pub name: String,
    /// The heading it is listed under, as Kafka Connect has it: `Transforms: a`.
    pub group: String,
    /// What it is.
    pub key: Key,
}

/// One transform of a chain.
#[derive(Debug)]
struct Step {
    alias: String,
    /// The class, and the keys that say what becomes of rows.
    described: String,
    transform: Transform,
    /// It transforms keys.
    of_key: bool,
    condition: Option<Condition>,
}

/// Where transforms are done. Not every one makes sense in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Of records that were read. They keep their topic; routers give it another name where they go, by topic and timestamp alone.
    Sink,
    /// Of rows that are on their way to a topic. They have no offset yet.
    Source,
    /// Of the rows of a processor, which are on their way to a topic too.
    Processor,
}

#[derive(Debug)]
enum Transform {
    InsertField(InsertField),
    ReplaceField(ReplaceField),
    MaskField(MaskField),
    Cast(Cast),
    TimestampConverter(TimestampConverter),
    ExtractField(ExtractField),
    HoistField(HoistField),
    Flatten(Flatten),
    Filter,
    ValueToKey(ValueToKey),
    InsertHeader(InsertHeader),
    DropHeaders(DropHeaders),
    HeaderFrom(HeaderFrom),
    RegexRouter(RegexRouter),
    TimestampRouter(TimestampRouter),
    /// Batches have no names and versions of schemas; who writes a schema asks [`Transforms::schema_name`].
    SetSchemaMetadata(Option<String>),
}

impl Transform {
    fn is_of_headers(&self) -> bool {
        matches!(self, Self::InsertHeader(_) | Self::DropHeaders(_) | Self::HeaderFrom(_))
    }

    fn is_of_topics(&self) -> bool {
        matches!(self, Self::RegexRouter(_) | Self::TimestampRouter(_))
    }
}

/// The rows behind a transform, and those that have gone.
struct Done {
    rows: Rows,
    gone: Vec<(usize, Gone)>,
}

impl From<Rows> for Done {
    fn from(rows: Rows) -> Self {
        Self { rows, gone: Vec::new() }
    }
}

impl Transforms {
    /// Reads the keys `transforms`, `transforms.*`, `predicates` and `predicates.*`.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn read(config: &Config, place: Place) -> Result<Self, Vec<ConfigError>> {
        config::read(config, place)
    }

    /// The keys that the transforms and predicates of a configuration have, whatever may be wrong with it.
    pub fn named_keys(values: &BTreeMap<String, String>) -> Vec<NamedKey> {
        config::named_keys(values)
    }

    /// The classes of all transforms, and those of all predicates.
    pub fn classes() -> (impl Iterator<Item = String>, impl Iterator<Item = String>) {
        config::classes()
    }

    /// What a record's value is: the one transform that the decoder does.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Whether nothing is transformed.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.shape == Shape::Plain
    }

    /// Whether keys are transformed: [`Chain::apply_with_keys`] needs them decoded then.
    pub fn uses_keys(&self) -> bool {
        self.steps.iter().any(Step::changes_keys)
    }

    /// Whether `RegexRouter`s give topics other names.
    pub fn has_regex_router(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.transform, Transform::RegexRouter(_)))
    }

    /// What routers call a topic in a sink, where `TimestampRouter` is the last of them.
    pub fn routed(&self, topic: &str) -> RoutedTopic {
        let mut routed = RoutedTopic::named(topic);
        for step in self.steps.iter() {
            if !step.condition.as_ref().is_none_or(|condition| condition.takes_topic(routed.format())) {
                continue;
            }
            match &step.transform {
                Transform::RegexRouter(router) => routed = RoutedTopic::named(&router.route(routed.format())),
                Transform::TimestampRouter(router) => routed = router.routed(routed.format()),
                _ => {}
            }
        }
        routed
    }

    /// The key of a router that gives different topics one name, because `${topic}` is not in it.
    pub fn one_name_for_all(&self) -> Option<String> {
        let of_all = |step: &&Step| matches!(&step.transform, Transform::TimestampRouter(router) if !router.tells_topic());
        self.steps.iter().find(of_all).map(|step| format!("transforms.{}.topic.format", step.alias))
    }

    /// Where routers send a record without a value. No other transform changes it.
    pub fn routed_tombstone(&self, topic: &str, timestamp_ms: i64) -> String {
        let mut name = topic.to_owned();
        for step in self.steps.iter().filter(|step| step.transform.is_of_topics()) {
            if step.condition.as_ref().is_some_and(|condition| !condition.takes_tombstone_of(&name)) {
                continue;
            }
            name = match &step.transform {
                Transform::RegexRouter(router) => router.route(&name).into_owned(),
                Transform::TimestampRouter(router) => router.route(&name, timestamp_ms).unwrap_or(name),
                _ => name,
            };
        }
        name
    }

    /// What the last `SetSchemaMetadata` calls the schema of keys or values, if there is one. Its predicate is not asked.
    pub fn schema_name(&self, of_key: bool) -> Option<&str> {
        self.steps.iter().rev().filter(|step| step.of_key == of_key).find_map(|step| match &step.transform {
            Transform::SetSchemaMetadata(name) => name.as_deref(),
            _ => None,
        })
    }

    /// A chain for the records of one topic.
    pub fn chain(&self) -> Chain {
        Chain { steps: Arc::clone(&self.steps), growing: Growing::default() }
    }
}

impl fmt::Display for Transforms {
    /// What becomes of rows, as a short text: a change of it can change where they go. Empty without transforms. What stands in the place of a
    /// value (`replacement`, `static.value`) is not told.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.steps.iter().enumerate() {
            let separator = if number > 0 { " " } else { "" };
            write!(f, "{separator}{}={}", step.alias, step.described)?;
        }
        Ok(())
    }
}

/// Takes the batches of one topic through the transforms.
#[derive(Debug)]
pub struct Chain {
    steps: Arc<[Step]>,
    growing: Growing,
}

impl Chain {
    /// Transforms decoded records. Rows that can't be transformed are among the rejected behind it, filtered ones are dropped, and those
    /// whose value has become null are tombstones. The columns only grow from batch to batch.
    ///
    /// # Errors
    /// `Fatal`: a mistake of this crate.
    pub fn apply(&mut self, records: &Records, decoded: Decoded) -> Result<Decoded> {
        self.apply_with_keys(records, decoded, None)
    }

    /// As [`Chain::apply`], with the decoded keys of the same records, as if they were values. Rows whose keys were rejected are too.
    ///
    /// # Errors
    /// As [`Chain::apply`].
    pub fn apply_with_keys(&mut self, records: &Records, decoded: Decoded, keys: Option<&Decoded>) -> Result<Decoded> {
        if self.steps.is_empty() && keys.is_none() {
            return Ok(decoded);
        }
        let Decoded { rows: batch, indices, tombstones, dropped, rejected, single, beside: _ } = decoded;
        let mut losses = Losses { tombstones, dropped, rejected };
        let all = batch.schema_ref().fields().iter().cloned().zip(batch.columns().iter().cloned()).collect();
        let mut rows = Rows { columns: Columns { all, rows: batch.num_rows() }, indices, single, beside: rows::Beside::default() };
        if let Some(keys) = keys {
            rows = without_bad_keys(rows, keys, &mut losses)?;
            rows.beside.key = Some(keys::beside(&rows.indices, keys)?);
        }
        if self.steps.iter().any(|step| step.transform.is_of_headers()) {
            rows.beside.headers = Some(headers_of(records, &rows.indices)?);
        }
        if self.steps.iter().any(|step| step.transform.is_of_topics()) {
            rows.beside.topics = Some(Arc::new(topics(records, &rows)));
        }
        for step in self.steps.iter() {
            rows = step.run(records, rows, &mut losses)?;
        }
        let single = rows.single;
        let (rows, indices, beside) = self.growing.batch(rows, &mut losses)?;
        let Losses { mut tombstones, dropped, mut rejected } = losses;
        tombstones.sort_unstable();
        rejected.sort_by_key(|rejected| rejected.row);
        let beside = Beside {
            keys: beside.key.map(|(columns, single)| Ok((batch_of(columns)?, single))).transpose()?,
            headers: beside.headers.map(|headers| headers.as_list::<i32>().clone()),
            topics: beside.topics.map(|topics| topics.as_string::<i32>().clone()),
        };
        Ok(Decoded { rows, indices, tombstones, dropped, rejected, single, beside })
    }
}

/// Rejects the rows whose keys were.
fn without_bad_keys(rows: Rows, keys: &Decoded, losses: &mut Losses) -> Result<Rows> {
    let row = |record: usize| rows.indices.binary_search(&u32::try_from(record).ok()?).ok();
    let bad = keys.rejected.iter().filter_map(|bad| {
        let message = format!("the key: {}", bad.message.replace("value.converter", "key.converter"));
        Some((row(bad.row)?, Gone::Rejected { field: bad.field.clone(), message }))
    });
    let (bad, first) = (bad.collect(), losses.rejected.len());
    let rows = rows.without(bad, losses)?;
    losses.rejected[first..].iter_mut().for_each(|rejected| rejected.stage = Stage::KeyConverter);
    Ok(rows)
}

fn headers_of(records: &Records, indices: &[u32]) -> Result<ArrayRef> {
    match &records.headers {
        None => Ok(Arc::new(Headers::empty_list(indices.len()))),
        Some(headers) => take(&headers.to_list(), &UInt32Array::from(indices.to_vec()), None).map_err(failed),
    }
}

fn batch_of(columns: Columns) -> Result<RecordBatch> {
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.all.into_iter().unzip();
    let options = RecordBatchOptions::new().with_row_count(Some(columns.rows));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options).map_err(failed)
}

impl Step {
    fn changes_keys(&self) -> bool {
        match self.transform {
            Transform::ValueToKey(_) => true,
            Transform::SetSchemaMetadata(_) => false,
            _ => self.of_key,
        }
    }

    fn run(&self, records: &Records, rows: Rows, losses: &mut Losses) -> Result<Rows> {
        if matches!(self.transform, Transform::Filter) {
            let before = losses.tombstones.len();
            losses
                .tombstones
                .retain(|record| self.condition.as_ref().is_some_and(|condition| !condition.takes_tombstone(records, *record)));
            losses.dropped += before - losses.tombstones.len();
        }
        if rows.indices.is_empty() {
            // The columns of no rows have nothing to say, and a predicate no record to look at.
            return Ok(rows);
        }
        let first = losses.rejected.len();
        let mut selection = self.condition.as_ref().map_or(Selection::All, |condition| condition.select(records, &rows));
        if let Some((keys, _)) = rows.beside.key.as_ref().filter(|_| self.of_key) {
            // What has no key stays without one.
            selection = selection.and(keys::present(keys));
        }
        let rows = match selection {
            Selection::None => rows,
            Selection::All => self.transform(records, rows, losses)?,
            Selection::Some(selected) => {
                let (taken, others) = rows.split(&selected)?;
                self.transform(records, taken, losses)?.merged(others, losses)?
            }
        };
        for rejected in &mut losses.rejected[first..] {
            rejected.message = format!("transform {}: {}", self.alias, rejected.message);
        }
        Ok(rows)
    }

    fn transform(&self, records: &Records, rows: Rows, losses: &mut Losses) -> Result<Rows> {
        let done = if self.of_key { keys::of_keys(rows, |rows| self.done(records, rows))? } else { self.done(records, rows)? };
        done.rows.without(done.gone, losses)
    }

    fn done(&self, records: &Records, rows: Rows) -> Result<Done> {
        Ok(match &self.transform {
            Transform::InsertField(insert) => insert.apply(records, rows).into(),
            Transform::ReplaceField(replace) => replace.apply(rows).into(),
            Transform::MaskField(mask) => mask.apply(rows)?,
            Transform::Cast(cast) => cast.apply(rows),
            Transform::TimestampConverter(converter) => converter.apply(rows),
            Transform::ExtractField(extract) => extract.apply(rows)?,
            Transform::HoistField(hoist) => hoist.apply(rows)?.into(),
            Transform::Flatten(flatten) => flatten.apply(rows)?.into(),
            Transform::ValueToKey(fields) => fields.apply(rows).into(),
            Transform::InsertHeader(insert) => insert.apply(rows).into(),
            Transform::DropHeaders(drop) => drop.apply(rows).into(),
            Transform::HeaderFrom(from) => from.apply(rows)?,
            Transform::RegexRouter(router) => router.apply(records, rows).into(),
            Transform::TimestampRouter(router) => router.apply(records, rows),
            Transform::Filter => {
                let gone = (0..rows.columns.rows).map(|row| (row, Gone::Dropped)).collect();
                Done { rows, gone }
            }
            Transform::SetSchemaMetadata(_) => rows.into(),
        })
    }
}
