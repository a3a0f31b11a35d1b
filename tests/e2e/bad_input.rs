//! Wrong files, unreachable servers: one clear message and the documented exit code.

use std::fs;
use std::time::Duration;

use lakefeed_kit::{kafka, minio, run, unique};

use crate::motor::lakefeed;

const PATIENCE: Duration = Duration::from_secs(120);

/// Runs `connect` with a worker file and a connector file; the exit code and what was said.
fn connect(worker: &str, connector: &str) -> (i32, String) {
    let dir = tempfile::tempdir().expect("temporary folder");
    let place = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).expect("written");
        path.to_string_lossy().into_owned()
    };
    let home = dir.path().display();
    let worker = place("worker.properties", &format!("{worker}\noffset.storage.file.filename={home}/offsets\nstate.dir={home}/state\n"));
    let connector = place("connector.properties", connector);
    let output = run(&mut lakefeed(&["connect", &worker, &connector]), PATIENCE);
    (output.code.expect("an exit code"), output.stderr)
}

fn on_kafka(connector: &str) -> (i32, String) {
    connect(&format!("bootstrap.servers={}", kafka().bootstrap), connector)
}

#[test]
fn wrong_keys_are_named_with_the_nearest_right_one() {
    let (code, said) = connect("bootstrap.servers=localhost:1", "name=a\nconnector.class=S3SinkConnector\ntopcs=t\nflush.size=many\n");
    assert_eq!(code, 1, "{said}");
    for part in ["topcs: unknown key; did you mean 'topics'?", "flush.size = 'many': expected a whole number"] {
        assert!(said.contains(part), "{said}");
    }
    let (code, said) = connect("bootstrap.servers=localhost:1", "name=a\nconnector.class=S3SnkConnector\n");
    assert!(code == 1 && said.contains("did you mean 'S3SinkConnector'?"), "{said}");
    let (code, said) = connect("bootstrap.servers=localhost:1", "name=a\nconnector.class=S3SinkConnector\n");
    assert!(code == 1 && said.contains("topics: is required") && said.contains("s3.bucket.name"), "{said}");
}

#[test]
fn a_broker_that_is_not_there_is_exit_code_3() {
    let (code, said) = connect("bootstrap.servers=127.0.0.1:1", "name=a\nconnector.class=StdoutSinkConnector\ntopics=t\n");
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("no answer from Kafka at 127.0.0.1:1"), "{said}");
}

#[test]
fn a_store_that_is_not_there_or_refuses_is_told_apart() {
    let sink = |bucket: &str, url: &str, secret: &str| {
        let topic = unique("nowhere");
        on_kafka(&format!(
            "name=a\nconnector.class=S3SinkConnector\ntopics={topic}\ns3.bucket.name={bucket}\ns3.region=us-east-1\nstore.url={url}\n\
             aws.access.key.id={}\naws.secret.access.key={secret}\n",
            minio().access_key
        ))
    };
    let bucket = minio().bucket();
    let (code, said) = sink(&bucket, "http://127.0.0.1:1", &minio().secret_key);
    assert!(code == 3 && said.contains("127.0.0.1:1"), "{code} {said}");
    let (code, said) = sink("no-such-bucket-here", &minio().endpoint, &minio().secret_key);
    assert!(code == 1 && said.contains("no-such-bucket-here"), "{code} {said}");
    let (code, said) = sink(&bucket, &minio().endpoint, "a-wrong-secret");
    assert!(code == 1 && said.contains("SignatureDoesNotMatch"), "{code} {said}");
    assert!(!said.contains("a-wrong-secret"), "a secret is never shown: {said}");
}

#[test]
fn a_lake_that_can_not_be_written_is_named() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let file = dir.path().join("file");
    fs::write(&file, "not a folder").expect("written");
    let (code, said) = on_kafka(&format!("name=a\nconnector.class=S3SinkConnector\ntopics=t\nstore.url=file:{}\n", file.display()));
    assert!(code == 1 && said.contains(&*file.to_string_lossy()), "{code} {said}");
}

#[test]
fn check_and_plugins_know_every_file_that_is_shipped() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("connectors/config");
    let mut command = lakefeed(&["check"]);
    for entry in fs::read_dir(&root).expect("the folder").flatten() {
        command.arg(entry.path());
    }
    let said = run(&mut command, PATIENCE).success();
    assert!(said.lines().count() >= 7 && said.lines().all(|line| line.ends_with(": ok")), "{said}");
    let plugins = run(&mut lakefeed(&["plugins"]), PATIENCE).success();
    for class in ["CsvSourceConnector", "DynamoDbProcessorConnector", "S3SinkConnector", "StdoutSinkConnector"] {
        assert!(plugins.contains(class), "{plugins}");
        let keys = run(&mut lakefeed(&["plugins", class, "--json"]), PATIENCE).success();
        assert!(serde_json::from_str::<serde_json::Value>(&keys).is_ok_and(|v| v.as_array().is_some_and(|a| a.len() > 10)), "{keys}");
    }
}

#[test]
fn check_names_what_the_start_would_refuse() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let file = dir.path().join("a\u{1b}[31m.properties");
    let keys = "name=a\nconnector.class=S3SinkConnector\ntopics=t\nstore.url=file:/tmp/x\n";
    fs::write(&file, format!("{keys}topics.dir=../x\nrotate.age.ms=0\npartition.by=e,e\nfoo\\u001bbar=1\n")).expect("written");
    let output = run(lakefeed(&["check"]).arg(&file), PATIENCE).code(1);
    for part in
        ["a\\u{1b}[31m.properties: ", "topics.dir = '../x': expected a relative path", "or -1 for never", "foo\\u{1b}bar: unknown key"]
    {
        assert!(output.stdout.contains(part), "{}", output.stdout);
    }
    assert!(!output.stdout.contains('\u{1b}'), "{}", output.stdout);
    fs::write(&file, format!("{keys}partition.by=e,e\n")).expect("written");
    let output = run(lakefeed(&["check"]).arg(&file), PATIENCE).code(1);
    assert!(output.stdout.contains("the name 'e' is there twice"), "{}", output.stdout);
}

#[test]
fn options_of_sql_that_do_not_exist_are_no_queries() {
    for wrong in ["--fromat", "-x"] {
        let output = run(&mut lakefeed(&["sql", wrong, "SELECT 1"]), PATIENCE).code(2);
        assert!(output.stderr.contains(wrong), "{}", output.stderr);
    }
}
