//! Transforms: golden cases as data, and what holds for any records.

mod common;

use std::collections::BTreeMap;
use std::fmt::Write;

use arrow_array::Array;
use common::describe;
use lakefeed_core::{Config, ConfigDef, Headers, Key, KeyKind, Records, RecordsBuilder, Stage};
use lakefeed_formats::{Converter, Decoded, Decoder, DecoderOptions, Nulls, Place, Single, Transforms, key_texts, write_json_lines};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn config(keys: &[&str]) -> Config {
    let def = ConfigDef::new()
        .keys(&[Key::new("transforms", KeyKind::List, "."), Key::new("predicates", KeyKind::List, ".")])
        .prefix("transforms.", ".")
        .prefix("predicates.", ".");
    let values: BTreeMap<String, String> =
        keys.iter().map(|line| line.split_once('=').expect("key=value")).map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    def.parse(&values).expect("keys with known prefixes")
}

/// A record of the golden file: names of headers (with `=` a value), `@` (no timestamp) or `#` and the key behind the `>`, and the value; `~` is
/// a tombstone.
fn records(lines: &[&str]) -> Records {
    let mut builder = RecordsBuilder::with_capacity("orders-eu".into(), 3, lines.len(), 1024);
    for (row, line) in (0_i64..).zip(lines) {
        let (marks, value) = line.split_once(' ').expect("marks and a value");
        let timestamp = if marks == "@" { -1 } else { 1_700_000_000_000 + row };
        let key = marks.split('|').find_map(|mark| mark.strip_prefix('#'));
        builder.push(100 + row, timestamp, key.map(str::as_bytes), (value != "~").then_some(value.as_bytes()));
        for header in marks.split('|').filter(|mark| !mark.starts_with('#')).flat_map(|marks| marks.split(',')) {
            match header.split_once('=') {
                _ if matches!(header, "" | "@") => {}
                Some((name, value)) => builder.push_header(name, Some(value.as_bytes())),
                None => builder.push_header(header, None),
            }
        }
    }
    builder.finish()
}

/// Runs every block of a golden file again, and returns the file as it should be.
fn replay(text: &str) -> String {
    let mut out = String::new();
    for (number, block) in text.split("\n## ").enumerate() {
        if number == 0 {
            out.push_str(block);
            continue;
        }
        let (title, lines) = block.split_once('\n').expect("a title and lines");
        writeln!(out, "\n## {title}").expect("a string");
        block_of(&lines.lines().collect::<Vec<_>>(), &mut out);
    }
    out
}

fn block_of(lines: &[&str], out: &mut String) {
    let keys: Vec<&str> =
        lines.iter().filter(|line| ["transforms", "predicates"].iter().any(|start| line.starts_with(start))).copied().collect();
    let text = lines.contains(&"text");
    let place = if lines.contains(&"source") { Place::Source } else { Place::Sink };
    for line in lines.iter().filter(|line| keys.contains(line) || matches!(**line, "text" | "source" | "json keys")) {
        writeln!(out, "{line}").expect("a string");
    }
    let transforms = match Transforms::read(&config(&keys), place) {
        Ok(transforms) => transforms,
        Err(errors) => {
            errors.iter().for_each(|error| writeln!(out, "? {error}").expect("a string"));
            return;
        }
    };
    let converter = if text { Converter::Single(Single::Text) } else { Converter::Json };
    let mut decoder = Decoder::new(DecoderOptions { converter, shape: transforms.shape(), ..DecoderOptions::default() });
    let converter = if lines.contains(&"json keys") { Converter::Json } else { Converter::Single(Single::Text) };
    let mut key_decoder = Decoder::new(DecoderOptions { converter, ..DecoderOptions::default() });
    let mut chain = transforms.chain();
    for batch in lines.split(|line| !line.starts_with('>')).filter(|batch| !batch.is_empty()) {
        batch.iter().for_each(|line| writeln!(out, "{line}").expect("a string"));
        let records = records(&batch.iter().map(|line| &line[1..]).collect::<Vec<_>>());
        let decoded = decoder.decode(&records);
        let undecoded = decoded.rejected.len();
        let keys = Records { values: (&records.keys).into(), ..records.clone() };
        let keys = transforms.uses_keys().then(|| key_decoder.decode(&keys));
        let decoded = chain.apply_with_keys(&records, decoded, keys.as_ref()).expect("transformed");
        let bad_keys = keys.map_or(0, |keys| keys.rejected.len());
        let transformed = decoded.rejected.iter().filter(|rejected| rejected.stage == Stage::Transformation).count();
        assert_eq!(transformed, decoded.rejected.len() - undecoded - bad_keys, "the stage of what a transform has rejected");
        assert_eq!(
            decoded.indices.len() + decoded.tombstones.len() + decoded.dropped + decoded.rejected.len(),
            records.len(),
            "each record once"
        );
        describe(&decoded, out);
        describe_beside(&decoded, out);
    }
}

/// What transforms have made beside the values: keys (k), headers (h) and topics (t) of the rows.
fn describe_beside(decoded: &Decoded, out: &mut String) {
    if let Some((keys, single)) = &decoded.beside.keys {
        let texts = key_texts(keys, *single).expect("texts");
        let texts: Vec<_> = texts.iter().map(|key| key.map_or("~".into(), String::from_utf8_lossy)).collect();
        writeln!(out, "k {}", texts.join(" ")).expect("a string");
    }
    if let Some(headers) = &decoded.beside.headers {
        let pairs = Headers::from_list(headers);
        let row = |row: usize| {
            let pair = |(name, value): (&str, Option<&[u8]>)| format!("{name}={}", value.map_or("~".into(), String::from_utf8_lossy));
            pairs.of(row).map(pair).collect::<Vec<_>>().join(",")
        };
        writeln!(out, "h {}", (0..headers.len()).map(row).collect::<Vec<_>>().join(" ; ")).expect("a string");
    }
    if let Some(topics) = &decoded.beside.topics {
        writeln!(out, "t {}", topics.iter().flatten().collect::<Vec<_>>().join(" ")).expect("a string");
    }
}

#[test]
fn golden_cases() {
    let path = format!("{}/tests/golden/transforms.txt", env!("CARGO_MANIFEST_DIR"));
    let expected = std::fs::read_to_string(&path).expect("the golden file");
    let got = replay(&expected);
    if got.trim_end() != expected.trim_end() {
        let seen = std::env::temp_dir().join("lakefeed-transforms.txt");
        std::fs::write(&seen, &got).expect("a temporary file");
        let differs = expected.lines().zip(got.lines()).find(|(e, g)| e != g);
        panic!("first difference {differs:#?}; diff {path} {}", seen.display());
    }
}

#[test]
fn a_change_of_what_becomes_of_rows_is_seen_and_no_secret_is() {
    let text = |replacement: &str, spec: &str| {
        let keys = [
            "transforms=m,c",
            "transforms.m.type=MaskField$Value",
            "transforms.m.fields=a",
            &format!("transforms.m.replacement={replacement}"),
            "transforms.c.type=Cast$Value",
            &format!("transforms.c.spec={spec}"),
        ];
        Transforms::read(&config(&keys), Place::Sink).expect("valid").to_string()
    };
    assert_eq!(text("secret", "a:string"), "m=MaskField$Value(fields=a) c=Cast$Value(spec=a:string)");
    assert_ne!(text("x", "a:string"), text("x", "a:int8"));
    assert_eq!(Transforms::default().to_string(), "");
}

#[test]
fn routers_name_a_topic_one_after_the_other() {
    let keys = [
        "transforms=a,b",
        "transforms.a.type=RegexRouter",
        "transforms.a.regex=(.*)-eu",
        "transforms.a.replacement=$1",
        "transforms.b.type=RegexRouter",
        "transforms.b.regex=(.*)",
        "transforms.b.replacement=all-$1",
        "transforms.b.predicate=orders",
        "predicates=orders",
        "predicates.orders.type=TopicNameMatches",
        "predicates.orders.pattern=orders",
    ];
    let transforms = Transforms::read(&config(&keys), Place::Sink).expect("valid");
    let routed = |topic| transforms.routed(topic).at(-1).expect("a name");
    assert_eq!(["orders-eu", "orders", "x-eu", "x"].map(routed), ["all-orders", "all-orders", "x", "x"]);
    assert!(transforms.has_regex_router() && transforms.to_string().contains("replacement=all-$1"), "{transforms}");
}

#[test]
fn names_by_time_follow_the_names_of_topics() {
    let keys = [
        "transforms=a,b",
        "transforms.a.type=RegexRouter",
        "transforms.a.regex=(.*)-eu",
        "transforms.a.replacement=$1",
        "transforms.b.type=TimestampRouter",
        "transforms.b.topic.format=${topic}.${timestamp}",
        "transforms.b.predicate=orders",
        "predicates=orders",
        "predicates.orders.type=TopicNameMatches",
        "predicates.orders.pattern=orders",
    ];
    let transforms = Transforms::read(&config(&keys), Place::Sink).expect("valid");
    let routed = |topic| transforms.routed(topic).at(1_700_000_000_000).expect("a name");
    assert_eq!(["orders-eu", "orders", "x-eu"].map(routed), ["orders.20231114", "orders.20231114", "x"]);
    assert_eq!((transforms.routed("orders").unit_ms(), transforms.routed("x").unit_ms()), (Some(86_400_000), None));
    assert_eq!(transforms.one_name_for_all(), None);
    // The chain says the same.
    let records = records(&[" {\"v\":1}", " {\"v\":2}", "@ {\"v\":3}"]);
    let mut decoder = Decoder::new(DecoderOptions::default());
    let decoded = transforms.chain().apply(&records, decoder.decode(&records)).expect("transformed");
    let topics = decoded.beside.topics.expect("routed");
    assert_eq!(topics.iter().flatten().collect::<Vec<_>>(), ["orders.20231114"; 2]);
    assert_eq!(decoded.rejected.iter().map(|rejected| rejected.row).collect::<Vec<_>>(), [2]);
}

#[test]
fn removed_items_of_a_processor_are_tombstones_that_go_where_rows_go() {
    let keys = [
        "transforms=i,a,b,c",
        "transforms.i.type=ExtractNewImage",
        "transforms.a.type=RegexRouter",
        "transforms.a.regex=(.*)-eu",
        "transforms.a.replacement=$1",
        "transforms.b.type=TimestampRouter",
        "transforms.b.predicate=none",
        "transforms.c.type=RegexRouter",
        "transforms.c.regex=.*",
        "transforms.c.replacement=lost",
        "transforms.c.predicate=none",
        "transforms.c.negate=true",
        "predicates=none",
        "predicates.none.type=RecordIsTombstone",
    ];
    let transforms = Transforms::read(&config(&keys), Place::Processor).expect("valid");
    assert_eq!(transforms.routed_tombstone("orders-eu", 1_700_000_000_000), "orders-20231114");
    let removed = r#" {"eventName":"REMOVE","dynamodb":{"Keys":{"id":{"N":"1"}}}}"#;
    let records = records(&[r#" {"eventName":"INSERT","dynamodb":{"NewImage":{"id":{"N":"1"}}}}"#, removed]);
    let decode = |transforms: &Transforms| {
        let mut decoder = Decoder::new(DecoderOptions { shape: transforms.shape(), ..DecoderOptions::default() });
        transforms.chain().apply(&records, decoder.decode(&records)).expect("transformed")
    };
    let decoded = decode(&transforms);
    assert_eq!((decoded.indices, decoded.tombstones, decoded.dropped), (vec![0], vec![1], 0));
    let decoded = decode(
        &Transforms::read(&config(&keys[..2].iter().map(|key| key.trim_end_matches(",a,b,c")).collect::<Vec<_>>()), Place::Sink)
            .expect("valid"),
    );
    assert_eq!((decoded.indices, decoded.tombstones, decoded.dropped), (vec![0], vec![], 1), "a sink has no row for them");

    let errors = |keys: &[&str]| {
        Transforms::read(&config(keys), Place::Processor).expect_err("wrong").iter().map(ToString::to_string).collect::<String>()
    };
    let keyed = ["transforms=i,k", "transforms.i.type=ExtractNewImage", "transforms.k.type=ValueToKey", "transforms.k.fields=id"];
    assert!(errors(&keyed).contains("transforms.k.type: not supported behind ExtractNewImage"), "{}", errors(&keyed));
    let offset = ["transforms=o", "transforms.o.type=InsertField$Value", "transforms.o.offset.field=at"];
    assert!(errors(&offset).contains("have no partition and no offset yet"), "{}", errors(&offset));
}

const CHAINS: [&[&str]; 5] = [
    &[
        "transforms=c,f,i",
        "transforms.c.type=Cast$Value",
        "transforms.c.spec=n1:string,i1:float64,s1:int32",
        "transforms.f.type=Flatten$Value",
        "transforms.f.delimiter=_",
        "transforms.i.type=InsertField$Value",
        "transforms.i.offset.field=offset",
    ],
    &[
        "transforms=t,r",
        "transforms.t.type=TimestampConverter$Value",
        "transforms.t.field=i1",
        "transforms.t.target.type=string",
        "transforms.t.format=yyyy-MM-dd HH:mm:ss.SSS",
        "transforms.r.type=ReplaceField$Value",
        "transforms.r.renames=n2:m",
        "transforms.r.exclude=s1",
    ],
    &["transforms=e", "transforms.e.type=ExtractField$Value", "transforms.e.field=o1"],
    &[
        "transforms=c,m",
        "transforms.c.type=Cast$Value",
        "transforms.c.spec=o1:string,n2:int8,n1:boolean",
        "transforms.m.type=MaskField$Value",
        "transforms.m.fields=s1,i2",
        "transforms.m.replacement=7",
    ],
    &[
        "transforms=h,m",
        "transforms.h.type=HoistField$Value",
        "transforms.h.field=all",
        "transforms.h.predicate=marked",
        "transforms.m.type=MaskField$Value",
        "transforms.m.fields=n1,s1,o1",
        "transforms.m.predicate=marked",
        "transforms.m.negate=true",
        "predicates=marked",
        "predicates.marked.type=HasHeaderKey",
        "predicates.marked.name=x",
    ],
];

fn value() -> impl Strategy<Value = Value> {
    let number = prop_oneof![4 => (-1000_i64..1000).prop_map(Value::from), 1 => (-1.0e5..1.0e5_f64).prop_map(Value::from)];
    prop_oneof![4 => number, 1 => Just(Value::Null)]
}

prop_compose! {
    /// Rows whose numbers are sometimes whole and whose members are not always there, and whether a header is.
    fn row()(
        members in prop::collection::vec(("[ni][12]", value()), 0..4),
        text in prop::option::of("[a-c0-9]{0,3}"),
        parts in prop::option::of(prop::collection::vec(("[pq]", value()), 0..3)),
        header in any::<bool>(),
    ) -> (Map<String, Value>, bool) {
        let mut row: Map<String, Value> = members.into_iter().collect();
        row.extend(text.map(|text| ("s1".to_owned(), Value::from(text))));
        row.extend(parts.map(|parts| ("o1".to_owned(), Value::from(parts.into_iter().collect::<Map<_, _>>()))));
        (row, header)
    }
}

fn records_of(rows: &[(Map<String, Value>, bool)], from: i64) -> Records {
    let mut builder = RecordsBuilder::with_capacity("t".into(), 0, rows.len(), 1024);
    for (offset, (row, header)) in (from..).zip(rows) {
        builder.push(offset, offset, None, Some(Value::from(row.clone()).to_string().as_bytes()));
        if *header {
            builder.push_header("x", None);
        }
    }
    builder.finish()
}

/// What each record became: a row without its nulls, numbers as doubles, or why it is none.
fn outcomes(records: &Records, decoded: &Decoded) -> BTreeMap<i64, Value> {
    let mut lines = Vec::new();
    write_json_lines(&decoded.rows, Nulls::LeftOut, &mut lines).expect("JSON lines");
    let rows = String::from_utf8(lines).expect("UTF-8");
    let row = |line| plain(&serde_json::from_str(line).expect("JSON"));
    let mut all: BTreeMap<i64, Value> =
        decoded.indices.iter().zip(rows.lines().map(row)).map(|(i, row)| (records.offsets[*i as usize], row)).collect();
    all.extend(decoded.tombstones.iter().map(|i| (records.offsets[*i as usize], json!("tombstone"))));
    all.extend(decoded.rejected.iter().map(|r| (records.offsets[r.row], json!([r.field, r.stage.name()]))));
    all
}

/// Numbers as doubles; objects without nulls and without empty objects, which have no columns.
fn plain(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Object(members) => {
            let kept = members.iter().map(|(name, value)| (name.clone(), plain(value)));
            Value::from(kept.filter(|(_, value)| !value.is_null() && *value != json!({})).collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

/// Runs rows through a chain in batches of a width, beginning with one of them.
fn run(keys: &[&str], rows: &[(Map<String, Value>, bool)], from: usize, width: usize) -> BTreeMap<i64, Value> {
    let transforms = Transforms::read(&config(keys), Place::Sink).expect("valid");
    let (mut decoder, mut chain) = (Decoder::new(DecoderOptions::default()), transforms.chain());
    let mut all = BTreeMap::new();
    let mut known: Vec<String> = Vec::new();
    for start in (from..rows.len()).step_by(width) {
        let records = records_of(&rows[start..rows.len().min(start + width)], start as i64);
        let decoded = chain.apply(&records, decoder.decode(&records)).expect("transformed");
        let names: Vec<String> = decoded.rows.schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(names[..known.len()], known, "columns only grow");
        known = names;
        all.extend(outcomes(&records, &decoded));
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Exactly-once hangs on this: a record that is read again, in another batch and after fewer others, becomes what it was.
    #[test]
    fn a_record_becomes_the_same_wherever_reading_begins_and_batches_end(
        rows in prop::collection::vec(row(), 1..12), from in 0_usize..12, widths in (1_usize..5, 1_usize..13), chain in 0..CHAINS.len(),
    ) {
        let from = from % rows.len();
        let whole = run(CHAINS[chain], &rows, 0, widths.0);
        let again = run(CHAINS[chain], &rows, from, widths.1);
        prop_assert_eq!(whole.len(), rows.len());
        for (offset, outcome) in &again {
            prop_assert_eq!(outcome, &whole[offset], "offset {}", offset);
        }
    }

    #[test]
    fn a_chain_does_to_columns_what_its_parts_say_of_rows(rows in prop::collection::vec(row(), 1..12), width in 1_usize..13) {
        const CHAIN: &[&str] = &[
            "transforms=d,m,r,i,c",
            "transforms.d.type=org.apache.kafka.connect.transforms.Filter",
            "transforms.d.predicate=marked",
            "transforms.m.type=org.apache.kafka.connect.transforms.MaskField$Value",
            "transforms.m.fields=n1,s1",
            "transforms.r.type=org.apache.kafka.connect.transforms.ReplaceField$Value",
            "transforms.r.exclude=n2,o1",
            "transforms.r.renames=i1:a,s1:b",
            "transforms.i.type=org.apache.kafka.connect.transforms.InsertField$Value",
            "transforms.i.topic.field=topic",
            "transforms.i.offset.field=i2",
            "transforms.i.static.field=fix",
            "transforms.i.static.value=x",
            "transforms.c.type=org.apache.kafka.connect.transforms.Cast$Value",
            "transforms.c.spec=a:int64",
            "predicates=marked",
            "predicates.marked.type=org.apache.kafka.connect.transforms.predicates.HasHeaderKey",
            "predicates.marked.name=x",
        ];
        let by_row = (0_i64..).zip(&rows).filter(|(_, (_, header))| !header).map(|(offset, (row, _))| {
            let mut new = json!({"topic": "t", "i2": offset, "fix": "x"});
            new["n1"] = row.get("n1").map_or(Value::Null, |value| if value.is_null() { Value::Null } else { json!(0) });
            new["b"] = row.get("s1").map_or(Value::Null, |_| json!(""));
            new["a"] = row.get("i1").and_then(Value::as_f64).map_or(Value::Null, |value| json!(value.trunc()));
            (offset, plain(&new))
        });
        let transformed = run(CHAIN, &rows, 0, width);
        for (offset, expected) in by_row {
            prop_assert_eq!(&transformed[&offset], &expected, "offset {}", offset);
        }
        prop_assert_eq!(transformed.len(), rows.iter().filter(|(_, header)| !header).count());
    }
}
