//! Properties: the same as a slow reference for any item, deterministic, never a panic.

mod common;

use std::collections::BTreeMap;

use common::{MemoryState, process, processor, records, run};
use lakefeed_core::{Output, RecordsBuilder};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

const ID: (&str, &str) = ("key.fields", "id");

/// A JSON value as text, with a free choice among the texts that mean the same.
fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![Just("true".to_owned()), Just("false".to_owned()), Just("null".to_owned()), number(), string()];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(|items| format!("[{}]", items.join(" , "))),
            btree_map("[a-zü\"\\\\]{0,3}", inner, 0..6).prop_map(|members| object(&members)),
        ]
    })
}

fn object(members: &BTreeMap<String, String>) -> String {
    let members: Vec<_> = members.iter().rev().map(|(name, value)| format!("{}: {value}", Value::from(name.as_str()))).collect();
    format!("{{{}}}", members.join(","))
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?(0|[1-9][0-9]{0,18})(\\.[0-9]{1,18})?",
        "-?(0|[1-9][0-9]{0,8})(\\.[0-9]{1,8})?[eE][+-]?[0-9]{1,2}",
        any::<f64>().prop_filter("in range", |v| *v == 0.0 || (1e-130..1e126).contains(&v.abs())).prop_map(|v| format!("{v:e}")),
        any::<i64>().prop_map(|v| v.to_string()),
    ]
}

/// A string with some of its characters written as escapes.
fn string() -> impl Strategy<Value = String> {
    let plain = any::<String>().prop_map(|text| Value::from(text).to_string());
    let escaped = any::<String>().prop_map(|text| {
        let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
        format!("\"{units}\"")
    });
    prop_oneof![plain, escaped, "\"[ -!#-\\[\\]-~]{0,40}\"", Just("\"\\/\\b\\f\\n\\r\\t\\\"\\\\\"".to_owned())]
}

/// An item: the key and other attributes.
fn item() -> impl Strategy<Value = String> {
    btree_map("[a-z]{3,12}", json_text(), 0..12).prop_map(|mut members| {
        members.insert("id".to_owned(), "17".to_owned());
        object(&members)
    })
}

/// The digits of a decimal, and the power of ten of the last one.
fn decimal(text: &str) -> (bool, String, i64) {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{}{fraction}", whole.trim_start_matches(['+', '-']));
    let exponent = exponent.parse::<i64>().expect("small") - fraction.len() as i64;
    let kept = digits.trim_end_matches('0');
    let exponent = exponent + (digits.len() - kept.len()) as i64;
    let kept = kept.trim_start_matches('0');
    if kept.is_empty() { (false, String::new(), 0) } else { (text.starts_with('-'), kept.to_owned(), exponent) }
}

/// Normal form and size, by moving the point in a text of zeros.
fn reference_number(text: &str) -> (String, usize) {
    let (negative, digits, exponent) = decimal(text);
    if digits.is_empty() {
        return ("0".to_owned(), 1);
    }
    const PAD: usize = 300;
    let zeros = "0".repeat(PAD);
    let line = format!("{zeros}{digits}{zeros}");
    let point = (PAD + digits.len()) as i64 + exponent;
    let (whole, fraction) = line.split_at(point as usize);
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let sign = if negative { "-" } else { "" };
    let whole_text = if whole.is_empty() { "0" } else { whole };
    let normal = if fraction.is_empty() { format!("{sign}{whole_text}") } else { format!("{sign}{whole_text}.{fraction}") };
    // Pairs that are aligned on the point, without those at either end that are 00.
    let padded_whole = if whole.len() % 2 == 0 { whole.to_owned() } else { format!("0{whole}") };
    let padded_fraction = if fraction.len() % 2 == 0 { fraction.to_owned() } else { format!("{fraction}0") };
    let all = format!("{padded_whole}{padded_fraction}");
    let pairs: Vec<_> = all.as_bytes().chunks(2).map(|pair| pair == b"00").collect();
    let first = pairs.iter().position(|zero| !zero).expect("not zero");
    let last = pairs.iter().rposition(|zero| !zero).expect("not zero");
    (normal, 1 + (last - first + 1) + usize::from(negative))
}

/// The typed value and its size, the slow way: through texts, maps and copies.
fn reference(raw: &str) -> (Value, usize) {
    match raw.as_bytes()[0] {
        b'"' => {
            let text: String = serde_json::from_str(raw).expect("a string");
            (json!({"S": text}), text.len())
        }
        b't' | b'f' => (json!({"BOOL": raw == "true"}), 1),
        b'n' => (json!({"NULL": true}), 1),
        b'[' => {
            let elements: Vec<Box<RawValue>> = serde_json::from_str(raw).expect("a list");
            let (values, sizes): (Vec<_>, Vec<_>) = elements.iter().map(|e| reference(e.get())).unzip();
            let size = 3 + sizes.iter().map(|s| s + 1).sum::<usize>();
            (json!({"L": values}), size)
        }
        b'{' => {
            let (map, size) = reference_map(raw);
            let members = map.len();
            (json!({"M": map}), 3 + members + size)
        }
        _ => {
            let (normal, size) = reference_number(raw);
            (json!({"N": normal}), size)
        }
    }
}

fn reference_map(raw: &str) -> (Map<String, Value>, usize) {
    let members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(raw).expect("a map");
    let mut size = 0;
    let mut map = Map::new();
    for (name, value) in members {
        let (value, bytes) = reference(value.get());
        size += name.len() + bytes;
        map.insert(name, value);
    }
    (map, size)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn any_item_is_typed_and_sized_as_by_the_reference(item in item()) {
        let out = run(&[ID], &[(None, Some(&item))]);
        prop_assert!(out.rejected.is_empty(), "{:?}", out.rejected);
        let (image, size) = reference_map(&item);
        prop_assert_eq!(&out.records[0]["dynamodb"]["NewImage"], &Value::from(image));
        prop_assert_eq!(&out.records[0]["dynamodb"]["SizeBytes"], &Value::from(4 + size));
    }

    #[test]
    fn numbers_stay_equal_and_their_normal_form_is_its_own(number in number()) {
        let normal_form = |text: &str| {
            let out = run(&[ID], &[(None, Some(&format!(r#"{{"id":1,"v":{text}}}"#)))]);
            out.records[0]["dynamodb"]["NewImage"]["v"]["N"].as_str().expect("N").to_owned()
        };
        let normal = normal_form(&number);
        prop_assert_eq!(decimal(&normal), decimal(&number));
        prop_assert_eq!(&normal_form(&normal), &normal);
        prop_assert!(!normal.contains(['e', 'E', '+']) && normal != "-0");
    }

    #[test]
    fn a_rewrite_emits_nothing_and_another_item_does(first in item(), second in item(), view in prop_oneof![Just("NEW_IMAGE"), Just("NEW_AND_OLD_IMAGES")]) {
        let mut state = MemoryState::default();
        let mut processor = processor(&[ID, ("stream.view.type", view)]);
        let out = process(&mut *processor, &mut state, &records(&[(Some("17"), Some(&first)), (Some("17"), Some(&first))]));
        prop_assert_eq!(out.events(), ["INSERT"]);
        // The same item as typed JSON with its attributes the other way round.
        let image = out.records[0]["dynamodb"]["NewImage"].as_object().expect("an image");
        let reversed = Value::from(image.iter().rev().map(|(k, v)| (k.clone(), v.clone())).collect::<Map<_, _>>()).to_string();
        let mut typed = common::processor(&[ID, ("stream.view.type", view), ("item.format", "typed")]);
        let again = process(&mut *typed, &mut state, &records(&[(None, Some(&reversed))]));
        prop_assert!(again.records.is_empty() && again.rejected.is_empty(), "{:?}", again.rejected);

        let out = process(&mut *processor, &mut state, &records(&[(None, Some(&second))]));
        let differs = reference_map(&first).0 != reference_map(&second).0;
        prop_assert_eq!(out.records.len(), usize::from(differs));
        if differs && view == "NEW_AND_OLD_IMAGES" {
            prop_assert_eq!(&out.records[0]["dynamodb"]["OldImage"], &Value::from(reference_map(&first).0));
        }
    }

    #[test]
    fn a_replay_gives_the_same_output_and_state_however_it_is_cut(
        writes in vec((0..4_u8, proptest::option::of(0..3_u8)), 1..30), cut in 0..30_usize, view in prop_oneof![Just("NEW_IMAGE"), Just("OLD_IMAGE")],
    ) {
        let texts: Vec<_> = writes.iter().map(|(k, v)| (k.to_string(), v.map(|v| format!(r#"{{"id":{k},"v":{v}}}"#)))).collect();
        let build = |range: std::ops::Range<usize>| {
            let mut builder = RecordsBuilder::with_capacity("t".into(), 7, range.len(), 0);
            for index in range {
                let (key, value) = &texts[index];
                builder.push(index as i64, 1000, Some(key.as_bytes()), value.as_deref().map(str::as_bytes));
            }
            builder.finish()
        };
        let config = [ID, ("stream.view.type", view)];
        let mut whole = MemoryState::default();
        let expected = process(&mut *processor(&config), &mut whole, &build(0..texts.len()));
        let (cut, mut parts) = (cut.min(texts.len()), MemoryState::default());
        let mut got = process(&mut *processor(&config), &mut parts, &build(0..cut)).texts;
        got.extend(process(&mut *processor(&config), &mut parts, &build(cut..texts.len())).texts);
        prop_assert_eq!(got, expected.texts);
        prop_assert_eq!(parts, whole);
        let numbers: Vec<_> = expected.records.iter().map(|r| r["dynamodb"]["SequenceNumber"].as_str().expect("text").to_owned()).collect();
        prop_assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]) && numbers.iter().all(|n| (21..=40).contains(&n.len())));
    }

    #[test]
    fn any_bytes_are_taken_or_rejected(rows in vec((proptest::option::of(bytes()), proptest::option::of(bytes())), 1..8), typed in any::<bool>(), two in any::<bool>()) {
        let mut builder = RecordsBuilder::with_capacity("t".into(), 0, rows.len(), 0);
        for (offset, (key, value)) in rows.iter().enumerate() {
            builder.push(offset as i64, offset as i64 - 1, key.as_deref(), value.as_deref());
        }
        let (format, fields) = (if typed { "typed" } else { "plain" }, if two { "id,b" } else { "id" });
        let mut out = Output::default();
        processor(&[("key.fields", fields), ("item.format", format)]).process(&builder.finish(), &mut MemoryState::default(), &mut out).expect("rows never end the task");
        prop_assert!(out.rows().len() + out.rejected.len() <= rows.len());
        let emitted = common::emitted(&out);
        prop_assert_eq!(emitted.records.len(), out.rows().len());
    }

    /// The scanner is as strict as serde_json.
    #[test]
    fn malformed_json_is_rejected_and_nothing_else_is_called_malformed(item in item(), at in any::<prop::sample::Index>(), byte in "[ -~]|\n|ü|\u{0}") {
        let mut at = at.index(item.len() + 1);
        while !item.is_char_boundary(at) {
            at -= 1;
        }
        let broken = format!("{}{byte}{}", &item[..at], &item[at..]);
        let out = run(&[ID], &[(None, Some(&broken))]);
        let syntax = out.rejected.iter().any(|r| r.message.contains("malformed") || r.message.contains("a JSON object"));
        let read: Result<BTreeMap<String, Box<RawValue>>, _> = serde_json::from_str(&broken);
        // serde_json does not decode the strings of raw values, so they are read once more.
        let valid = read.is_ok() && serde_json::from_str::<Value>(&broken).is_ok_or_out_of_range();
        // What stands before the mistake can be rejected for another reason.
        prop_assert!(if valid { !syntax } else { out.records.is_empty() && out.rejected.len() == 1 }, "{}: {:?}", broken, out.rejected);
    }
}

trait Syntax {
    fn is_ok_or_out_of_range(&self) -> bool;
}

impl Syntax for Result<Value, serde_json::Error> {
    /// A number beyond the floats is JSON all the same.
    fn is_ok_or_out_of_range(&self) -> bool {
        self.as_ref().err().is_none_or(|error| error.to_string().starts_with("number out of range"))
    }
}

/// Bytes that are JSON now and then.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..40),
        "[{}\\[\\]\",:0-9.eE+\\-a-cNSBLMtrufl\\\\ ]{0,40}".prop_map(String::into_bytes),
        (item(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(item, at, byte)| {
            let mut item = item.into_bytes();
            let at = at.index(item.len());
            item[at] = byte;
            item
        }),
        "\\{\"id\":(\\{\"[NSBLM]\":\"?[0-9a-c]{0,3}\"?\\}|[0-9\"a]{1,3}),\"b\":(1|\\{\"S\":\"x\"\\})\\}".prop_map(String::into_bytes),
    ]
}
