//! JSON lines, plain or compressed.
//!
//! A null has no member. The Confluent S3 sink writes the nulls that a record has; here a null and a member that was not there are
//! the same.

use std::fmt::Debug;
use std::io::{self, Write};

use arrow_array::RecordBatch;
use flate2::write::GzEncoder;
use lakefeed_core::{Error, Result};
use lakefeed_formats::{Nulls, write_json_lines};

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
    fn encode(&mut self, rows: &[RecordBatch]) -> Result<u64> {
        let before = self.buffer.len();
        let mut out: &mut dyn Write = match &mut self.out {
            Compressor::None(out) => out,
            Compressor::Gzip(out) => out,
            Compressor::Zstd(out) => out,
        };
        for rows in rows {
            write_json_lines(rows, Nulls::LeftOut, &mut out).map_err(failed)?;
        }
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

fn failed(error: io::Error) -> Error {
    Error::fatal("can't encode rows as JSON").with_source(error)
}
