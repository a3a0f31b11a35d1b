//! Bare loops in this process: what the work costs at least with the same libraries, without any of our plugins or the worker.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use arrow_json::ReaderBuilder;
use lakefeed_core::{Error, Output, Records, Result, TopicPartition};
use lakefeed_formats::{Decoder, DecoderOptions, Shape};
use lakefeed_kafka::{ClientSettings, Consumer, Producer, RangeReader, TopicSpec, ensure_topic, log_ends};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use crate::process::own_cpu_s;
use crate::testbed::{PARTITIONS, PATIENCE};

/// Rows of a topic that are held in memory, and their bytes (of a batch more, for each partition).
const SAMPLE_ROWS: u64 = 200_000;
const SAMPLE_BYTES: usize = 64 << 20;

/// Rows per CPU-second.
pub(crate) type Rate = f64;

/// The first records of a topic, some of each partition.
pub(crate) fn sample(settings: &ClientSettings, topic: &str) -> Result<Vec<Records>> {
    let mut all = Vec::new();
    for (partition, low, high) in log_ends(settings, topic, PATIENCE)? {
        let mut reader = RangeReader::new(settings, &partition, low, high.min(low + (SAMPLE_ROWS / PARTITIONS) as i64))?;
        let mut bytes = 0;
        while bytes < SAMPLE_BYTES / PARTITIONS as usize
            && let Some(records) = reader.read()?
        {
            bytes += records.payload_bytes();
            all.push(records);
        }
    }
    Ok(all)
}

/// Bytes of the values of `rows` rows, by those of a sample.
pub(crate) fn bytes_of(sample: &[Records], rows: u64) -> u64 {
    let (known, bytes) = sample.iter().fold((0, 0), |(known, bytes), r| (known + r.len() as u64, bytes + r.payload_bytes() as u64));
    bytes * rows / known.max(1)
}

/// The offset after the last record of each partition. The end of the log can lie behind it: transactions end with a marker.
pub(crate) fn ends(settings: &ClientSettings, topic: &str) -> Result<Vec<(TopicPartition, i64)>> {
    let end = |(partition, low, high): (TopicPartition, i64, i64)| {
        let mut reader = RangeReader::new(settings, &partition, low.max(high - 1000), high)?;
        let mut end = low;
        while let Some(records) = reader.read()? {
            end = records.next_offset().unwrap_or(end);
        }
        Ok((partition, end))
    };
    log_ends(settings, topic, PATIENCE)?.into_iter().map(end).collect()
}

/// A CSV file through the csv crate, and for each row a ready-made record to a topic.
pub(crate) fn split_and_produce(settings: &ClientSettings, file: &Path, ready: &[Records], topic: &str) -> Result<Rate> {
    let mut sender = Sender::new(settings, ready, topic)?;
    let failed = |e| Error::fatal(format!("{}: can't be read", file.display())).with_source(e);
    let start = own_cpu_s()?;
    let mut reader = csv::ReaderBuilder::new().buffer_capacity(1 << 20).from_path(file).map_err(failed)?;
    let mut record = csv::ByteRecord::new();
    let mut rows = 0;
    while reader.read_byte_record(&mut record).map_err(failed)? {
        black_box(&record);
        rows += 1;
        sender.send(1)?;
    }
    sender.finish()?;
    rate(rows, start)
}

/// A topic through a member of a group, and for each record a ready-made one to another topic.
pub(crate) fn consume_and_produce(settings: &ClientSettings, from: &str, rows: u64, ready: &[Records], to: &str) -> Result<Rate> {
    let mut sender = Sender::new(settings, ready, to)?;
    let start = own_cpu_s()?;
    let mut consumer = Consumer::new(&settings.clone().set("group.id", to), &[from.to_owned()])?;
    let (mut seen, deadline) = (0, Instant::now() + 10 * PATIENCE);
    while seen < rows {
        let (records, _) = consumer.read(1 << 20)?;
        consumer.poll(if records.is_some() { Duration::ZERO } else { Duration::from_millis(10) })?;
        let new = records.map_or(0, |records| records.len() as u64);
        seen += new;
        sender.send(new)?;
        if Instant::now() > deadline {
            return Err(Error::retry(format!("topic {from}: {seen} of {rows} rows came")));
        }
    }
    sender.finish()?;
    rate(seen, start)
}

/// The same records decoded and encoded as Parquet in memory, over and over until `rows` rows: no Kafka, no store, one file. No dictionary:
/// numbers of sensors do not repeat.
pub(crate) fn decode_and_encode(records: &[Records], shape: Shape, rows: u64) -> Result<Rate> {
    let mut decoder = Decoder::new(DecoderOptions { shape, ..DecoderOptions::default() });
    // The schema grows with the first rows; a file has one.
    for records in records {
        decoder.decode(records);
    }
    let failed = |e| Error::fatal("can't encode Parquet").with_source(e);
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).set_dictionary_enabled(false).build();
    let (start, mut seen) = (own_cpu_s()?, 0);
    while seen < rows {
        let mut writer = ArrowWriter::try_new(Vec::new(), decoder.schema(), Some(properties.clone())).map_err(failed)?;
        for records in records {
            let batch: RecordBatch = decoder.decode(records).rows;
            seen += batch.num_rows() as u64;
            writer.write(&batch).map_err(failed)?;
        }
        black_box(writer.into_inner().map_err(failed)?);
        if seen == 0 {
            return Err(Error::fatal("no record of the sample is a row"));
        }
    }
    rate(seen, start)
}

/// The same with arrow-json in the place of our decoder: what a bare loop of the usual libraries reaches, by which the targets were set.
pub(crate) fn decode_and_encode_with_arrow_json(records: &[Records], rows: u64) -> Result<Rate> {
    const BATCH_ROWS: usize = 8192;
    let mut ours = Decoder::new(DecoderOptions::default());
    for records in records {
        ours.decode(records);
    }
    let json = |e| Error::fatal("arrow-json can't decode the sample").with_source(e);
    let parquet = |e| Error::fatal("can't encode Parquet").with_source(e);
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).set_dictionary_enabled(false).build();
    let texts: Vec<Vec<u8>> = records.iter().map(|records| records.values.iter().flatten().flatten().copied().collect()).collect();
    let (start, mut seen) = (own_cpu_s()?, 0);
    while seen < rows {
        let before = seen;
        let mut decoder = ReaderBuilder::new(ours.schema()).with_batch_size(BATCH_ROWS).build_decoder().map_err(json)?;
        let mut writer = ArrowWriter::try_new(Vec::new(), ours.schema(), Some(properties.clone())).map_err(parquet)?;
        for text in &texts {
            let mut rest = &text[..];
            while !rest.is_empty() {
                rest = &rest[decoder.decode(rest).map_err(json)?..];
                if let Some(batch) = decoder.flush().map_err(json)? {
                    seen += batch.num_rows() as u64;
                    writer.write(&batch).map_err(parquet)?;
                }
            }
        }
        black_box(writer.into_inner().map_err(parquet)?);
        if seen == before {
            return Err(Error::fatal("arrow-json finds no row in the sample"));
        }
    }
    rate(seen, start)
}

fn rate(rows: u64, start_cpu_s: f64) -> Result<Rate> {
    Ok(rows as f64 / (own_cpu_s()? - start_cpu_s).max(0.01))
}

/// Sends ready-made records, a block of them at a time.
struct Sender {
    producer: Producer,
    block: Output,
    owed: u64,
}

impl Sender {
    fn new(settings: &ClientSettings, ready: &[Records], topic: &str) -> Result<Self> {
        ensure_topic(settings, topic, &TopicSpec::with_partitions(i32::try_from(PARTITIONS).ok()), PATIENCE)?;
        let mut block = Output::default();
        block.to_topic(&Arc::from(topic));
        // In turn of each partition, as rows come in reality.
        'full: for row in 0.. {
            let before = block.rows().len();
            for records in ready.iter().filter(|records| row < records.len()) {
                block.push(records.key(row), records.value(row), None);
                if block.is_full() {
                    break 'full;
                }
            }
            if block.rows().len() == before {
                break;
            }
        }
        if block.rows().is_empty() {
            return Err(Error::fatal("there are no records to send"));
        }
        Ok(Self { producer: Producer::new(settings)?, block, owed: 0 })
    }

    fn send(&mut self, rows: u64) -> Result<()> {
        self.owed += rows;
        let block = self.block.rows().len() as u64;
        while self.owed >= block {
            self.owed -= block;
            self.producer.send(&self.block)?;
        }
        Ok(())
    }

    /// The rest, a little more than is owed, and all acknowledgements.
    fn finish(&mut self) -> Result<()> {
        if self.owed > 0 {
            self.producer.send(&self.block)?;
        }
        self.producer.flush(PATIENCE)
    }
}
