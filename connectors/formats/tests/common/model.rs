//! The rules of inference once more, slowly, over `serde_json` values: what the decoder is compared with.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, RecordBatch, StructArray};
use arrow_schema::DataType;
use serde_json::{Map, Number, Value};

/// What is known of a column.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Unknown,
    Bool,
    Int { wide: bool },
    Float,
    Text,
    Object(Vec<(String, Self)>),
    List(Box<Self>),
}

fn exact(value: i64) -> bool {
    value as f64 as i128 == i128::from(value)
}

/// The kind after one more value; `None` if it does not fit.
pub(crate) fn unify(kind: &Kind, value: &Value, text: bool) -> Option<Kind> {
    let fit = match (kind, value) {
        (_, Value::Null) => Some(kind.clone()),
        (Kind::Text, Value::String(_)) | (Kind::Unknown, Value::String(_)) => Some(Kind::Text),
        (Kind::Text, _) if text => Some(Kind::Text),
        (Kind::Unknown | Kind::Bool, Value::Bool(_)) => Some(Kind::Bool),
        (Kind::Unknown, Value::Number(n)) => match n.as_i64() {
            Some(i) => Some(Kind::Int { wide: !exact(i) }),
            None => float_of(n).map(|_| Kind::Float),
        },
        (Kind::Int { wide }, Value::Number(n)) => match n.as_i64() {
            Some(i) => Some(Kind::Int { wide: *wide || !exact(i) }),
            None => float_of(n).filter(|_| !wide).map(|_| Kind::Float),
        },
        (Kind::Float, Value::Number(n)) => float_of(n).map(|_| Kind::Float),
        (Kind::Unknown, Value::Object(members)) => unify_object(&[], members, text),
        (Kind::Object(fields), Value::Object(members)) => unify_object(fields, members, text),
        (Kind::Unknown, Value::Array(items)) => unify_list(&Kind::Unknown, items, text),
        (Kind::List(item), Value::Array(items)) => unify_list(item, items, text),
        _ => None,
    };
    fit.or(text.then_some(Kind::Text))
}

/// The number as a double, if nothing of an integer is lost.
fn float_of(n: &Number) -> Option<f64> {
    let exact = n.is_f64() || n.as_i64().is_some_and(exact) || n.as_u64().is_some_and(|u| u as f64 as u128 == u128::from(u));
    n.as_f64().filter(|_| exact)
}

pub(crate) fn unify_object(fields: &[(String, Kind)], members: &Map<String, Value>, text: bool) -> Option<Kind> {
    let mut fields = fields.to_vec();
    for (name, value) in members {
        match fields.iter_mut().find(|(known, _)| known == name) {
            Some((_, kind)) => *kind = unify(kind, value, text)?,
            None => fields.push((name.clone(), unify(&Kind::Unknown, value, text)?)),
        }
    }
    Some(Kind::Object(fields))
}

fn unify_list(item: &Kind, items: &[Value], text: bool) -> Option<Kind> {
    let mut item = item.clone();
    for value in items {
        item = unify(&item, value, text)?;
    }
    Some(Kind::List(Box::new(item)))
}

/// Whether a column of this kind is in the batch.
pub(crate) fn typed(kind: &Kind) -> bool {
    match kind {
        Kind::Unknown => false,
        Kind::Object(fields) => fields.iter().any(|(_, kind)| typed(kind)),
        Kind::List(item) => typed(item),
        _ => true,
    }
}

/// The cell that a value becomes in a column of this kind. Members are sorted, missing ones are null.
pub(crate) fn cell(kind: &Kind, value: Option<&Value>) -> Value {
    match (kind, value) {
        (_, None | Some(Value::Null)) => Value::Null,
        (Kind::Text, Some(Value::String(text))) => Value::String(text.clone()),
        (Kind::Text, Some(other)) => Value::String(other.to_string()),
        (Kind::Float, Some(Value::Number(n))) => Value::from(n.as_f64().expect("a double")),
        (Kind::Object(fields), Some(Value::Object(members))) => object_cell(fields, members),
        (Kind::List(item), Some(Value::Array(items))) => items.iter().map(|value| cell(item, Some(value))).collect(),
        (_, Some(value)) => value.clone(),
    }
}

pub(crate) fn object_cell(fields: &[(String, Kind)], members: &Map<String, Value>) -> Value {
    let cells = fields.iter().filter(|(_, kind)| typed(kind)).map(|(name, kind)| (name.clone(), cell(kind, members.get(name))));
    sorted(cells)
}

fn sorted(cells: impl Iterator<Item = (String, Value)>) -> Value {
    let mut cells: Vec<_> = cells.collect();
    cells.sort_by(|a, b| a.0.cmp(&b.0));
    Value::Object(cells.into_iter().collect())
}

/// The rows of a batch, read cell by cell.
pub(crate) fn rows_of(batch: &RecordBatch) -> Vec<Value> {
    let rows = StructArray::try_new_with_length(batch.schema().fields().clone(), batch.columns().to_vec(), None, batch.num_rows());
    let rows = rows.expect("a batch");
    (0..batch.num_rows()).map(|row| read(&rows, row)).collect()
}

fn read(array: &dyn Array, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Boolean => array.as_boolean().value(row).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row).into(),
        DataType::Utf8 => array.as_string::<i32>().value(row).into(),
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            (0..items.len()).map(|i| read(&items, i)).collect()
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            sorted(fields.iter().zip(columns).map(|(field, column)| (field.name().clone(), read(column, row))))
        }
        other => panic!("no such type comes from plain JSON: {other}"),
    }
}
