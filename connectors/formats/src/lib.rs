//! Decodes Kafka records into Arrow batches.
//!
//! [`Decoder`] reads values (JSON with and without a schema, DynamoDB stream records, Avro, text, numbers) straight into typed columns: one
//! pass, no tree in between, nothing on the heap per record. Where the schemas of Avro come from is not known here. [`Written`] and
//! [`RowWriter`] are the way back.

mod avro;
mod avro_schema;
mod column;
mod connect_schema;
mod converter;
mod data;
mod decoder;
mod encoder;
mod fault;
mod fields;
mod image;
mod json;
mod json_lines;
mod json_schema;
mod number;
mod object;
mod protobuf;
mod schema;
mod schemas;
mod short_number;
mod transforms;
mod typed;
mod validity;

pub use converter::{Converter, Single};
pub use decoder::{Beside, Decoded, Decoder, DecoderOptions, SchemaConflict, Shape};
pub use encoder::{RowWriter, SchemaKind, Written};
pub use json_lines::{Nulls, write_json_lines};
pub use number::whole;
pub use schema::{DeclaredType, parse_declared};
pub use schemas::WriterSchema;
pub use transforms::{Chain, NamedKey, Place, RoutedTopic, Transforms, key_texts, keys_present};
