//! Rows behind the id of their schema in a registry (Confluent's wire format).

use std::fmt::Debug;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, BinaryArray, ListArray, RecordBatch, StructArray, new_null_array};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, Field, Fields, Schema, TimeUnit};

use super::{avro, json, protobuf};
use crate::number::is_exact_in_f64;
use crate::typed::{Field as TypedField, Type, Wire};

/// What schemas in a registry are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaKind {
    /// Avro.
    Avro,
    /// JSON Schema, for rows as JSON.
    Json,
    /// A Protobuf file.
    Protobuf,
}

/// Writes rows by one schema, each behind its id.
#[derive(Debug)]
pub struct RowWriter(Box<dyn Writer>);

/// What each kind of schema has of its own.
pub(super) trait Writer: Debug {
    /// The fields of the schema.
    fn fields(&self) -> &[TypedField];

    /// See [`RowWriter::write`].
    fn write(&mut self, rows: &RecordBatch) -> Result<BinaryArray, String>;
}

impl RowWriter {
    /// Whether it takes columns that were found out from values: its schema has each of them, of the same type or of one that is wider.
    pub fn holds(&self, columns: &Schema) -> bool {
        columns.fields().iter().all(|field| {
            let known = self.0.fields().iter().find(|known| *known.name == **field.name());
            known.and_then(|known| data_type(&known.kind)).is_some_and(|known| is_as_wide(&known, field.data_type()))
        })
    }

    /// The columns of its schema, in their order, and behind them those of `columns` that it does not have; `None`: types do not fit together. So a
    /// schema that comes after it has its fields, and their numbers in Protobuf.
    pub fn with(&self, columns: &Schema) -> Option<Schema> {
        let known = self.0.fields().iter().map(|field| Some(Field::new(&*field.name, data_type(&field.kind)?, true)));
        let mut all = known.collect::<Option<Vec<_>>>()?;
        for field in columns.fields() {
            match all.iter_mut().find(|known| known.name() == field.name()) {
                None => all.push(field.as_ref().clone()),
                Some(known) if is_as_wide(known.data_type(), field.data_type()) => {}
                Some(known) => known.try_merge(field).ok()?,
            }
        }
        Some(Schema::new(all))
    }

    /// Writes rows.
    ///
    /// # Errors
    /// A column that the schema does not have, or a value that does not fit it.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<BinaryArray, String> {
        self.0.write(rows)
    }
}

impl SchemaKind {
    /// As registries call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avro => "AVRO",
            Self::Json => "JSON",
            Self::Protobuf => "PROTOBUF",
        }
    }

    /// The schema of rows, as Confluent's converter makes it of a schema whose fields are optional. `name` is that of records; `single`: the rows are
    /// none, they stand in the one column `value`.
    ///
    /// # Errors
    /// Which column has a name or a type that such a schema does not have.
    pub fn schema_of(self, columns: &Schema, single: bool, name: &str) -> Result<String, String> {
        match self {
            Self::Avro => avro::schema_of(columns, single, name),
            Self::Json => json::schema_of(columns, single, name),
            Self::Protobuf => protobuf::schema_of(columns, single, name),
        }
    }

    /// A writer of a registered schema, which refers to no other; `single` as in [`SchemaKind::schema_of`].
    ///
    /// # Errors
    /// What is wrong with the schema.
    pub fn writer(self, schema: &str, id: u32, single: bool) -> Result<RowWriter, String> {
        let writer: Box<dyn Writer> = match self {
            Self::Avro => Box::new(avro::AvroWriter::new(schema, id)?),
            Self::Json => Box::new(json::JsonWriter::new(schema, id, single)?),
            Self::Protobuf => Box::new(protobuf::ProtobufWriter::new(schema, id)?),
        };
        Ok(RowWriter(writer))
    }
}

/// What stands before a value.
pub(super) fn prefix(id: u32) -> [u8; 5] {
    let [a, b, c, d] = id.to_be_bytes();
    [0, a, b, c, d]
}

pub(super) fn no_field(id: u32, name: &str) -> String {
    format!("the schema with id {id} has no field '{name}': register one that has it")
}

/// Checks that names, of columns and inside of them, are such in `format`, which is Avro or Protobuf (Avro specification, "Names"; Protobuf language
/// specification, "Identifiers").
pub(super) fn check_names(fields: &Fields, format: &str) -> Result<(), String> {
    match unfit(fields) {
        Some(name) => Err(format!(
            "column '{name}': a name in {format} has letters, digits and _ alone, and begins with no digit: give the columns such names (ReplaceField, \
             csv.columns)"
        )),
        None => Ok(()),
    }
}

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

/// The column as one of this type; what a struct does not have is null.
///
/// # Errors
/// The first value that this type can't hold, or a part of a struct that it does not have.
pub(super) fn exactly(array: &ArrayRef, kind: &DataType) -> Result<ArrayRef, String> {
    match (array.data_type(), kind) {
        (own, kind) if own == kind => Ok(Arc::clone(array)),
        (DataType::Struct(own), DataType::Struct(fields)) => {
            if let Some(extra) = own.iter().find(|own| fields.find(own.name()).is_none()) {
                return Err(format!("the schema has no field '{}' inside of it: register one that has it", extra.name()));
            }
            let parts = array.as_struct();
            let part = |field: &Arc<Field>| match parts.column_by_name(field.name()) {
                Some(part) => exactly(part, field.data_type()),
                None => Ok(new_null_array(field.data_type(), parts.len())),
            };
            let arrays = fields.iter().map(part).collect::<Result<Vec<_>, String>>()?;
            let made = StructArray::try_new_with_length(fields.clone(), arrays, parts.nulls().cloned(), parts.len());
            Ok(Arc::new(made.map_err(|e| e.to_string())?))
        }
        (DataType::List(_), DataType::List(item)) => {
            let list = array.as_list::<i32>();
            let items = exactly(list.values(), item.data_type())?;
            let made = ListArray::try_new(Arc::clone(item), list.offsets().clone(), items, list.nulls().cloned());
            Ok(Arc::new(made.map_err(|e| e.to_string())?))
        }
        _ => {
            if let Some(value) = inexact(array, kind) {
                return Err(format!("{value} is no number that a double can hold exactly"));
            }
            let exact = CastOptions { safe: false, ..CastOptions::default() };
            cast_with_options(array, kind, &exact).map_err(|e| e.to_string())
        }
    }
}

/// The first whole number that a column of doubles would change.
fn inexact(array: &ArrayRef, kind: &DataType) -> Option<i64> {
    let whole = array.as_primitive_opt::<Int64Type>().filter(|_| *kind == DataType::Float64)?;
    whole.iter().flatten().find(|value| !is_exact_in_f64(*value))
}

/// Whether a column of the type `known` has a place for each value of one of the type `own`.
fn is_as_wide(known: &DataType, own: &DataType) -> bool {
    match (own, known) {
        (DataType::Int32, DataType::Int64) | (DataType::Int32 | DataType::Int64 | DataType::Float32, DataType::Float64) => true,
        (DataType::Timestamp(TimeUnit::Millisecond, own), DataType::Timestamp(TimeUnit::Microsecond, known)) => own == known,
        (DataType::Time32(TimeUnit::Millisecond), DataType::Time64(TimeUnit::Microsecond)) => true,
        _ => own == known,
    }
}

/// The type of a column that a decoder makes of values of this type without knowing it.
pub(super) fn data_type(kind: &Type) -> Option<DataType> {
    let field = |field: &TypedField| Some(Field::new(&*field.name, data_type(&field.kind)?, true));
    Some(match kind {
        Type::Optional { of, .. } => data_type(of)?,
        Type::Leaf { wire: Wire::Enum(_) | Wire::Uuid | Wire::Fixed(_), .. } | Type::Null | Type::Map(_) | Type::Union(_) => return None,
        Type::Leaf { kind, .. } => kind.clone(),
        Type::Record(fields) => DataType::Struct(fields.iter().map(field).collect::<Option<_>>()?),
        Type::List(item) => DataType::new_list(data_type(item)?, true),
    })
}
