//! The DynamoDB processor on real Kafka: what the change stream holds through restarts, with its state and without it.

use std::fs;
use std::time::Duration;

use lakefeed_core::Output;
use lakefeed_kafka::{ClientSettings, Producer};
use lakefeed_kit::{Process, kafka, registry, unique, wait_until};
use serde_json::Value;

use crate::converters::{avro, send_csv};
use crate::scene::Scene;
use crate::sink::{MISSED_SOON, connect, connect_with, produce};

const PATIENCE: Duration = Duration::from_secs(120);

/// The event names of the first `count` records of the stream with the new `pm` of each; `-` where there is no new image.
fn events(stream: &str, count: usize) -> Vec<String> {
    let event = |line: String| {
        let record: Value = serde_json::from_str(&line).expect("JSON");
        let pm = record["dynamodb"]["NewImage"]["pm"]["N"].as_str().unwrap_or("-").to_owned();
        format!("{} {pm}", record["eventName"].as_str().expect("a name"))
    };
    kafka().console_consumer(stream, count).into_iter().map(event).collect()
}

fn stop(mut worker: Process) {
    assert!(worker.terminate(PATIENCE).success(), "{}", worker.log());
}

#[test]
fn the_state_survives_restarts_and_is_rebuilt_when_it_is_lost() {
    restarts(MISSED_SOON);
}

#[test]
fn a_processor_in_a_kip_848_group_goes_on_after_restarts() {
    restarts("consumer.group.protocol=consumer\n");
}

fn restarts(worker_keys: &str) {
    let dir = tempfile::tempdir().expect("temporary folder");
    let table = unique("motors");
    let stream = format!("{table}.stream");
    kafka().create_topic(&table, 1);
    let connector = format!("name={table}\nconnector.class=DynamoDbProcessorConnector\ntopics={table}\nkey.fields=id\n");
    let put = |id: u32, pm: &str| format!(r#"{id}|{{"id":{id},"pm":{pm}}}"#);
    let connect = || connect_with(dir.path(), &connector, worker_keys);
    let mut said = Vec::new();

    let worker = connect();
    produce(&table, &[put(1, "1.5"), put(2, "2"), put(1, "1.50")]);
    said.extend(["INSERT 1.5", "INSERT 2"]);
    assert_eq!(events(&stream, said.len()), said);
    stop(worker);

    // With the state of the first run: a put that changes nothing makes no record.
    let worker = connect();
    produce(&table, &[put(2, "2.0"), put(1, "7"), "2|NULL".into()]);
    said.extend(["MODIFY 7", "REMOVE -"]);
    assert_eq!(events(&stream, said.len()), said);
    stop(worker);

    // Without it: built anew from the table topic, without a record of what is known.
    fs::remove_dir_all(dir.path().join("state")).expect("removed");
    let mut worker = connect();
    worker.wait_for_log("Restoring the state", PATIENCE);
    produce(&table, &[put(1, "7"), put(2, "3"), put(1, "8")]);
    said.extend(["INSERT 3", "MODIFY 8"]);
    assert_eq!(events(&stream, said.len()), said);

    // kill -9 in the middle of work, and on.
    produce(&table, &[put(3, "1")]);
    said.push("INSERT 1");
    wait_until("the record before the kill", PATIENCE, || events(&stream, said.len()) == said);
    worker.kill();
    let worker = connect();
    produce(&table, &[put(3, "1"), put(3, "2")]);
    said.push("MODIFY 2");
    assert_eq!(events(&stream, said.len()), said);
    stop(worker);
}

#[test]
fn a_table_of_avro_rows_becomes_a_stream() {
    let scene = Scene::local("avro-table", 1);
    let (table, stream) = (&scene.topic, format!("{}.stream", scene.topic));
    let converter = avro(&registry().url);
    let put = |rows: &str| send_csv(&scene, &format!("id,pm,name,on\n{rows}"), &format!("{converter}key.fields=id\n")).success();
    put("1,1.5,,\n2,2,,\n");
    // Not behind a schema's id.
    let producer = Producer::new(&ClientSettings::new(&kafka().bootstrap)).expect("a producer");
    let mut out = Output::default();
    out.to_topic(&table.as_str().into());
    out.push(Some(b"9"), Some(b"{\"id\":9}"), None);
    producer.send(&out).and_then(|()| producer.flush(PATIENCE)).expect("acknowledged");

    let dir = tempfile::tempdir().expect("temporary folder");
    let connector =
        format!("name={table}\nconnector.class=DynamoDbProcessorConnector\ntopics={table}\nkey.fields=id\n{converter}{}", scene.tolerant());
    let worker = connect(dir.path(), &connector);
    put("1,7,,\n2,2,,\n");
    let mut said = vec!["INSERT 1.5", "INSERT 2", "MODIFY 7"];
    assert_eq!(events(&stream, said.len()), said);
    let letters = scene.dead_letters(1);
    assert!(letters[0].contains("VALUE_CONVERTER") && letters[0].ends_with("{\"id\":9}"), "{letters:?}");
    stop(worker);

    fs::remove_dir_all(dir.path().join("state")).expect("removed");
    let mut worker = connect(dir.path(), &connector);
    worker.wait_for_log("Restoring the state", PATIENCE);
    put("1,7,,\n2,3,,\n");
    said.push("MODIFY 3");
    assert_eq!(events(&stream, said.len()), said);
    stop(worker);
}
