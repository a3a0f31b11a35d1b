//! What the tests share.

#[allow(dead_code)]
pub(crate) mod model;

use std::fmt::Write;

use arrow_schema::{DataType, TimeUnit};
use lakefeed_core::{Records, RecordsBuilder};
use lakefeed_formats::{Decoded, Nulls, write_json_lines};

/// Records with these values, at offsets from 0.
#[allow(dead_code)]
pub(crate) fn decoder_records<V: AsRef<[u8]>>(values: &[Option<V>]) -> Records {
    let mut builder = RecordsBuilder::with_capacity("topic".into(), 0, values.len(), 1024);
    for (offset, value) in values.iter().enumerate() {
        builder.push(offset as i64, -1, None, value.as_ref().map(AsRef::as_ref));
    }
    builder.finish()
}

/// A type as DuckDB writes it.
#[allow(dead_code)]
pub(crate) fn type_name(kind: &DataType) -> String {
    match kind {
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int32 => "INTEGER".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::Float32 => "REAL".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Utf8 => "VARCHAR".into(),
        DataType::Binary => "BLOB".into(),
        DataType::Date32 => "DATE".into(),
        DataType::Timestamp(TimeUnit::Millisecond, Some(_)) => "TIMESTAMP".into(),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => format!("MAP({}, {})", type_name(fields[0].data_type()), type_name(fields[1].data_type())),
            other => other.to_string(),
        },
        DataType::List(item) => format!("{}[]", type_name(item.data_type())),
        DataType::Struct(fields) => {
            let fields: Vec<_> = fields.iter().map(|f| format!("{} {}", f.name(), type_name(f.data_type()))).collect();
            format!("STRUCT({})", fields.join(", "))
        }
        other => other.to_string(),
    }
}

/// What came out, a line each: the schema (=), rows (<), tombstones (~), rejects (!).
#[allow(dead_code)]
pub(crate) fn describe(decoded: &Decoded, out: &mut String) {
    let schema = decoded.rows.schema();
    let columns: Vec<_> = schema.fields().iter().map(|f| format!("{} {}", f.name(), type_name(f.data_type()))).collect();
    writeln!(out, "{}", format!("= {}", columns.join(", ")).trim_end()).expect("a string");
    let mut lines = Vec::new();
    write_json_lines(&decoded.rows, Nulls::Written, &mut lines).expect("JSON lines");
    for (index, line) in decoded.indices.iter().zip(String::from_utf8(lines).expect("UTF-8").lines()) {
        writeln!(out, "< {index} {line}").expect("a string");
    }
    for index in &decoded.tombstones {
        writeln!(out, "~ {index}").expect("a string");
    }
    for reject in &decoded.rejected {
        let field = reject.field.as_ref().map(|f| format!("{f}: ")).unwrap_or_default();
        writeln!(out, "! {} {field}{}", reject.row, reject.message).expect("a string");
    }
    if decoded.dropped > 0 {
        writeln!(out, "dropped {}", decoded.dropped).expect("a string");
    }
}
