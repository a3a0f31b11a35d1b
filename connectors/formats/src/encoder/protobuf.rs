//! Rows as Protobuf messages, with prost-reflect.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use arrow_array::builder::BinaryBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Float32Type, Float64Type, Int32Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, BinaryArray, RecordBatch};
use arrow_schema::{DataType, Fields, Schema};
use chrono::Datelike as _;
use lakefeed_core::shorten;
use prost_reflect::prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};

use super::no_form;
use super::registered::{Writer, check_names, exactly, prefix};
use crate::protobuf::{DATE, TIME_OF_DAY, TIMESTAMP, fields_of, parse};
use crate::typed::Field as TypedField;

/// The Protobuf file of rows: the message of a row, which has those of its structs inside. Fields are numbered in the order of the columns; values
/// that may be null are optional, lists have no null.
pub(super) fn schema_of(columns: &Schema, single: bool, name: &str) -> Result<String, String> {
    if single {
        return Err(
            "ProtobufConverter writes messages alone, and the value is none: make it one (HoistField), or use another converter".into()
        );
    }
    check_names(columns.fields(), "Protobuf")?;
    let (package, short) = name.rsplit_once('.').unwrap_or(("", name));
    let (mut imports, mut messages) = (BTreeSet::new(), String::new());
    message(short, columns.fields(), 0, &mut imports, &mut messages)?;
    let mut text = "syntax = \"proto3\";\n".to_owned();
    if !package.is_empty() {
        text += &format!("package {package};\n");
    }
    if !imports.is_empty() {
        text.push('\n');
    }
    imports.iter().for_each(|import| text += &format!("import \"{import}\";\n"));
    text += &messages;
    // A name that is none, or names that are one without their case: told before the registry refuses them.
    parse(&text, &[]).map(|_| text)
}

/// Writes the message of these fields.
fn message(name: &str, fields: &Fields, depth: usize, imports: &mut BTreeSet<&'static str>, out: &mut String) -> Result<(), String> {
    let pad = "  ".repeat(depth);
    let mut inner = String::new();
    // Fields and messages inside of a message share their names.
    let mut taken: BTreeSet<String> = fields.iter().map(|field| field.name().clone()).collect();
    let mut lines = String::new();
    for (index, field) in fields.iter().enumerate() {
        let (label, kind) = match field.data_type() {
            DataType::List(item) => ("repeated", item.data_type()),
            kind => ("optional", kind),
        };
        let kind = match kind {
            DataType::Struct(parts) => {
                let mut name = format!("{}_message", field.name());
                while !taken.insert(name.clone()) {
                    name.push('_');
                }
                message(&name, parts, depth + 1, imports, &mut inner)?;
                name
            }
            leaf => scalar(leaf, imports).ok_or_else(|| no_form(field, "ProtobufConverter"))?.to_owned(),
        };
        lines += &format!("{pad}  {label} {kind} {} = {};\n", field.name(), index + 1);
    }
    write!(out, "\n{pad}message {name} {{\n{lines}{inner}{pad}}}\n").map_err(|e| e.to_string())
}

fn scalar(kind: &DataType, imports: &mut BTreeSet<&'static str>) -> Option<&'static str> {
    let (name, import) = match kind {
        DataType::Boolean => ("bool", None),
        DataType::Int32 => ("int32", None),
        DataType::Int64 => ("int64", None),
        DataType::Float32 => ("float", None),
        DataType::Float64 => ("double", None),
        DataType::Utf8 => ("string", None),
        DataType::Binary => ("bytes", None),
        DataType::Date32 => (".google.type.Date", Some("google/type/date.proto")),
        DataType::Time32(_) | DataType::Time64(_) => (".google.type.TimeOfDay", Some("google/type/timeofday.proto")),
        DataType::Timestamp(_, Some(_)) => (".google.protobuf.Timestamp", Some("google/protobuf/timestamp.proto")),
        _ => return None,
    };
    imports.extend(import);
    Some(name)
}

/// Writes rows as the first message of a file.
#[derive(Debug)]
pub(super) struct ProtobufWriter {
    message: MessageDescriptor,
    fields: Vec<TypedField>,
    id: u32,
}

impl ProtobufWriter {
    pub(super) fn new(schema: &str, id: u32) -> Result<Self, String> {
        let message = parse(schema, &[])?.messages().next().ok_or("the schema has no message")?;
        Ok(Self { fields: fields_of(&message)?, message, id })
    }
}

impl Writer for ProtobufWriter {
    fn fields(&self) -> &[TypedField] {
        &self.fields
    }

    fn write(&mut self, rows: &RecordBatch) -> Result<BinaryArray, String> {
        let messages = messages(rows.schema_ref().fields(), rows.columns(), rows.num_rows(), &self.message)
            .map_err(|e| format!("the schema with id {}: {e}", self.id))?;
        let mut all = BinaryBuilder::new();
        // One zero stands for the first message of the file.
        let mut bytes = [&prefix(self.id)[..], &[0]].concat();
        let start = bytes.len();
        for message in messages {
            bytes.truncate(start);
            message.encode(&mut bytes).map_err(|e| e.to_string())?;
            all.append_value(&bytes);
        }
        Ok(all.finish())
    }
}

/// Rows as messages: column by column, each cast to the type of its field.
fn messages(fields: &Fields, columns: &[ArrayRef], rows: usize, of: &MessageDescriptor) -> Result<Vec<DynamicMessage>, String> {
    let mut made = vec![DynamicMessage::new(of.clone()); rows];
    for (column, array) in fields.iter().zip(columns) {
        let missing = || format!("the message {} has no field '{}': register a schema that has it", of.name(), column.name());
        let field = of.get_field_by_name(column.name()).ok_or_else(missing)?;
        let cells = cells(array, &field).map_err(|e| format!("field {}: {e}", column.name()))?;
        for (message, cell) in made.iter_mut().zip(cells) {
            // What is null stays away.
            cell.map(|cell| message.try_set_field(&field, cell)).transpose().map_err(|e| format!("field {}: {e}", column.name()))?;
        }
    }
    Ok(made)
}

fn cells(array: &ArrayRef, field: &FieldDescriptor) -> Result<Vec<Option<Value>>, String> {
    if field.is_map() {
        return Err("rows have no maps".into());
    }
    if !field.is_list() {
        let cells = values(array, &field.kind())?;
        let zero = !field.supports_presence() && cells.iter().any(Option::is_none);
        return if zero { Err("a row has null, which would be zero here: make the field optional".into()) } else { Ok(cells) };
    }
    let list = array.as_list_opt::<i32>().ok_or_else(|| format!("found {}, expected a list", array.data_type()))?;
    let items = values(list.values(), &field.kind())?;
    let cell = |(row, ends): (usize, &[i32])| {
        let items = &items[ends[0] as usize..ends[1] as usize];
        let items = items.iter().cloned().collect::<Option<Vec<_>>>().ok_or("a list in Protobuf has no nulls, and a row has one")?;
        Ok(list.is_valid(row).then_some(Value::List(items)))
    };
    list.value_offsets().windows(2).enumerate().map(cell).collect()
}

fn values(array: &ArrayRef, kind: &Kind) -> Result<Vec<Option<Value>>, String> {
    match kind {
        Kind::Bool => Ok(exactly(array, &DataType::Boolean)?.as_boolean().iter().map(|value| value.map(Value::Bool)).collect()),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => primitive::<Int32Type>(array, |value| Ok(Value::I32(value))),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => primitive::<Int64Type>(array, |value| Ok(Value::I64(value))),
        Kind::Uint32 | Kind::Fixed32 => primitive::<UInt32Type>(array, |value| Ok(Value::U32(value))),
        Kind::Uint64 | Kind::Fixed64 => primitive::<UInt64Type>(array, |value| Ok(Value::U64(value))),
        Kind::Float => primitive::<Float32Type>(array, |value| Ok(Value::F32(value))),
        Kind::Double => primitive::<Float64Type>(array, |value| Ok(Value::F64(value))),
        Kind::String => texts(array, |text| Ok(Value::String(text.to_owned()))),
        Kind::Enum(of) => texts(array, |text| {
            let value = of.get_value_by_name(text).ok_or_else(|| format!("{} has no value {}", of.name(), shorten(text.as_bytes())))?;
            Ok(Value::EnumNumber(value.number()))
        }),
        Kind::Bytes => {
            let array = exactly(array, &DataType::Binary)?;
            Ok(array.as_binary::<i32>().iter().map(|value| value.map(|bytes| Value::Bytes(bytes.to_vec().into()))).collect())
        }
        Kind::Message(of) if of.full_name() == TIMESTAMP => primitive::<TimestampMicrosecondType>(array, |micros| {
            let nanos = (micros.rem_euclid(1_000_000) * 1000) as i32;
            parts(of, [("seconds", Value::I64(micros.div_euclid(1_000_000))), ("nanos", Value::I32(nanos))])
        }),
        Kind::Message(of) if of.full_name() == DATE => primitive::<Date32Type>(array, |days| {
            let day = Date32Type::to_naive_date_opt(days).ok_or_else(|| format!("{days} days since 1970 are no date"))?;
            let (month, day_of) = (day.month() as i32, day.day() as i32);
            parts(of, [("year", Value::I32(day.year())), ("month", Value::I32(month)), ("day", Value::I32(day_of))])
        }),
        Kind::Message(of) if of.full_name() == TIME_OF_DAY => primitive::<Time64MicrosecondType>(array, |micros| {
            // Less than the seconds of a day.
            let seconds = (micros / 1_000_000) as i32;
            let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
            let nanos = (micros % 1_000_000 * 1000) as i32;
            parts(
                of,
                [("hours", hours), ("minutes", minutes), ("seconds", seconds), ("nanos", nanos)].map(|(name, n)| (name, Value::I32(n))),
            )
        }),
        Kind::Message(of) => {
            let rows = array.as_struct_opt().ok_or_else(|| format!("found {}, expected a struct", array.data_type()))?;
            let made = messages(rows.fields(), rows.columns(), rows.len(), of)?.into_iter().enumerate();
            Ok(made.map(|(row, message)| rows.is_valid(row).then_some(Value::Message(message))).collect())
        }
    }
}

fn primitive<T: ArrowPrimitiveType>(
    array: &ArrayRef, value: impl Fn(T::Native) -> Result<Value, String>,
) -> Result<Vec<Option<Value>>, String> {
    exactly(array, &T::DATA_TYPE)?.as_primitive::<T>().iter().map(|cell| cell.map(&value).transpose()).collect()
}

fn texts(array: &ArrayRef, value: impl Fn(&str) -> Result<Value, String>) -> Result<Vec<Option<Value>>, String> {
    exactly(array, &DataType::Utf8)?.as_string::<i32>().iter().map(|cell| cell.map(&value).transpose()).collect()
}

/// A message of these fields.
fn parts<const N: usize>(of: &MessageDescriptor, fields: [(&str, Value); N]) -> Result<Value, String> {
    let mut message = DynamicMessage::new(of.clone());
    for (name, value) in fields {
        message.try_set_field_by_name(name, value).map_err(|e| format!("{}: {e}", of.full_name()))?;
    }
    Ok(Value::Message(message))
}
