//! Rows as Avro and as JSON with a schema come back as they were.

use std::sync::Arc;

use arrow_array::types::Int64Type;
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray,
    StructArray, Time32MillisecondArray, TimestampMillisecondArray, TimestampSecondArray,
};
use arrow_buffer::OffsetBuffer;
use arrow_cast::cast;
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use lakefeed_core::{Records, RecordsBuilder, RowSchema};
use lakefeed_formats::{Converter, Decoder, DecoderOptions, Nulls, SchemaKind, Single, WriterSchema, Written};
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

/// What a decoder makes of values behind the id 7 of this schema.
fn read_back(converter: Converter, schema: String, written: &BinaryArray) -> RecordBatch {
    assert_eq!(&written.value(0)[..5], [0, 0, 0, 0, 7]);
    let mut decoder = decoder(converter);
    decoder.learn_schema(7, Ok(WriterSchema { subject: "s".into(), text: schema, references: Vec::new() }));
    let decoded = decoder.decode(&records(written));
    assert_eq!(decoded.rejected, Vec::new());
    decoded.rows
}

#[test]
fn avro_rows_come_back() {
    let rows = rows();
    let schema = SchemaKind::Avro.schema_of(&rows.schema(), false, "io.example.Row").expect("a schema");
    let parsed: Value = serde_json::from_str(&schema).expect("JSON");
    let at = json!({"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}], "default": null});
    assert_eq!((&parsed["fields"][7], &parsed["name"], &parsed["namespace"]), (&at, &json!("Row"), &json!("io.example")));
    let written = SchemaKind::Avro.writer(&schema, 7, false).and_then(|mut writer| writer.write(&rows)).expect("written");
    assert_eq!(read_back(Converter::Avro, schema, &written), rows);
}

#[test]
fn a_schema_that_comes_after_another_has_its_columns_and_takes_rows_without_them() {
    let one = |name: &str, array: ArrayRef| RecordBatch::try_from_iter_with_nullable([(name, array, true)]).expect("a batch");
    let strukt = |parts: Vec<(&str, ArrayRef)>| {
        let part = |(name, array): (&str, ArrayRef)| (Arc::new(Field::new(name, array.data_type().clone(), true)), array);
        Arc::new(StructArray::from(parts.into_iter().map(part).collect::<Vec<_>>())) as ArrayRef
    };
    let numbers = |values: Vec<i64>| Arc::new(Int64Array::from(values)) as ArrayRef;
    let texts = |values: Vec<&str>| Arc::new(StringArray::from(values)) as ArrayRef;
    let tags = ListArray::from_iter_primitive::<Int64Type, _, _>(vec![Some(vec![Some(1)])]);
    let parts = vec![("b", numbers(vec![1])), ("c", texts(vec!["c"]))];
    let columns: [(&str, ArrayRef); 3] =
        [("pm", Arc::new(Float64Array::from(vec![1.5]))), ("deep", strukt(parts)), ("tags", Arc::new(tags))];
    let before = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).expect("a batch");
    let deep = strukt(vec![("a", texts(vec!["t"])), ("b", numbers(vec![2]))]);
    let after = [("more", texts(vec!["m"])), ("deep", deep), ("pm", numbers(vec![2]))];
    let after = RecordBatch::try_from_iter_with_nullable(after.map(|(name, array)| (name, array, true))).expect("a batch");
    for (kind, converter) in
        [(SchemaKind::Avro, Converter::Avro), (SchemaKind::Json, Converter::JsonRegistered), (SchemaKind::Protobuf, Converter::Protobuf)]
    {
        let first = kind.schema_of(&before.schema(), false, "Row").and_then(|text| kind.writer(&text, 1, false)).expect("a writer");
        assert!(first.holds(&before.schema()) && !first.holds(&after.schema()), "{kind:?}");
        let both = first.with(&after.schema()).expect("columns that fit together");
        assert_eq!(both.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>(), ["pm", "deep", "tags", "more"]);
        assert!(first.with(&one("deep", numbers(vec![1])).schema()).is_none(), "a struct and a number");
        let schema = kind.schema_of(&both, false, "Row").expect("a schema");
        let mut writer = kind.writer(&schema, 7, false).expect("a writer");
        assert_eq!(writer.with(&before.schema()).as_ref(), Some(&both), "nothing new");
        let written = writer.write(&after).expect("rows without some of the columns");
        let read = read_back(converter.clone(), schema, &written);
        let row = Written { rows: &read, single: false }.json(Nulls::LeftOut).expect("JSON");
        let row: Value = serde_json::from_slice(row.value(0)).expect("JSON");
        let mut expected = json!({"pm": 2.0, "deep": {"b": 2, "a": "t"}, "more": "m"});
        if kind == SchemaKind::Protobuf {
            expected["tags"] = json!([]);
        }
        assert_eq!(row, expected, "{kind:?}");
    }
    let closed = r#"{"type":"record","name":"R","fields":[{"name":"deep","type":{"type":"record","name":"D","fields":[{"name":"b","type":"long"}]}}]}"#;
    let error = SchemaKind::Avro.writer(closed, 9, false).and_then(|mut writer| writer.write(&one("deep", Arc::clone(after.column(1)))));
    assert!(error.expect_err("a part that the schema does not have").contains("field deep: the schema has no field 'a' inside of it"));
}

/// Rows of `rows`, in structs and lists too; a list can't be null in Protobuf.
fn nested_rows() -> RecordBatch {
    let rows = rows();
    let inner = Arc::new(StructArray::new(rows.schema().fields().clone(), rows.columns().to_vec(), Some(vec![true, false, true].into())));
    let list = |items: ArrayRef, ends: [i32; 4]| {
        let item = Arc::new(Field::new_list_field(items.data_type().clone(), true));
        Arc::new(ListArray::new(item, OffsetBuffer::new(ends.to_vec().into()), items, None)) as ArrayRef
    };
    let deep = StructArray::from(vec![(Arc::new(Field::new("tags", DataType::new_list(DataType::Utf8, true), true)), {
        list(Arc::new(StringArray::from(vec!["a", "", "c"])), [0, 0, 2, 3])
    })]);
    let mut columns: Vec<(String, ArrayRef)> =
        rows.schema().fields().iter().zip(rows.columns()).map(|(field, array)| (field.name().clone(), Arc::clone(array))).collect();
    columns.push(("inner".into(), inner));
    columns.push(("items".into(), list(Arc::new(deep), [0, 2, 2, 3])));
    columns.push(("days".into(), list(Arc::new(Date32Array::from(vec![0, -719_162])), [0, 0, 1, 2])));
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).expect("a batch")
}

#[test]
fn rows_of_a_json_schema_come_back() {
    let rows = nested_rows();
    let schema = SchemaKind::Json.schema_of(&rows.schema(), false, "io.example.Row").expect("a schema");
    let parsed: Value = serde_json::from_str(&schema).expect("JSON");
    assert_eq!((&parsed["$schema"], &parsed["title"]), (&json!("http://json-schema.org/draft-07/schema#"), &json!("io.example.Row")));
    let optional = |index: u32, of: Value| json!({"oneOf": [{"type": "null"}, of], "connect.index": index});
    for (name, expected) in [
        ("n", optional(1, json!({"type": "integer", "connect.type": "int32"}))),
        ("pm", optional(2, json!({"type": "number", "connect.type": "float64"}))),
        ("name", optional(3, json!({"type": "string"}))),
        ("raw", optional(4, json!({"type": "string", "connect.type": "bytes"}))),
        (
            "at",
            optional(
                7,
                json!({"type": "integer", "connect.type": "int64", "title": "org.apache.kafka.connect.data.Timestamp", "connect.version": 1}),
            ),
        ),
    ] {
        assert_eq!(parsed["properties"][name], expected, "{name}");
    }
    let written = SchemaKind::Json.writer(&schema, 7, false).and_then(|mut writer| writer.write(&rows)).expect("written");
    let first: Value = serde_json::from_slice(&written.value(1)[5..]).expect("JSON");
    assert_eq!(
        (&first["name"], &first["day"], &first["inner"], &first["days"]),
        (&json!("ünï \"q\""), &json!(null), &json!(null), &json!([0]))
    );
    assert_eq!(read_back(Converter::JsonRegistered, schema, &written), rows);
}

#[test]
fn protobuf_rows_come_back() {
    let rows = nested_rows();
    let schema = SchemaKind::Protobuf.schema_of(&rows.schema(), false, "io.example.Row").expect("a schema");
    let expected = r#"syntax = "proto3";
package io.example;

import "google/protobuf/timestamp.proto";
import "google/type/date.proto";

message Row {
  optional int64 id = 1;
  optional int32 n = 2;
  optional double pm = 3;
  optional string name = 4;
  optional bytes raw = 5;
  optional bool on = 6;
  optional .google.type.Date day = 7;
  optional .google.protobuf.Timestamp at = 8;
  optional inner_message inner = 9;
  repeated items_message items = 10;
  repeated .google.type.Date days = 11;
"#;
    assert!(
        schema.starts_with(expected) && schema.contains("\n  message items_message {\n    repeated string tags = 1;\n  }\n"),
        "{schema}"
    );
    let written = SchemaKind::Protobuf.writer(&schema, 7, false).and_then(|mut writer| writer.write(&rows)).expect("written");
    assert_eq!(written.value(1)[5], 0, "the first message");
    let read = read_back(Converter::Protobuf, schema, &written);
    // Microseconds are Protobuf's own.
    let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let as_read = |field: &Arc<Field>| match field.data_type() {
        DataType::Timestamp(..) => field.as_ref().clone().with_data_type(micros.clone()),
        DataType::Struct(parts) => {
            let part = |part: &Arc<Field>| match part.data_type() {
                DataType::Timestamp(..) => part.as_ref().clone().with_data_type(micros.clone()),
                _ => part.as_ref().clone(),
            };
            field.as_ref().clone().with_data_type(DataType::Struct(parts.iter().map(part).collect()))
        }
        _ => field.as_ref().clone(),
    };
    let schema = Arc::new(Schema::new(rows.schema().fields().iter().map(as_read).collect::<Vec<_>>()));
    let arrays = rows.columns().iter().zip(schema.fields()).map(|(array, field)| cast(array, field.data_type()).expect("cast"));
    assert_eq!(read, RecordBatch::try_new(Arc::clone(&schema), arrays.collect()).expect("a batch"));
}

#[test]
fn times_of_day_are_protobufs_own() {
    let times: ArrayRef = Arc::new(Time32MillisecondArray::from(vec![Some(46_923_004), None, Some(0), Some(86_399_999)]));
    let rows = RecordBatch::try_from_iter_with_nullable([("at", times)].map(|(name, array)| (name, array, true))).expect("a batch");
    let schema = SchemaKind::Protobuf.schema_of(&rows.schema(), false, "Row").expect("a schema");
    assert!(
        schema.contains("\nimport \"google/type/timeofday.proto\";\n") && schema.contains("optional .google.type.TimeOfDay at = 1;"),
        "{schema}"
    );
    let mut writer = SchemaKind::Protobuf.writer(&schema, 7, false).expect("a writer");
    assert!(writer.holds(&rows.schema()), "microseconds hold milliseconds");
    let written = writer.write(&rows).expect("written");
    let read = read_back(Converter::Protobuf, schema, &written);
    let micros = cast(rows.column(0), &DataType::Time64(TimeUnit::Microsecond)).expect("cast");
    assert_eq!(read.column(0), &micros);
}

#[test]
fn what_json_schemas_and_protobuf_have_no_place_for_is_named() {
    let one = |name: &str, array: ArrayRef| RecordBatch::try_from_iter_with_nullable([(name, array, true)]).expect("a batch");
    let number = |name: &str| one(name, Arc::new(Int64Array::from(vec![Some(1), None])));
    let list = |items: Vec<Option<Vec<Option<i64>>>>| one("a", Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(items)));
    let lists = {
        let inner = ListArray::from_iter_primitive::<Int64Type, _, _>(vec![Some(vec![Some(1)])]);
        let item = Arc::new(Field::new_list_field(inner.data_type().clone(), true));
        one("a", Arc::new(ListArray::new(item, OffsetBuffer::new(vec![0, 1].into()), Arc::new(inner), None)))
    };
    let seconds = one("a", Arc::new(TimestampSecondArray::from(vec![1])));
    for (kind, rows, name, single, expected) in [
        (SchemaKind::Json, &seconds, "Row", false, "column a: JsonSchemaConverter has no form for Timestamp(s)"),
        (SchemaKind::Protobuf, &seconds, "Row", false, "column a: ProtobufConverter has no form for Timestamp(s)"),
        (SchemaKind::Protobuf, &lists, "Row", false, "column a: ProtobufConverter has no form for List"),
        (SchemaKind::Protobuf, &number("a b"), "Row", false, "column 'a b': a name in Protobuf"),
        (SchemaKind::Protobuf, &number("a"), "my-row", false, "the schema is no Protobuf file"),
        (SchemaKind::Protobuf, &number("value"), "Row", true, "HoistField"),
    ] {
        let error = kind.schema_of(&rows.schema(), single, name).expect_err(expected);
        assert!(error.contains(expected), "{error}");
    }
    let open = r#"{"type":"object","properties":{"a":{"type":"integer"}}}"#;
    let closed = r#"{"type":"object","properties":{"a":{"type":"boolean"}},"additionalProperties":false}"#;
    let text = |fields: &str| format!("syntax = \"proto3\"; message R {{ {fields} }} enum E {{ ON = 0; }}");
    let write =
        |kind: SchemaKind, schema: &str, rows: &RecordBatch| kind.writer(schema, 9, false).and_then(|mut writer| writer.write(rows));
    for (kind, schema, rows, expected) in [
        (SchemaKind::Json, closed, &number("b"), "the schema with id 9 has no field 'b'"),
        (SchemaKind::Json, open, &one("a", Arc::new(StringArray::from(vec!["x"]))), "field a: "),
        (SchemaKind::Protobuf, &text("int64 b = 1;"), &number("a"), "the schema with id 9: the message R has no field 'a'"),
        (SchemaKind::Protobuf, &text("int64 a = 1;"), &number("a"), "field a: a row has null, which would be zero"),
        (SchemaKind::Protobuf, &text("optional int32 a = 1;"), &one("a", Arc::new(Int64Array::from(vec![1 << 40]))), "field a: "),
        (SchemaKind::Protobuf, &text("optional uint64 a = 1;"), &one("a", Arc::new(Int64Array::from(vec![-1]))), "field a: "),
        (
            SchemaKind::Protobuf,
            &text("optional E a = 1;"),
            &one("a", Arc::new(StringArray::from(vec!["OFF"]))),
            "field a: E has no value OFF",
        ),
        (SchemaKind::Protobuf, &text("repeated int64 a = 1;"), &number("a"), "field a: found Int64, expected a list"),
        (SchemaKind::Protobuf, &text("R a = 1;"), &number("a"), "the message R contains itself"),
        (SchemaKind::Protobuf, &text("map<string, int64> a = 1;"), &number("a"), "field a: rows have no maps"),
        (
            SchemaKind::Protobuf,
            &text("repeated int64 a = 1;"),
            &list(vec![Some(vec![Some(1), None])]),
            "field a: a list in Protobuf has no nulls",
        ),
    ] {
        let error = write(kind, schema, rows).expect_err(expected);
        assert!(error.contains(expected), "{expected}: {error}");
    }
    let written = write(SchemaKind::Json, open, &number("b")).expect("a schema that takes other members too");
    assert_eq!(written.value(1), b"\0\0\0\0\x09{\"b\":null}");
    let written = write(SchemaKind::Protobuf, &text("repeated int64 a = 3; E on = 4;"), &list(vec![None, Some(vec![Some(1), Some(2)])]));
    let written = written.expect("a field that the rows do not have is left out");
    assert_eq!((written.value(0), written.value(1)), (&b"\0\0\0\0\x09\0"[..], &b"\0\0\0\0\x09\0\x1a\x02\x01\x02"[..]));
}

#[test]
fn a_value_alone_has_a_json_schema() {
    let rows = RecordBatch::try_from_iter([("value", Arc::new(StringArray::from(vec!["ü"])) as ArrayRef)]).expect("a batch");
    let schema = SchemaKind::Json.schema_of(&rows.schema(), true, "unused").expect("a schema");
    let written = SchemaKind::Json.writer(&schema, 7, true).and_then(|mut writer| writer.write(&rows)).expect("written");
    assert_eq!(&written.value(0)[5..], "\"ü\"".as_bytes());
    assert_eq!(read_back(Converter::JsonRegistered, schema, &written).column(0), rows.column(0));
}

#[test]
fn json_rows_with_their_schema_come_back() {
    let rows = nested_rows();
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
    let schema = SchemaKind::Avro.schema_of(&texts.schema(), true, "unused").expect("a schema");
    assert_eq!(schema, "\"string\"");
    let written = SchemaKind::Avro.writer(&schema, 1, true).and_then(|mut writer| writer.write(&texts)).expect("written");
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
    let write =
        |fields: &[String]| SchemaKind::Avro.writer(&schema(&fields.join(",")), 9, false).and_then(|mut writer| writer.write(&rows));
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
    let error = SchemaKind::Avro.schema_of(&named.schema(), false, "R").expect_err("no such name in Avro");
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

    let schema = SchemaKind::Avro.schema_of(&columns, false, "Record").expect("a schema");
    let written = SchemaKind::Avro.writer(&schema, 7, false).and_then(|mut writer| writer.write(&decoded.rows)).expect("written");
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
        SchemaKind::Avro.schema_of(&Schema::new(vec![Field::new("a", list, true)]), false, "Row")
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
    let writer = |rows: &RecordBatch| {
        SchemaKind::Avro
            .schema_of(&rows.schema(), false, "Row")
            .and_then(|text| SchemaKind::Avro.writer(&text, 1, false))
            .expect("a writer")
    };
    assert!(writer(&double).holds(&whole.schema()) && writer(&whole).holds(&whole.schema()));
    assert!(!writer(&whole).holds(&double.schema()));
    assert!(!writer(&double).holds(&Schema::new(vec![Field::new("b", DataType::Float64, true)])));
    assert!(!writer(&double).holds(&Schema::new(vec![Field::new("a", DataType::Utf8, true)])));
    assert_eq!(writer(&double).write(&whole).expect("written").len(), 2);
    let odd = one(Arc::new(Int64Array::from(vec![(1 << 53) + 1])));
    assert!(writer(&double).write(&odd).expect_err("a digit would be lost").contains("9007199254740993"));
}
