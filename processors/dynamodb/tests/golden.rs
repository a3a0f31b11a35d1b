//! Golden cases: what AWS does, as data.

mod common;

use common::{MemoryState, Write, process, processor, records, run};

const ID: (&str, &str) = ("key.fields", "id");
const TYPED: (&str, &str) = ("item.format", "typed");

/// What is put, what is read, the bytes it takes.
const NUMBERS: &[(&str, &str, u64)] = &[
    ("0", "0", 1),
    ("-0", "0", 1),
    ("0.0", "0", 1),
    ("0e999999999999999999999", "0", 1),
    ("1", "1", 2),
    ("-1", "-1", 3),
    ("10", "10", 2),
    ("12", "12", 2),
    ("100", "100", 2),
    ("101", "101", 3),
    ("123", "123", 3),
    ("1234", "1234", 3),
    ("12345", "12345", 4),
    ("1.5", "1.5", 3),
    ("1.50", "1.5", 3),
    ("12.3", "12.3", 3),
    ("0.1", "0.1", 2),
    ("0.01", "0.01", 2),
    ("0.010", "0.01", 2),
    ("0.5", "0.5", 2),
    ("-0.50", "-0.5", 3),
    (
        "1e125",
        concat!(
            "1",
            "0000000000000000000000000",
            "0000000000000000000000000",
            "0000000000000000000000000",
            "0000000000000000000000000",
            "0000000000000000000000000"
        ),
        2,
    ),
    ("99999999999999999999999999999999999999", "99999999999999999999999999999999999999", 20),
    ("3.14159", "3.14159", 5),
    ("35", "35", 2),
    ("1700000000000", "1700000000000", 3),
    ("1E+2", "100", 2),
    ("1.5e1", "15", 2),
    ("12.50E-1", "1.25", 3),
    ("120e-1", "12", 2),
    ("1e-3", "0.001", 2),
    ("1234e-2", "12.34", 3),
    ("-1.25e2", "-125", 4),
    ("0.00025e2", "0.025", 3),
    ("123456789012345678901234567890.12345678", "123456789012345678901234567890.12345678", 20),
    ("24.554214477539062", "24.554214477539062", 10),
];

/// Texts that only `N` takes, not JSON.
const ATTRIBUTE_NUMBERS: &[(&str, &str)] = &[
    ("007", "7"),
    ("+5", "5"),
    (".5", "0.5"),
    ("5.", "5"),
    ("-007.10", "-7.1"),
    ("00", "0"),
    ("-.0", "0"),
    ("+1e+2", "100"),
    ("000.001", "0.001"),
];

#[test]
fn numbers_have_one_normal_form_and_a_size() {
    let check = |config: &[(&str, &str)], item: &str, normal: &str, bytes: Option<u64>| {
        let out = run(config, &[(None, Some(item))]);
        assert!(out.rejected.is_empty(), "{item}: {:?}", out.rejected);
        let image = &out.records[0]["dynamodb"];
        assert_eq!(image["NewImage"]["v"]["N"], normal, "{item}");
        if let Some(bytes) = bytes {
            // Keys: 2 + 2. Image: the same, and the attribute's name.
            assert_eq!(image["SizeBytes"], 4 + 4 + 1 + bytes, "{item}");
        }
    };
    for (put, normal, bytes) in NUMBERS {
        check(&[ID], &format!(r#"{{"id":1,"v":{put}}}"#), normal, Some(*bytes));
        check(&[ID, TYPED], &format!(r#"{{"id":{{"N":"1"}},"v":{{"N":"{put}"}}}}"#), normal, Some(*bytes));
    }
    for (put, normal) in ATTRIBUTE_NUMBERS {
        check(&[ID, TYPED], &format!(r#"{{"id":{{"N":"1"}},"v":{{"N":"{put}"}}}}"#), normal, None);
        assert_eq!(run(&[ID], &[(None, Some(&format!(r#"{{"id":1,"v":{put}}}"#)))]).rejected.len(), 1, "{put} is not JSON");
    }
    let smallest = format!("0.{}1", "0".repeat(129));
    check(&[ID], r#"{"id":1,"v":1e-130}"#, &smallest, None);
    check(&[ID], &format!(r#"{{"id":1,"v":{smallest}}}"#), &smallest, None);
}

#[test]
fn composite_values_have_the_sizes_of_the_guide() {
    for (value, bytes) in [
        (r#"["Cookies","Coffee",3.14159]"#, 24),
        (r#"{"Name":"Joe","Age":35}"#, 17),
        ("[]", 3),
        ("{}", 3),
        ("true", 1),
        ("null", 1),
        (r#""""#, 0),
        (r#""\u00fc\n\ud83d\ude00""#, 7),
        (r#"[[1],{"ü":null}]"#, 3 + 1 + (3 + 1 + 2) + 1 + (3 + 1 + 2 + 1)),
    ] {
        let out = run(&[ID], &[(None, Some(&format!(r#"{{"id":1,"v":{value}}}"#)))]);
        assert_eq!(out.records[0]["dynamodb"]["SizeBytes"], 4 + 4 + 1 + bytes, "{value}");
    }
    let sets = r#"{"id":{"N":"1"},"s":{"SS":["a","bc"]},"n":{"NS":["1","100"]},"b":{"BS":["AQI=","AQ=="]}}"#;
    assert_eq!(run(&[ID, TYPED], &[(None, Some(sets))]).records[0]["dynamodb"]["SizeBytes"], 4 + 4 + 3 + 3 + 4 + 3);
}

/// Key field, view type, whether values are typed, writes, and the `SizeBytes` of each record: recorded from AWS.
type SizeCase<'a> = (&'a str, &'a str, bool, &'a [Write<'a>], &'a [u64]);

#[test]
fn size_bytes_are_those_that_were_recorded() {
    let cases: &[SizeCase<'_>] = &[
        (
            "Id",
            "NEW_AND_OLD_IMAGES",
            false,
            &[
                (None, Some(r#"{"Id":101,"Message":"New item!"}"#)),
                (None, Some(r#"{"Id":101,"Message":"This item has changed"}"#)),
                (Some("101"), None),
            ],
            &[26, 59, 38],
        ),
        ("my_partition_key", "NEW_IMAGE", false, &[(None, Some(r#"{"my_partition_key":"hello world"}"#))], &[54]),
        (
            "my_partition_key",
            "NEW_IMAGE",
            true,
            &[(None, Some(r#"{"my_partition_key":{"S":"hello world"},"binary_key":{"B":"Zm9vYmFy"}}"#))],
            &[70],
        ),
        ("id", "NEW_IMAGE", false, &[(None, Some(r#"{"id":"id_value_1","numericFilter":42}"#))], &[39]),
        ("id", "NEW_IMAGE", false, &[(None, Some(r#"{"id":"my-item-id","attr1":"value1","attr2":"value2"}"#))], &[46]),
        ("Username", "KEYS_ONLY", false, &[(None, Some(r#"{"Username":"Fred"}"#))], &[12]),
        // The sequence of puts, updates and deletes of one table; an update is the put of the whole new item.
        (
            "id",
            "NEW_AND_OLD_IMAGES",
            false,
            &[
                (None, Some(r#"{"id":"Fred"}"#)),
                (None, Some(r#"{"id":"Fred"}"#)),
                (None, Some(r#"{"id":"NewKey"}"#)),
                (None, Some(r#"{"id":"NewKey","attr1":"value1","attr2":"value2"}"#)),
                (None, Some(r#"{"id":"NonExistentKey","attr1":"value1"}"#)),
                (Some("NewKey"), None),
                (None, Some(r#"{"id":"Fred","name":"Fred"}"#)),
                (None, Some(r#"{"id":"NonExistentKey","attr1":"value1"}"#)),
            ],
            &[12, 16, 46, 43, 38, 26],
        ),
    ];
    for (key, view, typed, writes, expected) in cases {
        let format = if *typed { "typed" } else { "plain" };
        let out = run(&[("key.fields", key), ("stream.view.type", view), ("item.format", format)], writes);
        assert!(out.rejected.is_empty(), "{key} {view}: {:?}", out.rejected);
        let sizes: Vec<_> = out.records.iter().filter_map(|r| r["dynamodb"]["SizeBytes"].as_u64()).collect();
        assert_eq!(sizes, *expected, "{key} {view}");
    }
    let kinesis = run(&[ID, ("stream.format", "kinesis")], &[(None, Some(r#"{"id":"test"}"#))]);
    assert_eq!(kinesis.records[0]["dynamodb"]["SizeBytes"], 12);
}

#[test]
fn a_stream_record_is_the_one_of_aws_to_the_byte() {
    let config = [
        ("key.fields", "profile_id,seq"),
        ("aws.region", "eu-central-1"),
        ("aws.account.id", "111122223333"),
        ("stream.label", "2024-11-18T14:36:44.149"),
    ];
    let key = r#"{"seq":0,"profile_id":17}"#;
    let out = run(&config, &[(Some(key), Some(r#"{"pm": 24.554210, "profile_id": 17, "seq": 0}"#)), (Some(key), None)]);
    let keys = r#"{"profile_id":{"N":"17"},"seq":{"N":"0"}}"#;
    assert_eq!(out.keys, [keys, keys]);
    assert_eq!(out.topics, ["measures.stream", "measures.stream"]);
    assert_eq!(out.timestamps, [Some(1_693_997_155_999), Some(1_693_997_156_000)]);
    let id = out.records[0]["eventID"].as_str().expect("an id");
    assert!(id.len() == 32 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{id}");
    let expected = [
        r#"{"eventID":"ID","eventName":"INSERT","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"eu-central-1","#,
        r#""dynamodb":{"ApproximateCreationDateTime":1693997155,"Keys":{"profile_id":{"N":"17"},"seq":{"N":"0"}},"#,
        r#""NewImage":{"pm":{"N":"24.55421"},"profile_id":{"N":"17"},"seq":{"N":"0"}},"#,
        r#""SequenceNumber":"100000000030000000000000000100","SizeBytes":39,"StreamViewType":"NEW_IMAGE"},"#,
        r#""eventSourceARN":"arn:aws:dynamodb:eu-central-1:111122223333:table/measures/stream/2024-11-18T14:36:44.149"}"#,
    ];
    assert_eq!(out.texts[0], expected.concat().replace("\"ID\"", &format!("\"{id}\"")));
    let removed = &out.records[1];
    assert_eq!((&removed["eventName"], &removed["dynamodb"]["ApproximateCreationDateTime"]), (&"REMOVE".into(), &1_693_997_156_i64.into()));
    assert_eq!(removed["dynamodb"]["SequenceNumber"], "100000000030000000000000000101");
    assert!(removed["dynamodb"].get("NewImage").is_none() && removed["dynamodb"].get("OldImage").is_none());
    assert_ne!(removed["eventID"], out.records[0]["eventID"]);
}

#[test]
fn the_kinesis_envelope_carries_both_images_and_milliseconds() {
    let out = run(
        &[ID, ("stream.format", "kinesis"), ("table.name", "motors"), ("stream.topic", "changes")],
        &[(Some("a"), Some(r#"{"id":"a"}"#)), (Some("a"), Some(r#"{"id":"a","n":1}"#)), (Some("a"), None)],
    );
    assert_eq!(out.topics, ["changes", "changes", "changes"]);
    let id = out.records[1]["eventID"].as_str().expect("an id");
    assert_eq!(id.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
    let expected = [
        r#"{"awsRegion":"us-east-1","eventID":"UUID","eventName":"MODIFY","userIdentity":null,"recordFormat":"application/json","#,
        r#""tableName":"motors","dynamodb":{"ApproximateCreationDateTime":1693997156000,"Keys":{"id":{"S":"a"}},"#,
        r#""NewImage":{"id":{"S":"a"},"n":{"N":"1"}},"OldImage":{"id":{"S":"a"}},"SizeBytes":12},"eventSource":"aws:dynamodb"}"#,
    ];
    assert_eq!(out.texts[1], expected.concat().replace("UUID", id));
    let images = |index: usize| ["NewImage", "OldImage"].map(|name| out.records[index]["dynamodb"].get(name).is_some());
    assert_eq!((images(0), images(2)), ([true, false], [false, true]));
}

#[test]
fn each_view_type_carries_its_images() {
    let writes: &[Write<'_>] = &[(None, Some(r#"{"id":1,"v":"a"}"#)), (None, Some(r#"{"id":1,"v":"b"}"#)), (Some("1"), None)];
    // New and old image of INSERT, MODIFY, REMOVE.
    for (view, expected) in [
        ("KEYS_ONLY", [(None, None), (None, None), (None, None)]),
        ("NEW_IMAGE", [(Some("a"), None), (Some("b"), None), (None, None)]),
        ("OLD_IMAGE", [(None, None), (None, Some("a")), (None, Some("b"))]),
        ("NEW_AND_OLD_IMAGES", [(Some("a"), None), (Some("b"), Some("a")), (None, Some("b"))]),
    ] {
        let out = run(&[ID, ("stream.view.type", view)], writes);
        assert_eq!(out.events(), ["INSERT", "MODIFY", "REMOVE"]);
        for (record, (new, old)) in out.records.iter().zip(expected) {
            let change = &record["dynamodb"];
            assert_eq!(change["StreamViewType"], view);
            assert_eq!(change["Keys"]["id"]["N"], "1");
            for (name, image) in [("NewImage", new), ("OldImage", old)] {
                assert_eq!(change.get(name).map(|i| i["v"]["S"].as_str().expect("text")), image, "{view} {name}");
            }
        }
    }
}

#[test]
fn a_write_that_changes_nothing_and_a_delete_of_nothing_leave_no_record() {
    for view in ["NEW_IMAGE", "NEW_AND_OLD_IMAGES"] {
        let config = [ID, ("stream.view.type", view)];
        let out = run(
            &config,
            &[
                (Some("1"), Some(r#"{"id":1,"a":1.5,"m":{"x":[1,2],"y":"ü/"}}"#)),
                (Some("1"), Some(" { \"m\" : {\"y\":\"\\u00fc\\/\",\"x\":[1.0,2e0]} , \"a\":1.50,\"id\":1.00}\n")),
                (Some("2"), None),
                (Some("1"), Some(r#"{"id":1,"a":1.5,"m":{"x":[2,1],"y":"ü/"}}"#)),
                (Some("1"), None),
                (Some("1"), None),
                (Some("1"), Some(r#"{"id":1}"#)),
            ],
        );
        assert_eq!(out.events(), ["INSERT", "MODIFY", "REMOVE", "INSERT"], "{view}");
        assert!(out.rejected.is_empty());
    }
    let sets = run(
        &[ID, TYPED],
        &[
            (None, Some(r#"{"id":{"S":"a"},"n":{"NS":["2","1.0","-3"]},"s":{"SS":["b","a"]}}"#)),
            (None, Some(r#"{"s":{"SS":["a","b"]},"n":{"NS":["-3.00","1","2"]},"id":{"S":"a"}}"#)),
            (None, Some(r#"{"s":{"SS":["a"]},"n":{"NS":["-3","1","2"]},"id":{"S":"a"}}"#)),
        ],
    );
    assert_eq!(sets.events(), ["INSERT", "MODIFY"]);
}

#[test]
fn plain_json_becomes_attribute_values() {
    let item = r#"{"id":"k","s":"x\u0041\"","t":true,"f":false,"z":null,"l":[1,"a",null,[]],"m":{"b":{},"a":-1.0}}"#;
    let image = r#"{"id":{"S":"k"},"s":{"S":"xA\""},"t":{"BOOL":true},"f":{"BOOL":false},"z":{"NULL":true},"l":{"L":[{"N":"1"},{"S":"a"},{"NULL":true},{"L":[]}]},"m":{"M":{"a":{"N":"-1"},"b":{"M":{}}}}}"#;
    let plain = run(&[ID], &[(Some("k"), Some(item))]);
    assert!(plain.texts[0].contains(image), "{}", plain.texts[0]);
    // What comes out goes in again as typed items, and is the same.
    let typed = run(&[ID, TYPED], &[(Some("k"), Some(image))]);
    assert_eq!(plain.texts, typed.texts);
}

/// A typed value, and what is said about it; `None`: it is taken.
const TYPED_VALUES: &[(&str, Option<&str>)] = &[
    (r#"{"S":"a","N":"1"}"#, Some("exactly one type, but there is more than one")),
    ("{}", Some("exactly one of the types S, N, B")),
    (r#"{"Z":"q"}"#, Some("exactly one of the types S, N, B")),
    (r#""a""#, Some("exactly one of the types S, N, B")),
    ("5", Some("exactly one of the types S, N, B")),
    (r#"{"NULL":false}"#, Some("true in NULL")),
    (r#"{"NULL":true}"#, None),
    (r#"{"BOOL":"true"}"#, Some("true or false in BOOL")),
    (r#"{"BOOL":false}"#, None),
    (r#"{"SS":[]}"#, Some("a set may not be empty")),
    (r#"{"NS":[]}"#, Some("a set may not be empty")),
    (r#"{"BS":[]}"#, Some("a set may not be empty")),
    (r#"{"NS":["1","1.0"]}"#, Some("a set without duplicates, found '\"1\"'")),
    (r#"{"SS":["a","b","\u0061"]}"#, Some("a set without duplicates")),
    (r#"{"BS":["AQ==","AQ=="]}"#, Some("a set without duplicates")),
    (r#"{"SS":["",""]}"#, Some("a set without duplicates")),
    (r#"{"SS":["b","a"]}"#, None),
    (r#"{"SS":"a"}"#, Some("a list of the members of the set")),
    (r#"{"NS":[1]}"#, Some("the text of a number, in quotes, found '1]")),
    (r#"{"S":""}"#, None),
    (r#"{"B":""}"#, None),
    (r#"{"S":5}"#, Some("a string in S")),
    (r#"{"L":[]}"#, None),
    (r#"{"M":{}}"#, None),
    (r#"{"L":[{"S":"a"},{"M":{"x":{"N":"1"}}}]}"#, None),
    (r#"{"L":{}}"#, Some("a list in L")),
    (r#"{"M":[]}"#, Some("a map in M")),
    (r#"{"N":""}"#, Some("a text that can be converted to a number, found ''")),
    (r#"{"N":"abc"}"#, Some("a text that can be converted to a number, found 'abc'")),
    (r#"{"N":"1 "}"#, Some("a text that can be converted to a number, found '1 '")),
    (r#"{"N":"1e"}"#, Some("a text that can be converted to a number")),
    (r#"{"N":"NaN"}"#, Some("a text that can be converted to a number")),
    (r#"{"N":5}"#, Some("the text of a number, in quotes, found '5}")),
    (r#"{"N":"123456789012345678901234567890123456789"}"#, Some("at most 38 significant digits")),
    (r#"{"N":"1e126"}"#, Some("a magnitude below 1E+126, found '1e126'")),
    (r#"{"N":"-1e126"}"#, Some("a magnitude below 1E+126")),
    (r#"{"N":"1e99999999999999999999"}"#, Some("a magnitude below 1E+126")),
    (r#"{"N":"9.99e125"}"#, None),
    (r#"{"N":"9.99e-131"}"#, Some("a magnitude of at least 1E-130, found '9.99e-131'")),
    (r#"{"N":"-1e-130"}"#, None),
    (r#"{"B":"AQI"}"#, Some("standard base64 with padding, found 'AQI'")),
    (r#"{"B":"-_-_"}"#, Some("standard base64 with padding")),
    (r#"{"B":"\/+8="}"#, None),
];

#[test]
fn typed_values_are_checked_as_dynamodb_checks_them() {
    for (value, fault) in TYPED_VALUES {
        let out = run(&[ID, TYPED], &[(None, Some(&format!(r#"{{"id":{{"S":"a"}},"v":{value}}}"#)))]);
        match fault {
            None => assert!(out.rejected.is_empty() && out.records.len() == 1, "{value}: {:?}", out.rejected),
            Some(fault) => {
                assert_eq!((out.records.len(), out.rejected.len()), (0, 1), "{value}");
                assert!(out.rejected[0].message.contains(fault), "{value}: {}", out.rejected[0].message);
                assert!(out.rejected[0].field.as_ref().is_some_and(|f| f.starts_with('v')), "{value}: {:?}", out.rejected[0].field);
            }
        }
    }
}

#[test]
fn a_state_without_old_images_is_not_taken_for_one_with_them() {
    let mut state = MemoryState::default();
    let writes = records(&[(None, Some(r#"{"id":1,"v":"a"}"#))]);
    process(&mut *processor(&[ID]), &mut state, &writes);
    assert!(state.0.values().all(|v| v.len() == 16), "a digest is all that is kept");
    let mut out = lakefeed_core::Output::default();
    let error = processor(&[ID, ("stream.view.type", "OLD_IMAGE")]).process(&writes, &mut state, &mut out).expect_err("no old image");
    assert_eq!(error.kind(), lakefeed_core::ErrorKind::Config);
    assert!(error.to_string().contains("the state of measures-3 was made without old images"), "{error}");

    // The other way round nothing is missing.
    let mut state = MemoryState::default();
    process(&mut *processor(&[ID, ("stream.view.type", "OLD_IMAGE")]), &mut state, &writes);
    let out = process(&mut *processor(&[ID]), &mut state, &records(&[(None, Some(r#"{"id":1,"v":"a"}"#)), (Some("1"), None)]));
    assert_eq!(out.events(), ["REMOVE"]);
}

#[test]
fn a_record_without_a_time_is_shown_at_zero() {
    let mut builder = lakefeed_core::RecordsBuilder::with_capacity("t".into(), 0, 1, 0);
    builder.push(0, -1, None, Some(b"{\"id\":1}"));
    let out = process(&mut *processor(&[ID]), &mut MemoryState::default(), &builder.finish());
    assert_eq!(out.records[0]["dynamodb"]["ApproximateCreationDateTime"], 0);
    assert_eq!(out.timestamps, [None]);
}
