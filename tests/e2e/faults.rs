//! The sink under fire: frozen workers, rebalances, kills, a store that fails or loses answers, deleted records, odd values.
//!
//! After each of them another reader, pyarrow, must find every row once.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use lakefeed_kit::{Output, Process, kafka, minio, python_with, run, unique, wait_until};
use tempfile::TempDir;

use crate::motor::lakefeed;

const PATIENCE: Duration = Duration::from_secs(50);

/// Prints how many files a lake has, how many rows, how many ids, and some ids that are there more than once.
const READ: &str = r#"
import sys, os, json, collections
import pyarrow.parquet as pq
from pyarrow import fs
url = sys.argv[1]
if url.startswith("s3://"):
    files = fs.S3FileSystem(endpoint_override=os.environ["AWS_ENDPOINT_URL"].split("://", 1)[1], scheme="http", region="us-east-1",
                            access_key=os.environ["AWS_ACCESS_KEY_ID"], secret_key=os.environ["AWS_SECRET_ACCESS_KEY"])
    root = url[5:]
else:
    files, root = fs.LocalFileSystem(), url
infos = files.get_file_info(fs.FileSelector(root, recursive=True))
paths = [i.path for i in infos if i.is_file and not i.path.rsplit("/", 1)[-1].startswith(".")]
seen = collections.Counter()
for path in paths:
    seen.update(pq.read_table(path, filesystem=files, partitioning=None, columns=["id"]).column("id").to_pylist())
double = sorted(i for i, n in seen.items() if n != 1)
print(json.dumps({"files": len(paths), "ids": len(seen), "min": min(seen, default=None), "max": max(seen, default=None), "double": double[:5]}))
"#;

/// A topic, a lake and a folder for workers.
struct Scene {
    dir: TempDir,
    topic: String,
    lake: String,
    target: String,
}

impl Scene {
    fn local(name: &str, partitions: u32) -> Self {
        let scene = Self::without_topic(name);
        kafka().create_topic(&scene.topic, partitions);
        scene
    }

    fn without_topic(name: &str) -> Self {
        let dir = TempDir::new().expect("temporary folder");
        let lake = dir.path().join("lake").to_string_lossy().into_owned();
        Self { dir, topic: unique(name), target: format!("store.url=file:{lake}\ntopics.dir=\n"), lake }
    }

    /// On S3; `endpoint` is where the worker finds the store.
    fn s3(name: &str, partitions: u32, endpoint: &str) -> Self {
        let mut scene = Self::local(name, partitions);
        let bucket = minio().bucket();
        scene.target = format!("s3.bucket.name={bucket}\ns3.region=us-east-1\nstore.url={endpoint}\ntopics.dir=\nretry.backoff.ms=100\n");
        scene.lake = format!("s3://{bucket}");
        scene
    }

    /// Small files in seven lake partitions; members that are gone are missed after 6 s.
    fn small_files(&self) -> String {
        "partition.by=e\nflush.size=50\nrotate.age.ms=300\nconsumer.override.session.timeout.ms=6000\n\
         consumer.override.heartbeat.interval.ms=1000\n"
            .to_owned()
    }

    fn worker(&self, name: &str, keys: &str) -> Process {
        let place = |file: String, text: String| {
            let path = self.dir.path().join(file);
            fs::write(&path, text).expect("written");
            path.to_string_lossy().into_owned()
        };
        let home = self.dir.path().display();
        let worker = place(
            format!("{name}.worker.properties"),
            format!(
                "bootstrap.servers={}\noffset.storage.file.filename={home}/{name}.offsets\nstate.dir={home}/{name}.state\n\
                 offset.flush.interval.ms=200\ntask.shutdown.graceful.timeout.ms=5000\nconsumer.topic.metadata.refresh.interval.ms=1000\n",
                kafka().bootstrap
            ),
        );
        let connector = place(
            format!("{name}.properties"),
            format!("name={}\nconnector.class=S3SinkConnector\ntopics={}\n{}{keys}", self.topic, self.topic, self.target),
        );
        Process::spawn(&mut lakefeed(&["connect", &worker, &connector]), self.dir.path().join(format!("{name}.log")))
    }

    /// Rows with the ids of a range, `e` from 0 to 6 and a text of `width` bytes, another one in each row.
    fn produce(&self, ids: std::ops::Range<u64>, width: usize) {
        let file = self.dir.path().join("rows.csv");
        let rows: String = ids.map(|id| format!("{id},{},{}.5,t{id:0width$}\n", id % 7, id / 3)).collect();
        fs::write(&file, format!("id,e,v,text\n{rows}")).expect("written");
        let file = file.to_string_lossy();
        let mut command =
            lakefeed(&["produce", "csv", "--topic", &self.topic, "--bootstrap-servers", &kafka().bootstrap, "--key", "id", &file]);
        run(&mut command, PATIENCE).success();
    }

    /// Values as they are, by the console producer.
    fn produce_values(&self, values: &[String]) {
        let file = self.dir.path().join("values.txt");
        fs::write(&file, values.join("\n") + "\n").expect("written");
        let mut command = Command::new("bash");
        command.args(["-c", "exec \"$0\" console-producer \"${@:2}\" < \"$1\""]).arg(stack().join("kafka-tool.sh")).arg(file);
        run(command.args(["--bootstrap-server", &kafka().bootstrap, "--topic", &self.topic]), PATIENCE).success();
    }

    fn sql(&self, query: &str) -> Output {
        let query = query.replace("ROWS", &self.topic.replace('-', "_"));
        run(&mut lakefeed(&["sql", "--lake", &self.lake, "--format", "csv", &query]), PATIENCE)
    }

    fn count(&self) -> u64 {
        let answer = self.sql("SELECT count(*) FROM ROWS");
        answer.stdout.lines().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
    }

    fn wait_for_rows(&self, worker: &mut Process, what: &str, rows: u64) {
        wait_until(what, PATIENCE, || {
            assert!(worker.is_running(), "the worker has ended while {what} were waited for: {worker}");
            self.count() >= rows
        });
    }

    /// What pyarrow finds.
    fn read(&self) -> serde_json::Value {
        serde_json::from_str(&python_with(READ, &[&self.lake], &minio().environment())).expect("JSON")
    }

    #[track_caller]
    fn assert_each_once(&self, ids: std::ops::Range<u64>) {
        let found = self.read();
        assert_eq!(found["double"], serde_json::json!([]), "rows that came twice: {found}");
        let expected = (ids.end - ids.start, ids.start, ids.end - 1);
        let number = |name: &str| found[name].as_u64().unwrap_or(u64::MAX);
        assert_eq!((number("ids"), number("min"), number("max")), expected, "ids, smallest, largest: {found}");
    }

    /// The dead letters with their headers.
    fn dead_letters(&self, count: usize) -> Vec<String> {
        kafka().console_consumer_with(&format!("{}.dead", self.topic), count, &["--formatter-property", "print.headers=true"])
    }

    fn tolerant(&self) -> String {
        format!("errors.tolerance=all\nerrors.deadletterqueue.topic.name={}.dead\n", self.topic)
    }
}

fn stack() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stack")
}

#[track_caller]
fn stop(worker: &mut Process) {
    assert!(worker.terminate(PATIENCE).success(), "{worker}");
    assert!(!worker.log().contains("panicked"), "{worker}");
}

/// A small generator of numbers (SplitMix64), so that a failure can be repeated by its seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

fn frozen_worker(scene: &Scene) {
    scene.produce(0..60_000, 10);
    let mut frozen = scene.worker("frozen", &scene.small_files());
    scene.wait_for_rows(&mut frozen, "the first files", 1);
    frozen.signal("STOP");
    let mut heir = scene.worker("heir", &scene.small_files());
    scene.wait_for_rows(&mut heir, "everything by the other worker", 60_000);
    frozen.signal("CONT");
    frozen.wait_for_log("session timed out", PATIENCE);
    // Awake it works on as a member like any other.
    stop(&mut heir);
    scene.produce(60_000..61_000, 10);
    scene.wait_for_rows(&mut frozen, "the rows after", 61_000);
    stop(&mut frozen);
    scene.assert_each_once(0..61_000);
}

#[test]
fn a_worker_that_was_frozen_writes_nothing_twice() {
    frozen_worker(&Scene::local("frozen", 2));
}

#[test]
fn a_worker_that_was_frozen_writes_nothing_twice_on_s3() {
    frozen_worker(&Scene::s3("frozen", 2, &minio().endpoint));
}

#[test]
fn rows_come_once_through_rebalances_and_ends_of_all_kinds() {
    let seed = std::env::var("FAULTS_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(u64::from(std::process::id()));
    let mut dice = Dice(seed);
    let scene = Scene::local("moved", 4);
    let keys = scene.small_files() + "tasks.max=2\n";
    let mut produced = 0;
    let mut workers = vec![scene.worker("w0", &keys)];
    let mut said = format!("FAULTS_SEED={seed}:");
    for round in 1..=6 {
        scene.produce(produced..produced + 10_000, 10);
        produced += 10_000;
        thread::sleep(Duration::from_millis(dice.below(700)));
        let victim = dice.below(workers.len() as u64) as usize;
        let action = dice.below(3);
        said += &format!(" {}", ["join", "term", "kill"][action as usize]);
        match action {
            1 => stop(&mut workers.swap_remove(victim)),
            2 => workers.swap_remove(victim).kill(),
            _ => {}
        }
        if action == 0 || workers.is_empty() {
            workers.push(scene.worker(&format!("w{round}"), &keys));
        }
    }
    let last = workers.last_mut().expect("a worker");
    scene.wait_for_rows(last, &said, produced);
    workers.iter_mut().for_each(stop);
    let found = scene.read();
    assert_eq!((found["ids"].as_u64(), &found["double"]), (Some(produced), &serde_json::json!([])), "{said}: {found}");
}

const PASS: u8 = 0;
const REFUSE: u8 = 1;
const LOSE: u8 = 2;

/// A TCP proxy before the store that breaks connections or loses answers when told to, and counts what passes.
struct Proxy {
    endpoint: String,
    wire: Arc<Wire>,
}

#[derive(Default)]
struct Wire {
    mode: AtomicU8,
    lost_answers: AtomicU64,
    /// Parts of multipart uploads that were begun.
    parts: AtomicU64,
}

impl Proxy {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let wire = Arc::new(Wire::default());
        let proxy = Self { endpoint, wire: Arc::clone(&wire) };
        let store = minio().endpoint.trim_start_matches("http://").to_owned();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&store) else { continue };
                let (client_too, server_too) = (client.try_clone().expect("a handle"), server.try_clone().expect("a handle"));
                let (there, back) = (Arc::clone(&wire), Arc::clone(&wire));
                thread::spawn(move || there.carry(client, server, false));
                thread::spawn(move || back.carry(server_too, client_too, true));
            }
        });
        proxy
    }

    fn set(&self, mode: u8) {
        self.wire.mode.store(mode, Ordering::Release);
    }
}

impl Wire {
    /// Copies one direction; an answer can be lost after the store has done its work.
    fn carry(&self, mut from: TcpStream, mut to: TcpStream, answers: bool) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let bytes = &buffer[..read];
            match self.mode.load(Ordering::Acquire) {
                REFUSE => break,
                LOSE if answers => {
                    self.lost_answers.fetch_add(1, Ordering::AcqRel);
                    break;
                }
                _ => {}
            }
            if !answers && bytes.windows(11).any(|part| part == b"partNumber=") {
                self.parts.fetch_add(1, Ordering::AcqRel);
            }
            if to.write_all(bytes).is_err() {
                break;
            }
        }
        // The other side may have closed it already.
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}

#[test]
fn kills_in_the_middle_of_multipart_uploads_lose_nothing() {
    let proxy = Proxy::start();
    let scene = Scene::s3("parts", 1, &proxy.endpoint);
    // One Kafka partition, one lake partition: files of about 13 MB, in parts of 5 MiB. A static member is missed by nobody: no waits.
    let keys = "partitioner.class=DefaultPartitioner\nflush.size=60000\nparquet.codec=none\nparquet.row.group.bytes=2097152\n\
                s3.part.size=5242880\nrotate.age.ms=2000\nconsumer.override.group.instance.id=one\n";
    scene.produce(0..200_000, 200);
    for round in 0..3 {
        let before = proxy.wire.parts.load(Ordering::Acquire);
        let mut worker = scene.worker("worker", keys);
        wait_until("parts of an upload", PATIENCE, || {
            assert!(worker.is_running(), "{worker}");
            proxy.wire.parts.load(Ordering::Acquire) > before + round
        });
        worker.kill();
    }
    let mut worker = scene.worker("worker", keys);
    scene.wait_for_rows(&mut worker, "everything", 200_000);
    stop(&mut worker);
    scene.assert_each_once(0..200_000);
}

#[test]
fn answers_that_are_lost_lose_and_double_nothing() {
    let proxy = Proxy::start();
    let scene = Scene::s3("answers", 2, &proxy.endpoint);
    scene.produce(0..30_000, 10);
    let mut worker = scene.worker("worker", &(scene.small_files() + "s3.part.retries=0\n"));
    worker.wait_for_log("Assigned", PATIENCE);
    for burst in 1..=6 {
        proxy.set(LOSE);
        wait_until("answers that are lost", PATIENCE, || proxy.wire.lost_answers.load(Ordering::Acquire) >= burst * 20);
        proxy.set(PASS);
        scene.produce(30_000 + (burst - 1) * 1000..30_000 + burst * 1000, 10);
    }
    scene.wait_for_rows(&mut worker, "everything", 36_000);
    stop(&mut worker);
    scene.assert_each_once(0..36_000);
}

#[test]
fn an_outage_of_the_store_is_waited_out_and_a_stop_in_it_ends_in_time() {
    let proxy = Proxy::start();
    let scene = Scene::s3("outage", 2, &proxy.endpoint);
    scene.produce(0..20_000, 10);
    let mut worker = scene.worker("worker", &scene.small_files());
    scene.wait_for_rows(&mut worker, "the first files", 1);
    proxy.set(REFUSE);
    scene.produce(20_000..30_000, 10);
    worker.wait_for_log("The store did not do it", PATIENCE);
    // 5 s to publish, 5 s to clean up, and then it ends without what the store did not take.
    assert!(worker.terminate(Duration::from_secs(20)).success(), "{worker}");
    assert!(worker.log().contains("read again from the committed offsets"), "{worker}");
    let committed = committed(&scene);
    proxy.set(PASS);
    let there = scene.read()["ids"].as_u64().expect("a number");
    assert!(committed <= there, "{committed} records are committed, {there} are there");
    let mut worker = scene.worker("again", &scene.small_files());
    scene.wait_for_rows(&mut worker, "everything", 30_000);
    stop(&mut worker);
    scene.assert_each_once(0..30_000);
}

/// The sum of the committed offsets of a scene's group.
fn committed(scene: &Scene) -> u64 {
    let said = kafka().tool("consumer-groups", &["--describe", "--group", &format!("connect-{}", scene.topic)]).success();
    said.lines().filter(|line| line.contains(&scene.topic)).filter_map(|line| line.split_whitespace().nth(3)?.parse::<u64>().ok()).sum()
}

/// Deletes the records of partition 0 before an offset.
fn delete_records(scene: &Scene, before: u64) {
    let file = scene.dir.path().join("delete.json");
    let text = format!(r#"{{"version":1,"partitions":[{{"topic":"{}","partition":0,"offset":{before}}}]}}"#, scene.topic);
    fs::write(&file, text).expect("written");
    let script = ". \"$0/common.sh\"; exec \"$(find_java)\" -cp \"$kafka_libs/*\" org.apache.kafka.tools.DeleteRecordsCommand \"$@\"";
    let mut command = Command::new("bash");
    command.args(["-c", script]).arg(stack()).args(["--bootstrap-server", &kafka().bootstrap, "--offset-json-file"]).arg(file);
    assert!(run(&mut command, PATIENCE).success().contains(&format!("low_watermark: {before}")));
}

#[test]
fn records_that_were_deleted_are_counted_and_reading_goes_on() {
    let scene = Scene::local("deleted", 1);
    scene.produce(0..1000, 10);
    let mut worker = scene.worker("worker", &scene.small_files());
    scene.wait_for_rows(&mut worker, "the first rows", 1000);
    stop(&mut worker);
    // While no worker runs.
    scene.produce(1000..2000, 10);
    delete_records(&scene, 1500);
    let mut worker = scene.worker("worker", &scene.small_files());
    scene.wait_for_rows(&mut worker, "the rows that are left", 1500);
    assert!(worker.log().contains("from=1000 to=1500 records=500"), "{worker}");
    // While it reads; frozen, so that the deletion is first.
    worker.signal("STOP");
    scene.produce(2000..22_000, 10);
    delete_records(&scene, 21_000);
    worker.signal("CONT");
    scene.wait_for_rows(&mut worker, "the rows that are left again", 2500);
    assert!(worker.log().contains("to=21000") && worker.is_running(), "{worker}");
    stop(&mut worker);
    // The group goes back to what is left: all of it is in the lake.
    let group = format!("connect-{}", scene.topic);
    kafka().tool("consumer-groups", &["--reset-offsets", "--to-earliest", "--all-topics", "--execute", "--group", &group]).success();
    let mut worker = scene.worker("again", &scene.small_files());
    worker.wait_for_log("position=21000", PATIENCE);
    wait_until("the offsets at the end again", PATIENCE, || committed(&scene) == 22_000);
    stop(&mut worker);
    assert!(worker.log().contains("Records were in the lake already") && worker.log().contains("records=1000"), "{worker}");
    // What the frozen worker had fetched before the deletion it may have written as well.
    let found = scene.read();
    assert!(found["ids"].as_u64().is_some_and(|ids| ids >= 2500), "{found}");
    assert_eq!(found["double"], serde_json::json!([]), "{found}");
}

#[test]
fn topics_and_partitions_that_come_later_are_read() {
    let scene = Scene::without_topic("later");
    let mut worker = scene.worker("worker", &scene.small_files());
    worker.wait_for_log("topic not available", PATIENCE);
    kafka().create_topic(&scene.topic, 2);
    scene.produce(0..100, 10);
    scene.wait_for_rows(&mut worker, "the rows of the new topic", 100);
    kafka().tool("topics", &["--alter", "--topic", &scene.topic, "--partitions", "4"]).success();
    worker.wait_for_log(&format!("partition={}-3 position=0", scene.topic), PATIENCE);
    scene.produce(100..300, 10);
    scene.wait_for_rows(&mut worker, "the rows of the new partitions", 300);
    stop(&mut worker);
    scene.assert_each_once(0..300);
}

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
    ];
    let mut values: Vec<String> =
        odd.iter().enumerate().map(|(id, value)| serde_json::json!({"id": id, "e": value, "same": value}).to_string()).collect();
    values.push(r#"{"id":90,"e":null}"#.to_owned());
    values.push(r#"{"id":91,"same":null}"#.to_owned());
    values.push(format!(r#"{{"id":92,"e":"{}"}}"#, "x".repeat(2048)));
    scene.produce_values(&values);
    let mut worker = scene.worker("worker", &(scene.tolerant() + "partition.by=e\nrotate.idle.ms=300\n"));
    let rows = values.len() as u64 - 1;
    scene.wait_for_rows(&mut worker, "the rows that have a place", rows);
    let letters = scene.dead_letters(1);
    assert!(letters[0].contains("2050 bytes, at most 255 are possible") && letters[0].contains("\"id\":92"), "{}", &letters[0][..600]);
    stop(&mut worker);
    let answer = scene.sql("SELECT id FROM ROWS WHERE e IS DISTINCT FROM same").success();
    assert_eq!(answer.lines().count(), 1, "values that read back as others: {answer}");
    let answer = scene.sql("SELECT count(DISTINCT e), count(*) FILTER (e IS NULL) FROM ROWS").success();
    assert_eq!(answer.lines().nth(1), Some(format!("{},2", odd.len()).as_str()));
    let folder = scene.dir.path().join("lake").join(&scene.topic);
    let names: Vec<String> =
        fs::read_dir(folder).expect("the table").map(|entry| entry.expect("a folder").file_name().to_string_lossy().into_owned()).collect();
    for name in ["e=%2E%2E", "e=a%2Fb", "e=%C3%BC", "e=k%3Dv", "e=a%00b", "e=null"] {
        assert!(names.iter().any(|n| n == name), "{name} in {names:?}");
    }
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

#[test]
fn a_local_lake_that_is_removed_while_the_sink_runs_comes_back() {
    let scene = Scene::local("removed", 1);
    scene.produce(0..1000, 10);
    let mut worker = scene.worker("worker", &scene.small_files());
    scene.wait_for_rows(&mut worker, "the first rows", 1000);
    wait_until("the offsets", PATIENCE, || committed(&scene) == 1000);
    fs::remove_dir_all(&scene.lake).expect("removed");
    scene.produce(1000..2000, 10);
    scene.wait_for_rows(&mut worker, "the rows after", 1000);
    stop(&mut worker);
    scene.assert_each_once(1000..2000);
}
