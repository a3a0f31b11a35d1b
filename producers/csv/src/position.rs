//! How far a file has been read, as it is stored between runs.

use lakefeed_core::{Error, Position, Result, shorten};
use serde_json::{Value, json};

/// How far a file has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FilePosition {
    /// Rows read, the rejected ones included, the header not.
    pub rows: u64,
    /// The byte of the file at which the next row (or the rest of a line end) begins.
    pub byte: u64,
    /// The line of that byte, counted from 1; 0 before the first read.
    pub line: u64,
}

/// What tells one version of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Bytes.
    pub(crate) length: u64,
    /// The time of the last change, milliseconds since 1970-01-01 UTC.
    pub(crate) modified_ms: i64,
}

/// What is stored for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) at: FilePosition,
    /// The file as it was when this was stored.
    pub(crate) identity: Identity,
    /// Whether it was read to its end.
    pub(crate) done: bool,
}

/// The source partition of a file.
pub(crate) fn partition_of(file_name: &str) -> String {
    json!({ "fileName": file_name }).to_string()
}

impl Progress {
    /// As a source position. `offset` and `fileName` are those of SpoolDirCsvSourceConnector.
    pub(crate) fn to_position(self, partition: &str) -> Position {
        let offset = json!({
            "offset": self.at.rows,
            "byte": self.at.byte,
            "line": self.at.line,
            "length": self.identity.length,
            "modified": self.identity.modified_ms,
            "done": self.done,
        });
        Position { partition: partition.to_owned(), offset: offset.to_string() }
    }

    /// Reads what [`Progress::to_position`] wrote.
    ///
    /// # Errors
    /// The text is something else, for example an offset set by hand or by another connector.
    pub(crate) fn parse(partition: &str, offset: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(offset).unwrap_or_default();
        let read = || {
            let number = |name: &str| value.get(name).and_then(Value::as_u64);
            Some(Self {
                at: FilePosition { rows: number("offset")?, byte: number("byte")?, line: number("line")? },
                identity: Identity { length: number("length")?, modified_ms: value.get("modified")?.as_i64()? },
                done: value.get("done")?.as_bool()?,
            })
        };
        read().ok_or_else(|| {
            Error::config(format!(
                "the stored offset {} of {partition} is not one of CsvSourceConnector: expected offset, byte, line, length, modified and \
                 done; reset the connector's offsets to read the file from its start",
                shorten(offset.as_bytes())
            ))
        })
    }

    /// Whether reading can go on here in the file as it is now. A file that only grew is the same file when `may_grow`.
    pub(crate) fn fits(&self, now: Identity, may_grow: bool) -> bool {
        self.at.byte <= now.length && (self.identity == now || (may_grow && now.length > self.identity.length))
    }
}
