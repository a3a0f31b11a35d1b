//! Rows that no table would take, record keys, and configuration: each mistake gets one clear answer.

mod common;

use common::{Write, config, run};
use lakefeed_core::Stage;

const ID: (&str, &str) = ("key.fields", "id");

/// The one rejection of one write: stage, field, message.
fn reject(pairs: &[(&str, &str)], write: Write<'_>) -> (Stage, Option<String>, String) {
    let mut out = run(pairs, &[write]);
    assert_eq!((out.records.len(), out.rejected.len()), (0, 1), "{write:?}");
    let rejected = out.rejected.remove(0);
    assert_eq!(rejected.row, 0);
    (rejected.stage, rejected.field, rejected.message)
}

#[test]
fn bad_values_are_rejected_with_their_field_and_what_was_expected() {
    use Stage::{TaskPut, ValueConverter};
    let digits = "1234567890123456789012345678901234567890";
    let cases = [
        ("", ValueConverter, None, "expected a JSON object, the item, found ''"),
        ("[1]", ValueConverter, None, "expected a JSON object, the item, found '[1]'"),
        ("null", ValueConverter, None, "expected a JSON object, the item, found 'null'"),
        (r#"{"id":1"#, ValueConverter, None, "malformed JSON: the text ends at byte 7, expected ',' or '}' after an attribute"),
        (r#"{"id":1,}"#, ValueConverter, None, "malformed JSON at byte 8: expected a string, found '}'"),
        (r#"{"id":1} x"#, ValueConverter, None, "malformed JSON at byte 9: expected nothing after the value, found 'x'"),
        (r#"{"id":01}"#, ValueConverter, Some("id"), "malformed JSON at byte 6: expected a number of JSON, found '01}'"),
        (r#"{"id":1,"v":NaN}"#, ValueConverter, Some("v"), "malformed JSON at byte 12: expected a value, found 'NaN}'"),
        (
            r#"{"id":1,"v":"\x"}"#,
            ValueConverter,
            Some("v"),
            "malformed JSON at byte 13: expected an escape sequence of JSON, found '\\x\"}'",
        ),
        (
            r#"{"id":1,"v":"\ud800"}"#,
            ValueConverter,
            Some("v"),
            "malformed JSON at byte 13: expected four hexadecimal digits after \\u, surrogates in pairs, found '\\ud800\"}'",
        ),
        (
            "{\"id\":1,\"v\":\"a\nb\"}",
            ValueConverter,
            Some("v"),
            "malformed JSON at byte 14: expected an escape in the place of a control character, found '\\nb\"}'",
        ),
        (r#"{"id":1,"v":1e126}"#, ValueConverter, Some("v"), "expected a number of a magnitude below 1E+126, found '1e126'"),
        (
            r#"{"id":1,"a":{"b":[0,{"c":1e-131}]}}"#,
            ValueConverter,
            Some("a.b[1].c"),
            "expected zero or a number of a magnitude of at least 1E-130, found '1e-131'",
        ),
        (
            r#"{"id":1,"id":2}"#,
            ValueConverter,
            Some("id"),
            "expected each attribute once, but its name occurs twice in the item; keep one of them",
        ),
        (r#"{"id":1,"m":{"x":1,"\u0078":2}}"#, ValueConverter, Some("m.x"), "expected each name once, but it occurs twice in the same map"),
        (r#"{"v":1}"#, TaskPut, Some("id"), "the item has no such attribute; expected the partition key that key.fields names"),
        (
            r#"{"id":true}"#,
            TaskPut,
            Some("id"),
            "expected a string, a number or binary because it is the partition key, found '{\"BOOL\":true}'",
        ),
        (r#"{"id":""}"#, TaskPut, Some("id"), "expected a value that is not empty because it is the partition key, found '{\"S\":\"\"}'"),
        (r#"{"id":1,"":2}"#, TaskPut, None, "expected attribute names of at least one character, found an empty one"),
    ];
    for (value, stage, field, message) in cases {
        assert_eq!(reject(&[ID], (None, Some(value))), (stage, field.map(str::to_owned), message.to_owned()), "{value}");
    }
    let (_, field, message) = reject(&[ID], (None, Some(&format!(r#"{{"id":1,"v":{digits}}}"#))));
    assert_eq!((field.as_deref(), message), (Some("v"), format!("expected a number of at most 38 significant digits, found '{digits}'")));
}

#[test]
fn the_limits_of_dynamodb_hold_to_the_byte() {
    let key = |bytes: usize| format!(r#"{{"id":"{}"}}"#, "k".repeat(bytes));
    assert_eq!(run(&[ID], &[(None, Some(&key(2048)))]).records.len(), 1);
    assert!(reject(&[ID], (None, Some(&key(2049)))).2.starts_with("expected at most 2048 bytes because it is the partition key, found"));

    let sort = |bytes: usize| format!(r#"{{"id":1,"s":"{}"}}"#, "é".repeat(bytes / 2));
    let both = [("key.fields", "id,s")];
    assert_eq!(run(&both, &[(None, Some(&sort(1024)))]).records.len(), 1);
    let (_, field, message) = reject(&both, (None, Some(&sort(1026))));
    assert!(field.as_deref() == Some("s") && message.starts_with("expected at most 1024 bytes because it is the sort key"), "{message}");

    // `id` and 1 take 4 bytes, the name of the other attribute takes one.
    let item = |bytes: usize| format!(r#"{{"id":1,"v":"{}"}}"#, "x".repeat(bytes - 5));
    assert_eq!(run(&[ID], &[(None, Some(&item(400 * 1024)))]).records.len(), 1);
    assert!(reject(&[ID], (None, Some(&item(400 * 1024 + 1)))).2.starts_with("expected an item of at most 409600 bytes"));

    let nested = |levels: usize| format!(r#"{{"id":1,"v":{}1{}}}"#, "[".repeat(levels), "]".repeat(levels));
    assert_eq!(run(&[ID], &[(None, Some(&nested(32)))]).records.len(), 1);
    assert_eq!(reject(&[ID], (None, Some(&nested(33)))).2, "expected lists and maps nested at most 32 levels deep");
    assert_eq!(reject(&[ID], (None, Some(&nested(100_000)))).0, Stage::TaskPut);
}

#[test]
fn a_record_key_must_name_the_item() {
    let typed = ("item.format", "typed");
    let both = ("key.fields", "id,seq");
    let item = r#"{"id":17,"seq":"a"}"#;
    for (pairs, key, value) in [
        (&[ID][..], "17", item),
        (&[ID], "17.0", item),
        (&[ID], "017", item),
        (&[ID], r#"{"id":17}"#, item),
        (&[ID], r#"{"id":{"N":"17"}}"#, item),
        (&[ID], "a b", r#"{"id":"a b"}"#),
        (&[ID], r#""a b""#, r#"{"id":"a b"}"#),
        (&[ID], r#""a b""#, r#"{"id":"\"a b\""}"#),
        (&[ID], r"C:\temp", r#"{"id":"C:\\temp"}"#),
        (&[ID], "17", r#"{"id":"17"}"#),
        (&[ID], "true", r#"{"id":"true"}"#),
        (&[ID, typed], "AQID", r#"{"id":{"B":"AQID"}}"#),
        (&[both], r#"{"id":17,"seq":"a"}"#, item),
        (&[both], r#" {"seq" : "a" , "id" : 17.0} "#, item),
        (&[both], r#"{"id":{"N":"17"},"seq":{"S":"a"}}"#, item),
    ] {
        let out = run(pairs, &[(Some(key), Some(value)), (Some(key), None)]);
        assert!(out.rejected.is_empty(), "{key}: {:?}", out.rejected);
        assert_eq!(out.events(), ["INSERT", "REMOVE"], "{key}");
        assert_eq!(out.keys[0], out.keys[1], "{key}");
    }
    for (pairs, key) in [
        (&[ID][..], "18"),
        (&[ID], ""),
        (&[ID], r#"{"id":17,"seq":"a"}"#),
        (&[ID], r#"{"id":"17"}"#),
        (&[both], "17"),
        (&[both], r#"{"id":17}"#),
        (&[both], r#"{"id":17,"seq":"b"}"#),
        (&[both], r#"{"id":17,"seq":"a","x":1}"#),
        (&[both], r#"{"id":17,"id":17}"#),
    ] {
        let (stage, _, message) = reject(pairs, (Some(key), Some(item)));
        assert_eq!(stage, Stage::TaskPut);
        assert!(
            message.starts_with(&format!("the record key '{key}' is not the key of the item, '{{\"id\":{{\"N\":\"17\"}}")),
            "{message}"
        );
        assert!(message.contains(&format!("the value of key.fields ({}) as its key", pairs[0].1)), "{message}");
    }
}

#[test]
fn a_delete_finds_the_item_under_the_type_of_its_key() {
    let out = run(
        &[ID],
        &[
            (None, Some(r#"{"id":"17"}"#)),
            (None, Some(r#"{"id":18}"#)),
            (None, Some(r#"{"id":"{x"}"#)),
            (Some("17"), None),
            (Some("18"), None),
            (Some("{x"), None),
        ],
    );
    assert_eq!(out.events()[3..], ["REMOVE", "REMOVE", "REMOVE"]);
    assert_eq!(out.keys[3..], [r#"{"id":{"S":"17"}}"#, r#"{"id":{"N":"18"}}"#, r#"{"id":{"S":"{x"}}"#]);
}

#[test]
fn a_delete_whose_key_can_not_be_read_is_rejected() {
    let both = ("key.fields", "id,seq");
    for (pairs, key, expected) in [
        (&[ID][..], None, "a delete (a record without a value) needs a record key; expected the value of key.fields (id)"),
        (&[ID], Some(""), "record key: expected a value that is not empty because it is the partition key, found '{\"S\":\"\"}'"),
        (&[ID], Some(r#"{"x":1}"#), "record key: expected a JSON object of exactly the key fields (id), found '{\"x\":1}'"),
        (
            &[ID],
            Some(r#"{"id":[1]}"#),
            "record key: expected a string, a number or binary because it is the partition key, found '{\"L\":[{\"N\":\"1\"}]}'",
        ),
        (&[both], Some("17"), "record key: expected a JSON object of exactly the key fields (id, seq), found '17'"),
        (&[both], Some(r#"{"id":1}"#), "record key: expected a JSON object of exactly the key fields (id, seq), found '{\"id\":1}'"),
        (
            &[both],
            Some(r#"{"id":1,"seq":""}"#),
            "record key: expected a value that is not empty because it is the sort key, found '{\"S\":\"\"}'",
        ),
    ] {
        let (stage, _, message) = reject(pairs, (key, None));
        assert_eq!((stage, message.as_str()), (Stage::KeyConverter, expected));
    }
}

#[test]
fn the_rows_around_a_rejected_one_go_on() {
    let out = run(&[ID], &[(None, Some(r#"{"id":1}"#)), (None, Some("{")), (None, Some(r#"{"id":2}"#))]);
    assert_eq!(out.events(), ["INSERT", "INSERT"]);
    assert_eq!(out.rejected.iter().map(|r| r.row).collect::<Vec<_>>(), [1]);
}

#[test]
fn wrong_keys_are_named_with_what_is_accepted() {
    let errors = |pairs: &[(&str, &str)]| -> Vec<String> { config(pairs).expect_err("wrong").iter().map(ToString::to_string).collect() };
    assert_eq!(
        errors(&[("key.fields", "a,b,c")]),
        ["key.fields = 'a,b,c': expected one or two attribute names: the partition key, and the sort key if there is one"]
    );
    assert_eq!(errors(&[("key.fields", "a, a")]), ["key.fields = 'a, a': expected two different attribute names"]);
    assert!(errors(&[])[0].starts_with("key.fields: is required."));
    assert_eq!(
        errors(&[ID, ("stream.view.type", "NEW_IMAGES"), ("aws.account.id", "1"), ("table.name", "a/b"), ("stream.format", "kinesi")]),
        [
            "aws.account.id = '1': expected 12 digits",
            "stream.format = 'kinesi': expected one of dynamodb, kinesis; did you mean 'kinesis'?",
            "stream.view.type = 'NEW_IMAGES': expected one of KEYS_ONLY, NEW_IMAGE, OLD_IMAGE, NEW_AND_OLD_IMAGES; did you mean 'NEW_IMAGE'?",
            "table.name = 'a/b': expected ASCII letters, digits and any of .-_",
        ]
    );
    assert_eq!(
        errors(&[ID, ("topics", "a,b"), ("stream.topic", "s")]),
        [
            "stream.topic = 's': expected to be left out when there is more than one topic, because each topic is a table with a stream of its own"
        ]
    );
    assert_eq!(
        errors(&[ID, ("topics", "a"), ("stream.topic", "a")]),
        ["stream.topic = 'a': expected another topic than the ones that are read"]
    );
    assert_eq!(
        errors(&[ID, ("topics", "a,a.stream")]),
        ["topics: the changes of 'a' go to 'a.stream', which is read as a table too; take one of them out"]
    );
    let processor = common::processor(&[ID, ("topics", "a,b")]);
    assert_eq!(processor.output_topics("b"), ["b.stream"]);
}
