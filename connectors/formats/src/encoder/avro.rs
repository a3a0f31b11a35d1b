//! Rows as Avro, with arrow-avro.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{Array, BinaryArray, RecordBatch, new_null_array};
use arrow_avro::schema::{
    AVRO_FIELD_DEFAULT_METADATA_KEY, AVRO_NAME_METADATA_KEY, AVRO_NAMESPACE_METADATA_KEY, AvroSchema, FingerprintStrategy,
    SCHEMA_METADATA_KEY,
};
use arrow_avro::writer::format::AvroSoeFormat;
use arrow_avro::writer::{Encoder, WriterBuilder};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use serde_json::{Value, json};

use super::VALUE;
use super::registered::{Writer, check_names, data_type, exactly, no_field};
use crate::avro_schema;
use crate::typed::{Field as TypedField, Type};

/// The Avro schema of rows, as Confluent's converter makes it of a schema whose fields are optional: each field is a union with null, which is
/// its default. A value that is no record has the type of its column.
///
/// # Errors
/// Which column has a name or a type that Avro does not have.
pub(super) fn schema_of(columns: &Schema, single: bool, name: &str) -> Result<String, String> {
    let column =
        |field: &Arc<Field>| if single { Field::new(field.name(), with_defaults(field.data_type()), false) } else { with_default(field) };
    let (space, short) = name.rsplit_once('.').unwrap_or(("", name));
    let mut metadata = HashMap::from([(AVRO_NAME_METADATA_KEY.to_owned(), short.to_owned())]);
    if !space.is_empty() {
        metadata.insert(AVRO_NAMESPACE_METADATA_KEY.to_owned(), space.to_owned());
    }
    let schema = Schema::new_with_metadata(columns.fields().iter().map(column).collect::<Vec<_>>(), metadata);
    check_names(schema.fields(), "Avro")?;
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

/// Writes rows as Avro behind the id of their schema (Confluent's wire format), with arrow-avro.
#[derive(Debug)]
pub(super) struct AvroWriter {
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
    pub(super) fn new(schema: &str, id: u32) -> Result<Self, String> {
        let fields = avro_schema::parse(schema, &[])?.into_row();
        let parsed: Value = serde_json::from_str(schema).map_err(|e| format!("the schema is no JSON: {e}"))?;
        let record = if parsed["type"] == "record" {
            schema.to_owned()
        } else {
            json!({"type": "record", "name": "Row", "fields": [{"name": VALUE, "type": parsed}]}).to_string()
        };
        Ok(Self { fields, record, id, encoder: None })
    }
}

impl Writer for AvroWriter {
    fn fields(&self) -> &[TypedField] {
        &self.fields
    }

    /// Columns are cast to the types of the schema; a column that is missing is null.
    fn write(&mut self, rows: &RecordBatch) -> Result<BinaryArray, String> {
        let schema = rows.schema();
        let known = |field: &&Arc<Field>| self.fields.iter().any(|known| *known.name == **field.name());
        if let Some(extra) = schema.fields().iter().find(|field| !known(field)) {
            return Err(no_field(self.id, extra.name()));
        }
        let columns = self.fields.iter().map(|field| {
            let optional = matches!(field.kind, Type::Optional { .. } | Type::Null);
            let array = match (rows.column_by_name(&field.name), data_type(&field.kind)) {
                (Some(array), Some(kind)) => exactly(array, &kind).map_err(|e| format!("field {}: {e}", field.name))?,
                (Some(array), None) => Arc::clone(array),
                (None, Some(kind)) if optional || !kind.is_nested() => new_null_array(&kind, rows.num_rows()),
                (None, _) => return Err(format!("field {}: the rows do not have it, and it has no simple type", field.name)),
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
