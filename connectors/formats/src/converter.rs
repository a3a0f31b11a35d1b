//! What the value of a record is, as Kafka Connect's converters have it.

use arrow_schema::DataType;

use crate::fault::{Fault, Result};
use crate::fields::Fields;
use crate::typed::{Field, Type, Wire};

/// How values are read.
///
/// A value that is no record, object or struct is the one column `value`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Converter {
    /// Plain JSON objects.
    #[default]
    Json,
    /// JSON with a schema in each record: `{"schema":..,"payload":..}`.
    JsonWithSchema,
    /// Plain JSON of this schema, which is written as in the envelope (`schema.content`).
    JsonOfSchema(String),
    /// Avro, behind the number of its schema. The schemas come from [`Decoder::learn_schema`](crate::Decoder::learn_schema).
    Avro,
    /// Plain JSON behind the number of its JSON Schema. The schemas come from [`Decoder::learn_schema`](crate::Decoder::learn_schema).
    JsonRegistered,
    /// Protobuf, behind the number of its schema and the message's place in it. The schemas come from
    /// [`Decoder::learn_schema`](crate::Decoder::learn_schema).
    Protobuf,
    /// UTF-8 text, bytes, or a number as Kafka's serializers write it.
    Single(Single),
}

/// Values without a structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Single {
    /// UTF-8 text.
    Text,
    /// Any bytes.
    Bytes,
    /// 2 bytes, big-endian, as all numbers.
    Short,
    /// 4 bytes.
    Integer,
    /// 8 bytes.
    Long,
    /// 4 bytes.
    Float,
    /// 8 bytes.
    Double,
    /// One byte, 0 or 1.
    Boolean,
}

impl Converter {
    /// What a Schema Registry calls the schemas of values, if there are such.
    pub fn registered(&self) -> Option<&'static str> {
        match self {
            Self::Avro => Some("AVRO"),
            Self::JsonRegistered => Some("JSON"),
            Self::Protobuf => Some("PROTOBUF"),
            Self::Json | Self::JsonWithSchema | Self::JsonOfSchema(_) | Self::Single(_) => None,
        }
    }
}

impl Single {
    pub(crate) fn row(self) -> Vec<Field> {
        let (wire, kind) = match self {
            Self::Text => (Wire::String, DataType::Utf8),
            Self::Bytes => (Wire::Bytes, DataType::Binary),
            Self::Short | Self::Integer => (Wire::Int, DataType::Int32),
            Self::Long => (Wire::Long, DataType::Int64),
            Self::Float => (Wire::Float, DataType::Float32),
            Self::Double => (Wire::Double, DataType::Float64),
            Self::Boolean => (Wire::Boolean, DataType::Boolean),
        };
        Type::leaf(wire, kind).into_row()
    }

    /// Appends a value to its column.
    pub(crate) fn append(self, value: &[u8], field: &Field, columns: &mut Fields, row: usize) -> Result<()> {
        let column = &mut columns.member(field.column).column;
        column.begin(row);
        match self {
            Self::Text => {
                let text = str::from_utf8(value).map_err(|e| {
                    Fault::record(format!("the value is not UTF-8: the byte at {} belongs to no character", e.valid_up_to()))
                })?;
                column.push_given_bytes(text.as_bytes())
            }
            Self::Bytes => column.push_given_bytes(value),
            Self::Short => column.push_int(i64::from(i16::from_be_bytes(exactly(value)?))),
            Self::Integer => column.push_int(i64::from(i32::from_be_bytes(exactly(value)?))),
            Self::Long => column.push_int(i64::from_be_bytes(exactly(value)?)),
            Self::Float => column.push_double(f64::from(f32::from_be_bytes(exactly(value)?))),
            Self::Double => column.push_double(f64::from_be_bytes(exactly(value)?)),
            Self::Boolean => match exactly::<1>(value)? {
                [byte @ (0 | 1)] => column.push_given_bool(byte == 1),
                [byte] => Err(Fault::record(format!("found the byte {byte} for a boolean, expected 0 or 1"))),
            },
        }
    }
}

fn exactly<const N: usize>(value: &[u8]) -> Result<[u8; N]> {
    value
        .try_into()
        .map_err(|_| Fault::record(format!("the value has {} bytes, and the converter reads {N}: check value.converter", value.len())))
}
