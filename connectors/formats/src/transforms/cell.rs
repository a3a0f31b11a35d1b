//! Single values of columns, for what is done value by value.

use std::fmt::Write;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, Time32MillisecondType, Time64MicrosecondType,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use arrow_array::{Array, ArrayRef, StringArray};
use arrow_schema::{DataType, TimeUnit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, NaiveDate, SecondsFormat, TimeDelta};

use super::types::type_name;
use crate::number::whole;

/// A value. Numbers of 32 bits come as those of 64 that they become when their column is widened: what is made of a value must not hang on
/// the type that its column has got so far.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    /// Days since 1970-01-01.
    Date(i32),
    /// After midnight.
    Time(i64, TimeUnit),
    /// Since 1970-01-01.
    Timestamp(i64, TimeUnit),
    /// The digits, and how many of them are behind the point.
    Decimal(i128, i8),
    /// A struct, list or map.
    Nested(String),
}

/// Reads the values of a column by row.
pub(super) fn cells<'a>(array: &'a ArrayRef) -> Box<dyn Fn(usize) -> Cell<'a> + 'a> {
    macro_rules! primitive {
        ($kind:ty, $cell:expr) => {{
            let (values, cell) = (array.as_primitive::<$kind>(), $cell);
            reader(array, move |row| cell(values.value(row)))
        }};
    }
    match array.data_type() {
        DataType::Boolean => {
            let values = array.as_boolean();
            reader(array, move |row| Cell::Bool(values.value(row)))
        }
        DataType::Int32 => primitive!(Int32Type, |v: i32| Cell::Int(i64::from(v))),
        DataType::Int64 => primitive!(Int64Type, Cell::Int),
        DataType::Float32 => primitive!(Float32Type, |v: f32| Cell::Float(f64::from(v))),
        DataType::Float64 => primitive!(Float64Type, Cell::Float),
        DataType::Utf8 => {
            let values = array.as_string::<i32>();
            reader(array, move |row| Cell::Text(values.value(row)))
        }
        DataType::Binary => {
            let values = array.as_binary::<i32>();
            reader(array, move |row| Cell::Bytes(values.value(row)))
        }
        DataType::Date32 => primitive!(Date32Type, Cell::Date),
        DataType::Time32(TimeUnit::Millisecond) => {
            primitive!(Time32MillisecondType, |v: i32| Cell::Time(i64::from(v), TimeUnit::Millisecond))
        }
        DataType::Time64(TimeUnit::Microsecond) => primitive!(Time64MicrosecondType, |v| Cell::Time(v, TimeUnit::Microsecond)),
        DataType::Timestamp(TimeUnit::Second, _) => primitive!(TimestampSecondType, |v| Cell::Timestamp(v, TimeUnit::Second)),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            primitive!(TimestampMillisecondType, |v| Cell::Timestamp(v, TimeUnit::Millisecond))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            primitive!(TimestampMicrosecondType, |v| Cell::Timestamp(v, TimeUnit::Microsecond))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => primitive!(TimestampNanosecondType, |v| Cell::Timestamp(v, TimeUnit::Nanosecond)),
        DataType::Decimal128(_, scale) => {
            let scale = *scale;
            primitive!(Decimal128Type, move |v| Cell::Decimal(v, scale))
        }
        other => {
            let name = type_name(other);
            reader(array, move |_| Cell::Nested(name.clone()))
        }
    }
}

fn reader<'a>(array: &'a ArrayRef, value: impl Fn(usize) -> Cell<'a> + 'a) -> Box<dyn Fn(usize) -> Cell<'a> + 'a> {
    let nulls = array.nulls();
    Box::new(move |row| if nulls.is_some_and(|nulls| nulls.is_null(row)) { Cell::Null } else { value(row) })
}

/// The column as text; structs, lists and maps are null.
pub(super) fn texts(array: &ArrayRef) -> StringArray {
    let cell = cells(array);
    (0..array.len()).map(|row| cell(row).text()).collect()
}

impl Cell<'_> {
    /// As text: a whole number has no point, also in a column of doubles (5.0 and 5 are one value to JSON), bytes are base64, dates and times
    /// ISO 8601. `None` for null and for what has parts.
    pub(super) fn text(&self) -> Option<String> {
        Some(match self {
            Self::Null | Self::Nested(_) => return None,
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => float_text(*value),
            Self::Text(text) => (*text).to_owned(),
            Self::Bytes(bytes) => STANDARD.encode(bytes),
            Self::Date(days) => {
                let date = NaiveDate::default().checked_add_signed(TimeDelta::days(i64::from(*days)));
                date.map_or_else(|| days.to_string(), |date| date.to_string())
            }
            Self::Time(value, unit) => {
                let at = DateTime::from_timestamp_micros(micros(*value, *unit));
                let fraction = if *unit == TimeUnit::Microsecond { "%H:%M:%S%.6fZ" } else { "%H:%M:%S%.3fZ" };
                at.map_or_else(|| value.to_string(), |at| at.format(fraction).to_string())
            }
            Self::Timestamp(value, unit) => instant(*value, *unit).map_or_else(
                || value.to_string(),
                |at| {
                    let digits = match unit {
                        TimeUnit::Second | TimeUnit::Millisecond => SecondsFormat::Millis,
                        TimeUnit::Microsecond => SecondsFormat::Micros,
                        TimeUnit::Nanosecond => SecondsFormat::Nanos,
                    };
                    at.to_rfc3339_opts(digits, true)
                },
            ),
            Self::Decimal(digits, scale) => decimal_text(*digits, *scale),
        })
    }

    /// For messages.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Nested(name) => format!("a {name}"),
            other => lakefeed_core::shorten(other.text().unwrap_or_else(|| "null".into()).as_bytes()),
        }
    }
}

fn micros(value: i64, unit: TimeUnit) -> i64 {
    if unit == TimeUnit::Microsecond { value } else { value.saturating_mul(1000) }
}

fn instant(value: i64, unit: TimeUnit) -> Option<DateTime<chrono::Utc>> {
    match unit {
        TimeUnit::Second => DateTime::from_timestamp(value, 0),
        TimeUnit::Millisecond => DateTime::from_timestamp_millis(value),
        TimeUnit::Microsecond => DateTime::from_timestamp_micros(value),
        TimeUnit::Nanosecond => Some(DateTime::from_timestamp_nanos(value)),
    }
}

/// A number that a column of whole numbers could hold is written as one, others as `Double.toString` of Java writes them.
fn float_text(value: f64) -> String {
    if let Some(whole) = whole(value) {
        return whole.to_string();
    }
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity".into() } else { "-Infinity".into() };
    }
    if (1e-3..1e7).contains(&value.abs()) {
        return value.to_string();
    }
    let text = format!("{value:E}");
    match text.split_once('E') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0E{exponent}"),
        _ => text,
    }
}

fn decimal_text(digits: i128, scale: i8) -> String {
    let magnitude = digits.unsigned_abs().to_string();
    let mut text = if digits < 0 { "-".to_owned() } else { String::new() };
    match usize::try_from(scale) {
        Ok(0) => text.push_str(&magnitude),
        Ok(scale) => {
            let padded = format!("{magnitude:0>width$}", width = scale + 1);
            let (whole, fraction) = padded.split_at(padded.len() - scale);
            // Writing to a string does not fail.
            let _ = write!(text, "{whole}.{fraction}");
        }
        Err(_) => {
            text.push_str(&magnitude);
            text.extend(std::iter::repeat_n('0', usize::from(scale.unsigned_abs())));
        }
    }
    text
}

/// For each row whether there is any value in it. Empty structs and lists have none: while no record has had more there, the decoder has no
/// column for them, and what becomes of a record must not hang on that.
pub(super) fn has_value(array: &ArrayRef) -> Vec<bool> {
    let valid = |row: usize| array.is_valid(row);
    if let Some(parts) = array.as_struct_opt() {
        let inside: Vec<_> = parts.columns().iter().map(has_value).collect();
        return (0..array.len()).map(|row| valid(row) && inside.iter().any(|child| child[row])).collect();
    }
    if let Some(lists) = array.as_list_opt::<i32>() {
        let items = has_value(lists.values());
        let range = |row: usize| lists.value_offsets()[row] as usize..lists.value_offsets()[row + 1] as usize;
        return (0..array.len()).map(|row| valid(row) && items[range(row)].contains(&true)).collect();
    }
    (0..array.len()).map(valid).collect()
}

/// A column of values that were made one by one; a value that can't be made is null, and its row is told.
pub(super) fn collect<T, A: FromIterator<Option<T>> + Array + 'static>(
    array: &ArrayRef, mut make: impl FnMut(&Cell<'_>) -> Result<Option<T>, String>, mut fault: impl FnMut(usize, String),
) -> ArrayRef {
    let cell = cells(array);
    let full = array.data_type().is_nested().then(|| has_value(array));
    let values = (0..array.len()).map(|row| {
        let value = if full.as_ref().is_none_or(|full| full[row]) { cell(row) } else { Cell::Null };
        make(&value).unwrap_or_else(|message| {
            fault(row, message);
            None
        })
    });
    Arc::new(values.collect::<A>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_text_do_not_hang_on_the_type_of_their_column() {
        for (value, text) in [
            (5.0, "5"),
            (-0.0, "0"),
            (-9_223_372_036_854_775_808.0, "-9223372036854775808"),
            (9_223_372_036_854_775_808.0, "9.223372036854776E18"),
            (0.37, "0.37"),
            (-2.5, "-2.5"),
            (12_345_678.5, "1.23456785E7"),
            (0.0001, "1.0E-4"),
            (1e300, "1.0E300"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(float_text(value), text);
        }
        for (digits, scale, text) in
            [(12345, 2, "123.45"), (-5, 2, "-0.05"), (7, 0, "7"), (7, -2, "700"), (i128::MIN, 0, &i128::MIN.to_string())]
        {
            assert_eq!(decimal_text(digits, scale), text);
        }
    }

    #[test]
    fn times_are_iso_8601() {
        for (cell, text) in [
            (Cell::Date(19_783), "2024-03-01"),
            (Cell::Time(3_723_004, TimeUnit::Millisecond), "01:02:03.004Z"),
            (Cell::Time(3_723_004_005, TimeUnit::Microsecond), "01:02:03.004005Z"),
            (Cell::Timestamp(-1, TimeUnit::Millisecond), "1969-12-31T23:59:59.999Z"),
            (Cell::Timestamp(0, TimeUnit::Second), "1970-01-01T00:00:00.000Z"),
            (Cell::Timestamp(1, TimeUnit::Nanosecond), "1970-01-01T00:00:00.000000001Z"),
        ] {
            assert_eq!(cell.text().as_deref(), Some(text));
        }
    }
}
