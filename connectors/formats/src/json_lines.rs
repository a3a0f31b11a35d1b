//! Batches as JSON lines.

use std::io::{self, Write};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, TimestampMillisecondType};
use arrow_array::{Array, RecordBatch, StructArray};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, TimeUnit};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat};

use crate::schema::UTC;

/// Writes each row as a JSON object on a line of its own.
///
/// Numbers are written so that they read back the same. Binary values are base64, times are ISO 8601 text; NaN and infinities, which
/// JSON does not have, are null.
///
/// # Errors
/// Those of `out`.
pub fn write_json_lines(batch: &RecordBatch, out: &mut impl Write) -> io::Result<()> {
    let rows = StructArray::try_new_with_length(batch.schema().fields().clone(), batch.columns().to_vec(), None, batch.num_rows());
    let rows = rows.map_err(io::Error::other)?;
    for row in 0..rows.len() {
        write_object(&rows, row, out)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn write_object(values: &StructArray, row: usize, out: &mut impl Write) -> io::Result<()> {
    for (i, (field, column)) in values.fields().iter().zip(values.columns()).enumerate() {
        out.write_all(if i == 0 { b"{" } else { b"," })?;
        serde_json::to_writer(&mut *out, field.name())?;
        out.write_all(b":")?;
        write_value(column, row, out)?;
    }
    out.write_all(if values.num_columns() == 0 { b"{}" } else { b"}" })
}

fn write_value(values: &dyn Array, row: usize, out: &mut impl Write) -> io::Result<()> {
    if values.is_null(row) {
        return out.write_all(b"null");
    }
    match values.data_type() {
        DataType::Struct(_) => write_object(values.as_struct(), row, out),
        DataType::List(_) => write_items(&*values.as_list::<i32>().value(row), out),
        DataType::LargeList(_) => write_items(&*values.as_list::<i64>().value(row), out),
        DataType::Utf8 => Ok(serde_json::to_writer(out, values.as_string::<i32>().value(row))?),
        DataType::Binary => Ok(serde_json::to_writer(out, &STANDARD.encode(values.as_binary::<i32>().value(row)))?),
        DataType::Float64 => Ok(serde_json::to_writer(out, &values.as_primitive::<Float64Type>().value(row))?),
        DataType::Float32 => Ok(serde_json::to_writer(out, &values.as_primitive::<Float32Type>().value(row))?),
        DataType::Timestamp(TimeUnit::Millisecond, Some(zone)) if **zone == *UTC => {
            let millis = values.as_primitive::<TimestampMillisecondType>().value(row);
            match DateTime::from_timestamp_millis(millis) {
                Some(time) => Ok(serde_json::to_writer(out, &time.to_rfc3339_opts(SecondsFormat::Millis, true))?),
                None => write!(out, "{millis}"),
            }
        }
        other => {
            let options = FormatOptions::new();
            let text = ArrayFormatter::try_new(values, &options).map_err(io::Error::other)?.value(row).try_to_string();
            let text = text.map_err(io::Error::other)?;
            if other.is_integer() || *other == DataType::Boolean {
                out.write_all(text.as_bytes())
            } else {
                Ok(serde_json::to_writer(out, &text)?)
            }
        }
    }
}

fn write_items(items: &dyn Array, out: &mut impl Write) -> io::Result<()> {
    for i in 0..items.len() {
        out.write_all(if i == 0 { b"[" } else { b"," })?;
        write_value(items, i, out)?;
    }
    out.write_all(if items.is_empty() { b"[]" } else { b"]" })
}
