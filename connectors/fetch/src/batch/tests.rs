//! Record sets as a broker keeps them, made here by the format's description.

use std::io::Write;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Record {
    offset: i64,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

fn varint(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn var_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    varint(out, bytes.map_or(-1, |bytes| bytes.len() as i64));
    out.extend(bytes.unwrap_or_default());
}

fn compressed(codec: i16, bytes: Vec<u8>) -> Vec<u8> {
    match codec {
        1 => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(&bytes).expect("in memory");
            gzip.finish().expect("in memory")
        }
        2 => snap::raw::Encoder::new().compress_vec(&bytes).expect("Snappy"),
        3 => {
            let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
            lz4.write_all(&bytes).expect("in memory");
            lz4.finish().expect("in memory")
        }
        4 => zstd::stream::encode_all(&bytes[..], 1).expect("in memory"),
        _ => bytes,
    }
}

/// A batch of records; `attributes` are those of the format, the codec among them. `last`: the batch's last offset, which a compaction leaves as it was.
fn batch(records: &[Record], attributes: i16, producer_id: i64, last: i64) -> Vec<u8> {
    let (base, first_timestamp) = records.first().map_or((last, -1), |first| (first.offset, first.timestamp));
    let mut body = Vec::new();
    for record in records {
        let mut one = vec![0];
        varint(&mut one, record.timestamp - first_timestamp);
        varint(&mut one, record.offset - base);
        var_bytes(&mut one, record.key.as_deref());
        var_bytes(&mut one, record.value.as_deref());
        varint(&mut one, record.headers.len() as i64);
        for (name, value) in &record.headers {
            var_bytes(&mut one, Some(name.as_bytes()));
            var_bytes(&mut one, value.as_deref());
        }
        varint(&mut body, one.len() as i64);
        body.extend(one);
    }
    let mut checked = attributes.to_be_bytes().to_vec();
    checked.extend(((last - base) as i32).to_be_bytes());
    checked.extend(first_timestamp.to_be_bytes());
    checked.extend(records.iter().map(|record| record.timestamp).max().unwrap_or(-1).to_be_bytes());
    checked.extend(producer_id.to_be_bytes());
    checked.extend([0; 6]);
    checked.extend((records.len() as i32).to_be_bytes());
    checked.extend(compressed(attributes & CODEC, body));
    let mut out = base.to_be_bytes().to_vec();
    out.extend((checked.len() as i32 + 9).to_be_bytes());
    out.extend([0, 0, 0, 1, 2]);
    out.extend(crc32c::crc32c(&checked).to_be_bytes());
    out.extend(checked);
    out
}

fn value(offset: i64, value: &str) -> Record {
    Record { offset, timestamp: offset * 10, value: Some(value.into()), ..Record::default() }
}

/// The end of a transaction.
fn marker(offset: i64, producer_id: i64, commit: bool) -> Vec<u8> {
    let record = Record { offset, key: Some(vec![0, 0, 0, u8::from(commit)]), value: Some(vec![0; 6]), ..Record::default() };
    batch(&[record], CONTROL | TRANSACTIONAL, producer_id, offset)
}

fn read_back(all: &[Records]) -> Vec<Record> {
    let one = |records: &Records, row: usize| Record {
        offset: records.offsets[row],
        timestamp: records.timestamps[row],
        key: records.key(row).map(<[u8]>::to_vec),
        value: records.value(row).map(<[u8]>::to_vec),
        headers: records
            .headers
            .iter()
            .flat_map(|headers| headers.of(row))
            .map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)))
            .collect(),
    };
    all.iter().flat_map(|records| (0..records.len()).map(move |row| one(records, row))).collect()
}

/// Walks a set in steps of so much room.
/// A set of partition 0 that is not shared.
fn set_of(bytes: &[u8]) -> Set<'_> {
    static PARTITION: LazyLock<TopicPartition> = LazyLock::new(|| TopicPartition::new("t", 0));
    Set { partition: &PARTITION, bytes, buffer: None }
}

/// Walks a set to its end: what its values are does not depend on whether they are copied.
fn walk(set: &[u8], place: &mut Place, room_bytes: usize) -> Result<Vec<Record>, Fault> {
    let buffer = Buffer::from_vec(set.to_vec());
    let (bytes, mut copied_place) = (&buffer[..], place.clone());
    let copied = walk_set(set_of(bytes), &mut copied_place, room_bytes);
    let shared = walk_set(Set { buffer: Some(&buffer), ..set_of(bytes) }, place, room_bytes);
    assert_eq!(copied.as_ref().ok(), shared.as_ref().ok());
    assert_eq!((copied_place.byte, copied_place.next), (place.byte, place.next));
    shared
}

fn walk_set(set: Set<'_>, place: &mut Place, room_bytes: usize) -> Result<Vec<Record>, Fault> {
    let (mut walker, mut out) = (Walker::new(true), Vec::new());
    loop {
        let before = place.byte;
        walker.walk(set, place, room_bytes, &mut out)?;
        if place.byte == set.bytes.len() || place.byte == before {
            return Ok(read_back(&out));
        }
    }
}

fn offsets(set: &[u8], place: &mut Place) -> Vec<i64> {
    walk(set, place, usize::MAX).expect("sound").iter().map(|record| record.offset).collect()
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..200)
}

fn a_record() -> impl Strategy<Value = (i64, i64, Record)> {
    let headers = proptest::collection::vec(("[a-zä]{0,5}", proptest::option::of(bytes())), 0..3);
    let fields = (proptest::option::of(bytes()), proptest::option::of(bytes()), headers);
    let record = fields.prop_map(|(key, value, headers)| Record { key, value, headers, ..Record::default() });
    (1_i64..4, -1000_i64..100_000, record)
}

proptest! {
    #[test]
    fn what_was_written_is_read(
        given in proptest::collection::vec(a_record(), 1..60),
        cuts in proptest::collection::vec((1_usize..20, 0_i16..5), 1..10),
        from in 0_i64..60,
        room in 1_usize..5000,
        tail in 0_usize..80,
    ) {
        let (mut offset, mut records) = (5, Vec::new());
        for (gap, timestamp, record) in given {
            offset += gap;
            records.push(Record { offset, timestamp, ..record });
        }
        let (mut set, mut rest, mut turn) = (Vec::new(), &records[..], cuts.iter().cycle());
        while !rest.is_empty() {
            let (len, codec) = turn.next().expect("endless");
            let (now, later) = rest.split_at((*len).min(rest.len()));
            set.extend(batch(now, *codec, -1, now.last().expect("one").offset));
            rest = later;
        }
        // The broker cuts off wherever it is full.
        let cut_off = batch(&[value(offset + 1, "not all there")], 0, -1, offset + 1);
        set.extend(&cut_off[..tail.min(cut_off.len() - 1)]);
        let mut place = Place::new(from, Vec::new());
        let read = walk(&set, &mut place, room).expect("sound");
        records.retain(|record| record.offset >= from);
        prop_assert_eq!(place.next, from.max(offset + 1));
        prop_assert_eq!(read, records);
    }

    #[test]
    fn no_bytes_make_it_panic(at in any::<prop::sample::Index>(), to in any::<u8>(), codec in 0_i16..8, check in any::<bool>()) {
        let records: Vec<_> = (0..20).map(|n| value(n, "some text that is compressed")).collect();
        let mut set = [batch(&records, codec, -1, 19), marker(20, 7, false)].concat();
        let at = at.index(set.len());
        set[at] = to;
        let (mut place, mut out) = (Place::new(0, Vec::new()), Vec::new());
        // Damage, or records: both are answers.
        let _ = Walker::new(check).walk(set_of(&set), &mut place, usize::MAX, &mut out);
        crate::fuzz::record_set(&set[at..]);
        crate::fuzz::answer(&set[at..]);
    }
}

#[test]
fn aborted_transactions_are_left_out() {
    let set = [
        // 7 writes, is aborted, writes again and commits; 8 commits between; 9 is without a transaction.
        batch(&[value(0, "a"), value(1, "b")], TRANSACTIONAL, 7, 1),
        batch(&[value(2, "c")], TRANSACTIONAL, 8, 2),
        batch(&[value(3, "d")], 0, 9, 3),
        marker(4, 7, false),
        batch(&[value(5, "e")], TRANSACTIONAL, 7, 5),
        marker(6, 8, true),
        marker(7, 7, true),
    ]
    .concat();
    let aborted = || vec![Aborted { producer_id: 7, first_offset: 0 }];
    let mut place = Place::new(0, aborted());
    assert_eq!(offsets(&set, &mut place), [2, 3, 5]);
    assert_eq!(place.next, 8, "markers are behind us too");
    assert_eq!(offsets(&set, &mut Place::new(0, Vec::new())), [0, 1, 2, 3, 5], "read_uncommitted");
    // A walk that stops for room goes on with what it knew.
    assert_eq!(walk(&set, &mut Place::new(0, aborted()), 1).expect("sound").len(), 3);
    // One that begins in the middle of the transaction.
    assert_eq!(offsets(&set, &mut Place::new(1, aborted())), [2, 3, 5]);
}

#[test]
fn what_a_compaction_has_left_is_read() {
    let set = [batch(&[value(3, "a"), value(7, "b")], 0, -1, 9), batch(&[], 0, -1, 14), batch(&[value(15, "c")], 0, -1, 15)].concat();
    let mut place = Place::new(4, Vec::new());
    assert_eq!(offsets(&set, &mut place), [7, 15]);
    assert_eq!(place.next, 16);
    // Nothing left at all: reading goes on behind it.
    let mut place = Place::new(0, Vec::new());
    assert!(offsets(&batch(&[], 0, -1, 14), &mut place).is_empty());
    assert_eq!(place.next, 15);
}

#[test]
fn the_brokers_time_counts_where_the_topic_says_so() {
    let set = batch(&[value(0, "a"), value(1, "b")], LOG_APPEND_TIME, -1, 1);
    let read = walk(&set, &mut Place::new(0, Vec::new()), usize::MAX).expect("sound");
    assert_eq!(read.iter().map(|record| record.timestamp).collect::<Vec<_>>(), [10, 10]);
}

#[test]
fn large_sets_become_several_records() {
    let records: Vec<_> = (0..90_000).map(|n| value(n, &"x".repeat(60))).collect();
    let set: Vec<u8> = records.chunks(1000).flat_map(|some| batch(some, 0, -1, some[999].offset)).collect();
    let (mut place, mut out) = (Place::new(0, Vec::new()), Vec::new());
    Walker::new(true).walk(set_of(&set), &mut place, usize::MAX, &mut out).expect("sound");
    assert_eq!(out.iter().map(Records::len).collect::<Vec<_>>(), [40_000, 40_000, 10_000]);
    assert_eq!(read_back(&out), records);
}

#[test]
fn damage_is_told_with_its_place() {
    let whole = batch(&[value(4, "a"), value(5, "b")], 0, -1, 5);
    let with = |byte: usize, to: u8| {
        let mut set = [batch(&[value(3, "x")], 0, -1, 3), whole.clone()].concat();
        let at = set.len() - whole.len() + byte;
        set[at] = to;
        set
    };
    let said = |set: &[u8], check, rows| {
        let (mut place, mut out) = (Place::new(3, Vec::new()), Vec::new());
        let fault = Walker::new(check).walk(set_of(set), &mut place, usize::MAX, &mut out).expect_err("damaged");
        assert_eq!((read_back(&out).len(), place.next), (rows, 4), "what came before it is there");
        match fault {
            Fault::Checksum(error) => format!("checksum: {}", error.chain()),
            Fault::Lasting(error) => error.chain(),
        }
    };
    assert!(said(&with(whole.len() - 3, 9), true, 1).starts_with("checksum: t-0: the record batch at offset 4 has a wrong checksum"));
    // More records than there are.
    assert!(said(&with(60, 9), false, 3).starts_with("t-0: the record batch at offset 4 is damaged"));
    assert!(said(&with(16, 1), true, 1).contains("is of format 1, which Kafka wrote before 0.11"));
    assert!(said(&with(22, 7), false, 1).contains("can't be decompressed: compression type 7 is not known"));
}
