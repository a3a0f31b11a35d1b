//! Golden cases: records in, schema, rows and rejects out. The cases are data, in `golden/`.

mod common;

use std::fmt::Write as _;

use common::{decoder_records, describe};
use lakefeed_formats::{Converter, Decoder, DecoderOptions, SchemaConflict, Shape, Single, WriterSchema, parse_declared};

/// Runs the records of a file and writes the file anew, with what came out.
fn replay(text: &str, shape: Shape) -> String {
    let mut out = String::new();
    let mut decoder = Decoder::new(DecoderOptions { shape, ..DecoderOptions::default() });
    let mut batch: Vec<Option<Vec<u8>>> = Vec::new();
    for line in text.lines() {
        if let Some(record) = line.strip_prefix('>') {
            batch.push((record != "~").then(|| bytes(record.strip_prefix(' ').unwrap_or(record))));
            writeln!(out, "{line}").expect("a string");
            continue;
        }
        if !batch.is_empty() {
            describe(&decoder.decode(&decoder_records(&batch)), &mut out);
            batch.clear();
        }
        if let Some(options) = line.strip_prefix("options ") {
            decoder = Decoder::new(parse_options(options, shape));
        } else if let Some(schema) = line.strip_prefix("schema ") {
            let (id, text) = schema.split_once(' ').expect("id and schema");
            let schema = WriterSchema { subject: "t-value".into(), text: text.into(), references: Vec::new() };
            decoder.learn_schema(id.parse().expect("an id"), if text == "none" { Err("no such schema".into()) } else { Ok(schema) });
        } else if line.starts_with("## ") {
            decoder = Decoder::new(DecoderOptions { shape, ..DecoderOptions::default() });
        } else if line.starts_with(['=', '<', '~', '!']) || line.starts_with("dropped ") {
            continue;
        }
        writeln!(out, "{line}").expect("a string");
    }
    if !batch.is_empty() {
        describe(&decoder.decode(&decoder_records(&batch)), &mut out);
    }
    out
}

/// The bytes of a record: text, with the id of its schema before it (`@7 text`), or pairs of hexadecimal digits behind `0x`, with blanks between them.
fn bytes(record: &str) -> Vec<u8> {
    if let Some((id, text)) = record.strip_prefix('@').and_then(|rest| rest.split_once(' ')) {
        let id: u32 = id.parse().expect("an id");
        return [&[0], &id.to_be_bytes()[..], text.as_bytes()].concat();
    }
    let Some(hex) = record.strip_prefix("0x") else { return record.as_bytes().to_vec() };
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).expect("ASCII"), 16).expect("two digits")).collect()
}

fn parse_converter(text: &str) -> Converter {
    match text {
        "avro" => Converter::Avro,
        "json" => Converter::JsonWithSchema,
        "registered" => Converter::JsonRegistered,
        "protobuf" => Converter::Protobuf,
        "text" => Converter::Single(Single::Text),
        "bytes" => Converter::Single(Single::Bytes),
        "short" => Converter::Single(Single::Short),
        "integer" => Converter::Single(Single::Integer),
        "long" => Converter::Single(Single::Long),
        "float" => Converter::Single(Single::Float),
        "double" => Converter::Single(Single::Double),
        "boolean" => Converter::Single(Single::Boolean),
        schema => Converter::JsonOfSchema(schema.to_owned()),
    }
}

fn parse_options(text: &str, shape: Shape) -> DecoderOptions {
    let mut options = DecoderOptions { shape, ..DecoderOptions::default() };
    match text.split_once('=').expect("key=value") {
        ("conflict", "text") => options.conflict = SchemaConflict::Text,
        ("converter", converter) => options.converter = parse_converter(converter),
        ("avro with declared", columns) => {
            options.converter = Converter::Avro;
            options.declared = Some(parse_declared(columns).expect("columns"));
        }
        ("declared", columns) => options.declared = Some(parse_declared(columns).expect("columns")),
        other => panic!("unknown option {other:?}"),
    }
    options
}

fn check(name: &str, shape: Shape) {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    let expected = std::fs::read_to_string(&path).expect("the golden file");
    let got = replay(&expected, shape);
    if got != expected {
        // For `diff`: what came out, beside what was expected.
        let seen = std::env::temp_dir().join(format!("lakefeed-{name}"));
        std::fs::write(&seen, &got).expect("a temporary file");
        let differs = expected.lines().zip(got.lines()).find(|(e, g)| e != g);
        panic!("{name}: first difference {differs:#?}; diff {path} {}", seen.display());
    }
}

#[test]
fn plain_records() {
    check("plain.txt", Shape::Plain);
}

#[test]
fn protobuf_messages() {
    check("protobuf.txt", Shape::Plain);
}

#[test]
fn avro_records() {
    check("avro.txt", Shape::Plain);
}

#[test]
fn json_with_schemas() {
    check("connect.txt", Shape::Plain);
}

#[test]
fn json_with_registered_schemas() {
    check("json_schema.txt", Shape::Plain);
}

#[test]
fn values_without_structure() {
    check("single.txt", Shape::Plain);
}

#[test]
fn stream_records() {
    check("new_image.txt", Shape::NewImage);
}

#[test]
fn text_that_is_not_utf8_is_rejected() {
    let mut decoder = Decoder::new(DecoderOptions::default());
    let records: [Option<&[u8]>; 4] =
        [Some(b"{\"a\":\"\xff\"}"), Some(b"\xef\xbb\xbf{\"a\":1}"), Some("{\"a\":\"ä\"}".as_bytes()), Some(b"\0\0\0\0\x05{}")];
    let decoded = decoder.decode(&decoder_records(&records));
    assert_eq!(decoded.indices, [2]);
    let messages: Vec<_> = decoded.rejected.iter().map(|r| (r.row, r.message.as_str())).collect();
    assert_eq!(
        messages,
        [
            (0, "the value is not UTF-8: the byte at 6 belongs to no character"),
            (1, "the value begins with a byte order mark, expected a JSON object; the value is `\u{feff}{\"a\":1}`"),
            (3, "malformed JSON at byte 0: found '\\u{0}', expected a JSON object, near `\\u{0}\\u{0}\\u{0}\\u{0}\\u{5}{}`"),
        ]
    );
}

#[test]
fn depth_and_columns_are_bounded() {
    let mut decoder = Decoder::new(DecoderOptions { max_depth: 3, max_columns: 4, ..DecoderOptions::default() });
    let records = [r#"{"a":[[1]]}"#, r#"{"a":[[[1]]]}"#, r#"{"b":{"c":{}}}"#, r#"{"b":{"c":{"d":{}}}}"#, r#"{"x":1,"y":1}"#, r#"{"x":1}"#];
    let decoded = decoder.decode(&decoder_records(&records.map(|r| Some(r.as_bytes()))));
    assert_eq!(decoded.indices, [0, 2, 5]);
    let rejects: Vec<_> = decoded.rejected.iter().map(|r| (r.row, r.field.as_deref(), r.message.as_str())).collect();
    let deep = "objects and arrays are nested too deeply at byte";
    let flatter = "have the producer write flatter records";
    let many = "would be column 5 of the table, and 4 are the most: if names are data, have the producer put them into values";
    assert_eq!(rejects, [(1, None, &*format!("{deep} 7: {flatter}")), (3, None, &*format!("{deep} 15: {flatter}")), (4, Some("y"), many),]);
}

#[test]
fn no_depth_overflows_the_stack() {
    for shape in [Shape::Plain, Shape::NewImage] {
        let mut decoder = Decoder::new(DecoderOptions { shape, max_depth: usize::MAX, ..DecoderOptions::default() });
        let plain = |levels: usize| format!("{{\"v\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        let typed = |levels: usize| {
            let item = format!("{}{{\"NULL\":true}}{}", "{\"L\":[".repeat(levels), "]}".repeat(levels));
            format!("{{\"eventName\":\"INSERT\",\"dynamodb\":{{\"NewImage\":{{\"v\":{item}}}}}}}")
        };
        let record = |levels| if shape == Shape::Plain { plain(levels) } else { typed(levels) };
        let skipped = format!("{{\"x\":{},\"eventName\":\"REMOVE\",\"dynamodb\":{{}}}}", "[".repeat(100_000));
        let decoded = decoder.decode(&decoder_records(&[Some(record(499)), Some(record(500)), Some(record(100_000)), Some(skipped)]));
        assert_eq!((decoded.indices, decoded.rejected.len()), (vec![0], 3));
    }
}

#[test]
fn a_batch_may_have_no_rows_and_no_columns() {
    let mut decoder = Decoder::new(DecoderOptions::default());
    let decoded = decoder.decode(&decoder_records::<&str>(&[]));
    assert_eq!((decoded.rows.num_rows(), decoded.rows.num_columns()), (0, 0));
    let decoded = decoder.decode(&decoder_records(&[Some("{}"), None, Some("{\"n\":null}")]));
    assert_eq!((decoded.rows.num_rows(), decoded.rows.num_columns(), decoded.indices), (2, 0, vec![0, 2]));
    let decoded = decoder.decode(&decoder_records(&[None, Some("{\"n\":1}")]));
    assert_eq!((decoded.rows.num_rows(), decoded.rows.num_columns(), decoded.tombstones), (1, 1, vec![0]));
    let decoded = decoder.decode(&decoder_records::<&str>(&[None]));
    assert_eq!((decoded.rows.num_rows(), decoded.rows.schema()), (0, decoder.schema()));
}
