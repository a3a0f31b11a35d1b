//! Charts of a table of the lake as one HTML page: no scripts, nothing loaded from elsewhere.
//!
//! The motor data get the charts that the AWS pipeline drew in QuickSight; any other table gets its rows by partition and the range of its
//! columns.

mod chart;
mod general;
mod motor;
mod page;
mod scale;

use std::io::Write;

use lakefeed_core::{Error, Result};
use lakefeed_query::{Lake, Table, quote_identifier};

/// Writes the page of `table`; without a name it is the first table with motor data, else the first of the lake.
///
/// # Errors
/// There is no such table, a query fails, or `out` does: then the source is the [`std::io::Error`].
pub fn write(lake: &Lake, table: Option<&str>, out: &mut dyn Write) -> Result<()> {
    let source = Source::choose(lake, table)?;
    let figures = if motor::has_columns(&source.columns) { motor::figures(&source)? } else { general::figures(&source)? };
    page::write(&source, &figures, out).map_err(|e| Error::config("can't write the page").with_source(e))
}

/// The table that is drawn.
struct Source<'a> {
    lake: &'a Lake,
    table: &'a Table,
    /// Names and SQL types.
    columns: Vec<(String, String)>,
}

impl<'a> Source<'a> {
    fn choose(lake: &'a Lake, wanted: Option<&str>) -> Result<Self> {
        let mut first = None;
        for table in &lake.catalog().tables {
            if lake.unreadable().iter().any(|u| u.table == table.name) || wanted.is_some_and(|w| !w.eq_ignore_ascii_case(&table.name)) {
                continue;
            }
            let source = Self { lake, table, columns: columns(lake, &table.name)? };
            if wanted.is_some() || motor::has_columns(&source.columns) {
                return Ok(source);
            }
            first = first.or(Some(source));
        }
        let names: Vec<&str> = lake.catalog().tables.iter().map(|t| t.name.as_str()).collect();
        first.ok_or_else(|| match wanted {
            Some(wanted) => Error::config(format!("there is no readable table '{wanted}' in the lake; it has {}", names.join(", "))),
            None => Error::config(format!("none of the tables of the lake can be read: {}", names.join(", "))),
        })
    }

    /// The rows of a query, in which `{t}` stands for the table.
    fn rows(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        self.lake.query(&sql.replace("{t}", &quote_identifier(&self.table.name))).map(|answer| answer.rows)
    }
}

fn columns(lake: &Lake, table: &str) -> Result<Vec<(String, String)>> {
    let rows = lake.query(&format!("SELECT column_name, column_type FROM (DESCRIBE {})", quote_identifier(table)))?.rows;
    Ok(rows.into_iter().map(|row| (text(&row, 0).to_owned(), text(&row, 1).to_owned())).collect())
}

/// A cell as text; NULL is a word of its own.
fn text(row: &[Option<String>], column: usize) -> &str {
    row.get(column).and_then(Option::as_deref).unwrap_or("null")
}

/// A cell as a number that can be drawn.
fn number(row: &[Option<String>], column: usize) -> Option<f64> {
    row.get(column)?.as_deref()?.parse().ok().filter(|n: &f64| n.is_finite())
}
