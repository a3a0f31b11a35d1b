//! Rows a second of each decoder, and of a decoder with a chain of three transforms behind it, on one core, for the motor's rows (14 columns):
//! `cargo build --release --workspace --example decode_rate`, then `target/release/examples/decode_rate`.
//!
//! Ratios of one run are what counts; the figures hang on the machine.

use std::time::Instant;

use lakefeed_core::{ConfigDef, Key, KeyKind, Records, RecordsBuilder};
use lakefeed_formats::{Chain, Converter, Decoder, DecoderOptions, Transforms, WriterSchema};

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
    Transforms::read(&config).expect("valid transforms").chain()
}

fn rate(mut decoder: Decoder, mut chain: Chain, records: &Records) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let decoded = chain.apply(records, decoder.decode(records)).expect("transformed");
        assert_eq!(decoded.rows.num_rows(), ROWS);
        best = best.min(started.elapsed().as_secs_f64());
    }
    ROWS as f64 / best
}

#[allow(clippy::print_stdout)]
fn main() {
    let optional: String = NAMES.iter().map(|name| format!("{{\"name\":\"{name}\",\"type\":[\"null\",\"double\"]}},")).collect();
    let time = r#"{"name":"time","type":{"type":"long","logicalType":"timestamp-millis"}},"#;
    let text = format!(r#"{{"type":"record","name":"Motor","fields":[{time}{optional}{{"name":"profile_id","type":"int"}}]}}"#);
    let schema = WriterSchema { subject: "motor-value".into(), text, references: Vec::new() };
    let mut avro = Decoder::new(DecoderOptions { converter: Converter::Avro, ..DecoderOptions::default() });
    avro.learn_schema(1, Ok(schema));
    let none = || Transforms::default().chain();
    let json = || Decoder::new(DecoderOptions::default());
    let (plain, avro) = (rate(json(), none(), &records(json_row)), rate(avro, none(), &records(avro_row)));
    println!("JSON {plain:.0} rows/s, Avro {avro:.0} rows/s, {:.2} times as many", avro / plain);
    let transformed = rate(json(), chain(), &records(json_row));
    println!("JSON and three transforms {transformed:.0} rows/s, {:.1} % more time", (plain / transformed - 1.0) * 100.0);
}
