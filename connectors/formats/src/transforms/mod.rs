//! The transforms and predicates that a connector file can name: Apache Kafka's for values, and one for DynamoDB's stream records.
//!
//! They work on decoded batches, column by column. Each is a function of the record: exactly-once hangs on that, because a record that is read
//! again must go where it went before. The type of a column hangs on the records before it (BIGINT becomes DOUBLE, a column is not there yet);
//! what is made of a value must not.

mod cast;
mod cell;
mod config;
mod date_format;
mod fields;
mod nesting;
mod predicate;
mod rows;
mod timestamp;
mod types;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use lakefeed_core::{Config, ConfigError, Key, Records, Result};

use crate::{Decoded, Shape};
use cast::Cast;
use fields::{InsertField, MaskField, ReplaceField};
use nesting::{ExtractField, Flatten, HoistField};
use predicate::{Condition, Selection};
use rows::{Columns, Gone, Losses, Rows};
use timestamp::TimestampConverter;
use types::Growing;

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
    condition: Option<Condition>,
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
    /// Batches have no names and versions of schemas.
    SetSchemaMetadata,
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
    pub fn read(config: &Config) -> Result<Self, Vec<ConfigError>> {
        config::read(config)
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
        if self.steps.is_empty() {
            return Ok(decoded);
        }
        let Decoded { rows: batch, indices, tombstones, dropped, rejected, single } = decoded;
        let mut losses = Losses { tombstones, dropped, rejected };
        let all = batch.schema_ref().fields().iter().cloned().zip(batch.columns().iter().cloned()).collect();
        let mut rows = Rows { columns: Columns { all, rows: batch.num_rows() }, indices, single };
        for step in self.steps.iter() {
            rows = step.run(records, rows, &mut losses)?;
        }
        let single = rows.single;
        let (rows, indices) = self.growing.batch(rows, &mut losses)?;
        let Losses { mut tombstones, dropped, mut rejected } = losses;
        tombstones.sort_unstable();
        rejected.sort_by_key(|rejected| rejected.row);
        Ok(Decoded { rows, indices, tombstones, dropped, rejected, single })
    }
}

impl Step {
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
        let rows = match self.condition.as_ref().map_or(Selection::All, |condition| condition.select(records, &rows.indices)) {
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
        let done: Done = match &self.transform {
            Transform::InsertField(insert) => insert.apply(records, rows).into(),
            Transform::ReplaceField(replace) => replace.apply(rows).into(),
            Transform::MaskField(mask) => mask.apply(rows)?,
            Transform::Cast(cast) => cast.apply(rows),
            Transform::TimestampConverter(converter) => converter.apply(rows),
            Transform::ExtractField(extract) => extract.apply(rows)?,
            Transform::HoistField(hoist) => hoist.apply(rows)?.into(),
            Transform::Flatten(flatten) => flatten.apply(rows)?.into(),
            Transform::Filter => {
                let gone = (0..rows.columns.rows).map(|row| (row, Gone::Dropped)).collect();
                Done { rows, gone }
            }
            Transform::SetSchemaMetadata => rows.into(),
        };
        done.rows.without(done.gone, losses)
    }
}
