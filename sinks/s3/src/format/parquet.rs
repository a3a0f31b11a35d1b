//! Parquet: row groups, encodings by what the first rows look like or by the configuration.

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::{BuildHasher, Hash};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow_schema::DataType;
use foldhash::fast::FixedState;
use lakefeed_core::{Error, Result};
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use parquet::basic::{Compression, Encoding, Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion};
use parquet::schema::types::{ColumnPath, SchemaDescriptor};

use super::{Buffer, Encoder};
use crate::metadata::OFFSET;

/// Rows that decide whether a dictionary pays.
const SAMPLE_ROWS: usize = 4096;
/// An eighth of the sample, within these bounds: where nine of ten of so many values are distinct, far more than 3 of 10 of the whole sample are.
const FIRST_ROWS: std::ops::Range<usize> = 64..SAMPLE_ROWS / 8;

/// The only column of a file whose rows have none.
const NO_COLUMNS: &str = "_no_columns";

/// How Parquet files are written.
#[derive(Debug, Clone)]
pub(crate) struct ParquetOptions {
    pub(crate) codec: Compression,
    pub(crate) statistics: EnabledStatistics,
    pub(crate) dictionary: Dictionary,
    /// Columns with a bloom filter, nested ones with dots.
    pub(crate) bloom_filters: Vec<String>,
    /// The share of values that a bloom filter takes for its own by mistake.
    pub(crate) bloom_fpp: f64,
    /// BYTE_STREAM_SPLIT for floats and doubles.
    pub(crate) split_floats: bool,
    /// Whether there is a column of offsets among the metadata columns: rows are in its order.
    pub(crate) has_offsets: bool,
}

/// Which columns get a dictionary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Dictionary {
    /// Those whose first values repeat.
    Auto,
    All,
    /// These, nested ones with dots.
    Only(Vec<String>),
}

/// A Parquet file: each [`Encoder::encode`] makes a row group.
pub(crate) struct ParquetEncoder {
    writer: ArrowWriter<Buffer>,
    out: Buffer,
}

impl ParquetEncoder {
    /// The encodings of the columns follow from the first rows.
    pub(crate) fn start(options: &ParquetOptions, sample: &RecordBatch, rows: usize, out: Buffer) -> Result<Self> {
        let sample = with_columns(sample)?;
        let writer = ArrowWriter::try_new(out.clone(), sample.schema(), Some(properties(options, &sample, rows)?)).map_err(failed)?;
        Ok(Self { writer, out })
    }
}

impl std::fmt::Debug for ParquetEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ParquetEncoder")
    }
}

impl Encoder for ParquetEncoder {
    fn encode(&mut self, rows: &[RecordBatch]) -> Result<u64> {
        let before = self.writer.bytes_written();
        for rows in rows {
            self.writer.write(&*with_columns(rows)?).map_err(failed)?;
        }
        self.out.reserve(self.writer.in_progress_size());
        self.writer.flush().map_err(failed)?;
        Ok((self.writer.bytes_written() - before) as u64)
    }

    fn finish(mut self: Box<Self>, metadata: &[(&str, String)]) -> Result<()> {
        for (key, value) in metadata {
            self.writer.append_key_value_metadata(KeyValue::new((*key).to_owned(), value.clone()));
        }
        self.writer.close().map(drop).map_err(|e| Error::fatal("can't end a Parquet file").with_source(e))
    }
}

/// Rows without any column, such as `{}`, get one of nulls: Parquet counts rows by their columns.
fn with_columns(rows: &RecordBatch) -> Result<Cow<'_, RecordBatch>> {
    if rows.num_columns() > 0 {
        return Ok(Cow::Borrowed(rows));
    }
    let nulls = new_null_array(&DataType::Boolean, rows.num_rows());
    let rows = RecordBatch::try_from_iter_with_nullable([(NO_COLUMNS, nulls, true)]);
    rows.map(Cow::Owned).map_err(|e| Error::fatal("can't encode rows without columns").with_source(e))
}

fn failed(error: ParquetError) -> Error {
    Error::fatal("can't encode rows as Parquet").with_source(error)
}

fn properties(options: &ParquetOptions, sample: &RecordBatch, rows: usize) -> Result<WriterProperties> {
    let mut builder = WriterProperties::builder()
        .set_compression(options.codec)
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(concat!("lakefeed version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_statistics_enabled(options.statistics)
        // A row group ends when `encode` says so.
        .set_max_row_group_row_count(None)
        .set_dictionary_enabled(!matches!(options.dictionary, Dictionary::Only(_)))
        .set_bloom_filter_fpp(options.bloom_fpp)
        // As many distinct values as a row group has rows, if all of them are of the size of the first one.
        .set_bloom_filter_ndv(rows.max(1) as u64)
        .set_bloom_filter_enabled(false);
    if options.dictionary == Dictionary::Auto {
        for (field, column) in sample.schema_ref().fields().iter().zip(sample.columns()) {
            if !dictionary_pays(column) {
                builder = builder.set_column_dictionary_enabled(ColumnPath::from(field.name().as_str()), false);
            }
        }
    }
    let leaves = ArrowSchemaConverter::new().convert(sample.schema_ref()).map_err(failed)?;
    Ok(by_leaf(builder, options, &leaves).build())
}

/// What the configuration says of single columns. Names are those of the leaves: the items of a list `l` are `l.list.item`.
fn by_leaf(mut builder: WriterPropertiesBuilder, options: &ParquetOptions, leaves: &SchemaDescriptor) -> WriterPropertiesBuilder {
    for (index, leaf) in leaves.columns().iter().enumerate() {
        let (path, name) = (leaf.path().clone(), leaf.path().string());
        if options.bloom_filters.contains(&name) {
            builder = builder.set_column_bloom_filter_enabled(path.clone(), true);
        }
        if let Dictionary::Only(columns) = &options.dictionary {
            builder = builder.set_column_dictionary_enabled(path.clone(), columns.contains(&name));
        }
        if options.split_floats && matches!(leaf.physical_type(), Type::FLOAT | Type::DOUBLE) {
            // A dictionary would come before the encoding.
            builder = builder.set_column_dictionary_enabled(path.clone(), false).set_column_encoding(path, Encoding::BYTE_STREAM_SPLIT);
        }
        if options.has_offsets && name == OFFSET {
            let order = SortingColumn { column_idx: index as i32, descending: false, nulls_first: false };
            builder = builder.set_sorting_columns(Some(vec![order]));
        }
    }
    builder
}

/// Whether values repeat enough: at most 3 of 10 of a sample are distinct. A dictionary of values that do not repeat costs time and space
/// (doubles of sensors: 2.5 times the time, 8 % of the size).
fn dictionary_pays(column: &ArrayRef) -> bool {
    let rows = column.len().min(SAMPLE_ROWS);
    match column.data_type() {
        DataType::Float64 => is_repetitive(column.as_primitive::<Float64Type>().values()[..rows].iter().map(|v| v.to_bits()), rows),
        DataType::Int64 => is_repetitive(column.as_primitive::<Int64Type>().values()[..rows].iter(), rows),
        DataType::Utf8 => {
            let texts = column.as_string::<i32>();
            is_repetitive((0..rows).map(|i| texts.value(i)), rows)
        }
        _ => true,
    }
}

/// Each file asks for each column, and in most nearly all values are distinct: [`mostly_distinct`] ends it soon.
fn is_repetitive<T: Hash + Eq>(mut values: impl Iterator<Item = T> + Clone, rows: usize) -> bool {
    if mostly_distinct(values.clone(), (rows / 8).max(FIRST_ROWS.start)) {
        return false;
    }
    let mut seen = HashSet::with_capacity_and_hasher(FIRST_ROWS.end, FixedState::default());
    values.all(|value| {
        seen.insert(value);
        seen.len() <= rows * 3 / 10
    })
}

/// Whether nine of ten of the first values are distinct, if there are as many. Values are known by their hashes, in a table without allocations.
fn mostly_distinct<T: Hash>(values: impl Iterator<Item = T>, first: usize) -> bool {
    // At most half of the slots are taken.
    const SLOTS: usize = 2 * FIRST_ROWS.end;
    let (mut table, state, mut rows, mut distinct) = ([0_u64; SLOTS], FixedState::default(), 0, 0);
    for value in values.take(first) {
        rows += 1;
        let hash = state.hash_one(value) | 1;
        let mut slot = (hash >> 32) as usize % SLOTS;
        while table[slot] != 0 && table[slot] != hash {
            slot = (slot + 1) % SLOTS;
        }
        distinct += usize::from(table[slot] == 0);
        table[slot] = hash;
    }
    rows == first && distinct * 10 > first * 9
}
