//! The lake partition of each row.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMillisecondType};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, TimeUnit};
use lakefeed_core::{Batch, shorten};
use lakefeed_layout::{KeyLayout, element};

use crate::ledger::LakePartition;
use crate::time::{Pattern, Zone, parse_timestamp};

/// Where a row's time comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TimeSource {
    /// The time at which the row is written. Not a function of the record: at-least-once.
    Wallclock,
    /// The record's timestamp.
    Record,
    /// A column.
    Field(Vec<String>),
}

/// One part of a lake partition's path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Term {
    /// `partition=<Kafka partition>`.
    KafkaPartition,
    /// `name=value` of a column; nested ones by a path.
    Field { name: String, path: Vec<String> },
    /// The start of a time bucket by a pattern, which may make several path elements.
    Time { source: TimeSource, pattern: Pattern, duration_ms: i64, zone: Zone },
}

/// Finds the lake partition of each row from a list of terms.
#[derive(Debug)]
pub(crate) struct Partitioner {
    terms: Vec<Term>,
    null_marker: String,
    layout: KeyLayout,
    /// The paths of combinations that were met; cleared when it has grown too large.
    paths: HashMap<Vec<String>, Result<LakePartition, String>>,
}

const PATHS_MAX: usize = 100_000;

/// The rows of a batch by lake partition.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    /// Lake partitions and their rows, ascending.
    pub(crate) rows: Vec<(LakePartition, Vec<u32>)>,
    /// Rows without a lake partition: the row, the field and why.
    pub(crate) rejected: Vec<(u32, Option<String>, String)>,
}

/// The values of a term: per row an index into `texts`, or a reject.
struct Column {
    ids: Vec<u32>,
    texts: Vec<Result<String, (Option<String>, String)>>,
}

impl Partitioner {
    pub(crate) fn new(terms: Vec<Term>, null_marker: String, layout: KeyLayout) -> Self {
        Self { terms, null_marker, layout, paths: HashMap::new() }
    }

    /// The columns (at the top level) that the path repeats.
    pub(crate) fn columns(&self) -> Vec<&str> {
        self.terms
            .iter()
            .filter_map(|term| match term {
                Term::Field { path, .. } if path.len() == 1 => path.first().map(String::as_str),
                _ => None,
            })
            .collect()
    }

    /// The time of each row for rotation by event time: that of the first time term, else the record's timestamp.
    pub(crate) fn event_times(&self, batch: &Batch) -> Vec<i64> {
        let field = self.terms.iter().find_map(|t| match t {
            Term::Time { source: TimeSource::Field(path), .. } => Some(path),
            _ => None,
        });
        match field {
            None => batch.timestamps.to_vec(),
            Some(path) => times_of(&batch.rows, path).into_iter().map(|t| t.unwrap_or(-1)).collect(),
        }
    }

    pub(crate) fn group(&mut self, batch: &Batch, now_ms: i64) -> Groups {
        let rows = batch.rows.num_rows();
        let columns: Vec<Column> = self.terms.iter().map(|term| self.column(term, batch, now_ms)).collect();
        let mut groups = Groups::default();
        // Combinations of ids to groups; rows that follow each other are mostly alike.
        let mut known: HashMap<Vec<u32>, Option<usize>> = HashMap::new();
        let mut last: (Vec<u32>, Option<usize>) = (Vec::new(), None);
        let mut ids = Vec::with_capacity(columns.len());
        for row in 0..rows {
            ids.clear();
            ids.extend(columns.iter().map(|c| c.ids[row]));
            if row == 0 || ids != last.0 {
                let group = match known.get(&ids) {
                    Some(group) => *group,
                    None => {
                        let group = self.place(&columns, &ids, &batch.partition.topic, &mut groups);
                        known.insert(ids.clone(), group);
                        group
                    }
                };
                last = (ids.clone(), group);
            }
            match last.1 {
                Some(group) => groups.rows[group].1.push(row as u32),
                None => {
                    let (field, message) = self.refusal(&columns, &ids, &batch.partition.topic);
                    groups.rejected.push((row as u32, field, message));
                }
            }
        }
        groups
    }

    /// The group of a combination; `None` if its rows can't be placed.
    fn place(&mut self, columns: &[Column], ids: &[u32], topic: &str, groups: &mut Groups) -> Option<usize> {
        let path = self.path(columns, ids, topic).ok()?;
        if let Some(at) = groups.rows.iter().position(|(p, _)| *p == path) {
            return Some(at);
        }
        groups.rows.push((path, Vec::new()));
        Some(groups.rows.len() - 1)
    }

    fn path(&mut self, columns: &[Column], ids: &[u32], topic: &str) -> Result<LakePartition, String> {
        let texts: Result<Vec<String>, _> = columns.iter().zip(ids).map(|(c, id)| c.texts[*id as usize].clone()).collect();
        let texts = texts.map_err(|(_, message)| message)?;
        if let Some(path) = self.paths.get(&texts) {
            return path.clone();
        }
        let path = texts.join(&self.layout.directory_delim);
        let checked = self.layout.check(topic, &path).map(|()| LakePartition::from(path)).map_err(|e| e.to_string());
        if self.paths.len() >= PATHS_MAX {
            self.paths.clear();
        }
        self.paths.insert(texts, checked.clone());
        checked
    }

    fn refusal(&mut self, columns: &[Column], ids: &[u32], topic: &str) -> (Option<String>, String) {
        let blamed = columns.iter().zip(ids).find_map(|(c, id)| c.texts[*id as usize].clone().err());
        blamed.unwrap_or_else(|| {
            (None, format!("the row has no place in the lake: {}", self.path(columns, ids, topic).err().unwrap_or_default()))
        })
    }

    fn column(&self, term: &Term, batch: &Batch, now_ms: i64) -> Column {
        let rows = batch.rows.num_rows();
        match term {
            Term::KafkaPartition => Column { ids: vec![0; rows], texts: vec![Ok(format!("partition={}", batch.partition.partition))] },
            Term::Field { name, path } => self.field(name, path, &batch.rows),
            Term::Time { source: TimeSource::Wallclock, pattern, duration_ms, zone } => {
                buckets((0..rows).map(|_| Some(now_ms)), "the clock", pattern, *duration_ms, *zone)
            }
            Term::Time { source: TimeSource::Record, pattern, duration_ms, zone } => {
                let times = batch.timestamps.iter().map(|t| Some(*t).filter(|t| *t >= 0));
                buckets(times, "the record's timestamp", pattern, *duration_ms, *zone)
            }
            Term::Time { source: TimeSource::Field(path), pattern, duration_ms, zone } => {
                let field = path.join(".");
                let mut column = buckets(times_of(&batch.rows, path).into_iter(), &field, pattern, *duration_ms, *zone);
                for text in column.texts.iter_mut().filter_map(|t| t.as_mut().err()) {
                    text.0 = Some(field.clone());
                }
                column
            }
        }
    }

    fn field(&self, name: &str, path: &[String], rows: &RecordBatch) -> Column {
        let Some(array) = resolve(rows, path) else {
            return Column { ids: vec![0; rows.num_rows()], texts: vec![Ok(element(name, None, &self.null_marker))] };
        };
        match array.data_type() {
            DataType::Int64 => {
                let values = array.as_primitive::<Int64Type>();
                index((0..values.len()).map(|i| values.is_valid(i).then(|| values.value(i))), |v| {
                    Ok(element(name, v.map(|v| v.to_string()).as_deref(), &self.null_marker))
                })
            }
            DataType::Utf8 => {
                let values = array.as_string::<i32>();
                index((0..values.len()).map(|i| values.is_valid(i).then(|| values.value(i))), |v| Ok(element(name, v, &self.null_marker)))
            }
            DataType::Struct(_) | DataType::List(_) | DataType::Binary => {
                let kind = array.data_type().to_string();
                let refused = (
                    Some(path.join(".")),
                    format!("expected a number, text, boolean or date to partition by, found {}", shorten(kind.as_bytes())),
                );
                index((0..array.len()).map(|i| array.is_valid(i)), |valid| {
                    if valid { Err(refused.clone()) } else { Ok(element(name, None, &self.null_marker)) }
                })
            }
            _ => self.formatted(name, &array),
        }
    }

    fn formatted(&self, name: &str, array: &ArrayRef) -> Column {
        let options = FormatOptions::default();
        let Ok(formatter) = ArrayFormatter::try_new(array, &options) else {
            return Column {
                ids: vec![0; array.len()],
                texts: vec![Err((Some(name.to_owned()), "the type can't be written as text".into()))],
            };
        };
        let texts: Vec<Option<String>> = (0..array.len()).map(|i| array.is_valid(i).then(|| formatter.value(i).to_string())).collect();
        index(texts.iter().map(Option::as_deref), |v| Ok(element(name, v, &self.null_marker)))
    }
}

/// Distinct values to ids; `text` is called once per distinct value.
fn index<V: Copy + Eq + std::hash::Hash>(
    values: impl Iterator<Item = V>, text: impl Fn(V) -> Result<String, (Option<String>, String)>,
) -> Column {
    let mut known: HashMap<V, u32> = HashMap::new();
    let mut column = Column { ids: Vec::new(), texts: Vec::new() };
    let mut last: Option<(V, u32)> = None;
    for value in values {
        let id = match last {
            Some((v, id)) if v == value => id,
            _ => *known.entry(value).or_insert_with(|| {
                column.texts.push(text(value));
                (column.texts.len() - 1) as u32
            }),
        };
        last = Some((value, id));
        column.ids.push(id);
    }
    column
}

fn buckets(times: impl Iterator<Item = Option<i64>>, what: &str, pattern: &Pattern, duration_ms: i64, zone: Zone) -> Column {
    let bucket = |time: Option<i64>| time.and_then(|t| zone.bucket(t, duration_ms));
    index(times.map(bucket), |bucket| match bucket {
        Some((_, start)) => Ok(pattern.format(start)),
        None => Err((None, format!("{what} is missing or is no time; expected epoch milliseconds or ISO-8601 text"))),
    })
}

/// The column at a path; `None` if there is none (then all its values are null).
fn resolve(rows: &RecordBatch, path: &[String]) -> Option<ArrayRef> {
    let (first, rest) = path.split_first()?;
    let mut array = Arc::clone(rows.column_by_name(first)?);
    for name in rest {
        let parent = array.as_struct_opt()?;
        let child = parent.column_by_name(name)?;
        // A null parent makes its children null.
        array = match parent.nulls() {
            None => Arc::clone(child),
            Some(nulls) => {
                let both = arrow_buffer::NullBuffer::union(Some(nulls), child.nulls());
                let data = child.to_data().into_builder().nulls(both).build().ok()?;
                arrow_array::make_array(data)
            }
        };
    }
    Some(array)
}

/// The times of a column in epoch milliseconds.
fn times_of(rows: &RecordBatch, path: &[String]) -> Vec<Option<i64>> {
    let Some(array) = resolve(rows, path) else { return vec![None; rows.num_rows()] };
    match array.data_type() {
        DataType::Int64 => array.as_primitive::<Int64Type>().iter().collect(),
        DataType::Timestamp(TimeUnit::Millisecond, _) => array.as_primitive::<TimestampMillisecondType>().iter().collect(),
        DataType::Utf8 => array.as_string::<i32>().iter().map(|t| t.and_then(parse_timestamp)).collect(),
        _ => vec![None; rows.num_rows()],
    }
}
