//! Rows a second of each decoder, and of a decoder with a chain of three transforms behind it, on one core, for the motor's rows (14 columns):
//! `cargo build --release --workspace --example decode_rate`, then `target/release/examples/decode_rate`.
//!
//! Ratios of one run are what counts; the figures hang on the machine.

use std::time::Instant;

use arrow_avro::reader::ReaderBuilder;
use arrow_avro::schema::{AvroSchema, Fingerprint, FingerprintAlgorithm, SchemaStore};
use lakefeed_core::{ConfigDef, Key, KeyKind, Records, RecordsBuilder};
use lakefeed_formats::{Chain, Converter, Decoder, DecoderOptions, Place, Transforms, WriterSchema};

const ROWS: usize = 10_000;
const ROUNDS: usize = 60;
const NAMES: [&str; 12] =
    ["ambient", "coolant", "u_d", "u_q", "motor_speed", "torque", "i_d", "i_q", "pm", "stator_yoke", "stator_tooth", "stator_winding"];

fn values(row: usize) -> [f64; 12] {
    std::array::from_fn(|i| f64::from((row * 31 + i * 17) as f32 * 0.137 + 20.0))
}

fn long(value: i64, out: &mut Vec<u8>) {
    let mut left = ((value << 1) ^ (value >> 63)) as u64;
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

fn avro_row(row: usize) -> Vec<u8> {
    let mut out = vec![0, 0, 0, 0, 1];
    long(1_700_000_000_000 + row as i64 * 500, &mut out);
    for value in values(row) {
        long(1, &mut out);
        out.extend_from_slice(&value.to_le_bytes());
    }
    long(row as i64 % 70, &mut out);
    out
}

fn json_row(row: usize) -> Vec<u8> {
    let cells: String = NAMES.iter().zip(values(row)).map(|(name, value)| format!(",\"{name}\":{value}")).collect();
    format!("{{\"time\":{}{cells},\"profile_id\":{}}}", 1_700_000_000_000 + row as i64 * 500, row % 70).into_bytes()
}

fn records(make: impl Fn(usize) -> Vec<u8>) -> Records {
    let mut builder = RecordsBuilder::with_capacity("motor".into(), 0, ROWS, ROWS * 400);
    (0..ROWS).for_each(|row| builder.push(row as i64, -1, None, Some(&make(row))));
    builder.finish()
}

/// Three transforms that many use.
fn chain() -> Chain {
    let keys = [
        ("transforms", "cast,where,names"),
        ("transforms.cast.type", "Cast$Value"),
        ("transforms.cast.spec", "profile_id:string,pm:float32"),
        ("transforms.where.type", "InsertField$Value"),
        ("transforms.where.offset.field", "offset"),
        ("transforms.where.timestamp.field", "at"),
        ("transforms.names.type", "ReplaceField$Value"),
        ("transforms.names.renames", "profile_id:profile"),
        ("transforms.names.exclude", "ambient"),
    ];
    let def = ConfigDef::new().keys(&[Key::new("transforms", KeyKind::List, ".")]).prefix("transforms.", ".");
    let config = def.parse(&keys.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()).expect("valid keys");
    Transforms::read(&config, Place::Sink).expect("valid transforms").chain()
}

/// `decode` takes all rows and says how many there were.
fn rate(mut decode: impl FnMut() -> usize) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        assert_eq!(decode(), ROWS);
        best = best.min(started.elapsed().as_secs_f64());
    }
    ROWS as f64 / best
}

/// arrow-avro, which reads records of one schema into a batch too.
fn arrow_avro(schema: &str, records: &Records) -> f64 {
    let mut store = SchemaStore::new_with_type(FingerprintAlgorithm::Id);
    store.set(Fingerprint::Id(1), AvroSchema::new(schema.to_owned())).expect("a schema");
    let builder = ReaderBuilder::new().with_writer_schema_store(store).with_batch_size(ROWS);
    let mut decoder = builder.build_decoder().expect("a decoder");
    rate(|| {
        (0..ROWS).filter_map(|row| records.value(row)).for_each(|value| assert_eq!(decoder.decode(value).expect("decoded"), value.len()));
        decoder.flush().expect("flushed").map_or(0, |batch| batch.num_rows())
    })
}

#[allow(clippy::print_stdout)]
fn main() {
    let optional: String = NAMES.iter().map(|name| format!("{{\"name\":\"{name}\",\"type\":[\"null\",\"double\"]}},")).collect();
    let time = r#"{"name":"time","type":{"type":"long","logicalType":"timestamp-millis"}},"#;
    let text = format!(r#"{{"type":"record","name":"Motor","fields":[{time}{optional}{{"name":"profile_id","type":"int"}}]}}"#);
    let schema = WriterSchema { subject: "motor-value".into(), text: text.clone(), references: Vec::new() };
    let mut avro = Decoder::new(DecoderOptions { converter: Converter::Avro, ..DecoderOptions::default() });
    avro.learn_schema(1, Ok(schema));
    let mut json = Decoder::new(DecoderOptions::default());
    let (json_rows, avro_rows) = (records(json_row), records(avro_row));
    let reference = arrow_avro(&text, &avro_rows);
    let plain = rate(|| json.decode(&json_rows).rows.num_rows());
    let avro = rate(|| avro.decode(&avro_rows).rows.num_rows());
    println!("JSON {plain:.0} rows/s; Avro {avro:.0}, {:.2} times as many; arrow-avro {reference:.0}", avro / plain);
    let mut chain = chain();
    let transformed = rate(|| chain.apply(&json_rows, json.decode(&json_rows)).expect("transformed").rows.num_rows());
    println!("JSON and three transforms {transformed:.0} rows/s, {:.1} % more time", (plain / transformed - 1.0) * 100.0);
}
