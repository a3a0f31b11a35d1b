//! The same rows through every format and codec, and back by a reader.

use std::io::{Cursor, Read};
use std::sync::Arc;

use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use ::parquet::basic::{Compression, Encoding, GzipLevel, ZstdLevel};
use ::parquet::file::metadata::ParquetMetaData;
use arrow_array::builder::{Int64Builder, ListBuilder};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, ListArray, RecordBatch,
    RecordBatchOptions, StringArray, StructArray, TimestampMillisecondArray,
};
use arrow_avro::reader::ReaderBuilder;
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use lakefeed_core::{Config, ConfigDef};

use super::parquet::{Dictionary, ParquetOptions};
use super::*;
use crate::file::OpenFile;
use crate::idle::Touch;
use crate::numbers::Blocks;
use crate::rows::{Part, Rows};

/// Three rows: ordinary values, values at the edges, nulls.
fn rows() -> RecordBatch {
    let mut list = ListBuilder::new(Int64Builder::new());
    list.append_value([Some(1), None]);
    list.append_value(Vec::<Option<i64>>::new());
    list.append_null();
    let no_third = || Some(NullBuffer::from(vec![true, true, false]));
    let inner = StructArray::new(
        vec![Field::new("deep name", DataType::Float64, true)].into(),
        vec![Arc::new(Float64Array::from(vec![Some(f64::MAX), Some(f64::from_bits(1)), None]))],
        no_third(),
    );
    let object = StructArray::new(
        vec![Field::new("inner", inner.data_type().clone(), true), Field::new("l", list.finish_cloned().data_type().clone(), true)].into(),
        vec![Arc::new(inner), Arc::new(list.finish_cloned())],
        no_third(),
    );
    let items: ListArray = list.finish();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(vec![Some(i64::MAX), Some(i64::MIN), None]))),
        ("pm", Arc::new(Float64Array::from(vec![Some(0.1), Some(-0.0), None]))),
        ("odd", Arc::new(Float64Array::from(vec![f64::NAN, f64::NEG_INFINITY, 1e300]))),
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
        ("text", Arc::new(StringArray::from(vec![Some("\u{0}\"\\\n日本 😀"), Some(""), None]))),
        ("blob", Arc::new(BinaryArray::from_opt_vec(vec![Some(&[0, 255][..]), Some(&[][..]), None]))),
        ("at", Arc::new(TimestampMillisecondArray::from(vec![Some(1_709_168_523_004), Some(-1), None]).with_timezone("UTC"))),
        ("price", Arc::new(Decimal128Array::from(vec![Some(1234), Some(-1), None]).with_precision_and_scale(10, 2).expect("fits"))),
        ("day of", Arc::new(Date32Array::from(vec![Some(19_782), Some(-1), None]))),
        ("object", Arc::new(object)),
        ("items", Arc::new(items)),
    ];
    let fields: Vec<Field> = columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, array)| array).collect()).expect("valid")
}

/// Adds all rows of a batch.
fn push(file: &mut OpenFile, rows: RecordBatch) {
    let count = rows.num_rows();
    let zeros = || vec![0_i64; count];
    let indices: Vec<u32> = (0..count as u32).collect();
    let of = Rows::new(rows, zeros().into(), zeros().into(), zeros());
    file.push(Part { of: &of, indices: &indices }, Touch::default()).expect("pushed");
}

/// The bytes of a file of these batches; each is encoded by itself, and taken in between as for an upload in parts.
fn file(format: &Format, batches: &[RecordBatch]) -> Bytes {
    let mut file = OpenFile::new(batches[0].schema(), Blocks::default(), 0, 0);
    let mut bytes = Vec::new();
    for batch in batches {
        push(&mut file, batch.clone());
        file.encode(format).expect("encoded");
        bytes.extend_from_slice(&file.take_encoded());
    }
    bytes.extend_from_slice(&file.finish(format, &[("k", "v".to_owned())]).expect("finished"));
    bytes.into()
}

fn parquet_rows(bytes: Bytes) -> (RecordBatch, ParquetMetaData) {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).expect("a Parquet file");
    let (metadata, schema) = (reader.metadata().as_ref().clone(), reader.schema().clone());
    let batches: Vec<RecordBatch> = reader.build().expect("a reader").map(|rows| rows.expect("rows")).collect();
    (arrow_select::concat::concat_batches(&schema, &batches).expect("one schema"), metadata)
}

fn avro_rows(bytes: &Bytes) -> RecordBatch {
    let reader = ReaderBuilder::new().build(Cursor::new(bytes.clone())).expect("an Avro file");
    let schema = reader.schema();
    let batches: Vec<RecordBatch> = reader.map(|rows| rows.expect("rows")).collect();
    arrow_select::concat::concat_batches(&schema, &batches).expect("one schema")
}

fn lines(codec: LinesCodec, bytes: &Bytes) -> String {
    let mut text = String::new();
    match codec {
        LinesCodec::None => text.push_str(str::from_utf8(bytes).expect("text")),
        LinesCodec::Gzip(_) => drop(flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text).expect("gzip")),
        LinesCodec::Zstd(_) => drop(zstd::Decoder::new(&bytes[..]).expect("zstd").read_to_string(&mut text).expect("zstd")),
    }
    text
}

fn codecs() -> [Compression; 5] {
    let (gzip, zstd) = (GzipLevel::try_new(9).expect("a level"), ZstdLevel::try_new(19).expect("a level"));
    [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::GZIP(gzip), Compression::ZSTD(zstd), Compression::LZ4_RAW]
}

/// Equal cell by cell, NaN included.
fn assert_same(read: &RecordBatch, written: &RecordBatch) {
    assert_eq!(read.num_rows(), written.num_rows());
    for (field, (read, written)) in written.schema_ref().fields().iter().zip(read.columns().iter().zip(written.columns())) {
        assert_eq!(format!("{read:?}"), format!("{written:?}"), "{}", field.name());
    }
}

#[test]
fn parquet_gives_back_what_it_got_in_every_codec() {
    for codec in codecs() {
        for split_floats in [false, true] {
            let options = ParquetOptions { split_floats, ..options(codec) };
            let (read, metadata) = parquet_rows(file(&Format::Parquet(options), &[rows(), rows()]));
            assert_eq!(metadata.num_row_groups(), 2);
            assert_eq!(read.schema().fields(), rows().schema().fields());
            assert_same(&read.slice(0, 3), &rows());
            assert_same(&read.slice(3, 3), &rows());
        }
    }
}

#[test]
fn json_lines_are_what_is_written_here() {
    let first = concat!(
        r#"{"id":9223372036854775807,"pm":0.1,"odd":null,"flag":true,"text":"\u0000\"\\\n日本 😀","blob":"AP8=","#,
        r#""at":"2024-02-29T01:02:03.004Z","price":12.34,"day of":"2024-02-29","#,
        r#""object":{"inner":{"deep name":1.7976931348623157e308},"l":[1,null]},"items":[1,null]}"#,
    );
    let second = concat!(
        r#"{"id":-9223372036854775808,"pm":-0.0,"odd":null,"flag":false,"text":"","blob":"","#,
        r#""at":"1969-12-31T23:59:59.999Z","price":-0.01,"day of":"1969-12-31","object":{"inner":{"deep name":5.0e-324},"l":[]},"items":[]}"#,
    );
    let expected = format!("{first}\n{second}\n{}\n", r#"{"odd":1.0e300}"#);
    for codec in [LinesCodec::None, LinesCodec::Gzip(0), LinesCodec::Gzip(9), LinesCodec::Zstd(1), LinesCodec::Zstd(19)] {
        assert_eq!(lines(codec, &file(&Format::Json(codec), &[rows(), rows()])), expected.repeat(2), "{codec:?}");
    }
}

#[test]
fn avro_gives_back_what_it_got_in_every_codec() {
    let names = ["id", "pm", "odd", "flag", "text", "blob", "at", "price", "day_of", "object", "items"];
    for codec in [
        None,
        Some(CompressionCodec::Deflate),
        Some(CompressionCodec::Snappy),
        Some(CompressionCodec::Bzip2),
        Some(CompressionCodec::ZStandard),
    ] {
        let bytes = file(&Format::Avro(codec), &[rows(), rows()]);
        let read = avro_rows(&bytes);
        assert_eq!(read.schema().fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>(), names, "{codec:?}");
        for at in [0, 3] {
            for (read, written) in read.slice(at, 3).columns().iter().zip(rows().columns()) {
                assert_eq!(cells(read), cells(written), "{codec:?}: {:?}", written.data_type());
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains(r#""doc":"day of""#) && text.contains("timestamp-millis"), "{codec:?}");
    }
}

/// The values of an array as text; names of nested fields and how the zone is spelt do not show.
fn cells(array: &ArrayRef) -> Vec<String> {
    let printed = format!("{array:?}").replace(" (Unknown Time Zone 'UTC')", "+00:00");
    printed.lines().map(str::trim).filter(|line| !line.contains("Array") && !line.contains("-- child")).map(str::to_owned).collect()
}

#[test]
fn avro_blocks_are_small() {
    let ids = Int64Array::from_iter_values(0..100_000);
    let rows = RecordBatch::try_from_iter([("id", Arc::new(ids) as ArrayRef)]).expect("valid");
    let bytes = file(&Format::Avro(None), &[rows]);
    // After the header and after each block.
    let sync = &bytes[bytes.len() - 16..];
    let marks = bytes.windows(16).filter(|window| *window == sync).count();
    assert_eq!((marks, avro_rows(&bytes).num_rows()), (14, 100_000));
}

#[test]
fn names_that_become_one_in_avro_are_named() {
    let column = || Arc::new(Int64Array::from(vec![1])) as ArrayRef;
    let rows = RecordBatch::try_from_iter([("a b", column()), ("a-b", column())]).expect("valid");
    let mut file = OpenFile::new(rows.schema(), Blocks::default(), 0, 0);
    push(&mut file, rows);
    let error = file.encode(&Format::Avro(None)).expect_err("the same name").chain();
    assert!(error.contains("'a b' and 'a-b' would both be called 'a_b'"), "{error}");
}

#[test]
fn rows_without_columns_are_counted() {
    let options = RecordBatchOptions::new().with_row_count(Some(2));
    let rows = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options).expect("valid");
    let (read, _) = parquet_rows(file(&format("parquet"), std::slice::from_ref(&rows)));
    assert_eq!((read.num_rows(), read.num_columns(), read.column(0).null_count()), (2, 1, 2));
    assert_eq!(file(&format("json"), std::slice::from_ref(&rows)), "{}\n{}\n");
    let bytes = file(&format("avro"), std::slice::from_ref(&rows));
    // The block: two records of no bytes.
    assert_eq!(bytes[bytes.len() - 18..bytes.len() - 16], [4, 0]);
}

/// Parquet files of the default options.
pub(crate) fn parquet_of(codec: Compression) -> Format {
    Format::Parquet(options(codec))
}

fn format(name: &str) -> Format {
    match name {
        "json" => Format::Json(LinesCodec::None),
        "avro" => Format::Avro(None),
        _ => parquet_of(Compression::SNAPPY),
    }
}

fn options(codec: Compression) -> ParquetOptions {
    match read(&[]).expect("the defaults") {
        Format::Parquet(options) => ParquetOptions { codec, ..options },
        other => panic!("{other:?}"),
    }
}

fn read(pairs: &[(&str, &str)]) -> Result<Format, String> {
    let values = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let shown = |error: &lakefeed_core::ConfigError| error.to_string();
    let config: Config =
        ConfigDef::new().keys(keys::KEYS).parse(&values).map_err(|errors| errors.iter().map(shown).collect::<Vec<_>>().join("\n"))?;
    Format::read(&config).map_err(|error| shown(&error))
}

#[test]
fn keys_mean_what_they_mean_in_the_confluent_sink() {
    let confluent = "io.confluent.connect.s3.format.";
    for (pairs, extension) in [
        (vec![], ".snappy.parquet"),
        (vec![("parquet.codec", "none")], ".parquet"),
        (vec![("parquet.codec", "gzip"), ("parquet.compression.level", "9")], ".gz.parquet"),
        (vec![("parquet.codec", "zstd"), ("parquet.compression.level", "22")], ".zstd.parquet"),
        (vec![("parquet.codec", "lz4")], ".lz4raw.parquet"),
        (vec![("format.class", "JsonFormat")], ".json"),
        (vec![("format.class", "io.confluent.connect.s3.format.json.JsonFormat"), ("s3.compression.type", "gzip")], ".json.gz"),
        (vec![("format.class", "JsonFormat"), ("s3.compression.type", "zstd"), ("s3.compression.level", "19")], ".json.zst"),
        (vec![("format.class", "io.confluent.connect.s3.format.avro.AvroFormat"), ("avro.codec", "snappy")], ".avro"),
    ] {
        assert_eq!(read(&pairs).expect(extension).extension(), extension);
    }
    let bytes = format!("{confluent}bytearray.ByteArrayFormat");
    for (pairs, part) in [
        (vec![("format.class", bytes.as_str())], "expected ParquetFormat, JsonFormat or AvroFormat"),
        (vec![("s3.compression.type", "gzip")], "use parquet.codec with ParquetFormat"),
        (vec![("format.class", "AvroFormat"), ("s3.compression.type", "gzip")], "use avro.codec with AvroFormat"),
        (vec![("format.class", "JsonFormat"), ("s3.compression.type", "gzip"), ("s3.compression.level", "10")], "expected 0 to 9"),
        (vec![("parquet.codec", "zstd"), ("parquet.compression.level", "0")], "expected 1 to 22"),
        (vec![("avro.codec", "lzma")], "avro.codec"),
        (vec![("parquet.bloom.filter.fpp", "1")], "less than 1"),
        (vec![("metadata.columns", "_offset,_ofset")], "'_ofset' is no such column"),
    ] {
        let error = read(&pairs).expect_err(part);
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn parquet_options_show_in_the_file() {
    let many: Vec<i64> = (0..2000).collect();
    let object = StructArray::from(vec![(
        Arc::new(Field::new("v", DataType::Float64, true)),
        Arc::new(Float64Array::from_iter_values(many.iter().map(|i| *i as f64 / 7.0))) as ArrayRef,
    )]);
    let rows = RecordBatch::try_from_iter([
        ("_offset", Arc::new(Int64Array::from(many.clone())) as ArrayRef),
        ("text", Arc::new(StringArray::from_iter_values(many.iter().map(|i| (i % 5).to_string())))),
        ("o", Arc::new(object)),
    ])
    .expect("valid");
    let of = |options: ParquetOptions| parquet_rows(file(&Format::Parquet(options), std::slice::from_ref(&rows))).1;
    let column = |metadata: &ParquetMetaData, index: usize| metadata.row_group(0).column(index).clone();
    let has_dictionary = |metadata: &ParquetMetaData| [0, 1, 2].map(|index| column(metadata, index).dictionary_page_offset().is_some());

    let plain = of(options(Compression::SNAPPY));
    assert_eq!(has_dictionary(&plain), [false, true, true], "where values repeat; nested ones are not looked at");
    assert_eq!(plain.row_group(0).sorting_columns(), None);
    assert!(column(&plain, 0).column_index_offset().is_some() && column(&plain, 0).statistics().is_some());
    assert!(column(&plain, 0).bloom_filter_offset().is_none());

    let all = of(ParquetOptions {
        dictionary: Dictionary::All,
        bloom_filters: vec!["text".into(), "o.v".into()],
        statistics: ::parquet::file::properties::EnabledStatistics::None,
        has_offsets: true,
        ..options(Compression::SNAPPY)
    });
    assert_eq!(has_dictionary(&all), [true, true, true]);
    assert!(column(&all, 0).statistics().is_none() && column(&all, 0).column_index_offset().is_none());
    assert_eq!([0, 1, 2].map(|index| column(&all, index).bloom_filter_offset().is_some()), [false, true, true]);
    let length = column(&all, 1).bloom_filter_length().expect("a filter");
    assert!(length < 8192, "{length} bytes for 2000 values at most");
    let order = all.row_group(0).sorting_columns().expect("rows are in order of their offsets");
    assert_eq!((order.len(), order[0].column_idx, order[0].descending), (1, 0, false));

    let split =
        of(ParquetOptions { dictionary: Dictionary::Only(vec!["text".into()]), split_floats: true, ..options(Compression::SNAPPY) });
    assert_eq!(has_dictionary(&split), [false, true, false]);
    assert!(column(&split, 2).encodings().any(|encoding| encoding == Encoding::BYTE_STREAM_SPLIT));
}
