//! What a file format has of its own; the buffering of an open file is the same for all.

use std::fmt::Debug;
use std::io::Write;
use std::mem;
use std::sync::{Arc, Mutex};

use arrow_array::RecordBatch;
use lakefeed_core::Result;
use parquet::basic::Compression;

use crate::file::ParquetEncoder;

/// The format of a sink's files, with its settings.
#[derive(Debug, Clone)]
pub(crate) enum Format {
    Parquet(Compression),
}

impl Format {
    /// What encodes one file. The rows of `sample` are its first; its schema is that of the file.
    pub(crate) fn start(&self, sample: &RecordBatch, out: Buffer) -> Result<Box<dyn Encoder>> {
        match self {
            Self::Parquet(codec) => Ok(Box::new(ParquetEncoder::start(*codec, sample, out)?)),
        }
    }

    /// The end of a file's name, as in the Confluent S3 sink.
    pub(crate) fn extension(&self) -> &'static str {
        match self {
            Self::Parquet(Compression::UNCOMPRESSED) => ".parquet",
            Self::Parquet(Compression::GZIP(_)) => ".gz.parquet",
            Self::Parquet(Compression::ZSTD(_)) => ".zstd.parquet",
            Self::Parquet(Compression::LZ4_RAW) => ".lz4raw.parquet",
            Self::Parquet(_) => ".snappy.parquet",
        }
    }
}

/// Encodes the rows of one file into the buffer that it was started with.
pub(crate) trait Encoder: Debug + Send {
    /// Encodes rows of the file's schema; returns the bytes by which the file grew.
    fn encode(&mut self, rows: &RecordBatch) -> Result<u64>;

    /// Ends the file; the key-value pairs go into its footer, if the format has one.
    fn finish(self: Box<Self>, metadata: &[(&str, String)]) -> Result<()>;
}

/// Encoded bytes, shared with the encoder that appends to them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    pub(crate) fn take(&self) -> Vec<u8> {
        mem::take(&mut *self.0.lock().unwrap_or_else(|e| e.into_inner()))
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
