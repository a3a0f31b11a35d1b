//! What bad rows cost: with a dead letter topic, one of a thousand, and nothing else.

use lakefeed_core::{Error, Result};
use lakefeed_kafka::log_ends;

use crate::lister::Lister;
use crate::pairs::{Pairs, rate};
use crate::sinks::{self, Count, Drained, FILE, PLAIN};
use crate::steps::{Bench, title};
use crate::table::Target::AtMost;
use crate::table::Unit;
use crate::testbed::{PARTITIONS, PATIENCE, Setting, Testbed};
use crate::workloads::{BAD, BAD_EVERY, Topic, Workload};

pub(crate) fn step(bench: &mut Bench) -> Result<()> {
    let rows = bench.rows;
    let clean = bench.topic("clean", Workload::Interleaved, PARTITIONS, rows)?;
    let strewn = bench.topic("strewn", Workload::Strewn, PARTITIONS, rows)?;
    let bad = rows / BAD_EVERY;
    let bed = &bench.bed;
    let pairs = Pairs::run(|| tolerant(bed, &clean, 0), || tolerant(bed, &strewn, bad))?;
    let more = |of: fn(&Drained) -> f64| (pairs.ratio(of) - 1.0) * 100.0;
    let name = format!("bad-rows: motor JSON to Parquet, {bad} bad rows of {} kinds to a dead letter topic", BAD.len());
    bench.report.step(title(&name, &strewn));
    let report = &mut bench.report;
    report.add("without bad rows: rows per CPU-second", Unit::Rows, rate(&pairs.before), None);
    report.add("with bad rows: rows per CPU-second", Unit::Rows, rate(&pairs.after), None);
    report.add("more CPU time than without bad rows", Unit::Percent, more(|run| run.usage.cpu_s), Some(AtMost(10.0)));
    report.add("more seconds than without bad rows", Unit::Percent, more(|run| run.wall_s), None);
    nothing_else(bench)
}

/// Runs the sink with a dead letter topic, in which each bad row must be once.
fn tolerant(bed: &Testbed, topic: &Topic, bad: u64) -> Result<Drained> {
    let letters = bed.name("letters");
    let drained = sinks::drain(bed, topic, topic.rows - bad, &[&PLAIN[..], &tolerance(&letters)].concat(), Count::Rows)?;
    expect(bed, &letters, bad)?;
    Ok(drained)
}

fn tolerance(letters: &str) -> [Setting<'_>; 2] {
    [("errors.tolerance", Some("all")), ("errors.deadletterqueue.topic.name", Some(letters))]
}

fn expect(bed: &Testbed, letters: &str, bad: u64) -> Result<()> {
    // Without dead letters the topic may not have been made.
    let ends = if bad == 0 && !bed.kafka.topics().iter().any(|topic| topic == letters) {
        Vec::new()
    } else {
        log_ends(&bed.settings, letters, PATIENCE)?
    };
    let count: i64 = ends.iter().map(|(_, low, high)| high - low).sum();
    if count.unsigned_abs() == bad { Ok(()) } else { Err(Error::fatal(format!("topic {letters}: {count} dead letters, expected {bad}"))) }
}

/// A topic of bad rows only: it has to come to its end.
fn nothing_else(bench: &mut Bench) -> Result<()> {
    let topic = bench.topic("bad", Workload::Bad, PARTITIONS, bench.rows.div_ceil(5))?;
    let (bed, letters, bucket) = (&bench.bed, bench.bed.name("letters"), bench.bed.minio.bucket());
    let own: [Setting<'_>; 1] = [("topics", Some(&topic.name))];
    let keys = [&own[..], &PLAIN, &tolerance(&letters)].concat();
    let (wall_s, usage) = bed.drain(FILE, &bucket, &topic.name, &keys)?;
    expect(bed, &letters, topic.rows)?;
    let objects = Lister::open(bed, &bucket)?.parquet()?;
    if !objects.is_empty() {
        return Err(Error::fatal(format!("a topic of bad rows has made objects: {objects:?}")));
    }
    bench.report.step(title("bad rows only: all to a dead letter topic", &topic));
    bench.common(&topic, wall_s, usage, None, None);
    Ok(())
}
