//! Cells to JSON.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use csv::ByteRecord;
use lakefeed_core::{Error, Output, Result, RowSchema, nearest, shorten};

use crate::config::{CellType, CsvOptions, Nulls};

/// Writes rows of cells as JSON objects, straight into an [`Output`].
#[derive(Debug)]
pub(crate) struct RowWriter {
    columns: Vec<Column>,
    key: Vec<usize>,
    nulls: Nulls,
    schema: Arc<RowSchema>,
}

#[derive(Debug)]
struct Column {
    name: String,
    /// What comes before the cell: `{` or `,`, the name as a JSON string, and the colon.
    label: Vec<u8>,
    cell_type: Option<CellType>,
}

/// Why a row can't be sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadRow {
    /// The column, if one is to blame.
    pub(crate) column: Option<String>,
    /// What was found, what was expected.
    pub(crate) message: String,
}

impl RowWriter {
    /// A writer for rows with these columns, or why the options don't fit them.
    pub(crate) fn new(names: Vec<String>, options: &CsvOptions) -> Result<Self> {
        let find = |wanted: &str, what: &str| {
            names.iter().position(|name| name == wanted).ok_or_else(|| {
                let hint = nearest(wanted, names.iter().map(String::as_str)).map_or(".".into(), |n| format!("; did you mean '{n}'?"));
                Error::config(format!("there is no column '{wanted}' for the {what}{hint} The columns are {}", names.join(", ")))
            })
        };
        let key = options.key.iter().map(|name| find(name, "key")).collect::<Result<Vec<_>>>()?;
        let mut types = vec![None; names.len()];
        for (name, cell_type) in &options.types {
            types[find(name, "type")?] = Some(*cell_type);
        }
        let before = std::iter::once(b'{').chain(std::iter::repeat(b','));
        let columns = before.zip(names.into_iter().zip(types)).map(|(before, (name, cell_type))| Column::new(before, name, cell_type));
        let columns: Vec<_> = columns.collect();
        let schema = Arc::new(schema(&columns, &key, options));
        Ok(Self { columns, key, nulls: options.nulls, schema })
    }

    /// What the rows are.
    pub(crate) fn schema(&self) -> &Arc<RowSchema> {
        &self.schema
    }

    /// Appends a row with its key. `is_quoted` tells whether a cell is in quotes; it is asked about empty cells only.
    pub(crate) fn write(
        &self, cells: &ByteRecord, is_quoted: impl Fn(usize) -> bool, out: &mut Output, timestamp_ms: Option<i64>,
    ) -> Result<(), BadRow> {
        let done = self.write_parts(cells, is_quoted, out);
        match done {
            Ok(()) => out.end_row(timestamp_ms),
            Err(_) => out.abandon_row(),
        }
        done
    }

    fn write_parts(&self, cells: &ByteRecord, is_quoted: impl Fn(usize) -> bool, out: &mut Output) -> Result<(), BadRow> {
        self.check(cells)?;
        if !self.key.is_empty() {
            self.write_key(cells, out.buffer())?;
            out.end_key();
        }
        let buffer = out.buffer();
        for (index, (column, cell)) in self.columns.iter().zip(cells).enumerate() {
            buffer.extend_from_slice(&column.label);
            if cell.is_empty() && self.nulls.is_null(|| is_quoted(index)) {
                buffer.extend_from_slice(b"null");
            } else {
                column.write_cell(cell, buffer)?;
            }
        }
        buffer.push(b'}');
        Ok(())
    }

    /// The number of cells and their characters.
    fn check(&self, cells: &ByteRecord) -> Result<(), BadRow> {
        if cells.len() != self.columns.len() {
            let message = format!("the row has {} cells, but there are {} columns", cells.len(), self.columns.len());
            return Err(BadRow { column: None, message });
        }
        if cells.as_slice().is_ascii() {
            return Ok(());
        }
        match self.columns.iter().zip(cells).find(|(_, cell)| std::str::from_utf8(cell).is_err()) {
            Some((column, cell)) => Err(column.bad(cell, "is not UTF-8 text; convert the file to UTF-8")),
            None => Ok(()),
        }
    }

    fn write_key(&self, cells: &ByteRecord, buffer: &mut Vec<u8>) -> Result<(), BadRow> {
        let mut before = b'{';
        for index in &self.key {
            let (column, cell) = (&self.columns[*index], &cells[*index]);
            if cell.is_empty() {
                return Err(BadRow { column: Some(column.name.clone()), message: "the cell is empty, but the key needs it".into() });
            }
            if self.key.len() == 1 {
                buffer.extend_from_slice(cell);
                return Ok(());
            }
            buffer.push(before);
            before = b',';
            buffer.extend_from_slice(&column.label[1..]);
            column.write_cell(cell, buffer)?;
        }
        buffer.push(b'}');
        Ok(())
    }
}

/// A column without a type is one of text: what its cells look like may change from row to row, and a schema must not.
fn schema(columns: &[Column], key: &[usize], options: &CsvOptions) -> RowSchema {
    let field = |column: &Column| {
        let kind = match column.cell_type {
            None | Some(CellType::String) => DataType::Utf8,
            Some(CellType::Long) => DataType::Int64,
            Some(CellType::Double) => DataType::Float64,
            Some(CellType::Boolean) => DataType::Boolean,
        };
        Field::new(&column.name, kind, true)
    };
    let key: Vec<_> = key.iter().map(|index| field(&columns[*index])).collect();
    RowSchema {
        value: Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>())),
        value_name: options.value_name.clone(),
        key: (key.len() > 1).then(|| Arc::new(Schema::new(key))),
        key_name: options.key_name.clone(),
    }
}

impl Column {
    fn new(before: u8, name: String, cell_type: Option<CellType>) -> Self {
        let mut label = vec![before];
        push_string(&mut label, name.as_bytes());
        label.push(b':');
        Self { name, label, cell_type }
    }

    fn bad(&self, cell: &[u8], problem: &str) -> BadRow {
        BadRow { column: Some(self.name.clone()), message: format!("'{}' {problem}", shorten(cell)) }
    }

    fn write_cell(&self, cell: &[u8], buffer: &mut Vec<u8>) -> Result<(), BadRow> {
        let Some(cell_type) = self.cell_type else {
            match cell {
                b"true" | b"false" => buffer.extend_from_slice(cell),
                _ if is_json_number(cell) => buffer.extend_from_slice(cell),
                _ => push_string(buffer, cell),
            }
            return Ok(());
        };
        let text = str::from_utf8(cell).unwrap_or_default();
        match cell_type {
            CellType::String => push_string(buffer, cell),
            CellType::Boolean if text.eq_ignore_ascii_case("true") => buffer.extend_from_slice(b"true"),
            CellType::Boolean if text.eq_ignore_ascii_case("false") => buffer.extend_from_slice(b"false"),
            CellType::Boolean => return Err(self.bad(cell, "is no boolean: expected true or false")),
            CellType::Long => match text.parse::<i64>() {
                Ok(_) if is_json_number(cell) => buffer.extend_from_slice(cell),
                Ok(value) => buffer.extend_from_slice(value.to_string().as_bytes()),
                Err(_) => return Err(self.bad(cell, "is no long: expected a whole number of 64 bits")),
            },
            CellType::Double => match text.parse::<f64>() {
                Ok(_) if is_json_number(cell) => buffer.extend_from_slice(cell),
                // `Display` of a finite number never has an exponent and is always a JSON number.
                Ok(value) if value.is_finite() => buffer.extend_from_slice(value.to_string().as_bytes()),
                _ => return Err(self.bad(cell, "is no double: expected a finite number")),
            },
        }
        Ok(())
    }
}

/// Whether a cell is a number in the grammar of JSON, and one that a double can hold.
pub(crate) fn is_json_number(cell: &[u8]) -> bool {
    let digits = |from: usize| after_digits(cell, from);
    let whole = usize::from(cell.first() == Some(&b'-'));
    let mut end = match cell.get(whole) {
        Some(b'0') => whole + 1,
        Some(b'1'..=b'9') => digits(whole + 1),
        _ => return false,
    };
    if cell.get(end) == Some(&b'.') {
        let fraction = end + 1;
        end = digits(fraction);
        if end == fraction {
            return false;
        }
    }
    if end == cell.len() && end < 300 {
        return true;
    }
    if let Some(b'e' | b'E') = cell.get(end) {
        let exponent = end + 1 + usize::from(matches!(cell.get(end + 1), Some(b'+' | b'-')));
        end = digits(exponent);
        if end == exponent {
            return false;
        }
    }
    // Few numbers come this far: those with an exponent, or with more digits than any real one.
    end == cell.len() && str::from_utf8(cell).ok().and_then(|text| text.parse::<f64>().ok()).is_some_and(f64::is_finite)
}

/// The end of the digits that begin at `from`.
fn after_digits(cell: &[u8], mut from: usize) -> usize {
    // Eight at a time: a byte is a digit if its high half is 3, and still is after 6 was added.
    const HIGH: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    const THREES: u64 = 0x3030_3030_3030_3030;
    while let Some(eight) = cell.get(from..).and_then(|rest| rest.first_chunk::<8>()) {
        let eight = u64::from_le_bytes(*eight);
        if eight & HIGH != THREES || (eight + 0x0606_0606_0606_0606) & HIGH != THREES {
            break;
        }
        from += 8;
    }
    while cell.get(from).is_some_and(u8::is_ascii_digit) {
        from += 1;
    }
    from
}

/// Appends text as a JSON string.
fn push_string(buffer: &mut Vec<u8>, text: &[u8]) {
    buffer.push(b'"');
    let mut copied = 0;
    for (at, byte) in text.iter().enumerate() {
        if *byte >= 0x20 && *byte != b'"' && *byte != b'\\' {
            continue;
        }
        buffer.extend_from_slice(&text[copied..at]);
        copied = at + 1;
        match byte {
            b'"' => buffer.extend_from_slice(b"\\\""),
            b'\\' => buffer.extend_from_slice(b"\\\\"),
            b'\n' => buffer.extend_from_slice(b"\\n"),
            b'\r' => buffer.extend_from_slice(b"\\r"),
            b'\t' => buffer.extend_from_slice(b"\\t"),
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                buffer.extend_from_slice(b"\\u00");
                buffer.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
        }
    }
    buffer.extend_from_slice(&text[copied..]);
    buffer.push(b'"');
}
