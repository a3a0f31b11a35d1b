//! Rows that can't be used: each of them, and nothing else, reaches the dead letters; the rest goes on.

use std::fs;
use std::thread;
use std::time::Duration;

use lakefeed_kit::{kafka, minio, python_with, wait_until};

use crate::scene::{MISSED_SOON, PATIENCE, Scene, stop};
use crate::sink::produce;

/// Twelve kinds of bad rows: the value, where it is refused and what the message must have.
const KINDS: [(&str, &str, &str); 12] = [
    (r#"{"id":1,"e":"#, "VALUE_CONVERTER", ""),
    ("[1,2]", "VALUE_CONVERTER", "expected a JSON object"),
    (r#""text""#, "VALUE_CONVERTER", "expected a JSON object"),
    ("17", "VALUE_CONVERTER", "expected a JSON object"),
    (r#"{"id":1,"id":2}"#, "VALUE_CONVERTER", "field id"),
    (r#"{"id":"one","e":"a","ts":1700000000000}"#, "VALUE_CONVERTER", "field id"),
    (r#"{"id":true,"e":"a","ts":1700000000000}"#, "VALUE_CONVERTER", "field id"),
    (r#"{"id":1,"":2}"#, "VALUE_CONVERTER", ""),
    (r#"{"id":1} {"id":2}"#, "VALUE_CONVERTER", ""),
    (r#"{"id":1,"e":"a"}"#, "TASK_PUT", "field ts"),
    (r#"{"id":1,"e":"a","ts":9223372036854775807}"#, "TASK_PUT", "field ts"),
    ("LONG", "TASK_PUT", "field e"),
];

/// The text of a kind; the long one has a value that no file system can hold.
fn value(kind: &str) -> String {
    if kind == "LONG" { format!(r#"{{"id":1,"e":"{}","ts":1700000000000}}"#, "x".repeat(300)) } else { kind.to_owned() }
}

/// `good` rows with the kinds of bad ones strewn among them.
fn strewn(good: usize, bad: usize) -> Vec<String> {
    let row = |id: usize| format!(r#"{{"id":{id},"e":"v{}","ts":{}}}"#, id % 3, 1_700_000_000_000_u64 + id as u64);
    let mut rows: Vec<String> = (0..good).map(row).collect();
    for n in 0..bad {
        rows.insert(100 + n * (good - 100) / bad + n, value(KINDS[n % KINDS.len()].0));
    }
    rows
}

/// The types are declared: which rows are bad does not hang on where reading begins.
const KEYS: &str = "partition.by=e,hour(ts)\nrotate.idle.ms=300\nschema.columns=id BIGINT, e VARCHAR, ts BIGINT\n";

#[test]
fn every_bad_row_is_one_dead_letter_and_says_why() {
    let scene = Scene::local("kinds", 1);
    let rows = strewn(36_000, 36);
    scene.produce_values(&rows);
    let mut worker = scene.worker("worker", &(scene.tolerant() + KEYS));
    scene.wait_for_rows(&mut worker, "the good rows", 36_000);
    wait_until("all offsets are committed", PATIENCE, || scene.committed() == rows.len() as u64);
    stop(&mut worker);
    let dead = format!("{}.dead", scene.topic);
    assert_eq!(kafka().end_offsets(&dead).iter().sum::<u64>(), 36, "dead letters");
    // Three replicas, or one on each of fewer brokers, which is told.
    assert!(replicas(&dead) == 3 || worker.log().contains("fewer brokers than replicas wanted"), "{worker}");
    let letters = scene.dead_letters(36);
    for (kind, stage, part) in KINDS {
        let value = value(kind);
        let of_kind: Vec<&String> = letters.iter().filter(|letter| letter.ends_with(&format!("\t{value}"))).collect();
        assert_eq!(of_kind.len(), 3, "original bytes of {value}");
        for letter in of_kind {
            assert!(letter.contains(&format!("__connect.errors.stage:{stage}")) && letter.contains(part), "{letter}");
            // Topic, partition and offset, of this very record.
            let after = letter.split("__connect.errors.offset:").nth(1).expect("an offset");
            let offset: usize = after.split([',', '\t']).next().and_then(|n| n.parse().ok()).expect("a number");
            assert_eq!(rows[offset], value);
            let place = format!("topic {}, partition 0, offset {offset}", scene.topic);
            assert!(letter.contains(&place), "{letter}");
        }
    }
    scene.assert_each_once(0..36_000);
}

/// As in the Confluent S3 sink: report.null.values.to.dlq is true by itself.
#[test]
fn ignored_nulls_are_told_to_the_dead_letters() {
    let scene = Scene::local("nulls", 1);
    produce(&scene.topic, &[r#"1|{"id":1,"e":"a"}"#, "2|NULL", r#"3|{"id":3,"e":"b"}"#].map(str::to_owned));
    let keys = scene.tolerant() + "behavior.on.null.values=ignore\nrotate.idle.ms=300\n";
    let mut worker = scene.worker("worker", &keys);
    scene.wait_for_rows(&mut worker, "the rows", 2);
    wait_until("all offsets are committed", PATIENCE, || scene.committed() == 3);
    let letters = scene.dead_letters(1);
    assert!(letters[0].contains("report.null.values.to.dlq=false") && letters[0].contains("__connect.errors.offset:1"), "{letters:?}");
    stop(&mut worker);
    // Not, where that is not wanted: a second tombstone is no letter.
    produce(&scene.topic, &["4|NULL", r#"5|{"id":5,"e":"c"}"#].map(str::to_owned));
    let mut worker = scene.worker("again", &(keys + "report.null.values.to.dlq=false\n"));
    scene.wait_for_rows(&mut worker, "the last row", 3);
    stop(&mut worker);
    assert_eq!(kafka().end_offsets(&format!("{}.dead", scene.topic)).iter().sum::<u64>(), 1);
}

/// How many replicas a topic has.
fn replicas(topic: &str) -> usize {
    let described = kafka().tool("topics", &["--describe", "--topic", topic]).success();
    let factor = described.split("ReplicationFactor:").nth(1).and_then(|rest| rest.split_whitespace().next());
    factor.and_then(|factor| factor.parse().ok()).unwrap_or_else(|| panic!("no replication factor: {described}"))
}

#[test]
fn a_topic_of_nothing_but_bad_rows_does_not_spin() {
    let scene = Scene::local("bad", 1);
    let rows: Vec<String> = (0..20_000).map(|n| value(KINDS[n % 4].0)).collect();
    scene.produce_values(&rows);
    let one = "errors.deadletterqueue.topic.replication.factor=1\n";
    let mut worker = scene.worker("worker", &(scene.tolerant() + one + KEYS));
    wait_until("all offsets are committed", PATIENCE, || scene.committed() == 20_000);
    assert_eq!(replicas(&format!("{}.dead", scene.topic)), 1);
    assert!(!worker.log().contains("fewer brokers than replicas wanted"), "{worker}");
    let before = cpu_ticks(worker.id());
    thread::sleep(Duration::from_secs(3));
    let ticks = cpu_ticks(worker.id()) - before;
    // A tick is 10 ms: a task that spins takes 300 of them.
    assert!(ticks < 60, "{ticks} ticks of CPU in 3 s with nothing to do: {worker}");
    stop(&mut worker);
    assert_eq!(kafka().end_offsets(&format!("{}.dead", scene.topic)).iter().sum::<u64>(), 20_000);
}

/// User and system time of a process in clock ticks (proc(5), fields 14 and 15 of stat).
fn cpu_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process is there");
    let after = stat.rsplit_once(')').expect("a name in parentheses").1;
    after.split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().expect("a number")).sum()
}

/// Rows that can't be used become objects.
pub(crate) const ERROR_OBJECTS: &str =
    "errors.tolerance=all\nerror.output.prefix=errors/!{firehose:error-output-type}/!{timestamp:yyyy}/\n";

/// Prints for each error object its rows.
pub(crate) const ERRORS: &str = r#"
import sys, os, json, base64
from pyarrow import fs
bucket = sys.argv[1]
files = fs.S3FileSystem(endpoint_override=os.environ["AWS_ENDPOINT_URL"].split("://", 1)[1], scheme="http", region="us-east-1",
                        access_key=os.environ["AWS_ACCESS_KEY_ID"], secret_key=os.environ["AWS_SECRET_ACCESS_KEY"])
rows = []
for info in files.get_file_info(fs.FileSelector(bucket + "/errors", recursive=True)):
    if info.is_file:
        with files.open_input_stream(info.path) as f:
            for line in f.read().decode().splitlines():
                row = json.loads(line)
                row["raw"] = base64.b64decode(row["rawData"]).decode()
                row["kind"] = info.path.split("/")[2]
                rows.append(row)
print(json.dumps(rows))
"#;

#[test]
fn bad_rows_become_error_objects_once_though_the_worker_is_killed() {
    let scene = Scene::s3("errors", 1, &minio().endpoint);
    let rows = strewn(6000, 24);
    scene.through_kills(&rows, &format!("{KEYS}{MISSED_SOON}{ERROR_OBJECTS}flush.size=50\n"));
    let bucket = scene.lake.trim_start_matches("s3://");
    let found: Vec<serde_json::Value> = serde_json::from_str(&python_with(ERRORS, &[bucket], &minio().environment())).expect("JSON");
    let mut offsets: Vec<u64> = found.iter().filter_map(|row| row["offset"].as_u64()).collect();
    offsets.sort_unstable();
    let bad: Vec<u64> = (0..rows.len()).filter(|i| KINDS.iter().any(|(kind, ..)| rows[*i] == value(kind))).map(|i| i as u64).collect();
    assert_eq!(offsets, bad, "each bad row once");
    for row in &found {
        let offset = row["offset"].as_u64().expect("a number") as usize;
        assert_eq!(row["raw"], rows[offset], "the original bytes");
        assert!(row["errorMessage"].as_str().is_some_and(|m| m.contains(&format!("partition 0, offset {offset}"))), "{row}");
        let kind = if row["field"] == "ts" || row["field"] == "e" { "metadata-extraction-failed" } else { "format-conversion-failed" };
        assert_eq!(row["kind"], kind, "{row}");
    }
}
