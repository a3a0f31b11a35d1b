//! Where rows go, and rows that can't be used.

use std::sync::Arc;

use crate::stage::Stage;
use arrow_array::{ArrayRef, Float64Array, Int64Array, StringArray};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use lakefeed_core::{DeadLetter, RejectStore, Stage as Where};
use serde_json::Value;

#[test]
fn a_number_has_one_place_whatever_its_column_has_become() {
    let stage = Stage::new();
    let mut sink = stage.sink("partition.by=e,bucket(e,4) flush.size=3", 0);
    let of = |column: ArrayRef| vec![("e", column)];
    sink.put(0, &[1], of(Arc::new(Int64Array::from(vec![5]))));
    sink.put(1, &[1, 1, 1], of(Arc::new(Float64Array::from(vec![5.0, 5.5, -0.0]))));
    sink.finish();
    // Crash: what is in the lake is not committed, and this incarnation sees doubles from the start.
    let mut again = stage.sink("partition.by=e,bucket(e,4) flush.size=3", 0);
    again.put(0, &[1, 1, 1, 1], of(Arc::new(Float64Array::from(vec![5.0, 5.0, 5.5, 0.0]))));
    assert_eq!(again.finish(), 4);
    let files = stage.files();
    let folders: Vec<&str> = files.iter().filter_map(|f| f.split('/').nth(1)).collect();
    assert_eq!(folders, ["e=0", "e=5.5", "e=5"], "{files:?}");
}

#[test]
fn times_are_read_alike_from_columns_of_both_number_types() {
    let stage = Stage::new();
    let mut sink = stage.sink("partition.by=day(ts)", 0);
    assert!(sink.put(0, &[1], vec![("ts", Arc::new(Int64Array::from(vec![1_700_000_000_000])) as ArrayRef)]).is_empty());
    let refused = sink.put(1, &[1, 1], vec![("ts", Arc::new(Float64Array::from(vec![1_700_000_000_000.0, 0.5])) as ArrayRef)]);
    assert_eq!(refused.iter().map(|(offset, r)| (*offset, r.field.as_deref())).collect::<Vec<_>>(), [(2, Some("ts"))]);
    sink.finish();
    assert_eq!(stage.files(), ["t/day=2023-11-14/t+0+0000000000.snappy.parquet"]);
}

#[test]
fn prefixes_of_firehose_are_whole_paths() {
    let stage = Stage::new();
    let keys = "prefix=raw/c=!{partitionKeyFromQuery:c}/!{timestamp:yyyy/MM/dd} topics=t";
    let rows = || vec![("c", Arc::new(StringArray::from(vec![Some("../x"), Some("y"), None, Some("")])) as ArrayRef)];
    let mut sink = stage.sink(keys, 0);
    let refused = sink.put(0, &[1_535_365_805_000; 4], rows());
    let said: Vec<_> = refused.iter().map(|(offset, r)| (*offset, r.field.as_deref())).collect();
    assert_eq!(said, [(2, Some("c")), (3, Some("c"))], "{refused:?}");
    assert_eq!(sink.finish(), 4);
    let files = ["raw/c=..%2Fx/2018/08/27t+0+0000000000.snappy.parquet", "raw/c=y/2018/08/27t+0+0000000001.snappy.parquet"];
    assert_eq!(stage.files(), files);
    // Found again by another incarnation.
    let mut again = stage.sink(keys, 0);
    again.put(0, &[1_535_365_805_000; 4], rows());
    assert_eq!(again.finish(), 4);
    assert_eq!(stage.files(), files);
}

const BY_DAY: &str = "transforms=r,t transforms.r.type=RegexRouter transforms.r.regex=(.) transforms.r.replacement=$1$1 \
                      transforms.t.type=TimestampRouter flush.size=2 topics=t";

#[test]
fn a_topic_that_is_named_by_time_is_in_the_lake_once_through_crashes() {
    const DAY: i64 = 86_400_000;
    let rows = || vec![("e", Arc::new(StringArray::from(vec!["a", "b", "a", "a", "b", "a"])) as ArrayRef)];
    // Rows of two days, mixed; that of the third day and the one without a timestamp come later.
    let times = [0, 0, DAY, 0, DAY, 0];
    for (format, extension) in [("ParquetFormat", "snappy.parquet"), ("JsonFormat", "json"), ("AvroFormat", "avro")] {
        let stage = Stage::new();
        let keys = format!("{BY_DAY} partition.by=e format.class={format}");
        let mut first = stage.sink(&keys, 0);
        assert!(first.put(0, &times, rows()).is_empty());
        let name = |day: &str, e: &str, first: i64| format!("tt-{day}/e={e}/tt-{day}+0+{first:010}.{extension}");
        // One file is full. Then the worker is gone: what is open is lost, and nothing was committed.
        first.expect_files(&[name("19700101", "a", 0)], "the full file");
        drop(first);
        let mut second = stage.sink(&keys, 0);
        assert!(second.put(0, &times, rows()).is_empty());
        let refused = second.put(6, &[2 * DAY, -1], vec![("e", Arc::new(StringArray::from(vec!["a", "a"])) as ArrayRef)]);
        let said: Vec<_> = refused.iter().map(|(offset, r)| (*offset, r.message.as_str())).collect();
        assert_eq!(said, [(7, "the record has no timestamp to name its topic by")]);
        assert_eq!(second.finish(), 8);
        let expected = [
            name("19700101", "a", 0),
            name("19700101", "a", 5),
            name("19700101", "b", 1),
            name("19700102", "a", 2),
            name("19700102", "b", 4),
            name("19700103", "a", 6),
        ];
        assert_eq!(stage.files(), expected);
        // Everything is there already.
        let mut third = stage.sink(&keys, 0);
        third.put(0, &times, rows());
        assert_eq!(third.finish(), 6);
        assert_eq!(stage.files(), expected);
    }
}

#[test]
fn names_by_time_stand_behind_a_prefix_of_firehose() {
    let stage = Stage::new();
    // The end of the one and the beginning of the other are one text.
    let keys = "prefix=raw/!{timestamp:yyyy} transforms=t transforms.t.type=TimestampRouter topics=t \
                transforms.t.topic.format=${timestamp}-${topic} transforms.t.timestamp.format=MM";
    let rows = || vec![("v", Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef)];
    let times = [0, 40 * 86_400_000, 0];
    for _ in 0..2 {
        let mut sink = stage.sink(keys, 0);
        assert!(sink.put(0, &times, rows()).is_empty());
        assert_eq!(sink.finish(), 3);
        assert_eq!(stage.files(), ["raw/197001-t+0+0000000000.snappy.parquet", "raw/197002-t+0+0000000001.snappy.parquet"]);
    }
}

/// A refused record as the worker hands it over.
fn add(store: &mut dyn RejectStore, stage: &Stage, offset: i64, kind: Where) {
    let message = format!("topic t, partition 0, offset {offset}: oops");
    store.add(&DeadLetter {
        partition: &stage.partition,
        offset,
        timestamp_ms: 1_535_365_805_000,
        stage: kind,
        field: Some("f"),
        message: &message,
        key: None,
        value: Some(&[0xff, b'{', offset as u8]),
    });
}

/// The rows of all error objects: by name, the offsets.
fn error_rows(stage: &Stage) -> Vec<(String, Vec<i64>)> {
    let offsets = |name: &String| {
        let text = std::fs::read_to_string(stage.dir.path().join(name)).expect("an object");
        text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["offset"].as_i64().expect("an offset")).collect()
    };
    stage.files().into_iter().map(|name| (name.clone(), offsets(&name))).collect()
}

const ERRORS: &str = "error.output.prefix=err/!{firehose:error-output-type}/!{timestamp:yyyy}/ errors.tolerance=all";

#[test]
fn rows_that_can_not_be_used_are_written_as_firehose_writes_them() {
    let stage = Stage::new();
    let mut sink = stage.sink(ERRORS, 0);
    let store = sink.sink.reject_store().expect("a place for them");
    add(store, &stage, 3, Where::ValueConverter);
    add(store, &stage, 4, Where::TaskPut);
    add(store, &stage, 5, Where::Transformation);
    store.flush(&[(stage.partition.clone(), 6)]).expect("written");
    let names: Vec<String> = error_rows(&stage).into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "err/format-conversion-failed/2018/t+0+0000000003.jsonl",
            "err/metadata-extraction-failed/2018/t+0+0000000004.jsonl",
            "err/processing-failed/2018/t+0+0000000005.jsonl"
        ]
    );
    let text = std::fs::read_to_string(stage.dir.path().join(&names[0])).expect("an object");
    let row: Value = serde_json::from_str(&text).expect("one line");
    assert_eq!(row["attemptsMade"], 1);
    assert_eq!(row["arrivalTimestamp"], 1_535_365_805_000_i64);
    assert_eq!(row["attemptEndingTimestamp"], 1_700_000_000_400_i64);
    assert_eq!(row["errorCode"], "DataFormatConversion.MalformedData");
    assert_eq!(row["errorMessage"], "topic t, partition 0, offset 3: oops");
    assert_eq!((&row["topic"], &row["partition"], &row["offset"], &row["field"]), (&"t".into(), &0.into(), &3.into(), &"f".into()));
    let raw = BASE64_STANDARD.decode(row["rawData"].as_str().expect("base64")).expect("base64");
    assert_eq!(raw, [0xff, b'{', 3]);
}

#[test]
fn refused_rows_are_written_once_through_crashes_and_beside_zombies() {
    let stage = Stage::new();
    let fill = |sink: &mut crate::stage::Driven<'_>, offsets: std::ops::Range<i64>| {
        let store = sink.sink.reject_store().expect("a place for them");
        offsets.filter(|o| o % 3 == 0).for_each(|o| add(store, &stage, o, Where::ValueConverter));
    };
    let flush = |sink: &mut crate::stage::Driven<'_>, below: i64| {
        let store = sink.sink.reject_store().expect("a place for them");
        store.flush(&[(stage.partition.clone(), below)]).expect("written");
    };
    let mut first = stage.sink(ERRORS, 0);
    fill(&mut first, 0..50);
    flush(&mut first, 10); // committed
    flush(&mut first, 20); // not committed: from 10 on everything is read again
    let mut second = stage.sink(ERRORS, 10);
    fill(&mut second, 10..40);
    flush(&mut second, 31);
    // The first one wakes up, ahead of its successor.
    fill(&mut first, 50..80);
    flush(&mut first, 60);
    fill(&mut second, 40..100);
    fill(&mut second, 70..100); // a seek back
    flush(&mut second, 100);
    flush(&mut first, 80);
    let mut all: Vec<i64> = error_rows(&stage).into_iter().flat_map(|(_, offsets)| offsets).collect();
    all.sort_unstable();
    assert_eq!(all, (0..100).filter(|o| o % 3 == 0).collect::<Vec<_>>());
}
