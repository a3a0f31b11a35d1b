//! Kafka records as columns.

use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, BinaryViewBuilder};
use arrow_array::cast::AsArray;
use arrow_array::{Array, BinaryArray, BinaryViewArray, ListArray, StringArray, StructArray};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, Fields};

/// The least and the most that is allocated at once for values that are copied; in between it is what a builder is told of their bytes.
const BLOCK_BYTES_MIN: usize = 8 << 10;
const BLOCK_BYTES_MAX: usize = 16 << 20;

/// What one read of one topic-partition returned, in offset order.
///
/// Memory: values lie in a few buffers, which can be what a broker has answered, and are not copied then; all keys lie in another. There is nothing
/// per record on the heap. A reader bounds a `Records` by bytes (a few MiB), so 32-bit offsets into the buffers are enough.
#[derive(Debug, Clone)]
pub struct Records {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The offset of each record; they grow, and may have gaps (compaction, transaction markers).
    pub offsets: ScalarBuffer<i64>,
    /// Milliseconds since 1970-01-01 UTC, -1 where the record has none.
    pub timestamps: ScalarBuffer<i64>,
    /// The keys; null where a record has none.
    pub keys: BinaryArray,
    /// The values; null for a tombstone.
    pub values: BinaryViewArray,
    /// The headers, if any record has some.
    pub headers: Option<Headers>,
}

impl Records {
    /// The number of records.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// The offset after the last record; `None` when there is no record.
    pub fn next_offset(&self) -> Option<i64> {
        self.offsets.last().map(|last| last + 1)
    }

    /// The value of a record, `None` for a tombstone.
    pub fn value(&self, row: usize) -> Option<&[u8]> {
        self.values.is_valid(row).then(|| self.values.value(row))
    }

    /// The key of a record, if it has one.
    pub fn key(&self, row: usize) -> Option<&[u8]> {
        self.keys.is_valid(row).then(|| self.keys.value(row))
    }

    /// The bytes of all keys and values.
    pub fn payload_bytes(&self) -> usize {
        self.keys.value_data().len() + self.values.lengths().map(|len| len as usize).sum::<usize>()
    }

    /// The records from an offset on.
    #[must_use]
    pub fn from_offset(&self, offset: i64) -> Self {
        let start = self.offsets.partition_point(|o| *o < offset);
        let len = self.len() - start;
        Self {
            topic: Arc::clone(&self.topic),
            partition: self.partition,
            offsets: self.offsets.slice(start, len),
            timestamps: self.timestamps.slice(start, len),
            keys: self.keys.slice(start, len),
            values: self.values.slice(start, len),
            headers: self.headers.as_ref().map(|h| h.skip(start)),
        }
    }

    /// The index of the record with this offset.
    pub fn row_of(&self, offset: i64) -> Option<usize> {
        self.offsets.binary_search(&offset).ok()
    }
}

/// The headers of a [`Records`]: one flat list, cut by record.
#[derive(Debug, Clone)]
pub struct Headers {
    rows: OffsetBuffer<i32>,
    names: StringArray,
    values: BinaryArray,
}

impl Headers {
    fn skip(&self, rows: usize) -> Self {
        let left = self.rows.slice(rows, self.rows.len() - 1 - rows);
        Self { rows: left, names: self.names.clone(), values: self.values.clone() }
    }

    /// As a column: a list of `key` and `value` for each record, empty for one without headers.
    pub fn to_list(&self) -> ListArray {
        let pairs = StructArray::new(pair_fields(), vec![Arc::new(self.names.clone()), Arc::new(self.values.clone())], None);
        ListArray::new(Arc::new(Field::new_list_field(pairs.data_type().clone(), false)), self.rows.clone(), Arc::new(pairs), None)
    }

    /// The headers of such a column; its children are shared, not copied.
    pub fn from_list(list: &ListArray) -> Self {
        // Columns of headers are made by `to_list` alone, and by selecting from such ones.
        let pairs = list.values().as_struct();
        let (names, values) = (pairs.column(0).as_string::<i32>().clone(), pairs.column(1).as_binary::<i32>().clone());
        Self { rows: list.offsets().clone(), names, values }
    }

    /// The column of so many records without headers.
    pub fn empty_list(rows: usize) -> ListArray {
        let none = Self { rows: OffsetBuffer::new_zeroed(rows), names: StringArray::new_null(0), values: BinaryArray::new_null(0) };
        none.to_list()
    }

    /// The headers of one record, in order. A null value is `None`.
    pub fn of(&self, row: usize) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        let (from, to) = (self.rows[row] as usize, self.rows[row + 1] as usize);
        (from..to).map(|i| (self.names.value(i), self.values.is_valid(i).then(|| self.values.value(i))))
    }
}

fn pair_fields() -> Fields {
    [Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true)].into_iter().collect()
}

/// A buffer in which values lie, and what the array calls it once it has one of them.
#[derive(Debug)]
struct SharedValues {
    buffer: Buffer,
    block: Option<u32>,
}

impl SharedValues {
    /// Where a value is in the buffer, if it is in there.
    fn position(&self, value: &[u8]) -> Option<u32> {
        let start = value.as_ptr().addr().checked_sub(self.buffer.as_ptr().addr())?;
        let within = start.checked_add(value.len())? <= self.buffer.len();
        within.then(|| u32::try_from(start).ok()).flatten()
    }
}

/// Builds a [`Records`].
#[derive(Debug)]
pub struct RecordsBuilder {
    topic: Arc<str>,
    partition: i32,
    offsets: Vec<i64>,
    timestamps: Vec<i64>,
    keys: BinaryBuilder,
    values: BinaryViewBuilder,
    shared: Option<SharedValues>,
    bytes: usize,
    header_rows: Vec<i32>,
    header_names: Vec<String>,
    header_values: BinaryBuilder,
}

impl RecordsBuilder {
    /// An empty builder with room for `records` records of `bytes` bytes in all.
    pub fn with_capacity(topic: Arc<str>, partition: i32, records: usize, bytes: usize) -> Self {
        Self {
            topic,
            partition,
            offsets: Vec::with_capacity(records),
            timestamps: Vec::with_capacity(records),
            keys: BinaryBuilder::new(),
            values: BinaryViewBuilder::with_capacity(records).with_fixed_block_size(bytes.clamp(BLOCK_BYTES_MIN, BLOCK_BYTES_MAX) as u32),
            shared: None,
            bytes: 0,
            header_rows: Vec::new(),
            header_names: Vec::new(),
            header_values: BinaryBuilder::new(),
        }
    }

    /// Values that lie in `buffer` are not copied from now on: the records hold the buffer. It pays where they are most of it.
    pub fn share(&mut self, buffer: Buffer) {
        // Views have 32 bits.
        self.shared = (buffer.len() < i32::MAX as usize).then_some(SharedValues { buffer, block: None });
    }

    /// The number of records so far.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// The bytes of keys, values and headers so far.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends a record.
    pub fn push(&mut self, offset: i64, timestamp_ms: i64, key: Option<&[u8]>, value: Option<&[u8]>) {
        self.offsets.push(offset);
        self.timestamps.push(timestamp_ms);
        self.keys.append_option(key);
        match value {
            Some(value) => self.push_value(value),
            None => self.values.append_null(),
        }
        self.bytes += key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
        if !self.header_rows.is_empty() {
            self.header_rows.push(self.header_names.len() as i32);
        }
    }

    fn push_value(&mut self, value: &[u8]) {
        if let Some(shared) = &mut self.shared
            && let Some(start) = shared.position(value)
        {
            let block = *shared.block.get_or_insert_with(|| self.values.append_block(shared.buffer.clone()));
            if self.values.try_append_view(block, start, value.len() as u32).is_ok() {
                return;
            }
        }
        self.values.append_value(value);
    }

    /// Appends a header to the record pushed last.
    pub fn push_header(&mut self, name: &str, value: Option<&[u8]>) {
        if self.header_rows.is_empty() {
            // The first header of all: the records before it have none.
            self.header_rows.resize(self.offsets.len() + 1, 0);
        }
        self.header_names.push(name.to_owned());
        self.header_values.append_option(value);
        self.bytes += name.len() + value.map_or(0, <[u8]>::len);
        if let Some(end) = self.header_rows.last_mut() {
            *end += 1;
        }
    }

    /// The records.
    pub fn finish(mut self) -> Records {
        let headers = (!self.header_rows.is_empty()).then(|| Headers {
            rows: OffsetBuffer::new(self.header_rows.into()),
            names: self.header_names.into(),
            values: self.header_values.finish(),
        });
        Records {
            topic: self.topic,
            partition: self.partition,
            offsets: self.offsets.into(),
            timestamps: self.timestamps.into(),
            keys: self.keys.finish(),
            values: self.values.finish(),
            headers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_stay_with_their_record() {
        let mut builder = RecordsBuilder::with_capacity("t".into(), 3, 4, 64);
        builder.push(7, 1, None, Some(b"a"));
        builder.push(9, 2, Some(b"k"), None);
        builder.push_header("x", Some(b"1"));
        builder.push_header("y", None);
        builder.push(10, 3, None, Some(b""));
        let records = builder.finish();
        let headers = records.headers.as_ref().expect("one record has headers");
        assert_eq!(headers.of(0).count(), 0);
        assert_eq!(headers.of(1).collect::<Vec<_>>(), [("x", Some(&b"1"[..])), ("y", None)]);
        assert_eq!(headers.of(2).count(), 0);
        let list = headers.to_list();
        assert_eq!((list.len(), list.value_length(1), list.values().len(), Headers::empty_list(2).value_length(1)), (3, 2, 2, 0));
        let back = Headers::from_list(&list.slice(1, 2));
        assert_eq!(back.of(0).collect::<Vec<_>>(), [("x", Some(&b"1"[..])), ("y", None)]);
        assert_eq!(back.of(1).count(), 0);
        assert_eq!((records.value(0), records.value(1), records.value(2)), (Some(&b"a"[..]), None, Some(&b""[..])));
        let rest = records.from_offset(8);
        assert_eq!((rest.len(), rest.headers.as_ref().map(|h| h.of(0).count()), rest.value(1)), (2, Some(2), Some(&b""[..])));
        assert_eq!((records.next_offset(), records.row_of(9), records.row_of(8)), (Some(11), Some(1), None));
    }

    #[test]
    fn values_in_a_shared_buffer_are_not_copied() {
        let buffer = Buffer::from_vec(b"-a value of many bytes-and another, longer one-".to_vec());
        let mut builder = RecordsBuilder::with_capacity("t".into(), 0, 5, 64);
        builder.share(buffer.clone());
        let elsewhere = b"this one lies elsewhere".to_vec();
        for (offset, value) in
            [Some(&buffer[1..22]), None, Some(&elsewhere[..]), Some(&buffer[23..46]), Some(&buffer[..0])].into_iter().enumerate()
        {
            builder.push(offset as i64, 0, None, value);
        }
        let records = builder.finish();
        let texts: Vec<_> = (0..5).map(|row| records.value(row).map(|value| String::from_utf8_lossy(value).into_owned())).collect();
        let expected = [Some("a value of many bytes"), None, Some("this one lies elsewhere"), Some("and another, longer one"), Some("")];
        assert_eq!(texts, expected.map(|text| text.map(str::to_owned)));
        assert_eq!(records.value(3).map(<[u8]>::as_ptr), Some(buffer[23..].as_ptr()), "where it was");
        assert_eq!(records.payload_bytes(), 21 + 23 + 23);
    }
}
