//! The lake partition of each row.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use chrono::NaiveDateTime;
use foldhash::fast::RandomState;
use lakefeed_core::{Batch, shorten};
use lakefeed_formats::{RoutedTopic, Transforms};
use lakefeed_layout::{KeyLayout, NameLimits, element, encode_value};

use crate::config::Settings;
use crate::ledger::LakePartition;
use crate::time::{Pattern, Zone, parse_timestamp};
use crate::value::{Transform, Value, value_at};

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
    /// What stands between the others in a whole prefix.
    Text(String),
    /// A column; nested ones by a path.
    Field(FieldTerm),
    /// The start of a time bucket by a pattern, which may make several path elements.
    Time { source: TimeSource, pattern: Pattern, duration_ms: i64, zone: Zone },
}

/// A column in a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldTerm {
    /// Makes the element `name=value`; without a name there is the value alone, which must not be null or empty (Firehose's partition keys).
    pub(crate) name: Option<String>,
    pub(crate) path: Vec<String>,
    pub(crate) transform: Transform,
}

impl Term {
    /// The column that it reads.
    fn column(&self) -> Option<String> {
        match self {
            Self::Field(field) => Some(field.path.join(".")),
            Self::Time { source: TimeSource::Field(path), .. } => Some(path.join(".")),
            _ => None,
        }
    }

    /// What it writes for a row of the year 1970 with the value 0: for checks of names before there is a row.
    pub(crate) fn sample(&self) -> String {
        match self {
            Self::KafkaPartition => "partition=0".to_owned(),
            Self::Text(text) => text.clone(),
            Self::Field(field) => field.name.as_ref().map_or_else(|| "0".to_owned(), |name| element(name, Some("0"), "null")),
            Self::Time { pattern, .. } => pattern.format(NaiveDateTime::default()),
        }
    }
}

/// Finds the lake partition of each row from a list of terms.
#[derive(Debug)]
pub(crate) struct Partitioner {
    terms: Vec<Term>,
    null_marker: String,
    layout: KeyLayout,
    limits: NameLimits,
    transforms: Transforms,
    /// What topics are called in the lake.
    topics: HashMap<Arc<str>, RoutedTopic>,
    /// The lake partitions of combinations that were met; cleared when it has grown too large.
    lakes: HashMap<Vec<String>, Result<LakePartition, String>>,
}

const LAKES_MAX: usize = 100_000;

/// The rows of a batch by lake partition.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    /// Lake partitions and their rows, ascending.
    pub(crate) rows: Vec<(LakePartition, Vec<u32>)>,
    /// Rows without a lake partition: the row, the field and why.
    pub(crate) rejected: Vec<(u32, Option<String>, String)>,
}

/// The names of topics, or the values of a term: per row an index into `texts`, or a reject.
struct Column {
    ids: Vec<u32>,
    texts: Vec<Result<String, (Option<String>, String)>>,
}

impl Partitioner {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            terms: settings.terms.clone(),
            null_marker: settings.null_marker.clone(),
            layout: settings.layout.clone(),
            limits: settings.limits,
            transforms: settings.transforms.clone(),
            topics: HashMap::new(),
            lakes: HashMap::new(),
        }
    }

    /// The columns (at the top level) that the path repeats.
    pub(crate) fn columns(&self) -> Vec<&str> {
        self.terms
            .iter()
            .filter_map(|term| match term {
                Term::Field(FieldTerm { name: Some(_), path, transform: Transform::Identity }) if path.len() == 1 => {
                    path.first().map(String::as_str)
                }
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
        let name = self.name(batch);
        let columns: Vec<Column> = std::iter::once(name).chain(self.terms.iter().map(|term| self.column(term, batch, now_ms))).collect();
        let (of_row, combinations) = combine(&columns, batch.rows.num_rows());
        let mut counts = vec![0; combinations.len()];
        of_row.iter().for_each(|combination| counts[*combination as usize] += 1);
        let mut groups = Groups::default();
        if of_row.is_empty() {
            return groups;
        }
        let mut known: HashMap<LakePartition, usize, RandomState> = HashMap::default();
        let placed: Vec<Option<usize>> = combinations
            .iter()
            .zip(&counts)
            .map(|(ids, count)| {
                let lake = self.lake(&columns, ids).ok()?;
                let group = *known.entry(lake.clone()).or_insert(groups.rows.len());
                if group == groups.rows.len() {
                    groups.rows.push((lake, Vec::with_capacity(*count)));
                }
                Some(group)
            })
            .collect();
        for (row, combination) in of_row.into_iter().enumerate() {
            match placed[combination as usize] {
                Some(group) => groups.rows[group].1.push(row as u32),
                None => {
                    let (field, message) = self.refusal(&columns, &combinations[combination as usize]);
                    groups.rejected.push((row as u32, field, message));
                }
            }
        }
        groups
    }

    /// The first column has the names of the topic, the others are those of the terms.
    fn lake(&mut self, columns: &[Column], ids: &[u32]) -> Result<LakePartition, String> {
        let texts: Result<Vec<String>, _> = columns.iter().zip(ids).map(|(c, id)| c.texts[*id as usize].clone()).collect();
        let texts = texts.map_err(|(_, message)| message)?;
        if let Some(lake) = self.lakes.get(&texts) {
            return lake.clone();
        }
        let (name, path) = texts.split_at(1);
        let path = path.join(if self.layout.whole_prefix { "" } else { &self.layout.directory_delim });
        let stem = self.layout.stem(&name.concat(), &path);
        let lake = self.layout.check(&stem, self.limits).map(|()| LakePartition::from(stem)).map_err(|e| e.to_string());
        if self.lakes.len() >= LAKES_MAX {
            self.lakes.clear();
        }
        self.lakes.insert(texts, lake.clone());
        lake
    }

    fn refusal(&mut self, columns: &[Column], ids: &[u32]) -> (Option<String>, String) {
        let blamed = columns.iter().zip(ids).find_map(|(c, id)| c.texts[*id as usize].clone().err());
        blamed.unwrap_or_else(|| {
            // Too long: the longest value is the one to look at.
            let len = |(column, id): (&Column, &u32)| column.texts[*id as usize].as_ref().map_or(0, String::len);
            let longest = self.terms.iter().zip(columns.iter().zip(ids).map(len).skip(1)).filter(|(term, _)| term.column().is_some());
            let field = longest.max_by_key(|(_, len)| *len).and_then(|(term, _)| term.column());
            (field, format!("the row has no place in the lake: {}", self.lake(columns, ids).err().unwrap_or_default()))
        })
    }

    /// What the topic is called for each row.
    fn name(&mut self, batch: &Batch) -> Column {
        let topic = &batch.partition.topic;
        let routed = self.topics.entry(Arc::clone(topic)).or_insert_with(|| self.transforms.routed(topic));
        let at = |ms| routed.at(ms).map_err(|why| (None, why.to_owned()));
        match routed.unit_ms() {
            None => Column { ids: vec![0; batch.timestamps.len()], texts: vec![at(-1)] },
            Some(unit) => index(batch.timestamps.iter().map(|ms| ms.div_euclid(unit)), |start| at(start.saturating_mul(unit))),
        }
    }

    fn column(&self, term: &Term, batch: &Batch, now_ms: i64) -> Column {
        let rows = batch.rows.num_rows();
        match term {
            Term::KafkaPartition => Column { ids: vec![0; rows], texts: vec![Ok(format!("partition={}", batch.partition.partition))] },
            Term::Text(text) => Column { ids: vec![0; rows], texts: vec![Ok(text.clone())] },
            Term::Field(field) => self.field(field, &batch.rows),
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

    fn field(&self, term: &FieldTerm, rows: &RecordBatch) -> Column {
        let text = |value: Option<Value<'_>>| self.field_text(term, value);
        let Some(array) = resolve(rows, &term.path) else {
            return Column { ids: vec![0; rows.num_rows()], texts: vec![text(None)] };
        };
        match array.data_type() {
            DataType::Int64 if array.null_count() == 0 => {
                index(array.as_primitive::<Int64Type>().values().iter().copied(), |v| text(Some(Value::Int(v))))
            }
            DataType::Int64 => {
                let values = array.as_primitive::<Int64Type>();
                index((0..values.len()).map(|i| values.is_valid(i).then(|| values.value(i))), |v| text(v.map(Value::Int)))
            }
            DataType::Utf8 => {
                let values = array.as_string::<i32>();
                index((0..values.len()).map(|i| values.is_valid(i).then(|| values.value(i))), |v| text(v.map(Value::Text)))
            }
            DataType::Struct(_) | DataType::List(_) | DataType::Map(..) | DataType::Binary => {
                let kind = array.data_type().to_string();
                let refused = (
                    Some(term.path.join(".")),
                    format!("expected a number, text, boolean or date to partition by, found {}", shorten(kind.as_bytes())),
                );
                index((0..array.len()).map(|i| array.is_valid(i)), |valid| if valid { Err(refused.clone()) } else { text(None) })
            }
            _ => {
                let texts: Vec<Result<String, (Option<String>, String)>> = (0..array.len()).map(|i| text(value_at(&array, i))).collect();
                index(texts.iter().map(Result::as_ref), |text| text.cloned().map_err(Clone::clone))
            }
        }
    }

    fn field_text(&self, term: &FieldTerm, value: Option<Value<'_>>) -> Result<String, (Option<String>, String)> {
        let blame = |message: String| (Some(term.path.join(".")), message);
        let text = value.map(|value| value.text(term.transform)).transpose().map_err(blame)?;
        match (&term.name, text) {
            (Some(name), text) => Ok(element(name, text.as_deref(), &self.null_marker)),
            (None, Some(text)) if !text.is_empty() => Ok(encode_value(&text)),
            (None, _) => Err(blame("expected a value for the prefix, found null or empty text".into())),
        }
    }
}

/// The combination of ids that each row has, and what they are.
fn combine(columns: &[Column], rows: usize) -> (Vec<u32>, Vec<Vec<u32>>) {
    let mut of_row = vec![0; rows];
    let mut combinations = vec![Vec::new()];
    for column in columns {
        if column.texts.len() == 1 {
            combinations.iter_mut().for_each(|ids| ids.push(0));
            continue;
        }
        if let [first] = &combinations[..] {
            // The ids of the first column that differs are those of the combinations.
            combinations = (0..column.texts.len() as u32).map(|id| first.iter().copied().chain([id]).collect()).collect();
            of_row.clone_from(&column.ids);
            continue;
        }
        let pairs = of_row.iter().zip(&column.ids).map(|(before, id)| (*before, *id));
        let (ids, met) = distinct(pairs);
        let longer = |(before, id): (u32, u32)| combinations[before as usize].iter().copied().chain([id]).collect();
        combinations = met.into_iter().map(longer).collect();
        of_row = ids;
    }
    (of_row, combinations)
}

/// The values as indices of the distinct ones, in the order in which they were met first.
fn distinct<V: Copy + Eq + Hash>(values: impl Iterator<Item = V>) -> (Vec<u32>, Vec<V>) {
    let mut known: HashMap<V, u32, RandomState> = HashMap::default();
    let (mut ids, mut met) = (Vec::with_capacity(values.size_hint().0), Vec::new());
    // Rows that follow each other are often alike.
    let mut last: Option<(V, u32)> = None;
    for value in values {
        let id = match last {
            Some((v, id)) if v == value => id,
            _ => *known.entry(value).or_insert_with(|| {
                met.push(value);
                (met.len() - 1) as u32
            }),
        };
        last = Some((value, id));
        ids.push(id);
    }
    (ids, met)
}

/// Distinct values to ids; `text` is called once per distinct value.
fn index<V: Copy + Eq + Hash>(values: impl Iterator<Item = V>, text: impl Fn(V) -> Result<String, (Option<String>, String)>) -> Column {
    let (ids, met) = distinct(values);
    Column { ids, texts: met.into_iter().map(text).collect() }
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

/// The times of a column in epoch milliseconds. Whole numbers read alike in columns of both number types.
fn times_of(rows: &RecordBatch, path: &[String]) -> Vec<Option<i64>> {
    let Some(mut array) = resolve(rows, path) else { return vec![None; rows.num_rows()] };
    if let DataType::Timestamp(unit, zone) = array.data_type()
        && *unit != TimeUnit::Millisecond
        && let Ok(ms) = arrow_cast::cast(&array, &DataType::Timestamp(TimeUnit::Millisecond, zone.clone()))
    {
        array = ms;
    }
    if array.data_type() == &DataType::Int64 {
        return array.as_primitive::<Int64Type>().iter().collect();
    }
    let time = |row| match value_at(&array, row)? {
        Value::Int(ms) | Value::Time(ms) => Some(ms),
        Value::Text(text) => parse_timestamp(text),
        Value::Date(days) => Some(i64::from(days) * 86_400_000),
        Value::Bool(_) | Value::Float(_) | Value::Other(_) => None,
    };
    (0..array.len()).map(time).collect()
}
