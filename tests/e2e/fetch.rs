//! Reading the log: by our own Fetch requests and by librdkafka, which must say the same of whatever lies in it.

use std::time::{Duration, Instant};

use krafka::error::ErrorCode;
use krafka::testing::{ApiKey, Control, FakeBroker};
use lakefeed_kafka::{ClientSettings, Consumer, Event};
use lakefeed_kit::{kafka, python, unique};
use tokio::runtime::Runtime;

use crate::scene::PATIENCE;

/// Sends rows to a topic, some with every codec, in transactions of which every other one is aborted.
const SEND: &str = r#"
import sys
from confluent_kafka import Producer
bootstrap, topic = sys.argv[1:]
for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
    p = Producer({"bootstrap.servers": bootstrap, "compression.type": codec, "linger.ms": 20})
    for n in range(3000):
        headers = [("codec", codec.encode()), ("nothing", None)] if n % 7 == 0 else None
        value = None if n % 11 == 0 else f"{codec} {n} ".encode() * (n % 40)
        p.produce(topic, value, key=None if n % 3 else f"{n}", headers=headers, timestamp=1700000000000 + n)
        p.poll(0)
    p.flush()
p = Producer({"bootstrap.servers": bootstrap, "transactional.id": topic, "compression.type": "lz4"})
p.init_transactions()
for n in range(6):
    p.begin_transaction()
    for row in range(200):
        p.produce(topic, f"transaction {n} {row}")
    p.flush()
    p.abort_transaction() if n % 2 else p.commit_transaction()
"#;

/// Sends rows `from..to` to the partitions of a topic in turn, a batch of ten at a time.
const SEND_PLAIN: &str = r#"
import sys
from confluent_kafka import Producer
bootstrap, topic, partitions, first, last = sys.argv[1:]
p = Producer({"bootstrap.servers": bootstrap})
for n in range(int(first), int(last)):
    p.produce(topic, f"{n}", partition=n % int(partitions))
    if n % 10 == 9:
        p.flush()
p.flush()
"#;

fn consumer(bootstrap: &str, topic: &str, keys: &[(&str, &str)]) -> Consumer {
    let settings = ClientSettings::new(bootstrap).set("group.id", &unique("readers")).set("auto.offset.reset", "earliest");
    Consumer::new(&settings.extend(keys.iter().copied()), &[topic.to_owned()]).expect("a member")
}

/// Reads until `count` rows have come. Each is written out whole, in order of partition and offset.
fn read(consumer: &mut Consumer, count: usize) -> Vec<String> {
    let (mut rows, deadline) = (Vec::new(), Instant::now() + PATIENCE);
    while rows.len() < count {
        assert!(Instant::now() < deadline, "{} of {count} rows", rows.len());
        serve(consumer);
        let (records, event) = consumer.read(1 << 20).expect("readable");
        assert!(event.is_none(), "{event:?}");
        let Some(records) = records else { continue };
        for row in 0..records.len() {
            let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            let headers: Vec<_> = records.headers.iter().flat_map(|h| h.of(row)).map(|(name, value)| (name, text(value))).collect();
            let (key, value) = (text(records.key(row)), text(records.value(row)));
            rows.push((records.partition, records.offsets[row], format!("{} {key:?} {value:?} {headers:?}", records.timestamps[row])));
        }
    }
    rows.sort();
    rows.into_iter().map(|(partition, offset, row)| format!("{partition} {offset} {row}")).collect()
}

fn serve(consumer: &mut Consumer) {
    for event in consumer.poll(Duration::from_millis(10)).expect("a group") {
        assert!(matches!(event, Event::Assigned(_)), "{event:?}");
    }
}

/// Serves the group and reads until that fails.
fn failure(consumer: &mut Consumer) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "reading goes on");
        serve(consumer);
        if let Err(error) = consumer.read(1 << 20) {
            return error.chain();
        }
    }
}

#[test]
fn both_clients_read_the_same_of_every_codec_and_transaction() {
    let (topic, bootstrap) = (unique("codecs"), &kafka().bootstrap);
    kafka().create_topic(&topic, 2);
    python(SEND, &[bootstrap, &topic]);
    // Java's Snappy has a frame of its own.
    let mut count = 5 * 3000 + 3 * 200;
    for codec in ["gzip", "snappy", "lz4", "zstd"] {
        let properties = ["--command-property", "linger.ms=50", "--command-property", &format!("compression.type={codec}")];
        let arguments = ["--topic", &topic, "--num-records", "500", "--record-size", "300", "--throughput", "-1"];
        kafka().tool("producer-perf-test", &[&arguments[..], &properties[..]].concat()).success();
        count += 500;
    }
    let by = |keys: &[(&str, &str)]| read(&mut consumer(bootstrap, &topic, keys), count);
    let expected = by(&[("fetch.client", "librdkafka")]);
    assert_eq!(expected.len(), count);
    assert!(by(&[]) == expected);
    // Small answers: batches come one by one, and with most of them there is no room for another.
    assert!(by(&[("queued.max.messages.kbytes", "1"), ("fetch.max.bytes", "1000"), ("max.partition.fetch.bytes", "500")]) == expected);
    let uncommitted = read(&mut consumer(bootstrap, &topic, &[("isolation.level", "read_uncommitted")]), count + 3 * 200);
    assert!(uncommitted.iter().any(|row| row.contains("transaction 5 199")) && !expected.iter().any(|row| row.contains("transaction 5")));
}

#[test]
fn a_seek_reads_again_from_there() {
    let (topic, bootstrap) = (unique("seek"), &kafka().bootstrap);
    kafka().create_topic(&topic, 1);
    python(SEND_PLAIN, &[bootstrap, &topic, "1", "0", "1000"]);
    let mut consumer = consumer(bootstrap, &topic, &[]);
    assert_eq!(read(&mut consumer, 1000).len(), 1000);
    let partition = consumer.assignment().remove(0);
    consumer.seek(&partition, 400).expect("sought");
    let again = read(&mut consumer, 600);
    assert!(again[0].starts_with("0 400 ") && again[599].starts_with("0 999 "), "{} {}", again[0], again[599]);
    assert_eq!(consumer.lag(), [(partition.clone(), Some(1000))], "nothing is committed");
    consumer.commit(&[(partition.clone(), 990, String::new())]).expect("committed");
    assert_eq!(consumer.lag(), [(partition, Some(10))]);
}

/// A cluster of three in memory, for what a real one does not do on demand. Rows `0..count` lie in three partitions with a leader each.
struct Cluster {
    broker: FakeBroker,
    _runtime: Runtime,
}

impl Cluster {
    fn start(count: u32) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let broker = runtime.block_on(FakeBroker::start_cluster(3)).expect("a cluster");
        assert!(broker.create_topic("t", 3));
        let cluster = Self { broker, _runtime: runtime };
        cluster.lead(|partition| partition);
        cluster.send(0, count);
        cluster
    }

    fn lead(&self, by: impl Fn(i32) -> i32) {
        (0..3).for_each(|partition| assert!(self.broker.set_leader("t", partition, by(partition))));
    }

    fn send(&self, from: u32, to: u32) {
        python(SEND_PLAIN, &[&self.broker.bootstrap_servers(), "t", "3", &from.to_string(), &to.to_string()]);
    }

    fn consumer(&self, keys: &[(&str, &str)]) -> Consumer {
        consumer(&self.broker.bootstrap_servers(), "t", keys)
    }
}

/// Whether these are the rows `from..to` of three partitions, each once and in order.
fn are(rows: &[String], from: usize, to: usize) {
    let numbers = |partition: usize| (from..to).filter(move |n| n % 3 == partition);
    let expected: Vec<String> = (0..3).flat_map(|p| numbers(p).map(move |n| format!("{p} {} Some(\"{n}\")", n / 3))).collect();
    let found: Vec<String> = rows
        .iter()
        .map(|row| {
            let fields: Vec<&str> = row.split(' ').collect();
            format!("{} {} {}", fields[0], fields[1], fields[4])
        })
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn leaders_that_move_are_followed() {
    let cluster = Cluster::start(300);
    let mut consumer = cluster.consumer(&[]);
    are(&read(&mut consumer, 300), 0, 300);
    for round in 1..=3 {
        cluster.lead(|partition| (partition + round) % 3);
        let (from, to) = (300 * round as u32, 300 * (round as u32 + 1));
        cluster.send(from, to);
        are(&read(&mut consumer, 300), from as usize, to as usize);
    }
    // A broker that is gone, and comes back.
    cluster.broker.crash(1);
    cluster.broker.restart(1);
    cluster.send(1200, 1500);
    are(&read(&mut consumer, 300), 1200, 1500);
}

#[test]
fn answers_that_fail_in_passing_lose_and_double_nothing() {
    let cluster = Cluster::start(300);
    for passing in [
        Control::Disconnect,
        Control::ApplyThen(Box::new(Control::Disconnect)),
        Control::CorruptRecords,
        Control::Error(ErrorCode::NotLeaderForPartition),
        Control::Error(ErrorCode::UnknownTopicOrPartition),
        Control::Error(ErrorCode::LeaderNotAvailable),
        Control::Delay(Duration::from_millis(700)),
    ] {
        cluster.broker.on_times(ApiKey::Fetch, 2, move |_| passing.clone());
        are(&read(&mut cluster.consumer(&[]), 300), 0, 300);
        cluster.broker.clear_hooks();
    }
}

#[test]
fn what_does_not_pass_ends_with_the_reason() {
    let cluster = Cluster::start(30);
    for (lasting, expected) in [
        (Control::CorruptRecords, "t-0: the record batch at offset 0 has a wrong checksum, again and again"),
        (Control::Error(ErrorCode::TopicAuthorizationFailed), "t-0: the client may not read the topic: grant it READ"),
        (Control::Error(ErrorCode::CorruptMessage), "t-0: the broker says that its log is damaged at offset 0"),
    ] {
        cluster.broker.on(ApiKey::Fetch, move |_| lasting.clone());
        // One partition alone, or any of them would be the first.
        let mut consumer = cluster.consumer(&[]);
        let said = failure(&mut consumer);
        let expected = expected.strip_prefix("t-0").expect("names a partition");
        assert!(said.starts_with("t-") && said.contains(expected), "{said}");
        cluster.broker.clear_hooks();
    }
}

#[test]
fn brokers_that_speak_otherwise_are_read_by_librdkafka_only() {
    let cluster = Cluster::start(30);
    cluster.broker.set_api_versions(ApiKey::Fetch, 4, 10);
    let said = failure(&mut cluster.consumer(&[]));
    assert!(said.contains("it speaks versions 4 to 10, not version 11: set consumer.fetch.client=librdkafka"), "{said}");
    let keys = ClientSettings::new("b:1").set("group.id", "g").set("fetch.client", "fast");
    let said = Consumer::new(&keys, &["t".into()]).expect_err("no such client").to_string();
    assert_eq!(said, "fetch.client = 'fast': expected direct or librdkafka");
    let said =
        Consumer::new(&keys.set("fetch.client", "direct").set("security.protocol", "SSL"), &["t".into()]).expect_err("TLS").to_string();
    assert!(said.contains("possible with security.protocol=PLAINTEXT"), "{said}");
}
