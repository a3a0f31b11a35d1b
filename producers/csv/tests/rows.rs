//! The rows of one file: a table of cases, and properties against the `csv` crate and `serde_json`.

use std::io::Cursor;

use lakefeed_core::{ErrorKind, Output, SourceReject};
use lakefeed_csv::{CellType, CsvFile, CsvOptions, Filled, Nulls};
use proptest::prelude::*;
use serde_json::{Map, Value};

#[derive(Debug, Default, PartialEq)]
struct Read {
    /// Key and value of each row.
    rows: Vec<(Option<String>, String)>,
    rejects: Vec<SourceReject>,
}

fn options() -> CsvOptions {
    // A small buffer, so that rows lie across its end.
    CsvOptions { buffer_bytes: 16, ..CsvOptions::default() }
}

fn read(text: &[u8], options: &CsvOptions) -> Result<Read, String> {
    let mut file = CsvFile::open("f.csv", Cursor::new(text.to_vec()), options).map_err(|e| {
        assert_eq!(e.kind(), ErrorKind::Config);
        e.chain()
    })?;
    let mut all = Read::default();
    while take(&mut file, 3, &mut all) == Filled::More {}
    Ok(all)
}

fn take(file: &mut CsvFile<Cursor<Vec<u8>>>, rows: u64, all: &mut Read) -> Filled {
    let mut out = Output::default();
    let filled = file.fill(&mut out, rows, None).expect("memory can be read");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    all.rows.extend(out.rows().iter().map(|row| (out.key(row).map(text), text(out.value(row).expect("a value")))));
    all.rejects.append(&mut out.source_rejects);
    filled
}

fn values(text: &str, options: &CsvOptions) -> Vec<String> {
    let read = read(text.as_bytes(), options).expect("a header");
    assert_eq!(read.rejects, [], "{text}");
    read.rows.into_iter().map(|(_, value)| value).collect()
}

#[test]
fn cells_become_json() {
    let cells = [
        ("1.0", "1.0"),
        ("-0.45", "-0.45"),
        ("1e5", "1e5"),
        ("1E-5", "1E-5"),
        ("0", "0"),
        ("-0", "-0"),
        ("18.80517196655273", "18.80517196655273"),
        ("12345678901234567890123", "12345678901234567890123"),
        ("007", "\"007\""),
        ("+1", "\"+1\""),
        (".5", "\".5\""),
        ("1.", "\"1.\""),
        ("1e", "\"1e\""),
        ("-", "\"-\""),
        ("1e999", "\"1e999\""),
        ("NaN", "\"NaN\""),
        ("Infinity", "\"Infinity\""),
        (" 1", "\" 1\""),
        ("1 2", "\"1 2\""),
        ("0x10", "\"0x10\""),
        ("true", "true"),
        ("false", "false"),
        ("True", "\"True\""),
        ("null", "\"null\""),
        ("", "null"),
        ("\"\"", "\"\""),
        ("\"12\"", "12"),
        ("\"a,b\"", "\"a,b\""),
        ("\"say \"\"hi\"\"\"", "\"say \\\"hi\\\"\""),
        ("\"two\nlines\"", "\"two\\nlines\""),
        ("a\\b\tc\u{1}", "\"a\\\\b\\tc\\u0001\""),
        ("größe €", "\"größe €\""),
        ("5\" pipe", "\"5\\\" pipe\""),
    ];
    for (cell, json) in cells {
        assert_eq!(values(&format!("x,y\n{cell},z\n"), &options()), [format!("{{\"x\":{json},\"y\":\"z\"}}")], "{cell}");
    }
}

#[test]
fn line_ends_blank_lines_and_a_byte_order_mark_are_no_data() {
    for text in ["a,b\n1,2\n3,4\n", "a,b\r\n1,2\r\n3,4\r\n", "a,b\r1,2\r3,4", "\u{feff}a,b\n\n1,2\n\r\n\n3,4", "\n\na,b\n1,2\n3,4\n\n\n"] {
        assert_eq!(values(text, &options()), ["{\"a\":1,\"b\":2}", "{\"a\":3,\"b\":4}"], "{text:?}");
    }
    assert_eq!(values("a,b\n", &options()), Vec::<String>::new());
    assert_eq!(values("a,b", &options()), Vec::<String>::new());
}

#[test]
fn options_change_the_reading() {
    let semicolons = CsvOptions { delimiter: b';', quote: Some(b'\''), escape: Some(b'\\'), skip_lines: 2, ..options() };
    assert_eq!(values("one\n'two\na;b\n'x;\\'y';1,5\n", &semicolons), [r#"{"a":"x;'y","b":"1,5"}"#]);
    let names = CsvOptions { header: false, columns: vec!["a".into(), "b".into()], ..options() };
    assert_eq!(values("1,2\n", &names), [r#"{"a":1,"b":2}"#]);
    let numbered = CsvOptions { header: false, ..options() };
    assert_eq!(values("1,2\n3,4\n", &numbered), [r#"{"column01":1,"column02":2}"#, r#"{"column01":3,"column02":4}"#]);
    let plain = CsvOptions { quote: None, ..options() };
    assert_eq!(values("a,b\n\"x,\"y\n", &plain), [r#"{"a":"\"x","b":"\"y"}"#]);
    for (nulls, json) in [
        (Nulls::EmptySeparators, r#"{"a":null,"b":"","c":1}"#),
        (Nulls::EmptyQuotes, r#"{"a":"","b":null,"c":1}"#),
        (Nulls::Both, r#"{"a":null,"b":null,"c":1}"#),
        (Nulls::Neither, r#"{"a":"","b":"","c":1}"#),
    ] {
        assert_eq!(values("a,b,c\n,\"\",1\n", &CsvOptions { nulls, ..options() }), [json]);
    }
}

#[test]
fn types_are_forced() {
    let types = [("s", CellType::String), ("l", CellType::Long), ("d", CellType::Double), ("b", CellType::Boolean)];
    let typed = CsvOptions { types: types.map(|(n, t)| (n.to_owned(), t)).to_vec(), ..options() };
    let text = "s,l,d,b\n1,007,.5,TRUE\n,,,\ntrue,-5,1e3,false\nx,1.5,1,true\nx,1,NaN,true\nx,1,1,yes\nx,99999999999999999999,1,true\n";
    let read = read(text.as_bytes(), &typed).expect("a header");
    let rows: Vec<_> = read.rows.iter().map(|(_, value)| value.as_str()).collect();
    assert_eq!(
        rows,
        [r#"{"s":"1","l":7,"d":0.5,"b":true}"#, r#"{"s":null,"l":null,"d":null,"b":null}"#, r#"{"s":"true","l":-5,"d":1e3,"b":false}"#]
    );
    let rejects: Vec<_> = read.rejects.iter().map(|r| (r.line, r.column.as_deref().unwrap_or_default(), r.message.as_str())).collect();
    assert_eq!(
        rejects,
        [
            (5, "l", "'1.5' is no long: expected a whole number of 64 bits"),
            (6, "d", "'NaN' is no double: expected a finite number"),
            (7, "b", "'yes' is no boolean: expected true or false"),
            (8, "l", "'99999999999999999999' is no long: expected a whole number of 64 bits"),
        ]
    );
}

#[test]
fn keys_come_from_columns() {
    let key = |columns: &[&str]| CsvOptions { key: columns.iter().map(|c| (*c).to_owned()).collect(), ..options() };
    let read_keys = |columns: &[&str], text: &str| {
        let read = read(text.as_bytes(), &key(columns)).expect("a header");
        (read.rows.into_iter().map(|(k, _)| k.unwrap_or_default()).collect::<Vec<_>>(), read.rejects)
    };
    assert_eq!(read_keys(&["b"], "a,b\n1,007\n").0, ["007"]);
    assert_eq!(read_keys(&["b", "a"], "a,b\n1,x\n").0, [r#"{"b":"x","a":1}"#]);
    let (rows, rejects) = read_keys(&["b"], "a,b\n1,\n2,k\n");
    assert_eq!(rows, ["k"]);
    assert_eq!((rejects[0].line, rejects[0].column.as_deref(), &rejects[0].raw[..]), (2, Some("b"), &b"1,"[..]));
    let error = read(b"id,profile_id\n1,2\n", &key(&["profile_ld"])).expect_err("no such column");
    assert_eq!(error, "f.csv: there is no column 'profile_ld' for the key; did you mean 'profile_id'? The columns are id, profile_id");
}

#[test]
fn bad_rows_are_rejected_with_their_place_and_the_others_are_read() {
    let text = b"a,b\r\n1,2\r\n\r\n3\r\n\"x\r\ny\",5\r\n6,\xff7\r\n8,9,10\r\n11,12\r\n";
    let read = read(text, &options()).expect("a header");
    let rows: Vec<_> = read.rows.iter().map(|(_, value)| value.as_str()).collect();
    assert_eq!(rows, [r#"{"a":1,"b":2}"#, r#"{"a":"x\r\ny","b":5}"#, r#"{"a":11,"b":12}"#]);
    let rejects: Vec<_> = read.rejects.iter().map(|r| (r.line, r.column.as_deref(), r.message.as_str(), &r.raw[..])).collect();
    assert_eq!(
        rejects,
        [
            (4, None, "the row has 1 cells, but there are 2 columns", &b"3"[..]),
            (7, Some("b"), "'\u{fffd}7' is not UTF-8 text; convert the file to UTF-8", b"6,\xff7"),
            (8, None, "the row has 3 cells, but there are 2 columns", b"8,9,10"),
        ]
    );
    assert!(read.rejects.iter().all(|r| r.origin == "f.csv"));
}

#[test]
fn a_quote_that_is_not_closed_costs_one_line() {
    let read = read(b"a,b\n1,\"2\n3,4\n5,6\n", &options()).expect("a header");
    assert_eq!(read.rows.len(), 2);
    assert_eq!((read.rejects[0].line, &read.rejects[0].raw[..]), (2, &b"1,\"2"[..]));
    assert!(read.rejects[0].message.contains("not closed"), "{:?}", read.rejects);
}

#[test]
fn a_row_of_many_megabytes_costs_that_row() {
    let large = CsvOptions { buffer_bytes: 1 << 16, ..options() };
    let mut text = b"a,b\n1,".to_vec();
    text.extend(std::iter::repeat_n(b'x', 9 << 20));
    text.extend_from_slice(b"\n3,4\n5,\"6\n");
    // And a lost quote with more than a row's worth of text behind it.
    for _ in 0..1_000_000 {
        text.extend_from_slice(b"7,8888\n");
    }
    let read = read(&text, &large).expect("a header");
    assert_eq!(read.rejects.iter().map(|r| r.line).collect::<Vec<_>>(), [2, 4]);
    assert!(
        read.rejects.iter().all(|r| r.message.contains("longer than 4 MiB") && r.raw.len() <= 1 << 16),
        "{:?}",
        read.rejects[0].message
    );
    assert_eq!(read.rows.len(), 1_000_001);
}

#[test]
fn files_without_a_usable_header_say_what_is_wrong() {
    let cases: [(&[u8], &str); 8] = [
        (b"", "f.csv: the file is empty; expected a header line with the names of the columns"),
        (b"\n\r\n", "f.csv: the file has blank lines only; expected a header line with the names of the columns"),
        (b"a,,c\n1,2,3\n", "f.csv line 1: no header: cell 2 is empty, but the names of the columns were expected"),
        (b"\n17.5,x\n", "f.csv line 2: no header: cell 1 is the number 17.5, but the names"),
        (b"a,b,a\n", "f.csv line 1: two columns have the name 'a': 1 and 3; rename one"),
        (b"\xff\xfea\0", "f.csv: this is UTF-16 text; only plain CSV in UTF-8 is read"),
        (b"\x1f\x8b\x08", "f.csv: this is a gzip file; only"),
        (b"\"a,b\n1,2\n", "f.csv line 1: the first row is no CSV: a quote is not closed"),
    ];
    for (text, message) in cases {
        let error = read(text, &options()).expect_err("no header");
        assert!(error.starts_with(message), "{error}");
    }
}

/// What the cells of a row should read as.
fn expected(cells: &[String]) -> Value {
    let value = |cell: &str| match cell {
        "" => Value::String(String::new()),
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => match serde_json::from_str::<serde_json::Number>(cell) {
            Ok(number) if cell.trim() == cell => Value::Number(number),
            _ => Value::String(cell.to_owned()),
        },
    };
    Value::Object(cells.iter().enumerate().map(|(i, cell)| (format!("c{i}"), value(cell))).collect::<Map<_, _>>())
}

fn cell() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<f64>().prop_map(|f| f.to_string()),
        any::<i64>().prop_map(|i| i.to_string()),
        "[-+0-9.eE]{0,6}",
        "[a\",\r\n\\\\ ü€\u{1}]{0,6}",
        Just(String::new()),
        Just("true".to_owned()),
    ]
}

/// A table whose rows all have `c0`, `c1`, ... and its text.
fn table() -> impl Strategy<Value = (Vec<Vec<String>>, Vec<u8>)> {
    (1..5_usize, any::<bool>()).prop_flat_map(|(columns, crlf)| {
        prop::collection::vec(prop::collection::vec(cell(), columns), 0..12).prop_map(move |rows| {
            let end = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
            // All in quotes: an empty cell is then text, and a row of one empty cell no blank line.
            let mut writer = csv::WriterBuilder::new().terminator(end).quote_style(csv::QuoteStyle::Always).from_writer(Vec::new());
            writer.write_record((0..columns).map(|i| format!("c{i}"))).expect("memory");
            for row in &rows {
                writer.write_record(row).expect("memory");
            }
            (rows, writer.into_inner().expect("memory"))
        })
    })
}

proptest! {
    #[test]
    fn json_equals_the_cells((rows, text) in table(), buffer_bytes in 1..64_usize) {
        let read = read(&text, &CsvOptions { buffer_bytes, ..options() }).expect("a header");
        prop_assert_eq!(&read.rejects, &[]);
        let values: Vec<Value> = read.rows.iter().map(|(_, value)| serde_json::from_str(value).expect("JSON")).collect();
        prop_assert_eq!(values, rows.iter().map(|row| expected(row)).collect::<Vec<_>>());
    }

    #[test]
    fn reading_goes_on_at_any_position(
        text in prop_oneof![
            table().prop_map(|(_, text)| text),
            "a,b\n([\"x1,]{0,5}(\r\n|\n|\r)){0,12}".prop_map(String::into_bytes),
        ],
        steps in prop::collection::vec(1..4_u64, 1..8),
    ) {
        let whole = read(&text, &options()).expect("a header");
        let mut parts = Read::default();
        let mut position = None;
        for step in steps.iter().cycle().take(200) {
            let mut file = CsvFile::open("f.csv", Cursor::new(text.clone()), &options()).expect("a header");
            if let Some(position) = position {
                file.resume(position).expect("memory");
            }
            if take(&mut file, *step, &mut parts) == Filled::End {
                break;
            }
            position = Some(file.position());
        }
        prop_assert_eq!(parts, whole);
    }

    #[test]
    fn arbitrary_bytes_make_no_panic_and_lose_no_row(
        text in prop::collection::vec(prop_oneof![4 => prop::sample::select(&b"a1,\"\r\n\\"[..]), 1 => any::<u8>()], 0..80),
        escape in prop_oneof![Just(None), Just(Some(b'\\'))],
        buffer_bytes in 1..40_usize,
    ) {
        let options = CsvOptions { header: false, columns: vec!["a".into(), "b".into()], escape, buffer_bytes, ..options() };
        let read = read(&text, &options).expect("no header is needed");
        for (_, value) in &read.rows {
            prop_assert!(serde_json::from_str::<Value>(value).expect("JSON").as_object().is_some_and(|o| o.len() == 2));
        }
        // Without a quote left open there are as many rows as the `csv` crate finds.
        let unclosed = read.rejects.iter().any(|r| r.message.contains("not closed"));
        if !unclosed && !text.starts_with(b"\xef\xbb\xbf") {
            let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).escape(escape).from_reader(&text[..]);
            prop_assert_eq!(reader.byte_records().count(), read.rows.len() + read.rejects.len());
        }
        for reject in &read.rejects {
            let lines_before = text.split(|b| *b == b'\n').count();
            prop_assert!(reject.line >= 1 && reject.line <= lines_before as u64);
            prop_assert!(reject.raw.is_empty() || memchr::memmem::find(&text, &reject.raw).is_some());
        }
    }
}
