//! How soon REST calls are answered while a sink of the same worker is at work.

use std::thread;
use std::time::{Duration, Instant};

use lakefeed_core::{Error, Result};
use lakefeed_kit::http;

use crate::floors;
use crate::sinks::{self, FILE, W1};
use crate::steps::{Bench, title};
use crate::table::Target::{AtLeast, AtMost};
use crate::table::{Unit, percentile};
use crate::testbed::{PATIENCE, Setting, Testbed};
use crate::workloads::Topic;

/// How often somebody calls; each call has a connection of its own.
const EVERY: Duration = Duration::from_millis(10);
/// Of fewer calls the slowest hundredth says nothing.
const ENOUGH: usize = 300;
/// How often the topic is drained for them, at most.
const DRAINS: usize = 3;
/// What has grown to the rows of the topic when all of them have been read.
const READ: &str = "lakefeed_records_in_total{";

pub(crate) fn step(bench: &mut Bench) -> Result<()> {
    let motor = bench.motor()?;
    let mut took_ms = Vec::new();
    for _ in 0..DRAINS {
        took_ms.extend(drain(&bench.bed, &motor)?);
        if took_ms.len() >= ENOUGH {
            break;
        }
    }
    took_ms.sort_by(f64::total_cmp);
    bench.report.step(title("rest: GET of the root, all states, a state, a configuration while a sink drains motor JSON", &motor));
    let report = &mut bench.report;
    report.add("calls; with fewer the run is too short to tell", Unit::Count, took_ms.len() as f64, Some(AtLeast(ENOUGH as f64)));
    if took_ms.len() >= ENOUGH {
        report.add("half of the calls answered within", Unit::Millis, percentile(&took_ms, 50.0), None);
        report.add("99 % of the calls answered within", Unit::Millis, percentile(&took_ms, 99.0), Some(AtMost(10.0)));
        report.add("all calls answered within", Unit::Millis, percentile(&took_ms, 100.0), None);
    }
    Ok(())
}

/// Calls from the first row that the sink has read until the last; how many milliseconds each took.
fn drain(bed: &Testbed, topic: &Topic) -> Result<Vec<f64>> {
    let bucket = bed.minio.bucket();
    let ends = floors::ends(&bed.settings, &topic.name)?;
    let own: [Setting<'_>; 1] = [("topics", Some(&topic.name))];
    let mut worker = bed.worker(FILE, &bucket, &[&own[..], &W1].concat())?;
    let address = worker.address()?;
    let of = |what: &str| format!("/connectors/{}/{what}", worker.name());
    let paths = ["/".to_owned(), "/connectors?expand=status".to_owned(), of("status"), of("config")];
    while read(&address)? == 0 {
        worker.check()?;
        thread::sleep(EVERY);
    }
    let mut took_ms = Vec::new();
    while read(&address)? < topic.rows {
        worker.check()?;
        for path in &paths {
            let start = Instant::now();
            get(&address, path)?;
            let took = start.elapsed();
            took_ms.push(took.as_secs_f64() * 1000.0);
            thread::sleep(EVERY.saturating_sub(took));
        }
    }
    while !worker.has_committed(&topic.name, &ends)? {
        worker.check()?;
        thread::sleep(EVERY);
    }
    worker.stop()?;
    let rows = sinks::lake(bed, &bucket)?.rows;
    if rows != topic.rows {
        return Err(Error::fatal(format!("topic {}: {rows} rows are in the lake, expected {}", topic.name, topic.rows)));
    }
    Ok(took_ms)
}

/// The records that the worker has read so far.
fn read(address: &str) -> Result<u64> {
    let metrics = get(address, "/metrics")?;
    let values = metrics.lines().filter(|line| line.starts_with(READ)).filter_map(|line| line.rsplit(' ').next());
    Ok(values.filter_map(|value| value.parse::<u64>().ok()).sum())
}

fn get(address: &str, path: &str) -> Result<String> {
    let answer = http(address, "GET", path, &[], None, PATIENCE).map_err(Error::fatal)?;
    if answer.status == 200 { Ok(answer.body) } else { Err(Error::fatal(format!("GET {path}: {} {}", answer.status, answer.body))) }
}
