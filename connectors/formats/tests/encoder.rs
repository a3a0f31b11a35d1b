//! Rows as Avro and as JSON with a schema come back as they were.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use lakefeed_core::{Records, RecordsBuilder, RowSchema};
use lakefeed_formats::{AvroWriter, Converter, Decoder, DecoderOptions, Nulls, Single, WriterSchema, Written, avro_name, avro_schema_of};
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
    assert_eq!(as_text(&texts, &|written| written.text(Nulls::Written)), ["a\"b", "ü"]);
    assert_eq!(as_text(&texts, &|written| written.json(Nulls::Written)), ["\"a\\\"b\"", "\"ü\""]);
    let enveloped = as_text(&texts, &|written| written.json_with_schema("unused"));
    assert_eq!(enveloped[1], r#"{"schema":{"type":"string","optional":true},"payload":"ü"}"#);
    let numbers = one(Arc::new(Int64Array::from(vec![5, -7])));
    assert_eq!(as_text(&numbers, &|written| written.text(Nulls::Written)), ["5", "-7"]);
    assert_eq!(as_text(&numbers, &|written| written.json(Nulls::LeftOut)), ["5", "-7"]);
    let again = decoder(Converter::Single(Single::Text))
        .decode(&records(&Written { rows: &texts, single: true }.text(Nulls::Written).expect("written")));
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

/// Columns as a processor names them: JSON text inside of a struct.
fn stream_columns() -> SchemaRef {
    let parts = vec![Field::new("At", DataType::Int64, true), RowSchema::json_field("Keys"), RowSchema::json_field("NewImage")];
    let fields = vec![Field::new("eventName", DataType::Utf8, true), Field::new("dynamodb", DataType::Struct(parts.into()), true)];
    Arc::new(Schema::new(fields))
}

const CHANGES: [&[u8]; 2] = [
    br#"{"eventName":"INSERT","dynamodb":{"At":7,"Keys":{"id":{"N":"1"}},"NewImage":{"l":{"L":[]},"m":{"M":{}},"s":{"S":"\"\u000b"}}}}"#,
    br#"{"eventName":"REMOVE","dynamodb":{"At":8,"Keys":{"id":{"N":"1"}}}}"#,
];

#[test]
fn json_text_stands_in_json_as_it_is_and_is_text_where_there_is_a_schema() {
    let columns = stream_columns();
    let mut decoder = Decoder::of_columns(&columns).expect("columns that a decoder makes");
    let decoded = decoder.decode(&records(&CHANGES.iter().map(Some).collect()));
    assert_eq!((decoded.rejected.len(), decoded.rows.schema()), (0, Arc::clone(&columns)));
    let rows = Written { rows: &decoded.rows, single: false };
    let again = rows.json(Nulls::LeftOut).expect("written");
    assert_eq!(again.iter().flatten().collect::<Vec<_>>(), CHANGES);

    let enveloped = rows.json_with_schema("Record").expect("written");
    let first: Value = serde_json::from_slice(enveloped.value(0)).expect("JSON");
    assert_eq!(first["payload"]["dynamodb"]["Keys"], r#"{"id":{"N":"1"}}"#);
    let keys = json!({"type": "string", "optional": true, "field": "Keys"});
    assert_eq!((&first["schema"]["fields"][1]["type"], &first["schema"]["fields"][1]["fields"][1]), (&json!("struct"), &keys));
    let read = self::decoder(Converter::JsonWithSchema).decode(&records(&enveloped));
    assert_eq!((read.rejected.len(), read.rows.num_rows()), (0, 2));

    let schema = avro_schema_of(&columns, false, "Record").expect("a schema");
    let written = AvroWriter::new(&schema, 7).and_then(|mut writer| writer.write(&decoded.rows)).expect("written");
    let mut avro = self::decoder(Converter::Avro);
    avro.learn_schema(7, Ok(WriterSchema { subject: "s".into(), text: schema, references: Vec::new() }));
    let read = avro.decode(&records(&written));
    let texts = |rows: &RecordBatch| Written { rows, single: false }.json_with_schema("Record").expect("written");
    assert_eq!((read.rejected.len(), texts(&read.rows)), (0, enveloped));
}

#[test]
fn names_inside_of_structs_have_to_be_names_in_avro_too() {
    let of = |name: &str| {
        let parts = vec![Field::new(name, DataType::Utf8, true)];
        let list = DataType::new_list(DataType::Struct(parts.into()), true);
        avro_schema_of(&Schema::new(vec![Field::new("a", list, true)]), false, "Row")
    };
    assert!(of("b_1").is_ok());
    for name in ["b-1", "1b", "ü", ""] {
        assert!(of(name).expect_err(name).contains(&format!("column '{name}'")), "{name}");
    }
}

#[test]
fn a_schema_holds_columns_that_are_narrower_and_loses_no_digit() {
    let one = |array: ArrayRef| RecordBatch::try_from_iter_with_nullable([("a", array, true)]).expect("a batch");
    let (whole, double) = (one(Arc::new(Int64Array::from(vec![5, 1 << 53]))), one(Arc::new(Float64Array::from(vec![1.5]))));
    let writer =
        |rows: &RecordBatch| avro_schema_of(&rows.schema(), false, "Row").and_then(|text| AvroWriter::new(&text, 1)).expect("a writer");
    assert!(writer(&double).holds(&whole.schema()) && writer(&whole).holds(&whole.schema()));
    assert!(!writer(&whole).holds(&double.schema()));
    assert!(!writer(&double).holds(&Schema::new(vec![Field::new("b", DataType::Float64, true)])));
    assert!(!writer(&double).holds(&Schema::new(vec![Field::new("a", DataType::Utf8, true)])));
    assert_eq!(writer(&double).write(&whole).expect("written").len(), 2);
    let odd = one(Arc::new(Int64Array::from(vec![(1 << 53) + 1])));
    assert!(writer(&double).write(&odd).expect_err("a digit would be lost").contains("9007199254740993"));
}
