//! JSON lines: an object a row, its members in the order of the columns.
//!
//! A null has no member. The Confluent S3 sink writes the nulls that a record has; here a null and a member that was not there are
//! the same. Doubles are the shortest text that reads back as the same double, and null where JSON has no number (NaN, infinities).
//! Times are ISO 8601 in UTC, bytes are base64, as Kafka Connect's JSON converter writes bytes.

use std::fmt::Debug;
use std::io::Write;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{Array, BinaryArray, PrimitiveArray, RecordBatch};
use arrow_json::writer::{LineDelimited, NullableEncoder, WriterBuilder};
use arrow_json::{Encoder as CellEncoder, EncoderFactory, EncoderOptions};
use arrow_schema::{ArrowError, DataType, FieldRef, TimeUnit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, SecondsFormat};
use flate2::write::GzEncoder;
use lakefeed_core::{Error, Result};

use super::{Buffer, Encoder};

/// How lines are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinesCodec {
    None,
    /// 0 to 9.
    Gzip(u32),
    /// 1 to 22.
    Zstd(i32),
}

/// A file of JSON lines.
pub(crate) struct JsonEncoder {
    out: Compressor,
    buffer: Buffer,
}

enum Compressor {
    None(Buffer),
    Gzip(GzEncoder<Buffer>),
    Zstd(zstd::Encoder<'static, Buffer>),
}

impl JsonEncoder {
    pub(crate) fn start(codec: LinesCodec, out: Buffer) -> Result<Self> {
        let buffer = out.clone();
        let out = match codec {
            LinesCodec::None => Compressor::None(out),
            LinesCodec::Gzip(level) => Compressor::Gzip(GzEncoder::new(out, flate2::Compression::new(level))),
            LinesCodec::Zstd(level) => Compressor::Zstd(zstd::Encoder::new(out, level).map_err(failed)?),
        };
        Ok(Self { out, buffer })
    }
}

impl Debug for JsonEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JsonEncoder")
    }
}

impl Encoder for JsonEncoder {
    fn encode(&mut self, rows: &RecordBatch) -> Result<u64> {
        let before = self.buffer.len();
        match &mut self.out {
            Compressor::None(out) => write_lines(rows, out),
            Compressor::Gzip(out) => write_lines(rows, out),
            Compressor::Zstd(out) => write_lines(rows, out),
        }?;
        Ok((self.buffer.len() - before) as u64)
    }

    fn finish(self: Box<Self>, _metadata: &[(&str, String)]) -> Result<()> {
        match self.out {
            Compressor::None(_) => Ok(()),
            Compressor::Gzip(out) => out.finish().map(drop).map_err(failed),
            Compressor::Zstd(out) => out.finish().map(drop).map_err(failed),
        }
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::fatal("can't encode rows as JSON").with_source(error)
}

fn write_lines(rows: &RecordBatch, out: &mut impl Write) -> Result<()> {
    let mut writer = WriterBuilder::new().with_encoder_factory(Arc::new(Cells)).build::<_, LineDelimited>(out);
    writer.write(rows).map_err(|e| Error::fatal("can't encode rows as JSON").with_source(e))
}

/// Types that arrow-json writes otherwise (bytes as hexadecimal) or not at all (times in a named zone).
#[derive(Debug)]
struct Cells;

impl EncoderFactory for Cells {
    fn make_default_encoder<'a>(
        &self, _field: &'a FieldRef, array: &'a dyn Array, _options: &'a EncoderOptions,
    ) -> std::result::Result<Option<NullableEncoder<'a>>, ArrowError> {
        let cells: Box<dyn CellEncoder + 'a> = match array.data_type() {
            DataType::Binary => Box::new(Base64(array.as_binary())),
            DataType::Timestamp(TimeUnit::Millisecond, Some(_)) => Box::new(Time(array.as_primitive())),
            _ => return Ok(None),
        };
        Ok(Some(NullableEncoder::new(cells, array.nulls().cloned())))
    }
}

struct Base64<'a>(&'a BinaryArray);

impl CellEncoder for Base64<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let text = BASE64.encode(self.0.value(row));
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    }
}

struct Time<'a>(&'a PrimitiveArray<TimestampMillisecondType>);

impl CellEncoder for Time<'_> {
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
