//! Columns that say where a row came from: topic, partition, offset, timestamp and key of its record.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{
    Array, ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray, TimestampMillisecondArray,
};
use arrow_schema::{Field, Schema};
use lakefeed_core::{Batch, Error, Result};

/// The name of [`MetadataColumn::Offset`].
pub(crate) const OFFSET: &str = "_offset";

/// A column of `metadata.columns`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MetadataColumn {
    Topic,
    Partition,
    Offset,
    /// Null where the record has none.
    Timestamp,
    /// As text; a record whose key is none is rejected.
    Key,
    KeyBytes,
}

const NAMES: [(&str, MetadataColumn); 6] = [
    ("_topic", MetadataColumn::Topic),
    ("_partition", MetadataColumn::Partition),
    (OFFSET, MetadataColumn::Offset),
    ("_timestamp", MetadataColumn::Timestamp),
    ("_key", MetadataColumn::Key),
    ("_key_bytes", MetadataColumn::KeyBytes),
];

impl MetadataColumn {
    /// The column of this name.
    ///
    /// # Errors
    /// What is accepted.
    pub(crate) fn parse(name: &str) -> std::result::Result<Self, String> {
        let found = NAMES.iter().find(|(known, _)| *known == name);
        let names = NAMES.map(|(name, _)| name).join(", ");
        found.map(|(_, column)| *column).ok_or_else(|| format!("'{name}' is no such column: expected some of {names}"))
    }

    pub(crate) fn name(self) -> &'static str {
        // Each has its line in the table.
        NAMES.iter().find(|(_, column)| *column == self).map_or("", |(name, _)| name)
    }

    fn values(self, batch: &Batch) -> Result<ArrayRef> {
        let rows = batch.rows.num_rows();
        Ok(match self {
            Self::Topic => Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&*batch.partition.topic, rows))),
            Self::Partition => Arc::new(Int32Array::from_value(batch.partition.partition, rows)),
            Self::Offset => Arc::new(Int64Array::new(batch.offsets.clone(), None)),
            Self::Timestamp => {
                let present = batch.timestamps.iter().map(|ms| *ms >= 0).collect::<BooleanArray>();
                let nulls = arrow_buffer::NullBuffer::new(present.values().clone());
                Arc::new(TimestampMillisecondArray::new(batch.timestamps.clone(), Some(nulls)).with_timezone("UTC"))
            }
            Self::Key => arrow_cast::cast(&batch.keys, &arrow_schema::DataType::Utf8)
                .map_err(|e| Error::fatal("keys can't become text").with_source(e))?,
            Self::KeyBytes => Arc::new(batch.keys.clone()),
        })
    }
}

/// A row that can't have its metadata columns: its index, the field and what is wrong.
pub(crate) type Unfit = (usize, Option<String>, String);

/// The rows that can't have these columns: those with a value in a column of the same name (SQL does not tell upper from lower case), and
/// those whose key is asked for as text and is none.
pub(crate) fn unfit(columns: &[MetadataColumn], batch: &Batch) -> Vec<Unfit> {
    let mut unfit = Vec::new();
    for column in columns {
        for (field, values) in batch.rows.schema_ref().fields().iter().zip(batch.rows.columns()) {
            if !field.name().eq_ignore_ascii_case(column.name()) {
                continue;
            }
            let name = field.name();
            let message =
                format!("metadata.columns adds a column of this name: take {} out of it, or rename '{name}' in the records", column.name());
            unfit.extend((0..values.len()).filter(|row| values.is_valid(*row)).map(|row| (row, Some(name.clone()), message.clone())));
        }
        if *column == MetadataColumn::Key {
            let text = |row: &usize| batch.keys.is_null(*row) || str::from_utf8(batch.keys.value(*row)).is_ok();
            let message = "the record's key is not UTF-8; use _key_bytes in the place of _key in metadata.columns";
            unfit.extend((0..batch.keys.len()).filter(|row| !text(row)).map(|row| (row, None, message.to_owned())));
        }
    }
    unfit.sort_by_key(|(row, ..)| *row);
    unfit.dedup_by_key(|(row, ..)| *row);
    unfit
}

/// The batch without these rows, which are in order.
pub(crate) fn without(batch: &Batch, unfit: &[Unfit]) -> Result<Batch> {
    let stays = |row: usize| unfit.binary_search_by_key(&row, |(row, ..)| *row).is_err();
    let mask: BooleanArray = (0..batch.rows.num_rows()).map(|row| Some(stays(row))).collect();
    let failed = |e| Error::fatal("can't leave out rows").with_source(e);
    let of = |values: &[i64]| values.iter().enumerate().filter(|(row, _)| stays(*row)).map(|(_, value)| *value).collect();
    let keys = arrow_select::filter::filter(&batch.keys, &mask).map_err(failed)?;
    Ok(Batch {
        partition: batch.partition.clone(),
        rows: arrow_select::filter::filter_record_batch(&batch.rows, &mask).map_err(failed)?,
        offsets: of(&batch.offsets),
        timestamps: of(&batch.timestamps),
        keys: keys.as_binary::<i32>().clone(),
        tombstones: batch.tombstones.clone(),
        next_offset: batch.next_offset,
    })
}

/// `rows`, which are those of `batch`, with the columns added at the end. A column of the same name, which holds nulls only, gives way.
pub(crate) fn add(columns: &[MetadataColumn], batch: &Batch, rows: &RecordBatch) -> Result<RecordBatch> {
    let free = |name: &str| columns.iter().all(|column| !column.name().eq_ignore_ascii_case(name));
    let kept = rows.schema_ref().fields().iter().zip(rows.columns()).filter(|(field, _)| free(field.name()));
    let (mut fields, mut arrays): (Vec<_>, Vec<_>) = kept.map(|(field, array)| (Arc::clone(field), Arc::clone(array))).unzip();
    for column in columns {
        let values = column.values(batch)?;
        fields.push(Arc::new(Field::new(column.name(), values.data_type().clone(), true)));
        arrays.push(values);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
        .map_err(|e| Error::fatal("can't add the metadata columns").with_source(e))
}
