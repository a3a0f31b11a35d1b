//! Random rows of random schemas: our decoder, arrow-avro's row by row, and what was written are the same. Broken rows break nothing else.

mod common;

use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, BooleanBuilder, StringBuilder};
use arrow_array::{
    Array, ArrayRef, Date32Array, Decimal128Array, Float32Array, Float64Array, Int32Array, Int64Array, ListArray, MapArray, RecordBatch,
    StringArray, StructArray, Time32MillisecondArray, Time64MicrosecondArray, TimestampMicrosecondArray, TimestampMillisecondArray,
};
use arrow_avro::reader::ReaderBuilder;
use arrow_avro::schema::{AvroSchema, Fingerprint, FingerprintAlgorithm, FingerprintStrategy, SchemaStore};
use arrow_avro::writer::WriterBuilder;
use arrow_avro::writer::format::AvroSoeFormat;
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field, Fields, Schema, TimeUnit};
use common::decoder_records;
use lakefeed_formats::{Converter, Decoded, Decoder, DecoderOptions, Nulls, WriterSchema, write_json_lines};
use proptest::prelude::*;

const ID: u32 = 7;

/// A small generator of numbers (SplitMix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// Small and large numbers alike.
    fn long(&mut self) -> i64 {
        let bits = self.below(64);
        self.next() as i64 >> bits
    }
}

fn kind(dice: &mut Dice, depth: usize) -> DataType {
    let inner = |dice: &mut Dice, name: &str| Arc::new(Field::new(name, kind(dice, depth + 1), true));
    match dice.below(if depth < 3 { 17 } else { 14 }) {
        0 => DataType::Boolean,
        1 => DataType::Int32,
        2 => DataType::Int64,
        3 => DataType::Float32,
        4 | 5 => DataType::Float64,
        6 => DataType::Utf8,
        7 => DataType::Binary,
        8 => DataType::Date32,
        9 => DataType::Time32(TimeUnit::Millisecond),
        10 => DataType::Time64(TimeUnit::Microsecond),
        11 => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        12 => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        13 => {
            let precision = 1 + dice.below(38) as u8;
            DataType::Decimal128(precision, dice.below(usize::from(precision) + 1) as i8)
        }
        14 => DataType::List(inner(dice, "item")),
        15 => DataType::Struct(fields(dice, depth + 1)),
        _ => {
            let entries = vec![Arc::new(Field::new("key", DataType::Utf8, false)), inner(dice, "value")];
            DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries.into()), false)), false)
        }
    }
}

fn fields(dice: &mut Dice, depth: usize) -> Fields {
    let count = 1 + dice.below(4);
    (0..count).map(|i| Field::new(format!("f{i}"), kind(dice, depth), dice.below(3) > 0)).collect()
}

fn array(field: &Field, rows: usize, dice: &mut Dice) -> ArrayRef {
    let valid: Vec<bool> = (0..rows).map(|_| !field.is_nullable() || dice.below(4) > 0).collect();
    let nulls = Some(NullBuffer::from(valid.clone())).filter(|_| field.is_nullable());
    let longs: Vec<i64> = (0..rows).map(|_| dice.long()).collect();
    let offsets = |dice: &mut Dice| OffsetBuffer::<i32>::from_lengths((0..rows).map(|_| dice.below(4)));
    let ints = || longs.iter().map(|v| *v as i32).collect::<Vec<_>>();
    match field.data_type() {
        DataType::Boolean => {
            let mut builder = BooleanBuilder::new();
            longs.iter().zip(&valid).for_each(|(v, valid)| builder.append_option(valid.then_some(v % 2 == 0)));
            Arc::new(builder.finish())
        }
        DataType::Int32 => Arc::new(Int32Array::new(ints().into(), nulls)),
        DataType::Int64 => Arc::new(Int64Array::new(longs.into(), nulls)),
        DataType::Float32 => Arc::new(Float32Array::new(longs.iter().map(|v| *v as f32 * 0.1).collect(), nulls)),
        DataType::Float64 => Arc::new(Float64Array::new(longs.iter().map(|v| *v as f64 * 0.1).collect(), nulls)),
        DataType::Utf8 => {
            let mut builder = StringBuilder::new();
            longs.iter().zip(&valid).for_each(|(v, valid)| builder.append_option(valid.then(|| format!("ü{v}"))));
            Arc::new(builder.finish())
        }
        DataType::Binary => {
            let mut builder = BinaryBuilder::new();
            longs.iter().zip(&valid).for_each(|(v, valid)| builder.append_option(valid.then(|| v.to_le_bytes())));
            Arc::new(builder.finish())
        }
        DataType::Date32 => Arc::new(Date32Array::new(longs.iter().map(|v| (v % 100_000) as i32).collect(), nulls)),
        DataType::Time32(_) => {
            Arc::new(Time32MillisecondArray::new(longs.iter().map(|v| v.rem_euclid(86_400_000) as i32).collect(), nulls))
        }
        DataType::Time64(_) => Arc::new(Time64MicrosecondArray::new(longs.iter().map(|v| v.rem_euclid(86_400_000_000)).collect(), nulls)),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            Arc::new(TimestampMillisecondArray::new(longs.iter().map(|v| v % (1 << 42)).collect(), nulls).with_timezone("UTC"))
        }
        DataType::Timestamp(..) => {
            Arc::new(TimestampMicrosecondArray::new(longs.iter().map(|v| v % (1 << 52)).collect(), nulls).with_timezone("UTC"))
        }
        DataType::Decimal128(precision, _) => {
            let limit = 10_i128.pow(u32::from(*precision));
            let values = longs.iter().map(|v| (i128::from(*v) * i128::from(i64::MAX)) % limit);
            Arc::new(Decimal128Array::new(values.collect(), nulls).with_data_type(field.data_type().clone()))
        }
        DataType::List(item) => {
            let offsets = offsets(dice);
            let items = array(item, *offsets.last().expect("an offset") as usize, dice);
            Arc::new(ListArray::new(Arc::clone(item), offsets, items, nulls))
        }
        DataType::Struct(fields) => {
            let columns = fields.iter().map(|field| array(field, rows, dice)).collect();
            Arc::new(StructArray::new(fields.clone(), columns, nulls))
        }
        DataType::Map(entries, _) => {
            let DataType::Struct(fields) = entries.data_type() else { unreachable!("entries are structs") };
            let offsets = offsets(dice);
            let count = *offsets.last().expect("an offset") as usize;
            let keys = Arc::new(StringArray::from_iter_values((0..count).map(|i| format!("k{i}"))));
            let values = array(&fields[1], count, dice);
            Arc::new(MapArray::new(Arc::clone(entries), offsets, StructArray::new(fields.clone(), vec![keys, values], None), nulls, false))
        }
        other => unreachable!("{other} is not made"),
    }
}

fn batch(dice: &mut Dice) -> RecordBatch {
    let fields = fields(dice, 0);
    let rows = 1 + dice.below(20);
    let columns = fields.iter().map(|field| array(field, rows, dice)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("a batch")
}

/// The rows as they stand in a topic, and their schema.
fn encoded(batch: &RecordBatch) -> (String, Vec<Vec<u8>>) {
    let builder = WriterBuilder::new(batch.schema().as_ref().clone()).with_fingerprint_strategy(FingerprintStrategy::Id(ID));
    let mut encoder = builder.build_encoder::<AvroSoeFormat>().expect("an encoder");
    encoder.encode(batch).expect("encoded");
    let rows = encoder.flush();
    let schema = AvroSchema::try_from(batch.schema().as_ref()).expect("a schema");
    (schema.json_string, rows.iter().map(|row| row.to_vec()).collect())
}

fn decoder(schema: &str) -> Decoder {
    let mut decoder = Decoder::new(DecoderOptions { converter: Converter::Avro, ..DecoderOptions::default() });
    decoder.learn_schema(ID, Ok(WriterSchema { subject: "t-value".into(), text: schema.into(), references: Vec::new() }));
    decoder
}

fn decode(schema: &str, rows: &[Vec<u8>]) -> Decoded {
    decoder(schema).decode(&decoder_records(&rows.iter().map(Some).collect::<Vec<_>>()))
}

fn json(batch: &RecordBatch) -> Vec<String> {
    let mut lines = Vec::new();
    write_json_lines(batch, Nulls::Written, &mut lines).expect("JSON lines");
    String::from_utf8(lines).expect("UTF-8").lines().map(str::to_owned).collect()
}

/// The rows one by one, by arrow-avro.
fn reference(schema: &str, rows: &[Vec<u8>]) -> Vec<String> {
    let mut store = SchemaStore::new_with_type(FingerprintAlgorithm::Id);
    store.set(Fingerprint::Id(ID), AvroSchema::new(schema.to_owned())).expect("a schema");
    let mut decoder = ReaderBuilder::new().with_writer_schema_store(store).build_decoder().expect("a decoder");
    let row = |row: &Vec<u8>| {
        assert_eq!(decoder.decode(row).expect("decoded"), row.len());
        json(&decoder.flush().expect("flushed").expect("a row")).remove(0)
    };
    rows.iter().map(row).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn rows_are_those_that_were_written_and_those_of_the_reference(seed in any::<u64>()) {
        let written = batch(&mut Dice(seed));
        let (schema, rows) = encoded(&written);
        let decoded = decode(&schema, &rows);
        prop_assert!(decoded.rejected.is_empty(), "{:?}", decoded.rejected);
        let lines = json(&decoded.rows);
        prop_assert_eq!(&lines, &json(&written), "{}", schema);
        prop_assert_eq!(&lines, &reference(&schema, &rows), "{}", schema);
        for (ours, theirs) in decoded.rows.columns().iter().zip(written.columns()) {
            prop_assert!(ours.data_type().is_nested() || ours.data_type() == theirs.data_type());
        }
    }

    #[test]
    fn broken_rows_leave_the_others_as_they_are(seed in any::<u64>()) {
        let mut dice = Dice(seed);
        let written = batch(&mut dice);
        let (schema, mut rows) = encoded(&written);
        let expected = json(&written);
        let mut broken = vec![false; rows.len()];
        for (row, broken) in rows.iter_mut().zip(&mut broken) {
            *broken = dice.below(3) == 0;
            match dice.below(3) {
                _ if !*broken => {}
                0 => row.truncate(dice.below(row.len())),
                1 => row.push(dice.next() as u8),
                _ => {
                    let at = dice.below(row.len());
                    row[at] ^= 1 << dice.below(8);
                }
            }
        }
        let decoded = decode(&schema, &rows);
        prop_assert_eq!(decoded.indices.len() + decoded.rejected.len(), rows.len());
        for (index, line) in decoded.indices.iter().zip(json(&decoded.rows)) {
            let index = *index as usize;
            // A broken row may by chance be another good one.
            prop_assert!(broken[index] || line == expected[index], "row {}: {}", index, line);
        }
        prop_assert!(decoded.rejected.iter().all(|rejected| broken[rejected.row]));
    }
}
