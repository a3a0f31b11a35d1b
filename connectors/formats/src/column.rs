//! Columns under construction: typed by the first value, padded lazily, cut back to any row.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Float64Array, Int64Array, ListArray, StringArray, StructArray,
    TimestampMillisecondArray,
};
use arrow_buffer::{BooleanBufferBuilder, NullBuffer, NullBufferBuilder, OffsetBuffer};
use arrow_schema::{Field, FieldRef};
use lakefeed_core::shorten;

use crate::fault::{Fault, Result};
use crate::fields::{Fields, Growth};
use crate::number::{self, Number};
use crate::schema::{DeclaredType, parse_date, parse_timestamp};

/// A column of one batch, and what is known about it from earlier ones.
///
/// It may be shorter than the rows it belongs to: missing rows at its end are null.
#[derive(Debug)]
pub(crate) struct Column {
    nulls: NullBufferBuilder,
    data: Data,
    /// The type was given, not inferred: it never changes.
    declared: bool,
    /// When it got its type, counted over all columns: the order of columns in the schema.
    born: u32,
}

#[derive(Debug)]
enum Data {
    /// Only nulls so far.
    Unknown,
    Boolean(BooleanBufferBuilder),
    /// `wide`: has held integers that a double can't, so it never becomes a column of doubles.
    Int64 {
        values: Vec<i64>,
        wide: bool,
    },
    Float64(Vec<f64>),
    Utf8(Bytes),
    Binary(Bytes),
    Timestamp(Vec<i64>),
    Date(Vec<i32>),
    Struct(Box<Fields>),
    List(Box<List>),
}

/// Texts or byte strings, one after the other.
///
/// 32-bit offsets are enough here and in [`List`]: a text, and an item of a list, takes at least as many bytes of the records'
/// values, and those lie in one Arrow array with 32-bit offsets.
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

impl Bytes {
    fn new() -> Self {
        Self { offsets: vec![0], data: Vec::new() }
    }

    fn end(&mut self) {
        self.offsets.push(self.data.len() as i32);
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.data.truncate(self.offsets.last().map_or(0, |end| *end as usize));
    }

    fn take(&mut self) -> (OffsetBuffer<i32>, Vec<u8>) {
        (take_offsets(&mut self.offsets), take(&mut self.data))
    }
}

impl List {
    /// The items since the last list are the next list.
    pub(crate) fn end(&mut self) {
        self.offsets.push(self.item.len() as i32);
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

impl Column {
    pub(crate) fn new() -> Self {
        Self { nulls: NullBufferBuilder::new(0), data: Data::Unknown, declared: false, born: 0 }
    }

    pub(crate) fn declared(kind: DeclaredType, born: u32) -> Self {
        let data = match kind {
            DeclaredType::Boolean => Data::Boolean(BooleanBufferBuilder::new(0)),
            DeclaredType::BigInt => Data::Int64 { values: Vec::new(), wide: false },
            DeclaredType::Double => Data::Float64(Vec::new()),
            DeclaredType::Varchar => Data::Utf8(Bytes::new()),
            DeclaredType::Timestamp => Data::Timestamp(Vec::new()),
            DeclaredType::Date => Data::Date(Vec::new()),
        };
        Self { data, declared: true, born, ..Self::new() }
    }

    /// The same column without rows.
    pub(crate) fn empty_copy(&self) -> Self {
        let data = match &self.data {
            Data::Unknown => Data::Unknown,
            Data::Boolean(_) => Data::Boolean(BooleanBufferBuilder::new(0)),
            Data::Int64 { wide, .. } => Data::Int64 { values: Vec::new(), wide: *wide },
            Data::Float64(_) => Data::Float64(Vec::new()),
            Data::Utf8(_) => Data::Utf8(Bytes::new()),
            Data::Binary(_) => Data::Binary(Bytes::new()),
            Data::Timestamp(_) => Data::Timestamp(Vec::new()),
            Data::Date(_) => Data::Date(Vec::new()),
            Data::Struct(fields) => Data::Struct(Box::new(fields.empty_copy())),
            Data::List(list) => Data::List(Box::new(List { offsets: vec![0], item: list.item.empty_copy() })),
        };
        Self { data, declared: self.declared, born: self.born, ..Self::new() }
    }

    /// The rows it holds.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.nulls.len()
    }

    /// Makes ready for the value of `row`: missing rows before it become null. False if it has one already.
    #[inline]
    pub(crate) fn begin(&mut self, row: usize) -> bool {
        if self.len() < row {
            self.pad(row);
        }
        self.len() == row
    }

    #[cold]
    fn pad(&mut self, rows: usize) {
        self.nulls.append_n_nulls(rows - self.len());
        self.data.pad(rows);
    }

    /// Cuts back to `rows` rows, half-appended values included.
    pub(crate) fn truncate(&mut self, rows: usize) {
        let rows = rows.min(self.len());
        self.nulls.truncate(rows);
        match &mut self.data {
            Data::Unknown => {}
            Data::Boolean(values) => values.truncate(rows),
            Data::Int64 { values, .. } | Data::Timestamp(values) => values.truncate(rows),
            Data::Float64(values) => values.truncate(rows),
            Data::Date(values) => values.truncate(rows),
            Data::Utf8(bytes) | Data::Binary(bytes) => bytes.truncate(rows),
            Data::Struct(fields) => fields.truncate(rows),
            Data::List(list) => {
                list.offsets.truncate(rows + 1);
                list.item.truncate(list.offsets.last().map_or(0, |end| *end as usize));
            }
        }
    }

    /// Appends a null.
    pub(crate) fn push_null(&mut self) {
        self.nulls.append_null();
        self.data.pad(self.nulls.len());
    }

    /// The value whose parts were appended to [`Column::as_struct`], [`Column::as_list`] or [`Column::as_binary`] is complete.
    #[inline]
    pub(crate) fn end_value(&mut self) {
        match &mut self.data {
            Data::Utf8(bytes) | Data::Binary(bytes) => bytes.end(),
            Data::List(list) => list.end(),
            _ => {}
        }
        self.nulls.append_non_null();
    }

    /// Gives a column of nulls its type.
    #[cold]
    fn settle(&mut self, mut data: Data, growth: &mut Growth) -> Result<()> {
        self.born = growth.next_born()?;
        data.pad(self.len());
        self.data = data;
        Ok(())
    }

    /// Appends a boolean; false if the column holds something else.
    pub(crate) fn push_bool(&mut self, value: bool, growth: &mut Growth) -> Result<bool> {
        if let Data::Unknown = self.data {
            self.settle(Data::Boolean(BooleanBufferBuilder::new(0)), growth)?;
        }
        let Data::Boolean(values) = &mut self.data else { return Ok(false) };
        values.append(value);
        self.nulls.append_non_null();
        Ok(true)
    }

    /// Appends a number; false if the column can't hold it.
    #[inline]
    pub(crate) fn push_number(&mut self, number: &Number<'_>, growth: &mut Growth) -> Result<bool> {
        let fits = match &mut self.data {
            Data::Float64(values) => {
                let value = if self.declared { number.nearest_f64() } else { number.as_f64() };
                value.map(|value| values.push(value)).is_some()
            }
            Data::Int64 { values, wide } => match number.as_i64() {
                Some(value) if *wide || self.declared || number::is_exact_in_f64(value) => {
                    values.push(value);
                    true
                }
                _ => return self.push_other_number(number, growth),
            },
            _ => return self.push_other_number(number, growth),
        };
        if fits {
            self.nulls.append_non_null();
        }
        Ok(fits)
    }

    #[cold]
    fn push_other_number(&mut self, number: &Number<'_>, growth: &mut Growth) -> Result<bool> {
        if let Data::Unknown = self.data {
            let integer = number.as_i64().is_some();
            if !integer && number.as_f64().is_none() {
                return Ok(false);
            }
            let data = if integer { Data::Int64 { values: Vec::new(), wide: false } } else { Data::Float64(Vec::new()) };
            self.settle(data, growth)?;
        }
        match &mut self.data {
            Data::Float64(values) => match number.as_f64() {
                Some(value) => values.push(value),
                None => return Ok(false),
            },
            Data::Int64 { values, .. } if self.declared => match number.as_whole() {
                Some(value) => values.push(value),
                None => return Ok(false),
            },
            Data::Int64 { values, wide } => match (number.as_i64(), number.as_f64()) {
                (Some(value), _) => {
                    if !*wide && !number::is_exact_in_f64(value) {
                        growth.claim()?;
                        *wide = true;
                    }
                    values.push(value);
                }
                // Every integer so far is exact as a double, so the column as a whole can become one of doubles.
                (None, Some(value)) if !*wide => {
                    growth.claim()?;
                    self.data = Data::Float64(values.iter().map(|v| *v as f64).chain([value]).collect());
                }
                _ => return Ok(false),
            },
            Data::Timestamp(values) => match number.as_i64() {
                Some(value) => values.push(value),
                None => return Ok(false),
            },
            _ => return Ok(false),
        }
        self.nulls.append_non_null();
        Ok(true)
    }

    /// The texts of a column of strings: append one and call [`Column::end_value`]. `None` if the column holds something else.
    #[inline]
    pub(crate) fn as_string(&mut self, growth: &mut Growth) -> Result<Option<&mut Bytes>> {
        if let Data::Unknown = self.data {
            self.settle(Data::Utf8(Bytes::new()), growth)?;
        }
        if let Data::Utf8(bytes) = &mut self.data { Ok(Some(bytes)) } else { Ok(None) }
    }

    /// Whether text is read as a time here.
    #[inline]
    pub(crate) fn is_time(&self) -> bool {
        matches!(self.data, Data::Timestamp(_) | Data::Date(_))
    }

    /// Appends a point in time that is written as text; false if it is none.
    pub(crate) fn push_time(&mut self, text: &str) -> bool {
        let fits = match &mut self.data {
            Data::Timestamp(values) => parse_timestamp(text).map(|value| values.push(value)).is_some(),
            Data::Date(values) => parse_date(text).map(|value| values.push(value)).is_some(),
            _ => false,
        };
        if fits {
            self.nulls.append_non_null();
        }
        fits
    }

    /// The byte strings of a binary column: append one and call [`Column::end_value`].
    pub(crate) fn as_binary(&mut self, growth: &mut Growth) -> Result<Option<&mut Bytes>> {
        if let Data::Unknown = self.data {
            self.settle(Data::Binary(Bytes::new()), growth)?;
        }
        if let Data::Binary(bytes) = &mut self.data { Ok(Some(bytes)) } else { Ok(None) }
    }

    /// The fields of a column of objects: append to them at row [`Column::len`] and call [`Column::end_value`].
    pub(crate) fn as_struct(&mut self, growth: &mut Growth) -> Result<Option<&mut Fields>> {
        if let Data::Unknown = self.data {
            self.settle(Data::Struct(Box::default()), growth)?;
        }
        if let Data::Struct(fields) = &mut self.data { Ok(Some(fields)) } else { Ok(None) }
    }

    /// The items of a column of arrays: append to them and call [`Column::end_value`].
    pub(crate) fn as_list(&mut self, growth: &mut Growth) -> Result<Option<&mut List>> {
        if let Data::Unknown = self.data {
            self.settle(Data::List(Box::new(List { offsets: vec![0], item: Self::new() })), growth)?;
        }
        if let Data::List(list) = &mut self.data { Ok(Some(list)) } else { Ok(None) }
    }

    /// The texts of a column that takes any value as text, or that now becomes one because `value` (as it is written) does not fit
    /// it; append the text and call [`Column::end_value`].
    ///
    /// # Errors
    /// The value does not fit, and the column can't become text.
    #[cold]
    pub(crate) fn as_text(&mut self, value: &[u8], growth: &mut Growth) -> Result<&mut Bytes> {
        let is_text = matches!(self.data, Data::Utf8(_));
        if !(if self.declared { is_text } else { growth.text }) {
            return Err(self.conflict(value));
        }
        if !is_text {
            growth.turn_to_text()?;
            let born = self.born();
            self.settle(Data::Utf8(Bytes::new()), growth)?;
            self.born = born.unwrap_or(self.born);
        }
        // It is a column of strings now, so there is no other case.
        self.as_string(growth)?.ok_or(Fault::Growth)
    }

    fn conflict(&self, value: &[u8]) -> Fault {
        let number = value.first().is_some_and(|b| *b == b'-' || b.is_ascii_digit());
        let expected = match &self.data {
            Data::Unknown => "a number that BIGINT or DOUBLE holds exactly",
            Data::Boolean(_) => "BOOLEAN",
            Data::Int64 { wide: true, .. } if number => "BIGINT, for it holds integers that DOUBLE can't hold exactly",
            Data::Int64 { .. } if self.declared => "BIGINT",
            Data::Float64(_) if self.declared => "DOUBLE",
            Data::Int64 { .. } if number => "BIGINT, or a number that DOUBLE holds exactly",
            Data::Int64 { .. } => "BIGINT",
            Data::Float64(_) if number => "a number that DOUBLE holds exactly",
            Data::Float64(_) => "DOUBLE",
            Data::Utf8(_) => "VARCHAR",
            Data::Binary(_) => "BLOB",
            Data::Timestamp(_) => "TIMESTAMP (ISO 8601 text, or milliseconds since 1970-01-01 UTC)",
            Data::Date(_) => "DATE (text such as 2024-12-31)",
            Data::Struct(_) => "an object",
            Data::List(_) => "an array",
        };
        let shown = shorten(value);
        Fault::field(if self.declared {
            format!("found {shown}, expected {expected} as declared: correct the producer or the declared type")
        } else {
            format!("found {shown}, expected {expected}: set schema.conflict=text or correct the producer")
        })
    }

    /// When it first had something to show; `None` while it has not: nulls, empty objects and empty arrays have no type.
    pub(crate) fn born(&self) -> Option<u32> {
        match &self.data {
            Data::Unknown => None,
            Data::Struct(fields) => fields.born(),
            Data::List(list) => list.item.born(),
            _ => Some(self.born),
        }
    }

    /// Takes the rows out as an array of `rows` rows; `None` if the column has no type yet.
    pub(crate) fn take(&mut self, rows: usize) -> Option<ArrayRef> {
        let typed = self.born().is_some();
        if typed && self.len() < rows {
            self.pad(rows);
        }
        let nulls = self.nulls.finish().filter(|nulls| nulls.null_count() > 0);
        if !typed {
            // Empty objects and arrays are dropped with it.
            self.truncate(0);
            return None;
        }
        Some(self.data.take(rows, nulls))
    }
}

impl Data {
    /// Appends values that don't matter until there are `rows`.
    fn pad(&mut self, rows: usize) {
        match self {
            // The fields of a struct are padded when they are used.
            Self::Unknown | Self::Struct(_) => {}
            Self::Boolean(values) => values.resize(rows),
            Self::Int64 { values, .. } | Self::Timestamp(values) => values.resize(rows, 0),
            Self::Float64(values) => values.resize(rows, 0.0),
            Self::Date(values) => values.resize(rows, 0),
            Self::Utf8(bytes) | Self::Binary(bytes) => bytes.offsets.resize(rows + 1, bytes.data.len() as i32),
            Self::List(list) => list.offsets.resize(rows + 1, list.item.len() as i32),
        }
    }

    /// The rows as an array.
    fn take(&mut self, rows: usize, nulls: Option<NullBuffer>) -> ArrayRef {
        match self {
            // The caller has made sure that the column has a type.
            Self::Unknown => Arc::new(arrow_array::NullArray::new(rows)),
            Self::Boolean(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Self::Int64 { values, .. } => Arc::new(Int64Array::new(take(values).into(), nulls)),
            Self::Float64(values) => Arc::new(Float64Array::new(take(values).into(), nulls)),
            Self::Timestamp(values) => {
                Arc::new(TimestampMillisecondArray::new(take(values).into(), nulls).with_timezone(crate::schema::UTC))
            }
            Self::Date(values) => Arc::new(Date32Array::new(take(values).into(), nulls)),
            Self::Utf8(bytes) => {
                let (offsets, data) = bytes.take();
                // `new` checks that each text is UTF-8: a value is checked before it is decoded, and only whole strings of it, or
                // what their escapes stand for, are appended.
                Arc::new(StringArray::new(offsets, data.into(), nulls))
            }
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
        }
    }
}
