//! Rows for the topics, the same values on every machine.

use std::io::Write;
use std::sync::Arc;

use lakefeed_core::{Output, Result};
use lakefeed_kafka::{ClientSettings, Producer, TopicSpec, ensure_topic};

use crate::testbed::PATIENCE;

/// Lake partitions of [`Workload::Interleaved`].
pub(crate) const LANES: u64 = 200;
/// One of so many rows of [`Workload::Strewn`] is bad.
pub(crate) const BAD_EVERY: u64 = 1000;

/// What the values of a topic are. (W1, the motor rows in their order, comes from `lakefeed generate` and `lakefeed produce csv`.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    /// W2: 1 KB, with objects and lists in it.
    Nested,
    /// W3: 200 columns, 3.8 KB.
    Wide,
    /// W4: 70 bytes.
    Small,
    /// W8: motor rows, each of any of 200 profiles.
    Interleaved,
    /// W7: the same, one of a thousand bad.
    Strewn,
    /// Nothing but bad rows.
    Bad,
}

/// A topic that was filled.
#[derive(Debug, Clone)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) rows: u64,
    /// Of all values.
    pub(crate) bytes: u64,
}

/// Makes a topic and sends `rows` rows to it.
pub(crate) fn fill(settings: &ClientSettings, name: String, partitions: u64, workload: Workload, rows: u64) -> Result<Topic> {
    ensure_topic(settings, &name, &TopicSpec::with_partitions(i32::try_from(partitions).ok()), PATIENCE)?;
    let producer = Producer::new(settings)?;
    let (mut block, mut random, mut bytes) = (Output::default(), Random::new(), 0);
    block.to_topic(&Arc::from(name.as_str()));
    for row in 0..rows {
        workload.write(row, &mut random, &mut block);
        if block.is_full() || row + 1 == rows {
            bytes += block.bytes() as u64;
            producer.send(&block)?;
            block.clear();
        }
    }
    producer.flush(PATIENCE)?;
    Ok(Topic { name, rows, bytes })
}

impl Workload {
    /// Appends a row.
    pub(crate) fn write(self, row: u64, random: &mut Random, block: &mut Output) {
        if self == Self::Bad || (self == Self::Strewn && row % BAD_EVERY == BAD_EVERY - 1) {
            let kind = (row / if self == Self::Bad { 1 } else { BAD_EVERY }) as usize % BAD.len();
            return block.push(None, BAD[kind], None);
        }
        let buffer = block.buffer();
        // Writing to a vector can't fail.
        let _ = match self {
            Self::Nested => nested(buffer, row, random),
            Self::Wide => wide(buffer, row, random),
            Self::Small => small(buffer, row, random),
            Self::Interleaved | Self::Strewn | Self::Bad => motor(buffer, row, random),
        };
        block.end_row(None);
    }
}

/// Bad rows of twelve kinds; they are refused whatever came before.
pub(crate) const BAD: [Option<&[u8]>; 12] = [
    Some(br#"{"id":1,"ambient":"#),
    Some(b"[1,2]"),
    Some(br#""text""#),
    Some(br#"{"id":1,"id":2}"#),
    Some(br#"{"id":1} {"id":2}"#),
    Some(b"{\"id\":1,\"note\":\"\xff\xfe\"}"),
    None,
    Some(b"17"),
    Some(br#"{"id":1,"note":"\q"}"#),
    Some(b"{\"id\":1,\"note\":\"\x01\"}"),
    Some(br#"{"id":1,"pm":NaN}"#),
    Some(br#"{"id":1,"pm":01}"#),
];

/// The columns of the motor data, and where their values lie: the middle and how far from it.
const MOTOR: [(&str, f64, f64); 12] = [
    ("u_q", 54.0, 44.0),
    ("coolant", 36.0, 22.0),
    ("stator_winding", 66.0, 29.0),
    ("u_d", -25.0, 63.0),
    ("stator_tooth", 57.0, 23.0),
    ("motor_speed", 2200.0, 1860.0),
    ("i_d", -69.0, 65.0),
    ("i_q", 37.0, 92.0),
    ("pm", 59.0, 19.0),
    ("stator_yoke", 48.0, 20.0),
    ("ambient", 24.0, 2.0),
    ("torque", 31.0, 77.0),
];

fn motor(buffer: &mut Vec<u8>, row: u64, random: &mut Random) -> std::io::Result<()> {
    write!(buffer, "{{\"id\":{row}")?;
    for (name, middle, spread) in MOTOR {
        // Single precision, as in the data set: its digits do not repeat, and none can be left out.
        write!(buffer, ",\"{name}\":{}", f64::from((middle + spread * random.signed()) as f32))?;
    }
    write!(buffer, ",\"profile_id\":{}}}", random.below(LANES))
}

fn small(buffer: &mut Vec<u8>, row: u64, random: &mut Random) -> std::io::Result<()> {
    let (user, cents) = (random.below(100_000), random.below(1_000_000));
    write!(buffer, "{{\"id\":{:08},\"user_id\":\"u{user:05}\",", 10_000_000 + row)?;
    write!(buffer, "\"time\":{},\"value\":{}.{:02}}}", TIME_MS + row, cents / 100, cents % 100)
}

/// 2026-01-01 00:00:00 UTC.
const TIME_MS: u64 = 1_767_225_600_000;

const WORDS: [&str; 16] = [
    "engine", "north", "copper", "signal", "garden", "seven", "window", "paper", "silver", "market", "river", "yellow", "motor", "quiet",
    "stone", "letter",
];

fn nested(buffer: &mut Vec<u8>, row: u64, random: &mut Random) -> std::io::Result<()> {
    let user = random.below(1_000_000);
    let place = WORDS[random.below(16) as usize];
    write!(buffer, "{{\"id\":\"{:016x}{:016x}\",\"ts\":{},\"type\":\"order\",", random.next(), random.next(), TIME_MS + row)?;
    write!(buffer, "\"user\":{{\"id\":{user},\"name\":\"user {user}\",\"email\":\"user{user}@example.com\",\"address\":{{")?;
    write!(buffer, "\"city\":\"{place}\",\"lat\":{:.6},\"lon\":{:.6}}}}},", 90.0 * random.signed(), 180.0 * random.signed())?;
    write!(buffer, "\"tags\":[\"{}\",\"{}\",\"{place}\"],\"items\":[", WORDS[random.below(16) as usize], WORDS[random.below(16) as usize])?;
    for item in 0..4 {
        let comma = if item == 0 { "" } else { "," };
        let (sku, quantity, price) = (random.below(100_000_000), 1 + random.below(9), random.below(100_000));
        write!(buffer, "{comma}{{\"sku\":\"sku-{sku:08}\",\"name\":\"{place} {sku}\",\"quantity\":{quantity},")?;
        write!(buffer, "\"price\":{}.{:02}}}", price / 100, price % 100)?;
    }
    write!(buffer, "],\"total\":{}.5,\"paid\":{},\"note\":\"", random.below(10_000), random.below(2) == 0)?;
    for word in 0..68 {
        write!(buffer, "{}{}", if word == 0 { "" } else { " " }, WORDS[random.below(16) as usize])?;
    }
    write!(buffer, "\"}}")
}

/// 120 doubles, 40 integers, 30 texts, 10 booleans.
fn wide(buffer: &mut Vec<u8>, row: u64, random: &mut Random) -> std::io::Result<()> {
    write!(buffer, "{{\"id\":{row}")?;
    for column in 1..200 {
        write!(buffer, ",\"col_{column}\":")?;
        match column % 20 {
            0..12 => write!(buffer, "{:.6}", 100.0 * random.signed())?,
            12..16 => write!(buffer, "{}", random.below(1_000_000))?,
            16..19 => write!(buffer, "\"{}\"", WORDS[random.below(16) as usize])?,
            _ => write!(buffer, "{}", random.below(2) == 0)?,
        }
    }
    write!(buffer, "}}")
}

/// Numbers that look like chance and are the same on every machine: SplitMix64 (Steele, Lea and Flood, 2014).
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new() -> Self {
        Self(1)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// From -1 to 1.
    fn signed(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thousand rows.
    fn rows(workload: Workload) -> Output {
        let (mut block, mut random) = (Output::default(), Random::new());
        block.to_topic(&Arc::from("t"));
        (0..1000).for_each(|row| workload.write(row, &mut random, &mut block));
        block
    }

    #[test]
    fn values_have_the_sizes_of_the_workloads() {
        let expected =
            [(Workload::Nested, 1000..1080), (Workload::Wide, 3600..3900), (Workload::Small, 68..73), (Workload::Interleaved, 350..380)];
        for (workload, sizes) in expected {
            let mean = rows(workload).bytes() / 1000;
            assert!(sizes.contains(&mean), "{workload:?}: {mean} bytes a row");
        }
    }

    #[test]
    fn the_decoder_takes_all_rows_but_the_bad_ones() {
        use lakefeed_core::RecordsBuilder;
        use lakefeed_formats::{Decoder, DecoderOptions};
        let expected = [
            (Workload::Nested, 1000, 9),
            (Workload::Wide, 1000, 200),
            (Workload::Small, 1000, 4),
            (Workload::Interleaved, 1000, 14),
            (Workload::Strewn, 999, 14),
            (Workload::Bad, 0, 0),
        ];
        for (workload, good, columns) in expected {
            let block = rows(workload);
            let mut records = RecordsBuilder::with_capacity(Arc::from("t"), 0, 1000, block.bytes());
            block.rows().iter().enumerate().for_each(|(at, row)| records.push(at as i64, 0, block.key(row), block.value(row)));
            let decoded = Decoder::new(DecoderOptions::default()).decode(&records.finish());
            assert_eq!(decoded.rows.num_rows(), good, "{workload:?}");
            assert_eq!(decoded.rows.num_columns(), columns, "{workload:?}");
        }
    }
}
