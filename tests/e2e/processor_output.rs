//! What a processor writes behind transforms and converters: its stream in Avro, the rows of a table, and JSON as it is without them.

use std::collections::HashSet;
use std::time::Duration;

use lakefeed_core::Output;
use lakefeed_kafka::{ClientSettings, Producer};
use lakefeed_kit::{Process, kafka, registry, unique, wait_until};
use serde_json::{Value, json};

use crate::converters::{Bytes, converter, fastavro, newest, records};
use crate::scene::Scene;
use crate::sink::{connect, produce};

const PATIENCE: Duration = Duration::from_secs(120);

fn connector(name: &str, table: &str, keys: &str) -> String {
    format!("name={name}\nconnector.class=DynamoDbProcessorConnector\ntopics={table}\nkey.fields=id\n{keys}")
}

fn avro(side: &str) -> String {
    output(side, "avro.AvroConverter")
}

fn output(side: &str, class: &str) -> String {
    converter(class, &registry().url).replace("value.", &format!("output.{side}."))
}

/// Keys and values of a topic of one partition, as far as they are committed, once there are so many.
fn sent(worker: &mut Process, topic: &str, count: usize) -> Vec<(Bytes, Bytes)> {
    let mut found = Vec::new();
    wait_until("the rows of the processor", PATIENCE, || {
        assert!(worker.is_running(), "{worker}");
        if kafka().topics().iter().any(|known| known == topic) {
            let end = kafka().end_offsets(topic)[0];
            found = records(topic, i64::try_from(end).expect("an offset"));
        }
        found.len() >= count
    });
    assert_eq!(found.len(), count, "{worker}");
    found
}

fn stop(mut worker: Process) {
    assert!(worker.terminate(PATIENCE).success(), "{}", worker.log());
}

fn values(found: &[(Bytes, Bytes)]) -> impl Iterator<Item = &[u8]> {
    found.iter().filter_map(|(_, value)| value.as_deref())
}

fn put(id: u32, pm: &str) -> String {
    format!(r#"{id}|{{"id":{id},"pm":{pm}}}"#)
}

#[test]
fn a_stream_in_avro_has_a_fixed_schema_and_goes_where_the_router_says() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let table = unique("avro-stream");
    kafka().create_topic(&table, 1);
    produce(&table, &[put(1, "1.5"), r#"1|{"id":1,"deep":{"a":[]}}"#.into(), "1|NULL".into()]);
    let keys = "stream.view.type=NEW_AND_OLD_IMAGES\ntransforms=route\ntransforms.route.type=RegexRouter\n\
        transforms.route.regex=(.*)[.]stream\ntransforms.route.replacement=$1.changes\n";
    let mut worker = connect(dir.path(), &connector(&table, &table, &(avro("value") + &avro("key") + keys)));
    let found = sent(&mut worker, &format!("{table}.changes"), 3);
    stop(worker);
    assert!(!kafka().topics().contains(&format!("{table}.stream")), "the topic that nothing goes to is not made");

    let read = fastavro(values(&found));
    assert_eq!(read["schemas"].as_array().map(Vec::len), Some(1), "{read}");
    let schema = &read["schemas"][0];
    let dynamodb = &schema["fields"][5];
    assert_eq!(
        (&schema["name"], &dynamodb["name"], &dynamodb["type"][1]["type"]),
        (&json!("Record"), &json!("dynamodb"), &json!("record"))
    );
    assert_eq!(dynamodb["type"][1]["fields"][1], json!({"name": "Keys", "type": ["null", "string"], "default": null}));
    let image = [r#"{"id":{"N":"1"},"pm":{"N":"1.5"}}"#, r#"{"deep":{"M":{"a":{"L":[]}}},"id":{"N":"1"}}"#];
    let expected = [
        json!(["INSERT", r#"{"id":{"N":"1"}}"#, image[0], null]),
        json!(["MODIFY", r#"{"id":{"N":"1"}}"#, image[1], image[0]]),
        json!(["REMOVE", r#"{"id":{"N":"1"}}"#, null, image[1]]),
    ];
    for (row, expected) in read["rows"].as_array().expect("rows").iter().zip(expected) {
        let stream = &row["dynamodb"];
        // The text of an image is JSON; its members have no order.
        let parsed = |text: &Value| text.as_str().map(|text| serde_json::from_str::<Value>(text).expect("JSON"));
        let found = [&stream["Keys"], &stream["NewImage"], &stream["OldImage"]].map(parsed);
        assert_eq!((&row["eventName"], &row["eventVersion"]), (&expected[0], &json!("1.1")));
        assert_eq!(found, [&expected[1], &expected[2], &expected[3]].map(parsed));
        assert!(stream["ApproximateCreationDateTime"].as_i64().is_some_and(|time| time > 1_700_000_000), "{row}");
    }
    let keys = fastavro(found.iter().filter_map(|(key, _)| key.as_deref()));
    assert_eq!(keys["rows"][2], json!({"id": {"S": null, "N": "1", "B": null}}));
}

#[test]
fn images_become_typed_rows_of_one_schema_and_removals_tombstones() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let table = unique("avro-rows");
    kafka().create_topic(&table, 1);
    produce(&table, &[put(1, "1.5"), put(2, "2"), "1|NULL".into()]);
    let keys = avro("value")
        + "transforms=image,route\ntransforms.image.type=ExtractNewImage\ntransforms.route.type=RegexRouter\n\
           transforms.route.regex=.*\ntransforms.route.replacement="
        + &format!("{table}.rows\n");
    let rows = format!("{table}.rows");
    let mut worker = connect(dir.path(), &connector(&table, &table, &keys));
    let first = sent(&mut worker, &rows, 3);
    stop(worker);
    assert_eq!(first[2], (Some(br#"{"id":{"N":"1"}}"#.to_vec()), None), "where the row went, under its key");

    // Whole numbers alone, which without the schema of before would be a column of another type.
    produce(&table, &[put(3, "4")]);
    let mut worker = connect(dir.path(), &connector(&table, &table, &keys));
    let found = sent(&mut worker, &rows, 4);
    stop(worker);
    let read = fastavro(values(&found));
    assert_eq!(read["rows"], json!([{"id": 1, "pm": 1.5}, {"id": 2, "pm": 2.0}, {"id": 3, "pm": 4.0}]));
    let field = |name: &str, kind: &str| json!({"name": name, "type": ["null", kind], "default": null});
    let schema = json!({"type": "record", "name": "NewImage", "fields": [field("id", "long"), field("pm", "double")]});
    assert_eq!(read["schemas"], json!([schema]));

    let scene = Scene::without_topic("avro-lake");
    let reading = format!("topics={rows}\nbehavior.on.null.values=ignore\nrotate.idle.ms=300\n");
    let sink = scene.worker("sink", &(avro("value").replace("output.", "") + &reading));
    wait_until("the rows in the lake", PATIENCE, || scene.read()["ids"] == 3);
    stop(sink);
    assert_eq!(scene.rows(), json!([{"id": 1, "pm": 1.5}, {"id": 2, "pm": 2.0}, {"id": 3, "pm": 4.0}]));
}

#[test]
fn images_keep_the_columns_of_the_newest_schema() {
    for (class, numbers) in [("json.JsonSchemaConverter", false), ("protobuf.ProtobufConverter", true)] {
        let dir = tempfile::tempdir().expect("temporary folder");
        let table = unique("images");
        let rows = format!("{table}.rows");
        kafka().create_topic(&table, 1);
        let keys = output("value", class) + "stream.topic=" + &rows + "\ntransforms=image\ntransforms.image.type=ExtractNewImage\n";
        let mut count = 0;
        let mut run = |images: &[String]| {
            produce(&table, images);
            count += images.len();
            let mut worker = connect(dir.path(), &connector(&table, &table, &keys));
            let found = sent(&mut worker, &rows, count);
            stop(worker);
            let ids: HashSet<Vec<u8>> = values(&found).map(|value| value[..5].to_vec()).collect();
            (ids.len(), newest(&format!("{rows}-value")))
        };
        let item = |id: u32, rest: &str| format!(r#"{id}|{{"id":{id},{rest}}}"#);
        let (ids, first) = run(&[item(1, r#""pm":1.5,"deep":{"b":1},"name":"x""#)]);
        assert_eq!((ids, &first[3]), (1, &json!(1)));
        // Other columns than those that were there before, and narrower numbers.
        let (ids, second) = run(&[item(2, r#""more":true,"pm":2,"deep":{"a":"t"}"#)]);
        assert_eq!((ids, &second[3]), (2, &json!(2)), "{second}");
        let text = |newest: &Value| newest[1].as_str().expect("a text").to_owned();
        let fields =
            |text: &str| text.lines().filter(|line| line.starts_with("  ") && line.ends_with(';')).map(str::to_owned).collect::<Vec<_>>();
        let (old, new) = (fields(&text(&first)), fields(&text(&second)));
        assert!(old.len() == if numbers { 5 } else { 0 } && old.iter().all(|line| new.contains(line)), "{old:?} {new:?}");

        let scene = Scene::without_topic("images-lake");
        let reading = format!("topics={rows}\nrotate.idle.ms=300\n");
        let sink = scene.worker("sink", &(converter(class, &registry().url) + &reading));
        wait_until("the rows in the lake", PATIENCE, || scene.read()["ids"] == 2);
        stop(sink);
        let expected =
            [json!({"id": 1, "pm": 1.5, "deep": {"b": 1}, "name": "x"}), json!({"id": 2, "pm": 2.0, "deep": {"a": "t"}, "more": true})];
        assert_eq!(scene.rows(), json!(expected), "{class}");
    }
}

#[test]
fn rows_that_do_not_fit_are_dead_letters_and_nothing_goes_round_in_a_circle() {
    let scene = Scene::local("unfit", 1);
    let dir = tempfile::tempdir().expect("temporary folder");
    let table = &scene.topic;
    produce(table, &[put(1, "1.5"), put(2, "\"x\""), put(3, "2")]);
    let keys = "stream.topic=TABLE.rows\ntransforms=image\ntransforms.image.type=ExtractNewImage\n".replace("TABLE", table);
    let mut worker = connect(dir.path(), &connector(table, table, &(keys + &scene.tolerant())));
    let found = sent(&mut worker, &format!("{table}.rows"), 2);
    assert_eq!(values(&found).collect::<Vec<_>>(), [&br#"{"id":1,"pm":1.5}"#[..], br#"{"id":3,"pm":2.0}"#]);
    let letters = scene.dead_letters(1);
    stop(worker);
    let why = format!("a row for topic {table}.rows, field pm: found \"x\"");
    assert!(letters[0].contains(&why) && letters[0].contains(r#""NewImage":{"id":{"N":"2"},"pm":{"S":"x"}}"#), "{letters:?}");

    let name = unique("circle");
    let keys = format!("transforms=r\ntransforms.r.type=RegexRouter\ntransforms.r.regex=.*\ntransforms.r.replacement={table}\n");
    let mut worker = connect(dir.path(), &connector(&name, table, &keys));
    worker.wait_for_log(&format!("to topic {table}, which is read"), PATIENCE);
    assert!(!worker.wait(PATIENCE).success(), "{worker}");
    assert_eq!(kafka().end_offsets(table), [3]);
}

#[test]
fn json_stays_as_it_is_behind_transforms_and_comes_once_though_the_worker_is_killed() {
    let (dir, other) = (tempfile::tempdir().expect("temporary folder"), tempfile::tempdir().expect("temporary folder"));
    let table = unique("json-stream");
    kafka().create_topic(&table, 1);
    let producer = Producer::new(&ClientSettings::new(&kafka().bootstrap)).expect("a producer");
    let send = |ids: std::ops::Range<usize>| {
        let mut out = Output::default();
        out.to_topic(&table.as_str().into());
        for id in ids {
            let item = json!({"id": id, "m": {}, "l": [], "deep": {"a": [1.5, {"b": null, "c": true}]}, "s": "q\"ü\n"});
            out.push(None, Some(item.to_string().as_bytes()), None);
        }
        producer.send(&out).and_then(|()| producer.flush(PATIENCE)).expect("acknowledged");
    };
    send(0..3000);
    let (plain, changed) = (format!("{table}.plain"), format!("{table}.changed"));
    let mut worker = connect(other.path(), &connector(&plain, &table, &format!("stream.topic={plain}\n")));
    let expected = sent(&mut worker, &plain, 3000);
    stop(worker);
    let keys = format!(
        "stream.topic={changed}\ntransforms=drop,header\ntransforms.drop.type=ReplaceField$Value\n\
         transforms.drop.exclude=eventSourceARN\ntransforms.header.type=HeaderFrom$Value\ntransforms.header.fields=eventName\n\
         transforms.header.headers=event\ntransforms.header.operation=copy\n"
    );
    let mut worker = connect(dir.path(), &connector(&changed, &table, &keys));
    wait_until("the first rows", PATIENCE, || kafka().topics().contains(&changed) && kafka().end_offsets(&changed)[0] > 0);
    worker.kill();
    send(3000..6000);
    let mut worker = connect(dir.path(), &connector(&changed, &table, &keys));
    let found = sent(&mut worker, &changed, 6000);
    stop(worker);
    for ((key, value), (changed_key, changed_value)) in expected.iter().zip(&found) {
        let text = |value: &Bytes| String::from_utf8(value.clone().expect("a value")).expect("UTF-8");
        let (value, changed_value) = (text(value), text(changed_value));
        let (kept, _) = value.split_once(",\"eventSourceARN\":").expect("a stream record");
        assert_eq!((key, format!("{kept}}}")), (changed_key, changed_value));
    }
    let ids: HashSet<String> = values(&found)
        .map(|value| serde_json::from_slice::<Value>(value).expect("JSON")["eventID"].as_str().expect("an id").to_owned())
        .collect();
    assert_eq!(ids.len(), 6000, "each change once");
    let line = kafka().console_consumer_with(&changed, 1, &["--formatter-property", "print.headers=true"]);
    assert!(line[0].starts_with("event:INSERT\t"), "{line:?}");
}
