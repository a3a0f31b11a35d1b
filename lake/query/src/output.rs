//! Answers as tables, CSV, JSON and Parquet.
//!
//! DuckDB itself turns values into text: each query is wrapped in one that casts its columns, or makes each row a JSON object, so that
//! every type prints as DuckDB prints it. A statement that can't stand inside another one (EXPLAIN, INSERT, PRAGMA, ...) runs as it is.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Write;
use std::str::FromStr;

use duckdb::arrow::util::display::{ArrayFormatter, FormatOptions};
use lakefeed_catalog::quote_literal;
use lakefeed_core::{Error, Result};

use crate::error::of_query;
use crate::lake::Lake;
use crate::statements::{Statement, split};
use crate::table;

/// How answers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people: at most [`Format::TABLE_ROWS`] rows, the number of all rows below.
    Table,
    /// RFC 4180 with a header, lines end with a newline alone; NULL is empty, the empty text is `""`.
    Csv,
    /// An array of objects, one on a line. What JSON has no number for (NaN, infinity) is null.
    Json,
    /// A Parquet file of the last statement's answer.
    Parquet,
}

impl Format {
    /// All names that [`Format::from_str`] knows.
    pub const NAMES: [&'static str; 4] = ["table", "csv", "json", "parquet"];
    /// The rows that [`Format::Table`] shows.
    pub const TABLE_ROWS: usize = 1000;
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "table" => Ok(Self::Table),
            "csv" => Ok(Self::Csv),
            "json" => Ok(Self::Json),
            "parquet" => Ok(Self::Parquet),
            other => Err(Error::config(format!("there is no format '{other}'; expected one of {}", Self::NAMES.join(", ")))),
        }
    }
}

/// The answer of one query as text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// Their SQL types; empty if there are no rows.
    pub types: Vec<String>,
    /// The rows as DuckDB prints their values; `None` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
}

impl Answer {
    /// Writes the rows as a table for people; `width` is what the terminal has.
    ///
    /// # Errors
    /// `out` fails.
    pub fn write_table(&self, width: Option<usize>, out: &mut dyn Write) -> Result<()> {
        table::write_grid(self, width, out).map(|_| ()).map_err(broken)
    }
}

impl Lake {
    /// Runs the statements of `sql`, which `;` separates, and writes their answers.
    ///
    /// # Errors
    /// There is no statement, DuckDB refuses one (those before it have run), or `out` fails: then the source is the [`std::io::Error`].
    pub fn run(&self, sql: &str, format: Format, out: &mut dyn Write) -> Result<()> {
        let statements = split(sql);
        let Some((last, first)) = statements.split_last() else {
            return Err(Error::config("there is no SQL statement to run"));
        };
        if format == Format::Parquet {
            for statement in first {
                self.rows(statement, plain_text, |_, _| Ok(()))?;
            }
            return self.write_parquet(last, out);
        }
        for statement in &statements {
            match format {
                Format::Csv => self.write_csv(statement, out)?,
                Format::Json => self.write_json(statement, out)?,
                Format::Table | Format::Parquet => self.write_table(statement, out)?,
            }
        }
        out.flush().map_err(broken)
    }

    /// The answer of one query, in memory.
    ///
    /// # Errors
    /// DuckDB refuses it, or it is not one statement.
    pub fn query(&self, sql: &str) -> Result<Answer> {
        let [statement] = split(sql)[..] else { return Err(Error::config("expected one SQL statement")) };
        self.answer(&statement, usize::MAX).map(|(answer, _)| answer)
    }

    /// The first `limit` rows of an answer, and the number of all.
    fn answer(&self, statement: &Statement<'_>, limit: usize) -> Result<(Answer, u64)> {
        let mut answer = Answer::default();
        let mut count = 0;
        let shape = self.rows(statement, typed_text, |shape, cells| {
            count += 1;
            if answer.rows.len() < limit {
                let columns = shape.columns(cells.len());
                let texts = |cells: &[Cell]| cells.iter().map(|c| c.get().map(str::to_owned)).collect();
                if answer.types.is_empty() {
                    answer.types =
                        if shape.wrapped { cells[columns..].iter().map(|c| c.text.clone()).collect() } else { shape.types.clone() };
                }
                answer.rows.push(texts(&cells[..columns]));
            }
            Ok(())
        })?;
        answer.columns = shape.names[..shape.columns(shape.names.len())].to_vec();
        if shape.is_effect() {
            answer.columns.clear();
        }
        Ok((answer, count))
    }

    fn write_table(&self, statement: &Statement<'_>, out: &mut dyn Write) -> Result<()> {
        let (answer, count) = self.answer(statement, Format::TABLE_ROWS)?;
        table::write(&answer, count, self.width, out).map_err(broken)
    }

    fn write_csv(&self, statement: &Statement<'_>, out: &mut dyn Write) -> Result<()> {
        let mut line = String::new();
        let mut header = false;
        let shape = self.rows(statement, plain_text, |shape, cells| {
            line.clear();
            if !std::mem::replace(&mut header, true) {
                csv_line(&mut line, shape.names.iter().map(|n| Some(n.as_str())));
            }
            csv_line(&mut line, cells.iter().map(Cell::get));
            out.write_all(line.as_bytes()).map_err(broken)
        })?;
        if !header && !shape.is_effect() {
            csv_line(&mut line, shape.names.iter().map(|n| Some(n.as_str())));
            out.write_all(line.as_bytes()).map_err(broken)?;
        }
        Ok(())
    }

    fn write_json(&self, statement: &Statement<'_>, out: &mut dyn Write) -> Result<()> {
        let mut separator = "[";
        let mut line = String::new();
        let shape = self.rows(statement, json_object, |shape, cells| {
            line.clear();
            line.push_str(separator);
            separator = ",\n";
            match cells {
                [object] if shape.wrapped => line.push_str(&without_non_finite(&object.text)),
                _ => shape.write_object(cells, &mut line),
            }
            out.write_all(line.as_bytes()).map_err(broken)
        })?;
        let end = match separator {
            "[" if shape.is_effect() => "",
            "[" => "[]\n",
            _ => "]\n",
        };
        out.write_all(end.as_bytes()).map_err(broken)
    }

    fn write_parquet(&self, statement: &Statement<'_>, out: &mut dyn Write) -> Result<()> {
        let failed = |e| Error::config("can't write the Parquet file").with_source(e);
        let dir = tempfile::tempdir().map_err(failed)?;
        let file = dir.path().join("answer.parquet");
        let copy = format!("COPY (\n{}\n) TO {} (FORMAT parquet)", statement.sql, quote_literal(&file.to_string_lossy()));
        // Prepared alone first: its errors should quote what the user wrote.
        self.connection.prepare(statement.sql).map_err(|e| of_query(&e))?;
        self.connection.execute_batch(&copy).map_err(|e| of_query(&e))?;
        std::io::copy(&mut std::fs::File::open(&file).map_err(failed)?, out).map_err(broken)?;
        out.flush().map_err(broken)
    }

    /// Runs a statement, wrapped if it can be, and gives its rows one by one.
    fn rows(
        &self, statement: &Statement<'_>, wrap: fn(&str) -> String, mut each: impl FnMut(&Shape, &[Cell]) -> Result<()>,
    ) -> Result<Shape> {
        let wrapped = statement.balanced.then(|| self.connection.prepare(&wrap(statement.sql)).ok()).flatten();
        let is_wrapped = wrapped.is_some();
        let mut running = match wrapped {
            Some(prepared) => prepared,
            None => self.connection.prepare(statement.sql).map_err(|e| of_query(&e))?,
        };
        // The iterator that this gives would panic where a query fails on its way: `step` below reports it.
        drop(running.stream_arrow([]).map_err(|e| of_query(&e))?);
        let schema = running.schema();
        let shape = Shape {
            names: schema.fields().iter().map(|f| f.name().clone()).collect(),
            types: schema
                .fields()
                .iter()
                .map(|f| if f.data_type().is_numeric() { "DOUBLE".into() } else { f.data_type().to_string() })
                .collect(),
            wrapped: is_wrapped,
        };
        let mut cells: Vec<Cell> = shape.names.iter().map(|_| Cell::default()).collect();
        let options = FormatOptions::new();
        while let Some(batch) = running.step().map_err(|e| of_query(&e))? {
            let columns = batch.columns().iter().map(|c| Ok((c, ArrayFormatter::try_new(c, &options)?)));
            let columns: Vec<_> = columns.collect::<Result<_, duckdb::arrow::error::ArrowError>>().map_err(unprintable)?;
            for row in 0..batch.columns().first().map_or(0, |c| c.len()) {
                for (cell, (column, formatter)) in cells.iter_mut().zip(&columns) {
                    cell.text.clear();
                    cell.null = column.is_null(row);
                    if !cell.null {
                        formatter.value(row).write(&mut cell.text).map_err(unprintable)?;
                    }
                }
                if !shape.is_effect() {
                    each(&shape, &cells)?;
                }
            }
        }
        Ok(shape)
    }
}

/// The columns of what runs.
struct Shape {
    names: Vec<String>,
    /// The types of a statement that runs as it is; `DOUBLE` stands for all numbers.
    types: Vec<String>,
    wrapped: bool,
}

impl Shape {
    /// How many of the columns are the user's: [`typed_text`] doubles them.
    fn columns(&self, all: usize) -> usize {
        if self.wrapped { all / 2 } else { all }
    }

    /// Whether the statement has an effect and no answer but the number of rows it changed.
    fn is_effect(&self) -> bool {
        !self.wrapped && matches!(self.names.as_slice(), [name] if name == "Count" || name == "Success")
    }

    fn write_object(&self, cells: &[Cell], line: &mut String) {
        for (i, cell) in cells.iter().enumerate() {
            line.push(if i == 0 { '{' } else { ',' });
            let value = match cell.get() {
                None => Cow::Borrowed("null"),
                Some(number) if self.types[i] == "DOUBLE" && number.parse::<f64>().is_ok_and(f64::is_finite) => Cow::Borrowed(number),
                Some(text) => Cow::Owned(serde_json::Value::from(text).to_string()),
            };
            // Writing to a String can't fail.
            let _ = write!(line, "{}:{value}", serde_json::Value::from(self.names[i].as_str()));
        }
        line.push('}');
    }
}

#[derive(Default)]
struct Cell {
    null: bool,
    text: String,
}

impl Cell {
    fn get(&self) -> Option<&str> {
        (!self.null).then_some(self.text.as_str())
    }
}

fn plain_text(sql: &str) -> String {
    format!("SELECT CAST(COLUMNS(*) AS VARCHAR) FROM (\n{sql}\n) AS lakefeed_answer")
}

fn typed_text(sql: &str) -> String {
    format!("SELECT CAST(COLUMNS(*) AS VARCHAR), typeof(COLUMNS(*)) FROM (\n{sql}\n) AS lakefeed_answer")
}

fn json_object(sql: &str) -> String {
    format!("SELECT to_json(lakefeed_answer) FROM (\n{sql}\n) AS lakefeed_answer")
}

fn csv_line<'a>(line: &mut String, fields: impl Iterator<Item = Option<&'a str>>) {
    for (i, field) in fields.enumerate() {
        if i > 0 {
            line.push(',');
        }
        match field {
            None => {}
            Some(text) if text.is_empty() || text.contains([',', '"', '\n', '\r']) => {
                line.push('"');
                line.push_str(&text.replace('"', "\"\""));
                line.push('"');
            }
            Some(text) => line.push_str(text),
        }
    }
    line.push('\n');
}

/// DuckDB writes `NaN` and `Infinity`, which JSON does not have: they become null. Texts stay as they are.
fn without_non_finite(json: &str) -> Cow<'_, str> {
    if !json.contains("NaN") && !json.contains("Infinity") {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len());
    let (mut rest, mut quoted) = (json, false);
    while let Some(first) = rest.chars().next() {
        let token = ["NaN", "-Infinity", "Infinity"].into_iter().find(|token| !quoted && rest.starts_with(token));
        let length = match (token, first) {
            (Some(token), _) => {
                out.push_str("null");
                rest = &rest[token.len()..];
                continue;
            }
            (None, '\\') if quoted => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            (None, _) => first.len_utf8(),
        };
        quoted ^= first == '"';
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    Cow::Owned(out)
}

fn broken(error: std::io::Error) -> Error {
    Error::config("can't write the answer").with_source(error)
}

fn unprintable(error: duckdb::arrow::error::ArrowError) -> Error {
    Error::config("can't print the answer").with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_json_has_no_number_for_is_null() {
        for (from, to) in [
            (r#"{"a":NaN,"b":[-Infinity,Infinity,1]}"#, r#"{"a":null,"b":[null,null,1]}"#),
            (r#"{"NaN":"NaN","b":"\"NaN","c":NaN}"#, r#"{"NaN":"NaN","b":"\"NaN","c":null}"#),
            (r#"{"ü":"\\","b":NaN}"#, r#"{"ü":"\\","b":null}"#),
            ("{}", "{}"),
        ] {
            assert_eq!(without_non_finite(from), to);
        }
    }

    #[test]
    fn csv_fields_are_quoted_where_they_must_be() {
        let mut line = String::new();
        csv_line(&mut line, [Some("a"), None, Some(""), Some("x,y"), Some("say \"hi\""), Some("1\n2")].into_iter());
        assert_eq!(line, "a,,\"\",\"x,y\",\"say \"\"hi\"\"\",\"1\n2\"\n");
    }
}
