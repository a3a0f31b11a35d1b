//! One type for the values of several, and the columns of a topic as they grow.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, ListArray, RecordBatch, RecordBatchOptions, StructArray, new_null_array};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow_select::interleave::interleave;
use lakefeed_core::Result;

use super::cell::{has_value, texts};
use super::rows::{Beside, Columns, Gone, Losses, Rows, failed, other_type};
use crate::number::is_exact_in_f64;
use crate::schema::sql_name;

/// The type that holds the values of both: the wider number, the fields of both structs, text for any other two without parts. What only the
/// decoder changes is as the later, `b`, has it: digits of decimals, values of maps, and a struct or list that has become text with all its
/// values (`schema.conflict=text`). `None`: there is none.
pub(super) fn unified(a: &DataType, b: &DataType) -> Option<DataType> {
    Some(match (a, b) {
        _ if a == b => a.clone(),
        (DataType::Null, other) | (other, DataType::Null) => other.clone(),
        (DataType::Struct(a), DataType::Struct(b)) => {
            let mut fields: Vec<FieldRef> = a.iter().cloned().collect();
            for field in b {
                match fields.iter_mut().find(|known| known.name() == field.name()) {
                    Some(known) => *known = retyped(known, unified(known.data_type(), field.data_type())?),
                    None => fields.push(Arc::clone(field)),
                }
            }
            DataType::Struct(fields.into())
        }
        (DataType::List(a), DataType::List(b)) => DataType::List(retyped(a, unified(a.data_type(), b.data_type())?)),
        (DataType::Int32, DataType::Int64) | (DataType::Int64, DataType::Int32) => DataType::Int64,
        _ if is_number(a) && is_number(b) => DataType::Float64,
        _ if std::mem::discriminant(a) == std::mem::discriminant(b) => b.clone(),
        (_, DataType::Utf8) => DataType::Utf8,
        _ if a.is_nested() || b.is_nested() => return None,
        _ => DataType::Utf8,
    })
}

fn retyped(field: &Field, kind: DataType) -> FieldRef {
    Arc::new(field.clone().with_data_type(kind))
}

fn is_number(kind: &DataType) -> bool {
    matches!(kind, DataType::Int32 | DataType::Int64 | DataType::Float32 | DataType::Float64)
}

/// The column as one of `kind`, and the rows whose values that can't hold.
pub(crate) fn fit(array: &ArrayRef, kind: &DataType) -> Result<(ArrayRef, Vec<usize>)> {
    let from = array.data_type();
    if from == kind {
        return Ok((Arc::clone(array), Vec::new()));
    }
    Ok(match (from, kind) {
        (DataType::Null, _) => (new_null_array(kind, array.len()), Vec::new()),
        (_, DataType::Utf8) if !from.is_nested() => (Arc::new(texts(array)), Vec::new()),
        _ if is_number(from) && is_number(kind) => {
            let mut lossy = Vec::new();
            if let Some(values) = array.as_primitive_opt::<Int64Type>().filter(|_| kind == &DataType::Float64) {
                lossy.extend((0..values.len()).filter(|row| values.is_valid(*row) && !is_exact_in_f64(values.value(*row))));
            }
            (arrow_cast::cast(array, kind).map_err(failed)?, lossy)
        }
        (DataType::Struct(_), DataType::Struct(fields)) => fit_struct(array.as_struct(), fields)?,
        (DataType::List(_), DataType::List(item)) => fit_list(array.as_list(), item)?,
        _ => (new_null_array(kind, array.len()), rows_with(&has_value(array)).collect()),
    })
}

fn rows_with(full: &[bool]) -> impl Iterator<Item = usize> {
    full.iter().enumerate().filter(|(_, full)| **full).map(|(row, _)| row)
}

fn fit_struct(array: &StructArray, fields: &arrow_schema::Fields) -> Result<(ArrayRef, Vec<usize>)> {
    let (mut arrays, mut bad) = (Vec::with_capacity(fields.len()), Vec::new());
    for field in fields {
        let fitted = match array.column_by_name(field.name()) {
            Some(child) => fit(child, field.data_type())?,
            None => (new_null_array(field.data_type(), array.len()), Vec::new()),
        };
        arrays.push(fitted.0);
        bad.extend(fitted.1);
    }
    let array = StructArray::try_new_with_length(fields.clone(), arrays, array.nulls().cloned(), array.len()).map_err(failed)?;
    Ok((Arc::new(array), bad))
}

fn fit_list(array: &ListArray, item: &FieldRef) -> Result<(ArrayRef, Vec<usize>)> {
    let (items, bad_items) = fit(array.values(), item.data_type())?;
    let offsets = array.offsets();
    let mut bad: Vec<usize> =
        bad_items.iter().map(|at| offsets.partition_point(|start| *start as usize <= *at).saturating_sub(1)).collect();
    bad.retain(|row| *row < array.len());
    let array = ListArray::try_new(Arc::clone(item), offsets.clone(), items, array.nulls().cloned()).map_err(failed)?;
    Ok((Arc::new(array), bad))
}

/// The name of a type for messages, as SQL has it.
pub(super) fn type_name(kind: &DataType) -> String {
    match kind {
        DataType::Struct(_) => "STRUCT".into(),
        DataType::List(_) => "LIST".into(),
        DataType::Map(..) => "MAP".into(),
        other => sql_name(other).map_or_else(|| other.to_string(), str::to_owned),
    }
}

/// The columns of a topic behind its transforms. They only grow, as those of the decoder do, also when a transform takes some records only:
/// a sink gives rows that wait the columns of later ones.
#[derive(Debug, Default)]
pub(super) struct Growing {
    fields: Vec<FieldRef>,
    /// By the name in lower case: readers of the lake do not tell `pm` from `PM`.
    by_name: HashMap<String, usize>,
    schema: Option<SchemaRef>,
}

impl Growing {
    /// The rows as a batch of all columns so far. Of two columns of one name only one may have a value in a row.
    pub(super) fn batch(&mut self, rows: Rows, losses: &mut Losses) -> Result<(RecordBatch, Vec<u32>, Beside)> {
        // The columns of no rows have nothing to say: a transform may have left out some of them.
        let places = if rows.indices.is_empty() { vec![Vec::new(); self.fields.len()] } else { self.place(&rows) };
        let mut gone = Vec::new();
        let mut arrays = Vec::with_capacity(self.fields.len());
        for (field, sources) in self.fields.iter().zip(places) {
            let mut candidates = Vec::with_capacity(sources.len());
            for source in sources {
                let array = &rows.columns.all[source].1;
                let (fitted, bad) = fit(array, field.data_type())?;
                gone.extend(bad.into_iter().map(|row| (row, other_type(field.name(), Some(array), field.data_type()))));
                candidates.push(fitted);
            }
            arrays.push((Arc::clone(field), one_of(field, candidates, rows.columns.rows, &mut gone)?));
        }
        let rows = Rows { columns: Columns { all: arrays, rows: rows.columns.rows }, ..rows };
        let rows = rows.without(gone, losses)?;
        let schema = self.schema.get_or_insert_with(|| Arc::new(Schema::new(self.fields.clone())));
        let options = RecordBatchOptions::new().with_row_count(Some(rows.columns.rows));
        let arrays = rows.columns.all.into_iter().map(|(_, array)| array).collect();
        let batch = RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options).map_err(failed)?;
        Ok((batch, rows.indices, rows.beside))
    }

    /// For each column the numbers of the rows' columns that belong there. Columns are added and widened.
    fn place(&mut self, rows: &Rows) -> Vec<Vec<usize>> {
        let mut places = vec![Vec::new(); self.fields.len()];
        for (number, (field, array)) in rows.columns.all.iter().enumerate() {
            let place = *self.by_name.entry(field.name().to_lowercase()).or_insert(self.fields.len());
            match self.fields.get_mut(place) {
                None => {
                    self.fields.push(Arc::clone(field));
                    places.push(Vec::new());
                    self.schema = None;
                }
                Some(known) if known.data_type() != array.data_type() => {
                    // What has no place in the type of the values before is rejected.
                    let kind = unified(known.data_type(), array.data_type()).unwrap_or_else(|| known.data_type().clone());
                    if known.data_type() != &kind {
                        *known = retyped(known, kind);
                        self.schema = None;
                    }
                }
                Some(_) => {}
            }
            places[place].push(number);
        }
        places
    }
}

/// The one column that several of one name are.
fn one_of(field: &Field, mut candidates: Vec<ArrayRef>, rows: usize, gone: &mut Vec<(usize, Gone)>) -> Result<ArrayRef> {
    let Some(last) = candidates.pop() else { return Ok(new_null_array(field.data_type(), rows)) };
    if candidates.is_empty() {
        return Ok(last);
    }
    candidates.push(last);
    let full: Vec<_> = candidates.iter().map(has_value).collect();
    let mut picks = Vec::with_capacity(rows);
    for row in 0..rows {
        let mut found = (0..full.len()).filter(|i| full[*i][row]);
        picks.push((found.next().unwrap_or(0), row));
        if found.next().is_some() {
            let message =
                "two fields have this name behind the transforms (SQL does not tell upper from lower case): rename or exclude one of them";
            gone.push((row, Gone::rejected(field.name(), message)));
        }
    }
    let arrays: Vec<&dyn Array> = candidates.iter().map(|array| &**array).collect();
    interleave(&arrays, &picks).map_err(failed)
}
