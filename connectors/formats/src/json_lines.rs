//! Batches as JSON lines.

use std::io::{self, Write};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{Array, BinaryArray, PrimitiveArray, RecordBatch};
use arrow_json::writer::{Encoder, EncoderFactory, EncoderOptions, LineDelimited, NullableEncoder, WriterBuilder};
use arrow_schema::{ArrowError, DataType, FieldRef, TimeUnit};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat};

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
    let builder = WriterBuilder::new().with_explicit_nulls(nulls == Nulls::Written).with_encoder_factory(Arc::new(Cells));
    builder.build::<_, LineDelimited>(out).write(batch).map_err(|error| match error {
        ArrowError::IoError(_, error) => error,
        other => io::Error::other(other),
    })
}

/// Types that arrow-json writes otherwise (bytes as hexadecimal) or not at all (times in a named zone).
#[derive(Debug)]
struct Cells;

impl EncoderFactory for Cells {
    fn make_default_encoder<'a>(
        &self, _field: &'a FieldRef, array: &'a dyn Array, _options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let cells: Box<dyn Encoder + 'a> = match array.data_type() {
            DataType::Binary => Box::new(Base64(array.as_binary())),
            DataType::Timestamp(TimeUnit::Millisecond, Some(_)) => Box::new(Time(array.as_primitive())),
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

struct Time<'a>(&'a PrimitiveArray<TimestampMillisecondType>);

impl Encoder for Time<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let ms = self.0.value(row);
        let text = match DateTime::from_timestamp_millis(ms) {
            Some(time) => format!("\"{}\"", time.to_rfc3339_opts(SecondsFormat::Millis, true)),
            // Beyond the calendar, some 262,000 years off: the number loses nothing.
            None => ms.to_string(),
        };
        out.extend_from_slice(text.as_bytes());
    }
}
