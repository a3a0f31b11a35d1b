//! Values as they stand in a path. What is written depends on the value alone and not on the type that its column has got so far: a column
//! of whole numbers that meets 5.5 becomes DOUBLE, and the lake partition of 5 must stay the same (exactly-once hangs on it).

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMillisecondType};
use arrow_array::{Array, ArrayRef};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, TimeUnit};
use chrono::{DateTime, NaiveDate, SecondsFormat, TimeDelta};
use lakefeed_formats::whole;

/// What `partition.by` makes of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transform {
    /// The value itself.
    Identity,
    /// Iceberg's bucket transform: `(murmur3_x86_32(bytes) & 0x7fffffff) % n`.
    Bucket(u32),
    /// Iceberg's truncate transform: whole numbers down to a multiple, the first characters of text.
    Truncate(u32),
}

/// A value that a path can have.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Bool(bool),
    Int(i64),
    /// No whole number of 64 bits.
    Float(f64),
    Text(&'a str),
    /// Days since 1970-01-01.
    Date(i32),
    /// Milliseconds since 1970-01-01 UTC.
    Time(i64),
    /// Of another type, as Arrow prints it.
    Other(String),
}

impl Value<'_> {
    fn float(value: f64) -> Self {
        whole(value).map_or(Self::Float(value), Self::Int)
    }

    /// The text in the path.
    ///
    /// # Errors
    /// What was expected.
    pub(crate) fn text(&self, transform: Transform) -> Result<String, String> {
        match transform {
            Transform::Identity => Ok(self.to_text()),
            Transform::Bucket(n) => {
                let hash = self.hash().ok_or("expected a number, text, boolean, date or time to make buckets of")?;
                Ok(((hash & 0x7fff_ffff) % n).to_string())
            }
            Transform::Truncate(width) => match self {
                Self::Int(n) => n
                    .checked_sub(n.rem_euclid(i64::from(width)))
                    .map(|n| n.to_string())
                    .ok_or_else(|| "expected a number that is not truncated below the 64 bits".to_owned()),
                Self::Text(text) => Ok(text.chars().take(width as usize).collect()),
                _ => Err("expected a whole number or text to truncate".into()),
            },
        }
    }

    fn to_text(&self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => format!("{value:?}"),
            Self::Text(value) => (*value).to_owned(),
            Self::Date(days) => {
                let date = NaiveDate::default().checked_add_signed(TimeDelta::days(i64::from(*days)));
                date.map_or_else(|| days.to_string(), |date| date.to_string())
            }
            Self::Time(ms) => {
                DateTime::from_timestamp_millis(*ms).map_or_else(|| ms.to_string(), |at| at.to_rfc3339_opts(SecondsFormat::AutoSi, true))
            }
            Self::Other(text) => text.clone(),
        }
    }

    /// The 32-bit hash of the Iceberg specification, appendix B. A whole number hashes as a long, whatever its column's type; times have
    /// microseconds there.
    fn hash(&self) -> Option<u32> {
        let long = |n: i64| murmur3(&n.to_le_bytes());
        match self {
            Self::Bool(value) => Some(long(i64::from(*value))),
            Self::Int(n) => Some(long(*n)),
            Self::Float(n) => Some(murmur3(&n.to_bits().to_le_bytes())),
            Self::Text(text) => Some(murmur3(text.as_bytes())),
            Self::Date(days) => Some(long(i64::from(*days))),
            Self::Time(ms) => Some(long(ms.checked_mul(1000)?)),
            Self::Other(_) => None,
        }
    }
}

/// The value of a row; `None` is null. Not for whole numbers and text, which are the callers' fast ways.
pub(crate) fn value_at(array: &ArrayRef, row: usize) -> Option<Value<'_>> {
    if array.is_null(row) {
        return None;
    }
    Some(match array.data_type() {
        DataType::Boolean => Value::Bool(array.as_boolean().value(row)),
        DataType::Int32 => Value::Int(i64::from(array.as_primitive::<Int32Type>().value(row))),
        DataType::Int64 => Value::Int(array.as_primitive::<Int64Type>().value(row)),
        // As in the column of doubles that it becomes when it meets one.
        DataType::Float32 => Value::float(f64::from(array.as_primitive::<Float32Type>().value(row))),
        DataType::Float64 => Value::float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => Value::Text(array.as_string::<i32>().value(row)),
        DataType::Date32 => Value::Date(array.as_primitive::<Date32Type>().value(row)),
        DataType::Timestamp(TimeUnit::Millisecond, _) => Value::Time(array.as_primitive::<TimestampMillisecondType>().value(row)),
        _ => {
            let options = FormatOptions::default();
            Value::Other(ArrayFormatter::try_new(array, &options).ok()?.value(row).to_string())
        }
    })
}

/// MurmurHash3, x86, 32 bits, seed 0 (public domain, Austin Appleby).
fn murmur3(bytes: &[u8]) -> u32 {
    let mix = |k: u32| k.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let (blocks, tail) = bytes.as_chunks::<4>();
    let mut hash = 0_u32;
    for block in blocks {
        hash = (hash ^ mix(u32::from_le_bytes(*block))).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    let rest = tail.iter().rev().fold(0, |rest, byte| rest << 8 | u32::from(*byte));
    hash ^= mix(rest);
    hash ^= bytes.len() as u32;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_iceberg_specification() {
        // Appendix B: 32-bit hash requirements.
        for (value, hash) in [
            (Value::Int(34), 2_017_239_379_i32),
            (Value::Bool(true), 1_392_991_556),
            (Value::Date(17_486), -653_330_422),
            (Value::Time(1_510_871_468_000), -2_047_944_441),
            (Value::Text("iceberg"), 1_210_000_089),
        ] {
            assert_eq!(value.hash().map(|h| h as i32), Some(hash), "{value:?}");
        }
        assert_eq!(murmur3(&[0, 1, 2, 3]) as i32, -188_683_207);
        // The specification's hash of the double 1.0; as a column's value it is the whole number 1.
        assert_eq!(murmur3(&1.0_f64.to_bits().to_le_bytes()) as i32, -142_385_009);
        assert_eq!(murmur3(b""), 0);
    }

    #[test]
    fn a_number_is_written_alike_in_columns_of_both_types() {
        for n in [0, 5, -5, 1 << 53, i64::MIN, 1_700_000_000_000] {
            for transform in [Transform::Identity, Transform::Bucket(16), Transform::Truncate(1)] {
                assert_eq!(Value::float(n as f64).text(transform), Value::Int(n).text(transform), "{n}");
            }
        }
        for (value, text) in [(5.5, "5.5"), (-0.0, "0"), (1e300, "1e300"), (1e-7, "1e-7"), (9.3e18, "9.3e18"), (0.1, "0.1")] {
            assert_eq!(Value::float(value).text(Transform::Identity).as_deref(), Ok(text));
        }
    }

    #[test]
    fn a_number_is_one_value_in_columns_of_all_widths() {
        use std::sync::Arc;
        let int: ArrayRef = Arc::new(arrow_array::Int32Array::from(vec![7]));
        let float: ArrayRef = Arc::new(arrow_array::Float32Array::from(vec![7.0, 0.1]));
        let double: ArrayRef = Arc::new(arrow_array::Float64Array::from(vec![7.0, f64::from(0.1_f32)]));
        assert_eq!(value_at(&int, 0), Some(Value::Int(7)));
        assert_eq!(value_at(&float, 0), value_at(&double, 0));
        assert_eq!(value_at(&float, 1), value_at(&double, 1));
    }

    #[test]
    fn truncate_is_that_of_the_iceberg_specification() {
        for (value, width, want) in [
            (Value::Int(1), 10, Ok("0")),
            (Value::Int(-1), 10, Ok("-10")),
            (Value::Text("iceberg"), 3, Ok("ice")),
            (Value::Text("日本語"), 2, Ok("日本")),
            (Value::Float(1.5), 10, Err(())),
            (Value::Int(i64::MIN), 10, Err(())),
        ] {
            assert_eq!(value.text(Transform::Truncate(width)).as_deref().map_err(|_| ()), want, "{value:?}");
        }
    }
}
