//! What a chain of transforms costs.

use lakefeed_core::Result;

use crate::pairs::{Pairs, rate};
use crate::sinks::{self, Count, W1};
use crate::steps::{Bench, title};
use crate::table::Target::AtMost;
use crate::table::Unit;
use crate::testbed::Setting;

/// Other names, another type, one column more. No column is left out: what is not encoded would pay for the chain.
const CHAIN: [Setting<'static>; 7] = [
    ("transforms", Some("names,types,times")),
    ("transforms.names.type", Some("org.apache.kafka.connect.transforms.ReplaceField$Value")),
    ("transforms.names.renames", Some("u_q:voltage_q,u_d:voltage_d,i_q:current_q,i_d:current_d")),
    ("transforms.types.type", Some("org.apache.kafka.connect.transforms.Cast$Value")),
    ("transforms.types.spec", Some("motor_speed:float32")),
    ("transforms.times.type", Some("org.apache.kafka.connect.transforms.InsertField$Value")),
    ("transforms.times.timestamp.field", Some("sent")),
];

pub(crate) fn step(bench: &mut Bench) -> Result<()> {
    let motor = bench.motor()?;
    let bed = &bench.bed;
    let drain = |chain: &[Setting<'_>]| sinks::drain(bed, &motor, motor.rows, &[&W1[..], chain].concat(), Count::Rows);
    let pairs = Pairs::run(|| drain(&[]), || drain(&CHAIN))?;
    bench.report.step(title("transforms: motor JSON to Parquet with ReplaceField, Cast and InsertField, and without", &motor));
    let report = &mut bench.report;
    report.add("without transforms: rows per CPU-second", Unit::Rows, rate(&pairs.before), None);
    report.add("with the chain: rows per CPU-second", Unit::Rows, rate(&pairs.after), None);
    report.add("CPU time with / without, median of 3 pairs", Unit::Times, pairs.ratio(|run| run.usage.cpu_s), Some(AtMost(1.15)));
    Ok(())
}
