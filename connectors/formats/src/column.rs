//! Columns under construction: typed by the first value or by a schema, padded lazily, cut back to any row.

use arrow_array::ArrayRef;
use arrow_buffer::BooleanBufferBuilder;
use arrow_schema::TimeUnit;
use lakefeed_core::shorten;

use crate::data::{Bytes, Data, List, Map};
use crate::fault::{Fault, Result};
use crate::fields::{Fields, Growth};
use crate::json::Scanner;
use crate::number::{self, Number};
use crate::schema::{DeclaredType, parse_date, parse_timestamp};
use crate::short_number::{short_f64, short_i64};
use crate::validity::Validity;

/// A column of one batch, and what is known about it from earlier ones.
///
/// It may be shorter than the rows it belongs to: missing rows at its end are null.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) nulls: Validity,
    pub(crate) data: Data,
    pub(crate) origin: Origin,
    /// When it got its type, counted over all columns: the order of columns in the schema.
    born: u32,
}

/// Who gave a column its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The values so far; it widens as others come.
    Values,
    /// The schema of the records: values of other types don't fit. Another schema may widen it.
    Schema,
    /// The user: it never changes.
    Declared,
}

impl Column {
    pub(crate) fn new() -> Self {
        Self { nulls: Validity::new(), data: Data::Unknown, origin: Origin::Values, born: 0 }
    }

    pub(crate) fn declared(kind: DeclaredType, born: u32) -> Self {
        // A declared type is that of a leaf, so there is data for it.
        let data = Data::of(&kind.data_type()).unwrap_or(Data::Unknown);
        Self { data, origin: Origin::Declared, born, ..Self::new() }
    }

    /// The same column without rows.
    pub(crate) fn empty_copy(&self) -> Self {
        Self { data: self.data.empty_copy(), origin: self.origin, born: self.born, ..Self::new() }
    }

    /// Whether the type was given, and is not one that the values so far have in common.
    fn is_given(&self) -> bool {
        self.origin != Origin::Values
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
        self.data.truncate(rows);
    }

    /// Appends a null.
    pub(crate) fn push_null(&mut self) {
        self.nulls.append_n_nulls(1);
        self.data.pad(self.nulls.len());
    }

    /// The value whose parts were appended to [`Column::as_struct`], [`Column::as_list`] or [`Column::as_binary`] is complete.
    #[inline]
    pub(crate) fn end_value(&mut self) {
        match &mut self.data {
            Data::Utf8(bytes) | Data::Binary(bytes) => bytes.end(),
            Data::List(list) => list.end(),
            Data::Map(map) => map.end(),
            _ => {}
        }
        self.nulls.append_non_null();
    }

    /// Gives a column of nulls its type.
    #[cold]
    pub(crate) fn settle(&mut self, mut data: Data, growth: &mut Growth) -> Result<()> {
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
        let given = self.is_given();
        let fits = match &mut self.data {
            Data::Float64(values) => {
                let value = if given { number.nearest_f64() } else { number.as_f64() };
                value.map(|value| values.push(value)).is_some()
            }
            Data::Int64 { values, wide } => match number.as_i64() {
                Some(value) if *wide || given || number::is_exact_in_f64(value) => {
                    *wide |= given && !number::is_exact_in_f64(value);
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

    /// Steps over a number and appends it, if the column and the number are of the kinds that most are; false if nothing was done.
    #[inline]
    pub(crate) fn push_short_number(&mut self, scanner: &mut Scanner<'_>) -> bool {
        let pushed = match &mut self.data {
            Data::Float64(values) => scanner.short_number(short_f64).map(|value| values.push(value)),
            Data::Int64 { values, .. } => scanner.short_number(short_i64).map(|value| values.push(value)),
            _ => None,
        };
        if pushed.is_some() {
            self.nulls.append_non_null();
        }
        pushed.is_some()
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
        let declared = self.origin == Origin::Declared;
        let given = self.is_given();
        match &mut self.data {
            Data::Float64(values) => match number.as_f64() {
                Some(value) => values.push(value),
                None => return Ok(false),
            },
            Data::Int64 { values, .. } if given => match number.as_whole() {
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
            data => {
                // Only a schema says that a number stands for a date.
                if (declared && matches!(data, Data::Date(_))) || !data.push_given_number(number) {
                    return Ok(false);
                }
            }
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
        matches!(self.data, Data::Timestamp { unit: TimeUnit::Millisecond, utc: true, .. } | Data::Date(_))
    }

    /// Appends a point in time that is written as text; false if it is none.
    pub(crate) fn push_time(&mut self, text: &str) -> bool {
        let fits = match &mut self.data {
            Data::Timestamp { values, .. } => parse_timestamp(text).map(|value| values.push(value)).is_some(),
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
            self.settle(Data::List(Box::new(List::new(Self::new()))), growth)?;
        }
        if let Data::List(list) = &mut self.data { Ok(Some(list)) } else { Ok(None) }
    }

    /// The entries of a column of maps: append to them and call [`Column::end_value`].
    pub(crate) fn as_map(&mut self, growth: &mut Growth) -> Result<Option<&mut Map>> {
        if let Data::Unknown = self.data {
            self.settle(Data::Map(Box::new(Map::new(Self::new()))), growth)?;
        }
        Ok(self.map())
    }

    /// The texts of a column that takes any value as text, or that now becomes one because `value` (as it is written) does not fit
    /// it; append the text and call [`Column::end_value`].
    ///
    /// # Errors
    /// The value does not fit, and the column can't become text.
    #[cold]
    pub(crate) fn as_text(&mut self, value: &[u8], growth: &mut Growth) -> Result<&mut Bytes> {
        let is_text = matches!(self.data, Data::Utf8(_));
        if !(if self.is_given() { is_text } else { growth.text }) {
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
            Data::Int64 { wide: true, .. } if number && !self.is_given() => "BIGINT, for it holds integers that DOUBLE can't hold exactly",
            Data::Int64 { .. } if number && !self.is_given() => "BIGINT, or a number that DOUBLE holds exactly",
            Data::Float64(_) if number && !self.is_given() => "a number that DOUBLE holds exactly",
            data => data.name(),
        };
        let shown = shorten(value);
        Fault::field(if self.is_given() {
            let by = if self.origin == Origin::Declared {
                "declared: correct the producer or the declared type"
            } else {
                "the schema says: correct the producer"
            };
            format!("found {shown}, expected {expected} as {by}")
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
        let nulls = self.nulls.finish();
        if !typed {
            // Empty objects and arrays are dropped with it.
            self.truncate(0);
            return None;
        }
        Some(self.data.take(rows, nulls))
    }
}
