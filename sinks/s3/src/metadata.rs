//! Columns that say where a row came from: topic, partition, offset, timestamp, key and headers of its record.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{
    Array, ArrayRef, BooleanArray, Int32Array, Int64Array, ListArray, RecordBatch, RecordBatchOptions, StringArray,
    TimestampMillisecondArray,
};
use arrow_schema::{DataType, Field, Schema};
use lakefeed_core::{Batch, Error, Headers, Result};

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
    /// A list of key and value, the values as text; a record with a value that is none is rejected.
    Headers,
    HeadersBytes,
}

const NAMES: [(&str, MetadataColumn); 8] = [
    ("_topic", MetadataColumn::Topic),
    ("_partition", MetadataColumn::Partition),
    (OFFSET, MetadataColumn::Offset),
    ("_timestamp", MetadataColumn::Timestamp),
    ("_key", MetadataColumn::Key),
    ("_key_bytes", MetadataColumn::KeyBytes),
    ("_headers", MetadataColumn::Headers),
    ("_headers_bytes", MetadataColumn::HeadersBytes),
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
            Self::Key => {
                arrow_cast::cast(&batch.keys, &DataType::Utf8).map_err(|e| Error::fatal("keys can't become text").with_source(e))?
            }
            Self::KeyBytes => Arc::new(batch.keys.clone()),
            Self::Headers => {
                let pair = ["key", "value"].map(|name| Field::new(name, DataType::Utf8, name == "value"));
                let text = DataType::new_list(DataType::Struct(pair.into_iter().collect()), false);
                arrow_cast::cast(&headers(batch), &text).map_err(|e| Error::fatal("headers can't become text").with_source(e))?
            }
            Self::HeadersBytes => Arc::new(headers(batch)),
        })
    }
}

fn headers(batch: &Batch) -> ListArray {
    batch.headers.clone().unwrap_or_else(|| Headers::empty_list(batch.rows.num_rows()))
}

/// Whether all of a row's headers have text as values.
fn has_text_headers(headers: &Headers, row: usize) -> bool {
    headers.of(row).all(|(_, value)| value.is_none_or(|value| str::from_utf8(value).is_ok()))
}

/// A row that can't have its metadata columns: its index, the field and what is wrong.
pub(crate) type Unfit = (usize, Option<String>, String);

/// The rows that can't have these columns: those with a value in a column of the same name (SQL does not tell upper from lower case), and
/// those whose key or headers are asked for as text and are none.
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
        if let (MetadataColumn::Headers, Some(headers)) = (column, &batch.headers) {
            let message = "a header of the record is not UTF-8; use _headers_bytes in the place of _headers in metadata.columns";
            let rows = Headers::from_list(headers);
            unfit.extend((0..headers.len()).filter(|row| !has_text_headers(&rows, *row)).map(|row| (row, None, message.to_owned())));
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
    let headers = batch.headers.as_ref().map(|headers| arrow_select::filter::filter(headers, &mask)).transpose().map_err(failed)?;
    Ok(Batch {
        partition: batch.partition.clone(),
        rows: arrow_select::filter::filter_record_batch(&batch.rows, &mask).map_err(failed)?,
        offsets: of(&batch.offsets),
        timestamps: of(&batch.timestamps),
        keys: keys.as_binary::<i32>().clone(),
        headers: headers.map(|headers| headers.as_list::<i32>().clone()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::BinaryArray;
    use lakefeed_core::{RecordsBuilder, TopicPartition};

    fn batch(columns: Vec<(&str, ArrayRef)>, keys: Vec<Option<&[u8]>>) -> Batch {
        let rows = keys.len() as i64;
        Batch {
            partition: TopicPartition { topic: "t".into(), partition: 3 },
            rows: RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).expect("valid"),
            offsets: (10..10 + rows).collect(),
            timestamps: (0..rows).map(|row| row - 1).collect(),
            keys: BinaryArray::from_opt_vec(keys),
            headers: None,
            tombstones: vec![9],
            next_offset: 99,
        }
    }

    #[test]
    fn columns_are_added_and_what_is_in_their_way_is_named() {
        let all = NAMES.map(|(_, column)| column);
        let ids = Arc::new(Int64Array::from(vec![0, 1, 2])) as ArrayRef;
        let in_the_way = Arc::new(Int64Array::from(vec![None, Some(7), None])) as ArrayRef;
        let whole = batch(vec![("id", ids), ("_Offset", in_the_way)], vec![None, Some(b"k"), Some(b"\xff")]);
        let unfit = unfit(&all, &whole);
        assert_eq!(unfit.iter().map(|(row, field, _)| (*row, field.as_deref())).collect::<Vec<_>>(), [(1, Some("_Offset")), (2, None)]);
        assert!(unfit[0].2.contains("rename '_Offset'") && unfit[1].2.contains("use _key_bytes"), "{unfit:?}");
        let rest = without(&whole, &unfit).expect("the others");
        assert_eq!((rest.rows.num_rows(), &rest.offsets[..], &rest.tombstones[..], rest.next_offset), (1, &[10][..], &[9][..], 99));
        let added = add(&all, &rest, &rest.rows).expect("added");
        let names: Vec<_> = added.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["id", "_topic", "_partition", "_offset", "_timestamp", "_key", "_key_bytes", "_headers", "_headers_bytes"]);
        assert_eq!((added.column(1).as_string::<i32>().value(0), added.column(4).null_count(), added.column(5).null_count()), ("t", 1, 1));
        assert_eq!(added.column(4).data_type().to_string(), "Timestamp(ms, \"UTC\")");
    }

    #[test]
    fn keys_are_text_or_bytes() {
        let whole = batch(vec![("id", Arc::new(Int64Array::from(vec![0, 1])))], vec![Some("ü".as_bytes()), Some(b"\xff")]);
        assert_eq!(unfit(&[MetadataColumn::KeyBytes], &whole), []);
        let added = add(&[MetadataColumn::KeyBytes], &whole, &whole.rows).expect("added");
        assert_eq!(added.column(1).as_binary::<i32>().value(1), b"\xff");
        let first = without(&whole, &unfit(&[MetadataColumn::Key], &whole)).expect("the first");
        assert_eq!(add(&[MetadataColumn::Key], &first, &first.rows).expect("added").column(1).as_string::<i32>().value(0), "ü");
    }
    #[test]
    fn headers_are_text_or_bytes() {
        let mut whole = batch(vec![("id", Arc::new(Int64Array::from(vec![0, 1, 2])))], vec![None, None, None]);
        let mut records = RecordsBuilder::with_capacity("t".into(), 3, 3, 0);
        for (row, headers) in [&[("a", Some(&b"1"[..])), ("a", None)][..], &[], &[("b", Some(b"\xff"))]].into_iter().enumerate() {
            records.push(row as i64, 0, None, None);
            headers.iter().for_each(|(key, value)| records.push_header(key, *value));
        }
        whole.headers = records.finish().headers.map(|headers| headers.to_list());
        assert_eq!(unfit(&[MetadataColumn::HeadersBytes], &whole), []);
        let unfit = unfit(&[MetadataColumn::Headers], &whole);
        assert!(unfit.len() == 1 && unfit[0].0 == 2 && unfit[0].2.contains("use _headers_bytes"), "{unfit:?}");
        let rest = without(&whole, &unfit).expect("the others");
        let added = add(&[MetadataColumn::Headers, MetadataColumn::HeadersBytes], &rest, &rest.rows).expect("added");
        let list = added.column(1).as_list::<i32>();
        assert_eq!((list.value_length(0), list.value_length(1)), (2, 0));
        let first = list.value(0);
        let (keys, values) = (first.as_struct().column(0).as_string::<i32>(), first.as_struct().column(1).as_string::<i32>());
        assert_eq!((keys.value(1), values.value(0), values.is_null(1)), ("a", "1", true));
        assert_eq!(added.column(2).as_list::<i32>().value(0).as_struct().column(1).as_binary::<i32>().value(0), b"1");
    }
}
