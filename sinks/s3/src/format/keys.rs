//! The keys of file formats.

use arrow_avro::compression::CompressionCodec;
use lakefeed_core::{Config, ConfigError, Importance, Key, KeyKind};
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::EnabledStatistics;

use super::Format;
use super::json::LinesCodec;
use super::parquet::{Dictionary, ParquetOptions};
use crate::metadata::{MetadataColumn, OFFSET};
use crate::partitioning::simple;

/// The keys of [`Format::read`].
pub(crate) const KEYS: &[Key] = &[
    Key::new(
        "format.class",
        KeyKind::Class,
        "The format of the objects: ParquetFormat, JsonFormat (JSON lines) or AvroFormat. A file of JSON or Avro is held in memory until it \
         is closed; large ones count in memory.budget.bytes.",
    )
    .default("ParquetFormat")
    .validator(format_class)
    .importance(Importance::High)
    .group("Files"),
    Key::new(
        "metadata.columns",
        KeyKind::List,
        "Columns to add to those of the values: _topic, _partition, _offset, _timestamp, _key (text) or _key_bytes (the key as it is), _headers (a list of key and value as text) or _headers_bytes.",
    )
    .validator(metadata_columns)
    .group("Files"),
    Key::new("s3.compression.type", KeyKind::String, "The compression of JSON files: none, gzip or zstd.")
        .default("none")
        .values(&["none", "gzip", "zstd"])
        .group("Files"),
    Key::new("s3.compression.level", KeyKind::Int, "The level of s3.compression.type: gzip 0 to 9, zstd 1 to 22, -1: its default.")
        .default("-1")
        .group("Files"),
    Key::new("avro.codec", KeyKind::String, "The compression of Avro files.")
        .default("null")
        .values(&["null", "deflate", "snappy", "bzip2", "zstandard"])
        .group("Files"),
    Key::new("parquet.codec", KeyKind::String, "The compression of Parquet files.")
        .default("snappy")
        .values(&["none", "snappy", "gzip", "zstd", "lz4", "lz4_raw"])
        .group("Parquet"),
    Key::new("parquet.compression.level", KeyKind::Int, "The level of parquet.codec: gzip 0 to 9, zstd 1 to 22, -1: its default.")
        .default("-1")
        .group("Parquet"),
    Key::new("parquet.statistics", KeyKind::String, "Smallest and largest values: of each page (a page index), of each column chunk, or none.")
        .default("page")
        .values(&["page", "chunk", "none"])
        .group("Parquet"),
    Key::new("parquet.bloom.filter.columns", KeyKind::List, "Columns with a bloom filter; a.b is a nested one.").group("Parquet"),
    Key::new("parquet.bloom.filter.fpp", KeyKind::Double, "The share of absent values that a bloom filter does not exclude.")
        .default("0.01")
        .validator(share)
        .importance(Importance::Low)
        .group("Parquet"),
    Key::new(
        "parquet.dictionary.columns",
        KeyKind::List,
        "Columns with a dictionary: auto (those whose first values repeat), all, none, or their names; a.b is a nested one.",
    )
    .default("auto")
    .group("Parquet"),
    Key::new(
        "parquet.float.encoding",
        KeyKind::String,
        "The encoding of floating-point columns. byte_stream_split is smaller and quicker to write; pyarrow, DuckDB (0.10 on) and Trino (since 2022) read it, \
         Spark's vectorized reader does not (SPARK-56894).",
    )
    .default("plain")
    .values(&["plain", "byte_stream_split"])
    .group("Parquet"),
];

impl Format {
    /// Reads the checked values and checks them against each other.
    pub(crate) fn read(config: &Config) -> Result<Self, ConfigError> {
        let class = simple(config.text("format.class"));
        let lines = config.text("s3.compression.type");
        if lines != "none" && class != "JsonFormat" {
            let other = if class == "AvroFormat" { "avro.codec" } else { "parquet.codec" };
            return Err(ConfigError::value("s3.compression.type", lines, format!("compresses JsonFormat only; use {other} with {class}")));
        }
        Ok(match class {
            "JsonFormat" => Self::Json(match lines {
                "gzip" => LinesCodec::Gzip(level(config, "s3.compression.level", 0..=9)?.unwrap_or(6)),
                "zstd" => LinesCodec::Zstd(level(config, "s3.compression.level", 1..=22)?.unwrap_or(3) as i32),
                _ => LinesCodec::None,
            }),
            "AvroFormat" => Self::Avro(match config.text("avro.codec") {
                "deflate" => Some(CompressionCodec::Deflate),
                "snappy" => Some(CompressionCodec::Snappy),
                "bzip2" => Some(CompressionCodec::Bzip2),
                "zstandard" => Some(CompressionCodec::ZStandard),
                _ => None,
            }),
            _ => Self::Parquet(parquet_options(config)?),
        })
    }
}

fn parquet_options(config: &Config) -> Result<ParquetOptions, ConfigError> {
    let names = |key| config.list(key).into_iter().map(str::to_owned).collect::<Vec<_>>();
    Ok(ParquetOptions {
        codec: codec(config)?,
        statistics: match config.text("parquet.statistics") {
            "none" => EnabledStatistics::None,
            "chunk" => EnabledStatistics::Chunk,
            _ => EnabledStatistics::Page,
        },
        dictionary: match config.list("parquet.dictionary.columns").as_slice() {
            [] | ["auto"] => Dictionary::Auto,
            ["all"] => Dictionary::All,
            ["none"] => Dictionary::Only(Vec::new()),
            _ => Dictionary::Only(names("parquet.dictionary.columns")),
        },
        bloom_filters: names("parquet.bloom.filter.columns"),
        bloom_fpp: config.double("parquet.bloom.filter.fpp").unwrap_or(0.01),
        split_floats: config.text("parquet.float.encoding") == "byte_stream_split",
        has_offsets: config.list("metadata.columns").contains(&OFFSET),
    })
}

fn codec(config: &Config) -> Result<Compression, ConfigError> {
    let key = "parquet.compression.level";
    Ok(match config.text("parquet.codec") {
        "none" => Compression::UNCOMPRESSED,
        "gzip" => Compression::GZIP(match level(config, key, 0..=9)? {
            Some(level) => GzipLevel::try_new(level).map_err(|e| ConfigError::key(key, e.to_string()))?,
            None => GzipLevel::default(),
        }),
        "zstd" => Compression::ZSTD(match level(config, key, 1..=22)? {
            Some(level) => ZstdLevel::try_new(level as i32).map_err(|e| ConfigError::key(key, e.to_string()))?,
            None => ZstdLevel::default(),
        }),
        // The framing of Hadoop's lz4 is deprecated by the format: both names mean LZ4_RAW.
        "lz4" | "lz4_raw" => Compression::LZ4_RAW,
        _ => Compression::SNAPPY,
    })
}

/// A level of compression; `None`: the codec's default.
fn level(config: &Config, key: &str, range: std::ops::RangeInclusive<u32>) -> Result<Option<u32>, ConfigError> {
    let expected = || ConfigError::value(key, config.text(key), format!("expected {} to {}, or -1", range.start(), range.end()));
    match config.int(key) {
        None | Some(-1) => Ok(None),
        Some(level) => u32::try_from(level).ok().filter(|level| range.contains(level)).map(Some).ok_or_else(expected),
    }
}

fn format_class(value: &str) -> Result<(), String> {
    match simple(value) {
        "ParquetFormat" | "JsonFormat" | "AvroFormat" => Ok(()),
        _ => Err("expected ParquetFormat, JsonFormat or AvroFormat".into()),
    }
}

fn metadata_columns(value: &str) -> Result<(), String> {
    value.split(',').map(str::trim).filter(|name| !name.is_empty()).try_for_each(|name| MetadataColumn::parse(name).map(|_| ()))
}

fn share(value: &str) -> Result<(), String> {
    if value.parse::<f64>().is_ok_and(|n| n > 0.0 && n < 1.0) { Ok(()) } else { Err("expected more than 0 and less than 1".into()) }
}
