//! Files of all formats: stock configurations, kills, growing schemas, odd values; read by pyarrow, fastavro, Python and DuckDB.

use std::fs;
use std::path::Path;

use lakefeed_kit::{minio, wait_until};
use serde_json::{Value, json};

use crate::scene::{PATIENCE, Scene, console_produce, stop};
use crate::sink::produce;

/// The keys of each format, and the end of its files' names.
const FORMATS: [(&str, &str, &str); 3] = [
    ("parquet", "format.class=ParquetFormat\n", ".snappy.parquet"),
    ("json", "format.class=JsonFormat\ns3.compression.type=zstd\n", ".json.zst"),
    ("avro", "format.class=AvroFormat\navro.codec=snappy\n", ".avro"),
];

/// The names of the files of a local lake, below its root.
fn files(scene: &Scene) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(&scene.lake).to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(&scene.lake).expect("below").to_string_lossy().into_owned());
            }
        }
    }
    found.retain(|name| !name.contains("/."));
    found.sort();
    found
}

fn wait_for_ids(scene: &Scene, ids: u64) {
    wait_until("all rows", PATIENCE, || scene.read()["ids"] == ids);
}

#[test]
fn a_stock_json_configuration_runs_unchanged() {
    let scene = Scene::s3("json", 1, &minio().endpoint);
    let hour = |n: u64| 1_700_000_000_000 + n * 3_600_000;
    scene.produce_values(&(0..9).map(|id| format!(r#"{{"id":{id},"ts":{},"v":null}}"#, hour(id % 2))).collect::<Vec<_>>());
    let keys = "tasks.max=1\nstorage.class=io.confluent.connect.s3.storage.S3Storage\n\
                format.class=io.confluent.connect.s3.format.json.JsonFormat\ns3.compression.type=gzip\ns3.compression.level=9\n\
                s3.part.size=5242880\nflush.size=4\npartitioner.class=io.confluent.connect.storage.partitioner.TimeBasedPartitioner\n\
                partition.duration.ms=3600000\npath.format='year'=YYYY/'month'=MM/'day'=dd/'hour'=HH\nlocale=en-US\ntimezone=UTC\n\
                timestamp.extractor=RecordField\ntimestamp.field=ts\nschema.compatibility=NONE\n\
                key.converter=org.apache.kafka.connect.storage.StringConverter\n\
                value.converter=org.apache.kafka.connect.json.JsonConverter\nvalue.converter.schemas.enable=false\n";
    let mut worker = scene.worker("worker", keys);
    scene.wait_for_rows(&mut worker, "the full files", 8);
    stop(&mut worker);
    let answer = scene.sql("SELECT hour, count(*), sum(id)::BIGINT, typeof(any_value(ts)) FROM ROWS GROUP BY ALL ORDER BY ALL").success();
    assert_eq!(answer.lines().skip(1).collect::<Vec<_>>(), ["22,5,20,BIGINT", "23,4,16,BIGINT"]);
    assert_eq!(scene.rows()[3], json!({"id": 3, "ts": hour(1)}), "a null has no member");
    let names = format!("SELECT parse_path(file)[-1] FROM glob('{}/**') ORDER BY 1", scene.lake);
    let names = scene.sql(&names).success();
    let expected = ["0000000000", "0000000001", "0000000008"].map(|first| format!("{}+0+{first}.json.gz", scene.topic));
    assert_eq!(names.lines().skip(1).filter(|name| !name.starts_with('.')).collect::<Vec<_>>(), expected);
}

#[test]
fn a_stock_avro_configuration_runs_unchanged() {
    let scene = Scene::s3("avro", 1, &minio().endpoint);
    scene.produce_values(&(0..7).map(|id| format!(r#"{{"id":{id},"country":"{}"}}"#, ["DE", "FR"][id % 2])).collect::<Vec<_>>());
    let keys = "tasks.max=1\nstorage.class=io.confluent.connect.s3.storage.S3Storage\n\
                format.class=io.confluent.connect.s3.format.avro.AvroFormat\navro.codec=deflate\nenhanced.avro.schema.support=true\n\
                connect.meta.data=false\nflush.size=3\npartition.field.name=country\n\
                partitioner.class=io.confluent.connect.storage.partitioner.FieldPartitioner\nschema.compatibility=BACKWARD\n";
    let mut worker = scene.worker("worker", keys);
    wait_for_ids(&scene, 6);
    stop(&mut worker);
    scene.assert_each_once(0..7);
    assert_eq!(scene.rows()[6], json!({"id": 6, "country": "DE"}));
    let said = scene.sql("SELECT 1 FROM ROWS");
    assert!(said.stderr.contains("are Avro, which DuckDB reads with an extension"), "{said:?}");
}

/// Kills a worker again and again while it writes small files.
fn killed(scene: &Scene, format: &str) {
    let keys = scene.small_files() + format + "consumer.override.group.instance.id=one\n";
    for round in 0..4 {
        scene.produce(round * 2000..(round + 1) * 2000, 10);
        let mut worker = scene.worker("worker", &keys);
        wait_for_files(scene, (round + 1) * 20);
        worker.kill();
    }
    let mut worker = scene.worker("worker", &keys);
    wait_for_ids(scene, 8000);
    stop(&mut worker);
    scene.assert_each_once(0..8000);
}

fn wait_for_files(scene: &Scene, count: u64) {
    wait_until("files", PATIENCE, || scene.read()["files"].as_u64().unwrap_or(0) >= count);
}

#[test]
fn json_rows_come_once_through_kills_in_a_directory() {
    killed(&Scene::local("kills", 1), FORMATS[1].1);
}

#[test]
fn json_rows_come_once_through_kills_on_s3() {
    killed(&Scene::s3("kills", 1, &minio().endpoint), "format.class=JsonFormat\n");
}

#[test]
fn avro_rows_come_once_through_kills_in_a_directory() {
    killed(&Scene::local("kills", 1), FORMATS[2].1);
}

#[test]
fn avro_rows_come_once_through_kills_on_s3() {
    killed(&Scene::s3("kills", 1, &minio().endpoint), "format.class=AvroFormat\navro.codec=zstandard\n");
}

#[test]
fn a_large_json_file_goes_as_a_whole_and_is_recognised() {
    let scene = Scene::s3("large", 1, &minio().endpoint);
    scene.produce(0..60_000, 200);
    // More than a part: without a footer it is one request all the same.
    let keys = "partitioner.class=DefaultPartitioner\nformat.class=JsonFormat\nflush.size=30000\ns3.part.size=5242880\n\
                parquet.row.group.bytes=1048576\nconsumer.override.group.instance.id=one\n";
    let mut worker = scene.worker("worker", keys);
    wait_for_ids(&scene, 60_000);
    worker.kill();
    // Its offsets are forgotten: all is read again, and nothing is written again.
    lakefeed_kit::kafka()
        .tool("consumer-groups", &["--delete-offsets", "--group", &format!("connect-{}", scene.topic), "--topic", &scene.topic]);
    scene.produce(60_000..60_010, 200);
    let mut worker = scene.worker("again", &(keys.to_owned() + "rotate.idle.ms=300\n"));
    wait_for_ids(&scene, 60_010);
    stop(&mut worker);
    scene.assert_each_once(0..60_010);
    assert_eq!(scene.read()["files"], 3);
}

#[test]
fn producers_of_two_versions_do_not_make_a_file_per_record() {
    for (name, keys, end) in FORMATS {
        let scene = Scene::local(name, 1);
        let row = |id: u64| if id.is_multiple_of(2) { json!({"id": id, "v": 1}) } else { json!({"id": id, "v": 1.5, "more": {"x": [id]}}) };
        scene.produce_values(&(0..400).map(|id| row(id).to_string()).collect::<Vec<_>>());
        let mut worker = scene.worker("worker", &format!("{keys}rotate.idle.ms=500\nparquet.row.group.bytes=1\n"));
        wait_for_ids(&scene, 400);
        scene.produce_values(&(400..600).map(|id| row(id).to_string()).collect::<Vec<_>>());
        wait_for_ids(&scene, 600);
        stop(&mut worker);
        scene.assert_each_once(0..600);
        let names = files(&scene);
        // A file for each schema and each time without rows.
        assert!((2..=6).contains(&names.len()) && names.iter().all(|name| name.ends_with(end)), "{names:?}");
        assert_eq!(scene.rows()[599], row(599), "{name}");
    }
}

#[test]
fn odd_values_come_back_from_every_format() {
    let deep = (0..30).fold(json!(1), |inner, _| json!({"n": inner}));
    let values = [
        json!({"id": 0, "int": i64::MAX, "real": 0.1, "text": "a\u{0}\"\\\n日本 😀\u{2028}", "list": [[1], [], [null]], "none": null}),
        json!({"id": 1, "int": i64::MIN, "real": -0.0, "text": "", "list": [], "object": {}, "none": null}),
        json!({"id": 2, "real": 1e308, "deep": deep, "named": {"a b": 1, "é": 2}, "list": null}),
        json!({"id": 3, "real": 5e-324, "object": {"late": [{"x": 1}, {"y": "z"}, {}]}}),
    ];
    let mut texts: Vec<String> = values.iter().map(Value::to_string).collect();
    // No 64-bit integer and no double: a dead letter.
    texts.push(r#"{"id":4,"int":18446744073709551615}"#.to_owned());
    for (name, keys, _) in FORMATS {
        let scene = Scene::local(name, 1);
        scene.produce_values(&texts);
        let mut worker = scene.worker("worker", &(scene.tolerant() + keys + "rotate.idle.ms=300\n"));
        wait_for_ids(&scene, 4);
        let letters = scene.dead_letters(1);
        assert!(letters[0].contains("18446744073709551615"), "{letters:?}");
        stop(&mut worker);
        let rows = scene.rows();
        let avro = keys.contains("Avro");
        let named = if avro { json!({"a_b": 1, "_": 2}) } else { json!({"a b": 1, "é": 2}) };
        assert_eq!(rows[0], json!({"id": 0, "int": i64::MAX, "real": 0.1, "text": values[0]["text"], "list": [[1], [], [null]]}), "{name}");
        assert_eq!(rows[1]["int"], i64::MIN, "{name}");
        assert_eq!(rows[1]["real"].to_string(), "-0.0", "{name}");
        assert_eq!((&rows[1]["text"], &rows[1]["list"], &rows[1]["object"]), (&json!(""), &json!([]), &json!({})), "{name}");
        assert_eq!((&rows[2]["deep"], &rows[2]["named"], &rows[2]["real"]), (&values[2]["deep"], &named, &json!(1e308)), "{name}");
        assert_eq!(rows[2].get("none").or(rows[2].get("list")), None, "{name}: a column of nothing but nulls has no type");
        assert_eq!((&rows[3]["object"], &rows[3]["real"]), (&values[3]["object"], &json!(5e-324)), "{name}");
    }
}

#[test]
fn metadata_columns_say_where_a_row_came_from() {
    for (name, keys, _) in [FORMATS[0], FORMATS[1]] {
        let scene = Scene::local(name, 1);
        produce(&scene.topic, &[r#"k1|{"id":0}"#, r#"schlüssel|{"id":1,"_KEY":null}"#, r#"k3|{"id":2,"_offset":7}"#].map(str::to_owned));
        let keys = scene.tolerant() + keys + "metadata.columns=_topic,_partition,_offset,_timestamp,_key,_key_bytes\nrotate.idle.ms=300\n";
        let mut worker = scene.worker("worker", &keys);
        scene.wait_for_rows(&mut worker, "the rows", 2);
        let letters = scene.dead_letters(1);
        assert!(letters[0].contains("field _offset") && letters[0].contains("rename '_offset' in the records"), "{letters:?}");
        stop(&mut worker);
        let answer = scene.sql(
            "SELECT id, _partition, _offset, _key, typeof(_timestamp), abs(date_diff('second', _timestamp::TIMESTAMPTZ, now())) < 600, _topic \
             FROM ROWS ORDER BY id",
        );
        let kind = if name == "parquet" { "TIMESTAMP WITH TIME ZONE" } else { "TIMESTAMP" };
        let expected = [(0, "k1"), (1, "schlüssel")].map(|(id, key)| format!("{id},0,{id},{key},{kind},true,{}", scene.topic));
        assert_eq!(answer.success().lines().skip(1).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn headers_become_a_column() {
    for (name, keys, _) in [FORMATS[0], FORMATS[1]] {
        let scene = Scene::local(name, 1);
        let values = ["trace:a1,part:7\t{\"id\":0}", "none:\t{\"id\":1}"].map(str::to_owned);
        console_produce(&scene.topic, &values, &["parse.headers=true"]);
        let mut worker = scene.worker("worker", &(scene.tolerant() + keys + "metadata.columns=_headers\nrotate.idle.ms=300\n"));
        scene.wait_for_rows(&mut worker, "the rows", 2);
        stop(&mut worker);
        let answer = scene
            .sql("SELECT id, len(_headers), _headers[1].\"key\", _headers[1].\"value\", _headers[2].\"value\"::INT FROM ROWS ORDER BY id");
        assert_eq!(answer.success().lines().skip(1).collect::<Vec<_>>(), ["0,2,trace,a1,7", "1,1,none,\"\","], "{name}");
    }
}

#[test]
fn parquet_options_are_read_by_other_readers() {
    let scene = Scene::local("options", 1);
    scene.produce(0..20_000, 10);
    let keys = "partitioner.class=DefaultPartitioner\nparquet.codec=zstd\nparquet.compression.level=3\nparquet.bloom.filter.columns=text,id\n\
                parquet.dictionary.columns=e\nparquet.float.encoding=byte_stream_split\nmetadata.columns=_offset\nrotate.idle.ms=300\n";
    let mut worker = scene.worker("worker", keys);
    scene.wait_for_rows(&mut worker, "the rows", 20_000);
    stop(&mut worker);
    scene.assert_each_once(0..20_000);
    let wrong = scene.sql("SELECT count(*) FROM ROWS WHERE v != (id // 3) + 0.5 OR _offset != id").success();
    assert_eq!(wrong.lines().nth(1), Some("0"));
    let found = scene.sql("SELECT count(*), any_value(e) FROM ROWS WHERE text = 't0000000017'").success();
    assert_eq!(found.lines().nth(1), Some("1,3"));
    let sql = format!(
        "SELECT path_in_schema, any_value(encodings), bool_and(bloom_filter_offset IS NOT NULL), any_value(compression) FROM \
         parquet_metadata('{}/*/*/*.parquet') GROUP BY 1 ORDER BY 1",
        scene.lake
    );
    let answer = scene.sql(&sql).success();
    for (line, parts) in answer.lines().skip(1).zip([
        ["_offset", "PLAIN", "false"],
        ["e", "RLE_DICTIONARY", "false"],
        ["id", "PLAIN", "true"],
        ["text", "PLAIN", "true"],
        ["v", "BYTE_STREAM_SPLIT", "false"],
    ]) {
        assert!(parts.iter().all(|part| line.contains(part)) && line.contains("ZSTD"), "{line}");
    }
}
