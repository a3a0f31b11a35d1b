//! Values, schemas and times of all kinds, on their way into folders and files and back.

use std::fs;

use crate::scene::{Scene, stop};

#[test]
fn values_of_all_kinds_find_their_folder_and_come_back() {
    let scene = Scene::local("values", 1);
    let odd = [
        "..",
        ".",
        "a/b",
        "ü",
        "k=v",
        "%2F",
        " sp ace ",
        "a+b",
        "tab\t",
        "q\"uo'te",
        "*?[x]",
        "\\",
        "trailing.",
        "日本",
        "a\0b",
        "#",
        "A",
        "a",
        "null",
        "NULL",
        "__HIVE_DEFAULT_PARTITION__",
        "__hive_default_partition__",
    ];
    let mut values: Vec<String> =
        odd.iter().enumerate().map(|(id, value)| serde_json::json!({"id": id, "e": value, "same": value}).to_string()).collect();
    values.push(r#"{"id":90,"e":null}"#.to_owned());
    values.push(r#"{"id":91,"same":null}"#.to_owned());
    values.push(format!(r#"{{"id":92,"e":"{}"}}"#, "x".repeat(2048)));
    scene.produce_values(&values);
    let mut worker = scene.worker("worker", &(scene.tolerant() + "partition.by=e\npartition.columns.drop=true\nrotate.idle.ms=300\n"));
    let rows = values.len() as u64 - 1;
    scene.wait_for_rows(&mut worker, "the rows that have a place", rows);
    let letters = scene.dead_letters(1);
    assert!(
        letters[0].contains("field e: ") && letters[0].contains("2050 bytes, at most 255 are possible") && letters[0].contains("\"id\":92"),
        "{}",
        &letters[0][..600]
    );
    stop(&mut worker);
    let answer = scene.sql("-- A comment first.\nSELECT id FROM ROWS WHERE e IS DISTINCT FROM same").success();
    assert_eq!(answer.lines().count(), 1, "values that read back as others: {answer}");
    let answer = scene.sql("SELECT count(DISTINCT e), count(*) FILTER (e IS NULL) FROM ROWS").success();
    assert_eq!(answer.lines().nth(1), Some(format!("{},2", odd.len()).as_str()));
    let folder = scene.dir.path().join("lake").join(&scene.topic);
    let names: Vec<String> =
        fs::read_dir(folder).expect("the table").map(|entry| entry.expect("a folder").file_name().to_string_lossy().into_owned()).collect();
    for name in ["e=%2E%2E", "e=a%2Fb", "e=%C3%BC", "e=k%3Dv", "e=a%00b", "e=null", "e=%6Eull"] {
        assert!(names.iter().any(|n| n == name), "{name} in {names:?}");
    }
    read_back(&scene, odd.len());
}

/// Values of the path beside the same values in the files, as pyarrow reads a table of Hive-style folders with the marker as its null.
const HIVE: &str = r#"
import sys
import pyarrow as pa, pyarrow.dataset as ds
parts = ds.HivePartitioning(pa.schema([("e", pa.string())]), null_fallback="null", segment_encoding="uri")
table = ds.dataset(sys.argv[1], format="parquet", partitioning=parts, schema=pa.schema([("id", pa.int64()), ("same", pa.string()), ("e", pa.string())]))
rows = table.to_table().to_pylist()
wrong = [r["same"] for r in rows if r["e"] != r["same"]]
print(len(rows), sum(1 for r in rows if r["e"] is None), wrong)
"#;

/// Other readers than ours: DuckDB's own reading of Hive-style folders, and pyarrow's. The files have no column `e`: it is dropped.
fn read_back(scene: &Scene, texts: usize) {
    let table = scene.dir.path().join("lake").join(&scene.topic);
    let found = lakefeed_kit::python_with(HIVE, &[&table.to_string_lossy()], &[]);
    // pyarrow decodes before it compares: the one text that is its null_fallback reads as null there, however it is written.
    assert_eq!(found.trim(), format!("{} 3 ['null']", texts + 2), "pyarrow");
    let query = format!(
        "SELECT count(*), count(e), count(*) FILTER (e IS DISTINCT FROM same) FROM read_parquet('{}/**/*.parquet', union_by_name = true, \
         hive_partitioning = true, hive_types = {{'e': VARCHAR}})",
        table.display()
    );
    let answer = scene.sql(&query).success();
    assert_eq!(answer.lines().nth(1), Some(format!("{},{texts},0", texts + 2).as_str()), "DuckDB by itself");
}

#[test]
fn values_that_are_too_long_for_a_store_that_keeps_objects_as_files_are_dead_letters() {
    let scene = Scene::s3("long", 1, &lakefeed_kit::minio().endpoint);
    let row = |id, e: String| serde_json::json!({"id": id, "e": e}).to_string();
    scene.produce_values(&[row(0, "x".repeat(253)), row(1, "ü".repeat(100)), row(2, "y".repeat(1000))]);
    let mut worker = scene.worker("worker", &(scene.tolerant() + "partition.by=e\nrotate.idle.ms=300\n"));
    scene.wait_for_rows(&mut worker, "the row whose name fits", 1);
    let letters = scene.dead_letters(2);
    assert!(letters.iter().all(|l| l.contains("field e: ") && l.contains("at most 255 are possible")), "{letters:?}");
    stop(&mut worker);
    assert_eq!(scene.count(), 1);
}

#[test]
fn schemas_grow_over_batches_and_restarts() {
    let scene = Scene::local("schemas", 1);
    let keys = scene.tolerant() + "rotate.idle.ms=200\n";
    let batches = [
        r#"{"id":0,"a":1,"o":{"x":1,"l":[1,2]}}"#,
        r#"{"id":1,"a":1.5,"o":{"x":1.5,"y":"q","l":[1.5]}}"#,
        r#"{"id":2,"a":"hot"}"#,
        r#"{"id":3,"b":"x","l":[{"p":1},{"q":"z"}]}"#,
        r#"{"id":4,"a":4,"o":{"x":3},"c":true}"#,
    ];
    let mut worker = scene.worker("worker", &keys);
    for (number, batch) in batches.iter().enumerate() {
        scene.produce_values(&[(*batch).to_owned()]);
        if number != 2 {
            scene.wait_for_rows(&mut worker, "the batch", if number < 2 { number as u64 + 1 } else { number as u64 });
        }
        if number == 3 {
            // What was learnt of the schema is forgotten.
            stop(&mut worker);
            worker = scene.worker("again", &keys);
        }
    }
    stop(&mut worker);
    let letters = scene.dead_letters(1);
    assert!(letters[0].contains("field a") && letters[0].contains("schema.conflict=text"), "{}", letters[0]);
    let answer = scene.sql("SELECT id, a, o.x, o.y, len(o.l), b, c, len(l) FROM ROWS ORDER BY id").success();
    let expected = ["0,1.0,1.0,,2,,,", "1,1.5,1.5,q,1,,,", "3,,,,,x,,2", "4,4.0,3.0,,,,true,"];
    assert_eq!(answer.lines().skip(1).collect::<Vec<_>>(), expected);
    assert_eq!(scene.read()["ids"].as_u64(), Some(4), "pyarrow reads every file");
}

#[test]
fn time_partitions_of_a_stock_configuration() {
    let scene = Scene::local("times", 1);
    let times =
        [("0", "1700000000000"), ("1", "1700003600000"), ("2", "1711846800000"), ("3", "null"), ("4", "9223372036854775807"), ("5", "-1")];
    scene.produce_values(&times.map(|(id, ts)| format!(r#"{{"id":{id},"ts":{ts}}}"#)));
    let keys = scene.tolerant()
        + "tasks.max=1\nstorage.class=io.confluent.connect.s3.storage.S3Storage\n\
           format.class=io.confluent.connect.s3.format.parquet.ParquetFormat\nflush.size=1000\nrotate.interval.ms=60000\n\
           rotate.schedule.interval.ms=1000\npartitioner.class=io.confluent.connect.storage.partitioner.TimeBasedPartitioner\n\
           partition.duration.ms=3600000\npath.format='year'=YYYY/'month'=MM/'day'=dd/'hour'=HH\nlocale=en-US\ntimezone=Europe/Berlin\n\
           timestamp.extractor=RecordField\ntimestamp.field=ts\n";
    let mut worker = scene.worker("worker", &keys);
    scene.wait_for_rows(&mut worker, "the rows with a time", 4);
    let letters = scene.dead_letters(2);
    assert!(letters.iter().all(|l| l.contains("field ts") && l.contains("expected epoch milliseconds")), "{letters:?}");
    stop(&mut worker);
    let answer = scene.sql("SELECT id, year::INT, month::INT, day::INT, hour::INT FROM ROWS ORDER BY id").success();
    // 2024-03-31T01:00Z: the hour from 02:00 to 03:00 is left out in Berlin.
    let expected = ["0,2023,11,14,23", "1,2023,11,15,0", "2,2024,3,31,3", "5,1970,1,1,0"];
    assert_eq!(answer.lines().skip(1).collect::<Vec<_>>(), expected);
}
