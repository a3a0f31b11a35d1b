//! A chain of transforms on the way to the lake: what rows become, and what becomes of those that can't be transformed.

use lakefeed_core::Output;
use lakefeed_kafka::{ClientSettings, Producer};
use lakefeed_kit::{kafka, minio, python_with, wait_until};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::converters::send_csv;
use crate::dead_letters::{ERROR_OBJECTS, ERRORS};
use crate::rest::{Client, empty_worker};
use crate::scene::{MISSED_SOON, PATIENCE, Scene, stop};

/// The lake partition is a text that a transform has made of a number, and which rows are bad is what a transform says.
const KEYS: &str = "partition.by=kind\nrotate.idle.ms=300\nflush.size=50\n\
    transforms=cast,where,names\n\
    transforms.cast.type=org.apache.kafka.connect.transforms.Cast$Value\n\
    transforms.cast.spec=no:int64,kind:string\n\
    transforms.where.type=org.apache.kafka.connect.transforms.InsertField$Value\n\
    transforms.where.offset.field=at\n\
    transforms.where.topic.field=topic\n\
    transforms.names.type=org.apache.kafka.connect.transforms.ReplaceField$Value\n\
    transforms.names.renames=no:id\n\
    transforms.names.exclude=secret\n";

/// Rows whose ids are text; every hundredth, from the 17th on, has none that is a number. Some kinds are no whole numbers, so the column of the
/// whole ones before them becomes one of doubles.
fn rows(count: usize) -> Vec<String> {
    let kind = |n: usize| if n % 97 == 96 { "2.5".to_owned() } else { (n % 5).to_string() };
    let no = |n: usize| if is_bad(n) { format!("x{n}") } else { n.to_string() };
    (0..count).map(|n| format!(r#"{{"no":"{}","kind":{},"secret":"s{n}","v":{n}.5}}"#, no(n), kind(n))).collect()
}

fn is_bad(row: usize) -> bool {
    row % 100 == 17
}

#[test]
fn a_chain_transforms_rows_and_rejects_with_field_and_value() {
    let scene = Scene::local("chain", 1);
    let rows = rows(300);
    scene.produce_values(&rows);
    let mut worker = scene.worker("worker", &(scene.tolerant() + KEYS));
    scene.wait_for_rows(&mut worker, "the good rows", 297);
    wait_until("all offsets are committed", PATIENCE, || scene.committed() == 300);
    stop(&mut worker);
    assert_eq!(kafka().end_offsets(&format!("{}.dead", scene.topic)).iter().sum::<u64>(), 3, "dead letters");
    for letter in scene.dead_letters(3) {
        assert!(letter.contains("__connect.errors.stage:TRANSFORMATION"), "{letter}");
        let row = rows.iter().position(|row| letter.ends_with(&format!("\t{row}"))).expect("the value as it was");
        let message = format!("offset {row}, field no: transform cast: found x{row}, expected what can be cast to int64");
        assert!(is_bad(row) && letter.contains(&message), "{letter}");
    }
    let found = scene.rows();
    let found = found.as_array().expect("rows");
    let expected = |n: usize| {
        let kind = if n % 97 == 96 { "2.5".to_owned() } else { (n % 5).to_string() };
        json!({"id": n, "kind": kind, "v": n as f64 + 0.5, "at": n, "topic": scene.topic})
    };
    let expected: Vec<Value> = (0..300).filter(|n| !is_bad(*n)).map(expected).collect();
    assert_eq!(*found, expected);
}

#[test]
fn transformed_rows_and_their_rejects_come_once_though_the_worker_is_killed() {
    let mut scene = Scene::s3("chainkill", 1, &minio().endpoint);
    let rows = rows(6000);
    scene.through_kills(&rows, &format!("{KEYS}{MISSED_SOON}{ERROR_OBJECTS}"));
    let bucket = scene.lake.trim_start_matches("s3://").to_owned();
    let found: Vec<Value> = serde_json::from_str(&python_with(ERRORS, &[&bucket], &minio().environment())).expect("JSON");
    let mut offsets: Vec<usize> = found.iter().filter_map(|row| row["offset"].as_u64()).map(|n| n as usize).collect();
    offsets.sort_unstable();
    assert_eq!(offsets, (0..rows.len()).filter(|n| is_bad(*n)).collect::<Vec<_>>(), "each bad row once");
    for row in &found {
        let offset = row["offset"].as_u64().expect("a number") as usize;
        assert_eq!((&row["raw"], &row["kind"], &row["field"]), (&json!(rows[offset]), &json!("processing-failed"), &json!("no")));
    }
    scene.lake = format!("s3://{bucket}/{}", scene.topic);
    let ids = scene.rows();
    let ids: Vec<u64> = ids.as_array().expect("rows").iter().filter_map(|row| row["id"].as_u64()).collect();
    assert_eq!(ids, (0..rows.len()).filter(|n| !is_bad(*n)).map(|n| n as u64).collect::<Vec<_>>(), "each good row once");
}

#[test]
fn validate_shows_the_keys_of_transforms_and_what_is_wrong_with_them() {
    let dir = TempDir::new().expect("temporary folder");
    let mut worker = empty_worker(&dir);
    let client = Client::of(&mut worker);
    let config = json!({
        "connector.class": "StdoutSinkConnector", "name": "a", "topics": "t", "transforms": "c",
        "transforms.c.type": "org.apache.kafka.connect.transforms.Cast$Value", "transforms.c.spce": "id:int8",
        "transforms.c.predicate": "p", "predicates": "p",
        "predicates.p.type": "org.apache.kafka.connect.transforms.predicates.TopicNameMatches", "predicates.p.pattern": "a.*",
    });
    let infos = client.done("PUT", "/connector-plugins/StdoutSinkConnector/config/validate", Some(&config));
    let configs = infos["configs"].as_array().expect("configs");
    let of = |name: &str| configs.iter().find(|config| config["value"]["name"] == name).cloned().unwrap_or_default();
    for (name, group, value) in [
        ("transforms.c.negate", "Transforms: c", json!("false")),
        ("transforms.c.predicate", "Transforms: c", json!("p")),
        ("predicates.p.pattern", "Predicates: p", json!("a.*")),
    ] {
        let found = of(name);
        assert_eq!(
            (&found["definition"]["name"], &found["definition"]["group"], &found["value"]["value"]),
            (&json!(name), &json!(group), &value)
        );
    }
    assert!(of("transforms.c.spec")["value"]["errors"][0].as_str().is_some_and(|error| error.starts_with("Missing required")), "{infos}");
    assert!(of("transforms.c.spce")["value"]["errors"][0].as_str().is_some_and(|error| error.contains("did you mean 'spec'?")), "{infos}");
    assert_eq!(infos["error_count"], 2, "{infos}");
    let keys = client.get("/connector-plugins/org.apache.kafka.connect.transforms.Cast$Value/config");
    assert_eq!((&keys[0]["name"], &keys[0]["required"]), (&json!("spec"), &json!(true)), "{keys}");
    let plugins = client.get("/connector-plugins?connectorsOnly=false");
    let of_type = |kind: &str| plugins.as_array().map_or(0, |all| all.iter().filter(|plugin| plugin["type"] == kind).count());
    assert_eq!((of_type("transformation"), of_type("predicate")), (26, 3));
    stop(&mut worker);
}

#[test]
fn rows_of_a_csv_file_are_transformed_on_their_way() {
    let scene = Scene::local("source", 1);
    let routed = format!("{}-2", scene.topic);
    kafka().create_topic(&routed, 1);
    let keys = "transforms=key,extract,header,route,mask,filter\n\
        transforms.key.type=org.apache.kafka.connect.transforms.ValueToKey\n\
        transforms.key.fields=id\n\
        transforms.extract.type=org.apache.kafka.connect.transforms.ExtractField$Key\n\
        transforms.extract.field=id\n\
        transforms.header.type=org.apache.kafka.connect.transforms.InsertHeader\n\
        transforms.header.header=app\n\
        transforms.header.value.literal=lakefeed\n\
        transforms.route.type=org.apache.kafka.connect.transforms.RegexRouter\n\
        transforms.route.regex=(.*)\n\
        transforms.route.replacement=$1-2\n\
        transforms.mask.type=org.apache.kafka.connect.transforms.MaskField$Value\n\
        transforms.mask.fields=secret\n\
        transforms.filter.type=org.apache.kafka.connect.transforms.Filter\n\
        transforms.filter.predicate=other\n\
        predicates=other\n\
        predicates.other.type=org.apache.kafka.connect.transforms.predicates.TopicNameMatches\n\
        predicates.other.pattern=none\n";
    send_csv(&scene, "id,secret,pm,on,n\n7,x,,,1\n8,y,1.5,true,2\n", keys).success();
    let arguments = ["--formatter-property", "print.key=true", "--formatter-property", "print.headers=true"];
    let lines = kafka().console_consumer_with(&routed, 2, &arguments);
    assert_eq!(
        lines,
        [
            "app:lakefeed\t7\t{\"id\":7,\"pm\":null,\"on\":null,\"secret\":\"\",\"n\":1}",
            "app:lakefeed\t8\t{\"id\":8,\"pm\":1.5,\"on\":true,\"secret\":\"\",\"n\":2}"
        ]
    );
    assert_eq!(kafka().end_offsets(&scene.topic), [0]);
}

#[test]
fn keys_and_headers_are_read_and_transformed_beside_the_rows() {
    let scene = Scene::local("keys", 1);
    let producer = Producer::new(&ClientSettings::new(&kafka().bootstrap)).expect("a producer");
    let mut out = Output::default();
    out.to_topic(&scene.topic.as_str().into());
    for id in 0..4_i64 {
        let key = (id + 40).to_be_bytes();
        out.push(Some(if id == 2 { b"short" } else { &key }), Some(json!({"id": id, "v": id * 2}).to_string().as_bytes()), None);
        out.push_header("drop", Some(b"me"));
    }
    producer.send(&out).expect("sent");
    producer.flush(PATIENCE).expect("acknowledged");
    let keys = "rotate.idle.ms=300\nmetadata.columns=_key,_headers\nkey.converter=org.apache.kafka.connect.converters.LongConverter\n\
        transforms=hoist,drop,from,route\n\
        transforms.hoist.type=HoistField$Key\n\
        transforms.hoist.field=number\n\
        transforms.drop.type=DropHeaders\n\
        transforms.drop.headers=drop\n\
        transforms.from.type=HeaderFrom$Value\n\
        transforms.from.fields=v\n\
        transforms.from.headers=v\n\
        transforms.from.operation=move\n\
        transforms.route.type=RegexRouter\n\
        transforms.route.regex=.*\n\
        transforms.route.replacement=in-the-lake\n";
    let mut worker = scene.worker("worker", &(scene.tolerant() + keys));
    wait_until("the good rows", PATIENCE, || scene.read()["ids"] == 3);
    let letters = scene.dead_letters(1);
    stop(&mut worker);
    assert!(letters[0].contains("KEY_CONVERTER") && letters[0].contains("check key.converter"), "{letters:?}");
    let row = |id: u64| json!({"id": id, "_key": format!("{{\"number\":{}}}", id + 40), "_headers": [{"key": "v", "value": (id * 2).to_string()}]});
    assert_eq!(scene.rows(), json!([row(0), row(1), row(3)]));
    let folders: Vec<_> = std::fs::read_dir(&scene.lake).expect("a lake").map(|entry| entry.expect("an entry").file_name()).collect();
    assert!(folders.iter().any(|name| name == "in-the-lake") && !folders.iter().any(|name| *name == *scene.topic), "{folders:?}");

    // Another topic, whose name would be the same.
    let other = format!("{}-other", scene.topic);
    kafka().create_topic(&other, 1);
    out.clear();
    out.to_topic(&other.as_str().into());
    out.push(Some(&7_i64.to_be_bytes()), Some(b"{\"id\":9,\"v\":1}"), None);
    producer.send(&out).and_then(|()| producer.flush(PATIENCE)).expect("acknowledged");
    let mut worker = scene.worker("other", &(scene.tolerant() + keys + &format!("name={other}\ntopics={other}\n")));
    worker.wait_for_log("two topics may not have one name in the lake", PATIENCE);
    assert!(!worker.wait(PATIENCE).success(), "{worker}");
}
