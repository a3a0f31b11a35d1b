//! Columns to the keys and values of records: the way back of the decoder.

mod avro;
mod json;
mod protobuf;
mod registered;

use std::fmt::Write as _;

use arrow_array::builder::BinaryBuilder;
use arrow_array::{Array, BinaryArray, RecordBatch};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::Field;

use crate::json_lines::{Nulls, write_lines};

pub use registered::{RowWriter, SchemaKind};

/// The column of values that are no records.
const VALUE: &str = "value";

/// Rows on their way to a topic. `single`: they are no records; they stand in the one column `value`.
#[derive(Debug, Clone, Copy)]
pub struct Written<'a> {
    /// The columns.
    pub rows: &'a RecordBatch,
    /// They are the values of the one column.
    pub single: bool,
}

impl Written<'_> {
    /// Rows as JSON, each without a line end: objects with a member for each column, or the value alone.
    ///
    /// # Errors
    /// A column of a type that no decoder makes.
    pub fn json(self, nulls: Nulls) -> Result<BinaryArray, String> {
        self.around(b"", b"", nulls, true)
    }

    /// Values as text, as Kafka Connect's StringConverter has them where it has one form: text as it is, numbers and booleans as they are
    /// written; records as JSON.
    ///
    /// # Errors
    /// A column of a type that has no text.
    pub fn text(self, nulls: Nulls) -> Result<BinaryArray, String> {
        if !self.single {
            return self.json(nulls);
        }
        let column = self.rows.columns().first().ok_or("the value has no column")?;
        let shown = ArrayFormatter::try_new(column, &FormatOptions::default()).map_err(|e| e.to_string())?;
        let mut all = BinaryBuilder::with_capacity(column.len(), column.len() * 16);
        let mut text = String::new();
        for row in 0..column.len() {
            text.clear();
            if column.is_null(row) {
                all.append_null();
            } else {
                write!(text, "{}", shown.value(row)).map_err(|e| e.to_string())?;
                all.append_value(&text);
            }
        }
        Ok(all.finish())
    }

    /// Each row as JSON between two texts.
    fn around(self, before: &[u8], after: &[u8], nulls: Nulls, whole: bool) -> Result<BinaryArray, String> {
        let mut lines = Vec::new();
        // A value alone is null and not left out.
        let nulls = if self.single { Nulls::Written } else { nulls };
        write_lines(self.rows, nulls, whole, &mut lines).map_err(|e| e.to_string())?;
        // A line of the one column is `{"value":..}`.
        let (cut, end) = if self.single { (VALUE.len() + 4, 1) } else { (0, 0) };
        let rows = self.rows.num_rows();
        let mut all = BinaryBuilder::with_capacity(rows, lines.len() + rows * (before.len() + after.len()));
        let mut row = Vec::new();
        for line in lines.split(|byte| *byte == b'\n').take(rows) {
            row.clear();
            row.extend_from_slice(before);
            row.extend_from_slice(line.get(cut..line.len().saturating_sub(end)).unwrap_or_default());
            row.extend_from_slice(after);
            all.append_value(&row);
        }
        Ok(all.finish())
    }
}

fn no_form(field: &Field, converter: &str) -> String {
    format!("column {}: {converter} has no form for {}", field.name(), field.data_type())
}
