//! Batches as JSON lines.

use std::io::{self, Write};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType};
use arrow_array::{Array, BinaryArray, RecordBatch, StringArray};
use arrow_json::writer::{Encoder, EncoderFactory, EncoderOptions, LineDelimited, NullableEncoder, WriterBuilder};
use arrow_schema::{ArrowError, DataType, FieldRef, TimeUnit};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat};
use lakefeed_core::RowSchema;

/// What stands for a null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nulls {
    /// `"name":null`
    Written,
    /// Nothing; in a list `null`.
    LeftOut,
}

/// Writes each row as a JSON object on a line of its own, its members in the order of the columns.
///
/// Numbers are written so that they read back the same, doubles with the fewest digits. Binary values are base64, as Kafka Connect's
/// JsonConverter writes them, times are ISO 8601 text; NaN and infinities, which JSON does not have, are `null`.
///
/// # Errors
/// Those of `out`, and columns of types that no decoder makes.
pub fn write_json_lines(batch: &RecordBatch, nulls: Nulls, out: &mut impl Write) -> io::Result<()> {
    write_lines(batch, nulls, false, out)
}

/// As [`write_json_lines`]. `whole`: what is JSON text (see [`RowSchema::json_field`]) stands there as it is, and not as text.
pub(crate) fn write_lines(batch: &RecordBatch, nulls: Nulls, whole: bool, out: &mut impl Write) -> io::Result<()> {
    let builder = WriterBuilder::new().with_explicit_nulls(nulls == Nulls::Written).with_encoder_factory(Arc::new(Cells { whole }));
    builder.build::<_, LineDelimited>(out).write(batch).map_err(|error| match error {
        ArrowError::IoError(_, error) => error,
        other => io::Error::other(other),
    })
}

/// Types that arrow-json writes otherwise (bytes as hexadecimal, JSON as text) or not at all (times in a named zone).
#[derive(Debug)]
struct Cells {
    whole: bool,
}

impl EncoderFactory for Cells {
    fn make_default_encoder<'a>(
        &self, field: &'a FieldRef, array: &'a dyn Array, _options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let cells: Box<dyn Encoder + 'a> = match array.data_type() {
            DataType::Binary => Box::new(Base64(array.as_binary())),
            DataType::Utf8 if self.whole && RowSchema::is_json(field) => Box::new(Whole(array.as_string())),
            DataType::Timestamp(unit, Some(_)) => Box::new(Time(times(array, *unit), *unit)),
            _ => return Ok(None),
        };
        Ok(Some(NullableEncoder::new(cells, array.nulls().cloned())))
    }
}

struct Base64<'a>(&'a BinaryArray);

impl Encoder for Base64<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let text = STANDARD.encode(self.0.value(row));
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    }
}

/// JSON text.
struct Whole<'a>(&'a StringArray);

impl Encoder for Whole<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.value(row).as_bytes());
    }
}

/// Points in time.
struct Time<'a>(&'a [i64], TimeUnit);

fn times(array: &dyn Array, unit: TimeUnit) -> &[i64] {
    match unit {
        TimeUnit::Second => array.as_primitive::<TimestampSecondType>().values(),
        TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().values(),
        TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().values(),
        TimeUnit::Nanosecond => array.as_primitive::<TimestampNanosecondType>().values(),
    }
}

impl Encoder for Time<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let value = self.0[row];
        let (time, digits) = match self.1 {
            TimeUnit::Second => (DateTime::from_timestamp(value, 0), SecondsFormat::Secs),
            TimeUnit::Millisecond => (DateTime::from_timestamp_millis(value), SecondsFormat::Millis),
            TimeUnit::Microsecond => (DateTime::from_timestamp_micros(value), SecondsFormat::Micros),
            TimeUnit::Nanosecond => (Some(DateTime::from_timestamp_nanos(value)), SecondsFormat::Nanos),
        };
        let text = match time {
            Some(time) => format!("\"{}\"", time.to_rfc3339_opts(digits, true)),
            // Beyond the calendar, some 262,000 years off: the number loses nothing.
            None => value.to_string(),
        };
        out.extend_from_slice(text.as_bytes());
    }
}
