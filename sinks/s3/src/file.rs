//! An open file: rows that wait, and bytes that are encoded.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use lakefeed_core::{Error, Result};

use crate::format::{Buffer, Encoder, Format};
use crate::idle::Touch;
use crate::numbers::Blocks;
use crate::rows::{Part, RowBuffer, allocated};
use crate::schema::conform;

/// Rows that are gathered into one batch: what is encoded at once stays near, and no more than this is copied when columns grow.
const GATHERED_ROWS: usize = 8192;

/// Rows of a whole batch from which on it is kept as it is.
const WHOLE_ROWS: usize = 1024;

/// Rows of one lake partition on their way into one file.
///
/// Memory: waiting rows up to a row group (`parquet.row.group.bytes`), and encoded bytes until [`OpenFile::take_encoded`] takes them.
#[derive(Debug)]
pub(crate) struct OpenFile {
    schema: SchemaRef,
    /// The last of the rows that wait, of the file's schema.
    waiting: RowBuffer,
    /// Those that came before; the schema of the first may be narrower.
    gathered: Vec<RecordBatch>,
    gathered_bytes: usize,
    waiting_bytes: usize,
    encoder: Option<Box<dyn Encoder>>,
    encoded: Buffer,
    /// The length of `encoded`, which lies elsewhere behind a lock, and is asked for whenever memory is counted.
    encoded_bytes: usize,
    encoded_total: u64,
    /// Bytes of rows in memory that became `encoded_total`.
    arrow_total: u64,
    pub(crate) rows: u64,
    pub(crate) opened_ms: i64,
    pub(crate) touched: Touch,
    pub(crate) first_event_ms: i64,
    /// The timestamp of the last record.
    pub(crate) last_timestamp_ms: i64,
}

impl OpenFile {
    pub(crate) fn new(schema: SchemaRef, blocks: Blocks, now_ms: i64, first_event_ms: i64) -> Self {
        Self {
            waiting: RowBuffer::new(Arc::clone(&schema), blocks),
            schema,
            gathered: Vec::new(),
            gathered_bytes: 0,
            waiting_bytes: 0,
            encoder: None,
            encoded: Buffer::default(),
            encoded_bytes: 0,
            encoded_total: 0,
            arrow_total: 0,
            rows: 0,
            opened_ms: now_ms,
            touched: Touch::default(),
            first_event_ms,
            last_timestamp_ms: -1,
        }
    }

    /// Whether rows of this schema can join. A file whose first row group is encoded keeps its schema; before that the schema may grow.
    pub(crate) fn takes(&self, schema: &SchemaRef) -> bool {
        self.encoder.is_none() || &self.schema == schema
    }

    /// Adds rows; their schema is that of the file or a later one.
    pub(crate) fn push(&mut self, part: Part<'_>, touched: Touch) -> Result<()> {
        let schema = part.of.rows.schema_ref();
        if schema != &self.schema {
            self.gather()?;
            self.schema = Arc::clone(schema);
            self.waiting = self.waiting.of_schema(Arc::clone(schema));
        }
        match part.whole().filter(|_| part.len() >= WHOLE_ROWS) {
            Some(whole) => {
                self.gather()?;
                self.keep(whole.clone());
            }
            None => {
                self.waiting.append(part)?;
                if self.waiting.rows() >= GATHERED_ROWS {
                    self.gather()?;
                }
            }
        }
        self.rows += part.len() as u64;
        self.touched = touched;
        self.last_timestamp_ms = part.last_timestamp().unwrap_or(self.last_timestamp_ms);
        self.waiting_bytes = self.waiting.held_bytes() + self.gathered_bytes;
        Ok(())
    }

    /// Makes a batch of the last rows.
    fn gather(&mut self) -> Result<()> {
        if self.waiting.rows() > 0 {
            let rows = self.waiting.finish()?;
            self.keep(rows);
        }
        Ok(())
    }

    fn keep(&mut self, rows: RecordBatch) {
        self.gathered_bytes += rows.get_array_memory_size();
        self.gathered.push(rows);
    }

    /// The waiting rows as batches of the file's schema.
    fn take_waiting(&mut self) -> Result<Vec<RecordBatch>> {
        self.gather()?;
        (self.gathered_bytes, self.waiting_bytes) = (0, 0);
        let rows = std::mem::take(&mut self.gathered);
        if rows.iter().all(|rows| rows.schema_ref() == &self.schema) {
            return Ok(rows);
        }
        // In one, so that the first of them are enough to see what they are like.
        let rows = rows.iter().map(|rows| conform(rows, &self.schema)).collect::<Result<Vec<_>>>()?;
        let rows =
            arrow_select::concat::concat_batches(&self.schema, &rows).map_err(|e| Error::fatal("can't gather rows").with_source(e))?;
        Ok(vec![rows])
    }

    /// The memory that it takes.
    pub(crate) fn held_bytes(&self) -> usize {
        let blocks = self.waiting.block_bytes();
        blocks + allocated(self.waiting_bytes.saturating_sub(blocks) + self.encoded_bytes)
    }

    pub(crate) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    pub(crate) fn encoded_bytes(&self) -> usize {
        self.encoded_bytes
    }

    /// About how large the file would be if it were closed now.
    pub(crate) fn estimated_bytes(&self) -> u64 {
        let waiting = self.waiting_bytes as u64;
        self.encoded_total + waiting.saturating_mul(self.encoded_total).checked_div(self.arrow_total).unwrap_or(waiting)
    }

    /// Encodes the waiting rows, as a row group if the format has such.
    pub(crate) fn encode(&mut self, format: &Format) -> Result<()> {
        let waiting_bytes = self.waiting_bytes as u64;
        let rows = self.take_waiting()?;
        let Some(first) = rows.first() else { return Ok(()) };
        let mut encoder = match self.encoder.take() {
            Some(encoder) => encoder,
            None => format.start(first, rows.iter().map(RecordBatch::num_rows).sum(), self.encoded.clone())?,
        };
        self.encoded_total += encoder.encode(&rows)?;
        self.arrow_total += waiting_bytes;
        self.encoder = Some(encoder);
        self.encoded_bytes = self.encoded.len();
        Ok(())
    }

    /// The bytes that were encoded and taken already.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.encoded_total.saturating_sub(self.encoded_bytes as u64)
    }

    /// The encoded bytes so far; more may follow.
    pub(crate) fn take_encoded(&mut self) -> Bytes {
        self.encoded_bytes = 0;
        self.encoded.take().into()
    }

    /// Encodes what is left and ends the file; the key-value pairs go into its footer, if the format has one. Returns the bytes not taken
    /// before.
    pub(crate) fn finish(mut self, format: &Format, metadata: &[(&str, String)]) -> Result<Bytes> {
        self.encode(format)?;
        if let Some(encoder) = self.encoder.take() {
            encoder.finish(metadata)?;
        }
        Ok(self.take_encoded())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::parquet_of;
    use crate::rows::Rows;
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
    use arrow_array::{Float64Array, Int64Array, StringArray};
    use arrow_schema::{DataType, Field, Schema};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use parquet::basic::Compression;

    fn rows(range: std::ops::Range<i64>) -> RecordBatch {
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("pm", DataType::Float64, true),
            Field::new("unit", DataType::Utf8, true),
        ]);
        let pm = Float64Array::from_iter_values(range.clone().map(|i| i as f64 * 0.37));
        let unit = StringArray::from_iter_values(range.clone().map(|i| if i % 2 == 0 { "K" } else { "C" }));
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(Int64Array::from_iter_values(range)), Arc::new(pm), Arc::new(unit)])
            .expect("valid")
    }

    fn push(file: &mut OpenFile, rows: RecordBatch) {
        let numbers: Vec<i64> = (0..rows.num_rows() as i64).collect();
        let indices: Vec<u32> = (0..rows.num_rows() as u32).collect();
        let rows = Rows::new(rows, numbers.clone().into(), numbers.clone().into(), numbers);
        file.push(Part { of: &rows, indices: &indices }, Touch::default()).expect("pushed");
    }

    #[test]
    fn slices_become_row_groups_and_read_back_in_order() {
        let mut file = OpenFile::new(rows(0..1).schema(), Blocks::default(), 0, 0);
        let mut bytes = Vec::new();
        for start in (0..3000).step_by(10) {
            push(&mut file, rows(start..start + 10));
            if start == 1000 || start == 2000 {
                file.encode(&parquet_of(Compression::SNAPPY)).expect("encoded");
                bytes.extend_from_slice(&file.take_encoded());
            }
        }
        assert_eq!(file.rows, 3000);
        bytes.extend_from_slice(&file.finish(&parquet_of(Compression::SNAPPY), &[("k", "v".into())]).expect("finished"));
        let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).expect("a Parquet file");
        let metadata = reader.metadata().clone();
        assert_eq!(metadata.num_row_groups(), 3);
        let pairs = metadata.file_metadata().key_value_metadata().expect("pairs");
        assert!(pairs.iter().any(|p| p.key == "k" && p.value.as_deref() == Some("v")));
        let dictionary = |column: usize| metadata.row_group(0).column(column).dictionary_page_offset().is_some();
        assert_eq!((dictionary(0), dictionary(1), dictionary(2)), (false, false, true), "only where values repeat");
        let read: Vec<i64> = reader
            .build()
            .expect("reader")
            .flat_map(|b| b.expect("rows").column(0).as_primitive::<Int64Type>().values().to_vec())
            .collect();
        assert_eq!(read, (0..3000).collect::<Vec<_>>());
    }

    #[test]
    fn the_schema_grows_until_the_first_row_group() {
        let narrow = RecordBatch::try_new(
            Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)])),
            vec![Arc::new(Int64Array::from(vec![1]))],
        )
        .expect("valid");
        let mut file = OpenFile::new(narrow.schema(), Blocks::default(), 0, 0);
        push(&mut file, narrow.clone());
        assert!(file.takes(&rows(0..1).schema()));
        push(&mut file, rows(5..6));
        file.encode(&parquet_of(Compression::UNCOMPRESSED)).expect("encoded");
        assert!(!file.takes(&narrow.schema()) && file.takes(&rows(0..1).schema()));
    }
}
