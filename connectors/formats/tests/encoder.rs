//! Rows as Avro and as JSON with a schema come back as they were.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use lakefeed_core::{Records, RecordsBuilder};
use lakefeed_formats::{AvroWriter, Converter, Decoder, DecoderOptions, Single, WriterSchema, Written, avro_name, avro_schema_of};
use serde_json::{Value, json};

fn rows() -> RecordBatch {
    let columns: [(&str, ArrayRef); 8] = [
        ("id", Arc::new(Int64Array::from(vec![i64::MIN, 0, i64::MAX]))),
        ("n", Arc::new(Int32Array::from(vec![Some(-1), None, Some(7)]))),
        ("pm", Arc::new(Float64Array::from(vec![Some(0.1), Some(-0.0), None]))),
        ("name", Arc::new(StringArray::from(vec![Some(""), Some("ünï \"q\""), None]))),
        ("raw", Arc::new(BinaryArray::from_opt_vec(vec![Some(b"\x00\xff"), None, Some(b"")]))),
        ("on", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        ("day", Arc::new(Date32Array::from(vec![Some(-1), None, Some(19_000)]))),
        ("at", Arc::new(TimestampMillisecondArray::from(vec![Some(-1), None, Some(1_700_000_000_123)]).with_timezone("UTC"))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).expect("a batch")
}

fn records(values: &BinaryArray) -> Records {
    let mut builder = RecordsBuilder::with_capacity("t".into(), 0, values.len(), 0);
    (0_i64..).zip(values).for_each(|(offset, value)| builder.push(offset, 0, None, value));
    builder.finish()
}

fn decoder(converter: Converter) -> Decoder {
    Decoder::new(DecoderOptions { converter, ..DecoderOptions::default() })
}

#[test]
fn avro_rows_come_back() {
    let rows = rows();
    let schema = avro_schema_of(&rows.schema(), false, "io.example.Row").expect("a schema");
    assert_eq!(avro_name(&schema).as_deref(), Some("io.example.Row"));
    let parsed: Value = serde_json::from_str(&schema).expect("JSON");
    let at = json!({"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}], "default": null});
    assert_eq!((&parsed["fields"][7], &parsed["name"], &parsed["namespace"]), (&at, &json!("Row"), &json!("io.example")));
    let written = AvroWriter::new(&schema, 7).and_then(|mut writer| writer.write(&rows)).expect("written");
    assert_eq!(&written.value(0)[..5], [0, 0, 0, 0, 7]);
    let mut decoder = decoder(Converter::Avro);
    decoder.learn_schema(7, Ok(WriterSchema { subject: "s".into(), text: schema, references: Vec::new() }));
    let decoded = decoder.decode(&records(&written));
    assert_eq!((decoded.rejected, decoded.rows), (Vec::new(), rows));
}

#[test]
fn json_rows_with_their_schema_come_back() {
    let rows = rows();
    let written = Written { rows: &rows, single: false }.json_with_schema("io.example.Row").expect("written");
    let first: Value = serde_json::from_slice(written.value(1)).expect("JSON");
    assert_eq!(first["payload"]["name"], "ünï \"q\"");
    assert_eq!(first["schema"]["fields"][0], json!({"type": "int64", "optional": true, "field": "id"}));
    assert_eq!((&first["schema"]["name"], &first["schema"]["optional"]), (&json!("io.example.Row"), &json!(false)));
    let decoded = decoder(Converter::JsonWithSchema).decode(&records(&written));
    assert_eq!((decoded.rejected, decoded.rows), (Vec::new(), rows));
}

#[test]
fn a_value_that_is_no_record_is_written_as_itself() {
    let one = |array: ArrayRef| RecordBatch::try_from_iter_with_nullable([("value", array, true)]).expect("a batch");
    let texts = one(Arc::new(StringArray::from(vec!["a\"b", "ü"])));
    let schema = avro_schema_of(&texts.schema(), true, "unused").expect("a schema");
    assert_eq!((schema.as_str(), avro_name(&schema)), ("\"string\"", None));
    let written = AvroWriter::new(&schema, 1).and_then(|mut writer| writer.write(&texts)).expect("written");
    assert_eq!(written.value(0), b"\0\0\0\0\x01\x06a\"b");
    let as_text = |rows: &RecordBatch, text: &dyn Fn(Written<'_>) -> Result<BinaryArray, String>| {
        let written = text(Written { rows, single: true }).expect("written");
        (0..written.len()).map(|row| String::from_utf8_lossy(written.value(row)).into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(as_text(&texts, &|written| written.text()), ["a\"b", "ü"]);
    assert_eq!(as_text(&texts, &|written| written.json()), ["\"a\\\"b\"", "\"ü\""]);
    let enveloped = as_text(&texts, &|written| written.json_with_schema("unused"));
    assert_eq!(enveloped[1], r#"{"schema":{"type":"string","optional":true},"payload":"ü"}"#);
    let numbers = one(Arc::new(Int64Array::from(vec![5, -7])));
    assert_eq!(as_text(&numbers, &|written| written.text()), ["5", "-7"]);
    assert_eq!(as_text(&numbers, &|written| written.json()), ["5", "-7"]);
    let again = decoder(Converter::Single(Single::Text)).decode(&records(&Written { rows: &texts, single: true }.text().expect("written")));
    assert_eq!(again.rows, texts);
}

#[test]
fn columns_are_cast_to_a_schema_that_is_there_and_misfits_are_named() {
    let schema = |fields: &str| format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#);
    let field = |name: &str, kind: &str| format!(r#"{{"name":"{name}","type":{kind}}}"#);
    let columns: [(&str, ArrayRef); 2] =
        [("id", Arc::new(Int64Array::from(vec![1, 2]))), ("name", Arc::new(StringArray::from(vec![Some("3"), None])))];
    let rows = RecordBatch::try_from_iter(columns).expect("a batch");
    let write = |fields: &[String]| AvroWriter::new(&schema(&fields.join(",")), 9).and_then(|mut writer| writer.write(&rows));
    let optional = |kind: &str| format!(r#"[{kind},"null"]"#);
    let written = write(&[field("name", &optional("\"int\"")), field("new", &optional("\"string\"")), field("id", "\"double\"")]);
    assert_eq!(written.expect("written").value(0), [&[0, 0, 0, 0, 9, 0, 6, 2][..], &1.0_f64.to_le_bytes()].concat());
    for (fields, expected) in [
        (&[field("id", "\"long\"")][..], "the schema with id 9 has no field 'name'"),
        (&[field("id", "\"long\""), field("name", "\"string\"")], "the schema with id 9"),
        (&[field("id", "\"long\""), field("name", "\"boolean\"")], "field name:"),
        (&[field("id", r#"{"type":"enum","name":"E","symbols":["A"]}"#), field("name", &optional("\"string\""))], "the schema with id 9"),
        (
            &[field("id", "\"long\""), field("name", &optional("\"string\"")), field("new", r#"{"type":"array","items":"int"}"#)],
            "field new: the rows do not have it",
        ),
    ] {
        let error = write(fields).expect_err(expected);
        assert!(error.contains(expected), "{error}");
    }
    let named = RecordBatch::try_from_iter([("a b", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]).expect("a batch");
    let error = avro_schema_of(&named.schema(), false, "R").expect_err("no such name in Avro");
    assert!(error.contains("column 'a b'"), "{error}");
}
