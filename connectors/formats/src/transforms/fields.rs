//! Fields that come, go, are renamed and are masked.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Float64Array, Int32Array, Int64Array, ListArray, MapArray, StringArray, StructArray,
    TimestampMillisecondArray, make_array, new_empty_array, new_null_array,
};
use arrow_buffer::{BooleanBuffer, Buffer, MutableBuffer, NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, FieldRef};
use lakefeed_core::{Config, ConfigError, Records, Result};

use super::cell::has_value;
use super::config::Made;
use super::rows::{Columns, Gone, Rows, column, failed};
use super::types::type_name;
use super::{Done, Transform};
use crate::schema::UTC;

/// `InsertField`: what is known of the record beside its value, and a fixed text.
#[derive(Debug)]
pub(super) struct InsertField {
    topic: Option<String>,
    partition: Option<String>,
    offset: Option<String>,
    timestamp: Option<String>,
    constant: Option<(String, String)>,
}

impl InsertField {
    pub(super) fn make(config: &Config) -> Made {
        // Every column of the lake can be null, so `!` for a required field changes nothing.
        let name = |key: &str| config.get(key).map(|name| name.strip_suffix(['!', '?']).unwrap_or(name).to_owned());
        let made = Self {
            topic: name("topic.field"),
            partition: name("partition.field"),
            offset: name("offset.field"),
            timestamp: name("timestamp.field"),
            constant: name("static.field").zip(config.get("static.value").map(str::to_owned)),
        };
        if config.get("static.field").is_some() != config.get("static.value").is_some() {
            return Err(ConfigError::key("static.field", "static.field and static.value go together: set both"));
        }
        if made.topic.is_none() && made.partition.is_none() && made.offset.is_none() && made.timestamp.is_none() && made.constant.is_none()
        {
            return Err(ConfigError::key(
                "type",
                "nothing is inserted: set topic.field, partition.field, offset.field, timestamp.field or static.field with static.value",
            ));
        }
        Ok(Transform::InsertField(made))
    }

    pub(super) fn apply(&self, records: &Records, mut rows: Rows) -> Rows {
        let count = rows.columns.rows;
        let text = |text: &str| Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, count))) as ArrayRef;
        if let Some(name) = &self.topic {
            let topics = rows.beside.topics.clone().unwrap_or_else(|| text(&records.topic));
            rows.columns.set(name, topics);
        }
        if let Some(name) = &self.partition {
            rows.columns.set(name, Arc::new(Int32Array::from_value(records.partition, count)));
        }
        if let Some(name) = &self.offset {
            let offsets = Int64Array::from_iter_values(rows.indices.iter().map(|record| records.offsets[*record as usize]));
            rows.columns.set(name, Arc::new(offsets));
        }
        if let Some(name) = &self.timestamp {
            let of = |record: &u32| Some(records.timestamps[*record as usize]).filter(|ms| *ms >= 0);
            let timestamps: TimestampMillisecondArray = rows.indices.iter().map(of).collect();
            rows.columns.set(name, Arc::new(timestamps.with_timezone(UTC)));
        }
        if let Some((name, value)) = &self.constant {
            rows.columns.set(name, text(value));
        }
        rows
    }
}

/// `ReplaceField`: fields that are left out, and new names of others.
#[derive(Debug)]
pub(super) struct ReplaceField {
    exclude: HashSet<String>,
    include: HashSet<String>,
    renames: HashMap<String, String>,
}

impl ReplaceField {
    pub(super) fn make(config: &Config) -> Made {
        // The old names of the keys still work in Kafka Connect.
        let set = |key: &str, old: &str| {
            let names = if config.get(key).is_some() { config.list(key) } else { config.list(old) };
            names.into_iter().map(str::to_owned).collect::<HashSet<_>>()
        };
        let mut renames = HashMap::new();
        for pair in config.list("renames") {
            match pair.split_once(':') {
                Some((from, to)) if !from.is_empty() && !to.is_empty() && !to.contains(':') => {
                    renames.insert(from.to_owned(), to.to_owned())
                }
                _ => return Err(ConfigError::value("renames", pair, "expected pairs OLD:NEW with commas between them")),
            };
        }
        Ok(Transform::ReplaceField(Self { exclude: set("exclude", "blacklist"), include: set("include", "whitelist"), renames }))
    }

    pub(super) fn apply(&self, mut rows: Rows) -> Rows {
        let kept = |name: &String| !self.exclude.contains(name) && (self.include.is_empty() || self.include.contains(name));
        let all = rows.columns.all.into_iter().filter(|(field, _)| kept(field.name()));
        let renamed = all.map(|(field, array)| match self.renames.get(field.name()) {
            Some(name) => column(name, array),
            None => (field, array),
        });
        rows.columns = Columns { all: renamed.collect(), rows: rows.columns.rows };
        rows
    }
}

/// `MaskField`: a fixed value in the place of each that is not null.
#[derive(Debug)]
pub(super) struct MaskField {
    fields: Vec<String>,
    replacement: Option<String>,
}

impl MaskField {
    pub(super) fn make(config: &Config) -> Made {
        let fields = config.list("fields").into_iter().map(str::to_owned).collect();
        Ok(Transform::MaskField(Self { fields, replacement: config.get("replacement").map(str::to_owned) }))
    }

    pub(super) fn apply(&self, mut rows: Rows) -> Result<Done> {
        let mut gone = Vec::new();
        for name in &self.fields {
            let Some(at) = rows.columns.position(name) else { continue };
            let array = &rows.columns.all[at].1;
            let masked = match &self.replacement {
                None => Some(blank(array)?),
                Some(text) => replaced(array, text),
            };
            let masked = masked.unwrap_or_else(|| {
                let message = format!(
                    "found a {}, and the replacement can't stand for one: mask this field without replacement",
                    type_name(array.data_type())
                );
                let full = has_value(array);
                gone.extend((0..array.len()).filter(|row| full[*row]).map(|row| (row, Gone::rejected(name, message.clone()))));
                new_null_array(array.data_type(), array.len())
            });
            rows.columns.all[at] = column(name, masked);
        }
        Ok(Done { rows, gone })
    }
}

/// The replacement where a value is; `None` if it can't stand in such a column.
fn replaced(array: &ArrayRef, text: &str) -> Option<ArrayRef> {
    let (rows, nulls) = (array.len(), array.nulls().cloned());
    match array.data_type() {
        DataType::Utf8 => Some(Arc::new((0..rows).map(|row| array.is_valid(row).then_some(text)).collect::<StringArray>())),
        DataType::Int32 | DataType::Int64 | DataType::Float32 | DataType::Float64 => {
            // In a column of whole numbers too, which becomes one of doubles when it meets one: what a value is masked by must not hang on that.
            let number: f64 = text.trim().parse().ok()?;
            match (array.data_type(), text.trim().parse::<i64>()) {
                (DataType::Int32, Ok(whole)) if i32::try_from(whole).is_ok() => {
                    Some(Arc::new(Int32Array::new(vec![i32::try_from(whole).ok()?; rows].into(), nulls)))
                }
                (DataType::Int32 | DataType::Int64, Ok(whole)) => Some(Arc::new(Int64Array::new(vec![whole; rows].into(), nulls))),
                _ => Some(Arc::new(Float64Array::new(vec![number; rows].into(), nulls))),
            }
        }
        _ => None,
    }
}

/// The column with false, zero, the empty text, list or map, or a struct without values, where a value is.
fn blank(array: &ArrayRef) -> Result<ArrayRef> {
    let (rows, nulls) = (array.len(), array.nulls().cloned());
    let none = || OffsetBuffer::<i32>::new_zeroed(rows);
    let blank: ArrayRef = match array.data_type() {
        DataType::Boolean => Arc::new(BooleanArray::new(BooleanBuffer::new_unset(rows), nulls)),
        DataType::Utf8 => Arc::new(StringArray::new(none(), Buffer::default(), nulls)),
        DataType::Binary => Arc::new(BinaryArray::new(none(), Buffer::default(), nulls)),
        DataType::List(item) => Arc::new(ListArray::new(Arc::clone(item), none(), new_empty_array(item.data_type()), nulls)),
        DataType::Map(entries, sorted) => empty_maps(entries, *sorted, none(), nulls),
        DataType::Struct(fields) => {
            let children = fields.iter().map(|field| new_null_array(field.data_type(), rows)).collect();
            Arc::new(StructArray::try_new_with_length(fields.clone(), children, nulls, rows).map_err(failed)?)
        }
        kind => match kind.primitive_width() {
            Some(width) => {
                let zeros = Buffer::from(MutableBuffer::from_len_zeroed(rows * width));
                let data = array.to_data().into_builder().offset(0).buffers(vec![zeros]).nulls(nulls);
                make_array(data.build().map_err(failed)?)
            }
            None => new_null_array(kind, rows),
        },
    };
    Ok(blank)
}

fn empty_maps(entries: &FieldRef, sorted: bool, offsets: OffsetBuffer<i32>, nulls: Option<NullBuffer>) -> ArrayRef {
    let none = new_empty_array(entries.data_type()).as_struct().clone();
    Arc::new(MapArray::new(Arc::clone(entries), offsets, none, nulls, sorted))
}
