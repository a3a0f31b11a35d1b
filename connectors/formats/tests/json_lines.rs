//! Batches written as JSON lines.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, DictionaryArray, Float32Array, Float64Array, Int64Array, RecordBatch,
    RecordBatchOptions, StringArray, TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray, UInt8Array,
};
use arrow_schema::Schema;
use lakefeed_formats::{Nulls, write_json_lines};

fn lines(batch: &RecordBatch) -> String {
    let mut out = Vec::new();
    write_json_lines(batch, Nulls::Written, &mut out).expect("no error to a vector");
    String::from_utf8(out).expect("JSON is UTF-8")
}

#[test]
fn each_type_is_written_as_json_has_it() {
    let columns: [(&str, ArrayRef); 11] = [
        ("b", Arc::new(BooleanArray::from(vec![true]))),
        ("i", Arc::new(Int64Array::from(vec![i64::MIN]))),
        ("u", Arc::new(UInt8Array::from(vec![7]))),
        ("d", Arc::new(Float64Array::from(vec![0.1 + 0.2]))),
        ("nan", Arc::new(Float64Array::from(vec![f64::NAN]))),
        ("f", Arc::new(Float32Array::from(vec![0.1]))),
        ("s\"", Arc::new(StringArray::from(vec!["a\"\n\u{1}ä"]))),
        ("bin", Arc::new(BinaryArray::from(vec![&b"\x01\xff"[..]]))),
        ("ts", Arc::new(TimestampMillisecondArray::from(vec![-1]).with_timezone("UTC"))),
        ("day", Arc::new(Date32Array::from(vec![1]))),
        ("dict", Arc::new(["x"].into_iter().collect::<DictionaryArray<arrow_array::types::Int32Type>>())),
    ];
    assert_eq!(
        lines(&RecordBatch::try_from_iter(columns).expect("a batch")),
        concat!(
            r#"{"b":true,"i":-9223372036854775808,"u":7,"d":0.30000000000000004,"nan":null,"f":0.1,"s\"":"a\"\n\u0001ä","bin":"Af8=","#,
            r#""ts":"1969-12-31T23:59:59.999Z","day":"1970-01-02","dict":"x"}"#,
            "\n"
        )
    );
}

#[test]
fn times_without_a_zone_have_none() {
    let column: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1]));
    assert_eq!(lines(&RecordBatch::try_from_iter([("t", column)]).expect("a batch")), "{\"t\":\"1970-01-01T00:00:00.000001\"}\n");
}

#[test]
fn times_of_every_unit_are_written_in_utc() {
    let columns: [(&str, ArrayRef); 2] = [
        ("us", Arc::new(TimestampMicrosecondArray::from(vec![-1]).with_timezone("UTC"))),
        ("ns", Arc::new(TimestampNanosecondArray::from(vec![1]).with_timezone("UTC"))),
    ];
    let expected = r#"{"us":"1969-12-31T23:59:59.999999Z","ns":"1970-01-01T00:00:00.000000001Z"}"#;
    assert_eq!(lines(&RecordBatch::try_from_iter(columns).expect("a batch")), format!("{expected}\n"));
}

#[test]
fn rows_without_columns_are_rows() {
    let options = RecordBatchOptions::new().with_row_count(Some(2));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options).expect("a batch");
    assert_eq!(lines(&batch), "{}\n{}\n");
}
