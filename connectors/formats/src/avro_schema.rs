//! Avro schemas (Avro specification 1.12) as types of columns.

use std::collections::HashMap;

use arrow_schema::{DataType, TimeUnit};
use serde_json::{Map, Value};

use crate::schema::UTC;
use crate::typed::{Field, MAX_PRECISION, Type, Wire};

/// How deep a schema may be nested.
pub(crate) const MAX_DEPTH: usize = 64;

/// How many parts a schema may have, with types that are named and used again counted each time: a few lines can ask for billions.
pub(crate) const MAX_PARTS: usize = 20_000;

/// Reads a schema; `references` are the schemas whose types it names, each after those that it needs itself.
///
/// # Errors
/// What is wrong with it, or what can't be a column.
pub(crate) fn parse(text: &str, references: &[(String, String)]) -> Result<Type, String> {
    let mut names = Names::default();
    for (_, text) in references {
        names.read(text)?;
    }
    names.read(text)
}

/// The named types that were met so far; `None`: this one is being read.
#[derive(Default)]
struct Names(HashMap<String, Option<Type>>);

impl Names {
    fn read(&mut self, text: &str) -> Result<Type, String> {
        let schema: Value = serde_json::from_str(text).map_err(|e| format!("the schema is no JSON: {e}"))?;
        self.kind(&schema, "", 0)
    }

    fn kind(&mut self, schema: &Value, space: &str, depth: usize) -> Result<Type, String> {
        if depth > MAX_DEPTH {
            return Err(format!("the schema is nested more than {MAX_DEPTH} deep"));
        }
        match schema {
            Value::String(name) => self.named(name, space),
            Value::Array(branches) => self.union(branches, space, depth + 1),
            Value::Object(schema) => self.complex(schema, space, depth + 1),
            other => Err(format!("found {other} where the schema needs a type")),
        }
    }

    fn named(&mut self, name: &str, space: &str) -> Result<Type, String> {
        if let Some(primitive) = primitive(name) {
            return Ok(primitive);
        }
        match self.0.get(&full_name(name, space)) {
            Some(Some(kind)) => Ok(kind.clone()),
            Some(None) => Err(format!("the type {name} contains itself, and columns can't")),
            None => Err(format!("the schema names the type {name} and does not have it")),
        }
    }

    fn union(&mut self, branches: &[Value], space: &str, depth: usize) -> Result<Type, String> {
        let mut kinds = Vec::new();
        let mut parts = 0;
        for branch in branches {
            let kind = self.kind(branch, space, depth)?;
            count(&mut parts, &kind)?;
            kinds.push((branch_name(branch), kind));
        }
        if let [(_, a), (_, b)] = &kinds[..] {
            let null = match (a, b) {
                (Type::Null, Type::Null) => None,
                (Type::Null, of) => Some((0, of)),
                (of, Type::Null) => Some((1, of)),
                _ => None,
            };
            if let Some((null, of)) = null {
                return Ok(Type::Optional { null, of: Box::new(of.clone()) });
            }
        }
        if kinds.is_empty() {
            return Err("a union has no branches".into());
        }
        let branch = |(name, kind): (String, Type)| (!matches!(kind, Type::Null)).then(|| Field::new(&name, kind));
        Ok(Type::Union(kinds.into_iter().map(branch).collect()))
    }

    fn complex(&mut self, schema: &Map<String, Value>, space: &str, depth: usize) -> Result<Type, String> {
        let kind = schema.get("type").ok_or("a part of the schema has no type")?;
        let Some(kind) = kind.as_str() else { return self.kind(kind, space, depth) };
        match kind {
            "record" | "error" | "enum" | "fixed" => {
                let name = schema.get("name").and_then(Value::as_str).ok_or_else(|| format!("a type {kind} has no name"))?;
                let space = schema.get("namespace").and_then(Value::as_str).unwrap_or(space);
                let name = full_name(name, space);
                let space = name.rsplit_once('.').map_or("", |(space, _)| space).to_owned();
                self.0.insert(name.clone(), None);
                let made = match kind {
                    "enum" => Type::leaf(Wire::Enum(texts(schema, "symbols")?), DataType::Utf8),
                    "fixed" => fixed(schema, &name)?,
                    _ => self.record(schema, &space, depth)?,
                };
                self.0.insert(name, Some(made.clone()));
                Ok(made)
            }
            "array" => Ok(Type::List(Box::new(self.kind(part(schema, "items")?, space, depth)?))),
            "map" => Ok(Type::Map(Box::new(self.kind(part(schema, "values")?, space, depth)?))),
            _ => match self.named(kind, space)? {
                Type::Leaf { wire, kind } => Ok(logical(schema, wire, kind)),
                other => Ok(other),
            },
        }
    }

    fn record(&mut self, schema: &Map<String, Value>, space: &str, depth: usize) -> Result<Type, String> {
        let fields = part(schema, "fields")?.as_array().ok_or("the fields of a record are no list")?;
        let mut parts = 0;
        let mut field = |field: &Value| {
            let field = field.as_object().ok_or("a field of a record is no object")?;
            let name = field.get("name").and_then(Value::as_str).ok_or("a field of a record has no name")?;
            let kind = self.kind(part(field, "type")?, space, depth).map_err(|e| format!("field {name}: {e}"))?;
            count(&mut parts, &kind)?;
            Ok(Field::new(name, kind))
        };
        Ok(Type::Record(fields.iter().map(&mut field).collect::<Result<_, String>>()?))
    }
}

/// What the field of a union's branch is called: as Confluent's converter calls it, the name of the type without its namespace.
fn branch_name(branch: &Value) -> String {
    let text = |name: &str| branch.get(name).and_then(Value::as_str);
    let name = branch.as_str().or_else(|| text("name")).or_else(|| text("type")).unwrap_or_default();
    name.rsplit('.').next().unwrap_or_default().to_owned()
}

/// Adds the parts of a type to those so far.
fn count(parts: &mut usize, kind: &Type) -> Result<(), String> {
    *parts += kind.parts();
    if *parts > MAX_PARTS { Err(format!("the schema has more than {MAX_PARTS} parts")) } else { Ok(()) }
}

fn full_name(name: &str, space: &str) -> String {
    if name.contains('.') || space.is_empty() { name.to_owned() } else { format!("{space}.{name}") }
}

fn part<'a>(schema: &'a Map<String, Value>, name: &str) -> Result<&'a Value, String> {
    schema.get(name).ok_or_else(|| format!("a part of the schema has no '{name}'"))
}

fn texts(schema: &Map<String, Value>, name: &str) -> Result<Vec<Box<str>>, String> {
    let all = part(schema, name)?.as_array().ok_or_else(|| format!("'{name}' is no list"))?;
    all.iter().map(|text| text.as_str().map(Into::into).ok_or_else(|| format!("'{name}' has {text}, expected texts"))).collect()
}

fn number(schema: &Map<String, Value>, name: &str) -> Option<u64> {
    schema.get(name).and_then(Value::as_u64)
}

fn primitive(name: &str) -> Option<Type> {
    let (wire, kind) = match name {
        "null" => return Some(Type::Null),
        "boolean" => (Wire::Boolean, DataType::Boolean),
        "int" => (Wire::Int, DataType::Int32),
        "long" => (Wire::Long, DataType::Int64),
        "float" => (Wire::Float, DataType::Float32),
        "double" => (Wire::Double, DataType::Float64),
        "bytes" => (Wire::Bytes, DataType::Binary),
        "string" => (Wire::String, DataType::Utf8),
        _ => return None,
    };
    Some(Type::leaf(wire, kind))
}

fn fixed(schema: &Map<String, Value>, name: &str) -> Result<Type, String> {
    let size = number(schema, "size").and_then(|size| usize::try_from(size).ok()).ok_or_else(|| format!("the fixed {name} has no size"))?;
    let wire = Wire::Fixed(size);
    Ok(match schema.get("logicalType").and_then(Value::as_str) {
        Some("decimal") => decimal(schema, Some(size)).unwrap_or(Type::leaf(wire, DataType::Binary)),
        Some("uuid") if size == 16 => Type::leaf(Wire::Uuid, DataType::Utf8),
        _ => Type::leaf(wire, DataType::Binary),
    })
}

/// A decimal; `None` if its precision and scale are none, which makes the logical type one to ignore (Avro specification, "Logical Types").
///
/// A precision beyond 38 (Confluent's converter writes 64 where it was told none) is taken for 38: values that need more are refused.
fn decimal(schema: &Map<String, Value>, size: Option<usize>) -> Option<Type> {
    let precision = number(schema, "precision").filter(|p| *p > 0)?;
    let scale = number(schema, "scale").unwrap_or(0);
    let fits = scale <= precision && scale <= u64::from(MAX_PRECISION);
    fits.then(|| decimal_type(precision.min(u64::from(MAX_PRECISION)) as u8, scale as i8, size))
}

/// A decimal of these digits, in so many bytes.
pub(crate) fn decimal_type(precision: u8, scale: i8, size: Option<usize>) -> Type {
    Type::leaf(Wire::Decimal(size), DataType::Decimal128(precision, scale))
}

/// A primitive type with the logical type that its schema names. Logical types that are unknown or don't fit are ignored, as the
/// specification wants it.
fn logical(schema: &Map<String, Value>, wire: Wire, kind: DataType) -> Type {
    let time = |unit, utc: bool| DataType::Timestamp(unit, utc.then(|| UTC.into()));
    let name = schema.get("logicalType").and_then(Value::as_str).unwrap_or_default();
    let kind = match (name, &kind) {
        ("decimal", DataType::Binary) => return decimal(schema, None).unwrap_or(Type::leaf(wire, kind)),
        ("date", DataType::Int32) => DataType::Date32,
        ("time-millis", DataType::Int32) => DataType::Time32(TimeUnit::Millisecond),
        ("time-micros", DataType::Int64) => DataType::Time64(TimeUnit::Microsecond),
        ("timestamp-millis", DataType::Int64) => time(TimeUnit::Millisecond, true),
        ("timestamp-micros", DataType::Int64) => time(TimeUnit::Microsecond, true),
        ("timestamp-nanos", DataType::Int64) => time(TimeUnit::Nanosecond, true),
        ("local-timestamp-millis", DataType::Int64) => time(TimeUnit::Millisecond, false),
        ("local-timestamp-micros", DataType::Int64) => time(TimeUnit::Microsecond, false),
        ("local-timestamp-nanos", DataType::Int64) => time(TimeUnit::Nanosecond, false),
        _ => kind,
    };
    Type::leaf(wire, kind)
}
