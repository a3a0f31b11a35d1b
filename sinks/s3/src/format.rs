//! What a file format has of its own; the buffering of an open file is the same for all.

mod avro;
mod json;
pub(crate) mod keys;
mod parquet;

use std::fmt::Debug;
use std::io::Write;
use std::mem;
use std::sync::{Arc, Mutex};

use ::parquet::basic::Compression;
use arrow_array::RecordBatch;
use arrow_avro::compression::CompressionCodec;
use lakefeed_core::Result;

use avro::AvroEncoder;
use json::{JsonEncoder, LinesCodec};
use parquet::{ParquetEncoder, ParquetOptions};

/// The format of a sink's files, with its settings.
#[derive(Debug, Clone)]
pub(crate) enum Format {
    Parquet(ParquetOptions),
    Json(LinesCodec),
    Avro(Option<CompressionCodec>),
}

impl Format {
    /// What encodes one file. The rows of `sample` are the first of so many; its schema is that of the file.
    pub(crate) fn start(&self, sample: &RecordBatch, rows: usize, out: Buffer) -> Result<Box<dyn Encoder>> {
        Ok(match self {
            Self::Parquet(options) => Box::new(ParquetEncoder::start(options, sample, rows, out)?),
            Self::Json(codec) => Box::new(JsonEncoder::start(*codec, out)?),
            Self::Avro(codec) => Box::new(AvroEncoder::start(*codec, sample.schema_ref(), out)?),
        })
    }

    /// Whether a file can say at its own end which offsets it holds. If not, only its metadata in the store can, and that must be given
    /// when the file is begun: it is sent as a whole, when it is closed.
    pub(crate) fn has_footer(&self) -> bool {
        matches!(self, Self::Parquet(_))
    }

    /// The end of a file's name, as in the Confluent S3 sink.
    pub(crate) fn extension(&self) -> &'static str {
        match self {
            Self::Parquet(options) => match options.codec {
                Compression::UNCOMPRESSED => ".parquet",
                Compression::GZIP(_) => ".gz.parquet",
                Compression::ZSTD(_) => ".zstd.parquet",
                Compression::LZ4_RAW => ".lz4raw.parquet",
                _ => ".snappy.parquet",
            },
            Self::Json(LinesCodec::None) => ".json",
            Self::Json(LinesCodec::Gzip(_)) => ".json.gz",
            Self::Json(LinesCodec::Zstd(_)) => ".json.zst",
            Self::Avro(_) => ".avro",
        }
    }
}

/// Encodes the rows of one file into the buffer that it was started with.
pub(crate) trait Encoder: Debug + Send {
    /// Encodes rows of the file's schema, as one row group if the format has such; returns the bytes by which the file grew.
    fn encode(&mut self, rows: &[RecordBatch]) -> Result<u64>;

    /// Ends the file; the key-value pairs go into its footer, if the format has one.
    fn finish(self: Box<Self>, metadata: &[(&str, String)]) -> Result<()>;
}

/// Encoded bytes, shared with the encoder that appends to them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    /// The bytes so far, without room for more: they can wait long for their upload.
    pub(crate) fn take(&self) -> Vec<u8> {
        let mut bytes = mem::take(&mut *self.0.lock().unwrap_or_else(|e| e.into_inner()));
        bytes.shrink_to_fit();
        bytes
    }

    /// Makes room for so many more at once: growing by doubling copies what is there, and touches memory that is new.
    fn reserve(&self, bytes: usize) {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).reserve_exact(bytes);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).len()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::parquet_of;
