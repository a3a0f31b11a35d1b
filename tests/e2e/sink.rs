//! The S3 sink on its own: any JSON topic, local and S3.

use std::fs;
use std::path::Path;
use std::time::Duration;

use lakefeed_kit::{Process, kafka, minio, run, unique, wait_until};

use crate::motor::lakefeed;
use crate::scene::console_produce;

const PATIENCE: Duration = Duration::from_secs(120);

/// Members of a worker's groups that are gone are missed after 6 s.
pub(crate) const MISSED_SOON: &str = "consumer.session.timeout.ms=6000\n";

pub(crate) fn connect(dir: &Path, connector: &str) -> Process {
    connect_with(dir, connector, MISSED_SOON)
}

/// A worker with more keys of its own.
pub(crate) fn connect_with(dir: &Path, connector: &str, keys: &str) -> Process {
    let worker = dir.join("worker.properties");
    let home = dir.display();
    let text = format!(
        "bootstrap.servers={}\noffset.storage.file.filename={home}/offsets\nstate.dir={home}/state\noffset.flush.interval.ms=200\n{keys}",
        kafka().bootstrap
    );
    fs::write(&worker, text).expect("written");
    let file = dir.join("connector.properties");
    fs::write(&file, connector).expect("written");
    Process::spawn(&mut lakefeed(&["connect", &worker.to_string_lossy(), &file.to_string_lossy()]), dir.join("worker.log"))
}

/// Sends lines `key|value` by the console producer; an empty value text `NULL` is a tombstone.
pub(crate) fn produce(topic: &str, lines: &[String]) {
    console_produce(topic, lines, &["parse.key=true", "key.separator=|", "null.marker=NULL"]);
}

fn files(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "parquet") {
                found.push(path.strip_prefix(root).expect("below").to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_stock_configuration_writes_the_files_that_its_users_know() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let topic = unique("orders");
    let bucket = minio().bucket();
    kafka().create_topic(&topic, 1);
    produce(
        &topic,
        &(0..7)
            .map(|i| format!(r#"{i}|{{"id":{i},"country":"{}","amount":{i}.5}}"#, if i % 2 == 0 { "DE" } else { "F/R" }))
            .collect::<Vec<_>>(),
    );
    let mut worker = connect(
        dir.path(),
        &format!(
            "name={topic}\nconnector.class=io.confluent.connect.s3.S3SinkConnector\ntasks.max=1\ntopics={topic}\ns3.bucket.name={bucket}\n\
             s3.region=us-east-1\nstore.url={}\nstorage.class=io.confluent.connect.s3.storage.S3Storage\n\
             format.class=io.confluent.connect.s3.format.parquet.ParquetFormat\nparquet.codec=snappy\nflush.size=3\n\
             partitioner.class=io.confluent.connect.storage.partitioner.FieldPartitioner\npartition.field.name=country\n\
             schema.compatibility=NONE\nvalue.converter=org.apache.kafka.connect.json.JsonConverter\nvalue.converter.schemas.enable=false\n\
             key.converter=org.apache.kafka.connect.storage.StringConverter\n",
            minio().endpoint
        ),
    );
    let lake = format!("s3://{bucket}/topics");
    let table = topic.replace('-', "_");
    let query = format!("SELECT country, count(*), sum(amount), min(id) FROM {table} GROUP BY ALL ORDER BY ALL");
    let ask = || run(&mut lakefeed(&["sql", "--lake", &lake, "--format", "csv", &query]), PATIENCE);
    // flush.size closes a file at three rows: DE has four rows and F/R three.
    wait_until("the full files are there", PATIENCE, || ask().stdout.contains("F/R,3,10.5,1") && ask().stdout.contains("DE,3,7.5,0"));
    assert!(worker.terminate(PATIENCE).success(), "{}", worker.log());
    let answer = ask().success();
    assert_eq!(answer.lines().skip(1).collect::<Vec<_>>(), ["DE,4,14.0,0", "F/R,3,10.5,1"]);
    let names =
        format!("SELECT DISTINCT parse_path(filename)[-2:] AS p FROM read_parquet('{lake}/**/*.parquet', filename = true) ORDER BY ALL");
    let names = run(&mut lakefeed(&["sql", "--lake", &lake, "--format", "csv", &names]), PATIENCE).success();
    assert!(names.contains(&format!("['country=DE', {topic}+0+0000000000.snappy.parquet]")), "{names}");
    assert!(names.contains(&format!("['country=DE', {topic}+0+0000000006.snappy.parquet]")), "{names}");
    assert!(names.contains(&format!("['country=F%2FR', {topic}+0+0000000001.snappy.parquet]")), "{names}");
}

#[test]
fn bad_records_are_dead_letters_and_the_rest_arrives() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let topic = unique("mixed");
    let dead = format!("{topic}.dead");
    kafka().create_topic(&topic, 1);
    let lines = [r#"1|{"id":1,"pm":1.5}"#, r#"2|{"id":2,"pm":"#, "3|[1,2]", r#"4|{"id":4,"pm":"hot"}"#, "5|NULL", r#"6|{"id":6,"pm":6}"#];
    produce(&topic, &lines.map(str::to_owned));
    let lake = dir.path().join("lake");
    let mut worker = connect(
        dir.path(),
        &format!(
            "name={topic}\nconnector.class=S3SinkConnector\ntopics={topic}\nstore.url=file:{}\ntopics.dir=\nrotate.idle.ms=300\n\
             errors.tolerance=all\nerrors.deadletterqueue.topic.name={dead}\n",
            lake.display()
        ),
    );
    wait_until("a file", PATIENCE, || !files(&lake).is_empty());
    let letters =
        kafka().console_consumer_with(&dead, 4, &["--formatter-property", "print.headers=true", "--formatter-property", "print.key=true"]);
    assert_eq!(letters.len(), 4);
    let of = |key: &str| {
        letters.iter().find(|l| l.contains(&format!("\t{key}\t"))).unwrap_or_else(|| panic!("a dead letter for {key}: {letters:#?}"))
    };
    assert!(of("2").ends_with(r#"{"id":2,"pm":"#), "the original bytes");
    for (key, stage, why) in [
        ("2", "VALUE_CONVERTER", "offset 1"),
        ("3", "VALUE_CONVERTER", "offset 2"),
        ("4", "VALUE_CONVERTER", "field pm"),
        ("5", "TASK_PUT", "no value"),
    ] {
        assert!(of(key).contains(&format!("__connect.errors.stage:{stage}")) && of(key).contains(why), "{}", of(key));
        assert!(of(key).contains(&format!("__connect.errors.topic:{topic}")), "{}", of(key));
    }
    assert!(worker.terminate(PATIENCE).success(), "{}", worker.log());
    let table = topic.replace('-', "_");
    let query = format!("SELECT id, pm FROM {table} ORDER BY id");
    let rows = run(&mut lakefeed(&["sql", "--lake", &lake.to_string_lossy(), "--format", "csv", &query]), PATIENCE).success();
    assert_eq!(rows.lines().skip(1).collect::<Vec<_>>(), ["1,1.5", "6,6.0"]);
}

#[test]
fn without_tolerance_the_first_bad_record_ends_the_task_and_names_itself() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let topic = unique("strict");
    kafka().create_topic(&topic, 1);
    produce(&topic, &["1|{}".to_owned(), "2|oops".to_owned()]);
    let connector =
        format!("name={topic}\nconnector.class=S3SinkConnector\ntopics={topic}\nstore.url=file:{}/lake\n", dir.path().display());
    let mut worker = connect(dir.path(), &connector);
    let status = worker.wait(PATIENCE);
    assert_eq!(status.code(), Some(1), "{}", worker.log());
    let message = format!("topic {topic}, partition 0, offset 1");
    assert!(worker.log().contains(&message) && worker.log().contains("errors.tolerance=all"), "{}", worker.log());
}
