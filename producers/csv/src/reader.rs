//! The rows of one CSV file: their cells, their raw bytes, and where they are.
//!
//! The `csv` crate splits the text. What it does not tell is added here: the bytes of the row as they were read, the true line of a row
//! after blank lines and CRLF, whether a cell was quoted, and a quote that is never closed.

use std::io::{self, Read, Seek, SeekFrom};

use csv::ByteRecord;

use crate::config::CsvOptions;

/// A row longer than this is rejected: it is a lost quote or no CSV at all, and no broker takes a message of this size.
pub(crate) const MAX_ROW_BYTES: usize = 4 << 20;

/// At most this much of a line that makes no row is kept.
const BAD_LINE_BYTES: usize = 64 << 10;

/// What [`RowReader::read`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// A row: see [`RowReader::cells`].
    Row,
    /// A row with a quote that is not closed before the end of the file. Reading goes on at the line after the one it began on.
    Unclosed,
    /// A row of more than [`MAX_ROW_BYTES`]. Reading goes on at the line after the one it began on.
    TooLong,
    /// The end of the file.
    End,
}

/// Reads rows. Memory: one row, one read buffer.
pub(crate) struct RowReader<R> {
    builder: csv::ReaderBuilder,
    quote: Option<u8>,
    escape: Option<u8>,
    delimiter: u8,
    csv: csv::Reader<Tee<R>>,
    cells: ByteRecord,
    /// The place of the first byte that `csv` has seen.
    base: Place,
    /// The place of the row in hand.
    row: Place,
    /// The place after the row in hand.
    row_end: u64,
    /// The indexes of the quoted cells of the row in hand; filled only when it has an empty cell.
    quoted: Vec<usize>,
    /// The line that made no row.
    bad_line: Vec<u8>,
}

/// A byte of a file (from 0) and the line it is on (from 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) byte: u64,
    pub(crate) line: u64,
}

impl Place {
    pub(crate) const START: Self = Self { byte: 0, line: 1 };
}

impl<R: Read> RowReader<R> {
    pub(crate) fn new(inner: R, options: &CsvOptions) -> Self {
        let mut builder = csv::ReaderBuilder::new();
        builder.has_headers(false).flexible(true).delimiter(options.delimiter).buffer_capacity(options.buffer_bytes);
        builder.quoting(options.quote.is_some()).quote(options.quote.unwrap_or(b'"')).escape(options.escape);
        let csv = builder.from_reader(Tee::new(inner));
        Self {
            quote: options.quote,
            escape: options.escape,
            delimiter: options.delimiter,
            builder,
            csv,
            cells: ByteRecord::new(),
            base: Place::START,
            row: Place::START,
            row_end: 0,
            quoted: Vec::new(),
            bad_line: Vec::new(),
        }
    }

    /// Reads the next row; blank lines are none.
    pub(crate) fn read(&mut self) -> io::Result<Found> {
        loop {
            let start = self.place();
            self.csv.get_mut().keep_from = start.byte;
            let more = self.csv.read_byte_record(&mut self.cells).map_err(io_error)?;
            let end = self.place();
            let cut = std::mem::take(&mut self.csv.get_mut().cut);
            if !more {
                if cut {
                    // Nothing but blank lines so far.
                    self.restart(end);
                    continue;
                }
                return Ok(Found::End);
            }
            let raw = self.csv.get_ref().bytes(start.byte, end.byte);
            let blank = raw.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
            let lines = raw[..blank].iter().filter(|b| **b == b'\n').count();
            self.row = Place { byte: start.byte + blank as u64, line: start.line + lines as u64 };
            self.row_end = end.byte;
            let found = if cut {
                Found::TooLong
            } else if self.csv.get_ref().ended && self.walk(|_, _| ()) {
                Found::Unclosed
            } else {
                self.note_quoted();
                return Ok(Found::Row);
            };
            self.bad_line = first_line(self.raw()).to_vec();
            self.skip_line(self.row)?;
            return Ok(found);
        }
    }

    /// The cells of the row in hand.
    pub(crate) fn cells(&self) -> &ByteRecord {
        &self.cells
    }

    /// Where the row in hand begins.
    pub(crate) fn row(&self) -> Place {
        self.row
    }

    /// The bytes of the row in hand, without its line end.
    pub(crate) fn raw(&self) -> &[u8] {
        let raw = self.csv.get_ref().bytes(self.row.byte, self.row_end);
        let end = raw.iter().rposition(|b| !matches!(b, b'\r' | b'\n')).map_or(0, |last| last + 1);
        &raw[..end]
    }

    /// Where the next row (or the rest of a line end) begins.
    pub(crate) fn place(&self) -> Place {
        let position = self.csv.position();
        Place { byte: self.base.byte + position.byte(), line: self.base.line + position.line() - 1 }
    }

    /// The line that made no row, cut if it is very long.
    pub(crate) fn bad_line(&self) -> &[u8] {
        &self.bad_line
    }

    /// Whether an empty cell of the row in hand is in quotes.
    pub(crate) fn is_quoted(&self, cell: usize) -> bool {
        self.quoted.binary_search(&cell).is_ok()
    }

    /// The row in hand is the next one to be read.
    pub(crate) fn unread(&mut self) {
        self.restart(self.row);
    }

    /// Passes over lines at the place where the reader is, quotes or not.
    pub(crate) fn skip_lines(&mut self, lines: u64) -> io::Result<()> {
        for _ in 0..lines {
            self.skip_line(self.place())?;
        }
        Ok(())
    }

    fn note_quoted(&mut self) {
        let mut quoted = std::mem::take(&mut self.quoted);
        quoted.clear();
        if self.cells.iter().any(<[u8]>::is_empty) {
            self.walk(|index, is_quoted| {
                if is_quoted {
                    quoted.push(index)
                }
            });
        }
        self.quoted = quoted;
    }

    /// Calls `cell` with the index of each cell of the row in hand and whether it is quoted; returns whether a quote is left open. The rules
    /// are those of the `csv` crate: a quote counts at the start of a cell only, and what follows the closing quote is plain text.
    fn walk(&self, mut cell: impl FnMut(usize, bool)) -> bool {
        let raw = self.raw();
        let Some(quote) = self.quote.filter(|q| memchr::memchr(*q, raw).is_some()) else { return false };
        let text = if self.row.byte == 0 { raw.strip_prefix(b"\xef\xbb\xbf").unwrap_or(raw) } else { raw };
        let (mut index, mut at) = (0, 0);
        loop {
            let quoted = text.get(at) == Some(&quote);
            cell(index, quoted);
            if quoted {
                match self.after_quotes(text, at + 1, quote) {
                    Some(after) => at = after,
                    None => return true,
                }
            }
            match memchr::memchr(self.delimiter, &text[at..]) {
                Some(next) => (index, at) = (index + 1, at + next + 1),
                None => return false,
            }
        }
    }

    /// The place after the quote that closes the cell whose text begins at `at`.
    fn after_quotes(&self, text: &[u8], mut at: usize, quote: u8) -> Option<usize> {
        loop {
            match *text.get(at)? {
                // The `csv` crate looks for the quote before the escape, so the same byte for both means doubled quotes.
                byte if byte == quote && text.get(at + 1) == Some(&quote) => at += 2,
                byte if byte == quote => return Some(at + 1),
                byte if self.escape == Some(byte) => at += 2,
                _ => at += 1,
            }
        }
    }

    /// Goes on after the line that `from` is on.
    fn skip_line(&mut self, from: Place) -> io::Result<()> {
        self.restart(from);
        let tee = self.csv.get_mut();
        let (skipped, lines) = tee.skip_line()?;
        self.base = Place { byte: from.byte + skipped, line: from.line + lines };
        Ok(())
    }

    /// Goes on at a place that is still kept, with a fresh state.
    fn restart(&mut self, place: Place) {
        let fresh = self.builder.from_reader(Tee::default());
        let mut tee = std::mem::replace(&mut self.csv, fresh).into_inner();
        tee.rewind(place.byte);
        self.csv = self.builder.from_reader(tee);
        self.base = place;
    }
}

impl<R: Read + Seek> RowReader<R> {
    /// Goes on at any place.
    pub(crate) fn seek(&mut self, place: Place) -> io::Result<()> {
        let fresh = self.builder.from_reader(Tee::default());
        let tee = std::mem::replace(&mut self.csv, fresh).into_inner();
        let mut inner = tee.inner.ok_or_else(|| io::Error::other("the file is closed"))?;
        inner.seek(SeekFrom::Start(place.byte))?;
        self.csv = self.builder.from_reader(Tee { kept_at: place.byte, ..Tee::new(inner) });
        self.base = place;
        Ok(())
    }
}

fn first_line(raw: &[u8]) -> &[u8] {
    let end = memchr::memchr2(b'\r', b'\n', raw).unwrap_or(raw.len());
    &raw[..end.min(BAD_LINE_BYTES)]
}

/// Reading bytes is all that can fail here: rows may have any number of cells of any bytes.
fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// Hands bytes through and keeps those of the row in hand.
struct Tee<R> {
    inner: Option<R>,
    kept: Vec<u8>,
    /// The place in the file of the first byte kept.
    kept_at: u64,
    /// How many of the bytes kept have been handed out.
    served: usize,
    /// Bytes before this place are not needed any more.
    keep_from: u64,
    /// The limit of a row was reached and an end of file was played.
    cut: bool,
    /// The end of the file was reached.
    ended: bool,
}

impl<R> Default for Tee<R> {
    fn default() -> Self {
        Self { inner: None, kept: Vec::new(), kept_at: 0, served: 0, keep_from: 0, cut: false, ended: false }
    }
}

impl<R: Read> Tee<R> {
    fn new(inner: R) -> Self {
        Self { inner: Some(inner), ..Self::default() }
    }

    /// The bytes of the file from one place to another, as far as they are kept.
    fn bytes(&self, from: u64, to: u64) -> &[u8] {
        let index = |place: u64| usize::try_from(place.saturating_sub(self.kept_at)).unwrap_or(usize::MAX).min(self.kept.len());
        &self.kept[index(from)..index(to).max(index(from))]
    }

    /// Hands out the bytes from `place` on again.
    fn rewind(&mut self, place: u64) {
        self.served = usize::try_from(place.saturating_sub(self.kept_at)).unwrap_or(usize::MAX).min(self.kept.len());
        self.keep_from = place;
        self.ended = false;
    }

    /// Passes over the bytes up to the next line end, and over that; returns their number and that of the newlines among them.
    fn skip_line(&mut self) -> io::Result<(u64, u64)> {
        let mut skipped = 0;
        let mut block = [0; 4096];
        loop {
            self.keep_from = self.kept_at + self.served as u64;
            if self.served == self.kept.len() {
                let read = self.read(&mut block)?;
                if read == 0 {
                    return Ok((skipped, 0));
                }
                self.served -= read;
            }
            let rest = &self.kept[self.served..];
            let end = memchr::memchr2(b'\r', b'\n', rest);
            let newline = end.is_some_and(|at| rest[at] == b'\n');
            let taken = end.map_or(rest.len(), |at| at + 1);
            self.served += taken;
            skipped += taken as u64;
            if end.is_some() {
                return Ok((skipped, u64::from(newline)));
            }
        }
    }
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.served < self.kept.len() {
            let rest = &self.kept[self.served..];
            let taken = rest.len().min(buf.len());
            buf[..taken].copy_from_slice(&rest[..taken]);
            self.served += taken;
            return Ok(taken);
        }
        let old = usize::try_from(self.keep_from.saturating_sub(self.kept_at)).unwrap_or(usize::MAX).min(self.kept.len());
        self.kept.drain(..old);
        self.kept_at += old as u64;
        self.served = self.kept.len();
        if self.kept.len() >= MAX_ROW_BYTES {
            self.cut = true;
            return Ok(0);
        }
        let Some(inner) = &mut self.inner else { return Ok(0) };
        let read = inner.read(buf)?;
        self.ended = read == 0;
        self.kept.extend_from_slice(&buf[..read]);
        self.served = self.kept.len();
        Ok(read)
    }
}
