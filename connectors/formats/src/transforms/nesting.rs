//! Structs that are made, taken apart and flattened.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, StructArray};
use arrow_schema::{DataType, FieldRef};
use arrow_select::nullif::nullif;
use lakefeed_core::{Config, ConfigError, Result};

use super::cell::has_value;
use super::config::Made;
use super::rows::{Columns, Gone, Rows, column, failed};
use super::{Done, Transform, VALUE};

/// `ExtractField`: a field in the place of the value. A struct's fields become the columns, another value the column `value`; a null is a
/// tombstone, and so is a value without anything in it: while no record has had more there, the decoder has no column for it.
#[derive(Debug)]
pub(super) struct ExtractField {
    path: Vec<String>,
}

impl ExtractField {
    pub(super) fn make(config: &Config) -> Made {
        let field = config.text("field");
        let path = match config.text("field.syntax.version") {
            "V2" => split_path(field).ok_or_else(|| {
                ConfigError::value("field", field, "expected names with points between them, in backticks where a name has a point")
            })?,
            _ => vec![field.to_owned()],
        };
        Ok(Transform::ExtractField(Self { path }))
    }

    pub(super) fn apply(&self, rows: Rows) -> Result<Done> {
        let mut found: Option<ArrayRef> = None;
        for (depth, name) in self.path.iter().enumerate() {
            found = match (depth, found) {
                (0, _) => rows.columns.get(name).cloned(),
                (_, Some(parent)) => child(&parent, name)?,
                (_, None) => None,
            };
        }
        let count = rows.columns.rows;
        let full = found.as_ref().map_or_else(|| vec![false; count], has_value);
        let gone = (0..count).filter(|row| !full[*row]).map(|row| (row, Gone::Tombstone)).collect();
        let all = match &found {
            None => Vec::new(),
            Some(array) => match array.as_struct_opt() {
                Some(parts) => members(parts)?,
                None => vec![column(VALUE, Arc::clone(array))],
            },
        };
        let single = found.is_some_and(|array| array.as_struct_opt().is_none());
        Ok(Done { rows: Rows { columns: Columns { all, rows: count }, single, ..rows }, gone })
    }
}

/// The names of a path in version 2 of Kafka Connect's syntax (KIP-821): points between them, backticks around a name with points.
fn split_path(text: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = text;
    loop {
        let (name, after) = match rest.strip_prefix('`') {
            Some(quoted) => quoted.split_once('`').map(|(name, after)| (name, after.strip_prefix('.').ok_or(after)))?,
            None => rest.split_once('.').map_or((rest, Err("")), |(name, after)| (name, Ok(after))),
        };
        if name.is_empty() {
            return None;
        }
        names.push(name.to_owned());
        match after {
            Ok(after) => rest = after,
            Err("") => return Some(names),
            Err(_) => return None,
        }
    }
}

/// A field of a struct, null where the struct is; `None` if there is none.
fn child(parent: &ArrayRef, name: &str) -> Result<Option<ArrayRef>> {
    let Some(parts) = parent.as_struct_opt() else { return Ok(None) };
    parts.column_by_name(name).map(|array| inside(parts, array)).transpose()
}

/// A field of a struct, null where the struct is.
fn inside(parts: &StructArray, array: &ArrayRef) -> Result<ArrayRef> {
    match parts.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => Ok(Arc::clone(array)),
        Some(nulls) => nullif(array, &BooleanArray::new(!nulls.inner(), None)).map_err(failed),
    }
}

fn members(parts: &StructArray) -> Result<Vec<(FieldRef, ArrayRef)>> {
    parts.fields().iter().zip(parts.columns()).map(|(field, array)| Ok((Arc::clone(field), inside(parts, array)?))).collect()
}

/// `HoistField`: the value as the one field of a struct.
#[derive(Debug)]
pub(super) struct HoistField {
    field: String,
}

impl HoistField {
    pub(super) fn make(config: &Config) -> Made {
        Ok(Transform::HoistField(Self { field: config.text("field").to_owned() }))
    }

    pub(super) fn apply(&self, mut rows: Rows) -> Result<Rows> {
        let Columns { all, rows: count } = rows.columns;
        rows.columns = if all.is_empty() {
            // A struct without fields has no place in a file.
            Columns { all, rows: count }
        } else if rows.single {
            Columns { all: all.into_iter().map(|(_, array)| column(&self.field, array)).collect(), rows: count }
        } else {
            let (fields, arrays): (Vec<_>, Vec<_>) = all.into_iter().unzip();
            let hoisted = StructArray::try_new_with_length(fields.into(), arrays, None, count).map_err(failed)?;
            Columns { all: vec![column(&self.field, Arc::new(hoisted))], rows: count }
        };
        rows.single = false;
        Ok(rows)
    }
}

/// `Flatten`: the fields of structs as columns whose names are their paths. Lists and maps stay what they are.
#[derive(Debug)]
pub(super) struct Flatten {
    delimiter: String,
}

impl Flatten {
    pub(super) fn make(config: &Config) -> Made {
        Ok(Transform::Flatten(Self { delimiter: config.text("delimiter").to_owned() }))
    }

    pub(super) fn apply(&self, mut rows: Rows) -> Result<Rows> {
        let mut flat = Vec::with_capacity(rows.columns.all.len());
        for (field, array) in rows.columns.all {
            self.flatten(field.name().clone(), field, array, &mut flat)?;
        }
        rows.columns.all = flat;
        Ok(rows)
    }

    /// The structs are those of a decoded value, whose depth is bounded.
    fn flatten(&self, name: String, field: FieldRef, array: ArrayRef, flat: &mut Vec<(FieldRef, ArrayRef)>) -> Result<()> {
        match (array.data_type(), array.as_struct_opt()) {
            (DataType::Struct(_), Some(parts)) => {
                for (field, array) in members(parts)? {
                    self.flatten(format!("{name}{}{}", self.delimiter, field.name()), field, array, flat)?;
                }
            }
            _ if *field.name() == name => flat.push((field, array)),
            _ => flat.push(column(&name, array)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_version_2() {
        let names = |text: &str| split_path(text).map(|names| names.join("|"));
        for (text, expected) in [
            ("a", Some("a")),
            ("a.b.c", Some("a|b|c")),
            ("`a.b`.c", Some("a.b|c")),
            ("a.`b.c`", Some("a|b.c")),
            ("", None),
            ("a..b", None),
            ("a.", None),
            ("`a", None),
            ("`a`b", None),
        ] {
            assert_eq!(names(text).as_deref(), expected, "{text}");
        }
    }
}
