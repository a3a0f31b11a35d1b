//! Protobuf messages into columns, behind the number of their schema and the message's place in its file (Confluent's wire format).
//!
//! prost-reflect reads the message by the schema that the registry has; its values go to columns that were bound to the schema before.

mod schema;

use arrow_array::types::Date32Type;
use arrow_schema::DataType;
use chrono::NaiveDate;
use prost_reflect::{DynamicMessage, Kind, MapKey, MessageDescriptor, ReflectMessage as _, Value};

use crate::avro::{PREFIX, unbound};
use crate::column::Column;
use crate::fault::{Fault, Result};
use crate::fields::Fields;
use crate::typed::{Field, Type};

pub(crate) use schema::{DATE, TIME_OF_DAY, TIMESTAMP, fields_of, message_of, parse};

/// How deep messages are inside each other in a file, at most.
const MAX_PATH: u64 = 64;

/// A value's parts: the prefix with the schema's number and the message's place, that place, and the message.
pub(crate) struct Parts<'a> {
    pub(crate) prefix: &'a [u8],
    /// Numbers as in the file: of the message, of one inside it, and so on.
    pub(crate) path: Vec<usize>,
    pub(crate) message: &'a [u8],
}

/// Takes a value apart. Its schema's number was found already.
pub(crate) fn parts(value: &[u8]) -> Result<Parts<'_>> {
    let mut rest = value.get(PREFIX..).unwrap_or_default();
    let count = zigzag(&mut rest)?;
    if count > MAX_PATH {
        return Err(Fault::record(format!(
            "the message's place has {count} numbers, expected at most {MAX_PATH}: the value is no Protobuf"
        )));
    }
    // None stands for the first message.
    let path = match count {
        0 => vec![0],
        _ => (0..count).map(|_| zigzag(&mut rest).map(|index| index as usize)).collect::<Result<_>>()?,
    };
    Ok(Parts { prefix: &value[..value.len() - rest.len()], path, message: rest })
}

/// A number that is not negative, as zig-zag varint.
fn zigzag(bytes: &mut &[u8]) -> Result<u64> {
    let number = prost_reflect::prost::encoding::decode_varint(bytes);
    let number = number.map_err(|_| Fault::record("the value ends before its message: expected the message's place in its file"))?;
    if number & 1 == 1 || number > u64::from(u32::MAX) {
        return Err(Fault::record("the message's place in its file is no number of at least 0: the value is no Protobuf"));
    }
    Ok(number >> 1)
}

/// Appends a message as row number `row`.
pub(crate) fn append(bytes: &[u8], message: &MessageDescriptor, schema: &[Field], columns: &mut Fields, row: usize) -> Result<()> {
    let message = DynamicMessage::decode(message.clone(), bytes)
        .map_err(|e| Fault::record(format!("the value is no message {}: {e}", message.full_name())))?;
    record(&message, schema, columns, row)
}

/// The schema's fields are those of the message, in its order.
fn record(message: &DynamicMessage, schema: &[Field], columns: &mut Fields, row: usize) -> Result<()> {
    for (of, field) in message.descriptor().fields().zip(schema) {
        let column = &mut columns.member(field.column).column;
        column.begin(row);
        // Without presence a field that is not there has its type's zero (Protobuf, "Field presence").
        if of.supports_presence() && !message.has_field(&of) {
            column.push_null();
            continue;
        }
        value(&message.get_field(&of), &of.kind(), &field.kind, column).map_err(|fault| fault.in_member(&field.name))?;
    }
    Ok(())
}

fn value(value_of: &Value, of: &Kind, kind: &Type, column: &mut Column) -> Result<()> {
    match (value_of, kind) {
        (Value::Bool(value), _) => column.push_given_bool(*value),
        (Value::I32(value), _) => column.push_int(i64::from(*value)),
        (Value::I64(value), _) => column.push_int(*value),
        (Value::U32(value), _) => column.push_int(i64::from(*value)),
        (Value::U64(value), _) => column.push_int(i64::try_from(*value).map_err(|_| too_large(*value))?),
        (Value::F32(value), _) => column.push_double(f64::from(*value)),
        (Value::F64(value), _) => column.push_double(*value),
        (Value::String(text), _) => column.push_given_bytes(text.as_bytes()),
        (Value::Bytes(bytes), _) => column.push_given_bytes(bytes),
        (Value::EnumNumber(number), _) => symbol(*number, of, column),
        (Value::Message(message), Type::Record(fields)) => {
            let row = column.len();
            record(message, fields, column.fields().ok_or_else(unbound)?, row)?;
            column.end_value();
            Ok(())
        }
        (Value::Message(message), Type::Leaf { kind: DataType::Date32, .. }) => date(message, column),
        (Value::Message(message), Type::Leaf { kind: DataType::Time64(_), .. }) => time_of_day(message, column),
        (Value::Message(message), _) => timestamp(message, column),
        (Value::List(items), Type::List(item)) => {
            let list = column.list().ok_or_else(unbound)?;
            for (index, one) in items.iter().enumerate() {
                value(one, of, item, &mut list.item).map_err(|fault| fault.in_item(index))?;
            }
            column.end_value();
            Ok(())
        }
        (Value::Map(entries), Type::Map(kind)) => {
            let (map, of) = (column.map().ok_or_else(unbound)?, schema::map_value(of));
            // The order of a hash table is another one each time.
            let mut ordered: Vec<(String, &Value)> = entries.iter().map(|(key, one)| (key_text(key), one)).collect();
            ordered.sort_by(|a, b| a.0.cmp(&b.0));
            for (key, one) in ordered {
                value(one, &of, kind, &mut map.value).map_err(|fault| fault.in_member(&key))?;
                map.keys.data.extend_from_slice(key.as_bytes());
                map.keys.end();
            }
            column.end_value();
            Ok(())
        }
        (Value::List(_) | Value::Map(_), _) => Err(unbound()),
    }
}

#[cold]
fn too_large(value: u64) -> Fault {
    Fault::field(format!("found {value}, and the column is BIGINT, which ends at {}", i64::MAX))
}

/// The name of an enum's value; the number where a newer schema has a name for it.
fn symbol(number: i32, of: &Kind, column: &mut Column) -> Result<()> {
    match of.as_enum().and_then(|of| of.get_value(number)) {
        Some(value) => column.push_given_bytes(value.name().as_bytes()),
        None => column.push_given_bytes(number.to_string().as_bytes()),
    }
}

/// A whole date: one without year, month or day has no place in a column of dates.
fn date(message: &DynamicMessage, column: &mut Column) -> Result<()> {
    let number = |name: &str| message.get_field_by_name(name).and_then(|value| value.as_i32()).unwrap_or(0);
    let (year, month, day) = (number("year"), number("month"), number("day"));
    let found = u32::try_from(month).ok().zip(u32::try_from(day).ok()).and_then(|(month, day)| NaiveDate::from_ymd_opt(year, month, day));
    let date = found.ok_or_else(|| Fault::field(format!("found the year {year}, month {month} and day {day}, which are no date")))?;
    column.push_int(Date32Type::from_naive_date(date).into())
}

/// Microseconds; what is finer is cut off. The end of a day and leap seconds, which the message may have, have no place in a column of times.
fn time_of_day(message: &DynamicMessage, column: &mut Column) -> Result<()> {
    let number = |name: &str| message.get_field_by_name(name).and_then(|value| value.as_i32()).unwrap_or(0);
    let [hours, minutes, seconds, nanos] = ["hours", "minutes", "seconds", "nanos"].map(number);
    let fits = [(hours, 24), (minutes, 60), (seconds, 60), (nanos, 1_000_000_000)].iter().all(|(part, limit)| (0..*limit).contains(part));
    if !fits {
        return Err(Fault::field(format!("found {hours} h {minutes} min {seconds} s {nanos} ns, which is no time of a day")));
    }
    let seconds = i64::from(hours) * 3600 + i64::from(minutes) * 60 + i64::from(seconds);
    column.push_int(seconds * 1_000_000 + i64::from(nanos) / 1000)
}

/// Microseconds; what is finer is cut off, as DuckDB and Spark do.
fn timestamp(message: &DynamicMessage, column: &mut Column) -> Result<()> {
    let number = |name: &str| message.get_field_by_name(name).and_then(|value| value.as_i64().or(value.as_i32().map(i64::from)));
    let (seconds, nanos) = (number("seconds").unwrap_or(0), number("nanos").unwrap_or(0));
    let micros = seconds.checked_mul(1_000_000).and_then(|micros| micros.checked_add(nanos.div_euclid(1000)));
    column.push_int(micros.ok_or_else(|| Fault::field(format!("found {seconds} s since 1970, which is no time that a column can hold")))?)
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}
