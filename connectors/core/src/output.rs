//! Records on their way to a topic.

use std::ops::Range;
use std::sync::Arc;

use arrow_schema::extension::EXTENSION_TYPE_NAME_KEY;
use arrow_schema::{DataType, Field, SchemaRef};

use crate::{Position, Rejected};

/// What a source or a processor hands over: rows for topics, and rows that it refused.
///
/// Memory: keys and values lie in one buffer. A plugin fills at most [`Output::FULL_BYTES`] per call and then returns; the worker
/// sends the rows, calls [`Output::clear`] and keeps the buffers.
#[derive(Debug, Default)]
pub struct Output {
    arena: Vec<u8>,
    rows: Vec<OutputRow>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    topics: Vec<Arc<str>>,
    topic: u16,
    row_start: usize,
    key_end: Option<usize>,
    /// The source position after the last row; the worker commits it when the broker has acknowledged every row before it.
    pub position: Option<Position>,
    /// Rows of the input records that a processor refused.
    pub rejected: Vec<Rejected>,
    /// Rows of its own input that a source refused.
    pub source_rejects: Vec<SourceReject>,
    /// What the rows are, if the source or processor knows. Converters that write a schema need it.
    pub schema: Option<Arc<RowSchema>>,
}

/// What keys and values of rows are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowSchema {
    /// The columns of values, which are JSON objects. In a column of text any value is taken as it is written.
    pub value: SchemaRef,
    /// What a schema of values is called: a full name, with dots.
    pub value_name: String,
    /// The columns of keys, which are JSON objects; none: keys are text.
    pub key: Option<SchemaRef>,
    /// What a schema of keys is called.
    pub key_name: String,
}

/// Arrow's canonical extension type of JSON text (Arrow, "Canonical Extension Types").
const JSON_TEXT: &str = "arrow.json";

impl RowSchema {
    /// A field of a column for any JSON value, as its text without line ends. Where rows are written as plain JSON the text stands there as it is,
    /// anywhere else it is text.
    pub fn json_field(name: &str) -> Field {
        Field::new(name, DataType::Utf8, true).with_metadata([(EXTENSION_TYPE_NAME_KEY.to_owned(), JSON_TEXT.to_owned())].into())
    }

    /// Whether a field is one of [`RowSchema::json_field`].
    pub fn is_json(field: &Field) -> bool {
        field.extension_type_name() == Some(JSON_TEXT)
    }
}

/// A row of an [`Output`]: ranges of its buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputRow {
    topic: u16,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    headers: Range<u32>,
    /// Milliseconds since 1970-01-01 UTC; `None`: the time at which it is sent.
    pub timestamp_ms: Option<i64>,
}

/// A row of a source's input that can't be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceReject {
    /// The file or address it came from.
    pub origin: String,
    /// Its line, counted from 1.
    pub line: u64,
    /// The column, by its header name, if one is to blame.
    pub column: Option<String>,
    /// What was found (shortened), what was expected, what to do.
    pub message: String,
    /// The bytes of the row as they were read.
    pub raw: Vec<u8>,
}

impl Output {
    /// When a plugin should return and let the worker send.
    pub const FULL_BYTES: usize = 1 << 20;

    /// The topic of the rows that follow.
    pub fn to_topic(&mut self, topic: &Arc<str>) {
        let known = self.topics.iter().position(|t| Arc::ptr_eq(t, topic) || **t == **topic);
        let index = known.unwrap_or_else(|| {
            self.topics.push(Arc::clone(topic));
            self.topics.len() - 1
        });
        self.topic = u16::try_from(index).unwrap_or(u16::MAX);
    }

    /// Appends a row.
    pub fn push(&mut self, key: Option<&[u8]>, value: Option<&[u8]>, timestamp_ms: Option<i64>) {
        if let Some(key) = key {
            self.buffer().extend_from_slice(key);
            self.end_key();
        }
        match value {
            Some(value) => {
                self.buffer().extend_from_slice(value);
                self.end_row(timestamp_ms);
            }
            None => self.end_tombstone(timestamp_ms),
        }
    }

    /// The buffer, to write a key or a value in place: append the key, call [`Output::end_key`], append the value, call
    /// [`Output::end_row`]. Without `end_key` the row has no key. Only append.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.arena
    }

    /// What was appended since the last row is the key.
    pub fn end_key(&mut self) {
        self.key_end = Some(self.arena.len());
    }

    /// What was appended since the key is the value, and the row is complete.
    pub fn end_row(&mut self, timestamp_ms: Option<i64>) {
        let value = self.key_end.unwrap_or(self.row_start)..self.arena.len();
        self.add(Some(value), timestamp_ms);
    }

    /// The row is complete and has no value: a delete.
    pub fn end_tombstone(&mut self, timestamp_ms: Option<i64>) {
        self.add(None, timestamp_ms);
    }

    /// Forgets what was appended since the last row.
    pub fn abandon_row(&mut self) {
        self.arena.truncate(self.row_start);
        self.key_end = None;
    }

    fn add(&mut self, value: Option<Range<usize>>, timestamp_ms: Option<i64>) {
        let key = self.key_end.take().map(|end| self.row_start..end);
        let none = self.headers.len() as u32;
        self.rows.push(OutputRow { topic: self.topic, key, value, headers: none..none, timestamp_ms });
        self.row_start = self.arena.len();
    }

    /// Appends a header to the row that was completed last.
    pub fn push_header(&mut self, name: &str, value: Option<&[u8]>) {
        if let Some(row) = self.rows.last_mut() {
            self.headers.push((name.to_owned(), value.map(<[u8]>::to_vec)));
            row.headers.end += 1;
        }
    }

    /// The complete rows.
    pub fn rows(&self) -> &[OutputRow] {
        &self.rows
    }

    /// The bytes of all keys and values so far.
    pub fn bytes(&self) -> usize {
        self.arena.len()
    }

    /// Whether it is time to return.
    pub fn is_full(&self) -> bool {
        self.arena.len() >= Self::FULL_BYTES
    }

    /// The topic of a row; empty when no topic was named.
    pub fn topic(&self, row: &OutputRow) -> &str {
        self.topics.get(usize::from(row.topic)).map_or("", |t| t)
    }

    /// The key of a row.
    pub fn key(&self, row: &OutputRow) -> Option<&[u8]> {
        row.key.clone().map(|range| &self.arena[range])
    }

    /// The value of a row; `None` for a tombstone.
    pub fn value(&self, row: &OutputRow) -> Option<&[u8]> {
        row.value.clone().map(|range| &self.arena[range])
    }

    /// The headers of a row, in order.
    pub fn headers(&self, row: &OutputRow) -> impl ExactSizeIterator<Item = (&str, Option<&[u8]>)> {
        let headers = &self.headers[row.headers.start as usize..row.headers.end as usize];
        headers.iter().map(|(name, value)| (name.as_str(), value.as_deref()))
    }

    /// Empties it; buffers and the names of topics stay.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.rows.clear();
        self.headers.clear();
        self.row_start = 0;
        self.key_end = None;
        self.position = None;
        self.rejected.clear();
        self.source_rejects.clear();
        self.schema = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_written_in_place_and_pushed_read_the_same() {
        let mut out = Output::default();
        out.to_topic(&"a".into());
        out.push(Some(b"k"), Some(b"v"), Some(5));
        out.to_topic(&"b".into());
        out.buffer().extend_from_slice(b"key");
        out.end_key();
        out.buffer().extend_from_slice(b"value");
        out.end_row(None);
        out.buffer().extend_from_slice(b"half");
        out.abandon_row();
        out.push(Some(b"gone"), None, None);
        out.push(None, Some(b""), None);
        out.push_header("h", Some(b"1"));
        assert_eq!(out.headers(&out.rows()[3]).collect::<Vec<_>>(), [("h", Some(&b"1"[..]))]);
        assert_eq!(out.headers(&out.rows()[2]).len(), 0);
        let seen: Vec<_> = out.rows().iter().map(|r| (out.topic(r), out.key(r), out.value(r))).collect();
        assert_eq!(
            seen,
            [
                ("a", Some(&b"k"[..]), Some(&b"v"[..])),
                ("b", Some(&b"key"[..]), Some(&b"value"[..])),
                ("b", Some(&b"gone"[..]), None),
                ("b", None, Some(&b""[..])),
            ]
        );
        out.clear();
        assert!(out.rows().is_empty() && out.bytes() == 0);
    }
}
