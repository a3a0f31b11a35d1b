//! Properties: what holds for any records.

mod common;

use common::decoder_records;
use common::model::{Kind, cell, object_cell, rows_of, unify_object};
use lakefeed_formats::{Decoded, Decoder, DecoderOptions, SchemaConflict, Shape};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn decoder(shape: Shape, conflict: SchemaConflict) -> Decoder {
    Decoder::new(DecoderOptions { shape, conflict, ..DecoderOptions::default() })
}

fn number() -> impl Strategy<Value = Value> {
    let double = any::<f64>().prop_filter("JSON has no others", |v| v.is_finite()).prop_map(Value::from);
    prop_oneof![
        8 => (-1000_i64..1000).prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<u64>().prop_map(Value::from),
        4 => (-1.0e5..1.0e5_f64).prop_map(Value::from),
        1 => double,
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        6 => number(),
        4 => "[a-c\"\\\\\n\u{1}äé😀 ]{0,20}".prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from), object_of(inner).prop_map(Value::from)]
    })
}

/// Members whose names mostly say what their values are, so that most rows agree.
fn object_of(any: impl Strategy<Value = Value> + Clone + 'static) -> impl Strategy<Value = Map<String, Value>> {
    let member = prop_oneof![
        3 => ("n[12]", number().boxed()),
        3 => ("i[12]", (-1000_i64..1000).prop_map(Value::from).boxed()),
        3 => ("s[12]", "[a-zä\n]{0,12}".prop_map(Value::from).boxed()),
        1 => ("l[12]", prop::collection::vec(number(), 0..3).prop_map(Value::from).boxed()),
        2 => ("[o-q\"ü]", any.boxed()),
    ];
    prop::collection::vec(member, 0..6).prop_map(|m| m.into_iter().collect())
}

prop_compose! {
    fn member_strategy()(members in object_of(value().boxed())) -> Map<String, Value> { members }
}

/// Rows in batches.
fn batches() -> impl Strategy<Value = Vec<Vec<Map<String, Value>>>> {
    prop::collection::vec(prop::collection::vec(member_strategy(), 0..8), 1..4)
}

/// The ways to write the same document.
#[derive(Debug, Clone, Copy)]
enum Style {
    Compact,
    Pretty,
    Escaped,
}

fn write(row: &Map<String, Value>, style: Style) -> String {
    match style {
        Style::Compact => serde_json::to_string(row).expect("JSON"),
        Style::Pretty => serde_json::to_string_pretty(row).expect("JSON"),
        Style::Escaped => {
            let text = serde_json::to_string(row).expect("JSON");
            let mut units = [0; 2];
            let escape = |c: char| -> String { c.encode_utf16(&mut units).iter().map(|u| format!("\\u{u:04x}")).collect() };
            let mut escape = escape;
            text.chars().map(|c| if c.is_ascii() { c.to_string() } else { escape(c) }).collect()
        }
    }
}

fn decode(decoder: &mut Decoder, texts: &[String]) -> Decoded {
    decoder.decode(&decoder_records(&texts.iter().map(Some).collect::<Vec<_>>()))
}

/// The typed form of a plain value.
fn typed(value: &Value) -> Value {
    match value {
        Value::Null => json!({"NULL": true}),
        Value::Bool(b) => json!({"BOOL": b}),
        Value::Number(n) => json!({"N": n.to_string()}),
        Value::String(s) => json!({"S": s}),
        Value::Object(members) => json!({"M": typed_item(members)}),
        Value::Array(items) if !items.is_empty() && items.iter().all(Value::is_string) => json!({"SS": items}),
        Value::Array(items) if !items.is_empty() && items.iter().all(Value::is_number) => {
            json!({"NS": items.iter().map(ToString::to_string).collect::<Vec<_>>()})
        }
        Value::Array(items) => json!({"L": items.iter().map(typed).collect::<Vec<_>>()}),
    }
}

fn typed_item(members: &Map<String, Value>) -> Map<String, Value> {
    members.iter().map(|(name, value)| (name.clone(), typed(value))).collect()
}

/// A stream record with this image. The order of its members varies.
fn stream_record(item: &Map<String, Value>, order: usize) -> String {
    let image = json!({"Keys": {"id": {"S": "x"}}, "NewImage": typed_item(item), "SizeBytes": 12});
    let members = [("eventName", json!(["INSERT", "MODIFY"][order % 2])), ("dynamodb", image), ("awsRegion", json!("eu-central-1"))];
    let record: Map<String, Value> = (0..3).map(|i| members[(i + order) % 3].clone()).map(|(k, v)| (k.to_owned(), v)).collect();
    Value::from(record).to_string()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn every_cell_is_what_the_rules_say(
        batches in batches(),
        style in prop::sample::select(vec![Style::Compact, Style::Pretty, Style::Escaped]),
        to_text: bool,
    ) {
        // The text of a column that becomes text is that of the document.
        let style = if to_text { Style::Compact } else { style };
        let mut decoder = decoder(Shape::Plain, if to_text { SchemaConflict::Text } else { SchemaConflict::Reject });
        let mut kind = Kind::Object(Vec::new());
        for rows in &batches {
            let mut kept = Vec::new();
            for (i, row) in rows.iter().enumerate() {
                let Kind::Object(fields) = &kind else { panic!("a row is an object") };
                if let Some(next) = unify_object(fields, row, to_text) {
                    kind = next;
                    kept.push(i as u32);
                }
            }
            let texts: Vec<_> = rows.iter().map(|row| write(row, style)).collect();
            let decoded = decode(&mut decoder, &texts);
            prop_assert_eq!(&decoded.indices, &kept, "{:?}", decoded.rejected);
            prop_assert_eq!(decoded.rejected.len() + kept.len(), rows.len());
            let Kind::Object(fields) = &kind else { panic!("a row is an object") };
            let expected: Vec<_> = kept.iter().map(|i| object_cell(fields, &rows[*i as usize])).collect();
            prop_assert_eq!(rows_of(&decoded.rows), expected);
            prop_assert_eq!(decoded.rows.schema(), decoder.schema());
        }
    }

    #[test]
    fn the_schema_only_grows_at_its_end_and_does_not_depend_on_the_batches(rows in prop::collection::vec(member_strategy(), 0..12)) {
        let texts: Vec<_> = rows.iter().map(|row| write(row, Style::Compact)).collect();
        let mut at_once = decoder(Shape::Plain, SchemaConflict::Reject);
        decode(&mut at_once, &texts);
        let mut one_by_one = decoder(Shape::Plain, SchemaConflict::Reject);
        for text in &texts {
            let before = one_by_one.schema();
            decode(&mut one_by_one, std::slice::from_ref(text));
            let after = one_by_one.schema();
            let names: Vec<_> = after.fields().iter().take(before.fields().len()).map(|f| f.name().clone()).collect();
            prop_assert_eq!(names, before.fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>());
        }
        prop_assert_eq!(one_by_one.schema(), at_once.schema());
    }

    #[test]
    fn a_bad_row_leaves_nothing_behind(
        rows in prop::collection::vec(member_strategy(), 1..10),
        bad in prop::collection::vec((any::<prop::sample::Index>(), member_strategy(), any::<prop::sample::Index>()), 1..6),
        to_text: bool,
        image: bool,
    ) {
        let conflict = if to_text { SchemaConflict::Text } else { SchemaConflict::Reject };
        let shape = if image { Shape::NewImage } else { Shape::Plain };
        let text_of = |row: &Map<String, Value>| if image { stream_record(row, 0) } else { write(row, Style::Compact) };
        let good: Vec<_> = rows.iter().map(text_of).collect();
        let mut with_bad = good.clone();
        for (place, row, cut) in &bad {
            let mut text = text_of(row);
            let mut end = cut.index(text.len());
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            with_bad.insert(place.index(with_bad.len() + 1), text);
        }
        let (mut clean, mut dirty) = (decoder(shape, conflict), decoder(shape, conflict));
        let (expected, got) = (decode(&mut clean, &good), decode(&mut dirty, &with_bad));
        prop_assert_eq!(&got.rows, &expected.rows);
        prop_assert_eq!(got.rejected.len(), expected.rejected.len() + bad.len());
        // Nor in what the decoder remembers.
        prop_assert_eq!(decode(&mut dirty, &good).rows, decode(&mut clean, &good).rows);
    }

    #[test]
    fn a_new_image_is_the_row_that_its_plain_form_is(batches in batches(), order in 0_usize..6, to_text: bool) {
        let conflict = if to_text { SchemaConflict::Text } else { SchemaConflict::Reject };
        let (mut plain, mut image) = (decoder(Shape::Plain, conflict), decoder(Shape::NewImage, conflict));
        for rows in &batches {
            let expected = decode(&mut plain, &rows.iter().map(|row| write(row, Style::Compact)).collect::<Vec<_>>());
            let got = decode(&mut image, &rows.iter().map(|row| stream_record(row, order)).collect::<Vec<_>>());
            prop_assert_eq!(&got.rows, &expected.rows);
            prop_assert_eq!(&got.indices, &expected.indices);
            prop_assert_eq!(got.rejected, expected.rejected);
        }
    }

    #[test]
    fn any_bytes_are_a_row_or_a_reject(values in prop::collection::vec(any::<Vec<u8>>(), 0..10), image: bool) {
        let shape = if image { Shape::NewImage } else { Shape::Plain };
        let decoded = decoder(shape, SchemaConflict::Text).decode(&decoder_records(&values.iter().map(Some).collect::<Vec<_>>()));
        prop_assert_eq!(decoded.indices.len() + decoded.rejected.len(), values.len());
    }

    #[test]
    fn what_is_json_is_what_serde_says(
        row in member_strategy(),
        style in prop::sample::select(vec![Style::Compact, Style::Pretty, Style::Escaped]),
        edits in prop::collection::vec((any::<prop::sample::Index>(), edit()), 0..4),
        to_text: bool,
        image: bool,
    ) {
        let mut bytes = if image { stream_record(&row, 1).into_bytes() } else { write(&row, style).into_bytes() };
        for (place, edit) in &edits {
            let at = place.index(bytes.len().max(1)).min(bytes.len());
            match edit {
                Edit::Remove if at < bytes.len() => { bytes.remove(at); }
                Edit::Remove => {}
                Edit::Insert(byte) => bytes.insert(at, *byte),
            }
        }
        let conflict = if to_text { SchemaConflict::Text } else { SchemaConflict::Reject };
        let shape = if image { Shape::NewImage } else { Shape::Plain };
        let decoded = decoder(shape, conflict).decode(&decoder_records(&[Some(&bytes)]));
        let shown = String::from_utf8_lossy(&bytes);
        match serde_json::from_slice::<Value>(&bytes) {
            Ok(Value::Object(_)) if !image => {
                let malformed = decoded.rejected.iter().find(|r| r.message.contains("malformed") || r.message.contains("UTF-8"));
                prop_assert!(malformed.is_none(), "{}: {:?}", shown, malformed);
            }
            Ok(_) => {}
            // The limits of serde_json, not of JSON.
            Err(error) if error.to_string().starts_with("number out of range") => {}
            Err(error) => prop_assert_eq!(decoded.rejected.len(), 1, "{}: {}", shown, error),
        }
    }
}

#[derive(Debug, Clone)]
enum Edit {
    Remove,
    Insert(u8),
}

fn edit() -> impl Strategy<Value = Edit> {
    let bytes = b"{}[]\",:\\ 0123.eE+-tfnu\n\x01\x80\xff/aNS".to_vec();
    prop_oneof![Just(Edit::Remove), prop::sample::select(bytes).prop_map(Edit::Insert)]
}

#[test]
fn the_model_knows_a_cell() {
    assert_eq!(cell(&Kind::Float, Some(&json!(1))), json!(1.0));
    assert_eq!(cell(&Kind::Text, Some(&json!([1]))), json!("[1]"));
}
