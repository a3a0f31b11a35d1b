//! `TimestampRouter` on the way to the lake: a topic that has a name for each day, second or year there.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use lakefeed_core::Output;
use lakefeed_kafka::{ClientSettings, Producer};
use lakefeed_kit::{kafka, minio, run, unique, wait_until};

use crate::motor::lakefeed;
use crate::scene::{MISSED_SOON, PATIENCE, Scene, stop};
use crate::sink::connect;

const DAY_MS: i64 = 86_400_000;

/// Sends rows with these ids and timestamps.
fn produce(topic: &str, rows: &[(usize, i64)]) {
    let producer = Producer::new(&ClientSettings::new(&kafka().bootstrap)).expect("a producer");
    let mut out = Output::default();
    out.to_topic(&topic.into());
    for (id, timestamp_ms) in rows {
        let country = ["DE", "FR"][id % 2];
        out.push(None, Some(format!(r#"{{"id":{id},"country":"{country}"}}"#).as_bytes()), Some(*timestamp_ms));
    }
    producer.send(&out).and_then(|()| producer.flush(PATIENCE)).expect("acknowledged");
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_millis()).expect("before the year 292 million")
}

#[test]
fn a_stock_configuration_names_a_topic_by_day() {
    let (dir, topic, bucket) = (tempfile::tempdir().expect("temporary folder"), unique("orders"), minio().bucket());
    kafka().create_topic(&topic, 1);
    let noon = now_ms() / DAY_MS * DAY_MS - DAY_MS / 2;
    // Of yesterday and the day before, mixed.
    produce(&topic, &(0..8).map(|id| (id, noon - if id % 3 == 0 { DAY_MS } else { 0 })).collect::<Vec<_>>());
    let connector = format!(
        "name={topic}\nconnector.class=io.confluent.connect.s3.S3SinkConnector\ntasks.max=1\ntopics={topic}\ns3.bucket.name={bucket}\n\
         s3.region=us-east-1\nstore.url={}\nstorage.class=io.confluent.connect.s3.storage.S3Storage\n\
         format.class=io.confluent.connect.s3.format.parquet.ParquetFormat\nflush.size=2\n\
         partitioner.class=io.confluent.connect.storage.partitioner.FieldPartitioner\npartition.field.name=country\n\
         schema.compatibility=NONE\nvalue.converter=org.apache.kafka.connect.json.JsonConverter\nvalue.converter.schemas.enable=false\n\
         transforms=byDay\ntransforms.byDay.type=org.apache.kafka.connect.transforms.TimestampRouter\n\
         transforms.byDay.topic.format=${{topic}}-${{timestamp}}\ntransforms.byDay.timestamp.format=yyyyMMdd\n",
        minio().endpoint
    );
    let file = dir.path().join("stock.properties");
    fs::write(&file, &connector).expect("written");
    run(&mut lakefeed(&["check", &file.to_string_lossy()]), PATIENCE).success();
    let lake = format!("s3://{bucket}/topics");
    let ask = |query: &str| run(&mut lakefeed(&["sql", "--lake", &lake, "--format", "csv", query]), PATIENCE);
    let mut worker = connect(dir.path(), &connector);
    wait_until("a full file of each day", PATIENCE, || ask("SHOW TABLES").stdout.lines().count() == 3);
    stop(&mut worker);

    let day = |ms: i64| ask(&format!("SELECT strftime(make_timestamp({ms} * 1000), '%Y%m%d')")).success().lines().nth(1).map(str::to_owned);
    let [earlier, later] = [noon - DAY_MS, noon].map(|ms| day(ms).expect("a day"));
    let table = |day: &str| format!("{topic}-{day}").replace('-', "_");
    let tables = ask("SHOW TABLES").success();
    assert_eq!(tables.lines().skip(1).collect::<Vec<_>>(), [table(&earlier), table(&later)]);
    for (day, expected) in [(&earlier, ["DE,2,6.0", "FR,1,3.0"]), (&later, ["DE,2,6.0", "FR,3,13.0"])] {
        let answer = ask(&format!("SELECT country, count(*), sum(id)::DOUBLE FROM {} GROUP BY ALL ORDER BY ALL", table(day)));
        assert_eq!(answer.success().lines().skip(1).collect::<Vec<_>>(), expected, "{day}");
    }
    let names = ask(&format!("SELECT substr(file, length('{lake}') + 2) FROM glob('{lake}/**/*.parquet') ORDER BY 1")).success();
    let name =
        |day: &str, country: &str, first: usize| format!("{topic}-{day}/country={country}/{topic}-{day}+0+{first:010}.snappy.parquet");
    let expected = [name(&earlier, "DE", 0), name(&earlier, "FR", 3), name(&later, "DE", 2), name(&later, "FR", 1), name(&later, "FR", 7)];
    assert_eq!(names.lines().skip(1).collect::<Vec<_>>(), expected);
}

/// A name for each second of a topic that another router has named before.
const BY_SECOND: &str = "transforms=name,time\n\
    transforms.name.type=RegexRouter\ntransforms.name.regex=([a-z]+)-.*\ntransforms.name.replacement=$1\n\
    transforms.time.type=TimestampRouter\ntransforms.time.topic.format=${timestamp}.${topic}\n\
    transforms.time.timestamp.format=yyyyMMddHHmmss\n";

const ROWS: i64 = 4000;

/// Rows of four seconds, mixed, half of them before a worker is killed and half of them after. Of one second there are few rows: their file is
/// still open, so no offset is committed, and the next worker has to find by the names what is in the lake.
fn through_a_kill(scene: &Scene, keys: &str) {
    let keys = format!("{BY_SECOND}{MISSED_SOON}partition.by=country\nflush.size=30\nmetadata.columns=_timestamp\n{keys}");
    let start = now_ms();
    let second = |id: i64| if id % 100 == 0 { 3 } else { id % 3 };
    let rows: Vec<_> = (0..ROWS).map(|id| (id as usize, start - second(id) * 1000)).collect();
    let (earlier, later) = rows.split_at(rows.len() / 2);
    produce(&scene.topic, earlier);
    let mut worker = scene.worker("killed", &keys);
    wait_until("the full files", PATIENCE, || scene.read()["ids"].as_u64() >= Some(1890));
    worker.kill();
    assert_eq!(scene.committed(), 0, "the first row is in an open file");
    produce(&scene.topic, later);
    let mut worker = scene.worker("next", &format!("{keys}rotate.idle.ms=300\n"));
    wait_until("all offsets are committed", PATIENCE, || scene.committed() == ROWS as u64);
    stop(&mut worker);
    scene.assert_each_once(0..ROWS as u64);
}

#[test]
fn rows_of_names_by_second_come_once_though_the_worker_is_killed() {
    let scene = Scene::s3("bysecond", 1, &minio().endpoint);
    through_a_kill(&scene, "");
    // In each file there are the rows of its name.
    let files = format!("read_parquet('{}/**/*.parquet', filename = true, hive_partitioning = false)", scene.lake);
    let time = "strftime(make_timestamp(epoch_us(_timestamp)), '%Y%m%d%H%M%S')";
    let name = format!("{time} || '.bysecond'");
    let answer = run(
        &mut lakefeed(&[
            "sql",
            "--lake",
            &scene.lake,
            "--format",
            "csv",
            &format!(
                "SELECT count(*) FILTER (parse_path(filename)[-3] = {name} AND starts_with(parse_path(filename)[-1], {name} || '+0+')), \
                 count(DISTINCT parse_path(filename)[-3]) FROM {files}"
            ),
        ]),
        PATIENCE,
    );
    assert_eq!(answer.success().lines().nth(1), Some("4000,4"));
}

#[test]
fn rows_of_names_by_second_come_once_in_files_of_other_formats() {
    for format in ["format.class=JsonFormat\n", "format.class=AvroFormat\n"] {
        through_a_kill(&Scene::local("formats", 1), format);
    }
}

#[test]
fn a_file_of_another_topic_with_the_same_name_ends_the_sink() {
    let scene = Scene::local("byyear", 1);
    let keys = "rotate.idle.ms=200\ntransforms=t\ntransforms.t.type=TimestampRouter\ntransforms.t.topic.format=all-${timestamp}\n\
                transforms.t.timestamp.format=yyyy\n";
    let at = now_ms() - DAY_MS;
    produce(&scene.topic, &[(0, at), (1, at)]);
    let mut worker = scene.worker("worker", keys);
    wait_until("the rows", PATIENCE, || scene.read()["ids"] == 2);
    stop(&mut worker);
    let other = format!("{}-other", scene.topic);
    kafka().create_topic(&other, 1);
    produce(&other, &[(2, at)]);
    let mut worker = scene.worker("other", &format!("{keys}name={other}\ntopics={other}\n"));
    worker.wait_for_log("two topics may not have one name in the lake; change the routers", PATIENCE);
    assert!(!worker.wait(PATIENCE).success(), "{worker}");
    scene.assert_each_once(0..2);
}
