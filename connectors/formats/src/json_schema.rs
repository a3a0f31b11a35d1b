//! JSON Schemas as types of columns: what Confluent's JsonSchemaConverter writes of Kafka Connect's types, and what is plain in others.
//!
//! JSON carries its types itself. So what a schema says otherwise (several types, references, conditions) is no mistake here: such a column is
//! found out from the values, as without a schema.

use arrow_schema::{DataType, TimeUnit};
use serde_json::{Map, Value};

use crate::avro_schema::decimal_type;
use crate::schema::UTC;
use crate::typed::{Field, MAX_PRECISION, Type, Wire};

/// How deep a schema may be nested.
const MAX_DEPTH: usize = 64;

/// Reads a schema.
///
/// # Errors
/// It is no JSON object, or nested too deep.
pub(crate) fn parse(text: &str) -> Result<Type, String> {
    let schema: Value = serde_json::from_str(text).map_err(|e| format!("the schema is no JSON: {e}"))?;
    Ok(match kind(&schema, 0)? {
        // It may be of anything: objects most often.
        Type::Null => Type::Record(Vec::new()),
        known => known,
    })
}

fn kind(schema: &Value, depth: usize) -> Result<Type, String> {
    if depth > MAX_DEPTH {
        return Err(format!("the schema is nested more than {MAX_DEPTH} deep"));
    }
    // `true` and `false` are schemas too.
    let Some(schema) = schema.as_object() else { return Ok(Type::Null) };
    if let Some(of) = optional(schema) {
        return kind(of, depth + 1);
    }
    let text = |name: &str| schema.get(name).and_then(Value::as_str).unwrap_or_default();
    let connect = text("connect.type");
    let logical = text("title").strip_prefix("org.apache.kafka.connect.data.").unwrap_or_default();
    let (wire, kind) = match (type_of(schema), connect, logical) {
        ("integer", "int32", "Date") => (Wire::Int, DataType::Date32),
        ("integer", "int32", "Time") => (Wire::Int, DataType::Time32(TimeUnit::Millisecond)),
        ("integer", "int64", "Timestamp") => (Wire::Long, DataType::Timestamp(TimeUnit::Millisecond, Some(UTC.into()))),
        ("number" | "string", "bytes", "Decimal") => return Ok(decimal(schema)),
        ("integer", "int8" | "int16" | "int32", _) => (Wire::Int, DataType::Int32),
        ("integer", ..) => (Wire::Long, DataType::Int64),
        ("number", "float32", _) => (Wire::Float, DataType::Float32),
        ("number", ..) => (Wire::Double, DataType::Float64),
        ("boolean", ..) => (Wire::Boolean, DataType::Boolean),
        ("string", "bytes", _) => (Wire::Bytes, DataType::Binary),
        ("string", ..) => (Wire::String, DataType::Utf8),
        ("array", "map", _) => return Ok(Type::Null),
        ("array", ..) => return items(schema.get("items"), depth),
        ("object", "map", _) => return values(schema.get("additionalProperties"), depth),
        ("object", ..) => return properties(schema, depth),
        _ => return Ok(Type::Null),
    };
    Ok(Type::leaf(wire, kind))
}

/// The one type; null beside it says that a value may be missing, which every column allows.
fn type_of(schema: &Map<String, Value>) -> &str {
    match schema.get("type") {
        Some(Value::String(name)) => name,
        Some(Value::Array(names)) => {
            let mut others = names.iter().filter_map(Value::as_str).filter(|name| *name != "null");
            match (others.next(), others.next()) {
                (Some(name), None) => name,
                _ => "",
            }
        }
        _ => "",
    }
}

/// The other of two types of which one is null.
fn optional(schema: &Map<String, Value>) -> Option<&Value> {
    let all = schema.get("oneOf").or_else(|| schema.get("anyOf"))?.as_array()?;
    let mut others = all.iter().filter(|of| of.get("type").is_none_or(|kind| kind != "null"));
    match (others.next(), others.next()) {
        (Some(of), None) => Some(of),
        _ => None,
    }
}

fn items(schema: Option<&Value>, depth: usize) -> Result<Type, String> {
    match schema.map(|schema| kind(schema, depth + 1)).transpose()? {
        None | Some(Type::Null) => Ok(Type::Null),
        Some(item) => Ok(Type::List(Box::new(item))),
    }
}

fn values(schema: Option<&Value>, depth: usize) -> Result<Type, String> {
    match schema.map(|schema| kind(schema, depth + 1)).transpose()? {
        None | Some(Type::Null) => Ok(Type::Null),
        Some(value) => Ok(Type::Map(Box::new(value))),
    }
}

fn properties(schema: &Map<String, Value>, depth: usize) -> Result<Type, String> {
    let Some(all) = schema.get("properties").and_then(Value::as_object) else { return Ok(Type::Null) };
    let mut ordered: Vec<_> = all.iter().collect();
    // Confluent's converter counts the fields, because JSON objects have no order.
    ordered.sort_by_key(|(_, field)| field.get("connect.index").and_then(Value::as_u64).unwrap_or(u64::MAX));
    let field = |(name, of): (&String, &Value)| Ok(Field::new(name, kind(of, depth + 1).map_err(|e| format!("field {name}: {e}"))?));
    Ok(Type::Record(ordered.into_iter().map(field).collect::<Result<_, String>>()?))
}

/// The scale is a parameter of Connect's type.
fn decimal(schema: &Map<String, Value>) -> Type {
    let parameter = |name: &str| schema.get("connect.parameters")?.get(name)?.as_str();
    let scale = parameter("scale").and_then(|text| text.parse::<i8>().ok()).filter(|scale| (0..=MAX_PRECISION as i8).contains(scale));
    let Some(scale) = scale else { return Type::Null };
    let precision = parameter("connect.decimal.precision").and_then(|text| text.parse::<u8>().ok()).unwrap_or(MAX_PRECISION);
    decimal_type(precision.clamp((scale as u8).max(1), MAX_PRECISION), scale, None)
}
