//! What a column holds while a batch is built.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int32Array, Int64Array,
    ListArray, MapArray, StringArray, StructArray, Time32MillisecondArray, Time64MicrosecondArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray,
};
use arrow_buffer::{BooleanBufferBuilder, NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field, FieldRef, Fields as ArrowFields, TimeUnit};

use crate::column::Column;
use crate::fields::Fields;
use crate::schema::UTC;

/// The values of a column; those of null rows don't matter.
#[derive(Debug)]
pub(crate) enum Data {
    /// Only nulls so far.
    Unknown,
    Boolean(BooleanBufferBuilder),
    Int32(Vec<i32>),
    /// `wide`: has held integers that a double can't, so it never becomes a column of doubles.
    Int64 {
        values: Vec<i64>,
        wide: bool,
    },
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Utf8(Bytes),
    Binary(Bytes),
    Date(Vec<i32>),
    /// Milliseconds after midnight.
    TimeMs(Vec<i32>),
    /// Microseconds after midnight.
    TimeUs(Vec<i64>),
    /// `utc`: a point in time, and not what a clock on a wall shows.
    Timestamp {
        values: Vec<i64>,
        unit: TimeUnit,
        utc: bool,
    },
    Decimal {
        values: Vec<i128>,
        precision: u8,
        scale: i8,
    },
    Struct(Box<Fields>),
    List(Box<List>),
    Map(Box<Map>),
}

/// Texts or byte strings, one after the other.
///
/// 32-bit offsets are enough here and in [`List`]: a text, and an item of a list, takes at least as many bytes of the records'
/// values, and those lie in one Arrow array with 32-bit offsets. Where a record may say more with less (symbols of an Avro enum, items
/// without bytes), [`crate::avro`] sets the limit.
#[derive(Debug)]
pub(crate) struct Bytes {
    offsets: Vec<i32>,
    pub(crate) data: Vec<u8>,
}

/// The items of a column of lists.
#[derive(Debug)]
pub(crate) struct List {
    offsets: Vec<i32>,
    pub(crate) item: Column,
}

/// The entries of a column of maps with texts as keys.
#[derive(Debug)]
pub(crate) struct Map {
    offsets: Vec<i32>,
    pub(crate) keys: Bytes,
    pub(crate) value: Column,
}

impl Bytes {
    pub(crate) fn new() -> Self {
        Self { offsets: vec![0], data: Vec::new() }
    }

    pub(crate) fn end(&mut self) {
        self.offsets.push(self.data.len() as i32);
    }

    fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.data.truncate(self.offsets.last().map_or(0, |end| *end as usize));
    }

    fn take(&mut self) -> (OffsetBuffer<i32>, Vec<u8>) {
        (take_offsets(&mut self.offsets), take(&mut self.data))
    }

    fn take_texts(&mut self, nulls: Option<NullBuffer>) -> StringArray {
        let (offsets, data) = self.take();
        // `new` checks that each text is UTF-8: a value is checked before it is decoded, and only whole strings of it, or what their
        // escapes stand for, are appended.
        StringArray::new(offsets, data.into(), nulls)
    }
}

impl List {
    pub(crate) fn new(item: Column) -> Self {
        Self { offsets: vec![0], item }
    }

    /// The items since the last list are the next list.
    pub(crate) fn end(&mut self) {
        self.offsets.push(self.item.len() as i32);
    }
}

impl Map {
    pub(crate) fn new(value: Column) -> Self {
        Self { offsets: vec![0], keys: Bytes::new(), value }
    }

    /// The entries since the last map are the next map.
    pub(crate) fn end(&mut self) {
        self.offsets.push(self.value.len() as i32);
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        let entries = self.offsets.last().map_or(0, |end| *end as usize);
        self.keys.truncate(entries);
        self.value.truncate(entries);
    }

    fn take(&mut self, nulls: Option<NullBuffer>) -> ArrayRef {
        let entries = self.keys.len();
        let values = self.value.take(entries).unwrap_or_else(|| Arc::new(arrow_array::NullArray::new(entries)));
        let fields: ArrowFields =
            vec![Field::new("key", DataType::Utf8, false), Field::new("value", values.data_type().clone(), true)].into();
        let entries = StructArray::new(fields, vec![Arc::new(self.keys.take_texts(None)), values], None);
        let field: FieldRef = Arc::new(Field::new("entries", entries.data_type().clone(), false));
        Arc::new(MapArray::new(field, take_offsets(&mut self.offsets), entries, nulls, false))
    }
}

/// Takes the values out and leaves room for as many. A small batch does not keep the room of a large one before it.
fn take<T>(values: &mut Vec<T>) -> Vec<T> {
    let room = Vec::with_capacity(values.len());
    let mut taken = std::mem::replace(values, room);
    if taken.capacity() / 2 > taken.len() {
        taken.shrink_to_fit();
    }
    taken
}

fn take_offsets(offsets: &mut Vec<i32>) -> OffsetBuffer<i32> {
    let taken = take(offsets);
    offsets.push(0);
    OffsetBuffer::new(taken.into())
}

impl Data {
    /// No values of a type that is no struct, list or map; `None` for the types that no column has.
    pub(crate) fn of(kind: &DataType) -> Option<Self> {
        Some(match kind {
            DataType::Boolean => Self::Boolean(BooleanBufferBuilder::new(0)),
            DataType::Int32 => Self::Int32(Vec::new()),
            DataType::Int64 => Self::Int64 { values: Vec::new(), wide: false },
            DataType::Float32 => Self::Float32(Vec::new()),
            DataType::Float64 => Self::Float64(Vec::new()),
            DataType::Utf8 => Self::Utf8(Bytes::new()),
            DataType::Binary => Self::Binary(Bytes::new()),
            DataType::Date32 => Self::Date(Vec::new()),
            DataType::Time32(TimeUnit::Millisecond) => Self::TimeMs(Vec::new()),
            DataType::Time64(TimeUnit::Microsecond) => Self::TimeUs(Vec::new()),
            DataType::Timestamp(unit, zone) => Self::Timestamp { values: Vec::new(), unit: *unit, utc: zone.is_some() },
            DataType::Decimal128(precision, scale) => Self::Decimal { values: Vec::new(), precision: *precision, scale: *scale },
            _ => return None,
        })
    }

    /// The type, if it is no struct, list or map and known.
    pub(crate) fn kind(&self) -> Option<DataType> {
        Some(match self {
            Self::Boolean(_) => DataType::Boolean,
            Self::Int32(_) => DataType::Int32,
            Self::Int64 { .. } => DataType::Int64,
            Self::Float32(_) => DataType::Float32,
            Self::Float64(_) => DataType::Float64,
            Self::Utf8(_) => DataType::Utf8,
            Self::Binary(_) => DataType::Binary,
            Self::Date(_) => DataType::Date32,
            Self::TimeMs(_) => DataType::Time32(TimeUnit::Millisecond),
            Self::TimeUs(_) => DataType::Time64(TimeUnit::Microsecond),
            Self::Timestamp { unit, utc, .. } => DataType::Timestamp(*unit, utc.then(|| UTC.into())),
            Self::Decimal { precision, scale, .. } => DataType::Decimal128(*precision, *scale),
            Self::Unknown | Self::Struct(_) | Self::List(_) | Self::Map(_) => return None,
        })
    }

    /// The same type without values.
    pub(crate) fn empty_copy(&self) -> Self {
        match self {
            Self::Int64 { wide, .. } => Self::Int64 { values: Vec::new(), wide: *wide },
            Self::Struct(fields) => Self::Struct(Box::new(fields.empty_copy())),
            Self::List(list) => Self::List(Box::new(List::new(list.item.empty_copy()))),
            Self::Map(map) => Self::Map(Box::new(Map::new(map.value.empty_copy()))),
            leaf => leaf.kind().and_then(|kind| Self::of(&kind)).unwrap_or(Self::Unknown),
        }
    }

    /// Cuts back to `rows` rows, half-appended values included.
    pub(crate) fn truncate(&mut self, rows: usize) {
        match self {
            Self::Unknown => {}
            Self::Boolean(values) => values.truncate(rows),
            Self::Int64 { values, .. } | Self::Timestamp { values, .. } | Self::TimeUs(values) => values.truncate(rows),
            Self::Int32(values) | Self::Date(values) | Self::TimeMs(values) => values.truncate(rows),
            Self::Float32(values) => values.truncate(rows),
            Self::Float64(values) => values.truncate(rows),
            Self::Decimal { values, .. } => values.truncate(rows),
            Self::Utf8(bytes) | Self::Binary(bytes) => bytes.truncate(rows),
            Self::Struct(fields) => fields.truncate(rows),
            Self::List(list) => {
                list.offsets.truncate(rows + 1);
                list.item.truncate(list.offsets.last().map_or(0, |end| *end as usize));
            }
            Self::Map(map) => map.truncate(rows),
        }
    }

    /// Appends values that don't matter until there are `rows`.
    pub(crate) fn pad(&mut self, rows: usize) {
        match self {
            // The fields of a struct are padded when they are used.
            Self::Unknown | Self::Struct(_) => {}
            Self::Boolean(values) => values.resize(rows),
            Self::Int64 { values, .. } | Self::Timestamp { values, .. } | Self::TimeUs(values) => values.resize(rows, 0),
            Self::Int32(values) | Self::Date(values) | Self::TimeMs(values) => values.resize(rows, 0),
            Self::Float32(values) => values.resize(rows, 0.0),
            Self::Float64(values) => values.resize(rows, 0.0),
            Self::Decimal { values, .. } => values.resize(rows, 0),
            Self::Utf8(bytes) | Self::Binary(bytes) => bytes.offsets.resize(rows + 1, bytes.data.len() as i32),
            Self::List(list) => list.offsets.resize(rows + 1, list.item.len() as i32),
            Self::Map(map) => map.offsets.resize(rows + 1, map.value.len() as i32),
        }
    }

    /// The rows as an array.
    pub(crate) fn take(&mut self, rows: usize, nulls: Option<NullBuffer>) -> ArrayRef {
        match self {
            // The caller has made sure that the column has a type.
            Self::Unknown => Arc::new(arrow_array::NullArray::new(rows)),
            Self::Boolean(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Self::Int32(values) => Arc::new(Int32Array::new(take(values).into(), nulls)),
            Self::Int64 { values, .. } => Arc::new(Int64Array::new(take(values).into(), nulls)),
            Self::Float32(values) => Arc::new(Float32Array::new(take(values).into(), nulls)),
            Self::Float64(values) => Arc::new(Float64Array::new(take(values).into(), nulls)),
            Self::Timestamp { values, unit, utc } => timestamps(take(values), *unit, *utc, nulls),
            Self::Date(values) => Arc::new(Date32Array::new(take(values).into(), nulls)),
            Self::TimeMs(values) => Arc::new(Time32MillisecondArray::new(take(values).into(), nulls)),
            Self::TimeUs(values) => Arc::new(Time64MicrosecondArray::new(take(values).into(), nulls)),
            Self::Decimal { values, precision, scale } => {
                let kind = DataType::Decimal128(*precision, *scale);
                Arc::new(Decimal128Array::new(take(values).into(), nulls).with_data_type(kind))
            }
            Self::Utf8(bytes) => Arc::new(bytes.take_texts(nulls)),
            Self::Binary(bytes) => {
                let (offsets, data) = bytes.take();
                Arc::new(BinaryArray::new(offsets, data.into(), nulls))
            }
            Self::Struct(fields) => {
                let (fields, arrays) = fields.take(rows);
                Arc::new(StructArray::new(fields, arrays, nulls))
            }
            Self::List(list) => {
                let items = list.item.len();
                let array = list.item.take(items).unwrap_or_else(|| Arc::new(arrow_array::NullArray::new(items)));
                let field: FieldRef = Arc::new(Field::new_list_field(array.data_type().clone(), true));
                Arc::new(ListArray::new(field, take_offsets(&mut list.offsets), array, nulls))
            }
            Self::Map(map) => map.take(nulls),
        }
    }
}

fn timestamps(values: Vec<i64>, unit: TimeUnit, utc: bool, nulls: Option<NullBuffer>) -> ArrayRef {
    let zone: Option<Arc<str>> = utc.then(|| UTC.into());
    let values = values.into();
    match unit {
        TimeUnit::Second => Arc::new(TimestampSecondArray::new(values, nulls).with_timezone_opt(zone)),
        TimeUnit::Millisecond => Arc::new(TimestampMillisecondArray::new(values, nulls).with_timezone_opt(zone)),
        TimeUnit::Microsecond => Arc::new(TimestampMicrosecondArray::new(values, nulls).with_timezone_opt(zone)),
        TimeUnit::Nanosecond => Arc::new(TimestampNanosecondArray::new(values, nulls).with_timezone_opt(zone)),
    }
}
