//! Keys beside the rows: `ValueToKey`, transforms of keys, and what a key is as text.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BinaryArray, RecordBatch, UInt32Array, new_null_array};
use arrow_schema::DataType;
use arrow_select::take::take;
use lakefeed_core::{Config, Result};
use serde_json::{Map, Value};

use super::cell::{Cell, cells, has_value};
use super::config::Made;
use super::rows::{Columns, Gone, Rows, column, failed};
use super::{Done, Transform, VALUE};
use crate::Decoded;
use crate::json_lines::{Nulls, write_json_lines};
use crate::number::whole;

/// `ValueToKey`: fields of the value as the key. A field that is not there is null.
#[derive(Debug)]
pub(super) struct ValueToKey {
    fields: Vec<String>,
}

impl ValueToKey {
    pub(super) fn make(config: &Config) -> Made {
        Ok(Transform::ValueToKey(Self { fields: config.list("fields").into_iter().map(str::to_owned).collect() }))
    }

    pub(super) fn apply(&self, mut rows: Rows) -> Rows {
        let count = rows.columns.rows;
        let array = |field: &String| rows.columns.get(field).cloned().unwrap_or_else(|| new_null_array(&DataType::Utf8, count));
        let all = self.fields.iter().map(|field| column(field, array(field))).collect();
        rows.beside.key = Some((Columns { all, rows: count }, false));
        rows
    }
}

/// Does to the keys what `transform` does to values. A key that becomes null is none.
pub(super) fn of_keys(mut rows: Rows, transform: impl FnOnce(Rows) -> Result<Done>) -> Result<Done> {
    let Some((keys, single_key)) = rows.beside.key.take() else { return Ok(rows.into()) };
    let (values, single) = (std::mem::replace(&mut rows.columns, keys), std::mem::replace(&mut rows.single, single_key));
    let Done { mut rows, mut gone } = transform(rows)?;
    gone.retain(|(_, why)| matches!(why, Gone::Rejected { .. }));
    rows.beside.key = Some((std::mem::replace(&mut rows.columns, values), std::mem::replace(&mut rows.single, single)));
    Ok(Done { rows, gone })
}

/// For each row whether it has a key.
pub(super) fn present(keys: &Columns) -> Vec<bool> {
    any_of(keys.all.iter().map(|(_, array)| array), keys.rows)
}

fn any_of<'a>(columns: impl Iterator<Item = &'a ArrayRef>, rows: usize) -> Vec<bool> {
    let full: Vec<_> = columns.map(has_value).collect();
    (0..rows).map(|row| full.iter().any(|column| column[row])).collect()
}

/// For each row of the columns of keys whether it is one.
pub fn keys_present(keys: &RecordBatch) -> Vec<bool> {
    any_of(keys.columns().iter(), keys.num_rows())
}

/// The decoded keys of these records, which ascend.
pub(super) fn beside(indices: &[u32], keys: &Decoded) -> Result<(Columns, bool)> {
    let place = |record: &u32| keys.indices.binary_search(record).ok().map(|at| at as u32);
    let places: UInt32Array = indices.iter().map(place).collect();
    let schema = keys.rows.schema();
    let taken = schema.fields().iter().zip(keys.rows.columns());
    let all = taken.map(|(field, array)| Ok(column(field.name(), take(array, &places, None).map_err(failed)?)));
    Ok((Columns { all: all.collect::<Result<_>>()?, rows: indices.len() }, keys.single))
}

/// Keys as text: a single value as it is, a struct as JSON, its members by name and without those that are null. As everywhere a whole number has
/// no point. So a key has one text, whatever came before it.
///
/// # Errors
/// `Fatal`: a mistake of this crate.
pub fn key_texts(rows: &RecordBatch, single: bool) -> Result<BinaryArray> {
    if let Some(array) = rows.column_by_name(VALUE).filter(|_| single) {
        return Ok(match array.as_binary_opt::<i32>() {
            Some(bytes) => bytes.clone(),
            None => shown(array)?.iter().map(|text| text.as_ref().map(String::as_bytes)).collect(),
        });
    }
    let schema = rows.schema();
    let mut columns = BTreeMap::new();
    for (field, array) in schema.fields().iter().zip(rows.columns()) {
        columns.insert(field.name(), json_values(array)?);
    }
    let text = |row: usize| {
        let members = columns.iter().map(|(name, values)| ((*name).clone(), values[row].clone()));
        let members: Map<String, Value> = members.filter(|(_, value)| !value.is_null()).collect();
        (!members.is_empty()).then(|| Value::Object(members).to_string())
    };
    Ok((0..rows.num_rows()).map(text).collect::<Vec<_>>().iter().map(|text| text.as_ref().map(String::as_bytes)).collect())
}

/// A column as texts, as SimpleHeaderConverter and StringConverter have them: what has parts as JSON.
pub(super) fn shown(array: &ArrayRef) -> Result<Vec<Option<String>>> {
    if array.data_type().is_nested() {
        return Ok(json_values(array)?.into_iter().map(|value| (!value.is_null()).then(|| value.to_string())).collect());
    }
    let cell = cells(array);
    Ok((0..array.len()).map(|row| cell(row).text()).collect())
}

fn json_values(array: &ArrayRef) -> Result<Vec<Value>> {
    if array.data_type().is_nested() {
        let failed = |e| lakefeed_core::Error::fatal("can't write a value as JSON").with_source(e);
        let batch = RecordBatch::try_from_iter([(VALUE, ArrayRef::clone(array))]).map_err(self::failed)?;
        let mut lines = Vec::new();
        write_json_lines(&batch, Nulls::LeftOut, &mut lines).map_err(failed)?;
        let values = lines.split(|byte| *byte == b'\n').take(array.len());
        return Ok(values.map(|line| serde_json::from_slice::<Value>(line).unwrap_or_default()[VALUE].take()).collect());
    }
    let cell = cells(array);
    let value = |row: usize| match cell(row) {
        Cell::Bool(value) => Value::from(value),
        Cell::Int(value) => Value::from(value),
        Cell::Float(value) => whole(value).map_or_else(|| Value::from(value), Value::from),
        other => other.text().map_or(Value::Null, Value::from),
    };
    Ok((0..array.len()).map(value).collect())
}
