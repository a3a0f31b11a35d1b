//! Avro with a Schema Registry beside JSON: the same rows, sent by the same source.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;

use lakefeed_core::{Error, Result};
use lakefeed_kafka::{TopicSpec, ensure_topic};
use lakefeed_kit::registry;

use crate::floors;
use crate::pairs::{Pairs, rate};
use crate::sinks::{self, Count, W1};
use crate::steps::{Bench, TIMES, title};
use crate::table::Target::AtLeast;
use crate::table::Unit;
use crate::testbed::{PARTITIONS, PATIENCE, Setting};
use crate::workloads::Topic;

pub(crate) fn step(bench: &mut Bench) -> Result<()> {
    let json =
        [("value.converter", Some("org.apache.kafka.connect.json.JsonConverter")), ("value.converter.schemas.enable", Some("false"))];
    let avro = [
        ("value.converter", Some("io.confluent.connect.avro.AvroConverter")),
        ("value.converter.schema.registry.url", Some(registry().url.as_str())),
    ];
    let as_json = bench.once("json", |bench| sent(bench, "json", &json))?;
    let as_avro = bench.once("avro", |bench| sent(bench, "avro", &avro))?;
    let bed = &bench.bed;
    let drain = |topic: &Topic, form: &[Setting<'_>]| sinks::drain(bed, topic, topic.rows, &[&W1[..], form].concat(), Count::Rows);
    let pairs = Pairs::run(|| drain(&as_json, &json), || drain(&as_avro, &avro))?;
    bench.report.step(title("avro: motor rows as Avro to Parquet, beside JSON", &as_avro));
    let report = &mut bench.report;
    report.add("JSON: rows per CPU-second", Unit::Rows, rate(&pairs.before), None);
    report.add("Avro: rows per CPU-second", Unit::Rows, rate(&pairs.after), None);
    let ratio = pairs.ratio(sinks::Drained::rate);
    report.add("Avro / JSON, median of 3 pairs", Unit::Times, ratio, Some(AtLeast(1.0)));
    report.add("bytes of Avro / bytes of JSON", Unit::Times, as_avro.bytes as f64 / as_json.bytes as f64, None);
    Ok(())
}

/// The motor rows as the CSV source sends them with a converter.
fn sent(bench: &mut Bench, what: &str, converter: &[Setting<'_>]) -> Result<Topic> {
    let (file, rows) = (bench.csv_file()?, bench.rows * TIMES);
    let (bed, name) = (&bench.bed, bench.bed.name(what));
    let folder = bed.folder.path().join(&name);
    let unwritable = |e| Error::fatal(format!("{}: can't be written", folder.display())).with_source(e);
    fs::create_dir(&folder).map_err(unwritable)?;
    for time in 0..TIMES {
        fs::hard_link(&file, folder.join(format!("motor-{time}.csv"))).map_err(unwritable)?;
    }
    ensure_topic(&bed.settings, &name, &TopicSpec::with_partitions(i32::try_from(PARTITIONS).ok()), PATIENCE)?;
    let (types, path) = (types(&file)?, folder.to_string_lossy().into_owned());
    // The file's dead letters have no topic here: a row that can't be read ends the run.
    let own = [
        ("topic", Some(name.as_str())),
        ("input.path", Some(&path)),
        ("csv.types", Some(&types)),
        ("exit.when.done", Some("true")),
        ("errors", None),
    ];
    bed.worker("motor-csv-source.properties", "", &[&own[..], converter].concat())?.end()?;
    let sent: i64 = floors::ends(&bed.settings, &name)?.iter().map(|(_, end)| end).sum();
    if sent.unsigned_abs() != rows {
        return Err(Error::fatal(format!("topic {name}: {sent} rows were sent, expected {rows}")));
    }
    let sample = floors::sample(&bed.settings, &name)?;
    Ok(Topic { name, rows, bytes: floors::bytes_of(&sample, rows) })
}

/// The types of the columns, so that one schema holds for all rows: what is measured is not how schemas change.
fn types(file: &Path) -> Result<String> {
    let unreadable = |e| Error::fatal(format!("{}: can't be read", file.display())).with_source(e);
    let mut header = String::new();
    BufReader::new(File::open(file).map_err(unreadable)?).read_line(&mut header).map_err(unreadable)?;
    let of = |column: &str| if matches!(column, "id" | "profile_id") { "long" } else { "double" };
    Ok(header.trim_end().split(',').map(|column| format!("{column}:{}", of(column))).collect::<Vec<_>>().join(","))
}
