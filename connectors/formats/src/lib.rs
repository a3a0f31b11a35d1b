//! Decodes Kafka records into Arrow batches.
//!
//! [`Decoder`] reads JSON values, plain or as DynamoDB stream records, straight into typed columns: one pass, no tree in between,
//! nothing on the heap per record. [`write_json_lines`] is the way back.

mod column;
mod decoder;
mod fault;
mod fields;
mod image;
mod json;
mod json_lines;
mod number;
mod object;
mod schema;
pub mod transforms;

pub use decoder::{Decoded, Decoder, DecoderOptions, SchemaConflict, Shape};
pub use json_lines::{Nulls, write_json_lines};
pub use schema::{DeclaredType, parse_declared};
