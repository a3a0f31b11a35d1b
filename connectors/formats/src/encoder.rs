//! Columns to the keys and values of records: the way back of the decoder.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow_array::builder::BinaryBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, BinaryArray, RecordBatch, new_null_array};
use arrow_avro::schema::{
    AVRO_FIELD_DEFAULT_METADATA_KEY, AVRO_NAME_METADATA_KEY, AVRO_NAMESPACE_METADATA_KEY, AvroSchema, FingerprintStrategy,
    SCHEMA_METADATA_KEY,
};
use arrow_avro::writer::format::AvroSoeFormat;
use arrow_avro::writer::{Encoder, WriterBuilder};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_cast::{CastOptions, cast, cast_with_options};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use serde_json::{Value, json};

use crate::avro_schema;
use crate::json_lines::{Nulls, write_lines};
use crate::number::is_exact_in_f64;
use crate::typed::{Field as TypedField, Type, Wire};

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

    /// Rows as JSON with their schema, as Kafka Connect's JsonConverter writes them with `schemas.enable` (Apache Kafka, `JsonConverter`,
    /// `JsonSchema`). `name` is that of a record's schema.
    ///
    /// # Errors
    /// Which column has a type that has no place in such a schema.
    pub fn json_with_schema(self, name: &str) -> Result<BinaryArray, String> {
        let schema = self.rows.schema();
        let described =
            |field: &Arc<Field>| connect_type(field.data_type(), true).ok_or_else(|| no_form(field, "JsonConverter with a schema"));
        let kind = match schema.fields().iter().find(|_| self.single) {
            Some(field) => optional(described(field)?),
            None => {
                let member = |field: &Arc<Field>| {
                    let mut kind = optional(described(field)?);
                    kind["field"] = json!(field.name());
                    Ok(kind)
                };
                let fields = schema.fields().iter().map(member).collect::<Result<Vec<_>, String>>()?;
                json!({"type": "struct", "fields": fields, "optional": false, "name": name})
            }
        };
        let numbers = |array: &ArrayRef| match array.data_type() {
            DataType::Date32 => cast(array, &DataType::Int32),
            DataType::Timestamp(TimeUnit::Millisecond, _) => cast(array, &DataType::Int64),
            _ => Ok(Arc::clone(array)),
        };
        let arrays = self.rows.columns().iter().map(numbers).collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
        let names = schema.fields().iter().map(|field| field.name());
        let rows = RecordBatch::try_from_iter(names.zip(arrays)).map_err(|e| e.to_string())?;
        Written { rows: &rows, single: self.single }.around(
            format!("{{\"schema\":{kind},\"payload\":").as_bytes(),
            b"}",
            Nulls::Written,
            false,
        )
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

fn optional(mut kind: Value) -> Value {
    kind["optional"] = json!(true);
    kind
}

fn no_form(field: &Field, converter: &str) -> String {
    format!("column {}: {converter} has no form for {}", field.name(), field.data_type())
}

/// The schema of a column. Times inside of others are written as text, which no schema says.
fn connect_type(kind: &DataType, alone: bool) -> Option<Value> {
    let logical = |kind: &str, name: &str| json!({"type": kind, "name": format!("org.apache.kafka.connect.data.{name}"), "version": 1});
    Some(match kind {
        DataType::Boolean => json!({"type": "boolean"}),
        DataType::Int32 => json!({"type": "int32"}),
        DataType::Int64 => json!({"type": "int64"}),
        DataType::Float32 => json!({"type": "float"}),
        DataType::Float64 => json!({"type": "double"}),
        DataType::Utf8 => json!({"type": "string"}),
        DataType::Binary => json!({"type": "bytes"}),
        DataType::Date32 if alone => logical("int32", "Date"),
        DataType::Timestamp(TimeUnit::Millisecond, Some(_)) if alone => logical("int64", "Timestamp"),
        DataType::List(item) => json!({"type": "array", "items": optional(connect_type(item.data_type(), false)?)}),
        DataType::Struct(fields) => {
            let member = |field: &Arc<Field>| {
                let mut kind = optional(connect_type(field.data_type(), false)?);
                kind["field"] = json!(field.name());
                Some(kind)
            };
            json!({"type": "struct", "fields": fields.iter().map(member).collect::<Option<Vec<_>>>()?})
        }
        _ => return None,
    })
}

/// The Avro schema of rows, as Confluent's converter makes it of a schema whose fields are optional: each field is a union with null, which is
/// its default. A value that is no record has the type of its column.
///
/// # Errors
/// Which column has a name or a type that Avro does not have.
pub fn avro_schema_of(columns: &Schema, single: bool, name: &str) -> Result<String, String> {
    let column =
        |field: &Arc<Field>| if single { Field::new(field.name(), with_defaults(field.data_type()), false) } else { with_default(field) };
    let (space, short) = name.rsplit_once('.').unwrap_or(("", name));
    let mut metadata = HashMap::from([(AVRO_NAME_METADATA_KEY.to_owned(), short.to_owned())]);
    if !space.is_empty() {
        metadata.insert(AVRO_NAMESPACE_METADATA_KEY.to_owned(), space.to_owned());
    }
    let schema = Schema::new_with_metadata(columns.fields().iter().map(column).collect::<Vec<_>>(), metadata);
    if let Some(name) = unfit(schema.fields()) {
        return Err(format!(
            "column '{name}': a name in Avro has letters, digits and _ alone, and begins with no digit: give the columns such names (ReplaceField, \
             csv.columns)"
        ));
    }
    let made = AvroSchema::try_from(&schema).map_err(|e| e.to_string())?;
    let mut made: Value = serde_json::from_str(&made.json_string).map_err(|e| e.to_string())?;
    if single {
        made = made["fields"][0]["type"].take();
    }
    Ok(made.to_string())
}

/// A field that may be null and is so where it is not said: a record without it can be read by the schema.
fn with_default(field: &Arc<Field>) -> Field {
    let null = HashMap::from([(AVRO_FIELD_DEFAULT_METADATA_KEY.to_owned(), "null".to_owned())]);
    Field::new(field.name(), with_defaults(field.data_type()), true).with_metadata(null)
}

fn with_defaults(kind: &DataType) -> DataType {
    match kind {
        DataType::Struct(parts) => DataType::Struct(parts.iter().map(with_default).collect()),
        DataType::List(item) => DataType::List(Arc::new(item.as_ref().clone().with_data_type(with_defaults(item.data_type())))),
        other => other.clone(),
    }
}

/// The first name, of a column or inside of one, that is none in Avro (Avro specification, "Names").
fn unfit(fields: &Fields) -> Option<&str> {
    let fits = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    fields.iter().find_map(|field| match field.data_type() {
        _ if !fits(field.name()) => Some(field.name().as_str()),
        DataType::Struct(parts) => unfit(parts),
        DataType::List(item) => {
            if let DataType::Struct(parts) = item.data_type() {
                unfit(parts)
            } else {
                None
            }
        }
        _ => None,
    })
}

/// The full name of an Avro schema's record; `None` if it is none.
pub fn avro_name(schema: &str) -> Option<String> {
    let schema: Value = serde_json::from_str(schema).ok()?;
    let name = schema.get("name")?.as_str()?;
    let space = schema.get("namespace").and_then(Value::as_str).filter(|space| !space.is_empty() && !name.contains('.'));
    Some(space.map_or_else(|| name.to_owned(), |space| format!("{space}.{name}")))
}

/// Writes rows as Avro behind the id of their schema (Confluent's wire format), with arrow-avro.
#[derive(Debug)]
pub struct AvroWriter {
    fields: Vec<TypedField>,
    /// A record, or a record around the one value: Avro writes both the same.
    record: String,
    id: u32,
    encoder: Option<Encoder>,
}

impl AvroWriter {
    /// A writer of a registered schema.
    ///
    /// # Errors
    /// What is wrong with the schema.
    pub fn new(schema: &str, id: u32) -> Result<Self, String> {
        let fields = avro_schema::parse(schema, &[])?.into_row();
        let parsed: Value = serde_json::from_str(schema).map_err(|e| format!("the schema is no JSON: {e}"))?;
        let record = if parsed["type"] == "record" {
            schema.to_owned()
        } else {
            json!({"type": "record", "name": "Row", "fields": [{"name": VALUE, "type": parsed}]}).to_string()
        };
        Ok(Self { fields, record, id, encoder: None })
    }

    /// Whether it takes columns that were found out from values: it has each of them, of the same type or of numbers that are wider.
    pub fn holds(&self, columns: &Schema) -> bool {
        columns.fields().iter().all(|field| {
            let Some(known) = self.fields.iter().find(|known| *known.name == **field.name()) else { return false };
            match (field.data_type(), &data_type(&known.kind)) {
                (DataType::Int32, Some(DataType::Int64))
                | (DataType::Int32 | DataType::Int64 | DataType::Float32, Some(DataType::Float64)) => true,
                (own, Some(known)) => own == known,
                (_, None) => false,
            }
        })
    }

    /// Writes rows. Columns are cast to the types of the schema; a column that is missing is null.
    ///
    /// # Errors
    /// A column that the schema does not have, or a value that does not fit it.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<BinaryArray, String> {
        let schema = rows.schema();
        let known = |field: &&Arc<Field>| self.fields.iter().any(|known| *known.name == **field.name());
        if let Some(extra) = schema.fields().iter().find(|field| !known(field)) {
            return Err(format!("the schema with id {} has no field '{}': register one that has it", self.id, extra.name()));
        }
        let columns = self.fields.iter().map(|field| {
            let (optional, kind) = target(&field.kind);
            let array = match (rows.column_by_name(&field.name), kind) {
                (Some(array), Some(kind)) if array.data_type() != kind => {
                    if let Some(value) = inexact(array, kind) {
                        return Err(format!("field {}: {value} is no number that a double can hold exactly", field.name));
                    }
                    let exact = CastOptions { safe: false, ..CastOptions::default() };
                    cast_with_options(array, kind, &exact).map_err(|e| format!("field {}: {e}", field.name))?
                }
                (Some(array), _) => Arc::clone(array),
                (None, Some(kind)) => new_null_array(kind, rows.num_rows()),
                (None, None) => return Err(format!("field {}: the rows do not have it, and it has no simple type", field.name)),
            };
            Ok((Field::new(&*field.name, array.data_type().clone(), optional), array))
        });
        let (fields, arrays): (Vec<_>, Vec<_>) = columns.collect::<Result<Vec<_>, String>>()?.into_iter().unzip();
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).map_err(|e| format!("the schema with id {}: {e}", self.id))?;
        let fits = self.encoder.as_ref().is_some_and(|encoder| encoder.schema().fields() == schema.fields());
        let mut encoder = match self.encoder.take().filter(|_| fits) {
            Some(encoder) => encoder,
            None => {
                let metadata = HashMap::from([(SCHEMA_METADATA_KEY.to_owned(), self.record.clone())]);
                let builder = WriterBuilder::new(schema.as_ref().clone().with_metadata(metadata));
                let builder = builder.with_fingerprint_strategy(FingerprintStrategy::Id(self.id));
                builder.build_encoder::<AvroSoeFormat>().map_err(|e| format!("the schema with id {}: {e}", self.id))?
            }
        };
        encoder.encode(&batch).map_err(|e| format!("the schema with id {}: {e}", self.id))?;
        let written = encoder.flush();
        self.encoder = Some(encoder);
        Ok(written.iter().map(Some).collect())
    }
}

/// The first whole number that a column of doubles would change.
fn inexact(array: &ArrayRef, kind: &DataType) -> Option<i64> {
    let whole = array.as_primitive_opt::<Int64Type>().filter(|_| *kind == DataType::Float64)?;
    whole.iter().flatten().find(|value| !is_exact_in_f64(*value))
}

/// The type of a column that a decoder makes of values of this type without knowing it.
fn data_type(kind: &Type) -> Option<DataType> {
    let field = |field: &TypedField| Some(Field::new(&*field.name, data_type(&field.kind)?, true));
    Some(match kind {
        Type::Optional { of, .. } => data_type(of)?,
        Type::Leaf { wire: Wire::Enum(_) | Wire::Uuid | Wire::Fixed(_), .. } | Type::Null | Type::Map(_) | Type::Union(_) => return None,
        Type::Leaf { kind, .. } => kind.clone(),
        Type::Record(fields) => DataType::Struct(fields.iter().map(field).collect::<Option<_>>()?),
        Type::List(item) => DataType::new_list(data_type(item)?, true),
    })
}

/// Whether a field may be null, and its type as a column where it is a simple one.
fn target(kind: &Type) -> (bool, Option<&DataType>) {
    match kind {
        Type::Optional { of, .. } => (true, target(of).1),
        Type::Leaf { wire: Wire::Enum(_) | Wire::Uuid | Wire::Fixed(_), .. } => (false, None),
        Type::Leaf { kind, .. } => (false, Some(kind)),
        Type::Null => (true, None),
        Type::Record(_) | Type::List(_) | Type::Map(_) | Type::Union(_) => (false, None),
    }
}
