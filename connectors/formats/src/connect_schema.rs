//! Schemas as Kafka Connect's JsonConverter writes them (Apache Kafka, `JsonSchema`), and the envelope around a value.

use arrow_schema::{DataType, TimeUnit};
use serde_json::Value;

use crate::avro_schema::decimal_type;
use crate::fault::{Fault, Result};
use crate::json::Scanner;
use crate::schema::UTC;
use crate::typed::{Field, MAX_PRECISION, Type, Wire};

/// How deep a schema may be nested.
const MAX_DEPTH: usize = 64;

/// Reads a schema.
///
/// # Errors
/// What is wrong with it, or what can't be a column.
pub(crate) fn parse(text: &[u8]) -> Result<Type, String> {
    let schema: Value = serde_json::from_slice(text).map_err(|e| format!("the schema is no JSON: {e}"))?;
    read(&schema, 0)
}

fn read(schema: &Value, depth: usize) -> Result<Type, String> {
    if depth > MAX_DEPTH {
        return Err(format!("the schema is nested more than {MAX_DEPTH} deep"));
    }
    let text = |name: &str| schema.get(name).and_then(Value::as_str);
    let within = |name: &str| match schema.get(name) {
        Some(inner) => read(inner, depth + 1),
        None => Err(format!("the schema has no '{name}'")),
    };
    let name = text("name").and_then(|name| name.strip_prefix("org.apache.kafka.connect.data.")).unwrap_or_default();
    let (wire, kind) = match (text("type").ok_or("a part of the schema has no type")?, name) {
        ("int32", "Date") => (Wire::Int, DataType::Date32),
        ("int32", "Time") => (Wire::Int, DataType::Time32(TimeUnit::Millisecond)),
        ("int64", "Timestamp") => (Wire::Long, DataType::Timestamp(TimeUnit::Millisecond, Some(UTC.into()))),
        ("bytes", "Decimal") => return decimal(schema),
        ("int8" | "int16" | "int32", _) => (Wire::Int, DataType::Int32),
        ("int64", _) => (Wire::Long, DataType::Int64),
        ("float", _) => (Wire::Float, DataType::Float32),
        ("double", _) => (Wire::Double, DataType::Float64),
        ("boolean", _) => (Wire::Boolean, DataType::Boolean),
        ("string", _) => (Wire::String, DataType::Utf8),
        ("bytes", _) => (Wire::Bytes, DataType::Binary),
        ("array", _) => return Ok(Type::List(Box::new(within("items")?))),
        ("map", _) => {
            return match within("keys")? {
                Type::Leaf { kind: DataType::Utf8, .. } => Ok(Type::Map(Box::new(within("values")?))),
                _ => Err("a map has keys that are no strings: have the producer write strings".into()),
            };
        }
        ("struct", _) => return fields(schema, depth),
        (other, _) => return Err(format!("'{other}' is no type of Kafka Connect")),
    };
    Ok(Type::leaf(wire, kind))
}

fn fields(schema: &Value, depth: usize) -> Result<Type, String> {
    let all = schema.get("fields").and_then(Value::as_array).ok_or("a struct of the schema has no fields")?;
    let field = |field: &Value| {
        let name = field.get("field").and_then(Value::as_str).ok_or("a field of the schema has no name in 'field'")?;
        let kind = read(field, depth + 1).map_err(|e| format!("field {name}: {e}"))?;
        Ok(Field::new(name, kind))
    };
    Ok(Type::Record(all.iter().map(field).collect::<Result<_, String>>()?))
}

/// The scale is a parameter; the precision is one of Confluent's converters only.
fn decimal(schema: &Value) -> Result<Type, String> {
    let parameter = |name: &str| schema.get("parameters").and_then(|all| all.get(name)).and_then(Value::as_str);
    let scale = parameter("scale").and_then(|text| text.parse::<i8>().ok()).filter(|scale| (0..=MAX_PRECISION as i8).contains(scale));
    let scale = scale.ok_or_else(|| format!("a Decimal needs the parameter 'scale', a number from 0 to {MAX_PRECISION}"))?;
    let precision = parameter("connect.decimal.precision").and_then(|text| text.parse::<u8>().ok()).unwrap_or(MAX_PRECISION);
    Ok(decimal_type(precision.clamp((scale as u8).max(1), MAX_PRECISION), scale, None))
}

/// The two parts of an envelope as they are written.
#[derive(Debug)]
pub(crate) struct Envelope<'a> {
    pub(crate) schema: &'a [u8],
    pub(crate) payload: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Takes an envelope apart. `last` is the schema of the record before, which most often is the schema of this one too.
    pub(crate) fn open(value: &'a [u8], last: &[u8], depth: usize) -> Result<Self> {
        let mut scanner = Scanner::new(value);
        let (mut schema, mut payload) = (None, None);
        if scanner.token() != b'{' {
            return Err(no_envelope());
        }
        scanner.step();
        loop {
            let mut buffer = Vec::new();
            let part = match scanner.name(&mut buffer)? {
                b"schema" => &mut schema,
                b"payload" => &mut payload,
                _ => return Err(no_envelope()),
            };
            scanner.expect(b':', "':'")?;
            scanner.token();
            let from = scanner.at();
            if last.is_empty() || !scanner.eat(last) {
                scanner.skip_value(depth)?;
            }
            if part.replace(scanner.since(from)).is_some() {
                return Err(no_envelope());
            }
            if scanner.closes(b'}', "',' or '}'")? {
                break;
            }
        }
        scanner.end()?;
        match (schema, payload) {
            (Some(schema), Some(payload)) => Ok(Self { schema, payload }),
            _ => Err(no_envelope()),
        }
    }
}

#[cold]
fn no_envelope() -> Fault {
    Fault::record(
        "JsonConverter with schemas.enable requires the fields 'schema' and 'payload' and no others: for plain JSON set \
         value.converter.schemas.enable=false",
    )
}
