//! How long it takes until a row can be read from the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lakefeed_core::{Error, Output, Result};
use lakefeed_kafka::{ClientSettings, Producer, TopicSpec, ensure_topic};

use crate::floors;
use crate::lister::Lister;
use crate::sinks::{self, FILE, PLAIN};
use crate::steps::Bench;
use crate::table::Target::AtMost;
use crate::table::{Unit, percentile};
use crate::testbed::{PARTITIONS, PATIENCE, Setting, Testbed};
use crate::workloads::{Random, Workload};

/// Rows a second, evenly.
const RATE: u64 = 5000;
/// How often rows are sent.
const TICK: Duration = Duration::from_millis(10);
/// How often the store is asked what it has: a row can be there this much, and one listing, before it is seen.
const LOOK: Duration = Duration::from_millis(20);
/// For how many intervals rows are sent, and how long at least.
const INTERVALS: u64 = 5;
const AT_LEAST_S: u64 = 15;

/// For each object when it was seen first, milliseconds since 1970-01-01 UTC.
type Seen = HashMap<String, i64>;

/// Rows are sent steadily; each file is closed `interval_s` seconds after it was opened.
pub(crate) fn step(bench: &mut Bench, interval_s: u64) -> Result<()> {
    let (bed, interval) = (&bench.bed, (interval_s * 1000).to_string());
    let (topic, bucket) = (bed.name("fresh"), bed.minio.bucket());
    ensure_topic(&bed.settings, &topic, &TopicSpec::with_partitions(i32::try_from(PARTITIONS).ok()), PATIENCE)?;
    let own = [("topics", Some(topic.as_str())), ("rotate.age.ms", Some(&interval)), ("metadata.columns", Some("_timestamp"))];
    let keys: Vec<Setting<'_>> = own.into_iter().chain(PLAIN).collect();
    let worker = bed.worker(FILE, &bucket, &keys)?;
    let rows = RATE * AT_LEAST_S.max(INTERVALS * interval_s);
    let (settings, name) = (bed.settings.clone(), topic.clone());
    let sender = thread::spawn(move || send(&settings, &name, rows));
    let mut seen = Seen::new();
    let store = Lister::open(bed, &bucket)?;
    while !sender.is_finished() {
        look(&store, &mut seen)?;
        worker.check()?;
        thread::sleep(LOOK);
    }
    sender.join().map_err(|_| Error::fatal("the thread that sends rows panicked"))??;
    // The last files close by their age.
    let ends = floors::ends(&bed.settings, &topic)?;
    while !worker.has_committed(&topic, &ends)? {
        look(&store, &mut seen)?;
        worker.check()?;
        thread::sleep(LOOK);
    }
    look(&store, &mut seen)?;
    worker.stop()?;
    let waits = waits(bed, &bucket, &seen)?;
    if waits.len() as u64 != rows {
        return Err(Error::fatal(format!("topic {topic}: {} rows are in the lake, expected {rows}", waits.len())));
    }
    let objects = seen.len();
    bench.report.step(format!(
        "freshness at {interval_s} s: from a record's timestamp until its object is there; {RATE} rows/s, files closed after {interval_s} s"
    ));
    let report = &mut bench.report;
    report.add("half of the rows within", Unit::Millis, percentile(&waits, 50.0), None);
    report.add("99 % of the rows within", Unit::Millis, percentile(&waits, 99.0), Some(AtMost((interval_s * 1000 + 1000) as f64)));
    report.add("all rows within", Unit::Millis, percentile(&waits, 100.0), None);
    report.add("objects", Unit::Count, objects as f64, None);
    Ok(())
}

/// Sends rows evenly, each with the time at which it is handed over.
fn send(settings: &ClientSettings, topic: &str, rows: u64) -> Result<()> {
    // As a producer that wants its rows soon.
    let producer = Producer::new(&settings.clone().set("linger.ms", "5"))?;
    let (mut block, mut random, start, mut sent) = (Output::default(), Random::new(), Instant::now(), 0);
    block.to_topic(&Arc::from(topic));
    while sent < rows {
        let due = (start.elapsed().as_millis() as u64 * RATE / 1000).min(rows);
        for row in sent..due {
            Workload::Small.write(row, &mut random, &mut block);
        }
        sent = due;
        producer.send(&block)?;
        block.clear();
        thread::sleep(TICK);
    }
    producer.flush(PATIENCE)
}

/// Notes the objects that are new.
fn look(store: &Lister, seen: &mut Seen) -> Result<()> {
    let keys = store.parquet()?;
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
    for key in keys {
        seen.entry(key).or_insert(now_ms);
    }
    Ok(())
}

/// For each row how many milliseconds after its record's timestamp its object was seen; ascending.
fn waits(bed: &Testbed, bucket: &str, seen: &Seen) -> Result<Vec<f64>> {
    let files = format!("s3://{bucket}/");
    let query = format!("SELECT filename, epoch_ms(_timestamp) FROM read_parquet('{files}**/*.parquet', filename = true)");
    let answer = sinks::sql(bed, bucket, &query)?;
    let wait = |line: &str| {
        let (file, sent_ms) = line.rsplit_once(',')?;
        Some((seen.get(file.strip_prefix(&files)?)? - sent_ms.parse::<i64>().ok()?) as f64)
    };
    let unknown = |line| Error::fatal(format!("lakefeed sql answered '{line}', expected an object that was seen, and a timestamp"));
    let mut waits = answer.lines().skip(1).map(|line| wait(line).ok_or_else(|| unknown(line))).collect::<Result<Vec<_>>>()?;
    waits.sort_by(f64::total_cmp);
    Ok(waits)
}
