//! What tools read of the answers, by their sources: AKHQ, kafbat UI, kcctl and Redpanda Console. docs/kafka-connect.md says how the tools
//! themselves were tried.

use std::collections::HashSet;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::rest::{Client, empty_worker};
use crate::scene::stop;

const TYPES: [&str; 9] = ["BOOLEAN", "CLASS", "DOUBLE", "INT", "LIST", "LONG", "PASSWORD", "SHORT", "STRING"];

fn is_text(value: &Value) -> bool {
    value.is_string()
}

fn is_text_or_null(value: &Value) -> bool {
    value.is_string() || value.is_null()
}

fn are_texts(value: &Value) -> bool {
    value.as_array().is_some_and(|all| all.iter().all(Value::is_string))
}

fn is_one_of(value: &Value, known: &[&str]) -> bool {
    value.as_str().is_some_and(|value| known.contains(&value))
}

/// Each key has a definition and a value, of the types that kafbat UI's client is generated from. The errors, with their keys.
#[track_caller]
fn read_validation(answer: &Value) -> Vec<(String, String)> {
    let mut names = HashSet::new();
    let mut errors = Vec::new();
    for entry in answer["configs"].as_array().expect("a list of keys") {
        let (definition, value) = (&entry["definition"], &entry["value"]);
        let name = definition["name"].as_str().unwrap_or_default();
        assert!(!name.is_empty() && value["name"] == name, "{entry}");
        assert!(names.insert(name.to_owned()), "twice: {entry}");
        let texts = ["documentation", "group", "display_name"].iter().all(|field| is_text(&definition[field]));
        assert!(texts && is_text_or_null(&definition["default_value"]) && are_texts(&definition["dependents"]), "{entry}");
        assert!(definition["required"].is_boolean() && definition["order_in_group"].is_i64(), "{entry}");
        assert!(is_one_of(&definition["type"], &TYPES) && is_one_of(&definition["importance"], &["LOW", "MEDIUM", "HIGH"]), "{entry}");
        assert!(is_one_of(&definition["width"], &["SHORT", "MEDIUM", "LONG", "NONE"]), "{entry}");
        assert!(is_text_or_null(&value["value"]) && value["visible"].is_boolean(), "{entry}");
        assert!(are_texts(&value["recommended_values"]) && are_texts(&value["errors"]), "{entry}");
        let told = value["errors"].as_array().into_iter().flatten().filter_map(Value::as_str);
        errors.extend(told.map(|error| (name.to_owned(), error.to_owned())));
    }
    assert_eq!(answer["error_count"], errors.len(), "{answer}");
    assert!(are_texts(&answer["groups"]), "{answer}");
    errors
}

#[test]
fn the_forms_of_tools_can_be_made_from_every_validation() {
    let dir = TempDir::new().expect("temporary folder");
    let mut worker = empty_worker(&dir);
    let client = Client::of(&mut worker);
    let plugins = client.get("/connector-plugins");
    for class in plugins.as_array().expect("plugins").iter().filter_map(|plugin| plugin["class"].as_str()) {
        let path = format!("/connector-plugins/{class}/config/validate");
        for body in [
            json!({"connector.class": class}),
            // How AKHQ asks for the keys of each plugin, of sources too.
            json!({"connector.class": class, "topics": "getPlugins"}),
            // How Redpanda Console begins a form, and how it asks while no topic is chosen.
            json!({"connector.class": class, "name": "", "topic": "topic", "topics": "topics"}),
            json!({"connector.class": class, "name": "c", "topics.regex": "__TOPICS_REGEX_PLACEHOLDER"}),
        ] {
            read_validation(&client.done("PUT", &path, Some(&body)));
        }
    }
    let path = "/connector-plugins/StdoutSinkConnector/config/validate";
    let given = json!({
        "connector.class": "StdoutSinkConnector", "name": "c", "topics": "t", "tasks.max": 1, "errors.tolerence": "all", "errors.tolerance": "all",
        "whatever.it.is": "1", "consumer.override.fetch.min.bytes": "10", "consumer.override.sasl.jaas.config": "password=\"open sesame\"",
        "transforms": "c", "transforms.c.type": "org.apache.kafka.connect.transforms.Cast$Value", "transforms.c.spec": "id:int32",
    });
    let answer = client.done("PUT", path, Some(&given));
    let errors = read_validation(&answer);
    assert!(matches!(&*errors, [(key, error)] if key == "errors.tolerance" && error.contains("errors.tolerence")), "{errors:?}");
    let entry = |name: &str| answer["configs"].as_array().into_iter().flatten().find(|entry| entry["value"]["name"] == name);
    let value = |name: &str| entry(name).map(|entry| &entry["value"]["value"]);
    // The misspelt key takes nothing from the right one; a key without effect is left out; what a tool writes back is there.
    assert_eq!(value("errors.tolerance"), Some(&json!("all")));
    assert_eq!((entry("errors.tolerence"), entry("whatever.it.is")), (None, None));
    assert_eq!(value("consumer.override.fetch.min.bytes"), Some(&json!("10")));
    assert_eq!(value("consumer.override.sasl.jaas.config"), Some(&json!("[hidden]")));
    assert_eq!(value("transforms.c.spec"), Some(&json!("id:int32")));
    assert!(!answer.to_string().contains("sesame"), "{answer}");
    stop(&mut worker);
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let dir = TempDir::new().expect("temporary folder");
    let mut worker = empty_worker(&dir);
    let client = Client::of(&mut worker);
    let config = json!({
        "connector.class": "StdoutSinkConnector", "topcs": "t", "tasks.max": "many", "transforms": "f", "transforms.f.type": "Filter",
    });
    let mut errors = read_validation(&client.done("PUT", "/connector-plugins/StdoutSinkConnector/config/validate", Some(&config)));
    errors.sort();
    let expected = [
        ("name", "Missing required configuration \"name\" which has no default value."),
        ("tasks.max", "Invalid value many for configuration tasks.max: Not a number of type INT"),
        ("topics", "Invalid configuration topics: is required (or topics.regex)"),
        ("topics", "Unknown configuration \"topcs\"; did you mean 'topics'?"),
        ("transforms.f.predicate", "Invalid configuration transforms.f.predicate: is required: Filter without one would drop every record"),
    ];
    assert_eq!(errors.iter().map(|(key, error)| (&**key, &**error)).collect::<Vec<_>>(), expected);
    let (status, refused) = client.call("POST", "/connectors", Some(&json!({"name": "c", "config": config})));
    let said = refused["message"].as_str().unwrap_or_default();
    assert!(status == 400 && said.contains("the following 4 error(s)"), "{status} {refused}");
    for (_, error) in &expected[1..] {
        assert!(said.contains(error), "{error}: {said}");
    }
    stop(&mut worker);
}
