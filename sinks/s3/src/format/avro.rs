//! Avro object container files.
//!
//! A name of Avro is made of letters, digits and `_`: other characters of a column's name become `_`, and the name as it was is the
//! field's `doc`. Every field is a union with null.

use std::fmt::Debug;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, ListArray, RecordBatch, RecordBatchOptions, StructArray};
use arrow_avro::compression::CompressionCodec;
use arrow_avro::errors::AvroError;
use arrow_avro::schema::AVRO_DOC_METADATA_KEY;
use arrow_avro::writer::format::AvroOcfFormat;
use arrow_avro::writer::{Writer, WriterBuilder};
use arrow_schema::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use lakefeed_core::{Error, Result};

use super::{Buffer, Encoder};

/// About the bytes of rows in memory that make a block: Avro's Java library ends a block at 64,000 bytes.
const BLOCK_BYTES: usize = 64_000;

/// An Avro file.
pub(crate) struct AvroEncoder {
    writer: Writer<Buffer, AvroOcfFormat>,
    schema: SchemaRef,
    buffer: Buffer,
}

impl AvroEncoder {
    pub(crate) fn start(codec: Option<CompressionCodec>, schema: &Schema, out: Buffer) -> Result<Self> {
        let schema = Arc::new(Schema::new(renamed(schema.fields())?));
        let builder = WriterBuilder::new(schema.as_ref().clone()).with_compression(codec);
        let writer = builder.build(out.clone()).map_err(failed)?;
        Ok(Self { writer, schema, buffer: out })
    }
}

impl Debug for AvroEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AvroEncoder")
    }
}

impl Encoder for AvroEncoder {
    fn encode(&mut self, rows: &[RecordBatch]) -> Result<u64> {
        let before = self.buffer.len();
        for rows in rows {
            let rows = with_names(rows, &self.schema)?;
            let blocks = rows.get_array_memory_size().div_ceil(BLOCK_BYTES);
            let block_rows = rows.num_rows().div_ceil(blocks.max(1)).max(1);
            for start in (0..rows.num_rows()).step_by(block_rows) {
                let block = rows.slice(start, block_rows.min(rows.num_rows() - start));
                self.writer.write(&block).map_err(failed)?;
            }
        }
        Ok((self.buffer.len() - before) as u64)
    }

    fn finish(mut self: Box<Self>, _metadata: &[(&str, String)]) -> Result<()> {
        self.writer.finish().map_err(failed)
    }
}

fn failed(error: AvroError) -> Error {
    Error::fatal("can't encode rows as Avro").with_source(error)
}

/// The fields with names that Avro takes (Avro specification, "Names").
fn renamed(fields: &Fields) -> Result<Fields> {
    let names: Vec<String> = fields.iter().map(|field| avro_name(field.name())).collect();
    let rename = |(index, field): (usize, &FieldRef)| {
        let name = names[index].clone();
        if let Some(other) = names[..index].iter().position(|earlier| *earlier == name) {
            return Err(Error::config(format!(
                "the columns '{}' and '{}' would both be called '{name}' in an Avro file: rename one of them in the records, or write \
                 another format",
                fields[other].name(),
                field.name()
            )));
        }
        let kind = match field.data_type() {
            DataType::Struct(fields) => DataType::Struct(renamed(fields)?),
            DataType::List(item) => {
                let items = renamed(&Fields::from(vec![Arc::clone(item)]))?;
                DataType::List(Arc::clone(&items[0]))
            }
            other => other.clone(),
        };
        let doc = (name != *field.name()).then(|| (AVRO_DOC_METADATA_KEY.to_owned(), field.name().clone()));
        Ok(Field::new(name, kind, field.is_nullable()).with_metadata(doc.into_iter().collect()))
    };
    fields.iter().enumerate().map(rename).collect()
}

fn avro_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let digit = name.starts_with(|c: char| c.is_ascii_digit());
    digit.then_some('_').into_iter().chain(name.chars().map(plain)).collect()
}

/// The same rows under the names of `schema`.
fn with_names(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = rows.columns().iter().zip(schema.fields()).map(|(column, field)| relabelled(column, field.data_type()));
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns.collect(), &options)
        .map_err(|e| Error::fatal("can't name the columns of an Avro file").with_source(e))
}

/// The array as `kind`, which differs in the names of nested fields only.
fn relabelled(array: &ArrayRef, kind: &DataType) -> ArrayRef {
    match kind {
        _ if array.data_type() == kind => Arc::clone(array),
        DataType::Struct(fields) => {
            let array = array.as_struct();
            let columns = array.columns().iter().zip(fields).map(|(column, field)| relabelled(column, field.data_type()));
            Arc::new(StructArray::new(fields.clone(), columns.collect(), array.nulls().cloned()))
        }
        DataType::List(item) => {
            let array = array.as_list::<i32>();
            let values = relabelled(array.values(), item.data_type());
            Arc::new(ListArray::new(Arc::clone(item), array.offsets().clone(), values, array.nulls().cloned()))
        }
        _ => Arc::clone(array),
    }
}
