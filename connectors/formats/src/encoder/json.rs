//! Rows as JSON with a schema: Kafka Connect's beside each row, or a JSON Schema in a registry.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BinaryArray, RecordBatch};
use arrow_cast::cast;
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use serde_json::{Map, Value, json};

use super::registered::{Writer, exactly, no_field, prefix};
use super::{Written, no_form};
use crate::json_lines::Nulls;
use crate::json_schema;
use crate::typed::{Field as TypedField, Type};

impl Written<'_> {
    /// Rows as JSON with their schema, as Kafka Connect's JsonConverter writes them with `schemas.enable` (Apache Kafka, `JsonConverter`,
    /// `JsonSchema`). `name` is that of a record's schema.
    ///
    /// # Errors
    /// Which column has a type that has no place in such a schema.
    pub fn json_with_schema(self, name: &str) -> Result<BinaryArray, String> {
        let schema = connect_schema(&self.rows.schema(), self.single, name, "JsonConverter with a schema")?;
        self.json_between(format!("{{\"schema\":{schema},\"payload\":").as_bytes(), b"}")
    }

    /// Rows as JSON between two texts, with times as the numbers that Kafka Connect has for them.
    fn json_between(self, before: &[u8], after: &[u8]) -> Result<BinaryArray, String> {
        let numbers = |array: &ArrayRef| cast(array, &as_numbers(array.data_type()));
        let arrays = self.rows.columns().iter().map(numbers).collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
        let schema = self.rows.schema();
        let names = schema.fields().iter().map(|field| field.name());
        let rows = RecordBatch::try_from_iter(names.zip(arrays)).map_err(|e| e.to_string())?;
        Written { rows: &rows, single: self.single }.around(before, after, Nulls::Written, false)
    }
}

/// The type with numbers in the place of times.
fn as_numbers(kind: &DataType) -> DataType {
    let inside = |field: &Arc<Field>| Arc::new(field.as_ref().clone().with_data_type(as_numbers(field.data_type())));
    match kind {
        DataType::Date32 | DataType::Time32(TimeUnit::Millisecond) => DataType::Int32,
        DataType::Timestamp(TimeUnit::Millisecond, _) => DataType::Int64,
        DataType::List(item) => DataType::List(inside(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inside).collect()),
        other => other.clone(),
    }
}

/// Kafka Connect's schema of rows. `converter` is for messages.
fn connect_schema(columns: &Schema, single: bool, name: &str, converter: &str) -> Result<Value, String> {
    let described = |field: &Arc<Field>| connect_type(field.data_type()).map(optional).ok_or_else(|| no_form(field, converter));
    if let Some(field) = columns.fields().iter().find(|_| single) {
        return described(field);
    }
    let member = |field: &Arc<Field>| {
        let mut kind = described(field)?;
        kind["field"] = json!(field.name());
        Ok(kind)
    };
    let fields = columns.fields().iter().map(member).collect::<Result<Vec<_>, String>>()?;
    Ok(json!({"type": "struct", "fields": fields, "optional": false, "name": name}))
}

fn optional(mut kind: Value) -> Value {
    kind["optional"] = json!(true);
    kind
}

fn connect_type(kind: &DataType) -> Option<Value> {
    let logical = |kind: &str, name: &str| json!({"type": kind, "name": format!("org.apache.kafka.connect.data.{name}"), "version": 1});
    Some(match kind {
        DataType::Boolean => json!({"type": "boolean"}),
        DataType::Int32 => json!({"type": "int32"}),
        DataType::Int64 => json!({"type": "int64"}),
        DataType::Float32 => json!({"type": "float"}),
        DataType::Float64 => json!({"type": "double"}),
        DataType::Utf8 => json!({"type": "string"}),
        DataType::Binary => json!({"type": "bytes"}),
        DataType::Date32 => logical("int32", "Date"),
        DataType::Time32(TimeUnit::Millisecond) => logical("int32", "Time"),
        DataType::Timestamp(TimeUnit::Millisecond, Some(_)) => logical("int64", "Timestamp"),
        DataType::List(item) => json!({"type": "array", "items": optional(connect_type(item.data_type())?)}),
        DataType::Struct(fields) => {
            let member = |field: &Arc<Field>| {
                let mut kind = optional(connect_type(field.data_type())?);
                kind["field"] = json!(field.name());
                Some(kind)
            };
            json!({"type": "struct", "fields": fields.iter().map(member).collect::<Option<Vec<_>>>()?})
        }
        _ => return None,
    })
}

/// The JSON Schema of rows.
pub(super) fn schema_of(columns: &Schema, single: bool, name: &str) -> Result<String, String> {
    let mut schema = json_schema_of(&connect_schema(columns, single, name, "JsonSchemaConverter")?);
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    Ok(schema.to_string())
}

/// What Confluent's JsonSchemaConverter makes of a schema of Kafka Connect (`JsonSchemaData`): annotations say which of Connect's types it was, and, as
/// members of JSON have no order, where a field stood.
fn json_schema_of(connect: &Value) -> Value {
    let of = |name: &str| connect.get(name).and_then(Value::as_str).unwrap_or_default();
    let (kind, own) = match of("type") {
        "int32" => ("integer", Some("int32")),
        "int64" => ("integer", Some("int64")),
        "float" => ("number", Some("float32")),
        "double" => ("number", Some("float64")),
        "bytes" => ("string", Some("bytes")),
        "struct" => ("object", None),
        other => (other, None),
    };
    let mut schema = json!({"type": kind});
    let notes = [
        ("connect.type", own.map(Value::from)),
        ("title", connect.get("name").cloned()),
        ("connect.version", connect.get("version").cloned()),
    ];
    notes.into_iter().filter_map(|(name, note)| Some((name, note?))).for_each(|(name, note)| schema[name] = note);
    if let Some(items) = connect.get("items") {
        schema["items"] = json_schema_of(items);
    }
    if let Some(fields) = connect.get("fields").and_then(Value::as_array) {
        let property = |(index, field): (usize, &Value)| {
            let mut property = json_schema_of(field);
            property["connect.index"] = json!(index);
            (field["field"].as_str().unwrap_or_default().to_owned(), property)
        };
        schema["properties"] = fields.iter().enumerate().map(property).collect::<Map<_, _>>().into();
    }
    if connect["optional"] == true { json!({"oneOf": [{"type": "null"}, schema]}) } else { schema }
}

/// Writes rows as JSON by a JSON Schema.
#[derive(Debug)]
pub(super) struct JsonWriter {
    fields: Vec<TypedField>,
    /// Whether rows may have members that the schema does not name.
    open: bool,
    id: u32,
    single: bool,
}

impl JsonWriter {
    pub(super) fn new(schema: &str, id: u32, single: bool) -> Result<Self, String> {
        let fields = json_schema::parse(schema)?.into_row();
        let parsed: Value = serde_json::from_str(schema).map_err(|e| format!("the schema is no JSON: {e}"))?;
        Ok(Self { fields, open: parsed["additionalProperties"] != false, id, single })
    }
}

impl Writer for JsonWriter {
    fn fields(&self) -> &[TypedField] {
        &self.fields
    }

    /// Columns are cast to the simple types of the schema.
    fn write(&mut self, rows: &RecordBatch) -> Result<BinaryArray, String> {
        let schema = rows.schema();
        let column = |(field, array): (&Arc<Field>, &ArrayRef)| {
            let known = self.fields.iter().find(|known| *known.name == **field.name());
            let array = match known.map(|known| &known.kind) {
                Some(Type::Leaf { kind, .. }) => exactly(array, kind).map_err(|e| format!("field {}: {e}", field.name()))?,
                None if !self.open => return Err(no_field(self.id, field.name())),
                _ => Arc::clone(array),
            };
            Ok((field.name().clone(), array))
        };
        let columns = schema.fields().iter().zip(rows.columns()).map(column).collect::<Result<Vec<_>, String>>()?;
        let rows = RecordBatch::try_from_iter(columns).map_err(|e| e.to_string())?;
        Written { rows: &rows, single: self.single }.json_between(&prefix(self.id), b"")
    }
}
