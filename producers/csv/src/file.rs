//! One CSV file, from its header to its last row.

use std::collections::HashMap;
use std::io::{Read, Seek};
use std::sync::Arc;

use csv::ByteRecord;
use lakefeed_core::{Error, Output, Result, SourceReject, shorten};

use crate::config::CsvOptions;
use crate::position::FilePosition;
use crate::reader::{Found, MAX_ROW_BYTES, Place, RowReader};
use crate::row::{BadRow, RowWriter, is_json_number};

/// One CSV file, or any other stream of CSV text.
pub struct CsvFile<R> {
    name: String,
    reader: RowReader<R>,
    writer: RowWriter,
    rows: u64,
    /// Trouble that came after rows had been handed over: it is told at the next call.
    trouble: Option<Error>,
}

/// What [`CsvFile::fill`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// There may be more.
    More,
    /// The file was read to its end.
    End,
}

impl<R> std::fmt::Debug for CsvFile<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CsvFile({}, {} rows)", self.name, self.rows)
    }
}

impl<R: Read> CsvFile<R> {
    /// Reads the header. `name` is for messages.
    ///
    /// # Errors
    /// `Config`: the file is empty, has no header or a column twice, or lacks a column that the options name. `Retry`: it can't be read.
    pub fn open(name: impl Into<String>, inner: R, options: &CsvOptions) -> Result<Self> {
        let name = name.into();
        let mut reader = RowReader::new(inner, options);
        let columns = columns(&name, &mut reader, options)?;
        let writer = RowWriter::new(columns, options).map_err(|e| Error::config(format!("{name}: {e}")))?;
        Ok(Self { name, reader, writer, rows: 0, trouble: None })
    }

    /// Appends rows to `out` until it is full, `max_rows` were read or the file ends. Rows that can't be used go to
    /// [`Output::source_rejects`]. `timestamp_ms` is that of the records.
    ///
    /// # Errors
    /// `Retry`: the file can't be read. Nothing was appended then; this `CsvFile` is of no more use.
    pub fn fill(&mut self, out: &mut Output, max_rows: u64, timestamp_ms: Option<i64>) -> Result<Filled> {
        if let Some(error) = self.trouble.take() {
            return Err(error);
        }
        out.schema = Some(Arc::clone(self.writer.schema()));
        let (start, mut rejected_bytes) = (self.rows, 0);
        while !out.is_full() && rejected_bytes < Output::FULL_BYTES && self.rows - start < max_rows {
            let found = match self.reader.read() {
                Ok(Found::End) => return Ok(Filled::End),
                Ok(found) => found,
                Err(error) => {
                    let error =
                        Error::retry(format!("{}: can't be read after line {}", self.name, self.reader.place().line)).with_source(error);
                    if self.rows == start {
                        return Err(error);
                    }
                    self.trouble = Some(error);
                    return Ok(Filled::More);
                }
            };
            self.rows += 1;
            if let Err(bad) = self.take(found, out, timestamp_ms) {
                let raw = if found == Found::Row { self.reader.raw() } else { self.reader.bad_line() }.to_vec();
                rejected_bytes += raw.len();
                let (origin, line) = (self.name.clone(), self.reader.row().line);
                out.source_rejects.push(SourceReject { origin, line, column: bad.column, message: bad.message, raw });
            }
        }
        Ok(Filled::More)
    }

    fn take(&self, found: Found, out: &mut Output, timestamp_ms: Option<i64>) -> Result<(), BadRow> {
        let bad = |message: String| Err(BadRow { column: None, message });
        match found {
            Found::Row | Found::End => self.writer.write(self.reader.cells(), |cell| self.reader.is_quoted(cell), out, timestamp_ms),
            Found::Unclosed => bad("a quote is opened in this line and not closed before the end of the file".into()),
            Found::TooLong => bad(format!("the row that begins here is longer than {} MiB; is a quote not closed?", MAX_ROW_BYTES >> 20)),
        }
    }

    /// How far it was read.
    pub fn position(&self) -> FilePosition {
        let place = self.reader.place();
        FilePosition { rows: self.rows, byte: place.byte, line: place.line }
    }
}

impl<R: Read + Seek> CsvFile<R> {
    /// Goes on at a position that [`CsvFile::position`] gave before, for the same file.
    ///
    /// # Errors
    /// `Retry`: the file can't be read.
    pub fn resume(&mut self, from: FilePosition) -> Result<()> {
        let place = Place { byte: from.byte, line: from.line.max(1) };
        self.reader.seek(place).map_err(|e| Error::retry(format!("{}: can't go to byte {}", self.name, from.byte)).with_source(e))?;
        self.rows = from.rows;
        Ok(())
    }
}

/// The names of the columns; the reader is then at the first row of data.
fn columns<R: Read>(name: &str, reader: &mut RowReader<R>, options: &CsvOptions) -> Result<Vec<String>> {
    let read_error = |e| Error::retry(format!("{name}: can't be read")).with_source(e);
    reader.skip_lines(options.skip_lines).map_err(read_error)?;
    if !options.header && !options.columns.is_empty() {
        return unique(name, 0, options.columns.clone());
    }
    match reader.read().map_err(read_error)? {
        Found::Row => {}
        Found::End if reader.place().byte == 0 => {
            return Err(Error::config(format!("{name}: the file is empty; expected {}", expected(options))));
        }
        Found::End => return Err(Error::config(format!("{name}: the file has blank lines only; expected {}", expected(options)))),
        Found::Unclosed | Found::TooLong => {
            let line = reader.row().line;
            return Err(Error::config(format!(
                "{name} line {line}: the first row is no CSV: a quote is not closed, or there is no line end"
            )));
        }
    }
    if options.header {
        let line = reader.row().line;
        return unique(name, line, header_names(name, line, reader.cells())?);
    }
    let count = reader.cells().len();
    reader.unread();
    Ok((1..=count).map(|number| format!("column{number:02}")).collect())
}

fn expected(options: &CsvOptions) -> &'static str {
    if options.header { "a header line with the names of the columns" } else { "rows" }
}

fn header_names(name: &str, line: u64, cells: &ByteRecord) -> Result<Vec<String>> {
    for (magic, what) in
        [(&b"\xff\xfe"[..], "UTF-16 text"), (b"\xfe\xff", "UTF-16 text"), (b"\x1f\x8b", "a gzip file"), (b"PK\x03\x04", "a ZIP file")]
    {
        if cells.as_slice().starts_with(magic) {
            return Err(Error::config(format!("{name}: this is {what}; only plain CSV in UTF-8 is read: convert it first")));
        }
    }
    let names = cells.iter().enumerate().map(|(index, cell)| {
        let fault = |what: &str| {
            Error::config(format!(
                "{name} line {line}: no header: cell {} is {what}, but the names of the columns were expected; add a header line, or give \
                 the names (--columns, csv.columns)",
                index + 1
            ))
        };
        match std::str::from_utf8(cell) {
            Ok(text) if text.trim().is_empty() => Err(fault("empty")),
            Ok(_) if is_json_number(cell) => Err(fault(&format!("the number {}", shorten(cell)))),
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(fault(&format!("'{}', which is not UTF-8", shorten(cell)))),
        }
    });
    names.collect()
}

fn unique(name: &str, line: u64, names: Vec<String>) -> Result<Vec<String>> {
    let mut seen = HashMap::new();
    for (index, column) in names.iter().enumerate() {
        if let Some(first) = seen.insert(column, index) {
            let place = if line == 0 { name.to_owned() } else { format!("{name} line {line}") };
            let text = format!("{place}: two columns have the name '{column}': {} and {}; rename one", first + 1, index + 1);
            return Err(Error::config(text));
        }
    }
    Ok(names)
}
