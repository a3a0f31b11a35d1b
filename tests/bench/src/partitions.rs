//! What many lake partitions cost, in CPU time and in memory.

use lakefeed_core::{Error, Result};

use crate::pairs::{Pairs, rate};
use crate::sinks::{self, Count, Drained, IDLE, PLAIN};
use crate::steps::{Bench, PEAK_BYTES, title};
use crate::table::Target::AtMost;
use crate::table::Unit;
use crate::testbed::{PARTITIONS, Setting};
use crate::workloads::{LANES, Topic, Workload};

/// Topic partitions of the memory's step.
const MANY: u64 = 16;
/// By profile, which has one of [`LANES`] values; the other keys as by default.
const BY_PROFILE: [Setting<'static>; 4] =
    [("transforms", None), ("partition.by", Some("profile_id")), ("partition.columns.drop", None), IDLE];

/// The same topic to one lake partition and to 200 whose rows are interleaved: CPU time per row.
pub(crate) fn cost(bench: &mut Bench) -> Result<()> {
    let topic = bench.topic("interleaved", Workload::Interleaved, PARTITIONS, bench.rows * 2)?;
    let one = || sinks::drain(&bench.bed, &topic, topic.rows, &PLAIN, Count::Rows);
    let pairs = Pairs::run(one, || by_profile(bench, &topic))?;
    bench.report.step(title("partitions: motor JSON to 1 lake partition and to 200", &topic));
    let report = &mut bench.report;
    report.add("1: rows per CPU-second", Unit::Rows, rate(&pairs.before), None);
    report.add("200: rows per CPU-second", Unit::Rows, rate(&pairs.after), None);
    report.add("CPU time of 200 / of 1, median of 3 pairs", Unit::Times, pairs.ratio(|run| run.usage.cpu_s), Some(AtMost(1.5)));
    let peak = pairs.after.iter().map(|run| run.usage.peak_bytes).max().unwrap_or_default();
    report.add("200: peak memory, the largest of 3", Unit::Bytes, peak as f64, Some(AtMost(PEAK_BYTES)));
    if let Some(last) = pairs.after.last() {
        report.add("200: rows/s", Unit::Rows, last.speed(), None);
        bench.lake(&topic, last, None);
    }
    Ok(())
}

/// A backlog of 16 topic partitions to 200 lake partitions each, with the default memory budget.
pub(crate) fn memory(bench: &mut Bench) -> Result<()> {
    let topic = bench.topic("backlog", Workload::Interleaved, MANY, bench.rows * 4)?;
    let drained = by_profile(bench, &topic)?;
    bench.report.step(title(&format!("memory: backlog of {MANY} topic partitions x {LANES} lake partitions"), &topic));
    let report = &mut bench.report;
    report.add("peak memory", Unit::Bytes, drained.usage.peak_bytes as f64, Some(AtMost(PEAK_BYTES)));
    report.add("rows per CPU-second", Unit::Rows, drained.rate(), None);
    report.add("rows/s", Unit::Rows, drained.speed(), None);
    bench.lake(&topic, &drained, None);
    Ok(())
}

/// Writes a topic by profile: all profiles must have come.
fn by_profile(bench: &Bench, topic: &Topic) -> Result<Drained> {
    let drained = sinks::drain(&bench.bed, topic, topic.rows, &BY_PROFILE, Count::RowsAndRequests)?;
    match drained.lake.folders {
        LANES => Ok(drained),
        found => Err(Error::fatal(format!("topic {}: {found} lake partitions, expected {LANES}", topic.name))),
    }
}
